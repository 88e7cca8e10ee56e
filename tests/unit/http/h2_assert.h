/* h2_assert.h - what an owner was told, and the frames it gave, as expected */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "h2_owner.h"

/* And forgets it. */
static inline void assert_text(struct sg_buf *b, const char *expected)
{
        if (!sg_str_eq(sg_buf_view(b), sg_str_from(expected)))
                fail_msg("expected \"%s\", got \"" SG_STR_FMT "\"", expected, SG_STR_ARG(sg_buf_view(b)));
        sg_buf_clear(b);
}
