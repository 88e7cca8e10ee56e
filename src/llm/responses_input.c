/* The items of a conversation as messages of a chat completion: whose they are, and what others than the model say. */
#include "llm/responses_input.h"
#include "llm/responses.h"

/* ---- what others say: parts of content */

static int put_text(struct sg_responses_input *in, struct sg_json_value part)
{
        static const struct sg_str names[] = {SG_STR("type"), SG_STR("text"), SG_STR("prompt_cache_breakpoint")};
        struct sg_json_value m[SG_N_ELEMENTS(names)];
        int r;

        r = sg_llm_read_members(in->at, part, names, SG_N_ELEMENTS(names), m);
        if (!r)
                r = sg_llm_must_be(in->at, "text", m[1], SG_JSON_STRING);
        if (r)
                return r;
        if (m[2].kind != SG_JSON_NONE)
                sg_llm_drop(in->at, "prompt_cache_breakpoint");
        sg_llm_put(in->o, SG_STR("{\"type\":\"text\",\"text\":"));
        sg_llm_put(in->o, m[1].text);
        sg_llm_put(in->o, SG_STR("}"));
        return 0;
}

static int put_image(struct sg_responses_input *in, struct sg_json_value part)
{
        static const struct sg_str names[] = {SG_STR("type"), SG_STR("image_url"), SG_STR("detail"),
                                              SG_STR("prompt_cache_breakpoint")};
        struct sg_json_value m[SG_N_ELEMENTS(names)];
        int r;

        r = sg_llm_read_members(in->at, part, names, SG_N_ELEMENTS(names), m); /* file_id has no words in chat */
        if (!r)
                r = sg_llm_must_be(in->at, "image_url", m[1], SG_JSON_STRING);
        if (!r)
                r = sg_llm_may_be(in->at, "detail", m[2], SG_JSON_STRING);
        if (r)
                return r;
        if (m[3].kind != SG_JSON_NONE)
                sg_llm_drop(in->at, "prompt_cache_breakpoint");
        sg_llm_put(in->o, SG_STR("{\"type\":\"image_url\",\"image_url\":{\"url\":"));
        sg_llm_put(in->o, m[1].text);
        if (m[2].kind == SG_JSON_STRING)
                sg_llm_put(in->o, SG_STR(",\"detail\":"));
        sg_llm_put(in->o, m[2].text);
        sg_llm_put(in->o, SG_STR("}}"));
        return 0;
}

static int put_file(struct sg_responses_input *in, struct sg_json_value part)
{
        static const struct sg_str names[] = {SG_STR("file_data"), SG_STR("file_id"),
                                              SG_STR("filename"),  SG_STR("type"),
                                              SG_STR("detail"),    SG_STR("prompt_cache_breakpoint")};
        struct sg_json_value m[SG_N_ELEMENTS(names)];
        size_t n = 0;
        int r;

        r = sg_llm_read_members(in->at, part, names, SG_N_ELEMENTS(names), m);
        if (r)
                return r;
        if (m[4].kind != SG_JSON_NONE)
                sg_llm_drop(in->at, "detail");
        if (m[5].kind != SG_JSON_NONE)
                sg_llm_drop(in->at, "prompt_cache_breakpoint");
        sg_llm_put(in->o, SG_STR("{\"type\":\"file\",\"file\":{"));
        for (size_t i = 0; i < 3; i++) {
                if (m[i].kind == SG_JSON_NONE)
                        continue;
                sg_llm_put(in->o, n++ ? SG_STR(",\"") : SG_STR("\""));
                sg_llm_put(in->o, names[i]);
                sg_llm_put(in->o, SG_STR("\":"));
                sg_llm_put(in->o, m[i].text);
        }
        sg_llm_put(in->o, SG_STR("}}"));
        if (m[0].kind == SG_JSON_NONE && m[1].kind == SG_JSON_NONE)
                return sg_llm_refuse(in->at, "holds neither file_data nor file_id");
        return 0;
}

static int put_audio(struct sg_responses_input *in, struct sg_json_value part)
{
        static const struct sg_str names[] = {SG_STR("type"), SG_STR("input_audio")};
        struct sg_json_value m[SG_N_ELEMENTS(names)];
        int r;

        r = sg_llm_read_members(in->at, part, names, SG_N_ELEMENTS(names), m);
        if (!r)
                r = sg_llm_must_be(in->at, "input_audio", m[1], SG_JSON_OBJECT);
        if (r)
                return r;
        sg_llm_put(in->o, SG_STR("{\"type\":\"input_audio\",\"input_audio\":"));
        sg_llm_put(in->o, m[1].text);
        sg_llm_put(in->o, SG_STR("}"));
        return 0;
}

