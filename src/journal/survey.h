/*
 * journal/survey.h - what waits in one ring, and whether it is whole; nothing is changed
 *
 * Shape    reads from the ring's own mark to its end, from file and stage, beside the writer and the ledger
 * Units    sequences, bytes; _wall_usec since 1970
 * Thread   any; blocking (it reads the file, and looks twice at what may only be late)
 * Errors   SG_RING_E_BAD for what is no ring of this version, -errno
 */
#pragma once

#include "journal/ring.h"

struct sg_ring_survey {
        char id[SG_RING_ID_CHARS + 1];
        struct sg_ring_info info;
        uint64_t drained, written;         /* sequences: the ring's mark, and what its writer says */
        uint64_t n_good;                   /* records that wait, whole */
        uint64_t n_bad;                    /* places where something else stands */
        uint64_t n_lost;                   /* records that cannot be read there */
        uint64_t n_missing;                /* behind the last whole one, of a ring without a writer: a power cut's */
        uint64_t bad_sequence, bad_offset; /* behind which the first of them is */
        uint64_t oldest_wall_usec;         /* when the oldest waiting record's exchange began; 0: none waits */
};

/* on_record may be NULL; the record is lent. */
int sg_ring_survey(struct sg_ring_survey *ret, const char *path, const char *stage_path,
                   void (*on_record)(const struct sg_record *rec, uint64_t sequence, void *owner), void *owner)
        SG_MUST_CHECK;
