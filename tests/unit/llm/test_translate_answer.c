#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "llm/translate.h"

#define OUT_BYTES_MAX 65536u

static const struct sg_translate_exchange exchange = {
        .model = SG_STR("asked-for"), .request_id = SG_STR("req-7"), .created_sec = 1700000000};

static int translate(struct sg_buf *out, size_t max, enum sg_operation from, struct sg_str body,
                     const struct sg_translate_exchange *x, struct sg_llm_fault *fault)
{
        sg_buf_init(out, max);
        return sg_translate_answer(out, from, from == SG_OP_CHAT ? SG_OP_MESSAGES : SG_OP_CHAT, body, x, fault);
}

static void assert_answer(enum sg_operation from, struct sg_str body, const struct sg_translate_exchange *x,
                          struct sg_str want)
{
        struct sg_llm_fault fault;
        struct sg_json_value whole;
        struct sg_buf out;

        assert_int_equal(translate(&out, OUT_BYTES_MAX, from, body, x, &fault), 0);
        if (!sg_str_eq(sg_buf_view(&out), want))
                fail_msg("got <" SG_STR_FMT ">\nwant <" SG_STR_FMT ">", SG_STR_ARG(sg_buf_view(&out)),
                         SG_STR_ARG(want));
        assert_int_equal(sg_json_check(sg_buf_view(&out), &whole, NULL), 0);
        sg_buf_done(&out);
}

/* ---- messages to chat: content blocks and a stop reason in, a message and a finish reason out */

#define MESSAGES(content, rest)                                                                                        \
        "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-x\",\"content\":[" content   \
        "]," rest "}"
#define CHAT(message, finish, rest)                                                                                    \
        "{\"id\":\"msg_1\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":\"claude-x\",\"choices\":[" \
        "{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":" message                                        \
        "},\"logprobs\":null,\"finish_reason\":\"" finish "\"}]" rest "}"

static void assert_to_chat(struct sg_str body, struct sg_str want)
{
        assert_answer(SG_OP_MESSAGES, body, &exchange, want);
}

static void test_text_and_usage_of_every_class_to_chat(void **state)
{
        assert_to_chat(SG_STR(MESSAGES(
                               "{\"type\":\"text\",\"text\":\"Hi \\ud83d\\u0041 \\\"you\\\"\"},{\"type\":\"text\","
                               "\"text\":\", bye\"}",
                               "\"stop_reason\":\"end_turn\",\"stop_sequence\":null,\"usage\":{\"input_tokens\":10,"
                               "\"cache_creation_input_tokens\":200,\"cache_read_input_tokens\":3000,"
                               "\"cache_creation\":{\"ephemeral_5m_input_tokens\":200,\"ephemeral_1h_input_tokens\":0},"
                               "\"output_tokens\":40,\"output_tokens_details\":{\"thinking_tokens\":7},"
                               "\"service_tier\":\"standard\"}")),
                       SG_STR(CHAT("\"Hi \\ud83d\\u0041 \\\"you\\\", bye\",\"refusal\":null", "stop",
                                   ",\"usage\":{\"prompt_tokens\":3210,\"completion_tokens\":40,\"total_tokens\":3250,"
                                   "\"prompt_tokens_details\":{\"cached_tokens\":3000,\"cache_write_tokens\":200},"
                                   "\"completion_tokens_details\":{\"reasoning_tokens\":7}}")));
}

static void test_usage_that_is_not_there_is_not_made_up_in_chat(void **state)
{
        assert_to_chat(SG_STR(MESSAGES("", "\"stop_reason\":\"end_turn\"")),
                       SG_STR(CHAT("null,\"refusal\":null", "stop", "")));
        assert_to_chat(SG_STR(MESSAGES("", "\"stop_reason\":\"end_turn\",\"usage\":{\"input_tokens\":-1}")),
                       SG_STR(CHAT("null,\"refusal\":null", "stop", "")));
}

