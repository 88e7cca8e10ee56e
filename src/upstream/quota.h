/*
 * upstream/quota.h - what credentials have used today, counted where it outlives the process
 *
 * Shape    a file of fixed size, mapped and shared: by the threads of a process, and by two processes during an
 *          upgrade. One count for each name; a count is one word of day, tokens and a check, so that the first use of a
 *          new day begins it anew. Reservations are not kept here: who dies takes them along
 * Units    tokens; days since 1970-01-01 as the caller counts them
 * Owner    counted; counts live as long as their quota
 * Thread   any: words are atomics
 * Errors   -ENOMEM at birth. A file that cannot be used is no error: then the counts are in memory, and the text says
 *          why; a damaged one is begun anew, and the text says so
 * Limits   SG_QUOTA_COUNTS_MAX names ever, 2^40 - 1 tokens a day, days until 2149
 */
#pragma once

#include <stdbool.h>

#include "base/macro.h"

#define SG_QUOTA_COUNTS_MAX 4095u

struct sg_quota;
struct sg_quota_count;

/* path NULL: in memory. ret_text: "" when all is well. */
int sg_quota_new(struct sg_quota **ret, const char *path, char ret_text[256]) SG_MUST_CHECK;
struct sg_quota *sg_quota_ref(struct sg_quota *q);
struct sg_quota *sg_quota_unref(struct sg_quota *q);
SG_DEFINE_AUTO(struct sg_quota *, sg_quota_unref)
/* A path was given, whatever became of it. */
bool sg_quota_was_opened(const struct sg_quota *q);

/* That of this name, which it has from now on; NULL when all are taken. name: a hash, of which a few hundred among 2^64 do
 * not meet. */
struct sg_quota_count *sg_quota_find(struct sg_quota *q, uint64_t name);

uint64_t sg_quota_used(const struct sg_quota_count *c, uint64_t day);
/* Saturates. */
void sg_quota_add(struct sg_quota_count *c, uint64_t day, uint64_t n_tokens);
