/*
 * A reservation is made in two rounds: the first only looks, and refuses without a trace whatever does not fit; the second
 * takes word by word. Where somebody else was faster in between, all that was taken is given back in the same instant, and
 * both rounds begin anew. So words need no order, and nobody waits for anybody.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/str.h"
#include "limit/grants.h"
#include "limit/table.h"

#define TRIES_MAX 16 /* each means that somebody else has taken or given something in between */

int sg_limits_new(struct sg_limits **ret, const struct sg_limits_options *options, uint64_t now_usec,
                  uint64_t wall_usec, char ret_text[256])
{
        SG_AUTO(sg_limits_free) struct sg_limits *l = calloc(1, sizeof(*l));
        bool is_new = true;
        int r;

        if (!l)
                return -ENOMEM;
        l->on_warning = options->on_warning;
        l->owner = options->owner;
        atomic_init(&l->wall_usec, wall_usec);
        if (options->saved_path) {
                l->saved_path = sg_str_dup(sg_str_from(options->saved_path));
                if (!l->saved_path)
                        return -ENOMEM;
        }
        r = sg_words_open(&l->words, options->path, &is_new, ret_text);
        if (r)
                return r;
        (void)sg_words_reclaim(l->words);
        if (is_new && l->saved_path) {
                char text[256];

                sg_limits_load(l, now_usec, wall_usec, text);
                if (!ret_text[0])
                        memcpy(ret_text, text, sizeof(text));
        }
        *ret = SG_GIVE(l);
        return 0;
}

struct sg_limits *sg_limits_free(struct sg_limits *l)
{
        if (!l)
                return NULL;
        for (struct sg_limit_want *w = sg_limits_take_wants(l), *next; w; w = next) {
                next = w->next;
                free(w);
        }
        sg_words_close(l->words);
        free(l->saved_path);
        free(l);
        return NULL;
}

void sg_limits_tend(struct sg_limits *l, uint64_t now_usec, uint64_t wall_usec)
{
        atomic_store_explicit(&l->wall_usec, wall_usec, memory_order_relaxed);
        (void)sg_words_reclaim(l->words);
        sg_words_grow(l->words);
}

struct sg_limit_word *sg_limits_word(struct sg_limits *l, const struct sg_limited *who, size_t at, bool is_to_be_made)
{
        struct sg_limit_word *w = atomic_load_explicit(&who->set->at[at].word, memory_order_acquire);

        if (w)
                return w;
        w = sg_words_find(l->words, sg_word_id(who, &who->set->at[at].limit), is_to_be_made);
        if (w)
                atomic_store_explicit(&who->set->at[at].word, w, memory_order_release);
        return w;
}

/* ---- what is asked */

struct asked {
        const struct sg_limited *who;
        const struct sg_limit *limit;
        struct sg_limit_word *word;
        uint64_t n;
};

struct turn {
        struct sg_limits *limits;
        const struct sg_limit_ask *ask;
        struct sg_count_time time;
        size_t n;
        struct asked asked[SG_LIMIT_HOLDS_MAX];
        struct sg_limit_hold taken[SG_LIMIT_HOLDS_MAX];
};

static uint64_t n_asked_of(const struct sg_limit_ask *ask, const struct sg_limit *limit)
{
        return limit->kind == SG_LIMIT_COST && memcmp(limit->currency, ask->currency, sizeof(ask->currency)) != 0
                       ? 0
                       : ask->n_of[limit->kind];
}

static int collect(struct turn *t, const struct sg_limit_ask *ask)
{
        for (size_t i = 0; i < ask->n_who; i++)
                for (size_t k = 0; ask->who[i].set && k < ask->who[i].set->n; k++) {
                        const struct sg_limit *limit = &ask->who[i].set->at[k].limit;
                        const uint64_t n = n_asked_of(ask, limit);
                        struct asked *a = &t->asked[t->n];

                        if (!n)
                                continue;
                        if (t->n == SG_LIMIT_HOLDS_MAX)
                                return -E2BIG;
                        *a = (struct asked){&ask->who[i], limit, sg_limits_word(t->limits, &ask->who[i], k, true), n};
                        if (!a->word)
                                return -ENOMEM;
                        t->n++;
                }
        return 0;
}

