/*
 * probe/probe.h - asks dependencies and endpoints of services again and again whether they serve
 *
 * Shape    one sg_probes for the process; a sg_probe_set is what one configuration wants asked. Preparing a set may fail
 *          and changes nothing; taking it cannot fail: a reload is a transaction
 * Units    _usec
 * Owner    the daemon; a set is given to sg_probes_take(), and holds its configuration and trusts
 * Thread   main, but for sg_probes_health(): any registered reader of RCU, within its turn
 * Errors   preparing: a ca_file that cannot be read, -ENOMEM; with sg_error. Afterwards faults, told by state and log
 * Limits   all probes run side by side, each with its own deadline; one connection each, closed after the judgement;
 *          SG_PROBE_FAILURES_MAX failures in a row make it down, one success makes it ok. Endpoints are asked at
 *          moments of their own, spread at random, and what is our own want does not count against them
 */
#pragma once

#include "loop/loop.h"
#include "probe/health.h"
#include "tls/tls.h"

#define SG_PROBE_FAILURES_MAX 2u
#define SG_PROBE_CONFIRM_USEC SG_USEC_PER_SEC /* after a failure that may be a slip: asked again so soon */

struct sg_probes;
struct sg_probe_set;

int sg_probes_new(struct sg_probes **ret, struct sg_loop *l) SG_MUST_CHECK;
/* No reader may be left. NULL is allowed. */
struct sg_probes *sg_probes_free(struct sg_probes *p);
SG_DEFINE_AUTO(struct sg_probes *, sg_probes_free)

/* What the checks of an endpoint have found out: each time that it changes, and with each new set for all endpoints of all
 * services, also of those that are not checked (they are up). text: why it is down, or "". The service is of the
 * configuration of the set in force. Set before the first set is taken. */
void sg_probes_on_endpoint(struct sg_probes *p,
                           void (*on_endpoint)(const struct sg_config_service *service, unsigned endpoint, bool is_up,
                                               const char *text, void *owner),
                           void *owner);

/* system_trust is lent by who has read it already; NULL: it is read here when a probe needs it. What is known of a
 * dependency that stays the same (name, probe and ca_file) goes over to the new set, and so does what is known of an
 * endpoint (service, URL, check and TLS). */
int sg_probes_prepare(struct sg_probe_set **ret, struct sg_probes *p, struct sg_config *config,
                      struct sg_tls_trust *system_trust, struct sg_error *err) SG_MUST_CHECK;
struct sg_probe_set *sg_probe_set_free(struct sg_probe_set *s);
SG_DEFINE_AUTO(struct sg_probe_set *, sg_probe_set_free)
/* In the same turn as the preparing. Gives the set away; its probes begin at once. */
void sg_probes_take(struct sg_probes *p, struct sg_probe_set *s);
/* For good: what is under way is dropped, what is known stays. */
void sg_probes_stop(struct sg_probes *p);

/* Never NULL once a set was taken. */
const struct sg_health *sg_probes_health(const struct sg_probes *p);
