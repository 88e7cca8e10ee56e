#include "gateway/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "gateway/connection.h"
#include "gateway/echo.h"
#include "gateway/exchange.h"
#include "gateway/limiting.h"
#include "gateway/sync.h"

#define TURN_USEC_MAX (100 * SG_USEC_PER_MSEC) /* the RCU grace period and the watchdog rely on it */
#define BACKLOG_MAX   4096

enum letter_kind {
        LETTER_LISTEN,
        LETTER_DRAIN,
        LETTER_CUT,
        LETTER_STOP,
        LETTER_SYNCED,
        LETTER_GRANTS
};

struct worker_letter {
        struct sg_letter letter;
        enum letter_kind kind;
};

static void worker_post(struct sg_worker *w, enum letter_kind kind)
{
        struct worker_letter *l = malloc(sizeof(*l));

        SG_ASSERT(l); /* a few bytes, and nobody to tell */
        l->kind = kind;
        sg_mailbox_post(w->mailbox, &l->letter);
}

void sg_worker_listen(struct sg_worker *w)
{
        worker_post(w, LETTER_LISTEN);
}

void sg_worker_drain(struct sg_worker *w)
{
        worker_post(w, LETTER_DRAIN);
}

void sg_worker_cut(struct sg_worker *w)
{
        worker_post(w, LETTER_CUT);
}

void sg_worker_stop(struct sg_worker *w)
{
        worker_post(w, LETTER_STOP);
}

void sg_worker_tell_synced(struct sg_worker *w)
{
        worker_post(w, LETTER_SYNCED);
}

void sg_worker_tell_grants(struct sg_worker *w)
{
        worker_post(w, LETTER_GRANTS);
}

static void worker_begin_listening(struct sg_worker *w)
{
        if (w->is_draining)
                return;
        for (size_t i = 0; i < w->shared->n_listeners; i++)
                sg_acceptor_start(w->listeners[i].acceptor);
}

/* ---- draining */

void sg_worker_check_drained(struct sg_worker *w)
{
        void (*on_drained)(struct sg_worker * w, void *owner) = w->on_drained;

        if (!w->is_draining || !sg_list_is_empty(&w->connections) || !sg_list_is_empty(&w->exchanges) || !on_drained)
                return;
        w->on_drained = NULL;
        on_drained(w, w->on_drained_owner);
}

/* Connections that the kernel has already accepted for us wait in the backlog: they are taken, not reset. */
static void accept_backlog(struct sg_worker *w, const struct sg_shared_listener *l)
{
        for (unsigned i = 0; i < BACKLOG_MAX; i++) {
                int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

                if (fd < 0)
                        return;
                sg_connection_accept(w, fd, l->name);
        }
}

static void connection_drain(struct sg_connection *c)
{
        c->ops->drain(c);
}

static void connection_cut(struct sg_connection *c)
{
        c->ops->cut(c);
}

static void connection_close(struct sg_connection *c)
{
        c->ops->close(c, SG_FAIL_NONE);
}

/* The last worker to stop closes the descriptors: only then does nobody watch them any more. */
static void worker_stop_listening(struct sg_worker *w)
{
        struct sg_shared *shared = w->shared;

        for (size_t i = 0; i < shared->n_listeners; i++) {
                w->listeners[i].acceptor = sg_acceptor_free(w->listeners[i].acceptor);
                if (shared->listeners[i].is_ours)
                        accept_backlog(w, &shared->listeners[i]);
        }
        if (atomic_fetch_sub_explicit(&shared->n_listening, 1, memory_order_acq_rel) != 1)
                return;
        for (size_t i = 0; i < shared->n_listeners; i++) {
                if (shared->listeners[i].is_ours)
                        accept_backlog(w, &shared->listeners[i]);
                close(shared->listeners[i].fd);
        }
}

