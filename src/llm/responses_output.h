/*
 * llm/responses_output.h - a response in the making: its items, and the events that tell of them
 *
 * Shape    text and calls are added as they come; items open and close by themselves. Of a stream each step is written as
 *          events; of a whole answer only the object at the end
 * Owner    the output owns copies of what it is given
 * Thread   one at a time
 * Errors   put.r has the first: -ENOMEM, SG_BUF_E_FULL; after it nothing is written. Functions with a fault: 0 or
 *          SG_LLM_E_NOT_JSON
 * Limits   what init is given, for all items together; SG_TOOL_CALLS_MAX calls
 * Source   openai-node src/internal/responses/response-accumulator.ts for what its client insists on: items are added in order
 *          of output_index and parts in order of content_index, under the ids they keep
 */
#pragma once

#include "base/limits.h"
#include "llm/text.h"
#include "llm/translate.h"

enum sg_responses_part {
        SG_RESPONSES_REASONING_TEXT,
        SG_RESPONSES_OUTPUT_TEXT,
        SG_RESPONSES_REFUSAL,
        SG_RESPONSES_PART_N,
};

struct sg_responses_item;

struct sg_responses_output {
        struct sg_llm_put put; /* of events; put.to is set before each call, and NULL where no events are wanted */
        char id[48];           /* of the provider, or of the request: the ids here are made of it */
        struct sg_buf model;   /* as a JSON string */
        struct sg_buf echo;    /* members of the request that the response repeats; in one line */
        uint64_t created_sec;
        struct sg_responses_item *items; /* private from here on */
        size_t n_items, n_room;
        size_t taker; /* the item that takes text, if it is open */
        struct {
                uint64_t index; /* the chat completion's */
                size_t item;
        } calls[SG_TOOL_CALLS_MAX];
        size_t n_calls;
        size_t n_held, held_max;
        uint64_t sequence;
};

int sg_responses_output_init(struct sg_responses_output *out, const struct sg_translate_exchange *x, size_t held_max)
        SG_MUST_CHECK;
void sg_responses_output_done(struct sg_responses_output *out);

/* What a chat completion or a chunk says of itself: strings and a number, where it has them. */
void sg_responses_take_head(struct sg_responses_output *out, struct sg_json_value id, struct sg_json_value model,
                            struct sg_json_value created);
/* The two events that come first. */
void sg_responses_begin(struct sg_responses_output *out);

/* text is a JSON string's content between its quotes; logprobs an array or nothing. */
void sg_responses_add_text(struct sg_responses_output *out, enum sg_responses_part part, struct sg_str text,
                           struct sg_json_value logprobs);
/* Signed blocks of the reasoning so far: an array. */
void sg_responses_add_thinking(struct sg_responses_output *out, struct sg_json_value blocks);
/* A piece of a call: {id, function: {name, arguments}}, of which only the first has a name. */
int sg_responses_add_call(struct sg_responses_output *out, uint64_t index, struct sg_json_value call,
                          struct sg_llm_fault *fault) SG_MUST_CHECK;

/* Closes what is open. finish_reason: the chat completion's own word, or empty. */
void sg_responses_end(struct sg_responses_output *out, const char *finish_reason);
/* The response as an object after the end; usage may know nothing. */
void sg_responses_put_object(struct sg_responses_output *out, struct sg_llm_put *o, const char *finish_reason,
                             const struct sg_usage *usage);
/* The same as the event that ends a stream. */
void sg_responses_put_terminal(struct sg_responses_output *out, const char *finish_reason,
                               const struct sg_usage *usage);
