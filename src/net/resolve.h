/*
 * net/resolve.h - names to addresses by c-ares, on the loop
 *
 * Shape    a resolver per loop with a cache; literal addresses and /etc/hosts need no server
 * Units    _usec; the cache keeps an answer for its TTL within 1 s to 300 s, a failure for 1 s
 * Owner    the resolver; a query is embedded in its asker, cancelled by sg_resolve_cancel()
 * Thread   its loop's
 * Errors   told to on_resolved: 0, or a SG_RESOLVE_E_*
 * Limits   8 addresses per name (A and AAAA); 1,000 names in the cache; 5 s per query
 */
#pragma once

#include <sys/socket.h>

#include "base/list.h"
#include "loop/loop.h"

enum sg_resolve_error {
        SG_RESOLVE_E_NOT_FOUND = 1,
        SG_RESOLVE_E_FAILED, /* no server answered, or a broken answer */
};

#define SG_RESOLVE_ADDRESSES_MAX 8

struct sg_resolved {
        struct sockaddr_storage addresses[SG_RESOLVE_ADDRESSES_MAX];
        socklen_t lengths[SG_RESOLVE_ADDRESSES_MAX];
        size_t n;
        uint64_t
                until_usec; /* by the loop's clock: what the resolver tells is the same so long. Literals: SG_USEC_NEVER */
};

struct sg_resolver;
int sg_resolver_new(struct sg_resolver **ret, struct sg_loop *l) SG_MUST_CHECK;
/* Queries not yet answered are forgotten. Not from inside on_resolved. */
struct sg_resolver *sg_resolver_free(struct sg_resolver *r);
SG_DEFINE_AUTO(struct sg_resolver *, sg_resolver_free)

struct sg_resolver_options {
        const char *servers;       /* "127.0.0.1:5353,[::1]:53" in place of those of resolv.conf; NULL: the system's */
        const char *resolv_conf;   /* NULL: /etc/resolv.conf */
        uint16_t port;             /* of its name servers; 0: 53 */
        uint64_t check_every_usec; /* whether it has changed; 0: 5 s */
        uint64_t timeout_usec;     /* per query; 0: 5 s */
};
int sg_resolver_new_with(struct sg_resolver **ret, struct sg_loop *l, const struct sg_resolver_options *options)
        SG_MUST_CHECK;

struct sg_query {
        void (*on_resolved)(struct sg_query *q, int error, const struct sg_resolved *addresses, void *owner);
        void *owner;
        struct sg_link link; /* private */
        void *name;          /* private */
        uint16_t port;       /* private */
};
/* May call back at once (literals, cache) before returning. on_resolved and owner are set by the caller. */
void sg_resolve(struct sg_resolver *r, struct sg_query *q, struct sg_str host, uint16_t port);
/* No callback after this; a query that is answered or was never begun (zeroed) is left alone. */
void sg_resolve_cancel(struct sg_resolver *r, struct sg_query *q);
