/* Limits: what is taken and how it is written again, what is refused and what the error says, which sets contradict
 * themselves. */
#include "config_test.h"

#include <errno.h>

#include "config/limit.h"

static struct sg_limit read_good(const char *text)
{
        struct sg_limit l = {0};
        struct sg_error err = {0};
        int r = sg_limit_parse(&l, sg_str_from(text), &err);

        if (r)
                print_error("%s\n", err.text);
        assert_int_equal(r, 0);
        return l;
}

static void test_a_limit_is_read_and_written_again(void **state)
{
        static const struct {
                const char *text, *canonical;
                struct sg_limit limit;
        } good[] = {
                {"600 requests/minute",
                 "600 requests/minute",
                 {.kind = SG_LIMIT_REQUESTS, .window = SG_WINDOW_MINUTE, .amount = 600}},
                {"1 requests/hour",
                 "1 requests/hour",
                 {.kind = SG_LIMIT_REQUESTS, .window = SG_WINDOW_HOUR, .amount = 1}},
                {"\t100K  TOKENS/Hour ",
                 "100000 tokens/hour",
                 {.kind = SG_LIMIT_TOKENS, .window = SG_WINDOW_HOUR, .amount = 100000}},
                {"2m tokens/day warn=80%",
                 "2000000 tokens/day warn=80%",
                 {.kind = SG_LIMIT_TOKENS, .window = SG_WINDOW_DAY, .amount = 2000000, .warn_percent = 80}},
                {"8 concurrent soft",
                 "8 concurrent soft",
                 {.kind = SG_LIMIT_CONCURRENT, .window = SG_WINDOW_NONE, .amount = 8, .is_soft = true}},
                {"10000000000000 tokens/month",
                 "10000000000000 tokens/month",
                 {.kind = SG_LIMIT_TOKENS, .window = SG_WINDOW_MONTH, .amount = SG_LIMIT_AMOUNT_MAX}},
                {"10M tokens/month",
                 "10000000 tokens/month",
                 {.kind = SG_LIMIT_TOKENS, .window = SG_WINDOW_MONTH, .amount = 10000000}},
                {"20 usd/month warn=80% downgrade=90%",
                 "20 usd/month warn=80% downgrade=90%",
                 {.kind = SG_LIMIT_COST,
                  .window = SG_WINDOW_MONTH,
                  .amount = 20000000,
                  .currency = "USD",
                  .warn_percent = 80,
                  .downgrade_percent = 90}},
                {"0.000001 EUR/day downgrade=100% warn=1% soft",
                 "0.000001 eur/day warn=1% downgrade=100% soft",
                 {.kind = SG_LIMIT_COST,
                  .window = SG_WINDOW_DAY,
                  .amount = 1,
                  .currency = "EUR",
                  .warn_percent = 1,
                  .downgrade_percent = 100,
                  .is_soft = true}},
                {"1.50K Cny/month",
                 "1500 cny/month",
                 {.kind = SG_LIMIT_COST, .window = SG_WINDOW_MONTH, .amount = 1500000000, .currency = "CNY"}},
                {"2.0500 usd/month",
                 "2.05 usd/month",
                 {.kind = SG_LIMIT_COST, .window = SG_WINDOW_MONTH, .amount = 2050000, .currency = "USD"}},
                {"10M usd/month",
                 "10000000 usd/month",
                 {.kind = SG_LIMIT_COST, .window = SG_WINDOW_MONTH, .amount = SG_LIMIT_AMOUNT_MAX, .currency = "USD"}},
        };
        char text[SG_LIMIT_TEXT_BYTES];

        for (size_t i = 0; i < SG_N_ELEMENTS(good); i++) {
                struct sg_limit l = read_good(good[i].text), again;
                const struct sg_limit *want = &good[i].limit;

                assert_int_equal(l.kind, want->kind);
                assert_int_equal(l.window, want->window);
                assert_int_equal(l.amount, want->amount);
                assert_string_equal(l.currency, want->currency);
                assert_int_equal(l.warn_percent, want->warn_percent);
                assert_int_equal(l.downgrade_percent, want->downgrade_percent);
                assert_int_equal(l.is_soft, want->is_soft);
                assert_string_equal(sg_limit_text(&l, text), good[i].canonical);
                again = read_good(text);
                assert_memory_equal(&again, &l, sizeof(l));
        }
}

