/*
 * The schema, by steps that are never changed once released: a new version appends one. Forward only; an older program
 * on a newer database would misread it, so it refuses. Before the first step that a database lacks, it is copied
 * (sqlite_backup.c).
 *
 * The version is kept twice: in schema_version, with the time of each step, and as the user_version in the header of the
 * file, where the package's preinst reads it without SQLite.
 */
#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/message_id.h"
#include "ledger/sqlite.h"

const struct sg_migration sg_sqlite_migrations[SG_SCHEMA_VERSION] = {
        {1, "CREATE TABLE schema_version ("
            " version INTEGER PRIMARY KEY,"
            " applied_wall_usec INTEGER NOT NULL);"

            "CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
            "INSERT INTO counter (name, value) VALUES ('key_version', 0);"

            /* AUTOINCREMENT: an id is never used again, the gateways know keys by it. */
            "CREATE TABLE api_key ("
            " id INTEGER PRIMARY KEY AUTOINCREMENT,"
            " name TEXT NOT NULL,"
            " digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),"
            " prefix TEXT NOT NULL,"
            /* JSON array of patterns; NULL: all */
            " models TEXT CHECK (models LIKE '[%'),"
            " created_wall_usec INTEGER NOT NULL,"
            " expires_wall_usec INTEGER NOT NULL,"
            " revoked_wall_usec INTEGER NOT NULL,"
            " rotated_wall_usec INTEGER NOT NULL,"
            " version INTEGER NOT NULL);"
            "CREATE UNIQUE INDEX api_key_live_name ON api_key (name) WHERE revoked_wall_usec = 0;"
            "CREATE INDEX api_key_name ON api_key (name, revoked_wall_usec);"

            "CREATE TABLE journal_ring ("
            " id TEXT PRIMARY KEY,"
            " sequence INTEGER NOT NULL,"
            " offset INTEGER NOT NULL,"
            " n_lost INTEGER NOT NULL,"
            " is_finished INTEGER NOT NULL) WITHOUT ROWID;"

            "CREATE TABLE open_exchange ("
            " ring TEXT NOT NULL,"
            " exchange INTEGER NOT NULL,"
            " start_wall_usec INTEGER NOT NULL,"
            " key_id INTEGER NOT NULL,"
            " request_id TEXT NOT NULL,"
            " key_name TEXT NOT NULL,"
            " operation TEXT NOT NULL,"
            " model TEXT NOT NULL,"
            " provider TEXT NOT NULL,"
            " upstream_model TEXT NOT NULL,"
            " prompt_bytes INTEGER NOT NULL,"
            " flags INTEGER NOT NULL,"
            " PRIMARY KEY (ring, exchange)) WITHOUT ROWID;"

            /* No unique key: each exchange comes once because its row and the ring's mark are one transaction. No
             * reference to api_key either: names are kept as they were. */
            "CREATE TABLE usage ("
            " id INTEGER PRIMARY KEY,"
            " ring TEXT NOT NULL,"
            " exchange INTEGER NOT NULL,"
            " day TEXT NOT NULL," /* of the start, UTC */
            " start_wall_usec INTEGER NOT NULL,"
            " key_id INTEGER NOT NULL,"
            " request_id TEXT NOT NULL,"
            " key_name TEXT NOT NULL,"
            " operation TEXT NOT NULL,"
            " model TEXT NOT NULL,"
            " provider TEXT NOT NULL,"
            " upstream_model TEXT NOT NULL,"
            " prompt_bytes INTEGER NOT NULL,"
            " flags INTEGER NOT NULL,"
            " outcome TEXT NOT NULL,"
            " status INTEGER NOT NULL,"
            " certainty TEXT NOT NULL,"
            " input_tokens INTEGER NOT NULL,"
            " output_tokens INTEGER NOT NULL,"
            " cached_tokens INTEGER NOT NULL,"
            " cache_write_tokens INTEGER NOT NULL,"
            " reasoning_tokens INTEGER NOT NULL,"
            " audio_input_tokens INTEGER NOT NULL,"
            " audio_output_tokens INTEGER NOT NULL,"
            " image_tokens INTEGER NOT NULL,"
            " duration_usec INTEGER NOT NULL,"
            " first_byte_usec INTEGER NOT NULL,"
            " answer_bytes INTEGER NOT NULL,"
            " reason TEXT NOT NULL,"
            " raw_usage TEXT NOT NULL);"
            "CREATE INDEX usage_start ON usage (start_wall_usec);"},

        /* What was written before has no credential, was not counted in attempts, and all of its cache writes count as
         * for minutes. SQLite does not touch the rows for it. */
        {2, "ALTER TABLE open_exchange ADD COLUMN credential TEXT NOT NULL DEFAULT '';"
            "ALTER TABLE usage ADD COLUMN credential TEXT NOT NULL DEFAULT '';"
            "ALTER TABLE usage ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;"
            "ALTER TABLE usage ADD COLUMN cache_write_1h_tokens INTEGER NOT NULL DEFAULT 0;"},

        {3,
         "ALTER TABLE api_key ADD COLUMN group_id INTEGER NOT NULL DEFAULT 0;" /* 0: none */
         /* JSON array of texts; NULL: none */
         "ALTER TABLE api_key ADD COLUMN limits TEXT CHECK (limits LIKE '[%');"
         /* Both columns: groups are counted from the index alone. */
         "CREATE INDEX api_key_group ON api_key (group_id, revoked_wall_usec);"
         "CREATE INDEX api_key_version ON api_key (version);"

         /* Removed ones stay, so that other ledgers learn of it; an id is never used again. */
         "CREATE TABLE key_group ("
         " id INTEGER PRIMARY KEY AUTOINCREMENT,"
         " name TEXT NOT NULL,"
         " parent_id INTEGER NOT NULL,"
         " limits TEXT CHECK (limits LIKE '[%'),"
         " created_wall_usec INTEGER NOT NULL,"
         " removed_wall_usec INTEGER NOT NULL,"
         " version INTEGER NOT NULL);"
         "CREATE UNIQUE INDEX key_group_live_name ON key_group (name) WHERE removed_wall_usec = 0;"
         "CREATE INDEX key_group_parent ON key_group (parent_id);"

         "CREATE TABLE audit ("
         " id INTEGER PRIMARY KEY AUTOINCREMENT,"
         " wall_usec INTEGER NOT NULL,"
         " uid INTEGER NOT NULL,"
         " pid INTEGER NOT NULL,"
         " user TEXT NOT NULL,"
         " verb TEXT NOT NULL,"
         " subject TEXT NOT NULL,"
         " before TEXT NOT NULL," /* empty: there was none */
         " after TEXT NOT NULL);"
         "CREATE INDEX audit_time ON audit (wall_usec);"

         /* In the order of enum sg_hour_column. Columns and not JSON: what is summed is what was asked for. The name
             * of the key stands beside its id, so that the sums answer as the events do. */
         "CREATE TABLE usage_hour ("
         " hour INTEGER NOT NULL," /* of the start, since 1970 UTC */
         " key_id INTEGER NOT NULL,"
         " key_name TEXT NOT NULL,"
         " model TEXT NOT NULL,"
         " provider TEXT NOT NULL,"
         " upstream_model TEXT NOT NULL,"
         " requests INTEGER NOT NULL,"
         " complete INTEGER NOT NULL,"
         " truncated INTEGER NOT NULL,"
         " client_gone INTEGER NOT NULL,"
         " failed INTEGER NOT NULL,"
         " cut_off INTEGER NOT NULL,"
         " uncertain INTEGER NOT NULL,"
         " measured INTEGER NOT NULL,"
         " partial INTEGER NOT NULL,"
         " estimated INTEGER NOT NULL,"
         " counted INTEGER NOT NULL," /* with tokens */
         " billed INTEGER NOT NULL,"  /* all but those that failed without tokens */
         " input_tokens INTEGER NOT NULL,"
         " output_tokens INTEGER NOT NULL,"
         " cached_tokens INTEGER NOT NULL,"
         " cache_write_tokens INTEGER NOT NULL,"
         " cache_write_1h_tokens INTEGER NOT NULL,"
         " reasoning_tokens INTEGER NOT NULL,"
         " audio_input_tokens INTEGER NOT NULL,"
         " audio_output_tokens INTEGER NOT NULL,"
         " image_tokens INTEGER NOT NULL,"
         " duration_usec INTEGER NOT NULL,"
         " first_wall_usec INTEGER NOT NULL,"
         " last_wall_usec INTEGER NOT NULL);"
         "INSERT INTO usage_hour SELECT start_wall_usec / 3600000000, key_id, key_name, model, provider,"
         " upstream_model, count(*), sum(outcome = 'complete'), sum(outcome = 'truncated'),"
         " sum(outcome = 'client_gone'), sum(outcome = 'failed'), sum(outcome = 'cut_off'),"
         " sum(certainty = 'none'), sum(certainty = 'measured'), sum(certainty = 'partial'),"
         " sum(certainty = 'estimated'), sum(input_tokens + output_tokens > 0),"
         " sum(outcome <> 'failed' OR input_tokens + output_tokens > 0), sum(input_tokens), sum(output_tokens),"
         " sum(cached_tokens), sum(cache_write_tokens), sum(cache_write_1h_tokens), sum(reasoning_tokens),"
         " sum(audio_input_tokens), sum(audio_output_tokens), sum(image_tokens), sum(duration_usec),"
         " min(start_wall_usec), max(start_wall_usec) FROM usage GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1;"
         "CREATE UNIQUE INDEX usage_hour_row ON usage_hour (key_id, hour, model, provider, upstream_model, key_name);"
         "CREATE INDEX usage_hour_hour ON usage_hour (hour);"
         /* So far rows were never deleted and their ids came in order. */
         "INSERT INTO counter (name, value) SELECT 'n_usage', coalesce(max(id), 0) FROM usage;"},
};

