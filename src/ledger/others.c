/*
 * A change that is committed after a watcher's page was read has a higher version than what was polled before, so the next
 * poll tells it; one that is committed before stands in the page. Told twice is told right: a change is a key's whole state.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "ledger/others.h"
#include "ledger/pg_listen.h"
#include "ledger/verbs.h"

#define LOOK_USEC SG_USEC_PER_SEC

struct sg_others {
        struct sg_keeper *keeper;
        struct sg_others_ear ear;
        struct sg_timer timer;
        struct sg_pg_listen *listen; /* NULL: nobody else has this database */
        struct poll *poll;           /* posted; NULL: none */
        bool is_shared, is_hinted, is_stale;
        bool has_version; /* of `version`: what is told goes up to it */
        uint64_t version, poll_at_usec, good_usec;
};

struct poll {
        struct sg_job job;
        struct sg_others *others; /* NULL: it was freed */
        uint64_t after_version;   /* UINT64_MAX: only the version is wanted */
        /* found */
        struct json_object *groups, *keys;
        uint64_t version;
        size_t n;
};

/* ---- the keeper's part */

static void add_key(const struct sg_store_key *key, void *owner)
{
        struct poll *p = owner;

        if (p->n++ < SG_OTHERS_CHANGES_MAX)
                json_object_array_add(p->keys, sg_json_key_change(key));
}

static void add_group(const struct sg_store_group *group, void *owner)
{
        struct poll *p = owner;

        if (p->n++ < SG_OTHERS_CHANGES_MAX)
                json_object_array_add(p->groups, sg_json_group_change(group));
}

static int run_poll(struct sg_job *job, struct sg_store *s, struct sg_error *err)
{
        struct poll *p = SG_CONTAINER(job, struct poll, job);

        p->groups = json_object_new_array();
        p->keys = json_object_new_array();
        return sg_store_changes(s, p->after_version, add_key, add_group, p, &p->version, err);
}

/* ---- the loop's */

static void set_stale(struct sg_others *o, bool is_stale)
{
        if (o->is_stale == is_stale)
                return;
        o->is_stale = is_stale;
        o->ear.stale(is_stale, o->ear.owner);
}

static void tell(struct sg_others *o, struct poll *p)
{
        struct json_object *news;

        if (p->n > SG_OTHERS_CHANGES_MAX) {
                o->ear.changed(NULL, 0, o->ear.owner);
                return;
        }
        news = json_object_new_object();
        json_object_object_add(news, "groups", SG_GIVE(p->groups));
        json_object_object_add(news, "changes", SG_GIVE(p->keys));
        sg_members_add_u64(news, "version", p->version);
        o->ear.changed(news, p->version, o->ear.owner);
}

static void take(struct sg_others *o, struct poll *p)
{
        o->good_usec = sg_clock_usec();
        /* A database that was replaced by an older one has other keys than we told. */
        if (o->has_version && p->version < o->version)
                o->ear.changed(NULL, 0, o->ear.owner);
        else if (o->has_version && p->n)
                tell(o, p);
        o->version = p->version;
        o->has_version = true;
        set_stale(o, false);
}

static void start_poll(struct sg_others *o);

static void polled(struct sg_job *job, int r, const struct sg_error *err)
{
        struct poll *p = SG_CONTAINER(job, struct poll, job);
        struct sg_others *o = p->others;

        if (o) {
                o->poll = NULL;
                if (r == 0)
                        take(o, p);
                else /* soon again: the sooner it is known, the less is refused */
                        o->poll_at_usec = sg_clock_usec() + LOOK_USEC;
                if (o->is_hinted && r == 0)
                        start_poll(o);
        }
        json_object_put(p->groups);
        json_object_put(p->keys);
        free(p);
}

static void start_poll(struct sg_others *o)
{
        struct poll *p = calloc(1, sizeof(*p));

        if (!p)
                return;
        p->job.run = run_poll;
        p->job.done = polled;
        p->others = o;
        p->after_version = o->has_version ? o->version : UINT64_MAX;
        if (sg_keeper_post(o->keeper, &p->job) != 0) {
                free(p);
                return;
        }
        o->poll = p;
        o->is_hinted = false;
        o->poll_at_usec = sg_clock_usec() + SG_OTHERS_POLL_USEC;
}

static void on_look(struct sg_timer *t, void *owner)
{
        struct sg_others *o = owner;
        uint64_t now = sg_clock_usec();

        if (now - o->good_usec > SG_OTHERS_STALE_USEC)
                set_stale(o, true);
        if (!o->poll && now >= o->poll_at_usec)
                start_poll(o);
        sg_timer_start(t, LOOK_USEC);
}

void sg_others_hint(struct sg_others *o)
{
        if (!o->is_shared)
                return;
        o->is_hinted = true;
        if (!o->poll)
                start_poll(o);
}

void sg_others_told(struct sg_others *o, uint64_t version)
{
        if (o->has_version && version == o->version + 1)
                o->version = version;
}

bool sg_others_is_stale(const struct sg_others *o)
{
        return o->is_stale;
}

/* ---- birth and end */

static void on_change(uint64_t version, void *owner)
{
        struct sg_others *o = owner;

        if (!o->has_version || version != o->version)
                sg_others_hint(o);
}

int sg_others_new(struct sg_others **ret, struct sg_loop *l, const struct sg_store_options *options,
                  struct sg_keeper *k, const struct sg_others_ear *ear, struct sg_error *err)
{
        struct sg_others *o = calloc(1, sizeof(*o));
        int r;

        if (!o)
                return sg_error_set(err, -ENOMEM, "", "out of memory");
        o->keeper = k;
        o->ear = *ear;
        o->is_shared = sg_store_is_shared(options);
        o->good_usec = sg_clock_usec();
        r = sg_timer_init(&o->timer, l, on_look, o);
        if (r) {
                free(o);
                return sg_error_set(err, r, "", "cannot start the watch for other ledgers: %s", strerror(-r));
        }
        if (!o->is_shared) {
                *ret = o;
                return 0;
        }
        sg_timer_start(&o->timer, 0);
        r = sg_pg_listen_new(&o->listen, l, options, on_change, o, err);
        if (r)
                sg_others_free(o);
        else
                *ret = o;
        return r;
}

struct sg_others *sg_others_free(struct sg_others *o)
{
        if (!o)
                return NULL;
        sg_pg_listen_free(o->listen);
        if (o->poll)
                o->poll->others = NULL;
        sg_timer_done(&o->timer);
        free(o);
        return NULL;
}
