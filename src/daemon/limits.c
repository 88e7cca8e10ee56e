/*
 * The words of all limits: where they are kept, and who looks after them.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/message_id.h"
#include "daemon/daemon.h"
#include "gateway/limiting.h"

#define TEND_USEC (2 * SG_USEC_PER_SEC)
#define SAVE_USEC (30 * SG_USEC_PER_SEC)

static void save(struct sg_daemon *d)
{
        int r = sg_limits_save(d->shared.limits, sg_clock_usec(), sg_clock_wall_usec());

        d->limits_saved_usec = sg_clock_usec();
        if (r && !d->is_limits_save_failing)
                sg_warning("what is used of limits could not be saved in %s: %s; a restart of the machine would begin "
                           "minutes and hours anew",
                           d->first_config->state_directory, strerror(-r));
        d->is_limits_save_failing = r != 0;
}

void sg_daemon_on_limits_time(struct sg_timer *t, void *owner)
{
        struct sg_daemon *d = owner;

        sg_limits_tend(d->shared.limits, sg_clock_usec(), sg_clock_wall_usec());
        if (sg_clock_usec() - d->limits_saved_usec >= SAVE_USEC)
                save(d);
        sg_timer_start(&d->limits_timer, TEND_USEC);
}

static void want_nothing(void *owner)
{
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
        d->shared.want_grants = want_nothing;
        d->limits_saved_usec = sg_clock_usec();
        sg_timer_start(&d->limits_timer, TEND_USEC);
        return 0;
}

void sg_daemon_end_limits(struct sg_daemon *d)
{
        if (!d->shared.limits)
                return;
        save(d);
        d->shared.limits = sg_limits_free(d->shared.limits);
}
