/*
 * config/render.h - documents made from the table of settings
 *
 * Errors   those of sg_buf
 */
#pragma once

#include "base/buf.h"

/* One table for each section, for docs/configuration.md. */
int sg_render_markdown(struct sg_buf *b) SG_MUST_CHECK;
/* The settings of scribe-gateway.conf(5): a subsection for each section; docs/man has the rest of the page. */
int sg_render_man(struct sg_buf *b) SG_MUST_CHECK;
/* Every setting as a comment with its default: each line that begins with # and no blank is valid without the #. */
int sg_render_example(struct sg_buf *b) SG_MUST_CHECK;
/* "section.setting", a line each, for completion. */
int sg_render_words(struct sg_buf *b) SG_MUST_CHECK;
