/* Connections ahead of need. */
#include "caller.h"

static const struct act waits[] = {WAIT_CLOSE, END};
static const struct act answers[] = {READ_REQUEST, ANSWER("2", "ok"), WAIT_CLOSE, END};

/* A script serves one connection after another: those behind the first are open in the backlog. */
static void keep_warm(struct world *x, size_t n)
{
        x->endpoint.n_warm = n;
        assert_int_equal(sg_upstream_keep_warm(x->upstream, &x->endpoint), 0);
        sg_upstream_settle_warm(x->upstream);
}

static void wait_for_idle(struct world *x, uint64_t n)
{
        const uint64_t end_usec = sg_clock_usec() + LIMIT_SEC * SG_USEC_PER_SEC;

        while (counts(x).n_idle != n) {
                if (sg_clock_usec() > end_usec)
                        fail_msg("%u idle connections, not %u", (unsigned)counts(x).n_idle, (unsigned)n);
                run_few_turns(x->loop);
        }
}

static void test_connections_are_there_before_a_call(void **state)
{
        struct world *x = *state;
        struct caller k = {.n_sent = 0};

        world_serve(x, answers, waits);
        keep_warm(x, 3);
        wait_for_idle(x, 3);
        assert_int_equal(counts(x).n_opened, 3);
        call_start(&k, x);
        while (counts(x).n_busy == 0)
                run_few_turns(x->loop);
        wait_for_idle(x, 3); /* another one is opened for the one in use */
        assert_int_equal(counts(x).n_opened, 4);
        assert_true(counts(x).n_reused == 1);
        call_done(&k);
        sg_upstream_settle_warm(x->upstream); /* not named any more */
        assert_int_equal(counts(x).n_idle, 3);
        sg_upstream_close_idle(x->upstream);
        for (int i = 0; i < 20; i++)
                run_few_turns(x->loop);
        assert_int_equal(counts(x).n_opened, 4);
        assert_int_equal(counts(x).n_idle, 0);
}

static void test_warm_connection_serves_a_call(void **state)
{
        struct world *x = *state;
        struct caller k = {.n_sent = 0};

        world_serve(x, answers, waits);
        keep_warm(x, 1);
        wait_for_idle(x, 1);
        call_start(&k, x);
        call_wait(&k);
        assert_answer(&k, 200, "ok");
        assert_true(k.was_reused);
        call_done(&k);
}

static void test_number_follows_what_is_said_last(void **state)
{
        struct world *x = *state;

        world_serve(x, waits, waits);
        keep_warm(x, 2);
        wait_for_idle(x, 2);
        keep_warm(x, 4);
        wait_for_idle(x, 4);
        keep_warm(x, 100); /* more than the pool takes */
        for (int i = 0; i < 20; i++)
                run_few_turns(x->loop);
        assert_int_equal(counts(x).n_idle, 4);
        keep_warm(x, 1); /* what is there stays until its time */
        assert_int_equal(counts(x).n_idle, 4);
}

static void test_refusals_are_tried_again_later_and_later(void **state)
{
        struct world *x = *state;
        uint64_t began_usec = sg_clock_usec();

        x->endpoint = (struct sg_endpoint){.host = SG_STR("127.0.0.1"),
                                           .port = 1,
                                           .pool_key = SG_STR("refused"),
                                           .connect_timeout_usec = SG_USEC_PER_SEC,
                                           .idle_timeout_usec = SG_USEC_PER_SEC,
                                           .pool_max = 4};
        keep_warm(x, 1);
        while (counts(x).n_opened < 4)
                run_few_turns(x->loop);
        /* 0, 100, 300, 700 ms */
        assert_true(sg_clock_usec() - began_usec >= 690 * MSEC);
        assert_int_equal(counts(x).n_idle, 0);
}

static void test_peer_that_wants_none_is_not_pestered(void **state)
{
        static const struct act closes[] = {END};
        struct world *x = *state;
        uint64_t began_usec = sg_clock_usec();

        world_serve(x, closes, closes);
        x->script.connections[2] = x->script.connections[3] = closes;
        keep_warm(x, 1);
        while (atomic_load(&x->script.n_closed) < 4)
                run_few_turns(x->loop);
        assert_true(sg_clock_usec() - began_usec >= 690 * MSEC);
}

static void test_freeing_in_the_midst_of_it(void **state)
{
        struct world *x = *state;

        world_serve(x, waits, waits);
        keep_warm(x, 4);
        run_few_turns(x->loop); /* the teardown asserts that nothing is left */
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_connections_are_there_before_a_call),  TEST(test_warm_connection_serves_a_call),
                TEST(test_number_follows_what_is_said_last),     TEST(test_refusals_are_tried_again_later_and_later),
                TEST(test_peer_that_wants_none_is_not_pestered), TEST(test_freeing_in_the_midst_of_it),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
