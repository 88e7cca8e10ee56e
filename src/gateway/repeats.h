/*
 * gateway/repeats.h - lines about failures that repeat themselves: some are written, the rest is counted
 *
 * Shape    one limit per reason, inside each worker. A client with a wrong key in a loop, or a provider that is down, fails
 *          thousands of exchanges a second; the first lines say all that their successors would. What succeeds is
 *          never held back: its lines are what usage is looked up by
 * Units    _usec, monotonic
 * Thread   the worker's
 * Limits   SG_REPEATS_LINES_MAX lines per reason in SG_REPEATS_INTERVAL_USEC, one line with the count of the rest
 */
#pragma once

#include "base/log_limit.h"
#include "gateway/failure.h"

/* Five lines a second and reason: as many as somebody who follows the log can read, and 10 MB a day of the worst kind. A
 * person who tries something by hand, or a test that does, never gets there. */
#define SG_REPEATS_LINES_MAX     50u
#define SG_REPEATS_INTERVAL_USEC (10 * SG_USEC_PER_SEC)

struct sg_repeats {
        struct sg_log_limit of[SG_FAIL_N];
        struct sg_log_limit connections_full; /* the line about the state; each refusal has one of the others */
        bool has_held;
};

void sg_repeats_init(struct sg_repeats *r);
/* True: write the line. What did not fail always may. */
bool sg_repeats_take(struct sg_repeats *r, enum sg_failure f, uint64_t now_usec);
/* Once per turn; is_last: whatever there is, since no turn follows. */
void sg_repeats_tell(struct sg_repeats *r, unsigned worker, uint64_t now_usec, bool is_last);
