#include "gateway/connection.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/message_id.h"

#define OVER_LIMIT_MAX 64 /* connections beyond the maximum that still get a polite 503 */

/* ---- what the client takes */

static uint64_t moved(const struct sg_connection *c)
{
        return c->given_bytes - sg_stream_queued(c->stream);
}

void sg_connection_await_writing(struct sg_connection *c)
{
        c->moved_bytes = moved(c);
        sg_timer_start(&c->timer, c->snapshot->config->write_timeout_usec);
}

bool sg_connection_has_moved(struct sg_connection *c)
{
        if (moved(c) <= c->moved_bytes)
                return false;
        sg_connection_await_writing(c);
        return true;
}

void sg_connection_tell_given_up(struct sg_connection *c)
{
        sg_count(&c->worker->counters.by_failure[SG_FAIL_WRITE_TIMEOUT], 1);
        sg_info("client %s took none of its answer for %" PRIu64 " s and is given up: %zu bytes were not sent",
                sg_connection_peer(c), c->snapshot->config->write_timeout_usec / SG_USEC_PER_SEC,
                sg_stream_queued(c->stream));
}

void sg_connection_write(struct sg_connection *c, const struct sg_str *pieces, size_t n)
{
        for (size_t i = 0; i < n; i++)
                c->given_bytes += pieces[i].n;
        if (sg_stream_write(c->stream, pieces, n))
                return; /* on_end tells */
        if (sg_stream_queued(c->stream) && !sg_timer_is_running(&c->timer))
                sg_connection_await_writing(c);
}

void sg_connection_charge(struct sg_connection *c, uint64_t n_bytes)
{
        if (n_bytes == c->charged_bytes)
                return;
        atomic_fetch_add_explicit(&c->worker->shared->bodies_bytes, n_bytes - c->charged_bytes, memory_order_relaxed);
        c->charged_bytes = n_bytes;
}

const char *sg_connection_peer(const struct sg_connection *c)
{
        return sg_stream_peer(c->stream);
}

bool sg_connection_subject(const struct sg_connection *c, char out[SG_TLS_SUBJECT_BYTES])
{
        return c->tls && sg_tls_client_subject(c->tls, out) == 0;
}

/* Scanners do this all day: some lines are written, the rest is counted. */
void sg_connection_tell_tls(struct sg_connection *c)
{
        struct sg_worker *w = c->worker;
        const char *words = sg_stream_end_text(c->stream);
        const struct sg_log_field fields[] = {{"SCRIBE_CLIENT", sg_str_from(sg_connection_peer(c))},
                                              {"SCRIBE_REASON", sg_str_from(sg_failure_name(SG_FAIL_CLIENT_TLS))},
                                              {"SCRIBE_DETAIL", sg_str_from(words)}};

        sg_count(&w->counters.by_failure[SG_FAIL_CLIENT_TLS], 1);
        if (sg_repeats_take(&w->repeats, SG_FAIL_CLIENT_TLS, sg_loop_now_usec(w->loop)))
                sg_log_line(SG_LOG_INFO, NULL, fields, SG_N_ELEMENTS(fields), "no TLS with client %s: %s",
                            sg_connection_peer(c), words);
}

/* ---- birth and death */

static void on_time(struct sg_timer *t, void *owner)
{
        struct sg_connection *c = owner;

        c->ops->on_time(c);
}

static void free_later(struct sg_deferred *d)
{
        struct sg_connection *c = SG_CONTAINER(d, struct sg_connection, freeing);

        c->ops->free(c);
}

int sg_connection_init_bare(struct sg_connection *c, struct sg_worker *w, const struct sg_connection_ops *ops)
{
        int r = sg_timer_init(&c->timer, w->loop, on_time, c);

        if (r)
                return r;
        c->ops = ops;
        c->worker = w;
        c->id = ++w->next_id;
        c->freeing.run = free_later;
        c->snapshot = sg_worker_snapshot(w);
        sg_list_push(&w->connections, &c->link);
        return 0;
}

int sg_connection_init(struct sg_connection *c, struct sg_worker *w, int fd, const struct sg_connection_ops *ops)
{
        int r = sg_connection_init_bare(c, w, ops);

        if (r)
                return r;
        r = sg_stream_new_fd(&c->stream, w->loop, fd, NULL, ops->listener, c);
        if (r) {
                sg_list_remove(&w->connections, &c->link);
                sg_connection_done(c);
        }
        return r;
}

