#include "lanes_test.h"

/* ---- who rests, and for how long */

/* Meets the fault whenever the rest is over: each rest is as long as is said, and ends on the microsecond. */
static void check_rests(enum sg_lane_fault fault, const uint64_t *secs, size_t n)
{
        struct world w;

        world_begin(&w, SG_STRATEGY_ORDERED, 1, 1);
        for (size_t i = 0; i < n; i++) {
                const bool is_told = secs[i] >= 5;

                assert_int_equal(meet(&w, fault), is_told ? SG_LANE_TURN_RESTS : SG_LANE_TURN_NONE);
                assert_int_equal(w.text[0] != '\0', is_told);
                pick_none(&w);
                assert_int_equal(w.wait_usec, secs[i] * SEC);
                turn_clock(&w, secs[i] * SEC - 1);
                pick_none(&w);
                assert_int_equal(w.wait_usec, SEC); /* at least */
                turn_clock(&w, 1);
        }
        assert_int_equal(meet(&w, SG_LANE_OK), secs[n - 1] >= 5 ? SG_LANE_TURN_RETURNED : SG_LANE_TURN_NONE);
        meet(&w, fault);
        pick_none(&w);
        assert_int_equal(w.wait_usec, secs[0] * SEC); /* it begins anew */
        world_end(&w);
}

#define CHECK_RESTS(fault, ...)                                                                                        \
        check_rests(fault, (const uint64_t[]){__VA_ARGS__}, sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

static void test_each_rest_is_twice_as_long_up_to_its_longest(void **state)
{
        CHECK_RESTS(SG_LANE_CREDENTIAL, 60, 120, 240, 480, 960, 1920, 3600, 3600);
        CHECK_RESTS(SG_LANE_QUOTA, 600, 1200, 2400, 4800, 9600, 19200, 21600, 21600);
        CHECK_RESTS(SG_LANE_RATE, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60);
        CHECK_RESTS(SG_LANE_OVERLOAD, 1, 2, 4, 8, 16, 30, 30);
}

static void test_who_rests(void **state)
{
        static const struct {
                enum sg_lane_fault fault;
                bool other_lane, other_credential; /* may still be asked */
                const char *text;
        } cases[] = {
                {SG_LANE_CREDENTIAL, false, true, "credential \"a\" of provider \"p0\" rests for 60 s: credential: as"},
                {SG_LANE_QUOTA, false, true, "credential \"a\" of provider \"p0\" rests for 10 min: quota: as"},
                {SG_LANE_RATE, true, true, "p0/m rests with credential \"a\" for 30 s: rate: as the test said"},
                {SG_LANE_OVERLOAD, true, false, "p0/m rests for 30 s: overload: as the test said"},
        };

        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                struct sg_lane_ask ask;
                struct sg_lane_pick p;
                struct world w;

                world_begin(&w, SG_STRATEGY_ORDERED, 1, 2);
                w.credentials[0][1].priority = 2;
                assert_int_equal(done_after(&w, pick(&w), cases[i].fault, 30 * SEC), SG_LANE_TURN_RESTS);
                assert_memory_equal(w.text, cases[i].text, strlen(cases[i].text));
                w.tried = (struct sg_lane_tried){0};
                assert_int_equal(pick_next(&w, &p), cases[i].other_credential);
                ask = world_ask(&w);
                ask.model = NULL;
                ask.provider = &w.providers[0];
                w.tried = (struct sg_lane_tried){0};
                assert_int_equal(sg_lanes_pick(w.l, &ask, &w.tried, &p, &w.wait_usec, w.why), 0);
                assert_string_equal(p.name, "p0");
                assert_null(p.upstream_model);
                assert_string_equal(p.credential->name, cases[i].other_lane         ? "a"
                                                        : cases[i].other_credential ? "b"
                                                                                    : "");
                world_end(&w);
        }
}