static void test_parallel_calls_to_chat(void **state)
{
        assert_to_chat(
                SG_STR(MESSAGES("{\"type\":\"text\",\"text\":\"I look.\"},"
                                "{\"type\":\"tool_use\",\"id\":\"toolu_1\",\"name\":\"a\",\"input\":{\"n\": "
                                "123456789012345678901234567890.5, \"s\":\"\\\"\\u00e9\"}},"
                                "{\"type\":\"tool_use\",\"id\":\"toolu_2\",\"name\":\"b\",\"input\":{}},"
                                "{\"type\":\"tool_use\",\"name\":\"c\"}",
                                "\"stop_reason\":\"tool_use\"")),
                SG_STR(CHAT(
                        "\"I look.\",\"refusal\":null,\"tool_calls\":["
                        "{\"id\":\"toolu_1\",\"type\":\"function\",\"function\":{\"name\":\"a\",\"arguments\":"
                        "\"{\\\"n\\\": 123456789012345678901234567890.5, \\\"s\\\":\\\"\\\\\\\"\\\\u00e9\\\"}\"}},"
                        "{\"id\":\"toolu_2\",\"type\":\"function\",\"function\":{\"name\":\"b\",\"arguments\":\"{}\"}},"
                        "{\"id\":\"call_req-7_2\",\"type\":\"function\",\"function\":{\"name\":\"c\",\"arguments\":"
                        "\"{}\"}}]",
                        "tool_calls", "")));
}

static void test_thinking_to_chat(void **state)
{
        assert_to_chat(SG_STR(MESSAGES("{\"type\":\"thinking\", \"thinking\":\"Hm\\n\",\"signature\":\"c2ln\"},"
                                       "{\"type\":\"redacted_thinking\",\"data\":\"eHg=\"},"
                                       "{\"type\":\"text\",\"text\":\"a\"},"
                                       "{\"type\":\"thinking\",\"thinking\":\"more\",\"signature\":\"Mg==\"}",
                                       "\"stop_reason\":\"end_turn\"")),
                       SG_STR(CHAT("\"a\",\"refusal\":null,\"reasoning_content\":\"Hm\\nmore\",\"thinking_blocks\":["
                                   "{\"type\":\"thinking\", \"thinking\":\"Hm\\n\",\"signature\":\"c2ln\"},"
                                   "{\"type\":\"redacted_thinking\",\"data\":\"eHg=\"}]",
                                   "stop", "")));
}

static void test_thinking_without_signature_is_no_block_in_chat(void **state)
{
        assert_to_chat(SG_STR(MESSAGES("{\"type\":\"thinking\",\"thinking\":\"Hm\",\"signature\":\"\"}",
                                       "\"stop_reason\":\"max_tokens\"")),
                       SG_STR(CHAT("null,\"refusal\":null,\"reasoning_content\":\"Hm\"", "length", "")));
}

static void test_what_chat_has_no_words_for_is_left_out(void **state)
{
        assert_to_chat(SG_STR(MESSAGES(
                               "{\"type\":\"server_tool_use\",\"id\":\"srvtoolu_1\",\"name\":\"web_search\",\"input\":{"
                               "\"query\":\"x\"}},{\"type\":\"web_search_tool_result\",\"tool_use_id\":\"srvtoolu_1\","
                               "\"content\":[]},{\"type\":\"text\",\"text\":\"found\",\"citations\":[{\"type\":"
                               "\"web_search_result_location\",\"url\":\"https://x/\"}]},{\"type\":\"new_thing\"},4",
                               "\"stop_reason\":\"pause_turn\",\"container\":{\"id\":\"c\"}")),
                       SG_STR(CHAT("\"found\",\"refusal\":null", "stop", "")));
}

static void assert_finish(const char *stop_reason, const char *finish_reason)
{
        struct sg_llm_fault fault;
        struct sg_json_value whole;
        struct sg_buf body, out;

        sg_buf_init(&body, 1024);
        assert_int_equal(sg_buf_printf(&body, "{\"content\":[],\"stop_reason\":%s}", stop_reason), 0);
        assert_int_equal(translate(&out, OUT_BYTES_MAX, SG_OP_MESSAGES, sg_buf_view(&body), &exchange, &fault), 0);
        assert_int_equal(sg_json_check(sg_buf_view(&out), &whole, NULL), 0);
        assert_true(
                sg_json_text_is(sg_json_path(whole, SG_STR("choices.0.finish_reason")), sg_str_from(finish_reason)));
        sg_buf_done(&out);
        sg_buf_done(&body);
}

