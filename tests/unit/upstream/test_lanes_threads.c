#include <pthread.h>
#include <stdatomic.h>

#include "lanes_test.h"

#define N_THREADS 4
#define N_ROUNDS  5000u

struct crowd {
        struct world world;
        _Atomic unsigned n_in_trial, n_trials, n_tripped, n_returned, n_rests;
};

static void run_crowd(struct crowd *c, void *(*act)(void *at))
{
        pthread_t threads[N_THREADS];

        for (unsigned i = 0; i < N_THREADS; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, act, c), 0);
        for (unsigned i = 0; i < N_THREADS; i++)
                assert_int_equal(pthread_join(threads[i], NULL), 0);
}

static enum sg_lane_turn end(struct crowd *c, struct sg_lane_pick *p, enum sg_lane_fault fault, uint64_t now_usec)
{
        const struct sg_lane_result result = {.fault = fault,
                                              .retry_after_usec = fault == SG_LANE_QUOTA ? SEC : 0,
                                              .first_byte_usec = 1000,
                                              .n_tokens = 3,
                                              .text = "a text that is long enough to be torn apart by others"};
        char text[256];

        if (fault == SG_LANE_OK)
                (void)sg_lanes_answered(c->world.l, p, 1000 + now_usec % 7, now_usec, text);
        return sg_lanes_done(c->world.l, p, &result, now_usec, c->world.wall_usec, text);
}

/* Whole exchanges, with every fault, views, admins and reloads in between. */
static void *do_all(void *at)
{
        struct crowd *c = at;

        for (unsigned i = 0; i < N_ROUNDS; i++) {
                struct sg_lane_ask ask = world_ask(&c->world);
                struct sg_lanes *next = NULL;
                struct sg_lane_tried tried = {0};
                struct sg_lane_view v;
                struct sg_lane_pick p;
                uint64_t wait_usec;
                char why[160];

                ask.now_usec += i * 5000;
                ask.hash = i;
                ask.n_tokens = 10;
                while (sg_lanes_pick(c->world.l, &ask, &tried, &p, &wait_usec, why) == 0)
                        if (end(c, &p, (i + tried.n) % 3 ? SG_LANE_OK : i % SG_LANE_FAULT_N, ask.now_usec) ==
                            SG_LANE_TURN_NONE)
                                break;
                sg_lanes_view(c->world.l, i % sg_lanes_count(c->world.l), ask.now_usec, ask.wall_usec, &v);
                if (v.text[0])
                        SG_ASSERT(strlen(v.text) < sizeof(v.text));
                if (i % 100 == 0) {
                        (void)sg_lanes_set_drained(c->world.l, i / 100 % sg_lanes_count(c->world.l), i % 200);
                        SG_ASSERT(sg_lanes_new(&next, &c->world.config, c->world.l) == 0);
                        sg_lanes_unref(next);
                }
        }
        return NULL;
}

static void test_many_threads(void **state)
{
        for (unsigned strategy = 0; strategy < SG_STRATEGY_N; strategy++) {
                struct crowd c = {0};

                world_begin(&c.world, strategy, 4, 3);
                c.world.credentials[1][1].daily_tokens = 5000;
                c.world.model.affinity = strategy == SG_STRATEGY_WEIGHTED ? SG_AFFINITY_KEY : SG_AFFINITY_NONE;
                c.world.model.n_targets = 3;
                c.world.model.n_fallbacks = 1;
                world_configure(&c.world);
                run_crowd(&c, do_all);
                for (size_t i = 0; i < sg_lanes_count(c.world.l); i++)
                        assert_int_equal(view(&c.world, i).n_outstanding, 0);
                assert_true(view(&c.world, row_of_credential(&c.world, 1, 1)).used_tokens <= 5000);
                world_end(&c.world);
        }
}

/* Each wants to be the trial, which ends in one of three ways. */
static void *try_it(void *at)
{
        static const enum sg_lane_fault ends[] = {SG_LANE_CLIENT, SG_LANE_OK, SG_LANE_SERVER};
        struct crowd *c = at;

        for (unsigned i = 0; i < N_ROUNDS; i++) {
                struct sg_lane_ask ask = world_ask(&c->world);
                struct sg_lane_tried tried = {0};
                struct sg_lane_pick p;
                enum sg_lane_turn turn;
                uint64_t wait_usec;
                char why[160];

                ask.now_usec += i * 10 * SEC;
                if (sg_lanes_pick(c->world.l, &ask, &tried, &p, &wait_usec, why))
                        continue;
                if (p.is_trial) {
                        SG_ASSERT(atomic_fetch_add(&c->n_in_trial, 1) == 0);
                        atomic_fetch_add(&c->n_trials, 1);
                        atomic_fetch_sub(&c->n_in_trial, 1);
                }
                turn = end(c, &p, p.is_trial ? ends[i % 3] : SG_LANE_SERVER, ask.now_usec);
                atomic_fetch_add(&c->n_tripped, turn == SG_LANE_TURN_TRIPPED);
        }
        return NULL;
}

static void test_one_trial_at_a_time(void **state)
{
        struct crowd c = {0};

        world_begin(&c.world, SG_STRATEGY_ORDERED, 1, 1);
        c.world.providers[0].connect_timeout_usec = 30 * 24 * HOUR; /* none is ever taken for lost */
        world_configure(&c.world);
        run_crowd(&c, try_it);
        assert_true(atomic_load(&c.n_trials) > 0 && atomic_load(&c.n_tripped) > 0);
        world_end(&c.world);
}

/* One fault that all meet at the same time is one rest. */
static void *meet_it(void *at)
{
        struct crowd *c = at;
        struct sg_lane_pick p[50];
        unsigned n = 0;

        for (; n < SG_N_ELEMENTS(p); n++) {
                struct sg_lane_ask ask = world_ask(&c->world);
                struct sg_lane_tried tried = {0};
                uint64_t wait_usec;
                char why[160];

                if (sg_lanes_pick(c->world.l, &ask, &tried, &p[n], &wait_usec, why))
                        break;
        }
        while (n-- > 0)
                atomic_fetch_add(&c->n_rests,
                                 end(c, &p[n], SG_LANE_CREDENTIAL, c->world.now_usec) == SG_LANE_TURN_RESTS);
        return NULL;
}

static void test_a_fault_that_all_meet_is_one_rest(void **state)
{
        struct crowd c = {0};

        world_begin(&c.world, SG_STRATEGY_ORDERED, 1, 1);
        run_crowd(&c, meet_it);
        assert_int_equal(atomic_load(&c.n_rests), 1);
        pick_none(&c.world);
        assert_int_equal(c.world.wait_usec, MINUTE);
        world_end(&c.world);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_many_threads),
                cmocka_unit_test(test_one_trial_at_a_time),
                cmocka_unit_test(test_a_fault_that_all_meet_is_one_rest),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
