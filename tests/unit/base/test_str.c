#include <stdlib.h>

#include "common.h"

#include "base/limits.h"

static void test_case_is_ignored_for_ascii_only(void **state)
{
        assert_true(sg_str_ieq(SG_STR("Content-Length"), SG_STR("cONTENT-lENGTH")));
        assert_false(sg_str_ieq(SG_STR("a"), SG_STR("ab")));
        assert_false(sg_str_ieq(SG_STR("@"), SG_STR("`"))); /* differ by 0x20 and are no letters */
        assert_false(sg_str_ieq(SG_STR("\xc3\x84"), SG_STR("\xc3\xa4")));
        assert_true(sg_str_ieq(SG_STR_NONE, SG_STR("")));
}

/* Every pair of bytes at every place of a name of eight and of one of eleven: as the rule says, letter by letter. */
static void test_case_at_every_place(void **state)
{
        for (unsigned a = 0; a < 256; a++)
                for (unsigned b = 0; b < 256; b++) {
                        char one[11] = "some-header", other[11] = "SOME-hEADER";
                        size_t at = (a * 7 + b) % sizeof(one);
                        bool is_letter = (a | 0x20) >= 'a' && (a | 0x20) <= 'z';

                        one[at] = (char)a;
                        other[at] = (char)b;
                        if (sg_str_ieq(sg_str_make(one, 11), sg_str_make(other, 11)) !=
                            (a == b || (is_letter && (a ^ b) == 0x20)))
                                fail_msg("bytes %u and %u at %zu", a, b, at);
                }
}

static void test_starts_and_ends(void **state)
{
        assert_true(sg_str_starts(SG_STR("bearer x"), SG_STR("bearer")));
        assert_false(sg_str_starts(SG_STR("bear"), SG_STR("bearer")));
        assert_true(sg_str_istarts(SG_STR("BEARER x"), SG_STR("bearer ")));
        assert_true(sg_str_ends(SG_STR("a.conf"), SG_STR(".conf")));
        assert_false(sg_str_ends(SG_STR("conf"), SG_STR(".conf")));
        assert_true(sg_str_ends(SG_STR_NONE, SG_STR("")));
        assert_true(sg_str_starts(SG_STR_NONE, SG_STR_NONE));
}

static void test_order_is_by_bytes_then_length(void **state)
{
        assert_true(sg_str_cmp(SG_STR("a"), SG_STR("b")) < 0);
        assert_true(sg_str_cmp(SG_STR("a"), SG_STR("ab")) < 0);
        assert_true(sg_str_cmp(SG_STR("\xff"), SG_STR("a")) > 0);
        assert_int_equal(sg_str_cmp(SG_STR("ab"), SG_STR("ab")), 0);
        assert_int_equal(sg_str_cmp(SG_STR_NONE, SG_STR("")), 0);
}

static void test_trim_takes_blanks_only(void **state)
{
        assert_str(sg_str_trim(SG_STR(" \t a b\t ")), "a b");
        assert_str(sg_str_trim(SG_STR(" \t ")), "");
        assert_str(sg_str_trim(SG_STR("a\r")), "a\r");
        assert_str(sg_str_trim(SG_STR_NONE), "");
}

static void test_find_gives_length_when_missing(void **state)
{
        assert_int_equal(sg_str_find_byte(SG_STR("abc"), 'c'), 2);
        assert_int_equal(sg_str_find_byte(SG_STR("abc"), 'x'), 3);
        assert_int_equal(sg_str_find_byte(SG_STR_NONE, 'x'), 0);
        assert_int_equal(sg_str_find(SG_STR("abcabd"), SG_STR("abd")), 3);
        assert_int_equal(sg_str_find(SG_STR("abc"), SG_STR("abcd")), 3);
        assert_int_equal(sg_str_find(SG_STR("a\0b"), SG_STR("\0b")), 1);
        assert_int_equal(sg_str_find(SG_STR("abc"), SG_STR("")), 0);
}

