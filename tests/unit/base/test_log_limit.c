#include "common.h"

#include "base/clock.h"
#include "base/log_limit.h"

#define SECOND SG_USEC_PER_SEC

static void test_lines_of_an_interval_are_written_and_the_rest_is_counted(void **state)
{
        struct sg_log_limit l;

        sg_log_limit_init(&l, 3, 10 * SECOND);
        for (int i = 0; i < 3; i++)
                assert_true(sg_log_limit_take(&l, 100 * SECOND));
        for (int i = 0; i < 7; i++)
                assert_false(sg_log_limit_take(&l, 101 * SECOND));
        assert_int_equal(sg_log_limit_due(&l, 101 * SECOND), 0);
        assert_int_equal(sg_log_limit_due(&l, 111 * SECOND - 1), 0);
        assert_int_equal(sg_log_limit_due(&l, 111 * SECOND), 7);
        assert_int_equal(sg_log_limit_due(&l, 200 * SECOND), 0);
}

static void test_an_interval_begins_with_a_line_and_not_with_the_clock(void **state)
{
        struct sg_log_limit l;

        sg_log_limit_init(&l, 1, 10 * SECOND);
        assert_true(sg_log_limit_take(&l, 0)); /* a clock may begin there */
        assert_false(sg_log_limit_take(&l, 10 * SECOND - 1));
        assert_true(sg_log_limit_take(&l, 10 * SECOND));
        assert_false(sg_log_limit_take(&l, 19 * SECOND));
        assert_true(sg_log_limit_take(&l, 57 * SECOND));
        assert_false(sg_log_limit_take(&l, 66 * SECOND));
        assert_true(sg_log_limit_take(&l, 67 * SECOND));
}

/* Whatever the load and however often somebody looks: nothing is forgotten and nothing counted twice. */
static void test_written_and_told_add_up(void **state)
{
        struct sg_log_limit l;
        uint64_t n_written = 0, n_told = 0, n_reports = 0, n = 0;

        sg_log_limit_init(&l, 50, 10 * SECOND);
        for (uint64_t now = 0; now < 100 * SECOND; now += 1000) {
                uint64_t due;

                n++;
                n_written += sg_log_limit_take(&l, now);
                due = sg_log_limit_due(&l, now);
                n_told += due;
                n_reports += due > 0;
        }
        n_told += sg_log_limit_rest(&l);
        assert_int_equal(n_written + n_told, n);
        assert_int_equal(n_written, 500);
        assert_in_range(n_reports, 8, 10);
        assert_int_equal(sg_log_limit_rest(&l), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_lines_of_an_interval_are_written_and_the_rest_is_counted),
                cmocka_unit_test(test_an_interval_begins_with_a_line_and_not_with_the_clock),
                cmocka_unit_test(test_written_and_told_add_up),
        };

        return cmocka_run_group_tests_name("base log_limit", tests, NULL, NULL);
}
