/*
 * The budget of retries: without one, a service that fails under its load gets twice the load.
 *
 * Both sums are kept by second. Of the picks only a mark is kept, once a second: how many there had been when the second
 * began; so that a request which is not retried writes nothing here. A slot says which second it is of, in one word
 * with its number; what is older than the window does not count.
 */
#include "upstream/backends_internal.h"

#define WINDOW_SEC       10u
#define RETRIES_A_SECOND 3u

#define NUMBER_BITS      40u /* more picks than this in 10 s there are not; seconds begin anew after half a year */
#define NUMBER_MASK      ((UINT64_C(1) << NUMBER_BITS) - 1)

static uint64_t slot_word(uint64_t second, uint64_t number)
{
        return second << NUMBER_BITS | (number & NUMBER_MASK);
}

static bool is_of(uint64_t word, uint64_t second)
{
        return word >> NUMBER_BITS == (second << NUMBER_BITS) >> NUMBER_BITS;
}

void backends_init_budget(struct sg_backends *b)
{
        /* A second that never falls into this slot. */
        for (unsigned i = 0; i < BUDGET_SLOTS; i++) {
                atomic_store_explicit(&b->picked_by_second[i], slot_word(i + 1, 0), memory_order_relaxed);
                atomic_store_explicit(&b->retried_by_second[i], slot_word(i + 1, 0), memory_order_relaxed);
        }
}

static uint64_t count_picked(const struct sg_backends *b)
{
        uint64_t sum = 0;

        for (size_t i = 0; i < b->n; i++)
                sum += load_picked(atomic_load_explicit(&b->backends[i]->load, memory_order_relaxed));
        return sum;
}

void sg_backends_begin(struct sg_backends *b, uint64_t now_usec)
{
        const uint64_t second = now_usec / SG_USEC_PER_SEC;
        _Atomic uint64_t *slot = &b->picked_by_second[second % BUDGET_SLOTS];
        uint64_t word = atomic_load_explicit(slot, memory_order_relaxed);

        if (!is_of(word, second))
                (void)atomic_compare_exchange_strong_explicit(slot, &word, slot_word(second, count_picked(b)),
                                                              memory_order_relaxed, memory_order_relaxed);
}

/* Since the oldest mark in the window. */
static uint64_t picked_of_late(const struct sg_backends *b, uint64_t second)
{
        for (unsigned age = WINDOW_SEC; age-- > 0;) {
                const uint64_t word =
                        atomic_load_explicit(&b->picked_by_second[(second - age) % BUDGET_SLOTS], memory_order_relaxed);

                if (is_of(word, second - age))
                        return (count_picked(b) - word) & NUMBER_MASK;
        }
        return 0;
}

/* Of the seconds before this one. */
static uint64_t retried_before(const struct sg_backends *b, uint64_t second)
{
        uint64_t sum = 0;

        for (unsigned age = 1; age < WINDOW_SEC; age++) {
                const uint64_t word = atomic_load_explicit(&b->retried_by_second[(second - age) % BUDGET_SLOTS],
                                                           memory_order_relaxed);

                sum += is_of(word, second - age) ? word & NUMBER_MASK : 0;
        }
        return sum;
}

bool sg_backends_may_retry(struct sg_backends *b, uint64_t now_usec)
{
        const uint64_t second = now_usec / SG_USEC_PER_SEC;
        const uint64_t n_picked = picked_of_late(b, second), n_before = retried_before(b, second);
        _Atomic uint64_t *slot = &b->retried_by_second[second % BUDGET_SLOTS];
        uint64_t word = atomic_load_explicit(slot, memory_order_relaxed), n;

        do {
                const uint64_t n_now = is_of(word, second) ? word & NUMBER_MASK : 0, n_all = n_before + n_now;

                /* A retry has been picked, too. */
                if (n_now >= RETRIES_A_SECOND &&
                    (n_picked <= n_all || (n_all + 1) * 100 > (n_picked - n_all) * b->retry_percent))
                        return false;
                n = n_now + 1;
        } while (!atomic_compare_exchange_weak_explicit(slot, &word, slot_word(second, n), memory_order_relaxed,
                                                        memory_order_relaxed));
        return true;
}
