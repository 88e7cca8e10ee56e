#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "llm/llm.h"

static struct sg_llm_request read_ok(enum sg_operation op, const char *body)
{
        struct sg_llm_request req;
        struct sg_llm_fault fault = {0};

        if (sg_llm_request_read(&req, op, sg_str_from(body), false, &fault))
                fail_msg("%s: %s", body, fault.text);
        return req;
}

static void test_the_fields_of_a_chat_are_read(void **state)
{
        struct sg_llm_request req =
                read_ok(SG_OP_CHAT, "{\"model\":\"gpt-4o\\u002dmini\",\"messages\":[],\"stream\":true,"
                                    "\"stream_options\":{\"include_usage\":true},\"max_tokens\":12.0}");

        assert_string_equal(req.model_name, "gpt-4o-mini");
        assert_true(req.is_stream);
        assert_true(req.wants_usage);
        assert_int_equal(req.max_tokens, 12);
        assert_int_equal(req.op, SG_OP_CHAT);
}

static void test_null_is_as_good_as_absent(void **state)
{
        struct sg_llm_request req =
                read_ok(SG_OP_CHAT, "{\"model\":\"m\",\"messages\":[],\"stream\":null,\"stream_options\":null,"
                                    "\"max_tokens\":null,\"max_completion_tokens\":null}");

        assert_false(req.is_stream);
        assert_false(req.wants_usage);
        assert_int_equal(req.max_tokens, 0);
        req = read_ok(SG_OP_CHAT, "{\"model\":\"m\",\"messages\":[],\"stream_options\":{\"include_usage\":null}}");
        assert_false(req.wants_usage);
}

static void test_the_newer_name_of_max_tokens_wins(void **state)
{
        assert_int_equal(read_ok(SG_OP_CHAT, "{\"max_completion_tokens\":7,\"model\":\"m\",\"messages\":[],"
                                             "\"max_tokens\":5}")
                                 .max_tokens,
                         7);
}

static void test_each_operation_reads_its_own_fields(void **state)
{
        /* what the others do not read may stand twice or have any type */
        read_ok(SG_OP_EMBEDDINGS, "{\"model\":\"m\",\"stream\":3,\"stream\":4,\"messages\":1}");
        read_ok(SG_OP_COMPLETION, "{\"model\":\"m\",\"messages\":1,\"messages\":2}");
        read_ok(SG_OP_PASS, "{\"stream\":\"yes\",\"max_tokens\":\"x\",\"stream_options\":[]}");
        assert_string_equal(read_ok(SG_OP_PASS, "{\"model\":\"m\",\"stream\":true}").model_name, "m");
        assert_true(read_ok(SG_OP_PASS, "{\"stream\":true}").is_stream);
}

static void test_a_default_makes_the_model_optional(void **state)
{
        struct sg_llm_request req;

        assert_int_equal(sg_llm_request_read(&req, SG_OP_CHAT, SG_STR("{\"messages\":[]}"), true, NULL), 0);
        assert_string_equal(req.model_name, "");
        assert_int_equal(sg_llm_request_read(&req, SG_OP_CHAT, SG_STR("{\"model\":null,\"messages\":[]}"), true, NULL),
                         0);
        assert_int_equal(sg_llm_request_read(&req, SG_OP_CHAT, SG_STR("{\"model\":7,\"messages\":[]}"), true, NULL),
                         SG_LLM_E_BAD_FIELD);
        assert_int_equal(sg_llm_request_read(&req, SG_OP_COMPLETION, SG_STR("{}"), true, NULL), 0);
        assert_int_equal(sg_llm_request_read(&req, SG_OP_EMBEDDINGS, SG_STR("{}"), true, NULL), 0);
        assert_int_equal(sg_llm_request_read(&req, SG_OP_COMPLETION, SG_STR("{}"), false, NULL), SG_LLM_E_NO_MODEL);
        assert_int_equal(sg_llm_request_read(&req, SG_OP_EMBEDDINGS, SG_STR("{}"), false, NULL), SG_LLM_E_NO_MODEL);
        assert_int_equal(sg_llm_request_read(&req, SG_OP_PASS, SG_STR("{}"), false, NULL), 0);
}

