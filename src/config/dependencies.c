/*
 * Dependencies: what is asked whether it serves. Of a URL that is refused nothing is told but its scheme: people paste
 * connection strings, and those hold passwords.
 */
#include <errno.h>

#include "base/limits.h"
#include "config/build.h"

#define DEPENDENCIES_MAX 256u
#define FROM(variable)   "environment variable " variable

static const struct scheme {
        struct sg_str name;
        enum sg_probe_kind kind;
        bool is_tls;
        uint16_t port; /* 0: must be given */
} schemes[] = {
        {SG_STR("tcp"), SG_PROBE_TCP, false, 0},
        {SG_STR("http"), SG_PROBE_HTTP, false, 80},
        {SG_STR("https"), SG_PROBE_HTTP, true, 443},
        {SG_STR("redis"), SG_PROBE_REDIS, false, 6379},
        {SG_STR("rediss"), SG_PROBE_REDIS, true, 6379},
        {SG_STR("postgres"), SG_PROBE_POSTGRES, false, 5432},
        {SG_STR("postgresql"), SG_PROBE_POSTGRES, false, 5432},
        {SG_STR("bolt"), SG_PROBE_BOLT, false, 7687},
        {SG_STR("bolt+s"), SG_PROBE_BOLT, true, 7687},
};

const char *sg_probe_kind_name(enum sg_probe_kind k)
{
        static const char *const names[SG_PROBE_N] = {[SG_PROBE_TCP] = "tcp",
                                                      [SG_PROBE_HTTP] = "http",
                                                      [SG_PROBE_REDIS] = "redis",
                                                      [SG_PROBE_POSTGRES] = "postgres",
                                                      [SG_PROBE_BOLT] = "bolt"};

        return (unsigned)k < SG_PROBE_N ? names[k] : "?";
}

/* ---- one URL */

static const struct scheme *cut_scheme(struct sg_str *rest)
{
        const size_t end = sg_str_find(*rest, SG_STR("://"));

        for (size_t i = 0; end < rest->n && i < SG_N_ELEMENTS(schemes); i++)
                if (sg_str_ieq(sg_str_head(*rest, end), schemes[i].name)) {
                        *rest = sg_str_skip(*rest, end + 3);
                        return &schemes[i];
                }
        return NULL;
}

/* What may stand in a request line as it is; the rest of a sentence that begins with "the URL", or NULL. */
static const char *check_target(struct sg_str target)
{
        if (target.n > SG_TARGET_BYTES_MAX)
                return "has too long a path";
        for (size_t i = 0; i < target.n; i++)
                if (target.p[i] <= ' ' || target.p[i] > '~' || strchr("\"#<>\\^`{|}", target.p[i]))
                        return target.p[i] == '#' ? "has a fragment (#); leave it out"
                                                  : "has a byte in its path that must be written as %XX";
        return NULL;
}

static const char *check_rest(const struct scheme *s, struct sg_str authority, struct sg_str target)
{
        if (sg_str_find_byte(authority, '@') < authority.n)
                return "holds a user name or password; leave them out, a probe needs none";
        if (s->kind == SG_PROBE_HTTP)
                return target.n && target.p[0] != '/' ? "has no / before its query" : check_target(target);
        if (target.n && !sg_str_eq(target, SG_STR("/")))
                return "has something after the port; a path is for http:// and https:// only";
        return NULL;
}

static int store_parts(const struct sg_value *v, const struct scheme *s, const struct sg_url_authority *at,
                       struct sg_str target, struct sg_config_dependency *d)
{
        const bool is_usual = at->port == s->port;

        d->kind = s->kind;
        d->is_tls = s->is_tls;
        d->port = at->port;
        d->probe = sg_pool_dup(v->pool, v->text);
        d->host = sg_url_lower_case(v->pool, at->host);
        d->path = sg_pool_dup(v->pool, target.n ? target : SG_STR("/"));
        if (!d->probe || !d->host || !d->path)
                return -ENOMEM;
        d->authority = is_usual ? sg_pool_printf(v->pool, at->is_v6 ? "[%s]" : "%s", d->host)
                                : sg_pool_printf(v->pool, at->is_v6 ? "[%s]:%u" : "%s:%u", d->host, d->port);
        return d->authority ? 0 : -ENOMEM;
}

int sg_value_probe(const struct sg_value *v, void *object)
{
        struct sg_str rest = v->text, authority;
        const struct scheme *s = cut_scheme(&rest);
        struct sg_url_authority at = {.port = s ? s->port : 0};
        const char *why;
        size_t end = 0;

        if (!s)
                return sg_value_refuse(v, "the URL does not begin with tcp://, http://, https://, redis://, rediss://, "
                                          "postgres://, bolt:// or bolt+s://");
        while (end < rest.n && !strchr("/?#", rest.p[end]))
                end++;
        authority = sg_str_head(rest, end);
        rest = sg_str_skip(rest, end);
        why = check_rest(s, authority, rest);
        if (!why)
                why = sg_url_read_authority(&at, authority);
        if (!why && at.port == 0)
                why = "has no port";
        if (why)
                return sg_value_refuse(v, "the URL %s", why);
        return store_parts(v, s, &at, rest, object);
}

/* ---- all sections */

static int build_dependency(struct sg_whole *w, const struct sg_raw_section *section, struct sg_config_dependency *d,
                            struct sg_error *err)
{
        int r = sg_section_check_name(section, err);

