/*
 * The node's half of the protocol. Three sums of each word and period say everything:
 *
 *      put      what was put into the purse: granted, and this node's share while it is alone
 *      taken    put - what is in the purse now
 *      granted  what Redis has told
 *
 * Units leave the purse before Redis is told that they are given back, and come into it after Redis has told that they
 * are granted. So what workers can take is never more than what Redis has written down for this node, whatever is lost on
 * the way. Only an estimate that was too small, or a share taken alone, makes taken larger than granted; that is told as
 * it is, and counts for the whole fleet from then on.
 */
#include "limit/lease.h"

#define PART_OF_LIMIT  20 /* a grant ahead of need is at most so small a part of the limit */
#define AHEAD_SEC      1.0
#define LOW_SEC        0.3
#define SCARCE_SEC     0.2
#define RATE_USEC      (100 * SG_USEC_PER_MSEC)
#define IDLE_USEC      (2 * SG_USEC_PER_SEC)
#define FORGOTTEN_USEC (15 * SG_USEC_PER_SEC)
#define TRIES_MAX      64

/* ---- the node */

void sg_fleet_init(struct sg_fleet *f, uint64_t n_nodes_remembered, uint64_t now_usec, uint64_t wall_usec)
{
        *f = (struct sg_fleet){.seq = wall_usec, .n_nodes = n_nodes_remembered, .begun_usec = now_usec};
}

bool sg_fleet_is_alone(const struct sg_fleet *f, uint64_t now_usec)
{
        const uint64_t since = f->well_usec ? f->well_usec : f->begun_usec;

        return now_usec - since > SG_LEASE_ALONE_USEC + SG_LEASE_BEAT_USEC;
}

void sg_fleet_ask(struct sg_fleet *f, bool is_full, bool is_leave, uint64_t now_usec, struct sg_fleet_head *ret)
{
        SG_ASSERT(!f->sent_usec);
        f->sent_usec = now_usec;
        *ret = (struct sg_fleet_head){
                .seq = ++f->seq,
                .clock_msec = f->heard_usec ? f->clock_msec + (now_usec - f->heard_usec) / SG_USEC_PER_MSEC : 0,
                .n_nodes = f->n_nodes,
                .is_full = is_full,
                .is_leave = is_leave,
        };
        if (is_full)
                f->reported = f->rebuild;
}

void sg_fleet_lost(struct sg_fleet *f)
{
        f->sent_usec = 0;
        f->reported = 0;
}

bool sg_fleet_answer(struct sg_fleet *f, const int64_t *numbers, size_t n, enum sg_fleet_status *ret_status)
{
        const uint64_t sent = f->sent_usec;

        SG_ASSERT(sent);
        if (n < SG_FLEET_HEAD_WORDS || numbers[0] < SG_FLEET_OK || numbers[0] > SG_FLEET_LATE || numbers[1] < 0 ||
            numbers[2] < 0 || numbers[3] < 0 || numbers[4] < 0)
                return false;
        f->sent_usec = 0;
        f->clock_msec = (uint64_t)numbers[1];
        if (!f->heard_usec || sent - f->heard_usec > SG_LEASE_FRESH_USEC)
                f->since_usec = sent;
        f->heard_usec = sent;
        *ret_status = (enum sg_fleet_status)numbers[0];
        if (*ret_status != SG_FLEET_OK) {
                f->seq = SG_MAX(f->seq, (uint64_t)numbers[2]);
                f->reported = 0;
                return true;
        }
        f->n_nodes = (uint64_t)numbers[3];
        f->rebuild = (uint64_t)numbers[4];
        if (!f->rebuild)
                f->well_usec = sent;
        return true;
}

/* ---- a lease */

static int64_t look(const struct sg_lease *l)
{
        return l->purse->look(l->word, l->period);
}

static bool is_bucket(const struct sg_lease *l)
{
        return l->limit.window == SG_WINDOW_MINUTE || l->limit.window == SG_WINDOW_HOUR;
}

static uint64_t window_usec(const struct sg_lease *l)
{
        return (l->limit.window == SG_WINDOW_MINUTE ? 60 : 3600) * SG_USEC_PER_SEC;
}

