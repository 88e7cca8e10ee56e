#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "json/slice.h"

static struct sg_json_value value_of(struct sg_str text)
{
        struct sg_json_value v = {0};

        assert_int_equal(sg_json_check(text, &v, NULL), 0);
        return v;
}

static const struct {
        struct sg_str json, plain;
} decoded[] = {
        {SG_STR("\"\""), SG_STR("")},
        {SG_STR("\"abc\""), SG_STR("abc")},
        {SG_STR("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), SG_STR("\"\\/\b\f\n\r\t")},
        {SG_STR("\"a\\u0041b\\u00e9\\u4F60\""), SG_STR("aAb\xc3\xa9\xe4\xbd\xa0")},
        {SG_STR("\"\\u0000\""), SG_STR("\0")},
        {SG_STR("\"\\u007f\\u0080\\u07ff\\u0800\\uffff\""), SG_STR("\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf")},
        {SG_STR("\"\\ud83d\\ude00\""), SG_STR("\xf0\x9f\x98\x80")},
        {SG_STR("\"\\udbff\\udfff\""), SG_STR("\xf4\x8f\xbf\xbf")},
        {SG_STR("\"\\ud83d\""), SG_STR("\xef\xbf\xbd")},
        {SG_STR("\"\\ude00x\""), SG_STR("\xef\xbf\xbdx")},
        {SG_STR("\"\\ud83d\\u0041\""), SG_STR("\xef\xbf\xbd"
                                              "A")},
        {SG_STR("\"\\ud83d\\ud83d\\ude00\""), SG_STR("\xef\xbf\xbd\xf0\x9f\x98\x80")},
        {SG_STR("\"\\ud83d\\n\""), SG_STR("\xef\xbf\xbd\n")},
        {SG_STR("\"\xe4\xbd\xa0\\n\xf0\x9f\x98\x80\""), SG_STR("\xe4\xbd\xa0\n\xf0\x9f\x98\x80")},
        {SG_STR("\"\\\\u0041\""), SG_STR("\\u0041")},
};

static void test_strings_are_decoded(void **state)
{
        for (size_t i = 0; i < SG_N_ELEMENTS(decoded); i++) {
                struct sg_buf b;

                sg_buf_init(&b, 64);
                assert_int_equal(sg_json_add_decoded(&b, value_of(decoded[i].json)), 0);
                assert_true(sg_str_eq(sg_buf_view(&b), decoded[i].plain));
                sg_buf_done(&b);
        }
}

static void test_copy_and_compare_agree_with_decode(void **state)
{
        for (size_t i = 0; i < SG_N_ELEMENTS(decoded); i++) {
                struct sg_json_value v = value_of(decoded[i].json);
                char out[64];
                size_t n;

                assert_true(sg_json_copy(v, out, sizeof(out), &n));
                assert_true(sg_str_eq(sg_str_make(out, n), decoded[i].plain));
                assert_int_equal(out[n], 0);
                assert_true(sg_json_text_is(v, decoded[i].plain));
                assert_false(sg_json_text_is(v, SG_STR("something else")));
        }
}

static void test_names_are_compared_decoded(void **state)
{
        assert_true(sg_json_text_is(value_of(SG_STR("\"\"")), SG_STR("")));
        assert_true(sg_json_text_is(value_of(SG_STR("\"\\u0061bc\"")), SG_STR("abc")));
        assert_true(sg_json_text_is(value_of(SG_STR("\"\\\\n\"")), SG_STR("\\n")));
        assert_false(sg_json_text_is(value_of(SG_STR("\"\\n\"")), SG_STR("\\n"))); /* the same bytes */
        assert_false(sg_json_text_is(value_of(SG_STR("\"abd\"")), SG_STR("abc")));
        assert_false(sg_json_text_is(value_of(SG_STR("\"abcd\"")), SG_STR("abc")));
        assert_false(sg_json_text_is(value_of(SG_STR("123")), SG_STR("2")));
}

