/* A whole chat completion as an answer of the messages dialect: the first choice's message becomes blocks, in the order in
 * which a model says them: thoughts, text, calls of tools. */
#include "llm/wording.h"

enum {
        A_ID,
        A_MODEL,
        A_CHOICES,
        A_USAGE,
        A_X_GROQ,
        A_N
};

enum {
        C_MESSAGE,
        C_FINISH_REASON,
        C_STOP_REASON,
        C_USAGE,
        C_N
};

enum {
        M_CONTENT,
        M_REFUSAL,
        M_REASONING_CONTENT,
        M_REASONING,
        M_THINKING_BLOCKS,
        M_TOOL_CALLS,
        M_N
};

struct answer {
        const struct sg_translate_exchange *x;
        struct sg_llm_put *o;
        struct sg_json_want top[A_N], choice[C_N], message[M_N];
        struct sg_buf scratch; /* arguments of a tool, decoded */
        size_t n_blocks, n_calls;
        bool has_refusal;
};

static void begin_block(struct answer *a, struct sg_str text)
{
        if (a->n_blocks++)
                sg_llm_put(a->o, SG_STR(","));
        sg_llm_put(a->o, text);
}

static void put_text(struct answer *a, struct sg_json_value text)
{
        if (!sg_wording_has_text(text))
                return;
        begin_block(a, SG_STR("{\"type\":\"text\",\"text\":"));
        sg_llm_put(a->o, text.text);
        sg_llm_put(a->o, SG_STR("}"));
}

static void put_content(struct answer *a, struct sg_json_value content)
{
        struct sg_json_value part;
        size_t at = 0;

        put_text(a, content);
        while (content.kind == SG_JSON_ARRAY && sg_json_each(content, &at, NULL, &part)) {
                struct sg_json_value refusal = sg_json_get(part, SG_STR("refusal"));

                put_text(a, sg_json_get(part, SG_STR("text")));
                put_text(a, refusal);
                a->has_refusal |= sg_wording_has_text(refusal);
        }
}

/* The provider's signed blocks as they are. Text without a signature is a block, too: the dialect has no other place. */
static void put_thinking(struct answer *a)
{
        struct sg_json_value blocks = a->message[M_THINKING_BLOCKS].value, block;
        struct sg_json_value text = a->message[M_REASONING_CONTENT].value;
        size_t at = 0, n_before = a->n_blocks;

        while (blocks.kind == SG_JSON_ARRAY && sg_json_each(blocks, &at, NULL, &block))
                if (block.kind == SG_JSON_OBJECT)
                        begin_block(a, block.text);
        if (!sg_wording_has_text(text))
                text = a->message[M_REASONING].value;
        if (a->n_blocks > n_before || !sg_wording_has_text(text))
                return;
        begin_block(a, SG_STR("{\"type\":\"thinking\",\"thinking\":"));
        sg_llm_put(a->o, text.text);
        sg_llm_put(a->o, SG_STR(",\"signature\":\"\"}"));
}

/* Arguments that are no object (a model may write anything, and is cut off by max_tokens) are given as Anthropic's
 * documentation of fine-grained tool streaming has them: named as what they are. */
static void put_arguments(struct answer *a, struct sg_json_value arguments)
{
        struct sg_json_value object;
        int r;

        if (arguments.kind == SG_JSON_OBJECT) {
                sg_llm_put(a->o, arguments.text);
                return;
        }
        sg_buf_clear(&a->scratch);
        r = arguments.kind == SG_JSON_STRING ? sg_json_add_decoded(&a->scratch, arguments) : 0;
        if (r) {
                a->o->r = a->o->r ? a->o->r : r;
        } else if (sg_llm_trim(sg_buf_view(&a->scratch)).n == 0) {
                sg_llm_put(a->o, SG_STR("{}"));
        } else if (sg_json_check(sg_buf_view(&a->scratch), &object, NULL) == 0 && object.kind == SG_JSON_OBJECT) {
                sg_llm_put(a->o, object.text);
        } else {
                sg_llm_put(a->o, SG_STR("{\"INVALID_JSON\":"));
                sg_llm_put(a->o, arguments.text);
                sg_llm_put(a->o, SG_STR("}"));
        }
}

static void put_call(struct answer *a, struct sg_json_value call)
{
        struct sg_json_value function = sg_json_get(call, SG_STR("function")), id = sg_json_get(call, SG_STR("id"));

        if (function.kind != SG_JSON_OBJECT)
                return;
        begin_block(a, SG_STR("{\"type\":\"tool_use\",\"id\":"));
        sg_wording_put_call_id(a->o, id, a->x->request_id, a->n_calls);
        sg_llm_put(a->o, SG_STR(",\"name\":"));
        sg_wording_put_given(a->o, sg_json_get(function, SG_STR("name")), SG_STR(""));
        sg_llm_put(a->o, SG_STR(",\"input\":"));
        put_arguments(a, sg_json_get(function, SG_STR("arguments")));
        sg_llm_put(a->o, SG_STR("}"));
        a->n_calls++;
}

