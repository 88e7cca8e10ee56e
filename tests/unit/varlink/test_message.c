#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>

#include "varlink/message.h"

static int parse(struct sg_varlink_request *r, const char *text, const char **bad)
{
        return sg_varlink_request_parse(r, sg_str_from(text), bad);
}

static void test_a_call_is_read(void **state)
{
        struct sg_varlink_request r;
        const char *bad = NULL;

        assert_int_equal(
                parse(&r, " {\"method\":\"a.B\",\"parameters\":{\"x\":1},\"more\":true,\"oneway\":false} ", &bad), 0);
        assert_string_equal(r.method, "a.B");
        assert_true(r.more);
        assert_false(r.oneway);
        assert_int_equal(json_object_get_int(json_object_object_get(r.parameters, "x")), 1);
        sg_varlink_request_done(&r);
        assert_int_equal(parse(&r, "{\"method\":\"a.B\",\"parameters\":null}", &bad), 0);
        assert_null(r.parameters);
        sg_varlink_request_done(&r);
}

static void test_what_is_not_a_json_object_is_refused(void **state)
{
        static const char *const wrong[] = {
                "",
                " ",
                "x",
                "null",
                "1",
                "\"method\"",
                "[]",
                "{",
                "{}}",
                "{} {}",
                "{\"method\":\"a.B\"",
                "{'method':'a.B'}",
                "{\"method\":\"a.B\",}",
                "{\"method\":\"a.B\"} x",
                "/**/{\"method\":\"a.B\"}",
                "{\"method\":\"a\xff\"}",
                "{\"method\":\"\xed\xa0\x80\"}",
        };

        for (size_t i = 0; i < SG_N_ELEMENTS(wrong); i++) {
                struct sg_varlink_request r;
                const char *bad;

                assert_int_equal(parse(&r, wrong[i], &bad), -EBADMSG);
                sg_varlink_request_done(&r);
        }
}

static void test_wrong_members_are_named(void **state)
{
        static const struct {
                const char *text, *bad;
        } wrong[] = {
                {"{}", "method"},
                {"{\"method\":1}", "method"},
                {"{\"method\":\"a\\u0000b\"}", "method"},
                {"{\"method\":\"a.B\",\"parameters\":[]}", "parameters"},
                {"{\"method\":\"a.B\",\"parameters\":\"x\"}", "parameters"},
                {"{\"method\":\"a.B\",\"more\":1}", "more"},
                {"{\"method\":\"a.B\",\"oneway\":null}", "oneway"},
                {"{\"method\":\"a.B\",\"more\":true,\"oneway\":true}", "oneway"},
                {"{\"method\":\"a.B\",\"upgrade\":true}", "upgrade"},
                {"{\"method\":\"a.B\",\"extra\":{}}", "extra"},
        };

        for (size_t i = 0; i < SG_N_ELEMENTS(wrong); i++) {
                struct sg_varlink_request r;
                const char *bad = NULL;

                assert_int_equal(parse(&r, wrong[i].text, &bad), SG_VARLINK_E_MEMBER);
                assert_string_equal(bad, wrong[i].bad);
                sg_varlink_request_done(&r);
        }
}

static void test_depth_is_limited(void **state)
{
        char text[1024] = "{\"method\":\"a.B\",\"parameters\":{\"x\":";
        struct sg_varlink_request r;
        const char *bad;
        size_t n = strlen(text), depth = SG_JSON_DEPTH_MAX + 1;

        memset(text + n, '[', depth);
        memset(text + n + depth, ']', depth);
        strcpy(text + n + 2 * depth, "}}");
        assert_int_equal(parse(&r, text, &bad), -EBADMSG);
        sg_varlink_request_done(&r);
        depth = 64;
        memset(text + n, '[', depth);
        memset(text + n + depth, ']', depth);
        strcpy(text + n + 2 * depth, "}}");
        assert_int_equal(parse(&r, text, &bad), 0);
        sg_varlink_request_done(&r);
}

static void test_frames_are_found_whatever_the_cut(void **state)
{
        static const char bytes[] = "one\0two\0\0three";
        struct sg_str expected[] = {SG_STR("one"), SG_STR("two"), SG_STR("")};
        struct sg_buf b;
        size_t scanned = 0, n_found = 0;

        sg_buf_init(&b, 100);
        for (size_t i = 0; i < sizeof(bytes) - 1; i++) {
                struct sg_str text;
                int r;

                assert_int_equal(sg_buf_add(&b, sg_str_make(bytes + i, 1)), 0);
                r = sg_varlink_frame(&b, &scanned, 10, &text);
                assert_int_equal(r, bytes[i] ? SG_VARLINK_E_MORE : 0);
                if (r)
                        continue;
                assert_true(sg_str_eq(text, expected[n_found++]));
                sg_buf_take(&b, text.n + 1);
                scanned = 0;
        }
        assert_int_equal(n_found, 3);
        sg_buf_done(&b);
}

static void test_a_frame_may_be_as_long_as_the_maximum_and_no_longer(void **state)
{
        struct sg_buf b;
        struct sg_str text;
        size_t scanned = 0;

        sg_buf_init(&b, 100);
        assert_int_equal(sg_buf_add(&b, SG_STR("12345")), 0);
        assert_int_equal(sg_varlink_frame(&b, &scanned, 5, &text), SG_VARLINK_E_MORE);
        assert_int_equal(sg_buf_add(&b, SG_STR("\0")), 0);
        assert_int_equal(sg_varlink_frame(&b, &scanned, 5, &text), 0);
        assert_int_equal(text.n, 5);
        scanned = 0;
        assert_int_equal(sg_varlink_frame(&b, &scanned, 4, &text), SG_VARLINK_E_LONG);
        sg_buf_done(&b);
}

