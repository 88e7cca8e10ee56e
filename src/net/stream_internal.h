/*
 * net/stream_internal.h - what stream.c (life and calls) and stream_bytes.c (moving bytes) share
 */
#pragma once

#include "net/stream.h"

#define STREAM_MAGIC 0x73747265u

enum stream_state {
        STREAM_CONNECTING,
        STREAM_HANDSHAKE,
        STREAM_OPEN,
        STREAM_HALF,  /* EOF was told; writing goes on */
        STREAM_DEAD,  /* an end other than EOF; told at the end of the turn */
        STREAM_FREED, /* by its owner; the memory goes at the end of the turn */
        STREAM_STATE_N,
};

struct sg_stream {
        unsigned magic;
        enum stream_state state;
        int fd;
        struct sg_io io;
        struct sg_loop *loop;
        struct sg_deferred deferred;
        const struct sg_stream_listener *listener;
        void *owner;

        struct sg_buf in, out;
        size_t in_bytes_max, out_bytes_max;

        struct sg_layer *layer;
        void (*attach)(struct sg_layer *y, int fd);
        unsigned layer_wants;  /* SG_IO_*: of a handshake, or to flush what the layer has taken */
        bool read_wants_write; /* the layer cannot read before it has written (a key update) */

        /* The listener's wishes. */
        bool is_paused;
        bool watches_eof;
        bool is_shutting; /* FIN when all is sent */

        /* What has happened in each direction (RFC 9293 section 3.6: they end one by one). */
        bool is_held;      /* bytes came while nobody wanted them: watch for the hang-up only */
        bool has_seen_eof; /* not told yet */
        bool gives_again;  /* kept bytes are due at the end of the turn */
        bool was_full;
        bool is_shut;
        bool has_told_end; /* of a dead one */
        int write_error;   /* the stream fails with it once what has come is given */

        enum sg_stream_end end;
        const char *end_text;
        char peer[64];
};

/* The end, told once at the end of this turn. */
void sg_stream_fail(struct sg_stream *s, enum sg_stream_end why, const char *text);
void sg_stream_fail_errno(struct sg_stream *s, int e);

/* stream_bytes.c. Callbacks run inside these three: the state may be any afterwards. */
bool sg_stream_receive(struct sg_stream *s, unsigned ready); /* whether bytes came */
void sg_stream_flush(struct sg_stream *s);
void sg_stream_give_kept(struct sg_stream *s);
/* Takes all of the pieces: sends or keeps. 0, -ENOMEM or SG_STREAM_E_CLOSED, having failed the stream. */
int sg_stream_send(struct sg_stream *s, const struct sg_str *pieces, size_t n_pieces);
void sg_stream_send_kept(struct sg_stream *s);
void sg_stream_finish_sending(struct sg_stream *s);

static inline bool sg_stream_is_flushing(const struct sg_stream *s)
{
        return s->layer_wants != 0;
}
