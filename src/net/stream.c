/*
 * The life of a stream: connecting, handshake, open, half, dead, freed. What is told to the listener about an end is
 * told from deferred work, never from inside a call of the owner; memory goes there, too, so that any callback may
 * free.
 *
 * Pausing is lazy. Between a request and its answer a client's stream is paused and resumed again, and usually nothing
 * arrives meanwhile: reading stays armed until something does (is_held), so that the pair costs no system call.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "net/listen.h"
#include "net/stream_internal.h"

#define LAST_READS 16 /* wakes' worth of bytes taken in after a failed write */

#define MAY(state) (UINT32_C(1) << (state))

static const struct stream_step {
        const char *name;
        uint32_t may_follow;
} steps[STREAM_STATE_N] = {
        [STREAM_CONNECTING] = {"connecting",
                               MAY(STREAM_HANDSHAKE) | MAY(STREAM_OPEN) | MAY(STREAM_DEAD) | MAY(STREAM_FREED)},
        [STREAM_HANDSHAKE] = {"handshake", MAY(STREAM_OPEN) | MAY(STREAM_DEAD) | MAY(STREAM_FREED)},
        [STREAM_OPEN] = {"open", MAY(STREAM_HANDSHAKE) | MAY(STREAM_HALF) | MAY(STREAM_DEAD) | MAY(STREAM_FREED)},
        [STREAM_HALF] = {"half", MAY(STREAM_DEAD) | MAY(STREAM_FREED)},
        [STREAM_DEAD] = {"dead", MAY(STREAM_FREED)},
        [STREAM_FREED] = {"freed", 0},
};

const char *sg_stream_end_name(enum sg_stream_end e)
{
        static const char *const names[SG_STREAM_END_N] = {
                [SG_STREAM_END_EOF] = "eof",         [SG_STREAM_END_RESET] = "reset",
                [SG_STREAM_END_REFUSED] = "refused", [SG_STREAM_END_TIMEOUT] = "timeout",
                [SG_STREAM_END_TLS] = "tls",         [SG_STREAM_END_ERROR] = "error",
        };

        return e < SG_STREAM_END_N ? names[e] : "unknown";
}

static void assert_stream(const struct sg_stream *s)
{
        SG_ASSERT(s && s->magic == STREAM_MAGIC && s->state != STREAM_FREED);
        SG_ASSERT(sg_loop_is_mine(s->loop));
}

static void stream_go(struct sg_stream *s, enum stream_state to)
{
        SG_ASSERT(steps[s->state].may_follow & MAY(to));
        sg_debug("stream %d: %s -> %s", s->fd, steps[s->state].name, steps[to].name);
        s->state = to;
}

/* What the descriptor is watched for: the one place that decides it. */
static void update_interest(struct sg_stream *s)
{
        unsigned want = 0;

        switch (s->state) {
        case STREAM_CONNECTING:
                want = SG_IO_WRITE;
                break;
        case STREAM_HANDSHAKE:
                want = s->layer_wants;
                break;
        case STREAM_OPEN:
                if (!s->has_seen_eof && !s->is_held)
                        want |= SG_IO_READ | SG_IO_CLOSED;
                else if (!s->has_seen_eof && s->watches_eof)
                        want |= SG_IO_CLOSED;
                __attribute__((__fallthrough__));
        case STREAM_HALF:
                if (sg_buf_length(&s->out) || s->read_wants_write)
                        want |= SG_IO_WRITE;
                want |= s->layer_wants;
                break;
        case STREAM_DEAD:
        case STREAM_FREED:
        case STREAM_STATE_N:
                break;
        }
        if (s->state != STREAM_FREED)
                sg_io_set(&s->io, want);
}

void sg_stream_fail(struct sg_stream *s, enum sg_stream_end why, const char *text)
{
        if (s->state == STREAM_DEAD || s->state == STREAM_FREED)
                return;
        s->end = why;
        s->end_text = text;
        stream_go(s, STREAM_DEAD);
        update_interest(s);
        sg_loop_defer(s->loop, &s->deferred);
}

