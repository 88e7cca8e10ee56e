#include "gateway/snapshot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/message_id.h"
#include "base/random.h"
#include "gateway/dialect.h"

#define CREDENTIAL_TELL_USEC (60 * SG_USEC_PER_SEC)

static int system_trust(struct sg_snapshot *s, const struct sg_snapshot *previous, struct sg_error *err)
{
        if (s->system_trust)
                return 0;
        if (!previous || !previous->system_trust)
                return sg_tls_trust_new(&s->system_trust, NULL, err);
        s->system_trust = sg_tls_trust_ref(previous->system_trust);
        return 0;
}

int sg_snapshot_endpoint_tls(struct sg_snapshot *s, const struct sg_snapshot *previous, struct sg_endpoint *at,
                             const char *ca_file, const char *certificate, const char *key, struct sg_error *err)
{
        int r;

        if (ca_file) {
                r = sg_tls_trust_new(&at->trust, ca_file, err);
        } else {
                r = system_trust(s, previous, err);
                if (!r)
                        at->trust = sg_tls_trust_ref(s->system_trust);
        }
        if (!r && certificate)
                r = sg_tls_certificate_new(&at->certificate, certificate, key, err);
        return r;
}

static int provider_tls(struct sg_snapshot *s, struct sg_snapshot_provider *p, const struct sg_snapshot *previous,
                        struct sg_error *err)
{
        const struct sg_config_provider *c = p->config;
        int r = sg_snapshot_endpoint_tls(s, previous, &p->endpoint, c->ca_file, c->tls_certificate, c->tls_key, err);

        if (r)
                sg_error_prefix(err, c->where);
        return r;
}

/* Connections may be shared by all that reach the same place in the same way with the same trust; the practice provider
 * is no place, so its connections belong to its name, and so do those that a proxy lets in by a password. */
static int provider_pool_key(struct sg_snapshot_provider *p, const struct sg_config_provider *c)
{
        int r;

        if (c->dialect == SG_DIALECT_ECHO)
                r = asprintf(&p->pool_key, "echo %s", c->name);
        else
                r = asprintf(&p->pool_key, "%s://%s:%u%s ca=%s name=%s certificate=%s proxy=%s:%u as=%s protocol=%d",
                             c->is_tls ? "https" : "http", c->host, c->port, c->socket_path ? c->socket_path : "",
                             c->ca_file ? c->ca_file : "system", c->tls_server_name ? c->tls_server_name : "",
                             c->tls_certificate ? c->tls_certificate : "", c->proxy_host ? c->proxy_host : "",
                             c->proxy_port, c->proxy_authorization ? c->name : "", (int)c->protocol);
        if (r < 0)
                p->pool_key = NULL;
        return r < 0 ? -ENOMEM : 0;
}

static void provider_endpoint(struct sg_snapshot_provider *p, const struct sg_config_provider *c)
{
        p->endpoint.host = sg_str_from(c->host);
        p->endpoint.port = c->port;
        p->endpoint.socket_path = sg_str_from(c->socket_path);
        p->endpoint.is_tls = c->is_tls;
        p->endpoint.server_name = sg_str_from(c->tls_server_name);
        p->endpoint.proxy_host = sg_str_from(c->proxy_host);
        p->endpoint.proxy_port = c->proxy_port;
        p->endpoint.protocol = c->protocol;
        p->endpoint.pool_key = sg_str_from(p->pool_key);
        p->endpoint.connect_timeout_usec = c->connect_timeout_usec;
        p->endpoint.idle_timeout_usec = c->idle_timeout_usec;
        p->endpoint.pool_max = c->pool_max;
        p->endpoint.n_warm = c->warm_connections;
}

static int provider_credentials(struct sg_snapshot_provider *p, const struct sg_config_provider *c,
                                struct sg_error *err)
{
        int r = 0;

