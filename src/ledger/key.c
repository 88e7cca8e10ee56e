/* The verbs that make, show and end keys. */
#include <stdio.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/secret.h"
#include "ledger/verbs.h"

#define MODELS_MAX       64u
#define MODELS_BYTES_MAX (MODELS_MAX * 2u * 6u * SG_RECORD_MODEL_BYTES_MAX)
#define FAR_WALL_USEC    UINT64_C(253402300800000000) /* the end of year 9999 */

/* ---- forms */

/* 1 to SG_KEY_NAME_CHARS_MAX of letters, digits and . _ @ - */
static bool name_is_good(struct sg_str name)
{
        if (name.n < 1 || name.n > SG_KEY_NAME_CHARS_MAX)
                return false;
        for (size_t i = 0; i < name.n; i++) {
                char c = name.p[i];

                if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
                      c == '_' || c == '@' || c == '-'))
                        return false;
        }
        return true;
}

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

/* The patterns' JSON text, or what is wrong with them. NULL (all) gives an empty text. */
static int models_text(struct json_object *models, struct sg_buf *ret, char *ret_fault, size_t fault_bytes)
{
        size_t n = models ? json_object_array_length(models) : 0;
        int r;

        if (!models)
                return 0;
        if (n < 1 || n > MODELS_MAX) {
                (void)snprintf(ret_fault, fault_bytes,
                               "name 1 to %u models or patterns, or leave models out to allow all", MODELS_MAX);
                return 1;
        }
        r = sg_buf_add(ret, SG_STR("["));
        for (size_t i = 0; i < n && !r; i++) {
                struct json_object *one = json_object_array_get_idx(models, i);
                struct sg_str pattern =
                        sg_str_make(json_object_get_string(one), (size_t)json_object_get_string_len(one));
                const char *fault = pattern_fault(pattern);

                if (fault) {
                        (void)snprintf(ret_fault, fault_bytes,
                                       "model pattern %zu %s: give names as clients use them; a * may stand at the end",
                                       i + 1, fault);
                        return 1;
                }
                if (i > 0)
                        r = sg_buf_add(ret, SG_STR(","));
                if (!r)
                        r = sg_buf_add_json_string(ret, pattern);
        }
        if (!r)
                r = sg_buf_add(ret, SG_STR("]"));
        if (r)
                (void)snprintf(ret_fault, fault_bytes, "too many models");
        return r ? 1 : 0;
}

/* What cannot be read allows nothing, rather than all. */
static struct json_object *models_json(struct sg_str text)
{
        struct json_tokener *t;
        struct json_object *o;

        if (text.n == 0)
                return NULL;
        t = json_tokener_new();
        o = t ? json_tokener_parse_ex(t, text.p, (int)text.n) : NULL;
        if (t)
                json_tokener_free(t);
        if (o && json_object_is_type(o, json_type_array))
                return o;
        json_object_put(o);
        return json_object_new_array();
}

struct json_object *sg_json_key(const struct sg_store_key *key)
{
        bool is_expired = key->expires_wall_usec && key->expires_wall_usec <= sg_clock_wall_usec();
        struct json_object *o = json_object_new_object();

        sg_members_add_u64(o, "id", key->id);
        sg_members_add_text(o, "name", key->name);
        sg_members_add_text(o, "prefix", sg_str_from(key->prefix));
        sg_members_add_text(o, "state",
                            key->revoked_wall_usec ? SG_STR("revoked")
                            : is_expired           ? SG_STR("expired")
                                                   : SG_STR("active"));
        json_object_object_add(o, "models", models_json(key->models));
        sg_members_add_u64(o, "created_wall_usec", key->created_wall_usec);
        sg_members_add_u64(o, "expires_wall_usec", key->expires_wall_usec);
        sg_members_add_u64(o, "revoked_wall_usec", key->revoked_wall_usec);
        sg_members_add_u64(o, "rotated_wall_usec", key->rotated_wall_usec);
        return o;
}

struct json_object *sg_json_key_change(const struct sg_store_key *key)
{
        struct json_object *o = json_object_new_object();
        char digest[2 * SG_APIKEY_DIGEST_BYTES + 1];

        sg_hex(digest, key->digest, sizeof(key->digest));
        sg_members_add_u64(o, "id", key->id);
        sg_members_add_text(o, "name", key->name);
        sg_members_add_text(o, "digest", sg_str_from(digest));
        json_object_object_add(o, "models", models_json(key->models));
        sg_members_add_u64(o, "expires_wall_usec", key->expires_wall_usec);
        sg_members_add_bool(o, "revoked", key->revoked_wall_usec != 0);
        return o;
}

