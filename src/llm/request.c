#include "llm/request.h"

#include <stdio.h>

#include "llm/text.h"

#define TOKENS_MAX (UINT64_C(1) << 53) /* what a double still counts one by one */

enum {
        W_MODEL,
        W_STREAM,
        W_STREAM_OPTIONS,
        W_STREAM_FORMAT,
        W_MAX_TOKENS,
        W_MAX_COMPLETION_TOKENS,
        W_MAX_OUTPUT_TOKENS,
        W_ANSWERS,
        W_BEST_OF,
        W_MESSAGES,
        W_INPUT,
        W_CONVERSATION,
        W_N
};

#define BIT(w) (UINT32_C(1) << (w))

/* What each operation reads. All else is none of our business, twice or not. */
static uint32_t wanted(enum sg_operation op)
{
        switch (op) {
        case SG_OP_CHAT:
                return BIT(W_MODEL) | BIT(W_STREAM) | BIT(W_STREAM_OPTIONS) | BIT(W_MAX_TOKENS) |
                       BIT(W_MAX_COMPLETION_TOKENS) | BIT(W_ANSWERS) | BIT(W_MESSAGES);
        case SG_OP_COMPLETION:
                return BIT(W_MODEL) | BIT(W_STREAM) | BIT(W_STREAM_OPTIONS) | BIT(W_MAX_TOKENS) |
                       BIT(W_MAX_COMPLETION_TOKENS) | BIT(W_ANSWERS) | BIT(W_BEST_OF);
        case SG_OP_MESSAGES:
                return BIT(W_MODEL) | BIT(W_STREAM) | BIT(W_MAX_TOKENS) | BIT(W_MESSAGES);
        case SG_OP_RESPONSES:
                return BIT(W_MODEL) | BIT(W_STREAM) | BIT(W_STREAM_OPTIONS) | BIT(W_MAX_OUTPUT_TOKENS) | BIT(W_INPUT) |
                       BIT(W_CONVERSATION);
        case SG_OP_COUNT_TOKENS:
                return BIT(W_MODEL) | BIT(W_MESSAGES);
        case SG_OP_EMBEDDINGS:
                return BIT(W_MODEL);
        case SG_OP_SPEECH:
                return BIT(W_MODEL) | BIT(W_STREAM_FORMAT);
        default:
                return BIT(W_MODEL) | BIT(W_STREAM);
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

static int refuse_twice(const struct sg_json_fault *why, struct sg_llm_fault *fault)
{
        char name[64];

        snprintf(name, sizeof(name), SG_STR_FMT, SG_STR_ARG(why->name));
        sg_llm_fault_set(fault, name, "'%s' stands twice in the body (again at byte %zu)", name, why->offset);
        return SG_LLM_E_BAD_FIELD;
}

static int refuse_json(struct sg_str body, const struct sg_json_fault *why, struct sg_llm_fault *fault)
{
        if (sg_llm_trim(body).n == 0)
                sg_llm_fault_set(fault, "", "the body is empty: a JSON object is expected");
        else if (why->code == SG_JSON_E_NOT_OBJECT)
                sg_llm_fault_set(fault, "", "the body must be a JSON object");
        else
                sg_llm_fault_set(fault, "", "the body is not valid JSON: %s at byte %zu", why->what, why->offset);
        return SG_LLM_E_BAD_JSON;
}

int sg_llm_request_no_model(bool is_null, struct sg_llm_fault *fault)
{
        sg_llm_fault_set(fault, "model", "'model' is %s: it must name a model", is_null ? "null" : "missing");
        return SG_LLM_E_NO_MODEL;
}

int sg_llm_request_check_model(const struct sg_llm_request *req, size_t n, bool is_whole, struct sg_llm_fault *fault)
{
        if (!is_whole) {
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

static int read_model(struct sg_llm_request *req, bool needs_model, struct sg_llm_fault *fault)
{
        struct sg_json_value v = req->model.value;
        bool is_whole;
        size_t n;

        if (!is_given(v))
                return needs_model ? sg_llm_request_no_model(v.kind == SG_JSON_NULL, fault) : 0;
        if (v.kind != SG_JSON_STRING)
                return bad_field(fault, "model", "a string", v);
        is_whole = sg_json_copy(v, req->model_name, sizeof(req->model_name), &n);
        return sg_llm_request_check_model(req, n, is_whole, fault);
}

static int read_stream(struct sg_llm_request *req, struct sg_llm_fault *fault)
{
        struct sg_json_value v = req->stream.value;

        req->is_stream = sg_json_is_true(v);
        if (req->op == SG_OP_PASS || !is_given(v) || v.kind == SG_JSON_TRUE || v.kind == SG_JSON_FALSE)
                return 0;
        return bad_field(fault, "stream", "true or false", v);
}

/* Speech comes as sound, or as events with sound in them. */
static int read_stream_format(struct sg_llm_request *req, struct sg_json_value v, struct sg_llm_fault *fault)
{
        req->is_stream = sg_json_text_is(v, SG_STR("sse"));
        return !is_given(v) || v.kind == SG_JSON_STRING ? 0 : bad_field(fault, "stream_format", "a string", v);
}

static int read_stream_options(struct sg_llm_request *req, struct sg_llm_fault *fault)
{
        struct sg_json_want usage = {.name = SG_STR("include_usage")};
        struct sg_json_value v = req->stream_options.value;

        if (!is_given(v))
                return 0;
        if (v.kind != SG_JSON_OBJECT)
                return bad_field(fault, "stream_options", "an object", v);
        if (req->op == SG_OP_RESPONSES)
                return 0;                             /* its usage is not among the options */
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

static int read_tokens(uint64_t *ret, const char *name, struct sg_json_value v, struct sg_llm_fault *fault)
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
        *ret = n;
        return 0;
}

static int read_max_tokens(struct sg_llm_request *req, const char *name, struct sg_json_value v,
                           struct sg_llm_fault *fault)
{
        return read_tokens(&req->max_tokens, name, v, fault);
}

/* Of best_of the others are thrown away, and paid for all the same. */
static int read_answers(struct sg_llm_request *req, const struct sg_json_want w[W_N], struct sg_llm_fault *fault)
{
        uint64_t best_of = 0;
        int r = read_tokens(&req->n_answers, "n", w[W_ANSWERS].value, fault);

        if (!r)
                r = read_tokens(&best_of, "best_of", w[W_BEST_OF].value, fault);
        req->n_answers = SG_MAX(req->n_answers, best_of);
        return r;
}

/* Messages must name a limit. */
static int check_max_tokens(const struct sg_llm_request *req, struct sg_json_value v, struct sg_llm_fault *fault)
{
        if (req->op != SG_OP_MESSAGES || req->max_tokens > 0)
                return 0;
        sg_llm_fault_set(fault, "max_tokens", "'max_tokens' is %s: it must be a whole number of at least 1",
                         is_given(v)              ? "0"
                         : v.kind == SG_JSON_NULL ? "null"
                                                  : "missing");
        return SG_LLM_E_BAD_FIELD;
}

static int check_messages(struct sg_json_value v, struct sg_llm_fault *fault)
{
        if (v.kind == SG_JSON_ARRAY)
                return 0;
        if (v.kind != SG_JSON_NONE)
                return bad_field(fault, "messages", "an array", v);
        sg_llm_fault_set(fault, "messages", "'messages' is missing: it must be an array");
        return SG_LLM_E_BAD_FIELD;
}

/* It may be absent: a stored prompt needs none. */
static int check_input(struct sg_json_value v, struct sg_llm_fault *fault)
{
        if (!is_given(v) || v.kind == SG_JSON_STRING || v.kind == SG_JSON_ARRAY)
                return 0;
        return bad_field(fault, "input", "a string or an array", v);
}

static struct sg_json_value conversation_of(const struct sg_json_want w[W_N])
{
        if (is_given(w[W_CONVERSATION].value))
                return w[W_CONVERSATION].value;
        return w[w[W_INPUT].n ? W_INPUT : W_MESSAGES].value;
}

static int read_fields(struct sg_llm_request *req, const struct sg_json_want w[W_N], bool needs_model,
                       struct sg_llm_fault *fault)
{
        uint32_t bits = wanted(req->op);
        int r;

        req->model = w[W_MODEL];
        req->stream = w[W_STREAM];
        req->stream_options = w[W_STREAM_OPTIONS];
        req->wants_usage = req->op != SG_OP_CHAT && req->op != SG_OP_COMPLETION;
        r = read_model(req, needs_model, fault);
        if (!r && (bits & BIT(W_STREAM)))
                r = read_stream(req, fault);
        if (!r && (bits & BIT(W_STREAM_FORMAT)))
                r = read_stream_format(req, w[W_STREAM_FORMAT].value, fault);
        if (!r)
                r = read_stream_options(req, fault);
        if (!r)
                r = read_max_tokens(req, "max_tokens", w[W_MAX_TOKENS].value, fault);
        if (!r) /* the newer name comes second and wins */
                r = read_max_tokens(req, "max_completion_tokens", w[W_MAX_COMPLETION_TOKENS].value, fault);
        if (!r)
                r = read_max_tokens(req, "max_output_tokens", w[W_MAX_OUTPUT_TOKENS].value, fault);
        if (!r)
                r = read_answers(req, w, fault);
        if (!r)
                r = check_max_tokens(req, w[W_MAX_TOKENS].value, fault);
        if (!r && (bits & BIT(W_MESSAGES)))
                r = check_messages(w[W_MESSAGES].value, fault);
        return r ? r : check_input(w[W_INPUT].value, fault);
}

int sg_llm_request_read_fields(struct sg_llm_request *ret, enum sg_operation op, struct sg_str body, bool needs_model,
                               struct sg_llm_fault *fault)
{
        static const struct sg_str names[W_N] = {
                [W_MODEL] = SG_STR("model"),
                [W_STREAM] = SG_STR("stream"),
                [W_STREAM_OPTIONS] = SG_STR("stream_options"),
                [W_STREAM_FORMAT] = SG_STR("stream_format"),
                [W_MAX_TOKENS] = SG_STR("max_tokens"),
                [W_MAX_COMPLETION_TOKENS] = SG_STR("max_completion_tokens"),
                [W_MAX_OUTPUT_TOKENS] = SG_STR("max_output_tokens"),
                [W_ANSWERS] = SG_STR("n"),
                [W_BEST_OF] = SG_STR("best_of"),
                [W_MESSAGES] = SG_STR("messages"),
                [W_INPUT] = SG_STR("input"),
                [W_CONVERSATION] = SG_STR("conversation"),
        };
        struct sg_json_want asked[W_N], w[W_N] = {0};
        struct sg_llm_request req = {.op = op, .body = body};
        struct sg_json_fault why;
        size_t n = 0;
        int r;

        for (unsigned i = 0; i < W_N; i++)
                if (wanted(op) & BIT(i))
                        asked[n++] = (struct sg_json_want){.name = names[i]};
        if (sg_json_slice(body, asked, n, &why))
                return why.code == SG_JSON_E_DUPLICATE ? refuse_twice(&why, fault) : refuse_json(body, &why, fault);
        n = 0;
        for (unsigned i = 0; i < W_N; i++)
                if (wanted(op) & BIT(i))
                        w[i] = asked[n++];
        r = read_fields(&req, w, needs_model, fault);
        if (r)
                return r;
        req.conversation = conversation_of(w);
        *ret = req;
        return 0;
}

int sg_llm_request_read(struct sg_llm_request *ret, enum sg_operation op, struct sg_str body, bool has_default,
                        struct sg_llm_fault *fault)
{
        bool needs_model = op != SG_OP_PASS && !has_default;

        return sg_llm_request_read_fields(ret, op, body, needs_model, fault);
}
