/*
 * llm/translate_messages_request.h - a messages request on its way to chat completions: what its parts share
 *
 * Shape    the body's members are read once; each part writes its members of the new body, in this order: parameters,
 *          messages, tools
 * Owner    sg_messages_request_to_chat(), for its call
 * Thread   any
 * Errors   as sg_translate_request()
 */
#pragma once

#include "llm/fields.h"
#include "llm/text.h"

enum sg_messages_field {
        SG_MESSAGES_MODEL,
        SG_MESSAGES_MESSAGES,
        SG_MESSAGES_SYSTEM,
        SG_MESSAGES_MAX_TOKENS,
        SG_MESSAGES_STREAM,
        SG_MESSAGES_TEMPERATURE,
        SG_MESSAGES_TOP_P,
        SG_MESSAGES_STOP_SEQUENCES,
        SG_MESSAGES_METADATA,
        SG_MESSAGES_THINKING,
        SG_MESSAGES_OUTPUT_CONFIG,
        SG_MESSAGES_TOOLS,
        SG_MESSAGES_TOOL_CHOICE,
        SG_MESSAGES_SERVICE_TIER,
        SG_MESSAGES_CACHE_CONTROL,
        SG_MESSAGES_FIELD_N,
};

struct sg_messages_request {
        struct sg_llm_reader at;
        struct sg_llm_put put;
        const struct sg_translate_options *options;
        struct sg_json_value f[SG_MESSAGES_FIELD_N];
};

/* "model" to "response_format", without the brace at the end. */
int sg_messages_write_params(struct sg_messages_request *q) SG_MUST_CHECK;
/* ,"messages":… */
int sg_messages_write_turns(struct sg_messages_request *q) SG_MUST_CHECK;
/* ,"tools":…,"tool_choice":…,"parallel_tool_calls":… */
int sg_messages_write_tools(struct sg_messages_request *q) SG_MUST_CHECK;

/* ---- blocks */

enum sg_messages_block {
        SG_BLOCK_TEXT,
        SG_BLOCK_IMAGE,
        SG_BLOCK_DOCUMENT,
        SG_BLOCK_TOOL_USE,
        SG_BLOCK_TOOL_RESULT,
        SG_BLOCK_THINKING,
        SG_BLOCK_N,
};

enum sg_messages_member {
        SG_MEMBER_TYPE,
        SG_MEMBER_CACHE_CONTROL,
        SG_MEMBER_TEXT,
        SG_MEMBER_CITATIONS,
        SG_MEMBER_SOURCE,
        SG_MEMBER_TITLE,
        SG_MEMBER_CONTEXT,
        SG_MEMBER_ID,
        SG_MEMBER_NAME,
        SG_MEMBER_INPUT,
        SG_MEMBER_CALLER,
        SG_MEMBER_TOOL_USE_ID,
        SG_MEMBER_CONTENT,
        SG_MEMBER_IS_ERROR,
        SG_MEMBER_THINKING,
        SG_MEMBER_SIGNATURE,
        SG_MEMBER_N,
};

struct sg_messages_block_read {
        enum sg_messages_block type;
        struct sg_json_value v[SG_MEMBER_N];
};
#define SG_BLOCK_MAY(type) (1u << (type))
/* A block of one of the allowed types, its members checked. What the other dialect has no words for is refused. */
int sg_messages_read_block(struct sg_messages_request *q, struct sg_json_value block, unsigned allowed,
                           struct sg_messages_block_read *ret) SG_MUST_CHECK;

/* Each block of an array in turn, entered and left. */
struct sg_messages_walk {
        struct sg_str name; /* of the array, for the path */
        unsigned allowed;
        int (*each)(struct sg_messages_request *q, const struct sg_messages_block_read *b, void *owner); /* or NULL */
        void *owner;
        size_t n[SG_BLOCK_N]; /* how many there are of each */
        size_t n_all;
};
int sg_messages_walk_blocks(struct sg_messages_request *q, struct sg_json_value content, struct sg_messages_walk *w)
        SG_MUST_CHECK;

/* The value of a chat message's "content": one text is a string, anything else an array of parts. content: a string, or an
 * array, found as `name`, of which blocks that are neither text nor media are left out. prefix: put before the first text. */
int sg_messages_put_content(struct sg_messages_request *q, struct sg_str name, struct sg_json_value content,
                            unsigned allowed, struct sg_str prefix) SG_MUST_CHECK;
