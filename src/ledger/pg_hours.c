/* The hourly sums: written with the usage that they sum up, read for what was used in a day or a month. */
#include <errno.h>
#include <stdlib.h>

#include "ledger/pg.h"

#define ARRAY_BYTES_MAX (64u << 20)
#define N_NUMBERS       (2 + SG_HOUR_COLUMN_N + 2)
#define N_TEXTS         4
#define N_ARRAYS        (N_NUMBERS + N_TEXTS)

/* ---- writing */

/* The arrays in the order of the columns. */
static const char add_sql[] =
        "INSERT INTO scribe.usage_hour AS h SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, "
        "$13,"
        " $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30)"
        " ON CONFLICT (key_id, hour, model, provider, upstream_model, key_name) DO UPDATE SET"
        " requests = h.requests + excluded.requests, complete = h.complete + excluded.complete,"
        " truncated = h.truncated + excluded.truncated, client_gone = h.client_gone + excluded.client_gone,"
        " failed = h.failed + excluded.failed, cut_off = h.cut_off + excluded.cut_off,"
        " uncertain = h.uncertain + excluded.uncertain, measured = h.measured + excluded.measured,"
        " partial = h.partial + excluded.partial, estimated = h.estimated + excluded.estimated,"
        " counted = h.counted + excluded.counted, billed = h.billed + excluded.billed,"
        " input_tokens = h.input_tokens + excluded.input_tokens,"
        " output_tokens = h.output_tokens + excluded.output_tokens,"
        " cached_tokens = h.cached_tokens + excluded.cached_tokens,"
        " cache_write_tokens = h.cache_write_tokens + excluded.cache_write_tokens,"
        " cache_write_1h_tokens = h.cache_write_1h_tokens + excluded.cache_write_1h_tokens,"
        " reasoning_tokens = h.reasoning_tokens + excluded.reasoning_tokens,"
        " audio_input_tokens = h.audio_input_tokens + excluded.audio_input_tokens,"
        " audio_output_tokens = h.audio_output_tokens + excluded.audio_output_tokens,"
        " image_tokens = h.image_tokens + excluded.image_tokens,"
        " duration_usec = h.duration_usec + excluded.duration_usec,"
        " first_wall_usec = least(h.first_wall_usec, excluded.first_wall_usec),"
        " last_wall_usec = greatest(h.last_wall_usec, excluded.last_wall_usec)";

static struct sg_str text_of(const struct sg_hour *row, int i)
{
        const struct sg_str *const texts[N_TEXTS] = {&row->key_name, &row->model, &row->provider, &row->upstream_model};

        return *texts[i];
}

static uint64_t number_of(const struct sg_hour *row, int i)
{
        switch (i) {
        case 0:
                return row->hour;
        case 1:
                return row->key_id;
        case N_NUMBERS - 2:
                return row->first_wall_usec;
        case N_NUMBERS - 1:
                return row->last_wall_usec;
        default:
                return row->n[i - 2];
        }
}

/* In one order for all ledgers, so that two that write the same rows wait for each other and do not deadlock. */
static int compare(const void *a, const void *b)
{
        const struct sg_hour *x = *(struct sg_hour *const *)a, *y = *(struct sg_hour *const *)b;
        int r = 0;

        if (x->key_id != y->key_id)
                return x->key_id < y->key_id ? -1 : 1;
        if (x->hour != y->hour)
                return x->hour < y->hour ? -1 : 1;
        for (int i = 0; i < N_TEXTS && r == 0; i++)
                r = sg_str_cmp(text_of(x, i), text_of(y, i));
        return r;
}

static int make_array(struct sg_buf *b, const struct sg_hours *h, int i)
{
        bool is_text = i >= N_NUMBERS;
        int r = sg_pg_array_begin(b, is_text, h->n_rows);

        for (size_t n = 0; n < h->n_rows && !r; n++)
                r = is_text ? sg_pg_array_text(b, text_of(h->rows[n], i - N_NUMBERS))
                            : sg_pg_array_u64(b, number_of(h->rows[n], i));
        return r;
}

