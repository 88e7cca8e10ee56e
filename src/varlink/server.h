/*
 * varlink/server.h - the server's connections and calls (private to the room)
 *
 * Shape    a connection has at most one call; the next is taken when that is answered and the answer has been sent, so
 *          that a client who does not read cannot make us hold more than one answer
 * Owner    the server owns connections, a connection owns its call
 * Thread   the loop's
 * Errors   a connection that breaks is closed and freed at the end of the turn
 */
#pragma once

#include "base/log_limit.h"
#include "varlink/message.h"

enum sg_varlink_conn_state {
        CONN_IDLE,     /* waits for a call */
        CONN_BUSY,     /* a call is being answered; nothing is read */
        CONN_FLUSHING, /* sends its last answer, then ends */
        CONN_GONE,     /* closed; freed at the end of the turn */
        CONN_N,
};

struct sg_varlink_call {
        struct sg_varlink_conn *conn;
        struct sg_varlink_request request;
        void (*on_gone)(struct sg_varlink_call *call, void *owner);
        void *gone_owner;
        void (*on_drained)(struct sg_varlink_call *call, void *owner);
        void *drained_owner;
};

struct sg_varlink_conn {
        struct sg_link link; /* of the server */
        struct sg_varlink_server *server;
        enum sg_varlink_conn_state state;
        uint64_t id;
        int fd;
        struct sg_io io;
        struct sg_varlink_peer peer;
        struct sg_buf in, out;
        size_t scanned; /* of in */
        struct sg_varlink_call *call;
        struct sg_deferred proceed, end;
};

struct sg_varlink_server {
        struct sg_loop *loop;
        struct sg_varlink_server_options options;
        struct sg_list listeners, conns;
        struct sg_timer accept_again;
        struct sg_log_limit no_fd;
        uint64_t n_accepted;
};

/* conn.c; takes the descriptor in every case. */
int sg_varlink_conn_new(struct sg_varlink_server *s, int fd) SG_MUST_CHECK;
/* Closes now; on_gone and the freeing wait for the end of the turn, or happen at once when the server ends. */
void sg_varlink_conn_close(struct sg_varlink_conn *c, const char *reason);
void sg_varlink_conn_free_now(struct sg_varlink_conn *c);
/* Sends what is queued; the rest waits until the socket has room. */
void sg_varlink_conn_flush(struct sg_varlink_conn *c);
/* The call is answered (final) or its queue has been asked about: look again at the end of the turn. */
void sg_varlink_conn_answered(struct sg_varlink_conn *c);
void sg_varlink_conn_look(struct sg_varlink_conn *c);

/* call.c */
void sg_varlink_call_free(struct sg_varlink_call *call); /* and takes it off its connection */
/* dispatch.c: finds the method, checks the right, runs it. */
void sg_varlink_dispatch(struct sg_varlink_call *call);