static void test_each_mistake_says_what_to_write(void **state)
{
        static const struct {
                const char *text, *words;
        } bad[] = {
                {"", "like 600 requests/minute"},
                {"requests/minute", "begins with no amount above zero"},
                {"-5 requests/minute", "begins with no amount above zero"},
                {"+5 requests/minute", "begins with no amount above zero"},
                {".5 usd/day", "begins with no amount above zero"},
                {"unlimited", "begins with no amount above zero"},
                {"600", "does not say of what"},
                {"600 requests", "'requests' lacks a window; write requests/minute, /hour, /day or /month"},
                {"600 /minute", "'' is not requests, tokens, concurrent or a currency"},
                {"600 requets/minute", "did you mean 'requests'?"},
                {"600 token/minute", "did you mean 'tokens'?"},
                {"6 concurrency", "did you mean 'concurrent'?"},
                {"6 \xc3\xa9/day", "fewer than 96 letters and digits"},
                {"6 \x01/day", "fewer than 96 letters and digits"},
                {"600 u$d/day", "'u$d' is not requests, tokens, concurrent or a currency like usd"},
                {"600 requests/minut", "did you mean 'minute'?"},
                {"600 requests/week", "'week' is not one of minute, hour, day, month"},
                {"600 requests/", "'' is not one of minute, hour, day, month"},
                {"600 requests/minute/day", "'minute/day' is not one of"},
                {"8 concurrent/minute", "'concurrent' has no window; write 8 concurrent"},
                {"600 rpm", "'rpm' lacks a window; write a budget as 20 usd/month"},
                {"20 usd/hour", "a budget is for a day or a month; write usd/day or /month"},
                {"0 requests/minute", "the amount is zero; write at least 1"},
                {"0.000 usd/day", "the amount is zero; write at least 0.000001"},
                {"1.5 requests/minute", "only budgets have digits behind a point"},
                {"1. usd/day", "one to 6 digits behind the point"},
                {"1.0000001 usd/day", "one to 6 digits behind the point"},
                {"1,5 usd/day", "'1,5' is no amount; write 600, 100K"},
                {"1.5.5 usd/day", "'1.5.5' is no amount"},
                {"1e6 tokens/day", "'1e6' is no amount"},
                {"5G tokens/day", "'5G' is no amount"},
                {"5KK tokens/day", "'5KK' is no amount"},
                {"10000000000001 tokens/day", "too large; write at most 10000000000000"},
                {"10000001M tokens/day", "too large; write at most 10000000000000"},
                {"10000000000000M tokens/day", "too large"},
                {"18446744073709551616 tokens/day", "too large"},
                {"99999999999999999999999999 tokens/day", "too large"},
                {"10000000.000001 usd/day", "too large; write at most 10000000"},
                {"10000001 usd/day", "too large; write at most 10000000"},
                {"10.000001M usd/day", "too large; write at most 10000000"},
                {"5 usd/day warn=0%", "write warn=1% to warn=100%"},
                {"5 usd/day warn=101%", "write warn=1% to warn=100%"},
                {"5 usd/day warn=80", "write warn=1% to warn=100%"},
                {"5 usd/day warn=", "write warn=1% to warn=100%"},
                {"5 usd/day warn=%", "write warn=1% to warn=100%"},
                {"5 usd/day warn=-1%", "write warn=1% to warn=100%"},
                {"5 usd/day warn=80% warn=80%", "'warn' is said twice"},
                {"5 usd/day downgrade=1% downgrade=2%", "'downgrade' is said twice"},
                {"5 usd/day downgrade=0%", "write downgrade=1% to downgrade=100%"},
                {"5 tokens/day downgrade=90%", "'downgrade' is of budgets only"},
                {"5 tokens/day soft soft", "'soft' is said twice"},
                {"5 tokens/day wran=5%", "did you mean 'warn'?"},
                {"5 tokens/day soft=yes", "did you mean 'soft'?"},
                {"5 tokens/day sotf", "did you mean 'soft'?"},
                {"5 tokens/day hard", "'hard' is not one of warn=80%, downgrade=90%, soft"},
                {"5 tokens/day, 6 tokens/hour", "'day,' is not one of minute, hour, day, month; did you mean 'day'?"},
        };
        struct sg_limit l, before;
        struct sg_error err;

        memset(&l, 0x5a, sizeof(l));
        before = l;
        for (size_t i = 0; i < SG_N_ELEMENTS(bad); i++) {
                err = (struct sg_error){0};
                assert_int_equal(sg_limit_parse(&l, sg_str_from(bad[i].text), &err), -EINVAL);
                if (!strstr(err.text, bad[i].words))
                        print_error("%s: %s\n", bad[i].text, err.text);
                assert_non_null(strstr(err.text, bad[i].words));
                assert_memory_equal(&l, &before, sizeof(l));
        }
}

