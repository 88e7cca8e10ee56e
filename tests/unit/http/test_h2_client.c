/* The client's role: whole exchanges with our own server, the bytes handed over in pieces of any size; and with a server made
 * of nghttp2's own session, which does what ours does not. */
#include <errno.h>
#include <stdio.h>

#include "h2_asker.h"
#include "h2_assert.h"
#include "heap.h"
#include "http/h2_internal.h"

/* ---- both ends are ours */

struct pair {
        struct asker a;
        struct owner o;
        size_t piece;
};

static void pair_init_as(struct pair *p, size_t piece, const struct sg_h2_limits *limits)
{
        p->piece = piece;
        asker_init_as(&p->a, limits);
        owner_init_with(&p->o, limits, &owner_events_all);
}

static void pair_init(struct pair *p, size_t piece)
{
        pair_init_as(p, piece, &owner_limits);
}

static void pair_done(struct pair *p)
{
        asker_done(&p->a);
        owner_done(&p->o);
}

/* What `from` has goes to `to`. True when there was something. */
static bool hand_on(struct sg_h2 *from, struct sg_h2 *to, size_t piece)
{
        struct sg_buf b;
        bool has_any;

        sg_buf_init(&b, SIZE_MAX);
        assert_int_equal(sg_h2_produce(from, &b, piece), 0);
        has_any = sg_buf_length(&b) > 0;
        assert_int_equal(receive_in_pieces(to, sg_buf_view(&b), piece), 0);
        sg_buf_done(&b);
        return has_any;
}

static void talk(struct pair *p)
{
        while (hand_on(p->a.h, p->o.h, p->piece) | hand_on(p->o.h, p->a.h, p->piece))
                ;
}

static void answer_hello(struct owner *o, struct exchange *e)
{
        assert_int_equal(sg_h2_send_head(&e->stream, 200, SG_STR("Content-Type: a\r\n"), true, 5, false), 0);
        assert_int_equal(sg_h2_send_body(&e->stream, &SG_STR("hello"), 1, true), 0);
}

static void answer_trailers(struct owner *o, struct exchange *e)
{
        assert_int_equal(sg_h2_send_head(&e->stream, 200, SG_STR(""), false, 0, false), 0);
        assert_int_equal(sg_h2_send_body(&e->stream, &SG_STR("hello"), 1, false), 0);
        assert_int_equal(sg_h2_send_trailers(&e->stream, SG_STR("Grpc-Status: 0\r\nHost: x\r\nGrpc-Message:\r\n")), 0);
}

static void answer_trailers_only(struct owner *o, struct exchange *e)
{
        assert_int_equal(sg_h2_send_head(&e->stream, 200, SG_STR(""), false, 0, false), 0);
        assert_int_equal(sg_h2_send_trailers(&e->stream, SG_STR("a: b\r\n")), 0);
}

static void answer_no_trailers(struct owner *o, struct exchange *e)
{
        assert_int_equal(sg_h2_send_head(&e->stream, 200, SG_STR(""), false, 0, false), 0);
        assert_int_equal(sg_h2_send_trailers(&e->stream, SG_STR("Set-Cookie: a\r\nConnection: close\r\n")), 0);
}

static void answer_head(struct owner *o, struct exchange *e)
{
        assert_int_equal(sg_h2_send_head(&e->stream, 200, SG_STR(""), true, 5, true), 0);
}

static void answer_continue(struct owner *o, struct exchange *e, const struct sg_head *head)
{
        assert_int_equal(sg_h2_send_continue(&e->stream), 0);
}

static const size_t all_pieces[] = {1, 7, 1000, 16384, 1u << 20};

