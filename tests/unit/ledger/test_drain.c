#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>

#include "common.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "journal/ring.h"
#include "ledger/drain_files.h"
#include "ledger/sqlite.h"

#define KILLS 40
#define LONG  (10 * SG_USEC_PER_SEC)

struct bench {
        struct sg_loop *loop;
        struct sg_store *store;
        struct sg_drain *drain;
};

static void bench_start(struct bench *b)
{
        struct sg_error err;

        assert_int_equal(sg_loop_new(&b->loop), 0);
        b->store = open_store();
        assert_int_equal(sg_drain_new(&b->drain, b->loop, &options_of_test, journal_dir, journal_dir, &err), 0);
}

static void bench_stop(struct bench *b)
{
        b->drain = sg_drain_free(b->drain);
        b->store = sg_store_free(b->store);
        b->loop = sg_loop_free(b->loop);
}

static struct sg_ring *new_ring(void)
{
        struct sg_ring *ring = NULL;
        struct sg_error err;

        assert_int_equal(sg_ring_create(&ring, journal_dir, journal_dir, SG_RING_BYTES_MIN, &err), 0);
        return ring;
}

static uint64_t open_one(struct sg_ring *ring, uint64_t n)
{
        struct sg_record rec = sample(n);
        uint64_t exchange;

        rec.prompt_bytes = n;
        assert_int_equal(sg_ring_open(ring, &rec, &exchange), 0);
        return exchange;
}

static void close_one(struct sg_ring *ring, uint64_t exchange, uint64_t n)
{
        struct sg_record rec = sample(n);
        uint64_t sequence;

        sg_ring_close(ring, exchange, &rec, &sequence);
}

static void path_of(char out[400], const char *id, const char *suffix)
{
        (void)snprintf(out, 400, "%s/%s%s", journal_dir, id, suffix);
}

static uint64_t n_open(struct sg_store *s)
{
        struct sg_store_counts counts;

        assert_int_equal(sg_store_count(s, 0, &counts, NULL), 0);
        return counts.n_open;
}

static void test_a_live_ring_is_drained_and_released(void **state)
{
        struct sg_ring *ring = new_ring();
        struct sg_drain_status status;
        struct sg_ring_fill fill;
        struct bench b;
        uint64_t e1, e2;

        bench_start(&b);
        e1 = open_one(ring, 1);
        e2 = open_one(ring, 2);
        close_one(ring, e1, 1);
        assert_true(sg_drain_now(b.drain, LONG));
        assert_int_equal(total(b.store).n_requests, 1);
        assert_int_equal(n_open(b.store), 1);
        sg_ring_get_fill(ring, &fill);
        assert_int_equal(fill.drained, 3);
        assert_int_equal(fill.used_bytes, 0);
        sg_drain_get_status(b.drain, &status);
        assert_int_equal(status.n_rings, 1);
        assert_int_equal(status.n_waiting, 0);
        assert_true(status.last_wall_usec > 0);

        close_one(ring, e2, 2);
        sg_drain_get_status(b.drain, &status);
        assert_int_equal(status.n_waiting, 1);
        assert_true(sg_drain_now(b.drain, LONG));
        assert_int_equal(total(b.store).n_requests, 2);
        assert_int_equal(total(b.store).output_tokens, 3);
        assert_int_equal(n_open(b.store), 0);
        bench_stop(&b);
        sg_ring_free(ring);
}

static void check_cut_off(const struct sg_store_usage_event *e, void *owner)
{
        ++*(size_t *)owner;
        assert_true(sg_str_eq(e->outcome, SG_STR("cut_off")));
        assert_true(sg_str_eq(e->certainty, SG_STR("estimated")));
        assert_int_equal(e->rec.input_tokens, (e->rec.prompt_bytes + 3) / 4);
        assert_int_equal(e->rec.output_tokens, 0);
        assert_true(sg_str_eq(e->rec.request_id, SG_STR("request")));
}

static void count_ring(const struct sg_store_ring *ring, void *owner)
{
        ++*(size_t *)owner;
}

static size_t n_marks(struct sg_store *s)
{
        size_t n = 0;

        assert_int_equal(sg_store_ring_list(s, count_ring, &n, NULL), 0);
        return n;
}

