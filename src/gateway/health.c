/*
 * Health, for whoever asks: no key is needed, so nothing is told but names, states and times. Addresses and the words of
 * others are for scribectl status, which the service's group may ask; a key makes no difference, since keys belong to
 * clients and not to those who run the gateway.
 *
 * Nothing is asked here: the main thread does that all the time, and its last view is copied.
 */
#include <time.h>

#include "gateway/exchange.h"
#include "gateway/health.h"

#define SERVICES_BYTES_MAX (1024u * 1024u)

struct timestamp {
        char text[32];
};

static struct timestamp now_of(const struct sg_exchange *x)
{
        time_t now = (time_t)(x->start_wall_usec / SG_USEC_PER_SEC);
        struct timestamp t;
        struct tm tm;

        gmtime_r(&now, &tm);
        strftime(t.text, sizeof(t.text), "%Y-%m-%dT%H:%M:%SZ", &tm);
        return t;
}

static bool is_serving(const struct sg_exchange *x)
{
        return atomic_load_explicit(&x->worker->shared->is_ready, memory_order_relaxed) && !x->worker->is_draining;
}

/* ---- services */

void sg_service_health(const struct sg_snapshot_service *s, uint64_t now_usec, struct sg_service_health *ret)
{
        struct sg_service_health h = {.n_endpoints = (unsigned)sg_backends_count(s->backends)};
        struct sg_backend_view view;

        for (unsigned i = 0; i < h.n_endpoints; i++) {
                sg_backends_view(s->backends, i, now_usec, &view);
                h.n_usable += view.state == SG_BACKEND_UP;
        }
        if (h.n_usable == h.n_endpoints)
                h.status = SG_HEALTH_OK;
        else if (h.n_usable || sg_backends_is_usable(s->backends, now_usec))
                h.status = SG_HEALTH_DEGRADED;
        else
                h.status = SG_HEALTH_DOWN;
        *ret = h;
}

/* "{"query":{…},…}"; *ret_worst is that of the worst. */
static int add_services(struct sg_buf *b, const struct sg_snapshot *snapshot, enum sg_health_status *ret_worst)
{
        const uint64_t now_usec = sg_clock_usec();
        enum sg_health_status worst = SG_HEALTH_OK;
        int r = sg_buf_add(b, SG_STR("{"));

        for (size_t i = 0; i < snapshot->config->n_services && !r; i++) {
                struct sg_service_health h;

                sg_service_health(&snapshot->services[i], now_usec, &h);
                worst = SG_MAX(worst, h.status);
                r = sg_buf_add(b, i ? SG_STR(",") : SG_STR(""));
                if (!r)
                        r = sg_buf_add_json_string(b, sg_str_from(snapshot->services[i].config->name));
                if (!r)
                        r = sg_buf_printf(b, ":{\"status\":\"%s\",\"endpoints\":%u,\"usable\":%u}",
                                          sg_health_status_name(h.status), h.n_endpoints, h.n_usable);
        }
        *ret_worst = worst;
        return r ? r : sg_buf_add(b, SG_STR("}"));
}

/* ---- all together */

/* "strict" in the query, but for =0, =false and =no. */
static bool is_strict(const struct sg_exchange *x)
{
        struct sg_str query = SG_STR_NONE, part, name;

        (void)sg_target_path(sg_buf_view(&x->path), &query);
        while (query.n) {
                (void)sg_str_cut(&query, '&', &part);
                (void)sg_str_cut(&part, '=', &name);
                if (sg_str_eq(name, SG_STR("strict")))
                        return !sg_str_ieq(part, SG_STR("0")) && !sg_str_ieq(part, SG_STR("false")) &&
                               !sg_str_ieq(part, SG_STR("no"));
        }
        return false;
}

/* Known keys go on working without the ledger; without any keys every caller is refused. */
static enum sg_health_status ledger_health(enum sg_feed_state state)
{
        if (state == SG_FEED_CURRENT)
                return SG_HEALTH_OK;
        return state == SG_FEED_STALE ? SG_HEALTH_DEGRADED : SG_HEALTH_DOWN;
}

