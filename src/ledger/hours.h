/*
 * ledger/hours.h - the hourly sums of a transaction's usage, in memory until it is committed; private to the drivers
 *
 * Shape    a driver adds each usage event of a transaction and writes one row per hour, key and model before the commit:
 *          a batch of the drain has thousands of events and few of those
 * Units    hour: since 1970 UTC; _wall_usec; tokens
 * Owner    the driver's store; a row's strings are copies, lent until sg_hours_clear()
 * Thread   the store's
 * Errors   -ENOMEM
 */
#pragma once

#include "ledger/store.h"

#define SG_HOUR_USEC UINT64_C(3600000000)

enum sg_hour_column { /* in the order of the columns of the table */
        SG_HOUR_REQUESTS,
        SG_HOUR_OUTCOMES, /* one for each enum sg_outcome */
        SG_HOUR_CERTAINTIES = SG_HOUR_OUTCOMES + SG_OUTCOME_N,
        SG_HOUR_COUNTED = SG_HOUR_CERTAINTIES + SG_RECORD_CERTAINTY_N, /* with tokens */
        SG_HOUR_BILLED,                                                /* all but those that failed without tokens */
        SG_HOUR_INPUT,
        SG_HOUR_OUTPUT,
        SG_HOUR_CACHED,
        SG_HOUR_CACHE_WRITE,
        SG_HOUR_CACHE_WRITE_1H,
        SG_HOUR_REASONING,
        SG_HOUR_AUDIO_INPUT,
        SG_HOUR_AUDIO_OUTPUT,
        SG_HOUR_IMAGE,
        SG_HOUR_DURATION,
        SG_HOUR_COLUMN_N,
};

struct sg_hour {
        uint64_t hour, key_id;
        struct sg_str key_name, model, provider, upstream_model;
        uint64_t n[SG_HOUR_COLUMN_N];
        uint64_t first_wall_usec, last_wall_usec;
};

struct sg_hours {
        struct sg_hour **rows;
        size_t n_rows, room_rows;
        uint32_t *places; /* hash table: index + 1 in rows, 0: free */
        size_t n_places;  /* a power of two, more than twice n_rows */
        uint64_t n_events;
};

void sg_hours_done(struct sg_hours *h);
int sg_hours_add(struct sg_hours *h, const struct sg_record *rec) SG_MUST_CHECK;
void sg_hours_clear(struct sg_hours *h);

/* A range of time as whole hours, and what is left of it before and behind them: of that the events themselves are to be
 * summed. Empty parts have from >= to. */
struct sg_hour_range {
        uint64_t from_hour, to_hour;
        uint64_t head_wall_usec[2], tail_wall_usec[2]; /* from, to */
};
struct sg_hour_range sg_hour_range(uint64_t from_wall_usec, uint64_t to_wall_usec);
