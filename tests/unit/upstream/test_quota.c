#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "upstream/quota.h"

#define NAME UINT64_C(0x1234567890abcdef)

static char directory[64], path[96], text[256];

static int set_up(void **state)
{
        snprintf(directory, sizeof(directory), "/tmp/test-quota-XXXXXX");
        snprintf(path, sizeof(path), "%s/quotas", mkdtemp(directory));
        return 0;
}

static int tear_down(void **state)
{
        (void)unlink(path);
        return rmdir(directory); /* nothing else was left */
}

static struct sg_quota *open_quota(const char *expected_text)
{
        struct sg_quota *q;

        assert_int_equal(sg_quota_new(&q, path, text), 0);
        if (!strstr(text, expected_text) || (!expected_text[0] && text[0]))
                fail_msg("told: %s", text);
        return q;
}

static uint64_t used(struct sg_quota *q, uint64_t name, uint64_t day)
{
        return sg_quota_used(sg_quota_find(q, name), day);
}

/* ---- days */

static void test_days_begin_anew(void **state)
{
        struct sg_quota_count *c;
        struct sg_quota *q;

        assert_int_equal(sg_quota_new(&q, NULL, text), 0);
        assert_false(sg_quota_was_opened(q));
        c = sg_quota_find(q, NAME);
        assert_ptr_equal(sg_quota_find(q, NAME), c);
        assert_ptr_not_equal(sg_quota_find(q, NAME + 1), c);
        assert_int_equal(sg_quota_used(c, 20000), 0);
        sg_quota_add(c, 20000, 100);
        sg_quota_add(c, 20000, 11);
        assert_int_equal(sg_quota_used(c, 20000), 111);
        assert_int_equal(sg_quota_used(c, 20001), 0);
        sg_quota_add(c, 20001, 5);
        assert_int_equal(sg_quota_used(c, 20001), 5);
        sg_quota_add(c, 20000, 2); /* of a thread that read the clock before midnight */
        assert_int_equal(sg_quota_used(c, 20001), 7);
        assert_int_equal(sg_quota_used(c, 19999), 0); /* a clock that was wrong, and is put right */
        sg_quota_add(c, 19990, 3);
        assert_int_equal(sg_quota_used(c, 19990), 3);
        sg_quota_add(c, 65535, 4);
        assert_int_equal(sg_quota_used(c, 65535), 4);
        sg_quota_unref(q);
}

static void test_counts_saturate(void **state)
{
        struct sg_quota_count *c;
        struct sg_quota *q;

        assert_int_equal(sg_quota_new(&q, NULL, text), 0);
        c = sg_quota_find(q, NAME);
        sg_quota_add(c, 1, UINT64_MAX);
        sg_quota_add(c, 1, UINT64_MAX);
        assert_int_equal(sg_quota_used(c, 1), (UINT64_C(1) << 40) - 1);
        sg_quota_unref(q);
}

static void test_names_have_an_end(void **state)
{
        struct sg_quota *q;

        assert_int_equal(sg_quota_new(&q, NULL, text), 0);
        assert_ptr_equal(sg_quota_find(q, 0), sg_quota_find(q, 1)); /* a name that none has */
        for (uint64_t i = 1; i <= SG_QUOTA_COUNTS_MAX; i++)
                assert_non_null(sg_quota_find(q, i));
        assert_null(sg_quota_find(q, NAME));
        assert_non_null(sg_quota_find(q, 7));
        sg_quota_unref(q);
}

/* ---- the file */

