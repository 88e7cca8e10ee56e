#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common.h"

#include "base/random.h"

static void test_bytes_fill_all(void **state)
{
        unsigned char seen[1000] = {0}, bytes[1000];

        /* A byte that stays zero eight times by chance: 1000 / 256^8. */
        for (int round = 0; round < 8; round++) {
                sg_random_bytes(bytes, sizeof(bytes));
                for (size_t i = 0; i < sizeof(bytes); i++)
                        seen[i] |= bytes[i];
        }
        assert_null(memchr(seen, 0, sizeof(seen)));
        sg_random_bytes(bytes, 0);
}

/* Each bit is set in half of the numbers: 10,000 draws, bounds of ten standard deviations. */
static void test_every_bit_varies(void **state)
{
        unsigned n_set[64] = {0};

        for (int i = 0; i < 10000; i++) {
                uint64_t v = sg_random_u64();

                for (int bit = 0; bit < 64; bit++)
                        n_set[bit] += v >> bit & 1;
        }
        for (int bit = 0; bit < 64; bit++)
                assert_in_range(n_set[bit], 4500, 5500);
}

static void *draw(void *at)
{
        *(uint64_t *)at = sg_random_u64();
        return NULL;
}

static void test_threads_do_not_share_a_sequence(void **state)
{
        pthread_t threads[2];
        uint64_t v[2];

        for (int i = 0; i < 2; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, draw, &v[i]), 0);
        for (int i = 0; i < 2; i++)
                pthread_join(threads[i], NULL);
        assert_true(v[0] != v[1]);
}

static void test_a_child_does_not_repeat_its_parent(void **state)
{
        uint64_t child, parent;
        int pipe_fds[2], status;
        pid_t pid;

        (void)sg_random_u64(); /* seeded */
        assert_int_equal(pipe(pipe_fds), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                child = sg_random_u64();
                _exit(write(pipe_fds[1], &child, sizeof(child)) != sizeof(child));
        }
        parent = sg_random_u64();
        assert_int_equal(read(pipe_fds[0], &child, sizeof(child)), sizeof(child));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        assert_true(child != parent);
        close(pipe_fds[0]);
        close(pipe_fds[1]);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_bytes_fill_all),
                cmocka_unit_test(test_every_bit_varies),
                cmocka_unit_test(test_threads_do_not_share_a_sequence),
                cmocka_unit_test(test_a_child_does_not_repeat_its_parent),
        };

        return cmocka_run_group_tests_name("base random", tests, NULL, NULL);
}