static void test_retry_after_is_a_floor_with_a_cap(void **state)
{
        static const struct {
                enum sg_lane_fault fault;
                uint64_t retry_after_sec, rest_sec;
        } cases[] = {
                {SG_LANE_RATE, 7, 7},           {SG_LANE_RATE, 90, 90},      {SG_LANE_RATE, 1000000, 3600},
                {SG_LANE_OVERLOAD, 45, 45},     {SG_LANE_QUOTA, 5, 600},     {SG_LANE_QUOTA, 3000, 3000},
                {SG_LANE_QUOTA, 1000000, 3600}, {SG_LANE_CREDENTIAL, 5, 60},
        };

        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                struct world w;

                world_begin(&w, SG_STRATEGY_ORDERED, 1, 1);
                done_after(&w, pick(&w), cases[i].fault, cases[i].retry_after_sec * SEC);
                pick_none(&w);
                assert_int_equal(w.wait_usec, cases[i].rest_sec * SEC);
                world_end(&w);
        }
}

static void test_who_meets_the_same_fault_together_doubles_nothing(void **state)
{
        struct sg_lane_pick at[20];
        struct world w;

        world_begin(&w, SG_STRATEGY_ORDERED, 1, 1);
        for (size_t i = 0; i < SG_N_ELEMENTS(at); i++)
                at[i] = pick(&w);
        for (size_t i = 0; i < SG_N_ELEMENTS(at) - 1; i++)
                done(&w, at[i], SG_LANE_RATE);
        pick_none(&w);
        assert_int_equal(w.wait_usec, SEC);
        done_after(&w, at[SG_N_ELEMENTS(at) - 1], SG_LANE_RATE, 9 * SEC);
        pick_none(&w);
        assert_int_equal(w.wait_usec, 9 * SEC); /* the longest that a provider has asked for */
        world_end(&w);
}

static void test_who_began_before_the_rest_does_not_end_it(void **state)
{
        struct sg_lane_pick early;
        struct world w;

        world_begin(&w, SG_STRATEGY_ORDERED, 1, 1);
        early = pick(&w);
        assert_int_equal(meet(&w, SG_LANE_CREDENTIAL), SG_LANE_TURN_RESTS);
        assert_int_equal(done(&w, early, SG_LANE_OK), SG_LANE_TURN_NONE);
        pick_none(&w);
        world_end(&w);
}

static void test_a_fault_of_another_kind_begins_its_own_rest(void **state)
{
        struct world w;

        world_begin(&w, SG_STRATEGY_ORDERED, 1, 1);
        for (unsigned i = 0; i < 3; i++) {
                meet(&w, SG_LANE_CREDENTIAL);
                turn_clock(&w, HOUR);
        }
        assert_int_equal(meet(&w, SG_LANE_QUOTA), SG_LANE_TURN_RESTS);
        pick_none(&w);
        assert_int_equal(w.wait_usec, 10 * MINUTE);
        world_end(&w);
}

static void test_client_says_nothing(void **state)
{
        struct world w;

        world_begin(&w, SG_STRATEGY_ORDERED, 1, 1);
        for (unsigned i = 0; i < 100; i++)
                assert_int_equal(meet(&w, SG_LANE_CLIENT), SG_LANE_TURN_NONE);
        assert_int_equal(view(&w, 0).state, SG_LANE_UP);
        assert_int_equal(view(&w, 0).n_failed, 0);
        assert_int_equal(view(&w, row_of_credential(&w, 0, 0)).n_failed, 0);
        world_end(&w);
}

/* ---- the breaker */

static void trip(struct world *w, enum sg_lane_fault fault)
{
        for (unsigned i = 0; i < 4; i++)
                assert_int_equal(meet(w, fault), SG_LANE_TURN_NONE);
        assert_int_equal(meet(w, fault), SG_LANE_TURN_TRIPPED);
}

