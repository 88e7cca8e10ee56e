#include <errno.h>

#include "config/build.h"

#define DEFAULT_LISTENER "http"
#define DEFAULT_ADDRESS  "127.0.0.1:8000"

static int build_pems(struct sg_whole *w, const struct sg_raw_section *section, const char *key,
                      const struct sg_surroundings *around, const char ***ret, size_t *ret_n, struct sg_error *err)
{
        const struct sg_setting *s = sg_setting_get(key);
        const struct sg_raw_line *line;
        size_t n = 0;
        int r = 0;

        for (line = sg_raw_first_of(section, s); line; line = sg_raw_next_of(section, line))
                n++;
        *ret = sg_pool_array(&w->pool, n, sizeof(**ret));
        if (!*ret)
                return -ENOMEM;
        for (line = sg_raw_first_of(section, s); line && !r; line = sg_raw_next_of(section, line))
                r = sg_pem_path(&(struct sg_value){s, line->value, line->where, &w->pool, err}, around,
                                &(*ret)[(*ret_n)++]);
        return r;
}

static int check_tls(const struct sg_config_listener *l, struct sg_error *err)
{
        if (l->n_tls_certificates != l->n_tls_keys)
                return sg_error_set(
                        err, -EINVAL, l->where,
                        "[listener \"%s\"] has %zu tls_certificate and %zu tls_key: each certificate needs its "
                        "key, in the same order",
                        l->name, l->n_tls_certificates, l->n_tls_keys);
        if (l->client_certificate != SG_CLIENT_CERTIFICATE_NONE && !l->n_tls_certificates)
                return sg_error_set(
                        err, -EINVAL, l->where,
                        "[listener \"%s\"] asks for client certificates, but has no tls_certificate of its own",
                        l->name);
        if (l->client_certificate != SG_CLIENT_CERTIFICATE_NONE && !l->client_ca)
                return sg_error_set(
                        err, -EINVAL, l->where,
                        "[listener \"%s\"] asks for client certificates, but has no client_ca that they must "
                        "lead to",
                        l->name);
        return 0;
}

static int build_listener(struct sg_whole *w, const struct sg_raw_section *section, struct sg_config_listener *l,
                          const struct sg_surroundings *around, struct sg_error *err)
{
        int r = sg_section_check_name(section, err);

        /* Sockets are handed over by name: this one is where changes are made. */
        if (!r && strcmp(section->name, "control") == 0)
                r = sg_error_set(err, -EINVAL, section->where,
                                 "[listener \"control\"]: so is the control socket called; choose another name");
        l->name = section->name;
        l->where = section->where;
        if (!r)
                r = sg_section_store(w, SG_SECTION_LISTENER, section, l, err);
        if (!r)
                r = build_pems(w, section, "listener.tls_certificate", around, &l->tls_certificates,
                               &l->n_tls_certificates, err);
        if (!r)
                r = build_pems(w, section, "listener.tls_key", around, &l->tls_keys, &l->n_tls_keys, err);
        return r ? r : check_tls(l, err);
}

int sg_listeners_build(struct sg_whole *w, const struct sg_surroundings *around, struct sg_error *err)
{
        struct sg_config *c = &w->config;
        int r = 0;

        if (sg_raw_count(&w->raw, SG_SECTION_LISTENER) == 0)
                r = sg_raw_put(&w->raw, SG_SECTION_LISTENER, DEFAULT_LISTENER, "address", SG_STR(DEFAULT_ADDRESS),
                               "default");
        if (r)
                return r;
        c->listeners = sg_pool_array(&w->pool, sg_raw_count(&w->raw, SG_SECTION_LISTENER), sizeof(*c->listeners));
        if (!c->listeners)
                return -ENOMEM;
        SG_LIST_EACH (&w->raw.sections, k) {
                const struct sg_raw_section *section = SG_RAW_SECTION(k);

                if (section->id != SG_SECTION_LISTENER)
                        continue;
                r = build_listener(w, section, &c->listeners[c->n_listeners++], around, err);
                if (r)
                        return r;
        }
        return 0;
}
