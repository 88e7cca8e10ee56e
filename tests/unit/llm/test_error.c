#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "llm/llm.h"

static struct sg_llm_provider_error error_of(struct sg_str body)
{
        struct sg_llm_provider_error e;

        if (!sg_llm_error_read(&e, body))
                fail_msg("not read: " SG_STR_FMT, SG_STR_ARG(body));
        return e;
}

static void test_the_forms_of_providers(void **state)
{
        struct sg_llm_provider_error e = error_of(
                SG_STR("{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"m\",\"details\":"
                       "{\"error_code\":\"enforced_spend_limit_reached\"}},\"request_id\":\"req_1\"}"));

        assert_string_equal(e.message, "m");
        assert_string_equal(e.type, "rate_limit_error");
        assert_string_equal(e.reason, "enforced_spend_limit_reached");
        e = error_of(SG_STR("{\"error\":{\"message\":\"m\",\"type\":null,\"code\":\"content_filter\",\"status\":400,"
                            "\"innererror\":{\"code\":\"ResponsibleAIPolicyViolation\"}}}"));
        assert_string_equal(e.code, "content_filter");
        assert_string_equal(e.type, "");
        assert_string_equal(e.reason, "ResponsibleAIPolicyViolation");
        e = error_of(SG_STR("{\"statusCode\":401,\"message\":\"Unauthorized\"}"));
        assert_string_equal(e.code, "401");
        e = error_of(SG_STR("[{\"error\":{\"code\":400,\"message\":\"m\",\"status\":\"INVALID_ARGUMENT\"}}]"));
        assert_string_equal(e.type, "INVALID_ARGUMENT");
        e = error_of(SG_STR("{\"error\":\"model 'x' not found\"}"));
        assert_string_equal(e.message, "model 'x' not found");
        e = error_of(SG_STR("{\"code\":500,\"msg\":\"busy\"}"));
        assert_string_equal(e.message, "busy");
        assert_string_equal(e.code, "500");
}

static void test_details_of_fastapi(void **state)
{
        struct sg_llm_provider_error e = error_of(
                SG_STR("{\"detail\":[{\"loc\":[\"body\",\"messages\",0,\"role\"],\"msg\":\"field required\",\"type\":"
                       "\"value_error.missing\"},{\"msg\":\"another\"}]}"));

        assert_string_equal(e.message, "field required");
        assert_string_equal(e.param, "messages.0.role");
        assert_string_equal(e.type, "value_error.missing");
        e = error_of(SG_STR("{\"object\":\"error\",\"message\":{\"detail\":[{\"type\":\"missing\",\"loc\":[\"body\","
                            "\"model\"],\"msg\":\"Field required\"}]},\"type\":\"invalid_request_error\"}"));
        assert_string_equal(e.message, "Field required");
        assert_string_equal(e.param, "model");
        e = error_of(SG_STR("{\"detail\":{\"message\":\"nested\"}}"));
        assert_string_equal(e.message, "nested");
        /* a path longer than there is room for is cut between its steps */
        e = error_of(SG_STR(
                "{\"detail\":[{\"loc\":[\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\","
                "\"b\",null,\"cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc\"],\"msg\":\"m\"}]}"));
        assert_true(strlen(e.param) < sizeof(e.param));
}

static void test_what_has_no_form(void **state)
{
        static const struct sg_str cases[] = {SG_STR(""),
                                              SG_STR("<html>"),
                                              SG_STR("{}"),
                                              SG_STR("[]"),
                                              SG_STR("\"text\""),
                                              SG_STR("{\"error\":7}"),
                                              SG_STR("{\"detail\":[]}"),
                                              SG_STR("{\"detail\":[{}]}"),
                                              SG_STR("{\"detail\":{}}"),
                                              SG_STR("{\"message\":{}}")};
        struct sg_llm_provider_error e;

        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++)
                if (sg_llm_error_read(&e, cases[i]))
                        fail_msg("read: " SG_STR_FMT, SG_STR_ARG(cases[i]));
}

static void assert_written(enum sg_surface s, bool is_event, const struct sg_llm_client_error *e, const char *want)
{
        struct sg_buf b;

        sg_buf_init(&b, 4096);
        assert_int_equal(is_event ? sg_llm_error_add_event(&b, s, e) : sg_llm_error_add_body(&b, s, e), 0);
        assert_int_equal(sg_buf_add(&b, sg_str_make("", 1)), 0);
        assert_string_equal(sg_buf_view(&b).p, want);
        sg_buf_done(&b);
}

