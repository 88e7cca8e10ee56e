/*
 * limit/table.h - what stands behind sg_limits (private to the room)
 *
 * Owner    the daemon
 * Thread   fields are fixed at birth but for the atomic ones
 */
#pragma once

#include "limit/count.h"
#include "limit/words.h"

#define SG_LIMIT_SPENT_SLOTS 4096u

struct sg_limit_want; /* grants.h */

struct sg_limits {
        struct sg_words *words;
        char *saved_path;
        void (*on_warning)(const struct sg_limit_warning *w, void *owner);
        void *owner;
        _Atomic uint64_t wall_usec; /* when it was tended last */
        _Atomic bool needs_grants;  /* a word without a grant has to wait for one: lease.c */
        _Atomic bool is_alone;      /* the fleet is not there */
        _Atomic(struct sg_limit_want *) wants;
        _Atomic size_t n_wants;
        _Atomic uint64_t spent[SG_LIMIT_SPENT_SLOTS];
};

/* The word of who's limit number `at`; NULL: none yet, or with is_to_be_made no memory for it. */
struct sg_limit_word *sg_limits_word(struct sg_limits *l, const struct sg_limited *who, size_t at, bool is_to_be_made);

static inline struct sg_count_time sg_limits_time(const struct sg_limits *l, uint64_t now_usec, uint64_t wall_usec)
{
        return (struct sg_count_time){now_usec, wall_usec, sg_words_column(l->words)};
}

/* grants.c: by the thread that reserves. */
void sg_limits_leave_want(struct sg_limits *l, struct sg_limit_word *w, const struct sg_limit *limit, uint64_t n);
bool sg_limits_is_spent(struct sg_limits *l, const struct sg_limit_word *w, uint64_t now_usec);
/* saved.c: a copy into an empty table, as far as it is whole. ret_text: "" or why not. */
void sg_limits_load(struct sg_limits *l, uint64_t now_usec, uint64_t wall_usec, char ret_text[256]);
