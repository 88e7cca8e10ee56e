/* Images, speech and transcriptions: each ends with one event that has the whole in it, or says that it was all. Some
 * servers of transcriptions (vLLM) send chunks like those of a chat instead. */
#include "llm/stream.h"
#include "llm/text.h"

enum {
        E_TYPE,
        E_DELTA,
        E_USAGE,
        E_ERROR,
        E_MODEL,
        E_CHOICES,
        E_N
};

static bool is_last(struct sg_json_value type, const struct sg_sse_event *ev)
{
        static const struct sg_str last[] = {SG_STR("image_generation.completed"), SG_STR("image_edit.completed"),
                                             SG_STR("speech.audio.done"), SG_STR("transcript.text.done")};

        for (size_t i = 0; i < SG_N_ELEMENTS(last); i++)
                if (sg_llm_stream_is_type(type, ev, last[i]))
                        return true;
        return false;
}

static enum sg_stream_verdict on_event(struct sg_llm_stream *s, const struct sg_sse_event *ev,
                                       struct sg_str *ret_replacement, struct sg_llm_fault *fault)
{
        struct sg_json_want w[E_N] = {
                [E_TYPE] = {.name = SG_STR("type")},   [E_DELTA] = {.name = SG_STR("delta")},
                [E_USAGE] = {.name = SG_STR("usage")}, [E_ERROR] = {.name = SG_STR("error")},
                [E_MODEL] = {.name = SG_STR("model")}, [E_CHOICES] = {.name = SG_STR("choices")},
        };
        struct sg_json_value type;
        struct sg_json_fault why;

        if (sg_json_slice_last(ev->data, w, E_N, &why))
                return sg_llm_stream_garbage(s, &why, fault);
        type = w[E_TYPE].value;
        if (type.kind == SG_JSON_NONE && w[E_CHOICES].n)
                return sg_llm_chat_judge.on_data(s, ev, ret_replacement, fault);
        if (sg_llm_is_truthy(w[E_ERROR].value))
                return sg_llm_stream_error(s, w[E_ERROR].value, fault);
        if (sg_llm_stream_is_type(type, ev, SG_STR("error")))
                return sg_llm_stream_error(s, sg_llm_stream_whole(ev), fault);
        if (w[E_DELTA].value.kind == SG_JSON_STRING)
                s->text_bytes += w[E_DELTA].value.text.n - 2;
        sg_llm_stream_note_model(s, w[E_MODEL].value);
        sg_llm_stream_note_usage(s, w[E_USAGE].value);
        if (!is_last(type, ev))
                return SG_EVENT_PASS;
        s->seen_finish = s->seen_done = true;
        return SG_EVENT_LAST;
}

const struct sg_llm_judge sg_llm_media_judge = {
        .on_data = on_event,
        .terminal = "a finish reason or its last event",
        .ends_with_done = true,
};
