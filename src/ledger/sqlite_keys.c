/* Keys. Each change and the version it raises are one transaction. */
#include <errno.h>
#include <stdio.h>

#include "ledger/sqlite.h"

/* ---- changes */

static int version_up(struct sg_sqlite *q, uint64_t *ret, struct sg_error *err)
{
        sqlite3_stmt *st =
                sg_sqlite_get(q, STMT_VERSION_UP,
                              "UPDATE counter SET value = value + 1 WHERE name = 'key_version' RETURNING value", err);
        int r;

        if (!st)
                return -EIO;
        r = sg_sqlite_row(q, st, "cannot change keys", err);
        if (r > 0)
                return sg_error_set(err, -EUCLEAN, q->path, "cannot change keys: the database has lost its counter");
        if (r)
                return r;
        *ret = sg_sqlite_u64(st, 0);
        (void)sqlite3_reset(st);
        return 0;
}

/* A row of api_key is changed by one statement; the version is its last parameter. */
struct change {
        const char *sql;
        enum sg_sqlite_stmt which;
        int version_at;
        void (*bind)(sqlite3_stmt *st, const void *what);
        const void *what;
};

static int run_change(struct sg_sqlite *q, const struct change *c, struct sg_error *err)
{
        uint64_t version = 0;
        sqlite3_stmt *st;
        int r, rc;

        r = version_up(q, &version, err);
        if (r)
                return r;
        st = sg_sqlite_get(q, c->which, c->sql, err);
        if (!st)
                return -EIO;
        c->bind(st, c->what);
        sg_sqlite_bind_u64(st, c->version_at, version);
        r = sg_sqlite_run(q, st, "cannot change keys", err);
        rc = sqlite3_extended_errcode(q->db);
        if (r && rc == SQLITE_CONSTRAINT_UNIQUE)
                return SG_STORE_E_EXISTS;
        if (!r && sqlite3_changes(q->db) != 1)
                return SG_STORE_E_NONE;
        return r;
}

static int change(struct sg_sqlite *q, const struct change *c, struct sg_error *err)
{
        int r;

        r = sg_sqlite_begin(&q->store, err);
        if (r)
                return r;
        r = run_change(q, c, err);
        if (r) {
                sg_sqlite_rollback(&q->store);
                return r;
        }
        return sg_sqlite_commit(&q->store, err);
}

static void bind_add(sqlite3_stmt *st, const void *what)
{
        const struct sg_store_key *key = what;

        sg_sqlite_bind_text(st, 1, key->name);
        SG_ASSERT(sqlite3_bind_blob(st, 2, key->digest, sizeof(key->digest), SQLITE_STATIC) == SQLITE_OK);
        sg_sqlite_bind_text(st, 3, sg_str_from(key->prefix));
        if (key->models.n)
                sg_sqlite_bind_text(st, 4, key->models);
        sg_sqlite_bind_u64(st, 5, key->created_wall_usec);
        sg_sqlite_bind_u64(st, 6, key->expires_wall_usec);
}

int sg_sqlite_key_add(struct sg_store *s, const struct sg_store_key *key, uint64_t *ret_id, struct sg_error *err)
{
        struct sg_sqlite *q = (struct sg_sqlite *)s;
        const struct change c = {
                .which = STMT_KEY_ADD,
                .sql = "INSERT INTO api_key (name, digest, prefix, models, created_wall_usec, expires_wall_usec,"
                       " revoked_wall_usec, rotated_wall_usec, version) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, 0, ?7)",
                .version_at = 7,
                .bind = bind_add,
                .what = key,
        };
        int r = change(q, &c, err);

        if (!r)
                *ret_id = (uint64_t)sqlite3_last_insert_rowid(q->db);
        return r;
}

struct key_at {
        uint64_t id, wall_usec;
        const struct sg_store_key *key;
};

static void bind_revoke(sqlite3_stmt *st, const void *what)
{
        const struct key_at *at = what;

        sg_sqlite_bind_u64(st, 1, at->id);
        sg_sqlite_bind_u64(st, 2, at->wall_usec);
}

int sg_sqlite_key_revoke(struct sg_store *s, uint64_t id, uint64_t wall_usec, struct sg_error *err)
{
        const struct key_at at = {.id = id, .wall_usec = wall_usec};
        const struct change c = {
                .which = STMT_KEY_REVOKE,
                .sql = "UPDATE api_key SET revoked_wall_usec = ?2, version = ?3 WHERE id = ?1 AND revoked_wall_usec = "
                       "0",
                .version_at = 3,
                .bind = bind_revoke,
                .what = &at,
        };

        return change((struct sg_sqlite *)s, &c, err);
}

