/* Chat completions to messages: limits, sampling, thinking, the form of the output. */
#include "llm/translate_chat_request.h"

#define MAX_TOKENS_DEFAULT 4096u /* where neither the client nor the model's settings name a limit */

static const struct {
        struct sg_str name;
        uint64_t budget_tokens; /* 0: no thinking */
} efforts[] = {
        {SG_STR("none"), 0},     {SG_STR("minimal"), 0},   {SG_STR("low"), 1024},  {SG_STR("medium"), 4096},
        {SG_STR("high"), 16384}, {SG_STR("xhigh"), 32768}, {SG_STR("max"), 32768},
};

/* What is to be written of thinking and effort. */
struct thinking {
        struct sg_json_value own; /* the client's thinking object, as it is */
        uint64_t budget_tokens;   /* thinking of the kind with a budget */
        bool is_adaptive, is_disabled;
        struct sg_json_value effort;      /* for output_config */
        struct sg_json_value json_schema; /* for output_config */
};

/* -1 below zero, 0 from zero to one, 1 above one: read off the digits, so that 1e-400 and 0.99999999999999999999 are right. */
static int number_place(struct sg_json_value v)
{
        const char *p = v.text.p, *end = p + v.text.n;
        bool minus = *p == '-', after_point = false, seen = false, is_one = false;
        int64_t power = -1, e = 0; /* of ten, of the first digit that is not zero */
        bool down = false;

        for (p += minus; p < end && (*p | 0x20) != 'e'; p++) {
                if (*p == '.') {
                        after_point = true;
                        continue;
                }
                if (!seen && *p != '0') {
                        seen = true;
                        is_one = *p == '1';
                        power = after_point ? power : 0;
                } else if (seen) {
                        is_one = is_one && *p == '0';
                        power += !after_point;
                } else if (after_point) {
                        power--;
                }
        }
        for (p += p < end; p < end; p++) {
                if (*p == '-')
                        down = true;
                else if (*p != '+' && e < INT32_MAX)
                        e = e * 10 + (*p - '0');
        }
        power += down ? -e : e;
        if (!seen)
                return 0;
        if (minus)
                return -1;
        return power > 0 || (power == 0 && !is_one);
}

/* True of an older Claude, which takes thinking with a budget only; newer ones (from 4.6 on) take the adaptive kind, and from
 * 4.7 on no other. What is no Claude speaks the dialect as it was first documented. */
static bool thinks_by_budget(struct sg_str model)
{
        struct sg_str name = SG_STR("claude"), word;
        uint64_t number[2] = {0};
        size_t n = 0;
        bool more = true;

        while (model.n >= name.n && !sg_str_ieq(sg_str_head(model, name.n), name))
                model = sg_str_skip(model, 1);
        if (model.n < name.n)
                return true;
        while (more && n < 2) { /* "claude-opus-4-6", "claude-3.7-sonnet", "claude-opus-4-20250514" */
                size_t at = 0;

                while (at < model.n && !memchr("-.@_:/", model.p[at], 6))
                        at++;
                word = sg_str_head(model, at);
                more = at < model.n;
                model = sg_str_skip(model, more ? at + 1 : at);
                if (word.n <= 2 && !sg_str_to_u64(word, &number[n]))
                        n++;
                else if (n > 0)
                        break;
        }
        return n > 0 && (number[0] < 4 || (number[0] == 4 && number[1] < 6));
}

