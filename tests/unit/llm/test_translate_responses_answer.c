#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "http/sse.h"
#include "llm/translate.h"

#define X .model = SG_STR("asked"), .request_id = SG_STR("req1"), .created_sec = 77

static struct sg_llm_fault fault;
static struct sg_buf out;

static void clear(void)
{
        fault = (struct sg_llm_fault){0};
        sg_buf_done(&out);
        sg_buf_init(&out, 1u << 20);
}

static struct sg_json_value whole(void)
{
        struct sg_json_value v;

        assert_int_equal(sg_json_check(sg_buf_view(&out), &v, NULL), 0);
        return v;
}

static void assert_at(struct sg_json_value in, const char *path, const char *want)
{
        struct sg_json_value v = sg_json_path(in, sg_str_from(path));

        if (!sg_str_eq(v.text, sg_str_from(want)))
                fail_msg("%s: got <" SG_STR_FMT ">, want <%s>", path, SG_STR_ARG(v.text), want);
}

/* ---- answers */

#define ANSWER(message, finish)                                                                                        \
        "{\"id\":\"c1\",\"object\":\"chat.completion\",\"created\":5,\"model\":\"m-1\",\"choices\":[{\"index\":0,"     \
        "\"message\":{\"role\":\"assistant\"," message "},\"finish_reason\":" finish                                   \
        "}],\"usage\":{\"prompt_tokens\":9,"                                                                           \
        "\"completion_tokens\":5,\"total_tokens\":14,\"prompt_tokens_details\":{\"cached_tokens\":4},"                 \
        "\"completion_tokens_details\":{\"reasoning_tokens\":2}}}"

static int translate(const char *body, const char *request)
{
        const struct sg_translate_exchange x = {X, .request = sg_str_from(request)};

        clear();
        return sg_chat_answer_to_responses(&out, sg_str_from(body), &x, &fault);
}

static struct sg_json_value answer(const char *body, const char *request)
{
        int r = translate(body, request);

        if (r)
                fail_msg("%d: %s", r, fault.text);
        return whole();
}

static void test_a_text_is_a_message(void **state)
{
        struct sg_json_value v = answer(ANSWER("\"content\":\"Hi \\u00e9\\n\"", "\"stop\""), "{\"input\":\"x\"}");

        assert_at(v, "id", "\"resp_c1\"");
        assert_at(v, "object", "\"response\"");
        assert_at(v, "created_at", "5");
        assert_at(v, "model", "\"m-1\"");
        assert_at(v, "status", "\"completed\"");
        assert_at(v, "incomplete_details", "null");
        assert_at(v, "error", "null");
        assert_at(v, "store", "false");
        assert_at(v, "output",
                  "[{\"id\":\"msg_c1_0\",\"status\":\"completed\",\"type\":\"message\",\"role\":\"assistant\","
                  "\"content\":"
                  "[{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":\"Hi \\u00e9\\n\"}]}]");
        assert_at(v, "usage",
                  "{\"input_tokens\":9,\"input_tokens_details\":{\"cached_tokens\":4,\"cache_write_tokens\":0},"
                  "\"output_tokens\":5,\"output_tokens_details\":{\"reasoning_tokens\":2},\"total_tokens\":14}");
}

static void test_the_request_is_repeated_where_the_object_has_a_place_for_it(void **state)
{
        struct sg_json_value v =
                answer(ANSWER("\"content\":\"x\"", "\"stop\""),
                       " {\"input\":\"x\",\"temperature\":0.10,\"metadata\":{\"a\":\"b\"},\"tools\":[{\"x\": 1}],"
                       "\"instructions\":\"be\",\"text\":null}");

        assert_at(v, "temperature", "0.10");
        assert_at(v, "metadata", "{\"a\":\"b\"}");
        assert_at(v, "tools", "[{\"x\": 1}]");
        assert_at(v, "instructions", "\"be\"");
        assert_at(v, "text", "{\"format\":{\"type\":\"text\"}}");
        v = answer(ANSWER("\"content\":\"x\"", "\"stop\""), "");
        assert_at(v, "tools", "[]");
        assert_at(v, "tool_choice", "\"auto\"");
        assert_at(v, "parallel_tool_calls", "true");
        assert_at(v, "temperature", "null");
        assert_at(v, "instructions", "null");
}

