/*
 * Reading goes into the loop's scratch buffer and straight on to the listener: a connection that consumes what it gets
 * owns no buffer. Only what the listener leaves is copied, and the next read is appended to it.
 *
 * A read that fills less than it was given has emptied the socket; the level-triggered loop will tell of anything that
 * comes later, so no read is made only to see EAGAIN. At most READS_PER_WAKE reads are made before others get their
 * turn.
 */
#include <errno.h>
#include <sys/uio.h>

#include "net/stream_internal.h"

#define READS_PER_WAKE  4
#define PIECES_PER_SEND 64 /* of iovecs in one sendmsg() */

/* ---- receiving */

static enum sg_layer_result receive_plain(struct sg_stream *s, char *out, size_t room, size_t *ret_n)
{
        ssize_t n;

        do {
                n = recv(s->fd, out, room, 0);
        } while (n < 0 && errno == EINTR);
        if (n > 0) {
                *ret_n = (size_t)n;
                return SG_LAYER_OK;
        }
        if (n == 0)
                return SG_LAYER_EOF;
        if (errno == EAGAIN)
                return SG_LAYER_WANT_READ;
        sg_stream_fail_errno(s, errno);
        return SG_LAYER_FAILED;
}

static enum sg_layer_result receive_layer(struct sg_stream *s, char *out, size_t room, size_t *ret_n)
{
        const char *text = NULL;
        enum sg_layer_result result;

        s->read_wants_write = false;
        result = s->layer->read(s->layer, out, room, ret_n, &text);
        if (result == SG_LAYER_FAILED)
                sg_stream_fail(s, text ? SG_STREAM_END_TLS : SG_STREAM_END_RESET,
                               text ? text : "the peer closed the connection without ending TLS");
        else if (result == SG_LAYER_WANT_WRITE)
                s->read_wants_write = true;
        return result;
}

static void give(struct sg_stream *s, struct sg_str bytes)
{
        const bool is_kept = sg_buf_length(&s->in) > 0;
        size_t used;

        s->gives_again = false; /* this is it, unless the listener resumes anew */
        used = s->listener->on_bytes(s, bytes, s->owner);
        SG_ASSERT(used <= bytes.n);
        if (s->state == STREAM_FREED)
                return;
        if (is_kept) {
                sg_buf_take(&s->in, used);
                if (sg_buf_length(&s->in) == 0)
                        sg_buf_release(&s->in);
        } else if (used < bytes.n && sg_buf_add(&s->in, sg_str_skip(bytes, used))) {
                sg_stream_fail(s, SG_STREAM_END_ERROR, strerrordesc_np(ENOMEM));
        }
}

/* New bytes, which stand in the scratch buffer. */
static void take_in(struct sg_stream *s, struct sg_str bytes)
{
        if (sg_buf_length(&s->in) == 0) {
                give(s, bytes);
                return;
        }
        if (sg_buf_add(&s->in, bytes)) {
                sg_stream_fail(s, SG_STREAM_END_ERROR, strerrordesc_np(ENOMEM));
                return;
        }
        give(s, sg_buf_view(&s->in));
}

static size_t room_in(const struct sg_stream *s)
{
        const size_t kept = sg_buf_length(&s->in);

        if (s->is_paused || kept >= s->in_bytes_max)
                return 0;
        return SG_MIN(s->in_bytes_max - kept, (size_t)SG_LOOP_SCRATCH_BYTES);
}

static void see_eof(struct sg_stream *s)
{
        s->has_seen_eof = true;
        sg_loop_defer(s->loop, &s->deferred);
}

bool sg_stream_receive(struct sg_stream *s, unsigned ready)
{
        char *scratch = sg_loop_scratch(s->loop);
        bool has_come = false;

        if (!scratch)
                sg_stream_fail(s, SG_STREAM_END_ERROR, strerrordesc_np(ENOMEM));
        for (int i = 0; i < READS_PER_WAKE && s->state == STREAM_OPEN && !s->has_seen_eof; i++) {
                const size_t room = room_in(s);
                size_t n = 0;
                enum sg_layer_result result;

                if (room == 0) {
                        s->is_held = true;
                        if ((ready & SG_IO_CLOSED) && s->watches_eof)
                                see_eof(s);
                        return has_come;
                }
                result = s->layer ? receive_layer(s, scratch, room, &n) : receive_plain(s, scratch, room, &n);
                if (result == SG_LAYER_EOF)
                        see_eof(s);
                if (result != SG_LAYER_OK)
                        return has_come;
                has_come = true;
                take_in(s, sg_str_make(scratch, n));
                if (s->layer ? s->layer->pending(s->layer) == 0 : n < room && !(ready & SG_IO_CLOSED))
                        return true;
        }
        /* The descriptor need not become ready for what a layer holds already. */
        if (s->state == STREAM_OPEN && s->layer && !s->is_paused && s->layer->pending(s->layer))
                sg_loop_defer(s->loop, &s->deferred);
        return has_come;
}

void sg_stream_give_kept(struct sg_stream *s)
{
        s->gives_again = false;
        if (sg_buf_length(&s->in))
                give(s, sg_buf_view(&s->in));
}

/* ---- sending */

