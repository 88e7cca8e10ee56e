/* The keeper and the drain's thread: what is asked is answered once, and the loop turns whatever the database does. */
#include <errno.h>
#include <semaphore.h>
#include <sqlite3.h>

#include "common.h"

#include "base/clock.h"
#include "base/log.h"
#include "journal/ring.h"
#include "ledger/drainer.h"
#include "ledger/keeper.h"

#define N_JOBS (SG_KEEPER_QUEUE_MAX + 1)

struct bench {
        struct sg_loop *loop;
        struct sg_keeper *keeper;
        struct sg_timer limit, tick;
        bool (*is_reached)(struct bench *b);
        /* what came */
        unsigned order[N_JOBS], n_done, n_run, n_ticks;
        int results[N_JOBS];
        char last_text[sizeof(((struct sg_error *)NULL)->text)];
        enum sg_keeper_state state;
        unsigned n_states;
        unsigned n_wishes, n_whole;
};

struct errand {
        struct sg_job job;
        struct bench *bench;
        unsigned number;
        sem_t *begun, *go; /* NULL: it does not wait */
        int answer;
};

static int run_errand(struct sg_job *job, struct sg_store *s, struct sg_error *err)
{
        struct errand *e = SG_CONTAINER(job, struct errand, job);

        if (e->begun)
                (void)sem_post(e->begun);
        if (e->go)
                while (sem_wait(e->go) < 0)
                        continue;
        __atomic_add_fetch(&e->bench->n_run, 1, __ATOMIC_RELAXED);
        return e->answer ? sg_error_set(err, e->answer, "", "as told") : 0;
}

static void errand_done(struct sg_job *job, int r, const struct sg_error *err)
{
        struct errand *e = SG_CONTAINER(job, struct errand, job);
        struct bench *b = e->bench;

        assert_true(b->n_done < N_JOBS);
        b->results[b->n_done] = r;
        b->order[b->n_done++] = e->number;
        (void)snprintf(b->last_text, sizeof(b->last_text), "%s", err->text);
        free(e);
}

static int post(struct bench *b, struct errand *like)
{
        struct errand *e = calloc(1, sizeof(*e));
        int r;

        assert_non_null(e);
        *e = *like;
        e->bench = b;
        e->job.run = run_errand;
        e->job.done = errand_done;
        r = sg_keeper_post(b->keeper, &e->job);
        if (r)
                free(e);
        return r;
}

static void on_state(const struct sg_keeper_status *status, void *owner)
{
        struct bench *b = owner;

        b->state = status->state;
        b->n_states++;
        (void)snprintf(b->last_text, sizeof(b->last_text), "%s", status->err.text);
}

static void on_limit(struct sg_timer *t, void *owner)
{
        fail_msg("what was awaited did not happen in twenty seconds");
}

static void on_tick(struct sg_timer *t, void *owner)
{
        ((struct bench *)owner)->n_ticks++;
        sg_timer_start(t, SG_USEC_PER_MSEC);
}

static void after_turn(void *owner)
{
        struct bench *b = owner;

        if (b->is_reached(b))
                sg_loop_stop(b->loop);
}

static void until(struct bench *b, bool (*is_reached)(struct bench *b))
{
        if (is_reached(b))
                return;
        b->is_reached = is_reached;
        sg_timer_start(&b->limit, 20 * SG_USEC_PER_SEC);
        sg_loop_run(b->loop, SG_USEC_NEVER, after_turn, b);
        sg_timer_stop(&b->limit);
}

static unsigned awaited;
static bool are_done(struct bench *b)
{
        return b->n_done >= awaited;
}

static void until_done(struct bench *b, unsigned n)
{
        awaited = n;
        until(b, are_done);
}

static bool is_up(struct bench *b)
{
        return b->state == SG_KEEPER_UP;
}

static bool is_down(struct bench *b)
{
        return b->state == SG_KEEPER_DOWN;
}

static void bench_start(struct bench *b, const struct sg_store_options *options)
{
        struct sg_error err;

        *b = (struct bench){0};
        assert_int_equal(sg_loop_new(&b->loop), 0);
        assert_int_equal(sg_timer_init(&b->limit, b->loop, on_limit, b), 0);
        assert_int_equal(sg_timer_init(&b->tick, b->loop, on_tick, b), 0);
        assert_int_equal(sg_keeper_new(&b->keeper, b->loop, options, &err), 0);
        sg_keeper_on_state(b->keeper, on_state, b);
}

