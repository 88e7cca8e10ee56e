#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/message_id.h"
#include "gateway/repeats.h"

#define SECOND SG_USEC_PER_SEC

static char path[] = "/tmp/scribe-test-repeats-XXXXXX";

static unsigned count_in_log(struct sg_buf *b, const char *what)
{
        struct sg_str rest = sg_buf_view(b), wanted = sg_str_from(what);
        unsigned n = 0;
        size_t at;

        for (; (at = sg_str_find(rest, wanted)) < rest.n; n++)
                rest = sg_str_skip(rest, at + wanted.n);
        return n;
}

static void test_what_succeeds_is_never_held_back(void **state)
{
        struct sg_repeats r;

        sg_repeats_init(&r);
        for (unsigned i = 0; i < 100000; i++)
                assert_true(sg_repeats_take(&r, SG_FAIL_NONE, SECOND));
}

static void test_reasons_do_not_take_lines_from_one_another(void **state)
{
        struct sg_repeats r;

        sg_repeats_init(&r);
        for (unsigned i = 0; i < 1000; i++)
                assert_int_equal(sg_repeats_take(&r, SG_FAIL_BAD_KEY, SECOND), i < SG_REPEATS_LINES_MAX);
        assert_true(sg_repeats_take(&r, SG_FAIL_UPSTREAM_CONNECT, SECOND));
}

static void test_the_rest_is_told_once_per_interval_and_at_the_end(void **state)
{
        struct sg_repeats r;
        struct sg_error err;
        struct sg_buf b;
        int fd = mkstemp(path);

        assert_true(fd >= 0);
        close(fd);
        assert_int_equal(sg_log_start(SG_LOG_TO_FILE, path, &err), 0);
        sg_repeats_init(&r);
        for (unsigned i = 0; i < SG_REPEATS_LINES_MAX + 7; i++)
                (void)sg_repeats_take(&r, SG_FAIL_BAD_KEY, SECOND);
        sg_repeats_tell(&r, 3, 2 * SECOND, false);  /* not yet */
        sg_repeats_tell(&r, 3, 11 * SECOND, false); /* 7 */
        sg_repeats_tell(&r, 3, 12 * SECOND, false); /* nothing */
        for (unsigned i = 0; i < SG_REPEATS_LINES_MAX + 9; i++)
                (void)sg_repeats_take(&r, SG_FAIL_NO_KEY, 20 * SECOND);
        sg_repeats_tell(&r, 3, 0, true); /* 9 */
        sg_log_stop();

        sg_buf_init(&b, 65536);
        assert_int_equal(sg_buf_add_file(&b, path), 0);
        assert_int_equal(count_in_log(&b, SG_MESSAGE_ERRORS_SUMMED), 2);
        assert_int_equal(
                count_in_log(&b, "\"SCRIBE_REASON\":\"bad_key\",\"SCRIBE_COUNT\":\"7\",\"SCRIBE_WORKER\":\"3\""), 1);
        assert_int_equal(
                count_in_log(&b, "\"SCRIBE_REASON\":\"no_key\",\"SCRIBE_COUNT\":\"9\",\"SCRIBE_WORKER\":\"3\""), 1);
        sg_buf_done(&b);
        (void)unlink(path);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_succeeds_is_never_held_back),
                cmocka_unit_test(test_reasons_do_not_take_lines_from_one_another),
                cmocka_unit_test(test_the_rest_is_told_once_per_interval_and_at_the_end),
        };

        return cmocka_run_group_tests_name("gateway repeats", tests, NULL, NULL);
}
