/*
 * The four forms of a request target (RFC 9112 section 3.2) and the authority they name. The bytes were checked by the
 * syntax (visible ASCII, no '#'); paths are not judged here beyond their first byte.
 */
#include <arpa/inet.h>

#include "http/h1_internal.h"

/* The address between '[' and ']', without zone. */
static bool is_ipv6(struct sg_str s)
{
        char text[INET6_ADDRSTRLEN];
        struct in6_addr address;

        if (s.n >= sizeof(text))
                return false;
        memcpy(text, s.p, s.n);
        text[s.n] = '\0';
        return inet_pton(AF_INET6, text, &address) == 1;
}

static bool is_name(struct sg_str s)
{
        for (size_t at = 0; (at = http_span(s, at, HTTP_HOST)) < s.n; at += 3)
                if (s.p[at] != '%' || s.n - at < 3 || !http_is(s.p[at + 1], HTTP_HEX) ||
                    !http_is(s.p[at + 2], HTTP_HEX))
                        return false;
        return true;
}

static bool is_port(struct sg_str s)
{
        uint64_t port;

        return s.n <= 5 && sg_str_to_u64(s, &port) == 0 && port <= 65535;
}

/* host [":" port], without user and password: those are refused by their '@'. */
static bool is_authority(struct sg_str s, bool needs_port)
{
        struct sg_str host = s;
        size_t end;

        if (s.n && s.p[0] == '[') {
                end = sg_str_find_byte(s, ']');
                if (end == s.n || !is_ipv6(sg_str_make(s.p + 1, end - 1)))
                        return false;
                end++;
        } else {
                end = sg_str_find_byte(s, ':');
                host = sg_str_head(s, end);
                if (!is_name(host) || host.n == 0)
                        return false;
        }
        if (end == s.n)
                return !needs_port;
        return s.p[end] == ':' && is_port(sg_str_skip(s, end + 1));
}

static bool take_scheme(struct sg_str *s)
{
        for (size_t n = 7; n <= 8; n++) {
                if (sg_str_istarts(*s, n == 7 ? SG_STR("http://") : SG_STR("https://"))) {
                        *s = sg_str_skip(*s, n);
                        return true;
                }
        }
        return false;
}

/* The authority that the target names; none in origin and asterisk form. */
static int read_authority(const struct sg_head *head, bool *ret_has, struct sg_str *ret)
{
        struct sg_str rest = head->target;
        size_t end = 0;

        *ret_has = true;
        if (head->method == SG_METHOD_CONNECT) {
                *ret = rest;
                return is_authority(rest, true) ? 0 : SG_H1_E_BAD;
        }
        if (take_scheme(&rest)) {
                while (end < rest.n && rest.p[end] != '/' && rest.p[end] != '?')
                        end++;
                *ret = sg_str_head(rest, end);
                return is_authority(*ret, false) ? 0 : SG_H1_E_BAD;
        }
        *ret_has = false;
        if (rest.p[0] == '/' || (head->method == SG_METHOD_OPTIONS && sg_str_eq(rest, SG_STR("*"))))
                return 0;
        return SG_H1_E_BAD;
}

int h1_read_target(struct sg_head *head, const struct sg_str *field)
{
        struct sg_str authority;
        bool has_authority;
        int r;

        if (field && field->n && !is_authority(*field, false))
                return SG_H1_E_BAD;
        r = read_authority(head, &has_authority, &authority);
        if (r)
                return r;
        /* The target's would win (section 3.2.2); but who looks only at the field would see another host. */
        if (has_authority && field && !sg_str_ieq(authority, *field))
                return SG_H1_E_BAD;
        head->host = has_authority ? authority : field ? *field : SG_STR("");
        return 0;
}
