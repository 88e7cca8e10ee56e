/* Who changed what. */
#include "ledger/pg.h"

int sg_pg_audit_add(struct sg_store *s, const struct sg_store_audit *entry, struct sg_error *err)
{
        struct sg_pg *q = (struct sg_pg *)s;
        struct sg_pg_arguments a = {0};
        int r;

        sg_pg_give_u64(&a, entry->wall_usec);
        sg_pg_give_u64(&a, entry->uid);
        sg_pg_give_u64(&a, entry->pid);
        sg_pg_give_text(&a, entry->user);
        sg_pg_give_text(&a, entry->verb);
        sg_pg_give_text(&a, entry->subject);
        sg_pg_give_text(&a, entry->before);
        sg_pg_give_text(&a, entry->after);
        r = sg_pg_enter(q, err);
        return r ? r
                 : sg_pg_run(&q->link,
                             "INSERT INTO scribe.audit (wall_usec, uid, pid, user_name, verb, subject, before, after)"
                             " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                             &a, NULL, "cannot write the audit log", err);
}

/* A pattern's letters before its *, or the whole name. */
static const char list_sql[] =
        "SELECT id, wall_usec, uid, pid, user_name, verb, subject, before, after FROM scribe.audit"
        " WHERE wall_usec >= $1 AND wall_usec < $2 AND starts_with(subject, $3) AND ($4 OR subject = $3)"
        " ORDER BY wall_usec DESC, id DESC LIMIT $5";

int sg_pg_audit_list(struct sg_store *s, uint64_t from_wall_usec, uint64_t to_wall_usec, struct sg_str subject,
                     uint64_t limit, void (*each)(const struct sg_store_audit *entry, void *owner), void *owner,
                     struct sg_error *err)
{
        static const char doing[] = "cannot read the audit log";
        struct sg_pg *q = (struct sg_pg *)s;
        bool is_pattern = sg_store_cut_pattern(&subject);
        struct sg_pg_arguments a = {0};
        PGresult *res = NULL;
        int r;

        sg_pg_give_u64(&a, from_wall_usec);
        sg_pg_give_u64(&a, to_wall_usec);
        sg_pg_give_text(&a, subject);
        sg_pg_give_bool(&a, is_pattern);
        sg_pg_give_u64(&a, limit);
        r = sg_pg_enter(q, err);
        if (!r)
                r = sg_pg_ask(&q->link, list_sql, &a, doing, err);
        while (!r && (r = sg_pg_next(&q->link, &res, doing, err)) == 0) {
                const struct sg_store_audit entry = {
                        .id = sg_pg_u64(res, 0),
                        .wall_usec = sg_pg_u64(res, 1),
                        .uid = sg_pg_u64(res, 2),
                        .pid = sg_pg_u64(res, 3),
                        .user = sg_pg_text(res, 4),
                        .verb = sg_pg_text(res, 5),
                        .subject = sg_pg_text(res, 6),
                        .before = sg_pg_text(res, 7),
                        .after = sg_pg_text(res, 8),
                };

                each(&entry, owner);
                PQclear(res);
        }
        return r > 0 ? 0 : r;
}
