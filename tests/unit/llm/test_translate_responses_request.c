#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "llm/translate.h"

static struct sg_translate_notes notes;
static struct sg_llm_fault fault;
static struct sg_buf out;

static int translate(const char *body)
{
        const struct sg_translate_options options = {.upstream_model = SG_STR("up")};

        notes = (struct sg_translate_notes){0};
        fault = (struct sg_llm_fault){0};
        sg_buf_done(&out);
        sg_buf_init(&out, 1u << 20);
        return sg_responses_request_to_chat(&out, sg_str_from(body), &options, &notes, &fault);
}

static void assert_becomes(const char *body, const char *want)
{
        int r = translate(body);

        if (r)
                fail_msg("%d: %s (%s)", r, fault.text, fault.param);
        assert_int_equal(sg_json_check(sg_buf_view(&out), NULL, NULL), 0);
        if (!sg_str_eq(sg_buf_view(&out), sg_str_from(want)))
                fail_msg("got  <" SG_STR_FMT ">\nwant <%s>", SG_STR_ARG(sg_buf_view(&out)), want);
}

/* With only these messages, or only these other members. */
#define MESSAGES(list)               "{\"model\":\"up\",\"messages\":[" list "]}"
#define INPUT(items)                 "{\"model\":\"m\",\"input\":[" items "]}"
#define assert_messages(items, list) assert_becomes(INPUT(items), MESSAGES(list))
#define WITH(members)                "{\"model\":\"m\",\"input\":\"hi\"," members "}"
#define assert_members(members, want)                                                                                  \
        assert_becomes(WITH(members),                                                                                  \
                       "{\"model\":\"up\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]" want "}")

static void assert_refused(const char *body, const char *param, const char *words)
{
        assert_int_equal(translate(body), SG_LLM_E_BAD_FIELD);
        assert_string_equal(fault.param, param);
        if (!strstr(fault.text, words))
                fail_msg("<%s> is not in <%s>", words, fault.text);
}

static void test_text_is_a_users_message_after_the_instructions(void **state)
{
        assert_becomes("{\"input\":\"hi \\u00e9\\n\",\"model\":\"m\",\"instructions\":\"be \\\"brief\\\"\"}",
                       MESSAGES("{\"role\":\"system\",\"content\":\"be \\\"brief\\\"\"},"
                                "{\"role\":\"user\",\"content\":\"hi \\u00e9\\n\"}"));
}

static void test_a_null_member_counts_as_absent(void **state)
{
        assert_members("\"instructions\":null,\"tools\":null,\"store\":null,\"previous_response_id\":null,"
                       "\"temperature\":null,\"text\":null,\"reasoning\":null,\"prompt_cache_key\":null",
                       "");
        assert_string_equal(notes.dropped, "");
}

static void test_messages_of_all_roles(void **state)
{
        assert_messages(
                "{\"role\":\"developer\",\"content\":\"d\"},{\"role\":\"system\",\"content\":\"s\"},"
                "{\"type\":\"message\",\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"u\"}]},"
                "{\"role\":\"assistant\",\"content\":\"a\"}",
                "{\"role\":\"system\",\"content\":\"d\"},{\"role\":\"system\",\"content\":\"s\"},"
                "{\"role\":\"user\",\"content\":\"u\"},{\"role\":\"assistant\",\"content\":\"a\"}");
}

static void test_parts_of_a_users_message(void **state)
{
        assert_messages(
                "{\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"see\"},"
                "{\"type\":\"input_image\",\"image_url\":\"data:image/png;base64,AA\\/=\",\"detail\":\"low\"},"
                "{\"type\":\"input_image\",\"image_url\":\"https://a/b.png\"},"
                "{\"type\":\"input_file\",\"filename\":\"f.pdf\",\"file_data\":\"data:x\"},"
                "{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"QQ==\",\"format\":\"wav\"}}]}",
                "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"see\"},"
                "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,AA\\/=\",\"detail\":\"low\"}},"
                "{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://a/b.png\"}},"
                "{\"type\":\"file\",\"file\":{\"file_data\":\"data:x\",\"filename\":\"f.pdf\"}},"
                "{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"QQ==\",\"format\":\"wav\"}}]}");
}

#define CALL(id)                                                                                                       \
        "{\"type\":\"function_call\",\"id\":\"fc_" id "\",\"call_id\":\"" id                                           \
        "\",\"name\":\"f\",\"arguments\":\"{\\\"n\\\": 1e400}\"}"