static int read_effort(struct sg_chat_request *q, struct thinking *t)
{
        struct sg_json_value v = q->f[SG_CHAT_REASONING_EFFORT];
        size_t i = 0;
        int r = sg_llm_may_be(&q->at, "reasoning_effort", v, SG_JSON_STRING);

        if (r || v.kind == SG_JSON_NONE)
                return r;
        while (i < SG_N_ELEMENTS(efforts) && !sg_json_text_is(v, efforts[i].name))
                i++;
        if (i == SG_N_ELEMENTS(efforts))
                return sg_llm_refuse_member(&q->at, "reasoning_effort",
                                            "must be none, minimal, low, medium, high, xhigh or max");
        if (t->own.kind != SG_JSON_NONE) {
                if (!t->is_adaptive || efforts[i].budget_tokens == 0)
                        return sg_llm_refuse_member(&q->at, "reasoning_effort",
                                                    "says something else than 'thinking': give one of them");
                t->effort = v;
        } else if (efforts[i].budget_tokens == 0) {
                t->is_disabled = true;
        } else if (thinks_by_budget(q->options->upstream_model)) {
                t->budget_tokens = efforts[i].budget_tokens;
        } else {
                t->is_adaptive = true;
                t->effort = v;
        }
        return 0;
}

static int read_thinking(struct sg_chat_request *q, struct thinking *t)
{
        int r = sg_llm_may_be(&q->at, "thinking", q->f[SG_CHAT_THINKING], SG_JSON_OBJECT);

        if (r)
                return r;
        t->own = q->f[SG_CHAT_THINKING];
        t->is_adaptive = sg_json_text_is(sg_json_get(t->own, SG_STR("type")), SG_STR("adaptive"));
        r = read_effort(q, t);
        q->is_thinking = t->is_adaptive || t->budget_tokens > 0 ||
                         sg_json_text_is(sg_json_get(t->own, SG_STR("type")), SG_STR("enabled"));
        return r;
}

static int read_json_schema(struct sg_chat_request *q, struct thinking *t, struct sg_json_value object)
{
        static const struct sg_str names[] = {SG_STR("name"), SG_STR("description"), SG_STR("schema"),
                                              SG_STR("strict")};
        size_t mark = sg_llm_enter(&q->at, SG_STR("json_schema"));
        struct sg_json_value v[SG_N_ELEMENTS(names)];
        int r = object.kind == SG_JSON_NONE ? sg_llm_refuse(&q->at, "is missing")
                                            : sg_llm_read_members(&q->at, object, names, SG_N_ELEMENTS(names), v);

        if (!r)
                r = sg_llm_must_be(&q->at, "schema", v[2], SG_JSON_OBJECT);
        if (r)
                return r;
        if (v[1].kind != SG_JSON_NONE)
                sg_llm_drop(&q->at, "response_format.json_schema.description");
        t->json_schema = v[2];
        sg_llm_leave(&q->at, mark);
        return 0;
}

static int read_response_format(struct sg_chat_request *q, struct thinking *t)
{
        static const struct sg_str names[] = {SG_STR("type"), SG_STR("json_schema")};
        struct sg_json_value v[SG_N_ELEMENTS(names)];
        size_t mark;
        int r;

        if (q->f[SG_CHAT_RESPONSE_FORMAT].kind == SG_JSON_NONE)
                return 0;
        mark = sg_llm_enter(&q->at, SG_STR("response_format"));
        r = sg_llm_read_members(&q->at, q->f[SG_CHAT_RESPONSE_FORMAT], names, SG_N_ELEMENTS(names), v);
        if (!r)
                r = sg_llm_must_be(&q->at, "type", v[0], SG_JSON_STRING);
        if (r)
                return r;
        if (sg_json_text_is(v[0], SG_STR("json_schema")))
                r = read_json_schema(q, t, v[1]);
        else if (sg_json_text_is(v[0], SG_STR("json_object")))
                q->wants_json = true;
        else if (!sg_json_text_is(v[0], SG_STR("text")))
                r = sg_llm_refuse_member(&q->at, "type", "must be text, json_object or json_schema");
        sg_llm_leave(&q->at, mark);
        return r;
}

