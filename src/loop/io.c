/*
 * A descriptor has two libevent events: `reading` persists, `writing` is added only while it is asked for, so that a
 * connection that is never full costs one epoll_ctl() in its life.
 *
 * Waiting for the hang-up alone has a trap. For EPOLLERR and EPOLLHUP libevent 2.1 reports EV_READ | EV_WRITE and not
 * EV_CLOSED: an event for EV_CLOSED alone would not be called when the peer resets, and epoll_wait() would return at
 * once for ever. So that mode watches EV_READ | EV_CLOSED edge-triggered (new bytes wake us once and are left alone;
 * there can be as many wake-ups as the receive window holds packets) and asks poll() what has come. libevent wants the
 * events of a descriptor to be all edge- or all level-triggered, hence the write event follows.
 */
#include <errno.h>
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

static void on_reading(evutil_socket_t fd, short what, void *arg)
{
        struct sg_io *io = arg;
        unsigned ready = 0;

        if (is_closed_only(io->interest)) {
                if (has_hung_up(io->fd))
                        ready = SG_IO_CLOSED;
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

static void on_writing(evutil_socket_t fd, short what, void *arg)
{
        struct sg_io *io = arg;

        if (io->interest & SG_IO_WRITE)
                io->on_ready(io, SG_IO_WRITE, io->owner);
}

static short reading_events(unsigned interest)
{
        if (is_closed_only(interest))
                return EV_READ | EV_CLOSED | EV_ET | EV_PERSIST;
        if (interest & SG_IO_CLOSED)
                return EV_READ | EV_CLOSED | EV_PERSIST;
        return EV_READ | EV_PERSIST;
}

static short writing_events(unsigned interest)
{
        return is_closed_only(interest) ? EV_WRITE | EV_ET | EV_PERSIST : EV_WRITE | EV_PERSIST;
}

int sg_io_init(struct sg_io *io, struct sg_loop *l, int fd,
               void (*on_ready)(struct sg_io *io, unsigned ready, void *owner), void *owner)
{
        SG_ASSERT(sg_loop_is_mine(l));
        SG_ASSERT(fd >= 0);
        *io = (struct sg_io){.loop = l, .fd = fd, .on_ready = on_ready, .owner = owner};
        if (event_assign(&io->reading, l->base, fd, reading_events(0), on_reading, io) ||
            event_assign(&io->writing, l->base, fd, writing_events(0), on_writing, io))
                return -EINVAL;
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

static bool wants_reading(unsigned interest)
{
        return interest & (SG_IO_READ | SG_IO_CLOSED);
}

static void add_or_del(struct event *e, bool was, bool is)
{
        if (was && !is)
                event_del(e);
        /* epoll_ctl() fails for want of kernel memory or watches only: as fatal as a failed page fault. */
        if (is && !was)
                SG_ASSERT(event_add(e, NULL) == 0);
}

void sg_io_set(struct sg_io *io, unsigned interest)
{
        unsigned before = io->interest;

        if (before == interest)
                return;
        SG_ASSERT(io->loop);
        if ((interest && reading_events(before) != reading_events(interest)) ||
            writing_events(before) != writing_events(interest)) {
                /* Another trigger: both events must be off before one goes on again. */
                add_or_del(&io->reading, wants_reading(before), false);
                add_or_del(&io->writing, before & SG_IO_WRITE, false);
                event_assign(&io->reading, io->loop->base, io->fd, reading_events(interest), on_reading, io);
                event_assign(&io->writing, io->loop->base, io->fd, writing_events(interest), on_writing, io);
                before = 0;
        }
        io->interest = interest;
        add_or_del(&io->reading, wants_reading(before), wants_reading(interest));
        add_or_del(&io->writing, before & SG_IO_WRITE, interest & SG_IO_WRITE);
}
