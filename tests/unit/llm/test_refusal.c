#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "llm/llm.h"

/* Bodies as the providers document them, or as people quote them. */
static const struct {
        unsigned status;
        enum sg_refusal is;
        struct sg_str body;
} cases[] = {
        /* OpenAI */
        {401, SG_REFUSAL_CREDENTIAL,
         SG_STR("{\"error\":{\"message\":\"Incorrect API key "
                "provided\",\"type\":\"invalid_request_error\",\"param\":null,"
                "\"code\":\"invalid_api_key\"}}")},
        {403, SG_REFUSAL_CREDENTIAL,
         SG_STR("{\"error\":{\"message\":\"Country, region, or territory not supported\",\"type\":"
                "\"request_forbidden\",\"param\":null,\"code\":\"unsupported_country_region_territory\"}}")},
        {404, SG_REFUSAL_CLIENT,
         SG_STR("{\"error\":{\"message\":\"The model `x` does not exist\",\"type\":\"invalid_request_error\",\"param\":"
                "null,\"code\":\"model_not_found\"}}")},
        {400, SG_REFUSAL_CONTEXT,
         SG_STR("{\"error\":{\"message\":\"This model's maximum context length is 8192 tokens.\",\"type\":"
                "\"invalid_request_error\",\"param\":\"messages\",\"code\":\"context_length_exceeded\"}}")},
        {400, SG_REFUSAL_CONTEXT,
         SG_STR("{\"error\":{\"message\":\"Your input exceeds the context window of this model.\",\"type\":"
                "\"invalid_request_error\",\"param\":\"input\",\"code\":null}}")},
        {429, SG_REFUSAL_RATE,
         SG_STR("{\"error\":{\"message\":\"Rate limit reached for gpt-x\",\"type\":\"tokens\",\"param\":null,\"code\":"
                "\"rate_limit_exceeded\"}}")},
        {429, SG_REFUSAL_QUOTA,
         SG_STR("{\"error\":{\"message\":\"You exceeded your current quota, please check your plan and billing "
                "details.\",\"type\":\"insufficient_quota\",\"param\":null,\"code\":\"insufficient_quota\"}}")},
        {429, SG_REFUSAL_QUOTA,
         SG_STR("{\"error\":{\"message\":\"no credits\",\"type\":\"insufficient_quota\",\"code\":"
                "\"credit_balance_exhausted\"}}")},
        {429, SG_REFUSAL_QUOTA,
         SG_STR("{\"error\":{\"message\":\"limit\",\"type\":\"billing\",\"code\":\"project_spend_limit_exceeded\"}}")},
        {400, SG_REFUSAL_QUOTA,
         SG_STR("{\"error\":{\"message\":\"Billing hard limit has been "
                "reached\",\"type\":\"image_generation_user_error\","
                "\"param\":null,\"code\":\"billing_hard_limit_reached\"}}")},
        {503, SG_REFUSAL_OVERLOAD, SG_STR("{\"error\":{\"message\":\"Slow down\",\"code\":\"slow_down\"}}")},
        {500, SG_REFUSAL_SERVER,
         SG_STR("{\"error\":{\"message\":\"The server had an error\",\"type\":\"server_error\"}}")},
        {400, SG_REFUSAL_CLIENT,
         SG_STR("{\"error\":{\"message\":\"rejected\",\"type\":\"image_generation_user_error\",\"code\":"
                "\"moderation_blocked\"}}")},
        {409, SG_REFUSAL_SERVER, SG_STR("{\"error\":{\"message\":\"lock\",\"type\":\"invalid_request_error\"}}")},
        {422, SG_REFUSAL_CLIENT, SG_STR("{\"detail\":[{\"loc\":[\"body\"],\"msg\":\"field required\"}]}")},
        /* Anthropic */
        {400, SG_REFUSAL_CONTEXT,
         SG_STR("{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"prompt is too long: "
                "208310 tokens > 200000 maximum\"},\"request_id\":\"req_1\"}")},
        {400, SG_REFUSAL_CONTEXT,
         SG_STR("{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"input length and "
                "`max_tokens` exceed context limit: 190000 + 20000 > 200000\"}}")},
        {400, SG_REFUSAL_QUOTA,
         SG_STR("{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"Your credit balance "
                "is "
                "too low to access the Anthropic API.\"}}")},
        {400, SG_REFUSAL_QUOTA,
         SG_STR("{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"You have reached your "
                "specified API usage limits. You will regain access on 2026-12-01.\"}}")},
        {402, SG_REFUSAL_QUOTA,
         SG_STR("{\"type\":\"error\",\"error\":{\"type\":\"billing_error\",\"message\":\"x\"}}")},
        {403, SG_REFUSAL_CREDENTIAL,
         SG_STR("{\"type\":\"error\",\"error\":{\"type\":\"permission_error\",\"message\":\"x\"}}")},
        {413, SG_REFUSAL_CLIENT,
         SG_STR("{\"type\":\"error\",\"error\":{\"type\":\"request_too_large\",\"message\":\"Request exceeds the "
                "maximum "
                "size\"}}")},
        {429, SG_REFUSAL_RATE,
         SG_STR("{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"x\"}}")},
        {429, SG_REFUSAL_QUOTA,
         SG_STR("{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"x\",\"details\":"
                "{\"error_code\":\"enforced_spend_limit_reached\"}}}")},
        {500, SG_REFUSAL_SERVER, SG_STR("{\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"x\"}}")},
        {529, SG_REFUSAL_OVERLOAD,
         SG_STR("{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}")},
        /* Azure */
        {400, SG_REFUSAL_CLIENT,
         SG_STR("{\"error\":{\"message\":\"The response was filtered\",\"type\":null,\"param\":\"prompt\",\"code\":"
                "\"content_filter\",\"status\":400,\"innererror\":{\"code\":\"ResponsibleAIPolicyViolation\"}}}")},
        {401, SG_REFUSAL_CREDENTIAL,
         SG_STR("{\"statusCode\":401,\"message\":\"Unauthorized. Access token is missing, invalid\"}")},
        {404, SG_REFUSAL_CLIENT,
         SG_STR("{\"error\":{\"code\":\"DeploymentNotFound\",\"message\":\"The API deployment does not exist\"}}")},
        {429, SG_REFUSAL_RATE,
         SG_STR("{\"error\":{\"code\":\"429\",\"message\":\"Requests have exceeded call rate limit\"}}")},
        /* DeepSeek */
        {402, SG_REFUSAL_QUOTA,
         SG_STR("{\"error\":{\"message\":\"Insufficient Balance\",\"type\":\"unknown_error\",\"param\":null,\"code\":"
                "\"invalid_request_error\"}}")},
        {400, SG_REFUSAL_CONTEXT,
         SG_STR("{\"error\":{\"message\":\"This model's maximum context length is 131072 tokens. However, you "
                "requested "
                "140000 tokens\",\"type\":\"invalid_request_error\",\"code\":\"invalid_request_error\"}}")},
        /* Moonshot */
        {401, SG_REFUSAL_CREDENTIAL,
         SG_STR("{\"error\":{\"message\":\"Invalid Authentication\",\"type\":\"invalid_authentication_error\"}}")},
        {429, SG_REFUSAL_QUOTA, SG_STR("{\"error\":{\"message\":\"x\",\"type\":\"exceeded_current_quota_error\"}}")},
        {429, SG_REFUSAL_OVERLOAD, SG_STR("{\"error\":{\"message\":\"x\",\"type\":\"engine_overloaded_error\"}}")},
        {429, SG_REFUSAL_RATE, SG_STR("{\"error\":{\"message\":\"x\",\"type\":\"rate_limit_reached_error\"}}")},
        {400, SG_REFUSAL_CONTEXT,
         SG_STR("{\"error\":{\"message\":\"Invalid request: Your request exceeded model token limit: 8192\",\"type\":"
                "\"invalid_request_error\"}}")},
        /* OpenRouter */
        {402, SG_REFUSAL_QUOTA,
         SG_STR("{\"error\":{\"code\":402,\"message\":\"This request requires more credits\"}}")},
        {403, SG_REFUSAL_QUOTA,
         SG_STR("{\"error\":{\"code\":403,\"message\":\"Key limit exceeded (monthly limit)\"}}")},
        {403, SG_REFUSAL_CLIENT,
         SG_STR("{\"error\":{\"code\":403,\"message\":\"Your chosen model requires moderation and your input was "
                "flagged\",\"metadata\":{\"reasons\":[\"x\"],\"flagged_input\":\"y\"}}}")},
        {502, SG_REFUSAL_SERVER, SG_STR("{\"error\":{\"code\":502,\"message\":\"Provider returned error\"}}")},
        {502, SG_REFUSAL_OVERLOAD,
         SG_STR("{\"error\":{\"code\":502,\"message\":\"x\",\"metadata\":{\"error_type\":\"provider_overloaded\"}}}")},
        /* Groq, vLLM, llama.cpp, Together, Ollama, Google */
        {413, SG_REFUSAL_RATE,
         SG_STR("{\"error\":{\"message\":\"Request too large for model: TPM limit 6000\",\"type\":\"tokens\",\"code\":"
                "\"rate_limit_exceeded\"}}")},
        {498, SG_REFUSAL_OVERLOAD, SG_STR("{\"error\":{\"message\":\"x\",\"code\":\"capacity_exceeded\"}}")},
        {400, SG_REFUSAL_CONTEXT,
         SG_STR("{\"object\":\"error\",\"message\":\"This model's maximum context length is 4096 tokens.\",\"type\":"
                "\"BadRequestError\",\"param\":null,\"code\":400}")},
        {400, SG_REFUSAL_CONTEXT,
         SG_STR("{\"error\":{\"code\":400,\"message\":\"x\",\"type\":\"exceed_context_size_error\",\"n_ctx\":4096}}")},
        {403, SG_REFUSAL_CONTEXT,
         SG_STR("{\"error\":{\"message\":\"Input token count + max_tokens parameter must be less than the context "
                "length "
                "of the model being queried\"}}")},
        {404, SG_REFUSAL_CLIENT, SG_STR("{\"error\":\"model 'llama9' not found\"}")},
        {429, SG_REFUSAL_RATE,
         SG_STR("[{\"error\":{\"code\":429,\"message\":\"x\",\"status\":\"RESOURCE_EXHAUSTED\"}}]")},
};