static int write_limits(struct sg_chat_request *q, const struct thinking *t)
{
        struct sg_json_value v = q->f[SG_CHAT_MAX_COMPLETION_TOKENS];
        const char *name = "max_completion_tokens";
        uint64_t n = q->options->max_tokens ? q->options->max_tokens : MAX_TOKENS_DEFAULT;

        if (v.kind == SG_JSON_NONE) {
                v = q->f[SG_CHAT_MAX_TOKENS];
                name = "max_tokens";
        }
        if (v.kind != SG_JSON_NONE && (!sg_json_u64(v, &n) || n == 0))
                return sg_llm_refuse_member(&q->at, name, "must be a whole number of at least 1");
        if (n <= t->budget_tokens) /* the budget counts towards it, and the answer keeps its room */
                n += t->budget_tokens;
        sg_llm_put(&q->put, SG_STR("{\"model\":"));
        sg_llm_put_string(&q->put, q->options->upstream_model);
        sg_llm_put(&q->put, SG_STR(",\"max_tokens\":"));
        sg_llm_put_u64(&q->put, n);
        if (sg_json_is_true(q->f[SG_CHAT_STREAM]))
                sg_llm_put(&q->put, SG_STR(",\"stream\":true"));
        return 0;
}

static int write_number(struct sg_chat_request *q, enum sg_chat_field field, const char *name)
{
        struct sg_json_value v = q->f[field];
        int r = sg_llm_may_be(&q->at, name, v, SG_JSON_NUMBER);

        if (r || v.kind == SG_JSON_NONE)
                return r;
        sg_llm_put(&q->put, SG_STR(",\""));
        sg_llm_put(&q->put, sg_str_from(name));
        sg_llm_put(&q->put, SG_STR("\":"));
        sg_llm_put(&q->put, v.text);
        return 0;
}

static int write_sampling(struct sg_chat_request *q)
{
        struct sg_json_value t = q->f[SG_CHAT_TEMPERATURE];
        int r;

        if (t.kind == SG_JSON_NUMBER && number_place(t) != 0)
                return sg_llm_refuse_member(&q->at, "temperature",
                                            "must be from 0 to 1 in the dialect of the provider of this model");
        r = write_number(q, SG_CHAT_TEMPERATURE, "temperature");
        if (!r)
                r = write_number(q, SG_CHAT_TOP_P, "top_p");
        if (!r)
                r = write_number(q, SG_CHAT_TOP_K, "top_k");
        return r;
}

static int write_stop(struct sg_chat_request *q)
{
        struct sg_json_value stop = q->f[SG_CHAT_STOP], v;
        size_t walk = 0, i = 0, mark = sg_llm_enter(&q->at, SG_STR("stop")), inner = q->at.n_path;
        bool is_string = stop.kind == SG_JSON_STRING;

        if (stop.kind != SG_JSON_NONE && stop.kind != SG_JSON_ARRAY && !is_string)
                return sg_llm_refuse(&q->at, "must be a string or an array of strings, not %s",
                                     sg_llm_kind_phrase(stop.kind));
        while (sg_json_each(stop, &walk, NULL, &v)) {
                sg_llm_enter_index(&q->at, i++);
                if (v.kind != SG_JSON_STRING)
                        return sg_llm_refuse(&q->at, "must be a string, not %s", sg_llm_kind_phrase(v.kind));
                sg_llm_leave(&q->at, inner);
        }
        sg_llm_leave(&q->at, mark);
        if (i == 0 && !is_string)
                return 0;
        sg_llm_put(&q->put, is_string ? SG_STR(",\"stop_sequences\":[") : SG_STR(",\"stop_sequences\":"));
        sg_llm_put(&q->put, stop.text);
        sg_llm_put(&q->put, is_string ? SG_STR("]") : SG_STR(""));
        return 0;
}

static int write_user(struct sg_chat_request *q)
{
        struct sg_json_value user = q->f[SG_CHAT_USER], id = q->f[SG_CHAT_SAFETY_IDENTIFIER];
        int r = sg_llm_may_be(&q->at, "user", user, SG_JSON_STRING);

        if (!r)
                r = sg_llm_may_be(&q->at, "safety_identifier", id, SG_JSON_STRING);
        if (r)
                return r;
        if (user.kind != SG_JSON_NONE && id.kind != SG_JSON_NONE)
                sg_llm_drop(&q->at, "user");
        if (id.kind == SG_JSON_NONE)
                id = user;
        if (id.kind == SG_JSON_NONE)
                return 0;
        sg_llm_put(&q->put, SG_STR(",\"metadata\":{\"user_id\":"));
        sg_llm_put(&q->put, id.text);
        sg_llm_put(&q->put, SG_STR("}"));
        return 0;
}

