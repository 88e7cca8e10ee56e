/*
 * llm/request.h - the room's own way to read a request: the echo needs no model
 */
#pragma once

#include "llm/llm.h"

/* As sg_llm_request_read(); an absent model is refused only when needs_model is set. */
int sg_llm_request_read_fields(struct sg_llm_request *ret, enum sg_operation op, struct sg_str body, bool needs_model,
                               struct sg_llm_fault *fault) SG_MUST_CHECK;