static void test_exchange(void **state)
{
        const struct sg_str fields[] = {
                SG_STR("Accept: b\r\nHost: y\r\nConnection: close\r\nKeep-Alive: 5\r\nTE: gzip\r\nte: trailers, "
                       "gzip\r\n"
                       "Upgrade: c\r\nTransfer-Encoding: chunked\r\nProxy-Connection: d\r\nContent-Length: 9\r\n"),
                SG_STR("X-Id:7\r\n")};
        const struct sg_h2_request request = {.method = SG_STR("POST"),
                                              .scheme = SG_STR("https"),
                                              .authority = SG_STR("x:1"),
                                              .path = SG_STR("/a?b"),
                                              .fields = fields,
                                              .n_fields = 2,
                                              .has_length = true,
                                              .length = 10};

        for (size_t i = 0; i < SG_N_ELEMENTS(all_pieces); i++) {
                struct asked *q;
                struct pair p;

                pair_init(&p, all_pieces[i]);
                p.o.on_end = answer_hello;
                q = asker_open(&p.a, &request);
                talk(&p);
                assert_text(&p.o.text, "<1 POST /a?b @x:1 l10|content-length=10|accept=b|te=trailers|x-id=7>");
                assert_int_equal(sg_h2_send_body(&q->stream, &SG_STR("01234"), 1, false), 0);
                assert_int_equal(sg_h2_send_body(&q->stream, &SG_STR("56789"), 1, false), 0);
                assert_int_equal(sg_h2_queued(&q->stream), 10);
                assert_int_equal(sg_h2_send_body(&q->stream, NULL, 0, true), 0);
                talk(&p);
                assert_text(&p.o.text, "1+01234567891.1sent");
                assert_text(&p.a.text, "<1 200 l5|content-length=5|content-type=a>1+hello1.");
                assert_true(q->is_sent && !q->is_reset && !q->stream.h2);
                assert_int_equal(sg_h2_n_streams(p.a.h), 0);
                assert_int_equal(sg_h2_room(p.a.h), 100);
                assert_false(sg_h2_is_over(p.a.h) || sg_h2_wants_to_send(p.a.h));
                p.o.on_end = answer_head;
                ask_for(&p.a, "HEAD", true);
                talk(&p);
                assert_text(&p.o.text, "<3 HEAD /a @x >.3sent");
                assert_text(&p.a.text, "<3 200 l5|content-length=5>.");
                pair_done(&p);
        }
}

static void test_trailers(void **state)
{
        for (size_t i = 0; i < SG_N_ELEMENTS(all_pieces); i++) {
                struct asked *q;
                struct pair p;

                pair_init(&p, all_pieces[i]);
                p.o.on_end = answer_trailers;
                q = ask_for(&p.a, "POST", false);
                assert_int_equal(sg_h2_send_body(&q->stream, &SG_STR("b"), 1, false), 0);
                talk(&p);
                assert_int_equal(sg_h2_send_trailers(&q->stream, SG_STR("C: d\r\nContent-Length: 1\r\nTE: e\r\n")), 0);
                talk(&p);
                assert_text(&p.o.text, "<1 POST /a @x >1+b1[|c=d]1.1sent");
                assert_text(&p.a.text, "<1 200 >1+hello1[|grpc-status=0|grpc-message=]1.");
                assert_true(q->is_sent && !q->is_reset && !q->stream.h2);
                p.o.on_end = answer_trailers_only;
                ask_for(&p.a, "GET", true);
                talk(&p);
                assert_text(&p.a.text, "<3 200 >3[|a=b]3.");
                p.o.on_end = answer_no_trailers;
                ask_for(&p.a, "GET", true);
                talk(&p);
                assert_text(&p.a.text, "<5 200 >5.");
                assert_int_equal(sg_h2_n_streams(p.a.h) + sg_h2_n_streams(p.o.h), 0);
                pair_done(&p);
        }
}

static void answer_large(struct owner *o, struct exchange *e)
{
        static char body[300000];

        assert_int_equal(sg_h2_send_head(&e->stream, 200, SG_STR(""), false, 0, false), 0);
        assert_int_equal(sg_h2_send_body(&e->stream, &(struct sg_str){body, sizeof(body)}, 1, false), 0);
        assert_int_equal(sg_h2_send_trailers(&e->stream, SG_STR("a: b\r\n")), 0);
}

