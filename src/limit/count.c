/*
 * Buckets. A limit of N in a window of W is a timeline on which each unit has W / N: a bucket's `used` is the tick at
 * which all that was taken will have been paid for by time (TAT). It is full when TAT is not after now, and there is room
 * for n when TAT + n W / N is not more than W after now. The product is rounded up, once for each taking; so that all of
 * N units fit when they are taken one by one, N ticks more than W may be owed, or less than what one unit is worth,
 * whichever is smaller. With 2^15 ticks to the microsecond a burst is exact up to about a million units a minute taken
 * singly; beyond, or taken in larger numbers, it falls short by at most a tick for each taking.
 *
 * Giving back. Taking the place [TAT - n W / N, TAT] and giving it back later must not give more than is still there: time
 * that has passed over the place has paid for it already. Let d(s) be what is owed at time s. As in a queue with
 * reflection at zero, what may be given back so that the bucket stands as if n had never been taken is the smaller of
 * n W / N and the least d(s) since it was taken. Two lower bounds of that least d(s) are at hand, and the larger counts;
 * so it may be less than could be that is given back, never more:
 *   d(s) is at least the end of the place, minus what others were given back since, minus now. `state` counts what was
 *     given back in all. (It wraps after 65,536 windows, which nobody gives back while one place lasts.)
 *   Between takings d only sinks, so that it is least just before one, just after a giving back, or now. The least of
 *     those is kept for the present epoch (LOW) and the one before (BEFORE). An epoch ends when the bucket is found full,
 *     since who took earlier has nothing to be given back by this bound then, or after EPOCH_USEC.
 * The first is exact for what is given back in the order of taking and soon, the second while others keep the bucket
 * busy, in any order. Whoever gives back writes both down before TAT is lowered by compare-and-swap: two at once see each
 * other, and killed in between it gave back too little.
 *
 * Days and months. A clock that steps back finds the period of the word in its future and counts there. The ledger's
 * figure for the period that is now (sg_count_floor) puts a word right that a clock has carried away; but for the last two
 * minutes before a period, since whoever tells may not know yet that it has begun.
 */
#include "limit/count.h"

#define TICKS_PER_USEC UINT64_C(32768)
#define WINDOWS_SHIFT  32 /* of what is given back */
#define STATE_MARKS    16 /* bits of marks below that */
#define REFUNDED_BITS  48
#define LOW            2 /* of `held`: 24 bits of epoch, 40 bits of 2^8 ticks */
#define BEFORE         3
#define LOW_BITS       40
#define LOW_MAX        ((UINT64_C(1) << LOW_BITS) - 1) /* nothing seen yet; 2.4 hours and more */
#define LOW_SHIFT      8
#define EPOCH_USEC     (120 * SG_USEC_PER_SEC)
#define EPOCH_COUNT    UINT64_C(0xffff) /* of an epoch's number; above it 8 bits of time */
#define HELD_LANE_BITS 32
#define HELD_LANE_MAX  UINT64_C(0xffffffff)
#define DEBT_TICKS_MAX (UINT64_C(31) * 86400 * SG_USEC_PER_SEC * TICKS_PER_USEC) /* a bucket's, whatever was used */
#define LANE_BITS      16
#define LANE_MAX       UINT64_C(0xffff)
#define MARK_BITS      2
#define DAY_USEC       (UINT64_C(86400) * SG_USEC_PER_SEC)
#define AHEAD_USEC                                                                                                     \
        (UINT64_C(120) * SG_USEC_PER_SEC) /* of a word's period: who counts in it may have looked at the clock later */
#define HOUR_USEC (UINT64_C(3600) * SG_USEC_PER_SEC)

/* ---- time */

/* Howard Hinnant's days_from_civil, backwards: months since March of the year 0. */
static uint64_t months_of_day(uint64_t day)
{
        const uint64_t z = day + 719468, era = z / 146097, in_era = z % 146097;
        const uint64_t year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
        const uint64_t in_year = in_era - (365 * year + year / 4 - year / 100);

        return (era * 400 + year) * 12 + (5 * in_year + 2) / 153;
}