void sg_stream_fail_errno(struct sg_stream *s, int e)
{
        const bool is_connecting = s->state == STREAM_CONNECTING;
        enum sg_stream_end why = SG_STREAM_END_ERROR;

        switch (e) {
        case ECONNRESET:
        case EPIPE:
        case ECONNABORTED:
        case ENETRESET:
                why = is_connecting ? SG_STREAM_END_REFUSED : SG_STREAM_END_RESET;
                break;
        case ETIMEDOUT:
                why = is_connecting ? SG_STREAM_END_TIMEOUT : SG_STREAM_END_RESET;
                break;
        case ECONNREFUSED:
        case EHOSTUNREACH:
        case ENETUNREACH:
        case EHOSTDOWN:
        case ENETDOWN:
        case EADDRNOTAVAIL:
        case EACCES:
        case EPERM:
        case ENOENT:
                why = is_connecting ? SG_STREAM_END_REFUSED : SG_STREAM_END_RESET;
                break;
        default:
                break;
        }
        sg_stream_fail(s, why, strerrordesc_np(e));
}

static void tell_open(struct sg_stream *s)
{
        stream_go(s, STREAM_OPEN);
        if (sg_buf_length(&s->out))
                sg_stream_send_kept(s); /* what was written meanwhile */
        if (s->state == STREAM_DEAD)
                return;
        sg_stream_finish_sending(s); /* asked for before it was open */
        if (s->listener->on_open)
                s->listener->on_open(s, s->owner);
        if (s->state == STREAM_OPEN && s->layer && !s->is_paused && s->layer->pending(s->layer))
                sg_loop_defer(s->loop, &s->deferred);
}

static void shake_hands(struct sg_stream *s)
{
        const char *text = NULL;

        s->layer_wants = 0;
        switch (s->layer->handshake(s->layer, &text)) {
        case SG_LAYER_OK:
                tell_open(s);
                break;
        case SG_LAYER_WANT_READ:
                s->layer_wants = SG_IO_READ;
                break;
        case SG_LAYER_WANT_WRITE:
                s->layer_wants = SG_IO_WRITE;
                break;
        case SG_LAYER_EOF:
        case SG_LAYER_FAILED:
                sg_stream_fail(s, SG_STREAM_END_TLS, text ? text : "the peer closed during the TLS handshake");
                break;
        }
}

static void begin(struct sg_stream *s)
{
        if (!s->layer) {
                tell_open(s);
                return;
        }
        stream_go(s, STREAM_HANDSHAKE);
        s->attach(s->layer, s->fd);
        shake_hands(s);
}

static void finish_connect(struct sg_stream *s)
{
        int e = 0;
        socklen_t n = sizeof(e);

        if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &e, &n))
                e = errno;
        if (e)
                sg_stream_fail_errno(s, e);
        else
                begin(s);
}

static void on_ready(struct sg_io *io, unsigned ready, void *owner)
{
        struct sg_stream *s = owner;

        switch (s->state) {
        case STREAM_CONNECTING:
                finish_connect(s);
                break;
        case STREAM_HANDSHAKE:
                shake_hands(s);
                break;
        case STREAM_OPEN:
        case STREAM_HALF:
                if ((ready & SG_IO_WRITE) || (s->layer_wants & ready))
                        sg_stream_flush(s);
                if ((ready & (SG_IO_READ | SG_IO_CLOSED)) || s->read_wants_write)
                        sg_stream_receive(s, ready);
                break;
        default:
                break;
        }
        update_interest(s);
}

static void tell_end(struct sg_stream *s)
{
        const struct sg_stream_listener *listener = s->listener;

        if (listener->on_end)
                listener->on_end(s, s->end, s->owner);
}

static void destroy(struct sg_stream *s)
{
        if (s->layer)
                s->layer->free(s->layer);
        sg_buf_done(&s->in);
        sg_buf_done(&s->out);
        s->magic = 0;
        free(s);
}

