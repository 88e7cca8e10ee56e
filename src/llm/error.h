/*
 * llm/error.h - the room's own reader of a provider's error value
 */
#pragma once

#include "llm/llm.h"

/* An `error` that is an object or a string. False when it is neither. *ret_status: a numeric code 400-599, else 0. */
bool sg_llm_error_of(struct sg_llm_provider_error *ret, struct sg_json_value error, int *ret_status);

/* Fills a fault from it; always gives a text. */
void sg_llm_error_fault(struct sg_llm_fault *fault, const struct sg_llm_provider_error *e);
