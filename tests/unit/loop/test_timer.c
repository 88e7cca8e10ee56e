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

#define N_MANY     300

struct many {
        struct sg_loop *loop;
        struct one {
                struct sg_timer t;
                struct many *all;
                uint64_t due_usec; /* 0: it may not fire */
        } timers[N_MANY];
        struct sg_timer end;
        uint64_t last_usec, random;
        unsigned n_fired;
};

static uint64_t many_random(struct many *m)
{
        m->random ^= m->random << 13;
        m->random ^= m->random >> 7;
        m->random ^= m->random << 17;
        return m->random;
}

static void many_start(struct one *o, uint64_t after_usec)
{
        o->due_usec = sg_loop_now_usec(o->all->loop) + after_usec;
        sg_timer_start(&o->t, after_usec);
}

/* Each that fires moves, stops, ends or makes another one. */
static void on_one(struct sg_timer *t, void *owner)
{
        struct one *o = owner, *other = &o->all->timers[many_random(o->all) % N_MANY];
        struct many *m = o->all;

        assert_true(o->due_usec && o->due_usec <= sg_clock_usec());
        assert_true(o->due_usec >= m->last_usec); /* in their order */
        m->last_usec = o->due_usec;
        m->n_fired++;
        o->due_usec = 0;
        if (!other->due_usec)
                return;
        switch (many_random(m) % 4) {
        case 0:
                sg_timer_stop(&other->t);
                other->due_usec = 0;
                break;
        case 1:
                sg_timer_done(&other->t);
                other->due_usec = 0;
                assert_int_equal(sg_timer_init(&other->t, m->loop, on_one, other), 0);
                break;
        default:
                many_start(other, 1 + many_random(m) % (40 * MSEC));
        }
}

static void on_many_end(struct sg_timer *t, void *owner)
{
        sg_loop_stop(((struct many *)owner)->loop);
}

static void test_many_timers_fire_in_order(void **state)
{
        static struct many m;

        m = (struct many){.random = UINT64_C(0x9e3779b97f4a7c15)};
        assert_int_equal(sg_loop_new(&m.loop), 0);
        assert_int_equal(sg_timer_init(&m.end, m.loop, on_many_end, &m), 0);
        for (size_t i = 0; i < N_MANY; i++) {
                m.timers[i].all = &m;
                assert_int_equal(sg_timer_init(&m.timers[i].t, m.loop, on_one, &m.timers[i]), 0);
        }
        for (unsigned round = 0; round < 4; round++) /* moved to and fro before any is due */
                for (size_t i = 0; i < N_MANY; i++)
                        many_start(&m.timers[i], 1 + many_random(&m) % (60 * MSEC));
        sg_timer_start(&m.end, 400 * MSEC);
        sg_loop_run(m.loop, SG_USEC_NEVER, NULL, NULL);
        assert_true(m.n_fired > N_MANY / 3);
        for (size_t i = 0; i < N_MANY; i++) {
                assert_int_equal(m.timers[i].due_usec, 0); /* none was forgotten */
                sg_timer_done(&m.timers[i].t);
        }
        sg_timer_done(&m.end);
        sg_loop_free(m.loop);
}

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
                cmocka_unit_test(test_many_timers_fire_in_order),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
