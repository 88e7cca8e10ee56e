/*
 * probe/health.h - what is known of the dependencies at one moment, for any thread to read
 *
 * Shape    an immutable value, made anew by the main thread after each result; its JSON is made with it, so that an
 *          answer about health costs one copy
 * Units    _usec: latency as a duration, _wall_usec since 1970
 * Owner    struct sg_probes; readers are lent it for a turn of their loop (RCU)
 * Thread   immutable
 * Limits   as many as there are [dependency] sections
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/rcu.h"
#include "base/str.h"
#include "config/config.h"

#define SG_PROBE_TEXT_BYTES 200

enum sg_health_status {
        SG_HEALTH_OK,
        SG_HEALTH_DEGRADED,
        SG_HEALTH_DOWN,
        SG_HEALTH_STATUS_N, /* the later, the worse */
};
const char *sg_health_status_name(enum sg_health_status s); /* "ok", "degraded", "down" */

enum sg_dependency_state {
        SG_DEPENDENCY_UNKNOWN, /* asked too little so far */
        SG_DEPENDENCY_OK,
        SG_DEPENDENCY_DOWN,
        SG_DEPENDENCY_STATE_N,
};
const char *sg_dependency_state_name(enum sg_dependency_state s); /* "unknown", "ok", "down" */

/* Why a probe failed, in a word that tells everybody nothing about what stands where. */
enum sg_probe_fault {
        SG_PROBE_F_NONE,
        SG_PROBE_F_RESOLVE,     /* "unresolved" */
        SG_PROBE_F_CONNECT,     /* "refused": also unreachable */
        SG_PROBE_F_TIMEOUT,     /* "timeout" */
        SG_PROBE_F_TLS,         /* "tls" */
        SG_PROBE_F_CLOSED,      /* "closed": before there was an answer */
        SG_PROBE_F_GARBAGE,     /* "garbage": another protocol, or none */
        SG_PROBE_F_UNAVAILABLE, /* "unavailable": it says itself that it does not serve */
        SG_PROBE_F_RESOURCES,   /* "resources": ours, no memory or descriptor */
        SG_PROBE_F_N,
};
const char *sg_probe_fault_name(enum sg_probe_fault f);

struct sg_health_item {
        const struct sg_config_dependency *config; /* held by the view's own reference */
        enum sg_dependency_state state;
        uint64_t since_wall_usec;   /* of the state */
        uint64_t checked_wall_usec; /* last result; 0: none yet */
        uint64_t latency_usec;      /* of the last success; 0: none yet */
        uint64_t n_failures;        /* in a row */
        enum sg_probe_fault fault;  /* of the last result */
        char text[SG_PROBE_TEXT_BYTES];
};

struct sg_health {
        struct sg_rcu_head rcu; /* private */
        struct sg_config *config;
        enum sg_health_status status; /* of all dependencies together */
        struct sg_str json;           /* "[{…},…]", for everybody: no address, no words of others */
        size_t n_items;
        struct sg_health_item items[];
};

/* items is copied. -ENOMEM. */
int sg_health_new(struct sg_health **ret, struct sg_config *config, const struct sg_health_item *const *items,
                  size_t n_items) SG_MUST_CHECK;
struct sg_health *sg_health_free(struct sg_health *h);
SG_DEFINE_AUTO(struct sg_health *, sg_health_free)
