#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "llm/llm.h"

#define B           "--b\r\n"
#define END         "--b--\r\n"
#define NAME(n)     "Content-Disposition: form-data; name=\"" n "\"\r\n\r\n"
#define FIELD(n, v) B NAME(n) v "\r\n"
#define SOUND                                                                                                          \
        B "Content-Disposition: form-data; name=\"file\"; filename=\"a.mp3\"\r\nContent-Type: audio/mpeg\r\n\r\n"      \
          "\xff\xfb\x90\x00--\r\n--\r\nb\n--c\r\n"

static const struct sg_str boundary = SG_STR("b");

static struct sg_llm_request read_ok(struct sg_str body)
{
        struct sg_llm_fault fault = {0};
        struct sg_llm_request req;

        if (sg_llm_form_read(&req, SG_OP_TRANSCRIPTION, body, boundary, true, &fault))
                fail_msg("%s", fault.text);
        return req;
}

static void test_a_form_is_read(void **state)
{
        struct sg_llm_request req =
                read_ok(SG_STR(SOUND FIELD("model", "whisper-1") FIELD("stream", "true") FIELD("prompt", "") END));

        assert_string_equal(req.model_name, "whisper-1");
        assert_true(req.is_stream && req.is_form && req.wants_usage);
        assert_true(sg_str_eq(req.model.value.text, SG_STR("whisper-1")));
        assert_false(read_ok(SG_STR(FIELD("model", "m") FIELD("stream", "false") "--b--")).is_stream);
        assert_string_equal(read_ok(SG_STR(SOUND END)).model_name, "");
        assert_int_equal(sg_llm_form_read(&req, SG_OP_IMAGES, SG_STR(SOUND END), boundary, false, NULL),
                         SG_LLM_E_NO_MODEL);
}

static void test_heads_that_all_read_alike(void **state)
{
        static const struct sg_str heads[] = {
                SG_STR("content-disposition:form-data;name=model\r\n\r\n"),
                SG_STR("Content-Disposition: form-data ; \tNAME=\"model\" ; x=y\r\n\r\n"),
                SG_STR("Content-Type: text/plain; charset=UTF-8\r\nContent-Disposition: form-data; "
                       "name=\"model\"\r\n\r\n"),
                SG_STR("Content-Disposition: form-data; name=\"model\"\r\nContent-Type: text/plain; "
                       "charset=\"us-ascii\"\r\nContent-Transfer-Encoding: 8BIT\r\nX-Other: \xc3\xa9\r\n\r\n"),
        };

        for (size_t i = 0; i < SG_N_ELEMENTS(heads); i++) {
                char body[512];
                int n = snprintf(body, sizeof(body), B SG_STR_FMT "m-1\r\n" END, SG_STR_ARG(heads[i]));

                assert_string_equal(read_ok(sg_str_make(body, (size_t)n)).model_name, "m-1");
        }
        /* names of files may be anything but end in a backslash */
        assert_string_equal(
                read_ok(SG_STR(B "Content-Disposition: form-data; name=\"file\"; filename=\"C:\\a;b%22.png\"; "
                                 "filename*=UTF-8''a\r\n\r\n\r\n" FIELD("model", "m") END))
                        .model_name,
                "m");
}

