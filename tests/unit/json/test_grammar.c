/* The grammar of RFC 8259, case by case: what must pass, what must not, and what the RFC leaves open and we decided
 * (lone surrogates and huge numbers pass, a byte order mark does not). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/limits.h"
#include "json/slice.h"

static const struct sg_str good[] = {
        SG_STR("[]"),
        SG_STR("[ ]"),
        SG_STR("{}"),
        SG_STR("{ }"),
        SG_STR(" null "),
        SG_STR("\t\r\n{ }\r\n\t"),
        SG_STR("null"),
        SG_STR("true"),
        SG_STR("false"),
        SG_STR("0"),
        SG_STR("-0"),
        SG_STR("1"),
        SG_STR("-1"),
        SG_STR("10"),
        SG_STR("123456789012345678901234567890"),
        SG_STR("1.5"),
        SG_STR("-1.5"),
        SG_STR("0.1"),
        SG_STR("-0.0"),
        SG_STR("0e0"),
        SG_STR("0E+1"),
        SG_STR("0e-1"),
        SG_STR("1e5"),
        SG_STR("1E5"),
        SG_STR("1e+5"),
        SG_STR("1E-5"),
        SG_STR("1.25e+10"),
        SG_STR("1e400"),
        SG_STR("-1e-400"),
        SG_STR("123.456e78"),
        SG_STR("[1]"),
        SG_STR("[1,2]"),
        SG_STR("[ 1 , 2 ]"),
        SG_STR("[[]]"),
        SG_STR("[[],[]]"),
        SG_STR("[{},[]]"),
        SG_STR("[null]"),
        SG_STR("[\"a\"]"),
        SG_STR("[\"\"]"),
        SG_STR("\"\""),
        SG_STR("\"a\""),
        SG_STR("\" \""),
        SG_STR("\"\\\"\""),
        SG_STR("\"\\\\\""),
        SG_STR("\"\\/\""),
        SG_STR("\"/\""),
        SG_STR("\"\\b\\f\\n\\r\\t\""),
        SG_STR("\"\\u0000\""),
        SG_STR("\"\\u0041\""),
        SG_STR("\"\\uD834\\uDD1E\""),
        SG_STR("\"\\ud83d\\ude39\\ud83d\\udc8d\""),
        SG_STR("\"\\uAbCd\\uabcd\""),
        SG_STR("\"\\uD800\""),
        SG_STR("\"\\uDFAA\""),
        SG_STR("\"\\uD888\\u1234\""),
        SG_STR("\"\\uDd1e\\uD834\""),
        SG_STR("\"\\ud800\\ud800\\n\""),
        SG_STR("\"\\\\u0041\""),
        SG_STR("\"\\\\\\n\""),
        SG_STR("\"\x7f\""),
        SG_STR("\"\xc2\x80\""),
        SG_STR("\"\xc3\xa9\""),
        SG_STR("\"\xdf\xbf\""),
        SG_STR("\"\xe0\xa0\x80\""),
        SG_STR("\"\xe2\x80\xa8\xe2\x80\xa9\""),
        SG_STR("\"\xe4\xbd\xa0\xe5\xa5\xbd\""),
        SG_STR("\"\xed\x9f\xbf\""),
        SG_STR("\"\xee\x80\x80\""),
        SG_STR("\"\xef\xbf\xbf\""),
        SG_STR("\"\xef\xbb\xbf\""),
        SG_STR("\"\xf0\x90\x80\x80\""),
        SG_STR("\"\xf0\x9f\x98\x80\""),
        SG_STR("\"\xf4\x8f\xbf\xbf\""),
        SG_STR("{\"a\":1}"),
        SG_STR("{\"a\" : 1 , \"b\" : 2}"),
        SG_STR("{\"\":0}"),
        SG_STR("{\"a\":{\"a\":{\"a\":[]}}}"),
        SG_STR("{\"a\":1,\"a\":1}"),
        SG_STR("{\"a\":\"b\",\"a\":\"c\"}"),
        SG_STR("{\"a\\u0000b\":1}"),
        SG_STR("{\"\xe4\xbd\xa0\":\"\xe5\xa5\xbd\"}"),
        SG_STR("{\"min\":-1.0e+28,\"max\":1.0e+28}"),
        SG_STR("[1,null,true,\"x\",{},[]]"),
        SG_STR("[\"0123456789abcdef\"]"),
        SG_STR("[\"0123456789abcde\\n\"]"),
        SG_STR("[\"0123456789abcdef0123456789abcdef0123456789abcdef\"]"),
        SG_STR("{\"x\":[{\"id\":\"0123456789\"}],\"id\":\"a\"}"),
        SG_STR("[1\n]"),
        SG_STR("[\"a\",\n4\n,1,1]"),
};

static const struct sg_str bad[] = {
        SG_STR(""),
        SG_STR(" "),
        SG_STR("\t\n"),
        SG_STR("["),
        SG_STR("]"),
        SG_STR("{"),
        SG_STR("}"),
        SG_STR("[1"),
        SG_STR("[1,"),
        SG_STR("[1,]"),
        SG_STR("[,1]"),
        SG_STR("[,]"),
        SG_STR("[1,,2]"),
        SG_STR("[1 2]"),
        SG_STR("[1:2]"),
        SG_STR("[1]]"),
        SG_STR("[1}"),
        SG_STR("{]"),
        SG_STR("[}"),
        SG_STR("[[]"),
        SG_STR("[]]"),
        SG_STR("[]x"),
        SG_STR("{}x"),
        SG_STR("{}{}"),
        SG_STR("{} null"),
        SG_STR("[1]x"),
        SG_STR("1 2"),
        SG_STR("nul"),
        SG_STR("nulll"),
        SG_STR("tru"),
        SG_STR("True"),
        SG_STR("TRUE"),
        SG_STR("fals"),
        SG_STR("falsy"),
        SG_STR("none"),
        SG_STR("NaN"),
        SG_STR("nan"),
        SG_STR("Infinity"),
        SG_STR("-Infinity"),
        SG_STR("inf"),
        SG_STR("undefined"),
        SG_STR("-"),
        SG_STR("+1"),
        SG_STR("+"),
        SG_STR("--1"),
        SG_STR("-a"),
        SG_STR("01"),
        SG_STR("-01"),
        SG_STR("00"),
        SG_STR("012"),
        SG_STR("1."),
        SG_STR(".5"),
        SG_STR("-.5"),
        SG_STR("1.e1"),
        SG_STR("1.a"),
        SG_STR("0."),
        SG_STR("0.e1"),
        SG_STR("0e"),
        SG_STR("0e+"),
        SG_STR("1e"),
        SG_STR("1E-"),
        SG_STR("1ee5"),
        SG_STR("1e5.5"),
        SG_STR("1e+-5"),
        SG_STR("1.2.3"),
        SG_STR("0x10"),
        SG_STR("0xff"),
        SG_STR("1_000"),
        SG_STR("1,000"),
        SG_STR("1a"),
        SG_STR("2.a"),
        SG_STR("-1x"),
        SG_STR("\xef\xbc\x91"),
        SG_STR("\""),
        SG_STR("\"a"),
        SG_STR("\"a\\"),
        SG_STR("\"a\\\""),
        SG_STR("\"\\a\""),
        SG_STR("\"\\x41\""),
        SG_STR("\"\\'\""),
        SG_STR("\"\\0\""),
        SG_STR("\"\\ \""),
        SG_STR("\"\\U0041\""),
        SG_STR("\"\\u\""),
        SG_STR("\"\\u1\""),
        SG_STR("\"\\u12\""),
        SG_STR("\"\\u123\""),
        SG_STR("\"\\u123g\""),
        SG_STR("\"\\u 123\""),
        SG_STR("\"\\u123"),
        SG_STR("\"\\uD834\\uDd\""),
        SG_STR("\"\\uD800\\u1x\""),
        SG_STR("\"\\\xe4\xbd\xa0\""),
        SG_STR("'a'"),
        SG_STR("a"),
        SG_STR("\"\n\""),
        SG_STR("\"\t\""),
        SG_STR("\"\r\""),
        SG_STR("\"\x01\""),
        SG_STR("\"\x1f\""),
        SG_STR("\"0123456789abcdef\n\""),
        SG_STR("\"0123456789ab\x1f\""),
        SG_STR("\x0c"
               "1"),
        SG_STR("\x0b"
               "1"),
        SG_STR("\xc2\xa0[]"),
        SG_STR("\xe2\x80\x8b{}"),
        SG_STR("\xef\xbb\xbf{}"),
        SG_STR("\xef\xbb\xbf"),
        SG_STR("{\"a\"}"),
        SG_STR("{\"a\":}"),
        SG_STR("{\"a\":1,}"),
        SG_STR("{\"a\":1,,\"b\":2}"),
        SG_STR("{,\"a\":1}"),
        SG_STR("{\"a\" 1}"),
        SG_STR("{\"a\"::1}"),
        SG_STR("{\"a\",1}"),
        SG_STR("{\"a\":1 \"b\":2}"),
        SG_STR("{\"a\":1;\"b\":2}"),
        SG_STR("{a:1}"),
        SG_STR("{'a':1}"),
        SG_STR("{1:1}"),
        SG_STR("{null:1}"),
        SG_STR("{[]:1}"),
        SG_STR("{true:1}"),
        SG_STR("{\"a\":1]"),
        SG_STR("{\"a\":[1}"),
        SG_STR("{\"a\":1"),
        SG_STR("{\"a\":"),
        SG_STR("{\"a\""),
        SG_STR("{\"a"),
        SG_STR("{\"a\":\"b"),
        SG_STR("{\"a\":1}}"),
        SG_STR("{\"a\":1}#"),
        SG_STR("{\"a\":1}/**/"),
        SG_STR("/**/{}"),
        SG_STR("{}//"),
        SG_STR("[1]//x"),
        SG_STR("{/**/}"),
        SG_STR("{\"a\":/**/1}"),
        SG_STR("{\"a\\x\":1}"),
        SG_STR("{\"a\n\":1}"),
        SG_STR("[\"a\" \"b\"]"),
        SG_STR("[\"a\","),
        SG_STR("[true false]"),
        SG_STR("[-]"),
        SG_STR("[1e]"),
        SG_STR("[nul]"),
        SG_STR("[\"\\]"),
        SG_STR("{}\\"),
        SG_STR("\\u007b\\u007d"),
        SG_STR("<a>"),
        SG_STR("[*]"),
        SG_STR("$"),
        SG_STR("&"),
        SG_STR("[\x00]"),
        SG_STR("{\"a\":\x00}"),
        SG_STR("{}\x00"),
        SG_STR("\"\x00\""),
};