int sg_connection_move(struct sg_connection *to, struct sg_connection *from, const struct sg_connection_ops *ops)
{
        struct sg_worker *w = from->worker;
        int r = sg_timer_init(&to->timer, w->loop, on_time, to);

        if (r)
                return r;
        to->ops = ops;
        to->worker = w;
        to->id = from->id;
        to->freeing.run = free_later;
        to->stream = from->stream;
        to->tls = from->tls;
        to->snapshot = sg_snapshot_ref(from->snapshot);
        to->given_bytes = from->given_bytes;
        sg_stream_set_listener(to->stream, ops->listener, to);
        from->stream = NULL;
        sg_timer_stop(&from->timer);
        sg_list_remove(&w->connections, &from->link);
        sg_list_push(&w->connections, &to->link);
        sg_loop_defer(w->loop, &from->freeing);
        return 0;
}

void sg_connection_done(struct sg_connection *c)
{
        sg_timer_done(&c->timer);
        sg_snapshot_unref(c->snapshot);
}

void sg_connection_uncount(struct sg_connection *c)
{
        atomic_fetch_sub_explicit(&c->worker->shared->n_connections, 1, memory_order_relaxed);
        sg_count(&c->worker->counters.n_clients, (uint64_t)-1);
}

void sg_connection_forget(struct sg_connection *c)
{
        struct sg_worker *w = c->worker;

        sg_timer_stop(&c->timer);
        sg_connection_charge(c, 0);
        c->stream = sg_stream_free(c->stream);
        sg_list_remove(&w->connections, &c->link);
        sg_loop_defer(w->loop, &c->freeing);
        sg_worker_check_drained(w);
}

void sg_connection_closed(struct sg_connection *c)
{
        sg_connection_uncount(c);
        sg_connection_forget(c);
}

struct sg_connection *sg_connection_of_link(struct sg_link *of_worker)
{
        return SG_CONTAINER(of_worker, struct sg_connection, link);
}

/* ---- accepting */

/* A state of the whole gateway, beside the lines of the exchanges that are refused. */
static void tell_full(struct sg_worker *w, const struct sg_config *config)
{
        if (!sg_log_limit_take(&w->repeats.connections_full, sg_loop_now_usec(w->loop)))
                return;
        sg_log_notable(SG_LOG_WARNING, SG_MESSAGE_CONNECTIONS_FULL,
                       "max_connections = %zu connections are open: further ones are refused", config->connections_max);
}

/* A listener that the configuration has no more is never spoken to in the clear by mistake: false. */
static bool put_tls(struct sg_connection *c, const char *listener)
{
        const struct sg_snapshot_listener *l = sg_snapshot_listener(c->snapshot, listener);
        struct sg_layer *layer;

        if (!l || (l->identity && sg_tls_server_layer(&layer, l->identity)))
                return false;
        if (l->identity) {
                sg_tls_apply(c->stream, layer);
                c->tls = layer;
        }
        return true;
}

/* How many there were before. */
static uint64_t count(struct sg_worker *w)
{
        sg_count(&w->counters.n_clients, 1);
        return atomic_fetch_add_explicit(&w->shared->n_connections, 1, memory_order_relaxed);
}

static void check_room(struct sg_connection *c, uint64_t n_connections)
{
        const struct sg_config *config = c->snapshot->config;
        struct sg_worker *w = c->worker;

        if (n_connections < config->connections_max)
                return;
        tell_full(w, config);
        if (n_connections < config->connections_max + OVER_LIMIT_MAX) {
                c->ops->refuse(c, SG_FAIL_CONNECTIONS_FULL);
                return;
        }
        sg_count(&w->counters.by_failure[SG_FAIL_CONNECTIONS_FULL], 1);
        c->ops->close(c, SG_FAIL_CONNECTIONS_FULL);
}

void sg_connection_count_in(struct sg_connection *c)
{
        check_room(c, count(c->worker));
}

void sg_connection_begin(struct sg_worker *w, int fd, const char *listener, const char *told_peer)
{
        struct sg_connection *c = sg_connection_h1_new(w, fd);
        uint64_t n_connections;

        if (!c) {
                close(fd);
                return;
        }
        n_connections = count(w);
        if (told_peer)
                sg_stream_set_peer(c->stream, told_peer);
        if (!put_tls(c, listener)) {
                c->ops->close(c, SG_FAIL_INTERNAL);
                return;
        }
        sg_stream_resume(c->stream);
        check_room(c, n_connections);
}

void sg_connection_accept(struct sg_worker *w, int fd, const char *listener)
{
        sg_count(&w->counters.n_accepted, 1);
        if (sg_connection_proxy_is_expected(w, listener))
                sg_connection_proxy_begin(w, fd, listener);
        else
                sg_connection_begin(w, fd, listener, NULL);
}