/* ---- room for holds */

static struct sg_limit_hold *hold_at(const struct sg_reservation *r, size_t i)
{
        return i < SG_LIMIT_HOLDS_NEAR ? (struct sg_limit_hold *)&r->near[i] : &r->far[i - SG_LIMIT_HOLDS_NEAR];
}

static int make_room(struct sg_reservation *r, size_t n_more)
{
        const size_t n = r->n + n_more;
        struct sg_limit_hold *far;

        if (n > SG_LIMIT_HOLDS_MAX)
                return -E2BIG;
        if (n <= SG_LIMIT_HOLDS_NEAR)
                return 0;
        far = realloc(r->far, (n - SG_LIMIT_HOLDS_NEAR) * sizeof(*far));
        if (!far)
                return -ENOMEM;
        r->far = far;
        return 0;
}

static void empty(struct sg_reservation *r)
{
        free(r->far);
        r->far = NULL;
        r->n = 0;
}

/* More of the same word is one hold. Of a bucket the older place counts, which gives back less. */
static void keep(struct sg_reservation *r, const struct sg_limit_hold *taken)
{
        for (size_t i = 0; i < r->n; i++) {
                struct sg_limit_hold *h = hold_at(r, i);

                if (h->word == taken->word && h->period == taken->period && h->is_bound == taken->is_bound &&
                    h->grant_period == taken->grant_period && h->amount == taken->amount) {
                        h->n += taken->n;
                        h->n_held += taken->n_held;
                        return;
                }
        }
        *hold_at(r, r->n++) = *taken;
}

/* ---- the first round: looking */

static bool has_grant(const struct turn *t, const struct asked *a)
{
        const uint64_t g = atomic_load_explicit(&a->word->granted, memory_order_relaxed);

        if (a->limit->is_soft)
                return true;
        if (!g)
                return !atomic_load_explicit(&t->limits->needs_grants, memory_order_relaxed);
        return sg_period_of(g) == sg_window_period(a->limit->window, t->time.wall_usec) && a->n <= INT64_MAX &&
               sg_grant_units(g) >= (int64_t)a->n;
}

static void fill(struct sg_limit_refusal *ret, const struct turn *t, const struct asked *a, uint64_t wait_usec)
{
        struct sg_count_view v;

        sg_count_look(a->word, a->limit, &t->time, &v);
        *ret = (struct sg_limit_refusal){.who = a->who,
                                         .limit = *a->limit,
                                         .used = v.used,
                                         .asked = a->n,
                                         .wait_usec = wait_usec,
                                         .is_alone = atomic_load_explicit(&t->limits->is_alone, memory_order_relaxed)};
}

/* What all nodes together have used up: when it may fit again. */
static uint64_t spent_wait(const struct turn *t, const struct asked *a)
{
        struct sg_count_view v;

        sg_count_look(a->word, a->limit, &t->time, &v);
        if (sg_window_is_bucket(a->limit->window))
                return SG_MAX((uint64_t)((double)SG_MIN(a->n, a->limit->amount) *
                                         (a->limit->window == SG_WINDOW_MINUTE ? 60e6 : 3600e6) /
                                         (double)a->limit->amount),
                              (uint64_t)1);
        return v.reset_usec;
}