#define CHAT_CALL(id)                                                                                                  \
        "{\"id\":\"" id "\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"n\\\": 1e400}\"}}"
#define RESULT(id, text)      "{\"type\":\"function_call_output\",\"call_id\":\"" id "\",\"output\":" text "}"
#define CHAT_RESULT(id, text) "{\"role\":\"tool\",\"content\":" text ",\"tool_call_id\":\"" id "\"}"
#define SAYS(text)                                                                                                     \
        "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"status\":\"completed\",\"content\":[{"        \
        "\"type\":\"output_text\",\"text\":\"" text "\",\"annotations\":[],\"logprobs\":[]}]}"
#define USER(text) "{\"role\":\"user\",\"content\":\"" text "\"}"

static void test_what_the_model_said_and_called_in_one_turn_is_one_message(void **state)
{
        assert_messages(
                USER("q") "," SAYS("I look") "," CALL("a") "," CALL("b") "," RESULT("b", "\"2\"") "," RESULT(
                        "a", "\"1\"") "," SAYS("done"),
                USER("q") ",{\"role\":\"assistant\",\"content\":\"I look\",\"tool_calls\":[" CHAT_CALL(
                        "a") "," CHAT_CALL("b") "]}," CHAT_RESULT("b", "\"2\"") "," CHAT_RESULT("a",
                                                                                                "\"1\"") ",{\"role\":"
                                                                                                         "\"assistant\""
                                                                                                         ",\"content\":"
                                                                                                         "\"done\"}");
        assert_messages(CALL("a") "," SAYS("I look") "," RESULT("a", "\"1\""),
                        "{\"role\":\"assistant\",\"content\":\"I look\",\"tool_calls\":[" CHAT_CALL(
                                "a") "]}," CHAT_RESULT("a", "\"1\""));
        assert_messages(CALL("a") "," RESULT("a", "\"1\"") "," CALL("b") "," RESULT("b", "\"2\""),
                        "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[" CHAT_CALL("a") "]}," CHAT_RESULT(
                                "a", "\"1\"") ",{\"role\":\"assistant\",\"content\":null,\"tool_calls\":"
                                              "[" CHAT_CALL("b") "]}," CHAT_RESULT("b", "\"2\""));
}

static void test_two_messages_of_the_model_stay_two(void **state)
{
        assert_messages(SAYS("one") "," SAYS("two"),
                        "{\"role\":\"assistant\",\"content\":\"one\"},{\"role\":\"assistant\",\"content\":\"two\"}");
}

static void test_texts_of_one_message_are_joined_and_a_refusal_has_its_own_member(void **state)
{
        assert_messages("{\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"text\":\"a\\\\\"},"
                        "{\"type\":\"output_text\",\"text\":\"b\"}]}",
                        "{\"role\":\"assistant\",\"content\":\"a\\\\b\"}");
        assert_messages("{\"role\":\"assistant\",\"content\":[{\"type\":\"refusal\",\"refusal\":\"no\"}]}",
                        "{\"role\":\"assistant\",\"content\":null,\"refusal\":\"no\"}");
        assert_messages("{\"role\":\"assistant\",\"content\":\"\"}", "{\"role\":\"assistant\",\"content\":\"\"}");
}

static void test_results_may_have_parts(void **state)
{
        assert_messages(
                CALL("a") "," RESULT(
                        "a",
                        "[{\"type\":\"input_text\",\"text\":\"x\"},{\"type\":\"input_image\",\"image_url\":\"u\"}]"),
                "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[" CHAT_CALL("a") "]}," CHAT_RESULT(
                        "a",
                        "[{\"type\":\"text\",\"text\":\"x\"},{\"type\":\"image_url\",\"image_url\":{\"url\":\"u\"}}]"));
}

static void test_reasoning_comes_back_where_it_belongs(void **state)
{
        assert_messages(
                "{\"type\":\"reasoning\",\"id\":\"rs_1\",\"summary\":[],\"content\":[{\"type\":\"reasoning_text\","
                "\"text\":\"hm\"}]}," CALL("a") "," RESULT("a", "\"1\""),
                "{\"role\":\"assistant\",\"content\":null,\"reasoning_content\":\"hm\",\"tool_calls\":[" CHAT_CALL(
                        "a") "]}," CHAT_RESULT("a", "\"1\""));
        assert_string_equal(notes.dropped, "");
        assert_messages("{\"type\":\"reasoning\",\"content\":[{\"type\":\"reasoning_text\",\"text\":\"1\"}]}," SAYS(
                                "a") ",{\"type\":\"reasoning\",\"content\":[{\"type\":\"reasoning_text\",\"text\":"
                                     "\"2\"}]}," SAYS("b"),
                        "{\"role\":\"assistant\",\"content\":\"a\",\"reasoning_content\":\"1\"},{\"role\":"
                        "\"assistant\",\"content\":\"b\",\"reasoning_content\":\"2\"}");
}