void sg_lease_init(struct sg_lease *l, const struct sg_lease_purse *purse, void *word, const struct sg_limit *limit,
                   uint64_t period, uint64_t n_open, uint64_t now_usec)
{
        *l = (struct sg_lease){.purse = purse, .word = word, .limit = *limit, .period = period};
        l->put = look(l);
        if (limit->kind == SG_LIMIT_CONCURRENT) { /* what is taken can be counted */
                l->put += (int64_t)n_open;
                l->is_adopted = true;
        }
        l->looked_usec = l->active_usec = now_usec;
        l->free = limit->amount;
}

void sg_lease_renew(struct sg_lease *l, uint64_t period, uint64_t now_usec)
{
        const double rate = l->rate;
        const struct sg_limit limit = l->limit;

        sg_lease_init(l, l->purse, l->word, &limit, period, 0, now_usec);
        l->put = 0;
        l->is_adopted = true;
        l->rate = rate;
}

void sg_lease_wait(struct sg_lease *l, uint64_t n)
{
        if (!l->waits_sum || n < l->waits_least)
                l->waits_least = n;
        l->waits_sum += SG_MIN(n, SG_LIMIT_AMOUNT_MAX);
}

/* Smoothed over about a second. */
static void learn_rate(struct sg_lease *l, int64_t taken, uint64_t now_usec)
{
        const uint64_t passed = now_usec - l->looked_usec;
        double now;

        if (taken != l->taken_before)
                l->active_usec = now_usec;
        if (passed < RATE_USEC)
                return;
        now = taken > l->taken_before ? (double)(taken - l->taken_before) * 1e6 / (double)passed : 0;
        l->rate += (now - l->rate) * (passed > SG_USEC_PER_SEC ? 1.0 : (double)passed / 1e6);
        l->taken_before = taken;
        l->looked_usec = now_usec;
}

static int64_t ahead(const struct sg_lease *l, double seconds)
{
        const double most = (double)SG_MAX(l->limit.amount / PART_OF_LIMIT, (uint64_t)1), n = l->rate * seconds;

        return (int64_t)(n > most ? most : n) + 1;
}

/* Takes n units back, or as many as the workers have left of them. */
static void take_back(struct sg_lease *l, int64_t n)
{
        for (unsigned tries = 0; n > 0 && tries < TRIES_MAX; tries++) {
                const int64_t there = look(l), now = SG_MIN(there, n);

                if (there <= 0)
                        return;
                if (l->purse->take(l->word, l->period, (uint64_t)now)) {
                        l->put -= now;
                        n -= now;
                }
        }
}

static void put_in(struct sg_lease *l, int64_t n)
{
        l->purse->add(l->word, l->period, n);
        l->put += n;
}

/* What shall be in the purse; below what is there: the rest goes back. */
static int64_t goal(const struct sg_lease *l, int64_t balance, uint64_t now_usec)
{
        const int64_t waits = (int64_t)SG_MIN(l->waits_sum, l->limit.amount);

        if (waits)
                return SG_MAX(balance, waits + ahead(l, AHEAD_SEC) - 1);
        if (now_usec - l->active_usec > IDLE_USEC)
                return 0;
        if (l->free == 0 && l->answered_usec) /* somebody else may wait for it */
                return SG_MIN(balance, ahead(l, SCARCE_SEC));
        if (l->rate > 0 && balance < ahead(l, LOW_SEC))
                return SG_MAX(balance, ahead(l, AHEAD_SEC));
        return balance;
}

/* Buckets: until all of it is there again, as far as this node knows. Redis believes it when it has forgotten. */
static int64_t until_full_usec(const struct sg_lease *l, uint64_t now_usec)
{
        const double unit = (double)window_usec(l) / (double)l->limit.amount;
        const double debt = (double)(l->limit.amount - SG_MIN(l->free, l->limit.amount)) * unit -
                            (double)(now_usec - l->answered_usec);

        return l->answered_usec && debt > 0 ? (int64_t)debt : 0;
}

