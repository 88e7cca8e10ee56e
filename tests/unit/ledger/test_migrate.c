/* Migrations of a made-up schema: the backup before them, the version in the file's header, the refusal of a newer one. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "common.h"

#include "../skip.h"
#include "base/message_id.h"
#include "ledger/sqlite.h"

static const struct sg_migration steps[] = {
        {1, "CREATE TABLE schema_version (version INTEGER PRIMARY KEY, applied_wall_usec INTEGER);"
            "CREATE TABLE a (x INTEGER)"},
        {2, "CREATE TABLE b (y INTEGER)"},
        {3, "CREATE TABLE c (z INTEGER)"},
};
static const struct sg_migration broken[] = {
        {1, "not run again"},
        {2, "CREATE TABLE b (y INTEGER); this is no SQL"},
};

static sqlite3 *db;

static int setup(void **state)
{
        int r = test_setup(state);

        if (!r)
                r = sqlite3_open(db_path, &db);
        /* As the ledger has it: then the header of the file is not simply the last commit's. */
        return r ? r : sqlite3_exec(db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL);
}

static int teardown(void **state)
{
        (void)sqlite3_close(db);
        return test_teardown(state);
}

static void run(const char *sql)
{
        assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
}

static void migrate(int n)
{
        struct sg_error err = {0};
        int r = sg_sqlite_migrate(db, db_path, steps, n, false, &err);

        if (r)
                print_error("%s: %s\n", err.where, err.text);
        assert_int_equal(r, 0);
}