static void test_signed_blocks_come_back_byte_for_byte(void **state)
{
        assert_messages(
                "{\"type\":\"reasoning\",\"summary\":[],\"encrypted_content\":\"[{\\\"type\\\":\\\"thinking\\\","
                "\\\"thinking\\\":\\\"h\\\\u00e9\\\",\\\"signature\\\":\\\"s==\\\"}]\"}," SAYS("a"),
                "{\"role\":\"assistant\",\"content\":\"a\",\"thinking_blocks\":[{\"type\":\"thinking\",\"thinking\":"
                "\"h\\u00e9\",\"signature\":\"s==\"}]}");
        assert_string_equal(notes.dropped, "");
}

static void test_reasoning_sealed_elsewhere_is_dropped_by_name(void **state)
{
        assert_messages("{\"type\":\"reasoning\",\"summary\":[{\"type\":\"summary_text\",\"text\":\"s\"}],\"encrypted_"
                        "content\":\"gAAAAB\"}," SAYS("a"),
                        "{\"role\":\"assistant\",\"content\":\"a\"}");
        assert_string_equal(notes.dropped, "encrypted_content, summary");
        assert_messages("{\"type\":\"reasoning\",\"encrypted_content\":\"[{\\\"type\\\":\\\"text\\\"}]\"}," SAYS("a"),
                        "{\"role\":\"assistant\",\"content\":\"a\"}");
        assert_string_equal(notes.dropped, "encrypted_content");
}

static void test_tools_and_the_choice_of_one(void **state)
{
        assert_members("\"tools\":[{\"type\":\"function\",\"name\":\"f\",\"description\":\"d\",\"strict\":true,"
                       "\"parameters\":{ \"x\" : 1e999 }},"
                       "{\"type\":\"function\",\"name\":\"g\",\"parameters\":null,\"strict\":null}],"
                       "\"tool_choice\":{\"type\":\"function\",\"name\":\"g\"},\"parallel_tool_calls\":false",
                       ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"d\","
                       "\"parameters\":{ \"x\" : 1e999 },\"strict\":true}},"
                       "{\"type\":\"function\",\"function\":{\"name\":\"g\"}}],\"tool_choice\":{\"type\":\"function\","
                       "\"function\":{\"name\":\"g\"}},\"parallel_tool_calls\":false");
        assert_members("\"tool_choice\":\"required\",\"tools\":[]", ",\"tool_choice\":\"required\"");
}

static void test_formats_and_how_much_to_say(void **state)
{
        assert_members(
                "\"text\":{\"format\":{\"type\":\"json_schema\",\"name\":\"n\",\"schema\":{\"type\":\"object\"},"
                "\"strict\":true},\"verbosity\":\"low\"},\"reasoning\":{\"effort\":\"high\",\"summary\":\"auto\"}",
                ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"n\",\"schema\":{\"type\":"
                "\"object\"},\"strict\":true}},\"verbosity\":\"low\",\"reasoning_effort\":\"high\"");
        assert_string_equal(notes.dropped, "reasoning.summary");
        assert_members("\"text\":{\"format\":{\"type\":\"json_object\"}}",
                       ",\"response_format\":{\"type\":\"json_object\"}");
        assert_members("\"text\":{\"format\":{\"type\":\"text\"}}", "");
}

static void test_members_that_mean_the_same(void **state)
{
        assert_members(
                "\"top_p\":0.5,\"temperature\":1,\"max_output_tokens\":12,\"user\":\"u\",\"safety_identifier\":\"s\","
                "\"metadata\":{\"a\":\"b\"},\"store\":false,\"background\":false,\"service_tier\":\"auto\"",
                ",\"max_tokens\":12,\"temperature\":1,\"top_p\":0.5,\"user\":\"u\",\"safety_identifier\":\"s\"");
        assert_string_equal(notes.dropped, "");
        assert_members("\"service_tier\":\"flex\"", ",\"service_tier\":\"flex\"");
        assert_members("\"stream\":true", ",\"stream\":true,\"stream_options\":{\"include_usage\":true}");
        assert_members("\"stream\":false", "");
}

