/* Secrets from a pipe, a file and a terminal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/secret.h"
#include "ctl/ctl.h"

/* What is read from a pipe that holds these bytes: 0 when it is `wanted`, else the error. */
static int from_pipe(struct sg_str bytes, struct sg_str wanted, struct sg_error *err)
{
        struct sg_secret *secret;
        int kept = dup(STDIN_FILENO), r, status;
        int fds[2];
        pid_t writer;

        assert_int_equal(pipe(fds), 0);
        writer = fork();
        assert_true(writer >= 0);
        if (writer == 0) {
                close(fds[0]);
                while (bytes.n) {
                        ssize_t n = write(fds[1], bytes.p, bytes.n);

                        if (n < 0)
                                _exit(1);
                        bytes = sg_str_skip(bytes, (size_t)n);
                }
                _exit(0);
        }
        close(fds[1]);
        assert_true(dup2(fds[0], STDIN_FILENO) >= 0);
        close(fds[0]);
        r = sg_ctl_read_secret(NULL, "q", &secret, err);
        assert_true(dup2(kept, STDIN_FILENO) >= 0);
        close(kept);
        assert_int_equal(waitpid(writer, &status, 0), writer);
        if (r)
                return r;
        assert_true(sg_secret_equals(secret, wanted));
        sg_secret_unref(secret);
        return 0;
}

static void test_line_ends_are_cut(void **state)
{
        static const char *const forms[] = {"sk-1", "sk-1\n", "sk-1\r\n", "sk-1\n\n"};
        struct sg_error err;

        for (size_t i = 0; i < SG_N_ELEMENTS(forms); i++)
                assert_int_equal(from_pipe(sg_str_from(forms[i]), SG_STR("sk-1"), &err), 0);
}

static void test_what_is_no_key_is_refused_and_not_repeated(void **state)
{
        static const struct {
                struct sg_str bytes;
                const char *told;
        } cases[] = {
                {SG_STR(""), "empty"},
                {SG_STR("\n"), "empty"},
                {SG_STR("sk-1\nsk-2\n"), "byte 5 of 9"},
                {SG_STR("sk 1"), "byte 3 of 4"},
                {SG_STR("sk\0001"), "byte 3 of 4"},
                {SG_STR("sk\x7f"), "byte 3 of 3"},
                {SG_STR("\xc3\xa4"), "byte 1 of 2"},
                {SG_STR(" sk"), "byte 1 of 3"},
        };
        struct sg_error err;

        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                assert_int_equal(from_pipe(cases[i].bytes, SG_STR_NONE, &err), -EINVAL);
                assert_non_null(strstr(err.text, cases[i].told));
                assert_null(strstr(err.text, "sk"));
        }
}

static void test_pem_has_lines(void **state)
{
        struct sg_str pem = SG_STR("-----BEGIN PRIVATE KEY-----\nMC4CAQ+/=\n-----END PRIVATE KEY-----\n");
        struct sg_error err;

        assert_int_equal(from_pipe(pem, sg_str_head(pem, pem.n - 1), &err), 0);
        assert_int_equal(from_pipe(SG_STR("-----BEGIN X-----\n\0\n"), SG_STR_NONE, &err), -EINVAL);
        assert_int_equal(from_pipe(SG_STR("x-----BEGIN X-----\n"), SG_STR_NONE, &err), -EINVAL);
}

static void test_size_has_an_end(void **state)
{
        static char bytes[SG_SECRET_BYTES_MAX + 4096];
        struct sg_error err;

        memset(bytes, 'a', sizeof(bytes));
        assert_int_equal(
                from_pipe(sg_str_make(bytes, SG_SECRET_BYTES_MAX), sg_str_make(bytes, SG_SECRET_BYTES_MAX), &err), 0);
        assert_int_equal(from_pipe(sg_str_make(bytes, SG_SECRET_BYTES_MAX + 1), SG_STR_NONE, &err), -E2BIG);
}

