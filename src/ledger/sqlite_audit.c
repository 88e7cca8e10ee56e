/* Who changed what. */
#include <errno.h>

#include "ledger/sqlite.h"

int sg_sqlite_audit_add(struct sg_store *s, const struct sg_store_audit *entry, struct sg_error *err)
{
        struct sg_sqlite *q = (struct sg_sqlite *)s;
        sqlite3_stmt *st = sg_sqlite_get(q, STMT_AUDIT_ADD,
                                         "INSERT INTO audit (wall_usec, uid, pid, user, verb, subject, before, after)"
                                         " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                                         err);

        if (!st)
                return -EIO;
        sg_sqlite_bind_u64(st, 1, entry->wall_usec);
        sg_sqlite_bind_u64(st, 2, entry->uid);
        sg_sqlite_bind_u64(st, 3, entry->pid);
        sg_sqlite_bind_text(st, 4, entry->user);
        sg_sqlite_bind_text(st, 5, entry->verb);
        sg_sqlite_bind_text(st, 6, entry->subject);
        sg_sqlite_bind_text(st, 7, entry->before);
        sg_sqlite_bind_text(st, 8, entry->after);
        return sg_sqlite_run(q, st, "cannot write the audit log", err);
}

/* A pattern's letters before its *, or the whole name, which must then be as long. */
static const char list_sql[] = "SELECT id, wall_usec, uid, pid, user, verb, subject, before, after FROM audit"
                               " WHERE wall_usec >= ?1 AND wall_usec < ?2 AND substr(subject, 1, length(?3)) = ?3"
                               " AND (?4 OR length(subject) = length(?3)) ORDER BY wall_usec DESC, id DESC LIMIT ?5";

int sg_sqlite_audit_list(struct sg_store *s, uint64_t from_wall_usec, uint64_t to_wall_usec, struct sg_str subject,
                         uint64_t limit, void (*each)(const struct sg_store_audit *entry, void *owner), void *owner,
                         struct sg_error *err)
{
        struct sg_sqlite *q = (struct sg_sqlite *)s;
        sqlite3_stmt *st = sg_sqlite_get(q, STMT_AUDIT_LIST, list_sql, err);
        bool is_pattern = sg_store_cut_pattern(&subject);
        int r;

        if (!st)
                return -EIO;
        sg_sqlite_bind_u64(st, 1, from_wall_usec);
        sg_sqlite_bind_u64(st, 2, to_wall_usec);
        sg_sqlite_bind_text(st, 3, subject);
        sg_sqlite_bind_u64(st, 4, is_pattern);
        sg_sqlite_bind_u64(st, 5, limit);
        while ((r = sg_sqlite_row(q, st, "cannot read the audit log", err)) == 0) {
                const struct sg_store_audit entry = {
                        .id = sg_sqlite_u64(st, 0),
                        .wall_usec = sg_sqlite_u64(st, 1),
                        .uid = sg_sqlite_u64(st, 2),
                        .pid = sg_sqlite_u64(st, 3),
                        .user = sg_sqlite_text(st, 4),
                        .verb = sg_sqlite_text(st, 5),
                        .subject = sg_sqlite_text(st, 6),
                        .before = sg_sqlite_text(st, 7),
                        .after = sg_sqlite_text(st, 8),
                };

                each(&entry, owner);
        }
        return r > 0 ? 0 : r;
}
