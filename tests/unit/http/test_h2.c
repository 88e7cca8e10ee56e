/* Whole exchanges with a client made of nghttp2's own session, in one process, the bytes handed over in pieces of any
 * size; and, with frames byte by byte, what no client does by itself. */
#include <errno.h>
#include <stdio.h>

#include "h2_assert.h"

struct answer {
        unsigned status;
        size_t n_fields, n_body, n_data, n_empty_data;
        bool is_whole, was_continued;
        uint32_t closed_by; /* the code, once closed */
        bool is_closed;
        char type[64], length[24];
};

struct client {
        nghttp2_session *session;
        struct answer answers[256]; /* by stream */
        size_t left_to_send;        /* of the body of every request */
        bool is_slow;               /* gives no window back by itself */
        unsigned n_goaway;
        int32_t turns[64]; /* the streams of DATA as it came, first of each run */
        size_t n_turns;
};

static struct answer *answer_of(void *owner, int32_t id)
{
        struct client *c = owner;

        SG_ASSERT(id > 0 && (size_t)id < SG_N_ELEMENTS(c->answers));
        return &c->answers[id];
}

static int client_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t n_name,
                         const uint8_t *value, size_t n_value, uint8_t flags, void *owner)
{
        struct answer *a = answer_of(owner, frame->hd.stream_id);
        struct sg_str n = sg_str_make(name, n_name), v = sg_str_make(value, n_value);
        uint64_t status;

        if (sg_str_eq(n, SG_STR(":status"))) {
                assert_int_equal(sg_str_to_u64(v, &status), 0);
                a->was_continued |= status == 100;
                a->status = (unsigned)status;
                return 0;
        }
        a->n_fields++;
        if (sg_str_eq(n, SG_STR("content-type")))
                snprintf(a->type, sizeof(a->type), SG_STR_FMT, SG_STR_ARG(v));
        if (sg_str_eq(n, SG_STR("content-length")))
                snprintf(a->length, sizeof(a->length), SG_STR_FMT, SG_STR_ARG(v));
        return 0;
}

static int client_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes, size_t n, void *owner)
{
        struct answer *a = answer_of(owner, id);

        for (size_t i = 0; i < n; i++)
                SG_ASSERT(bytes[i] == (uint8_t)('a' + (a->n_body + i) % 26));
        a->n_body += n;
        return 0;
}

static int client_frame(nghttp2_session *session, const nghttp2_frame *frame, void *owner)
{
        struct client *c = owner;

        if (frame->hd.type == NGHTTP2_GOAWAY)
                c->n_goaway++;
        if (frame->hd.type == NGHTTP2_DATA) {
                answer_of(c, frame->hd.stream_id)->n_data++;
                answer_of(c, frame->hd.stream_id)->n_empty_data += frame->hd.length == 0;
                if (c->n_turns < SG_N_ELEMENTS(c->turns))
                        c->turns[c->n_turns++] = frame->hd.stream_id;
        }
        if (frame->hd.type <= NGHTTP2_HEADERS && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
                answer_of(c, frame->hd.stream_id)->is_whole = true;
        return 0;
}

static int client_close(nghttp2_session *session, int32_t id, uint32_t code, void *owner)
{
        answer_of(owner, id)->is_closed = true;
        answer_of(owner, id)->closed_by = code;
        return 0;
}

static ssize_t client_body(nghttp2_session *session, int32_t id, uint8_t *to, size_t n, uint32_t *flags,
                           nghttp2_data_source *source, void *owner)
{
        struct client *c = owner;

        n = SG_MIN(n, c->left_to_send);
        memset(to, 'u', n);
        c->left_to_send -= n;
        if (c->left_to_send == 0)
                *flags |= NGHTTP2_DATA_FLAG_EOF;
        return (ssize_t)n;
}

static void client_init_as(struct client *c, bool is_slow)
{
        nghttp2_session_callbacks *callbacks;
        nghttp2_option *option;

        *c = (struct client){.is_slow = is_slow};
        assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
        assert_int_equal(nghttp2_option_new(&option), 0);
        nghttp2_option_set_no_auto_window_update(option, is_slow);
        nghttp2_session_callbacks_set_on_header_callback(callbacks, client_header);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, client_data);
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, client_frame);
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, client_close);
        assert_int_equal(nghttp2_session_client_new2(&c->session, callbacks, c, option), 0);
        nghttp2_option_del(option);
        nghttp2_session_callbacks_del(callbacks);
        assert_int_equal(nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, NULL, 0), 0);
}