static void write_thinking(struct sg_chat_request *q, const struct thinking *t)
{
        struct sg_llm_put *o = &q->put;
        bool has_effort = t->effort.kind != SG_JSON_NONE, has_schema = t->json_schema.kind != SG_JSON_NONE;

        if (t->own.kind != SG_JSON_NONE) {
                sg_llm_put(o, SG_STR(",\"thinking\":"));
                sg_llm_put(o, t->own.text);
        } else if (t->budget_tokens) {
                sg_llm_put(o, SG_STR(",\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":"));
                sg_llm_put_u64(o, t->budget_tokens);
                sg_llm_put(o, SG_STR("}"));
        } else if (t->is_adaptive) {
                sg_llm_put(o, SG_STR(",\"thinking\":{\"type\":\"adaptive\"}"));
        } else if (t->is_disabled) {
                sg_llm_put(o, SG_STR(",\"thinking\":{\"type\":\"disabled\"}"));
        }
        if (!has_effort && !has_schema)
                return;
        sg_llm_put(o, SG_STR(",\"output_config\":{"));
        if (has_effort) {
                sg_llm_put(o, SG_STR("\"effort\":"));
                sg_llm_put(o, t->effort.text);
        }
        if (has_schema) {
                sg_llm_put(o, has_effort ? SG_STR(",") : SG_STR(""));
                sg_llm_put(o, SG_STR("\"format\":{\"type\":\"json_schema\",\"schema\":"));
                sg_llm_put(o, t->json_schema.text);
                sg_llm_put(o, SG_STR("}"));
        }
        sg_llm_put(o, SG_STR("}"));
}

/* Members of which messages has but one value. */
static int check_only_values(struct sg_chat_request *q)
{
        struct sg_json_value v = q->f[SG_CHAT_CHOICES];
        size_t walk = 0;
        uint64_t n;

        if (v.kind != SG_JSON_NONE && (!sg_json_u64(v, &n) || n != 1))
                return sg_llm_refuse_member(&q->at, "n", "must be 1 in the dialect of the provider of this model");
        v = q->f[SG_CHAT_VERBOSITY];
        if (v.kind != SG_JSON_NONE && !sg_json_text_is(v, SG_STR("medium")))
                return sg_llm_refuse_inexpressible_member(&q->at, "verbosity");
        if (q->f[SG_CHAT_MODALITIES].kind != SG_JSON_NONE && q->f[SG_CHAT_MODALITIES].kind != SG_JSON_ARRAY)
                return sg_llm_must_be(&q->at, "modalities", q->f[SG_CHAT_MODALITIES], SG_JSON_ARRAY);
        while (sg_json_each(q->f[SG_CHAT_MODALITIES], &walk, NULL, &v))
                if (!sg_json_text_is(v, SG_STR("text")))
                        return sg_llm_refuse_inexpressible_member(&q->at, "modalities");
        return 0;
}

int sg_chat_write_params(struct sg_chat_request *q)
{
        struct thinking t = {0};
        int r = check_only_values(q);

        if (!r)
                r = read_thinking(q, &t);
        if (!r)
                r = read_response_format(q, &t);
        if (!r)
                r = write_limits(q, &t);
        if (!r)
                r = write_sampling(q);
        if (!r)
                r = write_stop(q);
        if (!r)
                r = write_user(q);
        if (r)
                return r;
        write_thinking(q, &t);
        sg_chat_put_cache_control(q, q->f[SG_CHAT_CACHE_CONTROL]);
        return 0;
}
