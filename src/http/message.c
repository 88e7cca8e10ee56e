#include "http/message.h"

#include "http/bytes.h"

const char *sg_method_name(enum sg_method m)
{
        static const char *const names[SG_METHOD_N] = {
                [SG_METHOD_GET] = "GET",         [SG_METHOD_HEAD] = "HEAD",     [SG_METHOD_POST] = "POST",
                [SG_METHOD_PUT] = "PUT",         [SG_METHOD_DELETE] = "DELETE", [SG_METHOD_CONNECT] = "CONNECT",
                [SG_METHOD_OPTIONS] = "OPTIONS", [SG_METHOD_TRACE] = "TRACE",   [SG_METHOD_PATCH] = "PATCH",
                [SG_METHOD_OTHER] = "OTHER",
        };

        SG_ASSERT(m < SG_METHOD_N);
        return names[m];
}

const char *sg_status_phrase(unsigned status)
{
        static const char *const informational[] = {"Continue", "Switching Protocols", "Processing", "Early Hints"};
        static const char *const success[] = {
                "OK",         "Created",       "Accepted",       "Non-Authoritative Information",
                "No Content", "Reset Content", "Partial Content"};
        static const char *const redirection[] = {
                "Multiple Choices",   "Moved Permanently", "Found", "See Other", "Not Modified", "Use Proxy", "",
                "Temporary Redirect", "Permanent Redirect"};
        static const char *const client_error[] = {"Bad Request",
                                                   "Unauthorized",
                                                   "Payment Required",
                                                   "Forbidden",
                                                   "Not Found",
                                                   "Method Not Allowed",
                                                   "Not Acceptable",
                                                   "Proxy Authentication Required",
                                                   "Request Timeout",
                                                   "Conflict",
                                                   "Gone",
                                                   "Length Required",
                                                   "Precondition Failed",
                                                   "Content Too Large",
                                                   "URI Too Long",
                                                   "Unsupported Media Type",
                                                   "Range Not Satisfiable",
                                                   "Expectation Failed",
                                                   "",
                                                   "",
                                                   "",
                                                   "Misdirected Request",
                                                   "Unprocessable Content",
                                                   "Locked",
                                                   "Failed Dependency",
                                                   "Too Early",
                                                   "Upgrade Required",
                                                   "",
                                                   "Precondition Required",
                                                   "Too Many Requests",
                                                   "",
                                                   "Request Header Fields Too Large"};
        static const char *const server_error[] = {"Internal Server Error", "Not Implemented",
                                                   "Bad Gateway",           "Service Unavailable",
                                                   "Gateway Timeout",       "HTTP Version Not Supported"};
        static const struct {
                const char *const *phrases;
                unsigned n;
        } hundreds[] = {
                {NULL, 0},
                {informational, SG_N_ELEMENTS(informational)},
                {success, SG_N_ELEMENTS(success)},
                {redirection, SG_N_ELEMENTS(redirection)},
                {client_error, SG_N_ELEMENTS(client_error)},
                {server_error, SG_N_ELEMENTS(server_error)},
        };

        if (status / 100 >= SG_N_ELEMENTS(hundreds) || status % 100 >= hundreds[status / 100].n)
                return "";
        return hundreds[status / 100].phrases[status % 100];
}

const struct sg_header *sg_head_find(const struct sg_head *head, struct sg_str name)
{
        for (size_t i = 0; i < head->n_headers; i++)
                if (head->headers[i].name.n == name.n && sg_str_ieq(head->headers[i].name, name))
                        return &head->headers[i];
        return NULL;
}

struct sg_str sg_head_value(const struct sg_head *head, struct sg_str name)
{
        const struct sg_header *h = sg_head_find(head, name);

        return h ? h->value : SG_STR("");
}

bool sg_list_has_token(struct sg_str list, struct sg_str token)
{
        struct sg_str one;

        while (list.n) {
                sg_str_cut(&list, ',', &one);
                if (sg_str_ieq(sg_str_trim(one), token))
                        return true;
        }
        return false;
}

/* Those of RFC 9110 section 7.6.1, and three that earlier texts name (RFC 2616 section 13.5.1) and that speak of this
 * hop's own framing and login. By length, since it is asked of every field of every message. */
static bool is_hop_name(struct sg_str name)
{
        switch (name.n) {
        case 2:
                return sg_str_ieq(name, SG_STR("te"));
        case 7:
                return sg_str_ieq(name, SG_STR("upgrade")) || sg_str_ieq(name, SG_STR("trailer"));
        case 10:
                return sg_str_ieq(name, SG_STR("connection")) || sg_str_ieq(name, SG_STR("keep-alive"));
        case 16:
                return sg_str_ieq(name, SG_STR("proxy-connection"));
        case 17:
                return sg_str_ieq(name, SG_STR("transfer-encoding"));
        case 18:
                return sg_str_ieq(name, SG_STR("proxy-authenticate"));
        case 19:
                return sg_str_ieq(name, SG_STR("proxy-authorization"));
        default:
                return false;
        }
}

bool sg_header_is_hop(const struct sg_head *head, const struct sg_header *h)
{
        const struct sg_str connection = SG_STR("connection");

        if (is_hop_name(h->name))
                return true;
        for (size_t i = 0; i < head->n_headers; i++) {
                const struct sg_header *other = &head->headers[i];

                if (other->name.n == connection.n && other->value.n >= h->name.n &&
                    sg_str_ieq(other->name, connection) && sg_list_has_token(other->value, h->name))
                        return true;
        }
        return false;
}

bool sg_name_may_trail(struct sg_str name)
{
        const struct sg_str others = SG_STR(
                "host,content-length,content-type,content-encoding,content-range,authorization,cookie,set-cookie,"
                "www-authenticate,max-forwards,cache-control,expect,range,pragma,age,date,expires,location,retry-after,"
                "vary,if-match,if-none-match,if-modified-since,if-range,if-unmodified-since");

        return !is_hop_name(name) && !sg_list_has_token(others, name);
}

bool sg_header_value_is_valid(struct sg_str value)
{
        return http_value_end(value, 0) == value.n;
}

bool sg_token_is_valid(struct sg_str token)
{
        return token.n && http_token_end(token, 0) == token.n;
}

struct sg_str sg_target_path(struct sg_str target, struct sg_str *ret_query)
{
        struct sg_str path, rest = target;
        size_t colon;

        if (target.n && target.p[0] != '/') {
                colon = sg_str_find(target, SG_STR("://"));
                if (colon < target.n) {
                        rest = sg_str_skip(target, colon + 3);
                        while (rest.n && rest.p[0] != '/' && rest.p[0] != '?')
                                rest = sg_str_skip(rest, 1);
                }
        }
        sg_str_cut(&rest, '?', &path);
        if (ret_query)
                *ret_query = rest;
        /* "http://host" and "http://host?q" ask for the root (RFC 9110 section 4.2.3). */
        return path.n || !target.n ? path : SG_STR("/");
}
