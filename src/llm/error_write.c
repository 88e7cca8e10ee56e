/* Errors in the client's form: OpenAI's, a bare text, Anthropic's, and that of a stream of Responses. */
#include "llm/llm.h"
#include "llm/text.h"

static void put_or_null(struct sg_llm_put *o, struct sg_str name, const char *value)
{
        sg_llm_put(o, name);
        if (value)
                sg_llm_put_string(o, sg_str_from(value));
        else
                sg_llm_put(o, SG_STR("null"));
}

static void put_openai(struct sg_llm_put *o, const struct sg_llm_client_error *e)
{
        sg_llm_put(o, SG_STR("{\"error\":{\"message\":"));
        sg_llm_put_string(o, e->message);
        put_or_null(o, SG_STR(",\"type\":"), e->type);
        put_or_null(o, SG_STR(",\"param\":"), e->param);
        put_or_null(o, SG_STR(",\"code\":"), e->code);
        sg_llm_put(o, SG_STR("}}"));
}

static void put_simple(struct sg_llm_put *o, const struct sg_llm_client_error *e)
{
        sg_llm_put(o, SG_STR("{\"error\":"));
        sg_llm_put_string(o, e->message);
        sg_llm_put(o, SG_STR("}"));
}

/* Anthropic's types follow its statuses; SDKs choose their exceptions by the one, people read the other. */
static struct sg_str anthropic_type(unsigned status, const char *type)
{
        switch (status) {
        case 401:
                return SG_STR("authentication_error");
        case 402:
                return SG_STR("billing_error");
        case 403:
                return SG_STR("permission_error");
        case 404:
                return SG_STR("not_found_error");
        case 413:
                return SG_STR("request_too_large");
        case 429:
                return SG_STR("rate_limit_error");
        case 503:
        case 529:
                return SG_STR("overloaded_error");
        case 504:
                return SG_STR("timeout_error");
        default:
                break;
        }
        if (status >= 400)
                return status >= 500 ? SG_STR("api_error") : SG_STR("invalid_request_error");
        if (!type || strcmp(type, "server_error") == 0 || strcmp(type, "upstream_error") == 0)
                return SG_STR("api_error");
        return sg_str_from(type);
}

static void put_anthropic(struct sg_llm_put *o, const struct sg_llm_client_error *e)
{
        sg_llm_put(o, SG_STR("{\"type\":\"error\",\"error\":{\"type\":"));
        sg_llm_put_string(o, anthropic_type(e->status, e->type));
        sg_llm_put(o, SG_STR(",\"message\":"));
        sg_llm_put_string(o, e->message);
        sg_llm_put(o, SG_STR("}"));
        if (e->request_id.n) {
                sg_llm_put(o, SG_STR(",\"request_id\":"));
                sg_llm_put_string(o, e->request_id);
        }
        sg_llm_put(o, SG_STR("}"));
}

static void put_responses_event(struct sg_llm_put *o, const struct sg_llm_client_error *e)
{
        put_or_null(o, SG_STR("{\"type\":\"error\",\"code\":"), e->code);
        sg_llm_put(o, SG_STR(",\"message\":"));
        sg_llm_put_string(o, e->message);
        put_or_null(o, SG_STR(",\"param\":"), e->param);
        sg_llm_put(o, SG_STR(",\"sequence_number\":"));
        sg_llm_put_u64(o, e->sequence);
        sg_llm_put(o, SG_STR("}"));
}

typedef void put_fn(struct sg_llm_put *o, const struct sg_llm_client_error *e);

static const struct {
        put_fn *put_body, *put_event;
        struct sg_str before; /* of an event */
} forms[SG_SURFACE_N] = {
        [SG_SURFACE_OPENAI] = {put_openai, put_openai, SG_STR("data: ")},
        [SG_SURFACE_SIMPLE] = {put_simple, put_simple, SG_STR("data: ")},
        [SG_SURFACE_ANTHROPIC] = {put_anthropic, put_anthropic, SG_STR("event: error\ndata: ")},
        [SG_SURFACE_RESPONSES] = {put_openai, put_responses_event, SG_STR("event: error\ndata: ")},
};

static int add_framed(struct sg_buf *b, put_fn *put, const struct sg_llm_client_error *e, struct sg_str before,
                      struct sg_str after)
{
        struct sg_buf whole; /* so that a full *b gets nothing, not a half */
        struct sg_llm_put o = {.to = &whole};

        sg_buf_init(&whole, 6 * (e->message.n + e->request_id.n + 4096));
        sg_llm_put(&o, before);
        put(&o, e);
        sg_llm_put(&o, after);
        if (!o.r)
                o.r = sg_buf_add(b, sg_buf_view(&whole));
        sg_buf_done(&whole);
        return o.r;
}

int sg_llm_error_add_body(struct sg_buf *b, enum sg_surface s, const struct sg_llm_client_error *e)
{
        SG_ASSERT((unsigned)s < SG_SURFACE_N);
        return add_framed(b, forms[s].put_body, e, SG_STR(""), SG_STR(""));
}

int sg_llm_error_add_event(struct sg_buf *b, enum sg_surface s, const struct sg_llm_client_error *e)
{
        SG_ASSERT((unsigned)s < SG_SURFACE_N);
        return add_framed(b, forms[s].put_event, e, forms[s].before, SG_STR("\n\n"));
}
