/*
 * From a name to a connection that is open: resolving and connecting, within one time limit that the addresses share.
 * The name is the proxy's where there is one, and there is none to resolve where the server is a Unix socket.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>

#include "upstream/upstream_internal.h"

void call_begin_fresh(struct sg_upcall *c)
{
        const uint64_t limit = c->pool->at.connect_timeout_usec, now = sg_loop_now_usec(c->loop);

        c->was_reused = false;
        if (c->may_share && !c->pool->is_h1 && !c->pool->opener)
                c->pool->opener = c;
        c->connect_until_usec = limit < SG_USEC_NEVER - now ? now + limit : SG_USEC_NEVER;
        if (c->pool->at.open_builtin || c->pool->at.socket_path.n)
                call_go(c, CALL_CONNECTING);
        else
                call_go(c, CALL_RESOLVING);
}

uint64_t call_connect_time_left(struct sg_upcall *c)
{
        const uint64_t now = sg_loop_now_usec(c->loop);

        if (c->connect_until_usec == SG_USEC_NEVER)
                return SG_USEC_NEVER;
        return c->connect_until_usec > now ? c->connect_until_usec - now : 0;
}

static const char *resolving(const struct sg_upcall *c)
{
        return c->pool->at.proxy_host.n ? "cannot resolve the proxy on the way to" : "cannot resolve";
}

static void on_resolved(struct sg_query *q, int error, const struct sg_resolved *found, void *owner)
{
        struct sg_upcall *c = owner;

        if (error) {
                call_fail(c, SG_UPSTREAM_F_RESOLVE, resolving(c),
                          error == SG_RESOLVE_E_NOT_FOUND ? "no such name" : "no name server gave an answer");
                return;
        }
        pool_learn_name(c->pool, found);
        free(c->addresses);
        c->addresses = malloc(sizeof(*c->addresses));
        if (!c->addresses) {
                call_fail(c, SG_UPSTREAM_F_RESOURCES, "cannot connect to", strerrordesc_np(ENOMEM));
                return;
        }
        *c->addresses = *found;
        c->next_address = 0;
        call_go(c, CALL_CONNECTING);
}

void call_enter_resolving(struct sg_upcall *c)
{
        sg_timer_start(&c->connect, call_connect_time_left(c));
        c->query = (struct sg_query){.on_resolved = on_resolved, .owner = c};
        pool_resolve(c->pool, &c->query);
}

void call_resolving_too_long(struct sg_upcall *c)
{
        sg_resolve_cancel(c->upstream->resolver, &c->query);
        call_fail(c, SG_UPSTREAM_F_RESOLVE, resolving(c), "no answer within the time to connect");
}

/* Each address gets an equal share of the time that is left: one black hole does not use it up for the others. */
static void try_next_address(struct sg_upcall *c)
{
        for (;;) {
                const size_t i = c->next_address, n_left = c->addresses->n - i;
                const uint64_t left = call_connect_time_left(c);
                int r;

                r = conn_open(&c->conn, c->pool, c, (const struct sockaddr *)&c->addresses->addresses[i],
                              c->addresses->lengths[i]);
                c->next_address++;
                if (r == 0) {
                        (void)snprintf(c->peer, sizeof(c->peer), "%s", sg_stream_peer(c->conn->stream));
                        sg_timer_start(&c->connect, left == SG_USEC_NEVER ? left : left / n_left);
                        return;
                }
                if (n_left == 1) {
                        /* EAFNOSUPPORT is an address that this machine cannot reach; the rest is our own need. */
                        call_fail(c, r == -EAFNOSUPPORT ? SG_UPSTREAM_F_CONNECT : SG_UPSTREAM_F_RESOURCES,
                                  "cannot connect to", strerrordesc_np(-r));
                        return;
                }
        }
}

static int use_socket_path(struct sg_upcall *c)
{
        const struct sg_str path = c->pool->at.socket_path;
        struct sockaddr_un *un;

        if (path.n >= sizeof(un->sun_path))
                return -ENAMETOOLONG;
        free(c->addresses);
        c->next_address = 0;
        c->addresses = calloc(1, sizeof(*c->addresses));
        if (!c->addresses)
                return -ENOMEM;
        un = (void *)&c->addresses->addresses[0];
        un->sun_family = AF_UNIX;
        memcpy(un->sun_path, path.p, path.n);
        c->addresses->lengths[0] = sizeof(*un);
        c->addresses->n = 1;
        return 0;
}

void call_enter_connecting(struct sg_upcall *c)
{
        int r = c->pool->at.socket_path.n ? use_socket_path(c) : 0;

        if (r) {
                call_fail(c, SG_UPSTREAM_F_RESOURCES, "cannot connect to", strerrordesc_np(-r));
                return;
        }
        if (!c->pool->at.open_builtin) {
                try_next_address(c);
                return;
        }
        r = conn_open_builtin(&c->conn, c->pool, c);
        if (r)
                call_fail(c, SG_UPSTREAM_F_RESOURCES, "cannot open the built-in", strerrordesc_np(-r));
        else
                call_go(c, CALL_SENDING);
}

static bool has_next_address(const struct sg_upcall *c)
{
        return c->addresses && c->next_address < c->addresses->n;
}

void call_connecting_too_long(struct sg_upcall *c)
{
        char text[96];

        if (has_next_address(c) && call_connect_time_left(c)) {
                call_drop_connection(c);
                try_next_address(c);
                return;
        }
        (void)snprintf(text, sizeof(text), "not connected%s within %" PRIu64 " ms",
                       c->pool->at.is_tls ? " and secured" : "",
                       (uint64_t)(c->pool->at.connect_timeout_usec / SG_USEC_PER_MSEC));
        call_fail(c, SG_UPSTREAM_F_TIMEOUT, "cannot connect to", text);
}

void call_connecting_failed(struct sg_upcall *c, enum sg_stream_end why, const char *text)
{
        char kept[200];

        if (why == SG_STREAM_END_TLS) {
                (void)snprintf(kept, sizeof(kept), "%s", text); /* the words are the stream's */
                call_fail(c, SG_UPSTREAM_F_TLS, "TLS with", kept);
        } else if (has_next_address(c)) {
                call_drop_connection(c);
                try_next_address(c);
        } else if (why == SG_STREAM_END_TIMEOUT) {
                call_fail(c, SG_UPSTREAM_F_TIMEOUT, "cannot connect to", text);
        } else if (why == SG_STREAM_END_ERROR && !c->pool->at.socket_path.n) {
                call_fail(c, SG_UPSTREAM_F_RESOURCES, "cannot connect to", text);
        } else {
                call_fail(c, SG_UPSTREAM_F_CONNECT, "cannot connect to", text);
        }
}