static void test_the_limit_has_the_name_that_the_model_knows(void **state)
{
        const struct sg_translate_options options = {.upstream_model = SG_STR("gpt-5")};

        sg_buf_clear(&out);
        assert_int_equal(
                sg_responses_request_to_chat(&out, SG_STR(WITH("\"max_output_tokens\":12")), &options, &notes, &fault),
                0);
        assert_true(sg_str_ends(sg_buf_view(&out), SG_STR(",\"max_completion_tokens\":12}")));
}

static void test_log_probabilities_by_either_way(void **state)
{
        assert_members("\"include\":[\"message.output_text.logprobs\",\"reasoning.encrypted_content\"]",
                       ",\"logprobs\":true");
        assert_members("\"top_logprobs\":3", ",\"logprobs\":true,\"top_logprobs\":3");
        assert_members("\"top_logprobs\":0", "");
}

static void test_advice_is_dropped_by_name(void **state)
{
        assert_members(
                "\"prompt_cache_key\":\"k\",\"truncation\":\"auto\",\"stream_options\":{\"include_obfuscation\":true}",
                "");
        assert_string_equal(notes.dropped, "prompt_cache_key, truncation, stream_options");
}

static void test_what_a_provider_would_have_to_keep_is_refused_with_advice(void **state)
{
        assert_refused(WITH("\"previous_response_id\":\"resp_1\""), "previous_response_id",
                       "send the whole conversation in 'input'");
        assert_refused(WITH("\"conversation\":\"conv_1\""), "conversation", "send the whole conversation");
        assert_refused(WITH("\"prompt\":{\"id\":\"p\"}"), "prompt", "keeps none");
        assert_refused(WITH("\"background\":true"), "background", "cannot be true");
        assert_refused(WITH("\"store\":true"), "store", "keeps no answers");
        assert_refused(INPUT("{\"type\":\"item_reference\",\"id\":\"msg_1\"}"), "input.0", "send the item itself");
        assert_refused(INPUT("{\"id\":\"msg_1\"}"), "input.0", "send the item itself");
}

static void test_what_chat_has_no_words_for_is_refused_by_its_path(void **state)
{
        assert_refused(WITH("\"tools\":[{\"type\":\"function\",\"name\":\"f\"},{\"type\":\"web_search\"}]"),
                       "tools.1.type", "must be 'function'");
        assert_refused(WITH("\"tools\":[{\"type\":\"function\",\"name\":\"f\",\"defer_loading\":true}]"),
                       "tools.0.defer_loading", "cannot be expressed");
        assert_refused(WITH("\"tool_choice\":{\"type\":\"web_search\"}"), "tool_choice.type", "cannot be expressed");
        assert_refused(WITH("\"text\":{\"format\":{\"type\":\"grammar\"}}"), "text.format.type", "cannot be expressed");
        assert_refused(WITH("\"context_management\":[1]"), "context_management", "cannot be expressed");
        assert_refused(WITH("\"include\":[\"all\"]"), "include.0", "cannot be expressed");
        assert_refused(INPUT(USER("q") ",{\"type\":\"computer_call\",\"id\":\"x\"}"), "input.1.type",
                       "cannot be expressed");
        assert_refused(INPUT("{\"role\":\"user\",\"content\":[{\"type\":\"input_image\",\"file_id\":\"f\"}]}"),
                       "input.0.content.0.file_id", "cannot be expressed");
        assert_refused(INPUT("{\"role\":\"system\",\"content\":[{\"type\":\"input_image\",\"image_url\":\"f\"}]}"),
                       "input.0.content.0.type", "cannot be expressed");
}