static void test_what_is_too_long_is_not_repeated(void **state)
{
        char text[4096];
        struct sg_limit l;
        struct sg_error err = {0};

        memset(text, '7', sizeof(text));
        assert_int_equal(sg_limit_parse(&l, sg_str_make(text, sizeof(text)), &err), -EINVAL);
        assert_null(strstr(err.text, "777"));
        assert_int_equal(sg_limit_parse(&l, sg_str_make("5 tokens/day\0x", 14), &err), -EINVAL);
        assert_int_equal(sg_limit_parse(&l, SG_STR_NONE, NULL), -EINVAL);
}

static void test_amounts_for_people(void **state)
{
        static const struct {
                const char *limit;
                uint64_t amount;
                const char *text;
        } amounts[] = {
                {"5 requests/day", 600, "600 requests"},
                {"5 requests/day", 1, "1 request"},
                {"5 tokens/day", 0, "0 tokens"},
                {"5 tokens/day", 1, "1 token"},
                {"5 concurrent", 1, "1 concurrent"},
                {"5 usd/day", 20000000, "20 usd"},
                {"5 usd/day", 1, "0.000001 usd"},
                {"5 usd/day", 12340000, "12.34 usd"},
                {"5 usd/day", UINT64_MAX, "18446744073709.551615 usd"},
        };
        char text[SG_LIMIT_TEXT_BYTES];

        for (size_t i = 0; i < SG_N_ELEMENTS(amounts); i++) {
                struct sg_limit l = read_good(amounts[i].limit);

                assert_string_equal(sg_limit_amount_text(&l, amounts[i].amount, text), amounts[i].text);
        }
}

static void test_every_name_is_there(void **state)
{
        for (int k = 0; k < SG_LIMIT_KIND_N; k++)
                assert_non_null(sg_limit_kind_name((enum sg_limit_kind)k));
        for (int w = 0; w < SG_WINDOW_N; w++)
                assert_non_null(sg_limit_window_name((enum sg_limit_window)w));
}

/* ---- sets */

static int make_set(struct sg_limit_set **ret, struct sg_error *err, const char *const *texts)
{
        struct sg_limit limits[SG_LIMITS_MAX + 1];
        size_t n = 0;

        for (; texts[n]; n++)
                limits[n] = read_good(texts[n]);
        return sg_limit_set_new(ret, limits, n, err);
}

#define SET(ret, err, ...) make_set(ret, err, (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static void test_a_set_that_contradicts_itself_is_refused(void **state)
{
        static const struct {
                const char *limits[4], *words;
        } bad[] = {
                {{"5 requests/day", "9 requests/day warn=5%"},
                 "limits '5 requests/day' and '9 requests/day warn=5%' are of one kind and window; keep one of them"},
                {{"8 concurrent", "5 tokens/day", "9 concurrent"}, "keep one of them"},
                {{"8 concurrent", "9 concurrent soft"}, "keep one of them"},
                {{"1 usd/day", "2 USD/day"}, "keep one of them"},
                {{"600 requests/minute", "100 requests/day"},
                 "limit '600 requests/minute' is never reached beside '100 requests/day'; make it at most 100 "
                 "requests, "
                 "or leave it out"},
                {{"1 usd/month", "1.01 usd/day"}, "make it at most 1 usd"},
                {{"5 tokens/month", "6 tokens/hour soft"}, "make it at most 5 tokens"},
        };
        struct sg_limit_set *s = NULL;
        struct sg_error err;

        for (size_t i = 0; i < SG_N_ELEMENTS(bad); i++) {
                err = (struct sg_error){0};
                assert_int_equal(make_set(&s, &err, bad[i].limits), -EINVAL);
                if (!strstr(err.text, bad[i].words))
                        print_error("%s\n", err.text);
                assert_non_null(strstr(err.text, bad[i].words));
                assert_null(s);
        }
}

