#include "llm/choices.h"
#include "llm/error.h"
#include "llm/text.h"

enum {
        A_CHOICES,
        A_DATA,
        A_USAGE,
        A_ERROR,
        A_MODEL,
        A_X_GROQ,
        A_N
};

static bool has_content(struct sg_json_value v)
{
        return (v.kind == SG_JSON_ARRAY || v.kind == SG_JSON_OBJECT) && !sg_json_is_empty(v);
}

static int in_band(struct sg_llm_answer *a, struct sg_json_value error, struct sg_llm_fault *fault)
{
        struct sg_llm_provider_error e;

        (void)sg_llm_error_of(&e, error,
                              &a->in_band_status); /* of another kind: a fault without the provider's words */
        sg_llm_error_fault(fault, &e);
        return SG_LLM_E_IN_BAND;
}

static void read_usage(struct sg_usage *ret, enum sg_operation op, const struct sg_json_want w[A_N],
                       const struct sg_llm_choices *choices)
{
        if (sg_usage_read(ret, w[A_USAGE].value) || sg_usage_read(ret, choices->usage) ||
            sg_usage_read(ret, sg_json_get(w[A_X_GROQ].value, SG_STR("usage"))))
                return;
        if (op != SG_OP_CHAT && op != SG_OP_COMPLETION && op != SG_OP_EMBEDDINGS)
                return;
        ret->certainty = SG_CERTAINTY_ESTIMATED;
        ret->output_tokens = sg_usage_guess(choices->text_bytes);
}

int sg_llm_answer_read(struct sg_llm_answer *ret, enum sg_operation op, struct sg_str body, struct sg_llm_fault *fault)
{
        struct sg_json_want w[A_N] = {
                [A_CHOICES] = {.name = SG_STR("choices")}, [A_DATA] = {.name = SG_STR("data")},
                [A_USAGE] = {.name = SG_STR("usage")},     [A_ERROR] = {.name = SG_STR("error")},
                [A_MODEL] = {.name = SG_STR("model")},     [A_X_GROQ] = {.name = SG_STR("x_groq")},
        };
        struct sg_llm_choices_reader reader;
        struct sg_llm_choices choices;
        struct sg_json_fault why;

        *ret = (struct sg_llm_answer){0};
        sg_llm_choices_init(&reader, SG_STR("message"));
        w[A_CHOICES].inside = &reader.in_choices;
        if (sg_json_slice_last(body, w, A_N, &why)) {
                sg_llm_fault_set(fault, "", "the provider's answer is not a JSON object: %s at byte %zu", why.what,
                                 why.offset);
                return SG_LLM_E_NOT_JSON;
        }
        if (sg_llm_is_truthy(w[A_ERROR].value) && !has_content(w[A_CHOICES].value) && !has_content(w[A_DATA].value))
                return in_band(ret, w[A_ERROR].value, fault);
        choices = sg_llm_choices_take(&reader, &w[A_CHOICES]);
        sg_llm_copy_text(ret->model, sizeof(ret->model), w[A_MODEL].value);
        sg_llm_copy_text(ret->finish_reason, sizeof(ret->finish_reason), choices.finish_reason);
        read_usage(&ret->usage, op, w, &choices);
        return 0;
}
