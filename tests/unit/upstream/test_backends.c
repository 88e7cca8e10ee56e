/* Which endpoint is asked: shares, and who takes over from one that is missing. */
#include "backends_test.h"

#define WEIGHTS(...) ((const unsigned[]){__VA_ARGS__, 0})

static void assert_counts(const unsigned *counts, size_t n, const unsigned *expected)
{
        for (size_t i = 0; i < n; i++)
                if (counts[i] != expected[i])
                        fail_msg("endpoint %zu was asked %u times, not %u", i, counts[i], expected[i]);
}

static void ask(struct fleet *f, unsigned n, unsigned *counts)
{
        memset(counts, 0, SG_ENDPOINTS_MAX * sizeof(*counts));
        for (unsigned i = 0; i < n; i++) {
                const struct sg_pick p = pick(f, i, 0);

                counts[p.index]++;
                assert_int_equal(done(f, p, SG_BACKEND_OK), SG_BACKEND_TURN_NONE);
        }
}

static void test_rounds_are_exact(void **state)
{
        static const struct {
                const unsigned weights[5], counts[4], round;
        } cases[] = {
                {{1}, {1}, 1},
                {{7, 7, 7, 0}, {1, 1, 1}, 3},
                {{5, 1, 1, 0}, {5, 1, 1}, 7},
                {{1000, 999, 1, 0}, {1000, 999, 1}, 2000},
                {{30, 20, 10, 40, 0}, {3, 2, 1, 4}, 10},
        };
        unsigned counts[SG_ENDPOINTS_MAX];
        struct fleet f;

        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                fleet_begin(&f, SG_BALANCE_ROUND_ROBIN, cases[i].weights);
                for (unsigned round = 0; round < 3; round++) {
                        ask(&f, cases[i].round, counts);
                        assert_counts(counts, f.service.n_endpoints, cases[i].counts);
                }
                fleet_end(&f);
        }
}

static void test_turns_are_spread(void **state)
{
        unsigned row = 0, longest = 0;
        struct fleet f;

        fleet_begin(&f, SG_BALANCE_ROUND_ROBIN, WEIGHTS(5, 1, 1));
        for (unsigned i = 0; i < 70; i++) {
                const struct sg_pick p = pick(&f, 0, 0);

                row = p.index == 0 ? row + 1 : 0;
                longest = SG_MAX(longest, row);
                done(&f, p, SG_BACKEND_OK);
        }
        assert_in_range(longest, 2, 4); /* a a b a c a a, and again from the start */
        fleet_end(&f);
}

static void test_share_of_a_missing_one_goes_to_all_others_by_weight(void **state)
{
        static const unsigned expected[] = {0, 400, 200, 600};
        unsigned counts[SG_ENDPOINTS_MAX];
        struct fleet f;

        fleet_begin(&f, SG_BALANCE_ROUND_ROBIN, WEIGHTS(3, 2, 1, 3));
        assert_true(sg_backends_set_drained(f.backends, 0, true));
        ask(&f, 1200, counts);
        assert_counts(counts, 4, expected);
        fleet_end(&f);
}

static void test_all_that_can_be_configured(void **state)
{
        unsigned weights[SG_ENDPOINTS_MAX + 1] = {0}, counts[SG_ENDPOINTS_MAX], sum = 0;
        struct fleet f;

        for (unsigned i = 0; i < SG_ENDPOINTS_MAX; i++)
                sum += weights[i] = 1000 - i;
        fleet_begin(&f, SG_BALANCE_ROUND_ROBIN, weights);
        ask(&f, sum, counts);
        assert_counts(counts, SG_ENDPOINTS_MAX, weights);
        fleet_end(&f);
}

static void test_tried_ones_are_not_asked_again(void **state)
{
        for (unsigned balance = 0; balance < SG_BALANCE_N; balance++) {
                uint64_t tried = 0;
                struct fleet f;

                fleet_begin(&f, balance, WEIGHTS(9, 1, 1));
                for (unsigned i = 0; i < 3; i++) {
                        const struct sg_pick p = pick(&f, 77, tried);

                        tried |= UINT64_C(1) << p.index;
                        done(&f, p, SG_BACKEND_UNREACHABLE);
                }
                assert_int_equal(tried, 7);
                assert_int_equal(pick_none(&f, tried), SEC);
                fleet_end(&f);
        }
}