        for (size_t i = 0; !r && i < c->n_credentials; i++) {
                const struct sg_config_credential *one = &c->credentials[i];

                if (one->api_key)
                        r = sg_dialect_credential_new(&p->authorizations[i], c->dialect, one->api_key);
                if (r)
                        sg_error_set(err, r, one->where,
                                     "%s of provider \"%s\" cannot be sent: it is too long or holds control bytes "
                                     "(a line end inside the file?)",
                                     one->name, c->name);
        }
        if (!r && c->proxy_authorization) {
                r = sg_proxy_authorization_new(&p->endpoint.proxy_authorization,
                                               sg_secret_bytes(c->proxy_authorization));
                if (r)
                        sg_error_set(err, r, c->where, "proxy_authorization of provider \"%s\" is too long", c->name);
        }
        if (r && r != -ENOMEM)
                sg_error_needs_mending(err, SG_MESSAGE_CREDENTIAL);
        return r;
}

/* Said once per way: what stands in the environment is easily forgotten. */
static void tell_proxy(const struct sg_config_provider *c, const struct sg_snapshot *previous)
{
        const struct sg_config_provider *before =
                previous ? sg_config_find_provider(previous->config, sg_str_from(c->name)) : NULL;

        if (!c->proxy_host || (before && before->proxy_host && strcmp(before->proxy_host, c->proxy_host) == 0 &&
                               before->proxy_port == c->proxy_port))
                return;
        sg_info("provider \"%s\" is reached through the proxy %s:%u (%s)", c->name, c->proxy_host, c->proxy_port,
                c->proxy_where);
}

static int provider_prepare(struct sg_snapshot *s, struct sg_snapshot_provider *p, const struct sg_snapshot *previous,
                            struct sg_error *err)
{
        const struct sg_config_provider *c = p->config;
        int r;

        if (provider_pool_key(p, c))
                return sg_error_set(err, -ENOMEM, "", "out of memory");
        provider_endpoint(p, c);
        r = c->is_tls ? provider_tls(s, p, previous, err) : 0;
        if (!r)
                r = provider_credentials(p, c, err);
        if (!r)
                tell_proxy(c, previous);
        return r;
}

static int listener_prepare(struct sg_snapshot_listener *l, const struct sg_config_listener *c,
                            const struct sg_snapshot *previous, struct sg_error *err)
{
        static const enum sg_tls_client_certificate asks[SG_CLIENT_CERTIFICATE_N] = {
                [SG_CLIENT_CERTIFICATE_NONE] = SG_TLS_CLIENT_CERTIFICATE_NONE,
                [SG_CLIENT_CERTIFICATE_OPTIONAL] = SG_TLS_CLIENT_CERTIFICATE_OPTIONAL,
                [SG_CLIENT_CERTIFICATE_REQUIRED] = SG_TLS_CLIENT_CERTIFICATE_REQUIRED,
        };
        const struct sg_snapshot_listener *before = previous ? sg_snapshot_listener(previous, c->name) : NULL;
        const struct sg_tls_identity_options options = {
                .certificates = c->tls_certificates,
                .keys = c->tls_keys,
                .n_certificates = c->n_tls_certificates,
                .client_ca = c->client_ca,
                .client_certificate = asks[c->client_certificate],
                .previous = before ? before->identity : NULL,
        };
        int r;

        l->name = c->name;
        if (!c->n_tls_certificates)
                return 0;
        r = sg_tls_identity_new(&l->identity, &options, err);
        if (r) {
                sg_error_prefix(err, c->where);
                return r;
        }
        if (sg_tls_identity_has_rsa(l->identity))
                sg_notice("%s: listener \"%s\" has an RSA key: its handshakes cost some ten times those of ECDSA",
                          c->where, c->name);
        return 0;
}

static int listeners_prepare(struct sg_snapshot *s, const struct sg_snapshot *previous, struct sg_error *err)
{
        const struct sg_config *config = s->config;
        int r = 0;

        s->listeners = calloc(config->n_listeners ? config->n_listeners : 1, sizeof(*s->listeners));
        if (!s->listeners)
                return sg_error_set(err, -ENOMEM, "", "out of memory");
        for (size_t i = 0; !r && i < config->n_listeners; i++)
                r = listener_prepare(&s->listeners[i], &config->listeners[i], previous, err);
        return r;
}

const struct sg_secret *sg_snapshot_credential(const struct sg_snapshot_provider *p,
                                               const struct sg_config_credential *credential)
{
        return p->authorizations[credential - p->config->credentials];
}

