/*
 * A stream of the messages dialect as chunks of a chat completion. Nearly every event becomes one chunk: what all chunks
 * begin with is made once, and the text between the quotes goes over as it stands, with its escapes, since a fragment may
 * end between the two halves of a surrogate pair.
 *
 * Signed thoughts come back as the first blocks of the client's next request, so only those that stand first are given as
 * blocks, and all of them in one chunk, when something else begins: openai-python cannot join a second list to the first,
 * openai-node would replace the one by the other.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/limits.h"
#include "llm/chunk.h"
#include "llm/stream.h"

enum {
        E_TYPE,
        E_INDEX,
        E_DELTA,
        E_BLOCK,
        E_MESSAGE,
        E_USAGE,
        E_N
};

enum {
        D_TEXT,
        D_PARTIAL_JSON,
        D_THINKING,
        D_SIGNATURE,
        D_STOP_REASON,
        D_STOP_DETAILS,
        D_N
};

struct event {
        struct sg_json_want top[E_N], delta[D_N];
        struct sg_json_inside in_delta;
        const struct sg_sse_event *ev;
};

enum phase {
        PHASE_BEFORE, /* message_start */
        PHASE_BLOCKS,
        PHASE_FINISHED, /* the stop reason was there */
        PHASE_OVER,
};

enum kind {
        KIND_NONE, /* no block is open */
        KIND_TEXT,
        KIND_THINKING,
        KIND_CALL,
        KIND_JSON,  /* the tool that stands for JSON mode */
        KIND_OTHER, /* what chat has no words for */
};

struct state {
        char *model, *request_id; /* of the exchange */
        uint64_t created_sec;
        bool is_json_by_tool;
        enum phase phase;
        enum kind kind;     /* of the open block, */
        uint64_t index;     /* its index, */
        bool has_fragments; /* and whether any of its input came */
        struct sg_chunks chunks;
        struct sg_buf input;              /* of the open block, when it began with some */
        struct sg_buf thought, signature; /* of the open block, while blocks are kept */
        struct sg_buf blocks;             /* of thinking, signed, until something else begins */
        bool is_past_thinking;            /* from then on none is kept */
        struct sg_wording_usage usage;
        struct sg_llm_fault *fault; /* of the call */
};

static int begin_stream(void *state, const struct sg_translate_exchange *x)
{
        struct state *s = state;

        s->created_sec = x->created_sec;
        s->is_json_by_tool = x->is_json_by_tool;
        sg_chunks_init(&s->chunks, x->wants_usage);
        sg_buf_init(&s->input, SG_LLM_HELD_BYTES_MAX);
        sg_buf_init(&s->thought, SG_LLM_HELD_BYTES_MAX);
        sg_buf_init(&s->signature, SG_LLM_HELD_BYTES_MAX);
        sg_buf_init(&s->blocks, SG_LLM_HELD_BYTES_MAX);
        s->model = sg_str_dup(x->model);
        s->request_id = sg_str_dup(x->request_id);
        return s->model && s->request_id ? 0 : -ENOMEM;
}

static void stream_done(void *state)
{
        struct state *s = state;

        sg_chunks_done(&s->chunks);
        sg_buf_done(&s->input);
        sg_buf_done(&s->thought);
        sg_buf_done(&s->signature);
        sg_buf_done(&s->blocks);
        free(s->model);
        free(s->request_id);
}

static int nonsense(struct state *s, const char *what)
{
        sg_llm_fault_set(s->fault, "", "the provider's stream makes no sense: %s", what);
        return SG_LLM_E_NOT_JSON;
}

static int keep(struct state *s, struct sg_buf *b, struct sg_str text)
{
        int r = sg_buf_add(b, text);

        return r == SG_BUF_E_FULL ? nonsense(s, "a block of thinking is too long, or the input of a tool") : r;
}

static void past_thinking(struct state *s)
{
        sg_chunks_put_thinking_blocks(&s->chunks, sg_buf_view(&s->blocks));
        sg_buf_release(&s->blocks);
        sg_buf_release(&s->thought);
        s->is_past_thinking = true;
}

