/* A provider's bytes through the scanner and a translator; what the client gets is collected. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/limits.h"
#include "http/sse.h"
#include "llm/translate.h"

#define OUT_BYTES_MAX (1u << 20)

struct run {
        struct sg_buf out;
        struct sg_llm_fault fault;
        int r; /* of the first event that failed */
};

static const struct sg_translate_exchange exchange = {
        .model = SG_STR("asked-for"), .request_id = SG_STR("req-7"), .created_sec = 1700000000, .wants_usage = true};

static inline void run_max(struct run *t, enum sg_operation from, struct sg_str bytes,
                           const struct sg_translate_exchange *x, size_t out_max)
{
        SG_AUTO(sg_translator_free) struct sg_translator *translator = NULL;
        struct sg_sse_event ev;
        struct sg_sse sse;

        *t = (struct run){0};
        sg_buf_init(&t->out, out_max);
        sg_sse_init(&sse, 0);
        assert_int_equal(sg_translator_new(&translator, from, from == SG_OP_CHAT ? SG_OP_MESSAGES : SG_OP_CHAT, x), 0);
        while (!t->r && sg_sse_next(&sse, &bytes, &ev) == 0) {
                size_t n = sg_buf_length(&t->out);

                t->r = sg_translator_event(translator, &ev, &t->out, &t->fault);
                if (t->r)
                        assert_int_equal(sg_buf_length(&t->out), n); /* all or nothing */
        }
        assert_int_equal(sg_sse_carried(&sse), 0);
        sg_sse_done(&sse);
}

static inline void run(struct run *t, enum sg_operation from, struct sg_str bytes)
{
        run_max(t, from, bytes, &exchange, OUT_BYTES_MAX);
}

static inline void end(struct run *t)
{
        sg_buf_done(&t->out);
}

static inline void assert_is(struct sg_str got, struct sg_str want)
{
        if (!sg_str_eq(got, want))
                fail_msg("got <" SG_STR_FMT ">\nwant <" SG_STR_FMT ">", SG_STR_ARG(got), SG_STR_ARG(want));
}

static inline void assert_stream(enum sg_operation from, struct sg_str bytes, const struct sg_translate_exchange *x,
                                 struct sg_str want)
{
        struct run t;

        run_max(&t, from, bytes, x, OUT_BYTES_MAX);
        if (t.r)
                fail_msg("error %d: %s", t.r, t.fault.text);
        assert_is(sg_buf_view(&t.out), want);
        end(&t);
}

static inline void assert_nonsense(enum sg_operation from, struct sg_str bytes, const char *text)
{
        struct run t;

        run(&t, from, bytes);
        assert_int_equal(t.r, SG_LLM_E_NOT_JSON);
        if (!strstr(t.fault.text, text))
                fail_msg("\"%s\" is not about \"%s\"", t.fault.text, text);
        end(&t);
}

/* With less room than needed it fails, and with no more than needed it does not. */
static inline void assert_full_at_every_maximum(enum sg_operation from, struct sg_str bytes)
{
        struct run t;
        size_t whole;

        run(&t, from, bytes);
        assert_int_equal(t.r, 0);
        whole = sg_buf_length(&t.out);
        end(&t);
        for (size_t max = 0; max <= whole; max++) {
                run_max(&t, from, bytes, &exchange, max);
                assert_int_equal(t.r, max < whole ? SG_BUF_E_FULL : 0);
                end(&t);
        }
}

static inline void add(struct sg_buf *b, struct sg_str s)
{
        assert_int_equal(sg_buf_add(b, s), 0);
}

static inline void add_string(struct sg_buf *b, struct sg_str s)
{
        assert_int_equal(sg_buf_add_json_string(b, s), 0);
}
