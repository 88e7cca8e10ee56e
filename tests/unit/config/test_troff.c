#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>

#include "config/troff.h"

static char *made(int (*add)(struct sg_buf *b, struct sg_str text), const char *text)
{
        struct sg_buf b;
        char *out;

        sg_buf_init(&b, 65536);
        assert_int_equal(add(&b, sg_str_from(text)), 0);
        out = sg_str_dup(sg_buf_view(&b));
        assert_non_null(out);
        sg_buf_done(&b);
        return out;
}

static void assert_made(int (*add)(struct sg_buf *b, struct sg_str text), const char *text, const char *wanted)
{
        char *out = made(add, text);

        assert_string_equal(out, wanted);
        free(out);
}

static void test_nothing_in_a_text_steers(void **state)
{
        assert_made(sg_troff_add_line, "a-b \\fB 'c' ~^ `d-e` f", "a\\-b \\efB \\(aqc\\(aq \\(ti\\(ha \\fBd\\-e\\fR f");
        assert_made(sg_troff_add_text, ".conf is read", "\\&.conf is read\n");
        assert_made(sg_troff_add_text, "'quoted'", "\\&\\(aqquoted\\(aq\n");
        assert_made(sg_troff_add_text, "", "");
        assert_made(sg_troff_add_text, " \n ", "");
}

static void test_each_sentence_begins_a_line(void **state)
{
        assert_made(sg_troff_add_text, "One. Two (it is!) Three \"four.\" Five",
                    "One.\nTwo (it is!)\nThree \"four.\"\nFive\n");
        assert_made(sg_troff_add_text, "letters . _ and -.", "letters . _ and \\-.\n");
}

static void test_lines_are_filled_and_not_longer_than_they_may_be(void **state)
{
        char *out, *line, *rest, text[4096] = "";

        for (unsigned i = 0; i < 200; i++)
                strcat(text, i % 7 ? "--word " : "`other-word` ");
        rest = out = made(sg_troff_add_text, text);
        while ((line = strsep(&rest, "\n")) && rest) {
                assert_in_range(strlen(line), *rest ? 50 : 1, 78);
                assert_true(line[0] != ' ' && line[strlen(line) - 1] != ' ');
        }
        free(out);
}

static void test_examples_stay_as_they_are(void **state)
{
        assert_made(sg_troff_add_example, "  a  `b`\n.c\n", ".RS 4\n.EX\n  a  \\(gab\\(ga\n\\&.c\n.EE\n.RE\n");
        assert_made(sg_troff_add_example, "no end", ".RS 4\n.EX\nno end\n.EE\n.RE\n");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_nothing_in_a_text_steers),
                cmocka_unit_test(test_each_sentence_begins_a_line),
                cmocka_unit_test(test_lines_are_filled_and_not_longer_than_they_may_be),
                cmocka_unit_test(test_examples_stay_as_they_are),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
