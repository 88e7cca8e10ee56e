/*
 * probe/probe_internal.h - one probe and the set it belongs to (private to the room)
 *
 * Owner    the set; a probe is never freed inside one of its own callbacks
 * Thread   main
 */
#pragma once

#include <stdatomic.h>

#include "base/log_limit.h"
#include "net/resolve.h"
#include "net/stream.h"
#include "probe/ask_h2.h"
#include "probe/goal.h"
#include "probe/probe.h"

enum probe_state {
        PROBE_NEW,
        PROBE_RESTING, /* until the next attempt */
        PROBE_RESOLVING,
        PROBE_CONNECTING, /* and TLS */
        PROBE_ASKING,
        PROBE_STOPPED,
        PROBE_STATE_N,
};

struct probe {
        struct sg_probes *probes;
        struct probe_goal goal;
        enum probe_state state;
        struct sg_timer timer; /* resting: the next attempt; else the end of this one, or of this address */
        struct sg_query query;
        struct sg_resolved addresses;
        size_t next_address;
        struct sg_stream *stream;
        struct ask_h2 *ask; /* of goals with is_h2, while asking */
        uint64_t begun_usec, until_usec;
        struct sg_health_item known; /* of an endpoint: in no view, and its config is NULL */
        struct sg_log_limit told;
};

struct sg_probe_set {
        struct sg_config *config;
        struct sg_health *health; /* until the set is taken */
        size_t n_probes;
        struct probe probes[]; /* of all dependencies, then of endpoints in the order of the configuration */
};

struct sg_probes {
        struct sg_loop *loop;
        struct sg_resolver *resolver;      /* NULL before the first probe */
        struct sg_tls_trust *system_trust; /* NULL before the first that needs it */
        struct sg_probe_set *set;
        bool is_stopped;
        struct sg_deferred publishing; /* one view for all results of a turn */
        _Atomic(struct sg_health *) health;
        void (*on_endpoint)(const struct sg_config_service *service, unsigned endpoint, bool is_up, const char *text,
                            void *owner); /* NULL: nobody wants to know */
        void *on_endpoint_owner;
};

/* Without a goal: that is set before it begins. */
int probe_init(struct probe *p, struct sg_probes *probes) SG_MUST_CHECK;
void probe_done(struct probe *p);
/* A dependency is asked at once, an endpoint at a moment of its own soon. */
void probe_begin(struct probe *p);
void probe_stop(struct probe *p);

/* known.c: a result; changes of state are told to the log, and those of an endpoint to who wants to know. */
void probe_know(struct probe *p, enum sg_probe_fault fault, const char *text);
void probe_tell_endpoint(const struct probe *p);
