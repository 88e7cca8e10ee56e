/* Messages to chat completions: which members there are. Those that are not named here, top_k and the provider's own tools and
 * containers among them, are refused by the reader. */
#include "llm/translate_messages_request.h"

static const struct sg_str names[SG_MESSAGES_FIELD_N] = {
        [SG_MESSAGES_MODEL] = SG_STR("model"),
        [SG_MESSAGES_MESSAGES] = SG_STR("messages"),
        [SG_MESSAGES_SYSTEM] = SG_STR("system"),
        [SG_MESSAGES_MAX_TOKENS] = SG_STR("max_tokens"),
        [SG_MESSAGES_STREAM] = SG_STR("stream"),
        [SG_MESSAGES_TEMPERATURE] = SG_STR("temperature"),
        [SG_MESSAGES_TOP_P] = SG_STR("top_p"),
        [SG_MESSAGES_STOP_SEQUENCES] = SG_STR("stop_sequences"),
        [SG_MESSAGES_METADATA] = SG_STR("metadata"),
        [SG_MESSAGES_THINKING] = SG_STR("thinking"),
        [SG_MESSAGES_OUTPUT_CONFIG] = SG_STR("output_config"),
        [SG_MESSAGES_TOOLS] = SG_STR("tools"),
        [SG_MESSAGES_TOOL_CHOICE] = SG_STR("tool_choice"),
        [SG_MESSAGES_SERVICE_TIER] = SG_STR("service_tier"),
        [SG_MESSAGES_CACHE_CONTROL] = SG_STR("cache_control"),
};

int sg_messages_request_to_chat(struct sg_buf *out, struct sg_str body, const struct sg_translate_options *options,
                                struct sg_translate_notes *notes, struct sg_llm_fault *fault)
{
        struct sg_messages_request q = {.at = {.fault = fault, .notes = notes}, .put = {.to = out}, .options = options};
        struct sg_json_value whole = {SG_JSON_OBJECT, sg_llm_trim(body)};
        int r;

        *notes = (struct sg_translate_notes){0};
        r = sg_llm_read_members(&q.at, whole, names, SG_MESSAGES_FIELD_N, q.f);
        if (!r)
                r = sg_messages_write_params(&q);
        if (!r)
                r = sg_messages_write_turns(&q);
        if (!r)
                r = sg_messages_write_tools(&q);
        sg_llm_put(&q.put, SG_STR("}"));
        return r ? r : q.put.r;
}
