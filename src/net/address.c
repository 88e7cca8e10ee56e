#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "net/listen.h"

static void format_unix(char *out, size_t out_bytes, const struct sockaddr_un *un, socklen_t length)
{
        const size_t at = offsetof(struct sockaddr_un, sun_path);
        const size_t n = length > at ? strnlen(un->sun_path, length - at) : 0;

        /* A client's end has no name; an abstract one begins with NUL. */
        if (n)
                (void)snprintf(out, out_bytes, "unix:%.*s", (int)n, un->sun_path);
        else
                (void)snprintf(out, out_bytes, "unix");
}

static void format_inet6(char *out, size_t out_bytes, const struct sockaddr_in6 *in6)
{
        char text[INET6_ADDRSTRLEN] = "?";

        if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
                (void)inet_ntop(AF_INET, &in6->sin6_addr.s6_addr[12], text, sizeof(text));
                (void)snprintf(out, out_bytes, "%s:%u", text, ntohs(in6->sin6_port));
                return;
        }
        (void)inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text));
        (void)snprintf(out, out_bytes, "[%s]:%u", text, ntohs(in6->sin6_port));
}

void sg_address_format(char *out, size_t out_bytes, const struct sockaddr *address, socklen_t length)
{
        char text[INET_ADDRSTRLEN] = "?";

        switch (address->sa_family) {
        case AF_INET: {
                const struct sockaddr_in *in = (const void *)address;

                (void)inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text));
                (void)snprintf(out, out_bytes, "%s:%u", text, ntohs(in->sin_port));
                break;
        }
        case AF_INET6:
                format_inet6(out, out_bytes, (const void *)address);
                break;
        case AF_UNIX:
                format_unix(out, out_bytes, (const void *)address, length);
                break;
        default:
                (void)snprintf(out, out_bytes, "unknown");
                break;
        }
}

void sg_address_format_peer(char *out, size_t out_bytes, int fd)
{
        struct sockaddr_storage a;
        socklen_t n = sizeof(a);

        if (getpeername(fd, (struct sockaddr *)&a, &n))
                (void)snprintf(out, out_bytes, "unknown");
        else
                sg_address_format(out, out_bytes, (struct sockaddr *)&a, n);
}

static int refuse(struct sg_error *err, struct sg_str text, const char *why)
{
        return sg_error_set(err, EINVAL, NULL,
                            "\"" SG_STR_FMT
                            "\" is not an address to listen on: %s; write 127.0.0.1:8000, [::]:8443, 8000 "
                            "or unix:/path",
                            SG_STR_ARG(text), why);
}

static int parse_unix(struct sg_address *a, struct sg_str text, struct sg_str path, struct sg_error *err)
{
        struct sockaddr_un *un = (void *)&a->socket;

        if (path.n == 0 || path.p[0] != '/')
                return refuse(err, text, "the path must be absolute");
        if (path.n >= sizeof(un->sun_path))
                return refuse(err, text, "the path is longer than 107 bytes");
        if (sg_str_find_byte(path, '\0') < path.n)
                return refuse(err, text, "the path has a NUL byte");
        un->sun_family = AF_UNIX;
        memcpy(un->sun_path, path.p, path.n);
        a->length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.n + 1);
        return 0;
}

/* The host between the brackets, if there are any, and whether it stood in brackets. */
static bool cut_port(struct sg_str text, struct sg_str *ret_host, struct sg_str *ret_port, bool *ret_is_v6)
{
        size_t colon = text.n;

        *ret_is_v6 = text.n && text.p[0] == '[';
        if (*ret_is_v6) {
                const size_t close = sg_str_find_byte(text, ']');

                if (close + 1 >= text.n || text.p[close + 1] != ':')
                        return false;
                *ret_host = sg_str_make(text.p + 1, close - 1);
                *ret_port = sg_str_skip(text, close + 2);
                return true;
        }
        while (colon > 0 && text.p[colon - 1] != ':')
                colon--;
        *ret_host = colon ? sg_str_head(text, colon - 1) : SG_STR("*");
        *ret_port = sg_str_skip(text, colon);
        return true;
}

