/*
 * h2_owner.h - an owner of an HTTP/2 connection that writes down what it is told
 *
 * "<1 GET /a @x l5|a=b|" a head with its flags and fields ("." behind it: no body), "1+body" bytes, "1." the end,
 * "1[a=b]" trailers, "1!cancel" a reset, "<1 too large>", "<1 too long>" (its path), "1sent".
 */
#pragma once

#include "h2_frames.h"
#include "http/h2.h"

struct exchange {
        struct sg_h2_stream stream;
        struct sg_link link;
        size_t n_body;
        bool has_ended, is_reset, is_sent;
        bool is_refused; /* answered already: too large */
        enum sg_h2_reset why;
};

struct owner {
        struct sg_h2 *h;
        struct sg_list exchanges; /* all of them, to the end */
        struct sg_buf text, out, frames;
        bool refuses;    /* ties nothing */
        bool keeps;      /* does not consume */
        bool is_quiet;   /* writes no text */
        bool keeps_sent; /* does not untie what is sent */
        void (*on_head)(struct owner *o, struct exchange *e, const struct sg_head *head);
        void (*on_end)(struct owner *o, struct exchange *e);
};

#define NOTE(o, ...)                                                                                                   \
        do {                                                                                                           \
                if (!(o)->is_quiet)                                                                                    \
                        SG_ASSERT(sg_buf_printf(&(o)->text, __VA_ARGS__) == 0);                                        \
        } while (0)

static inline struct owner *owner_of(struct sg_h2_stream *s, struct exchange **ret)
{
        *ret = SG_CONTAINER(s, struct exchange, stream);
        return s->owner;
}

static inline struct exchange *owner_tie(struct owner *o, int32_t id)
{
        struct exchange *e = calloc(1, sizeof(*e));

        SG_ASSERT(e);
        sg_h2_tie(o->h, id, &e->stream, o);
        sg_list_push(&o->exchanges, &e->link);
        return e;
}

static inline void add_fields_text(struct sg_buf *text, const struct sg_head *head)
{
        for (size_t i = 0; i < head->n_headers; i++) {
                const struct sg_header *f = &head->headers[i];

                SG_ASSERT(sg_token_is_valid(f->name) && sg_header_value_is_valid(f->value));
                SG_ASSERT(sg_buf_printf(text, "|" SG_STR_FMT "=" SG_STR_FMT, SG_STR_ARG(f->name),
                                        SG_STR_ARG(f->value)) == 0);
        }
}

static inline void owner_head(struct sg_h2 *h, int32_t id, const struct sg_head *head, bool is_end, void *owner)
{
        struct owner *o = owner;
        struct exchange *e;

        NOTE(o, "<%d " SG_STR_FMT " " SG_STR_FMT " @" SG_STR_FMT " ", id, SG_STR_ARG(head->method_text),
             SG_STR_ARG(head->target), SG_STR_ARG(head->host));
        SG_ASSERT(head->minor == 1 && head->keep_alive && !head->wants_upgrade && !head->status);
        SG_ASSERT(head->is_chunked == (!is_end && !head->has_length));
        if (head->has_length)
                NOTE(o, "l%llu", (unsigned long long)head->length);
        NOTE(o, "%s", head->expects_continue ? "e" : "");
        if (!o->is_quiet)
                add_fields_text(&o->text, head);
        NOTE(o, ">%s", is_end ? "." : "");
        if (o->refuses)
                return;
        e = owner_tie(o, id);
        e->has_ended = is_end;
        if (o->on_head)
                o->on_head(o, e, head);
        if (is_end && o->on_end && e->stream.h2)
                o->on_end(o, e);
}

static inline void owner_too_large(struct sg_h2 *h, int32_t id, bool is_target, void *owner)
{
        struct owner *o = owner;
        struct exchange *e;

        NOTE(o, "<%d %s>", id, is_target ? "too long" : "too large");
        if (o->refuses)
                return;
        e = owner_tie(o, id);
        e->is_refused = true;
        SG_ASSERT(sg_h2_send_head(&e->stream, is_target ? 414 : 431, SG_STR(""), true, 0, true) == 0);
}

static inline void owner_body(struct sg_h2_stream *s, struct sg_str bytes)
{
        struct exchange *e;
        struct owner *o = owner_of(s, &e);

        SG_ASSERT(bytes.n && !e->has_ended && s->h2);
        /* So that where it was cut makes no difference to the text. */
        if (e->n_body == 0)
                NOTE(o, "%d+", s->id);
        if (!o->is_quiet)
                add(&o->text, bytes.p, bytes.n);
        e->n_body += bytes.n;
        if (!o->keeps)
                sg_h2_consume(s, bytes.n);
}

