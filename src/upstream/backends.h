/*
 * upstream/backends.h - the endpoints of one service: which is asked next, and what is known of each
 *
 * Shape    one sg_backends per service and snapshot; what is known of an endpoint (counts, breaker, health, drained)
 *          is a counted object that the next snapshot's sg_backends continues, by the endpoint's name
 * Units    _usec, monotonic
 * Owner    counted; an exchange holds one from its pick to its done
 * Thread   any: all that changes are atomics, and nothing waits. Writes of shared words on the way of a request that
 *          goes well: outstanding +1 and -1, and the turn of round robin; once a second a mark for the budget
 * Errors   -ENOMEM at birth; SG_BACKENDS_E_*
 * Limits   SG_ENDPOINTS_MAX endpoints
 * Source   breaker: closed, open for breaker_usec (doubled at each failed trial, up to 16 times), then a single trial,
 *          which is given up for lost when its time to connect and answer is over;
 *          retry budget as in Finagle: a share of the requests of the last 10 s, and 3 a second in any case
 */
#pragma once

#include "config/config.h"

enum sg_backends_error {
        SG_BACKENDS_E_NONE = 1, /* all are drained, down or behind an open breaker, or were tried */
};

/* How an exchange with an endpoint went, as far as it says something of the endpoint. */
enum sg_backend_result {
        SG_BACKEND_OK,
        SG_BACKEND_UNREACHABLE, /* name, connection, TLS */
        SG_BACKEND_BROKEN,      /* reset, truncated, no HTTP */
        SG_BACKEND_SLOW,        /* no first byte in time, or stalled */
        SG_BACKEND_ERROR,       /* it answered 502, 503 or 504 */
        SG_BACKEND_NEUTRAL,     /* says nothing: the client left, or the fault is ours */
        SG_BACKEND_RESULT_N,
};
const char *sg_backend_result_name(enum sg_backend_result r); /* "unreachable" */

enum sg_backend_state {
        SG_BACKEND_UP,
        SG_BACKEND_DRAINED, /* by an admin: open exchanges finish, none is added */
        SG_BACKEND_DOWN,    /* its health check fails */
        SG_BACKEND_TRIPPED, /* its breaker is open */
        SG_BACKEND_TRIAL,   /* and one request tries whether it serves again */
        SG_BACKEND_STATE_N,
};
const char *sg_backend_state_name(enum sg_backend_state s); /* "up", … */

struct sg_backends;

/* Keeps nothing of service. previous (may be NULL): of the service of the same name in the configuration before. */
int sg_backends_new(struct sg_backends **ret, const struct sg_config_service *service,
                    const struct sg_backends *previous) SG_MUST_CHECK;
struct sg_backends *sg_backends_ref(struct sg_backends *b);
struct sg_backends *sg_backends_unref(struct sg_backends *b);
SG_DEFINE_AUTO(struct sg_backends *, sg_backends_unref)

struct sg_pick {
        unsigned index; /* of service->endpoints */
        bool is_trial;  /* its breaker's */
        uint64_t trial; /* which one */
};

/* The next to ask, one more outstanding there. hash: of SG_BALANCE_HASH. tried: a bit for each index that is not
 * wanted. SG_BACKENDS_E_NONE: *ret_wait_usec is after how long it is worth to ask again (a second to a minute). Each pick has its
 * sg_backends_done(). */
int sg_backends_pick(struct sg_backends *b, uint64_t hash, uint64_t tried, uint64_t now_usec, struct sg_pick *ret,
                     uint64_t *ret_wait_usec) SG_MUST_CHECK;

/* What the caller shall tell the log. */
enum sg_backend_turn {
        SG_BACKEND_TURN_NONE,
        SG_BACKEND_TURN_TRIPPED, /* the breaker has opened */
        SG_BACKEND_TURN_RETURNED /* the trial went well: in service again */
};
/* For an answer that may last (a stream, a tunnel), when its head has come and is no fault: a trial has gone well then,
 * and not hours later. Optional, before sg_backends_done(). */
enum sg_backend_turn sg_backends_answered(struct sg_backends *b, const struct sg_pick *pick, uint64_t now_usec);
/* Once per pick. text (may be NULL): of a fault, for views; kept cut. */
enum sg_backend_turn sg_backends_done(struct sg_backends *b, const struct sg_pick *pick, enum sg_backend_result result,
                                      uint64_t now_usec, const char *text);

/* For each exchange once, when it begins. */
void sg_backends_begin(struct sg_backends *b, uint64_t now_usec);
/* Before each further attempt, which it counts: false when retries are too large a share. */
bool sg_backends_may_retry(struct sg_backends *b, uint64_t now_usec);

/* From health checks: true when this changes it. text: why, or "". */
bool sg_backends_set_health(struct sg_backends *b, unsigned index, bool is_up, const char *text);
/* From an admin: true when this changes it. Enabling also closes the breaker. */
bool sg_backends_set_drained(struct sg_backends *b, unsigned index, bool is_drained);

#define SG_BACKEND_TEXT_BYTES 160
struct sg_backend_view {
        const char *name; /* the endpoint's URL; lent while b lives */
        unsigned weight;
        enum sg_backend_state state;
        char text[SG_BACKEND_TEXT_BYTES]; /* why it is not up: "5 failures in a row, last: cannot connect to …" */
        uint64_t n_outstanding, n_picked, n_failed; /* since the process began */
        uint64_t state_for_usec;
};
size_t sg_backends_count(const struct sg_backends *b);
void sg_backends_view(struct sg_backends *b, unsigned index, uint64_t now_usec, struct sg_backend_view *ret);
/* Whether anything can be picked now. */
bool sg_backends_is_usable(struct sg_backends *b, uint64_t now_usec);