/* Keys in their order, as above: the rows are sorted by key first. */
static int note_used(struct sg_pg *q, const struct sg_buf *key_ids, struct sg_error *err)
{
        struct sg_pg_arguments a = {0};

        sg_pg_give_array(&a, key_ids);
        return sg_pg_run(&q->link,
                         "INSERT INTO scribe.key_used AS u (key_id, changed)"
                         " SELECT DISTINCT id, pg_current_xact_id()::text::bigint FROM unnest($1) AS id ORDER BY id"
                         " ON CONFLICT (key_id) DO UPDATE SET changed = excluded.changed",
                         &a, NULL, "cannot note which keys were used", err);
}

static int write_rows(struct sg_pg *q, struct sg_error *err)
{
        struct sg_buf arrays[N_ARRAYS];
        struct sg_pg_arguments a = {0};
        int r = 0;

        qsort(q->hours.rows, q->hours.n_rows, sizeof(struct sg_hour *), compare);
        for (int i = 0; i < N_ARRAYS; i++)
                sg_buf_init(&arrays[i], ARRAY_BYTES_MAX);
        for (int i = 0; i < N_ARRAYS && !r; i++) {
                r = make_array(&arrays[i], &q->hours, i);
                if (!r)
                        sg_pg_give_array(&a, &arrays[i]);
        }
        r = r ? sg_error_set(err, r, sg_pg_where(&q->link), "out of memory")
              : sg_pg_run(&q->link, add_sql, &a, NULL, "cannot write hourly sums", err);
        if (!r)
                r = note_used(q, &arrays[1], err);
        for (int i = 0; i < N_ARRAYS; i++)
                sg_buf_done(&arrays[i]);
        return r;
}

/* Each node counts in a row of its own: one for all would make them wait for each other. */
static int count_events(struct sg_pg *q, uint64_t n, struct sg_error *err)
{
        struct sg_pg_arguments a = {0};

        sg_pg_give_text(&a, sg_str_from(q->store.options.node));
        sg_pg_give_u64(&a, n);
        return sg_pg_run(&q->link,
                         "INSERT INTO scribe.counter AS c (name, value) VALUES ('n_usage ' || $1, $2)"
                         " ON CONFLICT (name) DO UPDATE SET value = c.value + $2",
                         &a, NULL, "cannot count usage events", err);
}

int sg_pg_hours_flush(struct sg_pg *q, struct sg_error *err)
{
        uint64_t n = q->hours.n_events;
        int r;

        if (n == 0)
                return 0;
        r = write_rows(q, err);
        /* When it failed, the transaction goes the same way. */
        sg_hours_clear(&q->hours);
        return r ? r : count_events(q, n, err);
}

/* ---- what was used */

#define SUM(column) " least(coalesce(sum(h." column "), 0), 9223372036854775807)::bigint"

/* Without an upstream_model the provider was asked for the client's. */
#define TOTALS(from)                                                                                                                                                                             \
        "SELECT '', h.provider, CASE h.upstream_model WHEN '' THEN h.model ELSE h.upstream_model END, h.hour / "                                                                                 \
        "24," SUM("counted") "," SUM("billed") "," SUM("input_tokens") "," SUM("cached_tokens") "," SUM(                                                                                         \
                "cache_write_"                                                                                                                                                                   \
                "tokens") "," SUM("cache_write_1h_tokens") "," SUM("output_tokens") "," SUM("reasoning_tokens") "," SUM("audio_input_tokens") "," SUM("audio_output_"                            \
                                                                                                                                                      "tokens") "," SUM("image_tokens") " " from \
                                                                                                                                                                                        " AND h.hour >= $1 AND h.hour < $2 GROUP BY 4, 2, 3 ORDER BY 4, 2, 3"

/* UNION, and not UNION ALL, ends in a circle, too. */
static const char *const totals_sql[] = {
        [SG_TOTAL_KEY] = TOTALS("FROM scribe.usage_hour h WHERE h.key_id = $3"),
        [SG_TOTAL_GROUP] = "WITH RECURSIVE below (id) AS (SELECT $3::bigint UNION"
                           " SELECT g.id FROM below b JOIN scribe.key_group g ON g.parent_id = b.id) " TOTALS(
                                   "FROM below JOIN scribe.api_key k ON k.group_id = below.id"
                                   " JOIN scribe.usage_hour h ON h.key_id = k.id WHERE true"),
        [SG_TOTAL_MODEL] = TOTALS("FROM scribe.usage_hour h WHERE h.model = $3"),
        [SG_TOTAL_PROVIDER] = TOTALS("FROM scribe.usage_hour h WHERE h.provider = $3"),
};

