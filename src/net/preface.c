#include "net/preface.h"

#include <errno.h>
#include <sys/socket.h>

static void end(struct sg_preface *p, enum sg_preface_end why, const char *text)
{
        p->text = text;
        sg_io_set(&p->io, 0);
        p->on_end(p, why, p->owner);
}

static void end_closed(struct sg_preface *p, const char *text)
{
        end(p, sg_buf_length(&p->taken) ? SG_PREFACE_END_CLOSED : SG_PREFACE_END_EMPTY, text);
}

static ssize_t receive(int fd, char *out, size_t room, int flags)
{
        ssize_t n;

        do {
                n = recv(fd, out, room, flags);
        } while (n < 0 && errno == EINTR);
        return n;
}

/* n_seen bytes lie in the socket, after those that were taken before; all in `at`, which has room for them. */
static void judge(struct sg_preface *p, char *at, size_t n_seen)
{
        const size_t n_before = sg_buf_length(&p->taken);
        int r = sg_proxy_header_read(&p->header, sg_str_make(at, n_before + n_seen));
        const size_t n = r ? n_seen : p->header.n_bytes - n_before;

        if (r && r != SG_PROXY_HEADER_E_MORE) {
                end(p, SG_PREFACE_END_BROKEN, sg_proxy_header_error_text((enum sg_proxy_header_error)r));
                return;
        }
        /* What is seen is there. */
        SG_ASSERT(n <= n_seen);
        if (receive(p->io.fd, at + n_before, n, 0) != (ssize_t)n) {
                end(p, SG_PREFACE_END_ERROR, "its bytes could not be taken");
                return;
        }
        if (!r)
                end(p, SG_PREFACE_END_HEADER, "");
        else if (sg_buf_add(&p->taken, sg_str_make(at + n_before, n)))
                end(p, SG_PREFACE_END_ERROR, strerrordesc_np(ENOMEM));
}

static void on_ready(struct sg_io *io, unsigned ready, void *owner)
{
        struct sg_preface *p = owner;
        const struct sg_str before = sg_buf_view(&p->taken);
        char *scratch = sg_loop_scratch(io->loop);
        ssize_t n;

        if (!scratch) {
                end(p, SG_PREFACE_END_ERROR, strerrordesc_np(ENOMEM));
                return;
        }
        if (before.n)
                memcpy(scratch, before.p, before.n);
        n = receive(io->fd, scratch + before.n, SG_PROXY_HEADER_BYTES_MAX - before.n, MSG_PEEK);
        if (n > 0)
                judge(p, scratch, (size_t)n);
        else if (n == 0)
                end_closed(p, "the peer closed the connection");
        else if (errno == ECONNRESET)
                end_closed(p, strerrordesc_np(ECONNRESET)); /* balancers end their looks so, to keep no state */
        else if (errno != EAGAIN)
                end(p, SG_PREFACE_END_ERROR, strerrordesc_np(errno));
}

int sg_preface_init(struct sg_preface *p, struct sg_loop *l, int fd,
                    void (*on_end)(struct sg_preface *p, enum sg_preface_end end, void *owner), void *owner)
{
        int r;

        *p = (struct sg_preface){.on_end = on_end, .owner = owner};
        sg_buf_init(&p->taken, SG_PROXY_HEADER_BYTES_MAX);
        r = sg_io_init(&p->io, l, fd, on_ready, p);
        if (!r)
                sg_io_set(&p->io, SG_IO_READ);
        return r;
}

void sg_preface_done(struct sg_preface *p)
{
        sg_io_done(&p->io);
        sg_buf_done(&p->taken);
}