/* Of a database beside ours. */
static int ask(const char *path, const char *sql)
{
        sqlite3 *other;
        sqlite3_stmt *st;
        int answer;

        assert_int_equal(sqlite3_open_v2(path, &other, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_prepare_v2(other, sql, -1, &st, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(st), SQLITE_ROW);
        answer = sqlite3_column_int(st, 0);
        sqlite3_finalize(st);
        sqlite3_close(other);
        return answer;
}

static const char *backup(int before)
{
        static char name[300];

        (void)snprintf(name, sizeof(name), "%s.before-%d", db_path, before);
        return name;
}

/* What the package's preinst reads: four bytes, the largest first, at 60. In a process of its own, since a descriptor of
 * the database that is closed here would take SQLite's locks with it. */
static int version_in_header(void)
{
        char command[400], line[64] = "";
        unsigned b[4];
        FILE *f;

        (void)snprintf(command, sizeof(command), "od -An -tu1 -j60 -N4 %s", db_path);
        f = popen(command, "r");
        assert_non_null(f);
        assert_non_null(fgets(line, sizeof(line), f));
        assert_int_equal(pclose(f), 0);
        assert_int_equal(sscanf(line, "%u %u %u %u", &b[0], &b[1], &b[2], &b[3]), 4);
        return (int)(b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3]);
}

static size_t n_files(void)
{
        struct dirent *e;
        DIR *d = opendir(test_dir);
        size_t n = 0;

        assert_non_null(d);
        while ((e = readdir(d)))
                n += strncmp(e->d_name, "ledger.db.", 10) == 0;
        closedir(d);
        return n;
}

/* ---- the backup */

static void test_a_new_database_has_nothing_to_back_up(void **state)
{
        migrate(3);
        migrate(3);
        assert_int_equal(n_files(), 0);
}

static void test_the_backup_is_the_database_before_the_first_step(void **state)
{
        struct stat st;

        migrate(1);
        run("INSERT INTO a VALUES (7)");
        migrate(3);
        assert_int_equal(n_files(), 1);
        assert_int_equal(stat(backup(2), &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_int_equal(ask(backup(2), "SELECT x FROM a"), 7);
        assert_int_equal(ask(backup(2), "SELECT max(version) FROM schema_version"), 1);
        assert_int_equal(ask(backup(2), "PRAGMA user_version"), 1);
        assert_int_equal(ask(backup(2), "PRAGMA application_id"), SG_SQLITE_APPLICATION_ID);
        assert_int_equal(ask(backup(2), "SELECT count(*) FROM sqlite_master WHERE name IN ('b', 'c')"), 0);
        assert_int_equal(ask(backup(2), "SELECT integrity_check = 'ok' FROM pragma_integrity_check"), 1);
        assert_int_equal(ask(db_path, "SELECT max(version) FROM schema_version"), 3);
}

static void test_a_backup_can_be_put_back_and_migrated_again(void **state)
{
        char wal[300];

        migrate(1);
        run("INSERT INTO a VALUES (7)");
        migrate(3);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
        db = NULL;
        (void)snprintf(wal, sizeof(wal), "%s-wal", db_path);
        assert_int_equal(access(wal, F_OK), -1);
        assert_int_equal(rename(backup(2), db_path), 0);
        assert_int_equal(sqlite3_open(db_path, &db), SQLITE_OK);
        migrate(1);
        assert_int_equal(ask(db_path, "SELECT x FROM a"), 7);
        migrate(2);
        assert_int_equal(access(backup(2), F_OK), 0);
}

static void test_the_newest_backup_of_a_number_is_kept(void **state)
{
        struct sg_error err = {0};

        migrate(1);
        for (int i = 1; i <= 3; i++) {
                run("INSERT INTO a VALUES (7)");
                assert_true(sg_sqlite_migrate(db, db_path, broken, 2, false, &err) < 0);
                assert_int_equal(ask(backup(2), "SELECT count(*) FROM a"), i);
        }
        migrate(2);
        migrate(3);
        assert_int_equal(n_files(), 2);
        assert_int_equal(ask(backup(3), "PRAGMA user_version"), 2);
}

static void test_looking_makes_no_backup(void **state)
{
        migrate(1);
        assert_int_equal(sg_sqlite_migrate(db, db_path, steps, 3, true, NULL), 0);
        assert_int_equal(n_files(), 0);
        assert_int_equal(ask(db_path, "SELECT max(version) FROM schema_version"), 1);
}

/* ---- without room for it */

static void assert_refused_without_a_trace(int code, const char *text)
{
        struct sg_error err = {0};
        int r = sg_sqlite_migrate(db, db_path, steps, 2, false, &err);

        if (r != code || !strstr(err.text, text))
                print_error("%d, %s: %s\n", r, err.where, err.text);
        assert_int_equal(r, code);
        assert_non_null(strstr(err.text, text));
        assert_non_null(strstr(err.text, "backup before the migration"));
        assert_int_equal(n_files(), 0);
        assert_int_equal(ask(db_path, "SELECT max(version) FROM schema_version"), 1);
        assert_int_equal(ask(db_path, "SELECT count(*) FROM sqlite_master WHERE name = 'b'"), 0);
}

static void test_a_copy_that_breaks_off_prevents_the_migration(void **state)
{
        struct rlimit all, few;

        migrate(1);
        run("CREATE TABLE big (x BLOB)");
        run("INSERT INTO big VALUES (randomblob(200000))");
        assert_int_equal(sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL), SQLITE_OK);
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &all), 0);
        few = all;
        few.rlim_cur = 100000;
        (void)signal(SIGXFSZ, SIG_IGN);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &few), 0);
        assert_refused_without_a_trace(-EFBIG, "File too large");
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &all), 0);
        migrate(2);
        assert_int_equal(ask(backup(2), "SELECT length(x) FROM big"), 200000);
}

static void test_a_copy_that_cannot_be_made_prevents_it(void **state)
{
        char part[320];

        migrate(1);
        /* Something in the way works for root, too. */
        (void)snprintf(part, sizeof(part), "%s.part", backup(2));
        assert_int_equal(mkdir(part, 0700), 0);
        assert_int_equal(sg_sqlite_migrate(db, db_path, steps, 2, false, NULL), -EEXIST);
        assert_int_equal(rmdir(part), 0);
        assert_int_equal(ask(db_path, "SELECT max(version) FROM schema_version"), 1);
        migrate(2);
}

