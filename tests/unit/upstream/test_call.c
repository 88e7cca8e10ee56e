#include "../net/net_test.h"

#include "script.h"
#include "upstream/upstream.h"

#define ANSWER(body_length, body)                                                                                      \
        {                                                                                                              \
                ACT_SEND, "HTTP/1.1 200 OK\r\nContent-Length: " body_length "\r\n\r\n" body, 0                         \
        }
#define READ_REQUEST                                                                                                   \
        {                                                                                                              \
                ACT_READ_REQUEST, NULL, 0                                                                              \
        }
#define SEND(text)                                                                                                     \
        {                                                                                                              \
                ACT_SEND, text, 0                                                                                      \
        }
#define WAIT_CLOSE                                                                                                     \
        {                                                                                                              \
                ACT_WAIT_CLOSE, NULL, 0                                                                                \
        }
#define RESET                                                                                                          \
        {                                                                                                              \
                ACT_RESET, NULL, 0                                                                                     \
        }
#define END                                                                                                            \
        {                                                                                                              \
                ACT_END, NULL, 0                                                                                       \
        }

#define GET_HEAD "GET /x HTTP/1.1\r\nHost: test\r\n\r\n"

struct world {
        struct sg_loop *loop;
        struct sg_resolver *resolver;
        struct sg_upstream *upstream;
        struct sg_timer limit;
        struct sg_endpoint endpoint;
        struct sg_tls_trust *trust;
        struct script script;
        unsigned n_wanted, n_over;
};

enum frees {
        FREES_LATER,
        FREES_ON_SENT,
        FREES_ON_HEAD,
        FREES_ON_BODY,
        FREES_ON_END
};

struct caller {
        struct world *x;
        struct sg_upcall *call;
        struct sg_upcall_request request;
        unsigned n_sent, n_heads, n_bodies, n_ends, n_failed;
        unsigned status;
        struct sg_buf body;
        enum sg_upstream_fault fault;
        char text[320];
        bool was_reused;
        bool pauses; /* after each piece */
        enum frees frees;
};

static struct test_ca ca;

/* ---- the caller */

static void free_call(struct caller *k)
{
        k->call = sg_upcall_free(k->call);
        if (++k->x->n_over >= k->x->n_wanted)
                sg_loop_stop(k->x->loop);
}

static void on_sent(struct sg_upcall *c, void *owner)
{
        struct caller *k = owner;

        k->n_sent++;
        if (k->frees == FREES_ON_SENT)
                free_call(k);
}

static void on_head(struct sg_upcall *c, const struct sg_head *head, void *owner)
{
        struct caller *k = owner;

        k->n_heads++;
        k->status = head->status;
        k->was_reused = sg_upcall_was_reused(c);
        if (k->frees == FREES_ON_HEAD)
                free_call(k);
}

static void on_body(struct sg_upcall *c, struct sg_str bytes, void *owner)
{
        struct caller *k = owner;

        k->n_bodies++;
        assert_int_equal(sg_buf_add(&k->body, bytes), 0);
        if (k->pauses)
                sg_upcall_pause(c);
        if (k->frees == FREES_ON_BODY)
                free_call(k);
}

static void on_end(struct sg_upcall *c, void *owner)
{
        struct caller *k = owner;

        k->n_ends++;
        if (k->frees == FREES_ON_END)
                free_call(k);
        else if (++k->x->n_over >= k->x->n_wanted)
                sg_loop_stop(k->x->loop);
}

static void on_failed(struct sg_upcall *c, enum sg_upstream_fault why, const char *text, void *owner)
{
        struct caller *k = owner;

        k->n_failed++;
        k->fault = why;
        (void)snprintf(k->text, sizeof(k->text), "%s", text);
        if (k->frees == FREES_ON_END)
                free_call(k);
        else if (++k->x->n_over >= k->x->n_wanted)
                sg_loop_stop(k->x->loop);
}

static const struct sg_upcall_listener listener = {
        .on_sent = on_sent, .on_head = on_head, .on_body = on_body, .on_end = on_end, .on_failed = on_failed};

