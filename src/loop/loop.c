/*
 * One turn is: wait, the callbacks of what is ready, the deferred work, after_turn. libevent 2.1 has no hook around its
 * wait, so the turn's time is read when it is first asked for and forgotten before the next wait; a turn that asks no
 * time reads no clock.
 *
 * The wake-up is an eventfd that nobody reads: it is watched edge-triggered, and each write is an edge of its own,
 * however high the counter stands (it would take 2^64 writes to fill it). That saves one system call per wake-up.
 */
#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "loop/internal.h"

/* Work that defers itself again and again must not keep the loop from its descriptors. */
#define DEFERRED_PER_TURN_MIN 1024u

static _Thread_local const struct sg_loop *running_here;

struct timeval sg_loop_timeval(uint64_t usec)
{
        /* An "endless" wait must fit in a time_t after libevent has added its own time. */
        usec = SG_MIN(usec, UINT64_C(1) << 52);
        usec = SG_MAX(usec, UINT64_C(1));
        return (struct timeval){.tv_sec = (time_t)(usec / SG_USEC_PER_SEC),
                                .tv_usec = (suseconds_t)(usec % SG_USEC_PER_SEC)};
}

static int base_new(struct event_base **ret)
{
        struct event_config *config;

        config = event_config_new();
        if (!config)
                return -ENOMEM;
        /* Early close is EPOLLRDHUP, which a paused connection's hang-up is told by. */
        if (event_config_require_features(config, EV_FEATURE_EARLY_CLOSE | EV_FEATURE_ET | EV_FEATURE_O1) ||
            event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK)) {
                event_config_free(config);
                return -ENOMEM;
        }
        *ret = event_base_new_with_config(config);
        event_config_free(config);
        return *ret ? 0 : -EOPNOTSUPP;
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
        struct sg_loop *l = arg;

        SG_LIST_EACH (&l->mailboxes, k)
                sg_mailbox_empty(sg_mailbox_at(k));
}

static void on_max_wait(evutil_socket_t fd, short what, void *arg)
{
        /* That the turn ends is all that it is for. */
}

int sg_loop_new(struct sg_loop **ret)
{
        SG_AUTO(sg_loop_free) struct sg_loop *l = NULL;
        int r;

        l = calloc(1, sizeof(*l));
        if (!l)
                return -ENOMEM;
        l->wake_fd = -1;
        sg_list_init(&l->deferred);
        sg_list_init(&l->mailboxes);
        r = base_new(&l->base);
        if (r)
                return r;
        l->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (l->wake_fd < 0)
                return -errno;
        event_assign(&l->wake, l->base, l->wake_fd, EV_READ | EV_ET | EV_PERSIST, on_wake, l);
        event_assign(&l->max_wait, l->base, -1, EV_PERSIST, on_max_wait, l);
        if (event_add(&l->wake, NULL))
                return -ENOMEM;
        *ret = SG_GIVE(l);
        return 0;
}

static void run_deferred(struct sg_loop *l, size_t n_max)
{
        struct sg_link *k;

        for (size_t i = 0; i < n_max && (k = sg_list_pop(&l->deferred)); i++) {
                struct sg_deferred *d = SG_CONTAINER(k, struct sg_deferred, link);

                d->run(d);
        }
}

struct sg_loop *sg_loop_free(struct sg_loop *l)
{
        if (!l)
                return NULL;
        SG_ASSERT(!atomic_load(&l->is_running));
        run_deferred(l, SIZE_MAX);
        SG_ASSERT(sg_list_is_empty(&l->mailboxes));
        if (l->wake_fd >= 0) {
                event_del(&l->wake);
                event_del(&l->max_wait);
                close(l->wake_fd);
        }
        if (l->base)
                event_base_free(l->base);
        free(l->scratch);
        free(l);
        return NULL;
}

static void bound_wait(struct sg_loop *l, uint64_t max_wait_usec)
{
        struct timeval tv = sg_loop_timeval(max_wait_usec);

        event_del(&l->max_wait);
        if (max_wait_usec != SG_USEC_NEVER)
                SG_ASSERT(event_add(&l->max_wait, &tv) == 0);
}

void sg_loop_run(struct sg_loop *l, uint64_t max_wait_usec, void (*after_turn)(void *owner), void *owner)
{
        SG_ASSERT(!atomic_exchange(&l->is_running, true));
        running_here = l;
        bound_wait(l, max_wait_usec);
        while (!atomic_load_explicit(&l->is_stopping, memory_order_acquire)) {
                int how = sg_list_is_empty(&l->deferred) ? EVLOOP_ONCE : EVLOOP_ONCE | EVLOOP_NONBLOCK;

                l->now_usec = 0;
                SG_ASSERT(event_base_loop(l->base, how) >= 0);
                run_deferred(l, SG_MAX(l->deferred.n * 2, (size_t)DEFERRED_PER_TURN_MIN));
                if (after_turn)
                        after_turn(owner);
        }
        /* A loop may be run again. */
        atomic_store(&l->is_stopping, false);
        running_here = NULL;
        atomic_store(&l->is_running, false);
}

void sg_loop_stop(struct sg_loop *l)
{
        SG_ASSERT(sg_loop_is_mine(l));
        atomic_store_explicit(&l->is_stopping, true, memory_order_release);
}

void sg_loop_wake(struct sg_loop *l)
{
        const uint64_t one = 1;
        int saved = errno;

        /* EAGAIN means a counter at its end: the edge has been seen long before. */
        (void)!write(l->wake_fd, &one, sizeof(one));
        errno = saved;
}

void sg_loop_stop_soon(struct sg_loop *l)
{
        atomic_store_explicit(&l->is_stopping, true, memory_order_release);
        sg_loop_wake(l);
}

uint64_t sg_loop_now_usec(const struct sg_loop *l)
{
        if (l->now_usec == 0)
                ((struct sg_loop *)l)->now_usec = sg_clock_usec();
        return l->now_usec;
}

bool sg_loop_is_mine(const struct sg_loop *l)
{
        return running_here == l || !atomic_load_explicit(&l->is_running, memory_order_relaxed);
}

char *sg_loop_scratch(struct sg_loop *l)
{
        if (!l->scratch)
                l->scratch = malloc(SG_LOOP_SCRATCH_BYTES);
        return l->scratch;
}

void sg_loop_defer(struct sg_loop *l, struct sg_deferred *d)
{
        if (!sg_link_is_on_list(&d->link))
                sg_list_push(&l->deferred, &d->link);
}

void sg_loop_undefer(struct sg_loop *l, struct sg_deferred *d)
{
        if (sg_link_is_on_list(&d->link))
                sg_list_remove(&l->deferred, &d->link);
}
