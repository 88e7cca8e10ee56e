/*
 * The copy that is made before the schema changes: the way back when the new version is not wanted after all. A step of
 * the schema is one transaction and either happens or does not; what no transaction undoes is a newer version that has
 * done its work for a day.
 *
 * The file is named by the first step that had not been made when it was copied: ledger.db.before-3 has schema 2. A
 * version that knows schemas up to N can use any that is named N + 1 or less. It is written aside, synced and only then
 * given its name: whatever has the name is whole, and replaces an older one of the same number.
 *
 * Pages are copied as they are (sqlite3_backup) rather than written anew (VACUUM INTO): how much room it will take is
 * known before. 460 MB were copied and synced in 0.8 to 2 s.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "ledger/sqlite.h"

/* What must be left on the disk beside the copy: the journal of the gateway grows on the same one, and the migration
 * needs some, too. */
#define ROOM_LEFT_BYTES (UINT64_C(16) << 20)
#define MIB             (UINT64_C(1) << 20)

bool sg_sqlite_find_backup(const char *path, int known, char *out, size_t out_bytes)
{
        for (int before = known + 1; before > 1; before--) {
                int n = snprintf(out, out_bytes, "%s.before-%d", path, before);

                if (n > 0 && (size_t)n < out_bytes && access(out, F_OK) == 0)
                        return true;
        }
        return false;
}

int sg_sqlite_open_directory(const char *path)
{
        char dir[4096];
        const char *slash = strrchr(path, '/');
        int n, fd;

        n = snprintf(dir, sizeof(dir), "%.*s", slash ? (int)SG_MAX(slash - path, (ptrdiff_t)1) : 1, slash ? path : ".");
        if (n < 0 || (size_t)n >= sizeof(dir))
                return -ENAMETOOLONG;
        fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

static int ask_number(sqlite3 *db, const char *sql, uint64_t *ret)
{
        sqlite3_stmt *st = NULL;
        int rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);

        if (rc == SQLITE_OK)
                rc = sqlite3_step(st);
        if (rc == SQLITE_ROW)
                *ret = sg_sqlite_u64(st, 0);
        (void)sqlite3_finalize(st);
        return rc == SQLITE_ROW ? 0 : -EIO;
}

/* Better said before than found at the end, with a disk that everything else here fills, too. */
static int check_room(sqlite3 *db, const char *name, int dir_fd, struct sg_error *err)
{
        uint64_t n_pages = 0, page_bytes = 0, need, room;
        struct statvfs st;

        if (fstatvfs(dir_fd, &st) < 0 || ask_number(db, "PRAGMA page_count", &n_pages) ||
            ask_number(db, "PRAGMA page_size", &page_bytes))
                return 0; /* the copy itself will tell */
        need = n_pages * page_bytes + ROOM_LEFT_BYTES;
        room = (uint64_t)st.f_bavail * st.f_frsize;
        if (room >= need)
                return 0;
        return sg_error_set(err, -ENOSPC, name,
                            "the disk is full: the backup before the migration of the schema needs %" PRIu64
                            " MiB, %" PRIu64 " MiB are free: free some space; the database was not changed",
                            need / MIB + 1, room / MIB);
}

int sg_sqlite_copy_pages(sqlite3 *from, const char *part, const char *doing, struct sg_error *err)
{
        sqlite3 *to = NULL;
        sqlite3_backup *b = NULL;
        int rc, r = 0;

        rc = sqlite3_open_v2(part, &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
        /* Half a copy is thrown away, and a whole one is synced as a file. */
        if (rc == SQLITE_OK)
                rc = sqlite3_exec(to, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF", NULL, NULL, NULL);
        if (rc == SQLITE_OK) {
                b = sqlite3_backup_init(to, "main", from, "main");
                rc = b ? sqlite3_backup_step(b, -1) : sqlite3_errcode(to);
                (void)sqlite3_backup_finish(b);
        }
        /* One file that can be looked into without another appearing beside it; the ledger makes it WAL again. */
        if (rc == SQLITE_DONE)
                rc = sqlite3_exec(to, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL);
        if (rc != SQLITE_OK)
                r = sg_sqlite_fail(to, rc, part, doing, err);
        (void)sqlite3_close(to);
        return r;
}

static int copy_durably(sqlite3 *db, const char *part, const char *name, int dir_fd, struct sg_error *err)
{
        int fd, r;

        (void)unlink(part);
        fd = open(part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0) {
                r = -errno;
                return sg_error_set(err, r, part, "cannot make the backup before the migration of the schema: %s",
                                    strerror(-r));
        }
        r = sg_sqlite_copy_pages(db, part, "cannot make the backup before the migration of the schema", err);
        if (!r && (fsync(fd) < 0 || rename(part, name) < 0 || fsync(dir_fd) < 0)) {
                r = -errno;
                r = sg_error_set(err, r, name, "cannot write the backup before the migration of the schema: %s",
                                 strerror(-r));
        }
        (void)close(fd);
        if (r)
                (void)unlink(part);
        return r;
}

int sg_sqlite_backup(sqlite3 *db, const char *path, int before, struct sg_error *err)
{
        char name[4096], part[4096 + 8];
        int n, dir_fd, r;

        n = snprintf(name, sizeof(name), "%s.before-%d", path, before);
        if (n < 0 || (size_t)n >= sizeof(name))
                return sg_error_set(err, -ENAMETOOLONG, path, "the path is too long");
        (void)snprintf(part, sizeof(part), "%s.part", name);
        dir_fd = sg_sqlite_open_directory(path);
        if (dir_fd < 0)
                return sg_error_set(err, dir_fd, path, "cannot open its directory: %s", strerror(-dir_fd));
        r = check_room(db, name, dir_fd, err);
        if (!r)
                r = copy_durably(db, part, name, dir_fd, err);
        (void)close(dir_fd);
        return r;
}
