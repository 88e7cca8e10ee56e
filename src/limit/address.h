/*
 * limit/address.h - requests of each client address: a table of fixed size, which no number of addresses outgrows
 *
 * Shape    buckets by hash of the address (IPv6: of its /64), several to a set; where a set is full, the one with most
 *          left is forgotten, which is at best idle and at worst lets an address begin anew. In memory, of this process
 * Units    _usec monotonic
 * Owner    the daemon; kept over reloads as long as the limits are the same
 * Thread   any, without locks
 * Errors   -ENOMEM at birth
 * Limits   of kind requests, per minute or hour, none of them soft; SG_LIMITS_MAX of them; n_addresses rounded up to a power of two
 */
#pragma once

#include "base/ip.h"
#include "config/limit.h"

struct sg_limit_addresses;

int sg_limit_addresses_new(struct sg_limit_addresses **ret, const struct sg_limit_set *set, size_t n_addresses)
        SG_MUST_CHECK;
struct sg_limit_addresses *sg_limit_addresses_free(struct sg_limit_addresses *a);
SG_DEFINE_AUTO(struct sg_limit_addresses *, sg_limit_addresses_free)
/* One request. False: *ret_limit refuses, and *ret_wait_usec is until the next may come. */
bool sg_limit_addresses_take(struct sg_limit_addresses *a, const struct sg_ip *ip, uint64_t now_usec,
                             struct sg_limit *ret_limit, uint64_t *ret_wait_usec) SG_MUST_CHECK;