static void client_init(struct client *c)
{
        client_init_as(c, false);
}

static void client_done(struct client *c)
{
        nghttp2_session_del(c->session);
}

#define NV(name, value)                                                                                                \
        {                                                                                                              \
                (uint8_t *)(uintptr_t)(name), (uint8_t *)(uintptr_t)(value), strlen(name), strlen(value),              \
                        NGHTTP2_NV_FLAG_NONE                                                                           \
        }

static int32_t ask(struct client *c, const char *method, size_t n_body)
{
        const nghttp2_nv fields[] = {NV(":method", method), NV(":scheme", "http"), NV(":path", "/a"),
                                     NV(":authority", "x"), NV("expect", "100-continue")};
        const nghttp2_data_provider body = {.read_callback = client_body};
        int32_t id;

        c->left_to_send = n_body;
        id = nghttp2_submit_request(c->session, NULL, fields, n_body ? 5 : 4, n_body ? &body : NULL, NULL);
        assert_true(id > 0);
        return id;
}

/* Hands bytes over in both directions until neither has any. */
static void talk(struct client *c, struct owner *o, size_t piece)
{
        bool goes_on = true;

        while (goes_on) {
                const uint8_t *bytes;
                struct sg_str v;
                ssize_t n;

                goes_on = false;
                while ((n = nghttp2_session_mem_send(c->session, &bytes)) > 0) {
                        goes_on = true;
                        assert_int_equal(owner_receive(o, sg_str_make(bytes, (size_t)n), piece), 0);
                }
                assert_int_equal(n, 0);
                assert_int_equal(sg_h2_produce(o->h, &o->out, piece), 0);
                v = sg_buf_view(&o->out);
                if (v.n == 0)
                        continue;
                goes_on = true;
                for (size_t at = 0, k; at < v.n; at += k) {
                        k = SG_MIN(piece, v.n - at);
                        assert_int_equal(nghttp2_session_mem_recv(c->session, (const uint8_t *)v.p + at, k), k);
                }
                sg_buf_clear(&o->out);
        }
}

static void give_body(struct exchange *e, size_t from, size_t n, bool is_last)
{
        struct sg_buf body;
        struct sg_str pieces[2];

        sg_buf_init(&body, SIZE_MAX);
        for (size_t i = 0; i < n; i++)
                add(&body, &(char){(char)('a' + (from + i) % 26)}, 1);
        pieces[0] = sg_str_head(sg_buf_view(&body), n / 2);
        pieces[1] = sg_str_skip(sg_buf_view(&body), n / 2);
        assert_int_equal(sg_h2_send_body(&e->stream, pieces, 2, is_last), 0);
        sg_buf_done(&body);
}

static void answer_small(struct owner *o, struct exchange *e)
{
        assert_int_equal(sg_h2_send_head(&e->stream, 200,
                                         SG_STR("Content-Type: text/plain\r\nX-Id:7\r\nConnection: close\r\n"
                                                "Keep-Alive: 5\r\nTransfer-Encoding: chunked\r\nUpgrade: a\r\n"
                                                "Proxy-Connection: b\r\nContent-Length: 9\r\n"),
                                         true, 10, false),
                         0);
        give_body(e, 0, 10, true);
}

static void answer_empty(struct owner *o, struct exchange *e)
{
        assert_int_equal(sg_h2_send_head(&e->stream, 204, SG_STR(""), false, 0, true), 0);
}

static void answer_large(struct owner *o, struct exchange *e)
{
        assert_int_equal(sg_h2_send_head(&e->stream, 200, SG_STR("content-type: a\r\n"), false, 0, false), 0);
        give_body(e, 0, 300000, true);
}

static const size_t all_pieces[] = {1, 7, 1000, 16384, 1u << 20};

