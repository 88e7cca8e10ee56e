/*
 * Which proxy a provider is reached through: by the setting, or by the variables that curl and its kin read. HTTP_PROXY in
 * capitals is left alone as they leave it: in a CGI program it is a field of the request.
 *
 * In a variable the URL may hold a user and a password, as everywhere; of a URL nothing is ever told.
 */
#include <arpa/inet.h>
#include <errno.h>

#include "config/build.h"

#define USER_BYTES_MAX 1024u

/* The authority, and what stands before its last '@'. NULL, or what is wrong. */
static const char *read_proxy(struct sg_str text, struct sg_url_authority *ret, struct sg_str *ret_user)
{
        struct sg_str rest = text;
        size_t at;

        if (sg_str_istarts(rest, SG_STR("http://")))
                rest = sg_str_skip(rest, 7);
        else if (sg_str_find(rest, SG_STR("://")) < rest.n)
                return "is not one of an HTTP proxy; write http://host:port";
        if (rest.n && rest.p[rest.n - 1] == '/')
                rest.n--;
        at = rest.n;
        while (at && rest.p[at - 1] != '@')
                at--;
        *ret_user = at ? sg_str_head(rest, at - 1) : SG_STR_NONE;
        rest = sg_str_skip(rest, at);
        if (sg_str_find_byte(rest, '/') < rest.n)
                return "has a path; write http://host:port";
        ret->port = 0;
        const char *why = sg_url_read_authority(ret, rest);

        if (!why && !ret->port)
                return "has no port; write http://host:port";
        return why;
}

static int store_proxy(const struct sg_value *v, const struct sg_url_authority *at, struct sg_config_provider *p)
{
        p->proxy_host = sg_url_lower_case(v->pool, at->host);
        p->proxy_port = at->port;
        p->proxy_where = v->where;
        return p->proxy_host ? 0 : -ENOMEM;
}

int sg_value_proxy(const struct sg_value *v, struct sg_config_provider *p)
{
        static const char *const words[] = {"environment", "none"};
        struct sg_url_authority at = {.port = 0};
        struct sg_str user;
        const char *why;

        for (size_t i = 0; i < SG_N_ELEMENTS(words); i++)
                if (sg_str_ieq(v->text, sg_str_from(words[i]))) {
                        p->proxy = words[i];
                        return 0;
                }
        if (sg_str_find_byte(v->text, '@') < v->text.n)
                return sg_value_refuse(v, "the URL holds a user name or password; leave them out and write "
                                          "proxy_authorization = credential:, file: or env:");
        if (!sg_str_istarts(v->text, SG_STR("http://")))
                return sg_value_refuse(v, "write http://host:port, environment or none");
        why = read_proxy(v->text, &at, &user);
        if (why)
                return sg_value_refuse(v, "the URL %s", why);
        p->proxy = sg_pool_dup(v->pool, v->text);
        return p->proxy ? store_proxy(v, &at, p) : -ENOMEM;
}

/* ---- no_proxy */

struct address {
        int family;
        unsigned char bytes[sizeof(struct in6_addr)];
        size_t n_bits;
};

static bool read_address(struct address *a, struct sg_str text)
{
        char name[INET6_ADDRSTRLEN];

        if (text.n == 0 || text.n >= sizeof(name))
                return false;
        memcpy(name, text.p, text.n);
        name[text.n] = '\0';
        a->family = sg_str_find_byte(text, ':') < text.n ? AF_INET6 : AF_INET;
        a->n_bits = a->family == AF_INET ? 32 : 128;
        return inet_pton(a->family, name, a->bytes) == 1;
}

static bool has_prefix(const struct address *a, const struct address *net, size_t n_bits)
{
        const size_t whole = n_bits / 8;
        const unsigned mask = (0xff00u >> n_bits % 8) & 0xff;

        if (a->family != net->family || n_bits > a->n_bits || memcmp(a->bytes, net->bytes, whole) != 0)
                return false;
        return !mask || (a->bytes[whole] & mask) == (net->bytes[whole] & mask);
}

/* An entry's port is cut off it; false when it is another one. */
static bool is_for_port(struct sg_str *entry, uint16_t port)
{
        size_t colon = entry->n;
        uint64_t number;

        if (entry->p[0] == '[') {
                const size_t close = sg_str_find_byte(*entry, ']');
                const struct sg_str after = close < entry->n ? sg_str_skip(*entry, close + 1) : SG_STR_NONE;

                *entry = sg_str_make(entry->p + 1, close - 1);
                return after.n == 0 ||
                       (after.p[0] == ':' && sg_str_to_u64(sg_str_skip(after, 1), &number) == 0 && number == port);
        }
        colon = sg_str_find_byte(*entry, ':');
        if (colon == entry->n || sg_str_find_byte(sg_str_skip(*entry, colon + 1), ':') < entry->n - colon - 1)
                return true; /* none, or an IPv6 address */
        if (sg_str_to_u64(sg_str_skip(*entry, colon + 1), &number) || number != port)
                return false;
        *entry = sg_str_head(*entry, colon);
        return true;
}

static bool matches_address(struct sg_str entry, const struct address *host)
{
        struct sg_str bits = entry, net_text;
        struct address net;
        uint64_t n_bits = host->n_bits;

        if (sg_str_cut(&bits, '/', &net_text) && sg_str_to_u64(bits, &n_bits))
                return false;
        return read_address(&net, net_text) && n_bits <= host->n_bits && has_prefix(host, &net, (size_t)n_bits);
}