static void test_each_surface_has_its_form(void **state)
{
        struct sg_llm_client_error e = {.status = 400,
                                        .type = "invalid_request_error",
                                        .code = "bad_field",
                                        .param = "messages",
                                        .message = SG_STR("a \"b\""),
                                        .request_id = SG_STR("req_1"),
                                        .sequence = 7};

#define OPENAI                                                                                                         \
        "{\"error\":{\"message\":\"a \\\"b\\\"\",\"type\":\"invalid_request_error\",\"param\":\"messages\",\"code\":"  \
        "\"bad_field\"}}"
#define ANTHROPIC                                                                                                      \
        "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"a \\\"b\\\"\"},"              \
        "\"request_id\":\"req_1\"}"
        assert_written(SG_SURFACE_OPENAI, false, &e, OPENAI);
        assert_written(SG_SURFACE_OPENAI, true, &e, "data: " OPENAI "\n\n");
        assert_written(SG_SURFACE_SIMPLE, false, &e, "{\"error\":\"a \\\"b\\\"\"}");
        assert_written(SG_SURFACE_SIMPLE, true, &e, "data: {\"error\":\"a \\\"b\\\"\"}\n\n");
        assert_written(SG_SURFACE_ANTHROPIC, false, &e, ANTHROPIC);
        assert_written(SG_SURFACE_ANTHROPIC, true, &e, "event: error\ndata: " ANTHROPIC "\n\n");
        assert_written(SG_SURFACE_RESPONSES, false, &e, OPENAI);
        assert_written(SG_SURFACE_RESPONSES, true, &e,
                       "event: error\ndata: {\"type\":\"error\",\"code\":\"bad_field\",\"message\":\"a \\\"b\\\"\","
                       "\"param\":\"messages\",\"sequence_number\":7}\n\n");
        e.code = e.param = NULL;
        e.request_id = SG_STR_NONE;
        assert_written(
                SG_SURFACE_RESPONSES, true, &e,
                "event: error\ndata: {\"type\":\"error\",\"code\":null,\"message\":\"a \\\"b\\\"\",\"param\":null,"
                "\"sequence_number\":7}\n\n");
        assert_written(
                SG_SURFACE_ANTHROPIC, false, &e,
                "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"a \\\"b\\\"\"}}");
}

static void test_anthropics_types_follow_the_status(void **state)
{
        static const struct {
                unsigned status;
                const char *type, *want;
        } rows[] = {
                {400, "invalid_request_error", "invalid_request_error"},
                {401, "authentication_error", "authentication_error"},
                {402, "x", "billing_error"},
                {403, "permission_error", "permission_error"},
                {404, "invalid_request_error", "not_found_error"},
                {405, "invalid_request_error", "invalid_request_error"},
                {413, "invalid_request_error", "request_too_large"},
                {429, "x", "rate_limit_error"},
                {500, "server_error", "api_error"},
                {502, "upstream_error", "api_error"},
                {503, "server_error", "overloaded_error"},
                {504, "upstream_error", "timeout_error"},
                {529, "upstream_error", "overloaded_error"},
                {0, NULL, "api_error"},
                {0, "upstream_error", "api_error"},
                {0, "authentication_error", "authentication_error"},
        };

        for (size_t i = 0; i < SG_N_ELEMENTS(rows); i++) {
                struct sg_llm_client_error e = {.status = rows[i].status, .type = rows[i].type, .message = SG_STR("m")};
                struct sg_json_value v;
                struct sg_str type;
                struct sg_buf b;

                sg_buf_init(&b, 4096);
                assert_int_equal(sg_llm_error_add_body(&b, SG_SURFACE_ANTHROPIC, &e), 0);
                assert_int_equal(sg_json_check(sg_buf_view(&b), &v, NULL), 0);
                assert_true(sg_json_plain(sg_json_path(v, SG_STR("error.type")), &type));
                assert_true(sg_str_eq(type, sg_str_from(rows[i].want)));
                sg_buf_done(&b);
        }
}

static void test_a_full_buffer_gets_nothing(void **state)
{
        struct sg_llm_client_error e = {.message = SG_STR("m")};

        for (int s = 0; s < SG_SURFACE_N; s++) {
                struct sg_buf b;

                sg_buf_init(&b, 10);
                assert_int_equal(sg_llm_error_add_event(&b, (enum sg_surface)s, &e), SG_BUF_E_FULL);
                assert_int_equal(sg_buf_length(&b), 0);
                sg_buf_done(&b);
        }
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_forms_of_providers),
                cmocka_unit_test(test_details_of_fastapi),
                cmocka_unit_test(test_what_has_no_form),
                cmocka_unit_test(test_each_surface_has_its_form),
                cmocka_unit_test(test_anthropics_types_follow_the_status),
                cmocka_unit_test(test_a_full_buffer_gets_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
