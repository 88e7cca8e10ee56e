#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/thread.h"
#include "ledger/keeper.h"

#define RETRY_USEC_MIN (250 * SG_USEC_PER_MSEC)
#define RETRY_USEC_MAX (5 * SG_USEC_PER_SEC)
#define LOOK_USEC      SG_USEC_PER_SEC /* after jobs that wait too long */

/* The lock covers queue, running and must_end; nothing is called while it is held. */
struct sg_keeper {
        struct sg_loop *loop;
        struct sg_mailbox *mailbox;
        struct sg_timer look;
        struct sg_keeper_status status;
        void (*on_state)(const struct sg_keeper_status *status, void *owner);
        void *owner;
        bool is_ending;

        pthread_t thread;
        bool is_running;
        pthread_mutex_t lock;
        pthread_cond_t wake;
        struct sg_list queue;
        bool must_end;
        struct sg_store_limit limit; /* of what runs */

        /* the thread's */
        struct sg_store_options options;
        struct sg_store *store;
        struct sg_error err; /* why there is none */
        bool is_told;
        uint64_t retry_usec, retry_at_usec;
};

static const char *const state_names[SG_KEEPER_N] = {
        [SG_KEEPER_OPENING] = "opening",
        [SG_KEEPER_UP] = "up",
        [SG_KEEPER_DOWN] = "down",
};

const char *sg_keeper_state_name(enum sg_keeper_state s)
{
        SG_ASSERT(s < SG_KEEPER_N);
        return state_names[s];
}

/* ---- the thread: its state goes to the loop like a job that is done */

struct news {
        struct sg_job job;
        struct sg_keeper *keeper;
        struct sg_keeper_status status;
};

static void hear_news(struct sg_job *job, int r, const struct sg_error *err)
{
        struct news *n = SG_CONTAINER(job, struct news, job);
        struct sg_keeper *k = n->keeper;

        if (k->status.state != n->status.state)
                k->status = n->status;
        else
                k->status.err = n->status.err;
        if (k->on_state)
                k->on_state(&k->status, k->owner);
        free(n);
}

/* Without memory it is told at the next attempt. */
static void tell(struct sg_keeper *k, enum sg_keeper_state state)
{
        struct news *n = calloc(1, sizeof(*n));

        k->is_told = n != NULL;
        if (!n)
                return;
        n->keeper = k;
        n->job.done = hear_news;
        n->status.state = state;
        n->status.since_wall_usec = sg_clock_wall_usec();
        n->status.err = k->err;
        sg_mailbox_post(k->mailbox, &n->job.letter);
}

static void try_to_open(struct sg_keeper *k)
{
        struct sg_error before = k->err;

        if (k->store || sg_clock_usec() < k->retry_at_usec)
                return;
        k->err = (struct sg_error){0};
        if (sg_store_open(&k->store, &k->options, &k->err) == 0) {
                k->retry_usec = 0;
                tell(k, SG_KEEPER_UP);
                return;
        }
        k->retry_usec = k->retry_usec ? SG_MIN(2 * k->retry_usec, RETRY_USEC_MAX) : RETRY_USEC_MIN;
        k->retry_at_usec = sg_clock_usec() + k->retry_usec;
        if (!k->is_told || before.code != k->err.code || strcmp(before.text, k->err.text) != 0)
                tell(k, SG_KEEPER_DOWN);
}

static void lose(struct sg_keeper *k, const struct sg_error *err)
{
        k->store = sg_store_free(k->store);
        k->err = *err;
        k->retry_at_usec = 0;
        tell(k, SG_KEEPER_DOWN);
}

static void do_job(struct sg_keeper *k, struct sg_job *job)
{
        try_to_open(k);
        if (!k->store) {
                job->err = k->err;
                job->result = job->err.code = -EHOSTDOWN;
                return;
        }
        k->limit.until_usec = sg_clock_usec() + SG_KEEPER_USEC_MAX;
        sg_store_set_limit(k->store, &k->limit);
        job->result = job->run(job, k->store, &job->err);
        sg_store_set_limit(k->store, NULL);
        sg_store_rollback(k->store);
        if (sg_store_is_lost(job->result))
                lose(k, &job->err);
}

/* The next job, or NULL when it is time to try to open the store again. False: the end. */
static bool next_job(struct sg_keeper *k, struct sg_job **ret)
{
        const uint64_t at = k->retry_at_usec;
        const struct timespec until = {.tv_sec = (time_t)(at / SG_USEC_PER_SEC),
                                       .tv_nsec = (long)(at % SG_USEC_PER_SEC) * 1000};
        struct sg_link *first;
        bool goes_on;
        int e = 0;

        SG_ASSERT(pthread_mutex_lock(&k->lock) == 0);
        while (!k->must_end && e == 0 && sg_list_is_empty(&k->queue))
                e = k->store ? pthread_cond_wait(&k->wake, &k->lock)
                             : pthread_cond_timedwait(&k->wake, &k->lock, &until);
        goes_on = !k->must_end;
        first = goes_on ? sg_list_pop(&k->queue) : NULL;
        SG_ASSERT(pthread_mutex_unlock(&k->lock) == 0);
        *ret = first ? SG_CONTAINER(first, struct sg_job, link) : NULL;
        return goes_on;
}

static void *run(void *arg)
{
        struct sg_keeper *k = arg;
        struct sg_job *job = NULL;

        try_to_open(k);
        while (next_job(k, &job)) {
                if (job) {
                        do_job(k, job);
                        sg_mailbox_post(k->mailbox, &job->letter);
                } else
                        try_to_open(k);
        }
        k->store = sg_store_free(k->store);
        return NULL;
}

