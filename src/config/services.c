/*
 * Services: lists, settings that need one another, and prefixes that would take the same requests.
 */
#include <errno.h>

#include "config/build.h"

#define SERVICES_MAX 1024u
#define HOSTS_MAX    256u /* and subjects, origins, methods, names that are removed */
#define FIELDS_MAX   64u

/* ---- lists */

static bool is_same_text(const void *a, const void *b)
{
        const char *const *x = a, *const *y = b;

        return sg_str_ieq(sg_str_from(*x), sg_str_from(*y));
}

static bool is_same_bytes(const void *a, const void *b)
{
        const char *const *x = a, *const *y = b;

        return strcmp(*x, *y) == 0;
}

static bool is_same_field(const void *a, const void *b)
{
        const struct sg_config_field *x = a, *y = b;

        return is_same_text(&x->name, &y->name);
}

static bool is_same_endpoint(const void *a, const void *b)
{
        const struct sg_config_endpoint *x = a, *y = b;

        return strcmp(x->url, y->url) == 0;
}

struct list {
        const char *key;
        const char *separators; /* NULL: one item a line */
        size_t max, item_bytes;
        int (*read)(const struct sg_value *v, void *item);
        bool (*is_same)(const void *a, const void *b);
        const char *twice; /* NULL: said once or twice is one */
        size_t items, n;   /* offsets in sg_config_service */
};

