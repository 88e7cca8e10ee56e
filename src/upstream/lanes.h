/*
 * upstream/lanes.h - the places that models lead to: which is asked next, with which credential, and what is known of each
 *
 * Shape    one sg_lanes per snapshot. A lane (sg_config_lane: provider and upstream model) has a breaker and a pause; a
 *          credential of a provider has a pause and a daily quota; both together have a pause for rate limits, which
 *          belong to an account and a model. All of it is counted objects that the next snapshot's sg_lanes continues,
 *          by their names; quotas also outlive the process (quota.h)
 * Units    _usec; monotonic but for quotas, which go by date
 * Owner    counted; an exchange holds one from its first pick to its last done
 * Thread   any: all that changes are atomics, nothing waits
 * Errors   -ENOMEM at birth; SG_LANES_E_*
 * Limits   SG_TARGETS_MAX targets, SG_CREDENTIALS_MAX credentials, SG_ATTEMPTS_MAX attempts of an exchange
 *
 * Faults and their rules (docs/dialects.md has them as a table):
 *   credential   the credential rests 60 s, doubled each time up to an hour; a reload with another secret ends it
 *   quota        the credential rests 10 min, doubled up to 6 h; never shorter than retry-after
 *   rate         credential and lane rest together (a pair) 1 s, doubled up to 60 s; never shorter than retry-after
 *   overload     the lane rests 1 s, doubled up to 30 s; never shorter than retry-after
 *   server, timeout, connection, truncated    count: breaker_failures of its provider in a row open the lane's breaker, as for endpoints
 *   client       says nothing: what the client did wrong, or that it left, counts against nobody
 * A success ends what stood against its lane, credential and pair when it began. Retry-after beyond an hour is taken for
 * an hour. What fails while others' fault has its rest already prolongs it at most: a hundred exchanges that meet one
 * fault together double nothing.
 */
#pragma once

#include "config/config.h"

enum sg_lanes_error {
        SG_LANES_E_NONE = 1, /* none is left that may be asked now */
};

enum sg_lane_fault {
        SG_LANE_OK,
        SG_LANE_CREDENTIAL,
        SG_LANE_QUOTA,
        SG_LANE_RATE,
        SG_LANE_OVERLOAD,
        SG_LANE_SERVER,
        SG_LANE_TIMEOUT,
        SG_LANE_CONNECTION,
        SG_LANE_TRUNCATED,
        SG_LANE_CLIENT, /* neutral */
        SG_LANE_FAULT_N,
};
const char *sg_lane_fault_name(enum sg_lane_fault f); /* "overload" */

struct sg_lanes;

/* Keeps the configuration's data, which must live as long. previous may be NULL. Quotas go on where previous has them,
 * else they are in memory only. */
int sg_lanes_new(struct sg_lanes **ret, const struct sg_config *c, const struct sg_lanes *previous) SG_MUST_CHECK;
/* Before others use l: keeps its quotas in the file of this path (quota.h), unless no credential has one or previous was
 * told already. False: ret_text says what the log shall tell; the quotas are kept in any case. */
bool sg_lanes_keep_quotas(struct sg_lanes *l, const char *path, char ret_text[256]);
struct sg_lanes *sg_lanes_ref(struct sg_lanes *l);
struct sg_lanes *sg_lanes_unref(struct sg_lanes *l);
SG_DEFINE_AUTO(struct sg_lanes *, sg_lanes_unref)

/* What an exchange tried: it asks no target twice with the same credential. All zeros at first. */
#define SG_ATTEMPTS_MAX 12u
struct sg_lane_tried {
        unsigned n;
        struct {
                uint16_t target, credential;
        } at[SG_ATTEMPTS_MAX];
        bool wants_larger; /* a target refused since the prompt is too long: those for longer prompts, and no others */
};

struct sg_lane_ask {
        const struct sg_config_model *model;       /* or, for a request without one: */
        const struct sg_config_provider *provider; /* this provider's own lane; model is NULL then */
        uint64_t hash;                             /* of model->affinity */
        uint64_t
                n_tokens; /* that the exchange may need: reserved of daily quotas, and targets known to be too small are
                                passed over while a larger one is left */
        uint64_t now_usec, wall_usec;
        /* When nothing else is left, what rests is asked all the same: it was another request that was refused, a shorter
         * one may be served, and the provider's own word is better than ours. Breakers, quotas and drains hold. */
        bool asks_resting;
        /* NULL: all can. Else false for a target that cannot serve what is asked for. */
        bool (*can_serve)(const struct sg_config_provider *p, void *owner);
        void *owner;
};

