#include "net_test.h"

#include "../skip.h"
#include "dns.h"
#include "net/listen.h"
#include "net/resolve.h"

/* ---- asking */

struct asker {
        struct sg_loop *loop;
        struct sg_resolver *resolver;
        struct sg_timer limit;
        struct dns dns;
        unsigned n_expected, n_told;
};

struct question {
        struct sg_query query;
        struct asker *asker;
        int error;
        bool is_told;
        size_t n;
        char first[64];
};

static void on_resolved(struct sg_query *q, int error, const struct sg_resolved *found, void *owner)
{
        struct question *k = owner;

        assert_false(k->is_told);
        k->is_told = true;
        k->error = error;
        if (!error) {
                k->n = found->n;
                sg_address_format(k->first, sizeof(k->first), (const struct sockaddr *)&found->addresses[0],
                                  found->lengths[0]);
        }
        if (++k->asker->n_told == k->asker->n_expected)
                sg_loop_stop(k->asker->loop);
}

static void on_limit(struct sg_timer *t, void *owner)
{
        fail_msg("no answer came");
}

static int setup(void **state)
{
        static struct asker a;
        char servers[32];

        a = (struct asker){.loop = NULL};
        dns_start(&a.dns);
        (void)snprintf(servers, sizeof(servers), "127.0.0.1:%u", a.dns.port);
        assert_int_equal(sg_loop_new(&a.loop), 0);
        assert_int_equal(sg_timer_init(&a.limit, a.loop, on_limit, &a), 0);
        assert_int_equal(
                sg_resolver_new_with(&a.resolver, a.loop,
                                     &(struct sg_resolver_options){.servers = servers, .timeout_usec = 300 * MSEC}),
                0);
        *state = &a;
        return 0;
}

static int teardown(void **state)
{
        struct asker *a = *state;

        sg_resolver_free(a->resolver);
        sg_timer_done(&a->limit);
        sg_loop_free(a->loop);
        dns_stop(&a->dns);
        return 0;
}

static void ask(struct asker *a, struct question *k, const char *host, uint16_t port)
{
        *k = (struct question){.query = {.on_resolved = on_resolved, .owner = k}, .asker = a};
        sg_resolve(a->resolver, &k->query, sg_str_from(host), port);
}

static void wait_for(struct asker *a, unsigned n)
{
        a->n_expected = n;
        if (a->n_told >= n)
                return;
        sg_timer_start(&a->limit, LIMIT_SEC * SG_USEC_PER_SEC);
        sg_loop_run(a->loop, SG_USEC_NEVER, NULL, NULL);
        sg_timer_stop(&a->limit);
}

static void test_literals_are_answered_at_once(void **state)
{
        struct asker *a = *state;
        struct question k;

        ask(a, &k, "192.0.2.7", 443);
        assert_true(k.is_told);
        assert_string_equal(k.first, "192.0.2.7:443");
        ask(a, &k, "2001:db8::1", 80);
        assert_string_equal(k.first, "[2001:db8::1]:80");
}

static void test_localhost_needs_no_server(void **state)
{
        struct asker *a = *state;
        struct question k;

        ask(a, &k, "localhost", 8000);
        wait_for(a, 1);
        assert_int_equal(k.error, 0);
        assert_true(strcmp(k.first, "127.0.0.1:8000") == 0 || strcmp(k.first, "[::1]:8000") == 0);
}

/* The first name in /etc/hosts that is not localhost; the file is the machine's. */
static bool name_from_hosts(char out[256])
{
        FILE *f = fopen("/etc/hosts", "re");
        char line[1024], address[256];
        bool found = false;

        while (f && !found && fgets(line, sizeof(line), f))
                found = line[0] != '#' && sscanf(line, "%255s %255s", address, out) == 2 && strchr(address, '.') &&
                        !strstr(out, "localhost");
        if (f)
                (void)fclose(f);
        return found;
}

static void test_hosts_file_is_honoured(void **state)
{
        struct asker *a = *state;
        struct question k;
        char name[256];

        if (!name_from_hosts(name))
                TEST_SKIP("/etc/hosts has no name but localhost");
        ask(a, &k, name, 1);
        wait_for(a, 1);
        assert_int_equal(k.error, 0);
        assert_true(k.n > 0);
}

static void test_server_answers_are_cached_with_their_port(void **state)
{
        struct asker *a = *state;
        struct question k, again;

        ask(a, &k, "two.test", 443);
        assert_false(k.is_told);
        wait_for(a, 1);
        assert_int_equal(k.error, 0);
        assert_int_equal(k.n, 2);
        assert_int_equal(strncmp(k.first, "192.0.2.", 8), 0);
        assert_non_null(strstr(k.first, ":443"));
        ask(a, &again, "TWO.test", 80);
        assert_true(again.is_told);
        assert_non_null(strstr(again.first, ":80"));
        assert_int_equal(atomic_load(&a->dns.n_asked), 1);
}

static void test_queries_for_one_name_share_a_question(void **state)
{
        struct asker *a = *state;
        struct question k[5];

        for (int i = 0; i < 5; i++)
                ask(a, &k[i], "two.test", (uint16_t)(i + 1));
        wait_for(a, 5);
        for (int i = 0; i < 5; i++)
                assert_int_equal(k[i].n, 2);
        assert_int_equal(atomic_load(&a->dns.n_asked), 1);
}

