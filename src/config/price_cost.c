/* From tokens to money, in whole numbers: 128 bits hold any count times any price. */
#include "config/prices.h"

const char *sg_price_class_name(enum sg_price_class c)
{
        static const char *const names[SG_PRICE_N] = {
                [SG_PRICE_INPUT] = "input",
                [SG_PRICE_CACHED_INPUT] = "cached_input",
                [SG_PRICE_CACHE_WRITE] = "cache_write",
                [SG_PRICE_CACHE_WRITE_1H] = "cache_write_1h",
                [SG_PRICE_OUTPUT] = "output",
                [SG_PRICE_REASONING] = "reasoning",
                [SG_PRICE_AUDIO_INPUT] = "audio_input",
                [SG_PRICE_AUDIO_OUTPUT] = "audio_output",
                [SG_PRICE_IMAGE] = "image",
                [SG_PRICE_REQUEST] = "request",
        };

        return (unsigned)c < SG_PRICE_N ? names[c] : "?";
}

/* Takes at most n out of *rest. */
static uint64_t take(uint64_t *rest, uint64_t n)
{
        n = SG_MIN(n, *rest);
        *rest -= n;
        return n;
}

struct sg_billed sg_billed_of(const struct sg_tokens *t)
{
        uint64_t input = t->input, output = t->output, written, hour;
        struct sg_billed b = {0};

        b.n[SG_PRICE_CACHED_INPUT] = take(&input, t->cached);
        written = take(&input, t->cache_write);
        hour = take(&written, t->cache_write_1h);
        b.n[SG_PRICE_CACHE_WRITE] = written;
        b.n[SG_PRICE_CACHE_WRITE_1H] = hour;
        b.n[SG_PRICE_AUDIO_INPUT] = take(&input, t->audio_input);
        b.n[SG_PRICE_IMAGE] = take(&input, t->image);
        b.n[SG_PRICE_INPUT] = input;
        b.n[SG_PRICE_REASONING] = take(&output, t->reasoning);
        b.n[SG_PRICE_AUDIO_OUTPUT] = take(&output, t->audio_output);
        b.n[SG_PRICE_OUTPUT] = output;
        b.n[SG_PRICE_REQUEST] = t->n_requests;
        return b;
}

static bool price_of(const struct sg_price *p, enum sg_price_class c, uint64_t *ret_pico)
{
        if (c == SG_PRICE_REASONING && !(p->known & UINT32_C(1) << c))
                c = SG_PRICE_OUTPUT;
        if (p->known & UINT32_C(1) << c)
                *ret_pico = p->pico[c];
        else if (c == SG_PRICE_REQUEST)
                *ret_pico = 0;
        else
                return false;
        return true;
}

enum sg_price_class sg_price_lacks(const struct sg_price *p, const struct sg_billed *b)
{
        uint64_t pico;

        for (int i = 0; i < SG_PRICE_N; i++)
                if (b->n[i] && !price_of(p, (enum sg_price_class)i, &pico))
                        return (enum sg_price_class)i;
        return SG_PRICE_N;
}

bool sg_price_cost(const struct sg_price *p, const struct sg_billed *b, uint64_t *ret_pico)
{
        unsigned __int128 sum = 0;

        for (int i = 0; i < SG_PRICE_N; i++) {
                uint64_t pico;

                if (b->n[i] == 0)
                        continue;
                if (!price_of(p, (enum sg_price_class)i, &pico))
                        return false;
                sum += (unsigned __int128)b->n[i] * pico; /* ten of 2^124 at most: a price is below 2^60 */
        }
        *ret_pico = sum > UINT64_MAX ? UINT64_MAX : (uint64_t)sum;
        return true;
}
