/*
 * llm/chunk.h - a chat completion's stream, chunk by chunk
 *
 * Shape    what all chunks begin with is made once; each put adds one chunk, or none for no text
 * Owner    the chunks own their line
 * Thread   one at a time
 * Errors   in line.o
 * Limits   those of sg_wording_line
 * Source   OpenAI openapi.yaml, CreateChatCompletionStreamResponse
 */
#pragma once

#include "llm/wording.h"

struct sg_chunks {
        struct sg_wording_line line; /* the chunks that one event became */
        struct sg_buf begin;         /* private from here on: up to the choices */
        size_t n_calls;              /* begun */
        bool wants_usage;
};

struct sg_chunks_head {
        struct sg_json_value id, model; /* the provider's */
        struct sg_str request_id, asked_model;
        uint64_t created_sec;
};

void sg_chunks_init(struct sg_chunks *c, bool wants_usage);
void sg_chunks_done(struct sg_chunks *c);

void sg_chunks_put_role(struct sg_chunks *c, const struct sg_chunks_head *head); /* the first */
/* inner: of a string, with its escapes. */
void sg_chunks_put_content(struct sg_chunks *c, struct sg_str inner);
void sg_chunks_put_reasoning(struct sg_chunks *c, struct sg_str inner);
void sg_chunks_put_thinking_blocks(struct sg_chunks *c, struct sg_str list); /* without its brackets */
/* A further call begins; arguments are of the last one. */
void sg_chunks_put_call(struct sg_chunks *c, struct sg_json_value id, struct sg_json_value name,
                        struct sg_str request_id);
void sg_chunks_put_arguments(struct sg_chunks *c, struct sg_str inner);
void sg_chunks_put_finish(struct sg_chunks *c, struct sg_json_value refusal, struct sg_str reason);
/* Usage, if it was asked for and is known, and [DONE]. */
void sg_chunks_put_end(struct sg_chunks *c, const struct sg_wording_usage *usage);
