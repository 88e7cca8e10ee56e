/* QueryUsage: sums and single events. QueryBills: what was used of each model on each day. */
#include <stdlib.h>
#include <time.h>

#include "ledger/verbs.h"

#define FRESH_USEC   (200 * SG_USEC_PER_MSEC) /* spent on what the rings hold, before asking the database */
#define SUMS_MAX     10000u
#define SUMS_USUAL   1000u
#define BILLS_MAX    10000u
#define EVENTS_MAX   1000u /* each may hold SG_RAW_USAGE_BYTES_MAX and more */
#define EVENTS_USUAL 100u

static struct json_object *sum_json(const struct sg_store_usage_sum *sum)
{
        static const char *const by_certainty[SG_RECORD_CERTAINTY_N] = {"uncounted", "measured", "partial",
                                                                        "estimated"};
        struct json_object *o = json_object_new_object();

        sg_members_add_text(o, "group", sum->group);
        sg_members_add_u64(o, "requests", sum->n_requests);
        for (int i = 0; i < SG_OUTCOME_N; i++)
                sg_members_add_u64(o, sg_outcome_name((enum sg_outcome)i), sum->n_by_outcome[i]);
        for (int i = 0; i < SG_RECORD_CERTAINTY_N; i++)
                sg_members_add_u64(o, by_certainty[i], sum->n_by_certainty[i]);
        sg_members_add_u64(o, "input_tokens", sum->input_tokens);
        sg_members_add_u64(o, "output_tokens", sum->output_tokens);
        sg_members_add_u64(o, "cached_tokens", sum->cached_tokens);
        sg_members_add_u64(o, "cache_write_tokens", sum->cache_write_tokens);
        sg_members_add_u64(o, "cache_write_1h_tokens", sum->cache_write_1h_tokens);
        sg_members_add_u64(o, "reasoning_tokens", sum->reasoning_tokens);
        sg_members_add_u64(o, "audio_input_tokens", sum->audio_input_tokens);
        sg_members_add_u64(o, "audio_output_tokens", sum->audio_output_tokens);
        sg_members_add_u64(o, "image_tokens", sum->image_tokens);
        sg_members_add_u64(o, "duration_usec", sum->duration_usec);
        sg_members_add_u64(o, "first_wall_usec", sum->first_wall_usec);
        sg_members_add_u64(o, "last_wall_usec", sum->last_wall_usec);
        return o;
}

static struct json_object *bill_json(const struct sg_store_usage_bill *bill)
{
        const struct sg_tokens *t = &bill->tokens;
        struct json_object *o = json_object_new_object();
        time_t at = (time_t)(bill->day * 86400);
        char day[32] = "";
        struct tm tm;

        if (gmtime_r(&at, &tm))
                (void)strftime(day, sizeof(day), "%Y-%m-%d", &tm);
        sg_members_add_text(o, "day", sg_str_from(day));
        sg_members_add_text(o, "provider", bill->provider);
        sg_members_add_text(o, "model", bill->model);
        sg_members_add_u64(o, "requests", t->n_requests);
        sg_members_add_u64(o, "input_tokens", t->input);
        sg_members_add_u64(o, "output_tokens", t->output);
        sg_members_add_u64(o, "cached_tokens", t->cached);
        sg_members_add_u64(o, "cache_write_tokens", t->cache_write);
        sg_members_add_u64(o, "cache_write_1h_tokens", t->cache_write_1h);
        sg_members_add_u64(o, "reasoning_tokens", t->reasoning);
        sg_members_add_u64(o, "audio_input_tokens", t->audio_input);
        sg_members_add_u64(o, "audio_output_tokens", t->audio_output);
        sg_members_add_u64(o, "image_tokens", t->image);
        return o;
}

static struct json_object *event_json(const struct sg_store_usage_event *event)
{
        struct json_object *o = json_object_new_object();
        const struct sg_record *rec = &event->rec;

