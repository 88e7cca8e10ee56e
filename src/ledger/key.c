/* The verbs that make, show and end keys. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

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

/* ---- a call on its way through the keeper */

enum key_verb {
        KEY_CREATE,
        KEY_SHOW,
        KEY_REVOKE,
        KEY_ROTATE,
};

struct key_job {
        struct sg_verb_job verb;
        enum key_verb what;
        struct sg_store_key key;
        char name[SG_KEY_NAME_CHARS_MAX + 1];
        struct sg_buf models;
        char secret[SG_APIKEY_CHARS + 1]; /* "": none */
        /* found */
        bool is_changed, is_revoked;
        uint64_t version;
        struct json_object *shown, *change;
};

static struct key_job *key_job_of(struct sg_job *job)
{
        return SG_CONTAINER(job, struct key_job, verb.job);
}

static void key_job_free(struct key_job *k)
{
        json_object_put(k->shown);
        json_object_put(k->change);
        sg_buf_done(&k->models);
        sg_wipe(k->secret, sizeof(k->secret));
        free(k);
}

/* ---- the keeper's part */

static void on_key(const struct sg_store_key *key, void *owner)
{
        struct key_job *k = owner;

        if (key->id != k->key.id)
                return;
        k->version = key->version;
        k->shown = sg_json_key(key);
        k->change = sg_json_key_change(key);
}

static int change_key(struct key_job *k, struct sg_store *s, struct sg_error *err)
{
        switch (k->what) {
        case KEY_CREATE:
                return sg_store_key_add(s, &k->key, &k->key.id, err);
        case KEY_ROTATE:
                return sg_store_key_rotate(s, k->key.id, &k->key, err);
        default:
                return sg_store_key_revoke(s, k->key.id, sg_clock_wall_usec(), err);
        }
}

static int run_key_job(struct sg_job *job, struct sg_store *s, struct sg_error *err)
{
        struct sg_store_key_filter filter = {.limit = 1, .with_revoked = true};
        struct key_job *k = key_job_of(job);
        int r = 0;

        /* A secret that nobody will see. */
        if (k->secret[0] && atomic_load_explicit(&k->verb.is_gone, memory_order_relaxed))
                return sg_error_set(err, -ECANCELED, "", "nobody waits for it");
        if (k->what != KEY_CREATE)
                r = sg_store_key_find(s, k->key.name, &k->key.id, &k->is_revoked, err);
        if (r || (k->what != KEY_SHOW && k->is_revoked))
                return r ? r : SG_STORE_E_NONE;
        if (k->what != KEY_SHOW) {
                k->verb.has_run = true;
                r = change_key(k, s, err);
                if (r)
                        return r;
                k->is_changed = true;
        }
        filter.from_id = k->key.id;
        return sg_store_key_select(s, &filter, on_key, k, err);
}

/* ---- the loop's */

static void reply_key(struct key_job *k)
{
        struct json_object *o;

        if (!k->verb.call)
                return;
        o = json_object_new_object();
        json_object_object_add(o, "key", SG_GIVE(k->shown));
        if (k->secret[0])
                sg_members_add_text(o, "secret", sg_str_from(k->secret));
        sg_varlink_reply(k->verb.call, o);
}

/* Tells the watchers of the change, then the caller. The change is committed: whatever fails now, it stands. */
static void key_is_changed(struct key_job *k, const struct sg_error *err)
{
        struct sg_ledger_server *s = k->verb.server;

        sg_ledger_status_is_stale(s->status);
        if (k->shown) {
                sg_watch_tell(s, SG_GIVE(k->change), k->version);
                reply_key(k);
                return;
        }
        sg_watch_tell(s, NULL, 0);
        if (k->verb.call)
                sg_varlink_fail_text(k->verb.call, SG_LEDGER_NAME("DatabaseFailed"),
                                     "the key was changed, but cannot be read back: %s",
                                     err->text[0] ? err->text : "it has gone");
}

static void key_job_refused(struct key_job *k, int r)
{
        if (!k->verb.call)
                return;
        if (r == SG_STORE_E_EXISTS)
                sg_varlink_fail_text(k->verb.call, SG_LEDGER_NAME("KeyExists"),
                                     "there is a key \"%s\" already: choose another name, or rotate or revoke that one",
                                     k->name);
        else if (k->is_revoked)
                sg_varlink_fail_text(k->verb.call, SG_LEDGER_NAME("NoSuchKey"), "key \"%s\" is revoked already",
                                     k->name);
        else
                sg_varlink_fail_text(k->verb.call, SG_LEDGER_NAME("NoSuchKey"),
                                     "there is no key \"%s\": list the keys to see their names", k->name);
}

