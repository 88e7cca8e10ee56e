/* Any bytes as an answer and as an error body: verdicts agree with the texts, texts are UTF-8, parts stay in their
 * whole. */
#include "llm/llm.h"

static void check_usage(const struct sg_usage *u)
{
        SG_ASSERT(u->cached_tokens + u->cache_write_tokens <= u->input_tokens);
        SG_ASSERT(u->cache_write_1h_tokens <= u->cache_write_tokens && u->image_tokens <= u->input_tokens);
        SG_ASSERT(u->reasoning_tokens <= u->output_tokens && u->audio_output_tokens <= u->output_tokens);
        SG_ASSERT(u->raw.n == 0 || sg_json_check(u->raw, NULL, NULL) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct sg_str body = sg_str_make(data, size);
        struct sg_llm_provider_error e;
        struct sg_llm_answer a;

        for (unsigned op = SG_OP_CHAT; op < SG_OP_MODEL_LIST; op++) {
                struct sg_llm_fault fault = {0};
                int r = sg_llm_answer_read(&a, (enum sg_operation)op, body, &fault);

                SG_ASSERT(r == 0 || r == SG_LLM_E_NOT_JSON || r == SG_LLM_E_IN_BAND);
                SG_ASSERT((r == 0) == (fault.text[0] == 0) && sg_str_is_utf8(sg_str_from(fault.text)));
                SG_ASSERT(r || op >= SG_OP_COUNT_TOKENS || a.usage.certainty == SG_CERTAINTY_MEASURED ||
                          a.usage.certainty == SG_CERTAINTY_ESTIMATED);
                SG_ASSERT((unsigned)a.refusal < SG_REFUSAL_N);
                SG_ASSERT(a.in_band_status == 0 || (r == SG_LLM_E_IN_BAND && a.in_band_status >= 400));
                SG_ASSERT(sg_str_is_utf8(sg_str_from(a.model)) && sg_str_is_utf8(sg_str_from(a.finish_reason)));
                check_usage(&a.usage);
        }
        if (sg_llm_error_read(&e, body)) {
                SG_ASSERT(sg_json_check(body, NULL, NULL) == 0);
                SG_ASSERT(sg_str_is_utf8(sg_str_from(e.message)) && sg_str_is_utf8(sg_str_from(e.code)));
                SG_ASSERT(sg_str_is_utf8(sg_str_from(e.reason)) && sg_str_is_utf8(sg_str_from(e.param)));
                for (unsigned status = 0; status < 600; status += status ? 1 : 400)
                        SG_ASSERT((unsigned)sg_llm_refusal_of(status, &e) < SG_REFUSAL_N);
        }
        return 0;
}
