/*
 * limit/count.h - taking of one word, and giving back (private to the room)
 *
 * Shape    buckets, calendar counters and concurrency behind the same few functions
 * Units    as in limit.h; _usec monotonic, wall_usec for days and months
 * Thread   any, without locks
 * Errors   false: there is no room
 */
#pragma once

#include "limit/word.h"

struct sg_count_time {
        uint64_t now_usec, wall_usec;
        unsigned column; /* of this process */
};

/* Fills ret but for what is of grants. A soft limit always has room. */
bool sg_count_take(struct sg_limit_word *w, const struct sg_limit *limit, uint64_t n, const struct sg_count_time *t,
                   struct sg_limit_hold *ret);
/* n_used of what is held was used. */
void sg_count_settle(const struct sg_limit_hold *h, uint64_t n_used, const struct sg_count_time *t);
/* In the same instant as it was taken: no trace is left. */
void sg_count_undo(const struct sg_limit_hold *h, const struct sg_count_time *t);

struct sg_count_view {
        uint64_t used, reserved, remaining;
        uint64_t reset_usec;
        uint64_t period; /* of days and months: in which it is counted now */
};
/* w may be NULL: nothing was ever used. */
void sg_count_look(const struct sg_limit_word *w, const struct sg_limit *limit, const struct sg_count_time *t,
                   struct sg_count_view *ret);
/* Until n more may fit; 0: they do, or it is not time that they wait for. SG_USEC_NEVER: n is more than all of it. */
uint64_t sg_count_wait(const struct sg_limit_word *w, const struct sg_limit *limit, uint64_t n,
                       const struct sg_count_time *t, bool *ret_fits);
/* What a process holds of it. */
uint64_t sg_count_held(const struct sg_limit_word *w, unsigned column);
/* Days and months: at least so much. */
void sg_count_floor(struct sg_limit_word *w, uint64_t period, uint64_t used, uint64_t wall_usec);
/* What a process that is no more held. One at a time for each column. */
void sg_count_reclaim(struct sg_limit_word *w, unsigned column);
/* Whether this is the first to see a mark (bit 0 or 1) in this period. Once for each mark. */
bool sg_count_mark(struct sg_limit_word *w, const struct sg_limit *limit, unsigned bit, const struct sg_count_time *t);

/* For the copy: what is used but not held; of buckets usec until they are full. 0: nothing worth keeping. */
uint64_t sg_count_to_save(const struct sg_limit_word *w, uint64_t now_usec, uint64_t wall_usec);
void sg_count_from_saved(struct sg_limit_word *w, uint64_t value, uint64_t now_usec, uint64_t passed_usec);
