/*
 * llm/stream.h - inside the judge of streams: a file for each wire format, and the steps they share
 *
 * Shape    a judge is a small table; sg_llm_stream_event() calls it for each event that has data to look at
 * Thread   any
 */
#pragma once

#include "llm/llm.h"

struct sg_llm_judge {
        /* ev->data is neither blank nor [DONE] */
        enum sg_stream_verdict (*on_data)(struct sg_llm_stream *s, const struct sg_sse_event *ev,
                                          struct sg_str *ret_replacement, struct sg_llm_fault *fault);
        const char *terminal; /* what a stream may not end without, in words */
        bool ends_with_done;  /* [DONE] after a finish reason is its end */
        bool is_text;         /* its output can be guessed from the bytes of text */
};

extern const struct sg_llm_judge sg_llm_chat_judge, sg_llm_messages_judge, sg_llm_responses_judge, sg_llm_media_judge;

/* Verdicts that end the stream; each fills the fault. */
enum sg_stream_verdict sg_llm_stream_garbage(struct sg_llm_stream *s, const struct sg_json_fault *why,
                                             struct sg_llm_fault *fault);
enum sg_stream_verdict sg_llm_stream_error(struct sg_llm_stream *s, struct sg_json_value error,
                                           struct sg_llm_fault *fault);
enum sg_stream_verdict sg_llm_stream_early_end(struct sg_llm_stream *s, const struct sg_llm_judge *judge,
                                               struct sg_llm_fault *fault);

/* The last figures count, whichever place they came in: a provider that uses two places tells the same twice. */
void sg_llm_stream_note_usage(struct sg_llm_stream *s, struct sg_json_value object);
/* The first that is given is kept. */
void sg_llm_stream_note_model(struct sg_llm_stream *s, struct sg_json_value model);
void sg_llm_stream_note_finish(struct sg_llm_stream *s, struct sg_json_value reason);

/* The `type` of an event's data is that; without one its `event:` line says it. */
static inline bool sg_llm_stream_is_type(struct sg_json_value type, const struct sg_sse_event *ev, struct sg_str name)
{
        return type.kind == SG_JSON_STRING ? sg_json_text_is(type, name) : sg_str_eq(ev->name, name);
}

/* The data as a value: it was sliced before. */
struct sg_json_value sg_llm_stream_whole(const struct sg_sse_event *ev);
