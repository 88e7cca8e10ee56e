/*
 * base/buf.h - bytes that grow up to a maximum given at birth
 *
 * Shape    one contiguous block; taken from the front, added at the back
 * Units    bytes
 * Owner    whoever initialised it; sg_buf_view() is lent until the next change
 * Thread   one at a time
 * Errors   0, -ENOMEM, or SG_BUF_E_FULL when the maximum would be passed (nothing is added then)
 * Limits   max of sg_buf_init(); an empty buffer holds no memory after sg_buf_done() or sg_buf_release()
 */
#pragma once

#include <stdarg.h>

#include "base/macro.h"
#include "base/str.h"

enum sg_buf_error {
        SG_BUF_E_FULL = 1,
};

struct sg_buf {
        char *data;   /* heap; private */
        size_t start; /* first byte not yet taken */
        size_t end;   /* one past the last byte */
        size_t room;  /* bytes allocated */
        size_t max;   /* most bytes held at once */
        bool secret;  /* wiped when freed or moved */
};

void sg_buf_init(struct sg_buf *b, size_t max);
void sg_buf_done(struct sg_buf *b);

static inline size_t sg_buf_length(const struct sg_buf *b)
{
        return b->end - b->start;
}

static inline struct sg_str sg_buf_view(const struct sg_buf *b)
{
        return sg_str_make(b->data ? b->data + b->start : NULL, b->end - b->start);
}

/* Room for n more bytes at the back: *ret points there; sg_buf_added() then says how many were written. */
int sg_buf_reserve(struct sg_buf *b, size_t n, char **ret) SG_MUST_CHECK;
void sg_buf_added(struct sg_buf *b, size_t n);

SG_MUST_CHECK
static inline int sg_buf_add(struct sg_buf *b, struct sg_str s);
int sg_buf_add_u64(struct sg_buf *b, uint64_t v) SG_MUST_CHECK;
int sg_buf_printf(struct sg_buf *b, const char *format, ...) SG_PRINTF(2, 3) SG_MUST_CHECK;
int sg_buf_vprintf(struct sg_buf *b, const char *format, va_list args) SG_PRINTF(2, 0) SG_MUST_CHECK;
/* As a JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD. */
int sg_buf_add_json_string(struct sg_buf *b, struct sg_str s) SG_MUST_CHECK;

/* Takes n bytes from the front. */
void sg_buf_take(struct sg_buf *b, size_t n);
/* Empties the buffer, keeping its memory; release gives the memory back too. */
void sg_buf_clear(struct sg_buf *b);
void sg_buf_release(struct sg_buf *b);

/* Whole file into *b (added). -errno, or SG_BUF_E_FULL when it is larger than the maximum allows. */
int sg_buf_add_file(struct sg_buf *b, const char *path) SG_MUST_CHECK;

/* ---- inline: lines and heads are made of many short pieces */

int sg_buf_add_grow_(struct sg_buf *b, struct sg_str s) SG_MUST_CHECK;

static inline int sg_buf_add(struct sg_buf *b, struct sg_str s)
{
        if (SG_UNLIKELY(s.n > b->room - b->end || s.n > b->max - sg_buf_length(b)))
                return sg_buf_add_grow_(b, s);
        if (s.n)
                memcpy(b->data + b->end, s.p, s.n);
        b->end += s.n;
        return 0;
}
