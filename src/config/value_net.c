/*
 * Addresses to listen on and URLs to call. Of a URL that is refused nothing is told but its scheme: a password or a key
 * may stand in any part of it.
 */
#include <arpa/inet.h>
#include <errno.h>

#include "config/value.h"

#define HOST_BYTES_MAX 253u /* of a name in the DNS: RFC 1035, 2.3.4 */

/* ---- listeners: what net/address.c reads */

static bool is_ip(int family, struct sg_str host)
{
        unsigned char address[sizeof(struct in6_addr)];
        char text[INET6_ADDRSTRLEN];

        if (host.n >= sizeof(text))
                return false;
        memcpy(text, host.p, host.n);
        text[host.n] = '\0';
        return inet_pton(family, text, address) == 1;
}

static int refuse_address(const struct sg_value *v, const char *why)
{
        char shown[SG_VALUE_SHOWN_BYTES];

        return sg_value_refuse(v, "'%s': %s; write 127.0.0.1:8000, [::]:8443, 8000 or unix:/path",
                               sg_value_shown(v->text, shown), why);
}

/* The text of the port, or why there is none. */
static const char *cut_port(struct sg_str text, struct sg_str *ret_port)
{
        struct sg_str host = SG_STR("*");
        size_t colon = text.n;

        if (text.p[0] == '[') {
                size_t close = sg_str_find_byte(text, ']');

                if (close + 1 >= text.n || text.p[close + 1] != ':')
                        return "there is no ]:port";
                *ret_port = sg_str_skip(text, close + 2);
                return is_ip(AF_INET6, sg_str_make(text.p + 1, close - 1)) ? NULL
                                                                           : "not an IPv6 address in the brackets";
        }
        while (colon > 0 && text.p[colon - 1] != ':')
                colon--;
        if (colon)
                host = sg_str_head(text, colon - 1);
        *ret_port = sg_str_skip(text, colon);
        if (sg_str_eq(host, SG_STR("*")) || is_ip(AF_INET, host))
                return NULL;
        if (is_ip(AF_INET6, host) || is_ip(AF_INET6, text))
                return "an IPv6 address stands in brackets";
        return sg_str_ieq(host, SG_STR("localhost")) ? "names are not resolved, 127.0.0.1 is this machine"
                                                     : "not a numeric IP address before the port";
}

int sg_value_address(const struct sg_value *v, void *object)
{
        struct sg_config_listener *listener = object;
        struct sg_str port_text;
        const char *why;
        uint64_t port;

        if (sg_str_starts(v->text, SG_STR("unix:"))) {
                struct sg_str path = sg_str_skip(v->text, 5);

                if (path.n == 0 || path.p[0] != '/')
                        return refuse_address(v, "the path must be absolute");
                if (path.n > 107) /* sun_path of unix(7) and its NUL */
                        return refuse_address(v, "the path has more than 107 bytes");
        } else {
                why = cut_port(v->text, &port_text);
                if (why)
                        return refuse_address(v, why);
                if (sg_str_to_u64(port_text, &port) || port > UINT16_MAX)
                        return refuse_address(v, "the port is not a number from 0 to 65535");
        }
        listener->address = sg_pool_dup(v->pool, v->text);
        return listener->address ? 0 : -ENOMEM;
}

/* ---- providers and services */

struct url {
        bool is_tls;
        struct sg_url_authority at;
        struct sg_str socket_path; /* of "unix:/path" in place of an authority */
        struct sg_str path;        /* without trailing slashes */
        const char *instead;       /* of a user and password: the rest of the sentence */
};

static bool is_host_name(struct sg_str host)
{
        size_t label = 0;

        for (size_t i = 0; i < host.n; i++) {
                char c = host.p[i];

                if (c == '.') {
                        if (label == 0)
                                return false;
                        label = 0;
                } else if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                           c == '_') {
                        label++;
                        if (label > 63)
                                return false;
                } else {
                        return false;
                }
        }
        return host.n > 0 && host.n <= HOST_BYTES_MAX;
}

