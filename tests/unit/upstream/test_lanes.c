#include "lanes_test.h"

static struct sg_lane_pick last_pick;

static void begin_exchange(struct world *w)
{
        w->tried = (struct sg_lane_tried){0};
}

static void fail_last(struct world *w, enum sg_lane_fault fault)
{
        done(w, last_pick, fault);
}

/* ---- who comes next */

static void test_after_a_fault_of_the_lane_another_target_comes_first(void **state)
{
        static const enum sg_lane_fault faults[] = {SG_LANE_SERVER, SG_LANE_TIMEOUT, SG_LANE_CONNECTION};

        for (size_t i = 0; i < SG_N_ELEMENTS(faults); i++) {
                struct world w;

                world_begin(&w, SG_STRATEGY_ORDERED, 3, 2);
                for (size_t j = 0; j < 3; j++)
                        w.credentials[j][1].priority = 2;
                w.model.n_targets = 2;
                w.model.n_fallbacks = 1;
                assert_picks(&w, "p0/m a");
                assert_false(last_pick.is_fallback);
                fail_last(&w, faults[i]);
                assert_picks(&w, "p1/m a");
                fail_last(&w, faults[i]);
                assert_picks(&w, "p2/m a");
                assert_true(last_pick.is_fallback);
                fail_last(&w, faults[i]);
                assert_picks(&w, "p0/m b"); /* nothing else is left */
                fail_last(&w, faults[i]);
                assert_picks(&w, "p1/m b");
                fail_last(&w, faults[i]);
                assert_picks(&w, "p2/m b");
                fail_last(&w, faults[i]);
                assert_false(pick_next(&w, &last_pick));
                assert_string_equal(w.why, "every target was tried");
                world_end(&w);
        }
}

static void test_after_a_fault_of_the_credential_another_comes_first(void **state)
{
        static const enum sg_lane_fault faults[] = {SG_LANE_CREDENTIAL, SG_LANE_QUOTA, SG_LANE_RATE};

        for (size_t i = 0; i < SG_N_ELEMENTS(faults); i++) {
                struct world w;

                world_begin(&w, SG_STRATEGY_ORDERED, 2, 2);
                w.credentials[0][1].priority = w.credentials[1][1].priority = 2;
                assert_picks(&w, "p0/m a");
                fail_last(&w, faults[i]);
                assert_picks(&w, "p0/m b");
                fail_last(&w, faults[i]);
                assert_picks(&w, "p1/m a");
                fail_last(&w, faults[i]);
                assert_picks(&w, "p1/m b");
                fail_last(&w, faults[i]);
                assert_false(pick_next(&w, &last_pick));
                assert_non_null(strstr(w.why, sg_lane_fault_name(faults[i])));
                world_end(&w);
        }
}

static void test_after_overload_the_lane_is_left_alone(void **state)
{
        struct world w;

        world_begin(&w, SG_STRATEGY_ORDERED, 2, 2);
        w.credentials[0][1].priority = w.credentials[1][1].priority = 2;
        assert_picks(&w, "p0/m a");
        fail_last(&w, SG_LANE_OVERLOAD);
        assert_picks(&w, "p1/m a");
        fail_last(&w, SG_LANE_OVERLOAD);
        assert_false(pick_next(&w, &last_pick));
        assert_string_equal(w.why, "p0/m rests for 1 s: overload: as the test said");
        world_end(&w);
}

static void test_attempts_have_an_end(void **state)
{
        struct world w;

        world_begin(&w, SG_STRATEGY_ORDERED, 4, 4);
        for (unsigned i = 0; i < SG_ATTEMPTS_MAX; i++) {
                assert_true(pick_next(&w, &last_pick));
                fail_last(&w, SG_LANE_CLIENT);
        }
        assert_false(pick_next(&w, &last_pick));
        world_end(&w);
}

static bool serves_not(const struct sg_config_provider *p, void *owner)
{
        return p != owner;
}

