/*
 * loop/loop.h - one thread's event loop: descriptors, timers, work for the end of the turn, mail from other threads
 *
 * Shape    an epoll set, a heap of timers, lists; io, timers and deferred work are embedded in their users
 * Units    _usec, monotonic; sg_loop_now_usec() is the time of this turn
 * Owner    the loop owns nothing of its users; io, timers and mailboxes are embedded in things and stopped before
 *          those go
 * Thread   all calls from the loop's thread, except sg_mailbox_post() and sg_loop_stop_soon()
 * Errors   -errno at creation; afterwards none
 * Source   epoll(7)
 */
#pragma once

#include "base/clock.h"
#include "base/list.h"
#include "base/macro.h"
#include "base/str.h"

struct sg_loop;

int sg_loop_new(struct sg_loop **ret) SG_MUST_CHECK;
struct sg_loop *sg_loop_free(struct sg_loop *l);
SG_DEFINE_AUTO(struct sg_loop *, sg_loop_free)

/* Turns until sg_loop_stop(). after_turn (may be NULL) is called after each turn, at least every max_wait_usec
 * (SG_USEC_NEVER: only when something happens): the place of the RCU quiescent state and the watchdog's count. */
void sg_loop_run(struct sg_loop *l, uint64_t max_wait_usec, void (*after_turn)(void *owner), void *owner);
void sg_loop_stop(struct sg_loop *l);
void sg_loop_stop_soon(struct sg_loop *l); /* from any thread or a signal handler */
uint64_t sg_loop_now_usec(const struct sg_loop *l);
bool sg_loop_is_mine(const struct sg_loop *l); /* called by the thread that runs it (or before it runs) */

/* One buffer per loop to read into, so that idle connections need none. Lent until the caller returns to the loop; only
 * who reads from a descriptor in on_ready or in deferred work may use it. NULL without memory. */
#define SG_LOOP_SCRATCH_BYTES (64u * 1024u)
char *sg_loop_scratch(struct sg_loop *l);

/* ---- descriptors: interest is computed by the owner and set by one function */

enum sg_io_interest {
        SG_IO_READ = 1u << 0,
        SG_IO_WRITE = 1u << 1,
        SG_IO_CLOSED = 1u << 2, /* the peer's FIN, told without reading (EPOLLRDHUP) */
        SG_IO_SHARED =
                1u << 3, /* with SG_IO_READ alone: of all loops that wait for it so, the kernel wakes one, the one
                                   that has waited longest since it asked */
};

struct sg_io {
        struct sg_loop *loop;
        int fd;
        unsigned interest;                                               /* private */
        void (*on_ready)(struct sg_io *io, unsigned ready, void *owner); /* only what was asked for */
        void *owner;
};

/* Nothing is watched yet. The descriptor stays the owner's. 0 (today it cannot fail). */
int sg_io_init(struct sg_io *io, struct sg_loop *l, int fd,
               void (*on_ready)(struct sg_io *io, unsigned ready, void *owner), void *owner) SG_MUST_CHECK;
void sg_io_done(struct sg_io *io); /* before close(fd) */
/* Sets the whole interest; a call that changes nothing costs nothing. SG_IO_CLOSED without SG_IO_READ is told once per
 * arming and for a reset, too; with SG_IO_READ it is told together with it. */
void sg_io_set(struct sg_io *io, unsigned interest);

/* ---- timers */

struct sg_timer {
        struct sg_loop *loop;
        void (*on_time)(struct sg_timer *t, void *owner);
        void *owner;
        uint64_t due_usec;   /* private; 0 when stopped */
        uint64_t armed_usec; /* private; its place in the heap: not later than due_usec */
        size_t heap_at;      /* private; from 1; 0 when it is not in the heap */
};

/* 0 or -ENOMEM; starting it cannot fail then. It stays where it is until it is done. */
int sg_timer_init(struct sg_timer *t, struct sg_loop *l, void (*on_time)(struct sg_timer *t, void *owner), void *owner)
        SG_MUST_CHECK;
void sg_timer_done(struct sg_timer *t);
/* In after_usec from this turn's time, once, and never in this turn. Starting a running timer moves it; moving it later
 * is cheap (it is left where it is, and moved when its place in the heap comes up). */
void sg_timer_start(struct sg_timer *t, uint64_t after_usec);
void sg_timer_stop(struct sg_timer *t);
static inline bool sg_timer_is_running(const struct sg_timer *t)
{
        return t->due_usec != 0;
}

/* ---- work at the end of the turn: freeing things outside their own callbacks */

struct sg_deferred {
        struct sg_link link;
        void (*run)(struct sg_deferred *d);
};
/* Runs once, after the callbacks of this turn (before the loop is freed at the latest); deferring what is deferred
 * already does nothing. What is deferred by deferred work runs in the same turn, or, after many rounds, in the next at
 * once. */
void sg_loop_defer(struct sg_loop *l, struct sg_deferred *d);
void sg_loop_undefer(struct sg_loop *l, struct sg_deferred *d);

/* ---- mail from other threads */

struct sg_letter {
        struct sg_letter *next; /* private */
};
struct sg_mailbox;
/* on_letter is called in the loop's thread; it owns the letter then. */
int sg_mailbox_new(struct sg_mailbox **ret, struct sg_loop *l, void (*on_letter)(struct sg_letter *letter, void *owner),
                   void *owner) SG_MUST_CHECK;
/* Letters not yet read are handed to on_letter first. No thread may post any more; not from inside on_letter. */
struct sg_mailbox *sg_mailbox_free(struct sg_mailbox *m);
void sg_mailbox_post(struct sg_mailbox *m, struct sg_letter *letter); /* any thread; one wake-up for many letters */

/* ---- signals (main thread only) */
struct sg_signals;
/* Blocks the signals in the set and tells on_signal in the loop. Call before threads start. Freeing leaves them
 * blocked. */
int sg_signals_new(struct sg_signals **ret, struct sg_loop *l, const int *signals, size_t n_signals,
                   void (*on_signal)(int signal, void *owner), void *owner) SG_MUST_CHECK;
struct sg_signals *sg_signals_free(struct sg_signals *s);
