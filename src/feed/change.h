/*
 * feed/change.h - what the ledger says of one key, as JSON and as the key table takes it (private to the room)
 *
 * Shape    {"id":1,"name":"alice","digest":"…64 hex…","models":["gpt-*"] or null,"expires_wall_usec":0,"revoked":false}
 *          or {"id":1,"removed":true}; members that we do not know are passed over
 * Owner    strings of a change point into the JSON tree, and its models into the struct
 * Errors   false: not of this shape
 * Limits   SG_NAME_BYTES_MAX for the name, 64 models
 */
#pragma once

#include <json-c/json.h>

#include "auth/keytable.h"
#include "base/buf.h"

#define SG_FEED_MODELS_MAX 64u

struct sg_feed_change {
        struct sg_key_change key;
        struct sg_str models[SG_FEED_MODELS_MAX];
};

bool sg_feed_change_read(struct sg_feed_change *ret, struct json_object *o) SG_MUST_CHECK;
/* The JSON text of a change or of an entry. */
int sg_feed_change_write(struct sg_buf *b, const struct sg_key_change *c) SG_MUST_CHECK;
int sg_feed_key_write(struct sg_buf *b, const struct sg_key *k) SG_MUST_CHECK;
/* A member that must be an integer from 0 on. */
bool sg_feed_read_u64(struct json_object *o, const char *name, uint64_t *ret) SG_MUST_CHECK;
