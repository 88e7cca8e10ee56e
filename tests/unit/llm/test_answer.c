#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

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

static void test_openai(void **state)
{
        struct sg_llm_answer a = answer_of(
                SG_OP_CHAT,
                SG_STR("{\"id\":\"chatcmpl-B9\",\"object\":\"chat.completion\",\"created\":1741569952,\"model\":"
                       "\"gpt-4o-2024-08-06\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
                       "\"content\":"
                       "\"Hello! How can I assist you today?\",\"refusal\":null,\"annotations\":[]},\"logprobs\":null,"
                       "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":19,\"completion_tokens\":10,"
                       "\"total_tokens\":29},\"service_tier\":\"default\"}"));

        assert_string_equal(a.model, "gpt-4o-2024-08-06");
        assert_string_equal(a.finish_reason, "stop");
        assert_int_equal(a.usage.certainty, SG_CERTAINTY_MEASURED);
        assert_int_equal(a.usage.input_tokens, 19);
        assert_int_equal(a.usage.output_tokens, 10);
        assert_true(a.usage.raw.n > 0);
}

static void test_deepseek_after_empty_lines(void **state)
{
        struct sg_llm_answer a = answer_of(
                SG_OP_CHAT,
                SG_STR("\n\n\r\n\n{\"model\":\"deepseek-chat\",\"choices\":[{\"message\":{\"content\":\"x\"},"
                       "\"finish_reason\":\"length\"}],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":1,"
                       "\"prompt_cache_hit_tokens\":4,\"prompt_cache_miss_tokens\":5}}"));

        assert_int_equal(a.usage.cached_tokens, 4);
        assert_string_equal(a.finish_reason, "length");
}

static void test_usage_in_a_choice_and_groqs(void **state)
{
        struct sg_llm_answer a =
                answer_of(SG_OP_CHAT,
                          SG_STR("{\"choices\":[{\"message\":{\"content\":\"x\"},\"finish_reason\":\"stop\",\"usage\":"
                                 "{\"prompt_tokens\":39,\"completion_tokens\":211}}]}"));

        assert_int_equal(a.usage.output_tokens, 211);
        a = answer_of(SG_OP_CHAT,
                      SG_STR("{\"choices\":[{\"message\":{}}],\"usage\":null,\"x_groq\":{\"id\":\"r\",\"usage\":"
                             "{\"prompt_tokens\":3,\"completion_tokens\":2}}}"));
        assert_int_equal(a.usage.input_tokens, 3);
        /* in two places: told twice, counted once */
        a = answer_of(SG_OP_CHAT,
                      SG_STR("{\"choices\":[{\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":5}}],\"usage\":"
                             "{\"prompt_tokens\":5,\"completion_tokens\":5}}"));
        assert_int_equal(a.usage.input_tokens, 5);
}

static void test_without_usage_it_is_estimated_from_the_text(void **state)
{
        struct sg_llm_answer a = answer_of(SG_OP_CHAT, SG_STR("{\"choices\":[{\"message\":{\"content\":\"12345678\","
                                                              "\"reasoning_content\":\"1234\",\"tool_calls\":"
                                                              "[{\"function\":{\"name\":\"f\",\"arguments\":\"1234\"}}]"
                                                              "}},{\"message\":{\"refusal\":\"1234\"}}]}"));

        assert_int_equal(a.usage.certainty, SG_CERTAINTY_ESTIMATED);
        assert_int_equal(a.usage.output_tokens, 5);
        assert_int_equal(a.usage.input_tokens, 0);
        a = answer_of(SG_OP_COMPLETION, SG_STR("{\"choices\":[{\"text\":\"12345678\",\"finish_reason\":\"stop\"}]}"));
        assert_int_equal(a.usage.output_tokens, 2);
}

