/*
 * gateway/sync.h - the thread that makes the journal durable
 *
 * Shape    one thread for all rings: every 50 ms what was written is synced; with `sync = always` at once, as
 *          exchanges wait for it (many of them share one sync)
 * Owner    the daemon; rings are borrowed
 * Thread   sg_sync_wait() and sg_sync_arrived(): the worker; the rest: main
 * Errors   a failing sync is logged once per state change and tried again
 */
#pragma once

#include "gateway/exchange.h"

#define SG_SYNC_INTERVAL_USEC (50 * SG_USEC_PER_MSEC)

struct sg_sync;

int sg_sync_new(struct sg_sync **ret, struct sg_worker **workers, size_t n_workers) SG_MUST_CHECK;
/* Syncs once more and ends the thread. */
struct sg_sync *sg_sync_free(struct sg_sync *s);

/* The exchange waits in its worker's list until its close record is on disk. */
void sg_sync_wait(struct sg_exchange *x);
/* Runs those whose record is. */
void sg_sync_arrived(struct sg_worker *w);
