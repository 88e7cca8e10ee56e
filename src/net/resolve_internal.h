/*
 * net/resolve_internal.h - c-ares on the loop, for resolve.c: questions without cache, merging or time limit
 *
 * Owner    the resolver owns the channel; an asker must outlive its question or the channel
 * Thread   the loop's
 * Errors   0, or SG_RESOLVE_E_* to on_answer
 */
#pragma once

#include "net/resolve.h"

struct sg_channel;

/* on_answer may be called from inside sg_channel_ask() and sg_channel_free(). Ports are zero. */
int sg_channel_new(struct sg_channel **ret, struct sg_loop *l, const struct sg_resolver_options *options,
                   void (*on_answer)(void *asker, int error, const struct sg_resolved *found, uint64_t ttl_usec))
        SG_MUST_CHECK;
struct sg_channel *sg_channel_free(struct sg_channel *c);
void sg_channel_ask(struct sg_channel *c, const char *host, void *asker);
