/*
 * The verbs of groups. Each is one transaction: the tree as it stands is read, the change is held against it, made and
 * written to the audit log, and the tree is read once more for what is told of it. Two that would close a circle together
 * cannot: such transactions come one after the other, also those of other ledgers on the same database.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "ledger/audit.h"
#include "ledger/form.h"
#include "ledger/verbs.h"

#define NEAREST_BYTES 160

enum group_verb {
        GROUP_CREATE,
        GROUP_CHANGE,
        GROUP_REMOVE,
        GROUP_SHOW,
};
static const char *const verb_names[] = {"CreateGroup", "ChangeGroup", "RemoveGroup", "ShowGroup"};

struct group_job {
        struct sg_verb_job verb;
        struct sg_audit_who who;
        enum group_verb what;
        char name[SG_KEY_NAME_CHARS_MAX + 1];
        char parent[SG_KEY_NAME_CHARS_MAX + 1]; /* "": none */
        bool has_parent, has_limits;            /* given */
        struct sg_buf limits;
        /* found */
        bool is_changed;
        uint64_t version;
        struct sg_refusal refusal;
        struct json_object *reply, *change;
};

static struct group_job *group_job_of(struct sg_job *job)
{
        return SG_CONTAINER(job, struct group_job, verb.job);
}

static void group_job_free(struct group_job *g)
{
        json_object_put(g->reply);
        json_object_put(g->change);
        sg_buf_done(&g->limits);
        free(g);
}

/* ---- shapes */

struct json_object *sg_json_group(const struct sg_tree *tree, const struct sg_tree_group *group)
{
        const struct sg_tree_group *parent = sg_tree_by_id(tree, group->parent_id);
        struct json_object *o = json_object_new_object();

        sg_members_add_u64(o, "id", group->id);
        sg_members_add_text(o, "name", sg_str_from(group->name));
        json_object_object_add(o, "parent", parent ? json_object_new_string(parent->name) : NULL);
        json_object_object_add(o, "limits", sg_form_limits_json(sg_str_from(group->limits)));
        sg_members_add_u64(o, "keys", group->n_keys);
        sg_members_add_u64(o, "created_wall_usec", group->created_wall_usec);
        return o;
}

struct json_object *sg_json_group_change(const struct sg_store_group *group)
{
        struct json_object *o = json_object_new_object();

        sg_members_add_u64(o, "id", group->id);
        sg_members_add_text(o, "name", group->name);
        json_object_object_add(o, "parent", group->parent_id ? json_object_new_int64((int64_t)group->parent_id) : NULL);
        json_object_object_add(o, "limits", sg_form_limits_json(group->limits));
        if (group->removed_wall_usec)
                sg_members_add_bool(o, "removed", true);
        return o;
}

struct json_object *sg_json_group_chain(const struct sg_tree *tree, uint64_t id)
{
        const struct sg_tree_group *chain[SG_GROUP_DEPTH_MAX];
        size_t n = sg_tree_chain(tree, id, chain);
        struct json_object *array = json_object_new_array();

        for (size_t i = 0; i < n; i++)
                json_object_array_add(array, sg_json_group(tree, chain[i]));
        return array;
}

/* ---- the keeper's part: what is refused */

int sg_refuse_group(struct sg_refusal *refusal, const struct sg_tree *tree, const char *name)
{
        char nearest[NEAREST_BYTES];

        return sg_refuse(refusal, "NoSuchGroup", "there is no group \"%s\"%s", name,
                         sg_tree_nearest(tree, sg_str_from(name), nearest, sizeof(nearest)));
}

