#include "translate_stream.h"

#define EVENT(type, rest) "event: " type "\ndata: {\"type\":\"" type "\"" rest "}\n\n"
#define START_USAGE(usage)                                                                                             \
        EVENT("message_start", ",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":" \
                               "\"claude-x\",\"content\":[],\"stop_reason\":null,\"usage\":" usage "}")
#define START           START_USAGE("{}")
#define BEGIN(i, block) EVENT("content_block_start", ",\"index\":" i ",\"content_block\":{" block "}")
#define DELTA(i, delta) EVENT("content_block_delta", ",\"index\":" i ",\"delta\":{" delta "}")
#define STOP(i)         EVENT("content_block_stop", ",\"index\":" i)
#define FINISH(reason)                                                                                                 \
        EVENT("message_delta", ",\"delta\":{\"stop_reason\":\"" reason "\",\"stop_sequence\":null},\"usage\":{}")      \
        EVENT("message_stop", "")

#define BEGIN_TEXT(i)           BEGIN(i, "\"type\":\"text\",\"text\":\"\"")
#define TEXT(i, text)           DELTA(i, "\"type\":\"text_delta\",\"text\":\"" text "\"")
#define BEGIN_THINKING(i)       BEGIN(i, "\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"")
#define THINKING(i, text)       DELTA(i, "\"type\":\"thinking_delta\",\"thinking\":\"" text "\"")
#define SIGNATURE(i, text)      DELTA(i, "\"type\":\"signature_delta\",\"signature\":\"" text "\"")
#define BEGIN_CALL(i, id, name) BEGIN(i, "\"type\":\"tool_use\",\"id\":\"" id "\",\"name\":\"" name "\",\"input\":{}")
#define INPUT(i, json)          DELTA(i, "\"type\":\"input_json_delta\",\"partial_json\":\"" json "\"")

#define HEAD                                                                                                           \
        "data: {\"id\":\"msg_1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"claude-x\","  \
        "\"choices\":["
#define CHUNK_FINISH(delta, finish)                                                                                    \
        HEAD "{\"index\":0,\"delta\":{" delta "},\"logprobs\":null,\"finish_reason\":" finish "}],\"usage\":null}\n\n"
#define CHUNK(delta) CHUNK_FINISH(delta, "null")
#define ROLE         CHUNK("\"role\":\"assistant\",\"content\":\"\"")
#define CALL(i, id, name)                                                                                              \
        CHUNK("\"tool_calls\":[{\"index\":" i ",\"id\":\"" id "\",\"type\":\"function\",\"function\":{\"name\":"       \
              "\"" name "\",\"arguments\":\"\"}}]")
#define ARGUMENTS(i, json) CHUNK("\"tool_calls\":[{\"index\":" i ",\"function\":{\"arguments\":\"" json "\"}}]")
#define DONE               "data: [DONE]\n\n"
#define END(finish)        CHUNK_FINISH("", "\"" finish "\"") DONE

static void assert_to_chat(struct sg_str bytes, struct sg_str want)
{
        assert_stream(SG_OP_MESSAGES, bytes, &exchange, want);
}

static void test_text_and_usage(void **state)
{
        assert_to_chat(
                SG_STR(START_USAGE(
                        "{\"input_tokens\":10,\"cache_creation_input_tokens\":200,\"cache_read_input_tokens\":"
                        "3000,\"output_tokens\":1}") EVENT("ping", "") ": a comment\n\n" BEGIN_TEXT("0") TEXT("0", "")
                               TEXT("0", "He \\ud83d") TEXT("0", "\\ude00\\\"") STOP("0") EVENT(
                                       "message_delta",
                                       ",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":"
                                       "{\"output_tokens\":15,\"output_tokens_details\":{\"thinking_tokens\":3}}")
                                       EVENT("message_stop", "")),
                SG_STR(ROLE CHUNK("\"content\":\"He \\ud83d\"") CHUNK("\"content\":\"\\ude00\\\"\"")
                               CHUNK_FINISH("", "\"stop\"") HEAD
                       "],\"usage\":{\"prompt_tokens\":3210,\"completion_tokens\":15,\"total_tokens\":3225,"
                       "\"prompt_tokens_details\":{\"cached_tokens\":3000,\"cache_write_tokens\":200},"
                       "\"completion_tokens_details\":{\"reasoning_tokens\":3}}}\n\n" DONE));
}

