/* HTTP/2 to servers: many calls on a connection, and what becomes of them when it goes. */
#include "h2_world.h"

#include <netinet/tcp.h>

#include "net/stream_internal.h"

/* ---- one connection for many */

static void test_answer_comes_and_the_connection_stays(void **state)
{
        struct world *x = *state;
        struct caller k = CALL("/ok"), again = CALL("/ok");

        serve(x);
        ask(x, &k, 200, "ok");
        assert_int_equal(k.n_sent, 1);
        assert_true(sg_upcall_is_h2(k.call));
        assert_false(k.was_reused);
        assert_int_equal(counts(x).n_idle, 1);
        ask(x, &again, 200, "ok");
        assert_true(again.was_reused);
        assert_int_equal(counts(x).n_opened, 1);
        assert_int_equal(counts(x).n_reused, 1);
        assert_int_equal(atomic_load(&server.n_wrong), 0);
        call_done(&k);
        call_done(&again);
}

static void ask_many(struct world *x, struct caller k[MANY], const char *body)
{
        for (unsigned i = 0; i < MANY; i++) {
                k[i] = (struct caller)CALL("/ok");
                call_start(&k[i], x);
        }
        wait_for(x, x->n_over + MANY);
        for (unsigned i = 0; i < MANY; i++) {
                assert_answer(&k[i], 200, body);
                call_done(&k[i]);
        }
}

static void test_calls_that_come_together_wait_for_one_connection(void **state)
{
        static struct caller k[MANY];
        struct world *x = *state;

        serve(x);
        ask_many(x, k, "ok");
        assert_int_equal(counts(x).n_opened, 1);
        assert_int_equal(atomic_load(&server.n_requests), MANY);
        assert_int_equal(counts(x).n_idle, 1);
}

static void test_beyond_the_servers_limit_another_connection_is_opened(void **state)
{
        static struct caller k[MANY];
        struct world *x = *state;

        server.n_streams_max = 15;
        serve(x);
        for (unsigned i = 0; i < MANY; i++) {
                k[i] = (struct caller)CALL("/hold");
                call_start(&k[i], x);
        }
        wait_for_count(x, &server.n_requests, MANY); /* none waits for another to end */
        assert_int_equal(counts(x).n_busy, 3);
        for (unsigned i = 0; i < MANY; i++)
                call_done(&k[i]);
        wait_for_count(x, &server.n_resets, MANY);
        assert_int_equal(counts(x).n_idle, 3);
        ask_ok(x);
        assert_int_equal(counts(x).n_opened, 3);
}

static void test_connections_beyond_the_maximum_are_closed_when_idle(void **state)
{
        struct world *x = *state;

        serve(x);
        x->endpoint.pool_max = 0;
        ask_ok(x);
        assert_int_equal(counts(x).n_idle + counts(x).n_busy, 0);
}

/* ---- ALPN */

static void test_alpn_chooses_http2(void **state)
{
        static struct caller k[MANY];
        struct world *x = *state;

        serve_tls(x, "h2", SG_PROTOCOL_AUTO);
        ask_many(x, k, "ok");
        assert_int_equal(counts(x).n_opened, 1);
        assert_int_equal(atomic_load(&server.n_wrong), 0);
}

static void speaks_http1(struct world *x, const char *alpn)
{
        static struct caller k[4];

        serve_tls(x, alpn, SG_PROTOCOL_AUTO);
        for (unsigned i = 0; i < 4; i++) {
                k[i] = (struct caller)CALL("/ok");
                call_start(&k[i], x);
        }
        wait_for(x, x->n_over + 4);
        for (unsigned i = 0; i < 4; i++) {
                assert_answer(&k[i], 200, "old");
                assert_false(sg_upcall_is_h2(k[i].call));
                call_done(&k[i]);
        }
        assert_int_equal(counts(x).n_opened, 4); /* each its own */
}

static void test_alpn_chooses_http1(void **state)
{
        speaks_http1(*state, "http/1.1");
}

static void test_without_alpn_http1_is_spoken(void **state)
{
        speaks_http1(*state, NULL);
}