/* Days and months are kept until they are over, whatever they are: a little more than the longest. */
static uint64_t keep_msec(const struct sg_lease *l)
{
        switch (l->limit.window) {
        case SG_WINDOW_MONTH:
                return UINT64_C(33) * 86400 * 1000;
        case SG_WINDOW_DAY:
                return UINT64_C(2) * 86400 * 1000;
        case SG_WINDOW_HOUR:
        case SG_WINDOW_MINUTE:
                return SG_MAX(2 * window_usec(l), 3 * SG_LEASE_USEC) / SG_USEC_PER_MSEC;
        default:
                return UINT64_C(3600) * 1000;
        }
}

/* The node was not taken for dead since Redis wrote this lease down. */
static bool is_good(const struct sg_lease *l, const struct sg_fleet *f, uint64_t now_usec)
{
        return l->answered_usec && l->answered_usec >= f->since_usec && now_usec - f->heard_usec < SG_LEASE_FRESH_USEC;
}

static void fill(struct sg_lease *l, const struct sg_fleet *f, uint64_t fleet_used, uint64_t now_usec,
                 struct sg_lease_question *ret)
{
        const int64_t balance = look(l), taken = l->put - balance;

        *ret = (struct sg_lease_question){
                .kind = l->limit.kind == SG_LIMIT_CONCURRENT ? 'g'
                        : is_bucket(l)                       ? 'b'
                                                             : 'c',
                .used = taken,
                .claim = is_good(l, f, now_usec) ? SG_MAX(taken, SG_MIN(l->put - l->alone_put, l->granted)) : taken,
                .floor = is_bucket(l)                           ? until_full_usec(l, now_usec)
                         : l->limit.kind == SG_LIMIT_CONCURRENT ? 0
                                                                : (int64_t)fleet_used,
                .window_usec = is_bucket(l) ? window_usec(l) : 0,
                .keep_msec = keep_msec(l),
                .is_adopt = !l->is_adopted,
                .balance = balance - l->alone_put,
        };
        l->is_asked = true;
        l->is_asked_adopt = ret->is_adopt;
        l->asked_balance = balance;
        l->reported = taken;
}

/* Something has to be told, though nothing is wanted. Or heard: how much is left for all is what a share is taken of. */
static bool has_news(const struct sg_lease *l, const struct sg_fleet *f, int64_t balance, int64_t taken, bool is_full,
                     uint64_t now_usec)
{
        const bool is_due = now_usec - l->answered_usec >= SG_LEASE_BEAT_USEC;

        return !l->is_adopted || l->is_alone || (is_full && (balance > 0 || taken)) ||
               (l->answered_usec && l->answered_usec < f->since_usec) ||
               (is_due && (taken != l->reported || now_usec - l->active_usec < FORGOTTEN_USEC));
}

bool sg_lease_ask(struct sg_lease *l, const struct sg_fleet *f, uint64_t fleet_used, bool is_full, uint64_t now_usec,
                  struct sg_lease_question *ret)
{
        const int64_t balance = look(l), taken = l->put - balance;
        int64_t want;

        learn_rate(l, taken, now_usec);
        want = goal(l, balance, now_usec);
        if (l->is_asked || (want == balance && !has_news(l, f, balance, taken, is_full, now_usec)))
                return false;
        if (l->is_adopted && !l->is_alone)
                take_back(l, balance - want);
        fill(l, f, fleet_used, now_usec, ret);
        /* Never less than what workers can take. A share that was taken alone is not asked for: it ends with the answer. */
        ret->want = SG_MAX(ret->used, l->is_alone ? l->put - l->alone_put : l->put);
        ret->need = ret->want;
        if (want > balance) {
                ret->want = SG_MAX(ret->want, ret->used + want);
                ret->need = ret->used + (int64_t)l->waits_least;
        }
        l->waits_sum = l->waits_least = 0;
        return true;
}

