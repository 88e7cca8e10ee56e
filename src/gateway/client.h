/*
 * gateway/client.h - who an exchange answers: one request of a connection, whatever version of HTTP that speaks
 *
 * Shape    a table of functions; connections embed an sg_client per request that they can have at once
 * Owner    the connection. It outlives its exchange, or tells it by sg_exchange_client_gone()
 * Thread   its worker
 * Errors   what an exchange sends can only fail by the client being gone, which it is told by
 *          sg_exchange_client_gone()
 */
#pragma once

#include "base/str.h"

struct sg_client;
struct sg_connection;

struct sg_client_ops {
        void (*send_head)(struct sg_client *c, unsigned status, struct sg_str fields, bool has_length, uint64_t length,
                          const struct sg_str *pieces, size_t n_pieces, bool is_last);
        void (*send)(struct sg_client *c, const struct sg_str *pieces, size_t n_pieces, bool is_last);
        void (*send_continue)(struct sg_client *c);
        void (*break_off)(struct sg_client *c);
        void (*exchange_over)(struct sg_client *c);
        bool (*is_full)(const struct sg_client *c);
        void (*pause_body)(struct sg_client *c);
        void (*resume_body)(struct sg_client *c);
        void (*send_trailers)(struct sg_client *c, struct sg_str fields);
        void (*switch_protocols)(struct sg_client *c,
                                 struct sg_str fields); /* NULL: this version of HTTP has no such thing */
};

struct sg_client {
        const struct sg_client_ops *ops;
        const struct sg_connection *connection; /* with its facts: who, by TLS or not */
};

/* The head and the first bytes of the answer in one write. fields: complete lines, with CRLF, without status line,
 * framing and connection. Without a length the end of the body is told by the framing (in HTTP/1.0 by the end of the
 * connection). pieces may be empty. is_last: the answer ends with them. */
static inline void sg_client_send_head(struct sg_client *c, unsigned status, struct sg_str fields, bool has_length,
                                       uint64_t length, const struct sg_str *pieces, size_t n_pieces, bool is_last)
{
        c->ops->send_head(c, status, fields, has_length, length, pieces, n_pieces, is_last);
}

/* The next bytes. is_last with no pieces only ends the body. */
static inline void sg_client_send(struct sg_client *c, const struct sg_str *pieces, size_t n_pieces, bool is_last)
{
        c->ops->send(c, pieces, n_pieces, is_last);
}

/* 100, when the request expects it. */
static inline void sg_client_send_continue(struct sg_client *c)
{
        c->ops->send_continue(c);
}

/* The answer cannot be completed: what is queued is sent, then it ends without a proper end. */
static inline void sg_client_break(struct sg_client *c)
{
        c->ops->break_off(c);
}

/* The exchange is over and no longer knows the client. */
static inline void sg_client_exchange_over(struct sg_client *c)
{
        c->ops->exchange_over(c);
}

/* Pause the source; sg_exchange_client_drained() follows. */
static inline bool sg_client_is_full(const struct sg_client *c)
{
        return c->ops->is_full(c);
}

/* The request's body comes faster than it goes on: what is here is still given, and then no more until it is resumed. */
static inline void sg_client_pause_body(struct sg_client *c)
{
        c->ops->pause_body(c);
}

static inline void sg_client_resume_body(struct sg_client *c)
{
        c->ops->resume_body(c);
}

/* Fields after the answer's body, which end it: in place of is_last. Where HTTP/1 has no place for them they are dropped. */
static inline void sg_client_send_trailers(struct sg_client *c, struct sg_str fields)
{
        c->ops->send_trailers(c, fields);
}

static inline bool sg_client_may_switch(const struct sg_client *c)
{
        return c->ops->switch_protocols;
}

/* 101: from now on bytes go as they are both ways, and sg_exchange_body_end() is the client's FIN. fields: with Upgrade. */
static inline void sg_client_switch(struct sg_client *c, struct sg_str fields)
{
        c->ops->switch_protocols(c, fields);
}
