/* Chat completions to messages: tools, which of them must be called, and JSON mode, which is a tool there. */
#include "llm/translate_chat_request.h"
#include "llm/wording.h"

enum choice {
        CHOICE_NONE_GIVEN,
        CHOICE_AUTO,
        CHOICE_ANY,
        CHOICE_NONE,
        CHOICE_TOOL,
};

struct choice_read {
        enum choice choice;
        struct sg_str name; /* of CHOICE_TOOL, with its quotes */
};

static void put_schema(struct sg_chat_request *q, struct sg_json_value schema)
{
        /* a function without parameters has no schema here, or an empty one, but an object's there */
        if (schema.kind == SG_JSON_NONE || sg_json_is_empty(schema))
                sg_llm_put(&q->put, SG_STR("{\"type\":\"object\",\"properties\":{}}"));
        else
                sg_llm_put(&q->put, schema.text);
}

static int check_function(struct sg_chat_request *q, const struct sg_json_value *v)
{
        int r = sg_llm_must_be(&q->at, "name", v[0], SG_JSON_STRING);

        if (!r)
                r = sg_llm_may_be(&q->at, "description", v[1], SG_JSON_STRING);
        if (!r)
                r = sg_llm_may_be(&q->at, "parameters", v[2], SG_JSON_OBJECT);
        if (!r)
                r = sg_llm_may_be(&q->at, "strict", v[3], SG_JSON_TRUE);
        if (!r && sg_llm_is_empty_text(v[0]))
                r = sg_llm_refuse_member(&q->at, "name", "is empty");
        if (!r && q->wants_json && sg_json_text_is(v[0], SG_STR(SG_WORDING_JSON_TOOL)))
                r = sg_llm_refuse_member(&q->at, "name",
                                         "must not be " SG_WORDING_JSON_TOOL " beside response_format json_object");
        return r;
}

static int write_function(struct sg_chat_request *q, struct sg_json_value function, struct sg_json_value cache_control)
{
        static const struct sg_str names[] = {SG_STR("name"), SG_STR("description"), SG_STR("parameters"),
                                              SG_STR("strict"), SG_STR("cache_control")};
        struct sg_json_value v[SG_N_ELEMENTS(names)];
        int r;

        (void)sg_llm_enter(&q->at, SG_STR("function"));
        r = function.kind == SG_JSON_NONE ? sg_llm_refuse(&q->at, "is missing")
                                          : sg_llm_read_members(&q->at, function, names, SG_N_ELEMENTS(names), v);
        if (!r)
                r = check_function(q, v);
        if (r)
                return r;
        sg_llm_put(&q->put, SG_STR("{\"name\":"));
        sg_llm_put(&q->put, v[0].text);
        if (v[1].kind != SG_JSON_NONE) {
                sg_llm_put(&q->put, SG_STR(",\"description\":"));
                sg_llm_put(&q->put, v[1].text);
        }
        sg_llm_put(&q->put, SG_STR(",\"input_schema\":"));
        put_schema(q, v[2]);
        if (v[3].kind != SG_JSON_NONE) {
                sg_llm_put(&q->put, SG_STR(",\"strict\":"));
                sg_llm_put(&q->put, v[3].text);
        }
        sg_chat_put_cache_control(q, cache_control.kind != SG_JSON_NONE ? cache_control : v[4]);
        sg_llm_put(&q->put, SG_STR("}"));
        return 0;
}

static int write_tool(struct sg_chat_request *q, struct sg_json_value tool)
{
        static const struct sg_str names[] = {SG_STR("type"), SG_STR("function"), SG_STR("cache_control")};
        struct sg_json_value v[SG_N_ELEMENTS(names)], type = sg_json_get(tool, SG_STR("type"));
        int r;

        if (type.kind == SG_JSON_STRING && !sg_json_text_is(type, SG_STR("function")))
                return sg_llm_refuse_inexpressible_member(&q->at, "type");
        r = sg_llm_read_members(&q->at, tool, names, SG_N_ELEMENTS(names), v);
        if (!r)
                r = sg_llm_must_be(&q->at, "type", v[0], SG_JSON_STRING);
        return r ? r : write_function(q, v[1], v[2]);
}

static int write_tools(struct sg_chat_request *q, bool with_json_tool)
{
        size_t walk = 0, i = 0, mark = sg_llm_enter(&q->at, SG_STR("tools")), inner = q->at.n_path;
        struct sg_json_value tool;

        sg_llm_put(&q->put, SG_STR(",\"tools\":["));
        while (sg_json_each(q->f[SG_CHAT_TOOLS], &walk, NULL, &tool)) {
                int r;

                (void)sg_llm_enter_index(&q->at, i);
                sg_llm_put(&q->put, i++ ? SG_STR(",") : SG_STR(""));
                r = write_tool(q, tool);
                if (r)
                        return r;
                sg_llm_leave(&q->at, inner);
        }
        if (with_json_tool) {
                sg_llm_put(&q->put, i ? SG_STR(",") : SG_STR(""));
                sg_llm_put(&q->put,
                           SG_STR("{\"name\":\"" SG_WORDING_JSON_TOOL
                                  "\",\"description\":\"Gives the answer, which is a JSON "
                                  "object.\",\"input_schema\":{\"type\":\"object\",\"additionalProperties\":true}}"));
        }
        sg_llm_put(&q->put, SG_STR("]"));
        sg_llm_leave(&q->at, mark);
        return 0;
}

