/*
 * llm/stream_hide.h - an event without its usage
 *
 * Shape    the event's other lines (comments, id:, event:, retry:) and line ends stay as they are
 * Errors   0, -ENOMEM, SG_BUF_E_FULL
 */
#pragma once

#include "llm/llm.h"

/* Replaces the content of *to. usage was sliced from ev->data and stands there. */
int sg_llm_stream_hide(struct sg_buf *to, const struct sg_sse_event *ev, const struct sg_json_want *usage)
        SG_MUST_CHECK;
