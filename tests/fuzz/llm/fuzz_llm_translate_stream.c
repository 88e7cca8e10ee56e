/* The first byte picks the way and what the exchange knows, the second in what steps the bytes of the provider's stream
 * come. They go through scanner and judge, what the judge passes through the translator, and what the client would get is
 * judged again, as a stream of its own dialect: every data is JSON, nothing follows the end, and there is an end only when
 * the provider's own was there. */
#include "http/sse.h"
#include "llm/translate.h"

static const struct {
        enum sg_operation from, to;
} ways[] = {
        {SG_OP_MESSAGES, SG_OP_CHAT},
        {SG_OP_CHAT, SG_OP_MESSAGES},
        {SG_OP_CHAT, SG_OP_RESPONSES},
        {SG_OP_MESSAGES, SG_OP_RESPONSES},
};

struct run {
        enum sg_operation to;
        struct sg_llm_stream provider, client;
        struct sg_sse client_sse;
        struct sg_translator *t;
        struct sg_buf out;
        bool is_last; /* the provider's own end */
        bool is_over; /* the translator gave up */
};

static void check_event(struct run *run, const struct sg_sse_event *ev)
{
        struct sg_llm_fault fault = {0};
        struct sg_json_value v = {0};
        struct sg_str replacement;
        enum sg_stream_verdict verdict;

        SG_ASSERT(!run->client.seen_done);
        if (ev->has_data && !sg_str_eq(ev->data, SG_STR("[DONE]"))) {
                SG_ASSERT(sg_json_check(ev->data, &v, NULL) == 0 && v.kind == SG_JSON_OBJECT);
                v = sg_json_get(v, SG_STR("type"));
                SG_ASSERT(run->to == SG_OP_CHAT || (v.kind == SG_JSON_STRING && sg_json_text_is(v, ev->name)));
        }
        verdict = sg_llm_stream_event(&run->client, ev, &replacement, &fault);
        SG_ASSERT(verdict != SG_EVENT_ERROR && verdict != SG_EVENT_GARBAGE && verdict != SG_EVENT_DROP);
        SG_ASSERT(verdict != SG_EVENT_LAST || run->is_last);
}

static void pass(struct run *run, const struct sg_sse_event *ev)
{
        struct sg_llm_fault fault = {0};
        struct sg_sse_event told;
        struct sg_str in;
        int r;

        if (run->is_over)
                return;
        sg_buf_clear(&run->out);
        r = sg_translator_event(run->t, ev, &run->out, &fault);
        SG_ASSERT(r == 0 || r == SG_LLM_E_NOT_JSON || r == SG_LLM_E_BAD_FIELD);
        SG_ASSERT((r == 0) == (fault.text[0] == 0) && sg_str_is_utf8(sg_str_from(fault.text)));
        run->is_over = r != 0;
        in = sg_buf_view(&run->out);
        while (!r && sg_sse_next(&run->client_sse, &in, &told) == 0)
                check_event(run, &told);
        SG_ASSERT(r || sg_sse_carried(&run->client_sse) == 0);
        SG_ASSERT(r || !run->is_last || run->client.seen_done);
}

static void judge(struct run *run, const struct sg_sse_event *ev)
{
        struct sg_llm_fault fault = {0};
        struct sg_str replacement;
        enum sg_stream_verdict verdict = sg_llm_stream_event(&run->provider, ev, &replacement, &fault);

        SG_ASSERT(verdict != SG_EVENT_REPLACE); /* usage is not hidden from a translator */
        run->is_last |= verdict == SG_EVENT_LAST;
        if (verdict == SG_EVENT_PASS || verdict == SG_EVENT_LAST)
                pass(run, ev);
}

static void feed(struct run *run, const uint8_t *data, size_t size, size_t step)
{
        struct sg_sse_event ev;
        struct sg_sse sse;

        sg_sse_init(&sse, 0);
        for (size_t at = 0; at < size; at += step) {
                struct sg_str piece = sg_str_make(data + at, SG_MIN(step, size - at));

                while (sg_sse_next(&sse, &piece, &ev) == 0)
                        judge(run, &ev);
        }
        sg_sse_done(&sse);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        unsigned flags = size ? data[0] : 0, way = flags % SG_N_ELEMENTS(ways);
        const struct sg_translate_exchange x = {
                .model = SG_STR("asked\"for"),
                .request_id = flags & 4 ? SG_STR("r1") : SG_STR(""),
                .created_sec = 1700000000,
                .is_json_by_tool = flags & 8,
                .wants_usage = flags & 16,
                .request = flags & 32 ? SG_STR("{\"tools\":[1],\n\r\"temperature\":1e9}") : SG_STR(""),
        };
        struct run run = {.to = ways[way].to};

        if (size < 2)
                return 0;
        sg_llm_stream_init(&run.provider, ways[way].from, false);
        sg_llm_stream_init(&run.client, ways[way].to, false);
        sg_sse_init(&run.client_sse, 64u << 20);
        sg_buf_init(&run.out, 64u << 20);
        SG_ASSERT(sg_translator_new(&run.t, ways[way].from, ways[way].to, &x) == 0);
        feed(&run, data + 2, size - 2, (size_t)data[1] + 1);
        SG_ASSERT(!sg_llm_stream_is_complete(&run.client) || sg_llm_stream_is_complete(&run.provider));
        run.t = sg_translator_free(run.t);
        sg_buf_done(&run.out);
        sg_sse_done(&run.client_sse);
        sg_llm_stream_done(&run.client);
        sg_llm_stream_done(&run.provider);
        return 0;
}
