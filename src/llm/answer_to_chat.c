/* A whole answer of the messages dialect as a chat completion. One walk over its blocks fills what a message has: content,
 * reasoning, thinking blocks, calls. Strings go from one to the other with their escapes. */
#include "llm/wording.h"

enum {
        A_ID,
        A_MODEL,
        A_CONTENT,
        A_STOP_REASON,
        A_STOP_DETAILS,
        A_USAGE,
        A_N
};

enum {
        B_TYPE,
        B_TEXT,
        B_THINKING,
        B_SIGNATURE,
        B_ID,
        B_NAME,
        B_INPUT,
        B_N
};

struct message {
        struct sg_buf content, reasoning, thinking_blocks, tool_calls;
        struct sg_llm_put to_content, to_reasoning, to_blocks, to_calls;
        const struct sg_translate_exchange *x;
        size_t n_calls;
        bool has_content;
        bool is_past_thinking; /* a block of another kind was there */
};

static void message_init(struct message *m, const struct sg_translate_exchange *x, size_t max)
{
        *m = (struct message){.x = x};
        sg_buf_init(&m->content, max);
        sg_buf_init(&m->reasoning, max);
        sg_buf_init(&m->thinking_blocks, max);
        sg_buf_init(&m->tool_calls, max);
        m->to_content.to = &m->content;
        m->to_reasoning.to = &m->reasoning;
        m->to_blocks.to = &m->thinking_blocks;
        m->to_calls.to = &m->tool_calls;
}

static void message_done(struct message *m)
{
        sg_buf_done(&m->content);
        sg_buf_done(&m->reasoning);
        sg_buf_done(&m->thinking_blocks);
        sg_buf_done(&m->tool_calls);
}

static int message_error(const struct message *m)
{
        const int r[] = {m->to_content.r, m->to_reasoning.r, m->to_blocks.r, m->to_calls.r};

        for (size_t i = 0; i < SG_N_ELEMENTS(r); i++)
                if (r[i])
                        return r[i];
        return 0;
}

/* The input of a tool: what stands there as an object goes into a string. */
static void put_input(struct sg_llm_put *o, struct sg_json_value input)
{
        sg_llm_put_string(o, input.kind == SG_JSON_OBJECT ? input.text : SG_STR("{}"));
}

static void add_call(struct message *m, const struct sg_json_want w[B_N])
{
        struct sg_llm_put *o = &m->to_calls;

        if (m->n_calls++)
                sg_llm_put(o, SG_STR(","));
        sg_llm_put(o, SG_STR("{\"id\":"));
        sg_wording_put_call_id(o, w[B_ID].value, m->x->request_id, m->n_calls - 1);
        sg_llm_put(o, SG_STR(",\"type\":\"function\",\"function\":{\"name\":"));
        sg_wording_put_given(o, w[B_NAME].value, SG_STR(""));
        sg_llm_put(o, SG_STR(",\"arguments\":"));
        put_input(o, w[B_INPUT].value);
        sg_llm_put(o, SG_STR("}}"));
}

/* The input as text, without the quotes of the string that it becomes: other text may stand before it. */
static void add_json(struct message *m, struct sg_json_value input)
{
        struct sg_str text;
        struct sg_buf quoted;
        struct sg_llm_put o = {.to = &quoted};

        sg_buf_init(&quoted, m->content.max);
        put_input(&o, input);
        if (o.r) {
                m->to_content.r = o.r;
        } else {
                text = sg_buf_view(&quoted);
                sg_llm_put(&m->to_content, sg_str_make(text.p + 1, text.n - 2));
                m->has_content = true;
        }
        sg_buf_done(&quoted);
}

/* Signed blocks come back as the first ones of the client's next request, so only those that stand first are given as
 * blocks: later ones, between calls of tools, would come back in another order than they were signed in. */
static void add_thinking_block(struct message *m, struct sg_json_value block)
{
        if (m->is_past_thinking)
                return;
        if (sg_buf_length(&m->thinking_blocks))
                sg_llm_put(&m->to_blocks, SG_STR(","));
        sg_llm_put(&m->to_blocks, block.text);
}

static void add_block(struct message *m, struct sg_json_value block, const struct sg_json_want w[B_N])
{
        struct sg_json_value type = w[B_TYPE].value;

        if (sg_json_text_is(type, SG_STR("thinking"))) {
                sg_llm_put(&m->to_reasoning, sg_wording_inner(w[B_THINKING].value));
                if (sg_wording_has_text(w[B_SIGNATURE].value))
                        add_thinking_block(m, block);
                return;
        }
        if (sg_json_text_is(type, SG_STR("redacted_thinking"))) {
                add_thinking_block(m, block);
                return;
        }
        m->is_past_thinking = true;
        if (sg_json_text_is(type, SG_STR("text"))) {
                sg_llm_put(&m->to_content, sg_wording_inner(w[B_TEXT].value));
                m->has_content = true;
        } else if (sg_json_text_is(type, SG_STR("tool_use"))) {
                if (m->x->is_json_by_tool && sg_json_text_is(w[B_NAME].value, SG_STR(SG_WORDING_JSON_TOOL)))
                        add_json(m, w[B_INPUT].value);
                else
                        add_call(m, w);
        }
}

