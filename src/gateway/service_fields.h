/*
 * gateway/service_fields.h - the fields of a service's messages, on the way there and back
 *
 * Shape    pure functions of a head that was read and a [service]: lines are added to a buffer, with CRLF. What the
 *          configuration sets or removes goes before what the other side sent, and before what the gateway would say itself
 * Owner    nothing is kept
 * Errors   0, or as sg_buf_add()
 * Source   RFC 9110 section 7.6
 */
#pragma once

#include "base/buf.h"
#include "config/config.h"
#include "http/message.h"

/* A request as it came, beside its head. */
struct sg_service_arrival {
        const struct sg_config *config; /* who is trusted */
        const char *peer;               /* as sg_peer_is_trusted() takes it */
        bool is_tls;
        const char *request_id;
        bool wants_trailers;
};

/* An answer on its way, beside its head. */
struct sg_service_return {
        const char *request_id;
        struct sg_str date;
        const char *origin; /* of CORS: one that is allowed, or NULL */
};

/* Whether this is what request_header or remove_request_header names; a '_' is as good as a '-', see is_same_name(). */
bool sg_service_decides(const struct sg_config_service *c, struct sg_str name);

int sg_service_write_request(struct sg_buf *b, const struct sg_config_service *c, const struct sg_head *head,
                             const struct sg_service_arrival *a) SG_MUST_CHECK;
/* Who asks: the names of the key and of the certificate's subject; NULL: not known. */
int sg_service_write_caller(struct sg_buf *b, const struct sg_config_service *c, const char *key, const char *subject)
        SG_MUST_CHECK;

int sg_service_write_answer(struct sg_buf *b, const struct sg_config_service *c, const struct sg_head *head,
                            const struct sg_service_return *a) SG_MUST_CHECK;
int sg_service_write_trailers(struct sg_buf *b, const struct sg_config_service *c, const struct sg_head *trailers)
        SG_MUST_CHECK;
/* Nothing where CORS is left to the service. origin: one that is allowed, or NULL. */
int sg_service_write_cors(struct sg_buf *b, const struct sg_config_service *c, const char *origin, bool is_preflight)
        SG_MUST_CHECK;