static void test_reasoning_text_and_calls_are_items_in_this_order(void **state)
{
        struct sg_json_value v =
                answer(ANSWER("\"content\":\"t\",\"reasoning_content\":\"r\",\"thinking_blocks\":[{\"type\":"
                              "\"thinking\",\"signature\":\"s\"}],"
                              "\"tool_calls\":[{\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"f\","
                              "\"arguments\":\"{\\\"x\\\":1}\"}},"
                              "{\"type\":\"function\",\"function\":{\"name\":\"g\",\"arguments\":\"\"}}]",
                              "\"tool_calls\""),
                       "");

        assert_at(v, "output.0",
                  "{\"id\":\"rs_c1_0\",\"status\":\"completed\",\"type\":\"reasoning\",\"summary\":[],\"encrypted_"
                  "content\":"
                  "\"[{\\\"type\\\":\\\"thinking\\\",\\\"signature\\\":\\\"s\\\"}]\",\"content\":"
                  "[{\"type\":\"reasoning_text\",\"text\":\"r\"}]}");
        assert_at(v, "output.1.content.0.text", "\"t\"");
        assert_at(v, "output.2",
                  "{\"id\":\"fc_c1_2\",\"status\":\"completed\",\"type\":\"function_call\",\"call_id\":\"a\",\"name\":"
                  "\"f\","
                  "\"arguments\":\"{\\\"x\\\":1}\"}");
        assert_at(v, "output.3.call_id", "\"call_c1_3\"");
        assert_at(v, "output.3.arguments", "\"\"");
        assert_at(v, "status", "\"completed\"");
}

static void test_an_answer_that_was_cut_is_incomplete(void **state)
{
        struct sg_json_value v = answer(ANSWER("\"content\":\"t\"", "\"length\""), "");

        assert_at(v, "status", "\"incomplete\"");
        assert_at(v, "incomplete_details.reason", "\"max_output_tokens\"");
        assert_at(v, "output.0.status", "\"incomplete\"");
        v = answer(ANSWER("\"content\":null,\"refusal\":\"no\"", "\"content_filter\""), "");
        assert_at(v, "incomplete_details.reason", "\"content_filter\"");
        assert_at(v, "output.0.content", "[{\"type\":\"refusal\",\"refusal\":\"no\"}]");
        v = answer(ANSWER("\"content\":\"t\"", "\"insufficient_system_resource\""), "");
        assert_at(v, "incomplete_details.reason", "\"insufficient_system_resource\"");
        v = answer(ANSWER("\"content\":\"t\"", "null"), "");
        assert_at(v, "incomplete_details.reason", "\"unknown\"");
}

static void test_what_the_provider_does_not_say_is_of_the_exchange(void **state)
{
        struct sg_json_value v =
                answer("{\"choices\":[{\"message\":{\"content\":\"t\"},\"finish_reason\":\"stop\"}]}", "");

        assert_at(v, "id", "\"resp_req1\"");
        assert_at(v, "model", "\"asked\"");
        assert_at(v, "created_at", "77");
        assert_at(v, "usage", "null");
}

static void test_figures_are_found_where_other_providers_put_them(void **state)
{
        struct sg_json_value v =
                answer("{\"choices\":[{\"message\":{\"content\":\"t\"},\"finish_reason\":\"stop\","
                       "\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2,\"cached_tokens\":1}}]}",
                       "");

        assert_at(v, "usage.input_tokens", "3");
        assert_at(v, "usage.input_tokens_details.cached_tokens", "1");
        assert_at(v, "usage.total_tokens", "5");
}

