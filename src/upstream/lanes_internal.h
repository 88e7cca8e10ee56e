/*
 * upstream/lanes_internal.h - what lanes.c and lanes_….c share
 *
 * Shape    a `known` is what is known of a lane, of a credential, or of both together (a pair), its words on cache lines of
 *          its own; what does not apply stays zero. A sg_lanes is the choice among those of one configuration: a place
 *          for each lane, a purse for each credential of a provider
 * Units    _usec, monotonic; wall_usec for quotas
 * Owner    a known is counted: by each sg_lanes that has it
 * Thread   any; words are read and written relaxed, as none of them guards another
 */
#pragma once

#include <stdatomic.h>

#include "upstream/breaker.h"
#include "upstream/lanes.h"
#include "upstream/quota.h"
#include "upstream/spoken.h"

#define BIT(i) (UINT64_C(1) << (i))

/* For how long, by what, for the how manieth time: lanes_rest.c. 0: nothing stands against it. */
struct rest {
        _Atomic uint64_t word;
};

struct known {
        _Alignas(64) _Atomic uint64_t load;
        struct rest rest;
        struct breaker breaker;      /* lanes */
        _Atomic uint64_t latency;    /* lanes: lanes_latency.c */
        _Atomic uint64_t n_reserved; /* credentials with a quota: of the exchanges that are open */
        _Atomic uint64_t n_failed;
        _Atomic bool is_drained;
        _Atomic uint32_t n_refs;
        struct sg_secret *secret; /* credentials: whose this is */
        struct spoken fault;
};

struct place {
        const struct sg_config_lane *config;
        struct known *known;
        struct known **pairs; /* by the provider's credentials */
        size_t first_purse, n_purses;
        struct breaker_rule rule;
        uint64_t hash;
        _Atomic uint64_t price; /* lanes_price.c */
};

struct purse {
        const struct sg_config_credential *config;
        const struct sg_config_provider *provider;
        struct known *known;
        struct sg_quota_count *count; /* NULL: no quota */
        uint64_t hash;
};

struct sg_lanes {
        _Atomic uint32_t n_refs;
        const struct sg_config *config;
        struct sg_quota *quota;
        struct place *places; /* in the order of config->lanes */
        struct purse *purses; /* in the order of config->providers and their credentials */
        size_t n_places, n_purses;
        size_t *first_purse, *own_place; /* by provider; n_places: it has no lane of its own */
};

/* ---- lanes_rest.c */

/* retry_after_usec: a floor; fault: one that has a rule. *ret_usec: for how long from now on. True: to be told. */
bool rest_begin(struct rest *r, enum sg_lane_fault fault, uint64_t retry_after_usec, uint64_t now_usec,
                uint64_t *ret_usec);
/* What began when the word was `seen` has gone well. True: to be told. */
bool rest_end(struct rest *r, uint64_t seen);
/* Whatever it was: true when there was something. */
bool rest_clear(struct rest *r);
uint64_t rest_seen(const struct rest *r);
uint64_t rest_left_usec(const struct rest *r, uint64_t now_usec);
enum sg_lane_fault rest_fault(const struct rest *r);

/* ---- lanes_latency.c */

void latency_learn(struct known *k, uint64_t first_byte_usec, uint64_t now_usec);
uint64_t latency_of(const struct known *k);
/* The smaller, the better; it falls while nobody asks. */
uint64_t latency_rank(const struct known *k, uint64_t now_usec);
/* Whether this exchange may be the one that measures it again. True as well where it is fresh. */
bool latency_claim(struct known *k, uint64_t now_usec);

/* ---- lanes_purse.c: days, quotas */

uint64_t purse_day(const struct purse *p, uint64_t wall_usec);
uint64_t purse_day_left_usec(const struct purse *p, uint64_t wall_usec);
/* Of today, with what is reserved. */
uint64_t purse_spent(const struct purse *p, uint64_t wall_usec);
bool purse_has_room(const struct purse *p, uint64_t n_tokens, uint64_t wall_usec);
bool purse_reserve(const struct purse *p, uint64_t n_tokens, uint64_t wall_usec);
void purse_settle(const struct purse *p, uint64_t n_reserved, uint64_t n_used, uint64_t wall_usec);

/* ---- lanes_strategy.c */

struct choice {
        struct sg_lanes *l;
        const struct sg_config_target *targets;
        enum sg_strategy strategy;
        bool is_affine;
        uint64_t hash; /* mixed */
        uint64_t now_usec, wall_usec;
};
/* One of `among`, which are at least one. */
unsigned choose_target(const struct choice *c, uint64_t among);
/* One of those credentials of the place. */
unsigned choose_purse(const struct choice *c, const struct place *p, uint64_t among);

/* ---- lanes_price.c */

unsigned choose_cheapest(const struct choice *c, uint64_t among);

/* ---- lanes_obstacle.c: why something cannot be asked, in words */

struct obstacle {
        enum sg_lane_state state; /* SG_LANE_UP: nothing is in the way */
        uint64_t wait_usec;
        char text[SPOKEN_BYTES]; /* "rests for 12 s: rate: …" */
};
/* Of the lane by itself. */
void place_obstacle(const struct place *p, uint64_t now_usec, struct obstacle *ret);
void purse_obstacle(const struct purse *p, uint64_t n_tokens, uint64_t now_usec, uint64_t wall_usec,
                    struct obstacle *ret);
/* Of the lane, or, where all its credentials are out, of that which is back first. Text: with the subject. */
void way_obstacle(const struct sg_lanes *l, const struct place *p, uint64_t n_tokens, uint64_t now_usec,
                  uint64_t wall_usec, struct obstacle *ret);
/* Cut to what fits. */
void say(char *out, size_t n, const char *format, ...) SG_PRINTF(3, 4);
const char *say_duration(uint64_t usec, char out[32]);
