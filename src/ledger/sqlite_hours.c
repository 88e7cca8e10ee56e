/* The hourly sums: written with the usage that they sum up, read for what was used in a day or a month. */
#include <errno.h>

#include "ledger/sqlite.h"

/* ---- writing */

static const char add_sql[] =
        "INSERT INTO usage_hour VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, "
        "?18,"
        " ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30)"
        " ON CONFLICT (key_id, hour, model, provider, upstream_model, key_name) DO UPDATE SET"
        " requests = requests + excluded.requests, complete = complete + excluded.complete,"
        " truncated = truncated + excluded.truncated, client_gone = client_gone + excluded.client_gone,"
        " failed = failed + excluded.failed, cut_off = cut_off + excluded.cut_off,"
        " uncertain = uncertain + excluded.uncertain, measured = measured + excluded.measured,"
        " partial = partial + excluded.partial, estimated = estimated + excluded.estimated,"
        " counted = counted + excluded.counted, billed = billed + excluded.billed,"
        " input_tokens = input_tokens + excluded.input_tokens,"
        " output_tokens = output_tokens + excluded.output_tokens,"
        " cached_tokens = cached_tokens + excluded.cached_tokens,"
        " cache_write_tokens = cache_write_tokens + excluded.cache_write_tokens,"
        " cache_write_1h_tokens = cache_write_1h_tokens + excluded.cache_write_1h_tokens,"
        " reasoning_tokens = reasoning_tokens + excluded.reasoning_tokens,"
        " audio_input_tokens = audio_input_tokens + excluded.audio_input_tokens,"
        " audio_output_tokens = audio_output_tokens + excluded.audio_output_tokens,"
        " image_tokens = image_tokens + excluded.image_tokens, duration_usec = duration_usec + excluded.duration_usec,"
        " first_wall_usec = min(first_wall_usec, excluded.first_wall_usec),"
        " last_wall_usec = max(last_wall_usec, excluded.last_wall_usec)";

static int write_row(struct sg_sqlite *q, const struct sg_hour *row, struct sg_error *err)
{
        sqlite3_stmt *st = sg_sqlite_get(q, STMT_HOUR_ADD, add_sql, err);
        int at = 7;

        if (!st)
                return -EIO;
        sg_sqlite_bind_u64(st, 1, row->hour);
        sg_sqlite_bind_u64(st, 2, row->key_id);
        sg_sqlite_bind_text(st, 3, row->key_name);
        sg_sqlite_bind_text(st, 4, row->model);
        sg_sqlite_bind_text(st, 5, row->provider);
        sg_sqlite_bind_text(st, 6, row->upstream_model);
        for (int i = 0; i < SG_HOUR_COLUMN_N; i++)
                sg_sqlite_bind_u64(st, at++, row->n[i]);
        sg_sqlite_bind_u64(st, at++, row->first_wall_usec);
        sg_sqlite_bind_u64(st, at, row->last_wall_usec);
        return sg_sqlite_run(q, st, "cannot write an hourly sum", err);
}

static int count_events(struct sg_sqlite *q, uint64_t n, struct sg_error *err)
{
        sqlite3_stmt *st =
                sg_sqlite_get(q, STMT_USAGE_COUNT, "UPDATE counter SET value = value + ?1 WHERE name = 'n_usage'", err);

        if (!st)
                return -EIO;
        sg_sqlite_bind_u64(st, 1, n);
        return sg_sqlite_run(q, st, "cannot count usage events", err);
}

int sg_sqlite_hours_flush(struct sg_sqlite *q, struct sg_error *err)
{
        int r = 0;

        if (q->hours.n_events == 0)
                return 0;
        for (size_t i = 0; i < q->hours.n_rows && !r; i++)
                r = write_row(q, q->hours.rows[i], err);
        if (!r)
                r = count_events(q, q->hours.n_events, err);
        /* When it failed, the transaction goes the same way. */
        sg_hours_clear(&q->hours);
        return r;
}

/* ---- what was used */

/* Without an upstream_model the provider was asked for the client's. */
#define TOTALS(from)                                                                                                   \
        "SELECT '', h.provider, CASE h.upstream_model WHEN '' THEN h.model ELSE h.upstream_model END, h.hour / 24,"    \
        " sum(h.counted), sum(h.billed), sum(h.input_tokens), sum(h.cached_tokens), sum(h.cache_write_tokens),"        \
        " sum(h.cache_write_1h_tokens), sum(h.output_tokens), sum(h.reasoning_tokens), sum(h.audio_input_tokens),"     \
        " sum(h.audio_output_tokens), sum(h.image_tokens) " from                                                       \
        " AND h.hour >= ?1 AND h.hour < ?2 GROUP BY 4, 2, 3 ORDER BY 4, 2, 3"

