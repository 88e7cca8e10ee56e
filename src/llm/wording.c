#include "llm/wording.h"

#include <stdio.h>

#include "base/limits.h"
#include "llm/usage.h"

struct word {
        struct sg_str from, to;
};

static struct sg_str translate(const struct word *words, size_t n_words, struct sg_json_value v,
                               struct sg_str otherwise)
{
        for (size_t i = 0; v.kind == SG_JSON_STRING && i < n_words; i++)
                if (sg_json_text_is(v, words[i].from))
                        return words[i].to;
        return otherwise;
}

struct sg_str sg_wording_finish_reason(struct sg_json_value stop_reason, bool is_json_alone)
{
        static const struct word words[] = {
                {SG_STR("end_turn"), SG_STR("stop")},          {SG_STR("tool_use"), SG_STR("tool_calls")},
                {SG_STR("max_tokens"), SG_STR("length")},      {SG_STR("stop_sequence"), SG_STR("stop")},
                {SG_STR("refusal"), SG_STR("content_filter")}, {SG_STR("pause_turn"), SG_STR("stop")},
        };

        if (is_json_alone && sg_json_text_is(stop_reason, SG_STR("tool_use")))
                return SG_STR("stop");
        return translate(words, SG_N_ELEMENTS(words), stop_reason, SG_STR("length"));
}

void sg_wording_put_stop(struct sg_llm_put *o, const struct sg_wording_stop *stop)
{
        static const struct word words[] = {
                {SG_STR("stop"), SG_STR("end_turn")},          {SG_STR("tool_calls"), SG_STR("tool_use")},
                {SG_STR("length"), SG_STR("max_tokens")},      {SG_STR("function_call"), SG_STR("tool_use")},
                {SG_STR("content_filter"), SG_STR("refusal")},
        };
        struct sg_str reason = translate(words, SG_N_ELEMENTS(words), stop->finish_reason, SG_STR("max_tokens"));
        bool is_matched = false;

        if (sg_str_eq(reason, SG_STR("end_turn"))) {
                is_matched = !stop->has_calls && !stop->has_refusal && stop->matched.kind == SG_JSON_STRING;
                if (stop->has_refusal)
                        reason = SG_STR("refusal");
                else if (stop->has_calls)
                        reason = SG_STR("tool_use");
                else if (is_matched)
                        reason = SG_STR("stop_sequence");
        }
        sg_llm_put(o, SG_STR("\"stop_reason\":\""));
        sg_llm_put(o, reason);
        sg_llm_put(o, SG_STR("\",\"stop_sequence\":"));
        sg_llm_put(o, is_matched ? stop->matched.text : SG_STR("null"));
}

/* ---- limits */

/* OpenAI's own models: from the first that reasons they refuse max_tokens, and all of them take max_completion_tokens, of which
 * many compatible servers know nothing. gpt-oss is served by those. */
static bool is_of_openai(struct sg_str model)
{
        static const struct sg_str begins[] = {SG_STR("gpt-"), SG_STR("chatgpt-"), SG_STR("codex-"),
                                               SG_STR("computer-use-")};
        struct sg_str vendor;

        while (sg_str_find_byte(model, '/') < model.n) /* "openai/gpt-5" */
                (void)sg_str_cut(&model, '/', &vendor);
        if (model.n >= 2 && model.p[0] == 'o' && model.p[1] >= '1' && model.p[1] <= '9')
                return true;
        for (size_t i = 0; i < SG_N_ELEMENTS(begins); i++)
                if (sg_str_starts(model, begins[i]))
                        return !sg_str_starts(model, SG_STR("gpt-oss"));
        return false;
}

struct sg_str sg_wording_max_tokens(struct sg_str upstream_model)
{
        return is_of_openai(upstream_model) ? SG_STR("max_completion_tokens") : SG_STR("max_tokens");
}

/* ---- usage */

/* Read as the bill is read, so that both tell the same. */
void sg_wording_usage_from_messages(struct sg_wording_usage *u, struct sg_json_value object)
{
        struct sg_messages_usage m = {
                .input = u->fresh_tokens,
                .cache_read = u->cache_read_tokens,
                .cache_write = u->cache_write_tokens,
                .output = u->output_tokens,
                .reasoning = u->reasoning_tokens,
        };

        if (object.kind != SG_JSON_OBJECT || !sg_messages_usage_read(&m, object))
                return;
        *u = (struct sg_wording_usage){
                .is_known = true,
                .fresh_tokens = m.input,
                .cache_read_tokens = m.cache_read,
                .cache_write_tokens = m.cache_write,
                .output_tokens = m.output,
                .reasoning_tokens = m.reasoning,
        };
}

