/*
 * A descriptor is in the loop's epoll set while it has an interest: level-triggered, so that a connection that is never
 * full costs one epoll_ctl() in its life. Waiting for the hang-up alone is edge-triggered: it is told once, and a
 * listener that cannot act on it yet does not make the loop turn for ever. EPOLLERR and EPOLLHUP come unasked; they
 * are told as whatever was asked for, since every call on the descriptor will say what has happened.
 */
#include <sys/epoll.h>

#include "loop/internal.h"

static uint32_t events_of(unsigned interest)
{
        uint32_t events = 0;

        if (interest & SG_IO_READ)
                events |= EPOLLIN;
        if (interest & SG_IO_WRITE)
                events |= EPOLLOUT;
        if (interest & SG_IO_CLOSED)
                events |= EPOLLRDHUP;
        if ((interest & (SG_IO_READ | SG_IO_CLOSED)) == SG_IO_CLOSED)
                events |= EPOLLET;
        if (interest & SG_IO_SHARED)
                events |= EPOLLEXCLUSIVE;
        return events;
}

void sg_io_tell(struct sg_io *io, uint32_t events)
{
        unsigned ready = 0;

        if (events & (EPOLLIN | EPOLLERR | EPOLLHUP))
                ready |= SG_IO_READ;
        if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
                ready |= SG_IO_WRITE;
        if (events & (EPOLLRDHUP | EPOLLERR | EPOLLHUP))
                ready |= SG_IO_CLOSED;
        ready &= io->interest;
        if (ready)
                io->on_ready(io, ready, io->owner);
}

int sg_io_init(struct sg_io *io, struct sg_loop *l, int fd,
               void (*on_ready)(struct sg_io *io, unsigned ready, void *owner), void *owner)
{
        SG_ASSERT(sg_loop_is_mine(l));
        SG_ASSERT(fd >= 0);
        *io = (struct sg_io){.loop = l, .fd = fd, .on_ready = on_ready, .owner = owner};
        return 0;
}

/* What epoll_wait() has brought for it and was not told yet must find nobody. */
static void forget_ready(const struct sg_io *io)
{
        struct sg_loop *l = io->loop;

        for (int i = l->at_ready; i < l->n_ready; i++)
                if (l->ready[i].data.ptr == io)
                        l->ready[i] = (struct epoll_event){0};
}

void sg_io_done(struct sg_io *io)
{
        if (!io->loop)
                return;
        sg_io_set(io, 0);
        forget_ready(io);
        io->loop = NULL;
        io->fd = -1;
}

void sg_io_set(struct sg_io *io, unsigned interest)
{
        struct epoll_event event = {.events = events_of(interest), .data.ptr = io};
        unsigned before = io->interest;
        int set;

        if (before == interest)
                return;
        SG_ASSERT(io->loop);
        set = io->loop->epoll_fd;
        io->interest = interest;
        if (before && (!interest || ((before | interest) & SG_IO_SHARED))) { /* what is exclusive cannot be modified */
                (void)epoll_ctl(set, EPOLL_CTL_DEL, io->fd, NULL);
                before = 0;
        }
        /* It fails for want of kernel memory or watches only: as fatal as a failed page fault. */
        if (interest)
                SG_ASSERT(epoll_ctl(set, before ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, io->fd, &event) == 0);
}
