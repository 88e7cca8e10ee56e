/*
 * config/troff.h - text as the source of a manual page, for troff(7) and man(7)
 *
 * Shape    appended to a buffer; `words` between backticks become bold, nothing in the text steers
 * Errors   those of sg_buf
 */
#pragma once

#include "base/buf.h"

/* On one line, which is not ended: for what a macro or a larger line holds. */
int sg_troff_add_line(struct sg_buf *b, struct sg_str text) SG_MUST_CHECK;
/* Running text: filled to lines of 78, with a new line for each sentence. The last line is ended. */
int sg_troff_add_text(struct sg_buf *b, struct sg_str text) SG_MUST_CHECK;
/* As it stands, in the width of the screen: examples. Each line is ended; a paragraph is to be begun before. */
int sg_troff_add_example(struct sg_buf *b, struct sg_str lines) SG_MUST_CHECK;
