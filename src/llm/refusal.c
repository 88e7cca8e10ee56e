/* What a refusal means. A status alone does not say it: a 429 may be a rate or an empty account, a 400 may be a prompt
 * too long or a balance too low. Three tables, from the surest to the least: words that providers document as a code or
 * a type and that mean one thing under any status; beginnings and parts of messages, where there is no such word; and
 * the status. Words that are said of anything (invalid_request_error) count where there is no status at all.
 *
 * A message may quote what the client sent, so it may never take a credential out of use: messages of quotas are
 * known by how they begin, which is the provider's own text. A context found in a message by mistake costs no more than
 * a call to a larger model. */
#include "llm/llm.h"
#include "llm/text.h"

const char *sg_refusal_name(enum sg_refusal r)
{
        static const char *const names[SG_REFUSAL_N] = {
                [SG_REFUSAL_CLIENT] = "client",
                [SG_REFUSAL_CONTEXT] = "context",
                [SG_REFUSAL_CREDENTIAL] = "credential",
                [SG_REFUSAL_QUOTA] = "quota",
                [SG_REFUSAL_RATE] = "rate",
                [SG_REFUSAL_OVERLOAD] = "overload",
                [SG_REFUSAL_SERVER] = "server",
        };

        return (unsigned)r < SG_REFUSAL_N ? names[r] : "?";
}

struct row {
        struct sg_str text;
        enum sg_refusal is;
};

/* Under any status. */
static const struct row sure[] = {
        {SG_STR("insufficient_quota"), SG_REFUSAL_QUOTA}, /* OpenAI */
        {SG_STR("credit_balance_exhausted"), SG_REFUSAL_QUOTA},
        {SG_STR("organization_usage_limit_exceeded"), SG_REFUSAL_QUOTA},
        {SG_STR("organization_spend_limit_exceeded"), SG_REFUSAL_QUOTA},
        {SG_STR("project_spend_limit_exceeded"), SG_REFUSAL_QUOTA},
        {SG_STR("billing_hard_limit_reached"), SG_REFUSAL_QUOTA},
        {SG_STR("billing_not_active"), SG_REFUSAL_QUOTA},
        {SG_STR("billing_error"), SG_REFUSAL_QUOTA}, /* Anthropic */
        {SG_STR("enforced_spend_limit_reached"), SG_REFUSAL_QUOTA},
        {SG_STR("exceeded_current_quota_error"), SG_REFUSAL_QUOTA}, /* Moonshot */
        {SG_STR("insufficient_balance"), SG_REFUSAL_QUOTA},
        {SG_STR("insufficient_credits"), SG_REFUSAL_QUOTA},
        {SG_STR("payment_required"), SG_REFUSAL_QUOTA}, /* OpenRouter's error_type */
        {SG_STR("context_length_exceeded"), SG_REFUSAL_CONTEXT},
        {SG_STR("model_context_window_exceeded"), SG_REFUSAL_CONTEXT},
        {SG_STR("exceed_context_size_error"), SG_REFUSAL_CONTEXT},   /* llama.cpp */
        {SG_STR("content_filter"), SG_REFUSAL_CLIENT},               /* Azure */
        {SG_STR("responsibleaipolicyviolation"), SG_REFUSAL_CLIENT}, /* its innererror */
        {SG_STR("content_policy_violation"), SG_REFUSAL_CLIENT},
        {SG_STR("moderation_blocked"), SG_REFUSAL_CLIENT},
        {SG_STR("rate_limit_exceeded"), SG_REFUSAL_RATE}, /* Groq: with a 413, too */
        {SG_STR("rate_limit_error"), SG_REFUSAL_RATE},
        {SG_STR("rate_limit_reached_error"), SG_REFUSAL_RATE}, /* Moonshot */
        {SG_STR("overloaded_error"), SG_REFUSAL_OVERLOAD},
        {SG_STR("engine_overloaded_error"), SG_REFUSAL_OVERLOAD}, /* Moonshot: with a 429 */
        {SG_STR("engine_overloaded"), SG_REFUSAL_OVERLOAD},
        {SG_STR("server_overloaded"), SG_REFUSAL_OVERLOAD},
        {SG_STR("provider_overloaded"), SG_REFUSAL_OVERLOAD}, /* OpenRouter's error_type */
        {SG_STR("capacity_exceeded"), SG_REFUSAL_OVERLOAD},   /* Groq */
        {SG_STR("slow_down"), SG_REFUSAL_OVERLOAD},           /* OpenAI: with a 503 */
};

/* Where there is no status: what is no fault of the provider's. */
static const struct row without_status[] = {
        {SG_STR("invalid_request_error"), SG_REFUSAL_CLIENT},
        {SG_STR("invalid_prompt"), SG_REFUSAL_CLIENT},
        {SG_STR("not_found_error"), SG_REFUSAL_CLIENT},
        {SG_STR("model_not_found"), SG_REFUSAL_CLIENT},
        {SG_STR("request_too_large"), SG_REFUSAL_CLIENT},
        {SG_STR("badrequesterror"), SG_REFUSAL_CLIENT}, /* vLLM */
        {SG_STR("notfounderror"), SG_REFUSAL_CLIENT},
        {SG_STR("authentication_error"), SG_REFUSAL_CREDENTIAL},
        {SG_STR("invalid_api_key"), SG_REFUSAL_CREDENTIAL},
        {SG_STR("permission_error"), SG_REFUSAL_CREDENTIAL},
        {SG_STR("invalid_authentication_error"), SG_REFUSAL_CREDENTIAL}, /* Moonshot */
        {SG_STR("incorrect_api_key_error"), SG_REFUSAL_CREDENTIAL},
        {SG_STR("too_many_requests"), SG_REFUSAL_RATE},
};

