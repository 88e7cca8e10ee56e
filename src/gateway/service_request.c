/*
 * A service's request at its head: which service it is for, and what is passed on. Bytes of the head are gone when its
 * callback returns, so what will be sent is written down here in the form in which it will be sent.
 */
#include <stdio.h>
#include <stdlib.h>

#include "gateway/connection.h"
#include "gateway/forwarded.h"
#include "gateway/service.h"

static struct sg_str config_str(const char *text)
{
        return sg_str_from(text);
}

static bool is_listed(const char *const *names, size_t n, struct sg_str name)
{
        for (size_t i = 0; i < n; i++)
                if (sg_str_ieq(config_str(names[i]), name))
                        return true;
        return false;
}

static bool is_set_here(const struct sg_config_field *fields, size_t n, struct sg_str name)
{
        for (size_t i = 0; i < n; i++)
                if (sg_str_ieq(config_str(fields[i].name), name))
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
                if (sg_str_ieq(h->name, never[i]))
                        return false;
        for (size_t i = 0; c->auth == SG_SERVICE_AUTH_KEY && i < SG_N_ELEMENTS(credentials); i++)
                if (sg_str_ieq(h->name, credentials[i]))
                        return false;
        if (sg_str_istarts(h->name, SG_STR("x-forwarded-")) || sg_str_istarts(h->name, SG_STR("x-scribe-")))
                return false;
        return !is_listed((const char *const *)c->request_removed, c->n_request_removed, h->name) &&
               !is_set_here(c->request_fields, c->n_request_fields, h->name);
}

static int add_fields(struct sg_exchange *x, const struct sg_head *head)
{
        const struct sg_config_service *c = x->serving->service->config;
        struct sg_buf *b = &x->asked->forward;
        int r = 0;

        for (size_t i = 0; !r && i < head->n_headers; i++)
                if (is_passed(c, head, &head->headers[i]))
                        r = sg_h1_add_header(b, head->headers[i].name, head->headers[i].value);
        for (size_t i = 0; !r && i < c->n_request_fields; i++)
                if (!sg_str_ieq(config_str(c->request_fields[i].name), SG_STR("host")))
                        r = sg_h1_add_header(b, config_str(c->request_fields[i].name),
                                             config_str(c->request_fields[i].value));
        if (!r)
                r = sg_forwarded_add(b, x->snapshot->config, x->client->connection, head);
        if (!r)
                r = sg_h1_add_header(b, SG_STR("x-request-id"), sg_str_from(x->request_id));
        if (!r && x->serving->wants_trailers)
                r = sg_buf_add(b, SG_STR("te: trailers\r\n"));
        return r;
}

int sg_service_add_caller(struct sg_exchange *x)
{
        struct sg_buf *b = &x->asked->forward;
        int r = 0;

        if (x->key)
                r = sg_h1_add_header(b, SG_STR("x-scribe-key"), sg_str_from(x->key->name));
        if (!r && x->serving->subject)
                r = sg_h1_add_header(b, SG_STR("x-scribe-client-subject"), sg_str_from(x->serving->subject));
        return r;
}

/* ---- what was asked for */

static uint64_t hash_of(struct sg_str s)
{
        uint64_t h = UINT64_C(14695981039346656037); /* FNV-1a; sg_backends mixes it */

        for (size_t i = 0; i < s.n; i++)
                h = (h ^ (unsigned char)s.p[i]) * UINT64_C(1099511628211);
        return h;
}

static void take_hash(struct sg_serving *s, const struct sg_head *head)
{
        const struct sg_config_service *c = s->service->config;
        const struct sg_header *h;

        if (c->balance != SG_BALANCE_HASH || c->hash_by != SG_HASH_BY_HEADER)
                return;
        h = sg_head_find(head, config_str(c->hash_header));
        s->has_hash = h != NULL;
        if (h)
                s->hash = hash_of(h->value);
}

