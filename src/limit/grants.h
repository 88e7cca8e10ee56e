/*
 * limit/grants.h - where words and leases meet: who lacks what, and the purse that a word is
 *
 * Shape    a worker that finds no grant leaves a want, which the main thread takes; what Redis has no more of is marked for
 *          a moment, so that the next is refused at once in place of waiting
 * Owner    wants are the taker's, who frees them
 * Thread   the main thread
 * Errors   none: without memory a want is not left, and its exchange asks again
 */
#pragma once

#include "limit/lease.h"
#include "limit/limit.h"

#define SG_LIMIT_WANTS_MAX 16384u

/* Whether words need grants from now on. What was granted before, and is `stale`, is void; false: words are free again. */
void sg_limits_need_grants(struct sg_limits *l, bool needs, bool is_stale);
/* For refusals and views. */
void sg_limits_set_alone(struct sg_limits *l, bool is_alone);

struct sg_limit_want {
        struct sg_limit_want *next;
        struct sg_limit_word *word;
        struct sg_limit limit;
        uint64_t n;
};
/* All that were left, in any order; NULL: none. */
struct sg_limit_want *sg_limits_take_wants(struct sg_limits *l);
/* All nodes together have used it up: not even the least that is waited for is left. */
void sg_limits_mark_spent(struct sg_limits *l, const struct sg_limit_word *w, uint64_t now_usec);

extern const struct sg_lease_purse sg_limit_purse; /* of struct sg_limit_word */
uint64_t sg_limit_word_id(const struct sg_limit_word *w);
uint64_t sg_limit_id(const struct sg_limited *who, const struct sg_limit *limit); /* that its word has */
/* Of days and months what is used as far as the ledger and this node know, in the period by the clock; of concurrency how many
 * are open here. */
uint64_t sg_limits_used(struct sg_limits *l, const struct sg_limit_word *w, const struct sg_limit *limit,
                        uint64_t now_usec, uint64_t wall_usec);