static void test_log_probabilities_keep_their_form(void **state)
{
        struct sg_json_value v =
                answer("{\"choices\":[{\"message\":{\"content\":\"t\"},\"finish_reason\":\"stop\",\"logprobs\":"
                       "{\"content\":[{\"token\":\"t\",\"logprob\":-0.50}],\"refusal\":null}}]}",
                       "");

        assert_at(v, "output.0.content.0.logprobs", "[{\"token\":\"t\",\"logprob\":-0.50}]");
}

static void test_an_answer_without_a_message_or_with_sound_is_refused(void **state)
{
        assert_int_equal(translate("{\"choices\":[]}", ""), SG_LLM_E_NOT_JSON);
        assert_string_equal(fault.text, "the provider's answer holds no message");
        assert_int_equal(translate(ANSWER("\"content\":[{\"type\":\"audio\"}]", "\"stop\""), ""), SG_LLM_E_NOT_JSON);
        assert_int_equal(translate(ANSWER("\"content\":{}", "\"stop\""), ""), SG_LLM_E_NOT_JSON);
        assert_int_equal(translate(ANSWER("\"tool_calls\":[{\"id\":\"a\",\"function\":{}}]", "\"stop\""), ""),
                         SG_LLM_E_NOT_JSON);
        assert_at(answer(ANSWER("\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]",
                                "\"stop\""),
                         ""),
                  "output.0.content.0.text", "\"ab\"");
}

/* ---- streams */

static int feed(struct sg_translator *t, const char *bytes)
{
        struct sg_str in = sg_str_from(bytes);
        struct sg_sse_event ev;
        struct sg_sse sse;
        int r = 0;

        sg_sse_init(&sse, 0);
        while (!r && sg_sse_next(&sse, &in, &ev) == 0)
                r = sg_translator_event(t, &ev, &out, &fault);
        sg_sse_done(&sse);
        return r;
}

static int stream(const char *bytes, const char *request)
{
        const struct sg_translate_exchange x = {X, .request = sg_str_from(request)};
        SG_AUTO(sg_translator_free) struct sg_translator *t = NULL;

        clear();
        assert_int_equal(sg_translator_new(&t, SG_OP_CHAT, SG_OP_RESPONSES, &x), 0);
        return feed(t, bytes);
}

/* The names of the events, and each event as SDKs want it: its type is its name, and it is numbered. */
static void assert_events(const char *want)
{
        struct sg_str in = sg_buf_view(&out);
        struct sg_json_value v;
        struct sg_sse_event ev;
        struct sg_buf names;
        uint64_t n = 0, number;
        struct sg_sse sse;

        sg_buf_init(&names, 4096);
        sg_sse_init(&sse, 0);
        for (; sg_sse_next(&sse, &in, &ev) == 0; n++) {
                assert_int_equal(sg_json_check(ev.data, &v, NULL), 0);
                assert_true(sg_json_text_is(sg_json_get(v, SG_STR("type")), ev.name));
                assert_true(sg_json_u64(sg_json_get(v, SG_STR("sequence_number")), &number) && number == n);
                assert_int_equal(sg_buf_add(&names, sg_str_skip(ev.name, strlen("response."))), 0);
                assert_int_equal(sg_buf_add(&names, SG_STR(" ")), 0);
        }
        assert_int_equal(sg_sse_carried(&sse), 0);
        if (!sg_str_eq(sg_buf_view(&names), sg_str_from(want)))
                fail_msg("got  <" SG_STR_FMT ">\nwant <%s>", SG_STR_ARG(sg_buf_view(&names)), want);
        sg_sse_done(&sse);
        sg_buf_done(&names);
}

static struct sg_json_value event(size_t nth)
{
        struct sg_str in = sg_buf_view(&out);
        struct sg_json_value v = {0};
        struct sg_sse_event ev;
        struct sg_sse sse;

