#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "config/ini.h"

/* Everything that a text says, as one line: "[a \"b\"] x=1 …". */
static const char *read_all(struct sg_str bytes, char *out, size_t out_bytes)
{
        struct sg_ini_item item;
        struct sg_error err;
        struct sg_ini ini;
        size_t n = 0;

        out[0] = '\0';
        sg_ini_init(&ini, bytes, "f");
        for (;;) {
                int r = sg_ini_next(&ini, &item, &err);

                if (r) {
                        snprintf(out, out_bytes, "%s: %s", err.where, err.text);
                        return out;
                }
                if (item.kind == SG_INI_END)
                        return out;
                if (item.kind == SG_INI_SETTING)
                        n += (size_t)snprintf(out + n, out_bytes - n, "%u:" SG_STR_FMT "=<" SG_STR_FMT "> ", item.line,
                                              SG_STR_ARG(item.name), SG_STR_ARG(item.value));
                else if (item.has_name)
                        n += (size_t)snprintf(out + n, out_bytes - n, "%u:[" SG_STR_FMT "|" SG_STR_FMT "] ", item.line,
                                              SG_STR_ARG(item.section), SG_STR_ARG(item.name));
                else
                        n += (size_t)snprintf(out + n, out_bytes - n, "%u:[" SG_STR_FMT "] ", item.line,
                                              SG_STR_ARG(item.section));
                assert_true(n < out_bytes);
        }
}

static void expect(struct sg_str bytes, const char *expected)
{
        char out[4096];

        assert_string_equal(read_all(bytes, out, sizeof(out)), expected);
}

static void test_headings_settings_and_comments(void **state)
{
        expect(SG_STR("# c\n; c\n\n[a]\nx = 1\n  y=2 3  \n[b \"n m\"]\nz =\n"),
               "4:[a] 5:x=<1> 6:y=<2 3> 7:[b|n m] 8:z=<> ");
        expect(SG_STR("[a] ; c\nx = 1 ; c\ny = 1\t# c\nz = ; c\nv = a;b#c\nw = a; b\nu =; c\n"),
               "1:[a] 2:x=<1> 3:y=<1> 4:z=<> 5:v=<a;b#c> 6:w=<a; b> 7:u=<> ");
        expect(SG_STR("[ a  \"b\" ]# c\nx=y=z\n"), "1:[a|b] 2:x=<y=z> ");
        expect(SG_STR(""), "");
        expect(SG_STR("\n\n# only\n"), "");
}

static void test_line_ends_and_byte_order_mark(void **state)
{
        expect(SG_STR("\xef\xbb\xbf[a]\r\nx = 1\r\n\r\n[b]\r\ny = 2"), "1:[a] 2:x=<1> 4:[b] 5:y=<2> ");
        expect(SG_STR("[a]\nx = 1\rb\n"), "f:2: a control byte (0x0d) in column 6");
        expect(SG_STR("[a]\n\xef\xbb\xbfx = 1\n"),
               "f:2: a setting is written name = value, the name of letters, digits and _");
}

static void test_escapes_in_names(void **state)
{
        expect(SG_STR("[model \"a\\\"b\\\\c\"]\n"), "1:[model|a\"b\\c] ");
        expect(SG_STR("[model \"a;b # c]\"]\n"), "1:[model|a;b # c]] ");
        expect(SG_STR("[model \"gr\xc3\xbc\xc3\x9f\"]\n"), "1:[model|gr\xc3\xbc\xc3\x9f] ");
        expect(SG_STR("[model \"a\\n\"]\n"), "f:1: in a name, \\ stands before \" or \\ only");
        expect(SG_STR("[model \"a\\"), "f:1: in a name, \\ stands before \" or \\ only");
        expect(SG_STR("[model \"a\tb\"]\n"), "f:1: a tab in the name of a section");
}

static void test_wrong_headings(void **state)
{
        expect(SG_STR("[a\n"), "f:1: the heading has no closing ]");
        expect(SG_STR("["), "f:1: a heading is written [section] or [section \"name\"]");
        expect(SG_STR("[]\n"), "f:1: a heading is written [section] or [section \"name\"]");
        expect(SG_STR("[a b]\n"), "f:1: the heading has no closing ]; a name stands in quotes: [section \"name\"]");
        expect(SG_STR("[a \"b]\n"), "f:1: the name has no closing \"");
        expect(SG_STR("[a \"\"]\n"), "f:1: the name of the section is empty");
        expect(SG_STR("[a \"b\" c]\n"), "f:1: the heading has no closing ]");
        expect(SG_STR("[a] x = 1\n"), "f:1: text after the heading; a comment begins with ; or #");
}

