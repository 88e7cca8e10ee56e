/*
 * ledger/keeper.h - a thread with the database: what the verbs ask of it, while the loop goes on whatever becomes of it
 *
 * Shape    jobs are done one after the other, in the order in which they were posted, with a store of the thread's own.
 *          A database that does not answer holds up the thread, never the loop: sockets, watchers and status stay alive
 * Owner    a job is the keeper's from sg_keeper_post() until its done() was called, which happens once for each
 * Thread   run(): the keeper's. All else, and done(): the loop's
 * Errors   SG_KEEPER_E_FULL; of a database that cannot be reached run() is not called, and done() gets -EHOSTDOWN with the
 *          reason
 * Limits   SG_KEEPER_QUEUE_MAX jobs; a job has KEEPER_USEC_MAX (keeper.c), then it ends with -ETIME
 */
#pragma once

#include "ledger/store.h"
#include "loop/loop.h"

#define SG_KEEPER_QUEUE_MAX 256u

enum sg_keeper_error {
        SG_KEEPER_E_FULL = 1,
};

struct sg_keeper;

struct sg_job {
        struct sg_link link; /* private */
        int result;          /* private */
        struct sg_error err; /* private */
        /* 0, SG_STORE_E_* or -errno; what it found is kept in the job, whose first member this is. It may use transactions,
         * and leaves none open. */
        int (*run)(struct sg_job *job, struct sg_store *s, struct sg_error *err);
        void (*done)(struct sg_job *job, int r, const struct sg_error *err); /* frees it */
};

int sg_keeper_new(struct sg_keeper **ret, struct sg_loop *l, const struct sg_store_options *options,
                  struct sg_error *err) SG_MUST_CHECK;
/* Every job that was posted still gets its done(). */
struct sg_keeper *sg_keeper_free(struct sg_keeper *k);
SG_DEFINE_AUTO(struct sg_keeper *, sg_keeper_free)
int sg_keeper_post(struct sg_keeper *k, struct sg_job *job) SG_MUST_CHECK;
