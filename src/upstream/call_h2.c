/*
 * A call on a connection of HTTP/2: a stream among others.
 *
 * The codec copies what it is given until windows let it into frames, so that bodies are given by the portion. What
 * arrives while a call is paused is kept, which its window bounds, and not given back; the answer's end waits behind it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "upstream/upstream_internal.h"

#define QUEUED_MAX (64u * 1024u) /* of one request: then its source pauses */
#define QUEUED_LOW (QUEUED_MAX / 4)

/* ---- the request */

static void no_memory(struct sg_upcall *c)
{
        c->lacks_memory = true;
        sg_loop_defer(c->loop, &c->deferred);
}

static void give(struct sg_upcall *c, const struct sg_str *pieces, size_t n, bool is_last)
{
        if (c->lacks_memory)
                return;
        if (sg_h2_send_body(&c->stream, pieces, n, is_last))
                no_memory(c);
        mux_turn_soon(c->conn);
}

/* Of a body given whole. */
static void give_more(struct sg_upcall *c)
{
        while (c->n_given < c->request.length && sg_h2_queued(&c->stream) < QUEUED_MAX && !c->lacks_memory) {
                const struct sg_str whole = sg_str_skip(c->request.body[c->piece], c->offset);
                const struct sg_str now = sg_str_head(whole, SG_MIN(whole.n, (size_t)QUEUED_MAX));

                c->n_given += now.n;
                c->offset += now.n;
                if (now.n)
                        give(c, &now, 1, c->n_given == c->request.length);
                if (now.n < whole.n)
                        continue;
                c->piece++;
                c->offset = 0;
        }
}

static void measure_body(struct sg_upcall_request *q)
{
        if (q->kind != SG_UPCALL_BODY_WHOLE)
                return;
        q->has_length = true;
        q->length = 0;
        for (size_t i = 0; i < q->n_body; i++)
                q->length += q->body[i].n;
}

static void begin(struct sg_upcall *c)
{
        struct sg_upcall_request *q = &c->request;
        struct sg_h2_request head;
        int r;

        measure_body(q);
        head = (struct sg_h2_request){
                .method = q->method_text,
                .scheme = c->pool->at.is_tls ? SG_STR("https") : SG_STR("http"),
                .authority = q->authority,
                .path = q->target,
                .fields = q->fields,
                .n_fields = q->n_fields,
                .has_length = q->has_length,
                .length = q->length,
                .is_last = q->kind == SG_UPCALL_BODY_NONE || (q->kind == SG_UPCALL_BODY_WHOLE && q->length == 0),
        };
        c->is_full = c->has_end = c->lacks_memory = false;
        r = sg_h2_open(c->conn->mux->codec, &c->stream, &head, c);
        if (r) {
                call_fail(c, SG_UPSTREAM_F_RESOURCES, "cannot send to",
                          r == -E2BIG ? "the head is too large for HTTP/2" : strerrordesc_np(-r));
                return;
        }
        mux_turn_soon(c->conn);
        if (q->kind == SG_UPCALL_BODY_WHOLE)
                give_more(c);
        else if (q->kind == SG_UPCALL_BODY_STREAM)
                c->listener->on_room(c, c->owner);
}

static void send_pieces(struct sg_upcall *c, const struct sg_str *pieces, size_t n, bool is_last)
{
        const struct sg_upcall_request *q = &c->request;

        for (size_t i = 0; i < n; i++)
                c->n_given += pieces[i].n;
        SG_ASSERT(!q->has_length || (c->n_given <= q->length && (!is_last || c->n_given == q->length)));
        c->is_whole = is_last;
        if (c->stream.h2)
                give(c, pieces, n, is_last);
        if (sg_h2_queued(&c->stream) > QUEUED_MAX || sg_stream_is_full(c->conn->stream))
                c->is_full = true;
}

static bool is_full(const struct sg_upcall *c)
{
        return c->is_full;
}

void call_h2_look_at(struct sg_upcall *c)
{
        if (!c->stream.h2 || sg_h2_queued(&c->stream) > QUEUED_LOW)
                return;
        if (c->request.kind == SG_UPCALL_BODY_WHOLE && c->state == CALL_SENDING) {
                give_more(c);
        } else if (c->is_full && !sg_stream_is_full(c->conn->stream)) {
                c->is_full = false;
                if (call_takes_pieces(c))
                        c->listener->on_room(c, c->owner);
        }
}

static void on_sent(struct sg_h2_stream *s)
{
        struct sg_upcall *c = s->owner;

        call_sent(c);
        call_tell_sent(c);
}

/* ---- the answer */

struct kept_trailers {
        struct sg_head head;
        char bytes[];
};

static struct sg_str copy_to(char **at, struct sg_str s)
{
        const struct sg_str copy = sg_str_make(*at, s.n);

        if (s.n)
                memcpy(*at, s.p, s.n);
        *at += s.n;
        return copy;
}

static void keep_trailers(struct sg_upcall *c, const struct sg_head *trailers)
{
        size_t n_bytes = 0;
        char *at;

        for (size_t i = 0; i < trailers->n_headers; i++)
                n_bytes += trailers->headers[i].name.n + trailers->headers[i].value.n;
        c->trailers = calloc(1, sizeof(*c->trailers) + n_bytes);
        if (!c->trailers) {
                no_memory(c);
                return;
        }
        at = c->trailers->bytes;
        for (size_t i = 0; i < trailers->n_headers; i++)
                c->trailers->head.headers[i] = (struct sg_header){.name = copy_to(&at, trailers->headers[i].name),
                                                                  .value = copy_to(&at, trailers->headers[i].value)};
        c->trailers->head.n_headers = trailers->n_headers;
}

