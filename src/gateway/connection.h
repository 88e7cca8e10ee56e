/*
 * gateway/connection.h - a client's connection: accepted, TLS or not, and then in the hands of a version of HTTP
 *
 * Shape    a protocol embeds an sg_connection and gives it a table of functions; what all of them share is here
 * Owner    the worker's list; freed at the end of the loop's turn after it was closed
 * Thread   its worker
 * Errors   handled inside: the connection is closed
 * Limits   timeouts and sizes of the snapshot in force when the connection was made
 */
#pragma once

#include "gateway/worker.h"
#include "net/stream.h"

struct sg_connection;

struct sg_connection_ops {
        const struct sg_stream_listener *listener; /* owner: the sg_connection */
        void (*on_time)(struct sg_connection *c);
        /* Nothing is known of it but that there is no room for it: a polite 503. */
        void (*refuse)(struct sg_connection *c, enum sg_failure f);
        /* Nothing more after what is open; idle ones close. */
        void (*drain)(struct sg_connection *c);
        /* The drain took too long: what is answered gets a moment to go out, all else ends. */
        void (*cut)(struct sg_connection *c);
        /* At once; ends in sg_connection_closed(). Again: nothing. */
        void (*close)(struct sg_connection *c, enum sg_failure reason);
        /* The memory; sg_connection_done() is part of it. */
        void (*free)(struct sg_connection *c);
};

struct sg_connection {
        const struct sg_connection_ops *ops;
        struct sg_link link; /* of the worker, until closed */
        struct sg_deferred freeing;
        struct sg_worker *worker;
        struct sg_stream *stream;   /* NULL once closed */
        const struct sg_layer *tls; /* lent by the stream; NULL: none */
        struct sg_snapshot *snapshot;
        struct sg_timer timer; /* the protocol's */
        uint64_t id;
        bool peer_eof;
        uint64_t given_bytes, moved_bytes; /* handed to the stream; of them gone at the last look */
        uint64_t charged_bytes;            /* of shared->bodies_bytes: what waits for the client */
};

struct sg_connection *sg_connection_of_link(struct sg_link *of_worker);
/* fd is given. listener: its name, which decides about TLS. */
void sg_connection_accept(struct sg_worker *w, int fd, const char *listener);

/* ---- for protocols */

/* fd is the caller's when this fails (-ENOMEM). On the worker's list on success. */
int sg_connection_init(struct sg_connection *c, struct sg_worker *w, int fd, const struct sg_connection_ops *ops)
        SG_MUST_CHECK;
/* Without a stream, which is NULL then. */
int sg_connection_init_bare(struct sg_connection *c, struct sg_worker *w, const struct sg_connection_ops *ops)
        SG_MUST_CHECK;
void sg_connection_done(struct sg_connection *c);
/* The stream is closed, the worker forgets it; it is freed at the end of the turn. */
void sg_connection_closed(struct sg_connection *c);

/* ---- what lies before the first protocol: connection_proxy.c */

/* One more in max_connections. It may be closed on return, by its table. */
void sg_connection_count_in(struct sg_connection *c);
/* The halves of sg_connection_closed(): one fewer in max_connections; and the rest. */
void sg_connection_uncount(struct sg_connection *c);
void sg_connection_forget(struct sg_connection *c);
/* TLS, if the listener has it, and HTTP. fd is given. told_peer: whom a proxy speaks for; NULL: the socket's own. */
void sg_connection_begin(struct sg_worker *w, int fd, const char *listener, const char *told_peer);
/* Whether the listener's connections have a PROXY header; and one that has: fd is given. */
bool sg_connection_proxy_is_expected(struct sg_worker *w, const char *listener);
void sg_connection_proxy_begin(struct sg_worker *w, int fd, const char *listener);

/* ---- for protocols again */

/* Writes and sees to it that the client takes it: on_time follows where it does not. */
void sg_connection_write(struct sg_connection *c, const struct sg_str *pieces, size_t n);
void sg_connection_await_writing(struct sg_connection *c);
/* Has the client taken anything since? If so it is waited for again. */
bool sg_connection_has_moved(struct sg_connection *c);
/* Says that the client took nothing and is given up; to be closed by the caller. */
void sg_connection_tell_given_up(struct sg_connection *c);
/* What a client does not take is held for it like a body, also when the exchange that was charged for it is over. */
void sg_connection_charge(struct sg_connection *c, uint64_t n_bytes);
/* The line about a handshake that failed. */
void sg_connection_tell_tls(struct sg_connection *c);
const char *sg_connection_peer(const struct sg_connection *c);
/* By its certificate: sg_tls_client_subject(). False: it showed none. */
bool sg_connection_subject(const struct sg_connection *c, char out[SG_TLS_SUBJECT_BYTES]);

/* Stream, timeouts and place on the list go to another protocol's; from is closed without a word and freed. -ENOMEM:
 * nothing has changed. */
int sg_connection_move(struct sg_connection *to, struct sg_connection *from, const struct sg_connection_ops *ops)
        SG_MUST_CHECK;

/* connection_h1.c: every connection begins so. */
struct sg_connection *sg_connection_h1_new(struct sg_worker *w, int fd);
/* connection_h2.c: instead of it, when ALPN or the first bytes say so. NULL: no memory, and from is as it was. */
struct sg_connection *sg_connection_h2_take(struct sg_connection *from);