/* The end of the turn: what may not happen inside the owner's calls. */
static void on_turn_end(struct sg_deferred *d)
{
        struct sg_stream *s = SG_CONTAINER(d, struct sg_stream, deferred);

        if (s->state == STREAM_FREED) {
                destroy(s);
                return;
        }
        if (s->state == STREAM_CONNECTING && !s->io.interest)
                begin(s); /* connect() succeeded at once */
        if (s->state == STREAM_HANDSHAKE && !s->layer_wants)
                shake_hands(s);
        if (s->state == STREAM_OPEN && s->gives_again && !s->is_paused)
                sg_stream_give_kept(s);
        if (s->state == STREAM_OPEN && !s->is_paused && s->layer && s->layer->pending(s->layer))
                sg_stream_receive(s, SG_IO_READ);
        if (s->write_error && (s->state == STREAM_OPEN || s->state == STREAM_HALF)) {
                for (int i = 0; i < LAST_READS && sg_stream_receive(s, SG_IO_READ); i++)
                        continue;
                sg_stream_fail_errno(s, s->write_error);
        }
        if (s->state == STREAM_OPEN && s->has_seen_eof && s->watches_eof) {
                s->end = SG_STREAM_END_EOF;
                s->end_text = "the peer closed the connection";
                stream_go(s, STREAM_HALF);
                tell_end(s);
        } else if (s->state == STREAM_DEAD && !s->has_told_end) {
                s->has_told_end = true;
                tell_end(s);
        }
        update_interest(s); /* freed by a callback, it has been deferred anew */
}

static int stream_new(struct sg_stream **ret, struct sg_loop *l, int fd, const struct sg_stream_options *options,
                      const struct sg_stream_listener *listener, void *owner)
{
        struct sg_stream *s;
        int r;

        SG_ASSERT(listener && listener->on_bytes);
        s = calloc(1, sizeof(*s));
        if (!s)
                return -ENOMEM;
        s->magic = STREAM_MAGIC;
        s->state = STREAM_CONNECTING;
        s->fd = fd;
        s->loop = l;
        s->deferred.run = on_turn_end;
        s->listener = listener;
        s->owner = owner;
        s->in_bytes_max = options && options->in_bytes_max ? options->in_bytes_max : SG_STREAM_IN_BYTES_MAX;
        s->out_bytes_max = options && options->out_bytes_max ? options->out_bytes_max : SG_STREAM_OUT_BYTES_MAX;
        /* The limits are this room's to keep: one write beyond is taken whole. */
        sg_buf_init(&s->in, SIZE_MAX);
        sg_buf_init(&s->out, SIZE_MAX);
        s->is_paused = true;
        s->watches_eof = true;
        r = sg_io_init(&s->io, l, fd, on_ready, s);
        if (r) {
                free(s);
                return r;
        }
        *ret = s;
        return 0;
}

int sg_stream_new_fd(struct sg_stream **ret, struct sg_loop *l, int fd, const struct sg_stream_options *options,
                     const struct sg_stream_listener *listener, void *owner)
{
        struct sg_stream *s;
        int r;

        r = stream_new(&s, l, fd, options, listener, owner);
        if (r)
                return r;
        stream_go(s, STREAM_OPEN);
        update_interest(s);
        *ret = s;
        return 0;
}

