/* A provider's bytes through scanner and judge, in pieces of `step` bytes; what a client would get is collected. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "http/sse.h"
#include "llm/llm.h"

struct run {
        struct sg_llm_stream s;
        struct sg_buf out;
        unsigned n_verdicts[SG_EVENT_LAST + 1];
        struct sg_llm_fault fault;
};

static inline void judge(struct run *t, const struct sg_sse_event *ev)
{
        struct sg_str replacement;
        enum sg_stream_verdict v = sg_llm_stream_event(&t->s, ev, &replacement, &t->fault);

        t->n_verdicts[v]++;
        if (v == SG_EVENT_PASS || v == SG_EVENT_LAST)
                assert_int_equal(sg_buf_add(&t->out, ev->raw), 0);
        if (v == SG_EVENT_REPLACE)
                assert_int_equal(sg_buf_add(&t->out, replacement), 0);
}

static inline void run(struct run *t, enum sg_operation op, bool hide_usage, struct sg_str bytes, size_t step)
{
        struct sg_sse_event ev;
        struct sg_sse sse;

        *t = (struct run){0};
        sg_llm_stream_init(&t->s, op, hide_usage);
        sg_buf_init(&t->out, 1u << 20);
        sg_sse_init(&sse, 0);
        while (bytes.n > 0) {
                struct sg_str piece = sg_str_head(bytes, SG_MIN(step, bytes.n));

                bytes = sg_str_skip(bytes, piece.n);
                while (sg_sse_next(&sse, &piece, &ev) == 0)
                        judge(t, &ev);
        }
        sg_sse_done(&sse);
}

static inline void end(struct run *t)
{
        sg_llm_stream_done(&t->s);
        sg_buf_done(&t->out);
}

static inline void assert_out(struct run *t, struct sg_str want)
{
        if (!sg_str_eq(sg_buf_view(&t->out), want))
                fail_msg("got <" SG_STR_FMT ">\nwant <" SG_STR_FMT ">", SG_STR_ARG(sg_buf_view(&t->out)),
                         SG_STR_ARG(want));
}
