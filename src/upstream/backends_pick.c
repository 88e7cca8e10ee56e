/*
 * Which endpoint is asked next.
 *
 * Round robin goes through an order that is made once: smooth weighted round robin (nginx's) over one whole round, so
 * that weights 5:1:1 give a a b a c a a and not a a a a a b c. Workers share one counter of turns. Where the turn is an
 * endpoint's that cannot be asked, the turns up to the next that can are taken, too, so that its share goes to all others
 * by their weight and not to its successor alone.
 *
 * Least looks at all, and takes round robin's turns among those that are equal.
 *
 * Hash is weighted rendezvous (rendezvous.h): today's outage moves no hash but its own, as does tomorrow's configuration.
 * Its cost is linear: some 20 ns for each endpoint.
 *
 * An endpoint whose breaker's time is over is asked as any other, but by one request only.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/random.h"
#include "upstream/backends_internal.h"
#include "upstream/rendezvous.h"

#define TURNS_CONTENDED   8u
#define WAIT_LONGEST_USEC (60 * SG_USEC_PER_SEC)

#define BIT(i)            (UINT64_C(1) << (i))

/* ---- the order */

static uint32_t common_divisor(uint32_t a, uint32_t b)
{
        while (b) {
                const uint32_t rest = a % b;

                a = b;
                b = rest;
        }
        return a;
}

int backends_make_order(struct sg_backends *b)
{
        int64_t credit[SG_ENDPOINTS_MAX] = {0};
        uint32_t divisor = 0, sum = 0;

        for (size_t i = 0; i < b->n; i++) {
                divisor = common_divisor(b->weights[i], divisor);
                sum += b->weights[i];
        }
        b->n_order = sum / divisor;
        b->order = malloc(b->n_order);
        if (!b->order)
                return -ENOMEM;
        for (uint32_t turn = 0; turn < b->n_order; turn++) {
                size_t best = 0;

                for (size_t i = 0; i < b->n; i++) {
                        credit[i] += b->weights[i];
                        if (credit[i] > credit[best])
                                best = i;
                }
                credit[best] -= sum;
                b->order[turn] = (uint8_t)best;
        }
        /* Not all gateways, and not each reload, begin with the first. */
        atomic_store_explicit(&b->turn, sg_random_u64() % b->n_order, memory_order_relaxed);
        return 0;
}

static unsigned at_turn(const struct sg_backends *b, uint64_t turn)
{
        return b->order[turn % b->n_order];
}

static uint64_t take_turns(struct sg_backends *b, uint64_t n)
{
        return atomic_fetch_add_explicit(&b->turn, n, memory_order_relaxed) + n - 1;
}

/* The turn is taken. Among: at least one. */
static unsigned next_in_turn(struct sg_backends *b, uint64_t turn, uint64_t among)
{
        for (unsigned contended = 0;; contended++) {
                uint64_t n = 0;

                while (!(among & BIT(at_turn(b, turn + n))))
                        n++;
                if (n == 0 || contended == TURNS_CONTENDED)
                        return at_turn(b, turn + n);
                turn = take_turns(b, n); /* that one, if nobody else took any meanwhile */
        }
}

/* Nobody's turn is taken: a further attempt is no request of its own. If it took one, a service of two endpoints with one
 * that is dead would begin every request at the dead one. */
static unsigned glance(const struct sg_backends *b, uint64_t among)
{
        uint64_t turn = atomic_load_explicit(&b->turn, memory_order_relaxed);

        while (!(among & BIT(at_turn(b, turn))))
                turn++;
        return at_turn(b, turn);
}

/* ---- who is chosen among those that may be */

static unsigned choose_least(struct sg_backends *b, uint64_t among)
{
        uint64_t best = 0, n_best = 0, weight_best = 1;

        for (uint64_t rest = among; rest; rest &= rest - 1) {
                const unsigned i = (unsigned)__builtin_ctzll(rest);
                const uint64_t load = atomic_load_explicit(&b->backends[i]->load, memory_order_relaxed);
                const uint64_t n = load_outstanding(load);

                if (!best || n * weight_best < n_best * b->weights[i]) {
                        best = BIT(i);
                        n_best = n;
                        weight_best = b->weights[i];
                } else if (n * weight_best == n_best * b->weights[i]) {
                        best |= BIT(i);
                }
        }
        if ((best & (best - 1)) == 0)
                return (unsigned)__builtin_ctzll(best);
        return next_in_turn(b, take_turns(b, 1), best);
}

