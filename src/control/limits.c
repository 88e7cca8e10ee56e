/*
 * What limits there are, and what is used of them.
 */
#include <string.h>

#include "base/clock.h"
#include "control/verbs.h"
#include "gateway/leases.h"
#include "varlink/members.h"

#define ROWS_AT_ONCE 100u
#define ROWS_MAX     10000u /* keys may be a million: name them, or a pattern */

struct listing {
        const struct sg_control *control;
        struct sg_varlink_call *call;
        const char *subject; /* NULL: all */
        struct sg_str name;  /* a pattern; empty: all */
        struct json_object *rows;
        size_t n;
        uint64_t now_usec, wall_usec;
        bool is_over; /* nobody listens, or it is enough */
};

static struct json_object *reply_of(struct json_object *rows)
{
        struct json_object *o = json_object_new_object();

        json_object_object_add(o, "limits", rows);
        return o;
}

static void add_row(struct listing *l, struct json_object *row)
{
        json_object_array_add(l->rows, row);
        if (++l->n >= ROWS_MAX)
                l->is_over = true;
        if (json_object_array_length(l->rows) < ROWS_AT_ONCE)
                return;
        if (!sg_varlink_reply_more(l->call, reply_of(l->rows)))
                l->is_over = true;
        l->rows = json_object_new_array();
}

static struct json_object *row_of(const struct sg_limited *who, const struct sg_limit_state *s)
{
        struct json_object *o = json_object_new_object();
        char text[SG_LIMIT_TEXT_BYTES];

        sg_members_add_text(o, "subject", sg_str_from(sg_limit_subject_name(who->kind)));
        sg_members_add_text(o, "name", sg_str_from(who->name));
        sg_members_add_text(o, "limit", sg_str_from(sg_limit_text(&s->limit, text)));
        sg_members_add_u64(o, "amount", s->limit.amount);
        sg_members_add_u64(o, "used", s->used);
        sg_members_add_u64(o, "reserved", s->reserved);
        sg_members_add_u64(o, "remaining", s->remaining);
        sg_members_add_u64(o, "reset_usec", s->reset_usec);
        if (s->granted != UINT64_MAX)
                sg_members_add_u64(o, "granted", s->granted);
        sg_members_add_bool(o, "alone", s->is_alone);
        if (s->is_alone)
                sg_members_add_u64(o, "bound", s->bound);
        return o;
}

static void list(struct listing *l, enum sg_limit_subject kind, uint64_t id, const char *name, struct sg_limit_set *set)
{
        const struct sg_limited who = {kind, id, name, set};

        if (!set || (l->subject && strcmp(l->subject, sg_limit_subject_name(kind)) != 0) ||
            (l->name.n && !sg_str_matches(l->name, sg_str_from(name))))
                return;
        for (size_t i = 0; i < set->n && !l->is_over; i++) {
                struct sg_limit_state s;

                sg_limits_view(l->control->options.shared->limits, &who, i, l->now_usec, l->wall_usec, &s);
                if (s.is_alone)
                        s.bound = sg_leases_bound(l->control->options.shared->leases, &who, &s.limit);
                add_row(l, row_of(&who, &s));
        }
}

static void list_key(const struct sg_key *k, void *owner)
{
        if (!k->is_revoked)
                list(owner, SG_SUBJECT_KEY, k->id, k->name, k->limits);
}

static void list_group(const struct sg_group *g, void *owner)
{
        const struct sg_group_facts *f = atomic_load_explicit(&g->facts, memory_order_acquire);

        if (f)
                list(owner, SG_SUBJECT_GROUP, g->id, f->name, f->limits);
}

static void list_all(struct listing *l)
{
        struct sg_shared *shared = l->control->options.shared;
        const struct sg_config *c = atomic_load_explicit(&shared->snapshot, memory_order_acquire)->config;

        for (size_t i = 0; i < c->n_providers; i++)
                list(l, SG_SUBJECT_PROVIDER, sg_limit_name_id(sg_str_from(c->providers[i].name)), c->providers[i].name,
                     c->providers[i].limits);
        for (size_t i = 0; i < c->n_models; i++)
                list(l, SG_SUBJECT_MODEL, sg_limit_name_id(sg_str_from(c->models[i].name)), c->models[i].name,
                     c->models[i].limits);
        sg_keytable_each_group(shared->keys, list_group, l);
        sg_keytable_each(shared->keys, list_key, l);
}

void sg_control_show_limits(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        struct json_object *subject = NULL, *name = NULL;
        const struct sg_varlink_parameter expected[] = {{"subject", SG_VARLINK_STRING, false, &subject},
                                                        {"name", SG_VARLINK_STRING, false, &name}};
        struct listing l = {
                .control = owner, .call = call, .now_usec = sg_clock_usec(), .wall_usec = sg_clock_wall_usec()};

        if (!sg_varlink_read(call, parameters, expected, SG_N_ELEMENTS(expected)) || !sg_varlink_expect_more(call))
                return;
        l.subject = subject ? json_object_get_string(subject) : NULL;
        if (name)
                l.name = sg_str_from(json_object_get_string(name));
        l.rows = json_object_new_array();
        list_all(&l);
        sg_varlink_reply(call, reply_of(l.rows));
}
