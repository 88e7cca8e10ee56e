#include <signal.h>
#include <stdbool.h>

#include "common.h"

#include "base/thread.h"

struct seen {
        char name[16];
        bool blocks_term, blocks_pipe, blocks_segv;
};

static void *look(void *at)
{
        struct seen *seen = at;
        sigset_t mask;

        pthread_getname_np(pthread_self(), seen->name, sizeof(seen->name));
        pthread_sigmask(SIG_SETMASK, NULL, &mask);
        seen->blocks_term = sigismember(&mask, SIGTERM);
        seen->blocks_pipe = sigismember(&mask, SIGPIPE);
        seen->blocks_segv = sigismember(&mask, SIGSEGV);
        return at;
}

static void test_threads_are_named_and_leave_signals_to_the_main_thread(void **state)
{
        struct seen seen = {0};
        sigset_t before, after;
        pthread_t thread;
        void *result;

        pthread_sigmask(SIG_SETMASK, NULL, &before);
        assert_int_equal(sg_thread_start(&thread, "a name too long for the kernel", look, &seen), 0);
        assert_int_equal(pthread_join(thread, &result), 0);
        pthread_sigmask(SIG_SETMASK, NULL, &after);
        assert_ptr_equal(result, &seen);
        assert_string_equal(seen.name, "a name too long");
        assert_true(seen.blocks_term && seen.blocks_pipe && !seen.blocks_segv);
        for (int sig = 1; sig < 32; sig++)
                assert_int_equal(sigismember(&before, sig), sigismember(&after, sig));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_threads_are_named_and_leave_signals_to_the_main_thread),
        };

        return cmocka_run_group_tests_name("base thread", tests, NULL, NULL);
}
