/* What people ask of the usage: sums by group, single events; and when events are to go. */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "ledger/pg.h"

#define PRUNE_USEC (600 * SG_USEC_PER_SEC)

#define OF_FILTER  " AND ($3 = '' OR key_name = $3) AND ($4 = '' OR model = $4) AND ($6 = '' OR provider = $6)"

/* Single events in the form of hourly sums. The numbers are those of enum sg_outcome and enum sg_record_certainty. */
#define EVENTS(from, to)                                                                                               \
        "SELECT start_wall_usec / 3600000000, key_name, model, provider, upstream_model, 1, (outcome = 0)::int,"       \
        " (outcome = 1)::int, (outcome = 2)::int, (outcome = 3)::int, (outcome = 4)::int, (certainty = 0)::int,"       \
        " (certainty = 1)::int, (certainty = 2)::int, (certainty = 3)::int, (input_tokens + output_tokens > 0)::int,"  \
        " (outcome <> 3 OR input_tokens + output_tokens > 0)::int, input_tokens, output_tokens, cached_tokens,"        \
        " cache_write_tokens, cache_write_1h_tokens, reasoning_tokens, audio_input_tokens, audio_output_tokens,"       \
        " image_tokens, duration_usec, start_wall_usec, start_wall_usec"                                               \
        " FROM scribe.usage WHERE start_wall_usec >= " from " AND start_wall_usec < " to OF_FILTER

/* Whole hours, and the events before and behind them. */
#define SOURCE                                                                                                         \
        " FROM (SELECT hour, key_name, model, provider, upstream_model, requests, complete, truncated, client_gone,"   \
        " failed, cut_off, uncertain, measured, partial, estimated, counted, billed, input_tokens, output_tokens,"     \
        " cached_tokens, cache_write_tokens, cache_write_1h_tokens, reasoning_tokens, audio_input_tokens,"             \
        " audio_output_tokens, image_tokens, duration_usec, first_wall_usec, last_wall_usec"                           \
        " FROM scribe.usage_hour WHERE hour >= $1 AND hour < $2" OF_FILTER                                             \
        " UNION ALL " EVENTS("$7", "$8") " UNION ALL " EVENTS("$9", "$10") ") AS s"

#define DAY "to_char(to_timestamp(least(hour * 3600, 253402300799)) AT TIME ZONE 'UTC', 'YYYY-MM-DD')"

/* A sum of bigint is numeric. */
#define SUM(column) " least(coalesce(sum(" column "), 0), 9223372036854775807)::bigint"

#define SUMS(group)                                                                                                                                                                                                        \
        "SELECT " group                                                                                                                                                                                                    \
        "," SUM("requests") "," SUM("complete") "," SUM("truncated") "," SUM("client_gone") "," SUM("failed") "," SUM("cut_off") "," SUM("uncertain") "," SUM("measured") "," SUM("partial") "," SUM("estimated") "," SUM( \
                "input_tokens") "," SUM("output_tokens") "," SUM("cached_tokens") "," SUM("cache"                                                                                                                          \
                                                                                          "_writ"                                                                                                                          \
                                                                                          "e_"                                                                                                                             \
                                                                                          "token"                                                                                                                          \
                                                                                          "s") "," SUM("reasoning_"                                                                                                        \
                                                                                                       "tokens") "," SUM("cache_"                                                                                          \
                                                                                                                         "write_1h_"                                                                                       \
                                                                                                                         "tokens") "," SUM("audio_input_tokens") "," SUM("audio_output_tokens") "," SUM("image_tokens") "," SUM("duration_usec") ", min(first_wall_usec), max(last_wall_usec)" SOURCE

#define GROUPED(group) SUMS(group) " GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT $5"

/* Without a group there is one row, all NULL when nothing was used; LIMIT keeps the parameters the same. */
static const char *const sums_sql[SG_STORE_BY_N] = {
        [SG_STORE_BY_NONE] = SUMS("''") " LIMIT $5",
        [SG_STORE_BY_KEY] = GROUPED("key_name"),
        [SG_STORE_BY_MODEL] = GROUPED("model"),
        [SG_STORE_BY_PROVIDER] = GROUPED("provider"),
        [SG_STORE_BY_DAY] = SUMS(DAY) " GROUP BY 1 ORDER BY 1 LIMIT $5",
};