static bool put_text(const char *path, const char *text)
{
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        bool is_written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

        return fd >= 0 && close(fd) == 0 && is_written;
}

/* The right to mount is root's, or that of a user in a namespace of its own, in which it stays who it is. */
static bool enter_mount_namespace(void)
{
        char users[64], groups[64];

        if (unshare(CLONE_NEWNS) == 0)
                return true;
        (void)snprintf(users, sizeof(users), "%u %u 1", (unsigned)geteuid(), (unsigned)geteuid());
        (void)snprintf(groups, sizeof(groups), "%u %u 1", (unsigned)getegid(), (unsigned)getegid());
        return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 && put_text("/proc/self/setgroups", "deny") &&
               put_text("/proc/self/uid_map", users) && put_text("/proc/self/gid_map", groups);
}

static bool mount_small_disk(void)
{
        return enter_mount_namespace() && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
               mount("none", test_dir, "tmpfs", 0, "size=8m") == 0;
}

static void test_a_full_disk_is_told_before_anything_is_written(void **state)
{
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
        db = NULL;
        if (!mount_small_disk())
                TEST_SKIP("no right to mount a small disk");
        assert_int_equal(sqlite3_open(db_path, &db), SQLITE_OK);
        run("PRAGMA journal_mode = WAL");
        migrate(1);
        assert_refused_without_a_trace(-ENOSPC, "free some space; the database was not changed");
        assert_int_equal(mount(NULL, test_dir, NULL, MS_REMOUNT, "size=40m"), 0);
        migrate(2);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
        db = NULL;
        assert_int_equal(umount2(test_dir, MNT_DETACH), 0);
}

/* ---- the version in the header */

static void test_the_header_has_the_version_while_the_database_is_open(void **state)
{
        migrate(1);
        assert_int_equal(version_in_header(), 1);
        migrate(3);
        assert_int_equal(version_in_header(), 3);
}

static void test_a_header_without_version_gets_it(void **state)
{
        struct sg_store *s = open_store();

        sg_store_free(s);
        run("PRAGMA user_version = 0");
        s = open_store();
        assert_int_equal(version_in_header(), SG_SCHEMA_VERSION);
        sg_store_free(s);
}

/* ---- a newer database */

static void assert_newer(const char *text)
{
        struct sg_store *s = NULL;
        struct sg_error err = {0};

        assert_int_equal(open_url(&s, db_url, &err), -ENOTSUP);
        if (!strstr(err.text, text))
                print_error("\"%s\" is not in \"%s\"\n", text, err.text);
        assert_non_null(strstr(err.text, text));
        assert_true(err.needs_mending);
        assert_string_equal(err.message_id, SG_MESSAGE_DATABASE_NEWER);
}

static void make_file(const char *name)
{
        int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(close(fd), 0);
}

static void test_a_newer_database_names_the_backup_to_restore(void **state)
{
        sg_store_free(open_store());
        run("INSERT INTO schema_version VALUES (77, 0)");
        assert_newer("or restore a backup from before the upgrade");
        make_file(backup(SG_SCHEMA_VERSION + 2)); /* has a schema that this program does not know either */
        assert_newer("or restore a backup from before the upgrade");
        make_file(backup(SG_SCHEMA_VERSION + 1));
        assert_newer(backup(SG_SCHEMA_VERSION + 1));
}

static void test_a_newer_header_is_enough_to_refuse(void **state)
{
        sg_store_free(open_store());
        run("DROP TABLE schema_version; PRAGMA user_version = 77");
        assert_newer("the database has schema version 77");
}

/* ---- the steps of the ledger */

static void check_old_event(const struct sg_store_usage_event *e, void *owner)
{
        ++*(size_t *)owner;
        assert_true(sg_str_eq(e->rec.model, SG_STR("gpt")));
        assert_int_equal(e->rec.input_tokens, 10);
        assert_int_equal(e->rec.cache_write_tokens, 4);
        assert_int_equal(e->rec.cache_write_1h_tokens, 0);
        assert_int_equal(e->rec.n_attempts, 0);
        assert_int_equal(e->rec.credential.n, 0);
        assert_true(sg_str_eq(e->rec.raw_usage, SG_STR("{}")));
}

