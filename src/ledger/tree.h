/*
 * ledger/tree.h - all groups as they stand in one transaction, for the verb that looks at their tree
 *
 * Shape    groups in the order of ids; strings are the tree's
 * Owner    the caller embeds it
 * Thread   the keeper's
 * Errors   of the store
 * Limits   SG_GROUP_DEPTH_MAX groups from one up to its root; what lies above that, or in a circle, is not followed
 */
#pragma once

#include "auth/group.h"
#include "ledger/store.h"

struct sg_tree_group {
        uint64_t id, parent_id; /* 0: none */
        char *name, *limits;    /* limits "": none */
        uint64_t created_wall_usec, version, n_keys;
};

struct sg_tree {
        struct sg_tree_group *at;
        size_t n, room;
};

int sg_tree_init(struct sg_tree *t, struct sg_store *s, bool with_keys, struct sg_error *err) SG_MUST_CHECK;
void sg_tree_done(struct sg_tree *t);

/* As the database has it; lent as long as the tree. */
struct sg_store_group sg_tree_row(const struct sg_tree_group *g);
/* NULL: there is none. */
const struct sg_tree_group *sg_tree_by_id(const struct sg_tree *t, uint64_t id);
const struct sg_tree_group *sg_tree_by_name(const struct sg_tree *t, struct sg_str name);
/* "; did you mean 'x'?" or "". */
const char *sg_tree_nearest(const struct sg_tree *t, struct sg_str name, char *out, size_t out_bytes);

/* From that group up to its root: how many. */
size_t sg_tree_chain(const struct sg_tree *t, uint64_t id, const struct sg_tree_group *ret[SG_GROUP_DEPTH_MAX]);
/* How many levels it and those below it have: 1 when there are none. */
size_t sg_tree_height(const struct sg_tree *t, uint64_t id);
size_t sg_tree_n_children(const struct sg_tree *t, uint64_t id);

/* A limit of these that is never reached because a group from id upwards has a smaller one: a sentence, or "". */
const char *sg_tree_note(const struct sg_tree *t, uint64_t id, struct sg_str limits, char *out, size_t out_bytes);
