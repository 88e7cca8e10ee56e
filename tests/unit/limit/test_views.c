/* What is told of limits: warnings, views, the tightest, downgrades; many of them at once; grants. */
#include "limit_test.h"

#include <errno.h>
#include <limits.h>

/* ---- warnings and views */

struct warnings {
        unsigned n, n_over, percent;
        uint64_t used;
};

static void on_warning(const struct sg_limit_warning *w, void *owner)
{
        struct warnings *seen = owner;

        seen->n += !w->is_over;
        seen->n_over += w->is_over;
        seen->percent = w->percent;
        seen->used = w->used;
        assert_non_null(w->who->name);
}

static struct sg_limits *limits_that_warn(struct warnings *seen)
{
        const struct sg_limits_options options = {.on_warning = on_warning, .owner = seen};
        struct sg_limits *l = NULL;
        char text[256];

        assert_int_equal(sg_limits_new(&l, &options, NOW, WALL, text), 0);
        return l;
}

static void test_one_warning_for_each_period(void **state)
{
        struct warnings seen = {0};
        struct sg_limits *l = limits_that_warn(&seen);
        struct sg_limited who = LIMITED(SG_SUBJECT_KEY, 1, "10 requests/day warn=80%");
        struct sg_reservation r = {0};

        assert_int_equal(reserve(l, &who, SG_LIMIT_REQUESTS, 7, 0, &r, NULL), 0);
        assert_int_equal(seen.n, 0);
        assert_int_equal(reserve(l, &who, SG_LIMIT_REQUESTS, 1, 0, &r, NULL), 0);
        assert_int_equal(seen.n, 1);
        assert_int_equal(seen.percent, 80);
        assert_int_equal(seen.used, 8);
        assert_int_equal(reserve(l, &who, SG_LIMIT_REQUESTS, 2, 0, &r, NULL), 0);
        assert_int_equal(reserve(l, &who, SG_LIMIT_REQUESTS, 1, 0, &r, NULL), SG_LIMIT_E_REFUSED);
        assert_int_equal(seen.n, 1);
        assert_int_equal(reserve(l, &who, SG_LIMIT_REQUESTS, 10, DAY, &r, NULL), 0);
        assert_int_equal(seen.n, 2);
        assert_int_equal(seen.n_over, 0);
        settle(l, &r, 0, 0, DAY);
        sg_limit_set_unref(who.set);
        sg_limits_free(l);
}

static void test_soft_limits_warn_and_never_refuse(void **state)
{
        static const char *const texts[] = {"10 requests/day soft", "10 requests/minute soft"};
        struct warnings seen = {0};
        struct sg_limits *l = limits_that_warn(&seen);

        for (size_t i = 0; i < SG_N_ELEMENTS(texts); i++) {
                struct sg_limited who = LIMITED(SG_SUBJECT_KEY, i, texts[i]);
                struct sg_reservation r = {0};

                seen = (struct warnings){0};
                for (unsigned n = 0; n < 30; n++)
                        assert_int_equal(reserve(l, &who, SG_LIMIT_REQUESTS, 1, 0, &r, NULL), 0);
                assert_int_equal(seen.n_over, 1);
                assert_int_equal(seen.used, 11);
                assert_int_equal(seen.n, 0);
                assert_int_equal(view(l, &who, 0, 0).used, 30);
                assert_int_equal(reserve(l, &who, SG_LIMIT_REQUESTS, 5000, 0, &r, NULL), 0);
                settle(l, &r, 0, 0, 0);
                sg_limit_set_unref(who.set);
        }
        assert_nothing_is_held(l);
        sg_limits_free(l);
}

static void test_soft_concurrency_is_counted_as_far_as_it_goes(void **state)
{
        struct sg_limits *l = limits_in_memory();
        struct sg_limited who = LIMITED(SG_SUBJECT_KEY, 1, "1 concurrent soft");
        struct sg_reservation r = {0}, more = {0};

        assert_int_equal(reserve(l, &who, SG_LIMIT_CONCURRENT, 70000, 0, &r, NULL), 0);
        assert_int_equal(reserve(l, &who, SG_LIMIT_CONCURRENT, 1, 0, &more, NULL), 0);
        assert_int_equal(view(l, &who, 0, 0).used, 65535);
        settle(l, &more, 0, 0, 0);
        assert_int_equal(view(l, &who, 0, 0).used, 65535);
        settle(l, &r, 0, 0, 0);
        assert_int_equal(view(l, &who, 0, 0).used, 0);
        sg_limit_set_unref(who.set);
        sg_limits_free(l);
}

