#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "ledger/drainer.h"

#define LAST_USEC  SG_USEC_PER_SEC
#define GRACE_USEC SG_USEC_PER_SEC /* after LAST_USEC, before the database is interrupted */

enum order_kind {
        ORDER_NOW,
        ORDER_RETRY,
        ORDER_END,
};

/* Goes to the thread; an ORDER_NOW comes back. */
struct order {
        struct sg_letter letter;
        enum order_kind kind;
        uint64_t number, usec;
        bool is_all;
};

struct sg_drainer {
        /* the owner's side */
        struct sg_mailbox *answers;
        struct sg_timer late;
        struct sg_list wishes; /* in the order of their numbers */
        uint64_t n_wishes;
        struct order *end; /* so that the end cannot fail */

        pthread_t thread;
        bool is_running;
        pthread_mutex_t lock; /* of status and is_over */
        pthread_cond_t ended;
        bool is_over;
        struct sg_drainer_status status;

        /* the thread's */
        struct sg_loop *loop;
        struct sg_mailbox *orders;
        struct sg_timer look;
        struct sg_drain *drain;
};

/* ---- the thread */

static void publish(void *owner)
{
        struct sg_drainer *d = owner;
        struct sg_drainer_status now = {.told_wall_usec = sg_clock_wall_usec()};

        sg_drain_get_status(d->drain, &now.drain);
        if (now.drain.error)
                (void)sg_error_set(&now.err, -EIO, "", "%s", now.drain.error);
        now.drain.error = NULL;
        SG_ASSERT(pthread_mutex_lock(&d->lock) == 0);
        if (now.err.code)
                now.failing_since_wall_usec =
                        d->status.err.code ? d->status.failing_since_wall_usec : now.told_wall_usec;
        d->status = now;
        SG_ASSERT(pthread_mutex_unlock(&d->lock) == 0);
}

static void on_look(struct sg_timer *t, void *owner)
{
        publish(owner);
        sg_timer_start(t, SG_DRAINER_LOOK_USEC);
}

static void obey(struct sg_letter *letter, void *owner)
{
        struct sg_drainer *d = owner;
        struct order *o = SG_CONTAINER(letter, struct order, letter);

        if (d->is_over) { /* what was ordered behind the end */
                free(o);
                return;
        }
        if (o->kind == ORDER_NOW) {
                o->is_all = sg_drain_now(d->drain, o->usec);
                sg_mailbox_post(d->answers, &o->letter);
                return;
        }
        if (o->kind == ORDER_RETRY)
                sg_drain_retry(d->drain);
        else {
                if (!sg_drain_now(d->drain, LAST_USEC))
                        sg_info("some usage stays in the journal until the next start");
                sg_loop_stop(d->loop);
        }
        free(o);
}

static void *run(void *arg)
{
        struct sg_drainer *d = arg;

        sg_loop_run(d->loop, SG_USEC_NEVER, NULL, NULL);
        SG_ASSERT(pthread_mutex_lock(&d->lock) == 0);
        d->is_over = true;
        SG_ASSERT(pthread_cond_signal(&d->ended) == 0);
        SG_ASSERT(pthread_mutex_unlock(&d->lock) == 0);
        return NULL;
}

/* ---- the owner's side */

static struct sg_drain_wish *first_wish(struct sg_drainer *d)
{
        struct sg_link *k = sg_list_first(&d->wishes);

        return k ? SG_CONTAINER(k, struct sg_drain_wish, link) : NULL;
}

static void wait_for_first(struct sg_drainer *d)
{
        const struct sg_drain_wish *w = first_wish(d);
        uint64_t now = sg_clock_usec();

        if (w)
                sg_timer_start(&d->late, w->until_usec > now ? w->until_usec - now : 0);
        else
                sg_timer_stop(&d->late);
}

static void end_wish(struct sg_drainer *d, struct sg_drain_wish *w, bool is_all)
{
        sg_list_remove(&d->wishes, &w->link);
        w->done(w, is_all);
}

static void on_answer(struct sg_letter *letter, void *owner)
{
        struct sg_drainer *d = owner;
        struct order *o = SG_CONTAINER(letter, struct order, letter);
        struct sg_drain_wish *w;

        /* Earlier wishes are fulfilled by a later answer, too. */
        while ((w = first_wish(d)) && w->number <= o->number)
                end_wish(d, w, o->is_all);
        wait_for_first(d);
        free(o);
}

static void on_late(struct sg_timer *t, void *owner)
{
        struct sg_drainer *d = owner;
        struct sg_drain_wish *w;

        while ((w = first_wish(d)) && w->until_usec <= sg_clock_usec())
                end_wish(d, w, false);
        wait_for_first(d);
}

