/* Keys. Each change and the version it raises are one transaction. */
#include <errno.h>
#include <stdio.h>

#include "ledger/sqlite.h"

/* ---- changes */

int sg_sqlite_key_version(struct sg_sqlite *q, uint64_t *ret, struct sg_error *err)
{
        sqlite3_stmt *st =
                sg_sqlite_get(q, STMT_VERSION_GET, "SELECT value FROM counter WHERE name = 'key_version'", err);
        int r;

        if (!st)
                return -EIO;
        r = sg_sqlite_row(q, st, "cannot read the keys' version", err);
        if (r > 0)
                return sg_error_set(err, -EUCLEAN, q->path,
                                    "the database has lost the keys' version: restore a backup");
        if (r)
                return r;
        *ret = sg_sqlite_u64(st, 0);
        (void)sqlite3_reset(st);
        return 0;
}

static int version_up(struct sg_sqlite *q, struct sg_error *err)
{
        sqlite3_stmt *st = sg_sqlite_get(q, STMT_VERSION_UP,
                                         "UPDATE counter SET value = value + 1 WHERE name = 'key_version'", err);

        return st ? sg_sqlite_run(q, st, "cannot change keys", err) : -EIO;
}

/* The version goes up last: a change that does not take place leaves nothing behind in the caller's transaction. */
static int run_change(struct sg_sqlite *q, const struct sg_sqlite_change *c, struct sg_error *err)
{
        uint64_t version = 0;
        sqlite3_stmt *st;
        int r, rc;

        r = sg_sqlite_key_version(q, &version, err);
        if (r)
                return r;
        st = sg_sqlite_get(q, c->which, c->sql, err);
        if (!st)
                return -EIO;
        c->bind(st, c->what);
        sg_sqlite_bind_u64(st, c->version_at, version + 1);
        r = sg_sqlite_run(q, st, "cannot change keys", err);
        rc = sqlite3_extended_errcode(q->db);
        if (r && rc == SQLITE_CONSTRAINT_UNIQUE)
                return SG_STORE_E_EXISTS;
        if (r)
                return r;
        return sqlite3_changes(q->db) == 1 ? version_up(q, err) : SG_STORE_E_NONE;
}

int sg_sqlite_change(struct sg_sqlite *q, const struct sg_sqlite_change *c, struct sg_error *err)
{
        int r;

        if (!sqlite3_get_autocommit(q->db))
                return run_change(q, c, err);
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
        sg_sqlite_bind_u64(st, 7, key->group_id);
        if (key->limits.n)
                sg_sqlite_bind_text(st, 8, key->limits);
}

int sg_sqlite_key_add(struct sg_store *s, const struct sg_store_key *key, uint64_t *ret_id, struct sg_error *err)
{
        struct sg_sqlite *q = (struct sg_sqlite *)s;
        const struct sg_sqlite_change c = {
                .which = STMT_KEY_ADD,
                .sql = "INSERT INTO api_key (name, digest, prefix, models, created_wall_usec, expires_wall_usec,"
                       " group_id, limits, revoked_wall_usec, rotated_wall_usec, version)"
                       " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, 0, ?9)",
                .version_at = 9,
                .bind = bind_add,
                .what = key,
        };
        int r = sg_sqlite_change(q, &c, err);

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
        const struct sg_sqlite_change c = {
                .which = STMT_KEY_REVOKE,
                .sql = "UPDATE api_key SET revoked_wall_usec = ?2, version = ?3 WHERE id = ?1 AND revoked_wall_usec = "
                       "0",
                .version_at = 3,
                .bind = bind_revoke,
                .what = &at,
        };

        return sg_sqlite_change((struct sg_sqlite *)s, &c, err);
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
        const struct sg_sqlite_change c = {
                .which = STMT_KEY_ROTATE,
                .sql = "UPDATE api_key SET digest = ?2, prefix = ?3, rotated_wall_usec = ?4, version = ?5"
                       " WHERE id = ?1 AND revoked_wall_usec = 0",
                .version_at = 5,
                .bind = bind_rotate,
                .what = &at,
        };

        return sg_sqlite_change((struct sg_sqlite *)s, &c, err);
}

static void bind_change(sqlite3_stmt *st, const void *what)
{
        const struct key_at *at = what;

        sg_sqlite_bind_u64(st, 1, at->id);
        if (at->key->models.n)
                sg_sqlite_bind_text(st, 2, at->key->models);
        sg_sqlite_bind_u64(st, 3, at->key->expires_wall_usec);
        sg_sqlite_bind_u64(st, 4, at->key->group_id);
        if (at->key->limits.n)
                sg_sqlite_bind_text(st, 5, at->key->limits);
}

