#include "feed/change.h"

#include "base/digest.h"

/* ---- reading */

/* Absent and null count as 0. */
static bool read_number(const struct sg_feed_value *v, uint64_t *ret)
{
        *ret = v->number;
        return v->kind == SG_FEED_NUMBER || v->kind == SG_FEED_NULL || v->kind == SG_FEED_ABSENT;
}

static bool read_id(const struct sg_feed_told *told, uint64_t *ret_id, bool *ret_is_removed)
{
        const struct sg_feed_value *id = &told->at[SG_FEED_ID], *removed = &told->at[SG_FEED_REMOVED];

        *ret_id = id->number;
        *ret_is_removed = removed->flag;
        return id->kind == SG_FEED_NUMBER && (removed->kind == SG_FEED_FLAG || removed->kind == SG_FEED_ABSENT);
}

static bool read_name(const struct sg_feed_told *told, struct sg_str *ret)
{
        const struct sg_feed_value *v = &told->at[SG_FEED_NAME];

        *ret = v->text;
        return v->kind == SG_FEED_TEXT && v->text.n > 0 && v->text.n <= SG_NAME_BYTES_MAX;
}

static bool read_models(struct sg_feed_change *c, struct sg_feed_told *told)
{
        c->key.models = c->models;
        /* Must be said: a list that was lost on the way must not mean "all". */
        c->key.all_models = told->at[SG_FEED_MODELS].kind == SG_FEED_NULL;
        return c->key.all_models ||
               sg_feed_told_strings(told, SG_FEED_MODELS, c->models, SG_FEED_MODELS_MAX, &c->key.n_models);
}

/* A limit that we do not understand is not passed over: it would not hold. */
static bool read_limits(struct sg_feed_told *told, struct sg_limit_set **ret)
{
        const enum sg_feed_kind kind = told->at[SG_FEED_LIMITS].kind;
        struct sg_limit limits[SG_LIMITS_MAX];
        struct sg_str texts[SG_LIMITS_MAX];
        size_t n;

        if (kind == SG_FEED_NULL || kind == SG_FEED_ABSENT)
                return true;
        if (!sg_feed_told_strings(told, SG_FEED_LIMITS, texts, SG_LIMITS_MAX, &n))
                return false;
        for (size_t i = 0; i < n; i++)
                if (sg_limit_parse(&limits[i], texts[i], NULL))
                        return false;
        return sg_limit_set_new(ret, limits, n, NULL) == 0;
}

bool sg_feed_change_read(struct sg_feed_change *ret, struct sg_feed_told *told)
{
        const struct sg_feed_value *digest = &told->at[SG_FEED_DIGEST], *revoked = &told->at[SG_FEED_REVOKED];
        struct sg_key_change *key = &ret->key;

        *key = (struct sg_key_change){.is_revoked = revoked->flag};
        if (!read_id(told, &key->id, &key->is_removed))
                return false;
        if (key->is_removed)
                return true;
        return read_name(told, &key->name) && digest->kind == SG_FEED_TEXT &&
               sg_unhex(key->digest, SG_APIKEY_DIGEST_BYTES, digest->text.p, digest->text.n) == 0 &&
               revoked->kind == SG_FEED_FLAG && read_number(&told->at[SG_FEED_EXPIRES], &key->expires_wall_usec) &&
               read_number(&told->at[SG_FEED_GROUP], &key->group_id) && read_models(ret, told) &&
               read_limits(told, &key->limits);
}

void sg_feed_change_done(struct sg_feed_change *c)
{
        c->key.limits = sg_limit_set_unref(c->key.limits);
}

bool sg_feed_group_read(struct sg_group_change *ret, struct sg_feed_told *told)
{
        *ret = (struct sg_group_change){.id = 0};
        if (!read_id(told, &ret->id, &ret->is_removed))
                return false;
        return ret->is_removed ||
               (read_name(told, &ret->name) && read_number(&told->at[SG_FEED_PARENT], &ret->parent_id) &&
                read_limits(told, &ret->limits));
}