static void test_stop_reasons_to_chat(void **state)
{
        assert_finish("\"end_turn\"", "stop");
        assert_finish("\"stop_sequence\"", "stop");
        assert_finish("\"pause_turn\"", "stop");
        assert_finish("\"max_tokens\"", "length");
        assert_finish("\"model_context_window_exceeded\"", "length");
        assert_finish("\"tool_use\"", "tool_calls");
        assert_finish("\"refusal\"", "content_filter");
        assert_finish("\"something_new\"", "length");
        assert_finish("\"\\u0065nd_turn\"", "stop");
        assert_finish("null", "length");
}

static void test_refusal_to_chat(void **state)
{
        assert_to_chat(
                SG_STR(MESSAGES("{\"type\":\"text\",\"text\":\"Well\"}",
                                "\"stop_reason\":\"refusal\",\"stop_details\":{\"type\":\"refusal\",\"category\":"
                                "\"bio\",\"explanation\":\"Declined.\"}")),
                SG_STR(CHAT("\"Well\",\"refusal\":\"Declined.\"", "content_filter", "")));
        assert_to_chat(SG_STR(MESSAGES("", "\"stop_reason\":\"refusal\",\"stop_details\":null")),
                       SG_STR(CHAT("null,\"refusal\":null", "content_filter", "")));
}

static void test_json_mode_by_tool_to_chat(void **state)
{
        static const struct sg_str body = SG_STR(
                MESSAGES("{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"json_answer\",\"input\":{\"a\":[1,\"\\\"\"]}}",
                         "\"stop_reason\":\"tool_use\""));
        struct sg_translate_exchange x = exchange;

        x.is_json_by_tool = true;
        assert_answer(SG_OP_MESSAGES, body, &x,
                      SG_STR(CHAT("\"{\\\"a\\\":[1,\\\"\\\\\\\"\\\"]}\",\"refusal\":null", "stop", "")));
        assert_answer(
                SG_OP_MESSAGES,
                SG_STR(MESSAGES(
                        "{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{}},{\"type\":\"tool_use\","
                        "\"id\":\"u\",\"name\":\"json_answer\",\"input\":{}}",
                        "\"stop_reason\":\"tool_use\"")),
                &x,
                SG_STR(CHAT("\"{}\",\"refusal\":null,\"tool_calls\":[{\"id\":\"t\",\"type\":\"function\",\"function\":{"
                            "\"name\":\"f\",\"arguments\":\"{}\"}}]",
                            "tool_calls", "")));
        assert_to_chat(body, SG_STR(CHAT("null,\"refusal\":null,\"tool_calls\":[{\"id\":\"t\",\"type\":\"function\","
                                         "\"function\":{\"name\":\"json_answer\",\"arguments\":"
                                         "\"{\\\"a\\\":[1,\\\"\\\\\\\"\\\"]}\"}}]",
                                         "tool_calls", "")));
}

static void test_id_and_model_of_the_exchange_where_chat_needs_them(void **state)
{
        assert_to_chat(SG_STR(" {\"content\":[{\"type\":\"text\",\"text\":\"\"}],\"stop_reason\":\"end_turn\"}"),
                       SG_STR("{\"id\":\"req-7\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":"
                              "\"asked-for\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":"
                              "\"\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"}]}"));
}

/* ---- chat to messages */

#define CHAT_IN(message, choice, rest)                                                                                 \
        "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"gpt-x\",\"choices\":[{"       \
        "\"index\":0,\"message\":{\"role\":\"assistant\"," message "},\"logprobs\":null," choice "}]" rest "}"
#define NO_USAGE                                                                                                       \
        ",\"usage\":{\"input_tokens\":0,\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,"              \
        "\"output_tokens\":0}"
