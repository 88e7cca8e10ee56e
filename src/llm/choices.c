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

static uint64_t part_bytes(struct sg_json_value part)
{
        struct sg_json_want w[] = {
                {.name = SG_STR("content")}, {.name = SG_STR("reasoning_content")}, {.name = SG_STR("reasoning")},
                {.name = SG_STR("refusal")}, {.name = SG_STR("tool_calls")},        {.name = SG_STR("function_call")},
        };
        uint64_t n;

        if (part.kind != SG_JSON_OBJECT || sg_json_slice_last(part.text, w, SG_N_ELEMENTS(w), NULL))
                return 0;
        n = content_bytes(w[0].value) + string_bytes(w[3].value) + tool_bytes(w[4].value);
        n += SG_MAX(string_bytes(w[1].value), string_bytes(w[2].value)); /* some send the same under both names */
        return n + string_bytes(sg_json_get(w[5].value, SG_STR("arguments")));
}

static void read_choice(struct sg_llm_choices *c, struct sg_json_value choice, struct sg_str part)
{
        struct sg_json_want w[] = {
                {.name = part}, {.name = SG_STR("text")}, {.name = SG_STR("finish_reason")}, {.name = SG_STR("usage")}};

        if (choice.kind != SG_JSON_OBJECT || sg_json_slice_last(choice.text, w, SG_N_ELEMENTS(w), NULL))
                return;
        c->text_bytes += part_bytes(w[0].value) + string_bytes(w[1].value);
        if (c->finish_reason.kind == SG_JSON_NONE && string_bytes(w[2].value) > 0)
                c->finish_reason = w[2].value;
        if (w[3].value.kind == SG_JSON_OBJECT)
                c->usage = w[3].value;
}

void sg_llm_choices_read(struct sg_llm_choices *ret, struct sg_json_value choices, struct sg_str part)
{
        struct sg_json_value choice;
        size_t at = 0;

        *ret = (struct sg_llm_choices){0};
        if (choices.kind == SG_JSON_ARRAY)
                while (sg_json_each(choices, &at, NULL, &choice))
                        read_choice(ret, choice, part);
}
