/*
 * ledger/sqlite.h - SQLite behind the store; private to sqlite*.c
 *
 * Shape    one connection; statements are prepared at first use and kept. SQL is constant text, values are parameters
 * Owner    sg_sqlite owns the connection, the statements and its share of the lock
 * Thread   one
 * Errors   sg_sqlite_fail() turns what SQLite says into an errno and a sentence that says what to do
 */
#pragma once

#include <sqlite3.h>

#include "ledger/driver.h"
#include "ledger/hours.h"
#include "ledger/sqlite_lock.h"

#define SG_SQLITE_APPLICATION_ID 0x53474c31 /* "SGL1", in the file's header: see file(1) */

enum sg_sqlite_stmt {
        STMT_BEGIN,
        STMT_COMMIT,
        STMT_ROLLBACK,
        STMT_RING_GET,
        STMT_RING_PUT,
        STMT_RING_DROP,
        STMT_RING_LIST,
        STMT_OPEN_ADD,
        STMT_OPEN_DROP,
        STMT_OPEN_NEXT,
        STMT_USAGE_ADD,
        STMT_USAGE_SUMS, /* one per enum sg_store_by */
        STMT_USAGE_SUMS_LAST = STMT_USAGE_SUMS + SG_STORE_BY_N - 1,
        STMT_USAGE_BILLS, /* the same */
        STMT_USAGE_BILLS_LAST = STMT_USAGE_BILLS + SG_STORE_BY_N - 1,
        STMT_USAGE_EVENTS,
        STMT_USAGE_PRUNE,
        STMT_USAGE_COUNT,
        STMT_USAGE_UNCOUNT,
        STMT_HOUR_ADD,
        STMT_LAST_EVENT,
        STMT_USED_AFTER,
        STMT_USED_FROM,
        STMT_TOTALS, /* one for each of what they are asked */
        STMT_TOTALS_LAST = STMT_TOTALS + SG_TOTAL_PROVIDER,
        STMT_KEY_ADD,
        STMT_KEY_FIND,
        STMT_KEY_REVOKE,
        STMT_KEY_ROTATE,
        STMT_KEY_CHANGE,
        STMT_KEY_SELECT, /* by group or not, by whole name or not */
        STMT_KEY_SELECT_LAST = STMT_KEY_SELECT + 3,
        STMT_KEY_CHANGES,
        STMT_GROUP_ADD,
        STMT_GROUP_CHANGE,
        STMT_GROUP_REMOVE,
        STMT_GROUP_FIND,
        STMT_GROUP_LIST,
        STMT_GROUP_CHANGES,
        STMT_AUDIT_ADD,
        STMT_AUDIT_LIST,
        STMT_VERSION_GET,
        STMT_VERSION_UP,
        STMT_COUNT,
        STMT_N,
};

struct sg_sqlite {
        struct sg_store store;
        sqlite3 *db;
        char *path;
        struct sg_sqlite_lock *lock; /* NULL: a reader */
        bool has_turn;
        struct sg_hours hours; /* of the transaction, not yet written */
        sqlite3_stmt *stmts[STMT_N];
};

struct sg_migration {
        int version; /* 1, 2, … without gaps */
        const char *sql;
};
extern const struct sg_migration sg_sqlite_migrations[SG_SCHEMA_VERSION];

/* Brings the schema to that of the last of the migrations, each in a transaction, after a backup of a database that has
 * one already. A database of another program, or of a newer version, is refused. only_look: changes nothing. */
int sg_sqlite_migrate(sqlite3 *db, const char *path, const struct sg_migration *migrations, int n_migrations,
                      bool only_look, struct sg_error *err) SG_MUST_CHECK;

/* Copies the database to PATH.before-N and syncs it; -ENOSPC and what else may fail leave neither copy nor half of one. */
int sg_sqlite_backup(sqlite3 *db, const char *path, int before, struct sg_error *err) SG_MUST_CHECK;
/* Into an empty file, which is not synced and has no write-ahead log. */
int sg_sqlite_copy_pages(sqlite3 *from, const char *to, const char *doing, struct sg_error *err) SG_MUST_CHECK;
/* The directory that path is in, open; or -errno. */
int sg_sqlite_open_directory(const char *path) SG_MUST_CHECK;
/* The newest copy that a program can use that knows schemas up to `known`; false: there is none. */
bool sg_sqlite_find_backup(const char *path, int known, char *out, size_t out_bytes) SG_MUST_CHECK;

