#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sse_split.h"

static void check_pieces(struct sg_str in, size_t first, size_t others, const char *outcome, size_t carried)
{
        struct sse_split s;

        sse_split_init(&s, 0);
        sse_split_feed(&s, sg_str_head(in, first));
        for (size_t at = first; at < in.n; at += others)
                sse_split_feed(&s, sg_str_make(in.p + at, SG_MIN(others, in.n - at)));
        assert_int_equal(s.error, 0);
        sse_split_end(&s, in);
        if (!sg_str_eq(sg_buf_view(&s.text), sg_str_from(outcome)) || sg_sse_carried(&s.sse) != carried)
                fail_msg("%.*s\n--- cut at %zu, then %zu: expected \"%s\" and %zu, got \"%.*s\" and %zu",
                         SG_STR_ARG(in), first, others, outcome, carried, SG_STR_ARG(sg_buf_view(&s.text)),
                         sg_sse_carried(&s.sse));
        sse_split_done(&s);
}

/* Whole, in two pieces at every cut, and in small ones. */
static void check_carried(struct sg_str in, const char *outcome, size_t carried)
{
        for (size_t cut = 0; cut <= in.n; cut++)
                check_pieces(in, cut, in.n, outcome, carried);
        for (size_t piece = 1; piece <= 3; piece++)
                check_pieces(in, 0, piece, outcome, carried);
}

static void check(struct sg_str in, const char *outcome)
{
        check_carried(in, outcome, 0);
}

static void test_data_lines_are_joined(void **state)
{
        check(SG_STR("data: a\n\n"), "[:a]");
        check(SG_STR("data:a\n\n"), "[:a]");
        check(SG_STR("data:  a \n\n"), "[: a ]");
        check(SG_STR("data:\ta\n\n"), "[:\ta]");
        check(SG_STR("data:\n\n"), "[:]");
        check(SG_STR("data\n\n"), "[:]");
        check(SG_STR("data: a: b\n\n"), "[:a: b]");
        check(SG_STR("data: a\ndata: b\ndata:\ndata:c\n\n"), "[:a\nb\n\nc]");
        check(SG_STR("data:\ndata\n\n"), "[:\n]");
        check(SG_STR("data\ndata\ndata\n\n"), "[:\n\n]");
        check(SG_STR("data: {\"a\":1}\n\ndata: [DONE]\n\n"), "[:{\"a\":1}][:[DONE]]");
}

static void test_names_are_the_last_event_line(void **state)
{
        check(SG_STR("event: x\ndata: a\n\ndata: b\n\n"), "[x:a][:b]");
        check(SG_STR("event:x\nid: 7\nretry: 1\ndata: a\nevent: y\nunknown: z\n\n"), "[y:a]");
        check(SG_STR("event: x\n\n"), "[x!]");
        check(SG_STR("event: x\nevent\ndata: a\n\n"), "[:a]");
}

static void test_other_lines_say_nothing(void **state)
{
        check(SG_STR(": keep-alive\n\n"), "");
        check(SG_STR(":data: a\n\n:\n\n\n\n"), "");
        check(SG_STR("Data: a\ndatax: b\n data: c\ndata : d\ndat: e\n\n"), "");
        check(SG_STR(": OPENROUTER PROCESSING\n\ndata: a\n: inside\ndata: b\n\n"), "[:a\nb]");
}

static void test_blank_lines_are_events(void **state)
{
        struct sg_str in = SG_STR(":\n\n\n\r\n\ndata: a\n\n");
        struct sse_split s;

        sse_split_init(&s, 0);
        sse_split_feed(&s, in);
        sse_split_end(&s, in);
        assert_int_equal(s.n_silent, 4);
        sse_split_done(&s);
}

static void test_any_line_end(void **state)
{
        check(SG_STR("data: a\r\ndata: b\r\n\r\ndata: c\r\n\r\n"), "[:a\nb][:c]");
        check(SG_STR("data: a\rdata: b\r\rdata: c\r\r"), "[:a\nb][:c]");
        check(SG_STR("data: a\r\ndata: b\rdata: c\n\ndata: d\r\n\n"), "[:a\nb\nc][:d]");
        check(SG_STR("data: a\r\r\ndata: b\n\r\ndata: c\n\r\r\n"), "[:a][:b][:c]");
        check(SG_STR("\r\n\r\ndata: a\r\n\r\n"), "[:a]");
        check(SG_STR("\r\rdata: a\r\r"), "[:a]");
        check(SG_STR("data: a value of more than sixteen bytes\r\n\r\n"), "[:a value of more than sixteen bytes]");
}

static void test_incomplete_event_is_carried(void **state)
{
        check_carried(SG_STR("data: a\n\ndata: b"), "[:a]", 7);
        check_carried(SG_STR("data: a\n\ndata: b\n"), "[:a]", 8);
        check_carried(SG_STR("data: b\r\n"), "", 9);
        check_carried(SG_STR("d"), "", 1);
        check_carried(SG_STR(""), "", 0);
}