static void test_who_cannot_serve_is_not_asked(void **state)
{
        struct sg_lane_ask ask;
        struct world w;

        world_begin(&w, SG_STRATEGY_ORDERED, 2, 1);
        ask = world_ask(&w);
        ask.can_serve = serves_not;
        ask.owner = &w.providers[0];
        assert_int_equal(sg_lanes_pick(w.l, &ask, &w.tried, &last_pick, &w.wait_usec, w.why), 0);
        assert_string_equal(last_pick.name, "p1/m");
        w.model.n_targets = 1;
        begin_exchange(&w);
        assert_int_equal(sg_lanes_pick(w.l, &ask, &w.tried, &last_pick, &w.wait_usec, w.why), SG_LANES_E_NONE);
        assert_string_equal(w.why, "no target can serve this");
        world_end(&w);
}

/* ---- room for long prompts */

static void test_too_small_ones_are_passed_over(void **state)
{
        struct world w;

        world_begin(&w, SG_STRATEGY_ORDERED, 4, 1);
        w.model.n_targets = 2;
        w.model.n_fallbacks = 1;
        w.model.n_larger = 1;
        w.targets[0].context_tokens = 1000;
        w.targets[1].context_tokens = 2000;
        w.targets[2].context_tokens = 1000;
        w.n_tokens = 1000;
        assert_picks(&w, "p0/m a");
        w.n_tokens = 1001;
        begin_exchange(&w);
        assert_picks(&w, "p1/m a");
        fail_last(&w, SG_LANE_SERVER);
        assert_picks(&w, "p3/m a"); /* the larger one, and not the fallback */
        w.n_tokens = 3000;
        begin_exchange(&w);
        assert_picks(&w, "p3/m a");
        w.model.n_larger = 0;
        begin_exchange(&w);
        assert_picks(&w, "p0/m a"); /* nobody has room: let the provider say so */
        world_end(&w);
}

static void test_larger_ones_only_when_the_prompt_was_too_long(void **state)
{
        struct world w;

        world_begin(&w, SG_STRATEGY_ORDERED, 4, 1);
        w.model.n_targets = 2;
        w.model.n_larger = 2;
        assert_picks(&w, "p0/m a");
        fail_last(&w, SG_LANE_CLIENT);
        w.tried.wants_larger = true;
        assert_picks(&w, "p2/m a");
        assert_true(last_pick.is_fallback);
        fail_last(&w, SG_LANE_SERVER);
        assert_picks(&w, "p3/m a");
        fail_last(&w, SG_LANE_SERVER);
        assert_false(pick_next(&w, &last_pick));
        assert_string_equal(w.why, "no larger target is left");
        begin_exchange(&w);
        assert_picks(&w, "p0/m a");
        fail_last(&w, SG_LANE_SERVER);
        assert_picks(&w, "p1/m a");
        fail_last(&w, SG_LANE_SERVER);
        assert_false(pick_next(&w, &last_pick));
        world_end(&w);
}

/* ---- weighted */

#define N_PICKS 60000u

/* Five standard deviations: a fair choice fails one run in a million. */
static void assert_share(unsigned n, double share)
{
        const double expected = N_PICKS * share, spread = 5 * __builtin_sqrt(N_PICKS * share * (1 - share));

        if (n < expected - spread || n > expected + spread)
                fail_msg("%u of %u, expected %.0f ± %.0f", n, N_PICKS, expected, spread);
}

static void weigh(struct world *w)
{
        w->targets[0].weight = 5;
        w->targets[1].weight = 3;
        w->targets[2].weight = 2;
}

static void count(struct world *w, unsigned counts[3], bool is_hashed)
{
        memset(counts, 0, 3 * sizeof(counts[0]));
        for (unsigned i = 0; i < N_PICKS; i++) {
                struct sg_lane_pick p;

                w->hash = is_hashed ? i * UINT64_C(0x9e3779b97f4a7c15) : 0;
                p = pick(w);
                counts[p.lane]++;
                done(w, p, SG_LANE_OK);
        }
}

static void test_weights_are_shares(void **state)
{
        for (unsigned is_affine = 0; is_affine < 2; is_affine++) {
                unsigned counts[3];
                struct world w;

                world_begin(&w, SG_STRATEGY_WEIGHTED, 3, 1);
                w.model.affinity = is_affine ? SG_AFFINITY_CONVERSATION : SG_AFFINITY_NONE;
                weigh(&w);
                count(&w, counts, is_affine);
                assert_share(counts[0], 0.5);
                assert_share(counts[1], 0.3);
                assert_share(counts[2], 0.2);
                assert_true(sg_lanes_set_drained(w.l, 0, true));
                count(&w, counts, is_affine);
                assert_int_equal(counts[0], 0);
                assert_share(counts[1], 0.6);
                assert_share(counts[2], 0.4);
                world_end(&w);
        }
}

