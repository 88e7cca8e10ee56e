#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "llm/llm.h"

static struct sg_llm_request read_ok(enum sg_operation op, struct sg_str body)
{
        struct sg_llm_request req;
        struct sg_llm_fault fault = {0};

        if (sg_llm_request_read(&req, op, body, false, &fault))
                fail_msg(SG_STR_FMT ": %s", SG_STR_ARG(body), fault.text);
        return req;
}

static void assert_opening(enum sg_operation op, struct sg_str body, struct sg_str want)
{
        struct sg_llm_request req = read_ok(op, body);
        struct sg_str opening = sg_llm_request_opening(&req);

        if (!sg_str_eq(opening, want))
                fail_msg("got <" SG_STR_FMT ">\nwant <" SG_STR_FMT ">", SG_STR_ARG(opening), SG_STR_ARG(want));
}

static void test_messages(void **state)
{
        struct sg_llm_request req = read_ok(
                SG_OP_MESSAGES, SG_STR("{\"model\":\"claude\",\"max_tokens\":1024,\"system\":\"s\",\"messages\":"
                                       "[],\"stream\":true,\"stream_options\":7,\"max_completion_tokens\":{}}"));

        assert_string_equal(req.model_name, "claude");
        assert_int_equal(req.max_tokens, 1024);
        assert_true(req.is_stream);
        assert_true(req.wants_usage);
}

static void test_responses(void **state)
{
        struct sg_llm_request req =
                read_ok(SG_OP_RESPONSES, SG_STR("{\"model\":\"gpt\",\"input\":\"hi\",\"max_output_tokens\":64,"
                                                "\"stream\":true,\"stream_options\":{\"include_obfuscation\":false},"
                                                "\"max_tokens\":\"not read\"}"));

        assert_int_equal(req.max_tokens, 64);
        assert_true(req.is_stream);
        assert_true(req.wants_usage);
        assert_false(read_ok(SG_OP_RESPONSES, SG_STR("{\"model\":\"m\",\"prompt\":{\"id\":\"p\"}}")).is_stream);
}

static void test_the_others(void **state)
{
        assert_true(read_ok(SG_OP_IMAGES, SG_STR("{\"model\":\"gpt-image-1\",\"prompt\":\"x\",\"stream\":true}"))
                            .is_stream);
        assert_true(read_ok(SG_OP_SPEECH, SG_STR("{\"model\":\"tts\",\"input\":\"x\",\"stream_format\":\"sse\"}"))
                            .is_stream);
        assert_false(read_ok(SG_OP_SPEECH, SG_STR("{\"model\":\"tts\",\"stream_format\":\"audio\",\"stream\":true}"))
                             .is_stream);
        assert_false(
                read_ok(SG_OP_COUNT_TOKENS, SG_STR("{\"model\":\"m\",\"messages\":[],\"stream\":true}")).is_stream);
}

static const struct {
        enum sg_operation op;
        struct sg_str body;
        const char *param, *text;
} faults[] = {
        {SG_OP_MESSAGES, SG_STR("{\"model\":\"m\",\"messages\":[]}"), "max_tokens",
         "'max_tokens' is missing: it must be a whole number of at least 1"},
        {SG_OP_MESSAGES, SG_STR("{\"model\":\"m\",\"messages\":[],\"max_tokens\":null}"), "max_tokens",
         "'max_tokens' is null: it must be a whole number of at least 1"},
        {SG_OP_MESSAGES, SG_STR("{\"model\":\"m\",\"messages\":[],\"max_tokens\":0}"), "max_tokens",
         "'max_tokens' is 0: it must be a whole number of at least 1"},
        {SG_OP_MESSAGES, SG_STR("{\"model\":\"m\",\"messages\":[],\"max_tokens\":1.5}"), "max_tokens",
         "'max_tokens' must be a whole number from 0 to 2^53"},
        {SG_OP_MESSAGES, SG_STR("{\"model\":\"m\",\"messages\":[],\"max_tokens\":1e999999999}"), "max_tokens",
         "'max_tokens' must be a whole number from 0 to 2^53"},
        {SG_OP_MESSAGES, SG_STR("{\"model\":\"m\",\"max_tokens\":1,\"messages\":{}}"), "messages",
         "'messages' must be an array, not an object"},
        {SG_OP_COUNT_TOKENS, SG_STR("{\"model\":\"m\"}"), "messages", "'messages' is missing: it must be an array"},
        {SG_OP_RESPONSES, SG_STR("{\"model\":\"m\",\"input\":7}"), "input",
         "'input' must be a string or an array, not a number"},
        {SG_OP_RESPONSES, SG_STR("{\"model\":\"m\",\"stream_options\":[]}"), "stream_options",
         "'stream_options' must be an object, not an array"},
        {SG_OP_RESPONSES, SG_STR("{\"model\":\"m\",\"max_output_tokens\":-1}"), "max_output_tokens",
         "'max_output_tokens' must be a whole number from 0 to 2^53"},
        {SG_OP_SPEECH, SG_STR("{\"model\":\"m\",\"stream_format\":true}"), "stream_format",
         "'stream_format' must be a string, not true"},
        {SG_OP_IMAGES, SG_STR("{\"model\":\"m\",\"stream\":\"yes\"}"), "stream",
         "'stream' must be true or false, not a string"},
};

