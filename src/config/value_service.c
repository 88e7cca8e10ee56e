/*
 * What stands in a [service]: prefixes, hosts, methods, fields, origins, endpoints. Of a field's value nothing is told:
 * somebody may have put a secret there.
 */
#include <errno.h>
#include <stdio.h>

#include "base/limits.h"
#include "config/value.h"

static bool is_letter_or_digit(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* RFC 9110, 5.6.2. */
static bool is_token(struct sg_str s)
{
        for (size_t i = 0; i < s.n; i++)
                if (!is_letter_or_digit(s.p[i]) && !(s.p[i] && strchr("!#$%&'*+-.^_`|~", s.p[i])))
                        return false;
        return s.n > 0;
}

static bool is_one_of(struct sg_str s, const char *const *names, size_t n_names)
{
        for (size_t i = 0; i < n_names; i++)
                if (sg_str_ieq(s, sg_str_from(names[i])))
                        return true;
        return false;
}

static int keep(const struct sg_value *v, struct sg_str s, void *item)
{
        const char *copy = sg_pool_dup(v->pool, s);

        if (!copy)
                return -ENOMEM;
        memcpy(item, &copy, sizeof(copy));
        return 0;
}

/* ---- where requests come from */

/* The rest of a sentence that begins with the prefix, or NULL. */
static const char *check_prefix(struct sg_str prefix)
{
        struct sg_str rest = prefix, segment;

        if (prefix.p[0] != '/')
                return "does not begin with /";
        if (sg_str_find_byte(prefix, '?') < prefix.n || sg_str_find_byte(prefix, '#') < prefix.n)
                return "has a ? or #; only the path counts";
        if (sg_str_find_byte(prefix, '%') < prefix.n)
                return "has a %; a prefix is written without escapes";
        if (!sg_url_is_path(prefix) || sg_str_find_byte(prefix, ';') < prefix.n)
                return "has a byte that may not stand in a prefix";
        rest = sg_str_skip(rest, 1);
        while (sg_str_cut(&rest, '/', &segment) || segment.n) /* the last may be empty */
                if (segment.n == 0 || sg_str_eq(segment, SG_STR(".")) || sg_str_eq(segment, SG_STR("..")))
                        return "has a segment that is empty, '.' or '..'";
        return NULL;
}

/* Paths that gateway/route.c answers before any service is asked. */
static bool is_own(struct sg_str prefix)
{
        static const char *const own[] = {"/v1",
                                          "/v1/chat",
                                          "/v1/chat/completions",
                                          "/v1/completions",
                                          "/v1/embeddings",
                                          "/v1/messages",
                                          "/v1/messages/count_tokens",
                                          "/v1/models",
                                          "/v1/responses",
                                          "/health",
                                          "/ready",
                                          "/api/health",
                                          "/api/health/all",
                                          "/api/health/aggregated"};

        if (sg_str_ends(prefix, SG_STR("/")))
                prefix.n--;
        for (size_t i = 0; i < SG_N_ELEMENTS(own); i++)
                if (sg_str_eq(prefix, sg_str_from(own[i])))
                        return true;
        return sg_str_starts(prefix, SG_STR("/v1/models/"));
}

int sg_value_prefix(const struct sg_value *v, void *object)
{
        struct sg_config_service *s = object;
        const char *why = check_prefix(v->text);
        char shown[SG_VALUE_SHOWN_BYTES];

        if (!why && v->text.n > v->setting->max)
                why = "is too long";
        if (!why && is_own(v->text))
                why = "is a path of the gateway's own; choose another";
        if (why)
                return sg_value_refuse(v, "'%s' %s", sg_value_shown(v->text, shown), why);
        return keep(v, v->text, &s->prefix);
}

static const char *check_host(struct sg_str host)
{
        const bool is_pattern = sg_str_starts(host, SG_STR("*."));
        struct sg_url_authority at = {.port = 0};

        if (sg_str_eq(host, SG_STR("*")))
                return "is every host: leave host out";
        if (is_pattern)
                host = sg_str_skip(host, 2);
        if (sg_url_read_authority(&at, host) || (is_pattern && at.is_v6))
                return "is not a host; write api.example.com, *.example.com or [::1]";
        return at.port ? "has a port; leave it out" : NULL;
}

int sg_value_host_name(const struct sg_value *v, void *item)
{
        const char *why = check_host(v->text), *copy;
        char shown[SG_VALUE_SHOWN_BYTES];

        if (why)
                return sg_value_refuse(v, "'%s' %s", sg_value_shown(v->text, shown), why);
        copy = sg_url_lower_case(v->pool, v->text);
        return copy ? keep(v, sg_str_from(copy), item) : -ENOMEM;
}

int sg_value_method(const struct sg_value *v, void *item)
{
        static const char *const words[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"};
        char shown[SG_VALUE_SHOWN_BYTES], guess[64];
        struct sg_nearest nearest;

        if (!is_token(v->text) || v->text.n > SG_METHOD_BYTES_MAX)
                return sg_value_refuse(v, "'%s' is not a method", sg_value_shown(v->text, shown));
        sg_nearest_init(&nearest, v->text);
        for (size_t i = 0; i < SG_N_ELEMENTS(words); i++)
                sg_nearest_try(&nearest, sg_str_from(words[i]));
        for (size_t i = 0; i < v->text.n; i++)
                if (v->text.p[i] >= 'a' && v->text.p[i] <= 'z')
                        return sg_value_refuse(v, "'%s': methods are written in capitals%s",
                                               sg_value_shown(v->text, shown),
                                               sg_nearest_text(&nearest, guess, sizeof(guess)));
        return keep(v, v->text, item);
}

int sg_value_subject(const struct sg_value *v, void *item)
{
        if (sg_str_find_byte(v->text, '=') == v->text.n)
                return sg_value_refuse(v, "a subject is written CN=alice,O=Example");
        return keep(v, v->text, item);
}

int sg_value_origin(const struct sg_value *v, void *item)
{
        const bool is_tls = sg_str_istarts(v->text, SG_STR("https://"));
        struct sg_url_authority at = {.port = is_tls ? 443 : 80};
        struct sg_str rest;
        const char *why, *host, *copy;

        if (sg_str_find_byte(v->text, '*') < v->text.n)
                return sg_value_refuse(v, "* would let any page in: origins are explicit; write each, as "
                                          "https://app.example");
        if (!is_tls && !sg_str_istarts(v->text, SG_STR("http://")))
                return sg_value_refuse(v, "an origin begins with https:// or http://");
        rest = sg_str_skip(v->text, is_tls ? 8 : 7);
        if (sg_str_find_byte(rest, '/') < rest.n)
                return sg_value_refuse(v, "an origin has no path, not even a /; write https://app.example");
        why = sg_url_read_authority(&at, rest);
        if (why)
                return sg_value_refuse(v, "the origin %s", why);
        host = sg_url_lower_case(v->pool, at.host);
        if (!host)
                return -ENOMEM;
        copy = at.port == (is_tls ? 443 : 80)
                       ? sg_pool_printf(v->pool, at.is_v6 ? "http%s://[%s]" : "http%s://%s", is_tls ? "s" : "", host)
                       : sg_pool_printf(v->pool, at.is_v6 ? "http%s://[%s]:%u" : "http%s://%s:%u", is_tls ? "s" : "",
                                        host, at.port);
        return copy ? keep(v, sg_str_from(copy), item) : -ENOMEM;
}

/* ---- fields */

int sg_value_tokens(const struct sg_value *v, void *object)
{
        struct sg_str rest = v->text, token;
        char shown[SG_VALUE_SHOWN_BYTES];
        bool has_more;

        do {
                has_more = sg_str_cut(&rest, ',', &token);
                token = sg_str_trim(token);
                if (!is_token(token))
                        return sg_value_refuse(v, "'%s' is not a word; words have commas between them",
                                               sg_value_shown(token, shown));
        } while (has_more);
        return keep(v, v->text, (char *)object + v->setting->offset);
}

/* The rest of a sentence that begins with the name, or NULL. */
static const char *check_name(struct sg_str name)
{
        static const char *const own[] = {"Content-Length", "Transfer-Encoding", "Connection",       "Upgrade", "TE",
                                          "Trailer",        "Keep-Alive",        "Proxy-Connection", "Expect"};

        if (!is_token(name) || name.n > SG_FIELD_NAME_BYTES_MAX)
                return "is not the name of a field";
        if (is_one_of(name, own, SG_N_ELEMENTS(own)))
                return "is what the gateway decides itself";
        return NULL;
}

int sg_value_field_name(const struct sg_value *v, void *item)
{
        const char *why = check_name(v->text);
        char shown[SG_VALUE_SHOWN_BYTES];

        if (!why && sg_str_ieq(v->text, SG_STR("Host")))
                why = "must stand in every request; request_header = Host: NAME replaces it";
        if (why)
                return sg_value_refuse(v, "'%s' %s", sg_value_shown(v->text, shown), why);
        return keep(v, v->text, item);
}

/* RFC 9110, 5.5: what was trimmed already, of visible bytes, blanks and tabs, and obs-text. */
static bool is_field_value(struct sg_str value)
{
        for (size_t i = 0; i < value.n; i++)
                if (((unsigned char)value.p[i] < ' ' && value.p[i] != '\t') || value.p[i] == 0x7f)
                        return false;
        return true;
}

static const char *check_value(const struct sg_setting *setting, struct sg_str name, struct sg_str value)
{
        static const char *const secrets[] = {"Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie"};
        struct sg_url_authority at = {.port = 0};

        if (!is_field_value(value))
                return "has a control byte in its value";
        if (is_one_of(name, secrets, SG_N_ELEMENTS(secrets)))
                return "holds secrets, and none may stand in the configuration";
        if (!sg_str_ieq(name, SG_STR("Host")))
                return NULL;
        if (setting != sg_setting_get("service.request_header"))
                return "is a field of requests";
        return sg_url_read_authority(&at, value) ? "has a value that is not a host" : NULL;
}

int sg_value_field(const struct sg_value *v, void *item)
{
        struct sg_config_field *f = item;
        struct sg_str value = v->text, name;
        char shown[SG_VALUE_SHOWN_BYTES];
        const char *why;

        if (!sg_str_cut(&value, ':', &name))
                return sg_value_refuse(v, "a field is written Name: value");
        value = sg_str_trim(value);
        why = check_name(name);
        if (!why)
                why = check_value(v->setting, name, value);
        if (why)
                return sg_value_refuse(v, "'%s' %s", sg_value_shown(name, shown), why);
        f->name = sg_pool_dup(v->pool, name);
        f->value = sg_pool_dup(v->pool, value);
        return f->name && f->value ? 0 : -ENOMEM;
}

/* ---- endpoints */

int sg_value_endpoint(const struct sg_value *v, void *item)
{
        struct sg_config_endpoint *e = item;
        struct sg_str rest = v->text, url = sg_value_next_word(&rest, " \t");
        int r = sg_value_endpoint_url(v, url, e);

        return r ? r : sg_value_weight(v, rest, "an endpoint", &e->weight);
}

int sg_value_hash_by(const struct sg_value *v, void *object)
{
        static const char *const words[] = {"address", "key", "header:NAME"};
        struct sg_config_service *s = object;
        struct sg_str name = v->text, before;
        char shown[SG_VALUE_SHOWN_BYTES];

        s->hash_header = NULL;
        if (sg_str_ieq(v->text, SG_STR("address"))) {
                s->hash_by = SG_HASH_BY_ADDRESS;
                return 0;
        }
        if (sg_str_ieq(v->text, SG_STR("key"))) {
                s->hash_by = SG_HASH_BY_KEY;
                return 0;
        }
        if (!sg_str_cut(&name, ':', &before) || !sg_str_ieq(before, SG_STR("header")))
                return sg_value_refuse_word(v, words, SG_N_ELEMENTS(words));
        if (!is_token(name) || name.n > SG_FIELD_NAME_BYTES_MAX)
                return sg_value_refuse(v, "'%s' is not the name of a field", sg_value_shown(name, shown));
        s->hash_by = SG_HASH_BY_HEADER;
        return keep(v, name, &s->hash_header);
}

static int read_health_path(const struct sg_value *v, struct sg_config_service *s)
{
        const struct sg_str path = sg_str_head(v->text, sg_str_find_byte(v->text, '?'));
        const struct sg_str query = sg_str_skip(v->text, path.n);

        if (v->text.n > SG_TARGET_BYTES_MAX)
                return sg_value_refuse(v, "the path is too long");
        if (!sg_url_is_path(path) || (query.n && !sg_url_is_path(sg_str_skip(query, 1))))
                return sg_value_refuse(v, "the path has a byte that must be written as %%XX");
        s->check = SG_CHECK_HTTP;
        return keep(v, v->text, &s->health_path);
}

/* Names of services are those of protocol buffers; servers may know others ("liveness"). */
static int read_grpc(const struct sg_value *v, struct sg_str name, struct sg_config_service *s)
{
        char shown[SG_VALUE_SHOWN_BYTES];

        for (size_t i = 0; i < name.n; i++)
                if (!is_letter_or_digit(name.p[i]) && !(name.p[i] && strchr("._-/", name.p[i])))
                        return sg_value_refuse(v, "'%s' is not the name of a gRPC service",
                                               sg_value_shown(name, shown));
        s->check = SG_CHECK_GRPC;
        return keep(v, name, &s->health_path);
}

int sg_value_health(const struct sg_value *v, void *object)
{
        static const char *const words[] = {"none", "tcp", "grpc", "grpc:SERVICE.NAME", "/path"};
        struct sg_config_service *s = object;

        s->health_path = "";
        if (v->text.p[0] == '/')
                return read_health_path(v, s);
        if (sg_str_istarts(v->text, SG_STR("http://")) || sg_str_istarts(v->text, SG_STR("https://")))
                return sg_value_refuse(v, "write the path only; where to ask is what the endpoints say");
        if (sg_str_istarts(v->text, SG_STR("grpc:")) && v->text.n > 5)
                return read_grpc(v, sg_str_skip(v->text, 5), s);
        if (sg_str_ieq(v->text, SG_STR("grpc")))
                s->check = SG_CHECK_GRPC;
        else if (sg_str_ieq(v->text, SG_STR("tcp")))
                s->check = SG_CHECK_TCP;
        else if (sg_str_ieq(v->text, SG_STR("none")))
                s->check = SG_CHECK_NONE;
        else
                return sg_value_refuse_word(v, words, SG_N_ELEMENTS(words));
        return 0;
}
