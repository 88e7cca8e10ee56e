/*
 * ImportKeys: keys of another database, by their digests, in one transaction. To check is to do it and to roll it back, so
 * that what was checked and what is done cannot differ. What a line says of a key that is there counts only with replace.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/digest.h"
#include "ledger/audit.h"
#include "ledger/form.h"
#include "ledger/verbs.h"

#define KEYS_MAX      1000u
#define NEAREST_BYTES 160

struct import_job {
        struct sg_verb_job verb;
        struct sg_audit_who who;
        struct json_object *keys; /* the call's; read by the keeper, kept and put by the loop */
        bool is_check, may_replace, may_create;
        /* found */
        bool is_changed;
        size_t at; /* of the key that is being done, or was refused */
        uint64_t n_added, n_replaced, n_same, n_groups, version;
        struct sg_refusal refusal;
        struct json_object *told_groups, *told_keys;
        struct sg_tree tree; /* of the begin */
        bool was_new;        /* the key before: so may be the next, and is tried before it is looked for */
};

static struct import_job *import_job_of(struct sg_job *job)
{
        return SG_CONTAINER(job, struct import_job, verb.job);
}

/* ---- a record */

static const char *state_of(const struct sg_store_key *key)
{
        bool is_expired = key->expires_wall_usec && key->expires_wall_usec <= sg_clock_wall_usec();

        return key->revoked_wall_usec ? "revoked" : is_expired ? "expired" : "active";
}

struct json_object *sg_json_key_record(const struct sg_store_key *key)
{
        struct json_object *o = json_object_new_object();
        char digest[2 * SG_APIKEY_DIGEST_BYTES + 1];

        sg_hex(digest, key->digest, sizeof(key->digest));
        sg_members_add_text(o, "name", key->name);
        sg_members_add_text(o, "digest", sg_str_from(digest));
        sg_members_add_text(o, "prefix", sg_str_from(key->prefix));
        json_object_object_add(o, "models", sg_form_models_json(key->models));
        json_object_object_add(o, "group",
                               key->group.n ? json_object_new_string_len(key->group.p, (int)key->group.n) : NULL);
        json_object_object_add(o, "limits", sg_form_limits_json(key->limits));
        sg_members_add_u64(o, "created_wall_usec", key->created_wall_usec);
        sg_members_add_u64(o, "expires_wall_usec", key->expires_wall_usec);
        sg_members_add_text(o, "state", sg_str_from(state_of(key)));
        return o;
}

struct record {
        struct json_object *name, *digest, *prefix, *models, *group, *limits, *created, *expires, *state;
        struct sg_buf models_text, limits_text;
        struct sg_store_key key;
};

static void record_init(struct record *r)
{
        *r = (struct record){.name = NULL};
        sg_buf_init(&r->models_text, SG_FORM_BYTES_MAX);
        sg_buf_init(&r->limits_text, SG_FORM_BYTES_MAX);
}

static void record_done(struct record *r)
{
        sg_buf_done(&r->models_text);
        sg_buf_done(&r->limits_text);
}

#define refuse(job, ...) sg_refuse(&(job)->refusal, "BadImport", __VA_ARGS__)

static bool read_time(struct json_object *o, uint64_t *ret)
{
        int64_t v = o ? json_object_get_int64(o) : 0;

        if (v < 0 || (uint64_t)v >= SG_FORM_FAR_WALL_USEC)
                return false;
        *ret = (uint64_t)v;
        return true;
}

static bool prefix_is_good(struct sg_str prefix)
{
        return prefix.n <= SG_KEY_PREFIX_CHARS && sg_form_name_is_good(prefix);
}