static const struct {
        int code;
        struct sg_str body;
        const char *param, *text;
} faults[] = {
#define CASE(body, code, ...)                                                                                          \
        {                                                                                                              \
                code, SG_STR(body), __VA_ARGS__                                                                        \
        }
        CASE("", SG_LLM_E_BAD_JSON, "", "the form cannot be read: it does not begin with its boundary at byte 0"),
        CASE("preamble\r\n" FIELD("model", "m") END, SG_LLM_E_BAD_JSON, "",
             "the form cannot be read: it does not begin with its boundary at byte 0"),
        CASE("\r\n" FIELD("model", "m") END, SG_LLM_E_BAD_JSON, "",
             "the form cannot be read: it does not begin with its boundary at byte 0"),
        CASE("--b", SG_LLM_E_BAD_JSON, "",
             "the form cannot be read: a line that begins with the boundary, but is none at byte 3"),
        CASE("--b \r\n" NAME("model") "m\r\n" END, SG_LLM_E_BAD_JSON, "",
             "the form cannot be read: a line that begins with the boundary, but is none at byte 3"),
        CASE("--b\n" NAME("model") "m\r\n" END, SG_LLM_E_BAD_JSON, "",
             "the form cannot be read: a line that begins with the boundary, but is none at byte 3"),
        CASE(FIELD("a", "x\r\n--bc"), SG_LLM_E_BAD_JSON, "",
             "the form cannot be read: a line that begins with the boundary, but is none at byte 55"),
        CASE(FIELD("a", "x") "--b-", SG_LLM_E_BAD_JSON, "",
             "the form cannot be read: a line that begins with the boundary, but is none at byte 55"),
        CASE(FIELD("a", "x") END "y", SG_LLM_E_BAD_JSON, "",
             "the form cannot be read: bytes after its last boundary at byte 57"),
        CASE(FIELD("a", "x"), SG_LLM_E_BAD_JSON, "",
             "the form cannot be read: it ends without its last boundary at byte 52"),
        CASE(B NAME("a") "x\n" END, SG_LLM_E_BAD_JSON, "",
             "the form cannot be read: a boundary without CRLF of its own before it at byte 51"),
        CASE(B NAME("a") END, SG_LLM_E_BAD_JSON, "",
             "the form cannot be read: a boundary without CRLF of its own before it at byte 49"),
        CASE(B "X: y", SG_LLM_E_BAD_JSON, "",
             "the form cannot be read: the head of a part does not end, or is longer than 8192 bytes at byte 5"),
        CASE(B "\r\nx\r\n" END, SG_LLM_E_BAD_JSON, "",
             "the form cannot be read: a part without content-disposition at byte 5"),
        CASE(B "X: y\r\n\r\nx\r\n" END, SG_LLM_E_BAD_JSON, "",
             "the form cannot be read: a part without content-disposition at byte 5"),
        CASE(B "X: y\r\n z\r\n\r\nx\r\n" END, SG_LLM_E_BAD_JSON, "",
             "the form cannot be read: a folded header at byte 11"),
        CASE(B "X: y\nz\r\n\r\nx\r\n" END, SG_LLM_E_BAD_JSON, "",
             "the form cannot be read: a control byte in a header at byte 5"),
        CASE(B "X y\r\n\r\nx\r\n" END, SG_LLM_E_BAD_JSON, "",
             "the form cannot be read: a header without a name or a colon at byte 5"),
        CASE(B "Content-Disposition: attachment; name=a\r\n\r\nx\r\n" END, SG_LLM_E_BAD_JSON, "",
             "the form cannot be read: a content-disposition that is not form-data at byte 5"),
        CASE(B "Content-Disposition: form-data\r\n\r\nx\r\n" END, SG_LLM_E_BAD_JSON, "",
             "the form cannot be read: a part without a name at byte 5"),
        CASE(B "Content-Disposition: form-data; name=\"a\" filename=b\r\n\r\nx\r\n" END, SG_LLM_E_BAD_JSON, "",
             "the form cannot be read: a content-disposition with a semicolon missing at byte 5"),
        CASE(B "Content-Disposition: form-data; name\r\n\r\nx\r\n" END, SG_LLM_E_BAD_JSON, "",
             "the form cannot be read: a parameter without a value at byte 5"),
        CASE(B "Content-Disposition: form-data; name=\"a\r\n\r\nx\r\n" END, SG_LLM_E_BAD_JSON, "",
             "the form cannot be read: a quoted string without end at byte 5"),
        CASE(B "Content-Disposition: form-data; name=\"\"\r\n\r\nx\r\n" END, SG_LLM_E_BAD_JSON, "",
             "the form cannot be read: a name that is empty or has escapes at byte 5"),
        CASE(B "Content-Disposition: form-data; name=\"mod\\el\"\r\n\r\nx\r\n" END, SG_LLM_E_BAD_JSON, "",
             "the form cannot be read: a name that is empty or has escapes at byte 5"),
        CASE(B "Content-Disposition: form-data; name=\"mod%65l\"\r\n\r\nx\r\n" END, SG_LLM_E_BAD_JSON, "",
             "the form cannot be read: a name that is empty or has escapes at byte 5"),
        CASE(B "Content-Disposition: form-data; name*=UTF-8''model\r\n\r\nx\r\n" END, SG_LLM_E_BAD_JSON, "",
             "the form cannot be read: an encoded name at byte 5"),
        CASE(B "Content-Disposition: form-data; name=a; filename=\"x\\\"; name=\"model\"\r\n\r\nx\r\n" END,
             SG_LLM_E_BAD_JSON, "", "the form cannot be read: an escaped quote at byte 5"),
        CASE(B "Content-Disposition: form-data; name=a; NAME=model\r\n\r\nx\r\n" END, SG_LLM_E_BAD_JSON, "",
             "the form cannot be read: a parameter that stands twice at byte 5"),
        CASE(B "X: y\r\nContent-Disposition: form-data; name=a\r\nContent-Disposition: form-data; "
               "name=model\r\n\r\nx\r\n" END,
             SG_LLM_E_BAD_JSON, "", "the form cannot be read: a header that stands twice at byte 51"),
        CASE(B "Content-Transfer-Encoding: base64\r\n" NAME("model") "bQ==\r\n" END, SG_LLM_E_BAD_JSON, "",
             "the form cannot be read: a transfer encoding at byte 5"),
        CASE(FIELD("model", "a") FIELD("model", "b") END, SG_LLM_E_BAD_FIELD, "model",
             "'model' stands twice in the form"),
        CASE(FIELD("model", "") END, SG_LLM_E_BAD_FIELD, "model", "'model' is empty"),
        CASE(FIELD("model", "a\r\nb") END, SG_LLM_E_BAD_FIELD, "model", "'model' holds a control character"),
        CASE(FIELD("model", "\xff") END, SG_LLM_E_BAD_FIELD, "model", "'model' must be UTF-8"),
        CASE(B "Content-Type: text/plain; charset=utf-16\r\n" NAME("model") "m\r\n" END, SG_LLM_E_BAD_FIELD, "model",
             "'model' must be UTF-8"),
        CASE(B "Content-Disposition: form-data; name=model; filename=x\r\n\r\nm\r\n" END, SG_LLM_E_BAD_FIELD, "model",
             "'model' must be a field, not a file"),
        CASE(FIELD("stream", "True") END, SG_LLM_E_BAD_FIELD, "stream", "'stream' must be true or false"),
        CASE(FIELD("stream", "true") FIELD("stream", "false") END, SG_LLM_E_BAD_FIELD, "stream",
             "'stream' stands twice in the form"),
};

