/*
 * The table is sets of WAYS buckets, found by hash; a key of its own per table, so that nobody can choose addresses that
 * meet in one set. A bucket is the hash of the address and, for each limit, the time at which it is full again (as in
 * count.c, in ticks of 1/1024 usec: of requests alone, fewer will do).
 *
 * Where a set is full, the bucket that is full again first is given to the newcomer: idle ones go first, and of busy ones
 * the one with most left. Taking a place over is one compare-and-swap of the hash; whoever counted for the old owner at
 * that moment adds its request to the newcomer's, or the newcomer's first one is lost: one request, on either side.
 */
#include "limit/address.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/random.h"

#define WAYS           8u
#define TICKS_PER_USEC UINT64_C(1024)

struct bucket {
        uint64_t amount, window;
        struct sg_limit limit;
};

struct sg_limit_addresses {
        uint64_t key[2];
        size_t n_buckets; /* of one address */
        struct bucket buckets[SG_LIMITS_MAX];
        size_t n_sets; /* a power of two */
        /* Of each place the hash of its address, then its times. */
        _Atomic uint64_t words[];
};

static uint64_t window_ticks(enum sg_limit_window w)
{
        return (w == SG_WINDOW_MINUTE ? 60 : 3600) * SG_USEC_PER_SEC * TICKS_PER_USEC;
}

int sg_limit_addresses_new(struct sg_limit_addresses **ret, const struct sg_limit_set *set, size_t n_addresses)
{
        struct sg_limit_addresses *a;
        size_t n_sets = 1;

        while (n_sets * WAYS < n_addresses)
                n_sets *= 2;
        a = calloc(1, sizeof(*a) + n_sets * WAYS * (1 + set->n) * sizeof(a->words[0]));
        if (!a)
                return -ENOMEM;
        a->n_sets = n_sets;
        for (size_t i = 0; i < set->n; i++) {
                const struct sg_limit *l = &set->at[i].limit;

                SG_ASSERT(l->kind == SG_LIMIT_REQUESTS && !l->is_soft &&
                          (l->window == SG_WINDOW_MINUTE || l->window == SG_WINDOW_HOUR));
                a->buckets[a->n_buckets++] = (struct bucket){l->amount, window_ticks(l->window), *l};
        }
        sg_random_bytes(a->key, sizeof(a->key));
        *ret = a;
        return 0;
}

struct sg_limit_addresses *sg_limit_addresses_free(struct sg_limit_addresses *a)
{
        free(a);
        return NULL;
}

/* ---- whose place */

static uint64_t mix(uint64_t x)
{
        x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
        return x ^ x >> 31;
}

/* Of IPv6 the first 64 bits: what one household is given. Never zero. */
static uint64_t hash(const struct sg_limit_addresses *a, const struct sg_ip *ip)
{
        uint64_t bytes = 0;

        memcpy(&bytes, ip->bytes, ip->n_bytes == 4 ? 4 : 8);
        return mix(mix(bytes ^ a->key[0]) + ip->n_bytes + a->key[1]) | 1;
}

static _Atomic uint64_t *place(struct sg_limit_addresses *a, uint64_t h, size_t way)
{
        return &a->words[(((h >> 1) & (a->n_sets - 1)) * WAYS + way) * (1 + a->n_buckets)];
}

/* When all of its buckets are full again. */
static uint64_t idle_at(const struct sg_limit_addresses *a, const _Atomic uint64_t *at)
{
        uint64_t latest = 0;

        for (size_t i = 0; i < a->n_buckets; i++) {
                const uint64_t tat = atomic_load_explicit(&at[1 + i], memory_order_relaxed);

                latest = SG_MAX(latest, tat);
        }
        return latest;
}

static _Atomic uint64_t *find(struct sg_limit_addresses *a, uint64_t h)
{
        for (;;) {
                _Atomic uint64_t *most_left = place(a, h, 0);
                uint64_t earliest = UINT64_MAX, was = 0;

                for (size_t way = 0; way < WAYS; way++) {
                        _Atomic uint64_t *at = place(a, h, way);
                        const uint64_t there = atomic_load_explicit(at, memory_order_acquire);
                        const uint64_t idle = there ? idle_at(a, at) : 0;

                        if (there == h)
                                return at;
                        if (idle < earliest) {
                                most_left = at;
                                earliest = idle;
                                was = there;
                        }
                }
                if (!atomic_compare_exchange_strong(most_left, &was, h))
                        continue;
                for (size_t i = 0; i < a->n_buckets; i++)
                        atomic_store_explicit(&most_left[1 + i], 0, memory_order_release);
                return most_left;
        }
}

/* ---- one request */

static uint64_t unit_of(const struct bucket *b)
{
        return (b->window + b->amount - 1) / b->amount;
}

/* As much as all units taken singly are rounded up by, but less than one is worth. */
static uint64_t owed_max(const struct bucket *b)
{
        const uint64_t unit = b->window / b->amount;

        return b->window + (unit ? SG_MIN(b->amount, unit - 1) : 0);
}

/* In ticks; 0: one more fits. */
static uint64_t wait_of(uint64_t tat, const struct bucket *b, uint64_t now)
{
        const uint64_t next = SG_MAX(tat, now) + unit_of(b), max = now + owed_max(b);

        return next > max ? next - max : 0;
}

static bool add(_Atomic uint64_t *at, const struct bucket *b, uint64_t now)
{
        uint64_t tat = atomic_load_explicit(at, memory_order_relaxed);

        do {
                if (wait_of(tat, b, now))
                        return false;
        } while (!atomic_compare_exchange_weak(at, &tat, SG_MAX(tat, now) + unit_of(b)));
        return true;
}

/* The bucket that has to be waited for longest, or n_buckets. */
static size_t find_empty(const struct sg_limit_addresses *a, const _Atomic uint64_t *at, uint64_t now,
                         uint64_t *ret_wait)
{
        size_t found = a->n_buckets;

        *ret_wait = 0;
        for (size_t i = 0; i < a->n_buckets; i++) {
                const uint64_t wait =
                        wait_of(atomic_load_explicit(&at[1 + i], memory_order_relaxed), &a->buckets[i], now);

                if (wait > *ret_wait) {
                        *ret_wait = wait;
                        found = i;
                }
        }
        return found;
}

/* All or none; the number of the one that was emptied meanwhile, or n_buckets. */
static size_t add_all(const struct sg_limit_addresses *a, _Atomic uint64_t *at, uint64_t now)
{
        for (size_t i = 0; i < a->n_buckets; i++) {
                if (add(&at[1 + i], &a->buckets[i], now))
                        continue;
                for (size_t k = 0; k < i; k++)
                        atomic_fetch_sub(&at[1 + k], unit_of(&a->buckets[k]));
                return i;
        }
        return a->n_buckets;
}

bool sg_limit_addresses_take(struct sg_limit_addresses *a, const struct sg_ip *ip, uint64_t now_usec,
                             struct sg_limit *ret_limit, uint64_t *ret_wait_usec)
{
        const uint64_t now = now_usec * TICKS_PER_USEC;
        _Atomic uint64_t *at = find(a, hash(a, ip));
        uint64_t wait;
        size_t i = find_empty(a, at, now, &wait);

        if (i == a->n_buckets) {
                i = add_all(a, at, now);
                if (i == a->n_buckets)
                        return true;
                (void)find_empty(a, at, now, &wait);
        }
        *ret_limit = a->buckets[i].limit;
        *ret_wait_usec = (wait + TICKS_PER_USEC - 1) / TICKS_PER_USEC;
        return false;
}
