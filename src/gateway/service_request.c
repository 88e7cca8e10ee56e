/*
 * A service's request at its head: which service it is for, and what is passed on. Bytes of the head are gone when its
 * callback returns, so what will be sent is written down here in the form in which it will be sent.
 */
#include <stdlib.h>

#include "gateway/connection.h"
#include "gateway/path.h"
#include "gateway/service.h"
#include "gateway/service_fields.h"

static struct sg_str config_str(const char *text)
{
        return sg_str_from(text);
}

static int add_fields(struct sg_exchange *x, const struct sg_head *head)
{
        const struct sg_connection *from = x->client->connection;
        const struct sg_service_arrival arrival = {
                .config = x->snapshot->config,
                .peer = sg_connection_peer(from),
                .is_tls = from->tls != NULL,
                .request_id = x->request_id,
                .wants_trailers = x->serving->wants_trailers,
        };

        return sg_service_write_request(&x->asked->forward, x->serving->service->config, head, &arrival);
}

int sg_service_add_caller(struct sg_exchange *x)
{
        return sg_service_write_caller(&x->asked->forward, x->serving->service->config, x->key ? x->key->name : NULL,
                                       x->serving->subject);
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

/* A body that is short and whose length is known can wait here, and be sent twice; max_body of [gateway] is the room. */
static void take_body(struct sg_exchange *x, const struct sg_head *head)
{
        const uint64_t held_max = SG_MIN((uint64_t)SG_SERVICE_HELD_BYTES_MAX, x->snapshot->config->body_bytes_max);
        struct sg_serving *s = x->serving;

        s->has_length = head->has_length;
        s->length = head->length;
        s->has_body = head->is_chunked || head->length > 0;
        s->keeps = true;
        s->is_held = !s->has_body || (head->has_length && head->length <= held_max);
        if (s->has_length && s->length > sg_exchange_body_bytes_max(x))
                sg_exchange_fail(x, SG_FAIL_BODY_TOO_LARGE, NULL);
}

/* In a tunnel that speaks HTTP requests would pass that nobody here has seen: for paths beside the prefix, in the name of
 * any key. */
static bool may_switch_to(struct sg_str protocol)
{
        static const struct sg_str never[] = {{"h2c", 3}, {"h2", 2}, {"h3", 2}, {"http", 4}, {"tls", 3}};

        for (size_t i = 0; i < SG_N_ELEMENTS(never); i++)
                if (sg_str_ieq(protocol, never[i]))
                        return false;
        return sg_token_is_valid(protocol);
}

/* Only one protocol can be switched to: a list is no use to a tunnel. */
static void take_upgrade(struct sg_exchange *x, const struct sg_head *head)
{
        struct sg_serving *s = x->serving;
        struct sg_str wanted = sg_head_value(head, SG_STR("upgrade"));

        if (!head->wants_upgrade || !s->service->config->may_upgrade || s->has_body || head->method == SG_METHOD_HEAD ||
            !sg_client_may_switch(x->client) || !may_switch_to(wanted) || !take_word(s->upgrade, wanted))
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

static int check_readings(struct sg_exchange *x, const struct sg_head *head, struct sg_str path)
{
        bool is_one = true;
        int r = sg_path_is_read_as_one(x->snapshot->config, x->serving->service->config, head, path, &is_one);

        if (!is_one)
                sg_exchange_fail(x, SG_FAIL_BAD_REQUEST, "decoded, the path is another service's");
        return r;
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
        return take_origin(x, head) && check_readings(x, head, path) == 0 && add_fields(x, head) == 0;
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