static void bench_stop(struct bench *b)
{
        sg_keeper_free(b->keeper);
        sg_timer_done(&b->tick);
        sg_timer_done(&b->limit);
        sg_loop_free(b->loop);
}

static void test_jobs_are_done_in_their_order(void **state)
{
        struct bench b;

        bench_start(&b, &options_of_test);
        for (unsigned i = 0; i < 20; i++)
                assert_int_equal(post(&b, &(struct errand){.number = i, .answer = i == 7 ? -ENOSPC : 0}), 0);
        until_done(&b, 20);
        for (unsigned i = 0; i < 20; i++) {
                assert_int_equal(b.order[i], i);
                assert_int_equal(b.results[i], i == 7 ? -ENOSPC : 0);
        }
        assert_int_equal(b.state, SG_KEEPER_UP);
        assert_int_equal(b.n_states, 1); /* a full disk does not end the store */
        bench_stop(&b);
}

static void test_the_loop_turns_while_a_job_hangs(void **state)
{
        sem_t begun, go;
        struct bench b;
        uint64_t start;

        assert_int_equal(sem_init(&begun, 0, 0), 0);
        assert_int_equal(sem_init(&go, 0, 0), 0);
        bench_start(&b, &options_of_test);
        assert_int_equal(post(&b, &(struct errand){.number = 1, .begun = &begun, .go = &go}), 0);
        while (sem_wait(&begun) < 0)
                continue;
        /* One that waits behind it longer than a job may. */
        assert_int_equal(post(&b, &(struct errand){.number = 2}), 0);
        sg_timer_start(&b.tick, 0);
        start = sg_clock_usec();
        until_done(&b, 1);
        assert_int_equal(b.order[0], 2);
        assert_int_equal(b.results[0], -ETIME);
        assert_true(sg_clock_usec() - start >= SG_KEEPER_USEC_MAX);
        assert_true(b.n_ticks > 1000);
        assert_int_equal(b.n_run, 0);
        assert_int_equal(sem_post(&go), 0);
        until_done(&b, 2);
        assert_int_equal(b.order[1], 1);
        assert_int_equal(b.results[1], 0);
        bench_stop(&b);
}

static void test_a_full_queue_takes_no_more(void **state)
{
        sem_t begun, go;
        struct bench b;
        unsigned n = 0;

        assert_int_equal(sem_init(&begun, 0, 0), 0);
        assert_int_equal(sem_init(&go, 0, 0), 0);
        bench_start(&b, &options_of_test);
        assert_int_equal(post(&b, &(struct errand){.begun = &begun, .go = &go}), 0);
        while (sem_wait(&begun) < 0)
                continue;
        for (; n < SG_KEEPER_QUEUE_MAX; n++)
                assert_int_equal(post(&b, &(struct errand){.number = n}), 0);
        assert_int_equal(post(&b, &(struct errand){.number = n}), SG_KEEPER_E_FULL);
        /* What waits when the keeper goes is answered, too. */
        assert_int_equal(sem_post(&go), 0);
        sg_keeper_free(SG_GIVE(b.keeper));
        assert_int_equal(b.n_done, n + 1);
        for (unsigned i = 0; i < b.n_done; i++)
                assert_true(b.results[i] == 0 || b.results[i] == -ECANCELED);
        bench_stop(&b);
}

