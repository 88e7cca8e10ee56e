#include "llm/error.h"

#include <stdio.h>

#include "llm/text.h"

static int status_of(struct sg_json_value code)
{
        struct sg_str plain;
        uint64_t n;

        if (!sg_json_u64(code, &n) && !(sg_json_plain(code, &plain) && sg_str_to_u64(plain, &n) == 0))
                return 0;
        return n >= 400 && n <= 599 ? (int)n : 0;
}

static struct sg_json_value string_only(struct sg_json_value v)
{
        return v.kind == SG_JSON_STRING ? v : (struct sg_json_value){0};
}

/* What is said more closely: Anthropic's details, Azure's innererror, OpenRouter's metadata. */
static void read_reason(struct sg_llm_provider_error *e, struct sg_json_value error)
{
        static const struct sg_str paths[] = {SG_STR("details.error_code"), SG_STR("innererror.code"),
                                              SG_STR("metadata.error_type")};

        for (size_t i = 0; !e->reason[0] && i < SG_N_ELEMENTS(paths); i++)
                sg_llm_copy_text(e->reason, sizeof(e->reason), sg_json_path(error, paths[i]));
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
        if (!ret->type[0]) /* Google's surface: "RESOURCE_EXHAUSTED" */
                sg_llm_copy_text(ret->type, sizeof(ret->type), string_only(sg_json_get(error, SG_STR("status"))));
        sg_llm_copy_text(ret->param, sizeof(ret->param), sg_json_get(error, SG_STR("param")));
        read_reason(ret, error);
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

/* FastAPI's {"detail":"text"}, or [{"loc":["body","messages",0],"msg":…,"type":…},…]: the first, with its path. */
static bool read_detail(struct sg_llm_provider_error *ret, struct sg_json_value detail)
{
        struct sg_json_value first = sg_json_path(detail, SG_STR("0")), name;
        size_t at = 0, n = 0;
        int status;

        if (detail.kind == SG_JSON_STRING || detail.kind == SG_JSON_OBJECT)
                return sg_llm_error_of(ret, detail, &status) && ret->message[0];
        if (detail.kind != SG_JSON_ARRAY || sg_json_get(first, SG_STR("msg")).kind != SG_JSON_STRING)
                return false;
        *ret = (struct sg_llm_provider_error){0};
        sg_llm_copy_text(ret->message, sizeof(ret->message), sg_json_get(first, SG_STR("msg")));
        sg_llm_copy_text(ret->type, sizeof(ret->type), sg_json_get(first, SG_STR("type")));
        while (sg_json_each(sg_json_get(first, SG_STR("loc")), &at, NULL, &name)) {
                char step[sizeof(ret->param)];

                sg_llm_copy_text(step, sizeof(step), name);
                if (strcmp(step, "body") != 0 && n + strlen(step) + 2 < sizeof(ret->param))
                        n += (size_t)snprintf(ret->param + n, sizeof(ret->param) - n, "%s%s", n ? "." : "", step);
        }
        return true;
}

/* Other homes of a message: bare {"object":"error","message":…} of vLLM, {"statusCode":401,"message":…} of Azure's front
 * door, {"code":…,"msg":…}, and FastAPI's detail, alone or as the message (Mistral). */
static bool read_bare(struct sg_llm_provider_error *ret, struct sg_json_value whole)
{
        struct sg_json_value message = sg_json_get(whole, SG_STR("message")), msg = sg_json_get(whole, SG_STR("msg"));
        int status;

        if (message.kind == SG_JSON_STRING || msg.kind == SG_JSON_STRING) {
                (void)sg_llm_error_of(ret, whole, &status);
                if (message.kind != SG_JSON_STRING)
                        sg_llm_copy_text(ret->message, sizeof(ret->message), msg);
                if (!ret->code[0])
                        sg_llm_copy_text(ret->code, sizeof(ret->code), sg_json_get(whole, SG_STR("statusCode")));
                return true;
        }
        return read_detail(ret, sg_json_get(whole, SG_STR("detail"))) ||
               read_detail(ret, sg_json_get(message, SG_STR("detail")));
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
