#include "ledger/audit.h"

#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/message_id.h"
#include "ledger/form.h"
#include "ledger/verbs.h"

#define LIMIT_MAX   10000u
#define LIMIT_USUAL 100u

struct sg_audit_who sg_audit_who_asks(const struct sg_varlink_call *call)
{
        const struct sg_varlink_peer *peer = sg_varlink_call_peer(call);

        return (struct sg_audit_who){.uid = peer->uid, .pid = (uint64_t)peer->pid};
}

/* ---- writing */

static void find_user(struct sg_audit_who *who)
{
        struct passwd p, *found = NULL;
        char room[4096];

        if (!who->user[0] && getpwuid_r((uid_t)who->uid, &p, room, sizeof(room), &found) == 0 && found)
                (void)snprintf(who->user, sizeof(who->user), "%s", found->pw_name);
}

static struct sg_str json_text(struct json_object *o)
{
        return sg_str_from(
                o ? json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE) : "");
}

int sg_audit_add(struct sg_store *s, struct sg_audit_who *who, const char *verb, const char *kind, struct sg_str name,
                 struct json_object *before, struct json_object *after, struct sg_error *err)
{
        char subject[SG_KEY_NAME_CHARS_MAX + 16];

        find_user(who);
        (void)snprintf(subject, sizeof(subject), "%s:" SG_STR_FMT, kind, SG_STR_ARG(name));
        return sg_store_audit_add(s,
                                  &(struct sg_store_audit){.wall_usec = sg_clock_wall_usec(),
                                                           .uid = who->uid,
                                                           .pid = who->pid,
                                                           .user = sg_str_from(who->user),
                                                           .verb = sg_str_from(verb),
                                                           .subject = sg_str_from(subject),
                                                           .before = json_text(before),
                                                           .after = json_text(after)},
                                  err);
}

void sg_audit_log(const struct sg_audit_who *who, const char *verb, const char *subject)
{
        char uid[24], pid[24];
        struct sg_log_field fields[] = {
                {"SCRIBE_VERB", sg_str_from(verb)},
                {"SCRIBE_SUBJECT", sg_str_from(subject)},
                {"SCRIBE_UID", SG_STR_NONE},
                {"SCRIBE_PID", SG_STR_NONE},
        };

        if (!sg_log_wants(SG_LOG_NOTICE))
                return;
        (void)snprintf(uid, sizeof(uid), "%" PRIu64, who->uid);
        (void)snprintf(pid, sizeof(pid), "%" PRIu64, who->pid);
        fields[2].value = sg_str_from(uid);
        fields[3].value = sg_str_from(pid);
        sg_log_line(SG_LOG_NOTICE, SG_MESSAGE_CHANGED_BY, fields, SG_N_ELEMENTS(fields), "%s: %s, by %s (pid %s)", verb,
                    subject, who->user[0] ? who->user : uid, pid);
}

/* ---- what it says */

static void add_time(struct json_object *o, const char *name, uint64_t wall_usec)
{
        if (wall_usec)
                sg_members_add_u64(o, name, wall_usec);
}

struct json_object *sg_audit_key(const struct sg_store_key *key)
{
        struct json_object *o = json_object_new_object();

        json_object_object_add(o, "models", sg_form_models_json(key->models));
        json_object_object_add(o, "group", NULL);
        if (key->group.n)
                sg_members_add_text(o, "group", key->group);
        json_object_object_add(o, "limits", sg_form_limits_json(key->limits));
        add_time(o, "expires_wall_usec", key->expires_wall_usec);
        add_time(o, "rotated_wall_usec", key->rotated_wall_usec);
        add_time(o, "revoked_wall_usec", key->revoked_wall_usec);
        return o;
}

struct json_object *sg_audit_group(const struct sg_tree *tree, const struct sg_tree_group *group)
{
        const struct sg_tree_group *parent = sg_tree_by_id(tree, group->parent_id);
        struct json_object *o = json_object_new_object();

        json_object_object_add(o, "parent", parent ? json_object_new_string(parent->name) : NULL);
        json_object_object_add(o, "limits", sg_form_limits_json(sg_str_from(group->limits)));
        return o;
}

/* ---- QueryAudit */

struct audit_job {
        struct sg_verb_job verb;
        uint64_t from_wall_usec, to_wall_usec, limit;
        char *subject;
        /* found */
        struct json_object *entries;
};

