/*
 * Two indexes over the same entries. By digest: liburcu's lock-free hash table, which workers read. By id: chains that
 * only the main thread walks, also for pictures. There may be a million entries: what each of them holds counts.
 *
 * What readers rely on:
 *
 * - An entry is never changed after it has been published. A change with the same digest replaces the node in one step,
 * so that no reader finds a known key missing for a moment. One that says nothing new leaves the entry as it is: most of
 * a picture that is told again does.
 * - liburcu is not instrumented for ThreadSanitizer and orders by its own barriers, so each entry is published by a
 * release store of its own `picture`, and whoever meets an entry (the match function is the first to) loads that
 * field with acquire before it reads anything else. On x86 and arm64 this costs nothing or one load-acquire.
 * - The table holds one reference, which it drops only after a grace period. So a reader that has found an entry may
 * take a reference at any time of its turn, even when the entry has just been replaced; and once the count is zero
 * nobody can reach the entry and it is freed at once, in whichever thread that happens.
 *
 * The table grows in the main thread (no resize thread, hence no surprise for signal masks and a table that is gone
 * when _free returns). It never shrinks: a table once large is filled again by the next picture.
 */
#include <errno.h>
#include <stdlib.h>

#include "auth/groups.h"

#include <urcu/rculfhash.h>

#define MODELS_MAX   64u
#define BUCKETS_MIN  64u  /* a power of two */
#define PICTURES_MAX 255u /* numbers that a picture may have; 0: the entry is not published yet */

struct entry {
        struct sg_key key; /* first: the key's release frees the entry */
        struct cds_lfht_node by_digest;
        struct entry *next_by_id;
};

struct sg_keytable {
        struct cds_lfht *by_digest;
        struct entry **by_id;
        size_t n_buckets; /* of both indexes */
        size_t n_keys;
        uint64_t n_changes;
        uint8_t picture; /* the last one; its keys have its number, and at its end no others are left */
        struct sg_groups groups;
};

static struct entry *entry_of(const struct sg_key *k)
{
        return SG_CONTAINER(k, struct entry, key);
}

static struct entry *of_node(struct cds_lfht_node *node)
{
        return SG_CONTAINER(node, struct entry, by_digest);
}

/* SHA-256 is uniform, and a caller who chooses what is hashed cannot choose where the known keys lie. */
static unsigned long digest_hash(const uint8_t *digest)
{
        unsigned long h;

        memcpy(&h, digest, sizeof(h));
        return h;
}

/* ---- entries */

static size_t models_bytes(const struct sg_key_change *change)
{
        size_t n = change->n_models * sizeof(char *);

        for (size_t i = 0; i < change->n_models; i++)
                n += change->models[i].n + 1;
        return n;
}

static const char *put_string(char **at, struct sg_str s)
{
        char *start = *at;

        if (s.n)
                memcpy(start, s.p, s.n);
        start[s.n] = '\0';
        *at += s.n + 1;
        return start;
}

static void entry_free(struct entry *e)
{
        sg_limit_set_unref(e->key.limits);
        sg_group_unref(e->key.group);
        free(e);
}

/* What it shares with others. before: the entry that it replaces, or NULL. */
static bool take_shared(struct sg_keytable *t, struct entry *e, const struct sg_key_change *change,
                        const struct entry *before)
{
        const bool is_same = before && sg_limit_set_is_same(before->key.limits, change->limits);

        e->key.limits = sg_limit_set_ref(is_same ? before->key.limits : change->limits);
        if (change->group_id)
                e->key.group = sg_groups_ref(&t->groups, change->group_id);
        return !change->group_id || e->key.group;
}

/* One block: the entry, the pointers to the models, the strings. */
static struct entry *entry_new(struct sg_keytable *t, const struct sg_key_change *change, const struct entry *before)
{
        struct entry *e;
        char *strings;

        e = calloc(1, sizeof(*e) + models_bytes(change) + change->name.n + 1);
        if (!e)
                return NULL;
        if (!take_shared(t, e, change, before)) {
                entry_free(e);
                return NULL;
        }
        atomic_init(&e->key.n_refs, 1);
        e->key.id = change->id;
        memcpy(e->key.digest, change->digest, sizeof(e->key.digest));
        e->key.expires_wall_usec = change->expires_wall_usec;
        e->key.is_revoked = change->is_revoked;
        e->key.all_models = change->all_models;
        e->key.models = (const char **)(e + 1);
        e->key.n_models = (uint8_t)change->n_models;
        strings = (char *)(e->key.models + change->n_models);
        for (size_t i = 0; i < change->n_models; i++)
                e->key.models[i] = put_string(&strings, change->models[i]);
        e->key.name = put_string(&strings, change->name);
        cds_lfht_node_init(&e->by_digest);
        return e;
}

const struct sg_key *sg_key_ref(const struct sg_key *k)
{
        uint32_t before = atomic_fetch_add_explicit(&entry_of(k)->key.n_refs, 1, memory_order_relaxed);

        SG_ASSERT(before > 0 && before < UINT32_MAX / 2);
        return k;
}

