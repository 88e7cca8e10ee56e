#include <limits.h>

#include "limit/table.h"

/* 1 to 100 and more. */
static unsigned percent_of(uint64_t used, uint64_t amount)
{
        return (unsigned)SG_MIN((__uint128_t)used * 100 / amount, (__uint128_t)INT_MAX / 2);
}

void sg_limits_view(struct sg_limits *l, const struct sg_limited *who, size_t at, uint64_t now_usec, uint64_t wall_usec,
                    struct sg_limit_state *ret)
{
        const struct sg_limit *limit = &who->set->at[at].limit;
        const struct sg_count_time t = sg_limits_time(l, now_usec, wall_usec);
        const struct sg_limit_word *w = sg_limits_word(l, who, at, false);
        const uint64_t granted = w ? atomic_load(&w->granted) : 0;
        struct sg_count_view v;

        sg_count_look(w, limit, &t, &v);
        *ret = (struct sg_limit_state){.limit = *limit,
                                       .used = v.used,
                                       .reserved = v.reserved,
                                       .remaining = v.remaining,
                                       .reset_usec = v.reset_usec,
                                       .granted = UINT64_MAX,
                                       .is_alone = atomic_load_explicit(&l->is_alone, memory_order_relaxed)};
        if (granted)
                ret->granted = sg_grant_units(granted) > 0 ? (uint64_t)sg_grant_units(granted) : 0;
        else if (atomic_load_explicit(&l->needs_grants, memory_order_relaxed))
                ret->granted = 0;
}

/* Whether less is left of a than of b, as parts of the whole. */
static bool is_tighter(const struct sg_limit_state *a, const struct sg_limit_state *b)
{
        return (__uint128_t)a->remaining * b->limit.amount < (__uint128_t)b->remaining * a->limit.amount;
}

bool sg_limits_tightest(struct sg_limits *l, const struct sg_limited *who, size_t n_who, enum sg_limit_kind kind,
                        uint64_t now_usec, uint64_t wall_usec, struct sg_limit_state *ret)
{
        struct sg_limit_state state;
        bool is_found = false;

        for (size_t i = 0; i < n_who; i++)
                for (size_t k = 0; who[i].set && k < who[i].set->n; k++) {
                        if (who[i].set->at[k].limit.kind != kind || who[i].set->at[k].limit.is_soft)
                                continue;
                        sg_limits_view(l, &who[i], k, now_usec, wall_usec, &state);
                        if (!is_found || is_tighter(&state, ret))
                                *ret = state;
                        is_found = true;
                }
        return is_found;
}

int sg_limits_downgrade(struct sg_limits *l, const struct sg_limited *who, size_t n_who, uint64_t now_usec,
                        uint64_t wall_usec)
{
        struct sg_limit_state state;
        int most = INT_MIN;

        for (size_t i = 0; i < n_who; i++)
                for (size_t k = 0; who[i].set && k < who[i].set->n; k++) {
                        const struct sg_limit *limit = &who[i].set->at[k].limit;
                        int over;

                        if (limit->kind != SG_LIMIT_COST || !limit->downgrade_percent)
                                continue;
                        sg_limits_view(l, &who[i], k, now_usec, wall_usec, &state);
                        over = (int)percent_of(state.used, limit->amount) - (int)limit->downgrade_percent;
                        most = SG_MAX(most, over);
                }
        return most;
}

void sg_limits_count(const struct sg_limits *l, struct sg_limits_counts *ret)
{
        const unsigned column = sg_words_column(l->words);
        const struct sg_limit_word *w;
        uint64_t at = 0;

        *ret = (struct sg_limits_counts){.n_words = sg_words_count(l->words),
                                         .n_in_memory = sg_words_in_memory(l->words)};
        while ((w = sg_words_next(l->words, &at)))
                ret->reserved[sg_word_kind(atomic_load(&w->id))] += sg_count_held(w, column);
}
