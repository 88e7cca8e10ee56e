/*
 * The successor is a grandchild: its parent ends at once, so that the service manager becomes its parent and is told of
 * its end, as of any main process. Between fork() and execve() only async-signal-safe functions are called: this process
 * has threads.
 */
#include "daemon/successor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/predecessor.h"

#define READY_USEC (60 * SG_USEC_PER_SEC)
#define FDS_MAX    64

struct sg_successor {
        struct sg_successor_options options;
        struct sg_io io;
        struct sg_timer overdue;
        int channel; /* our end */
        pid_t pid;
        int pidfd; /* -1: not known yet, or given the service */
};

/* Async-signal-safe. */
static void say(int channel, const char *word, const char *what)
{
        char message[256];
        size_t n = 0;

        for (const char *p = word; *p && n < sizeof(message); p++)
                message[n++] = *p;
        for (const char *p = what; *p && n < sizeof(message); p++)
                message[n++] = *p;
        /* Who does not hear it any more has ended: that is noticed by the end of the channel. */
        (void)send(channel, message, n, MSG_NOSIGNAL);
}

/* ---- in the new process */

struct birth {
        const char *program;
        char *const *argv;
        struct sg_service_heir heir;
        int fds[FDS_MAX + 1]; /* the last is the channel */
        size_t n_fds;
};

/* First out of the way of their places, then to them. */
static bool move_descriptors(const struct birth *b)
{
        const int above = SG_SERVICE_FD_FIRST + (int)b->n_fds;
        int moved[FDS_MAX + 1];

        for (size_t i = 0; i < b->n_fds; i++) {
                moved[i] = fcntl(b->fds[i], F_DUPFD_CLOEXEC, above);
                if (moved[i] < 0)
                        return false;
        }
        for (size_t i = 0; i < b->n_fds; i++)
                if (dup2(moved[i], SG_SERVICE_FD_FIRST + (int)i) < 0)
                        return false;
        return true;
}

static _Noreturn void become(struct birth *b)
{
        int channel = b->fds[b->n_fds - 1];
        sigset_t none;

        sg_service_heir_set_pid(&b->heir, getpid());
        sigemptyset(&none);
        (void)signal(SIGPIPE, SIG_DFL);
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
        if (move_descriptors(b)) {
                channel = SG_SERVICE_FD_FIRST + (int)b->n_fds - 1;
                (void)execve(b->program, b->argv, b->heir.environ);
        }
        say(channel, "failed \t", strerrordesc_np(errno));
        _exit(1);
}

static _Noreturn void bear(struct birth *b)
{
        char digits[16] = "";
        size_t at = sizeof(digits) - 1;
        pid_t pid = fork();

        if (pid == 0)
                become(b);
        for (pid_t rest = pid; pid > 0 && rest > 0 && at > 0; rest /= 10)
                digits[--at] = (char)('0' + rest % 10);
        if (pid > 0)
                say(b->fds[b->n_fds - 1], "started ", digits + at);
        _exit(pid > 0 ? 0 : 1);
}

/* ---- here */

static void failed(struct sg_successor *s, const struct sg_error *err)
{
        sg_io_set(&s->io, 0);
        sg_timer_stop(&s->overdue);
        s->options.on_failed(err, s->options.owner);
}

static void take_started(struct sg_successor *s, struct sg_str pid)
{
        uint64_t n;

        if (s->pid || sg_str_to_u64(pid, &n))
                return;
        s->pid = (pid_t)n;
        s->pidfd = (int)syscall(SYS_pidfd_open, s->pid, 0);
        sg_debug("the successor is process %d", (int)s->pid);
}

static void take_ready(struct sg_successor *s, struct sg_str version)
{
        char text[64];

        (void)snprintf(text, sizeof(text), SG_STR_FMT, SG_STR_ARG(version));
        sg_timer_stop(&s->overdue);
        s->options.on_ready(s->pid, text, s->options.owner);
}

static void take_failed(struct sg_successor *s, struct sg_str message)
{
        size_t tab = sg_str_find_byte(message, '\t');
        struct sg_str text = sg_str_skip(message, SG_MIN(tab + 1, message.n));
        struct sg_error err = {0};
        char where[256];

        (void)snprintf(where, sizeof(where), SG_STR_FMT, SG_STR_ARG(sg_str_head(message, tab)));
        (void)sg_error_set(&err, -ECHILD, where, SG_STR_FMT, SG_STR_ARG(text));
        failed(s, &err);
}

