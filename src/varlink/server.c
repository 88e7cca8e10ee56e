#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/message_id.h"
#include "varlink/server.h"

#define ACCEPT_AGAIN_USEC (100 * SG_USEC_PER_MSEC)
#define NO_FD_TELL_USEC   (10 * SG_USEC_PER_SEC) /* ten pauses a second would be ten lines */
#define ACCEPTS_PER_TURN  16u

struct listener {
        struct sg_link link;
        struct sg_varlink_server *server;
        int fd;
        struct sg_io io;
        char *path; /* NULL when it was handed over */
        dev_t dev;  /* of path: what stands there later may be a successor's */
        ino_t ino;
};

static size_t count_of_user(const struct sg_varlink_server *s, uid_t uid)
{
        size_t n = 0;

        SG_LIST_EACH (&s->conns, k)
                n += SG_CONTAINER(k, struct sg_varlink_conn, link)->peer.uid == uid;
        return n;
}

static bool is_room(const struct sg_varlink_server *s, int fd)
{
        struct ucred cred;
        socklen_t n = sizeof(cred);

        if (s->conns.n >= SG_VARLINK_CONNECTIONS_MAX || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n))
                return false;
        return cred.uid == 0 || count_of_user(s, cred.uid) < SG_VARLINK_PER_USER_MAX;
}

/* Without descriptors or memory the listener stays readable: it rests for a while, or the loop would spin. */
static void rest(struct sg_varlink_server *s, int error)
{
        uint64_t now_usec = sg_loop_now_usec(s->loop), n_held = sg_log_limit_due(&s->no_fd, now_usec);

        if (n_held)
                sg_log_held(SG_LOG_WARNING, "accept", n_held, NULL, 0);
        if (sg_log_limit_take(&s->no_fd, now_usec))
                sg_log_notable(SG_LOG_WARNING, SG_MESSAGE_DESCRIPTORS_FULL,
                               "cannot accept a control connection for a moment: %s", strerror(error));
        SG_LIST_EACH (&s->listeners, k)
                sg_io_set(&SG_CONTAINER(k, struct listener, link)->io, 0);
        sg_timer_start(&s->accept_again, ACCEPT_AGAIN_USEC);
}

static void on_accept_again(struct sg_timer *t, void *owner)
{
        struct sg_varlink_server *s = owner;

        SG_LIST_EACH (&s->listeners, k)
                sg_io_set(&SG_CONTAINER(k, struct listener, link)->io, SG_IO_READ);
}

static bool is_passing(int error)
{
        return error == EAGAIN || error == EINTR || error == ECONNABORTED;
}

static void on_listener(struct sg_io *io, unsigned ready, void *owner)
{
        struct listener *l = owner;

        for (unsigned i = 0; i < ACCEPTS_PER_TURN; i++) {
                int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), r;

                if (fd < 0) {
                        if (!is_passing(errno))
                                rest(l->server, errno);
                        return;
                }
                if (!is_room(l->server, fd)) {
                        sg_debug("control connection refused: too many are open");
                        close(fd);
                        continue;
                }
                r = sg_varlink_conn_new(l->server, fd);
                if (r)
                        sg_debug("control connection refused: %s", strerror(-r));
        }
}

static int add_listener(struct sg_varlink_server *s, int fd, const char *path)
{
        struct listener *l;
        struct stat st;
        int r;

        l = calloc(1, sizeof(*l));
        if (!l)
                return -ENOMEM;
        if (path) {
                l->path = strdup(path);
                if (!l->path || stat(path, &st)) {
                        r = l->path ? -errno : -ENOMEM;
                        goto failed;
                }
                l->dev = st.st_dev;
                l->ino = st.st_ino;
        }
        r = sg_io_init(&l->io, s->loop, fd, on_listener, l);
        if (r)
                goto failed;
        l->server = s;
        l->fd = fd;
        sg_list_push(&s->listeners, &l->link);
        sg_io_set(&l->io, SG_IO_READ);
        return 0;
failed:
        free(l->path);
        free(l);
        return r;
}

