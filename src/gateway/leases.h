/*
 * gateway/leases.h - what this node is granted of the limits that a fleet shares: Redis, the leases, and who is told
 *
 * Shape    one per process. Workers say that somebody waits; a tick asks Redis for all words in one command and puts what it
 *          grants into their purses. The rest of the protocol is limit/lease.h
 * Units    _usec
 * Owner    the daemon; limits are borrowed and outlive it
 * Thread   main, but for sg_leases_want()
 * Errors   -errno at birth. Redis that is not there is told in the log (REDIS_OUT, REDIS_BACK) and by sg_leases_look()
 * Limits   a command is sent at most every LEASES_TICK_USEC (10 ms), and when the one before has been answered;
 *          LEASES_WORDS_MAX words in each
 */
#pragma once

#include "config/config.h"
#include "limit/limit.h"
#include "loop/loop.h"

struct sg_leases;

struct sg_leases_options {
        struct sg_loop *loop;
        struct sg_limits *limits;
        const char *fleet_path;        /* in the runtime directory: who this node is, and when it was heard last */
        const char *nodes_path;        /* in the state directory: how many nodes there were */
        void (*on_moved)(void *owner); /* grants have come, or will not: who waits asks again */
        void *owner;
};
int sg_leases_new(struct sg_leases **ret, const struct sg_leases_options *options, struct sg_error *err) SG_MUST_CHECK;
struct sg_leases *sg_leases_free(struct sg_leases *l);
SG_DEFINE_AUTO(struct sg_leases *, sg_leases_free)
/* At the start and at each reload; the same again does nothing. An error leaves all as it was. */
int sg_leases_configure(struct sg_leases *l, const struct sg_config_redis *c, struct sg_error *err) SG_MUST_CHECK;

/* Any thread: an exchange waits. */
void sg_leases_want(void *leases);
/* A successor has taken the service: nothing is asked any more, and nothing given back. */
void sg_leases_rest(struct sg_leases *l);
/* No exchange is left: everything goes back. on_left is called once, when Redis has it or soon. */
void sg_leases_leave(struct sg_leases *l, void (*on_left)(void *owner), void *owner);

struct sg_leases_state {
        const char *url;                   /* NULL: limits are not shared */
        bool is_connected;                 /* and greeted */
        bool is_alone;                     /* this node goes on with its share */
        bool is_rebuilding;                /* Redis has forgotten, or was away: the fleet finds itself anew */
        const char *version;               /* of Redis; "" */
        uint64_t out_since_wall_usec;      /* 0: it is there */
        const char *last_error;            /* "": none yet */
        uint64_t n_nodes;                  /* seen last, this one included */
        uint64_t n_round_trips, n_granted; /* units put into purses */
        size_t n_leases;
};
void sg_leases_look(const struct sg_leases *l, struct sg_leases_state *ret);
/* By how much the fleet may pass a limit at most while it is not together; 0 of what has no lease. */
uint64_t sg_leases_bound(const struct sg_leases *l, const struct sg_limited *who, const struct sg_limit *limit);
