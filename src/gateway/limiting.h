/*
 * gateway/limiting.h - the limits of an exchange's caller, model and provider: reserved, waited for, settled, told
 *
 * Shape    an sg_limiting per exchange that anything limits; the others have none. What is asked of whom:
 *              admit     the key and its groups: a request, and one more at once
 *              connect   these and the model: tokens; the model: a request; for each attempt's provider the same, and of
 *                        all of them the cost, which goes by the lane
 *              account   what was really used takes the place of what was reserved
 * Units    as limit/limit.h; _usec
 * Owner    the exchange; words and grants belong to sg_limits, which outlives it
 * Thread   its worker
 * Errors   an enum sg_failure for the client
 * Limits   waits for grants as long as WAIT_USEC_MAX (limiting.c)
 */
#pragma once

#include "gateway/exchange.h"
#include "limit/limit.h"

struct sg_limiting {
        struct sg_exchange *exchange;
        struct sg_link link;                          /* of the worker: waits for this node to be granted more */
        struct sg_reservation caller, by_model, lane; /* caller: key and groups; lane: the provider that is asked */
        bool is_admitted;
        const struct sg_config_model *model;       /* for which tokens are held; see has_tokens */
        const struct sg_config_provider *provider; /* of `lane` */
        unsigned attempt;                          /* of `lane` */
        bool has_tokens, has_cost;
        uint64_t caller_cost, model_cost, lane_cost; /* held in each */
        char currency[4];                            /* of the first two */
        enum sg_failure refused;                     /* why a lane may not be asked, if one may not */
        unsigned wait_sec;                           /* of that */
        char *why;                                   /* NULL: there was no memory for it */
};

struct sg_limiting *sg_limiting_free(struct sg_limiting *l);

/* Before the key is looked at: FINISH when the address has had its requests. */
enum sg_step sg_limiting_address(struct sg_exchange *x);
enum sg_step sg_limiting_admit(struct sg_exchange *x);
/* The model is known and the body is whole. May put a cheaper model in place of x->model. */
enum sg_step sg_limiting_model(struct sg_exchange *x);

enum sg_limiting_lane {
        SG_LIMITING_MAY,
        SG_LIMITING_MAY_NOT, /* another lane perhaps */
        SG_LIMITING_WAIT,    /* sg_exchange_run() is called when it may be known */
};
/* The lane that was picked. */
enum sg_limiting_lane sg_limiting_lane(struct sg_exchange *x);
/* Nobody was asked on it: its request cannot be said in that dialect. */
void sg_limiting_leave_lane(struct sg_exchange *x);
/* No lane is left, and NO_TARGET was told: NEXT when a cheaper model has taken the place of this one, whose lanes may be picked;
 * FINISH with the limit that is in the way, or with what was told where none is. */
enum sg_step sg_limiting_instead(struct sg_exchange *x);

/* In account, when usage is known. */
void sg_limiting_settle(struct sg_exchange *x);
/* "x-ratelimit-…" or "anthropic-ratelimit-…" lines. 0 or as sg_buf_add(). */
int sg_limiting_add_fields(struct sg_exchange *x) SG_MUST_CHECK;
/* The provider's own of these are not passed on then. */
bool sg_limiting_tells(const struct sg_exchange *x);

/* Grants have come, or will not: those that wait ask again. */
void sg_limiting_on_grants(struct sg_worker *w);
/* It has waited for long enough: true when it did wait. */
bool sg_limiting_give_up(struct sg_exchange *x);

/* limits_told.c: for sg_limits_options. */
void sg_limits_tell_warning(const struct sg_limit_warning *warning, void *owner);
