/*
 * Sets of probes on a loop of the test's own: states, what a reload keeps, what failing to prepare changes. The servers are
 * sockets of this process that listen and, where they speak, are answered by the kernel's backlog: tcp is enough for that.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/build.h"
#include "probe/probe.h"

struct world {
        char directory[64];
        struct sg_loop *loop;
        struct sg_probes *probes;
        struct sg_timer deadline;
        bool (*is_there)(const struct sg_health *h); /* what is waited for */
        bool is_late;
};

static int listening_socket(uint16_t *ret_port)
{
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t n = sizeof(at);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_true(fd >= 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
        assert_int_equal(listen(fd, 64), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &n), 0);
        *ret_port = ntohs(at.sin_port);
        return fd;
}

static void on_late(struct sg_timer *t, void *owner)
{
        struct world *w = owner;

        w->is_late = true;
        sg_loop_stop(w->loop);
}

static void after_turn(void *owner)
{
        struct world *w = owner;

        sg_rcu_quiescent();
        if (w->is_there(sg_probes_health(w->probes)))
                sg_loop_stop(w->loop);
}

static void wait_until(struct world *w, bool (*is_there)(const struct sg_health *h))
{
        w->is_there = is_there;
        sg_timer_start(&w->deadline, 20 * SG_USEC_PER_SEC);
        sg_loop_run(w->loop, SG_USEC_NEVER, after_turn, w);
        sg_timer_stop(&w->deadline);
        assert_false(w->is_late);
}

static int set_up(void **state)
{
        struct world *w = calloc(1, sizeof(*w));

        assert_non_null(w);
        snprintf(w->directory, sizeof(w->directory), "/tmp/sg-probe-XXXXXX");
        assert_non_null(mkdtemp(w->directory));
        sg_rcu_register();
        assert_int_equal(sg_loop_new(&w->loop), 0);
        assert_int_equal(sg_probes_new(&w->probes, w->loop), 0);
        assert_int_equal(sg_timer_init(&w->deadline, w->loop, on_late, w), 0);
        *state = w;
        return 0;
}

static int tear_down(void **state)
{
        struct world *w = *state;
        char path[128];

        w->probes = sg_probes_free(w->probes);
        sg_timer_done(&w->deadline);
        sg_loop_free(w->loop);
        sg_rcu_barrier();
        sg_rcu_unregister();
        snprintf(path, sizeof(path), "%s/gateway.conf", w->directory);
        unlink(path);
        rmdir(w->directory);
        free(w);
        return 0;
}

static struct sg_config *config_of(struct world *w, const char *text)
{
        struct sg_config *c = NULL;
        struct sg_error err = {0};
        char path[128];
        FILE *f;

        snprintf(path, sizeof(path), "%s/gateway.conf", w->directory);
        f = fopen(path, "w");
        assert_non_null(f);
        assert_true(fputs(text, f) >= 0);
        assert_int_equal(fclose(f), 0);
        if (sg_config_read(&c, w->directory, &err))
                fail_msg("%s: %s", err.where, err.text);
        return c;
}

static int try_to_take(struct world *w, const char *text, struct sg_error *err)
{
        SG_AUTO(sg_config_unref) struct sg_config *c = config_of(w, text);
        struct sg_probe_set *s;
        int r = sg_probes_prepare(&s, w->probes, c, NULL, err);

        if (!r)
                sg_probes_take(w->probes, s);
        return r;
}

static void take(struct world *w, const char *text)
{
        struct sg_error err = {0};

        assert_int_equal(try_to_take(w, text, &err), 0);
}

static bool first_is_ok(const struct sg_health *h)
{
        return h->items[0].state == SG_DEPENDENCY_OK;
}

static bool first_is_down(const struct sg_health *h)
{
        return h->items[0].state == SG_DEPENDENCY_DOWN;
}

static bool first_has_failed_once(const struct sg_health *h)
{
        return h->items[0].n_failures == 1;
}

static bool all_are_asked(const struct sg_health *h)
{
        for (size_t i = 0; i < h->n_items; i++)
                if (!h->items[i].checked_wall_usec)
                        return false;
        return true;
}

