/*
 * sse_split.h - what the scanner of event streams gives for a stream in pieces: "[name:data]" for an event that says
 * something, "." for one that does not; and its invariants: no byte is lost, added or moved, nothing is kept for
 * nothing
 */
#pragma once

#include <stdlib.h>

#include "http/sse.h"

struct sse_split {
        struct sg_sse sse;
        struct sg_buf text;
        struct sg_buf raw; /* of all events */
        unsigned n_silent;
        int error;
};

static inline void sse_split_init(struct sse_split *s, size_t event_bytes_max)
{
        *s = (struct sse_split){0};
        sg_sse_init(&s->sse, event_bytes_max);
        sg_buf_init(&s->text, SIZE_MAX);
        sg_buf_init(&s->raw, SIZE_MAX);
}

static inline void sse_split_done(struct sse_split *s)
{
        sg_sse_done(&s->sse);
        sg_buf_done(&s->text);
        sg_buf_done(&s->raw);
}

static inline void sse_split_add_event(struct sse_split *s, const struct sg_sse_event *ev)
{
        SG_ASSERT(ev->raw.n > 0 && sg_buf_add(&s->raw, ev->raw) == 0);
        SG_ASSERT(ev->has_data || ev->data.n == 0);
        if (!ev->has_data && ev->name.n == 0) {
                s->n_silent++;
                return;
        }
        SG_ASSERT(sg_buf_add(&s->text, SG_STR("[")) == 0 && sg_buf_add(&s->text, ev->name) == 0 &&
                  sg_buf_add(&s->text, ev->has_data ? SG_STR(":") : SG_STR("!")) == 0 &&
                  sg_buf_add(&s->text, ev->data) == 0 && sg_buf_add(&s->text, SG_STR("]")) == 0);
}

/* One piece, from a copy of exactly its bytes that is gone afterwards: what the scanner needs of it, it must keep. */
static inline void sse_split_feed(struct sse_split *s, struct sg_str piece)
{
        char *copy = malloc(piece.n ? piece.n : 1);
        struct sg_str in = sg_str_make(copy, piece.n);
        int r = 0;

        SG_ASSERT(copy);
        if (piece.n)
                memcpy(copy, piece.p, piece.n);
        while (r == 0 && s->error == 0) {
                const struct sg_str before = in;
                const size_t carried = sg_sse_carried(&s->sse);
                struct sg_sse_event ev;

                r = sg_sse_next(&s->sse, &in, &ev);
                SG_ASSERT(in.n <= before.n && in.p + in.n == copy + piece.n);
                if (r == 0) {
                        /* What lies in the piece is not copied. */
                        SG_ASSERT(carried || ev.raw.p == before.p);
                        SG_ASSERT(ev.raw.n == carried + before.n - in.n);
                        sse_split_add_event(s, &ev);
                } else if (r == SG_SSE_E_MORE) {
                        SG_ASSERT(in.n == 0);
                } else {
                        s->error = r;
                }
        }
        if (s->error == 0 && sg_sse_carried(&s->sse) == 0)
                SG_ASSERT(!s->sse.carry.data && !s->sse.join.data);
        free(copy);
}

/* The raw bytes of all events and what is carried are the stream. */
static inline void sse_split_end(struct sse_split *s, struct sg_str stream)
{
        const size_t n = sg_buf_length(&s->raw), carried = sg_sse_carried(&s->sse);

        SG_ASSERT(sg_buf_add(&s->raw, sg_buf_view(&s->sse.carry)) == 0);
        SG_ASSERT(n + carried == stream.n && sg_str_eq(sg_buf_view(&s->raw), stream));
}
