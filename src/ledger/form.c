#include "ledger/form.h"

#include <errno.h>

#include "ledger/store.h"

_Static_assert(SG_KEY_NAME_CHARS_MAX == 64, "SG_FORM_NAME_WORDS");

static struct sg_str text_of(struct json_object *o)
{
        return sg_str_make(json_object_get_string(o), (size_t)json_object_get_string_len(o));
}

/* ---- names */

static bool is_of_name(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
               c == '@' || c == '-';
}

bool sg_form_name_is_good(struct sg_str name)
{
        if (name.n < 1 || name.n > SG_KEY_NAME_CHARS_MAX)
                return false;
        for (size_t i = 0; i < name.n; i++)
                if (!is_of_name(name.p[i]))
                        return false;
        return true;
}

bool sg_form_pattern_is_good(struct sg_str pattern)
{
        if (pattern.n == 0 || pattern.p[pattern.n - 1] != '*')
                return sg_form_name_is_good(pattern);
        return pattern.n == 1 || sg_form_name_is_good(sg_str_head(pattern, pattern.n - 1));
}

/* ---- models */

static const char *pattern_fault(struct sg_str pattern)
{
        if (pattern.n == 0)
                return "is empty";
        if (pattern.n > SG_RECORD_MODEL_BYTES_MAX)
                return "is too long";
        if (sg_str_find_byte(pattern, '*') < pattern.n - 1)
                return "has a * before its end";
        for (size_t i = 0; i < pattern.n; i++)
                if ((unsigned char)pattern.p[i] < 0x20 || pattern.p[i] == 0x7f)
                        return "has a control character";
        return sg_str_is_utf8(pattern) ? NULL : "is not UTF-8";
}

int sg_form_models(struct sg_buf *ret, struct json_object *models, struct sg_error *err)
{
        size_t n = models ? json_object_array_length(models) : 0;
        int r;

        if (!models)
                return 0;
        if (n < 1 || n > SG_FORM_MODELS_MAX)
                return sg_error_set(err, -EINVAL, NULL,
                                    "name 1 to %u models or patterns, or leave models out to allow all",
                                    SG_FORM_MODELS_MAX);
        r = sg_buf_add(ret, SG_STR("["));
        for (size_t i = 0; i < n && !r; i++) {
                struct sg_str pattern = text_of(json_object_array_get_idx(models, i));
                const char *fault = pattern_fault(pattern);

                if (fault)
                        return sg_error_set(
                                err, -EINVAL, NULL,
                                "model pattern %zu %s: give names as clients use them; a * may stand at the end", i + 1,
                                fault);
                if (i > 0)
                        r = sg_buf_add(ret, SG_STR(","));
                if (!r)
                        r = sg_buf_add_json_string(ret, pattern);
        }
        if (!r)
                r = sg_buf_add(ret, SG_STR("]"));
        return r ? sg_error_set(err, -EINVAL, NULL, "too many models") : 0;
}

/* ---- limits */

/* They are no more than a set may have. */
static int read_limits(struct sg_limit *limits, size_t n, struct json_object *texts, struct sg_error *err)
{
        SG_AUTO(sg_limit_set_unref) struct sg_limit_set *set = NULL;
        int r = 0;

        for (size_t i = 0; i < n && !r; i++)
                r = sg_limit_parse(&limits[i], text_of(json_object_array_get_idx(texts, i)), err);
        if (!r)
                r = sg_limit_set_new(&set, limits, n, err);
        return r;
}

int sg_form_limits(struct sg_buf *ret, struct json_object *texts, struct sg_error *err)
{
        size_t n = texts ? json_object_array_length(texts) : 0;
        struct sg_limit limits[SG_LIMITS_MAX] = {0};
        char text[SG_LIMIT_TEXT_BYTES];
        int r;

        if (n > SG_LIMITS_MAX)
                return sg_error_set(err, -EINVAL, NULL, "there are %zu limits; keep at most %u", n, SG_LIMITS_MAX);
        r = read_limits(limits, n, texts, err);
        if (r || n == 0)
                return r;
        r = sg_buf_add(ret, SG_STR("["));
        for (size_t i = 0; i < n && !r; i++) {
                if (i > 0)
                        r = sg_buf_add(ret, SG_STR(","));
                if (!r)
                        r = sg_buf_add_json_string(ret, sg_str_from(sg_limit_text(&limits[i], text)));
        }
        if (!r)
                r = sg_buf_add(ret, SG_STR("]"));
        return r ? sg_error_set(err, -EINVAL, NULL, "too many limits") : 0;
}

/* ---- back */

static struct json_object *array_of(struct sg_str text)
{
        struct json_tokener *t = json_tokener_new();
        struct json_object *o = t ? json_tokener_parse_ex(t, text.p, (int)text.n) : NULL;

        if (t)
                json_tokener_free(t);
        if (json_object_is_type(o, json_type_array))
                return o;
        json_object_put(o);
        return json_object_new_array();
}

struct json_object *sg_form_models_json(struct sg_str text)
{
        return text.n ? array_of(text) : NULL;
}

struct json_object *sg_form_limits_json(struct sg_str text)
{
        return text.n ? array_of(text) : NULL;
}