static struct sg_str without_dots(struct sg_str s)
{
        if (s.n && s.p[0] == '.')
                s = sg_str_skip(s, 1);
        if (s.n && s.p[s.n - 1] == '.')
                s.n--;
        return s;
}

static bool matches_entry(struct sg_str entry, struct sg_str host, uint16_t port)
{
        struct address address;
        size_t before;

        if (sg_str_eq(entry, SG_STR("*")))
                return true;
        if (!is_for_port(&entry, port) || entry.n == 0)
                return false;
        if (read_address(&address, host))
                return matches_address(entry, &address);
        entry = without_dots(entry);
        host = without_dots(host);
        if (entry.n == 0 || entry.n > host.n)
                return false;
        before = host.n - entry.n;
        return sg_str_ieq(sg_str_skip(host, before), entry) && (before == 0 || host.p[before - 1] == '.');
}

static bool is_in_no_proxy(struct sg_str list, struct sg_str host, uint16_t port)
{
        size_t start = 0;

        for (size_t i = 0; i <= list.n; i++) {
                if (i < list.n && list.p[i] != ',' && list.p[i] != ' ' && list.p[i] != '\t')
                        continue;
                if (i > start && matches_entry(sg_str_make(list.p + start, i - start), host, port))
                        return true;
                start = i + 1;
        }
        return false;
}

/* A proxy elsewhere cannot reach what listens here for here. */
static bool is_this_machine(struct sg_str host)
{
        static const struct address loopback4 = {AF_INET, {127}, 32}, loopback6 = {AF_INET6, {[15] = 1}, 128};
        struct address a;

        if (read_address(&a, host))
                return has_prefix(&a, &loopback4, 8) || has_prefix(&a, &loopback6, 128);
        return sg_str_ieq(without_dots(host), SG_STR("localhost")) || sg_str_ends(host, SG_STR(".localhost"));
}

/* ---- the variables */

/* The first that is set, in the order in which curl looks. */
static const char *find_variable(const struct sg_surroundings *around, bool is_tls, const char **ret_name)
{
        static const char *const names[][4] = {{"http_proxy", "all_proxy", "ALL_PROXY", NULL},
                                               {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"}};

        for (size_t i = 0; i < SG_N_ELEMENTS(names[0]) && names[is_tls][i]; i++) {
                const char *value = sg_surroundings_env(around, names[is_tls][i]);

                *ret_name = names[is_tls][i];
                if (value)
                        return value;
        }
        return NULL;
}

static bool has_exception(const struct sg_surroundings *around, const struct sg_config_provider *p)
{
        const char *list = sg_surroundings_env(around, "no_proxy");

        if (!list)
                list = sg_surroundings_env(around, "NO_PROXY");
        return is_in_no_proxy(sg_str_from(list), sg_str_from(p->host), p->port);
}

static bool hex_byte(struct sg_str at, char *ret)
{
        uint64_t number;

        if (at.n < 3 || sg_str_to_hex64(sg_str_make(at.p + 1, 2), &number))
                return false;
        *ret = (char)number;
        return true;
}

/* "user:pass%40word" as the secret that it stands for. */
static int decode_user(const struct sg_value *v, struct sg_str user, struct sg_secret **ret)
{
        char plain[USER_BYTES_MAX + 2];
        bool has_colon = false;
        size_t n = 0;
        int r = 0;

        for (size_t i = 0; i < user.n && !r && n + 1 < sizeof(plain); i++, n++) {
                plain[n] = user.p[i];
                has_colon = has_colon || user.p[i] == ':';
                if (user.p[i] == '%' && hex_byte(sg_str_skip(user, i), &plain[n]))
                        i += 2;
                if ((unsigned char)plain[n] < ' ' || plain[n] == 0x7f)
                        r = sg_value_refuse(v, "the URL has a control byte in its user or password");
        }
        if (!r && n + 1 >= sizeof(plain))
                r = sg_value_refuse(v, "the URL has a user and password of more than %u bytes", USER_BYTES_MAX);
        if (!r && !has_colon)
                plain[n++] = ':';
        if (!r)
                r = sg_secret_new(ret, sg_str_make(plain, n));
        sg_wipe(plain, sizeof(plain));
        return r;
}

int sg_proxy_from_environment(struct sg_whole *w, struct sg_config_provider *p, const struct sg_surroundings *around,
                              struct sg_error *err)
{
        struct sg_url_authority at = {.port = 0};
        struct sg_str user;
        const char *name, *url, *where, *why;
        int r;

        if (p->dialect == SG_DIALECT_ECHO || p->socket_path || strcmp(p->proxy, "environment") != 0)
                return 0;
        url = find_variable(around, p->is_tls, &name);
        if (!url || is_this_machine(sg_str_from(p->host)) || has_exception(around, p))
                return 0;
        where = sg_pool_printf(&w->pool, "environment variable %s", name);
        if (!where)
                return -ENOMEM;
        struct sg_value v = {sg_setting_get("provider.proxy"), sg_str_from(url), where, &w->pool, err};

        why = read_proxy(v.text, &at, &user);
        if (why)
                return sg_value_refuse(&v, "the URL %s", why);
        r = store_proxy(&v, &at, p);
        if (!r && user.n && !p->proxy_authorization && around->reads_secrets)
                r = decode_user(&v, user, &p->proxy_authorization);
        return r;
}
