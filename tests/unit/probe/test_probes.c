/*
 * Sets of probes on a loop of the test's own: states, what a reload keeps, what failing to prepare changes. The servers are
 * sockets of this process that listen and, where they speak, are answered by the kernel's backlog: tcp is enough for that.
 */
#include "world.h"

static bool first_is_ok(const struct world *w)
{
        return sg_probes_health(w->probes)->items[0].state == SG_DEPENDENCY_OK;
}

static bool first_is_down(const struct world *w)
{
        return sg_probes_health(w->probes)->items[0].state == SG_DEPENDENCY_DOWN;
}

static bool first_has_failed_once(const struct world *w)
{
        return sg_probes_health(w->probes)->items[0].n_failures == 1;
}

static bool all_are_asked(const struct world *w)
{
        const struct sg_health *h = sg_probes_health(w->probes);

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
