/*
 * upstream/upstream_internal.h - pools and their connections, for the call
 *
 * Shape    sg_upstream > pool (by pool_key) > connections, on the list of their state; a pool that is to be kept warm has
 *          warmers, which are calls without a request
 * Owner    a pool lives while a connection or a call uses it; a connection is freed at the end of the turn, so that the
 *          frames above its callbacks may look at it (stream is NULL then)
 */
#pragma once

#include "upstream/upstream.h"

enum conn_state {
        CONN_CONNECTING, /* a call waits for it */
        CONN_BUSY,       /* a call has it */
        CONN_IDLE,
        CONN_LEAVING, /* of no call: what was given it last is still being sent */
        CONN_CLOSED,
        CONN_STATE_N,
};

struct pool {
        struct sg_link link; /* of a bucket */
        struct sg_upstream *upstream;
        struct sg_endpoint at; /* strings are ours, the rest is referenced */
        struct sg_list conns[CONN_CLOSED];
        size_t n_users; /* connections and calls; warming is one, too */

        /* warm.c */
        bool is_warm;
        size_t n_warm_next; /* what keep_warm has said since the last settling */
        struct sg_list warmers;
        struct sg_timer warm;
        uint64_t warm_delay_usec; /* before the next attempt: 0 while all goes well */

        char strings[];
};

struct conn {
        struct sg_link link; /* of pool->conns[state] */
        enum conn_state state;
        struct pool *pool;
        struct sg_stream *stream;
        struct sg_upcall *call;
        struct sg_timer idle;
        uint64_t idle_since_usec;
        struct sg_deferred deferred; /* frees it, or secures its tunnel */
        struct sg_loop *loop;
        struct sg_h1 h1;
};

#define N_BUCKETS 64u

struct sg_upstream {
        struct sg_loop *loop;
        struct sg_resolver *resolver;
        struct sg_list buckets[N_BUCKETS];
        uint64_t n_conns[CONN_CLOSED];
        uint64_t n_opened, n_reused;
        uint64_t n_calls;
};

/* The pool of the endpoint, with what the endpoint says now, and one more user. -ENOMEM. */
int pool_get(struct pool **ret, struct sg_upstream *u, const struct sg_endpoint *at) SG_MUST_CHECK;
void pool_put(struct pool *p);

/* The connection that was used last, now the call's; NULL when none is idle. */
struct conn *conn_take_idle(struct pool *p, struct sg_upcall *call);
/* Connects for the call: call_on_open() or call_on_end() follows. -errno. */
int conn_open(struct conn **ret, struct pool *p, struct sg_upcall *call, const struct sockaddr *address,
              socklen_t length) SG_MUST_CHECK;
/* One end of a socket pair, connected; the call's. */
int conn_open_builtin(struct conn **ret, struct pool *p, struct sg_upcall *call) SG_MUST_CHECK;
void conn_go(struct conn *n, enum conn_state to);
/* TLS above what is connected. -errno. */
int conn_add_tls(struct conn *n) SG_MUST_CHECK;
/* Back to the pool, or closed when that is full. */
void conn_release(struct conn *n);
/* Closed once all that was written has left, or idle_timeout has passed. */
void conn_leave(struct conn *n);
void conn_close(struct conn *n);

/* warm.c: an idle connection has gone, or is in use; how it went with warm connections so far. */
void pool_check_warm(struct pool *p);
void pool_warmth_lost(struct pool *p, uint64_t lasted_usec);

/* call.c: what the connection's stream tells. */
void call_on_open(struct sg_upcall *c);
size_t call_on_bytes(struct sg_upcall *c, struct sg_str bytes);
void call_on_drained(struct sg_upcall *c);
void call_on_end(struct sg_upcall *c, enum sg_stream_end why, const char *text);

/* ---- the call, for call.c (its life) and call_connect.c (the way to a fresh connection) */

enum call_state {
        CALL_NEW,
        CALL_RESOLVING,
        CALL_CONNECTING, /* TCP, and TLS without a proxy */
        CALL_TUNNELLING, /* CONNECT, then TLS */
        CALL_SENDING,
        CALL_WAITING, /* all is sent; no final head yet */
        CALL_ANSWERING,
        CALL_SWITCHED, /* a tunnel, after 101 */
        CALL_HALF,     /* its server has ended, we have not */
        CALL_DONE,
        CALL_FREED,
        CALL_STATE_N,
};

struct sg_upcall {
        enum call_state state;
        struct sg_upstream *upstream;
        struct pool *pool;
        struct conn *conn;
        struct sg_upcall_request request;
        const struct sg_upcall_listener *listener;
        void *owner;
        struct sg_loop *loop;
        struct sg_deferred deferred;

        /* resolving, connecting */
        struct sg_query query;
        struct sg_resolved *addresses;
        size_t next_address;
        struct sg_timer connect;
        uint64_t connect_until_usec;
        bool is_tunnel_open;
        size_t tunnel_bytes; /* of the proxy's answer */
        bool is_warming;     /* over when connected */

        /* sending */
        size_t piece, offset; /* of a body given whole: the next */
        uint64_t n_given;     /* of one that is streamed */
        bool is_head_given;
        bool is_whole;  /* all of it is with the stream; in a tunnel, our end */
        bool owes_sent; /* on_sent, later in this turn: not from inside sg_upcall_send() */

        /* the answer */
        bool was_reused, was_resent;
        bool has_answer_bytes;
        bool is_interim; /* between the head and the end of a 1xx */
        bool may_keep;   /* the answer lets the connection live */
        bool is_paused;
        bool waits_for_end; /* paused with no byte left: the parser may have the end to tell */

        char peer[64];
};

void call_go(struct sg_upcall *c, enum call_state to);
/* Over with a fault: "doing host:port (address): text" for the log. */
void call_fail(struct sg_upcall *c, enum sg_upstream_fault why, const char *doing, const char *text);
void call_drop_connection(struct sg_upcall *c);

/* Connected, secured: the request may go. */
void call_connected(struct sg_upcall *c);

/* The request is whole. */
void call_sent(struct sg_upcall *c);
void call_tell_sent(struct sg_upcall *c);
/* The answer is complete. has_more_bytes: and something came behind it. */
void call_finish(struct sg_upcall *c, bool has_more_bytes);

/* call_h1.c */
void h1_send_request(struct sg_upcall *c);
void h1_send(struct sg_upcall *c, const struct sg_str *pieces, size_t n, bool is_last);
void h1_send_more(struct sg_upcall *c);
/* Returns how many bytes are used. */
size_t h1_take_answer(struct sg_upcall *c, struct sg_str in);

/* call_connect.c */
void call_begin_fresh(struct sg_upcall *c);
void call_enter_resolving(struct sg_upcall *c);
void call_enter_connecting(struct sg_upcall *c);
void call_resolving_too_long(struct sg_upcall *c);
void call_connecting_too_long(struct sg_upcall *c);
void call_connecting_failed(struct sg_upcall *c, enum sg_stream_end why, const char *text);
uint64_t call_connect_time_left(struct sg_upcall *c);

/* tunnel.c */
void call_enter_tunnelling(struct sg_upcall *c);
size_t call_tunnel_bytes(struct sg_upcall *c, struct sg_str bytes);
void call_tunnel_opened(struct sg_upcall *c);
void call_tunnelling_too_long(struct sg_upcall *c);
void call_tunnelling_failed(struct sg_upcall *c, enum sg_stream_end why, const char *text);
