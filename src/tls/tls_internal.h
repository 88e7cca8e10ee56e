/*
 * tls/tls_internal.h - what trust.c (certificates, sessions to resume), identity.c and layer.c (a connection) share
 *
 * Thread   the credentials and priorities are never changed after creation. `sessions` is guarded by `lock`, which is
 *          held for a copy in memory only, never during input or output, and is the only lock of this room
 */
#pragma once

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <pthread.h>
#include <stdatomic.h>

#include "tls/tls.h"

#define TLS_NAME_BYTES_MAX 253u /* RFC 1035 section 2.3.4, as text */
#define TLS_SESSIONS_MAX   256u
#define TLS_TEXT_BYTES     320u

struct sg_tls_trust {
        atomic_uint n_refs;
        gnutls_certificate_credentials_t credentials;
        gnutls_priority_t priorities;
        pthread_mutex_t lock;
        struct sg_list sessions; /* the newest first */
};

struct sg_tls_certificate {
        atomic_uint n_refs;
        uint64_t number; /* of no other one of this process: sessions belong to it */
        gnutls_pcert_st *chain;
        unsigned n_chain;
        gnutls_privkey_t key;
};

/* For the credentials of a trust, which many providers share: what the connection at hand shows. */
gnutls_certificate_retrieve_function2 tls_show_certificate;

struct tls_pair {
        gnutls_certificate_credentials_t credentials;
        gnutls_x509_crt_t leaf;
};

struct sg_tls_identity {
        atomic_uint n_refs;
        struct tls_pair *pairs; /* the first is for names that no other has */
        size_t n_pairs;
        gnutls_priority_t priorities;
        gnutls_datum_t ticket_key;
        gnutls_certificate_request_t request; /* of the client's certificate */
        bool has_rsa;
};

/* A certificate with its key into credentials, with words for what is wrong. */
int tls_load_pair(gnutls_certificate_credentials_t credentials, const char *certificate, const char *key,
                  struct sg_error *err);
/* The credentials for the name in the client's hello, if it has one. */
gnutls_certificate_credentials_t tls_identity_choose(const struct sg_tls_identity *i, gnutls_session_t session);

/* PEM certificates that are believed, out of a file. */
int tls_load_authorities(gnutls_certificate_credentials_t credentials, const char *path, struct sg_error *err);
/* -errno with words when the file cannot be read: GnuTLS has one error for every trouble with a file. */
int tls_check_readable(const char *path, const char *what, struct sg_error *err);

/* A session for the name, taken out of the cache; data NULL when there is none. Free it with gnutls_free(). */
gnutls_datum_t tls_session_take(struct sg_tls_trust *t, const char *name);
/* Keeps the session, which is given away. */
void tls_session_put(struct sg_tls_trust *t, const char *name, gnutls_datum_t session);

/* Words for an operator; lent by `out` or constant. */
/* name: whose certificate was expected; NULL: of a client. */
const char *tls_explain_certificate(char out[TLS_TEXT_BYTES], unsigned status, const char *name);
const char *tls_explain_error(char out[TLS_TEXT_BYTES], gnutls_session_t session, int error, const char *name);
