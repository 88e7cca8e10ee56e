/* Reservations on one thread with a turned clock: each window, settling, releasing, debts, refusals, clocks that step. */
#include "limit_test.h"

#include <inttypes.h>

/* ---- each kind of count */

static void test_a_burst_is_exact_and_comes_back_evenly(void **state)
{
        static const uint64_t amounts[] = {1, 3, 7, 60, 100, 599, 600, 12347, 100000};
        struct sg_limits *l = limits_in_memory();

        for (size_t i = 0; i < SG_N_ELEMENTS(amounts); i++) {
                char text[64];
                struct sg_limited who;
                struct sg_limit_refusal refusal;
                struct sg_reservation r = {0};

                snprintf(text, sizeof(text), "%" PRIu64 " requests/minute", amounts[i]);
                who = LIMITED(SG_SUBJECT_KEY, i, text);
                for (uint64_t n = 0; n < amounts[i]; n++) {
                        assert_int_equal(reserve(l, &who, SG_LIMIT_REQUESTS, 1, 0, &r, NULL), 0);
                        settle(l, &r, 0, 0, 0);
                }
                assert_int_equal(reserve(l, &who, SG_LIMIT_REQUESTS, 1, 0, &r, &refusal), SG_LIMIT_E_REFUSED);
                assert_ptr_equal(refusal.who, &who);
                assert_int_equal(refusal.used, amounts[i]);
                /* Just before it is too early, then one fits and no more. */
                /* Less the ticks that a burst of single units may be rounded up by (count.c). */
                assert_in_range(refusal.wait_usec, MINUTE / amounts[i] - 4, MINUTE / amounts[i] + 1);
                if (refusal.wait_usec > 2) /* to the microsecond */
                        assert_int_equal(reserve(l, &who, SG_LIMIT_REQUESTS, 1, refusal.wait_usec - 2, &r, NULL),
                                         SG_LIMIT_E_REFUSED);
                assert_int_equal(reserve(l, &who, SG_LIMIT_REQUESTS, 1, refusal.wait_usec, &r, NULL), 0);
                assert_int_equal(reserve(l, &who, SG_LIMIT_REQUESTS, 1, refusal.wait_usec, &r, NULL),
                                 SG_LIMIT_E_REFUSED);
                settle(l, &r, 0, 0, refusal.wait_usec);
                sg_limit_set_unref(who.set);
        }
        assert_nothing_is_held(l);
        sg_limits_free(l);
}

static void test_large_takings_fit_to_the_last_token(void **state)
{
        static const char *const texts[] = {"1000000000 tokens/minute", "10000000000000 tokens/minute",
                                            "999999937 tokens/hour", "7 tokens/hour", "1 tokens/minute"};
        struct sg_limits *l = limits_in_memory();

        for (size_t i = 0; i < SG_N_ELEMENTS(texts); i++) {
                struct sg_limited who = LIMITED(SG_SUBJECT_KEY, i, texts[i]);
                const uint64_t amount = who.set->at[0].limit.amount;
                struct sg_reservation r = {0};

                assert_int_equal(reserve(l, &who, SG_LIMIT_TOKENS, amount, 0, &r, NULL), 0);
                assert_int_equal(view(l, &who, 0, 0).used, amount);
                assert_int_equal(view(l, &who, 0, 0).remaining, 0);
                assert_int_equal(reserve(l, &who, SG_LIMIT_TOKENS, 1, 0, &r, NULL), SG_LIMIT_E_REFUSED);
                sg_limits_release(l, &r, NOW);
                assert_int_equal(view(l, &who, 0, 0).used, 0);
                assert_int_equal(reserve(l, &who, SG_LIMIT_TOKENS, amount, 0, &r, NULL), 0);
                settle(l, &r, amount, 0, 0);
                sg_limit_set_unref(who.set);
        }
        sg_limits_free(l);
}