/* ---- reading one back */

struct read_back {
        uint64_t id, version;
        struct json_object *key, *change;
};

static void on_key(const struct sg_store_key *key, void *owner)
{
        struct read_back *b = owner;

        if (key->id != b->id)
                return;
        b->version = key->version;
        b->key = sg_json_key(key);
        b->change = sg_json_key_change(key);
}

static int read_key_back(struct sg_ledger_server *s, struct read_back *b, struct sg_error *err)
{
        const struct sg_store_key_filter filter = {.from_id = b->id, .limit = 1, .with_revoked = true};

        return sg_store_key_select(s->store, &filter, on_key, b, err);
}

/* Tells the watchers of the change, then the caller. The change is committed: whatever fails now, it stands. */
static void reply_changed(struct sg_ledger_server *s, struct sg_varlink_call *call, uint64_t id, const char *secret)
{
        struct read_back b = {.id = id};
        struct json_object *o;
        struct sg_error err = {0};
        int r;

        r = read_key_back(s, &b, &err);
        if (r || !b.key) {
                sg_watch_tell(s, NULL, 0);
                sg_varlink_fail_text(call, SG_LEDGER_NAME("DatabaseFailed"),
                                     "the key was changed, but cannot be read back: %s", r ? err.text : "it has gone");
                return;
        }
        sg_watch_tell(s, b.change, b.version);
        o = json_object_new_object();
        json_object_object_add(o, "key", b.key);
        if (secret)
                sg_members_add_text(o, "secret", sg_str_from(secret));
        sg_varlink_reply(call, o);
}

static void new_secret(char secret[SG_APIKEY_CHARS + 1], struct sg_store_key *key)
{
        sg_apikey_generate(secret);
        sg_apikey_digest(key->digest, sg_str_from(secret));
        memcpy(key->prefix, secret, SG_KEY_PREFIX_CHARS);
        key->prefix[SG_KEY_PREFIX_CHARS] = 0;
}

/* ---- CreateKey */

static void fail_change(struct sg_varlink_call *call, struct sg_error *err)
{
        char text[sizeof(err->text) + 32];

        (void)snprintf(text, sizeof(text), "%s. Nothing was changed", err->text);
        (void)snprintf(err->text, sizeof(err->text), "%.*s", (int)sizeof(err->text) - 1, text);
        sg_verb_fail_database(call, err);
}

static bool read_expiry(struct sg_varlink_call *call, struct json_object *in_sec, struct json_object *at, uint64_t now,
                        uint64_t *ret)
{
        int64_t v;

        *ret = 0;
        if (!in_sec && !at)
                return true;
        if (in_sec && at) {
                sg_varlink_fail_text(call, SG_LEDGER_NAME("BadTime"),
                                     "give one of expires_in_sec and expires_wall_usec, not both");
                return false;
        }
        v = json_object_get_int64(in_sec ? in_sec : at);
        if (in_sec && v > 0 && (uint64_t)v < FAR_WALL_USEC / SG_USEC_PER_SEC)
                *ret = now + (uint64_t)v * SG_USEC_PER_SEC;
        else if (at && v > 0)
                *ret = (uint64_t)v;
        if (*ret > now && *ret < FAR_WALL_USEC)
                return true;
        sg_varlink_fail_text(call, SG_LEDGER_NAME("BadTime"),
                             "the expiry must lie in the future, before the year 10000");
        return false;
}

static void add_key(struct sg_ledger_server *s, struct sg_varlink_call *call, struct sg_store_key *key)
{
        char secret[SG_APIKEY_CHARS + 1];
        struct sg_error err = {0};
        uint64_t id = 0;
        int r;

        new_secret(secret, key);
        r = sg_store_key_add(s->store, key, &id, &err);
        if (r == 0)
                reply_changed(s, call, id, secret);
        else if (r == SG_STORE_E_EXISTS)
                sg_varlink_fail_text(call, SG_LEDGER_NAME("KeyExists"),
                                     "there is a key \"" SG_STR_FMT
                                     "\" already: choose another name, or rotate or revoke that one",
                                     SG_STR_ARG(key->name));
        else
                fail_change(call, &err);
        sg_wipe(secret, sizeof(secret));
}