/* 300 kB each way with trailers behind them, through windows of 65,535. */
static void test_large_bodies(void **state)
{
        static char body[300000];

        for (size_t i = 0; i < SG_N_ELEMENTS(all_pieces); i++) {
                struct asked *q;
                struct pair p;

                pair_init(&p, all_pieces[i]);
                p.a.is_quiet = p.o.is_quiet = true;
                p.o.on_end = answer_large;
                q = ask_for(&p.a, "POST", false);
                assert_int_equal(sg_h2_send_body(&q->stream, &(struct sg_str){body, sizeof(body)}, 1, false), 0);
                assert_int_equal(sg_h2_send_trailers(&q->stream, SG_STR("a: b\r\n")), 0);
                talk(&p);
                assert_int_equal(owner_last(&p.o)->n_body, sizeof(body));
                assert_int_equal(q->n_body, sizeof(body));
                assert_true(q->has_ended && q->is_sent && !q->is_reset);
                pair_done(&p);
        }
}

static void test_window_comes_back_when_consumed(void **state)
{
        struct asked *q;
        struct pair p;

        pair_init(&p, 1u << 20);
        p.a.is_quiet = p.a.keeps = true;
        p.o.on_end = answer_large;
        q = ask_for(&p.a, "GET", true);
        talk(&p);
        assert_int_equal(q->n_body, 65535);
        sg_h2_consume(&q->stream, 65535);
        talk(&p);
        assert_int_equal(q->n_body, 2 * 65535);
        sg_h2_untie(&q->stream, SG_H2_RESET_CANCEL); /* gives back what was not consumed */
        p.a.keeps = false;
        q = ask_for(&p.a, "GET", true);
        talk(&p);
        assert_int_equal(q->n_body, 300000);
        assert_int_equal(owner_last(&p.o)->is_reset, false);
        pair_done(&p);
}

static void test_interim_is_swallowed(void **state)
{
        struct asked *q;
        struct pair p;

        pair_init(&p, 1000);
        p.o.on_head = answer_continue;
        p.o.on_end = answer_hello;
        q = ask_for(&p.a, "POST", false);
        talk(&p);
        assert_text(&p.a.text, "");
        assert_int_equal(sg_h2_send_body(&q->stream, NULL, 0, true), 0);
        talk(&p);
        assert_text(&p.a.text, "<1 200 l5|content-length=5|content-type=a>1+hello1.");
        pair_done(&p);
}

static void test_reset_by_the_server(void **state)
{
        struct pair p;

        pair_init(&p, 1000);
        p.a.is_quiet = true;
        for (enum sg_h2_reset why = 0; why < SG_H2_RESET_OTHER; why++) {
                struct asked *q = ask_for(&p.a, "POST", false);

                assert_int_equal(sg_h2_send_body(&q->stream, &SG_STR("hello"), 1, false), 0);
                talk(&p);
                sg_h2_untie(&owner_last(&p.o)->stream, why);
                talk(&p);
                assert_true(q->is_reset && !q->status);
                assert_int_equal(q->why, why);
        }
        p.o.refuses = true;
        ask_for(&p.a, "POST", false);
        talk(&p);
        assert_int_equal(asker_nth(&p.a, SG_H2_RESET_OTHER)->why, SG_H2_RESET_REFUSED);
        pair_done(&p);
}

/* The answer stands, whether the rest of the request is refused or sent. */
static void test_early_answer(void **state)
{
        static char body[100000];
        struct asked *q;
        struct pair p;

        pair_init(&p, 1u << 20);
        p.o.keeps = true;
        p.o.is_quiet = true;
        q = ask_for(&p.a, "POST", false);
        assert_int_equal(sg_h2_send_body(&q->stream, &(struct sg_str){body, sizeof(body)}, 1, false), 0);
        talk(&p);
        answer_hello(&p.o, owner_last(&p.o));
        talk(&p);
        assert_text(&p.a.text, "<1 200 l5|content-length=5|content-type=a>1+hello1.1!none");
        assert_true(q->has_ended && !q->is_sent);
        p.o.keeps_sent = true;
        q = ask_for(&p.a, "POST", false);
        talk(&p);
        answer_hello(&p.o, owner_last(&p.o));
        talk(&p);
        assert_text(&p.a.text, "<3 200 l5|content-length=5|content-type=a>3+hello3.");
        assert_non_null(q->stream.h2);
        assert_int_equal(sg_h2_send_body(&q->stream, NULL, 0, true), 0);
        talk(&p);
        assert_text(&p.a.text, "");
        assert_true(q->is_sent && !q->stream.h2);
        pair_done(&p);
}

