/*
 * A group is two objects: one that keys and children point to, which never changes, and its facts, which are replaced as
 * a whole. So a change of a group touches no key, and a key may name a group before the ledger has told it.
 *
 * Readers get to facts through an acquire load only, and may use them until their turn ends: the old ones are freed
 * after a grace period, and with them their count of the parent. A count of a group is only ever added by the main
 * thread (to keys and facts that nobody has yet), so one that only the index holds cannot be found by anybody any more.
 */
#include <errno.h>
#include <stdlib.h>

#include "auth/groups.h"

#define BUCKETS_MIN 64u

struct sg_group_entry {
        struct sg_group group; /* first: its release frees the entry */
        struct sg_group_entry *next;
        uint64_t picture; /* the last picture that told it */
};

/* ---- one group */

static struct sg_group_facts *facts_of(const struct sg_group *group)
{
        return atomic_load_explicit(&group->facts, memory_order_acquire);
}

static struct sg_group *writable(const struct sg_group *group)
{
        return (struct sg_group *)group;
}

void sg_group_unref(const struct sg_group *group)
{
        if (!group || atomic_fetch_sub_explicit(&writable(group)->n_refs, 1, memory_order_acq_rel) != 1)
                return;
        SG_ASSERT(!facts_of(group));
        free(SG_CONTAINER(group, struct sg_group_entry, group));
}

static void facts_free(struct sg_group_facts *f)
{
        sg_limit_set_unref(f->limits);
        sg_group_unref(f->parent);
        free(f);
}

static void on_grace(struct sg_rcu_head *at)
{
        facts_free(SG_CONTAINER(at, struct sg_group_facts, rcu));
}

static void set_facts(struct sg_groups *g, struct sg_group *group, struct sg_group_facts *facts)
{
        struct sg_group_facts *before = atomic_exchange_explicit(&group->facts, facts, memory_order_acq_rel);

        g->n_changes += before || facts;
        if (before)
                sg_rcu_call(&before->rcu, on_grace);
}

static bool is_seen(const uint64_t *ids, size_t n, uint64_t id)
{
        for (size_t i = 0; i < n; i++)
                if (ids[i] == id)
                        return true;
        return false;
}

void sg_group_chain(const struct sg_group *g, const struct sg_group_facts *ret[SG_GROUP_DEPTH_MAX],
                    uint64_t ret_ids[SG_GROUP_DEPTH_MAX], size_t *ret_n)
{
        size_t n = 0;

        while (g && n < SG_GROUP_DEPTH_MAX && !is_seen(ret_ids, n, g->id)) {
                const struct sg_group_facts *f = facts_of(g);

                if (!f)
                        break;
                ret_ids[n] = g->id;
                ret[n++] = f;
                g = f->parent;
        }
        *ret_n = n;
}

/* ---- the index: ids are counted up by the ledger, so their low bits spread them well */

static struct sg_group_entry **bucket_of(const struct sg_groups *g, uint64_t id)
{
        return &g->buckets[id & (g->n_buckets - 1)];
}

static struct sg_group_entry *find(const struct sg_groups *g, uint64_t id)
{
        struct sg_group_entry *e = g->n_buckets ? *bucket_of(g, id) : NULL;

        while (e && e->group.id != id)
                e = e->next;
        return e;
}

/* Without memory the old buckets serve on, slower; without any it fails. */
static bool grow(struct sg_groups *g)
{
        struct sg_groups wider = {.n_buckets = g->n_buckets ? 2 * g->n_buckets : BUCKETS_MIN};

        if (g->n < g->n_buckets)
                return true;
        wider.buckets = calloc(wider.n_buckets, sizeof(*wider.buckets));
        if (!wider.buckets)
                return g->n_buckets > 0;
        for (size_t i = 0; i < g->n_buckets; i++)
                for (struct sg_group_entry *e = g->buckets[i], *next; e; e = next) {
                        struct sg_group_entry **bucket = bucket_of(&wider, e->group.id);

                        next = e->next;
                        e->next = *bucket;
                        *bucket = e;
                }
        free(g->buckets);
        g->buckets = wider.buckets;
        g->n_buckets = wider.n_buckets;
        return true;
}

static struct sg_group_entry *find_or_add(struct sg_groups *g, uint64_t id)
{
        struct sg_group_entry *e = find(g, id), **bucket;