/* Without memory the wish is not heard, and ends with its time. */
static void give_order(struct sg_drainer *d, enum order_kind kind, uint64_t number, uint64_t usec)
{
        struct order *o = calloc(1, sizeof(*o));

        if (!o)
                return;
        o->kind = kind;
        o->number = number;
        o->usec = usec;
        sg_mailbox_post(d->orders, &o->letter);
}

void sg_drainer_wish(struct sg_drainer *d, struct sg_drain_wish *wish, uint64_t usec)
{
        wish->number = ++d->n_wishes;
        wish->until_usec = sg_clock_usec() + usec;
        sg_list_push(&d->wishes, &wish->link);
        give_order(d, ORDER_NOW, wish->number, usec);
        wait_for_first(d);
}

void sg_drainer_forget(struct sg_drainer *d, struct sg_drain_wish *wish)
{
        sg_list_remove(&d->wishes, &wish->link);
}

void sg_drainer_retry(struct sg_drainer *d)
{
        give_order(d, ORDER_RETRY, 0, 0);
}

void sg_drainer_get_status(struct sg_drainer *d, struct sg_drainer_status *ret)
{
        SG_ASSERT(pthread_mutex_lock(&d->lock) == 0);
        *ret = d->status;
        SG_ASSERT(pthread_mutex_unlock(&d->lock) == 0);
}

/* ---- birth and end */

static void init_lock(struct sg_drainer *d)
{
        pthread_condattr_t attributes;

        (void)pthread_mutex_init(&d->lock, NULL);
        (void)pthread_condattr_init(&attributes);
        (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
        (void)pthread_cond_init(&d->ended, &attributes);
        (void)pthread_condattr_destroy(&attributes);
}

static int start(struct sg_drainer *d, struct sg_loop *l)
{
        int r;

        d->end = calloc(1, sizeof(*d->end));
        r = d->end ? sg_mailbox_new(&d->answers, l, on_answer, d) : -ENOMEM;
        if (!r)
                r = sg_timer_init(&d->late, l, on_late, d);
        if (!r)
                r = sg_mailbox_new(&d->orders, d->loop, obey, d);
        if (!r)
                r = sg_timer_init(&d->look, d->loop, on_look, d);
        if (r)
                return r;
        sg_timer_start(&d->look, 0);
        return sg_thread_start(&d->thread, "drain", run, d);
}

int sg_drainer_new(struct sg_drainer **ret, struct sg_loop *l, const struct sg_store_options *options,
                   const char *directory, const char *stage_directory, struct sg_error *err)
{
        SG_AUTO(sg_drainer_free) struct sg_drainer *d = calloc(1, sizeof(*d));
        int r;

        if (!d)
                return sg_error_set(err, -ENOMEM, directory, "out of memory");
        sg_list_init(&d->wishes);
        init_lock(d);
        r = sg_loop_new(&d->loop);
        if (r)
                return sg_error_set(err, r, "", "cannot start the drain's loop: %s", strerror(-r));
        r = sg_drain_new(&d->drain, d->loop, options, directory, stage_directory, err);
        if (r)
                return r;
        sg_drain_on_round(d->drain, publish, d);
        r = start(d, l);
        if (r)
                return sg_error_set(err, r, "", "cannot start a thread: %s", strerror(-r));
        d->is_running = true;
        *ret = SG_GIVE(d);
        return 0;
}

static void end_thread(struct sg_drainer *d)
{
        const uint64_t at = sg_clock_usec() + LAST_USEC + GRACE_USEC;
        const struct timespec until = {.tv_sec = (time_t)(at / SG_USEC_PER_SEC),
                                       .tv_nsec = (long)(at % SG_USEC_PER_SEC) * 1000};
        int e = 0;

        d->end->kind = ORDER_END;
        sg_mailbox_post(d->orders, &SG_GIVE(d->end)->letter);
        SG_ASSERT(pthread_mutex_lock(&d->lock) == 0);
        while (!d->is_over && e == 0)
                e = pthread_cond_timedwait(&d->ended, &d->lock, &until);
        SG_ASSERT(pthread_mutex_unlock(&d->lock) == 0);
        if (e)
                sg_drain_cancel(d->drain);
        SG_ASSERT(pthread_join(d->thread, NULL) == 0);
}

struct sg_drainer *sg_drainer_free(struct sg_drainer *d)
{
        struct sg_drain_wish *w;

        if (!d)
                return NULL;
        if (d->is_running)
                end_thread(d);
        sg_mailbox_free(d->orders);
        sg_mailbox_free(d->answers);
        while ((w = first_wish(d)))
                end_wish(d, w, false);
        if (d->late.loop)
                sg_timer_done(&d->late);
        if (d->look.loop)
                sg_timer_done(&d->look);
        sg_drain_free(d->drain);
        sg_loop_free(d->loop);
        free(d->end);
        (void)pthread_cond_destroy(&d->ended);
        (void)pthread_mutex_destroy(&d->lock);
        free(d);
        return NULL;
}