/* The errno and the sentence for the connection's last error (rc is the extended code). */
int sg_sqlite_fail(sqlite3 *db, int rc, const char *path, const char *doing, struct sg_error *err);

/* The statement, reset and without parameters; NULL with *err set. */
sqlite3_stmt *sg_sqlite_get(struct sg_sqlite *q, enum sg_sqlite_stmt which, const char *sql, struct sg_error *err);
void sg_sqlite_bind_text(sqlite3_stmt *st, int at, struct sg_str s); /* lent until the statement is reset */
void sg_sqlite_bind_u64(sqlite3_stmt *st, int at, uint64_t v);       /* at most INT64_MAX */
void sg_sqlite_bind_count(sqlite3_stmt *st, int at, uint64_t v);     /* at most SG_STORE_COUNT_MAX */
struct sg_str sg_sqlite_text(sqlite3_stmt *st, int column);
uint64_t sg_sqlite_u64(sqlite3_stmt *st, int column);
/* Runs a statement that returns no row; resets it. */
int sg_sqlite_run(struct sg_sqlite *q, sqlite3_stmt *st, const char *doing, struct sg_error *err) SG_MUST_CHECK;
/* The next row: 0, or SG_STORE_E_NONE at the end or -errno; then the statement is reset. */
int sg_sqlite_row(struct sg_sqlite *q, sqlite3_stmt *st, const char *doing, struct sg_error *err) SG_MUST_CHECK;
int sg_sqlite_begin(struct sg_store *s, struct sg_error *err) SG_MUST_CHECK;
int sg_sqlite_commit(struct sg_store *s, struct sg_error *err) SG_MUST_CHECK;
void sg_sqlite_rollback(struct sg_store *s);

/* Writes what the transaction has of hourly sums so far. */
int sg_sqlite_hours_flush(struct sg_sqlite *q, struct sg_error *err) SG_MUST_CHECK;
/* A row of the columns group, provider, model, day, counted, billed and the classes of struct sg_tokens in their order. */
struct sg_store_usage_bill sg_sqlite_read_bill(sqlite3_stmt *st);

/* A row of api_key or key_group is changed by one statement that has the new version as parameter version_at. */
struct sg_sqlite_change {
        const char *sql;
        enum sg_sqlite_stmt which;
        int version_at;
        void (*bind)(sqlite3_stmt *st, const void *what);
        const void *what;
};
int sg_sqlite_change(struct sg_sqlite *q, const struct sg_sqlite_change *c, struct sg_error *err) SG_MUST_CHECK;
int sg_sqlite_key_version(struct sg_sqlite *q, uint64_t *ret, struct sg_error *err) SG_MUST_CHECK;
/* The groups of sg_sqlite_changes(). */
int sg_sqlite_group_changes(struct sg_sqlite *q, uint64_t after_version,
                            void (*each)(const struct sg_store_group *group, void *owner), void *owner,
                            struct sg_error *err) SG_MUST_CHECK;

/* The driver's functions, by file. */
int sg_sqlite_dump(const struct sg_store_options *options, const char *where, const char *path,
                   struct sg_store_counts *ret, struct sg_error *err);
int sg_sqlite_load(const struct sg_store_options *options, const char *where, const char *from, struct sg_error *err);
int sg_sqlite_ring_get(struct sg_store *s, const char *id, struct sg_store_ring *ret, struct sg_error *err);
int sg_sqlite_ring_put(struct sg_store *s, const struct sg_store_ring *ring, struct sg_error *err);
int sg_sqlite_ring_drop(struct sg_store *s, const char *id, struct sg_error *err);
int sg_sqlite_ring_list(struct sg_store *s, void (*each)(const struct sg_store_ring *ring, void *owner), void *owner,
                        struct sg_error *err);
