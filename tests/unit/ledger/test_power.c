/*
 * The power goes at a random instant. A model of the disk stands between the ring's writer and its file: what was written
 * since the last fdatasync() is known, sector by sector, in order; of it the cut keeps any mix: each sector as it was,
 * or as any of the writes to it left it. The stage and all that is in memory is gone. Then a ledger starts over what is
 * left, beside a database that kept all it had committed.
 *
 * Time is the model's: it goes on by some milliseconds with each step, and the sync comes every 50 ms, as the gateway's.
 */
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/syscall.h>

#include "common.h"

#include "base/random.h"
#include "journal/ring.h"
#include "ledger/drain.h"

#define CASES         150
#define RING_BYTES    SG_RING_BYTES_MIN
#define FILE_BYTES    (4096u + RING_BYTES)
#define SECTOR_BYTES  512u
#define SECTORS       (FILE_BYTES / SECTOR_BYTES)
#define WRITES_MAX    512u
#define EXCHANGES_MAX 600u
#define SYNC_EVERY_MS 50u
#define STEP_MS_MAX   8u
#define LONG          (10 * SG_USEC_PER_SEC)

/* ---- the disk */

struct written {
        uint64_t at, n;
        uint8_t *bytes;
};

static struct {
        int fd; /* one of the file's own, to know it by */
        ino_t inode;
        bool is_on;
        uint8_t durable[FILE_BYTES];
        struct written writes[WRITES_MAX]; /* since */
        size_t n_writes;
        unsigned n_calls, cut_at; /* the power goes in the middle of a sync; 0: between two */
        uint8_t left[FILE_BYTES]; /* what the cut left */
        bool is_cut;
} disk;

static bool is_of_disk(int fd)
{
        struct stat st;

        return disk.is_on && fstat(fd, &st) == 0 && st.st_ino == disk.inode;
}

static void apply(const struct written *w, uint8_t *to, size_t sector)
{
        uint64_t from = SG_MAX(w->at, (uint64_t)sector * SECTOR_BYTES);
        uint64_t end = SG_MIN(w->at + w->n, (uint64_t)(sector + 1) * SECTOR_BYTES);

        if (from < end)
                memcpy(to + from, w->bytes + (from - w->at), end - from);
}

static void cut(void)
{
        memcpy(disk.left, disk.durable, sizeof(disk.left));
        for (size_t sector = 0; sector < SECTORS; sector++) {
                size_t n = sg_random_u64() % (disk.n_writes + 1);

                /* Most sectors are all there or not at all; the tail of the writes is the likely one to be missing. */
                if (sg_random_u64() % 3 == 0)
                        n = disk.n_writes;
                for (size_t i = 0; i < n; i++)
                        apply(&disk.writes[i], disk.left, sector);
        }
        disk.is_cut = true;
}

static void forget_writes(void)
{
        for (size_t i = 0; i < disk.n_writes; i++)
                free(disk.writes[i].bytes);
        disk.n_writes = 0;
}

static void note_call(void)
{
        if (!disk.is_cut && ++disk.n_calls == disk.cut_at)
                cut();
}

/* The names that the journal calls, in place of the C library's. */
ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at);
ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at)
{
        ssize_t done = syscall(SYS_pwrite64, fd, data, n, at);

        if (done > 0 && is_of_disk(fd) && !disk.is_cut) {
                struct written *w = &disk.writes[disk.n_writes];

                assert_true(disk.n_writes < WRITES_MAX);
                *w = (struct written){.at = (uint64_t)at, .n = (uint64_t)done, .bytes = malloc((size_t)done)};
                assert_non_null(w->bytes);
                memcpy(w->bytes, data, (size_t)done);
                disk.n_writes++;
                note_call();
        }
        return done;
}

int fdatasync(int fd)
{
        if (!is_of_disk(fd))
                return (int)syscall(SYS_fdatasync, fd);
        note_call(); /* before it is done */
        if (!disk.is_cut) {
                for (size_t i = 0; i < disk.n_writes; i++)
                        memcpy(disk.durable + disk.writes[i].at, disk.writes[i].bytes, disk.writes[i].n);
                forget_writes();
        }
        return 0;
}

static void disk_begin(const char *path)
{
        struct stat st;

        disk.fd = open(path, O_RDWR);
        assert_true(disk.fd >= 0 && fstat(disk.fd, &st) == 0);
        assert_int_equal(st.st_size, FILE_BYTES);
        assert_int_equal(pread(disk.fd, disk.durable, FILE_BYTES, 0), FILE_BYTES);
        disk.inode = st.st_ino;
        disk.n_calls = disk.cut_at = 0;
        disk.is_cut = false;
        disk.is_on = true;
}

