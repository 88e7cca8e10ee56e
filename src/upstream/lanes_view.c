/*
 * What admins see and change: a row for each lane, then one for each credential.
 */
#include "upstream/lanes_internal.h"

size_t sg_lanes_count(const struct sg_lanes *l)
{
        return l->n_places + l->n_purses;
}

static void view_load(const struct known *k, struct sg_lane_view *ret)
{
        const uint64_t load = atomic_load_explicit(&k->load, memory_order_relaxed);

        ret->n_outstanding = load_outstanding(load);
        ret->n_picked = load_picked(load);
        ret->n_failed = atomic_load_explicit(&k->n_failed, memory_order_relaxed);
}

static void view_obstacle(const struct obstacle *o, struct sg_lane_view *ret)
{
        ret->state = o->state;
        ret->rests_usec = o->state == SG_LANE_DRAINED ? 0 : o->wait_usec;
        say(ret->text, sizeof(ret->text), "%s", o->text);
}

/* A lane that is up, but not with every credential. */
static void view_pairs(const struct place *p, uint64_t now_usec, struct sg_lane_view *ret)
{
        for (size_t i = 0; i < p->n_purses; i++) {
                const struct rest *r = &p->pairs[i]->rest;
                const uint64_t left_usec = rest_left_usec(r, now_usec);
                char duration[32];

                if (!left_usec)
                        continue;
                say(ret->text, sizeof(ret->text), "credential \"%s\" rests here for %s: %s",
                    p->config->provider->credentials[i].name, say_duration(left_usec, duration),
                    sg_lane_fault_name(rest_fault(r)));
                return;
        }
}

static void view_place(const struct sg_lanes *l, const struct place *p, uint64_t now_usec, uint64_t wall_usec,
                       struct sg_lane_view *ret)
{
        struct obstacle o;

        ret->name = p->config->name;
        ret->provider = p->config->provider->name;
        ret->latency_usec = latency_of(p->known);
        view_load(p->known, ret);
        place_obstacle(p, now_usec, &o);
        if (o.state == SG_LANE_UP)
                way_obstacle(l, p, 0, now_usec, wall_usec, &o);
        view_obstacle(&o, ret);
        if (o.state == SG_LANE_UP)
                view_pairs(p, now_usec, ret);
}

static void view_purse(const struct purse *p, uint64_t now_usec, uint64_t wall_usec, struct sg_lane_view *ret)
{
        struct obstacle o;

        ret->name = p->config->name;
        ret->provider = p->provider->name;
        ret->is_credential = true;
        ret->daily_tokens = p->config->daily_tokens;
        ret->used_tokens = p->count ? sg_quota_used(p->count, purse_day(p, wall_usec)) : 0;
        view_load(p->known, ret);
        purse_obstacle(p, 0, now_usec, wall_usec, &o);
        view_obstacle(&o, ret);
}

void sg_lanes_view(struct sg_lanes *l, size_t row, uint64_t now_usec, uint64_t wall_usec, struct sg_lane_view *ret)
{
        SG_ASSERT(row < sg_lanes_count(l));
        *ret = (struct sg_lane_view){0};
        if (row < l->n_places)
                view_place(l, &l->places[row], now_usec, wall_usec, ret);
        else
                view_purse(&l->purses[row - l->n_places], now_usec, wall_usec, ret);
}

/* ---- by admins */

/* True when something stood against it. */
static bool pardon_place(struct place *p)
{
        bool is_changed = breaker_close(&p->known->breaker) | rest_clear(&p->known->rest);

        for (size_t i = 0; i < p->n_purses; i++)
                is_changed |= rest_clear(&p->pairs[i]->rest);
        return is_changed;
}

static bool pardon_purse(struct sg_lanes *l, const struct purse *purse)
{
        const size_t at = (size_t)(purse - l->purses);
        bool is_changed = rest_clear(&purse->known->rest);

        for (size_t i = 0; i < l->n_places; i++) {
                const struct place *p = &l->places[i];

                if (at >= p->first_purse && at < p->first_purse + p->n_purses)
                        is_changed |= rest_clear(&p->pairs[at - p->first_purse]->rest);
        }
        return is_changed;
}

bool sg_lanes_set_drained(struct sg_lanes *l, size_t row, bool is_drained)
{
        const bool is_place = row < l->n_places;
        struct known *k;
        bool is_changed = false;

        SG_ASSERT(row < sg_lanes_count(l));
        k = is_place ? l->places[row].known : l->purses[row - l->n_places].known;
        if (!is_drained)
                is_changed = is_place ? pardon_place(&l->places[row]) : pardon_purse(l, &l->purses[row - l->n_places]);
        return atomic_exchange_explicit(&k->is_drained, is_drained, memory_order_relaxed) != is_drained || is_changed;
}
