/*
 * limit/limit.h - limits: reserved before the call, settled after it, never overshot in between
 *
 * Shape    one sg_limits per machine's gateway: a table of words, one for each limit of a subject (key, group, model,
 *          provider) that was ever asked for. It is a file that is mapped and shared, by threads and by a successor
 *          process; on a file system in memory (the runtime directory), so that no worker waits for a disk. A copy is
 *          saved in the state directory. An exchange holds a reservation: what it took of each word
 * Units    requests, tokens, millionths of a currency; _usec monotonic (the same for all processes until the machine
 *          starts anew), wall_usec for days and months
 * Owner    the daemon owns sg_limits, which outlives every reservation and set of limits; a reservation is the exchange's
 * Thread   reserve, settle, views: any, without locks (but for making a word where all is full). The rest: the main thread
 * Errors   SG_LIMIT_E_*; -errno at birth; -ENOMEM and -E2BIG (SG_LIMIT_HOLDS_MAX) when reserving. A file that cannot be used
 *          is no error: the words are in memory then, and the text says why
 * Limits   SG_LIMIT_WORDS_MAX words; beyond them limits are kept in memory only, for this process
 * Source   GCRA: ITU-T I.371. docs/limits.md says why the sums hold
 *
 * Minutes and hours are buckets (a theoretical arrival time), days and months counters with the number of their period,
 * concurrency a count. What is reserved stands beside that in a column for each process, so that what a dead one held is
 * taken back by the next. With leases (lease.h) a word is further bound by what this node was granted.
 */
#pragma once

#include "config/limit.h"

#define SG_LIMIT_WORDS_MAX  (4u << 20)
#define SG_LIMIT_HOLDS_MAX  96u /* of one exchange: a key, eight groups, a model and a provider with all they may have */
#define SG_LIMIT_HOLDS_NEAR 4u  /* of those without memory of their own */
#define SG_LIMIT_PROCESSES  4u  /* at once, on one table: upgrades whose predecessors still finish streams */

enum sg_limit_error {
        SG_LIMIT_E_REFUSED = 1, /* *ret_refusal says which */
        SG_LIMIT_E_WAIT,        /* this node has to be granted more first: ask again when told so (lease.h) */
};

enum sg_limit_subject {
        SG_SUBJECT_KEY,
        SG_SUBJECT_GROUP,
        SG_SUBJECT_MODEL,
        SG_SUBJECT_PROVIDER,
        SG_SUBJECT_ADDRESS, /* of refusals: address.h */
        SG_SUBJECT_N,
};
const char *sg_limit_subject_name(enum sg_limit_subject s); /* "key" */

/* Who is limited. */
struct sg_limited {
        enum sg_limit_subject kind;
        uint64_t id; /* of the ledger; of models and providers sg_limit_name_id() */
        const char *name;
        struct sg_limit_set *set; /* NULL: no limits */
};
uint64_t sg_limit_name_id(struct sg_str name);

struct sg_limits;

struct sg_limit_warning {
        const struct sg_limited *who;
        const struct sg_limit *limit;
        uint64_t used;
        unsigned percent; /* that was reached */
        bool is_over;     /* a soft limit is passed */
};

struct sg_limits_options {
        const char *path;       /* of the words; NULL: in memory */
        const char *saved_path; /* of the copy; NULL: none */
        /* Once for each limit and period (minutes, hours, concurrency: an hour), in the thread that reserved. NULL: none. */
        void (*on_warning)(const struct sg_limit_warning *w, void *owner);
        void *owner;
};
/* Takes back what processes that are no more held. ret_text: "" when all is well, else what the log shall say. */
int sg_limits_new(struct sg_limits **ret, const struct sg_limits_options *options, uint64_t now_usec,
                  uint64_t wall_usec, char ret_text[256]) SG_MUST_CHECK;
/* Nothing may be reserved any more. */
struct sg_limits *sg_limits_free(struct sg_limits *l);
SG_DEFINE_AUTO(struct sg_limits *, sg_limits_free)
/* A process was seen to end (a predecessor after its drain): its column is taken back. Also every few seconds by the main
 * thread: looks for dead ones and makes room for words to come. */
void sg_limits_tend(struct sg_limits *l, uint64_t now_usec, uint64_t wall_usec);
/* Blocks on the disk: for a thread that may. */
int sg_limits_save(struct sg_limits *l, uint64_t now_usec, uint64_t wall_usec) SG_MUST_CHECK;

/* ---- an exchange */