static void test_bad_input_is_named(void **state)
{
        assert_refused("{\"model\":\"m\"}", "input", "is missing");
        assert_refused("{\"model\":\"m\",\"input\":3}", "input", "must be a string or an array");
        assert_refused("{\"model\":\"m\",\"input\":\"a\",\"input\":\"b\"}", "input", "twice");
        assert_refused("{\"model\":\"m\",\"input\":null,\"input\":\"b\"}", "input", "twice");
        assert_refused(INPUT("3"), "input.0", "must be an object");
        assert_refused(INPUT("{\"role\":\"tool\",\"content\":\"x\"}"), "input.0.role", "must be 'user'");
        assert_refused(INPUT("{\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":1}]}"),
                       "input.0.content.0.text", "must be a string");
        assert_refused(INPUT("{\"role\":\"user\",\"content\":[{\"text\":\"x\"}]}"), "input.0.content.0.type",
                       "is missing");
        assert_refused(INPUT("{\"role\":\"assistant\",\"content\":[{\"type\":\"input_text\",\"text\":\"x\"}]}"),
                       "input.0.content.0.type", "output_text");
        assert_refused(INPUT("{\"role\":\"user\",\"content\":[{\"type\":\"input_file\",\"filename\":\"x\"}]}"),
                       "input.0.content.0", "neither");
        assert_refused(WITH("\"instructions\":[1]"), "instructions", "must be a string");
        assert_refused(WITH("\"tools\":[{\"name\":\"f\"}]"), "tools.0.type", "is missing");
        assert_refused(WITH("\"text\":{\"format\":{\"type\":\"json_schema\",\"name\":\"n\"}}"), "text.format.schema",
                       "is missing");
}

static void test_calls_and_results_must_meet(void **state)
{
        assert_refused(INPUT(USER("q") "," RESULT("a", "\"1\"")), "input.1.call_id", "names no tool call");
        assert_refused(INPUT(CALL("a") "," RESULT("a", "\"1\"") "," RESULT("a", "\"1\"")), "input.2.call_id",
                       "has its result already");
        assert_refused(INPUT(CALL("a") "," CALL("a")), "input.1.call_id", "two calls");
        assert_refused(INPUT(USER("q") "," CALL("a") "," USER("q")), "input.1",
                       "('a') whose function_call_output does not follow");
        assert_refused(INPUT(CALL("a") "," CALL("b") "," RESULT("a", "\"1\"") "," SAYS("x")), "input.0", "('b')");
        assert_refused(INPUT(CALL("a")), "input.0", "('a')");
}

static void test_a_small_output_is_full(void **state)
{
        const struct sg_translate_options options = {.upstream_model = SG_STR("up")};
        const char *body = INPUT(SAYS("some text that takes room") "," USER("q"));
        struct sg_buf small;
        int r = SG_BUF_E_FULL;

        for (size_t max = 0; r; max++) {
                assert_true(max < 4096);
                sg_buf_init(&small, max);
                r = sg_responses_request_to_chat(&small, sg_str_from(body), &options, &notes, &fault);
                assert_true(r == 0 || r == SG_BUF_E_FULL);
                sg_buf_done(&small);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_text_is_a_users_message_after_the_instructions),
                cmocka_unit_test(test_a_null_member_counts_as_absent),
                cmocka_unit_test(test_messages_of_all_roles),
                cmocka_unit_test(test_parts_of_a_users_message),
                cmocka_unit_test(test_what_the_model_said_and_called_in_one_turn_is_one_message),
                cmocka_unit_test(test_two_messages_of_the_model_stay_two),
                cmocka_unit_test(test_texts_of_one_message_are_joined_and_a_refusal_has_its_own_member),
                cmocka_unit_test(test_results_may_have_parts),
                cmocka_unit_test(test_reasoning_comes_back_where_it_belongs),
                cmocka_unit_test(test_signed_blocks_come_back_byte_for_byte),
                cmocka_unit_test(test_reasoning_sealed_elsewhere_is_dropped_by_name),
                cmocka_unit_test(test_tools_and_the_choice_of_one),
                cmocka_unit_test(test_formats_and_how_much_to_say),
                cmocka_unit_test(test_members_that_mean_the_same),
                cmocka_unit_test(test_the_limit_has_the_name_that_the_model_knows),
                cmocka_unit_test(test_log_probabilities_by_either_way),
                cmocka_unit_test(test_advice_is_dropped_by_name),
                cmocka_unit_test(test_what_a_provider_would_have_to_keep_is_refused_with_advice),
                cmocka_unit_test(test_what_chat_has_no_words_for_is_refused_by_its_path),
                cmocka_unit_test(test_bad_input_is_named),
                cmocka_unit_test(test_calls_and_results_must_meet),
                cmocka_unit_test(test_a_small_output_is_full),
        };
        int r = cmocka_run_group_tests(tests, NULL, NULL);

        sg_buf_done(&out);
        return r;
}
