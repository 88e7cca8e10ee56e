/*
 * base/log_limit.h - how many lines of one kind may be written; the rest is counted and told in one line
 *
 * Shape    a value inside whoever may have to repeat itself. Intervals begin with a line, not with the clock
 * Units    _usec, monotonic: the caller's loop has it
 * Thread   its owner's: no lock, no allocation, no system call
 * Limits   lines_max lines per interval, and one line that says how many more there would have been
 */
#pragma once

#include "base/log.h"

struct sg_log_limit {
        uint32_t lines_max;
        uint32_t n_lines; /* written in this interval */
        uint64_t interval_usec;
        uint64_t since_usec;      /* the beginning of this interval; valid while n_lines is not 0 */
        uint64_t n_held;          /* not written and not told yet */
        uint64_t held_since_usec; /* valid while n_held is not 0 */
};

void sg_log_limit_init(struct sg_log_limit *l, uint32_t lines_max, uint64_t interval_usec);
/* True: write the line. False: it has been counted instead. */
bool sg_log_limit_take(struct sg_log_limit *l, uint64_t now_usec);
/* How many are to be told: when an interval has passed since the first of them, else 0. Forgets them. */
uint64_t sg_log_limit_due(struct sg_log_limit *l, uint64_t now_usec);
/* The same at the end, however short it is since then. */
uint64_t sg_log_limit_rest(struct sg_log_limit *l);

/* The one line: MESSAGE_ID of SG_MESSAGE_ERRORS_SUMMED, SCRIBE_REASON=, SCRIBE_COUNT=, and more fields if there are any
 * (at most 4). */
void sg_log_held(enum sg_log_level level, const char *reason, uint64_t n, const struct sg_log_field *more,
                 size_t n_more);
