/*
 * varlink/members.h - what views are made of: members of a JSON object
 *
 * Shape    inline helpers over json-c
 * Owner    the object keeps a copy
 * Limits   Varlink's int has 64 bits and a sign: what is larger becomes INT64_MAX
 */
#pragma once

#include <json-c/json.h>
#include <stdint.h>

#include "base/macro.h"
#include "base/str.h"

static inline void sg_members_add_u64(struct json_object *o, const char *name, uint64_t v)
{
        json_object_object_add(o, name, json_object_new_int64((int64_t)SG_MIN(v, (uint64_t)INT64_MAX)));
}

static inline void sg_members_add_bool(struct json_object *o, const char *name, bool v)
{
        json_object_object_add(o, name, json_object_new_boolean(v));
}

static inline void sg_members_add_text(struct json_object *o, const char *name, struct sg_str text)
{
        json_object_object_add(o, name, json_object_new_string_len(text.n ? text.p : "", (int)text.n));
}
