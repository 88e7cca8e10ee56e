/* Responses: what an event is says its `type`, and the terminal ones carry the whole response with the only usage. */
#include "llm/stream.h"
#include "llm/text.h"

enum {
        R_TYPE,
        R_RESPONSE,
        R_DELTA,
        R_ERROR,
        R_N
};

/* Text, reasoning, refusals and arguments all come as a string in `delta`; so does sound, which is no text. */
static uint64_t text_bytes(const struct sg_json_want w[R_N])
{
        struct sg_json_value delta = w[R_DELTA].value;
        struct sg_str type;

        if (delta.kind != SG_JSON_STRING || !sg_json_plain(w[R_TYPE].value, &type) ||
            sg_str_ends(type, SG_STR("audio.delta")))
                return 0;
        return delta.text.n - 2;
}

static enum sg_stream_verdict on_failed(struct sg_llm_stream *s, struct sg_json_value response,
                                        struct sg_llm_fault *fault)
{
        sg_llm_stream_note_usage(s, sg_json_get(response, SG_STR("usage")));
        return sg_llm_stream_error(s, sg_json_get(response, SG_STR("error")), fault);
}

static enum sg_stream_verdict on_end(struct sg_llm_stream *s, struct sg_json_value response, struct sg_str status,
                                     struct sg_llm_fault *fault)
{
        struct sg_json_value reason = sg_json_path(response, SG_STR("incomplete_details.reason"));

        if (sg_json_text_is(sg_json_get(response, SG_STR("status")), SG_STR("failed")))
                return on_failed(s, response, fault);
        sg_llm_stream_note_usage(s, sg_json_get(response, SG_STR("usage")));
        sg_llm_stream_note_finish(s, reason);
        if (!s->finish_reason[0])
                (void)sg_str_copy(s->finish_reason, sizeof(s->finish_reason), status);
        s->seen_finish = s->seen_done = true;
        return SG_EVENT_LAST;
}

/* An `error` event has its members beside its type, or, against the documentation, in an `error`. */
static enum sg_stream_verdict on_error(struct sg_llm_stream *s, const struct sg_sse_event *ev,
                                       struct sg_json_value error, struct sg_llm_fault *fault)
{
        return sg_llm_stream_error(s, sg_llm_is_truthy(error) ? error : sg_llm_stream_whole(ev), fault);
}

static enum sg_stream_verdict on_event(struct sg_llm_stream *s, const struct sg_sse_event *ev,
                                       struct sg_str *ret_replacement, struct sg_llm_fault *fault)
{
        struct sg_json_want w[R_N] = {
                [R_TYPE] = {.name = SG_STR("type")},
                [R_RESPONSE] = {.name = SG_STR("response")},
                [R_DELTA] = {.name = SG_STR("delta")},
                [R_ERROR] = {.name = SG_STR("error")},
        };
        struct sg_json_value type, response;
        struct sg_json_fault why;

        (void)ret_replacement;
        if (sg_json_slice_last(ev->data, w, R_N, &why))
                return sg_llm_stream_garbage(s, &why, fault);
        type = w[R_TYPE].value;
        response = w[R_RESPONSE].value;
        s->text_bytes += text_bytes(w);
        sg_llm_stream_note_model(s, sg_json_get(response, SG_STR("model")));
        if (sg_llm_stream_is_type(type, ev, SG_STR("response.completed")))
                return on_end(s, response, SG_STR("completed"), fault);
        if (sg_llm_stream_is_type(type, ev, SG_STR("response.incomplete")))
                return on_end(s, response, SG_STR("incomplete"), fault);
        if (sg_llm_stream_is_type(type, ev, SG_STR("response.failed")))
                return on_failed(s, response, fault);
        if (sg_llm_stream_is_type(type, ev, SG_STR("error")) || sg_llm_is_truthy(w[R_ERROR].value))
                return on_error(s, ev, w[R_ERROR].value, fault);
        return SG_EVENT_PASS;
}

const struct sg_llm_judge sg_llm_responses_judge = {
        .on_data = on_event,
        .terminal = "a terminal event",
        .is_text = true,
};