static void test_days_and_months_end_with_the_calendar(void **state)
{
        static const struct {
                const char *limit;
                uint64_t wall_sec, end_sec; /* `date -u -d … +%s` */
        } cases[] = {
                {"1 requests/day", 1795305600, 1795392000},
                {"1 requests/day", 1795391999, 1795392000},
                {"1 requests/month", 1795305600, 1796083200}, /* 2026-11-22, 2026-12-01 */
                {"1 requests/month", 1798761599, 1798761600}, /* the end of 2026 */
                {"1 requests/month", 1801440000, 1803859200}, /* 2027-02-01: 28 days */
                {"1 requests/month", 1832976000, 1835481600}, /* 2028-02-01: 29 days */
                {"1 requests/month", 4105123200, 4107542400}, /* 2100-02-01: 28 days */
                {"1 requests/month", 951782400, 951868800},   /* 2000-02-29 */
                {"1 requests/month", 1798761600, 1801440000}, /* 2027-01: 31 days */
                {"1 requests/month", 0, 2678400},
        };
        struct sg_limits *l = limits_in_memory();

        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                struct sg_limited who = LIMITED(SG_SUBJECT_KEY, i, cases[i].limit);
                struct sg_limit_ask ask = ask_of(&who, 1, SG_LIMIT_REQUESTS, 1, 0);
                struct sg_limit_refusal refusal;
                struct sg_reservation r = {0};

                ask.wall_usec = cases[i].wall_sec * SEC + 7;
                assert_int_equal(sg_limits_reserve(l, &ask, &r, &refusal), 0);
                assert_int_equal(sg_limits_reserve(l, &ask, &r, &refusal), SG_LIMIT_E_REFUSED);
                assert_int_equal(refusal.wait_usec, (cases[i].end_sec - cases[i].wall_sec) * SEC - 7);
                ask.wall_usec += refusal.wait_usec - 1;
                assert_int_equal(sg_limits_reserve(l, &ask, &r, &refusal), SG_LIMIT_E_REFUSED);
                ask.wall_usec++;
                assert_int_equal(sg_limits_reserve(l, &ask, &r, &refusal), 0);
                sg_limits_settle(l, &r, 0, 0, ask.now_usec, ask.wall_usec);
                sg_limit_set_unref(who.set);
        }
        assert_nothing_is_held(l);
        sg_limits_free(l);
}

static void test_every_day_of_centuries_is_in_its_month(void **state)
{
        static const unsigned lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
        uint64_t day = 0, month = 0;

        for (unsigned year = 1970; year < 2500; year++)
                for (unsigned m = 0; m < 12; m++, month++) {
                        const bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

                        for (unsigned d = 0; d < lengths[m] + (m == 1 && is_leap); d++, day++) {
                                assert_int_equal(sg_window_period(SG_WINDOW_MONTH, day * DAY), month);
                                assert_int_equal(sg_window_period(SG_WINDOW_MONTH, day * DAY + DAY - 1), month);
                                assert_int_equal(sg_window_period(SG_WINDOW_DAY, day * DAY + 1), day);
                        }
                }
        assert_int_equal(sg_window_period(SG_WINDOW_MINUTE, WALL), 0);
        assert_int_equal(sg_window_period(SG_WINDOW_NONE, WALL), 0);
        assert_int_equal(sg_window_period(SG_WINDOW_DAY, UINT64_MAX), SG_WORD_PERIOD_MAX);
}

static void test_concurrency_is_given_back(void **state)
{
        struct sg_limits *l = limits_in_memory();
        struct sg_limited who = LIMITED(SG_SUBJECT_KEY, 1, "2 concurrent");
        struct sg_reservation a = {0}, b = {0}, c = {0};
        struct sg_limit_refusal refusal;

        assert_int_equal(reserve(l, &who, SG_LIMIT_CONCURRENT, 1, 0, &a, NULL), 0);
        assert_int_equal(reserve(l, &who, SG_LIMIT_CONCURRENT, 1, 0, &b, NULL), 0);
        assert_int_equal(reserve(l, &who, SG_LIMIT_CONCURRENT, 1, 0, &c, &refusal), SG_LIMIT_E_REFUSED);
        assert_int_equal(refusal.used, 2);
        assert_int_equal(refusal.wait_usec, 0);
        assert_int_equal(view(l, &who, 0, 0).reserved, 2);
        settle(l, &a, 99, 99, 0);
        assert_int_equal(reserve(l, &who, SG_LIMIT_CONCURRENT, 1, DAY, &c, NULL), 0);
        sg_limits_release(l, &b, NOW);
        sg_limits_release(l, &c, NOW);
        assert_int_equal(view(l, &who, 0, 0).used, 0);
        assert_int_equal(reserve(l, &who, SG_LIMIT_CONCURRENT, 3, 0, &c, &refusal), SG_LIMIT_E_REFUSED);
        assert_true(refusal.wait_usec == SG_USEC_NEVER);
        assert_nothing_is_held(l);
        sg_limit_set_unref(who.set);
        sg_limits_free(l);
}

/* ---- settling */

