/*
 * A connection's timers are started, moved and stopped with every message, and hardly ever fire. So moving a timer
 * later and stopping it change `due_usec` alone; its place in the heap is looked at when it comes up, and moved then, or
 * given up. Steady traffic does next to no heap work; the price is an empty turn now and then.
 *
 * Room for a timer's place in the heap is made when the timer is, so that starting one cannot fail.
 */
#include <errno.h>
#include <stdlib.h>

#include "loop/internal.h"

#define ROOM_MIN 64u

/* ---- the heap: every timer is armed not earlier than the one at half its place */

static void put_at(struct sg_loop *l, size_t at, struct sg_timer *t)
{
        l->timers[at] = t;
        t->heap_at = at;
}

static void move_up(struct sg_loop *l, struct sg_timer *t)
{
        size_t at = t->heap_at;

        while (at > 1 && l->timers[at / 2]->armed_usec > t->armed_usec) {
                put_at(l, at, l->timers[at / 2]);
                at /= 2;
        }
        put_at(l, at, t);
}

static void move_down(struct sg_loop *l, struct sg_timer *t)
{
        size_t at = t->heap_at;

        for (;;) {
                size_t next = 2 * at;

                if (next < l->n_timers && l->timers[next + 1]->armed_usec < l->timers[next]->armed_usec)
                        next++;
                if (next > l->n_timers || l->timers[next]->armed_usec >= t->armed_usec)
                        break;
                put_at(l, at, l->timers[next]);
                at = next;
        }
        put_at(l, at, t);
}

static void take_out(struct sg_timer *t)
{
        struct sg_loop *l = t->loop;
        struct sg_timer *last = l->timers[l->n_timers--];

        if (last != t) {
                put_at(l, t->heap_at, last);
                move_up(l, last);
                move_down(l, last);
        }
        t->heap_at = 0;
}

uint64_t sg_loop_next_timer_usec(const struct sg_loop *l)
{
        return l->n_timers ? l->timers[1]->armed_usec : SG_USEC_NEVER;
}

void sg_loop_run_timers(struct sg_loop *l)
{
        const uint64_t now = l->n_timers ? sg_loop_now_usec(l) : 0;

        while (l->n_timers && l->timers[1]->armed_usec <= now) {
                struct sg_timer *t = l->timers[1];

                if (t->due_usec > t->armed_usec) {
                        t->armed_usec = t->due_usec;
                        move_down(l, t);
                        continue;
                }
                take_out(t);
                if (t->due_usec) {
                        t->due_usec = 0;
                        t->on_time(t, t->owner);
                }
        }
}

/* ---- timers */

int sg_timer_init(struct sg_timer *t, struct sg_loop *l, void (*on_time)(struct sg_timer *t, void *owner), void *owner)
{
        SG_ASSERT(sg_loop_is_mine(l));
        if (l->n_timers_known + 1 >= l->timers_room) { /* nothing is at 0 */
                size_t room = SG_MAX(2 * l->timers_room, (size_t)ROOM_MIN);
                struct sg_timer **timers = reallocarray(l->timers, room, sizeof(struct sg_timer *));

                if (!timers)
                        return -ENOMEM;
                l->timers = timers;
                l->timers_room = room;
        }
        l->n_timers_known++;
        *t = (struct sg_timer){.loop = l, .on_time = on_time, .owner = owner};
        return 0;
}

void sg_timer_done(struct sg_timer *t)
{
        if (!t->loop)
                return;
        if (t->heap_at)
                take_out(t);
        t->loop->n_timers_known--;
        t->armed_usec = t->due_usec = 0;
        t->loop = NULL;
}

void sg_timer_start(struct sg_timer *t, uint64_t after_usec)
{
        struct sg_loop *l = t->loop;
        const uint64_t now = sg_loop_now_usec(l);

        SG_ASSERT(sg_loop_is_mine(l));
        if (after_usec == SG_USEC_NEVER) {
                t->due_usec = 0;
                return;
        }
        after_usec = SG_MAX(after_usec, UINT64_C(1)); /* of 0 it would be handled in this very turn, over and over */
        t->due_usec = after_usec > SG_USEC_NEVER - now ? SG_USEC_NEVER : now + after_usec;
        if (!t->heap_at)
                t->heap_at = ++l->n_timers;
        else if (t->due_usec >= t->armed_usec)
                return;
        t->armed_usec = t->due_usec;
        move_up(l, t);
}

void sg_timer_stop(struct sg_timer *t)
{
        t->due_usec = 0;
}