static void test_least_by_weight(void **state)
{
        struct sg_pick held[90];
        unsigned n_of_0 = 0;
        struct fleet f;

        fleet_begin(&f, SG_BALANCE_LEAST, WEIGHTS(2, 1));
        for (unsigned i = 0; i < 90; i++) {
                held[i] = pick(&f, 0, 0);
                n_of_0 += held[i].index == 0;
        }
        assert_int_equal(n_of_0, 60);
        assert_int_equal(view(&f, 0).n_outstanding, 60);
        assert_int_equal(view(&f, 1).n_outstanding, 30);
        for (unsigned i = 0; i < 90; i++)
                if (held[i].index == 1)
                        done(&f, held[i], SG_BACKEND_OK);
        for (unsigned i = 0; i < 29; i++)
                assert_int_equal(pick(&f, 0, 0).index, 1); /* until it has its half again */
        assert_int_equal(view(&f, 1).n_outstanding, 29);
        fleet_end(&f);
}

static void test_least_of_idle_ones_is_round_robin(void **state)
{
        static const unsigned expected[] = {20, 20, 60};
        unsigned counts[SG_ENDPOINTS_MAX];
        struct fleet f;

        fleet_begin(&f, SG_BALANCE_LEAST, WEIGHTS(1, 1, 3));
        ask(&f, 100, counts);
        assert_counts(counts, 3, expected);
        fleet_end(&f);
}

/* ---- consistent hash */

#define N_HASHES 20000u

static void ask_all_hashes(struct fleet *f, uint8_t *ret_indexes)
{
        for (unsigned i = 0; i < N_HASHES; i++) {
                const struct sg_pick p = pick(f, i, 0);

                ret_indexes[i] = (uint8_t)p.index;
                done(f, p, SG_BACKEND_OK);
        }
}

static void count_indexes(const uint8_t *indexes, unsigned *counts)
{
        memset(counts, 0, SG_ENDPOINTS_MAX * sizeof(*counts));
        for (unsigned i = 0; i < N_HASHES; i++)
                counts[indexes[i]]++;
}

/* In standard deviations of a fair draw. */
static void assert_share(unsigned count, double share)
{
        const double expected = share * N_HASHES, variance = expected * (1 - share);
        const double off = ((double)count - expected) * ((double)count - expected) / variance;

        if (off > 5 * 5)
                fail_msg("%u instead of some %.0f", count, expected);
}

static void test_hash_is_by_weight_and_stays(void **state)
{
        static uint8_t first[N_HASHES], again[N_HASHES];
        unsigned counts[SG_ENDPOINTS_MAX];
        struct fleet f;

        fleet_begin(&f, SG_BALANCE_HASH, WEIGHTS(1, 2, 3, 4));
        ask_all_hashes(&f, first);
        count_indexes(first, counts);
        for (unsigned i = 0; i < 4; i++)
                assert_share(counts[i], (i + 1) / 10.0);
        ask_all_hashes(&f, again);
        assert_memory_equal(first, again, sizeof(first));
        fleet_end(&f);
}