static void bind_rotate(sqlite3_stmt *st, const void *what)
{
        const struct key_at *at = what;

        sg_sqlite_bind_u64(st, 1, at->id);
        SG_ASSERT(sqlite3_bind_blob(st, 2, at->key->digest, sizeof(at->key->digest), SQLITE_STATIC) == SQLITE_OK);
        sg_sqlite_bind_text(st, 3, sg_str_from(at->key->prefix));
        sg_sqlite_bind_u64(st, 4, at->key->rotated_wall_usec);
}

int sg_sqlite_key_rotate(struct sg_store *s, uint64_t id, const struct sg_store_key *key, struct sg_error *err)
{
        const struct key_at at = {.id = id, .key = key};
        const struct change c = {
                .which = STMT_KEY_ROTATE,
                .sql = "UPDATE api_key SET digest = ?2, prefix = ?3, rotated_wall_usec = ?4, version = ?5"
                       " WHERE id = ?1 AND revoked_wall_usec = 0",
                .version_at = 5,
                .bind = bind_rotate,
                .what = &at,
        };

        return change((struct sg_sqlite *)s, &c, err);
}

/* ---- questions */

int sg_sqlite_key_find(struct sg_store *s, struct sg_str name, uint64_t *ret_id, bool *ret_is_revoked,
                       struct sg_error *err)
{
        struct sg_sqlite *q = (struct sg_sqlite *)s;
        sqlite3_stmt *st = sg_sqlite_get(q, STMT_KEY_FIND,
                                         "SELECT id, revoked_wall_usec <> 0 FROM api_key WHERE name = ?1"
                                         " ORDER BY revoked_wall_usec <> 0, revoked_wall_usec DESC, id DESC LIMIT 1",
                                         err);
        int r;

        if (!st)
                return -EIO;
        sg_sqlite_bind_text(st, 1, name);
        r = sg_sqlite_row(q, st, "cannot look up a key", err);
        if (r)
                return r;
        *ret_id = sg_sqlite_u64(st, 0);
        *ret_is_revoked = sg_sqlite_u64(st, 1) != 0;
        (void)sqlite3_reset(st);
        return 0;
}

static bool read_key(sqlite3_stmt *st, struct sg_store_key *ret)
{
        const void *digest = sqlite3_column_blob(st, 2);

        *ret = (struct sg_store_key){
                .id = sg_sqlite_u64(st, 0),
                .name = sg_sqlite_text(st, 1),
                .models = sg_sqlite_text(st, 4),
                .created_wall_usec = sg_sqlite_u64(st, 5),
                .expires_wall_usec = sg_sqlite_u64(st, 6),
                .revoked_wall_usec = sg_sqlite_u64(st, 7),
                .rotated_wall_usec = sg_sqlite_u64(st, 8),
                .version = sg_sqlite_u64(st, 9),
        };
        (void)snprintf(ret->prefix, sizeof(ret->prefix), SG_STR_FMT, SG_STR_ARG(sg_sqlite_text(st, 3)));
        if (sqlite3_column_bytes(st, 2) != (int)sizeof(ret->digest))
                return false;
        memcpy(ret->digest, digest, sizeof(ret->digest));
        return true;
}

int sg_sqlite_key_list(struct sg_store *s, uint64_t from_id, uint64_t limit, bool with_revoked,
                       void (*each)(const struct sg_store_key *key, void *owner), void *owner, struct sg_error *err)
{
        struct sg_sqlite *q = (struct sg_sqlite *)s;
        sqlite3_stmt *st =
                sg_sqlite_get(q, STMT_KEY_LIST,
                              "SELECT id, name, digest, prefix, models, created_wall_usec, expires_wall_usec,"
                              " revoked_wall_usec, rotated_wall_usec, version FROM api_key"
                              " WHERE id >= ?1 AND (?2 OR revoked_wall_usec = 0) ORDER BY id LIMIT ?3",
                              err);
        int r;

        if (!st)
                return -EIO;
        sg_sqlite_bind_u64(st, 1, from_id);
        sg_sqlite_bind_u64(st, 2, with_revoked);
        sg_sqlite_bind_u64(st, 3, limit);
        while ((r = sg_sqlite_row(q, st, "cannot list keys", err)) == 0) {
                struct sg_store_key key;

                if (read_key(st, &key))
                        each(&key, owner);
        }
        return r > 0 ? 0 : r;
}