static int read_identity(struct import_job *j, struct record *r)
{
        struct sg_str name = sg_str_from(json_object_get_string(r->name));
        struct sg_str digest = sg_str_from(json_object_get_string(r->digest));
        struct sg_str prefix = sg_str_from(json_object_get_string(r->prefix));

        if (!sg_form_name_is_good(name))
                return refuse(j, "a key's name " SG_FORM_NAME_WORDS);
        if (sg_unhex(r->key.digest, sizeof(r->key.digest), digest.p, digest.n) != 0)
                return refuse(j, "the digest of key \"%s\" has not %u hex digits", name.p, 2 * SG_APIKEY_DIGEST_BYTES);
        if (!prefix_is_good(prefix))
                return refuse(j, "the prefix of key \"%s\" is not the first %u letters of its secret", name.p,
                              SG_KEY_PREFIX_CHARS);
        if (r->state && strcmp(json_object_get_string(r->state), "revoked") == 0)
                return refuse(j, "key \"%s\" is revoked: leave it out", name.p);
        if (!read_time(r->created, &r->key.created_wall_usec) || !read_time(r->expires, &r->key.expires_wall_usec))
                return refuse(j, "a time of key \"%s\" is not one before the year 10000", name.p);
        r->key.name = name;
        (void)snprintf(r->key.prefix, sizeof(r->key.prefix), SG_STR_FMT, SG_STR_ARG(prefix));
        if (!r->key.created_wall_usec)
                r->key.created_wall_usec = sg_clock_wall_usec();
        return 0;
}

static int read_record(struct import_job *j, struct json_object *o, struct record *r)
{
        const struct sg_varlink_parameter expected[] = {
                {"name", SG_VARLINK_STRING, true, &r->name},
                {"digest", SG_VARLINK_STRING, true, &r->digest},
                {"prefix", SG_VARLINK_STRING, true, &r->prefix},
                {"models", SG_VARLINK_STRINGS, false, &r->models},
                {"group", SG_VARLINK_STRING, false, &r->group},
                {"limits", SG_VARLINK_STRINGS, false, &r->limits},
                {"created_wall_usec", SG_VARLINK_INT, false, &r->created},
                {"expires_wall_usec", SG_VARLINK_INT, false, &r->expires},
                {"state", SG_VARLINK_STRING, false, &r->state},
        };
        const char *bad = sg_varlink_check(o, expected, SG_N_ELEMENTS(expected));
        struct sg_error err = {0};
        int e;

        if (bad)
                return refuse(j, "member \"%.64s\" is missing, unknown, or of another kind", bad);
        e = read_identity(j, r);
        if (e)
                return e;
        if (sg_form_models(&r->models_text, r->models, &err) || sg_form_limits(&r->limits_text, r->limits, &err))
                return refuse(j, "key \"" SG_STR_FMT "\": %s", SG_STR_ARG(r->key.name), err.text);
        r->key.models = sg_buf_view(&r->models_text);
        r->key.limits = sg_buf_view(&r->limits_text);
        return 0;
}

/* ---- its group */

static int refuse_missing(struct import_job *j, const char *name)
{
        char nearest[NEAREST_BYTES];

        return refuse(j, "there is no group \"%s\"%s; make it first, or let it be made (--create-groups)", name,
                      sg_tree_nearest(&j->tree, sg_str_from(name), nearest, sizeof(nearest)));
}

static int make_group(struct import_job *j, struct sg_store *s, const char *name, uint64_t *ret_id,
                      struct sg_error *err)
{
        struct sg_store_group group = {.name = sg_str_from(name), .created_wall_usec = sg_clock_wall_usec()};
        const struct sg_tree_group made = {.name = (char *)name, .limits = (char *)""};
        const struct sg_tree empty = {.n = 0};
        struct json_object *after = sg_audit_group(&empty, &made);
        int r = sg_store_group_add(s, &group, ret_id, err);

        if (!r)
                r = sg_audit_add(s, &j->who, "ImportKeys", "group", group.name, NULL, after, err);
        json_object_put(after);
        if (r)
                return r;
        group.id = *ret_id;
        json_object_array_add(j->told_groups, sg_json_group_change(&group));
        j->n_groups++;
        return 0;
}

static int find_group(struct import_job *j, struct sg_store *s, struct record *rec, struct sg_error *err)
{
        const char *name = rec->group ? json_object_get_string(rec->group) : "";
        const struct sg_tree_group *known;
        int r;

        if (!name[0])
                return 0;
        rec->key.group = sg_str_from(name);
        known = sg_tree_by_name(&j->tree, rec->key.group);
        if (known) {
                rec->key.group_id = known->id;
                return 0;
        }
        if (!sg_form_name_is_good(sg_str_from(name)))
                return refuse(j, "the name of the group of key \"" SG_STR_FMT "\" is none: one " SG_FORM_NAME_WORDS,
                              SG_STR_ARG(rec->key.name));
        r = sg_store_group_find(s, rec->key.group, &rec->key.group_id, err); /* made by a key before */
        if (r == SG_STORE_E_NONE)
                r = j->may_create ? make_group(j, s, name, &rec->key.group_id, err) : refuse_missing(j, name);
        return r;
}

