/*
 * Letters are pushed on a stack by compare-and-swap and taken all at once, so that no letter can be lost, met twice or
 * reused under a poster's hands. Taken, the stack is turned over: letters of one poster come in the order posted.
 * Only who finds the stack empty wakes the loop.
 */
#include <errno.h>
#include <stdlib.h>

#include "loop/internal.h"

struct sg_mailbox {
        _Atomic(struct sg_letter *) newest;
        struct sg_loop *loop;
        struct sg_link link; /* of loop->mailboxes */
        void (*on_letter)(struct sg_letter *letter, void *owner);
        void *owner;
};

int sg_mailbox_new(struct sg_mailbox **ret, struct sg_loop *l, void (*on_letter)(struct sg_letter *letter, void *owner),
                   void *owner)
{
        struct sg_mailbox *m;

        SG_ASSERT(sg_loop_is_mine(l));
        m = calloc(1, sizeof(*m));
        if (!m)
                return -ENOMEM;
        atomic_init(&m->newest, NULL);
        m->loop = l;
        m->on_letter = on_letter;
        m->owner = owner;
        sg_list_push(&l->mailboxes, &m->link);
        *ret = m;
        return 0;
}

struct sg_mailbox *sg_mailbox_at(struct sg_link *k)
{
        return SG_CONTAINER(k, struct sg_mailbox, link);
}

void sg_mailbox_empty(struct sg_mailbox *m)
{
        struct sg_letter *newest, *oldest = NULL;

        if (!atomic_load_explicit(&m->newest, memory_order_relaxed))
                return;
        newest = atomic_exchange_explicit(&m->newest, NULL, memory_order_acquire);
        while (newest) {
                struct sg_letter *next = newest->next;

                newest->next = oldest;
                oldest = newest;
                newest = next;
        }
        while (oldest) {
                struct sg_letter *letter = oldest;

                oldest = letter->next;
                letter->next = NULL;
                m->on_letter(letter, m->owner);
        }
}

struct sg_mailbox *sg_mailbox_free(struct sg_mailbox *m)
{
        if (!m)
                return NULL;
        sg_mailbox_empty(m);
        sg_list_remove(&m->loop->mailboxes, &m->link);
        free(m);
        return NULL;
}

void sg_mailbox_post(struct sg_mailbox *m, struct sg_letter *letter)
{
        struct sg_letter *newest = atomic_load_explicit(&m->newest, memory_order_relaxed);

        do {
                letter->next = newest;
        } while (!atomic_compare_exchange_weak_explicit(&m->newest, &newest, letter, memory_order_release,
                                                        memory_order_relaxed));
        if (!newest)
                sg_loop_wake(m->loop);
}