struct sg_limit_hold {
        struct sg_limit_word *word;
        uint64_t n;
        uint8_t kind, window;  /* enum sg_limit_kind, enum sg_limit_window */
        bool is_bound;         /* taken of a grant, too */
        uint32_t grant_period; /* in which is_bound */
        uint32_t period;       /* of days and months: settled there, also when it is over; of buckets: see count.c */
        uint32_t n_held;       /* of buckets: what stands in the column */
        uint64_t refunded;     /* of buckets: what the word said when it was taken */
        uint64_t end;          /* of buckets: of its place */
        uint64_t amount;       /* of the limit */
};
/* Empty when it is all zeros. Settling and releasing empty it; nothing else has to be freed. */
struct sg_reservation {
        size_t n;
        struct sg_limit_hold near[SG_LIMIT_HOLDS_NEAR];
        struct sg_limit_hold *far; /* the rest */
};

struct sg_limit_ask {
        const struct sg_limited *who;
        size_t n_who;
        uint64_t n_of[SG_LIMIT_KIND_N]; /* 0: not asked for now; of SG_LIMIT_COST in `currency` */
        char currency[4];               /* limits in other currencies are not asked */
        uint64_t now_usec, wall_usec;
};

struct sg_limit_refusal {
        const struct sg_limited *who;
        struct sg_limit limit;
        uint64_t used, asked; /* used: what is reserved included */
        uint64_t
                wait_usec; /* until it may fit; SG_USEC_NEVER: it is more than the limit; 0: no time says (concurrency) */
        bool is_alone;     /* Redis is not there: this node's share alone was spent */
};

/* All of it or nothing; adds to *r. What is not asked for is not counted: an estimate of tokens or cost is at least 1. More
 * of what *r has already may be asked for: an estimate that grew. Soft limits never refuse, and are counted all the same.
 * SG_LIMIT_E_WAIT: *ret_refusal says which word lacks a grant. */
int sg_limits_reserve(struct sg_limits *l, const struct sg_limit_ask *ask, struct sg_reservation *r,
                      struct sg_limit_refusal *ret_refusal) SG_MUST_CHECK;
/* What was really used takes the place of what was reserved: tokens and cost. Requests stay counted; concurrency is given
 * back. *r is empty then. More than was reserved is counted, too, and may go over the limit: that is the estimate's error. */
void sg_limits_settle(struct sg_limits *l, struct sg_reservation *r, uint64_t n_tokens, uint64_t cost,
                      uint64_t now_usec, uint64_t wall_usec);
/* As if it had never been asked for. Empties *r. */
void sg_limits_release(struct sg_limits *l, struct sg_reservation *r, uint64_t now_usec);

/* ---- what is known of it from elsewhere */

/* What the ledger has counted in a day or month that is not before the word's own: it is at least so much. Where the word
 * is in the future of the clock (as of sg_limits_tend()), which was ahead and came back, the period that is now takes its
 * place. */
void sg_limits_floor(struct sg_limits *l, const struct sg_limited *who, const struct sg_limit *limit, uint64_t period,
                     uint64_t used);
/* The ledger is about to tell all that was used: words that are in the future of the clock come back to the period that is
 * now, those of subjects that it will not name, too. */
void sg_limits_come_back(struct sg_limits *l);
/* Of a wall clock: days since 1970, months since 1970; 0 for other windows. */
uint64_t sg_window_period(enum sg_limit_window w, uint64_t wall_usec);

/* ---- views */

struct sg_limit_state {
        struct sg_limit limit;
        uint64_t used;       /* reserved included */
        uint64_t reserved;   /* by exchanges that are open, in all processes */
        uint64_t remaining;  /* for the whole fleet as far as it is known here; 0 of a limit that is passed */
        uint64_t reset_usec; /* until all of it is there again; 0: it is, or no time says (concurrency) */
        uint64_t granted;    /* to this node and not used; UINT64_MAX: this node needs no grants */
        bool is_alone;       /* Redis is not there */
        uint64_t bound;      /* is_alone: by how much the fleet may pass the limit at most */
};
void sg_limits_view(struct sg_limits *l, const struct sg_limited *who, size_t at, uint64_t now_usec, uint64_t wall_usec,
                    struct sg_limit_state *ret);
/* Of all limits of that kind that may refuse the one with the smallest part left: what headers tell. False: there is
 * none. */
bool sg_limits_tightest(struct sg_limits *l, const struct sg_limited *who, size_t n_who, enum sg_limit_kind kind,
                        uint64_t now_usec, uint64_t wall_usec, struct sg_limit_state *ret);
/* Of the budgets of `who` that have a downgrade_percent the one that is furthest beyond it: what is used in percent of its
 * amount, minus that. 0 and more means that models are to be downgraded. INT_MIN: there is none. */
int sg_limits_downgrade(struct sg_limits *l, const struct sg_limited *who, size_t n_who, uint64_t now_usec,
                        uint64_t wall_usec);
/* Words in use, and sums of what is reserved in them by this process: zero when nothing is open. */
struct sg_limits_counts {
        size_t n_words, n_in_memory;
        uint64_t reserved[SG_LIMIT_KIND_N];
};
void sg_limits_count(const struct sg_limits *l, struct sg_limits_counts *ret);