struct sg_store_usage_bill sg_pg_read_bill(const PGresult *res)
{
        struct sg_store_usage_bill bill = {.group = sg_pg_text(res, 0),
                                           .provider = sg_pg_text(res, 1),
                                           .model = sg_pg_text(res, 2),
                                           .day = sg_pg_u64(res, 3),
                                           .n_counted = sg_pg_u64(res, 4)};
        struct sg_tokens *t = &bill.tokens;
        uint64_t *const rest[] = {&t->n_requests, &t->input,     &t->cached,      &t->cache_write,  &t->cache_write_1h,
                                  &t->output,     &t->reasoning, &t->audio_input, &t->audio_output, &t->image};

        for (size_t i = 0; i < SG_N_ELEMENTS(rest); i++)
                *rest[i] = sg_pg_u64(res, 5 + (int)i);
        return bill;
}

int sg_pg_totals(struct sg_store *s, const struct sg_store_total_filter *filter,
                 void (*each)(const struct sg_store_usage_bill *bill, void *owner), void *owner, struct sg_error *err)
{
        static const char doing[] = "cannot sum up the usage";
        bool is_by_id = filter->of == SG_TOTAL_KEY || filter->of == SG_TOTAL_GROUP;
        struct sg_pg *q = (struct sg_pg *)s;
        struct sg_pg_arguments a = {0};
        PGresult *res = NULL;
        int r;

        SG_ASSERT((unsigned)filter->of < SG_N_ELEMENTS(totals_sql));
        sg_pg_give_u64(&a, filter->from_wall_usec / SG_HOUR_USEC);
        sg_pg_give_u64(&a, filter->to_wall_usec / SG_HOUR_USEC);
        if (is_by_id)
                sg_pg_give_u64(&a, filter->id);
        else
                sg_pg_give_text(&a, filter->name);
        r = sg_pg_enter(q, err);
        if (!r)
                r = sg_pg_ask(&q->link, totals_sql[filter->of], &a, doing, err);
        while (!r && (r = sg_pg_next(&q->link, &res, doing, err)) == 0) {
                struct sg_store_usage_bill bill = sg_pg_read_bill(res);

                each(&bill, owner);
                PQclear(res);
        }
        return r > 0 ? 0 : r;
}

/* ---- who used something */

/* What a transaction wrote is seen when it has ended, and in no order: so what is asked next time begins with the oldest
 * transaction that is under way now. */
static int oldest_transaction(struct sg_pg *q, uint64_t *ret, struct sg_error *err)
{
        PGresult *res = NULL;
        int r = sg_pg_one(&q->link, "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint", NULL, &res,
                          "cannot look at the usage", err);

        if (r)
                return r > 0 ? -EIO : r;
        *ret = sg_pg_u64(res, 0);
        PQclear(res);
        return 0;
}

int sg_pg_used_keys(struct sg_store *s, uint64_t after_event, uint64_t from_wall_usec,
                    void (*each)(uint64_t key_id, void *owner), void *owner, uint64_t *ret_event, struct sg_error *err)
{
        static const char doing[] = "cannot look at the usage";
        struct sg_pg *q = (struct sg_pg *)s;
        struct sg_pg_arguments a = {0};
        PGresult *res = NULL;
        uint64_t oldest = 0;
        bool is_known;
        int r;

        r = sg_pg_enter(q, err);
        if (!r)
                r = oldest_transaction(q, &oldest, err);
        if (r)
                return r;
        /* In a database that was restored elsewhere transactions are numbered anew. */
        is_known = after_event != 0 && after_event <= oldest;
        sg_pg_give_u64(&a, is_known ? after_event : from_wall_usec / SG_HOUR_USEC);
        r = sg_pg_ask(&q->link,
                      is_known ? "SELECT key_id FROM scribe.key_used WHERE changed >= $1"
                               : "SELECT DISTINCT key_id FROM scribe.usage_hour WHERE hour >= $1",
                      &a, doing, err);
        while (!r && (r = sg_pg_next(&q->link, &res, doing, err)) == 0) {
                each(sg_pg_u64(res, 0), owner);
                PQclear(res);
        }
        if (r > 0)
                *ret_event = oldest;
        return r > 0 ? 0 : r;
}
