/* A call by HTTP/2: what goes, what comes, and how it is freed. */
#include "h2_world.h"

/* ---- bodies */

static void test_large_body_arrives_whole(void **state)
{
        struct world *x = *state;
        struct caller k = CALL("/sum");
        char *bytes = calloc(1, BIG_BYTES);
        const struct sg_str body[] = {sg_str_make(bytes, 100000), SG_STR(""), sg_str_make(bytes, BIG_BYTES - 100000)};

        serve(x);
        k.request.kind = SG_UPCALL_BODY_WHOLE;
        k.request.body = body;
        k.request.n_body = 3;
        ask(x, &k, 200, "4194304");
        assert_int_equal(k.n_sent, 1);
        assert_int_equal(atomic_load(&server.n_wrong), 0); /* content-length is right */
        call_done(&k);
        free(bytes);
}

static void test_body_of_no_bytes_is_a_body(void **state)
{
        struct world *x = *state;
        struct caller k = CALL("/sum");

        serve(x);
        k.request.kind = SG_UPCALL_BODY_WHOLE;
        ask(x, &k, 200, "0");
        assert_int_equal(k.n_sent, 1);
        call_done(&k);
}

static void test_full_windows_pause_the_source(void **state)
{
        struct world *x = *state;
        struct caller k = STREAM("/sum");

        serve(x);
        k.feed = feed_big;
        ask(x, &k, 200, "4194304");
        assert_true(k.n_rooms > 1);
        assert_int_equal(k.n_sent, 1);
        call_done(&k);
}

static void test_both_directions_stream_at_once(void **state)
{
        struct world *x = *state;
        struct caller k = STREAM("/echo");

        serve(x);
        call_start(&k, x);
        assert_true(sg_upcall_is_full(k.call));
        while (k.n_heads == 0)
                run_few_turns(x->loop);
        send_text(&k, "one ", false);
        send_text(&k, "two ", false);
        assert_int_equal(k.n_sent, 0);
        send_text(&k, "three", true);
        call_wait(&k);
        assert_answer(&k, 200, "one two three");
        assert_int_equal(k.n_sent, 1);
        call_done(&k);
        assert_int_equal(atomic_load(&server.n_resets), 0);
}

static void test_early_answer_ends_the_call_and_not_the_connection(void **state)
{
        struct world *x = *state;
        struct caller k = STREAM("/early");

        serve(x);
        ask(x, &k, 413, "no");
        assert_int_equal(k.n_sent, 0);
        sg_upcall_send(k.call, small_body, 3, true); /* too late */
        call_done(&k);
        ask_ok(x);
        assert_int_equal(counts(x).n_opened, 1);
}

/* ---- answers */

static void test_paused_call_keeps_no_more_than_its_window(void **state)
{
        struct world *x = *state;
        struct caller k = CALL("/big"), other = CALL("/big");

        serve(x);
        k.pauses = true;
        call_start(&k, x);
        while (k.n_bodies == 0)
                run_few_turns(x->loop);
        call_start(&other, x); /* is not held up */
        call_wait(&other);
        assert_int_equal(sg_buf_length(&other.body), 2 * 1024 * 1024);
        assert_int_equal(k.n_bodies, 1);
        assert_in_range(sg_buf_length(&k.call->kept), 64 * 1024, 256 * 1024);
        while (k.n_ends + k.n_failed == 0) {
                run_few_turns(x->loop);
                sg_upcall_resume(k.call);
        }
        assert_int_equal(k.n_ends, 1);
        assert_int_equal(sg_buf_length(&k.body), 2 * 1024 * 1024);
        assert_int_equal(counts(x).n_opened, 1);
        call_done(&k);
        call_done(&other);
}

static void test_trailers_are_told_before_the_end(void **state)
{
        struct world *x = *state;
        struct caller k = CALL("/trailers");

        serve(x);
        ask(x, &k, 200, "ok");
        assert_true(sg_str_eq(sg_buf_view(&k.trailers), SG_STR("grpc-status=0;x=y;")));
        call_done(&k);
}

