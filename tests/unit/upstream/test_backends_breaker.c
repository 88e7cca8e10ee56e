/* What is learned of endpoints: the life of a breaker, the budget of retries, and many threads at once. */
#include <pthread.h>
#include <stdatomic.h>

#include "backends_test.h"

#define WEIGHTS(...) ((const unsigned[]){__VA_ARGS__, 0})

static void go_wrong(struct fleet *f, unsigned n, enum sg_backend_result result)
{
        for (unsigned i = 0; i < n; i++)
                assert_int_equal(done(f, pick(f, 0, 0), result), SG_BACKEND_TURN_NONE);
}

static void trip(struct fleet *f)
{
        go_wrong(f, 2, SG_BACKEND_BROKEN);
        assert_int_equal(done(f, pick(f, 0, 0), SG_BACKEND_SLOW), SG_BACKEND_TURN_TRIPPED);
}

static struct sg_pick pick_trial(struct fleet *f)
{
        const struct sg_pick p = pick(f, 0, 0);

        assert_true(p.is_trial);
        assert_int_equal(view(f, p.index).state, SG_BACKEND_TRIAL);
        return p;
}

/* ---- one breaker */

static void test_faults_in_a_row_trip(void **state)
{
        struct fleet f;

        fleet_begin(&f, SG_BALANCE_ROUND_ROBIN, WEIGHTS(1));
        go_wrong(&f, 2, SG_BACKEND_UNREACHABLE);
        assert_int_equal(done(&f, pick(&f, 0, 0), SG_BACKEND_OK), SG_BACKEND_TURN_NONE);
        go_wrong(&f, 1, SG_BACKEND_BROKEN);
        go_wrong(&f, 1, SG_BACKEND_SLOW);
        go_wrong(&f, 9, SG_BACKEND_NEUTRAL); /* says nothing, in neither direction */
        assert_int_equal(view(&f, 0).state, SG_BACKEND_UP);
        assert_int_equal(done(&f, pick(&f, 0, 0), SG_BACKEND_ERROR), SG_BACKEND_TURN_TRIPPED);
        assert_int_equal(view(&f, 0).state, SG_BACKEND_TRIPPED);
        assert_string_equal(view(&f, 0).text, "3 failures in a row, last: as the test said");
        assert_int_equal(view(&f, 0).n_failed, 5);
        assert_int_equal(view(&f, 0).n_picked, 15);
        assert_false(sg_backends_is_usable(f.backends, f.now_usec));
        f.now_usec += 4 * SEC;
        assert_int_equal(pick_none(&f, 0), 6 * SEC);
        assert_int_equal(view(&f, 0).state_for_usec, 4 * SEC);
        f.now_usec += 6 * SEC - 1;
        assert_int_equal(pick_none(&f, 0), SEC);
        fleet_end(&f);
}

static void test_trial_that_goes_well_returns_it(void **state)
{
        struct sg_pick p;
        struct fleet f;

        fleet_begin(&f, SG_BALANCE_ROUND_ROBIN, WEIGHTS(1));
        trip(&f);
        f.now_usec += 10 * SEC;
        assert_true(sg_backends_is_usable(f.backends, f.now_usec));
        p = pick_trial(&f);
        pick_none(&f, 0); /* one at a time */
        assert_int_equal(done(&f, p, SG_BACKEND_OK), SG_BACKEND_TURN_RETURNED);
        assert_int_equal(view(&f, 0).state, SG_BACKEND_UP);
        assert_int_equal(view(&f, 0).state_for_usec, 0);
        trip(&f); /* three again, and open as short as at first */
        f.now_usec += 10 * SEC;
        done(&f, pick_trial(&f), SG_BACKEND_OK);
        fleet_end(&f);
}

static void test_each_failed_trial_doubles_up_to_16_times(void **state)
{
        static const unsigned times[] = {1, 2, 4, 8, 16, 16, 16};
        uint64_t began_usec;
        struct fleet f;

        fleet_begin(&f, SG_BALANCE_ROUND_ROBIN, WEIGHTS(1));
        trip(&f);
        began_usec = f.now_usec;
        for (size_t i = 0; i < SG_N_ELEMENTS(times); i++) {
                f.now_usec += times[i] * 10 * SEC - 1;
                pick_none(&f, 0);
                f.now_usec++;
                assert_int_equal(done(&f, pick_trial(&f), SG_BACKEND_UNREACHABLE), SG_BACKEND_TURN_NONE);
        }
        assert_int_equal(view(&f, 0).state_for_usec, f.now_usec - began_usec); /* it never was up */
        assert_string_equal(view(&f, 0).text, "10 failures in a row, last: as the test said");
        fleet_end(&f);
}

