/*
 * auth/keytable.h - who may call: digests to keys, read by every worker without a lock
 *
 * Shape    a lock-free hash table (liburcu) of immutable entries; a change replaces the entry
 * Owner    the table owns entries; a reader's pointer is good until its turn ends, sg_key_ref() keeps it longer
 * Thread   find: any registered RCU reader; all else: the main thread only, which is registered, too
 * Errors   -ENOMEM, -E2BIG for too many models
 * Limits   models: 64 patterns per key
 */
#pragma once

#include <stdatomic.h>

#include "auth/apikey.h"
#include "auth/group.h"
#include "base/limits.h"
#include "base/macro.h"
#include "base/rcu.h"

struct sg_key {
        struct sg_rcu_head rcu;  /* private */
        _Atomic uint32_t n_refs; /* private */
        _Atomic uint8_t picture; /* private */
        bool is_revoked;         /* kept, so that the log can say so */
        bool all_models;
        uint8_t n_models; /* 0 with all_models false: none */
        uint64_t id;      /* of the ledger */
        uint8_t digest[SG_APIKEY_DIGEST_BYTES];
        const char *name;
        uint64_t expires_wall_usec;   /* 0: never */
        const char **models;          /* patterns */
        struct sg_limit_set *limits;  /* NULL: none */
        const struct sg_group *group; /* NULL: none; its limits hold, too */
};

struct sg_keytable;

int sg_keytable_new(struct sg_keytable **ret) SG_MUST_CHECK;
/* No reader may be left. */
struct sg_keytable *sg_keytable_free(struct sg_keytable *t);
SG_DEFINE_AUTO(struct sg_keytable *, sg_keytable_free)

const struct sg_key *sg_keytable_find(struct sg_keytable *t, const uint8_t digest[SG_APIKEY_DIGEST_BYTES]);
const struct sg_key *sg_key_ref(const struct sg_key *k);
void sg_key_unref(const struct sg_key *k);
bool sg_key_may_use(const struct sg_key *k, struct sg_str model);

/* What the feed says of a key; copied. An id seen before replaces its entry (its digest may have changed). */
struct sg_key_change {
        uint64_t id;
        uint8_t digest[SG_APIKEY_DIGEST_BYTES];
        struct sg_str name;
        uint64_t expires_wall_usec;
        bool is_revoked, is_removed;
        bool all_models;
        const struct sg_str *models;
        size_t n_models;
        uint64_t group_id;           /* 0: none */
        struct sg_limit_set *limits; /* NULL: none; the table takes a count. The same as before keep their words */
};
int sg_keytable_apply(struct sg_keytable *t, const struct sg_key_change *change) SG_MUST_CHECK;
/* What the feed says of a group; copied. */
struct sg_group_change {
        uint64_t id, parent_id; /* parent_id 0: none */
        struct sg_str name;
        struct sg_limit_set *limits;
        bool is_removed;
};
int sg_keytable_apply_group(struct sg_keytable *t, const struct sg_group_change *change) SG_MUST_CHECK;
/* NULL: not known. Main thread. */
const struct sg_group *sg_keytable_find_group(struct sg_keytable *t, uint64_t id);
const struct sg_key *sg_keytable_find_id(struct sg_keytable *t, uint64_t id);
void sg_keytable_each_group(struct sg_keytable *t, void (*each)(const struct sg_group *g, void *owner), void *owner);
/* A full picture: begin marks, end removes what was not applied in between. */
void sg_keytable_picture_begin(struct sg_keytable *t);
void sg_keytable_picture_end(struct sg_keytable *t);
size_t sg_keytable_count(const struct sg_keytable *t);
/* How often something changed in it: a key or group came, went or says something else. */
uint64_t sg_keytable_n_changes(const struct sg_keytable *t);
/* For the picture on disk; main thread. */
void sg_keytable_each(struct sg_keytable *t, void (*each)(const struct sg_key *k, void *owner), void *owner);
/* The same piece by piece: goes on at *at (0 at the start) for at least n keys; true at the end. What changes in between may
 * be left out or told twice; what does not is told. */
bool sg_keytable_each_from(struct sg_keytable *t, size_t *at, size_t n,
                           void (*each)(const struct sg_key *k, void *owner), void *owner) SG_MUST_CHECK;