/* Bytes that the socket took of the pieces, -errno. */
static ssize_t send_once(struct sg_stream *s, const struct sg_str *pieces, size_t n_pieces, size_t skip,
                         size_t *ret_offered)
{
        struct iovec iov[PIECES_PER_SEND];
        struct msghdr m = {.msg_iov = iov};
        size_t offered = 0;
        ssize_t n;

        for (size_t i = 0; i < n_pieces && m.msg_iovlen < PIECES_PER_SEND; i++) {
                if (pieces[i].n <= skip) {
                        skip -= pieces[i].n;
                        continue;
                }
                iov[m.msg_iovlen++] = (struct iovec){(char *)(uintptr_t)(pieces[i].p + skip), pieces[i].n - skip};
                offered += pieces[i].n - skip;
                skip = 0;
        }
        *ret_offered = offered;
        if (offered == 0)
                return 0;
        do {
                n = sendmsg(s->fd, &m, MSG_NOSIGNAL);
        } while (n < 0 && errno == EINTR);
        return n < 0 ? -errno : n;
}

/* Who refuses what we send may have said why: a 413 or an alert, then a reset. What has come is given first (the kernel keeps it
 * beyond the reset), at the end of this turn. */
static void fail_write(struct sg_stream *s, int e)
{
        s->write_error = e;
        sg_loop_defer(s->loop, &s->deferred);
}

static void send_plain(struct sg_stream *s, const struct sg_str *pieces, size_t n_pieces, size_t *ret_n)
{
        size_t sent = 0, offered;
        ssize_t n;

        do {
                n = send_once(s, pieces, n_pieces, sent, &offered);
                if (n > 0)
                        sent += (size_t)n;
        } while (n > 0 && (size_t)n == offered);
        *ret_n = sent;
        if (n < 0 && n != -EAGAIN)
                fail_write(s, (int)-n);
}

static size_t sum(const struct sg_str *pieces, size_t n_pieces)
{
        size_t n = 0;

        for (size_t i = 0; i < n_pieces; i++)
                n += pieces[i].n;
        return n;
}

static void send_layer(struct sg_stream *s, const struct sg_str *pieces, size_t n_pieces, size_t *ret_n)
{
        const char *text = NULL;

        s->layer_wants = 0;
        switch (s->layer->write(s->layer, pieces, n_pieces, ret_n, &text)) {
        case SG_LAYER_WANT_READ:
                s->layer_wants = SG_IO_READ;
                break;
        case SG_LAYER_WANT_WRITE:
                s->layer_wants = SG_IO_WRITE;
                break;
        case SG_LAYER_OK:
                break;
        default:
                if (text)
                        sg_stream_fail(s, SG_STREAM_END_TLS, text);
                else
                        fail_write(s, ECONNRESET);
                break;
        }
}

static int keep(struct sg_stream *s, const struct sg_str *pieces, size_t n_pieces, size_t skip)
{
        for (size_t i = 0; i < n_pieces; i++) {
                const size_t k = SG_MIN(skip, pieces[i].n);

                skip -= k;
                if (k < pieces[i].n && sg_buf_add(&s->out, sg_str_skip(pieces[i], k))) {
                        sg_stream_fail(s, SG_STREAM_END_ERROR, strerrordesc_np(ENOMEM));
                        return -ENOMEM;
                }
        }
        return 0;
}

void sg_stream_send_kept(struct sg_stream *s)
{
        const struct sg_str kept = sg_buf_view(&s->out);
        size_t n = 0;

        if (s->layer)
                send_layer(s, &kept, kept.n ? 1 : 0, &n);
        else
                send_plain(s, &kept, 1, &n);
        if (s->write_error)
                n = kept.n;
        sg_buf_take(&s->out, n);
        if (sg_buf_length(&s->out) == 0)
                sg_buf_release(&s->out);
}

static bool can_send(const struct sg_stream *s)
{
        return (s->state == STREAM_OPEN || s->state == STREAM_HALF) && !s->write_error && !sg_stream_is_flushing(s);
}

int sg_stream_send(struct sg_stream *s, const struct sg_str *pieces, size_t n_pieces)
{
        size_t n = 0;
        int r;

        if (can_send(s) && !sg_buf_length(&s->out)) {
                if (s->layer && sum(pieces, n_pieces))
                        send_layer(s, pieces, n_pieces, &n);
                else if (!s->layer)
                        send_plain(s, pieces, n_pieces, &n);
        }
        if (s->state == STREAM_DEAD || s->write_error)
                return SG_STREAM_E_CLOSED;
        r = keep(s, pieces, n_pieces, n);
        if (r)
                return r;
        if (sg_stream_is_full(s))
                s->was_full = true;
        return 0;
}

void sg_stream_finish_sending(struct sg_stream *s)
{
        if (!s->is_shutting || s->is_shut || sg_buf_length(&s->out) || !can_send(s))
                return;
        s->is_shut = true;
        /* close_notify is a few bytes: when the socket is full even for them, the FIN says it alone. */
        if (s->layer)
                (void)s->layer->close(s->layer);
        if (shutdown(s->fd, SHUT_WR) && errno != ENOTCONN)
                sg_stream_fail_errno(s, errno);
}

void sg_stream_flush(struct sg_stream *s)
{
        size_t kept;

        if (sg_buf_length(&s->out) == 0 && !sg_stream_is_flushing(s))
                return;
        sg_stream_send_kept(s);
        if (s->state == STREAM_DEAD || s->write_error)
                return;
        kept = sg_buf_length(&s->out);
        if (kept == 0 && !sg_stream_is_flushing(s))
                sg_stream_finish_sending(s);
        else if (!s->was_full || kept > s->out_bytes_max / 4)
                return;
        s->was_full = false;
        if (s->listener->on_drained)
                s->listener->on_drained(s, s->owner);
}
