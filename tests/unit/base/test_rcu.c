#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "common.h"

#include "base/rcu.h"
#include "base/thread.h"

#define READERS 3
#define WRITES  2000

struct thing {
        uint64_t a, b; /* always equal in a thing that lives */
        struct sg_rcu_head rcu;
};

static struct thing *_Atomic current;
static _Atomic bool is_over;
static _Atomic unsigned n_ready;
static unsigned n_freed; /* written by callbacks, read after the barrier: ThreadSanitizer checks the order */

static struct thing *thing_new(uint64_t v)
{
        struct thing *t = malloc(sizeof(*t));

        assert_non_null(t);
        t->a = t->b = v;
        return t;
}

static void thing_free(struct sg_rcu_head *at)
{
        struct thing *t = SG_CONTAINER(at, struct thing, rcu);

        t->a = 1; /* what a reader that is still here would see */
        t->b = 2;
        free(t);
        n_freed++;
}

static void *read_until_over(void *arg)
{
        uint64_t last = 0;
        uintptr_t n_wrong = 0;

        sg_rcu_register();
        atomic_fetch_add(&n_ready, 1);
        for (unsigned turn = 0; !atomic_load(&is_over); turn++) {
                const struct thing *t = atomic_load_explicit(&current, memory_order_acquire);

                n_wrong += t->a != t->b || t->a < last;
                last = t->a;
                sg_rcu_quiescent();
                if (turn % 64 == 0) {
                        sg_rcu_offline();
                        sched_yield();
                        sg_rcu_online();
                }
        }
        sg_rcu_unregister();
        return (void *)n_wrong;
}

static void replace(uint64_t v)
{
        struct thing *old = atomic_exchange_explicit(&current, thing_new(v), memory_order_acq_rel);

        sg_rcu_call(&old->rcu, thing_free);
}

static void test_readers_never_see_what_was_freed(void **state)
{
        pthread_t threads[READERS];

        n_freed = 0;
        atomic_store(&current, thing_new(0));
        for (int i = 0; i < READERS; i++)
                assert_int_equal(sg_thread_start(&threads[i], "reader", read_until_over, NULL), 0);
        while (atomic_load(&n_ready) < READERS)
                sched_yield();
        for (uint64_t v = 1; v <= WRITES; v++) {
                replace(v);
                if (v % 16 == 0)
                        sched_yield();
        }
        atomic_store(&is_over, true);
        for (int i = 0; i < READERS; i++) {
                void *n_wrong;

                assert_int_equal(pthread_join(threads[i], &n_wrong), 0);
                assert_null(n_wrong);
        }
        sg_rcu_barrier();
        assert_int_equal(n_freed, WRITES);
        free(atomic_load(&current));
}

static void test_barrier_of_an_online_reader_does_not_wait_for_itself(void **state)
{
        n_freed = 0;
        sg_rcu_register();
        atomic_store(&current, thing_new(0));
        replace(1);
        sg_rcu_barrier();
        assert_int_equal(n_freed, 1);
        sg_rcu_quiescent(); /* online again */
        sg_rcu_unregister();
        free(atomic_load(&current));
}

/* What a reader holds is not freed before it says that it has let go. */
static _Atomic int step;

static void *hold(void *arg)
{
        const struct thing *t;
        uintptr_t sum;

        sg_rcu_register();
        t = atomic_load_explicit(&current, memory_order_acquire);
        atomic_store(&step, 1);
        while (atomic_load(&step) != 2)
                sched_yield();
        sum = (uintptr_t)(t->a + t->b);
        sg_rcu_unregister();
        return (void *)sum;
}

static void test_a_held_thing_lives_until_its_reader_passes(void **state)
{
        pthread_t thread;
        void *sum;

        n_freed = 0;
        atomic_store(&current, thing_new(21));
        assert_int_equal(sg_thread_start(&thread, "holder", hold, NULL), 0);
        while (atomic_load(&step) != 1)
                sched_yield();
        replace(22);
        atomic_store(&step, 2);
        assert_int_equal(pthread_join(thread, &sum), 0);
        assert_int_equal((uintptr_t)sum, 42);
        sg_rcu_barrier();
        assert_int_equal(n_freed, 1);
        free(atomic_load(&current));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_readers_never_see_what_was_freed),
                cmocka_unit_test(test_barrier_of_an_online_reader_does_not_wait_for_itself),
                cmocka_unit_test(test_a_held_thing_lives_until_its_reader_passes),
        };

        return cmocka_run_group_tests_name("base rcu", tests, NULL, NULL);
}