static void worker_begin_drain(struct sg_worker *w)
{
        if (w->is_draining)
                return;
        w->is_draining = true;
        worker_stop_listening(w);
        SG_LIST_EACH (&w->connections, k)
                connection_drain(sg_connection_of_link(k));
        sg_upstream_settle_warm(w->upstream); /* none is named any more */
        sg_upstream_close_idle(w->upstream);
        sg_worker_check_drained(w);
}

static void worker_cut_all(struct sg_worker *w)
{
        w->is_stopping = true;
        SG_LIST_EACH (&w->exchanges, k)
                sg_exchange_cut(SG_CONTAINER(k, struct sg_exchange, link));
        SG_LIST_EACH (&w->connections, c)
                connection_cut(sg_connection_of_link(c));
        sg_worker_check_drained(w);
}

static void worker_on_letter(struct sg_letter *letter, void *owner)
{
        struct worker_letter *l = SG_CONTAINER(letter, struct worker_letter, letter);
        struct sg_worker *w = owner;
        enum letter_kind kind = l->kind;

        free(l);
        switch (kind) {
        case LETTER_LISTEN:
                worker_begin_listening(w);
                return;
        case LETTER_DRAIN:
                worker_begin_drain(w);
                return;
        case LETTER_CUT:
                worker_cut_all(w);
                return;
        case LETTER_STOP:
                sg_loop_stop(w->loop);
                return;
        case LETTER_SYNCED:
                sg_sync_arrived(w);
                return;
        case LETTER_GRANTS:
                sg_limiting_on_grants(w);
                return;
        }
        SG_UNREACHABLE();
}

/* ---- connections ahead of need */

static void keep_warm(struct sg_worker *w, const struct sg_endpoint *at, const char *what, const char *name)
{
        if (sg_upstream_keep_warm(w->upstream, at))
                sg_warning("worker %u: no memory to keep connections to %s \"%s\" ready", w->number, what, name);
}

/* What is in force decides who has some; looked at in every turn, done once per configuration. */
static void worker_keep_warm(struct sg_worker *w)
{
        const struct sg_snapshot *s = atomic_load_explicit(&w->shared->snapshot, memory_order_acquire);

        if (!s || s->config->number == w->warm_number || w->is_draining || w->is_stopping)
                return;
        w->warm_number = s->config->number;
        for (size_t i = 0; i < s->config->n_providers; i++)
                keep_warm(w, &s->providers[i].endpoint, "provider", s->providers[i].config->name);
        for (size_t i = 0; i < s->config->n_services; i++)
                for (size_t k = 0; k < s->services[i].config->n_endpoints; k++)
                        keep_warm(w, &s->services[i].endpoints[k], "service", s->services[i].config->name);
        sg_upstream_settle_warm(w->upstream);
}

/* ---- turning */

static void worker_after_turn(void *owner)
{
        struct sg_worker *w = owner;
        struct sg_upstream_counts n;

        worker_keep_warm(w);
        sg_upstream_get_counts(w->upstream, &n);
        atomic_store_explicit(&w->counters.n_upstream_idle, n.n_idle, memory_order_relaxed);
        atomic_store_explicit(&w->counters.n_upstream_busy, n.n_busy + n.n_connecting, memory_order_relaxed);
        atomic_store_explicit(&w->counters.turned_usec, sg_loop_now_usec(w->loop), memory_order_relaxed);
        sg_count(&w->counters.n_turns, 1);
        sg_repeats_tell(&w->repeats, w->number, sg_loop_now_usec(w->loop), false);
        sg_rcu_quiescent();
}

void sg_worker_run(struct sg_worker *w)
{
        sg_rcu_register();
        sg_loop_run(w->loop, TURN_USEC_MAX, worker_after_turn, w);
        sg_rcu_unregister();
}

static void worker_on_connection(int fd, void *owner)
{
        struct sg_worker_listener *l = owner;

        sg_count(&l->n_accepted, 1);
        sg_connection_accept(l->worker, fd, l->worker->shared->listeners[l - l->worker->listeners].name);
}

/* ---- for the rest of the room */

