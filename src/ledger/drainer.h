/*
 * ledger/drainer.h - the thread of the drain: its loop, its store, and what other threads may ask of it
 *
 * Shape    one drain (drain.h) on a loop of its own. The other side posts wishes and reads a status that is at most
 *          SG_DRAINER_LOOK_USEC old, or as old as what the database is being asked
 * Units    _usec
 * Owner    the program
 * Thread   all calls and done(): the thread of the loop given to sg_drainer_new()
 * Errors   start: struct sg_error; afterwards as of drain.h
 * Limits   the end: LAST_USEC for what is left, then the database is interrupted (drainer.c)
 */
#pragma once

#include "ledger/drain.h"

#define SG_DRAINER_LOOK_USEC SG_USEC_PER_SEC

struct sg_drainer;

int sg_drainer_new(struct sg_drainer **ret, struct sg_loop *l, const struct sg_store_options *options,
                   const char *directory, const char *stage_directory, struct sg_error *err) SG_MUST_CHECK;
/* Drains what is there for about a second, and ends. Every wish still gets its done(). */
struct sg_drainer *sg_drainer_free(struct sg_drainer *d);
SG_DEFINE_AUTO(struct sg_drainer *, sg_drainer_free)

/* What was there when it was asked for is drained: for a question that wants it. */
struct sg_drain_wish {
        struct sg_link link;                                   /* private */
        uint64_t number, until_usec;                           /* private */
        void (*done)(struct sg_drain_wish *wish, bool is_all); /* once; may free it */
};
/* done() comes from the loop; with is_all false when the time is over before. */
void sg_drainer_wish(struct sg_drainer *d, struct sg_drain_wish *wish, uint64_t usec);
/* Without done(). */
void sg_drainer_forget(struct sg_drainer *d, struct sg_drain_wish *wish);
/* The database is said to be there again. */
void sg_drainer_retry(struct sg_drainer *d);

struct sg_drainer_status {
        struct sg_drain_status drain; /* error is in err */
        struct sg_error err;          /* code 0: all is well */
        uint64_t failing_since_wall_usec;
        uint64_t told_wall_usec; /* when these were the numbers */
};
void sg_drainer_get_status(struct sg_drainer *d, struct sg_drainer_status *ret);
