#include "llm/request.h"

#include <stdio.h>

#include "llm/text.h"

#define TOKENS_MAX (UINT64_C(1) << 53) /* what a double still counts one by one */

/* In this order: each operation reads the first so many. What is not read is none of our business, twice or not. */
enum {
        W_MODEL,
        W_STREAM,
        W_STREAM_OPTIONS,
        W_MAX_TOKENS,
        W_MAX_COMPLETION_TOKENS,
        W_MESSAGES,
        W_N
};

static size_t n_wants(enum sg_operation op)
{
        switch (op) {
        case SG_OP_CHAT:
                return W_N;
        case SG_OP_COMPLETION:
                return W_MESSAGES;
        case SG_OP_EMBEDDINGS:
                return W_STREAM;
        default:
                return W_STREAM_OPTIONS;
        }
}

static int bad_field(struct sg_llm_fault *fault, const char *param, const char *must, struct sg_json_value v)
{
        sg_llm_fault_set(fault, param, "'%s' must be %s, not %s", param, must, sg_llm_kind_phrase(v.kind));
        return SG_LLM_E_BAD_FIELD;
}

static bool is_given(struct sg_json_value v)
{
        return v.kind != SG_JSON_NONE && v.kind != SG_JSON_NULL;
}

static int refuse_json(struct sg_str body, const struct sg_json_fault *why, struct sg_llm_fault *fault)
{
        if (why->code == SG_JSON_E_DUPLICATE) {
                char name[64];

                snprintf(name, sizeof(name), SG_STR_FMT, SG_STR_ARG(why->name));
                sg_llm_fault_set(fault, name, "'%s' stands twice in the body (again at byte %zu)", name, why->offset);
                return SG_LLM_E_BAD_FIELD;
        }
        if (sg_llm_trim(body).n == 0)
                sg_llm_fault_set(fault, "", "the body is empty: a JSON object is expected");
        else if (why->code == SG_JSON_E_NOT_OBJECT)
                sg_llm_fault_set(fault, "", "the body must be a JSON object");
        else
                sg_llm_fault_set(fault, "", "the body is not valid JSON: %s at byte %zu", why->what, why->offset);
        return SG_LLM_E_BAD_JSON;
}

static int read_model(struct sg_llm_request *req, bool needs_model, struct sg_llm_fault *fault)
{
        struct sg_json_value v = req->model.value;
        size_t n;

        if (!is_given(v)) {
                if (!needs_model)
                        return 0;
                sg_llm_fault_set(fault, "model", "'model' is %s: it must name a model",
                                 v.kind == SG_JSON_NULL ? "null" : "missing");
                return SG_LLM_E_NO_MODEL;
        }
        if (v.kind != SG_JSON_STRING)
                return bad_field(fault, "model", "a string", v);
        if (!sg_json_copy(v, req->model_name, sizeof(req->model_name), &n)) {
                sg_llm_fault_set(fault, "model", "'model' is longer than %zu bytes", sizeof(req->model_name) - 1);
                return SG_LLM_E_BAD_FIELD;
        }
        if (n == 0) {
                sg_llm_fault_set(fault, "model", "'model' is empty");
                return SG_LLM_E_BAD_FIELD;
        }
        for (size_t i = 0; i < n; i++) { /* names go to logs, headers and C strings */
                if ((unsigned char)req->model_name[i] >= 0x20 && req->model_name[i] != 0x7f)
                        continue;
                sg_llm_fault_set(fault, "model", "'model' holds a control character");
                return SG_LLM_E_BAD_FIELD;
        }
        return 0;
}

static int read_stream(struct sg_llm_request *req, struct sg_llm_fault *fault)
{
        struct sg_json_value v = req->stream.value;

        req->is_stream = sg_json_is_true(v);
        if (req->op == SG_OP_PASS || !is_given(v) || v.kind == SG_JSON_TRUE || v.kind == SG_JSON_FALSE)
                return 0;
        return bad_field(fault, "stream", "true or false", v);
}

