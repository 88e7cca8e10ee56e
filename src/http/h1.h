/*
 * http/h1.h - HTTP/1.1, strict: bytes in, events out, no I/O
 *
 * Shape    a parser per connection and direction, embedded by value and small (no buffers of its own);
 *          writers append to a sg_buf
 * Owner    the caller keeps the input bytes; views in events are lent until the caller drops `used` bytes of them
 * Thread   one at a time
 * Errors   0 with an event, or SG_H1_E_* (positive): the connection can carry nothing more after one
 * Limits   sg_h1_limits; the head must fit contiguously in the input
 * Source   RFC 9112; one meaning for every message length, the ambiguous is refused (section 11.2)
 */
#pragma once

#include "base/buf.h"
#include "http/message.h"

enum sg_h1_role {
        SG_H1_SERVER, /* reads requests: strict */
        SG_H1_CLIENT, /* reads responses: tolerant where only one reading exists (bare LF is still refused;
                       * a missing reason phrase and a close-delimited body are accepted) */
};

enum sg_h1_error {
        SG_H1_E_BAD = 1,         /* malformed or ambiguous: 400 */
        SG_H1_E_HEAD_TOO_LARGE,  /* 431 */
        SG_H1_E_TARGET_TOO_LONG, /* 414 */
        SG_H1_E_BODY_TOO_LARGE,  /* 413; decided at the head when the length is declared */
        SG_H1_E_VERSION,         /* 505 */
        SG_H1_E_CODING,          /* a transfer coding other than chunked: 501 */
        SG_H1_E_TRUNCATED,       /* the peer closed inside a message */
        SG_H1_E_N,
};

enum sg_h1_event_kind {
        SG_H1_MORE,     /* needs more input; `used` bytes of this one are done with */
        SG_H1_HEAD,     /* *head is filled, views into `in` */
        SG_H1_BODY,     /* `bytes`: the next piece of the body, decoded */
        SG_H1_TRAILERS, /* *head: only headers and n_headers are filled; comes before END when there are any */
        SG_H1_END,      /* the message is complete; the next call begins another */
};

struct sg_h1_event {
        enum sg_h1_event_kind kind;
        size_t used;         /* bytes of `in` that this event consumed */
        struct sg_str bytes; /* SG_H1_BODY */
};

struct sg_h1_limits {
        size_t head_bytes;   /* 0: SG_HEAD_BYTES_MAX */
        uint64_t body_bytes; /* 0: none; sum of the decoded body */
};

struct sg_h1 {
        enum sg_h1_role role;
        unsigned state; /* private from here on */
        struct sg_h1_limits limits;
        size_t scanned;          /* of an incomplete head: its whole lines, which are right */
        unsigned n_fields;       /* in them */
        unsigned n_empty;        /* lines skipped before the request line */
        uint64_t left;           /* of the body with a length, or of the chunk */
        uint64_t body_limit;     /* of this message */
        uint64_t body_bytes;     /* decoded so far */
        bool is_head_request;    /* client role: the answer has no body */
        bool is_connect_request; /* client role: a 2xx answer has no body */
        bool sent_interim;       /* client role: last head was 1xx, the answer is still to come */
};

void sg_h1_init(struct sg_h1 *p, enum sg_h1_role role, const struct sg_h1_limits *limits);
/* Server role, between HEAD and the first body byte: another limit for this message (routes differ). Returns
 * SG_H1_E_BODY_TOO_LARGE when the declared length passes it. */
int sg_h1_limit_body(struct sg_h1 *p, const struct sg_head *head, uint64_t body_bytes) SG_MUST_CHECK;
/* Client role, before the answer: what was asked, since HEAD has no body in its answer. */
void sg_h1_expect(struct sg_h1 *p, enum sg_method method);

/* Next event from `in`. A call after MORE must be given at least the same unconsumed bytes again, and more.
 * Leading empty lines before a request line are skipped (RFC 9112 section 2.2). In the client role 1xx answers come as
 * HEAD followed by END; the final answer follows. 101 is a HEAD with END: what follows is not HTTP. */
int sg_h1_next(struct sg_h1 *p, struct sg_str in, struct sg_head *head, struct sg_h1_event *ret) SG_MUST_CHECK;
/* The peer has closed: 0 with END (complete close-delimited body), 0 with MORE when between messages,
 * else SG_H1_E_TRUNCATED. */
int sg_h1_eof(struct sg_h1 *p, struct sg_h1_event *ret) SG_MUST_CHECK;
/* Between messages: nothing of a next one was seen. */
bool sg_h1_is_idle(const struct sg_h1 *p);
/* All of a body was given: END comes next, and needs no more bytes. */
bool sg_h1_awaits_end(const struct sg_h1 *p);

const char *sg_h1_error_name(enum sg_h1_error e); /* "bad", "head_too_large", … */
unsigned sg_h1_error_status(enum sg_h1_error e);

/* Writers: 0, -ENOMEM, SG_BUF_E_FULL. Names and values must be valid (checked by assertion in the name,
 * by sg_header_value_is_valid() at the caller for what comes from outside). */
int sg_h1_add_request_line(struct sg_buf *b, struct sg_str method, struct sg_str target) SG_MUST_CHECK;
int sg_h1_add_status_line(struct sg_buf *b, unsigned status) SG_MUST_CHECK;
int sg_h1_add_header(struct sg_buf *b, struct sg_str name, struct sg_str value) SG_MUST_CHECK;
int sg_h1_add_header_u64(struct sg_buf *b, struct sg_str name, uint64_t value) SG_MUST_CHECK;
int sg_h1_add_head_end(struct sg_buf *b) SG_MUST_CHECK;

/* "1f40\r\n" into out; returns its length. The bytes, then SG_H1_CHUNK_END, follow. */
#define SG_H1_CHUNK_HEAD_BYTES 20
size_t sg_h1_chunk_head(char out[SG_H1_CHUNK_HEAD_BYTES], size_t n);
#define SG_H1_CHUNK_END  SG_STR("\r\n")
#define SG_H1_LAST_CHUNK SG_STR("0\r\n\r\n")