static void test_the_last_usage_counts(void **state)
{
        assert_to_chat(SG_STR(START_USAGE("{\"input_tokens\":10,\"cache_read_input_tokens\":5,\"output_tokens\":1}")
                                      EVENT("message_delta",
                                            ",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"input_tokens\":"
                                            "70,\"output_tokens\":2}")
                                              EVENT("message_delta", ",\"delta\":{},\"usage\":{\"output_tokens\":4}")
                                                      EVENT("message_stop", "")),
                       SG_STR(ROLE CHUNK_FINISH("", "\"stop\"") HEAD
                              "],\"usage\":{\"prompt_tokens\":75,\"completion_tokens\":4,\"total_tokens\":79,"
                              "\"prompt_tokens_details\":{\"cached_tokens\":5,\"cache_write_tokens\":0}}}\n\n" DONE));
}

static void test_no_usage_for_who_did_not_ask(void **state)
{
        static const struct sg_translate_exchange x = {.request_id = SG_STR("req-7"), .created_sec = 5};

        assert_stream(
                SG_OP_MESSAGES,
                SG_STR(EVENT("message_start", ",\"message\":{\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}")
                               FINISH("max_tokens")),
                &x,
                SG_STR("data: {\"id\":\"req-7\",\"object\":\"chat.completion.chunk\",\"created\":5,\"model\":\"\","
                       "\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":"
                       "null,\"finish_reason\":null}]}\n\n"
                       "data: {\"id\":\"req-7\",\"object\":\"chat.completion.chunk\",\"created\":5,\"model\":\"\","
                       "\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"length\"}]}"
                       "\n\n" DONE));
}

static void test_parallel_calls(void **state)
{
        assert_to_chat(SG_STR(START BEGIN_TEXT("0") TEXT("0", "I look.") STOP("0") BEGIN_CALL("1", "t1", "a")
                                      INPUT("1", "") INPUT("1", "{\\\"n\\\": 1") INPUT("1", "2.50}") STOP("1")
                                              BEGIN_CALL("2", "t2", "b") STOP("2") BEGIN_CALL("3", "", "c")
                                                      INPUT("3", "{}") STOP("3") FINISH("tool_use")),
                       SG_STR(ROLE CHUNK("\"content\":\"I look.\"") CALL("0", "t1", "a") ARGUMENTS("0", "{\\\"n\\\": 1")
                                      ARGUMENTS("0", "2.50}") CALL("1", "t2", "b") ARGUMENTS("1", "{}")
                                              CALL("2", "call_req-7_2", "c") ARGUMENTS("2", "{}") END("tool_calls")));
}

static void test_input_that_comes_with_the_begin(void **state)
{
#define WITH_INPUT "\"type\":\"tool_use\",\"id\":\"t1\",\"name\":\"a\",\"input\":{\"x\": \"\\\"\"}"
        assert_to_chat(
                SG_STR(START BEGIN("0", WITH_INPUT) STOP("0") FINISH("tool_use")),
                SG_STR(ROLE CALL("0", "t1", "a") ARGUMENTS("0", "{\\\"x\\\": \\\"\\\\\\\"\\\"}") END("tool_calls")));
        assert_to_chat(SG_STR(START BEGIN("0", WITH_INPUT) INPUT("0", "{1}") STOP("0") FINISH("tool_use")),
                       SG_STR(ROLE CALL("0", "t1", "a") ARGUMENTS("0", "{1}") END("tool_calls")));
}

static void test_thinking_and_signatures(void **state)
{
        assert_to_chat(
                SG_STR(START BEGIN_THINKING("0") THINKING("0", "Hm\\n") THINKING("0", "so") SIGNATURE("0", "c2ln")
                               STOP("0") BEGIN("1", "\"type\":\"redacted_thinking\", \"data\":\"eHg=\"") STOP("1")
                                       BEGIN_THINKING("2") SIGNATURE("2", "MQ==") SIGNATURE("2", "Mg==") STOP("2")
                                               BEGIN_TEXT("3") TEXT("3", "a") STOP("3") FINISH("end_turn")),
                SG_STR(ROLE CHUNK("\"reasoning_content\":\"Hm\\n\"") CHUNK("\"reasoning_content\":\"so\"")
                               CHUNK("\"thinking_blocks\":[{\"type\":\"thinking\",\"thinking\":\"Hm\\nso\","
                                     "\"signature\":\"c2ln\"},{\"type\":\"redacted_thinking\", \"data\":\"eHg=\"},"
                                     "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"Mg==\"}]")
                                       CHUNK("\"content\":\"a\"") END("stop")));
}

