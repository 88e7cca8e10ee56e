/*
 * ctl/export.h - what a provider says was used: its export as CSV, by day and model
 *
 * Shape    columns are found by their names. A plain form, and what OpenAI's and Anthropic's exports call them (the table
 *          in export.c); rows of the same day and model are added up
 * Units    tokens as in our records: input with cached and cache writes in it; cost in pico of a currency that the file
 *          does not name
 * Owner    the export owns its rows and names
 * Thread   one
 * Errors   -EINVAL with where = "file:line"
 * Limits   SG_EXPORT_BYTES_MAX, SG_EXPORT_ROWS_MAX days times models
 */
#pragma once

#include "base/error.h"
#include "base/str.h"

#define SG_EXPORT_BYTES_MAX (64u << 20)
#define SG_EXPORT_ROWS_MAX  10000u

enum sg_export_class {
        SG_EXPORT_REQUESTS,
        SG_EXPORT_INPUT,
        SG_EXPORT_CACHED,
        SG_EXPORT_CACHE_WRITE,
        SG_EXPORT_OUTPUT,
        SG_EXPORT_COST,
        SG_EXPORT_CLASS_N,
};
/* "cache_write_tokens": its column in the plain form. */
const char *sg_export_class_name(enum sg_export_class c);

struct sg_export_row {
        uint64_t day; /* since 1970 */
        char *model;
        __int128 n[SG_EXPORT_CLASS_N];
        uint64_t n_lines; /* that were added up */
};

struct sg_export {
        struct sg_export_row *rows;
        size_t n_rows;
        uint32_t has;                 /* bit per class that the file has a column for */
        uint64_t first_day, last_day; /* with a line, if only an empty one */
        unsigned cost_digits;         /* the most behind the point of any cost */
};

int sg_export_read(struct sg_export **ret, const char *path, struct sg_error *err) SG_MUST_CHECK;
int sg_export_read_bytes(struct sg_export **ret, struct sg_str bytes, const char *path, struct sg_error *err)
        SG_MUST_CHECK;
struct sg_export *sg_export_free(struct sg_export *e);
SG_DEFINE_AUTO(struct sg_export *, sg_export_free)