static void assert_has(const struct sg_health *h, const char *part, bool has)
{
        if ((sg_str_find(h->json, sg_str_from(part)) < h->json.n) != has)
                print_error("%.*s\n", (int)h->json.n, h->json.p);
        assert_int_equal(sg_str_find(h->json, sg_str_from(part)) < h->json.n, has);
}

static void test_nothing_to_ask_is_ok(void **state)
{
        struct world *w = *state;

        take(w, "");
        assert_int_equal(sg_probes_health(w->probes)->status, SG_HEALTH_OK);
        assert_true(sg_str_eq(sg_probes_health(w->probes)->json, SG_STR("[]")));
}

static void test_one_success_is_believed_two_failures_are(void **state)
{
        struct world *w = *state;
        const struct sg_health *h;
        uint16_t port;
        char text[200];
        int fd = listening_socket(&port);

        snprintf(text, sizeof(text), "[dependency \"a\"]\nprobe = tcp://127.0.0.1:%u\ninterval = 100ms\n", port);
        take(w, text);
        h = sg_probes_health(w->probes);
        assert_int_equal(h->items[0].state, SG_DEPENDENCY_UNKNOWN);
        assert_int_equal(h->status, SG_HEALTH_DEGRADED);
        assert_has(h, "\"checked\"", false);

        wait_until(w, first_is_ok);
        h = sg_probes_health(w->probes);
        assert_int_equal(h->status, SG_HEALTH_OK);
        assert_has(h, "\"status\":\"ok\",\"latency_ms\":", true);
        assert_has(h, "\"error\"", false);

        close(fd);
        wait_until(w, first_has_failed_once);
        h = sg_probes_health(w->probes);
        assert_int_equal(h->items[0].state, SG_DEPENDENCY_OK);
        assert_int_equal(h->items[0].fault, SG_PROBE_F_CONNECT);
        assert_int_equal(h->status, SG_HEALTH_OK);

        wait_until(w, first_is_down);
        h = sg_probes_health(w->probes);
        assert_int_equal(h->items[0].n_failures, SG_PROBE_FAILURES_MAX);
        assert_int_equal(h->status, SG_HEALTH_DEGRADED);
        assert_has(h, "\"status\":\"down\"", true);
        assert_has(h, "\"error\":\"refused\"", true);
        assert_has(h, "127.0.0.1", false);
        assert_has(h, "latency", false);
}

static void test_a_required_one_takes_the_whole_down(void **state)
{
        struct world *w = *state;

        take(w, "[dependency \"a\"]\nprobe = tcp://127.0.0.1:1\ninterval = 100ms\nrequired = yes\n");
        assert_int_equal(sg_probes_health(w->probes)->status, SG_HEALTH_DEGRADED);
        wait_until(w, first_is_down);
        assert_int_equal(sg_probes_health(w->probes)->status, SG_HEALTH_DOWN);
        assert_has(sg_probes_health(w->probes), "\"required\":true", true);
}

static void test_a_new_set_keeps_what_stays_the_same(void **state)
{
        struct world *w = *state;
        const struct sg_health *h;
        char text[300];
        uint16_t port;
        int fd = listening_socket(&port);
        uint64_t since;

        snprintf(text, sizeof(text), "[dependency \"a\"]\nprobe = tcp://127.0.0.1:%u\ninterval = 1h\n", port);
        take(w, text);
        wait_until(w, first_is_ok);
        since = sg_probes_health(w->probes)->items[0].since_wall_usec;

        snprintf(text, sizeof(text),
                 "[dependency \"b\"]\nprobe = tcp://127.0.0.1:%u\n"
                 "[dependency \"a\"]\nprobe = tcp://127.0.0.1:%u\ninterval = 30m\nrequired = yes\n",
                 port, port);
        take(w, text);
        h = sg_probes_health(w->probes);
        assert_int_equal(h->n_items, 2);
        assert_int_equal(h->items[0].state, SG_DEPENDENCY_UNKNOWN);
        assert_string_equal(h->items[1].config->name, "a");
        assert_int_equal(h->items[1].state, SG_DEPENDENCY_OK);
        assert_int_equal(h->items[1].since_wall_usec, since);
        assert_true(h->items[1].config->is_required);

        /* Another place under the same name is another dependency. */
        take(w, "[dependency \"a\"]\nprobe = tcp://127.0.0.1:1\n");
        assert_int_equal(sg_probes_health(w->probes)->items[0].state, SG_DEPENDENCY_UNKNOWN);
        take(w, "");
        assert_int_equal(sg_probes_health(w->probes)->n_items, 0);
        close(fd);
}

