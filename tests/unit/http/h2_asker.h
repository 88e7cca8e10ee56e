/*
 * h2_asker.h - the client's side of an HTTP/2 connection, which writes down what it is told
 *
 * "<1 200 l5|a=b>" an answer's head with its length and fields ("." behind it: no body), "1+body" bytes, "1[|a=b]" trailers,
 * "1." the end, "1!refused" a reset, "<going away>".
 */
#pragma once

#include "h2_owner.h"

struct asked {
        struct sg_h2_stream stream;
        struct sg_link link;
        size_t n_body;
        unsigned status;
        bool has_ended, is_reset, is_sent;
        enum sg_h2_reset why;
};

struct asker {
        struct sg_h2 *h;
        struct sg_list asked; /* all of them, to the end */
        struct sg_buf text, out, frames;
        bool has_preface; /* it was taken off `out` */
        bool keeps;       /* does not consume */
        bool is_quiet;
        bool unties_answer; /* at its head */
};

static inline struct asker *asker_of(struct sg_h2_stream *s, struct asked **ret)
{
        *ret = SG_CONTAINER(s, struct asked, stream);
        return s->owner;
}

static inline void asker_answer(struct sg_h2_stream *s, const struct sg_head *head, bool is_end)
{
        struct asked *q;
        struct asker *a = asker_of(s, &q);

        SG_ASSERT(s->h2 && !q->status && !q->is_reset && head->status >= 200 && head->status <= 999);
        SG_ASSERT(head->minor == 1 && head->keep_alive && !head->is_chunked && !head->is_close_delimited);
        q->status = head->status;
        q->has_ended = is_end;
        NOTE(a, "<%d %u ", s->id, head->status);
        if (head->has_length)
                NOTE(a, "l%llu", (unsigned long long)head->length);
        if (!a->is_quiet)
                add_fields_text(&a->text, head);
        NOTE(a, ">%s", is_end ? "." : "");
        if (a->unties_answer)
                sg_h2_untie(s, SG_H2_RESET_CANCEL);
}

static inline void asker_body(struct sg_h2_stream *s, struct sg_str bytes)
{
        struct asked *q;
        struct asker *a = asker_of(s, &q);

        SG_ASSERT(bytes.n && s->h2 && q->status && !q->has_ended);
        if (q->n_body == 0)
                NOTE(a, "%d+", s->id);
        if (!a->is_quiet)
                add(&a->text, bytes.p, bytes.n);
        q->n_body += bytes.n;
        if (!a->keeps)
                sg_h2_consume(s, bytes.n);
}

static inline void asker_trailers(struct sg_h2_stream *s, const struct sg_head *trailers)
{
        struct asked *q;
        struct asker *a = asker_of(s, &q);

        SG_ASSERT(s->h2 && q->status && !q->has_ended && trailers->n_headers);
        NOTE(a, "%d[", s->id);
        if (!a->is_quiet)
                add_fields_text(&a->text, trailers);
        NOTE(a, "]");
}

static inline void asker_end(struct sg_h2_stream *s)
{
        struct asked *q;
        struct asker *a = asker_of(s, &q);

        SG_ASSERT(s->h2 && q->status && !q->has_ended);
        q->has_ended = true;
        NOTE(a, "%d.", s->id);
}

static inline void asker_reset(struct sg_h2_stream *s, enum sg_h2_reset why)
{
        struct asked *q;
        struct asker *a = asker_of(s, &q);

        SG_ASSERT(!s->h2 && !q->is_reset);
        q->is_reset = true;
        q->why = why;
        NOTE(a, "%d!%s", s->id, sg_h2_reset_name(why));
}

static inline void asker_sent(struct sg_h2_stream *s)
{
        struct asked *q;

        (void)asker_of(s, &q);
        SG_ASSERT(s->h2 && !q->is_sent);
        q->is_sent = true;
}

static inline void asker_going_away(struct sg_h2 *h, void *owner)
{
        struct asker *a = owner;

        SG_ASSERT(h == a->h && sg_h2_room(h) == 0);
        NOTE(a, "<going away>");
}

static const struct sg_h2_events asker_events = {
        .on_body = asker_body,
        .on_end = asker_end,
        .on_reset = asker_reset,
        .on_sent = asker_sent,
        .on_trailers = asker_trailers,
        .on_answer = asker_answer,
        .on_going_away = asker_going_away,
};

static inline void asker_init_as(struct asker *a, const struct sg_h2_limits *limits)
{
        *a = (struct asker){0};
        sg_list_init(&a->asked);
        sg_buf_init(&a->text, SIZE_MAX);
        sg_buf_init(&a->out, SIZE_MAX);
        sg_buf_init(&a->frames, SIZE_MAX);
        SG_ASSERT(sg_h2_new_client(&a->h, limits, &asker_events, a) == 0);
}

static inline void asker_init(struct asker *a)
{
        asker_init_as(a, &owner_limits);
}

static inline void asker_done(struct asker *a)
{
        struct sg_link *k;

        a->h = sg_h2_free(a->h);
        while ((k = sg_list_pop(&a->asked)) != NULL) {
                struct asked *q = SG_CONTAINER(k, struct asked, link);

                SG_ASSERT(q->stream.h2 == NULL && q->stream.out.data == NULL);
                free(q);
        }
        sg_buf_done(&a->text);
        sg_buf_done(&a->out);
        sg_buf_done(&a->frames);
}

static inline struct asked *asker_open(struct asker *a, const struct sg_h2_request *request)
{
        struct asked *q = calloc(1, sizeof(*q));

        SG_ASSERT(q && sg_h2_open(a->h, &q->stream, request, a) == 0);
        sg_list_push(&a->asked, &q->link);
        return q;
}

static inline struct asked *ask_for(struct asker *a, const char *method, bool is_last)
{
        const struct sg_h2_request request = {.method = sg_str_from(method),
                                              .scheme = SG_STR("http"),
                                              .authority = SG_STR("x"),
                                              .path = SG_STR("/a"),
                                              .is_last = is_last};

        return asker_open(a, &request);
}

static inline struct asked *asker_nth(struct asker *a, size_t n) /* from 0 */
{
        struct sg_link *k = a->asked.ends.next;

        SG_ASSERT(n < a->asked.n);
        while (n--)
                k = k->next;
        return SG_CONTAINER(k, struct asked, link);
}

/* Frames that are ready, as text. */
static inline int asker_produce(struct asker *a)
{
        int r = sg_h2_produce(a->h, &a->out, SIZE_MAX);

        if (!a->has_preface && sg_buf_length(&a->out)) {
                SG_ASSERT(sg_str_starts(sg_buf_view(&a->out), SG_H2_PREFACE));
                sg_buf_take(&a->out, SG_H2_PREFACE.n);
                a->has_preface = true;
        }
        read_frames(&a->out, &a->frames);
        return r;
}

/* As owner_receive(). */
static inline int asker_receive(struct asker *a, struct sg_str bytes, size_t n)
{
        return receive_in_pieces(a->h, bytes, n);
}
