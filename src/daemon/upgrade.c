/*
 * One process after another in the same unit, without a client noticing.
 *
 * The old process starts the installed program as its successor and hands it the listening sockets. The successor does
 * all that can fail - configuration, rings, workers, keys - before it says that it is ready; until then the old one serves
 * alone, and a successor that fails changes nothing. Then systemd is told who the main process is (only that one may
 * speak to it), the successor is given its word and accepts, and the old one finishes what it has open. Between the two,
 * connections wait in the kernel for a moment.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/message_id.h"
#include "daemon/daemon.h"
#include "daemon/predecessor.h"
#include "daemon/successor.h"

/* ---- the old process */

static void collect_sockets(const struct sg_daemon *d, struct sg_service_fd *fds, size_t *ret_n, char *own,
                            size_t own_bytes)
{
        size_t n = 0, n_own = 0;

        own[0] = '\0';
        for (; n < d->shared.n_listeners; n++) {
                const struct sg_shared_listener *l = &d->shared.listeners[n];

                fds[n].fd = l->fd;
                snprintf(fds[n].name, sizeof(fds[n].name), "%s", l->name);
                if (l->is_ours && n_own < own_bytes)
                        n_own += (size_t)snprintf(own + n_own, own_bytes - n_own, "%s%s", n_own ? "," : "", l->name);
        }
        fds[n].fd = sg_control_fd(d->control);
        snprintf(fds[n].name, sizeof(fds[n].name), SG_DAEMON_CONTROL_NAME);
        *ret_n = n + (fds[n].fd >= 0);
}

static void on_ready(pid_t pid, const char *version, void *owner)
{
        struct sg_daemon *d = owner;
        struct sg_control_upgrade done = {
                .old_pid = getpid(), .new_pid = pid, .version = version, .n_open = sg_daemon_n_open(d)};

        sg_service_hand_over(pid);
        sg_daemon_rest_limits(d); /* before the successor asks and saves: both are the same node */
        sg_successor_give(d->successor);
        d->successor = sg_successor_free(d->successor);
        sg_daemon_go(d, SG_DAEMON_SUCCEEDED);
        /* What waits in the sockets waits for the successor. */
        for (size_t i = 0; i < d->shared.n_listeners; i++)
                d->shared.listeners[i].is_ours = false;
        sg_control_stop_listening(d->control);
        sg_feed_rest(d->shared.feed);
        sg_log_notable(SG_LOG_NOTICE, SG_MESSAGE_UPGRADE_DONE,
                       "upgraded: process %d (%s) serves now; %" PRIu64
                       " exchanges are finished here, for up to %" PRIu64 " s",
                       (int)pid, version, done.n_open,
                       sg_daemon_snapshot(d)->config->upgrade_drain_timeout_usec / SG_USEC_PER_SEC);
        sg_control_upgraded(d->control, &done, NULL);
        sg_daemon_drain(d, sg_daemon_snapshot(d)->config->upgrade_drain_timeout_usec);
}

static void on_failed(const struct sg_error *err, void *owner)
{
        struct sg_daemon *d = owner;

        d->successor = sg_successor_free(d->successor);
        sg_daemon_go(d, SG_DAEMON_RUNNING);
        sg_log_notable(SG_LOG_ERR, SG_MESSAGE_UPGRADE_REFUSED, "not upgraded, this process goes on: %s%s%s", err->where,
                       err->where[0] ? ": " : "", err->text);
        sg_control_upgraded(d->control, NULL, err);
}

static int may_upgrade(const struct sg_daemon *d, struct sg_error *err)
{
        if (d->state != SG_DAEMON_RUNNING)
                return sg_error_set(err, -EBUSY, "", "the gateway is %s", sg_daemon_state_name((void *)d));
        if (getpid() == 1)
                return sg_error_set(
                        err, -EPERM, "",
                        "this is process 1 of a container, which ends with it: start a new container instead");
        if (d->ledger)
                return sg_error_set(err, -EPERM, "",
                                    "this gateway runs its ledger as its child, and there cannot be two: restart it "
                                    "instead");
        return 0;
}

int sg_daemon_upgrade(struct sg_daemon *d, struct sg_error *err)
{
        struct sg_service_fd fds[SG_LISTENERS_MAX + 1];
        char own[SG_LISTENERS_MAX * (sizeof(fds[0].name) + 1)];
        struct sg_successor_options options = {
                .program = d->program,
                .config_directory = d->config_directory,
                .fds = fds,
                .own_names = own,
                .on_ready = on_ready,
                .on_failed = on_failed,
                .owner = d,
        };
        int r = may_upgrade(d, err);

        if (r)
                return r;
        collect_sockets(d, fds, &options.n_fds, own, sizeof(own));
        r = sg_successor_new(&d->successor, d->loop, &options, err);
        if (r)
                return r;
        sg_daemon_go(d, SG_DAEMON_UPGRADING);
        sg_log_notable(SG_LOG_NOTICE, SG_MESSAGE_UPGRADE_BEGUN, "upgrade: %s is started as our successor", d->program);
        return 0;
}

/* ---- the new process */

int sg_daemon_meet_predecessor(struct sg_daemon *d, struct sg_error *err)
{
        int r = sg_predecessor_find(&d->predecessor, err);

        if (!r && d->predecessor)
                sg_service_be_silent(true);
        return r;
}

static void on_word(bool is_ours, void *owner)
{
        struct sg_daemon *d = owner;

        d->predecessor = sg_predecessor_free(d->predecessor);
        if (d->state != SG_DAEMON_STARTING)
                return;
        if (is_ours) {
                sg_service_be_silent(false);
                sg_daemon_begin_to_serve(d);
                return;
        }
        sg_err("the process that started this one as its successor has gone without handing over; this one ends, too");
        sg_daemon_go(d, SG_DAEMON_DRAINING);
        sg_daemon_drain(d, 0);
}

void sg_daemon_ready_to_succeed(struct sg_daemon *d)
{
        if (sg_predecessor_watch(d->predecessor, d->loop, on_word, d))
                return; /* it will find us late */
        sg_predecessor_tell_ready(d->predecessor, d->shared.version);
        sg_debug("ready to succeed");
}