/* RFC 3986: pchar and '/', which is what may stand in a request line as it is. */
bool sg_url_is_path(struct sg_str path)
{
        static const char others[] = "-._~!$&'()*+,;=:@/%";

        for (size_t i = 0; i < path.n; i++) {
                char c = path.p[i];

                if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr(others, c)))
                        return false;
        }
        return true;
}

bool sg_url_is_host(struct sg_str host)
{
        return is_host_name(host) || is_ip(AF_INET6, host);
}

const char *sg_url_read_authority(struct sg_url_authority *u, struct sg_str authority)
{
        struct sg_str port = SG_STR_NONE;
        uint64_t number;
        size_t end;

        u->is_v6 = authority.n && authority.p[0] == '[';
        if (u->is_v6) {
                end = sg_str_find_byte(authority, ']');
                if (end == authority.n)
                        return "has no ] after the IPv6 address";
                u->host = sg_str_make(authority.p + 1, end - 1);
                end++;
                if (!is_ip(AF_INET6, u->host))
                        return "has no IPv6 address between [ and ]";
        } else {
                end = sg_str_find_byte(authority, ':');
                u->host = sg_str_head(authority, end);
                if (!is_host_name(u->host))
                        return u->host.n ? "has a host that is neither a name nor an address" : "has no host";
        }
        if (end == authority.n)
                return NULL;
        port = sg_str_skip(authority, end + 1);
        if (authority.p[end] != ':' || sg_str_to_u64(port, &number) || number < 1 || number > UINT16_MAX)
                return "has a port that is not a number from 1 to 65535";
        u->port = (uint16_t)number;
        return NULL;
}

/* "unix:/path:/uri", as nginx writes it in proxy_pass: the path of the socket ends at the first colon. */
static const char *read_socket(struct url *u, struct sg_str rest)
{
        const size_t end = sg_str_find_byte(rest, ':');

        u->socket_path = sg_str_head(rest, end);
        u->path = end < rest.n ? sg_str_skip(rest, end + 1) : SG_STR_NONE;
        if (u->socket_path.n == 0 || u->socket_path.p[0] != '/')
                return "has no absolute path of a socket after unix:; write http://unix:/run/model.sock:/v1";
        if (u->socket_path.n > 107) /* sun_path of unix(7) and its NUL */
                return "has a socket whose path has more than 107 bytes";
        if (!sg_url_is_path(u->socket_path))
                return "has a byte in the socket's path that may not stand in a URL";
        if (u->path.n && u->path.p[0] != '/')
                return "has no / after the colon behind the socket; write http://unix:/run/model.sock:/v1";
        return NULL;
}

static const char *read_network(struct url *u, struct sg_str rest)
{
        const size_t end = sg_str_find_byte(rest, '/');
        const struct sg_str authority = sg_str_head(rest, end);

        u->path = sg_str_skip(rest, end);
        if (sg_str_find_byte(authority, '@') < authority.n)
                return u->instead;
        return sg_url_read_authority(&u->at, authority);
}

/* NULL, or what is wrong with it: the rest of a sentence that begins with "the URL". */
static const char *read_url(struct url *u, struct sg_str text)
{
        struct sg_str rest = text;
        const char *why;

        u->is_tls = sg_str_istarts(rest, SG_STR("https://"));
        if (!u->is_tls && !sg_str_istarts(rest, SG_STR("http://")))
                return "does not begin with https:// or http://";
        u->at.port = u->is_tls ? 443 : 80;
        rest = sg_str_skip(rest, u->is_tls ? 8 : 7);
        if (sg_str_find_byte(rest, '#') < rest.n)
                return "has a fragment (#); leave it out";
        if (sg_str_find_byte(rest, '?') < rest.n)
                return "has a query (?); leave it out";
        if (sg_str_istarts(rest, SG_STR("unix:")))
                why = read_socket(u, sg_str_skip(rest, 5));
        else
                why = read_network(u, rest);
        if (why)
                return why;
        while (u->path.n && u->path.p[u->path.n - 1] == '/')
                u->path.n--;
        if (!sg_url_is_path(u->path))
                return "has a byte in its path that must be written as %XX";
        return NULL;
}