static const struct sg_str not_utf8[] = {
        SG_STR("\"\x80\""),
        SG_STR("\"\xbf\""),
        SG_STR("\"\xff\""),
        SG_STR("\"\xfe\""),
        SG_STR("\"\xc0\xaf\""),
        SG_STR("\"\xc1\xbf\""),
        SG_STR("\"\xc2\""),
        SG_STR("\"\xc2 \""),
        SG_STR("\"\xe0\x80\xaf\""),
        SG_STR("\"\xe0\x9f\xbf\""),
        SG_STR("\"\xe2\x82\""),
        SG_STR("\"\xe2\x28\xa1\""),
        SG_STR("\"\xe2\x82\x28\""),
        SG_STR("\"\xed\xa0\x80\""),
        SG_STR("\"\xed\xbf\xbf\""),
        SG_STR("\"\xed\xa0\xb4\xed\xb4\x9e\""),
        SG_STR("\"\xf0\x80\x80\xaf\""),
        SG_STR("\"\xf0\x8f\xbf\xbf\""),
        SG_STR("\"\xf0\x9f\x98\""),
        SG_STR("\"\xf4\x90\x80\x80\""),
        SG_STR("\"\xf5\x80\x80\x80\""),
        SG_STR("\"\xf8\x88\x80\x80\x80\""),
        SG_STR("\"\xfc\x84\x80\x80\x80\x80\""),
        SG_STR("\"a\xe4\xbd\xa0\xe5\xa5\""),
        SG_STR("\"0123456789abcdef\xe9\""),
        SG_STR("{\"\xff\":1}"),
        SG_STR("[\"a\",\"\xe9\"]"),
};

