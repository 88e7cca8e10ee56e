/*
 * ledger/drain_files.h - the drain's state, and its dealings with the journal's directory; private to the drain
 *
 * Shape    sg_drain as its two files see it: drain.c turns the rounds, drain_files.c finds rings, forgets them, and
 *          removes what is finished
 * Thread   the drain's
 */
#pragma once

#include "ledger/drain.h"
#include "ledger/drain_ring.h"

struct missing {
        struct sg_link link;
        char id[SG_RING_ID_CHARS + 1];
        uint64_t since_usec;
        bool is_seen;
};

struct sg_drain {
        struct sg_loop *loop;
        struct sg_store_options options;
        struct sg_store *store; /* NULL: it was lost, or not opened yet */
        struct sg_store_limit limit;
        char *path, *stage_path;
        int dir_fd, inotify_fd;
        struct sg_io inotify;
        struct sg_timer timer;
        struct sg_list files;
        struct sg_list missing; /* marks in the database whose file is not there */
        struct batch batch;
        bool wants_scan, wants_prune;
        uint64_t scanned_usec;
        uint64_t wait_usec, retry_usec; /* retry_usec 0: the database answers */
        uint64_t retry_at_usec;
        uint64_t last_wall_usec, n_lost, n_drained;
        struct sg_error error;
        void (*on_round)(void *owner);
        void *owner;
};

static inline struct ring_file *ring_file_of(struct sg_link *k)
{
        return SG_CONTAINER(k, struct ring_file, link);
}

/* Finds new rings, and forgets those that are gone; does not ask the database. Only the directory's errors. */
int sg_drain_scan(struct sg_drain *d, struct sg_error *err) SG_MUST_CHECK;
/* Asks the database for the marks of the rings that have none, and seeks there. Only the database's errors. */
int sg_drain_read_marks(struct sg_drain *d, struct sg_error *err) SG_MUST_CHECK;
/* Drops marks of the database whose files are gone. */
int sg_drain_prune(struct sg_drain *d, struct sg_error *err) SG_MUST_CHECK;
/* Finished and committed: the file goes, then its mark; f is freed. What fails is done in a later round. */
int sg_drain_retire(struct sg_drain *d, struct ring_file *f, struct sg_error *err) SG_MUST_CHECK;
/* Back to where the database ends. 0 or SG_RING_E_BAD. */
int sg_drain_seek(struct ring_file *f) SG_MUST_CHECK;
void sg_drain_forget_all(struct sg_drain *d);
