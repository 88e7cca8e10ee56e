/* GetStatus. Every question to the database is a job that may never be answered; so the reply is made of what is known. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "ledger/verbs.h"
#include "sg_build.h"

#define LOOK_USEC   SG_USEC_PER_SEC
#define COUNT_USEC  (5 * SG_USEC_PER_SEC)
#define COUNT_SHARE 20u
#define N_LOOKS     10u /* of which the speed is made */

struct look {
        uint64_t at_usec, n_drained;
};

struct sg_ledger_status {
        struct sg_loop *loop;
        struct sg_keeper *keeper;
        struct sg_drainer *drainer;
        char *url;
        uint64_t start_wall_usec;
        struct sg_timer timer;
        struct counting *counting; /* posted; NULL: none */
        bool is_stale;
        struct sg_store_counts counts;
        uint64_t counted_wall_usec, count_at_usec;
        struct look looks[N_LOOKS];
        size_t n_looks;
};

/* ---- counting */

struct counting {
        struct sg_job job;
        struct sg_ledger_status *status; /* NULL: it was freed */
        struct sg_store_counts counts;
        uint64_t took_usec;
};

static int count(struct sg_job *job, struct sg_store *s, struct sg_error *err)
{
        struct counting *c = SG_CONTAINER(job, struct counting, job);
        uint64_t start = sg_clock_usec();
        int r = sg_store_count(s, sg_clock_wall_usec(), &c->counts, err);

        c->took_usec = sg_clock_usec() - start;
        return r;
}

static void start_counting(struct sg_ledger_status *s);

static void counted(struct sg_job *job, int r, const struct sg_error *err)
{
        struct counting *c = SG_CONTAINER(job, struct counting, job);
        struct sg_ledger_status *s = c->status;

        if (s) {
                s->counting = NULL;
                s->count_at_usec = sg_clock_usec() + COUNT_SHARE * c->took_usec;
                if (r == 0) {
                        s->counts = c->counts;
                        s->counted_wall_usec = sg_clock_wall_usec();
                }
                if (r == 0 && s->is_stale && c->took_usec * COUNT_SHARE < LOOK_USEC)
                        start_counting(s);
        }
        free(c);
}

static void start_counting(struct sg_ledger_status *s)
{
        struct counting *c = calloc(1, sizeof(*c));

        if (!c)
                return;
        c->job.run = count;
        c->job.done = counted;
        c->status = s;
        if (sg_keeper_post(s->keeper, &c->job) != 0) {
                free(c);
                return;
        }
        s->counting = c;
        s->is_stale = false;
}

void sg_ledger_status_is_stale(struct sg_ledger_status *s)
{
        s->is_stale = true;
        if (!s->counting && sg_clock_usec() >= s->count_at_usec)
                start_counting(s);
}

/* ---- looking */

static void on_look(struct sg_timer *t, void *owner)
{
        struct sg_ledger_status *s = owner;
        struct sg_drainer_status drainer;
        uint64_t now = sg_clock_usec(), before;

        sg_drainer_get_status(s->drainer, &drainer);
        before = s->n_looks ? s->looks[(s->n_looks - 1) % N_LOOKS].n_drained : 0;
        s->looks[s->n_looks++ % N_LOOKS] = (struct look){now, drainer.drain.n_drained};
        if (drainer.drain.n_drained != before)
                s->is_stale = true;
        if (!s->counting && now >= s->count_at_usec &&
            (s->is_stale || sg_clock_wall_usec() - s->counted_wall_usec >= COUNT_USEC))
                start_counting(s);
        sg_timer_start(t, LOOK_USEC);
}

static uint64_t drained_per_sec(const struct sg_ledger_status *s)
{
        const struct look *last, *first;

        if (s->n_looks < 2)
                return 0;
        last = &s->looks[(s->n_looks - 1) % N_LOOKS];
        first = &s->looks[s->n_looks <= N_LOOKS ? 0 : s->n_looks % N_LOOKS];
        if (last->at_usec <= first->at_usec)
                return 0;
        return (last->n_drained - first->n_drained) * SG_USEC_PER_SEC / (last->at_usec - first->at_usec);
}

/* ---- birth and end */

