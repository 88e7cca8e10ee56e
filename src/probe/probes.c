/*
 * The set in force, and the view of it that everybody reads.
 */
#include "probe/probe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "probe/probe_internal.h"

/* ---- the view */

static void health_retired(struct sg_rcu_head *at)
{
        sg_health_free(SG_CONTAINER(at, struct sg_health, rcu));
}

static void publish(struct sg_probes *p, struct sg_health *next)
{
        struct sg_health *before = atomic_exchange_explicit(&p->health, next, memory_order_acq_rel);

        if (before)
                sg_rcu_call(&before->rcu, health_retired);
}

static int make_health(struct sg_health **ret, const struct sg_probe_set *s)
{
        const struct sg_health_item **items = calloc(s->n_probes ? s->n_probes : 1, sizeof(*items));
        int r;

        if (!items)
                return -ENOMEM;
        for (size_t i = 0; i < s->n_probes; i++)
                items[i] = &s->probes[i].known;
        r = sg_health_new(ret, s->config, items, s->n_probes);
        free(items);
        return r;
}

static void publish_later(struct sg_deferred *d)
{
        struct sg_probes *p = SG_CONTAINER(d, struct sg_probes, publishing);
        struct sg_health *next;

        /* Without memory the view from before stays until the next result. */
        if (make_health(&next, p->set) == 0)
                publish(p, next);
}

const struct sg_health *sg_probes_health(const struct sg_probes *p)
{
        return atomic_load_explicit(&p->health, memory_order_acquire);
}

/* ---- sets */

static bool texts_equal(const char *a, const char *b)
{
        return a == b || (a && b && strcmp(a, b) == 0);
}

static const struct probe *find_same(const struct sg_probe_set *s, const struct sg_config_dependency *d)
{
        for (size_t i = 0; s && i < s->n_probes; i++) {
                const struct sg_config_dependency *c = s->probes[i].config;

                if (strcmp(c->name, d->name) == 0 && strcmp(c->probe, d->probe) == 0 &&
                    texts_equal(c->ca_file, d->ca_file))
                        return &s->probes[i];
        }
        return NULL;
}

/* NULL without TLS. */
static int find_trust(struct sg_tls_trust **ret, struct sg_probes *p, const struct sg_config_dependency *d,
                      struct sg_tls_trust *system_trust, struct sg_error *err)
{
        int r = 0;

        *ret = NULL;
        if (!d->is_tls)
                return 0;
        if (d->ca_file) {
                r = sg_tls_trust_new(ret, d->ca_file, err);
                if (r)
                        sg_error_prefix(err, d->where);
                return r;
        }
        if (!system_trust && !p->system_trust)
                r = sg_tls_trust_new(&p->system_trust, NULL, err);
        if (!r)
                *ret = sg_tls_trust_ref(system_trust ? system_trust : p->system_trust);
        return r;
}

static int add_probe(struct sg_probe_set *s, struct sg_probes *p, struct sg_tls_trust *system_trust,
                     struct sg_error *err)
{
        const struct sg_config_dependency *d = &s->config->dependencies[s->n_probes];
        SG_AUTO(sg_tls_trust_unref) struct sg_tls_trust *trust = NULL;
        struct probe *made = &s->probes[s->n_probes];
        const struct probe *same = find_same(p->set, d);
        int r = find_trust(&trust, p, d, system_trust, err);

        if (!r)
                r = probe_init(made, p, d, trust);
        if (r)
                return r;
        s->n_probes++;
        if (same) {
                made->known = same->known;
                made->known.config = d;
                made->told = same->told;
        }
        return 0;
}

static int prepare(struct sg_probe_set **ret, struct sg_probes *p, struct sg_config *config,
                   struct sg_tls_trust *system_trust, struct sg_error *err)
{
        SG_AUTO(sg_probe_set_free) struct sg_probe_set *s = NULL;
        int r = 0;

        s = calloc(1, sizeof(*s) + config->n_dependencies * sizeof(s->probes[0]));
        if (!s)
                return -ENOMEM;
        s->config = sg_config_ref(config);
        if (config->n_dependencies && !p->resolver)
                r = sg_resolver_new(&p->resolver, p->loop) ? -ENOMEM : 0;
        for (size_t i = 0; i < config->n_dependencies && !r; i++)
                r = add_probe(s, p, system_trust, err);
        if (!r)
                r = make_health(&s->health, s);
        if (!r)
                *ret = SG_GIVE(s);
        return r;
}

int sg_probes_prepare(struct sg_probe_set **ret, struct sg_probes *p, struct sg_config *config,
                      struct sg_tls_trust *system_trust, struct sg_error *err)
{
        int r = prepare(ret, p, config, system_trust, err);

        if (r == -ENOMEM)
                sg_error_set(err, r, "", "out of memory for the probes of dependencies");
        return r;
}

struct sg_probe_set *sg_probe_set_free(struct sg_probe_set *s)
{
        if (!s)
                return NULL;
        for (size_t i = 0; i < s->n_probes; i++)
                probe_done(&s->probes[i]);
        sg_health_free(s->health);
        sg_config_unref(s->config);
        free(s);
        return NULL;
}

void sg_probes_take(struct sg_probes *p, struct sg_probe_set *s)
{
        sg_loop_undefer(p->loop, &p->publishing);
        sg_probe_set_free(p->set);
        p->set = s;
        publish(p, SG_GIVE(s->health));
        for (size_t i = 0; i < s->n_probes && !p->is_stopped; i++)
                probe_begin(&s->probes[i]);
}

void sg_probes_stop(struct sg_probes *p)
{
        p->is_stopped = true;
        for (size_t i = 0; p->set && i < p->set->n_probes; i++)
                probe_stop(&p->set->probes[i]);
}

/* ---- the whole */

int sg_probes_new(struct sg_probes **ret, struct sg_loop *l)
{
        struct sg_probes *p = calloc(1, sizeof(*p));

        if (!p)
                return -ENOMEM;
        p->loop = l;
        p->publishing.run = publish_later;
        *ret = p;
        return 0;
}

struct sg_probes *sg_probes_free(struct sg_probes *p)
{
        if (!p)
                return NULL;
        sg_loop_undefer(p->loop, &p->publishing);
        sg_probe_set_free(p->set);
        sg_health_free(atomic_load_explicit(&p->health, memory_order_relaxed));
        sg_resolver_free(p->resolver);
        sg_tls_trust_unref(p->system_trust);
        free(p);
        return NULL;
}
