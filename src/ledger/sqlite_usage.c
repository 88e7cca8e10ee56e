/* What people ask of the usage: sums by group, single events; and when events are to go. */
#include <errno.h>

#include "ledger/sqlite.h"

#define OF_FILTER " AND (?3 = '' OR key_name = ?3) AND (?4 = '' OR model = ?4) AND (?6 = '' OR provider = ?6)"

/* Single events in the form of hourly sums. */
#define EVENTS(from, to)                                                                                               \
        "SELECT start_wall_usec / 3600000000, key_name, model, provider, upstream_model, 1, outcome = 'complete',"     \
        " outcome = 'truncated', outcome = 'client_gone', outcome = 'failed', outcome = 'cut_off',"                    \
        " certainty = 'none', certainty = 'measured', certainty = 'partial', certainty = 'estimated',"                 \
        " input_tokens + output_tokens > 0, outcome <> 'failed' OR input_tokens + output_tokens > 0, input_tokens,"    \
        " output_tokens, cached_tokens, cache_write_tokens, cache_write_1h_tokens, reasoning_tokens,"                  \
        " audio_input_tokens, audio_output_tokens, image_tokens, duration_usec, start_wall_usec, start_wall_usec"      \
        " FROM usage WHERE start_wall_usec >= " from " AND start_wall_usec < " to OF_FILTER

/* Whole hours, and the events before and behind them. */
#define SOURCE                                                                                                         \
        " FROM (SELECT hour, key_name, model, provider, upstream_model, requests, complete, truncated, client_gone,"   \
        " failed, cut_off, uncertain, measured, partial, estimated, counted, billed, input_tokens, output_tokens,"     \
        " cached_tokens, cache_write_tokens, cache_write_1h_tokens, reasoning_tokens, audio_input_tokens,"             \
        " audio_output_tokens, image_tokens, duration_usec, first_wall_usec, last_wall_usec"                           \
        " FROM usage_hour WHERE hour >= ?1 AND hour < ?2" OF_FILTER                                                    \
        " UNION ALL " EVENTS("?7", "?8") " UNION ALL " EVENTS("?9", "?10") ")"

#define DAY "date(min(hour * 3600, 253402300799), 'unixepoch')" /* as the events have it, up to the end of year 9999 */

#define SUMS(group)                                                                                                    \
        "SELECT " group ", sum(requests), sum(complete), sum(truncated), sum(client_gone), sum(failed), sum(cut_off)," \
        " sum(uncertain), sum(measured), sum(partial), sum(estimated), sum(input_tokens), sum(output_tokens),"         \
        " sum(cached_tokens), sum(cache_write_tokens), sum(reasoning_tokens), sum(cache_write_1h_tokens),"             \
        " sum(audio_input_tokens), sum(audio_output_tokens), sum(image_tokens), sum(duration_usec),"                   \
        " min(first_wall_usec), max(last_wall_usec)" SOURCE

#define GROUPED(group) SUMS(group) " GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT ?5"

/* Without a group there is one row, all NULL when nothing was used; LIMIT keeps the parameters the same. */
static const char *const sums_sql[SG_STORE_BY_N] = {
        [SG_STORE_BY_NONE] = SUMS("''") " LIMIT ?5",
        [SG_STORE_BY_KEY] = GROUPED("key_name"),
        [SG_STORE_BY_MODEL] = GROUPED("model"),
        [SG_STORE_BY_PROVIDER] = GROUPED("provider"),
        [SG_STORE_BY_DAY] = SUMS(DAY) " GROUP BY 1 ORDER BY 1 LIMIT ?5",
};

static void bind_subjects(sqlite3_stmt *st, const struct sg_store_usage_filter *filter)
{
        sg_sqlite_bind_text(st, 3, filter->key);
        sg_sqlite_bind_text(st, 4, filter->model);
        sg_sqlite_bind_u64(st, 5, filter->limit);
        sg_sqlite_bind_text(st, 6, filter->provider);
}

/* For SOURCE. */
static void bind_filter(sqlite3_stmt *st, const struct sg_store_usage_filter *filter)
{
        struct sg_hour_range range = sg_hour_range(SG_MIN(filter->from_wall_usec, (uint64_t)INT64_MAX),
                                                   SG_MIN(filter->to_wall_usec, (uint64_t)INT64_MAX));

        sg_sqlite_bind_u64(st, 1, range.from_hour);
        sg_sqlite_bind_u64(st, 2, range.to_hour);
        bind_subjects(st, filter);
        for (int i = 0; i < 2; i++) {
                sg_sqlite_bind_u64(st, 7 + i, range.head_wall_usec[i]);
                sg_sqlite_bind_u64(st, 9 + i, range.tail_wall_usec[i]);
        }
}

/* The statement with the filter's values, after what was not yet written of the hourly sums. */
static int ask(struct sg_sqlite *q, enum sg_sqlite_stmt which, const char *sql,
               const struct sg_store_usage_filter *filter, sqlite3_stmt **ret, struct sg_error *err)
{
        int r = sg_sqlite_hours_flush(q, err);

        if (r)
                return r;
        *ret = sg_sqlite_get(q, which, sql, err);
        if (!*ret)
                return -EIO;
        bind_filter(*ret, filter);
        return 0;
}

