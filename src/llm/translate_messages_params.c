/* Messages to chat completions: limits, sampling, reasoning, the form of the output. */
#include "llm/translate_messages_request.h"
#include "llm/wording.h"

static const struct {
        uint64_t budget_tokens; /* from so many on */
        struct sg_str effort;
} budgets[] = {
        {32768, SG_STR("\"xhigh\"")},
        {16384, SG_STR("\"high\"")},
        {4096, SG_STR("\"medium\"")},
        {1024, SG_STR("\"low\"")},
};

/* What output_config and thinking come to. */
struct reasoning {
        struct sg_str effort; /* with its quotes, or empty */
        struct sg_json_value schema;
        bool is_given; /* the effort, by name */
};

static int write_limits(struct sg_messages_request *q)
{
        struct sg_json_value v = q->f[SG_MESSAGES_MAX_TOKENS];
        int r = sg_llm_must_be(&q->at, "max_tokens", v, SG_JSON_NUMBER);
        uint64_t n;

        if (r)
                return r;
        if (!sg_json_u64(v, &n) || n == 0)
                return sg_llm_refuse_member(&q->at, "max_tokens", "must be a whole number of at least 1");
        sg_llm_put(&q->put, SG_STR("{\"model\":"));
        sg_llm_put_string(&q->put, q->options->upstream_model);
        sg_llm_put(&q->put, SG_STR(",\""));
        sg_llm_put(&q->put, sg_wording_max_tokens(q->options->upstream_model));
        sg_llm_put(&q->put, SG_STR("\":"));
        sg_llm_put_u64(&q->put, n);
        if (sg_json_is_true(q->f[SG_MESSAGES_STREAM]))
                sg_llm_put(&q->put, SG_STR(",\"stream\":true,\"stream_options\":{\"include_usage\":true}"));
        return 0;
}

static int write_number(struct sg_messages_request *q, enum sg_messages_field field, const char *name)
{
        int r = sg_llm_may_be(&q->at, name, q->f[field], SG_JSON_NUMBER);

        if (r || q->f[field].kind == SG_JSON_NONE)
                return r;
        sg_llm_put(&q->put, SG_STR(",\""));
        sg_llm_put(&q->put, sg_str_from(name));
        sg_llm_put(&q->put, SG_STR("\":"));
        sg_llm_put(&q->put, q->f[field].text);
        return 0;
}

static int write_stop(struct sg_messages_request *q)
{
        struct sg_json_value stop = q->f[SG_MESSAGES_STOP_SEQUENCES], v;
        size_t walk = 0, i = 0, mark, inner;
        int r = sg_llm_may_be(&q->at, "stop_sequences", stop, SG_JSON_ARRAY);

        if (r)
                return r;
        mark = sg_llm_enter(&q->at, SG_STR("stop_sequences"));
        inner = q->at.n_path;
        while (sg_json_each(stop, &walk, NULL, &v)) {
                (void)sg_llm_enter_index(&q->at, i++);
                if (v.kind != SG_JSON_STRING)
                        return sg_llm_refuse(&q->at, "must be a string, not %s", sg_llm_kind_phrase(v.kind));
                sg_llm_leave(&q->at, inner);
        }
        sg_llm_leave(&q->at, mark);
        if (i == 0)
                return 0;
        sg_llm_put(&q->put, SG_STR(",\"stop\":"));
        sg_llm_put(&q->put, stop.text);
        return 0;
}

static int write_user(struct sg_messages_request *q)
{
        static const struct sg_str name[] = {SG_STR("user_id")};
        struct sg_json_value id;
        size_t mark;
        int r;

        if (q->f[SG_MESSAGES_METADATA].kind == SG_JSON_NONE)
                return 0;
        mark = sg_llm_enter(&q->at, SG_STR("metadata"));
        r = sg_llm_read_members(&q->at, q->f[SG_MESSAGES_METADATA], name, 1, &id);
        if (!r)
                r = sg_llm_may_be(&q->at, "user_id", id, SG_JSON_STRING);
        if (r)
                return r;
        sg_llm_leave(&q->at, mark);
        if (id.kind == SG_JSON_NONE)
                return 0;
        sg_llm_put(&q->put, SG_STR(",\"user\":"));
        sg_llm_put(&q->put, id.text);
        return 0;
}

static int read_format(struct sg_messages_request *q, struct sg_json_value format, struct reasoning *t)
{
        static const struct sg_str names[] = {SG_STR("type"), SG_STR("schema")};
        struct sg_json_value v[SG_N_ELEMENTS(names)];
        size_t mark;
        int r;

        if (format.kind == SG_JSON_NONE)
                return 0;
        mark = sg_llm_enter(&q->at, SG_STR("format"));
        r = sg_llm_read_members(&q->at, format, names, SG_N_ELEMENTS(names), v);
        if (!r)
                r = sg_llm_must_be(&q->at, "type", v[0], SG_JSON_STRING);
        if (!r && !sg_json_text_is(v[0], SG_STR("json_schema")))
                r = sg_llm_refuse_inexpressible_member(&q->at, "type");
        if (!r)
                r = sg_llm_must_be(&q->at, "schema", v[1], SG_JSON_OBJECT);
        if (r)
                return r;
        t->schema = v[1];
        sg_llm_leave(&q->at, mark);
        return 0;
}

