/* Bodies that are streamed, trailers, and what becomes of a call after an upgrade. */
#include "caller.h"

#include "upstream/upstream_internal.h"

#define STREAMED                                                                                                       \
        {                                                                                                              \
                .method = SG_METHOD_POST, .method_text = SG_STR("POST"), .target = SG_STR("/x"),                       \
                .authority = SG_STR("test"), .kind = SG_UPCALL_BODY_STREAM, .may_resend = true                         \
        }
#define POST_LINES "POST /x HTTP/1.1\r\nhost: test\r\n"
#define CHUNKED    POST_LINES "transfer-encoding: chunked\r\n\r\n"
#define READ_HEAD                                                                                                      \
        {                                                                                                              \
                ACT_READ_HEAD, NULL, 0                                                                                 \
        }

static void send_text(struct caller *k, const char *text, bool is_last)
{
        const struct sg_str piece = sg_str_from(text);

        sg_upcall_send(k->call, &piece, 1, is_last);
}

/* The server has read all that it should have, and the pool holds so many connections. */
static void finish(struct world *x, struct caller *k, uint64_t n_idle)
{
        assert_int_equal(counts(x).n_idle, n_idle);
        call_done(k);
        sg_upstream_close_idle(x->upstream);
        script_stop(&x->script);
        x->script.address.sin_port = 0;
        assert_int_equal(atomic_load(&x->script.n_unexpected), 0);
}

/* ---- what goes over the wire */

static void feed_small(struct caller *k)
{
        const unsigned n_sent = k->n_sent;

        assert_int_equal(sg_upcall_n_given(k->call), 0);
        sg_upcall_send(k->call, small_body, 3, false);
        sg_upcall_send(k->call, small_body, 0, false); /* no chunk: it would be the last */
        assert_int_equal(sg_upcall_n_given(k->call), 5);
        sg_upcall_send(k->call, small_body, 1, true);
        assert_int_equal(k->n_sent, n_sent); /* never from inside */
}

static void stream_small(struct world *x, struct caller *k, const struct act *acts)
{
        world_serve(x, acts, NULL);
        k->feed = feed_small;
        call_start(k, x);
        assert_true(sg_upcall_is_full(k->call));
        call_wait(k);
        assert_answer(k, 200, "ok");
        assert_int_equal(k->n_sent, 1);
        assert_int_equal(k->n_rooms, 1);
        assert_false(sg_upcall_is_full(k->call));
        sg_upcall_send(k->call, small_body, 3, false); /* too late: nobody hears it */
        finish(x, k, 1);
}

static void test_body_of_unknown_length_goes_in_chunks(void **state)
{
        static const struct act acts[] = {EXPECT(CHUNKED "5\r\nhello\r\n3\r\nhel\r\n0\r\n\r\n"), ANSWER("2", "ok"),
                                          WAIT_CLOSE, END};

        stream_small(*state, &(struct caller){.request = STREAMED}, acts);
}

static void test_body_of_known_length_goes_as_it_is(void **state)
{
        static const struct act acts[] = {EXPECT(POST_LINES "x-a: b\r\nx-c: d\r\ncontent-length: 8\r\n\r\nhellohel"),
                                          ANSWER("2", "ok"), WAIT_CLOSE, END};
        const struct sg_str fields[] = {SG_STR("x-a: b\r\n"), SG_STR(""), SG_STR("x-c: d\r\n")};
        struct caller k = {.request = STREAMED};

        k.request.has_length = true;
        k.request.length = 8;
        k.request.fields = fields;
        k.request.n_fields = SG_N_ELEMENTS(fields);
        stream_small(*state, &k, acts);
}

static int give_fd(void *owner, int *ret_fd)
{
        *ret_fd = *(int *)owner;
        return 0;
}

