#include <stdio.h>

#include "base/message_id.h"
#include "daemon/container.h"
#include "daemon/daemon.h"
#include "daemon/healthcheck.h"
#include "daemon/options.h"
#include "gateway/lanes_told.h"

static int start(struct sg_daemon *d, struct sg_error *err)
{
        int r = sg_daemon_meet_predecessor(d, err);

        if (!r)
                r = sg_daemon_read_config(d, err);
        if (!r)
                r = sg_daemon_start_log(d, err);
        if (!r)
                r = sg_daemon_raise_limits(d, err);
        if (!r)
                r = sg_daemon_make_directories(d, err);
        if (!r)
                sg_lanes_open_quotas(atomic_load_explicit(&d->shared.snapshot, memory_order_relaxed));
        if (!r)
                r = sg_daemon_start_limits(d, err);
        if (!r)
                r = sg_daemon_take_listeners(d, err);
        if (!r)
                r = sg_daemon_start_feed(d, err);
        if (!r)
                r = sg_daemon_start_probes(d, err);
        if (!r)
                r = sg_daemon_start_workers(d, err);
        if (!r)
                r = sg_daemon_start_control(d, err);
        return r;
}

static int check(struct sg_daemon *d, struct sg_error *err)
{
        int r = sg_daemon_check(d, err);

        if (!r)
                printf("the configuration in %s is valid: %zu listeners, %zu providers, %zu models, %zu services\n",
                       d->config_directory, d->first_config->n_listeners, d->first_config->n_providers,
                       d->first_config->n_models, d->first_config->n_services);
        return r;
}

/* Lines go to a file or nowhere: who starts the program by hand does not see them. */
static bool logs_elsewhere(const struct sg_daemon *d)
{
        const struct sg_config *c = d->first_config;

        return d->has_log && !c->log_sink_is_auto && (c->log_sink == SG_LOG_TO_FILE || c->log_sink == SG_LOG_TO_NONE);
}

int main(int argc, char **argv)
{
        struct sg_options options;
        struct sg_error err = {0};
        struct sg_daemon d;
        bool is_unseen;
        int r = sg_options_read(&options, argc, argv);

        if (r < 0 && options.is_healthcheck)
                r = sg_healthcheck_run(&options);
        else if (r < 0 && options.is_container)
                r = sg_container_enter(&options);
        if (r >= 0)
                return r;
        sg_log_set_identity("scribe-gateway");
        r = sg_daemon_init(&d, options.config_directory, &err);
        if (!r)
                r = options.is_check ? check(&d, &err) : start(&d, &err);
        if (r) {
                sg_log_error(SG_LOG_ERR, &err);
                sg_daemon_failed(&d, &err);
        } else if (!options.is_check) {
                sg_daemon_run(&d);
        }
        is_unseen = r && !options.is_check && logs_elsewhere(&d);
        sg_daemon_done(&d);
        if (!r && !options.is_check)
                sg_log_notable(SG_LOG_NOTICE, SG_MESSAGE_ENDED, "ended");
        sg_log_stop();
        if (is_unseen)
                sg_log_error(SG_LOG_ERR, &err);
        return r ? sg_error_exit_status(&err) : 0;
}
