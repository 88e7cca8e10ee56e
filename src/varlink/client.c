/*
 * Connecting to a Unix socket succeeds or fails at once; either is told from the loop, so that the owner has one path
 * only and is never called from inside sg_varlink_client_new(). Freeing inside a callback marks the client; its memory
 * goes at the end of the turn.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "varlink/message.h"

#define READ_BYTES (64u * 1024u)
#define OPEN_MAX   1024u /* calls without an answer */

enum client_state {
        CLIENT_STARTING, /* the outcome of connect() is not told yet */
        CLIENT_OPEN,
        CLIENT_CLOSED, /* on_closed was or is to be called */
        CLIENT_FREED,
        CLIENT_N,
};

static const unsigned may_follow[CLIENT_N] = {
        [CLIENT_STARTING] = 1u << CLIENT_OPEN | 1u << CLIENT_CLOSED | 1u << CLIENT_FREED,
        [CLIENT_OPEN] = 1u << CLIENT_CLOSED | 1u << CLIENT_FREED,
        [CLIENT_CLOSED] = 1u << CLIENT_FREED,
};

struct sg_varlink_client {
        struct sg_loop *loop;
        enum client_state state;
        int fd;
        struct sg_io io;
        struct sg_buf in, out;
        size_t scanned;
        bool wants_more[OPEN_MAX]; /* of the open calls, a ring from `first` */
        size_t first, n_open;
        int error; /* to tell */
        const struct sg_varlink_client_callbacks *callbacks;
        void *owner;
        struct sg_deferred soon;
};

static void client_go(struct sg_varlink_client *c, enum client_state to)
{
        SG_ASSERT(may_follow[c->state] & (1u << to));
        c->state = to;
}

static void update_interest(struct sg_varlink_client *c)
{
        if (c->state == CLIENT_OPEN)
                sg_io_set(&c->io, SG_IO_READ | (sg_buf_length(&c->out) ? SG_IO_WRITE : 0));
}

static void close_socket(struct sg_varlink_client *c)
{
        if (c->fd < 0)
                return;
        sg_io_done(&c->io);
        close(c->fd);
        c->fd = -1;
}

/* The owner is told at the end of the turn. */
static void client_close(struct sg_varlink_client *c, int error)
{
        close_socket(c);
        c->error = error;
        client_go(c, CLIENT_CLOSED);
        sg_loop_defer(c->loop, &c->soon);
}

static void take_answer(struct sg_varlink_client *c, struct sg_str text)
{
        struct sg_varlink_answer a;
        int r;

        r = sg_varlink_answer_parse(&a, text);
        sg_buf_take(&c->in, text.n + 1);
        c->scanned = 0;
        if (!r && (c->n_open == 0 || (a.continues && !c->wants_more[c->first])))
                r = -EPROTO;
        if (r) {
                client_close(c, r);
        } else {
                if (!a.continues) {
                        c->first = (c->first + 1) % OPEN_MAX;
                        c->n_open--;
                }
                c->callbacks->on_reply(c, a.error_name, a.parameters, a.continues, c->owner);
        }
        sg_varlink_answer_done(&a);
}

static void take_answers(struct sg_varlink_client *c)
{
        while (c->state == CLIENT_OPEN) {
                struct sg_str text;
                int r = sg_varlink_frame(&c->in, &c->scanned, SG_VARLINK_BYTES_MAX, &text);

                if (r == SG_VARLINK_E_MORE)
                        break;
                if (r)
                        client_close(c, -EMSGSIZE);
                else
                        take_answer(c, text);
        }
        if (c->state == CLIENT_OPEN && sg_buf_length(&c->in) == 0)
                sg_buf_release(&c->in);
}

static void flush(struct sg_varlink_client *c)
{
        int r = sg_varlink_send(c->fd, &c->out);

        if (r < 0)
                client_close(c, r);
        else
                update_interest(c);
}

static void read_some(struct sg_varlink_client *c)
{
        size_t room = SG_MIN((size_t)READ_BYTES, c->in.max - sg_buf_length(&c->in));
        ssize_t n;
        char *at;

        if (sg_buf_reserve(&c->in, room, &at)) {
                client_close(c, -ENOMEM);
                return;
        }
        n = recv(c->fd, at, room, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n <= 0) {
                client_close(c, n == 0 ? 0 : -errno);
                return;
        }
        sg_buf_added(&c->in, (size_t)n);
        take_answers(c);
}

static void on_ready(struct sg_io *io, unsigned ready, void *owner)
{
        struct sg_varlink_client *c = owner;

        if (ready & SG_IO_WRITE)
                flush(c);
        if ((ready & SG_IO_READ) && c->state == CLIENT_OPEN)
                read_some(c);
}

static void client_release(struct sg_varlink_client *c)
{
        sg_buf_done(&c->in);
        sg_buf_done(&c->out);
        free(c);
}

static void on_soon(struct sg_deferred *d)
{
        struct sg_varlink_client *c = SG_CONTAINER(d, struct sg_varlink_client, soon);

        switch (c->state) {
        case CLIENT_STARTING:
                client_go(c, CLIENT_OPEN);
                update_interest(c);
                if (c->callbacks->on_connected)
                        c->callbacks->on_connected(c, c->owner);
                break;
        case CLIENT_CLOSED:
                c->callbacks->on_closed(c, c->error, c->owner);
                break;
        case CLIENT_FREED:
                client_release(c);
                break;
        default:
                SG_UNREACHABLE();
        }
}

int sg_varlink_client_new(struct sg_varlink_client **ret, struct sg_loop *loop, const char *path,
                          const struct sg_varlink_client_callbacks *callbacks, void *owner)
{
        struct sg_varlink_client *c;
        int r;

        c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;
        c->loop = loop;
        c->fd = -1;
        c->callbacks = callbacks;
        c->owner = owner;
        c->soon.run = on_soon;
        sg_buf_init(&c->in, SG_VARLINK_BYTES_MAX + 2);
        sg_buf_init(&c->out, SG_VARLINK_BYTES_MAX + 2);
        r = sg_varlink_connect(&c->fd, path, SOCK_NONBLOCK);
        if (r) {
                client_close(c, r);
        } else {
                r = sg_io_init(&c->io, loop, c->fd, on_ready, c);
                if (r) {
                        close(c->fd);
                        client_release(c);
                        return r;
                }
                sg_loop_defer(loop, &c->soon);
        }
        *ret = c;
        return 0;
}

struct sg_varlink_client *sg_varlink_client_free(struct sg_varlink_client *c)
{
        if (!c)
                return NULL;
        close_socket(c);
        client_go(c, CLIENT_FREED);
        sg_loop_defer(c->loop, &c->soon);
        return NULL;
}

static int queue_call(struct sg_varlink_client *c, const char *method, struct json_object *parameters, bool more)
{
        int r;

        if (c->state != CLIENT_STARTING && c->state != CLIENT_OPEN)
                return -ENOTCONN;
        if (c->n_open == OPEN_MAX)
                return -ENOBUFS;
        r = sg_varlink_add_call(&c->out, method, parameters, more);
        if (r)
                return r > 0 ? -ENOBUFS : r;
        c->wants_more[(c->first + c->n_open++) % OPEN_MAX] = more;
        return 0;
}

int sg_varlink_client_call(struct sg_varlink_client *c, const char *method, struct json_object *parameters, bool more)
{
        int r;

        r = queue_call(c, method, parameters, more);
        json_object_put(parameters);
        if (r)
                return r;
        flush(c); /* an error is told by on_closed */
        return 0;
}