static void give_subjects(struct sg_pg_arguments *a, const struct sg_store_usage_filter *filter)
{
        sg_pg_give_text(a, filter->key);
        sg_pg_give_text(a, filter->model);
        sg_pg_give_u64(a, filter->limit);
        sg_pg_give_text(a, filter->provider);
}

/* Asks what has SOURCE in it. */
static int ask(struct sg_pg *q, const char *sql, const struct sg_store_usage_filter *filter, const char *doing,
               struct sg_error *err)
{
        struct sg_hour_range range = sg_hour_range(SG_MIN(filter->from_wall_usec, (uint64_t)INT64_MAX),
                                                   SG_MIN(filter->to_wall_usec, (uint64_t)INT64_MAX));
        struct sg_pg_arguments a = {0};
        int r;

        sg_pg_give_u64(&a, range.from_hour);
        sg_pg_give_u64(&a, range.to_hour);
        give_subjects(&a, filter);
        sg_pg_give_u64(&a, range.head_wall_usec[0]);
        sg_pg_give_u64(&a, range.head_wall_usec[1]);
        sg_pg_give_u64(&a, range.tail_wall_usec[0]);
        sg_pg_give_u64(&a, range.tail_wall_usec[1]);
        r = sg_pg_enter(q, err);
        return r ? r : sg_pg_ask(&q->link, sql, &a, doing, err);
}

static struct sg_store_usage_sum read_sum(const PGresult *res)
{
        struct sg_store_usage_sum sum = {.group = sg_pg_text(res, 0), .n_requests = sg_pg_u64(res, 1)};
        uint64_t *const rest[] = {&sum.input_tokens,       &sum.output_tokens,       &sum.cached_tokens,
                                  &sum.cache_write_tokens, &sum.reasoning_tokens,    &sum.cache_write_1h_tokens,
                                  &sum.audio_input_tokens, &sum.audio_output_tokens, &sum.image_tokens,
                                  &sum.duration_usec,      &sum.first_wall_usec,     &sum.last_wall_usec};
        int at = 2;

        for (int i = 0; i < SG_OUTCOME_N; i++)
                sum.n_by_outcome[i] = sg_pg_u64(res, at++);
        for (int i = 0; i < SG_RECORD_CERTAINTY_N; i++)
                sum.n_by_certainty[i] = sg_pg_u64(res, at++);
        for (size_t i = 0; i < SG_N_ELEMENTS(rest); i++)
                *rest[i] = sg_pg_u64(res, at++);
        return sum;
}

int sg_pg_usage_sums(struct sg_store *s, enum sg_store_by by, const struct sg_store_usage_filter *filter,
                     void (*each)(const struct sg_store_usage_sum *sum, void *owner), void *owner, struct sg_error *err)
{
        static const char doing[] = "cannot sum up the usage";
        struct sg_pg *q = (struct sg_pg *)s;
        PGresult *res = NULL;
        int r;

        SG_ASSERT((unsigned)by < SG_STORE_BY_N);
        r = ask(q, sums_sql[by], filter, doing, err);
        while (!r && (r = sg_pg_next(&q->link, &res, doing, err)) == 0) {
                struct sg_store_usage_sum sum = read_sum(res);

                each(&sum, owner);
                PQclear(res);
        }
        return r > 0 ? 0 : r;
}

/* Without an upstream_model the provider was asked for the client's. */
#define BILLS(group)                                                                                                                                                                                 \
        "SELECT " group                                                                                                                                                                              \
        ", provider, CASE upstream_model WHEN '' THEN model ELSE upstream_model END, hour / 24," SUM("counted") "," SUM("billed") "," SUM("input_tokens") "," SUM(                                   \
                "cached_tokens") "," SUM("cache_write_tokens") "," SUM("cache_write_1h_"                                                                                                             \
                                                                       "tokens") "," SUM("out"                                                                                                       \
                                                                                         "put"                                                                                                       \
                                                                                         "_to"                                                                                                       \
                                                                                         "ken"                                                                                                       \
                                                                                         "s") "," SUM("reasoning_"                                                                                   \
                                                                                                      "tokens") "," SUM("audio_input_tokens") "," SUM("audio_output_tokens") "," SUM("image_tokens") \
                SOURCE " GROUP BY 1, 2, 3, 4 ORDER BY 1, 4, 2, 3 LIMIT $5"

static const char *const bills_sql[SG_STORE_BY_N] = {
        [SG_STORE_BY_NONE] = BILLS("''"),     [SG_STORE_BY_KEY] = BILLS("key_name"),
        [SG_STORE_BY_MODEL] = BILLS("model"), [SG_STORE_BY_PROVIDER] = BILLS("provider"),
        [SG_STORE_BY_DAY] = BILLS(DAY),
};