static void test_an_orphan_is_settled_and_removed(void **state)
{
        struct sg_store_usage_filter all = {ANY_TIME};
        struct sg_ring *ring = new_ring();
        struct bench b;
        char path[400];
        size_t n = 0;

        path_of(path, sg_ring_id(ring), SG_RING_SUFFIX);
        bench_start(&b);
        /* Some are known to the database already, some are only in the ring. */
        (void)open_one(ring, 0);
        (void)open_one(ring, 1);
        assert_true(sg_drain_now(b.drain, LONG));
        assert_int_equal(n_open(b.store), 2);
        assert_int_equal(n_marks(b.store), 1);
        (void)open_one(ring, 4);
        (void)open_one(ring, 401);
        sg_ring_free(ring);
        assert_true(sg_drain_now(b.drain, LONG));
        assert_int_equal(n_open(b.store), 0);
        assert_int_equal(sg_store_usage_events(b.store, &all, check_cut_off, &n, NULL), 0);
        assert_int_equal(n, 4);
        assert_int_equal(access(path, F_OK), -1);
        assert_int_equal(n_marks(b.store), 0);
        bench_stop(&b);
}

static void test_a_restart_goes_on_where_it_was(void **state)
{
        struct sg_ring *ring = new_ring();
        struct bench b;
        uint64_t exchange;

        for (int i = 0; i < 5; i++) {
                exchange = open_one(ring, 1);
                close_one(ring, exchange, 1);
                bench_start(&b);
                assert_true(sg_drain_now(b.drain, LONG));
                assert_int_equal(total(b.store).n_requests, i + 1);
                bench_stop(&b);
        }
        sg_ring_free(ring);
}

static void test_many_records_take_many_rounds(void **state)
{
        struct sg_ring *ring = NULL;
        struct sg_error err;
        struct bench b;

        assert_int_equal(sg_ring_create(&ring, journal_dir, journal_dir, 16u << 20, &err), 0);
        for (uint64_t n = 0; n < 12000; n++)
                close_one(ring, open_one(ring, n), 1);
        bench_start(&b);
        assert_true(sg_drain_now(b.drain, LONG));
        assert_int_equal(total(b.store).n_requests, 12000);
        assert_int_equal(n_open(b.store), 0);
        bench_stop(&b);
        sg_ring_free(ring);
}

/* ---- damage */

static void damage(const char *path, off_t at)
{
        int fd = open(path, O_RDWR);
        uint8_t byte;

        assert_true(fd >= 0);
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte ^= 0x55;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        close(fd);
}

static void test_a_damaged_ring_gives_the_rest_and_is_kept(void **state)
{
        struct sg_ring *ring = new_ring();
        struct sg_drain_status status;
        char path[400], bad[400];
        struct bench b;

        path_of(path, sg_ring_id(ring), SG_RING_SUFFIX);
        path_of(bad, sg_ring_id(ring), SG_RING_SUFFIX ".bad");
        for (int i = 0; i < 5; i++)
                close_one(ring, open_one(ring, 1), 1);
        sg_ring_free(ring);
        damage(path, 4096 + 20); /* in the first record, an open one: its close record tells all */
        bench_start(&b);
        assert_true(sg_drain_now(b.drain, LONG));
        assert_int_equal(total(b.store).n_requests, 5);
        assert_int_equal(access(path, F_OK), -1);
        assert_int_equal(access(bad, F_OK), 0);
        assert_int_equal(n_marks(b.store), 0);
        sg_drain_get_status(b.drain, &status);
        assert_int_equal(status.n_lost, 1);
        assert_int_equal(status.n_rings, 0);
        bench_stop(&b);
}

static void test_damage_in_a_live_ring_does_not_stop_it(void **state)
{
        struct sg_ring *ring = new_ring();
        struct bench b;
        char path[400];

        for (int i = 0; i < 5; i++)
                close_one(ring, open_one(ring, 1), 1);
        assert_int_equal(sg_ring_sync(ring), 0);
        path_of(path, sg_ring_id(ring), SG_RING_SUFFIX);
        damage(path, 4096 + 20);
        path_of(path, sg_ring_id(ring), SG_RING_STAGE);
        damage(path, 4096 + 20);
        bench_start(&b);
        assert_true(sg_drain_now(b.drain, LONG)); /* seen once: it may only be slow to show */
        assert_int_equal(total(b.store).n_requests, 0);
        assert_true(sg_drain_now(b.drain, LONG)); /* seen twice */
        assert_int_equal(total(b.store).n_requests, 5);
        close_one(ring, open_one(ring, 1), 1);
        assert_true(sg_drain_now(b.drain, LONG));
        assert_int_equal(total(b.store).n_requests, 6);
        bench_stop(&b);
        sg_ring_free(ring);
}

static void write_bytes(const char *path, const void *data, size_t n)
{
        int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, data, n), n);
        close(fd);
}