static void test_a_database_that_is_not_there_is_told_and_found_again(void **state)
{
        char directory[300], url[400];
        const struct sg_store_options options = {.url = url};
        struct bench b;

        (void)snprintf(directory, sizeof(directory), "%s/later", test_dir);
        (void)snprintf(url, sizeof(url), "sqlite:%s/ledger.db", directory);
        bench_start(&b, &options);
        until(&b, is_down);
        assert_non_null(strstr(b.last_text, "must exist"));
        assert_int_equal(post(&b, &(struct errand){.number = 1}), 0);
        until_done(&b, 1);
        assert_int_equal(b.results[0], -EHOSTDOWN);
        assert_int_equal(b.n_run, 0);
        assert_non_null(strstr(b.last_text, "must exist"));
        assert_int_equal(mkdir(directory, 0700), 0);
        until(&b, is_up);
        assert_int_equal(post(&b, &(struct errand){.number = 2}), 0);
        until_done(&b, 2);
        assert_int_equal(b.results[1], 0);
        /* What breaks the store is told, and it is opened anew. */
        assert_int_equal(post(&b, &(struct errand){.number = 3, .answer = -ECONNRESET}), 0);
        until(&b, is_down);
        assert_string_equal(b.last_text, "as told");
        until(&b, is_up);
        assert_int_equal(post(&b, &(struct errand){.number = 4}), 0);
        until_done(&b, 4);
        assert_int_equal(b.results[3], 0);
        bench_stop(&b);
}

/* ---- the drain's thread */

struct wish {
        struct sg_drain_wish wish;
        struct bench *bench;
};

static void wish_done(struct sg_drain_wish *wish, bool is_all)
{
        struct bench *b = SG_CONTAINER(wish, struct wish, wish)->bench;

        b->n_wishes++;
        b->n_whole += is_all;
}

static bool are_wishes_done(struct bench *b)
{
        return b->n_wishes >= awaited;
}

static void write_one(struct sg_ring *ring)
{
        struct sg_record rec = sample(1);
        uint64_t exchange, sequence;

        assert_int_equal(sg_ring_open(ring, &rec, &exchange), 0);
        rec = sample(1);
        sg_ring_close(ring, exchange, &rec, &sequence);
}

static void test_wishes_are_fulfilled_or_end_with_their_time(void **state)
{
        struct wish a = {.wish.done = wish_done}, other = {.wish.done = wish_done}, late = {.wish.done = wish_done};
        struct sg_drainer_status status;
        struct sg_drainer *d = NULL;
        struct sg_ring *ring = NULL;
        struct sg_error err;
        struct sg_store *s;
        struct bench b;
        sqlite3 *db;

        bench_start(&b, &options_of_test);
        until(&b, is_up);
        a.bench = other.bench = late.bench = &b;
        assert_int_equal(sg_drainer_new(&d, b.loop, &options_of_test, journal_dir, journal_dir, &err), 0);
        assert_int_equal(sg_ring_create(&ring, journal_dir, journal_dir, SG_RING_BYTES_MIN, &err), 0);
        write_one(ring);
        sg_drainer_wish(d, &a.wish, 20 * SG_USEC_PER_SEC);
        sg_drainer_wish(d, &other.wish, 20 * SG_USEC_PER_SEC);
        awaited = 2;
        until(&b, are_wishes_done);
        assert_int_equal(b.n_whole, 2);
        s = open_store();
        assert_int_equal(total(s).n_requests, 1);
        /* Another program writes and does not end: the wish does, the loop turns, nothing is lost. */
        assert_int_equal(sqlite3_open(db_path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
        write_one(ring);
        sg_drainer_wish(d, &late.wish, 50 * SG_USEC_PER_MSEC);
        awaited = 3;
        until(&b, are_wishes_done);
        assert_int_equal(b.n_whole, 2);
        do
                sg_drainer_get_status(d, &status);
        while (!status.err.code);
        assert_non_null(strstr(status.err.text, "another program"));
        assert_int_equal(status.drain.n_waiting, 2);
        assert_true(status.failing_since_wall_usec > 0);
        assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(db);
        sg_drainer_retry(d);
        do
                sg_drainer_get_status(d, &status);
        while (status.err.code || status.drain.n_waiting);
        assert_int_equal(status.drain.n_drained, 4);
        assert_int_equal(total(s).n_requests, 2);
        /* The end takes along what is there. */
        write_one(ring);
        sg_drainer_free(d);
        assert_int_equal(total(s).n_requests, 3);
        sg_store_free(s);
        sg_ring_free(ring);
        bench_stop(&b);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, test_setup, test_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_jobs_are_done_in_their_order),
                TEST(test_the_loop_turns_while_a_job_hangs),
                TEST(test_a_full_queue_takes_no_more),
                TEST(test_a_database_that_is_not_there_is_told_and_found_again),
                TEST(test_wishes_are_fulfilled_or_end_with_their_time),
        };

        sg_log_set_level(SG_LOG_ERR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
