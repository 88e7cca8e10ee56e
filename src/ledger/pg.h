/*
 * ledger/pg.h - PostgreSQL behind the store; private to pg*.c
 *
 * Shape    one connection (pg_link.h). What a transaction writes of usage, open exchanges and marks is collected here and
 *          sent in few statements: rows by COPY while the next are being read, the rest before the commit or a question
 * Owner    sg_pg owns the link and what is collected
 * Thread   one
 * Errors   as pg_link.h. After any error in a transaction only sg_store_rollback() helps
 * Limits   what is collected: a batch of the drain
 */
#pragma once

#include "ledger/driver.h"
#include "ledger/hours.h"
#include "ledger/pg_link.h"

/* What the database is known to say of a ring. */
enum sg_pg_mark_state {
        SG_PG_MARK_ABSENT,    /* it had none */
        SG_PG_MARK_KNOWN,     /* its sequence */
        SG_PG_MARK_UNCERTAIN, /* nobody knows whether a commit came through: it must be asked again */
};

struct sg_pg_mark {
        char id[SG_RING_ID_CHARS + 1];
        enum sg_pg_mark_state state;
        uint64_t sequence;
        bool is_put; /* in this transaction, as: */
        struct sg_store_ring put;
        bool is_written; /* and sent, as: */
        uint64_t written;
};

struct sg_pg_open {
        char ring[SG_RING_ID_CHARS + 1];
        uint64_t exchange;
        size_t at, n; /* of an added one: its record in records */
};

struct sg_pg_opens {
        struct sg_pg_open *list;
        size_t n, room;
};

struct sg_pg {
        struct sg_store store;
        struct sg_pg_link link;
        bool in_transaction, is_begun; /* begun: the server knows of it */
        int failed;                    /* the transaction is lost: its -errno */
        uint64_t connect;              /* the connection that it is of */
        /* collected */
        struct sg_hours hours;
        struct sg_buf rows; /* of COPY, not yet handed to libpq */
        bool is_copying;
        struct sg_pg_opens adds, drops;
        struct sg_buf records; /* of adds */
        struct sg_pg_mark *marks;
        size_t n_marks, room_marks;
        PGresult *lent;           /* what the last open exchange's views lie in */
        uint64_t partitions_usec; /* when they are to be looked after again, monotonic */
};

/* ---- transactions (pg.c) */

/* Before each statement: there is a connection, its schema is known, and what was collected is written. */
int sg_pg_enter(struct sg_pg *q, struct sg_error *err) SG_MUST_CHECK;
/* The same for what is only collected: in a transaction, which is begun here if there is none (*ret_is_own). */
int sg_pg_enter_collecting(struct sg_pg *q, bool *ret_is_own, struct sg_error *err) SG_MUST_CHECK;
/* Ends what sg_pg_enter_collecting() began; r is what became of it. */
int sg_pg_leave(struct sg_pg *q, bool is_own, int r, struct sg_error *err) SG_MUST_CHECK;
/* BEGIN, if the server has not been told yet. */
int sg_pg_begin_now(struct sg_pg *q, struct sg_error *err) SG_MUST_CHECK;
int sg_pg_begin(struct sg_store *s, struct sg_error *err) SG_MUST_CHECK;
int sg_pg_begin_change(struct sg_store *s, struct sg_error *err) SG_MUST_CHECK; /* pg_keys.c */
int sg_pg_commit(struct sg_store *s, struct sg_error *err) SG_MUST_CHECK;
void sg_pg_rollback(struct sg_store *s);

/* ---- the schema (pg_migrate.c) */

/* Is it there, ours, and of this version? only_look false: brings it there, by one ledger at a time. true: a schema that is
 * not there yet, or older, is refused unless may_be_older. */
int sg_pg_migrate(struct sg_pg_link *k, bool only_look, bool may_be_older, struct sg_error *err) SG_MUST_CHECK;
/* Partitions of the usage for this month and the next; what fails is tried again later, rows go to usage_rest meanwhile. */
void sg_pg_make_partitions(struct sg_pg *q);

/* ---- what is collected (pg_drain.c, pg_copy.c, pg_hours.c) */

int sg_pg_flush(struct sg_pg *q, struct sg_error *err) SG_MUST_CHECK;
/* After the commit, or instead of it: nothing is collected any more. */
void sg_pg_forget(struct sg_pg *q);
/* After a commit, or one of which nobody knows. */
void sg_pg_marks_committed(struct sg_pg *q);
void sg_pg_marks_uncertain(struct sg_pg *q);
void sg_pg_drain_done(struct sg_pg *q);
int sg_pg_copy_row(struct sg_pg *q, const char *ring, const struct sg_record *rec, struct sg_error *err) SG_MUST_CHECK;
int sg_pg_copy_end(struct sg_pg *q, struct sg_error *err) SG_MUST_CHECK;
int sg_pg_hours_flush(struct sg_pg *q, struct sg_error *err) SG_MUST_CHECK;
/* A row of the columns group, provider, model, day, counted, billed and the classes of struct sg_tokens in their order. */
struct sg_store_usage_bill sg_pg_read_bill(const PGresult *res);

/* ---- changes of keys and groups (pg_keys.c) */

/* An INSERT or UPDATE of one row that takes its version from v and returns id and version: in one statement the version is
 * raised, the row written, and every listener told. */
