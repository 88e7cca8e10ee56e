/*
 * Three bytes that choose (the service; who asks; which message it is), then a request or an answer as it comes from the
 * network. What is written for the other side is read again as a head, and has the fields it should have and no others.
 */
#include <stdlib.h>

#include "build.h"
#include "gateway/forwarded.h"
#include "gateway/service_fields.h"
#include "http/forwarded.h"
#include "http/h1.h"

#define REQUEST_ID "0123456789abcdef"

static const char fixed_text[] =
        "[gateway]\ntrusted_proxies = 10.0.0.0/8 2001:db8::/32\n"
        "[service \"open\"]\nendpoint = http://h\nprefix = /open\nauth = none\n"
        "[service \"keyed\"]\nendpoint = http://h\nprefix = /keyed\nauth = key\n"
        "[service \"edited\"]\nendpoint = http://h\nprefix = /edited\nauth = none\n"
        "request_header = X-Team: blue\nrequest_header = Host: inner.example\nrequest_header = x-request-id: ours\n"
        "request_header = X-Forwarded-For: 192.0.2.99\nrequest_header = X-Scribe-Key: nobody\nrequest_header = "
        "X-Api-Key:\n"
        "remove_request_header = Cookie X-User-Id X-Forwarded-Host forwarded\n"
        "response_header = Server: ours\nresponse_header = Date: today\nresponse_header = X-Request-Id: theirs\n"
        "response_header = Access-Control-Allow-Origin: *\nremove_response_header = X-Powered-By Set-Cookie Vary\n"
        "[service \"cors\"]\nendpoint = http://h\nprefix = /cors\nauth = key\ncors_origin = https://app.example\n"
        "cors_credentials = yes\ncors_expose = x-total\nresponse_header = Access-Control-Allow-Credentials: false\n"
        "remove_response_header = Vary X-Request-Id date\nremove_request_header = X-Scribe-Key X-Forwarded-For "
        "X-Request-Id\n";

static const char *const peers[] = {"10.1.2.3:4711", "[2001:db8::1]:443", "192.0.2.1:80", "[2001:db9::1]:80", "unix"};
static const char *const peer_addresses[] = {"10.1.2.3", "2001:db8::1", "192.0.2.1", "2001:db9::1", "unknown"};

/* ---- names */

/* As a server sees it that makes variables of fields. */
static bool is_named(struct sg_str name, const char *as)
{
        if (name.n != strlen(as))
                return false;
        for (size_t i = 0; i < name.n; i++) {
                const char c = name.p[i] == '_' ? '-' : name.p[i], d = as[i] == '_' ? '-' : as[i];

                if (!sg_str_ieq(sg_str_make(&c, 1), sg_str_make(&d, 1)))
                        return false;
        }
        return true;
}

static bool is_among(struct sg_str name, const char *const *names, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (is_named(name, names[i]))
                        return true;
        return false;
}