void sg_key_unref(const struct sg_key *k)
{
        if (!k)
                return;
        if (atomic_fetch_sub_explicit(&entry_of(k)->key.n_refs, 1, memory_order_acq_rel) == 1)
                entry_free(entry_of(k));
}

static void drop_tables_reference(struct sg_rcu_head *at)
{
        sg_key_unref(SG_CONTAINER(at, struct sg_key, rcu));
}

bool sg_key_may_use(const struct sg_key *k, struct sg_str model)
{
        if (k->all_models)
                return true;
        for (size_t i = 0; i < k->n_models; i++)
                if (sg_str_matches(sg_str_from(k->models[i]), model))
                        return true;
        return false;
}

/* ---- the index by id */

/* Ids are counted up by the ledger: their low bits spread them well. */
static struct entry **id_bucket(struct sg_keytable *t, uint64_t id)
{
        return &t->by_id[id & (t->n_buckets - 1)];
}

static struct entry *find_id(struct sg_keytable *t, uint64_t id)
{
        for (struct entry *e = *id_bucket(t, id); e; e = e->next_by_id)
                if (e->key.id == id)
                        return e;
        return NULL;
}

static void id_add(struct sg_keytable *t, struct entry *e)
{
        struct entry **bucket = id_bucket(t, e->key.id);

        e->next_by_id = *bucket;
        *bucket = e;
        t->n_keys++;
        t->n_changes++;
}

static void id_remove(struct sg_keytable *t, struct entry *e)
{
        struct entry **at = id_bucket(t, e->key.id);

        while (*at != e) {
                SG_ASSERT(*at);
                at = &(*at)->next_by_id;
        }
        *at = e->next_by_id;
        t->n_keys--;
        t->n_changes++;
}

/* ---- the table */

int sg_keytable_new(struct sg_keytable **ret)
{
        struct sg_keytable *t;

        t = calloc(1, sizeof(*t));
        if (!t)
                return -ENOMEM;
        t->picture = 1;
        t->n_buckets = BUCKETS_MIN;
        t->by_id = calloc(t->n_buckets, sizeof(struct entry *));
        t->by_digest = cds_lfht_new(BUCKETS_MIN, BUCKETS_MIN, 0, 0, NULL);
        if (!t->by_id || !t->by_digest) {
                sg_keytable_free(t);
                return -ENOMEM;
        }
        *ret = t;
        return 0;
}

/* Out of both indexes; readers of this turn may hold it still. */
static void remove_entry(struct sg_keytable *t, struct entry *e)
{
        SG_ASSERT(cds_lfht_del(t->by_digest, &e->by_digest) == 0);
        id_remove(t, e);
        sg_rcu_call(&e->key.rcu, drop_tables_reference);
}

struct sg_keytable *sg_keytable_free(struct sg_keytable *t)
{
        if (!t)
                return NULL;
        for (size_t i = 0; t->n_keys && i < t->n_buckets; i++)
                while (t->by_id[i])
                        remove_entry(t, t->by_id[i]);
        if (t->by_digest)
                SG_ASSERT(cds_lfht_destroy(t->by_digest, NULL) == 0);
        sg_groups_done(&t->groups);
        free(t->by_id);
        free(t);
        return NULL;
}

static int match_digest(struct cds_lfht_node *node, const void *digest)
{
        struct entry *e = of_node(node);

        /* The acquire that pairs with publish(). */
        SG_ASSERT(atomic_load_explicit(&e->key.picture, memory_order_acquire));
        return memcmp(e->key.digest, digest, SG_APIKEY_DIGEST_BYTES) == 0;
}

const struct sg_key *sg_keytable_find(struct sg_keytable *t, const uint8_t digest[SG_APIKEY_DIGEST_BYTES])
{
        struct cds_lfht_iter iter;
        struct cds_lfht_node *node;

        cds_lfht_lookup(t->by_digest, digest_hash(digest), match_digest, digest, &iter);
        node = cds_lfht_iter_get_node(&iter);
        return node ? &of_node(node)->key : NULL;
}

/* Both indexes double when there are more entries than buckets. Without memory the old ones serve on, slower. */
static void grow(struct sg_keytable *t)
{
        const size_t n = t->n_buckets;
        struct entry **wider;

        if (t->n_keys <= n)
                return;
        wider = realloc(t->by_id, 2 * n * sizeof(*wider));
        if (!wider)
                return;
        t->by_id = wider;
        t->n_buckets = 2 * n;
        for (size_t i = 0; i < n; i++) {
                struct entry *e = wider[i], **low = &wider[i], **high = &wider[i + n];

                for (; e; e = e->next_by_id) {
                        struct entry ***end = e->key.id & n ? &high : &low;

                        **end = e;
                        *end = &e->next_by_id;
                }
                *low = *high = NULL;
        }
        cds_lfht_resize(t->by_digest, t->n_buckets);
}

