#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log_limit.h"
#include "base/message_id.h"
#include "net/listen.h"

#define BACKLOG          4096
#define ACCEPTS_PER_WAKE 16
#define NO_FD_PAUSE_USEC (100 * SG_USEC_PER_MSEC)
#define NO_FD_TELL_USEC  (10 * SG_USEC_PER_SEC) /* ten pauses a second would be ten lines */

/* ---- binding */

static int say_why(struct sg_error *err, int e, const struct sg_address *a)
{
        switch (e) {
        case EADDRINUSE:
                return sg_error_set(err, e, a->text,
                                    "address already in use: another program listens there (\"ss -ltnp\" shows which)");
        case EADDRNOTAVAIL:
                return sg_error_set(err, e, a->text, "no interface of this machine has this address");
        case EACCES:
        case EPERM:
                return sg_error_set(
                        err, e, a->text,
                        "not allowed: ports below 1024 need a systemd socket unit or CAP_NET_BIND_SERVICE, a "
                        "socket file a directory that can be written");
        case ENOENT:
                return sg_error_set(err, e, a->text, "the directory of the socket file does not exist");
        default:
                return sg_error_set(err, e, a->text, "cannot listen: %s", strerrordesc_np(e));
        }
}

static int explain(struct sg_error *err, int e, const struct sg_address *a)
{
        int r = say_why(err, e, a);

        sg_error_notable(err, SG_MESSAGE_ADDRESS);
        return r;
}

/* A socket file outlives its process. Nobody listens on it when connecting is refused. */
static bool remove_stale(const struct sg_address *a)
{
        const struct sockaddr_un *un = (const void *)&a->socket;
        struct stat st;
        int fd, e;

        if (lstat(un->sun_path, &st) || !S_ISSOCK(st.st_mode))
                return false;
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return false;
        e = connect(fd, (const struct sockaddr *)un, a->length) ? errno : 0;
        close(fd);
        return e == ECONNREFUSED && unlink(un->sun_path) == 0;
}

