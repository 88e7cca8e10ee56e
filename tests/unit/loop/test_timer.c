#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loop/loop.h"

#define MSEC SG_USEC_PER_MSEC

struct watch {
        struct sg_loop *loop;
        struct sg_timer a, b;
        uint64_t began_usec, fired_usec;
        unsigned n_a, n_b, n_turns;
};

static void on_a(struct sg_timer *t, void *owner)
{
        struct watch *w = owner;

        w->n_a++;
        w->fired_usec = sg_clock_usec();
        assert_false(sg_timer_is_running(t));
}

static void on_b(struct sg_timer *t, void *owner)
{
        struct watch *w = owner;

        w->n_b++;
        sg_loop_stop(w->loop);
}

static void count_turn(void *owner)
{
        ((struct watch *)owner)->n_turns++;
}

static int setup(void **state)
{
        static struct watch w;

        w = (struct watch){.loop = NULL};
        assert_int_equal(sg_loop_new(&w.loop), 0);
        assert_int_equal(sg_timer_init(&w.a, w.loop, on_a, &w), 0);
        assert_int_equal(sg_timer_init(&w.b, w.loop, on_b, &w), 0);
        w.began_usec = sg_loop_now_usec(w.loop);
        *state = &w;
        return 0;
}

static int teardown(void **state)
{
        struct watch *w = *state;

        sg_timer_done(&w->a);
        sg_timer_done(&w->b);
        sg_loop_free(w->loop);
        return 0;
}

static void run(struct watch *w)
{
        sg_loop_run(w->loop, SG_USEC_NEVER, count_turn, w);
}

static void test_timer_fires_once_and_not_early(void **state)
{
        struct watch *w = *state;

        sg_timer_start(&w->a, 20 * MSEC);
        sg_timer_start(&w->b, 60 * MSEC);
        run(w);
        assert_int_equal(w->n_a, 1);
        assert_true(w->fired_usec - w->began_usec >= 20 * MSEC);
}

static void test_timer_moved_later_fires_late(void **state)
{
        struct watch *w = *state;

        sg_timer_start(&w->a, 10 * MSEC);
        sg_timer_start(&w->a, 50 * MSEC);
        sg_timer_start(&w->b, 120 * MSEC);
        run(w);
        assert_int_equal(w->n_a, 1);
        assert_true(w->fired_usec - w->began_usec >= 50 * MSEC);
        /* The early event, the late one, the end; the coarse clock may add a short turn to each. */
        assert_in_range(w->n_turns, 3, 8);
}

static void test_timer_moved_earlier_fires_early(void **state)
{
        struct watch *w = *state;

        sg_timer_start(&w->a, 500 * MSEC);
        sg_timer_start(&w->a, 10 * MSEC);
        sg_timer_start(&w->b, 100 * MSEC);
        run(w);
        assert_int_equal(w->n_a, 1);
}

static void test_stopped_timer_is_silent(void **state)
{
        struct watch *w = *state;

        sg_timer_start(&w->a, 10 * MSEC);
        assert_true(sg_timer_is_running(&w->a));
        sg_timer_stop(&w->a);
        assert_false(sg_timer_is_running(&w->a));
        sg_timer_start(&w->b, 40 * MSEC);
        run(w);
        assert_int_equal(w->n_a, 0);
}

static void test_timer_can_be_started_after_it_was_stopped(void **state)
{
        struct watch *w = *state;

        sg_timer_start(&w->a, 10 * MSEC);
        sg_timer_stop(&w->a);
        sg_timer_start(&w->a, 30 * MSEC);
        sg_timer_start(&w->b, 90 * MSEC);
        run(w);
        assert_int_equal(w->n_a, 1);
        assert_true(w->fired_usec - w->began_usec >= 30 * MSEC);
}

static void test_timer_of_zero_fires_in_a_later_turn(void **state)
{
        struct watch *w = *state;

        sg_timer_start(&w->a, 0);
        sg_timer_start(&w->b, 30 * MSEC);
        run(w);
        assert_int_equal(w->n_a, 1);
}

static void test_timer_of_never_does_not_run(void **state)
{
        struct watch *w = *state;

        sg_timer_start(&w->a, SG_USEC_NEVER);
        assert_false(sg_timer_is_running(&w->a));
        sg_timer_start(&w->a, SG_USEC_NEVER - 1);
        assert_true(sg_timer_is_running(&w->a));
        sg_timer_start(&w->b, 10 * MSEC);
        run(w);
        assert_int_equal(w->n_a, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_timer_fires_once_and_not_early),
                TEST(test_timer_moved_later_fires_late),
                TEST(test_timer_moved_earlier_fires_early),
                TEST(test_stopped_timer_is_silent),
                TEST(test_timer_can_be_started_after_it_was_stopped),
                TEST(test_timer_of_zero_fires_in_a_later_turn),
                TEST(test_timer_of_never_does_not_run),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