static void test_exchange(void **state)
{
        for (size_t i = 0; i < SG_N_ELEMENTS(all_pieces); i++) {
                struct client c;
                struct owner o;
                int32_t id;

                owner_init(&o);
                client_init(&c);
                o.on_end = answer_small;
                id = ask(&c, "GET", 0);
                talk(&c, &o, all_pieces[i]);
                assert_text(&o.text, "<1 GET /a @x >.1sent");
                assert_int_equal(c.answers[id].status, 200);
                assert_int_equal(c.answers[id].n_fields, 3);
                assert_string_equal(c.answers[id].type, "text/plain");
                assert_string_equal(c.answers[id].length, "10");
                assert_int_equal(c.answers[id].n_body, 10);
                assert_int_equal(c.answers[id].n_data, 1); /* END_STREAM is on it */
                assert_true(c.answers[id].is_closed && c.answers[id].closed_by == 0);
                assert_int_equal(sg_h2_n_streams(o.h), 0);
                o.on_end = answer_empty;
                id = ask(&c, "DELETE", 0);
                talk(&c, &o, all_pieces[i]);
                assert_text(&o.text, "<3 DELETE /a @x >.3sent");
                assert_true(c.answers[id].is_whole && c.answers[id].status == 204 && c.answers[id].n_data == 0);
                assert_false(sg_h2_is_over(o.h) || sg_h2_wants_to_send(o.h));
                client_done(&c);
                owner_done(&o);
        }
}

/* 300 kB each way, through windows of 65,535. */
static void test_large_bodies(void **state)
{
        for (size_t i = 0; i < SG_N_ELEMENTS(all_pieces); i++) {
                struct client c;
                struct owner o;
                int32_t id;

                owner_init(&o);
                client_init(&c);
                o.is_quiet = true;
                o.on_end = answer_large;
                id = ask(&c, "POST", 300000);
                talk(&c, &o, all_pieces[i]);
                assert_int_equal(owner_last(&o)->n_body, 300000);
                assert_int_equal(c.answers[id].n_body, 300000);
                assert_true(c.answers[id].is_closed && c.answers[id].closed_by == 0);
                assert_int_equal(c.answers[id].n_empty_data, 0);
                client_done(&c);
                owner_done(&o);
        }
}

static void test_body_in_parts_as_it_comes(void **state)
{
        struct exchange *e;
        struct client c;
        struct owner o;
        int32_t id;

        owner_init(&o);
        client_init(&c);
        id = ask(&c, "GET", 0);
        talk(&c, &o, 4096);
        e = owner_last(&o);
        assert_int_equal(sg_h2_send_head(&e->stream, 200, SG_STR(""), false, 0, false), 0);
        talk(&c, &o, 4096);
        assert_int_equal(c.answers[id].status, 200);
        for (size_t i = 0; i < 50; i++) {
                give_body(e, i * 10, 10, false);
                assert_int_equal(sg_h2_queued(&e->stream), 10);
                assert_true(sg_h2_wants_to_send(o.h));
                talk(&c, &o, 4096);
                assert_int_equal(sg_h2_queued(&e->stream), 0);
                assert_int_equal(c.answers[id].n_data, i + 1);
        }
        assert_int_equal(sg_h2_send_body(&e->stream, NULL, 0, false), 0);
        assert_false(sg_h2_wants_to_send(o.h));
        assert_int_equal(sg_h2_send_body(&e->stream, NULL, 0, true), 0);
        talk(&c, &o, 4096);
        assert_true(c.answers[id].is_closed && c.answers[id].n_body == 500 && c.answers[id].n_empty_data == 1);
        client_done(&c);
        owner_done(&o);
}

static void test_windows_hold_the_answer(void **state)
{
        struct client c;
        struct owner o;
        int32_t id;

        owner_init(&o);
        client_init_as(&c, true);
        o.on_end = answer_large;
        id = ask(&c, "GET", 0);
        talk(&c, &o, 1u << 20);
        assert_int_equal(c.answers[id].n_body, 65535);
        assert_int_equal(sg_h2_queued(&owner_last(&o)->stream), 300000 - 65535);
        assert_false(sg_h2_wants_to_send(o.h));
        assert_int_equal(nghttp2_session_consume(c.session, id, 65535), 0);
        talk(&c, &o, 1u << 20);
        assert_int_equal(c.answers[id].n_body, 2 * 65535);
        client_done(&c);
        owner_done(&o);
}