static void add_blocks(struct message *m, struct sg_json_value content)
{
        struct sg_json_value block;
        size_t at = 0;

        while (content.kind == SG_JSON_ARRAY && sg_json_each(content, &at, NULL, &block)) {
                struct sg_json_want w[B_N] = {
                        [B_TYPE] = {.name = SG_STR("type")},
                        [B_TEXT] = {.name = SG_STR("text")},
                        [B_THINKING] = {.name = SG_STR("thinking")},
                        [B_SIGNATURE] = {.name = SG_STR("signature")},
                        [B_ID] = {.name = SG_STR("id")},
                        [B_NAME] = {.name = SG_STR("name")},
                        [B_INPUT] = {.name = SG_STR("input")},
                };

                if (block.kind == SG_JSON_OBJECT && sg_json_slice_last(block.text, w, B_N, NULL) == 0)
                        add_block(m, block, w);
        }
}

static void put_list(struct sg_llm_put *o, struct sg_str before, const struct sg_buf *list)
{
        if (sg_buf_length(list) == 0)
                return;
        sg_llm_put(o, before);
        sg_llm_put(o, sg_buf_view(list));
        sg_llm_put(o, SG_STR("]"));
}

static void put_message(struct sg_llm_put *o, const struct message *m, struct sg_json_value refusal)
{
        sg_llm_put(o, SG_STR("{\"role\":\"assistant\",\"content\":"));
        if (m->has_content) {
                sg_llm_put(o, SG_STR("\""));
                sg_llm_put(o, sg_buf_view(&m->content));
                sg_llm_put(o, SG_STR("\""));
        } else {
                sg_llm_put(o, SG_STR("null"));
        }
        sg_llm_put(o, SG_STR(",\"refusal\":"));
        sg_llm_put(o, refusal.kind == SG_JSON_STRING ? refusal.text : SG_STR("null"));
        if (sg_buf_length(&m->reasoning)) {
                sg_llm_put(o, SG_STR(",\"reasoning_content\":\""));
                sg_llm_put(o, sg_buf_view(&m->reasoning));
                sg_llm_put(o, SG_STR("\""));
        }
        put_list(o, SG_STR(",\"thinking_blocks\":["), &m->thinking_blocks);
        put_list(o, SG_STR(",\"tool_calls\":["), &m->tool_calls);
        sg_llm_put(o, SG_STR("}"));
}

static void put_answer(struct sg_llm_put *o, const struct message *m, const struct sg_json_want w[A_N])
{
        struct sg_wording_usage usage = {0};

        sg_wording_usage_whole(&usage, w[A_USAGE].value);
        sg_llm_put(o, SG_STR("{\"id\":"));
        sg_wording_put_given(o, w[A_ID].value, m->x->request_id);
        sg_llm_put(o, SG_STR(",\"object\":\"chat.completion\",\"created\":"));
        sg_llm_put_u64(o, m->x->created_sec);
        sg_llm_put(o, SG_STR(",\"model\":"));
        sg_wording_put_given(o, w[A_MODEL].value, m->x->model);
        sg_llm_put(o, SG_STR(",\"choices\":[{\"index\":0,\"message\":"));
        put_message(o, m, sg_json_get(w[A_STOP_DETAILS].value, SG_STR("explanation")));
        sg_llm_put(o, SG_STR(",\"logprobs\":null,\"finish_reason\":\""));
        sg_llm_put(o, sg_wording_finish_reason(w[A_STOP_REASON].value, m->n_calls == 0 && m->x->is_json_by_tool));
        sg_llm_put(o, SG_STR("\"}]"));
        if (usage.is_known) {
                sg_llm_put(o, SG_STR(",\"usage\":"));
                sg_wording_put_chat_usage(o, &usage);
        }
        sg_llm_put(o, SG_STR("}"));
}

int sg_messages_answer_to_chat(struct sg_buf *out, struct sg_str body, const struct sg_translate_exchange *x,
                               struct sg_llm_fault *fault)
{
        struct sg_json_want w[A_N] = {
                [A_ID] = {.name = SG_STR("id")},
                [A_MODEL] = {.name = SG_STR("model")},
                [A_CONTENT] = {.name = SG_STR("content")},
                [A_STOP_REASON] = {.name = SG_STR("stop_reason")},
                [A_STOP_DETAILS] = {.name = SG_STR("stop_details")},
                [A_USAGE] = {.name = SG_STR("usage")},
        };
        struct sg_llm_put o = {.to = out};
        struct message m;

        if (sg_json_slice_last(body, w, A_N, NULL) || w[A_CONTENT].value.kind != SG_JSON_ARRAY) {
                sg_llm_fault_set(fault, "content", "the provider's answer has no list of content blocks");
                return SG_LLM_E_NOT_JSON;
        }
        message_init(&m, x, out->max);
        add_blocks(&m, w[A_CONTENT].value);
        o.r = message_error(&m);
        put_answer(&o, &m, w);
        message_done(&m);
        return o.r;
}
