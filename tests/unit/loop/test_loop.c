#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "loop/loop.h"

struct job {
        struct sg_deferred deferred;
        struct sg_loop *loop;
        unsigned n_runs, n_again;
        uint64_t saw_usec;
};

static void run_job(struct sg_deferred *d)
{
        struct job *j = SG_CONTAINER(d, struct job, deferred);

        j->n_runs++;
        j->saw_usec = sg_loop_now_usec(j->loop);
        if (j->n_runs < j->n_again)
                sg_loop_defer(j->loop, d);
        else
                sg_loop_stop(j->loop);
}

static void test_deferred_work_runs_once(void **state)
{
        SG_AUTO(sg_loop_free) struct sg_loop *l = NULL;
        struct job j = {.deferred.run = run_job};

        assert_int_equal(sg_loop_new(&l), 0);
        j.loop = l;
        sg_loop_defer(l, &j.deferred);
        sg_loop_defer(l, &j.deferred);
        sg_loop_run(l, SG_USEC_NEVER, NULL, NULL);
        assert_int_equal(j.n_runs, 1);
}

static void test_undeferred_work_does_not_run(void **state)
{
        SG_AUTO(sg_loop_free) struct sg_loop *l = NULL;
        struct job j = {.deferred.run = run_job}, other = {.deferred.run = run_job};

        assert_int_equal(sg_loop_new(&l), 0);
        j.loop = other.loop = l;
        sg_loop_defer(l, &j.deferred);
        sg_loop_defer(l, &other.deferred);
        sg_loop_undefer(l, &j.deferred);
        sg_loop_run(l, SG_USEC_NEVER, NULL, NULL);
        assert_int_equal(j.n_runs, 0);
        assert_int_equal(other.n_runs, 1);
}

static void count(void *owner)
{
        ++*(unsigned *)owner;
}

static void test_work_that_defers_itself_does_not_hold_the_turn(void **state)
{
        SG_AUTO(sg_loop_free) struct sg_loop *l = NULL;
        struct job j = {.deferred.run = run_job, .n_again = 10000};
        unsigned n_turns = 0;

        assert_int_equal(sg_loop_new(&l), 0);
        j.loop = l;
        sg_loop_defer(l, &j.deferred);
        sg_loop_run(l, SG_USEC_NEVER, count, &n_turns);
        assert_int_equal(j.n_runs, 10000);
        assert_in_range(n_turns, 5, 100);
}

static void test_deferred_work_runs_before_the_loop_is_freed(void **state)
{
        struct sg_loop *l = NULL;
        struct job j = {.deferred.run = run_job};

        assert_int_equal(sg_loop_new(&l), 0);
        j.loop = l;
        sg_loop_defer(l, &j.deferred);
        sg_loop_free(l);
        assert_int_equal(j.n_runs, 1);
}

struct turns {
        struct sg_loop *loop;
        unsigned n, n_max;
};

static void stop_after(void *owner)
{
        struct turns *t = owner;

        if (++t->n == t->n_max)
                sg_loop_stop(t->loop);
}

static void test_turns_come_at_least_every_max_wait(void **state)
{
        SG_AUTO(sg_loop_free) struct sg_loop *l = NULL;
        struct turns t = {.n_max = 5};
        uint64_t before;

        assert_int_equal(sg_loop_new(&l), 0);
        t.loop = l;
        before = sg_clock_usec();
        sg_loop_run(l, 10 * SG_USEC_PER_MSEC, stop_after, &t);
        assert_int_equal(t.n, 5);
        assert_in_range(sg_clock_usec() - before, 20 * SG_USEC_PER_MSEC, 2 * SG_USEC_PER_SEC);
}

