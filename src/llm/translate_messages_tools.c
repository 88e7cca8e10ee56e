/* Messages to chat completions: the client's tools, and which of them must be called. */
#include "llm/translate_messages_request.h"

enum {
        T_NAME,
        T_DESCRIPTION,
        T_INPUT_SCHEMA,
        T_TYPE,
        T_STRICT,
        T_CACHE_CONTROL,
        T_EAGER_INPUT_STREAMING,
        T_DEFER_LOADING,
        T_N,
};

static int read_tool(struct sg_messages_request *q, struct sg_json_value tool, struct sg_json_value *v)
{
        static const struct sg_str names[T_N] = {
                [T_NAME] = SG_STR("name"),
                [T_DESCRIPTION] = SG_STR("description"),
                [T_INPUT_SCHEMA] = SG_STR("input_schema"),
                [T_TYPE] = SG_STR("type"),
                [T_STRICT] = SG_STR("strict"),
                [T_CACHE_CONTROL] = SG_STR("cache_control"),
                [T_EAGER_INPUT_STREAMING] = SG_STR("eager_input_streaming"),
                [T_DEFER_LOADING] = SG_STR("defer_loading"),
        };
        struct sg_json_value type = sg_json_get(tool, SG_STR("type"));
        int r;

        if (type.kind == SG_JSON_STRING && !sg_json_text_is(type, SG_STR("custom")))
                return sg_llm_refuse_inexpressible_member(&q->at, "type"); /* the provider's own tools */
        r = sg_llm_read_members(&q->at, tool, names, T_N, v);
        if (!r)
                r = sg_llm_may_be(&q->at, "type", v[T_TYPE], SG_JSON_STRING);
        if (!r)
                r = sg_llm_must_be(&q->at, "name", v[T_NAME], SG_JSON_STRING);
        if (!r && sg_llm_is_empty_text(v[T_NAME]))
                r = sg_llm_refuse_member(&q->at, "name", "is empty");
        if (!r)
                r = sg_llm_may_be(&q->at, "description", v[T_DESCRIPTION], SG_JSON_STRING);
        if (!r)
                r = sg_llm_must_be(&q->at, "input_schema", v[T_INPUT_SCHEMA], SG_JSON_OBJECT);
        if (!r)
                r = sg_llm_may_be(&q->at, "strict", v[T_STRICT], SG_JSON_TRUE);
        if (!r && sg_llm_is_truthy(v[T_DEFER_LOADING]))
                r = sg_llm_refuse_inexpressible_member(&q->at, "defer_loading");
        return r;
}

static int write_tool(struct sg_messages_request *q, struct sg_json_value tool)
{
        struct sg_json_value v[T_N];
        int r = read_tool(q, tool, v);

        if (r)
                return r;
        if (v[T_CACHE_CONTROL].kind != SG_JSON_NONE)
                sg_llm_drop(&q->at, "cache_control");
        if (v[T_EAGER_INPUT_STREAMING].kind != SG_JSON_NONE)
                sg_llm_drop(&q->at, "eager_input_streaming");
        sg_llm_put(&q->put, SG_STR("{\"type\":\"function\",\"function\":{\"name\":"));
        sg_llm_put(&q->put, v[T_NAME].text);
        if (v[T_DESCRIPTION].kind != SG_JSON_NONE) {
                sg_llm_put(&q->put, SG_STR(",\"description\":"));
                sg_llm_put(&q->put, v[T_DESCRIPTION].text);
        }
        sg_llm_put(&q->put, SG_STR(",\"parameters\":"));
        sg_llm_put(&q->put, v[T_INPUT_SCHEMA].text);
        if (v[T_STRICT].kind != SG_JSON_NONE) {
                sg_llm_put(&q->put, SG_STR(",\"strict\":"));
                sg_llm_put(&q->put, v[T_STRICT].text);
        }
        sg_llm_put(&q->put, SG_STR("}}"));
        return 0;
}

