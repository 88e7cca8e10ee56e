/*
 * feed/total.h - what the ledger says was used in a day or month, as JSON (private to the room)
 *
 * Shape    {"of":"key","id":7,"window":"month","period":682,"requests":10,"tokens":2000,
 *          "costs":[{"currency":"USD","amount":"0.0025"}]}; of "model" and "provider" with "name" in place of "id"
 * Owner    the name points into the tree
 * Errors   false: not of this shape
 */
#pragma once

#include <json-c/json.h>

#include "feed/feed.h"

bool sg_feed_total_read(struct sg_feed_total *ret, struct json_object *o) SG_MUST_CHECK;
