#include "caller.h"

static void test_answer_is_told_and_the_connection_used_again(void **state)
{
        static const struct act acts[] = {READ_REQUEST,          ANSWER("5", "first"), READ_REQUEST,
                                          ANSWER("6", "second"), WAIT_CLOSE,           END};
        struct world *x = *state;
        struct caller k = {.n_sent = 0}, again = {.n_sent = 0};

        world_serve(x, acts, NULL);
        call_start(&k, x);
        call_wait(&k);
        assert_answer(&k, 200, "first");
        assert_int_equal(k.n_sent, 1);
        assert_false(k.was_reused);
        assert_int_equal(counts(x).n_idle, 1);
        call_start(&again, x);
        call_wait(&again);
        assert_answer(&again, 200, "second");
        assert_true(again.was_reused);
        assert_int_equal(counts(x).n_opened, 1);
        assert_int_equal(counts(x).n_reused, 1);
        call_done(&k);
        call_done(&again);
}

static void test_every_framing_is_understood(void **state)
{
        static const struct act acts[] = {
                READ_REQUEST,
                SEND("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"),
                READ_REQUEST,
                SEND("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
                     "HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok"),
                READ_REQUEST,
                SEND("HTTP/1.1 204 No Content\r\n\r\n"),
                READ_REQUEST,
                SEND("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end"),
                END};
        static const struct {
                unsigned status;
                const char *body;
        } expected[] = {{200, "hello world"}, {201, "ok"}, {204, ""}, {200, "to the end"}};
        struct world *x = *state;

        world_serve(x, acts, NULL);
        for (size_t i = 0; i < SG_N_ELEMENTS(expected); i++) {
                struct caller k = {.n_sent = 0};

                call_start(&k, x);
                call_wait(&k);
                assert_answer(&k, expected[i].status, expected[i].body);
                call_done(&k);
        }
        assert_int_equal(counts(x).n_opened, 1);
        assert_int_equal(counts(x).n_idle, 0); /* the last one closed it */
}

