/*
 * ledger/totals_sum.h - which totals there are to tell, and what they are; private to totals*.c
 *
 * Shape    sg_totals_look() finds out what was touched, sg_totals_sum() works it off for some time. Between two calls it
 *          keeps what is left to do, and where it has looked up to
 * Owner    the one who works it off; one thread at a time
 * Thread   any, with the store
 * Errors   of the store: what was touched stays touched
 */
#pragma once

#include <json-c/json.h>

#include "config/config.h"
#include "ledger/store.h"

#define SG_TOTALS_MAX 1000u /* in an array, about */

struct sg_totals_work {
        const struct sg_config *config; /* borrowed; NULL: none */
        uint64_t event, version;        /* looked up to */
        uint64_t day, month;            /* periods, of when it was looked */
        uint64_t day_wall_usec[2], month_wall_usec[2];
        uint64_t *keys; /* touched and to be told */
        size_t n_keys, room_keys;
        struct sg_totals_group *groups; /* all, by id */
        size_t n_groups, room_groups;
        bool has_names;   /* models and providers are to be told */
        bool has_no_room; /* for what was found: look again */
};

void sg_totals_work_done(struct sg_totals_work *w);
/* When nothing is left of what was found before. all: whatever was used this month, not only what is new. */
int sg_totals_look(struct sg_totals_work *w, struct sg_store *s, uint64_t wall_usec, bool all, struct sg_error *err)
        SG_MUST_CHECK;
/* Adds to array, up to SG_TOTALS_MAX. *ret_is_done: nothing is left. */
int sg_totals_sum(struct sg_totals_work *w, struct sg_store *s, uint64_t usec, struct json_object *array,
                  bool *ret_is_done, struct sg_error *err) SG_MUST_CHECK;