static int open_socket(int *ret, int family, uint64_t acknowledged_usec)
{
        const unsigned msec = (unsigned)SG_MIN(acknowledged_usec / SG_USEC_PER_MSEC, (uint64_t)INT32_MAX);
        const int on = 1;
        int fd;

        fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        if (family != AF_UNIX)
                (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        if (family != AF_UNIX && msec)
                (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &msec, sizeof(msec));
        *ret = fd;
        return 0;
}

int sg_stream_new_connect(struct sg_stream **ret, struct sg_loop *l, const struct sockaddr *address, socklen_t length,
                          const struct sg_stream_options *options, const struct sg_stream_listener *listener,
                          void *owner)
{
        struct sg_stream *s;
        int fd = -1, r;

        r = open_socket(&fd, address->sa_family, options ? options->acknowledged_usec : 0);
        if (r)
                return r;
        r = stream_new(&s, l, fd, options, listener, owner);
        if (r) {
                close(fd);
                return r;
        }
        sg_address_format(s->peer, sizeof(s->peer), address, length);
        if (connect(fd, address, length) == 0)
                sg_loop_defer(l, &s->deferred);
        else if (errno == EINPROGRESS)
                update_interest(s);
        else
                sg_stream_fail_errno(s, errno);
        *ret = s;
        return 0;
}

struct sg_stream *sg_stream_free(struct sg_stream *s)
{
        if (!s)
                return NULL;
        assert_stream(s);
        sg_io_done(&s->io);
        close(s->fd);
        stream_go(s, STREAM_FREED);
        s->fd = -1;
        sg_loop_defer(s->loop, &s->deferred);
        return NULL;
}

void sg_stream_set_listener(struct sg_stream *s, const struct sg_stream_listener *listener, void *owner)
{
        assert_stream(s);
        SG_ASSERT(listener && listener->on_bytes);
        s->listener = listener;
        s->owner = owner;
}

void sg_stream_set_layer(struct sg_stream *s, struct sg_layer *y, void (*attach)(struct sg_layer *y, int fd))
{
        assert_stream(s);
        SG_ASSERT(!s->layer && !sg_buf_length(&s->in) && !sg_buf_length(&s->out));
        s->layer = y;
        s->attach = attach;
        if (s->state == STREAM_OPEN) {
                stream_go(s, STREAM_HANDSHAKE);
                attach(y, s->fd);
                update_interest(s);
                sg_loop_defer(s->loop, &s->deferred);
        }
}

int sg_stream_write(struct sg_stream *s, const struct sg_str *pieces, size_t n_pieces)
{
        int r;

        assert_stream(s);
        if (s->state == STREAM_DEAD || s->write_error || s->is_shutting)
                return SG_STREAM_E_CLOSED;
        r = sg_stream_send(s, pieces, n_pieces);
        update_interest(s);
        return r;
}

size_t sg_stream_queued(const struct sg_stream *s)
{
        return sg_buf_length(&s->out) + sg_stream_is_flushing(s);
}

bool sg_stream_is_full(const struct sg_stream *s)
{
        return sg_buf_length(&s->out) > s->out_bytes_max;
}

void sg_stream_shutdown(struct sg_stream *s)
{
        assert_stream(s);
        s->is_shutting = true;
        sg_stream_finish_sending(s);
        update_interest(s);
}

void sg_stream_pause(struct sg_stream *s)
{
        assert_stream(s);
        s->is_paused = true;
}

void sg_stream_resume(struct sg_stream *s)
{
        assert_stream(s);
        s->is_paused = false;
        s->is_held = false;
        /* Also for the bytes of the callback that we are in, which are not kept yet. */
        s->gives_again = true;
        sg_loop_defer(s->loop, &s->deferred);
}

void sg_stream_watch_eof(struct sg_stream *s, bool watch)
{
        assert_stream(s);
        if (s->watches_eof == watch)
                return;
        s->watches_eof = watch;
        if (s->has_seen_eof || s->is_held)
                sg_loop_defer(s->loop, &s->deferred); /* told there, and the interest set */
}

bool sg_stream_is_open(const struct sg_stream *s)
{
        return s->state == STREAM_OPEN && !s->has_seen_eof && !s->write_error && !s->is_shutting;
}

bool sg_stream_is_quiet(const struct sg_stream *s)
{
        char any;

        return sg_stream_is_open(s) && recv(s->fd, &any, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
               (errno == EAGAIN || errno == EWOULDBLOCK);
}

const char *sg_stream_end_text(const struct sg_stream *s)
{
        return s->end_text ? s->end_text : "";
}

const char *sg_stream_peer(const struct sg_stream *s)
{
        struct sg_stream *w = (struct sg_stream *)s; /* asked for on demand: one system call less per connection */

        if (w->peer[0] == '\0') {
                if (s->fd < 0)
                        return "unknown";
                sg_address_format_peer(w->peer, sizeof(w->peer), s->fd);
        }
        return s->peer;
}

void sg_stream_set_peer(struct sg_stream *s, const char *text)
{
        assert_stream(s);
        (void)snprintf(s->peer, sizeof(s->peer), "%s", text);
}