static bool must_wait(const struct sg_upcall *c)
{
        return c->is_paused || sg_buf_length(&c->kept) || c->trailers;
}

/* The end was seen; it is told behind what is kept. */
static void end_when_told(struct sg_upcall *c)
{
        if (must_wait(c))
                return;
        call_tell_sent(c);
        if (c->state != CALL_ANSWERING)
                return;
        if (c->conn)
                mux_detach(c);
        call_finish(c);
}

static void on_answer(struct sg_h2_stream *s, const struct sg_head *head, bool is_end)
{
        struct sg_upcall *c = s->owner;

        c->has_answer_bytes = true;
        c->has_end = is_end;
        call_go(c, CALL_ANSWERING);
        c->listener->on_head(c, head, c->owner);
        if (is_end && c->state == CALL_ANSWERING)
                end_when_told(c);
}

static void on_body(struct sg_h2_stream *s, struct sg_str bytes)
{
        struct sg_upcall *c = s->owner;

        if (must_wait(c)) {
                if (sg_buf_add(&c->kept, bytes))
                        no_memory(c);
                return;
        }
        c->listener->on_body(c, bytes, c->owner);
        if (c->stream.h2)
                sg_h2_consume(&c->stream, bytes.n);
}

static void on_trailers(struct sg_h2_stream *s, const struct sg_head *trailers)
{
        struct sg_upcall *c = s->owner;

        if (!c->listener->on_trailers)
                return;
        if (must_wait(c))
                keep_trailers(c, trailers);
        else
                c->listener->on_trailers(c, trailers, c->owner);
}

static void on_end(struct sg_h2_stream *s)
{
        struct sg_upcall *c = s->owner;

        c->has_end = true;
        if (c->state == CALL_ANSWERING)
                end_when_told(c);
}

static void tell_kept(struct sg_upcall *c)
{
        struct sg_buf kept = c->kept;

        sg_buf_init(&c->kept, SIZE_MAX);
        c->listener->on_body(c, sg_buf_view(&kept), c->owner);
        if (c->stream.h2) {
                sg_h2_consume(&c->stream, sg_buf_length(&kept));
                mux_turn_soon(c->conn);
        }
        sg_buf_done(&kept);
}

static void tell_kept_trailers(struct sg_upcall *c)
{
        struct kept_trailers *trailers = SG_GIVE(c->trailers);

        c->listener->on_trailers(c, &trailers->head, c->owner);
        free(trailers);
}

void call_h2_go_on(struct sg_upcall *c)
{
        if (c->lacks_memory && c->state < CALL_DONE) {
                call_fail(c, SG_UPSTREAM_F_RESOURCES, "cannot speak to", strerrordesc_np(ENOMEM));
                return;
        }
        if (c->state == CALL_ANSWERING && !c->is_paused && sg_buf_length(&c->kept))
                tell_kept(c);
        if (c->state == CALL_ANSWERING && !c->is_paused && c->trailers)
                tell_kept_trailers(c);
        if (c->state == CALL_ANSWERING && c->has_end)
                end_when_told(c);
}

/* ---- when it is cut off */

/* A server that ends its connections after so many requests, as nginx does, refuses what is on its way then; under load
 * that may happen to a call twice and more, in a row. */
#define REFUSED_MAX 5u

/* REFUSED_STREAM, and what lies above the last stream of a GOAWAY: nothing was done (RFC 9113 section 8.7). */
static bool may_send_again(const struct sg_upcall *c, enum sg_h2_reset why)
{
        return why == SG_H2_RESET_REFUSED && !c->has_answer_bytes && c->request.may_resend &&
               c->n_refused < REFUSED_MAX;
}

static void on_reset(struct sg_h2_stream *s, enum sg_h2_reset why)
{
        struct sg_upcall *c = s->owner;
        char text[64];

        mux_detach(c);
        if (c->has_end)
                return; /* the rest of the request is not wanted; the answer stands */
        (void)snprintf(text, sizeof(text), "the stream was reset (%s)", sg_h2_reset_name(why));
        if (may_send_again(c, why)) {
                c->n_refused++;
                call_seek(c);
        } else if (why == SG_H2_RESET_PROTOCOL) {
                call_fail(c, SG_UPSTREAM_F_GARBAGE, "bad answer from", text);
        } else if (c->has_answer_bytes) {
                call_fail(c, SG_UPSTREAM_F_TRUNCATED, "answer cut off by", text);
        } else {
                call_fail(c, SG_UPSTREAM_F_RESET, "no answer from", text);
        }
}

static void on_going_away(struct sg_h2 *h, void *owner)
{
        struct conn *n = owner;

        mux_unshare(n);
        mux_turn_soon(n);
        pool_check_warm(n->pool);
}

const struct sg_h2_events call_h2_events = {
        .on_body = on_body,
        .on_end = on_end,
        .on_reset = on_reset,
        .on_sent = on_sent,
        .on_trailers = on_trailers,
        .on_answer = on_answer,
        .on_going_away = on_going_away,
};

const struct speech h2_speech = {
        .begin = begin,
        .send = send_pieces,
        .is_full = is_full,
        .leave = mux_detach,
        .on_bytes = mux_on_bytes,
        .on_drained = mux_on_drained,
        .on_end = mux_on_end,
};
