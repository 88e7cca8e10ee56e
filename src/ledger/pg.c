/* The driver: opening, transactions, counts. */
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "ledger/pg.h"

#define ROWS_BYTES_MAX (64u << 20)

/* ---- transactions */

static int ready(struct sg_pg *q, struct sg_error *err)
{
        bool is_new = false;
        int r;

        r = sg_pg_connect(&q->link, &is_new, err);
        if (r || !is_new)
                return r;
        /* It may be another server than before, or have been restored from a backup. */
        r = sg_pg_migrate(&q->link, true, false, err);
        if (r)
                sg_pg_drop(&q->link);
        return r;
}

static int tell_lost(const struct sg_pg *q, struct sg_error *err)
{
        return sg_error_set(
                err, -ECONNRESET, sg_pg_where(&q->link),
                "the connection to the database broke in the middle of a transaction; nothing of it was stored");
}

/* The transaction is lost with its connection. */
static bool is_lost(const struct sg_pg *q)
{
        return q->in_transaction && (!q->link.conn || q->connect != q->link.n_connects);
}

int sg_pg_begin_now(struct sg_pg *q, struct sg_error *err)
{
        int r;

        if (is_lost(q))
                return tell_lost(q, err);
        if (q->is_begun)
                return 0;
        r = sg_pg_script(&q->link, q->link.is_reader ? "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" : "BEGIN",
                         "cannot begin a transaction", err);
        if (!r)
                q->is_begun = true;
        return r;
}

int sg_pg_enter(struct sg_pg *q, struct sg_error *err)
{
        int r;

        if (!q->in_transaction)
                return ready(q, err);
        r = sg_pg_begin_now(q, err);
        return r ? r : sg_pg_flush(q, err);
}

int sg_pg_enter_collecting(struct sg_pg *q, bool *ret_is_own, struct sg_error *err)
{
        *ret_is_own = !q->in_transaction;
        if (!q->in_transaction)
                return sg_pg_begin(&q->store, err);
        return is_lost(q) ? tell_lost(q, err) : 0;
}

int sg_pg_leave(struct sg_pg *q, bool is_own, int r, struct sg_error *err)
{
        if (!is_own)
                return r;
        if (!r)
                return sg_pg_commit(&q->store, err);
        sg_pg_rollback(&q->store);
        return r;
}

int sg_pg_begin(struct sg_store *s, struct sg_error *err)
{
        struct sg_pg *q = (struct sg_pg *)s;
        int r;

        SG_ASSERT(!q->in_transaction);
        r = ready(q, err);
        if (r)
                return r;
        if (!q->link.is_reader)
                sg_pg_make_partitions(q);
        if (!q->link.conn)
                return tell_lost(q, err);
        q->in_transaction = true;
        q->connect = q->link.n_connects;
        return 0;
}

static void over(struct sg_pg *q)
{
        q->in_transaction = q->is_begun = false;
        sg_pg_forget(q);
}

/* COMMIT of a transaction that had failed answers ROLLBACK. */
static int send_commit(struct sg_pg *q, struct sg_error *err)
{
        static const char doing[] = "cannot write";
        PGresult *res = NULL;
        bool is_committed;
        int r;

        if (!PQsendQuery(q->link.conn, "COMMIT"))
                return sg_pg_broken(&q->link, doing, err);
        r = sg_pg_result(&q->link, &res, doing, err);
        if (r)
                return r;
        if (!res)
                return sg_pg_broken(&q->link, doing, err);
        if (PQresultStatus(res) != PGRES_COMMAND_OK)
                return sg_pg_failed(&q->link, res, doing, err);
        is_committed = strcmp(PQcmdStatus(res), "COMMIT") == 0;
        PQclear(res);
        if (!is_committed)
                r = sg_error_set(err, -EIO, sg_pg_where(&q->link), "cannot write: the transaction had failed before");
        while (sg_pg_result(&q->link, &res, doing, NULL) == 0 && res)
                PQclear(res);
        return r;
}

