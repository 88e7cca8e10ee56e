/*
 * A breaker is one word, and each change of it a compare-and-swap:
 *
 *      closed (0) -> open, step 1 -> trial -> closed
 *                         ^            |
 *                         +- step + 1 -+   each step is open for twice as long, up to 16 times
 *
 * A trial is claimed by whoever swaps the word, and only its claimer can end it, as the word tells one claim from
 * another by its time. One that says nothing makes way for the next at once; one that never ends does so when its time
 * is over.
 */
#include "upstream/breaker.h"

#define STEP_BITS  3u
#define STEP_MASK  ((UINT64_C(1) << STEP_BITS) - 1)
#define STEP_LAST  5u /* 16 times */
#define TRIAL      (UINT64_C(1) << STEP_BITS)
#define UNTIL_BITS (STEP_BITS + 1)

static uint64_t make(unsigned step, uint64_t trial, uint64_t until_usec)
{
        return until_usec << UNTIL_BITS | trial | step;
}

static unsigned step_of(uint64_t word)
{
        return (unsigned)(word & STEP_MASK);
}

static uint64_t until_usec(uint64_t word)
{
        return word >> UNTIL_BITS;
}

static uint64_t open_word(const struct breaker_rule *rule, unsigned step, uint64_t now_usec)
{
        return make(step, 0, now_usec + (rule->open_usec << (step - 1)));
}

static uint64_t look(const struct breaker *b, const struct breaker_rule *rule)
{
        /* Of a reload that has just taken the breaker away, others may not know yet. */
        return rule->failures ? atomic_load_explicit(&b->word, memory_order_relaxed) : 0;
}

static bool swap(struct breaker *b, uint64_t from, uint64_t to)
{
        return atomic_compare_exchange_strong_explicit(&b->word, &from, to, memory_order_relaxed, memory_order_relaxed);
}

/* ---- what it allows */

enum breaker_use breaker_may_use(const struct breaker *b, const struct breaker_rule *rule, uint64_t now_usec)
{
        const uint64_t word = look(b, rule);

        if (!word)
                return BREAKER_USE_FREELY;
        return until_usec(word) <= now_usec ? BREAKER_USE_AS_TRIAL : BREAKER_USE_NOT;
}

bool breaker_begin(struct breaker *b, const struct breaker_rule *rule, uint64_t now_usec, uint64_t *ret_trial)
{
        const uint64_t word = look(b, rule);
        uint64_t trial = 0;

        if (word) {
                trial = make(step_of(word), TRIAL, now_usec + rule->trial_usec);
                if (until_usec(word) > now_usec || !swap(b, word, trial))
                        return false;
        }
        *ret_trial = trial;
        return true;
}

enum breaker_look breaker_look(const struct breaker *b, const struct breaker_rule *rule, uint64_t now_usec)
{
        const uint64_t word = look(b, rule);

        if (!word)
                return BREAKER_CLOSED;
        return word & TRIAL && until_usec(word) > now_usec ? BREAKER_TRIAL : BREAKER_OPEN;
}

uint64_t breaker_open_for_usec(const struct breaker *b, const struct breaker_rule *rule, uint64_t now_usec)
{
        const uint64_t end_usec = until_usec(look(b, rule));

        return end_usec > now_usec ? end_usec - now_usec : 0;
}

bool breaker_close(struct breaker *b)
{
        atomic_store_explicit(&b->n_in_row, 0, memory_order_relaxed);
        return atomic_exchange_explicit(&b->word, 0, memory_order_relaxed) != 0;
}

/* ---- what it learns */

enum breaker_turn breaker_went_well(struct breaker *b, const struct breaker_rule *rule, uint64_t trial)
{
        const uint64_t word = look(b, rule);

        if (word && word != trial)
                return BREAKER_TURN_NONE; /* it began before the faults, or too long ago */
        /* First: a fault that comes in between shall not find the row that is over. */
        if (atomic_load_explicit(&b->n_in_row, memory_order_relaxed))
                atomic_store_explicit(&b->n_in_row, 0, memory_order_relaxed);
        return word && swap(b, word, 0) ? BREAKER_TURN_RETURNED : BREAKER_TURN_NONE;
}

enum breaker_turn breaker_failed(struct breaker *b, const struct breaker_rule *rule, uint64_t trial, uint64_t now_usec)
{
        const uint32_t n = atomic_fetch_add_explicit(&b->n_in_row, 1, memory_order_relaxed) + 1;

        if (trial && swap(b, trial, open_word(rule, SG_MIN(step_of(trial) + 1, STEP_LAST), now_usec)))
                return BREAKER_TURN_NONE;
        if (!rule->failures || n < rule->failures || !swap(b, 0, open_word(rule, 1, now_usec)))
                return BREAKER_TURN_NONE;
        return BREAKER_TURN_TRIPPED;
}

void breaker_give_up(struct breaker *b, uint64_t trial, uint64_t now_usec)
{
        if (trial)
                (void)swap(b, trial, make(step_of(trial), 0, now_usec));
}
