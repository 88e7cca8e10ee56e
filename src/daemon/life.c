/*
 * What happens to a running daemon: signals, the watchdog, the drain.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>

#include "daemon/container.h"
#include "daemon/daemon.h"
#include "daemon/ledger_child.h"

#define CUT_USEC (3 * SG_USEC_PER_SEC) /* for what is cut to be told and written down */

static const struct {
        const char *name;
        uint32_t may_follow;
} states[SG_DAEMON_STATE_N] = {
        [SG_DAEMON_STARTING] = {"starting", 1u << SG_DAEMON_RUNNING | 1u << SG_DAEMON_DRAINING | 1u << SG_DAEMON_ENDED},
        [SG_DAEMON_RUNNING] = {"running", 1u << SG_DAEMON_DRAINING},
        [SG_DAEMON_DRAINING] = {"draining", 1u << SG_DAEMON_CUTTING | 1u << SG_DAEMON_ENDED},
        [SG_DAEMON_CUTTING] = {"draining", 1u << SG_DAEMON_ENDED},
        [SG_DAEMON_ENDED] = {"ended", 0},
};

const char *sg_daemon_state_name(void *owner)
{
        const struct sg_daemon *d = owner;

        return states[d->state].name;
}

static void daemon_go(struct sg_daemon *d, enum sg_daemon_state to)
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
        daemon_go(d, SG_DAEMON_ENDED);
        sg_timer_stop(&d->drain_timer);
        sg_loop_stop(d->loop);
}

void sg_daemon_on_letter(struct sg_letter *letter, void *owner)
{
        struct sg_daemon *d = owner;

        free(SG_CONTAINER(letter, struct drained_letter, letter));
        d->n_drained++;
        if (d->n_drained == d->n_workers && d->state != SG_DAEMON_ENDED)
                daemon_end(d);
}

static void daemon_drain(struct sg_daemon *d)
{
        uint64_t n_open = 0;

        for (size_t i = 0; i < d->n_workers; i++)
                n_open += atomic_load_explicit(&d->workers[i]->counters.n_exchanges, memory_order_relaxed);
        daemon_go(d, SG_DAEMON_DRAINING);
        sg_notice("ending: %" PRIu64 " open exchanges may take up to %" PRIu64 " s", n_open,
                  sg_daemon_snapshot(d)->config->drain_timeout_usec / SG_USEC_PER_SEC);
        sg_service_stopping("Draining: open exchanges are being finished");
        sg_timer_start(&d->drain_timer, sg_daemon_snapshot(d)->config->drain_timeout_usec);
        for (size_t i = 0; i < d->n_workers; i++)
                sg_worker_drain(d->workers[i]);
}

static void daemon_cut(struct sg_daemon *d, const char *why)
{
        daemon_go(d, SG_DAEMON_CUTTING);
        sg_warning("%s: open exchanges are cut off, clients are told", why);
        sg_timer_start(&d->drain_timer, CUT_USEC);
        for (size_t i = 0; i < d->n_workers; i++)
                sg_worker_cut(d->workers[i]);
}

void sg_daemon_on_drain_time(struct sg_timer *t, void *owner)
{
        struct sg_daemon *d = owner;

        if (d->state == SG_DAEMON_DRAINING)
                daemon_cut(d, "the drain timeout is over");
        else if (d->state == SG_DAEMON_CUTTING)
                daemon_end(d);
}

/* ---- signals */

void sg_daemon_on_signal(int signal, void *owner)
{
        const char *needs_restart = NULL;
        struct sg_daemon *d = owner;
        struct sg_error err = {0};

        switch (signal) {
        case SIGHUP:
                if (d->state == SG_DAEMON_RUNNING && sg_daemon_reload(d, &needs_restart, &err))
                        sg_debug("reload refused");
                return;
        case SIGTERM:
        case SIGINT:
                if (d->state == SG_DAEMON_STARTING || d->state == SG_DAEMON_RUNNING)
                        daemon_drain(d);
                else if (d->state == SG_DAEMON_DRAINING)
                        daemon_cut(d, "a second signal to end");
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

void sg_daemon_on_first_picture(void *owner)
{
        struct sg_daemon *d = owner;

        if (d->state != SG_DAEMON_STARTING)
                return;
        daemon_go(d, SG_DAEMON_RUNNING);
        atomic_store_explicit(&d->shared.is_ready, true, memory_order_relaxed);
        for (size_t i = 0; i < d->shared.n_listeners; i++)
                sg_notice("listening on %s (%s)", d->shared.listeners[i].address, d->shared.listeners[i].name);
        sg_notice("ready: %zu workers, %zu keys (%s)", d->n_workers, sg_keytable_count(d->shared.keys),
                  sg_feed_state_name(sg_feed_get_state(d->shared.feed)));
        sg_service_ready("Running");
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
                        sg_err("worker %zu has not turned for %" PRIu64 " ms: the watchdog is not fed", i,
                               (now_usec - turned_usec) / SG_USEC_PER_MSEC);
                d->is_watchdog_angry = true;
                return;
        }
        d->is_watchdog_angry = false;
        sg_service_watchdog();
}