/* The limit that has to be waited for longest. */
static int look(const struct turn *t, struct sg_limit_refusal *ret)
{
        const struct asked *refuses = NULL, *waits = NULL;
        uint64_t longest = 0;

        for (size_t i = 0; i < t->n; i++) {
                const struct asked *a = &t->asked[i];
                bool fits;
                const uint64_t wait = sg_count_wait(a->word, a->limit, a->n, &t->time, &fits);

                if (!fits && (!refuses || wait > longest)) {
                        refuses = a;
                        longest = wait;
                }
                if (!fits || has_grant(t, a))
                        continue;
                if (sg_limits_is_spent(t->limits, a->word, t->time.now_usec)) {
                        refuses = a;
                        longest = SG_MAX(longest, spent_wait(t, a));
                        continue;
                }
                waits = a;
        }
        /* All that lack something, so that one round trip is enough. */
        for (size_t i = 0; waits && !refuses && i < t->n; i++)
                if (!has_grant(t, &t->asked[i]))
                        sg_limits_leave_want(t->limits, t->asked[i].word, t->asked[i].limit, t->asked[i].n);
        if (!refuses && !waits)
                return 0;
        fill(ret, t, refuses ? refuses : waits, longest);
        return refuses ? SG_LIMIT_E_REFUSED : SG_LIMIT_E_WAIT;
}

/* ---- the second round: taking */

static bool take_grant(const struct turn *t, const struct asked *a, struct sg_limit_hold *h)
{
        /* By the clock, also where the word is ahead of it. */
        h->grant_period = (uint32_t)sg_window_period(a->limit->window, t->time.wall_usec);
        if (!a->limit->is_soft)
                return sg_grant_take(a->word, h->grant_period, h->n, atomic_load(&t->limits->needs_grants),
                                     &h->is_bound);
        h->is_bound = atomic_load_explicit(&a->word->granted, memory_order_relaxed) != 0;
        if (h->is_bound)
                sg_grant_give(a->word, h->grant_period, -(int64_t)h->n);
        return true;
}

static void undo(const struct turn *t, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                const struct sg_limit_hold *h = &t->taken[i];

                sg_count_undo(h, &t->time);
                if (h->is_bound)
                        sg_grant_give(h->word, h->grant_period, (int64_t)h->n);
        }
}

/* 0, or what the first one that did not give says; *ret_failed. */
static int take(struct turn *t, const struct asked **ret_failed)
{
        for (size_t i = 0; i < t->n; i++) {
                const struct asked *a = &t->asked[i];

                *ret_failed = a;
                if (!sg_count_take(a->word, a->limit, a->n, &t->time, &t->taken[i])) {
                        undo(t, i);
                        return SG_LIMIT_E_REFUSED;
                }
                if (!take_grant(t, a, &t->taken[i])) {
                        t->taken[i].is_bound = false;
                        undo(t, i + 1);
                        return SG_LIMIT_E_WAIT;
                }
        }
        return 0;
}

static void warn(const struct turn *t, const struct asked *a)
{
        const struct sg_limit *l = a->limit;
        struct sg_limit_warning w = {.who = a->who, .limit = l};
        struct sg_count_view v;

        if (!l->warn_percent && !l->is_soft)
                return;
        sg_count_look(a->word, l, &t->time, &v);
        w.used = v.used;
        w.percent = (unsigned)SG_MIN((__uint128_t)v.used * 100 / l->amount, UINT32_MAX);
        if (l->is_soft && v.used > l->amount && sg_count_mark(a->word, l, 1, &t->time)) {
                w.is_over = true;
                t->limits->on_warning(&w, t->limits->owner);
        }
        w.is_over = false;
        if (l->warn_percent && w.percent >= l->warn_percent && sg_count_mark(a->word, l, 0, &t->time))
                t->limits->on_warning(&w, t->limits->owner);
}

static int look_and_take(struct turn *t, struct sg_limit_refusal *ret_refusal)
{
        const struct asked *failed;
        int e = 0;

        for (unsigned tries = 0; tries < TRIES_MAX; tries++) {
                e = look(t, ret_refusal);
                if (e)
                        return e;
                e = take(t, &failed);
                if (!e)
                        return 0;
        }
        fill(ret_refusal, t, failed, 0);
        return e;
}

