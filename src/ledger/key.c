/* The verbs that make, change, show and end keys: their parameters and answers. What they do is in key_job.c. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/secret.h"
#include "ledger/key_job.h"

/* ---- shapes */

static struct json_object *group_name(const struct sg_store_key *key)
{
        return json_object_new_string_len(key->group.p, (int)key->group.n);
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
        json_object_object_add(o, "models", sg_form_models_json(key->models));
        json_object_object_add(o, "group", key->group.n ? group_name(key) : NULL);
        json_object_object_add(o, "limits", sg_form_limits_json(key->limits));
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
        json_object_object_add(o, "models", sg_form_models_json(key->models));
        sg_members_add_u64(o, "expires_wall_usec", key->expires_wall_usec);
        sg_members_add_bool(o, "revoked", key->revoked_wall_usec != 0);
        json_object_object_add(o, "group", key->group_id ? json_object_new_int64((int64_t)key->group_id) : NULL);
        json_object_object_add(o, "limits", sg_form_limits_json(key->limits));
        return o;
}

/* ---- the job's end */

static struct sg_key_job *key_job_of(struct sg_job *job)
{
        return SG_CONTAINER(job, struct sg_key_job, verb.job);
}

static void key_job_free(struct sg_key_job *k)
{
        json_object_put(k->shown);
        json_object_put(k->change);
        json_object_put(k->groups);
        sg_buf_done(&k->models);
        sg_buf_done(&k->limits);
        sg_wipe(k->secret, sizeof(k->secret));
        free(k);
}

static void reply_key(struct sg_key_job *k)
{
        struct json_object *o;

        if (!k->verb.call)
                return;
        o = json_object_new_object();
        json_object_object_add(o, "key", SG_GIVE(k->shown));
        if (k->secret[0])
                sg_members_add_text(o, "secret", sg_str_from(k->secret));
        if (k->note[0])
                sg_members_add_text(o, "note", sg_str_from(k->note));
        if (k->groups)
                json_object_object_add(o, "groups", SG_GIVE(k->groups));
        sg_varlink_reply(k->verb.call, o);
}

/* Tells the watchers of the change; the caller comes after them. */
static void key_is_changed(struct sg_key_job *k)
{
        struct sg_ledger_server *s = k->verb.server;
        struct json_object *keys = json_object_new_array();
        char subject[SG_KEY_NAME_CHARS_MAX + 8];

        sg_ledger_status_is_stale(s->status);
        json_object_array_add(keys, SG_GIVE(k->change));
        sg_watch_tell(s, NULL, keys, k->version);
        (void)snprintf(subject, sizeof(subject), "key %s", k->name);
        sg_audit_log(&k->who, sg_key_verb_name(k->what), subject);
}

