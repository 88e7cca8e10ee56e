/* What the drain writes: rings, open exchanges, usage. */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "ledger/sqlite.h"

/* ---- rings */

static void read_ring(sqlite3_stmt *st, struct sg_store_ring *ret)
{
        *ret = (struct sg_store_ring){
                .sequence = sg_sqlite_u64(st, 1),
                .offset = sg_sqlite_u64(st, 2),
                .n_lost = sg_sqlite_u64(st, 3),
                .is_finished = sg_sqlite_u64(st, 4) != 0,
        };
        (void)snprintf(ret->id, sizeof(ret->id), SG_STR_FMT, SG_STR_ARG(sg_sqlite_text(st, 0)));
}

int sg_sqlite_ring_get(struct sg_store *s, const char *id, struct sg_store_ring *ret, struct sg_error *err)
{
        struct sg_sqlite *q = (struct sg_sqlite *)s;
        sqlite3_stmt *st =
                sg_sqlite_get(q, STMT_RING_GET,
                              "SELECT id, sequence, offset, n_lost, is_finished FROM journal_ring WHERE id = ?1", err);
        int r;

        if (!st)
                return -EIO;
        sg_sqlite_bind_text(st, 1, sg_str_from(id));
        r = sg_sqlite_row(q, st, "cannot read a ring's mark", err);
        if (r)
                return r;
        read_ring(st, ret);
        (void)sqlite3_reset(st);
        return 0;
}

int sg_sqlite_ring_put(struct sg_store *s, const struct sg_store_ring *ring, struct sg_error *err)
{
        struct sg_sqlite *q = (struct sg_sqlite *)s;
        sqlite3_stmt *st = sg_sqlite_get(q, STMT_RING_PUT,
                                         "INSERT INTO journal_ring (id, sequence, offset, n_lost, is_finished)"
                                         " VALUES (?1, ?2, ?3, ?4, ?5)"
                                         " ON CONFLICT (id) DO UPDATE SET sequence = ?2, offset = ?3, n_lost = ?4,"
                                         " is_finished = ?5",
                                         err);

        if (!st)
                return -EIO;
        sg_sqlite_bind_text(st, 1, sg_str_from(ring->id));
        sg_sqlite_bind_u64(st, 2, ring->sequence);
        sg_sqlite_bind_u64(st, 3, ring->offset);
        sg_sqlite_bind_u64(st, 4, ring->n_lost);
        sg_sqlite_bind_u64(st, 5, ring->is_finished);
        return sg_sqlite_run(q, st, "cannot write a ring's mark", err);
}

int sg_sqlite_ring_drop(struct sg_store *s, const char *id, struct sg_error *err)
{
        struct sg_sqlite *q = (struct sg_sqlite *)s;
        sqlite3_stmt *st = sg_sqlite_get(q, STMT_RING_DROP, "DELETE FROM journal_ring WHERE id = ?1", err);

        if (!st)
                return -EIO;
        sg_sqlite_bind_text(st, 1, sg_str_from(id));
        return sg_sqlite_run(q, st, "cannot drop a ring's mark", err);
}

int sg_sqlite_ring_list(struct sg_store *s, void (*each)(const struct sg_store_ring *ring, void *owner), void *owner,
                        struct sg_error *err)
{
        struct sg_sqlite *q = (struct sg_sqlite *)s;
        sqlite3_stmt *st = sg_sqlite_get(q, STMT_RING_LIST,
                                         "SELECT id, sequence, offset, n_lost, is_finished FROM journal_ring", err);
        int r;

        if (!st)
                return -EIO;
        while ((r = sg_sqlite_row(q, st, "cannot read the rings' marks", err)) == 0) {
                struct sg_store_ring ring;

                read_ring(st, &ring);
                each(&ring, owner);
        }
        return r > 0 ? 0 : r;
}

/* ---- open exchanges */