struct sg_snapshot *sg_worker_snapshot(struct sg_worker *w)
{
        return sg_snapshot_ref(atomic_load_explicit(&w->shared->snapshot, memory_order_acquire));
}

struct sg_str sg_worker_date(struct sg_worker *w)
{
        time_t now = (time_t)(sg_clock_wall_usec() / SG_USEC_PER_SEC);
        struct tm tm;

        if (now != w->date_sec) {
                gmtime_r(&now, &tm);
                strftime(w->date, sizeof(w->date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
                w->date_sec = now;
        }
        return sg_str_from(w->date);
}

/* ---- birth and death */

static int make_acceptors(struct sg_worker *w, struct sg_error *err)
{
        for (size_t i = 0; i < w->shared->n_listeners; i++) {
                struct sg_worker_listener *l = &w->listeners[i];
                int r;

                l->worker = w;
                r = sg_acceptor_new(&l->acceptor, w->loop, w->shared->listeners[i].fd, worker_on_connection, l);
                if (r)
                        return sg_error_set(err, r, "", "worker %u cannot accept connections", w->number);
        }
        return 0;
}

static int worker_init(struct sg_worker *w, struct sg_error *err)
{
        int r = sg_loop_new(&w->loop);

        if (!r)
                r = sg_mailbox_new(&w->mailbox, w->loop, worker_on_letter, w);
        if (!r)
                r = sg_resolver_new(&w->resolver, w->loop);
        if (!r)
                r = sg_upstream_new(&w->upstream, w->loop, w->resolver);
        if (!r)
                r = sg_echo_server_new(&w->echo, w->loop);
        if (r)
                return sg_error_set(err, r, "", "worker %u could not be set up", w->number);
        return make_acceptors(w, err);
}

int sg_worker_new(struct sg_worker **ret, unsigned number, struct sg_shared *shared, struct sg_ring *ring,
                  struct sg_error *err)
{
        struct sg_worker *w = calloc(1, sizeof(*w));
        int r;

        if (!w) {
                sg_ring_free(ring);
                return sg_error_set(err, -ENOMEM, "", "out of memory");
        }
        w->number = number;
        w->shared = shared;
        w->ring = ring;
        sg_repeats_init(&w->repeats);
        sg_list_init(&w->connections);
        sg_list_init(&w->exchanges);
        sg_list_init(&w->waiting_grants);
        sg_list_init(&w->waiting_sync);
        sg_buf_init(&w->out, 3 * SG_HEAD_BYTES_MAX);
        sg_buf_init(&w->events, 2 * SG_SSE_EVENT_BYTES_MAX);
        r = worker_init(w, err);
        if (r) {
                sg_worker_free(w);
                return r;
        }
        *ret = w;
        return 0;
}

struct sg_worker *sg_worker_free(struct sg_worker *w)
{
        if (!w)
                return NULL;
        for (size_t i = 0; i < SG_LISTENERS_MAX; i++)
                sg_acceptor_free(w->listeners[i].acceptor);
        sg_mailbox_free(w->mailbox);
        w->is_stopping = true;
        SG_LIST_EACH (&w->connections, k)
                connection_close(sg_connection_of_link(k));
        SG_LIST_EACH (&w->waiting_sync, s) {
                struct sg_exchange *x = SG_CONTAINER(s, struct sg_exchange, sync_link);

                sg_list_remove(&w->waiting_sync, s);
                x->is_synced = true;
                sg_exchange_run(x);
        }
        SG_LIST_EACH (&w->exchanges, e)
                sg_exchange_cut(SG_CONTAINER(e, struct sg_exchange, link));
        sg_echo_server_free(w->echo);
        sg_upstream_free(w->upstream);
        sg_resolver_free(w->resolver);
        sg_loop_free(w->loop); /* runs what was deferred */
        sg_repeats_tell(&w->repeats, w->number, 0, true);
        sg_ring_free(w->ring);
        sg_buf_done(&w->out);
        sg_buf_done(&w->events);
        free(w);
        return NULL;
}