int sg_pg_usage_bills(struct sg_store *s, enum sg_store_by by, const struct sg_store_usage_filter *filter,
                      void (*each)(const struct sg_store_usage_bill *bill, void *owner), void *owner,
                      struct sg_error *err)
{
        static const char doing[] = "cannot sum up the usage";
        struct sg_pg *q = (struct sg_pg *)s;
        PGresult *res = NULL;
        int r;

        SG_ASSERT((unsigned)by < SG_STORE_BY_N);
        r = ask(q, bills_sql[by], filter, doing, err);
        while (!r && (r = sg_pg_next(&q->link, &res, doing, err)) == 0) {
                struct sg_store_usage_bill bill = sg_pg_read_bill(res);

                each(&bill, owner);
                PQclear(res);
        }
        return r > 0 ? 0 : r;
}

static const char events_sql[] =
        "SELECT id, ring, exchange, start_wall_usec, key_id, request_id, key_name, operation, model, provider,"
        " upstream_model, prompt_bytes, flags, outcome, status, certainty, input_tokens, output_tokens, cached_tokens,"
        " cache_write_tokens, reasoning_tokens, audio_input_tokens, audio_output_tokens, image_tokens, duration_usec,"
        " first_byte_usec, answer_bytes, reason, raw_usage, credential, attempts, cache_write_1h_tokens"
        " FROM scribe.usage WHERE start_wall_usec >= $1 AND start_wall_usec < $2" OF_FILTER
        " ORDER BY start_wall_usec DESC, id DESC LIMIT $5";

static struct sg_str day_of(uint64_t wall_usec, char out[16])
{
        time_t t = (time_t)SG_MIN(wall_usec / SG_USEC_PER_SEC, UINT64_C(253402300799)); /* the end of year 9999 */
        struct tm tm;

        if (!gmtime_r(&t, &tm))
                return SG_STR("1970-01-01");
        return sg_str_make(out, strftime(out, 16, "%Y-%m-%d", &tm));
}

static struct sg_store_usage_event read_event(const PGresult *res, char day[16])
{
        return (struct sg_store_usage_event){
                .id = sg_pg_u64(res, 0),
                .ring = sg_pg_text(res, 1),
                .day = day_of(sg_pg_u64(res, 3), day),
                .outcome = sg_str_from(sg_outcome_name((enum sg_outcome)sg_pg_u64(res, 13))),
                .certainty = sg_str_from(sg_record_certainty_name((uint32_t)sg_pg_u64(res, 15))),
                .rec =
                        {
                                .kind = SG_RECORD_CLOSE,
                                .exchange = sg_pg_u64(res, 2),
                                .start_wall_usec = sg_pg_u64(res, 3),
                                .key_id = sg_pg_u64(res, 4),
                                .request_id = sg_pg_text(res, 5),
                                .key_name = sg_pg_text(res, 6),
                                .operation = sg_pg_text(res, 7),
                                .model = sg_pg_text(res, 8),
                                .provider = sg_pg_text(res, 9),
                                .upstream_model = sg_pg_text(res, 10),
                                .prompt_bytes = sg_pg_u64(res, 11),
                                .flags = (uint32_t)sg_pg_u64(res, 12),
                                .status = (uint32_t)sg_pg_u64(res, 14),
                                .input_tokens = sg_pg_u64(res, 16),
                                .output_tokens = sg_pg_u64(res, 17),
                                .cached_tokens = sg_pg_u64(res, 18),
                                .cache_write_tokens = sg_pg_u64(res, 19),
                                .reasoning_tokens = sg_pg_u64(res, 20),
                                .audio_input_tokens = sg_pg_u64(res, 21),
                                .audio_output_tokens = sg_pg_u64(res, 22),
                                .image_tokens = sg_pg_u64(res, 23),
                                .duration_usec = sg_pg_u64(res, 24),
                                .first_byte_usec = sg_pg_u64(res, 25),
                                .answer_bytes = sg_pg_u64(res, 26),
                                .reason = sg_pg_text(res, 27),
                                .raw_usage = sg_pg_text(res, 28),
                                .credential = sg_pg_text(res, 29),
                                .n_attempts = (uint32_t)sg_pg_u64(res, 30),
                                .cache_write_1h_tokens = sg_pg_u64(res, 31),
                        },
        };
}