int sg_limits_reserve(struct sg_limits *l, const struct sg_limit_ask *ask, struct sg_reservation *r,
                      struct sg_limit_refusal *ret_refusal)
{
        struct turn t;
        int e;

        t.limits = l;
        t.ask = ask;
        t.time = sg_limits_time(l, ask->now_usec, ask->wall_usec);
        t.n = 0;
        e = collect(&t, ask);
        if (!e)
                e = make_room(r, t.n);
        if (!e)
                e = look_and_take(&t, ret_refusal);
        if (e) {
                if (r->n == 0)
                        empty(r);
                return e;
        }
        for (size_t i = 0; i < t.n; i++) {
                keep(r, &t.taken[i]);
                if (l->on_warning)
                        warn(&t, &t.asked[i]);
        }
        return 0;
}

/* ---- giving back */

/* What hold number i has of a sum that was used: each of a word its part, the last what is over. */
static uint64_t share_of(const struct sg_reservation *r, size_t i, uint64_t sum)
{
        const struct sg_limit_hold *h = hold_at(r, i);
        bool is_last = true;

        for (size_t k = 0; k < r->n; k++) {
                if (k == i || hold_at(r, k)->word != h->word)
                        continue;
                if (k < i)
                        sum -= SG_MIN(sum, hold_at(r, k)->n);
                else
                        is_last = false;
        }
        return is_last ? SG_MIN(sum, SG_WORD_AMOUNT_MAX) : SG_MIN(sum, h->n);
}

static void give_back(const struct sg_limit_hold *h, uint64_t n_used, const struct sg_count_time *t)
{
        sg_count_settle(h, n_used, t);
        if (h->is_bound)
                sg_grant_give(h->word, h->grant_period, (int64_t)h->n - (int64_t)n_used);
}

void sg_limits_settle(struct sg_limits *l, struct sg_reservation *r, uint64_t n_tokens, uint64_t cost,
                      uint64_t now_usec, uint64_t wall_usec)
{
        const struct sg_count_time t = sg_limits_time(l, now_usec, wall_usec);

        for (size_t i = 0; i < r->n; i++) {
                const struct sg_limit_hold *h = hold_at(r, i);

                switch ((enum sg_limit_kind)h->kind) {
                case SG_LIMIT_REQUESTS:
                        give_back(h, h->n, &t);
                        break;
                case SG_LIMIT_TOKENS:
                        give_back(h, share_of(r, i, n_tokens), &t);
                        break;
                case SG_LIMIT_COST:
                        give_back(h, share_of(r, i, cost), &t);
                        break;
                default:
                        give_back(h, 0, &t);
                }
        }
        empty(r);
}

void sg_limits_release(struct sg_limits *l, struct sg_reservation *r, uint64_t now_usec)
{
        const struct sg_count_time t = sg_limits_time(l, now_usec, 0);

        for (size_t i = 0; i < r->n; i++)
                give_back(hold_at(r, i), 0, &t);
        empty(r);
}

void sg_limits_floor(struct sg_limits *l, const struct sg_limited *who, const struct sg_limit *limit, uint64_t period,
                     uint64_t used)
{
        struct sg_limit_word *w;

        if (!sg_window_is_calendar(limit->window))
                return;
        w = sg_words_find(l->words, sg_word_id(who, limit), used != 0);
        if (w)
                sg_count_floor(w, period, used, atomic_load_explicit(&l->wall_usec, memory_order_relaxed));
}

void sg_limits_come_back(struct sg_limits *l)
{
        const uint64_t wall_usec = atomic_load_explicit(&l->wall_usec, memory_order_relaxed);
        struct sg_limit_word *w;
        uint64_t at = 0;

        while ((w = sg_words_next(l->words, &at))) {
                const enum sg_limit_window window = sg_word_window(atomic_load(&w->id));

                if (sg_window_is_calendar(window))
                        sg_count_floor(w, sg_window_period(window, wall_usec), 0, wall_usec);
        }
}
