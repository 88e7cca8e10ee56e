/* h1_compare.h - the same transcript in one piece, in three, and byte by byte when there are few */
#pragma once

#include "../../unit/http/transcript.h"
#include "split.h"

#define BYTE_BY_BYTE_MAX 512u

static inline void h1_begin(struct transcript *t, enum sg_h1_role role, enum sg_method asked)
{
        /* Low enough for small inputs to reach them. */
        transcript_init(t, role, &(struct sg_h1_limits){.head_bytes = 2048, .body_bytes = 4096});
        t->with_fields = true;
        if (role == SG_H1_CLIENT)
                sg_h1_expect(&t->h1, asked);
}

static inline void h1_compare_end(struct transcript *whole, struct transcript *t)
{
        transcript_close(t);
        SG_ASSERT(sg_str_eq(sg_buf_view(&whole->text), sg_buf_view(&t->text)));
        transcript_done(t);
}

static inline void h1_compare(const uint8_t *data, size_t size, enum sg_h1_role role, enum sg_method asked)
{
        const uint64_t hash = split_hash(data, size);
        const size_t a = hash % (size + 1), b = a + (hash >> 20) % (size - a + 1);
        const struct sg_str in = sg_str_make(data, size);
        struct transcript whole, t;

        h1_begin(&whole, role, asked);
        transcript_read(&whole, in, &size, 1);
        transcript_close(&whole);
        h1_begin(&t, role, asked);
        transcript_read(&t, in, (const size_t[]){a, b, size}, 3);
        h1_compare_end(&whole, &t);
        if (size <= BYTE_BY_BYTE_MAX) {
                h1_begin(&t, role, asked);
                transcript_read_byte_by_byte(&t, in);
                h1_compare_end(&whole, &t);
        }
        transcript_done(&whole);
}