static void test_faults_in_a_row_trip(void **state)
{
        static const enum sg_lane_fault faults[] = {SG_LANE_SERVER, SG_LANE_TIMEOUT, SG_LANE_CONNECTION,
                                                    SG_LANE_TRUNCATED};

        for (size_t i = 0; i < SG_N_ELEMENTS(faults); i++) {
                struct world w;

                world_begin(&w, SG_STRATEGY_ORDERED, 1, 1);
                for (unsigned n = 0; n < 4; n++)
                        meet(&w, faults[i]);
                meet(&w, SG_LANE_OK); /* the row is broken */
                trip(&w, faults[i]);
                assert_non_null(strstr(w.text, sg_lane_fault_name(faults[i])));
                assert_int_equal(view(&w, 0).state, SG_LANE_TRIPPED);
                assert_non_null(strstr(view(&w, 0).text, "5 failures in a row, last: as the test said"));
                pick_none(&w);
                assert_int_equal(w.wait_usec, 10 * SEC);
                world_end(&w);
        }
}

static void test_one_tries_and_its_answer_returns_it(void **state)
{
        struct sg_lane_pick trial;
        struct world w;

        world_begin(&w, SG_STRATEGY_ORDERED, 1, 1);
        trip(&w, SG_LANE_SERVER);
        turn_clock(&w, 10 * SEC);
        trial = pick(&w);
        assert_true(trial.is_trial);
        assert_int_equal(view(&w, 0).state, SG_LANE_TRIAL);
        pick_none(&w); /* single flight */
        done(&w, trial, SG_LANE_SERVER);
        pick_none(&w);
        assert_int_equal(w.wait_usec, 20 * SEC); /* twice as long */
        turn_clock(&w, 20 * SEC);
        trial = pick(&w);
        assert_int_equal(sg_lanes_answered(w.l, &trial, SEC, w.now_usec, w.text), SG_LANE_TURN_RETURNED);
        assert_string_equal(w.text, "p0/m serves again");
        assert_false(pick(&w).is_trial);
        assert_int_equal(done(&w, trial, SG_LANE_TRUNCATED), SG_LANE_TURN_NONE); /* the first of a row */
        assert_int_equal(view(&w, 0).state, SG_LANE_UP);
        world_end(&w);
}

static void test_a_trial_that_meets_another_fault_makes_way(void **state)
{
        static const enum sg_lane_fault faults[] = {SG_LANE_CLIENT, SG_LANE_CREDENTIAL, SG_LANE_RATE};

        for (size_t i = 0; i < SG_N_ELEMENTS(faults); i++) {
                struct world w;

                world_begin(&w, SG_STRATEGY_ORDERED, 1, 2);
                trip(&w, SG_LANE_CONNECTION);
                turn_clock(&w, 10 * SEC);
                meet(&w, faults[i]);
                assert_true(pick(&w).is_trial);
                world_end(&w);
        }
}

static void test_the_provider_says_when_it_opens(void **state)
{
        struct world w;

        world_begin(&w, SG_STRATEGY_ORDERED, 1, 1);
        w.providers[0].breaker_failures = 2;
        w.providers[0].breaker_usec = 3 * SEC;
        world_configure(&w);
        meet(&w, SG_LANE_SERVER);
        assert_int_equal(meet(&w, SG_LANE_SERVER), SG_LANE_TURN_TRIPPED);
        pick_none(&w);
        assert_int_equal(w.wait_usec, 3 * SEC);
        w.providers[0].breaker_failures = 0; /* none: what is open does not count any more */
        world_configure(&w);
        for (unsigned i = 0; i < 100; i++)
                assert_int_equal(meet(&w, SG_LANE_SERVER), SG_LANE_TURN_NONE);
        world_end(&w);
}

/* ---- when nothing but what rests is left */

static bool ask_resting(struct world *w, struct sg_lane_pick *ret)
{
        struct sg_lane_ask ask = world_ask(w);

        ask.asks_resting = true;
        return sg_lanes_pick(w->l, &ask, &w->tried, ret, &w->wait_usec, w->why) == 0;
}

