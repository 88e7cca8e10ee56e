/*
 * sd_journal_sendv() is defined here and so takes the place of the library's: what would go to the journal is looked
 * at without one.
 */
#include <errno.h>
#include <stdbool.h>
#include <sys/uio.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "common.h"

#include "base/log_internal.h"

static char sent[16384];
static size_t n_sent;
static int result;

int sd_journal_sendv(const struct iovec *iov, int n)
{
        n_sent = 0;
        for (int i = 0; i < n; i++) {
                memcpy(sent + n_sent, iov[i].iov_base, iov[i].iov_len);
                n_sent += iov[i].iov_len;
                sent[n_sent++] = '|';
        }
        return result;
}

static void test_line_becomes_fields(void **state)
{
        struct sg_log_record r = {
                .level = SG_LOG_WARNING,
                .message_id = "0123456789abcdef0123456789abcdef",
                .message = SG_STR("hello"),
                .n_fields = 2,
                .fields = {{"SCRIBE_KEY", SG_STR("alice")}, {"SCRIBE_RAW", SG_STR("a\nPRIORITY=0")}},
        };

        assert_true(sg_log_journal_is_built());
        assert_int_equal(sg_log_journal_write(&r), 0);
        assert_str(sg_str_make(sent, n_sent),
                   "MESSAGE=hello|PRIORITY=4|SYSLOG_IDENTIFIER=scribe-gateway|"
                   "MESSAGE_ID=0123456789abcdef0123456789abcdef|SCRIBE_KEY=alice|SCRIBE_RAW=a\nPRIORITY=0|");
}

static void test_largest_line_fits(void **state)
{
        static char big[SG_LOG_LINE_BYTES_MAX];
        struct sg_log_record r = {.level = SG_LOG_INFO, .message = sg_str_make(big, sizeof(big))};

        memset(big, 'x', sizeof(big));
        assert_int_equal(sg_log_journal_write(&r), 0);
        assert_true(n_sent > sizeof(big));
}

static void test_failure_is_passed_on(void **state)
{
        struct sg_log_record r = {.level = SG_LOG_INFO, .message = SG_STR("x")};

        result = -ENOBUFS;
        assert_int_equal(sg_log_journal_write(&r), -ENOBUFS);
        result = 0;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_line_becomes_fields),
                cmocka_unit_test(test_largest_line_fits),
                cmocka_unit_test(test_failure_is_passed_on),
        };

        return cmocka_run_group_tests_name("base log_journal", tests, NULL, NULL);
}
