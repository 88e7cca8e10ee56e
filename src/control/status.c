#include <stdio.h>
#include <unistd.h>

#include "control/verbs.h"
#include "gateway/health.h"
#include "gateway/high_water.h"
#include "gateway/leases.h"
#include "varlink/members.h"

static uint64_t counted(const _Atomic uint64_t *c)
{
        return atomic_load_explicit(c, memory_order_relaxed);
}

static struct json_object *view_config(const struct sg_config *config)
{
        struct json_object *o = json_object_new_object();

        sg_members_add_u64(o, "number", config->number);
        sg_members_add_text(o, "directory", sg_str_from(config->directory));
        sg_members_add_u64(o, "read_wall_usec", config->read_wall_usec);
        return o;
}

static struct json_object *view_workers(const struct sg_control *c)
{
        struct json_object *list = json_object_new_array();

        for (size_t i = 0; i < c->options.n_workers; i++) {
                const struct sg_counters *n = &c->options.workers[i]->counters;
                struct json_object *o = json_object_new_object();
                char name[32];

                snprintf(name, sizeof(name), "worker%zu", i);
                sg_members_add_text(o, "name", sg_str_from(name));
                sg_members_add_u64(o, "connections", counted(&n->n_clients));
                sg_members_add_u64(o, "exchanges", counted(&n->n_exchanges));
                sg_members_add_u64(o, "idle_upstreams", counted(&n->n_upstream_idle));
                sg_members_add_u64(o, "busy_upstreams", counted(&n->n_upstream_busy));
                sg_members_add_u64(o, "turns", counted(&n->n_turns));
                json_object_array_add(list, o);
        }
        return list;
}

#define SUM(c, field)                                                                                                  \
        __extension__({                                                                                                \
                uint64_t sum_ = 0;                                                                                     \
                for (size_t i_ = 0; i_ < (c)->options.n_workers; i_++)                                                 \
                        sum_ += counted(&(c)->options.workers[i_]->counters.field);                                    \
                sum_;                                                                                                  \
        })

static struct json_object *view_exchanges(const struct sg_control *c)
{
        struct json_object *o = json_object_new_object(), *by_status = json_object_new_object();

        sg_members_add_u64(o, "n_open", SUM(c, n_exchanges));
        sg_members_add_u64(o, "n_total", SUM(c, n_requests));
        sg_members_add_u64(o, "n_streams", SUM(c, n_streams));
        for (unsigned class = 1; class <= 5; class ++) {
                char name[4] = {(char)('0' + class), 'x', 'x', '\0'};

                sg_members_add_u64(by_status, name, SUM(c, by_class[class]));
        }
        json_object_object_add(o, "by_status", by_status);
        return o;
}

static struct json_object *view_counters(const struct sg_control *c)
{
        struct json_object *o = json_object_new_object();

        sg_members_add_u64(o, "accepted", SUM(c, n_accepted));
        sg_members_add_u64(o, "recorded", SUM(c, n_recorded));
        sg_members_add_u64(o, "unrecorded", SUM(c, n_unrecorded));
        sg_members_add_u64(o, "input_tokens", SUM(c, input_tokens));
        sg_members_add_u64(o, "output_tokens", SUM(c, output_tokens));
        for (unsigned f = 1; f < SG_FAIL_N; f++) {
                uint64_t n = SUM(c, by_failure[f]);

                if (n)
                        sg_members_add_u64(o, sg_failure_name(f), n);
        }
        return o;
}

static struct json_object *view_keys(const struct sg_shared *shared)
{
        struct json_object *o = json_object_new_object();

        sg_members_add_text(o, "state", sg_str_from(sg_feed_state_name(sg_feed_get_state(shared->feed))));
        sg_members_add_u64(o, "n_keys", sg_keytable_count(shared->keys));
        sg_members_add_u64(o, "version", sg_feed_version(shared->feed));
        sg_members_add_u64(o, "changed_wall_usec", sg_feed_changed_wall_usec(shared->feed));
        return o;
}

static struct json_object *view_journal(const struct sg_control *c)
{
        struct json_object *list = json_object_new_array();

