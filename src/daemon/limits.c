/*
 * The words of all limits: where they are kept, and who looks after them.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/message_id.h"
#include "base/thread.h"
#include "daemon/daemon.h"
#include "gateway/leases.h"
#include "gateway/limiting.h"

#define TEND_USEC (2 * SG_USEC_PER_SEC)
#define SAVE_USEC (30 * SG_USEC_PER_SEC)

static void tell_saved(struct sg_daemon *d, int r)
{
        d->limits_saved_usec = sg_clock_usec();
        if (r && !d->is_limits_save_failing)
                sg_warning("what is used of limits could not be saved in %s: %s; a restart of the machine would begin "
                           "minutes and hours anew",
                           d->first_config->state_directory, strerror(-r));
        d->is_limits_save_failing = r != 0;
}

static void *save(void *owner)
{
        struct sg_daemon *d = owner;

        d->limits_save_result = sg_limits_save(d->shared.limits, sg_clock_usec(), sg_clock_wall_usec());
        atomic_store_explicit(&d->limits_are_saved, true, memory_order_release);
        return NULL;
}

static void end_save(struct sg_daemon *d)
{
        if (!d->is_saving_limits)
                return;
        pthread_join(d->limits_saver, NULL);
        d->is_saving_limits = false;
        tell_saved(d, d->limits_save_result);
}

/* On a thread of its own: a second for two million words, and as long as the disk takes. */
static void begin_save(struct sg_daemon *d)
{
        int r;

        atomic_store_explicit(&d->limits_are_saved, false, memory_order_relaxed);
        r = sg_thread_start(&d->limits_saver, "limits", save, d);
        d->is_saving_limits = r == 0;
        if (r)
                tell_saved(d, r);
}

void sg_daemon_on_limits_time(struct sg_timer *t, void *owner)
{
        struct sg_daemon *d = owner;

        sg_limits_tend(d->shared.limits, sg_clock_usec(), sg_clock_wall_usec());
        if (atomic_load_explicit(&d->limits_are_saved, memory_order_acquire))
                end_save(d);
        if (!d->is_saving_limits && !d->predecessor && sg_clock_usec() - d->limits_saved_usec >= SAVE_USEC)
                begin_save(d);
        sg_timer_start(&d->limits_timer, TEND_USEC);
}

static void on_moved(void *owner)
{
        struct sg_daemon *d = owner;

        for (size_t i = 0; i < d->n_workers; i++)
                sg_worker_tell_grants(d->workers[i]);
}

/* The words must be bound before the first request: so this comes before the workers. */
static int start_leases(struct sg_daemon *d, struct sg_error *err)
{
        const struct sg_config *c = d->first_config;
        char fleet[4096], nodes[4096];
        const struct sg_leases_options options = {.loop = d->loop,
                                                  .limits = d->shared.limits,
                                                  .fleet_path = fleet,
                                                  .nodes_path = nodes,
                                                  .on_moved = on_moved,
                                                  .owner = d};
        int r;

        if (snprintf(fleet, sizeof(fleet), "%s/fleet", c->runtime_directory) >= (int)sizeof(fleet) ||
            snprintf(nodes, sizeof(nodes), "%s/fleet", c->state_directory) >= (int)sizeof(nodes))
                return sg_error_set(err, -ENAMETOOLONG, c->state_directory, "the path is too long");
        r = sg_leases_new(&d->shared.leases, &options, err);
        if (r)
                return r;
        d->shared.want_grants = sg_leases_want;
        d->shared.want_grants_owner = d->shared.leases;
        return d->predecessor ? 0 : sg_leases_configure(d->shared.leases, &c->redis, err);
}

void sg_daemon_rest_limits(struct sg_daemon *d)
{
        sg_leases_rest(d->shared.leases);
        sg_timer_stop(&d->limits_timer);
        end_save(d);
        d->limits_rest = true;
}

/* Two processes of one node would be one node twice: as long as the predecessor asks, its successor does not. */
void sg_daemon_share_limits(struct sg_daemon *d)
{
        struct sg_error err = {0};

        if (sg_leases_configure(d->shared.leases, &sg_daemon_snapshot(d)->config->redis, &err))
                sg_log_error(SG_LOG_ERR, &err);
}

int sg_daemon_start_limits(struct sg_daemon *d, struct sg_error *err)
{
        const struct sg_config *c = d->first_config;
        char path[4096], saved_path[4096], text[256];
        const struct sg_limits_options options = {path, saved_path, sg_limits_tell_warning, NULL};
        int r;

        if (snprintf(path, sizeof(path), "%s/limits", c->runtime_directory) >= (int)sizeof(path) ||
            snprintf(saved_path, sizeof(saved_path), "%s/limits.saved", c->state_directory) >= (int)sizeof(saved_path))
                return sg_error_set(err, -ENAMETOOLONG, c->state_directory, "the path is too long");
        r = sg_limits_new(&d->shared.limits, &options, sg_clock_usec(), sg_clock_wall_usec(), text);
        if (r)
                return sg_error_set(err, r, "", "the limits could not be set up: %s", strerror(-r));
        if (text[0]) {
                const struct sg_log_field field = {"SCRIBE_DETAIL", sg_str_from(text)};

                sg_log_line(SG_LOG_WARNING, SG_MESSAGE_LIMITS_ANEW, &field, 1, "%s", text);
        }
        d->limits_saved_usec = sg_clock_usec();
        sg_timer_start(&d->limits_timer, TEND_USEC);
        return start_leases(d, err);
}

void sg_daemon_end_limits(struct sg_daemon *d)
{
        if (!d->shared.limits)
                return;
        d->shared.leases = sg_leases_free(d->shared.leases);
        end_save(d);
        if (!d->limits_rest)
                tell_saved(d, sg_limits_save(d->shared.limits, sg_clock_usec(), sg_clock_wall_usec()));
        d->shared.limits = sg_limits_free(d->shared.limits);
}
