/*
 * limit/lease.h - what one node may take of a limit that a fleet shares: grants from Redis, ahead of need, in the background
 *
 * Shape    a lease for each word and period that is in use here, and one sg_fleet for the node. A lease says what to ask,
 *          takes the answer, and puts units into the word's purse (word.h `granted`) or takes them back. No I/O: the
 *          caller sends the questions of all leases in one command, and has one on its way at a time
 * Units    units of the limit; _usec monotonic
 * Owner    the main thread; purses are shared with the workers, who take from them at any time
 * Errors   none
 * Source   docs/limits.md, "The fleet", says why the sum holds; lease_script.c is the other half, inside Redis
 *
 * All figures are sums since the period began, never differences: what a node was granted, and what it has taken of that. A
 * question that is asked twice, or whose answer is lost, therefore changes nothing.
 */
#pragma once

#include "base/macro.h"
#include "config/limit.h"

/* A node that was not heard for so long is taken for dead, and what it has not used goes back. In the script, too. */
#define SG_LEASE_USEC (10 * SG_USEC_PER_SEC)
/* So long what a node was granted is surely still its own, also for a process that comes after one that has crashed; what
 * stands in purses for longer is void. */
#define SG_LEASE_FRESH_USEC (SG_LEASE_USEC * 8 / 10)
/* Each node is heard that often, whether it needs something or not. */
#define SG_LEASE_BEAT_USEC (1 * SG_USEC_PER_SEC)
/* Without an answer for so long a node goes on alone, with its share of what is left. */
#define SG_LEASE_ALONE_USEC (1 * SG_USEC_PER_SEC)

/* ---- the purse: the part of the word that workers take from */

struct sg_lease_purse {
        int64_t (*look)(void *word, uint64_t period); /* what is in it; below zero: debts of estimates */
        bool (*take)(void *word, uint64_t period, uint64_t n);
        void (*add)(void *word, uint64_t period, int64_t n);
};

/* ---- the node among the others */

struct sg_fleet {
        uint64_t seq;        /* of the last question; from wall time at birth, so that it grows over restarts */
        uint64_t n_nodes;    /* seen last; 0: never any */
        uint64_t begun_usec; /* birth */
        uint64_t sent_usec;  /* the question on its way; 0: none */
        uint64_t heard_usec; /* when the last question was sent that was answered; 0: none */
        uint64_t since_usec; /* since when it was heard without a pause in which it might have been taken for dead */
        uint64_t well_usec;  /* as heard_usec, of answers that may have given grants; 0: none */
        uint64_t clock_msec; /* of Redis, at heard_usec */
        uint64_t rebuild;    /* the fleet finds itself anew, since: every lease is to be reported; 0: it does not */
        uint64_t reported;   /* the rebuild of which all leases were reported */
};

void sg_fleet_init(struct sg_fleet *f, uint64_t n_nodes_remembered, uint64_t now_usec, uint64_t wall_usec);
/* No question is answered: shares count. */
bool sg_fleet_is_alone(const struct sg_fleet *f, uint64_t now_usec);

/* What stands at the head of a question and of its answer. */
#define SG_FLEET_HEAD_WORDS 5
struct sg_fleet_head {
        uint64_t seq, clock_msec, n_nodes;
        bool is_full;  /* with it all leases are reported that have anything */
        bool is_leave; /* the node goes */
};
void sg_fleet_ask(struct sg_fleet *f, bool is_full, bool is_leave, uint64_t now_usec, struct sg_fleet_head *ret);
enum sg_fleet_status {
        SG_FLEET_OK,
        SG_FLEET_OLDER, /* another question of this node was heard that is later: ask again */
        SG_FLEET_LATE,  /* it was on its way for too long, or clocks were set: ask again */
};
/* The numbers that Redis answered, n of them. False: it is no answer of the script. *ret_status tells whether those of leases
 * follow, from SG_FLEET_HEAD_WORDS on. */
bool sg_fleet_answer(struct sg_fleet *f, const int64_t *numbers, size_t n, enum sg_fleet_status *ret_status);
/* The question was lost. */
void sg_fleet_lost(struct sg_fleet *f);