/* The parent that is asked for. group: what is to be below it; NULL: a new one. */
static int find_parent(struct group_job *g, const struct sg_tree *tree, const struct sg_tree_group *group,
                       uint64_t *ret_id)
{
        const struct sg_tree_group *parent = sg_tree_by_name(tree, sg_str_from(g->parent));
        const struct sg_tree_group *chain[SG_GROUP_DEPTH_MAX];
        size_t n_above, n_below = group ? sg_tree_height(tree, group->id) : 1;

        *ret_id = 0;
        if (!g->parent[0])
                return 0;
        if (!parent)
                return sg_refuse_group(&g->refusal, tree, g->parent);
        n_above = sg_tree_chain(tree, parent->id, chain);
        for (size_t i = 0; group && i < n_above; i++)
                if (chain[i] == group)
                        return sg_refuse(&g->refusal, "BadGroup", "\"%s\" cannot be below \"%s\", which is %s", g->name,
                                         g->parent, i ? "below it already" : "itself");
        if (n_above + n_below > SG_GROUP_DEPTH_MAX)
                return sg_refuse(
                        &g->refusal, "BadGroup",
                        "groups are at most %u levels deep, and this would make %zu: choose a parent higher up",
                        SG_GROUP_DEPTH_MAX, n_above + n_below);
        *ret_id = parent->id;
        return 0;
}

static int check_removal(struct group_job *g, const struct sg_tree *tree, const struct sg_tree_group *group)
{
        size_t n_children = sg_tree_n_children(tree, group->id);

        if (group->n_keys)
                return sg_refuse(&g->refusal, "GroupInUse",
                                 "group \"%s\" has %llu key%s: give %s another group, or none, or revoke %s", g->name,
                                 (unsigned long long)group->n_keys, group->n_keys == 1 ? "" : "s",
                                 group->n_keys == 1 ? "it" : "them", group->n_keys == 1 ? "it" : "them");
        if (n_children)
                return sg_refuse(&g->refusal, "GroupInUse",
                                 "group \"%s\" has %zu group%s below it: move or remove %s first", g->name, n_children,
                                 n_children == 1 ? "" : "s", n_children == 1 ? "it" : "them");
        return 0;
}

/* ---- the keeper's part: changes */

static int add_group(struct group_job *g, struct sg_store *s, const struct sg_tree *tree, struct sg_error *err)
{
        struct sg_store_group added = {.name = sg_str_from(g->name),
                                       .limits = sg_buf_view(&g->limits),
                                       .created_wall_usec = sg_clock_wall_usec()};
        uint64_t id;
        int r = find_parent(g, tree, NULL, &added.parent_id);

        return r ? r : sg_store_group_add(s, &added, &id, err);
}

static int change_group(struct group_job *g, struct sg_store *s, const struct sg_tree *tree,
                        const struct sg_tree_group *group, struct sg_error *err)
{
        struct sg_store_group changed = {.parent_id = group->parent_id,
                                         .limits =
                                                 g->has_limits ? sg_buf_view(&g->limits) : sg_str_from(group->limits)};
        int r = g->has_parent ? find_parent(g, tree, group, &changed.parent_id) : 0;

        return r ? r : sg_store_group_change(s, group->id, &changed, err);
}

static int remove_group(struct group_job *g, struct sg_store *s, const struct sg_tree *tree,
                        const struct sg_tree_group *group, struct sg_error *err)
{
        int r = check_removal(g, tree, group);

        return r ? r : sg_store_group_remove(s, group->id, sg_clock_wall_usec(), err);
}

static int make_change(struct group_job *g, struct sg_store *s, const struct sg_tree *tree,
                       const struct sg_tree_group *group, struct sg_error *err)
{
        switch (g->what) {
        case GROUP_CREATE:
                return add_group(g, s, tree, err);
        case GROUP_CHANGE:
                return change_group(g, s, tree, group, err);
        case GROUP_REMOVE:
                return remove_group(g, s, tree, group, err);
        case GROUP_SHOW:
                break;
        }
        return 0;
}

/* Those directly below. */
static struct json_object *children_json(const struct sg_tree *tree, uint64_t id)
{
        struct json_object *array = json_object_new_array();

        for (size_t i = 0; i < tree->n; i++)
                if (tree->at[i].parent_id == id)
                        json_object_array_add(array, sg_json_group(tree, &tree->at[i]));
        return array;
}

