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

void h1_send_more(struct sg_upcall *c)
{
        struct portion p = {.stream = c->conn->stream};

        send_body(c, &p);
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

void h1_send_request(struct sg_upcall *c)
{
        struct portion p = {.stream = c->conn->stream};

        sg_h1_expect(&c->conn->h1, c->request.method);
        c->piece = c->offset = 0;
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

void h1_send(struct sg_upcall *c, const struct sg_str *pieces, size_t n, bool is_last)
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

/* What the codec finds in the bytes; returns how many are used. */
size_t h1_take_answer(struct sg_upcall *c, struct sg_str in)
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
                        call_finish(c, used < in.n);
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
