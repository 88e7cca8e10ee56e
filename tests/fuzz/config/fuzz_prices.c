/*
 * A table of prices, from bytes to answers. What is refused says why in UTF-8; what is taken is found by its own name on
 * its own day, and a cost never wraps.
 */
#include <stdlib.h>

#include "config/prices.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask(const struct sg_prices *p, struct sg_str provider, struct sg_str model)
{
        static const uint64_t days[] = {0, 20000, UINT64_MAX};
        struct sg_billed one = {{0}}, all;
        uint64_t pico_one, pico_all;

        memset(&all, 0xff, sizeof(all));
        for (size_t i = 0; i < SG_N_ELEMENTS(days); i++) {
                const struct sg_price *x = sg_prices_find(p, provider, model, days[i]);

                if (!x)
                        continue;
                SG_ASSERT(x->from_day <= days[i] && x->known && x->currency[0] && !x->currency[3] && x->where);
                for (int c = 0; c < SG_PRICE_N; c++)
                        if (x->known & 1u << c) {
                                one.n[c] = 1;
                                SG_ASSERT(x->pico[c] < UINT64_C(1000000000000000000));
                        }
                SG_ASSERT(sg_price_cost(x, &one, &pico_one));
                SG_ASSERT(!sg_price_cost(x, &all, &pico_all) || pico_all >= pico_one);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct sg_str rest = sg_str_make(data, size), before, name, provider;
        struct sg_error err = {0};
        struct sg_prices *p = NULL;
        int r = sg_prices_read_bytes(&p, rest, "fuzz.conf", &err);

        SG_ASSERT(r <= 0 && !r == !err.text[0] && sg_str_is_utf8(sg_str_from(err.text)));
        if (r)
                return 0;
        ask(p, SG_STR("openai"), SG_STR("gpt-4o"));
        ask(p, SG_STR_NONE, SG_STR_NONE);
        while (sg_str_cut(&rest, '"', &before) && sg_str_cut(&rest, '"', &name))
                if (sg_str_cut(&name, '/', &provider))
                        ask(p, provider, name);
        sg_prices_free(p);
        return 0;
}
