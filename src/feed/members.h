/*
 * feed/members.h - the members of a key or group, out of a tree (what the ledger says) or a text (a line of the picture)
 *
 * Shape    one value for each member that we know; those that we do not know are passed over. A million lines are read
 *          at start, so they make no tree
 * Owner    points into the tree; of a text into that and into the room that comes with it
 * Errors   false: no object; a member of another kind than it can have is SG_FEED_WRONG
 * Limits   numbers below INT64_MAX; strings without NUL
 */
#pragma once

#include <json-c/json.h>

#include "json/slice.h"

enum sg_feed_member {
        SG_FEED_ID,
        SG_FEED_NAME,
        SG_FEED_DIGEST,
        SG_FEED_MODELS,
        SG_FEED_EXPIRES,
        SG_FEED_REVOKED,
        SG_FEED_REMOVED,
        SG_FEED_GROUP,
        SG_FEED_LIMITS,
        SG_FEED_PARENT,
        SG_FEED_VERSION,
        SG_FEED_FORMAT,
        SG_FEED_MEMBER_N,
};

enum sg_feed_kind {
        SG_FEED_ABSENT,
        SG_FEED_NULL,
        SG_FEED_FLAG,
        SG_FEED_NUMBER, /* whole, from 0 on */
        SG_FEED_TEXT,
        SG_FEED_LIST,
        SG_FEED_OBJECT,
        SG_FEED_WRONG,
};

struct sg_feed_value {
        enum sg_feed_kind kind;
        bool flag;
        uint64_t number;
        struct sg_str text;
        struct json_object *tree;  /* of a list, or: */
        struct sg_json_value json; /* of a list or object */
};

struct sg_feed_told {
        struct sg_feed_value at[SG_FEED_MEMBER_N];
        char *room; /* for the next string that has escapes */
};

bool sg_feed_told_tree(struct sg_feed_told *ret, struct json_object *o) SG_MUST_CHECK;
/* room: as many bytes as the text has; where strings with escapes stand decoded. */
bool sg_feed_told_text(struct sg_feed_told *ret, struct sg_str text, char *room) SG_MUST_CHECK;
/* The strings of a list, at most max. */
bool sg_feed_told_strings(struct sg_feed_told *told, enum sg_feed_member m, struct sg_str *ret, size_t max,
                          size_t *ret_n) SG_MUST_CHECK;
