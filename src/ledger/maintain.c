/* What an operator does to the database as a whole: PruneUsage, and Backup, which makes it ready to be copied. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "ledger/audit.h"
#include "ledger/verbs.h"

#define PRUNE_EVENTS 5000u                    /* in one transaction */
#define SETTLE_USEC  (500 * SG_USEC_PER_MSEC) /* until what was answered before is in the rings' files */
#define DRAIN_USEC   (60 * SG_USEC_PER_SEC)

/* ---- PruneUsage */

struct prune {
        struct sg_verb_job verb;
        uint64_t before_wall_usec;
        struct sg_audit_who who;
        /* found */
        uint64_t n_events, n_now;
};

/* With the first events, so that nothing goes without an entry. */
static int add_entry(struct prune *p, struct sg_store *s, struct sg_error *err)
{
        struct json_object *after = json_object_new_object();
        int r;

        sg_members_add_u64(after, "before_wall_usec", p->before_wall_usec);
        r = sg_audit_add(s, &p->who, "PruneUsage", "usage", SG_STR("events"), NULL, after, err);
        json_object_put(after);
        return r;
}

static int run_prune(struct sg_job *job, struct sg_store *s, struct sg_error *err)
{
        struct prune *p = SG_CONTAINER(job, struct prune, verb.job);
        uint64_t n = 0;
        int r;

        p->n_now = 0;
        if (atomic_load_explicit(&p->verb.is_gone, memory_order_relaxed))
                return 0;
        p->verb.has_run = true;
        r = sg_store_begin(s, err);
        if (!r && p->n_events == 0)
                r = add_entry(p, s, err);
        if (!r)
                r = sg_store_usage_prune(s, p->before_wall_usec, PRUNE_EVENTS, &n, err);
        if (r) {
                sg_store_rollback(s);
                return r;
        }
        if (p->n_events + n == 0) {
                sg_store_rollback(s); /* nothing was there to be pruned */
                return 0;
        }
        r = sg_store_commit(s, err);
        if (!r)
                p->n_now = n;
        return r;
}

static void prune_on(struct sg_job *job, int r, const struct sg_error *err)
{
        struct prune *p = SG_CONTAINER(job, struct prune, verb.job);
        struct json_object *o;
        char subject[64];

        p->n_events += p->n_now;
        if (!r && p->n_now == PRUNE_EVENTS && p->verb.call) {
                sg_verb_post(&p->verb, p->verb.server, p->verb.call);
                return;
        }
        if (p->n_events) {
                (void)snprintf(subject, sizeof(subject), "%llu usage events", (unsigned long long)p->n_events);
                sg_audit_log(&p->who, "PruneUsage", subject);
        }
        if (r) {
                struct sg_error told = *err;

                (void)sg_error_set(&told, err->code, err->where, "%s. %llu events were removed before", err->text,
                                   (unsigned long long)p->n_events);
                sg_verb_failed(&p->verb, &told);
        } else if (p->verb.call) {
                o = json_object_new_object();
                sg_members_add_u64(o, "events", p->n_events);
                sg_varlink_reply(p->verb.call, o);
        }
        free(p);
}

void sg_verb_prune_usage(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        struct json_object *before = NULL;
        const struct sg_varlink_parameter expected[] = {{"before_wall_usec", SG_VARLINK_INT, true, &before}};
        struct prune *p;
        int64_t at;

        if (!sg_varlink_read(call, parameters, expected, SG_N_ELEMENTS(expected)))
                return;
        at = json_object_get_int64(before);
        if (at <= 0 || (uint64_t)at > sg_clock_wall_usec()) {
                sg_varlink_fail_text(call, SG_LEDGER_NAME("BadTime"), "give a time that has been");
                return;
        }
        p = calloc(1, sizeof(*p));
        if (!p) {
                sg_varlink_fail_text(call, SG_LEDGER_NAME("Busy"), "out of memory: try again later");
                return;
        }
        *p = (struct prune){.verb.job = {.run = run_prune, .done = prune_on},
                            .before_wall_usec = (uint64_t)at,
                            .who = sg_audit_who_asks(call)};
        sg_verb_post(&p->verb, owner, call);
}

/* ---- Backup */

struct backup {
        struct sg_ledger_server *server;
        struct sg_varlink_call *call;
        struct sg_timer settle;
        struct sg_drain_wish wish;
        bool is_draining;
};

static void backup_free(struct backup *b)
{
        if (b->is_draining)
                sg_drainer_forget(b->server->drainer, &b->wish);
        sg_timer_done(&b->settle);
        free(b);
}

static void on_gone(struct sg_varlink_call *call, void *owner)
{
        backup_free(owner);
}

static void on_drained(struct sg_drain_wish *wish, bool is_all)
{
        struct backup *b = SG_CONTAINER(wish, struct backup, wish);
        struct sg_varlink_call *call = b->call;
        struct json_object *o = json_object_new_object();

        b->is_draining = false;
        sg_members_add_text(o, "configuration", sg_str_from(b->server->configuration));
        sg_varlink_call_watch(call, NULL, NULL);
        backup_free(b);
        if (is_all) {
                sg_varlink_reply(call, o);
                return;
        }
        json_object_put(o);
        sg_varlink_fail_text(call, SG_LEDGER_NAME("Busy"),
                             "the journal could not be drained: a backup now would lack usage; see 'scribectl status', "
                             "and try again");
}

static void on_settled(struct sg_timer *t, void *owner)
{
        struct backup *b = owner;

        b->is_draining = true;
        sg_drainer_wish(b->server->drainer, &b->wish, DRAIN_USEC);
}

void sg_verb_backup(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        struct sg_ledger_server *s = owner;
        struct backup *b;

        if (!sg_varlink_read(call, parameters, NULL, 0))
                return;
        b = calloc(1, sizeof(*b));
        if (!b || sg_timer_init(&b->settle, s->loop, on_settled, b) != 0) {
                free(b);
                sg_varlink_fail_text(call, SG_LEDGER_NAME("Busy"), "out of memory: try again later");
                return;
        }
        b->server = s;
        b->call = call;
        b->wish.done = on_drained;
        sg_varlink_call_watch(call, on_gone, b);
        sg_timer_start(&b->settle, SETTLE_USEC);
}
