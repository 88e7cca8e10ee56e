/*
 * config/raw.h - what is written, merged from all files, before it means anything
 *
 * Shape    a list of sections, each with the lines that set something, in the order in which they were read
 * Owner    everything lies in the pool that was given at birth
 * Errors   0, -ENOMEM, -EINVAL with place: unknown words, a scalar that one file sets twice
 * Limits   SG_RAW_SECTIONS_MAX
 */
#pragma once

#include "base/error.h"
#include "base/list.h"
#include "config/pool.h"
#include "config/settings.h"

#define SG_RAW_SECTIONS_MAX 4096u

struct sg_raw_line {
        struct sg_link link;
        const struct sg_setting *setting;
        struct sg_str value; /* NUL-terminated as well */
        const char *where;   /* "path:line", "environment variable X" */
        unsigned file, line;
};

struct sg_raw_section {
        struct sg_link link;
        enum sg_section id;
        const char *name; /* NULL for sections without names */
        const char *where;
        struct sg_list lines;
};

struct sg_raw {
        struct sg_pool *pool;
        struct sg_list sections;
        unsigned n_files;
};

#define SG_RAW_SECTION(k) SG_CONTAINER(k, struct sg_raw_section, link)
#define SG_RAW_LINE(k)    SG_CONTAINER(k, struct sg_raw_line, link)

void sg_raw_init(struct sg_raw *raw, struct sg_pool *pool);
/* A whole file. path is for places and must live as long as the pool. */
int sg_raw_add_bytes(struct sg_raw *raw, struct sg_str bytes, const char *path, struct sg_error *err) SG_MUST_CHECK;
/* From elsewhere than a file: as if a later file said so. name NULL for sections without. */
int sg_raw_put(struct sg_raw *raw, enum sg_section id, const char *name, const char *setting, struct sg_str value,
               const char *where) SG_MUST_CHECK;

/* NULL when nobody wrote it. */
struct sg_raw_section *sg_raw_find(const struct sg_raw *raw, enum sg_section id, struct sg_str name);
size_t sg_raw_count(const struct sg_raw *raw, enum sg_section id);
/* The line that counts for a scalar: the last, NULL when there is none or it is empty. */
const struct sg_raw_line *sg_raw_last(const struct sg_raw_section *section, const struct sg_setting *s);
/* Of a list: the first line that counts, and the one after; what an empty assignment cleared is left out. */
const struct sg_raw_line *sg_raw_first_of(const struct sg_raw_section *section, const struct sg_setting *s);
const struct sg_raw_line *sg_raw_next_of(const struct sg_raw_section *section, const struct sg_raw_line *line);
