#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "varlink/message.h"

#define WAIT_USEC  (120 * SG_USEC_PER_SEC)
#define READ_BYTES (64u * 1024u)

struct sg_varlink_caller {
        int fd;
        char *path; /* for errors */
        struct sg_buf in, out;
        size_t scanned;
};

int sg_varlink_caller_new(struct sg_varlink_caller **ret, const char *path, struct sg_error *err)
{
        SG_AUTO(sg_varlink_caller_free) struct sg_varlink_caller *c = NULL;
        int r;

        c = calloc(1, sizeof(*c));
        if (!c)
                return sg_error_set(err, -ENOMEM, path, "out of memory");
        c->fd = -1;
        sg_buf_init(&c->in, SG_VARLINK_BYTES_MAX + 2);
        sg_buf_init(&c->out, SG_VARLINK_BYTES_MAX + 2);
        c->path = strdup(path);
        if (!c->path)
                return sg_error_set(err, -ENOMEM, path, "out of memory");
        r = sg_varlink_connect(&c->fd, path, 0);
        if (r)
                return sg_error_set(err, r, path, "cannot connect: %s", strerror(-r));
        *ret = SG_GIVE(c);
        return 0;
}

struct sg_varlink_caller *sg_varlink_caller_free(struct sg_varlink_caller *c)
{
        if (!c)
                return NULL;
        if (c->fd >= 0)
                close(c->fd);
        sg_buf_done(&c->in);
        sg_buf_done(&c->out);
        free(c->path);
        free(c);
        return NULL;
}

int sg_varlink_caller_send(struct sg_varlink_caller *c, const char *method, struct json_object *parameters, bool more,
                           struct sg_error *err)
{
        int r;

        r = sg_varlink_add_call(&c->out, method, parameters, more);
        json_object_put(parameters);
        if (r)
                return sg_error_set(err, r > 0 ? -EMSGSIZE : r, c->path, "cannot call %s: %s", method,
                                    r > 0 ? "too long" : strerror(-r));
        r = sg_varlink_send(c->fd, &c->out); /* blocks */
        if (r)
                return sg_error_set(err, r > 0 ? -EAGAIN : r, c->path, "the connection broke: %s",
                                    strerror(r > 0 ? EAGAIN : -r));
        return 0;
}

static int wait_readable(struct sg_varlink_caller *c, uint64_t until_usec)
{
        struct pollfd p = {.fd = c->fd, .events = POLLIN};

        for (;;) {
                uint64_t now = sg_clock_usec();
                int n;

                if (now >= until_usec)
                        return -ETIMEDOUT;
                n = poll(&p, 1, (int)((until_usec - now) / SG_USEC_PER_MSEC) + 1);
                if (n > 0)
                        return 0;
                if (n < 0 && errno != EINTR)
                        return -errno;
        }
}

static int read_some(struct sg_varlink_caller *c, uint64_t until_usec)
{
        size_t room = SG_MIN((size_t)READ_BYTES, c->in.max - sg_buf_length(&c->in));
        ssize_t n;
        char *at;
        int r;

        r = wait_readable(c, until_usec);
        if (r)
                return r;
        r = sg_buf_reserve(&c->in, room, &at);
        if (r)
                return r > 0 ? -EMSGSIZE : r;
        n = recv(c->fd, at, room, MSG_DONTWAIT);
        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        if (n == 0)
                return -ECONNRESET;
        sg_buf_added(&c->in, (size_t)n);
        return 0;
}

static int receive_frame(struct sg_varlink_caller *c, struct sg_str *ret)
{
        uint64_t until_usec = sg_clock_usec() + WAIT_USEC;

        for (;;) {
                int r = sg_varlink_frame(&c->in, &c->scanned, SG_VARLINK_BYTES_MAX, ret);

                if (r == 0)
                        return 0;
                if (r == SG_VARLINK_E_LONG)
                        return -EMSGSIZE;
                r = read_some(c, until_usec);
                if (r)
                        return r;
        }
}

static const char *reason(int r)
{
        switch (-r) {
        case ECONNRESET:
                return "the connection was closed before the answer came";
        case ETIMEDOUT:
                return "no answer in two minutes";
        case EBADMSG:
                return "the answer is not a Varlink message";
        case EMSGSIZE:
                return "the answer is too long";
        default:
                return strerror(-r);
        }
}

int sg_varlink_caller_receive(struct sg_varlink_caller *c, struct json_object **ret, char *ret_error_name,
                              size_t error_name_bytes, bool *ret_continues, struct sg_error *err)
{
        struct sg_varlink_answer a = {};
        struct sg_str text;
        int r;

        r = receive_frame(c, &text);
        if (!r)
                r = sg_varlink_answer_parse(&a, text);
        if (r) {
                sg_varlink_answer_done(&a);
                return sg_error_set(err, r, c->path, "%s", reason(r));
        }
        sg_buf_take(&c->in, text.n + 1);
        c->scanned = 0;
        (void)snprintf(ret_error_name, error_name_bytes, "%s", a.error_name ? a.error_name : "");
        *ret_continues = a.continues;
        *ret = a.parameters ? json_object_get(a.parameters) : json_object_new_object();
        sg_varlink_answer_done(&a);
        return 0;
}