static void test_http2_that_is_wanted_and_not_offered_is_a_fault(void **state)
{
        struct world *x = *state;
        struct caller k = CALL("/ok");

        serve_tls(x, NULL, SG_PROTOCOL_HTTP2);
        call_start(&k, x);
        call_wait(&k);
        assert_fault(&k, SG_UPSTREAM_F_TLS);
        assert_non_null(strstr(k.text, "HTTP/2"));
        call_done(&k);
}

static void test_http1_endpoint_offers_nothing_else(void **state)
{
        struct world *x = *state;
        struct caller k = CALL("/ok");

        serve_tls(x, "http/1.1", SG_PROTOCOL_HTTP1);
        ask(x, &k, 200, "old");
        call_done(&k);
}

static void feed_bytes(struct caller *k)
{
        const struct sg_str piece = SG_STR("x");

        sg_upcall_send(k->call, &piece, 1, false);
}

static void test_upgrade_goes_by_http1(void **state)
{
        static const struct act acts[] = {
                EXPECT("GET /ws HTTP/1.1\r\nhost: test\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n"),
                SEND("HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"), EXPECT("x"), END};
        static const struct act refused[] = {READ_REQUEST, ANSWER("2", "no"), WAIT_CLOSE, END};
        struct world *x = *state;
        struct caller k = CALL("/ws"), again = CALL("/ws");

        world_serve(x, acts, refused);
        x->endpoint.protocol = SG_PROTOCOL_HTTP2;
        k.request.upgrade = again.request.upgrade = SG_STR("websocket");
        k.feed = feed_bytes;
        ask(x, &k, 101, "");
        assert_false(sg_upcall_is_h2(k.call));
        ask(x, &again, 200, "no");
        assert_int_equal(counts(x).n_idle, 0); /* nobody else could use it */
        call_done(&k);
        call_done(&again);
}

/* ---- when it goes wrong */

static void answered_by_a_second(struct world *x, const char *path, unsigned n_first)
{
        struct caller k = CALL("/ok");

        serve(x);
        for (unsigned i = 0; i < n_first; i++)
                ask_ok(x);
        k.request.target = sg_str_from(path);
        ask(x, &k, 200, "ok");
        assert_int_equal(counts(x).n_opened, 2);
        call_done(&k);
}

static void test_refused_stream_is_sent_again(void **state)
{
        answered_by_a_second(*state, "/refuse", 0);
}

static void test_stream_refused_again_and_again_is_sent_again(void **state)
{
        struct world *x = *state;
        struct caller k = CALL("/refuse");

        server.n_refusing = 4;
        serve(x);
        ask(x, &k, 200, "ok");
        assert_int_equal(counts(x).n_opened, 6);
        call_done(&k);
}

static void test_refusing_for_ever_is_a_fault(void **state)
{
        struct world *x = *state;
        struct caller k = CALL("/refuse");

        server.n_refusing = 100;
        serve(x);
        call_start(&k, x);
        call_wait(&k);
        assert_fault(&k, SG_UPSTREAM_F_RESET);
        assert_int_equal(counts(x).n_opened, 6);
        call_done(&k);
}

static void test_stream_above_a_goaway_is_sent_again(void **state)
{
        answered_by_a_second(*state, "/goaway", 0);
}

static void test_reused_connection_that_breaks_is_replaced(void **state)
{
        answered_by_a_second(*state, "/close", 1);
}

static void expect_fault(struct world *x, struct caller *k, enum sg_upstream_fault why)
{
        call_start(k, x);
        call_wait(k);
        assert_fault(k, why);
        call_done(k);
}

static void test_fresh_connection_that_breaks_is_not_tried_again(void **state)
{
        struct world *x = *state;

        serve(x);
        expect_fault(x, &(struct caller)CALL("/close"), SG_UPSTREAM_F_RESET);
        assert_int_equal(counts(x).n_opened, 1);
}

static void test_without_leave_a_refused_stream_is_a_fault(void **state)
{
        struct world *x = *state;
        struct caller k = CALL("/refuse");

        serve(x);
        k.request.may_resend = false;
        expect_fault(x, &k, SG_UPSTREAM_F_RESET);
}

