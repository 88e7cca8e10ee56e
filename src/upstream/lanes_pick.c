/*
 * Which target is asked next, and with which credential.
 *
 * The order of an exchange's attempts: where the last one's credential is out for this lane (rate, quota, credential), the
 * same target by another credential. Else targets that were not asked yet: those of the model by its strategy, then the
 * fallbacks in order; targets that are known to be too small are passed over if any other could serve, and then the
 * larger ones come last. In the end, as the lane is the same, asked targets by another credential. Nothing is asked twice.
 *
 * A lane whose breaker's time is over is asked as any other, but by one request only, and by no further attempt of an
 * exchange while others serve.
 */
#include "upstream/lanes_internal.h"
#include "upstream/rendezvous.h"

struct search {
        struct choice choice;
        const struct sg_lane_ask *ask;
        struct sg_lane_tried *tried;
        struct sg_lane_pick *ret;
        struct sg_config_target own; /* of a request without a model */
        size_t n_targets, n_fallbacks, n_larger;
        bool passes_over_small; /* someone else has room */
        bool despite_rests;
};

/* ---- what may be asked */

static bool was_tried(const struct search *s, size_t target)
{
        for (unsigned i = 0; i < s->tried->n; i++)
                if (s->tried->at[i].target == target)
                        return true;
        return false;
}

static bool was_tried_with(const struct search *s, size_t target, size_t credential)
{
        for (unsigned i = 0; i < s->tried->n; i++)
                if (s->tried->at[i].target == target && s->tried->at[i].credential == credential)
                        return true;
        return false;
}

static bool can_serve(const struct search *s, size_t target)
{
        return !s->ask->can_serve || s->ask->can_serve(s->choice.targets[target].provider, s->ask->owner);
}

static bool has_room(const struct search *s, size_t target)
{
        const uint64_t n = s->choice.targets[target].context_tokens;

        return n == 0 || n >= s->ask->n_tokens;
}

static struct place *place_at(const struct search *s, size_t target)
{
        const size_t lane = s->choice.targets[target].lane;

        SG_ASSERT(lane < s->choice.l->n_places);
        return &s->choice.l->places[lane];
}

static bool rests(const struct search *s, const struct rest *rest)
{
        return !s->despite_rests && rest_left_usec(rest, s->ask->now_usec);
}

static bool is_out(const struct search *s, const struct known *k)
{
        return atomic_load_explicit(&k->is_drained, memory_order_relaxed) || rests(s, &k->rest);
}

static bool may_use_purse(const struct search *s, size_t target, size_t i)
{
        const struct place *p = place_at(s, target);
        const struct purse *purse = &s->choice.l->purses[p->first_purse + i];

        return !is_out(s, purse->known) && !rests(s, &p->pairs[i]->rest) && !was_tried_with(s, target, i) &&
               purse_has_room(purse, s->ask->n_tokens, s->ask->wall_usec);
}

/* Those of the best priority that may be used. */
static uint64_t usable_purses(const struct search *s, size_t target, uint64_t besides)
{
        const struct place *p = place_at(s, target);
        unsigned best = 0;
        uint64_t found = 0;

        for (size_t i = 0; i < p->n_purses; i++) {
                const unsigned priority = s->choice.l->purses[p->first_purse + i].config->priority;

                if (besides & BIT(i) || (found && priority > best) || !may_use_purse(s, target, i))
                        continue;
                if (!found || priority < best)
                        found = 0;
                best = priority;
                found |= BIT(i);
        }
        return found;
}

static enum breaker_use may_use(const struct search *s, size_t target)
{
        const struct place *p = place_at(s, target);

        if (is_out(s, p->known) || !can_serve(s, target) || (s->passes_over_small && !has_room(s, target)) ||
            !usable_purses(s, target, 0))
                return BREAKER_USE_NOT;
        return breaker_may_use(&p->known->breaker, &p->rule, s->ask->now_usec);
}

/* ---- picking one */