#define MESSAGES_OUT(content, stop, usage)                                                                             \
        "{\"id\":\"chatcmpl-1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"gpt-x\",\"content\":[" content \
        "],\"stop_reason\":" stop usage "}"
#define TEXT(text) "{\"type\":\"text\",\"text\":\"" text "\"}"

static void assert_to_messages(struct sg_str body, struct sg_str want)
{
        assert_answer(SG_OP_CHAT, body, &exchange, want);
}

static void test_text_and_usage_of_every_class_to_messages(void **state)
{
        assert_to_messages(
                SG_STR(CHAT_IN("\"content\":\"Hi \\\"you\\\" \\ud83d\",\"refusal\":null,\"annotations\":[]",
                               "\"finish_reason\":\"stop\"",
                               ",\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":20,\"total_tokens\":120,"
                               "\"prompt_tokens_details\":{\"cached_tokens\":60,\"cache_write_tokens\":30,"
                               "\"audio_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":5}},"
                               "\"service_tier\":\"default\",\"system_fingerprint\":\"fp\"")),
                SG_STR(MESSAGES_OUT(TEXT("Hi \\\"you\\\" \\ud83d"), "\"end_turn\",\"stop_sequence\":null",
                                    ",\"usage\":{\"input_tokens\":10,\"cache_creation_input_tokens\":30,"
                                    "\"cache_read_input_tokens\":60,\"output_tokens\":20,\"output_tokens_details\":{"
                                    "\"thinking_tokens\":5}}")));
}

static void test_usage_of_other_places_and_shapes_to_messages(void **state)
{
        static const struct sg_str want =
                SG_STR(MESSAGES_OUT(TEXT("a"), "\"end_turn\",\"stop_sequence\":null",
                                    ",\"usage\":{\"input_tokens\":4,\"cache_creation_input_tokens\":0,"
                                    "\"cache_read_input_tokens\":6,\"output_tokens\":3}"));

        assert_to_messages(SG_STR(CHAT_IN("\"content\":\"a\"",
                                          "\"finish_reason\":\"stop\",\"usage\":{\"prompt_tokens\":10,"
                                          "\"completion_tokens\":3,\"total_tokens\":13,\"cached_tokens\":6}",
                                          "")),
                           want);
        assert_to_messages(SG_STR(CHAT_IN("\"content\":\"a\"", "\"finish_reason\":\"stop\"",
                                          ",\"usage\":{\"completion_tokens\":3,\"prompt_cache_hit_tokens\":6,"
                                          "\"prompt_cache_miss_tokens\":4}")),
                           want);
        assert_to_messages(SG_STR(CHAT_IN("\"content\":\"a\"", "\"finish_reason\":\"stop\"",
                                          ",\"x_groq\":{\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":3,"
                                          "\"prompt_tokens_details\":{\"cached_tokens\":6}}}")),
                           want);
        /* more cached than asked: the parts never exceed their whole */
        assert_to_messages(SG_STR(CHAT_IN("\"content\":\"a\"", "\"finish_reason\":\"stop\"",
                                          ",\"usage\":{\"prompt_tokens\":6,\"completion_tokens\":3,"
                                          "\"prompt_tokens_details\":{\"cached_tokens\":9,\"cache_write_tokens\":9}}")),
                           SG_STR(MESSAGES_OUT(TEXT("a"), "\"end_turn\",\"stop_sequence\":null",
                                               ",\"usage\":{\"input_tokens\":0,\"cache_creation_input_tokens\":0,"
                                               "\"cache_read_input_tokens\":6,\"output_tokens\":3}")));
}

