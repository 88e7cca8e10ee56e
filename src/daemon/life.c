/*
 * What happens to a running daemon: signals, the watchdog, the drain.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>

#include "base/message_id.h"
#include "daemon/container.h"
#include "daemon/daemon.h"
#include "daemon/ledger_child.h"
#include "daemon/successor.h"
#include "gateway/leases.h"

#define CUT_USEC (3 * SG_USEC_PER_SEC) /* for what is cut to be told and written down */

static const struct {
        const char *name;
        uint32_t may_follow;
} states[SG_DAEMON_STATE_N] = {
        [SG_DAEMON_STARTING] = {"starting", 1u << SG_DAEMON_RUNNING | 1u << SG_DAEMON_DRAINING | 1u << SG_DAEMON_ENDED},
        [SG_DAEMON_RUNNING] = {"running", 1u << SG_DAEMON_UPGRADING | 1u << SG_DAEMON_DRAINING},
        [SG_DAEMON_UPGRADING] = {"upgrading",
                                 1u << SG_DAEMON_RUNNING | 1u << SG_DAEMON_SUCCEEDED | 1u << SG_DAEMON_DRAINING},
        [SG_DAEMON_SUCCEEDED] = {"succeeded",
                                 1u << SG_DAEMON_DRAINING | 1u << SG_DAEMON_CUTTING | 1u << SG_DAEMON_ENDED},
        [SG_DAEMON_DRAINING] = {"draining", 1u << SG_DAEMON_CUTTING | 1u << SG_DAEMON_ENDED},
        [SG_DAEMON_CUTTING] = {"draining", 1u << SG_DAEMON_ENDED},
        [SG_DAEMON_ENDED] = {"ended", 0},
};

const char *sg_daemon_state_name(void *owner)
{
        const struct sg_daemon *d = owner;

        return states[d->state].name;
}

void sg_daemon_go(struct sg_daemon *d, enum sg_daemon_state to)
{
        SG_ASSERT(states[d->state].may_follow & (1u << to));
        d->state = to;
}

/* ---- the drain */

struct drained_letter {
        struct sg_letter letter;
};

void sg_daemon_on_worker_drained(struct sg_worker *w, void *owner)
{
        struct sg_daemon *d = owner;
        struct drained_letter *l = malloc(sizeof(*l));

        SG_ASSERT(l);
        sg_mailbox_post(d->mailbox, &l->letter);
}

static void daemon_end(struct sg_daemon *d)
{
        sg_daemon_go(d, SG_DAEMON_ENDED);
        sg_timer_stop(&d->drain_timer);
        sg_loop_stop(d->loop);
}

/* What this node was granted and has not used is with Redis again. */
static void on_left(void *owner)
{
        struct sg_daemon *d = owner;

        if (d->state != SG_DAEMON_ENDED)
                daemon_end(d);
}

void sg_daemon_on_letter(struct sg_letter *letter, void *owner)
{
        struct sg_daemon *d = owner;

        free(SG_CONTAINER(letter, struct drained_letter, letter));
        d->n_drained++;
        if (d->n_drained == d->n_workers && d->state != SG_DAEMON_ENDED)
                sg_leases_leave(d->shared.leases, on_left, d);
}

uint64_t sg_daemon_n_open(const struct sg_daemon *d)
{
        uint64_t n = 0;

        for (size_t i = 0; i < d->n_workers; i++)
                n += atomic_load_explicit(&d->workers[i]->counters.n_exchanges, memory_order_relaxed);
        return n;
}

void sg_daemon_drain(struct sg_daemon *d, uint64_t timeout_usec)
{
        sg_timer_start(&d->drain_timer, timeout_usec);
        sg_probes_stop(d->shared.probes);
        for (size_t i = 0; i < d->n_workers; i++)
                sg_worker_drain(d->workers[i]);
}

static void daemon_end_soon(struct sg_daemon *d)
{
        uint64_t timeout_usec = sg_daemon_snapshot(d)->config->drain_timeout_usec;

        d->successor = sg_successor_free(d->successor);
        sg_daemon_go(d, SG_DAEMON_DRAINING);
        sg_notice("ending: %" PRIu64 " open exchanges may take up to %" PRIu64 " s", sg_daemon_n_open(d),
                  timeout_usec / SG_USEC_PER_SEC);
        sg_service_stopping("Draining: open exchanges are being finished");
        sg_daemon_drain(d, timeout_usec);
}

static void daemon_cut(struct sg_daemon *d, const char *why)
{
        sg_daemon_go(d, SG_DAEMON_CUTTING);
        sg_log_notable(SG_LOG_WARNING, SG_MESSAGE_DRAIN_CUT, "%s: open exchanges are cut off, clients are told", why);
        sg_timer_start(&d->drain_timer, CUT_USEC);
        for (size_t i = 0; i < d->n_workers; i++)
                sg_worker_cut(d->workers[i]);
}