static int read_stream_options(struct sg_llm_request *req, struct sg_llm_fault *fault)
{
        struct sg_json_want usage = {.name = SG_STR("include_usage")};
        struct sg_json_value v = req->stream_options.value;

        if (!is_given(v))
                return 0;
        if (v.kind != SG_JSON_OBJECT)
                return bad_field(fault, "stream_options", "an object", v);
        if (sg_json_slice(v.text, &usage, 1, NULL)) { /* it was validated: only a second one is left to be wrong */
                sg_llm_fault_set(fault, "stream_options.include_usage",
                                 "'include_usage' stands twice in 'stream_options'");
                return SG_LLM_E_BAD_FIELD;
        }
        req->include_usage = usage.value;
        req->wants_usage = sg_json_is_true(usage.value);
        if (!is_given(usage.value) || usage.value.kind == SG_JSON_TRUE || usage.value.kind == SG_JSON_FALSE)
                return 0;
        return bad_field(fault, "stream_options.include_usage", "true or false", usage.value);
}

static int read_max_tokens(struct sg_llm_request *req, const char *name, struct sg_json_value v,
                           struct sg_llm_fault *fault)
{
        uint64_t n;

        if (!is_given(v))
                return 0;
        if (v.kind != SG_JSON_NUMBER)
                return bad_field(fault, name, "a whole number", v);
        if (!sg_json_u64(v, &n) || n > TOKENS_MAX) {
                sg_llm_fault_set(fault, name, "'%s' must be a whole number from 0 to 2^53", name);
                return SG_LLM_E_BAD_FIELD;
        }
        req->max_tokens = n;
        return 0;
}

static int read_messages(const struct sg_json_want *messages, struct sg_llm_fault *fault)
{
        if (messages->value.kind == SG_JSON_ARRAY)
                return 0;
        if (messages->value.kind != SG_JSON_NONE)
                return bad_field(fault, "messages", "an array", messages->value);
        sg_llm_fault_set(fault, "messages", "'messages' is missing: it must be an array");
        return SG_LLM_E_BAD_FIELD;
}

int sg_llm_request_read_fields(struct sg_llm_request *ret, enum sg_operation op, struct sg_str body, bool needs_model,
                               struct sg_llm_fault *fault)
{
        struct sg_json_want wants[W_N] = {
                [W_MODEL] = {.name = SG_STR("model")},
                [W_STREAM] = {.name = SG_STR("stream")},
                [W_STREAM_OPTIONS] = {.name = SG_STR("stream_options")},
                [W_MAX_TOKENS] = {.name = SG_STR("max_tokens")},
                [W_MAX_COMPLETION_TOKENS] = {.name = SG_STR("max_completion_tokens")},
                [W_MESSAGES] = {.name = SG_STR("messages")},
        };
        struct sg_llm_request req = {.op = op, .body = body};
        struct sg_json_fault why;
        int r;

        if (sg_json_slice(body, wants, n_wants(op), &why))
                return refuse_json(body, &why, fault);
        req.model = wants[W_MODEL];
        req.stream = wants[W_STREAM];
        req.stream_options = wants[W_STREAM_OPTIONS];

        r = read_model(&req, needs_model, fault);
        if (!r)
                r = read_stream(&req, fault);
        if (!r)
                r = read_stream_options(&req, fault);
        if (!r)
                r = read_max_tokens(&req, "max_tokens", wants[W_MAX_TOKENS].value, fault);
        if (!r) /* the newer name comes second and wins */
                r = read_max_tokens(&req, "max_completion_tokens", wants[W_MAX_COMPLETION_TOKENS].value, fault);
        if (!r && op == SG_OP_CHAT)
                r = read_messages(&wants[W_MESSAGES], fault);
        if (!r)
                *ret = req;
        return r;
}

int sg_llm_request_read(struct sg_llm_request *ret, enum sg_operation op, struct sg_str body, bool has_default,
                        struct sg_llm_fault *fault)
{
        bool needs_model = op != SG_OP_PASS && !has_default;

        return sg_llm_request_read_fields(ret, op, body, needs_model, fault);
}