static void test_trailers_and_end_wait_for_a_paused_call(void **state)
{
        struct world *x = *state;
        struct caller k = CALL("/trailers");

        serve(x);
        k.pauses_at_head = true;
        call_start(&k, x);
        while (k.n_heads == 0)
                run_few_turns(x->loop);
        run_few_turns(x->loop);
        assert_int_equal(sg_buf_length(&k.body) + sg_buf_length(&k.trailers) + k.n_ends, 0);
        server_h2_stop(&server); /* what came stays whole */
        run_few_turns(x->loop);
        assert_int_equal(k.n_failed, 0);
        sg_upcall_resume(k.call);
        call_wait(&k);
        assert_answer(&k, 200, "ok");
        assert_true(sg_str_eq(sg_buf_view(&k.trailers), SG_STR("grpc-status=0;x=y;")));
        call_done(&k);
}

static void test_answer_may_be_a_head_alone(void **state)
{
        struct world *x = *state;
        struct caller k = CALL("/only");

        serve(x);
        ask(x, &k, 204, "");
        call_done(&k);
}

/* ---- freeing */

static void test_free_resets_the_stream_and_leaves_the_others(void **state)
{
        struct world *x = *state;
        struct caller k = CALL("/hold"), other = STREAM("/echo");

        serve(x);
        call_start(&other, x);
        call_start(&k, x);
        wait_for_count(x, &server.n_requests, 2);
        call_done(&k);
        wait_for_count(x, &server.n_resets, 1);
        send_text(&other, "still here", true);
        call_wait(&other);
        assert_answer(&other, 200, "still here");
        assert_int_equal(counts(x).n_opened, 1);
        assert_int_equal(counts(x).n_idle, 1);
        call_done(&other);
}

static void free_in(struct world *x, enum frees when)
{
        struct caller k = CALL("/ok");

        serve(x);
        k.frees = when;
        call_start(&k, x);
        call_wait(&k);
        run_few_turns(x->loop);
        assert_null(k.call);
        assert_int_equal(k.n_failed, 0);
        call_done(&k);
        ask_ok(x);
        assert_int_equal(counts(x).n_opened, 1);
}

static void test_free_when_sent(void **state)
{
        free_in(*state, FREES_ON_SENT);
}

static void test_free_at_the_head(void **state)
{
        free_in(*state, FREES_ON_HEAD);
}

static void test_free_inside_the_body(void **state)
{
        free_in(*state, FREES_ON_BODY);
}

static void test_free_at_the_end(void **state)
{
        free_in(*state, FREES_ON_END);
}

static void test_free_in_the_first_room(void **state)
{
        struct world *x = *state;
        struct caller k = STREAM("/sum");

        serve(x);
        k.frees = FREES_ON_ROOM;
        call_start(&k, x);
        call_wait(&k);
        run_few_turns(x->loop);
        call_done(&k);
        ask_ok(x);
        assert_int_equal(counts(x).n_opened, 1);
}

/* The one that connects is freed: another takes over. */
static void test_free_while_others_wait(void **state)
{
        struct world *x = *state;
        struct caller first = CALL("/ok"), second = CALL("/ok"), third = CALL("/ok");

        serve(x);
        call_start(&first, x);
        call_start(&second, x);
        call_start(&third, x);
        sg_loop_run(x->loop, 0, count_down, &(struct few_turns){x->loop, 1});
        assert_int_equal(second.call->state, CALL_QUEUED);
        call_done(&first);
        call_done(&third);
        call_wait(&second);
        assert_answer(&second, 200, "ok");
        call_done(&second);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                H2_TEST(test_large_body_arrives_whole),
                H2_TEST(test_body_of_no_bytes_is_a_body),
                H2_TEST(test_full_windows_pause_the_source),
                H2_TEST(test_both_directions_stream_at_once),
                H2_TEST(test_early_answer_ends_the_call_and_not_the_connection),
                H2_TEST(test_paused_call_keeps_no_more_than_its_window),
                H2_TEST(test_trailers_are_told_before_the_end),
                H2_TEST(test_trailers_and_end_wait_for_a_paused_call),
                H2_TEST(test_answer_may_be_a_head_alone),
                H2_TEST(test_free_resets_the_stream_and_leaves_the_others),
                H2_TEST(test_free_when_sent),
                H2_TEST(test_free_at_the_head),
                H2_TEST(test_free_inside_the_body),
                H2_TEST(test_free_at_the_end),
                H2_TEST(test_free_in_the_first_room),
                H2_TEST(test_free_while_others_wait),
        };

        return cmocka_run_group_tests(tests, make_ca, drop_ca);
}
