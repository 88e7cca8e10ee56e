/*
 * The life of a call:
 *
 *      new -> (queued ->) [resolving -> connecting -> (tunnelling ->)] sending -> waiting -> answering -> done -> freed
 *                                                                        waiting -> switched -> (half ->) done
 *
 * A connection from the pool skips the bracket; tunnelling is where there is a proxy. Queued is who waits for a
 * connection that another call makes, as HTTP/2 will carry both (call_seek()). Any state may end in done: by a
 * fault, or with the answer complete. From sending and waiting a call goes back into the bracket once, when a pooled
 * connection breaks without a byte of answer. An answer may come while the request is still being sent (sending ->
 * answering): the rest of a body that was given whole is not sent then, one that is streamed may go on. Switched is the
 * tunnel behind an upgrade, half that tunnel once its server has ended.
 *
 * The owner may free the call in any callback, so that after each the state is looked at again. Its memory goes at the
 * end of the turn.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "upstream/upstream_internal.h"

static void enter_queued(struct sg_upcall *c);
static void enter_sending(struct sg_upcall *c);
static void queued_too_long(struct sg_upcall *c);
static void enter_freed(struct sg_upcall *c);

#define MAY(state) (UINT32_C(1) << (state))
#define MAY_END    (MAY(CALL_DONE) | MAY(CALL_FREED))
#define MAY_OPEN   (MAY(CALL_RESOLVING) | MAY(CALL_CONNECTING))
#define MAY_SEEK   (MAY_OPEN | MAY(CALL_QUEUED) | MAY(CALL_SENDING))

static const struct call_step {
        const char *name;
        void (*enter)(struct sg_upcall *c);
        void (*on_timer)(struct sg_upcall *c); /* the only timer: connect */
        uint32_t may_follow;
} steps[CALL_STATE_N] = {
        [CALL_NEW] = {"new", NULL, NULL, MAY_SEEK | MAY_END},
        [CALL_QUEUED] = {"queued", enter_queued, queued_too_long, MAY_OPEN | MAY(CALL_SENDING) | MAY_END},
        [CALL_RESOLVING] = {"resolving", call_enter_resolving, call_resolving_too_long, MAY(CALL_CONNECTING) | MAY_END},
        [CALL_CONNECTING] = {"connecting", call_enter_connecting, call_connecting_too_long,
                             MAY(CALL_TUNNELLING) | MAY(CALL_SENDING) | MAY_END},
        [CALL_TUNNELLING] = {"tunnelling", call_enter_tunnelling, call_tunnelling_too_long,
                             MAY(CALL_SENDING) | MAY_END},
        [CALL_SENDING] = {"sending", enter_sending, NULL, MAY(CALL_WAITING) | MAY(CALL_ANSWERING) | MAY_SEEK | MAY_END},
        [CALL_WAITING] = {"waiting", NULL, NULL, MAY(CALL_ANSWERING) | MAY(CALL_SWITCHED) | MAY_SEEK | MAY_END},
        [CALL_ANSWERING] = {"answering", NULL, NULL, MAY_END},
        [CALL_SWITCHED] = {"switched", NULL, NULL, MAY(CALL_HALF) | MAY_END},
        [CALL_HALF] = {"half", NULL, NULL, MAY_END},
        [CALL_DONE] = {"done", NULL, NULL, MAY(CALL_FREED)},
        [CALL_FREED] = {"freed", enter_freed, NULL, 0},
};

static void opening_is_over(struct pool *p)
{
        p->opener = NULL;
        pool_wake(p);
}

void call_go(struct sg_upcall *c, enum call_state to)
{
        SG_ASSERT(steps[c->state].may_follow & MAY(to));
        if (c->state == CALL_QUEUED)
                sg_list_remove(&c->pool->waiters, &c->queue);
        if (c->pool->opener == c && !(MAY(to) & (MAY_OPEN | MAY(CALL_TUNNELLING))))
                opening_is_over(c->pool);
        sg_debug("upcall %p: %s -> %s", (void *)c, steps[c->state].name, steps[to].name);
        c->state = to;
        if (!steps[to].on_timer)
                sg_timer_stop(&c->connect);
        if (steps[to].enter)
                steps[to].enter(c);
}

