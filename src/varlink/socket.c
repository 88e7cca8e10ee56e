#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/message_id.h"
#include "varlink/message.h"

static int fill_address(struct sockaddr_un *a, const char *path)
{
        size_t n = strlen(path);

        if (n == 0 || n >= sizeof(a->sun_path))
                return -ENAMETOOLONG;
        *a = (struct sockaddr_un){.sun_family = AF_UNIX};
        memcpy(a->sun_path, path, n + 1);
        return 0;
}

int sg_varlink_connect(int *ret_fd, const char *path, int flags)
{
        struct sockaddr_un address;
        int fd, r;

        r = fill_address(&address, path);
        if (r)
                return r;
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
        if (fd < 0)
                return -errno;
        /* On a Unix socket this is done at once, or fails with EAGAIN while the server's backlog is full. */
        do
                r = connect(fd, (const struct sockaddr *)&address, sizeof(address)) ? -errno : 0;
        while (r == -EINTR);
        if (r) {
                close(fd);
                return r;
        }
        *ret_fd = fd;
        return 0;
}

/* A socket without a listener refuses connections; anything else at that path is not ours to remove. */
static int remove_stale(const char *path)
{
        struct stat st;
        int fd, r;

        if (lstat(path, &st))
                return errno == ENOENT ? 0 : -errno;
        if (!S_ISSOCK(st.st_mode))
                return -EEXIST;
        r = sg_varlink_connect(&fd, path, SOCK_NONBLOCK);
        if (r == 0)
                close(fd);
        if (r == 0 || r == -EAGAIN)
                return -EADDRINUSE;
        if (r != -ECONNREFUSED)
                return r;
        return unlink(path) && errno != ENOENT ? -errno : 0;
}

static int bind_and_listen(int fd, const char *path, gid_t gid, struct sg_error *err)
{
        struct sockaddr_un address;
        struct stat st;
        int r;

        r = fill_address(&address, path);
        if (r)
                return sg_error_set(err, r, path, "the path of a socket must have 1 to %zu bytes",
                                    sizeof(address.sun_path) - 1);
        r = remove_stale(path);
        if (r == -EADDRINUSE)
                return sg_error_set(err, r, path, "another process serves this socket");
        if (r == -EEXIST)
                return sg_error_set(err, r, path, "this is not a socket: remove it or choose another path");
        if (!r && bind(fd, (const struct sockaddr *)&address, sizeof(address)))
                r = -errno;
        if (r)
                return sg_error_set(err, r, path, "cannot make the socket: %s", strerror(-r));
        if (lstat(path, &st))
                return sg_error_set(err, -errno, path, "the socket has gone: %s", strerror(errno));
        /* Nobody can connect before listen(), so that there is no moment with looser rights. A sandbox may forbid
         * chown(), which is not needed for the group that the socket has by itself. */
        if (gid != (gid_t)-1 && gid != st.st_gid && lchown(path, (uid_t)-1, gid))
                return sg_error_set(err, -errno, path, "cannot give the socket to group %u: %s", (unsigned)gid,
                                    strerror(errno));
        if (chmod(path, 0660) || listen(fd, SOMAXCONN))
                return sg_error_set(err, -errno, path, "cannot open the socket: %s", strerror(errno));
        return 0;
}

int sg_varlink_bind(int *ret_fd, const char *path, gid_t gid, struct sg_error *err)
{
        int fd, r;

        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return sg_error_set(err, -errno, path, "cannot make a socket: %s", strerror(errno));
        r = bind_and_listen(fd, path, gid, err);
        if (r) {
                if (r == -EADDRINUSE)
                        sg_error_notable(err, SG_MESSAGE_ADDRESS);
                sg_error_about_files(err);
                close(fd);
                return r;
        }
        *ret_fd = fd;
        return 0;
}

static int read_groups(struct sg_varlink_peer *peer, int fd)
{
        socklen_t n = sizeof(peer->groups);
        gid_t *all;
        int r = 0;

        if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, peer->groups, &n) == 0) {
                peer->n_groups = n / sizeof(gid_t);
                return 0;
        }
        if (errno != ERANGE)
                return -errno;
        /* More than fit; the kernel has put the needed length into n. */
        all = malloc(n);
        if (!all)
                return -ENOMEM;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, all, &n)) {
                r = -errno;
        } else {
                peer->n_groups = SG_MIN(n / sizeof(gid_t), SG_N_ELEMENTS(peer->groups));
                memcpy(peer->groups, all, peer->n_groups * sizeof(gid_t));
        }
        free(all);
        return r;
}

int sg_varlink_peer_of(struct sg_varlink_peer *ret, int fd)
{
        struct ucred cred;
        socklen_t n = sizeof(cred);

        *ret = (struct sg_varlink_peer){};
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n))
                return -errno;
        ret->uid = cred.uid;
        ret->gid = cred.gid;
        ret->pid = cred.pid;
        return read_groups(ret, fd);
}

bool sg_varlink_peer_is_in(const struct sg_varlink_peer *peer, gid_t group)
{
        if (peer->gid == group)
                return true;
        for (size_t i = 0; i < peer->n_groups; i++)
                if (peer->groups[i] == group)
                        return true;
        return false;
}
