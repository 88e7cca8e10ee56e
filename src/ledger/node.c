#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/random.h"
#include "ledger/node.h"

static int read_file(char ret[SG_NODE_CHARS + 1], const char *path)
{
        uint8_t bytes[SG_NODE_CHARS / 2];
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        ssize_t n;

        if (fd < 0)
                return -errno;
        n = read(fd, ret, SG_NODE_CHARS);
        (void)close(fd);
        ret[SG_NODE_CHARS] = '\0';
        return n == SG_NODE_CHARS && sg_unhex(bytes, sizeof(bytes), ret, SG_NODE_CHARS) == 0 ? 0 : -EUCLEAN;
}

/* Written aside and linked: whatever has the name is whole, and of two that make it at once the first stays. */
static int make_file(const char *path)
{
        char part[4096 + 32], text[SG_NODE_CHARS + 1];
        uint8_t bytes[SG_NODE_CHARS / 2];
        int fd, r = 0;

        sg_random_bytes(bytes, sizeof(bytes));
        sg_hex(text, bytes, sizeof(bytes));
        (void)snprintf(part, sizeof(part), "%s.%.8s", path, text);
        text[SG_NODE_CHARS] = '\n';
        fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        if (write(fd, text, sizeof(text)) != (ssize_t)sizeof(text))
                r = -ENOSPC;
        else if (fsync(fd) < 0 || (link(part, path) < 0 && errno != EEXIST))
                r = -errno;
        (void)close(fd);
        (void)unlink(part);
        return r;
}

int sg_node_read(char ret[SG_NODE_CHARS + 1], const char *directory, struct sg_error *err)
{
        char path[4096];
        int n = snprintf(path, sizeof(path), "%s/node", directory), r;

        if (n < 0 || (size_t)n >= sizeof(path))
                return sg_error_set(err, -ENAMETOOLONG, directory, "the path is too long");
        r = read_file(ret, path);
        if (r == -ENOENT) {
                r = make_file(path);
                if (!r)
                        r = read_file(ret, path);
        }
        if (r == -EUCLEAN)
                return sg_error_set(err, r, path,
                                    "this is no name of a node (32 hex digits): remove the file, and it is made anew");
        return r ? sg_error_set(err, r, path, "cannot read or make the node's name: %s", strerror(-r)) : 0;
}
