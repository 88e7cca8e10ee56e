/*
 * gateway/limited.h - whose limits hold for an exchange: its key and the groups above, its model, its provider
 *
 * Shape    a list of those that have limits, made when it is needed
 * Owner    names and sets are lent for the turn
 * Thread   the exchange's worker
 */
#pragma once

#include "gateway/exchange.h"
#include "limit/limit.h"

#define SG_LIMITED_MAX (SG_GROUP_DEPTH_MAX + 3u)

struct sg_limited_list {
        struct sg_limited at[SG_LIMITED_MAX];
        size_t n;
};

void sg_limited_add_caller(struct sg_limited_list *w, const struct sg_exchange *x);
void sg_limited_add_model(struct sg_limited_list *w, const struct sg_config_model *m); /* NULL: none */
void sg_limited_add_provider(struct sg_limited_list *w, const struct sg_config_provider *p);