static void call_start(struct caller *k, struct world *x)
{
        k->x = x;
        sg_buf_init(&k->body, SIZE_MAX);
        if (!k->request.head.p) {
                k->request.method = SG_METHOD_GET;
                k->request.head = SG_STR(GET_HEAD);
                k->request.may_resend = true;
        }
        assert_int_equal(sg_upcall_new(&k->call, x->upstream, &x->endpoint, &k->request, &listener, k), 0);
        assert_int_equal(k->n_sent + k->n_heads + k->n_ends + k->n_failed, 0); /* never from inside */
}

static void call_done(struct caller *k)
{
        k->call = sg_upcall_free(k->call);
        sg_buf_done(&k->body);
}

static void wait_for(struct world *x, unsigned n_over)
{
        x->n_wanted = n_over;
        if (x->n_over >= n_over)
                return;
        sg_timer_start(&x->limit, LIMIT_SEC * SG_USEC_PER_SEC);
        sg_loop_run(x->loop, SG_USEC_NEVER, NULL, NULL);
        sg_timer_stop(&x->limit);
}

static void call_wait(struct caller *k)
{
        wait_for(k->x, k->x->n_over + 1);
}

static void assert_answer(struct caller *k, unsigned status, const char *body)
{
        if (k->n_failed)
                fail_msg("fault %s: %s", sg_upstream_fault_name(k->fault), k->text);
        assert_int_equal(k->n_heads, 1);
        assert_int_equal(k->n_ends, 1);
        assert_int_equal(k->status, status);
        if (!sg_str_eq(sg_buf_view(&k->body), sg_str_from(body)))
                fail_msg("body \"" SG_STR_FMT "\", not \"%s\"", SG_STR_ARG(sg_buf_view(&k->body)), body);
}

static void assert_fault(struct caller *k, enum sg_upstream_fault why)
{
        assert_int_equal(k->n_failed, 1);
        assert_int_equal(k->n_ends, 0);
        assert_string_equal(sg_upstream_fault_name(k->fault), sg_upstream_fault_name(why));
        assert_true(strlen(k->text) > 0);
}

static struct sg_upstream_counts counts(struct world *x)
{
        struct sg_upstream_counts n;

        sg_upstream_get_counts(x->upstream, &n);
        return n;
}

/* ---- the world */

static void on_limit(struct sg_timer *t, void *owner)
{
        fail_msg("the call did not end within the time limit");
}

static int setup(void **state)
{
        static struct world x;

        x = (struct world){.loop = NULL};
        assert_int_equal(sg_loop_new(&x.loop), 0);
        assert_int_equal(sg_timer_init(&x.limit, x.loop, on_limit, &x), 0);
        /* A server where nobody answers: names are known from literals and /etc/hosts only. */
        assert_int_equal(sg_resolver_new_with(
                                 &x.resolver, x.loop,
                                 &(struct sg_resolver_options){.servers = "127.0.0.1:1", .timeout_usec = 300 * MSEC}),
                         0);
        assert_int_equal(sg_upstream_new(&x.upstream, x.loop, x.resolver), 0);
        *state = &x;
        return 0;
}

static void serve(struct world *x, const struct act *a, const struct act *b)
{
        x->script.connections[0] = a;
        x->script.connections[1] = b;
        script_start(&x->script);
        x->endpoint = (struct sg_endpoint){.host = SG_STR("127.0.0.1"),
                                           .port = ntohs(x->script.address.sin_port),
                                           .pool_key = SG_STR("test"),
                                           .connect_timeout_usec = 5 * SG_USEC_PER_SEC,
                                           .idle_timeout_usec = 60 * SG_USEC_PER_SEC,
                                           .pool_max = 4};
}

static int teardown(void **state)
{
        struct world *x = *state;

        x->upstream = sg_upstream_free(x->upstream);
        sg_resolver_free(x->resolver);
        sg_timer_done(&x->limit);
        sg_loop_free(x->loop);
        sg_tls_trust_unref(x->trust);
        if (x->script.address.sin_port)
                script_stop(&x->script);
        if (x->script.credentials)
                gnutls_certificate_free_credentials(x->script.credentials);
        return 0;
}

/* ---- tests */