static void test_what_was_used_takes_the_place_of_what_was_reserved(void **state)
{
        struct sg_limits *l = limits_in_memory();
        struct sg_limited who = LIMITED(SG_SUBJECT_KEY, 1, "1000 tokens/day", "1 usd/day", "1000 tokens/minute");
        struct sg_limit_ask ask = ask_of(&who, 1, SG_LIMIT_TOKENS, 600, 0);
        struct sg_limit_refusal refusal;
        struct sg_reservation r = {0};

        ask.n_of[SG_LIMIT_COST] = 400000;
        assert_int_equal(sg_limits_reserve(l, &ask, &r, &refusal), 0);
        assert_int_equal(view(l, &who, 0, 0).reserved, 600);
        assert_int_equal(view(l, &who, 1, 0).reserved, 400000);
        assert_int_equal(view(l, &who, 2, 0).reserved, 600);
        settle(l, &r, 250, 100, 0);
        assert_int_equal(view(l, &who, 0, 0).used, 250);
        assert_int_equal(view(l, &who, 0, 0).remaining, 750);
        assert_int_equal(view(l, &who, 0, 0).reserved, 0);
        assert_int_equal(view(l, &who, 1, 0).used, 100);
        assert_int_equal(view(l, &who, 2, 0).used, 250);
        /* More than was reserved: counted, beyond the limit if need be. */
        assert_int_equal(sg_limits_reserve(l, &ask, &r, &refusal), 0);
        settle(l, &r, 3000, UINT64_MAX, 0);
        assert_int_equal(view(l, &who, 0, 0).used, 3250);
        assert_int_equal(view(l, &who, 0, 0).remaining, 0);
        assert_int_equal(view(l, &who, 1, 0).used, SG_WORD_AMOUNT_MAX);
        assert_int_equal(view(l, &who, 2, 0).used, 3250);
        /* A debt of 2250 tokens is 135 s of a bucket, until which nothing fits. */
        assert_int_equal(view(l, &who, 2, 135 * SEC - 1).remaining, 0);
        assert_int_equal(view(l, &who, 2, 195 * SEC).remaining, 1000);
        sg_limit_set_unref(who.set);
        sg_limits_free(l);
}

static void test_an_estimate_may_grow_and_is_settled_as_one(void **state)
{
        struct sg_limits *l = limits_in_memory();
        struct sg_limited who = LIMITED(SG_SUBJECT_KEY, 1, "1000 tokens/day", "1000 tokens/hour");
        struct sg_reservation r = {0};

        assert_int_equal(reserve(l, &who, SG_LIMIT_TOKENS, 300, 0, &r, NULL), 0);
        assert_int_equal(reserve(l, &who, SG_LIMIT_TOKENS, 300, 0, &r, NULL), 0);
        assert_int_equal(r.n, 2);
        assert_int_equal(reserve(l, &who, SG_LIMIT_TOKENS, 600, 0, &r, NULL), SG_LIMIT_E_REFUSED);
        assert_int_equal(view(l, &who, 0, 0).used, 600);
        /* Past midnight the rest is of another day; what is used goes to the first day first. */
        assert_int_equal(reserve(l, &who, SG_LIMIT_TOKENS, 200, DAY, &r, NULL), 0);
        assert_int_equal(r.n, 4);
        settle(l, &r, 650, 0, DAY);
        assert_int_equal(view(l, &who, 0, DAY).used, 50);
        assert_nothing_is_held(l);
        sg_limit_set_unref(who.set);
        sg_limits_free(l);
}

static void test_what_is_settled_after_its_day_leaves_the_next_alone(void **state)
{
        struct sg_limits *l = limits_in_memory();
        struct sg_limited who = LIMITED(SG_SUBJECT_KEY, 1, "1000 tokens/day");
        struct sg_reservation old = {0}, new = {0};

        assert_int_equal(reserve(l, &who, SG_LIMIT_TOKENS, 1000, DAY - 1, &old, NULL), 0);
        assert_int_equal(view(l, &who, 0, DAY).used, 0);
        assert_int_equal(reserve(l, &who, SG_LIMIT_TOKENS, 400, DAY, &new, NULL), 0);
        settle(l, &old, 5000, 0, DAY);
        assert_int_equal(view(l, &who, 0, DAY).used, 400);
        assert_int_equal(view(l, &who, 0, DAY).reserved, 400);
        sg_limits_release(l, &new, NOW + DAY);
        assert_int_equal(view(l, &who, 0, DAY).used, 0);
        assert_nothing_is_held(l);
        sg_limit_set_unref(who.set);
        sg_limits_free(l);
}

