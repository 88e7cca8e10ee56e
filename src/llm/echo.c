/* The practice provider: no account, no network, no randomness in what it says. It answers with the last user message.
 */
#include "llm/echo.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/random.h"
#include "llm/request.h"
#include "llm/text.h"

enum {
        PHASE_ROLE,
        PHASE_WORDS,
        PHASE_FINISH,
        PHASE_USAGE,
        PHASE_DONE,
        PHASE_OVER
};

static int read_texts(struct sg_echo *e, struct sg_str body, struct sg_llm_fault *fault)
{
        struct sg_json_value whole = {SG_JSON_OBJECT, sg_llm_trim(body)};

        if (e->op == SG_OP_CHAT)
                return sg_echo_read_messages(e, sg_json_get(whole, SG_STR("messages")), fault);
        if (e->op == SG_OP_COMPLETION)
                return sg_echo_read_prompt(e, sg_json_get(whole, SG_STR("prompt")), fault);
        return sg_echo_read_input(e, whole, fault);
}

/* The answer's words are counted, and cut when they are more than the client wants. */
static int settle(struct sg_echo *e, uint64_t max_tokens)
{
        struct sg_str text = sg_buf_view(&e->text);
        uint64_t n = 0;
        size_t at = 0;

        e->input_tokens = SG_MAX(e->input_tokens, UINT64_C(1));
        if (e->op == SG_OP_EMBEDDINGS)
                return 0;
        if (sg_echo_is_blank(text)) {
                e->output_tokens = 1;
                e->n_text = SG_STR("(empty)").n;
                sg_buf_clear(&e->text);
                return sg_buf_add(&e->text, SG_STR("(empty)"));
        }
        while (at < text.n && (max_tokens == 0 || n < max_tokens)) {
                at = sg_echo_piece_end(text, at);
                n++;
        }
        e->output_tokens = n;
        e->is_cut = at < text.n;
        e->n_text = at;
        return 0;
}

int sg_echo_init(struct sg_echo *e, enum sg_operation op, struct sg_str body, struct sg_llm_fault *fault)
{
        struct sg_llm_request req;
        uint64_t id;
        int r;

        SG_ASSERT(op == SG_OP_CHAT || op == SG_OP_COMPLETION || op == SG_OP_EMBEDDINGS);
        *e = (struct sg_echo){.op = op, .created_sec = sg_clock_wall_usec() / SG_USEC_PER_SEC};
        sg_buf_init(&e->text, body.n + 64);
        sg_buf_init(&e->model_copy, sizeof(req.model_name));
        sg_buf_init(&e->line, SG_SSE_EVENT_BYTES_MAX);
        sg_buf_init(&e->hashes, body.n * sizeof(uint64_t));

        r = sg_llm_request_read_fields(&req, op, body, false, fault);
        if (!r)
                r = sg_buf_add(&e->model_copy, sg_str_from(req.model_name[0] ? req.model_name : "echo"));
        if (!r)
                r = read_texts(e, body, fault);
        if (!r)
                r = settle(e, req.max_tokens);
        if (r) {
                sg_echo_done(e);
                return r;
        }
        id = sg_random_u64();
        snprintf(e->id, sizeof(e->id), "%s-echo-%016llx", op == SG_OP_COMPLETION ? "cmpl" : "chatcmpl",
                 (unsigned long long)id);
        e->model = sg_buf_view(&e->model_copy);
        e->is_stream = req.is_stream;
        e->wants_usage = req.wants_usage;
        e->phase = op == SG_OP_COMPLETION ? PHASE_WORDS : PHASE_ROLE;
        return 0;
}

static struct sg_str answer_text(const struct sg_echo *e)
{
        return sg_str_head(sg_buf_view(&e->text), e->n_text);
}

void sg_echo_done(struct sg_echo *e)
{
        sg_buf_done(&e->text);
        sg_buf_done(&e->model_copy);
        sg_buf_done(&e->line);
        sg_buf_done(&e->hashes);
}

static const char *finish_reason(const struct sg_echo *e)
{
        return e->is_cut ? "length" : "stop";
}

static void put_head(struct sg_llm_put *o, const struct sg_echo *e, const char *object)
{
        sg_llm_put(o, SG_STR("{\"id\":\""));
        sg_llm_put(o, sg_str_from(e->id));
        sg_llm_put(o, SG_STR("\",\"object\":\""));
        sg_llm_put(o, sg_str_from(object));
        sg_llm_put(o, SG_STR("\",\"created\":"));
        sg_llm_put_u64(o, e->created_sec);
        sg_llm_put(o, SG_STR(",\"model\":"));
        sg_llm_put_string(o, e->model);
        sg_llm_put(o, SG_STR(",\"choices\":["));
}

