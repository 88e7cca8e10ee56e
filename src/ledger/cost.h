/*
 * ledger/cost.h - what usage cost, by the prices in force when it is asked: nothing of it is stored
 *
 * Shape    one sg_costing per question. Rows and events get two members: `costs`, a sum for each currency, and
 *          `unpriced_requests`, those with tokens that no price covers: their cost is unknown, and in none of the sums
 * Units    amounts are decimal numbers as text, exact to a millionth of a millionth
 * Owner    the prices are borrowed; rows and events are the caller's, a row must live until sg_costing_end()
 * Thread   one
 * Limits   SG_COST_CURRENCIES_MAX a row, what is in a further one counts as unpriced; SG_COST_UNPRICED_MAX models are
 *          told by name
 */
#pragma once

#include <json-c/json.h>

#include "config/prices.h"
#include "ledger/store.h"

#define SG_COST_CURRENCIES_MAX 16u
#define SG_COST_UNPRICED_MAX   100u

struct sg_costing;

/* prices: NULL: all is unpriced. NULL without memory. */
struct sg_costing *sg_costing_new(const struct sg_prices *prices) SG_MUST_CHECK;
struct sg_costing *sg_costing_free(struct sg_costing *c);
SG_DEFINE_AUTO(struct sg_costing *, sg_costing_free)

/* First all rows of a question by groups, then its bills in the order of groups. Bills of a group without a row are left
 * out. */
void sg_costing_add_row(struct sg_costing *c, struct sg_str group, struct json_object *row);
void sg_costing_add_bill(struct sg_costing *c, const struct sg_store_usage_bill *bill);
/* What one bill or event cost, into o. */
void sg_costing_tell_bill(struct sg_costing *c, const struct sg_store_usage_bill *bill, struct json_object *o);
void sg_costing_tell_event(struct sg_costing *c, const struct sg_store_usage_event *event, struct json_object *o);
/* Every row has its members now. An array of type Unpriced, the caller's. */
struct json_object *sg_costing_end(struct sg_costing *c) SG_MUST_CHECK;
