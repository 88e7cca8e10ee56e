/*
 * ctl/csv.h - lines of comma-separated values in, fields out
 *
 * Shape    pull: one record a call. "…" may hold commas, line ends and "" for a quote; a byte order mark is skipped; lines
 *          end with LF or CR LF, the last one may lack it; empty lines are passed over
 * Owner    the reader owns the text that it made of quoted fields; fields are lent until the next call
 * Thread   one
 * Errors   SG_CSV_E_*; a sentence in `problem`, and the line it is in
 * Limits   SG_CSV_FIELDS_MAX fields a record
 * Source   RFC 4180; stricter in that a quote must begin its field
 */
#pragma once

#include "base/macro.h"
#include "base/str.h"

#define SG_CSV_FIELDS_MAX 256u

enum sg_csv_error {
        SG_CSV_E_END = 1,
        SG_CSV_E_BAD,
};

struct sg_csv {
        struct sg_str rest;
        size_t line; /* where the last record began, or the problem is */
        size_t next_line;
        const char *problem;
        char *text; /* of quoted fields */
        size_t n_text, text_bytes;
        struct sg_str fields[SG_CSV_FIELDS_MAX];
        size_t n_fields;
};

/* The bytes stay the caller's and must outlive it. */
int sg_csv_init(struct sg_csv *c, struct sg_str bytes) SG_MUST_CHECK; /* 0 or -ENOMEM */
void sg_csv_done(struct sg_csv *c);
int sg_csv_next(struct sg_csv *c) SG_MUST_CHECK;