static int ask_int(sqlite3 *db, const char *path, const char *sql, int *ret, struct sg_error *err)
{
        sqlite3_stmt *st = NULL;
        int rc, r = 0;

        rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);
        if (rc == SQLITE_OK)
                rc = sqlite3_step(st);
        if (rc == SQLITE_ROW)
                *ret = sqlite3_column_int(st, 0);
        else
                r = sg_sqlite_fail(db, rc, path, "cannot read", err);
        (void)sqlite3_finalize(st);
        return r;
}

static int refuse_newer(const char *path, int version, int known, struct sg_error *err)
{
        char backup[4096];
        int r;

        if (sg_sqlite_find_backup(path, known, backup, sizeof(backup)))
                r = sg_error_set(err, -ENOTSUP, path,
                                 "the database has schema version %d, this program knows versions up to %d: install "
                                 "the newer scribe-gateway again, or restore the backup %s",
                                 version, known, backup);
        else
                r = sg_error_set(err, -ENOTSUP, path,
                                 "the database has schema version %d, this program knows versions up to %d: install "
                                 "the newer scribe-gateway again, or restore a backup from before the upgrade",
                                 version, known);
        sg_error_needs_mending(err, SG_MESSAGE_DATABASE_NEWER);
        return r;
}

/* *ret_version: 0 for an empty database. */
static int look(sqlite3 *db, const char *path, int known, int *ret_version, struct sg_error *err)
{
        int id = 0, n_tables = 0, version = 0, in_header = 0, r;

        r = ask_int(db, path, "PRAGMA application_id", &id, err);
        if (!r)
                r = ask_int(db, path, "SELECT count(*) FROM sqlite_master", &n_tables, err);
        if (r)
                return r;
        if (id == 0 && n_tables == 0) {
                *ret_version = 0;
                return 0;
        }
        if (id != SG_SQLITE_APPLICATION_ID) {
                r = sg_error_set(err, -EMEDIUMTYPE, path,
                                 "this database belongs to another program: name another file in [ledger] database");
                sg_error_needs_mending(err, SG_MESSAGE_CONFIGURATION);
                return r;
        }
        /* First what any version can read, whatever a later one has made of the tables. */
        r = ask_int(db, path, "PRAGMA user_version", &in_header, err);
        if (!r && in_header <= known)
                r = ask_int(db, path, "SELECT max(version) FROM schema_version", &version, err);
        if (r)
                return r;
        version = SG_MAX(version, in_header);
        if (version > known)
                return refuse_newer(path, version, known, err);
        *ret_version = version;
        return 0;
}