void sg_wording_usage_whole(struct sg_wording_usage *u, struct sg_json_value object)
{
        struct sg_usage read;

        if (!sg_usage_read(&read, object))
                return;
        *u = (struct sg_wording_usage){
                .is_known = true,
                .fresh_tokens = read.input_tokens - read.cached_tokens - read.cache_write_tokens,
                .cache_read_tokens = read.cached_tokens,
                .cache_write_tokens = read.cache_write_tokens,
                .output_tokens = read.output_tokens,
                .reasoning_tokens = read.reasoning_tokens,
        };
}

static void put_count(struct sg_llm_put *o, struct sg_str before, uint64_t n)
{
        sg_llm_put(o, before);
        sg_llm_put_u64(o, n);
}

void sg_wording_put_chat_usage(struct sg_llm_put *o, const struct sg_wording_usage *u)
{
        uint64_t input = u->fresh_tokens + u->cache_read_tokens + u->cache_write_tokens;

        put_count(o, SG_STR("{\"prompt_tokens\":"), input);
        put_count(o, SG_STR(",\"completion_tokens\":"), u->output_tokens);
        put_count(o, SG_STR(",\"total_tokens\":"), input + u->output_tokens);
        put_count(o, SG_STR(",\"prompt_tokens_details\":{\"cached_tokens\":"), u->cache_read_tokens);
        put_count(o, SG_STR(",\"cache_write_tokens\":"), u->cache_write_tokens);
        if (u->reasoning_tokens)
                put_count(o, SG_STR("},\"completion_tokens_details\":{\"reasoning_tokens\":"), u->reasoning_tokens);
        sg_llm_put(o, SG_STR("}}"));
}

void sg_wording_put_messages_usage(struct sg_llm_put *o, const struct sg_wording_usage *u)
{
        put_count(o, SG_STR("{\"input_tokens\":"), u->fresh_tokens);
        put_count(o, SG_STR(",\"cache_creation_input_tokens\":"), u->cache_write_tokens);
        put_count(o, SG_STR(",\"cache_read_input_tokens\":"), u->cache_read_tokens);
        put_count(o, SG_STR(",\"output_tokens\":"), u->output_tokens);
        if (u->reasoning_tokens) {
                put_count(o, SG_STR(",\"output_tokens_details\":{\"thinking_tokens\":"), u->reasoning_tokens);
                sg_llm_put(o, SG_STR("}"));
        }
        sg_llm_put(o, SG_STR("}"));
}

/* ---- strings */

struct sg_str sg_wording_inner(struct sg_json_value v)
{
        return v.kind == SG_JSON_STRING ? sg_str_make(v.text.p + 1, v.text.n - 2) : SG_STR("");
}

bool sg_wording_has_text(struct sg_json_value v)
{
        return v.kind == SG_JSON_STRING && v.text.n > 2;
}

bool sg_wording_is_content(struct sg_json_value v)
{
        return v.kind == SG_JSON_STRING || v.kind == SG_JSON_ARRAY || v.kind == SG_JSON_NULL || v.kind == SG_JSON_NONE;
}

struct sg_json_value sg_wording_string(const struct sg_buf *b)
{
        return (struct sg_json_value){sg_buf_length(b) ? SG_JSON_STRING : SG_JSON_NONE, sg_buf_view(b)};
}

void sg_wording_put_given(struct sg_llm_put *o, struct sg_json_value given, struct sg_str otherwise)
{
        if (sg_wording_has_text(given))
                sg_llm_put(o, given.text);
        else
                sg_llm_put_string(o, otherwise);
}

void sg_wording_put_call_id(struct sg_llm_put *o, struct sg_json_value given, struct sg_str request_id, size_t nth)
{
        char id[SG_REQUEST_ID_BYTES_MAX + 32];

        snprintf(id, sizeof(id), "call_" SG_STR_FMT "_%zu", SG_STR_ARG(request_id), nth);
        sg_wording_put_given(o, given, sg_str_from(id));
}

/* ---- lines */

#define LINE_BYTES_MAX  (2 * (size_t)SG_SSE_EVENT_BYTES_MAX + 2 * (size_t)SG_LLM_HELD_BYTES_MAX)
#define LINE_BYTES_KEPT (64u * 1024u) /* memory of a longer one is given back */

void sg_wording_line_init(struct sg_wording_line *l)
{
        sg_buf_init(&l->buf, LINE_BYTES_MAX);
        l->o = (struct sg_llm_put){.to = &l->buf};
}

void sg_wording_line_done(struct sg_wording_line *l)
{
        sg_buf_done(&l->buf);
}

int sg_wording_line_give(struct sg_wording_line *l, int r, struct sg_buf *out)
{
        if (!r)
                r = l->o.r;
        if (!r)
                r = sg_buf_add(out, sg_buf_view(&l->buf));
        if (sg_buf_length(&l->buf) > LINE_BYTES_KEPT)
                sg_buf_release(&l->buf);
        else
                sg_buf_clear(&l->buf);
        l->o.r = 0;
        return r;
}
