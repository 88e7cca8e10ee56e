/*
 * feed/change.h - what the ledger says of one key or group, as JSON and as the key table takes it (private to the room)
 *
 * Shape    {"id":1,"name":"alice","digest":"…64 hex…","models":["gpt-*"] or null,"expires_wall_usec":0,"revoked":false,
 *          "group":3,"limits":["600 requests/minute"]}, the last two or null may be missing;
 *          of a group {"id":3,"name":"team","parent":1,"limits":[…]}; or of either {"id":1,"removed":true}
 * Owner    strings of a change point to where they were read from, models into the struct; limits are counted
 * Errors   false: not of this shape
 * Limits   SG_NAME_BYTES_MAX for names, 64 models, SG_LIMITS_MAX limits
 */
#pragma once

#include "auth/keytable.h"
#include "base/buf.h"
#include "feed/members.h"

#define SG_FEED_MODELS_MAX 64u

struct sg_feed_change {
        struct sg_key_change key;
        struct sg_str models[SG_FEED_MODELS_MAX];
};

/* On success the limits must be given back, by sg_feed_change_done() and _group_done(). */
bool sg_feed_change_read(struct sg_feed_change *ret, struct sg_feed_told *told) SG_MUST_CHECK;
void sg_feed_change_done(struct sg_feed_change *c);
bool sg_feed_group_read(struct sg_group_change *ret, struct sg_feed_told *told) SG_MUST_CHECK;
void sg_feed_group_done(struct sg_group_change *c);
/* The JSON text of a change, or of an entry. */
int sg_feed_change_write(struct sg_buf *b, const struct sg_key_change *c) SG_MUST_CHECK;
int sg_feed_key_write(struct sg_buf *b, const struct sg_key *k) SG_MUST_CHECK;
int sg_feed_group_write(struct sg_buf *b, const struct sg_group_change *c) SG_MUST_CHECK;