/* The server drains: what is open goes on, what comes later goes elsewhere. */
static void test_server_drains(void **state)
{
        struct asked *q;
        struct pair p;

        pair_init(&p, 1000);
        ask_for(&p.a, "GET", true);
        talk(&p);
        sg_h2_drain(p.o.h);
        q = ask_for(&p.a, "GET", true); /* not sent before the GOAWAY is there */
        assert_true(hand_on(p.o.h, p.a.h, 1000));
        assert_text(&p.a.text, "3!refused<going away>");
        assert_true(q->is_reset);
        talk(&p);
        assert_false(sg_h2_is_over(p.a.h));
        answer_hello(&p.o, SG_CONTAINER(sg_list_first(&p.o.exchanges), struct exchange, link));
        talk(&p);
        assert_text(&p.a.text, "<1 200 l5|content-length=5|content-type=a>1+hello1.");
        assert_true(sg_h2_is_over(p.a.h) && sg_h2_is_over(p.o.h));
        assert_int_equal(p.o.exchanges.n, 1);
        pair_done(&p);
}

static void test_client_drains(void **state)
{
        struct pair p;

        pair_init(&p, 1000);
        ask_for(&p.a, "GET", true);
        talk(&p);
        sg_h2_drain(p.a.h);
        assert_int_equal(sg_h2_room(p.a.h), 0);
        talk(&p);
        assert_false(sg_h2_is_over(p.a.h));
        answer_hello(&p.o, owner_last(&p.o));
        talk(&p);
        assert_text(&p.a.text, "<1 200 l5|content-length=5|content-type=a>1+hello1.");
        assert_true(sg_h2_is_over(p.a.h));
        pair_done(&p);
}

/* The lower of both limits, once the server's is known. */
static void test_room(void **state)
{
        const struct sg_h2_limits three = {.n_streams_max = 3, .stream_window = 65535, .connection_window = 65535},
                                  two = {.n_streams_max = 2, .stream_window = 65535, .connection_window = 65535};
        struct pair p;

        p.piece = 1000;
        asker_init_as(&p.a, &three);
        owner_init_as(&p.o, &two);
        p.a.is_quiet = true;
        for (size_t i = 3; i > 0; i--) {
                assert_int_equal(sg_h2_room(p.a.h), i);
                ask_for(&p.a, "GET", true);
        }
        assert_int_equal(sg_h2_room(p.a.h), 0);
        talk(&p); /* it was not known */
        assert_true(asker_nth(&p.a, 2)->is_reset && asker_nth(&p.a, 2)->why == SG_H2_RESET_REFUSED);
        assert_int_equal(sg_h2_room(p.a.h), 0);
        answer_hello(&p.o, owner_last(&p.o));
        talk(&p);
        assert_int_equal(sg_h2_room(p.a.h), 1);
        sg_h2_untie(&asker_nth(&p.a, 0)->stream, SG_H2_RESET_CANCEL);
        assert_int_equal(sg_h2_room(p.a.h), 2);
        ask_for(&p.a, "GET", true);
        ask_for(&p.a, "GET", true);
        talk(&p);
        assert_int_equal(sg_h2_room(p.a.h), 0);
        assert_int_equal(sg_h2_n_streams(p.o.h), 2);
        assert_false(asker_nth(&p.a, 3)->is_reset || asker_nth(&p.a, 4)->is_reset);
        pair_done(&p);
}

static void test_last_stream_number(void **state)
{
        struct pair p;

        pair_init(&p, 1000);
        p.o.on_end = answer_hello;
        assert_int_equal(nghttp2_session_set_next_stream_id(p.a.h->session, INT32_MAX - 2), 0);
        assert_int_equal(sg_h2_room(p.a.h), 2);
        ask_for(&p.a, "GET", true);
        assert_int_equal(sg_h2_room(p.a.h), 1);
        ask_for(&p.a, "GET", true);
        assert_int_equal(sg_h2_room(p.a.h), 0);
        talk(&p);
        assert_int_equal(sg_h2_n_streams(p.a.h), 0);
        assert_int_equal(asker_nth(&p.a, 1)->status, 200);
        assert_int_equal(sg_h2_room(p.a.h), 0);
        pair_done(&p);
}

