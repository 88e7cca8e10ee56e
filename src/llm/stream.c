/* Each data payload is sliced once, which validates it; what the slice shows decides. Searching for names first would
 * save nothing: the bytes have to be validated anyway, and an escaped name would slip through. */
#include "llm/stream.h"

#include "base/limits.h"
#include "llm/error.h"
#include "llm/text.h"
#include "llm/usage.h"

static const struct sg_llm_judge *const judges[SG_OP_N] = {
        [SG_OP_CHAT] = &sg_llm_chat_judge,           [SG_OP_COMPLETION] = &sg_llm_chat_judge,
        [SG_OP_MESSAGES] = &sg_llm_messages_judge,   [SG_OP_RESPONSES] = &sg_llm_responses_judge,
        [SG_OP_IMAGES] = &sg_llm_media_judge,        [SG_OP_SPEECH] = &sg_llm_media_judge,
        [SG_OP_TRANSCRIPTION] = &sg_llm_media_judge,
};

void sg_llm_stream_init(struct sg_llm_stream *s, enum sg_operation op, bool hide_usage)
{
        SG_ASSERT((unsigned)op < SG_OP_N);
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

/* ---- what judges share */

enum sg_stream_verdict sg_llm_stream_garbage(struct sg_llm_stream *s, const struct sg_json_fault *why,
                                             struct sg_llm_fault *fault)
{
        s->seen_error = true;
        sg_llm_fault_set(fault, "", "the provider sent an event that is not a JSON object: %s at byte %zu", why->what,
                         why->offset);
        return SG_EVENT_GARBAGE;
}

enum sg_stream_verdict sg_llm_stream_error(struct sg_llm_stream *s, struct sg_json_value error,
                                           struct sg_llm_fault *fault)
{
        struct sg_llm_provider_error e;
        int status;

        s->seen_error = true;
        (void)sg_llm_error_of(&e, error, &status); /* of another kind: a fault without the provider's words */
        s->refusal = sg_llm_refusal_of((unsigned)status, &e);
        sg_llm_error_fault(fault, &e);
        return SG_EVENT_ERROR;
}

enum sg_stream_verdict sg_llm_stream_early_end(struct sg_llm_stream *s, const struct sg_llm_judge *judge,
                                               struct sg_llm_fault *fault)
{
        s->seen_error = true;
        s->ended_early = true;
        s->refusal = SG_REFUSAL_SERVER;
        sg_llm_fault_set(fault, "", "the provider ended the stream without %s", judge->terminal);
        return SG_EVENT_ERROR;
}

/* Without memory the figures still count. */
static void keep_raw(struct sg_llm_stream *s, struct sg_str raw)
{
        sg_buf_clear(&s->raw_usage);
        if (sg_buf_add(&s->raw_usage, raw))
                sg_buf_clear(&s->raw_usage);
}

void sg_llm_stream_note_usage(struct sg_llm_stream *s, struct sg_json_value object)
{
        struct sg_usage u;

        if (!sg_usage_read(&u, object)) {
                if (s->usage.certainty == SG_CERTAINTY_NONE && sg_usage_raw_of(object).n)
                        keep_raw(s, object.text);
                return;
        }
        keep_raw(s, u.raw);
        u.raw = SG_STR_NONE; /* given by sg_llm_stream_usage(): the buffer may move */
        s->usage = u;
        s->text_bytes_at_usage = s->text_bytes;
}

void sg_llm_stream_note_model(struct sg_llm_stream *s, struct sg_json_value model)
{
        if (!s->model[0])
                sg_llm_copy_text(s->model, sizeof(s->model), model);
}

void sg_llm_stream_note_finish(struct sg_llm_stream *s, struct sg_json_value reason)
{
        if (reason.kind != SG_JSON_STRING || !sg_llm_is_truthy(reason))
                return;
        s->seen_finish = true;
        if (!s->finish_reason[0])
                sg_llm_copy_text(s->finish_reason, sizeof(s->finish_reason), reason);
}

struct sg_json_value sg_llm_stream_whole(const struct sg_sse_event *ev)
{
        return (struct sg_json_value){SG_JSON_OBJECT, sg_llm_trim(ev->data)};
}

/* ---- event by event */

static enum sg_stream_verdict on_done(struct sg_llm_stream *s, const struct sg_llm_judge *judge,
                                      struct sg_llm_fault *fault)
{
        if (judge && !(judge->ends_with_done && s->seen_finish))
                return sg_llm_stream_early_end(s, judge, fault);
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

enum sg_stream_verdict sg_llm_stream_event(struct sg_llm_stream *s, const struct sg_sse_event *ev,
                                           struct sg_str *ret_replacement, struct sg_llm_fault *fault)
{
        const struct sg_llm_judge *judge = judges[s->op];
        struct sg_str data;

        *ret_replacement = SG_STR("");
        if (s->seen_done || s->seen_error)
                return SG_EVENT_DROP;
        if (judge && s->seen_first && sg_str_starts(ev->raw, SG_STR("\xef\xbb\xbf")))
                return on_late_mark(s, fault);
        s->seen_first = true;
        if (!ev->has_data)
                return SG_EVENT_PASS;
        data = sg_llm_trim(ev->data);
        if (data.n == 0) /* the standard dispatches no such event, but SDKs parse its data and fail */
                return judge ? SG_EVENT_DROP : SG_EVENT_PASS;
        s->n_events++;
        if (sg_str_eq(data, SG_STR("[DONE]")) && data.p == ev->data.p) /* SDKs want it at the very begin */
                return on_done(s, judge, fault);
        return judge ? judge->on_data(s, ev, ret_replacement, fault) : SG_EVENT_PASS;
}

/* ---- what became of it */

bool sg_llm_stream_is_complete(const struct sg_llm_stream *s)
{
        return !judges[s->op] || (s->seen_done && s->seen_finish && !s->seen_error);
}

/* There were no figures. Of sound and images none can be guessed: whole, they may be of a model that counts no tokens. */
static struct sg_usage guess(const struct sg_llm_stream *s, uint64_t prompt_bytes)
{
        struct sg_usage u = {.certainty = SG_CERTAINTY_ESTIMATED, .output_tokens = sg_usage_guess(s->text_bytes)};

        if (judges[s->op]->is_text)
                sg_usage_fill_input(&u, prompt_bytes);
        else if (sg_llm_stream_is_complete(s))
                u = (struct sg_usage){0};
        return u;
}

/* Each side that the provider told nothing of is guessed; so is what came after the last figures, if the end did not. */
static struct sg_usage fill(const struct sg_llm_stream *s, uint64_t prompt_bytes)
{
        struct sg_usage u = s->usage;

        if (s->op == SG_OP_MESSAGES && !s->given.has_output)
                u.output_tokens = sg_usage_guess(s->text_bytes);
        else if (!sg_llm_stream_is_complete(s))
                u.output_tokens += sg_usage_guess(s->text_bytes - s->text_bytes_at_usage);
        if (s->op == SG_OP_MESSAGES && !s->given.has_input)
                u.input_tokens += sg_usage_guess(prompt_bytes);
        if (!sg_llm_stream_is_complete(s) || (s->op == SG_OP_MESSAGES && !(s->given.has_input && s->given.has_output)))
                u.certainty = SG_CERTAINTY_PARTIAL;
        return u;
}

struct sg_usage sg_llm_stream_usage(const struct sg_llm_stream *s, uint64_t prompt_bytes)
{
        struct sg_usage u;

        if (!judges[s->op])
                return (struct sg_usage){0};
        u = s->usage.certainty == SG_CERTAINTY_NONE ? guess(s, prompt_bytes) : fill(s, prompt_bytes);
        if (sg_buf_length(&s->raw_usage))
                u.raw = sg_buf_view(&s->raw_usage);
        return u;
}
