/* The response object: what of it is the request's, and its items as they stand. */
#include <stdio.h>

#include "llm/responses_parts.h"
#include "llm/wording.h"

/* Members of the request that the object repeats, and what stands there where the request says nothing. Temperature and top_p
 * are then the provider's own, which nobody here knows. */
static const struct {
        struct sg_str name, otherwise;
} repeated[] = {
        {SG_STR("instructions"), SG_STR("null")},
        {SG_STR("max_output_tokens"), SG_STR("null")},
        {SG_STR("metadata"), SG_STR("{}")},
        {SG_STR("parallel_tool_calls"), SG_STR("true")},
        {SG_STR("prompt_cache_key"), SG_STR("null")},
        {SG_STR("reasoning"), SG_STR("{\"effort\":null,\"summary\":null}")},
        {SG_STR("safety_identifier"), SG_STR("null")},
        {SG_STR("temperature"), SG_STR("null")},
        {SG_STR("text"), SG_STR("{\"format\":{\"type\":\"text\"}}")},
        {SG_STR("tool_choice"), SG_STR("\"auto\"")},
        {SG_STR("tools"), SG_STR("[]")},
        {SG_STR("top_logprobs"), SG_STR("0")},
        {SG_STR("top_p"), SG_STR("null")},
        {SG_STR("user"), SG_STR("null")},
};

/* ---- the head */

void sg_responses_put_line(struct sg_llm_put *o, struct sg_str json)
{
        while (json.n > 0) {
                size_t n = SG_MIN(sg_str_find_byte(json, '\n'), sg_str_find_byte(json, '\r'));

                sg_llm_put(o, sg_str_head(json, n));
                if (n < json.n)
                        sg_llm_put(o, SG_STR(" "));
                json = sg_str_skip(json, n < json.n ? n + 1 : n);
        }
}

static int make_echo(struct sg_buf *echo, struct sg_str request)
{
        struct sg_json_value whole = {request.n ? SG_JSON_OBJECT : SG_JSON_NONE, sg_llm_trim(request)};
        struct sg_json_value found[SG_N_ELEMENTS(repeated)] = {0}, v;
        struct sg_llm_put o = {.to = echo};
        struct sg_str name;
        size_t walk = 0;

        while (sg_json_each(whole, &walk, &name, &v))
                for (size_t i = 0; i < SG_N_ELEMENTS(repeated); i++)
                        if (v.kind != SG_JSON_NULL && sg_str_eq(name, repeated[i].name))
                                found[i] = v;
        for (size_t i = 0; i < SG_N_ELEMENTS(repeated); i++) {
                sg_llm_put(&o, SG_STR(",\""));
                sg_llm_put(&o, repeated[i].name);
                sg_llm_put(&o, SG_STR("\":"));
                sg_responses_put_line(&o, found[i].kind ? found[i].text : repeated[i].otherwise);
        }
        return o.r;
}

int sg_responses_output_init(struct sg_responses_output *out, const struct sg_translate_exchange *x, size_t held_max)
{
        struct sg_llm_put o = {.to = &out->model};

        *out = (struct sg_responses_output){.created_sec = x->created_sec, .taker = SIZE_MAX, .held_max = held_max};
        sg_buf_init(&out->model, held_max);
        sg_buf_init(&out->echo, SIZE_MAX); /* a part of the request, which is bounded */
        sg_str_copy(out->id, sizeof(out->id), x->request_id);
        sg_llm_put_string(&o, x->model);
        return o.r ? o.r : make_echo(&out->echo, x->request);
}

void sg_responses_take_head(struct sg_responses_output *out, struct sg_json_value id, struct sg_json_value model,
                            struct sg_json_value created)
{
        struct sg_llm_put o = {.to = &out->model};

        if (sg_wording_has_text(id))
                sg_llm_copy_text(out->id, sizeof(out->id), id);
        if (sg_wording_has_text(model)) {
                sg_buf_clear(&out->model);
                sg_llm_put(&o, model.text);
        }
        (void)sg_json_u64(created, &out->created_sec);
        if (!out->put.r)
                out->put.r = o.r;
}

/* ---- items */

void sg_responses_put_item_id(struct sg_responses_output *out, struct sg_llm_put *o, size_t item)
{
        static const char *const prefixes[SG_RESPONSES_KIND_N] = {"rs", "msg", "fc"};
        char id[96];

        snprintf(id, sizeof(id), "%s_%s_%zu", prefixes[out->items[item].kind], out->id, item);
        sg_llm_put_string(o, sg_str_from(id));
}