void sg_daemon_on_drain_time(struct sg_timer *t, void *owner)
{
        struct sg_daemon *d = owner;

        if (d->state == SG_DAEMON_DRAINING)
                daemon_cut(d, "the drain timeout is over");
        else if (d->state == SG_DAEMON_SUCCEEDED)
                daemon_cut(d, "the upgrade drain timeout is over");
        else if (d->state == SG_DAEMON_CUTTING)
                daemon_end(d);
}

/* ---- signals */

static void hang_up(struct sg_daemon *d)
{
        const char *needs_restart = NULL;
        struct sg_error err = {0};

        if (d->state == SG_DAEMON_RUNNING) {
                if (sg_daemon_reload(d, &needs_restart, &err))
                        sg_debug("reload refused");
        } else if (d->state == SG_DAEMON_UPGRADING) {
                /* The successor may have read the configuration before it was changed. */
                sg_service_reloading();
                sg_warning("not reloaded: an upgrade is under way; try again when it has ended");
                sg_service_ready("Running; a reload was refused during an upgrade");
        }
}

static void terminate(struct sg_daemon *d)
{
        switch (d->state) {
        case SG_DAEMON_STARTING:
        case SG_DAEMON_RUNNING:
        case SG_DAEMON_UPGRADING:
        case SG_DAEMON_SUCCEEDED:
                daemon_end_soon(d);
                return;
        case SG_DAEMON_DRAINING:
                daemon_cut(d, "a second signal to end");
                return;
        case SG_DAEMON_CUTTING:
        case SG_DAEMON_ENDED:
        case SG_DAEMON_STATE_N:
                return;
        }
}

void sg_daemon_on_signal(int signal, void *owner)
{
        struct sg_daemon *d = owner;

        switch (signal) {
        case SIGHUP:
                hang_up(d);
                return;
        case SIGTERM:
        case SIGINT:
                terminate(d);
                return;
        case SIGUSR1:
                sg_log_reopen();
                return;
        case SIGCHLD:
                if (d->ledger)
                        sg_ledger_child_reap(d->ledger);
                sg_container_reap(sg_ledger_child_pid(d->ledger));
                return;
        }
}

/* ---- ready, and alive */

/* For systemctl status. */
static const char *running_status(const struct sg_daemon *d)
{
        return sg_feed_is_out(d->shared.feed) ? "Running; the ledger does not tell the keys (systemctl status "
                                                "scribe-ledger): known keys work, new ones cannot be checked"
                                              : "Running";
}

void sg_daemon_on_outage(bool is_out, void *owner)
{
        struct sg_daemon *d = owner;

        if (d->state == SG_DAEMON_RUNNING)
                sg_service_status(running_status(d));
}

void sg_daemon_begin_to_serve(struct sg_daemon *d)
{
        sg_daemon_go(d, SG_DAEMON_RUNNING);
        sg_daemon_share_limits(d);
        atomic_store_explicit(&d->shared.is_ready, true, memory_order_relaxed);
        for (size_t i = 0; i < d->n_workers; i++)
                sg_worker_listen(d->workers[i]);
        for (size_t i = 0; i < d->shared.n_listeners; i++)
                sg_notice("listening on %s (%s)", d->shared.listeners[i].address, d->shared.listeners[i].name);
        sg_log_notable(SG_LOG_NOTICE, SG_MESSAGE_READY, "ready: version %s, %zu workers, %zu keys (%s)",
                       d->shared.version, d->n_workers, sg_keytable_count(d->shared.keys),
                       sg_feed_state_name(sg_feed_get_state(d->shared.feed)));
        sg_service_ready(running_status(d));
        sg_service_watchdog();
}

void sg_daemon_on_first_picture(void *owner)
{
        struct sg_daemon *d = owner;

        if (d->state != SG_DAEMON_STARTING)
                return;
        if (d->predecessor)
                sg_daemon_ready_to_succeed(d);
        else
                sg_daemon_begin_to_serve(d);
}

/* The watchdog is fed only while every worker turns; one that hangs is named once, then systemd acts. */
void sg_daemon_on_watchdog_time(struct sg_timer *t, void *owner)
{
        struct sg_daemon *d = owner;
        uint64_t now_usec = sg_clock_usec();

        sg_timer_start(t, d->watchdog_usec / 4);
        for (size_t i = 0; i < d->n_workers; i++) {
                uint64_t turned_usec = atomic_load_explicit(&d->workers[i]->counters.turned_usec, memory_order_relaxed);

                if (turned_usec + d->watchdog_usec / 2 >= now_usec)
                        continue;
                if (!d->is_watchdog_angry)
                        sg_log_notable(SG_LOG_ERR, SG_MESSAGE_WORKER_HANGS,
                                       "worker %zu has not turned for %" PRIu64 " ms: the watchdog is not fed", i,
                                       (now_usec - turned_usec) / SG_USEC_PER_MSEC);
                d->is_watchdog_angry = true;
                return;
        }
        d->is_watchdog_angry = false;
        sg_service_watchdog();
}
