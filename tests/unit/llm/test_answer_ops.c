#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "llm/llm.h"

static struct sg_llm_answer answer_of(enum sg_operation op, struct sg_str body)
{
        struct sg_llm_fault fault = {0};
        struct sg_llm_answer a;

        if (sg_llm_answer_read(&a, op, body, &fault))
                fail_msg("%s", fault.text);
        return a;
}

static void assert_in_band(enum sg_operation op, struct sg_str body, const char *text, enum sg_refusal refusal)
{
        struct sg_llm_fault fault = {0};
        struct sg_llm_answer a;

        assert_int_equal(sg_llm_answer_read(&a, op, body, &fault), SG_LLM_E_IN_BAND);
        assert_string_equal(fault.text, text);
        if (a.refusal != refusal)
                fail_msg("%s: %s, not %s", text, sg_refusal_name(a.refusal), sg_refusal_name(refusal));
}

static void test_messages(void **state)
{
        struct sg_llm_answer a = answer_of(
                SG_OP_MESSAGES,
                SG_STR("{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-x\","
                       "\"content\":"
                       "[{\"type\":\"text\",\"text\":\"Hi\"}],\"stop_reason\":\"end_turn\",\"stop_sequence\":null,"
                       "\"usage\":{\"input_tokens\":10,\"cache_creation_input_tokens\":5,\"cache_read_input_tokens\":"
                       "100,"
                       "\"cache_creation\":{\"ephemeral_5m_input_tokens\":2,\"ephemeral_1h_input_tokens\":3},"
                       "\"output_tokens\":7,\"service_tier\":\"standard\"}}"));

        assert_string_equal(a.model, "claude-x");
        assert_string_equal(a.finish_reason, "end_turn");
        assert_int_equal(a.usage.certainty, SG_CERTAINTY_MEASURED);
        assert_int_equal(a.usage.input_tokens, 115);
        assert_int_equal(a.usage.cached_tokens, 100);
        assert_int_equal(a.usage.cache_write_tokens, 5);
        assert_int_equal(a.usage.cache_write_1h_tokens, 3);
        assert_int_equal(a.usage.output_tokens, 7);
}

static void test_messages_without_usage_are_guessed(void **state)
{
        struct sg_llm_answer a = answer_of(
                SG_OP_MESSAGES,
                SG_STR("{\"type\":\"message\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"abcd\",\"signature\":"
                       "\"zzzzzzzzzz\"},{\"type\":\"text\",\"text\":\"abcd\"},{\"type\":\"tool_use\",\"input\":{\"a\":"
                       "1}},"
                       "{\"type\":\"tool_use\",\"input\":{}},7]}"));

        assert_int_equal(a.usage.certainty, SG_CERTAINTY_ESTIMATED);
        assert_int_equal(a.usage.output_tokens, 4); /* 15 bytes */
}

static void test_responses(void **state)
{
        struct sg_llm_answer a = answer_of(
                SG_OP_RESPONSES,
                SG_STR("{\"id\":\"resp_1\",\"object\":\"response\",\"status\":\"completed\",\"error\":null,"
                       "\"incomplete_details\":null,\"model\":\"gpt-x\",\"output\":[{\"type\":\"message\",\"content\":["
                       "{\"type\":\"output_text\",\"text\":\"Hi\"}]}],\"usage\":{\"input_tokens\":36,"
                       "\"input_tokens_details\":{\"cached_tokens\":6},\"output_tokens\":87,\"output_tokens_details\":"
                       "{\"reasoning_tokens\":8},\"total_tokens\":123}}"));

        assert_string_equal(a.model, "gpt-x");
        assert_string_equal(a.finish_reason, "completed");
        assert_int_equal(a.usage.input_tokens, 36);
        assert_int_equal(a.usage.cached_tokens, 6);
        assert_int_equal(a.usage.reasoning_tokens, 8);
        a = answer_of(
                SG_OP_RESPONSES,
                SG_STR("{\"status\":\"incomplete\",\"incomplete_details\":{\"reason\":\"max_output_tokens\"},"
                       "\"output\":[{\"type\":\"reasoning\",\"summary\":[{\"text\":\"abcd\"}]},{\"type\":\"message\","
                       "\"content\":[{\"text\":\"abcd\"},{\"refusal\":\"abcd\"}]},{\"type\":\"function_call\","
                       "\"arguments\":\"{\\\"a\\\":1}\"}]}"));
        assert_string_equal(a.finish_reason, "max_output_tokens");
        assert_int_equal(a.usage.certainty, SG_CERTAINTY_ESTIMATED);
        assert_int_equal(a.usage.output_tokens, 6); /* 21 bytes as they stand */
}