static void make_reply(struct group_job *g, const struct sg_tree *tree, const struct sg_tree_group *group)
{
        g->reply = json_object_new_object();
        json_object_object_add(g->reply, "group", sg_json_group(tree, group));
        if (g->what != GROUP_SHOW)
                return;
        json_object_object_add(g->reply, "above", sg_json_group_chain(tree, group->parent_id));
        json_object_object_add(g->reply, "below", children_json(tree, group->id));
}

/* after: the tree with the change made. */
static int note_change(struct group_job *g, struct sg_store *s, const struct sg_tree *tree, const struct sg_tree *after,
                       struct sg_error *err)
{
        const struct sg_tree_group *old = sg_tree_by_name(tree, sg_str_from(g->name));
        const struct sg_tree_group *new = sg_tree_by_name(after, sg_str_from(g->name));
        struct json_object *was = old ? sg_audit_group(tree, old) : NULL;
        struct json_object *is = new ? sg_audit_group(after, new) : NULL;
        struct sg_store_group row;
        int r;

        r = sg_audit_add(s, &g->who, verb_names[g->what], "group", sg_str_from(g->name), was, is, err);
        json_object_put(was);
        json_object_put(is);
        make_reply(g, new ? after : tree, new ? new : old);
        row = sg_tree_row(new ? new : old);
        row.removed_wall_usec = !new;
        g->change = sg_json_group_change(&row);
        return r ? r : sg_verb_key_version(s, &g->version, err);
}

static int run_in_transaction(struct group_job *g, struct sg_store *s, struct sg_error *err)
{
        const struct sg_tree_group *group;
        struct sg_tree tree, after;
        int r;

        r = sg_tree_init(&tree, s, g->what == GROUP_REMOVE || g->what == GROUP_SHOW, err);
        if (r)
                return r;
        group = sg_tree_by_name(&tree, sg_str_from(g->name));
        if (!group && g->what != GROUP_CREATE)
                r = sg_refuse_group(&g->refusal, &tree, g->name);
        else
                r = make_change(g, s, &tree, group, err);
        if (!r && g->what == GROUP_SHOW) {
                make_reply(g, &tree, group);
        } else if (!r) {
                r = sg_tree_init(&after, s, g->what == GROUP_CHANGE, err);
                if (!r)
                        r = note_change(g, s, &tree, &after, err);
                if (r <= 0)
                        sg_tree_done(&after);
        }
        sg_tree_done(&tree);
        return r;
}

static int run_group_job(struct sg_job *job, struct sg_store *s, struct sg_error *err)
{
        struct group_job *g = group_job_of(job);
        int r = g->what == GROUP_SHOW ? sg_store_begin(s, err) : sg_store_begin_change(s, err);

        if (r)
                return r;
        r = run_in_transaction(g, s, err);
        if (r || g->what == GROUP_SHOW) {
                sg_store_rollback(s);
                return r;
        }
        g->verb.has_run = true;
        r = sg_store_commit(s, err);
        g->is_changed = !r;
        return r;
}

/* ---- the loop's */

/* Tells the watchers of the change, then the caller. */
static void group_is_changed(struct group_job *g)
{
        struct json_object *groups = json_object_new_array();
        char subject[SG_KEY_NAME_CHARS_MAX + 16];

        json_object_array_add(groups, SG_GIVE(g->change));
        sg_watch_tell(g->verb.server, groups, NULL, g->version);
        (void)snprintf(subject, sizeof(subject), "group %s", g->name);
        sg_audit_log(&g->who, verb_names[g->what], subject);
}

static void group_job_done(struct sg_job *job, int r, const struct sg_error *err)
{
        struct group_job *g = group_job_of(job);

        if (g->is_changed)
                group_is_changed(g);
        if (r < 0 && g->what == GROUP_SHOW)
                sg_verb_failed(&g->verb, err);
        else if (r < 0)
                sg_verb_failed_change(&g->verb, err);
        else if (r == SG_STORE_E_EXISTS && g->verb.call)
                sg_varlink_fail_text(g->verb.call, SG_LEDGER_NAME("GroupExists"),
                                     "there is a group \"%s\" already: choose another name, or change that one",
                                     g->name);
        else if (r > 0)
                sg_verb_refused(&g->verb, &g->refusal);
        else if (g->verb.call)
                sg_varlink_reply(g->verb.call, SG_GIVE(g->reply));
        group_job_free(g);
}

