/*
 * upstream/upstream.h - connections to endpoints: resolved, connected, pooled, one exchange at a time
 *
 * Shape    a sg_upstream per worker holds pools by endpoint; a call (sg_upcall) is one request and its answer on a
 *          connection that it takes from the pool or opens, and that goes back or is closed at its end
 * Units    _usec, bytes
 * Owner    the owner of a call frees it, in every case; connections are the pool's
 * Thread   one worker
 * Errors   enum sg_upstream_fault to on_failed: once, then the handle is gone
 * Limits   idle connections per endpoint (pool_max), idle_timeout; waiting does not exist: a new connection is opened;
 *          a proxy's answer to CONNECT has 16 KiB
 * Source   RFC 9112 section 9.3: a pooled connection may close at any time; a request that got no byte of answer on a
 *          reused connection is sent once more on a fresh one. RFC 9110 section 9.3.6: CONNECT
 */
#pragma once

#include "base/list.h"
#include "base/secret.h"
#include "http/h1.h"
#include "net/resolve.h"
#include "net/stream.h"
#include "tls/tls.h"

/* What identifies a pool and how to reach it. Copied. */
struct sg_endpoint {
        struct sg_str host; /* name or address, without brackets */
        uint16_t port;
        struct sg_str socket_path; /* of a Unix socket; empty: host and port. No proxy then */
        bool is_tls;
        struct sg_tls_trust *trust;             /* referenced while a pool uses it; required with is_tls */
        struct sg_tls_certificate *certificate; /* the same; NULL: none is shown */
        struct sg_str server_name;              /* verified, and sent as SNI; empty: host */
        struct sg_str proxy_host;               /* reached through its CONNECT; empty: none */
        uint16_t proxy_port;
        struct sg_secret *proxy_authorization; /* sg_proxy_authorization_new(), referenced; NULL: none */
        struct sg_str pool_key; /* distinguishes endpoints that may not share connections: "https://host:443 ca=…" */
        uint64_t connect_timeout_usec; /* for name, connect, proxy and TLS together, shared out among the addresses */
        uint64_t idle_timeout_usec;
        size_t pool_max;
        size_t n_warm; /* of sg_upstream_keep_warm(): idle connections to open ahead of need */
        /* When set: no network; makes one end of a socket pair whose other end is served in this process (echo). */
        int (*open_builtin)(void *builtin_owner, int *ret_fd);
        void *builtin_owner;
};

enum sg_upstream_fault {
        SG_UPSTREAM_F_RESOLVE,   /* the name is not known or no name server answers */
        SG_UPSTREAM_F_CONNECT,   /* refused, unreachable; by the proxy, too */
        SG_UPSTREAM_F_TIMEOUT,   /* connect took longer than its limit */
        SG_UPSTREAM_F_TLS,       /* handshake or verification */
        SG_UPSTREAM_F_RESET,     /* broke before the first byte of the answer */
        SG_UPSTREAM_F_TRUNCATED, /* broke or closed inside the answer */
        SG_UPSTREAM_F_GARBAGE,   /* the answer is not HTTP, or lies about its length */
        SG_UPSTREAM_F_RESOURCES, /* no memory, no descriptors */
        SG_UPSTREAM_F_N,
};
const char *sg_upstream_fault_name(enum sg_upstream_fault f);

struct sg_upstream;
struct sg_upcall; /* one request to an endpoint and its answer */

int sg_upstream_new(struct sg_upstream **ret, struct sg_loop *l, struct sg_resolver *resolver) SG_MUST_CHECK;
/* All calls must be freed. */
struct sg_upstream *sg_upstream_free(struct sg_upstream *u);
SG_DEFINE_AUTO(struct sg_upstream *, sg_upstream_free)

struct sg_upcall_listener {
        /* The request was handed to the socket (connected, head and body written or queued). After a retry once more;
         * not at all when the answer came before: the rest of the body is not sent then, and the connection closed
         * after the end. */
        void (*on_sent)(struct sg_upcall *c, void *owner);
        /* The answer's head (a final one; 1xx are swallowed). Views are lent for the callback. */
        void (*on_head)(struct sg_upcall *c, const struct sg_head *head, void *owner);
        /* A piece of the body, lent. */
        void (*on_body)(struct sg_upcall *c, struct sg_str bytes, void *owner);
        /* The message is complete by its framing; the connection has gone back to its pool or closed. The call is over:
         * sg_upcall_free() is still the owner's duty. */
        void (*on_end)(struct sg_upcall *c, void *owner);
        /* Over with a fault; text for the log. */
        void (*on_failed)(struct sg_upcall *c, enum sg_upstream_fault why, const char *text, void *owner);
};

enum sg_upcall_body {
        SG_UPCALL_BODY_NONE,  /* and no Content-Length */
        SG_UPCALL_BODY_WHOLE, /* body and n_body are all of it */
};

/* Everything is lent until on_head or the end of the call: it is sent again on a retry. */
struct sg_upcall_request {
        enum sg_method method;
        struct sg_str method_text, target, authority; /* "POST", "/v1/chat/completions?x", "api.example" */
        const struct sg_str *fields; /* pieces of complete lines "name: value\r\n"; without host, framing, connection */
        size_t n_fields;
        enum sg_upcall_body kind;
        const struct sg_str *body;
        size_t n_body;
        bool may_resend; /* nothing was answered on a reused connection: send once more on a fresh one */
};

/* Starts a call. Callbacks come later in the turn or after it, never from inside. A fault that happens after the call
 * has begun is told by on_failed. The endpoint's strings are copied, the request's are lent. */
int sg_upcall_new(struct sg_upcall **ret, struct sg_upstream *u, const struct sg_endpoint *endpoint,
                  const struct sg_upcall_request *request, const struct sg_upcall_listener *listener, void *owner)
        SG_MUST_CHECK;
/* Ends it: an unfinished call closes its connection at once, so that the provider stops. No callback after this. */
struct sg_upcall *sg_upcall_free(struct sg_upcall *c);
/* Back pressure: no on_body while paused (bytes stay in the socket). */
void sg_upcall_pause(struct sg_upcall *c);
void sg_upcall_resume(struct sg_upcall *c);
bool sg_upcall_was_reused(const struct sg_upcall *c);
const char *sg_upcall_peer(const struct sg_upcall *c); /* address in use, or "" */

struct sg_upstream_counts {
        uint64_t n_idle, n_busy, n_connecting, n_opened, n_reused;
};
void sg_upstream_get_counts(const struct sg_upstream *u, struct sg_upstream_counts *ret);
/* Closes idle connections (drain). */
void sg_upstream_close_idle(struct sg_upstream *u);

/* Connections ahead of need: call keep_warm for each endpoint that wants some, then settle, which lets go of all that
 * were not named since the last time. None named: no connection is opened but by calls. */
int sg_upstream_keep_warm(struct sg_upstream *u, const struct sg_endpoint *at) SG_MUST_CHECK;
void sg_upstream_settle_warm(struct sg_upstream *u);

/* "proxy-authorization: Basic …\r\n" of "user:password". */
int sg_proxy_authorization_new(struct sg_secret **ret, struct sg_str user_and_password) SG_MUST_CHECK;