        sg_sse_init(&sse, 0);
        for (size_t i = 0; i <= nth; i++)
                assert_int_equal(sg_sse_next(&sse, &in, &ev), 0);
        assert_int_equal(sg_json_check(ev.data, &v, NULL), 0);
        sg_sse_done(&sse);
        return v;
}

#define CHUNK(rest)                                                                                                    \
        "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":5,\"model\":\"m-1\"," rest "}\n\n"
#define DELTA(delta)   CHUNK("\"choices\":[{\"index\":0,\"delta\":{" delta "},\"finish_reason\":null}]")
#define FINISH(reason) CHUNK("\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"" reason "\"}]")
#define USAGE          CHUNK("\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2,\"total_tokens\":11}")
#define DONE           "data: [DONE]\n\n"
#define BEGIN          "created in_progress "
#define TEXT_BEGIN     "output_item.added content_part.added "
#define TEXT_END       "output_text.done content_part.done output_item.done "
#define REASON_END     "reasoning_text.done content_part.done output_item.done "
#define CALL_END       "function_call_arguments.done output_item.done "

static void test_a_stream_of_text(void **state)
{
        assert_int_equal(stream(CHUNK("\"choices\":[],\"prompt_filter_results\":[]")
                                        DELTA("\"role\":\"assistant\",\"content\":\"\"") DELTA("\"content\":\"Hel\"")
                                                DELTA("\"content\":\"lo\"") FINISH("stop") USAGE DONE,
                                "{\"instructions\":\"be\"}"),
                         0);
        assert_events(BEGIN TEXT_BEGIN "output_text.delta output_text.delta " TEXT_END "completed ");
        assert_at(event(0), "response.status", "\"in_progress\"");
        assert_at(event(0), "response.output", "[]");
        assert_at(event(0), "response.usage", "null");
        assert_at(event(0), "response.instructions", "\"be\"");
        assert_at(event(2), "item.content", "[]");
        assert_at(event(4), "delta", "\"Hel\"");
        assert_at(event(4), "item_id", "\"msg_c1_0\"");
        assert_at(event(4), "content_index", "0");
        assert_at(event(6), "text", "\"Hello\"");
        assert_at(event(8), "item.content.0.text", "\"Hello\"");
        assert_at(event(9), "response.id", "\"resp_c1\"");
        assert_at(event(9), "response.status", "\"completed\"");
        assert_at(event(9), "response.output.0.content.0.text", "\"Hello\"");
        assert_at(event(9), "response.usage.total_tokens", "11");
}

static void test_reasoning_ends_where_the_text_begins(void **state)
{
        assert_int_equal(stream(DELTA("\"reasoning_content\":\"h\"") DELTA("\"reasoning_content\":\"m\"") DELTA(
                                        "\"thinking_blocks\":[{\"type\":\"thinking\",\ndata: \"signature\":\"s\"}]")
                                        DELTA("\"content\":\"x\"") FINISH("stop") DONE,
                                ""),
                         0);
        assert_events(BEGIN TEXT_BEGIN "reasoning_text.delta reasoning_text.delta " REASON_END TEXT_BEGIN
                                       "output_text.delta " TEXT_END "completed ");
        assert_at(event(8), "item.content.0.text", "\"hm\"");
        assert_at(event(8), "item.encrypted_content",
                  "\"[{\\\"type\\\":\\\"thinking\\\", \\\"signature\\\":\\\"s\\\"}]\"");
}

#define PIECE(index, head, arguments) "\"tool_calls\":[{\"index\":" index "," head "\"function\":{" arguments "}}]"