#define TEXTS(field) sizeof(const char *), .items = offsetof(struct sg_config_service, field), N_OF(n_##field)
#define FIELDS(field)                                                                                                  \
        sizeof(struct sg_config_field), .items = offsetof(struct sg_config_service, field), N_OF(n_##field)
#define N_OF(field) .n = offsetof(struct sg_config_service, field)
#define BLANKS      " \t,"

static const char field_twice[] = "the field is set already; one value a name";
static const struct list lists[] = {
        {"service.host", BLANKS, HOSTS_MAX, TEXTS(hosts), .read = sg_value_host_name, .is_same = is_same_bytes},
        {"service.method", BLANKS, HOSTS_MAX, TEXTS(methods), .read = sg_value_method, .is_same = is_same_bytes},
        {"service.client_subject", NULL, HOSTS_MAX, TEXTS(client_subjects), .read = sg_value_subject,
         .is_same = is_same_bytes},
        {"service.request_header", NULL, FIELDS_MAX, FIELDS(request_fields), .read = sg_value_field,
         .is_same = is_same_field, .twice = field_twice},
        {"service.response_header", NULL, FIELDS_MAX, FIELDS(response_fields), .read = sg_value_field,
         .is_same = is_same_field, .twice = field_twice},
        {"service.remove_request_header", BLANKS, HOSTS_MAX, TEXTS(request_removed), .read = sg_value_field_name,
         .is_same = is_same_text},
        {"service.remove_response_header", BLANKS, HOSTS_MAX, TEXTS(response_removed), .read = sg_value_field_name,
         .is_same = is_same_text},
        {"service.cors_origin", BLANKS, HOSTS_MAX, TEXTS(cors_origins), .read = sg_value_origin,
         .is_same = is_same_bytes},
        {"service.endpoint", NULL, SG_ENDPOINTS_MAX, sizeof(struct sg_config_endpoint),
         .items = offsetof(struct sg_config_service, endpoints), N_OF(n_endpoints), .read = sg_value_endpoint,
         .is_same = is_same_endpoint, .twice = "the URL stands twice; weight=N gives it a larger share"},
};

static int add_item(const struct list *l, const struct sg_value *v, char *items, size_t *n)
{
        char *item = items + *n * l->item_bytes;
        int r = l->read(v, item);

        for (size_t i = 0; i < *n && !r; i++)
                if (l->is_same(items + i * l->item_bytes, item))
                        return l->twice ? sg_value_refuse(v, "%s", l->twice) : 0;
        if (!r && *n == l->max)
                return sg_value_refuse(v, "there are more than %zu", l->max);
        if (!r)
                ++*n;
        return r;
}

static int build_list(struct sg_whole *w, const struct list *l, const struct sg_raw_section *section,
                      struct sg_config_service *s, struct sg_error *err)
{
        const struct sg_setting *setting = sg_setting_get(l->key);
        const struct sg_raw_line *first = sg_raw_first_of(section, setting);
        size_t *n = (size_t *)((char *)s + l->n), room = 0;
        char *items;
        int r = 0;

        for (const struct sg_raw_line *line = first; line; line = sg_raw_next_of(section, line))
                room += l->separators ? line->value.n / 2 + 1 : 1;
        items = sg_pool_array(&w->pool, SG_MIN(room, l->max + 1), l->item_bytes);
        if (!items)
                return -ENOMEM;
        memcpy((char *)s + l->items, &items, sizeof(items));
        for (const struct sg_raw_line *line = first; line && !r; line = sg_raw_next_of(section, line)) {
                struct sg_value v = {setting, line->value, line->where, &w->pool, err};
                struct sg_str rest = line->value;

                if (!l->separators)
                        r = add_item(l, &v, items, n);
                else
                        while (!r && (v.text = sg_value_next_word(&rest, l->separators)).n)
                                r = add_item(l, &v, items, n);
        }
        return r;
}

/* ---- settings that need one another */

static bool has_tls(const struct sg_config_service *s)
{
        for (size_t i = 0; i < s->n_endpoints; i++)
                if (s->endpoints[i].is_tls)
                        return true;
        return false;
}

const char *sg_service_lacks(const struct sg_config_service *s, const struct sg_setting *setting)
{
        const struct sg_str name = sg_str_from(setting->name);

        if (sg_str_eq(name, SG_STR("client_subject")) && s->auth != SG_SERVICE_AUTH_CERTIFICATE)
                return "is for auth = certificate";
        if (sg_str_eq(name, SG_STR("hash_by")) && s->balance != SG_BALANCE_HASH)
                return "is for balance = hash";
        if (sg_str_starts(name, SG_STR("health_")) && s->check == SG_CHECK_NONE)
                return "is for services whose health is asked for; write health = /path, tcp or grpc";
        if ((sg_str_starts(name, SG_STR("tls_")) || sg_str_eq(name, SG_STR("ca_file"))) && !has_tls(s))
                return "is for https, but no endpoint is https";
        if (sg_str_starts(name, SG_STR("cors_")) && !sg_str_eq(name, SG_STR("cors_origin")) && !s->n_cors_origins)
                return "is for services with a cors_origin; write cors_origin = https://app.example";
        return NULL;
}

static const char *line_of(const struct sg_raw_section *section, const char *key)
{
        return sg_raw_last(section, sg_setting_get(key))->where;
}

static int check_given(const struct sg_raw_section *section, const struct sg_config_service *s, struct sg_error *err)
{
        if (!s->prefix)
                return sg_error_set(err, -EINVAL, section->where,
                                    "[service \"%s\"] has no prefix; write prefix = /api/%s/", s->name, s->name);
        if (!s->n_endpoints)
                return sg_error_set(err, -EINVAL, section->where,
                                    "[service \"%s\"] has no endpoint; write endpoint = http://127.0.0.1:8082",
                                    s->name);
        for (const struct sg_setting *setting = sg_settings; setting < sg_settings_end; setting++) {
                const struct sg_raw_line *line = sg_raw_last(section, setting);
                const char *why = line ? sg_service_lacks(s, setting) : NULL;

                if (why)
                        return sg_error_set(err, -EINVAL, line->where, "%s %s", setting->name, why);
        }
        return 0;
}

static int check_together(const struct sg_raw_section *section, const struct sg_config_service *s, struct sg_error *err)
{
        if (!s->tls_certificate != !s->tls_key)
                return sg_error_set(err, -EINVAL,
                                    line_of(section, s->tls_key ? "service.tls_key" : "service.tls_certificate"),
                                    "tls_certificate and tls_key need each other");
        if (s->warm_connections > s->pool_max)
                return sg_error_set(err, -EINVAL, line_of(section, "service.warm_connections"),
                                    "warm_connections (%zu) is more than pool_max (%zu)", s->warm_connections,
                                    s->pool_max);
        return 0;
}

/* A field that is set replaces what stood there: to remove it as well is a mistake. */
static int check_removed(const struct sg_raw_section *section, const char *key, const struct sg_config_field *fields,
                         size_t n_fields, const char *const *removed, size_t n_removed, struct sg_error *err)
{
        for (size_t i = 0; i < n_fields; i++)
                for (size_t k = 0; k < n_removed; k++)
                        if (is_same_text(&fields[i].name, &removed[k]))
                                return sg_error_set(err, -EINVAL, line_of(section, key),
                                                    "%s: %s is set as well, which replaces it",
                                                    sg_setting_get(key)->name, fields[i].name);
        return 0;
}

static int check_certificates(const struct sg_config *c, const struct sg_raw_section *section,
                              const struct sg_config_service *s, struct sg_error *err)
{
        if (s->auth != SG_SERVICE_AUTH_CERTIFICATE)
                return 0;
        for (size_t i = 0; i < c->n_listeners; i++)
                if (c->listeners[i].client_certificate != SG_CLIENT_CERTIFICATE_NONE)
                        return 0;
        return sg_error_set(err, -EINVAL, line_of(section, "service.auth"),
                            "auth = certificate, but no [listener] asks clients for one; write client_certificate = "
                            "optional there");
}

/* ---- who takes a request */

/* Whether both could be the best for one request: service_match.c prefers exact hosts to patterns to none, and named methods
 * to none. */
static bool have_common(const char **a, size_t n_a, const char **b, size_t n_b)
{
        for (size_t i = 0; i < n_a; i++)
                for (size_t k = 0; k < n_b; k++)
                        if (strcmp(a[i], b[k]) == 0)
                                return true;
        return !n_a && !n_b;
}

static int check_others(const struct sg_config *c, const struct sg_raw_section *section,
                        const struct sg_config_service *s, struct sg_error *err)
{
        for (const struct sg_config_service *other = c->services; other < s; other++)
                if (sg_str_eq(sg_service_prefix(other), sg_service_prefix(s)) &&
                    have_common(other->hosts, other->n_hosts, s->hosts, s->n_hosts) &&
                    have_common(other->methods, other->n_methods, s->methods, s->n_methods))
                        return sg_error_set(
                                err, -EINVAL, line_of(section, "service.prefix"),
                                "prefix: [service \"%s\"] (%s) takes %s too, for hosts and methods that are "
                                "among these; give each its own host or method",
                                other->name, other->where, other->prefix);
        return 0;
}

/* ---- all sections */

static int check(const struct sg_config *c, const struct sg_raw_section *section, const struct sg_config_service *s,
                 struct sg_error *err)
{
        int r = check_given(section, s, err);

        if (!r)
                r = check_together(section, s, err);
        if (!r)
                r = check_removed(section, "service.remove_request_header", s->request_fields, s->n_request_fields,
                                  s->request_removed, s->n_request_removed, err);
        if (!r)
                r = check_removed(section, "service.remove_response_header", s->response_fields, s->n_response_fields,
                                  s->response_removed, s->n_response_removed, err);
        if (!r)
                r = check_certificates(c, section, s, err);
        return r ? r : check_others(c, section, s, err);
}

static int build_service(struct sg_whole *w, const struct sg_raw_section *section, struct sg_config_service *s,
                         const struct sg_surroundings *around, struct sg_error *err)
{
        int r = sg_section_check_name(section, err);

        s->name = section->name;
        s->where = section->where;
        if (!r)
                r = sg_section_store(w, SG_SECTION_SERVICE, section, s, err);
        for (size_t i = 0; i < SG_N_ELEMENTS(lists) && !r; i++)
                r = build_list(w, &lists[i], section, s, err);
        if (!r)
                r = sg_section_places(w, SG_SECTION_SERVICE, section, s, around, err);
        return r ? r : check(&w->config, section, s, err);
}

int sg_services_build(struct sg_whole *w, const struct sg_surroundings *around, struct sg_error *err)
{
        struct sg_config *c = &w->config;
        int r;

        c->services = sg_pool_array(&w->pool, sg_raw_count(&w->raw, SG_SECTION_SERVICE), sizeof(*c->services));
        if (!c->services)
                return -ENOMEM;
        SG_LIST_EACH (&w->raw.sections, k) {
                const struct sg_raw_section *section = SG_RAW_SECTION(k);

                if (section->id != SG_SECTION_SERVICE)
                        continue;
                if (c->n_services == SERVICES_MAX)
                        return sg_error_set(err, -EINVAL, section->where, "there are more than %u services",
                                            SERVICES_MAX);
                r = build_service(w, section, &c->services[c->n_services++], around, err);
                if (r)
                        return r;
        }
        return 0;
}