static void publish(struct sg_keytable *t, struct entry *e, struct entry *old)
{
        struct cds_lfht_node *same;

        atomic_store_explicit(&e->key.picture, t->picture, memory_order_release);
        same = cds_lfht_add_replace(t->by_digest, digest_hash(e->key.digest), match_digest, e->key.digest,
                                    &e->by_digest);
        if (same) {
                /* The same digest under another id cannot come from an honest ledger: the last word counts. */
                struct entry *replaced = of_node(same);

                id_remove(t, replaced);
                sg_rcu_call(&replaced->key.rcu, drop_tables_reference);
                if (old == replaced)
                        old = NULL;
        }
        if (old)
                remove_entry(t, old);
        id_add(t, e);
        grow(t);
}

static bool has_same_models(const struct sg_key *k, const struct sg_key_change *c)
{
        if (k->all_models != c->all_models || k->n_models != c->n_models)
                return false;
        for (size_t i = 0; i < c->n_models; i++)
                if (!sg_str_eq(sg_str_from(k->models[i]), c->models[i]))
                        return false;
        return true;
}

static bool says_the_same(const struct sg_key *k, const struct sg_key_change *c)
{
        return memcmp(k->digest, c->digest, sizeof(k->digest)) == 0 && k->is_revoked == c->is_revoked &&
               k->expires_wall_usec == c->expires_wall_usec && sg_str_eq(sg_str_from(k->name), c->name) &&
               (k->group ? k->group->id : 0) == c->group_id && has_same_models(k, c) &&
               sg_limit_set_is_same(k->limits, c->limits);
}

int sg_keytable_apply(struct sg_keytable *t, const struct sg_key_change *change)
{
        struct entry *e, *old;

        if (change->n_models > MODELS_MAX)
                return -E2BIG;
        old = find_id(t, change->id);
        if (change->is_removed) {
                if (old)
                        remove_entry(t, old);
                return 0;
        }
        if (old && says_the_same(&old->key, change)) {
                atomic_store_explicit(&old->key.picture, t->picture, memory_order_release);
                return 0;
        }
        e = entry_new(t, change, old);
        if (!e)
                return -ENOMEM;
        publish(t, e, old);
        return 0;
}

/* ---- groups */

int sg_keytable_apply_group(struct sg_keytable *t, const struct sg_group_change *change)
{
        return sg_groups_apply(&t->groups, change);
}

const struct sg_group *sg_keytable_find_group(struct sg_keytable *t, uint64_t id)
{
        return sg_groups_find(&t->groups, id);
}

void sg_keytable_each_group(struct sg_keytable *t, void (*each)(const struct sg_group *g, void *owner), void *owner)
{
        sg_groups_each(&t->groups, each, owner);
}

/* ---- all of it */

/* When the numbers are used up, all that stands counts as of the first: what was begun and never ended may have left any. */
static void number_anew(struct sg_keytable *t)
{
        for (size_t i = 0; i < t->n_buckets; i++)
                for (struct entry *e = t->by_id[i]; e; e = e->next_by_id)
                        atomic_store_explicit(&e->key.picture, 1, memory_order_release);
        t->picture = 1;
}

void sg_keytable_picture_begin(struct sg_keytable *t)
{
        if (t->picture == PICTURES_MAX)
                number_anew(t);
        t->picture++;
        sg_groups_picture_begin(&t->groups);
}

void sg_keytable_picture_end(struct sg_keytable *t)
{
        for (size_t i = 0; i < t->n_buckets; i++)
                for (struct entry *e = t->by_id[i], *next; e; e = next) {
                        next = e->next_by_id;
                        if (atomic_load_explicit(&e->key.picture, memory_order_relaxed) != t->picture)
                                remove_entry(t, e);
                }
        sg_groups_picture_end(&t->groups);
}

size_t sg_keytable_count(const struct sg_keytable *t)
{
        return t->n_keys;
}

uint64_t sg_keytable_n_changes(const struct sg_keytable *t)
{
        return t->n_changes + t->groups.n_changes;
}

const struct sg_key *sg_keytable_find_id(struct sg_keytable *t, uint64_t id)
{
        struct entry *e = find_id(t, id);

        return e ? &e->key : NULL;
}

/* When the index has doubled meanwhile, some of the later buckets have keys of those that were done. */
bool sg_keytable_each_from(struct sg_keytable *t, size_t *at, size_t n,
                           void (*each)(const struct sg_key *k, void *owner), void *owner)
{
        for (size_t done = 0; *at < t->n_buckets && done < n; ++*at)
                for (struct entry *e = t->by_id[*at]; e; e = e->next_by_id, done++)
                        each(&e->key, owner);
        return *at == t->n_buckets;
}

void sg_keytable_each(struct sg_keytable *t, void (*each)(const struct sg_key *k, void *owner), void *owner)
{
        size_t at = 0;

        (void)!sg_keytable_each_from(t, &at, SIZE_MAX, each, owner);
}
