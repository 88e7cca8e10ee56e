/*
 * What the tests of backends share: a service of a few endpoints, and a clock that is turned by hand.
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
#include "upstream/backends.h"

#define SEC SG_USEC_PER_SEC

struct fleet {
        struct sg_config_endpoint endpoints[SG_ENDPOINTS_MAX];
        struct sg_config_service service;
        char urls[SG_ENDPOINTS_MAX][40];
        struct sg_backends *backends;
        uint64_t now_usec;
};

/* Endpoints of these weights, up to a 0; their names by `first` on. The backends continue those before. */
static inline void fleet_configure(struct fleet *f, unsigned first, const unsigned *weights)
{
        struct sg_backends *before = f->backends;

        f->service.endpoints = f->endpoints;
        f->service.n_endpoints = 0;
        for (unsigned i = 0; weights[i]; i++) {
                snprintf(f->urls[i], sizeof(f->urls[i]), "http://10.0.0.%u:8080", first + i);
                f->endpoints[i].url = f->urls[i];
                f->endpoints[i].weight = weights[i];
                f->service.n_endpoints++;
        }
        assert_int_equal(sg_backends_new(&f->backends, &f->service, before), 0);
        sg_backends_unref(before);
}

static inline void fleet_begin(struct fleet *f, enum sg_balance balance, const unsigned *weights)
{
        *f = (struct fleet){.now_usec = sg_clock_usec()};
        f->service.name = "test";
        f->service.balance = balance;
        f->service.breaker_failures = 3;
        f->service.breaker_usec = 10 * SEC;
        f->service.connect_timeout_usec = 2 * SEC;
        f->service.first_byte_timeout_usec = 5 * SEC;
        f->service.check = SG_CHECK_HTTP;
        f->service.health_interval_usec = 7 * SEC;
        f->service.retry_percent = 20;
        fleet_configure(f, 1, weights);
}

static inline void fleet_end(struct fleet *f)
{
        f->backends = sg_backends_unref(f->backends);
}

static inline struct sg_pick pick(struct fleet *f, uint64_t hash, uint64_t tried)
{
        struct sg_pick p;
        uint64_t wait_usec;

        assert_int_equal(sg_backends_pick(f->backends, hash, tried, f->now_usec, &p, &wait_usec), 0);
        assert_true(p.index < f->service.n_endpoints && !(tried >> p.index & 1));
        return p;
}

/* How long to wait; asserts that there is none. */
static inline uint64_t pick_none(struct fleet *f, uint64_t tried)
{
        struct sg_pick p;
        uint64_t wait_usec = 0;

        assert_int_equal(sg_backends_pick(f->backends, 0, tried, f->now_usec, &p, &wait_usec), SG_BACKENDS_E_NONE);
        return wait_usec;
}

static inline enum sg_backend_turn done(struct fleet *f, struct sg_pick p, enum sg_backend_result result)
{
        return sg_backends_done(f->backends, &p, result, f->now_usec, "as the test said");
}

static inline struct sg_backend_view view(struct fleet *f, unsigned index)
{
        struct sg_backend_view v;

        sg_backends_view(f->backends, index, f->now_usec, &v);
        return v;
}
