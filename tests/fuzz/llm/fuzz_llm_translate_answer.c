/* The first byte picks the way and what the exchange knows, the rest is a provider's answer. What the reader of answers
 * accepts becomes JSON that it accepts in the client's dialect, with the same figures, or is refused with words. */
#include "llm/translate.h"

static const struct {
        enum sg_operation from, to;
} ways[] = {
        {SG_OP_MESSAGES, SG_OP_CHAT},
        {SG_OP_CHAT, SG_OP_MESSAGES},
        {SG_OP_CHAT, SG_OP_RESPONSES},
        {SG_OP_MESSAGES, SG_OP_RESPONSES},
};

/* Where the provider gave figures, the client has the same. */
static void check_figures(const struct sg_usage *a, const struct sg_usage *b)
{
        if (a->certainty != SG_CERTAINTY_MEASURED || b->certainty != SG_CERTAINTY_MEASURED)
                return;
        SG_ASSERT(a->input_tokens == b->input_tokens && a->output_tokens == b->output_tokens);
        SG_ASSERT(a->cached_tokens == b->cached_tokens);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        unsigned flags = size ? data[0] : 0, way = flags % SG_N_ELEMENTS(ways);
        struct sg_str body = size ? sg_str_make(data + 1, size - 1) : SG_STR("");
        const struct sg_translate_exchange x = {
                .model = SG_STR("asked\"for"),
                .request_id = flags & 4 ? SG_STR("r\n1") : SG_STR(""),
                .created_sec = 1700000000,
                .is_json_by_tool = flags & 8,
                .request = flags & 16 ? SG_STR("{\"tools\":[1],\n\"temperature\":1e9}") : SG_STR(""),
        };
        struct sg_llm_fault fault = {0};
        struct sg_llm_answer before, after;
        struct sg_buf out;
        int r;

        if (sg_llm_answer_read(&before, ways[way].from, body, NULL))
                return 0;
        sg_buf_init(&out, 64u << 20);
        r = sg_translate_answer(&out, ways[way].from, ways[way].to, body, &x, &fault);
        SG_ASSERT(r == 0 || r == SG_LLM_E_NOT_JSON || r == SG_LLM_E_BAD_FIELD);
        SG_ASSERT((r == 0) == (fault.text[0] == 0) && sg_str_is_utf8(sg_str_from(fault.text)));
        if (r == 0) {
                SG_ASSERT(sg_llm_answer_read(&after, ways[way].to, sg_buf_view(&out), &fault) == 0);
                check_figures(&before.usage, &after.usage);
        }
        sg_buf_done(&out);
        return 0;
}
