/*
 * varlink/message.h - what the ends of the protocol share: framing, strict reading, writing (private to the room)
 *
 * Shape    bytes in a sg_buf to messages and back; no I/O
 * Owner    views point into the buffer until it is changed; a request owns its tree
 * Errors   0, SG_VARLINK_E_*, -EBADMSG (not JSON, not an object, not UTF-8), -ENOMEM
 * Limits   as in varlink.h
 */
#pragma once

#include "base/buf.h"
#include "varlink/varlink.h"

enum sg_varlink_message_error {
        SG_VARLINK_E_MORE = 1, /* no whole message yet */
        SG_VARLINK_E_LONG,     /* longer than allowed */
        SG_VARLINK_E_MEMBER,   /* a member is missing, unknown or of the wrong kind */
};

/* The first message in the buffer, without its NUL; take n + 1 bytes when it is done with. *scanned, 0 at first and
 * after each take, remembers what was searched already. */
int sg_varlink_frame(const struct sg_buf *in, size_t *scanned, size_t max, struct sg_str *ret) SG_MUST_CHECK;

struct sg_varlink_request {
        struct json_object *whole;
        const char *method;             /* in whole */
        struct json_object *parameters; /* in whole; NULL when absent or null */
        bool more, oneway;
};
/* On SG_VARLINK_E_MEMBER *ret_bad names the member; it points into the request. Done with sg_varlink_request_done() in
 * every case. */
int sg_varlink_request_parse(struct sg_varlink_request *r, struct sg_str text, const char **ret_bad) SG_MUST_CHECK;
void sg_varlink_request_done(struct sg_varlink_request *r);

/* Append one whole message with its NUL, or nothing. parameters are borrowed (NULL: {}). SG_BUF_E_FULL, -ENOMEM. */
int sg_varlink_add_call(struct sg_buf *out, const char *method, struct json_object *parameters, bool more)
        SG_MUST_CHECK;
int sg_varlink_add_reply(struct sg_buf *out, const char *error_name, struct json_object *parameters, bool continues)
        SG_MUST_CHECK;

struct sg_varlink_answer {
        struct json_object *whole;
        const char *error_name;         /* in whole; NULL on success */
        struct json_object *parameters; /* in whole; NULL when absent */
        bool continues;
};
int sg_varlink_answer_parse(struct sg_varlink_answer *a, struct sg_str text) SG_MUST_CHECK;
void sg_varlink_answer_done(struct sg_varlink_answer *a);

/* Sends what it can: 0 when all is sent, 1 when the socket is full, -errno. */
int sg_varlink_send(int fd, struct sg_buf *out) SG_MUST_CHECK;

/* socket.c: a connected stream socket, CLOEXEC; with SOCK_NONBLOCK in flags. */
int sg_varlink_connect(int *ret_fd, const char *path, int flags) SG_MUST_CHECK;
/* A listening one, NONBLOCK and CLOEXEC. */
int sg_varlink_bind(int *ret_fd, const char *path, gid_t gid, struct sg_error *err) SG_MUST_CHECK;
int sg_varlink_peer_of(struct sg_varlink_peer *ret, int fd) SG_MUST_CHECK;

/* service.c: the interface that every server has. */
void sg_varlink_get_info(struct sg_varlink_call *call, const struct sg_varlink_server_options *options);
void sg_varlink_get_description(struct sg_varlink_call *call, struct json_object *parameters,
                                const struct sg_varlink_server_options *options);
