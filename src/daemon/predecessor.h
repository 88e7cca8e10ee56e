/*
 * daemon/predecessor.h - the process that started this one as its successor; the other end of daemon/successor.h
 *
 * Shape    found in the environment, or not there. It is told that we are ready, or why not, and gives us the service.
 *          Until then we are not the main process of the unit: nothing is told to the service manager, nothing accepted
 * Owner    the daemon
 * Thread   main
 * Errors   sg_error when the environment names a predecessor that is not there
 */
#pragma once

#include "base/error.h"
#include "loop/loop.h"

#define SG_PREDECESSOR_FD        "SCRIBE_PREDECESSOR"
#define SG_PREDECESSOR_OWN       "SCRIBE_OWN_SOCKETS"
#define SG_PREDECESSOR_BYTES_MAX 1200 /* of a message */

struct sg_predecessor;

/* *ret is NULL when there is none. The names are taken out of the environment: children do not inherit them. */
int sg_predecessor_find(struct sg_predecessor **ret, struct sg_error *err) SG_MUST_CHECK;
struct sg_predecessor *sg_predecessor_free(struct sg_predecessor *p);
SG_DEFINE_AUTO(struct sg_predecessor *, sg_predecessor_free)
/* Nobody but us has the socket of this name: our predecessor had bound it. */
bool sg_predecessor_bound(const struct sg_predecessor *p, const char *name);
/* is_ours: the service is ours now. Else the predecessor has gone without giving it to us. Once; it may free p. */
int sg_predecessor_watch(struct sg_predecessor *p, struct sg_loop *l, void (*on_word)(bool is_ours, void *owner),
                         void *owner) SG_MUST_CHECK;
void sg_predecessor_tell_ready(struct sg_predecessor *p, const char *version);
void sg_predecessor_tell_failed(struct sg_predecessor *p, const struct sg_error *err);
