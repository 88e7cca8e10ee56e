/*
 * http/h1_internal.h - what the files of the HTTP/1.1 codec share; private to the room
 *
 * Errors   0, SG_H1_E_*, or H1_WAIT: the bytes end before the construct does, and so far it is right
 */
#pragma once

#include "http/bytes.h"
#include "http/h1.h"

#define H1_WAIT SG_H1_E_N

enum h1_state {
        H1_IDLE,   /* nothing of a message seen */
        H1_HEAD,   /* some of its first line seen */
        H1_LENGTH, /* body of a known length; `left` is what is missing */
        H1_CLOSE,  /* body up to the end of the connection */
        H1_CHUNK_LINE,
        H1_CHUNK,     /* `left` is what is missing of the chunk */
        H1_CHUNK_END, /* the CRLF after its bytes */
        H1_TRAILERS,
        H1_END,    /* only the event is missing */
        H1_FAILED, /* `left` is the error */
        H1_STATE_N,
};

/* The fields that say something about the message itself. */
enum h1_field {
        H1_HOST,
        H1_CONTENT_LENGTH,
        H1_TRANSFER_ENCODING,
        H1_CONNECTION,
        H1_EXPECT,
        H1_UPGRADE,
        H1_DISGUISED, /* Content_Length, Transfer_Encoding: the same to those who follow CGI */
        H1_FIELD_N,
};

/* Where they stand in the head: how often each, and its first place. */
struct h1_known {
        uint8_t n[H1_FIELD_N];
        uint8_t first[H1_FIELD_N];
};

/* h1_head.c: syntax, line by line. */
int h1_read_head(struct sg_h1 *p, struct sg_str in, struct sg_head *head, struct h1_known *ret, size_t *ret_used);
int h1_read_trailers(struct sg_h1 *p, struct sg_str in, struct sg_head *head, size_t *ret_used);

/* h1_meaning.c: what a complete head says, or refusal. */
enum sg_method h1_method_of(struct sg_str text); /* of a valid token */
int h1_understand_request(struct sg_head *head, const struct h1_known *known);
int h1_understand_answer(struct sg_h1 *p, struct sg_head *head, const struct h1_known *known);

/* h1_target.c: sets head->host; the Host field is `field`, or NULL when there was none. */
int h1_read_target(struct sg_head *head, const struct sg_str *field);

/* h1_body.c: chunk framing. */
int h1_read_chunk_line(enum sg_h1_role role, struct sg_str in, uint64_t *ret_size, size_t *ret_used);
