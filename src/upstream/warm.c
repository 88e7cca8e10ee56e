/*
 * Connections ahead of need. A pool that is to be kept warm opens what its idle ones lack, a few at a time, by calls that
 * have no request (warmers). While all goes well the next is opened at once; after a failure, or when the peer closes a
 * connection that was hardly open, later and later: a provider that is down, or that wants no idle connections, is not
 * knocked at all day.
 *
 * Connections in use do not count: as many as wanted are ready beside them. What a busy time leaves over stays until
 * idle_timeout, as always.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "upstream/upstream_internal.h"

#define DELAY_USEC_MIN  (100 * SG_USEC_PER_MSEC)
#define DELAY_USEC_MAX  (30 * SG_USEC_PER_SEC)
#define LASTED_USEC_MIN SG_USEC_PER_SEC /* a connection that lived so long was worth opening */
#define AT_ONCE_MAX     8u

struct warmer {
        struct sg_link link; /* of pool->warmers */
        struct pool *pool;
        struct sg_upcall *call;
};

static void warmer_free(struct warmer *w)
{
        sg_list_remove(&w->pool->warmers, &w->link);
        sg_upcall_free(w->call);
        free(w);
}

static void wait_longer(struct pool *p)
{
        p->warm_delay_usec = SG_MIN(SG_MAX(2 * p->warm_delay_usec, DELAY_USEC_MIN), DELAY_USEC_MAX);
}

static void on_head(struct sg_upcall *c, const struct sg_head *head, void *owner)
{
        SG_UNREACHABLE();
}

static void on_body(struct sg_upcall *c, struct sg_str bytes, void *owner)
{
        SG_UNREACHABLE();
}

static void on_end(struct sg_upcall *c, void *owner)
{
        struct warmer *w = owner;
        struct pool *p = w->pool;

        warmer_free(w);
        pool_check_warm(p);
}

static void on_failed(struct sg_upcall *c, enum sg_upstream_fault why, const char *text, void *owner)
{
        struct warmer *w = owner;
        struct pool *p = w->pool;

        sg_debug("upstream: no warm connection: %s", text);
        warmer_free(w);
        wait_longer(p);
        pool_check_warm(p);
}

static const struct sg_upcall_listener listener = {
        .on_head = on_head, .on_body = on_body, .on_end = on_end, .on_failed = on_failed};

static int warmer_new(struct pool *p)
{
        static const struct sg_upcall_request nothing;
        struct warmer *w = calloc(1, sizeof(*w));
        int r;

        if (!w)
                return -ENOMEM;
        w->pool = p;
        r = sg_upcall_new(&w->call, p->upstream, &p->at, &nothing, &listener, w);
        if (r) {
                free(w);
                return r;
        }
        w->call->is_warming = true;
        sg_list_push(&p->warmers, &w->link);
        return 0;
}

static size_t n_lacking(const struct pool *p)
{
        const size_t n = p->conns[CONN_IDLE].n + p->warmers.n;

        /* One of HTTP/2 serves all, in use or not. */
        if (!sg_list_is_empty(&p->shared) || p->opener)
                return 0;
        if (p->is_warm && p->at.protocol != SG_PROTOCOL_HTTP1 && !p->is_h1)
                return n == 0;
        return p->is_warm && p->at.n_warm > n ? p->at.n_warm - n : 0;
}

static void on_warm_time(struct sg_timer *t, void *owner)
{
        struct pool *p = owner;

        while (n_lacking(p) && p->warmers.n < AT_ONCE_MAX)
                if (warmer_new(p)) {
                        wait_longer(p);
                        sg_timer_start(&p->warm, p->warm_delay_usec);
                        return;
                }
}

void pool_check_warm(struct pool *p)
{
        if (n_lacking(p) && p->warmers.n < AT_ONCE_MAX && !sg_timer_is_running(&p->warm))
                sg_timer_start(&p->warm, p->warm_delay_usec);
}

void pool_warmth_lost(struct pool *p, uint64_t lasted_usec)
{
        if (!p->is_warm)
                return;
        if (lasted_usec >= LASTED_USEC_MIN)
                p->warm_delay_usec = 0;
        else
                wait_longer(p);
        pool_check_warm(p);
}

/* ---- which */

static void begin(struct pool *p)
{
        p->is_warm = true;
        p->warm_delay_usec = 0;
        p->n_users++;
}

static void end(struct pool *p)
{
        while (!sg_list_is_empty(&p->warmers))
                warmer_free(SG_CONTAINER(sg_list_first(&p->warmers), struct warmer, link));
        sg_timer_done(&p->warm);
        p->is_warm = false;
        p->at.n_warm = 0;
        pool_put(p);
}

int sg_upstream_keep_warm(struct sg_upstream *u, const struct sg_endpoint *at)
{
        struct pool *p;
        int r;

        if (at->n_warm == 0)
                return 0;
        r = pool_get(&p, u, at);
        if (r)
                return r;
        if (!p->is_warm) {
                r = sg_timer_init(&p->warm, u->loop, on_warm_time, p);
                if (!r)
                        begin(p);
        }
        if (!r)
                p->n_warm_next = SG_MAX(p->n_warm_next, SG_MIN(at->n_warm, at->pool_max));
        pool_put(p);
        return r;
}

void sg_upstream_settle_warm(struct sg_upstream *u)
{
        for (size_t i = 0; i < N_BUCKETS; i++) {
                SG_LIST_EACH (&u->buckets[i], k) {
                        struct pool *p = SG_CONTAINER(k, struct pool, link);

                        if (!p->is_warm)
                                continue;
                        p->at.n_warm = p->n_warm_next;
                        p->n_warm_next = 0;
                        if (p->at.n_warm)
                                pool_check_warm(p);
                        else
                                end(p);
                }
        }
}