static void test_what_providers_say(void **state)
{
        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                struct sg_llm_provider_error e;
                enum sg_refusal is;

                if (!sg_llm_error_read(&e, cases[i].body))
                        fail_msg("not read: " SG_STR_FMT, SG_STR_ARG(cases[i].body));
                is = sg_llm_refusal_of(cases[i].status, &e);
                if (is != cases[i].is)
                        fail_msg("%s, not %s: %u " SG_STR_FMT, sg_refusal_name(is), sg_refusal_name(cases[i].is),
                                 cases[i].status, SG_STR_ARG(cases[i].body));
        }
}

static void test_a_status_alone(void **state)
{
        static const struct {
                unsigned status;
                enum sg_refusal is;
        } rows[] = {
                {400, SG_REFUSAL_CLIENT},     {401, SG_REFUSAL_CREDENTIAL}, {402, SG_REFUSAL_QUOTA},
                {403, SG_REFUSAL_CREDENTIAL}, {404, SG_REFUSAL_CLIENT},     {405, SG_REFUSAL_CLIENT},
                {408, SG_REFUSAL_SERVER},     {409, SG_REFUSAL_SERVER},     {413, SG_REFUSAL_CLIENT},
                {415, SG_REFUSAL_CLIENT},     {422, SG_REFUSAL_CLIENT},     {424, SG_REFUSAL_SERVER},
                {425, SG_REFUSAL_SERVER},     {429, SG_REFUSAL_RATE},       {451, SG_REFUSAL_CLIENT},
                {498, SG_REFUSAL_OVERLOAD},   {500, SG_REFUSAL_SERVER},     {502, SG_REFUSAL_SERVER},
                {503, SG_REFUSAL_OVERLOAD},   {504, SG_REFUSAL_SERVER},     {520, SG_REFUSAL_SERVER},
                {529, SG_REFUSAL_OVERLOAD},   {0, SG_REFUSAL_SERVER},
        };
        struct sg_llm_provider_error nothing = {0};

        for (size_t i = 0; i < SG_N_ELEMENTS(rows); i++) {
                assert_int_equal(sg_llm_refusal_of(rows[i].status, NULL), rows[i].is);
                assert_int_equal(sg_llm_refusal_of(rows[i].status, &nothing), rows[i].is);
        }
}