static uint64_t day_of_months(uint64_t months)
{
        const uint64_t year = months / 12, m = months % 12, era = year / 400, in_era = year % 400;

        return era * 146097 + in_era * 365 + in_era / 4 - in_era / 100 + (153 * m + 2) / 5 - 719468;
}

#define MONTHS_1970 UINT64_C(23638) /* January 1970 of months since March of the year 0 */

uint64_t sg_window_period(enum sg_limit_window w, uint64_t wall_usec)
{
        const uint64_t day = wall_usec / DAY_USEC;

        if (!sg_window_is_calendar(w))
                return 0;
        /* A clock that is centuries off stays within the bits. */
        return SG_MIN(w == SG_WINDOW_DAY ? day : months_of_day(day) - MONTHS_1970, SG_WORD_PERIOD_MAX);
}

/* When a period begins. */
static uint64_t period_begin(enum sg_limit_window w, uint64_t period)
{
        return (w == SG_WINDOW_DAY ? period : day_of_months(period + MONTHS_1970)) * DAY_USEC;
}

static uint64_t window_ticks(enum sg_limit_window w)
{
        return (w == SG_WINDOW_MINUTE ? 60 * SG_USEC_PER_SEC : HOUR_USEC) * TICKS_PER_USEC;
}

/* ---- buckets */

static uint64_t cost_of(uint64_t window, uint64_t amount, uint64_t n)
{
        const __uint128_t ticks = ((__uint128_t)window * n + amount - 1) / amount;

        return ticks < DEBT_TICKS_MAX ? (uint64_t)ticks : DEBT_TICKS_MAX;
}

static uint64_t slack_of(uint64_t window, uint64_t amount)
{
        const uint64_t unit = window / amount;

        return unit ? SG_MIN(amount, unit - 1) : 0;
}

static uint64_t owed(const struct sg_limit_word *w, uint64_t now_usec)
{
        const uint64_t tat = atomic_load(&w->used), now = now_usec * TICKS_PER_USEC;

        return tat > now ? SG_MIN(tat - now, DEBT_TICKS_MAX) : 0;
}

/* ---- the least that was owed */

static uint64_t epoch_of(uint64_t low)
{
        return low >> LOW_BITS;
}

static uint64_t low_pack(uint64_t epoch, uint64_t low)
{
        return epoch << LOW_BITS | SG_MIN(low, LOW_MAX);
}

/* An epoch is over: what was seen in it stands in BEFORE. */
static void keep_before(struct sg_limit_word *w, uint64_t epoch, uint64_t low)
{
        uint64_t was = atomic_load(&w->held[BEFORE]);

        do {
                if (epoch_of(was) == epoch && (was & LOW_MAX) <= low)
                        return;
        } while (!atomic_compare_exchange_weak(&w->held[BEFORE], &was, low_pack(epoch, low)));
}

/* Before more is taken, with what is owed now. The epoch in which it is taken. */
static uint32_t note_owed(struct sg_limit_word *w, uint64_t owes, uint64_t now_usec)
{
        const uint64_t time = now_usec / EPOCH_USEC & 0xff, seen = owes >> LOW_SHIFT;
        uint64_t was = atomic_load(&w->held[LOW]), epoch, next;

        do {
                epoch = epoch_of(was);
                if (owes == 0 || epoch >> 16 != time) {
                        keep_before(w, epoch, SG_MIN(seen, was & LOW_MAX));
                        epoch = time << 16 | ((epoch + 1) & EPOCH_COUNT);
                        next = low_pack(epoch, LOW_MAX);
                } else if (seen >= (was & LOW_MAX)) {
                        break;
                } else {
                        next = low_pack(epoch, seen);
                }
        } while (!atomic_compare_exchange_weak(&w->held[LOW], &was, next));
        return (uint32_t)epoch;
}

