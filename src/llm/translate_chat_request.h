/*
 * llm/translate_chat_request.h - a chat request on its way to messages: what its parts share
 *
 * Shape    the body's members are read once; each part writes its members of the new body, in this order: parameters,
 *          messages, tools
 * Owner    sg_chat_request_to_messages(), for its call
 * Thread   any
 * Errors   as sg_translate_request()
 */
#pragma once

#include "llm/fields.h"
#include "llm/text.h"

enum sg_chat_field {
        SG_CHAT_MODEL,
        SG_CHAT_MESSAGES,
        SG_CHAT_STREAM,
        SG_CHAT_STREAM_OPTIONS,
        SG_CHAT_MAX_TOKENS,
        SG_CHAT_MAX_COMPLETION_TOKENS,
        SG_CHAT_TEMPERATURE,
        SG_CHAT_TOP_P,
        SG_CHAT_TOP_K,
        SG_CHAT_STOP,
        SG_CHAT_USER,
        SG_CHAT_SAFETY_IDENTIFIER,
        SG_CHAT_REASONING_EFFORT,
        SG_CHAT_THINKING,
        SG_CHAT_RESPONSE_FORMAT,
        SG_CHAT_TOOLS,
        SG_CHAT_TOOL_CHOICE,
        SG_CHAT_PARALLEL_TOOL_CALLS,
        SG_CHAT_CACHE_CONTROL,
        SG_CHAT_CHOICES, /* n */
        SG_CHAT_MODALITIES,
        SG_CHAT_VERBOSITY,
        SG_CHAT_READ_N, /* from here on nothing is read: refused, or named in `dropped` */
};

struct sg_chat_request {
        struct sg_llm_reader at;
        struct sg_llm_put put;
        const struct sg_translate_options *options;
        struct sg_json_value f[SG_CHAT_READ_N];
        bool is_thinking; /* the model is asked to think: no tool may be forced on it */
        bool wants_json;  /* response_format json_object */
};

/* "model" to "output_config", without the brace at the end. */
int sg_chat_write_params(struct sg_chat_request *q) SG_MUST_CHECK;
/* ,"system":…,"messages":… */
int sg_chat_write_messages(struct sg_chat_request *q) SG_MUST_CHECK;
/* ,"tools":…,"tool_choice":… */
int sg_chat_write_tools(struct sg_chat_request *q) SG_MUST_CHECK;

/* What a part may be, beside text. */
enum sg_chat_part {
        SG_CHAT_PART_TEXT = 0,
        SG_CHAT_PART_MEDIA = 1, /* image_url, file */
        SG_CHAT_PART_REFUSAL = 2,
        SG_CHAT_PART_MAY_BE_EMPTY = 4, /* text without characters is left out */
};
/* The parts of a message (`content`: a string or an array) as blocks, each after a comma but for the first where *n_blocks
 * is 0, which counts on. cache_control, when there is one, goes to the last of them unless that has its own. */
int sg_chat_write_content(struct sg_chat_request *q, struct sg_json_value content, unsigned allowed,
                          struct sg_json_value cache_control, size_t *n_blocks) SG_MUST_CHECK;
/* The calls of an assistant's message as blocks of its turn, noted in `known`; cache_control goes to the last. */
int sg_chat_write_tool_calls(struct sg_chat_request *q, struct sg_llm_calls *known, struct sg_json_value calls,
                             struct sg_json_value cache_control, size_t *n_blocks) SG_MUST_CHECK;
/* A comma but before the first. */
void sg_chat_begin_block(struct sg_chat_request *q, size_t *n_blocks);
/* ,"cache_control":… when there is one */
void sg_chat_put_cache_control(struct sg_chat_request *q, struct sg_json_value cache_control);
