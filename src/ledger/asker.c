#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/thread.h"
#include "ledger/asker.h"

#define ASK_USEC_MAX (60 * SG_USEC_PER_SEC)

struct sg_question {
        struct sg_letter letter;
        struct sg_link link;
        struct sg_asker *asker;
        struct sg_question_spec spec; /* with copies of key and model */
        char *key, *model;
        struct sg_store_limit limit;
        struct json_object *array;
        struct sg_error err;
        int result;
};

/* The lock covers queue, running and must_end; nothing is called while it is held. */
struct sg_asker {
        struct sg_loop *loop;
        struct sg_mailbox *mailbox;
        struct sg_store *store; /* the thread's */
        pthread_t thread;
        bool is_running;
        pthread_mutex_t lock;
        pthread_cond_t wake;
        struct sg_list queue;
        struct sg_question *running;
        bool must_end;
};

/* ---- the thread */

static void add_sum(const struct sg_store_usage_sum *sum, void *owner)
{
        struct sg_question *q = owner;

        json_object_array_add(q->array, q->spec.sum_json(sum));
}

static void add_event(const struct sg_store_usage_event *event, void *owner)
{
        struct sg_question *q = owner;

        json_object_array_add(q->array, q->spec.event_json(event));
}

static void ask(struct sg_asker *a, struct sg_question *q)
{
        q->array = json_object_new_array();
        q->limit.until_usec = sg_clock_usec() + ASK_USEC_MAX;
        sg_store_set_limit(a->store, &q->limit);
        if (q->spec.wants_events)
                q->result = sg_store_usage_events(a->store, &q->spec.filter, add_event, q, &q->err);
        else
                q->result = sg_store_usage_sums(a->store, q->spec.by, &q->spec.filter, add_sum, q, &q->err);
        sg_store_set_limit(a->store, NULL);
}

static struct sg_question *next_question(struct sg_asker *a)
{
        struct sg_link *k;

        SG_ASSERT(pthread_mutex_lock(&a->lock) == 0);
        while (!(k = sg_list_pop(&a->queue)) && !a->must_end)
                SG_ASSERT(pthread_cond_wait(&a->wake, &a->lock) == 0);
        if (k)
                a->running = SG_CONTAINER(k, struct sg_question, link);
        SG_ASSERT(pthread_mutex_unlock(&a->lock) == 0);
        return k ? SG_CONTAINER(k, struct sg_question, link) : NULL;
}

/* Once posted it is the loop's, which may free it at once. */
static void give_back(struct sg_asker *a, struct sg_question *q)
{
        SG_ASSERT(pthread_mutex_lock(&a->lock) == 0);
        a->running = NULL;
        SG_ASSERT(pthread_mutex_unlock(&a->lock) == 0);
        sg_mailbox_post(a->mailbox, &q->letter);
}

static void *run(void *arg)
{
        struct sg_asker *a = arg;
        struct sg_question *q;

        while ((q = next_question(a))) {
                ask(a, q);
                give_back(a, q);
        }
        return NULL;
}

/* ---- the loop's side */

static void question_free(struct sg_question *q)
{
        json_object_put(q->array);
        free(q->key);
        free(q->model);
        free(q);
}

static void on_letter(struct sg_letter *letter, void *owner)
{
        struct sg_question *q = SG_CONTAINER(letter, struct sg_question, letter);

        q->spec.answered(q->spec.owner, q->result ? NULL : SG_GIVE(q->array), q->result ? &q->err : NULL);
        question_free(q);
}

int sg_asker_new(struct sg_asker **ret, struct sg_loop *l, const char *url, struct sg_error *err)
{
        struct sg_asker *a = calloc(1, sizeof(*a));
        int r;

        if (!a)
                return sg_error_set(err, -ENOMEM, "", "out of memory");
        a->loop = l;
        sg_list_init(&a->queue);
        (void)pthread_mutex_init(&a->lock, NULL);
        (void)pthread_cond_init(&a->wake, NULL);
        r = sg_store_open_reader(&a->store, url, err);
        if (!r) {
                r = sg_mailbox_new(&a->mailbox, l, on_letter, a);
                if (!r)
                        r = sg_thread_start(&a->thread, "asker", run, a);
                if (r)
                        (void)sg_error_set(err, r, "", "cannot start a thread");
        }
        if (r) {
                sg_asker_free(a);
                return r;
        }
        a->is_running = true;
        *ret = a;
        return 0;
}

struct sg_asker *sg_asker_free(struct sg_asker *a)
{
        if (!a)
                return NULL;
        if (a->is_running) {
                SG_ASSERT(pthread_mutex_lock(&a->lock) == 0);
                a->must_end = true;
                SG_LIST_EACH (&a->queue, k) {
                        sg_asker_cancel(SG_CONTAINER(k, struct sg_question, link));
                }
                if (a->running)
                        sg_asker_cancel(a->running);
                SG_ASSERT(pthread_cond_signal(&a->wake) == 0);
                SG_ASSERT(pthread_mutex_unlock(&a->lock) == 0);
                SG_ASSERT(pthread_join(a->thread, NULL) == 0);
        }
        if (a->mailbox)
                sg_mailbox_free(a->mailbox);
        sg_store_free(a->store);
        (void)pthread_cond_destroy(&a->wake);
        (void)pthread_mutex_destroy(&a->lock);
        free(a);
        return NULL;
}

static int push(struct sg_asker *a, struct sg_question *q)
{
        bool is_full;

        SG_ASSERT(pthread_mutex_lock(&a->lock) == 0);
        is_full = a->queue.n >= SG_ASKER_QUEUE_MAX;
        if (!is_full) {
                sg_list_push(&a->queue, &q->link);
                SG_ASSERT(pthread_cond_signal(&a->wake) == 0);
        }
        SG_ASSERT(pthread_mutex_unlock(&a->lock) == 0);
        return is_full ? SG_ASKER_E_FULL : 0;
}

int sg_asker_ask(struct sg_asker *a, const struct sg_question_spec *spec, struct sg_question **ret)
{
        struct sg_question *q = calloc(1, sizeof(*q));
        int r = SG_ASKER_E_FULL; /* no memory is no room */

        if (!q)
                return r;
        q->asker = a;
        q->spec = *spec;
        q->key = sg_str_dup(spec->filter.key);
        q->model = sg_str_dup(spec->filter.model);
        if (q->key && q->model) {
                q->spec.filter.key.p = q->key;
                q->spec.filter.model.p = q->model;
                r = push(a, q);
        }
        if (r)
                question_free(q);
        else
                *ret = q;
        return r;
}

void sg_asker_cancel(struct sg_question *q)
{
        atomic_store_explicit(&q->limit.is_cancelled, true, memory_order_relaxed);
}
