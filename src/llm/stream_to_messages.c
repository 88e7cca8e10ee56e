/*
 * Chunks of a chat completion as a stream of the messages dialect. Which block a piece belongs to, and when it may be
 * written, is the matter of llm/blocks.h; here chunks are read, and the message around the blocks is written. Its end waits
 * for [DONE]: usage comes after the finish reason, and a stream without its terminal event gets none from us.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/limits.h"
#include "llm/blocks.h"
#include "llm/wording.h"

enum {
        K_ID,
        K_MODEL,
        K_CHOICES,
        K_USAGE,
        K_X_GROQ,
        K_N
};

enum {
        C_INDEX,
        C_DELTA,
        C_FINISH_REASON,
        C_STOP_REASON,
        C_USAGE,
        C_N
};

enum {
        D_CONTENT,
        D_REASONING_CONTENT,
        D_REASONING,
        D_THINKING_BLOCKS,
        D_REFUSAL,
        D_TOOL_CALLS,
        D_N
};

/* A chunk, read in one pass, and of its choices the first: a client of messages cannot ask for several. */
struct chunk {
        struct sg_json_want top[K_N], choice[C_N], delta[D_N];
        struct sg_json_inside in_choices, in_delta;
        bool has_choice;
        struct sg_json_value finish_reason, stop_reason, usage; /* of the choice that counts, */
        struct sg_json_value parts[D_N];                        /* and its delta */
};

enum phase {
        PHASE_BEFORE, /* the first choice */
        PHASE_BLOCKS,
        PHASE_FINISHED, /* the finish reason was there */
        PHASE_OVER,
};

struct state {
        char *model, *request_id; /* of the exchange */
        enum phase phase;
        bool has_refusal;
        struct sg_wording_line line; /* the events of one chunk */
        struct sg_blocks blocks;
        struct sg_buf finish_reason, matched; /* JSON strings, until they are told */
        struct sg_wording_usage usage;
};

static int begin_stream(void *state, const struct sg_translate_exchange *x)
{
        struct state *s = state;

        sg_wording_line_init(&s->line);
        sg_buf_init(&s->finish_reason, SG_SSE_EVENT_BYTES_MAX);
        sg_buf_init(&s->matched, SG_SSE_EVENT_BYTES_MAX);
        s->model = sg_str_dup(x->model);
        s->request_id = sg_str_dup(x->request_id);
        sg_blocks_init(&s->blocks, &s->line.o, sg_str_from(s->request_id));
        return s->model && s->request_id ? 0 : -ENOMEM;
}

static void stream_done(void *state)
{
        struct state *s = state;

        sg_blocks_done(&s->blocks);
        sg_wording_line_done(&s->line);
        sg_buf_done(&s->finish_reason);
        sg_buf_done(&s->matched);
        free(s->model);
        free(s->request_id);
}

/* ---- reading a chunk */

static void on_choice(void *owner)
{
        struct chunk *c = owner;
        uint64_t index;

        if (sg_json_u64(c->choice[C_INDEX].value, &index) && index > 0)
                return;
        c->has_choice = true;
        c->finish_reason = c->choice[C_FINISH_REASON].value;
        c->stop_reason = c->choice[C_STOP_REASON].value;
        c->usage = c->choice[C_USAGE].value;
        for (size_t i = 0; i < D_N; i++)
                c->parts[i] =
                        c->choice[C_DELTA].value.kind == SG_JSON_OBJECT ? c->delta[i].value : (struct sg_json_value){0};
}

static void chunk_init(struct chunk *c)
{
        *c = (struct chunk){
                .top = {[K_ID] = {.name = SG_STR("id")},
                        [K_MODEL] = {.name = SG_STR("model")},
                        [K_CHOICES] = {.name = SG_STR("choices"), .inside = &c->in_choices},
                        [K_USAGE] = {.name = SG_STR("usage")},
                        [K_X_GROQ] = {.name = SG_STR("x_groq")}},
                .choice = {[C_INDEX] = {.name = SG_STR("index")},
                           [C_DELTA] = {.name = SG_STR("delta"), .inside = &c->in_delta},
                           [C_FINISH_REASON] = {.name = SG_STR("finish_reason")},
                           [C_STOP_REASON] = {.name = SG_STR("stop_reason")},
                           [C_USAGE] = {.name = SG_STR("usage")}},
                .delta = {[D_CONTENT] = {.name = SG_STR("content")},
                          [D_REASONING_CONTENT] = {.name = SG_STR("reasoning_content")},
                          [D_REASONING] = {.name = SG_STR("reasoning")},
                          [D_THINKING_BLOCKS] = {.name = SG_STR("thinking_blocks")},
                          [D_REFUSAL] = {.name = SG_STR("refusal")},
                          [D_TOOL_CALLS] = {.name = SG_STR("tool_calls")}},
                .in_choices = {c->choice, C_N, on_choice, c},
                .in_delta = {c->delta, D_N, NULL, NULL},
        };
}