static void lower(struct sg_limit_word *w, uint64_t owes)
{
        uint64_t was = atomic_load(&w->held[LOW]);

        do {
                if ((was & LOW_MAX) <= owes >> LOW_SHIFT)
                        return;
        } while (!atomic_compare_exchange_weak(&w->held[LOW], &was, low_pack(epoch_of(was), owes >> LOW_SHIFT)));
}

/* In ticks, since h was taken; 0 when nobody knows any more. */
static uint64_t least_owed(const struct sg_limit_hold *h)
{
        const uint64_t low = atomic_load(&h->word->held[LOW]), before = atomic_load(&h->word->held[BEFORE]);

        if (epoch_of(low) == h->period)
                return (low & LOW_MAX) << LOW_SHIFT;
        return epoch_of(before) == h->period ? SG_MIN(low & LOW_MAX, before & LOW_MAX) << LOW_SHIFT : 0;
}

/* ---- taking of a bucket, and giving back */

/* True when it fits, or has to. */
static bool bucket_add(struct sg_limit_word *w, uint64_t cost, uint64_t owed_max, uint64_t now_usec, uint64_t *ret_end,
                       uint32_t *ret_epoch)
{
        const uint64_t now = now_usec * TICKS_PER_USEC;
        uint64_t tat = atomic_load(&w->used), next;

        do {
                const uint64_t owes = tat > now ? tat - now : 0;

                if (owes + cost > owed_max)
                        return false;
                *ret_epoch = note_owed(w, owes, now_usec);
                next = now + SG_MIN(owes + cost, DEBT_TICKS_MAX);
        } while (!atomic_compare_exchange_weak(&w->used, &tat, next));
        *ret_end = next;
        return true;
}

static uint64_t refunded_of(uint64_t state)
{
        return state >> STATE_MARKS;
}

/* In 2^-32 windows, rounded up, where it stands in `state`. */
static uint64_t as_refund(uint64_t ticks, uint64_t window)
{
        return (uint64_t)((((__uint128_t)ticks << WINDOWS_SHIFT) + window - 1) / window) << STATE_MARKS;
}

/* What time has not passed over yet of the place. */
static uint64_t left_of_place(const struct sg_limit_hold *h, uint64_t now)
{
        const uint64_t others =
                (refunded_of(atomic_load(&h->word->state)) - h->refunded) & ((UINT64_C(1) << REFUNDED_BITS) - 1);
        const uint64_t ticks = (uint64_t)((__uint128_t)others * window_ticks(h->window) >> WINDOWS_SHIFT);

        return h->end > now + ticks ? h->end - now - ticks : 0;
}

static void bucket_give(const struct sg_limit_hold *h, uint64_t cost, uint64_t now_usec)
{
        const uint64_t window = window_ticks(h->window), now = now_usec * TICKS_PER_USEC;
        struct sg_limit_word *w = h->word;

        for (;;) {
                uint64_t tat = atomic_load(&w->used), back, place, least;

                if (tat <= now)
                        return;
                place = left_of_place(h, now);
                least = least_owed(h);
                back = SG_MIN(cost, SG_MIN(tat - now, SG_MAX(place, least)));
                if (!back)
                        return;
                atomic_fetch_add(&w->state, as_refund(back, window));
                lower(w, tat - now - back);
                if (atomic_compare_exchange_strong(&w->used, &tat, tat - back))
                        return;
                atomic_fetch_sub(&w->state, as_refund(back, window));
        }
}

/* What fits of n into the column. */
static uint32_t bucket_hold(struct sg_limit_word *w, unsigned column, uint64_t n)
{
        _Atomic uint64_t *at = &w->held[column / 2];
        const unsigned shift = column % 2 * HELD_LANE_BITS;
        uint64_t was = atomic_load_explicit(at, memory_order_relaxed), fits;

        do {
                fits = SG_MIN(n, HELD_LANE_MAX - (was >> shift & HELD_LANE_MAX));
        } while (!atomic_compare_exchange_weak(at, &was, was + (fits << shift)));
        return (uint32_t)fits;
}

