/*
 * gateway/health.h - how a service is, as far as its endpoints tell
 *
 * Shape    a value, made when somebody asks
 * Thread   any that holds the snapshot
 * Limits   by checks, breakers and drains (upstream/backends.h): what a service without checks does wrong is known only
 *          from requests
 */
#pragma once

#include "gateway/snapshot.h"
#include "probe/health.h"

struct sg_service_health {
        enum sg_health_status status; /* ok: all are usable; down: none, and none may be tried */
        unsigned n_endpoints, n_usable;
};
void sg_service_health(const struct sg_snapshot_service *s, uint64_t now_usec, struct sg_service_health *ret);
