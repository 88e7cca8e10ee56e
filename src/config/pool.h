/*
 * config/pool.h - memory that lives and goes together
 *
 * Shape    every piece is an allocation of its own, so that tools see the byte past its end
 * Owner    the pool; sg_pool_done() frees all at once
 * Thread   one at a time
 * Errors   NULL without memory
 */
#pragma once

#include "base/macro.h"
#include "base/str.h"

struct sg_pool_piece;
struct sg_pool {
        struct sg_pool_piece *first;
};

void sg_pool_init(struct sg_pool *p);
void sg_pool_done(struct sg_pool *p);

/* Zeroed. n may be 0. */
void *sg_pool_alloc(struct sg_pool *p, size_t n) SG_MUST_CHECK;
void *sg_pool_array(struct sg_pool *p, size_t n, size_t item_bytes) SG_MUST_CHECK;
char *sg_pool_dup(struct sg_pool *p, struct sg_str s) SG_MUST_CHECK;
char *sg_pool_printf(struct sg_pool *p, const char *format, ...) SG_PRINTF(2, 3) SG_MUST_CHECK;