static bool fill_inet(struct sg_address *a, struct sg_str host, bool is_v6, uint16_t port)
{
        struct sockaddr_in6 *in6 = (void *)&a->socket;
        struct sockaddr_in *in = (void *)&a->socket;
        char name[INET6_ADDRSTRLEN];

        if (sg_str_eq(host, SG_STR("*"))) {
                *in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
                a->length = sizeof(*in6);
                return true;
        }
        if (host.n >= sizeof(name))
                return false;
        memcpy(name, host.p, host.n);
        name[host.n] = '\0';
        if (is_v6) {
                in6->sin6_family = AF_INET6;
                in6->sin6_port = htons(port);
                a->length = sizeof(*in6);
                return inet_pton(AF_INET6, name, &in6->sin6_addr) == 1;
        }
        in->sin_family = AF_INET;
        in->sin_port = htons(port);
        a->length = sizeof(*in);
        return inet_pton(AF_INET, name, &in->sin_addr) == 1;
}

int sg_address_parse(struct sg_address *ret, struct sg_str text, struct sg_error *err)
{
        struct sg_address a = {.length = 0};
        struct sg_str host, port_text;
        uint64_t port;
        bool is_v6;
        int r;

        if (sg_str_starts(text, SG_STR("unix:"))) {
                r = parse_unix(&a, text, sg_str_skip(text, 5), err);
                if (r)
                        return r;
        } else {
                if (!cut_port(text, &host, &port_text, &is_v6))
                        return refuse(err, text, "there is no \"]:port\"");
                if (sg_str_to_u64(port_text, &port) || port > UINT16_MAX)
                        return refuse(err, text, "the port is not a number from 0 to 65535");
                if (!fill_inet(&a, host, is_v6, (uint16_t)port))
                        return refuse(err, text, "the part before the port is not a numeric IP address");
        }
        sg_address_format(a.text, sizeof(a.text), (const struct sockaddr *)&a.socket, a.length);
        *ret = a;
        return 0;
}

int sg_listen_address(struct sg_address *ret, int fd)
{
        struct sg_address a = {.length = sizeof(a.socket)};

        if (getsockname(fd, (struct sockaddr *)&a.socket, &a.length))
                return -errno;
        sg_address_format(a.text, sizeof(a.text), (const struct sockaddr *)&a.socket, a.length);
        *ret = a;
        return 0;
}

/* 0 for a Unix socket. */
static in_port_t port_of(const struct sg_address *a)
{
        const struct sockaddr_in6 *in6 = (const void *)&a->socket;
        const struct sockaddr_in *in = (const void *)&a->socket;

        switch (a->socket.ss_family) {
        case AF_INET:
                return in->sin_port;
        case AF_INET6:
                return in6->sin6_port;
        default:
                return 0;
        }
}

static bool is_wildcard(const struct sg_address *a)
{
        const struct sockaddr_in6 *in6 = (const void *)&a->socket;
        const struct sockaddr_in *in = (const void *)&a->socket;

        return (a->socket.ss_family == AF_INET && in->sin_addr.s_addr == htonl(INADDR_ANY)) ||
               (a->socket.ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr));
}

static bool is_same_host(const struct sg_address *a, const struct sg_address *b)
{
        const struct sockaddr_in6 *a6 = (const void *)&a->socket, *b6 = (const void *)&b->socket;
        const struct sockaddr_in *a4 = (const void *)&a->socket, *b4 = (const void *)&b->socket;

        if (is_wildcard(a) && is_wildcard(b))
                return true;
        if (a->socket.ss_family != b->socket.ss_family)
                return false;
        if (a->socket.ss_family == AF_INET)
                return a4->sin_addr.s_addr == b4->sin_addr.s_addr;
        if (a->socket.ss_family == AF_INET6)
                return memcmp(&a6->sin6_addr, &b6->sin6_addr, sizeof(a6->sin6_addr)) == 0;
        return strcmp(a->text, b->text) == 0;
}

bool sg_address_is_same(const struct sg_address *a, const struct sg_address *b)
{
        const in_port_t pa = port_of(a), pb = port_of(b);

        return (pa == pb || !pa || !pb) && is_same_host(a, b);
}
