#include "upstream/lanes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "upstream/lanes_internal.h"
#include "upstream/rendezvous.h"

const char *sg_lane_fault_name(enum sg_lane_fault f)
{
        static const char *const names[SG_LANE_FAULT_N] = {
                [SG_LANE_OK] = "ok",           [SG_LANE_CREDENTIAL] = "credential", [SG_LANE_QUOTA] = "quota",
                [SG_LANE_RATE] = "rate",       [SG_LANE_OVERLOAD] = "overload",     [SG_LANE_SERVER] = "server",
                [SG_LANE_TIMEOUT] = "timeout", [SG_LANE_CONNECTION] = "connection", [SG_LANE_TRUNCATED] = "truncated",
                [SG_LANE_CLIENT] = "client",
        };

        return f < SG_LANE_FAULT_N ? names[f] : "unknown";
}

const char *sg_lane_state_name(enum sg_lane_state s)
{
        static const char *const names[SG_LANE_STATE_N] = {
                [SG_LANE_UP] = "up",       [SG_LANE_RESTS] = "rests", [SG_LANE_TRIPPED] = "tripped",
                [SG_LANE_TRIAL] = "trial", [SG_LANE_SPENT] = "spent", [SG_LANE_DRAINED] = "drained",
        };

        return s < SG_LANE_STATE_N ? names[s] : "unknown";
}

/* ---- what is known */

static struct known *known_unref(struct known *k)
{
        if (!k || atomic_fetch_sub_explicit(&k->n_refs, 1, memory_order_acq_rel) != 1)
                return NULL;
        sg_secret_unref(k->secret);
        free(k);
        return NULL;
}

static struct known *known_ref(struct known *k)
{
        (void)atomic_fetch_add_explicit(&k->n_refs, 1, memory_order_relaxed);
        return k;
}

/* NULL: no memory. before (may be NULL): what was known under this name, of another place or secret. An admin's word goes
 * for the name. */
static struct known *known_new(const struct known *before)
{
        struct known *k = aligned_alloc(_Alignof(struct known), sizeof(*k));

        if (!k)
                return NULL;
        memset(k, 0, sizeof(*k));
        atomic_store_explicit(&k->n_refs, 1, memory_order_relaxed);
        if (before)
                atomic_store_explicit(&k->is_drained, atomic_load_explicit(&before->is_drained, memory_order_relaxed),
                                      memory_order_relaxed);
        return k;
}

/* ---- who was there before */

static const struct place *place_before(const struct sg_lanes *previous, const struct place *p)
{
        for (size_t i = 0; previous && i < previous->n_places; i++)
                if (previous->places[i].hash == p->hash &&
                    strcmp(previous->places[i].config->name, p->config->name) == 0)
                        return &previous->places[i];
        return NULL;
}

static const struct purse *purse_before(const struct sg_lanes *previous, const struct purse *p)
{
        for (size_t i = 0; previous && i < previous->n_purses; i++) {
                const struct purse *before = &previous->purses[i];

                if (before->hash == p->hash && strcmp(before->provider->name, p->provider->name) == 0 &&
                    strcmp(before->config->name, p->config->name) == 0)
                        return before;
        }
        return NULL;
}

/* Whoever mends an address does not wait until the old one's rest is over. */
static bool is_same_address(const struct sg_config_provider *a, const struct sg_config_provider *b)
{
        if (!a->base_url || !b->base_url)
                return a->base_url == b->base_url;
        return strcmp(a->base_url, b->base_url) == 0;
}

static bool is_same_secret(const struct purse *a, const struct purse *b)
{
        const struct sg_secret *s = a->known->secret;

        if (!s || !b->config->api_key)
                return s == b->config->api_key;
        return sg_secret_equals(s, sg_secret_bytes(b->config->api_key));
}

/* ---- birth */

static uint64_t purse_name(const struct purse *p)
{
        const uint64_t provider = rendezvous_name(RENDEZVOUS_NAME, p->provider->name);

        return rendezvous_name(rendezvous_name(provider, "\n"), p->config->name);
}

static int purse_init(struct sg_lanes *l, struct purse *p, const struct sg_lanes *previous)
{
        const struct purse *before;

        p->hash = purse_name(p);
        if (p->config->daily_tokens)
                p->count = sg_quota_find(l->quota, p->hash);
        before = purse_before(previous, p);
        if (before && is_same_secret(before, p) && is_same_address(before->provider, p->provider)) {
                p->known = known_ref(before->known);
                return 0;
        }
        p->known = known_new(before ? before->known : NULL);
        if (!p->known)
                return -ENOMEM;
        if (p->config->api_key)
                p->known->secret = sg_secret_ref(p->config->api_key);
        return 0;
}

static int purses_init(struct sg_lanes *l, const struct sg_lanes *previous)
{
        size_t at = 0;
        int r = 0;

        for (size_t i = 0; i < l->config->n_providers; i++)
                l->n_purses += l->config->providers[i].n_credentials;
        l->purses = calloc(l->n_purses + 1, sizeof(*l->purses));
        l->first_purse = calloc(l->config->n_providers + 1, sizeof(*l->first_purse));
        l->own_place = calloc(l->config->n_providers + 1, sizeof(*l->own_place));
        if (!l->purses || !l->first_purse || !l->own_place)
                return -ENOMEM;
        for (size_t i = 0; i < l->config->n_providers && !r; i++) {
                const struct sg_config_provider *p = &l->config->providers[i];

                SG_ASSERT(p->n_credentials > 0 && p->n_credentials <= SG_CREDENTIALS_MAX);
                l->first_purse[i] = at;
                l->own_place[i] = l->config->n_lanes;
                for (size_t j = 0; j < p->n_credentials && !r; j++, at++) {
                        l->purses[at].config = &p->credentials[j];
                        l->purses[at].provider = p;
                        r = purse_init(l, &l->purses[at], previous);
                }
        }
        return r;
}