/* ---- what a bucket gives back */

static void test_time_that_passed_over_a_place_is_not_given_back(void **state)
{
        struct sg_limits *l = limits_in_memory();
        struct sg_limited who = LIMITED(SG_SUBJECT_KEY, 1, "60 tokens/minute");
        struct sg_reservation a = {0}, b = {0};

        /* Ten tokens are paid for after ten seconds; giving them back later must not make ten more of them. */
        assert_int_equal(reserve(l, &who, SG_LIMIT_TOKENS, 10, 0, &a, NULL), 0);
        assert_int_equal(reserve(l, &who, SG_LIMIT_TOKENS, 60, 20 * SEC, &b, NULL), 0);
        sg_limits_release(l, &a, NOW + 20 * SEC);
        assert_int_equal(view(l, &who, 0, 20 * SEC).remaining, 0);
        sg_limits_release(l, &b, NOW + 20 * SEC);
        assert_int_equal(view(l, &who, 0, 20 * SEC).remaining, 60);
        /* Half of it has passed: half is given back. */
        assert_int_equal(reserve(l, &who, SG_LIMIT_TOKENS, 20, 100 * SEC, &a, NULL), 0);
        sg_limits_release(l, &a, NOW + 110 * SEC);
        assert_int_equal(view(l, &who, 0, 110 * SEC).remaining, 60);
        /* Behind others all of it is still there. */
        assert_int_equal(reserve(l, &who, SG_LIMIT_TOKENS, 40, 200 * SEC, &a, NULL), 0);
        assert_int_equal(reserve(l, &who, SG_LIMIT_TOKENS, 20, 200 * SEC, &b, NULL), 0);
        sg_limits_release(l, &b, NOW + 230 * SEC);
        assert_int_equal(view(l, &who, 0, 230 * SEC).remaining, 50);
        sg_limits_release(l, &a, NOW + 300 * SEC);
        sg_limit_set_unref(who.set);
        sg_limits_free(l);
}

static void test_refunds_before_a_place_move_it(void **state)
{
        struct sg_limits *l = limits_in_memory();
        struct sg_limited who = LIMITED(SG_SUBJECT_KEY, 1, "60 tokens/minute");
        struct sg_reservation a = {0}, b = {0}, c = {0};

        /* b stands behind a; when a is given back, b moves forward and is paid for by second 11. */
        assert_int_equal(reserve(l, &who, SG_LIMIT_TOKENS, 10, 0, &a, NULL), 0);
        assert_int_equal(reserve(l, &who, SG_LIMIT_TOKENS, 10, 0, &b, NULL), 0);
        sg_limits_release(l, &a, NOW + SEC);
        assert_int_equal(view(l, &who, 0, 11 * SEC).remaining, 60);
        assert_int_equal(reserve(l, &who, SG_LIMIT_TOKENS, 60, 15 * SEC, &c, NULL), 0);
        sg_limits_release(l, &b, NOW + 15 * SEC);
        assert_int_equal(view(l, &who, 0, 15 * SEC).remaining, 0);
        settle(l, &c, 60, 0, 15 * SEC);
        sg_limit_set_unref(who.set);
        sg_limits_free(l);
}

/* In whatever order they end: a burst that failed leaves the bucket full. */
static void test_a_burst_that_is_given_back_is_there_again(void **state)
{
        struct sg_limits *l = limits_in_memory();

        for (unsigned order = 0; order < 3; order++) {
                struct sg_limited who = LIMITED(SG_SUBJECT_KEY, order, "10 requests/minute");
                struct sg_reservation r[10] = {0};

                for (unsigned i = 0; i < 10; i++)
                        assert_int_equal(reserve(l, &who, SG_LIMIT_REQUESTS, 1, i * 100000, &r[i], NULL), 0);
                for (unsigned i = 0; i < 10; i++)
                        sg_limits_release(l, &r[order == 0 ? i : order == 1 ? 9 - i : i * 7 % 10], NOW + 2 * SEC);
                assert_int_equal(view(l, &who, 0, 2 * SEC + 10).remaining, 10);
                sg_limit_set_unref(who.set);
        }
        sg_limits_free(l);
}

