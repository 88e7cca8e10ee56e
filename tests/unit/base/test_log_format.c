#include "common.h"

#include "base/log_internal.h"

/* 2026-11-21T07:05:35.000042Z */
#define WALL_USEC UINT64_C(1795244735000042)

static struct sg_buf out;

static struct sg_str text_of(const struct sg_log_record *r, struct sg_log_text_style style)
{
        sg_buf_done(&out);
        sg_buf_init(&out, 128 * 1024);
        assert_int_equal(sg_log_format_text(&out, r, style), 0);
        return sg_buf_view(&out);
}

static struct sg_str json_of(const struct sg_log_record *r)
{
        sg_buf_done(&out);
        sg_buf_init(&out, 128 * 1024);
        assert_int_equal(sg_log_format_json(&out, r), 0);
        return sg_buf_view(&out);
}

static int teardown(void **state)
{
        sg_buf_done(&out);
        return 0;
}

static void test_text_line_is_for_people(void **state)
{
        struct sg_log_record r = {
                .level = SG_LOG_WARNING,
                .wall_usec = WALL_USEC,
                .message = SG_STR("POST /v1/chat 200"),
                .n_fields = 6,
                .fields = {{"SCRIBE_KEY", SG_STR("alice")},
                           {"SCRIBE_REASON", SG_STR("a b")},
                           {"SCRIBE_EMPTY", SG_STR("")},
                           {"ERRNO", SG_STR("5")}, /* these two: the message says it in words */
                           {"SCRIBE_WHERE", SG_STR("a.conf:3")},
                           {"OTHER", SG_STR("5")}},
        };

        assert_str(text_of(&r, (struct sg_log_text_style){0}),
                   "scribe-gateway: POST /v1/chat 200 key=alice reason=\"a b\" empty=\"\" other=5\n");
        assert_true(sg_str_starts(text_of(&r, (struct sg_log_text_style){.has_level = true}),
                                  SG_STR("<4>scribe-gateway: POST")));
}

static void test_clock_is_hours_minutes_seconds(void **state)
{
        struct sg_log_record r = {.level = SG_LOG_INFO, .wall_usec = WALL_USEC, .message = SG_STR("x")};
        struct sg_str s = text_of(&r, (struct sg_log_text_style){.has_clock = true});

        assert_int_equal(s.p[2], ':');
        assert_int_equal(s.p[5], ':');
        assert_memory_equal(s.p + 6, "35 scribe-gateway: x\n", 21); /* zones differ by whole minutes today */
}

static void test_json_line_is_for_programs(void **state)
{
        struct sg_log_record r = {
                .level = SG_LOG_INFO,
                .wall_usec = WALL_USEC,
                .message_id = "0123456789abcdef0123456789abcdef",
                .message = SG_STR("said \"hi\""),
                .n_fields = 1,
                .fields = {{"SCRIBE_KEY", SG_STR("alice")}},
        };

        assert_str(json_of(&r), "{\"time\":\"2026-11-21T07:05:35.000042Z\",\"level\":\"info\",\"message\":"
                                "\"said \\\"hi\\\"\",\"message_id\":\"0123456789abcdef0123456789abcdef\","
                                "\"SCRIBE_KEY\":\"alice\"}\n");
}

static void assert_harmless(struct sg_str s)
{
        assert_int_equal(s.p[s.n - 1], '\n');
        s.n--;
        assert_true(sg_str_is_utf8(s));
        for (size_t i = 0; i < s.n; i++) {
                unsigned char c = (unsigned char)s.p[i];

                assert_true(c >= 0x20 && c != 0x7f);
                assert_false(c == 0xc2 && (unsigned char)s.p[i + 1] < 0xa0);
        }
}

static void test_hostile_bytes_stay_inside_their_line(void **state)
{
        static char every[3 * 256];
        struct sg_log_record r = {.level = SG_LOG_ERR, .wall_usec = WALL_USEC};

        for (size_t i = 0; i < 256; i++) {
                every[3 * i] = 'a';
                every[3 * i + 1] = (char)0xc2; /* makes C1 controls of 0x80 to 0x9f */
                every[3 * i + 2] = (char)i;
        }
        r.message = sg_str_make(every, sizeof(every));
        r.n_fields = 1;
        r.fields[0] = (struct sg_log_field){"SCRIBE_X", r.message};
        assert_harmless(text_of(&r, (struct sg_log_text_style){0}));
        assert_harmless(json_of(&r));

        r.message = SG_STR("x\n<0>scribe-gateway: forged\r\x1b[2J");
        r.fields[0].value = SG_STR("\" status=200\n\\");
        assert_str(text_of(&r, (struct sg_log_text_style){0}),
                   "scribe-gateway: x\\n<0>scribe-gateway: forged\\r\\x1b[2J x=\"\\\" status=200\\n\\\\\"\n");
}

static void test_levels_have_names(void **state)
{
        enum sg_log_level level = SG_LOG_ERR;

        for (int l = SG_LOG_ERR; l <= SG_LOG_DEBUG; l++) {
                assert_int_equal(sg_log_level_parse(sg_str_from(sg_log_level_name((enum sg_log_level)l)), &level), 0);
                assert_int_equal(level, l);
        }
        assert_int_equal(sg_log_level_parse(SG_STR("INFO"), &level), 0);
        assert_int_equal(level, SG_LOG_INFO);
        assert_int_equal(sg_log_level_parse(SG_STR("loud"), &level), SG_STR_E_SYNTAX);
        assert_int_equal(sg_log_level_parse(SG_STR(""), &level), SG_STR_E_SYNTAX);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_text_line_is_for_people),
                cmocka_unit_test(test_clock_is_hours_minutes_seconds),
                cmocka_unit_test(test_json_line_is_for_programs),
                cmocka_unit_test(test_hostile_bytes_stay_inside_their_line),
                cmocka_unit_test(test_levels_have_names),
        };

        return cmocka_run_group_tests_name("base log_format", tests, NULL, teardown);
}