static int read_output_config(struct sg_messages_request *q, struct reasoning *t)
{
        static const struct sg_str names[] = {SG_STR("effort"), SG_STR("format")};
        static const struct sg_str efforts[] = {SG_STR("low"), SG_STR("medium"), SG_STR("high"), SG_STR("xhigh"),
                                                SG_STR("max")};
        struct sg_json_value v[SG_N_ELEMENTS(names)];
        size_t mark, i = 0;
        int r;

        if (q->f[SG_MESSAGES_OUTPUT_CONFIG].kind == SG_JSON_NONE)
                return 0;
        mark = sg_llm_enter(&q->at, SG_STR("output_config"));
        r = sg_llm_read_members(&q->at, q->f[SG_MESSAGES_OUTPUT_CONFIG], names, SG_N_ELEMENTS(names), v);
        if (!r)
                r = sg_llm_may_be(&q->at, "effort", v[0], SG_JSON_STRING);
        if (!r)
                r = read_format(q, v[1], t);
        if (r)
                return r;
        while (i < SG_N_ELEMENTS(efforts) && !sg_json_text_is(v[0], efforts[i]))
                i++;
        if (v[0].kind != SG_JSON_NONE && i == SG_N_ELEMENTS(efforts))
                return sg_llm_refuse_member(&q->at, "effort", "must be low, medium, high, xhigh or max");
        t->effort = v[0].text;
        t->is_given = v[0].kind != SG_JSON_NONE;
        sg_llm_leave(&q->at, mark);
        return 0;
}

static int read_budget(struct sg_messages_request *q, struct sg_json_value v, struct reasoning *t)
{
        uint64_t n;
        size_t i = 0;
        int r = sg_llm_must_be(&q->at, "budget_tokens", v, SG_JSON_NUMBER);

        if (r)
                return r;
        if (!sg_json_u64(v, &n) || n < 1024)
                return sg_llm_refuse_member(&q->at, "budget_tokens", "must be a whole number of at least 1024");
        if (t->is_given) {
                sg_llm_drop(&q->at, "thinking.budget_tokens");
                return 0;
        }
        while (n < budgets[i].budget_tokens)
                i++;
        t->effort = budgets[i].effort;
        return 0;
}

/* Chat has but the effort. Without one, thinking of its own measure, or none, is what a model does that is told nothing: many
 * that cannot reason refuse to be told. */
static int read_thinking(struct sg_messages_request *q, struct reasoning *t)
{
        static const struct sg_str names[] = {SG_STR("type"), SG_STR("budget_tokens"), SG_STR("display")};
        struct sg_json_value v[SG_N_ELEMENTS(names)];
        size_t mark;
        int r;

        if (q->f[SG_MESSAGES_THINKING].kind == SG_JSON_NONE)
                return 0;
        mark = sg_llm_enter(&q->at, SG_STR("thinking"));
        r = sg_llm_read_members(&q->at, q->f[SG_MESSAGES_THINKING], names, SG_N_ELEMENTS(names), v);
        if (!r)
                r = sg_llm_must_be(&q->at, "type", v[0], SG_JSON_STRING);
        if (r)
                return r;
        if (v[2].kind != SG_JSON_NONE)
                sg_llm_drop(&q->at, "thinking.display");
        if (sg_json_text_is(v[0], SG_STR("enabled"))) {
                r = read_budget(q, v[1], t);
        } else if (sg_json_text_is(v[0], SG_STR("disabled"))) {
                sg_llm_drop(&q->at, "thinking");
                if (t->is_given)
                        sg_llm_drop(&q->at, "output_config.effort");
                t->effort = SG_STR_NONE;
        } else if (!sg_json_text_is(v[0], SG_STR("adaptive"))) {
                return sg_llm_refuse_member(&q->at, "type", "must be enabled, disabled or adaptive");
        } else if (!t->is_given) {
                sg_llm_drop(&q->at, "thinking");
        }
        sg_llm_leave(&q->at, mark);
        return r;
}

static int write_output(struct sg_messages_request *q)
{
        struct reasoning t = {0};
        int r = read_output_config(q, &t);

        if (!r)
                r = read_thinking(q, &t);
        if (r)
                return r;
        if (t.effort.n) {
                sg_llm_put(&q->put, SG_STR(",\"reasoning_effort\":"));
                sg_llm_put(&q->put, t.effort);
        }
        if (t.schema.kind != SG_JSON_NONE) {
                sg_llm_put(&q->put, SG_STR(",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":"
                                           "\"answer\",\"strict\":true,\"schema\":"));
                sg_llm_put(&q->put, t.schema.text);
                sg_llm_put(&q->put, SG_STR("}}"));
        }
        return 0;
}

int sg_messages_write_params(struct sg_messages_request *q)
{
        int r = write_limits(q);

        if (!r)
                r = write_number(q, SG_MESSAGES_TEMPERATURE, "temperature");
        if (!r)
                r = write_number(q, SG_MESSAGES_TOP_P, "top_p");
        if (!r)
                r = write_stop(q);
        if (!r)
                r = write_user(q);
        if (!r)
                r = write_output(q);
        if (q->f[SG_MESSAGES_SERVICE_TIER].kind != SG_JSON_NONE)
                sg_llm_drop(&q->at, "service_tier");
        if (q->f[SG_MESSAGES_CACHE_CONTROL].kind != SG_JSON_NONE)
                sg_llm_drop(&q->at, "cache_control");
        return r;
}
