/*
 * upstream/upstream_internal.h - pools and their connections, for the call
 *
 * Shape    sg_upstream > pool (by pool_key) > connections, on the list of their state; a pool that is to be kept warm has
 *          warmers, which are calls without a request. A connection speaks HTTP/1 for one call at a time, or HTTP/2 for
 *          many; a call knows which by the functions of its connection's speech only
 * Owner    a pool lives while a connection or a call uses it; a connection is freed at the end of the turn, so that the
 *          frames above its callbacks may look at it (stream is NULL then)
 */
#pragma once

#include "http/h2.h"
#include "upstream/upstream.h"

enum conn_state {
        CONN_CONNECTING, /* a call waits for it */
        CONN_BUSY,       /* a call has it, or many */
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

        /* HTTP/2: who comes while a connection is being made that may speak it waits, as it will carry them all */
        struct sg_list shared;    /* connections that take calls, busy or idle */
        struct sg_upcall *opener; /* the call that makes one; NULL: none */
        struct sg_list waiters;
        bool is_h1; /* ALPN has chosen HTTP/1.1, last time */

        /* pool_name.c */
        uint64_t known_until_usec; /* where the name points; SG_USEC_NEVER: there is none, or it is being asked for */
        struct sg_query check;

        /* warm.c */
        bool is_warm;
        size_t n_warm_next; /* what keep_warm has said since the last settling */
        struct sg_list warmers;
        struct sg_timer warm;
        uint64_t warm_delay_usec; /* before the next attempt: 0 while all goes well */

        char strings[];
};

struct conn;

/* How calls speak on a connection: call_h1.c, call_h2.c. All for a call that has one. */
struct speech {
        void (*begin)(struct sg_upcall *c); /* connected: the request may go */
        void (*send)(struct sg_upcall *c, const struct sg_str *pieces, size_t n, bool is_last);
        bool (*is_full)(const struct sg_upcall *c);
        void (*pause)(struct sg_upcall *c); /* NULL: it is enough that c->is_paused */
        void (*resume)(struct sg_upcall *c);
        void (*leave)(struct sg_upcall *c); /* before the answer's end */
        /* What the connection's stream tells. */
        size_t (*on_bytes)(struct conn *n, struct sg_str bytes);
        void (*on_drained)(struct conn *n);
        void (*on_end)(struct conn *n, enum sg_stream_end why, const char *text);
};
extern const struct speech h1_speech, h2_speech;

#define H2_FRAMES_ENOUGH (64u * 1024u) /* in one write */
#define H2_OUT_BYTES     (H2_FRAMES_ENOUGH + SG_H2_FRAME_BYTES_MAX)

/* HTTP/2's part of a connection. */
struct mux {
        struct sg_link link; /* of pool->shared, while it takes calls */
        struct conn *conn;
        struct sg_h2 *codec;
        struct sg_list calls;
        struct sg_deferred turn; /* frames go out, once a turn; then who may go on is told */
        /* The server has spoken. Until then others than its opener wait, as its SETTINGS say how many it serves at once. */
        bool was_heard;
        uint64_t number; /* of all that were opened */
        uint64_t forgiven_usec;
};

struct conn {
        struct sg_link link; /* of pool->conns[state] */
        enum conn_state state;
        struct pool *pool;
        struct sg_stream *stream;
        const struct speech *speech;
        struct sg_layer *layer; /* TLS, the stream's; or NULL */
        struct sg_upcall *call; /* NULL: none, or many */
        struct mux *mux;        /* NULL: HTTP/1 */
        bool is_outdated;       /* the name points elsewhere: not for another call */
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
        struct sg_buf out; /* frames on their way to a stream */
};

/* The pool of the endpoint, with what the endpoint says now, and one more user. -ENOMEM. */
int pool_get(struct pool **ret, struct sg_upstream *u, const struct sg_endpoint *at) SG_MUST_CHECK;
void pool_put(struct pool *p);
/* A connection is being made that may carry many calls. */
bool pool_is_opening(const struct pool *p);
/* Who waits for it looks again, later in this turn. */
void pool_wake(struct pool *p);