/* As the version with schema 1 made and filled it. */
static void test_a_database_of_the_first_schema_keeps_its_usage(void **state)
{
        const struct sg_store_usage_filter all = {.to_wall_usec = UINT64_MAX, .limit = 10};
        struct sg_error err = {0};
        struct sg_record rec;
        struct sg_store *s;
        size_t n = 0;

        assert_int_equal(sg_sqlite_migrate(db, db_path, sg_sqlite_migrations, 1, false, &err), 0);
        run("INSERT INTO usage (ring, exchange, day, start_wall_usec, key_id, request_id, key_name, operation, model,"
            " provider, upstream_model, prompt_bytes, flags, outcome, status, certainty, input_tokens, output_tokens,"
            " cached_tokens, cache_write_tokens, reasoning_tokens, audio_input_tokens, audio_output_tokens,"
            " image_tokens, duration_usec, first_byte_usec, answer_bytes, reason, raw_usage)"
            " VALUES ('r', 1, '2026-01-01', 1767225600000000, 1, 'q', 'alice', 'chat', 'gpt', 'p', 'm', 100, 1,"
            " 'complete', 200, 'measured', 10, 20, 3, 4, 5, 6, 7, 8, 9, 1, 200, '', '{}')");
        run("INSERT INTO open_exchange (ring, exchange, start_wall_usec, key_id, request_id, key_name, operation, "
            "model,"
            " provider, upstream_model, prompt_bytes, flags)"
            " VALUES ('r', 2, 1767225600000000, 1, 'q', 'alice', 'chat', 'gpt', 'p', 'm', 100, 1)");
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
        s = open_store();
        assert_int_equal(sg_store_usage_events(s, &all, check_old_event, &n, NULL), 0);
        assert_int_equal(n, 1);
        assert_int_equal(sg_store_open_next(s, "r", 0, &rec, NULL), 0);
        assert_int_equal(rec.exchange, 2);
        assert_int_equal(rec.credential.n, 0);
        sg_store_free(s);
        assert_int_equal(sqlite3_open(db_path, &db), SQLITE_OK);
        assert_int_equal(version_in_header(), SG_SCHEMA_VERSION);
        assert_int_equal(ask(backup(2), "SELECT max(version) FROM schema_version"), 1);
        assert_int_equal(ask(backup(2), "SELECT count(*) FROM usage"), 1);
}

struct old_sums {
        size_t n;
        struct sg_store_usage_sum sum;
        struct sg_tokens tokens;
};

static void on_old_sum(const struct sg_store_usage_sum *sum, void *owner)
{
        struct old_sums *old = owner;

        old->n++;
        old->sum = *sum;
}

static void on_old_bill(const struct sg_store_usage_bill *bill, void *owner)
{
        ((struct old_sums *)owner)->tokens = bill->tokens;
}

