/*
 * Pools are stacks: the connection used last is the likeliest to be alive, and those that are not needed reach their
 * timeout. An idle connection is read from: whatever it says, an answer that nobody asked for or the end, drops it. It is
 * looked at once more when it is taken, so that nothing that came before a request is taken for its answer.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "upstream/upstream_internal.h"

/* ---- pools */

/* Keys are the operator's, and some hundred bytes long: eight at a time. */
static struct sg_list *bucket_of(struct sg_upstream *u, struct sg_str key)
{
        uint64_t h = key.n, word;

        while (key.n >= sizeof(word)) {
                memcpy(&word, key.p, sizeof(word));
                h = (h ^ word) * UINT64_C(0x9fb21c651e98df25);
                h ^= h >> 32;
                key = sg_str_skip(key, sizeof(word));
        }
        word = 0;
        memcpy(&word, key.p, key.n);
        h = (h ^ word) * UINT64_C(0x9fb21c651e98df25);
        return &u->buckets[(h >> 32) % N_BUCKETS];
}

static void pool_free(struct pool *p)
{
        SG_ASSERT(!p->is_warm && sg_list_is_empty(&p->warmers) && sg_list_is_empty(&p->shared));
        sg_list_remove(bucket_of(p->upstream, p->at.pool_key), &p->link);
        sg_resolve_cancel(p->upstream->resolver, &p->check);
        sg_tls_trust_unref(p->at.trust);
        sg_tls_certificate_unref(p->at.certificate);
        sg_secret_unref(p->at.proxy_authorization);
        free(p);
}

void pool_put(struct pool *p)
{
        SG_ASSERT(p->n_users > 0);
        if (--p->n_users == 0)
                pool_free(p);
}

static void keep_string(struct sg_str *s, char **at)
{
        if (s->n)
                memcpy(*at, s->p, s->n);
        s->p = *at;
        *at += s->n;
}

static struct pool *pool_new(struct sg_upstream *u, const struct sg_endpoint *at)
{
        struct pool *p;
        char *end;

        p = calloc(1,
                   sizeof(*p) + at->host.n + at->pool_key.n + at->socket_path.n + at->server_name.n + at->proxy_host.n);
        if (!p)
                return NULL;
        p->upstream = u;
        p->known_until_usec = SG_USEC_NEVER;
        p->at = *at;
        end = p->strings;
        keep_string(&p->at.host, &end);
        keep_string(&p->at.pool_key, &end);
        keep_string(&p->at.socket_path, &end);
        keep_string(&p->at.server_name, &end);
        keep_string(&p->at.proxy_host, &end);
        p->at.n_warm = 0; /* until it is asked for by name */
        p->at.trust = at->trust ? sg_tls_trust_ref(at->trust) : NULL;
        p->at.certificate = at->certificate ? sg_tls_certificate_ref(at->certificate) : NULL;
        p->at.proxy_authorization = at->proxy_authorization ? sg_secret_ref(at->proxy_authorization) : NULL;
        for (size_t i = 0; i < SG_N_ELEMENTS(p->conns); i++)
                sg_list_init(&p->conns[i]);
        sg_list_init(&p->warmers);
        sg_list_init(&p->shared);
        sg_list_init(&p->waiters);
        sg_list_push(bucket_of(u, at->pool_key), &p->link);
        return p;
}

static void close_all(struct pool *p, enum conn_state which)
{
        struct sg_link *k;

        p->n_users++; /* the last connection must not take the pool along */
        while ((k = sg_list_first(&p->conns[which])))
                conn_close(SG_CONTAINER(k, struct conn, link));
        pool_put(p);
}

static bool is_same_secret(const struct sg_secret *a, const struct sg_secret *b)
{
        return a == b || (a && b && sg_secret_equals(a, sg_secret_bytes(b)));
}