static void test_hash_moves_only_what_was_at_the_missing_one(void **state)
{
        static uint8_t before[N_HASHES], meanwhile[N_HASHES], after[N_HASHES];
        unsigned n_moved_to[SG_ENDPOINTS_MAX] = {0}, counts[SG_ENDPOINTS_MAX];
        struct fleet f;

        fleet_begin(&f, SG_BALANCE_HASH, WEIGHTS(1, 2, 3, 4));
        ask_all_hashes(&f, before);
        count_indexes(before, counts);
        sg_backends_set_health(f.backends, 3, false, "it is not there");
        ask_all_hashes(&f, meanwhile);
        for (unsigned i = 0; i < N_HASHES; i++) {
                if (before[i] == 3)
                        n_moved_to[meanwhile[i]]++;
                else
                        assert_int_equal(before[i], meanwhile[i]);
        }
        for (unsigned i = 0; i < 3; i++) {
                const double share = counts[3] * (i + 1) / 6.0;

                assert_in_range(n_moved_to[i], (uintmax_t)(share * 0.9), (uintmax_t)(share * 1.1));
        }
        sg_backends_set_health(f.backends, 3, true, "");
        ask_all_hashes(&f, after);
        assert_memory_equal(before, after, sizeof(before));
        fleet_end(&f);
}

static void test_hash_moves_only_to_a_new_one(void **state)
{
        static uint8_t before[N_HASHES], after[N_HASHES];
        unsigned n_moved = 0;
        struct fleet f;

        fleet_begin(&f, SG_BALANCE_HASH, WEIGHTS(1, 1, 1, 1));
        ask_all_hashes(&f, before);
        fleet_configure(&f, 1, WEIGHTS(1, 1, 1, 1, 1));
        ask_all_hashes(&f, after);
        for (unsigned i = 0; i < N_HASHES; i++) {
                if (after[i] == before[i])
                        continue;
                assert_int_equal(after[i], 4);
                n_moved++;
        }
        assert_share(n_moved, 0.2); /* its own share, and not one more */
        fleet_end(&f);
}

static void test_hash_does_not_know_the_order_of_the_configuration(void **state)
{
        static uint8_t before[N_HASHES], after[N_HASHES];
        struct fleet f;

        fleet_begin(&f, SG_BALANCE_HASH, WEIGHTS(1, 1, 1));
        ask_all_hashes(&f, before);
        fleet_configure(&f, 2, WEIGHTS(1, 1)); /* the first has left */
        ask_all_hashes(&f, after);
        for (unsigned i = 0; i < N_HASHES; i++)
                if (before[i] > 0)
                        assert_int_equal(after[i], before[i] - 1);
        fleet_end(&f);
}

/* ---- from one configuration to the next */

static void test_what_is_known_goes_on(void **state)
{
        struct sg_pick held;
        struct fleet f;

        fleet_begin(&f, SG_BALANCE_ROUND_ROBIN, WEIGHTS(1, 1, 1));
        assert_true(sg_backends_set_drained(f.backends, 0, true));
        assert_true(sg_backends_set_health(f.backends, 1, false, "refused"));
        held = pick(&f, 0, 0);
        assert_int_equal(held.index, 2);
        fleet_configure(&f, 2, WEIGHTS(4, 5, 6)); /* without the first, with a new last */
        assert_int_equal(view(&f, 0).state, SG_BACKEND_DOWN);
        assert_string_equal(view(&f, 0).text, "refused");
        assert_int_equal(view(&f, 0).weight, 4);
        assert_int_equal(view(&f, 1).n_outstanding, 1);
        assert_int_equal(view(&f, 2).n_picked, 0);
        fleet_configure(&f, 1, WEIGHTS(1, 1, 1));
        assert_int_equal(view(&f, 0).state, SG_BACKEND_UP); /* forgotten when it left */
        held.index = 2;
        done(&f, held, SG_BACKEND_OK);
        assert_int_equal(view(&f, 2).n_outstanding, 0);
        f.service.check = SG_CHECK_NONE;
        fleet_configure(&f, 1, WEIGHTS(1, 1, 1));
        assert_int_equal(view(&f, 1).state, SG_BACKEND_UP); /* nobody would say that it is up again */
        fleet_end(&f);
}

static void test_old_and_new_see_the_same(void **state)
{
        struct sg_backends *old;
        struct fleet f;

        fleet_begin(&f, SG_BALANCE_ROUND_ROBIN, WEIGHTS(1, 1));
        old = sg_backends_ref(f.backends);
        fleet_configure(&f, 1, WEIGHTS(1, 1));
        assert_true(sg_backends_set_drained(f.backends, 1, true));
        assert_false(sg_backends_set_drained(old, 1, true));
        sg_backends_unref(old);
        assert_int_equal(pick(&f, 0, 0).index, 0);
        fleet_end(&f);
}