static void test_parallel_calls_to_messages(void **state)
{
        assert_to_messages(
                SG_STR(CHAT_IN(
                        "\"content\":null,\"tool_calls\":["
                        "{\"id\":\"call_1\",\"type\":\"function\",\"function\":{\"name\":\"a\",\"arguments\":"
                        "\" {\\\"n\\\": 123456789012345678901234567890.5, \\\"s\\\":\\\"\\\\u00e9\\\"} \"}},"
                        "{\"id\":\"call_2\",\"type\":\"function\",\"function\":{\"name\":\"b\",\"arguments\":\"\"}},"
                        "{\"type\":\"function\",\"function\":{\"name\":\"c\",\"arguments\":{\"x\":1}}},"
                        "{\"id\":\"call_4\",\"type\":\"custom\",\"custom\":{\"name\":\"d\",\"input\":\"e\"}}]",
                        "\"finish_reason\":\"tool_calls\"", "")),
                SG_STR(MESSAGES_OUT(
                        "{\"type\":\"tool_use\",\"id\":\"call_1\",\"name\":\"a\",\"input\":{\"n\": "
                        "123456789012345678901234567890.5, \"s\":\"\\u00e9\"}},"
                        "{\"type\":\"tool_use\",\"id\":\"call_2\",\"name\":\"b\",\"input\":{}},"
                        "{\"type\":\"tool_use\",\"id\":\"call_req-7_2\",\"name\":\"c\",\"input\":{\"x\":1}}",
                        "\"tool_use\",\"stop_sequence\":null", NO_USAGE)));
}

static void assert_input(const char *arguments, const char *input)
{
        struct sg_llm_fault fault;
        struct sg_json_value whole;
        struct sg_buf body, out;

        sg_buf_init(&body, 4096);
        assert_int_equal(
                sg_buf_printf(&body,
                              "{\"choices\":[{\"message\":{\"tool_calls\":[{\"id\":\"c\",\"function\":{\"name\":"
                              "\"f\",\"arguments\":%s}}]},\"finish_reason\":\"length\"}]}",
                              arguments),
                0);
        assert_int_equal(translate(&out, OUT_BYTES_MAX, SG_OP_CHAT, sg_buf_view(&body), &exchange, &fault), 0);
        assert_int_equal(sg_json_check(sg_buf_view(&out), &whole, NULL), 0);
        whole = sg_json_path(whole, SG_STR("content.0.input"));
        assert_int_equal(whole.kind, SG_JSON_OBJECT);
        assert_true(sg_str_eq(whole.text, sg_str_from(input)));
        sg_buf_done(&out);
        sg_buf_done(&body);
}

static void test_arguments_that_are_no_object_are_named_so(void **state)
{
        assert_input("\"{\\\"a\\\":1\"", "{\"INVALID_JSON\":\"{\\\"a\\\":1\"}");
        assert_input("\"[1]\"", "{\"INVALID_JSON\":\"[1]\"}");
        assert_input("\"{} x\"", "{\"INVALID_JSON\":\"{} x\"}");
        assert_input("\"\\ud800\"", "{\"INVALID_JSON\":\"\\ud800\"}");
        assert_input("\" \\n\"", "{}");
        assert_input("null", "{}");
        assert_input("12", "{}");
        assert_input("\"\\u007b\\u007d\"", "{}");
}

static void test_reasoning_to_messages(void **state)
{
        static const struct sg_str unsigned_block =
                SG_STR(MESSAGES_OUT("{\"type\":\"thinking\",\"thinking\":\"Hm\",\"signature\":\"\"}," TEXT("a"),
                                    "\"end_turn\",\"stop_sequence\":null", NO_USAGE));

        assert_to_messages(
                SG_STR(CHAT_IN("\"content\":\"a\",\"reasoning_content\":\"Hm\"", "\"finish_reason\":\"stop\"", "")),
                unsigned_block);
        assert_to_messages(SG_STR(CHAT_IN("\"reasoning\":\"Hm\",\"reasoning_content\":\"\",\"content\":[{\"type\":"
                                          "\"text\",\"text\":\"a\"},{\"type\":\"thinking\",\"thinking\":[]},5]",
                                          "\"finish_reason\":\"stop\"", "")),
                           unsigned_block);
        assert_to_messages(SG_STR(CHAT_IN("\"content\":\"a\",\"reasoning_content\":\"Hm\",\"thinking_blocks\":["
                                          "{\"type\":\"thinking\", \"thinking\":\"Hm\",\"signature\":\"c2ln\"},"
                                          "{\"type\":\"redacted_thinking\",\"data\":\"eHg=\"}]",
                                          "\"finish_reason\":\"stop\"", "")),
                           SG_STR(MESSAGES_OUT("{\"type\":\"thinking\", \"thinking\":\"Hm\",\"signature\":\"c2ln\"},"
                                               "{\"type\":\"redacted_thinking\",\"data\":\"eHg=\"}," TEXT("a"),
                                               "\"end_turn\",\"stop_sequence\":null", NO_USAGE)));
}