/* What the version with schema 2 had written by event stands in hourly sums afterwards, and not twice. */
static void test_a_database_of_the_second_schema_gets_its_hourly_sums(void **state)
{
        const struct sg_store_usage_filter all = {.to_wall_usec = UINT64_MAX, .limit = 10};
        struct sg_store_total_filter month = {
                .id = 1, .from_wall_usec = UINT64_C(1767225600000000), .to_wall_usec = UINT64_C(1769904000000000)};
        struct old_sums old = {0};
        struct sg_store_counts counts;
        struct sg_store *s;

        assert_int_equal(sg_sqlite_migrate(db, db_path, sg_sqlite_migrations, 2, false, NULL), 0);
        run("WITH RECURSIVE c (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM c WHERE n < 999)"
            " INSERT INTO usage SELECT NULL, 'r', n, '2026-01-01', 1767225600000000 + n * 10000000, 1, 'q', 'alice',"
            " 'chat', 'gpt', 'p', 'm', 100, 1, CASE n % 4 WHEN 0 THEN 'failed' ELSE 'complete' END, 200, 'measured',"
            " CASE n % 4 WHEN 0 THEN 0 ELSE 10 END, 0, 3, 4, 5, 6, 7, 8, 9, 1, 200, '', '{}', 'c', 1, 2 FROM c");
        run("INSERT INTO api_key (name, digest, prefix, models, created_wall_usec, expires_wall_usec,"
            " revoked_wall_usec, rotated_wall_usec, version) VALUES ('alice', zeroblob(32), 'sk-AbCd', NULL, 1, 0, 0, "
            "0,"
            " 1)");
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
        s = open_store();
        assert_int_equal(sg_store_usage_sums(s, SG_STORE_BY_KEY, &all, on_old_sum, &old, NULL), 0);
        assert_int_equal(old.n, 1);
        assert_int_equal(old.sum.n_requests, 1000);
        assert_int_equal(old.sum.n_by_outcome[SG_OUTCOME_FAILED], 250);
        assert_int_equal(old.sum.n_by_outcome[SG_OUTCOME_COMPLETE], 750);
        assert_int_equal(old.sum.n_by_certainty[SG_RECORD_CERTAINTY_MEASURED], 1000);
        assert_int_equal(old.sum.input_tokens, 7500);
        assert_int_equal(old.sum.cached_tokens, 3000);
        assert_int_equal(old.sum.cache_write_tokens, 4000);
        assert_int_equal(old.sum.reasoning_tokens, 5000);
        assert_int_equal(old.sum.audio_input_tokens, 6000);
        assert_int_equal(old.sum.audio_output_tokens, 7000);
        assert_int_equal(old.sum.image_tokens, 8000);
        assert_int_equal(old.sum.duration_usec, 9000);
        assert_int_equal(old.sum.cache_write_1h_tokens, 2000);
        assert_int_equal(old.sum.first_wall_usec, UINT64_C(1767225600000000));
        assert_int_equal(old.sum.last_wall_usec, UINT64_C(1767235590000000));
        assert_int_equal(sg_store_totals(s, &month, on_old_bill, &old, NULL), 0);
        assert_int_equal(old.tokens.n_requests, 750);
        assert_int_equal(old.tokens.input, 7500);
        assert_int_equal(sg_store_count(s, 0, &counts, NULL), 0);
        assert_int_equal(counts.n_usage, 1000);
        assert_int_equal(counts.n_keys_active, 1);
        sg_store_free(s);
        assert_int_equal(ask(backup(3), "SELECT max(version) FROM schema_version"), 2);
        assert_int_equal(ask(backup(3), "SELECT count(*) FROM usage"), 1000);
        assert_int_equal(ask(db_path, "SELECT count(*) FROM usage_hour"), 3);
        assert_int_equal(sqlite3_open(db_path, &db), SQLITE_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_a_new_database_has_nothing_to_back_up),
                TEST(test_the_backup_is_the_database_before_the_first_step),
                TEST(test_a_backup_can_be_put_back_and_migrated_again),
                TEST(test_the_newest_backup_of_a_number_is_kept),
                TEST(test_looking_makes_no_backup),
                TEST(test_a_copy_that_breaks_off_prevents_the_migration),
                TEST(test_a_copy_that_cannot_be_made_prevents_it),
                TEST(test_the_header_has_the_version_while_the_database_is_open),
                TEST(test_a_header_without_version_gets_it),
                TEST(test_a_newer_database_names_the_backup_to_restore),
                TEST(test_a_newer_header_is_enough_to_refuse),
                TEST(test_a_database_of_the_first_schema_keeps_its_usage),
                TEST(test_a_database_of_the_second_schema_gets_its_hourly_sums),
                /* Last: it is in a mount namespace of its own from then on. */
                TEST(test_a_full_disk_is_told_before_anything_is_written),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