static unsigned choose_hash(const struct sg_backends *b, uint64_t hash, uint64_t among)
{
        unsigned best = 0;
        double least = HUGE_VAL;

        for (uint64_t rest = among; rest; rest &= rest - 1) {
                const unsigned i = (unsigned)__builtin_ctzll(rest);
                const double drawn = rendezvous_draw(hash, b->backends[i]->name_hash, b->weights[i]);

                if (drawn < least) {
                        least = drawn;
                        best = i;
                }
        }
        return best;
}

static unsigned choose(struct sg_backends *b, uint64_t hash, uint64_t turn, uint64_t tried, uint64_t among)
{
        if (b->balance == SG_BALANCE_LEAST)
                return choose_least(b, among);
        if (b->balance == SG_BALANCE_HASH)
                return choose_hash(b, rendezvous_mix(hash), among);
        return tried ? glance(b, among) : next_in_turn(b, turn, among);
}

/* ---- picking */

/* Those that may be asked. A further attempt is no trial while others serve: one fault was enough for that request. */
static uint64_t usable(const struct sg_backends *b, uint64_t tried, uint64_t now_usec)
{
        uint64_t freely = 0, as_trial = 0;

        for (unsigned i = 0; i < b->n; i++) {
                enum breaker_use use;

                if (tried & BIT(i))
                        continue;
                use = backend_may_use(b, b->backends[i], now_usec);
                if (use == BREAKER_USE_FREELY)
                        freely |= BIT(i);
                else if (use == BREAKER_USE_AS_TRIAL)
                        as_trial |= BIT(i);
        }
        return tried && freely ? freely : freely | as_trial;
}

static uint64_t wait_usec(const struct sg_backends *b, uint64_t tried, uint64_t now_usec)
{
        uint64_t least_usec = WAIT_LONGEST_USEC;

        for (unsigned i = 0; i < b->n; i++) {
                const struct backend *e = b->backends[i];
                const uint32_t flags = atomic_load_explicit(&e->flags, memory_order_relaxed);
                uint64_t this_usec = WAIT_LONGEST_USEC;

                if (flags == BACKEND_IS_DOWN)
                        this_usec = b->health_interval_usec;
                else if (!flags && !(tried & BIT(i)))
                        this_usec = breaker_open_for_usec(&e->breaker, &b->rule, now_usec);
                else if (!flags)
                        this_usec = 0;
                least_usec = SG_MIN(least_usec, this_usec);
        }
        return SG_MAX(least_usec, SG_USEC_PER_SEC);
}

static bool begin(struct sg_backends *b, unsigned index, uint64_t now_usec, struct sg_pick *ret)
{
        uint64_t trial;

        if (!backend_begin(b, b->backends[index], now_usec, &trial))
                return false;
        *ret = (struct sg_pick){.index = index, .is_trial = trial != 0, .trial = trial};
        return true;
}

int sg_backends_pick(struct sg_backends *b, uint64_t hash, uint64_t tried, uint64_t now_usec, struct sg_pick *ret,
                     uint64_t *ret_wait_usec)
{
        uint64_t turn = 0;
        unsigned i;

        if (b->balance == SG_BALANCE_ROUND_ROBIN && !tried) {
                turn = take_turns(b, 1);
                i = at_turn(b, turn);
                /* The usual case needs to look at no other. */
                if (backend_may_use(b, b->backends[i], now_usec) == BREAKER_USE_FREELY && begin(b, i, now_usec, ret))
                        return 0;
        }
        for (uint64_t among = usable(b, tried, now_usec); among; among &= ~BIT(i)) {
                i = choose(b, hash, turn, tried, among);
                if (begin(b, i, now_usec, ret))
                        return 0;
        }
        *ret_wait_usec = wait_usec(b, tried, now_usec);
        return SG_BACKENDS_E_NONE;
}