int sg_ledger_status_new(struct sg_ledger_status **ret, struct sg_loop *l, const struct sg_ledger_parts *parts,
                         struct sg_error *err)
{
        struct sg_ledger_status *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return sg_error_set(err, -ENOMEM, "", "out of memory");
        s->loop = l;
        s->keeper = parts->keeper;
        s->drainer = parts->drainer;
        s->start_wall_usec = sg_clock_wall_usec();
        s->url = sg_str_dup(sg_str_from(parts->store->url));
        r = s->url ? sg_timer_init(&s->timer, l, on_look, s) : -ENOMEM;
        if (r) {
                sg_ledger_status_free(s);
                return sg_error_set(err, r, "", "cannot start the status: %s", strerror(-r));
        }
        sg_timer_start(&s->timer, 0);
        *ret = s;
        return 0;
}

struct sg_ledger_status *sg_ledger_status_free(struct sg_ledger_status *s)
{
        if (!s)
                return NULL;
        if (s->counting)
                s->counting->status = NULL;
        if (s->timer.loop)
                sg_timer_done(&s->timer);
        free(s->url);
        free(s);
        return NULL;
}

/* ---- the reply */

static void add_counts(const struct sg_ledger_status *s, struct json_object *o)
{
        sg_members_add_u64(o, "schema_version", (uint64_t)s->counts.schema_version);
        sg_members_add_u64(o, "key_version", s->counts.key_version);
        sg_members_add_u64(o, "keys_active", s->counts.n_keys_active);
        sg_members_add_u64(o, "keys_expired", s->counts.n_keys_expired);
        sg_members_add_u64(o, "keys_revoked", s->counts.n_keys_revoked);
        sg_members_add_u64(o, "usage_events", s->counts.n_usage);
        sg_members_add_u64(o, "open_exchanges", s->counts.n_open);
        sg_members_add_u64(o, "counted_wall_usec", s->counted_wall_usec);
}

static void add_drain(const struct sg_ledger_status *s, const struct sg_drainer_status *d, struct json_object *o)
{
        uint64_t speed = drained_per_sec(s), waiting = d->drain.n_waiting;

        sg_members_add_u64(o, "rings", d->drain.n_rings);
        sg_members_add_u64(o, "records_waiting", waiting);
        sg_members_add_u64(o, "records_drained", d->drain.n_drained);
        sg_members_add_u64(o, "records_per_sec", speed);
        if (speed && waiting)
                sg_members_add_u64(o, "caught_up_in_sec", waiting / speed + 1);
        sg_members_add_u64(o, "records_lost", d->drain.n_lost);
        sg_members_add_u64(o, "last_drain_wall_usec", d->drain.last_wall_usec);
        sg_members_add_u64(o, "rings_wall_usec", d->told_wall_usec);
}

struct json_object *sg_ledger_status_json(struct sg_ledger_status *s)
{
        struct sg_drainer_status drainer;
        struct sg_keeper_status keeper;
        const char *trouble = NULL;
        struct json_object *o;

        sg_drainer_get_status(s->drainer, &drainer);
        sg_keeper_get_status(s->keeper, &keeper);
        if (keeper.state == SG_KEEPER_DOWN)
                trouble = keeper.err.text;
        else if (drainer.err.code)
                trouble = drainer.err.text;
        else if (keeper.state == SG_KEEPER_OPENING)
                trouble = "the database is being opened";
        o = json_object_new_object();
        sg_members_add_text(o, "state", trouble ? SG_STR("degraded") : SG_STR("ok"));
        sg_members_add_text(o, "version", sg_str_from(SG_VERSION));
        sg_members_add_text(o, "database", sg_str_from(s->url));
        sg_members_add_text(o, "database_state", sg_str_from(sg_keeper_state_name(keeper.state)));
        sg_members_add_u64(o, "database_since_wall_usec", keeper.since_wall_usec);
        add_counts(s, o);
        add_drain(s, &drainer, o);
        if (drainer.err.code)
                sg_members_add_u64(o, "failing_since_wall_usec", drainer.failing_since_wall_usec);
        if (trouble)
                sg_members_add_text(o, "last_error", sg_str_from(trouble));
        sg_members_add_u64(o, "start_wall_usec", s->start_wall_usec);
        return o;
}

void sg_verb_get_status(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        struct sg_ledger_server *s = owner;
        struct json_object *o;

        if (!sg_varlink_read(call, parameters, NULL, 0))
                return;
        o = sg_ledger_status_json(s->status);
        sg_members_add_u64(o, "watchers", sg_watch_count(s));
        sg_varlink_reply(call, o);
}
