/*
 * http/h2_internal.h - what the files of the HTTP/2 codec share; private to the room
 *
 * Errors   0, -ENOMEM, SG_H2_E_*; nghttp2's own numbers are negative and translated by h2_result()
 */
#pragma once

#include <nghttp2/nghttp2.h>

#include "http/h2.h"

#define H2_FRAME_HEAD_BYTES   9u
#define H2_FIELD_OVERHEAD     32u             /* RFC 9113 section 6.5.2 */
#define H2_HEAD_OUT_BYTES_MAX (1024u * 1024u) /* a bound of HPACK's result: SG_H2_FIELDS_MAX of an upstream's */

/* The frames as they come in, told apart before nghttp2 has them. */
struct h2_cutter {
        unsigned n_preface_left;
        unsigned n_head; /* bytes of a frame's head that is not whole */
        uint8_t head[H2_FRAME_HEAD_BYTES];
        uint8_t type, flags; /* of the frame whose payload comes */
        int32_t id;
        uint32_t n_bytes, n_left; /* of its payload */
        unsigned n_continuations; /* in a row */
        bool is_padding_due;      /* the first byte of the payload says how much of it there is */
};

/* The head or trailers that are being read: there is one at a time, since nothing may stand between its frames. */
struct h2_fields {
        struct sg_buf bytes; /* records: struct h2_record, name, value */
        size_t n_bytes;      /* as SETTINGS_MAX_HEADER_LIST_SIZE counts */
        size_t n;
        size_t n_cookies, n_cookie_bytes;
        bool is_trailers;
        bool is_too_large;
        bool is_target_too_long;
};

/* What is not in the fields of struct sg_head. */
struct h2_pseudo {
        struct sg_str authority, scheme, status;
        bool has_authority;
        const struct sg_str *host; /* the field */
};

/* Fields to be sent, as views. */
struct h2_list {
        nghttp2_nv all[SG_H2_FIELDS_MAX + 5]; /* and the pseudo-fields, and content-length */
        size_t n, n_lines;
        size_t n_bytes;  /* as SETTINGS_MAX_HEADER_LIST_SIZE counts */
        bool has_length; /* it is added: not taken from lines */
        char digits[20];
};

struct sg_h2 {
        nghttp2_session *session;
        struct sg_h2_limits limits;
        const struct sg_h2_events *events;
        void *owner;
        bool is_client;
        bool is_going_away; /* the peer said so */
        int failure;        /* -ENOMEM or SG_H2_E_*: nothing is received any more */
        bool is_inside;     /* sg_h2_receive() or sg_h2_produce() */
        bool is_draining;
        bool is_head_end; /* of the head that is told: no body follows */
        bool has_head_length;
        uint64_t head_length;
        struct h2_cutter cutter;
        struct h2_fields fields;
        int32_t awaited; /* the stream of a frame that nghttp2 has not told of: it was refused, when the frame is over */
        uint32_t n_idle;        /* frames that brought nothing */
        uint32_t n_paid_bytes;  /* of bodies, that are not worth a frame yet */
        struct sg_list streams; /* tied */
        struct sg_buf *into;    /* of sg_h2_produce() */
        size_t enough;
};

/* With its NUL, 8 bytes: what the PING of sg_h2_drain() carries. */
#define H2_DRAIN_PING "sgdrain"

/* h2.c */
int h2_new(struct sg_h2 **ret, bool is_client, const struct sg_h2_limits *limits, const struct sg_h2_events *events,
           void *owner) SG_MUST_CHECK;
/* s is new, and of h from here on. */
void h2_attach(struct sg_h2 *h, struct sg_h2_stream *s, int32_t id, void *owner);
int h2_result(struct sg_h2 *h, int r);     /* of nghttp2; what stands in h->failure is preferred */
void h2_submitted(struct sg_h2 *h, int r); /* -ENOMEM is told later, by sg_h2_receive() or sg_h2_produce() */
enum sg_h2_reset h2_reset_of(uint32_t code);
struct sg_h2_stream *h2_stream_of(const struct sg_h2 *h, int32_t id); /* tied, or NULL */
void h2_detach(struct sg_h2_stream *s);                               /* it is the owner's alone from here on */
void h2_lose(struct sg_h2_stream *s, enum sg_h2_reset why);           /* and the owner is told */
/* Ends a stream that broke the rules: resets it, and tells its owner if it has one. */
void h2_refuse(struct sg_h2 *h, int32_t id, uint32_t code);

/* h2_event.c */
void h2_set_callbacks(nghttp2_session_callbacks *callbacks);

/* h2_fields.c: fields in. */
void h2_fields_begin(struct sg_h2 *h, bool is_trailers);
int h2_fields_add(struct sg_h2 *h, struct sg_str name, struct sg_str value) SG_MUST_CHECK;
/* An empty head, and the fields as views, until h2_fields_end(). */
int h2_fields_read(struct sg_h2 *h, struct sg_head *head, struct h2_pseudo *p) SG_MUST_CHECK;
void h2_trailers_ready(struct sg_h2 *h, int32_t id); /* tells the owner of them, or refuses the stream */
void h2_fields_end(struct sg_h2 *h);

/* h2_head.c: what they mean. */
/* The head of a request is whole: tells the owner of it, or refuses it. */
int h2_head_ready(struct sg_h2 *h, int32_t id, bool is_end) SG_MUST_CHECK;

/* h2_client.c */
int h2_answer_ready(struct sg_h2 *h, int32_t id, bool is_end) SG_MUST_CHECK; /* the same of an answer */
void h2_go_away(struct sg_h2 *h, int32_t last);                              /* the peer serves up to this stream */

/* h2_send.c */
void h2_list_init(struct h2_list *l);
void h2_list_add(struct h2_list *l, struct sg_str name, struct sg_str value);
void h2_list_add_length(struct h2_list *l, uint64_t length);
/* Complete lines. `keeps` may change the value. -E2BIG: more than SG_H2_FIELDS_MAX. */
int h2_list_add_lines(struct h2_list *l, struct sg_str lines,
                      bool (*keeps)(const struct h2_list *l, struct sg_str name, struct sg_str *value)) SG_MUST_CHECK;
bool h2_keeps_in_head(const struct h2_list *l, struct sg_str name, struct sg_str *value);

/* Callbacks of nghttp2. */
ssize_t h2_read_out(nghttp2_session *session, int32_t id, uint8_t *to, size_t n, uint32_t *flags,
                    nghttp2_data_source *source, void *owner);
int h2_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t n,
                 nghttp2_data_source *source, void *owner);

/* h2_abuse.c */
int h2_judge_frame(struct sg_h2 *h) SG_MUST_CHECK; /* its head is in the cutter: 0 or SG_H2_E_ABUSE */
void h2_charge(struct sg_h2 *h, unsigned n);
void h2_pay(struct sg_h2 *h, unsigned n_frames, size_t n_bytes);
int h2_judge_fields(const struct sg_h2 *h) SG_MUST_CHECK;

enum {
        H2_COST_RESET = 4,        /* by the peer, of a stream */
        H2_COST_SETTINGS = 4,     /* are acknowledged, and may touch every stream */
        H2_COST_MALFORMED = 9,    /* a message that is refused by a RST_STREAM */
        H2_DATA_BYTES_SMALL = 64, /* to a stream that is gone: what was under way is larger */
        H2_WORTH_ANSWER = 16,     /* a whole one */
        H2_WORTH_DATA = 3,        /* a frame of all that was there: the client may well update two windows for it */
};
