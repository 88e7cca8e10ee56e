#include "certificates.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DAY_SEC 86400

static void check(int r, const char *what)
{
        if (r >= 0)
                return;
        (void)fprintf(stderr, "%s: %s\n", what, gnutls_strerror(r));
        abort();
}
#define CHECK(call) check(call, #call)

static gnutls_x509_privkey_t new_key(void)
{
        gnutls_x509_privkey_t key;

        CHECK(gnutls_x509_privkey_init(&key));
        CHECK(gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0));
        return key;
}

static gnutls_x509_crt_t new_certificate(gnutls_x509_privkey_t key, const char *name, int from_days, int to_days)
{
        static unsigned char serial = 1;
        gnutls_x509_crt_t c;

        CHECK(gnutls_x509_crt_init(&c));
        CHECK(gnutls_x509_crt_set_version(c, 3));
        CHECK(gnutls_x509_crt_set_key(c, key));
        CHECK(gnutls_x509_crt_set_serial(c, &serial, 1));
        serial++;
        CHECK(gnutls_x509_crt_set_dn_by_oid(c, GNUTLS_OID_X520_COMMON_NAME, 0, name, (unsigned)strlen(name)));
        CHECK(gnutls_x509_crt_set_activation_time(c, time(NULL) + from_days * DAY_SEC));
        CHECK(gnutls_x509_crt_set_expiration_time(c, time(NULL) + to_days * DAY_SEC));
        return c;
}

static void write_pem(char path[64], gnutls_datum_t *pem)
{
        int fd;

        (void)snprintf(path, 64, "/tmp/sg-test-pem-XXXXXX");
        fd = mkstemp(path);
        if (fd < 0 || write(fd, pem->data, pem->size) != (ssize_t)pem->size)
                abort();
        close(fd);
        gnutls_free(pem->data);
}

void test_ca_init(struct test_ca *ca, const char *name)
{
        gnutls_datum_t pem;

        ca->key = new_key();
        ca->certificate = new_certificate(ca->key, name, -30, 30);
        CHECK(gnutls_x509_crt_set_basic_constraints(ca->certificate, 1, -1));
        CHECK(gnutls_x509_crt_set_key_usage(ca->certificate, GNUTLS_KEY_KEY_CERT_SIGN));
        CHECK(gnutls_x509_crt_sign2(ca->certificate, ca->certificate, ca->key, GNUTLS_DIG_SHA256, 0));
        CHECK(gnutls_x509_crt_export2(ca->certificate, GNUTLS_X509_FMT_PEM, &pem));
        write_pem(ca->file, &pem);
}

void test_ca_done(struct test_ca *ca)
{
        unlink(ca->file);
        gnutls_x509_crt_deinit(ca->certificate);
        gnutls_x509_privkey_deinit(ca->key);
}

static gnutls_x509_crt_t sign(struct test_ca *ca, const struct test_server_certificate *want, gnutls_x509_privkey_t key)
{
        gnutls_x509_crt_t c = new_certificate(key, "Test server", want->from_days, want->to_days);
        struct in_addr ip;

        if (want->dns_name)
                CHECK(gnutls_x509_crt_set_subject_alt_name(c, GNUTLS_SAN_DNSNAME, want->dns_name,
                                                           (unsigned)strlen(want->dns_name), GNUTLS_FSAN_APPEND));
        if (want->ip && inet_pton(AF_INET, want->ip, &ip) == 1)
                CHECK(gnutls_x509_crt_set_subject_alt_name(c, GNUTLS_SAN_IPADDRESS, &ip, sizeof(ip),
                                                           GNUTLS_FSAN_APPEND));
        CHECK(gnutls_x509_crt_set_key_purpose_oid(c, want->purpose ? want->purpose : GNUTLS_KP_TLS_WWW_SERVER, 0));
        CHECK(gnutls_x509_crt_sign2(c, ca->certificate, ca->key, GNUTLS_DIG_SHA256, 0));
        return c;
}

gnutls_certificate_credentials_t test_ca_sign(struct test_ca *ca, const struct test_server_certificate *want)
{
        gnutls_certificate_credentials_t credentials;
        gnutls_x509_privkey_t key = new_key();
        gnutls_x509_crt_t c = sign(ca, want, key);

        CHECK(gnutls_certificate_allocate_credentials(&credentials));
        CHECK(gnutls_certificate_set_x509_key(credentials, &c, 1, key));
        gnutls_x509_crt_deinit(c);
        gnutls_x509_privkey_deinit(key);
        return credentials;
}

void test_ca_write(struct test_ca *ca, const struct test_server_certificate *want, struct test_pem *ret)
{
        gnutls_x509_privkey_t key = new_key();
        gnutls_x509_crt_t c = sign(ca, want, key);
        gnutls_datum_t pem;

        CHECK(gnutls_x509_crt_export2(c, GNUTLS_X509_FMT_PEM, &pem));
        write_pem(ret->certificate, &pem);
        CHECK(gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &pem));
        write_pem(ret->key, &pem);
        gnutls_x509_crt_deinit(c);
        gnutls_x509_privkey_deinit(key);
}

void test_pem_remove(struct test_pem *pem)
{
        unlink(pem->certificate);
        unlink(pem->key);
}