static void test_trial_that_says_nothing_makes_way(void **state)
{
        struct fleet f;

        fleet_begin(&f, SG_BALANCE_ROUND_ROBIN, WEIGHTS(1));
        trip(&f);
        f.now_usec += 10 * SEC;
        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(done(&f, pick_trial(&f), SG_BACKEND_NEUTRAL), SG_BACKEND_TURN_NONE);
        assert_int_equal(done(&f, pick_trial(&f), SG_BACKEND_OK), SG_BACKEND_TURN_RETURNED);
        fleet_end(&f);
}

static void test_lost_trial_does_not_block(void **state)
{
        struct sg_pick lost, next;
        struct fleet f;

        fleet_begin(&f, SG_BALANCE_ROUND_ROBIN, WEIGHTS(1));
        trip(&f);
        f.now_usec += 10 * SEC;
        lost = pick_trial(&f);
        f.now_usec += 10 * SEC - 1; /* breaker_usec, as connecting and the first byte have less */
        pick_none(&f, 0);
        f.now_usec++;
        assert_int_equal(view(&f, 0).state, SG_BACKEND_TRIPPED);
        next = pick_trial(&f);
        /* What the lost one says in the end is not taken for the next one's. */
        assert_int_equal(done(&f, lost, SG_BACKEND_NEUTRAL), SG_BACKEND_TURN_NONE);
        pick_none(&f, 0);
        assert_int_equal(done(&f, next, SG_BACKEND_OK), SG_BACKEND_TURN_RETURNED);
        fleet_end(&f);
}

static void test_long_answer_returns_it_at_its_head(void **state)
{
        struct sg_pick p;
        struct fleet f;

        fleet_begin(&f, SG_BALANCE_ROUND_ROBIN, WEIGHTS(1));
        f.service.first_byte_timeout_usec = 30 * SEC;
        fleet_configure(&f, 1, WEIGHTS(1));
        trip(&f);
        f.now_usec += 10 * SEC;
        p = pick_trial(&f);
        f.now_usec += 29 * SEC; /* longer than breaker_usec */
        pick_none(&f, 0);
        assert_int_equal(sg_backends_answered(f.backends, &p, f.now_usec), SG_BACKEND_TURN_RETURNED);
        assert_int_equal(sg_backends_answered(f.backends, &p, f.now_usec), SG_BACKEND_TURN_NONE);
        trip(&f);
        f.now_usec += SEC;
        assert_int_equal(done(&f, p, SG_BACKEND_OK), SG_BACKEND_TURN_NONE); /* old news */
        assert_int_equal(view(&f, 0).state, SG_BACKEND_TRIPPED);
        fleet_end(&f);
}

static void test_news_of_before_does_not_return_it(void **state)
{
        struct sg_pick early[2];
        struct fleet f;

        fleet_begin(&f, SG_BALANCE_ROUND_ROBIN, WEIGHTS(1));
        early[0] = pick(&f, 0, 0);
        early[1] = pick(&f, 0, 0);
        trip(&f);
        assert_int_equal(done(&f, early[0], SG_BACKEND_OK), SG_BACKEND_TURN_NONE);
        assert_int_equal(done(&f, early[1], SG_BACKEND_BROKEN), SG_BACKEND_TURN_NONE);
        f.now_usec += 9 * SEC;
        assert_int_equal(pick_none(&f, 0), SEC);
        assert_string_equal(view(&f, 0).text, "4 failures in a row, last: as the test said");
        fleet_end(&f);
}

static void test_admin_and_reload_close_it(void **state)
{
        struct fleet f;

        fleet_begin(&f, SG_BALANCE_ROUND_ROBIN, WEIGHTS(1));
        trip(&f);
        assert_true(sg_backends_set_drained(f.backends, 0, false));
        assert_int_equal(view(&f, 0).state, SG_BACKEND_UP);
        trip(&f);
        fleet_configure(&f, 1, WEIGHTS(2));
        assert_int_equal(view(&f, 0).state, SG_BACKEND_TRIPPED);
        f.service.breaker_failures = 0;
        fleet_configure(&f, 1, WEIGHTS(2));
        go_wrong(&f, 100, SG_BACKEND_BROKEN);
        assert_int_equal(view(&f, 0).state, SG_BACKEND_UP);
        fleet_end(&f);
}

