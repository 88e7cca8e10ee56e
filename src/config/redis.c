/*
 * The Redis through which several gateways share their limits. Of a URL that is refused nothing is told but its scheme:
 * people paste connection strings, and those hold passwords.
 */
#include <errno.h>

#include "base/limits.h"
#include "config/build.h"

#define PORT         6379u
#define DATABASE_MAX 1023u
#define FROM(name)   "environment variable " name

/* ---- the URL */

static const char *read_database(struct sg_str text, unsigned *ret)
{
        uint64_t n = 0;

        if (text.n && (sg_str_to_u64(text, &n) || n > DATABASE_MAX))
                return "has something other than the number of a database behind the last /";
        *ret = (unsigned)n;
        return NULL;
}

static const char *read_url(const struct sg_value *v, struct sg_str rest, struct sg_config_redis *c)
{
        struct sg_url_authority at = {.port = PORT};
        struct sg_str authority;
        const char *why;

        (void)sg_str_cut(&rest, '/', &authority);
        if (sg_str_find_byte(authority, '@') < authority.n)
                return "holds a user name or password; leave them out and write user = NAME and password = "
                       "credential:NAME, file:/path or env:NAME";
        why = sg_url_read_authority(&at, authority);
        if (!why)
                why = read_database(rest, &c->database);
        if (why)
                return why;
        c->port = at.port;
        c->host = sg_url_lower_case(v->pool, at.host);
        return NULL;
}

int sg_value_redis(const struct sg_value *v, void *object)
{
        struct sg_config_redis *c = &((struct sg_config *)object)->redis, found = *c;
        const struct sg_str text = v->text;
        const char *why = NULL;

        if (sg_str_istarts(text, SG_STR("unix:/"))) {
                found.socket_path = sg_pool_dup(v->pool, sg_str_skip(text, 5));
                if (text.n - 5 > 107)
                        why = "has a path of more than 107 bytes";
        } else if (sg_str_istarts(text, SG_STR("rediss://"))) {
                found.is_tls = true;
                why = read_url(v, sg_str_skip(text, 9), &found);
        } else if (sg_str_istarts(text, SG_STR("redis://"))) {
                why = read_url(v, sg_str_skip(text, 8), &found);
        } else if (sg_str_find(text, SG_STR("://")) == text.n && text.p[0] != '/') {
                why = read_url(v, text, &found);
        } else {
                return sg_value_refuse(v, "write redis://host:port/database, rediss:// for TLS, or unix:/path");
        }
        if (why)
                return sg_value_refuse(v, "the URL %s", why);
        found.url = sg_pool_dup(v->pool, text);
        if (!found.url || !(found.host || found.socket_path))
                return -ENOMEM;
        *c = found;
        return 0;
}

/* ---- the section */

static const char *lacks(const struct sg_config_redis *c, const char **ret_key)
{
        const struct {
                const char *key;
                bool is_wrong;
                const char *text;
        } all[] = {
                {"redis.user", c->user && !c->password, "user needs a password"},
                {"redis.ca_file", c->ca_file && !c->is_tls, "ca_file is for url = rediss://…"},
                {"redis.tls_server_name", c->tls_server_name && !c->is_tls, "tls_server_name is for url = rediss://…"},
                {"redis.tls_certificate", c->tls_certificate && !c->is_tls, "tls_certificate is for url = rediss://…"},
                {"redis.tls_key", c->tls_key && !c->is_tls, "tls_key is for url = rediss://…"},
                {"redis.tls_certificate", c->tls_certificate && !c->tls_key, "tls_certificate needs a tls_key"},
                {"redis.tls_key", c->tls_key && !c->tls_certificate, "tls_key needs a tls_certificate"},
        };

        for (size_t i = 0; i < SG_N_ELEMENTS(all); i++)
                if (all[i].is_wrong) {
                        *ret_key = all[i].key;
                        return all[i].text;
                }
        return NULL;
}

int sg_redis_build(struct sg_whole *w, const struct sg_surroundings *around, struct sg_error *err)
{
        const struct sg_raw_section *section = sg_raw_find(&w->raw, SG_SECTION_REDIS, SG_STR_NONE);
        struct sg_config_redis *c = &w->config.redis;
        const char *key, *why;
        int r = sg_section_places(w, SG_SECTION_REDIS, section, &w->config, around, err);

        if (r)
                return r;
        if (c->password && !around->reads_secrets) /* the ledger has nothing to do with it */
                c->password = sg_secret_unref(c->password);
        why = around->reads_secrets ? lacks(c, &key) : NULL;
        return why ? sg_error_set(err, -EINVAL, sg_raw_last(section, sg_setting_get(key))->where, "%s", why) : 0;
}

/* ---- variables, in containers. The directory of a Unix socket is none of Redis' */

int sg_redis_from_environment(struct sg_raw *raw, const struct sg_surroundings *around)
{
        const char *host = sg_surroundings_env(around, "REDIS_HOST"), *port = sg_surroundings_env(around, "REDIS_PORT");
        const char *where, *source, *url;
        int r = 0;

        if (host) {
                const bool is_v6 = host[0] != '[' && sg_str_find_byte(sg_str_from(host), ':') < strlen(host);

                url = sg_pool_printf(raw->pool, is_v6 ? "redis://[%s]:" SG_STR_FMT : "redis://%s:" SG_STR_FMT, host,
                                     SG_STR_ARG(sg_environment_port(port ? port : "6379")));
                if (!url)
                        return -ENOMEM;
                r = sg_raw_put(raw, SG_SECTION_REDIS, NULL, "url", sg_str_from(url), FROM("REDIS_HOST"));
        }
        if (r)
                return r;
        if (!sg_raw_last(sg_raw_find(raw, SG_SECTION_REDIS, SG_STR_NONE), sg_setting_get("redis.url")))
                return 0;
        source = sg_environment_secret(raw, around, "REDIS_PASSWORD", &where, &r);
        return source ? sg_raw_put(raw, SG_SECTION_REDIS, NULL, "password", sg_str_from(source), where) : r;
}
