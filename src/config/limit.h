/*
 * config/limit.h - a limit as people write it: "600 requests/minute", "20 usd/month warn=80% downgrade=90%"
 *
 * Shape    AMOUNT KIND[/WINDOW] [warn=P%] [downgrade=P%] [soft]
 *              requests, tokens     / minute | hour | day | month
 *              concurrent           without a window
 *              usd, eur, cny, …     / day | month: a budget, in a currency of prices.d
 *          AMOUNT: an integer, with K or M for thousands or millions; of budgets with up to six digits behind a point.
 *          Minutes and hours are buckets that refill evenly and hold a whole window's worth; days and months are those
 *          of the calendar, in UTC. soft: never refuses, only warns. A set holds those of one subject
 * Units    amount: requests, tokens, exchanges at once; of budgets millionths of the currency
 * Owner    a set is counted; immutable but for `words`, which limit/ fills
 * Thread   any
 * Errors   -EINVAL with a sentence that says what to write
 * Limits   SG_LIMITS_MAX in a set; amounts from 1 to SG_LIMIT_AMOUNT_MAX; no two of one kind, window and currency; none that
 *          another one of the set makes unreachable (600 a minute beside 100 a day)
 */
#pragma once

#include <stdatomic.h>

#include "base/error.h"
#include "base/str.h"

#define SG_LIMITS_MAX       8u
#define SG_LIMIT_AMOUNT_MAX UINT64_C(10000000000000) /* ten million of a currency; 44 bits hold it */
#define SG_LIMIT_TEXT_BYTES 96

enum sg_limit_kind {
        SG_LIMIT_REQUESTS,
        SG_LIMIT_TOKENS,
        SG_LIMIT_CONCURRENT,
        SG_LIMIT_COST,
        SG_LIMIT_KIND_N,
};
const char *sg_limit_kind_name(enum sg_limit_kind k); /* "requests", "tokens", "concurrent", "cost" */

enum sg_limit_window {
        SG_WINDOW_NONE, /* of SG_LIMIT_CONCURRENT */
        SG_WINDOW_MINUTE,
        SG_WINDOW_HOUR,
        SG_WINDOW_DAY,
        SG_WINDOW_MONTH,
        SG_WINDOW_N,
};
const char *sg_limit_window_name(enum sg_limit_window w); /* "minute" */

struct sg_limit {
        enum sg_limit_kind kind;
        enum sg_limit_window window;
        uint64_t amount;
        char currency[4];      /* "USD"; of SG_LIMIT_COST, else "" */
        unsigned warn_percent; /* 1 to 100; 0: no warning */
        unsigned
                downgrade_percent; /* of SG_LIMIT_COST: used so far, models with `downgrade` are replaced; 100: only when
                                     * what is asked for does not fit */
        bool is_soft;
};

int sg_limit_parse(struct sg_limit *ret, struct sg_str text, struct sg_error *err) SG_MUST_CHECK;
/* The canonical text, from which the same is parsed. */
const char *sg_limit_text(const struct sg_limit *l, char out[SG_LIMIT_TEXT_BYTES]);
/* "20 usd", "600 requests": an amount of l's kind, for people. */
const char *sg_limit_amount_text(const struct sg_limit *l, uint64_t amount, char out[SG_LIMIT_TEXT_BYTES]);

struct sg_limit_word; /* of limit/ */

struct sg_limit_set {
        _Atomic uint32_t n_refs; /* private */
        size_t n;
        struct {
                struct sg_limit limit;
                _Atomic(struct sg_limit_word *) word; /* NULL until it is asked for the first time */
        } at[];
};

/* Checks them against each other. NULL set for n 0. */
int sg_limit_set_new(struct sg_limit_set **ret, const struct sg_limit *limits, size_t n, struct sg_error *err)
        SG_MUST_CHECK;
struct sg_limit_set *sg_limit_set_ref(struct sg_limit_set *s); /* both take NULL */
struct sg_limit_set *sg_limit_set_unref(struct sg_limit_set *s);
SG_DEFINE_AUTO(struct sg_limit_set *, sg_limit_set_unref)
/* Each the same as in the other, so that words go on. */
bool sg_limit_set_is_same(const struct sg_limit_set *a, const struct sg_limit_set *b);