static void test_thinking_alone_is_signed_with_the_finish_reason(void **state)
{
        assert_to_chat(SG_STR(START BEGIN("0", "\"type\":\"thinking\",\"thinking\":\"H\"") THINKING("0", "m")
                                      SIGNATURE("0", "c2ln") STOP("0") FINISH("max_tokens")),
                       SG_STR(ROLE CHUNK("\"reasoning_content\":\"H\"") CHUNK("\"reasoning_content\":\"m\"")
                                      CHUNK("\"thinking_blocks\":[{\"type\":\"thinking\",\"thinking\":\"Hm\","
                                            "\"signature\":\"c2ln\"}]") END("length")));
}

static void test_later_thinking_is_text_only(void **state)
{
        assert_to_chat(SG_STR(START BEGIN_THINKING("0") THINKING("0", "Hm") STOP("0") BEGIN_CALL("1", "t1", "a")
                                      STOP("1") BEGIN_THINKING("2") THINKING("2", "more") SIGNATURE("2", "c2ln")
                                              STOP("2") BEGIN("3", "\"type\":\"redacted_thinking\",\"data\":\"eHg=\"")
                                                      STOP("3") FINISH("tool_use")),
                       SG_STR(ROLE CHUNK("\"reasoning_content\":\"Hm\"") CALL("0", "t1", "a") ARGUMENTS("0", "{}")
                                      CHUNK("\"reasoning_content\":\"more\"") END("tool_calls")));
}

static void test_what_chat_has_no_words_for_is_left_out(void **state)
{
        assert_to_chat(SG_STR(START BEGIN(
                               "0", "\"type\":\"server_tool_use\",\"id\":\"s\",\"name\":\"web_search\",\"input\":{}")
                                      INPUT("0", "{\\\"query\\\":1}") STOP("0") BEGIN(
                                              "1", "\"type\":\"web_search_tool_result\",\"content\":[]") STOP("1")
                                              BEGIN("2", "\"type\":\"text\",\"text\":\"fo\",\"citations\":[]")
                                                      DELTA("2", "\"type\":\"citations_delta\",\"citation\":{\"url\":"
                                                                 "\"https://x/\"}") TEXT("2", "und") STOP("2")
                                                              EVENT("new_event", ",\"index\":9") FINISH("pause_turn")),
                       SG_STR(ROLE CHUNK("\"content\":\"fo\"") CHUNK("\"content\":\"und\"") END("stop")));
}

static void test_json_mode_by_tool(void **state)
{
        struct sg_translate_exchange x = exchange;

        x.is_json_by_tool = true;
        assert_stream(SG_OP_MESSAGES,
                      SG_STR(START BEGIN_CALL("0", "t", "json_answer") INPUT("0", "") INPUT("0", "{\\\"a\\\"")
                                     INPUT("0", ":1}") STOP("0") FINISH("tool_use")),
                      &x, SG_STR(ROLE CHUNK("\"content\":\"{\\\"a\\\"\"") CHUNK("\"content\":\":1}\"") END("stop")));
        assert_stream(SG_OP_MESSAGES, SG_STR(START BEGIN_CALL("0", "t", "json_answer") STOP("0") FINISH("max_tokens")),
                      &x, SG_STR(ROLE CHUNK("\"content\":\"{}\"") END("length")));
        assert_stream(
                SG_OP_MESSAGES,
                SG_STR(START BEGIN_CALL("0", "t", "json_answer") STOP("0") BEGIN_CALL("1", "u", "f") STOP("1")
                               FINISH("tool_use")),
                &x,
                SG_STR(ROLE CHUNK("\"content\":\"{}\"") CALL("0", "u", "f") ARGUMENTS("0", "{}") END("tool_calls")));
}

