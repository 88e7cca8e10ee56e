/* Chat completions and completions: chunks with choices, a finish reason in one of them, then [DONE]. */
#include "llm/choices.h"
#include "llm/stream.h"
#include "llm/stream_hide.h"
#include "llm/text.h"

enum {
        C_CHOICES,
        C_USAGE,
        C_ERROR,
        C_MODEL,
        C_X_GROQ,
        C_N
};

static void note_chunk(struct sg_llm_stream *s, const struct sg_json_want w[C_N], struct sg_llm_choices choices)
{
        s->text_bytes += choices.text_bytes;
        sg_llm_stream_note_finish(s, choices.finish_reason);
        sg_llm_stream_note_model(s, w[C_MODEL].value);
        if (w[C_X_GROQ].n)
                sg_llm_stream_note_usage(s, sg_json_get(w[C_X_GROQ].value, SG_STR("usage")));
        sg_llm_stream_note_usage(s, choices.usage);
        sg_llm_stream_note_usage(s, w[C_USAGE].value);
}

static enum sg_stream_verdict hide(struct sg_llm_stream *s, const struct sg_sse_event *ev,
                                   const struct sg_json_want w[C_N], struct sg_str *ret_replacement)
{
        struct sg_json_value choices = w[C_CHOICES].value;

        if (!s->hide_usage || w[C_USAGE].n == 0)
                return SG_EVENT_PASS;
        if (w[C_USAGE].value.kind == SG_JSON_OBJECT && (choices.kind != SG_JSON_ARRAY || sg_json_is_empty(choices)))
                return SG_EVENT_DROP;
        if (sg_llm_stream_hide(&s->replaced, ev, &w[C_USAGE]))
                return SG_EVENT_PASS; /* without memory: a member too many harms nobody */
        *ret_replacement = sg_buf_view(&s->replaced);
        return SG_EVENT_REPLACE;
}

/* Older vLLM: {"object":"error","message":…}, in a stream of its own. */
static bool is_flat_error(const struct sg_sse_event *ev)
{
        return sg_json_text_is(sg_json_get(sg_llm_stream_whole(ev), SG_STR("object")), SG_STR("error"));
}

static enum sg_stream_verdict on_chunk(struct sg_llm_stream *s, const struct sg_sse_event *ev,
                                       struct sg_str *ret_replacement, struct sg_llm_fault *fault)
{
        struct sg_json_want w[C_N] = {
                [C_CHOICES] = {.name = SG_STR("choices")}, [C_USAGE] = {.name = SG_STR("usage")},
                [C_ERROR] = {.name = SG_STR("error")},     [C_MODEL] = {.name = SG_STR("model")},
                [C_X_GROQ] = {.name = SG_STR("x_groq")},
        };
        struct sg_llm_choices_reader reader;
        struct sg_json_fault why;

        sg_llm_choices_init(&reader, SG_STR("delta"));
        w[C_CHOICES].inside = &reader.in_choices;
        if (sg_json_slice_last(ev->data, w, C_N, &why))
                return sg_llm_stream_garbage(s, &why, fault);
        if (sg_llm_is_truthy(w[C_ERROR].value))
                return sg_llm_stream_error(s, w[C_ERROR].value, fault);
        if (w[C_CHOICES].n == 0 && (sg_str_eq(ev->name, SG_STR("error")) || is_flat_error(ev)))
                return sg_llm_stream_error(s, sg_llm_stream_whole(ev), fault);
        note_chunk(s, w, sg_llm_choices_take(&reader, &w[C_CHOICES]));
        return hide(s, ev, w, ret_replacement);
}

const struct sg_llm_judge sg_llm_chat_judge = {
        .on_data = on_chunk,
        .terminal = "a finish reason",
        .ends_with_done = true,
        .is_text = true,
};
