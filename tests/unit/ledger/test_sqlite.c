/* What is SQLite's own: one file, one ledger, what else may be in the file, locks and full disks. */
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/wait.h>

#include "common.h"

#include "ledger/sqlite.h"

#define RING "0123456789abcdef0123456789abcdef"

/* ---- opening */

static void test_the_database_is_its_owners_only(void **state)
{
        struct stat st;

        sg_store_free(open_store());
        assert_int_equal(stat(db_path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
}

static void refuse(int code, const char *text)
{
        struct sg_store *s = NULL;
        struct sg_error err = {0};

        assert_int_equal(open_url(&s, db_url, &err), code);
        assert_null(s);
        if (!strstr(err.text, text))
                print_error("\"%s\" is not in \"%s\"\n", text, err.text);
        assert_non_null(strstr(err.text, text));
}

/* Another process: what it is told when it opens the database while this one has it. */
static void test_a_second_ledger_is_refused(void **state)
{
        int go[2], status;
        struct sg_store *s;
        char pid[32];
        pid_t child;

        (void)snprintf(pid, sizeof(pid), "(process %d)", (int)getpid());
        assert_int_equal(pipe(go), 0);
        child = fork(); /* before: a lock would be inherited */
        assert_true(child >= 0);
        if (child == 0) {
                struct sg_error err = {0};
                char byte;

                s = NULL;
                if (read(go[0], &byte, 1) != 1 || open_url(&s, db_url, &err) != -EBUSY || !strstr(err.text, pid) ||
                    !strstr(err.text, "stop it first"))
                        _exit(1);
                _exit(0);
        }
        s = open_store();
        assert_int_equal(write(go[1], "x", 1), 1);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        close(go[0]);
        close(go[1]);
        sg_store_free(s);
        sg_store_free(open_store());
}

/* The threads of one ledger have a store each; they write one after the other, and see what the others wrote. */
static void test_one_process_may_have_several_stores(void **state)
{
        struct sg_store *a = open_store(), *b = open_store();
        struct sg_record rec = sample(1);

        assert_int_equal(sg_store_begin(a, NULL), 0);
        assert_int_equal(sg_store_usage_add(a, "r", &rec, NULL), 0);
        assert_int_equal(total(b).n_requests, 0);
        assert_int_equal(sg_store_commit(a, NULL), 0);
        assert_int_equal(total(b).n_requests, 1);
        sg_store_free(a); /* the lock stays with the other */
        assert_int_equal(sg_store_begin(b, NULL), 0);
        sg_store_rollback(b);
        assert_int_equal(sg_store_begin(b, NULL), 0);
        assert_int_equal(sg_store_usage_add(b, "r", &rec, NULL), 0);
        assert_int_equal(sg_store_commit(b, NULL), 0);
        assert_int_equal(total(b).n_requests, 2);
        sg_store_free(b);
}

static void run_sql(const char *sql)
{
        sqlite3 *db;

        assert_int_equal(sqlite3_open(db_path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(db);
}

/* SQLite's own locks are POSIX locks, which a close() of any descriptor of the file would drop: another program that comes and goes
 * would remove the log under this one's feet. A child asks, as locks of one's own are never in one's way. */
static void test_a_further_store_drops_no_lock_of_the_first(void **state)
{
        struct sg_store *s = open_store(), *more = open_store();
        int status;
        pid_t child = fork();

        assert_true(child >= 0);
        if (child == 0) {
                struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0x40000002, .l_len = 510};
                int fd = open(db_path, O_RDWR | O_CLOEXEC);

                _exit(fd >= 0 && fcntl(fd, F_GETLK, &l) == 0 && l.l_type != F_UNLCK && l.l_pid == getppid() ? 0 : 1);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        sg_store_free(more);
        sg_store_free(s);
}

static void test_a_newer_schema_is_refused_with_both_versions(void **state)
{
        char both[100];

        sg_store_free(open_store());
        run_sql("INSERT INTO schema_version VALUES (77, 0)");
        (void)snprintf(both, sizeof(both), "schema version 77, this program knows versions up to %d",
                       SG_SCHEMA_VERSION);
        refuse(-ENOTSUP, both);
        refuse(-ENOTSUP, "restore a backup");
        assert_int_equal(check_url(db_url, NULL), -ENOTSUP);
}

static void test_a_foreign_database_is_left_as_it_is(void **state)
{
        struct stat before, after;

        run_sql("CREATE TABLE recipes (name TEXT)");
        assert_int_equal(stat(db_path, &before), 0);
        refuse(-EMEDIUMTYPE, "belongs to another program");
        assert_int_equal(check_url(db_url, NULL), -EMEDIUMTYPE);
        assert_int_equal(stat(db_path, &after), 0);
        assert_int_equal(before.st_size, after.st_size);
        assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
}

static void write_file(const char *path, const char *text)
{
        FILE *f = fopen(path, "w");

        assert_non_null(f);
        assert_true(fputs(text, f) >= 0);
        assert_int_equal(fclose(f), 0);
}

static void test_what_is_no_database_is_refused(void **state)
{
        struct sg_store *s = NULL;
        struct sg_error err = {0};

        write_file(db_path,
                   "This is a text that somebody wrote, long enough for the header of a database, and then some more.");
        refuse(-EMEDIUMTYPE, "no SQLite database");
        assert_int_equal(open_url(&s, "mysql:x", &err), -EINVAL);
        assert_non_null(strstr(err.text, "sqlite:"));
        assert_int_equal(open_url(&s, "sqlite:", &err), -EINVAL);
        assert_int_equal(open_url(&s, "nothing", &err), -EINVAL);
}

static void test_a_missing_directory_is_named(void **state)
{
        struct sg_store *s = NULL;
        struct sg_error err = {0};
        char url[400];

        (void)snprintf(url, sizeof(url), "sqlite:%s/none/ledger.db", test_dir);
        assert_int_equal(open_url(&s, url, &err), -ENOENT);
        assert_non_null(strstr(err.text, "must exist"));
        assert_int_equal(check_url(url, &err), -ENOENT);
}

static void test_check_changes_nothing(void **state)
{
        assert_int_equal(check_url(db_url, NULL), 0);
        assert_int_equal(access(db_path, F_OK), -1);
        sg_store_free(open_store());
        assert_int_equal(check_url(db_url, NULL), 0);
}

static void test_a_locked_database_is_busy_and_nothing_is_changed(void **state)
{
        struct sg_store *s = open_store();
        struct sg_store_key key = {.name = SG_STR("a"), .prefix = "sk-AbCd", .created_wall_usec = 10};
        struct sg_error err = {0};
        sqlite3 *db;
        uint64_t id;

        assert_int_equal(sqlite3_open(db_path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(sg_store_begin(s, &err), -EBUSY);
        assert_non_null(strstr(err.text, "another program"));
        assert_int_equal(sg_store_key_add(s, &key, &id, &err), -EBUSY);
        assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(db);
        assert_int_equal(sg_store_key_add(s, &key, &id, &err), 0);
        sg_store_free(s);
}

static void test_a_full_database_says_so_and_recovers(void **state)
{
        struct sg_store *s = open_store();
        struct sg_sqlite *q = (struct sg_sqlite *)s;
        struct sg_error err = {0};
        struct sg_record rec = sample(1);
        int r = 0;

        assert_int_equal(sqlite3_exec(q->db, "PRAGMA max_page_count = 20", NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(sg_store_begin(s, NULL), 0);
        for (int i = 0; i < 10000 && !r; i++)
                r = sg_store_usage_add(s, RING, &rec, &err);
        assert_int_equal(r, -ENOSPC);
        assert_non_null(strstr(err.text, "disk is full"));
        sg_store_rollback(s);
        assert_int_equal(total(s).n_requests, 0);
        assert_int_equal(sqlite3_exec(q->db, "PRAGMA max_page_count = 100000", NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(sg_store_usage_add(s, RING, &rec, &err), 0);
        sg_store_free(s);
}

/* ---- migrations */

static void test_migrations_apply_once_and_each_whole(void **state)
{
        static const struct sg_migration good[] = {
                {1, "CREATE TABLE schema_version (version INTEGER PRIMARY KEY, applied_wall_usec INTEGER);"
                    "CREATE TABLE a (x INTEGER)"},
                {2, "INSERT INTO a VALUES (1); CREATE TABLE b (y INTEGER)"},
        };
        static const struct sg_migration bad[] = {
                {1, "not run again"},
                {2, "not run again"},
                {3, "INSERT INTO a VALUES (2); this is no SQL"},
        };
        struct sg_error err = {0};
        sqlite3_stmt *st;
        sqlite3 *db;

        assert_int_equal(sqlite3_open(db_path, &db), SQLITE_OK);
        assert_int_equal(sg_sqlite_migrate(db, db_path, good, 1, false, &err), 0);
        assert_int_equal(sg_sqlite_migrate(db, db_path, good, 2, false, &err), 0);
        assert_int_equal(sg_sqlite_migrate(db, db_path, good, 2, false, &err), 0);
        assert_true(sg_sqlite_migrate(db, db_path, bad, 3, false, &err) < 0);
        assert_non_null(strstr(err.text, "schema"));
        /* Nothing of the third, all of the second once. */
        assert_int_equal(sqlite3_prepare_v2(db, "SELECT (SELECT sum(x) FROM a), max(version) FROM schema_version", -1,
                                            &st, NULL),
                         SQLITE_OK);
        assert_int_equal(sqlite3_step(st), SQLITE_ROW);
        assert_int_equal(sqlite3_column_int(st, 0), 1);
        assert_int_equal(sqlite3_column_int(st, 1), 2);
        sqlite3_finalize(st);
        assert_int_equal(sg_sqlite_migrate(db, db_path, good, 1, false, &err), -ENOTSUP);
        sqlite3_close(db);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, test_setup, test_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_the_database_is_its_owners_only),
                TEST(test_a_second_ledger_is_refused),
                TEST(test_one_process_may_have_several_stores),
                TEST(test_a_further_store_drops_no_lock_of_the_first),
                TEST(test_a_newer_schema_is_refused_with_both_versions),
                TEST(test_a_foreign_database_is_left_as_it_is),
                TEST(test_what_is_no_database_is_refused),
                TEST(test_a_missing_directory_is_named),
                TEST(test_check_changes_nothing),
                TEST(test_a_locked_database_is_busy_and_nothing_is_changed),
                TEST(test_a_full_database_says_so_and_recovers),
                TEST(test_migrations_apply_once_and_each_whole),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