/* The file is what the cut left, and from now on like any other. */
static void disk_end(void)
{
        disk.is_on = false;
        assert_int_equal(pwrite(disk.fd, disk.left, FILE_BYTES, 0), FILE_BYTES);
        close(disk.fd);
        forget_writes();
}

/* ---- the writer, who dies with the machine */

struct one {
        uint64_t number;    /* in its ring */
        uint64_t closed_ms; /* 0: open */
        bool is_safe;       /* it was told to be on disk, or its row is committed */
};

struct run {
        struct sg_ring *ring;
        char id[SG_RING_ID_CHARS + 1];
        struct one all[EXCHANGES_MAX];
        size_t n;
        uint64_t now_ms, synced_ms;
        uint64_t close_sequence[EXCHANGES_MAX];
};

static char stage_dir[256];

static void open_some(struct run *run)
{
        struct sg_record rec = sample(run->n + 1);
        struct one *x = &run->all[run->n];

        if (run->n == EXCHANGES_MAX || sg_ring_open(run->ring, &rec, &x->number) != 0)
                return;
        x->closed_ms = 0;
        x->is_safe = false;
        run->n++;
}

static void close_some(struct run *run)
{
        size_t i = run->n ? sg_random_u64() % run->n : 0;
        struct sg_record rec = sample(i + 1);

        /* The oldest of the later half: some stay open for long. */
        while (i < run->n && run->all[i].closed_ms)
                i++;
        if (i >= run->n)
                return;
        rec = sample(i + 1);
        sg_ring_close(run->ring, run->all[i].number, &rec, &run->close_sequence[i]);
        run->all[i].closed_ms = run->now_ms;
}

static void sync_now(struct run *run)
{
        assert_int_equal(sg_ring_sync(run->ring), 0);
        if (disk.is_cut)
                return; /* the machine did not live to tell */
        run->synced_ms = run->now_ms;
        for (size_t i = 0; i < run->n; i++)
                if (run->all[i].closed_ms && run->close_sequence[i] <= sg_ring_synced(run->ring))
                        run->all[i].is_safe = true;
}

static void drain_some(struct run *run, struct sg_drain *drain)
{
        struct sg_ring_fill fill;

        assert_true(sg_drain_now(drain, LONG));
        sg_ring_get_fill(run->ring, &fill);
        for (size_t i = 0; i < run->n; i++)
                if (run->all[i].closed_ms && run->close_sequence[i] <= fill.drained)
                        run->all[i].is_safe = true;
}

/* Until the power goes. */
static void live(struct run *run, struct sg_drain *drain, bool always)
{
        unsigned steps = 1 + (unsigned)(sg_random_u64() % 300), drains = 2 + (unsigned)(sg_random_u64() % 60);

        for (unsigned i = 0; i < steps; i++) {
                run->now_ms += sg_random_u64() % STEP_MS_MAX;
                if (run->now_ms - run->synced_ms >= SYNC_EVERY_MS)
                        sync_now(run);
                for (uint64_t n = sg_random_u64() % 4; n; n--)
                        open_some(run);
                for (uint64_t n = sg_random_u64() % 4; n; n--)
                        close_some(run);
                if (always)
                        sync_now(run);
                if (i % drains == drains - 1)
                        drain_some(run, drain);
        }
        if (sg_random_u64() % 4) { /* in the middle of one more sync: after one of its writes, or all of them */
                disk.cut_at = disk.n_calls + 1 + (unsigned)(sg_random_u64() % 4);
                sync_now(run);
        }
        if (!disk.is_cut)
                cut();
}

/* ---- what became of it */

struct rows {
        size_t n[EXCHANGES_MAX], n_complete[EXCHANGES_MAX];
        size_t n_strange;
};