static struct sg_store_usage_sum read_sum(sqlite3_stmt *st)
{
        struct sg_store_usage_sum sum = {.group = sg_sqlite_text(st, 0), .n_requests = sg_sqlite_u64(st, 1)};
        uint64_t *const rest[] = {&sum.input_tokens,       &sum.output_tokens,       &sum.cached_tokens,
                                  &sum.cache_write_tokens, &sum.reasoning_tokens,    &sum.cache_write_1h_tokens,
                                  &sum.audio_input_tokens, &sum.audio_output_tokens, &sum.image_tokens,
                                  &sum.duration_usec,      &sum.first_wall_usec,     &sum.last_wall_usec};
        int at = 2;

        for (int i = 0; i < SG_OUTCOME_N; i++)
                sum.n_by_outcome[i] = sg_sqlite_u64(st, at++);
        for (int i = 0; i < SG_RECORD_CERTAINTY_N; i++)
                sum.n_by_certainty[i] = sg_sqlite_u64(st, at++);
        for (size_t i = 0; i < SG_N_ELEMENTS(rest); i++)
                *rest[i] = sg_sqlite_u64(st, at++);
        return sum;
}

int sg_sqlite_usage_sums(struct sg_store *s, enum sg_store_by by, const struct sg_store_usage_filter *filter,
                         void (*each)(const struct sg_store_usage_sum *sum, void *owner), void *owner,
                         struct sg_error *err)
{
        struct sg_sqlite *q = (struct sg_sqlite *)s;
        sqlite3_stmt *st;
        int r;

        SG_ASSERT((unsigned)by < SG_STORE_BY_N);
        r = ask(q, (enum sg_sqlite_stmt)(STMT_USAGE_SUMS + (int)by), sums_sql[by], filter, &st, err);
        if (r)
                return r;
        while ((r = sg_sqlite_row(q, st, "cannot sum up the usage", err)) == 0) {
                struct sg_store_usage_sum sum = read_sum(st);

                each(&sum, owner);
        }
        return r > 0 ? 0 : r;
}

/* Without an upstream_model the provider was asked for the client's. */
#define BILLS(group)                                                                                                   \
        "SELECT " group ", provider, CASE upstream_model WHEN '' THEN model ELSE upstream_model END, hour / 24,"       \
        " sum(counted), sum(billed), sum(input_tokens), sum(cached_tokens), sum(cache_write_tokens),"                  \
        " sum(cache_write_1h_tokens), sum(output_tokens), sum(reasoning_tokens), sum(audio_input_tokens),"             \
        " sum(audio_output_tokens), sum(image_tokens)" SOURCE " GROUP BY 1, 2, 3, 4 ORDER BY 1, 4, 2, 3 LIMIT ?5"

static const char *const bills_sql[SG_STORE_BY_N] = {
        [SG_STORE_BY_NONE] = BILLS("''"),     [SG_STORE_BY_KEY] = BILLS("key_name"),
        [SG_STORE_BY_MODEL] = BILLS("model"), [SG_STORE_BY_PROVIDER] = BILLS("provider"),
        [SG_STORE_BY_DAY] = BILLS(DAY),
};

int sg_sqlite_usage_bills(struct sg_store *s, enum sg_store_by by, const struct sg_store_usage_filter *filter,
                          void (*each)(const struct sg_store_usage_bill *bill, void *owner), void *owner,
                          struct sg_error *err)
{
        struct sg_sqlite *q = (struct sg_sqlite *)s;
        sqlite3_stmt *st;
        int r;

        SG_ASSERT((unsigned)by < SG_STORE_BY_N);
        r = ask(q, (enum sg_sqlite_stmt)(STMT_USAGE_BILLS + (int)by), bills_sql[by], filter, &st, err);
        if (r)
                return r;
        while ((r = sg_sqlite_row(q, st, "cannot sum up the usage", err)) == 0) {
                struct sg_store_usage_bill bill = sg_sqlite_read_bill(st);

                each(&bill, owner);
        }
        return r > 0 ? 0 : r;
}

static const char events_sql[] =
        "SELECT id, ring, exchange, day, start_wall_usec, key_id, request_id, key_name, operation, model, provider,"
        " upstream_model, prompt_bytes, flags, outcome, status, certainty, input_tokens, output_tokens, cached_tokens,"
        " cache_write_tokens, reasoning_tokens, audio_input_tokens, audio_output_tokens, image_tokens, duration_usec,"
        " first_byte_usec, answer_bytes, reason, raw_usage, credential, attempts, cache_write_1h_tokens"
        " FROM usage WHERE start_wall_usec >= ?1 AND start_wall_usec < ?2" OF_FILTER
        " ORDER BY start_wall_usec DESC, id DESC LIMIT ?5";