/* ---- blocks */

static int keep_block(struct state *s, struct sg_str block)
{
        int r = sg_buf_length(&s->blocks) ? keep(s, &s->blocks, SG_STR(",")) : 0;

        return r ? r : keep(s, &s->blocks, block);
}

/* A block without a signature is of no use to the client, who could not send it back. */
static int keep_thought(struct state *s)
{
        struct sg_str signature = sg_buf_view(&s->signature);
        int r;

        if (s->is_past_thinking || signature.n == 0)
                return 0;
        r = keep_block(s, SG_STR("{\"type\":\"thinking\",\"thinking\":\""));
        r = r ? r : keep(s, &s->blocks, sg_buf_view(&s->thought));
        r = r ? r : keep(s, &s->blocks, SG_STR("\",\"signature\":\""));
        r = r ? r : keep(s, &s->blocks, signature);
        return r ? r : keep(s, &s->blocks, SG_STR("\"}"));
}

/* The input that came with the begin of the block, or none: nothing else came. */
static int put_whole_input(struct state *s)
{
        struct sg_str text = sg_buf_length(&s->input) ? sg_buf_view(&s->input) : SG_STR("{}");
        struct sg_buf quoted;
        int r;

        sg_buf_init(&quoted, 2 * text.n + 2);
        r = sg_buf_add_json_string(&quoted, text);
        if (!r) {
                text = sg_buf_view(&quoted);
                text = sg_str_make(text.p + 1, text.n - 2);
                if (s->kind == KIND_JSON)
                        sg_chunks_put_content(&s->chunks, text);
                else
                        sg_chunks_put_arguments(&s->chunks, text);
        }
        sg_buf_done(&quoted);
        return r;
}

static int end_block(struct state *s)
{
        int r = 0;

        if (s->kind == KIND_THINKING)
                r = keep_thought(s);
        else if ((s->kind == KIND_CALL || s->kind == KIND_JSON) && !s->has_fragments)
                r = put_whole_input(s);
        s->kind = KIND_NONE;
        return r;
}

enum {
        B_TYPE,
        B_TEXT,
        B_THINKING,
        B_ID,
        B_NAME,
        B_INPUT,
        B_N
};

static int begin_call(struct state *s, const struct sg_json_want w[B_N])
{
        bool is_json = s->is_json_by_tool && sg_json_text_is(w[B_NAME].value, SG_STR(SG_WORDING_JSON_TOOL));
        struct sg_json_value input = w[B_INPUT].value;
        int r;

        s->kind = is_json ? KIND_JSON : KIND_CALL;
        s->has_fragments = false;
        sg_buf_clear(&s->input);
        r = input.kind == SG_JSON_OBJECT && !sg_json_is_empty(input) ? keep(s, &s->input, input.text) : 0;
        if (r || is_json)
                return r;
        sg_chunks_put_call(&s->chunks, w[B_ID].value, w[B_NAME].value, sg_str_from(s->request_id));
        return 0;
}

static int begin_thought(struct state *s, struct sg_str inner)
{
        s->kind = KIND_THINKING;
        sg_buf_clear(&s->thought);
        sg_buf_clear(&s->signature);
        sg_chunks_put_reasoning(&s->chunks, inner);
        return s->is_past_thinking ? 0 : keep(s, &s->thought, inner);
}

static int begin_other(struct state *s, const struct sg_json_want w[B_N])
{
        if (!s->is_past_thinking)
                past_thinking(s);
        if (sg_json_text_is(w[B_TYPE].value, SG_STR("tool_use")))
                return begin_call(s, w);
        if (sg_json_text_is(w[B_TYPE].value, SG_STR("text"))) {
                s->kind = KIND_TEXT;
                sg_chunks_put_content(&s->chunks, sg_wording_inner(w[B_TEXT].value));
        }
        return 0;
}