int sg_sqlite_key_change(struct sg_store *s, uint64_t id, const struct sg_store_key *key, struct sg_error *err)
{
        const struct key_at at = {.id = id, .key = key};
        const struct sg_sqlite_change c = {
                .which = STMT_KEY_CHANGE,
                .sql = "UPDATE api_key SET models = ?2, expires_wall_usec = ?3, group_id = ?4, limits = ?5, version = "
                       "?6"
                       " WHERE id = ?1 AND revoked_wall_usec = 0",
                .version_at = 6,
                .bind = bind_change,
                .what = &at,
        };

        return sg_sqlite_change((struct sg_sqlite *)s, &c, err);
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
                .group_id = sg_sqlite_u64(st, 10),
                .limits = sg_sqlite_text(st, 11),
                .group = sg_sqlite_text(st, 12),
        };
        (void)snprintf(ret->prefix, sizeof(ret->prefix), SG_STR_FMT, SG_STR_ARG(sg_sqlite_text(st, 3)));
        if (sqlite3_column_bytes(st, 2) != (int)sizeof(ret->digest))
                return false;
        memcpy(ret->digest, digest, sizeof(ret->digest));
        return true;
}

static int read_keys(struct sg_sqlite *q, sqlite3_stmt *st, void (*each)(const struct sg_store_key *key, void *owner),
                     void *owner, struct sg_error *err)
{
        int r;

        while ((r = sg_sqlite_row(q, st, "cannot list keys", err)) == 0) {
                struct sg_store_key key;

                if (read_key(st, &key))
                        each(&key, owner);
        }
        return r > 0 ? 0 : r;
}

#define KEYS                                                                                                           \
        "SELECT k.id, k.name, k.digest, k.prefix, k.models, k.created_wall_usec, k.expires_wall_usec,"                 \
        " k.revoked_wall_usec, k.rotated_wall_usec, k.version, k.group_id, k.limits, g.name"                           \
        " FROM api_key k LEFT JOIN key_group g ON g.id = k.group_id"

#define SELECT(condition)                                                                                              \
        KEYS " WHERE k.id >= ?1 AND (?2 OR k.revoked_wall_usec = 0) AND " condition " ORDER BY k.id LIMIT ?3"

/* With conditions of their own an index answers for a whole name or a group; the beginning of a name is compared row by
 * row, in the order of ids: all pages together read the table once. */
#define BY_WHOLE_NAME 1
#define BY_GROUP      2
static const char *const select_sql[] = {
        [0] = SELECT("substr(k.name, 1, length(?4)) = ?4"),
        [BY_WHOLE_NAME] = SELECT("k.name = ?4"),
        [BY_GROUP] = SELECT("k.group_id = ?5 AND substr(k.name, 1, length(?4)) = ?4"),
        [BY_GROUP | BY_WHOLE_NAME] = SELECT("k.group_id = ?5 AND k.name = ?4"),
};

int sg_sqlite_key_select(struct sg_store *s, const struct sg_store_key_filter *filter,
                         void (*each)(const struct sg_store_key *key, void *owner), void *owner, struct sg_error *err)
{
        struct sg_sqlite *q = (struct sg_sqlite *)s;
        struct sg_str name = filter->name;
        int by = (sg_store_cut_pattern(&name) ? 0 : BY_WHOLE_NAME) | (filter->group_id ? BY_GROUP : 0);
        sqlite3_stmt *st = sg_sqlite_get(q, (enum sg_sqlite_stmt)(STMT_KEY_SELECT + by), select_sql[by], err);

        if (!st)
                return -EIO;
        sg_sqlite_bind_u64(st, 1, filter->from_id);
        sg_sqlite_bind_u64(st, 2, filter->with_revoked);
        sg_sqlite_bind_u64(st, 3, filter->limit);
        sg_sqlite_bind_text(st, 4, name);
        if (filter->group_id)
                sg_sqlite_bind_u64(st, 5, filter->group_id);
        return read_keys(q, st, each, owner, err);
}

static int key_changes(struct sg_sqlite *q, uint64_t after_version,
                       void (*each)(const struct sg_store_key *key, void *owner), void *owner, struct sg_error *err)
{
        sqlite3_stmt *st = sg_sqlite_get(q, STMT_KEY_CHANGES, KEYS " WHERE k.version > ?1 ORDER BY k.version", err);

        if (!st)
                return -EIO;
        sg_sqlite_bind_u64(st, 1, after_version);
        return read_keys(q, st, each, owner, err);
}

/* Of one state, that of *ret_version. */
int sg_sqlite_changes(struct sg_store *s, uint64_t after_version,
                      void (*key)(const struct sg_store_key *key, void *owner),
                      void (*group)(const struct sg_store_group *group, void *owner), void *owner,
                      uint64_t *ret_version, struct sg_error *err)
{
        struct sg_sqlite *q = (struct sg_sqlite *)s;
        bool is_own = sqlite3_get_autocommit(q->db) != 0;
        int r = is_own ? sg_sqlite_begin(s, err) : 0;

        if (r)
                return r;
        r = sg_sqlite_key_version(q, ret_version, err);
        if (!r)
                r = sg_sqlite_group_changes(q, after_version, group, owner, err);
        if (!r)
                r = key_changes(q, after_version, key, owner, err);
        if (is_own)
                sg_sqlite_rollback(s);
        return r;
}
