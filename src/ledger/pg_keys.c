/* Keys. Each change, the version that it raises, and the word to other ledgers are one statement (SG_PG_CHANGE). */
#include <errno.h>
#include <stdio.h>

#include "ledger/pg.h"

/* ---- changes */

int sg_pg_change(struct sg_pg *q, const char *sql, const struct sg_pg_arguments *a, int nothing, uint64_t *ret_id,
                 struct sg_error *err)
{
        PGresult *res = NULL;
        int r = sg_pg_enter(q, err);

        if (!r)
                r = sg_pg_one(&q->link, sql, a, &res, "cannot change keys", err);
        if (r < 0 && !q->in_transaction && !q->link.conn)
                sg_error_prefix(err, "it is not known whether this was stored");
        if (r)
                return r > 0 ? nothing : r;
        if (ret_id)
                *ret_id = sg_pg_u64(res, 0);
        PQclear(res);
        return 0;
}

int sg_pg_key_add(struct sg_store *s, const struct sg_store_key *key, uint64_t *ret_id, struct sg_error *err)
{
        static const char sql[] = SG_PG_CHANGE("INSERT INTO scribe.api_key (name, digest, prefix, models, "
                                               "created_wall_usec, expires_wall_usec, group_id,"
                                               " limits, revoked_wall_usec, rotated_wall_usec, version)"
                                               " SELECT $1, $2, $3, $4, $5, $6, $7, $8, 0, 0, v.version FROM v ON "
                                               "CONFLICT DO NOTHING RETURNING id, version");
        struct sg_pg_arguments a = {0};

        sg_pg_give_text(&a, key->name);
        sg_pg_give_bytes(&a, key->digest, sizeof(key->digest));
        sg_pg_give_text(&a, sg_str_from(key->prefix));
        sg_pg_give_text_or_null(&a, key->models);
        sg_pg_give_u64(&a, key->created_wall_usec);
        sg_pg_give_u64(&a, key->expires_wall_usec);
        sg_pg_give_u64(&a, key->group_id);
        sg_pg_give_text_or_null(&a, key->limits);
        return sg_pg_change((struct sg_pg *)s, sql, &a, SG_STORE_E_EXISTS, ret_id, err);
}

int sg_pg_key_revoke(struct sg_store *s, uint64_t id, uint64_t wall_usec, struct sg_error *err)
{
        static const char sql[] =
                SG_PG_CHANGE("UPDATE scribe.api_key k SET revoked_wall_usec = $2, version = v.version FROM v"
                             " WHERE k.id = $1 AND k.revoked_wall_usec = 0 RETURNING k.id, k.version");
        struct sg_pg_arguments a = {0};

        sg_pg_give_u64(&a, id);
        sg_pg_give_u64(&a, wall_usec);
        return sg_pg_change((struct sg_pg *)s, sql, &a, SG_STORE_E_NONE, NULL, err);
}

int sg_pg_key_rotate(struct sg_store *s, uint64_t id, const struct sg_store_key *key, struct sg_error *err)
{
        static const char sql[] =
                SG_PG_CHANGE("UPDATE scribe.api_key k SET digest = $2, prefix = $3, rotated_wall_usec = $4, version = "
                             "v.version FROM v"
                             " WHERE k.id = $1 AND k.revoked_wall_usec = 0 RETURNING k.id, k.version");
        struct sg_pg_arguments a = {0};

        sg_pg_give_u64(&a, id);
        sg_pg_give_bytes(&a, key->digest, sizeof(key->digest));
        sg_pg_give_text(&a, sg_str_from(key->prefix));
        sg_pg_give_u64(&a, key->rotated_wall_usec);
        return sg_pg_change((struct sg_pg *)s, sql, &a, SG_STORE_E_NONE, NULL, err);
}

