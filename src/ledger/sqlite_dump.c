/* The database as one file, while it is being written to; and the way back. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ledger/sqlite.h"
#include "ledger/sqlite_lock.h"

#define PATH_BYTES 4096
#define KEPT       ".before-restore"

/* ---- dump */

static int make_empty(const char *path, struct sg_error *err)
{
        int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600), r;

        if (fd < 0) {
                r = -errno;
                return sg_error_set(err, r, path, "cannot make the backup: %s", strerror(-r));
        }
        (void)close(fd);
        return 0;
}

/* All of it in one transaction that reads: the ledger writes on meanwhile, and the counts are those of the copy. */
int sg_sqlite_dump(const struct sg_store_options *options, const char *where, const char *path,
                   struct sg_store_counts *ret, struct sg_error *err)
{
        SG_AUTO(sg_store_free) struct sg_store *s = NULL;
        int r;

        r = sg_sqlite_driver.open_reader(&s, options, where, err);
        if (!r)
                r = make_empty(path, err);
        if (!r)
                r = sg_sqlite_begin(s, err);
        if (r)
                return r;
        r = sg_sqlite_driver.count(s, 0, ret, err);
        if (!r)
                r = sg_sqlite_copy_pages(((struct sg_sqlite *)s)->db, path, "cannot make the backup", err);
        sg_sqlite_rollback(s);
        return r;
}

/* ---- load */

static int fail(struct sg_error *err, const char *path, const char *doing)
{
        int r = -errno;

        return sg_error_set(err, r, path, "%s: %s", doing, strerror(-r));
}

static int check_whole(sqlite3 *db, const char *path, struct sg_error *err)
{
        sqlite3_stmt *st = NULL;
        int rc, r = 0;

        rc = sqlite3_prepare_v2(db, "PRAGMA integrity_check(1)", -1, &st, NULL);
        if (rc == SQLITE_OK)
                rc = sqlite3_step(st);
        if (rc != SQLITE_ROW)
                r = sg_sqlite_fail(db, rc, path, "cannot check the backup", err);
        else if (strcmp((const char *)sqlite3_column_text(st, 0), "ok") != 0)
                r = sg_error_set(err, -EUCLEAN, path, "the database in the backup is damaged (%s): take another",
                                 (const char *)sqlite3_column_text(st, 0));
        (void)sqlite3_finalize(st);
        return r;
}

static int check_database(const char *path, struct sg_error *err)
{
        sqlite3 *db = NULL;
        int rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
        int r;

        r = rc == SQLITE_OK ? 0 : sg_sqlite_fail(db, rc, path, "cannot open the backup's database", err);
        if (!r)
                r = sg_sqlite_migrate(db, path, sg_sqlite_migrations, SG_SCHEMA_VERSION, true, err);
        if (!r)
                r = check_whole(db, path, err);
        (void)sqlite3_close(db);
        return r;
}

/* The service's user, also when root restores: who has the database now, or else its directory. */
static int give_away(const char *path, const char *like, const char *file, struct sg_error *err)
{
        char dir[PATH_BYTES];
        const char *slash = strrchr(path, '/');
        struct stat st;

        (void)snprintf(dir, sizeof(dir), "%.*s", slash ? (int)SG_MAX(slash - path, (ptrdiff_t)1) : 1,
                       slash ? path : ".");
        if (geteuid() != 0)
                return 0;
        if (stat(like, &st) < 0 && stat(dir, &st) < 0)
                return fail(err, dir, "cannot look at it");
        return lchown(file, st.st_uid, st.st_gid) < 0 ? fail(err, file, "cannot give it to the service's user") : 0;
}

/* PATH and what SQLite has beside it, under its new name, so that it can be opened there as it was. */
static int keep_old(const char *path, struct sg_error *err)
{
        static const char *const suffixes[] = {"-wal", ""}; /* without its database a log is of no use to anybody */
        char old[PATH_BYTES], kept[PATH_BYTES];

        (void)snprintf(kept, sizeof(kept), "%s" KEPT, path);
        if (access(kept, F_OK) == 0)
                return sg_error_set(err, -EEXIST, kept, "this is left of an earlier restore: move it away first");
        for (size_t i = 0; i < SG_N_ELEMENTS(suffixes); i++) {
                (void)snprintf(old, sizeof(old), "%s%s", path, suffixes[i]);
                (void)snprintf(kept, sizeof(kept), "%s" KEPT "%s", path, suffixes[i]);
                if (rename(old, kept) < 0 && errno != ENOENT)
                        return fail(err, old, "cannot move the old database away");
        }
        (void)snprintf(old, sizeof(old), "%s-shm", path);
        if (unlink(old) < 0 && errno != ENOENT)
                return fail(err, old, "cannot remove it");
        return 0;
}

static int sync_directory(const char *path, struct sg_error *err)
{
        int fd = sg_sqlite_open_directory(path), r = 0;

        if (fd < 0)
                return sg_error_set(err, fd, path, "cannot open its directory: %s", strerror(-fd));
        if (fsync(fd) < 0)
                r = fail(err, path, "cannot sync its directory");
        (void)close(fd);
        return r;
}

static int replace(const char *where, const char *from, struct sg_error *err)
{
        char lock[PATH_BYTES];
        int r;

        (void)snprintf(lock, sizeof(lock), "%s.lock", where);
        r = check_database(from, err);
        if (!r)
                r = give_away(where, where, from, err);
        if (!r)
                r = give_away(where, where, lock, err);
        if (!r)
                r = keep_old(where, err);
        if (!r && rename(from, where) < 0)
                r = fail(err, where, "cannot put the database in its place");
        return r ? r : sync_directory(where, err);
}

int sg_sqlite_load(const struct sg_store_options *options, const char *where, const char *from, struct sg_error *err)
{
        struct sg_sqlite_lock *lock = NULL;
        int r;

        if (strlen(where) + sizeof(KEPT "-wal") > PATH_BYTES)
                return sg_error_set(err, -ENAMETOOLONG, where, "the path is too long");
        r = sg_sqlite_lock_take(&lock, where, err);
        if (r)
                return r;
        r = replace(where, from, err);
        sg_sqlite_lock_drop(lock);
        return r;
}