/* ---- the key */

struct held { /* the key of that name as it stands */
        const struct record *rec;
        uint64_t id; /* 0: there is none */
        bool has_same_digest, is_same;
        struct json_object *audit;
};

static void on_held(const struct sg_store_key *key, void *owner)
{
        struct held *h = owner;
        const struct sg_store_key *wanted = &h->rec->key;

        h->id = key->id;
        h->has_same_digest = memcmp(key->digest, wanted->digest, sizeof(key->digest)) == 0;
        h->is_same = h->has_same_digest && key->group_id == wanted->group_id &&
                     key->expires_wall_usec == wanted->expires_wall_usec && sg_str_eq(key->models, wanted->models) &&
                     sg_str_eq(key->limits, wanted->limits);
        h->audit = sg_audit_key(key);
}

static int note_key(struct import_job *j, struct sg_store *s, const struct sg_store_key *key,
                    struct json_object *before, struct sg_error *err)
{
        struct json_object *after;
        int r;

        if (j->is_check)
                return 0;
        after = sg_audit_key(key);
        r = sg_audit_add(s, &j->who, "ImportKeys", "key", key->name, before, after, err);
        json_object_put(after);
        json_object_array_add(j->told_keys, sg_json_key_change(key));
        return r;
}

static int replace_key(struct import_job *j, struct sg_store *s, const struct held *h, struct sg_store_key *key,
                       struct sg_error *err)
{
        int r = 0;

        key->id = h->id;
        if (!h->has_same_digest) {
                key->rotated_wall_usec = sg_clock_wall_usec();
                r = sg_store_key_rotate(s, h->id, key, err);
        }
        if (!r)
                r = sg_store_key_change(s, h->id, key, err);
        if (r == SG_STORE_E_EXISTS)
                return refuse(j, "the digest of key \"" SG_STR_FMT "\" is that of another key", SG_STR_ARG(key->name));
        j->n_replaced++;
        return r ? r : note_key(j, s, key, h->audit, err);
}

static int import_held(struct import_job *j, struct sg_store *s, const struct held *h, struct record *rec,
                       struct sg_error *err)
{
        if (h->is_same || (h->has_same_digest && !j->may_replace)) {
                j->n_same++;
                return 0;
        }
        if (!j->may_replace)
                return refuse(j,
                              "there is a key \"" SG_STR_FMT
                              "\" with another secret: leave it out, or let it be replaced "
                              "(--replace)",
                              SG_STR_ARG(rec->key.name));
        return replace_key(j, s, h, &rec->key, err);
}

/* SG_STORE_E_EXISTS: its name or its digest is taken. */
static int add_key(struct import_job *j, struct sg_store *s, struct record *rec, struct sg_error *err)
{
        int r = sg_store_key_add(s, &rec->key, &rec->key.id, err);

        if (r)
                return r;
        j->n_added++;
        return note_key(j, s, &rec->key, NULL, err);
}

/* Where each question is a round trip, one is spared for each key that is new. */
static int import_key(struct import_job *j, struct sg_store *s, struct record *rec, struct sg_error *err)
{
        const struct sg_store_key_filter named = {.name = rec->key.name, .limit = 1};
        struct held h = {.rec = rec};
        int r = j->was_new ? add_key(j, s, rec, err) : SG_STORE_E_EXISTS;

        if (r != SG_STORE_E_EXISTS)
                return r;
        r = sg_store_key_select(s, &named, on_held, &h, err);
        j->was_new = !r && !h.id;
        if (!r)
                r = h.id ? import_held(j, s, &h, rec, err) : add_key(j, s, rec, err);
        if (r == SG_STORE_E_EXISTS)
                r = refuse(j, "the digest of key \"" SG_STR_FMT "\" is that of another key, which may be revoked",
                           SG_STR_ARG(rec->key.name));
        json_object_put(h.audit);
        return r;
}

/* ---- the keeper's part */

static int import_one(struct import_job *j, struct sg_store *s, struct sg_error *err)
{
        struct record rec;
        int r;

        record_init(&rec);
        r = read_record(j, json_object_array_get_idx(j->keys, j->at), &rec);
        if (!r)
                r = find_group(j, s, &rec, err);
        if (!r)
                r = import_key(j, s, &rec, err);
        record_done(&rec);
        return r;
}