static void free_listener(struct sg_varlink_server *s, struct listener *l, bool removes_file)
{
        struct stat st;

        sg_io_done(&l->io);
        sg_list_remove(&s->listeners, &l->link);
        if (removes_file && l->path && lstat(l->path, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->ino)
                (void)unlink(l->path);
        close(l->fd);
        free(l->path);
        free(l);
}

int sg_varlink_server_listen(struct sg_varlink_server *s, const char *path, gid_t gid, struct sg_error *err)
{
        int fd, r;

        r = sg_varlink_bind(&fd, path, gid, err);
        if (r)
                return r;
        r = add_listener(s, fd, path);
        if (r) {
                (void)unlink(path);
                close(fd);
                return sg_error_set(err, r, path, "cannot serve the socket: %s", strerror(-r));
        }
        return 0;
}

int sg_varlink_server_listen_fd(struct sg_varlink_server *s, int fd)
{
        int flags = fcntl(fd, F_GETFL), domain = 0;
        socklen_t n = sizeof(domain);

        /* Only a Unix socket tells who calls. */
        if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n))
                return -errno;
        if (domain != AF_UNIX)
                return -EAFNOSUPPORT;
        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) || fcntl(fd, F_SETFD, FD_CLOEXEC))
                return -errno;
        return add_listener(s, fd, NULL);
}

int sg_varlink_server_fd(const struct sg_varlink_server *s)
{
        const struct sg_link *first = sg_list_first(&s->listeners);

        return first ? SG_CONTAINER(first, struct listener, link)->fd : -1;
}

void sg_varlink_server_stop_listening(struct sg_varlink_server *s)
{
        sg_timer_stop(&s->accept_again);
        SG_LIST_EACH (&s->listeners, k)
                free_listener(s, SG_CONTAINER(k, struct listener, link), false);
}

static void *copy_of(const void *p, size_t bytes)
{
        void *copy = malloc(bytes ? bytes : 1);

        if (copy && bytes)
                memcpy(copy, p, bytes);
        return copy;
}

/* Callers like to make these tables on their stack. */
static int copy_tables(struct sg_varlink_server *s, const struct sg_varlink_server_options *o)
{
        s->options = *o;
        s->options.interfaces = copy_of(o->interfaces, o->n_interfaces * sizeof(*o->interfaces));
        s->options.methods = copy_of(o->methods, o->n_methods * sizeof(*o->methods));
        return s->options.interfaces && s->options.methods ? 0 : -ENOMEM;
}

static void free_server(struct sg_varlink_server *s)
{
        free((void *)s->options.interfaces);
        free((void *)s->options.methods);
        free(s);
}

int sg_varlink_server_new(struct sg_varlink_server **ret, struct sg_loop *loop,
                          const struct sg_varlink_server_options *options)
{
        struct sg_varlink_server *s;
        int r;

        s = calloc(1, sizeof(*s));
        if (!s)
                return -ENOMEM;
        s->loop = loop;
        sg_list_init(&s->listeners);
        sg_list_init(&s->conns);
        sg_log_limit_init(&s->no_fd, 1, NO_FD_TELL_USEC);
        r = copy_tables(s, options);
        if (!r)
                r = sg_timer_init(&s->accept_again, loop, on_accept_again, s);
        if (r) {
                free_server(s);
                return r;
        }
        *ret = s;
        return 0;
}

struct sg_varlink_server *sg_varlink_server_free(struct sg_varlink_server *s)
{
        if (!s)
                return NULL;
        SG_LIST_EACH (&s->listeners, k)
                free_listener(s, SG_CONTAINER(k, struct listener, link), true);
        /* A call's on_gone may close others, but frees none. */
        while (!sg_list_is_empty(&s->conns)) {
                struct sg_varlink_conn *c = SG_CONTAINER(sg_list_first(&s->conns), struct sg_varlink_conn, link);

                sg_varlink_conn_close(c, "the server ends");
                sg_varlink_conn_free_now(c);
        }
        sg_timer_done(&s->accept_again);
        free_server(s);
        return NULL;
}
