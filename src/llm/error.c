#include "llm/error.h"

#include "llm/text.h"

static int status_of(struct sg_json_value code)
{
        struct sg_str plain;
        uint64_t n;

        if (!sg_json_u64(code, &n) && !(sg_json_plain(code, &plain) && sg_str_to_u64(plain, &n) == 0))
                return 0;
        return n >= 400 && n <= 599 ? (int)n : 0;
}

bool sg_llm_error_of(struct sg_llm_provider_error *ret, struct sg_json_value error, int *ret_status)
{
        struct sg_json_value code = sg_json_get(error, SG_STR("code"));

        *ret = (struct sg_llm_provider_error){0};
        *ret_status = status_of(code);
        if (error.kind == SG_JSON_STRING) {
                sg_llm_copy_text(ret->message, sizeof(ret->message), error);
                return true;
        }
        if (error.kind != SG_JSON_OBJECT)
                return false;
        sg_llm_copy_text(ret->message, sizeof(ret->message), sg_json_get(error, SG_STR("message")));
        sg_llm_copy_text(ret->type, sizeof(ret->type), sg_json_get(error, SG_STR("type")));
        sg_llm_copy_text(ret->code, sizeof(ret->code), code);
        sg_llm_copy_text(ret->param, sizeof(ret->param), sg_json_get(error, SG_STR("param")));
        return true;
}

void sg_llm_error_fault(struct sg_llm_fault *fault, const struct sg_llm_provider_error *e)
{
        char text[sizeof(fault->text)];
        size_t n = strnlen(e->message, sizeof(text) - 1);

        while (n > 0 && ((unsigned char)e->message[n] & 0xc0) == 0x80) /* not into the middle of a character */
                n--;
        memcpy(text, e->message, n);
        text[n] = '\0';
        sg_llm_fault_set(fault, e->param, "%s", n ? text : "the provider reported an error without a message");
}

/* Other homes of a message: vLLM's bare {"object":"error","message":…} and FastAPI's {"detail":…}. */
static bool read_bare(struct sg_llm_provider_error *ret, struct sg_json_value whole)
{
        struct sg_json_value detail = sg_json_get(whole, SG_STR("detail"));
        int status;

        if (sg_json_get(whole, SG_STR("message")).kind == SG_JSON_STRING)
                return sg_llm_error_of(ret, whole, &status);
        return detail.kind == SG_JSON_STRING && sg_llm_error_of(ret, detail, &status);
}

bool sg_llm_error_read(struct sg_llm_provider_error *ret, struct sg_str body)
{
        struct sg_json_value whole, error;
        int status;

        if (sg_json_check(body, &whole, NULL))
                return false;
        if (whole.kind == SG_JSON_ARRAY) /* Google's OpenAI surface puts the object into a list */
                whole = sg_json_path(whole, SG_STR("0"));
        error = sg_json_get(whole, SG_STR("error"));
        if (error.kind == SG_JSON_OBJECT || error.kind == SG_JSON_STRING)
                return sg_llm_error_of(ret, error, &status);
        return read_bare(ret, whole);
}

static void put_or_null(struct sg_llm_put *o, struct sg_str name, const char *value)
{
        sg_llm_put(o, name);
        if (value)
                sg_llm_put_string(o, sg_str_from(value));
        else
                sg_llm_put(o, SG_STR("null"));
}

static int add_framed(struct sg_buf *b, enum sg_surface s, const struct sg_llm_client_error *e, struct sg_str before,
                      struct sg_str after)
{
        struct sg_buf whole; /* so that a full *b gets nothing, not a half */
        struct sg_llm_put o = {.to = &whole};

        sg_buf_init(&whole, 6 * (e->message.n + 4096));
        sg_llm_put(&o, before);
        if (s == SG_SURFACE_SIMPLE) {
                sg_llm_put(&o, SG_STR("{\"error\":"));
                sg_llm_put_string(&o, e->message);
                sg_llm_put(&o, SG_STR("}"));
        } else {
                sg_llm_put(&o, SG_STR("{\"error\":{\"message\":"));
                sg_llm_put_string(&o, e->message);
                put_or_null(&o, SG_STR(",\"type\":"), e->type);
                put_or_null(&o, SG_STR(",\"param\":"), e->param);
                put_or_null(&o, SG_STR(",\"code\":"), e->code);
                sg_llm_put(&o, SG_STR("}}"));
        }
        sg_llm_put(&o, after);
        if (!o.r)
                o.r = sg_buf_add(b, sg_buf_view(&whole));
        sg_buf_done(&whole);
        return o.r;
}

int sg_llm_error_add_body(struct sg_buf *b, enum sg_surface s, const struct sg_llm_client_error *e)
{
        return add_framed(b, s, e, SG_STR(""), SG_STR(""));
}

int sg_llm_error_add_event(struct sg_buf *b, enum sg_surface s, const struct sg_llm_client_error *e)
{
        return add_framed(b, s, e, SG_STR("data: "), SG_STR("\n\n"));
}