static int run_import(struct sg_job *job, struct sg_store *s, struct sg_error *err)
{
        struct import_job *j = import_job_of(job);
        size_t n = json_object_array_length(j->keys);
        int r = sg_store_begin_change(s, err);

        if (r)
                return r;
        r = sg_tree_init(&j->tree, s, false, err);
        while (!r && j->at < n) {
                r = import_one(j, s, err);
                j->at += !r;
        }
        if (!r)
                r = sg_verb_key_version(s, &j->version, err);
        if (r || j->is_check) {
                sg_store_rollback(s);
                return r;
        }
        j->verb.has_run = true;
        r = sg_store_commit(s, err);
        j->is_changed = !r;
        return r;
}

/* ---- the loop's */

static void import_is_done(struct import_job *j)
{
        char subject[96];

        if (j->n_added + j->n_replaced + j->n_groups == 0)
                return;
        sg_ledger_status_is_stale(j->verb.server->status);
        sg_watch_tell(j->verb.server, SG_GIVE(j->told_groups), SG_GIVE(j->told_keys), j->version);
        (void)snprintf(subject, sizeof(subject), "%llu keys added, %llu replaced, %llu groups made",
                       (unsigned long long)j->n_added, (unsigned long long)j->n_replaced,
                       (unsigned long long)j->n_groups);
        sg_audit_log(&j->who, "ImportKeys", subject);
}

static void reply_import(struct import_job *j)
{
        struct json_object *o = json_object_new_object();

        sg_members_add_u64(o, "added", j->n_added);
        sg_members_add_u64(o, "replaced", j->n_replaced);
        sg_members_add_u64(o, "same", j->n_same);
        sg_members_add_u64(o, "groups", j->n_groups);
        sg_varlink_reply(j->verb.call, o);
}

static void refuse_import(struct import_job *j)
{
        struct json_object *o = json_object_new_object();

        sg_members_add_text(o, "message", sg_str_from(j->refusal.why.text));
        sg_members_add_u64(o, "index", j->at);
        sg_varlink_fail(j->verb.call, SG_LEDGER_NAME("BadImport"), o);
}

static void import_job_free(struct import_job *j)
{
        json_object_put(j->keys);
        json_object_put(j->told_groups);
        json_object_put(j->told_keys);
        sg_tree_done(&j->tree);
        free(j);
}

static void import_job_done(struct sg_job *job, int r, const struct sg_error *err)
{
        struct import_job *j = import_job_of(job);

        if (j->is_changed)
                import_is_done(j);
        if (r < 0)
                sg_verb_failed_change(&j->verb, err);
        else if (r && j->verb.call)
                refuse_import(j);
        else if (j->verb.call)
                reply_import(j);
        import_job_free(j);
}

static bool is_true(struct json_object *flag)
{
        return flag && json_object_get_boolean(flag);
}

void sg_verb_import_keys(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        struct json_object *keys = NULL, *check = NULL, *replace = NULL, *create = NULL;
        const struct sg_varlink_parameter expected[] = {
                {"keys", SG_VARLINK_OBJECTS, true, &keys},
                {"check", SG_VARLINK_BOOL, false, &check},
                {"replace", SG_VARLINK_BOOL, false, &replace},
                {"create_groups", SG_VARLINK_BOOL, false, &create},
        };
        struct import_job *j;

        if (!sg_varlink_read(call, parameters, expected, SG_N_ELEMENTS(expected)))
                return;
        if (json_object_array_length(keys) > KEYS_MAX) {
                sg_varlink_fail_parameter(call, "keys");
                return;
        }
        j = calloc(1, sizeof(*j));
        if (!j) {
                sg_varlink_fail_text(call, SG_LEDGER_NAME("Busy"), "out of memory: try again later");
                return;
        }
        *j = (struct import_job){.verb.job = {.run = run_import, .done = import_job_done},
                                 .who = sg_audit_who_asks(call),
                                 .keys = json_object_get(keys),
                                 .is_check = is_true(check),
                                 .may_replace = is_true(replace),
                                 .may_create = is_true(create),
                                 .told_groups = json_object_new_array(),
                                 .told_keys = json_object_new_array()};
        sg_verb_post(&j->verb, owner, call);
}