static void test_each_fault_names_its_field(void **state)
{
        for (size_t i = 0; i < SG_N_ELEMENTS(faults); i++) {
                struct sg_llm_request req;
                struct sg_llm_fault fault = {.param = "unset"};

                assert_int_equal(sg_llm_request_read(&req, faults[i].op, faults[i].body, true, &fault),
                                 SG_LLM_E_BAD_FIELD);
                assert_string_equal(fault.param, faults[i].param);
                assert_string_equal(fault.text, faults[i].text);
        }
}

static void test_every_operation_needs_a_model_but_pass(void **state)
{
        static const struct sg_str body = SG_STR("{\"max_tokens\":1,\"messages\":[]}");
        struct sg_llm_request req;

        for (unsigned op = 0; op < SG_OP_PASS; op++)
                if (op != SG_OP_MODEL_LIST && op != SG_OP_MODEL_GET)
                        assert_int_equal(sg_llm_request_read(&req, (enum sg_operation)op, body, false, NULL),
                                         SG_LLM_E_NO_MODEL);
        assert_int_equal(sg_llm_request_read(&req, SG_OP_PASS, body, false, NULL), 0);
}

#define TURN1                                                                                                          \
        "{\"role\":\"system\",\"content\":[{\"type\":\"text\",\"text\":\"be kind\"}]},"                                \
        "{\"role\":\"user\",\"content\":[{\"type\":\"image\",\"source\":{\"text\":1}},"                                \
        "{\"type\":\"text\",\"text\":\"hello\""
#define MARK ",\"cache_control\":{\"type\":\"ephemeral\"}"

static void test_the_opening_is_the_same_in_all_turns(void **state)
{
        static const struct sg_str want = SG_STR("[" TURN1);

        assert_opening(SG_OP_CHAT, SG_STR("{\"model\":\"m\",\"messages\":[" TURN1 "}]}]}"), want);
        assert_opening(SG_OP_CHAT, SG_STR("{\"messages\":[" TURN1 MARK "}]}],\"model\":\"m\"}"), want);
        assert_opening(SG_OP_MESSAGES,
                       SG_STR("{\"model\":\"m\",\"max_tokens\":5,\"messages\":[" TURN1 "},{\"text\":\"more\"}]},"
                              "{\"role\":\"assistant\",\"content\":\"hi\"},{\"role\":\"user\",\"content\":\"bye\"}]}"),
                       want);
        assert_opening(SG_OP_COUNT_TOKENS, SG_STR("{\"model\":\"m\",\"messages\":[" TURN1 "}]}]}"), want);
}

static void test_the_opening_where_messages_are_short_or_strange(void **state)
{
        assert_opening(SG_OP_CHAT, SG_STR("{\"model\":\"m\",\"messages\":[{\"content\":\"a\",\"role\":\"user\"},{}]}"),
                       SG_STR("[{\"content\":\"a\",\"role\":\"user\""));
        assert_opening(SG_OP_CHAT,
                       SG_STR("{\"model\":\"m\",\"messages\":[{\"role\":\"us\\u0065r\",\"content\":\"a\",\"x\":1}]}"),
                       SG_STR("[{\"role\":\"us\\u0065r\",\"content\":\"a\""));
        assert_opening(SG_OP_CHAT,
                       SG_STR("{\"model\":\"m\",\"messages\":[7,{\"role\":\"system\"},{\"role\":\"tool\"}]}"),
                       SG_STR("[7,{\"role\":\"system\""));
        assert_opening(
                SG_OP_CHAT,
                SG_STR("{\"model\":\"m\",\"messages\":[{\"content\":[]},{\"role\":\"user\",\"role\":\"tool\"}]}"),
                SG_STR("[{\"content\":[]},{\"role\":\"user\""));
        assert_opening(SG_OP_CHAT, SG_STR("{\"model\":\"m\",\"messages\":[]}"), SG_STR(""));
        assert_opening(SG_OP_COMPLETION, SG_STR("{\"model\":\"m\",\"prompt\":\"x\"}"), SG_STR(""));
}

static void test_the_opening_of_responses(void **state)
{
        assert_opening(SG_OP_RESPONSES, SG_STR("{\"model\":\"m\",\"input\":\"hello\",\"instructions\":\"i\"}"),
                       SG_STR("\"hello\""));
        assert_opening(SG_OP_RESPONSES,
                       SG_STR("{\"model\":\"m\",\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_text\","
                              "\"text\":\"a\"}]},{\"type\":\"function_call\"}]}"),
                       SG_STR("[{\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"a\""));
        assert_opening(SG_OP_RESPONSES, SG_STR("{\"model\":\"m\",\"conversation\":\"conv_1\",\"input\":\"next\"}"),
                       SG_STR("\"conv_1\""));
        assert_opening(SG_OP_RESPONSES, SG_STR("{\"model\":\"m\"}"), SG_STR(""));
        assert_opening(SG_OP_RESPONSES, SG_STR("{\"model\":\"m\",\"input\":null}"), SG_STR(""));
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_messages),
                cmocka_unit_test(test_responses),
                cmocka_unit_test(test_the_others),
                cmocka_unit_test(test_each_fault_names_its_field),
                cmocka_unit_test(test_every_operation_needs_a_model_but_pass),
                cmocka_unit_test(test_the_opening_is_the_same_in_all_turns),
                cmocka_unit_test(test_the_opening_where_messages_are_short_or_strange),
                cmocka_unit_test(test_the_opening_of_responses),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