static void read_rows(sqlite3 *db, const struct run *run, struct rows *rows)
{
        sqlite3_stmt *s;

        memset(rows, 0, sizeof(*rows));
        assert_int_equal(sqlite3_prepare_v2(db,
                                            "SELECT exchange, outcome, output_tokens, start_wall_usec FROM usage "
                                            "WHERE ring = ?",
                                            -1, &s, NULL),
                         SQLITE_OK);
        assert_int_equal(sqlite3_bind_text(s, 1, run->id, -1, SQLITE_STATIC), SQLITE_OK);
        while (sqlite3_step(s) == SQLITE_ROW) {
                uint64_t number = (uint64_t)sqlite3_column_int64(s, 0);
                bool is_complete = strcmp((const char *)sqlite3_column_text(s, 1), "complete") == 0;
                bool is_cut_off = strcmp((const char *)sqlite3_column_text(s, 1), "cut_off") == 0;
                size_t i = 0;

                while (i < run->n && run->all[i].number != number)
                        i++;
                if (i == run->n || (uint64_t)sqlite3_column_int64(s, 3) != sample(i + 1).start_wall_usec ||
                    (!is_cut_off &&
                     (!is_complete || (uint64_t)sqlite3_column_int64(s, 2) != i + 1 || !run->all[i].closed_ms))) {
                        rows->n_strange++;
                        continue;
                }
                rows->n[i]++;
                rows->n_complete[i] += is_complete;
        }
        sqlite3_finalize(s);
}

/* Returns how many of the answered were lost, or are known by their beginning only. */
static size_t judge(const struct run *run, const struct rows *rows, bool always)
{
        size_t n_lost = 0;

        assert_int_equal(rows->n_strange, 0);
        for (size_t i = 0; i < run->n; i++) {
                const struct one *x = &run->all[i];

                assert_true(rows->n[i] <= 1);
                if (x->is_safe)
                        assert_int_equal(rows->n_complete[i], 1);
                if (!x->closed_ms || rows->n_complete[i])
                        continue;
                assert_true(run->now_ms - x->closed_ms <= SYNC_EVERY_MS + STEP_MS_MAX);
                /* With sync = always nobody has seen its last byte: that waits for the sync in which the power went. */
                assert_true(!always || !x->is_safe);
                n_lost += x->is_safe || !always;
        }
        return n_lost;
}

static size_t case_once(struct sg_loop *loop, sqlite3 *db, bool always)
{
        struct sg_drain *drain;
        struct sg_error err;
        static struct run run;
        static struct rows rows;
        char path[400];

        memset(&run, 0, sizeof(run));
        run.now_ms = run.synced_ms = 1;
        assert_int_equal(sg_ring_create(&run.ring, journal_dir, stage_dir, RING_BYTES, &err), 0);
        (void)snprintf(run.id, sizeof(run.id), "%s", sg_ring_id(run.ring));
        (void)snprintf(path, sizeof(path), "%s/%s" SG_RING_SUFFIX, journal_dir, run.id);
        assert_int_equal(sg_drain_new(&drain, loop, &options_of_test, journal_dir, stage_dir, &err), 0);
        disk_begin(path);
        live(&run, drain, always);

        /* All that was in memory. */
        sg_drain_free(drain);
        run.ring = sg_ring_free(run.ring);
        disk_end();
        assert_int_equal(sg_drain_new(&drain, loop, &options_of_test, journal_dir, stage_dir, &err), 0);
        assert_true(sg_drain_now(drain, LONG));
        sg_drain_free(drain);
        assert_int_equal(access(path, F_OK), -1); /* drained to its end */
        read_rows(db, &run, &rows);
        return judge(&run, &rows, always);
}

static void run_cases(bool always, size_t *ret_n_lost)
{
        struct sg_loop *loop;
        sqlite3 *db;

        *ret_n_lost = 0;
        assert_int_equal(sg_loop_new(&loop), 0);
        sg_store_free(open_store());
        assert_int_equal(sqlite3_open(db_path, &db), SQLITE_OK);
        for (unsigned i = 0; i < CASES; i++)
                *ret_n_lost += case_once(loop, db, always);
        sqlite3_close(db);
        sg_loop_free(loop);
}

static void test_a_power_cut_takes_what_is_younger_than_a_sync(void **state)
{
        size_t n_lost;

        run_cases(false, &n_lost);
        assert_true(n_lost > 0); /* else the model cuts nothing */
}

static void test_with_sync_always_it_takes_nothing_that_was_answered(void **state)
{
        size_t n_lost;

        run_cases(true, &n_lost);
        assert_int_equal(n_lost, 0);
}

static int setup(void **state)
{
        if (test_setup(state))
                return -1;
        (void)snprintf(stage_dir, sizeof(stage_dir), "/dev/shm/%s", strrchr(test_dir, '/') + 1);
        return mkdir(stage_dir, 0700);
}

static int teardown(void **state)
{
        return rmdir(stage_dir) | test_teardown(state);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_power_cut_takes_what_is_younger_than_a_sync),
                cmocka_unit_test(test_with_sync_always_it_takes_nothing_that_was_answered),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
