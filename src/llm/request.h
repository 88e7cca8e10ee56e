/*
 * llm/request.h - the room's own way to read a request: the echo needs no model, a form has the same model in it
 */
#pragma once

#include "llm/llm.h"

/* As sg_llm_request_read(); an absent model is refused only when needs_model is set. */
int sg_llm_request_read_fields(struct sg_llm_request *ret, enum sg_operation op, struct sg_str body, bool needs_model,
                               struct sg_llm_fault *fault) SG_MUST_CHECK;

/* There is no model, or it is null. */
int sg_llm_request_no_model(bool is_null, struct sg_llm_fault *fault) SG_MUST_CHECK;
/* The n bytes in req->model_name may be a model's name; is_whole: they are all of it. */
int sg_llm_request_check_model(const struct sg_llm_request *req, size_t n, bool is_whole, struct sg_llm_fault *fault)
        SG_MUST_CHECK;
