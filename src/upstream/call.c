/*
 * The life of a call:
 *
 *      new -> [resolving -> connecting -> (tunnelling ->)] sending -> waiting -> answering -> done -> freed
 *                                                                        waiting -> switched -> (half ->) done
 *
 * A connection from the pool skips the bracket; tunnelling is where there is a proxy. Any state may end in done: by a
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

static void enter_sending(struct sg_upcall *c);
static void enter_freed(struct sg_upcall *c);

#define MAY(state) (UINT32_C(1) << (state))
#define MAY_END    (MAY(CALL_DONE) | MAY(CALL_FREED))
#define MAY_RETRY  (MAY(CALL_RESOLVING) | MAY(CALL_CONNECTING))

static const struct call_step {
        const char *name;
        void (*enter)(struct sg_upcall *c);
        void (*on_timer)(struct sg_upcall *c); /* the only timer: connect */
        uint32_t may_follow;
} steps[CALL_STATE_N] = {
        [CALL_NEW] = {"new", NULL, NULL, MAY_RETRY | MAY(CALL_SENDING) | MAY_END},
        [CALL_RESOLVING] = {"resolving", call_enter_resolving, call_resolving_too_long, MAY(CALL_CONNECTING) | MAY_END},
        [CALL_CONNECTING] = {"connecting", call_enter_connecting, call_connecting_too_long,
                             MAY(CALL_TUNNELLING) | MAY(CALL_SENDING) | MAY_END},
        [CALL_TUNNELLING] = {"tunnelling", call_enter_tunnelling, call_tunnelling_too_long,
                             MAY(CALL_SENDING) | MAY_END},
        [CALL_SENDING] = {"sending", enter_sending, NULL,
                          MAY(CALL_WAITING) | MAY(CALL_ANSWERING) | MAY_RETRY | MAY_END},
        [CALL_WAITING] = {"waiting", NULL, NULL, MAY(CALL_ANSWERING) | MAY(CALL_SWITCHED) | MAY_RETRY | MAY_END},
        [CALL_ANSWERING] = {"answering", NULL, NULL, MAY_END},
        [CALL_SWITCHED] = {"switched", NULL, NULL, MAY(CALL_HALF) | MAY_END},
        [CALL_HALF] = {"half", NULL, NULL, MAY_END},
        [CALL_DONE] = {"done", NULL, NULL, MAY(CALL_FREED)},
        [CALL_FREED] = {"freed", enter_freed, NULL, 0},
};