static inline void owner_trailers(struct sg_h2_stream *s, const struct sg_head *trailers)
{
        struct exchange *e;
        struct owner *o = owner_of(s, &e);

        SG_ASSERT(!e->has_ended && s->h2 && trailers->n_headers);
        NOTE(o, "%d[", s->id);
        if (!o->is_quiet)
                add_fields_text(&o->text, trailers);
        NOTE(o, "]");
}

static inline void owner_end(struct sg_h2_stream *s)
{
        struct exchange *e;
        struct owner *o = owner_of(s, &e);

        SG_ASSERT(!e->has_ended && s->h2);
        e->has_ended = true;
        NOTE(o, "%d.", s->id);
        if (o->on_end && !e->is_refused)
                o->on_end(o, e);
}

static inline void owner_reset(struct sg_h2_stream *s, enum sg_h2_reset why)
{
        struct exchange *e;
        struct owner *o = owner_of(s, &e);

        SG_ASSERT(!e->is_reset && s->h2 == NULL);
        e->is_reset = true;
        e->why = why;
        NOTE(o, "%d!%s", s->id, sg_h2_reset_name(why));
}

static inline void owner_sent(struct sg_h2_stream *s)
{
        struct exchange *e;
        struct owner *o = owner_of(s, &e);

        SG_ASSERT(!e->is_sent && s->h2);
        e->is_sent = true;
        NOTE(o, "%dsent", s->id);
        if (!o->keeps_sent)
                sg_h2_untie(s, SG_H2_RESET_NONE);
}

static const struct sg_h2_events owner_events = {
        .on_head = owner_head,
        .on_head_too_large = owner_too_large,
        .on_body = owner_body,
        .on_end = owner_end,
        .on_reset = owner_reset,
        .on_sent = owner_sent,
};
/* The same, and told of trailers. */
static const struct sg_h2_events owner_events_all = {
        .on_head = owner_head,
        .on_head_too_large = owner_too_large,
        .on_body = owner_body,
        .on_end = owner_end,
        .on_reset = owner_reset,
        .on_sent = owner_sent,
        .on_trailers = owner_trailers,
};
static const struct sg_h2_limits owner_limits = {
        .n_streams_max = 100, .stream_window = 65535, .connection_window = 65535};

static inline void owner_init_with(struct owner *o, const struct sg_h2_limits *limits,
                                   const struct sg_h2_events *events)
{
        *o = (struct owner){0};
        sg_list_init(&o->exchanges);
        sg_buf_init(&o->text, SIZE_MAX);
        sg_buf_init(&o->out, SIZE_MAX);
        sg_buf_init(&o->frames, SIZE_MAX);
        SG_ASSERT(sg_h2_new(&o->h, limits, events, o) == 0);
}

static inline void owner_init_as(struct owner *o, const struct sg_h2_limits *limits)
{
        owner_init_with(o, limits, &owner_events);
}

static inline void owner_init(struct owner *o)
{
        owner_init_as(o, &owner_limits);
}

static inline void owner_done(struct owner *o)
{
        struct sg_link *k;

        o->h = sg_h2_free(o->h);
        while ((k = sg_list_pop(&o->exchanges)) != NULL) {
                struct exchange *e = SG_CONTAINER(k, struct exchange, link);

                SG_ASSERT(e->stream.h2 == NULL && e->stream.out.data == NULL);
                free(e);
        }
        sg_buf_done(&o->text);
        sg_buf_done(&o->out);
        sg_buf_done(&o->frames);
}

static inline struct exchange *owner_last(struct owner *o)
{
        return SG_CONTAINER(sg_list_last(&o->exchanges), struct exchange, link);
}

/* Frames that are ready, as text; those of the connection's beginning are left out. */
static inline int owner_produce(struct owner *o)
{
        int r = sg_h2_produce(o->h, &o->out, SIZE_MAX);

        read_frames(&o->out, &o->frames);
        return r;
}

/* In pieces of at most n, copied, so that a sanitizer sees the first byte read too far. */
static inline int receive_in_pieces(struct sg_h2 *h, struct sg_str bytes, size_t n)
{
        int r = 0;

        while (bytes.n && r == 0) {
                struct sg_str piece = sg_str_head(bytes, SG_MIN(n, bytes.n));
                char *copy = malloc(piece.n);

                SG_ASSERT(copy);
                memcpy(copy, piece.p, piece.n);
                r = sg_h2_receive(h, sg_str_make(copy, piece.n));
                free(copy);
                bytes = sg_str_skip(bytes, piece.n);
        }
        return r;
}

static inline int owner_receive(struct owner *o, struct sg_str bytes, size_t n)
{
        return receive_in_pieces(o->h, bytes, n);
}
