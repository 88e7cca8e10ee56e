/*
 * http/h2.h - HTTP/2 by nghttp2: bytes in, events out; frames are asked for, not sent. No I/O
 *
 * Shape    an sg_h2 per connection, of a server or of a client; an sg_h2_stream inside whatever its owner keeps per exchange.
 *          Heads look as those of HTTP/1 do (http/message.h): nobody above knows the version
 * Units    bytes
 * Owner    the connection owns the sg_h2; streams are embedded in the owner's objects; views in events are lent until
 *          the function returns
 * Thread   one at a time; events come from inside sg_h2_receive(); on_sent, and on_reset for what nghttp2 cannot send (a
 *          head that is too large), from inside sg_h2_produce()
 * Errors   0, -ENOMEM, or SG_H2_E_* (positive): the connection can carry nothing more. Broken rules are told by
 *          sg_h2_receive() or, where nghttp2 found them, by the sg_h2_produce() after it, behind the GOAWAY that says why
 * Limits   sg_h2_limits; what an abuser can make us do or hold is bounded (h2_abuse.c). A connection of either role is
 *          26 KB of heap, a stream 0.5 KB, and what waits in `out`; a head that is being read up to 3 * head_bytes
 * Source   RFC 9113, RFC 7541; CVE-2023-44487 (rapid reset), CVE-2024-27316 and its kin (CONTINUATION)
 */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "http/message.h"

enum sg_h2_error {
        SG_H2_E_BROKEN = 1, /* the peer broke the protocol */
        SG_H2_E_ABUSE,      /* within the protocol, and nothing but work for us */
        SG_H2_E_N,
};

/* Why a stream ended: RFC 9113 section 7, as far as it matters here. */
enum sg_h2_reset {
        SG_H2_RESET_NONE,     /* NO_ERROR: the answer stands, the rest of the request is not wanted */
        SG_H2_RESET_PROTOCOL, /* PROTOCOL_ERROR */
        SG_H2_RESET_INTERNAL, /* INTERNAL_ERROR: an answer that cannot be completed */
        SG_H2_RESET_REFUSED,  /* REFUSED_STREAM: nothing was done, it may be tried again */
        SG_H2_RESET_CANCEL,   /* CANCEL */
        SG_H2_RESET_OTHER,    /* received only */
        SG_H2_RESET_N,
};

struct sg_h2;

/* Per stream, inside the owner's object. All private but `owner`; h2 and is_sent may be read. */
struct sg_h2_stream {
        struct sg_h2 *h2; /* NULL: not tied, or over */
        int32_t id;
        void *owner;
        struct sg_link link; /* of h2 */
        struct sg_buf out;   /* what was given and is not in frames yet */
        size_t n_trailers;   /* bytes of them, at the back of out */
        bool is_last_given;  /* END_STREAM follows what is in out */
        bool has_head_given;
        bool is_deferred; /* nghttp2 waits for more of it */
        bool has_ended;   /* what the peer sends, the request or the answer, is whole */
        bool is_sent;     /* what we send is in frames to its end */
        bool is_head;     /* client: the answer to HEAD has no body */
        bool has_answer;  /* client: its head was told */
        bool has_length;
        uint64_t n_left;   /* of the body, when has_length */
        size_t unconsumed; /* of the body: received, and its window not given back */
};

struct sg_h2_limits {
        unsigned n_streams_max; /* at once: SETTINGS_MAX_CONCURRENT_STREAMS; client: the peer may allow less */
        size_t head_bytes;      /* 0: SG_HEAD_BYTES_MAX; over it on_head_too_large, or on_reset (client, trailers) */
        uint32_t stream_window; /* what a peer may send on a stream before it is consumed */
        uint32_t connection_window; /* and on all together */
};

/* From inside of them all may be called but sg_h2_receive(), sg_h2_produce() and sg_h2_free(). */
struct sg_h2_events {
        /* Server. A request's head, valid by RFC 9113 section 8 (what is malformed was reset with PROTOCOL_ERROR, unseen). The
         * owner ties a stream with sg_h2_tie(), or not: then it is refused (REFUSED_STREAM). is_end: no body follows. */
        void (*on_head)(struct sg_h2 *h, int32_t id, const struct sg_head *head, bool is_end, void *owner);
        /* Server. A head over the limits, is_target: by its path alone. The owner may tie and answer 431, or 414, or not. */
        void (*on_head_too_large)(struct sg_h2 *h, int32_t id, bool is_target, void *owner);
        /* Bytes of the body. Their window is given back by sg_h2_consume(). */
        void (*on_body)(struct sg_h2_stream *s, struct sg_str bytes);
        /* What the peer sends, the request or the answer, is whole. Not where its head came with is_end. */
        void (*on_end)(struct sg_h2_stream *s);
        /* The peer has reset it, or broke its rules: s is untied already. Client: REFUSED may be sent again elsewhere; after
         * the answer's end NONE says that the rest of the request is not wanted, and the answer stands. */
        void (*on_reset)(struct sg_h2_stream *s, enum sg_h2_reset why);
        /* What we send is in frames to its end; s is still tied. The server's place for sg_h2_untie(s, SG_H2_RESET_NONE).
         * May be NULL. */
        void (*on_sent)(struct sg_h2_stream *s);
        /* The fields behind the body, before on_end: headers and n_headers only, and none that may not stand there
         * (sg_name_may_trail()). NULL: they are dropped. */
        void (*on_trailers)(struct sg_h2_stream *s, const struct sg_head *trailers);
        /* Client. The final answer's head, valid by RFC 9113 section 8; 1xx are swallowed. is_end: no body follows. */
        void (*on_answer)(struct sg_h2_stream *s, const struct sg_head *head, bool is_end);
        /* Client. The peer takes no more streams (GOAWAY), told once; those that it will not serve were told on_reset with
         * SG_H2_RESET_REFUSED. May be NULL. */
        void (*on_going_away)(struct sg_h2 *h, void *owner);
};

