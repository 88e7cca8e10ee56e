/*
 * The connection. WAL with synchronous = FULL: when a commit returns, it is on the disk. Less would be wrong twice
 * over: the drain tells the ring after its commit that the room may be used again, so a commit that a power cut takes
 * back takes the records with it; and a revoked key would come back. The price is one fdatasync per drained batch, at
 * most ten a second, whatever the load.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "ledger/sqlite.h"

#define BUSY_TIMEOUT_MSEC 1000 /* of another process: ours wait for their turn */
#define TURN_USEC_MAX     (10 * SG_USEC_PER_SEC)
#define STEPS_PER_LOOK    10000 /* of SQLite's machine, some 100 us */

/* ---- errors */

int sg_sqlite_fail(sqlite3 *db, int rc, const char *path, const char *doing, struct sg_error *err)
{
        int sys = db ? sqlite3_system_errno(db) : 0;
        const char *why = db ? sqlite3_errmsg(db) : sqlite3_errstr(rc);

        switch (rc & 0xff) {
        case SQLITE_NOMEM:
                return sg_error_set(err, -ENOMEM, path, "%s: out of memory", doing);
        case SQLITE_FULL:
                return sg_error_set(err, -ENOSPC, path, "%s: the disk is full: free some space", doing);
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
                return sg_error_set(err, -EBUSY, path, "%s: another program holds the database: end its transaction",
                                    doing);
        case SQLITE_READONLY:
        case SQLITE_PERM:
                return sg_error_set(
                        err, -EROFS, path,
                        "%s: the database cannot be written: it and its directory must be the service's user's", doing);
        case SQLITE_CANTOPEN:
                return sg_error_set(
                        err, sys ? -sys : -ENOENT, path,
                        "%s: cannot open the database (%s): its directory must exist and be the service's user's",
                        doing, sys ? strerror(sys) : why);
        case SQLITE_INTERRUPT:
                return sg_error_set(err, -ETIME, path, "%s: it took too long: ask for less, as by a shorter time",
                                    doing);
        case SQLITE_NOTADB:
                return sg_error_set(err, -EMEDIUMTYPE, path,
                                    "this is no SQLite database: move the file away or name another");
        case SQLITE_CORRUPT:
                return sg_error_set(err, -EUCLEAN, path,
                                    "%s: the database is damaged: restore it from a backup, or try sqlite3's .recover",
                                    doing);
        case SQLITE_IOERR:
                if (sys == ENOSPC || sys == EDQUOT)
                        return sg_error_set(err, -sys, path, "%s: the disk is full: free some space", doing);
                return sg_error_set(err, sys ? -sys : -EIO, path, "%s: the disk does not answer (%s)", doing,
                                    sys ? strerror(sys) : why);
        default:
                return sg_error_set(err, -EIO, path, "%s: %s", doing, why);
        }
}

/* ---- statements */

sqlite3_stmt *sg_sqlite_get(struct sg_sqlite *q, enum sg_sqlite_stmt which, const char *sql, struct sg_error *err)
{
        int rc;

        if (!q->stmts[which]) {
                rc = sqlite3_prepare_v3(q->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &q->stmts[which], NULL);
                if (rc != SQLITE_OK) {
                        (void)sg_sqlite_fail(q->db, rc, q->path, "cannot ask the database", err);
                        return NULL;
                }
        }
        (void)sqlite3_reset(q->stmts[which]);
        (void)sqlite3_clear_bindings(q->stmts[which]);
        return q->stmts[which];
}

/* Binding fails without memory only, and for a number that the statement does not have: a mistake of ours. */
static void bound(int rc)
{
        SG_ASSERT(rc == SQLITE_OK || rc == SQLITE_NOMEM || rc == SQLITE_TOOBIG);
}

void sg_sqlite_bind_text(sqlite3_stmt *st, int at, struct sg_str s)
{
        bound(sqlite3_bind_text64(st, at, s.n ? s.p : "", s.n, SQLITE_STATIC, SQLITE_UTF8));
}

void sg_sqlite_bind_u64(sqlite3_stmt *st, int at, uint64_t v)
{
        bound(sqlite3_bind_int64(st, at, (sqlite3_int64)SG_MIN(v, (uint64_t)INT64_MAX)));
}

void sg_sqlite_bind_count(sqlite3_stmt *st, int at, uint64_t v)
{
        sg_sqlite_bind_u64(st, at, SG_MIN(v, SG_STORE_COUNT_MAX));
}

struct sg_str sg_sqlite_text(sqlite3_stmt *st, int column)
{
        const void *p = sqlite3_column_text(st, column);

        return sg_str_make(p, p ? (size_t)sqlite3_column_bytes(st, column) : 0);
}