static void test_crlf_event_is_given_whole(void **state)
{
        /* These lines end in CRLF: the LF will come. */
        check_carried(SG_STR("data: a\r\n\r\ndata: b\r\n\r"), "[:a]", 10);
        /* Unless it does not. */
        check_carried(SG_STR("data: a\r\n\rdata: b"), "[:a]", 7);
        check_carried(SG_STR("data: a\r\n\r\r"), "[:a]", 0);
}

static void test_cr_event_is_given_at_once(void **state)
{
        struct sse_split s;

        check(SG_STR("data: a\r\r"), "[:a]");
        check(SG_STR("data: a\n\r"), "[:a]");
        check(SG_STR("data: a\r\nid: 1\n\r"), "[:a]");
        check(SG_STR("data: a\r\n\r\ndata: b\n\n\r"), "[:a][:b]");
        sse_split_init(&s, 0);
        sse_split_feed(&s, SG_STR("data: a\r\r"));
        sse_split_feed(&s, SG_STR("\n"));
        assert_int_equal(s.n_silent, 1); /* the LF that came nevertheless */
        sse_split_feed(&s, SG_STR("data: b\r\n\r\n"));
        sse_split_end(&s, SG_STR("data: a\r\r\ndata: b\r\n\r\n"));
        assert_true(sg_str_eq(sg_buf_view(&s.text), SG_STR("[:a][:b]")));
        sse_split_done(&s);
}

static void test_bom_is_skipped_once(void **state)
{
        check(SG_STR("\xef\xbb\xbf"
                     "data: a\n\ndata: b\n\n"),
              "[:a][:b]");
        check(SG_STR("\xef\xbb\xbf\n\ndata: a\n\n"), "[:a]");
        check(SG_STR("\xef\xbb\xbf\r\ndata: a\n\n"), "[:a]");
        check(SG_STR("data: a\n\n\xef\xbb\xbf"
                     "data: b\n\n"),
              "[:a]");
        check(SG_STR("\xef\xbb\xbf\xef\xbb\xbf"
                     "data: b\n\n"),
              "");
        check(SG_STR("\xef\xbb"
                     "data: b\n\ndata: c\n\n"),
              "[:c]");
        check_carried(SG_STR("\xef\xbb\xbf"), "", 3);
        check_carried(SG_STR("\xef\xbb\n"), "", 3);
}

static void test_event_over_the_limit_is_an_error(void **state)
{
        struct sg_str in = SG_STR("data: 12\n\n");

        for (size_t max = 8; max <= 12; max++) {
                for (size_t cut = 0; cut <= in.n; cut++) {
                        struct sse_split s;

                        sse_split_init(&s, max);
                        sse_split_feed(&s, sg_str_head(in, cut));
                        sse_split_feed(&s, sg_str_skip(in, cut));
                        assert_int_equal(s.error, max < in.n ? SG_SSE_E_TOO_LARGE : 0);
                        sse_split_done(&s);
                }
        }
}

static void test_event_without_end_is_an_error_at_the_limit(void **state)
{
        struct sse_split s;

        sse_split_init(&s, 100);
        for (unsigned i = 0; i < 10; i++)
                sse_split_feed(&s, SG_STR("0123456789"));
        assert_int_equal(s.error, 0);
        sse_split_feed(&s, SG_STR("x"));
        assert_int_equal(s.error, SG_SSE_E_TOO_LARGE);
        sse_split_done(&s);
}

static void test_large_event_in_many_pieces(void **state)
{
        static const size_t n = 1u << 20;
        char *bytes = malloc(n);
        struct sse_split s;

        assert_non_null(bytes);
        memset(bytes, 'x', n);
        memcpy(bytes, "data: ", 6);
        memcpy(bytes + n - 2, "\n\n", 2);
        sse_split_init(&s, n);
        for (size_t at = 0; at < n; at += 64)
                sse_split_feed(&s, sg_str_make(bytes + at, 64));
        sse_split_end(&s, sg_str_make(bytes, n));
        assert_int_equal(sg_buf_length(&s.text), n - 8 + 3);
        assert_int_equal(sg_sse_carried(&s.sse), 0);
        sse_split_done(&s);
        free(bytes);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_data_lines_are_joined),
                cmocka_unit_test(test_names_are_the_last_event_line),
                cmocka_unit_test(test_other_lines_say_nothing),
                cmocka_unit_test(test_blank_lines_are_events),
                cmocka_unit_test(test_any_line_end),
                cmocka_unit_test(test_incomplete_event_is_carried),
                cmocka_unit_test(test_crlf_event_is_given_whole),
                cmocka_unit_test(test_cr_event_is_given_at_once),
                cmocka_unit_test(test_bom_is_skipped_once),
                cmocka_unit_test(test_event_over_the_limit_is_an_error),
                cmocka_unit_test(test_event_without_end_is_an_error_at_the_limit),
                cmocka_unit_test(test_large_event_in_many_pieces),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
