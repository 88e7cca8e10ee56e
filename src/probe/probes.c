/*
 * The set in force, and the view of it that everybody reads.
 */
#include "probe/probe.h"

#include <errno.h>
#include <stdlib.h>

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
        const size_t n = s->config->n_dependencies; /* the first of the probes */
        const struct sg_health_item **items = calloc(n ? n : 1, sizeof(*items));
        int r;

        if (!items)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                items[i] = &s->probes[i].known;
        r = sg_health_new(ret, s->config, items, n);
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

/* With TLS only. */
static int find_trust(struct sg_tls_trust **ret, struct sg_probes *p, const char *ca_file, const char *where,
                      struct sg_tls_trust *system_trust, struct sg_error *err)
{
        int r = 0;

        if (ca_file) {
                r = sg_tls_trust_new(ret, ca_file, err);
                if (r)
                        sg_error_prefix(err, where);
                return r;
        }
        if (!system_trust && !p->system_trust)
                r = sg_tls_trust_new(&p->system_trust, NULL, err);
        if (!r)
                *ret = sg_tls_trust_ref(system_trust ? system_trust : p->system_trust);
        return r;
}

static const struct probe *find_same(const struct sg_probe_set *s, const struct probe_goal *goal)
{
        for (size_t i = 0; s && i < s->n_probes; i++)
                if (probe_goal_is_same(&s->probes[i].goal, goal))
                        return &s->probes[i];
        return NULL;
}

/* The next of the set, which has room for it. goal is given away in any case. */
static int add_probe(struct sg_probe_set *s, struct sg_probes *p, struct probe_goal *goal)
{
        struct probe *made = &s->probes[s->n_probes];
        const struct probe *same = find_same(p->set, goal);
        int r = probe_init(made, p);

        if (r) {
                probe_goal_done(goal);
                return r;
        }
        made->goal = *goal;
        s->n_probes++;
        if (same) {
                made->known = same->known;
                made->told = same->told;
        }
        made->known.config = goal->dependency;
        return 0;
}

static int add_dependency(struct sg_probe_set *s, struct sg_probes *p, const struct sg_config_dependency *d,
                          struct sg_tls_trust *system_trust, struct sg_error *err)
{
        SG_AUTO(sg_tls_trust_unref) struct sg_tls_trust *trust = NULL;
        struct probe_goal goal;
        int r = d->is_tls ? find_trust(&trust, p, d->ca_file, d->where, system_trust, err) : 0;

        if (r)
                return r;
        probe_goal_of_dependency(&goal, d, trust);
        return add_probe(s, p, &goal);
}

/* What all endpoints of a service have in common with TLS. */
static int find_service_tls(struct sg_tls_trust **ret_trust, struct sg_tls_certificate **ret_certificate,
                            struct sg_probes *p, const struct sg_config_service *service,
                            struct sg_tls_trust *system_trust, struct sg_error *err)
{
        bool is_tls = false;
        int r;

        for (size_t i = 0; i < service->n_endpoints; i++)
                is_tls = is_tls || service->endpoints[i].is_tls;
        if (!is_tls)
                return 0;
        r = find_trust(ret_trust, p, service->ca_file, service->where, system_trust, err);
        if (r || !service->tls_certificate)
                return r;
        r = sg_tls_certificate_new(ret_certificate, service->tls_certificate, service->tls_key, err);
        if (r)
                sg_error_prefix(err, service->where);
        return r;
}

static int add_service(struct sg_probe_set *s, struct sg_probes *p, const struct sg_config_service *service,
                       struct sg_tls_trust *system_trust, struct sg_error *err)
{
        SG_AUTO(sg_tls_certificate_unref) struct sg_tls_certificate *certificate = NULL;
        SG_AUTO(sg_tls_trust_unref) struct sg_tls_trust *trust = NULL;
        int r;

        if (service->check == SG_CHECK_NONE)
                return 0;
        r = find_service_tls(&trust, &certificate, p, service, system_trust, err);
        for (unsigned i = 0; i < service->n_endpoints && !r; i++) {
                const bool is_tls = service->endpoints[i].is_tls;
                struct probe_goal goal;

                probe_goal_of_endpoint(&goal, service, i, is_tls ? trust : NULL, is_tls ? certificate : NULL);
                r = add_probe(s, p, &goal);
        }
        return r;
}

static size_t count_probes(const struct sg_config *config)
{
        size_t n = config->n_dependencies;

        for (size_t i = 0; i < config->n_services; i++)
                if (config->services[i].check != SG_CHECK_NONE)
                        n += config->services[i].n_endpoints;
        return n;
}

static int prepare(struct sg_probe_set **ret, struct sg_probes *p, struct sg_config *config,
                   struct sg_tls_trust *system_trust, struct sg_error *err)
{
        SG_AUTO(sg_probe_set_free) struct sg_probe_set *s = NULL;
        const size_t n = count_probes(config);
        int r = 0;

        s = calloc(1, sizeof(*s) + n * sizeof(s->probes[0]));
        if (!s)
                return -ENOMEM;
        s->config = sg_config_ref(config);
        if (n && !p->resolver)
                r = sg_resolver_new(&p->resolver, p->loop) ? -ENOMEM : 0;
        for (size_t i = 0; i < config->n_dependencies && !r; i++)
                r = add_dependency(s, p, &config->dependencies[i], system_trust, err);
        for (size_t i = 0; i < config->n_services && !r; i++)
                r = add_service(s, p, &config->services[i], system_trust, err);
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
                sg_error_set(err, r, "", "out of memory for probes");
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

/* Who was down under other checks, or is checked no more, is up until something else is known. */
static void tell_all_endpoints(const struct sg_probes *p, const struct sg_probe_set *s)
{
        const struct probe *next = &s->probes[s->config->n_dependencies];

        for (size_t i = 0; p->on_endpoint && i < s->config->n_services; i++) {
                const struct sg_config_service *service = &s->config->services[i];

                for (unsigned e = 0; e < service->n_endpoints; e++)
                        if (service->check != SG_CHECK_NONE)
                                probe_tell_endpoint(next++);
                        else
                                p->on_endpoint(service, e, true, "", p->on_endpoint_owner);
        }
}

void sg_probes_take(struct sg_probes *p, struct sg_probe_set *s)
{
        sg_loop_undefer(p->loop, &p->publishing);
        sg_probe_set_free(p->set);
        p->set = s;
        publish(p, SG_GIVE(s->health));
        tell_all_endpoints(p, s);
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

void sg_probes_on_endpoint(struct sg_probes *p,
                           void (*on_endpoint)(const struct sg_config_service *service, unsigned endpoint, bool is_up,
                                               const char *text, void *owner),
                           void *owner)
{
        p->on_endpoint = on_endpoint;
        p->on_endpoint_owner = owner;
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
