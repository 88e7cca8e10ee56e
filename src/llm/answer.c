#include "llm/choices.h"
#include "llm/error.h"
#include "llm/text.h"
#include "llm/usage.h"

enum {
        A_CHOICES,
        A_DATA,
        A_CONTENT, /* messages */
        A_OUTPUT,  /* responses */
        A_USAGE,
        A_ERROR,
        A_MODEL,
        A_X_GROQ,
        A_TYPE,
        A_STATUS,
        A_STOP_REASON,
        A_INCOMPLETE,
        A_N
};

static bool has_content(struct sg_json_value v)
{
        return (v.kind == SG_JSON_ARRAY || v.kind == SG_JSON_OBJECT) && !sg_json_is_empty(v);
}

static bool has_what_was_asked_for(enum sg_operation op, const struct sg_json_want w[A_N])
{
        if (op == SG_OP_MESSAGES)
                return has_content(w[A_CONTENT].value);
        if (op == SG_OP_RESPONSES)
                return has_content(w[A_OUTPUT].value);
        return has_content(w[A_CHOICES].value) || has_content(w[A_DATA].value);
}

/* One that calls itself failed has no answer in it, whatever else it has. */
static bool is_error(enum sg_operation op, const struct sg_json_want w[A_N])
{
        if (op == SG_OP_RESPONSES && sg_json_text_is(w[A_STATUS].value, SG_STR("failed")))
                return true;
        if ((op == SG_OP_MESSAGES || op == SG_OP_COUNT_TOKENS) && sg_json_text_is(w[A_TYPE].value, SG_STR("error")))
                return true;
        return sg_llm_is_truthy(w[A_ERROR].value) && !has_what_was_asked_for(op, w);
}

static int in_band(struct sg_llm_answer *a, struct sg_json_value error, struct sg_llm_fault *fault)
{
        struct sg_llm_provider_error e;

        (void)sg_llm_error_of(&e, error,
                              &a->in_band_status); /* of another kind: a fault without the provider's words */
        a->refusal = sg_llm_refusal_of((unsigned)a->in_band_status, &e);
        sg_llm_error_fault(fault, &e);
        return SG_LLM_E_IN_BAND;
}

static uint64_t string_bytes(struct sg_json_value v)
{
        return v.kind == SG_JSON_STRING ? v.text.n - 2 : 0;
}

/* Of content blocks of messages and of output items of responses: what a model wrote stands under these names, in blocks
 * and in the lists within them. Sound, images and signatures do not. */
static uint64_t block_bytes(struct sg_json_value block)
{
        struct sg_json_value input = sg_json_get(block, SG_STR("input"));
        uint64_t n = input.kind == SG_JSON_OBJECT && !sg_json_is_empty(input) ? input.text.n : string_bytes(input);

        return n + string_bytes(sg_json_get(block, SG_STR("text"))) +
               string_bytes(sg_json_get(block, SG_STR("thinking"))) +
               string_bytes(sg_json_get(block, SG_STR("refusal"))) +
               string_bytes(sg_json_get(block, SG_STR("arguments")));
}

static uint64_t list_bytes(struct sg_json_value list)
{
        struct sg_json_value block;
        uint64_t n = 0;
        size_t at = 0;

        while (list.kind == SG_JSON_ARRAY && sg_json_each(list, &at, NULL, &block))
                n += block_bytes(block);
        return n;
}

static uint64_t output_bytes(struct sg_json_value output)
{
        uint64_t n = list_bytes(output);
        struct sg_json_value item;
        size_t at = 0;

        while (output.kind == SG_JSON_ARRAY && sg_json_each(output, &at, NULL, &item))
                n += list_bytes(sg_json_get(item, SG_STR("content"))) +
                     list_bytes(sg_json_get(item, SG_STR("summary")));
        return n;
}