char *sg_url_lower_case(struct sg_pool *pool, struct sg_str s)
{
        char *copy = sg_pool_dup(pool, s);

        for (size_t i = 0; copy && i < s.n; i++)
                if (copy[i] >= 'A' && copy[i] <= 'Z')
                        copy[i] = (char)(copy[i] + ('a' - 'A'));
        return copy;
}

static int refuse_scheme(const struct sg_value *v)
{
        size_t end = sg_str_find_byte(v->text, ':');

        for (size_t i = 0; i < end; i++)
                if (!((v->text.p[i] >= 'a' && v->text.p[i] <= 'z') || (v->text.p[i] >= 'A' && v->text.p[i] <= 'Z')))
                        end = v->text.n;
        if (end == v->text.n || end > 16 || !sg_str_starts(sg_str_skip(v->text, end), SG_STR("://")))
                return sg_value_refuse(v, "the URL does not begin with https:// or http://");
        return sg_value_refuse(v, "%.*s:// cannot be called; write https:// or http://", (int)end, v->text.p);
}

/* A server on a Unix socket has no name of its own: the Host field says what nginx says there. */
static int store_socket(const struct sg_value *v, const struct url *u, struct sg_config_endpoint *e)
{
        e->socket_path = sg_pool_dup(v->pool, u->socket_path);
        e->host = e->authority = "localhost";
        e->port = 0;
        return e->socket_path ? 0 : -ENOMEM;
}

static int store_network(const struct sg_value *v, const struct url *u, struct sg_config_endpoint *e)
{
        const bool is_usual = u->at.port == (u->is_tls ? 443 : 80);

        e->socket_path = NULL;
        e->port = u->at.port;
        e->host = sg_url_lower_case(v->pool, u->at.host);
        if (!e->host)
                return -ENOMEM;
        e->authority = is_usual ? sg_pool_printf(v->pool, u->at.is_v6 ? "[%s]" : "%s", e->host)
                                : sg_pool_printf(v->pool, u->at.is_v6 ? "[%s]:%u" : "%s:%u", e->host, e->port);
        return e->authority ? 0 : -ENOMEM;
}

static int read_endpoint(const struct sg_value *v, struct sg_str text, const char *instead,
                         struct sg_config_endpoint *ret)
{
        struct url u = {.instead = instead};
        const char *why;

        if (!sg_str_istarts(text, SG_STR("https://")) && !sg_str_istarts(text, SG_STR("http://")))
                return refuse_scheme(v);
        why = read_url(&u, text);
        if (why)
                return sg_value_refuse(v, "the URL %s", why);
        ret->url = sg_pool_dup(v->pool, text);
        ret->is_tls = u.is_tls;
        ret->path_prefix = sg_pool_dup(v->pool, u.path);
        if (!ret->url || !ret->path_prefix)
                return -ENOMEM;
        return u.socket_path.n ? store_socket(v, &u, ret) : store_network(v, &u, ret);
}

int sg_value_endpoint_url(const struct sg_value *v, struct sg_str url, struct sg_config_endpoint *ret)
{
        return read_endpoint(v, url, "holds a user name or password; leave them out", ret);
}

int sg_value_url(const struct sg_value *v, struct sg_config_provider *p)
{
        static const char *const added[] = {"/chat/completions", "/messages", "/responses"};
        struct sg_config_endpoint e;
        int r = read_endpoint(v, v->text,
                              "holds a user name or password; leave them out and write api_key = credential:, file: or "
                              "env:",
                              &e);

        if (r)
                return r;
        for (size_t i = 0; i < SG_N_ELEMENTS(added); i++)
                if (sg_str_ends(sg_str_from(e.path_prefix), sg_str_from(added[i])))
                        return sg_value_refuse(v, "the URL ends with %s, which the gateway adds itself; leave it out",
                                               added[i]);
        p->base_url = e.url;
        p->is_tls = e.is_tls;
        p->host = e.host;
        p->port = e.port;
        p->authority = e.authority;
        p->path_prefix = e.path_prefix;
        p->socket_path = e.socket_path;
        return 0;
}
