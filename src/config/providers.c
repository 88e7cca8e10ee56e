/*
 * Providers: what each dialect needs, settings that need one another.
 */
#include <errno.h>

#include "base/message_id.h"
#include "config/build.h"

/* What is set must belong to the dialect, and what the dialect needs must be set. */
static int check_dialect(const struct sg_raw_section *section, const struct sg_config_provider *p, struct sg_error *err)
{
        const struct sg_setting *dialect = sg_setting_get("provider.dialect");

        if (!sg_raw_last(section, dialect))
                return sg_error_set(
                        err, -EINVAL, section->where,
                        "[provider \"%s\"] has no dialect; write dialect = openai (or anthropic, azure, echo)",
                        p->name);
        for (const struct sg_setting *s = sg_settings; s < sg_settings_end; s++) {
                const struct sg_raw_line *line = sg_raw_last(section, s);

                if (line && s->dialects && !(s->dialects & (1u << p->dialect)))
                        return sg_error_set(err, -EINVAL, line->where, "%s is not a setting of dialect %s", s->name,
                                            sg_dialect_name(p->dialect));
        }
        if (sg_dialect_url_example(p->dialect) && !p->base_url)
                return sg_error_set(err, -EINVAL, section->where,
                                    "[provider \"%s\"] has no base_url; write base_url = %s", p->name,
                                    sg_dialect_url_example(p->dialect));
        return 0;
}

static int check_azure(const struct sg_raw_section *section, const struct sg_config_provider *p, struct sg_error *err)
{
        const struct sg_str path = sg_str_from(p->path_prefix);

        if (p->dialect != SG_DIALECT_AZURE)
                return 0;
        if (sg_str_ends(path, SG_STR("/openai")) || sg_str_ends(path, SG_STR("/openai/v1")))
                return sg_error_set(err, -EINVAL, sg_raw_last(section, sg_setting_get("provider.base_url"))->where,
                                    "base_url: of dialect azure it ends before /openai, which the gateway adds itself; "
                                    "for its /openai/v1 there is dialect openai");
        if (!p->api_version)
                return sg_error_set(err, -EINVAL, section->where,
                                    "[provider \"%s\"] has no api_version; write api_version = 2024-10-21", p->name);
        return 0;
}

/* Settings that need one another. */
static int check_together(const struct sg_raw_section *section, const struct sg_config_provider *p,
                          struct sg_error *err)
{
        static const char *const of_tls[] = {"provider.ca_file", "provider.tls_certificate", "provider.tls_key",
                                             "provider.tls_server_name"};
        const struct sg_raw_line *line;

        for (size_t i = 1; i < SG_N_ELEMENTS(of_tls) && p->base_url && !p->is_tls; i++) {
                line = sg_raw_last(section, sg_setting_get(of_tls[i]));
                if (line)
                        return sg_error_set(err, -EINVAL, line->where, "%s is for https, but base_url is http",
                                            sg_setting_get(of_tls[i])->name);
        }
        if (!p->tls_certificate != !p->tls_key) {
                line = sg_raw_last(section, sg_setting_get(p->tls_key ? of_tls[2] : of_tls[1]));
                return sg_error_set(err, -EINVAL, line->where, "tls_certificate and tls_key need each other");
        }
        if (p->warm_connections > p->pool_max) {
                line = sg_raw_last(section, sg_setting_get("provider.warm_connections"));
                return sg_error_set(err, -EINVAL, line->where, "warm_connections (%zu) is more than pool_max (%zu)",
                                    p->warm_connections, p->pool_max);
        }
        return 0;
}

static int check_proxy(const struct sg_raw_section *section, const struct sg_config_provider *p, struct sg_error *err)
{
        const struct sg_raw_line *url = sg_raw_last(section, sg_setting_get("provider.proxy"));
        const struct sg_raw_line *secret = sg_raw_last(section, sg_setting_get("provider.proxy_authorization"));

        if (p->proxy_host && p->socket_path)
                return sg_error_set(err, -EINVAL, url->where,
                                    "proxy: base_url is a Unix socket, which no proxy reaches");
        if (secret && strcmp(p->proxy, "none") == 0)
                return sg_error_set(err, -EINVAL, secret->where, "proxy_authorization is set, but proxy = none");
        if (p->proxy_authorization) {
                const struct sg_str s = sg_secret_bytes(p->proxy_authorization);

                if (sg_str_find_byte(s, ':') < s.n)
                        return 0;
                sg_error_set(err, -EINVAL, secret->where,
                             "proxy_authorization: what is there is not of the form user:password");
                sg_error_needs_mending(err, SG_MESSAGE_CREDENTIAL);
                return -EINVAL;
        }
        return 0;
}

void sg_provider_done(struct sg_config_provider *p)
{
        for (size_t i = 0; i < p->n_credentials; i++)
                sg_secret_unref(p->credentials[i].api_key);
        sg_secret_unref(p->api_key);
        sg_secret_unref(p->proxy_authorization);
        sg_limit_set_unref(p->limits);
}

static int build_provider(struct sg_whole *w, const struct sg_raw_section *section, struct sg_config_provider *p,
                          const struct sg_surroundings *around, struct sg_error *err)
{
        int r = sg_section_check_name(section, err);

        p->name = section->name;
        p->where = section->where;
        p->host = p->path_prefix = p->authority = "";
        if (!r)
                r = sg_section_store(w, SG_SECTION_PROVIDER, section, p, err);
        if (!r)
                r = sg_section_places(w, SG_SECTION_PROVIDER, section, p, around, err);
        if (!r)
                r = check_dialect(section, p, err);
        if (!r && p->dialect == SG_DIALECT_ANTHROPIC && !p->api_version)
                p->api_version = SG_ANTHROPIC_VERSION;
        if (!r)
                r = check_azure(section, p, err);
        if (!r)
                r = check_together(section, p, err);
        if (!r)
                r = check_proxy(section, p, err);
        if (!r)
                r = sg_provider_credentials(w, section, p, around, err);
        if (!r)
                r = sg_limit_lines_build(w, section, "provider.limit", NULL, &p->limits, err);
        return r ? r : sg_proxy_from_environment(w, p, around, err);
}

int sg_providers_build(struct sg_whole *w, const struct sg_surroundings *around, struct sg_error *err)
{
        struct sg_config *c = &w->config;
        int r;

        c->providers = sg_pool_array(&w->pool, sg_raw_count(&w->raw, SG_SECTION_PROVIDER), sizeof(*c->providers));
        if (!c->providers)
                return -ENOMEM;
        SG_LIST_EACH (&w->raw.sections, k) {
                const struct sg_raw_section *section = SG_RAW_SECTION(k);

                if (section->id != SG_SECTION_PROVIDER)
                        continue;
                r = build_provider(w, section, &c->providers[c->n_providers++], around, err);
                if (r)
                        return r;
        }
        return 0;
}
