/*
 * upstream/backends_internal.h - what backends.c, backends_pick.c, backends_breaker.c and backends_budget.c share
 *
 * Shape    a backend is what is known of one endpoint, its words on cache lines of its own; a sg_backends is the
 *          choice among those of one configuration: weights, the order of turns, the budget of retries
 * Units    _usec, monotonic
 * Owner    a backend is counted: by each sg_backends that has it
 * Thread   any; words are read and written relaxed, as none of them guards another
 */
#pragma once

#include <stdatomic.h>

#include "upstream/backends.h"
#include "upstream/breaker.h"
#include "upstream/spoken.h"

#define BACKEND_IS_DRAINED 1u
#define BACKEND_IS_DOWN    2u

struct backend {
        _Alignas(64) _Atomic uint64_t load;
        struct breaker breaker;
        _Atomic uint32_t flags; /* BACKEND_IS_… */
        _Atomic uint64_t n_failed;
        _Atomic uint64_t since_usec; /* it is up, drained, down or tripped */
        uint64_t name_hash;
        char *name;
        _Atomic uint32_t n_refs;
        struct spoken fault, health;
};

#define BUDGET_SLOTS 16u /* more than the seconds that count, so that an old one is never taken for a new one */

struct sg_backends {
        _Alignas(64) _Atomic uint64_t turn; /* of the order */
        _Alignas(64) _Atomic uint64_t picked_by_second[BUDGET_SLOTS];
        _Atomic uint64_t retried_by_second[BUDGET_SLOTS];
        _Atomic uint32_t n_refs;
        enum sg_balance balance;
        struct breaker_rule rule;
        uint64_t health_interval_usec;
        unsigned retry_percent;
        size_t n;
        uint32_t weights[SG_ENDPOINTS_MAX];
        struct backend *backends[SG_ENDPOINTS_MAX];
        uint8_t *order; /* of round robin: each index as often as its weight says, as evenly as can be */
        uint32_t n_order;
};

static inline struct backend *backend_at(const struct sg_backends *b, unsigned index)
{
        SG_ASSERT(index < b->n);
        return b->backends[index];
}

/* backends_pick.c. 0 or -ENOMEM. */
int backends_make_order(struct sg_backends *b) SG_MUST_CHECK;

/* backends_breaker.c */
enum breaker_use backend_may_use(const struct sg_backends *b, const struct backend *e, uint64_t now_usec);
/* False: it may not be used any more. ret_trial: 0 when it is none. */
bool backend_begin(const struct sg_backends *b, struct backend *e, uint64_t now_usec, uint64_t *ret_trial);
enum sg_backend_state backend_state(const struct sg_backends *b, const struct backend *e, uint64_t now_usec);

/* backends_budget.c */
void backends_init_budget(struct sg_backends *b);