/* A reload may bring other times, and other trust and credentials under the same key. */
static void pool_update(struct pool *p, const struct sg_endpoint *at)
{
        struct sg_tls_certificate *certificate = p->at.certificate;
        struct sg_secret *authorization = p->at.proxy_authorization;
        struct sg_tls_trust *trust = p->at.trust;
        const bool is_same = trust == at->trust && certificate == at->certificate &&
                             is_same_secret(authorization, at->proxy_authorization);

        p->at.connect_timeout_usec = at->connect_timeout_usec;
        p->at.idle_timeout_usec = at->idle_timeout_usec;
        p->at.pool_max = at->pool_max;
        p->at.protocol = at->protocol;
        p->at.open_builtin = at->open_builtin;
        p->at.builtin_owner = at->builtin_owner;
        if (is_same)
                return;
        p->at.trust = at->trust ? sg_tls_trust_ref(at->trust) : NULL;
        p->at.certificate = at->certificate ? sg_tls_certificate_ref(at->certificate) : NULL;
        p->at.proxy_authorization = at->proxy_authorization ? sg_secret_ref(at->proxy_authorization) : NULL;
        sg_tls_trust_unref(trust);
        sg_tls_certificate_unref(certificate);
        sg_secret_unref(authorization);
        /* They were verified by the old one, or let in by it. */
        SG_LIST_EACH (&p->shared, k)
                mux_retire(SG_CONTAINER(k, struct mux, link)->conn);
        close_all(p, CONN_IDLE);
}

int pool_get(struct pool **ret, struct sg_upstream *u, const struct sg_endpoint *at)
{
        struct pool *p = NULL;

        SG_ASSERT(!at->is_tls || at->trust);
        SG_LIST_EACH (bucket_of(u, at->pool_key), k) {
                p = SG_CONTAINER(k, struct pool, link);
                if (sg_str_eq(p->at.pool_key, at->pool_key))
                        break;
                p = NULL;
        }
        if (p) {
                p->n_users++;
                pool_update(p, at);
        } else {
                p = pool_new(u, at);
                if (!p)
                        return -ENOMEM;
                p->n_users++;
        }
        *ret = p;
        return 0;
}

bool pool_is_opening(const struct pool *p)
{
        if (p->opener)
                return true;
        SG_LIST_EACH (&p->shared, k)
                if (!SG_CONTAINER(k, struct mux, link)->was_heard)
                        return true;
        return false;
}

void pool_wake(struct pool *p)
{
        SG_LIST_EACH (&p->waiters, k)
                sg_loop_defer(p->upstream->loop, &SG_CONTAINER(k, struct sg_upcall, queue)->deferred);
}

/* ---- connections */

static void conn_unlist(struct conn *n)
{
        if (!sg_link_is_on_list(&n->link))
                return;
        sg_list_remove(&n->pool->conns[n->state], &n->link);
        n->pool->upstream->n_conns[n->state]--;
}

void conn_go(struct conn *n, enum conn_state to)
{
        conn_unlist(n);
        n->state = to;
        if (to == CONN_CLOSED)
                return;
        sg_list_push_first(&n->pool->conns[to], &n->link);
        n->pool->upstream->n_conns[to]++;
}

static void conn_run_deferred(struct sg_deferred *d)
{
        struct conn *n = SG_CONTAINER(d, struct conn, deferred);

        if (n->state == CONN_CLOSED) {
                mux_free(n);
                free(n);
        } else {
                call_tunnel_opened(n->call);
        }
}

static void lose_warmth(struct conn *n)
{
        pool_warmth_lost(n->pool, sg_loop_now_usec(n->loop) - n->idle_since_usec);
}

void conn_close(struct conn *n)
{
        SG_ASSERT(n->state != CONN_CLOSED);
        const bool was_idle = n->state == CONN_IDLE;

        if (n->mux)
                mux_unshare(n);
        conn_go(n, CONN_CLOSED);
        n->stream = sg_stream_free(n->stream);
        n->call = NULL;
        sg_timer_done(&n->idle);
        if (was_idle)
                lose_warmth(n);
        pool_put(n->pool);
        n->pool = NULL;
        sg_loop_defer(n->loop, &n->deferred);
}

static void on_open(struct sg_stream *s, void *owner)
{
        struct conn *n = owner;

        call_on_open(n->call);
}

static size_t on_bytes(struct sg_stream *s, struct sg_str bytes, void *owner)
{
        struct conn *n = owner;

        if (n->state == CONN_LEAVING)
                return bytes.n;
        if (n->call || n->mux)
                return n->speech->on_bytes(n, bytes);
        sg_debug("upstream %s: %zu bytes that nobody asked for: closed", sg_stream_peer(s), bytes.n);
        conn_close(n);
        return 0;
}

static void on_drained(struct sg_stream *s, void *owner)
{
        struct conn *n = owner;

        if (n->state == CONN_LEAVING && sg_stream_queued(s) == 0)
                conn_close(n);
        else if (n->state != CONN_LEAVING && (n->call || n->mux))
                n->speech->on_drained(n);
}

