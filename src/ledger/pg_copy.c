/*
 * Usage events as a binary COPY, which the server reads while the drain still reads the ring: on two cores that is half as
 * fast again as one after the other.
 *
 * Source: PostgreSQL's COPY, "Binary Format"; the columns are those of copy_sql, in its order.
 */
#include <errno.h>

#include "ledger/pg.h"

#define PIECE_BYTES  (64u << 10)
#define N_COUNTS     13
#define N_TEXTS      10
#define COPY_COLUMNS (3 + N_COUNTS + 3 + 2 + N_TEXTS)
#define FIXED_BYTES  (2 + (3 + N_COUNTS) * 12 + 3 * 8 + 2 * 6 + N_TEXTS * 4)

static const char copy_sql[] =
        "COPY scribe.usage (start_wall_usec, exchange, key_id, prompt_bytes, input_tokens, output_tokens, "
        "cached_tokens,"
        " cache_write_tokens, cache_write_1h_tokens, reasoning_tokens, audio_input_tokens, audio_output_tokens,"
        " image_tokens, duration_usec, first_byte_usec, answer_bytes, flags, status, attempts, outcome, certainty, "
        "ring,"
        " request_id, key_name, operation, model, provider, upstream_model, credential, reason, raw_usage)"
        " FROM STDIN (FORMAT binary)";

static const char doing[] = "cannot write usage events";

/* ---- fields */

static char *put_field16(char *at, uint16_t v)
{
        sg_pg_put32(at, 2);
        sg_pg_put16(at + 4, v);
        return at + 6;
}

static char *put_field32(char *at, uint32_t v)
{
        sg_pg_put32(at, 4);
        sg_pg_put32(at + 4, v & INT32_MAX);
        return at + 8;
}

static char *put_field64(char *at, uint64_t v)
{
        sg_pg_put32(at, 8);
        sg_pg_put64(at + 4, v);
        return at + 12;
}

static char *put_text(char *at, struct sg_str s)
{
        sg_pg_put32(at, (uint32_t)s.n);
        if (s.n)
                memcpy(at + 4, s.p, s.n);
        return at + 4 + s.n;
}

static size_t encode(char *out, const struct sg_record *rec, const struct sg_str texts[N_TEXTS])
{
        const uint64_t counts[N_COUNTS] = {
                rec->prompt_bytes,        rec->input_tokens,          rec->output_tokens,    rec->cached_tokens,
                rec->cache_write_tokens,  rec->cache_write_1h_tokens, rec->reasoning_tokens, rec->audio_input_tokens,
                rec->audio_output_tokens, rec->image_tokens,          rec->duration_usec,    rec->first_byte_usec,
                rec->answer_bytes,
        };
        char *at = out;

        sg_pg_put16(at, COPY_COLUMNS);
        at = put_field64(at + 2, rec->start_wall_usec);
        at = put_field64(at, rec->exchange);
        at = put_field64(at, rec->key_id);
        for (int i = 0; i < N_COUNTS; i++)
                at = put_field64(at, SG_MIN(counts[i], SG_STORE_COUNT_MAX));
        at = put_field32(at, rec->flags);
        at = put_field32(at, rec->status);
        at = put_field32(at, rec->n_attempts);
        at = put_field16(at, (uint16_t)rec->outcome);
        at = put_field16(at, (uint16_t)rec->certainty);
        for (int i = 0; i < N_TEXTS; i++)
                at = put_text(at, texts[i]);
        return (size_t)(at - out);
}

/* ---- the COPY */

static int hand_over(struct sg_pg *q, struct sg_error *err)
{
        struct sg_str bytes = sg_buf_view(&q->rows);

        if (bytes.n == 0)
                return 0;
        /* Kept by libpq as far as the kernel does not take it: that waits for nobody. */
        if (PQputCopyData(q->link.conn, bytes.p, (int)bytes.n) < 0 || PQflush(q->link.conn) < 0)
                return sg_pg_broken(&q->link, doing, err);
        sg_buf_clear(&q->rows);
        return 0;
}

static int copy_begin(struct sg_pg *q, struct sg_error *err)
{
        static const char head[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0"; /* signature, flags, length of what extends it */
        PGresult *res = NULL;
        int r;

        r = sg_pg_begin_now(q, err);
        if (r)
                return r;
        if (!PQsendQuery(q->link.conn, copy_sql))
                return sg_pg_broken(&q->link, doing, err);
        r = sg_pg_result(&q->link, &res, doing, err);
        if (r)
                return r;
        if (!res)
                return sg_pg_broken(&q->link, doing, err);
        if (PQresultStatus(res) != PGRES_COPY_IN)
                return sg_pg_failed(&q->link, res, doing, err);
        PQclear(res);
        q->is_copying = true;
        if (PQputCopyData(q->link.conn, head, (int)sizeof(head)) < 0) /* with the literal's own NUL it is 19 bytes */
                return sg_pg_broken(&q->link, doing, err);
        return 0;
}

int sg_pg_copy_row(struct sg_pg *q, const char *ring, const struct sg_record *rec, struct sg_error *err)
{
        const struct sg_str texts[N_TEXTS] = {sg_str_from(ring), rec->request_id, rec->key_name,       rec->operation,
                                              rec->model,        rec->provider,   rec->upstream_model, rec->credential,
                                              rec->reason,       rec->raw_usage};
        size_t n = FIXED_BYTES;
        char *at;
        int r;

        if ((unsigned)rec->outcome >= SG_OUTCOME_N || rec->certainty >= SG_RECORD_CERTAINTY_N)
                return sg_error_set(err, -EINVAL, sg_pg_where(&q->link), "a record without a known outcome");
        for (int i = 0; i < N_TEXTS; i++)
                n += texts[i].n;
        if (sg_buf_reserve(&q->rows, n, &at) != 0)
                return sg_error_set(err, -ENOMEM, sg_pg_where(&q->link), "out of memory");
        sg_buf_added(&q->rows, encode(at, rec, texts));
        if (sg_buf_length(&q->rows) < PIECE_BYTES)
                return 0;
        r = q->is_copying ? 0 : copy_begin(q, err);
        return r ? r : hand_over(q, err);
}

int sg_pg_copy_end(struct sg_pg *q, struct sg_error *err)
{
        static const char tail[] = {(char)0xff, (char)0xff}; /* a row of -1 columns */
        PGresult *res = NULL;
        int r = 0, e;

        if (!q->is_copying && sg_buf_length(&q->rows) == 0)
                return 0;
        if (!q->is_copying)
                r = copy_begin(q, err);
        if (!r)
                r = hand_over(q, err);
        if (r)
                return r;
        if (PQputCopyData(q->link.conn, tail, (int)sizeof(tail)) < 0 || PQputCopyEnd(q->link.conn, NULL) < 0)
                return sg_pg_broken(&q->link, doing, err);
        q->is_copying = false;
        r = sg_pg_sent(&q->link, doing, err);
        if (!r)
                r = sg_pg_result(&q->link, &res, doing, err);
        if (r)
                return r;
        if (!res)
                return sg_pg_broken(&q->link, doing, err);
        if (PQresultStatus(res) != PGRES_COMMAND_OK)
                return sg_pg_failed(&q->link, res, doing, err);
        PQclear(res);
        while ((e = sg_pg_result(&q->link, &res, doing, err)) == 0 && res)
                PQclear(res);
        return e;
}
