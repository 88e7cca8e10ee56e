/* QueryUsage: sums and single events. */
#include "base/clock.h"
#include "ledger/verbs.h"

#define FRESH_USEC   (200 * SG_USEC_PER_MSEC) /* spent on what the rings hold, before asking the database */
#define SUMS_MAX     10000u
#define SUMS_USUAL   1000u
#define EVENTS_MAX   1000u /* each may hold SG_RAW_USAGE_BYTES_MAX and more */
#define EVENTS_USUAL 100u

static void add_sum(const struct sg_store_usage_sum *sum, void *owner)
{
        static const char *const by_certainty[SG_RECORD_CERTAINTY_N] = {"uncounted", "measured", "partial",
                                                                        "estimated"};
        struct json_object *o = json_object_new_object();

        sg_json_add_text(o, "group", sum->group);
        sg_json_add_u64(o, "requests", sum->n_requests);
        for (int i = 0; i < SG_OUTCOME_N; i++)
                sg_json_add_u64(o, sg_outcome_name((enum sg_outcome)i), sum->n_by_outcome[i]);
        for (int i = 0; i < SG_RECORD_CERTAINTY_N; i++)
                sg_json_add_u64(o, by_certainty[i], sum->n_by_certainty[i]);
        sg_json_add_u64(o, "input_tokens", sum->input_tokens);
        sg_json_add_u64(o, "output_tokens", sum->output_tokens);
        sg_json_add_u64(o, "cached_tokens", sum->cached_tokens);
        sg_json_add_u64(o, "cache_write_tokens", sum->cache_write_tokens);
        sg_json_add_u64(o, "reasoning_tokens", sum->reasoning_tokens);
        sg_json_add_u64(o, "duration_usec", sum->duration_usec);
        sg_json_add_u64(o, "first_wall_usec", sum->first_wall_usec);
        sg_json_add_u64(o, "last_wall_usec", sum->last_wall_usec);
        json_object_array_add(owner, o);
}

static void add_event(const struct sg_store_usage_event *event, void *owner)
{
        struct json_object *o = json_object_new_object();
        const struct sg_record *rec = &event->rec;

        sg_json_add_u64(o, "id", event->id);
        sg_json_add_text(o, "request_id", rec->request_id);
        sg_json_add_u64(o, "start_wall_usec", rec->start_wall_usec);
        sg_json_add_text(o, "day", event->day);
        sg_json_add_u64(o, "key_id", rec->key_id);
        sg_json_add_text(o, "key", rec->key_name);
        sg_json_add_text(o, "operation", rec->operation);
        sg_json_add_text(o, "model", rec->model);
        sg_json_add_text(o, "provider", rec->provider);
        sg_json_add_text(o, "upstream_model", rec->upstream_model);
        sg_json_add_bool(o, "stream", rec->flags & SG_RECORD_STREAM);
        sg_json_add_text(o, "outcome", event->outcome);
        sg_json_add_u64(o, "status", rec->status);
        sg_json_add_text(o, "certainty", event->certainty);
        sg_json_add_u64(o, "input_tokens", rec->input_tokens);
        sg_json_add_u64(o, "output_tokens", rec->output_tokens);
        sg_json_add_u64(o, "cached_tokens", rec->cached_tokens);
        sg_json_add_u64(o, "cache_write_tokens", rec->cache_write_tokens);
        sg_json_add_u64(o, "reasoning_tokens", rec->reasoning_tokens);
        sg_json_add_u64(o, "audio_input_tokens", rec->audio_input_tokens);
        sg_json_add_u64(o, "audio_output_tokens", rec->audio_output_tokens);
        sg_json_add_u64(o, "image_tokens", rec->image_tokens);
        sg_json_add_u64(o, "duration_usec", rec->duration_usec);
        sg_json_add_u64(o, "first_byte_usec", rec->first_byte_usec);
        sg_json_add_u64(o, "prompt_bytes", rec->prompt_bytes);
        sg_json_add_u64(o, "answer_bytes", rec->answer_bytes);
        sg_json_add_text(o, "reason", rec->reason);
        sg_json_add_text(o, "raw_usage", rec->raw_usage);
        sg_json_add_text(o, "ring", event->ring);
        sg_json_add_u64(o, "exchange", rec->exchange);
        json_object_array_add(owner, o);
}

struct question {
        struct json_object *from, *to, *by, *key, *model, *limit, *requests;
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

static void reply_rows(struct sg_varlink_call *call, struct json_object *rows, struct json_object *events,
                       uint64_t limit)
{
        struct json_object *o = json_object_new_object(), *asked = rows ? rows : events;
        bool is_limited = json_object_array_length(asked) > limit;

        /* One more than asked for was read, to know that. */
        if (is_limited)
                json_object_array_del_idx(asked, (size_t)limit, 1);
        json_object_object_add(o, "rows", rows ? rows : json_object_new_array());
        json_object_object_add(o, "events", events ? events : json_object_new_array());
        sg_json_add_bool(o, "is_limited", is_limited);
        sg_varlink_reply(call, o);
}

static void answer(struct sg_ledger_server *s, struct sg_varlink_call *call, const struct question *q)
{
        bool wants_events = q->requests && json_object_get_boolean(q->requests);
        uint64_t limit = wants_events ? EVENTS_USUAL : SUMS_USUAL;
        struct sg_store_usage_filter filter = {
                .to_wall_usec = UINT64_MAX,
                .key = text_of(q->key),
                .model = text_of(q->model),
        };
        struct json_object *array;
        struct sg_error err = {0};
        enum sg_store_by by;
        int r;

        if (!read_by(call, q->by, &by) ||
            !read_number(call, q->from, "from_wall_usec", 0, INT64_MAX, &filter.from_wall_usec) ||
            !read_number(call, q->to, "to_wall_usec", 0, INT64_MAX, &filter.to_wall_usec) ||
            !read_number(call, q->limit, "limit", 1, wants_events ? EVENTS_MAX : SUMS_MAX, &limit))
                return;
        filter.limit = limit + 1;
        (void)sg_drain_now(s->drain, FRESH_USEC);
        array = json_object_new_array();
        if (wants_events)
                r = sg_store_usage_events(s->store, &filter, add_event, array, &err);
        else
                r = sg_store_usage_sums(s->store, by, &filter, add_sum, array, &err);
        if (r) {
                json_object_put(array);
                sg_verb_fail_database(call, &err);
                return;
        }
        reply_rows(call, wants_events ? NULL : array, wants_events ? array : NULL, limit);
}

void sg_verb_query_usage(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        struct question q = {0};
        const struct sg_varlink_parameter expected[] = {
                {"from_wall_usec", SG_VARLINK_INT, false, &q.from},
                {"to_wall_usec", SG_VARLINK_INT, false, &q.to},
                {"by", SG_VARLINK_STRING, false, &q.by},
                {"key", SG_VARLINK_STRING, false, &q.key},
                {"model", SG_VARLINK_STRING, false, &q.model},
                {"limit", SG_VARLINK_INT, false, &q.limit},
                {"requests", SG_VARLINK_BOOL, false, &q.requests},
        };

        if (sg_varlink_read(call, parameters, expected, SG_N_ELEMENTS(expected)))
                answer(owner, call, &q);
}