        for (size_t i = 0; i < c->options.n_workers; i++) {
                const struct sg_ring *ring = c->options.workers[i]->ring;
                struct json_object *o = json_object_new_object();
                struct sg_ring_fill fill;
                uint64_t full_in_usec;

                sg_ring_get_fill(ring, &fill);
                sg_members_add_text(o, "id", sg_str_from(sg_ring_id(ring)));
                sg_members_add_u64(o, "bytes", fill.bytes);
                sg_members_add_u64(o, "used_bytes", fill.used_bytes);
                sg_members_add_u64(o, "n_open", fill.n_open);
                sg_members_add_u64(o, "written", fill.written);
                sg_members_add_u64(o, "synced", fill.synced);
                sg_members_add_u64(o, "drained", fill.drained);
                sg_members_add_u64(o, "kept_bytes", fill.kept_bytes);
                full_in_usec = sg_high_water_full_in_usec(c->options.workers[i]);
                if (full_in_usec)
                        sg_members_add_u64(o, "full_in_sec", full_in_usec / SG_USEC_PER_SEC);
                json_object_array_add(list, o);
        }
        return list;
}

static struct json_object *view_log(const struct sg_config *config)
{
        static const char *const sinks[SG_LOG_SINK_N] = {[SG_LOG_TO_STDERR] = "stderr",
                                                         [SG_LOG_TO_JOURNAL] = "journal",
                                                         [SG_LOG_TO_FILE] = "file",
                                                         [SG_LOG_TO_NONE] = "none"};
        enum sg_log_sink sink = config->log_sink_is_auto ? sg_log_sink_auto() : config->log_sink;
        struct json_object *o = json_object_new_object();

        sg_members_add_text(o, "level", sg_str_from(sg_log_level_name(sg_log_get_level())));
        sg_members_add_text(o, "sink", sg_str_from(sinks[sink]));
        sg_members_add_u64(o, "n_lost", sg_log_n_lost());
        return o;
}

static struct json_object *view_listeners(const struct sg_control *c)
{
        const struct sg_shared *shared = c->options.shared;
        struct json_object *list = json_object_new_array();

        for (size_t i = 0; i < shared->n_listeners; i++) {
                struct json_object *o = json_object_new_object();
                uint64_t n_accepted = 0;

                for (size_t w = 0; w < c->options.n_workers; w++)
                        n_accepted += counted(&c->options.workers[w]->listeners[i].n_accepted);
                sg_members_add_text(o, "name", sg_str_from(shared->listeners[i].name));
                sg_members_add_text(o, "address", sg_str_from(shared->listeners[i].address));
                sg_members_add_u64(o, "n_accepted", n_accepted);
                json_object_array_add(list, o);
        }
        return list;
}

static struct json_object *view_dependencies(const struct sg_shared *shared)
{
        const struct sg_health *health = sg_probes_health(shared->probes);
        struct json_object *list = json_object_new_array();

        for (size_t i = 0; i < health->n_items; i++) {
                const struct sg_health_item *item = &health->items[i];
                struct json_object *o = json_object_new_object();

                sg_members_add_text(o, "name", sg_str_from(item->config->name));
                sg_members_add_text(o, "probe", sg_str_from(item->config->probe));
                json_object_object_add(o, "required", json_object_new_boolean(item->config->is_required));
                sg_members_add_text(o, "status", sg_str_from(sg_dependency_state_name(item->state)));
                sg_members_add_u64(o, "latency_usec", item->latency_usec);
                sg_members_add_u64(o, "since_wall_usec", item->since_wall_usec);
                sg_members_add_u64(o, "checked_wall_usec", item->checked_wall_usec);
                sg_members_add_u64(o, "n_failures", item->n_failures);
                sg_members_add_text(o, "error", sg_str_from(item->fault ? sg_probe_fault_name(item->fault) : ""));
                sg_members_add_text(o, "detail", sg_str_from(item->text));
                json_object_array_add(list, o);
        }
        return list;
}

static struct json_object *view_services(const struct sg_snapshot *snapshot)
{
        struct json_object *list = json_object_new_array();
        const uint64_t now_usec = sg_clock_usec();

        for (size_t i = 0; i < snapshot->config->n_services; i++) {
                struct json_object *o = json_object_new_object();
                struct sg_service_health h;

                sg_service_health(&snapshot->services[i], now_usec, &h);
                sg_members_add_text(o, "name", sg_str_from(snapshot->services[i].config->name));
                sg_members_add_text(o, "status", sg_str_from(sg_health_status_name(h.status)));
                sg_members_add_u64(o, "n_endpoints", h.n_endpoints);
                sg_members_add_u64(o, "n_usable", h.n_usable);
                json_object_array_add(list, o);
        }
        return list;
}

