/*
 * redis/redis_internal.h - what redis.c and greeting.c share
 */
#pragma once

#include "redis/redis.h"

enum redis_state {
        REDIS_WAITING, /* for the next attempt */
        REDIS_RESOLVING,
        REDIS_CONNECTING,
        REDIS_GREETING,
        REDIS_READY,
        REDIS_STATE_N,
};

struct sg_redis {
        struct sg_loop *loop;
        struct sg_resolver *resolver;
        struct sg_redis_options options; /* strings are copies */
        const struct sg_redis_listener *listener;
        void *owner;
        enum redis_state state;
        bool is_freed; /* the memory goes at the end of the turn */

        struct sg_query query;
        struct sg_resolved addresses;
        size_t next_address;
        struct sg_stream *stream;
        struct sg_redis_reader *reader;
        struct sg_list commands; /* sent, the oldest first */
        struct sg_buf out;       /* of this turn */

        struct sg_timer again;   /* REDIS_WAITING */
        struct sg_timer attempt; /* the whole of it, or one address' share */
        struct sg_timer answer;  /* of the oldest command */
        struct sg_deferred flush, gone;
        uint64_t attempt_until_usec, wait_usec, ready_since_usec;
        struct sg_redis_command greeting[3];
        size_t n_greeting; /* not answered yet */
        char version[24];
};

/* redis.c */
int redis_put(struct sg_redis *r, struct sg_redis_command *c, const struct sg_str *words, size_t n_words) SG_MUST_CHECK;
void redis_drop(struct sg_redis *r, const char *why);
void redis_greeted(struct sg_redis *r);
/* greeting.c: sends it; redis_greeted() or redis_drop() follow. */
void redis_greet(struct sg_redis *r);
