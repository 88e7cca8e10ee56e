#include "base/limits.h"
#include "llm/text.h"

#define TOKENS_MAX (UINT64_C(1) << 53)

enum {
        U_PROMPT,
        U_COMPLETION,
        U_TOTAL,
        U_INPUT, /* the Responses API's names for the same */
        U_OUTPUT,
        U_PROMPT_DETAILS,
        U_COMPLETION_DETAILS,
        U_INPUT_DETAILS,
        U_OUTPUT_DETAILS,
        U_CACHE_HIT, /* DeepSeek */
        U_CACHE_MISS,
        U_CACHED, /* Moonshot */
        U_N,
};

/* A count, or nothing: what is negative, broken or absurd is no figure. Zero is one. */
static bool count(struct sg_json_value v, uint64_t *ret)
{
        uint64_t n;

        if (!sg_json_u64(v, &n) || n > TOKENS_MAX)
                return false;
        *ret = n;
        return true;
}

static bool count_either(const struct sg_json_want *a, const struct sg_json_want *b, uint64_t *ret)
{
        return count(a->value, ret) || count(b->value, ret);
}

static void read_input_details(struct sg_usage *u, struct sg_json_value details)
{
        (void)count(sg_json_get(details, SG_STR("cached_tokens")), &u->cached_tokens);
        (void)count(sg_json_get(details, SG_STR("cache_write_tokens")), &u->cache_write_tokens);
        (void)count(sg_json_get(details, SG_STR("audio_tokens")), &u->audio_input_tokens);
        (void)count(sg_json_get(details, SG_STR("image_tokens")), &u->image_tokens);
}

static void read_output_details(struct sg_usage *u, struct sg_json_value details)
{
        (void)count(sg_json_get(details, SG_STR("reasoning_tokens")), &u->reasoning_tokens);
        (void)count(sg_json_get(details, SG_STR("audio_tokens")), &u->audio_output_tokens);
}

/* The two totals, from whichever figures there are. False when there are none. */
static bool read_totals(struct sg_usage *u, const struct sg_json_want w[U_N])
{
        uint64_t total = 0, hit = 0, miss = 0;
        bool has_total = count(w[U_TOTAL].value, &total);
        bool has_hit = count(w[U_CACHE_HIT].value, &hit), has_miss = count(w[U_CACHE_MISS].value, &miss);
        bool has_output = count_either(&w[U_COMPLETION], &w[U_OUTPUT], &u->output_tokens);
        bool has_input = count_either(&w[U_PROMPT], &w[U_INPUT], &u->input_tokens);

        if (!has_input && (has_hit || has_miss)) {
                u->input_tokens = hit + miss;
                has_input = true;
        }
        if (!has_input && has_total)
                u->input_tokens = total > u->output_tokens ? total - u->output_tokens : 0;
        else if (!has_output && has_total)
                u->output_tokens = total > u->input_tokens ? total - u->input_tokens : 0;
        return has_input || has_output || has_total;
}

static bool read_object(struct sg_usage *ret, struct sg_json_value object)
{
        struct sg_json_want w[U_N] = {
                [U_PROMPT] = {.name = SG_STR("prompt_tokens")},
                [U_COMPLETION] = {.name = SG_STR("completion_tokens")},
                [U_TOTAL] = {.name = SG_STR("total_tokens")},
                [U_INPUT] = {.name = SG_STR("input_tokens")},
                [U_OUTPUT] = {.name = SG_STR("output_tokens")},
                [U_PROMPT_DETAILS] = {.name = SG_STR("prompt_tokens_details")},
                [U_COMPLETION_DETAILS] = {.name = SG_STR("completion_tokens_details")},
                [U_INPUT_DETAILS] = {.name = SG_STR("input_tokens_details")},
                [U_OUTPUT_DETAILS] = {.name = SG_STR("output_tokens_details")},
                [U_CACHE_HIT] = {.name = SG_STR("prompt_cache_hit_tokens")},
                [U_CACHE_MISS] = {.name = SG_STR("prompt_cache_miss_tokens")},
                [U_CACHED] = {.name = SG_STR("cached_tokens")},
        };
        struct sg_usage u = {.certainty = SG_CERTAINTY_MEASURED};

        if (sg_json_slice_last(object.text, w, U_N, NULL) || !read_totals(&u, w))
                return false;
        /* from the least to the most specific place; the same figure may stand in several */
        (void)count_either(&w[U_CACHE_HIT], &w[U_CACHED], &u.cached_tokens);
        read_input_details(&u, w[U_INPUT_DETAILS].value);
        read_input_details(&u, w[U_PROMPT_DETAILS].value);
        read_output_details(&u, w[U_OUTPUT_DETAILS].value);
        read_output_details(&u, w[U_COMPLETION_DETAILS].value);
        /* parts never exceed their whole, or prices would be taken of less than nothing; raw keeps what was said */
        u.cached_tokens = SG_MIN(u.cached_tokens, u.input_tokens);
        u.cache_write_tokens = SG_MIN(u.cache_write_tokens, u.input_tokens - u.cached_tokens);
        u.reasoning_tokens = SG_MIN(u.reasoning_tokens, u.output_tokens);
        if (object.text.n <= SG_RAW_USAGE_BYTES_MAX)
                u.raw = object.text;
        *ret = u;
        return true;
}

bool sg_usage_read(struct sg_usage *ret, struct sg_json_value object)
{
        return object.kind == SG_JSON_OBJECT && read_object(ret, object); /* in most events there is none */
}

uint64_t sg_usage_guess(uint64_t text_bytes)
{
        return text_bytes / 4 + (text_bytes % 4 != 0);
}

void sg_usage_fill_input(struct sg_usage *u, uint64_t prompt_bytes)
{
        if (u->certainty == SG_CERTAINTY_ESTIMATED && u->input_tokens == 0)
                u->input_tokens = sg_usage_guess(prompt_bytes);
}