/* NULL: the call has been failed. */
static struct group_job *group_job_new(struct sg_varlink_call *call, enum group_verb what, struct json_object *name)
{
        struct sg_str text = sg_str_make(json_object_get_string(name), (size_t)json_object_get_string_len(name));
        struct group_job *g;

        if (!sg_form_name_is_good(text)) {
                sg_varlink_fail_text(call, SG_LEDGER_NAME("BadName"), "a group's name " SG_FORM_NAME_WORDS);
                return NULL;
        }
        g = calloc(1, sizeof(*g));
        if (!g) {
                sg_varlink_fail_text(call, SG_LEDGER_NAME("Busy"), "out of memory: try again later");
                return NULL;
        }
        g->verb.job.run = run_group_job;
        g->verb.job.done = group_job_done;
        g->who = sg_audit_who_asks(call);
        g->what = what;
        (void)snprintf(g->name, sizeof(g->name), SG_STR_FMT, SG_STR_ARG(text));
        sg_buf_init(&g->limits, SG_FORM_BYTES_MAX);
        return g;
}

/* False: the call has been failed. "" is no parent. */
static bool read_parent(struct group_job *g, struct sg_varlink_call *call, struct json_object *parent)
{
        const char *text = parent ? json_object_get_string(parent) : "";

        g->has_parent = parent != NULL;
        if (text[0] && !sg_form_name_is_good(sg_str_from(text))) {
                sg_varlink_fail_text(call, SG_LEDGER_NAME("NoSuchGroup"),
                                     "there is no such parent: a group's name " SG_FORM_NAME_WORDS);
                return false;
        }
        (void)snprintf(g->parent, sizeof(g->parent), "%s", text);
        return true;
}

static bool read_limits(struct group_job *g, struct sg_varlink_call *call, struct json_object *limits)
{
        struct sg_error err = {0};

        g->has_limits = limits != NULL;
        if (sg_form_limits(&g->limits, limits, &err) == 0)
                return true;
        sg_varlink_fail_text(call, SG_LEDGER_NAME("BadLimit"), "%s", err.text);
        return false;
}

static void create_or_change(struct sg_varlink_call *call, struct json_object *parameters, void *owner,
                             enum group_verb what)
{
        struct json_object *name = NULL, *parent = NULL, *limits = NULL;
        const struct sg_varlink_parameter expected[] = {
                {"name", SG_VARLINK_STRING, true, &name},
                {"parent", SG_VARLINK_STRING, false, &parent},
                {"limits", SG_VARLINK_STRINGS, false, &limits},
        };
        struct group_job *g;

        if (!sg_varlink_read(call, parameters, expected, SG_N_ELEMENTS(expected)))
                return;
        g = group_job_new(call, what, name);
        if (!g)
                return;
        if (!read_parent(g, call, parent) || !read_limits(g, call, limits))
                group_job_free(g);
        else
                sg_verb_post(&g->verb, owner, call);
}

void sg_verb_create_group(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        create_or_change(call, parameters, owner, GROUP_CREATE);
}

void sg_verb_change_group(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        create_or_change(call, parameters, owner, GROUP_CHANGE);
}

static void by_name(struct sg_varlink_call *call, struct json_object *parameters, void *owner, enum group_verb what)
{
        struct json_object *name = NULL;
        const struct sg_varlink_parameter expected[] = {{"name", SG_VARLINK_STRING, true, &name}};
        struct group_job *g;

        if (!sg_varlink_read(call, parameters, expected, SG_N_ELEMENTS(expected)))
                return;
        g = group_job_new(call, what, name);
        if (g)
                sg_verb_post(&g->verb, owner, call);
}

void sg_verb_remove_group(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        by_name(call, parameters, owner, GROUP_REMOVE);
}

void sg_verb_show_group(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        by_name(call, parameters, owner, GROUP_SHOW);
}
