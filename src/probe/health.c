#include "probe/health.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "base/buf.h"

#define ITEM_BYTES_MAX 1024u

const char *sg_health_status_name(enum sg_health_status s)
{
        static const char *const names[SG_HEALTH_STATUS_N] = {
                [SG_HEALTH_OK] = "ok", [SG_HEALTH_DEGRADED] = "degraded", [SG_HEALTH_DOWN] = "down"};

        SG_ASSERT((unsigned)s < SG_HEALTH_STATUS_N);
        return names[s];
}

const char *sg_dependency_state_name(enum sg_dependency_state s)
{
        static const char *const names[SG_DEPENDENCY_STATE_N] = {
                [SG_DEPENDENCY_UNKNOWN] = "unknown", [SG_DEPENDENCY_OK] = "ok", [SG_DEPENDENCY_DOWN] = "down"};

        SG_ASSERT((unsigned)s < SG_DEPENDENCY_STATE_N);
        return names[s];
}

const char *sg_probe_fault_name(enum sg_probe_fault f)
{
        static const char *const names[SG_PROBE_F_N] = {
                [SG_PROBE_F_NONE] = "none",
                [SG_PROBE_F_RESOLVE] = "unresolved",
                [SG_PROBE_F_CONNECT] = "refused",
                [SG_PROBE_F_TIMEOUT] = "timeout",
                [SG_PROBE_F_TLS] = "tls",
                [SG_PROBE_F_CLOSED] = "closed",
                [SG_PROBE_F_GARBAGE] = "garbage",
                [SG_PROBE_F_UNAVAILABLE] = "unavailable",
                [SG_PROBE_F_RESOURCES] = "resources",
        };

        SG_ASSERT((unsigned)f < SG_PROBE_F_N);
        return names[f];
}

static enum sg_health_status status_of(const struct sg_health_item *item)
{
        if (item->state == SG_DEPENDENCY_OK)
                return SG_HEALTH_OK;
        return item->state == SG_DEPENDENCY_DOWN && item->config->is_required ? SG_HEALTH_DOWN : SG_HEALTH_DEGRADED;
}

static int add_time(struct sg_buf *b, const char *name, uint64_t wall_usec)
{
        time_t sec = (time_t)(wall_usec / SG_USEC_PER_SEC);
        char text[32];
        struct tm tm;

        gmtime_r(&sec, &tm);
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
        return sg_buf_printf(b, ",\"%s\":\"%s\"", name, text);
}

static int add_item(struct sg_buf *b, const struct sg_health_item *item)
{
        int r = sg_buf_add(b, sg_buf_length(b) > 1 ? SG_STR(",{\"name\":") : SG_STR("{\"name\":"));

        if (!r)
                r = sg_buf_add_json_string(b, sg_str_from(item->config->name));
        if (!r)
                r = sg_buf_printf(b, ",\"type\":\"%s\",\"required\":%s,\"status\":\"%s\"",
                                  sg_probe_kind_name(item->config->kind), item->config->is_required ? "true" : "false",
                                  sg_dependency_state_name(item->state));
        if (!r && item->state == SG_DEPENDENCY_OK)
                r = sg_buf_printf(b, ",\"latency_ms\":%" PRIu64 ".%03" PRIu64, item->latency_usec / SG_USEC_PER_MSEC,
                                  item->latency_usec % SG_USEC_PER_MSEC);
        if (!r)
                r = add_time(b, "since", item->since_wall_usec);
        if (!r && item->checked_wall_usec)
                r = add_time(b, "checked", item->checked_wall_usec);
        if (!r && item->fault)
                r = sg_buf_printf(b, ",\"error\":\"%s\"", sg_probe_fault_name(item->fault));
        return r ? r : sg_buf_add(b, SG_STR("}"));
}

static int make_json(struct sg_health *h)
{
        struct sg_buf b;
        char *json = NULL;
        int r;

        sg_buf_init(&b, 2 + h->n_items * ITEM_BYTES_MAX);
        r = sg_buf_add(&b, SG_STR("["));
        for (size_t i = 0; i < h->n_items && !r; i++)
                r = add_item(&b, &h->items[i]);
        if (!r)
                r = sg_buf_add(&b, SG_STR("]"));
        if (!r)
                json = sg_str_dup(sg_buf_view(&b));
        if (json)
                h->json = sg_str_make(json, sg_buf_length(&b));
        sg_buf_done(&b);
        return json ? 0 : -ENOMEM;
}

int sg_health_new(struct sg_health **ret, struct sg_config *config, const struct sg_health_item *const *items,
                  size_t n_items)
{
        SG_AUTO(sg_health_free) struct sg_health *h = NULL;
        int r;

        h = calloc(1, sizeof(*h) + n_items * sizeof(h->items[0]));
        if (!h)
                return -ENOMEM;
        h->config = sg_config_ref(config);
        h->n_items = n_items;
        for (size_t i = 0; i < n_items; i++) {
                enum sg_health_status s;

                h->items[i] = *items[i];
                s = status_of(&h->items[i]);
                h->status = SG_MAX(h->status, s);
        }
        r = make_json(h);
        if (r)
                return r;
        *ret = SG_GIVE(h);
        return 0;
}

struct sg_health *sg_health_free(struct sg_health *h)
{
        if (!h)
                return NULL;
        free((char *)(uintptr_t)h->json.p);
        sg_config_unref(h->config);
        free(h);
        return NULL;
}
