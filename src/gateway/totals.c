#include "gateway/totals.h"

#include <string.h>

static uint64_t used_of(const struct sg_feed_total *t, const struct sg_limit *limit)
{
        if (limit->kind == SG_LIMIT_REQUESTS)
                return t->requests;
        if (limit->kind == SG_LIMIT_TOKENS)
                return t->tokens;
        for (size_t i = 0; limit->kind == SG_LIMIT_COST && i < t->n_costs; i++)
                if (strcmp(t->costs[i].currency, limit->currency) == 0)
                        return t->costs[i].micro;
        return 0;
}

static void put_under(struct sg_shared *shared, const struct sg_limited *who, const struct sg_feed_total *t)
{
        for (size_t i = 0; who->set && i < who->set->n; i++) {
                const struct sg_limit *limit = &who->set->at[i].limit;
                const uint64_t used = limit->window == t->window ? used_of(t, limit) : 0;

                if (used)
                        sg_limits_floor(shared->limits, who, limit, t->period, used);
        }
}

static void take_key(struct sg_shared *shared, const struct sg_feed_total *t)
{
        const struct sg_key *k = sg_keytable_find_id(shared->keys, t->id);

        if (k)
                put_under(shared, &(struct sg_limited){SG_SUBJECT_KEY, k->id, k->name, k->limits}, t);
}

static void take_group(struct sg_shared *shared, const struct sg_feed_total *t)
{
        const struct sg_group *g = sg_keytable_find_group(shared->keys, t->id);
        const struct sg_group_facts *f = g ? atomic_load_explicit(&g->facts, memory_order_acquire) : NULL;

        if (f)
                put_under(shared, &(struct sg_limited){SG_SUBJECT_GROUP, g->id, f->name, f->limits}, t);
}

void sg_totals_begin(void *owner)
{
        struct sg_shared *shared = owner;

        sg_limits_come_back(shared->limits);
}

void sg_totals_take(const struct sg_feed_total *t, void *owner)
{
        struct sg_shared *shared = owner;
        const struct sg_config *c = atomic_load_explicit(&shared->snapshot, memory_order_acquire)->config;
        const struct sg_config_provider *p;

        switch (t->of) {
        case SG_FEED_TOTAL_KEY:
                take_key(shared, t);
                return;
        case SG_FEED_TOTAL_GROUP:
                take_group(shared, t);
                return;
        case SG_FEED_TOTAL_PROVIDER:
                p = sg_config_find_provider(c, t->name);
                if (p)
                        put_under(shared,
                                  &(struct sg_limited){SG_SUBJECT_PROVIDER, sg_limit_name_id(t->name), p->name,
                                                       p->limits},
                                  t);
                return;
        case SG_FEED_TOTAL_MODEL:
                for (size_t i = 0; i < c->n_models; i++)
                        if (sg_str_eq(sg_str_from(c->models[i].name), t->name))
                                put_under(shared,
                                          &(struct sg_limited){SG_SUBJECT_MODEL, sg_limit_name_id(t->name),
                                                               c->models[i].name, c->models[i].limits},
                                          t);
                return;
        case SG_FEED_TOTAL_N:
                break;
        }
        SG_UNREACHABLE();
}