static int begin_block(struct state *s, struct sg_json_value block)
{
        struct sg_json_want w[B_N] = {
                [B_TYPE] = {.name = SG_STR("type")}, [B_TEXT] = {.name = SG_STR("text")},
                [B_ID] = {.name = SG_STR("id")},     [B_THINKING] = {.name = SG_STR("thinking")},
                [B_NAME] = {.name = SG_STR("name")}, [B_INPUT] = {.name = SG_STR("input")},
        };

        if (block.kind != SG_JSON_OBJECT || sg_json_slice_last(block.text, w, B_N, NULL))
                return nonsense(s, "a content_block_start without a block");
        s->kind = KIND_OTHER;
        if (sg_json_text_is(w[B_TYPE].value, SG_STR("thinking")))
                return begin_thought(s, sg_wording_inner(w[B_THINKING].value));
        if (sg_json_text_is(w[B_TYPE].value, SG_STR("redacted_thinking")))
                return s->is_past_thinking ? 0 : keep_block(s, block.text);
        return begin_other(s, w);
}

/* ---- events */

static int on_message_start(struct state *s, struct sg_json_value message)
{
        if (s->phase != PHASE_BEFORE)
                return nonsense(s, "a second message_start");
        s->phase = PHASE_BLOCKS;
        sg_wording_usage_from_messages(&s->usage, sg_json_get(message, SG_STR("usage")));
        sg_chunks_put_role(&s->chunks, &(struct sg_chunks_head){
                                               .id = sg_json_get(message, SG_STR("id")),
                                               .model = sg_json_get(message, SG_STR("model")),
                                               .request_id = sg_str_from(s->request_id),
                                               .asked_model = sg_str_from(s->model),
                                               .created_sec = s->created_sec,
                                       });
        return 0;
}

static int on_block_start(struct state *s, const struct event *e)
{
        int r = end_block(s); /* of one whose stop is missing: some leave it out */

        if (r)
                return r;
        if (!sg_json_u64(e->top[E_INDEX].value, &s->index))
                return nonsense(s, "a content_block_start without an index");
        return begin_block(s, e->top[E_BLOCK].value);
}

static int on_thought(struct state *s, const struct event *e)
{
        struct sg_str inner = sg_wording_inner(e->delta[D_THINKING].value);

        sg_chunks_put_reasoning(&s->chunks, inner);
        if (s->is_past_thinking)
                return 0;
        if (sg_wording_has_text(e->delta[D_SIGNATURE].value)) {
                sg_buf_clear(&s->signature); /* SDKs take the last one */
                return keep(s, &s->signature, sg_wording_inner(e->delta[D_SIGNATURE].value));
        }
        return keep(s, &s->thought, inner);
}

static int on_block_delta(struct state *s, const struct event *e)
{
        struct sg_str json = sg_wording_inner(e->delta[D_PARTIAL_JSON].value);
        uint64_t index;

        if (s->kind == KIND_NONE || !sg_json_u64(e->top[E_INDEX].value, &index) || index != s->index)
                return nonsense(s, "a delta of a block that is not open");
        if (s->kind == KIND_TEXT)
                sg_chunks_put_content(&s->chunks, sg_wording_inner(e->delta[D_TEXT].value));
        if (s->kind == KIND_THINKING)
                return on_thought(s, e);
        if ((s->kind != KIND_CALL && s->kind != KIND_JSON) || json.n == 0)
                return 0;
        s->has_fragments = true;
        if (s->kind == KIND_JSON)
                sg_chunks_put_content(&s->chunks, json);
        else
                sg_chunks_put_arguments(&s->chunks, json);
        return 0;
}

static int on_block_stop(struct state *s, const struct event *e)
{
        uint64_t index;

        if (s->kind == KIND_NONE || !sg_json_u64(e->top[E_INDEX].value, &index) || index != s->index)
                return nonsense(s, "the stop of a block that is not open");
        return end_block(s);
}

