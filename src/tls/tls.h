/*
 * tls/tls.h - GnuTLS as a layer under a stream; this release: the client side
 *
 * Shape    a trust (CA list and settings) shared by all threads, a layer per connection
 * Owner    shared by reference; layers hold one
 * Thread   sg_tls_trust: any (immutable after creation, counted atomically); layers: their loop's
 * Errors   sg_error for files; handshake failures as words through the layer ("the certificate has expired")
 * Limits   256 names with a session to resume; a session is used once (RFC 8446 appendix C.4)
 * Source   RFC 8446, RFC 6125 for names; the system's trust store through GnuTLS
 */
#pragma once

#include "base/error.h"
#include "net/stream.h"

struct sg_tls_trust;

/* ca_file NULL: the system's trust store; else only that file's certificates (PEM). Verification is always on. Reading
 * the system's takes some 10 ms: share it. */
int sg_tls_trust_new(struct sg_tls_trust **ret, const char *ca_file, struct sg_error *err) SG_MUST_CHECK;
struct sg_tls_trust *sg_tls_trust_ref(struct sg_tls_trust *t);
struct sg_tls_trust *sg_tls_trust_unref(struct sg_tls_trust *t);
SG_DEFINE_AUTO(struct sg_tls_trust *, sg_tls_trust_unref)

/* A layer for a connection to `name` (a DNS name, sent as SNI and verified; or an address literal, verified only).
 * alpn: "http/1.1". Sessions are resumed within a process where the server allows (cache in the trust, per name). */
int sg_tls_client_layer(struct sg_layer **ret, struct sg_tls_trust *trust, struct sg_str name, const char *alpn)
        SG_MUST_CHECK;
/* Attaches to the stream: sg_stream_set_layer() with the right attach function. */
void sg_tls_apply(struct sg_stream *s, struct sg_layer *y);
