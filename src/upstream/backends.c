#include "upstream/backends.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "upstream/backends_internal.h"
#include "upstream/rendezvous.h"

const char *sg_backend_result_name(enum sg_backend_result r)
{
        static const char *const names[SG_BACKEND_RESULT_N] = {
                [SG_BACKEND_OK] = "ok",         [SG_BACKEND_UNREACHABLE] = "unreachable",
                [SG_BACKEND_BROKEN] = "broken", [SG_BACKEND_SLOW] = "slow",
                [SG_BACKEND_ERROR] = "error",   [SG_BACKEND_NEUTRAL] = "neutral",
        };

        return r < SG_BACKEND_RESULT_N ? names[r] : "unknown";
}

const char *sg_backend_state_name(enum sg_backend_state s)
{
        static const char *const names[SG_BACKEND_STATE_N] = {
                [SG_BACKEND_UP] = "up",           [SG_BACKEND_DRAINED] = "drained", [SG_BACKEND_DOWN] = "down",
                [SG_BACKEND_TRIPPED] = "tripped", [SG_BACKEND_TRIAL] = "trial",
        };

        return s < SG_BACKEND_STATE_N ? names[s] : "unknown";
}

/* ---- what is known of an endpoint */

static struct backend *backend_unref(struct backend *e)
{
        if (!e || atomic_fetch_sub_explicit(&e->n_refs, 1, memory_order_acq_rel) != 1)
                return NULL;
        free(e->name);
        free(e);
        return NULL;
}

static int backend_new(struct backend **ret, const char *name)
{
        struct backend *e = aligned_alloc(_Alignof(struct backend), sizeof(*e));

        if (!e)
                return -ENOMEM;
        memset(e, 0, sizeof(*e));
        atomic_store_explicit(&e->n_refs, 1, memory_order_relaxed);
        atomic_store_explicit(&e->since_usec, sg_clock_usec(), memory_order_relaxed);
        e->name_hash = rendezvous_name(RENDEZVOUS_NAME, name);
        e->name = strdup(name);
        if (!e->name) {
                backend_unref(e);
                return -ENOMEM;
        }
        *ret = e;
        return 0;
}

/* What the new configuration does not ask for any more is forgotten. */
static struct backend *backend_continue(struct backend *e, const struct sg_config_service *service)
{
        (void)atomic_fetch_add_explicit(&e->n_refs, 1, memory_order_relaxed);
        if (service->check == SG_CHECK_NONE)
                (void)atomic_fetch_and_explicit(&e->flags, ~BACKEND_IS_DOWN, memory_order_relaxed);
        if (!service->breaker_failures)
                (void)breaker_close(&e->breaker);
        return e;
}

static struct backend *find(const struct sg_backends *b, const char *name)
{
        for (size_t i = 0; b && i < b->n; i++)
                if (strcmp(b->backends[i]->name, name) == 0)
                        return b->backends[i];
        return NULL;
}

/* ---- birth and death */

static int add(struct sg_backends *b, const struct sg_config_endpoint *endpoint,
               const struct sg_config_service *service, const struct sg_backends *previous)
{
        struct backend *known = find(previous, endpoint->url);
        int r = 0;

        if (known)
                b->backends[b->n] = backend_continue(known, service);
        else
                r = backend_new(&b->backends[b->n], endpoint->url);
        if (r)
                return r;
        b->weights[b->n++] = endpoint->weight;
        return 0;
}

int sg_backends_new(struct sg_backends **ret, const struct sg_config_service *service,
                    const struct sg_backends *previous)
{
        SG_AUTO(sg_backends_unref) struct sg_backends *b = aligned_alloc(_Alignof(struct sg_backends), sizeof(*b));
        int r;

        SG_ASSERT(service->n_endpoints > 0 && service->n_endpoints <= SG_ENDPOINTS_MAX);
        if (!b)
                return -ENOMEM;
        memset(b, 0, sizeof(*b));
        atomic_store_explicit(&b->n_refs, 1, memory_order_relaxed);
        b->balance = service->balance;
        b->rule.failures = service->breaker_failures;
        b->rule.open_usec = service->breaker_usec;
        b->rule.trial_usec =
                SG_MAX(service->breaker_usec, service->connect_timeout_usec + service->first_byte_timeout_usec);
        b->health_interval_usec = service->health_interval_usec;
        b->retry_percent = service->retry_percent;
        backends_init_budget(b);
        for (size_t i = 0; i < service->n_endpoints; i++) {
                r = add(b, &service->endpoints[i], service, previous);
                if (r)
                        return r;
        }
        r = backends_make_order(b);
        if (r)
                return r;
        *ret = SG_GIVE(b);
        return 0;
}