int sg_pg_usage_events(struct sg_store *s, const struct sg_store_usage_filter *filter,
                       void (*each)(const struct sg_store_usage_event *event, void *owner), void *owner,
                       struct sg_error *err)
{
        static const char doing[] = "cannot list the usage";
        struct sg_pg *q = (struct sg_pg *)s;
        struct sg_pg_arguments a = {0};
        PGresult *res = NULL;
        int r;

        sg_pg_give_u64(&a, filter->from_wall_usec);
        sg_pg_give_u64(&a, filter->to_wall_usec);
        give_subjects(&a, filter);
        r = sg_pg_enter(q, err);
        if (!r)
                r = sg_pg_ask(&q->link, events_sql, &a, doing, err);
        while (!r && (r = sg_pg_next(&q->link, &res, doing, err)) == 0) {
                char day[16];
                struct sg_store_usage_event event = read_event(res, day);

                each(&event, owner);
                PQclear(res);
        }
        return r > 0 ? 0 : r;
}

/* ---- pruning */

/* Months that are past whole go with their partition, as many rows as they have: that takes no longer than one row. */
static int drop_month(struct sg_pg *q, uint64_t before_wall_usec, uint64_t *ret_n, struct sg_error *err)
{
        struct sg_pg_arguments a = {0};
        PGresult *res = NULL;
        bool is_dropped;
        int r;

        sg_pg_give_u64(&a, before_wall_usec);
        r = sg_pg_one(&q->link, "SELECT n IS NOT NULL, n FROM scribe.drop_partition($1) AS n", &a, &res,
                      "cannot prune the usage", err);
        if (r)
                return r;
        is_dropped = sg_pg_u64(res, 0) != 0;
        *ret_n = sg_pg_u64(res, 1);
        PQclear(res);
        return is_dropped ? 0 : SG_STORE_E_NONE;
}

static int delete_rows(struct sg_pg *q, uint64_t before_wall_usec, uint64_t limit, uint64_t *ret_n,
                       struct sg_error *err)
{
        struct sg_pg_arguments a = {0};

        sg_pg_give_u64(&a, before_wall_usec);
        sg_pg_give_u64(&a, limit);
        return sg_pg_run(&q->link,
                         "DELETE FROM scribe.usage WHERE (tableoid, ctid) IN (SELECT tableoid, ctid FROM scribe.usage"
                         " WHERE start_wall_usec < $1 ORDER BY start_wall_usec LIMIT $2) AND start_wall_usec < $1",
                         &a, ret_n, "cannot prune the usage", err);
}

/* The sum of these counters is the number of events; nobody waits for this one. */
static int count_pruned(struct sg_pg *q, uint64_t n, struct sg_error *err)
{
        struct sg_pg_arguments a = {0};

        sg_pg_give_u64(&a, n);
        return sg_pg_run(&q->link,
                         "INSERT INTO scribe.counter AS c (name, value) VALUES ('n_usage pruned', -$1)"
                         " ON CONFLICT (name) DO UPDATE SET value = c.value - $1",
                         &a, NULL, "cannot count usage events", err);
}

static int prune(struct sg_pg *q, uint64_t before_wall_usec, uint64_t limit, uint64_t *ret_n, struct sg_error *err)
{
        uint64_t usec = q->link.answer_usec, n = 0;
        int r = sg_pg_begin_now(q, err);

        q->link.answer_usec = PRUNE_USEC;
        if (!r)
                r = sg_pg_script(&q->link, "SET LOCAL statement_timeout = '590s'", "cannot prune the usage", err);
        if (!r)
                r = sg_pg_flush(q, err);
        while (!r && n == 0) /* months without events tell the caller nothing */
                r = drop_month(q, before_wall_usec, &n, err);
        if (r == SG_STORE_E_NONE)
                r = delete_rows(q, before_wall_usec, limit, &n, err);
        if (!r)
                r = count_pruned(q, n, err);
        q->link.answer_usec = usec;
        if (!r)
                *ret_n = n;
        return r;
}

int sg_pg_usage_prune(struct sg_store *s, uint64_t before_wall_usec, uint64_t limit, uint64_t *ret_n,
                      struct sg_error *err)
{
        struct sg_pg *q = (struct sg_pg *)s;
        bool is_own;
        int r = sg_pg_enter_collecting(q, &is_own, err);

        return r ? r : sg_pg_leave(q, is_own, prune(q, before_wall_usec, limit, ret_n, err), err);
}
