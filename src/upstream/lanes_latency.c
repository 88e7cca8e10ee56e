/*
 * How long a lane takes to its first byte, in one word:  measured at (32 bits, 65 ms)  usec (32 bits)
 *
 * The rank halves for each minute without a measurement, so that a lane that was slow once is asked again in time. One
 * exchange does so: it claims the measurement by marking the lane as fresh, and the others see the old latency until its
 * answer comes. A lane that was never measured is asked first, by one at a time; while that one waits, the others prefer
 * what is known.
 */
#include "upstream/lanes_internal.h"

#define AT_SHIFT     32u
#define USEC_MASK    UINT64_C(0xffffffff)
#define TICK_BITS    16u
#define HALF_TICKS   ((60 * SG_USEC_PER_SEC) >> TICK_BITS)
#define FORGET_TICKS ((600 * SG_USEC_PER_SEC) >> TICK_BITS)
#define SHARE        4               /* of what is new: a quarter */
#define UNKNOWN_RANK (USEC_MASK + 1) /* behind all that is known */

static uint64_t tick_of(uint64_t now_usec)
{
        return now_usec >> TICK_BITS & USEC_MASK;
}

static uint64_t make(uint64_t now_usec, uint64_t usec)
{
        return tick_of(now_usec) << AT_SHIFT | SG_MAX(SG_MIN(usec, USEC_MASK), UINT64_C(1));
}

/* Of a clock that others read a little later: none. */
static uint64_t age_of(uint64_t word, uint64_t now_usec)
{
        const uint64_t at = word >> AT_SHIFT, now = tick_of(now_usec);

        return now > at ? now - at : 0;
}

static uint64_t look(const struct known *k)
{
        return atomic_load_explicit(&k->latency, memory_order_relaxed);
}

void latency_learn(struct known *k, uint64_t first_byte_usec, uint64_t now_usec)
{
        uint64_t word = look(k), next;

        do {
                const uint64_t before = word & USEC_MASK;

                next = first_byte_usec;
                if (word && age_of(word, now_usec) < FORGET_TICKS)
                        next = (before * (SHARE - 1) + SG_MIN(first_byte_usec, USEC_MASK)) / SHARE;
                next = make(now_usec, next);
        } while (!atomic_compare_exchange_weak_explicit(&k->latency, &word, next, memory_order_relaxed,
                                                        memory_order_relaxed));
}

uint64_t latency_of(const struct known *k)
{
        return look(k) & USEC_MASK;
}

uint64_t latency_rank(const struct known *k, uint64_t now_usec)
{
        const uint64_t word = look(k), n_open = load_outstanding(atomic_load_explicit(&k->load, memory_order_relaxed));

        if (!word)
                return n_open ? UNKNOWN_RANK + n_open : 0;
        return (word & USEC_MASK) >> SG_MIN(age_of(word, now_usec) / HALF_TICKS, UINT64_C(31));
}

bool latency_claim(struct known *k, uint64_t now_usec)
{
        uint64_t word = look(k);

        if (!word || age_of(word, now_usec) < HALF_TICKS)
                return true;
        return atomic_compare_exchange_strong_explicit(&k->latency, &word, make(now_usec, word & USEC_MASK),
                                                       memory_order_relaxed, memory_order_relaxed);
}