static void key_job_done(struct sg_job *job, int r, const struct sg_error *err)
{
        struct key_job *k = key_job_of(job);

        if (k->is_changed)
                key_is_changed(k, err);
        else if (r < 0 && k->what == KEY_SHOW)
                sg_verb_failed(&k->verb, err);
        else if (r < 0)
                sg_verb_failed_change(&k->verb, err);
        else if (r > 0 || !k->shown)
                key_job_refused(k, r);
        else
                reply_key(k);
        key_job_free(k);
}

static void new_secret(struct key_job *k)
{
        sg_apikey_generate(k->secret);
        sg_apikey_digest(k->key.digest, sg_str_from(k->secret));
        memcpy(k->key.prefix, k->secret, SG_KEY_PREFIX_CHARS);
        k->key.prefix[SG_KEY_PREFIX_CHARS] = 0;
}

/* NULL: the call has been failed. */
static struct key_job *key_job_new(struct sg_varlink_call *call, enum key_verb what, struct sg_str name)
{
        struct key_job *k = calloc(1, sizeof(*k));

        if (!k) {
                sg_varlink_fail_text(call, SG_LEDGER_NAME("Busy"), "out of memory: try again later");
                return NULL;
        }
        k->verb.job.run = run_key_job;
        k->verb.job.done = key_job_done;
        k->what = what;
        (void)snprintf(k->name, sizeof(k->name), SG_STR_FMT, SG_STR_ARG(name)); /* a longer one is bad, and only told */
        k->key.name = sg_str_from(k->name);
        sg_buf_init(&k->models, MODELS_BYTES_MAX);
        return k;
}

/* ---- CreateKey */

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

static struct sg_str text_of(struct json_object *o)
{
        return sg_str_make(json_object_get_string(o), (size_t)json_object_get_string_len(o));
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
        uint64_t now = sg_clock_wall_usec(), expires = 0;
        struct key_job *k;
        char fault[160];

        if (!sg_varlink_read(call, parameters, expected, SG_N_ELEMENTS(expected)))
                return;
        if (!name_is_good(text_of(name))) {
                sg_varlink_fail_text(call, SG_LEDGER_NAME("BadName"),
                                     "a key's name has 1 to %u of letters, digits and . _ @ -", SG_KEY_NAME_CHARS_MAX);
                return;
        }
        if (!read_expiry(call, in_sec, at, now, &expires))
                return;
        k = key_job_new(call, KEY_CREATE, text_of(name));
        if (!k)
                return;
        if (models_text(models, &k->models, fault, sizeof(fault)) != 0) {
                key_job_free(k);
                sg_varlink_fail_text(call, SG_LEDGER_NAME("BadModels"), "%s", fault);
                return;
        }
        k->key.created_wall_usec = now;
        k->key.expires_wall_usec = expires;
        k->key.models = sg_buf_view(&k->models);
        new_secret(k);
        sg_verb_post(&k->verb, owner, call);
}

/* ---- ShowKey, RevokeKey, RotateKey */

static void by_name(struct sg_varlink_call *call, struct json_object *parameters, struct sg_ledger_server *s,
                    enum key_verb what)
{
        struct json_object *name = NULL;
        const struct sg_varlink_parameter expected[] = {{"name", SG_VARLINK_STRING, true, &name}};
        struct key_job *k;

        if (!sg_varlink_read(call, parameters, expected, SG_N_ELEMENTS(expected)))
                return;
        k = key_job_new(call, what, text_of(name));
        if (!k)
                return;
        if (!name_is_good(text_of(name))) {
                k->verb.call = call;
                key_job_refused(k, SG_STORE_E_NONE);
                key_job_free(k);
                return;
        }
        if (what == KEY_ROTATE) {
                k->key.rotated_wall_usec = sg_clock_wall_usec();
                new_secret(k);
        }
        sg_verb_post(&k->verb, s, call);
}

void sg_verb_show_key(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        by_name(call, parameters, owner, KEY_SHOW);
}

void sg_verb_revoke_key(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        by_name(call, parameters, owner, KEY_REVOKE);
}

void sg_verb_rotate_key(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        by_name(call, parameters, owner, KEY_ROTATE);
}