static void test_a_set_that_cannot_be_prepared_changes_nothing(void **state)
{
        struct world *w = *state;
        struct sg_error err = {0};
        const struct sg_health *before;

        take(w, "[dependency \"a\"]\nprobe = tcp://127.0.0.1:1\ninterval = 100ms\n");
        before = sg_probes_health(w->probes);
        assert_true(try_to_take(w,
                                "[dependency \"b\"]\nprobe = tcp://127.0.0.1:1\n"
                                "[dependency \"c\"]\nprobe = https://127.0.0.1:1\nca_file = /nowhere.pem\n",
                                &err) < 0);
        assert_string_equal(err.where, "/nowhere.pem");
        assert_non_null(strstr(err.text, "gateway.conf:3"));
        assert_ptr_equal(sg_probes_health(w->probes), before);
        wait_until(w, first_is_down);
        assert_string_equal(sg_probes_health(w->probes)->items[0].config->name, "a");
}

/* They listen and never answer: each takes its timeout, all together no more than that. */
static void test_probes_do_not_wait_for_one_another(void **state)
{
        enum {
                N = 20
        };
        struct world *w = *state;
        const struct sg_health *h;
        uint64_t start;
        char text[4096];
        size_t n = 0;
        int fds[N];

        for (size_t i = 0; i < N; i++) {
                uint16_t port;

                fds[i] = listening_socket(&port);
                n += (size_t)snprintf(text + n, sizeof(text) - n,
                                      "[dependency \"d%zu\"]\nprobe = redis://127.0.0.1:%u\ntimeout = 500ms\n", i,
                                      port);
        }
        assert_true(n < sizeof(text));
        start = sg_clock_usec();
        take(w, text);
        wait_until(w, all_are_asked);
        start = sg_clock_usec() - start;
        h = sg_probes_health(w->probes);
        for (size_t i = 0; i < N; i++) {
                assert_int_equal(h->items[i].fault, SG_PROBE_F_TIMEOUT);
                close(fds[i]);
        }
        assert_true(start >= 500 * SG_USEC_PER_MSEC);
        assert_true(start < N * 500 * SG_USEC_PER_MSEC / 2);
}

static void test_stopping_is_for_good_and_keeps_what_is_known(void **state)
{
        struct world *w = *state;
        const struct sg_health *h;
        char text[200];
        uint16_t port;
        int fd = listening_socket(&port);

        snprintf(text, sizeof(text), "[dependency \"a\"]\nprobe = tcp://127.0.0.1:%u\ninterval = 100ms\n", port);
        take(w, text);
        wait_until(w, first_is_ok);
        sg_probes_stop(w->probes);
        sg_probes_stop(w->probes);
        h = sg_probes_health(w->probes);
        close(fd);
        sg_timer_start(&w->deadline, 500 * SG_USEC_PER_MSEC);
        w->is_there = first_has_failed_once;
        sg_loop_run(w->loop, SG_USEC_NEVER, after_turn, w);
        assert_true(w->is_late);
        assert_ptr_equal(sg_probes_health(w->probes), h);
        assert_int_equal(h->items[0].state, SG_DEPENDENCY_OK);
        take(w, "[dependency \"b\"]\nprobe = tcp://127.0.0.1:1\n");
        assert_string_equal(sg_probes_health(w->probes)->items[0].config->name, "b");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_nothing_to_ask_is_ok),
                TEST(test_one_success_is_believed_two_failures_are),
                TEST(test_a_required_one_takes_the_whole_down),
                TEST(test_a_new_set_keeps_what_stays_the_same),
                TEST(test_a_set_that_cannot_be_prepared_changes_nothing),
                TEST(test_probes_do_not_wait_for_one_another),
                TEST(test_stopping_is_for_good_and_keeps_what_is_known),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
