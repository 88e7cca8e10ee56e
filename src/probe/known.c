/*
 * From results to a state. One failure may be a slip: it is confirmed a second later; one success is believed at once.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/message_id.h"
#include "probe/probe_internal.h"

#define FIELDS_MAX 4u

/* ---- to the log */

static const struct sg_log_field *fields_of(const struct probe *p, struct sg_log_field out[FIELDS_MAX], size_t *ret_n)
{
        size_t n = 0;

        if (p->goal.dependency) {
                out[n++] = (struct sg_log_field){"SCRIBE_DEPENDENCY", sg_str_from(p->goal.name)};
        } else {
                out[n++] = (struct sg_log_field){"SCRIBE_SERVICE", sg_str_from(p->goal.service->name)};
                out[n++] = (struct sg_log_field){"SCRIBE_ENDPOINT", sg_str_from(p->goal.name)};
        }
        if (p->known.fault) {
                out[n++] = (struct sg_log_field){"SCRIBE_REASON", sg_str_from(sg_probe_fault_name(p->known.fault))};
                out[n++] = (struct sg_log_field){"SCRIBE_DETAIL", sg_str_from(p->known.text)};
        }
        *ret_n = n;
        return out;
}

static void tell_held(struct probe *p, uint64_t n)
{
        struct sg_log_field fields[FIELDS_MAX];
        const size_t n_names = p->goal.dependency ? 1 : 2;
        size_t n_fields;

        if (n)
                sg_log_held(SG_LOG_WARNING, p->goal.dependency ? "dependency" : "endpoint", n,
                            fields_of(p, fields, &n_fields), n_names);
}

static uint64_t state_lasted_sec(const struct sg_health_item *k)
{
        return (k->checked_wall_usec - SG_MIN(k->since_wall_usec, k->checked_wall_usec)) / SG_USEC_PER_SEC;
}

static void log_dependency(const struct probe *p)
{
        const struct sg_health_item *k = &p->known;
        struct sg_log_field fields[FIELDS_MAX];
        size_t n;

        (void)fields_of(p, fields, &n);
        if (k->state == SG_DEPENDENCY_DOWN)
                sg_log_line(p->goal.dependency->is_required ? SG_LOG_ERR : SG_LOG_WARNING, SG_MESSAGE_DEPENDENCY_DOWN,
                            fields, n, "dependency %s is down: %s: %s", p->goal.name, sg_probe_fault_name(k->fault),
                            k->text);
        else
                sg_log_line(SG_LOG_NOTICE, SG_MESSAGE_DEPENDENCY_UP, fields, n,
                            "dependency %s is up again after %" PRIu64 " s", p->goal.name, state_lasted_sec(k));
}

static void log_endpoint(const struct probe *p)
{
        const struct sg_health_item *k = &p->known;
        const char *service = p->goal.service->name;
        struct sg_log_field fields[FIELDS_MAX];
        size_t n;

        (void)fields_of(p, fields, &n);
        if (k->state == SG_DEPENDENCY_DOWN)
                sg_log_line(SG_LOG_WARNING, SG_MESSAGE_ENDPOINT_DOWN, fields, n,
                            "endpoint %s of service \"%s\" is down: %s", p->goal.name, service, k->text);
        else
                sg_log_line(SG_LOG_NOTICE, SG_MESSAGE_ENDPOINT_UP, fields, n,
                            "endpoint %s of service \"%s\" is up again after %" PRIu64 " s", p->goal.name, service,
                            state_lasted_sec(k));
}

static void tell(struct probe *p, enum sg_dependency_state before)
{
        if (before == SG_DEPENDENCY_UNKNOWN && p->known.state == SG_DEPENDENCY_OK) {
                if (p->goal.dependency)
                        sg_info("dependency %s is up: answered within %" PRIu64 " us", p->goal.name,
                                p->known.latency_usec);
                return;
        }
        if (!sg_log_limit_take(&p->told, sg_loop_now_usec(p->probes->loop)))
                return;
        if (p->goal.dependency)
                log_dependency(p);
        else
                log_endpoint(p);
}

/* ---- to who wants to know */

/* Until its first check an endpoint counts as up. */
void probe_tell_endpoint(const struct probe *p)
{
        const bool is_up = p->known.state != SG_DEPENDENCY_DOWN;

        if (p->probes->on_endpoint)
                p->probes->on_endpoint(p->goal.service, p->goal.endpoint, is_up, is_up ? "" : p->known.text,
                                       p->probes->on_endpoint_owner);
}

static enum sg_dependency_state state_after(const struct sg_health_item *k)
{
        if (k->n_failures == 0)
                return SG_DEPENDENCY_OK;
        return k->n_failures >= SG_PROBE_FAILURES_MAX ? SG_DEPENDENCY_DOWN : k->state;
}

static void keep(struct probe *p, enum sg_probe_fault fault, const char *text)
{
        struct sg_health_item *k = &p->known;

        k->checked_wall_usec = sg_clock_wall_usec();
        k->fault = fault;
        (void)snprintf(k->text, sizeof(k->text), "%s", text);
        if (fault)
                k->n_failures++;
        else
                k->n_failures = 0;
        if (!fault)
                k->latency_usec = sg_clock_usec() - p->begun_usec;
}

void probe_know(struct probe *p, enum sg_probe_fault fault, const char *text)
{
        struct sg_health_item *k = &p->known;
        const enum sg_dependency_state before = k->state;

        tell_held(p, sg_log_limit_due(&p->told, sg_loop_now_usec(p->probes->loop)));
        /* Requests are not to find fewer endpoints because we have no descriptor for a check. */
        if (p->goal.service && fault == SG_PROBE_F_RESOURCES)
                return;
        keep(p, fault, text);
        k->state = state_after(k);
        if (k->state != before) {
                tell(p, before);
                k->since_wall_usec = k->checked_wall_usec;
        }
        if (p->goal.dependency)
                sg_loop_defer(p->probes->loop, &p->probes->publishing);
        else if ((k->state == SG_DEPENDENCY_DOWN) != (before == SG_DEPENDENCY_DOWN))
                probe_tell_endpoint(p);
}
