/*
 * llm/responses.h - the room's own parts of serving the Responses dialect from chat completions
 *
 * Thread   any
 */
#pragma once

#include "llm/translate.h"

/* A fault of the chat completion that a request was made into: its param becomes the field of the request that it comes from,
 * as near as is known, and the text says where the chat completion has it. fault may be NULL. */
void sg_responses_retell_fault(struct sg_llm_fault *fault);
