/*
 * Health, for whoever asks: no key is needed, so nothing is told but names, states and times. Addresses and the words of
 * others are for scribectl status, which the service's group may ask; a key makes no difference, since keys belong to
 * clients and not to those who run the gateway.
 *
 * Nothing is asked here: the main thread does that all the time, and its last view is copied.
 */
#include <time.h>

#include "gateway/exchange.h"

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

static enum sg_step answer_all(struct sg_exchange *x)
{
        const struct sg_shared *shared = x->worker->shared;
        const struct sg_health *dependencies = sg_probes_health(shared->probes);
        const enum sg_feed_state keys = sg_feed_get_state(shared->feed);
        const enum sg_health_status gateway = is_serving(x) ? SG_HEALTH_OK : SG_HEALTH_DEGRADED;
        const enum sg_health_status ledger = ledger_health(keys);
        const enum sg_health_status all = SG_MAX(SG_MAX(gateway, ledger), dependencies->status);

        if (sg_buf_add(&x->fields, SG_STR("cache-control: no-store\r\n")))
                return sg_exchange_fail(x, SG_FAIL_INTERNAL, NULL);
        return sg_answer_json(x, all != SG_HEALTH_OK && is_strict(x) ? 503 : 200,
                              "{\"status\":\"%s\",\"service\":\"gateway\",\"version\":\"%s\",\"timestamp\":\"%s\","
                              "\"gateway\":{\"status\":\"%s\",\"state\":\"%s\"},"
                              "\"ledger\":{\"status\":\"%s\",\"keys\":\"%s\"},"
                              "\"dependencies\":" SG_STR_FMT "}\n",
                              sg_health_status_name(all), shared->version, now_of(x).text,
                              sg_health_status_name(gateway), gateway == SG_HEALTH_OK ? "serving" : "draining",
                              sg_health_status_name(ledger), sg_feed_state_name(keys), SG_STR_ARG(dependencies->json));
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