void sg_feed_group_done(struct sg_group_change *c)
{
        c->limits = sg_limit_set_unref(c->limits);
}

/* ---- writing */

static int write_models(struct sg_buf *b, const struct sg_key_change *c)
{
        int r;

        if (c->all_models)
                return sg_buf_add(b, SG_STR("null"));
        r = sg_buf_add(b, SG_STR("["));
        for (size_t i = 0; i < c->n_models && !r; i++) {
                if (i)
                        r = sg_buf_add(b, SG_STR(","));
                if (!r)
                        r = sg_buf_add_json_string(b, c->models[i]);
        }
        return r ? r : sg_buf_add(b, SG_STR("]"));
}

static int write_limits(struct sg_buf *b, const struct sg_limit_set *set)
{
        char text[SG_LIMIT_TEXT_BYTES];
        int r;

        if (!set)
                return 0;
        r = sg_buf_add(b, SG_STR(",\"limits\":["));
        for (size_t i = 0; i < set->n && !r; i++) {
                if (i)
                        r = sg_buf_add(b, SG_STR(","));
                if (!r)
                        r = sg_buf_add_json_string(b, sg_str_from(sg_limit_text(&set->at[i].limit, text)));
        }
        return r ? r : sg_buf_add(b, SG_STR("]"));
}

static int write_removed(struct sg_buf *b, uint64_t id)
{
        return sg_buf_printf(b, "{\"id\":%llu,\"removed\":true}", (unsigned long long)id);
}

static int write_name(struct sg_buf *b, uint64_t id, struct sg_str name)
{
        int r = sg_buf_printf(b, "{\"id\":%llu,\"name\":", (unsigned long long)id);

        return r ? r : sg_buf_add_json_string(b, name);
}

int sg_feed_change_write(struct sg_buf *b, const struct sg_key_change *c)
{
        char digest[2 * SG_APIKEY_DIGEST_BYTES + 1];
        int r;

        if (c->is_removed)
                return write_removed(b, c->id);
        sg_hex(digest, c->digest, SG_APIKEY_DIGEST_BYTES);
        r = write_name(b, c->id, c->name);
        if (!r)
                r = sg_buf_printf(b, ",\"digest\":\"%s\",\"models\":", digest);
        if (!r)
                r = write_models(b, c);
        if (!r)
                r = sg_buf_printf(b, ",\"expires_wall_usec\":%llu,\"revoked\":%s",
                                  (unsigned long long)c->expires_wall_usec, c->is_revoked ? "true" : "false");
        if (!r && c->group_id)
                r = sg_buf_printf(b, ",\"group\":%llu", (unsigned long long)c->group_id);
        if (!r)
                r = write_limits(b, c->limits);
        return r ? r : sg_buf_add(b, SG_STR("}"));
}

int sg_feed_group_write(struct sg_buf *b, const struct sg_group_change *c)
{
        int r;

        if (c->is_removed)
                return write_removed(b, c->id);
        r = write_name(b, c->id, c->name);
        if (!r && c->parent_id)
                r = sg_buf_printf(b, ",\"parent\":%llu", (unsigned long long)c->parent_id);
        if (!r)
                r = write_limits(b, c->limits);
        return r ? r : sg_buf_add(b, SG_STR("}"));
}

int sg_feed_key_write(struct sg_buf *b, const struct sg_key *k)
{
        struct sg_str models[SG_FEED_MODELS_MAX];
        struct sg_key_change c = {
                .id = k->id,
                .name = sg_str_from(k->name),
                .expires_wall_usec = k->expires_wall_usec,
                .is_revoked = k->is_revoked,
                .all_models = k->all_models,
                .models = models,
                .n_models = k->n_models,
                .group_id = k->group ? k->group->id : 0,
                .limits = k->limits,
        };

        SG_ASSERT(k->n_models <= SG_FEED_MODELS_MAX);
        memcpy(c.digest, k->digest, sizeof(c.digest));
        for (size_t i = 0; i < k->n_models; i++)
                models[i] = sg_str_from(k->models[i]);
        return sg_feed_change_write(b, &c);
}