static void test_answer_is_told_and_the_connection_used_again(void **state)
{
        static const struct act acts[] = {READ_REQUEST,          ANSWER("5", "first"), READ_REQUEST,
                                          ANSWER("6", "second"), WAIT_CLOSE,           END};
        struct world *x = *state;
        struct caller k = {.n_sent = 0}, again = {.n_sent = 0};
        char peer[32];

        serve(x, acts, NULL);
        (void)snprintf(peer, sizeof(peer), "127.0.0.1:%u", x->endpoint.port);
        call_start(&k, x);
        call_wait(&k);
        assert_answer(&k, 200, "first");
        assert_int_equal(k.n_sent, 1);
        assert_false(k.was_reused);
        assert_string_equal(sg_upcall_peer(k.call), peer);
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

        serve(x, acts, NULL);
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
        struct caller k = {
                .request = {.method = SG_METHOD_HEAD, .head = SG_STR("HEAD /x HTTP/1.1\r\nHost: t\r\n\r\n")}};
        struct caller again = {.n_sent = 0};

        serve(x, acts, NULL);
        call_start(&k, x);
        call_wait(&k);
        assert_answer(&k, 200, "");
        call_start(&again, x);
        call_wait(&again);
        assert_answer(&again, 200, "ok");
        call_done(&k);
        call_done(&again);
}

/* ---- connections that break */

static const struct sg_str small_body[] = {{"hel", 3}, {"", 0}, {"lo", 2}};
#define POST_SMALL                                                                                                     \
        {                                                                                                              \
                .method = SG_METHOD_POST, .head = SG_STR("POST /x HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\n"),  \
                .body = small_body, .n_body = 3, .may_resend = true                                                    \
        }

static void test_stale_connection_is_replaced_and_the_body_sent_again(void **state)
{
        static const struct act stale[] = {READ_REQUEST, ANSWER("2", "ok"), READ_REQUEST, END};
        static const struct act fresh[] = {READ_REQUEST, ANSWER("5", "again"), WAIT_CLOSE, END};
        struct world *x = *state;
        struct caller k = {.request = POST_SMALL}, again = {.request = POST_SMALL};

        serve(x, stale, fresh);
        call_start(&k, x);
        call_wait(&k);
        call_start(&again, x);
        call_wait(&again);
        assert_answer(&again, 200, "again");
        assert_false(again.was_reused);
        assert_int_equal(counts(x).n_opened, 2);
        call_done(&k);
        call_done(&again);
        sg_upstream_close_idle(x->upstream);
        script_stop(&x->script);
        x->script.address.sin_port = 0;
        assert_int_equal(x->script.request_sum[1] != 0, 1);
        assert_int_equal(x->script.request_bytes[0], 2 * x->script.request_bytes[1]);
}

static void test_without_leave_a_stale_connection_is_a_fault(void **state)
{
        static const struct act stale[] = {READ_REQUEST, ANSWER("2", "ok"), READ_REQUEST, END};
        struct world *x = *state;
        struct caller k = {.n_sent = 0}, again = {.request = POST_SMALL};

        serve(x, stale, NULL);
        call_start(&k, x);
        call_wait(&k);
        again.request.may_resend = false;
        call_start(&again, x);
        call_wait(&again);
        assert_fault(&again, SG_UPSTREAM_F_RESET);
        call_done(&k);
        call_done(&again);
}

static void test_fresh_connection_that_breaks_is_not_tried_again(void **state)
{
        static const struct act acts[] = {READ_REQUEST, END};
        struct world *x = *state;
        struct caller k = {.n_sent = 0};

        serve(x, acts, acts);
        call_start(&k, x);
        call_wait(&k);
        assert_fault(&k, SG_UPSTREAM_F_RESET);
        assert_int_equal(counts(x).n_opened, 1);
        call_done(&k);
}

static void test_answer_begun_on_a_reused_connection_is_not_asked_again(void **state)
{
        static const struct act stale[] = {READ_REQUEST, ANSWER("2", "ok"), READ_REQUEST, SEND("HTTP/1.1 20"), END};
        struct world *x = *state;
        struct caller k = {.n_sent = 0}, again = {.n_sent = 0};

        serve(x, stale, stale);
        call_start(&k, x);
        call_wait(&k);
        call_start(&again, x);
        call_wait(&again);
        assert_fault(&again, SG_UPSTREAM_F_TRUNCATED);
        assert_int_equal(counts(x).n_opened, 1);
        call_done(&k);
        call_done(&again);
}