static void on_channel(struct sg_io *io, unsigned ready, void *owner)
{
        struct sg_successor *s = owner;
        struct sg_error err = {0};
        char bytes[SG_PREDECESSOR_BYTES_MAX];
        struct sg_str message;
        ssize_t n = recv(s->channel, bytes, sizeof(bytes), MSG_DONTWAIT);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n <= 0) {
                sg_error_set(&err, -ECHILD, "", "the new process ended before it was ready; its own lines say why");
                failed(s, &err);
                return;
        }
        message = sg_str_make(bytes, (size_t)n);
        if (sg_str_starts(message, SG_STR("started ")))
                take_started(s, sg_str_skip(message, 8));
        else if (sg_str_starts(message, SG_STR("ready ")) && s->pid)
                take_ready(s, sg_str_skip(message, 6));
        else if (sg_str_starts(message, SG_STR("failed ")))
                take_failed(s, sg_str_skip(message, 7));
}

static void on_overdue(struct sg_timer *t, void *owner)
{
        struct sg_error err = {0};

        sg_error_set(&err, -ETIMEDOUT, "", "the new process was not ready within %llu s",
                     (unsigned long long)(READY_USEC / SG_USEC_PER_SEC));
        failed(owner, &err);
}

static int start(struct sg_successor *s, int channel)
{
        const struct sg_successor_options *o = &s->options;
        char *argv[] = {(char *)o->program, (char *)"--config", (char *)o->config_directory, NULL};
        struct birth b = {.program = o->program, .argv = argv, .n_fds = o->n_fds + 1};
        char predecessor[64], own[4096];
        const char *more[] = {predecessor, own};
        pid_t pid;
        int r;

        SG_ASSERT(o->n_fds <= FDS_MAX);
        for (size_t i = 0; i < o->n_fds; i++)
                b.fds[i] = o->fds[i].fd;
        b.fds[o->n_fds] = channel;
        (void)snprintf(predecessor, sizeof(predecessor), SG_PREDECESSOR_FD "=%d", SG_SERVICE_FD_FIRST + (int)o->n_fds);
        (void)snprintf(own, sizeof(own), SG_PREDECESSOR_OWN "=%s", o->own_names);
        r = sg_service_heir_init(&b.heir, o->fds, o->n_fds, more, SG_N_ELEMENTS(more));
        if (r)
                return r;
        pid = fork();
        if (pid == 0)
                bear(&b);
        r = pid < 0 ? -errno : 0;
        sg_service_heir_done(&b.heir);
        /* It only forks. */
        while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                ;
        return r;
}

int sg_successor_new(struct sg_successor **ret, struct sg_loop *l, const struct sg_successor_options *options,
                     struct sg_error *err)
{
        SG_AUTO(sg_successor_free) struct sg_successor *s = calloc(1, sizeof(*s));
        int channel[2], r;

        if (!s)
                return sg_error_set(err, -ENOMEM, "", "out of memory");
        s->options = *options;
        s->channel = s->pidfd = -1;
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel))
                return sg_error_set(err, -errno, "", "no socket pair for a successor: %s", strerror(errno));
        s->channel = channel[0];
        r = sg_io_init(&s->io, l, s->channel, on_channel, s);
        if (!r)
                r = sg_timer_init(&s->overdue, l, on_overdue, s);
        if (!r)
                r = start(s, channel[1]);
        close(channel[1]);
        s->options.fds = NULL; /* was lent for the start */
        s->options.own_names = NULL;
        if (r == -EOPNOTSUPP)
                return sg_error_set(err, r, "", "this program was built without systemd, which hands sockets over");
        if (r)
                return sg_error_set(err, r, options->program, "cannot be started: %s", strerror(-r));
        sg_io_set(&s->io, SG_IO_READ);
        sg_timer_start(&s->overdue, READY_USEC);
        *ret = SG_GIVE(s);
        return 0;
}

void sg_successor_give(struct sg_successor *s)
{
        say(s->channel, "yours", "");
        if (s->pidfd >= 0)
                close(s->pidfd);
        s->pidfd = -1;
}

struct sg_successor *sg_successor_free(struct sg_successor *s)
{
        if (!s)
                return NULL;
        if (s->io.loop)
                sg_io_done(&s->io);
        if (s->overdue.loop)
                sg_timer_done(&s->overdue);
        if (s->pidfd >= 0) {
                (void)syscall(SYS_pidfd_send_signal, s->pidfd, SIGKILL, NULL, 0);
                close(s->pidfd);
        }
        if (s->channel >= 0)
                close(s->channel);
        free(s);
        return NULL;
}
