/* The first byte: is usage hidden, in what steps the bytes come, and of which operation. What is sent to the client is read back by the
 * same scanner: every data is a JSON object, or [DONE] as the last; hidden usage is hidden; and a stream is complete
 * only when the judge was shown a finish reason and the end of its dialect. */
#include "http/sse.h"
#include "llm/llm.h"

struct seen {
        enum sg_operation op;
        bool hide, finish, done, last;
};

static bool is_chat(const struct seen *seen)
{
        return seen->op == SG_OP_CHAT || seen->op == SG_OP_COMPLETION;
}

static void check_sent(struct sg_str data, struct seen *seen)
{
        struct sg_json_value v = {0};

        SG_ASSERT(!seen->done);
        if (seen->op == SG_OP_PASS)
                return;
        if (sg_str_find(data, SG_STR("[DONE]")) == 0) {
                seen->done = true;
                return;
        }
        SG_ASSERT(sg_json_check(data, &v, NULL) == 0 && v.kind == SG_JSON_OBJECT);
        SG_ASSERT(!seen->hide || !is_chat(seen) || sg_json_get(v, SG_STR("usage")).kind == SG_JSON_NONE);
        seen->finish |=
                sg_str_find(data, SG_STR("finish_reason")) < data.n || sg_str_find(data, SG_STR("\\u")) < data.n;
}

static void check_out(struct sg_str out, struct seen *seen)
{
        struct sg_sse_event ev;
        struct sg_sse sse;

        sg_sse_init(&sse, 0);
        while (sg_sse_next(&sse, &out, &ev) == 0)
                if (ev.has_data)
                        check_sent(ev.data, seen);
        SG_ASSERT(sg_sse_carried(&sse) == 0);
        sg_sse_done(&sse);
}

static void judge(struct sg_llm_stream *s, const struct sg_sse_event *ev, struct sg_buf *out, struct seen *seen)
{
        struct sg_llm_fault fault = {0};
        struct sg_str replacement;
        enum sg_stream_verdict v = sg_llm_stream_event(s, ev, &replacement, &fault);

        SG_ASSERT((v == SG_EVENT_ERROR || v == SG_EVENT_GARBAGE) == (fault.text[0] != 0));
        SG_ASSERT(!seen->last || v == SG_EVENT_DROP);
        seen->last |= v == SG_EVENT_LAST;
        if (v == SG_EVENT_PASS || v == SG_EVENT_LAST)
                SG_ASSERT(sg_buf_add(out, ev->raw) == 0);
        if (v == SG_EVENT_REPLACE)
                SG_ASSERT(sg_buf_add(out, replacement) == 0);
}

/* Measured figures can be had from the raw text again, where it was kept. */
static void check_raw(const struct sg_usage *u)
{
        struct sg_json_value v;
        struct sg_usage again;

        if (u->raw.n == 0 || u->certainty != SG_CERTAINTY_MEASURED)
                return;
        SG_ASSERT(sg_json_check(u->raw, &v, NULL) == 0 && sg_usage_read(&again, v));
        SG_ASSERT(again.output_tokens == u->output_tokens && again.reasoning_tokens <= u->output_tokens);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const enum sg_operation ops[8] = {SG_OP_CHAT,   SG_OP_COMPLETION,    SG_OP_MESSAGES, SG_OP_RESPONSES,
                                                 SG_OP_IMAGES, SG_OP_TRANSCRIPTION, SG_OP_PASS,     SG_OP_CHAT};
        struct seen seen = {.hide = size && data[0] & 1, .op = ops[size ? (data[0] >> 4) & 7 : 0]};
        size_t step = size ? (size_t)1 << ((data[0] >> 1) & 7) : 1;
        struct sg_llm_stream s;
        struct sg_sse_event ev;
        struct sg_usage u;
        struct sg_buf out;
        struct sg_sse sse;

        sg_llm_stream_init(&s, seen.op, seen.hide);
        sg_buf_init(&out, 4 * size + 64);
        sg_sse_init(&sse, 0);
        for (size_t at = 1; at < size; at += step) {
                struct sg_str piece = sg_str_make(data + at, SG_MIN(step, size - at));

                while (sg_sse_next(&sse, &piece, &ev) == 0)
                        judge(&s, &ev, &out, &seen);
        }
        SG_ASSERT(sg_buf_add(&out, SG_STR("\n")) == 0); /* a CR at the end might be the half of a line end */
        check_out(sg_buf_view(&out), &seen);
        if (is_chat(&seen) && sg_llm_stream_is_complete(&s))
                SG_ASSERT(seen.finish && seen.done);
        SG_ASSERT(seen.op == SG_OP_PASS || !sg_llm_stream_is_complete(&s) || (seen.last && s.seen_finish));
        SG_ASSERT(!s.ended_early || s.seen_error);
        u = sg_llm_stream_usage(&s, size);
        SG_ASSERT(u.raw.n == 0 || sg_json_check(u.raw, NULL, NULL) == 0);
        SG_ASSERT(u.cached_tokens + u.cache_write_tokens <= u.input_tokens && u.cached_tokens <= UINT64_C(1) << 53);
        check_raw(&u);
        SG_ASSERT((u.certainty != SG_CERTAINTY_MEASURED) || sg_llm_stream_is_complete(&s));
        sg_buf_done(&out);
        sg_sse_done(&sse);
        sg_llm_stream_done(&s);
        return 0;
}
