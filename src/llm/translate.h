/*
 * llm/translate.h - one dialect said in another: requests, answers, streams. No I/O
 *
 * Shape    three ways: chat completions to messages, messages to chat completions, responses to chat completions;
 *          responses to messages is the third and then the first. Operations stand for wire formats: SG_OP_CHAT,
 *          SG_OP_MESSAGES, SG_OP_RESPONSES
 * Units    bytes
 * Owner    the caller owns texts and outputs
 * Thread   any; one translator, one thread
 * Errors   0; SG_LLM_E_BAD_FIELD with a fault whose param is the field's path ("messages.3.content.0.source"), also for
 *          what the other dialect has no words for (the fault says so); SG_LLM_E_NOT_JSON, SG_LLM_E_IN_BAND of
 *          answers; -ENOMEM, SG_BUF_E_FULL of the output
 * Limits   the output's maximum
 * Source   OpenAI openapi.yaml; Anthropic's API reference; docs/dialects.md has the tables of what becomes of what
 *
 * What is a value of the client's (a schema, arguments of a tool, cache_control, an image) is copied byte for byte. Nothing is
 * lost in silence: it is translated, or refused by its name, or, if it is advice that changes no answer (a cache mark to
 * a dialect that caches by itself), named in `dropped`.
 */
#pragma once

#include "llm/llm.h"

/* A client of that wire format can be served by a provider of the other one. Of all functions here `from` and `to` must be
 * such a pair (of answers and streams the other way round). */
bool sg_translate_has_way(enum sg_operation client, enum sg_operation provider);

struct sg_translate_notes {
        char dropped[160];    /* "cache_control, metadata.user_id"; or empty */
        bool is_json_by_tool; /* JSON mode was asked for, and is had by a forced tool */
};

struct sg_translate_options {
        struct sg_str upstream_model;
        uint64_t max_tokens; /* for messages, which must name a limit, where the client does not */
};

/* A request body that sg_llm_request_read() has accepted as `from`, written for `to` (with the upstream model, usage of
 * streams asked for). */
int sg_translate_request(struct sg_buf *out, enum sg_operation from, enum sg_operation to, struct sg_str body,
                         const struct sg_translate_options *options, struct sg_translate_notes *notes,
                         struct sg_llm_fault *fault) SG_MUST_CHECK;

/* What an answer needs to know of its exchange. Strings are lent while it is used. */
struct sg_translate_exchange {
        struct sg_str model;      /* where the provider does not say which */
        struct sg_str request_id; /* where the provider gives no id */
        uint64_t created_sec;
        bool is_json_by_tool;  /* of sg_translate_notes */
        bool wants_usage;      /* streams to chat: the client asked for include_usage */
        struct sg_str request; /* responses: the client's body, of which the answer repeats some fields */
};

/* A whole answer that sg_llm_answer_read() has accepted, from the provider's wire format to the client's. */
int sg_translate_answer(struct sg_buf *out, enum sg_operation from, enum sg_operation to, struct sg_str body,
                        const struct sg_translate_exchange *x, struct sg_llm_fault *fault) SG_MUST_CHECK;

/* A stream: each event that sg_llm_stream_event() passed (PASS, LAST; usage is not hidden from it, so nothing is replaced)
 * becomes none, one or several, complete with their blank lines. After an error it is over. */
struct sg_translator;
int sg_translator_new(struct sg_translator **ret, enum sg_operation from, enum sg_operation to,
                      const struct sg_translate_exchange *x) SG_MUST_CHECK; /* copies of x what it keeps */
struct sg_translator *sg_translator_free(struct sg_translator *t);
SG_DEFINE_AUTO(struct sg_translator *, sg_translator_free)
/* ev: name, data and raw as sg_sse_next() gives them. SG_LLM_E_NOT_JSON: what came makes no sense here (a delta of a block
 * that was never begun). The terminal event of the client's dialect is written for the provider's own, never else. */
int sg_translator_event(struct sg_translator *t, const struct sg_sse_event *ev, struct sg_buf *out,
                        struct sg_llm_fault *fault) SG_MUST_CHECK;

/* ---- inside the room: the ways themselves, in files of their own */

int sg_chat_request_to_messages(struct sg_buf *out, struct sg_str body, const struct sg_translate_options *options,
                                struct sg_translate_notes *notes, struct sg_llm_fault *fault) SG_MUST_CHECK;
int sg_messages_request_to_chat(struct sg_buf *out, struct sg_str body, const struct sg_translate_options *options,
                                struct sg_translate_notes *notes, struct sg_llm_fault *fault) SG_MUST_CHECK;
int sg_responses_request_to_chat(struct sg_buf *out, struct sg_str body, const struct sg_translate_options *options,
                                 struct sg_translate_notes *notes, struct sg_llm_fault *fault) SG_MUST_CHECK;

int sg_messages_answer_to_chat(struct sg_buf *out, struct sg_str body, const struct sg_translate_exchange *x,
                               struct sg_llm_fault *fault) SG_MUST_CHECK;
int sg_chat_answer_to_messages(struct sg_buf *out, struct sg_str body, const struct sg_translate_exchange *x,
                               struct sg_llm_fault *fault) SG_MUST_CHECK;
int sg_chat_answer_to_responses(struct sg_buf *out, struct sg_str body, const struct sg_translate_exchange *x,
                                struct sg_llm_fault *fault) SG_MUST_CHECK;

/* What a stream's way is made of: the state begins with zeros. */
struct sg_translate_way {
        size_t state_bytes;
        int (*begin)(void *state, const struct sg_translate_exchange *x);
        int (*event)(void *state, const struct sg_sse_event *ev, struct sg_buf *out, struct sg_llm_fault *fault);
        void (*done)(void *state);
};
extern const struct sg_translate_way sg_messages_stream_to_chat, sg_chat_stream_to_messages,
        sg_chat_stream_to_responses;