uint64_t sg_sqlite_u64(sqlite3_stmt *st, int column)
{
        sqlite3_int64 v = sqlite3_column_int64(st, column);

        return v < 0 ? 0 : (uint64_t)v;
}

int sg_sqlite_row(struct sg_sqlite *q, sqlite3_stmt *st, const char *doing, struct sg_error *err)
{
        int rc = sqlite3_step(st), r;

        if (rc == SQLITE_ROW)
                return 0;
        r = rc == SQLITE_DONE ? SG_STORE_E_NONE : sg_sqlite_fail(q->db, rc, q->path, doing, err);
        (void)sqlite3_reset(st);
        return r;
}

int sg_sqlite_run(struct sg_sqlite *q, sqlite3_stmt *st, const char *doing, struct sg_error *err)
{
        int r = sg_sqlite_row(q, st, doing, err);

        SG_ASSERT(r != 0);
        return r > 0 ? 0 : r;
}

/* ---- transactions */

static int run_word(struct sg_store *s, enum sg_sqlite_stmt which, const char *sql, const char *doing,
                    struct sg_error *err)
{
        struct sg_sqlite *q = (struct sg_sqlite *)s;
        sqlite3_stmt *st = sg_sqlite_get(q, which, sql, err);

        return st ? sg_sqlite_run(q, st, doing, err) : -EIO;
}

static int take_turn(struct sg_sqlite *q, const char *doing, struct sg_error *err)
{
        if (!sg_sqlite_lock_turn(q->lock, TURN_USEC_MAX))
                return sg_error_set(err, -EBUSY, q->path,
                                    "%s: another thread of this process still writes: the disk is very slow", doing);
        q->has_turn = true;
        return 0;
}

static void end_turn(struct sg_sqlite *q)
{
        if (q->has_turn)
                sg_sqlite_lock_turn_over(q->lock);
        q->has_turn = false;
}

int sg_sqlite_begin(struct sg_store *s, struct sg_error *err)
{
        struct sg_sqlite *q = (struct sg_sqlite *)s;
        int r;

        if (!q->lock)
                return run_word(s, STMT_BEGIN, "BEGIN", "cannot begin to read", err);
        r = take_turn(q, "cannot begin to write", err);
        if (r)
                return r;
        /* Immediately, so that no later statement finds that somebody else writes. */
        r = run_word(s, STMT_BEGIN, "BEGIN IMMEDIATE", "cannot begin to write", err);
        if (r)
                end_turn(q);
        return r;
}

int sg_sqlite_commit(struct sg_store *s, struct sg_error *err)
{
        int r = sg_sqlite_hours_flush((struct sg_sqlite *)s, err);

        if (!r)
                r = run_word(s, STMT_COMMIT, "COMMIT", "cannot write", err);
        if (r)
                sg_sqlite_rollback(s);
        end_turn((struct sg_sqlite *)s);
        return r;
}

void sg_sqlite_rollback(struct sg_store *s)
{
        struct sg_sqlite *q = (struct sg_sqlite *)s;

        sg_hours_clear(&q->hours);
        /* After some errors (a full disk) SQLite has rolled back by itself. When this fails, the next BEGIN does, too,
         * and says so. */
        if (!sqlite3_get_autocommit(q->db))
                (void)run_word(s, STMT_ROLLBACK, "ROLLBACK", "cannot undo", NULL);
        end_turn(q);
}

/* ---- opening */

/* The mode of the database is that of its -wal and -shm, too. One that is there is not opened: to close any descriptor of it drops
 * the locks that SQLite holds on it for another store of this process (fcntl(2), "F_SETLK"). */
static int make_file(const char *path, struct sg_error *err)
{
        int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0600), r = 0;

        if (fd >= 0)
                (void)close(fd);
        else if (errno != EEXIST || access(path, R_OK | W_OK))
                r = -errno;
        if (r)
                return sg_error_set(err, r, path,
                                    "cannot open the database (%s): it and its directory must be the service's user's",
                                    strerror(-r));
        return 0;
}

static int pragma(struct sg_sqlite *q, const char *sql, struct sg_error *err)
{
        int rc = sqlite3_exec(q->db, sql, NULL, NULL, NULL);

        return rc == SQLITE_OK ? 0 : sg_sqlite_fail(q->db, rc, q->path, "cannot set up the database", err);
}

static int set_up(struct sg_sqlite *q, struct sg_error *err)
{
        static const char *const pragmas[] = {
                "PRAGMA journal_mode = WAL", /* where it cannot be (a network's file system), FULL holds all the same */
                "PRAGMA synchronous = FULL",  "PRAGMA journal_size_limit = 67108864",
                "PRAGMA temp_store = MEMORY", "PRAGMA foreign_keys = ON",
        };
        int r = 0;

        for (size_t i = 0; i < SG_N_ELEMENTS(pragmas) && !r; i++)
                r = pragma(q, pragmas[i], err);
        return r;
}

