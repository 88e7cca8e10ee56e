/*
 * base/clock.h - now, in microseconds
 *
 * Units    _usec; monotonic for durations and timers, wall (since 1970, UTC) for records
 */
#pragma once

#include <stdint.h>

uint64_t sg_clock_usec(void);      /* CLOCK_MONOTONIC */
uint64_t sg_clock_wall_usec(void); /* CLOCK_REALTIME */