static void test_a_target_that_is_out_moves_its_own_conversations_only(void **state)
{
        enum {
                N = 20000
        };
        static uint8_t lane[N], credential[N];
        unsigned n_moved = 0;
        struct world w;

        world_begin(&w, SG_STRATEGY_WEIGHTED, 4, 2);
        w.model.affinity = SG_AFFINITY_CONVERSATION;
        weigh(&w);
        for (unsigned round = 0; round < 3; round++) {
                if (round > 0)
                        sg_lanes_set_drained(w.l, 1, round == 1);
                for (unsigned i = 0; i < N; i++) {
                        struct sg_lane_pick p;

                        w.hash = i;
                        p = pick(&w);
                        done(&w, p, SG_LANE_OK);
                        if (round == 0) {
                                lane[i] = (uint8_t)p.lane;
                                credential[i] = (uint8_t)p.credential->name[0];
                        } else if (p.lane != lane[i]) {
                                assert_int_equal(lane[i], 1);
                                n_moved++;
                        } else {
                                assert_int_equal(p.credential->name[0], credential[i]);
                        }
                }
        }
        /* 3 of 11 by weight, all of them once, and all of them came back. */
        assert_in_range(n_moved, N * 3 / 11 - 400, N * 3 / 11 + 400);
        world_end(&w);
}

/* ---- credentials */

static void test_credentials_by_priority_and_in_turns(void **state)
{
        unsigned counts[4] = {0};
        struct world w;

        world_begin(&w, SG_STRATEGY_ORDERED, 1, 3);
        w.credentials[0][2].priority = 2;
        for (unsigned i = 0; i < N_PICKS; i++) {
                struct sg_lane_pick p = pick(&w);

                counts[p.credential - w.credentials[0]]++;
                done(&w, p, SG_LANE_OK);
        }
        assert_share(counts[0], 0.5);
        assert_share(counts[1], 0.5);
        assert_int_equal(counts[2], 0);
        sg_lanes_set_drained(w.l, row_of_credential(&w, 0, 0), true);
        assert_string_equal(pick(&w).credential->name, "b");
        sg_lanes_set_drained(w.l, row_of_credential(&w, 0, 1), true);
        assert_string_equal(pick(&w).credential->name, "c");
        world_end(&w);
}

/* ---- least latency */

static void serve_in(struct world *w, struct sg_lane_pick p, uint64_t usec)
{
        sg_lanes_answered(w->l, &p, usec, w->now_usec, w->text);
        done(w, p, SG_LANE_OK);
}

static void test_the_fastest_is_asked_and_a_slow_one_again_in_time(void **state)
{
        struct sg_lane_pick p, held;
        struct world w;

        world_begin(&w, SG_STRATEGY_LEAST_LATENCY, 3, 1);
        for (unsigned i = 0; i < 3; i++) { /* unknown ones first */
                p = pick(&w);
                assert_int_equal(p.lane, i);
                serve_in(&w, p, (i == 1 ? 1 : 3) * 100000);
        }
        for (unsigned i = 0; i < 59; i++) {
                p = pick(&w);
                assert_int_equal(p.lane, 1);
                serve_in(&w, p, 100000);
                turn_clock(&w, SEC);
        }
        turn_clock(&w, 2 * MINUTE);
        p = pick(&w); /* it was not asked for as long, but is ahead */
        assert_int_equal(p.lane, 1);
        serve_in(&w, p, 100000);
        held = pick(&w); /* slow ones: 300 ms halved twice */
        assert_int_not_equal(held.lane, 1);
        p = pick(&w);
        assert_true(p.lane != 1 && p.lane != held.lane); /* one asks each of them, */
        p = pick(&w);
        assert_int_equal(p.lane, 1); /* and the others do not follow */
        world_end(&w);
}

static void test_while_one_measures_the_others_go_elsewhere(void **state)
{
        struct world w;

        world_begin(&w, SG_STRATEGY_LEAST_LATENCY, 2, 1);
        serve_in(&w, pick(&w), 500000);
        assert_int_equal(pick(&w).lane, 1);
        for (unsigned i = 0; i < 10; i++)
                assert_int_equal(pick(&w).lane, 0);
        world_end(&w);
}