int sg_sqlite_open_add(struct sg_store *s, const char *ring, const struct sg_record *rec, struct sg_error *err)
{
        struct sg_sqlite *q = (struct sg_sqlite *)s;
        sqlite3_stmt *st =
                sg_sqlite_get(q, STMT_OPEN_ADD,
                              "INSERT OR REPLACE INTO open_exchange (ring, exchange, start_wall_usec, key_id,"
                              " request_id, key_name, operation, model, provider, upstream_model,"
                              " prompt_bytes, flags, credential)"
                              " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
                              err);

        if (!st)
                return -EIO;
        sg_sqlite_bind_text(st, 1, sg_str_from(ring));
        sg_sqlite_bind_u64(st, 2, rec->exchange);
        sg_sqlite_bind_u64(st, 3, rec->start_wall_usec);
        sg_sqlite_bind_u64(st, 4, rec->key_id);
        sg_sqlite_bind_text(st, 5, rec->request_id);
        sg_sqlite_bind_text(st, 6, rec->key_name);
        sg_sqlite_bind_text(st, 7, rec->operation);
        sg_sqlite_bind_text(st, 8, rec->model);
        sg_sqlite_bind_text(st, 9, rec->provider);
        sg_sqlite_bind_text(st, 10, rec->upstream_model);
        sg_sqlite_bind_count(st, 11, rec->prompt_bytes);
        sg_sqlite_bind_u64(st, 12, rec->flags);
        sg_sqlite_bind_text(st, 13, rec->credential);
        return sg_sqlite_run(q, st, "cannot write an open exchange", err);
}

int sg_sqlite_open_drop(struct sg_store *s, const char *ring, uint64_t exchange, struct sg_error *err)
{
        struct sg_sqlite *q = (struct sg_sqlite *)s;
        sqlite3_stmt *st =
                sg_sqlite_get(q, STMT_OPEN_DROP, "DELETE FROM open_exchange WHERE ring = ?1 AND exchange = ?2", err);

        if (!st)
                return -EIO;
        sg_sqlite_bind_text(st, 1, sg_str_from(ring));
        sg_sqlite_bind_u64(st, 2, exchange);
        return sg_sqlite_run(q, st, "cannot drop an open exchange", err);
}

int sg_sqlite_open_next(struct sg_store *s, const char *ring, uint64_t after, struct sg_record *ret,
                        struct sg_error *err)
{
        struct sg_sqlite *q = (struct sg_sqlite *)s;
        sqlite3_stmt *st =
                sg_sqlite_get(q, STMT_OPEN_NEXT,
                              "SELECT exchange, start_wall_usec, key_id, request_id, key_name, operation, model,"
                              " provider, upstream_model, prompt_bytes, flags, credential FROM open_exchange"
                              " WHERE ring = ?1 AND exchange > ?2 ORDER BY exchange LIMIT 1",
                              err);
        int r;

        if (!st)
                return -EIO;
        sg_sqlite_bind_text(st, 1, sg_str_from(ring));
        sg_sqlite_bind_u64(st, 2, after);
        r = sg_sqlite_row(q, st, "cannot read an open exchange", err);
        if (r)
                return r;
        /* The statement stays on its row, so that the views hold until it is used again. */
        *ret = (struct sg_record){
                .kind = SG_RECORD_OPEN,
                .exchange = sg_sqlite_u64(st, 0),
                .start_wall_usec = sg_sqlite_u64(st, 1),
                .key_id = sg_sqlite_u64(st, 2),
                .request_id = sg_sqlite_text(st, 3),
                .key_name = sg_sqlite_text(st, 4),
                .operation = sg_sqlite_text(st, 5),
                .model = sg_sqlite_text(st, 6),
                .provider = sg_sqlite_text(st, 7),
                .upstream_model = sg_sqlite_text(st, 8),
                .prompt_bytes = sg_sqlite_u64(st, 9),
                .flags = (uint32_t)sg_sqlite_u64(st, 10),
                .credential = sg_sqlite_text(st, 11),
        };
        return 0;
}

/* ---- usage */

static struct sg_str day_of(uint64_t wall_usec, char out[16])
{
        time_t t = (time_t)SG_MIN(wall_usec / SG_USEC_PER_SEC, UINT64_C(253402300799)); /* the end of year 9999 */
        struct tm tm;

        if (!gmtime_r(&t, &tm))
                return SG_STR("1970-01-01");
        return sg_str_make(out, strftime(out, 16, "%Y-%m-%d", &tm));
}