static struct audit_job *audit_job_of(struct sg_job *job)
{
        return SG_CONTAINER(job, struct audit_job, verb.job);
}

static struct json_object *object_of(struct sg_str text)
{
        struct json_tokener *t = text.n ? json_tokener_new() : NULL;
        struct json_object *o = t ? json_tokener_parse_ex(t, text.p, (int)text.n) : NULL;

        if (t)
                json_tokener_free(t);
        return o;
}

static void add_entry(const struct sg_store_audit *entry, void *owner)
{
        struct json_object *o = json_object_new_object();

        sg_members_add_u64(o, "id", entry->id);
        sg_members_add_u64(o, "wall_usec", entry->wall_usec);
        sg_members_add_u64(o, "uid", entry->uid);
        sg_members_add_u64(o, "pid", entry->pid);
        sg_members_add_text(o, "user", entry->user);
        sg_members_add_text(o, "verb", entry->verb);
        sg_members_add_text(o, "subject", entry->subject);
        json_object_object_add(o, "before", object_of(entry->before));
        json_object_object_add(o, "after", object_of(entry->after));
        json_object_array_add(owner, o);
}

static int run_audit_job(struct sg_job *job, struct sg_store *s, struct sg_error *err)
{
        struct audit_job *a = audit_job_of(job);

        a->entries = json_object_new_array();
        return sg_store_audit_list(s, a->from_wall_usec, a->to_wall_usec, sg_str_from(a->subject), a->limit + 1,
                                   add_entry, a->entries, err);
}

static void reply_entries(struct audit_job *a)
{
        bool is_limited = json_object_array_length(a->entries) > a->limit;
        struct json_object *o = json_object_new_object();

        if (is_limited)
                json_object_array_del_idx(a->entries, a->limit, json_object_array_length(a->entries) - a->limit);
        json_object_object_add(o, "entries", SG_GIVE(a->entries));
        sg_members_add_bool(o, "is_limited", is_limited);
        sg_varlink_reply(a->verb.call, o);
}

static void audit_job_done(struct sg_job *job, int r, const struct sg_error *err)
{
        struct audit_job *a = audit_job_of(job);

        if (r)
                sg_verb_failed(&a->verb, err);
        else if (a->verb.call)
                reply_entries(a);
        json_object_put(a->entries);
        free(a->subject);
        free(a);
}

static bool read_number(struct sg_varlink_call *call, struct json_object *o, const char *name, uint64_t least,
                        uint64_t most, uint64_t *ret)
{
        int64_t v = o ? json_object_get_int64(o) : 0;

        if (!o)
                return true;
        if (v < 0 || (uint64_t)v < least || (uint64_t)v > most) {
                sg_varlink_fail_parameter(call, name);
                return false;
        }
        *ret = (uint64_t)v;
        return true;
}

void sg_verb_query_audit(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        struct json_object *from = NULL, *to = NULL, *subject = NULL, *limit = NULL;
        const struct sg_varlink_parameter expected[] = {
                {"from_wall_usec", SG_VARLINK_INT, false, &from},
                {"to_wall_usec", SG_VARLINK_INT, false, &to},
                {"subject", SG_VARLINK_STRING, false, &subject},
                {"limit", SG_VARLINK_INT, false, &limit},
        };
        struct audit_job wanted = {.verb.job = {.run = run_audit_job, .done = audit_job_done},
                                   .to_wall_usec = INT64_MAX,
                                   .limit = LIMIT_USUAL},
                         *a;

        if (!sg_varlink_read(call, parameters, expected, SG_N_ELEMENTS(expected)) ||
            !read_number(call, from, "from_wall_usec", 0, INT64_MAX, &wanted.from_wall_usec) ||
            !read_number(call, to, "to_wall_usec", 0, INT64_MAX, &wanted.to_wall_usec) ||
            !read_number(call, limit, "limit", 1, LIMIT_MAX, &wanted.limit))
                return;
        a = malloc(sizeof(*a));
        if (a) {
                *a = wanted;
                a->subject = strdup(subject ? json_object_get_string(subject) : "");
        }
        if (!a || !a->subject) {
                free(a);
                sg_varlink_fail_text(call, SG_LEDGER_NAME("Busy"), "out of memory: try again later");
                return;
        }
        sg_verb_post(&a->verb, owner, call);
}
