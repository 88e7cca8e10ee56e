/*
 * ledger/others.h - what other ledgers on the same database changed
 *
 * Shape    asks the database for what is newer than what was told, every SG_OTHERS_POLL_USEC, whenever the database says
 *          that keys changed (pg_listen.h), and at hints; tells the watchers of it, and of times in which nobody here can
 *          know. For a database that one ledger owns alone it does nothing
 * Owner    the server; the keeper is borrowed
 * Thread   main
 * Limits   more than SG_OTHERS_CHANGES_MAX changes at once are not told one by one: the watchers begin anew
 */
#pragma once

#include <json-c/json.h>

#include "ledger/keeper.h"

#define SG_OTHERS_POLL_USEC   (5 * SG_USEC_PER_SEC)
#define SG_OTHERS_STALE_USEC  (SG_OTHERS_POLL_USEC + 5 * SG_USEC_PER_SEC) /* without a good answer */
#define SG_OTHERS_CHANGES_MAX 10000u

struct sg_others;

struct sg_others_ear {
        /* A reply of WatchKeys with what changed (given away) and its version. NULL: too much, they must begin anew. */
        void (*changed)(struct json_object *news, uint64_t version, void *owner);
        void (*stale)(bool is_stale, void *owner);
        void *owner;
};

int sg_others_new(struct sg_others **ret, struct sg_loop *l, const struct sg_store_options *options,
                  struct sg_keeper *k, const struct sg_others_ear *ear, struct sg_error *err) SG_MUST_CHECK;
struct sg_others *sg_others_free(struct sg_others *o);
/* Something may have changed: it is asked now. */
void sg_others_hint(struct sg_others *o);
/* This ledger made a change and told it: it need not be told again. */
void sg_others_told(struct sg_others *o, uint64_t version);
bool sg_others_is_stale(const struct sg_others *o);