static const struct {
        enum sg_operation op;
        struct sg_str body;
        int code;
        const char *param, *text;
} faults[] = {
        {SG_OP_CHAT, SG_STR(""), SG_LLM_E_BAD_JSON, "", "the body is empty: a JSON object is expected"},
        {SG_OP_CHAT, SG_STR(" \n"), SG_LLM_E_BAD_JSON, "", "the body is empty: a JSON object is expected"},
        {SG_OP_CHAT, SG_STR("[]"), SG_LLM_E_BAD_JSON, "", "the body must be a JSON object"},
        {SG_OP_CHAT, SG_STR("{\"model\":\"a\",}"), SG_LLM_E_BAD_JSON, "",
         "the body is not valid JSON: a name in quotes expected at byte 13"},
        {SG_OP_CHAT, SG_STR("{\"model\":\"a\"} x"), SG_LLM_E_BAD_JSON, "",
         "the body is not valid JSON: bytes after the end of the value at byte 14"},
        {SG_OP_CHAT, SG_STR("{\"model\":\"\xff\"}"), SG_LLM_E_BAD_JSON, "",
         "the body is not valid JSON: bytes that are not UTF-8 at byte 10"},
        {SG_OP_CHAT, SG_STR("{\"model\":\"a"), SG_LLM_E_BAD_JSON, "",
         "the body is not valid JSON: the text ends too early at byte 11"},
        {SG_OP_CHAT, SG_STR("{\"model\":\"a\",\"model\":\"b\",\"messages\":[]}"), SG_LLM_E_BAD_FIELD, "model",
         "'model' stands twice in the body (again at byte 13)"},
        {SG_OP_CHAT, SG_STR("{\"model\":\"a\",\"messages\":[],\"messages\":[]}"), SG_LLM_E_BAD_FIELD, "messages",
         "'messages' stands twice in the body (again at byte 27)"},
        {SG_OP_CHAT,
         SG_STR("{\"model\":\"a\",\"messages\":[],\"stream_options\":{\"include_usage\":true,\"include_us\\u0061ge\":"
                "false}}"),
         SG_LLM_E_BAD_FIELD, "stream_options.include_usage", "'include_usage' stands twice in 'stream_options'"},
        {SG_OP_CHAT, SG_STR("{\"messages\":[]}"), SG_LLM_E_NO_MODEL, "model",
         "'model' is missing: it must name a model"},
        {SG_OP_CHAT, SG_STR("{\"model\":null,\"messages\":[]}"), SG_LLM_E_NO_MODEL, "model",
         "'model' is null: it must name a model"},
        {SG_OP_CHAT, SG_STR("{\"model\":[\"a\"],\"messages\":[]}"), SG_LLM_E_BAD_FIELD, "model",
         "'model' must be a string, not an array"},
        {SG_OP_CHAT, SG_STR("{\"model\":\"\",\"messages\":[]}"), SG_LLM_E_BAD_FIELD, "model", "'model' is empty"},
        {SG_OP_CHAT, SG_STR("{\"model\":\"a\\u0000b\",\"messages\":[]}"), SG_LLM_E_BAD_FIELD, "model",
         "'model' holds a control character"},
        {SG_OP_PASS, SG_STR("{\"model\":\"a\\nb\"}"), SG_LLM_E_BAD_FIELD, "model", "'model' holds a control character"},
        {SG_OP_CHAT, SG_STR("{\"model\":\"a\",\"messages\":[],\"stream\":\"true\"}"), SG_LLM_E_BAD_FIELD, "stream",
         "'stream' must be true or false, not a string"},
        {SG_OP_COMPLETION, SG_STR("{\"model\":\"a\",\"stream\":1}"), SG_LLM_E_BAD_FIELD, "stream",
         "'stream' must be true or false, not a number"},
        {SG_OP_CHAT, SG_STR("{\"model\":\"a\",\"messages\":[],\"stream_options\":true}"), SG_LLM_E_BAD_FIELD,
         "stream_options", "'stream_options' must be an object, not true"},
        {SG_OP_CHAT, SG_STR("{\"model\":\"a\",\"messages\":[],\"stream_options\":{\"include_usage\":{}}}"),
         SG_LLM_E_BAD_FIELD, "stream_options.include_usage",
         "'stream_options.include_usage' must be true or false, not an object"},
        {SG_OP_CHAT, SG_STR("{\"model\":\"a\",\"messages\":[],\"max_tokens\":\"9\"}"), SG_LLM_E_BAD_FIELD, "max_tokens",
         "'max_tokens' must be a whole number, not a string"},
        {SG_OP_CHAT, SG_STR("{\"model\":\"a\",\"messages\":[],\"max_completion_tokens\":-1}"), SG_LLM_E_BAD_FIELD,
         "max_completion_tokens", "'max_completion_tokens' must be a whole number from 0 to 2^53"},
        {SG_OP_CHAT, SG_STR("{\"model\":\"a\",\"messages\":[],\"max_tokens\":1.5}"), SG_LLM_E_BAD_FIELD, "max_tokens",
         "'max_tokens' must be a whole number from 0 to 2^53"},
        {SG_OP_CHAT, SG_STR("{\"model\":\"a\",\"messages\":[],\"max_tokens\":1e300}"), SG_LLM_E_BAD_FIELD, "max_tokens",
         "'max_tokens' must be a whole number from 0 to 2^53"},
        {SG_OP_CHAT, SG_STR("{\"model\":\"a\"}"), SG_LLM_E_BAD_FIELD, "messages",
         "'messages' is missing: it must be an array"},
        {SG_OP_CHAT, SG_STR("{\"model\":\"a\",\"messages\":\"hi\"}"), SG_LLM_E_BAD_FIELD, "messages",
         "'messages' must be an array, not a string"},
        {SG_OP_CHAT, SG_STR("{\"model\":\"a\",\"messages\":null}"), SG_LLM_E_BAD_FIELD, "messages",
         "'messages' must be an array, not null"},
};