static void test_what_rests_is_asked_when_nothing_else_is_left(void **state)
{
        static const enum sg_lane_fault faults[] = {SG_LANE_CREDENTIAL, SG_LANE_QUOTA, SG_LANE_RATE, SG_LANE_OVERLOAD};

        for (size_t i = 0; i < SG_N_ELEMENTS(faults); i++) {
                struct sg_lane_pick p;
                struct world w;

                world_begin(&w, SG_STRATEGY_ORDERED, 2, 1);
                done_after(&w, pick(&w), faults[i], MINUTE);
                w.tried = (struct sg_lane_tried){0};
                assert_true(ask_resting(&w, &p));
                assert_string_equal(p.name, "p1/m"); /* as long as another does not rest */
                done_after(&w, p, faults[i], MINUTE);
                assert_false(ask_resting(&w, &p)); /* no further attempt */
                w.tried = (struct sg_lane_tried){0};
                assert_true(ask_resting(&w, &p));
                assert_string_equal(p.name, "p0/m");
                assert_int_equal(done(&w, p, SG_LANE_OK), SG_LANE_TURN_RETURNED);
                assert_string_equal(pick(&w).name, "p0/m");
                world_end(&w);
        }
}

static void test_drained_tripped_and_spent_ones_are_not_asked_even_then(void **state)
{
        struct sg_lane_pick p;
        struct world w;

        world_begin(&w, SG_STRATEGY_ORDERED, 1, 1);
        sg_lanes_set_drained(w.l, 0, true);
        assert_false(ask_resting(&w, &p));
        sg_lanes_set_drained(w.l, 0, false);
        trip(&w, SG_LANE_SERVER);
        w.tried = (struct sg_lane_tried){0};
        assert_false(ask_resting(&w, &p));
        sg_lanes_set_drained(w.l, 0, false);
        w.credentials[0][0].daily_tokens = 10;
        w.n_tokens = 11;
        world_configure(&w);
        w.tried = (struct sg_lane_tried){0};
        assert_false(ask_resting(&w, &p));
        world_end(&w);
}

/* ---- latency is learned at the head, once */

static void test_latency_is_learned_once(void **state)
{
        const struct sg_lane_result ok = {.first_byte_usec = 8 * SEC};
        struct sg_lane_pick p;
        struct world w;

        world_begin(&w, SG_STRATEGY_ORDERED, 1, 1);
        p = pick(&w);
        sg_lanes_answered(w.l, &p, 400000, w.now_usec, w.text);
        sg_lanes_answered(w.l, &p, 800000, w.now_usec, w.text);
        sg_lanes_done(w.l, &p, &ok, w.now_usec, w.wall_usec, w.text);
        assert_int_equal(view(&w, 0).latency_usec, 400000);
        p = pick(&w);
        sg_lanes_done(w.l, &p, &ok, w.now_usec, w.wall_usec, w.text);
        assert_int_equal(view(&w, 0).latency_usec, (3 * 400000 + 8 * SEC) / 4);
        world_end(&w);
}

/* ---- names */

static void test_all_have_names(void **state)
{
        for (unsigned i = 0; i < SG_LANE_FAULT_N; i++)
                assert_string_not_equal(sg_lane_fault_name(i), "unknown");
        for (unsigned i = 0; i < SG_LANE_STATE_N; i++)
                assert_string_not_equal(sg_lane_state_name(i), "unknown");
        assert_string_equal(sg_lane_fault_name(SG_LANE_FAULT_N), "unknown");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each_rest_is_twice_as_long_up_to_its_longest),
                cmocka_unit_test(test_who_rests),
                cmocka_unit_test(test_retry_after_is_a_floor_with_a_cap),
                cmocka_unit_test(test_who_meets_the_same_fault_together_doubles_nothing),
                cmocka_unit_test(test_who_began_before_the_rest_does_not_end_it),
                cmocka_unit_test(test_a_fault_of_another_kind_begins_its_own_rest),
                cmocka_unit_test(test_client_says_nothing),
                cmocka_unit_test(test_faults_in_a_row_trip),
                cmocka_unit_test(test_one_tries_and_its_answer_returns_it),
                cmocka_unit_test(test_a_trial_that_meets_another_fault_makes_way),
                cmocka_unit_test(test_the_provider_says_when_it_opens),
                cmocka_unit_test(test_what_rests_is_asked_when_nothing_else_is_left),
                cmocka_unit_test(test_drained_tripped_and_spent_ones_are_not_asked_even_then),
                cmocka_unit_test(test_latency_is_learned_once),
                cmocka_unit_test(test_all_have_names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
