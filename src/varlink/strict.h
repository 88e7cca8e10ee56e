/*
 * varlink/strict.h - an object read strictly, whatever json-c's version
 *
 * Shape    one function over json-c's tokener: one object, no comment, no single quotes, nothing behind it, UTF-8
 * Owner    the caller puts *ret
 * Errors   -EBADMSG: not such an object; -ENOMEM
 * Limits   SG_VARLINK_BYTES_MAX; the depth given
 * Source   RFC 8259. json-c 0.18 (Debian 13) compares signed characters in strict mode and refuses every byte above 0x7f
 *          in a string: such characters are written as \u escapes before it sees them
 */
#pragma once

#include <json-c/json.h>

#include "base/macro.h"
#include "base/str.h"

int sg_varlink_read_object(struct json_object **ret, struct sg_str text, int depth) SG_MUST_CHECK;
