#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>

#include "loop/loop.h"

#define N_THREADS 4u
#define N_LETTERS 20000u

struct note {
        struct sg_letter letter;
        unsigned from, number;
};

struct office {
        struct sg_loop *loop;
        struct sg_mailbox *box;
        unsigned next_of[N_THREADS];
        unsigned n_read, n_expected;
};

struct poster {
        struct office *office;
        unsigned id, n;
};

static void on_letter(struct sg_letter *letter, void *owner)
{
        struct note *n = SG_CONTAINER(letter, struct note, letter);
        struct office *o = owner;

        assert_int_equal(n->number, o->next_of[n->from]);
        o->next_of[n->from]++;
        free(n);
        if (++o->n_read == o->n_expected)
                sg_loop_stop(o->loop);
}

static void *post(void *arg)
{
        struct poster *p = arg;

        for (unsigned i = 0; i < p->n; i++) {
                struct note *n = calloc(1, sizeof(*n));

                n->from = p->id;
                n->number = i;
                sg_mailbox_post(p->office->box, &n->letter);
        }
        return NULL;
}

static void office_init(struct office *o)
{
        *o = (struct office){.loop = NULL};
        assert_int_equal(sg_loop_new(&o->loop), 0);
        assert_int_equal(sg_mailbox_new(&o->box, o->loop, on_letter, o), 0);
}

static void office_done(struct office *o)
{
        sg_mailbox_free(o->box);
        sg_loop_free(o->loop);
}

static void test_letters_of_each_thread_come_in_order(void **state)
{
        struct office o;
        struct poster posters[N_THREADS];
        pthread_t threads[N_THREADS];

        office_init(&o);
        o.n_expected = N_THREADS * N_LETTERS;
        for (unsigned i = 0; i < N_THREADS; i++) {
                posters[i] = (struct poster){&o, i, N_LETTERS};
                assert_int_equal(pthread_create(&threads[i], NULL, post, &posters[i]), 0);
        }
        sg_loop_run(o.loop, SG_USEC_NEVER, NULL, NULL);
        for (unsigned i = 0; i < N_THREADS; i++)
                assert_int_equal(pthread_join(threads[i], NULL), 0);
        for (unsigned i = 0; i < N_THREADS; i++)
                assert_int_equal(o.next_of[i], N_LETTERS);
        office_done(&o);
}

static void test_letters_posted_before_the_loop_runs_arrive(void **state)
{
        struct office o;

        office_init(&o);
        o.n_expected = 3;
        post(&(struct poster){&o, 0, 3});
        sg_loop_run(o.loop, SG_USEC_NEVER, NULL, NULL);
        assert_int_equal(o.n_read, 3);
        office_done(&o);
}

static void test_freeing_hands_out_what_is_left(void **state)
{
        struct office o;

        office_init(&o);
        o.n_expected = 1000;
        post(&(struct poster){&o, 0, 7});
        o.box = sg_mailbox_free(o.box);
        assert_int_equal(o.n_read, 7);
        sg_loop_free(o.loop);
}

static void test_two_mailboxes_share_a_loop(void **state)
{
        struct office o, p;

        office_init(&o);
        p = (struct office){.loop = o.loop, .n_expected = 2};
        assert_int_equal(sg_mailbox_new(&p.box, o.loop, on_letter, &p), 0);
        o.n_expected = 5;
        post(&(struct poster){&o, 1, 5});
        sg_loop_run(o.loop, SG_USEC_NEVER, NULL, NULL);
        post(&(struct poster){&p, 2, 2});
        sg_loop_run(o.loop, SG_USEC_NEVER, NULL, NULL);
        assert_int_equal(p.n_read, 2);
        assert_int_equal(o.n_read, 5);
        sg_mailbox_free(p.box);
        office_done(&o);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_letters_of_each_thread_come_in_order),
                cmocka_unit_test(test_letters_posted_before_the_loop_runs_arrive),
                cmocka_unit_test(test_freeing_hands_out_what_is_left),
                cmocka_unit_test(test_two_mailboxes_share_a_loop),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