/* ---- the loop's side */

static void on_letter(struct sg_letter *letter, void *owner)
{
        struct sg_job *job = SG_CONTAINER(letter, struct sg_job, letter);

        job->done(job, job->result, &job->err);
}

static void end_job(struct sg_link *link, int code, const char *why)
{
        struct sg_job *job = SG_CONTAINER(link, struct sg_job, link);

        (void)sg_error_set(&job->err, code, "", "%s", why);
        job->done(job, code, &job->err);
}

/* One that waits behind a job that does not end. */
static struct sg_link *take_overdue(struct sg_keeper *k, uint64_t now_usec)
{
        struct sg_link *first;

        SG_ASSERT(pthread_mutex_lock(&k->lock) == 0);
        first = sg_list_first(&k->queue);
        if (first && SG_CONTAINER(first, struct sg_job, link)->posted_usec + SG_KEEPER_USEC_MAX <= now_usec)
                sg_list_remove(&k->queue, first);
        else
                first = NULL;
        SG_ASSERT(pthread_mutex_unlock(&k->lock) == 0);
        return first;
}

static bool is_idle(struct sg_keeper *k)
{
        bool is_empty;

        SG_ASSERT(pthread_mutex_lock(&k->lock) == 0);
        is_empty = sg_list_is_empty(&k->queue);
        SG_ASSERT(pthread_mutex_unlock(&k->lock) == 0);
        return is_empty;
}

static void on_look(struct sg_timer *t, void *owner)
{
        struct sg_keeper *k = owner;
        struct sg_link *late;

        while ((late = take_overdue(k, sg_clock_usec())))
                end_job(late, -ETIME, "the database did not answer in time: see the ledger's status, and try again");
        if (!is_idle(k))
                sg_timer_start(t, LOOK_USEC);
}

int sg_keeper_post(struct sg_keeper *k, struct sg_job *job)
{
        bool is_full;

        job->posted_usec = sg_clock_usec();
        SG_ASSERT(pthread_mutex_lock(&k->lock) == 0);
        is_full = k->is_ending || k->queue.n >= SG_KEEPER_QUEUE_MAX;
        if (!is_full) {
                sg_list_push(&k->queue, &job->link);
                SG_ASSERT(pthread_cond_signal(&k->wake) == 0);
        }
        SG_ASSERT(pthread_mutex_unlock(&k->lock) == 0);
        if (!is_full && !sg_timer_is_running(&k->look))
                sg_timer_start(&k->look, LOOK_USEC);
        return is_full ? SG_KEEPER_E_FULL : 0;
}

void sg_keeper_get_status(const struct sg_keeper *k, struct sg_keeper_status *ret)
{
        *ret = k->status;
}

void sg_keeper_on_state(struct sg_keeper *k, void (*on_state)(const struct sg_keeper_status *status, void *owner),
                        void *owner)
{
        k->on_state = on_state;
        k->owner = owner;
}

/* ---- birth and end */

static void init_lock(struct sg_keeper *k)
{
        pthread_condattr_t attributes;

        (void)pthread_mutex_init(&k->lock, NULL);
        (void)pthread_condattr_init(&attributes);
        (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
        (void)pthread_cond_init(&k->wake, &attributes);
        (void)pthread_condattr_destroy(&attributes);
}

int sg_keeper_new(struct sg_keeper **ret, struct sg_loop *l, const struct sg_store_options *options,
                  struct sg_error *err)
{
        SG_AUTO(sg_keeper_free) struct sg_keeper *k = calloc(1, sizeof(*k));
        int r;

        if (!k)
                return sg_error_set(err, -ENOMEM, "", "out of memory");
        k->loop = l;
        k->status = (struct sg_keeper_status){.state = SG_KEEPER_OPENING, .since_wall_usec = sg_clock_wall_usec()};
        sg_list_init(&k->queue);
        init_lock(k);
        r = sg_store_options_copy(&k->options, options);
        if (!r)
                r = sg_timer_init(&k->look, l, on_look, k);
        if (!r)
                r = sg_mailbox_new(&k->mailbox, l, on_letter, k);
        if (!r)
                r = sg_thread_start(&k->thread, "keeper", run, k);
        if (r)
                return sg_error_set(err, r, "", "cannot start a thread: %s", strerror(-r));
        k->is_running = true;
        *ret = SG_GIVE(k);
        return 0;
}

static void end_thread(struct sg_keeper *k)
{
        struct sg_link *link;

        k->is_ending = true;
        k->on_state = NULL;
        atomic_store_explicit(&k->limit.is_cancelled, true, memory_order_relaxed);
        SG_ASSERT(pthread_mutex_lock(&k->lock) == 0);
        k->must_end = true;
        SG_ASSERT(pthread_cond_signal(&k->wake) == 0);
        SG_ASSERT(pthread_mutex_unlock(&k->lock) == 0);
        SG_ASSERT(pthread_join(k->thread, NULL) == 0);
        while ((link = sg_list_pop(&k->queue)))
                end_job(link, -ECANCELED, "the ledger is stopping: try again");
}

struct sg_keeper *sg_keeper_free(struct sg_keeper *k)
{
        if (!k)
                return NULL;
        if (k->is_running)
                end_thread(k);
        sg_mailbox_free(k->mailbox);
        if (k->look.loop)
                sg_timer_done(&k->look);
        sg_store_options_done(&k->options);
        (void)pthread_cond_destroy(&k->wake);
        (void)pthread_mutex_destroy(&k->lock);
        free(k);
        return NULL;
}
