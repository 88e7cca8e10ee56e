#include "feed/total.h"

#define DIGITS_MICRO 6u

static bool read_u64(struct json_object *o, const char *name, uint64_t *ret)
{
        struct json_object *value;
        int64_t n;

        if (!json_object_object_get_ex(o, name, &value) || !json_object_is_type(value, json_type_int))
                return false;
        n = json_object_get_int64(value);
        /* json-c clamps what does not fit. */
        if (n < 0 || n == INT64_MAX)
                return false;
        *ret = (uint64_t)n;
        return true;
}

static bool read_text(struct json_object *o, const char *name, struct sg_str *ret)
{
        struct json_object *value;

        if (!json_object_object_get_ex(o, name, &value) || !json_object_is_type(value, json_type_string))
                return false;
        *ret = sg_str_make(json_object_get_string(value), (size_t)json_object_get_string_len(value));
        return ret->n > 0 && sg_str_find_byte(*ret, '\0') == ret->n;
}

/* "0.0025" in millionths. What is below one is left out: a total is what was used at least. */
static bool read_amount(struct sg_str text, uint64_t *ret)
{
        struct sg_str whole;
        bool has_point = sg_str_cut(&text, '.', &whole);
        uint64_t n, behind = 0, digits = 0;

        if (sg_str_to_u64(whole, &n) || (has_point && sg_str_to_u64(text, &digits)))
                return false;
        for (size_t i = 0; i < DIGITS_MICRO; i++)
                behind = 10 * behind + (i < text.n ? (uint64_t)(text.p[i] - '0') : 0);
        *ret = n > UINT64_MAX / 1000000 - 1 ? UINT64_MAX : 1000000 * n + behind;
        return true;
}

static bool read_costs(struct sg_feed_total *t, struct json_object *o)
{
        struct json_object *list;

        t->n_costs = 0;
        if (!json_object_object_get_ex(o, "costs", &list) || !list)
                return true;
        if (!json_object_is_type(list, json_type_array) || json_object_array_length(list) > SG_FEED_COSTS_MAX)
                return false;
        for (size_t i = 0; i < json_object_array_length(list); i++) {
                struct json_object *one = json_object_array_get_idx(list, i);
                struct sg_feed_cost *cost = &t->costs[t->n_costs++];
                struct sg_str currency, amount;

                if (!json_object_is_type(one, json_type_object) || !read_text(one, "currency", &currency) ||
                    currency.n != sizeof(cost->currency) - 1 || !read_text(one, "amount", &amount) ||
                    !read_amount(amount, &cost->micro))
                        return false;
                (void)sg_str_copy(cost->currency, sizeof(cost->currency), currency);
        }
        return true;
}

static bool read_window(struct sg_feed_total *t, struct json_object *o)
{
        struct sg_str window;

        if (!read_text(o, "window", &window))
                return false;
        t->window = sg_str_eq(window, SG_STR("day")) ? SG_WINDOW_DAY : SG_WINDOW_MONTH;
        return sg_str_eq(window, sg_str_from(sg_limit_window_name(t->window)));
}

static bool read_subject(struct sg_feed_total *t, struct json_object *o)
{
        static const char *const of[SG_FEED_TOTAL_N] = {"key", "group", "model", "provider"};
        struct sg_str word;
        unsigned i = 0;

        if (!read_text(o, "of", &word))
                return false;
        while (i < SG_FEED_TOTAL_N && !sg_str_eq(word, sg_str_from(of[i])))
                i++;
        if (i == SG_FEED_TOTAL_N)
                return false;
        t->of = (enum sg_feed_total_of)i;
        t->id = 0;
        t->name = SG_STR_NONE;
        return t->of <= SG_FEED_TOTAL_GROUP ? read_u64(o, "id", &t->id) : read_text(o, "name", &t->name);
}

bool sg_feed_total_read(struct sg_feed_total *ret, struct json_object *o)
{
        return json_object_is_type(o, json_type_object) && read_subject(ret, o) && read_window(ret, o) &&
               read_u64(o, "period", &ret->period) && read_u64(o, "requests", &ret->requests) &&
               read_u64(o, "tokens", &ret->tokens) && read_costs(ret, o);
}