static void test_cut_walks_parts(void **state)
{
        struct sg_str s = SG_STR("a,,b"), left;

        assert_true(sg_str_cut(&s, ',', &left));
        assert_str(left, "a");
        assert_true(sg_str_cut(&s, ',', &left));
        assert_str(left, "");
        assert_false(sg_str_cut(&s, ',', &left));
        assert_str(left, "b");
        assert_int_equal(s.n, 0);
        assert_false(sg_str_cut(&s, ',', &left));
        assert_int_equal(left.n, 0);
}

static void test_decimal_takes_all_or_nothing(void **state)
{
        uint64_t v = 7;

        assert_int_equal(sg_str_to_u64(SG_STR("18446744073709551615"), &v), 0);
        assert_int_equal(v, UINT64_MAX);
        assert_int_equal(sg_str_to_u64(SG_STR("00012"), &v), 0);
        assert_int_equal(v, 12);
        assert_int_equal(sg_str_to_u64(SG_STR("18446744073709551616"), &v), SG_STR_E_RANGE);
        assert_int_equal(sg_str_to_u64(SG_STR("99999999999999999999999"), &v), SG_STR_E_RANGE);
        assert_int_equal(sg_str_to_u64(SG_STR("99999999999999999999999x"), &v), SG_STR_E_SYNTAX);
        assert_int_equal(sg_str_to_u64(SG_STR(""), &v), SG_STR_E_SYNTAX);
        assert_int_equal(sg_str_to_u64(SG_STR("+1"), &v), SG_STR_E_SYNTAX);
        assert_int_equal(sg_str_to_u64(SG_STR("-1"), &v), SG_STR_E_SYNTAX);
        assert_int_equal(sg_str_to_u64(SG_STR(" 1"), &v), SG_STR_E_SYNTAX);
        assert_int_equal(sg_str_to_u64(SG_STR("1 "), &v), SG_STR_E_SYNTAX);
        assert_int_equal(sg_str_to_u64(SG_STR("0x1"), &v), SG_STR_E_SYNTAX);
        assert_int_equal(v, 12);
}

static void test_hex_takes_all_or_nothing(void **state)
{
        uint64_t v = 7;

        assert_int_equal(sg_str_to_hex64(SG_STR("fFfFfFfFfFfFfFfF"), &v), 0);
        assert_int_equal(v, UINT64_MAX);
        assert_int_equal(sg_str_to_hex64(SG_STR("0000000000000000001a"), &v), 0);
        assert_int_equal(v, 0x1a);
        assert_int_equal(sg_str_to_hex64(SG_STR("10000000000000000"), &v), SG_STR_E_RANGE);
        assert_int_equal(sg_str_to_hex64(SG_STR("g"), &v), SG_STR_E_SYNTAX);
        assert_int_equal(sg_str_to_hex64(SG_STR("0x1"), &v), SG_STR_E_SYNTAX);
        assert_int_equal(sg_str_to_hex64(SG_STR(""), &v), SG_STR_E_SYNTAX);
        assert_int_equal(v, 0x1a);
}

static void test_star_matches_the_rest(void **state)
{
        assert_true(sg_str_matches(SG_STR("*"), SG_STR("")));
        assert_true(sg_str_matches(SG_STR("gpt-*"), SG_STR("gpt-4o")));
        assert_true(sg_str_matches(SG_STR("gpt-*"), SG_STR("gpt-")));
        assert_false(sg_str_matches(SG_STR("gpt-*"), SG_STR("gpt")));
        assert_false(sg_str_matches(SG_STR("gpt"), SG_STR("gpt-4")));
        assert_false(sg_str_matches(SG_STR("g*t"), SG_STR("gpt"))); /* a star elsewhere is a star */
}