/* Estimates four times too high, and streams that last two windows: what was used is what counts. */
static void test_a_busy_bucket_charges_what_was_used(void **state)
{
        enum {
                N_OPEN = 400
        };
        struct sg_limits *l = limits_in_memory();
        struct sg_limited who = LIMITED(SG_SUBJECT_KEY, 1, "6000 tokens/minute");
        struct sg_reservation open[N_OPEN] = {0};
        uint64_t ends[N_OPEN] = {0}, used = 0;

        for (uint64_t passed = 0; passed < 1200 * SEC; passed += SEC / 10)
                for (unsigned i = 0; i < N_OPEN; i++) {
                        if (open[i].n && passed >= ends[i]) {
                                settle(l, &open[i], 25, 0, passed);
                                used += 25;
                        }
                        if (!open[i].n && reserve(l, &who, SG_LIMIT_TOKENS, 100, passed, &open[i], NULL) == 0)
                                ends[i] = passed + 55 * SEC;
                }
        print_message("used of a busy bucket: %u%%\n", (unsigned)(used * 100 / (6000 * 20)));
        assert_true(used <= 6000 * 21);
        assert_true(used > 6000 * 20 / 2);
        for (unsigned i = 0; i < N_OPEN; i++)
                sg_limits_release(l, &open[i], NOW + 1200 * SEC);
        sg_limit_set_unref(who.set);
        sg_limits_free(l);
}

/* Whatever is reserved, settled and released when: what was settled never exceeds what a bucket gives in that time. */
static void test_a_bucket_never_gives_more_than_time_brings(void **state)
{
        enum {
                N_OPEN = 16,
                AMOUNT = 600
        };
        struct sg_limits *l = limits_in_memory();
        struct sg_limited who = LIMITED(SG_SUBJECT_KEY, 1, "600 tokens/minute");
        uint64_t seed = 42, passed = 0, used = 0, n_taken = 0, sizes[N_OPEN] = {0};
        struct sg_reservation open[N_OPEN] = {0};

        for (unsigned i = 0; i < 200000; i++) {
                unsigned at;

                seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
                at = (unsigned)(seed >> 60);
                passed += (seed >> 20) % 300000;
                if (open[at].n) {
                        /* At most what was reserved, so that no estimate was wrong: less, or nothing. */
                        const uint64_t n = (seed >> 50) % 3 == 0 ? 0 : (seed >> 40) % (sizes[at] + 1);

                        if (n)
                                settle(l, &open[at], n, 0, passed);
                        else
                                sg_limits_release(l, &open[at], NOW + passed);
                        used += n;
                } else {
                        sizes[at] = 1 + (seed >> 33) % ((seed >> 30) % 5 == 0 ? AMOUNT : 20);
                        n_taken += reserve(l, &who, SG_LIMIT_TOKENS, sizes[at], passed, &open[at], NULL) == 0;
                }
                assert_true(used <= AMOUNT + passed / (MINUTE / AMOUNT));
        }
        assert_true(n_taken > 20000);
        for (size_t i = 0; i < N_OPEN; i++)
                sg_limits_release(l, &open[i], NOW + passed);
        assert_nothing_is_held(l);
        sg_limit_set_unref(who.set);
        sg_limits_free(l);
}

/* ---- refusals */

static void test_all_or_nothing_over_all_subjects(void **state)
{
        struct sg_limits *l = limits_in_memory();
        struct sg_limited who[] = {
                LIMITED(SG_SUBJECT_KEY, 1, "10 requests/minute", "10 requests/day", "5 concurrent"),
                {.kind = SG_SUBJECT_GROUP, .id = 1},
                LIMITED(SG_SUBJECT_MODEL, 1, "1 requests/hour", "100 tokens/day"),
                LIMITED(SG_SUBJECT_PROVIDER, 1, "2 requests/month"),
        };
        struct sg_limit_ask ask = ask_of(who, 4, SG_LIMIT_REQUESTS, 1, 0);
        struct sg_limit_refusal refusal;
        struct sg_reservation r = {0}, other = {0};

        ask.n_of[SG_LIMIT_CONCURRENT] = 1;
        assert_int_equal(sg_limits_reserve(l, &ask, &r, &refusal), 0);
        assert_int_equal(r.n, 5);
        assert_int_equal(sg_limits_reserve(l, &ask, &other, &refusal), SG_LIMIT_E_REFUSED);
        assert_ptr_equal(refusal.who, &who[2]);
        assert_int_equal(refusal.limit.window, SG_WINDOW_HOUR);
        assert_in_range(refusal.wait_usec, HOUR - 1, HOUR);
        assert_int_equal(other.n, 0);
        for (size_t i = 0; i < 3; i++)
                assert_int_equal(view(l, &who[0], i, 0).used, 1);
        assert_int_equal(view(l, &who[2], 1, 0).used, 0);
        assert_int_equal(view(l, &who[3], 0, 0).used, 1);
        /* An hour later the model has room, and the month is spent: that has to be waited for longest. */
        settle(l, &r, 0, 0, 0);
        ask.now_usec += HOUR;
        ask.wall_usec += HOUR;
        assert_int_equal(sg_limits_reserve(l, &ask, &r, &refusal), 0);
        assert_int_equal(sg_limits_reserve(l, &ask, &other, &refusal), SG_LIMIT_E_REFUSED);
        assert_ptr_equal(refusal.who, &who[3]);
        sg_limits_release(l, &r, ask.now_usec);
        assert_int_equal(view(l, &who[0], 1, HOUR).used, 1);
        assert_nothing_is_held(l);
        for (size_t i = 0; i < 4; i++)
                sg_limit_set_unref(who[i].set);
        sg_limits_free(l);
}