void call_go(struct sg_upcall *c, enum call_state to)
{
        SG_ASSERT(steps[c->state].may_follow & MAY(to));
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
                conn_close(SG_GIVE(c->conn));
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

void call_fail(struct sg_upcall *c, enum sg_upstream_fault why, const char *doing, const char *text)
{
        char where[NAME_BYTES], words[512];
        const bool has_peer = c->peer[0] && !c->pool->at.socket_path.n;

        (void)snprintf(words, sizeof(words), "%s %s%s%s%s: %s", doing, name_endpoint(&c->pool->at, where),
                       has_peer ? " (" : "", has_peer ? c->peer : "", has_peer ? ")" : "", text);
        call_drop_connection(c);
        call_go(c, CALL_DONE);
        c->listener->on_failed(c, why, words, c->owner);
}

void call_finish(struct sg_upcall *c, bool has_more_bytes)
{
        struct conn *n;

        call_tell_sent(c);
        if (!c->conn)
                return;
        n = SG_GIVE(c->conn);
        if (c->may_keep && c->is_whole && !has_more_bytes && sg_stream_is_open(n->stream) &&
            sg_stream_queued(n->stream) == 0)
                conn_release(n);
        else
                conn_close(n);
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

/* ---- connected */

static void enter_sending(struct sg_upcall *c)
{
        c->has_answer_bytes = c->is_interim = c->may_keep = c->is_whole = c->owes_sent = false;
        c->n_given = 0;
        (void)sg_str_copy(c->peer, sizeof(c->peer), sg_str_from(sg_stream_peer(c->conn->stream)));
        if (c->is_paused)
                sg_upcall_pause(c);
        else if (!c->was_reused)
                sg_stream_resume(c->conn->stream); /* an idle one is read from already */
        h1_send_request(c);
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

void call_connected(struct sg_upcall *c)
{
        conn_go(c->conn, CONN_BUSY);
        if (c->is_warming)
                finish_warming(c);
        else
                call_go(c, CALL_SENDING);
}

void call_on_open(struct sg_upcall *c)
{
        if (c->state == CALL_CONNECTING && c->pool->at.proxy_host.n)
                call_go(c, CALL_TUNNELLING);
        else
                call_connected(c);
}

static bool is_tunnel(const struct sg_upcall *c)
{
        return c->state == CALL_SWITCHED || c->state == CALL_HALF;
}

/* Whether sg_upcall_send() is heard. */
static bool takes_pieces(const struct sg_upcall *c)
{
        return is_tunnel(c) || (c->request.kind == SG_UPCALL_BODY_STREAM && !c->is_whole &&
                                (c->state == CALL_SENDING || c->state == CALL_ANSWERING));
}

void call_on_drained(struct sg_upcall *c)
{
        if (takes_pieces(c) && !c->is_whole)
                c->listener->on_room(c, c->owner);
        else if (c->state == CALL_SENDING)
                h1_send_more(c);
}

/* ---- what the stream tells */

size_t call_on_bytes(struct sg_upcall *c, struct sg_str bytes)
{
        if (c->state == CALL_TUNNELLING)
                return call_tunnel_bytes(c, bytes);
        if (c->state == CALL_SWITCHED) {
                c->listener->on_body(c, bytes, c->owner);
                return bytes.n;
        }
        c->has_answer_bytes = true;
        return h1_take_answer(c, bytes);
}

static bool may_try_again(const struct sg_upcall *c)
{
        return c->was_reused && c->request.may_resend && !c->was_resent && !c->has_answer_bytes;
}

/* The connection ended while the request was sent or the answer read. */
static void broken(struct sg_upcall *c, enum sg_stream_end why, const char *text)
{
        struct sg_h1_event event;

        if (c->state == CALL_ANSWERING && why == SG_STREAM_END_EOF && sg_h1_eof(&c->conn->h1, &event) == 0 &&
            event.kind == SG_H1_END) {
                c->may_keep = false;
                call_finish(c, false);
        } else if (may_try_again(c)) {
                c->was_resent = true;
                call_drop_connection(c);
                call_begin_fresh(c);
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

/* The directions end one by one. The connection closes with the second, once what was given it last has left. */
static void tunnel_ended(struct sg_upcall *c, enum sg_stream_end why, const char *text)
{
        if (c->state == CALL_HALF) {
                call_drop_connection(c);
                call_go(c, CALL_DONE);
        } else if (why != SG_STREAM_END_EOF) {
                call_fail(c, SG_UPSTREAM_F_TRUNCATED, "tunnel cut off by", text);
        } else {
                if (c->is_whole)
                        conn_leave(SG_GIVE(c->conn));
                call_go(c, c->is_whole ? CALL_DONE : CALL_HALF);
                c->listener->on_end(c, c->owner);
        }
}

void call_on_end(struct sg_upcall *c, enum sg_stream_end why, const char *text)
{
        char kept[200];

        /* The words belong to the stream, which goes with the connection. */
        (void)snprintf(kept, sizeof(kept), "%s", text);
        if (c->state == CALL_CONNECTING)
                call_connecting_failed(c, why, kept);
        else if (c->state == CALL_TUNNELLING)
                call_tunnelling_failed(c, why, kept);
        else if (is_tunnel(c))
                tunnel_ended(c, why, kept);
        else
                broken(c, why, kept);
}

/* ---- calls */

static void start(struct sg_upcall *c)
{
        if (!c->is_warming)
                c->conn = conn_take_idle(c->pool, c);
        if (!c->conn) {
                call_begin_fresh(c);
                return;
        }
        c->was_reused = true;
        call_go(c, CALL_SENDING);
}

static void on_connect_time(struct sg_timer *t, void *owner)
{
        struct sg_upcall *c = owner;

        SG_ASSERT(steps[c->state].on_timer);
        steps[c->state].on_timer(c);
}

static void run_deferred(struct sg_deferred *d)
{
        struct sg_upcall *c = SG_CONTAINER(d, struct sg_upcall, deferred);

        call_tell_sent(c);
        if (c->state == CALL_FREED)
                free(c);
        else if (c->state == CALL_NEW)
                start(c);
        else if (c->state == CALL_ANSWERING && c->waits_for_end && !c->is_paused)
                (void)h1_take_answer(c, SG_STR_NONE);
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
        if (!c->conn)
                return;
        /* The end of a close-delimited answer must wait for its bytes. */
        sg_stream_watch_eof(c->conn->stream, false);
        sg_stream_pause(c->conn->stream);
}

void sg_upcall_resume(struct sg_upcall *c)
{
        c->is_paused = false;
        if (!c->conn)
                return;
        sg_stream_watch_eof(c->conn->stream, true);
        sg_stream_resume(c->conn->stream);
        if (c->waits_for_end)
                sg_loop_defer(c->loop, &c->deferred);
}

/* ---- streaming */

static void tunnel_send(struct sg_upcall *c, const struct sg_str *pieces, size_t n, bool is_last)
{
        (void)!sg_stream_write(c->conn->stream, pieces, n); /* what fails is told later in this turn */
        if (!is_last)
                return;
        c->is_whole = true;
        sg_stream_shutdown(c->conn->stream);
        if (c->state != CALL_HALF)
                return;
        conn_leave(SG_GIVE(c->conn));
        call_go(c, CALL_DONE);
}

void sg_upcall_send(struct sg_upcall *c, const struct sg_str *pieces, size_t n, bool is_last)
{
        SG_ASSERT(c->state != CALL_FREED && (c->request.kind == SG_UPCALL_BODY_STREAM || c->request.upgrade.n));
        if (c->state == CALL_DONE || !c->conn || c->conn->state == CONN_CONNECTING) {
                SG_ASSERT(c->state == CALL_DONE || c->was_resent);
                return;
        }
        SG_ASSERT(takes_pieces(c) && !c->is_whole);
        if (is_tunnel(c))
                tunnel_send(c, pieces, n, is_last);
        else
                h1_send(c, pieces, n, is_last);
}

bool sg_upcall_is_full(const struct sg_upcall *c)
{
        if (c->state == CALL_DONE)
                return false; /* it would never end */
        return !takes_pieces(c) || sg_stream_is_full(c->conn->stream);
}

uint64_t sg_upcall_n_given(const struct sg_upcall *c)
{
        return c->n_given;
}

void sg_upcall_forbid_resend(struct sg_upcall *c)
{
        c->request.may_resend = false;
}
