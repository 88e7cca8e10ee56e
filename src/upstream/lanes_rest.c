/*
 * A rest is one word:  until (52 bits, usec)  told (1 bit)  step (4 bits)  fault (4 bits)
 *
 * It goes on when its time is over, as the memory of how long the next one has to be, until something that began under
 * it goes well. Who began before it says nothing by going well; and who fails while it lasts has met the same fault as
 * whoever began it, and prolongs it by retry-after at most.
 */
#include "upstream/lanes_internal.h"

#define FAULT_MASK          UINT64_C(0xf)
#define STEP_SHIFT          4u
#define STEP_MASK           UINT64_C(0xf)
#define TOLD                (UINT64_C(1) << 8)
#define UNTIL_SHIFT         9u

#define STEP_LAST           15u
#define RETRY_AFTER_LONGEST (3600 * SG_USEC_PER_SEC)
/* Shorter ones are everyday life at a rate limit, and two lines in the log for each would be nothing but noise. */
#define TELL_USEC (5 * SG_USEC_PER_SEC)

_Static_assert(SG_LANE_FAULT_N <= FAULT_MASK, "a fault fits its bits");

static const struct {
        uint64_t first_usec, longest_usec;
} rules[SG_LANE_FAULT_N] = {
        [SG_LANE_CREDENTIAL] = {60 * SG_USEC_PER_SEC, 3600 * SG_USEC_PER_SEC},
        [SG_LANE_QUOTA] = {600 * SG_USEC_PER_SEC, 6 * 3600 * SG_USEC_PER_SEC},
        [SG_LANE_RATE] = {SG_USEC_PER_SEC, 60 * SG_USEC_PER_SEC},
        [SG_LANE_OVERLOAD] = {SG_USEC_PER_SEC, 30 * SG_USEC_PER_SEC},
};

static uint64_t until_of(uint64_t word)
{
        return word >> UNTIL_SHIFT;
}

static unsigned step_of(uint64_t word)
{
        return (unsigned)(word >> STEP_SHIFT & STEP_MASK);
}

static enum sg_lane_fault fault_of(uint64_t word)
{
        return (enum sg_lane_fault)(word & FAULT_MASK);
}

/* The word after this fault. */
static uint64_t next_word(uint64_t word, enum sg_lane_fault fault, uint64_t floor_usec, uint64_t now_usec)
{
        const bool is_same = word && fault_of(word) == fault, lasts = until_of(word) > now_usec;
        unsigned step = is_same ? step_of(word) : 0;
        uint64_t usec = floor_usec, until_usec, told;

        if (!is_same || !lasts) {
                step = SG_MIN(step + 1, STEP_LAST);
                usec = SG_MAX(SG_MIN(rules[fault].first_usec << (step - 1), rules[fault].longest_usec), floor_usec);
        }
        until_usec = now_usec + usec;
        if (lasts && until_of(word) >= until_usec)
                return word;
        told = usec >= TELL_USEC || (lasts && word & TOLD) ? TOLD : 0;
        return until_usec << UNTIL_SHIFT | told | (uint64_t)step << STEP_SHIFT | fault;
}

bool rest_begin(struct rest *r, enum sg_lane_fault fault, uint64_t retry_after_usec, uint64_t now_usec,
                uint64_t *ret_usec)
{
        const uint64_t floor_usec = SG_MIN(retry_after_usec, RETRY_AFTER_LONGEST);
        uint64_t word = atomic_load_explicit(&r->word, memory_order_relaxed), next;

        SG_ASSERT(rules[fault].first_usec > 0);
        do
                next = next_word(word, fault, floor_usec, now_usec);
        while (next != word && !atomic_compare_exchange_weak_explicit(&r->word, &word, next, memory_order_relaxed,
                                                                      memory_order_relaxed));
        *ret_usec = until_of(next) - now_usec;
        return next != word && next & TOLD && !(until_of(word) > now_usec && word & TOLD);
}

bool rest_end(struct rest *r, uint64_t seen)
{
        uint64_t word = seen;

        return seen &&
               atomic_compare_exchange_strong_explicit(&r->word, &word, 0, memory_order_relaxed,
                                                       memory_order_relaxed) &&
               seen & TOLD;
}

bool rest_clear(struct rest *r)
{
        return atomic_exchange_explicit(&r->word, 0, memory_order_relaxed) != 0;
}

uint64_t rest_seen(const struct rest *r)
{
        return atomic_load_explicit(&r->word, memory_order_relaxed);
}

uint64_t rest_left_usec(const struct rest *r, uint64_t now_usec)
{
        const uint64_t end_usec = until_of(rest_seen(r));

        return end_usec > now_usec ? end_usec - now_usec : 0;
}

enum sg_lane_fault rest_fault(const struct rest *r)
{
        return fault_of(rest_seen(r));
}
