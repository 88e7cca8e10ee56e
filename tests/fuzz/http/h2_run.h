/* h2_run.h - what the targets of both roles of HTTP/2 share */
#pragma once

#include "base/buf.h"

/* Windows are given back when enough was consumed, and that comes in other steps. */
static inline void drop_windows(struct sg_buf *text)
{
        struct sg_str left = sg_buf_view(text), one;
        struct sg_buf kept;

        sg_buf_init(&kept, SIZE_MAX);
        while (left.n) {
                sg_str_cut(&left, ' ', &one);
                if (one.n && one.p[0] != 'W')
                        SG_ASSERT(sg_buf_printf(&kept, SG_STR_FMT " ", SG_STR_ARG(one)) == 0);
        }
        sg_buf_done(text);
        *text = kept;
}