        sg_members_add_u64(o, "id", event->id);
        sg_members_add_text(o, "request_id", rec->request_id);
        sg_members_add_u64(o, "start_wall_usec", rec->start_wall_usec);
        sg_members_add_text(o, "day", event->day);
        sg_members_add_u64(o, "key_id", rec->key_id);
        sg_members_add_text(o, "key", rec->key_name);
        sg_members_add_text(o, "operation", rec->operation);
        sg_members_add_text(o, "model", rec->model);
        sg_members_add_text(o, "provider", rec->provider);
        sg_members_add_text(o, "upstream_model", rec->upstream_model);
        sg_members_add_text(o, "credential", rec->credential);
        sg_members_add_u64(o, "attempts", rec->n_attempts);
        sg_members_add_bool(o, "stream", rec->flags & SG_RECORD_STREAM);
        sg_members_add_text(o, "outcome", event->outcome);
        sg_members_add_u64(o, "status", rec->status);
        sg_members_add_text(o, "certainty", event->certainty);
        sg_members_add_u64(o, "input_tokens", rec->input_tokens);
        sg_members_add_u64(o, "output_tokens", rec->output_tokens);
        sg_members_add_u64(o, "cached_tokens", rec->cached_tokens);
        sg_members_add_u64(o, "cache_write_tokens", rec->cache_write_tokens);
        sg_members_add_u64(o, "cache_write_1h_tokens", rec->cache_write_1h_tokens);
        sg_members_add_u64(o, "reasoning_tokens", rec->reasoning_tokens);
        sg_members_add_u64(o, "audio_input_tokens", rec->audio_input_tokens);
        sg_members_add_u64(o, "audio_output_tokens", rec->audio_output_tokens);
        sg_members_add_u64(o, "image_tokens", rec->image_tokens);
        sg_members_add_u64(o, "duration_usec", rec->duration_usec);
        sg_members_add_u64(o, "first_byte_usec", rec->first_byte_usec);
        sg_members_add_u64(o, "prompt_bytes", rec->prompt_bytes);
        sg_members_add_u64(o, "answer_bytes", rec->answer_bytes);
        sg_members_add_text(o, "reason", rec->reason);
        sg_members_add_text(o, "raw_usage", rec->raw_usage);
        sg_members_add_text(o, "ring", event->ring);
        sg_members_add_u64(o, "exchange", rec->exchange);
        return o;
}

/* What the call gave. */
struct given {
        struct json_object *from, *to, *by, *key, *model, *provider, *limit, *requests, *cost;
};

static bool read_by(struct sg_varlink_call *call, struct json_object *by, enum sg_store_by *ret)
{
        static const char *const names[SG_STORE_BY_N] = {"none", "key", "model", "provider", "day"};

        *ret = SG_STORE_BY_NONE;
        if (!by)
                return true;
        for (int i = 0; i < SG_STORE_BY_N; i++)
                if (strcmp(json_object_get_string(by), names[i]) == 0) {
                        *ret = (enum sg_store_by)i;
                        return true;
                }
        sg_varlink_fail_parameter(call, "by");
        return false;
}

static struct sg_str text_of(struct json_object *o)
{
        return o ? sg_str_make(json_object_get_string(o), (size_t)json_object_get_string_len(o)) : SG_STR_NONE;
}

static bool read_number(struct sg_varlink_call *call, struct json_object *o, const char *name, uint64_t least,
                        uint64_t most, uint64_t *ret)
{
        int64_t v;

        if (!o)
                return true;
        v = json_object_get_int64(o);
        if (v < 0 || (uint64_t)v < least || (uint64_t)v > most) {
                sg_varlink_fail_parameter(call, name);
                return false;
        }
        *ret = (uint64_t)v;
        return true;
}

/* ---- while it is asked */

struct pending {
        struct sg_varlink_call *call; /* NULL: its client is gone */
        struct sg_ledger_server *server;
        struct sg_drain_wish wish;
        struct sg_question *question; /* NULL: the rings are drained first */
        struct sg_question_spec spec; /* its texts belong to the call */
        uint64_t limit;
        enum sg_question_about about;
};

static void on_gone(struct sg_varlink_call *call, void *owner)
{
        struct pending *p = owner;

        p->call = NULL;
        if (p->question) {
                sg_asker_cancel(p->question);
                return;
        }
        sg_drainer_forget(p->server->drainer, &p->wish);
        free(p);
}

static void add_usage_rows(const struct pending *p, struct json_object *o, struct json_object *array)
{
        bool is_of_events = p->about == SG_QUESTION_EVENTS;

        json_object_object_add(o, "rows", is_of_events ? json_object_new_array() : array);
        json_object_object_add(o, "events", is_of_events ? array : json_object_new_array());
}

static void reply_rows(const struct pending *p, struct json_object *array, struct json_object *unpriced)
{
        struct json_object *o = json_object_new_object();
        bool is_limited = json_object_array_length(array) > p->limit;

        /* One more than wanted was asked for, to know that. */
        if (is_limited)
                json_object_array_del_idx(array, (size_t)p->limit, 1);
        if (p->about == SG_QUESTION_BILLS)
                json_object_object_add(o, "bills", array);
        else
                add_usage_rows(p, o, array);
        if (unpriced)
                json_object_object_add(o, "unpriced", unpriced);
        sg_members_add_bool(o, "is_limited", is_limited);
        sg_varlink_reply(p->call, o);
}

static void answered(void *owner, struct json_object *array, struct json_object *unpriced, const struct sg_error *err)
{
        struct pending *p = owner;

        if (!p->call) {
                json_object_put(array);
                json_object_put(unpriced);
        } else if (array)
                reply_rows(p, array, unpriced);
        else
                sg_verb_fail_database(p->call, err);
        free(p);
}

