/*
 * A request of the Responses dialect, as far as it keeps nothing at the provider, as a chat completion. What refers to
 * something kept (an earlier response, a conversation, a prompt) and what runs there (background, built-in tools) is refused.
 */
#include "llm/responses.h"
#include "llm/wording.h"

#define KEPT "refers to what a provider keeps: send the whole conversation in 'input'; this model's provider keeps none"

enum {
        R_MODEL,
        R_INPUT,
        R_INSTRUCTIONS,
        R_STREAM,
        R_TOOLS,
        R_TOOL_CHOICE,
        R_TEXT,
        R_REASONING,
        R_INCLUDE,
        R_TOP_LOGPROBS,
        R_SERVICE_TIER,
        R_STORE,
        R_BACKGROUND,
        R_METADATA, /* stands in the answer */
        R_PREVIOUS,
        R_CONVERSATION,
        R_PROMPT,
        R_SAME, /* from here on: as they are, under the second name */
        R_MAX_TOKENS = R_SAME,
        R_TEMPERATURE,
        R_TOP_P,
        R_PARALLEL,
        R_USER,
        R_SAFETY,
        R_ADVICE, /* from here on: no words for it, and the answer is the same */
        R_CACHE_KEY = R_ADVICE,
        R_CACHE_OPTIONS,
        R_CACHE_RETENTION,
        R_TRUNCATION,
        R_MAX_TOOL_CALLS, /* of built-in tools */
        R_STREAM_OPTIONS,
        R_N
};

static const struct sg_str names[R_N] = {
        [R_MODEL] = SG_STR("model"),
        [R_INPUT] = SG_STR("input"),
        [R_INSTRUCTIONS] = SG_STR("instructions"),
        [R_STREAM] = SG_STR("stream"),
        [R_TOOLS] = SG_STR("tools"),
        [R_TOOL_CHOICE] = SG_STR("tool_choice"),
        [R_TEXT] = SG_STR("text"),
        [R_REASONING] = SG_STR("reasoning"),
        [R_INCLUDE] = SG_STR("include"),
        [R_TOP_LOGPROBS] = SG_STR("top_logprobs"),
        [R_SERVICE_TIER] = SG_STR("service_tier"),
        [R_STORE] = SG_STR("store"),
        [R_BACKGROUND] = SG_STR("background"),
        [R_METADATA] = SG_STR("metadata"),
        [R_PREVIOUS] = SG_STR("previous_response_id"),
        [R_CONVERSATION] = SG_STR("conversation"),
        [R_PROMPT] = SG_STR("prompt"),
        [R_MAX_TOKENS] = SG_STR("max_output_tokens"),
        [R_TEMPERATURE] = SG_STR("temperature"),
        [R_TOP_P] = SG_STR("top_p"),
        [R_PARALLEL] = SG_STR("parallel_tool_calls"),
        [R_USER] = SG_STR("user"),
        [R_SAFETY] = SG_STR("safety_identifier"),
        [R_CACHE_KEY] = SG_STR("prompt_cache_key"),
        [R_CACHE_OPTIONS] = SG_STR("prompt_cache_options"),
        [R_CACHE_RETENTION] = SG_STR("prompt_cache_retention"),
        [R_TRUNCATION] = SG_STR("truncation"),
        [R_MAX_TOOL_CALLS] = SG_STR("max_tool_calls"),
        [R_STREAM_OPTIONS] = SG_STR("stream_options"),
};

struct request {
        struct sg_llm_reader at;
        struct sg_llm_put o;
        struct sg_json_value m[R_N];
};

static void put_member(struct request *q, struct sg_str name, struct sg_json_value v)
{
        if (v.kind == SG_JSON_NONE)
                return;
        sg_llm_put(&q->o, SG_STR(",\""));
        sg_llm_put(&q->o, name);
        sg_llm_put(&q->o, SG_STR("\":"));
        sg_llm_put(&q->o, v.text);
}

/* ---- what cannot be had here */

static int refuse_kept(struct request *q)
{
        static const unsigned kept[] = {R_PREVIOUS, R_CONVERSATION, R_PROMPT};

        for (size_t i = 0; i < SG_N_ELEMENTS(kept); i++)
                if (q->m[kept[i]].kind != SG_JSON_NONE)
                        return sg_llm_refuse_member(&q->at, names[kept[i]].p, KEPT);
        if (sg_json_is_true(q->m[R_BACKGROUND]))
                return sg_llm_refuse_member(&q->at, "background",
                                            "cannot be true: this model's provider answers at once or not at all");
        if (sg_json_is_true(q->m[R_STORE]))
                return sg_llm_refuse_member(&q->at, "store",
                                            "cannot be true: this model's provider keeps no answers; leave it out");
        return 0;
}