const struct sg_snapshot_listener *sg_snapshot_listener(const struct sg_snapshot *s, const char *name)
{
        for (size_t i = 0; i < s->config->n_listeners; i++)
                if (strcmp(s->listeners[i].name, name) == 0)
                        return &s->listeners[i];
        return NULL;
}

int sg_snapshot_new(struct sg_snapshot **ret, struct sg_config *config, const struct sg_snapshot *previous,
                    struct sg_error *err)
{
        SG_AUTO(sg_snapshot_unref) struct sg_snapshot *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return sg_error_set(err, -ENOMEM, "", "out of memory");
        atomic_store_explicit(&s->n_refs, 1, memory_order_relaxed);
        s->config = sg_config_ref(config);
        if (sg_lanes_new(&s->lanes, config, previous ? previous->lanes : NULL))
                return sg_error_set(err, -ENOMEM, "", "out of memory");
        if (sg_addresses_new(&s->addresses, config, previous ? previous->addresses : NULL))
                return sg_error_set(err, -ENOMEM, "", "out of memory");
        s->providers = calloc(config->n_providers ? config->n_providers : 1, sizeof(*s->providers));
        if (!s->providers)
                return sg_error_set(err, -ENOMEM, "", "out of memory");
        for (size_t i = 0; i < config->n_providers; i++) {
                s->providers[i].config = &config->providers[i];
                r = provider_prepare(s, &s->providers[i], previous, err);
                if (r)
                        return r;
        }
        r = sg_snapshot_services_prepare(s, previous, err);
        if (!r)
                r = listeners_prepare(s, previous, err);
        if (r)
                return r;
        for (size_t i = 0; i < config->n_models; i++)
                if (strcmp(config->models[i].name, "default") == 0)
                        s->default_model = &config->models[i];
        *ret = SG_GIVE(s);
        return 0;
}

struct sg_snapshot *sg_snapshot_ref(struct sg_snapshot *s)
{
        uint32_t before = atomic_fetch_add_explicit(&s->n_refs, 1, memory_order_relaxed);

        SG_ASSERT(before > 0);
        return s;
}

struct sg_snapshot *sg_snapshot_unref(struct sg_snapshot *s)
{
        if (!s)
                return NULL;
        if (atomic_fetch_sub_explicit(&s->n_refs, 1, memory_order_acq_rel) != 1)
                return NULL;
        for (size_t i = 0; s->providers && i < s->config->n_providers; i++) {
                sg_tls_trust_unref(s->providers[i].endpoint.trust);
                sg_tls_certificate_unref(s->providers[i].endpoint.certificate);
                sg_secret_unref(s->providers[i].endpoint.proxy_authorization);
                for (size_t k = 0; k < SG_CREDENTIALS_MAX; k++)
                        sg_secret_unref(s->providers[i].authorizations[k]);
                free(s->providers[i].pool_key);
        }
        free(s->providers);
        sg_snapshot_services_done(s);
        for (size_t i = 0; s->listeners && i < s->config->n_listeners; i++)
                sg_tls_identity_unref(s->listeners[i].identity);
        free(s->listeners);
        sg_tls_trust_unref(s->system_trust);
        sg_addresses_unref(s->addresses);
        sg_lanes_unref(s->lanes);
        sg_config_unref(s->config);
        free(s);
        return NULL;
}

const struct sg_snapshot_provider *sg_snapshot_provider(const struct sg_snapshot *s,
                                                        const struct sg_config_provider *config)
{
        size_t i = (size_t)(config - s->config->providers);

        SG_ASSERT(i < s->config->n_providers);
        return &s->providers[i];
}

bool sg_snapshot_may_tell_credential(const struct sg_snapshot_provider *p)
{
        /* The one word that changes: snapshots are const so that nobody changes anything else. */
        _Atomic uint64_t *told = (_Atomic uint64_t *)&p->credential_told_usec;
        uint64_t before_usec = atomic_load_explicit(told, memory_order_relaxed), now_usec = sg_clock_usec();

        if (before_usec && now_usec - before_usec < CREDENTIAL_TELL_USEC)
                return false;
        return atomic_compare_exchange_strong_explicit(told, &before_usec, now_usec, memory_order_relaxed,
                                                       memory_order_relaxed);
}