static void test_others_serve_meanwhile(void **state)
{
        unsigned n_trials = 0;
        struct fleet f;

        fleet_begin(&f, SG_BALANCE_ROUND_ROBIN, WEIGHTS(1, 1));
        for (unsigned i = 0; i < 6; i++) {
                const struct sg_pick p = pick(&f, 0, 0);

                done(&f, p, p.index == 0 ? SG_BACKEND_BROKEN : SG_BACKEND_OK);
        }
        for (unsigned i = 0; i < 10; i++)
                assert_int_equal(pick(&f, 0, 0).index, 1);
        f.now_usec += 10 * SEC;
        for (unsigned i = 0; i < 10; i++) {
                struct sg_pick p = pick(&f, 0, 4); /* tried: as if there were a third that has failed */

                assert_int_equal(p.index, 1);
                p = pick(&f, 0, 0);
                n_trials += p.is_trial;
                assert_true(p.is_trial == (p.index == 0));
        }
        assert_int_equal(n_trials, 1);
        fleet_end(&f);
}

static void test_text_is_cut_and_may_be_missing(void **state)
{
        char much[1000];
        struct sg_pick p;
        struct fleet f;

        memset(much, 'x', sizeof(much));
        much[sizeof(much) - 1] = '\0';
        fleet_begin(&f, SG_BALANCE_ROUND_ROBIN, WEIGHTS(1));
        f.service.breaker_failures = 1;
        fleet_configure(&f, 1, WEIGHTS(1));
        p = pick(&f, 0, 0);
        assert_int_equal(sg_backends_done(f.backends, &p, SG_BACKEND_ERROR, f.now_usec, much), SG_BACKEND_TURN_TRIPPED);
        assert_int_equal(strncmp(view(&f, 0).text, "1 failure in a row, last: xxx", 29), 0);
        assert_in_range(strlen(view(&f, 0).text), 100, SG_BACKEND_TEXT_BYTES - 1);
        sg_backends_set_drained(f.backends, 0, false);
        p = pick(&f, 0, 0);
        sg_backends_done(f.backends, &p, SG_BACKEND_UNREACHABLE, f.now_usec, NULL);
        assert_string_equal(view(&f, 0).text, "1 failure in a row, last: unreachable");
        fleet_end(&f);
}

/* ---- the budget */

static unsigned count_retries(struct fleet *f)
{
        unsigned n = 0;

        while (n < 100000 && sg_backends_may_retry(f->backends, f->now_usec))
                n++;
        return n;
}

static void serve(struct fleet *f, unsigned n)
{
        for (unsigned i = 0; i < n; i++) {
                sg_backends_begin(f->backends, f->now_usec);
                done(f, pick(f, 0, 0), SG_BACKEND_OK);
        }
}

static void test_a_few_retries_in_any_case(void **state)
{
        struct fleet f;

        fleet_begin(&f, SG_BALANCE_ROUND_ROBIN, WEIGHTS(1));
        f.now_usec -= f.now_usec % SEC;
        for (unsigned i = 0; i < 40; i++) {
                assert_int_equal(count_retries(&f), 3);
                f.now_usec += SEC;
        }
        f.service.retry_percent = 0;
        fleet_configure(&f, 1, WEIGHTS(1));
        serve(&f, 1000);
        assert_int_equal(count_retries(&f), 3);
        fleet_end(&f);
}

static void test_retries_are_a_share_of_what_was_asked(void **state)
{
        struct fleet f;

        fleet_begin(&f, SG_BALANCE_ROUND_ROBIN, WEIGHTS(3, 1));
        f.now_usec -= f.now_usec % SEC;
        serve(&f, 500);
        f.now_usec += SEC;
        serve(&f, 500);
        /* They are not picked here: with 20 %, 166 of 1000 picks are a fifth of the 834 others. */
        assert_int_equal(count_retries(&f), 166);
        f.now_usec += 4 * SEC;
        assert_int_equal(count_retries(&f), 3);
        f.now_usec += 5 * SEC - 1; /* of the second in which the retries were */
        assert_int_equal(count_retries(&f), 3);
        fleet_end(&f);
}