int sg_pg_commit(struct sg_store *s, struct sg_error *err)
{
        struct sg_pg *q = (struct sg_pg *)s;
        int r;

        SG_ASSERT(q->in_transaction);
        r = is_lost(q) ? tell_lost(q, err) : sg_pg_flush(q, err);
        if (!r && q->is_begun) {
                r = send_commit(q, err);
                /* Without a connection there is no answer: it may have been committed all the same. */
                if (r && !q->link.conn) {
                        sg_error_prefix(err, "it is not known whether this was stored");
                        sg_pg_marks_uncertain(q);
                }
                q->is_begun = false;
        }
        if (r) {
                sg_pg_rollback(s);
                return r;
        }
        sg_pg_marks_committed(q);
        over(q);
        return 0;
}

void sg_pg_rollback(struct sg_store *s)
{
        struct sg_pg *q = (struct sg_pg *)s;

        if (q->is_copying && q->link.conn)
                sg_pg_drop(&q->link); /* quicker than to end the COPY in good order, and as thorough */
        if (q->is_begun && !is_lost(q) && sg_pg_script(&q->link, "ROLLBACK", "cannot undo", NULL) != 0 && q->link.conn)
                sg_pg_drop(&q->link);
        over(q);
}

/* ---- opening */

static void pg_free(struct sg_store *s)
{
        struct sg_pg *q = (struct sg_pg *)s;

        sg_pg_drain_done(q);
        sg_pg_link_done(&q->link);
        free(q);
}

static int pg_new(struct sg_pg **ret, const struct sg_store_options *options, bool is_reader, struct sg_error *err)
{
        SG_AUTO(sg_store_free) struct sg_store *s = NULL;
        struct sg_pg *q = calloc(1, sizeof(*q));
        int r;

        if (!q)
                return sg_error_set(err, -ENOMEM, "", "out of memory");
        s = &q->store;
        s->driver = &sg_pg_driver;
        sg_buf_init(&q->rows, ROWS_BYTES_MAX);
        sg_buf_init(&q->records, ROWS_BYTES_MAX);
        q->link.options = &s->options;
        q->link.is_reader = is_reader;
        q->link.answer_usec = SG_PG_ANSWER_USEC;
        if (sg_store_options_copy(&s->options, options) != 0)
                return sg_error_set(err, -ENOMEM, "", "out of memory");
        r = sg_pg_url_parse(&q->link.url, &s->options, err);
        if (r)
                return r;
        (void)SG_GIVE(s);
        *ret = q;
        return 0;
}

static int open_as(struct sg_store **ret, const struct sg_store_options *options, bool is_reader, bool only_look,
                   bool may_be_older, struct sg_error *err)
{
        SG_AUTO(sg_store_free) struct sg_store *s = NULL;
        struct sg_pg *q = NULL;
        bool is_new;
        int r;

        r = pg_new(&q, options, is_reader, err);
        if (r)
                return r;
        s = &q->store;
        r = sg_pg_connect(&q->link, &is_new, err);
        if (!r)
                r = sg_pg_migrate(&q->link, only_look, may_be_older, err);
        if (!r)
                *ret = SG_GIVE(s);
        return r;
}

static int pg_open(struct sg_store **ret, const struct sg_store_options *options, const char *where,
                   struct sg_error *err)
{
        return open_as(ret, options, false, false, false, err);
}

static int pg_open_reader(struct sg_store **ret, const struct sg_store_options *options, const char *where,
                          struct sg_error *err)
{
        return open_as(ret, options, true, true, false, err);
}

static int pg_check(const struct sg_store_options *options, const char *where, struct sg_error *err)
{
        struct sg_store *s = NULL;
        int r = open_as(&s, options, false, true, true, err);

        sg_store_free(s);
        return r;
}