static int check_kinds(struct request *q)
{
        static const struct {
                unsigned which;
                enum sg_json_kind kind;
        } kinds[] = {
                {R_INSTRUCTIONS, SG_JSON_STRING}, {R_STREAM, SG_JSON_TRUE},      {R_TOOLS, SG_JSON_ARRAY},
                {R_TEXT, SG_JSON_OBJECT},         {R_REASONING, SG_JSON_OBJECT}, {R_INCLUDE, SG_JSON_ARRAY},
                {R_STORE, SG_JSON_TRUE},          {R_BACKGROUND, SG_JSON_TRUE},  {R_TOP_LOGPROBS, SG_JSON_NUMBER},
                {R_MAX_TOKENS, SG_JSON_NUMBER},   {R_PARALLEL, SG_JSON_TRUE},    {R_METADATA, SG_JSON_OBJECT},
        };
        int r = 0;

        for (size_t i = 0; !r && i < SG_N_ELEMENTS(kinds); i++)
                r = sg_llm_may_be(&q->at, names[kinds[i].which].p, q->m[kinds[i].which], kinds[i].kind);
        if (r || q->m[R_INPUT].kind == SG_JSON_STRING || q->m[R_INPUT].kind == SG_JSON_ARRAY)
                return r;
        if (q->m[R_INPUT].kind == SG_JSON_NONE)
                return sg_llm_refuse_member(&q->at, "input", "is missing");
        return sg_llm_refuse_member(&q->at, "input", "must be a string or an array, not %s",
                                    sg_llm_kind_phrase(q->m[R_INPUT].kind));
}

/* ---- tools */

static int put_tool(struct request *q, struct sg_json_value tool)
{
        static const struct sg_str fields[] = {SG_STR("type"), SG_STR("name"), SG_STR("description"),
                                               SG_STR("parameters"), SG_STR("strict")};
        struct sg_json_value type = sg_json_get(tool, SG_STR("type")), m[SG_N_ELEMENTS(fields)];
        int r;

        if (type.kind == SG_JSON_STRING && !sg_json_text_is(type, SG_STR("function")))
                return sg_llm_refuse_member(&q->at, "type", "must be 'function': this model's provider runs no tools");
        r = sg_llm_read_members(&q->at, tool, fields, SG_N_ELEMENTS(fields), m);
        if (!r)
                r = sg_llm_must_be(&q->at, "type", m[0], SG_JSON_STRING);
        if (!r)
                r = sg_llm_must_be(&q->at, "name", m[1], SG_JSON_STRING);
        if (r)
                return r;
        sg_llm_put(&q->o, SG_STR("{\"type\":\"function\",\"function\":{\"name\":"));
        sg_llm_put(&q->o, m[1].text);
        for (size_t i = 2; i < SG_N_ELEMENTS(fields); i++)
                put_member(q, fields[i], m[i]);
        sg_llm_put(&q->o, SG_STR("}}"));
        return 0;
}

static int put_tools(struct request *q)
{
        size_t walk = 0, i = 0, mark = sg_llm_enter(&q->at, SG_STR("tools"));
        struct sg_json_value tool;
        int r = 0;

        if (q->m[R_TOOLS].kind == SG_JSON_ARRAY && !sg_json_is_empty(q->m[R_TOOLS])) {
                sg_llm_put(&q->o, SG_STR(",\"tools\":["));
                while (!r && sg_json_each(q->m[R_TOOLS], &walk, NULL, &tool)) {
                        size_t inner = sg_llm_enter_index(&q->at, i);

                        if (i++)
                                sg_llm_put(&q->o, SG_STR(","));
                        r = put_tool(q, tool);
                        if (!r)
                                sg_llm_leave(&q->at, inner);
                }
                sg_llm_put(&q->o, SG_STR("]"));
        }
        if (!r)
                sg_llm_leave(&q->at, mark);
        return r;
}