static void test_answer_to_head_has_no_body(void **state)
{
        static const struct act acts[] = {READ_REQUEST, SEND("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
                                          READ_REQUEST, ANSWER("2", "ok"),
                                          WAIT_CLOSE,   END};
        struct world *x = *state;
        struct caller k = {.request = {.method = SG_METHOD_HEAD,
                                       .method_text = SG_STR("HEAD"),
                                       .target = SG_STR("/x"),
                                       .authority = SG_STR("test")}};
        struct caller again = {.n_sent = 0};

        world_serve(x, acts, NULL);
        call_start(&k, x);
        call_wait(&k);
        assert_answer(&k, 200, "");
        call_start(&again, x);
        call_wait(&again);
        assert_answer(&again, 200, "ok");
        call_done(&k);
        call_done(&again);
}

/* ---- large bodies */

#define BIG_BYTES (20u * 1024u * 1024u)

static void big_request(struct caller *k, struct sg_str body[3], char *bytes)
{
        for (size_t i = 0; i < BIG_BYTES; i++)
                bytes[i] = (char)(i * 2654435761u >> 9);
        body[0] = sg_str_make(bytes, 1000001);
        body[1] = sg_str_make(bytes + 1000001, 1);
        body[2] = sg_str_make(bytes + 1000002, BIG_BYTES - 1000002);
        k->request = (struct sg_upcall_request){.method = SG_METHOD_POST,
                                                .method_text = SG_STR("POST"),
                                                .target = SG_STR("/x"),
                                                .authority = SG_STR("test"),
                                                .kind = SG_UPCALL_BODY_WHOLE,
                                                .body = body,
                                                .n_body = 3,
                                                .may_resend = true};
}

static void test_large_body_arrives_whole(void **state)
{
        static const struct act acts[] = {READ_REQUEST, ANSWER("2", "ok"), WAIT_CLOSE, END};
        struct world *x = *state;
        static const char head[] = "POST /x HTTP/1.1\r\nhost: test\r\ncontent-length: 20971520\r\n\r\n";
        struct caller k = {.n_sent = 0};
        struct sg_str body[3];
        char *bytes = malloc(BIG_BYTES);
        unsigned sum = 0;

        big_request(&k, body, bytes);
        world_serve(x, acts, NULL);
        call_start(&k, x);
        call_wait(&k);
        assert_answer(&k, 200, "ok");
        assert_int_equal(k.n_sent, 1);
        assert_int_equal(counts(x).n_idle, 1);
        for (size_t i = 0; i < sizeof(head) - 1; i++)
                sum = sum * 31 + (unsigned char)head[i];
        for (size_t i = 0; i < BIG_BYTES; i++)
                sum = sum * 31 + (unsigned char)bytes[i];
        call_done(&k);
        sg_upstream_close_idle(x->upstream);
        script_stop(&x->script);
        x->script.address.sin_port = 0;
        assert_int_equal(x->script.request_sum[0], sum);
        free(bytes);
}

static void early_answer(struct world *x, const struct act *acts, const char *body_text)
{
        struct caller k = {.n_sent = 0};
        struct sg_str body[3];
        char *bytes = malloc(BIG_BYTES);

        big_request(&k, body, bytes);
        world_serve(x, acts, NULL);
        call_start(&k, x);
        call_wait(&k);
        assert_answer(&k, 413, body_text);
        assert_int_equal(k.n_sent, 0);
        assert_int_equal(counts(x).n_idle, 0); /* the rest of the body was not sent: of no use to another request */
        call_done(&k);
        free(bytes);
}

static void test_early_answer_is_told_while_the_server_waits(void **state)
{
        static const struct act acts[] = {{ACT_READ_HEAD, NULL, 0},
                                          SEND("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig"),
                                          WAIT_CLOSE,
                                          END};

        early_answer(*state, acts, "big");
}

static void test_early_answer_survives_the_close_behind_it(void **state)
{
        static const struct act acts[] = {
                {ACT_READ_HEAD, NULL, 0}, SEND("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig"), END};

        early_answer(*state, acts, "big");
}

static void test_paused_call_loses_nothing(void **state)
{
        static const struct act acts[] = {READ_REQUEST,
                                          SEND("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"),
                                          {ACT_SEND_MANY, "0123456789abcdef0123456789abcdef", 20000},
                                          END};
        struct world *x = *state;
        struct caller k = {.pauses = true};
        unsigned n_pieces = 0;

        world_serve(x, acts, NULL);
        call_start(&k, x);
        while (k.n_ends + k.n_failed == 0) {
                run_few_turns(x->loop);
                assert_true(k.n_bodies <= n_pieces + 1); /* one at a time */
                n_pieces = k.n_bodies;
                if (k.call && k.n_ends == 0)
                        sg_upcall_resume(k.call);
        }
        assert_int_equal(k.n_ends, 1);
        assert_int_equal(sg_buf_length(&k.body), 32 * 20000);
        call_done(&k);
}

static void test_end_waits_for_a_paused_call(void **state)
{
        static const struct act acts[] = {READ_REQUEST, ANSWER("5", "hello"), WAIT_CLOSE, END};
        struct world *x = *state;
        struct caller k = {.pauses = true};

        world_serve(x, acts, NULL);
        call_start(&k, x);
        while (k.n_bodies == 0)
                run_few_turns(x->loop);
        run_few_turns(x->loop);
        assert_int_equal(k.n_ends, 0);
        sg_upcall_resume(k.call);
        call_wait(&k);
        assert_answer(&k, 200, "hello");
        assert_int_equal(counts(x).n_idle, 1);
        call_done(&k);
}

/* ---- freeing */

static void free_in(struct world *x, enum frees when)
{
        static const struct act acts[] = {READ_REQUEST, ANSWER("5", "hello"), WAIT_CLOSE, END};
        struct caller k = {.frees = when};

        world_serve(x, acts, NULL);
        call_start(&k, x);
        call_wait(&k);
        run_few_turns(x->loop);
        assert_null(k.call);
        assert_int_equal(k.n_ends, when == FREES_ON_END);
        assert_int_equal(k.n_failed, 0);
        assert_int_equal(counts(x).n_busy, 0);
        if (when != FREES_ON_END)
                wait_until_closed(x, 1); /* the provider sees it at once */
        call_done(&k);
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

static void test_free_before_anything_happens(void **state)
{
        static const struct act acts[] = {WAIT_CLOSE, END};
        struct world *x = *state;
        struct caller k = {.n_sent = 0};
        unsigned n_failed;

        world_serve(x, acts, NULL);
        call_start(&k, x);
        call_done(&k);
        run_few_turns(x->loop);
        assert_int_equal(counts(x).n_opened, 0);
        assert_int_equal(k.n_failed, 0);
        x->endpoint.host = SG_STR("no-such-name.invalid");
        call_start(&k, x);
        sg_loop_run(x->loop, MSEC, count_down, &(struct few_turns){x->loop, 1});
        n_failed = k.n_failed; /* c-ares 1.34 knows .invalid by itself and has failed already */
        call_done(&k);         /* else while resolving */
        run_few_turns(x->loop);
        assert_int_equal(k.n_failed, n_failed);
}

static void test_free_in_a_fault(void **state)
{
        static const struct act acts[] = {READ_REQUEST, END};
        struct world *x = *state;
        struct caller k = {.frees = FREES_ON_END};

        world_serve(x, acts, NULL);
        call_start(&k, x);
        call_wait(&k);
        assert_null(k.call);
        assert_fault(&k, SG_UPSTREAM_F_RESET);
        call_done(&k);
}

/* ---- built-in endpoints and TLS */

struct builtin {
        struct world *x;
        struct sg_stream *stream;
        unsigned n_opened;
};

static size_t builtin_on_bytes(struct sg_stream *s, struct sg_str bytes, void *owner)
{
        if (!sg_str_ends(bytes, SG_STR("\r\n\r\n")))
                return 0;
        assert_int_equal(write_to(s, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\necho"), 0);
        return bytes.n;
}

static int builtin_open(void *owner, int *ret_fd)
{
        static const struct sg_stream_listener builtin_listener = {.on_bytes = builtin_on_bytes};
        struct builtin *b = owner;
        int fds[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
        assert_int_equal(sg_stream_new_fd(&b->stream, b->x->loop, fds[0], NULL, &builtin_listener, b), 0);
        sg_stream_resume(b->stream);
        b->n_opened++;
        *ret_fd = fds[1];
        return 0;
}

static void test_builtin_endpoint_is_asked_and_pooled(void **state)
{
        struct world *x = *state;
        struct builtin b = {.x = x};

        x->endpoint = (struct sg_endpoint){.host = SG_STR("echo"),
                                           .pool_key = SG_STR("echo"),
                                           .idle_timeout_usec = SG_USEC_PER_SEC,
                                           .pool_max = 2,
                                           .open_builtin = builtin_open,
                                           .builtin_owner = &b};
        for (int i = 0; i < 3; i++) {
                struct caller k = {.n_sent = 0};

                call_start(&k, x);
                call_wait(&k);
                assert_answer(&k, 200, "echo");
                call_done(&k);
        }
        assert_int_equal(b.n_opened, 1);
        sg_stream_free(b.stream);
}

static void serve_tls(struct world *x, const struct act *acts)
{
        struct sg_error err;

        x->script.credentials = test_ca_sign(
                &ca, &(struct test_server_certificate){.dns_name = "localhost", .from_days = -1, .to_days = 1});
        world_serve(x, acts, NULL);
        assert_int_equal(sg_tls_trust_new(&x->trust, ca.file, &err), 0);
        x->endpoint.is_tls = true;
        x->endpoint.trust = x->trust;
}

static void test_call_goes_through_tls(void **state)
{
        static const struct act acts[] = {
                READ_REQUEST, ANSWER("6", "secret"), READ_REQUEST, ANSWER("6", "second"), WAIT_CLOSE, END};
        struct world *x = *state;
        struct caller k = {.request = POST_SMALL}, again = {.request = POST_SMALL};

        serve_tls(x, acts);
        x->endpoint.host = SG_STR("localhost");
        call_start(&k, x);
        call_wait(&k);
        assert_answer(&k, 200, "secret");
        call_start(&again, x);
        call_wait(&again);
        assert_answer(&again, 200, "second");
        assert_true(again.was_reused);
        call_done(&k);
        call_done(&again);
}

static void test_wrong_certificate_is_a_fault(void **state)
{
        static const struct act acts[] = {READ_REQUEST, END};
        struct world *x = *state;
        struct caller k = {.n_sent = 0};

        serve_tls(x, acts); /* for localhost, not for 127.0.0.1 */
        call_start(&k, x);
        call_wait(&k);
        assert_fault(&k, SG_UPSTREAM_F_TLS);
        assert_non_null(strstr(k.text, "for another name"));
        call_done(&k);
}

static void test_tls_cut_off_truncates_a_close_delimited_answer(void **state)
{
        static const struct act acts[] = {READ_REQUEST, SEND("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf"), END};
        struct world *x = *state;
        struct caller k = {.n_sent = 0};

        serve_tls(x, acts); /* the script closes without close_notify: anybody could have sent that FIN */
        x->endpoint.host = SG_STR("localhost");
        call_start(&k, x);
        call_wait(&k);
        assert_fault(&k, SG_UPSTREAM_F_TRUNCATED);
        call_done(&k);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_answer_is_told_and_the_connection_used_again),
                TEST(test_every_framing_is_understood),
                TEST(test_answer_to_head_has_no_body),
                TEST(test_large_body_arrives_whole),
                TEST(test_early_answer_is_told_while_the_server_waits),
                TEST(test_early_answer_survives_the_close_behind_it),
                TEST(test_paused_call_loses_nothing),
                TEST(test_end_waits_for_a_paused_call),
                TEST(test_free_when_sent),
                TEST(test_free_at_the_head),
                TEST(test_free_inside_the_body),
                TEST(test_free_at_the_end),
                TEST(test_free_before_anything_happens),
                TEST(test_free_in_a_fault),
                TEST(test_builtin_endpoint_is_asked_and_pooled),
                TEST(test_call_goes_through_tls),
                TEST(test_wrong_certificate_is_a_fault),
                TEST(test_tls_cut_off_truncates_a_close_delimited_answer),
        };

        return cmocka_run_group_tests(tests, make_ca, drop_ca);
}
