/*
 * llm/blocks.h - the content blocks of a messages stream, of which only one is open at a time
 *
 * Shape    texts, thoughts and calls come in any order and interleaved; they become events in the order in which they
 *          began, each block whole before the next. What belongs to the open block is written at once, the rest is held
 *          until its turn
 * Owner    the blocks own what they hold; strings given are lent
 * Thread   one at a time
 * Errors   0, -ENOMEM, SG_LLM_E_NOT_JSON with a fault: beyond the limits, or what makes no sense. Errors of the output are
 *          in the sg_llm_put
 * Limits   SG_LLM_HELD_BYTES_MAX, SG_LLM_BLOCKS_MAX
 * Source   Anthropic's API reference, "Streaming messages"
 */
#pragma once

#include "llm/text.h"

enum sg_block_kind {
        SG_BLOCK_TEXT,
        SG_BLOCK_THINKING,
        SG_BLOCK_REDACTED, /* redacted_thinking: comes whole */
        SG_BLOCK_CALL,
        SG_BLOCK_KIND_N,
};

struct sg_block;

struct sg_blocks {
        struct sg_block *list; /* private from here on; a block's place is its index */
        size_t n, room;
        size_t n_ended; /* the next one is open, or will be */
        size_t n_calls;
        size_t held_bytes;
        bool is_open;
        struct sg_llm_put *o;
        struct sg_str request_id; /* lent: for calls without an id */
};

/* request_id and o are lent as long as the blocks are used. */
void sg_blocks_init(struct sg_blocks *b, struct sg_llm_put *o, struct sg_str request_id);
void sg_blocks_done(struct sg_blocks *b);

/* inner: of a string, with its escapes. Text that follows text is of the same block. */
int sg_blocks_add_text(struct sg_blocks *b, enum sg_block_kind kind, struct sg_str inner, struct sg_llm_fault *fault)
        SG_MUST_CHECK;
/* A block of thinking with its signature: ends the last one if it has that text, which came before; a new one if there
 * was none. Else nothing: a signature of another text is of no use. */
int sg_blocks_add_signed(struct sg_blocks *b, struct sg_str inner, struct sg_str signature, struct sg_llm_fault *fault)
        SG_MUST_CHECK;
int sg_blocks_add_redacted(struct sg_blocks *b, struct sg_str block, struct sg_llm_fault *fault) SG_MUST_CHECK;

/* A piece of a tool's call. Which call: by its index, if there is one, else by its id, else the last one; a name with
 * another id begins a new one (some providers give every call the index 0). */
struct sg_block_call {
        struct sg_json_value index, id, name, arguments;
};
int sg_blocks_add_call(struct sg_blocks *b, const struct sg_block_call *piece, struct sg_llm_fault *fault)
        SG_MUST_CHECK;

/* Nothing more is expected: what is held is written, every block is ended. */
int sg_blocks_end(struct sg_blocks *b, struct sg_llm_fault *fault) SG_MUST_CHECK;