void sg_responses_put_part(struct sg_llm_put *o, const struct sg_responses_item *it)
{
        static const struct sg_str begins[SG_RESPONSES_PART_N] = {
                SG_STR("{\"type\":\"reasoning_text\",\"text\":\""),
                SG_STR("{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":["),
                SG_STR("{\"type\":\"refusal\",\"refusal\":\""),
        };

        sg_llm_put(o, begins[it->part]);
        if (it->part == SG_RESPONSES_OUTPUT_TEXT) {
                sg_llm_put(o, sg_buf_view(&it->logprobs));
                sg_llm_put(o, SG_STR("],\"text\":\""));
        }
        sg_llm_put(o, sg_buf_view(&it->text));
        sg_llm_put(o, SG_STR("\"}"));
}

static void put_sealed(struct sg_llm_put *o, const struct sg_responses_item *it)
{
        struct sg_buf array;
        struct sg_llm_put a = {.to = &array};

        if (sg_buf_length(&it->own) == 0)
                return;
        sg_buf_init(&array, SIZE_MAX);
        sg_llm_put(&a, SG_STR("["));
        sg_llm_put(&a, sg_buf_view(&it->own));
        sg_llm_put(&a, SG_STR("]"));
        sg_llm_put(o, SG_STR(",\"encrypted_content\":"));
        sg_llm_put_string(o, sg_buf_view(&array));
        if (!o->r)
                o->r = a.r;
        sg_buf_done(&array);
}

static void put_parts(struct sg_llm_put *o, const struct sg_responses_item *it)
{
        sg_llm_put(o, SG_STR(",\"content\":["));
        sg_llm_put(o, sg_buf_view(&it->closed));
        sg_llm_put(o, SG_STR("]}"));
}

void sg_responses_put_item(struct sg_responses_output *out, struct sg_llm_put *o, size_t item)
{
        const struct sg_responses_item *it = &out->items[item];
        struct sg_str status = it->is_open  ? SG_STR("in_progress")
                               : it->is_cut ? SG_STR("incomplete")
                                            : SG_STR("completed");

        sg_llm_put(o, SG_STR("{\"id\":"));
        sg_responses_put_item_id(out, o, item);
        sg_llm_put(o, SG_STR(",\"status\":\""));
        sg_llm_put(o, status);
        if (it->kind == SG_RESPONSES_CALL) {
                sg_llm_put(o, SG_STR("\",\"type\":\"function_call\","));
                sg_llm_put(o, sg_buf_view(&it->own));
                sg_llm_put(o, SG_STR(",\"arguments\":\""));
                sg_llm_put(o, sg_buf_view(&it->text));
                sg_llm_put(o, SG_STR("\"}"));
        } else if (it->kind == SG_RESPONSES_MESSAGE) {
                sg_llm_put(o, SG_STR("\",\"type\":\"message\",\"role\":\"assistant\""));
                put_parts(o, it);
        } else {
                sg_llm_put(o, SG_STR("\",\"type\":\"reasoning\",\"summary\":[]"));
                put_sealed(o, it);
                put_parts(o, it);
        }
}

/* ---- the object */

static void put_usage(struct sg_llm_put *o, const struct sg_usage *u)
{
        sg_llm_put(o, SG_STR(",\"usage\":"));
        if (u->certainty == SG_CERTAINTY_NONE) {
                sg_llm_put(o, SG_STR("null"));
                return;
        }
        sg_llm_put(o, SG_STR("{\"input_tokens\":"));
        sg_llm_put_u64(o, u->input_tokens);
        sg_llm_put(o, SG_STR(",\"input_tokens_details\":{\"cached_tokens\":"));
        sg_llm_put_u64(o, u->cached_tokens);
        sg_llm_put(o, SG_STR(",\"cache_write_tokens\":"));
        sg_llm_put_u64(o, u->cache_write_tokens);
        sg_llm_put(o, SG_STR("},\"output_tokens\":"));
        sg_llm_put_u64(o, u->output_tokens);
        sg_llm_put(o, SG_STR(",\"output_tokens_details\":{\"reasoning_tokens\":"));
        sg_llm_put_u64(o, u->reasoning_tokens);
        sg_llm_put(o, SG_STR("},\"total_tokens\":"));
        sg_llm_put_u64(o, u->input_tokens + u->output_tokens);
        sg_llm_put(o, SG_STR("}"));
}

void sg_responses_put_state(struct sg_responses_output *out, struct sg_llm_put *o, struct sg_str status,
                            struct sg_str reason, const struct sg_usage *usage)
{
        char id[64];

        snprintf(id, sizeof(id), "resp_%s", out->id);
        sg_llm_put(o, SG_STR("{\"id\":"));
        sg_llm_put_string(o, sg_str_from(id));
        sg_llm_put(o, SG_STR(",\"object\":\"response\",\"created_at\":"));
        sg_llm_put_u64(o, out->created_sec);
        sg_llm_put(o, SG_STR(",\"status\":\""));
        sg_llm_put(o, status);
        sg_llm_put(o, SG_STR("\",\"background\":false,\"error\":null,\"incomplete_details\":"));
        if (reason.n) {
                sg_llm_put(o, SG_STR("{\"reason\":"));
                sg_llm_put_string(o, reason);
                sg_llm_put(o, SG_STR("}"));
        } else {
                sg_llm_put(o, SG_STR("null"));
        }
        sg_llm_put(o, SG_STR(",\"model\":"));
        sg_llm_put(o, sg_buf_view(&out->model));
        sg_llm_put(o, SG_STR(",\"output\":["));
        for (size_t i = 0; i < out->n_items; i++) {
                if (i)
                        sg_llm_put(o, SG_STR(","));
                sg_responses_put_item(out, o, i);
        }
        sg_llm_put(o, SG_STR("],\"previous_response_id\":null,\"store\":false,\"truncation\":\"disabled\""));
        sg_llm_put(o, sg_buf_view(&out->echo));
        put_usage(o, usage);
        sg_llm_put(o, SG_STR("}"));
}