static const char *check(const char *parameters)
{
        struct json_object *s, *i, *b, *l, *o = parameters ? json_tokener_parse(parameters) : NULL;
        const struct sg_varlink_parameter expected[] = {
                {"s", SG_VARLINK_STRING, true, &s},
                {"i", SG_VARLINK_INT, false, &i},
                {"b", SG_VARLINK_BOOL, false, &b},
                {"l", SG_VARLINK_STRINGS, false, &l},
        };
        const char *bad = sg_varlink_check(o, expected, SG_N_ELEMENTS(expected));
        static char name[32];

        snprintf(name, sizeof(name), "%s", bad ? bad : "-");
        json_object_put(o);
        return name;
}

static void test_parameters_are_checked(void **state)
{
        static const struct {
                const char *parameters, *bad;
        } cases[] = {
                {"{\"s\":\"\",\"i\":-5,\"b\":false,\"l\":[\"x\",\"\"]}", "-"},
                {"{\"s\":\"a\",\"i\":null,\"b\":null,\"l\":null}", "-"},
                {"{\"s\":\"a\",\"l\":[]}", "-"},
                {NULL, "s"},
                {"{}", "s"},
                {"{\"s\":null}", "s"},
                {"{\"s\":1}", "s"},
                {"{\"s\":\"a\\u0000b\"}", "s"},
                {"{\"s\":\"a\",\"i\":1.5}", "i"},
                {"{\"s\":\"a\",\"i\":\"1\"}", "i"},
                {"{\"s\":\"a\",\"i\":100000000000000000000000}", "i"},
                {"{\"s\":\"a\",\"i\":-100000000000000000000000}", "i"},
                {"{\"s\":\"a\",\"i\":9223372036854775808}", "i"},
                {"{\"s\":\"a\",\"b\":0}", "b"},
                {"{\"s\":\"a\",\"l\":\"x\"}", "l"},
                {"{\"s\":\"a\",\"l\":[\"x\",1]}", "l"},
                {"{\"s\":\"a\",\"l\":[null]}", "l"},
                {"{\"s\":\"a\",\"t\":1}", "t"},
                {"{\"s\":\"a\",\"t\":null}", "t"},
        };

        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++)
                assert_string_equal(check(cases[i].parameters), cases[i].bad);
}

static void test_written_messages_are_read_back(void **state)
{
        struct json_object *o = json_object_new_object();
        struct sg_varlink_answer a;
        struct sg_buf b;
        struct sg_str text;
        size_t scanned = 0;

        json_object_object_add(o, "text", json_object_new_string("a\xff\"\n/\xc3\xa9\xf0\x9f\x98\x80")); /* not UTF-8 */
        sg_buf_init(&b, 1000);
        assert_int_equal(sg_varlink_add_reply(&b, NULL, o, true), 0);
        assert_int_equal(sg_varlink_add_reply(&b, "x.Bad", NULL, false), 0);
        json_object_put(o);
        assert_int_equal(sg_varlink_frame(&b, &scanned, 1000, &text), 0);
        assert_int_equal(sg_varlink_answer_parse(&a, text), 0);
        assert_true(a.continues);
        assert_null(a.error_name);
        assert_string_equal(json_object_get_string(json_object_object_get(a.parameters, "text")),
                            "a\xef\xbf\xbd\"\n/\xc3\xa9\xf0\x9f\x98\x80");
        sg_varlink_answer_done(&a);
        sg_buf_take(&b, text.n + 1);
        scanned = 0;
        assert_int_equal(sg_varlink_frame(&b, &scanned, 1000, &text), 0);
        assert_int_equal(sg_varlink_answer_parse(&a, text), 0);
        assert_string_equal(a.error_name, "x.Bad");
        sg_varlink_answer_done(&a);
        sg_buf_done(&b);
}

static void test_a_message_is_added_whole_or_not_at_all(void **state)
{
        struct sg_buf b;

        sg_buf_init(&b, 40);
        assert_int_equal(sg_varlink_add_call(&b, "a.B", NULL, false),
                         0); /* {"method":"a.B","parameters":{}} and NUL: 33 */
        assert_int_equal(sg_buf_length(&b), 33);
        assert_int_equal(sg_varlink_add_call(&b, "a.B", NULL, false), SG_BUF_E_FULL);
        assert_int_equal(sg_buf_length(&b), 33);
        sg_buf_done(&b);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_call_is_read),
                cmocka_unit_test(test_what_is_not_a_json_object_is_refused),
                cmocka_unit_test(test_wrong_members_are_named),
                cmocka_unit_test(test_depth_is_limited),
                cmocka_unit_test(test_frames_are_found_whatever_the_cut),
                cmocka_unit_test(test_a_frame_may_be_as_long_as_the_maximum_and_no_longer),
                cmocka_unit_test(test_parameters_are_checked),
                cmocka_unit_test(test_written_messages_are_read_back),
                cmocka_unit_test(test_a_message_is_added_whole_or_not_at_all),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