static int read_named_choice(struct sg_chat_request *q, struct sg_json_value v, struct choice_read *ret)
{
        static const struct sg_str names[] = {SG_STR("type"), SG_STR("function")}, inner[] = {SG_STR("name")};
        struct sg_json_value members[SG_N_ELEMENTS(names)], name[1];
        size_t mark = sg_llm_enter(&q->at, SG_STR("tool_choice"));
        struct sg_json_value type = sg_json_get(v, SG_STR("type"));
        int r;

        if (type.kind == SG_JSON_STRING && !sg_json_text_is(type, SG_STR("function")))
                return sg_llm_refuse_inexpressible_member(&q->at, "type"); /* allowed_tools, custom */
        r = sg_llm_read_members(&q->at, v, names, SG_N_ELEMENTS(names), members);
        if (!r)
                r = sg_llm_must_be(&q->at, "type", members[0], SG_JSON_STRING);
        if (!r)
                r = sg_llm_must_be(&q->at, "function", members[1], SG_JSON_OBJECT);
        if (r)
                return r;
        (void)sg_llm_enter(&q->at, SG_STR("function"));
        r = sg_llm_read_members(&q->at, members[1], inner, 1, name);
        if (!r)
                r = sg_llm_must_be(&q->at, "name", name[0], SG_JSON_STRING);
        if (r)
                return r;
        *ret = (struct choice_read){CHOICE_TOOL, name[0].text};
        sg_llm_leave(&q->at, mark);
        return 0;
}

static int read_choice(struct sg_chat_request *q, struct choice_read *ret)
{
        static const struct {
                struct sg_str word;
                enum choice choice;
        } words[] = {{SG_STR("auto"), CHOICE_AUTO}, {SG_STR("required"), CHOICE_ANY}, {SG_STR("none"), CHOICE_NONE}};
        struct sg_json_value v = q->f[SG_CHAT_TOOL_CHOICE];

        *ret = (struct choice_read){CHOICE_NONE_GIVEN, SG_STR_NONE};
        if (v.kind == SG_JSON_NONE)
                return 0;
        if (v.kind == SG_JSON_OBJECT)
                return read_named_choice(q, v, ret);
        for (size_t i = 0; i < SG_N_ELEMENTS(words); i++)
                if (sg_json_text_is(v, words[i].word))
                        return ret->choice = words[i].choice, 0;
        return sg_llm_refuse_member(&q->at, "tool_choice",
                                    "must be none, auto, required or an object that names a function");
}

/* JSON mode: the answer is the input of a tool that must be called. Beside the client's own tools the model has the choice
 * between them and it; where the client forces one of its own, or any, there is no answer to be in JSON. */
static int plan_json(struct sg_chat_request *q, struct choice_read *c, bool has_tools, bool *ret_with_json_tool)
{
        *ret_with_json_tool = q->wants_json && c->choice != CHOICE_ANY && c->choice != CHOICE_TOOL;
        if (!*ret_with_json_tool)
                return 0;
        if (q->is_thinking)
                return sg_llm_refuse_member(
                        &q->at, "response_format",
                        "json_object cannot be had from a model that thinks, of the provider of this "
                        "model: give a json_schema, or do without reasoning");
        if (has_tools && c->choice != CHOICE_NONE)
                *c = (struct choice_read){CHOICE_ANY, SG_STR_NONE};
        else
                *c = (struct choice_read){CHOICE_TOOL, SG_STR("\"" SG_WORDING_JSON_TOOL "\"")};
        if (q->at.notes)
                q->at.notes->is_json_by_tool = true;
        return 0;
}

static void write_choice(struct sg_chat_request *q, const struct choice_read *c)
{
        static const struct sg_str types[] = {
                [CHOICE_NONE_GIVEN] = SG_STR("auto"), [CHOICE_AUTO] = SG_STR("auto"), [CHOICE_ANY] = SG_STR("any"),
                [CHOICE_NONE] = SG_STR("none"),       [CHOICE_TOOL] = SG_STR("tool"),
        };
        bool one_at_a_time = q->f[SG_CHAT_PARALLEL_TOOL_CALLS].kind == SG_JSON_FALSE && c->choice != CHOICE_NONE;

        if (c->choice == CHOICE_NONE_GIVEN && !one_at_a_time)
                return;
        sg_llm_put(&q->put, SG_STR(",\"tool_choice\":{\"type\":\""));
        sg_llm_put(&q->put, types[c->choice]);
        sg_llm_put(&q->put, SG_STR("\""));
        if (c->choice == CHOICE_TOOL) {
                sg_llm_put(&q->put, SG_STR(",\"name\":"));
                sg_llm_put(&q->put, c->name);
        }
        if (one_at_a_time)
                sg_llm_put(&q->put, SG_STR(",\"disable_parallel_tool_use\":true"));
        sg_llm_put(&q->put, SG_STR("}"));
}

int sg_chat_write_tools(struct sg_chat_request *q)
{
        struct sg_json_value tools = q->f[SG_CHAT_TOOLS];
        bool has_tools = tools.kind == SG_JSON_ARRAY && !sg_json_is_empty(tools), with_json_tool;
        struct choice_read c;
        int r;

        sg_llm_leave(&q->at, 0);
        r = sg_llm_may_be(&q->at, "tools", tools, SG_JSON_ARRAY);
        if (!r)
                r = sg_llm_may_be(&q->at, "parallel_tool_calls", q->f[SG_CHAT_PARALLEL_TOOL_CALLS], SG_JSON_TRUE);
        if (!r)
                r = read_choice(q, &c);
        if (r)
                return r;
        if (!has_tools && (c.choice == CHOICE_ANY || c.choice == CHOICE_TOOL))
                return sg_llm_refuse_member(&q->at, "tool_choice", "wants a tool called, but there are no 'tools'");
        r = plan_json(q, &c, has_tools, &with_json_tool);
        if (r || (!has_tools && !with_json_tool))
                return r;
        r = write_tools(q, with_json_tool);
        if (!r)
                write_choice(q, &c);
        return r;
}
