#include "llm/chunk.h"

#include "base/limits.h"

void sg_chunks_init(struct sg_chunks *c, bool wants_usage)
{
        *c = (struct sg_chunks){.wants_usage = wants_usage};
        sg_wording_line_init(&c->line);
        sg_buf_init(&c->begin, SG_SSE_EVENT_BYTES_MAX);
}

void sg_chunks_done(struct sg_chunks *c)
{
        sg_wording_line_done(&c->line);
        sg_buf_done(&c->begin);
}

static void put_begin(struct sg_chunks *c)
{
        sg_llm_put(&c->line.o, sg_buf_view(&c->begin));
        sg_llm_put(&c->line.o, SG_STR("{\"index\":0,\"delta\":{"));
}

static void put_end(struct sg_chunks *c, struct sg_str finish_reason)
{
        struct sg_llm_put *o = &c->line.o;

        sg_llm_put(o, SG_STR("},\"logprobs\":null,\"finish_reason\":"));
        if (finish_reason.n)
                sg_llm_put_string(o, finish_reason);
        else
                sg_llm_put(o, SG_STR("null"));
        sg_llm_put(o, c->wants_usage ? SG_STR("}],\"usage\":null}\n\n") : SG_STR("}]}\n\n"));
}

static void put_delta(struct sg_chunks *c, struct sg_str before, struct sg_str text, struct sg_str after)
{
        if (text.n == 0)
                return;
        put_begin(c);
        sg_llm_put(&c->line.o, before);
        sg_llm_put(&c->line.o, text);
        sg_llm_put(&c->line.o, after);
        put_end(c, SG_STR(""));
}

void sg_chunks_put_role(struct sg_chunks *c, const struct sg_chunks_head *head)
{
        struct sg_llm_put o = {.to = &c->begin};

        sg_llm_put(&o, SG_STR("data: {\"id\":"));
        sg_wording_put_given(&o, head->id, head->request_id);
        sg_llm_put(&o, SG_STR(",\"object\":\"chat.completion.chunk\",\"created\":"));
        sg_llm_put_u64(&o, head->created_sec);
        sg_llm_put(&o, SG_STR(",\"model\":"));
        sg_wording_put_given(&o, head->model, head->asked_model);
        sg_llm_put(&o, SG_STR(",\"choices\":["));
        c->line.o.r = o.r;
        put_delta(c, SG_STR("\"role\":"), SG_STR("\"assistant\""), SG_STR(",\"content\":\"\""));
}

void sg_chunks_put_content(struct sg_chunks *c, struct sg_str inner)
{
        put_delta(c, SG_STR("\"content\":\""), inner, SG_STR("\""));
}

void sg_chunks_put_reasoning(struct sg_chunks *c, struct sg_str inner)
{
        put_delta(c, SG_STR("\"reasoning_content\":\""), inner, SG_STR("\""));
}

void sg_chunks_put_thinking_blocks(struct sg_chunks *c, struct sg_str list)
{
        put_delta(c, SG_STR("\"thinking_blocks\":["), list, SG_STR("]"));
}

static void put_call_begin(struct sg_chunks *c)
{
        put_begin(c);
        sg_llm_put(&c->line.o, SG_STR("\"tool_calls\":[{\"index\":"));
        sg_llm_put_u64(&c->line.o, c->n_calls - 1);
}

void sg_chunks_put_call(struct sg_chunks *c, struct sg_json_value id, struct sg_json_value name,
                        struct sg_str request_id)
{
        struct sg_llm_put *o = &c->line.o;

        c->n_calls++;
        put_call_begin(c);
        sg_llm_put(o, SG_STR(",\"id\":"));
        sg_wording_put_call_id(o, id, request_id, c->n_calls - 1);
        sg_llm_put(o, SG_STR(",\"type\":\"function\",\"function\":{\"name\":"));
        sg_wording_put_given(o, name, SG_STR(""));
        sg_llm_put(o, SG_STR(",\"arguments\":\"\"}}]"));
        put_end(c, SG_STR(""));
}

void sg_chunks_put_arguments(struct sg_chunks *c, struct sg_str inner)
{
        if (inner.n == 0)
                return;
        put_call_begin(c);
        sg_llm_put(&c->line.o, SG_STR(",\"function\":{\"arguments\":\""));
        sg_llm_put(&c->line.o, inner);
        sg_llm_put(&c->line.o, SG_STR("\"}}]"));
        put_end(c, SG_STR(""));
}

void sg_chunks_put_finish(struct sg_chunks *c, struct sg_json_value refusal, struct sg_str reason)
{
        put_begin(c);
        if (sg_wording_has_text(refusal)) {
                sg_llm_put(&c->line.o, SG_STR("\"refusal\":"));
                sg_llm_put(&c->line.o, refusal.text);
        }
        put_end(c, reason);
}

void sg_chunks_put_end(struct sg_chunks *c, const struct sg_wording_usage *usage)
{
        struct sg_llm_put *o = &c->line.o;

        if (c->wants_usage && usage->is_known) {
                sg_llm_put(o, sg_buf_view(&c->begin));
                sg_llm_put(o, SG_STR("],\"usage\":"));
                sg_wording_put_chat_usage(o, usage);
                sg_llm_put(o, SG_STR("}\n\n"));
        }
        sg_llm_put(o, SG_STR("data: [DONE]\n\n"));
}
