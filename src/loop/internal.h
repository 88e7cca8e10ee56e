/*
 * loop/internal.h - what the files of this room share
 *
 * Thread   the loop's, but for `is_stopping` and `wake_fd`, which any thread may write
 */
#pragma once

#include <stdatomic.h>
#include <sys/epoll.h>

#include "loop/loop.h"

#define SG_LOOP_READY_MAX 64 /* descriptors of one wait; who is ready beyond them comes first in the next */

struct sg_loop {
        int epoll_fd, wake_fd;
        uint64_t now_usec; /* 0: not asked yet in this turn */
        struct sg_list deferred;
        struct sg_list mailboxes;
        atomic_bool is_stopping;
        atomic_bool is_running;
        struct sg_timer **timers; /* a heap by armed_usec; the first is at 1 */
        size_t n_timers;          /* in the heap */
        size_t n_timers_known;    /* in existence */
        size_t timers_room;
        char *scratch;
        int at_ready, n_ready; /* of the last wait: the next to be told, and how many there are */
        struct epoll_event ready[SG_LOOP_READY_MAX];
};

/* Empties a mailbox into its on_letter. */
void sg_mailbox_empty(struct sg_mailbox *m);
struct sg_mailbox *sg_mailbox_at(struct sg_link *k);
/* Wakes the loop; any thread, also a signal handler. */
void sg_loop_wake(struct sg_loop *l);

/* Tells what epoll_wait() has brought for it. */
void sg_io_tell(struct sg_io *io, uint32_t events);

/* Calls the timers that are due; and when the next one is looked at, or SG_USEC_NEVER. */
void sg_loop_run_timers(struct sg_loop *l);
uint64_t sg_loop_next_timer_usec(const struct sg_loop *l);