static void test_calls_may_come_by_turns(void **state)
{
        assert_int_equal(stream(DELTA("\"content\":\"t\"")
                                        DELTA(PIECE("0", "\"id\":\"a\",", "\"name\":\"f\",\"arguments\":\"\""))
                                                DELTA(PIECE("1", "\"id\":\"b\",", "\"name\":\"g\",\"arguments\":\"{\""))
                                                        DELTA(PIECE("0", "", "\"arguments\":\"{}\""))
                                                                DELTA(PIECE("1", "", "\"arguments\":\"}\""))
                                                                        FINISH("tool_calls") DONE,
                                ""),
                         0);
        assert_events(BEGIN TEXT_BEGIN
                      "output_text.delta " TEXT_END "output_item.added output_item.added function_call_arguments.delta "
                      "function_call_arguments.delta function_call_arguments.delta " CALL_END CALL_END "completed ");
        assert_at(event(8), "item.name", "\"f\"");
        assert_at(event(8), "item.arguments", "\"\"");
        assert_at(event(11), "output_index", "1");
        assert_at(event(13), "arguments", "\"{}\"");
        assert_at(event(13), "name", "\"f\"");
        assert_at(event(14), "item.call_id", "\"a\"");
        assert_at(event(16), "item.arguments", "\"{}\"");
        assert_at(event(17), "response.output.2.call_id", "\"b\"");
}

static void test_calls_that_all_have_index_zero_are_told_apart_by_their_ids(void **state)
{
        assert_int_equal(stream(DELTA(PIECE("0", "\"id\":\"a\",", "\"name\":\"f\",\"arguments\":\"1\""))
                                        DELTA(PIECE("0", "\"id\":\"b\",", "\"name\":\"f\",\"arguments\":\"2\""))
                                                FINISH("tool_calls") DONE,
                                ""),
                         0);
        assert_at(event(10), "response.output.0.arguments", "\"1\"");
        assert_at(event(10), "response.output.1.arguments", "\"2\"");
}

static void test_a_refusal_after_text_is_another_part(void **state)
{
        assert_int_equal(
                stream(DELTA("\"content\":\"t\"") DELTA("\"refusal\":\"no\"") FINISH("content_filter") DONE, ""), 0);
        assert_events(BEGIN TEXT_BEGIN "output_text.delta output_text.done content_part.done content_part.added "
                                       "refusal.delta refusal.done content_part.done output_item.done incomplete ");
        assert_at(event(8), "content_index", "1");
        assert_at(event(8), "delta", "\"no\"");
        assert_at(event(12), "response.incomplete_details.reason", "\"content_filter\"");
        assert_at(event(12), "response.output.0.content",
                  "[{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":\"t\"},{\"type\":\"refusal\","
                  "\"refusal\":\"no\"}]");
}

static void test_log_probabilities_of_a_stream(void **state)
{
        assert_int_equal(stream(CHUNK("\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"logprobs\":{"
                                      "\"content\":[{\"token\":\"a\"}]}}]")
                                        CHUNK("\"choices\":[{\"index\":0,\"delta\":{\"content\":\"b\"},\"logprobs\":{"
                                              "\"content\":[{\"token\":\"b\"}]}}]") FINISH("stop") DONE,
                                ""),
                         0);
        assert_at(event(5), "logprobs", "[{\"token\":\"b\"}]");
        assert_at(event(6), "logprobs", "[{\"token\":\"a\"},{\"token\":\"b\"}]");
}

static void test_a_request_in_several_lines_breaks_no_event(void **state)
{
        assert_int_equal(stream(DELTA("\"content\":\"a\"") FINISH("stop") DONE,
                                "{\n \"tools\": [\r\n  {\"type\":\"function\"}\n ]\n}"),
                         0);
        assert_events(BEGIN TEXT_BEGIN "output_text.delta " TEXT_END "completed ");
        assert_at(event(0), "response.tools", "[    {\"type\":\"function\"}  ]");
}

static void test_no_terminal_event_but_for_the_providers(void **state)
{
        assert_int_equal(stream(DELTA("\"content\":\"a\"") FINISH("stop") USAGE, ""), 0);
        assert_events(BEGIN TEXT_BEGIN "output_text.delta ");
}