static void bucket_unhold(const struct sg_limit_hold *h, unsigned column)
{
        atomic_fetch_sub(&h->word->held[column / 2], (uint64_t)h->n_held << column % 2 * HELD_LANE_BITS);
}

static uint64_t bucket_held(const struct sg_limit_word *w, unsigned column)
{
        return atomic_load(&w->held[column / 2]) >> column % 2 * HELD_LANE_BITS & HELD_LANE_MAX;
}

static bool bucket_take(struct sg_limit_word *w, const struct sg_limit *l, const struct sg_count_time *t,
                        struct sg_limit_hold *h)
{
        const uint64_t window = window_ticks(l->window);

        h->refunded = refunded_of(atomic_load(&w->state));
        if (!bucket_add(w, cost_of(window, l->amount, h->n),
                        l->is_soft ? UINT64_MAX : window + slack_of(window, l->amount), t->now_usec, &h->end,
                        &h->period))
                return false;
        h->n_held = bucket_hold(w, t->column, h->n);
        return true;
}

static void bucket_settle(const struct sg_limit_hold *h, uint64_t n_used, const struct sg_count_time *t)
{
        const uint64_t window = window_ticks(h->window);
        const uint64_t held = cost_of(window, h->amount, h->n), used = cost_of(window, h->amount, n_used);
        uint64_t end;
        uint32_t epoch;

        bucket_unhold(h, t->column);
        if (used < held)
                bucket_give(h, held - used, t->now_usec);
        else if (used > held)
                (void)bucket_add(h->word, used - held, UINT64_MAX, t->now_usec, &end, &epoch);
}

/* In the instant of taking: no time has passed over the place. */
static void bucket_undo(const struct sg_limit_hold *h, const struct sg_count_time *t)
{
        const uint64_t window = window_ticks(h->window), cost = cost_of(window, h->amount, h->n);
        const uint64_t owes = owed(h->word, t->now_usec);

        bucket_unhold(h, t->column);
        atomic_fetch_add(&h->word->state, as_refund(cost, window));
        lower(h->word, owes > cost ? owes - cost : 0);
        atomic_fetch_sub(&h->word->used, cost);
}

/* How many units fit now. */
static uint64_t bucket_room(const struct sg_limit *l, uint64_t owes)
{
        const uint64_t window = window_ticks(l->window), max = window + slack_of(window, l->amount);
        const __uint128_t room = owes < max ? (__uint128_t)(max - owes) * l->amount / window : 0;

        return room < l->amount ? (uint64_t)room : l->amount;
}

static void bucket_look(const struct sg_limit_word *w, const struct sg_limit *l, const struct sg_count_time *t,
                        struct sg_count_view *ret)
{
        const uint64_t owes = owed(w, t->now_usec), window = window_ticks(l->window);

        ret->remaining = bucket_room(l, owes);
        ret->used = owes > window ? (uint64_t)SG_MIN((__uint128_t)owes * l->amount / window, SG_WORD_AMOUNT_MAX)
                                  : l->amount - ret->remaining;
        ret->reset_usec = (owes + TICKS_PER_USEC - 1) / TICKS_PER_USEC;
        for (unsigned i = 0; i < SG_LIMIT_PROCESSES; i++)
                ret->reserved += bucket_held(w, i);
}

/* ---- days and months */

/* What the word says of a period: its own where the word is ahead of the clock. */
static uint64_t in_period(uint64_t packed, uint64_t period)
{
        return sg_period_of(packed) >= period ? packed : sg_period_pack(period, 0);
}

