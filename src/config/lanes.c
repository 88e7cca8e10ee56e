/*
 * Lanes: what is known of a place belongs to all targets that lead there, of whatever model.
 */
#include <errno.h>
#include <stdlib.h>

#include "config/build.h"

/* A target by the name of its lane. */
struct place {
        const char *name;
        struct sg_config_target *target;
};

static int by_name(const void *a, const void *b)
{
        const struct place *x = a, *y = b;

        return strcmp(x->name, y->name);
}

static size_t n_all(const struct sg_config_model *m)
{
        return m->n_targets + m->n_fallbacks + m->n_larger;
}

/* All places by name. */
static int find_places(struct sg_whole *w, struct place **ret, size_t *ret_n)
{
        const struct sg_config *c = &w->config;
        struct place *places;
        size_t n = 0;

        for (size_t i = 0; i < c->n_models; i++)
                n += n_all(&c->models[i]);
        *ret_n = n;
        places = sg_pool_array(&w->pool, n, sizeof(*places));
        if (!places)
                return -ENOMEM;
        n = 0;
        for (size_t i = 0; i < c->n_models; i++)
                for (size_t k = 0; k < n_all(&c->models[i]); k++, n++) {
                        struct sg_config_target *t = &c->models[i].targets[k];

                        places[n].target = t;
                        places[n].name = sg_pool_printf(&w->pool, "%s/%s", t->provider->name,
                                                        t->upstream_model ? t->upstream_model : c->models[i].name);
                        if (!places[n].name)
                                return -ENOMEM;
                }
        if (n)
                qsort(places, n, sizeof(*places), by_name);
        *ret = places;
        return 0;
}

int sg_lanes_build(struct sg_whole *w)
{
        struct sg_config *c = &w->config;
        struct place *places;
        size_t n;
        int r = find_places(w, &places, &n);

        if (r)
                return r;
        c->lanes = sg_pool_array(&w->pool, c->n_providers + n, sizeof(*c->lanes));
        if (!c->lanes)
                return -ENOMEM;
        for (size_t i = 0; i < c->n_providers; i++)
                c->lanes[c->n_lanes++] = (struct sg_config_lane){c->providers[i].name, &c->providers[i]};
        /* A provider's name has no '/': no place is called as a provider is. */
        for (size_t i = 0; i < n; i++) {
                if (i == 0 || strcmp(places[i].name, places[i - 1].name) != 0)
                        c->lanes[c->n_lanes++] = (struct sg_config_lane){places[i].name, places[i].target->provider};
                places[i].target->lane = c->n_lanes - 1;
        }
        return 0;
}

size_t sg_config_provider_lane(const struct sg_config *c, const struct sg_config_provider *p)
{
        SG_ASSERT(p >= c->providers && p < c->providers + c->n_providers);
        return (size_t)(p - c->providers);
}
