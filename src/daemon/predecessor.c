#include "daemon/predecessor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct sg_predecessor {
        int channel;
        char *own; /* "http,https" */
        struct sg_io io;
        void (*on_word)(bool is_ours, void *owner);
        void *owner;
};

static bool is_channel(uint64_t fd)
{
        int type = 0;
        socklen_t n = sizeof(type);

        return fd <= INT32_MAX && getsockopt((int)fd, SOL_SOCKET, SO_TYPE, &type, &n) == 0 && type == SOCK_SEQPACKET &&
               fcntl((int)fd, F_SETFD, FD_CLOEXEC) == 0;
}

int sg_predecessor_find(struct sg_predecessor **ret, struct sg_error *err)
{
        SG_AUTO(sg_predecessor_free) struct sg_predecessor *p = NULL;
        const char *text = getenv(SG_PREDECESSOR_FD), *own = getenv(SG_PREDECESSOR_OWN);
        uint64_t fd;

        *ret = NULL;
        if (!text)
                return 0;
        if (sg_str_to_u64(sg_str_from(text), &fd) || !is_channel(fd))
                return sg_error_set(err, -EBADF, SG_PREDECESSOR_FD,
                                    "\"%s\" is no socket of a predecessor; this variable is set by the gateway itself, "
                                    "when it is upgraded",
                                    text);
        p = calloc(1, sizeof(*p));
        if (p)
                p->own = strdup(own ? own : "");
        if (!p || !p->own)
                return sg_error_set(err, -ENOMEM, "", "out of memory");
        p->channel = (int)fd;
        unsetenv(SG_PREDECESSOR_FD);
        unsetenv(SG_PREDECESSOR_OWN);
        *ret = SG_GIVE(p);
        return 0;
}

struct sg_predecessor *sg_predecessor_free(struct sg_predecessor *p)
{
        if (!p)
                return NULL;
        if (p->io.loop)
                sg_io_done(&p->io);
        close(p->channel);
        free(p->own);
        free(p);
        return NULL;
}

bool sg_predecessor_bound(const struct sg_predecessor *p, const char *name)
{
        struct sg_str rest = sg_str_from(p->own), wanted = sg_str_from(name);

        while (rest.n) {
                size_t comma = sg_str_find_byte(rest, ',');

                if (sg_str_eq(sg_str_head(rest, comma), wanted))
                        return true;
                rest = sg_str_skip(rest, SG_MIN(comma + 1, rest.n));
        }
        return false;
}

static void on_channel(struct sg_io *io, unsigned ready, void *owner)
{
        struct sg_predecessor *p = owner;
        char word[SG_PREDECESSOR_BYTES_MAX];
        ssize_t n = recv(p->channel, word, sizeof(word), MSG_DONTWAIT);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        sg_io_set(&p->io, 0);
        p->on_word(n > 0 && sg_str_eq(sg_str_make(word, (size_t)n), SG_STR("yours")), p->owner);
}

int sg_predecessor_watch(struct sg_predecessor *p, struct sg_loop *l, void (*on_word)(bool is_ours, void *owner),
                         void *owner)
{
        int r = sg_io_init(&p->io, l, p->channel, on_channel, p);

        if (r)
                return r;
        p->on_word = on_word;
        p->owner = owner;
        sg_io_set(&p->io, SG_IO_READ);
        return 0;
}

/* When nobody hears it any more, the end of the channel tells. */
static void say(struct sg_predecessor *p, const char *message, int n)
{
        if (n > 0)
                (void)send(p->channel, message, SG_MIN((size_t)n, SG_PREDECESSOR_BYTES_MAX - (size_t)1),
                           MSG_NOSIGNAL | MSG_DONTWAIT);
}

void sg_predecessor_tell_ready(struct sg_predecessor *p, const char *version)
{
        char message[128];

        say(p, message, snprintf(message, sizeof(message), "ready %s", version));
}

void sg_predecessor_tell_failed(struct sg_predecessor *p, const struct sg_error *err)
{
        char message[SG_PREDECESSOR_BYTES_MAX];

        say(p, message, snprintf(message, sizeof(message), "failed %s\t%s", err->where, err->text));
}
