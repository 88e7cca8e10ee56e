/* Two families of names. Where a prompt's figure is called prompt_tokens, or stands as input_tokens without any of the
 * members below, what was cached is inside of it (OpenAI and all who speak like it, Responses, images, transcriptions).
 * Anthropic's input_tokens is known by a member cache_read_input_tokens, cache_creation_input_tokens or cache_creation
 * beside it, null or not, where there is neither a prompt_tokens nor an input_tokens_details: then the cached are to be
 * added. Without these members nothing was cached, and both readings give the same. */
#include "llm/usage.h"

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
        U_INPUT_TOKEN_DETAILS, /* transcriptions: not the same name */
        U_OUTPUT_TOKEN_DETAILS,
        U_CACHE_HIT, /* DeepSeek */
        U_CACHE_MISS,
        U_CACHED,     /* Moonshot */
        U_CACHE_READ, /* Anthropic */
        U_CACHE_WRITE,
        U_CACHE_CREATION,
        U_MESSAGE_START, /* the two places of its streams, as the judge keeps them */
        U_MESSAGE_DELTA,
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
        if (details.kind != SG_JSON_OBJECT) /* of the three places two at least */
                return;
        (void)count(sg_json_get(details, SG_STR("cached_tokens")), &u->cached_tokens);
        (void)count(sg_json_get(details, SG_STR("cache_write_tokens")), &u->cache_write_tokens);
        (void)count(sg_json_get(details, SG_STR("audio_tokens")), &u->audio_input_tokens);
        (void)count(sg_json_get(details, SG_STR("image_tokens")), &u->image_tokens);
}

