/* Anthropic's messages: named events, a stop reason in a message_delta, then message_stop. Figures come twice: what the
 * prompt was with message_start, beside an output that is a placeholder; and with each message_delta the sums so far, of
 * which any but the output may be absent. */
#include "base/limits.h"
#include "llm/stream.h"
#include "llm/text.h"
#include "llm/usage.h"

enum {
        M_TYPE,
        M_MESSAGE,
        M_BLOCK,
        M_DELTA,
        M_USAGE,
        M_ERROR,
        M_N
};

enum {
        D_TEXT,
        D_THINKING,
        D_PARTIAL_JSON,
        D_STOP_REASON,
        D_N
};

struct event {
        struct sg_json_want w[M_N];
        struct sg_json_want delta[D_N];
        const struct sg_sse_event *ev;
};

static uint64_t string_bytes(struct sg_json_value v)
{
        return v.kind == SG_JSON_STRING ? v.text.n - 2 : 0;
}

/* {"message_start":…,"message_delta":…}: the bill can be derived again from both only. A raw text that cannot be kept
 * whole is not kept. */
static void keep_raw(struct sg_llm_stream *s, struct sg_str name, struct sg_json_value object)
{
        struct sg_json_value kept = {SG_JSON_OBJECT, sg_buf_view(&s->raw_usage)}, start = {0};
        struct sg_buf next;
        struct sg_llm_put o = {.to = &next};

        sg_buf_init(&next, SG_RAW_USAGE_BYTES_MAX);
        if (kept.text.n && sg_str_eq(name, SG_STR("message_delta")))
                start = sg_json_get(kept, SG_STR("message_start"));
        sg_llm_put(&o, SG_STR("{\""));
        if (start.kind == SG_JSON_OBJECT) {
                sg_llm_put(&o, SG_STR("message_start\":"));
                sg_llm_put(&o, start.text);
                sg_llm_put(&o, SG_STR(",\""));
        }
        sg_llm_put(&o, name);
        sg_llm_put(&o, SG_STR("\":"));
        sg_llm_put(&o, object.text);
        sg_llm_put(&o, SG_STR("}"));
        if (o.r)
                sg_buf_release(&next);
        sg_buf_done(&s->raw_usage);
        s->raw_usage = next;
}

static void note_usage(struct sg_llm_stream *s, struct sg_str name, struct sg_json_value object)
{
        struct sg_messages_usage so_far = s->given;

        if (object.kind != SG_JSON_OBJECT || !sg_messages_usage_read(&so_far, object))
                return;
        if (sg_str_eq(name, SG_STR("message_start"))) {
                so_far.has_output = s->given.has_output;
                so_far.output = s->given.output;
        } else {
                s->text_bytes_at_usage = s->text_bytes;
        }
        s->given = so_far;
        s->usage = sg_messages_usage_sum(&so_far);
        keep_raw(s, name, object);
}

static enum sg_stream_verdict on_start(struct sg_llm_stream *s, const struct event *e, struct sg_llm_fault *fault)
{
        struct sg_json_value message = e->w[M_MESSAGE].value;

        (void)fault;
        sg_llm_stream_note_model(s, sg_json_get(message, SG_STR("model")));
        note_usage(s, SG_STR("message_start"), sg_json_get(message, SG_STR("usage")));
        return SG_EVENT_PASS;
}

/* A block may begin with text in it, though most do not. */
static enum sg_stream_verdict on_block_start(struct sg_llm_stream *s, const struct event *e, struct sg_llm_fault *fault)
{
        struct sg_json_value block = e->w[M_BLOCK].value;

        (void)fault;
        s->text_bytes +=
                string_bytes(sg_json_get(block, SG_STR("text"))) + string_bytes(sg_json_get(block, SG_STR("thinking")));
        return SG_EVENT_PASS;
}

static enum sg_stream_verdict on_block_delta(struct sg_llm_stream *s, const struct event *e, struct sg_llm_fault *fault)
{
        (void)fault;
        s->text_bytes += string_bytes(e->delta[D_TEXT].value) + string_bytes(e->delta[D_THINKING].value) +
                         string_bytes(e->delta[D_PARTIAL_JSON].value);
        return SG_EVENT_PASS;
}

static enum sg_stream_verdict on_message_delta(struct sg_llm_stream *s, const struct event *e,
                                               struct sg_llm_fault *fault)
{
        (void)fault;
        sg_llm_stream_note_finish(s, e->delta[D_STOP_REASON].value);
        note_usage(s, SG_STR("message_delta"), e->w[M_USAGE].value);
        return SG_EVENT_PASS;
}

static enum sg_stream_verdict on_stop(struct sg_llm_stream *s, const struct event *e, struct sg_llm_fault *fault)
{
        (void)e;
        if (!s->seen_finish)
                return sg_llm_stream_early_end(s, &sg_llm_messages_judge, fault);
        s->seen_done = true;
        return SG_EVENT_LAST;
}

static enum sg_stream_verdict on_error(struct sg_llm_stream *s, const struct event *e, struct sg_llm_fault *fault)
{
        struct sg_json_value error = e->w[M_ERROR].value;

        return sg_llm_stream_error(s, error.kind == SG_JSON_NONE ? sg_llm_stream_whole(e->ev) : error, fault);
}

/* What has no row passes: ping, content_block_stop, and what is yet to be invented. */
static const struct {
        struct sg_str type;
        enum sg_stream_verdict (*on)(struct sg_llm_stream *s, const struct event *e, struct sg_llm_fault *fault);
} rows[] = {
        {SG_STR("content_block_delta"), on_block_delta},
        {SG_STR("content_block_start"), on_block_start},
        {SG_STR("message_start"), on_start},
        {SG_STR("message_delta"), on_message_delta},
        {SG_STR("message_stop"), on_stop},
        {SG_STR("error"), on_error},
};

static enum sg_stream_verdict on_event(struct sg_llm_stream *s, const struct sg_sse_event *ev,
                                       struct sg_str *ret_replacement, struct sg_llm_fault *fault)
{
        struct event e = {
                .w = {[M_TYPE] = {.name = SG_STR("type")},
                      [M_MESSAGE] = {.name = SG_STR("message")},
                      [M_BLOCK] = {.name = SG_STR("content_block")},
                      [M_DELTA] = {.name = SG_STR("delta")},
                      [M_USAGE] = {.name = SG_STR("usage")},
                      [M_ERROR] = {.name = SG_STR("error")}},
                .delta = {[D_TEXT] = {.name = SG_STR("text")},
                          [D_THINKING] = {.name = SG_STR("thinking")},
                          [D_PARTIAL_JSON] = {.name = SG_STR("partial_json")},
                          [D_STOP_REASON] = {.name = SG_STR("stop_reason")}},
                .ev = ev,
        };
        const struct sg_json_inside in_delta = {e.delta, D_N, NULL, NULL};
        struct sg_json_fault why;

        (void)ret_replacement;
        e.w[M_DELTA].inside = &in_delta;
        if (sg_json_slice_last(ev->data, e.w, M_N, &why))
                return sg_llm_stream_garbage(s, &why, fault);
        for (size_t i = 0; i < SG_N_ELEMENTS(rows); i++)
                if (sg_llm_stream_is_type(e.w[M_TYPE].value, ev, rows[i].type))
                        return rows[i].on(s, &e, fault);
        return sg_llm_is_truthy(e.w[M_ERROR].value) ? on_error(s, &e, fault) : SG_EVENT_PASS;
}

const struct sg_llm_judge sg_llm_messages_judge = {
        .on_data = on_event,
        .terminal = "a stop reason and message_stop",
        .is_text = true,
};