static void test_strangers_are_left_alone(void **state)
{
        static char bytes[4096 + SG_RING_BYTES_MIN];
        struct sg_ring *ring = new_ring();
        char path[400], copy[400], text[400];
        struct bench b;
        int fd;

        close_one(ring, open_one(ring, 1), 1);
        path_of(path, sg_ring_id(ring), SG_RING_SUFFIX);
        sg_ring_free(ring);
        fd = open(path, O_RDONLY);
        assert_int_equal(read(fd, bytes, sizeof(bytes)), sizeof(bytes));
        close(fd);
        /* A copy under another name would be drained twice; a text is no ring; a third has no name of a ring. */
        path_of(copy, "0123456789abcdef0123456789abcdef", SG_RING_SUFFIX);
        write_bytes(copy, bytes, sizeof(bytes));
        path_of(text, "ffffffffffffffffffffffffffffffff", SG_RING_SUFFIX);
        write_bytes(text, "text", 4);
        bench_start(&b);
        assert_true(sg_drain_now(b.drain, LONG));
        assert_true(sg_drain_now(b.drain, LONG));
        assert_int_equal(total(b.store).n_requests, 1);
        assert_int_equal(access(path, F_OK), -1);
        assert_int_equal(access(copy, F_OK), 0);
        assert_int_equal(access(text, F_OK), 0);
        bench_stop(&b);
}

static void check_clean(const struct sg_store_usage_event *e, void *owner)
{
        ++*(size_t *)owner;
        assert_true(sg_str_eq(e->rec.model, SG_STR("?[31mred?? \xc3\xa9??")));
        assert_true(sg_str_eq(e->rec.raw_usage, SG_STR("{\n\t\"a\":1}?")));
}

static void test_text_for_terminals_is_cleaned(void **state)
{
        struct sg_store_usage_filter all = {ANY_TIME};
        struct sg_ring *ring = new_ring();
        struct sg_record rec = sample(1);
        uint64_t exchange = open_one(ring, 1), sequence;
        struct bench b;
        size_t n = 0;

        rec.model = SG_STR("\x1b[31mred\0\xff \xc3\xa9\xc2\x9b");
        rec.raw_usage = SG_STR("{\n\t\"a\":1}\x07");
        sg_ring_close(ring, exchange, &rec, &sequence);
        bench_start(&b);
        assert_true(sg_drain_now(b.drain, LONG));
        assert_int_equal(sg_store_usage_events(b.store, &all, check_clean, &n, NULL), 0);
        assert_int_equal(n, 1);
        bench_stop(&b);
        sg_ring_free(ring);
}

/* ---- databases that fail, or are not what they were */

static void test_a_full_database_loses_nothing(void **state)
{
        struct sg_ring *ring = NULL;
        struct sg_drain_status status;
        struct sg_sqlite *q;
        struct sg_error err;
        struct bench b;

        assert_int_equal(sg_ring_create(&ring, journal_dir, journal_dir, 1u << 20, &err), 0);
        bench_start(&b);
        assert_true(sg_drain_now(b.drain, LONG)); /* opens the store */
        q = (struct sg_sqlite *)b.drain->store;
        for (int i = 0; i < 1000; i++)
                close_one(ring, open_one(ring, 1), 1);
        assert_int_equal(sqlite3_exec(q->db, "PRAGMA max_page_count = 20", NULL, NULL, NULL), SQLITE_OK);
        assert_false(sg_drain_now(b.drain, LONG));
        sg_drain_get_status(b.drain, &status);
        assert_non_null(status.error);
        assert_non_null(strstr(status.error, "disk is full"));
        assert_int_equal(status.n_waiting, 2000);
        assert_int_equal(total(b.store).n_requests, 0);
        /* Not asked again at once. */
        assert_false(sg_drain_now(b.drain, LONG));
        assert_int_equal(sqlite3_exec(q->db, "PRAGMA max_page_count = 1000000", NULL, NULL, NULL), SQLITE_OK);
        for (uint64_t until = sg_clock_usec() + 5 * SG_USEC_PER_SEC; sg_clock_usec() < until && status.error;) {
                (void)sg_drain_now(b.drain, LONG);
                sg_drain_get_status(b.drain, &status);
                sched_yield();
        }
        assert_null(status.error);
        assert_int_equal(total(b.store).n_requests, 1000);
        bench_stop(&b);
        sg_ring_free(ring);
}