static void on_end(struct sg_stream *s, enum sg_stream_end why, void *owner)
{
        struct conn *n = owner;
        char text[200];

        if (n->state == CONN_LEAVING || (!n->call && !n->mux)) {
                conn_close(n);
                return;
        }
        (void)sg_str_copy(text, sizeof(text), sg_str_from(sg_stream_end_text(s))); /* it goes with the stream */
        n->speech->on_end(n, why, text);
}

static const struct sg_stream_listener listener = {
        .on_open = on_open, .on_bytes = on_bytes, .on_drained = on_drained, .on_end = on_end};

static void on_idle_over(struct sg_timer *t, void *owner)
{
        struct conn *n = owner;

        if (n->mux && n->state == CONN_BUSY) {
                mux_on_end(n, SG_STREAM_END_TIMEOUT, "the server has not begun to speak HTTP/2");
        } else if (n->mux && n->state == CONN_IDLE) {
                mux_retire(n); /* with a GOAWAY */
                mux_turn_soon(n);
        } else {
                conn_close(n);
        }
}

static int conn_new(struct conn **ret, struct pool *p, struct sg_upcall *call)
{
        struct conn *n;
        int r;

        n = calloc(1, sizeof(*n));
        if (!n)
                return -ENOMEM;
        n->loop = p->upstream->loop;
        n->pool = p;
        n->call = call;
        n->speech = &h1_speech;
        n->deferred.run = conn_run_deferred;
        r = sg_timer_init(&n->idle, n->loop, on_idle_over, n);
        if (r) {
                free(n);
                return r;
        }
        sg_h1_init(&n->h1, SG_H1_CLIENT, &(struct sg_h1_limits){.head_bytes = 0});
        *ret = n;
        return 0;
}

int conn_add_tls(struct conn *n)
{
        const struct sg_endpoint *at = &n->pool->at;
        const char *alpn = "http/1.1";
        int r;

        if (n->call->may_share)
                alpn = at->protocol == SG_PROTOCOL_HTTP2 ? "h2" : "h2,http/1.1";
        r = sg_tls_client_layer(&n->layer, at->trust, at->certificate, at->server_name.n ? at->server_name : at->host,
                                alpn);
        if (!r)
                sg_tls_apply(n->stream, n->layer);
        return r;
}

/* Many calls wait on a connection of HTTP/2, and more join them: a peer that has vanished must not have them all until
 * the kernel gives up. 20 s is what gRPC waits (its proposal A18). Through a proxy it says something of the proxy only. */
#define ACKNOWLEDGED_USEC (20 * SG_USEC_PER_SEC)

int conn_open(struct conn **ret, struct pool *p, struct sg_upcall *call, const struct sockaddr *address,
              socklen_t length)
{
        struct sg_stream_options options = {.in_bytes_max = 0};
        struct conn *n;
        int r;

        r = conn_new(&n, p, call);
        if (r)
                return r;
        if (call->may_share)
                options.acknowledged_usec = ACKNOWLEDGED_USEC;
        r = sg_stream_new_connect(&n->stream, n->loop, address, length, &options, &listener, n);
        if (!r && p->at.is_tls && !p->at.proxy_host.n) {
                r = conn_add_tls(n);
                if (r)
                        sg_stream_free(n->stream);
        }
        if (r) {
                free(n);
                return r;
        }
        p->n_users++;
        conn_go(n, CONN_CONNECTING);
        p->upstream->n_opened++;
        *ret = n;
        return 0;
}

int conn_open_builtin(struct conn **ret, struct pool *p, struct sg_upcall *call)
{
        struct conn *n;
        int fd = -1, r;

        r = conn_new(&n, p, call);
        if (r)
                return r;
        r = p->at.open_builtin(p->at.builtin_owner, &fd);
        if (!r)
                r = sg_stream_new_fd(&n->stream, n->loop, fd, NULL, &listener, n);
        if (r) {
                free(n);
                return r;
        }
        p->n_users++;
        conn_go(n, CONN_BUSY);
        p->upstream->n_opened++;
        *ret = n;
        return 0;
}

static void lend(struct conn *n)
{
        struct pool *p = n->pool;

        sg_timer_stop(&n->idle);
        conn_go(n, CONN_BUSY);
        p->warm_delay_usec = 0;
        pool_check_warm(p);
}

