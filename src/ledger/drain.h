/*
 * ledger/drain.h - from the rings into the database, each record once
 *
 * Shape    watches the journal's directory; in rounds of at most SG_DRAIN_RECORDS_MAX records it reads every ring and
 *          commits rows, open exchanges and the rings' marks in one transaction
 * Units    _usec
 * Owner    the program; the loop is borrowed. The drain opens the store itself, and again after it was lost
 * Thread   the loop's (drainer.h), but for sg_drain_cancel()
 * Errors   start: struct sg_error. Later none: a database that fails is tried again after 1 to 30 s, told in the log
 *          when it begins and when it ends, and by sg_drain_get_status(); the rings keep the records meanwhile
 * Limits   a round: SG_DRAIN_RECORDS_MAX records, SG_DRAIN_ROUND_USEC of reading
 * Source   drain.c begins with why it is exactly once
 */
#pragma once

#include "ledger/store.h"
#include "loop/loop.h"

#define SG_DRAIN_RECORDS_MAX 5000u
#define SG_DRAIN_ROUND_USEC  (100 * SG_USEC_PER_MSEC)

struct sg_drain;

/* stage_directory: where the rings' stages are, if they are not beside them. */
int sg_drain_new(struct sg_drain **ret, struct sg_loop *l, const struct sg_store_options *options,
                 const char *directory, const char *stage_directory, struct sg_error *err) SG_MUST_CHECK;
struct sg_drain *sg_drain_free(struct sg_drain *d);
SG_DEFINE_AUTO(struct sg_drain *, sg_drain_free)

/* Drains what is there now, at once, for about that long: before a question, at the end of the program. False when
 * something is left, or the database fails. */
bool sg_drain_now(struct sg_drain *d, uint64_t budget_usec);
/* The database is said to be there again: no more waiting. */
void sg_drain_retry(struct sg_drain *d);
/* What it asks of the database fails from now on, at once: for the end. Any thread. */
void sg_drain_cancel(struct sg_drain *d);
/* Told after each round. */
void sg_drain_on_round(struct sg_drain *d, void (*on_round)(void *owner), void *owner);

struct sg_drain_status {
        size_t n_rings;
        uint64_t n_waiting;      /* records written and not committed, as the writers say */
        uint64_t n_drained;      /* records committed in this process's life */
        uint64_t n_lost;         /* records that damage took, in the rings of this process's life */
        uint64_t last_wall_usec; /* of the last commit that took records; 0: none */
        const char *error;       /* lent; NULL when all is well */
};
void sg_drain_get_status(struct sg_drain *d, struct sg_drain_status *ret);