int sg_sqlite_open_add(struct sg_store *s, const char *ring, const struct sg_record *rec, struct sg_error *err);
int sg_sqlite_open_drop(struct sg_store *s, const char *ring, uint64_t exchange, struct sg_error *err);
int sg_sqlite_open_next(struct sg_store *s, const char *ring, uint64_t after, struct sg_record *ret,
                        struct sg_error *err);
int sg_sqlite_usage_add(struct sg_store *s, const char *ring, const struct sg_record *rec, struct sg_error *err);
int sg_sqlite_usage_sums(struct sg_store *s, enum sg_store_by by, const struct sg_store_usage_filter *filter,
                         void (*each)(const struct sg_store_usage_sum *sum, void *owner), void *owner,
                         struct sg_error *err);
int sg_sqlite_usage_bills(struct sg_store *s, enum sg_store_by by, const struct sg_store_usage_filter *filter,
                          void (*each)(const struct sg_store_usage_bill *bill, void *owner), void *owner,
                          struct sg_error *err);
int sg_sqlite_usage_events(struct sg_store *s, const struct sg_store_usage_filter *filter,
                           void (*each)(const struct sg_store_usage_event *event, void *owner), void *owner,
                           struct sg_error *err);
int sg_sqlite_key_add(struct sg_store *s, const struct sg_store_key *key, uint64_t *ret_id, struct sg_error *err);
int sg_sqlite_key_find(struct sg_store *s, struct sg_str name, uint64_t *ret_id, bool *ret_is_revoked,
                       struct sg_error *err);
int sg_sqlite_key_revoke(struct sg_store *s, uint64_t id, uint64_t wall_usec, struct sg_error *err);
int sg_sqlite_key_rotate(struct sg_store *s, uint64_t id, const struct sg_store_key *key, struct sg_error *err);
int sg_sqlite_key_change(struct sg_store *s, uint64_t id, const struct sg_store_key *key, struct sg_error *err);
int sg_sqlite_key_select(struct sg_store *s, const struct sg_store_key_filter *filter,
                         void (*each)(const struct sg_store_key *key, void *owner), void *owner, struct sg_error *err);
int sg_sqlite_changes(struct sg_store *s, uint64_t after_version,
                      void (*key)(const struct sg_store_key *key, void *owner),
                      void (*group)(const struct sg_store_group *group, void *owner), void *owner,
                      uint64_t *ret_version, struct sg_error *err);
int sg_sqlite_group_add(struct sg_store *s, const struct sg_store_group *group, uint64_t *ret_id, struct sg_error *err);
int sg_sqlite_group_change(struct sg_store *s, uint64_t id, const struct sg_store_group *group, struct sg_error *err);
int sg_sqlite_group_remove(struct sg_store *s, uint64_t id, uint64_t wall_usec, struct sg_error *err);
int sg_sqlite_group_find(struct sg_store *s, struct sg_str name, uint64_t *ret_id, struct sg_error *err);
int sg_sqlite_group_list(struct sg_store *s, bool with_keys,
                         void (*each)(const struct sg_store_group *group, void *owner), void *owner,
                         struct sg_error *err);
int sg_sqlite_audit_add(struct sg_store *s, const struct sg_store_audit *entry, struct sg_error *err);
int sg_sqlite_audit_list(struct sg_store *s, uint64_t from_wall_usec, uint64_t to_wall_usec, struct sg_str subject,
                         uint64_t limit, void (*each)(const struct sg_store_audit *entry, void *owner), void *owner,
                         struct sg_error *err);
int sg_sqlite_totals(struct sg_store *s, const struct sg_store_total_filter *filter,
                     void (*each)(const struct sg_store_usage_bill *bill, void *owner), void *owner,
                     struct sg_error *err);
int sg_sqlite_used_keys(struct sg_store *s, uint64_t after_event, uint64_t from_wall_usec,
                        void (*each)(uint64_t key_id, void *owner), void *owner, uint64_t *ret_event,
                        struct sg_error *err);
int sg_sqlite_usage_prune(struct sg_store *s, uint64_t before_wall_usec, uint64_t limit, uint64_t *ret_n,
                          struct sg_error *err);