const char *sg_upstream_fault_name(enum sg_upstream_fault f)
{
        static const char *const names[SG_UPSTREAM_F_N] = {
                [SG_UPSTREAM_F_RESOLVE] = "resolve", [SG_UPSTREAM_F_CONNECT] = "connect",
                [SG_UPSTREAM_F_TIMEOUT] = "timeout", [SG_UPSTREAM_F_TLS] = "tls",
                [SG_UPSTREAM_F_RESET] = "reset",     [SG_UPSTREAM_F_TRUNCATED] = "truncated",
                [SG_UPSTREAM_F_GARBAGE] = "garbage", [SG_UPSTREAM_F_RESOURCES] = "resources",
        };

        return f < SG_UPSTREAM_F_N ? names[f] : "unknown";
}

/* ---- ends */

void call_drop_connection(struct sg_upcall *c)
{
        c->owes_sent = false;
        if (c->conn)
                c->conn->speech->leave(c);
}

#define NAME_BYTES 320u

static size_t add_host(char *out, size_t room, struct sg_str host, unsigned port)
{
        const bool is_v6 = sg_str_find_byte(host, ':') < host.n;
        const int n = snprintf(out, room, "%s" SG_STR_FMT "%s:%u", is_v6 ? "[" : "", SG_STR_ARG(host), is_v6 ? "]" : "",
                               port);

        return n < 0 ? 0 : SG_MIN((size_t)n, room - 1);
}

/* "api.example:443 through the proxy 10.0.0.1:3128", "unix:/run/x.sock". */
static const char *name_endpoint(const struct sg_endpoint *at, char out[NAME_BYTES])
{
        size_t n;

        if (at->socket_path.n) {
                (void)snprintf(out, NAME_BYTES, "unix:" SG_STR_FMT, SG_STR_ARG(at->socket_path));
                return out;
        }
        n = add_host(out, NAME_BYTES, at->host, at->port);
        if (at->proxy_host.n) {
                n += (size_t)snprintf(out + n, NAME_BYTES - n, " through the proxy ");
                if (n < NAME_BYTES)
                        (void)add_host(out + n, NAME_BYTES - n, at->proxy_host, at->proxy_port);
        }
        return out;
}

/* opened: where others waited for what the call has failed to open. They would fare no better. */
static void fail_with(struct sg_upcall *c, enum sg_upstream_fault why, const char *words, struct pool *opened)
{
        if (opened) {
                opened->n_users++;
                opened->opener = NULL;
        }
        call_drop_connection(c);
        call_go(c, CALL_DONE);
        c->listener->on_failed(c, why, words, c->owner);
        if (!opened)
                return;
        for (size_t n = opened->waiters.n; n > 0 && !sg_list_is_empty(&opened->waiters); n--)
                fail_with(SG_CONTAINER(sg_list_first(&opened->waiters), struct sg_upcall, queue), why, words, NULL);
        pool_put(opened);
}

void call_fail(struct sg_upcall *c, enum sg_upstream_fault why, const char *doing, const char *text)
{
        struct pool *p = c->pool->opener == c ? c->pool : NULL;
        char where[NAME_BYTES], words[512];
        const bool has_peer = c->peer[0] && !c->pool->at.socket_path.n;

        (void)snprintf(words, sizeof(words), "%s %s%s%s%s: %s", doing, name_endpoint(&c->pool->at, where),
                       has_peer ? " (" : "", has_peer ? c->peer : "", has_peer ? ")" : "", text);
        fail_with(c, why, words, p);
}

void call_finish(struct sg_upcall *c)
{
        call_go(c, CALL_DONE);
        c->listener->on_end(c, c->owner);
}

static void enter_freed(struct sg_upcall *c)
{
        struct sg_upstream *u = c->upstream;

        call_drop_connection(c);
        sg_resolve_cancel(u->resolver, &c->query);
        sg_timer_done(&c->connect);
        free(c->addresses);
        c->addresses = NULL;
        sg_buf_done(&c->kept);
        free(c->trailers);
        c->trailers = NULL;
        pool_put(SG_GIVE(c->pool));
        u->n_calls--;
        sg_loop_defer(c->loop, &c->deferred);
}

struct sg_upcall *sg_upcall_free(struct sg_upcall *c)
{
        if (c)
                call_go(c, CALL_FREED);
        return NULL;
}

/* ---- to a connection */

void call_seek(struct sg_upcall *c)
{
        struct pool *p = c->pool;

        pool_check_name(p);
        if (c->may_share)
                c->conn = conn_take_shared(p, c);
        if (!c->conn && !c->was_resent && !(c->may_share && p->at.protocol == SG_PROTOCOL_HTTP2))
                c->conn = conn_take_idle(p, c);
        if (c->conn)
                call_go(c, CALL_SENDING);
        else if (!c->may_share || !pool_is_opening(p))
                call_begin_fresh(c);
        else if (c->state != CALL_QUEUED)
                call_go(c, CALL_QUEUED);
}