static void test_request_of_too_much(void **state)
{
        struct sg_h2_request request = {.method = SG_STR("GET"),
                                        .scheme = SG_STR("http"),
                                        .authority = SG_STR("x"),
                                        .path = SG_STR("/"),
                                        .n_fields = 1,
                                        .is_last = true};
        struct asked *q = calloc(1, sizeof(*q));
        struct sg_buf many;
        struct sg_str field;
        struct pair p;

        pair_init(&p, 1u << 20);
        sg_buf_init(&many, SIZE_MAX);
        for (unsigned i = 0; i <= SG_H2_FIELDS_MAX; i++)
                add(&many, "a: b\r\n", 6);
        field = sg_buf_view(&many);
        request.fields = &field;
        assert_int_equal(sg_h2_open(p.a.h, &q->stream, &request, &p.a), -E2BIG);
        sg_buf_clear(&many);
        add(&many, "a: ", 3);
        for (unsigned i = 0; i < 1024 * 1024; i++)
                add(&many, "b", 1);
        add(&many, "\r\n", 2);
        field = sg_buf_view(&many);
        assert_int_equal(sg_h2_open(p.a.h, &q->stream, &request, &p.a), -E2BIG);
        assert_null(q->stream.h2);
        assert_int_equal(sg_h2_n_streams(p.a.h), 0);
        field = sg_str_make("a: b\r\n", 6);
        assert_int_equal(sg_h2_open(p.a.h, &q->stream, &request, &p.a), 0);
        sg_list_push(&p.a.asked, &q->link);
        p.o.on_end = answer_hello;
        talk(&p);
        assert_int_equal(q->status, 200);
        sg_buf_done(&many);
        pair_done(&p);
}

/* ---- a server of nghttp2 */

struct server {
        nghttp2_session *session;
        struct sg_buf text; /* of requests: "<1 name=value…>", "1+n" bytes, "1!code" closed */
};

static int server_begin(nghttp2_session *session, const nghttp2_frame *frame, void *owner)
{
        struct server *s = owner;

        SG_ASSERT(sg_buf_printf(&s->text, "<%d", frame->hd.stream_id) == 0);
        return 0;
}

static int server_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t n_name,
                         const uint8_t *value, size_t n_value, uint8_t flags, void *owner)
{
        struct server *s = owner;

        SG_ASSERT(sg_buf_printf(&s->text, " %.*s=%.*s", (int)n_name, (const char *)name, (int)n_value,
                                (const char *)value) == 0);
        return 0;
}

static int server_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes, size_t n, void *owner)
{
        struct server *s = owner;

        SG_ASSERT(sg_buf_printf(&s->text, "%d+%zu", id, n) == 0);
        return 0;
}

static int server_frame(nghttp2_session *session, const nghttp2_frame *frame, void *owner)
{
        struct server *s = owner;

        if (frame->hd.type == NGHTTP2_HEADERS)
                SG_ASSERT(sg_buf_printf(&s->text, ">") == 0);
        if (frame->hd.type <= NGHTTP2_HEADERS && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
                SG_ASSERT(sg_buf_printf(&s->text, ".") == 0);
        return 0;
}

static int server_close(nghttp2_session *session, int32_t id, uint32_t code, void *owner)
{
        struct server *s = owner;

        SG_ASSERT(sg_buf_printf(&s->text, "%d!%u", id, code) == 0);
        return 0;
}

static void server_init(struct server *s, uint32_t n_streams_max)
{
        const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, n_streams_max}};
        nghttp2_session_callbacks *callbacks;

        sg_buf_init(&s->text, SIZE_MAX);
        assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
        nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, server_begin);
        nghttp2_session_callbacks_set_on_header_callback(callbacks, server_header);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, server_data);
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, server_frame);
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, server_close);
        assert_int_equal(nghttp2_session_server_new(&s->session, callbacks, s), 0);
        nghttp2_session_callbacks_del(callbacks);
        assert_int_equal(nghttp2_submit_settings(s->session, NGHTTP2_FLAG_NONE, settings, 1), 0);
}

static void server_done(struct server *s)
{
        nghttp2_session_del(s->session);
        sg_buf_done(&s->text);
}

