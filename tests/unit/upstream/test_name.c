/* Names that point elsewhere while connections to them are kept. */
#include "caller.h"

#include "../net/dns.h"
#include "upstream/upstream_internal.h"

#define TTL_USEC SG_USEC_PER_SEC /* of moves.test */

static struct dns dns;

static int setup(void **state)
{
        struct sg_resolver_options options = {.timeout_usec = 300 * MSEC};
        char servers[32];
        struct world *x;

        dns_start(&dns);
        (void)world_setup(state);
        x = *state;
        sg_upstream_free(x->upstream);
        sg_resolver_free(x->resolver);
        (void)snprintf(servers, sizeof(servers), "127.0.0.1:%u", dns.port);
        options.servers = servers;
        assert_int_equal(sg_resolver_new_with(&x->resolver, x->loop, &options), 0);
        return sg_upstream_new(&x->upstream, x->loop, x->resolver);
}

static int teardown(void **state)
{
        (void)world_teardown(state);
        dns_stop(&dns);
        return 0;
}

static void ask(struct world *x, const char *body, bool was_reused)
{
        struct caller k = {.n_sent = 0};

        call_start(&k, x);
        call_wait(&k);
        assert_answer(&k, 200, body);
        assert_int_equal(k.was_reused, was_reused);
        call_done(&k);
}

static void on_over(struct sg_timer *t, void *owner)
{
        sg_loop_stop(owner);
}

static void outlive_ttl(struct world *x)
{
        struct sg_timer timer;

        assert_int_equal(sg_timer_init(&timer, x->loop, on_over, x->loop), 0);
        sg_timer_start(&timer, TTL_USEC + 50 * MSEC);
        sg_loop_run(x->loop, SG_USEC_NEVER, NULL, NULL);
        sg_timer_done(&timer);
}

static struct pool *only_pool(struct world *x)
{
        for (size_t i = 0; i < N_BUCKETS; i++)
                if (!sg_list_is_empty(&x->upstream->buckets[i]))
                        return SG_CONTAINER(sg_list_first(&x->upstream->buckets[i]), struct pool, link);
        return NULL;
}

/* A call that takes the connection, and the name server's answer to the question that this has led to. */
static void ask_and_check(struct world *x, const char *body)
{
        ask(x, body, true);
        while (only_pool(x) && only_pool(x)->known_until_usec == SG_USEC_NEVER)
                run_few_turns(x->loop);
}

static void serve_name(struct world *x, const struct act *acts)
{
        world_serve(x, acts, NULL);
        x->endpoint.host = SG_STR("moves.test");
        ask(x, "one", false);
        assert_int_equal(counts(x).n_idle, 1);
}

static void test_connection_stays_while_the_name_does(void **state)
{
        static const struct act acts[] = {READ_REQUEST, ANSWER("3", "one"),   READ_REQUEST, ANSWER("3", "two"),
                                          READ_REQUEST, ANSWER("5", "three"), WAIT_CLOSE,   END};
        struct world *x = *state;

        serve_name(x, acts);
        outlive_ttl(x);
        ask_and_check(x, "two");
        ask(x, "three", true);
        assert_int_equal(counts(x).n_opened, 1);
}

static void test_connection_to_where_the_name_was_is_not_taken(void **state)
{
        static const struct act acts[] = {READ_REQUEST,       ANSWER("3", "one"), READ_REQUEST,
                                          ANSWER("3", "two"), WAIT_CLOSE,         END};
        struct world *x = *state;
        struct caller k = {.n_sent = 0};

        serve_name(x, acts);
        atomic_store(&dns.where, INADDR_LOOPBACK + 1);
        outlive_ttl(x);
        ask_and_check(x, "two"); /* does not wait for the answer */
        assert_int_equal(counts(x).n_idle, 0);
        call_start(&k, x);
        call_wait(&k);
        assert_fault(&k, SG_UPSTREAM_F_CONNECT);
        assert_non_null(strstr(k.text, "127.0.0.2"));
        call_done(&k);
}

static void test_name_server_that_is_down_changes_nothing(void **state)
{
        static const struct act acts[] = {READ_REQUEST, ANSWER("3", "one"),   READ_REQUEST, ANSWER("3", "two"),
                                          READ_REQUEST, ANSWER("5", "three"), WAIT_CLOSE,   END};
        struct world *x = *state;

        serve_name(x, acts);
        dns_stop(&dns);
        outlive_ttl(x);
        ask_and_check(x, "two");
        ask(x, "three", true);
        dns_start(&dns);
}

#define NAME_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                NAME_TEST(test_connection_stays_while_the_name_does),
                NAME_TEST(test_connection_to_where_the_name_was_is_not_taken),
                NAME_TEST(test_name_server_that_is_down_changes_nothing),
        };

        return cmocka_run_group_tests(tests, make_ca, drop_ca);
}