static int open_socket(const struct sg_address *a, struct sg_address *ret_used)
{
        const int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, on = 1, off = 0;
        const struct sockaddr_in6 *in6 = (const void *)&a->socket;
        int fd;

        *ret_used = *a;
        fd = socket(a->socket.ss_family, type, 0);
        if (fd < 0 && errno == EAFNOSUPPORT && a->socket.ss_family == AF_INET6 &&
            IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr)) {
                /* All addresses of a machine without IPv6. */
                *(struct sockaddr_in *)&ret_used->socket =
                        (struct sockaddr_in){.sin_family = AF_INET, .sin_port = in6->sin6_port};
                ret_used->length = sizeof(struct sockaddr_in);
                fd = socket(AF_INET, type, 0);
        }
        if (fd < 0)
                return -errno;
        if (a->socket.ss_family != AF_UNIX) {
                (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
                (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        }
        if (ret_used->socket.ss_family == AF_INET6)
                (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
        return fd;
}

int sg_listen_bind(int *ret_fd, const struct sg_address *address, struct sg_error *err)
{
        struct sg_address used;
        const struct sockaddr *where = (const struct sockaddr *)&used.socket;
        int fd, r;

        fd = open_socket(address, &used);
        if (fd < 0)
                return explain(err, -fd, address);
        r = bind(fd, where, used.length);
        if (r && errno == EADDRINUSE && used.socket.ss_family == AF_UNIX) {
                if (remove_stale(&used))
                        r = bind(fd, where, used.length);
                else
                        errno = EADDRINUSE;
        }
        if (!r)
                r = listen(fd, BACKLOG);
        if (r) {
                r = explain(err, errno, address);
                close(fd);
                return r;
        }
        *ret_fd = fd;
        return 0;
}

/* ---- accepting */

struct sg_acceptor {
        int fd;
        struct sg_io io;
        struct sg_timer pause;
        struct sg_log_limit no_fd;
        struct sg_deferred deferred;
        struct sg_loop *loop;
        void (*on_connection)(int fd, void *owner);
        void *owner;
        bool is_freed;
};

/* What a connection did before it was accepted, or the network, is not the listener's trouble: accept(2). */
static bool is_passing(int e)
{
        return e == EINTR || e == ECONNABORTED || e == EPROTO || e == ENETDOWN || e == ENOPROTOOPT || e == EHOSTDOWN ||
               e == ENONET || e == EHOSTUNREACH || e == EOPNOTSUPP || e == ENETUNREACH;
}

/* Of several loops the kernel wakes the one that asked first: who has taken something asks anew, behind the others. */
static void ask_anew(struct sg_acceptor *a)
{
        sg_io_set(&a->io, 0);
        sg_io_set(&a->io, SG_IO_READ | SG_IO_SHARED);
}

static void on_ready(struct sg_io *io, unsigned ready, void *owner)
{
        struct sg_acceptor *a = owner;
        bool has_taken = false;

        for (int i = 0; i < ACCEPTS_PER_WAKE && !a->is_freed; i++) {
                int fd = accept4(a->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

                if (fd >= 0) {
                        a->on_connection(fd, a->owner);
                        has_taken = true;
                        continue;
                }
                if (errno == EAGAIN)
                        break;
                if (is_passing(errno))
                        continue;
                /* No descriptor or memory left: the level-triggered event would turn the loop for ever. */
                if (sg_log_limit_take(&a->no_fd, sg_loop_now_usec(a->loop)))
                        sg_log_notable(SG_LOG_WARNING, SG_MESSAGE_DESCRIPTORS_FULL,
                                       "cannot accept connections for a moment: %s", strerrordesc_np(errno));
                sg_io_set(&a->io, 0);
                sg_timer_start(&a->pause, NO_FD_PAUSE_USEC);
                return;
        }
        if (has_taken && !a->is_freed)
                ask_anew(a);
}

static void on_pause_over(struct sg_timer *t, void *owner)
{
        struct sg_acceptor *a = owner;
        uint64_t n_held = sg_log_limit_due(&a->no_fd, sg_loop_now_usec(a->loop));

        if (n_held)
                sg_log_held(SG_LOG_WARNING, "accept", n_held, NULL, 0);
        sg_io_set(&a->io, SG_IO_READ | SG_IO_SHARED);
}

static void free_later(struct sg_deferred *d)
{
        free(SG_CONTAINER(d, struct sg_acceptor, deferred));
}

int sg_acceptor_new(struct sg_acceptor **ret, struct sg_loop *l, int fd, void (*on_connection)(int fd, void *owner),
                    void *owner)
{
        const int on = 1;
        struct sg_acceptor *a;
        int r;

        a = calloc(1, sizeof(*a));
        if (!a)
                return -ENOMEM;
        *a = (struct sg_acceptor){.fd = fd, .loop = l, .on_connection = on_connection, .owner = owner};
        a->deferred.run = free_later;
        sg_log_limit_init(&a->no_fd, 1, NO_FD_TELL_USEC);
        /* A descriptor that systemd made has it not; accepted sockets inherit it. Not for Unix sockets. */
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        r = sg_io_init(&a->io, l, fd, on_ready, a);
        if (!r)
                r = sg_timer_init(&a->pause, l, on_pause_over, a);
        if (r) {
                free(a);
                return r;
        }
        *ret = a;
        return 0;
}

void sg_acceptor_start(struct sg_acceptor *a)
{
        sg_io_set(&a->io, SG_IO_READ | SG_IO_SHARED);
}

struct sg_acceptor *sg_acceptor_free(struct sg_acceptor *a)
{
        uint64_t n_held;

        if (!a)
                return NULL;
        SG_ASSERT(!a->is_freed);
        a->is_freed = true;
        n_held = sg_log_limit_rest(&a->no_fd);
        if (n_held)
                sg_log_held(SG_LOG_WARNING, "accept", n_held, NULL, 0);
        sg_io_done(&a->io);
        sg_timer_done(&a->pause);
        sg_loop_defer(a->loop, &a->deferred);
        return NULL;
}
