#include "limit/grants.h"

#include <stdlib.h>

#include "limit/table.h"

#define SPENT_MSEC 200u

void sg_limits_need_grants(struct sg_limits *l, bool needs, bool is_stale)
{
        struct sg_limit_word *w;
        size_t at = 0;

        atomic_store(&l->needs_grants, needs);
        if (needs && !is_stale)
                return;
        while ((w = sg_words_next(l->words, &at)))
                if (atomic_load_explicit(&w->granted, memory_order_relaxed))
                        (void)sg_grant_end(w, needs);
}

void sg_limits_set_alone(struct sg_limits *l, bool is_alone)
{
        atomic_store_explicit(&l->is_alone, is_alone, memory_order_relaxed);
}

/* ---- wants: a stack without a lock, of which the taker takes all */

void sg_limits_leave_want(struct sg_limits *l, struct sg_limit_word *w, const struct sg_limit *limit, uint64_t n)
{
        struct sg_limit_want *want;

        if (atomic_fetch_add(&l->n_wants, 1) >= SG_LIMIT_WANTS_MAX) {
                atomic_fetch_sub(&l->n_wants, 1);
                return;
        }
        want = malloc(sizeof(*want));
        if (!want) {
                atomic_fetch_sub(&l->n_wants, 1);
                return;
        }
        *want = (struct sg_limit_want){.word = w, .limit = *limit, .n = n};
        want->next = atomic_load_explicit(&l->wants, memory_order_relaxed);
        while (!atomic_compare_exchange_weak(&l->wants, &want->next, want))
                continue;
}

struct sg_limit_want *sg_limits_take_wants(struct sg_limits *l)
{
        struct sg_limit_want *all = atomic_exchange(&l->wants, NULL);
        size_t n = 0;

        for (const struct sg_limit_want *w = all; w; w = w->next)
                n++;
        atomic_fetch_sub(&l->n_wants, n);
        return all;
}

/* ---- what is spent: a slot has 32 bits of the id and the time until which it is believed. Who shares a slot waits instead */

static uint32_t spent_key(uint64_t id)
{
        return (uint32_t)(id >> 32) | 1;
}

static _Atomic uint64_t *spent_slot(struct sg_limits *l, uint64_t id)
{
        return &l->spent[(id >> 5) % SG_LIMIT_SPENT_SLOTS];
}

void sg_limits_mark_spent(struct sg_limits *l, const struct sg_limit_word *w, uint64_t now_usec)
{
        const uint64_t id = atomic_load_explicit(&w->id, memory_order_relaxed);
        const uint32_t until = (uint32_t)(now_usec / SG_USEC_PER_MSEC) + SPENT_MSEC;

        atomic_store_explicit(spent_slot(l, id), (uint64_t)spent_key(id) << 32 | until, memory_order_relaxed);
}

bool sg_limits_is_spent(struct sg_limits *l, const struct sg_limit_word *w, uint64_t now_usec)
{
        const uint64_t id = atomic_load_explicit(&w->id, memory_order_relaxed);
        const uint64_t slot = atomic_load_explicit(spent_slot(l, id), memory_order_relaxed);
        const uint32_t left = (uint32_t)slot - (uint32_t)(now_usec / SG_USEC_PER_MSEC);

        return slot >> 32 == spent_key(id) && left <= SPENT_MSEC;
}

/* ---- a word as a purse */

static int64_t look(void *word, uint64_t period)
{
        const struct sg_limit_word *w = word;
        const uint64_t g = atomic_load(&w->granted);

        return g && sg_period_of(g) == period ? sg_grant_units(g) : 0;
}

static bool take(void *word, uint64_t period, uint64_t n)
{
        bool is_bound;

        return sg_grant_take(word, period, n, true, &is_bound);
}

static void add(void *word, uint64_t period, int64_t n)
{
        sg_grant_add(word, period, n);
}

const struct sg_lease_purse sg_limit_purse = {look, take, add};

uint64_t sg_limit_word_id(const struct sg_limit_word *w)
{
        return atomic_load_explicit(&w->id, memory_order_relaxed);
}

uint64_t sg_limit_id(const struct sg_limited *who, const struct sg_limit *limit)
{
        return sg_word_id(who, limit);
}

uint64_t sg_limits_used(struct sg_limits *l, const struct sg_limit_word *w, const struct sg_limit *limit,
                        uint64_t now_usec, uint64_t wall_usec)
{
        const struct sg_count_time t = sg_limits_time(l, now_usec, wall_usec);
        struct sg_count_view v;

        if (sg_window_is_bucket(limit->window))
                return 0;
        sg_count_look(w, limit, &t, &v);
        if (sg_window_is_calendar(limit->window) && v.period != sg_window_period(limit->window, wall_usec))
                return 0;
        return v.used;
}
