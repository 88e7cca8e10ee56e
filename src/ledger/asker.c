#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/thread.h"
#include "ledger/asker.h"
#include "ledger/cost.h"

#define ASK_USEC_MAX (60 * SG_USEC_PER_SEC)

struct sg_question {
        struct sg_letter letter;
        struct sg_link link;
        struct sg_asker *asker;
        struct sg_question_spec spec; /* with copies of the filter's texts */
        char *key, *model, *provider;
        struct sg_store_limit limit;
        struct json_object *array, *unpriced;
        struct sg_costing *costing; /* while it is asked; NULL: no costs are wanted */
        struct sg_error err;
        int result;
};

/* The lock covers queue, running and must_end; nothing is called while it is held. */
struct sg_asker {
        struct sg_loop *loop;
        struct sg_mailbox *mailbox;
        struct sg_store_options options;
        struct sg_store *store; /* the thread's; NULL: it was lost, or not opened yet */
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
        struct json_object *row = q->spec.sum_json(sum);

        json_object_array_add(q->array, row);
        if (q->costing)
                sg_costing_add_row(q->costing, sum->group, row);
}

static void add_to_sum(const struct sg_store_usage_bill *bill, void *owner)
{
        struct sg_question *q = owner;

        sg_costing_add_bill(q->costing, bill);
}

static void add_bill(const struct sg_store_usage_bill *bill, void *owner)
{
        struct sg_question *q = owner;
        struct json_object *row = q->spec.bill_json(bill);

        json_object_array_add(q->array, row);
        if (q->costing)
                sg_costing_tell_bill(q->costing, bill, row);
}

static void add_event(const struct sg_store_usage_event *event, void *owner)
{
        struct sg_question *q = owner;
        struct json_object *row = q->spec.event_json(event);

        json_object_array_add(q->array, row);
        if (q->costing)
                sg_costing_tell_event(q->costing, event, row);
}

/* Sums, and with costs the bills that they are made of, from the same state of the database. */
static int ask_sums(struct sg_asker *a, struct sg_question *q)
{
        const struct sg_question_spec *spec = &q->spec;
        struct sg_store_usage_filter all = spec->filter;
        int r = 0;

        if (q->costing)
                r = sg_store_begin(a->store, &q->err);
        if (!r)
                r = sg_store_usage_sums(a->store, spec->by, &spec->filter, add_sum, q, &q->err);
        all.limit = INT64_MAX;
        if (!r && q->costing)
                r = sg_store_usage_bills(a->store, spec->by, &all, add_to_sum, q, &q->err);
        return r;
}

static int ask_store(struct sg_asker *a, struct sg_question *q)
{
        const struct sg_question_spec *spec = &q->spec;

        switch (spec->about) {
        case SG_QUESTION_BILLS:
                return sg_store_usage_bills(a->store, spec->by, &spec->filter, add_bill, q, &q->err);
        case SG_QUESTION_EVENTS:
                return sg_store_usage_events(a->store, &spec->filter, add_event, q, &q->err);
        default:
                return ask_sums(a, q);
        }
}

static int have_store(struct sg_asker *a, struct sg_error *err)
{
        return a->store ? 0 : sg_store_open_reader(&a->store, &a->options, err);
}

static void ask(struct sg_asker *a, struct sg_question *q)
{
        q->array = json_object_new_array();
        q->result = have_store(a, &q->err);
        if (q->result)
                return;
        if (q->spec.wants_cost) {
                q->costing = sg_costing_new(q->spec.config ? q->spec.config->prices : NULL);
                if (!q->costing) {
                        q->result = sg_error_set(&q->err, -ENOMEM, "", "out of memory");
                        return;
                }
        }
        q->limit.until_usec = sg_clock_usec() + ASK_USEC_MAX;
        sg_store_set_limit(a->store, &q->limit);
        q->result = ask_store(a, q);
        sg_store_set_limit(a->store, NULL);
        sg_store_rollback(a->store);
        if (sg_store_is_lost(q->result))
                a->store = sg_store_free(a->store);
        if (q->costing)
                q->unpriced = sg_costing_end(q->costing);
        q->costing = sg_costing_free(q->costing);
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
        json_object_put(q->unpriced);
        sg_config_unref(q->spec.config);
        free(q->key);
        free(q->model);
        free(q->provider);
        free(q);
}

static void on_letter(struct sg_letter *letter, void *owner)
{
        struct sg_question *q = SG_CONTAINER(letter, struct sg_question, letter);

        q->spec.answered(q->spec.owner, q->result ? NULL : SG_GIVE(q->array), q->result ? NULL : SG_GIVE(q->unpriced),
                         q->result ? &q->err : NULL);
        question_free(q);
}

int sg_asker_new(struct sg_asker **ret, struct sg_loop *l, const struct sg_store_options *options, struct sg_error *err)
{
        struct sg_asker *a = calloc(1, sizeof(*a));
        int r;

        if (!a)
                return sg_error_set(err, -ENOMEM, "", "out of memory");
        a->loop = l;
        sg_list_init(&a->queue);
        (void)pthread_mutex_init(&a->lock, NULL);
        (void)pthread_cond_init(&a->wake, NULL);
        r = sg_store_options_copy(&a->options, options);
        if (!r)
                r = sg_mailbox_new(&a->mailbox, l, on_letter, a);
        if (!r)
                r = sg_thread_start(&a->thread, "asker", run, a);
        if (r) {
                sg_asker_free(a);
                return sg_error_set(err, r, "", "cannot start a thread: %s", strerror(-r));
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
        sg_store_options_done(&a->options);
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
        if (spec->config)
                (void)sg_config_ref(spec->config);
        q->key = sg_str_dup(spec->filter.key);
        q->model = sg_str_dup(spec->filter.model);
        q->provider = sg_str_dup(spec->filter.provider);
        if (q->key && q->model && q->provider) {
                q->spec.filter.provider.p = q->provider;
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
