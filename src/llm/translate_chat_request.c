/* Chat completions to messages: which members there are, and what becomes of them. Whatever the provider would not be told is
 * refused here by its name, or is advice and named in `dropped`. */
#include "llm/translate_chat_request.h"

enum rule {
        RULE_READ,
        RULE_DROP,          /* advice: no answer depends on it */
        RULE_REFUSE,        /* even when it is {} */
        RULE_REFUSE_TRUTHY, /* false, 0 and the like ask for nothing */
};

static const struct {
        struct sg_str name;
        enum rule rule;
} fields[] = {
        [SG_CHAT_MODEL] = {SG_STR("model"), RULE_READ},
        [SG_CHAT_MESSAGES] = {SG_STR("messages"), RULE_READ},
        [SG_CHAT_STREAM] = {SG_STR("stream"), RULE_READ},
        [SG_CHAT_STREAM_OPTIONS] = {SG_STR("stream_options"), RULE_READ}, /* messages always has usage in streams */
        [SG_CHAT_MAX_TOKENS] = {SG_STR("max_tokens"), RULE_READ},
        [SG_CHAT_MAX_COMPLETION_TOKENS] = {SG_STR("max_completion_tokens"), RULE_READ},
        [SG_CHAT_TEMPERATURE] = {SG_STR("temperature"), RULE_READ},
        [SG_CHAT_TOP_P] = {SG_STR("top_p"), RULE_READ},
        [SG_CHAT_TOP_K] = {SG_STR("top_k"), RULE_READ},
        [SG_CHAT_STOP] = {SG_STR("stop"), RULE_READ},
        [SG_CHAT_USER] = {SG_STR("user"), RULE_READ},
        [SG_CHAT_SAFETY_IDENTIFIER] = {SG_STR("safety_identifier"), RULE_READ},
        [SG_CHAT_REASONING_EFFORT] = {SG_STR("reasoning_effort"), RULE_READ},
        [SG_CHAT_THINKING] = {SG_STR("thinking"), RULE_READ},
        [SG_CHAT_RESPONSE_FORMAT] = {SG_STR("response_format"), RULE_READ},
        [SG_CHAT_TOOLS] = {SG_STR("tools"), RULE_READ},
        [SG_CHAT_TOOL_CHOICE] = {SG_STR("tool_choice"), RULE_READ},
        [SG_CHAT_PARALLEL_TOOL_CALLS] = {SG_STR("parallel_tool_calls"), RULE_READ},
        [SG_CHAT_CACHE_CONTROL] = {SG_STR("cache_control"), RULE_READ},
        [SG_CHAT_CHOICES] = {SG_STR("n"), RULE_READ},
        [SG_CHAT_MODALITIES] = {SG_STR("modalities"), RULE_READ},
        [SG_CHAT_VERBOSITY] = {SG_STR("verbosity"), RULE_READ},
        {SG_STR("metadata"), RULE_DROP},
        {SG_STR("service_tier"), RULE_DROP},
        {SG_STR("store"), RULE_DROP},
        {SG_STR("seed"), RULE_DROP},
        {SG_STR("prompt_cache_key"), RULE_DROP},
        {SG_STR("prompt_cache_retention"), RULE_DROP},
        {SG_STR("prompt_cache_options"), RULE_DROP},
        {SG_STR("logprobs"), RULE_REFUSE_TRUTHY},
        {SG_STR("top_logprobs"), RULE_REFUSE_TRUTHY},
        {SG_STR("logit_bias"), RULE_REFUSE_TRUTHY},
        {SG_STR("presence_penalty"), RULE_REFUSE_TRUTHY},
        {SG_STR("frequency_penalty"), RULE_REFUSE_TRUTHY},
        {SG_STR("functions"), RULE_REFUSE_TRUTHY},
        {SG_STR("function_call"), RULE_REFUSE},
        {SG_STR("audio"), RULE_REFUSE},
        {SG_STR("moderation"), RULE_REFUSE},
        {SG_STR("prediction"), RULE_REFUSE},
        {SG_STR("web_search_options"), RULE_REFUSE},
};
#define N_FIELDS SG_N_ELEMENTS(fields)

static int apply_rule(struct sg_chat_request *q, size_t i, struct sg_json_value v)
{
        enum rule rule = fields[i].rule;

        if (v.kind == SG_JSON_NONE || rule == RULE_READ)
                return 0;
        if (rule == RULE_DROP)
                return sg_llm_drop(&q->at, fields[i].name.p), 0;
        if (rule == RULE_REFUSE_TRUTHY && !sg_llm_is_truthy(v))
                return 0;
        return sg_llm_refuse_inexpressible_member(&q->at, fields[i].name.p);
}

static int read_fields(struct sg_chat_request *q, struct sg_str body)
{
        struct sg_json_value whole = {SG_JSON_OBJECT, sg_llm_trim(body)}, values[N_FIELDS];
        struct sg_str names[N_FIELDS];
        int r;

        for (size_t i = 0; i < N_FIELDS; i++)
                names[i] = fields[i].name;
        r = sg_llm_read_members(&q->at, whole, names, N_FIELDS, values);
        for (size_t i = 0; i < N_FIELDS && !r; i++)
                r = apply_rule(q, i, values[i]);
        for (size_t i = 0; i < SG_CHAT_READ_N; i++)
                q->f[i] = values[i];
        return r;
}

int sg_chat_request_to_messages(struct sg_buf *out, struct sg_str body, const struct sg_translate_options *options,
                                struct sg_translate_notes *notes, struct sg_llm_fault *fault)
{
        struct sg_chat_request q = {.at = {.fault = fault, .notes = notes}, .put = {.to = out}, .options = options};
        int r;

        *notes = (struct sg_translate_notes){0};
        r = read_fields(&q, body);
        if (!r)
                r = sg_chat_write_params(&q);
        if (!r)
                r = sg_chat_write_messages(&q);
        if (!r)
                r = sg_chat_write_tools(&q);
        sg_llm_put(&q.put, SG_STR("}"));
        return r ? r : q.put.r;
}
