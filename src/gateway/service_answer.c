/*
 * A service's answer at its head, what CORS adds to it, and failures in the words of gRPC.
 */
#include <inttypes.h>
#include <stdio.h>

#include "gateway/service.h"
#include "gateway/service_fields.h"

static struct sg_str config_str(const char *text)
{
        return sg_str_from(text);
}

/* ---- CORS: https://fetch.spec.whatwg.org/#http-cors-protocol */

int sg_service_add_cors(struct sg_exchange *x)
{
        const struct sg_serving *s = x->serving;

        return s ? sg_service_write_cors(&x->fields, s->service->config, s->origin, s->is_preflight) : 0;
}

enum sg_step sg_service_answer_preflight(struct sg_exchange *x)
{
        const struct sg_config_service *c = x->serving->service->config;
        int r;

        if (!x->serving->origin)
                return sg_exchange_fail(x, SG_FAIL_ORIGIN_FORBIDDEN, NULL);
        x->is_local = true;
        r = sg_service_add_cors(x);
        if (!r && c->cors_methods)
                r = sg_h1_add_header(&x->fields, SG_STR("access-control-allow-methods"), config_str(c->cors_methods));
        if (!r && c->cors_headers)
                r = sg_h1_add_header(&x->fields, SG_STR("access-control-allow-headers"), config_str(c->cors_headers));
        if (!r)
                r = sg_h1_add_header_u64(&x->fields, SG_STR("access-control-max-age"),
                                         c->cors_max_age_usec / SG_USEC_PER_SEC);
        return sg_answer_empty(x, 204, r);
}

/* ---- the head */

int sg_service_take_fields(struct sg_exchange *x, const struct sg_head *head)
{
        const struct sg_service_return back = {
                .request_id = x->request_id,
                .date = sg_worker_date(x->worker),
                .origin = x->serving->origin,
        };

        return sg_service_write_answer(&x->fields, x->serving->service->config, head, &back);
}

int sg_service_take_trailers(struct sg_exchange *x, const struct sg_head *trailers)
{
        return sg_service_write_trailers(&x->serving->trailers, x->serving->service->config, trailers);
}

bool sg_service_switch(struct sg_exchange *x, const struct sg_head *head)
{
        struct sg_serving *s = x->serving;

        if (!s->upgrade[0] || sg_h1_add_header(&x->fields, SG_STR("upgrade"), sg_head_value(head, SG_STR("upgrade"))))
                return false;
        s->is_tunnel = true;
        x->is_body_whole = false; /* until the client's FIN */
        sg_client_switch(x->client, sg_buf_view(&x->fields));
        return true;
}

/* ---- gRPC */

/* https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md, and for what is the gateway's own finding
 * the code that says most. */
static unsigned grpc_status_of(unsigned status)
{
        switch (status) {
        case 400:
        case 431:
                return 13; /* INTERNAL */
        case 401:
                return 16; /* UNAUTHENTICATED */
        case 403:
                return 7; /* PERMISSION_DENIED */
        case 404:
        case 405:
                return 12; /* UNIMPLEMENTED */
        case 408:
        case 504:
                return 4; /* DEADLINE_EXCEEDED */
        case 413:
        case 429:
                return 8; /* RESOURCE_EXHAUSTED */
        case 502:
        case 503:
                return 14; /* UNAVAILABLE */
        default:
                return 2; /* UNKNOWN */
        }
}

/* Percent-encoded: the gRPC specification's Status-Message. */
static int add_message(struct sg_buf *b, struct sg_str text)
{
        int r = sg_buf_add(b, SG_STR("grpc-message: "));

        for (size_t i = 0; !r && i < text.n; i++) {
                const unsigned char ch = (unsigned char)text.p[i];

                if (ch >= 0x20 && ch <= 0x7e && ch != '%')
                        r = sg_buf_add(b, sg_str_make(&text.p[i], 1));
                else
                        r = sg_buf_printf(b, "%%%02X", ch);
        }
        return r ? r : sg_buf_add(b, SG_STR("\r\n"));
}

bool sg_service_is_grpc(const struct sg_exchange *x)
{
        return x->serving && x->serving->is_grpc;
}

static int add_grpc_status(struct sg_exchange *x, struct sg_buf *b)
{
        char message[1024];
        int r = sg_h1_add_header_u64(b, SG_STR("grpc-status"), grpc_status_of(sg_failure_row(x->failure)->status));

        return r ? r : add_message(b, sg_failure_message(x, message, sizeof(message)));
}

/* "Trailers-Only": a head, and nothing behind it. */
bool sg_service_answer_grpc_failure(struct sg_exchange *x)
{
        int r;

        if (!sg_service_is_grpc(x))
                return false;
        sg_buf_clear(&x->fields);
        sg_buf_clear(&x->answer);
        x->status = sg_failure_row(x->failure)->status;
        r = sg_h1_add_header(&x->fields, SG_STR("x-request-id"), sg_str_from(x->request_id));
        if (!r)
                r = sg_buf_add(&x->fields, SG_STR("content-type: application/grpc\r\n"));
        if (!r)
                r = add_grpc_status(x, &x->fields);
        if (r)
                sg_buf_clear(&x->fields);
        x->is_answer_ready = true;
        return true;
}

/* Over HTTP/1 an orderly end would look like that of a whole answer to whoever does not read trailers. */
bool sg_service_end_grpc(struct sg_exchange *x)
{
        if (!sg_service_is_grpc(x) || !x->serving->wants_trailers || x->status != 200 || x->has_length ||
            sg_client_may_switch(x->client))
                return false;
        sg_buf_clear(&x->serving->trailers);
        if (add_grpc_status(x, &x->serving->trailers))
                return false;
        sg_client_send_trailers(x->client, sg_buf_view(&x->serving->trailers));
        return true;
}