/* CROSS JOIN: in this order, from the group to its keys to their rows. UNION, and not UNION ALL, ends in a circle, too. */
static const char *const totals_sql[] = {
        [SG_TOTAL_KEY] = TOTALS("FROM usage_hour h WHERE h.key_id = ?3"),
        [SG_TOTAL_GROUP] = "WITH RECURSIVE below (id) AS (SELECT ?3 UNION"
                           " SELECT g.id FROM below b CROSS JOIN key_group g ON g.parent_id = b.id) " TOTALS(
                                   "FROM below CROSS JOIN api_key k ON k.group_id = below.id"
                                   " CROSS JOIN usage_hour h ON h.key_id = k.id WHERE true"),
        [SG_TOTAL_MODEL] = TOTALS("FROM usage_hour h WHERE h.model = ?4"),
        [SG_TOTAL_PROVIDER] = TOTALS("FROM usage_hour h WHERE h.provider = ?4"),
};

struct sg_store_usage_bill sg_sqlite_read_bill(sqlite3_stmt *st)
{
        struct sg_store_usage_bill bill = {.group = sg_sqlite_text(st, 0),
                                           .provider = sg_sqlite_text(st, 1),
                                           .model = sg_sqlite_text(st, 2),
                                           .day = sg_sqlite_u64(st, 3),
                                           .n_counted = sg_sqlite_u64(st, 4)};
        struct sg_tokens *t = &bill.tokens;
        uint64_t *const rest[] = {&t->n_requests, &t->input,     &t->cached,      &t->cache_write,  &t->cache_write_1h,
                                  &t->output,     &t->reasoning, &t->audio_input, &t->audio_output, &t->image};

        for (size_t i = 0; i < SG_N_ELEMENTS(rest); i++)
                *rest[i] = sg_sqlite_u64(st, 5 + (int)i);
        return bill;
}

int sg_sqlite_totals(struct sg_store *s, const struct sg_store_total_filter *filter,
                     void (*each)(const struct sg_store_usage_bill *bill, void *owner), void *owner,
                     struct sg_error *err)
{
        struct sg_sqlite *q = (struct sg_sqlite *)s;
        bool is_by_id = filter->of == SG_TOTAL_KEY || filter->of == SG_TOTAL_GROUP;
        sqlite3_stmt *st;
        int r;

        SG_ASSERT((unsigned)filter->of < SG_N_ELEMENTS(totals_sql));
        r = sg_sqlite_hours_flush(q, err);
        if (r)
                return r;
        st = sg_sqlite_get(q, (enum sg_sqlite_stmt)(STMT_TOTALS + (int)filter->of), totals_sql[filter->of], err);
        if (!st)
                return -EIO;
        sg_sqlite_bind_u64(st, 1, filter->from_wall_usec / SG_HOUR_USEC);
        sg_sqlite_bind_u64(st, 2, filter->to_wall_usec / SG_HOUR_USEC);
        if (is_by_id)
                sg_sqlite_bind_u64(st, 3, filter->id);
        else
                sg_sqlite_bind_text(st, 4, filter->name);
        while ((r = sg_sqlite_row(q, st, "cannot sum up the usage", err)) == 0) {
                struct sg_store_usage_bill bill = sg_sqlite_read_bill(st);

                each(&bill, owner);
        }
        return r > 0 ? 0 : r;
}

/* ---- who used something */

static int last_event(struct sg_sqlite *q, uint64_t *ret, struct sg_error *err)
{
        sqlite3_stmt *st = sg_sqlite_get(q, STMT_LAST_EVENT, "SELECT coalesce(max(id), 0) FROM usage", err);
        int r;

        if (!st)
                return -EIO;
        r = sg_sqlite_row(q, st, "cannot look at the usage", err);
        if (r)
                return r;
        *ret = sg_sqlite_u64(st, 0);
        (void)sqlite3_reset(st);
        return 0;
}

int sg_sqlite_used_keys(struct sg_store *s, uint64_t after_event, uint64_t from_wall_usec,
                        void (*each)(uint64_t key_id, void *owner), void *owner, uint64_t *ret_event,
                        struct sg_error *err)
{
        struct sg_sqlite *q = (struct sg_sqlite *)s;
        uint64_t last = 0;
        sqlite3_stmt *st;
        int r;

        r = sg_sqlite_hours_flush(q, err);
        if (!r)
                r = last_event(q, &last, err);
        if (r)
                return r;
        /* When all events were pruned, their ids begin anew. */
        if (after_event == 0 || after_event > last) {
                st = sg_sqlite_get(q, STMT_USED_FROM, "SELECT DISTINCT key_id FROM usage_hour WHERE hour >= ?1", err);
                after_event = from_wall_usec / SG_HOUR_USEC;
        } else
                st = sg_sqlite_get(q, STMT_USED_AFTER, "SELECT DISTINCT key_id FROM usage WHERE id > ?1", err);
        if (!st)
                return -EIO;
        sg_sqlite_bind_u64(st, 1, after_event);
        while ((r = sg_sqlite_row(q, st, "cannot look at the usage", err)) == 0)
                each(sg_sqlite_u64(st, 0), owner);
        if (r > 0)
                *ret_event = last;
        return r > 0 ? 0 : r;
}