static int run_sql(sqlite3 *db, const char *path, const char *sql, struct sg_error *err)
{
        int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);

        return rc == SQLITE_OK ? 0 : sg_sqlite_fail(db, rc, path, "cannot bring the schema up to date", err);
}

static int apply(sqlite3 *db, const char *path, const struct sg_migration *m, struct sg_error *err)
{
        char sql[160];
        int r;

        r = run_sql(db, path, "BEGIN IMMEDIATE", err);
        if (r)
                return r;
        (void)snprintf(sql, sizeof(sql), "PRAGMA application_id = %d; PRAGMA user_version = %d",
                       SG_SQLITE_APPLICATION_ID, m->version);
        r = run_sql(db, path, sql, err);
        if (!r)
                r = run_sql(db, path, m->sql, err);
        if (!r) {
                (void)snprintf(sql, sizeof(sql),
                               "INSERT INTO schema_version (version, applied_wall_usec) VALUES (%d, %llu)", m->version,
                               (unsigned long long)sg_clock_wall_usec());
                r = run_sql(db, path, sql, err);
        }
        if (!r)
                r = run_sql(db, path, "COMMIT", err);
        if (r && !sqlite3_get_autocommit(db))
                (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
        return r;
}

/* The header of the file is right only when the page that it is on has left the write-ahead log. Another program that
 * reads just now keeps it there until the next time: the header is for the package, this program does not need it. */
static int settle_header(sqlite3 *db, const char *path, int version, struct sg_error *err)
{
        char sql[64];
        int in_header = 0, r;

        r = ask_int(db, path, "PRAGMA user_version", &in_header, err);
        if (!r && in_header != version) { /* made before the header was used */
                (void)snprintf(sql, sizeof(sql), "PRAGMA user_version = %d", version);
                r = run_sql(db, path, sql, err);
        }
        if (!r)
                (void)sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
        return r;
}

int sg_sqlite_migrate(sqlite3 *db, const char *path, const struct sg_migration *migrations, int n_migrations,
                      bool only_look, struct sg_error *err)
{
        int known = migrations[n_migrations - 1].version, version = 0, r;

        r = look(db, path, known, &version, err);
        if (r || only_look)
                return r;
        if (version > 0 && version < known)
                r = sg_sqlite_backup(db, path, version + 1, err);
        for (int i = 0; i < n_migrations && !r; i++) {
                SG_ASSERT(migrations[i].version == i + 1);
                if (migrations[i].version > version)
                        r = apply(db, path, &migrations[i], err);
        }
        return r ? r : settle_header(db, path, known, err);
}
