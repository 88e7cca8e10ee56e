/* Nanoseconds for a reservation that is made and settled, by one thread, with two limits and with six. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "limit/limit.h"

#define TURNS 5000000u
#define WALL  UINT64_C(1795305600000000)

static const char *const texts[] = {"1000000000 requests/minute", "60000 concurrent",
                                    "1000000000000 requests/day", "1000000000000 tokens/hour",
                                    "1000000000000 tokens/month", "10000000 usd/month"};

static struct sg_limit_set *make_set(size_t n)
{
        struct sg_limit limits[SG_N_ELEMENTS(texts)];
        struct sg_limit_set *set = NULL;

        for (size_t i = 0; i < n; i++)
                SG_ASSERT(sg_limit_parse(&limits[i], sg_str_from(texts[i]), NULL) == 0);
        SG_ASSERT(sg_limit_set_new(&set, limits, n, NULL) == 0);
        return set;
}

static void measure(struct sg_limits *l, size_t n_limits)
{
        const struct sg_limited who = {.kind = SG_SUBJECT_KEY, .id = 1, .name = "k", .set = make_set(n_limits)};
        const uint64_t began = sg_clock_usec();
        struct sg_limit_ask ask = {.who = &who, .n_who = 1, .currency = "USD", .now_usec = began, .wall_usec = WALL};
        struct sg_limit_refusal refusal;
        struct sg_reservation r = {0};

        for (int k = 0; k < SG_LIMIT_KIND_N; k++)
                ask.n_of[k] = 1;
        for (unsigned i = 0; i < TURNS; i++) {
                SG_ASSERT(sg_limits_reserve(l, &ask, &r, &refusal) == 0);
                sg_limits_settle(l, &r, 1, 1, ask.now_usec, WALL);
        }
        printf("reserve and settle, %zu limits: %.1f ns\n", n_limits, (double)(sg_clock_usec() - began) * 1000 / TURNS);
        sg_limit_set_unref(who.set);
}

int main(void)
{
        const struct sg_limits_options options = {.path = NULL};
        struct sg_limits *l = NULL;
        char text[256];

        SG_ASSERT(sg_limits_new(&l, &options, sg_clock_usec(), WALL, text) == 0);
        measure(l, 2);
        measure(l, 6);
        sg_limits_free(l);
        return 0;
}
