#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "loop/loop.h"

struct sg_signals {
        struct sg_io io;
        int fd;
        void (*on_signal)(int signal, void *owner);
        void *owner;
        bool is_telling, is_freed;
};

static void on_ready(struct sg_io *io, unsigned ready, void *owner)
{
        struct sg_signals *s = owner;
        struct signalfd_siginfo infos[8];
        ssize_t n;

        n = read(s->fd, infos, sizeof(infos));
        s->is_telling = true;
        for (size_t i = 0; n > 0 && i < (size_t)n / sizeof(infos[0]) && !s->is_freed; i++)
                s->on_signal((int)infos[i].ssi_signo, s->owner);
        s->is_telling = false;
        if (s->is_freed)
                free(s);
}

int sg_signals_new(struct sg_signals **ret, struct sg_loop *l, const int *signals, size_t n_signals,
                   void (*on_signal)(int signal, void *owner), void *owner)
{
        struct sg_signals *s;
        sigset_t set;
        int r;

        sigemptyset(&set);
        for (size_t i = 0; i < n_signals; i++)
                if (sigaddset(&set, signals[i]))
                        return -EINVAL;
        s = calloc(1, sizeof(*s));
        if (!s)
                return -ENOMEM;
        s->on_signal = on_signal;
        s->owner = owner;
        s->fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
        if (s->fd < 0) {
                r = -errno;
                free(s);
                return r;
        }
        r = sg_io_init(&s->io, l, s->fd, on_ready, s);
        if (!r)
                r = -pthread_sigmask(SIG_BLOCK, &set, NULL);
        if (r) {
                close(s->fd);
                free(s);
                return r;
        }
        sg_io_set(&s->io, SG_IO_READ);
        *ret = s;
        return 0;
}

struct sg_signals *sg_signals_free(struct sg_signals *s)
{
        if (!s)
                return NULL;
        sg_io_done(&s->io);
        close(s->fd);
        if (s->is_telling)
                s->is_freed = true;
        else
                free(s);
        return NULL;
}
