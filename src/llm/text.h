/*
 * llm/text.h - the room's own helpers: faults, texts of others made harmless, JSON written piece by piece
 *
 * Shape    small functions; sg_llm_put collects an output and remembers its first error
 * Thread   any
 */
#pragma once

#include "llm/llm.h"

/* fault may be NULL; param may be "". */
void sg_llm_fault_set(struct sg_llm_fault *fault, const char *param, const char *format, ...) SG_PRINTF(3, 4);

/* "null", "a string", "an object": for "must be …, not …". */
const char *sg_llm_kind_phrase(enum sg_json_kind kind);

/* A string decoded, or a number as it stands, NUL-terminated and cut at a whole character: control bytes become spaces,
 * and what looks like an API key is masked. Anything else gives "". */
void sg_llm_copy_text(char *out, size_t out_bytes, struct sg_json_value v);

/* As JavaScript and Python see it: neither absent, null, false, zero nor empty. */
bool sg_llm_is_truthy(struct sg_json_value v);

/* JSON white space around a text. */
struct sg_str sg_llm_trim(struct sg_str s);

struct sg_llm_put {
        struct sg_buf *to;
        int r; /* of the first that failed */
};

static inline void sg_llm_put(struct sg_llm_put *o, struct sg_str s)
{
        if (!o->r)
                o->r = sg_buf_add(o->to, s);
}

static inline void sg_llm_put_u64(struct sg_llm_put *o, uint64_t v)
{
        if (!o->r)
                o->r = sg_buf_add_u64(o->to, v);
}

static inline void sg_llm_put_string(struct sg_llm_put *o, struct sg_str s)
{
        if (!o->r)
                o->r = sg_buf_add_json_string(o->to, s);
}
