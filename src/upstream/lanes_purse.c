/*
 * Daily quotas. What an exchange may need is reserved before it is asked for and settled when it is known, so that
 * exchanges side by side do not overdraw together. Reservations are of this process; what is used is in the file.
 */
#include "upstream/lanes_internal.h"

#define DAY_USEC (86400 * SG_USEC_PER_SEC)

uint64_t purse_day(const struct purse *p, uint64_t wall_usec)
{
        const uint64_t shift_usec = p->provider->quota_reset_usec;

        return wall_usec > shift_usec ? (wall_usec - shift_usec) / DAY_USEC : 0;
}

uint64_t purse_day_left_usec(const struct purse *p, uint64_t wall_usec)
{
        return (purse_day(p, wall_usec) + 1) * DAY_USEC + p->provider->quota_reset_usec - wall_usec;
}

uint64_t purse_spent(const struct purse *p, uint64_t wall_usec)
{
        if (!p->count)
                return 0;
        return sg_quota_used(p->count, purse_day(p, wall_usec)) +
               atomic_load_explicit(&p->known->n_reserved, memory_order_relaxed);
}

/* Nothing may be known of what an exchange needs; it needs something. */
bool purse_has_room(const struct purse *p, uint64_t n_tokens, uint64_t wall_usec)
{
        return !p->count || purse_spent(p, wall_usec) + SG_MAX(n_tokens, UINT64_C(1)) <= p->config->daily_tokens;
}

bool purse_reserve(const struct purse *p, uint64_t n_tokens, uint64_t wall_usec)
{
        if (!p->count)
                return true;
        if (!purse_has_room(p, n_tokens, wall_usec))
                return false;
        (void)atomic_fetch_add_explicit(&p->known->n_reserved, n_tokens, memory_order_relaxed);
        /* Another may have done so at the same time: then one of them goes back, or both. */
        if (purse_spent(p, wall_usec) <= p->config->daily_tokens)
                return true;
        (void)atomic_fetch_sub_explicit(&p->known->n_reserved, n_tokens, memory_order_relaxed);
        return false;
}

/* First what is used: in between it stands for too much rather than for too little. An exchange over midnight counts for
 * the day on which it ended. */
void purse_settle(const struct purse *p, uint64_t n_reserved, uint64_t n_used, uint64_t wall_usec)
{
        if (!p->count)
                return;
        if (n_used)
                sg_quota_add(p->count, purse_day(p, wall_usec), n_used);
        if (n_reserved)
                (void)atomic_fetch_sub_explicit(&p->known->n_reserved, n_reserved, memory_order_relaxed);
}
