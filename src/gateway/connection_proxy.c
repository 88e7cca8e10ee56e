/*
 * A connection that begins with a PROXY header: held here until the header is whole, then handed on to HTTP under the
 * address that it names. Before it there is neither TLS nor a stream; nobody is answered anything.
 *
 * Only trusted proxies are listened to. A peer that is none, and a header that is missing, broken or late, ends the connection
 * with a line in the log. A connection that closes without a byte does not: balancers look at ports in this way all day.
 *
 * Of somebody whose address the proxy does not know, the peer is "unknown behind" the proxy: an address that no list
 * has, so that what he says in Forwarded is not taken for the proxy's word.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "gateway/connection.h"
#include "gateway/forwarded.h"
#include "net/preface.h"

#define PROXY_MAGIC 0x5c11e9a0u

struct proxy {
        uint32_t magic;
        struct sg_connection conn; /* without a stream */
        struct sg_preface preface;
        int fd;               /* -1: closed, or handed on */
        const char *listener; /* lives as long as the worker */
        char peer[64];        /* the proxy's own address */
};

static struct proxy *proxy_of(struct sg_connection *conn)
{
        return SG_CONTAINER(conn, struct proxy, conn);
}

/* As for TLS: some lines are written, the rest is counted. */
static void tell(struct proxy *p, const char *words)
{
        struct sg_worker *w = p->conn.worker;
        const struct sg_log_field fields[] = {{"SCRIBE_CLIENT", sg_str_from(p->peer)},
                                              {"SCRIBE_REASON", sg_str_from(sg_failure_name(SG_FAIL_CLIENT_PROXY))},
                                              {"SCRIBE_DETAIL", sg_str_from(words)}};

        sg_count(&w->counters.by_failure[SG_FAIL_CLIENT_PROXY], 1);
        if (sg_repeats_take(&w->repeats, SG_FAIL_CLIENT_PROXY, sg_loop_now_usec(w->loop)))
                sg_log_line(SG_LOG_INFO, NULL, fields, SG_N_ELEMENTS(fields), "no PROXY header from %s: %s", p->peer,
                            words);
}

static void stop_reading(struct proxy *p)
{
        sg_preface_done(&p->preface);
        p->fd = -1;
}

static void proxy_close(struct sg_connection *conn, enum sg_failure reason)
{
        struct proxy *p = proxy_of(conn);
        int fd = p->fd;

        if (fd < 0)
                return;
        stop_reading(p);
        close(fd);
        sg_connection_closed(conn);
}

static void proxy_fail(struct proxy *p, const char *words)
{
        tell(p, words);
        proxy_close(&p->conn, SG_FAIL_CLIENT_PROXY);
}

static void name_peer(const struct proxy *p, char *out, size_t out_bytes)
{
        const struct sg_proxy_header *h = &p->preface.header;
        char ip[SG_IP_TEXT_BYTES];

        switch (h->kind) {
        case SG_PROXY_HEADER_LOCAL:
                snprintf(out, out_bytes, "%s", p->peer);
                return;
        case SG_PROXY_HEADER_UNKNOWN:
                snprintf(out, out_bytes, "unknown behind %.47s", p->peer);
                return;
        case SG_PROXY_HEADER_SOURCE:
                snprintf(out, out_bytes, h->source.n_bytes == 4 ? "%s:%u" : "[%s]:%u", sg_ip_text(&h->source, ip),
                         h->source_port);
                return;
        }
        SG_UNREACHABLE();
}

/* The new one comes before the old one goes: a worker that drains must not think that it has none left. */
static void hand_on(struct proxy *p)
{
        int fd = p->fd;
        char peer[64];

        name_peer(p, peer, sizeof(peer));
        stop_reading(p);
        sg_connection_uncount(&p->conn);
        sg_connection_begin(p->conn.worker, fd, p->listener, peer);
        sg_connection_forget(&p->conn);
}

static void on_end(struct sg_preface *preface, enum sg_preface_end end, void *owner)
{
        struct proxy *p = owner;

        switch (end) {
        case SG_PREFACE_END_HEADER:
                hand_on(p);
                return;
        case SG_PREFACE_END_EMPTY:
                proxy_close(&p->conn, SG_FAIL_NONE);
                return;
        default:
                proxy_fail(p, preface->text);
        }
}

/* ---- of the table */

static void proxy_on_time(struct sg_connection *conn)
{
        proxy_fail(proxy_of(conn), "it did not come within head_timeout");
}

static void proxy_refuse(struct sg_connection *conn, enum sg_failure f)
{
        /* Later, in HTTP, unless there is room by then. */
}

static void proxy_drain(struct sg_connection *conn)
{
        /* What was accepted may still send its request. */
}

static void proxy_cut(struct sg_connection *conn)
{
        proxy_close(conn, SG_FAIL_NONE);
}

static void proxy_free(struct sg_connection *conn)
{
        struct proxy *p = proxy_of(conn);

        SG_ASSERT(p->magic == PROXY_MAGIC && p->fd < 0);
        sg_connection_done(conn);
        p->magic = 0;
        free(p);
}

static const struct sg_connection_ops connection_ops = {
        .on_time = proxy_on_time,
        .refuse = proxy_refuse,
        .drain = proxy_drain,
        .cut = proxy_cut,
        .close = proxy_close,
        .free = proxy_free,
};

/* ---- birth */

bool sg_connection_proxy_is_expected(struct sg_worker *w, const char *listener)
{
        const struct sg_snapshot *s = atomic_load_explicit(&w->shared->snapshot, memory_order_acquire);
        const struct sg_snapshot_listener *l = sg_snapshot_listener(s, listener);

        return l && s->config->listeners[l - s->listeners].proxy_protocol;
}

static struct proxy *proxy_new(struct sg_worker *w, int fd)
{
        struct proxy *p = calloc(1, sizeof(*p));

        if (!p || sg_preface_init(&p->preface, w->loop, fd, on_end, p)) {
                free(p);
                return NULL;
        }
        if (sg_connection_init_bare(&p->conn, w, &connection_ops)) {
                sg_preface_done(&p->preface);
                free(p);
                return NULL;
        }
        p->magic = PROXY_MAGIC;
        p->fd = fd;
        return p;
}

void sg_connection_proxy_begin(struct sg_worker *w, int fd, const char *listener)
{
        struct proxy *p = proxy_new(w, fd);

        if (!p) {
                close(fd);
                return;
        }
        p->listener = listener;
        sg_address_format_peer(p->peer, sizeof(p->peer), fd);
        sg_timer_start(&p->conn.timer, p->conn.snapshot->config->head_timeout_usec);
        sg_connection_count_in(&p->conn);
        if (p->fd >= 0 && !sg_peer_is_trusted(p->conn.snapshot->config, p->peer))
                proxy_fail(p, "the peer is not among trusted_proxies");
}