/* How messages begin. */
static const struct row begins[] = {
        {SG_STR("your credit balance is too low"), SG_REFUSAL_QUOTA}, /* Anthropic: a 400 */
        {SG_STR("you have reached your specified api usage limits"), SG_REFUSAL_QUOTA},
        {SG_STR("you have reached your specified workspace api usage limits"), SG_REFUSAL_QUOTA},
        {SG_STR("you exceeded your current quota"), SG_REFUSAL_QUOTA},
        {SG_STR("insufficient balance"), SG_REFUSAL_QUOTA},                               /* DeepSeek */
        {SG_STR("insufficient credits"), SG_REFUSAL_QUOTA},                               /* OpenRouter */
        {SG_STR("key limit exceeded"), SG_REFUSAL_QUOTA},                                 /* the same: a 403 */
        {SG_STR("you've reached your usage limit for this billing"), SG_REFUSAL_QUOTA},   /* Kimi: a 403 */
        {SG_STR("your chosen model requires moderation"), SG_REFUSAL_CLIENT},             /* OpenRouter: a 403 */
        {SG_STR("input token count + max_tokens parameter must be"), SG_REFUSAL_CONTEXT}, /* Together: a 403 */
};

/* Parts of messages about the client's own fault. */
static const struct sg_str of_context[] = {
        SG_STR("prompt is too long"),                 /* Anthropic */
        SG_STR("exceed context limit"),               /* the same, with max_tokens */
        SG_STR("maximum context length"),             /* OpenAI, vLLM, DeepSeek, OpenRouter */
        SG_STR("exceeds the context window"),         /* OpenAI Responses */
        SG_STR("exceeded model token limit"),         /* Moonshot */
        SG_STR("exceeds the available context size"), /* llama.cpp */
        SG_STR("exceeds maximum input length"),
        SG_STR("reduce the length of the messages"), /* Groq */
};

static bool find(const struct row *rows, size_t n_rows, struct sg_str word, enum sg_refusal *ret)
{
        for (size_t i = 0; word.n && i < n_rows; i++)
                if (sg_str_ieq(rows[i].text, word)) {
                        *ret = rows[i].is;
                        return true;
                }
        return false;
}

static bool find_word(const struct row *rows, size_t n_rows, const struct sg_llm_provider_error *e,
                      enum sg_refusal *ret)
{
        return find(rows, n_rows, sg_str_from(e->reason), ret) || find(rows, n_rows, sg_str_from(e->code), ret) ||
               find(rows, n_rows, sg_str_from(e->type), ret);
}

static bool find_begin(struct sg_str message, enum sg_refusal *ret)
{
        for (size_t i = 0; i < SG_N_ELEMENTS(begins); i++)
                if (sg_str_istarts(message, begins[i].text)) {
                        *ret = begins[i].is;
                        return true;
                }
        return false;
}

static bool is_of_context(struct sg_str message)
{
        for (; message.n; message = sg_str_skip(message, 1))
                for (size_t i = 0; i < SG_N_ELEMENTS(of_context); i++)
                        if (sg_str_istarts(message, of_context[i]))
                                return true;
        return false;
}

/* 408, 409, 424, 425: the provider's own affairs, and its SDKs try them again. 498: Groq's capacity. */
static enum sg_refusal of_status(unsigned status)
{
        switch (status) {
        case 401:
        case 403:
                return SG_REFUSAL_CREDENTIAL;
        case 402:
                return SG_REFUSAL_QUOTA;
        case 408:
        case 409:
        case 424:
        case 425:
                return SG_REFUSAL_SERVER;
        case 429:
                return SG_REFUSAL_RATE;
        case 498:
        case 503:
        case 529:
                return SG_REFUSAL_OVERLOAD;
        default:
                return status >= 400 && status < 500 ? SG_REFUSAL_CLIENT : SG_REFUSAL_SERVER;
        }
}

/* A code that is a status, where the answer's own says nothing: "402", 502. */
static unsigned status_in(const struct sg_llm_provider_error *e)
{
        uint64_t n;

        return sg_str_to_u64(sg_str_from(e->code), &n) == 0 && n >= 400 && n <= 599 ? (unsigned)n : 0;
}

enum sg_refusal sg_llm_refusal_of(unsigned status, const struct sg_llm_provider_error *e)
{
        enum sg_refusal is = SG_REFUSAL_SERVER;

        if (!e)
                return of_status(status);
        if (find_word(sure, SG_N_ELEMENTS(sure), e, &is) || find_begin(sg_str_from(e->message), &is))
                return is;
        if (status < 400)
                status = status_in(e);
        if (status)
                is = of_status(status);
        else
                (void)find_word(without_status, SG_N_ELEMENTS(without_status), e, &is);
        /* by the message alone only where it is the client's fault at all, or nothing else was said */
        if ((is == SG_REFUSAL_CLIENT || status == 0) && is_of_context(sg_str_from(e->message)))
                return SG_REFUSAL_CONTEXT;
        return is;
}
