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

/* part is "message" (answers) or "delta" (chunks). */
void sg_llm_choices_read(struct sg_llm_choices *ret, struct sg_json_value choices, struct sg_str part);