static void enter_queued(struct sg_upcall *c)
{
        sg_list_push(&c->pool->waiters, &c->queue);
        sg_timer_start(&c->connect, c->pool->at.connect_timeout_usec);
}

static void queued_too_long(struct sg_upcall *c)
{
        call_fail(c, SG_UPSTREAM_F_TIMEOUT, "cannot connect to", "no connection within the time to connect");
}

static void enter_sending(struct sg_upcall *c)
{
        c->has_answer_bytes = c->is_interim = c->may_keep = c->is_whole = c->owes_sent = false;
        c->piece = c->offset = 0;
        c->n_given = 0;
        c->is_h2 = c->conn->mux;
        (void)sg_str_copy(c->peer, sizeof(c->peer), sg_str_from(sg_stream_peer(c->conn->stream)));
        c->conn->speech->begin(c);
}

void call_sent(struct sg_upcall *c)
{
        c->is_whole = true;
        if (c->state == CALL_SENDING)
                call_go(c, CALL_WAITING);
        c->owes_sent = true;
}

/* Before the answer's head or, when the end of the body comes behind that, before the answer's end, at the latest. */
void call_tell_sent(struct sg_upcall *c)
{
        if (!c->owes_sent)
                return;
        c->owes_sent = false;
        if (c->listener->on_sent)
                c->listener->on_sent(c, c->owner);
}

/* Nothing was asked for but the connection. */
static void finish_warming(struct sg_upcall *c)
{
        sg_stream_resume(c->conn->stream);
        conn_release(SG_GIVE(c->conn));
        call_go(c, CALL_DONE);
        c->listener->on_end(c, c->owner);
}

/* What ALPN has chosen; in the clear, what is known. False when the call has failed. */
static bool choose_speech(struct sg_upcall *c)
{
        const bool is_known = !c->conn->layer, must_h2 = c->pool->at.protocol == SG_PROTOCOL_HTTP2;
        const bool is_h2 = c->may_share && (is_known || sg_tls_chose_h2(c->conn->layer));

        if (c->may_share)
                c->pool->is_h1 = !is_h2;
        if (c->may_share && must_h2 && !is_h2) {
                call_fail(c, SG_UPSTREAM_F_TLS, "TLS with", "the server does not offer HTTP/2 (ALPN \"h2\")");
                return false;
        }
        if (is_h2 && mux_new(c->conn)) {
                call_fail(c, SG_UPSTREAM_F_RESOURCES, "cannot connect to", strerrordesc_np(ENOMEM));
                return false;
        }
        return true;
}

void call_connected(struct sg_upcall *c)
{
        conn_go(c->conn, CONN_BUSY);
        if (!choose_speech(c))
                return;
        if (c->is_warming)
                finish_warming(c);
        else if (c->conn->mux)
                mux_attach(c->conn, c);
        if (!c->is_warming)
                call_go(c, CALL_SENDING);
}

void call_on_open(struct sg_upcall *c)
{
        if (c->state == CALL_CONNECTING && c->pool->at.proxy_host.n)
                call_go(c, CALL_TUNNELLING);
        else
                call_connected(c);
}

/* ---- when the connection breaks */

static bool may_try_again(const struct sg_upcall *c)
{
        return c->was_reused && c->request.may_resend && !c->was_resent && !c->has_answer_bytes;
}

void call_broken(struct sg_upcall *c, enum sg_stream_end why, const char *text)
{
        if (may_try_again(c)) {
                c->was_resent = true;
                call_drop_connection(c);
                call_seek(c);
        } else if (why == SG_STREAM_END_TLS && !c->has_answer_bytes) {
                call_fail(c, SG_UPSTREAM_F_TLS, "TLS with",
                          text); /* TLS 1.3: a refusal of our certificate comes late */
        } else if (why == SG_STREAM_END_ERROR && !c->has_answer_bytes) {
                call_fail(c, SG_UPSTREAM_F_RESOURCES, "cannot send to", text);
        } else if (c->has_answer_bytes) {
                call_fail(c, SG_UPSTREAM_F_TRUNCATED, "answer cut off by", text);
        } else {
                call_fail(c, SG_UPSTREAM_F_RESET, "no answer from", text);
        }
}

/* ---- calls */

static void on_connect_time(struct sg_timer *t, void *owner)
{
        struct sg_upcall *c = owner;

        SG_ASSERT(steps[c->state].on_timer);
        steps[c->state].on_timer(c);
}