static void take(struct search *s, size_t target, size_t i, uint64_t trial)
{
        struct place *p = place_at(s, target);
        struct purse *purse = &s->choice.l->purses[p->first_purse + i];

        (void)atomic_fetch_add_explicit(&p->known->load, LOAD_PICK, memory_order_relaxed);
        (void)atomic_fetch_add_explicit(&purse->known->load, LOAD_PICK, memory_order_relaxed);
        s->tried->at[s->tried->n].target = (uint16_t)target;
        s->tried->at[s->tried->n++].credential = (uint16_t)i;
        *s->ret = (struct sg_lane_pick){
                .provider = p->config->provider,
                .credential = purse->config,
                .upstream_model = s->choice.targets[target].upstream_model,
                .lane = s->choice.targets[target].lane,
                .name = p->config->name,
                .is_trial = trial != 0,
                .is_fallback = target >= s->n_targets,
                .row = i,
                .trial = trial,
                .n_reserved = s->ask->n_tokens,
                .seen_of_lane = rest_seen(&p->known->rest),
                .seen_of_credential = rest_seen(&purse->known->rest),
                .seen_of_pair = rest_seen(&p->pairs[i]->rest),
        };
}

static bool begin(struct search *s, size_t target)
{
        struct place *p = place_at(s, target);
        uint64_t besides = 0, trial;

        for (;;) {
                const uint64_t among = usable_purses(s, target, besides);
                const struct purse *purse;
                unsigned i;

                if (!among)
                        return false;
                i = choose_purse(&s->choice, p, among);
                purse = &s->choice.l->purses[p->first_purse + i];
                if (!purse_reserve(purse, s->ask->n_tokens, s->ask->wall_usec)) {
                        besides |= BIT(i);
                        continue;
                }
                if (breaker_begin(&p->known->breaker, &p->rule, s->ask->now_usec, &trial)) {
                        take(s, target, i, trial);
                        return true;
                }
                purse_settle(purse, s->ask->n_tokens, 0, s->ask->wall_usec);
                return false;
        }
}

/* The targets [from, from + n) that may be asked: the new ones, or those that were asked with another credential. */
static uint64_t usable(const struct search *s, size_t from, size_t n, bool again)
{
        uint64_t freely = 0, as_trial = 0;

        for (size_t i = from; i < from + n; i++) {
                enum breaker_use use;

                if (was_tried(s, i) != again)
                        continue;
                use = may_use(s, i);
                if (use == BREAKER_USE_FREELY)
                        freely |= BIT(i);
                else if (use == BREAKER_USE_AS_TRIAL)
                        as_trial |= BIT(i);
        }
        return s->tried->n && freely ? freely : freely | as_trial;
}

static bool pick_by_strategy(struct search *s, bool again)
{
        unsigned i;

        for (uint64_t among = usable(s, 0, s->n_targets, again); among; among &= ~BIT(i)) {
                i = choose_target(&s->choice, among);
                if (begin(s, i))
                        return true;
        }
        return false;
}

static bool pick_in_order(struct search *s, size_t from, size_t n, bool again)
{
        for (uint64_t among = usable(s, from, n, again); among; among &= among - 1)
                if (begin(s, (unsigned)__builtin_ctzll(among)))
                        return true;
        return false;
}

/* The last attempt found out that its credential is out here, and no more than that. */
static bool pick_other_credential(struct search *s)
{
        const size_t target = s->tried->n ? s->tried->at[s->tried->n - 1].target : 0;
        const struct place *p;
        size_t i;

        if (!s->tried->n)
                return false;
        p = place_at(s, target);
        i = s->tried->at[s->tried->n - 1].credential;
        if (!rest_left_usec(&p->pairs[i]->rest, s->ask->now_usec) &&
            !rest_left_usec(&s->choice.l->purses[p->first_purse + i].known->rest, s->ask->now_usec))
                return false;
        return may_use(s, target) != BREAKER_USE_NOT && begin(s, target);
}

static bool pick_any(struct search *s)
{
        const size_t larger = s->n_targets + s->n_fallbacks;

        for (unsigned again = 0; again < 2; again++) {
                if (!s->tried->wants_larger &&
                    (pick_by_strategy(s, again) || pick_in_order(s, s->n_targets, s->n_fallbacks, again)))
                        return true;
                if ((s->tried->wants_larger || s->passes_over_small) && pick_in_order(s, larger, s->n_larger, again))
                        return true;
        }
        return false;
}