/* ---- from one configuration to the next */

static struct sg_secret *secret(const char *text)
{
        struct sg_secret *s;

        assert_int_equal(sg_secret_new(&s, sg_str_from(text)), 0);
        return s;
}

static void set_secret(struct world *w, size_t provider, size_t credential, const char *text)
{
        w->credentials[provider][credential].api_key = secret(text);
}

static void drop_secret(struct world *w, size_t provider, size_t credential)
{
        sg_secret_unref(w->credentials[provider][credential].api_key);
}

static void test_what_is_known_goes_on(void **state)
{
        struct sg_lane_pick held;
        struct world w;

        world_begin(&w, SG_STRATEGY_ORDERED, 2, 2);
        set_secret(&w, 0, 0, "one");
        set_secret(&w, 0, 1, "two");
        world_configure(&w);
        w.credentials[0][1].priority = 2;
        held = pick(&w);
        meet(&w, SG_LANE_CREDENTIAL);                   /* a */
        done_after(&w, pick(&w), SG_LANE_RATE, MINUTE); /* b at p0/m */
        sg_lanes_set_drained(w.l, 1, true);
        drop_secret(&w, 0, 1);
        set_secret(&w, 0, 1, "two");
        world_configure(&w);
        pick_none(&w);
        assert_int_equal(view(&w, 1).state, SG_LANE_DRAINED);
        assert_int_equal(view(&w, 0).n_outstanding, 1);
        done(&w, held, SG_LANE_CLIENT);
        assert_int_equal(view(&w, 0).n_outstanding, 0);
        world_configure(&w);
        pick_none(&w);
        world_end(&w);
        drop_secret(&w, 0, 0);
        drop_secret(&w, 0, 1);
}

static void test_another_secret_ends_a_rest(void **state)
{
        struct sg_secret *old;
        struct world w;

        world_begin(&w, SG_STRATEGY_ORDERED, 1, 1);
        set_secret(&w, 0, 0, "wrong");
        world_configure(&w);
        meet(&w, SG_LANE_CREDENTIAL);
        pick_none(&w);
        old = w.credentials[0][0].api_key;
        set_secret(&w, 0, 0, "right");
        world_configure(&w);
        sg_secret_unref(old);
        assert_int_equal(meet(&w, SG_LANE_OK), SG_LANE_TURN_NONE);
        done_after(&w, pick(&w), SG_LANE_RATE, MINUTE);
        pick_none(&w);
        old = w.credentials[0][0].api_key;
        set_secret(&w, 0, 0, "of another account");
        assert_true(sg_lanes_set_drained(w.l, row_of_credential(&w, 0, 0), true));
        world_configure(&w);
        sg_secret_unref(old);
        assert_int_equal(view(&w, row_of_credential(&w, 0, 0)).state, SG_LANE_DRAINED); /* of the name */
        assert_true(sg_lanes_set_drained(w.l, row_of_credential(&w, 0, 0), false));
        meet(&w, SG_LANE_OK); /* the pair is new as well */
        world_end(&w);
        drop_secret(&w, 0, 0);
}

static void test_another_address_is_another_place(void **state)
{
        struct world w;

        world_begin(&w, SG_STRATEGY_ORDERED, 1, 1);
        for (unsigned i = 0; i < 5; i++)
                meet(&w, SG_LANE_CONNECTION);
        pick_none(&w);
        w.config.n_lanes = 2;
        world_configure(&w);
        pick_none(&w);
        struct sg_config_provider moved = w.providers[0];
        struct sg_config next = w.config;
        struct sg_config_lane lanes[] = {{"p0/m", &moved}, {"p0", &moved}};
        struct sg_lanes *before = w.l;

        moved.base_url = "http://127.0.0.1/v2";
        next.providers = &moved;
        next.lanes = lanes;
        assert_int_equal(sg_lanes_new(&w.l, &next, before), 0);
        sg_lanes_unref(before);
        w.targets[0].provider = &moved;
        assert_int_equal(pick(&w).lane, 0);
        world_end(&w);
}

/* ---- views and admins */