static void key_job_refused(struct sg_key_job *k, int r)
{
        if (!k->verb.call)
                return;
        if (r == SG_VERB_E_REFUSED)
                sg_verb_refused(&k->verb, &k->refusal);
        else if (r == SG_STORE_E_EXISTS)
                sg_varlink_fail_text(k->verb.call, SG_LEDGER_NAME("KeyExists"),
                                     "there is a key \"%s\" already: choose another name, or change, rotate or revoke "
                                     "that one",
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
        struct sg_key_job *k = key_job_of(job);

        if (k->is_changed)
                key_is_changed(k);
        if (r < 0 && k->what == SG_KEY_SHOW)
                sg_verb_failed(&k->verb, err);
        else if (r < 0)
                sg_verb_failed_change(&k->verb, err);
        else if (r > 0)
                key_job_refused(k, r);
        else
                reply_key(k);
        key_job_free(k);
}

/* ---- its begin */

static struct sg_str text_of(struct json_object *o)
{
        return sg_str_make(json_object_get_string(o), (size_t)json_object_get_string_len(o));
}

static void new_secret(struct sg_key_job *k)
{
        sg_apikey_generate(k->secret);
        sg_apikey_digest(k->key.digest, sg_str_from(k->secret));
        memcpy(k->key.prefix, k->secret, SG_KEY_PREFIX_CHARS);
        k->key.prefix[SG_KEY_PREFIX_CHARS] = 0;
}

/* NULL: the call has been failed. */
static struct sg_key_job *key_job_new(struct sg_varlink_call *call, enum sg_key_verb what, struct json_object *name)
{
        struct sg_key_job *k;

        if (what == SG_KEY_CREATE && !sg_form_name_is_good(text_of(name))) {
                sg_varlink_fail_text(call, SG_LEDGER_NAME("BadName"), "a key's name " SG_FORM_NAME_WORDS);
                return NULL;
        }
        k = calloc(1, sizeof(*k));
        if (!k) {
                sg_varlink_fail_text(call, SG_LEDGER_NAME("Busy"), "out of memory: try again later");
                return NULL;
        }
        k->verb.job.run = sg_key_job_run;
        k->verb.job.done = key_job_done;
        k->who = sg_audit_who_asks(call);
        k->what = what;
        (void)snprintf(k->name, sizeof(k->name), "%s", json_object_get_string(name)); /* a longer one is only told */
        k->key.name = sg_str_from(k->name);
        sg_buf_init(&k->models, SG_FORM_BYTES_MAX);
        sg_buf_init(&k->limits, SG_FORM_BYTES_MAX);
        if (sg_form_name_is_good(text_of(name)))
                return k;
        k->verb.call = call;
        key_job_refused(k, SG_STORE_E_NONE);
        key_job_free(k);
        return NULL;
}

/* ---- CreateKey, ChangeKey */

/* What both may be given; NULL: not given. */
struct given {
        struct json_object *name, *models, *all_models, *group, *limits, *in_sec, *at;
};

static bool read_expiry(struct sg_varlink_call *call, const struct given *given, struct sg_key_job *k)
{
        struct json_object *in_sec = given->in_sec, *at = given->at;
        uint64_t now = sg_clock_wall_usec();
        int64_t v;

        k->has_expiry = in_sec || at;
        if (!k->has_expiry)
                return true;
        if (in_sec && at) {
                sg_varlink_fail_text(call, SG_LEDGER_NAME("BadTime"),
                                     "give one of expires_in_sec and expires_wall_usec, not both");
                return false;
        }
        v = json_object_get_int64(in_sec ? in_sec : at);
        if (k->what == SG_KEY_CHANGE && at && v == 0)
                return true; /* never */
        if (in_sec && v > 0 && (uint64_t)v < SG_FORM_FAR_WALL_USEC / SG_USEC_PER_SEC)
                k->key.expires_wall_usec = now + (uint64_t)v * SG_USEC_PER_SEC;
        else if (at && v > 0)
                k->key.expires_wall_usec = (uint64_t)v;
        if (k->key.expires_wall_usec > now && k->key.expires_wall_usec < SG_FORM_FAR_WALL_USEC)
                return true;
        sg_varlink_fail_text(call, SG_LEDGER_NAME("BadTime"),
                             "the expiry must lie in the future, before the year 10000");
        return false;
}

static bool read_models(struct sg_varlink_call *call, const struct given *given, struct sg_key_job *k)
{
        bool wants_all = given->all_models && json_object_get_boolean(given->all_models);
        struct sg_error err = {0};

        k->has_models = wants_all || given->models;
        if (wants_all && given->models)
                (void)sg_error_set(&err, -EINVAL, NULL, "give one of models and all_models, not both");
        else if (sg_form_models(&k->models, given->models, &err) == 0)
                return true;
        sg_varlink_fail_text(call, SG_LEDGER_NAME("BadModels"), "%s", err.text);
        return false;
}

static bool read_limits(struct sg_varlink_call *call, const struct given *given, struct sg_key_job *k)
{
        struct sg_error err = {0};

        k->has_limits = given->limits != NULL;
        if (sg_form_limits(&k->limits, given->limits, &err) == 0)
                return true;
        sg_varlink_fail_text(call, SG_LEDGER_NAME("BadLimit"), "%s", err.text);
        return false;
}

/* "" is no group. */
static bool read_group(struct sg_varlink_call *call, const struct given *given, struct sg_key_job *k)
{
        const char *text = given->group ? json_object_get_string(given->group) : "";

        k->has_group = given->group != NULL;
        if (text[0] && !sg_form_name_is_good(sg_str_from(text))) {
                sg_varlink_fail_text(call, SG_LEDGER_NAME("NoSuchGroup"),
                                     "there is no such group: a group's name " SG_FORM_NAME_WORDS);
                return false;
        }
        (void)snprintf(k->group, sizeof(k->group), "%s", text);
        return true;
}

static void create_or_change(struct sg_varlink_call *call, const struct given *given, struct sg_ledger_server *s,
                             enum sg_key_verb what)
{
        struct sg_key_job *k = key_job_new(call, what, given->name);

        if (!k)
                return;
        if (!read_expiry(call, given, k) || !read_models(call, given, k) || !read_group(call, given, k) ||
            !read_limits(call, given, k)) {
                key_job_free(k);
                return;
        }
        k->key.created_wall_usec = sg_clock_wall_usec();
        k->key.models = sg_buf_view(&k->models);
        k->key.limits = sg_buf_view(&k->limits);
        if (what == SG_KEY_CREATE)
                new_secret(k);
        sg_verb_post(&k->verb, s, call);
}

void sg_verb_create_key(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        struct given g = {.name = NULL};
        const struct sg_varlink_parameter expected[] = {
                {"name", SG_VARLINK_STRING, true, &g.name},
                {"models", SG_VARLINK_STRINGS, false, &g.models},
                {"group", SG_VARLINK_STRING, false, &g.group},
                {"limits", SG_VARLINK_STRINGS, false, &g.limits},
                {"expires_in_sec", SG_VARLINK_INT, false, &g.in_sec},
                {"expires_wall_usec", SG_VARLINK_INT, false, &g.at},
        };

        if (sg_varlink_read(call, parameters, expected, SG_N_ELEMENTS(expected)))
                create_or_change(call, &g, owner, SG_KEY_CREATE);
}

void sg_verb_change_key(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        struct given g = {.name = NULL};
        const struct sg_varlink_parameter expected[] = {
                {"name", SG_VARLINK_STRING, true, &g.name},
                {"models", SG_VARLINK_STRINGS, false, &g.models},
                {"all_models", SG_VARLINK_BOOL, false, &g.all_models},
                {"group", SG_VARLINK_STRING, false, &g.group},
                {"limits", SG_VARLINK_STRINGS, false, &g.limits},
                {"expires_in_sec", SG_VARLINK_INT, false, &g.in_sec},
                {"expires_wall_usec", SG_VARLINK_INT, false, &g.at},
        };

        if (sg_varlink_read(call, parameters, expected, SG_N_ELEMENTS(expected)))
                create_or_change(call, &g, owner, SG_KEY_CHANGE);
}

/* ---- ShowKey, RevokeKey, RotateKey */

static void by_name(struct sg_varlink_call *call, struct json_object *parameters, struct sg_ledger_server *s,
                    enum sg_key_verb what)
{
        struct json_object *name = NULL;
        const struct sg_varlink_parameter expected[] = {{"name", SG_VARLINK_STRING, true, &name}};
        struct sg_key_job *k;

        if (!sg_varlink_read(call, parameters, expected, SG_N_ELEMENTS(expected)))
                return;
        k = key_job_new(call, what, name);
        if (!k)
                return;
        if (what == SG_KEY_ROTATE) {
                k->key.rotated_wall_usec = sg_clock_wall_usec();
                new_secret(k);
        }
        sg_verb_post(&k->verb, s, call);
}

void sg_verb_show_key(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        by_name(call, parameters, owner, SG_KEY_SHOW);
}

void sg_verb_revoke_key(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        by_name(call, parameters, owner, SG_KEY_REVOKE);
}

void sg_verb_rotate_key(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        by_name(call, parameters, owner, SG_KEY_ROTATE);
}
