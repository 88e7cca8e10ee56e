/*
 * gateway/high_water.h - rings that fill up: told before they are full, and how long the rest lasts
 *
 * Shape    one for all rings; looked at in each round of the sync thread. Told once when a ring is taken to three
 *          quarters, and once when all are below the half again
 * Units    _usec
 * Owner    the sync thread's
 * Thread   the sync thread; sg_high_water_full_in_usec(): any
 */
#pragma once

#include "gateway/worker.h"

struct sg_high_water {
        bool is_high;
        uint64_t measured_usec; /* when the rates were taken */
};

void sg_high_water_look(struct sg_high_water *h, struct sg_worker **workers, size_t n_workers);
/* How long until this worker's ring is full, at the rate of the last seconds; 0: it does not fill up, or is nearly
 * empty. */
uint64_t sg_high_water_full_in_usec(const struct sg_worker *w);