static void pg_set_limit(struct sg_store *s, struct sg_store_limit *limit)
{
        struct sg_pg *q = (struct sg_pg *)s;

        q->link.limit = limit;
}

/* ---- counts */

static int pg_count(struct sg_store *s, uint64_t now_wall_usec, struct sg_store_counts *ret, struct sg_error *err)
{
        static const char sql[] = "SELECT count(*) FILTER (WHERE revoked_wall_usec = 0"
                                  "  AND (expires_wall_usec = 0 OR expires_wall_usec > $1)),"
                                  " count(*) FILTER (WHERE revoked_wall_usec = 0"
                                  "  AND expires_wall_usec <> 0 AND expires_wall_usec <= $1),"
                                  " count(*) FILTER (WHERE revoked_wall_usec <> 0),"
                                  " (SELECT value FROM scribe.counter WHERE name = 'key_version'),"
                                  " (SELECT sum(value)::bigint FROM scribe.counter WHERE name LIKE 'n_usage%'),"
                                  " (SELECT count(*) FROM scribe.open_exchange),"
                                  " (SELECT max(version) FROM scribe.schema_version) FROM scribe.api_key";
        struct sg_pg *q = (struct sg_pg *)s;
        struct sg_pg_arguments a = {0};
        PGresult *res = NULL;
        int r;

        sg_pg_give_u64(&a, now_wall_usec);
        r = sg_pg_enter(q, err);
        if (!r)
                r = sg_pg_one(&q->link, sql, &a, &res, "cannot count", err);
        if (r)
                return r;
        *ret = (struct sg_store_counts){
                .n_keys_active = sg_pg_u64(res, 0),
                .n_keys_expired = sg_pg_u64(res, 1),
                .n_keys_revoked = sg_pg_u64(res, 2),
                .key_version = sg_pg_u64(res, 3),
                .n_usage = sg_pg_u64(res, 4),
                .n_open = sg_pg_u64(res, 5),
                .schema_version = (int)sg_pg_u64(res, 6),
        };
        PQclear(res);
        return 0;
}

const struct sg_store_driver sg_pg_driver = {
        .scheme = "postgresql",
        .other_scheme = "postgres",
        .is_shared = true,
        .open = pg_open,
        .open_reader = pg_open_reader,
        .check = pg_check,
        .free = pg_free,
        .dump_name = "ledger.pgdump",
        .dump = sg_pg_dump,
        .load = sg_pg_load,
        .set_limit = pg_set_limit,
        .begin = sg_pg_begin,
        .begin_change = sg_pg_begin_change,
        .commit = sg_pg_commit,
        .rollback = sg_pg_rollback,
        .ring_get = sg_pg_ring_get,
        .ring_put = sg_pg_ring_put,
        .ring_drop = sg_pg_ring_drop,
        .ring_list = sg_pg_ring_list,
        .open_add = sg_pg_open_add,
        .open_drop = sg_pg_open_drop,
        .open_next = sg_pg_open_next,
        .usage_add = sg_pg_usage_add,
        .usage_sums = sg_pg_usage_sums,
        .usage_bills = sg_pg_usage_bills,
        .usage_events = sg_pg_usage_events,
        .key_add = sg_pg_key_add,
        .key_find = sg_pg_key_find,
        .key_revoke = sg_pg_key_revoke,
        .key_rotate = sg_pg_key_rotate,
        .key_change = sg_pg_key_change,
        .key_select = sg_pg_key_select,
        .changes = sg_pg_changes,
        .group_add = sg_pg_group_add,
        .group_change = sg_pg_group_change,
        .group_remove = sg_pg_group_remove,
        .group_find = sg_pg_group_find,
        .group_list = sg_pg_group_list,
        .audit_add = sg_pg_audit_add,
        .audit_list = sg_pg_audit_list,
        .totals = sg_pg_totals,
        .used_keys = sg_pg_used_keys,
        .usage_prune = sg_pg_usage_prune,
        .count = pg_count,
};