static void test_distance_counts_edits(void **state)
{
        char longer[SG_NAME_BYTES_MAX + 2] = {0};
        struct sg_str s = sg_str_make(longer, sizeof(longer));

        assert_int_equal(sg_str_distance(SG_STR("workers"), SG_STR("workers"), 3), 0);
        assert_int_equal(sg_str_distance(SG_STR("worker"), SG_STR("workers"), 3), 1);
        assert_int_equal(sg_str_distance(SG_STR("wrokers"), SG_STR("workers"), 3), 1);
        assert_int_equal(sg_str_distance(SG_STR("kitten"), SG_STR("sitting"), 5), 3);
        assert_int_equal(sg_str_distance(SG_STR("kitten"), SG_STR("sitting"), 2), 3);
        assert_int_equal(sg_str_distance(SG_STR(""), SG_STR("abc"), 9), 3);
        assert_int_equal(sg_str_distance(SG_STR("abc"), SG_STR(""), 1), 2);
        memset(longer, 'a', sizeof(longer));
        assert_int_equal(sg_str_distance(s, s, 3), 0);
        assert_int_equal(sg_str_distance(s, sg_str_skip(s, 1), 3), 4);
}

static void test_copy_ends_in_nul(void **state)
{
        char *copy = sg_str_dup(sg_str_make("abcdef", 3)), *empty = sg_str_dup(SG_STR_NONE);

        assert_string_equal(copy, "abc");
        assert_string_equal(empty, "");
        free(copy);
        free(empty);
}

static void test_utf8_of_every_shape(void **state)
{
        static const char *const good[] = {"",
                                           "plain ascii, longer than eight bytes",
                                           "\xc2\x80",
                                           "\xdf\xbf",
                                           "\xe0\xa0\x80",
                                           "\xed\x9f\xbf",
                                           "\xee\x80\x80",
                                           "\xef\xbf\xbf",
                                           "\xf0\x90\x80\x80",
                                           "\xf4\x8f\xbf\xbf",
                                           "1234567\xc3\xa4",
                                           "\xe2\x82\xac 12345678"};
        static const char *const bad[] = {"\x80",
                                          "\xbf",
                                          "\xc0\x80",
                                          "\xc1\xbf",
                                          "\xc2",
                                          "\xc2\xc2",
                                          "\xe0\x9f\xbf",
                                          "\xed\xa0\x80",
                                          "\xed\xbf\xbf",
                                          "\xe2\x82",
                                          "\xe2\x82(",
                                          "\xf0\x8f\xbf\xbf",
                                          "\xf4\x90\x80\x80",
                                          "\xf5\x80\x80\x80",
                                          "\xf0\x90\x80",
                                          "\xff",
                                          "\xfe",
                                          "12345678\x80",
                                          "1234567\xc3 2345678",
                                          "12345678901234\xc2"};

        for (size_t i = 0; i < SG_N_ELEMENTS(good); i++)
                assert_true(sg_str_is_utf8(sg_str_from(good[i])));
        for (size_t i = 0; i < SG_N_ELEMENTS(bad); i++)
                assert_false(sg_str_is_utf8(sg_str_from(bad[i])));
        assert_true(sg_str_is_utf8(SG_STR("a\0b")));
        assert_int_equal(sg_str_utf8_first(SG_STR("\xe2\x82\xac!")), 3);
        assert_int_equal(sg_str_utf8_first(SG_STR("\xe2\x82")), 0);
        assert_int_equal(sg_str_utf8_first(SG_STR("")), 0);
}