static void test_the_tightest_is_the_one_with_the_smallest_part_left(void **state)
{
        struct sg_limits *l = limits_in_memory();
        struct sg_limited who[] = {
                LIMITED(SG_SUBJECT_KEY, 1, "100 requests/minute", "1000 requests/day", "5 requests/month soft"),
                LIMITED(SG_SUBJECT_GROUP, 1, "50 requests/day", "9 tokens/day"),
                {.kind = SG_SUBJECT_MODEL},
        };
        struct sg_limit_ask ask = ask_of(who, 3, SG_LIMIT_REQUESTS, 10, 0);
        struct sg_limit_refusal refusal;
        struct sg_limit_state s;
        struct sg_reservation r = {0};

        assert_int_equal(sg_limits_reserve(l, &ask, &r, &refusal), 0);
        assert_true(sg_limits_tightest(l, who, 3, SG_LIMIT_REQUESTS, NOW, WALL, &s));
        assert_int_equal(s.limit.amount, 50);
        assert_int_equal(s.remaining, 40);
        assert_int_equal(s.reset_usec, DAY);
        assert_true(s.granted == UINT64_MAX);
        /* 90 of 100 in the minute. */
        assert_true(sg_limits_tightest(l, who, 1, SG_LIMIT_REQUESTS, NOW, WALL, &s));
        assert_int_equal(s.limit.window, SG_WINDOW_MINUTE);
        assert_int_equal(s.remaining, 90);
        assert_int_equal(s.reset_usec, 6 * SEC);
        assert_true(sg_limits_tightest(l, who, 3, SG_LIMIT_TOKENS, NOW, WALL, &s));
        assert_int_equal(s.remaining, 9);
        assert_int_equal(s.reset_usec, 0);
        assert_false(sg_limits_tightest(l, who, 3, SG_LIMIT_COST, NOW, WALL, &s));
        settle(l, &r, 0, 0, 0);
        sg_limit_set_unref(who[0].set);
        sg_limit_set_unref(who[1].set);
        sg_limits_free(l);
}

static void test_budgets_say_when_to_downgrade(void **state)
{
        struct sg_limits *l = limits_in_memory();
        struct sg_limited who[] = {LIMITED(SG_SUBJECT_KEY, 1, "10 usd/month downgrade=90%", "5 eur/day"),
                                   LIMITED(SG_SUBJECT_GROUP, 1, "20 usd/month downgrade=10%")};
        struct sg_limit_ask ask = ask_of(who, 2, SG_LIMIT_COST, 1000000, 0);
        struct sg_limit_refusal refusal;
        struct sg_reservation r = {0};

        assert_int_equal(sg_limits_downgrade(l, who, 0, NOW, WALL), INT_MIN);
        assert_int_equal(sg_limits_downgrade(l, who, 2, NOW, WALL), -10);
        assert_int_equal(sg_limits_reserve(l, &ask, &r, &refusal), 0);
        assert_int_equal(sg_limits_downgrade(l, who, 2, NOW, WALL), -5);
        ask.n_of[SG_LIMIT_COST] = 8000000;
        assert_int_equal(sg_limits_reserve(l, &ask, &r, &refusal), 0);
        assert_int_equal(sg_limits_downgrade(l, who, 1, NOW, WALL), 0);
        assert_int_equal(sg_limits_downgrade(l, who, 2, NOW, WALL), 35);
        sg_limits_release(l, &r, NOW);
        sg_limit_set_unref(who[0].set);
        sg_limit_set_unref(who[1].set);
        sg_limits_free(l);
}

static void test_many_limits_are_one_reservation(void **state)
{
        struct sg_limits *l = limits_in_memory();
        struct sg_limited who[13];
        struct sg_limit_ask ask = ask_of(who, 12, SG_LIMIT_REQUESTS, 1, 0);
        struct sg_limit_refusal refusal;
        struct sg_reservation r = {0};

        for (size_t i = 0; i < 13; i++)
                who[i] =
                        LIMITED(SG_SUBJECT_GROUP, i, "1 requests/minute", "1 requests/hour", "1 requests/day",
                                "1 requests/month", "1 tokens/minute", "1 tokens/hour", "1 tokens/day", "1 concurrent");
        ask.n_of[SG_LIMIT_TOKENS] = ask.n_of[SG_LIMIT_CONCURRENT] = 1;
        assert_int_equal(sg_limits_reserve(l, &ask, &r, &refusal), 0);
        assert_int_equal(r.n, SG_LIMIT_HOLDS_MAX);
        assert_int_equal(sg_limits_reserve(l, &ask, &r, &refusal), -E2BIG);
        settle(l, &r, 0, 0, 0);
        ask.n_who = 13;
        assert_int_equal(sg_limits_reserve(l, &ask, &r, &refusal), -E2BIG);
        assert_int_equal(r.n, 0);
        assert_nothing_is_held(l);
        for (size_t i = 0; i < 13; i++)
                sg_limit_set_unref(who[i].set);
        sg_limits_free(l);
}

/* ---- grants */

