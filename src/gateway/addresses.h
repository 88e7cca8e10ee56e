/*
 * gateway/addresses.h - the limits of client addresses, which outlive a snapshot as long as they stay the same
 *
 * Owner    counted, by the snapshots that have them
 * Thread   new: main; count and use: any
 * Errors   -ENOMEM
 */
#pragma once

#include "config/config.h"
#include "limit/address.h"

struct sg_addresses;

/* *ret NULL: the configuration has none. before: of the snapshot before, or NULL. */
int sg_addresses_new(struct sg_addresses **ret, const struct sg_config *c, struct sg_addresses *before) SG_MUST_CHECK;
struct sg_addresses *sg_addresses_unref(struct sg_addresses *a);
struct sg_limit_addresses *sg_addresses_table(struct sg_addresses *a);
