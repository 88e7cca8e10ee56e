/*
 * HTTP/1.1 on the connection of a call. The head is never put together: its pieces and as much of the body as makes a
 * portion go out in one write, from where they stand. What the socket does not take of a portion the stream copies; the
 * next follows when that is gone.
 */
#include <inttypes.h>
#include <stdio.h>

#include "upstream/upstream_internal.h"

#define PORTION_BYTES  (256u * 1024u) /* of a body written at once: what the stream has to copy at most */
#define PORTION_PIECES 64u

static void pause(struct sg_upcall *c)
{
        /* The end of a close-delimited answer must wait for its bytes. */
        sg_stream_watch_eof(c->conn->stream, false);
        sg_stream_pause(c->conn->stream);
}

static void resume(struct sg_upcall *c)
{
        sg_stream_watch_eof(c->conn->stream, true);
        sg_stream_resume(c->conn->stream);
}

static void leave(struct sg_upcall *c)
{
        conn_close(SG_GIVE(c->conn));
}

/* ---- the request */

#define FRAMING_BYTES 40u

struct portion {
        struct sg_stream *stream;
        struct sg_str pieces[PORTION_PIECES];
        size_t n, n_bytes;
        char framing[FRAMING_BYTES], chunk_head[SG_H1_CHUNK_HEAD_BYTES];
        bool is_refused; /* the stream has failed, and tells its end later in this turn */
};

static void portion_write(struct portion *p)
{
        if (p->n && sg_stream_write(p->stream, p->pieces, p->n))
                p->is_refused = true;
        p->n = p->n_bytes = 0;
}

static void portion_add(struct portion *p, struct sg_str piece)
{
        if (piece.n == 0)
                return;
        if (p->n == PORTION_PIECES)
                portion_write(p);
        p->pieces[p->n++] = piece;
        p->n_bytes += piece.n;
}

static bool is_all_taken(const struct sg_upcall *c)
{
        return c->piece >= c->request.n_body;
}

/* Up to a portion; the position moves beyond it. */
static void portion_add_body(struct portion *p, struct sg_upcall *c)
{
        while (!is_all_taken(c) && p->n < PORTION_PIECES && p->n_bytes < PORTION_BYTES) {
                const struct sg_str whole = sg_str_skip(c->request.body[c->piece], c->offset);
                const struct sg_str now = sg_str_head(whole, SG_MIN(whole.n, PORTION_BYTES - p->n_bytes));

                portion_add(p, now);
                c->offset += now.n;
                if (now.n == whole.n) {
                        c->piece++;
                        c->offset = 0;
                }
        }
}

static void send_body(struct sg_upcall *c, struct portion *p)
{
        while (!p->is_refused && !is_all_taken(c) && sg_stream_queued(p->stream) == 0) {
                portion_add_body(p, c);
                portion_write(p);
        }
        if (p->is_refused || !is_all_taken(c))
                return;
        call_sent(c);
        call_tell_sent(c);
}

static struct sg_str length_line(const struct sg_upcall_request *q, char out[FRAMING_BYTES])
{
        uint64_t length = q->length;
        int n;

        if (q->kind == SG_UPCALL_BODY_WHOLE) {
                length = 0;
                for (size_t i = 0; i < q->n_body; i++)
                        length += q->body[i].n;
        }
        n = snprintf(out, FRAMING_BYTES, "content-length: %" PRIu64 "\r\n", length);
        SG_ASSERT(n > 0 && (size_t)n < FRAMING_BYTES);
        return sg_str_make(out, (size_t)n);
}

static struct sg_str framing_of(const struct sg_upcall_request *q, char out[FRAMING_BYTES])
{
        if (q->kind == SG_UPCALL_BODY_NONE)
                return SG_STR_NONE;
        if (q->kind == SG_UPCALL_BODY_STREAM && !q->has_length)
                return SG_STR("transfer-encoding: chunked\r\n");
        return length_line(q, out);
}

static void portion_add_head(struct portion *p, struct sg_upcall *c)
{
        const struct sg_upcall_request *q = &c->request;

        c->is_head_given = true;
        portion_add(p, q->method_text);
        portion_add(p, SG_STR(" "));
        portion_add(p, q->target);
        portion_add(p, SG_STR(" HTTP/1.1\r\nhost: "));
        portion_add(p, q->authority);
        portion_add(p, SG_STR("\r\n"));
        for (size_t i = 0; i < q->n_fields; i++)
                portion_add(p, q->fields[i]);
        portion_add(p, framing_of(q, p->framing));
        if (q->upgrade.n) {
                portion_add(p, SG_STR("connection: Upgrade\r\nupgrade: "));
                portion_add(p, q->upgrade);
                portion_add(p, SG_STR("\r\n"));
        }
        portion_add(p, SG_STR("\r\n"));
}

/* The owner gives the first pieces from inside of on_room, if it has any: then the head goes with them. */
static void begin_stream(struct sg_upcall *c)
{
        struct portion p = {.n = 0};

        c->listener->on_room(c, c->owner);
        if (c->state != CALL_SENDING || c->is_head_given)
                return;
        p.stream = c->conn->stream;
        portion_add_head(&p, c);
        portion_write(&p);
}

