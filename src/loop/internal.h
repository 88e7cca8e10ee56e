/*
 * loop/internal.h - what the files of this room share
 *
 * Thread   the loop's, but for `is_stopping` and `wake_fd`, which any thread may write
 */
#pragma once

#include <stdatomic.h>

#include "loop/loop.h"

struct event_base;

struct sg_loop {
        struct event_base *base;
        uint64_t now_usec; /* 0: not asked yet in this turn */
        struct sg_list deferred;
        struct sg_list mailboxes;
        struct event wake;
        struct event max_wait;
        int wake_fd;
        atomic_bool is_stopping;
        atomic_bool is_running;
        char *scratch;
};

/* Empties a mailbox into its on_letter. */
void sg_mailbox_empty(struct sg_mailbox *m);
struct sg_mailbox *sg_mailbox_at(struct sg_link *k);
/* Wakes the loop; any thread, also a signal handler. */
void sg_loop_wake(struct sg_loop *l);

/* A libevent timeout of usec, which is never zero: an event of 0 would be handled in this very turn, over and over. */
struct timeval sg_loop_timeval(uint64_t usec);
