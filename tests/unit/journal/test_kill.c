/*
 * A child writes exchanges as fast as it can and tells, after each close, which one it has closed, in a shared page. It
 * is killed at a random instant. All that it told must be in the ring, and nothing that was never written.
 */
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "common.h"

#include "base/clock.h"
#include "base/random.h"

#define ROUNDS 60

struct told {
        _Atomic uint64_t opened, closed; /* the last n whose record was appended */
        _Atomic bool started;
};

static _Noreturn void child(struct told *told, size_t bytes)
{
        struct sg_ring *ring;

        if (sg_ring_create(&ring, test_dir, stage_dir, bytes, NULL) != 0)
                _exit(1);
        for (uint64_t n = 1;; n++) {
                struct sg_record rec = sample(n);
                uint64_t exchange, sequence;

                if (sg_ring_open(ring, &rec, &exchange) != 0) {
                        told->started = true;
                        if (sg_ring_sync(ring) != 0)
                                _exit(1);
                        sched_yield();
                        n--;
                        continue;
                }
                told->opened = n;
                rec = sample(n);
                sg_ring_close(ring, exchange, &rec, &sequence);
                told->closed = n;
                told->started = true;
        }
}

struct seen {
        uint64_t opened, closed, sequence;
        size_t n_new;
};

/* Everything that can be read now; each record is the one that must follow. */
static int read_all(struct sg_ring_reader *reader, struct seen *seen)
{
        struct sg_record rec;
        uint64_t sequence;
        int e;

        seen->n_new = 0;
        while ((e = sg_ring_reader_next(reader, &rec, &sequence)) == 0) {
                assert_int_equal(sequence, seen->sequence + 1);
                seen->sequence = sequence;
                seen->n_new++;
                if (rec.kind == SG_RECORD_OPEN) {
                        assert_int_equal(rec.key_id, seen->opened + 1);
                        assert_int_equal(seen->opened, seen->closed);
                        seen->opened = rec.key_id;
                } else {
                        assert_int_equal(rec.key_id, seen->opened);
                        assert_int_equal(rec.output_tokens, 2 * rec.key_id);
                        seen->closed = rec.key_id;
                }
        }
        return e;
}

/* drains: the writer goes round and round; else it runs until the ring is full. */
static void kill_round(struct told *told, bool drains, uint64_t after_usec)
{
        struct sg_ring_reader *reader;
        struct seen seen = {0};
        char path[600], stage[600];
        uint64_t until;
        pid_t pid;
        int status, e;

        *told = (struct told){0};
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
                child(told, drains ? 1u << 20 : 4u << 20);
        while (!told->started)
                sched_yield();
        (void)snprintf(path, sizeof(path), "%s", only_path());
        (void)snprintf(stage, sizeof(stage), "%s/%.*s" SG_RING_STAGE, stage_dir, SG_RING_ID_CHARS,
                       strrchr(path, '/') + 1);
        assert_int_equal(sg_ring_reader_open(&reader, path, stage), 0);
        for (until = sg_clock_usec() + after_usec; sg_clock_usec() < until;) {
                if (drains) {
                        e = read_all(reader, &seen);
                        assert_true(e == SG_RING_E_END || e == SG_RING_E_TORN);
                        sg_ring_reader_release(reader);
                }
        }
        assert_false(sg_ring_reader_is_orphan(reader));
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        assert_true(sg_ring_reader_is_orphan(reader));

        /* SIGKILL alone never tears a frame. */
        assert_int_equal(read_all(reader, &seen), SG_RING_E_END);
        assert_true(seen.opened == told->opened || seen.opened == told->opened + 1);
        assert_true(seen.closed == told->closed || seen.closed == told->closed + 1);
        assert_true(seen.closed <= seen.opened);
        sg_ring_reader_free(reader);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(unlink(stage), 0);
}

static void test_sigkill_loses_and_invents_nothing(void **state)
{
        struct told *told = mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

        assert_ptr_not_equal(told, MAP_FAILED);
        for (int round = 0; round < ROUNDS; round++)
                kill_round(told, round % 2, sg_random_u64() % 20000);
        munmap(told, sizeof(*told));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_sigkill_loses_and_invents_nothing),
        };

        return cmocka_run_group_tests(tests, test_setup, test_teardown);
}
