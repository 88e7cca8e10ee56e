/*
 * ledger/drain_ring.h - one ring's share of a round; private to the drain
 *
 * Shape    a ring_file is a ring and how far it has come: `committed` is what the database holds, `next` what it will
 *          hold when the transaction of this round is committed
 * Owner    drain.c owns ring_files; a batch lives for the drain's life and is emptied after each ring
 * Thread   the drain's
 */
#pragma once

#include "base/buf.h"
#include "base/list.h"
#include "ledger/store.h"

struct ring_file {
        struct sg_link link;
        char id[SG_RING_ID_CHARS + 1];
        struct sg_ring_reader *reader; /* NULL: the file is no ring, or cannot be opened now */
        struct sg_store_ring committed, next;
        bool has_mark;    /* `committed` is what the database said; else it is the last that is known */
        bool is_stranger; /* no ring of ours: told once, left alone */
        bool is_seen;     /* by the last scan */
        bool has_changed; /* `next` is in this round's transaction */
        bool has_more;    /* the round ended before the ring did */
        bool has_failed;  /* the disk did not give its bytes */
        bool is_told;     /* a trouble with this file stands in the log already */
        uint64_t stuck_sequence, searched_sequence, searched_written;
};

struct batch_open {
        uint64_t exchange;
        size_t at, n; /* the encoded record in bytes */
        bool is_closed;
};

struct batch {
        struct sg_store *store; /* the drain's, while it has one */
        bool is_begun;
        size_t n_left;            /* records */
        uint64_t until_usec;      /* monotonic */
        struct batch_open *opens; /* of the ring at hand, by exchange */
        size_t n_opens, room_opens;
        struct sg_buf bytes;
        char scratch[SG_RECORD_BYTES_MAX];
};

/* Makes the texts of a record fit for terminals; what changes is copied to scratch. */
void sg_drain_clean(struct sg_record *rec, char scratch[SG_RECORD_BYTES_MAX]);

void sg_batch_init(struct batch *b);
void sg_batch_done(struct batch *b);

/* Reads on in f and puts what it finds into the transaction (begun when there is something). Only the database's
 * errors. */
int sg_drain_ring(struct batch *b, struct ring_file *f, struct sg_error *err) SG_MUST_CHECK;
/* The exchanges of that ring that are open in the database become usage: nobody will close them. */
int sg_drain_settle(struct batch *b, const char *ring, struct sg_error *err) SG_MUST_CHECK;