static void test_produce_stops_at_enough(void **state)
{
        struct client c;
        struct owner o;
        struct sg_buf small;

        owner_init(&o);
        client_init(&c);
        ask(&c, "GET", 0);
        talk(&c, &o, 1u << 20);
        answer_large(&o, owner_last(&o));
        assert_int_equal(sg_h2_produce(o.h, &o.out, 20000), 0);
        assert_true(sg_buf_length(&o.out) >= 20000 && sg_buf_length(&o.out) < 20000 + SG_H2_FRAME_BYTES_MAX);
        assert_true(sg_h2_wants_to_send(o.h));
        sg_buf_init(&small, SG_H2_FRAME_BYTES_MAX - 1);
        assert_int_equal(sg_h2_produce(o.h, &small, SIZE_MAX), 0);
        assert_int_equal(sg_buf_length(&small), 0);
        sg_buf_init(&small, SG_H2_FRAME_BYTES_MAX + 9); /* one more does not fit for sure */
        assert_int_equal(sg_h2_produce(o.h, &small, SIZE_MAX), 0);
        assert_int_equal(sg_buf_length(&small), 16384 + 9);
        sg_buf_done(&small);
        client_done(&c);
        owner_done(&o);
}

/* Four large answers: none of them has two frames before each of the others has one. */
static void test_streams_take_turns(void **state)
{
        struct client c;
        struct owner o;

        owner_init(&o);
        client_init_as(&c, true);
        for (int i = 0; i < 4; i++)
                ask(&c, "GET", 0);
        o.is_quiet = true;
        o.on_end = answer_large;
        assert_int_equal(nghttp2_session_set_local_window_size(c.session, NGHTTP2_FLAG_NONE, 0, 1 << 20), 0);
        talk(&c, &o, 1u << 20);
        assert_int_equal(c.n_turns, 16); /* 65,535 of each */
        for (size_t i = 0; i < 16; i += 4)
                for (size_t k = 0; k < 4; k++)
                        for (size_t other = 0; other < k; other++)
                                assert_int_not_equal(c.turns[i + k], c.turns[i + other]);
        client_done(&c);
        owner_done(&o);
}

static void continue_it(struct owner *o, struct exchange *e, const struct sg_head *head)
{
        assert_true(head->expects_continue);
        assert_int_equal(sg_h2_send_continue(&e->stream), 0);
}

static void test_continue(void **state)
{
        struct client c;
        struct owner o;
        int32_t id;

        owner_init(&o);
        client_init(&c);
        o.on_head = continue_it;
        o.on_end = answer_small;
        id = ask(&c, "POST", 5);
        talk(&c, &o, 1000);
        assert_text(&o.text, "<1 POST /a @x e|expect=100-continue>1+uuuuu1.1sent");
        assert_true(c.answers[id].was_continued && c.answers[id].status == 200 && c.answers[id].is_whole);
        client_done(&c);
        owner_done(&o);
}

static void answer_early(struct owner *o, struct exchange *e, const struct sg_head *head)
{
        assert_int_equal(sg_h2_send_head(&e->stream, 413, SG_STR(""), true, 10, false), 0);
        give_body(e, 0, 10, true);
}

/* The answer stands; the rest of the request is refused by NO_ERROR, and its window is given back for others. */
static void test_early_answer(void **state)
{
        struct client c;
        struct owner o;

        owner_init(&o);
        client_init(&c);
        o.is_quiet = true;
        o.keeps = true;
        o.on_head = answer_early;
        for (int i = 0; i < 20; i++) {
                int32_t id = ask(&c, "POST", 100000);

                talk(&c, &o, 1u << 20);
                assert_true(c.answers[id].is_whole && c.answers[id].status == 413 && c.answers[id].n_body == 10);
                assert_true(c.answers[id].is_closed && c.answers[id].closed_by == NGHTTP2_NO_ERROR);
                assert_int_equal(sg_h2_n_streams(o.h), 0);
        }
        o.on_head = NULL;
        o.on_end = answer_small;
        o.keeps = false;
        ask(&c, "POST", 70000);
        talk(&c, &o, 1u << 20);
        assert_int_equal(owner_last(&o)->n_body, 70000);
        client_done(&c);
        owner_done(&o);
}

static void test_untied_is_refused(void **state)
{
        struct client c;
        struct owner o;
        int32_t id;

        owner_init(&o);
        client_init(&c);
        o.refuses = true;
        id = ask(&c, "POST", 5);
        talk(&c, &o, 1000);
        assert_text(&o.text, "<1 POST /a @x e|expect=100-continue>");
        assert_true(c.answers[id].is_closed && c.answers[id].closed_by == NGHTTP2_REFUSED_STREAM);
        client_done(&c);
        owner_done(&o);
}