/* ---- a lease */

struct sg_lease {
        const struct sg_lease_purse *purse;
        void *word;
        struct sg_limit limit;
        uint64_t period; /* 0 of minutes, hours and concurrency */

        bool is_adopted;        /* put is known: what an earlier process was granted is accounted for */
        int64_t put;            /* all that was ever put into the purse */
        int64_t granted;        /* by Redis, as told last */
        uint64_t free;          /* for all, as told last */
        uint64_t out;           /* with all nodes and not used, as told last */
        uint64_t answered_usec; /* when that was asked; 0: never */

        uint64_t waits_least, waits_sum; /* of exchanges that wait */
        double rate;                     /* units a second, of late */
        int64_t taken_before;            /* when the rate was taken */
        uint64_t looked_usec, active_usec;
        int64_t reported; /* taken, as told last */
        bool is_asked;    /* in the question on its way */
        bool is_asked_adopt;
        int64_t asked_balance;

        bool is_alone;
        int64_t alone_put; /* of put: this node's share */
        uint64_t alone_usec;
        uint64_t alone_refilled;
};

/* n_open: of concurrency, how many exchanges are open in all processes of this node. */
void sg_lease_init(struct sg_lease *l, const struct sg_lease_purse *purse, void *word, const struct sg_limit *limit,
                   uint64_t period, uint64_t n_open, uint64_t now_usec);
/* The same limit in the next period: nothing was put yet, and that is known. */
void sg_lease_renew(struct sg_lease *l, uint64_t period, uint64_t now_usec);
/* An exchange waits for n units. */
void sg_lease_wait(struct sg_lease *l, uint64_t n);

#define SG_LEASE_WORDS 9 /* of a question, after the key */
struct sg_lease_question {
        char kind;     /* 'c' counter, 'b' bucket, 'g' gauge */
        int64_t used;  /* taken */
        int64_t claim; /* what was granted before, should Redis have forgotten it */
        int64_t need;  /* at least so much, or nothing more */
        int64_t want;  /* at best; less than granted: what is above is given back */
        int64_t floor; /* counters: used by the fleet, as the ledger tells; buckets: usec until it is full */
        uint64_t window_usec, keep_msec;
        bool is_adopt;
        int64_t balance; /* of is_adopt */
};
/* Whether there is something to ask or to tell. What is to be given back is taken from the purse here. fleet_used: what the
 * ledger knows; is_full: everything that anybody could claim is told. */
bool sg_lease_ask(struct sg_lease *l, const struct sg_fleet *f, uint64_t fleet_used, bool is_full, uint64_t now_usec,
                  struct sg_lease_question *ret);
/* Everything goes back: the node goes. */
void sg_lease_leave(struct sg_lease *l, const struct sg_fleet *f, uint64_t fleet_used, uint64_t now_usec,
                    struct sg_lease_question *ret);
#define SG_LEASE_ANSWER_WORDS 4
/* numbers: SG_LEASE_ANSWER_WORDS of them. */
void sg_lease_answer(struct sg_lease *l, const struct sg_fleet *f, const int64_t *numbers);
void sg_lease_lost(struct sg_lease *l);
/* Each time that the purse may need something while the fleet is not there; does nothing when it is. */
void sg_lease_alone(struct sg_lease *l, const struct sg_fleet *f, uint64_t fleet_used, uint64_t now_usec);
/* Nothing was taken for a while, nothing is left in the purse, and nobody waits: the lease may be forgotten. */
bool sg_lease_is_idle(const struct sg_lease *l, uint64_t now_usec);
/* By how much the fleet may pass the limit at most while this node, and any others, are alone. */
uint64_t sg_lease_bound(const struct sg_lease *l, const struct sg_fleet *f);

/* ---- the script */

#define SG_LEASE_KEYS 4 /* before those of the words: fleet, nodes, seq, back */
#define SG_LEASE_ARGS 6 /* before those of the words: node, and the head */
extern const char sg_lease_script[];
