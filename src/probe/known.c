/*
 * From results to a state. One failure may be a slip: it is confirmed a second later; one success is believed at once.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/message_id.h"
#include "probe/probe_internal.h"

static const struct sg_log_field *fields_of(const struct probe *p, struct sg_log_field out[3])
{
        out[0] = (struct sg_log_field){"SCRIBE_DEPENDENCY", sg_str_from(p->config->name)};
        out[1] = (struct sg_log_field){"SCRIBE_REASON", sg_str_from(sg_probe_fault_name(p->known.fault))};
        out[2] = (struct sg_log_field){"SCRIBE_DETAIL", sg_str_from(p->known.text)};
        return out;
}

static void tell_held(struct probe *p, uint64_t n)
{
        const struct sg_log_field field = {"SCRIBE_DEPENDENCY", sg_str_from(p->config->name)};

        if (n)
                sg_log_held(SG_LOG_WARNING, "dependency", n, &field, 1);
}

static void tell(struct probe *p, enum sg_dependency_state before)
{
        const struct sg_health_item *k = &p->known;
        struct sg_log_field fields[3];

        if (before == SG_DEPENDENCY_UNKNOWN && k->state == SG_DEPENDENCY_OK) {
                sg_info("dependency %s is up: answered within %" PRIu64 " us", p->config->name, k->latency_usec);
                return;
        }
        if (!sg_log_limit_take(&p->told, sg_loop_now_usec(p->probes->loop)))
                return;
        if (k->state == SG_DEPENDENCY_DOWN)
                sg_log_line(p->config->is_required ? SG_LOG_ERR : SG_LOG_WARNING, SG_MESSAGE_DEPENDENCY_DOWN,
                            fields_of(p, fields), 3, "dependency %s is down: %s: %s", p->config->name,
                            sg_probe_fault_name(k->fault), k->text);
        else
                sg_log_line(SG_LOG_NOTICE, SG_MESSAGE_DEPENDENCY_UP, fields_of(p, fields), 1,
                            "dependency %s is up again after %" PRIu64 " s", p->config->name,
                            (k->checked_wall_usec - SG_MIN(k->since_wall_usec, k->checked_wall_usec)) /
                                    SG_USEC_PER_SEC);
}

static enum sg_dependency_state state_after(const struct sg_health_item *k)
{
        if (k->n_failures == 0)
                return SG_DEPENDENCY_OK;
        return k->n_failures >= SG_PROBE_FAILURES_MAX ? SG_DEPENDENCY_DOWN : k->state;
}

void probe_know(struct probe *p, enum sg_probe_fault fault, const char *text)
{
        struct sg_health_item *k = &p->known;
        const enum sg_dependency_state before = k->state;
        enum sg_dependency_state after;

        tell_held(p, sg_log_limit_due(&p->told, sg_loop_now_usec(p->probes->loop)));
        k->checked_wall_usec = sg_clock_wall_usec();
        k->fault = fault;
        (void)snprintf(k->text, sizeof(k->text), "%s", text);
        if (fault)
                k->n_failures++;
        else
                k->n_failures = 0;
        if (!fault)
                k->latency_usec = sg_clock_usec() - p->begun_usec;
        after = state_after(k);
        if (after != before) {
                k->state = after;
                tell(p, before);
                k->since_wall_usec = k->checked_wall_usec;
        }
        sg_loop_defer(p->probes->loop, &p->probes->publishing);
}
