#include "limit/word.h"

#define UNITS_MAX  ((INT64_C(1) << (SG_WORD_AMOUNT_BITS - 1)) - 1)
#define UNITS_ZERO (INT64_C(1) << (SG_WORD_AMOUNT_BITS - 1)) /* so that units may be negative */

static const char *const subject_names[SG_SUBJECT_N] = {
        [SG_SUBJECT_KEY] = "key",           [SG_SUBJECT_GROUP] = "group",     [SG_SUBJECT_MODEL] = "model",
        [SG_SUBJECT_PROVIDER] = "provider", [SG_SUBJECT_ADDRESS] = "address",
};

const char *sg_limit_subject_name(enum sg_limit_subject s)
{
        return subject_names[s];
}

/* The finaliser of splitmix64. What it makes of a number is in files: it stays as it is. */
static uint64_t mix(uint64_t x)
{
        x += UINT64_C(0x9e3779b97f4a7c15);
        x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
        return x ^ x >> 31;
}

uint64_t sg_limit_name_id(struct sg_str name)
{
        uint64_t h = name.n;

        for (size_t i = 0; i < name.n; i++)
                h = mix(h ^ (unsigned char)name.p[i]);
        return h;
}

uint64_t sg_word_id(const struct sg_limited *who, const struct sg_limit *limit)
{
        uint64_t currency = 0, h;

        for (size_t i = 0; i < sizeof(limit->currency); i++)
                currency = currency << 8 | (unsigned char)limit->currency[i];
        h = mix(mix(who->id) ^ ((uint64_t)who->kind << 40 | currency));
        return (mix(h ^ ((uint64_t)limit->kind << 8 | limit->window)) & ~UINT64_C(31)) | (uint64_t)limit->kind << 3 |
               limit->window;
}

bool sg_word_id_is_good(uint64_t id)
{
        const enum sg_limit_kind k = sg_word_kind(id);
        const enum sg_limit_window w = sg_word_window(id);

        return id == 0 || (w < SG_WINDOW_N && (k == SG_LIMIT_CONCURRENT) == (w == SG_WINDOW_NONE) &&
                           (k != SG_LIMIT_COST || sg_window_is_calendar(w)));
}

/* ---- grants */

uint64_t sg_grant_pack(uint64_t period, int64_t units)
{
        const int64_t kept = units > UNITS_MAX ? UNITS_MAX : units < -UNITS_MAX ? -UNITS_MAX : units;

        return SG_GRANT_BOUND | sg_period_pack(period, (uint64_t)(kept + UNITS_ZERO));
}

int64_t sg_grant_units(uint64_t granted)
{
        return (int64_t)sg_amount_of(granted) - UNITS_ZERO;
}

bool sg_grant_take(struct sg_limit_word *w, uint64_t period, uint64_t n, bool must_be_bound, bool *ret_is_bound)
{
        uint64_t g = atomic_load_explicit(&w->granted, memory_order_relaxed);

        do {
                *ret_is_bound = g != 0;
                if (!g)
                        return !must_be_bound;
                if (sg_period_of(g) != period || n > (uint64_t)UNITS_MAX || sg_grant_units(g) < (int64_t)n)
                        return false;
        } while (!atomic_compare_exchange_weak(&w->granted, &g, sg_grant_pack(period, sg_grant_units(g) - (int64_t)n)));
        return true;
}

void sg_grant_give(struct sg_limit_word *w, uint64_t period, int64_t n)
{
        uint64_t g = atomic_load_explicit(&w->granted, memory_order_relaxed);

        do {
                if (!g || sg_period_of(g) != period)
                        return;
        } while (!atomic_compare_exchange_weak(&w->granted, &g, sg_grant_pack(period, sg_grant_units(g) + n)));
}

void sg_grant_add(struct sg_limit_word *w, uint64_t period, int64_t units)
{
        uint64_t g = atomic_load_explicit(&w->granted, memory_order_relaxed), next;

        do {
                const int64_t left = g && sg_period_of(g) == period ? sg_grant_units(g) : 0;

                next = sg_grant_pack(period, left + units);
        } while (!atomic_compare_exchange_weak(&w->granted, &g, next));
}

int64_t sg_grant_end(struct sg_limit_word *w, bool is_bound)
{
        const uint64_t g = atomic_exchange(&w->granted, is_bound ? sg_grant_pack(0, 0) : 0);

        return g ? sg_grant_units(g) : 0;
}
