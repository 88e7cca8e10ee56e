/*
 * Cheapest compares the sum of the prices of an input and an output token of today. Prices of different currencies cannot
 * be compared: that of the first target with a known price decides, and others are as if unknown. The price of a lane is
 * looked up once a day and kept in one word:  price (41 bits, pico)  currency (15 bits)  day (8 bits).
 */
#include <string.h>

#include "config/prices.h"
#include "upstream/lanes_internal.h"

#define DAY_USEC       (86400 * SG_USEC_PER_SEC)
#define DAY_MASK       UINT64_C(0xff)
#define CURRENCY_SHIFT 8u
#define CURRENCY_MASK  UINT64_C(0x7fff)
#define PRICE_SHIFT    23u
#define PRICE_MAX      ((UINT64_C(1) << 41) - 1)
#define PRICE_UNKNOWN  PRICE_MAX /* the dearest that can be configured is 2 * 10^12 */

static uint64_t currency_of(const struct sg_price *p)
{
        uint64_t word = 0;

        for (unsigned i = 0; i < 3; i++)
                word = word << 5 | ((unsigned char)p->currency[i] & 0x1f);
        return word;
}

static uint64_t make_price(const struct sg_price *p, uint64_t day)
{
        const uint32_t needed = 1u << SG_PRICE_INPUT | 1u << SG_PRICE_OUTPUT;

        if (!p || (p->known & needed) != needed)
                return PRICE_UNKNOWN << PRICE_SHIFT | (day & DAY_MASK);
        return SG_MIN(p->pico[SG_PRICE_INPUT] + p->pico[SG_PRICE_OUTPUT], PRICE_MAX - 1) << PRICE_SHIFT |
               currency_of(p) << CURRENCY_SHIFT | (day & DAY_MASK);
}

/* A lane's name without its provider's: of a pattern without a model of its own the pattern. */
static struct sg_str model_of(const struct place *p)
{
        const size_t n = strlen(p->config->provider->name);

        return sg_str_from(p->config->name[n] ? p->config->name + n + 1 : "");
}

static uint64_t price_of(const struct choice *c, struct place *p)
{
        const uint64_t day = c->wall_usec / DAY_USEC;
        uint64_t word = atomic_load_explicit(&p->price, memory_order_relaxed);

        if (!word || (word & DAY_MASK) != (day & DAY_MASK)) {
                word = make_price(
                        sg_prices_find(c->l->config->prices, sg_str_from(p->config->provider->name), model_of(p), day),
                        day);
                atomic_store_explicit(&p->price, word, memory_order_relaxed);
        }
        return word;
}

unsigned choose_cheapest(const struct choice *c, uint64_t among)
{
        uint64_t least = PRICE_UNKNOWN, currency = 0;
        unsigned best = (unsigned)__builtin_ctzll(among);

        for (uint64_t rest = among; rest; rest &= rest - 1) {
                const unsigned i = (unsigned)__builtin_ctzll(rest);
                const uint64_t word = price_of(c, &c->l->places[c->targets[i].lane]), price = word >> PRICE_SHIFT;

                if (price == PRICE_UNKNOWN)
                        continue;
                if (least == PRICE_UNKNOWN)
                        currency = word >> CURRENCY_SHIFT & CURRENCY_MASK;
                if (price < least && (word >> CURRENCY_SHIFT & CURRENCY_MASK) == currency) {
                        least = price;
                        best = i;
                }
        }
        return best;
}
