/*
 * redis/redis.h - a client of one Redis server: commands in, replies out, reconnecting for as long as it lives
 *
 * Shape    one connection; commands are pipelined, those of one turn in one write. A command is embedded in its asker
 * Units    _usec
 * Owner    the creator; options are copied, trust, certificate and password counted. A reply is lent until on_reply returns
 * Thread   the loop's
 * Errors   -ENOMEM at birth; afterwards on_out says why there is no connection, in words that tell what to change
 * Limits   SG_REDIS_COMMANDS_MAX commands without an answer, SG_REDIS_OUT_BYTES_MAX bytes unsent; nothing is queued while
 *          there is no connection; the oldest command is answered within answer_usec, or the connection is given up
 * Source   RESP2; AUTH and SELECT as of Redis 5 and 6
 */
#pragma once

#include "base/list.h"
#include "base/secret.h"
#include "net/resolve.h"
#include "redis/reply.h"
#include "tls/tls.h"

#define SG_REDIS_COMMANDS_MAX  4096u
#define SG_REDIS_OUT_BYTES_MAX (16u << 20)

struct sg_redis;

struct sg_redis_options {
        const char *host; /* a name or an address without brackets */
        uint16_t port;
        const char *socket_path;     /* NULL: host and port */
        const char *user;            /* NULL: Redis' default user */
        struct sg_secret *password;  /* NULL: none is sent */
        unsigned database;           /* selected when it is not 0 */
        struct sg_tls_trust *trust;  /* NULL: without TLS */
        const char *tls_server_name; /* NULL: host */
        struct sg_tls_certificate *certificate;
        uint64_t connect_usec;  /* from the name to the answered greeting; 0: 5 s */
        uint64_t answer_usec;   /* 0: 2 s */
        uint64_t wait_max_usec; /* between attempts, from 50 ms on; 0: 5 s */
};

struct sg_redis_listener {
        /* Commands are taken from now on. */
        void (*on_ready)(struct sg_redis *r, void *owner);
        /* The connection is lost, or another attempt to connect has failed; it goes on by itself. */
        void (*on_out)(struct sg_redis *r, const char *why, void *owner);
};

/* The first attempt begins in the next turn. The listener lives as long. */
int sg_redis_new(struct sg_redis **ret, struct sg_loop *l, struct sg_resolver *resolver,
                 const struct sg_redis_options *options, const struct sg_redis_listener *listener, void *owner)
        SG_MUST_CHECK;
/* Also from inside any callback; commands without an answer are forgotten, without a call. */
struct sg_redis *sg_redis_free(struct sg_redis *r);
SG_DEFINE_AUTO(struct sg_redis *, sg_redis_free)
bool sg_redis_is_ready(const struct sg_redis *r);
const char *sg_redis_version(const struct sg_redis *r); /* "7.0.15"; "": it was not told */
const char *sg_redis_state_text(const struct sg_redis *r);

struct sg_redis_command {
        /* reply NULL: the connection was lost, and whether the command was carried out is not known. */
        void (*on_reply)(struct sg_redis_command *c, const struct sg_redis_reply *reply, void *owner);
        void *owner;
        struct sg_link link;     /* private */
        uint64_t answer_by_usec; /* private */
};

enum sg_redis_error {
        SG_REDIS_E_OUT = 1, /* no connection */
        SG_REDIS_E_FULL,    /* too much is without an answer */
};
/* Never calls back from inside. on_reply and owner are set by the caller; after an error nothing is called. */
int sg_redis_send(struct sg_redis *r, struct sg_redis_command *c, const struct sg_str *words, size_t n_words)
        SG_MUST_CHECK;