static void test_a_word_takes_of_its_grant_and_gives_back(void **state)
{
        static const char *const texts[] = {"1000 tokens/minute", "1000 tokens/day"};
        struct sg_limits *l = limits_in_memory();

        atomic_store(&l->needs_grants, true);
        for (size_t i = 0; i < SG_N_ELEMENTS(texts); i++) {
                struct sg_limited who = LIMITED(SG_SUBJECT_KEY, i, texts[i]);
                const uint64_t period = sg_window_period(who.set->at[0].limit.window, WALL);
                struct sg_reservation a = {0}, b = {0};
                struct sg_limit_refusal refusal;
                struct sg_limit_word *w;

                assert_int_equal(reserve(l, &who, SG_LIMIT_TOKENS, 10, 0, &a, &refusal), SG_LIMIT_E_WAIT);
                assert_ptr_equal(refusal.who, &who);
                assert_int_equal(refusal.asked, 10);
                assert_int_equal(view(l, &who, 0, 0).used, 0);
                assert_int_equal(view(l, &who, 0, 0).granted, 0);
                w = sg_limits_word(l, &who, 0, false);
                sg_grant_add(w, period, 100);
                assert_int_equal(reserve(l, &who, SG_LIMIT_TOKENS, 60, 0, &a, NULL), 0);
                assert_int_equal(reserve(l, &who, SG_LIMIT_TOKENS, 60, 0, &b, NULL), SG_LIMIT_E_WAIT);
                assert_int_equal(reserve(l, &who, SG_LIMIT_TOKENS, 2000, 0, &b, NULL), SG_LIMIT_E_REFUSED);
                assert_int_equal(view(l, &who, 0, 0).granted, 40);
                assert_int_equal(reserve(l, &who, SG_LIMIT_TOKENS, 40, 0, &b, NULL), 0);
                sg_limits_release(l, &b, NOW);
                settle(l, &a, 50, 0, 0);
                assert_int_equal(view(l, &who, 0, 0).granted, 50);
                assert_int_equal(view(l, &who, 0, 0).used, 50);
                /* What an estimate missed is a debt of the next grant. */
                assert_int_equal(reserve(l, &who, SG_LIMIT_TOKENS, 50, 0, &a, NULL), 0);
                settle(l, &a, 80, 0, 0);
                assert_int_equal(view(l, &who, 0, 0).granted, 0);
                sg_grant_add(w, period, 50);
                assert_int_equal(view(l, &who, 0, 0).granted, 20);
                /* Without Redis any more: what is held was taken of a grant that is none. */
                assert_int_equal(reserve(l, &who, SG_LIMIT_TOKENS, 20, 0, &a, NULL), 0);
                assert_int_equal(sg_grant_end(w, true), 0);
                settle(l, &a, 10, 0, 0);
                assert_int_equal(reserve(l, &who, SG_LIMIT_TOKENS, 20, 0, &a, NULL), SG_LIMIT_E_WAIT);
                sg_limit_set_unref(who.set);
        }
        atomic_store(&l->needs_grants, false);
        sg_limits_free(l);
}

static void test_grants_are_of_a_period_and_never_bind_soft_limits(void **state)
{
        struct sg_limits *l = limits_in_memory();
        struct sg_limited who = LIMITED(SG_SUBJECT_KEY, 1, "10 requests/day", "5 requests/month soft");
        const uint64_t today = sg_window_period(SG_WINDOW_DAY, WALL);
        struct sg_reservation r = {0}, next = {0};

        assert_int_equal(reserve(l, &who, SG_LIMIT_REQUESTS, 1, 0, &r, NULL), 0);
        sg_grant_add(sg_limits_word(l, &who, 0, false), today, 5);
        sg_grant_add(sg_limits_word(l, &who, 1, false), sg_window_period(SG_WINDOW_MONTH, WALL), 1);
        /* The one from before was of no grant. */
        sg_limits_release(l, &r, NOW);
        assert_int_equal(view(l, &who, 0, 0).granted, 5);
        assert_int_equal(reserve(l, &who, SG_LIMIT_REQUESTS, 5, 0, &r, NULL), 0);
        assert_int_equal(sg_grant_units(atomic_load(&sg_limits_word(l, &who, 1, false)->granted)), -4);
        assert_int_equal(reserve(l, &who, SG_LIMIT_REQUESTS, 1, DAY, &next, NULL), SG_LIMIT_E_WAIT);
        sg_grant_add(sg_limits_word(l, &who, 0, false), today + 1, 3);
        sg_limits_release(l, &r, NOW + DAY);
        assert_int_equal(view(l, &who, 0, DAY).granted, 3);
        assert_int_equal(reserve(l, &who, SG_LIMIT_REQUESTS, 3, DAY, &next, NULL), 0);
        settle(l, &next, 0, 0, DAY);
        assert_nothing_is_held(l);
        sg_limit_set_unref(who.set);
        sg_limits_free(l);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_one_warning_for_each_period),
                cmocka_unit_test(test_soft_limits_warn_and_never_refuse),
                cmocka_unit_test(test_soft_concurrency_is_counted_as_far_as_it_goes),
                cmocka_unit_test(test_the_tightest_is_the_one_with_the_smallest_part_left),
                cmocka_unit_test(test_budgets_say_when_to_downgrade),
                cmocka_unit_test(test_many_limits_are_one_reservation),
                cmocka_unit_test(test_a_word_takes_of_its_grant_and_gives_back),
                cmocka_unit_test(test_grants_are_of_a_period_and_never_bind_soft_limits),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