static void test_what_is_long_ago_gives_no_retries(void **state)
{
        struct fleet f;

        fleet_begin(&f, SG_BALANCE_ROUND_ROBIN, WEIGHTS(1));
        f.now_usec -= f.now_usec % SEC;
        serve(&f, 1200);
        f.now_usec += 9 * SEC;
        assert_int_equal(count_retries(&f), 200);
        f.now_usec += SEC;
        assert_int_equal(count_retries(&f), 3);
        f.now_usec += 60 * SEC;
        serve(&f, 60);
        assert_int_equal(count_retries(&f), 10);
        fleet_end(&f);
}

/* ---- threads */

#define N_THREADS 4u
#define N_ROUNDS  20000u

struct crowd {
        struct fleet fleet;
        _Atomic unsigned n_in_trial, n_trials, n_tripped, n_returned, n_retries;
        _Atomic bool is_over;
};

static void *many_requests(void *at)
{
        struct crowd *c = at;
        struct sg_backends *b = c->fleet.backends;
        uint64_t wait_usec;

        for (unsigned i = 0; i < N_ROUNDS; i++) {
                struct sg_pick p;

                sg_backends_begin(b, c->fleet.now_usec + i);
                if (sg_backends_pick(b, i, 0, c->fleet.now_usec + i, &p, &wait_usec))
                        continue;
                sg_backends_done(b, &p, i % 7 == 0 ? SG_BACKEND_BROKEN : SG_BACKEND_OK, c->fleet.now_usec + i,
                                 i % 2 ? "one text, which is not short" : "another one");
                if (i % 5 == 0)
                        sg_backends_may_retry(b, c->fleet.now_usec + i);
        }
        return NULL;
}

static void *look_and_change(void *at)
{
        struct crowd *c = at;
        struct sg_backends *b = c->fleet.backends;

        while (!atomic_load(&c->is_over)) {
                for (unsigned i = 0; i < sg_backends_count(b); i++) {
                        struct sg_backend_view v;

                        sg_backends_view(b, i, c->fleet.now_usec, &v);
                        SG_ASSERT(memchr(v.text, 0, sizeof(v.text)));
                        sg_backends_set_health(b, i, i != 1, "refused");
                        sg_backends_set_drained(b, 2, i == 0);
                }
        }
        return NULL;
}

static void run_crowd(struct crowd *c, void *(*run)(void *), void *(*meanwhile)(void *))
{
        pthread_t threads[N_THREADS], other;

        if (meanwhile)
                assert_int_equal(pthread_create(&other, NULL, meanwhile, c), 0);
        for (unsigned i = 0; i < N_THREADS; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, run, c), 0);
        for (unsigned i = 0; i < N_THREADS; i++)
                assert_int_equal(pthread_join(threads[i], NULL), 0);
        atomic_store(&c->is_over, true);
        if (meanwhile)
                assert_int_equal(pthread_join(other, NULL), 0);
}

static void test_many_threads(void **state)
{
        for (unsigned balance = 0; balance < SG_BALANCE_N; balance++) {
                struct crowd c = {0};

                fleet_begin(&c.fleet, balance, WEIGHTS(3, 1, 2, 1));
                run_crowd(&c, many_requests, look_and_change);
                for (unsigned i = 0; i < 4; i++)
                        assert_int_equal(view(&c.fleet, i).n_outstanding, 0);
                fleet_end(&c.fleet);
        }
}

static void *share_exactly(void *at)
{
        struct crowd *c = at;

        for (unsigned i = 0; i < N_ROUNDS; i++)
                done(&c->fleet, pick(&c->fleet, 0, 0), SG_BACKEND_OK);
        return NULL;
}

static void test_threads_share_rounds_exactly(void **state)
{
        struct crowd c = {0};

        fleet_begin(&c.fleet, SG_BALANCE_ROUND_ROBIN, WEIGHTS(5, 2, 1));
        run_crowd(&c, share_exactly, NULL);
        assert_int_equal(view(&c.fleet, 0).n_picked, N_THREADS * N_ROUNDS / 8 * 5);
        assert_int_equal(view(&c.fleet, 1).n_picked, N_THREADS * N_ROUNDS / 8 * 2);
        assert_int_equal(view(&c.fleet, 2).n_picked, N_THREADS * N_ROUNDS / 8);
        fleet_end(&c.fleet);
}

