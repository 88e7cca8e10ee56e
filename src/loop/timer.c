/*
 * A connection's timers are started, moved and stopped with every message, and hardly ever fire. So moving a timer
 * later and stopping it leave libevent's heap alone: `due_usec` alone changes, and when the event fires early it is
 * armed anew for the rest, or not at all. Steady traffic does no heap work; the price is one empty turn per timeout.
 */
#include <errno.h>
#include <event2/event.h>

#include "loop/internal.h"

static void arm(struct sg_timer *t)
{
        const uint64_t now = sg_loop_now_usec(t->loop);
        const struct timeval tv = sg_loop_timeval(t->due_usec > now ? t->due_usec - now : 0);

        t->armed_usec = t->due_usec;
        SG_ASSERT(event_add(&t->event, &tv) == 0);
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
        struct sg_timer *t = arg;

        t->armed_usec = 0;
        if (t->due_usec == 0)
                return;
        /* libevent's coarse clock may also run up to 4 ms behind ours and fire early. */
        if (t->due_usec > sg_loop_now_usec(t->loop)) {
                arm(t);
                return;
        }
        t->due_usec = 0;
        t->on_time(t, t->owner);
}

int sg_timer_init(struct sg_timer *t, struct sg_loop *l, void (*on_time)(struct sg_timer *t, void *owner), void *owner)
{
        SG_ASSERT(sg_loop_is_mine(l));
        *t = (struct sg_timer){.loop = l, .on_time = on_time, .owner = owner};
        return event_assign(&t->event, l->base, -1, 0, on_event, t) ? -EINVAL : 0;
}

void sg_timer_done(struct sg_timer *t)
{
        if (!t->loop)
                return;
        if (t->armed_usec)
                event_del(&t->event);
        t->armed_usec = t->due_usec = 0;
        t->loop = NULL;
}

void sg_timer_start(struct sg_timer *t, uint64_t after_usec)
{
        const uint64_t now = sg_loop_now_usec(t->loop);

        SG_ASSERT(sg_loop_is_mine(t->loop));
        if (after_usec == SG_USEC_NEVER) {
                t->due_usec = 0;
                return;
        }
        t->due_usec = after_usec > SG_USEC_NEVER - now ? SG_USEC_NEVER : now + after_usec;
        if (t->armed_usec == 0 || t->due_usec < t->armed_usec)
                arm(t);
}

void sg_timer_stop(struct sg_timer *t)
{
        t->due_usec = 0;
}