/* What the server has to say. */
static bool tell(struct asker *a, struct server *s)
{
        const uint8_t *bytes;
        bool has_any = false;
        ssize_t n;

        while ((n = nghttp2_session_mem_send(s->session, &bytes)) > 0) {
                assert_int_equal(asker_receive(a, sg_str_make(bytes, (size_t)n), 1000), 0);
                has_any = true;
        }
        assert_int_equal(n, 0);
        return has_any;
}

/* Hands bytes over in both directions until neither has any. */
static void talk_to(struct asker *a, struct server *s)
{
        bool goes_on = true;

        while (goes_on) {
                struct sg_str v;

                assert_int_equal(sg_h2_produce(a->h, &a->out, SIZE_MAX), 0);
                v = sg_buf_view(&a->out);
                goes_on = v.n > 0;
                if (v.n)
                        assert_int_equal(nghttp2_session_mem_recv(s->session, (const uint8_t *)v.p, v.n), v.n);
                sg_buf_clear(&a->out);
                goes_on |= tell(a, s);
        }
}

#define NV(name, value)                                                                                                \
        {                                                                                                              \
                (uint8_t *)(uintptr_t)(name), (uint8_t *)(uintptr_t)(value), strlen(name), strlen(value),              \
                        NGHTTP2_NV_FLAG_NONE                                                                           \
        }
#define REQUEST(method) ":method=" method " :scheme=http :authority=x :path=/a"

static void test_exchange_with_nghttp2(void **state)
{
        const nghttp2_nv hints[] = {NV(":status", "103"), NV("link", "a")}, fields[] = {NV(":status", "200")},
                         trailers[] = {NV("b", "c")};
        struct asked *q;
        struct server s;
        struct asker a;

        server_init(&s, 10);
        asker_init(&a);
        q = ask_for(&a, "POST", false);
        assert_int_equal(sg_h2_send_body(&q->stream, &SG_STR("hello"), 1, false), 0);
        assert_int_equal(sg_h2_send_trailers(&q->stream, SG_STR("D: e\r\n")), 0);
        talk_to(&a, &s);
        assert_text(&s.text, "<1 " REQUEST("POST") ">1+5<1 d=e>.");
        assert_true(nghttp2_submit_headers(s.session, 0, 1, NULL, hints, 2, NULL) == 0);
        assert_true(nghttp2_submit_headers(s.session, 0, 1, NULL, fields, 1, NULL) == 0);
        assert_true(nghttp2_submit_headers(s.session, NGHTTP2_FLAG_END_STREAM, 1, NULL, trailers, 1, NULL) == 0);
        talk_to(&a, &s);
        assert_text(&a.text, "<1 200 >1[|b=c]1.");
        assert_text(&s.text, "1!0");
        asker_done(&a);
        server_done(&s);
}

/* What is waiting for the server's limit is opened later, or never. */
static void test_limit_is_lowered(void **state)
{
        const nghttp2_settings_entry one[] = {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1}};
        const nghttp2_nv fields[] = {NV(":status", "204")};
        struct server s;
        struct asker a;

        server_init(&s, 10);
        asker_init(&a);
        talk_to(&a, &s);
        assert_int_equal(sg_h2_room(a.h), 10);
        assert_int_equal(nghttp2_submit_settings(s.session, 0, one, 1), 0);
        for (int i = 0; i < 4; i++)
                ask_for(&a, "GET", true);
        tell(&a, &s);
        assert_int_equal(sg_h2_room(a.h), 0);
        talk_to(&a, &s);
        assert_text(&s.text, "<1 " REQUEST("GET") ">.");
        sg_h2_untie(&asker_nth(&a, 1)->stream, SG_H2_RESET_CANCEL); /* nobody hears of it */
        assert_int_equal(nghttp2_submit_response(s.session, 1, fields, 1, NULL), 0);
        talk_to(&a, &s);
        assert_text(&s.text, "1!0<5 " REQUEST("GET") ">.");
        assert_int_equal(nghttp2_submit_goaway(s.session, 0, 5, NGHTTP2_NO_ERROR, NULL, 0), 0);
        talk_to(&a, &s);
        assert_text(&a.text, "<1 204 >.7!refused<going away>");
        assert_int_equal(nghttp2_submit_response(s.session, 5, fields, 1, NULL), 0);
        talk_to(&a, &s);
        assert_text(&a.text, "<5 204 >.");
        assert_true(sg_h2_is_over(a.h));
        asker_done(&a);
        server_done(&s);
}

