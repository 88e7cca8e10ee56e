#include "ledger/totals.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "ledger/totals_sum.h"

#define ROUND_USEC SG_USEC_PER_SEC
#define SLICE_USEC (50 * SG_USEC_PER_MSEC) /* of one job: verbs wait so long behind it */
#define IDLE_TIMES 9u                      /* so many times as long as it took the keeper is left alone */

struct slice {
        struct sg_job job;
        struct sg_totals *totals; /* NULL: it was freed meanwhile */
        struct sg_config *config;
        struct sg_totals_work *work;
        bool wants_look, wants_all;
        /* found */
        struct json_object *array;
        uint64_t took_usec;
        bool is_done;
};

struct sg_totals {
        struct sg_keeper *keeper;
        struct sg_timer timer;
        struct sg_config *config;
        struct slice *slice;         /* on its way; NULL: none */
        struct sg_totals_work *work; /* that slice's run() only while there is one */
        bool is_active, is_done, wants_all;
        void (*tell)(struct json_object *totals, void *owner);
        void *owner;
};

static struct slice *slice_of(struct sg_job *job)
{
        return SG_CONTAINER(job, struct slice, job);
}

/* ---- the keeper's part */

static int run(struct sg_job *job, struct sg_store *s, struct sg_error *err)
{
        struct slice *slice = slice_of(job);
        uint64_t start = sg_clock_usec();
        int r = 0;

        slice->work->config = slice->config;
        if (slice->wants_look)
                r = sg_totals_look(slice->work, s, sg_clock_wall_usec(), slice->wants_all, err);
        if (!r) {
                slice->wants_look = slice->wants_all = false; /* what it found stays found */
                r = sg_totals_sum(slice->work, s, SLICE_USEC, slice->array, &slice->is_done, err);
        }
        slice->work->config = NULL;
        slice->took_usec = sg_clock_usec() - start;
        return r;
}

/* ---- the loop's */

static struct sg_totals_work *work_free(struct sg_totals_work *w)
{
        if (w)
                sg_totals_work_done(w);
        free(w);
        return NULL;
}

static void slice_free(struct slice *slice)
{
        json_object_put(slice->array);
        sg_config_unref(slice->config);
        if (!slice->totals)
                work_free(slice->work);
        free(slice);
}

static void done(struct sg_job *job, int r, const struct sg_error *err)
{
        struct slice *slice = slice_of(job);
        struct sg_totals *t = slice->totals;
        uint64_t wait_usec = IDLE_TIMES * slice->took_usec;

        if (t) {
                t->slice = NULL;
                if (r)
                        sg_debug("totals cannot be told yet: %s", err->text);
                /* A look that failed has found out nothing that the next does not. */
                t->is_done = slice->is_done || (r && slice->wants_look);
                t->wants_all |= r && slice->wants_all;
                if (t->is_active && json_object_array_length(slice->array) > 0)
                        t->tell(SG_GIVE(slice->array), t->owner);
                if (t->is_active)
                        sg_timer_start(&t->timer, r || t->is_done ? SG_MAX(wait_usec, ROUND_USEC) : wait_usec);
        }
        slice_free(slice);
}

static void on_time(struct sg_timer *timer, void *owner)
{
        struct sg_totals *t = owner;
        struct slice *slice = calloc(1, sizeof(*slice));
        bool wants_all;

        if (!slice) {
                sg_timer_start(timer, ROUND_USEC);
                return;
        }
        *slice = (struct slice){.job = {.run = run, .done = done},
                                .totals = t,
                                .config = t->config ? sg_config_ref(t->config) : NULL,
                                .work = t->work,
                                .wants_look = t->is_done,
                                .wants_all = t->is_done && t->wants_all,
                                .array = json_object_new_array()};
        wants_all = slice->wants_all; /* once posted it is the keeper's */
        if (sg_keeper_post(t->keeper, &slice->job) != 0) {
                slice_free(slice);
                sg_timer_start(timer, ROUND_USEC);
                return;
        }
        t->slice = slice;
        t->wants_all &= !wants_all;
}

int sg_totals_new(struct sg_totals **ret, struct sg_loop *l, struct sg_keeper *k,
                  void (*tell)(struct json_object *totals, void *owner), void *owner)
{
        SG_AUTO(sg_totals_free) struct sg_totals *t = calloc(1, sizeof(*t));
        int r;

        if (!t)
                return -ENOMEM;
        *t = (struct sg_totals){.keeper = k, .is_done = true, .tell = tell, .owner = owner};
        t->work = calloc(1, sizeof(*t->work));
        if (!t->work)
                return -ENOMEM;
        r = sg_timer_init(&t->timer, l, on_time, t);
        if (!r)
                *ret = SG_GIVE(t);
        return r;
}

struct sg_totals *sg_totals_free(struct sg_totals *t)
{
        if (!t)
                return NULL;
        if (t->timer.loop)
                sg_timer_done(&t->timer);
        if (t->slice)
                t->slice->totals = NULL; /* the work goes with it */
        else
                work_free(t->work);
        sg_config_unref(t->config);
        free(t);
        return NULL;
}

void sg_totals_set_config(struct sg_totals *t, struct sg_config *config)
{
        struct sg_config *before = t->config;

        t->config = config ? sg_config_ref(config) : NULL;
        sg_config_unref(before);
        if (t->is_active)
                sg_totals_want_all(t);
}

void sg_totals_want_all(struct sg_totals *t)
{
        t->is_active = t->wants_all = true;
        if (!t->slice && !sg_timer_is_running(&t->timer))
                sg_timer_start(&t->timer, 0);
}

void sg_totals_stop(struct sg_totals *t)
{
        t->is_active = false;
        sg_timer_stop(&t->timer);
}
