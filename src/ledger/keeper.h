/*
 * ledger/keeper.h - a thread with the database: what the verbs ask of it, while the loop goes on whatever becomes of it
 *
 * Shape    jobs are done one after the other, in the order in which they were posted, with a store of the thread's own.
 *          A database that does not answer holds up the thread, never the loop: sockets, watchers and status stay alive.
 *          The thread opens the store by itself, at its start and whenever it was lost
 * Owner    a job is the keeper's from sg_keeper_post() until its done() was called, which happens once for each
 * Thread   run(): the keeper's. All else, done() and the told state: the loop's
 * Errors   SG_KEEPER_E_FULL; of a database that cannot be reached run() is not called, and done() gets -EHOSTDOWN with the
 *          reason; -ECANCELED: the keeper is freed
 * Limits   SG_KEEPER_QUEUE_MAX jobs; a job has SG_KEEPER_USEC_MAX to begin, then it ends with -ETIME, and as long to run
 */
#pragma once

#include "ledger/store.h"
#include "loop/loop.h"

#define SG_KEEPER_QUEUE_MAX 256u
#define SG_KEEPER_USEC_MAX  (10 * SG_USEC_PER_SEC)

enum sg_keeper_error {
        SG_KEEPER_E_FULL = 1,
};

struct sg_keeper;

struct sg_job {
        struct sg_letter letter; /* private */
        struct sg_link link;     /* private */
        uint64_t posted_usec;    /* private */
        int result;              /* private */
        struct sg_error err;     /* private */
        /* 0, SG_STORE_E_* or -errno; what it found is kept in the job, whose first member this is. It may use transactions,
         * and leaves none open. */
        int (*run)(struct sg_job *job, struct sg_store *s, struct sg_error *err);
        void (*done)(struct sg_job *job, int r, const struct sg_error *err); /* frees it */
};

int sg_keeper_new(struct sg_keeper **ret, struct sg_loop *l, const struct sg_store_options *options,
                  struct sg_error *err) SG_MUST_CHECK;
/* Breaks off what runs; every job that was posted still gets its done(). */
struct sg_keeper *sg_keeper_free(struct sg_keeper *k);
SG_DEFINE_AUTO(struct sg_keeper *, sg_keeper_free)
/* What done() may do, too. The job is the caller's when this fails. */
int sg_keeper_post(struct sg_keeper *k, struct sg_job *job) SG_MUST_CHECK;

enum sg_keeper_state {
        SG_KEEPER_OPENING, /* nobody knows yet */
        SG_KEEPER_UP,
        SG_KEEPER_DOWN,
        SG_KEEPER_N,
};
const char *sg_keeper_state_name(enum sg_keeper_state s);

struct sg_keeper_status {
        enum sg_keeper_state state;
        uint64_t since_wall_usec;
        struct sg_error err; /* of the last attempt, when DOWN */
};
void sg_keeper_get_status(const struct sg_keeper *k, struct sg_keeper_status *ret);
/* Told after each change of the state, and of the reason why it is DOWN. */
void sg_keeper_on_state(struct sg_keeper *k, void (*on_state)(const struct sg_keeper_status *status, void *owner),
                        void *owner);
