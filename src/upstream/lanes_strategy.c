/*
 * Who is chosen among those that may be asked.
 *
 * Weighted is chance by weight; with affinity it is weighted rendezvous hashing (rendezvous.h), so that a target that is
 * out moves its own conversations only, and they come back to it. Their credentials are chosen by the same hash.
 */
#include <math.h>

#include "base/random.h"
#include "upstream/lanes_internal.h"
#include "upstream/rendezvous.h"

static unsigned first_of(uint64_t among)
{
        return (unsigned)__builtin_ctzll(among);
}

static struct place *place_of(const struct choice *c, unsigned target)
{
        return &c->l->places[c->targets[target].lane];
}

/* ---- weighted */

static unsigned choose_by_chance(const struct choice *c, uint64_t among)
{
        uint64_t sum = 0, at;

        for (uint64_t rest = among; rest; rest &= rest - 1)
                sum += c->targets[first_of(rest)].weight;
        at = sg_random_u64() % sum;
        for (uint64_t rest = among; rest; rest &= rest - 1) {
                const unsigned i = first_of(rest);

                if (at < c->targets[i].weight)
                        return i;
                at -= c->targets[i].weight;
        }
        SG_UNREACHABLE();
}

static unsigned choose_by_hash(const struct choice *c, uint64_t among)
{
        unsigned best = first_of(among);
        double least = HUGE_VAL;

        for (uint64_t rest = among; rest; rest &= rest - 1) {
                const unsigned i = first_of(rest);
                const double drawn = rendezvous_draw(c->hash, place_of(c, i)->hash, c->targets[i].weight);

                if (drawn < least) {
                        least = drawn;
                        best = i;
                }
        }
        return best;
}

/* ---- least latency */

static unsigned fastest(const struct choice *c, uint64_t among)
{
        unsigned best = first_of(among);
        uint64_t least = UINT64_MAX;

        for (uint64_t rest = among; rest; rest &= rest - 1) {
                const unsigned i = first_of(rest);
                const uint64_t rank = latency_rank(place_of(c, i)->known, c->now_usec);

                if (rank < least) {
                        least = rank;
                        best = i;
                }
        }
        return best;
}

/* Who loses a claim looks once more: the winner has changed what is to be seen. */
static unsigned choose_fastest(const struct choice *c, uint64_t among)
{
        const unsigned i = fastest(c, among);

        return latency_claim(place_of(c, i)->known, c->now_usec) ? i : fastest(c, among);
}

/* ---- */

unsigned choose_target(const struct choice *c, uint64_t among)
{
        if ((among & (among - 1)) == 0)
                return first_of(among);
        switch (c->strategy) {
        case SG_STRATEGY_WEIGHTED:
                return c->is_affine ? choose_by_hash(c, among) : choose_by_chance(c, among);
        case SG_STRATEGY_LEAST_LATENCY:
                return choose_fastest(c, among);
        case SG_STRATEGY_CHEAPEST:
                return choose_cheapest(c, among);
        case SG_STRATEGY_ORDERED:
        case SG_STRATEGY_N:
                break;
        }
        return first_of(among);
}

static unsigned purse_by_hash(const struct choice *c, const struct place *p, uint64_t among)
{
        unsigned best = first_of(among);
        double least = HUGE_VAL;

        for (uint64_t rest = among; rest; rest &= rest - 1) {
                const unsigned i = first_of(rest);
                const double drawn = rendezvous_draw(c->hash, c->l->purses[p->first_purse + i].hash, 1);

                if (drawn < least) {
                        least = drawn;
                        best = i;
                }
        }
        return best;
}

unsigned choose_purse(const struct choice *c, const struct place *p, uint64_t among)
{
        uint64_t at;

        if ((among & (among - 1)) == 0)
                return first_of(among);
        if (c->is_affine)
                return purse_by_hash(c, p, among);
        for (at = sg_random_u64() % (unsigned)__builtin_popcountll(among); at > 0; at--)
                among &= among - 1;
        return first_of(among);
}
