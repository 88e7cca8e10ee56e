/*
 * The part of a snapshot that is about services: endpoints ready to be asked, and what is known of them, which goes on
 * from snapshot to snapshot.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/snapshot.h"

/* Each service has pools of its own: their limits are the service's. */
static int endpoint_prepare(struct sg_snapshot *s, struct sg_snapshot_service *v, size_t i,
                            const struct sg_snapshot *previous, struct sg_error *err)
{
        const struct sg_config_service *c = v->config;
        const struct sg_config_endpoint *e = &c->endpoints[i];
        struct sg_endpoint *at = &v->endpoints[i];
        int r;

        if (asprintf(&v->pool_keys[i], "service %s %s ca=%s name=%s certificate=%s protocol=%d", c->name, e->url,
                     c->ca_file ? c->ca_file : "system", c->tls_server_name ? c->tls_server_name : "",
                     c->tls_certificate ? c->tls_certificate : "", (int)c->protocol) < 0) {
                v->pool_keys[i] = NULL;
                return sg_error_set(err, -ENOMEM, "", "out of memory");
        }
        at->host = sg_str_from(e->host);
        at->port = e->port;
        at->socket_path = sg_str_from(e->socket_path);
        at->is_tls = e->is_tls;
        at->server_name = sg_str_from(c->tls_server_name);
        at->protocol = c->protocol;
        at->pool_key = sg_str_from(v->pool_keys[i]);
        at->connect_timeout_usec = c->connect_timeout_usec;
        at->idle_timeout_usec = c->idle_timeout_usec;
        at->pool_max = c->pool_max;
        at->n_warm = c->warm_connections;
        if (!e->is_tls)
                return 0;
        r = sg_snapshot_endpoint_tls(s, previous, at, c->ca_file, c->tls_certificate, c->tls_key, err);
        if (r)
                sg_error_prefix(err, c->where);
        return r;
}

static const struct sg_backends *backends_before(const struct sg_snapshot *previous, const char *name)
{
        for (size_t i = 0; previous && i < previous->config->n_services; i++)
                if (strcmp(previous->services[i].config->name, name) == 0)
                        return previous->services[i].backends;
        return NULL;
}

static int service_prepare(struct sg_snapshot *s, struct sg_snapshot_service *v, const struct sg_snapshot *previous,
                           struct sg_error *err)
{
        const struct sg_config_service *c = v->config;
        int r;

        v->endpoints = calloc(c->n_endpoints, sizeof(*v->endpoints));
        v->pool_keys = calloc(c->n_endpoints, sizeof(*v->pool_keys));
        if (!v->endpoints || !v->pool_keys || sg_backends_new(&v->backends, c, backends_before(previous, c->name)))
                return sg_error_set(err, -ENOMEM, "", "out of memory");
        for (size_t i = 0; i < c->n_endpoints; i++) {
                r = endpoint_prepare(s, v, i, previous, err);
                if (r)
                        return r;
        }
        return 0;
}

int sg_snapshot_services_prepare(struct sg_snapshot *s, const struct sg_snapshot *previous, struct sg_error *err)
{
        const struct sg_config *config = s->config;
        int r = 0;

        s->services = calloc(config->n_services ? config->n_services : 1, sizeof(*s->services));
        if (!s->services)
                return sg_error_set(err, -ENOMEM, "", "out of memory");
        for (size_t i = 0; i < config->n_services; i++)
                s->services[i].config = &config->services[i];
        for (size_t i = 0; !r && i < config->n_services; i++)
                r = service_prepare(s, &s->services[i], previous, err);
        return r;
}

static void service_done(struct sg_snapshot_service *v)
{
        for (size_t i = 0; v->endpoints && i < v->config->n_endpoints; i++) {
                sg_tls_trust_unref(v->endpoints[i].trust);
                sg_tls_certificate_unref(v->endpoints[i].certificate);
        }
        for (size_t i = 0; v->pool_keys && i < v->config->n_endpoints; i++)
                free(v->pool_keys[i]);
        free(v->endpoints);
        free(v->pool_keys);
        sg_backends_unref(v->backends);
}

void sg_snapshot_services_done(struct sg_snapshot *s)
{
        for (size_t i = 0; s->services && i < s->config->n_services; i++)
                service_done(&s->services[i]);
        free(s->services);
}

const struct sg_snapshot_service *sg_snapshot_service(const struct sg_snapshot *s,
                                                      const struct sg_config_service *config)
{
        size_t i = (size_t)(config - s->config->services);

        SG_ASSERT(i < s->config->n_services);
        return &s->services[i];
}