static void test_it_outlives_the_process(void **state)
{
        struct sg_quota *q = open_quota("");
        struct stat st;
        int status;
        pid_t pid;

        assert_true(sg_quota_was_opened(q));
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        assert_true(st.st_blocks * 512 >= st.st_size); /* a full disk does not end us later */
        sg_quota_add(sg_quota_find(q, NAME), 20000, 40);
        pid = fork();
        if (pid == 0) {
                struct sg_quota *own;

                if (sg_quota_new(&own, path, text) == 0 && !text[0])
                        sg_quota_add(sg_quota_find(own, NAME), 20000, 2);
                (void)raise(SIGKILL);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        assert_int_equal(used(q, NAME, 20000), 42); /* both saw the same at once */
        sg_quota_unref(q);
        q = open_quota("");
        assert_int_equal(used(q, NAME, 20000), 42);
        sg_quota_unref(q);
}

static void write_at(off_t at, const void *data, size_t n)
{
        const int fd = open(path, O_WRONLY | O_CREAT, 0600);

        assert_true(fd >= 0);
        assert_int_equal(pwrite(fd, data, n, at), n);
        close(fd);
}

/* What is told the first time, and works the second. */
static void check_begun_anew(void)
{
        struct sg_quota *q = open_quota("begin anew");

        assert_int_equal(used(q, NAME, 20000), 0);
        sg_quota_add(sg_quota_find(q, NAME), 20000, 9);
        sg_quota_unref(q);
        q = open_quota("");
        assert_int_equal(used(q, NAME, 20000), 9);
        sg_quota_unref(q);
}

static void test_damaged_ones_are_begun_anew(void **state)
{
        static const uint64_t garbage[2] = {UINT64_C(0xdeadbeef12345678), UINT64_C(0x8765432112345678)};
        struct sg_quota *q;

        write_at(0, "no quotas", 9);
        check_begun_anew();
        for (off_t at = 0; at < 64; at += 8) { /* head, first counts: each word that is flipped */
                uint64_t word = 0;
                int fd;

                (void)unlink(path);
                q = open_quota("");
                for (uint64_t i = 1; i < 5; i++)
                        sg_quota_add(sg_quota_find(q, i), 20000, i);
                sg_quota_unref(q);
                fd = open(path, O_RDONLY);
                assert_int_equal(pread(fd, &word, sizeof(word), at), sizeof(word));
                close(fd);
                word ^= UINT64_C(1) << 20;
                write_at(at, &word, sizeof(word));
                check_begun_anew();
        }
        (void)unlink(path);
        sg_quota_unref(open_quota(""));
        write_at(4096, garbage, sizeof(garbage));
        check_begun_anew();
        assert_int_equal(truncate(path, 100), 0);
        check_begun_anew();
        assert_int_equal(truncate(path, 1 << 20), 0);
        check_begun_anew();
}

static void test_a_link_is_replaced_and_not_followed(void **state)
{
        char victim[160];
        struct stat st;

        snprintf(victim, sizeof(victim), "%s/victim", directory);
        close(open(victim, O_WRONLY | O_CREAT, 0600));
        assert_int_equal(symlink(victim, path), 0);
        check_begun_anew();
        assert_int_equal(stat(victim, &st), 0);
        assert_int_equal(st.st_size, 0);
        assert_int_equal(unlink(victim), 0);
}

static void check_in_memory(void)
{
        struct sg_quota *q = open_quota("kept in memory");

        sg_quota_add(sg_quota_find(q, NAME), 20000, 9);
        assert_int_equal(used(q, NAME, 20000), 9);
        assert_true(sg_quota_was_opened(q));
        sg_quota_unref(q);
}

static void test_without_a_file_they_are_kept_in_memory(void **state)
{
        struct rlimit before, small;

        assert_int_equal(mkdir(path, 0700), 0); /* no file at all, and cannot be replaced by one */
        check_in_memory();
        assert_int_equal(rmdir(path), 0);
        snprintf(path, sizeof(path), "%s/missing/quotas", directory);
        check_in_memory();
        snprintf(path, sizeof(path), "%s/quotas", directory);
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
        small = (struct rlimit){.rlim_cur = 4096, .rlim_max = before.rlim_max};
        signal(SIGXFSZ, SIG_IGN);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0); /* as a full disk */
        check_in_memory();
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
}

/* ---- threads, and two mappings as of two processes */

#define N_THREADS 4
#define N_ROUNDS  20000u

static void *add_some(void *at)
{
        struct sg_quota *q = at;

        for (unsigned i = 0; i < N_ROUNDS; i++) {
                sg_quota_add(sg_quota_find(q, 1 + i % 3), 20000, 1);
                sg_quota_add(sg_quota_find(q, 100 + i % 100), 20000 + i % 2, 1);
        }
        return NULL;
}

static void test_nothing_is_lost_between_threads(void **state)
{
        struct sg_quota *q = open_quota(""), *other = open_quota("");
        pthread_t threads[N_THREADS];

        for (unsigned i = 0; i < N_THREADS; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, add_some, i % 2 ? q : other), 0);
        for (unsigned i = 0; i < N_THREADS; i++)
                assert_int_equal(pthread_join(threads[i], NULL), 0);
        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(used(q, 1 + i, 20000), N_THREADS * (N_ROUNDS / 3 + (i < N_ROUNDS % 3)));
        sg_quota_unref(q);
        sg_quota_unref(other);
        q = open_quota(""); /* every word is whole */
        sg_quota_unref(q);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_days_begin_anew),
                cmocka_unit_test(test_counts_saturate),
                cmocka_unit_test(test_names_have_an_end),
                cmocka_unit_test_setup_teardown(test_it_outlives_the_process, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_damaged_ones_are_begun_anew, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_a_link_is_replaced_and_not_followed, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_without_a_file_they_are_kept_in_memory, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_nothing_is_lost_between_threads, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