/* The connection of HTTP/1 that was used last, now the call's; NULL when none is idle. */
struct conn *conn_take_idle(struct pool *p, struct sg_upcall *call);
/* One of HTTP/2 that has room; after a break a fresh one. */
struct conn *conn_take_shared(struct pool *p, struct sg_upcall *call);
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

/* pool_name.c: asks where the name points, of the server or of its proxy; what it was told. */
void pool_resolve(struct pool *p, struct sg_query *q);
void pool_learn_name(struct pool *p, const struct sg_resolved *found);
/* Before a connection is taken: asks again when what is known is too old. The answer may come later. */
void pool_check_name(struct pool *p);

/* warm.c: an idle connection has gone, or is in use; how it went with warm connections so far. */
void pool_check_warm(struct pool *p);
void pool_warmth_lost(struct pool *p, uint64_t lasted_usec);

/* call.c: connected, and TLS is up where there is no proxy before it. */
void call_on_open(struct sg_upcall *c);

/* ---- the call, for call.c (its life) and call_connect.c (the way to a fresh connection) */

enum call_state {
        CALL_NEW,
        CALL_QUEUED, /* another call makes the connection */
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
        struct sg_link queue; /* of pool->waiters */
        bool may_share;       /* HTTP/2 will do, or is a must */

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

        /* HTTP/2 */
        struct sg_link link;  /* of the connection's calls */
        uint64_t conn_number; /* of the last one it was on: those that are older are not fresh */
        unsigned n_refused;
        struct sg_h2_stream stream;
        bool is_h2;
        bool is_full;                   /* on_room is due when there is room */
        bool has_end;                   /* the answer is whole, all but what is kept was told */
        bool lacks_memory;              /* told later in this turn */
        struct sg_buf kept;             /* of the body: came while paused */
        struct kept_trailers *trailers; /* the same */

        char peer[64];
};

void call_go(struct sg_upcall *c, enum call_state to);
/* Over with a fault: "doing host:port (address): text" for the log. */
void call_fail(struct sg_upcall *c, enum sg_upstream_fault why, const char *doing, const char *text);
void call_drop_connection(struct sg_upcall *c);

/* Connected, secured: the request may go. */
void call_connected(struct sg_upcall *c);
/* To a connection: one that is open, one that another call makes, a fresh one. */
void call_seek(struct sg_upcall *c);
/* The connection has gone: once more or a fault. */
void call_broken(struct sg_upcall *c, enum sg_stream_end why, const char *text);

/* The request is whole. */
void call_sent(struct sg_upcall *c);
void call_tell_sent(struct sg_upcall *c);
/* The answer was told to its end, and the connection let go. */
void call_finish(struct sg_upcall *c);
/* sg_upcall_send() is heard. */
bool call_takes_pieces(const struct sg_upcall *c);

/* call_h1.c: what was paused at the very end of an answer goes on. */
void call_h1_go_on(struct sg_upcall *c);

/* call_h2.c: with what was kept while paused; when frames have left: who waited for that. */
void call_h2_go_on(struct sg_upcall *c);
void call_h2_look_at(struct sg_upcall *c);
extern const struct sg_h2_events call_h2_events;

/* conn_h2.c */
int mux_new(struct conn *n) SG_MUST_CHECK; /* its connection speaks HTTP/2 from here on, and takes calls */
void mux_free(struct conn *n);
void mux_attach(struct conn *n, struct sg_upcall *c);
void mux_detach(struct sg_upcall *c); /* its stream is reset, unless it is over */
void mux_unshare(struct conn *n);     /* takes no more calls */
void mux_retire(struct conn *n);      /* the same, and tells the server */
void mux_turn_soon(struct conn *n);
size_t mux_on_bytes(struct conn *n, struct sg_str bytes);
void mux_on_drained(struct conn *n);
void mux_on_end(struct conn *n, enum sg_stream_end why, const char *text);

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
