#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "ledger/verbs.h"

static void on_gone(struct sg_varlink_call *call, void *owner)
{
        struct sg_verb_job *j = owner;

        j->call = NULL;
        atomic_store_explicit(&j->is_gone, true, memory_order_relaxed);
}

void sg_verb_post(struct sg_verb_job *j, struct sg_ledger_server *s, struct sg_varlink_call *call)
{
        j->server = s;
        j->call = call;
        if (sg_keeper_post(s->keeper, &j->job) == 0) {
                sg_varlink_call_watch(call, on_gone, j);
                return;
        }
        j->job.done(&j->job,
                    sg_error_set(&j->job.err, -EBUSY, "", "%u calls wait for the database already: try again later",
                                 SG_KEEPER_QUEUE_MAX),
                    &j->job.err);
}

void sg_verb_fail_database(struct sg_varlink_call *call, const struct sg_error *err)
{
        bool may_pass = err->code == -EBUSY || err->code == -ETIME || err->code == -ECANCELED;
        char line[sizeof(*err)];

        sg_varlink_fail_text(call, may_pass ? SG_LEDGER_NAME("Busy") : SG_LEDGER_NAME("DatabaseFailed"), "%s",
                             sg_error_line(err, line, sizeof(line)));
}

void sg_verb_failed(struct sg_verb_job *j, const struct sg_error *err)
{
        if (j->call)
                sg_verb_fail_database(j->call, err);
}

void sg_verb_failed_change(struct sg_verb_job *j, const struct sg_error *err)
{
        /* When the answer to a commit is lost, nobody here knows whether it was one. */
        bool is_unknown = j->has_run && sg_store_is_lost(err->code);
        struct sg_error told = *err;

        (void)sg_error_set(&told, err->code, err->where, "%s. %s", err->text,
                           is_unknown ? "Whether it was changed is not known: look before you try again"
                                      : "Nothing was changed");
        sg_verb_failed(j, &told);
}

int sg_refuse(struct sg_refusal *refusal, const char *name, const char *format, ...)
{
        va_list args;

        *refusal = (struct sg_refusal){.name = name, .why.code = -EINVAL};
        va_start(args, format);
        (void)vsnprintf(refusal->why.text, sizeof(refusal->why.text), format, args);
        va_end(args);
        return SG_VERB_E_REFUSED;
}

void sg_verb_refused(struct sg_verb_job *j, const struct sg_refusal *refusal)
{
        char name[128];

        if (!j->call)
                return;
        (void)snprintf(name, sizeof(name), SG_LEDGER_NAME("%s"), refusal->name);
        sg_varlink_fail_text(j->call, name, "%s", refusal->why.text);
}

static void no_key(const struct sg_store_key *key, void *owner)
{
}

static void no_group(const struct sg_store_group *group, void *owner)
{
}

int sg_verb_key_version(struct sg_store *s, uint64_t *ret, struct sg_error *err)
{
        return sg_store_changes(s, INT64_MAX, no_key, no_group, NULL, ret, err);
}