#define IS_AMONG(name, ...)                                                                                            \
        is_among(name, (const char *const[]){__VA_ARGS__},                                                             \
                 sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

static bool is_of_hop(const struct sg_head *head, struct sg_str name)
{
        bool is_named_there = false;

        for (size_t i = 0; i < head->n_headers; i++)
                if (sg_str_ieq(head->headers[i].name, SG_STR("connection")))
                        is_named_there |= sg_list_has_token(head->headers[i].value, name);
        return is_named_there || sg_str_ieq(name, SG_STR("te")) || sg_str_ieq(name, SG_STR("connection")) ||
               sg_str_ieq(name, SG_STR("keep-alive")) || sg_str_ieq(name, SG_STR("proxy-connection")) ||
               sg_str_ieq(name, SG_STR("transfer-encoding")) || sg_str_ieq(name, SG_STR("upgrade")) ||
               sg_str_ieq(name, SG_STR("trailer")) || sg_str_ieq(name, SG_STR("proxy-authorization")) ||
               sg_str_ieq(name, SG_STR("proxy-authenticate"));
}

static size_t count(const struct sg_head *head, const char *name)
{
        size_t n = 0;

        for (size_t i = 0; i < head->n_headers; i++)
                n += is_named(head->headers[i].name, name);
        return n;
}

static bool has_field(const struct sg_config_field *fields, size_t n, struct sg_str name)
{
        for (size_t i = 0; i < n; i++)
                if (is_named(name, fields[i].name))
                        return true;
        return false;
}

/* ---- read again */

static void read_again(struct sg_head *ret, struct sg_buf *whole, enum sg_h1_role role, const char *first_line,
                       struct sg_str fields)
{
        struct sg_h1_event ev;
        struct sg_h1 h1;

        SG_ASSERT(sg_buf_printf(whole, "%s\r\n" SG_STR_FMT "\r\n", first_line, SG_STR_ARG(fields)) == 0);
        sg_h1_init(&h1, role, &(struct sg_h1_limits){.head_bytes = SG_HEAD_BYTES_MAX});
        SG_ASSERT(sg_h1_next(&h1, sg_buf_view(whole), ret, &ev) == 0);
        SG_ASSERT(ev.kind == SG_H1_HEAD && ev.used == sg_buf_length(whole));
}

/* In order: all fields of `from` that may pass, with their values, are fields of `to` from *at on. */
static void check_passed(const struct sg_head *from, const struct sg_head *to, size_t *at,
                         bool (*may_pass)(const struct sg_config_service *c, const struct sg_head *head,
                                          struct sg_str name),
                         const struct sg_config_service *c)
{
        for (size_t i = 0; i < from->n_headers; i++) {
                if (!may_pass(c, from, from->headers[i].name))
                        continue;
                SG_ASSERT(*at < to->n_headers);
                SG_ASSERT(sg_str_eq(to->headers[*at].name, from->headers[i].name));
                SG_ASSERT(sg_str_eq(to->headers[*at].value, from->headers[i].value));
                ++*at;
        }
}

static void check_set(const struct sg_head *to, const struct sg_config_field *fields, size_t n_fields)
{
        for (size_t i = 0; i < n_fields; i++) {
                size_t n = 0;

                if (is_named(sg_str_from(fields[i].name), "host"))
                        continue;
                for (size_t k = 0; k < to->n_headers; k++)
                        n += sg_str_ieq(to->headers[k].name, sg_str_from(fields[i].name));
                SG_ASSERT(n == 1);
                SG_ASSERT(sg_str_eq(sg_head_value(to, sg_str_from(fields[i].name)), sg_str_from(fields[i].value)));
        }
}

/* ---- requests */

static bool may_go(const struct sg_config_service *c, const struct sg_head *head, struct sg_str name)
{
        if (is_of_hop(head, name) || has_field(c->request_fields, c->n_request_fields, name) ||
            is_among(name, (const char *const *)c->request_removed, c->n_request_removed))
                return false;
        if (IS_AMONG(name, "host", "content-length", "expect", "forwarded", "x-real-ip", "x-request-id"))
                return false;
        if (c->auth == SG_SERVICE_AUTH_KEY && IS_AMONG(name, "authorization", "x-api-key"))
                return false;
        return !(name.n >= 12 && is_named(sg_str_head(name, 12), "x-forwarded-")) &&
               !(name.n >= 9 && is_named(sg_str_head(name, 9), "x-scribe-"));
}

/* The peer stands last; and somebody behind who believes only us takes the client for the peer or for nobody. */
static void check_chain(const struct sg_head *to, const struct sg_config_service *c, const char *address,
                        bool is_trusted)
{
        const struct sg_networks nobody = {0};
        enum sg_forwarded_result result;
        struct sg_ip found, peer;
        struct sg_str chain = sg_head_value(to, SG_STR("x-forwarded-for"));

        if (sg_service_decides(c, SG_STR("x-forwarded-for")) || sg_service_decides(c, SG_STR("forwarded")))
                return;
        SG_ASSERT(is_trusted ? sg_str_ends(chain, sg_str_from(address)) : sg_str_eq(chain, sg_str_from(address)));
        result = sg_forwarded_find(&found, to, &nobody);
        if (sg_ip_parse(&peer, sg_str_from(address)))
                SG_ASSERT(result == SG_FORWARDED_CLIENT ? sg_ip_is_same(&found, &peer) : is_trusted);
        else
                SG_ASSERT(result == SG_FORWARDED_UNREADABLE || result == SG_FORWARDED_DISAGREE);
}

static void check_own(const struct sg_head *to, const struct sg_config_service *c)
{
        const char *const own[] = {"forwarded",    "x-forwarded-for",         "x-forwarded-proto", "x-request-id",
                                   "x-scribe-key", "x-scribe-client-subject", "x-forwarded-host"};
        const size_t n_sure = SG_N_ELEMENTS(own) - 1;

        for (size_t i = 0; i < SG_N_ELEMENTS(own); i++)
                if (is_among(sg_str_from(own[i]), (const char *const *)c->request_removed, c->n_request_removed))
                        SG_ASSERT(count(to, own[i]) == 0);
                else
                        SG_ASSERT(count(to, own[i]) == 1 || (i == n_sure && count(to, own[i]) == 0));
        if (!sg_service_decides(c, SG_STR("x-scribe-key")))
                SG_ASSERT(sg_str_eq(sg_head_value(to, SG_STR("x-scribe-key")), SG_STR("alice")));
        for (size_t i = 0; i < to->n_headers; i++)
                if (sg_str_istarts(to->headers[i].name, SG_STR("x-scribe-")))
                        SG_ASSERT(IS_AMONG(to->headers[i].name, "x-scribe-key", "x-scribe-client-subject"));
}

static void check_request(const struct sg_config_service *c, const struct sg_head *head,
                          const struct sg_service_arrival *a, const char *address)
{
        static struct sg_head to;
        struct sg_buf fields, whole;
        size_t at = 1; /* Host */

        sg_buf_init(&fields, 2 * SG_HEAD_BYTES_MAX);
        sg_buf_init(&whole, 3 * SG_HEAD_BYTES_MAX);
        SG_ASSERT(sg_service_write_request(&fields, c, head, a) == 0);
        SG_ASSERT(sg_service_write_caller(&fields, c, "alice", "CN=alice") == 0);
        read_again(&to, &whole, SG_H1_SERVER, "GET / HTTP/1.1\r\nHost: h.example", sg_buf_view(&fields));
        check_passed(head, &to, &at, may_go, c);
        for (; at < to.n_headers; at++) /* and what we add: no other */
                SG_ASSERT(has_field(c->request_fields, c->n_request_fields, to.headers[at].name) ||
                          IS_AMONG(to.headers[at].name, "forwarded", "x-forwarded-for", "x-forwarded-proto",
                                   "x-forwarded-host", "x-request-id", "te", "x-scribe-key",
                                   "x-scribe-client-subject"));
        SG_ASSERT(!to.has_length && !to.is_chunked && to.keep_alive && !to.wants_upgrade && count(&to, "host") == 1);
        SG_ASSERT(count(&to, "te") == a->wants_trailers);
        check_set(&to, c->request_fields, c->n_request_fields);
        for (size_t i = 0; i < c->n_request_fields; i++)
                SG_ASSERT(count(&to, c->request_fields[i].name) == 1);
        check_own(&to, c);
        check_chain(&to, c, address, sg_peer_is_trusted(a->config, a->peer));
        sg_buf_done(&fields);
        sg_buf_done(&whole);
}

/* ---- answers */

static bool may_return(const struct sg_config_service *c, const struct sg_head *head, struct sg_str name)
{
        for (size_t i = 0; i < c->n_response_fields; i++)
                if (sg_str_ieq(name, sg_str_from(c->response_fields[i].name)))
                        return false;
        for (size_t i = 0; i < c->n_response_removed; i++)
                if (sg_str_ieq(name, sg_str_from(c->response_removed[i])))
                        return false;
        return !is_of_hop(head, name) && !sg_str_ieq(name, SG_STR("content-length")) &&
               !sg_str_ieq(name, SG_STR("alt-svc")) && !sg_str_ieq(name, SG_STR("x-request-id")) &&
               !(c->n_cors_origins && sg_str_istarts(name, SG_STR("access-control-")));
}

static bool may_trail(const struct sg_config_service *c, const struct sg_head *head, struct sg_str name)
{
        return may_return(c, head, name) && sg_name_may_trail(name);
}

static bool is_removed(const struct sg_config_service *c, const char *name)
{
        return is_among(sg_str_from(name), (const char *const *)c->response_removed, c->n_response_removed);
}

/* What we add stands before what comes from the service. */
static void check_answer(const struct sg_config_service *c, const struct sg_head *head,
                         const struct sg_service_return *a)
{
        static struct sg_head to;
        struct sg_buf fields, whole;
        size_t at = 0;

        sg_buf_init(&fields, 2 * SG_HEAD_BYTES_MAX);
        sg_buf_init(&whole, 3 * SG_HEAD_BYTES_MAX);
        SG_ASSERT(sg_service_write_answer(&fields, c, head, a) == 0);
        read_again(&to, &whole, SG_H1_CLIENT, "HTTP/1.1 200 OK", sg_buf_view(&fields));
        for (size_t i = 0; i < head->n_headers; i++)
                at += may_return(c, head, head->headers[i].name);
        SG_ASSERT(at <= to.n_headers);
        at = to.n_headers - at;
        for (size_t i = 0; i < at; i++)
                SG_ASSERT(has_field(c->response_fields, c->n_response_fields, to.headers[i].name) ||
                          IS_AMONG(to.headers[i].name, "x-request-id", "date") ||
                          (c->n_cors_origins && (is_named(to.headers[i].name, "vary") ||
                                                 sg_str_istarts(to.headers[i].name, SG_STR("access-control-")))));
        check_passed(head, &to, &at, may_return, c);
        SG_ASSERT(at == to.n_headers && !to.has_length && !to.is_chunked && !to.wants_upgrade);
        check_set(&to, c->response_fields, c->n_response_fields);
        SG_ASSERT(count(&to, "x-request-id") >= !is_removed(c, "x-request-id"));
        SG_ASSERT(!c->n_cors_origins || sg_head_find(&to, SG_STR("vary")));
        SG_ASSERT(!c->n_cors_origins ||
                  (sg_head_find(&to, SG_STR("access-control-allow-origin")) != NULL) == (a->origin != NULL));
        sg_buf_done(&fields);
        sg_buf_done(&whole);
}

static void check_trailers(const struct sg_config_service *c, const struct sg_head *head)
{
        static struct sg_head to;
        struct sg_buf fields, whole;
        size_t at = 0;

        sg_buf_init(&fields, 2 * SG_HEAD_BYTES_MAX);
        sg_buf_init(&whole, 3 * SG_HEAD_BYTES_MAX);
        SG_ASSERT(sg_service_write_trailers(&fields, c, head) == 0);
        read_again(&to, &whole, SG_H1_CLIENT, "HTTP/1.1 200 OK", sg_buf_view(&fields));
        check_passed(head, &to, &at, may_trail, c);
        SG_ASSERT(at == to.n_headers);
        sg_buf_done(&fields);
        sg_buf_done(&whole);
}

/* ---- one input */

static bool read_head(struct sg_head *ret, enum sg_h1_role role, struct sg_str bytes)
{
        struct sg_h1_event ev;
        struct sg_h1 h1;

        /* Low enough that what is added always fits a head. */
        sg_h1_init(&h1, role, &(struct sg_h1_limits){.head_bytes = SG_HEAD_BYTES_MAX / 2});
        return sg_h1_next(&h1, bytes, ret, &ev) == 0 && ev.kind == SG_H1_HEAD && ret->n_headers <= SG_HEADERS_MAX / 2;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const struct sg_config *fixed;
        static struct sg_head head;
        const struct sg_config_service *c;
        size_t who;

        if (!fixed)
                fixed = build_fixed(fixed_text);
        if (size < 3)
                return 0;
        c = &fixed->services[data[0] % fixed->n_services];
        who = data[1] % SG_N_ELEMENTS(peers);
        if (data[2] & 1) {
                const struct sg_service_return back = {
                        .request_id = REQUEST_ID,
                        .date = SG_STR("Sun, 06 Nov 1994 08:49:37 GMT"),
                        .origin = c->n_cors_origins && (data[2] & 2) ? c->cors_origins[0] : NULL,
                };

                if (!read_head(&head, SG_H1_CLIENT, sg_str_make(data + 3, size - 3)))
                        return 0;
                check_answer(c, &head, &back);
                check_trailers(c, &head);
        } else if (read_head(&head, SG_H1_SERVER, sg_str_make(data + 3, size - 3))) {
                const struct sg_service_arrival arrival = {
                        .config = fixed,
                        .peer = peers[who],
                        .is_tls = data[2] & 2,
                        .request_id = REQUEST_ID,
                        .wants_trailers = data[2] & 4,
                };

                check_request(c, &head, &arrival, peer_addresses[who]);
        }
        return 0;
}
