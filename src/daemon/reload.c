/*
 * A reload is a transaction: everything that can fail happens to a snapshot that nobody uses yet; publishing it is one
 * store. The service manager is told READY on every path, also when the old configuration stays.
 */
#include <stdio.h>

#include "base/message_id.h"
#include "daemon/daemon.h"
#include "daemon/ledger_child.h"
#include "gateway/lanes_told.h"
#include "gateway/leases.h"

struct sg_snapshot *sg_daemon_snapshot(const struct sg_daemon *d)
{
        return atomic_load_explicit(&d->shared.snapshot, memory_order_relaxed); /* only this thread stores */
}

static void snapshot_retired(struct sg_rcu_head *at)
{
        sg_snapshot_unref(SG_CONTAINER(at, struct sg_snapshot, rcu));
}

static void publish(struct sg_daemon *d, struct sg_snapshot *next, struct sg_probe_set *probes)
{
        struct sg_snapshot *before = atomic_exchange_explicit(&d->shared.snapshot, next, memory_order_acq_rel);

        sg_log_set_level(next->config->log_level);
        sg_rcu_call(&before->rcu, snapshot_retired);
        sg_probes_take(d->shared.probes, probes);
}

/* Everything that can fail. */
static int prepare(struct sg_daemon *d, const char *directory, struct sg_config **ret_config,
                   struct sg_snapshot **ret_snapshot, struct sg_probe_set **ret_probes, struct sg_error *err)
{
        int r = sg_config_read(ret_config, directory, err);

        if (!r)
                sg_config_keep_limits(sg_daemon_snapshot(d)->config, *ret_config);
        if (!r)
                r = sg_snapshot_new(ret_snapshot, *ret_config, sg_daemon_snapshot(d), err);
        if (!r)
                r = sg_probes_prepare(ret_probes, d->shared.probes, *ret_config, (*ret_snapshot)->system_trust, err);
        return r;
}

static int reload(struct sg_daemon *d, const char **ret_needs_restart, struct sg_error *err)
{
        SG_AUTO(sg_config_unref) struct sg_config *config = NULL;
        SG_AUTO(sg_snapshot_unref) struct sg_snapshot *next = NULL;
        SG_AUTO(sg_probe_set_free) struct sg_probe_set *probes = NULL;
        int r = prepare(d, d->config_directory, &config, &next, &probes, err);

        if (!r) /* it can fail, and leaves all as it was then */
                r = sg_leases_configure(d->shared.leases, &config->redis, err);
        if (r)
                return r;
        sg_lanes_open_quotas(next);
        *ret_needs_restart = sg_config_needs_restart(d->first_config, config);
        publish(d, SG_GIVE(next), SG_GIVE(probes));
        return 0;
}

int sg_daemon_reload(struct sg_daemon *d, const char **ret_needs_restart, struct sg_error *err)
{
        char status[128];
        int r;

        sg_service_reloading();
        r = reload(d, ret_needs_restart, err);
        if (r) {
                sg_log_notable(SG_LOG_ERR, SG_MESSAGE_RELOAD_REFUSED, "%s%sthe configuration is not changed: %s",
                               err->where, err->where[0] ? ": " : "", err->text);
                snprintf(status, sizeof(status), "Running; the last reload was refused, configuration %llu stays",
                         (unsigned long long)sg_daemon_snapshot(d)->config->number);
        } else {
                if (d->ledger)
                        sg_ledger_child_reload(d->ledger);
                sg_log_notable(SG_LOG_NOTICE, SG_MESSAGE_RELOADED, "configuration %llu is in force%s%s",
                               (unsigned long long)sg_daemon_snapshot(d)->config->number,
                               *ret_needs_restart ? "; a restart is needed for " : "",
                               *ret_needs_restart ? *ret_needs_restart : "");
                snprintf(status, sizeof(status), "Running; configuration %llu",
                         (unsigned long long)sg_daemon_snapshot(d)->config->number);
        }
        sg_service_ready(status);
        return r;
}

int sg_daemon_check_directory(struct sg_daemon *d, const char *directory, struct sg_error *err)
{
        SG_AUTO(sg_config_unref) struct sg_config *config = NULL;
        SG_AUTO(sg_snapshot_unref) struct sg_snapshot *next = NULL;
        SG_AUTO(sg_probe_set_free) struct sg_probe_set *probes = NULL;

        return prepare(d, directory ? directory : d->config_directory, &config, &next, &probes, err);
}
