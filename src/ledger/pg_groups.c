/* Groups of keys. Each change and the keys' version that it raises are one statement (SG_PG_CHANGE). */
#include "ledger/pg.h"

#define COLUMNS "id, name, parent_id, limits, created_wall_usec, removed_wall_usec, version"

/* ---- changes */

int sg_pg_group_add(struct sg_store *s, const struct sg_store_group *group, uint64_t *ret_id, struct sg_error *err)
{
        static const char sql[] = SG_PG_CHANGE(
                "INSERT INTO scribe.key_group (name, parent_id, limits, created_wall_usec, removed_wall_usec, version)"
                " SELECT $1, $2, $3, $4, 0, v.version FROM v ON CONFLICT DO NOTHING RETURNING id, version");
        struct sg_pg_arguments a = {0};

        sg_pg_give_text(&a, group->name);
        sg_pg_give_u64(&a, group->parent_id);
        sg_pg_give_text_or_null(&a, group->limits);
        sg_pg_give_u64(&a, group->created_wall_usec);
        return sg_pg_change((struct sg_pg *)s, sql, &a, SG_STORE_E_EXISTS, ret_id, err);
}

int sg_pg_group_change(struct sg_store *s, uint64_t id, const struct sg_store_group *group, struct sg_error *err)
{
        static const char sql[] =
                SG_PG_CHANGE("UPDATE scribe.key_group g SET parent_id = $2, limits = $3, version = v.version FROM v"
                             " WHERE g.id = $1 AND g.removed_wall_usec = 0 RETURNING g.id, g.version");
        struct sg_pg_arguments a = {0};

        sg_pg_give_u64(&a, id);
        sg_pg_give_u64(&a, group->parent_id);
        sg_pg_give_text_or_null(&a, group->limits);
        return sg_pg_change((struct sg_pg *)s, sql, &a, SG_STORE_E_NONE, NULL, err);
}

int sg_pg_group_remove(struct sg_store *s, uint64_t id, uint64_t wall_usec, struct sg_error *err)
{
        static const char sql[] =
                SG_PG_CHANGE("UPDATE scribe.key_group g SET removed_wall_usec = $2, version = v.version FROM v"
                             " WHERE g.id = $1 AND g.removed_wall_usec = 0 RETURNING g.id, g.version");
        struct sg_pg_arguments a = {0};

        sg_pg_give_u64(&a, id);
        sg_pg_give_u64(&a, wall_usec);
        return sg_pg_change((struct sg_pg *)s, sql, &a, SG_STORE_E_NONE, NULL, err);
}

/* ---- questions */

int sg_pg_group_find(struct sg_store *s, struct sg_str name, uint64_t *ret_id, struct sg_error *err)
{
        struct sg_pg *q = (struct sg_pg *)s;
        struct sg_pg_arguments a = {0};
        PGresult *res = NULL;
        int r;

        sg_pg_give_text(&a, name);
        r = sg_pg_enter(q, err);
        if (!r)
                r = sg_pg_one(&q->link, "SELECT id FROM scribe.key_group WHERE name = $1 AND removed_wall_usec = 0", &a,
                              &res, "cannot look up a group", err);
        if (r)
                return r;
        *ret_id = sg_pg_u64(res, 0);
        PQclear(res);
        return 0;
}

static int read_groups(struct sg_pg *q, const char *sql, const struct sg_pg_arguments *a,
                       void (*each)(const struct sg_store_group *group, void *owner), void *owner, struct sg_error *err)
{
        static const char doing[] = "cannot list groups";
        PGresult *res = NULL;
        int r = sg_pg_ask(&q->link, sql, a, doing, err);

        while (!r && (r = sg_pg_next(&q->link, &res, doing, err)) == 0) {
                const struct sg_store_group group = {
                        .id = sg_pg_u64(res, 0),
                        .name = sg_pg_text(res, 1),
                        .parent_id = sg_pg_u64(res, 2),
                        .limits = sg_pg_text(res, 3),
                        .created_wall_usec = sg_pg_u64(res, 4),
                        .removed_wall_usec = sg_pg_u64(res, 5),
                        .version = sg_pg_u64(res, 6),
                        .n_keys = sg_pg_u64(res, 7),
                };

                each(&group, owner);
                PQclear(res);
        }
        return r > 0 ? 0 : r;
}

int sg_pg_group_list(struct sg_store *s, bool with_keys, void (*each)(const struct sg_store_group *group, void *owner),
                     void *owner, struct sg_error *err)
{
        struct sg_pg *q = (struct sg_pg *)s;
        struct sg_pg_arguments a = {0};
        int r = sg_pg_enter(q, err);

        sg_pg_give_bool(&a, with_keys);
        return r ? r
                 : read_groups(q,
                               "SELECT " COLUMNS ", CASE WHEN $1 THEN (SELECT count(*) FROM scribe.api_key k"
                               "  WHERE k.group_id = g.id AND k.revoked_wall_usec = 0) ELSE 0 END"
                               " FROM scribe.key_group g WHERE removed_wall_usec = 0 ORDER BY id",
                               &a, each, owner, err);
}

int sg_pg_group_changes(struct sg_pg *q, uint64_t after_version,
                        void (*each)(const struct sg_store_group *group, void *owner), void *owner,
                        struct sg_error *err)
{
        struct sg_pg_arguments a = {0};

        sg_pg_give_u64(&a, after_version);
        return read_groups(q, "SELECT " COLUMNS ", 0 FROM scribe.key_group WHERE version > $1 ORDER BY version", &a,
                           each, owner, err);
}
