/*
 * A certificate authority for tests, made anew in each run: nothing that expires lies in the repository.
 */
#pragma once

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

struct test_ca {
        gnutls_x509_privkey_t key;
        gnutls_x509_crt_t certificate;
        char file[64]; /* its certificate in PEM */
};

struct test_server_certificate {
        const char *dns_name;   /* or NULL */
        const char *ip;         /* "127.0.0.1", or NULL */
        const char *purpose;    /* OID; NULL: TLS server */
        int from_days, to_days; /* of now */
};

void test_ca_init(struct test_ca *ca, const char *name);
void test_ca_done(struct test_ca *ca);
/* Credentials of a server with such a certificate, signed by the CA. */
gnutls_certificate_credentials_t test_ca_sign(struct test_ca *ca, const struct test_server_certificate *want);

/* The same as files. */
struct test_pem {
        char certificate[64], key[64];
};
void test_ca_write(struct test_ca *ca, const struct test_server_certificate *want, struct test_pem *ret);
void test_pem_remove(struct test_pem *pem);
