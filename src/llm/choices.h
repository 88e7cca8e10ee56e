/*
 * llm/choices.h - what the choices of an answer or of a chunk say
 *
 * Shape    read from validated JSON; views into it
 * Thread   any
 */
#pragma once

#include "llm/llm.h"

struct sg_llm_choices {
        uint64_t text_bytes;        /* content, reasoning, refusal, tool arguments, text: as they stand in JSON */
        struct sg_json_value usage; /* of the last choice that has one (Moonshot); else SG_JSON_NONE */
        struct sg_json_value finish_reason; /* the first that is a string with content; else SG_JSON_NONE */
};

enum {
        SG_LLM_CHOICE_WANTS = 4,
        SG_LLM_PART_WANTS = 6,
};

/* Reads choices in the same pass in which the text around them is sliced. It holds views into itself: it stays where
 * it was initialised. */
struct sg_llm_choices_reader {
        struct sg_llm_choices found; /* so far; nothing of it counts if the slice fails */
        struct sg_json_want choice[SG_LLM_CHOICE_WANTS];
        struct sg_json_want part[SG_LLM_PART_WANTS];
        struct sg_json_inside in_choices; /* goes into the want for "choices" */
        struct sg_json_inside in_part;
};

/* part is "message" (answers) or "delta" (chunks). */
void sg_llm_choices_init(struct sg_llm_choices_reader *c, struct sg_str part);
/* What they say, after the slice; `choices` is the want that had in_choices. */
struct sg_llm_choices sg_llm_choices_take(struct sg_llm_choices_reader *c, const struct sg_json_want *choices);
