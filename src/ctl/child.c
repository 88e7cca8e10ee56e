#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "ctl/ctl.h"

#define READ_BYTES 4096u

extern char **environ;

/* What the child ignores or not must not depend on us. */
static int set_signals(posix_spawnattr_t *attributes)
{
        sigset_t all;

        (void)sigfillset(&all);
        return posix_spawnattr_setsigdefault(attributes, &all) ||
                               posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGDEF)
                       ? -EINVAL
                       : 0;
}

static int spawn(pid_t *ret, const char *const argv[], int in, int out)
{
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attributes;
        int r;

        r = -posix_spawn_file_actions_init(&actions);
        if (r)
                return r;
        r = -posix_spawnattr_init(&attributes);
        if (r) {
                posix_spawn_file_actions_destroy(&actions);
                return r;
        }
        r = -posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
        if (!r)
                r = -posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
        if (!r)
                r = -posix_spawn_file_actions_adddup2(&actions, out, STDERR_FILENO);
        if (!r)
                r = set_signals(&attributes);
        if (!r)
                r = -posix_spawnp(ret, argv[0], &actions, &attributes, (char *const *)(uintptr_t)argv, environ);
        posix_spawnattr_destroy(&attributes);
        posix_spawn_file_actions_destroy(&actions);
        return r;
}

/* A child that ends before it has read all of it is no failure here: its status tells. */
static void write_all(int fd, struct sg_str s)
{
        while (s.n) {
                ssize_t n = write(fd, s.p, s.n);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return;
                s = sg_str_skip(s, (size_t)n);
        }
}

static void read_all(int fd, struct sg_buf *b)
{
        char bytes[READ_BYTES];

        for (;;) {
                ssize_t n = read(fd, bytes, sizeof(bytes));

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return;
                (void)!sg_buf_add(b, sg_str_make(bytes, (size_t)n)); /* read on: a full pipe would stop it */
        }
}

const char *sg_ctl_find_program(char *out, size_t out_bytes, const char *name, const char *place)
{
        const char *const places[] = {"", place};
        char self[4096];
        ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
        char *slash;

        if (n < 0)
                return name;
        self[n] = '\0';
        slash = strrchr(self, '/');
        for (size_t i = 0; slash && i < SG_N_ELEMENTS(places); i++) {
                int length = snprintf(out, out_bytes, "%.*s%s%s", (int)(slash - self) + 1, self, places[i], name);

                if (length > 0 && (size_t)length < out_bytes && access(out, X_OK) == 0)
                        return out;
        }
        return name;
}

int sg_ctl_run(const char *const argv[], struct sg_str input, struct sg_buf *output, int *ret_status)
{
        struct sigaction ignored = {.sa_handler = SIG_IGN}, before;
        int in[2], out[2], r;
        pid_t pid;

        (void)fflush(NULL);
        if (pipe2(in, O_CLOEXEC))
                return -errno;
        if (pipe2(out, O_CLOEXEC)) {
                r = -errno;
                close(in[0]);
                close(in[1]);
                return r;
        }
        r = spawn(&pid, argv, in[0], out[1]);
        close(in[0]);
        close(out[1]);
        if (r == 0) {
                (void)sigaction(SIGPIPE, &ignored, &before);
                write_all(in[1], input);
                (void)sigaction(SIGPIPE, &before, NULL);
        }
        close(in[1]);
        if (r == 0) {
                read_all(out[0], output);
                while (waitpid(pid, ret_status, 0) < 0 && errno == EINTR)
                        ;
        }
        close(out[0]);
        return r;
}