static int on_message_delta(struct state *s, const struct event *e)
{
        struct sg_json_value refusal = sg_json_get(e->delta[D_STOP_DETAILS].value, SG_STR("explanation"));
        int r;

        sg_wording_usage_from_messages(&s->usage, e->top[E_USAGE].value);
        if (s->phase == PHASE_FINISHED || e->delta[D_STOP_REASON].value.kind != SG_JSON_STRING)
                return 0;
        r = end_block(s);
        if (r)
                return r;
        if (!s->is_past_thinking)
                past_thinking(s);
        s->phase = PHASE_FINISHED;
        sg_chunks_put_finish(
                &s->chunks, refusal,
                sg_wording_finish_reason(e->delta[D_STOP_REASON].value, s->is_json_by_tool && s->chunks.n_calls == 0));
        return 0;
}

static int on_message_stop(struct state *s)
{
        if (s->phase != PHASE_FINISHED)
                return nonsense(s, "a message_stop without a stop reason");
        sg_chunks_put_end(&s->chunks, &s->usage);
        s->phase = PHASE_OVER;
        return 0;
}

/* As the judge takes it: what is its end must be an end here. */
static bool is_type(const struct event *e, struct sg_str name)
{
        return sg_llm_stream_is_type(e->top[E_TYPE].value, e->ev, name);
}

/* What is not known is ignored, as Anthropic asks of clients: there may be new kinds of events. */
static int on_event(struct state *s, const struct event *e)
{
        if (is_type(e, SG_STR("message_start")))
                return on_message_start(s, e->top[E_MESSAGE].value);
        if (s->phase == PHASE_BEFORE)
                return is_type(e, SG_STR("ping")) ? 0 : nonsense(s, "it does not begin with message_start");
        if (is_type(e, SG_STR("content_block_delta")))
                return on_block_delta(s, e);
        if (is_type(e, SG_STR("content_block_start")))
                return s->phase == PHASE_BLOCKS ? on_block_start(s, e) : nonsense(s, "a block after the stop reason");
        if (is_type(e, SG_STR("content_block_stop")))
                return on_block_stop(s, e);
        if (is_type(e, SG_STR("message_delta")))
                return on_message_delta(s, e);
        if (is_type(e, SG_STR("message_stop")))
                return on_message_stop(s);
        return 0;
}

static void event_init(struct event *e)
{
        *e = (struct event){
                .top = {[E_TYPE] = {.name = SG_STR("type")},
                        [E_INDEX] = {.name = SG_STR("index")},
                        [E_DELTA] = {.name = SG_STR("delta"), .inside = &e->in_delta},
                        [E_BLOCK] = {.name = SG_STR("content_block")},
                        [E_MESSAGE] = {.name = SG_STR("message")},
                        [E_USAGE] = {.name = SG_STR("usage")}},
                .delta = {[D_TEXT] = {.name = SG_STR("text")},
                          [D_PARTIAL_JSON] = {.name = SG_STR("partial_json")},
                          [D_THINKING] = {.name = SG_STR("thinking")},
                          [D_SIGNATURE] = {.name = SG_STR("signature")},
                          [D_STOP_REASON] = {.name = SG_STR("stop_reason")},
                          [D_STOP_DETAILS] = {.name = SG_STR("stop_details")}},
                .in_delta = {e->delta, D_N, NULL, NULL},
        };
}

static int take_event(void *state, const struct sg_sse_event *ev, struct sg_buf *out, struct sg_llm_fault *fault)
{
        struct state *s = state;
        struct event e;
        int r;

        s->fault = fault;
        if (!ev->has_data || s->phase == PHASE_OVER)
                return 0;
        event_init(&e);
        e.ev = ev;
        if (sg_json_slice_last(ev->data, e.top, E_N, NULL))
                return nonsense(s, "an event that is not a JSON object");
        r = on_event(s, &e);
        return sg_wording_line_give(&s->chunks.line, r, out);
}

const struct sg_translate_way sg_messages_stream_to_chat = {sizeof(struct state), begin_stream, take_event,
                                                            stream_done};