static void test_each_fault_says_what_and_where(void **state)
{
        for (size_t i = 0; i < SG_N_ELEMENTS(faults); i++) {
                struct sg_llm_request req;
                struct sg_llm_fault fault = {.param = "unset"};

                assert_int_equal(sg_llm_request_read(&req, faults[i].op, faults[i].body, false, &fault),
                                 faults[i].code);
                assert_string_equal(fault.text, faults[i].text);
                assert_string_equal(fault.param, faults[i].param);
        }
}

static void test_a_model_has_at_most_255_bytes(void **state)
{
        char name[257], body[300];
        struct sg_llm_request req;
        struct sg_llm_fault fault;

        memset(name, 'x', 256);
        name[255] = '\0';
        snprintf(body, sizeof(body), "{\"model\":\"%s\"}", name);
        assert_int_equal(sg_llm_request_read(&req, SG_OP_EMBEDDINGS, sg_str_from(body), false, &fault), 0);
        assert_string_equal(req.model_name, name);
        name[255] = 'x';
        name[256] = '\0';
        snprintf(body, sizeof(body), "{\"model\":\"%s\"}", name);
        assert_int_equal(sg_llm_request_read(&req, SG_OP_EMBEDDINGS, sg_str_from(body), false, &fault),
                         SG_LLM_E_BAD_FIELD);
        assert_string_equal(fault.text, "'model' is longer than 255 bytes");
}

static void test_nothing_is_written_on_failure(void **state)
{
        struct sg_llm_request req = {.max_tokens = 99};

        assert_int_not_equal(sg_llm_request_read(&req, SG_OP_CHAT, SG_STR("{}"), true, NULL), 0);
        assert_int_equal(req.max_tokens, 99);
}

