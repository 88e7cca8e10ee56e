/*
 * The model's own items that follow one another become one message, kept in pieces until an item of another kind ends it:
 * in a chat completion calls stand in one message, and their results right behind it.
 */
#include "llm/responses_input.h"
#include "llm/wording.h"

static void keep(struct sg_responses_input *in, unsigned which, struct sg_str s)
{
        if (!in->o->r)
                in->o->r = sg_buf_add(&in->next[which], s);
}

void sg_responses_begin_message(struct sg_responses_input *in, struct sg_str role)
{
        sg_llm_put(in->o, in->n_messages++ ? SG_STR(",{\"role\":\"") : SG_STR("{\"role\":\""));
        sg_llm_put(in->o, role);
        sg_llm_put(in->o, SG_STR("\",\"content\":"));
}

static void put_next(struct sg_responses_input *in, unsigned which, struct sg_str before, struct sg_str after)
{
        if (sg_buf_length(&in->next[which]) == 0)
                return;
        sg_llm_put(in->o, before);
        sg_llm_put(in->o, sg_buf_view(&in->next[which]));
        sg_llm_put(in->o, after);
}

void sg_responses_end_turn(struct sg_responses_input *in)
{
        if (!in->in_turn)
                return;
        sg_responses_begin_message(in, SG_STR("assistant"));
        if (sg_buf_length(&in->next[SG_RESPONSES_TEXT]))
                put_next(in, SG_RESPONSES_TEXT, SG_STR("\""), SG_STR("\""));
        else if (in->has_text || (sg_buf_length(&in->next[SG_RESPONSES_CALLS]) == 0 &&
                                  sg_buf_length(&in->next[SG_RESPONSES_REFUSAL]) == 0))
                sg_llm_put(in->o, SG_STR("\"\""));
        else
                sg_llm_put(in->o, SG_STR("null"));
        put_next(in, SG_RESPONSES_REFUSAL, SG_STR(",\"refusal\":\""), SG_STR("\""));
        put_next(in, SG_RESPONSES_REASONING, SG_STR(",\"reasoning_content\":\""), SG_STR("\""));
        put_next(in, SG_RESPONSES_THINKING, SG_STR(",\"thinking_blocks\":["), SG_STR("]"));
        put_next(in, SG_RESPONSES_CALLS, SG_STR(",\"tool_calls\":["), SG_STR("]"));
        sg_llm_put(in->o, SG_STR("}"));
        for (unsigned i = 0; i < SG_RESPONSES_N; i++)
                sg_buf_clear(&in->next[i]);
        in->in_turn = in->has_text = false;
}

int sg_responses_check_answered(struct sg_responses_input *in)
{
        char id[SG_NAME_BYTES_MAX];
        size_t i = 0;

        if (in->asked.n == in->asked.n_answered)
                return 0;
        while (in->asked.of[i].is_answered)
                i++;
        sg_llm_copy_text(id, sizeof(id), in->asked.of[i].id);
        sg_llm_leave(in->at, 0);
        sg_llm_enter(in->at, SG_STR("input"));
        sg_llm_enter_index(in->at, in->asked.message);
        return sg_llm_refuse(in->at, "begins a turn with a call ('%s') whose function_call_output does not follow it",
                             id);
}

static int begin_turn(struct sg_responses_input *in)
{
        int r;

        if (in->in_turn)
                return 0;
        r = sg_responses_check_answered(in);
        if (r)
                return r;
        sg_llm_calls_clear(&in->asked, in->item);
        in->in_turn = true;
        return 0;
}

/* What follows a text is another message, unless calls wait for their results: nothing may come between. */
static int begin_turn_after_text(struct sg_responses_input *in)
{
        if (in->has_text && in->asked.n == 0)
                sg_responses_end_turn(in);
        return begin_turn(in);
}

static int read_own_part(struct sg_responses_input *in, struct sg_json_value part)
{
        static const struct sg_str names[] = {SG_STR("type"), SG_STR("text"), SG_STR("refusal"), SG_STR("annotations"),
                                              SG_STR("logprobs")};
        struct sg_json_value m[SG_N_ELEMENTS(names)];
        bool is_refusal;
        int r;

        r = sg_llm_read_members(in->at, part, names, SG_N_ELEMENTS(names), m);
        if (!r)
                r = sg_llm_must_be(in->at, "type", m[0], SG_JSON_STRING);
        if (r)
                return r;
        is_refusal = sg_json_text_is(m[0], SG_STR("refusal"));
        if (!is_refusal && !sg_json_text_is(m[0], SG_STR("output_text")))
                return sg_llm_refuse_member(in->at, "type",
                                            "must be 'output_text' or 'refusal' in the assistant's messages");
        r = is_refusal ? sg_llm_must_be(in->at, "refusal", m[2], SG_JSON_STRING)
                       : sg_llm_must_be(in->at, "text", m[1], SG_JSON_STRING);
        if (r)
                return r;
        if (m[3].kind != SG_JSON_NONE && !sg_json_is_empty(m[3]))
                sg_llm_drop(in->at, "annotations");
        keep(in, is_refusal ? SG_RESPONSES_REFUSAL : SG_RESPONSES_TEXT, sg_wording_inner(is_refusal ? m[2] : m[1]));
        in->has_text |= !is_refusal;
        return 0;
}