static void period_add(_Atomic uint64_t *at, uint64_t period, uint64_t n)
{
        uint64_t was = atomic_load(at), is;

        do {
                is = sg_amount_of(was) ? in_period(was, period) : sg_period_pack(period, 0);
                if (sg_period_of(is) != period)
                        return;
        } while (!atomic_compare_exchange_weak(at, &was, sg_period_pack(period, sg_amount_of(is) + n)));
}

/* Nothing when it is another period by now. */
static void period_take_off(_Atomic uint64_t *at, uint64_t period, uint64_t n)
{
        uint64_t was = atomic_load(at);

        do {
                if (sg_period_of(was) != period)
                        return;
        } while (!atomic_compare_exchange_weak(
                at, &was, sg_period_pack(period, sg_amount_of(was) - SG_MIN(n, sg_amount_of(was)))));
}

static bool calendar_take(struct sg_limit_word *w, const struct sg_limit *l, const struct sg_count_time *t,
                          struct sg_limit_hold *h)
{
        const uint64_t period = sg_window_period(l->window, t->wall_usec);
        uint64_t was = atomic_load(&w->used), is, n;

        do {
                is = in_period(was, period);
                if (!l->is_soft && (h->n > l->amount || sg_amount_of(is) > l->amount - h->n))
                        return false;
                n = SG_MIN(h->n, SG_WORD_AMOUNT_MAX - sg_amount_of(is)); /* what is given back must have been taken */
        } while (!atomic_compare_exchange_weak(&w->used, &was, sg_period_pack(sg_period_of(is), sg_amount_of(is) + n)));
        h->n = n;
        h->period = (uint32_t)sg_period_of(is);
        period_add(&w->held[t->column], h->period, h->n);
        return true;
}

static void calendar_settle(const struct sg_limit_hold *h, uint64_t n_used, const struct sg_count_time *t)
{
        period_take_off(&h->word->held[t->column], h->period, h->n);
        if (n_used < h->n)
                period_take_off(&h->word->used, h->period, h->n - n_used);
        else if (n_used > h->n && sg_period_of(atomic_load(&h->word->used)) == h->period)
                period_add(&h->word->used, h->period, n_used - h->n);
}

static void calendar_look(const struct sg_limit_word *w, const struct sg_limit *l, const struct sg_count_time *t,
                          struct sg_count_view *ret)
{
        const uint64_t is = in_period(atomic_load(&w->used), sg_window_period(l->window, t->wall_usec));
        const uint64_t end = period_begin(l->window, sg_period_of(is) + 1);

        ret->period = sg_period_of(is);
        ret->used = sg_amount_of(is);
        ret->remaining = ret->used < l->amount ? l->amount - ret->used : 0;
        ret->reset_usec = ret->used ? end - SG_MIN(end, t->wall_usec) : 0;
        for (unsigned i = 0; i < SG_LIMIT_PROCESSES; i++) {
                const uint64_t held = atomic_load(&w->held[i]);

                ret->reserved += sg_period_of(held) == ret->period ? sg_amount_of(held) : 0;
        }
}

void sg_count_floor(struct sg_limit_word *w, uint64_t period, uint64_t used, uint64_t wall_usec)
{
        const enum sg_limit_window window = sg_word_window(atomic_load(&w->id));
        const uint64_t now = sg_window_period(window, wall_usec),
                       soon = sg_window_period(window, wall_usec + AHEAD_USEC);
        uint64_t was = atomic_load(&w->used), is;

        /* A ledger's clock may be ahead by a moment; by more it is wrong, and would carry the word away. */
        if (period > now + 1)
                return;
        do {
                /* The word is ahead of the clock: what it counts is of no period that was. */
                is = sg_period_of(was) > soon && period == now ? sg_period_pack(period, 0) : in_period(was, period);
                if (sg_period_of(is) != period || (is == was && used <= sg_amount_of(is)))
                        return;
        } while (!atomic_compare_exchange_weak(&w->used, &was, sg_period_pack(period, SG_MAX(used, sg_amount_of(is)))));
}

/* ---- concurrency */