static void test_refusal(void **state)
{
        assert_to_chat(SG_STR(START BEGIN_TEXT("0") TEXT("0", "We") STOP("0")
                                      EVENT("message_delta",
                                            ",\"delta\":{\"stop_reason\":\"refusal\",\"stop_details\":{\"type\":"
                                            "\"refusal\",\"explanation\":\"Declined.\"}}") EVENT("message_stop", "")),
                       SG_STR(ROLE CHUNK("\"content\":\"We\"")
                                      CHUNK_FINISH("\"refusal\":\"Declined.\"", "\"content_filter\"") DONE));
}

static void test_a_missing_stop_of_a_block(void **state)
{
        assert_to_chat(
                SG_STR(START BEGIN_CALL("0", "t1", "a") BEGIN_TEXT("1") TEXT("1", "x") FINISH("tool_use")),
                SG_STR(ROLE CALL("0", "t1", "a") ARGUMENTS("0", "{}") CHUNK("\"content\":\"x\"") END("tool_calls")));
}

static void test_no_end_is_made_up(void **state)
{
        struct run t;

        run(&t, SG_OP_MESSAGES, SG_STR(START BEGIN_TEXT("0") TEXT("0", "x") STOP("0")));
        assert_int_equal(t.r, 0);
        assert_is(sg_buf_view(&t.out), SG_STR(ROLE CHUNK("\"content\":\"x\"")));
        end(&t);
        run(&t, SG_OP_MESSAGES,
            SG_STR(START EVENT("message_delta", ",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{}")));
        assert_is(sg_buf_view(&t.out), SG_STR(ROLE CHUNK_FINISH("", "\"stop\"")));
        end(&t);
        assert_nonsense(SG_OP_MESSAGES, SG_STR(START EVENT("message_stop", "")), "without a stop reason");
        assert_nonsense(
                SG_OP_MESSAGES,
                SG_STR(START EVENT("message_delta", ",\"delta\":{\"stop_reason\":null}") EVENT("message_stop", "")),
                "without a stop reason");
}

static void test_nothing_after_the_end(void **state)
{
        assert_to_chat(SG_STR(START FINISH("end_turn") TEXT("0", "x") "data: {\n\n" FINISH("end_turn")),
                       SG_STR(ROLE END("stop")));
}

static void test_nonsense(void **state)
{
        assert_nonsense(SG_OP_MESSAGES, SG_STR("data: {\n\n"), "not a JSON object");
        assert_nonsense(SG_OP_MESSAGES, SG_STR("data: []\n\n"), "not a JSON object");
        assert_nonsense(SG_OP_MESSAGES, SG_STR(EVENT("ping", "") BEGIN_TEXT("0")), "does not begin with message_start");
        assert_nonsense(SG_OP_MESSAGES, SG_STR(START START), "a second message_start");
        assert_nonsense(SG_OP_MESSAGES, SG_STR(START TEXT("0", "x")), "a delta of a block that is not open");
        assert_nonsense(SG_OP_MESSAGES, SG_STR(START BEGIN_TEXT("0") TEXT("1", "x")), "a block that is not open");
        assert_nonsense(SG_OP_MESSAGES, SG_STR(START BEGIN_TEXT("0") STOP("0") TEXT("0", "x")), "is not open");
        assert_nonsense(SG_OP_MESSAGES, SG_STR(START STOP("0")), "the stop of a block that is not open");
        assert_nonsense(SG_OP_MESSAGES, SG_STR(START BEGIN_TEXT("0") STOP("1")), "the stop of a block");
        assert_nonsense(SG_OP_MESSAGES, SG_STR(START BEGIN_TEXT("\"0\"")), "without an index");
        assert_nonsense(SG_OP_MESSAGES, SG_STR(START EVENT("content_block_start", ",\"index\":0,\"content_block\":1")),
                        "without a block");
        assert_nonsense(
                SG_OP_MESSAGES,
                SG_STR(START EVENT("message_delta", ",\"delta\":{\"stop_reason\":\"end_turn\"}") BEGIN_TEXT("0")),
                "after the stop reason");
}

static void test_output_full_at_every_maximum(void **state)
{
        assert_full_at_every_maximum(SG_OP_MESSAGES,
                                     SG_STR(START BEGIN_THINKING("0") THINKING("0", "Hm") SIGNATURE("0", "c2ln")
                                                    STOP("0") BEGIN_CALL("1", "t1", "a") STOP("1") FINISH("tool_use")));
}

