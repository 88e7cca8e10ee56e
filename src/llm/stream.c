/* Each data payload is sliced once, which validates it; what the slice shows decides. Searching for names first would
 * save nothing: the bytes have to be validated anyway, and an escaped name would slip through. */
#include "base/limits.h"
#include "llm/choices.h"
#include "llm/error.h"
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

void sg_llm_stream_init(struct sg_llm_stream *s, enum sg_operation op, bool hide_usage)
{
        *s = (struct sg_llm_stream){.op = op, .hide_usage = hide_usage};
        sg_buf_init(&s->raw_usage, SG_RAW_USAGE_BYTES_MAX);
        sg_buf_init(&s->replaced, 2 * (size_t)SG_SSE_EVENT_BYTES_MAX);
}

void sg_llm_stream_done(struct sg_llm_stream *s)
{
        sg_buf_done(&s->raw_usage);
        sg_buf_done(&s->replaced);
        s->usage.raw = SG_STR_NONE;
}

static bool is_judged(const struct sg_llm_stream *s)
{
        return s->op == SG_OP_CHAT || s->op == SG_OP_COMPLETION;
}

static enum sg_stream_verdict on_done(struct sg_llm_stream *s, struct sg_llm_fault *fault)
{
        if (is_judged(s) && !s->seen_finish) {
                s->seen_error = true;
                sg_llm_fault_set(fault, "", "the provider ended the stream without a finish reason");
                return SG_EVENT_ERROR;
        }
        s->seen_done = true;
        return SG_EVENT_LAST;
}

/* Within a stream a byte order mark makes the line behind it unknown, so its data was never looked at. Were all before
 * it dropped, the client would find the mark at the begin, skip it, and read that data. */
static enum sg_stream_verdict on_late_mark(struct sg_llm_stream *s, struct sg_llm_fault *fault)
{
        s->seen_error = true;
        sg_llm_fault_set(fault, "", "the provider sent a byte order mark within the stream");
        return SG_EVENT_GARBAGE;
}

static enum sg_stream_verdict on_error(struct sg_llm_stream *s, struct sg_json_value error, struct sg_llm_fault *fault)
{
        struct sg_llm_provider_error e;
        int status;

        s->seen_error = true;
        (void)sg_llm_error_of(&e, error, &status);
        sg_llm_error_fault(fault, &e);
        return SG_EVENT_ERROR;
}

/* The last figures count, whichever place they came in: a provider that uses two places tells the same twice. */
static void note_usage(struct sg_llm_stream *s, struct sg_json_value object)
{
        struct sg_usage u;

        if (!sg_usage_read(&u, object))
                return;
        sg_buf_clear(&s->raw_usage);
        if (sg_buf_add(&s->raw_usage, u.raw)) /* without memory the figures still count */
                sg_buf_clear(&s->raw_usage);
        u.raw = SG_STR_NONE; /* given by sg_llm_stream_usage(): the buffer may move */
        s->usage = u;
        s->text_bytes_at_usage = s->text_bytes;
}

static void note_chunk(struct sg_llm_stream *s, const struct sg_json_want w[C_N], struct sg_llm_choices choices)
{
        s->text_bytes += choices.text_bytes;
        if (choices.finish_reason.kind == SG_JSON_STRING) {
                s->seen_finish = true;
                if (!s->finish_reason[0])
                        sg_llm_copy_text(s->finish_reason, sizeof(s->finish_reason), choices.finish_reason);
        }
        if (!s->model[0])
                sg_llm_copy_text(s->model, sizeof(s->model), w[C_MODEL].value);
        if (w[C_X_GROQ].n)
                note_usage(s, sg_json_get(w[C_X_GROQ].value, SG_STR("usage")));
        note_usage(s, choices.usage);
        note_usage(s, w[C_USAGE].value);
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
        if (sg_json_slice_last(ev->data, w, C_N, &why)) {
                s->seen_error = true;
                sg_llm_fault_set(fault, "", "the provider sent an event that is not a JSON object: %s at byte %zu",
                                 why.what, why.offset);
                return SG_EVENT_GARBAGE;
        }
        if (sg_llm_is_truthy(w[C_ERROR].value))
                return on_error(s, w[C_ERROR].value, fault);
        if (w[C_CHOICES].n == 0 && sg_str_eq(ev->name, SG_STR("error")))
                return on_error(s, (struct sg_json_value){SG_JSON_OBJECT, sg_llm_trim(ev->data)}, fault);
        note_chunk(s, w, sg_llm_choices_take(&reader, &w[C_CHOICES]));
        return hide(s, ev, w, ret_replacement);
}

enum sg_stream_verdict sg_llm_stream_event(struct sg_llm_stream *s, const struct sg_sse_event *ev,
                                           struct sg_str *ret_replacement, struct sg_llm_fault *fault)
{
        struct sg_str data;

        *ret_replacement = SG_STR("");
        if (s->seen_done || s->seen_error)
                return SG_EVENT_DROP;
        if (is_judged(s) && s->seen_first && sg_str_starts(ev->raw, SG_STR("\xef\xbb\xbf")))
                return on_late_mark(s, fault);
        s->seen_first = true;
        if (!ev->has_data)
                return SG_EVENT_PASS;
        data = sg_llm_trim(ev->data);
        if (data.n == 0) /* the standard dispatches no such event, but SDKs parse its data and fail */
                return is_judged(s) ? SG_EVENT_DROP : SG_EVENT_PASS;
        s->n_events++;
        if (sg_str_eq(data, SG_STR("[DONE]")) && data.p == ev->data.p) /* SDKs want it at the very begin */
                return on_done(s, fault);
        return is_judged(s) ? on_chunk(s, ev, ret_replacement, fault) : SG_EVENT_PASS;
}

bool sg_llm_stream_is_complete(const struct sg_llm_stream *s)
{
        return !is_judged(s) || (s->seen_done && s->seen_finish && !s->seen_error);
}

struct sg_usage sg_llm_stream_usage(const struct sg_llm_stream *s, uint64_t prompt_bytes)
{
        struct sg_usage u = s->usage;

        if (!is_judged(s))
                return (struct sg_usage){0};
        if (u.certainty == SG_CERTAINTY_NONE) {
                u.certainty = SG_CERTAINTY_ESTIMATED;
                u.output_tokens = sg_usage_guess(s->text_bytes);
                sg_usage_fill_input(&u, prompt_bytes);
                return u;
        }
        if (!sg_llm_stream_is_complete(s)) {
                u.certainty = SG_CERTAINTY_PARTIAL;
                u.output_tokens += sg_usage_guess(s->text_bytes - s->text_bytes_at_usage);
        }
        if (sg_buf_length(&s->raw_usage))
                u.raw = sg_buf_view(&s->raw_usage);
        return u;
}