/* As every client reads them: of one name the last counts, and a choice has only what stands in it. */
static void test_of_repeated_members_the_last_counts(void **state)
{
        struct sg_llm_answer a;

        a = answer_of(SG_OP_CHAT,
                      SG_STR("{\"choices\":[{\"message\":{\"content\":\"12345678\"},\"finish_reason\":\"length\"}],"
                             "\"choices\":[{\"message\":{\"content\":\"1234\"},\"finish_reason\":\"stop\"}]}"));
        assert_int_equal(a.usage.output_tokens, 1);
        assert_string_equal(a.finish_reason, "stop");
        a = answer_of(SG_OP_CHAT, SG_STR("{\"choices\":[{\"message\":{\"content\":\"12345678\"}}],\"choices\":7}"));
        assert_int_equal(a.usage.output_tokens, 0);
        a = answer_of(SG_OP_CHAT, SG_STR("{\"choices\":[{\"message\":{\"content\":\"12345678\"},\"message\":"
                                         "{\"refusal\":\"1234\"}},{\"index\":1},{\"message\":null},3]}"));
        assert_int_equal(a.usage.output_tokens, 1);
        a = answer_of(SG_OP_CHAT, SG_STR("{\"choices\":{\"message\":{\"content\":\"12345678\"}}}"));
        assert_int_equal(a.usage.output_tokens, 0);
}

static void test_embeddings(void **state)
{
        struct sg_llm_answer a =
                answer_of(SG_OP_EMBEDDINGS,
                          SG_STR("{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,\"embedding\":"
                                 "[0.1,-0.2]}],\"model\":\"e\",\"usage\":{\"prompt_tokens\":8,\"total_tokens\":8}}"));

        assert_int_equal(a.usage.input_tokens, 8);
        assert_int_equal(a.usage.output_tokens, 0);
        a = answer_of(SG_OP_EMBEDDINGS, SG_STR("{\"data\":[]}"));
        assert_int_equal(a.usage.certainty, SG_CERTAINTY_ESTIMATED);
}

static void test_an_unknown_operation_is_not_estimated(void **state)
{
        assert_int_equal(answer_of(SG_OP_PASS, SG_STR("{\"ok\":true}")).usage.certainty, SG_CERTAINTY_NONE);
        assert_int_equal(answer_of(SG_OP_PASS, SG_STR("{\"usage\":{\"input_tokens\":3,\"output_tokens\":4}}"))
                                 .usage.output_tokens,
                         4);
}

static void test_garbage_is_no_answer(void **state)
{
        static const struct sg_str bodies[] = {
                SG_STR(""),      SG_STR("<html>busy</html>"), SG_STR("[]"), SG_STR("{\"choices\":["), SG_STR("\"ok\""),
                SG_STR("{} {}"), SG_STR("{\"a\":\"\xff\"}"),
        };

        for (size_t i = 0; i < SG_N_ELEMENTS(bodies); i++) {
                struct sg_llm_fault fault = {0};
                struct sg_llm_answer a;

                assert_int_equal(sg_llm_answer_read(&a, SG_OP_CHAT, bodies[i], &fault), SG_LLM_E_NOT_JSON);
                assert_true(fault.text[0]);
        }
}

static void test_an_error_inside_a_200(void **state)
{
        static const struct {
                struct sg_str body;
                const char *text;
                int status;
        } cases[] = {
                {SG_STR("{\"error\":{\"message\":\"no capacity\",\"type\":\"overloaded\",\"code\":503}}"),
                 "no capacity", 503},
                {SG_STR("{\"error\":{\"message\":\"slow\\ndown\",\"code\":\"429\"},\"choices\":[]}"), "slow down", 429},
                {SG_STR("{\"error\":{\"message\":\"x\",\"code\":\"rate_limit\"},\"choices\":null}"), "x", 0},
                {SG_STR("{\"error\":{\"message\":\"x\",\"code\":200}}"), "x", 0},
                {SG_STR("{\"error\":\"just text\"}"), "just text", 0},
                {SG_STR("{\"error\":true}"), "the provider reported an error without a message", 0},
                {SG_STR("{\"error\":{\"code\":500}}"), "the provider reported an error without a message", 500},
        };

        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                struct sg_llm_fault fault = {0};
                struct sg_llm_answer a;

                assert_int_equal(sg_llm_answer_read(&a, SG_OP_CHAT, cases[i].body, &fault), SG_LLM_E_IN_BAND);
                assert_string_equal(fault.text, cases[i].text);
                assert_int_equal(a.in_band_status, cases[i].status);
        }
}