int sg_pg_key_change(struct sg_store *s, uint64_t id, const struct sg_store_key *key, struct sg_error *err)
{
        static const char sql[] = SG_PG_CHANGE(
                "UPDATE scribe.api_key k SET models = $2, expires_wall_usec = $3, group_id = $4, limits = $5,"
                " version = v.version FROM v WHERE k.id = $1 AND k.revoked_wall_usec = 0 RETURNING k.id, k.version");
        struct sg_pg_arguments a = {0};

        sg_pg_give_u64(&a, id);
        sg_pg_give_text_or_null(&a, key->models);
        sg_pg_give_u64(&a, key->expires_wall_usec);
        sg_pg_give_u64(&a, key->group_id);
        sg_pg_give_text_or_null(&a, key->limits);
        return sg_pg_change((struct sg_pg *)s, sql, &a, SG_STORE_E_NONE, NULL, err);
}

/* ---- questions */

int sg_pg_key_find(struct sg_store *s, struct sg_str name, uint64_t *ret_id, bool *ret_is_revoked, struct sg_error *err)
{
        struct sg_pg *q = (struct sg_pg *)s;
        struct sg_pg_arguments a = {0};
        PGresult *res = NULL;
        int r;

        sg_pg_give_text(&a, name);
        r = sg_pg_enter(q, err);
        if (!r)
                r = sg_pg_one(&q->link,
                              "SELECT id, revoked_wall_usec <> 0 FROM scribe.api_key WHERE name = $1"
                              " ORDER BY revoked_wall_usec <> 0, revoked_wall_usec DESC, id DESC LIMIT 1",
                              &a, &res, "cannot look up a key", err);
        if (r)
                return r;
        *ret_id = sg_pg_u64(res, 0);
        *ret_is_revoked = sg_pg_u64(res, 1) != 0;
        PQclear(res);
        return 0;
}

static bool read_key(const PGresult *res, struct sg_store_key *ret)
{
        struct sg_str digest = sg_pg_text(res, 2);

        *ret = (struct sg_store_key){
                .id = sg_pg_u64(res, 0),
                .name = sg_pg_text(res, 1),
                .models = sg_pg_text(res, 4),
                .created_wall_usec = sg_pg_u64(res, 5),
                .expires_wall_usec = sg_pg_u64(res, 6),
                .revoked_wall_usec = sg_pg_u64(res, 7),
                .rotated_wall_usec = sg_pg_u64(res, 8),
                .version = sg_pg_u64(res, 9),
                .group_id = sg_pg_u64(res, 10),
                .limits = sg_pg_text(res, 11),
                .group = sg_pg_text(res, 12),
        };
        (void)sg_str_copy(ret->prefix, sizeof(ret->prefix), sg_pg_text(res, 3));
        if (digest.n != sizeof(ret->digest))
                return false;
        memcpy(ret->digest, digest.p, sizeof(ret->digest));
        return true;
}

static int read_keys(struct sg_pg *q, const char *sql, const struct sg_pg_arguments *a,
                     void (*each)(const struct sg_store_key *key, void *owner), void *owner, struct sg_error *err)
{
        static const char doing[] = "cannot list keys";
        PGresult *res = NULL;
        int r = sg_pg_ask(&q->link, sql, a, doing, err);

        while (!r && (r = sg_pg_next(&q->link, &res, doing, err)) == 0) {
                struct sg_store_key key;

                if (read_key(res, &key))
                        each(&key, owner);
                PQclear(res);
        }
        return r > 0 ? 0 : r;
}

#define KEYS                                                                                                           \
        "SELECT k.id, k.name, k.digest, k.prefix, k.models, k.created_wall_usec, k.expires_wall_usec,"                 \
        " k.revoked_wall_usec, k.rotated_wall_usec, k.version, k.group_id, k.limits, g.name"                           \
        " FROM scribe.api_key k LEFT JOIN scribe.key_group g ON g.id = k.group_id"

#define SELECT(condition)                                                                                              \
        KEYS " WHERE k.id >= $1 AND ($2 OR k.revoked_wall_usec = 0) AND ($5 = 0 OR k.group_id = $5) AND " condition    \
             " ORDER BY k.id LIMIT $3"

