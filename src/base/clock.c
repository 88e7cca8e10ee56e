#include <time.h>

#include "base/clock.h"
#include "base/macro.h"

static uint64_t read_clock(clockid_t which)
{
        struct timespec now;

        SG_ASSERT(clock_gettime(which, &now) == 0);
        return (uint64_t)now.tv_sec * SG_USEC_PER_SEC + (uint64_t)now.tv_nsec / 1000;
}

uint64_t sg_clock_usec(void)
{
        return read_clock(CLOCK_MONOTONIC);
}

uint64_t sg_clock_wall_usec(void)
{
        return read_clock(CLOCK_REALTIME);
}