static void test_a_file_is_read_the_same_way(void **state)
{
        char path[] = "/tmp/prompt-test-XXXXXX";
        struct sg_secret *secret;
        struct sg_error err;
        int fd = mkstemp(path);

        assert_int_equal(write(fd, "sk-1\n", 5), 5);
        assert_int_equal(sg_ctl_read_secret(path, "q", &secret, &err), 0);
        assert_true(sg_secret_equals(secret, SG_STR("sk-1")));
        sg_secret_unref(secret);
        assert_int_equal(write(fd, "x", 1), 1);
        assert_int_equal(sg_ctl_read_secret(path, "q", &secret, &err), -EINVAL);
        assert_string_equal(err.where, path);
        close(fd);
        unlink(path);
        assert_int_equal(sg_ctl_read_secret(path, "q", &secret, &err), -ENOENT);
}

/* ---- the terminal: the child asks, the test is the person in front of it */

/* Everything on the screen until `until` stands there, or the end. */
static void watch(int terminal, char *screen, size_t bytes, const char *until)
{
        size_t n = strlen(screen);

        while (!until || !strstr(screen, until)) {
                ssize_t got = read(terminal, screen + n, bytes - 1 - n);

                if (got <= 0)
                        break;
                n += (size_t)got;
                screen[n] = '\0';
        }
        if (until)
                assert_non_null(strstr(screen, until));
}

static pid_t ask(int *ret_terminal)
{
        pid_t child = forkpty(ret_terminal, NULL, NULL, NULL);

        assert_true(child >= 0);
        if (child == 0) {
                struct sg_secret *secret;
                struct sg_error err;

                if (sg_ctl_read_secret(NULL, "secret of 'x'", &secret, &err))
                        _exit(1);
                _exit(sg_secret_equals(secret, SG_STR("sk-typed")) ? 0 : 2);
        }
        return child;
}

/* Echo is off once the question stands there; it was on before, so that is told apart from a race. */
static void wait_until_hidden(int terminal)
{
        struct termios t;

        do {
                assert_int_equal(tcgetattr(terminal, &t), 0);
        } while (t.c_lflag & ECHO);
}

static void test_a_terminal_shows_nothing_that_is_typed(void **state)
{
        char screen[4096] = "";
        struct termios t;
        int terminal, status;
        pid_t child = ask(&terminal);

        watch(terminal, screen, sizeof(screen), "secret of 'x' (it is not shown): ");
        wait_until_hidden(terminal);
        assert_int_equal(write(terminal, "sk-typed\n", 9), 9);
        watch(terminal, screen, sizeof(screen), NULL);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
        assert_null(strstr(screen, "typed"));
        assert_int_equal(tcgetattr(terminal, &t), 0);
        assert_true(t.c_lflag & ECHO);
        close(terminal);
}

static void test_an_interruption_gives_the_terminal_back(void **state)
{
        char screen[4096] = "";
        struct termios t;
        int terminal, status;
        pid_t child = ask(&terminal);

        watch(terminal, screen, sizeof(screen), "shown): ");
        wait_until_hidden(terminal);
        assert_int_equal(write(terminal, "sk-ty\003", 6), 6);
        watch(terminal, screen, sizeof(screen), NULL);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGINT);
        assert_null(strstr(screen, "sk-ty"));
        assert_int_equal(tcgetattr(terminal, &t), 0);
        assert_true(t.c_lflag & ECHO);
        close(terminal);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_line_ends_are_cut),
                cmocka_unit_test(test_what_is_no_key_is_refused_and_not_repeated),
                cmocka_unit_test(test_pem_has_lines),
                cmocka_unit_test(test_size_has_an_end),
                cmocka_unit_test(test_a_file_is_read_the_same_way),
                cmocka_unit_test(test_a_terminal_shows_nothing_that_is_typed),
                cmocka_unit_test(test_an_interruption_gives_the_terminal_back),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