        if (e)
                return e;
        e = grow(g) ? calloc(1, sizeof(*e)) : NULL;
        if (!e)
                return NULL;
        e->group.id = id;
        atomic_init(&e->group.n_refs, 1);
        atomic_init(&e->group.facts, NULL);
        bucket = bucket_of(g, id);
        e->next = *bucket;
        *bucket = e;
        g->n++;
        return e;
}

/* Nobody but the index knows it, and the index nothing of it. */
static bool is_forgotten(const struct sg_group_entry *e)
{
        return !facts_of(&e->group) && atomic_load_explicit(&e->group.n_refs, memory_order_acquire) == 1;
}

static void sweep(struct sg_groups *g, struct sg_group_entry **bucket)
{
        for (struct sg_group_entry **at = bucket; *at;) {
                struct sg_group_entry *e = *at;

                if (!is_forgotten(e)) {
                        at = &e->next;
                        continue;
                }
                *at = e->next;
                g->n--;
                sg_group_unref(&e->group);
        }
}

const struct sg_group *sg_groups_ref(struct sg_groups *g, uint64_t id)
{
        struct sg_group_entry *e = find_or_add(g, id);

        if (!e)
                return NULL;
        atomic_fetch_add_explicit(&e->group.n_refs, 1, memory_order_relaxed);
        return &e->group;
}

const struct sg_group *sg_groups_find(const struct sg_groups *g, uint64_t id)
{
        struct sg_group_entry *e = find(g, id);

        return e && facts_of(&e->group) ? &e->group : NULL;
}

void sg_groups_each(const struct sg_groups *g, void (*each)(const struct sg_group *group, void *owner), void *owner)
{
        for (size_t i = 0; i < g->n_buckets; i++)
                for (struct sg_group_entry *e = g->buckets[i]; e; e = e->next)
                        if (facts_of(&e->group))
                                each(&e->group, owner);
}

/* ---- changes */

static bool says_the_same(const struct sg_group_facts *f, const struct sg_group_change *c)
{
        return f && (f->parent ? f->parent->id : 0) == c->parent_id && sg_str_eq(sg_str_from(f->name), c->name) &&
               sg_limit_set_is_same(f->limits, c->limits);
}

/* before: limits that are the same keep their words. */
static struct sg_group_facts *facts_new(struct sg_groups *g, const struct sg_group_change *c,
                                        const struct sg_group_facts *before)
{
        struct sg_group_facts *f = calloc(1, sizeof(*f) + c->name.n + 1);

        if (!f)
                return NULL;
        if (c->parent_id) {
                f->parent = sg_groups_ref(g, c->parent_id);
                if (!f->parent) {
                        free(f);
                        return NULL;
                }
        }
        f->limits = sg_limit_set_ref(before && sg_limit_set_is_same(before->limits, c->limits) ? before->limits
                                                                                               : c->limits);
        (void)sg_str_copy(f->name, c->name.n + 1, c->name);
        return f;
}

int sg_groups_apply(struct sg_groups *g, const struct sg_group_change *change)
{
        struct sg_group_entry *e = change->is_removed ? find(g, change->id) : find_or_add(g, change->id);
        struct sg_group_facts *facts;

        if (change->is_removed) {
                if (e) {
                        set_facts(g, &e->group, NULL);
                        sweep(g, bucket_of(g, change->id));
                }
                return 0;
        }
        if (!e)
                return -ENOMEM;
        e->picture = g->picture;
        if (says_the_same(facts_of(&e->group), change))
                return 0;
        facts = facts_new(g, change, facts_of(&e->group));
        if (!facts)
                return -ENOMEM;
        set_facts(g, &e->group, facts);
        return 0;
}

void sg_groups_picture_begin(struct sg_groups *g)
{
        g->picture++;
}

void sg_groups_picture_end(struct sg_groups *g)
{
        for (size_t i = 0; i < g->n_buckets; i++) {
                for (struct sg_group_entry *e = g->buckets[i]; e; e = e->next)
                        if (e->picture != g->picture)
                                set_facts(g, &e->group, NULL);
                sweep(g, &g->buckets[i]);
        }
}

void sg_groups_done(struct sg_groups *g)
{
        for (size_t i = 0; i < g->n_buckets; i++)
                for (struct sg_group_entry *e = g->buckets[i], *next; e; e = next) {
                        next = e->next;
                        set_facts(g, &e->group, NULL);
                        sg_group_unref(&e->group);
                }
        free(g->buckets);
        *g = (struct sg_groups){0};
}
