/*
 * upstream/upstream.h - connections to endpoints: resolved, connected, pooled, and the exchanges on them
 *
 * Shape    a sg_upstream per worker holds pools by endpoint; a call (sg_upcall) is one request and its answer on a
 *          connection that it takes from the pool or opens. One of HTTP/1 is the call's, and goes back or is closed at
 *          its end; one of HTTP/2 carries many, and is left. After an upgrade a call is a tunnel, whose directions
 *          end one by one
 * Units    _usec, bytes
 * Owner    the owner of a call frees it, in every case; connections are the pool's
 * Thread   one worker
 * Errors   enum sg_upstream_fault to on_failed: once, then the handle is gone
 * Limits   idle connections per endpoint (pool_max), idle_timeout; waiting does not exist but for a connection that is
 *          being made and may carry many calls: else a new one is opened. HTTP/2: 100 calls at once on a connection, or
 *          fewer if its server says so; 256 KiB of a paused call are held. A proxy's answer to CONNECT has 16 KiB
 *          An idle connection to an address that its name has no longer, as of its TTL, is not taken any more
 * Source   RFC 9112 section 9.3: a pooled connection may close at any time; a request that got no byte of answer on a
 *          reused connection is sent once more on a fresh one. RFC 9110 section 9.3.6: CONNECT; section 7.8: Upgrade. RFC 9113 section 8.7: a stream that was refused, or lies
 *          above the last one of a GOAWAY, was not served: sent again up to five times
 */
#pragma once

#include "base/list.h"
#include "base/secret.h"
#include "config/config.h"
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
        enum sg_protocol protocol; /* a server that must speak HTTP/2 and does not: SG_UPSTREAM_F_TLS, or garbage */
        struct sg_str server_name; /* verified, and sent as SNI; empty: host */
        struct sg_str proxy_host;  /* reached through its CONNECT; empty: none */
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
        /* The request was handed to the socket whole (connected, head and body written or queued). After a retry once
         * more. Not at all when the answer came before it: the rest of a body that was given whole is not sent then, and
         * the connection closed after the end. Streamed: after the last piece, be it before the answer or inside. */
        void (*on_sent)(struct sg_upcall *c, void *owner);
        /* Streamed bodies and tunnels: sg_upcall_send() is heard, and there is room. First when connected (what is given
         * inside goes out together with the head; tunnels: behind on_head), then whenever what was given has left. After
         * a retry on a fresh connection once more: nothing of the body is with the server then (sg_upcall_n_given() is
         * 0), it is given from its beginning. May be NULL where nothing is streamed. */
        void (*on_room)(struct sg_upcall *c, void *owner);
        /* The answer's head (a final one; 1xx are swallowed, but 101 where an upgrade was asked for, which makes the call a
         * tunnel: on_body gives what comes, sg_upcall_send() takes what goes, on_end is the server's FIN). Views are lent
         * for the callback. A 101 to anything else, or of another protocol, is garbage. */
        void (*on_head)(struct sg_upcall *c, const struct sg_head *head, void *owner);
        /* A piece of the body, lent. */
        void (*on_body)(struct sg_upcall *c, struct sg_str bytes, void *owner);
        /* Fields after the body (only headers and n_headers), before on_end. NULL: they are dropped. */
        void (*on_trailers)(struct sg_upcall *c, const struct sg_head *trailers, void *owner);
        /* The message is complete by its framing; the connection has gone back to its pool or closed. The call is over:
         * sg_upcall_free() is still the owner's duty. A streamed body that was not whole yet is not sent on. Tunnels: all
         * that the server sent was given; the way to it stays open until the owner ends or frees it. */
        void (*on_end)(struct sg_upcall *c, void *owner);
        /* Over with a fault; text for the log. Not after on_end: what breaks of a tunnel then is nobody's loss. */
        void (*on_failed)(struct sg_upcall *c, enum sg_upstream_fault why, const char *text, void *owner);
};

enum sg_upcall_body {
        SG_UPCALL_BODY_NONE,   /* and no Content-Length */
        SG_UPCALL_BODY_WHOLE,  /* body and n_body are all of it */
        SG_UPCALL_BODY_STREAM, /* by sg_upcall_send(): of `length` bytes where has_length, else chunked */
};

/* Everything is lent until on_head or the end of the call (it is sent again on a retry), but what is streamed is copied. */
struct sg_upcall_request {
        enum sg_method method;
        struct sg_str method_text, target, authority; /* "POST", "/v1/chat/completions?x", "api.example" */
        const struct sg_str *fields; /* pieces of complete lines "name: value\r\n"; without host, framing, connection */
        size_t n_fields;
        enum sg_upcall_body kind;
        const struct sg_str *body;
        size_t n_body;
        bool has_length; /* streamed */
        uint64_t length;
        /* "websocket": sends Connection and Upgrade, by HTTP/1.1 whatever the endpoint prefers. The body is not streamed. */
        struct sg_str upgrade;
        /* No byte was answered on a reused connection, or the stream was refused: send once more on a fresh connection. Streamed: the owner can give the body
         * from its beginning, or has not given any of it; see sg_upcall_forbid_resend(). */
        bool may_resend;
};

/* Starts a call. Callbacks come later in the turn or after it, never from inside. A fault that happens after the call
 * has begun is told by on_failed. The endpoint's strings are copied, the request's are lent. */
int sg_upcall_new(struct sg_upcall **ret, struct sg_upstream *u, const struct sg_endpoint *endpoint,
                  const struct sg_upcall_request *request, const struct sg_upcall_listener *listener, void *owner)
        SG_MUST_CHECK;
/* Ends it: an unfinished call closes its connection at once, so that the provider stops (HTTP/2: resets its stream). No
 * callback after this. */
struct sg_upcall *sg_upcall_free(struct sg_upcall *c);
/* Back pressure: no on_body while paused (bytes stay in the socket; HTTP/2: the window is not given back). */
void sg_upcall_pause(struct sg_upcall *c);
void sg_upcall_resume(struct sg_upcall *c);

/* The next pieces of a streamed body, or of a tunnel, after the first on_room; what the socket does not take is copied.
 * is_last: the body ends with them (tunnel: FIN), and nothing is given any more. Faults come by on_failed, later in the
 * turn. Ignored when the call is over (but a tunnel whose server has ended), and between a break and the on_room after
 * it, which asks for all of it. Never more than `length`, nor less by the last: an assertion. */
void sg_upcall_send(struct sg_upcall *c, const struct sg_str *pieces, size_t n, bool is_last);
/* Pause the source: on_room follows. Also before the first on_room. */
bool sg_upcall_is_full(const struct sg_upcall *c);
/* HTTP/2 is spoken: known from on_room or on_head on. */
bool sg_upcall_is_h2(const struct sg_upcall *c);
/* Of the streamed body or into the tunnel, on the connection at hand: 0 again in the on_room after a retry. */
uint64_t sg_upcall_n_given(const struct sg_upcall *c);
/* The owner lets go of what it gave: the request is not sent again. False: it is about to be, and the body will be asked for
 * from its beginning. */
bool sg_upcall_forbid_resend(struct sg_upcall *c) SG_MUST_CHECK;

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