static void run_deferred(struct sg_deferred *d)
{
        struct sg_upcall *c = SG_CONTAINER(d, struct sg_upcall, deferred);

        if (c->state == CALL_FREED) {
                free(c);
                return;
        }
        call_tell_sent(c);
        if (c->state == CALL_FREED)
                return; /* just now, and deferred anew for that */
        if (c->state == CALL_NEW && c->is_warming)
                call_begin_fresh(c);
        else if (c->state == CALL_NEW || c->state == CALL_QUEUED)
                call_seek(c);
        else if (c->is_h2)
                call_h2_go_on(c);
        else
                call_h1_go_on(c);
}

/* HTTP/1.1 is left for upgrades; in the clear nothing tells whether HTTP/2 is spoken but the operator. */
static bool may_share(const struct sg_upcall_request *request, const struct sg_endpoint *at)
{
        if (request->upgrade.n || at->open_builtin)
                return false;
        return at->protocol == SG_PROTOCOL_HTTP2 || (at->protocol == SG_PROTOCOL_AUTO && at->is_tls);
}

int sg_upcall_new(struct sg_upcall **ret, struct sg_upstream *u, const struct sg_endpoint *endpoint,
                  const struct sg_upcall_request *request, const struct sg_upcall_listener *listener, void *owner)
{
        struct sg_upcall *c;
        int r;

        SG_ASSERT(listener->on_head && listener->on_body && listener->on_end && listener->on_failed);
        SG_ASSERT(listener->on_room || (request->kind != SG_UPCALL_BODY_STREAM && !request->upgrade.n));
        SG_ASSERT(request->kind != SG_UPCALL_BODY_STREAM || !request->upgrade.n);
        c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;
        c->upstream = u;
        c->loop = u->loop;
        c->request = *request;
        c->may_share = may_share(request, endpoint);
        sg_buf_init(&c->kept, SIZE_MAX); /* the window is its limit */
        c->listener = listener;
        c->owner = owner;
        c->deferred.run = run_deferred;
        r = sg_timer_init(&c->connect, u->loop, on_connect_time, c);
        if (!r)
                r = pool_get(&c->pool, u, endpoint);
        if (r) {
                free(c);
                return r;
        }
        u->n_calls++;
        sg_loop_defer(u->loop, &c->deferred);
        *ret = c;
        return 0;
}

void sg_upcall_pause(struct sg_upcall *c)
{
        c->is_paused = true;
        if (c->conn && c->conn->speech->pause)
                c->conn->speech->pause(c);
}

void sg_upcall_resume(struct sg_upcall *c)
{
        c->is_paused = false;
        if (c->conn && c->conn->speech->resume)
                c->conn->speech->resume(c);
        if (c->is_h2 || c->waits_for_end)
                sg_loop_defer(c->loop, &c->deferred);
}

bool call_takes_pieces(const struct sg_upcall *c)
{
        if (!c->conn)
                return false;
        return c->state == CALL_SWITCHED || c->state == CALL_HALF ||
               (c->request.kind == SG_UPCALL_BODY_STREAM && !c->is_whole &&
                (c->state == CALL_SENDING || c->state == CALL_ANSWERING));
}

void sg_upcall_send(struct sg_upcall *c, const struct sg_str *pieces, size_t n, bool is_last)
{
        SG_ASSERT(c->state != CALL_FREED && (c->request.kind == SG_UPCALL_BODY_STREAM || c->request.upgrade.n));
        if (c->state == CALL_DONE || !c->conn || c->conn->state == CONN_CONNECTING) {
                SG_ASSERT(c->state >= CALL_ANSWERING || c->was_resent || c->n_refused);
                return;
        }
        SG_ASSERT(call_takes_pieces(c) && !c->is_whole);
        c->conn->speech->send(c, pieces, n, is_last);
}

bool sg_upcall_is_full(const struct sg_upcall *c)
{
        if (c->state == CALL_DONE)
                return false; /* it would never end */
        return !call_takes_pieces(c) || c->conn->speech->is_full(c);
}

bool sg_upcall_is_h2(const struct sg_upcall *c)
{
        return c->is_h2;
}

uint64_t sg_upcall_n_given(const struct sg_upcall *c)
{
        return c->n_given;
}

bool sg_upcall_forbid_resend(struct sg_upcall *c)
{
        if (c->state < CALL_SENDING)
                return false;
        c->request.may_resend = false;
        return true;
}
