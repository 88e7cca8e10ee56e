/*
 * auth/groups.h - the groups of a key table, by the ledger's id (private to the room)
 *
 * Owner    the table; each object is counted by this index, by keys and by the facts of children, and stays in the index
 *          while any of those points to it: so a group that is named before it is told is the same one afterwards
 * Thread   main, but for sg_group_unref(): any
 */
#pragma once

#include "auth/keytable.h"

struct sg_groups {
        struct sg_group_entry **buckets;
        size_t n_buckets; /* a power of two, or 0 */
        size_t n;         /* with those that are only named */
        uint64_t picture, n_changes;
};

void sg_groups_done(struct sg_groups *g);
/* With a count for the caller; one without facts is made where there is none. NULL without memory. */
const struct sg_group *sg_groups_ref(struct sg_groups *g, uint64_t id);
void sg_group_unref(const struct sg_group *group); /* takes NULL */

const struct sg_group *sg_groups_find(const struct sg_groups *g, uint64_t id);
int sg_groups_apply(struct sg_groups *g, const struct sg_group_change *change) SG_MUST_CHECK;
void sg_groups_each(const struct sg_groups *g, void (*each)(const struct sg_group *group, void *owner), void *owner);
void sg_groups_picture_begin(struct sg_groups *g);
void sg_groups_picture_end(struct sg_groups *g);
