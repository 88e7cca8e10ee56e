/*
 * What the tests of lanes share: providers "p0", "p1" … with credentials "a", "b" …, a lane "pN/m" of each and one of its own,
 * a model that leads to all of them, and clocks that are turned by hand.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "upstream/lanes.h"

#define SEC      SG_USEC_PER_SEC
#define MINUTE   (60 * SEC)
#define HOUR     (60 * MINUTE)
#define DAY      (24 * HOUR)
#define N_PLACES 8u

struct world {
        struct sg_config config;
        struct sg_config_provider providers[N_PLACES];
        struct sg_config_credential credentials[N_PLACES][SG_CREDENTIALS_MAX];
        struct sg_config_lane lanes[2 * N_PLACES]; /* first those of the model */
        struct sg_config_target targets[N_PLACES];
        struct sg_config_model model;
        struct sg_lanes *l;
        struct sg_lane_tried tried;
        uint64_t now_usec, wall_usec, hash, n_tokens;
        uint64_t wait_usec; /* of the last pick that found none */
        char why[160];
        char text[256]; /* of the last done */
};

static const char *const world_providers[] = {"p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7"};
static const char *const world_lanes[] = {"p0/m", "p1/m", "p2/m", "p3/m", "p4/m", "p5/m", "p6/m", "p7/m"};
static const char *const world_credentials[] = {"a", "b", "c", "d"};

/* The lanes continue those before. */
static inline void world_configure(struct world *w)
{
        struct sg_lanes *before = w->l;

        assert_int_equal(sg_lanes_new(&w->l, &w->config, before), 0);
        sg_lanes_unref(before);
}

static inline void world_provider(struct world *w, size_t i, size_t n_credentials)
{
        struct sg_config_provider *p = &w->providers[i];

        p->name = world_providers[i];
        p->base_url = "http://127.0.0.1/v1";
        p->connect_timeout_usec = 2 * SEC;
        p->first_byte_timeout_usec = 5 * SEC;
        p->breaker_failures = 5;
        p->breaker_usec = 10 * SEC;
        p->credentials = w->credentials[i];
        p->n_credentials = n_credentials;
        for (size_t j = 0; j < n_credentials; j++) {
                w->credentials[i][j].name = world_credentials[j];
                w->credentials[i][j].priority = 1;
        }
        w->targets[i] = (struct sg_config_target){.provider = p, .upstream_model = "m", .weight = 1, .lane = i};
}

static inline void world_begin(struct world *w, enum sg_strategy strategy, size_t n, size_t n_credentials)
{
        *w = (struct world){.now_usec = sg_clock_usec(), .wall_usec = 20000 * DAY + HOUR};
        for (size_t i = 0; i < n; i++) {
                world_provider(w, i, n_credentials);
                w->lanes[i] = (struct sg_config_lane){.name = world_lanes[i], .provider = &w->providers[i]};
                w->lanes[n + i] = (struct sg_config_lane){.name = world_providers[i], .provider = &w->providers[i]};
        }
        w->config.providers = w->providers;
        w->config.n_providers = n;
        w->config.lanes = w->lanes;
        w->config.n_lanes = 2 * n;
        w->model = (struct sg_config_model){
                .name = "m", .targets = w->targets, .n_targets = n, .weight_sum = (unsigned)n, .strategy = strategy};
        world_configure(w);
}

static inline void world_end(struct world *w)
{
        w->l = sg_lanes_unref(w->l);
}

static inline void turn_clock(struct world *w, uint64_t usec)
{
        w->now_usec += usec;
        w->wall_usec += usec;
}

static inline struct sg_lane_ask world_ask(const struct world *w)
{
        return (struct sg_lane_ask){.model = &w->model,
                                    .hash = w->hash,
                                    .n_tokens = w->n_tokens,
                                    .now_usec = w->now_usec,
                                    .wall_usec = w->wall_usec};
}

/* The next attempt of the exchange. */
static inline bool pick_next(struct world *w, struct sg_lane_pick *ret)
{
        const struct sg_lane_ask ask = world_ask(w);
        const int r = sg_lanes_pick(w->l, &ask, &w->tried, ret, &w->wait_usec, w->why);

        assert_true(r == 0 || r == SG_LANES_E_NONE);
        return r == 0;
}

/* The first attempt of a new exchange, which finds one. */
static inline struct sg_lane_pick pick(struct world *w)
{
        struct sg_lane_pick p;

        w->tried = (struct sg_lane_tried){0};
        assert_true(pick_next(w, &p));
        return p;
}

static inline void pick_none(struct world *w)
{
        struct sg_lane_pick p;

        w->tried = (struct sg_lane_tried){0};
        assert_false(pick_next(w, &p));
}

static inline enum sg_lane_turn done_after(struct world *w, struct sg_lane_pick p, enum sg_lane_fault fault,
                                           uint64_t retry_after_usec)
{
        const struct sg_lane_result result = {
                .fault = fault, .retry_after_usec = retry_after_usec, .text = "as the test said"};

        return sg_lanes_done(w->l, &p, &result, w->now_usec, w->wall_usec, w->text);
}

static inline enum sg_lane_turn done(struct world *w, struct sg_lane_pick p, enum sg_lane_fault fault)
{
        return done_after(w, p, fault, 0);
}

/* One exchange of one attempt. */
static inline enum sg_lane_turn meet(struct world *w, enum sg_lane_fault fault)
{
        return done(w, pick(w), fault);
}

static inline struct sg_lane_view view(struct world *w, size_t row)
{
        struct sg_lane_view v;

        sg_lanes_view(w->l, row, w->now_usec, w->wall_usec, &v);
        return v;
}

static inline size_t row_of_credential(const struct world *w, size_t provider, size_t credential)
{
        size_t row = w->config.n_lanes + credential;

        for (size_t i = 0; i < provider; i++)
                row += w->providers[i].n_credentials;
        return row;
}

/* "p0/m a" */
static inline const char *pick_text(const struct sg_lane_pick *p)
{
        static char text[64];

        snprintf(text, sizeof(text), "%s %s", p->name, p->credential->name);
        return text;
}

#define assert_picks(w, expected)                                                                                      \
        do {                                                                                                           \
                struct sg_lane_pick p_;                                                                                \
                if (!pick_next(w, &p_))                                                                                \
                        fail_msg("none: %s", (w)->why);                                                                \
                assert_string_equal(pick_text(&p_), expected);                                                         \
                last_pick = p_;                                                                                        \
        } while (0)