static void test_head_and_first_pieces_are_one_write(void **state)
{
        /* A packet socket keeps the bounds of writes. */
        struct world *x = *state;
        struct caller k = {.request = STREAMED, .feed = feed_small};
        char got[256];
        int fds[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
        x->endpoint = (struct sg_endpoint){
                .host = SG_STR("pair"), .pool_key = SG_STR("pair"), .open_builtin = give_fd, .builtin_owner = &fds[1]};
        call_start(&k, x);
        run_few_turns(x->loop);
        assert_int_equal(recv(fds[0], got, sizeof(got), 0), sizeof(CHUNKED "5\r\nhello\r\n") - 1);
        call_done(&k);
        close(fds[0]);
}

static void feed_nothing(struct caller *k)
{
        send_text(k, "", true);
}

static void test_empty_body_has_its_end(void **state)
{
        static const struct act acts[] = {
                EXPECT(CHUNKED "0\r\n\r\n"), ANSWER("2", "ok"), EXPECT(POST_LINES "content-length: 0\r\n\r\n"),
                ANSWER("2", "ok"),           WAIT_CLOSE,        END};
        struct world *x = *state;
        struct caller k = {.request = STREAMED, .feed = feed_nothing}, again = k;

        world_serve(x, acts, NULL);
        call_start(&k, x);
        call_wait(&k);
        assert_answer(&k, 200, "ok");
        again.request.has_length = true;
        call_start(&again, x);
        call_wait(&again);
        assert_answer(&again, 200, "ok");
        assert_true(again.was_reused);
        call_done(&k);
        finish(x, &again, 1);
}

static void test_head_goes_alone_when_there_is_nothing_yet(void **state)
{
        static const struct act acts[] = {EXPECT(CHUNKED),
                                          SEND("HTTP/1.1 100 Continue\r\n\r\n"),
                                          EXPECT("2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
                                          ANSWER("2", "ok"),
                                          WAIT_CLOSE,
                                          END};
        struct world *x = *state;
        struct caller k = {.request = STREAMED};

        world_serve(x, acts, NULL);
        call_start(&k, x);
        while (k.n_rooms == 0)
                run_few_turns(x->loop);
        run_few_turns(x->loop);
        send_text(&k, "he", false);
        run_few_turns(x->loop);
        assert_int_equal(k.n_sent, 0);
        send_text(&k, "llo", true);
        call_wait(&k);
        assert_answer(&k, 200, "ok");
        assert_int_equal(k.n_sent, 1);
        finish(x, &k, 1);
}

/* ---- back pressure */

#define BIG_BYTES (16u * 1024u * 1024u)

static void feed_big(struct caller *k)
{
        static char bytes[64 * 1024];
        const struct sg_str piece = sg_str_make(bytes, sizeof(bytes));

        while (k->n_fed < BIG_BYTES && !sg_upcall_is_full(k->call)) {
                k->n_fed += sizeof(bytes);
                sg_upcall_send(k->call, &piece, 1, k->n_fed == BIG_BYTES);
                if (k->n_fed < BIG_BYTES)
                        assert_true(sg_stream_queued(k->call->conn->stream) <= SG_STREAM_OUT_BYTES_MAX + sizeof(bytes));
        }
}

static void test_full_socket_pauses_the_source(void **state)
{
        static const struct act acts[] = {READ_REQUEST, ANSWER("2", "ok"), WAIT_CLOSE, END};
        struct world *x = *state;
        struct caller k = {.request = STREAMED, .feed = feed_big};

        world_serve(x, acts, NULL);
        k.request.has_length = true;
        k.request.length = BIG_BYTES;
        call_start(&k, x);
        call_wait(&k);
        assert_answer(&k, 200, "ok");
        assert_true(k.n_rooms > 1);
        assert_int_equal(k.n_sent, 1);
        finish(x, &k, 1);
        assert_int_equal(x->script.request_bytes[0],
                         sizeof(POST_LINES "content-length: 16777216\r\n\r\n") - 1 + BIG_BYTES);
}

/* ---- answers before the body is whole */

static void wait_for_head(struct world *x, struct caller *k)
{
        while (k->n_heads == 0)
                run_few_turns(x->loop);
}

static void test_body_goes_on_behind_an_early_answer(void **state)
{
        static const struct act acts[] = {EXPECT(CHUNKED),
                                          SEND("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab"),
                                          EXPECT("5\r\nhello\r\n0\r\n\r\n"),
                                          SEND("cd"),
                                          WAIT_CLOSE,
                                          END};
        struct world *x = *state;
        struct caller k = {.request = STREAMED};

        world_serve(x, acts, NULL);
        call_start(&k, x);
        wait_for_head(x, &k);
        assert_int_equal(k.n_sent, 0);
        send_text(&k, "hello", true);
        call_wait(&k);
        assert_answer(&k, 200, "abcd");
        assert_int_equal(k.n_sent, 1);
        finish(x, &k, 1);
}

static void test_body_that_is_not_whole_costs_the_connection(void **state)
{
        static const struct act acts[] = {EXPECT(CHUNKED), ANSWER("2", "no"), WAIT_CLOSE, END};
        struct world *x = *state;
        struct caller k = {.request = STREAMED};

        world_serve(x, acts, NULL);
        call_start(&k, x);
        call_wait(&k);
        assert_answer(&k, 200, "no");
        assert_int_equal(k.n_sent, 0);
        send_text(&k, "late", true);
        run_few_turns(x->loop);
        assert_int_equal(k.n_sent, 0);
        finish(x, &k, 0);
        assert_int_equal(x->script.request_bytes[0], 0); /* but what was expected */
}

/* ---- once more on a fresh connection */

static void use_once(struct world *x, struct caller *k)
{
        call_start(k, x);
        call_wait(k);
        assert_answer(k, 200, "ok");
        call_done(k);
}

static void test_streamed_body_begins_anew_on_a_fresh_connection(void **state)
{
        static const struct act stale[] = {READ_REQUEST, ANSWER("2", "ok"), EXPECT(CHUNKED "5\r\nhello\r\n"), END};
        static const struct act fresh[] = {EXPECT(CHUNKED "5\r\nhello\r\n3\r\nhel\r\n0\r\n\r\n"), ANSWER("5", "again"),
                                           WAIT_CLOSE, END};
        struct world *x = *state;
        struct caller first = {.n_sent = 0}, k = {.request = STREAMED, .feed = feed_small};

        world_serve(x, stale, fresh);
        use_once(x, &first);
        call_start(&k, x);
        call_wait(&k);
        assert_answer(&k, 200, "again");
        assert_int_equal(k.n_rooms, 2);
        assert_int_equal(counts(x).n_opened, 2);
        finish(x, &k, 1);
}

static void feed_half(struct caller *k)
{
        if (k->n_rooms == 1)
                send_text(k, "hello", false);
        else
                feed_small(k);
}

static void test_pieces_between_a_break_and_the_next_room_are_not_heard(void **state)
{
        static const struct act stale[] = {READ_REQUEST, ANSWER("2", "ok"), EXPECT(CHUNKED "5\r\nhello\r\n"), END};
        static const struct act fresh[] = {EXPECT(CHUNKED "5\r\nhello\r\n3\r\nhel\r\n0\r\n\r\n"), ANSWER("5", "again"),
                                           WAIT_CLOSE, END};
        struct world *x = *state;
        struct caller first = {.n_sent = 0}, k = {.request = STREAMED, .feed = feed_half};

        world_serve(x, stale, fresh);
        use_once(x, &first);
        call_start(&k, x);
        while (!k.call->was_resent)
                sg_loop_run(x->loop, MSEC, count_down, &(struct few_turns){x->loop, 1});
        assert_true(sg_upcall_is_full(k.call));
        assert_int_equal(k.n_rooms, 1);
        send_text(&k, "lost", false);
        call_wait(&k);
        assert_answer(&k, 200, "again");
        finish(x, &k, 1);
}

static void feed_and_forget(struct caller *k)
{
        feed_small(k);
        assert_true(sg_upcall_forbid_resend(k->call));
}

static void test_what_was_let_go_is_not_sent_again(void **state)
{
        static const struct act stale[] = {READ_REQUEST, ANSWER("2", "ok"), READ_HEAD, END};
        struct world *x = *state;
        struct caller first = {.n_sent = 0}, k = {.request = STREAMED, .feed = feed_and_forget};

        world_serve(x, stale, NULL);
        use_once(x, &first);
        call_start(&k, x);
        call_wait(&k);
        assert_fault(&k, SG_UPSTREAM_F_RESET);
        assert_int_equal(counts(x).n_opened, 1);
        finish(x, &k, 0);
}

/* ---- trailers */

static void test_trailers_are_told_before_the_end(void **state)
{
        static const struct act acts[] = {READ_REQUEST,
                                          SEND("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n"
                                               "Grpc-Status: 0\r\nX: y\r\n\r\n"),
                                          WAIT_CLOSE, END};
        struct world *x = *state;
        struct caller k = {.n_sent = 0};

        world_serve(x, acts, NULL);
        call_start(&k, x);
        call_wait(&k);
        assert_answer(&k, 200, "ok");
        assert_true(sg_str_eq(sg_buf_view(&k.trailers), SG_STR("Grpc-Status=0;X=y;")));
        finish(x, &k, 1);
}

/* ---- upgrades */

#define UPGRADE                                                                                                        \
        {                                                                                                              \
                .method = SG_METHOD_GET, .method_text = SG_STR("GET"), .target = SG_STR("/ws"),                        \
                .authority = SG_STR("test"), .upgrade = SG_STR("websocket"), .may_resend = true                        \
        }
#define UPGRADE_HEAD "GET /ws HTTP/1.1\r\nhost: test\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n"
#define SWITCHED     "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n"

static void feed_ping(struct caller *k)
{
        assert_int_equal(k->n_heads, 1);
        if (k->n_fed++ == 0)
                send_text(k, "ping", false);
}

static void wait_for_bytes(struct caller *k, const char *all)
{
        while (sg_buf_length(&k->body) < strlen(all))
                run_few_turns(k->x->loop);
        assert_true(sg_str_eq(sg_buf_view(&k->body), sg_str_from(all)));
}

static void test_tunnel_carries_bytes_both_ways(void **state)
{
        static const struct act acts[] = {EXPECT(UPGRADE_HEAD),
                                          SEND(SWITCHED "hello"),
                                          EXPECT("ping"),
                                          SEND("pong"),
                                          EXPECT("more"),
                                          SEND("!"),
                                          END};
        struct world *x = *state;
        struct caller k = {.request = UPGRADE, .feed = feed_ping};

        world_serve(x, acts, NULL);
        call_start(&k, x);
        wait_for_bytes(&k, "hellopong");
        assert_int_equal(k.status, 101);
        send_text(&k, "more", false);
        call_wait(&k);
        assert_answer(&k, 101, "hellopong!");
        assert_int_equal(k.n_sent, 1);
        finish(x, &k, 0);
}

static void test_server_ends_first_and_still_listens(void **state)
{
        static const struct act acts[] = {EXPECT(UPGRADE_HEAD), SEND(SWITCHED "bye"), FIN, EXPECT("ping"),
                                          EXPECT("late"),       WAIT_CLOSE,           END};
        struct world *x = *state;
        struct caller k = {.request = UPGRADE, .feed = feed_ping};

        world_serve(x, acts, NULL);
        call_start(&k, x);
        call_wait(&k);
        assert_answer(&k, 101, "bye");
        send_text(&k, "late", true);
        send_text(&k, "later", true); /* it is over */
        wait_until_closed(x, 1);
        assert_int_equal(k.n_ends + k.n_failed, 1);
        finish(x, &k, 0);
}

static void test_client_ends_first_and_still_hears(void **state)
{
        static const struct act acts[] = {EXPECT(UPGRADE_HEAD), SEND(SWITCHED),   EXPECT("ping"),
                                          WAIT_CLOSE,           SEND("the rest"), END};
        struct world *x = *state;
        struct caller k = {.request = UPGRADE, .feed = feed_ping};

        world_serve(x, acts, NULL);
        call_start(&k, x);
        wait_for_head(x, &k);
        send_text(&k, "", true);
        call_wait(&k);
        assert_answer(&k, 101, "the rest");
        finish(x, &k, 0);
}

static void test_last_bytes_leave_after_the_call(void **state)
{
        static const struct act acts[] = {EXPECT(UPGRADE_HEAD), SEND(SWITCHED), FIN, WAIT_CLOSE, END};
        struct world *x = *state;
        struct caller k = {.request = UPGRADE};
        char *bytes = calloc(1, BIG_BYTES);
        const struct sg_str piece = sg_str_make(bytes, BIG_BYTES);

        world_serve(x, acts, NULL);
        call_start(&k, x);
        call_wait(&k);
        assert_answer(&k, 101, "");
        sg_upcall_send(k.call, &piece, 1, true);
        call_done(&k);
        wait_until_closed(x, 1);
        finish(x, &k, 0);
        assert_int_equal(x->script.request_bytes[0], BIG_BYTES);
        free(bytes);
}

static void test_paused_tunnel_loses_nothing(void **state)
{
        static const struct act acts[] = {
                EXPECT(UPGRADE_HEAD), SEND(SWITCHED), {ACT_SEND_MANY, "0123456789abcdef0123456789abcdef", 20000}, END};
        struct world *x = *state;
        struct caller k = {.request = UPGRADE, .pauses = true};

        world_serve(x, acts, NULL);
        call_start(&k, x);
        while (k.n_ends + k.n_failed == 0) {
                run_few_turns(x->loop);
                sg_upcall_resume(k.call);
        }
        assert_int_equal(k.n_ends, 1);
        assert_int_equal(sg_buf_length(&k.body), 32 * 20000);
        finish(x, &k, 0);
}

static void test_tunnel_that_breaks_is_truncated(void **state)
{
        static const struct act acts[] = {EXPECT(UPGRADE_HEAD), SEND(SWITCHED "x"), EXPECT("ping"), RESET};
        struct world *x = *state;
        struct caller k = {.request = UPGRADE, .feed = feed_ping};

        world_serve(x, acts, NULL);
        call_start(&k, x);
        call_wait(&k);
        assert_fault(&k, SG_UPSTREAM_F_TRUNCATED);
        finish(x, &k, 0);
}

static void test_refused_upgrade_is_an_ordinary_answer(void **state)
{
        static const struct act acts[] = {
                EXPECT(UPGRADE_HEAD), SEND("HTTP/1.1 426 Not So\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nno"),
                WAIT_CLOSE, END};
        struct world *x = *state;
        struct caller k = {.request = UPGRADE};

        world_serve(x, acts, NULL);
        call_start(&k, x);
        call_wait(&k);
        assert_answer(&k, 426, "no");
        assert_int_equal(k.n_rooms, 0);
        finish(x, &k, 1);
}

static void expect_garbage(struct world *x, struct caller *k, const char *answer)
{
        const struct act acts[] = {READ_REQUEST, {ACT_SEND, answer, 0}, WAIT_CLOSE, END};

        world_serve(x, acts, NULL);
        call_start(k, x);
        call_wait(k);
        assert_fault(k, SG_UPSTREAM_F_GARBAGE);
        assert_int_equal(k->n_heads, 0);
        finish(x, k, 0);
}

static void test_switch_that_nobody_asked_for_is_garbage(void **state)
{
        expect_garbage(*state, &(struct caller){.n_sent = 0}, SWITCHED);
}

static void test_switch_to_another_protocol_is_garbage(void **state)
{
        expect_garbage(*state, &(struct caller){.request = UPGRADE},
                       "HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n");
}

/* ---- freeing */

static void test_free_in_the_first_room(void **state)
{
        static const struct act acts[] = {WAIT_CLOSE, END};
        struct world *x = *state;
        struct caller k = {.request = STREAMED, .frees = FREES_ON_ROOM};

        world_serve(x, acts, NULL);
        call_start(&k, x);
        call_wait(&k);
        wait_until_closed(x, 1);
        finish(x, &k, 0);
        assert_int_equal(x->script.request_bytes[0], 0);
}

static void test_free_of_a_tunnel_closes_it(void **state)
{
        static const struct act acts[] = {EXPECT(UPGRADE_HEAD), SEND(SWITCHED), WAIT_CLOSE, END};
        struct world *x = *state;
        struct caller k = {.request = UPGRADE, .frees = FREES_ON_ROOM};

        world_serve(x, acts, NULL);
        call_start(&k, x);
        call_wait(&k);
        wait_until_closed(x, 1);
        finish(x, &k, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_body_of_unknown_length_goes_in_chunks),
                TEST(test_body_of_known_length_goes_as_it_is),
                TEST(test_head_and_first_pieces_are_one_write),
                TEST(test_empty_body_has_its_end),
                TEST(test_head_goes_alone_when_there_is_nothing_yet),
                TEST(test_full_socket_pauses_the_source),
                TEST(test_body_goes_on_behind_an_early_answer),
                TEST(test_body_that_is_not_whole_costs_the_connection),
                TEST(test_streamed_body_begins_anew_on_a_fresh_connection),
                TEST(test_pieces_between_a_break_and_the_next_room_are_not_heard),
                TEST(test_what_was_let_go_is_not_sent_again),
                TEST(test_trailers_are_told_before_the_end),
                TEST(test_tunnel_carries_bytes_both_ways),
                TEST(test_server_ends_first_and_still_listens),
                TEST(test_client_ends_first_and_still_hears),
                TEST(test_last_bytes_leave_after_the_call),
                TEST(test_paused_tunnel_loses_nothing),
                TEST(test_tunnel_that_breaks_is_truncated),
                TEST(test_refused_upgrade_is_an_ordinary_answer),
                TEST(test_switch_that_nobody_asked_for_is_garbage),
                TEST(test_switch_to_another_protocol_is_garbage),
                TEST(test_free_in_the_first_room),
                TEST(test_free_of_a_tunnel_closes_it),
        };

        return cmocka_run_group_tests(tests, make_ca, drop_ca);
}