static void put_usage(struct sg_llm_put *o, const struct sg_echo *e)
{
        sg_llm_put(o, SG_STR(",\"usage\":{\"prompt_tokens\":"));
        sg_llm_put_u64(o, e->input_tokens);
        sg_llm_put(o, SG_STR(",\"completion_tokens\":"));
        sg_llm_put_u64(o, e->output_tokens);
        sg_llm_put(o, SG_STR(",\"total_tokens\":"));
        sg_llm_put_u64(o, e->input_tokens + e->output_tokens);
        sg_llm_put(o, SG_STR("}"));
}

static void put_finish(struct sg_llm_put *o, const char *reason)
{
        sg_llm_put(o, SG_STR(",\"logprobs\":null,\"finish_reason\":"));
        if (reason)
                sg_llm_put_string(o, sg_str_from(reason));
        else
                sg_llm_put(o, SG_STR("null"));
        sg_llm_put(o, SG_STR("}]"));
}

int sg_echo_add_answer(struct sg_echo *e, struct sg_buf *b)
{
        bool is_chat = e->op == SG_OP_CHAT;
        struct sg_llm_put o = {.to = b};

        if (e->op == SG_OP_EMBEDDINGS)
                return sg_echo_add_vectors(e, b);
        put_head(&o, e, is_chat ? "chat.completion" : "text_completion");
        sg_llm_put(&o, is_chat ? SG_STR("{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":")
                               : SG_STR("{\"index\":0,\"text\":"));
        sg_llm_put_string(&o, answer_text(e));
        if (is_chat)
                sg_llm_put(&o, SG_STR(",\"refusal\":null}"));
        put_finish(&o, finish_reason(e));
        put_usage(&o, e);
        sg_llm_put(&o, SG_STR("}"));
        return o.r;
}

/* A chunk with this text (a piece of the answer, or nothing) and perhaps the finish reason. */
static void put_chunk(struct sg_llm_put *o, const struct sg_echo *e, struct sg_str text, const char *reason)
{
        put_head(o, e, e->op == SG_OP_CHAT ? "chat.completion.chunk" : "text_completion");
        if (e->op == SG_OP_COMPLETION) {
                sg_llm_put(o, SG_STR("{\"index\":0,\"text\":"));
                sg_llm_put_string(o, text);
        } else if (reason) {
                sg_llm_put(o, SG_STR("{\"index\":0,\"delta\":{}"));
        } else {
                sg_llm_put(o, e->phase == PHASE_ROLE
                                      ? SG_STR("{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":")
                                      : SG_STR("{\"index\":0,\"delta\":{\"content\":"));
                sg_llm_put_string(o, text);
                sg_llm_put(o, SG_STR("}"));
        }
        put_finish(o, reason);
        if (e->wants_usage)
                sg_llm_put(o, SG_STR(",\"usage\":null"));
}

static unsigned after(const struct sg_echo *e, size_t at)
{
        switch (e->phase) {
        case PHASE_WORDS:
                return at < e->n_text ? PHASE_WORDS : PHASE_FINISH;
        case PHASE_FINISH:
                return e->wants_usage ? PHASE_USAGE : PHASE_DONE;
        default:
                return e->phase + 1;
        }
}

int sg_echo_add_event(struct sg_echo *e, struct sg_buf *b, bool *ret_last)
{
        struct sg_str text = answer_text(e);
        struct sg_llm_put o = {.to = &e->line};
        size_t at = e->at;

        SG_ASSERT(e->op != SG_OP_EMBEDDINGS && e->phase < PHASE_OVER);
        sg_buf_clear(&e->line);
        sg_llm_put(&o, SG_STR("data: "));
        if (e->phase == PHASE_DONE) {
                sg_llm_put(&o, SG_STR("[DONE]"));
        } else if (e->phase == PHASE_USAGE) {
                put_head(&o, e, e->op == SG_OP_CHAT ? "chat.completion.chunk" : "text_completion");
                sg_llm_put(&o, SG_STR("]"));
                put_usage(&o, e);
        } else {
                if (e->phase == PHASE_WORDS)
                        at = sg_echo_piece_end(text, e->at);
                put_chunk(&o, e, sg_str_make(text.p + e->at, at - e->at),
                          e->phase == PHASE_FINISH ? finish_reason(e) : NULL);
        }
        sg_llm_put(&o, e->phase == PHASE_DONE ? SG_STR("\n\n") : SG_STR("}\n\n"));
        if (!o.r)
                o.r = sg_buf_add(b, sg_buf_view(&e->line));
        if (o.r)
                return o.r;
        e->at = at;
        e->phase = after(e, at);
        *ret_last = e->phase == PHASE_OVER;
        return 0;
}
