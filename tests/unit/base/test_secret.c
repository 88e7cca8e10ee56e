#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common.h"

#include "base/limits.h"
#include "base/secret.h"

static void test_bytes_and_comparison(void **state)
{
        SG_AUTO(sg_secret_unref) struct sg_secret *s = NULL;

        assert_int_equal(sg_secret_new(&s, SG_STR("sk-\0x")), 0);
        assert_int_equal(sg_secret_bytes(s).n, 5);
        assert_true(sg_secret_equals(s, SG_STR("sk-\0x")));
        assert_false(sg_secret_equals(s, SG_STR("sk-\0y")));
        assert_false(sg_secret_equals(s, SG_STR("tk-\0x")));
        assert_false(sg_secret_equals(s, SG_STR("sk-")));
        assert_false(sg_secret_equals(s, SG_STR_NONE));
}

static void test_the_last_reference_frees(void **state)
{
        struct sg_secret *s, *other;

        assert_int_equal(sg_secret_new(&s, SG_STR("x")), 0);
        other = sg_secret_ref(s);
        assert_ptr_equal(other, s);
        assert_null(sg_secret_unref(s));
        assert_true(sg_secret_equals(other, SG_STR("x"))); /* AddressSanitizer would tell if it were gone */
        assert_null(sg_secret_unref(other));
        assert_null(sg_secret_unref(NULL));
}

static void write_file(char *ret_path, size_t n, char fill, const char *end)
{
        const char *dir = getenv("TMPDIR");
        FILE *file;
        int fd;

        snprintf(ret_path, 256, "%s/sg-test-secret-XXXXXX", dir ? dir : "/tmp");
        fd = mkstemp(ret_path);
        assert_true(fd >= 0);
        file = fdopen(fd, "w");
        for (size_t i = 0; i < n; i++)
                fputc(fill, file);
        fputs(end, file);
        assert_int_equal(fclose(file), 0);
}

static void test_line_ends_of_a_file_do_not_count(void **state)
{
        char path[256];
        struct sg_secret *s = NULL;

        write_file(path, 3, 'k', "\r\n");
        assert_int_equal(sg_secret_new_from_file(&s, path), 0);
        assert_true(sg_secret_equals(s, SG_STR("kkk")));
        s = sg_secret_unref(s);
        unlink(path);
        assert_int_equal(sg_secret_new_from_file(&s, path), -ENOENT);
        assert_null(s);
}

static void test_size_is_bounded(void **state)
{
        char path[256];
        struct sg_secret *s = NULL;

        write_file(path, SG_SECRET_BYTES_MAX, 'k', "\n");
        assert_int_equal(sg_secret_new_from_file(&s, path), 0);
        assert_int_equal(sg_secret_bytes(s).n, SG_SECRET_BYTES_MAX);
        s = sg_secret_unref(s);
        unlink(path);
        write_file(path, SG_SECRET_BYTES_MAX + 1, 'k', "");
        assert_int_equal(sg_secret_new_from_file(&s, path), -E2BIG);
        unlink(path);
        write_file(path, SG_SECRET_BYTES_MAX + 100, 'k', "\n");
        assert_int_equal(sg_secret_new_from_file(&s, path), -E2BIG);
        unlink(path);
        assert_null(s);
}

static void test_wipe_leaves_zeros(void **state)
{
        char bytes[] = "secret", zeros[sizeof(bytes)] = {0};

        sg_wipe(bytes, sizeof(bytes));
        assert_memory_equal(bytes, zeros, sizeof(bytes));
        sg_wipe(NULL, 0);
}

static void test_names_of_credentials(void **state)
{
        char longest[SG_NAME_BYTES_MAX + 1];

        assert_true(sg_secret_is_name(SG_STR("moonshot")));
        assert_true(sg_secret_is_name(SG_STR("A-z_0.9")));
        assert_false(sg_secret_is_name(SG_STR("")));
        assert_false(sg_secret_is_name(SG_STR(".hidden")));
        assert_false(sg_secret_is_name(SG_STR("..")));
        assert_false(sg_secret_is_name(SG_STR("a/b")));
        assert_false(sg_secret_is_name(SG_STR("a b")));
        assert_false(sg_secret_is_name(SG_STR("a:b")));
        assert_false(sg_secret_is_name(SG_STR("%n")));
        assert_false(sg_secret_is_name(SG_STR("\xc3\xa4")));
        memset(longest, 'a', sizeof(longest));
        assert_true(sg_secret_is_name(sg_str_make(longest, SG_NAME_BYTES_MAX)));
        assert_false(sg_secret_is_name(sg_str_make(longest, SG_NAME_BYTES_MAX + 1)));
}

static void test_the_first_byte_that_no_key_has(void **state)
{
        static const struct {
                struct sg_str bytes;
                size_t at;
        } cases[] = {{SG_STR("sk-1~!"), 6}, {SG_STR(""), 0},           {SG_STR("a b"), 1},  {SG_STR("ab\n"), 2},
                     {SG_STR("\0a"), 0},    {SG_STR("ab\x7f\x7f"), 2}, {SG_STR("a\x80"), 1}};

        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                struct sg_secret *s;

                assert_int_equal(sg_secret_new(&s, cases[i].bytes), 0);
                assert_int_equal(sg_secret_first_odd(s), cases[i].at);
                sg_secret_unref(s);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_bytes_and_comparison),
                cmocka_unit_test(test_the_last_reference_frees),
                cmocka_unit_test(test_line_ends_of_a_file_do_not_count),
                cmocka_unit_test(test_size_is_bounded),
                cmocka_unit_test(test_wipe_leaves_zeros),
                cmocka_unit_test(test_names_of_credentials),
                cmocka_unit_test(test_the_first_byte_that_no_key_has),
        };

        return cmocka_run_group_tests_name("base secret", tests, NULL, NULL);
}