static void begin(struct sg_upcall *c)
{
        struct portion p = {.stream = c->conn->stream};

        if (c->is_paused)
                pause(c);
        else if (!c->was_reused)
                sg_stream_resume(p.stream); /* an idle one is read from already */
        sg_h1_expect(&c->conn->h1, c->request.method);
        c->is_head_given = false;
        if (c->request.kind == SG_UPCALL_BODY_STREAM) {
                begin_stream(c);
                return;
        }
        portion_add_head(&p, c);
        portion_add_body(&p, c);
        portion_write(&p);
        send_body(c, &p);
}

static void portion_add_chunk(struct portion *p, const struct sg_str *pieces, size_t n, size_t n_bytes)
{
        if (n_bytes == 0)
                return; /* it would be the last */
        portion_add(p, sg_str_make(p->chunk_head, sg_h1_chunk_head(p->chunk_head, n_bytes)));
        for (size_t i = 0; i < n; i++)
                portion_add(p, pieces[i]);
        portion_add(p, SG_H1_CHUNK_END);
}

static void stream_send(struct sg_upcall *c, const struct sg_str *pieces, size_t n, bool is_last)
{
        const struct sg_upcall_request *q = &c->request;
        struct portion p = {.stream = c->conn->stream};
        size_t n_bytes = 0;

        for (size_t i = 0; i < n; i++)
                n_bytes += pieces[i].n;
        c->n_given += n_bytes;
        SG_ASSERT(!q->has_length || (c->n_given <= q->length && (!is_last || c->n_given == q->length)));
        if (!c->is_head_given)
                portion_add_head(&p, c);
        if (!q->has_length)
                portion_add_chunk(&p, pieces, n, n_bytes);
        for (size_t i = 0; q->has_length && i < n; i++)
                portion_add(&p, pieces[i]);
        if (!q->has_length && is_last)
                portion_add(&p, SG_H1_LAST_CHUNK);
        portion_write(&p);
        if (!is_last || p.is_refused)
                return;
        call_sent(c);
        sg_loop_defer(c->loop, &c->deferred); /* on_sent not from inside the owner's call */
}

static void tunnel_send(struct sg_upcall *c, const struct sg_str *pieces, size_t n, bool is_last)
{
        for (size_t i = 0; i < n; i++)
                c->n_given += pieces[i].n;
        (void)!sg_stream_write(c->conn->stream, pieces, n); /* what fails is told later in this turn */
        if (!is_last)
                return;
        c->is_whole = true;
        sg_stream_shutdown(c->conn->stream);
        if (c->state != CALL_HALF)
                return;
        conn_leave(SG_GIVE(c->conn));
        call_go(c, CALL_DONE);
}

static bool is_tunnel(const struct sg_upcall *c)
{
        return c->state == CALL_SWITCHED || c->state == CALL_HALF;
}

static void send_pieces(struct sg_upcall *c, const struct sg_str *pieces, size_t n, bool is_last)
{
        if (is_tunnel(c))
                tunnel_send(c, pieces, n, is_last);
        else
                stream_send(c, pieces, n, is_last);
}

static bool is_full(const struct sg_upcall *c)
{
        return sg_stream_is_full(c->conn->stream);
}

static void on_drained(struct conn *n)
{
        struct sg_upcall *c = n->call;
        struct portion p = {.stream = n->stream};

        if (call_takes_pieces(c) && !c->is_whole)
                c->listener->on_room(c, c->owner);
        else if (c->state == CALL_SENDING && c->request.kind != SG_UPCALL_BODY_STREAM)
                send_body(c, &p);
}

/* ---- the answer */

/* RFC 9110 section 7.8: only to what was asked for. From here on the bytes are not HTTP. */
static void take_switch(struct sg_upcall *c, const struct sg_head *head)
{
        const struct sg_str asked = c->request.upgrade;

        if (c->state != CALL_WAITING || !asked.n || !sg_list_has_token(sg_head_value(head, SG_STR("upgrade")), asked)) {
                call_fail(c, SG_UPSTREAM_F_GARBAGE, "bad answer from", "it switches protocols unasked");
                return;
        }
        c->is_whole = false; /* our end of the tunnel, now */
        call_go(c, CALL_SWITCHED);
        c->listener->on_head(c, head, c->owner);
        if (c->state == CALL_SWITCHED)
                c->listener->on_room(c, c->owner);
}

static void take_head(struct sg_upcall *c, const struct sg_head *head)
{
        if (head->status < 200 && head->status != 101) {
                c->is_interim = true; /* RFC 9110 section 15.2: any number of them */
                return;
        }
        call_tell_sent(c);
        if (!c->conn)
                return;
        if (head->status == 101) {
                take_switch(c, head);
                return;
        }
        c->may_keep = head->keep_alive;
        call_go(c, CALL_ANSWERING);
        c->listener->on_head(c, head, c->owner);
}