/* ---- why there is none */

static void explain(const struct search *s, uint64_t *ret_wait_usec, char ret_why[SPOKEN_BYTES])
{
        const size_t larger = s->n_targets + s->n_fallbacks, n = larger + s->n_larger;
        const char *why = s->tried->wants_larger ? "no larger target is left" : "every target was tried";
        struct obstacle o;

        *ret_wait_usec = SG_USEC_NEVER;
        for (size_t i = s->tried->wants_larger ? larger : 0; i < n; i++) {
                if (!can_serve(s, i) || (i >= larger && !s->tried->wants_larger && !s->passes_over_small) ||
                    (s->passes_over_small && !has_room(s, i)))
                        continue;
                way_obstacle(s->choice.l, place_at(s, i), s->ask->n_tokens, s->ask->now_usec, s->ask->wall_usec, &o);
                if (o.wait_usec >= *ret_wait_usec)
                        continue;
                *ret_wait_usec = o.wait_usec;
                say(ret_why, SPOKEN_BYTES, "%s", o.state == SG_LANE_UP ? why : o.text);
        }
        if (*ret_wait_usec == SG_USEC_NEVER)
                say(ret_why, SPOKEN_BYTES, "%s",
                    s->tried->wants_larger || s->tried->n ? why : "no target can serve this");
        *ret_wait_usec = SG_MIN(SG_MAX(*ret_wait_usec, SG_USEC_PER_SEC), 86400 * SG_USEC_PER_SEC);
}

/* ---- */

static void search_own(struct search *s, const struct sg_config_provider *provider)
{
        const size_t lane = s->choice.l->own_place[provider - s->choice.l->config->providers];

        SG_ASSERT(lane < s->choice.l->n_places);
        s->own = (struct sg_config_target){.provider = provider, .weight = 1, .lane = lane};
        s->choice.targets = &s->own;
        s->n_targets = 1;
}

/* And others are not, which may be those for longer prompts. */
static bool some_are_small(const struct search *s)
{
        const size_t n = s->n_targets + s->n_fallbacks;
        bool is_small = false, is_room = false;

        for (size_t i = 0; i < n + s->n_larger; i++) {
                is_small |= i < n && !has_room(s, i);
                is_room |= has_room(s, i) && can_serve(s, i);
        }
        return is_small && is_room;
}

static void search_model(struct search *s, const struct sg_config_model *m)
{
        SG_ASSERT(m->n_targets > 0 && m->n_targets + m->n_fallbacks + m->n_larger <= SG_TARGETS_MAX);
        s->choice.targets = m->targets;
        s->choice.strategy = m->strategy;
        s->choice.is_affine = m->affinity != SG_AFFINITY_NONE;
        s->choice.hash = rendezvous_mix(s->ask->hash);
        s->n_targets = m->n_targets;
        s->n_fallbacks = m->n_fallbacks;
        s->n_larger = m->n_larger;
        if (!s->tried->wants_larger)
                s->passes_over_small = some_are_small(s);
}

int sg_lanes_pick(struct sg_lanes *l, const struct sg_lane_ask *ask, struct sg_lane_tried *tried,
                  struct sg_lane_pick *ret, uint64_t *ret_wait_usec, char ret_why[SPOKEN_BYTES])
{
        struct search s = {.choice = {.l = l, .now_usec = ask->now_usec, .wall_usec = ask->wall_usec},
                           .ask = ask,
                           .tried = tried,
                           .ret = ret};

        if (ask->model)
                search_model(&s, ask->model);
        else
                search_own(&s, ask->provider);
        if (tried->n < SG_ATTEMPTS_MAX && ((!tried->wants_larger && pick_other_credential(&s)) || pick_any(&s)))
                return 0;
        s.despite_rests = ask->asks_resting;
        if (s.despite_rests && tried->n == 0 && pick_any(&s))
                return 0;
        explain(&s, ret_wait_usec, ret_why);
        return SG_LANES_E_NONE;
}