static void test_inside_a_200_the_words_count(void **state)
{
        static const struct {
                struct sg_llm_provider_error e;
                enum sg_refusal is;
        } rows[] = {
                {{.type = "invalid_request_error"}, SG_REFUSAL_CLIENT},
                {{.type = "authentication_error"}, SG_REFUSAL_CREDENTIAL},
                {{.type = "api_error"}, SG_REFUSAL_SERVER},
                {{.code = "invalid_prompt"}, SG_REFUSAL_CLIENT},
                {{.code = "429"}, SG_REFUSAL_RATE},
                {{.code = "503"}, SG_REFUSAL_OVERLOAD},
                {{.code = "399"}, SG_REFUSAL_SERVER},
                {{.message = "This model's maximum context length is 1"}, SG_REFUSAL_CONTEXT},
                {{.code = "server_error", .message = "x"}, SG_REFUSAL_SERVER},
        };

        for (size_t i = 0; i < SG_N_ELEMENTS(rows); i++)
                assert_int_equal(sg_llm_refusal_of(0, &rows[i].e), rows[i].is);
}

/* A client that has its words quoted takes no credential out of use. */
static void test_quoted_words_condemn_nobody(void **state)
{
        struct sg_llm_provider_error e = {
                .type = "invalid_request_error",
                .message = "Invalid value: 'Your credit balance is too low; you exceeded your current quota'"};

        assert_int_equal(sg_llm_refusal_of(400, &e), SG_REFUSAL_CLIENT);
        strcpy(e.message, "server: maximum context length");
        assert_int_equal(sg_llm_refusal_of(500, &e), SG_REFUSAL_SERVER);
        assert_int_equal(sg_llm_refusal_of(401, &e), SG_REFUSAL_CREDENTIAL);
}

static void test_names(void **state)
{
        assert_string_equal(sg_refusal_name(SG_REFUSAL_QUOTA), "quota");
        for (int i = 0; i < SG_REFUSAL_N; i++)
                assert_string_not_equal(sg_refusal_name((enum sg_refusal)i), "?");
        assert_string_equal(sg_refusal_name(SG_REFUSAL_N), "?");
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_providers_say),
                cmocka_unit_test(test_a_status_alone),
                cmocka_unit_test(test_inside_a_200_the_words_count),
                cmocka_unit_test(test_quoted_words_condemn_nobody),
                cmocka_unit_test(test_names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