void sg_lease_leave(struct sg_lease *l, const struct sg_fleet *f, uint64_t fleet_used, uint64_t now_usec,
                    struct sg_lease_question *ret)
{
        if (l->is_adopted)
                take_back(l, look(l));
        fill(l, f, fleet_used, now_usec, ret);
        ret->claim = ret->used;
        ret->want = ret->need = SG_MAX(ret->used, l->put);
}

void sg_lease_lost(struct sg_lease *l)
{
        l->is_asked = false;
        l->reported = -1;
}

/* What Redis says was taken at the time of the question, beside what was in the purse then. */
static void adopt(struct sg_lease *l, int64_t taken)
{
        l->put = taken + l->asked_balance;
        l->is_adopted = true;
        l->taken_before = l->reported = l->put - look(l);
}

void sg_lease_answer(struct sg_lease *l, const struct sg_fleet *f, const int64_t *numbers)
{
        const int64_t granted = numbers[0];

        l->is_asked = false;
        l->answered_usec = f->heard_usec;
        l->free = numbers[1] > 0 ? (uint64_t)numbers[1] : 0;
        l->out = numbers[2] > 0 ? (uint64_t)numbers[2] : 0;
        if (l->is_asked_adopt)
                adopt(l, numbers[3]);
        l->granted = granted;
        if (f->rebuild && l->is_alone)
                return; /* the others are not back yet */
        l->is_alone = false;
        l->alone_put = 0;
        if (granted > l->put)
                put_in(l, granted - l->put);
        else
                take_back(l, l->put - granted);
}

/* ---- alone */

static uint64_t left_of(const struct sg_lease *l, uint64_t fleet_used, uint64_t now_usec)
{
        const uint64_t amount = l->limit.amount, known = SG_MIN(l->free, amount);

        if (is_bucket(l)) {
                const double refill = (double)(now_usec - l->answered_usec) * (double)amount / (double)window_usec(l);

                return refill < (double)(amount - known) ? known + (uint64_t)refill : amount;
        }
        return SG_MIN(known, amount - SG_MIN(fleet_used, amount));
}

/* A bucket goes on filling, for each node its part. */
static int64_t refilled(struct sg_lease *l, uint64_t n_nodes, uint64_t now_usec)
{
        const double all =
                (double)(now_usec - l->alone_usec) * (double)l->limit.amount / (double)window_usec(l) / (double)n_nodes;
        const int64_t most = (int64_t)(l->limit.amount / n_nodes), there = look(l);
        int64_t n = (int64_t)(all - (double)l->alone_refilled);

        if (n <= 0)
                return 0;
        l->alone_refilled += (uint64_t)n;
        return there >= most ? 0 : SG_MIN(n, most - there);
}

void sg_lease_alone(struct sg_lease *l, const struct sg_fleet *f, uint64_t fleet_used, uint64_t now_usec)
{
        const uint64_t n_nodes = SG_MAX(f->n_nodes, (uint64_t)1);
        int64_t n = 0;

        if (l->is_asked || !sg_fleet_is_alone(f, now_usec))
                return;
        if (!l->is_alone) {
                l->is_alone = true;
                l->alone_usec = now_usec;
                l->alone_refilled = 0;
                n = (int64_t)(left_of(l, fleet_used, now_usec) / n_nodes);
        } else if (is_bucket(l)) {
                n = refilled(l, n_nodes, now_usec);
        }
        l->waits_sum = l->waits_least = 0;
        if (n) {
                l->alone_put += n;
                put_in(l, n);
        }
}

bool sg_lease_is_idle(const struct sg_lease *l, uint64_t now_usec)
{
        return !l->is_asked && !l->is_alone && !l->waits_sum && l->is_adopted && l->put == l->granted && look(l) == 0 &&
               now_usec - l->active_usec > FORGOTTEN_USEC && now_usec - l->answered_usec > FORGOTTEN_USEC;
}

uint64_t sg_lease_bound(const struct sg_lease *l, const struct sg_fleet *f)
{
        const uint64_t n_nodes = SG_MAX(f->n_nodes, (uint64_t)1);

        return SG_MIN(l->out + (n_nodes - 1) * (SG_MIN(l->free, l->limit.amount) / n_nodes), l->limit.amount);
}
