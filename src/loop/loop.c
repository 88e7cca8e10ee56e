/*
 * One turn is: wait, the callbacks of what is ready, the timers that are due, the deferred work, after_turn. The turn's
 * time is read when it is first asked for and forgotten before the next wait.
 *
 * The kernel puts a descriptor that is still ready behind all others that are, so that a wait that brings only some of
 * them brings each in its turn.
 *
 * The wake-up is an eventfd that nobody reads: it is watched edge-triggered, and each write is an edge of its own,
 * however high the counter stands (it would take 2^64 writes to fill it). That saves one system call per wake-up.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "loop/internal.h"

/* Work that defers itself again and again must not keep the loop from its descriptors. */
#define DEFERRED_PER_TURN_MIN 1024u

static _Thread_local const struct sg_loop *running_here;

static void on_wake(struct sg_loop *l)
{
        SG_LIST_EACH (&l->mailboxes, k)
                sg_mailbox_empty(sg_mailbox_at(k));
}

static int open_descriptors(struct sg_loop *l)
{
        struct epoll_event wake = {.events = EPOLLIN | EPOLLET, .data.ptr = l};

        l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (l->epoll_fd < 0)
                return -errno;
        l->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (l->wake_fd < 0)
                return -errno;
        return epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, l->wake_fd, &wake) ? -errno : 0;
}

int sg_loop_new(struct sg_loop **ret)
{
        SG_AUTO(sg_loop_free) struct sg_loop *l = NULL;
        int r;

        l = calloc(1, sizeof(*l));
        if (!l)
                return -ENOMEM;
        l->epoll_fd = l->wake_fd = -1;
        sg_list_init(&l->deferred);
        sg_list_init(&l->mailboxes);
        r = open_descriptors(l);
        if (r)
                return r;
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
        if (l->wake_fd >= 0)
                close(l->wake_fd);
        if (l->epoll_fd >= 0)
                close(l->epoll_fd);
        free(l->scratch);
        free(l->timers);
        free(l);
        return NULL;
}

/* Milliseconds until something is due, rounded up: a timer is never early. */
static int wait_msec(const struct sg_loop *l, uint64_t max_wait_usec)
{
        const uint64_t next = sg_loop_next_timer_usec(l);
        uint64_t wait = max_wait_usec;

        if (!sg_list_is_empty(&l->deferred))
                return 0;
        if (next != SG_USEC_NEVER) {
                const uint64_t now = sg_clock_usec();

                wait = SG_MIN(wait, next > now ? next - now : 0);
        }
        if (wait == SG_USEC_NEVER)
                return -1;
        wait = wait / SG_USEC_PER_MSEC + (wait % SG_USEC_PER_MSEC != 0);
        return (int)SG_MIN(wait, (uint64_t)INT_MAX);
}

static void wait_and_tell(struct sg_loop *l, uint64_t max_wait_usec)
{
        int n = epoll_wait(l->epoll_fd, l->ready, SG_LOOP_READY_MAX, wait_msec(l, max_wait_usec));

        SG_ASSERT(n >= 0 || errno == EINTR);
        l->now_usec = 0;
        l->at_ready = 0;
        l->n_ready = SG_MAX(n, 0);
        while (l->at_ready < l->n_ready) {
                const struct epoll_event *e = &l->ready[l->at_ready++];

                if (e->data.ptr == l)
                        on_wake(l);
                else if (e->data.ptr)
                        sg_io_tell(e->data.ptr, e->events);
        }
}

void sg_loop_run(struct sg_loop *l, uint64_t max_wait_usec, void (*after_turn)(void *owner), void *owner)
{
        SG_ASSERT(!atomic_exchange(&l->is_running, true));
        running_here = l;
        while (!atomic_load_explicit(&l->is_stopping, memory_order_acquire)) {
                wait_and_tell(l, max_wait_usec);
                sg_loop_run_timers(l);
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
