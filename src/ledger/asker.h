/*
 * ledger/asker.h - a thread that asks the database what may take long, so that keys and usage flow on meanwhile
 *
 * Shape    questions are answered one after the other, through a read-only store of the thread's own
 * Units    _usec
 * Owner    the server; a question is the asker's until `answered` was called, which happens once for each
 * Thread   all calls and `answered`: the loop's. Filters' strings are copied
 * Errors   SG_ASKER_E_FULL
 * Limits   SG_ASKER_QUEUE_MAX questions waiting; ASK_USEC_MAX for one of them (asker.c)
 */
#pragma once

#include <json-c/json.h>

#include "config/config.h"
#include "ledger/store.h"
#include "loop/loop.h"

#define SG_ASKER_QUEUE_MAX 16u

enum sg_asker_error {
        SG_ASKER_E_FULL = 1,
};

struct sg_asker;
struct sg_question;

int sg_asker_new(struct sg_asker **ret, struct sg_loop *l, const struct sg_store_options *options, struct sg_error *err)
        SG_MUST_CHECK;
/* Breaks off what is asked; every question still gets its `answered`. */
struct sg_asker *sg_asker_free(struct sg_asker *a);

enum sg_question_about {
        SG_QUESTION_SUMS, /* by `by` */
        SG_QUESTION_BILLS,
        SG_QUESTION_EVENTS,
        SG_QUESTION_N,
};

/* Each row is turned into JSON by the function given, in the asker's thread. answered: array has the rows and unpriced,
 * when costs are wanted, what there are no prices for (ledger/cost.h); both are given away, or NULL and err says why. */
struct sg_question_spec {
        struct sg_store_usage_filter filter;
        enum sg_question_about about;
        enum sg_store_by by;
        bool wants_cost;
        struct sg_config *config; /* has the prices; the question takes a reference. NULL: there are none */
        struct json_object *(*sum_json)(const struct sg_store_usage_sum *sum);
        struct json_object *(*bill_json)(const struct sg_store_usage_bill *bill);
        struct json_object *(*event_json)(const struct sg_store_usage_event *event);
        void (*answered)(void *owner, struct json_object *array, struct json_object *unpriced,
                         const struct sg_error *err);
        void *owner;
};
int sg_asker_ask(struct sg_asker *a, const struct sg_question_spec *spec, struct sg_question **ret) SG_MUST_CHECK;
/* Nobody waits for the answer any more: it is broken off, and `answered` is still called. */
void sg_asker_cancel(struct sg_question *q);