static void test_count_tokens_costs_none(void **state)
{
        assert_int_equal(answer_of(SG_OP_COUNT_TOKENS, SG_STR("{\"input_tokens\":2095}")).usage.certainty,
                         SG_CERTAINTY_NONE);
        assert_int_equal(answer_of(SG_OP_COUNT_TOKENS, SG_STR("{\"input_tokens\":2,\"usage\":{\"input_tokens\":2}}"))
                                 .usage.certainty,
                         SG_CERTAINTY_NONE);
}

static void test_images_and_transcriptions(void **state)
{
        struct sg_llm_answer a =
                answer_of(SG_OP_IMAGES,
                          SG_STR("{\"created\":1,\"data\":[{\"b64_json\":\"AA\"}],\"usage\":{\"total_tokens\":100,"
                                 "\"input_tokens\":50,\"output_tokens\":50,\"input_tokens_details\":{\"text_tokens\":"
                                 "10,\"image_tokens\":40}}}"));

        assert_int_equal(a.usage.image_tokens, 40);
        assert_int_equal(answer_of(SG_OP_IMAGES, SG_STR("{\"data\":[{\"url\":\"x\"}]}")).usage.certainty,
                         SG_CERTAINTY_NONE);
        a = answer_of(
                SG_OP_TRANSCRIPTION,
                SG_STR("{\"text\":\"Hi\",\"usage\":{\"type\":\"tokens\",\"input_tokens\":14,\"input_token_details\":"
                       "{\"text_tokens\":0,\"audio_tokens\":14},\"output_tokens\":45,\"total_tokens\":59}}"));
        assert_int_equal(a.usage.audio_input_tokens, 14);
        assert_int_equal(a.usage.output_tokens, 45);
        a = answer_of(SG_OP_TRANSCRIPTION, SG_STR("{\"text\":\"Hi\",\"usage\":{\"type\":\"duration\",\"seconds\":9}}"));
        assert_int_equal(a.usage.certainty, SG_CERTAINTY_NONE);
        assert_true(sg_str_eq(a.usage.raw, SG_STR("{\"type\":\"duration\",\"seconds\":9}")));
}

static void test_errors_inside_a_200(void **state)
{
        assert_in_band(
                SG_OP_MESSAGES,
                SG_STR("{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}"),
                "Overloaded", SG_REFUSAL_OVERLOAD);
        assert_in_band(SG_OP_COUNT_TOKENS,
                       SG_STR("{\"type\":\"error\",\"error\":{\"type\":\"authentication_error\",\"message\":\"no\"}}"),
                       "no", SG_REFUSAL_CREDENTIAL);
        assert_in_band(SG_OP_RESPONSES,
                       SG_STR("{\"status\":\"failed\",\"output\":[{}],\"error\":{\"code\":\"server_error\",\"message\":"
                              "\"failed\"}}"),
                       "failed", SG_REFUSAL_SERVER);
        assert_in_band(
                SG_OP_RESPONSES,
                SG_STR("{\"status\":\"failed\",\"error\":{\"code\":\"rate_limit_exceeded\",\"message\":\"slow\"}}"),
                "slow", SG_REFUSAL_RATE);
        assert_in_band(SG_OP_RESPONSES, SG_STR("{\"status\":\"failed\",\"output\":[]}"),
                       "the provider reported an error without a message", SG_REFUSAL_SERVER);
        assert_in_band(SG_OP_CHAT, SG_STR("{\"error\":{\"code\":402,\"message\":\"Insufficient credits\"}}"),
                       "Insufficient credits", SG_REFUSAL_QUOTA);
        assert_in_band(SG_OP_CHAT, SG_STR("{\"error\":{\"code\":502,\"message\":\"down\"},\"choices\":[]}"), "down",
                       SG_REFUSAL_SERVER);
        assert_in_band(SG_OP_IMAGES, SG_STR("{\"error\":{\"code\":\"moderation_blocked\",\"message\":\"no\"}}"), "no",
                       SG_REFUSAL_CLIENT);
}

static void test_a_failed_response_may_have_cost(void **state)
{
        struct sg_llm_answer a;

        assert_int_equal(sg_llm_answer_read(&a, SG_OP_RESPONSES,
                                            SG_STR("{\"status\":\"failed\",\"error\":{\"message\":\"x\"},\"usage\":"
                                                   "{\"input_tokens\":5,\"output_tokens\":1}}"),
                                            NULL),
                         SG_LLM_E_IN_BAND);
        assert_int_equal(a.usage.certainty, SG_CERTAINTY_MEASURED);
        assert_int_equal(a.usage.input_tokens, 5);
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_messages),
                cmocka_unit_test(test_messages_without_usage_are_guessed),
                cmocka_unit_test(test_responses),
                cmocka_unit_test(test_count_tokens_costs_none),
                cmocka_unit_test(test_images_and_transcriptions),
                cmocka_unit_test(test_errors_inside_a_200),
                cmocka_unit_test(test_a_failed_response_may_have_cost),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
