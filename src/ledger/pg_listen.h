/*
 * ledger/pg_listen.h - hears that another ledger changed keys, on a connection and a thread of its own
 *
 * Shape    LISTEN scribe_keys; the change itself is asked of the store (sg_store_changes). Every SG_PG_LISTEN_POLL_USEC the
 *          version is asked for, too, which is also how a connection that died without a word is noticed
 * Owner    the creator
 * Thread   all calls, and on_change(): the thread of the loop. libpq has waits of its own (names, files): none of them is the
 *          loop's
 * Errors   while there is no connection nothing is told; it is made again every second or so
 * Limits   one letter at a time: what comes meanwhile is one more
 */
#pragma once

#include "ledger/store.h"
#include "loop/loop.h"

#define SG_PG_LISTEN_POLL_USEC (5 * SG_USEC_PER_SEC)

struct sg_pg_listen;

/* on_change: the keys' version is now that one, or was for a moment. Also after each connecting. */
int sg_pg_listen_new(struct sg_pg_listen **ret, struct sg_loop *l, const struct sg_store_options *options,
                     void (*on_change)(uint64_t version, void *owner), void *owner, struct sg_error *err) SG_MUST_CHECK;
struct sg_pg_listen *sg_pg_listen_free(struct sg_pg_listen *p);
SG_DEFINE_AUTO(struct sg_pg_listen *, sg_pg_listen_free)