struct conn *conn_take_idle(struct pool *p, struct sg_upcall *call)
{
        SG_LIST_EACH (&p->conns[CONN_IDLE], k) {
                struct conn *n = SG_CONTAINER(k, struct conn, link);

                if (n->mux)
                        continue;
                if (!sg_stream_is_quiet(n->stream)) {
                        conn_close(n); /* its end waits to be told, or bytes that nobody asked for came in this turn */
                        continue;
                }
                n->call = call;
                call->was_reused = true;
                p->upstream->n_reused++;
                lend(n);
                return n;
        }
        return NULL;
}

static bool is_fit(const struct conn *n, const struct sg_upcall *call)
{
        if (!n->mux->was_heard || !sg_stream_is_open(n->stream) || sg_h2_room(n->mux->codec) == 0)
                return false;
        if (n->mux->number <= call->conn_number)
                return false;
        /* It may have said goodbye; what is sent there then may not be sent again. */
        return n->state == CONN_BUSY || call->request.may_resend || sg_stream_is_quiet(n->stream);
}

struct conn *conn_take_shared(struct pool *p, struct sg_upcall *call)
{
        SG_LIST_EACH (&p->shared, k) {
                struct conn *n = SG_CONTAINER(k, struct mux, link)->conn;

                if (!is_fit(n, call))
                        continue;
                mux_attach(n, call);
                if (call->was_reused)
                        p->upstream->n_reused++;
                if (n->state == CONN_IDLE)
                        lend(n);
                return n;
        }
        return NULL;
}

void conn_release(struct conn *n)
{
        struct pool *p = n->pool;

        n->call = NULL;
        /* HTTP/1 in a pool of HTTP/2 is what a refused upgrade leaves: no other call could use it. */
        if (n->is_outdated || p->conns[CONN_IDLE].n >= p->at.pool_max ||
            (!n->mux && p->at.protocol == SG_PROTOCOL_HTTP2)) {
                conn_close(n);
                return;
        }
        conn_go(n, CONN_IDLE);
        n->idle_since_usec = sg_loop_now_usec(n->loop);
        sg_timer_start(&n->idle, p->at.idle_timeout_usec);
}

void conn_leave(struct conn *n)
{
        const bool was_idle = n->state == CONN_IDLE;

        if (sg_stream_queued(n->stream) == 0) {
                conn_close(n);
                return;
        }
        n->call = NULL;
        conn_go(n, CONN_LEAVING);
        sg_timer_start(&n->idle, n->pool->at.idle_timeout_usec);
        if (was_idle)
                lose_warmth(n);
}

/* ---- the whole */

int sg_upstream_new(struct sg_upstream **ret, struct sg_loop *l, struct sg_resolver *resolver)
{
        struct sg_upstream *u;

        u = calloc(1, sizeof(*u));
        if (!u)
                return -ENOMEM;
        u->loop = l;
        u->resolver = resolver;
        sg_buf_init(&u->out, H2_OUT_BYTES);
        for (size_t i = 0; i < N_BUCKETS; i++)
                sg_list_init(&u->buckets[i]);
        *ret = u;
        return 0;
}

static void close_everywhere(struct sg_upstream *u, enum conn_state which)
{
        for (size_t i = 0; i < N_BUCKETS; i++)
                SG_LIST_EACH (&u->buckets[i], k)
                        close_all(SG_CONTAINER(k, struct pool, link), which);
}

void sg_upstream_close_idle(struct sg_upstream *u)
{
        close_everywhere(u, CONN_IDLE);
}

struct sg_upstream *sg_upstream_free(struct sg_upstream *u)
{
        if (!u)
                return NULL;
        sg_upstream_settle_warm(u); /* nothing was named: they end */
        SG_ASSERT(u->n_calls == 0);
        close_everywhere(u, CONN_IDLE);
        close_everywhere(u, CONN_LEAVING);
        close_everywhere(u, CONN_BUSY); /* of HTTP/2, and just left by the last call */
        for (size_t i = 0; i < N_BUCKETS; i++)
                SG_ASSERT(sg_list_is_empty(&u->buckets[i]));
        sg_buf_done(&u->out);
        free(u);
        return NULL;
}

void sg_upstream_get_counts(const struct sg_upstream *u, struct sg_upstream_counts *ret)
{
        *ret = (struct sg_upstream_counts){.n_idle = u->n_conns[CONN_IDLE],
                                           .n_busy = u->n_conns[CONN_BUSY],
                                           .n_connecting = u->n_conns[CONN_CONNECTING],
                                           .n_opened = u->n_opened,
                                           .n_reused = u->n_reused};
}