/* Credentials among them: what requests for models need. */
static struct json_object *view_lanes(struct sg_lanes *l)
{
        const uint64_t now_usec = sg_clock_usec(), wall_usec = sg_clock_wall_usec();
        struct json_object *o = json_object_new_object();
        struct sg_lane_view v;
        uint64_t n_up = 0;

        for (size_t i = 0; i < sg_lanes_count(l); i++) {
                sg_lanes_view(l, i, now_usec, wall_usec, &v);
                n_up += v.state == SG_LANE_UP;
        }
        sg_members_add_u64(o, "n_lanes", sg_lanes_count(l));
        sg_members_add_u64(o, "n_up", n_up);
        return o;
}

/* state: connected; finding: Redis forgot or was away, and the nodes find each other anew; alone: it is not there */
static struct json_object *view_fleet(const struct sg_leases_state *s)
{
        struct json_object *o = json_object_new_object();
        const char *state = s->is_alone ? "alone" : s->is_rebuilding || !s->is_connected ? "finding" : "connected";

        sg_members_add_text(o, "url", sg_str_from(s->url));
        sg_members_add_text(o, "state", sg_str_from(state));
        sg_members_add_text(o, "version", sg_str_from(s->version));
        sg_members_add_u64(o, "n_nodes", s->n_nodes);
        sg_members_add_u64(o, "n_leases", s->n_leases);
        sg_members_add_u64(o, "n_round_trips", s->n_round_trips);
        sg_members_add_u64(o, "n_granted", s->n_granted);
        sg_members_add_u64(o, "out_since_wall_usec", s->out_since_wall_usec);
        sg_members_add_text(o, "last_error", sg_str_from(s->last_error));
        return o;
}

static void add_fleet(struct json_object *o, const struct sg_shared *shared)
{
        struct sg_leases_state s;

        sg_leases_look(shared->leases, &s);
        if (s.url)
                json_object_object_add(o, "fleet", view_fleet(&s));
}

static const char *status_sentence(const struct sg_control *c, const char *state, char *out, size_t out_bytes)
{
        uint64_t n_unrecorded = SUM(c, n_unrecorded);

        if (n_unrecorded)
                snprintf(out, out_bytes, "%s; %llu exchanges passed without a usage record (journal full)", state,
                         (unsigned long long)n_unrecorded);
        else if (sg_feed_get_state(c->options.shared->feed) != SG_FEED_CURRENT)
                snprintf(out, out_bytes, "%s; the ledger is not connected: known keys work, new ones cannot be checked",
                         state);
        else
                snprintf(out, out_bytes, "%s", state);
        return out;
}

void sg_control_get_status(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        const struct sg_control *c = owner;
        struct sg_shared *shared = c->options.shared;
        const struct sg_snapshot *snapshot = atomic_load(&shared->snapshot);
        const struct sg_config *config = snapshot->config;
        const char *state = c->options.actions.state(c->options.actions.owner);
        struct json_object *o, *memory;
        char sentence[256];

        if (!sg_varlink_read(call, parameters, NULL, 0))
                return;
        o = json_object_new_object();
        sg_members_add_text(o, "version", sg_str_from(shared->version));
        sg_members_add_u64(o, "pid", (uint64_t)getpid());
        sg_members_add_u64(o, "started_wall_usec", shared->started_wall_usec);
        sg_members_add_u64(o, "uptime_usec", sg_clock_wall_usec() - shared->started_wall_usec);
        sg_members_add_text(o, "state", sg_str_from(state));
        sg_members_add_text(o, "status_text", sg_str_from(status_sentence(c, state, sentence, sizeof(sentence))));
        json_object_object_add(o, "config", view_config(config));
        json_object_object_add(o, "workers", view_workers(c));
        json_object_object_add(o, "exchanges", view_exchanges(c));
        json_object_object_add(o, "counters", view_counters(c));
        json_object_object_add(o, "keys", view_keys(shared));
        json_object_object_add(o, "journal", view_journal(c));
        memory = json_object_new_object();
        sg_members_add_u64(memory, "bodies_bytes", atomic_load(&shared->bodies_bytes));
        sg_members_add_u64(memory, "bodies_bytes_max", config->bodies_bytes_max);
        json_object_object_add(o, "memory", memory);
        json_object_object_add(o, "log", view_log(config));
        json_object_object_add(o, "listeners", view_listeners(c));
        json_object_object_add(o, "services", view_services(snapshot));
        json_object_object_add(o, "lanes", view_lanes(snapshot->lanes));
        add_fleet(o, shared);
        json_object_object_add(o, "dependencies", view_dependencies(shared));
        sg_varlink_reply(call, o);
}