struct sg_lane_pick {
        const struct sg_config_provider *provider;
        const struct sg_config_credential *credential;
        const char *upstream_model; /* NULL: what the client asked for */
        size_t lane;                /* of config->lanes */
        const char *name;           /* the lane's */
        bool is_trial, is_fallback;
        /* private */
        size_t row;
        uint64_t trial, n_reserved, seen_of_lane, seen_of_credential, seen_of_pair;
        bool is_answered;
};

/* The next to ask, by the model's strategy; one more is outstanding there. SG_LANES_E_NONE: *ret_wait_usec is after how long
 * it is worth to ask again (a second to a day), ret_why says in words why none is left: "openai/gpt-4o rests for 12 s:
 * overload: …". It may have the provider's words: for logs, not for clients. Adds to *tried. Each pick has its
 * sg_lanes_done(), before the next pick of the exchange. */
int sg_lanes_pick(struct sg_lanes *l, const struct sg_lane_ask *ask, struct sg_lane_tried *tried,
                  struct sg_lane_pick *ret, uint64_t *ret_wait_usec, char ret_why[160]) SG_MUST_CHECK;

struct sg_lane_result {
        enum sg_lane_fault fault;
        uint64_t retry_after_usec; /* the provider's; 0: none */
        uint64_t first_byte_usec;  /* from request to answer; 0: none came */
        uint64_t n_tokens;         /* used: settles the reservation */
        const char *text;          /* of a fault, for views; kept cut. Or NULL */
};

/* What the caller shall tell the log. */
enum sg_lane_turn {
        SG_LANE_TURN_NONE,
        SG_LANE_TURN_RESTS,   /* lane, credential or pair rests for 5 s or longer (shorter ones are not told) */
        SG_LANE_TURN_TRIPPED, /* the breaker has opened */
        SG_LANE_TURN_RETURNED /* in service again */
};
/* When the answer's head has come and is no fault: a trial has gone well then, and latency is known. Optional. */
enum sg_lane_turn sg_lanes_answered(struct sg_lanes *l, struct sg_lane_pick *pick, uint64_t first_byte_usec,
                                    uint64_t now_usec, char ret_text[256]);
/* Once per pick. ret_text: "credential \"b\" of provider \"openai\" rests for 60 s: quota: …" */
enum sg_lane_turn sg_lanes_done(struct sg_lanes *l, const struct sg_lane_pick *pick,
                                const struct sg_lane_result *result, uint64_t now_usec, uint64_t wall_usec,
                                char ret_text[256]);

/* ---- views and admins. A row is a lane, or a credential of a provider */

enum sg_lane_state {
        SG_LANE_UP,
        SG_LANE_RESTS,   /* by a fault's rule */
        SG_LANE_TRIPPED, /* its breaker is open */
        SG_LANE_TRIAL,
        SG_LANE_SPENT,   /* a credential's daily quota is used up */
        SG_LANE_DRAINED, /* by an admin */
        SG_LANE_STATE_N,
};
const char *sg_lane_state_name(enum sg_lane_state s);

struct sg_lane_view {
        const char *name; /* "openai/gpt-4o", or the credential's; lent while l lives */
        const char *provider;
        bool is_credential;
        enum sg_lane_state state;
        char text[160];      /* why it is not up; of a lane also: "credential \"b\" rests here for 12 s: rate: …" */
        uint64_t rests_usec; /* for how long still */
        uint64_t n_outstanding, n_picked, n_failed;
        uint64_t latency_usec;              /* to the first byte, smoothed; 0: not known */
        uint64_t used_tokens, daily_tokens; /* of a credential, today */
};
size_t sg_lanes_count(const struct sg_lanes *l);
void sg_lanes_view(struct sg_lanes *l, size_t row, uint64_t now_usec, uint64_t wall_usec, struct sg_lane_view *ret);
/* True when this changes it. Enabling also ends rests and closes the breaker. */
bool sg_lanes_set_drained(struct sg_lanes *l, size_t row, bool is_drained);
