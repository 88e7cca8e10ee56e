#include "feed/change.h"
#include "base/digest.h"

bool sg_feed_read_u64(struct json_object *o, const char *name, uint64_t *ret)
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

static bool read_string(struct json_object *value, struct sg_str *ret)
{
        if (!json_object_is_type(value, json_type_string))
                return false;
        *ret = sg_str_make(json_object_get_string(value), (size_t)json_object_get_string_len(value));
        return memchr(ret->p, '\0', ret->n) == NULL;
}

/* Absent counts as false. */
static bool read_flag(struct json_object *o, const char *name, bool *ret)
{
        struct json_object *value;

        *ret = false;
        if (!json_object_object_get_ex(o, name, &value))
                return true;
        if (!json_object_is_type(value, json_type_boolean))
                return false;
        *ret = json_object_get_boolean(value);
        return true;
}

static bool read_models(struct sg_feed_change *c, struct json_object *o)
{
        struct json_object *value;

        /* Must be said: a list that was lost on the way must not mean "all". */
        if (!json_object_object_get_ex(o, "models", &value))
                return false;
        c->key.all_models = !value;
        c->key.models = c->models;
        if (!value)
                return true;
        if (!json_object_is_type(value, json_type_array) || json_object_array_length(value) > SG_FEED_MODELS_MAX)
                return false;
        c->key.n_models = json_object_array_length(value);
        for (size_t i = 0; i < c->key.n_models; i++)
                if (!read_string(json_object_array_get_idx(value, i), &c->models[i]))
                        return false;
        return true;
}

bool sg_feed_change_read(struct sg_feed_change *ret, struct json_object *o)
{
        struct json_object *value;
        struct sg_str digest;

        *ret = (struct sg_feed_change){};
        if (!json_object_is_type(o, json_type_object) || !sg_feed_read_u64(o, "id", &ret->key.id) ||
            !read_flag(o, "removed", &ret->key.is_removed))
                return false;
        if (ret->key.is_removed)
                return true;
        if (!json_object_object_get_ex(o, "name", &value) || !read_string(value, &ret->key.name) ||
            ret->key.name.n == 0 || ret->key.name.n > SG_NAME_BYTES_MAX)
                return false;
        if (!json_object_object_get_ex(o, "digest", &value) || !read_string(value, &digest) ||
            sg_unhex(ret->key.digest, SG_APIKEY_DIGEST_BYTES, digest.p, digest.n))
                return false;
        if (!json_object_object_get_ex(o, "revoked", &value) || !read_flag(o, "revoked", &ret->key.is_revoked))
                return false;
        if (json_object_object_get_ex(o, "expires_wall_usec", &value) && value &&
            !sg_feed_read_u64(o, "expires_wall_usec", &ret->key.expires_wall_usec))
                return false;
        return read_models(ret, o);
}

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

int sg_feed_change_write(struct sg_buf *b, const struct sg_key_change *c)
{
        char digest[2 * SG_APIKEY_DIGEST_BYTES + 1];
        int r;

        if (c->is_removed)
                return sg_buf_printf(b, "{\"id\":%llu,\"removed\":true}", (unsigned long long)c->id);
        sg_hex(digest, c->digest, SG_APIKEY_DIGEST_BYTES);
        r = sg_buf_printf(b, "{\"id\":%llu,\"name\":", (unsigned long long)c->id);
        if (!r)
                r = sg_buf_add_json_string(b, c->name);
        if (!r)
                r = sg_buf_printf(b, ",\"digest\":\"%s\",\"models\":", digest);
        if (!r)
                r = write_models(b, c);
        if (!r)
                r = sg_buf_printf(b, ",\"expires_wall_usec\":%llu,\"revoked\":%s}",
                                  (unsigned long long)c->expires_wall_usec, c->is_revoked ? "true" : "false");
        return r;
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
        };

        SG_ASSERT(k->n_models <= SG_FEED_MODELS_MAX);
        memcpy(c.digest, k->digest, sizeof(c.digest));
        for (size_t i = 0; i < k->n_models; i++)
                models[i] = sg_str_from(k->models[i]);
        return sg_feed_change_write(b, &c);
}