#define SG_PG_CHANGE(statement)                                                                                        \
        "WITH v AS (SELECT value + 1 AS version FROM scribe.counter WHERE name = 'key_version' FOR UPDATE), c AS "     \
        "(" statement "), u AS (UPDATE scribe.counter SET value = c.version FROM c WHERE name = 'key_version')"        \
        " SELECT c.id, pg_notify('scribe_keys', c.version::text) FROM c"
/* nothing: what it means that no row was touched. */
int sg_pg_change(struct sg_pg *q, const char *sql, const struct sg_pg_arguments *a, int nothing, uint64_t *ret_id,
                 struct sg_error *err) SG_MUST_CHECK;
int sg_pg_group_changes(struct sg_pg *q, uint64_t after_version,
                        void (*each)(const struct sg_store_group *group, void *owner), void *owner,
                        struct sg_error *err) SG_MUST_CHECK;

/* The driver's functions, by file. */
int sg_pg_dump(const struct sg_store_options *options, const char *where, const char *path, struct sg_store_counts *ret,
               struct sg_error *err);
int sg_pg_load(const struct sg_store_options *options, const char *where, const char *from, struct sg_error *err);
int sg_pg_ring_get(struct sg_store *s, const char *id, struct sg_store_ring *ret, struct sg_error *err);
int sg_pg_ring_put(struct sg_store *s, const struct sg_store_ring *ring, struct sg_error *err);
int sg_pg_ring_drop(struct sg_store *s, const char *id, struct sg_error *err);
int sg_pg_ring_list(struct sg_store *s, void (*each)(const struct sg_store_ring *ring, void *owner), void *owner,
                    struct sg_error *err);
int sg_pg_open_add(struct sg_store *s, const char *ring, const struct sg_record *rec, struct sg_error *err);
int sg_pg_open_drop(struct sg_store *s, const char *ring, uint64_t exchange, struct sg_error *err);
int sg_pg_open_next(struct sg_store *s, const char *ring, uint64_t after, struct sg_record *ret, struct sg_error *err);
int sg_pg_usage_add(struct sg_store *s, const char *ring, const struct sg_record *rec, struct sg_error *err);
int sg_pg_usage_sums(struct sg_store *s, enum sg_store_by by, const struct sg_store_usage_filter *filter,
                     void (*each)(const struct sg_store_usage_sum *sum, void *owner), void *owner,
                     struct sg_error *err);
int sg_pg_usage_bills(struct sg_store *s, enum sg_store_by by, const struct sg_store_usage_filter *filter,
                      void (*each)(const struct sg_store_usage_bill *bill, void *owner), void *owner,
                      struct sg_error *err);
int sg_pg_usage_events(struct sg_store *s, const struct sg_store_usage_filter *filter,
                       void (*each)(const struct sg_store_usage_event *event, void *owner), void *owner,
                       struct sg_error *err);
int sg_pg_key_add(struct sg_store *s, const struct sg_store_key *key, uint64_t *ret_id, struct sg_error *err);
int sg_pg_key_find(struct sg_store *s, struct sg_str name, uint64_t *ret_id, bool *ret_is_revoked,
                   struct sg_error *err);
int sg_pg_key_revoke(struct sg_store *s, uint64_t id, uint64_t wall_usec, struct sg_error *err);
int sg_pg_key_rotate(struct sg_store *s, uint64_t id, const struct sg_store_key *key, struct sg_error *err);
int sg_pg_key_change(struct sg_store *s, uint64_t id, const struct sg_store_key *key, struct sg_error *err);
int sg_pg_key_select(struct sg_store *s, const struct sg_store_key_filter *filter,
                     void (*each)(const struct sg_store_key *key, void *owner), void *owner, struct sg_error *err);
int sg_pg_changes(struct sg_store *s, uint64_t after_version, void (*key)(const struct sg_store_key *key, void *owner),
                  void (*group)(const struct sg_store_group *group, void *owner), void *owner, uint64_t *ret_version,
                  struct sg_error *err);
int sg_pg_group_add(struct sg_store *s, const struct sg_store_group *group, uint64_t *ret_id, struct sg_error *err);
int sg_pg_group_change(struct sg_store *s, uint64_t id, const struct sg_store_group *group, struct sg_error *err);
int sg_pg_group_remove(struct sg_store *s, uint64_t id, uint64_t wall_usec, struct sg_error *err);
int sg_pg_group_find(struct sg_store *s, struct sg_str name, uint64_t *ret_id, struct sg_error *err);
int sg_pg_group_list(struct sg_store *s, bool with_keys, void (*each)(const struct sg_store_group *group, void *owner),
                     void *owner, struct sg_error *err);
int sg_pg_audit_add(struct sg_store *s, const struct sg_store_audit *entry, struct sg_error *err);
int sg_pg_audit_list(struct sg_store *s, uint64_t from_wall_usec, uint64_t to_wall_usec, struct sg_str subject,
                     uint64_t limit, void (*each)(const struct sg_store_audit *entry, void *owner), void *owner,
                     struct sg_error *err);
int sg_pg_totals(struct sg_store *s, const struct sg_store_total_filter *filter,
                 void (*each)(const struct sg_store_usage_bill *bill, void *owner), void *owner, struct sg_error *err);
int sg_pg_used_keys(struct sg_store *s, uint64_t after_event, uint64_t from_wall_usec,
                    void (*each)(uint64_t key_id, void *owner), void *owner, uint64_t *ret_event, struct sg_error *err);
int sg_pg_usage_prune(struct sg_store *s, uint64_t before_wall_usec, uint64_t limit, uint64_t *ret_n,
                      struct sg_error *err);
