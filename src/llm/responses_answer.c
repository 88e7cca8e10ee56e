/* Answers and streams of chat completions as those of the Responses dialect: a message and a delta say the same things. */
#include "base/limits.h"
#include "llm/responses_output.h"

enum {
        T_ID,
        T_MODEL,
        T_CREATED,
        T_CHOICES,
        T_USAGE,
        T_X_GROQ,
        T_N
};

enum {
        C_INDEX,
        C_SAYS, /* the message or the delta */
        C_FINISH_REASON,
        C_LOGPROBS,
        C_USAGE,
        C_N
};

enum {
        M_REASONING_CONTENT,
        M_REASONING, /* OpenRouter, vLLM */
        M_THINKING_BLOCKS,
        M_CONTENT,
        M_REFUSAL,
        M_TOOL_CALLS,
        M_N
};

/* An answer or a chunk. There is one choice: should a provider give more, a response has no place for them. */
struct chat {
        struct sg_json_want top[T_N], choice[C_N];
        bool has_choice;
};

static void read_choice(struct chat *c)
{
        struct sg_json_value choice;
        size_t walk = 0;
        uint64_t index;

        if (!sg_json_each(c->top[T_CHOICES].value, &walk, NULL, &choice) || choice.kind != SG_JSON_OBJECT ||
            sg_json_slice_last(choice.text, c->choice, C_N, NULL))
                return;
        c->has_choice = !sg_json_u64(c->choice[C_INDEX].value, &index) || index == 0;
        if (!c->has_choice)
                for (unsigned i = 0; i < C_N; i++)
                        c->choice[i].value = (struct sg_json_value){0};
}

static int read_chat(struct chat *c, struct sg_str text, struct sg_str says, struct sg_llm_fault *fault)
{
        *c = (struct chat){
                .top = {[T_ID] = {.name = SG_STR("id")},
                        [T_MODEL] = {.name = SG_STR("model")},
                        [T_CREATED] = {.name = SG_STR("created")},
                        [T_CHOICES] = {.name = SG_STR("choices")},
                        [T_USAGE] = {.name = SG_STR("usage")},
                        [T_X_GROQ] = {.name = SG_STR("x_groq")}},
                .choice = {[C_INDEX] = {.name = SG_STR("index")},
                           [C_SAYS] = {.name = says},
                           [C_FINISH_REASON] = {.name = SG_STR("finish_reason")},
                           [C_LOGPROBS] = {.name = SG_STR("logprobs")},
                           [C_USAGE] = {.name = SG_STR("usage")}},
        };
        if (sg_json_slice_last(text, c->top, T_N, NULL)) {
                sg_llm_fault_set(fault, "", "the provider sent what is not a JSON object");
                return SG_LLM_E_NOT_JSON;
        }
        read_choice(c);
        return 0;
}

/* The figures, wherever they stand (as sg_llm_answer_read() looks for them). False when there are none. */
static bool read_usage(struct sg_usage *u, const struct chat *c)
{
        return sg_usage_read(u, c->top[T_USAGE].value) || sg_usage_read(u, c->choice[C_USAGE].value) ||
               sg_usage_read(u, sg_json_get(c->top[T_X_GROQ].value, SG_STR("usage")));
}

static void take_head(struct sg_responses_output *out, const struct chat *c)
{
        sg_responses_take_head(out, c->top[T_ID].value, c->top[T_MODEL].value, c->top[T_CREATED].value);
}

/* ---- a message or a delta */

static void add_string(struct sg_responses_output *out, enum sg_responses_part part, struct sg_json_value v,
                       struct sg_json_value logprobs)
{
        if (v.kind == SG_JSON_STRING && v.text.n > 2)
                sg_responses_add_text(out, part, sg_str_make(v.text.p + 1, v.text.n - 2), logprobs);
}

static int refuse_content(struct sg_llm_fault *fault)
{
        sg_llm_fault_set(fault, "", "the provider sent content that is no text");
        return SG_LLM_E_NOT_JSON;
}

/* A string; or parts, of which only text can be said here. */
static int add_content(struct sg_responses_output *out, struct sg_json_value content, struct sg_json_value logprobs,
                       struct sg_llm_fault *fault)
{
        struct sg_json_value part, type;
        size_t walk = 0;

        if (content.kind == SG_JSON_STRING)
                add_string(out, SG_RESPONSES_OUTPUT_TEXT, content, logprobs);
        else if (content.kind != SG_JSON_ARRAY && content.kind != SG_JSON_NULL && content.kind != SG_JSON_NONE)
                return refuse_content(fault);
        while (sg_json_each(content, &walk, NULL, &part)) {
                type = sg_json_get(part, SG_STR("type"));
                if (type.kind != SG_JSON_STRING || !sg_json_text_is(type, SG_STR("text")))
                        return refuse_content(fault);
                add_string(out, SG_RESPONSES_OUTPUT_TEXT, sg_json_get(part, SG_STR("text")), logprobs);
        }
        return 0;
}

static int add_calls(struct sg_responses_output *out, struct sg_json_value calls, struct sg_llm_fault *fault)
{
        struct sg_json_value call;
        uint64_t at = 0, index;
        size_t walk = 0;
        int r = 0;

        while (!r && sg_json_each(calls, &walk, NULL, &call)) {
                if (!sg_json_u64(sg_json_get(call, SG_STR("index")), &index))
                        index = at;
                r = sg_responses_add_call(out, index, call, fault);
                at++;
        }
        return r;
}

