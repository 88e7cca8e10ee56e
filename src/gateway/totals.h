/*
 * gateway/totals.h - what the ledger has counted, as a floor under what this node knows
 *
 * Owner    the total is lent
 * Thread   main, which applies the keys, too
 */
#pragma once

#include "gateway/worker.h"

/* Both for sg_feed_on_totals(); owner: the sg_shared. */
void sg_totals_begin(void *owner);
void sg_totals_take(const struct sg_feed_total *t, void *owner);
