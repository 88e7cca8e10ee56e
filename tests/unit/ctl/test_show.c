#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <locale.h>
#include <stdlib.h>

#include "ctl/ctl.h"

static void assert_escaped(const char *in, const char *out)
{
        char *shown = sg_ctl_escape(sg_str_from(in));

        assert_string_equal(shown, out);
        free(shown);
}

static void test_nothing_moves_the_cursor(void **state)
{
        assert_escaped("gpt-4o mini", "gpt-4o mini");
        assert_escaped("a\033[2Jb", "a\\x1b[2Jb");
        assert_escaped("a\nb\rc\td\x7f", "a\\x0ab\\x0dc\\x09d\\x7f");
        assert_escaped("\xc2\x9b"
                       "31m",
                       "\\xc2\\x9b31m"); /* CSI of eight bits */
        assert_escaped("a\xe2\x80\xae"
                       "b",
                       "a\\xe2\\x80\\xae"
                       "b"); /* right to left */
        assert_escaped("a\xe2\x80\x8b"
                       "b",
                       "a\\xe2\\x80\\x8b"
                       "b"); /* of no width */
}

static void test_bytes_that_are_not_utf8_are_shown_in_hex(void **state)
{
        assert_escaped("a\xff\xfe", "a\\xff\\xfe");
        assert_escaped("\xc3", "\\xc3");
        assert_escaped("\xed\xa0\x80", "\\xed\\xa0\\x80");
}

static void test_utf8_is_shown_where_the_locale_is(void **state)
{
        assert_escaped("m\xc3\xbcller", "m\xc3\xbcller");
        assert_non_null(setlocale(LC_CTYPE, "C"));
        assert_escaped("m\xc3\xbcller", "m\\xc3\\xbcller");
        assert_non_null(setlocale(LC_CTYPE, "C.UTF-8"));
}

static void test_widths_are_those_of_the_screen(void **state)
{
        assert_int_equal(sg_ctl_width("abc"), 3);
        assert_int_equal(sg_ctl_width("m\xc3\xbcller"), 6);
        assert_int_equal(sg_ctl_width("\xe4\xb8\xad\xe6\x96\x87"), 4); /* two wide characters */
        assert_int_equal(sg_ctl_width("e\xcc\x81"), 1);                /* e and a combining accent */
}

static void test_tables_are_aligned(void **state)
{
        struct sg_table *t = sg_table_new(3);
        char *text = NULL;
        size_t n;
        FILE *f = open_memstream(&text, &n);

        sg_table_set_right(t, 1);
        sg_table_add(t, "name");
        sg_table_add(t, "tokens");
        sg_table_add(t, "model");
        sg_table_add(t, "\xe4\xb8\xad\xe6\x96\x87");
        sg_table_add_u64(t, 1234567);
        sg_table_add(t, "a\nb");
        sg_table_add(t, "m\xc3\xbc");
        sg_table_add_u64(t, 5);
        sg_table_add(t, "");
        sg_table_print(t, f);
        fclose(f);
        assert_string_equal(text, "name   tokens  model\n"
                                  "\xe4\xb8\xad\xe6\x96\x87  1234567  a\\x0ab\n"
                                  "m\xc3\xbc          5  \n");
        free(text);
        sg_table_free(t);
}

static void test_nearest_word(void **state)
{
        assert_true(sg_str_eq(sg_ctl_nearest(SG_STR("debog"), "err warning debug"), SG_STR("debug")));
        assert_int_equal(sg_ctl_nearest(SG_STR("zzzzz"), "err warning debug").n, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_nothing_moves_the_cursor),
                cmocka_unit_test(test_bytes_that_are_not_utf8_are_shown_in_hex),
                cmocka_unit_test(test_utf8_is_shown_where_the_locale_is),
                cmocka_unit_test(test_widths_are_those_of_the_screen),
                cmocka_unit_test(test_tables_are_aligned),
                cmocka_unit_test(test_nearest_word),
        };

        if (!setlocale(LC_CTYPE, "C.UTF-8"))
                return 77;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
