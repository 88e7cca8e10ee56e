#include "ledger/key_job.h"

#include <errno.h>

#include "base/clock.h"
#include "base/secret.h"

static const char *const verb_names[SG_KEY_VERB_N] = {
        [SG_KEY_CREATE] = "CreateKey", [SG_KEY_CHANGE] = "ChangeKey", [SG_KEY_SHOW] = "ShowKey",
        [SG_KEY_REVOKE] = "RevokeKey", [SG_KEY_ROTATE] = "RotateKey",
};

const char *sg_key_verb_name(enum sg_key_verb v)
{
        SG_ASSERT(v < SG_KEY_VERB_N);
        return verb_names[v];
}

/* ---- what stands there */

struct found {
        uint64_t id; /* looked for */
        uint64_t group_id, expires_wall_usec;
        struct sg_buf models, limits;
        struct json_object *shown, *change, *audit; /* NULL: there is none */
};

static void found_init(struct found *f, uint64_t id)
{
        *f = (struct found){.id = id};
        sg_buf_init(&f->models, SG_FORM_BYTES_MAX);
        sg_buf_init(&f->limits, SG_FORM_BYTES_MAX);
}

static void found_done(struct found *f)
{
        sg_buf_done(&f->models);
        sg_buf_done(&f->limits);
        json_object_put(f->shown);
        json_object_put(f->change);
        json_object_put(f->audit);
}

static void on_key(const struct sg_store_key *key, void *owner)
{
        struct found *f = owner;

        if (key->id != f->id)
                return;
        f->group_id = key->group_id;
        f->expires_wall_usec = key->expires_wall_usec;
        SG_ASSERT(sg_buf_add(&f->models, key->models) == 0 && sg_buf_add(&f->limits, key->limits) == 0);
        f->shown = sg_json_key(key);
        f->change = sg_json_key_change(key);
        f->audit = sg_audit_key(key);
}

static int look(struct found *f, struct sg_store *s, struct sg_error *err)
{
        const struct sg_store_key_filter one = {.from_id = f->id, .limit = 1, .with_revoked = true};
        int r = sg_store_key_select(s, &one, on_key, f, err);

        return r || f->shown ? r : SG_STORE_E_NONE;
}

/* ---- what is done */

static int find_group(struct sg_key_job *k, const struct sg_tree *tree)
{
        const struct sg_tree_group *group;

        k->key.group_id = 0;
        if (!k->group[0])
                return 0;
        group = sg_tree_by_name(tree, sg_str_from(k->group));
        if (!group)
                return sg_refuse_group(&k->refusal, tree, k->group);
        k->key.group_id = group->id;
        return 0;
}

/* What the call does not name stays as it was. */
static int change_key(struct sg_key_job *k, struct sg_store *s, const struct found *was, struct sg_error *err)
{
        if (!k->has_models)
                k->key.models = sg_buf_view(&was->models);
        if (!k->has_limits)
                k->key.limits = sg_buf_view(&was->limits);
        if (!k->has_group)
                k->key.group_id = was->group_id;
        if (!k->has_expiry)
                k->key.expires_wall_usec = was->expires_wall_usec;
        return sg_store_key_change(s, k->key.id, &k->key, err);
}

static int do_change(struct sg_key_job *k, struct sg_store *s, const struct found *was, struct sg_error *err)
{
        switch (k->what) {
        case SG_KEY_CREATE:
                return sg_store_key_add(s, &k->key, &k->key.id, err);
        case SG_KEY_CHANGE:
                return change_key(k, s, was, err);
        case SG_KEY_REVOKE:
                return sg_store_key_revoke(s, k->key.id, sg_clock_wall_usec(), err);
        case SG_KEY_ROTATE:
                return sg_store_key_rotate(s, k->key.id, &k->key, err);
        default:
                SG_UNREACHABLE();
        }
}

/* Reads it back for who is told, and writes the audit log. */
static int note_change(struct sg_key_job *k, struct sg_store *s, const struct sg_tree *tree, const struct found *was,
                       struct sg_error *err)
{
        struct found is;
        int r;

        found_init(&is, k->key.id);
        r = look(&is, s, err);
        if (!r)
                r = sg_audit_add(s, &k->who, verb_names[k->what], "key", k->key.name, was->audit, is.audit, err);
        if (!r)
                r = sg_verb_key_version(s, &k->version, err);
        if (!r) {
                k->shown = SG_GIVE(is.shown);
                k->change = SG_GIVE(is.change);
                (void)sg_tree_note(tree, is.group_id, sg_buf_view(&is.limits), k->note, sizeof(k->note));
        }
        found_done(&is);
        return r;
}

static int show_key(struct sg_key_job *k, const struct sg_tree *tree, struct found *was)
{
        k->shown = SG_GIVE(was->shown);
        k->groups = sg_json_group_chain(tree, was->group_id);
        return 0;
}

static int run_with_tree(struct sg_key_job *k, struct sg_store *s, const struct sg_tree *tree, struct sg_error *err)
{
        struct found was;
        int r = k->has_group ? find_group(k, tree) : 0;

        found_init(&was, k->key.id);
        if (!r && k->what != SG_KEY_CREATE)
                r = look(&was, s, err);
        if (!r && k->what == SG_KEY_SHOW) {
                r = show_key(k, tree, &was);
        } else if (!r) {
                r = do_change(k, s, &was, err);
                if (!r)
                        r = note_change(k, s, tree, &was, err);
        }
        found_done(&was);
        return r;
}

static int run_in_transaction(struct sg_key_job *k, struct sg_store *s, struct sg_error *err)
{
        /* Others have nothing to do with groups. */
        bool needs_tree = k->what == SG_KEY_SHOW || k->group[0] || k->has_limits;
        struct sg_tree tree = {.n = 0};
        int r = 0;

        if (k->what != SG_KEY_CREATE)
                r = sg_store_key_find(s, k->key.name, &k->key.id, &k->is_revoked, err);
        if (!r && k->what != SG_KEY_SHOW && k->is_revoked)
                r = SG_STORE_E_NONE;
        if (!r && needs_tree)
                r = sg_tree_init(&tree, s, false, err);
        if (!r)
                r = run_with_tree(k, s, &tree, err);
        sg_tree_done(&tree);
        return r;
}

int sg_key_job_run(struct sg_job *job, struct sg_store *s, struct sg_error *err)
{
        struct sg_key_job *k = SG_CONTAINER(job, struct sg_key_job, verb.job);
        int r;

        /* A secret that nobody will see. */
        if (k->secret[0] && atomic_load_explicit(&k->verb.is_gone, memory_order_relaxed))
                return sg_error_set(err, -ECANCELED, "", "nobody waits for it");
        r = k->what == SG_KEY_SHOW ? sg_store_begin(s, err) : sg_store_begin_change(s, err);
        if (r)
                return r;
        r = run_in_transaction(k, s, err);
        if (r || k->what == SG_KEY_SHOW) {
                sg_store_rollback(s);
                return r;
        }
        k->verb.has_run = true;
        r = sg_store_commit(s, err);
        k->is_changed = !r;
        return r;
}
