#include "gateway/service_fields.h"

#include "gateway/forwarded.h"
#include "http/h1.h"

static struct sg_str config_str(const char *text)
{
        return sg_str_from(text);
}

/* ---- there */

static char plain_of(char c)
{
        return c == '_' ? '-' : c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* Servers that hand fields on as variables (CGI, WSGI, FastCGI: HTTP_X_SCRIBE_KEY) make no difference between '-' and '_': a
 * client that writes X_Scribe_Key must not be taken for us. */
static bool starts_same(struct sg_str name, struct sg_str start)
{
        if (name.n < start.n)
                return false;
        for (size_t i = 0; i < start.n; i++)
                if (plain_of(name.p[i]) != plain_of(start.p[i]))
                        return false;
        return true;
}

static bool is_same_name(struct sg_str a, struct sg_str b)
{
        return a.n == b.n && starts_same(a, b);
}

bool sg_service_decides(const struct sg_config_service *c, struct sg_str name)
{
        for (size_t i = 0; i < c->n_request_removed; i++)
                if (is_same_name(name, config_str(c->request_removed[i])))
                        return true;
        for (size_t i = 0; i < c->n_request_fields; i++)
                if (is_same_name(name, config_str(c->request_fields[i].name)))
                        return true;
        return false;
}

/* Not passed to a service: what this hop decides anew, what says who the caller is, and the gateway's own credentials.
 * Hop-by-hop fields are found by the codec. */
static bool is_passed(const struct sg_config_service *c, const struct sg_head *head, const struct sg_header *h)
{
        static const struct sg_str never[] = {{"host", 4},      {"content-length", 14}, {"expect", 6},
                                              {"forwarded", 9}, {"x-real-ip", 9},       {"x-request-id", 12}};
        static const struct sg_str credentials[] = {{"authorization", 13}, {"x-api-key", 9}};

        if (sg_header_is_hop(head, h))
                return false;
        for (size_t i = 0; i < SG_N_ELEMENTS(never); i++)
                if (is_same_name(h->name, never[i]))
                        return false;
        for (size_t i = 0; c->auth == SG_SERVICE_AUTH_KEY && i < SG_N_ELEMENTS(credentials); i++)
                if (is_same_name(h->name, credentials[i]))
                        return false;
        return !starts_same(h->name, SG_STR("x-forwarded-")) && !starts_same(h->name, SG_STR("x-scribe-")) &&
               !sg_service_decides(c, h->name);
}

static int add_own(struct sg_buf *b, const struct sg_config_service *c, struct sg_str name, const char *value)
{
        return sg_service_decides(c, name) ? 0 : sg_h1_add_header(b, name, sg_str_from(value));
}

int sg_service_write_request(struct sg_buf *b, const struct sg_config_service *c, const struct sg_head *head,
                             const struct sg_service_arrival *a)
{
        int r = 0;

        for (size_t i = 0; !r && i < head->n_headers; i++)
                if (is_passed(c, head, &head->headers[i]))
                        r = sg_h1_add_header(b, head->headers[i].name, head->headers[i].value);
        for (size_t i = 0; !r && i < c->n_request_fields; i++)
                if (!sg_str_ieq(config_str(c->request_fields[i].name), SG_STR("host")))
                        r = sg_h1_add_header(b, config_str(c->request_fields[i].name),
                                             config_str(c->request_fields[i].value));
        if (!r)
                r = sg_forwarded_add(b, c, head, a);
        if (!r)
                r = add_own(b, c, SG_STR("x-request-id"), a->request_id);
        if (!r && a->wants_trailers)
                r = sg_buf_add(b, SG_STR("te: trailers\r\n"));
        return r;
}

int sg_service_write_caller(struct sg_buf *b, const struct sg_config_service *c, const char *key, const char *subject)
{
        int r = key ? add_own(b, c, SG_STR("x-scribe-key"), key) : 0;

        return r || !subject ? r : add_own(b, c, SG_STR("x-scribe-client-subject"), subject);
}

/* ---- back */

static bool is_set(const struct sg_config_service *c, struct sg_str name)
{
        for (size_t i = 0; i < c->n_response_fields; i++)
                if (sg_str_ieq(name, config_str(c->response_fields[i].name)))
                        return true;
        return false;
}

static bool is_removed(const struct sg_config_service *c, struct sg_str name)
{
        for (size_t i = 0; i < c->n_response_removed; i++)
                if (sg_str_ieq(name, config_str(c->response_removed[i])))
                        return true;
        return false;
}

/* What the gateway says itself, or what is this hop's matter. alt-svc would lead clients around the gateway. */
static bool is_returned(const struct sg_config_service *c, const struct sg_head *head, const struct sg_header *h)
{
        static const struct sg_str never[] = {{"content-length", 14}, {"x-request-id", 12}, {"alt-svc", 7}};

        if (sg_header_is_hop(head, h))
                return false;
        for (size_t i = 0; i < SG_N_ELEMENTS(never); i++)
                if (sg_str_ieq(h->name, never[i]))
                        return false;
        if (c->n_cors_origins && sg_str_istarts(h->name, SG_STR("access-control-")))
                return false;
        return !is_removed(c, h->name) && !is_set(c, h->name);
}

static int return_own(struct sg_buf *b, const struct sg_config_service *c, struct sg_str name, struct sg_str value)
{
        return is_removed(c, name) || is_set(c, name) ? 0 : sg_h1_add_header(b, name, value);
}

int sg_service_write_answer(struct sg_buf *b, const struct sg_config_service *c, const struct sg_head *head,
                            const struct sg_service_return *a)
{
        int r = return_own(b, c, SG_STR("x-request-id"), sg_str_from(a->request_id));

        if (!r && !sg_head_find(head, SG_STR("date")))
                r = return_own(b, c, SG_STR("date"), a->date);
        for (size_t i = 0; !r && i < c->n_response_fields; i++)
                r = sg_h1_add_header(b, config_str(c->response_fields[i].name),
                                     config_str(c->response_fields[i].value));
        if (!r)
                r = sg_service_write_cors(b, c, a->origin, false);
        for (size_t i = 0; !r && i < head->n_headers; i++)
                if (is_returned(c, head, &head->headers[i]))
                        r = sg_h1_add_header(b, head->headers[i].name, head->headers[i].value);
        return r;
}

int sg_service_write_trailers(struct sg_buf *b, const struct sg_config_service *c, const struct sg_head *trailers)
{
        int r = 0;

        for (size_t i = 0; !r && i < trailers->n_headers; i++) {
                const struct sg_header *h = &trailers->headers[i];

                if (sg_name_may_trail(h->name) && is_returned(c, trailers, h))
                        r = sg_h1_add_header(b, h->name, h->value);
        }
        return r;
}

/* https://fetch.spec.whatwg.org/#http-cors-protocol */
int sg_service_write_cors(struct sg_buf *b, const struct sg_config_service *c, const char *origin, bool is_preflight)
{
        int r;

        if (!c->n_cors_origins)
                return 0;
        /* Whether there is an origin or not, and whatever is set or removed: caches would give one page's answer to another. */
        r = sg_buf_add(b, SG_STR("vary: origin\r\n"));
        if (r || !origin)
                return r;
        r = return_own(b, c, SG_STR("access-control-allow-origin"), sg_str_from(origin));
        if (!r && c->cors_credentials)
                r = return_own(b, c, SG_STR("access-control-allow-credentials"), SG_STR("true"));
        if (!r && c->cors_expose && !is_preflight)
                r = return_own(b, c, SG_STR("access-control-expose-headers"), config_str(c->cors_expose));
        return r;
}