/* ---- views */

static void test_states_in_words(void **state)
{
        struct fleet f;

        fleet_begin(&f, SG_BALANCE_ROUND_ROBIN, WEIGHTS(1, 8));
        assert_int_equal(sg_backends_count(f.backends), 2);
        assert_string_equal(view(&f, 1).name, "http://10.0.0.2:8080");
        assert_int_equal(view(&f, 1).state, SG_BACKEND_UP);
        assert_string_equal(view(&f, 1).text, "");
        assert_true(sg_backends_set_health(f.backends, 1, false, "no answer within 1s"));
        assert_false(sg_backends_set_health(f.backends, 1, false, "connection refused"));
        assert_string_equal(view(&f, 1).text, "connection refused");
        assert_true(sg_backends_set_drained(f.backends, 1, true));
        assert_false(sg_backends_set_drained(f.backends, 1, true));
        assert_int_equal(view(&f, 1).state, SG_BACKEND_DRAINED);
        assert_string_equal(view(&f, 1).text, "by an admin");
        f.now_usec += 60 * SEC;
        assert_in_range(view(&f, 1).state_for_usec, 59 * SEC, 61 * SEC);
        assert_true(sg_backends_set_drained(f.backends, 1, false));
        assert_false(sg_backends_set_drained(f.backends, 1, false));
        assert_int_equal(view(&f, 1).state, SG_BACKEND_DOWN);
        assert_true(sg_backends_set_health(f.backends, 1, true, ""));
        assert_int_equal(view(&f, 1).state, SG_BACKEND_UP);
        for (unsigned i = 0; i < SG_BACKEND_STATE_N; i++)
                assert_string_not_equal(sg_backend_state_name(i), "unknown");
        for (unsigned i = 0; i < SG_BACKEND_RESULT_N; i++)
                assert_string_not_equal(sg_backend_result_name(i), "unknown");
        fleet_end(&f);
}

static void test_none_is_left(void **state)
{
        for (unsigned balance = 0; balance < SG_BALANCE_N; balance++) {
                struct fleet f;

                fleet_begin(&f, balance, WEIGHTS(1, 2));
                sg_backends_set_drained(f.backends, 0, true);
                assert_true(sg_backends_is_usable(f.backends, f.now_usec));
                sg_backends_set_drained(f.backends, 1, true);
                assert_false(sg_backends_is_usable(f.backends, f.now_usec));
                assert_int_equal(pick_none(&f, 0), 60 * SEC); /* who knows */
                sg_backends_set_drained(f.backends, 1, false);
                sg_backends_set_health(f.backends, 1, false, "refused");
                assert_int_equal(pick_none(&f, 0), 7 * SEC); /* its next check */
                assert_int_equal(view(&f, 0).n_picked + view(&f, 1).n_picked, 0);
                fleet_end(&f);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_rounds_are_exact),
                cmocka_unit_test(test_turns_are_spread),
                cmocka_unit_test(test_share_of_a_missing_one_goes_to_all_others_by_weight),
                cmocka_unit_test(test_all_that_can_be_configured),
                cmocka_unit_test(test_tried_ones_are_not_asked_again),
                cmocka_unit_test(test_least_by_weight),
                cmocka_unit_test(test_least_of_idle_ones_is_round_robin),
                cmocka_unit_test(test_hash_is_by_weight_and_stays),
                cmocka_unit_test(test_hash_moves_only_what_was_at_the_missing_one),
                cmocka_unit_test(test_hash_moves_only_to_a_new_one),
                cmocka_unit_test(test_hash_does_not_know_the_order_of_the_configuration),
                cmocka_unit_test(test_what_is_known_goes_on),
                cmocka_unit_test(test_old_and_new_see_the_same),
                cmocka_unit_test(test_states_in_words),
                cmocka_unit_test(test_none_is_left),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
