/*
 * upstream/breaker.h - who fails again and again is left alone for a while, then tried by one
 *
 * Shape    one word and a count, embedded in what they are of; a rule says when it opens and for how long
 * Units    _usec, monotonic
 * Owner    whoever embeds it; zeroed at birth: closed
 * Thread   any; words are read and written relaxed, as none of them guards another
 * Source   closed, open (twice as long after each failed trial, up to 16 times), then a single trial
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "base/macro.h"

struct breaker {
        _Atomic uint64_t word;     /* 0: closed */
        _Atomic uint32_t n_in_row; /* faults since it last went well */
};

struct breaker_rule {
        unsigned failures;   /* in a row; 0: it never opens */
        uint64_t open_usec;  /* for the first time */
        uint64_t trial_usec; /* after which a trial is taken for lost */
};

enum breaker_use {
        BREAKER_USE_FREELY,
        BREAKER_USE_AS_TRIAL, /* its time is over */
        BREAKER_USE_NOT,
};

enum breaker_look {
        BREAKER_CLOSED,
        BREAKER_OPEN,
        BREAKER_TRIAL, /* one is under way */
};

enum breaker_turn {
        BREAKER_TURN_NONE,
        BREAKER_TURN_TRIPPED,
        BREAKER_TURN_RETURNED,
};

enum breaker_use breaker_may_use(const struct breaker *b, const struct breaker_rule *rule, uint64_t now_usec);
/* False: it may not be used any more. ret_trial: 0 when it is none. */
bool breaker_begin(struct breaker *b, const struct breaker_rule *rule, uint64_t now_usec, uint64_t *ret_trial);
enum breaker_look breaker_look(const struct breaker *b, const struct breaker_rule *rule, uint64_t now_usec);
/* How long it keeps out; 0: not. */
uint64_t breaker_open_for_usec(const struct breaker *b, const struct breaker_rule *rule, uint64_t now_usec);
/* True when it was open. */
bool breaker_close(struct breaker *b);

/* How what began with this trial (0: none) has gone. */
enum breaker_turn breaker_went_well(struct breaker *b, const struct breaker_rule *rule, uint64_t trial);
enum breaker_turn breaker_failed(struct breaker *b, const struct breaker_rule *rule, uint64_t trial, uint64_t now_usec);
/* It says nothing: the next may try at once. */
void breaker_give_up(struct breaker *b, uint64_t trial, uint64_t now_usec);