static struct sg_store_usage_event read_event(sqlite3_stmt *st)
{
        return (struct sg_store_usage_event){
                .id = sg_sqlite_u64(st, 0),
                .ring = sg_sqlite_text(st, 1),
                .day = sg_sqlite_text(st, 3),
                .outcome = sg_sqlite_text(st, 14),
                .certainty = sg_sqlite_text(st, 16),
                .rec =
                        {
                                .kind = SG_RECORD_CLOSE,
                                .exchange = sg_sqlite_u64(st, 2),
                                .start_wall_usec = sg_sqlite_u64(st, 4),
                                .key_id = sg_sqlite_u64(st, 5),
                                .request_id = sg_sqlite_text(st, 6),
                                .key_name = sg_sqlite_text(st, 7),
                                .operation = sg_sqlite_text(st, 8),
                                .model = sg_sqlite_text(st, 9),
                                .provider = sg_sqlite_text(st, 10),
                                .upstream_model = sg_sqlite_text(st, 11),
                                .prompt_bytes = sg_sqlite_u64(st, 12),
                                .flags = (uint32_t)sg_sqlite_u64(st, 13),
                                .status = (uint32_t)sg_sqlite_u64(st, 15),
                                .input_tokens = sg_sqlite_u64(st, 17),
                                .output_tokens = sg_sqlite_u64(st, 18),
                                .cached_tokens = sg_sqlite_u64(st, 19),
                                .cache_write_tokens = sg_sqlite_u64(st, 20),
                                .reasoning_tokens = sg_sqlite_u64(st, 21),
                                .audio_input_tokens = sg_sqlite_u64(st, 22),
                                .audio_output_tokens = sg_sqlite_u64(st, 23),
                                .image_tokens = sg_sqlite_u64(st, 24),
                                .duration_usec = sg_sqlite_u64(st, 25),
                                .first_byte_usec = sg_sqlite_u64(st, 26),
                                .answer_bytes = sg_sqlite_u64(st, 27),
                                .reason = sg_sqlite_text(st, 28),
                                .raw_usage = sg_sqlite_text(st, 29),
                                .credential = sg_sqlite_text(st, 30),
                                .n_attempts = (uint32_t)sg_sqlite_u64(st, 31),
                                .cache_write_1h_tokens = sg_sqlite_u64(st, 32),
                        },
        };
}

int sg_sqlite_usage_events(struct sg_store *s, const struct sg_store_usage_filter *filter,
                           void (*each)(const struct sg_store_usage_event *event, void *owner), void *owner,
                           struct sg_error *err)
{
        struct sg_sqlite *q = (struct sg_sqlite *)s;
        sqlite3_stmt *st = sg_sqlite_get(q, STMT_USAGE_EVENTS, events_sql, err);
        int r;

        if (!st)
                return -EIO;
        sg_sqlite_bind_u64(st, 1, filter->from_wall_usec);
        sg_sqlite_bind_u64(st, 2, filter->to_wall_usec);
        bind_subjects(st, filter);
        while ((r = sg_sqlite_row(q, st, "cannot list the usage", err)) == 0) {
                struct sg_store_usage_event event = read_event(st);

                each(&event, owner);
        }
        return r > 0 ? 0 : r;
}

/* ---- pruning */

static int prune(struct sg_sqlite *q, uint64_t before_wall_usec, uint64_t limit, uint64_t *ret_n, struct sg_error *err)
{
        sqlite3_stmt *st = sg_sqlite_get(q, STMT_USAGE_PRUNE,
                                         "DELETE FROM usage WHERE id IN (SELECT id FROM usage"
                                         " WHERE start_wall_usec < ?1 ORDER BY start_wall_usec LIMIT ?2)",
                                         err);
        int r;

        if (!st)
                return -EIO;
        sg_sqlite_bind_u64(st, 1, before_wall_usec);
        sg_sqlite_bind_u64(st, 2, limit);
        r = sg_sqlite_run(q, st, "cannot prune the usage", err);
        if (r)
                return r;
        *ret_n = (uint64_t)sqlite3_changes64(q->db);
        st = sg_sqlite_get(q, STMT_USAGE_UNCOUNT, "UPDATE counter SET value = value - ?1 WHERE name = 'n_usage'", err);
        if (!st)
                return -EIO;
        sg_sqlite_bind_u64(st, 1, *ret_n);
        return sg_sqlite_run(q, st, "cannot count usage events", err);
}

int sg_sqlite_usage_prune(struct sg_store *s, uint64_t before_wall_usec, uint64_t limit, uint64_t *ret_n,
                          struct sg_error *err)
{
        struct sg_sqlite *q = (struct sg_sqlite *)s;
        bool is_own = sqlite3_get_autocommit(q->db) != 0;
        int r;

        if (!is_own)
                return prune(q, before_wall_usec, limit, ret_n, err);
        r = sg_sqlite_begin(s, err);
        if (r)
                return r;
        r = prune(q, before_wall_usec, limit, ret_n, err);
        if (!r)
                return sg_sqlite_commit(s, err);
        sg_sqlite_rollback(s);
        return r;
}