/* False where the provider gave none. */
static bool read_usage(struct sg_usage *ret, const struct sg_json_want w[A_N], struct sg_json_value of_choice)
{
        if (sg_usage_read(ret, w[A_USAGE].value) || sg_usage_read(ret, of_choice) ||
            sg_usage_read(ret, sg_json_get(w[A_X_GROQ].value, SG_STR("usage"))))
                return true;
        ret->raw = sg_usage_raw_of(w[A_USAGE].value);
        return false;
}

static void guess_usage(struct sg_usage *ret, enum sg_operation op, const struct sg_json_want w[A_N],
                        uint64_t choices_bytes)
{
        uint64_t n = choices_bytes;

        switch (op) {
        case SG_OP_MESSAGES:
                n = list_bytes(w[A_CONTENT].value);
                break;
        case SG_OP_RESPONSES:
                n = output_bytes(w[A_OUTPUT].value);
                break;
        case SG_OP_CHAT:
        case SG_OP_COMPLETION:
        case SG_OP_EMBEDDINGS:
                break;
        default:
                return;
        }
        ret->certainty = SG_CERTAINTY_ESTIMATED;
        ret->output_tokens = sg_usage_guess(n);
}

static struct sg_json_value finish_reason(enum sg_operation op, const struct sg_json_want w[A_N],
                                          const struct sg_llm_choices *choices)
{
        struct sg_json_value incomplete = sg_json_get(w[A_INCOMPLETE].value, SG_STR("reason"));

        if (op == SG_OP_MESSAGES)
                return w[A_STOP_REASON].value;
        if (op == SG_OP_RESPONSES)
                return incomplete.kind == SG_JSON_STRING ? incomplete : w[A_STATUS].value;
        return choices->finish_reason;
}

int sg_llm_answer_read(struct sg_llm_answer *ret, enum sg_operation op, struct sg_str body, struct sg_llm_fault *fault)
{
        struct sg_json_want w[A_N] = {
                [A_CHOICES] = {.name = SG_STR("choices")},
                [A_DATA] = {.name = SG_STR("data")},
                [A_CONTENT] = {.name = SG_STR("content")},
                [A_OUTPUT] = {.name = SG_STR("output")},
                [A_USAGE] = {.name = SG_STR("usage")},
                [A_ERROR] = {.name = SG_STR("error")},
                [A_MODEL] = {.name = SG_STR("model")},
                [A_X_GROQ] = {.name = SG_STR("x_groq")},
                [A_TYPE] = {.name = SG_STR("type")},
                [A_STATUS] = {.name = SG_STR("status")},
                [A_STOP_REASON] = {.name = SG_STR("stop_reason")},
                [A_INCOMPLETE] = {.name = SG_STR("incomplete_details")},
        };
        struct sg_llm_choices_reader reader;
        struct sg_llm_choices choices;
        struct sg_json_fault why;
        bool has_usage;

        *ret = (struct sg_llm_answer){0};
        sg_llm_choices_init(&reader, SG_STR("message"));
        w[A_CHOICES].inside = &reader.in_choices;
        if (sg_json_slice_last(body, w, A_N, &why)) {
                sg_llm_fault_set(fault, "", "the provider's answer is not a JSON object: %s at byte %zu", why.what,
                                 why.offset);
                return SG_LLM_E_NOT_JSON;
        }
        choices = sg_llm_choices_take(&reader, &w[A_CHOICES]);
        has_usage = op != SG_OP_COUNT_TOKENS && read_usage(&ret->usage, w, choices.usage);
        if (is_error(op, w))
                return in_band(ret, w[A_ERROR].value, fault);
        sg_llm_copy_text(ret->model, sizeof(ret->model), w[A_MODEL].value);
        sg_llm_copy_text(ret->finish_reason, sizeof(ret->finish_reason), finish_reason(op, w, &choices));
        if (!has_usage)
                guess_usage(&ret->usage, op, w, choices.text_bytes);
        return 0;
}