static void test_each_fault_says_what_and_where(void **state)
{
        for (size_t i = 0; i < SG_N_ELEMENTS(faults); i++) {
                struct sg_llm_fault fault = {.param = "unset"};
                struct sg_llm_request req;

                assert_int_equal(sg_llm_form_read(&req, SG_OP_IMAGES, faults[i].body, boundary, true, &fault),
                                 faults[i].code);
                assert_string_equal(fault.text, faults[i].text);
                assert_string_equal(fault.param, faults[i].param);
        }
}

/* With a colon in the boundary, its line would pass for a header. */
static void test_a_boundary_within_a_head(void **state)
{
        struct sg_llm_fault fault;
        struct sg_llm_request req;

        assert_int_equal(sg_llm_form_read(&req, SG_OP_IMAGES,
                                          SG_STR("--a:b\r\n--a:b\r\n" NAME("model") "m\r\n--a:b--\r\n"), SG_STR("a:b"),
                                          true, &fault),
                         SG_LLM_E_BAD_JSON);
        assert_string_equal(fault.text, "the form cannot be read: a boundary within the head of a part at byte 7");
}

static void test_boundaries(void **state)
{
        static const char longest[] = "0123456789012345678901234567890123456789012345678901234567890123456789";
        static const struct sg_str bad[] = {SG_STR(""),       SG_STR("a "),       SG_STR("a\"b"),
                                            SG_STR("a\r\nb"), SG_STR("\xc3\xa9"), {longest, 71}};
        struct sg_llm_request req;
        char body[256];
        int n = snprintf(body, sizeof(body), "--%s\r\n" NAME("model") "m\r\n--%s--", longest, longest);

        for (size_t i = 0; i < SG_N_ELEMENTS(bad); i++)
                assert_int_equal(
                        sg_llm_form_read(&req, SG_OP_IMAGES, SG_STR(FIELD("model", "m") END), bad[i], true, NULL),
                        SG_LLM_E_BAD_JSON);
        assert_int_equal(
                sg_llm_form_read(&req, SG_OP_IMAGES, sg_str_make(body, (size_t)n), sg_str_from(longest), true, NULL),
                0);
        assert_string_equal(req.model_name, "m");
}