static const struct {
        enum sg_operation op;
        struct sg_str body;
        const char *upstream, *want;
} writes[] = {
        /* the name as sent: byte for byte, also when it is spelled with escapes */
        {SG_OP_CHAT, SG_STR(" {\"model\" : \"a\", \"messages\":[]} "), "a", " {\"model\" : \"a\", \"messages\":[]} "},
        {SG_OP_CHAT, SG_STR("{\"model\":\"\\u0061\",\"messages\":[]}"), "a", "{\"model\":\"\\u0061\",\"messages\":[]}"},
        {SG_OP_CHAT, SG_STR("{\"messages\":[{\"model\":1}],\"model\":\"a\",\"seed\":1e2}"), "b\"\\c",
         "{\"messages\":[{\"model\":1}],\"model\":\"b\\\"\\\\c\",\"seed\":1e2}"},
        {SG_OP_CHAT, SG_STR("{\"messages\":[]}"), "b", "{\"model\":\"b\",\"messages\":[]}"},
        {SG_OP_CHAT, SG_STR("\n{ \"messages\":[]}"), "b", "\n{\"model\":\"b\", \"messages\":[]}"},
        {SG_OP_CHAT, SG_STR("{\"model\":null,\"messages\":[]}"), "b", "{\"model\":\"b\",\"messages\":[]}"},
        {SG_OP_CHAT, SG_STR("{\"messages\":[]}"), "", "{\"messages\":[]}"},
        {SG_OP_CHAT, SG_STR("{\"model\":\"a\",\"messages\":[],\"stream\":true}"), "a",
         "{\"stream_options\":{\"include_usage\":true},\"model\":\"a\",\"messages\":[],\"stream\":true}"},
        {SG_OP_CHAT, SG_STR("{\"messages\":[],\"stream\":true}"), "b",
         "{\"model\":\"b\",\"stream_options\":{\"include_usage\":true},\"messages\":[],\"stream\":true}"},
        {SG_OP_CHAT, SG_STR("{\"stream_options\":null,\"model\":\"a\",\"messages\":[],\"stream\":true}"), "b",
         "{\"stream_options\":{\"include_usage\":true},\"model\":\"b\",\"messages\":[],\"stream\":true}"},
        {SG_OP_CHAT, SG_STR("{\"model\":\"a\",\"stream_options\":{ },\"messages\":[],\"stream\":true}"), "a",
         "{\"model\":\"a\",\"stream_options\":{\"include_usage\":true },\"messages\":[],\"stream\":true}"},
        {SG_OP_CHAT,
         SG_STR("{\"model\":\"a\",\"stream_options\":{\"include_obfuscation\":false},\"messages\":[],\"stream\":true}"),
         "a",
         "{\"model\":\"a\",\"stream_options\":{\"include_usage\":true,\"include_obfuscation\":false},\"messages\":[],"
         "\"stream\":true}"},
        {SG_OP_CHAT,
         SG_STR("{\"model\":\"a\",\"stream_options\":{\"x\":1, \"include_usage\" : "
                "false},\"messages\":[],\"stream\":true}"),
         "a",
         "{\"model\":\"a\",\"stream_options\":{\"x\":1, \"include_usage\" : true},\"messages\":[],\"stream\":true}"},
        {SG_OP_CHAT,
         SG_STR("{\"model\":\"a\",\"stream_options\":{\"include_usage\":null},\"messages\":[],\"stream\":true}"), "a",
         "{\"model\":\"a\",\"stream_options\":{\"include_usage\":true},\"messages\":[],\"stream\":true}"},
        {SG_OP_CHAT,
         SG_STR("{\"model\":\"a\",\"stream_options\":{\"include_usage\":true},\"messages\":[],\"stream\":true}"), "a",
         "{\"model\":\"a\",\"stream_options\":{\"include_usage\":true},\"messages\":[],\"stream\":true}"},
        {SG_OP_CHAT, SG_STR("{\"model\":\"a\",\"stream_options\":{},\"messages\":[],\"stream\":false}"), "a",
         "{\"model\":\"a\",\"stream_options\":{},\"messages\":[],\"stream\":false}"},
        {SG_OP_COMPLETION, SG_STR("{\"model\":\"a\",\"stream\":true}"), "a",
         "{\"stream_options\":{\"include_usage\":true},\"model\":\"a\",\"stream\":true}"},
        {SG_OP_PASS, SG_STR("{\"stream\":true}"), "b", "{\"stream\":true}"},
        {SG_OP_PASS, SG_STR("{\"model\":\"a\",\"stream\":true}"), "b", "{\"model\":\"b\",\"stream\":true}"},
        {SG_OP_EMBEDDINGS, SG_STR("{\"input\":\"x\",\"model\":\"a\",\"stream\":true}"), "\xe6\x9c\x88",
         "{\"input\":\"x\",\"model\":\"\xe6\x9c\x88\",\"stream\":true}"},
};