static void test_more_than_all_of_it_is_never(void **state)
{
        static const char *const texts[] = {"10 tokens/minute", "10 tokens/hour", "10 tokens/day", "10 tokens/month"};
        struct sg_limits *l = limits_in_memory();

        for (size_t i = 0; i < SG_N_ELEMENTS(texts); i++) {
                struct sg_limited who = LIMITED(SG_SUBJECT_GROUP, i, texts[i]);
                struct sg_limit_refusal refusal;
                struct sg_reservation r = {0};

                assert_int_equal(reserve(l, &who, SG_LIMIT_TOKENS, 11, 0, &r, &refusal), SG_LIMIT_E_REFUSED);
                assert_true(refusal.wait_usec == SG_USEC_NEVER);
                assert_int_equal(refusal.asked, 11);
                assert_int_equal(refusal.used, 0);
                assert_int_equal(reserve(l, &who, SG_LIMIT_TOKENS, UINT64_MAX, 0, &r, &refusal), SG_LIMIT_E_REFUSED);
                assert_int_equal(reserve(l, &who, SG_LIMIT_TOKENS, 10, 0, &r, &refusal), 0);
                sg_limits_release(l, &r, NOW);
                sg_limit_set_unref(who.set);
        }
        sg_limits_free(l);
}

static void test_other_currencies_are_not_asked(void **state)
{
        struct sg_limits *l = limits_in_memory();
        struct sg_limited who = LIMITED(SG_SUBJECT_KEY, 1, "1 usd/day", "1 eur/day");
        struct sg_reservation r = {0};

        assert_int_equal(reserve(l, &who, SG_LIMIT_COST, 900000, 0, &r, NULL), 0);
        assert_int_equal(r.n, 1);
        assert_int_equal(view(l, &who, 0, 0).used, 900000);
        assert_int_equal(view(l, &who, 1, 0).used, 0);
        settle(l, &r, 0, 5, 0);
        sg_limit_set_unref(who.set);
        sg_limits_free(l);
}

static void test_a_limit_that_is_changed_goes_on_counting(void **state)
{
        struct sg_limits *l = limits_in_memory();
        struct sg_limited before = LIMITED(SG_SUBJECT_KEY, 1, "100 requests/day", "60 requests/minute"),
                          after = LIMITED(SG_SUBJECT_KEY, 1, "60 requests/minute", "200 requests/day warn=50%"),
                          other = LIMITED(SG_SUBJECT_GROUP, 1, "200 requests/day");
        struct sg_reservation r = {0};

        assert_int_equal(reserve(l, &before, SG_LIMIT_REQUESTS, 60, 0, &r, NULL), 0);
        settle(l, &r, 0, 0, 0);
        assert_int_equal(view(l, &after, 1, 0).used, 60);
        assert_int_equal(view(l, &after, 0, 0).used, 60);
        assert_int_equal(view(l, &other, 0, 0).used, 0);
        sg_limit_set_unref(before.set);
        sg_limit_set_unref(after.set);
        sg_limit_set_unref(other.set);
        sg_limits_free(l);
}

/* ---- clocks and floors */

