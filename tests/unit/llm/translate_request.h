/* What the tests of request translation share: one call, its output as text, its fault. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/limits.h"
#include "llm/translate.h"

typedef int request_fn(struct sg_buf *out, struct sg_str body, const struct sg_translate_options *options,
                       struct sg_translate_notes *notes, struct sg_llm_fault *fault);

struct told {
        struct sg_buf out;
        struct sg_translate_notes notes;
        struct sg_llm_fault fault;
        int r;
};

static inline struct told tell_model(request_fn *fn, enum sg_operation op, const char *model, const char *body,
                                     size_t max)
{
        struct sg_translate_options options = {.upstream_model = sg_str_from(model), .max_tokens = 4096};
        struct sg_llm_request req;
        struct told t = {0};

        if (sg_llm_request_read(&req, op, sg_str_from(body), false, &t.fault))
                fail_msg("not a request: %s: %s", body, t.fault.text);
        memset(&t.notes, 'x', sizeof(t.notes));
        sg_buf_init(&t.out, max);
        t.r = fn(&t.out, sg_str_from(body), &options, &t.notes, &t.fault);
        return t;
}

/* The output is valid JSON and equals `want`. */
static inline void assert_told(struct told *t, const char *body, const char *want)
{
        struct sg_str got = sg_buf_view(&t->out);
        struct sg_json_value v;

        if (t->r)
                fail_msg("%s\n: %s (%s)", body, t->fault.text, t->fault.param);
        if (sg_json_check(got, &v, NULL) || v.kind != SG_JSON_OBJECT)
                fail_msg("not an object: " SG_STR_FMT, SG_STR_ARG(got));
        if (!sg_str_eq(got, sg_str_from(want)))
                fail_msg("\nbody %s\ngot  " SG_STR_FMT "\nwant %s", body, SG_STR_ARG(got), want);
        sg_buf_done(&t->out);
}

static inline void assert_refused(struct told *t, const char *body, const char *param, const char *text)
{
        if (t->r != SG_LLM_E_BAD_FIELD)
                fail_msg("%s\nwas not refused", body);
        if (strcmp(t->fault.param, param) != 0 || !strstr(t->fault.text, text))
                fail_msg("%s\nrefused for %s: %s\nnot for     %s: %s", body, t->fault.param, t->fault.text, param,
                         text);
        sg_buf_done(&t->out);
}

/* With an output too small by any number of bytes: SG_BUF_E_FULL, and nothing worse. */
static inline void assert_full_is_told(request_fn *fn, enum sg_operation op, const char *model, const char *body)
{
        struct told t = tell_model(fn, op, model, body, SIZE_MAX);
        size_t n = sg_buf_length(&t.out);

        assert_int_equal(t.r, 0);
        sg_buf_done(&t.out);
        for (size_t max = 0; max < n; max++) {
                t = tell_model(fn, op, model, body, max);
                assert_int_equal(t.r, SG_BUF_E_FULL);
                sg_buf_done(&t.out);
        }
        t = tell_model(fn, op, model, body, n);
        assert_int_equal(t.r, 0);
        sg_buf_done(&t.out);
}