static void test_refusal_to_messages(void **state)
{
        static const struct sg_str want =
                SG_STR(MESSAGES_OUT(TEXT("No."), "\"refusal\",\"stop_sequence\":null", NO_USAGE));

        assert_to_messages(SG_STR(CHAT_IN("\"content\":null,\"refusal\":\"No.\"", "\"finish_reason\":\"stop\"", "")),
                           want);
        assert_to_messages(SG_STR(CHAT_IN("\"content\":[{\"type\":\"refusal\",\"refusal\":\"No.\"}]",
                                          "\"finish_reason\":\"stop\"", "")),
                           want);
        assert_to_messages(SG_STR(CHAT_IN("\"content\":\"No.\"", "\"finish_reason\":\"content_filter\"", "")), want);
}

static void test_finish_reasons_to_messages(void **state)
{
#define CALL "\"tool_calls\":[{\"id\":\"c\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]"
#define USE  "{\"type\":\"tool_use\",\"id\":\"c\",\"name\":\"f\",\"input\":{}}"
        assert_to_messages(SG_STR(CHAT_IN("\"content\":\"a\"", "\"finish_reason\":\"length\"", "")),
                           SG_STR(MESSAGES_OUT(TEXT("a"), "\"max_tokens\",\"stop_sequence\":null", NO_USAGE)));
        assert_to_messages(
                SG_STR(CHAT_IN("\"content\":\"a\"", "\"finish_reason\":\"insufficient_system_resource\"", "")),
                SG_STR(MESSAGES_OUT(TEXT("a"), "\"max_tokens\",\"stop_sequence\":null", NO_USAGE)));
        assert_to_messages(
                SG_STR(CHAT_IN("\"content\":\"a\"", "\"finish_reason\":\"stop\",\"stop_reason\":\"\\nEND\"", "")),
                SG_STR(MESSAGES_OUT(TEXT("a"), "\"stop_sequence\",\"stop_sequence\":\"\\nEND\"", NO_USAGE)));
        assert_to_messages(
                SG_STR(CHAT_IN("\"content\":\"a\"", "\"finish_reason\":\"stop\",\"stop_reason\":128001", "")),
                SG_STR(MESSAGES_OUT(TEXT("a"), "\"end_turn\",\"stop_sequence\":null", NO_USAGE)));
        assert_to_messages(SG_STR(CHAT_IN(CALL, "\"finish_reason\":\"stop\"", "")),
                           SG_STR(MESSAGES_OUT(USE, "\"tool_use\",\"stop_sequence\":null", NO_USAGE)));
        assert_to_messages(SG_STR(CHAT_IN(CALL, "\"finish_reason\":\"length\"", "")),
                           SG_STR(MESSAGES_OUT(USE, "\"max_tokens\",\"stop_sequence\":null", NO_USAGE)));
}

static void test_id_and_model_of_the_exchange_where_messages_needs_them(void **state)
{
        assert_to_messages(
                SG_STR("\n\n{\"choices\":[{\"message\":{\"content\":\"\"},\"finish_reason\":\"stop\"},"
                       "{\"index\":1,\"message\":{\"content\":\"other\"},\"finish_reason\":\"stop\"}]}"),
                SG_STR("{\"id\":\"req-7\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"asked-for\","
                       "\"content\":[],\"stop_reason\":\"end_turn\",\"stop_sequence\":null" NO_USAGE "}"));
}

/* ---- both */

static void assert_not_json(enum sg_operation from, const char *body, const char *param)
{
        struct sg_llm_fault fault;
        struct sg_buf out;

        assert_int_equal(translate(&out, OUT_BYTES_MAX, from, sg_str_from(body), &exchange, &fault), SG_LLM_E_NOT_JSON);
        assert_string_equal(fault.param, param);
        assert_int_equal(sg_buf_length(&out), 0);
        sg_buf_done(&out);
}

