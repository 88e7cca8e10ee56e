/*
 * docs/man/pages.h - the generated parts of the manual pages
 *
 * Shape    each part is appended to a buffer as man(7) source; pages.c puts them where a template names them
 * Errors   those of sg_buf
 */
#pragma once

#include "base/buf.h"

int sg_page_add_verbs(struct sg_buf *b) SG_MUST_CHECK;   /* of scribectl */
int sg_page_add_options(struct sg_buf *b) SG_MUST_CHECK; /* that every verb takes */
int sg_page_add_exits(struct sg_buf *b) SG_MUST_CHECK;
int sg_page_add_gateway(struct sg_buf *b) SG_MUST_CHECK; /* the interface io.scribe.Gateway */
int sg_page_add_ledger(struct sg_buf *b) SG_MUST_CHECK;