static int put_tool_choice(struct request *q)
{
        static const struct sg_str fields[] = {SG_STR("type"), SG_STR("name")};
        struct sg_json_value choice = q->m[R_TOOL_CHOICE], m[SG_N_ELEMENTS(fields)];
        size_t mark;
        int r;

        if (choice.kind == SG_JSON_NONE || choice.kind == SG_JSON_STRING) {
                put_member(q, SG_STR("tool_choice"), choice);
                return 0;
        }
        mark = sg_llm_enter(&q->at, SG_STR("tool_choice"));
        r = sg_llm_read_members(&q->at, choice, fields, SG_N_ELEMENTS(fields), m);
        if (!r)
                r = sg_llm_must_be(&q->at, "type", m[0], SG_JSON_STRING);
        if (!r && !sg_json_text_is(m[0], SG_STR("function")))
                r = sg_llm_refuse_inexpressible_member(&q->at, "type");
        if (!r)
                r = sg_llm_must_be(&q->at, "name", m[1], SG_JSON_STRING);
        if (r)
                return r;
        sg_llm_leave(&q->at, mark);
        sg_llm_put(&q->o, SG_STR(",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":"));
        sg_llm_put(&q->o, m[1].text);
        sg_llm_put(&q->o, SG_STR("}}"));
        return 0;
}

/* ---- text and reasoning */

static int put_format(struct request *q, struct sg_json_value format)
{
        static const struct sg_str fields[] = {SG_STR("type"), SG_STR("name"), SG_STR("schema"), SG_STR("strict"),
                                               SG_STR("description")};
        struct sg_json_value m[SG_N_ELEMENTS(fields)];
        int r;

        r = sg_llm_read_members(&q->at, format, fields, SG_N_ELEMENTS(fields), m);
        if (!r)
                r = sg_llm_must_be(&q->at, "type", m[0], SG_JSON_STRING);
        if (r)
                return r;
        if (sg_json_text_is(m[0], SG_STR("text")))
                return 0;
        if (sg_json_text_is(m[0], SG_STR("json_object"))) {
                sg_llm_put(&q->o, SG_STR(",\"response_format\":{\"type\":\"json_object\"}"));
                return 0;
        }
        if (!sg_json_text_is(m[0], SG_STR("json_schema")))
                return sg_llm_refuse_inexpressible_member(&q->at, "type");
        r = sg_llm_must_be(&q->at, "name", m[1], SG_JSON_STRING);
        if (!r)
                r = sg_llm_must_be(&q->at, "schema", m[2], SG_JSON_OBJECT);
        if (r)
                return r;
        sg_llm_put(&q->o, SG_STR(",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":"));
        sg_llm_put(&q->o, m[1].text);
        for (size_t i = 2; i < SG_N_ELEMENTS(fields); i++)
                put_member(q, fields[i], m[i]);
        sg_llm_put(&q->o, SG_STR("}}"));
        return 0;
}

static int put_text(struct request *q)
{
        static const struct sg_str fields[] = {SG_STR("format"), SG_STR("verbosity")};
        struct sg_json_value m[SG_N_ELEMENTS(fields)];
        size_t mark = sg_llm_enter(&q->at, SG_STR("text")), inner;
        int r;

        if (q->m[R_TEXT].kind != SG_JSON_NONE) {
                r = sg_llm_read_members(&q->at, q->m[R_TEXT], fields, SG_N_ELEMENTS(fields), m);
                inner = sg_llm_enter(&q->at, SG_STR("format"));
                if (!r && m[0].kind != SG_JSON_NONE)
                        r = put_format(q, m[0]);
                if (r)
                        return r;
                sg_llm_leave(&q->at, inner);
                put_member(q, SG_STR("verbosity"), m[1]);
        }
        sg_llm_leave(&q->at, mark);
        return 0;
}

static int put_reasoning(struct request *q)
{
        static const struct sg_str fields[] = {SG_STR("effort"), SG_STR("summary"), SG_STR("generate_summary")};
        struct sg_json_value m[SG_N_ELEMENTS(fields)];
        size_t mark = sg_llm_enter(&q->at, SG_STR("reasoning"));
        int r;

        if (q->m[R_REASONING].kind != SG_JSON_NONE) {
                r = sg_llm_read_members(&q->at, q->m[R_REASONING], fields, SG_N_ELEMENTS(fields), m);
                if (r)
                        return r;
                put_member(q, SG_STR("reasoning_effort"), m[0]);
                if (m[1].kind != SG_JSON_NONE || m[2].kind != SG_JSON_NONE)
                        sg_llm_drop(&q->at, "reasoning.summary");
        }
        sg_llm_leave(&q->at, mark);
        return 0;
}

/* ---- what the answer is to hold */

static int read_include(struct request *q, bool *ret_logprobs)
{
        /* Of built-in tools, which are refused, and of what the client sent: there is nothing to include. */
        static const struct sg_str known[] = {
                SG_STR("reasoning.encrypted_content"),   SG_STR("file_search_call.results"),
                SG_STR("web_search_call.results"),       SG_STR("web_search_call.action.sources"),
                SG_STR("message.input_image.image_url"), SG_STR("computer_call_output.output.image_url"),
                SG_STR("code_interpreter_call.outputs"),
        };
        size_t walk = 0, n = 0, mark = sg_llm_enter(&q->at, SG_STR("include"));
        struct sg_json_value v;

        while (sg_json_each(q->m[R_INCLUDE], &walk, NULL, &v)) {
                size_t inner = sg_llm_enter_index(&q->at, n++), i = 0;
                bool is_text = v.kind == SG_JSON_STRING;

                if (is_text && sg_json_text_is(v, SG_STR("message.output_text.logprobs"))) {
                        *ret_logprobs = true;
                } else {
                        while (i < SG_N_ELEMENTS(known) && !(is_text && sg_json_text_is(v, known[i])))
                                i++;
                        if (i == SG_N_ELEMENTS(known))
                                return sg_llm_refuse_inexpressible(&q->at);
                }
                sg_llm_leave(&q->at, inner);
        }
        sg_llm_leave(&q->at, mark);
        return 0;
}

static int put_logprobs(struct request *q)
{
        bool wanted = false;
        uint64_t n = 0;
        int r = read_include(q, &wanted);

        if (r)
                return r;
        if (q->m[R_TOP_LOGPROBS].kind == SG_JSON_NUMBER && (!sg_json_u64(q->m[R_TOP_LOGPROBS], &n) || n > 0))
                wanted = true;
        if (wanted)
                sg_llm_put(&q->o, SG_STR(",\"logprobs\":true"));
        if (n > 0 || (wanted && q->m[R_TOP_LOGPROBS].kind == SG_JSON_NUMBER))
                put_member(q, SG_STR("top_logprobs"), q->m[R_TOP_LOGPROBS]);
        return 0;
}

/* ---- the whole */

static void put_same(struct request *q, struct sg_str model)
{
        for (unsigned i = R_SAME; i < R_ADVICE; i++)
                put_member(q, i == R_MAX_TOKENS ? sg_wording_max_tokens(model) : names[i], q->m[i]);
        if (q->m[R_SERVICE_TIER].kind == SG_JSON_STRING && !sg_json_text_is(q->m[R_SERVICE_TIER], SG_STR("auto")))
                put_member(q, names[R_SERVICE_TIER], q->m[R_SERVICE_TIER]); /* auto is what absence says */
        for (unsigned i = R_ADVICE; i < R_N; i++)
                if (q->m[i].kind != SG_JSON_NONE)
                        sg_llm_drop(&q->at, names[i].p);
        if (sg_json_is_true(q->m[R_STREAM]))
                sg_llm_put(&q->o, SG_STR(",\"stream\":true,\"stream_options\":{\"include_usage\":true}"));
}

static int put_request(struct request *q, struct sg_str model)
{
        int r;

        sg_llm_put(&q->o, SG_STR("{\"model\":"));
        sg_llm_put_string(&q->o, model);
        sg_llm_put(&q->o, SG_STR(",\"messages\":"));
        r = sg_responses_put_messages(&q->o, &q->at, q->m[R_INSTRUCTIONS], q->m[R_INPUT]);
        if (!r)
                r = put_tools(q);
        if (!r)
                r = put_tool_choice(q);
        if (!r)
                r = put_text(q);
        if (!r)
                r = put_reasoning(q);
        if (!r)
                r = put_logprobs(q);
        if (r)
                return r;
        put_same(q, model);
        sg_llm_put(&q->o, SG_STR("}"));
        return q->o.r;
}

int sg_responses_request_to_chat(struct sg_buf *out, struct sg_str body, const struct sg_translate_options *options,
                                 struct sg_translate_notes *notes, struct sg_llm_fault *fault)
{
        struct sg_json_value whole = {SG_JSON_OBJECT, sg_llm_trim(body)};
        struct request q = {.at = {.fault = fault, .notes = notes}, .o = {.to = out}};
        int r;

        r = sg_llm_read_members(&q.at, whole, names, R_N, q.m);
        if (!r)
                r = refuse_kept(&q);
        if (!r)
                r = check_kinds(&q);
        return r ? r : put_request(&q, options->upstream_model);
}