/* Those above its last stream are told at once, those below go on; what it says again is not told again. */
static void test_goaway(void **state)
{
        const nghttp2_nv fields[] = {NV(":status", "204")};
        struct server s;
        struct asker a;

        server_init(&s, 10);
        asker_init(&a);
        for (int i = 0; i < 4; i++)
                ask_for(&a, "GET", true);
        talk_to(&a, &s);
        ask_for(&a, "GET", true);
        assert_int_equal(nghttp2_submit_goaway(s.session, 0, 5, NGHTTP2_NO_ERROR, NULL, 0), 0);
        assert_int_equal(nghttp2_submit_goaway(s.session, 0, 3, NGHTTP2_NO_ERROR, NULL, 0), 0);
        tell(&a, &s);
        assert_text(&a.text, "9!refused7!refused<going away>5!refused");
        assert_int_equal(sg_h2_n_streams(a.h), 2);
        assert_int_equal(nghttp2_submit_response(s.session, 1, fields, 1, NULL), 0);
        assert_int_equal(nghttp2_submit_response(s.session, 3, fields, 1, NULL), 0);
        talk_to(&a, &s);
        assert_text(&a.text, "<1 204 >.<3 204 >.");
        assert_true(sg_h2_is_over(a.h));
        asker_done(&a);
        server_done(&s);
}

/* ---- memory */

static size_t cost_of_a_connection(void)
{
        struct sg_h2 *all[50];
        size_t before = heap(), cost;

        for (size_t i = 0; i < SG_N_ELEMENTS(all); i++)
                assert_int_equal(sg_h2_new_client(&all[i], &owner_limits, &asker_events, NULL), 0);
        cost = (heap() - before) / SG_N_ELEMENTS(all);
        for (size_t i = 0; i < SG_N_ELEMENTS(all); i++)
                sg_h2_free(all[i]);
        return cost;
}

/* That are asked for; the answer's head is there. */
static size_t cost_of_a_stream(void)
{
        enum {
                N = 100
        };
        size_t before, cost;
        struct asker a;
        struct sg_buf in;

        asker_init(&a);
        a.is_quiet = true;
        sg_buf_init(&in, SIZE_MAX);
        add_frame(&in, NGHTTP2_SETTINGS, 0, 0, SG_STR(""));
        assert_int_equal(asker_receive(&a, sg_buf_view(&in), SIZE_MAX), 0);
        assert_int_equal(asker_produce(&a), 0);
        before = heap();
        for (uint32_t id = 1; id < 2 * N; id += 2) {
                ask_for(&a, "POST", false);
                assert_int_equal(asker_produce(&a), 0);
                sg_buf_clear(&in);
                add_head(&in, id, SG_STR(":status=200"), false);
                assert_int_equal(asker_receive(&a, sg_buf_view(&in), SIZE_MAX), 0);
                sg_buf_clear(&a.frames);
        }
        cost = (heap() - before) / N;
        sg_buf_done(&in);
        asker_done(&a);
        return cost;
}

static void test_memory_is_bounded(void **state)
{
        const size_t connection = cost_of_a_connection(), stream = cost_of_a_stream();

        print_message("# a connection: %zu bytes; an open stream with struct asked: %zu\n", connection, stream);
        assert_in_range(connection, 1, 32 * 1024);
        assert_in_range(stream, 1, 1024);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_exchange),
                cmocka_unit_test(test_trailers),
                cmocka_unit_test(test_large_bodies),
                cmocka_unit_test(test_window_comes_back_when_consumed),
                cmocka_unit_test(test_interim_is_swallowed),
                cmocka_unit_test(test_reset_by_the_server),
                cmocka_unit_test(test_early_answer),
                cmocka_unit_test(test_server_drains),
                cmocka_unit_test(test_client_drains),
                cmocka_unit_test(test_room),
                cmocka_unit_test(test_last_stream_number),
                cmocka_unit_test(test_request_of_too_much),
                cmocka_unit_test(test_exchange_with_nghttp2),
                cmocka_unit_test(test_limit_is_lowered),
                cmocka_unit_test(test_goaway),
                cmocka_unit_test(test_memory_is_bounded),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
