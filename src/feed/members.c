#include "feed/members.h"

static const char *const names[SG_FEED_MEMBER_N] = {
        [SG_FEED_ID] = "id",
        [SG_FEED_NAME] = "name",
        [SG_FEED_DIGEST] = "digest",
        [SG_FEED_MODELS] = "models",
        [SG_FEED_EXPIRES] = "expires_wall_usec",
        [SG_FEED_REVOKED] = "revoked",
        [SG_FEED_REMOVED] = "removed",
        [SG_FEED_GROUP] = "group",
        [SG_FEED_LIMITS] = "limits",
        [SG_FEED_PARENT] = "parent",
        [SG_FEED_VERSION] = "version",
        [SG_FEED_FORMAT] = "format",
};

static struct sg_feed_value wrong(void)
{
        return (struct sg_feed_value){.kind = SG_FEED_WRONG};
}

static struct sg_feed_value number(uint64_t n)
{
        return n < INT64_MAX ? (struct sg_feed_value){.kind = SG_FEED_NUMBER, .number = n} : wrong();
}

static struct sg_feed_value text(struct sg_str s)
{
        return sg_str_find_byte(s, '\0') == s.n ? (struct sg_feed_value){.kind = SG_FEED_TEXT, .text = s} : wrong();
}

/* ---- out of a tree */

static struct sg_feed_value of_tree(struct json_object *o)
{
        int64_t n;

        switch (json_object_get_type(o)) {
        case json_type_null:
                return (struct sg_feed_value){.kind = SG_FEED_NULL};
        case json_type_boolean:
                return (struct sg_feed_value){.kind = SG_FEED_FLAG, .flag = json_object_get_boolean(o)};
        case json_type_int:
                n = json_object_get_int64(o); /* clamps what does not fit */
                return n < 0 ? wrong() : number((uint64_t)n);
        case json_type_string:
                return text(sg_str_make(json_object_get_string(o), (size_t)json_object_get_string_len(o)));
        case json_type_array:
                return (struct sg_feed_value){.kind = SG_FEED_LIST, .tree = o};
        default:
                return wrong();
        }
}

bool sg_feed_told_tree(struct sg_feed_told *ret, struct json_object *o)
{
        struct json_object *value;

        *ret = (struct sg_feed_told){.room = NULL};
        if (!json_object_is_type(o, json_type_object))
                return false;
        for (unsigned i = 0; i < SG_FEED_MEMBER_N; i++)
                if (json_object_object_get_ex(o, names[i], &value))
                        ret->at[i] = of_tree(value);
        return true;
}

/* ---- out of a text */

static struct sg_feed_value of_string(struct sg_feed_told *told, struct sg_json_value v)
{
        struct sg_str plain;
        size_t n;

        if (sg_json_plain(v, &plain))
                return text(plain);
        /* What is decoded is shorter than what it is decoded from, by the quotes at least. */
        if (!sg_json_copy(v, told->room, v.text.n, &n))
                return wrong();
        plain = sg_str_make(told->room, n);
        told->room += v.text.n;
        return text(plain);
}

static struct sg_feed_value of_text(struct sg_feed_told *told, struct sg_json_value v)
{
        uint64_t n;

        switch (v.kind) {
        case SG_JSON_NONE:
                return (struct sg_feed_value){.kind = SG_FEED_ABSENT};
        case SG_JSON_NULL:
                return (struct sg_feed_value){.kind = SG_FEED_NULL};
        case SG_JSON_FALSE:
        case SG_JSON_TRUE:
                return (struct sg_feed_value){.kind = SG_FEED_FLAG, .flag = v.kind == SG_JSON_TRUE};
        case SG_JSON_NUMBER:
                return sg_str_to_u64(v.text, &n) ? wrong() : number(n);
        case SG_JSON_STRING:
                return of_string(told, v);
        case SG_JSON_ARRAY:
                return (struct sg_feed_value){.kind = SG_FEED_LIST, .json = v};
        case SG_JSON_OBJECT:
                return (struct sg_feed_value){.kind = SG_FEED_OBJECT, .json = v};
        case SG_JSON_KIND_N:
                break;
        }
        SG_UNREACHABLE();
}

bool sg_feed_told_text(struct sg_feed_told *ret, struct sg_str json, char *room)
{
        struct sg_json_want wants[SG_FEED_MEMBER_N] = {};

        for (unsigned i = 0; i < SG_FEED_MEMBER_N; i++)
                wants[i].name = sg_str_from(names[i]);
        if (sg_json_slice(json, wants, SG_FEED_MEMBER_N, NULL))
                return false;
        *ret = (struct sg_feed_told){.room = room};
        for (unsigned i = 0; i < SG_FEED_MEMBER_N; i++)
                ret->at[i] = of_text(ret, wants[i].value);
        return true;
}

/* ---- lists */

static bool add(struct sg_feed_value v, struct sg_str *ret, size_t max, size_t *n)
{
        if (v.kind != SG_FEED_TEXT || *n == max)
                return false;
        ret[(*n)++] = v.text;
        return true;
}

bool sg_feed_told_strings(struct sg_feed_told *told, enum sg_feed_member m, struct sg_str *ret, size_t max,
                          size_t *ret_n)
{
        const struct sg_feed_value *v = &told->at[m];
        struct sg_json_value item;
        struct sg_str name;
        size_t at = 0, n = 0;

        if (v->kind != SG_FEED_LIST)
                return false;
        for (size_t i = 0; v->tree && i < json_object_array_length(v->tree); i++)
                if (!add(of_tree(json_object_array_get_idx(v->tree, i)), ret, max, &n))
                        return false;
        while (!v->tree && sg_json_each(v->json, &at, &name, &item))
                if (!add(of_text(told, item), ret, max, &n))
                        return false;
        *ret_n = n;
        return true;
}