static void test_a_set_that_is_good_is_taken(void **state)
{
        struct sg_limit_set *s = NULL;

        assert_int_equal(SET(&s, NULL, "100 requests/minute", "100 requests/hour", "9 concurrent", "1 usd/day",
                             "900 cny/month", "1 eur/month", "5 tokens/day", "5 tokens/month"),
                         0);
        assert_int_equal(s->n, SG_LIMITS_MAX);
        assert_string_equal(s->at[4].limit.currency, "CNY");
        assert_null(atomic_load(&s->at[7].word));
        s = sg_limit_set_unref(s);
        /* What is soft does not keep the other from being reached. */
        assert_int_equal(SET(&s, NULL, "600 requests/minute", "100 requests/day soft"), 0);
        s = sg_limit_set_unref(s);
}

static void test_no_limits_are_no_set_and_too_many_an_error(void **state)
{
        struct sg_limit_set *s = NULL;
        struct sg_error err = {0};

        assert_int_equal(sg_limit_set_new(&s, NULL, 0, &err), 0);
        assert_null(s);
        assert_null(sg_limit_set_ref(NULL));
        assert_null(sg_limit_set_unref(NULL));
        assert_int_equal(SET(&s, &err, "100 requests/minute", "100 requests/hour", "9 concurrent", "1 usd/day",
                             "900 cny/month", "1 eur/month", "5 tokens/day", "5 tokens/month", "5 gbp/day"),
                         -EINVAL);
        assert_string_equal(err.text, "there are 9 limits; keep at most 8");
}

static void test_sets_are_counted_and_compared(void **state)
{
        static const char *const others[] = {
                "6 requests/day",      "5 tokens/day", "5 requests/month", "5 requests/day warn=1%",
                "5 requests/day soft", "5 usd/day",    "5 eur/day",        "5 usd/day downgrade=1%"};
        struct sg_limit_set *a, *b, *c;

        assert_int_equal(SET(&a, NULL, "5 requests/day", "8 concurrent"), 0);
        assert_int_equal(SET(&b, NULL, "5 requests/day", "8 concurrent"), 0);
        assert_int_equal(SET(&c, NULL, "5 requests/day"), 0);
        assert_ptr_equal(sg_limit_set_ref(a), a);
        assert_null(sg_limit_set_unref(a));
        assert_true(sg_limit_set_is_same(a, b));
        assert_true(sg_limit_set_is_same(NULL, NULL));
        assert_false(sg_limit_set_is_same(a, NULL));
        assert_false(sg_limit_set_is_same(NULL, a));
        assert_false(sg_limit_set_is_same(a, c));
        for (size_t i = 0; i < SG_N_ELEMENTS(others); i++) {
                struct sg_limit_set *d;

                assert_int_equal(SET(&d, NULL, others[i]), 0);
                assert_false(sg_limit_set_is_same(c, d));
                assert_true(sg_limit_set_is_same(d, d));
                sg_limit_set_unref(c);
                c = d;
        }
        sg_limit_set_unref(a);
        sg_limit_set_unref(b);
        sg_limit_set_unref(c);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_limit_is_read_and_written_again),
                cmocka_unit_test(test_each_mistake_says_what_to_write),
                cmocka_unit_test(test_what_is_too_long_is_not_repeated),
                cmocka_unit_test(test_amounts_for_people),
                cmocka_unit_test(test_every_name_is_there),
                cmocka_unit_test(test_a_set_that_contradicts_itself_is_refused),
                cmocka_unit_test(test_a_set_that_is_good_is_taken),
                cmocka_unit_test(test_no_limits_are_no_set_and_too_many_an_error),
                cmocka_unit_test(test_sets_are_counted_and_compared),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