static void test_a_falsy_error_or_one_beside_an_answer_is_none(void **state)
{
        answer_of(SG_OP_CHAT, SG_STR("{\"error\":null,\"x\":1}"));
        answer_of(SG_OP_CHAT, SG_STR("{\"error\":\"\"}"));
        answer_of(SG_OP_CHAT, SG_STR("{\"error\":{}}"));
        answer_of(SG_OP_CHAT, SG_STR("{\"error\":false}"));
        answer_of(SG_OP_CHAT, SG_STR("{\"error\":0.0}"));
        answer_of(SG_OP_CHAT, SG_STR("{\"error\":\"warning\",\"choices\":[{\"message\":{}}]}"));
        answer_of(SG_OP_EMBEDDINGS, SG_STR("{\"error\":\"warning\",\"data\":[{}]}"));
}

static void test_error_bodies_of_each_form(void **state)
{
        struct sg_llm_provider_error e;

        assert_true(sg_llm_error_read(
                &e, SG_STR("{\"error\":{\"message\":\"Rate limit\",\"type\":\"requests\",\"param\":null,"
                           "\"code\":\"rate_limit_exceeded\"}}")));
        assert_string_equal(e.message, "Rate limit");
        assert_string_equal(e.type, "requests");
        assert_string_equal(e.code, "rate_limit_exceeded");
        assert_string_equal(e.param, "");
        assert_true(sg_llm_error_read(&e, SG_STR(" {\"error\":\"plain\"} ")));
        assert_string_equal(e.message, "plain");
        assert_true(sg_llm_error_read(
                &e, SG_STR("[{\"error\":{\"code\":400,\"message\":\"bad\",\"status\":\"INVALID\"}}]")));
        assert_string_equal(e.code, "400");
        assert_true(
                sg_llm_error_read(&e, SG_STR("{\"object\":\"error\",\"message\":\"m\",\"type\":\"t\",\"code\":404}")));
        assert_string_equal(e.type, "t");
        assert_true(sg_llm_error_read(&e, SG_STR("{\"detail\":\"Not Found\"}")));
        assert_string_equal(e.message, "Not Found");
        assert_false(sg_llm_error_read(&e, SG_STR("<html>502</html>")));
        assert_false(sg_llm_error_read(&e, SG_STR("{\"ok\":false}")));
        assert_false(sg_llm_error_read(&e, SG_STR("{\"error\":null}")));
        assert_false(sg_llm_error_read(&e, SG_STR("[]")));
        assert_false(sg_llm_error_read(&e, SG_STR("")));
}

static void test_texts_of_others_are_cleaned(void **state)
{
        struct sg_llm_provider_error e;
        struct sg_llm_answer a;

        assert_true(sg_llm_error_read(&e, SG_STR("{\"error\":{\"message\":\"a\\u001b[31m\\r\\nb\\u0000c\"}}")));
        assert_string_equal(e.message, "a [31m  b c");
        assert_true(
                sg_llm_error_read(&e, SG_STR("{\"error\":\"Incorrect API key: sk-proj-abc_DEF123. A task-force\"}")));
        assert_string_equal(e.message, "Incorrect API key: sk-***************. A task-force");
        a = answer_of(SG_OP_CHAT, SG_STR("{\"model\":\"x\\u0007\"}"));
        assert_string_equal(a.model, "x ");
}