static void garbage(struct sg_upcall *c, enum sg_h1_error e)
{
        char text[96];

        (void)snprintf(text, sizeof(text), "it is not valid HTTP/1 (%s)", sg_h1_error_name(e));
        call_fail(c, SG_UPSTREAM_F_GARBAGE, "bad answer from", text);
}

/* Of a tunnel, behind the head. */
static size_t take_rest(struct sg_upcall *c, struct sg_str rest)
{
        if (c->is_paused || rest.n == 0)
                return 0;
        c->listener->on_body(c, rest, c->owner);
        return rest.n;
}

/* has_more_bytes: something came behind the answer. */
static void finish(struct sg_upcall *c, bool has_more_bytes)
{
        struct conn *n;

        call_tell_sent(c);
        if (!c->conn)
                return;
        n = SG_GIVE(c->conn);
        if (c->may_keep && c->is_whole && !has_more_bytes && sg_stream_is_open(n->stream) &&
            sg_stream_queued(n->stream) == 0)
                conn_release(n);
        else
                conn_close(n);
        call_finish(c);
}

/* What the codec finds in the bytes; returns how many are used. */
static size_t take_answer(struct sg_upcall *c, struct sg_str in)
{
        struct sg_h1_event event;
        struct sg_head head;
        size_t used = 0;
        int r;

        c->waits_for_end = false;
        for (;;) {
                r = sg_h1_next(&c->conn->h1, sg_str_skip(in, used), &head, &event);
                if (r) {
                        garbage(c, (enum sg_h1_error)r);
                        return used;
                }
                used += event.used;
                if (event.kind == SG_H1_MORE) {
                        return used;
                } else if (event.kind == SG_H1_HEAD) {
                        take_head(c, &head);
                } else if (event.kind == SG_H1_BODY) {
                        c->listener->on_body(c, event.bytes, c->owner);
                } else if (event.kind == SG_H1_TRAILERS) {
                        if (c->listener->on_trailers)
                                c->listener->on_trailers(c, &head, c->owner);
                } else if (event.kind == SG_H1_END && c->is_interim) {
                        c->is_interim = false;
                } else if (event.kind == SG_H1_END) {
                        finish(c, used < in.n);
                        return used;
                }
                if (!c->conn)
                        return used;
                if (c->state == CALL_SWITCHED)
                        return used + take_rest(c, sg_str_skip(in, used));
                if (c->is_paused) {
                        c->waits_for_end = used == in.n;
                        return used;
                }
        }
}

void call_h1_go_on(struct sg_upcall *c)
{
        if (c->state == CALL_ANSWERING && c->waits_for_end && !c->is_paused)
                (void)take_answer(c, SG_STR_NONE);
}

static size_t on_bytes(struct conn *n, struct sg_str bytes)
{
        struct sg_upcall *c = n->call;

        if (c->state == CALL_TUNNELLING)
                return call_tunnel_bytes(c, bytes);
        if (c->state == CALL_SWITCHED) {
                c->listener->on_body(c, bytes, c->owner);
                return bytes.n;
        }
        c->has_answer_bytes = true;
        return take_answer(c, bytes);
}

/* ---- ends */

/* The directions end one by one. The connection closes with the second, once what was given it last has left. */
static void tunnel_ended(struct sg_upcall *c, enum sg_stream_end why, const char *text)
{
        if (c->state == CALL_HALF) {
                call_drop_connection(c);
                call_go(c, CALL_DONE);
        } else if (why != SG_STREAM_END_EOF) {
                call_fail(c, SG_UPSTREAM_F_TRUNCATED, "tunnel cut off by", text);
        } else {
                if (c->is_whole)
                        conn_leave(SG_GIVE(c->conn));
                call_go(c, c->is_whole ? CALL_DONE : CALL_HALF);
                c->listener->on_end(c, c->owner);
        }
}

/* While the request was sent or the answer read. */
static void broken(struct sg_upcall *c, enum sg_stream_end why, const char *text)
{
        struct sg_h1_event event;

        if (c->state == CALL_ANSWERING && why == SG_STREAM_END_EOF && sg_h1_eof(&c->conn->h1, &event) == 0 &&
            event.kind == SG_H1_END) {
                c->may_keep = false;
                finish(c, false);
        } else {
                call_broken(c, why, text);
        }
}

static void on_end(struct conn *n, enum sg_stream_end why, const char *text)
{
        struct sg_upcall *c = n->call;

        if (c->state == CALL_CONNECTING)
                call_connecting_failed(c, why, text);
        else if (c->state == CALL_TUNNELLING)
                call_tunnelling_failed(c, why, text);
        else if (is_tunnel(c))
                tunnel_ended(c, why, text);
        else
                broken(c, why, text);
}

const struct speech h1_speech = {
        .begin = begin,
        .send = send_pieces,
        .is_full = is_full,
        .pause = pause,
        .resume = resume,
        .leave = leave,
        .on_bytes = on_bytes,
        .on_drained = on_drained,
        .on_end = on_end,
};
