/* Groups of keys. Each change and the keys' version that it raises are one transaction (sg_sqlite_change()). */
#include <errno.h>

#include "ledger/sqlite.h"

#define COLUMNS "id, name, parent_id, limits, created_wall_usec, removed_wall_usec, version"

struct group_at {
        uint64_t id, wall_usec;
        const struct sg_store_group *group;
};

/* ---- changes */

static void bind_add(sqlite3_stmt *st, const void *what)
{
        const struct sg_store_group *group = what;

        sg_sqlite_bind_text(st, 1, group->name);
        sg_sqlite_bind_u64(st, 2, group->parent_id);
        if (group->limits.n)
                sg_sqlite_bind_text(st, 3, group->limits);
        sg_sqlite_bind_u64(st, 4, group->created_wall_usec);
}

int sg_sqlite_group_add(struct sg_store *s, const struct sg_store_group *group, uint64_t *ret_id, struct sg_error *err)
{
        struct sg_sqlite *q = (struct sg_sqlite *)s;
        const struct sg_sqlite_change c = {
                .which = STMT_GROUP_ADD,
                .sql = "INSERT INTO key_group (name, parent_id, limits, created_wall_usec, removed_wall_usec, version)"
                       " VALUES (?1, ?2, ?3, ?4, 0, ?5)",
                .version_at = 5,
                .bind = bind_add,
                .what = group,
        };
        int r = sg_sqlite_change(q, &c, err);

        if (!r)
                *ret_id = (uint64_t)sqlite3_last_insert_rowid(q->db);
        return r;
}

static void bind_change(sqlite3_stmt *st, const void *what)
{
        const struct group_at *at = what;

        sg_sqlite_bind_u64(st, 1, at->id);
        sg_sqlite_bind_u64(st, 2, at->group->parent_id);
        if (at->group->limits.n)
                sg_sqlite_bind_text(st, 3, at->group->limits);
}

int sg_sqlite_group_change(struct sg_store *s, uint64_t id, const struct sg_store_group *group, struct sg_error *err)
{
        const struct group_at at = {.id = id, .group = group};
        const struct sg_sqlite_change c = {
                .which = STMT_GROUP_CHANGE,
                .sql = "UPDATE key_group SET parent_id = ?2, limits = ?3, version = ?4"
                       " WHERE id = ?1 AND removed_wall_usec = 0",
                .version_at = 4,
                .bind = bind_change,
                .what = &at,
        };

        return sg_sqlite_change((struct sg_sqlite *)s, &c, err);
}

static void bind_remove(sqlite3_stmt *st, const void *what)
{
        const struct group_at *at = what;

        sg_sqlite_bind_u64(st, 1, at->id);
        sg_sqlite_bind_u64(st, 2, at->wall_usec);
}

int sg_sqlite_group_remove(struct sg_store *s, uint64_t id, uint64_t wall_usec, struct sg_error *err)
{
        const struct group_at at = {.id = id, .wall_usec = wall_usec};
        const struct sg_sqlite_change c = {
                .which = STMT_GROUP_REMOVE,
                .sql = "UPDATE key_group SET removed_wall_usec = ?2, version = ?3"
                       " WHERE id = ?1 AND removed_wall_usec = 0",
                .version_at = 3,
                .bind = bind_remove,
                .what = &at,
        };

        return sg_sqlite_change((struct sg_sqlite *)s, &c, err);
}

/* ---- questions */

int sg_sqlite_group_find(struct sg_store *s, struct sg_str name, uint64_t *ret_id, struct sg_error *err)
{
        struct sg_sqlite *q = (struct sg_sqlite *)s;
        sqlite3_stmt *st = sg_sqlite_get(q, STMT_GROUP_FIND,
                                         "SELECT id FROM key_group WHERE name = ?1 AND removed_wall_usec = 0", err);
        int r;

        if (!st)
                return -EIO;
        sg_sqlite_bind_text(st, 1, name);
        r = sg_sqlite_row(q, st, "cannot look up a group", err);
        if (r)
                return r;
        *ret_id = sg_sqlite_u64(st, 0);
        (void)sqlite3_reset(st);
        return 0;
}

static int read_groups(struct sg_sqlite *q, sqlite3_stmt *st,
                       void (*each)(const struct sg_store_group *group, void *owner), void *owner, struct sg_error *err)
{
        int r;

        while ((r = sg_sqlite_row(q, st, "cannot list groups", err)) == 0) {
                const struct sg_store_group group = {
                        .id = sg_sqlite_u64(st, 0),
                        .name = sg_sqlite_text(st, 1),
                        .parent_id = sg_sqlite_u64(st, 2),
                        .limits = sg_sqlite_text(st, 3),
                        .created_wall_usec = sg_sqlite_u64(st, 4),
                        .removed_wall_usec = sg_sqlite_u64(st, 5),
                        .version = sg_sqlite_u64(st, 6),
                        .n_keys = sg_sqlite_u64(st, 7),
                };

                each(&group, owner);
        }
        return r > 0 ? 0 : r;
}

int sg_sqlite_group_list(struct sg_store *s, bool with_keys,
                         void (*each)(const struct sg_store_group *group, void *owner), void *owner,
                         struct sg_error *err)
{
        struct sg_sqlite *q = (struct sg_sqlite *)s;
        /* CASE: what it counts is not looked at when it is not wanted. */
        sqlite3_stmt *st = sg_sqlite_get(q, STMT_GROUP_LIST,
                                         "SELECT " COLUMNS ", CASE WHEN ?1 THEN (SELECT count(*) FROM api_key k"
                                         "  WHERE k.group_id = g.id AND k.revoked_wall_usec = 0) ELSE 0 END"
                                         " FROM key_group g WHERE removed_wall_usec = 0 ORDER BY id",
                                         err);

        if (!st)
                return -EIO;
        sg_sqlite_bind_u64(st, 1, with_keys);
        return read_groups(q, st, each, owner, err);
}

int sg_sqlite_group_changes(struct sg_sqlite *q, uint64_t after_version,
                            void (*each)(const struct sg_store_group *group, void *owner), void *owner,
                            struct sg_error *err)
{
        sqlite3_stmt *st = sg_sqlite_get(
                q, STMT_GROUP_CHANGES, "SELECT " COLUMNS ", 0 FROM key_group WHERE version > ?1 ORDER BY version", err);

        if (!st)
                return -EIO;
        sg_sqlite_bind_u64(st, 1, after_version);
        return read_groups(q, st, each, owner, err);
}
