/*
 * gateway/snapshot.h - what an exchange is held by: the configuration and what was made ready from it
 *
 * Shape    immutable but for when something was told; endpoints and credentials of providers are prepared, so that publishing cannot fail
 * Owner    counted; an exchange keeps the one it began with. The publisher's count is dropped after the grace period
 * Thread   made by the main thread, read by all
 * Errors   sg_error: a CA file that cannot be read
 */
#pragma once

#include <stdatomic.h>

#include "base/rcu.h"
#include "config/config.h"
#include "gateway/addresses.h"
#include "upstream/backends.h"
#include "upstream/lanes.h"
#include "upstream/upstream.h"

struct sg_snapshot_provider {
        const struct sg_config_provider *config;
        struct sg_endpoint endpoint; /* builtin_owner is filled in by each worker */
        char *pool_key;
        _Atomic uint64_t credential_told_usec;                /* when the log said last that it is refused; 0: never */
        struct sg_secret *authorizations[SG_CREDENTIALS_MAX]; /* "authorization: Bearer …\r\n", or NULL; as config's */
};

struct sg_snapshot_service {
        const struct sg_config_service *config;
        struct sg_endpoint *endpoints; /* in the order of config->endpoints; with pool keys of their own */
        char **pool_keys;
        struct sg_backends *backends; /* the same places; what is known of them outlives the snapshot */
};

struct sg_snapshot_listener {
        const char *name;
        struct sg_tls_identity *identity; /* NULL: without TLS */
};

struct sg_snapshot {
        struct sg_rcu_head rcu;
        _Atomic uint32_t n_refs;
        struct sg_config *config;
        struct sg_tls_trust *system_trust;      /* shared with later snapshots; NULL when no provider needs it */
        struct sg_snapshot_provider *providers; /* in the order of config->providers */
        struct sg_snapshot_service *services;   /* in the order of config->services */
        struct sg_snapshot_listener *listeners; /* in the order of config->listeners */
        struct sg_lanes *lanes;                 /* of config; what is known of them outlives the snapshot */
        struct sg_addresses *addresses; /* NULL: addresses are not limited; counts go on as long as the limits stay */
        const struct sg_config_model *default_model; /* [model "default"], or NULL */
};

/* Keeps its own reference to config. previous (may be NULL) lends its system trust, which takes time to load. */
int sg_snapshot_new(struct sg_snapshot **ret, struct sg_config *config, const struct sg_snapshot *previous,
                    struct sg_error *err) SG_MUST_CHECK;
struct sg_snapshot *sg_snapshot_ref(struct sg_snapshot *s);
struct sg_snapshot *sg_snapshot_unref(struct sg_snapshot *s);
SG_DEFINE_AUTO(struct sg_snapshot *, sg_snapshot_unref)

const struct sg_snapshot_provider *sg_snapshot_provider(const struct sg_snapshot *s,
                                                        const struct sg_config_provider *config);
const struct sg_snapshot_service *sg_snapshot_service(const struct sg_snapshot *s,
                                                      const struct sg_config_service *config);
/* The line that shows it to the provider, or NULL. */
const struct sg_secret *sg_snapshot_credential(const struct sg_snapshot_provider *p,
                                               const struct sg_config_credential *credential);
/* NULL: the configuration in force has no listener of this name any more. */
const struct sg_snapshot_listener *sg_snapshot_listener(const struct sg_snapshot *s, const char *name);
/* Once a minute for all workers together: that the provider refuses the credential may be said. */
bool sg_snapshot_may_tell_credential(const struct sg_snapshot_provider *p);
/* ---- inside: snapshot_service.c */

int sg_snapshot_services_prepare(struct sg_snapshot *s, const struct sg_snapshot *previous, struct sg_error *err)
        SG_MUST_CHECK;
void sg_snapshot_services_done(struct sg_snapshot *s);
/* Trust and certificate of an endpoint that is reached by TLS. NULL: the system's trust; none is shown. */
int sg_snapshot_endpoint_tls(struct sg_snapshot *s, const struct sg_snapshot *previous, struct sg_endpoint *at,
                             const char *ca_file, const char *certificate, const char *key, struct sg_error *err)
        SG_MUST_CHECK;