static uint64_t lanes_sum(uint64_t lanes)
{
        uint64_t n = 0;

        for (unsigned i = 0; i < SG_LIMIT_PROCESSES; i++)
                n += lanes >> i * LANE_BITS & LANE_MAX;
        return n;
}

static uint64_t lane_of(uint64_t lanes, unsigned column)
{
        return lanes >> column * LANE_BITS & LANE_MAX;
}

static bool concurrent_take(struct sg_limit_word *w, const struct sg_limit *l, const struct sg_count_time *t,
                            struct sg_limit_hold *h)
{
        uint64_t was = atomic_load(&w->used), n;

        do {
                const uint64_t free_in_lane = LANE_MAX - lane_of(was, t->column), sum = lanes_sum(was);

                n = l->is_soft ? SG_MIN(h->n, free_in_lane) : h->n;
                if (n > free_in_lane || (!l->is_soft && (n > l->amount || sum > l->amount - n)))
                        return false;
        } while (!atomic_compare_exchange_weak(&w->used, &was, was + (n << t->column * LANE_BITS)));
        h->n = n;
        return true;
}

static void concurrent_give(const struct sg_limit_hold *h, const struct sg_count_time *t)
{
        atomic_fetch_sub(&h->word->used, h->n << t->column * LANE_BITS);
}

/* ---- all of them */

bool sg_count_take(struct sg_limit_word *w, const struct sg_limit *limit, uint64_t n, const struct sg_count_time *t,
                   struct sg_limit_hold *ret)
{
        *ret = (struct sg_limit_hold){.word = w,
                                      .n = SG_MIN(n, SG_WORD_AMOUNT_MAX),
                                      .kind = (uint8_t)limit->kind,
                                      .window = (uint8_t)limit->window,
                                      .amount = limit->amount};
        if (limit->window == SG_WINDOW_NONE)
                return concurrent_take(w, limit, t, ret);
        return sg_window_is_bucket(limit->window) ? bucket_take(w, limit, t, ret) : calendar_take(w, limit, t, ret);
}

void sg_count_settle(const struct sg_limit_hold *h, uint64_t n_used, const struct sg_count_time *t)
{
        if (h->window == SG_WINDOW_NONE)
                concurrent_give(h, t);
        else if (sg_window_is_bucket(h->window))
                bucket_settle(h, n_used, t);
        else
                calendar_settle(h, n_used, t);
}

void sg_count_undo(const struct sg_limit_hold *h, const struct sg_count_time *t)
{
        if (sg_window_is_bucket(h->window))
                bucket_undo(h, t);
        else
                sg_count_settle(h, 0, t);
}

void sg_count_look(const struct sg_limit_word *w, const struct sg_limit *limit, const struct sg_count_time *t,
                   struct sg_count_view *ret)
{
        static const struct sg_limit_word none;

        *ret = (struct sg_count_view){0};
        if (!w)
                w = &none;
        if (sg_window_is_bucket(limit->window)) {
                bucket_look(w, limit, t, ret);
        } else if (sg_window_is_calendar(limit->window)) {
                calendar_look(w, limit, t, ret);
        } else {
                ret->used = ret->reserved = lanes_sum(atomic_load(&w->used));
                ret->remaining = ret->used < limit->amount ? limit->amount - ret->used : 0;
        }
}

uint64_t sg_count_held(const struct sg_limit_word *w, unsigned column)
{
        const enum sg_limit_window window = sg_word_window(atomic_load(&w->id));

        if (window == SG_WINDOW_NONE)
                return lane_of(atomic_load(&w->used), column);
        return sg_window_is_bucket(window) ? bucket_held(w, column) : sg_amount_of(atomic_load(&w->held[column]));
}

