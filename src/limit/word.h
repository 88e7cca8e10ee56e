/*
 * limit/word.h - one limit of one subject: a cache line that threads and processes share (private to the room)
 *
 * Shape    in a mapped file, or on the heap where there is no room. Never removed, so that a pointer stays good
 * Thread   any, by atomics alone
 * Errors   none
 *
 * id. A hash of whose limit it is: subject, its id, kind, window, currency. Not of the amount, so that a limit that is
 * changed goes on counting. Kind and window stand in its last bits; no id is zero.
 *
 * used.
 *   Days and months: the period's number in the upper 20 bits, what is used of it in the lower 44, reservations included.
 *   Minutes and hours: the time at which the bucket will be full again (GCRA's theoretical arrival time), monotonic, in
 *     ticks of 1/32768 usec. What lies ahead of now is what is used, reservations included; see count.c.
 *   Concurrency: 16 bits for each process.
 *
 * held. What exchanges hold that are open, by process: its column. Of buckets 32 bits each in the first two, and the other
 * two are what count.c needs to give back. Of days and months 64 bits, with the period as in `used`, and only of the latest
 * period. A process adds to `used` first and to its column then, and takes from them the other way
 * round: killed in between, it leaves too much in `used` (until the period is over), never too little. Of concurrency the
 * column and the sum are one word, so that there is no "in between".
 *
 * granted. What this node may still take of what the whole fleet shares: leases. Zero: the word needs no grants. Else
 * SG_GRANT_BOUND, the number of the period (0 but for days and months; grants of another period are none), and a signed
 * number of units. It is the same for all kinds, and stands beside `used`, not in place of it: both must have room.
 *   Reserve takes n, or says SG_LIMIT_E_WAIT when there are fewer. Release gives n back. Settle gives back what was not
 *   used; what was used beyond n is taken, below zero if need be: a debt that the next grant pays first.
 *   So, since a grant was last put there: units = granted - (held now) - (settled since), whatever the order of events,
 *   and the node has at no time taken more than it was granted but for errors of estimates, which the difference shows.
 *   Whoever takes a grant back (an expired lease) takes with one exchange of the word: what stood there was not taken by
 *   anybody, and what is held of it comes back as units of the grant that follows (or is dropped, where none does).
 */
#pragma once

#include <stdatomic.h>

#include "config/limit.h"
#include "limit/limit.h"

#define SG_WORD_AMOUNT_BITS 44
#define SG_WORD_AMOUNT_MAX  ((UINT64_C(1) << SG_WORD_AMOUNT_BITS) - 1)
#define SG_WORD_PERIOD_MAX  ((UINT64_C(1) << 19) - 1) /* in days: until the year 3405 */
#define SG_GRANT_BOUND      (UINT64_C(1) << 63)

struct sg_limit_word {
        _Atomic uint64_t id;
        _Atomic uint64_t used;
        _Atomic uint64_t granted;
        _Atomic uint64_t state; /* 16 bits: warned, and in which period; 48 bits: 2^-32 windows given back: count.c */
        _Atomic uint64_t held[SG_LIMIT_PROCESSES];
};
_Static_assert(sizeof(struct sg_limit_word) == 64, "a cache line");

uint64_t sg_word_id(const struct sg_limited *who, const struct sg_limit *limit);
/* Whether it may be one, or zero: of files. */
bool sg_word_id_is_good(uint64_t id);

static inline enum sg_limit_kind sg_word_kind(uint64_t id)
{
        return (enum sg_limit_kind)(id >> 3 & 3);
}

static inline enum sg_limit_window sg_word_window(uint64_t id)
{
        return (enum sg_limit_window)(id & 7);
}

static inline bool sg_window_is_bucket(enum sg_limit_window w)
{
        return w == SG_WINDOW_MINUTE || w == SG_WINDOW_HOUR;
}

static inline bool sg_window_is_calendar(enum sg_limit_window w)
{
        return w == SG_WINDOW_DAY || w == SG_WINDOW_MONTH;
}

static inline uint64_t sg_period_pack(uint64_t period, uint64_t amount)
{
        return period << SG_WORD_AMOUNT_BITS | (amount < SG_WORD_AMOUNT_MAX ? amount : SG_WORD_AMOUNT_MAX);
}

static inline uint64_t sg_period_of(uint64_t packed)
{
        return packed >> SG_WORD_AMOUNT_BITS & SG_WORD_PERIOD_MAX;
}

static inline uint64_t sg_amount_of(uint64_t packed)
{
        return packed & SG_WORD_AMOUNT_MAX;
}

/* ---- grants */

/* A word of `granted`. units may be negative; either way 2^43 - 1 at most. */
uint64_t sg_grant_pack(uint64_t period, int64_t units);
int64_t sg_grant_units(uint64_t granted);

/* Takes n. True when the word needs no grants, too: *ret_is_bound says which. */
bool sg_grant_take(struct sg_limit_word *w, uint64_t period, uint64_t n, bool must_be_bound, bool *ret_is_bound);
/* Of what was taken of a grant: n comes back, or with n < 0 is taken in addition. Nothing when the word is bound no
 * longer, or to another period. */
void sg_grant_give(struct sg_limit_word *w, uint64_t period, int64_t n);
/* What lease.c does with an answer: units more in that period. What is left of the same period stays, a debt is paid. */
void sg_grant_add(struct sg_limit_word *w, uint64_t period, int64_t units);
/* Ends the grant: what was left of it; 0 of an unbound one. is_bound: the next one has to be granted first. */
int64_t sg_grant_end(struct sg_limit_word *w, bool is_bound);