static const char usage_add_sql[] =
        "INSERT INTO usage (ring, exchange, day, start_wall_usec, key_id, request_id, key_name, operation, model, "
        "provider,"
        " upstream_model, prompt_bytes, flags, outcome, status, certainty, input_tokens, output_tokens, cached_tokens,"
        " cache_write_tokens, reasoning_tokens, audio_input_tokens, audio_output_tokens, image_tokens, duration_usec,"
        " first_byte_usec, answer_bytes, reason, raw_usage, credential, attempts, cache_write_1h_tokens)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, "
        "?23,"
        " ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32)";

static int add_event(struct sg_sqlite *q, const char *ring, const struct sg_record *rec, struct sg_error *err)
{
        sqlite3_stmt *st = sg_sqlite_get(q, STMT_USAGE_ADD, usage_add_sql, err);
        char day[16];

        if (!st)
                return -EIO;
        sg_sqlite_bind_text(st, 1, sg_str_from(ring));
        sg_sqlite_bind_u64(st, 2, rec->exchange);
        sg_sqlite_bind_text(st, 3, day_of(rec->start_wall_usec, day));
        sg_sqlite_bind_u64(st, 4, rec->start_wall_usec);
        sg_sqlite_bind_u64(st, 5, rec->key_id);
        sg_sqlite_bind_text(st, 6, rec->request_id);
        sg_sqlite_bind_text(st, 7, rec->key_name);
        sg_sqlite_bind_text(st, 8, rec->operation);
        sg_sqlite_bind_text(st, 9, rec->model);
        sg_sqlite_bind_text(st, 10, rec->provider);
        sg_sqlite_bind_text(st, 11, rec->upstream_model);
        sg_sqlite_bind_count(st, 12, rec->prompt_bytes);
        sg_sqlite_bind_u64(st, 13, rec->flags);
        sg_sqlite_bind_text(st, 14, sg_str_from(sg_outcome_name(rec->outcome)));
        sg_sqlite_bind_u64(st, 15, rec->status);
        sg_sqlite_bind_text(st, 16, sg_str_from(sg_record_certainty_name(rec->certainty)));
        sg_sqlite_bind_count(st, 17, rec->input_tokens);
        sg_sqlite_bind_count(st, 18, rec->output_tokens);
        sg_sqlite_bind_count(st, 19, rec->cached_tokens);
        sg_sqlite_bind_count(st, 20, rec->cache_write_tokens);
        sg_sqlite_bind_count(st, 21, rec->reasoning_tokens);
        sg_sqlite_bind_count(st, 22, rec->audio_input_tokens);
        sg_sqlite_bind_count(st, 23, rec->audio_output_tokens);
        sg_sqlite_bind_count(st, 24, rec->image_tokens);
        sg_sqlite_bind_count(st, 25, rec->duration_usec);
        sg_sqlite_bind_count(st, 26, rec->first_byte_usec);
        sg_sqlite_bind_count(st, 27, rec->answer_bytes);
        sg_sqlite_bind_text(st, 28, rec->reason);
        sg_sqlite_bind_text(st, 29, rec->raw_usage);
        sg_sqlite_bind_text(st, 30, rec->credential);
        sg_sqlite_bind_u64(st, 31, rec->n_attempts);
        sg_sqlite_bind_count(st, 32, rec->cache_write_1h_tokens);
        return sg_sqlite_run(q, st, "cannot write a usage event", err);
}

static int add_summed(struct sg_sqlite *q, const char *ring, const struct sg_record *rec, struct sg_error *err)
{
        int r = add_event(q, ring, rec, err);

        if (!r && sg_hours_add(&q->hours, rec) != 0)
                r = sg_error_set(err, -ENOMEM, q->path, "cannot sum up a usage event: out of memory");
        return r;
}

int sg_sqlite_usage_add(struct sg_store *s, const char *ring, const struct sg_record *rec, struct sg_error *err)
{
        struct sg_sqlite *q = (struct sg_sqlite *)s;
        int r;

        if (!sqlite3_get_autocommit(q->db))
                return add_summed(q, ring, rec, err);
        r = sg_sqlite_begin(s, err);
        if (r)
                return r;
        r = add_summed(q, ring, rec, err);
        if (!r)
                return sg_sqlite_commit(s, err);
        sg_sqlite_rollback(s);
        return r;
}