uint64_t sg_count_wait(const struct sg_limit_word *w, const struct sg_limit *limit, uint64_t n,
                       const struct sg_count_time *t, bool *ret_fits)
{
        struct sg_count_view v;

        sg_count_look(w, limit, t, &v);
        *ret_fits = limit->is_soft || n <= v.remaining;
        if (*ret_fits)
                return 0;
        if (n > limit->amount)
                return SG_USEC_NEVER;
        if (sg_window_is_bucket(limit->window)) {
                const uint64_t window = window_ticks(limit->window), max = window + slack_of(window, limit->amount);
                const uint64_t ticks = (w ? owed(w, t->now_usec) : 0) + cost_of(window, limit->amount, n);

                return ticks > max ? (ticks - max + TICKS_PER_USEC - 1) / TICKS_PER_USEC : 0;
        }
        return v.reset_usec;
}

/* `used` of concurrency is by process already; buckets pay for what was held by themselves. */
void sg_count_reclaim(struct sg_limit_word *w, unsigned column)
{
        const enum sg_limit_window window = sg_word_window(atomic_load(&w->id));

        if (window == SG_WINDOW_NONE) {
                atomic_fetch_and(&w->used, ~(LANE_MAX << column * LANE_BITS));
        } else if (sg_window_is_bucket(window)) {
                atomic_fetch_and(&w->held[column / 2], ~(HELD_LANE_MAX << column % 2 * HELD_LANE_BITS));
        } else if (atomic_load(&w->held[column])) {
                const uint64_t held = atomic_exchange(&w->held[column], 0);

                period_take_off(&w->used, sg_period_of(held), sg_amount_of(held));
        }
}

/* Buckets and concurrency know no periods: an hour. */
bool sg_count_mark(struct sg_limit_word *w, const struct sg_limit *limit, unsigned bit, const struct sg_count_time *t)
{
        const uint64_t period = sg_window_is_calendar(limit->window) ? sg_window_period(limit->window, t->wall_usec)
                                                                     : t->now_usec / HOUR_USEC;
        const uint64_t all = (UINT64_C(1) << STATE_MARKS) - 1, now = period << MARK_BITS & all;
        const uint64_t marks = (UINT64_C(1) << MARK_BITS) - 1;
        uint64_t was = atomic_load_explicit(&w->state, memory_order_relaxed), is;

        do {
                is = (was & all & ~marks) == now ? was : (was & ~all) | now;
                if (is & UINT64_C(1) << bit)
                        return false;
        } while (!atomic_compare_exchange_weak(&w->state, &was, is | UINT64_C(1) << bit));
        return true;
}

/* ---- the copy */

uint64_t sg_count_to_save(const struct sg_limit_word *w, uint64_t now_usec, uint64_t wall_usec)
{
        const enum sg_limit_window window = sg_word_window(atomic_load(&w->id));
        uint64_t used, held = 0;

        if (window == SG_WINDOW_NONE)
                return 0;
        if (sg_window_is_bucket(window))
                return (owed(w, now_usec) + TICKS_PER_USEC - 1) / TICKS_PER_USEC;
        used = atomic_load(&w->used);
        if (sg_period_of(used) < sg_window_period(window, wall_usec))
                return 0;
        for (unsigned i = 0; i < SG_LIMIT_PROCESSES; i++) {
                const uint64_t h = atomic_load(&w->held[i]);

                held += sg_period_of(h) == sg_period_of(used) ? sg_amount_of(h) : 0;
        }
        held = SG_MIN(held, sg_amount_of(used));
        return sg_amount_of(used) > held ? used - held : 0;
}

void sg_count_from_saved(struct sg_limit_word *w, uint64_t value, uint64_t now_usec, uint64_t passed_usec)
{
        const enum sg_limit_window window = sg_word_window(atomic_load(&w->id));

        if (sg_window_is_calendar(window))
                atomic_store(&w->used, value & ~SG_GRANT_BOUND);
        else if (sg_window_is_bucket(window) && value > passed_usec)
                atomic_store(&w->used, (now_usec + SG_MIN(value - passed_usec, DEBT_TICKS_MAX / TICKS_PER_USEC)) *
                                               TICKS_PER_USEC);
}