static bool makes_sense(const struct chunk *c)
{
        const enum sg_json_kind choices = c->top[K_CHOICES].value.kind;

        return (choices == SG_JSON_ARRAY || choices == SG_JSON_NULL || choices == SG_JSON_NONE) &&
               sg_wording_is_content(c->parts[D_CONTENT]);
}

/* ---- the parts of a delta */

static int add_thinking_block(struct state *s, struct sg_json_value block, bool is_told, struct sg_llm_fault *fault)
{
        struct sg_json_value type = sg_json_get(block, SG_STR("type"));
        struct sg_json_value signature = sg_json_get(block, SG_STR("signature"));
        struct sg_str inner = sg_wording_inner(sg_json_get(block, SG_STR("thinking")));

        if (sg_json_text_is(type, SG_STR("redacted_thinking")))
                return sg_blocks_add_redacted(&s->blocks, block.text, fault);
        if (sg_wording_has_text(signature))
                return sg_blocks_add_signed(&s->blocks, inner, sg_wording_inner(signature), fault);
        return is_told ? 0 : sg_blocks_add_text(&s->blocks, SG_BLOCK_THINKING, inner, fault);
}

/* Some give the text as reasoning_content and once more in thinking_blocks, piece by piece and signed at the end. */
static int add_reasoning(struct state *s, const struct chunk *c, struct sg_llm_fault *fault)
{
        struct sg_json_value text = c->parts[D_REASONING_CONTENT], blocks = c->parts[D_THINKING_BLOCKS], block;
        size_t at = 0;
        int r;

        if (!sg_wording_has_text(text))
                text = c->parts[D_REASONING];
        r = sg_blocks_add_text(&s->blocks, SG_BLOCK_THINKING, sg_wording_inner(text), fault);
        while (!r && blocks.kind == SG_JSON_ARRAY && sg_json_each(blocks, &at, NULL, &block))
                r = add_thinking_block(s, block, sg_wording_has_text(text), fault);
        return r;
}

static int add_refusal(struct state *s, struct sg_json_value refusal, struct sg_llm_fault *fault)
{
        s->has_refusal |= sg_wording_has_text(refusal);
        return sg_blocks_add_text(&s->blocks, SG_BLOCK_TEXT, sg_wording_inner(refusal), fault);
}

static int add_content(struct state *s, struct sg_json_value content, struct sg_llm_fault *fault)
{
        struct sg_json_value part;
        size_t at = 0;
        int r;

        r = sg_blocks_add_text(&s->blocks, SG_BLOCK_TEXT, sg_wording_inner(content), fault);
        while (!r && content.kind == SG_JSON_ARRAY && sg_json_each(content, &at, NULL, &part)) {
                r = sg_blocks_add_text(&s->blocks, SG_BLOCK_TEXT, sg_wording_inner(sg_json_get(part, SG_STR("text"))),
                                       fault);
                r = r ? r : add_refusal(s, sg_json_get(part, SG_STR("refusal")), fault);
        }
        return r;
}

enum {
        T_INDEX,
        T_ID,
        T_FUNCTION,
        T_N
};

enum {
        F_NAME,
        F_ARGUMENTS,
        F_N
};

static int add_call(struct state *s, struct sg_json_value call, struct sg_llm_fault *fault)
{
        struct sg_json_want f[F_N] = {
                [F_NAME] = {.name = SG_STR("name")},
                [F_ARGUMENTS] = {.name = SG_STR("arguments")},
        };
        const struct sg_json_inside in_function = {f, F_N, NULL, NULL};
        struct sg_json_want w[T_N] = {
                [T_INDEX] = {.name = SG_STR("index")},
                [T_ID] = {.name = SG_STR("id")},
                [T_FUNCTION] = {.name = SG_STR("function"), .inside = &in_function},
        };

        if (call.kind != SG_JSON_OBJECT || sg_json_slice_last(call.text, w, T_N, NULL) ||
            w[T_FUNCTION].value.kind != SG_JSON_OBJECT)
                return 0;
        return sg_blocks_add_call(&s->blocks,
                                  &(struct sg_block_call){.index = w[T_INDEX].value,
                                                          .id = w[T_ID].value,
                                                          .name = f[F_NAME].value,
                                                          .arguments = f[F_ARGUMENTS].value},
                                  fault);
}