static bool take_word(char out[SG_METHOD_BYTES_MAX + 1], struct sg_str word)
{
        if (word.n > SG_METHOD_BYTES_MAX)
                return false;
        memcpy(out, word.p, word.n);
        out[word.n] = '\0';
        return true;
}

/* A body that is short and whose length is known can wait here, and be sent twice. */
static void take_body(struct sg_exchange *x, const struct sg_head *head)
{
        struct sg_serving *s = x->serving;
        s->has_length = head->has_length;
        s->length = head->length;
        s->has_body = head->is_chunked || head->length > 0;
        s->keeps = true;
        s->is_held = !s->has_body || (head->has_length && head->length <= SG_SERVICE_HELD_BYTES_MAX);
        if (s->has_length && s->length > s->service->config->body_bytes_max)
                sg_exchange_fail(x, SG_FAIL_BODY_TOO_LARGE, NULL);
}

/* Only one protocol can be switched to: a list is no use to a tunnel. */
static void take_upgrade(struct sg_exchange *x, const struct sg_head *head)
{
        struct sg_serving *s = x->serving;
        struct sg_str wanted = sg_head_value(head, SG_STR("upgrade"));

        if (!head->wants_upgrade || !s->service->config->may_upgrade || s->has_body ||
            !sg_client_may_switch(x->client) || !sg_token_is_valid(wanted) || !take_word(s->upgrade, wanted))
                s->upgrade[0] = '\0';
}

static bool take_origin(struct sg_exchange *x, const struct sg_head *head)
{
        const struct sg_config_service *c = x->serving->service->config;
        struct sg_str origin = sg_head_value(head, SG_STR("origin"));

        if (!c->n_cors_origins || !origin.n)
                return true;
        x->serving->is_preflight =
                head->method == SG_METHOD_OPTIONS && sg_head_find(head, SG_STR("access-control-request-method"));
        for (size_t i = 0; i < c->n_cors_origins; i++) {
                if (!sg_str_eq(config_str(c->cors_origins[i]), origin))
                        continue;
                x->serving->origin = sg_str_dup(origin);
                return x->serving->origin != NULL;
        }
        return true;
}

bool sg_service_take_head(struct sg_exchange *x, const struct sg_head *head)
{
        struct sg_str path = sg_target_path(head->target, NULL);
        const struct sg_config_service *c;
        struct sg_serving *s;

        if (!x->snapshot->config->n_services || sg_path_is_built_in(path))
                return true;
        c = sg_config_find_service(x->snapshot->config, head->host, head->method_text, path, &x->has_other_method);
        /* /v1/ is as long a prefix as any: only a longer one goes before it. */
        if (!c || (sg_str_starts(path, SG_STR("/v1/")) && sg_service_prefix(c).n <= 3))
                return true;
        s = calloc(1, sizeof(*s));
        if (!s)
                return false;
        x->serving = s;
        s->service = sg_snapshot_service(x->snapshot, c);
        sg_buf_init(&s->pending, UINT32_MAX);
        sg_buf_init(&s->trailers, SG_HEAD_BYTES_MAX);
        s->is_grpc = sg_str_istarts(sg_head_value(head, SG_STR("content-type")), SG_STR("application/grpc"));
        s->wants_trailers = sg_list_has_token(sg_head_value(head, SG_STR("te")), SG_STR("trailers"));
        take_hash(s, head);
        if (!take_word(s->method, head->method_text))
                sg_exchange_fail(x, SG_FAIL_METHOD, NULL);
        take_body(x, head);
        take_upgrade(x, head);
        return take_origin(x, head) && add_fields(x, head) == 0;
}

struct sg_serving *sg_serving_free(struct sg_serving *s)
{
        if (!s)
                return NULL;
        sg_timer_done(&s->total);
        sg_buf_done(&s->pending);
        sg_buf_done(&s->trailers);
        free(s->origin);
        free(s->subject);
        free(s);
        return NULL;
}
