/*
 * llm/opening.h - how a conversation begins, found in the pass in which its request is sliced
 *
 * Shape    read from the objects of `messages` or `input`; views into the text
 * Thread   any
 */
#pragma once

#include "llm/llm.h"

/* It holds views into itself: it stays where it was initialised. */
struct sg_llm_opening {
        const char *user_end;  /* of the first user message: behind its first text */
        const char *first_end; /* the same of the first message at all */
        const char *text_end;  /* of the message in the making */
        size_t n_messages;
        struct sg_json_want message[2];
        struct sg_json_want part[1];
        struct sg_json_inside in_messages; /* goes into the want for the list */
        struct sg_json_inside in_content;
};

void sg_llm_opening_init(struct sg_llm_opening *o);
/* After the slice; list is the value of the want that had in_messages, an array or a string. */
struct sg_str sg_llm_opening_take(const struct sg_llm_opening *o, struct sg_json_value list);