        d->name = section->name;
        d->where = section->where;
        if (!r)
                r = sg_section_store(w, SG_SECTION_DEPENDENCY, section, d, err);
        if (!r && !d->probe)
                r = sg_error_set(err, -EINVAL, section->where,
                                 "[dependency \"%s\"] has no probe; write probe = tcp://host:port", d->name);
        if (!r && d->ca_file && !d->is_tls)
                r = sg_error_set(err, -EINVAL, sg_raw_last(section, sg_setting_get("dependency.ca_file"))->where,
                                 "ca_file is for probes that speak TLS: https://, rediss:// and bolt+s://");
        return r;
}

int sg_dependencies_build(struct sg_whole *w, struct sg_error *err)
{
        struct sg_config *c = &w->config;
        const size_t n = sg_raw_count(&w->raw, SG_SECTION_DEPENDENCY);
        int r;

        c->dependencies = sg_pool_array(&w->pool, n, sizeof(*c->dependencies));
        if (!c->dependencies)
                return -ENOMEM;
        SG_LIST_EACH (&w->raw.sections, k) {
                const struct sg_raw_section *section = SG_RAW_SECTION(k);

                if (section->id != SG_SECTION_DEPENDENCY)
                        continue;
                if (c->n_dependencies == DEPENDENCIES_MAX)
                        return sg_error_set(err, -EINVAL, section->where, "there are more than %u dependencies",
                                            DEPENDENCIES_MAX);
                r = build_dependency(w, section, &c->dependencies[c->n_dependencies++], err);
                if (r)
                        return r;
        }
        return 0;
}

/* ---- variables: those of the services behind the gateway, in containers. Only what is needed to ask is taken from them:
 * no user, no password, no database. */

static int put_probe(struct sg_raw *raw, const char *name, const char *url, const char *where)
{
        return url ? sg_raw_put(raw, SG_SECTION_DEPENDENCY, name, "probe", sg_str_from(url), where) : -ENOMEM;
}

static int apply_host(struct sg_raw *raw, const struct sg_surroundings *around, const char *name, const char *scheme,
                      const char *host_variable, const char *port_variable, const char *usual, const char *where)
{
        const char *host = sg_surroundings_env(around, host_variable);
        const char *port_text = sg_surroundings_env(around, port_variable);
        const struct sg_str port = sg_environment_port(port_text ? port_text : usual);
        const bool is_v6 = host && host[0] != '[' && sg_str_find_byte(sg_str_from(host), ':') < strlen(host);

        if (!host)
                return 0;
        if (host[0] == '/') {
                sg_notice("%s is the directory of a Unix socket: there is no probe for it", where);
                return 0;
        }
        return put_probe(raw, name,
                         sg_pool_printf(raw->pool, is_v6 ? "%s://[%s]:" SG_STR_FMT : "%s://%s:" SG_STR_FMT, scheme,
                                        host, SG_STR_ARG(port)),
                         where);
}

/* Neo4j's drivers know eight schemes. Of a certificate that nobody has to trust (+ssc) only the port is asked. */
static const char *probe_of_neo4j(struct sg_str scheme)
{
        static const struct {
                const char *theirs, *ours;
        } known[] = {{"neo4j", "bolt"},    {"bolt", "bolt"},    {"neo4j+s", "bolt+s"}, {"bolt+s", "bolt+s"},
                     {"neo4j+ssc", "tcp"}, {"bolt+ssc", "tcp"}, {"http", "http"},      {"https", "https"}};

        for (size_t i = 0; i < SG_N_ELEMENTS(known); i++)
                if (sg_str_ieq(scheme, sg_str_from(known[i].theirs)))
                        return known[i].ours;
        return NULL;
}

static int apply_neo4j(struct sg_raw *raw, const struct sg_surroundings *around)
{
        const struct sg_str uri = sg_str_trim(sg_str_from(sg_surroundings_env(around, "NEO4J_URI")));
        const size_t colon = sg_str_find(uri, SG_STR("://"));
        const char *scheme = colon < uri.n ? probe_of_neo4j(sg_str_head(uri, colon)) : NULL;
        struct sg_str at, user;
        size_t end = 0;

        if (uri.n == 0)
                return 0;
        if (!scheme) /* refused with the words of the setting */
                return put_probe(raw, "neo4j", "?", FROM("NEO4J_URI"));
        at = sg_str_skip(uri, colon + 3);
        while (end < at.n && !strchr("/?#", at.p[end]))
                end++;
        at = sg_str_head(at, end);
        while (sg_str_find_byte(at, '@') < at.n)
                (void)sg_str_cut(&at, '@', &user);
        end = at.n && at.p[0] == '[' ? sg_str_find_byte(at, ']') : 0;
        if (sg_str_find_byte(sg_str_skip(at, end), ':') == at.n - end && strcmp(scheme, "tcp") == 0)
                return put_probe(raw, "neo4j", sg_pool_printf(raw->pool, "tcp://" SG_STR_FMT ":7687", SG_STR_ARG(at)),
                                 FROM("NEO4J_URI"));
        return put_probe(raw, "neo4j", sg_pool_printf(raw->pool, "%s://" SG_STR_FMT, scheme, SG_STR_ARG(at)),
                         FROM("NEO4J_URI"));
}

int sg_dependencies_from_environment(struct sg_raw *raw, const struct sg_surroundings *around)
{
        int r = apply_host(raw, around, "postgres", "postgres", "POSTGRES_HOST", "POSTGRES_PORT", "5432",
                           FROM("POSTGRES_HOST"));

        if (!r)
                r = apply_host(raw, around, "redis", "redis", "REDIS_HOST", "REDIS_PORT", "6379", FROM("REDIS_HOST"));
        return r ? r : apply_neo4j(raw, around);
}