static int connect_to(struct sg_sqlite *q, const char *path, bool only_look, struct sg_error *err)
{
        int flags = only_look ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE, rc;

        rc = sqlite3_open_v2(path, &q->db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
        if (rc != SQLITE_OK)
                return sg_sqlite_fail(q->db, rc, path, "cannot open", err);
        (void)sqlite3_busy_timeout(q->db, BUSY_TIMEOUT_MSEC);
        (void)sqlite3_db_config(q->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        (void)sqlite3_db_config(q->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
        if (!only_look && sqlite3_db_readonly(q->db, "main") == 1)
                return sg_sqlite_fail(q->db, SQLITE_READONLY, path, "cannot open", err);
        return 0;
}

static void sqlite_free(struct sg_store *s)
{
        struct sg_sqlite *q = (struct sg_sqlite *)s;

        for (size_t i = 0; i < STMT_N; i++)
                (void)sqlite3_finalize(q->stmts[i]);
        (void)sqlite3_close(q->db);
        end_turn(q);
        sg_sqlite_lock_drop(q->lock);
        sg_hours_done(&q->hours);
        free(q->path);
        free(q);
}

static struct sg_sqlite *sqlite_new(const char *path)
{
        struct sg_sqlite *q = calloc(1, sizeof(*q));

        if (!q)
                return NULL;
        q->store.driver = &sg_sqlite_driver;
        q->path = sg_str_dup(sg_str_from(path));
        if (q->path)
                return q;
        free(q);
        return NULL;
}

static int sqlite_open(struct sg_store **ret, const struct sg_store_options *options, const char *where,
                       struct sg_error *err)
{
        SG_AUTO(sg_store_free) struct sg_store *s = NULL;
        struct sg_sqlite *q = sqlite_new(where);
        int r;

        if (!q)
                return sg_error_set(err, -ENOMEM, where, "out of memory");
        s = &q->store;
        r = sg_sqlite_lock_take(&q->lock, where, err);
        if (!r)
                r = take_turn(q, "cannot open", err);
        if (!r)
                r = make_file(where, err);
        if (!r)
                r = connect_to(q, where, false, err);
        /* Whose it is comes first: setting it up would change another program's file. */
        if (!r)
                r = sg_sqlite_migrate(q->db, where, sg_sqlite_migrations, SG_SCHEMA_VERSION, true, err);
        if (!r)
                r = set_up(q, err);
        if (!r)
                r = sg_sqlite_migrate(q->db, where, sg_sqlite_migrations, SG_SCHEMA_VERSION, false, err);
        end_turn(q);
        if (r)
                return r;
        *ret = SG_GIVE(s);
        return 0;
}

static int sqlite_open_reader(struct sg_store **ret, const struct sg_store_options *options, const char *where,
                              struct sg_error *err)
{
        SG_AUTO(sg_store_free) struct sg_store *s = NULL;
        struct sg_sqlite *q = sqlite_new(where);
        int r;

        if (!q)
                return sg_error_set(err, -ENOMEM, where, "out of memory");
        s = &q->store;
        r = connect_to(q, where, true, err);
        if (!r)
                r = sg_sqlite_migrate(q->db, where, sg_sqlite_migrations, SG_SCHEMA_VERSION, true, err);
        if (!r)
                *ret = SG_GIVE(s);
        return r;
}

static int is_over(void *owner)
{
        const struct sg_store_limit *limit = owner;

        return atomic_load_explicit(&limit->is_cancelled, memory_order_relaxed) || sg_clock_usec() >= limit->until_usec;
}

static void sqlite_set_limit(struct sg_store *s, struct sg_store_limit *limit)
{
        struct sg_sqlite *q = (struct sg_sqlite *)s;

        sqlite3_progress_handler(q->db, limit ? STEPS_PER_LOOK : 0, limit ? is_over : NULL, limit);
}

static int check_directory(const char *path, struct sg_error *err)
{
        const char *slash = strrchr(path, '/');
        char *dir = slash ? sg_str_dup(sg_str_make(path, SG_MAX((size_t)(slash - path), (size_t)1)))
                          : sg_str_dup(SG_STR("."));
        int r = 0;

        if (!dir)
                return sg_error_set(err, -ENOMEM, path, "out of memory");
        if (access(dir, W_OK | X_OK) < 0) {
                r = -errno;
                r = sg_error_set(
                        err, r, dir,
                        "cannot make the database here (%s): the directory must exist and be the service's user's",
                        strerror(-r));
        }
        free(dir);
        return r;
}

static int sqlite_check(const struct sg_store_options *options, const char *where, struct sg_error *err)
{
        SG_AUTO(sg_store_free) struct sg_store *s = NULL;
        struct sg_sqlite *q;
        int r;

        r = check_directory(where, err);
        if (r || access(where, F_OK) < 0)
                return r;
        q = sqlite_new(where);
        if (!q)
                return sg_error_set(err, -ENOMEM, where, "out of memory");
        s = &q->store;
        r = connect_to(q, where, true, err);
        return r ? r : sg_sqlite_migrate(q->db, where, sg_sqlite_migrations, SG_SCHEMA_VERSION, true, err);
}

/* ---- counts */

static int sqlite_count(struct sg_store *s, uint64_t now_wall_usec, struct sg_store_counts *ret, struct sg_error *err)
{
        struct sg_sqlite *q = (struct sg_sqlite *)s;
        sqlite3_stmt *st;
        int r;

        st = sg_sqlite_get(q, STMT_COUNT,
                           "SELECT"
                           " (SELECT count(*) FROM api_key WHERE revoked_wall_usec = 0"
                           "   AND (expires_wall_usec = 0 OR expires_wall_usec > ?1)),"
                           " (SELECT count(*) FROM api_key WHERE revoked_wall_usec = 0"
                           "   AND expires_wall_usec <> 0 AND expires_wall_usec <= ?1),"
                           " (SELECT count(*) FROM api_key WHERE revoked_wall_usec <> 0),"
                           " (SELECT value FROM counter WHERE name = 'key_version'),"
                           " (SELECT value FROM counter WHERE name = 'n_usage'),"
                           " (SELECT count(*) FROM open_exchange),"
                           " (SELECT max(version) FROM schema_version)",
                           err);
        if (!st)
                return -EIO;
        sg_sqlite_bind_u64(st, 1, now_wall_usec);
        r = sg_sqlite_row(q, st, "cannot count", err);
        if (r)
                return r;
        *ret = (struct sg_store_counts){
                .n_keys_active = sg_sqlite_u64(st, 0),
                .n_keys_expired = sg_sqlite_u64(st, 1),
                .n_keys_revoked = sg_sqlite_u64(st, 2),
                .key_version = sg_sqlite_u64(st, 3),
                .n_usage = sg_sqlite_u64(st, 4),
                .n_open = sg_sqlite_u64(st, 5),
                .schema_version = (int)sg_sqlite_u64(st, 6),
        };
        (void)sqlite3_reset(st);
        return 0;
}

const struct sg_store_driver sg_sqlite_driver = {
        .scheme = "sqlite",
        .open = sqlite_open,
        .open_reader = sqlite_open_reader,
        .check = sqlite_check,
        .free = sqlite_free,
        .dump_name = "ledger.db",
        .is_file = true,
        .dump = sg_sqlite_dump,
        .load = sg_sqlite_load,
        .set_limit = sqlite_set_limit,
        .begin = sg_sqlite_begin,
        .commit = sg_sqlite_commit,
        .rollback = sg_sqlite_rollback,
        .ring_get = sg_sqlite_ring_get,
        .ring_put = sg_sqlite_ring_put,
        .ring_drop = sg_sqlite_ring_drop,
        .ring_list = sg_sqlite_ring_list,
        .open_add = sg_sqlite_open_add,
        .open_drop = sg_sqlite_open_drop,
        .open_next = sg_sqlite_open_next,
        .usage_add = sg_sqlite_usage_add,
        .usage_sums = sg_sqlite_usage_sums,
        .usage_bills = sg_sqlite_usage_bills,
        .usage_events = sg_sqlite_usage_events,
        .key_add = sg_sqlite_key_add,
        .key_find = sg_sqlite_key_find,
        .key_revoke = sg_sqlite_key_revoke,
        .key_rotate = sg_sqlite_key_rotate,
        .key_change = sg_sqlite_key_change,
        .key_select = sg_sqlite_key_select,
        .changes = sg_sqlite_changes,
        .group_add = sg_sqlite_group_add,
        .group_change = sg_sqlite_group_change,
        .group_remove = sg_sqlite_group_remove,
        .group_find = sg_sqlite_group_find,
        .group_list = sg_sqlite_group_list,
        .audit_add = sg_sqlite_audit_add,
        .audit_list = sg_sqlite_audit_list,
        .totals = sg_sqlite_totals,
        .used_keys = sg_sqlite_used_keys,
        .usage_prune = sg_sqlite_usage_prune,
        .count = sqlite_count,
};