static void test_only_what_must_change_is_changed(void **state)
{
        for (size_t i = 0; i < SG_N_ELEMENTS(writes); i++) {
                struct sg_buf scratch, whole;
                struct sg_llm_request req;
                struct sg_llm_body body;

                sg_buf_init(&scratch, 1024);
                sg_buf_init(&whole, 1024);
                assert_int_equal(sg_buf_add(&scratch, SG_STR("others' bytes")), 0);
                assert_int_equal(sg_llm_request_read(&req, writes[i].op, writes[i].body, true, NULL), 0);
                assert_int_equal(sg_llm_request_write(&req, sg_str_from(writes[i].upstream), &scratch, &body), 0);
                for (size_t k = 0; k < body.n_pieces; k++)
                        assert_int_equal(sg_buf_add(&whole, body.pieces[k]), 0);
                if (!sg_str_eq(sg_buf_view(&whole), sg_str_from(writes[i].want)))
                        fail_msg("got " SG_STR_FMT ", want %s", SG_STR_ARG(sg_buf_view(&whole)), writes[i].want);
                assert_int_equal(sg_buf_length(&whole), body.n_bytes);
                assert_int_equal(sg_json_check(sg_buf_view(&whole), NULL, NULL), 0);
                if (sg_str_eq(sg_buf_view(&whole), writes[i].body)) {
                        assert_int_equal(body.n_pieces, 1);
                        assert_ptr_equal(body.pieces[0].p, writes[i].body.p);
                }
                sg_buf_done(&scratch);
                sg_buf_done(&whole);
        }
}

static void test_a_full_scratch_is_reported(void **state)
{
        struct sg_llm_request req = read_ok(SG_OP_CHAT, "{\"model\":\"a\",\"messages\":[]}");
        struct sg_llm_body body;
        struct sg_buf scratch;

        sg_buf_init(&scratch, 4);
        assert_int_equal(sg_llm_request_write(&req, SG_STR("a-long-name"), &scratch, &body), SG_BUF_E_FULL);
        sg_buf_done(&scratch);
}

static void test_names(void **state)
{
        assert_string_equal(sg_operation_name(SG_OP_CHAT), "chat");
        assert_string_equal(sg_operation_name(SG_OP_COMPLETION), "text_completion");
        assert_string_equal(sg_operation_name(SG_OP_EMBEDDINGS), "embeddings");
        for (int i = 0; i < SG_OP_N; i++)
                assert_string_not_equal(sg_operation_name((enum sg_operation)i), "?");
        for (int i = 0; i < SG_SURFACE_N; i++)
                assert_string_not_equal(sg_surface_name((enum sg_surface)i), "?");
        for (int i = 0; i < SG_CERTAINTY_N; i++)
                assert_string_not_equal(sg_certainty_name((enum sg_certainty)i), "?");
        assert_string_equal(sg_certainty_name(SG_CERTAINTY_N), "?");
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_fields_of_a_chat_are_read),
                cmocka_unit_test(test_null_is_as_good_as_absent),
                cmocka_unit_test(test_the_newer_name_of_max_tokens_wins),
                cmocka_unit_test(test_each_operation_reads_its_own_fields),
                cmocka_unit_test(test_a_default_makes_the_model_optional),
                cmocka_unit_test(test_each_fault_says_what_and_where),
                cmocka_unit_test(test_a_model_has_at_most_255_bytes),
                cmocka_unit_test(test_nothing_is_written_on_failure),
                cmocka_unit_test(test_only_what_must_change_is_changed),
                cmocka_unit_test(test_a_full_scratch_is_reported),
                cmocka_unit_test(test_names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
