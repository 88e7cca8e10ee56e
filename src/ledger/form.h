/*
 * ledger/form.h - what calls say of keys and groups: checked, and in the form in which the database keeps it
 *
 * Owner    texts are added to the caller's buffer; json-c objects returned are the caller's
 * Thread   any
 * Errors   -EINVAL with a sentence that says what to give
 * Limits   SG_FORM_MODELS_MAX patterns, SG_LIMITS_MAX limits; SG_FORM_BYTES_MAX for either's text
 */
#pragma once

#include <json-c/json.h>

#include "base/buf.h"
#include "base/error.h"
#include "config/limit.h"
#include "journal/record.h"

#define SG_FORM_MODELS_MAX    64u
#define SG_FORM_BYTES_MAX     (SG_FORM_MODELS_MAX * 2u * 6u * SG_RECORD_MODEL_BYTES_MAX)
#define SG_FORM_FAR_WALL_USEC UINT64_C(253402300800000000) /* the end of year 9999 */
#define SG_FORM_NAME_WORDS    "has 1 to 64 of letters, digits and . _ @ -"

/* Of keys and groups: 1 to SG_KEY_NAME_CHARS_MAX of letters, digits and . _ @ - */
bool sg_form_name_is_good(struct sg_str name);
/* The same, or what such names begin with and a *; or a * alone. */
bool sg_form_pattern_is_good(struct sg_str pattern);

/* A JSON array of patterns. NULL (all) gives an empty text. */
int sg_form_models(struct sg_buf *ret, struct json_object *models, struct sg_error *err) SG_MUST_CHECK;
/* A JSON array of canonical texts (config/limit.h), none of which contradicts another. NULL and [] give an empty text. */
int sg_form_limits(struct sg_buf *ret, struct json_object *limits, struct sg_error *err) SG_MUST_CHECK;

/* Back again; NULL for an empty text. Models that cannot be read allow nothing, rather than all. */
struct json_object *sg_form_models_json(struct sg_str text);
struct json_object *sg_form_limits_json(struct sg_str text);
