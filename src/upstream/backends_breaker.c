/*
 * What an endpoint's breaker, its health and admins allow, and what becomes of its breaker by what it answers.
 */
#include "upstream/backends_internal.h"

static void begin_state(struct backend *e, uint64_t now_usec)
{
        if (!atomic_load_explicit(&e->flags, memory_order_relaxed))
                atomic_store_explicit(&e->since_usec, now_usec, memory_order_relaxed);
}

/* ---- what it allows */

enum breaker_use backend_may_use(const struct sg_backends *b, const struct backend *e, uint64_t now_usec)
{
        if (atomic_load_explicit(&e->flags, memory_order_relaxed))
                return BREAKER_USE_NOT;
        return breaker_may_use(&e->breaker, &b->rule, now_usec);
}

bool backend_begin(const struct sg_backends *b, struct backend *e, uint64_t now_usec, uint64_t *ret_trial)
{
        if (!breaker_begin(&e->breaker, &b->rule, now_usec, ret_trial))
                return false;
        (void)atomic_fetch_add_explicit(&e->load, LOAD_PICK, memory_order_relaxed);
        return true;
}

enum sg_backend_state backend_state(const struct sg_backends *b, const struct backend *e, uint64_t now_usec)
{
        static const enum sg_backend_state by_breaker[] = {
                [BREAKER_CLOSED] = SG_BACKEND_UP,
                [BREAKER_OPEN] = SG_BACKEND_TRIPPED,
                [BREAKER_TRIAL] = SG_BACKEND_TRIAL,
        };
        const uint32_t flags = atomic_load_explicit(&e->flags, memory_order_relaxed);

        if (flags & BACKEND_IS_DRAINED)
                return SG_BACKEND_DRAINED;
        if (flags & BACKEND_IS_DOWN)
                return SG_BACKEND_DOWN;
        return by_breaker[breaker_look(&e->breaker, &b->rule, now_usec)];
}

/* ---- what it learns */

static enum sg_backend_turn tell(struct backend *e, enum breaker_turn turn, uint64_t now_usec)
{
        if (turn == BREAKER_TURN_NONE)
                return SG_BACKEND_TURN_NONE;
        begin_state(e, now_usec);
        return turn == BREAKER_TURN_TRIPPED ? SG_BACKEND_TURN_TRIPPED : SG_BACKEND_TURN_RETURNED;
}

enum sg_backend_turn sg_backends_answered(struct sg_backends *b, const struct sg_pick *pick, uint64_t now_usec)
{
        struct backend *e = backend_at(b, pick->index);

        return tell(e, breaker_went_well(&e->breaker, &b->rule, pick->trial), now_usec);
}

enum sg_backend_turn sg_backends_done(struct sg_backends *b, const struct sg_pick *pick, enum sg_backend_result result,
                                      uint64_t now_usec, const char *text)
{
        struct backend *e = backend_at(b, pick->index);
        const uint64_t load = atomic_fetch_sub_explicit(&e->load, 1, memory_order_relaxed);

        SG_ASSERT(load_outstanding(load) > 0 && result < SG_BACKEND_RESULT_N);
        if (result == SG_BACKEND_OK)
                return tell(e, breaker_went_well(&e->breaker, &b->rule, pick->trial), now_usec);
        if (result == SG_BACKEND_NEUTRAL) {
                breaker_give_up(&e->breaker, pick->trial, now_usec);
                return SG_BACKEND_TURN_NONE;
        }
        spoken_set(&e->fault, text && text[0] ? text : sg_backend_result_name(result));
        (void)atomic_fetch_add_explicit(&e->n_failed, 1, memory_order_relaxed);
        return tell(e, breaker_failed(&e->breaker, &b->rule, pick->trial, now_usec), now_usec);
}