static void test_streamed_body_begins_anew(void **state)
{
        struct world *x = *state;
        struct caller k = STREAM("/close");

        serve(x);
        ask_ok(x);
        k.feed = feed_big;
        call_start(&k, x);
        while (k.n_rooms < 2) {
                k.n_fed = 0; /* it would not ask otherwise */
                run_few_turns(x->loop);
        }
        call_wait(&k);
        assert_answer(&k, 200, "ok");
        call_done(&k);
}

static void test_many_refused_share_the_next_connection(void **state)
{
        static struct caller k[MANY];
        struct world *x = *state;

        serve(x);
        ask_ok(x);
        for (unsigned i = 0; i < MANY; i++) {
                k[i] = (struct caller)CALL("/refuse");
                call_start(&k[i], x);
        }
        wait_for(x, x->n_over + MANY);
        for (unsigned i = 0; i < MANY; i++) {
                assert_answer(&k[i], 200, "ok");
                call_done(&k[i]);
        }
        assert_int_equal(counts(x).n_opened, 2);
}

static void test_goaway_lets_what_is_open_finish(void **state)
{
        struct world *x = *state;
        struct caller k = STREAM("/echo"), last = CALL("/last");

        serve(x);
        call_start(&k, x);
        while (k.n_heads == 0)
                run_few_turns(x->loop);
        ask(x, &last, 200, "ok");
        run_few_turns(x->loop);
        ask_ok(x); /* elsewhere */
        assert_int_equal(counts(x).n_opened, 2);
        assert_int_equal(atomic_load(&server.n_closed), 0);
        send_text(&k, "done", true);
        call_wait(&k);
        assert_answer(&k, 200, "done");
        wait_for_count(x, &server.n_closed, 1);
        call_done(&k);
        call_done(&last);
}

static void test_reset_inside_the_answer_is_truncated(void **state)
{
        struct world *x = *state;
        struct caller k = CALL("/reset");

        serve(x);
        call_start(&k, x);
        call_wait(&k);
        assert_int_equal(k.n_failed, 1);
        assert_true(k.fault == (k.n_heads ? SG_UPSTREAM_F_TRUNCATED : SG_UPSTREAM_F_RESET));
        call_done(&k);
        ask_ok(x);
        assert_int_equal(counts(x).n_opened, 1);
}

static void test_garbage_ends_all_on_the_connection(void **state)
{
        struct world *x = *state;
        struct caller k = CALL("/hold"), bad = CALL("/garbage");

        serve(x);
        call_start(&k, x);
        wait_for_count(x, &server.n_requests, 1);
        call_start(&bad, x);
        wait_for(x, x->n_over + 2);
        assert_fault(&k, SG_UPSTREAM_F_GARBAGE);
        assert_fault(&bad, SG_UPSTREAM_F_GARBAGE);
        call_done(&k);
        call_done(&bad);
        ask_ok(x);
}

static void test_server_of_http1_is_garbage(void **state)
{
        static const struct act acts[] = {SEND("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"), WAIT_CLOSE,
                                          END};
        struct world *x = *state;

        world_serve(x, acts, NULL);
        x->endpoint.protocol = SG_PROTOCOL_HTTP2;
        expect_fault(x, &(struct caller)CALL("/x"), SG_UPSTREAM_F_GARBAGE);
        assert_int_equal(counts(x).n_idle + counts(x).n_busy, 0);
}

static void test_server_that_never_speaks_is_given_up(void **state)
{
        static const struct act acts[] = {WAIT_CLOSE, END};
        struct world *x = *state;
        struct caller k = CALL("/x"), other = CALL("/x");

        world_serve(x, acts, acts);
        x->endpoint.protocol = SG_PROTOCOL_HTTP2;
        x->endpoint.connect_timeout_usec = 100 * MSEC;
        call_start(&k, x);
        call_start(&other, x);
        wait_for(x, x->n_over + 2);
        assert_fault(&k, SG_UPSTREAM_F_RESET);
        assert_non_null(strstr(k.text, "HTTP/2"));
        assert_int_equal(other.n_failed, 1);
        assert_int_equal(counts(x).n_idle + counts(x).n_busy, 0);
        call_done(&k);
        call_done(&other);
}