static void test_rows_say_what_and_why(void **state)
{
        struct sg_lane_view v;
        struct world w;

        world_begin(&w, SG_STRATEGY_ORDERED, 2, 2);
        w.credentials[0][1].priority = 2;
        assert_int_equal(sg_lanes_count(w.l), 4 + 4);
        assert_string_equal(view(&w, 0).name, "p0/m");
        assert_string_equal(view(&w, 2).name, "p0");
        v = view(&w, row_of_credential(&w, 1, 1));
        assert_true(v.is_credential);
        assert_string_equal(v.name, "b");
        assert_string_equal(v.provider, "p1");
        done_after(&w, pick(&w), SG_LANE_RATE, MINUTE);
        v = view(&w, 0);
        assert_int_equal(v.state, SG_LANE_UP);
        assert_string_equal(v.text, "credential \"a\" rests here for 60 s: rate");
        done(&w, pick(&w), SG_LANE_QUOTA);
        v = view(&w, 0);
        assert_int_equal(v.state, SG_LANE_RESTS);
        assert_string_equal(v.text, "p0/m with credential \"a\" rests for 60 s: rate: as the test said");
        assert_int_equal(v.rests_usec, MINUTE);
        assert_int_equal(v.n_picked, 2);
        assert_int_equal(v.n_failed, 2);
        v = view(&w, row_of_credential(&w, 0, 1));
        assert_int_equal(v.state, SG_LANE_RESTS);
        assert_string_equal(v.text, "rests for 10 min: quota: as the test said");
        world_end(&w);
}

static void test_admins_drain_and_enable(void **state)
{
        struct world w;

        world_begin(&w, SG_STRATEGY_ORDERED, 1, 1);
        assert_true(sg_lanes_set_drained(w.l, 0, true));
        assert_false(sg_lanes_set_drained(w.l, 0, true));
        assert_int_equal(view(&w, 0).state, SG_LANE_DRAINED);
        pick_none(&w);
        assert_string_equal(w.why, "p0/m is drained by an admin");
        assert_int_equal(w.wait_usec, MINUTE);
        assert_true(sg_lanes_set_drained(w.l, 0, false));
        assert_false(sg_lanes_set_drained(w.l, 0, false));
        for (unsigned i = 0; i < 5; i++)
                meet(&w, SG_LANE_SERVER);
        pick_none(&w);
        assert_true(sg_lanes_set_drained(w.l, 0, false));
        done_after(&w, pick(&w), SG_LANE_RATE, MINUTE);
        assert_true(sg_lanes_set_drained(w.l, row_of_credential(&w, 0, 0), false));
        done_after(&w, pick(&w), SG_LANE_RATE, MINUTE);
        assert_true(sg_lanes_set_drained(w.l, 0, false));
        meet(&w, SG_LANE_CREDENTIAL);
        assert_false(sg_lanes_set_drained(w.l, 0, false)); /* that is not the lane's */
        pick_none(&w);
        assert_string_equal(w.why, "credential \"a\" of p0 rests for 60 s: credential: as the test said");
        assert_true(sg_lanes_set_drained(w.l, row_of_credential(&w, 0, 0), false));
        meet(&w, SG_LANE_OK);
        world_end(&w);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_after_a_fault_of_the_lane_another_target_comes_first),
                cmocka_unit_test(test_after_a_fault_of_the_credential_another_comes_first),
                cmocka_unit_test(test_after_overload_the_lane_is_left_alone),
                cmocka_unit_test(test_attempts_have_an_end),
                cmocka_unit_test(test_who_cannot_serve_is_not_asked),
                cmocka_unit_test(test_too_small_ones_are_passed_over),
                cmocka_unit_test(test_larger_ones_only_when_the_prompt_was_too_long),
                cmocka_unit_test(test_weights_are_shares),
                cmocka_unit_test(test_a_target_that_is_out_moves_its_own_conversations_only),
                cmocka_unit_test(test_credentials_by_priority_and_in_turns),
                cmocka_unit_test(test_the_fastest_is_asked_and_a_slow_one_again_in_time),
                cmocka_unit_test(test_while_one_measures_the_others_go_elsewhere),
                cmocka_unit_test(test_what_is_known_goes_on),
                cmocka_unit_test(test_another_secret_ends_a_rest),
                cmocka_unit_test(test_another_address_is_another_place),
                cmocka_unit_test(test_rows_say_what_and_why),
                cmocka_unit_test(test_admins_drain_and_enable),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