int sg_responses_read_own_message(struct sg_responses_input *in, struct sg_json_value content)
{
        struct sg_json_value part;
        size_t walk = 0, i = 0;
        int r = begin_turn_after_text(in);

        if (r)
                return r;
        sg_llm_enter(in->at, SG_STR("content"));
        if (content.kind == SG_JSON_STRING) {
                keep(in, SG_RESPONSES_TEXT, sg_wording_inner(content));
                in->has_text = true;
                return 0;
        }
        if (content.kind != SG_JSON_ARRAY)
                return sg_llm_refuse(in->at, "must be a string or an array, not %s", sg_llm_kind_phrase(content.kind));
        while (!r && sg_json_each(content, &walk, NULL, &part)) {
                size_t mark = sg_llm_enter_index(in->at, i++);

                r = read_own_part(in, part);
                if (!r)
                        sg_llm_leave(in->at, mark);
        }
        return r;
}

int sg_responses_read_call(struct sg_responses_input *in, struct sg_json_value item)
{
        static const struct sg_str names[] = {SG_STR("type"),      SG_STR("call_id"), SG_STR("name"),
                                              SG_STR("arguments"), SG_STR("id"),      SG_STR("status")};
        struct sg_json_value m[SG_N_ELEMENTS(names)];
        int r;

        r = sg_llm_read_members(in->at, item, names, SG_N_ELEMENTS(names), m);
        if (!r)
                r = sg_llm_must_be(in->at, "name", m[2], SG_JSON_STRING);
        if (!r)
                r = sg_llm_must_be(in->at, "arguments", m[3], SG_JSON_STRING);
        if (!r)
                r = begin_turn(in);
        if (!r)
                r = sg_llm_calls_add(&in->asked, in->at, "call_id", m[1]);
        if (r)
                return r;
        keep(in, SG_RESPONSES_CALLS,
             sg_buf_length(&in->next[SG_RESPONSES_CALLS]) ? SG_STR(",{\"id\":") : SG_STR("{\"id\":"));
        keep(in, SG_RESPONSES_CALLS, m[1].text);
        keep(in, SG_RESPONSES_CALLS, SG_STR(",\"type\":\"function\",\"function\":{\"name\":"));
        keep(in, SG_RESPONSES_CALLS, m[2].text);
        keep(in, SG_RESPONSES_CALLS, SG_STR(",\"arguments\":"));
        keep(in, SG_RESPONSES_CALLS, m[3].text);
        keep(in, SG_RESPONSES_CALLS, SG_STR("}}"));
        return 0;
}

/* ---- reasoning */

static bool is_thinking_block(struct sg_json_value v)
{
        struct sg_json_value type = sg_json_get(v, SG_STR("type"));

        return type.kind == SG_JSON_STRING &&
               (sg_json_text_is(type, SG_STR("thinking")) || sg_json_text_is(type, SG_STR("redacted_thinking")));
}

/* What the answers of this gateway carry there: signed blocks as an array in a string. False when it is something else. */
static bool keep_thinking(struct sg_responses_input *in, struct sg_json_value sealed)
{
        struct sg_json_value blocks, block;
        bool ok = sealed.text.n > 2;
        struct sg_buf text;
        size_t walk = 0;

        sg_buf_init(&text, sealed.text.n);
        if (sg_json_add_decoded(&text, sealed) || sg_json_check(sg_buf_view(&text), &blocks, NULL) ||
            blocks.kind != SG_JSON_ARRAY || sg_json_is_empty(blocks))
                ok = false;
        while (ok && sg_json_each(blocks, &walk, NULL, &block))
                ok = is_thinking_block(block);
        walk = 0;
        while (ok && sg_json_each(blocks, &walk, NULL, &block)) {
                if (sg_buf_length(&in->next[SG_RESPONSES_THINKING]))
                        keep(in, SG_RESPONSES_THINKING, SG_STR(","));
                keep(in, SG_RESPONSES_THINKING, block.text);
        }
        sg_buf_done(&text);
        return ok;
}

static int read_reasoning_part(struct sg_responses_input *in, struct sg_json_value part)
{
        static const struct sg_str names[] = {SG_STR("type"), SG_STR("text")};
        struct sg_json_value m[SG_N_ELEMENTS(names)];
        int r;

        r = sg_llm_read_members(in->at, part, names, SG_N_ELEMENTS(names), m);
        if (!r)
                r = sg_llm_must_be(in->at, "text", m[1], SG_JSON_STRING);
        if (!r)
                keep(in, SG_RESPONSES_REASONING, sg_wording_inner(m[1]));
        return r;
}

int sg_responses_read_reasoning(struct sg_responses_input *in, struct sg_json_value item)
{
        static const struct sg_str names[] = {SG_STR("type"),    SG_STR("content"), SG_STR("encrypted_content"),
                                              SG_STR("summary"), SG_STR("id"),      SG_STR("status")};
        struct sg_json_value m[SG_N_ELEMENTS(names)], part;
        size_t walk = 0, i = 0;
        int r;

        r = sg_llm_read_members(in->at, item, names, SG_N_ELEMENTS(names), m);
        if (!r)
                r = sg_llm_may_be(in->at, "content", m[1], SG_JSON_ARRAY);
        if (!r)
                r = sg_llm_may_be(in->at, "encrypted_content", m[2], SG_JSON_STRING);
        if (!r)
                r = begin_turn_after_text(in);
        if (r)
                return r;
        if (m[2].kind == SG_JSON_STRING && !keep_thinking(in, m[2]))
                sg_llm_drop(in->at, "encrypted_content");
        if (m[3].kind != SG_JSON_NONE && !(m[3].kind == SG_JSON_ARRAY && sg_json_is_empty(m[3])))
                sg_llm_drop(in->at, "summary");
        sg_llm_enter(in->at, SG_STR("content"));
        while (!r && sg_json_each(m[1], &walk, NULL, &part)) {
                size_t mark = sg_llm_enter_index(in->at, i++);

                r = read_reasoning_part(in, part);
                if (!r)
                        sg_llm_leave(in->at, mark);
        }
        return r;
}
