/*
 * A descriptor has one libevent event, which persists; writing is part of it only while it is asked for, so that a
 * connection that is never full costs one epoll_ctl() in its life.
 *
 * Waiting for the hang-up alone has a trap. For EPOLLERR and EPOLLHUP libevent 2.1 reports EV_READ | EV_WRITE and not
 * EV_CLOSED: an event for EV_CLOSED alone would not be called when the peer resets, and epoll_wait() would return at
 * once for ever. So that mode watches EV_READ | EV_CLOSED edge-triggered (new bytes wake us once and are left alone;
 * there can be as many wake-ups as the receive window holds packets) and asks poll() what has come.
 */
#include <event2/event.h>
#include <poll.h>

#include "loop/internal.h"

static bool is_closed_only(unsigned interest)
{
        return (interest & (SG_IO_READ | SG_IO_CLOSED)) == SG_IO_CLOSED;
}

static bool has_hung_up(int fd)
{
        struct pollfd p = {.fd = fd, .events = POLLRDHUP};

        return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
        struct sg_io *io = arg;
        unsigned ready = what & EV_WRITE ? SG_IO_WRITE : 0;

        if (is_closed_only(io->interest)) {
                if ((what & (EV_READ | EV_CLOSED)) && has_hung_up(io->fd))
                        ready |= SG_IO_CLOSED;
        } else {
                if (what & EV_READ)
                        ready |= SG_IO_READ;
                if (what & EV_CLOSED)
                        ready |= SG_IO_CLOSED;
        }
        ready &= io->interest;
        if (ready)
                io->on_ready(io, ready, io->owner);
}

static short events_of(unsigned interest)
{
        short events = EV_PERSIST;

        if (is_closed_only(interest))
                events |= EV_READ | EV_CLOSED | EV_ET;
        else if (interest & SG_IO_READ)
                events |= interest & SG_IO_CLOSED ? EV_READ | EV_CLOSED : EV_READ;
        return interest & SG_IO_WRITE ? events | EV_WRITE : events;
}

int sg_io_init(struct sg_io *io, struct sg_loop *l, int fd,
               void (*on_ready)(struct sg_io *io, unsigned ready, void *owner), void *owner)
{
        SG_ASSERT(sg_loop_is_mine(l));
        SG_ASSERT(fd >= 0);
        *io = (struct sg_io){.loop = l, .fd = fd, .on_ready = on_ready, .owner = owner};
        return 0;
}

void sg_io_done(struct sg_io *io)
{
        if (!io->loop)
                return;
        if (io->interest)
                sg_io_set(io, 0);
        io->loop = NULL;
        io->fd = -1;
}

void sg_io_set(struct sg_io *io, unsigned interest)
{
        if (io->interest == interest)
                return;
        SG_ASSERT(io->loop);
        if (io->interest)
                event_del(&io->event);
        io->interest = interest;
        /* epoll_ctl() fails for want of kernel memory or watches only: as fatal as a failed page fault. */
        if (interest)
                SG_ASSERT(event_assign(&io->event, io->loop->base, io->fd, events_of(interest), on_event, io) == 0 &&
                          event_add(&io->event, NULL) == 0);
}