/* A copy that ends where the text ends, so that the sanitizers see each byte read too far. */
static int check(struct sg_str text, struct sg_json_value *ret, struct sg_json_fault *fault)
{
        char *copy = malloc(text.n ? text.n : 1);
        int r;

        assert_non_null(copy);
        memcpy(copy, text.p, text.n);
        r = sg_json_check(sg_str_make(copy, text.n), ret, fault);
        free(copy);
        return r;
}

static void test_every_valid_text_passes(void **state)
{
        for (size_t i = 0; i < SG_N_ELEMENTS(good); i++) {
                struct sg_json_value v;

                if (check(good[i], &v, NULL) != 0)
                        fail_msg("refused: " SG_STR_FMT, SG_STR_ARG(good[i]));
                assert_int_not_equal(v.kind, SG_JSON_NONE);
        }
}

static void test_every_invalid_text_is_refused(void **state)
{
        for (size_t i = 0; i < SG_N_ELEMENTS(bad); i++) {
                struct sg_json_fault fault;

                if (check(bad[i], NULL, &fault) == 0)
                        fail_msg("accepted: " SG_STR_FMT, SG_STR_ARG(bad[i]));
                assert_true(fault.offset <= bad[i].n);
                assert_non_null(fault.what);
                assert_int_not_equal(fault.what[0], 0);
        }
}

static void test_bytes_that_are_not_utf8_are_refused_as_such(void **state)
{
        for (size_t i = 0; i < SG_N_ELEMENTS(not_utf8); i++) {
                struct sg_json_fault fault;

                if (check(not_utf8[i], NULL, &fault) != SG_JSON_E_UTF8)
                        fail_msg("case %zu", i);
                assert_true((unsigned char)not_utf8[i].p[fault.offset] >= 0x80);
        }
}