static void test_untie_resets(void **state)
{
        static const uint32_t codes[] = {NGHTTP2_NO_ERROR, NGHTTP2_PROTOCOL_ERROR, NGHTTP2_INTERNAL_ERROR,
                                         NGHTTP2_REFUSED_STREAM, NGHTTP2_CANCEL};
        struct client c;
        struct owner o;

        owner_init(&o);
        client_init(&c);
        for (enum sg_h2_reset why = 0; why < SG_H2_RESET_OTHER; why++) {
                int32_t id = ask(&c, "GET", 0);

                talk(&c, &o, 1000);
                assert_int_equal(sg_h2_send_head(&owner_last(&o)->stream, 200, SG_STR(""), false, 0, false), 0);
                give_body(owner_last(&o), 0, 100, false);
                talk(&c, &o, 1000);
                give_body(owner_last(&o), 0, 100000, false);
                sg_h2_untie(&owner_last(&o)->stream, why);
                sg_h2_untie(&owner_last(&o)->stream, why);
                talk(&c, &o, 1000);
                assert_true(c.answers[id].is_closed && c.answers[id].closed_by == codes[why]);
                assert_int_equal(c.answers[id].n_body, 100);
                assert_false(owner_last(&o)->is_reset);
        }
        client_done(&c);
        owner_done(&o);
}

static void test_reset_by_the_peer(void **state)
{
        static const struct {
                uint32_t code;
                enum sg_h2_reset why;
        } cases[] = {
                {NGHTTP2_CANCEL, SG_H2_RESET_CANCEL},
                {NGHTTP2_NO_ERROR, SG_H2_RESET_NONE},
                {NGHTTP2_INTERNAL_ERROR, SG_H2_RESET_INTERNAL},
                {NGHTTP2_PROTOCOL_ERROR, SG_H2_RESET_PROTOCOL},
                {NGHTTP2_REFUSED_STREAM, SG_H2_RESET_REFUSED},
                {NGHTTP2_FLOW_CONTROL_ERROR, SG_H2_RESET_OTHER},
                {12345, SG_H2_RESET_OTHER},
        };
        struct client c;
        struct owner o;

        owner_init(&o);
        client_init(&c);
        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                int32_t id = ask(&c, "GET", 0);

                talk(&c, &o, 1000);
                answer_large(&o, owner_last(&o)); /* and none of it goes out */
                assert_int_equal(nghttp2_submit_rst_stream(c.session, 0, id, cases[i].code), 0);
                talk(&c, &o, 1000);
                assert_true(owner_last(&o)->is_reset);
                assert_int_equal(owner_last(&o)->why, cases[i].why);
                assert_int_equal(sg_h2_n_streams(o.h), 0);
        }
        client_done(&c);
        owner_done(&o);
}

static void test_drain(void **state)
{
        struct client c;
        struct owner o;
        int32_t first, late;

        owner_init(&o);
        client_init(&c);
        first = ask(&c, "GET", 0);
        talk(&c, &o, 1000);
        sg_h2_drain(o.h);
        sg_h2_drain(o.h);
        late = ask(&c, "GET", 0); /* on its way before the client hears of it */
        talk(&c, &o, 1000);
        assert_int_equal(c.n_goaway, 2);
        assert_int_equal(sg_h2_n_streams(o.h), 2);
        assert_false(sg_h2_is_over(o.h));
        assert_true(nghttp2_session_check_request_allowed(c.session) == 0);
        for (struct sg_link *k = o.exchanges.ends.next; k != &o.exchanges.ends; k = k->next)
                answer_small(&o, SG_CONTAINER(k, struct exchange, link));
        talk(&c, &o, 1000);
        assert_true(c.answers[first].is_whole && c.answers[late].is_whole);
        assert_true(sg_h2_is_over(o.h));
        client_done(&c);
        owner_done(&o);
}

static void test_without_on_sent(void **state)
{
        struct sg_h2_events events = owner_events;
        struct client c;
        struct owner o;

        events.on_sent = NULL;
        owner_init(&o);
        o.h = sg_h2_free(o.h);
        assert_int_equal(sg_h2_new(&o.h, &owner_limits, &events, &o), 0);
        client_init(&c);
        o.on_end = answer_small;
        ask(&c, "POST", 5);
        talk(&c, &o, 1000);
        assert_text(&o.text, "<1 POST /a @x e|expect=100-continue>1+uuuuu1.");
        assert_null(owner_last(&o)->stream.h2);
        o.on_end = NULL;
        o.on_head = answer_early; /* whole before the request is */
        o.keeps = true;
        ask(&c, "POST", 100000);
        talk(&c, &o, 1u << 20);
        assert_non_null(owner_last(&o)->stream.h2);
        assert_in_range(owner_last(&o)->n_body, 65530, 65535);
        sg_h2_consume(&owner_last(&o)->stream, owner_last(&o)->n_body);
        talk(&c, &o, 1u << 20);
        assert_true(owner_last(&o)->has_ended && !owner_last(&o)->is_reset);
        assert_null(owner_last(&o)->stream.h2);
        client_done(&c);
        owner_done(&o);
}