static void read_output_details(struct sg_usage *u, struct sg_json_value details)
{
        if (details.kind != SG_JSON_OBJECT)
                return;
        (void)count(sg_json_get(details, SG_STR("thinking_tokens")), &u->reasoning_tokens);
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

/* Parts never exceed their whole, or prices would be taken of less than nothing; raw keeps what was said. */
static void clamp(struct sg_usage *u)
{
        u->cached_tokens = SG_MIN(u->cached_tokens, u->input_tokens);
        u->cache_write_tokens = SG_MIN(u->cache_write_tokens, u->input_tokens - u->cached_tokens);
        u->cache_write_1h_tokens = SG_MIN(u->cache_write_1h_tokens, u->cache_write_tokens);
        u->audio_input_tokens = SG_MIN(u->audio_input_tokens, u->input_tokens);
        u->image_tokens = SG_MIN(u->image_tokens, u->input_tokens);
        u->reasoning_tokens = SG_MIN(u->reasoning_tokens, u->output_tokens);
        u->audio_output_tokens = SG_MIN(u->audio_output_tokens, u->output_tokens);
}

/* ---- Anthropic */

/* The total is the sum of its parts where only these are given. */
static bool read_cache_creation(struct sg_messages_usage *m, struct sg_json_value total, struct sg_json_value parts)
{
        uint64_t short_lived = 0, hour = 0;
        bool has_short = count(sg_json_get(parts, SG_STR("ephemeral_5m_input_tokens")), &short_lived);
        bool has_hour = count(sg_json_get(parts, SG_STR("ephemeral_1h_input_tokens")), &hour);
        bool has_total = count(total, &m->cache_write);

        if (has_hour)
                m->cache_write_1h = hour;
        if (!has_total && (has_short || has_hour))
                m->cache_write = short_lived + hour;
        return has_total || has_short || has_hour;
}

bool sg_messages_usage_read(struct sg_messages_usage *m, struct sg_json_value object)
{
        struct sg_json_value details = sg_json_get(object, SG_STR("output_tokens_details"));
        bool has_input = count(sg_json_get(object, SG_STR("input_tokens")), &m->input);
        bool has_output = count(sg_json_get(object, SG_STR("output_tokens")), &m->output);
        bool has_read = count(sg_json_get(object, SG_STR("cache_read_input_tokens")), &m->cache_read);
        bool has_write = read_cache_creation(m, sg_json_get(object, SG_STR("cache_creation_input_tokens")),
                                             sg_json_get(object, SG_STR("cache_creation")));

        (void)count(sg_json_get(details, SG_STR("reasoning_tokens")), &m->reasoning);
        (void)count(sg_json_get(details, SG_STR("thinking_tokens")), &m->reasoning);
        m->has_input |= has_input;
        m->has_output |= has_output;
        return has_input || has_output || has_read || has_write;
}

struct sg_usage sg_messages_usage_sum(const struct sg_messages_usage *m)
{
        struct sg_usage u = {
                .certainty = SG_CERTAINTY_MEASURED,
                .input_tokens = m->input + m->cache_read + m->cache_write, /* of 2^53 each at most */
                .output_tokens = m->output,
                .cached_tokens = m->cache_read,
                .cache_write_tokens = m->cache_write,
                .cache_write_1h_tokens = m->cache_write_1h,
                .reasoning_tokens = m->reasoning,
        };

        clamp(&u);
        return u;
}

static bool is_messages(const struct sg_json_want w[U_N])
{
        bool has_cache = w[U_CACHE_READ].n || w[U_CACHE_WRITE].n || w[U_CACHE_CREATION].n;

        return has_cache && !w[U_PROMPT].n && w[U_INPUT_DETAILS].value.kind != SG_JSON_OBJECT;
}

/* The output beside a message_start is none: sg_llm_stream_usage() does not take it either. */
static bool read_messages_stream(struct sg_messages_usage *m, const struct sg_json_want w[U_N])
{
        bool has_start = sg_messages_usage_read(m, w[U_MESSAGE_START].value);

        m->output = 0;
        m->has_output = false;
        return sg_messages_usage_read(m, w[U_MESSAGE_DELTA].value) || has_start;
}

/* ---- all others */

static bool read_common(struct sg_usage *u, const struct sg_json_want w[U_N])
{
        if (!read_totals(u, w))
                return false;
        /* from the least to the most specific place; the same figure may stand in several */
        (void)count(w[U_CACHE_READ].value, &u->cached_tokens); /* beside prompt_tokens: some gateways */
        (void)count(w[U_CACHE_WRITE].value, &u->cache_write_tokens);
        (void)count_either(&w[U_CACHE_HIT], &w[U_CACHED], &u->cached_tokens);
        read_input_details(u, w[U_INPUT_TOKEN_DETAILS].value);
        read_input_details(u, w[U_INPUT_DETAILS].value);
        read_input_details(u, w[U_PROMPT_DETAILS].value);
        read_output_details(u, w[U_OUTPUT_TOKEN_DETAILS].value);
        read_output_details(u, w[U_OUTPUT_DETAILS].value);
        read_output_details(u, w[U_COMPLETION_DETAILS].value);
        clamp(u);
        return true;
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
                [U_INPUT_TOKEN_DETAILS] = {.name = SG_STR("input_token_details")},
                [U_OUTPUT_TOKEN_DETAILS] = {.name = SG_STR("output_token_details")},
                [U_CACHE_HIT] = {.name = SG_STR("prompt_cache_hit_tokens")},
                [U_CACHE_MISS] = {.name = SG_STR("prompt_cache_miss_tokens")},
                [U_CACHED] = {.name = SG_STR("cached_tokens")},
                [U_CACHE_READ] = {.name = SG_STR("cache_read_input_tokens")},
                [U_CACHE_WRITE] = {.name = SG_STR("cache_creation_input_tokens")},
                [U_CACHE_CREATION] = {.name = SG_STR("cache_creation")},
                [U_MESSAGE_START] = {.name = SG_STR("message_start")},
                [U_MESSAGE_DELTA] = {.name = SG_STR("message_delta")},
        };
        struct sg_usage u = {.certainty = SG_CERTAINTY_MEASURED};
        struct sg_messages_usage m = {0};

        if (sg_json_slice_last(object.text, w, U_N, NULL))
                return false;
        if (w[U_MESSAGE_START].n || w[U_MESSAGE_DELTA].n) {
                if (!read_messages_stream(&m, w))
                        return false;
                u = sg_messages_usage_sum(&m);
        } else if (is_messages(w)) {
                if (!sg_messages_usage_read(&m, object))
                        return false;
                u = sg_messages_usage_sum(&m);
        } else if (!read_common(&u, w)) {
                return false;
        }
        if (object.text.n <= SG_RAW_USAGE_BYTES_MAX)
                u.raw = object.text;
        *ret = u;
        return true;
}

bool sg_usage_read(struct sg_usage *ret, struct sg_json_value object)
{
        return object.kind == SG_JSON_OBJECT && read_object(ret, object); /* in most events there is none */
}

struct sg_str sg_usage_raw_of(struct sg_json_value object)
{
        bool is_kept = object.kind == SG_JSON_OBJECT && object.text.n <= SG_RAW_USAGE_BYTES_MAX;

        return is_kept && sg_json_get(object, SG_STR("seconds")).kind == SG_JSON_NUMBER ? object.text : SG_STR_NONE;
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
