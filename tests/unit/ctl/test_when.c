#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>
#include <time.h>

#include "ctl/ctl.h"

#define SEC     UINT64_C(1000000)
#define NOW     (UINT64_C(1795244400) * SEC) /* 2026-11-21 07:00:00 UTC */
#define REFUSED UINT64_MAX

static void zone(const char *name)
{
        setenv("TZ", name, 1);
        tzset();
}

static uint64_t when(const char *text, enum sg_ctl_direction direction)
{
        uint64_t at;

        return sg_ctl_parse_when(sg_str_from(text), NOW, direction, &at) ? at : REFUSED;
}

static void test_durations_count_from_now(void **state)
{
        assert_int_equal(when("90s", SG_CTL_AHEAD), NOW + 90 * SEC);
        assert_int_equal(when("15m", SG_CTL_AHEAD), NOW + 900 * SEC);
        assert_int_equal(when("12h", SG_CTL_BACK), NOW - 12 * 3600 * SEC);
        assert_int_equal(when("30d", SG_CTL_AHEAD), NOW + 30 * 86400 * SEC);
        assert_int_equal(when("2w", SG_CTL_BACK), NOW - 14 * 86400 * SEC);
        assert_int_equal(when("0s", SG_CTL_BACK), NOW);
        assert_int_equal(when("now", SG_CTL_BACK), NOW);
        assert_int_equal(when("900w", SG_CTL_BACK), NOW - 900 * 7 * 86400 * SEC);
        assert_int_equal(when("9000w", SG_CTL_BACK), 0);
}

static void test_dates_are_of_the_local_zone(void **state)
{
        zone("UTC");
        assert_int_equal(when("2026-12-31", SG_CTL_AHEAD), UINT64_C(1798675200) * SEC);
        assert_int_equal(when("2026-12-31T10:00", SG_CTL_AHEAD), UINT64_C(1798711200) * SEC);
        assert_int_equal(when("2026-12-31 10:00:30", SG_CTL_AHEAD), UINT64_C(1798711230) * SEC);
        assert_int_equal(when("today", SG_CTL_BACK), NOW - 7 * 3600 * SEC);
        zone("CET-1CEST,M3.5.0,M10.5.0/3");
        assert_int_equal(when("2026-12-31", SG_CTL_AHEAD), UINT64_C(1798671600) * SEC);
        assert_int_equal(when("2026-07-01", SG_CTL_AHEAD), UINT64_C(1782856800) * SEC); /* summer time */
        assert_int_equal(when("today", SG_CTL_BACK), NOW - 8 * 3600 * SEC);
        zone("UTC");
}

static void test_dates_with_a_zone_are_the_same_anywhere(void **state)
{
        static const char *const zones[] = {"UTC", "CET-1CEST,M3.5.0,M10.5.0/3", "PST8PDT,M3.2.0,M11.1.0"};

        for (size_t i = 0; i < SG_N_ELEMENTS(zones); i++) {
                zone(zones[i]);
                assert_int_equal(when("2026-12-31T10:00:00Z", SG_CTL_AHEAD), UINT64_C(1798711200) * SEC);
                assert_int_equal(when("2026-12-31T12:00:00+02:00", SG_CTL_AHEAD), UINT64_C(1798711200) * SEC);
                assert_int_equal(when("2026-12-31T04:30-05:30", SG_CTL_AHEAD), UINT64_C(1798711200) * SEC);
        }
        zone("UTC");
}

static void test_what_is_no_time_is_refused(void **state)
{
        static const char *const wrong[] = {
                "",
                "s",
                "5",
                "5x",
                "-5d",
                "+5d",
                " 5d",
                "5d ",
                "5.5d",
                "99999999999999999999d",
                "99999999999d",
                "tomorow",
                "2026",
                "2026-12",
                "2026-13-01",
                "2026-00-10",
                "2026-06-31",
                "2026-02-29",
                "2026-1-1",
                "26-12-31",
                "2026-12-31T",
                "2026-12-31T10",
                "2026-12-31T24:00",
                "2026-12-31T10:60",
                "2026-12-31T10:00:61",
                "2026-12-31T10:00:00X",
                "2026-12-31T10:00:00+2",
                "2026-12-31T10:00:00+02:00Z",
                "2026-12-31Z",
                "2026/12/31",
                "1969-12-31",
        };

        for (size_t i = 0; i < SG_N_ELEMENTS(wrong); i++)
                if (when(wrong[i], SG_CTL_AHEAD) != REFUSED)
                        fail_msg("taken: '%s'", wrong[i]);
        assert_int_not_equal(when("2028-02-29", SG_CTL_AHEAD), REFUSED);
}

static void test_times_are_shown_in_the_local_zone(void **state)
{
        char out[SG_CTL_WHEN_BYTES];

        zone("UTC");
        assert_string_equal(sg_ctl_format_when(NOW, out), "2026-11-21 07:00:00");
        zone("CET-1CEST,M3.5.0,M10.5.0/3");
        assert_string_equal(sg_ctl_format_when(NOW, out), "2026-11-21 08:00:00");
        zone("UTC");
        assert_string_equal(sg_ctl_format_when(0, out), "-");
        assert_string_equal(sg_ctl_format_when(UINT64_MAX, out), "-");
}

static void test_durations_and_sizes_are_short(void **state)
{
        char out[SG_CTL_WHEN_BYTES];

        assert_string_equal(sg_ctl_format_duration(0, out), "0 ms");
        assert_string_equal(sg_ctl_format_duration(999, out), "<1 ms");
        assert_string_equal(sg_ctl_format_duration(999999, out), "999 ms");
        assert_string_equal(sg_ctl_format_duration(59900000, out), "59.9 s");
        assert_string_equal(sg_ctl_format_duration(61 * SEC, out), "1 min 1 s");
        assert_string_equal(sg_ctl_format_duration(3661 * SEC, out), "1 h 1 min");
        assert_string_equal(sg_ctl_format_duration(90000 * SEC, out), "1 d 1 h");
        assert_string_equal(sg_ctl_format_bytes(0, out), "0 B");
        assert_string_equal(sg_ctl_format_bytes(1023, out), "1023 B");
        assert_string_equal(sg_ctl_format_bytes(1536, out), "1.5 KiB");
        assert_string_equal(sg_ctl_format_bytes(512u << 20, out), "512 MiB");
        assert_string_equal(sg_ctl_format_bytes(UINT64_MAX, out), "15.9 EiB");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_durations_count_from_now),
                cmocka_unit_test(test_dates_are_of_the_local_zone),
                cmocka_unit_test(test_dates_with_a_zone_are_the_same_anywhere),
                cmocka_unit_test(test_what_is_no_time_is_refused),
                cmocka_unit_test(test_times_are_shown_in_the_local_zone),
                cmocka_unit_test(test_durations_and_sizes_are_short),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
