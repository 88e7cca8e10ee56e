/* Any object as usage: parts stay in their whole, no sum overflows, and the raw text gives the same figures again. */
#include "llm/llm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct sg_usage u, again;
        struct sg_json_value v;

        if (sg_json_check(sg_str_make(data, size), &v, NULL) || !sg_usage_read(&u, v))
                return 0;
        SG_ASSERT(u.certainty == SG_CERTAINTY_MEASURED);
        SG_ASSERT(u.input_tokens <= UINT64_C(3) << 53 && u.output_tokens <= UINT64_C(1) << 53);
        SG_ASSERT(u.cached_tokens <= u.input_tokens && u.cache_write_tokens <= u.input_tokens - u.cached_tokens);
        SG_ASSERT(u.cache_write_1h_tokens <= u.cache_write_tokens && u.reasoning_tokens <= u.output_tokens);
        SG_ASSERT(u.audio_input_tokens <= u.input_tokens && u.image_tokens <= u.input_tokens);
        SG_ASSERT(u.audio_output_tokens <= u.output_tokens);
        if (u.raw.n == 0)
                return 0;
        SG_ASSERT(sg_json_check(u.raw, &v, NULL) == 0 && sg_usage_read(&again, v));
        SG_ASSERT(again.input_tokens == u.input_tokens && again.output_tokens == u.output_tokens);
        SG_ASSERT(again.cached_tokens == u.cached_tokens && again.cache_write_tokens == u.cache_write_tokens);
        return 0;
}
