/*
 * transcript.h - what the HTTP/1.1 parser makes of some bytes, as text, however they are cut into pieces
 *
 * One message is "METHOD target @host FLAGS |body|+trailer=value,." or "STATUS FLAGS |body|."; the point is its END. An
 * error ends the text by its name; "…" stands for a message that is not complete. Flags: 0 HTTP/1.0, k keep-alive,
 * c chunked, l<length>, z up to the close, e expects 100, u wants to upgrade.
 */
#pragma once

#include <stdlib.h>

#include "http/h1.h"

struct transcript {
        struct sg_h1 h1;
        struct sg_buf text;
        bool with_fields; /* of the head, too */
        bool is_over;     /* by an error */
        bool in_message;
};

static inline void transcript_init(struct transcript *t, enum sg_h1_role role, const struct sg_h1_limits *limits)
{
        *t = (struct transcript){0};
        sg_h1_init(&t->h1, role, limits);
        sg_buf_init(&t->text, SIZE_MAX);
}

static inline void transcript_done(struct transcript *t)
{
        sg_buf_done(&t->text);
}

static inline void transcript_add(struct transcript *t, struct sg_str s)
{
        SG_ASSERT(sg_buf_add(&t->text, s) == 0);
}

static inline void transcript_add_fields(struct transcript *t, const struct sg_head *head)
{
        for (size_t i = 0; i < head->n_headers; i++)
                SG_ASSERT(sg_buf_printf(&t->text, "+" SG_STR_FMT "=" SG_STR_FMT ",", SG_STR_ARG(head->headers[i].name),
                                        SG_STR_ARG(head->headers[i].value)) == 0);
}

static inline void check_head(const struct sg_head *head)
{
        SG_ASSERT(head->has_length + head->is_chunked + head->is_close_delimited <= 1);
        SG_ASSERT(!head->is_close_delimited || !head->keep_alive);
        SG_ASSERT(head->n_headers <= SG_HEADERS_MAX);
        for (size_t i = 0; i < head->n_headers; i++)
                SG_ASSERT(sg_token_is_valid(head->headers[i].name) && sg_header_value_is_valid(head->headers[i].value));
}

static inline void transcript_add_head(struct transcript *t, const struct sg_head *head)
{
        if (t->h1.role == SG_H1_SERVER)
                SG_ASSERT(sg_buf_printf(&t->text, SG_STR_FMT " " SG_STR_FMT " @" SG_STR_FMT " ",
                                        SG_STR_ARG(head->method_text), SG_STR_ARG(head->target),
                                        SG_STR_ARG(head->host)) == 0);
        else
                SG_ASSERT(sg_buf_printf(&t->text, "%u ", head->status) == 0);
        SG_ASSERT(sg_buf_printf(&t->text, "%s%s%s%s%s%s", head->minor ? "" : "0", head->keep_alive ? "k" : "",
                                head->is_chunked ? "c" : "", head->is_close_delimited ? "z" : "",
                                head->expects_continue ? "e" : "", head->wants_upgrade ? "u" : "") == 0);
        if (head->has_length)
                SG_ASSERT(sg_buf_printf(&t->text, "l%llu", (unsigned long long)head->length) == 0);
        if (t->with_fields)
                transcript_add_fields(t, head);
        transcript_add(t, SG_STR(" |"));
        t->in_message = true;
}

static inline void transcript_add_event(struct transcript *t, const struct sg_h1_event *ev, const struct sg_head *head)
{
        switch (ev->kind) {
        case SG_H1_MORE:
                return;
        case SG_H1_HEAD:
                check_head(head);
                transcript_add_head(t, head);
                return;
        case SG_H1_BODY:
                SG_ASSERT(ev->bytes.n > 0);
                transcript_add(t, ev->bytes);
                return;
        case SG_H1_TRAILERS:
                SG_ASSERT(head->n_headers > 0);
                transcript_add(t, SG_STR("|"));
                transcript_add_fields(t, head);
                transcript_add(t, SG_STR("."));
                t->in_message = false;
                return;
        case SG_H1_END:
                if (t->in_message)
                        transcript_add(t, SG_STR("|."));
                t->in_message = false;
                return;
        }
        SG_UNREACHABLE();
}

static inline bool lies_within(struct sg_str inner, struct sg_str outer)
{
        return inner.n == 0 || (inner.p >= outer.p && inner.p + inner.n <= outer.p + outer.n);
}

/* One event from a copy of exactly these bytes, so that a sanitizer sees the first one read too far. */
static inline size_t transcript_step(struct transcript *t, struct sg_str in, bool *ret_more)
{
        char *copy = malloc(in.n ? in.n : 1);
        struct sg_str bytes = sg_str_make(copy, in.n);
        struct sg_h1_event ev;
        struct sg_head head;
        int r;

        SG_ASSERT(copy);
        if (in.n)
                memcpy(copy, in.p, in.n);
        r = sg_h1_next(&t->h1, bytes, &head, &ev);
        *ret_more = r == 0 && ev.kind == SG_H1_MORE;
        SG_ASSERT(ev.used <= in.n && lies_within(ev.bytes, bytes));
        if (r) {
                SG_ASSERT(sg_h1_next(&t->h1, bytes, &head, &ev) == r); /* and nothing after it */
                transcript_add(t, sg_str_from(sg_h1_error_name((enum sg_h1_error)r)));
                t->is_over = true;
        } else {
                transcript_add_event(t, &ev, &head);
        }
        free(copy);
        return ev.used;
}

/* Feeds the bytes up to each of the ends. */
static inline void transcript_read(struct transcript *t, struct sg_str in, const size_t *ends, size_t n_ends)
{
        size_t used = 0;

        for (size_t i = 0; i < n_ends && !t->is_over; i++) {
                bool needs_more = false;

                while (!needs_more && !t->is_over)
                        used += transcript_step(t, sg_str_make(in.p + used, ends[i] - used), &needs_more);
        }
        if (!t->is_over && !sg_h1_is_idle(&t->h1))
                transcript_add(t, SG_STR("…"));
}

static inline void transcript_read_byte_by_byte(struct transcript *t, struct sg_str in)
{
        size_t *ends = calloc(in.n + 1, sizeof(*ends));

        SG_ASSERT(ends);
        for (size_t i = 0; i < in.n; i++)
                ends[i] = i + 1;
        transcript_read(t, in, ends, in.n);
        free(ends);
}

static inline void transcript_close(struct transcript *t)
{
        struct sg_h1_event ev;
        int r;

        if (t->is_over)
                return;
        r = sg_h1_eof(&t->h1, &ev);
        if (r)
                transcript_add(t, sg_str_from(sg_h1_error_name((enum sg_h1_error)r)));
        else
                transcript_add_event(t, &ev, NULL);
}
