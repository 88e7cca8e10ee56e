/*
 * net/stream.h - ordered bytes to and from one peer, bounded both ways
 *
 * Shape    one sg_stream per connected socket; layers (plain, TLS) below, one listener above
 * Units    lengths in bytes; times in monotonic microseconds (_usec)
 * Owner    the creator owns the stream, the stream owns its descriptor and buffers; a view passed to a callback is
 *          lent until the callback returns; freed at the end of the loop's turn, so free is allowed inside callbacks
 * Thread   the loop that made it, only
 * Errors   0, SG_STREAM_E_*, or -errno; on_end tells a reason once and nothing comes after it, but that after EOF,
 *          while writing goes on, one other end may follow
 * Limits   in_bytes_max of unread bytes (over it reading stops); out_bytes_max of unsent ones (writes beyond are taken
 *          whole once, is_full() says stop); an idle stream holds no buffers: reads go to the loop's scratch first
 * Source   RFC 9293 section 3.6 for half-close
 */
#pragma once

#include <sys/socket.h>

#include "base/buf.h"
#include "loop/loop.h"

struct sg_stream;

enum sg_stream_end {
        SG_STREAM_END_EOF,     /* the peer's FIN (or TLS close_notify); writing may still work */
        SG_STREAM_END_RESET,   /* ECONNRESET, EPIPE and kin; or EOF without close_notify where that matters */
        SG_STREAM_END_REFUSED, /* connect failed: refused, unreachable */
        SG_STREAM_END_TIMEOUT, /* connect timed out in the kernel */
        SG_STREAM_END_TLS,     /* handshake or record failure; sg_stream_end_text() says which */
        SG_STREAM_END_ERROR,   /* anything else */
        SG_STREAM_END_N,
};
const char *sg_stream_end_name(enum sg_stream_end e);

struct sg_stream_listener {
        /* Connected, and the TLS handshake is done and verified. Not called for accepted plain streams. */
        void (*on_open)(struct sg_stream *s, void *owner);
        /* Bytes: those left from before and the new ones, contiguous. Returns how many are used; the rest is kept and
         * given again with more. Stopping is sg_stream_pause(); it may be called in here, the remaining bytes are then
         * kept. */
        size_t (*on_bytes)(struct sg_stream *s, struct sg_str bytes, void *owner);
        /* Unsent bytes fell to the low mark (a quarter of the maximum) after having been full, or to nothing. */
        void (*on_drained)(struct sg_stream *s, void *owner);
        /* The end; unread bytes were given before. After EOF writing goes on; after others the stream is dead. To a
         * paused stream EOF says that the peer has hung up: what it sent before is lost, no bytes are given any more.
         * Who wants them pauses with sg_stream_watch_eof(s, false). */
        void (*on_end)(struct sg_stream *s, enum sg_stream_end why, void *owner);
};

struct sg_stream_options {
        size_t in_bytes_max;  /* 0: SG_STREAM_IN_BYTES_MAX */
        size_t out_bytes_max; /* 0: SG_STREAM_OUT_BYTES_MAX */
        /* Of one that connects by TCP: what was sent is acknowledged within so long, or the stream ends (RESET). 0: when
         * the kernel gives up, after a quarter of an hour or so. */
        uint64_t acknowledged_usec;
};

/* A stream is born paused: reading begins with sg_stream_resume().
 * An accepted or socketpair descriptor, nonblocking; given away, but not when this fails. */
int sg_stream_new_fd(struct sg_stream **ret, struct sg_loop *l, int fd, const struct sg_stream_options *options,
                     const struct sg_stream_listener *listener, void *owner) SG_MUST_CHECK;
/* Starts to connect; on_open or on_end follows, never from inside. What is written before is sent once it is open. */
int sg_stream_new_connect(struct sg_stream **ret, struct sg_loop *l, const struct sockaddr *address, socklen_t length,
                          const struct sg_stream_options *options, const struct sg_stream_listener *listener,
                          void *owner) SG_MUST_CHECK;