/* A service that is down is no more than degradation of the whole: the others are served. One with endpoints left is no
 * reason for 503 to who is strict: its callers are served, too. */
static enum sg_step answer_all_with(struct sg_exchange *x, struct sg_str services, enum sg_health_status worst_service)
{
        const struct sg_shared *shared = x->worker->shared;
        const struct sg_health *dependencies = sg_probes_health(shared->probes);
        const enum sg_feed_state keys = sg_feed_get_state(shared->feed);
        const enum sg_health_status gateway = is_serving(x) ? SG_HEALTH_OK : SG_HEALTH_DEGRADED;
        const enum sg_health_status ledger = ledger_health(keys);
        const enum sg_health_status others = SG_MAX(SG_MAX(gateway, ledger), dependencies->status);
        const enum sg_health_status services_all = worst_service == SG_HEALTH_OK ? SG_HEALTH_OK : SG_HEALTH_DEGRADED;
        const enum sg_health_status all = SG_MAX(others, services_all);
        const bool is_bad = others != SG_HEALTH_OK || worst_service == SG_HEALTH_DOWN;

        if (sg_buf_add(&x->fields, SG_STR("cache-control: no-store\r\n")))
                return sg_exchange_fail(x, SG_FAIL_INTERNAL, NULL);
        return sg_answer_json(x, is_bad && is_strict(x) ? 503 : 200,
                              "{\"status\":\"%s\",\"service\":\"gateway\",\"version\":\"%s\",\"timestamp\":\"%s\","
                              "\"gateway\":{\"status\":\"%s\",\"state\":\"%s\"},"
                              "\"ledger\":{\"status\":\"%s\",\"keys\":\"%s\"},"
                              "\"services\":" SG_STR_FMT ",\"dependencies\":" SG_STR_FMT "}\n",
                              sg_health_status_name(all), shared->version, now_of(x).text,
                              sg_health_status_name(gateway), gateway == SG_HEALTH_OK ? "serving" : "draining",
                              sg_health_status_name(ledger), sg_feed_state_name(keys), SG_STR_ARG(services),
                              SG_STR_ARG(dependencies->json));
}

static enum sg_step answer_all(struct sg_exchange *x)
{
        enum sg_health_status worst_service;
        struct sg_buf services;
        enum sg_step step;

        sg_buf_init(&services, SERVICES_BYTES_MAX);
        if (add_services(&services, x->snapshot, &worst_service))
                step = sg_exchange_fail(x, SG_FAIL_INTERNAL, NULL);
        else
                step = answer_all_with(x, sg_buf_view(&services), worst_service);
        sg_buf_done(&services);
        return step;
}

/* ---- the gateway alone */

static enum sg_step answer_ready(struct sg_exchange *x)
{
        /* Without any keys every caller would be refused: others should be asked. */
        bool is_ready = is_serving(x) && sg_feed_get_state(x->worker->shared->feed) != SG_FEED_EMPTY;

        return sg_answer_json(x, is_ready ? 200 : 503, "{\"status\":\"%s\",\"service\":\"api-gateway\"}\n",
                              is_ready ? "ready" : "not ready");
}

enum sg_step sg_answer_health(struct sg_exchange *x, struct sg_str path)
{
        const char *version = x->worker->shared->version;

        if (sg_str_eq(path, SG_STR("/ready")))
                return answer_ready(x);
        if (sg_str_eq(path, SG_STR("/api/health/all")) || sg_str_eq(path, SG_STR("/api/health/aggregated")))
                return answer_all(x);
        if (sg_str_eq(path, SG_STR("/api/health")))
                return sg_answer_json(
                        x, 200,
                        "{\"status\":\"healthy\",\"service\":\"gateway\",\"version\":\"%s\",\"timestamp\":\"%s\"}\n",
                        version, now_of(x).text);
        return sg_answer_json(x, 200, "{\"status\":\"healthy\",\"version\":\"%s\",\"timestamp\":\"%s\"}\n", version,
                              now_of(x).text);
}