static void test_a_clock_that_steps_back_changes_nothing(void **state)
{
        struct sg_limits *l = limits_in_memory();
        struct sg_limited who = LIMITED(SG_SUBJECT_KEY, 1, "10 requests/day");
        struct sg_limit_ask ask = ask_of(&who, 1, SG_LIMIT_REQUESTS, 10, 0);
        struct sg_limit_refusal refusal;
        struct sg_reservation r = {0};

        assert_int_equal(sg_limits_reserve(l, &ask, &r, &refusal), 0);
        sg_limits_settle(l, &r, 0, 0, NOW, WALL - 5 * DAY);
        ask.n_of[SG_LIMIT_REQUESTS] = 1;
        ask.wall_usec = WALL - 1;
        assert_int_equal(sg_limits_reserve(l, &ask, &r, &refusal), SG_LIMIT_E_REFUSED);
        assert_int_equal(refusal.wait_usec, DAY + 1);
        ask.wall_usec = WALL - 300 * DAY;
        assert_int_equal(sg_limits_reserve(l, &ask, &r, &refusal), SG_LIMIT_E_REFUSED);
        ask.wall_usec = WALL;
        assert_int_equal(sg_limits_reserve(l, &ask, &r, &refusal), SG_LIMIT_E_REFUSED);
        sg_limit_set_unref(who.set);
        sg_limits_free(l);
}

static void test_the_ledger_puts_right_what_a_clock_carried_away(void **state)
{
        struct sg_limits *l = limits_in_memory();
        struct sg_limited who = LIMITED(SG_SUBJECT_KEY, 1, "10 requests/day");
        const struct sg_limit *limit = &who.set->at[0].limit;
        const uint64_t today = sg_window_period(SG_WINDOW_DAY, WALL);
        struct sg_reservation r = {0};

        assert_int_equal(reserve(l, &who, SG_LIMIT_REQUESTS, 10, 400 * DAY, &r, NULL), 0);
        settle(l, &r, 0, 0, 400 * DAY);
        assert_int_equal(reserve(l, &who, SG_LIMIT_REQUESTS, 1, 0, &r, NULL), SG_LIMIT_E_REFUSED);
        sg_limits_tend(l, NOW, WALL);
        sg_limits_floor(l, &who, limit, today, 4);
        assert_int_equal(view(l, &who, 0, 0).used, 4);
        assert_int_equal(reserve(l, &who, SG_LIMIT_REQUESTS, 6, 0, &r, NULL), 0);
        assert_int_equal(reserve(l, &who, SG_LIMIT_REQUESTS, 1, 0, &r, NULL), SG_LIMIT_E_REFUSED);
        settle(l, &r, 0, 0, 0);
        sg_limit_set_unref(who.set);
        sg_limits_free(l);
}

static void test_the_ledger_does_not_carry_a_new_day_back(void **state)
{
        struct sg_limits *l = limits_in_memory();
        struct sg_limited who = LIMITED(SG_SUBJECT_KEY, 1, "10 requests/day");
        struct sg_limit_ask ask = ask_of(&who, 1, SG_LIMIT_REQUESTS, 10, 0);
        struct sg_limit_refusal refusal;
        struct sg_reservation r = {0};

        /* The day has begun for a worker, and not yet for who tells what the ledger has of yesterday. */
        assert_int_equal(sg_limits_reserve(l, &ask, &r, &refusal), 0);
        settle(l, &r, 0, 0, 0);
        sg_limits_tend(l, NOW, WALL - 1);
        sg_limits_floor(l, &who, &who.set->at[0].limit, sg_window_period(SG_WINDOW_DAY, WALL - 1), 4);
        sg_limits_come_back(l);
        assert_int_equal(view(l, &who, 0, 0).used, 10);
        sg_limit_set_unref(who.set);
        sg_limits_free(l);
}

static void test_who_was_not_there_comes_back_from_the_future(void **state)
{
        struct sg_limits *l = limits_in_memory();
        struct sg_limited who = LIMITED(SG_SUBJECT_KEY, 1, "10 requests/month", "10 requests/hour");
        struct sg_reservation r = {0};

        assert_int_equal(reserve(l, &who, SG_LIMIT_REQUESTS, 10, 400 * DAY, &r, NULL), 0);
        settle(l, &r, 0, 0, 400 * DAY);
        sg_limits_tend(l, NOW, WALL);
        assert_int_equal(view(l, &who, 0, 0).remaining, 0);
        sg_limits_come_back(l);
        assert_int_equal(view(l, &who, 0, 0).used, 0);
        sg_limit_set_unref(who.set);
        who = LIMITED(SG_SUBJECT_KEY, 1, "10 requests/month");
        assert_int_equal(reserve(l, &who, SG_LIMIT_REQUESTS, 3, 0, &r, NULL), 0);
        assert_int_equal(view(l, &who, 0, 0).reserved, 3);
        sg_limits_release(l, &r, NOW);
        assert_nothing_is_held(l);
        sg_limit_set_unref(who.set);
        sg_limits_free(l);
}