int sg_pg_key_select(struct sg_store *s, const struct sg_store_key_filter *filter,
                     void (*each)(const struct sg_store_key *key, void *owner), void *owner, struct sg_error *err)
{
        struct sg_pg *q = (struct sg_pg *)s;
        struct sg_pg_arguments a = {0};
        struct sg_str name = filter->name;
        bool is_pattern = sg_store_cut_pattern(&name);
        int r;

        sg_pg_give_u64(&a, filter->from_id);
        sg_pg_give_bool(&a, filter->with_revoked);
        sg_pg_give_u64(&a, filter->limit);
        sg_pg_give_text(&a, name);
        sg_pg_give_u64(&a, filter->group_id);
        r = sg_pg_enter(q, err);
        if (r)
                return r;
        return read_keys(q, is_pattern ? SELECT("starts_with(k.name, $4)") : SELECT("k.name = $4"), &a, each, owner,
                         err);
}

#define VERSION "SELECT value FROM scribe.counter WHERE name = 'key_version'"

static int read_version(struct sg_pg *q, const char *sql, uint64_t *ret, struct sg_error *err)
{
        PGresult *res = NULL;
        int r = sg_pg_one(&q->link, sql, NULL, &res, "cannot read the keys' version", err);

        if (r > 0)
                return sg_error_set(err, -EUCLEAN, sg_pg_where(&q->link),
                                    "the database has lost the keys' version: restore a backup");
        if (r)
                return r;
        *ret = sg_pg_u64(res, 0);
        PQclear(res);
        return 0;
}

/* Whoever changes keys or groups raises their version: who holds its row is alone with them. Statements that come after it
 * see what was committed before (READ COMMITTED). */
int sg_pg_begin_change(struct sg_store *s, struct sg_error *err)
{
        struct sg_pg *q = (struct sg_pg *)s;
        uint64_t version;
        int r = sg_pg_begin(s, err);

        if (r)
                return r;
        r = sg_pg_enter(q, err);
        if (!r)
                r = read_version(q, VERSION " FOR UPDATE", &version, err);
        if (r)
                sg_pg_rollback(s);
        return r;
}

static int read_changes(struct sg_pg *q, uint64_t after_version,
                        void (*key)(const struct sg_store_key *key, void *owner),
                        void (*group)(const struct sg_store_group *group, void *owner), void *owner,
                        uint64_t *ret_version, struct sg_error *err)
{
        struct sg_pg_arguments a = {0};
        int r = read_version(q, VERSION, ret_version, err);

        sg_pg_give_u64(&a, after_version);
        if (!r && *ret_version > after_version)
                r = sg_pg_group_changes(q, after_version, group, owner, err);
        if (!r && *ret_version > after_version)
                r = read_keys(q, KEYS " WHERE k.version > $1 ORDER BY k.version", &a, key, owner, err);
        return r;
}

/* Of one state, that of *ret_version. Versions come in the order of commits: who raises one keeps the counter's row locked
 * until he has committed, so that nothing with a lower version appears later. */
int sg_pg_changes(struct sg_store *s, uint64_t after_version, void (*key)(const struct sg_store_key *key, void *owner),
                  void (*group)(const struct sg_store_group *group, void *owner), void *owner, uint64_t *ret_version,
                  struct sg_error *err)
{
        struct sg_pg *q = (struct sg_pg *)s;
        bool is_own = !q->in_transaction;
        int r = sg_pg_enter(q, err);

        if (!r && is_own)
                r = sg_pg_script(&q->link, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "cannot begin to read",
                                 err);
        if (!r)
                r = read_changes(q, after_version, key, group, owner, ret_version, err);
        if (is_own && q->link.conn && PQtransactionStatus(q->link.conn) != PQTRANS_IDLE &&
            sg_pg_script(&q->link, "ROLLBACK", "cannot end reading", NULL) != 0 && q->link.conn)
                sg_pg_drop(&q->link);
        return r;
}
