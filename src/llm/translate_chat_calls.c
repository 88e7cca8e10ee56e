/* Chat completions to messages: the tool calls of an assistant's message. */
#include "llm/translate_chat_request.h"

/* The arguments are an object in a string; decoded in place, so that nothing of them is written again. */
static int put_arguments(struct sg_chat_request *q, struct sg_json_value arguments)
{
        size_t from = sg_buf_length(q->put.to);
        struct sg_json_value object;
        struct sg_str text;
        int r = sg_llm_must_be(&q->at, "arguments", arguments, SG_JSON_STRING);

        if (r || q->put.r)
                return r;
        q->put.r = sg_json_add_decoded(q->put.to, arguments);
        if (q->put.r)
                return 0;
        text = sg_str_skip(sg_buf_view(q->put.to), from);
        if (sg_llm_trim(text).n == 0) /* a call without arguments, as some models write it */
                return sg_llm_put(&q->put, SG_STR("{}")), 0;
        if (sg_json_check(text, &object, NULL) || object.kind != SG_JSON_OBJECT)
                return sg_llm_refuse_member(&q->at, "arguments", "is not a JSON object in a string");
        return 0;
}

static int write_function(struct sg_chat_request *q, struct sg_json_value id, struct sg_json_value function,
                          struct sg_json_value cache_control)
{
        static const struct sg_str names[] = {SG_STR("name"), SG_STR("arguments")};
        struct sg_json_value v[SG_N_ELEMENTS(names)];
        int r;

        (void)sg_llm_enter(&q->at, SG_STR("function"));
        r = function.kind == SG_JSON_NONE ? sg_llm_refuse(&q->at, "is missing")
                                          : sg_llm_read_members(&q->at, function, names, SG_N_ELEMENTS(names), v);
        if (!r)
                r = sg_llm_must_be(&q->at, "name", v[0], SG_JSON_STRING);
        if (r)
                return r;
        sg_llm_put(&q->put, SG_STR("\"type\":\"tool_use\",\"id\":"));
        sg_llm_put(&q->put, id.text);
        sg_llm_put(&q->put, SG_STR(",\"name\":"));
        sg_llm_put(&q->put, v[0].text);
        sg_llm_put(&q->put, SG_STR(",\"input\":"));
        r = put_arguments(q, v[1]);
        sg_chat_put_cache_control(q, cache_control);
        sg_llm_put(&q->put, SG_STR("}"));
        return r;
}

static int write_tool_call(struct sg_chat_request *q, struct sg_llm_calls *known, struct sg_json_value call,
                           struct sg_json_value cache_control, size_t *n_blocks)
{
        static const struct sg_str names[] = {SG_STR("id"), SG_STR("type"), SG_STR("function"), SG_STR("index")};
        struct sg_json_value v[SG_N_ELEMENTS(names)]; /* index: left over by clients that gather streams */
        int r = sg_llm_read_members(&q->at, call, names, SG_N_ELEMENTS(names), v);

        if (r)
                return r;
        if (v[1].kind != SG_JSON_NONE && !sg_json_text_is(v[1], SG_STR("function")))
                return sg_llm_refuse_inexpressible_member(&q->at, "type");
        r = sg_llm_calls_add(known, &q->at, "id", v[0]);
        if (r)
                return r;
        sg_chat_begin_block(q, n_blocks);
        return write_function(q, v[0], v[2], cache_control);
}

int sg_chat_write_tool_calls(struct sg_chat_request *q, struct sg_llm_calls *known, struct sg_json_value calls,
                             struct sg_json_value cache_control, size_t *n_blocks)
{
        size_t walk = 0, i = 0, mark = sg_llm_enter(&q->at, SG_STR("tool_calls")), inner = q->at.n_path;
        struct sg_json_value call = {0}, next;
        bool more = sg_json_each(calls, &walk, NULL, &call);
        int r = 0;

        for (; more && !r; call = next) {
                more = sg_json_each(calls, &walk, NULL, &next);
                (void)sg_llm_enter_index(&q->at, i++);
                r = write_tool_call(q, known, call, more ? (struct sg_json_value){0} : cache_control, n_blocks);
                if (!r)
                        sg_llm_leave(&q->at, inner);
        }
        if (!r)
                sg_llm_leave(&q->at, mark);
        return r;
}