static int write_tools(struct sg_messages_request *q)
{
        size_t walk = 0, i = 0, mark = sg_llm_enter(&q->at, SG_STR("tools")), inner = q->at.n_path;
        struct sg_json_value tool;

        sg_llm_put(&q->put, SG_STR(",\"tools\":["));
        while (sg_json_each(q->f[SG_MESSAGES_TOOLS], &walk, NULL, &tool)) {
                int r;

                (void)sg_llm_enter_index(&q->at, i);
                sg_llm_put(&q->put, i++ ? SG_STR(",") : SG_STR(""));
                r = write_tool(q, tool);
                if (r)
                        return r;
                sg_llm_leave(&q->at, inner);
        }
        sg_llm_put(&q->put, SG_STR("]"));
        sg_llm_leave(&q->at, mark);
        return 0;
}

enum {
        C_TYPE,
        C_NAME,
        C_DISABLE_PARALLEL_TOOL_USE,
        C_N
};

static const struct {
        struct sg_str type, written;
        bool wants_tools;
} choices[] = {
        {SG_STR("auto"), SG_STR("\"auto\""), false},
        {SG_STR("any"), SG_STR("\"required\""), true},
        {SG_STR("none"), SG_STR("\"none\""), false},
        {SG_STR("tool"), SG_STR(""), true},
};

static int read_choice(struct sg_messages_request *q, struct sg_json_value *v, size_t *ret_choice)
{
        static const struct sg_str names[C_N] = {
                [C_TYPE] = SG_STR("type"),
                [C_NAME] = SG_STR("name"),
                [C_DISABLE_PARALLEL_TOOL_USE] = SG_STR("disable_parallel_tool_use"),
        };
        size_t i = 0;
        bool is_named;
        int r = sg_llm_read_members(&q->at, q->f[SG_MESSAGES_TOOL_CHOICE], names, C_N, v);

        if (!r)
                r = sg_llm_must_be(&q->at, "type", v[C_TYPE], SG_JSON_STRING);
        if (!r)
                r = sg_llm_may_be(&q->at, "disable_parallel_tool_use", v[C_DISABLE_PARALLEL_TOOL_USE], SG_JSON_TRUE);
        if (r)
                return r;
        while (i < SG_N_ELEMENTS(choices) && !sg_json_text_is(v[C_TYPE], choices[i].type))
                i++;
        if (i == SG_N_ELEMENTS(choices))
                return sg_llm_refuse_member(&q->at, "type", "must be auto, any, tool or none");
        is_named = choices[i].written.n == 0;
        if (is_named || v[C_NAME].kind != SG_JSON_NONE)
                r = is_named ? sg_llm_must_be(&q->at, "name", v[C_NAME], SG_JSON_STRING)
                             : sg_llm_refuse_inexpressible_member(&q->at, "name");
        *ret_choice = i;
        return r;
}

static int write_choice(struct sg_messages_request *q, bool has_tools)
{
        struct sg_json_value v[C_N];
        size_t choice = 0, mark;
        int r;

        if (q->f[SG_MESSAGES_TOOL_CHOICE].kind == SG_JSON_NONE)
                return 0;
        mark = sg_llm_enter(&q->at, SG_STR("tool_choice"));
        r = read_choice(q, v, &choice);
        if (!r && !has_tools && choices[choice].wants_tools)
                r = sg_llm_refuse(&q->at, "wants a tool called, but there are no 'tools'");
        if (r || !has_tools)
                return r;
        sg_llm_put(&q->put, SG_STR(",\"tool_choice\":"));
        sg_llm_put(&q->put, choices[choice].written);
        if (choices[choice].written.n == 0) {
                sg_llm_put(&q->put, SG_STR("{\"type\":\"function\",\"function\":{\"name\":"));
                sg_llm_put(&q->put, v[C_NAME].text);
                sg_llm_put(&q->put, SG_STR("}}"));
        }
        if (sg_json_is_true(v[C_DISABLE_PARALLEL_TOOL_USE]))
                sg_llm_put(&q->put, SG_STR(",\"parallel_tool_calls\":false"));
        sg_llm_leave(&q->at, mark);
        return 0;
}

int sg_messages_write_tools(struct sg_messages_request *q)
{
        struct sg_json_value tools = q->f[SG_MESSAGES_TOOLS];
        bool has_tools = tools.kind == SG_JSON_ARRAY && !sg_json_is_empty(tools);
        int r = sg_llm_may_be(&q->at, "tools", tools, SG_JSON_ARRAY);

        if (!r && has_tools)
                r = write_tools(q);
        return r ? r : write_choice(q, has_tools);
}
