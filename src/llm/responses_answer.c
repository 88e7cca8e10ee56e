/* Answers and streams of chat completions as those of the Responses dialect: a message and a delta say the same things. */
#include "base/limits.h"
#include "llm/responses_output.h"

/* There is one; should a provider give more, a response has no place for them. */
static struct sg_json_value first_choice(struct sg_json_value chat)
{
        struct sg_json_value choice = sg_json_path(chat, SG_STR("choices.0"));
        uint64_t index;

        if (sg_json_u64(sg_json_get(choice, SG_STR("index")), &index) && index > 0)
                return (struct sg_json_value){0};
        return choice;
}

/* The figures, wherever they stand (as sg_llm_answer_read() looks for them). False when there are none. */
static bool read_usage(struct sg_usage *u, struct sg_json_value chat)
{
        return sg_usage_read(u, sg_json_get(chat, SG_STR("usage"))) ||
               sg_usage_read(u, sg_json_get(first_choice(chat), SG_STR("usage"))) ||
               sg_usage_read(u, sg_json_path(chat, SG_STR("x_groq.usage")));
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

static int add_message(struct sg_responses_output *out, struct sg_json_value message, struct sg_json_value logprobs,
                       struct sg_llm_fault *fault)
{
        const struct sg_json_value none = {0};
        struct sg_json_value reasoning = sg_json_get(message, SG_STR("reasoning_content"));
        int r;

        if (reasoning.kind != SG_JSON_STRING)
                reasoning = sg_json_get(message, SG_STR("reasoning")); /* OpenRouter, vLLM */
        add_string(out, SG_RESPONSES_REASONING_TEXT, reasoning, none);
        sg_responses_add_thinking(out, sg_json_get(message, SG_STR("thinking_blocks")));
        r = add_content(out, sg_json_get(message, SG_STR("content")), logprobs, fault);
        if (r)
                return r;
        add_string(out, SG_RESPONSES_REFUSAL, sg_json_get(message, SG_STR("refusal")), none);
        return add_calls(out, sg_json_get(message, SG_STR("tool_calls")), fault);
}

/* ---- answers */

static int answer(struct sg_responses_output *out, struct sg_json_value chat, struct sg_buf *to,
                  struct sg_llm_fault *fault)
{
        struct sg_json_value choice = first_choice(chat), message = sg_json_get(choice, SG_STR("message"));
        struct sg_llm_put o = {.to = to};
        struct sg_usage usage = {0};
        char finish_reason[32];
        int r;

        if (message.kind != SG_JSON_OBJECT) {
                sg_llm_fault_set(fault, "", "the provider's answer holds no message");
                return SG_LLM_E_NOT_JSON;
        }
        sg_responses_take_head(out, chat);
        r = add_message(out, message, sg_json_path(choice, SG_STR("logprobs.content")), fault);
        if (r)
                return r;
        sg_llm_copy_text(finish_reason, sizeof(finish_reason), sg_json_get(choice, SG_STR("finish_reason")));
        (void)read_usage(&usage, chat);
        sg_responses_end(out, finish_reason);
        if (out->put.r)
                return out->put.r;
        sg_responses_put_object(out, &o, finish_reason, &usage);
        return o.r;
}

int sg_chat_answer_to_responses(struct sg_buf *out, struct sg_str body, const struct sg_translate_exchange *x,
                                struct sg_llm_fault *fault)
{
        struct sg_json_value chat = {SG_JSON_OBJECT, sg_llm_trim(body)};
        struct sg_responses_output output;
        int r;

        r = sg_responses_output_init(&output, x, out->max);
        if (!r)
                r = answer(&output, chat, out, fault);
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

static void begin_once(struct stream *s, struct sg_json_value chunk)
{
        if (s->is_begun)
                return;
        sg_responses_take_head(&s->output, chunk);
        sg_responses_begin(&s->output);
        s->is_begun = true;
}

static int on_done(struct stream *s)
{
        begin_once(s, (struct sg_json_value){0});
        sg_responses_end(&s->output, s->finish_reason);
        sg_responses_put_terminal(&s->output, s->finish_reason, &s->usage);
        return s->output.put.r;
}

static void note_end(struct stream *s, struct sg_json_value chunk)
{
        struct sg_json_value reason = sg_json_get(first_choice(chunk), SG_STR("finish_reason"));
        struct sg_usage usage;

        if (reason.kind == SG_JSON_STRING && reason.text.n > 2)
                sg_llm_copy_text(s->finish_reason, sizeof(s->finish_reason), reason);
        if (read_usage(&usage, chunk)) {
                s->usage = usage;
                s->usage.raw = SG_STR_NONE; /* of the event, which goes */
        }
}

static int on_chunk(struct stream *s, struct sg_json_value chunk, struct sg_llm_fault *fault)
{
        struct sg_json_value choice = first_choice(chunk);
        int r;

        if (choice.kind != SG_JSON_NONE) /* Azure's first chunk has neither choice nor model */
                begin_once(s, chunk);
        r = add_message(&s->output, sg_json_get(choice, SG_STR("delta")),
                        sg_json_path(choice, SG_STR("logprobs.content")), fault);
        note_end(s, chunk);
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
        return on_chunk(s, (struct sg_json_value){SG_JSON_OBJECT, data}, fault);
}

const struct sg_translate_way sg_chat_stream_to_responses = {
        .state_bytes = sizeof(struct stream),
        .begin = begin,
        .event = event,
        .done = done,
};
