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

struct portion {
        struct sg_stream *stream;
        struct sg_str pieces[PORTION_PIECES];
        size_t n, n_bytes;
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
        if (!p->is_refused && is_all_taken(c))
                call_go(c, CALL_WAITING);
}

void h1_send_more(struct sg_upcall *c)
{
        struct portion p = {.stream = c->conn->stream};

        send_body(c, &p);
}

#define FRAMING_BYTES 40u

static struct sg_str framing_of(const struct sg_upcall_request *q, char out[FRAMING_BYTES])
{
        size_t length = 0;
        int n;

        if (q->kind == SG_UPCALL_BODY_NONE)
                return SG_STR_NONE;
        for (size_t i = 0; i < q->n_body; i++)
                length += q->body[i].n;
        n = snprintf(out, FRAMING_BYTES, "content-length: %zu\r\n", length);
        return sg_str_make(out, (size_t)n);
}

static void portion_add_head(struct portion *p, const struct sg_upcall_request *q, struct sg_str framing)
{
        portion_add(p, q->method_text);
        portion_add(p, SG_STR(" "));
        portion_add(p, q->target);
        portion_add(p, SG_STR(" HTTP/1.1\r\nhost: "));
        portion_add(p, q->authority);
        portion_add(p, SG_STR("\r\n"));
        for (size_t i = 0; i < q->n_fields; i++)
                portion_add(p, q->fields[i]);
        portion_add(p, framing);
        portion_add(p, SG_STR("\r\n"));
}

void h1_send_request(struct sg_upcall *c)
{
        struct portion p = {.stream = c->conn->stream};
        char framing[FRAMING_BYTES];

        sg_h1_expect(&c->conn->h1, c->request.method);
        c->piece = c->offset = 0;
        portion_add_head(&p, &c->request, framing_of(&c->request, framing));
        portion_add_body(&p, c);
        portion_write(&p);
        send_body(c, &p);
}

/* ---- the answer */

static void take_head(struct sg_upcall *c, const struct sg_head *head)
{
        if (head->status < 200 && head->status != 101) {
                c->is_interim = true; /* RFC 9110 section 15.2: any number of them */
                return;
        }
        c->may_keep = head->keep_alive && head->status != 101 && c->state == CALL_WAITING;
        call_go(c, CALL_ANSWERING);
        c->listener->on_head(c, head, c->owner);
}

static void garbage(struct sg_upcall *c, enum sg_h1_error e)
{
        char text[96];

        (void)snprintf(text, sizeof(text), "it is not valid HTTP/1 (%s)", sg_h1_error_name(e));
        call_fail(c, SG_UPSTREAM_F_GARBAGE, "bad answer from", text);
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
                } else if (event.kind == SG_H1_END && c->is_interim) {
                        c->is_interim = false;
                } else if (event.kind == SG_H1_END) {
                        call_finish(c, used < in.n);
                        return used;
                }
                if (!c->conn)
                        return used;
                if (c->is_paused) {
                        c->waits_for_end = used == in.n;
                        return used;
                }
        }
}
