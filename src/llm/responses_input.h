/*
 * llm/responses_input.h - the items of a conversation on their way to messages of a chat completion
 *
 * Shape    sg_responses_input collects; the model's own items (reasoning, text, calls) that follow one another are one turn
 * Thread   any
 * Errors   0 or SG_LLM_E_BAD_FIELD with a fault; of memory and room in o->r
 */
#pragma once

#include "llm/fields.h"
#include "llm/text.h"

enum {
        SG_RESPONSES_TEXT,    /* of the message in the making: strings without their quotes, */
        SG_RESPONSES_REFUSAL, /* arrays without their brackets */
        SG_RESPONSES_REASONING,
        SG_RESPONSES_THINKING,
        SG_RESPONSES_CALLS,
        SG_RESPONSES_N
};

struct sg_responses_input {
        struct sg_llm_reader *at;
        struct sg_llm_put *o;
        size_t n_messages, item;
        bool in_turn, has_text;
        struct sg_buf next[SG_RESPONSES_N]; /* of the turn */
        struct sg_llm_calls asked;          /* of the last turn */
};

/* {"role":…,"content": of the next message. */
void sg_responses_begin_message(struct sg_responses_input *in, struct sg_str role);

/* Items of the model's own, where the reader stands. */
int sg_responses_read_own_message(struct sg_responses_input *in, struct sg_json_value content) SG_MUST_CHECK;
int sg_responses_read_call(struct sg_responses_input *in, struct sg_json_value item) SG_MUST_CHECK;
int sg_responses_read_reasoning(struct sg_responses_input *in, struct sg_json_value item) SG_MUST_CHECK;
/* Before an item of another's: writes the message of the turn, if there is one. */
void sg_responses_end_turn(struct sg_responses_input *in);
/* Before a message of another's, and at the end: all calls of the last turn have their results. */
int sg_responses_check_answered(struct sg_responses_input *in) SG_MUST_CHECK;
