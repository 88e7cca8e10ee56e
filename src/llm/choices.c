#include "llm/choices.h"

static uint64_t string_bytes(struct sg_json_value v)
{
        return v.kind == SG_JSON_STRING ? v.text.n - 2 : 0;
}

/* A list of parts counts whole: it is an estimate, and rare. */
static uint64_t content_bytes(struct sg_json_value v)
{
        return v.kind == SG_JSON_ARRAY && !sg_json_is_empty(v) ? v.text.n : string_bytes(v);
}

static uint64_t tool_bytes(struct sg_json_value calls)
{
        struct sg_json_value call;
        uint64_t n = 0;
        size_t at = 0;

        if (calls.kind != SG_JSON_ARRAY)
                return 0;
        while (sg_json_each(calls, &at, NULL, &call))
                n += string_bytes(sg_json_path(call, SG_STR("function.arguments")));
        return n;
}

enum {
        CHOICE_PART,
        CHOICE_TEXT,
        CHOICE_FINISH_REASON,
        CHOICE_USAGE,
};

enum {
        PART_CONTENT,
        PART_REASONING_CONTENT,
        PART_REASONING,
        PART_REFUSAL,
        PART_TOOL_CALLS,
        PART_FUNCTION_CALL,
};

static uint64_t part_bytes(const struct sg_json_want w[SG_LLM_PART_WANTS])
{
        uint64_t n = content_bytes(w[PART_CONTENT].value) + string_bytes(w[PART_REFUSAL].value) +
                     tool_bytes(w[PART_TOOL_CALLS].value);

        /* some send the same under both names */
        n += SG_MAX(string_bytes(w[PART_REASONING_CONTENT].value), string_bytes(w[PART_REASONING].value));
        if (w[PART_FUNCTION_CALL].n)
                n += string_bytes(sg_json_get(w[PART_FUNCTION_CALL].value, SG_STR("arguments")));
        return n;
}

static void on_choice(void *owner)
{
        struct sg_llm_choices_reader *c = owner;
        const struct sg_json_want *w = c->choice;

        if (w[CHOICE_PART].value.kind == SG_JSON_OBJECT)
                c->found.text_bytes += part_bytes(c->part);
        c->found.text_bytes += string_bytes(w[CHOICE_TEXT].value);
        if (c->found.finish_reason.kind == SG_JSON_NONE && string_bytes(w[CHOICE_FINISH_REASON].value) > 0)
                c->found.finish_reason = w[CHOICE_FINISH_REASON].value;
        if (w[CHOICE_USAGE].value.kind == SG_JSON_OBJECT)
                c->found.usage = w[CHOICE_USAGE].value;
}

void sg_llm_choices_init(struct sg_llm_choices_reader *c, struct sg_str part)
{
        *c = (struct sg_llm_choices_reader){
                .choice = {[CHOICE_PART] = {.name = part, .inside = &c->in_part},
                           [CHOICE_TEXT] = {.name = SG_STR("text")},
                           [CHOICE_FINISH_REASON] = {.name = SG_STR("finish_reason")},
                           [CHOICE_USAGE] = {.name = SG_STR("usage")}},
                .part = {[PART_CONTENT] = {.name = SG_STR("content")},
                         [PART_REASONING_CONTENT] = {.name = SG_STR("reasoning_content")},
                         [PART_REASONING] = {.name = SG_STR("reasoning")},
                         [PART_REFUSAL] = {.name = SG_STR("refusal")},
                         [PART_TOOL_CALLS] = {.name = SG_STR("tool_calls")},
                         [PART_FUNCTION_CALL] = {.name = SG_STR("function_call")}},
                .in_choices = {c->choice, SG_LLM_CHOICE_WANTS, on_choice, c},
                .in_part = {c->part, SG_LLM_PART_WANTS, NULL, NULL},
        };
}

struct sg_llm_choices sg_llm_choices_take(struct sg_llm_choices_reader *c, const struct sg_json_want *choices)
{
        struct sg_json_value choice;
        size_t at = 0;

        if (choices->value.kind == SG_JSON_ARRAY && choices->n == 1)
                return c->found;
        /* Several of that name: the last one counts, alone. One object in place of a list is no choice. */
        c->found = (struct sg_llm_choices){0};
        if (choices->value.kind == SG_JSON_ARRAY)
                while (sg_json_each(choices->value, &at, NULL, &choice))
                        if (choice.kind == SG_JSON_OBJECT &&
                            sg_json_slice_last(choice.text, c->choice, SG_LLM_CHOICE_WANTS, NULL) == 0)
                                on_choice(c);
        return c->found;
}