/* Each wants to be the trial; each trial ends in one of three ways, of which two let the next one begin. */
static void *try_it(void *at)
{
        static const enum sg_backend_result ends[] = {SG_BACKEND_NEUTRAL, SG_BACKEND_OK, SG_BACKEND_BROKEN};
        struct crowd *c = at;
        uint64_t wait_usec;

        for (unsigned i = 0; i < N_ROUNDS; i++) {
                const uint64_t now_usec = c->fleet.now_usec + i * 1000;
                enum sg_backend_turn turn;
                struct sg_pick p;

                if (sg_backends_pick(c->fleet.backends, 0, 0, now_usec, &p, &wait_usec))
                        continue;
                if (p.is_trial) {
                        SG_ASSERT(atomic_fetch_add(&c->n_in_trial, 1) == 0);
                        atomic_fetch_add(&c->n_trials, 1);
                        atomic_fetch_sub(&c->n_in_trial, 1);
                }
                turn = sg_backends_done(c->fleet.backends, &p, p.is_trial ? ends[i % 3] : SG_BACKEND_BROKEN, now_usec,
                                        "");
                atomic_fetch_add(&c->n_tripped, turn == SG_BACKEND_TURN_TRIPPED);
                atomic_fetch_add(&c->n_returned, turn == SG_BACKEND_TURN_RETURNED);
        }
        return NULL;
}

static void test_one_trial_at_a_time(void **state)
{
        struct crowd c = {0};
        unsigned n_tripped, n_returned;

        fleet_begin(&c.fleet, SG_BALANCE_ROUND_ROBIN, WEIGHTS(1));
        c.fleet.service.breaker_usec = 1000;
        c.fleet.service.connect_timeout_usec = 3600 * SEC; /* none is ever taken for lost */
        fleet_configure(&c.fleet, 1, WEIGHTS(1));
        run_crowd(&c, try_it, NULL);
        n_tripped = atomic_load(&c.n_tripped);
        n_returned = atomic_load(&c.n_returned);
        assert_true(atomic_load(&c.n_trials) > 0 && n_returned > 0);
        assert_true(n_tripped == n_returned || n_tripped == n_returned + 1);
        fleet_end(&c.fleet);
}

static void *retry_at_once(void *at)
{
        struct crowd *c = at;

        for (unsigned i = 0; i < 1000; i++)
                atomic_fetch_add(&c->n_retries, sg_backends_may_retry(c->fleet.backends, c->fleet.now_usec));
        return NULL;
}

static void test_threads_do_not_overdraw_the_budget(void **state)
{
        struct crowd c = {0};

        fleet_begin(&c.fleet, SG_BALANCE_ROUND_ROBIN, WEIGHTS(1));
        serve(&c.fleet, 600);
        run_crowd(&c, retry_at_once, NULL);
        assert_int_equal(atomic_load(&c.n_retries), 100);
        fleet_end(&c.fleet);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_faults_in_a_row_trip),
                cmocka_unit_test(test_trial_that_goes_well_returns_it),
                cmocka_unit_test(test_each_failed_trial_doubles_up_to_16_times),
                cmocka_unit_test(test_trial_that_says_nothing_makes_way),
                cmocka_unit_test(test_lost_trial_does_not_block),
                cmocka_unit_test(test_long_answer_returns_it_at_its_head),
                cmocka_unit_test(test_news_of_before_does_not_return_it),
                cmocka_unit_test(test_admin_and_reload_close_it),
                cmocka_unit_test(test_others_serve_meanwhile),
                cmocka_unit_test(test_text_is_cut_and_may_be_missing),
                cmocka_unit_test(test_a_few_retries_in_any_case),
                cmocka_unit_test(test_retries_are_a_share_of_what_was_asked),
                cmocka_unit_test(test_what_is_long_ago_gives_no_retries),
                cmocka_unit_test(test_many_threads),
                cmocka_unit_test(test_threads_share_rounds_exactly),
                cmocka_unit_test(test_one_trial_at_a_time),
                cmocka_unit_test(test_threads_do_not_overdraw_the_budget),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
