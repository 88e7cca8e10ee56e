/*
 * auth/group.h - groups of keys: a tree whose limits hold for every key below
 *
 * Shape    a group has a name, limits and at most one parent; a key is in at most one group. Objects are found by the
 *          ledger's id and stay the same while anything points to them: what changes is swapped inside
 * Owner    counted: by the table (keytable.h), by keys and by children
 * Thread   changes: main; everything else: any registered RCU reader, inside its turn
 * Errors   -ENOMEM
 * Limits   SG_GROUP_DEPTH_MAX from a key to the root; what the ledger says beyond that, or in a circle, is not followed
 */
#pragma once

#include <stdatomic.h>

#include "base/rcu.h"
#include "config/limit.h"

#define SG_GROUP_DEPTH_MAX 8u

struct sg_group_facts { /* immutable */
        struct sg_rcu_head rcu;
        struct sg_limit_set *limits;   /* NULL: none */
        const struct sg_group *parent; /* NULL: none; counted */
        char name[];
};

struct sg_group {
        uint64_t id;
        _Atomic uint32_t n_refs;                /* private */
        _Atomic(struct sg_group_facts *) facts; /* NULL: a key names it, and it was not told yet, or was removed */
};

/* From the group of a key up to the root. *ret_n: how many. Lent for the turn. */
void sg_group_chain(const struct sg_group *g, const struct sg_group_facts *ret[SG_GROUP_DEPTH_MAX],
                    uint64_t ret_ids[SG_GROUP_DEPTH_MAX], size_t *ret_n);