/* However the input is cut, its pieces are the same text again. */
static void test_input_cut_at_every_byte(void **state)
{
        static const struct sg_str input =
                SG_STR("{\"a\":\"\\\"}{\\\\\",\"b\":[1,{\"c\":\"\\u00e9\"}],\"d\":-1.5e300}");

        for (size_t cut = 0; cut <= input.n; cut++) {
                struct sg_json_value arguments;
                struct sg_buf bytes, joined;
                struct sg_sse_event ev;
                struct sg_sse sse;
                struct sg_str view;
                struct run t;

                sg_buf_init(&bytes, OUT_BYTES_MAX);
                sg_buf_init(&joined, OUT_BYTES_MAX);
                add(&bytes, SG_STR(START BEGIN_CALL("0", "t", "f")));
                for (int i = 0; i < 2; i++) {
                        add(&bytes, SG_STR("data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":"
                                           "\"input_json_delta\",\"partial_json\":"));
                        add_string(&bytes, i ? sg_str_skip(input, cut) : sg_str_head(input, cut));
                        add(&bytes, SG_STR("}}\n\n"));
                }
                add(&bytes, SG_STR(STOP("0") FINISH("tool_use")));
                run(&t, SG_OP_MESSAGES, sg_buf_view(&bytes));
                assert_int_equal(t.r, 0);
                sg_sse_init(&sse, 0);
                view = sg_buf_view(&t.out);
                while (sg_sse_next(&sse, &view, &ev) == 0) {
                        arguments = sg_json_path((struct sg_json_value){SG_JSON_OBJECT, ev.data},
                                                 SG_STR("choices.0.delta.tool_calls.0.function.arguments"));
                        assert_int_equal(sg_json_add_decoded(&joined, arguments), 0);
                }
                assert_is(sg_buf_view(&joined), input);
                sg_sse_done(&sse);
                end(&t);
                sg_buf_done(&joined);
                sg_buf_done(&bytes);
        }
}

static void test_thinking_beyond_the_limit(void **state)
{
        struct sg_buf bytes;
        struct sg_str piece;
        struct run t;
        char *room;

        sg_buf_init(&bytes, 16u << 20);
        add(&bytes, SG_STR(START BEGIN_THINKING("0")));
        for (int i = 0; i < 5; i++) {
                add(&bytes, SG_STR("data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"thinking\":\""));
                assert_int_equal(sg_buf_reserve(&bytes, 1u << 20, &room), 0);
                memset(room, 'x', 1u << 20);
                sg_buf_added(&bytes, 1u << 20);
                add(&bytes, SG_STR("\"}}\n\n"));
        }
        piece = sg_buf_view(&bytes);
        run_max(&t, SG_OP_MESSAGES, piece, &exchange, 16u << 20);
        assert_int_equal(t.r, SG_LLM_E_NOT_JSON);
        assert_non_null(strstr(t.fault.text, "a block of thinking is too long"));
        end(&t);
        sg_buf_done(&bytes);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_text_and_usage),
                cmocka_unit_test(test_the_last_usage_counts),
                cmocka_unit_test(test_no_usage_for_who_did_not_ask),
                cmocka_unit_test(test_parallel_calls),
                cmocka_unit_test(test_input_that_comes_with_the_begin),
                cmocka_unit_test(test_thinking_and_signatures),
                cmocka_unit_test(test_thinking_alone_is_signed_with_the_finish_reason),
                cmocka_unit_test(test_later_thinking_is_text_only),
                cmocka_unit_test(test_what_chat_has_no_words_for_is_left_out),
                cmocka_unit_test(test_json_mode_by_tool),
                cmocka_unit_test(test_refusal),
                cmocka_unit_test(test_a_missing_stop_of_a_block),
                cmocka_unit_test(test_no_end_is_made_up),
                cmocka_unit_test(test_nothing_after_the_end),
                cmocka_unit_test(test_nonsense),
                cmocka_unit_test(test_output_full_at_every_maximum),
                cmocka_unit_test(test_input_cut_at_every_byte),
                cmocka_unit_test(test_thinking_beyond_the_limit),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
