/*
 * llm/responses.h - the room's own parts of serving the Responses dialect from chat completions
 *
 * Thread   any
 * Source   OpenAI openapi.yaml (CreateResponse, Response, ResponseStreamEvent) and what its SDKs require of them
 */
#pragma once

#include "llm/fields.h"
#include "llm/text.h"
#include "llm/translate.h"

/* The conversation as an array of messages; instructions may be absent, input is a string or an array. The reader stands at
 * the request. */
int sg_responses_put_messages(struct sg_llm_put *o, struct sg_llm_reader *at, struct sg_json_value instructions,
                              struct sg_json_value input) SG_MUST_CHECK;

/* A fault of the chat completion that a request was made into: its param becomes the field of the request that it comes from,
 * as near as is known, and the text says that it tells of the chat completion. fault may be NULL. */
void sg_responses_retell_fault(struct sg_llm_fault *fault);