static void test_a_finished_ring_that_is_still_there_only_goes(void **state)
{
        struct sg_store_ring mark = {0};
        struct sg_ring_reader *reader;
        struct sg_ring *ring = new_ring();
        struct sg_record rec;
        uint64_t sequence;
        struct bench b;
        char path[400];

        /* As after a crash between the commit that finished it and the removal. */
        close_one(ring, open_one(ring, 1), 1);
        path_of(path, sg_ring_id(ring), SG_RING_SUFFIX);
        (void)snprintf(mark.id, sizeof(mark.id), "%s", sg_ring_id(ring));
        sg_ring_free(ring);
        assert_int_equal(sg_ring_reader_open(&reader, path, NULL), 0);
        while (sg_ring_reader_next(reader, &rec, &sequence) == 0)
                continue;
        sg_ring_reader_position(reader, &mark.sequence, &mark.offset);
        sg_ring_reader_free(reader);
        mark.is_finished = true;
        bench_start(&b);
        assert_int_equal(sg_store_ring_put(b.store, &mark, NULL), 0);
        assert_true(sg_drain_now(b.drain, LONG));
        assert_int_equal(total(b.store).n_requests, 0);
        assert_int_equal(access(path, F_OK), -1);
        assert_int_equal(n_marks(b.store), 0);
        /* And one whose file went, but not its mark. */
        assert_int_equal(sg_store_ring_put(b.store, &mark, NULL), 0);
        bench_stop(&b);
        bench_start(&b);
        assert_true(sg_drain_now(b.drain, LONG));
        assert_int_equal(n_marks(b.store), 0);
        /* An unfinished one stays: its directory may come back. */
        mark.is_finished = false;
        assert_int_equal(sg_store_ring_put(b.store, &mark, NULL), 0);
        bench_stop(&b);
        bench_start(&b);
        assert_true(sg_drain_now(b.drain, LONG));
        assert_int_equal(n_marks(b.store), 1);
        bench_stop(&b);
}

static void test_an_older_database_goes_on_behind_what_is_gone(void **state)
{
        struct sg_ring *ring = new_ring();
        struct bench b;
        uint64_t n;

        bench_start(&b);
        for (int lap = 0; lap < 20; lap++) {
                for (int i = 0; i < 50; i++)
                        close_one(ring, open_one(ring, 1), 1);
                assert_true(sg_drain_now(b.drain, LONG));
                assert_int_equal(sg_ring_sync(ring), 0);
        }
        bench_stop(&b);
        assert_int_equal(unlink(db_path), 0);
        bench_start(&b);
        close_one(ring, open_one(ring, 1), 1);
        assert_true(sg_drain_now(b.drain, LONG));
        n = total(b.store).n_requests;
        assert_int_equal(n, 1);
        close_one(ring, open_one(ring, 1), 1);
        assert_true(sg_drain_now(b.drain, LONG));
        assert_int_equal(total(b.store).n_requests, 2);
        bench_stop(&b);
        sg_ring_free(ring);
}

/* ---- killed at any instant */

static _Noreturn void drain_for_ever(void)
{
        struct sg_drain *d;
        struct sg_store *s;
        struct sg_loop *l;

        /* The lock of the one that was killed goes with it. */
        if (sg_loop_new(&l) || open_url(&s, db_url, NULL) ||
            sg_drain_new(&d, l, &options_of_test, journal_dir, journal_dir, NULL))
                _exit(1);
        for (;;)
                (void)sg_drain_now(d, LONG);
}

struct traffic {
        struct sg_ring *ring;
        uint64_t open[8], n_open; /* exchanges and what they will use */
        uint64_t n_closed, tokens;
};

/* One step of an exchange, chosen at random: some stay open over many kills. */
static void step(struct traffic *t)
{
        uint64_t pick = sg_random_u64();
        struct sg_record rec = sample(pick % 1000);

        if (t->n_open > 0 && (t->n_open == SG_N_ELEMENTS(t->open) || pick % 2)) {
                uint64_t at = (pick >> 20) % t->n_open, sequence;

                sg_ring_close(t->ring, t->open[at], &rec, &sequence);
                t->open[at] = t->open[--t->n_open];
                t->n_closed++;
                t->tokens += rec.output_tokens;
                return;
        }
        if (sg_ring_open(t->ring, &rec, &t->open[t->n_open]) == 0)
                t->n_open++;
        else
                sched_yield();
}

