/*
 * Names move while connections live: a server that was replaced, a region that is drained. When a connection is about to
 * be taken and what was known of the name is older than its TTL, it is asked for again, and connections to where it does
 * not point any more are of no use to further calls.
 *
 * The call at hand does not wait for that: it would cost a question to the name server, and five seconds when that is
 * down. A name that cannot be resolved changes nothing.
 */
#include <string.h>

#include "base/log.h"
#include "net/listen.h"
#include "upstream/upstream_internal.h"

#define AGAIN_USEC (5 * SG_USEC_PER_SEC) /* after a failure */

void pool_resolve(struct pool *p, struct sg_query *q)
{
        const struct sg_endpoint *at = &p->at;

        if (at->proxy_host.n)
                sg_resolve(p->upstream->resolver, q, at->proxy_host, at->proxy_port);
        else
                sg_resolve(p->upstream->resolver, q, at->host, at->port);
}

void pool_learn_name(struct pool *p, const struct sg_resolved *found)
{
        p->known_until_usec = found->until_usec;
}

static bool is_among(const struct sg_resolved *found, const struct conn *n)
{
        char text[64];

        for (size_t i = 0; i < found->n; i++) {
                sg_address_format(text, sizeof(text), (const struct sockaddr *)&found->addresses[i], found->lengths[i]);
                if (strcmp(text, sg_stream_peer(n->stream)) == 0)
                        return true;
        }
        return false;
}

/* Of those in this state; what is busy is not taken again. */
static void leave_others(struct pool *p, enum conn_state state, const struct sg_resolved *found)
{
        SG_LIST_EACH (&p->conns[state], k) {
                struct conn *n = SG_CONTAINER(k, struct conn, link);

                if (n->is_outdated || is_among(found, n))
                        continue;
                sg_debug("upstream %s: the name points elsewhere", sg_stream_peer(n->stream));
                n->is_outdated = true;
                if (n->mux)
                        mux_retire(n);
                else if (state == CONN_IDLE)
                        conn_close(n);
        }
}

static void on_checked(struct sg_query *q, int error, const struct sg_resolved *found, void *owner)
{
        struct pool *p = owner;

        if (error) {
                p->known_until_usec = sg_loop_now_usec(p->upstream->loop) + AGAIN_USEC;
                return;
        }
        pool_learn_name(p, found);
        p->n_users++; /* the last connection must not take the pool along */
        leave_others(p, CONN_BUSY, found);
        leave_others(p, CONN_IDLE, found);
        pool_put(p);
}

void pool_check_name(struct pool *p)
{
        if (p->known_until_usec > sg_loop_now_usec(p->upstream->loop) || sg_link_is_on_list(&p->check.link))
                return;
        p->known_until_usec = SG_USEC_NEVER;
        p->check = (struct sg_query){.on_resolved = on_checked, .owner = p};
        pool_resolve(p, &p->check);
}