static void test_unknown_name_is_not_found(void **state)
{
        struct asker *a = *state;
        struct question k;

        ask(a, &k, "missing.test", 1);
        wait_for(a, 1);
        assert_int_equal(k.error, SG_RESOLVE_E_NOT_FOUND);
        ask(a, &k, "", 1);
        assert_int_equal(k.error, SG_RESOLVE_E_NOT_FOUND);
        ask(a, &k, "white space", 1);
        assert_int_equal(k.error, SG_RESOLVE_E_NOT_FOUND);
}

static void test_broken_server_fails(void **state)
{
        struct asker *a = *state;
        struct question k;

        ask(a, &k, "broken.test", 1);
        wait_for(a, 1);
        assert_int_equal(k.error, SG_RESOLVE_E_FAILED);
}

static void test_silent_server_fails_within_the_time_limit(void **state)
{
        struct asker *a = *state;
        struct question k;
        uint64_t before = sg_clock_usec();

        ask(a, &k, "silent.test", 1);
        wait_for(a, 1);
        assert_int_equal(k.error, SG_RESOLVE_E_FAILED);
        assert_in_range(sg_clock_usec() - before, 300 * MSEC, 5000 * MSEC);
        /* remembered for a moment, so that a burst does not wait for each */
        ask(a, &k, "silent.test", 1);
        assert_true(k.is_told);
}

static void test_cancelled_query_is_not_told(void **state)
{
        struct asker *a = *state;
        struct question k, other;

        ask(a, &k, "two.test", 1);
        ask(a, &other, "two.test", 2);
        sg_resolve_cancel(a->resolver, &k.query);
        sg_resolve_cancel(a->resolver, &k.query);
        wait_for(a, 1);
        assert_false(k.is_told);
        assert_true(other.is_told);
        sg_resolve_cancel(a->resolver, &other.query);
        sg_resolve_cancel(a->resolver, &(struct sg_query){.owner = NULL});
}

static void test_freed_resolver_forgets_its_queries(void **state)
{
        struct asker *a = *state;
        struct question k;

        ask(a, &k, "silent.test", 1);
        a->resolver = sg_resolver_free(a->resolver);
        run_few_turns(a->loop);
        assert_false(k.is_told);
}

static void test_many_names_do_not_outgrow_the_cache(void **state)
{
        struct asker *a = *state;
        static struct question k[1200];
        char name[32];

        for (unsigned i = 0; i < 1200; i++) {
                (void)snprintf(name, sizeof(name), "n%u.test", i);
                ask(a, &k[i], name, 1);
                if (i % 50 == 49)
                        wait_for(a, i + 1);
        }
        wait_for(a, 1200);
        for (unsigned i = 0; i < 1200; i++)
                assert_int_equal(k[i].error, SG_RESOLVE_E_NOT_FOUND);
}

static void write_conf(const char *path, const char *server)
{
        FILE *f = fopen(path, "we");

        assert_non_null(f);
        assert_true(fprintf(f, "nameserver %s\n", server) > 0);
        assert_int_equal(fclose(f), 0);
}

static void test_changed_resolv_conf_takes_open_questions_along(void **state)
{
        struct asker *a = *state;
        struct sockaddr_in silent = {.sin_family = AF_INET, .sin_port = htons(a->dns.port)};
        char path[] = "/tmp/sg-test-resolv-XXXXXX";
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), file = mkstemp(path);
        struct question waiting, later;

        assert_true(file >= 0);
        close(file);
        silent.sin_addr.s_addr = inet_addr("127.0.0.3"); /* takes questions and answers none */
        assert_int_equal(bind(fd, (struct sockaddr *)&silent, sizeof(silent)), 0);
        write_conf(path, "127.0.0.3");
        sg_resolver_free(a->resolver);
        assert_int_equal(sg_resolver_new_with(&a->resolver, a->loop,
                                              &(struct sg_resolver_options){.resolv_conf = path,
                                                                            .port = a->dns.port,
                                                                            .check_every_usec = 1,
                                                                            .timeout_usec = 10 * SG_USEC_PER_SEC}),
                         0);
        ask(a, &waiting, "two.test", 1);
        run_few_turns(a->loop);
        assert_false(waiting.is_told);
        write_conf(path, "127.0.0.1");
        ask(a, &later, "missing.test", 1);
        wait_for(a, 2);
        assert_int_equal(waiting.error, 0);
        assert_int_equal(waiting.n, 2);
        assert_int_equal(later.error, SG_RESOLVE_E_NOT_FOUND);
        unlink(path);
        close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_literals_are_answered_at_once),
                TEST(test_localhost_needs_no_server),
                TEST(test_hosts_file_is_honoured),
                TEST(test_server_answers_are_cached_with_their_port),
                TEST(test_queries_for_one_name_share_a_question),
                TEST(test_unknown_name_is_not_found),
                TEST(test_broken_server_fails),
                TEST(test_silent_server_fails_within_the_time_limit),
                TEST(test_cancelled_query_is_not_told),
                TEST(test_freed_resolver_forgets_its_queries),
                TEST(test_changed_resolv_conf_takes_open_questions_along),
                TEST(test_many_names_do_not_outgrow_the_cache),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