static void test_answers_without_an_answer(void **state)
{
        assert_not_json(SG_OP_MESSAGES, "[]", "content");
        assert_not_json(SG_OP_MESSAGES, "{}", "content");
        assert_not_json(SG_OP_MESSAGES, "{\"content\":\"text\"}", "content");
        assert_not_json(SG_OP_CHAT, "{\"choices\":", "choices");
        assert_not_json(SG_OP_CHAT, "{\"choices\":[]}", "choices");
        assert_not_json(SG_OP_CHAT, "{\"choices\":[{\"text\":\"x\"}]}", "choices");
        assert_not_json(SG_OP_CHAT, "{\"choices\":[{\"message\":{\"content\":{\"text\":\"x\"}}}]}", "choices");
        assert_not_json(SG_OP_CHAT, "{\"choices\":[{\"message\":{\"content\":5}}]}", "choices");
}

static void test_output_full_at_every_maximum(void **state)
{
        static const struct {
                enum sg_operation from;
                struct sg_str body;
        } answers[] = {
                {SG_OP_MESSAGES,
                 SG_STR(MESSAGES(
                         "{\"type\":\"thinking\",\"thinking\":\"Hm\",\"signature\":\"c2ln\"},{\"type\":\"text\","
                         "\"text\":\"a\"},{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{\"a\":1}}",
                         "\"stop_reason\":\"end_turn\",\"usage\":{\"input_tokens\":1,\"output_tokens\":2}"))},
                {SG_OP_CHAT,
                 SG_STR(CHAT_IN("\"content\":\"a\",\"reasoning_content\":\"b\",\"tool_calls\":[{\"id\":\"c\","
                                "\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"long\\\":\\\"arguments "
                                "are decoded into room of their own\\\"}\"}}]",
                                "\"finish_reason\":\"stop\"", ""))},
        };

        for (size_t i = 0; i < SG_N_ELEMENTS(answers); i++) {
                struct sg_llm_fault fault;
                struct sg_buf out;
                size_t whole;

                assert_int_equal(translate(&out, OUT_BYTES_MAX, answers[i].from, answers[i].body, &exchange, &fault),
                                 0);
                whole = sg_buf_length(&out);
                sg_buf_done(&out);
                for (size_t max = 0; max <= whole; max++) {
                        assert_int_equal(translate(&out, max, answers[i].from, answers[i].body, &exchange, &fault),
                                         max < whole ? SG_BUF_E_FULL : 0);
                        sg_buf_done(&out);
                }
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_text_and_usage_of_every_class_to_chat),
                cmocka_unit_test(test_usage_that_is_not_there_is_not_made_up_in_chat),
                cmocka_unit_test(test_parallel_calls_to_chat),
                cmocka_unit_test(test_thinking_to_chat),
                cmocka_unit_test(test_thinking_without_signature_is_no_block_in_chat),
                cmocka_unit_test(test_what_chat_has_no_words_for_is_left_out),
                cmocka_unit_test(test_stop_reasons_to_chat),
                cmocka_unit_test(test_refusal_to_chat),
                cmocka_unit_test(test_json_mode_by_tool_to_chat),
                cmocka_unit_test(test_id_and_model_of_the_exchange_where_chat_needs_them),
                cmocka_unit_test(test_text_and_usage_of_every_class_to_messages),
                cmocka_unit_test(test_usage_of_other_places_and_shapes_to_messages),
                cmocka_unit_test(test_parallel_calls_to_messages),
                cmocka_unit_test(test_arguments_that_are_no_object_are_named_so),
                cmocka_unit_test(test_reasoning_to_messages),
                cmocka_unit_test(test_refusal_to_messages),
                cmocka_unit_test(test_finish_reasons_to_messages),
                cmocka_unit_test(test_id_and_model_of_the_exchange_where_messages_needs_them),
                cmocka_unit_test(test_answers_without_an_answer),
                cmocka_unit_test(test_output_full_at_every_maximum),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
