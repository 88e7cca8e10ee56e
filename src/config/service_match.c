/*
 * Which service a request is for: of those whose prefix, hosts and methods match, the longest prefix, then the host that
 * is named exactly, then the one that names methods. Paths are compared as they stand: no decoding, so that nothing means
 * two things.
 */
#include "config/config.h"

struct sg_str sg_service_prefix(const struct sg_config_service *s)
{
        struct sg_str prefix = sg_str_from(s->prefix);

        return sg_str_head(prefix, sg_str_ends(prefix, SG_STR("/")) ? prefix.n - 1 : prefix.n);
}

/* "/api" and "/api/" are the same: "/api", "/api/x", but not "/apix". */
static bool has_path(struct sg_str prefix, struct sg_str path)
{
        return sg_str_starts(path, prefix) && (path.n == prefix.n || path.p[prefix.n] == '/');
}

/* Without the port, which says where the request came in and not whom it is for. */
static struct sg_str host_only(struct sg_str host)
{
        size_t i = host.n;

        while (i && host.p[i - 1] >= '0' && host.p[i - 1] <= '9')
                i--;
        return i && host.p[i - 1] == ':' ? sg_str_head(host, i - 1) : host;
}

/* 0: no match; more: the better. */
static unsigned host_rank(const struct sg_config_service *s, struct sg_str host)
{
        unsigned best = s->n_hosts ? 0 : 1;

        for (size_t i = 0; i < s->n_hosts; i++) {
                struct sg_str wanted = sg_str_from(s->hosts[i]), first;
                struct sg_str rest = host;

                if (sg_str_ieq(wanted, host))
                        return 3;
                if (sg_str_starts(wanted, SG_STR("*.")) && sg_str_cut(&rest, '.', &first) && first.n &&
                    sg_str_ieq(sg_str_skip(wanted, 2), rest))
                        best = 2;
        }
        return best;
}

static bool has_method(const struct sg_config_service *s, struct sg_str method)
{
        for (size_t i = 0; i < s->n_methods; i++)
                if (sg_str_eq(sg_str_from(s->methods[i]), method))
                        return true;
        return s->n_methods == 0;
}

struct candidate {
        const struct sg_config_service *service;
        size_t prefix_n;
        unsigned host;
        bool names_methods;
};

static bool is_better(const struct candidate *a, const struct candidate *b)
{
        if (!b->service)
                return true;
        if (a->prefix_n != b->prefix_n)
                return a->prefix_n > b->prefix_n;
        if (a->host != b->host)
                return a->host > b->host;
        return a->names_methods && !b->names_methods;
}

const struct sg_config_service *sg_config_find_service(const struct sg_config *c, struct sg_str host,
                                                       struct sg_str method, struct sg_str path, bool *ret_other_method)
{
        struct candidate best = {0};

        *ret_other_method = false;
        host = host_only(host);
        for (size_t i = 0; i < c->n_services; i++) {
                const struct sg_config_service *s = &c->services[i];
                struct sg_str prefix = sg_service_prefix(s);
                struct candidate now = {.service = s, .prefix_n = prefix.n, .names_methods = s->n_methods > 0};

                if (!has_path(prefix, path))
                        continue;
                now.host = host_rank(s, host);
                if (!now.host)
                        continue;
                if (!has_method(s, method))
                        *ret_other_method = true;
                else if (is_better(&now, &best))
                        best = now;
        }
        return best.service;
}
