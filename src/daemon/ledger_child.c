#include "daemon/ledger_child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/message_id.h"
#include "sg_build.h"

#define RESTART_USEC_MIN (100 * SG_USEC_PER_MSEC)
#define RESTART_USEC_MAX (5 * SG_USEC_PER_SEC)
#define STEADY_USEC      (10 * SG_USEC_PER_SEC) /* has lived so long: the next end is a first one again */
#define END_MSEC         10000

struct sg_ledger_child {
        char program[SG_LEDGER_PROGRAM_BYTES];
        const char *config_directory;
        struct sg_timer restart;
        uint64_t wait_usec, started_usec;
        pid_t pid;    /* 0: not running */
        int alive_fd; /* write end; the child reads the end of file when we are gone */
};

static bool try_program(char *out, const char *directory, const char *name)
{
        int n = snprintf(out, SG_LEDGER_PROGRAM_BYTES, "%s/%s", directory, name);

        return n > 0 && n < SG_LEDGER_PROGRAM_BYTES && access(out, X_OK) == 0;
}

int sg_ledger_find_program(char ret[SG_LEDGER_PROGRAM_BYTES], struct sg_error *err)
{
        static const char *const beside[] = {"scribe-ledger", "../ledger/scribe-ledger"};
        char self[2048];
        ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

        if (n > 0) {
                self[n] = '\0';
                *strrchr(self, '/') = '\0';
                for (size_t i = 0; i < SG_N_ELEMENTS(beside); i++)
                        if (try_program(ret, self, beside[i]))
                                return 0;
        }
        if (try_program(ret, SG_BINDIR, "scribe-ledger"))
                return 0;
        return sg_error_set(
                err, -ENOENT, ret,
                "scribe-ledger is neither beside this program nor installed; install it, or run it as a service "
                "and set [ledger] start = no");
}

/* Signals are blocked in this process, and must not be in the child. */
static int child_spawn(struct sg_ledger_child *c, int pipe_read)
{
        char *argv[] = {c->program, (char *)"--config", (char *)c->config_directory, (char *)"--parent-fd", (char *)"3",
                        NULL};
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attributes;
        extern char **environ;
        sigset_t none, all;
        int r;

        sigemptyset(&none);
        sigfillset(&all);
        posix_spawnattr_init(&attributes);
        posix_spawnattr_setsigmask(&attributes, &none);
        posix_spawnattr_setsigdefault(&attributes, &all);
        posix_spawnattr_setpgroup(&attributes, 0); /* a Ctrl-C in the terminal is for the gateway to pass on */
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, pipe_read, 3);
        r = posix_spawn(&c->pid, c->program, &actions, &attributes, argv, environ);
        posix_spawn_file_actions_destroy(&actions);
        posix_spawnattr_destroy(&attributes);
        if (r)
                c->pid = 0;
        return -r;
}

static void child_start(struct sg_ledger_child *c)
{
        int fds[2], r;

        if (pipe2(fds, O_CLOEXEC)) {
                r = -errno;
        } else {
                c->alive_fd = fds[1];
                r = child_spawn(c, fds[0]);
                close(fds[0]);
        }
        c->started_usec = sg_clock_usec();
        if (r == 0) {
                sg_debug("ledger started as process %d", (int)c->pid);
                return;
        }
        sg_log_notable(SG_LOG_ERR, SG_MESSAGE_LEDGER_FAILED, "the ledger could not be started (%s): %s", c->program,
                       strerror(-r));
        if (c->alive_fd >= 0)
                close(c->alive_fd);
        c->alive_fd = -1;
        sg_timer_start(&c->restart, RESTART_USEC_MAX);
}

static void child_on_restart(struct sg_timer *t, void *owner)
{
        child_start(owner);
}

int sg_ledger_child_new(struct sg_ledger_child **ret, struct sg_loop *l, const char *config_directory,
                        struct sg_error *err)
{
        struct sg_ledger_child *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return sg_error_set(err, -ENOMEM, "", "out of memory");
        r = sg_ledger_find_program(c->program, err);
        if (!r && sg_timer_init(&c->restart, l, child_on_restart, c))
                r = sg_error_set(err, -ENOMEM, "", "out of memory");
        if (r) {
                free(c);
                return r;
        }
        c->config_directory = config_directory;
        c->alive_fd = -1;
        c->wait_usec = RESTART_USEC_MIN;
        child_start(c);
        *ret = c;
        return 0;
}

static void say_end(int status)
{
        if (WIFSIGNALED(status))
                sg_log_notable(SG_LOG_WARNING, SG_MESSAGE_LEDGER_FAILED,
                               "the ledger was killed by signal %d (%s); it is started again, known keys keep working",
                               WTERMSIG(status), strsignal(WTERMSIG(status)));
        else
                sg_log_notable(
                        SG_LOG_WARNING, SG_MESSAGE_LEDGER_FAILED,
                        "the ledger ended with status %d (its own lines above say why); it is started again, known "
                        "keys keep working",
                        WEXITSTATUS(status));
}

pid_t sg_ledger_child_pid(const struct sg_ledger_child *c)
{
        return c ? c->pid : 0;
}

void sg_ledger_child_reload(struct sg_ledger_child *c)
{
        if (c->pid && kill(c->pid, SIGHUP))
                sg_warning("the ledger could not be told to read its configuration again: %s", strerror(errno));
}

void sg_ledger_child_reap(struct sg_ledger_child *c)
{
        int status;

        if (!c->pid || waitpid(c->pid, &status, WNOHANG) != c->pid)
                return;
        say_end(status);
        c->pid = 0;
        close(c->alive_fd);
        c->alive_fd = -1;
        if (sg_clock_usec() - c->started_usec > STEADY_USEC)
                c->wait_usec = RESTART_USEC_MIN;
        sg_timer_start(&c->restart, c->wait_usec);
        c->wait_usec = SG_MIN(2 * c->wait_usec, RESTART_USEC_MAX);
}

struct sg_ledger_child *sg_ledger_child_free(struct sg_ledger_child *c)
{
        if (!c)
                return NULL;
        sg_timer_done(&c->restart);
        if (c->alive_fd >= 0)
                close(c->alive_fd);
        if (c->pid) {
                int pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0);
                struct pollfd ended = {.fd = pidfd, .events = POLLIN};

                if (pidfd < 0 || poll(&ended, 1, END_MSEC) <= 0) {
                        sg_warning(
                                "the ledger did not end within %d s and is killed; it will go on from the journal at "
                                "its next start",
                                END_MSEC / 1000);
                        kill(c->pid, SIGKILL);
                }
                if (pidfd >= 0)
                        close(pidfd);
                waitpid(c->pid, NULL, 0);
        }
        free(c);
        return NULL;
}