/* Of instructions the first is allowed, of results the first three. */
static const struct {
        struct sg_str type;
        int (*put)(struct sg_responses_input *in, struct sg_json_value part);
} parts[] = {
        {SG_STR("input_text"), put_text},
        {SG_STR("input_image"), put_image},
        {SG_STR("input_file"), put_file},
        {SG_STR("input_audio"), put_audio},
};

static int put_part(struct sg_responses_input *in, struct sg_json_value part, size_t n_kinds)
{
        struct sg_json_value type = sg_json_get(part, SG_STR("type"));
        int r;

        if (part.kind != SG_JSON_OBJECT)
                return sg_llm_refuse(in->at, "must be an object, not %s", sg_llm_kind_phrase(part.kind));
        r = sg_llm_must_be(in->at, "type", type, SG_JSON_STRING);
        for (size_t i = 0; !r && i < n_kinds; i++)
                if (sg_json_text_is(type, parts[i].type))
                        return parts[i].put(in, part);
        return r ? r : sg_llm_refuse_inexpressible_member(in->at, "type");
}

/* A single text is written as the plain string, which every provider takes. */
static bool is_plain_text(struct sg_json_value content, struct sg_json_value *ret_text)
{
        struct sg_json_value part, v, type;
        size_t walk = 0, n = 0;

        if (!sg_json_each(content, &walk, NULL, &part) || sg_json_each(content, &walk, NULL, &v))
                return false;
        walk = 0;
        while (sg_json_each(part, &walk, NULL, &v))
                n++;
        type = sg_json_get(part, SG_STR("type"));
        *ret_text = sg_json_get(part, SG_STR("text"));
        return n == 2 && ret_text->kind == SG_JSON_STRING && type.kind == SG_JSON_STRING &&
               sg_json_text_is(type, SG_STR("input_text"));
}

static int put_parts(struct sg_responses_input *in, struct sg_json_value content, size_t n_kinds)
{
        struct sg_json_value part;
        size_t walk = 0, i = 0;
        int r = 0;

        sg_llm_put(in->o, SG_STR("["));
        while (!r && sg_json_each(content, &walk, NULL, &part)) {
                size_t mark = sg_llm_enter_index(in->at, i);

                if (i++)
                        sg_llm_put(in->o, SG_STR(","));
                r = put_part(in, part, n_kinds);
                if (!r)
                        sg_llm_leave(in->at, mark);
        }
        sg_llm_put(in->o, SG_STR("]"));
        return r;
}

static int put_content(struct sg_responses_input *in, const char *name, struct sg_json_value content, size_t n_kinds)
{
        struct sg_json_value text;

        sg_llm_enter(in->at, sg_str_from(name));
        if (content.kind == SG_JSON_STRING)
                sg_llm_put(in->o, content.text);
        else if (content.kind != SG_JSON_ARRAY)
                return sg_llm_refuse(in->at, "must be a string or an array, not %s", sg_llm_kind_phrase(content.kind));
        else if (is_plain_text(content, &text))
                sg_llm_put(in->o, text.text);
        else
                return put_parts(in, content, n_kinds);
        return 0;
}

/* ---- items */

static int read_message_of(struct sg_responses_input *in, struct sg_str role, struct sg_json_value content)
{
        bool is_user = sg_str_eq(role, SG_STR("user"));
        int r;

        sg_responses_end_turn(in);
        r = sg_responses_check_answered(in);
        if (r)
                return r;
        sg_responses_begin_message(in, role);
        r = put_content(in, "content", content, is_user ? SG_N_ELEMENTS(parts) : 1);
        sg_llm_put(in->o, SG_STR("}"));
        return r;
}

static int read_message(struct sg_responses_input *in, struct sg_json_value item)
{
        static const struct sg_str names[] = {SG_STR("type"), SG_STR("role"),   SG_STR("content"),
                                              SG_STR("id"),   SG_STR("status"), SG_STR("phase")};
        struct sg_json_value m[SG_N_ELEMENTS(names)];
        int r;

        r = sg_llm_read_members(in->at, item, names, SG_N_ELEMENTS(names), m);
        if (!r)
                r = sg_llm_must_be(in->at, "role", m[1], SG_JSON_STRING);
        if (r)
                return r;
        if (m[5].kind != SG_JSON_NONE)
                sg_llm_drop(in->at, "phase");
        if (sg_json_text_is(m[1], SG_STR("assistant")))
                return sg_responses_read_own_message(in, m[2]);
        if (sg_json_text_is(m[1], SG_STR("user")))
                return read_message_of(in, SG_STR("user"), m[2]);
        if (sg_json_text_is(m[1], SG_STR("system")) || sg_json_text_is(m[1], SG_STR("developer")))
                return read_message_of(in, SG_STR("system"), m[2]);
        return sg_llm_refuse_member(in->at, "role", "must be 'user', 'assistant', 'system' or 'developer'");
}

