/*
 * feed/news.h - one message of the ledger: groups, keys, totals, and how far they go (private to the room)
 *
 * Shape    {"groups":[…],"changes":[…],"totals":[…],"version":5,"complete":true,"stale":false}, each of them or null may be missing
 * Owner    lists point into the tree
 * Errors   false or -EBADMSG: not of this shape; what stood before the bad item is in force then
 */
#pragma once

#include "feed/picture.h"
#include "feed/total.h"

struct sg_feed_news {
        struct json_object *groups, *changes, *totals; /* NULL: none */
        uint64_t version;
        bool has_version, is_complete;
        bool has_stale, is_stale; /* the ledger itself may not know all changes */
};

bool sg_feed_news_read(struct sg_feed_news *ret, struct json_object *o) SG_MUST_CHECK;
/* Groups and keys as lines of the picture, committed with that version. */
int sg_feed_news_collect(const struct sg_feed_news *n, struct sg_picture *p, uint64_t version) SG_MUST_CHECK;
/* The same into the table, one by one; groups first. */
int sg_feed_news_apply(const struct sg_feed_news *n, struct sg_keytable *t) SG_MUST_CHECK;
/* on_total may be NULL: then they are only looked at. */
int sg_feed_news_totals(const struct sg_feed_news *n, void (*on_total)(const struct sg_feed_total *t, void *owner),
                        void *owner) SG_MUST_CHECK;