static void put_blocks(struct answer *a)
{
        struct sg_json_value calls = a->message[M_TOOL_CALLS].value, call;
        size_t at = 0;

        put_thinking(a);
        put_content(a, a->message[M_CONTENT].value);
        put_text(a, a->message[M_REFUSAL].value);
        a->has_refusal |= sg_wording_has_text(a->message[M_REFUSAL].value);
        while (calls.kind == SG_JSON_ARRAY && sg_json_each(calls, &at, NULL, &call))
                put_call(a, call);
}

static struct sg_wording_usage usage_of(const struct answer *a)
{
        struct sg_wording_usage u = {0};

        sg_wording_usage_whole(&u, sg_json_get(a->top[A_X_GROQ].value, SG_STR("usage")));
        sg_wording_usage_whole(&u, a->choice[C_USAGE].value);
        sg_wording_usage_whole(&u, a->top[A_USAGE].value);
        return u;
}

static void put_answer(struct answer *a)
{
        struct sg_wording_usage usage = usage_of(a);
        struct sg_llm_put *o = a->o;

        sg_llm_put(o, SG_STR("{\"id\":"));
        sg_wording_put_given(o, a->top[A_ID].value, a->x->request_id);
        sg_llm_put(o, SG_STR(",\"type\":\"message\",\"role\":\"assistant\",\"model\":"));
        sg_wording_put_given(o, a->top[A_MODEL].value, a->x->model);
        sg_llm_put(o, SG_STR(",\"content\":["));
        put_blocks(a);
        sg_llm_put(o, SG_STR("],"));
        sg_wording_put_stop(o, &(struct sg_wording_stop){
                                       .finish_reason = a->choice[C_FINISH_REASON].value,
                                       .matched = a->choice[C_STOP_REASON].value,
                                       .has_calls = a->n_calls > 0,
                                       .has_refusal = a->has_refusal,
                               });
        sg_llm_put(o, SG_STR(",\"usage\":"));
        sg_wording_put_messages_usage(o, &usage);
        sg_llm_put(o, SG_STR("}"));
}

/* The choice that counts: a client of messages cannot ask for several. */
static bool read_choice(struct answer *a)
{
        struct sg_json_value choice = sg_json_path(a->top[A_CHOICES].value, SG_STR("0"));

        return choice.kind == SG_JSON_OBJECT && sg_json_slice_last(choice.text, a->choice, C_N, NULL) == 0 &&
               a->choice[C_MESSAGE].value.kind == SG_JSON_OBJECT &&
               sg_json_slice_last(a->choice[C_MESSAGE].value.text, a->message, M_N, NULL) == 0 &&
               sg_wording_is_content(a->message[M_CONTENT].value);
}

int sg_chat_answer_to_messages(struct sg_buf *out, struct sg_str body, const struct sg_translate_exchange *x,
                               struct sg_llm_fault *fault)
{
        struct sg_llm_put o = {.to = out};
        struct answer a = {
                .x = x,
                .o = &o,
                .top = {[A_ID] = {.name = SG_STR("id")},
                        [A_MODEL] = {.name = SG_STR("model")},
                        [A_CHOICES] = {.name = SG_STR("choices")},
                        [A_USAGE] = {.name = SG_STR("usage")},
                        [A_X_GROQ] = {.name = SG_STR("x_groq")}},
                .choice = {[C_MESSAGE] = {.name = SG_STR("message")},
                           [C_FINISH_REASON] = {.name = SG_STR("finish_reason")},
                           [C_STOP_REASON] = {.name = SG_STR("stop_reason")},
                           [C_USAGE] = {.name = SG_STR("usage")}},
                .message = {[M_CONTENT] = {.name = SG_STR("content")},
                            [M_REFUSAL] = {.name = SG_STR("refusal")},
                            [M_REASONING_CONTENT] = {.name = SG_STR("reasoning_content")},
                            [M_REASONING] = {.name = SG_STR("reasoning")},
                            [M_THINKING_BLOCKS] = {.name = SG_STR("thinking_blocks")},
                            [M_TOOL_CALLS] = {.name = SG_STR("tool_calls")}},
        };

        if (sg_json_slice_last(body, a.top, A_N, NULL) || !read_choice(&a)) {
                sg_llm_fault_set(
                        fault, "choices",
                        "the provider's answer has no message in its first choice, or one that makes no sense");
                return SG_LLM_E_NOT_JSON;
        }
        sg_buf_init(&a.scratch, out->max);
        put_answer(&a);
        sg_buf_done(&a.scratch);
        return o.r;
}