static void test_limits(void **state)
{
        struct sg_llm_fault fault;
        struct sg_llm_request req;
        struct sg_buf b;

        sg_buf_init(&b, 1u << 20);
        for (int i = 0; i < 128; i++)
                assert_int_equal(sg_buf_add(&b, SG_STR(FIELD("a[]", "x"))), 0);
        assert_int_equal(sg_buf_add(&b, SG_STR(END)), 0);
        assert_int_equal(sg_llm_form_read(&req, SG_OP_IMAGES, sg_buf_view(&b), boundary, true, &fault), 0);
        sg_buf_clear(&b);
        for (int i = 0; i < 129; i++)
                assert_int_equal(sg_buf_add(&b, SG_STR(FIELD("a[]", "x"))), 0);
        assert_int_equal(sg_buf_add(&b, SG_STR(END)), 0);
        assert_int_equal(sg_llm_form_read(&req, SG_OP_IMAGES, sg_buf_view(&b), boundary, true, &fault),
                         SG_LLM_E_BAD_JSON);
        assert_non_null(strstr(fault.text, "more than 128 parts"));
        sg_buf_clear(&b);
        assert_int_equal(sg_buf_printf(&b, B "X: %09000d\r\n" NAME("model") "m\r\n" END, 0), 0);
        assert_int_equal(sg_llm_form_read(&req, SG_OP_IMAGES, sg_buf_view(&b), boundary, true, &fault),
                         SG_LLM_E_BAD_JSON);
        assert_non_null(strstr(fault.text, "longer than 8192 bytes"));
        sg_buf_done(&b);
}

static void assert_written(struct sg_str body, struct sg_str model, struct sg_str want)
{
        struct sg_llm_request req = read_ok(body);
        struct sg_buf scratch, whole;
        struct sg_llm_body out;

        sg_buf_init(&scratch, 512);
        sg_buf_init(&whole, 4096);
        assert_int_equal(sg_llm_request_write(&req, model, &scratch, &out), 0);
        for (size_t i = 0; i < out.n_pieces; i++)
                assert_int_equal(sg_buf_add(&whole, out.pieces[i]), 0);
        assert_int_equal(sg_buf_length(&whole), out.n_bytes);
        if (!sg_str_eq(sg_buf_view(&whole), want))
                fail_msg("got <" SG_STR_FMT ">", SG_STR_ARG(sg_buf_view(&whole)));
        sg_buf_done(&scratch);
        sg_buf_done(&whole);
}

static void test_the_model_is_replaced_bare(void **state)
{
        assert_written(SG_STR(SOUND FIELD("model", "a") FIELD("stream", "true") END), SG_STR("up \"x\""),
                       SG_STR(SOUND FIELD("model", "up \"x\"") FIELD("stream", "true") END));
        assert_written(SG_STR(FIELD("model", "same") END), SG_STR("same"), SG_STR(FIELD("model", "same") END));
        assert_written(SG_STR(FIELD("model", "a") END), SG_STR(""), SG_STR(FIELD("model", "a") END));
}

static void test_a_missing_model_is_put_in_front(void **state)
{
        assert_written(SG_STR(SOUND END), SG_STR("m"), SG_STR(FIELD("model", "m") SOUND END));
        assert_written(SG_STR("--b--\r\n"), SG_STR("m"), SG_STR(FIELD("model", "m") "--b--\r\n"));
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_form_is_read),
                cmocka_unit_test(test_heads_that_all_read_alike),
                cmocka_unit_test(test_each_fault_says_what_and_where),
                cmocka_unit_test(test_a_boundary_within_a_head),
                cmocka_unit_test(test_boundaries),
                cmocka_unit_test(test_limits),
                cmocka_unit_test(test_the_model_is_replaced_bare),
                cmocka_unit_test(test_a_missing_model_is_put_in_front),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