static void expect_fault(struct world *x, const struct act *acts, enum sg_upstream_fault why, unsigned n_heads)
{
        struct caller k = {.n_sent = 0};

        serve(x, acts, NULL);
        call_start(&k, x);
        call_wait(&k);
        assert_fault(&k, why);
        assert_int_equal(k.n_heads, n_heads);
        assert_int_equal(counts(x).n_idle + counts(x).n_busy, 0);
        call_done(&k);
}

static void test_fewer_bytes_than_declared_are_truncated(void **state)
{
        static const struct act acts[] = {READ_REQUEST, ANSWER("10", "short"), END};

        expect_fault(*state, acts, SG_UPSTREAM_F_TRUNCATED, 1);
}

static void test_chunked_without_its_end_is_truncated(void **state)
{
        static const struct act acts[] = {
                READ_REQUEST, SEND("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"), END};

        expect_fault(*state, acts, SG_UPSTREAM_F_TRUNCATED, 1);
}

static void test_reset_inside_the_answer_is_truncated(void **state)
{
        static const struct act acts[] = {READ_REQUEST, ANSWER("1000", "some"), RESET, END};
        struct world *x = *state;
        struct caller k = {.n_sent = 0};

        serve(x, acts, NULL);
        call_start(&k, x);
        call_wait(&k);
        /* The reset may overtake the bytes. */
        assert_int_equal(k.n_failed, 1);
        assert_true(k.fault == (k.n_heads ? SG_UPSTREAM_F_TRUNCATED : SG_UPSTREAM_F_RESET));
        call_done(&k);
}

static void test_garbage_is_named(void **state)
{
        static const struct act acts[] = {READ_REQUEST, SEND("220 mail.example ESMTP\r\n\r\n"), WAIT_CLOSE, END};

        expect_fault(*state, acts, SG_UPSTREAM_F_GARBAGE, 0);
}

static void test_two_lengths_are_garbage(void **state)
{
        static const struct act acts[] = {READ_REQUEST,
                                          SEND("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc"),
                                          WAIT_CLOSE, END};

        expect_fault(*state, acts, SG_UPSTREAM_F_GARBAGE, 0);
}

static void test_more_bytes_than_declared_cost_the_connection(void **state)
{
        static const struct act acts[] = {READ_REQUEST, ANSWER("2", "okHTTP/1.1 200 OK\r\n"), WAIT_CLOSE, END};
        struct world *x = *state;
        struct caller k = {.n_sent = 0};

        serve(x, acts, NULL);
        call_start(&k, x);
        call_wait(&k);
        assert_answer(&k, 200, "ok");
        assert_int_equal(counts(x).n_idle, 0);
        call_done(&k);
}

static void wait_until_closed(struct world *x, unsigned n)
{
        while (atomic_load(&x->script.n_closed) < n)
                run_few_turns(x->loop);
        run_few_turns(x->loop);
}

static void test_idle_connection_that_closes_is_dropped(void **state)
{
        static const struct act acts[] = {READ_REQUEST, ANSWER("2", "ok"), END};
        struct world *x = *state;
        struct caller k = {.n_sent = 0};

        serve(x, acts, NULL);
        call_start(&k, x);
        call_wait(&k);
        wait_until_closed(x, 1);
        assert_int_equal(counts(x).n_idle, 0);
        call_done(&k);
}

static void test_idle_connection_that_speaks_is_dropped(void **state)
{
        static const struct act acts[] = {READ_REQUEST,
                                          ANSWER("2", "ok"),
                                          READ_REQUEST,
                                          ANSWER("2", "ok"),
                                          SEND("HTTP/1.1 408 Request Timeout\r\n\r\n"),
                                          WAIT_CLOSE,
                                          END};
        struct world *x = *state;
        struct caller k = {.n_sent = 0}, again = {.n_sent = 0};

        serve(x, acts, NULL);
        call_start(&k, x);
        call_wait(&k);
        call_start(&again, x);
        call_wait(&again);
        wait_until_closed(x, 1); /* it closes because we do */
        assert_int_equal(counts(x).n_idle, 0);
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
        k->request = (struct sg_upcall_request){
                .method = SG_METHOD_POST,
                .head = SG_STR("POST /x HTTP/1.1\r\nHost: t\r\nContent-Length: 20971520\r\n\r\n"),
                .body = body,
                .n_body = 3,
                .may_resend = true};
}

