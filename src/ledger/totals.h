/*
 * ledger/totals.h - what was used of limits of a day or a month, told to the gateways that watch
 *
 * Shape    rounds of jobs for the keeper: which keys were used or changed since the last round, the totals of these, of the
 *          groups above them, and of models and providers with such limits. Only what was touched is told, each window
 *          that has a limit; all of the month so far after sg_totals_want_all()
 * Units    days and months of the calendar (UTC); tokens are input and output; costs by the prices of the configuration
 * Owner    the server; loop and keeper are borrowed and outlive it
 * Thread   the loop's; the jobs' run(): the keeper's
 * Errors   a database that fails is asked again; nothing touched is forgotten
 * Limits   a round begins ROUND_USEC after the one before, and takes a tenth of the keeper's time (totals.c)
 */
#pragma once

#include <json-c/json.h>

#include "config/config.h"
#include "ledger/keeper.h"

struct sg_totals;

/* tell: an array of type Total, given away. */
int sg_totals_new(struct sg_totals **ret, struct sg_loop *l, struct sg_keeper *k,
                  void (*tell)(struct json_object *totals, void *owner), void *owner) SG_MUST_CHECK;
struct sg_totals *sg_totals_free(struct sg_totals *t);
SG_DEFINE_AUTO(struct sg_totals *, sg_totals_free)
/* Whose prices, models and providers count from now on; takes a reference. NULL: none. */
void sg_totals_set_config(struct sg_totals *t, struct sg_config *config);
/* Somebody new listens. Before that nothing is asked of the database. */
void sg_totals_want_all(struct sg_totals *t);
/* Nobody listens any more. */
void sg_totals_stop(struct sg_totals *t);