static void test_each_valid_text_is_valid_inside_an_object_and_sliced(void **state)
{
        for (size_t i = 0; i < SG_N_ELEMENTS(good); i++) {
                struct sg_json_want want = {.name = SG_STR("k")};
                char text[512];
                int n = snprintf(text, sizeof(text), "{\"k\":" SG_STR_FMT ",\"z\":0}", SG_STR_ARG(good[i]));

                assert_int_equal(sg_json_slice(sg_str_make(text, (size_t)n), &want, 1, NULL), 0);
                assert_int_equal(want.n, 1);
        }
}

/* Cutting a valid text short leaves nothing valid, numbers at the top level and trailing space aside. */
static void test_no_prefix_of_an_object_passes(void **state)
{
        static const struct sg_str whole =
                SG_STR("{\"model\":\"a\\u0041\",\"n\":-1.5e+3,\"x\":[true,false,null,{\"y\":\"\xe4\xbd\xa0\"}]}");

        assert_int_equal(check(whole, NULL, NULL), 0);
        for (size_t n = 0; n < whole.n; n++)
                assert_int_not_equal(check(sg_str_head(whole, n), NULL, NULL), 0);
}

static void nest(char *out, size_t depth, const char *open, const char *close)
{
        out[0] = '\0';
        for (size_t i = 0; i < depth; i++)
                strcat(out, open);
        strcat(out, "1");
        for (size_t i = 0; i < depth; i++)
                strcat(out, close);
}

static void test_depth_is_bounded(void **state)
{
        static char text[8 * (SG_JSON_DEPTH_MAX + 8)];
        struct sg_json_fault fault;

        nest(text, SG_JSON_DEPTH_MAX, "[", "]");
        assert_int_equal(sg_json_check(sg_str_from(text), NULL, NULL), 0);
        nest(text, SG_JSON_DEPTH_MAX + 1, "[", "]");
        assert_int_equal(sg_json_check(sg_str_from(text), NULL, &fault), SG_JSON_E_DEPTH);
        assert_int_equal(fault.offset, SG_JSON_DEPTH_MAX);
        nest(text, SG_JSON_DEPTH_MAX, "{\"a\":", "}");
        assert_int_equal(sg_json_slice(sg_str_from(text), NULL, 0, NULL), 0);
        nest(text, SG_JSON_DEPTH_MAX + 1, "{\"a\":", "}");
        assert_int_equal(sg_json_slice(sg_str_from(text), NULL, 0, &fault), SG_JSON_E_DEPTH);
}

static void test_kinds_of_brackets_are_remembered_at_every_depth(void **state)
{
        static char text[8 * (SG_JSON_DEPTH_MAX + 8)];

        for (size_t depth = 1; depth <= SG_JSON_DEPTH_MAX / 2; depth++) {
                nest(text, depth, "[{\"a\":", "}]");
                assert_int_equal(sg_json_check(sg_str_from(text), NULL, NULL), 0);
                text[strlen(text) - 1] = '}';
                assert_int_not_equal(sg_json_check(sg_str_from(text), NULL, NULL), 0);
                nest(text, depth, "[{\"a\":", "]}");
                assert_int_not_equal(sg_json_check(sg_str_from(text), NULL, NULL), 0);
        }
}

/* Each byte value at each place of a string long enough for all three widths of the scanner. */
static void test_every_byte_is_judged_alike_at_every_place_of_a_string(void **state)
{
        for (size_t at = 0; at < 45; at++) {
                for (unsigned c = 0; c < 256; c++) {
                        char text[47];
                        bool valid = c >= 0x20 && c < 0x80 && c != '"' && c != '\\';

                        memset(text, 'x', sizeof(text));
                        text[0] = text[46] = '"';
                        text[1 + at] = (char)c;
                        if (c == '\\') /* \x is no escape; as the last byte it hides the quote */
                                assert_int_not_equal(check(sg_str_make(text, 47), NULL, NULL), 0);
                        else
                                assert_int_equal(check(sg_str_make(text, 47), NULL, NULL) == 0, valid);
                }
        }
}

int main(void)
{
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_valid_text_passes),
                cmocka_unit_test(test_every_invalid_text_is_refused),
                cmocka_unit_test(test_bytes_that_are_not_utf8_are_refused_as_such),
                cmocka_unit_test(test_each_valid_text_is_valid_inside_an_object_and_sliced),
                cmocka_unit_test(test_no_prefix_of_an_object_passes),
                cmocka_unit_test(test_depth_is_bounded),
                cmocka_unit_test(test_kinds_of_brackets_are_remembered_at_every_depth),
                cmocka_unit_test(test_every_byte_is_judged_alike_at_every_place_of_a_string),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
