/*
 * http/message.h - one message as HTTP/1 and HTTP/2 both see it
 *
 * Shape    a head is views into the bytes it was parsed from; it owns nothing
 * Owner    the owner of the bytes; whoever keeps a head keeps the bytes too, or copies
 * Limits   SG_HEADERS_MAX fields
 * Source   RFC 9110
 */
#pragma once

#include "base/limits.h"
#include "base/str.h"

enum sg_method {
        SG_METHOD_GET,
        SG_METHOD_HEAD,
        SG_METHOD_POST,
        SG_METHOD_PUT,
        SG_METHOD_DELETE,
        SG_METHOD_CONNECT,
        SG_METHOD_OPTIONS,
        SG_METHOD_TRACE,
        SG_METHOD_PATCH,
        SG_METHOD_OTHER, /* a valid token that is none of these; see method_text */
        SG_METHOD_N,
};

struct sg_header {
        struct sg_str name;  /* as received; compare with sg_str_ieq() */
        struct sg_str value; /* without surrounding white space */
};

struct sg_head {
        enum sg_method method; /* requests */
        struct sg_str method_text;
        struct sg_str target;
        struct sg_str host; /* requests: of an absolute target, else the Host field; may be empty */
        unsigned status;    /* responses: 100 to 999 */
        unsigned minor;     /* HTTP/1.minor: 0 or 1 */
        bool has_length;
        uint64_t length;         /* Content-Length, when has_length */
        bool is_chunked;         /* a body follows whose length is not known: by chunks, or by DATA frames */
        bool is_close_delimited; /* responses: the body ends with the connection */
        bool keep_alive;         /* the connection may carry another message after this one */
        bool expects_continue;   /* Expect: 100-continue */
        bool wants_upgrade;      /* Connection: upgrade with an Upgrade field */
        size_t n_headers;
        struct sg_header headers[SG_HEADERS_MAX];
};

const char *sg_method_name(enum sg_method m); /* "GET"; "OTHER" for SG_METHOD_OTHER */
/* The standard phrase, or "" for a status that has none here. */
const char *sg_status_phrase(unsigned status);

/* The first field of that name, or NULL. */
const struct sg_header *sg_head_find(const struct sg_head *head, struct sg_str name);
/* Its value, or an empty string. */
struct sg_str sg_head_value(const struct sg_head *head, struct sg_str name);
/* Hop-by-hop by RFC 9110 section 7.6.1, or named by this message's Connection field: not to be forwarded. */
bool sg_header_is_hop(const struct sg_head *head, const struct sg_header *h);
/* May stand behind a body: not what says how the message is framed, routed, read or answered, or who asks (RFC 9110 section
 * 6.5.1). */
bool sg_name_may_trail(struct sg_str name);
/* True when a comma-separated list value contains the token (case ignored). */
bool sg_list_has_token(struct sg_str list, struct sg_str token);
/* Valid as a field value to send: no CR, LF, NUL or other control byte but tab. */
bool sg_header_value_is_valid(struct sg_str value);
bool sg_token_is_valid(struct sg_str token);

/* The path of an origin-form or absolute-form target, without query; *ret_query without '?' (may be NULL). */
struct sg_str sg_target_path(struct sg_str target, struct sg_str *ret_query);