static void test_wrong_settings(void **state)
{
        expect(SG_STR("x = 1\n"), "f:1: 'x' stands before the first [section]; write its heading above it");
        expect(SG_STR("[a]\nsk-secret\n"), "f:2: neither a heading nor a setting; a setting is written name = value");
        expect(SG_STR("[a]\n= 1\n"), "f:2: a setting is written name = value, the name of letters, digits and _");
        expect(SG_STR("[a]\na b = 1\n"), "f:2: a setting is written name = value, the name of letters, digits and _");
        expect(SG_STR("[a]\nx = \"1\"\n"), "f:2: 'x': a value is written without quotes");
        expect(SG_STR("[a]\nx = 1 \\\n 2\n"), "f:2: 'x': a line cannot be continued with \\; write it as one line");
}

static void test_bytes_that_are_no_text(void **state)
{
        expect(SG_STR("[a]\nx = 1\0hidden\n"), "f:2: a NUL byte: is this a text file, and in UTF-8 (not UTF-16)?");
        expect(SG_STR("[a]\nx = \x1b[31m\n"), "f:2: a control byte (0x1b) in column 5");
        expect(SG_STR("[a]\nx = \x7f\n"), "f:2: a control byte (0x7f) in column 5");
        expect(SG_STR("[a]\nx = gr\xfc\xdf\n"), "f:2: not UTF-8: byte 0xfc in column 7");
        expect(SG_STR("# \xc0\x80\n"), "f:1: not UTF-8: byte 0xc0 in column 3");
}

static void add_times(struct sg_buf *b, char c, size_t n)
{
        char *to;

        assert_int_equal(sg_buf_reserve(b, n, &to), 0);
        memset(to, c, n);
        sg_buf_added(b, n);
}

static void test_lines_up_to_the_limit_are_whole(void **state)
{
        struct sg_ini_item item;
        struct sg_error err;
        struct sg_ini ini;
        struct sg_buf b;

        sg_buf_init(&b, 1u << 20);
        assert_int_equal(sg_buf_add(&b, SG_STR("[a]\nx =")), 0);
        add_times(&b, 'v', SG_CONFIG_LINE_BYTES_MAX - 3);
        assert_int_equal(sg_buf_add(&b, SG_STR("\nx =")), 0);
        add_times(&b, 'v', SG_CONFIG_LINE_BYTES_MAX - 2);
        sg_ini_init(&ini, sg_buf_view(&b), "f");
        assert_int_equal(sg_ini_next(&ini, &item, &err), 0);
        assert_int_equal(sg_ini_next(&ini, &item, &err), 0);
        assert_int_equal(item.value.n, SG_CONFIG_LINE_BYTES_MAX - 3);
        assert_true(sg_ini_next(&ini, &item, &err) < 0);
        assert_string_equal(err.where, "f:3");
        assert_string_equal(err.text, "the line has more than 65536 bytes");
        sg_buf_done(&b);
}

static void test_names_up_to_the_limit(void **state)
{
        char out[4096];
        struct sg_buf b;

        sg_buf_init(&b, 1u << 20);
        assert_int_equal(sg_buf_add(&b, SG_STR("[a \"")), 0);
        add_times(&b, 'n', SG_NAME_BYTES_MAX);
        assert_int_equal(sg_buf_add(&b, SG_STR("\"]\n[b \"")), 0);
        add_times(&b, 'n', SG_NAME_BYTES_MAX + 1);
        assert_int_equal(sg_buf_add(&b, SG_STR("\"]\n")), 0);
        assert_string_equal(read_all(sg_buf_view(&b), out, sizeof(out)), "f:2: the name has more than 128 bytes");
        sg_buf_done(&b);
}

static void test_place_of_a_long_path_keeps_file_and_line(void **state)
{
        char path[600], out[64];

        sg_ini_place(out, sizeof(out), "/etc/gateway.conf", 12);
        assert_string_equal(out, "/etc/gateway.conf:12");
        memset(path, 'd', sizeof(path));
        snprintf(path + 500, sizeof(path) - 500, "/gateway.conf.d/50-x.conf");
        sg_ini_place(out, sizeof(out), path, 4294967295u);
        assert_int_equal(strlen(out), sizeof(out) - 1);
        assert_memory_equal(out, "\xe2\x80\xa6", 3);
        assert_non_null(strstr(out, "d/gateway.conf.d/50-x.conf:4294967295"));
        /* Cut within a character: the rest of it goes, too. */
        for (size_t i = 0; i + 1 < 500; i += 2)
                memcpy(path + i, "\xc3\xa4", 2);
        for (size_t room = 50; room < 60; room++) {
                sg_ini_place(out, room, path, 1);
                assert_true(sg_str_is_utf8(sg_str_from(out)));
                assert_true(sg_str_ends(sg_str_from(out), SG_STR("/50-x.conf:1")));
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_headings_settings_and_comments),
                cmocka_unit_test(test_line_ends_and_byte_order_mark),
                cmocka_unit_test(test_escapes_in_names),
                cmocka_unit_test(test_wrong_headings),
                cmocka_unit_test(test_wrong_settings),
                cmocka_unit_test(test_bytes_that_are_no_text),
                cmocka_unit_test(test_lines_up_to_the_limit_are_whole),
                cmocka_unit_test(test_names_up_to_the_limit),
                cmocka_unit_test(test_place_of_a_long_path_keeps_file_and_line),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