static void test_long_messages_are_cut_at_a_character(void **state)
{
        static char body[2048];
        struct sg_llm_provider_error e;
        struct sg_llm_fault fault;
        struct sg_llm_answer a;
        size_t n = 0;

        n += (size_t)snprintf(body, sizeof(body), "{\"error\":\"");
        for (int i = 0; i < 400; i++)
                n += (size_t)snprintf(body + n, sizeof(body) - n, "\xe4\xbd\xa0");
        n += (size_t)snprintf(body + n, sizeof(body) - n, "\"}");
        assert_true(sg_llm_error_read(&e, sg_str_make(body, n)));
        assert_true(sg_str_is_utf8(sg_str_from(e.message)));
        assert_int_equal(strlen(e.message), 510);
        assert_int_equal(sg_llm_answer_read(&a, SG_OP_CHAT, sg_str_make(body, n), &fault), SG_LLM_E_IN_BAND);
        assert_true(sg_str_is_utf8(sg_str_from(fault.text)));
        assert_int_equal(strlen(fault.text), 255);
}

static void assert_view(struct sg_buf *b, const char *want)
{
        if (!sg_str_eq(sg_buf_view(b), sg_str_from(want)))
                fail_msg("got " SG_STR_FMT ", want %s", SG_STR_ARG(sg_buf_view(b)), want);
        sg_buf_clear(b);
}

static void test_errors_in_the_clients_form(void **state)
{
        struct sg_llm_client_error e = {.type = "invalid_request_error", .message = SG_STR("say \"please\"\n")};
        struct sg_buf b;

        sg_buf_init(&b, 1024);
        assert_int_equal(sg_llm_error_add_body(&b, SG_SURFACE_OPENAI, &e), 0);
        assert_view(
                &b,
                "{\"error\":{\"message\":\"say \\\"please\\\"\\n\",\"type\":\"invalid_request_error\",\"param\":null,"
                "\"code\":null}}");
        e.param = "stream";
        e.code = "bad_field";
        assert_int_equal(sg_llm_error_add_event(&b, SG_SURFACE_OPENAI, &e), 0);
        assert_view(
                &b,
                "data: {\"error\":{\"message\":\"say \\\"please\\\"\\n\",\"type\":\"invalid_request_error\",\"param\":"
                "\"stream\",\"code\":\"bad_field\"}}\n\n");
        assert_int_equal(sg_llm_error_add_body(&b, SG_SURFACE_SIMPLE, &e), 0);
        assert_view(&b, "{\"error\":\"say \\\"please\\\"\\n\"}");
        assert_int_equal(sg_llm_error_add_event(&b, SG_SURFACE_SIMPLE, &e), 0);
        assert_view(&b, "data: {\"error\":\"say \\\"please\\\"\\n\"}\n\n");
        sg_buf_done(&b);
}

static void test_a_full_buffer_gets_no_half_error(void **state)
{
        struct sg_llm_client_error e = {.type = "t", .message = SG_STR("a message that is too long for it")};
        struct sg_buf b;

        sg_buf_init(&b, 40);
        assert_int_equal(sg_llm_error_add_body(&b, SG_SURFACE_OPENAI, &e), SG_BUF_E_FULL);
        assert_int_equal(sg_buf_length(&b), 0);
        sg_buf_done(&b);
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_openai),
                cmocka_unit_test(test_deepseek_after_empty_lines),
                cmocka_unit_test(test_usage_in_a_choice_and_groqs),
                cmocka_unit_test(test_without_usage_it_is_estimated_from_the_text),
                cmocka_unit_test(test_of_repeated_members_the_last_counts),
                cmocka_unit_test(test_embeddings),
                cmocka_unit_test(test_an_unknown_operation_is_not_estimated),
                cmocka_unit_test(test_garbage_is_no_answer),
                cmocka_unit_test(test_an_error_inside_a_200),
                cmocka_unit_test(test_a_falsy_error_or_one_beside_an_answer_is_none),
                cmocka_unit_test(test_error_bodies_of_each_form),
                cmocka_unit_test(test_texts_of_others_are_cleaned),
                cmocka_unit_test(test_long_messages_are_cut_at_a_character),
                cmocka_unit_test(test_errors_in_the_clients_form),
                cmocka_unit_test(test_a_full_buffer_gets_no_half_error),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
