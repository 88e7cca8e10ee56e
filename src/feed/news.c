#include "feed/news.h"

#include <errno.h>

/* True where there is none. */
static bool read_list(struct json_object *o, const char *name, struct json_object **ret)
{
        struct json_object *value = NULL;

        *ret = NULL;
        if (!json_object_object_get_ex(o, name, &value) || !value)
                return true;
        *ret = value;
        return json_object_is_type(value, json_type_array);
}

/* *ret_is_there may be NULL; absent and null count as false. */
static bool read_flag(struct json_object *o, const char *name, bool *ret, bool *ret_is_there)
{
        struct json_object *value = NULL;

        (void)json_object_object_get_ex(o, name, &value);
        *ret = value && json_object_get_boolean(value);
        if (ret_is_there)
                *ret_is_there = value;
        return !value || json_object_is_type(value, json_type_boolean);
}

bool sg_feed_news_read(struct sg_feed_news *n, struct json_object *o)
{
        const struct sg_feed_value *version;
        struct sg_feed_told told;

        *n = (struct sg_feed_news){};
        if (!sg_feed_told_tree(&told, o) || !read_list(o, "groups", &n->groups) ||
            !read_list(o, "changes", &n->changes) || !read_list(o, "totals", &n->totals))
                return false;
        version = &told.at[SG_FEED_VERSION];
        n->has_version = version->kind == SG_FEED_NUMBER;
        n->version = version->number;
        if (!n->has_version && version->kind != SG_FEED_ABSENT && version->kind != SG_FEED_NULL)
                return false;
        return read_flag(o, "complete", &n->is_complete, NULL) && read_flag(o, "stale", &n->is_stale, &n->has_stale);
}

static size_t count(struct json_object *list)
{
        return list ? json_object_array_length(list) : 0;
}

/* ---- each group, each key: to one of two places */

static int each_group(struct json_object *item, struct sg_picture *p, struct sg_keytable *t)
{
        struct sg_group_change change = {.id = 0};
        struct sg_feed_told told;
        int r = -EBADMSG;

        if (sg_feed_told_tree(&told, item) && sg_feed_group_read(&change, &told))
                r = p ? sg_picture_add_group(p, &change) : sg_keytable_apply_group(t, &change);
        sg_feed_group_done(&change);
        return r;
}

static int each_key(struct json_object *item, struct sg_picture *p, struct sg_keytable *t)
{
        struct sg_feed_change change = {.key = {.id = 0}};
        struct sg_feed_told told;
        int r = -EBADMSG;

        if (sg_feed_told_tree(&told, item) && sg_feed_change_read(&change, &told))
                r = p ? sg_picture_add(p, &change.key) : sg_keytable_apply(t, &change.key);
        sg_feed_change_done(&change);
        return r;
}

static int each(const struct sg_feed_news *n, struct sg_picture *p, struct sg_keytable *t)
{
        int r = 0;

        for (size_t i = 0; i < count(n->groups) && !r; i++)
                r = each_group(json_object_array_get_idx(n->groups, i), p, t);
        for (size_t i = 0; i < count(n->changes) && !r; i++)
                r = each_key(json_object_array_get_idx(n->changes, i), p, t);
        return r;
}

int sg_feed_news_collect(const struct sg_feed_news *n, struct sg_picture *p, uint64_t version)
{
        int r = each(n, p, NULL);

        return r ? r : sg_picture_commit(p, version);
}

int sg_feed_news_apply(const struct sg_feed_news *n, struct sg_keytable *t)
{
        return each(n, NULL, t);
}

int sg_feed_news_totals(const struct sg_feed_news *n, void (*on_total)(const struct sg_feed_total *t, void *owner),
                        void *owner)
{
        for (size_t i = 0; i < count(n->totals); i++) {
                struct sg_feed_total total;

                if (!sg_feed_total_read(&total, json_object_array_get_idx(n->totals, i)))
                        return -EBADMSG;
                if (on_total)
                        on_total(&total, owner);
        }
        return 0;
}