struct sg_backends *sg_backends_ref(struct sg_backends *b)
{
        const uint32_t before = atomic_fetch_add_explicit(&b->n_refs, 1, memory_order_relaxed);

        SG_ASSERT(before > 0);
        return b;
}

struct sg_backends *sg_backends_unref(struct sg_backends *b)
{
        if (!b || atomic_fetch_sub_explicit(&b->n_refs, 1, memory_order_acq_rel) != 1)
                return NULL;
        for (size_t i = 0; i < b->n; i++)
                backend_unref(b->backends[i]);
        free(b->order);
        free(b);
        return NULL;
}

/* ---- from health checks and admins */

static uint32_t set_flag(struct backend *e, uint32_t flag, bool is_set)
{
        return is_set ? atomic_fetch_or_explicit(&e->flags, flag, memory_order_relaxed)
                      : atomic_fetch_and_explicit(&e->flags, ~flag, memory_order_relaxed);
}

static void begin_state(struct backend *e)
{
        atomic_store_explicit(&e->since_usec, sg_clock_usec(), memory_order_relaxed);
}

bool sg_backends_set_health(struct sg_backends *b, unsigned index, bool is_up, const char *text)
{
        struct backend *e = backend_at(b, index);
        uint32_t before;

        spoken_set(&e->health, text);
        before = set_flag(e, BACKEND_IS_DOWN, !is_up);
        if (!(before & BACKEND_IS_DOWN) == is_up)
                return false;
        if (!(before & BACKEND_IS_DRAINED))
                begin_state(e);
        return true;
}

bool sg_backends_set_drained(struct sg_backends *b, unsigned index, bool is_drained)
{
        struct backend *e = backend_at(b, index);
        const bool was_open = !is_drained && breaker_close(&e->breaker);
        const uint32_t before = set_flag(e, BACKEND_IS_DRAINED, is_drained);

        if (!(before & BACKEND_IS_DRAINED) == !is_drained && !was_open)
                return false;
        begin_state(e);
        return true;
}

/* ---- views */

size_t sg_backends_count(const struct sg_backends *b)
{
        return b->n;
}

#define LAST_BYTES (SG_BACKEND_TEXT_BYTES - 40) /* of a text behind "4294967295 failures in a row, last: " */

static void say_why(const struct backend *e, enum sg_backend_state state, char out[SG_BACKEND_TEXT_BYTES])
{
        char last[SG_BACKEND_TEXT_BYTES];
        unsigned n;

        out[0] = '\0';
        if (state == SG_BACKEND_DRAINED) {
                (void)snprintf(out, SG_BACKEND_TEXT_BYTES, "by an admin");
        } else if (state == SG_BACKEND_DOWN) {
                spoken_get(&e->health, out);
        } else if (state != SG_BACKEND_UP) {
                spoken_get(&e->fault, last);
                n = atomic_load_explicit(&e->breaker.n_in_row, memory_order_relaxed);
                (void)snprintf(out, SG_BACKEND_TEXT_BYTES, "%u failure%s in a row, last: %.*s", n, n == 1 ? "" : "s",
                               LAST_BYTES, last);
        }
}

void sg_backends_view(struct sg_backends *b, unsigned index, uint64_t now_usec, struct sg_backend_view *ret)
{
        const struct backend *e = backend_at(b, index);
        const uint64_t load = atomic_load_explicit(&e->load, memory_order_relaxed);
        const uint64_t since_usec = atomic_load_explicit(&e->since_usec, memory_order_relaxed);

        ret->name = e->name;
        ret->weight = b->weights[index];
        ret->state = backend_state(b, e, now_usec);
        ret->n_outstanding = load_outstanding(load);
        ret->n_picked = load_picked(load);
        ret->n_failed = atomic_load_explicit(&e->n_failed, memory_order_relaxed);
        ret->state_for_usec = now_usec > since_usec ? now_usec - since_usec : 0;
        say_why(e, ret->state, ret->text);
}

bool sg_backends_is_usable(struct sg_backends *b, uint64_t now_usec)
{
        for (size_t i = 0; i < b->n; i++)
                if (backend_may_use(b, b->backends[i], now_usec) != BREAKER_USE_NOT)
                        return true;
        return false;
}
