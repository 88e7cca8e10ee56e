/*
 * llm/responses_parts.h - what responses_output.c and responses_object.c share
 *
 * Thread   any
 */
#pragma once

#include "llm/responses_output.h"

enum sg_responses_kind {
        SG_RESPONSES_REASONING,
        SG_RESPONSES_MESSAGE,
        SG_RESPONSES_CALL,
        SG_RESPONSES_KIND_N,
};

struct sg_responses_item {
        enum sg_responses_kind kind;
        bool is_open, is_cut;
        bool has_part; /* one that is open */
        enum sg_responses_part part;
        size_t n_parts;         /* that are closed */
        struct sg_buf text;     /* of the open part, or the arguments: between the quotes */
        struct sg_buf logprobs; /* of the open part: between the brackets */
        struct sg_buf closed;   /* parts, with their commas */
        struct sg_buf own; /* of a call: "call_id":…,"name":…; of reasoning: its signed blocks, between the brackets */
        struct sg_buf call_id; /* as given: a JSON string */
};

/* An array or object that may have come in several lines, as one: line ends are white space there. */
void sg_responses_put_line(struct sg_llm_put *o, struct sg_str json);

void sg_responses_put_item_id(struct sg_responses_output *out, struct sg_llm_put *o, size_t item);
void sg_responses_put_part(struct sg_llm_put *o, const struct sg_responses_item *it);
void sg_responses_put_item(struct sg_responses_output *out, struct sg_llm_put *o, size_t item);
/* The object with that status and the items so far; finish_reason and usage may be nothing. */
void sg_responses_put_state(struct sg_responses_output *out, struct sg_llm_put *o, struct sg_str status,
                            struct sg_str reason, const struct sg_usage *usage);
