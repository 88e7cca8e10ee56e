/*
 * llm/wording.h - what answers and streams say alike: usage and stop reasons, in the words of messages and of chat
 *
 * Shape    read from validated JSON; written piece by piece
 * Units    tokens
 * Thread   any
 * Source   Anthropic's API reference (usage, stop_reason); OpenAI openapi.yaml (CompletionUsage, finish_reason)
 */
#pragma once

#include "llm/text.h"
#include "llm/translate.h"

/* The tool that stands for JSON mode: its input is the answer. */
#define SG_WORDING_JSON_TOOL "json_answer"

/* Anthropic counts the input without the cache, OpenAI with it. Here the parts are kept; a sum is made when it is written. */
struct sg_wording_usage {
        bool is_known;
        uint64_t fresh_tokens; /* of input: neither read from the cache nor written to it */
        uint64_t cache_read_tokens, cache_write_tokens;
        uint64_t output_tokens;
        uint64_t reasoning_tokens; /* of output */
};

/* Of an event of Anthropic's: totals so far, each where it stands; what it names replaces what was known. */
void sg_wording_usage_from_messages(struct sg_wording_usage *u, struct sg_json_value object);
/* Of an answer, or a chunk of chat: any shape that providers use. Replaces all of it, if it holds a figure. */
void sg_wording_usage_whole(struct sg_wording_usage *u, struct sg_json_value object);

/* As one object. The second writes zeros where nothing is known: the dialect wants figures. */
void sg_wording_put_chat_usage(struct sg_llm_put *o, const struct sg_wording_usage *u);
void sg_wording_put_messages_usage(struct sg_llm_put *o, const struct sg_wording_usage *u);

/* "stop" for "end_turn". A reason that is not known here is told as "length": not as success. is_json_alone:
 * of the tools only the one that stands for JSON mode may have been used, which is no call in the client's eyes. */
struct sg_str sg_wording_finish_reason(struct sg_json_value stop_reason, bool is_json_alone);

/* "end_turn" for "stop", "tool_use" for that with calls (OpenAI says "stop" of a tool that the client forced), "refusal"
 * with a refusal. A reason that is not known here is told as "max_tokens". matched: vLLM's stop_reason, the stop sequence. */
struct sg_wording_stop {
        struct sg_json_value finish_reason, matched;
        bool has_calls, has_refusal;
};
/* "stop_reason":…,"stop_sequence":… */
void sg_wording_put_stop(struct sg_llm_put *o, const struct sg_wording_stop *stop);

/* What a chat completion's limit of tokens is called with that model. */
struct sg_str sg_wording_max_tokens(struct sg_str upstream_model);

/* What stands between the quotes of a string; empty for anything else. It is a string's content in another as it is. */
struct sg_str sg_wording_inner(struct sg_json_value v);
/* Longer than "". */
bool sg_wording_has_text(struct sg_json_value v);
/* A text, a list of parts, or nothing: what a message may say. Anything else would be lost without a word. */
bool sg_wording_is_content(struct sg_json_value v);
/* A JSON string that was kept, or nothing. */
struct sg_json_value sg_wording_string(const struct sg_buf *b);
/* The provider's own string, or `otherwise` where it gives none. */
void sg_wording_put_given(struct sg_llm_put *o, struct sg_json_value given, struct sg_str otherwise);
/* The id of a tool's call, or where it has none one that is unlike those of other answers. */
void sg_wording_put_call_id(struct sg_llm_put *o, struct sg_json_value given, struct sg_str request_id, size_t nth);

/* What one event of a stream becomes: the output gets all of it or nothing. */
struct sg_wording_line {
        struct sg_buf buf; /* private */
        struct sg_llm_put o;
};
void sg_wording_line_init(struct sg_wording_line *l);
void sg_wording_line_done(struct sg_wording_line *l);
/* To *out, if neither r is an error nor one was met on the way. The line is empty then. Returns the error. */
int sg_wording_line_give(struct sg_wording_line *l, int r, struct sg_buf *out) SG_MUST_CHECK;