static void ask(struct sg_drain_wish *wish, bool is_all)
{
        struct pending *p = SG_CONTAINER(wish, struct pending, wish);
        struct sg_varlink_call *call = p->call;

        p->spec.config = p->server->config;
        if (sg_asker_ask(p->server->asker, &p->spec, &p->question) == 0)
                return;
        sg_varlink_call_watch(call, NULL, NULL);
        free(p);
        sg_varlink_fail_text(call, SG_LEDGER_NAME("Busy"), "%u questions about usage wait already: try again later",
                             SG_ASKER_QUEUE_MAX);
}

static void start(struct sg_ledger_server *s, struct sg_varlink_call *call, const struct sg_question_spec *wanted)
{
        struct pending *p = calloc(1, sizeof(*p));

        if (!p) {
                sg_varlink_fail_text(call, SG_LEDGER_NAME("Busy"), "out of memory: try again later");
                return;
        }
        *p = (struct pending){.call = call,
                              .server = s,
                              .spec = *wanted,
                              .limit = wanted->filter.limit,
                              .about = wanted->about,
                              .wish.done = ask};
        p->spec.filter.limit++;
        p->spec.sum_json = sum_json;
        p->spec.bill_json = bill_json;
        p->spec.event_json = event_json;
        p->spec.answered = answered;
        p->spec.owner = p;
        sg_varlink_call_watch(call, on_gone, p);
        sg_drainer_wish(s->drainer, &p->wish, FRESH_USEC);
}

static void query(struct sg_ledger_server *s, struct sg_varlink_call *call, const struct given *g)
{
        bool wants_events = g->requests && json_object_get_boolean(g->requests);
        struct sg_question_spec spec = {.about = wants_events ? SG_QUESTION_EVENTS : SG_QUESTION_SUMS,
                                        .wants_cost = g->cost && json_object_get_boolean(g->cost)};
        struct sg_store_usage_filter *f = &spec.filter;

        *f = (struct sg_store_usage_filter){
                .to_wall_usec = UINT64_MAX,
                .key = text_of(g->key),
                .model = text_of(g->model),
                .limit = wants_events ? EVENTS_USUAL : SUMS_USUAL,
        };
        if (!read_by(call, g->by, &spec.by) ||
            !read_number(call, g->from, "from_wall_usec", 0, INT64_MAX, &f->from_wall_usec) ||
            !read_number(call, g->to, "to_wall_usec", 0, INT64_MAX, &f->to_wall_usec) ||
            !read_number(call, g->limit, "limit", 1, wants_events ? EVENTS_MAX : SUMS_MAX, &f->limit))
                return;
        start(s, call, &spec);
}

static void query_bills(struct sg_ledger_server *s, struct sg_varlink_call *call, const struct given *g)
{
        struct sg_question_spec spec = {.about = SG_QUESTION_BILLS, .wants_cost = true};
        struct sg_store_usage_filter *f = &spec.filter;

        *f = (struct sg_store_usage_filter){
                .to_wall_usec = UINT64_MAX, .provider = text_of(g->provider), .limit = BILLS_MAX};
        if (!read_number(call, g->from, "from_wall_usec", 0, INT64_MAX, &f->from_wall_usec) ||
            !read_number(call, g->to, "to_wall_usec", 0, INT64_MAX, &f->to_wall_usec))
                return;
        start(s, call, &spec);
}

void sg_verb_query_usage(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        struct given g = {0};
        const struct sg_varlink_parameter expected[] = {
                {"from_wall_usec", SG_VARLINK_INT, false, &g.from},
                {"to_wall_usec", SG_VARLINK_INT, false, &g.to},
                {"by", SG_VARLINK_STRING, false, &g.by},
                {"key", SG_VARLINK_STRING, false, &g.key},
                {"model", SG_VARLINK_STRING, false, &g.model},
                {"limit", SG_VARLINK_INT, false, &g.limit},
                {"requests", SG_VARLINK_BOOL, false, &g.requests},
                {"cost", SG_VARLINK_BOOL, false, &g.cost},
        };

        if (sg_varlink_read(call, parameters, expected, SG_N_ELEMENTS(expected)))
                query(owner, call, &g);
}

void sg_verb_query_bills(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        struct given g = {0};
        const struct sg_varlink_parameter expected[] = {
                {"from_wall_usec", SG_VARLINK_INT, false, &g.from},
                {"to_wall_usec", SG_VARLINK_INT, false, &g.to},
                {"provider", SG_VARLINK_STRING, false, &g.provider},
        };

        if (sg_varlink_read(call, parameters, expected, SG_N_ELEMENTS(expected)))
                query_bills(owner, call, &g);
}