static void test_who_waits_shares_the_fault(void **state)
{
        static struct caller k[MANY];
        struct world *x = *state;

        serve(x);
        server_h2_stop(&server);
        for (unsigned i = 0; i < MANY; i++) {
                k[i] = (struct caller)CALL("/ok");
                call_start(&k[i], x);
        }
        wait_for(x, x->n_over + MANY);
        for (unsigned i = 0; i < MANY; i++) {
                assert_fault(&k[i], SG_UPSTREAM_F_CONNECT);
                call_done(&k[i]);
        }
        assert_int_equal(counts(x).n_opened, 1);
}

/* ---- between calls */

static void test_idle_connection_says_goodbye(void **state)
{
        struct world *x = *state;

        serve(x);
        x->endpoint.idle_timeout_usec = 20 * MSEC;
        ask_ok(x);
        wait_for_count(x, &server.n_closed, 1);
        assert_int_equal(atomic_load(&server.n_goaways), 1);
        assert_int_equal(counts(x).n_idle, 0);
}

static void test_one_warm_connection_is_enough(void **state)
{
        struct world *x = *state;

        serve(x);
        x->endpoint.n_warm = 3;
        assert_int_equal(sg_upstream_keep_warm(x->upstream, &x->endpoint), 0);
        sg_upstream_settle_warm(x->upstream);
        while (counts(x).n_idle == 0)
                run_few_turns(x->loop);
        run_few_turns(x->loop);
        ask_ok(x);
        assert_int_equal(counts(x).n_opened, 1);
}

static void test_vanished_peer_is_noticed_by_what_it_does_not_acknowledge(void **state)
{
        struct world *x = *state;
        struct caller k = CALL("/ok");
        unsigned msec = 0;
        socklen_t n = sizeof(msec);

        serve(x);
        call_start(&k, x);
        while (!k.call->conn)
                sg_loop_run(x->loop, MSEC, count_down, &(struct few_turns){x->loop, 1});
        assert_int_equal(getsockopt(k.call->conn->stream->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &msec, &n), 0);
        assert_int_equal(msec, 20000);
        call_wait(&k);
        call_done(&k);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                H2_TEST(test_answer_comes_and_the_connection_stays),
                H2_TEST(test_calls_that_come_together_wait_for_one_connection),
                H2_TEST(test_beyond_the_servers_limit_another_connection_is_opened),
                H2_TEST(test_connections_beyond_the_maximum_are_closed_when_idle),
                H2_TEST(test_alpn_chooses_http2),
                H2_TEST(test_alpn_chooses_http1),
                H2_TEST(test_without_alpn_http1_is_spoken),
                H2_TEST(test_http2_that_is_wanted_and_not_offered_is_a_fault),
                H2_TEST(test_http1_endpoint_offers_nothing_else),
                H2_TEST(test_upgrade_goes_by_http1),
                H2_TEST(test_refused_stream_is_sent_again),
                H2_TEST(test_stream_refused_again_and_again_is_sent_again),
                H2_TEST(test_refusing_for_ever_is_a_fault),
                H2_TEST(test_stream_above_a_goaway_is_sent_again),
                H2_TEST(test_reused_connection_that_breaks_is_replaced),
                H2_TEST(test_fresh_connection_that_breaks_is_not_tried_again),
                H2_TEST(test_without_leave_a_refused_stream_is_a_fault),
                H2_TEST(test_streamed_body_begins_anew),
                H2_TEST(test_many_refused_share_the_next_connection),
                H2_TEST(test_goaway_lets_what_is_open_finish),
                H2_TEST(test_reset_inside_the_answer_is_truncated),
                H2_TEST(test_garbage_ends_all_on_the_connection),
                H2_TEST(test_server_of_http1_is_garbage),
                H2_TEST(test_server_that_never_speaks_is_given_up),
                H2_TEST(test_who_waits_shares_the_fault),
                H2_TEST(test_idle_connection_says_goodbye),
                H2_TEST(test_one_warm_connection_is_enough),
                H2_TEST(test_vanished_peer_is_noticed_by_what_it_does_not_acknowledge),
        };

        return cmocka_run_group_tests(tests, make_ca, drop_ca);
}