static void test_large_body_arrives_whole(void **state)
{
        static const struct act acts[] = {READ_REQUEST, ANSWER("2", "ok"), WAIT_CLOSE, END};
        struct world *x = *state;
        struct caller k = {.n_sent = 0};
        struct sg_str body[3];
        char *bytes = malloc(BIG_BYTES);
        unsigned sum = 0;

        big_request(&k, body, bytes);
        serve(x, acts, NULL);
        call_start(&k, x);
        call_wait(&k);
        assert_answer(&k, 200, "ok");
        assert_int_equal(k.n_sent, 1);
        assert_int_equal(counts(x).n_idle, 1);
        for (size_t i = 0; i < k.request.head.n; i++)
                sum = sum * 31 + (unsigned char)k.request.head.p[i];
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
        serve(x, acts, NULL);
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

        serve(x, acts, NULL);
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

        serve(x, acts, NULL);
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

/* ---- connecting */

static void test_refused_connection_is_a_fault(void **state)
{
        static const struct act none[] = {END};
        struct world *x = *state;
        struct caller k = {.n_sent = 0};

        serve(x, none, NULL);
        script_stop(&x->script);
        x->script.address.sin_port = 0;
        call_start(&k, x);
        call_wait(&k);
        assert_fault(&k, SG_UPSTREAM_F_CONNECT);
        assert_non_null(strstr(k.text, "Connection refused"));
        assert_non_null(strstr(k.text, "127.0.0.1"));
        call_done(&k);
}

static void test_second_address_is_tried_when_the_first_refuses(void **state)
{
        static const struct act acts[] = {READ_REQUEST, ANSWER("2", "ok"), WAIT_CLOSE, END};
        struct world *x = *state;
        struct caller k = {.n_sent = 0};

        serve(x, acts, NULL); /* listens on 127.0.0.1 only; localhost may be ::1 first */
        x->endpoint.host = SG_STR("localhost");
        call_start(&k, x);
        call_wait(&k);
        assert_answer(&k, 200, "ok");
        call_done(&k);
}

static void test_black_hole_times_out(void **state)
{
        struct world *x = *state;
        struct caller k = {.n_sent = 0};
        struct sockaddr_in a;
        int hole = listen_on_loopback(&a), fill[32];
        uint64_t before = sg_clock_usec();

        /* A full backlog drops the SYN of whoever comes next. */
        assert_int_equal(listen(hole, 0), 0);
        for (size_t i = 0; i < SG_N_ELEMENTS(fill); i++) {
                fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
                (void)!connect(fill[i], (struct sockaddr *)&a, sizeof(a));
        }
        x->endpoint = (struct sg_endpoint){.host = SG_STR("127.0.0.1"),
                                           .port = ntohs(a.sin_port),
                                           .pool_key = SG_STR("hole"),
                                           .connect_timeout_usec = 150 * MSEC};
        call_start(&k, x);
        call_wait(&k);
        assert_fault(&k, SG_UPSTREAM_F_TIMEOUT);
        assert_in_range(sg_clock_usec() - before, 140 * MSEC, 5000 * MSEC);
        call_done(&k);
        for (size_t i = 0; i < SG_N_ELEMENTS(fill); i++)
                close(fill[i]);
        close(hole);
}

static void test_unknown_name_is_a_fault(void **state)
{
        struct world *x = *state;
        struct caller k = {.n_sent = 0};

        x->endpoint = (struct sg_endpoint){.host = SG_STR("no-such-name.invalid"),
                                           .port = 80,
                                           .pool_key = SG_STR("name"),
                                           .connect_timeout_usec = 5 * SG_USEC_PER_SEC};
        call_start(&k, x);
        call_wait(&k);
        assert_fault(&k, SG_UPSTREAM_F_RESOLVE);
        assert_non_null(strstr(k.text, "no-such-name.invalid"));
        call_done(&k);
}

/* ---- the pool */

static void test_pool_keeps_no_more_than_its_maximum(void **state)
{
        static const struct act acts[] = {READ_REQUEST, ANSWER("2", "ok"), WAIT_CLOSE, END};
        struct world *x = *state;
        struct caller k[2] = {{.n_sent = 0}, {.n_sent = 0}};

        serve(x, acts, acts);
        x->endpoint.pool_max = 0;
        call_start(&k[0], x);
        call_wait(&k[0]);
        assert_int_equal(counts(x).n_idle, 0);
        x->endpoint.pool_max = 1;
        call_start(&k[1], x);
        call_wait(&k[1]);
        assert_int_equal(counts(x).n_idle, 1);
        sg_upstream_close_idle(x->upstream);
        assert_int_equal(counts(x).n_idle, 0);
        call_done(&k[0]);
        call_done(&k[1]);
}

static void test_idle_connection_ends_by_its_timeout(void **state)
{
        static const struct act acts[] = {READ_REQUEST, ANSWER("2", "ok"), WAIT_CLOSE, END};
        struct world *x = *state;
        struct caller k = {.n_sent = 0};

        serve(x, acts, NULL);
        x->endpoint.idle_timeout_usec = 20 * MSEC;
        call_start(&k, x);
        call_wait(&k);
        assert_int_equal(counts(x).n_idle, 1);
        wait_until_closed(x, 1);
        assert_int_equal(counts(x).n_idle, 0);
        call_done(&k);
}

static void test_other_key_does_not_share_connections(void **state)
{
        static const struct act acts[] = {READ_REQUEST, ANSWER("2", "ok"), END};
        struct world *x = *state;
        struct caller k = {.n_sent = 0}, other = {.n_sent = 0};

        serve(x, acts, acts);
        call_start(&k, x);
        call_wait(&k);
        x->endpoint.pool_key = SG_STR("other");
        call_start(&other, x);
        call_wait(&other);
        assert_answer(&other, 200, "ok");
        assert_false(other.was_reused);
        call_done(&k);
        call_done(&other);
}

/* ---- freeing */

static void free_in(struct world *x, enum frees when)
{
        static const struct act acts[] = {READ_REQUEST, ANSWER("5", "hello"), WAIT_CLOSE, END};
        struct caller k = {.frees = when};

        serve(x, acts, NULL);
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

        serve(x, acts, NULL);
        call_start(&k, x);
        call_done(&k);
        run_few_turns(x->loop);
        assert_int_equal(counts(x).n_opened, 0);
        x->endpoint.host = SG_STR("no-such-name.invalid");
        call_start(&k, x);
        sg_loop_run(x->loop, MSEC, count_down, &(struct few_turns){x->loop, 1});
        call_done(&k); /* while resolving */
        run_few_turns(x->loop);
        assert_int_equal(k.n_failed, 0);
}

static void test_free_in_a_fault(void **state)
{
        static const struct act acts[] = {READ_REQUEST, END};
        struct world *x = *state;
        struct caller k = {.frees = FREES_ON_END};

        serve(x, acts, NULL);
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
        serve(x, acts, NULL);
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

static int make_ca(void **state)
{
        test_ca_init(&ca, "Upstream test CA");
        return 0;
}

static int drop_ca(void **state)
{
        test_ca_done(&ca);
        return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_answer_is_told_and_the_connection_used_again),
                TEST(test_every_framing_is_understood),
                TEST(test_answer_to_head_has_no_body),
                TEST(test_stale_connection_is_replaced_and_the_body_sent_again),
                TEST(test_without_leave_a_stale_connection_is_a_fault),
                TEST(test_fresh_connection_that_breaks_is_not_tried_again),
                TEST(test_answer_begun_on_a_reused_connection_is_not_asked_again),
                TEST(test_fewer_bytes_than_declared_are_truncated),
                TEST(test_chunked_without_its_end_is_truncated),
                TEST(test_reset_inside_the_answer_is_truncated),
                TEST(test_garbage_is_named),
                TEST(test_two_lengths_are_garbage),
                TEST(test_more_bytes_than_declared_cost_the_connection),
                TEST(test_idle_connection_that_closes_is_dropped),
                TEST(test_idle_connection_that_speaks_is_dropped),
                TEST(test_large_body_arrives_whole),
                TEST(test_early_answer_is_told_while_the_server_waits),
                TEST(test_early_answer_survives_the_close_behind_it),
                TEST(test_paused_call_loses_nothing),
                TEST(test_end_waits_for_a_paused_call),
                TEST(test_refused_connection_is_a_fault),
                TEST(test_second_address_is_tried_when_the_first_refuses),
                TEST(test_black_hole_times_out),
                TEST(test_unknown_name_is_a_fault),
                TEST(test_pool_keeps_no_more_than_its_maximum),
                TEST(test_idle_connection_ends_by_its_timeout),
                TEST(test_other_key_does_not_share_connections),
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