static void test_answer_of_too_many_fields(void **state)
{
        struct sg_buf fields;
        struct client c;
        struct owner o;

        owner_init(&o);
        client_init(&c);
        ask(&c, "GET", 0);
        talk(&c, &o, 1000);
        sg_buf_init(&fields, SIZE_MAX);
        for (unsigned i = 0; i <= SG_H2_FIELDS_MAX; i++)
                add(&fields, "a: b\r\n", 6);
        assert_int_equal(sg_h2_send_head(&owner_last(&o)->stream, 200, sg_buf_view(&fields), false, 0, true), -E2BIG);
        sg_buf_take(&fields, 6);
        assert_int_equal(sg_h2_send_head(&owner_last(&o)->stream, 200, sg_buf_view(&fields), false, 0, true), 0);
        talk(&c, &o, 1000);
        assert_int_equal(c.answers[1].n_fields, SG_H2_FIELDS_MAX);
        sg_buf_done(&fields);
        client_done(&c);
        owner_done(&o);
}

/* 64 fields of 60 kB are not sent: the stream ends, the connection goes on. */
static void test_answer_of_too_many_bytes(void **state)
{
        struct sg_buf fields;
        struct client c;
        struct owner o;

        owner_init(&o);
        client_init(&c);
        ask(&c, "GET", 0);
        talk(&c, &o, 1000);
        sg_buf_init(&fields, SIZE_MAX);
        for (unsigned i = 0; i < 64; i++) {
                add(&fields, "a: ", 3);
                for (unsigned k = 0; k < 6000; k++)
                        add(&fields, "0123456789", 10);
                add(&fields, "\r\n", 2);
        }
        assert_int_equal(sg_h2_send_head(&owner_last(&o)->stream, 200, sg_buf_view(&fields), false, 0, true), 0);
        talk(&c, &o, 1u << 20);
        assert_true(owner_last(&o)->is_reset && owner_last(&o)->why == SG_H2_RESET_INTERNAL);
        assert_int_equal(c.answers[1].closed_by, NGHTTP2_INTERNAL_ERROR);
        o.on_end = answer_small;
        ask(&c, "GET", 0);
        talk(&c, &o, 1000);
        assert_int_equal(c.answers[3].status, 200);
        sg_buf_done(&fields);
        client_done(&c);
        owner_done(&o);
}

static void test_names(void **state)
{
        assert_string_equal(sg_h2_error_name(SG_H2_E_BROKEN), "broken");
        assert_string_equal(sg_h2_error_name(SG_H2_E_ABUSE), "abuse");
        assert_string_equal(sg_h2_error_name(SG_H2_E_N), "unknown");
        assert_string_equal(sg_h2_reset_name(SG_H2_RESET_CANCEL), "cancel");
        assert_string_equal(sg_h2_reset_name(SG_H2_RESET_N), "unknown");
        for (enum sg_h2_reset r = 0; r < SG_H2_RESET_N; r++)
                assert_string_not_equal(sg_h2_reset_name(r), "unknown");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_exchange),
                cmocka_unit_test(test_large_bodies),
                cmocka_unit_test(test_body_in_parts_as_it_comes),
                cmocka_unit_test(test_windows_hold_the_answer),
                cmocka_unit_test(test_produce_stops_at_enough),
                cmocka_unit_test(test_streams_take_turns),
                cmocka_unit_test(test_continue),
                cmocka_unit_test(test_early_answer),
                cmocka_unit_test(test_untied_is_refused),
                cmocka_unit_test(test_untie_resets),
                cmocka_unit_test(test_reset_by_the_peer),
                cmocka_unit_test(test_drain),
                cmocka_unit_test(test_without_on_sent),
                cmocka_unit_test(test_answer_of_too_many_fields),
                cmocka_unit_test(test_answer_of_too_many_bytes),
                cmocka_unit_test(test_names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
