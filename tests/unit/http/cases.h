/*
 * cases.h - one outcome for given bytes, the same in one piece, in two at every cut, and byte by byte
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "transcript.h"

struct http_case {
        struct sg_str in;
        const char *outcome;
};

/* clang-format off: SG_STR() is no constant for static data */
#define CASE(bytes, outcome)                                                                                           \
        {                                                                                                              \
                {"" bytes, sizeof(bytes) - 1}, outcome                                                                 \
        }
/* clang-format on */

static inline void check_outcome(const struct http_case *c, enum sg_h1_role role, enum sg_method asked, bool closes,
                                 const size_t *ends, size_t n_ends)
{
        struct transcript t;

        transcript_init(&t, role, NULL);
        if (role == SG_H1_CLIENT)
                sg_h1_expect(&t.h1, asked);
        if (n_ends)
                transcript_read(&t, c->in, ends, n_ends);
        else
                transcript_read_byte_by_byte(&t, c->in);
        if (closes)
                transcript_close(&t);
        if (!sg_str_eq(sg_buf_view(&t.text), sg_str_from(c->outcome)))
                fail_msg("%.*s\n--- cut at %zu: expected \"%s\", got \"%.*s\"", SG_STR_ARG(c->in), n_ends ? ends[0] : 1,
                         c->outcome, SG_STR_ARG(sg_buf_view(&t.text)));
        transcript_done(&t);
}

static inline void check_cases(const struct http_case *cases, size_t n, enum sg_h1_role role, enum sg_method asked,
                               bool closes)
{
        for (size_t i = 0; i < n; i++) {
                const size_t whole = cases[i].in.n;

                check_outcome(&cases[i], role, asked, closes, &whole, 1);
                for (size_t cut = 1; cut < whole; cut++)
                        check_outcome(&cases[i], role, asked, closes, (const size_t[]){cut, whole}, 2);
                check_outcome(&cases[i], role, asked, closes, NULL, 0);
        }
}