static void test_copy_cuts_at_whole_characters(void **state)
{
        char out[5];
        size_t n;

        assert_false(sg_json_copy(value_of(SG_STR("\"ab\\u4f60\xe5\xa5\xbd\"")), out, sizeof(out), &n));
        assert_int_equal(n, 2);
        assert_string_equal(out, "ab");
        assert_true(sg_json_copy(value_of(SG_STR("\"a\\u4f60\"")), out, sizeof(out), &n));
        assert_int_equal(n, 4);
        assert_true(sg_json_copy(value_of(SG_STR("12")), out, sizeof(out), &n));
        assert_int_equal(n, 0);
}

static void test_decoded_bytes_fill_a_buffer_to_its_maximum(void **state)
{
        struct sg_buf b;

        sg_buf_init(&b, 3);
        assert_int_equal(sg_json_add_decoded(&b, value_of(SG_STR("\"\\u0041\\u0041\\u0041\""))), 0);
        assert_int_equal(sg_json_add_decoded(&b, value_of(SG_STR("\"x\""))), SG_BUF_E_FULL);
        assert_true(sg_str_eq(sg_buf_view(&b), SG_STR("AAA")));
        sg_buf_done(&b);
}

static void test_plain_only_without_escapes(void **state)
{
        struct sg_str s = SG_STR("before");

        assert_false(sg_json_plain(value_of(SG_STR("\"a\\n\"")), &s));
        assert_false(sg_json_plain(value_of(SG_STR("12")), &s));
        assert_true(sg_str_eq(s, SG_STR("before")));
        assert_true(sg_json_plain(value_of(SG_STR("\"a b\"")), &s));
        assert_true(sg_str_eq(s, SG_STR("a b")));
}

static void test_whole_numbers(void **state)
{
        static const struct {
                struct sg_str text;
                uint64_t value;
        } whole[] = {
                {SG_STR("0"), 0},
                {SG_STR("-0"), 0},
                {SG_STR("0.000"), 0},
                {SG_STR("0e99999999999999999999"), 0},
                {SG_STR("12"), 12},
                {SG_STR("12.0"), 12},
                {SG_STR("12.000e0"), 12},
                {SG_STR("1e3"), 1000},
                {SG_STR("1.5e1"), 15},
                {SG_STR("1200e-2"), 12},
                {SG_STR("0.0012e4"), 12},
                {SG_STR("1E+2"), 100},
                {SG_STR("18446744073709551615"), UINT64_MAX},
                {SG_STR("1844674407370955161.5e1"), UINT64_MAX},
                {SG_STR("1000000"), 1000000},
                {SG_STR("1000001"), 1000001},
        };
        static const struct sg_str others[] = {
                SG_STR("-1"),
                SG_STR("1.5"),
                SG_STR("1e-1"),
                SG_STR("18446744073709551616"),
                SG_STR("1e20"),
                SG_STR("1e99999999999999999999"),
                SG_STR("1e-99999999999999999999"),
                SG_STR("-12.0"),
                SG_STR("\"12\""),
                SG_STR("null"),
                SG_STR("true"),
                SG_STR("0.1"),
                SG_STR("123456789012345678901234567890.5"),
        };
        uint64_t v;

        for (size_t i = 0; i < SG_N_ELEMENTS(whole); i++) {
                v = 99;
                if (!sg_json_u64(value_of(whole[i].text), &v) || v != whole[i].value)
                        fail_msg(SG_STR_FMT, SG_STR_ARG(whole[i].text));
        }
        for (size_t i = 0; i < SG_N_ELEMENTS(others); i++) {
                v = 99;
                if (sg_json_u64(value_of(others[i]), &v) || v != 99)
                        fail_msg(SG_STR_FMT, SG_STR_ARG(others[i]));
        }
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_strings_are_decoded),
                cmocka_unit_test(test_copy_and_compare_agree_with_decode),
                cmocka_unit_test(test_names_are_compared_decoded),
                cmocka_unit_test(test_copy_cuts_at_whole_characters),
                cmocka_unit_test(test_decoded_bytes_fill_a_buffer_to_its_maximum),
                cmocka_unit_test(test_plain_only_without_escapes),
                cmocka_unit_test(test_whole_numbers),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
