#include <errno.h>
#include <string.h>

#include "common.h"

#include "base/error.h"

static void test_set_returns_its_code_as_negative(void **state)
{
        struct sg_error err;

        assert_int_equal(sg_error_set(&err, EINVAL, "a.conf:3", "unknown setting '%s'", "x"), -EINVAL);
        assert_int_equal(err.code, -EINVAL);
        assert_string_equal(err.where, "a.conf:3");
        assert_string_equal(err.text, "unknown setting 'x'");
        assert_int_equal(sg_error_set(NULL, -ENOENT, NULL, "nobody reads this"), -ENOENT);
}

static void test_own_text_may_be_an_argument(void **state)
{
        struct sg_error err;

        (void)sg_error_set(&err, -EIO, "disk", "broken");
        (void)sg_error_set(&err, -EIO, err.where, "cannot write: %s", err.text);
        assert_string_equal(err.text, "cannot write: broken");
        assert_string_equal(err.where, "disk");
}

static void test_line_has_place_and_text(void **state)
{
        struct sg_error err;
        char line[64], small[8];

        (void)sg_error_set(&err, -EIO, "a.conf:3", "bad");
        assert_string_equal(sg_error_line(&err, line, sizeof(line)), "a.conf:3: bad");
        assert_string_equal(sg_error_line(&err, small, sizeof(small)), "a.conf:");
        (void)sg_error_set(&err, -EIO, NULL, "bad");
        assert_string_equal(sg_error_line(&err, line, sizeof(line)), "bad");
}

static void test_prefix_stands_before_and_long_texts_are_cut(void **state)
{
        struct sg_error err;
        char text[2000];

        (void)sg_error_set(&err, -EIO, NULL, "inner");
        sg_error_prefix(&err, "outer");
        assert_string_equal(err.text, "outer: inner");
        sg_error_prefix(NULL, "outer");
        memset(text, 'x', sizeof(text) - 1);
        text[sizeof(text) - 1] = '\0';
        (void)sg_error_set(&err, -EIO, text, "%s", text);
        assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
        assert_int_equal(strlen(err.where), sizeof(err.where) - 1);
        sg_error_prefix(&err, "outer");
        assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
        assert_memory_equal(err.text, "outer: xxx", 10);
}

static void test_first_mark_stays_and_a_prefix_keeps_it(void **state)
{
        struct sg_error err;

        (void)sg_error_set(&err, -EIO, NULL, "inner");
        assert_null(err.message_id);
        assert_int_equal(sg_error_exit_status(&err), SG_EXIT_FAILURE);
        sg_error_needs_mending(&err, "a");
        sg_error_notable(&err, "b");
        sg_error_prefix(&err, "outer");
        assert_string_equal(err.message_id, "a");
        assert_int_equal(sg_error_exit_status(&err), SG_EXIT_CONFIG);

        (void)sg_error_set(&err, -ENOSPC, NULL, "may pass");
        assert_null(err.message_id);
        sg_error_notable(&err, "c");
        sg_error_needs_mending(&err, "a");
        assert_string_equal(err.message_id, "c");
        assert_int_equal(sg_error_exit_status(&err), SG_EXIT_FAILURE);
        sg_error_notable(NULL, "c");
        sg_error_needs_mending(NULL, "c");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_set_returns_its_code_as_negative),
                cmocka_unit_test(test_own_text_may_be_an_argument),
                cmocka_unit_test(test_line_has_place_and_text),
                cmocka_unit_test(test_prefix_stands_before_and_long_texts_are_cut),
                cmocka_unit_test(test_first_mark_stays_and_a_prefix_keeps_it),
        };

        return cmocka_run_group_tests_name("base error", tests, NULL, NULL);
}