/* The pair of a lane and a credential of before, unless one of them is new. */
static struct known *pair_before(const struct place *p, const struct purse *purse, const struct sg_lanes *previous,
                                 const struct place *before)
{
        for (size_t i = 0; before && p->known == before->known && i < before->n_purses; i++)
                if (previous->purses[before->first_purse + i].known == purse->known)
                        return before->pairs[i];
        return NULL;
}

static int pairs_init(struct sg_lanes *l, struct place *p, const struct sg_lanes *previous, const struct place *before)
{
        p->pairs = calloc(p->n_purses, sizeof(struct known *));
        if (!p->pairs)
                return -ENOMEM;
        for (size_t i = 0; i < p->n_purses; i++) {
                struct known *pair = pair_before(p, &l->purses[p->first_purse + i], previous, before);

                p->pairs[i] = pair ? known_ref(pair) : known_new(NULL);
                if (!p->pairs[i])
                        return -ENOMEM;
        }
        return 0;
}

static int place_init(struct sg_lanes *l, struct place *p, const struct sg_lanes *previous)
{
        const struct sg_config_provider *provider = p->config->provider;
        const size_t at = (size_t)(provider - l->config->providers);
        const struct place *before;

        SG_ASSERT(at < l->config->n_providers);
        p->hash = rendezvous_name(RENDEZVOUS_NAME, p->config->name);
        p->first_purse = l->first_purse[at];
        p->n_purses = provider->n_credentials;
        p->rule = (struct breaker_rule){
                .failures = provider->breaker_failures,
                .open_usec = provider->breaker_usec,
                .trial_usec = SG_MAX(provider->breaker_usec,
                                     provider->connect_timeout_usec + provider->first_byte_timeout_usec),
        };
        if (strcmp(p->config->name, provider->name) == 0)
                l->own_place[at] = (size_t)(p - l->places);
        before = place_before(previous, p);
        if (before && is_same_address(before->config->provider, provider))
                p->known = known_ref(before->known);
        else
                p->known = known_new(before ? before->known : NULL);
        return p->known ? pairs_init(l, p, previous, before) : -ENOMEM;
}

static int places_init(struct sg_lanes *l, const struct sg_lanes *previous)
{
        l->n_places = l->config->n_lanes;
        l->places = calloc(l->n_places + 1, sizeof(*l->places));
        if (!l->places)
                return -ENOMEM;
        for (size_t i = 0; i < l->n_places; i++) {
                int r;

                l->places[i].config = &l->config->lanes[i];
                r = place_init(l, &l->places[i], previous);
                if (r)
                        return r;
        }
        return 0;
}

static int quota_init(struct sg_lanes *l, const struct sg_lanes *previous)
{
        char text[256];

        if (!previous)
                return sg_quota_new(&l->quota, NULL, text);
        l->quota = sg_quota_ref(previous->quota);
        return 0;
}

int sg_lanes_new(struct sg_lanes **ret, const struct sg_config *c, const struct sg_lanes *previous)
{
        SG_AUTO(sg_lanes_unref) struct sg_lanes *l = calloc(1, sizeof(*l));
        int r;

        if (!l)
                return -ENOMEM;
        atomic_store_explicit(&l->n_refs, 1, memory_order_relaxed);
        l->config = c;
        r = quota_init(l, previous);
        if (!r)
                r = purses_init(l, previous);
        if (!r)
                r = places_init(l, previous);
        if (r)
                return r;
        *ret = SG_GIVE(l);
        return 0;
}

static bool has_quotas(const struct sg_lanes *l)
{
        for (size_t i = 0; i < l->n_purses; i++)
                if (l->purses[i].config->daily_tokens)
                        return true;
        return false;
}

bool sg_lanes_keep_quotas(struct sg_lanes *l, const char *path, char ret_text[256])
{
        struct sg_quota *q;

        ret_text[0] = '\0';
        /* No memory for it: the counts stay where they are, and the next configuration tries again. */
        if (!has_quotas(l) || sg_quota_was_opened(l->quota) || sg_quota_new(&q, path, ret_text))
                return true;
        sg_quota_unref(l->quota);
        l->quota = q;
        for (size_t i = 0; i < l->n_purses; i++)
                if (l->purses[i].config->daily_tokens)
                        l->purses[i].count = sg_quota_find(q, l->purses[i].hash);
        return ret_text[0] == '\0';
}

struct sg_lanes *sg_lanes_ref(struct sg_lanes *l)
{
        const uint32_t before = atomic_fetch_add_explicit(&l->n_refs, 1, memory_order_relaxed);

        SG_ASSERT(before > 0);
        return l;
}

static void place_done(struct place *p)
{
        for (size_t i = 0; p->pairs && i < p->n_purses; i++)
                known_unref(p->pairs[i]);
        free(p->pairs);
        known_unref(p->known);
}

struct sg_lanes *sg_lanes_unref(struct sg_lanes *l)
{
        if (!l || atomic_fetch_sub_explicit(&l->n_refs, 1, memory_order_acq_rel) != 1)
                return NULL;
        for (size_t i = 0; l->places && i < l->n_places; i++)
                place_done(&l->places[i]);
        for (size_t i = 0; l->purses && i < l->n_purses; i++)
                known_unref(l->purses[i].known);
        free(l->places);
        free(l->purses);
        free(l->first_purse);
        free(l->own_place);
        sg_quota_unref(l->quota);
        free(l);
        return NULL;
}