static int add_message(struct sg_responses_output *out, const struct chat *c, struct sg_llm_fault *fault)
{
        struct sg_json_want m[M_N] = {
                [M_REASONING_CONTENT] = {.name = SG_STR("reasoning_content")},
                [M_REASONING] = {.name = SG_STR("reasoning")},
                [M_THINKING_BLOCKS] = {.name = SG_STR("thinking_blocks")},
                [M_CONTENT] = {.name = SG_STR("content")},
                [M_REFUSAL] = {.name = SG_STR("refusal")},
                [M_TOOL_CALLS] = {.name = SG_STR("tool_calls")},
        };
        struct sg_json_value says = c->choice[C_SAYS].value, reasoning;
        const struct sg_json_value none = {0};
        int r;

        if (says.kind != SG_JSON_OBJECT || sg_json_slice_last(says.text, m, M_N, NULL))
                return 0;
        reasoning = m[m[M_REASONING_CONTENT].value.kind == SG_JSON_STRING ? M_REASONING_CONTENT : M_REASONING].value;
        add_string(out, SG_RESPONSES_REASONING_TEXT, reasoning, none);
        sg_responses_add_thinking(out, m[M_THINKING_BLOCKS].value);
        r = add_content(out, m[M_CONTENT].value, sg_json_get(c->choice[C_LOGPROBS].value, SG_STR("content")), fault);
        if (r)
                return r;
        add_string(out, SG_RESPONSES_REFUSAL, m[M_REFUSAL].value, none);
        return add_calls(out, m[M_TOOL_CALLS].value, fault);
}

/* ---- answers */

static int answer(struct sg_responses_output *out, const struct chat *c, struct sg_buf *to, struct sg_llm_fault *fault)
{
        struct sg_llm_put o = {.to = to};
        struct sg_usage usage = {0};
        char finish_reason[32];
        int r;

        if (c->choice[C_SAYS].value.kind != SG_JSON_OBJECT) {
                sg_llm_fault_set(fault, "", "the provider's answer holds no message");
                return SG_LLM_E_NOT_JSON;
        }
        take_head(out, c);
        r = add_message(out, c, fault);
        if (r)
                return r;
        sg_llm_copy_text(finish_reason, sizeof(finish_reason), c->choice[C_FINISH_REASON].value);
        (void)read_usage(&usage, c);
        sg_responses_end(out, finish_reason);
        if (out->put.r)
                return out->put.r;
        sg_responses_put_object(out, &o, finish_reason, &usage);
        return o.r;
}

int sg_chat_answer_to_responses(struct sg_buf *out, struct sg_str body, const struct sg_translate_exchange *x,
                                struct sg_llm_fault *fault)
{
        struct sg_responses_output output;
        struct chat c;
        int r;

        r = read_chat(&c, body, SG_STR("message"), fault);
        if (r)
                return r;
        r = sg_responses_output_init(&output, x, out->max);
        if (!r)
                r = answer(&output, &c, out, fault);
        sg_responses_output_done(&output);
        return r;
}

/* ---- streams */

struct stream {
        struct sg_responses_output output;
        bool is_begun;
        struct sg_usage usage; /* the last figures */
        char finish_reason[32];
};

static int begin(void *state, const struct sg_translate_exchange *x)
{
        struct stream *s = state;

        return sg_responses_output_init(&s->output, x, SG_SSE_EVENT_BYTES_MAX);
}

static void done(void *state)
{
        struct stream *s = state;

        sg_responses_output_done(&s->output);
}

static void begin_once(struct stream *s, const struct chat *c)
{
        if (s->is_begun)
                return;
        if (c)
                take_head(&s->output, c);
        sg_responses_begin(&s->output);
        s->is_begun = true;
}

static int on_done(struct stream *s)
{
        begin_once(s, NULL);
        sg_responses_end(&s->output, s->finish_reason);
        sg_responses_put_terminal(&s->output, s->finish_reason, &s->usage);
        return s->output.put.r;
}

static void note_end(struct stream *s, const struct chat *c)
{
        struct sg_json_value reason = c->choice[C_FINISH_REASON].value;
        struct sg_usage usage;

        if (reason.kind == SG_JSON_STRING && reason.text.n > 2)
                sg_llm_copy_text(s->finish_reason, sizeof(s->finish_reason), reason);
        if (read_usage(&usage, c)) {
                s->usage = usage;
                s->usage.raw = SG_STR_NONE; /* of the event, which goes */
        }
}

static int on_chunk(struct stream *s, struct sg_str data, struct sg_llm_fault *fault)
{
        struct chat c;
        int r;

        r = read_chat(&c, data, SG_STR("delta"), fault);
        if (r)
                return r;
        if (c.has_choice) /* Azure's first chunk has neither choice nor model */
                begin_once(s, &c);
        r = add_message(&s->output, &c, fault);
        note_end(s, &c);
        return r ? r : s->output.put.r;
}

static int event(void *state, const struct sg_sse_event *ev, struct sg_buf *out, struct sg_llm_fault *fault)
{
        struct sg_str data = sg_llm_trim(ev->data);
        struct stream *s = state;

        s->output.put.to = out;
        if (!ev->has_data) /* it may hold an event's name, which without data confuses clients */
                return sg_llm_trim(ev->raw).n ? sg_buf_add(out, SG_STR(":\n\n")) : 0;
        if (sg_str_eq(data, SG_STR("[DONE]")))
                return on_done(s);
        return on_chunk(s, data, fault);
}

const struct sg_translate_way sg_chat_stream_to_responses = {
        .state_bytes = sizeof(struct stream),
        .begin = begin,
        .event = event,
        .done = done,
};
