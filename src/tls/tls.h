/*
 * tls/tls.h - GnuTLS as a layer under a stream, at either end
 *
 * Shape    a trust (whom a client believes), a certificate (what it shows) and an identity (who a server is), shared by
 *          all threads; a layer per connection
 * Owner    shared by reference; layers hold one
 * Thread   sg_tls_trust, sg_tls_identity: any (immutable after creation, counted atomically); layers: their loop's
 * Errors   sg_error for files; handshake failures as words through the layer ("the certificate has expired")
 * Limits   a client keeps sessions of 256 names, each for one use (RFC 8446 appendix C.4); a server keeps none: tickets,
 *          under a key that all identities of a name inherit from the first, and that GnuTLS rotates by itself
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

struct sg_tls_certificate;

/* What a client shows to a server that asks for a certificate: PEM files, the first with its chain. */
int sg_tls_certificate_new(struct sg_tls_certificate **ret, const char *certificate, const char *key,
                           struct sg_error *err) SG_MUST_CHECK;
struct sg_tls_certificate *sg_tls_certificate_ref(struct sg_tls_certificate *c);
struct sg_tls_certificate *sg_tls_certificate_unref(struct sg_tls_certificate *c);
SG_DEFINE_AUTO(struct sg_tls_certificate *, sg_tls_certificate_unref)

/* A layer for a connection to `name` (a DNS name, sent as SNI and verified; or an address literal, verified only).
 * certificate: NULL for none. alpn: what is offered, the preferred first, "h2,http/1.1"; NULL: nothing. Sessions are
 * resumed within a process where the server allows (cache in the trust, per name and certificate). */
int sg_tls_client_layer(struct sg_layer **ret, struct sg_tls_trust *trust, struct sg_tls_certificate *certificate,
                        struct sg_str name, const char *alpn) SG_MUST_CHECK;
enum sg_tls_client_certificate {
        SG_TLS_CLIENT_CERTIFICATE_NONE,     /* not asked for */
        SG_TLS_CLIENT_CERTIFICATE_OPTIONAL, /* asked for; one that is sent must be valid */
        SG_TLS_CLIENT_CERTIFICATE_REQUIRED,
        SG_TLS_CLIENT_CERTIFICATE_N,
};

struct sg_tls_identity;

/* Which certificate is sent is decided by the name that the client asks for (SNI); the first is for all others. */
struct sg_tls_identity_options {
        const char *const *certificates; /* PEM files, each with its chain */
        const char *const *keys;         /* PEM files, in the same order */
        size_t n_certificates;
        const char *client_ca; /* PEM; NULL: none */
        enum sg_tls_client_certificate client_certificate;
        const struct sg_tls_identity *previous; /* whose tickets go on being good; or NULL */
};

/* Reads the files. What is wrong with them is said with the file's name. */
int sg_tls_identity_new(struct sg_tls_identity **ret, const struct sg_tls_identity_options *options,
                        struct sg_error *err) SG_MUST_CHECK;
struct sg_tls_identity *sg_tls_identity_ref(struct sg_tls_identity *i);
struct sg_tls_identity *sg_tls_identity_unref(struct sg_tls_identity *i);
SG_DEFINE_AUTO(struct sg_tls_identity *, sg_tls_identity_unref)
/* A key is RSA: its handshakes cost some ten times those of ECDSA. */
bool sg_tls_identity_has_rsa(const struct sg_tls_identity *i);

/* A layer for an accepted connection. */
int sg_tls_server_layer(struct sg_layer **ret, struct sg_tls_identity *identity) SG_MUST_CHECK;

/* After the handshake, at either end: HTTP/2 was chosen. */
bool sg_tls_chose_h2(const struct sg_layer *y);

/* Who the client is by the certificate that it sent and that was verified: its subject as in RFC 4514, "CN=alice,O=Example".
 * Also of a session that was resumed. -ENOENT: it sent none; -ENAMETOOLONG. */
#define SG_TLS_SUBJECT_BYTES 512
int sg_tls_client_subject(const struct sg_layer *y, char out[SG_TLS_SUBJECT_BYTES]) SG_MUST_CHECK;

/* Attaches to the stream: sg_stream_set_layer() with the right attach function. */
void sg_tls_apply(struct sg_stream *s, struct sg_layer *y);
