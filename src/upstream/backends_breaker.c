/*
 * The breaker of one endpoint is one word, and each change of it a compare-and-swap:
 *
 *      closed (0) -> open, step 1 -> trial -> closed
 *                         ^            |
 *                         +- step + 1 -+   each step is open for twice as long, up to 16 times
 *
 * A trial is claimed by whoever swaps the word, and only its claimer can end it, as the word tells one claim from
 * another by its time. One that says nothing (NEUTRAL) makes way for the next at once; one that never ends does so when
 * its time is over.
 */
#include "upstream/backends_internal.h"

#define STEP_BITS  3u
#define STEP_MASK  ((UINT64_C(1) << STEP_BITS) - 1)
#define STEP_LAST  5u /* 16 times */
#define TRIAL      (UINT64_C(1) << STEP_BITS)
#define UNTIL_BITS (STEP_BITS + 1)

static uint64_t make(unsigned step, uint64_t trial, uint64_t until_usec)
{
        return until_usec << UNTIL_BITS | trial | step;
}

static unsigned step_of(uint64_t breaker)
{
        return (unsigned)(breaker & STEP_MASK);
}

static uint64_t until_usec(uint64_t breaker)
{
        return breaker >> UNTIL_BITS;
}

static uint64_t open_word(const struct sg_backends *b, unsigned step, uint64_t now_usec)
{
        return make(step, 0, now_usec + (b->breaker_usec << (step - 1)));
}

static uint64_t look(const struct sg_backends *b, const struct backend *e)
{
        /* Of a reload that has just taken the breaker away, others may not know yet. */
        return b->breaker_failures ? atomic_load_explicit(&e->breaker, memory_order_relaxed) : 0;
}

static bool swap(struct backend *e, uint64_t from, uint64_t to)
{
        return atomic_compare_exchange_strong_explicit(&e->breaker, &from, to, memory_order_relaxed,
                                                       memory_order_relaxed);
}

static void begin_state(struct backend *e, uint64_t now_usec)
{
        if (!atomic_load_explicit(&e->flags, memory_order_relaxed))
                atomic_store_explicit(&e->since_usec, now_usec, memory_order_relaxed);
}

/* ---- what it allows */

enum backend_use backend_may_use(const struct sg_backends *b, const struct backend *e, uint64_t now_usec)
{
        uint64_t breaker;

        if (atomic_load_explicit(&e->flags, memory_order_relaxed))
                return BACKEND_USE_NOT;
        breaker = look(b, e);
        if (!breaker)
                return BACKEND_USE_FREELY;
        return until_usec(breaker) <= now_usec ? BACKEND_USE_AS_TRIAL : BACKEND_USE_NOT;
}

bool backend_begin(const struct sg_backends *b, struct backend *e, uint64_t now_usec, uint64_t *ret_trial)
{
        const uint64_t breaker = look(b, e);
        uint64_t trial = 0;

        if (breaker) {
                trial = make(step_of(breaker), TRIAL, now_usec + b->trial_usec);
                if (until_usec(breaker) > now_usec || !swap(e, breaker, trial))
                        return false;
        }
        (void)atomic_fetch_add_explicit(&e->load, LOAD_PICK, memory_order_relaxed);
        *ret_trial = trial;
        return true;
}

uint64_t backend_open_for_usec(const struct sg_backends *b, const struct backend *e, uint64_t now_usec)
{
        const uint64_t end_usec = until_usec(look(b, e));

        return end_usec > now_usec ? end_usec - now_usec : 0;
}

enum sg_backend_state backend_state(const struct sg_backends *b, const struct backend *e, uint64_t now_usec)
{
        const uint32_t flags = atomic_load_explicit(&e->flags, memory_order_relaxed);
        const uint64_t breaker = look(b, e);

        if (flags & BACKEND_IS_DRAINED)
                return SG_BACKEND_DRAINED;
        if (flags & BACKEND_IS_DOWN)
                return SG_BACKEND_DOWN;
        if (!breaker)
                return SG_BACKEND_UP;
        return breaker & TRIAL && until_usec(breaker) > now_usec ? SG_BACKEND_TRIAL : SG_BACKEND_TRIPPED;
}

bool backend_close_breaker(struct backend *e)
{
        atomic_store_explicit(&e->n_in_row, 0, memory_order_relaxed);
        return atomic_exchange_explicit(&e->breaker, 0, memory_order_relaxed) != 0;
}

/* ---- what it learns */

static enum sg_backend_turn went_well(const struct sg_backends *b, struct backend *e, const struct sg_pick *pick,
                                      uint64_t now_usec)
{
        const uint64_t breaker = look(b, e);

        if (breaker && breaker != pick->trial)
                return SG_BACKEND_TURN_NONE; /* it began before the faults, or too long ago */
        /* First: a fault that comes in between shall not find the row that is over. */
        if (atomic_load_explicit(&e->n_in_row, memory_order_relaxed))
                atomic_store_explicit(&e->n_in_row, 0, memory_order_relaxed);
        if (!breaker || !swap(e, breaker, 0))
                return SG_BACKEND_TURN_NONE;
        begin_state(e, now_usec);
        return SG_BACKEND_TURN_RETURNED;
}

static enum sg_backend_turn failed(const struct sg_backends *b, struct backend *e, const struct sg_pick *pick,
                                   uint64_t now_usec)
{
        const uint32_t n = atomic_fetch_add_explicit(&e->n_in_row, 1, memory_order_relaxed) + 1;

        (void)atomic_fetch_add_explicit(&e->n_failed, 1, memory_order_relaxed);
        if (pick->trial && swap(e, pick->trial, open_word(b, SG_MIN(step_of(pick->trial) + 1, STEP_LAST), now_usec)))
                return SG_BACKEND_TURN_NONE;
        if (!b->breaker_failures || n < b->breaker_failures || !swap(e, 0, open_word(b, 1, now_usec)))
                return SG_BACKEND_TURN_NONE;
        begin_state(e, now_usec);
        return SG_BACKEND_TURN_TRIPPED;
}

enum sg_backend_turn sg_backends_answered(struct sg_backends *b, const struct sg_pick *pick, uint64_t now_usec)
{
        return went_well(b, backend_at(b, pick->index), pick, now_usec);
}

enum sg_backend_turn sg_backends_done(struct sg_backends *b, const struct sg_pick *pick, enum sg_backend_result result,
                                      uint64_t now_usec, const char *text)
{
        struct backend *e = backend_at(b, pick->index);
        const uint64_t load = atomic_fetch_sub_explicit(&e->load, 1, memory_order_relaxed);

        SG_ASSERT(load_outstanding(load) > 0 && result < SG_BACKEND_RESULT_N);
        if (result == SG_BACKEND_OK)
                return went_well(b, e, pick, now_usec);
        if (result == SG_BACKEND_NEUTRAL) {
                if (pick->trial)
                        (void)swap(e, pick->trial, make(step_of(pick->trial), 0, now_usec));
                return SG_BACKEND_TURN_NONE;
        }
        spoken_set(&e->fault, text && text[0] ? text : sg_backend_result_name(result));
        return failed(b, e, pick, now_usec);
}