/* Closes the descriptor now and frees at the end of the turn. NULL is allowed. Returns NULL. */
struct sg_stream *sg_stream_free(struct sg_stream *s);
SG_DEFINE_AUTO(struct sg_stream *, sg_stream_free)
/* Another listener (a pooled connection changes hands). */
void sg_stream_set_listener(struct sg_stream *s, const struct sg_stream_listener *listener, void *owner);

/* Sends the pieces as one write; what the socket does not take now is copied and sent later. 0, -ENOMEM (the stream is
 * dead then), SG_STREAM_E_CLOSED after an end other than EOF or after sg_stream_shutdown(). The error is also told by
 * on_end, at the end of this turn. */
enum {
        SG_STREAM_E_CLOSED = 1
};
int sg_stream_write(struct sg_stream *s, const struct sg_str *pieces, size_t n_pieces) SG_MUST_CHECK;
size_t sg_stream_queued(const struct sg_stream *s); /* 0: all is with the kernel */
bool sg_stream_is_full(const struct sg_stream *s);  /* more than out_bytes_max is unsent: pause the source */
/* Sends FIN (TLS: close_notify, then FIN) once all is sent. */
void sg_stream_shutdown(struct sg_stream *s);

/* Paused: nothing is read, but the peer's hang-up is still told (EPOLLRDHUP). Resuming gives kept bytes again, not from
 * inside the call but in the same turn. */
void sg_stream_pause(struct sg_stream *s);
void sg_stream_resume(struct sg_stream *s);
/* When false an EOF is not told (drain policy; a paused reader that wants every byte); once true again, it is. Default
 * true. */
void sg_stream_watch_eof(struct sg_stream *s, bool watch);

bool sg_stream_is_open(const struct sg_stream *s); /* connected, and neither side has ended */
/* Open, and nothing from the peer waits in the kernel: one system call. For who is about to ask on an idle one. */
bool sg_stream_is_quiet(const struct sg_stream *s);
const char *sg_stream_end_text(const struct sg_stream *s); /* words for the log: "Connection refused", a TLS alert */
/* "127.0.0.1:4711", "[::1]:8000", "unix"; lent while the stream lives. */
const char *sg_stream_peer(const struct sg_stream *s);
/* Whom the peer speaks for, as a proxy before us has told. Copied, and cut after 63 bytes. */
void sg_stream_set_peer(struct sg_stream *s, const char *text);

/* ---- layers: what TLS is to this room */

enum sg_layer_result {
        SG_LAYER_OK,
        SG_LAYER_WANT_READ,
        SG_LAYER_WANT_WRITE,
        SG_LAYER_EOF,
        SG_LAYER_FAILED
};

struct sg_layer {
        /* All: SG_LAYER_*; on FAILED *ret_text has words that live as long as the layer. */
        enum sg_layer_result (*handshake)(struct sg_layer *y, const char **ret_text);
        /* OK with bytes; EOF for close_notify; FAILED without words when the peer closed without it. */
        enum sg_layer_result (*read)(struct sg_layer *y, char *out, size_t room, size_t *ret_n, const char **ret_text);
        /* *ret_n bytes were taken, whatever the result. OK: that is all of them, and they are with the kernel. WANT_*:
         * call again once the descriptor is ready, with what was not taken or, when all was, with no pieces. */
        enum sg_layer_result (*write)(struct sg_layer *y, const struct sg_str *pieces, size_t n, size_t *ret_n,
                                      const char **ret_text);
        enum sg_layer_result (*close)(struct sg_layer *y); /* sends close_notify */
        size_t (*pending)(const struct sg_layer *y); /* bytes that the descriptor will not be ready for: > 0, read on */
        void (*free)(struct sg_layer *y);
};
/* Before the first byte: puts a layer between the socket and the listener; the stream owns it then. `attach` is called
 * with the descriptor once it is connected; the handshake follows and then on_open (also on a descriptor given
 * connected). */
void sg_stream_set_layer(struct sg_stream *s, struct sg_layer *y, void (*attach)(struct sg_layer *y, int fd));