static void test_a_comment_stays_a_comment(void **state)
{
        assert_int_equal(stream(": keep-alive\n\nevent: x\n\n\n", ""), 0);
        assert_true(sg_str_eq(sg_buf_view(&out), SG_STR(":\n\n:\n\n")));
}

static void test_pieces_that_belong_to_nothing_are_garbage(void **state)
{
        assert_int_equal(stream(DELTA(PIECE("0", "\"id\":\"a\",", "\"arguments\":\"1\"")), ""), SG_LLM_E_NOT_JSON);
        assert_string_equal(fault.text, "the provider sent a piece of a tool call that has no name");
}

static void test_too_many_calls_end_the_stream(void **state)
{
        const struct sg_translate_exchange x = {X};
        SG_AUTO(sg_translator_free) struct sg_translator *t = NULL;
        char text[400];
        int r = 0, n = 0;

        clear();
        assert_int_equal(sg_translator_new(&t, SG_OP_CHAT, SG_OP_RESPONSES, &x), 0);
        for (; !r && n < 1000; n++) {
                snprintf(text, sizeof(text), DELTA(PIECE("%d", "\"id\":\"a%d\",", "\"name\":\"f\"")), n, n);
                r = feed(t, text);
        }
        assert_int_equal(r, SG_LLM_E_NOT_JSON);
        assert_string_equal(fault.text, "the provider sent too many tool calls");
}

static void test_an_endless_stream_is_full_some_day(void **state)
{
        const struct sg_translate_exchange x = {X};
        SG_AUTO(sg_translator_free) struct sg_translator *t = NULL;
        static char text[70000];
        int r = 0, n = 0;

        assert_int_equal(sg_translator_new(&t, SG_OP_CHAT, SG_OP_RESPONSES, &x), 0);
        memset(text, 'x', 65000);
        snprintf(text + 65000, sizeof(text) - 65000, "\"}}]}\n\n");
        memcpy(text, "data: {\"choices\":[{\"delta\":{\"content\":\"", 39);
        for (; !r && n < 1000; n++) {
                clear();
                r = feed(t, text);
        }
        assert_int_equal(r, SG_BUF_E_FULL);
        assert_int_equal(n, 130); /* 8 MiB */
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_text_is_a_message),
                cmocka_unit_test(test_the_request_is_repeated_where_the_object_has_a_place_for_it),
                cmocka_unit_test(test_reasoning_text_and_calls_are_items_in_this_order),
                cmocka_unit_test(test_an_answer_that_was_cut_is_incomplete),
                cmocka_unit_test(test_what_the_provider_does_not_say_is_of_the_exchange),
                cmocka_unit_test(test_figures_are_found_where_other_providers_put_them),
                cmocka_unit_test(test_log_probabilities_keep_their_form),
                cmocka_unit_test(test_an_answer_without_a_message_or_with_sound_is_refused),
                cmocka_unit_test(test_a_stream_of_text),
                cmocka_unit_test(test_reasoning_ends_where_the_text_begins),
                cmocka_unit_test(test_calls_may_come_by_turns),
                cmocka_unit_test(test_calls_that_all_have_index_zero_are_told_apart_by_their_ids),
                cmocka_unit_test(test_a_refusal_after_text_is_another_part),
                cmocka_unit_test(test_log_probabilities_of_a_stream),
                cmocka_unit_test(test_a_request_in_several_lines_breaks_no_event),
                cmocka_unit_test(test_no_terminal_event_but_for_the_providers),
                cmocka_unit_test(test_a_comment_stays_a_comment),
                cmocka_unit_test(test_pieces_that_belong_to_nothing_are_garbage),
                cmocka_unit_test(test_too_many_calls_end_the_stream),
                cmocka_unit_test(test_an_endless_stream_is_full_some_day),
        };
        int r = cmocka_run_group_tests(tests, NULL, NULL);

        sg_buf_done(&out);
        return r;
}