static int add_delta(struct state *s, const struct chunk *c, struct sg_llm_fault *fault)
{
        struct sg_json_value calls = c->parts[D_TOOL_CALLS], call;
        size_t at = 0;
        int r;

        r = add_reasoning(s, c, fault);
        r = r ? r : add_content(s, c->parts[D_CONTENT], fault);
        r = r ? r : add_refusal(s, c->parts[D_REFUSAL], fault);
        while (!r && calls.kind == SG_JSON_ARRAY && sg_json_each(calls, &at, NULL, &call))
                r = add_call(s, call, fault);
        return r;
}

/* ---- the message around the blocks */

static void put_message_start(struct state *s, const struct chunk *c)
{
        sg_llm_put(&s->line.o, SG_STR("event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":"));
        sg_wording_put_given(&s->line.o, c->top[K_ID].value, sg_str_from(s->request_id));
        sg_llm_put(&s->line.o, SG_STR(",\"type\":\"message\",\"role\":\"assistant\",\"model\":"));
        sg_wording_put_given(&s->line.o, c->top[K_MODEL].value, sg_str_from(s->model));
        sg_llm_put(&s->line.o, SG_STR(",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":"));
        sg_wording_put_messages_usage(&s->line.o, &s->usage);
        sg_llm_put(&s->line.o, SG_STR("}}\n\n"));
}

static void put_message_end(struct state *s)
{
        sg_llm_put(&s->line.o, SG_STR("event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{"));
        sg_wording_put_stop(&s->line.o, &(struct sg_wording_stop){
                                                .finish_reason = sg_wording_string(&s->finish_reason),
                                                .matched = sg_wording_string(&s->matched),
                                                .has_calls = s->blocks.n_calls > 0,
                                                .has_refusal = s->has_refusal,
                                        });
        sg_llm_put(&s->line.o, SG_STR("},\"usage\":"));
        sg_wording_put_messages_usage(&s->line.o, &s->usage);
        sg_llm_put(&s->line.o, SG_STR("}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"));
}

static int on_finish(struct state *s, const struct chunk *c, struct sg_llm_fault *fault)
{
        int r = sg_blocks_end(&s->blocks,
                              fault); /* not at the end: a client may call its tools while usage is awaited */

        if (r || s->phase == PHASE_FINISHED)
                return r;
        s->phase = PHASE_FINISHED;
        if (c->stop_reason.kind == SG_JSON_STRING)
                r = sg_buf_add(&s->matched, c->stop_reason.text);
        return r ? r : sg_buf_add(&s->finish_reason, c->finish_reason.text);
}

static int on_chunk(struct state *s, struct sg_str data, struct sg_llm_fault *fault)
{
        struct chunk c;
        int r;

        chunk_init(&c);
        if (sg_json_slice_last(data, c.top, K_N, NULL)) {
                sg_llm_fault_set(fault, "", "the provider sent an event that is not a JSON object");
                return SG_LLM_E_NOT_JSON;
        }
        if (c.top[K_X_GROQ].n)
                sg_wording_usage_whole(&s->usage, sg_json_get(c.top[K_X_GROQ].value, SG_STR("usage")));
        sg_wording_usage_whole(&s->usage, c.usage);
        sg_wording_usage_whole(&s->usage, c.top[K_USAGE].value);
        if (!makes_sense(&c)) {
                sg_llm_fault_set(fault, "", "the provider sent a chunk that makes no sense");
                return SG_LLM_E_NOT_JSON;
        }
        if (!c.has_choice)
                return 0;
        if (s->phase == PHASE_BEFORE) {
                put_message_start(s, &c);
                s->phase = PHASE_BLOCKS;
        }
        r = add_delta(s, &c, fault);
        if (!r && sg_wording_has_text(c.finish_reason))
                r = on_finish(s, &c, fault);
        return r;
}

static int on_done(struct state *s, struct sg_llm_fault *fault)
{
        int r;

        if (s->phase != PHASE_FINISHED) {
                sg_llm_fault_set(fault, "", "the provider ended the stream without a finish reason");
                return SG_LLM_E_NOT_JSON;
        }
        r = sg_blocks_end(&s->blocks, fault);
        put_message_end(s);
        s->phase = PHASE_OVER;
        return r;
}

static int take_event(void *state, const struct sg_sse_event *ev, struct sg_buf *out, struct sg_llm_fault *fault)
{
        struct state *s = state;
        int r;

        if (!ev->has_data || s->phase == PHASE_OVER)
                return 0;
        if (sg_str_eq(sg_llm_trim(ev->data), SG_STR("[DONE]")))
                r = on_done(s, fault);
        else
                r = on_chunk(s, ev->data, fault);
        return sg_wording_line_give(&s->line, r, out);
}

const struct sg_translate_way sg_chat_stream_to_messages = {sizeof(struct state), begin_stream, take_event,
                                                            stream_done};