/* Every code point, encoded here by the book, is valid exactly when it is a scalar value. */
static void test_utf8_of_every_code_point(void **state)
{
        for (uint32_t c = 0; c < 0x120000; c++) {
                unsigned char b[4];
                size_t n = 0;

                if (c < 0x80) {
                        b[n++] = (unsigned char)c;
                } else if (c < 0x800) {
                        b[n++] = (unsigned char)(0xc0 | c >> 6);
                        b[n++] = (unsigned char)(0x80 | (c & 63));
                } else if (c < 0x10000) {
                        b[n++] = (unsigned char)(0xe0 | c >> 12);
                        b[n++] = (unsigned char)(0x80 | (c >> 6 & 63));
                        b[n++] = (unsigned char)(0x80 | (c & 63));
                } else {
                        b[n++] = (unsigned char)(0xf0 | c >> 18);
                        b[n++] = (unsigned char)(0x80 | (c >> 12 & 63));
                        b[n++] = (unsigned char)(0x80 | (c >> 6 & 63));
                        b[n++] = (unsigned char)(0x80 | (c & 63));
                }
                if (sg_str_is_utf8(sg_str_make(b, n)) != (c < 0xd800 || (c > 0xdfff && c < 0x110000)))
                        fail_msg("U+%04X", c);
        }
}

static void test_numbers_are_written(void **state)
{
        char digits[SG_U64_DIGITS_MAX], hex[17] = {0};

        assert_true(sg_str_eq(sg_str_u64(digits, 0), SG_STR("0")));
        assert_true(sg_str_eq(sg_str_u64(digits, 1090), SG_STR("1090")));
        assert_true(sg_str_eq(sg_str_u64(digits, UINT64_MAX), SG_STR("18446744073709551615")));
        sg_str_put_hex64(hex, UINT64_C(0x0123456789abcdef));
        assert_string_equal(hex, "0123456789abcdef");
        sg_str_put_hex64(hex, 0);
        assert_string_equal(hex, "0000000000000000");
}

static void test_copy_is_cut_to_its_room(void **state)
{
        char out[4];

        assert_int_equal(sg_str_copy(out, sizeof(out), SG_STR("abcd")), 3);
        assert_string_equal(out, "abc");
        assert_int_equal(sg_str_copy(out, sizeof(out), SG_STR_NONE), 0);
        assert_string_equal(out, "");
        assert_int_equal(sg_str_copy(out, 1, SG_STR("a")), 0);
        assert_string_equal(out, "");
}

/* A byte that is not plain is found wherever it stands, in vectors and behind them. */
static void test_plain_ends_at_what_needs_an_escape(void **state)
{
        char text[40];

        for (unsigned c = 0; c < 256; c++)
                for (size_t n = 0; n <= sizeof(text); n++) {
                        bool is_plain = c >= 0x20 && c < 0x7f && c != '"' && c != '\\';

                        memset(text, 'x', sizeof(text));
                        if (n < sizeof(text))
                                text[n] = (char)c;
                        assert_int_equal(sg_str_plain(sg_str_make(text, sizeof(text))), is_plain ? sizeof(text) : n);
                        assert_int_equal(sg_str_plain(sg_str_make(text, n)), n);
                }
        assert_int_equal(sg_str_plain(SG_STR_NONE), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_case_is_ignored_for_ascii_only),
                cmocka_unit_test(test_case_at_every_place),
                cmocka_unit_test(test_starts_and_ends),
                cmocka_unit_test(test_order_is_by_bytes_then_length),
                cmocka_unit_test(test_trim_takes_blanks_only),
                cmocka_unit_test(test_find_gives_length_when_missing),
                cmocka_unit_test(test_cut_walks_parts),
                cmocka_unit_test(test_decimal_takes_all_or_nothing),
                cmocka_unit_test(test_hex_takes_all_or_nothing),
                cmocka_unit_test(test_star_matches_the_rest),
                cmocka_unit_test(test_distance_counts_edits),
                cmocka_unit_test(test_copy_ends_in_nul),
                cmocka_unit_test(test_numbers_are_written),
                cmocka_unit_test(test_copy_is_cut_to_its_room),
                cmocka_unit_test(test_plain_ends_at_what_needs_an_escape),
                cmocka_unit_test(test_utf8_of_every_shape),
                cmocka_unit_test(test_utf8_of_every_code_point),
        };

        return cmocka_run_group_tests_name("base str", tests, NULL, NULL);
}