static int read_result(struct sg_responses_input *in, struct sg_json_value item)
{
        static const struct sg_str names[] = {SG_STR("type"), SG_STR("call_id"), SG_STR("output"),
                                              SG_STR("id"),   SG_STR("status"),  SG_STR("name")};
        struct sg_json_value m[SG_N_ELEMENTS(names)];
        int r;

        r = sg_llm_read_members(in->at, item, names, SG_N_ELEMENTS(names), m);
        if (!r)
                r = sg_llm_calls_answer(&in->asked, in->at, "call_id", m[1]);
        if (r)
                return r;
        sg_responses_end_turn(in);
        sg_responses_begin_message(in, SG_STR("tool"));
        r = put_content(in, "output", m[2], 3);
        sg_llm_put(in->o, SG_STR(",\"tool_call_id\":"));
        sg_llm_put(in->o, m[1].text);
        sg_llm_put(in->o, SG_STR("}"));
        return r;
}

static const struct {
        struct sg_str type;
        int (*read)(struct sg_responses_input *in, struct sg_json_value item);
} items[] = {
        {SG_STR("message"), read_message},
        {SG_STR("function_call"), sg_responses_read_call},
        {SG_STR("function_call_output"), read_result},
        {SG_STR("reasoning"), sg_responses_read_reasoning},
};

static int read_item(struct sg_responses_input *in, struct sg_json_value item)
{
        struct sg_json_value type = sg_json_get(item, SG_STR("type"));
        int r;

        if (item.kind != SG_JSON_OBJECT)
                return sg_llm_refuse(in->at, "must be an object, not %s", sg_llm_kind_phrase(item.kind));
        r = sg_llm_may_be(in->at, "type", type.kind == SG_JSON_NULL ? (struct sg_json_value){0} : type, SG_JSON_STRING);
        if (r)
                return r;
        if (type.kind != SG_JSON_STRING && sg_json_get(item, SG_STR("role")).kind != SG_JSON_NONE)
                return read_message(in, item);
        if (type.kind != SG_JSON_STRING || sg_json_text_is(type, SG_STR("item_reference")))
                return sg_llm_refuse(in->at, "refers to an item that is kept elsewhere: send the item itself; this "
                                             "model's provider keeps none");
        for (size_t i = 0; i < SG_N_ELEMENTS(items); i++)
                if (sg_json_text_is(type, items[i].type))
                        return items[i].read(in, item);
        return sg_llm_refuse_inexpressible_member(in->at, "type");
}

static int read_items(struct sg_responses_input *in, struct sg_json_value list)
{
        struct sg_json_value item;
        size_t walk = 0;
        int r = 0;

        while (!r && sg_json_each(list, &walk, NULL, &item)) {
                size_t mark = sg_llm_enter_index(in->at, in->item);

                r = read_item(in, item);
                if (!r)
                        sg_llm_leave(in->at, mark);
                in->item++;
        }
        sg_responses_end_turn(in);
        return r ? r : sg_responses_check_answered(in);
}

int sg_responses_put_messages(struct sg_llm_put *o, struct sg_llm_reader *at, struct sg_json_value instructions,
                              struct sg_json_value input)
{
        struct sg_responses_input in = {.at = at, .o = o};
        size_t mark = sg_llm_enter(at, SG_STR("input"));
        int r = 0;

        for (unsigned i = 0; i < SG_RESPONSES_N; i++)
                sg_buf_init(&in.next[i], o->to->max);
        sg_llm_put(o, SG_STR("["));
        if (instructions.kind == SG_JSON_STRING) {
                sg_responses_begin_message(&in, SG_STR("system"));
                sg_llm_put(o, instructions.text);
                sg_llm_put(o, SG_STR("}"));
        }
        if (input.kind == SG_JSON_STRING) {
                sg_responses_begin_message(&in, SG_STR("user"));
                sg_llm_put(o, input.text);
                sg_llm_put(o, SG_STR("}"));
        } else {
                r = read_items(&in, input);
        }
        sg_llm_put(o, SG_STR("]"));
        for (unsigned i = 0; i < SG_RESPONSES_N; i++)
                sg_buf_done(&in.next[i]);
        if (!r)
                sg_llm_leave(at, mark);
        return r;
}