static uint64_t ask(const char *sql)
{
        sqlite3_stmt *st = NULL;
        sqlite3 *db = NULL;
        uint64_t v;

        assert_int_equal(sqlite3_open(db_path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(st), SQLITE_ROW);
        v = (uint64_t)sqlite3_column_int64(st, 0);
        sqlite3_finalize(st);
        sqlite3_close(db);
        return v;
}

static void test_killed_at_random_it_stores_each_event_once(void **state)
{
        struct traffic t[2] = {{.ring = new_ring()}, {.ring = new_ring()}};
        uint64_t n_cut_off = 0;
        struct bench b;

        bench_start(&b);
        bench_stop(&b);
        for (int round = 0; round < KILLS; round++) {
                uint64_t until;
                int status;
                pid_t pid = fork();

                assert_true(pid >= 0);
                if (pid == 0)
                        drain_for_ever();
                for (until = sg_clock_usec() + sg_random_u64() % 50000; sg_clock_usec() < until;) {
                        step(&t[0]);
                        step(&t[1]);
                }
                assert_int_equal(kill(pid, SIGKILL), 0);
                assert_int_equal(waitpid(pid, &status, 0), pid);
                assert_true(WIFSIGNALED(status));
                /* A ring ends, another begins: kills meet settling and removing, too. */
                if (round % 4 == 3) {
                        n_cut_off += t[1].n_open;
                        sg_ring_free(t[1].ring);
                        t[1].ring = new_ring();
                        t[1].n_open = 0;
                }
        }
        n_cut_off += t[0].n_open + t[1].n_open;
        sg_ring_free(t[0].ring);
        sg_ring_free(t[1].ring);
        bench_start(&b);
        assert_true(sg_drain_now(b.drain, LONG));
        assert_int_equal(n_open(b.store), 0);
        bench_stop(&b);
        assert_true(t[0].n_closed + t[1].n_closed > 1000);
        assert_int_equal(ask("SELECT count(*) FROM usage WHERE outcome = 'complete'"), t[0].n_closed + t[1].n_closed);
        assert_int_equal(ask("SELECT sum(output_tokens) FROM usage WHERE outcome = 'complete'"),
                         t[0].tokens + t[1].tokens);
        assert_int_equal(ask("SELECT count(*) FROM usage WHERE outcome = 'cut_off'"), n_cut_off);
        assert_int_equal(ask("SELECT count(*) FROM (SELECT ring, exchange FROM usage GROUP BY ring, exchange HAVING "
                             "count(*) > 1)"),
                         0);
        assert_int_equal(ask("SELECT count(*) FROM journal_ring"), 0);
}

/* ---- in the loop */

struct wait {
        struct bench *bench;
        struct sg_timer timer;
        struct sg_ring *ring;
        uint64_t until_usec;
};

static void look(struct sg_timer *t, void *owner)
{
        struct wait *w = owner;

        if (!w->ring) {
                w->ring = new_ring();
                close_one(w->ring, open_one(w->ring, 1), 1);
        }
        if (total(w->bench->store).n_requests == 1 || sg_clock_usec() > w->until_usec)
                sg_loop_stop(w->bench->loop);
        else
                sg_timer_start(t, 10 * SG_USEC_PER_MSEC);
}

static void test_a_new_ring_is_found_while_the_loop_turns(void **state)
{
        struct bench b;
        struct wait w = {.bench = &b, .until_usec = sg_clock_usec() + 5 * SG_USEC_PER_SEC};

        bench_start(&b);
        assert_int_equal(sg_timer_init(&w.timer, b.loop, look, &w), 0);
        sg_timer_start(&w.timer, 50 * SG_USEC_PER_MSEC);
        sg_loop_run(b.loop, SG_USEC_NEVER, NULL, NULL);
        assert_int_equal(total(b.store).n_requests, 1);
        sg_timer_done(&w.timer);
        bench_stop(&b);
        sg_ring_free(w.ring);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, test_setup, test_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_a_live_ring_is_drained_and_released),
                TEST(test_an_orphan_is_settled_and_removed),
                TEST(test_a_restart_goes_on_where_it_was),
                TEST(test_many_records_take_many_rounds),
                TEST(test_a_damaged_ring_gives_the_rest_and_is_kept),
                TEST(test_damage_in_a_live_ring_does_not_stop_it),
                TEST(test_strangers_are_left_alone),
                TEST(test_text_for_terminals_is_cleaned),
                TEST(test_a_full_database_loses_nothing),
                TEST(test_a_finished_ring_that_is_still_there_only_goes),
                TEST(test_an_older_database_goes_on_behind_what_is_gone),
                TEST(test_killed_at_random_it_stores_each_event_once),
                TEST(test_a_new_ring_is_found_while_the_loop_turns),
        };

        sg_log_set_level(SG_LOG_ERR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