int sg_h2_new(struct sg_h2 **ret, const struct sg_h2_limits *limits, const struct sg_h2_events *events, void *owner)
        SG_MUST_CHECK;
/* The client's role: without server push. The preface comes with the first sg_h2_produce(). on_head and on_head_too_large
 * may be NULL; in the server's role on_answer and on_going_away. */
int sg_h2_new_client(struct sg_h2 **ret, const struct sg_h2_limits *limits, const struct sg_h2_events *events,
                     void *owner) SG_MUST_CHECK;
/* Streams that are still tied are untied, not told. */
struct sg_h2 *sg_h2_free(struct sg_h2 *h);
SG_DEFINE_AUTO(struct sg_h2 *, sg_h2_free)

int sg_h2_receive(struct sg_h2 *h, struct sg_str bytes) SG_MUST_CHECK; /* takes all of it */
/* Appends frames that are ready, until `b` has at least `enough` bytes, or no room for another frame
 * (SG_H2_FRAME_BYTES_MAX), or there are no more. What windows do not allow yet waits. After SG_H2_E_* there was a GOAWAY
 * in it: send what is in `b` and close. */
#define SG_H2_FRAME_BYTES_MAX (16u * 1024u + 64u)
int sg_h2_produce(struct sg_h2 *h, struct sg_buf *b, size_t enough) SG_MUST_CHECK;
bool sg_h2_wants_to_send(const struct sg_h2 *h); /* sg_h2_produce() would give something */
bool sg_h2_is_over(const struct sg_h2 *h);       /* both sides are done: after GOAWAY and the last stream */
size_t sg_h2_n_streams(const struct sg_h2 *h);   /* tied */

/* Client: how many streams may be opened now; 0 at the peer's limit, after GOAWAY, after the last stream number. */
size_t sg_h2_room(const struct sg_h2 *h);

struct sg_h2_request {
        struct sg_str method, scheme, authority, path; /* not CONNECT */
        const struct sg_str *fields;                   /* pieces, each of complete lines, as for sg_h2_send_head() */
        size_t n_fields;
        bool has_length; /* content-length is `length`, whatever stands in fields */
        uint64_t length;
        bool is_last; /* no body */
};
/* Client: ties s, which lives as after sg_h2_tie(). There must be room. The body follows by sg_h2_send_body(). Of fields,
 * host is left out, too, and te but for "trailers". -ENOMEM, -E2BIG (more than SG_H2_FIELDS_MAX, or of 1 MiB): nothing is
 * sent, s is not tied. */
int sg_h2_open(struct sg_h2 *h, struct sg_h2_stream *s, const struct sg_h2_request *request, void *owner) SG_MUST_CHECK;

/* Server: from inside on_head or on_head_too_large. s lives until sg_h2_untie(), on_reset, sg_h2_free(), or the end of both
 * directions, which comes after on_sent and on_end; then s->h2 is NULL and it may be freed. */
void sg_h2_tie(struct sg_h2 *h, int32_t id, struct sg_h2_stream *s, void *owner);
/* The owner has no use for it: reset with `why` unless both directions are done; what is in `out` is dropped. Does
 * nothing when it is not tied. */
void sg_h2_untie(struct sg_h2_stream *s, enum sg_h2_reset why);

/* fields: complete lines "name: value\r\n" as for HTTP/1, valid; names are lowered, connection-specific ones left out.
 * has_length: content-length is `length`, whatever stands in fields. is_last: no body follows. -E2BIG: more than
 * SG_H2_FIELDS_MAX of them; nothing is sent. */
#define SG_H2_FIELDS_MAX (2u * SG_HEADERS_MAX)
int sg_h2_send_head(struct sg_h2_stream *s, unsigned status, struct sg_str fields, bool has_length, uint64_t length,
                    bool is_last) SG_MUST_CHECK;
/* Copies. is_last ends the stream behind it. */
int sg_h2_send_body(struct sg_h2_stream *s, const struct sg_str *pieces, size_t n_pieces, bool is_last) SG_MUST_CHECK;
/* Lines as of sg_h2_send_head(), behind the body; they end the stream, in place of is_last. Copied; those that may not stand
 * there are left out. */
int sg_h2_send_trailers(struct sg_h2_stream *s, struct sg_str fields) SG_MUST_CHECK;
int sg_h2_send_continue(struct sg_h2_stream *s) SG_MUST_CHECK; /* 100 Continue */
size_t sg_h2_queued(const struct sg_h2_stream *s);             /* given, and not in frames yet */
/* n bytes of the peer's body were used up: the peer may send as many more. */
void sg_h2_consume(struct sg_h2_stream *s, size_t n);

/* GOAWAY in two steps (RFC 9113 section 6.8): those that are open go on, and those that are on their way still come; a
 * PING's answer tells that no more do. A client's is one step: it opens no more. Then sg_h2_is_over() waits for the last.
 * The peer's time is the owner's matter. */
void sg_h2_drain(struct sg_h2 *h);
/* Time has passed: so many frames that brought nothing are forgotten. There is no clock here; 10 a second is kind. */
void sg_h2_forgive(struct sg_h2 *h, unsigned n_frames);

const char *sg_h2_error_name(enum sg_h2_error e); /* "broken", … */
const char *sg_h2_reset_name(enum sg_h2_reset r); /* "none", "protocol", … */

/* The first 24 bytes of a client. */
#define SG_H2_PREFACE SG_STR("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