void sg_verb_create_key(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        struct json_object *name = NULL, *models = NULL, *in_sec = NULL, *at = NULL;
        const struct sg_varlink_parameter expected[] = {
                {"name", SG_VARLINK_STRING, true, &name},
                {"models", SG_VARLINK_STRINGS, false, &models},
                {"expires_in_sec", SG_VARLINK_INT, false, &in_sec},
                {"expires_wall_usec", SG_VARLINK_INT, false, &at},
        };
        struct sg_store_key key = {.created_wall_usec = sg_clock_wall_usec()};
        struct sg_buf text;
        char fault[160];

        if (!sg_varlink_read(call, parameters, expected, SG_N_ELEMENTS(expected)))
                return;
        key.name = sg_str_make(json_object_get_string(name), (size_t)json_object_get_string_len(name));
        if (!name_is_good(key.name)) {
                sg_varlink_fail_text(call, SG_LEDGER_NAME("BadName"),
                                     "a key's name has 1 to %u of letters, digits and . _ @ -", SG_KEY_NAME_CHARS_MAX);
                return;
        }
        if (!read_expiry(call, in_sec, at, key.created_wall_usec, &key.expires_wall_usec))
                return;
        sg_buf_init(&text, MODELS_BYTES_MAX);
        if (models_text(models, &text, fault, sizeof(fault)) != 0)
                sg_varlink_fail_text(call, SG_LEDGER_NAME("BadModels"), "%s", fault);
        else {
                key.models = sg_buf_view(&text);
                add_key(owner, call, &key);
        }
        sg_buf_done(&text);
}

/* ---- ShowKey, RevokeKey, RotateKey */

/* The key that the call names. live: one that is revoked does not do. False: the call has been failed. */
static bool find_key(struct sg_ledger_server *s, struct sg_varlink_call *call, struct json_object *parameters,
                     bool live, uint64_t *ret_id)
{
        struct json_object *name = NULL;
        const struct sg_varlink_parameter expected[] = {{"name", SG_VARLINK_STRING, true, &name}};
        struct sg_error err = {0};
        bool is_revoked = false;
        struct sg_str text;
        int r;

        if (!sg_varlink_read(call, parameters, expected, SG_N_ELEMENTS(expected)))
                return false;
        text = sg_str_make(json_object_get_string(name), (size_t)json_object_get_string_len(name));
        r = name_is_good(text) ? sg_store_key_find(s->store, text, ret_id, &is_revoked, &err) : SG_STORE_E_NONE;
        if (r < 0)
                sg_verb_fail_database(call, &err);
        else if (r > 0)
                sg_varlink_fail_text(call, SG_LEDGER_NAME("NoSuchKey"),
                                     "there is no key \"%.*s\": list the keys to see their names",
                                     (int)SG_MIN(text.n, (size_t)SG_KEY_NAME_CHARS_MAX), text.p);
        else if (live && is_revoked)
                sg_varlink_fail_text(call, SG_LEDGER_NAME("NoSuchKey"), "key \"" SG_STR_FMT "\" is revoked already",
                                     SG_STR_ARG(text));
        return r == 0 && !(live && is_revoked);
}

void sg_verb_show_key(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        struct sg_ledger_server *s = owner;
        struct read_back b = {0};
        struct sg_error err = {0};
        struct json_object *o;
        int r;

        if (!find_key(s, call, parameters, false, &b.id))
                return;
        r = read_key_back(s, &b, &err);
        json_object_put(b.change);
        if (r) {
                json_object_put(b.key);
                sg_verb_fail_database(call, &err);
                return;
        }
        o = json_object_new_object();
        json_object_object_add(o, "key", b.key);
        sg_varlink_reply(call, o);
}

void sg_verb_revoke_key(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        struct sg_ledger_server *s = owner;
        struct sg_error err = {0};
        uint64_t id;
        int r;

        if (!find_key(s, call, parameters, true, &id))
                return;
        r = sg_store_key_revoke(s->store, id, sg_clock_wall_usec(), &err);
        SG_ASSERT(r <= 0); /* it was there in this turn, and nobody else writes */
        if (r)
                fail_change(call, &err);
        else
                reply_changed(s, call, id, NULL);
}

void sg_verb_rotate_key(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        struct sg_ledger_server *s = owner;
        struct sg_store_key key = {.rotated_wall_usec = sg_clock_wall_usec()};
        char secret[SG_APIKEY_CHARS + 1];
        struct sg_error err = {0};
        uint64_t id;
        int r;

        if (!find_key(s, call, parameters, true, &id))
                return;
        new_secret(secret, &key);
        r = sg_store_key_rotate(s->store, id, &key, &err);
        SG_ASSERT(r <= 0);
        if (r)
                fail_change(call, &err);
        else
                reply_changed(s, call, id, secret);
        sg_wipe(secret, sizeof(secret));
}