static void test_what_is_more_than_a_word_counts_is_given_back_as_it_was_taken(void **state)
{
        struct sg_limits *l = limits_in_memory();
        struct sg_limited who = LIMITED(SG_SUBJECT_KEY, 1, "10 tokens/day soft");
        struct sg_reservation r = {0}, absurd = {0};

        assert_int_equal(reserve(l, &who, SG_LIMIT_TOKENS, 500, 0, &r, NULL), 0);
        settle(l, &r, 500, 0, 0);
        assert_int_equal(reserve(l, &who, SG_LIMIT_TOKENS, UINT64_C(1) << 53, 0, &absurd, NULL), 0);
        settle(l, &absurd, 7, 0, 0);
        assert_int_equal(view(l, &who, 0, 0).used, 507);
        sg_limit_set_unref(who.set);
        sg_limits_free(l);
}

static void test_a_floor_only_raises(void **state)
{
        struct sg_limits *l = limits_in_memory();
        struct sg_limited who = LIMITED(SG_SUBJECT_KEY, 1, "10 requests/day", "10 requests/hour");
        const struct sg_limit *limit = &who.set->at[0].limit;
        const uint64_t today = sg_window_period(SG_WINDOW_DAY, WALL);

        /* Of one that was never asked for, too. */
        sg_limits_floor(l, &who, limit, today, 0);
        sg_limits_floor(l, &who, limit, today, 7);
        assert_int_equal(view(l, &who, 0, 0).used, 7);
        sg_limits_floor(l, &who, limit, today, 5);
        sg_limits_floor(l, &who, limit, today - 1, 9);
        sg_limits_floor(l, &who, limit, today + 2, 9);
        sg_limits_floor(l, &who, limit, UINT64_MAX, 9);
        assert_int_equal(view(l, &who, 0, 0).used, 7);
        sg_limits_floor(l, &who, limit, today, UINT64_MAX);
        assert_int_equal(view(l, &who, 0, 0).remaining, 0);
        /* The ledger's clock is a moment ahead: the next day has begun there. */
        sg_limits_floor(l, &who, limit, today + 1, 3);
        assert_int_equal(view(l, &who, 0, DAY).used, 3);
        sg_limits_floor(l, &who, &who.set->at[1].limit, 0, 5);
        assert_int_equal(view(l, &who, 1, 0).used, 0);
        sg_limit_set_unref(who.set);
        sg_limits_free(l);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_burst_is_exact_and_comes_back_evenly),
                cmocka_unit_test(test_large_takings_fit_to_the_last_token),
                cmocka_unit_test(test_days_and_months_end_with_the_calendar),
                cmocka_unit_test(test_every_day_of_centuries_is_in_its_month),
                cmocka_unit_test(test_concurrency_is_given_back),
                cmocka_unit_test(test_what_was_used_takes_the_place_of_what_was_reserved),
                cmocka_unit_test(test_an_estimate_may_grow_and_is_settled_as_one),
                cmocka_unit_test(test_what_is_settled_after_its_day_leaves_the_next_alone),
                cmocka_unit_test(test_time_that_passed_over_a_place_is_not_given_back),
                cmocka_unit_test(test_refunds_before_a_place_move_it),
                cmocka_unit_test(test_a_burst_that_is_given_back_is_there_again),
                cmocka_unit_test(test_a_busy_bucket_charges_what_was_used),
                cmocka_unit_test(test_a_bucket_never_gives_more_than_time_brings),
                cmocka_unit_test(test_all_or_nothing_over_all_subjects),
                cmocka_unit_test(test_more_than_all_of_it_is_never),
                cmocka_unit_test(test_other_currencies_are_not_asked),
                cmocka_unit_test(test_a_limit_that_is_changed_goes_on_counting),
                cmocka_unit_test(test_a_clock_that_steps_back_changes_nothing),
                cmocka_unit_test(test_the_ledger_puts_right_what_a_clock_carried_away),
                cmocka_unit_test(test_the_ledger_does_not_carry_a_new_day_back),
                cmocka_unit_test(test_who_was_not_there_comes_back_from_the_future),
                cmocka_unit_test(test_what_is_more_than_a_word_counts_is_given_back_as_it_was_taken),
                cmocka_unit_test(test_a_floor_only_raises),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