static void test_time_stands_still_within_a_turn(void **state)
{
        SG_AUTO(sg_loop_free) struct sg_loop *l = NULL;
        struct job a = {.deferred.run = run_job}, b = {.deferred.run = run_job};

        assert_int_equal(sg_loop_new(&l), 0);
        a.loop = b.loop = l;
        sg_loop_defer(l, &a.deferred);
        sg_loop_defer(l, &b.deferred);
        sg_loop_run(l, SG_USEC_NEVER, NULL, NULL);
        assert_int_equal(b.n_runs, 1);
        assert_true(a.saw_usec == b.saw_usec && a.saw_usec > 0);
}

static void *stop_it(void *arg)
{
        struct sg_loop *l = arg;

        assert_false(sg_loop_is_mine(l));
        sg_loop_stop_soon(l);
        return NULL;
}

static void start_stopper(struct sg_deferred *d)
{
        struct job *j = SG_CONTAINER(d, struct job, deferred);
        pthread_t thread;

        assert_true(sg_loop_is_mine(j->loop));
        assert_int_equal(pthread_create(&thread, NULL, stop_it, j->loop), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
}

static void test_another_thread_can_stop_it(void **state)
{
        SG_AUTO(sg_loop_free) struct sg_loop *l = NULL;
        struct job j = {.deferred.run = start_stopper};

        assert_int_equal(sg_loop_new(&l), 0);
        j.loop = l;
        sg_loop_defer(l, &j.deferred);
        sg_loop_run(l, SG_USEC_NEVER, NULL, NULL);
        assert_true(sg_loop_is_mine(l));
}

static void test_stop_before_run_returns_at_once(void **state)
{
        SG_AUTO(sg_loop_free) struct sg_loop *l = NULL;
        struct job j = {.deferred.run = run_job};

        assert_int_equal(sg_loop_new(&l), 0);
        j.loop = l;
        sg_loop_stop_soon(l);
        sg_loop_run(l, SG_USEC_NEVER, NULL, NULL);
        /* and it may be run again */
        sg_loop_defer(l, &j.deferred);
        sg_loop_run(l, SG_USEC_NEVER, NULL, NULL);
        assert_int_equal(j.n_runs, 1);
}

struct signal_watch {
        struct sg_loop *loop;
        struct sg_signals *signals;
        int last;
        bool frees;
};

static void on_signal(int signal, void *owner)
{
        struct signal_watch *w = owner;

        w->last = signal;
        if (w->frees)
                w->signals = sg_signals_free(w->signals);
        sg_loop_stop(w->loop);
}

static void test_signal_is_told_in_the_loop(void **state)
{
        SG_AUTO(sg_loop_free) struct sg_loop *l = NULL;
        struct signal_watch w = {.last = 0};

        assert_int_equal(sg_loop_new(&l), 0);
        w.loop = l;
        assert_int_equal(sg_signals_new(&w.signals, l, (int[]){SIGHUP, SIGTERM}, 2, on_signal, &w), 0);
        assert_int_equal(kill(getpid(), SIGHUP), 0);
        sg_loop_run(l, SG_USEC_NEVER, NULL, NULL);
        assert_int_equal(w.last, SIGHUP);
        w.frees = true;
        assert_int_equal(kill(getpid(), SIGTERM), 0);
        sg_loop_run(l, SG_USEC_NEVER, NULL, NULL);
        assert_int_equal(w.last, SIGTERM);
        assert_null(w.signals);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_deferred_work_runs_once),
                cmocka_unit_test(test_undeferred_work_does_not_run),
                cmocka_unit_test(test_work_that_defers_itself_does_not_hold_the_turn),
                cmocka_unit_test(test_deferred_work_runs_before_the_loop_is_freed),
                cmocka_unit_test(test_turns_come_at_least_every_max_wait),
                cmocka_unit_test(test_time_stands_still_within_a_turn),
                cmocka_unit_test(test_another_thread_can_stop_it),
                cmocka_unit_test(test_stop_before_run_returns_at_once),
                cmocka_unit_test(test_signal_is_told_in_the_loop),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
