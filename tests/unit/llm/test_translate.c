#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "http/sse.h"
#include "llm/translate.h"

static struct sg_translate_notes notes;
static struct sg_llm_fault fault;
static struct sg_buf out;

static void clear(size_t max)
{
        notes = (struct sg_translate_notes){.dropped = "of another request"};
        fault = (struct sg_llm_fault){0};
        sg_buf_done(&out);
        sg_buf_init(&out, max);
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

static int request(enum sg_operation from, enum sg_operation to, const char *body)
{
        const struct sg_translate_options options = {.upstream_model = SG_STR("up"), .max_tokens = 500};

        clear(1u << 20);
        return sg_translate_request(&out, from, to, sg_str_from(body), &options, &notes, &fault);
}

static void test_there_are_four_ways(void **state)
{
        static const enum sg_operation formats[] = {SG_OP_CHAT, SG_OP_MESSAGES, SG_OP_RESPONSES};
        static const bool ways[3][3] = {{false, true, false}, {true, false, false}, {true, true, false}};

        for (unsigned i = 0; i < 3; i++)
                for (unsigned k = 0; k < 3; k++)
                        assert_int_equal(sg_translate_has_way(formats[i], formats[k]), ways[i][k]);
        assert_false(sg_translate_has_way(SG_OP_EMBEDDINGS, SG_OP_CHAT));
        assert_false(sg_translate_has_way(SG_OP_RESPONSES, SG_OP_SPEECH));
}

#define CALL   "{\"type\":\"function_call\",\"call_id\":\"a\",\"name\":\"f\",\"arguments\":\"{\\\"n\\\": 1e400}\"}"
#define RESULT "{\"type\":\"function_call_output\",\"call_id\":\"a\",\"output\":\"7\"}"

static void test_responses_reach_messages_by_way_of_chat(void **state)
{
        struct sg_json_value v;

        assert_int_equal(
                request(SG_OP_RESPONSES, SG_OP_MESSAGES,
                        "{\"model\":\"m\",\"instructions\":\"be\",\"input\":[{\"role\":\"user\",\"content\":\"q\"},"
                        "{\"type\":\"reasoning\",\"encrypted_content\":\"[{\\\"type\\\":\\\"thinking\\\","
                        "\\\"thinking\\\":\\\"h\\\",\\\"signature\\\":\\\"s\\\"}]\"}," CALL "," RESULT
                        "],\"tools\":[{\"type\":\"function\",\"name\":\"f\",\"parameters\":{\"type\": \"object\"}}],"
                        "\"stream\":true,\"prompt_cache_key\":\"k\",\"service_tier\":\"flex\"}"),
                0);
        v = whole();
        assert_at(v, "model", "\"up\"");
        assert_at(v, "max_tokens", "500");
        assert_at(v, "stream", "true");
        assert_at(v, "messages.0.role", "\"user\"");
        assert_at(v, "messages.1.content.0", "{\"type\":\"thinking\",\"thinking\":\"h\",\"signature\":\"s\"}");
        assert_at(v, "messages.1.content.1.input", "{\"n\": 1e400}");
        assert_at(v, "messages.2.content.0.tool_use_id", "\"a\"");
        assert_at(v, "tools.0.input_schema", "{\"type\": \"object\"}");
        assert_string_equal(notes.dropped, "prompt_cache_key, service_tier");
}

static void test_json_mode_by_a_tool_is_noted_by_either_leg(void **state)
{
        assert_int_equal(request(SG_OP_RESPONSES, SG_OP_MESSAGES,
                                 "{\"model\":\"m\",\"input\":\"q\",\"text\":{\"format\":{\"type\":\"json_object\"}}}"),
                         0);
        assert_true(notes.is_json_by_tool);
        assert_string_equal(notes.dropped, "");
}

static void test_a_fault_of_the_second_leg_names_the_clients_field(void **state)
{
        assert_int_equal(
                request(SG_OP_RESPONSES, SG_OP_MESSAGES, "{\"model\":\"m\",\"input\":\"q\",\"top_logprobs\":2}"),
                SG_LLM_E_BAD_FIELD);
        assert_string_equal(fault.param, "top_logprobs");
        assert_int_equal(request(SG_OP_RESPONSES, SG_OP_MESSAGES,
                                 "{\"model\":\"m\",\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_"
                                 "audio\",\"input_audio\":{\"data\":\"\",\"format\":\"wav\"}}]}]}"),
                         SG_LLM_E_BAD_FIELD);
        assert_string_equal(fault.param, "input");
        assert_non_null(strstr(fault.text, "as a chat completion: 'messages.0.content.0"));
        assert_int_equal(
                request(SG_OP_RESPONSES, SG_OP_MESSAGES, "{\"model\":\"m\",\"input\":\"q\",\"max_output_tokens\":0}"),
                SG_LLM_E_BAD_FIELD);
        assert_string_equal(fault.param, "max_output_tokens");
}

static void test_a_fault_of_the_first_leg_stays_as_it_is(void **state)
{
        assert_int_equal(request(SG_OP_RESPONSES, SG_OP_MESSAGES, "{\"model\":\"m\",\"input\":[3]}"),
                         SG_LLM_E_BAD_FIELD);
        assert_string_equal(fault.param, "input.0");
        assert_string_equal(fault.text, "'input.0' must be an object, not a number");
}

static void test_what_lies_between_is_bounded_as_the_output_is(void **state)
{
        const struct sg_translate_options options = {.upstream_model = SG_STR("up"), .max_tokens = 500};
        const struct sg_translate_exchange x = {.model = SG_STR("m"), .request_id = SG_STR("r")};
        const char *body = "{\"model\":\"m\",\"input\":\"some text that takes room\"}";
        const char *answer = "{\"id\":\"m1\",\"model\":\"c\",\"content\":[{\"type\":\"text\",\"text\":\"x\"}],\"stop_"
                             "reason\":\"end_turn\"}";

        for (size_t max = 0; max < 64; max++) {
                clear(max);
                assert_int_equal(sg_translate_request(&out, SG_OP_RESPONSES, SG_OP_MESSAGES, sg_str_from(body),
                                                      &options, &notes, &fault),
                                 SG_BUF_E_FULL);
                assert_int_equal(
                        sg_translate_answer(&out, SG_OP_MESSAGES, SG_OP_RESPONSES, sg_str_from(answer), &x, &fault),
                        SG_BUF_E_FULL);
        }
}

static void test_an_answer_of_messages_becomes_a_response(void **state)
{
        const struct sg_translate_exchange x = {.model = SG_STR("m"),
                                                .request_id = SG_STR("r"),
                                                .created_sec = 7,
                                                .request = SG_STR("{\"temperature\":0.5}")};
        struct sg_json_value v;

        clear(1u << 20);
        assert_int_equal(
                sg_translate_answer(
                        &out, SG_OP_MESSAGES, SG_OP_RESPONSES,
                        SG_STR("{\"id\":\"msg_9\",\"type\":\"message\",\"model\":\"claude\",\"role\":\"assistant\","
                               "\"content\":["
                               "{\"type\":\"thinking\",\"thinking\":\"h\",\"signature\":\"s\"},{\"type\":\"text\","
                               "\"text\":\"t\"},"
                               "{\"type\":\"tool_use\",\"id\":\"a\",\"name\":\"f\",\"input\":{\"n\":1}}],\"stop_"
                               "reason\":\"tool_use\","
                               "\"usage\":{\"input_tokens\":3,\"cache_read_input_tokens\":4,\"output_tokens\":5}}"),
                        &x, &fault),
                0);
        v = whole();
        assert_at(v, "id", "\"resp_msg_9\"");
        assert_at(v, "model", "\"claude\"");
        assert_at(v, "created_at", "7");
        assert_at(v, "temperature", "0.5");
        assert_at(v, "output.0.content.0.text", "\"h\"");
        assert_at(v, "output.0.encrypted_content",
                  "\"[{\\\"type\\\":\\\"thinking\\\",\\\"thinking\\\":\\\"h\\\",\\\"signature\\\":\\\"s\\\"}]\"");
        assert_at(v, "output.1.content.0.text", "\"t\"");
        assert_at(v, "output.2.arguments", "\"{\\\"n\\\":1}\"");
        assert_at(v, "usage.input_tokens", "7");
        assert_at(v, "usage.input_tokens_details.cached_tokens", "4");
        assert_at(v, "status", "\"completed\"");
}

/* ---- streams by two ways */

#define EVENT(type, rest) "event: " type "\ndata: {\"type\":\"" type "\"" rest "}\n\n"
#define START                                                                                                          \
        EVENT("message_start", ",\"message\":{\"id\":\"msg_9\",\"model\":\"claude\",\"content\":[],\"usage\":"         \
                               "{\"input_tokens\":3,\"cache_read_input_tokens\":4,\"output_tokens\":1}}")
#define BLOCK(n, block) EVENT("content_block_start", ",\"index\":" n ",\"content_block\":{" block "}")
#define DELTA(n, delta) EVENT("content_block_delta", ",\"index\":" n ",\"delta\":{" delta "}")
#define STOP(n)         EVENT("content_block_stop", ",\"index\":" n)
#define END(reason)                                                                                                    \
        EVENT("message_delta", ",\"delta\":{\"stop_reason\":\"" reason "\"},\"usage\":{\"output_tokens\":5}")          \
        EVENT("message_stop", "")

static int stream(const char *bytes)
{
        const struct sg_translate_exchange x = {.model = SG_STR("m"), .request_id = SG_STR("r"), .created_sec = 7};
        SG_AUTO(sg_translator_free) struct sg_translator *t = NULL;
        struct sg_str in = sg_str_from(bytes);
        struct sg_sse_event ev;
        struct sg_sse sse;
        int r = 0;

        clear(1u << 20);
        assert_int_equal(sg_translator_new(&t, SG_OP_MESSAGES, SG_OP_RESPONSES, &x), 0);
        sg_sse_init(&sse, 0);
        while (!r && sg_sse_next(&sse, &in, &ev) == 0)
                r = sg_translator_event(t, &ev, &out, &fault);
        sg_sse_done(&sse);
        return r;
}

/* The names of the events; *ret_last the data of the last one. */
static void assert_events(const char *want, struct sg_json_value *ret_last)
{
        struct sg_str in = sg_buf_view(&out);
        struct sg_sse_event ev;
        struct sg_buf names;
        struct sg_sse sse;

        sg_buf_init(&names, 4096);
        sg_sse_init(&sse, 0);
        while (sg_sse_next(&sse, &in, &ev) == 0) {
                assert_int_equal(sg_json_check(ev.data, ret_last, NULL), 0);
                assert_int_equal(sg_buf_add(&names, sg_str_skip(ev.name, strlen("response."))), 0);
                assert_int_equal(sg_buf_add(&names, SG_STR(" ")), 0);
        }
        if (!sg_str_eq(sg_buf_view(&names), sg_str_from(want)))
                fail_msg("got  <" SG_STR_FMT ">\nwant <%s>", SG_STR_ARG(sg_buf_view(&names)), want);
        sg_sse_done(&sse);
        sg_buf_done(&names);
}

static void test_a_stream_of_messages_becomes_one_of_responses(void **state)
{
        struct sg_json_value v;

        assert_int_equal(
                stream(START EVENT("ping", "") BLOCK("0", "\"type\":\"thinking\",\"thinking\":\"\"") DELTA(
                        "0", "\"type\":\"thinking_delta\",\"thinking\":\"h\"")
                               DELTA("0", "\"type\":\"signature_delta\",\"signature\":\"s\"") STOP("0") BLOCK(
                                       "1", "\"type\":\"text\",\"text\":\"\"")
                                       DELTA("1", "\"type\":\"text_delta\",\"text\":\"t\"") STOP("1") BLOCK(
                                               "2", "\"type\":\"tool_use\",\"id\":\"a\",\"name\":\"f\",\"input\":{}")
                                               DELTA("2",
                                                     "\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"n\\\":1}\"")
                                                       STOP("2") END("tool_use")),
                0);
        assert_events("created in_progress output_item.added content_part.added reasoning_text.delta "
                      "reasoning_text.done content_part.done output_item.done "
                      "output_item.added content_part.added output_text.delta "
                      "output_text.done content_part.done output_item.done "
                      "output_item.added function_call_arguments.delta "
                      "function_call_arguments.done output_item.done completed ",
                      &v);
        assert_at(v, "response.id", "\"resp_msg_9\"");
        assert_at(v, "response.model", "\"claude\"");
        assert_at(v, "response.usage.input_tokens", "7");
        assert_at(v, "response.usage.output_tokens", "5");
        assert_at(v, "response.output.0.encrypted_content",
                  "\"[{\\\"type\\\":\\\"thinking\\\",\\\"thinking\\\":\\\"h\\\",\\\"signature\\\":\\\"s\\\"}]\"");
        assert_at(v, "response.output.2.arguments", "\"{\\\"n\\\":1}\"");
}

static void test_a_stream_that_breaks_off_has_no_end(void **state)
{
        struct sg_json_value v;

        assert_int_equal(stream(START BLOCK("0", "\"type\":\"text\",\"text\":\"\"")
                                        DELTA("0", "\"type\":\"text_delta\",\"text\":\"t\"")),
                         0);
        assert_events("created in_progress output_item.added content_part.added output_text.delta ", &v);
        assert_int_equal(stream(START DELTA("3", "\"type\":\"text_delta\",\"text\":\"t\"")), SG_LLM_E_NOT_JSON);
        assert_true(fault.text[0]);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_there_are_four_ways),
                cmocka_unit_test(test_responses_reach_messages_by_way_of_chat),
                cmocka_unit_test(test_json_mode_by_a_tool_is_noted_by_either_leg),
                cmocka_unit_test(test_a_fault_of_the_second_leg_names_the_clients_field),
                cmocka_unit_test(test_a_fault_of_the_first_leg_stays_as_it_is),
                cmocka_unit_test(test_what_lies_between_is_bounded_as_the_output_is),
                cmocka_unit_test(test_an_answer_of_messages_becomes_a_response),
                cmocka_unit_test(test_a_stream_of_messages_becomes_one_of_responses),
                cmocka_unit_test(test_a_stream_that_breaks_off_has_no_end),
        };
        int r = cmocka_run_group_tests(tests, NULL, NULL);

        sg_buf_done(&out);
        return r;
}
