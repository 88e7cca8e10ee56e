#include <errno.h>
#include <gnutls/x509.h>
#include <stdlib.h>
#include <string.h>

#include "base/message_id.h"
#include "base/secret.h"
#include "tls/tls_internal.h"

/* X25519 first: most clients send its share with their hello, and asking for another costs them a round trip. */
#define PRIORITIES                                                                                                     \
        "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1:+GROUP-SECP384R1:"       \
        "+GROUP-SECP521R1:%SERVER_PRECEDENCE"

/* What GnuTLS finds wrong when it loads a pair could be in either file, and it leaks what it had read by then. */
static int check_certificate(const char *path, struct sg_error *err)
{
        gnutls_datum_t pem = {NULL, 0};
        gnutls_x509_crt_t *chain = NULL;
        unsigned n = 0;
        int r = gnutls_load_file(path, &pem);

        if (!r)
                r = gnutls_x509_crt_list_import2(&chain, &n, &pem, GNUTLS_X509_FMT_PEM, 0);
        gnutls_free(pem.data);
        for (unsigned k = 0; r >= 0 && k < n; k++)
                gnutls_x509_crt_deinit(chain[k]);
        gnutls_free(chain);
        if (r < 0)
                return sg_error_set(err, -EINVAL, path, "not a file of PEM certificates: %s", gnutls_strerror(r));
        return 0;
}

int tls_load_pair(gnutls_certificate_credentials_t credentials, const char *certificate, const char *key,
                  struct sg_error *err)
{
        int n, r = tls_check_readable(certificate, "the certificate", err);

        if (!r)
                r = tls_check_readable(key, "the private key", err);
        if (!r)
                r = check_certificate(certificate, err);
        if (r)
                return r;
        n = gnutls_certificate_set_x509_key_file2(credentials, certificate, key, GNUTLS_X509_FMT_PEM, NULL, 0);
        if (n == GNUTLS_E_CERTIFICATE_KEY_MISMATCH)
                return sg_error_set(err, -EINVAL, certificate, "this certificate is not for the private key in %s",
                                    key);
        if (n < 0)
                return sg_error_set(err, -EINVAL, certificate, "with the private key %s: %s", key, gnutls_strerror(n));
        return 0;
}

/* The names of the certificate, and what its key is. */
static int look_at(struct sg_tls_identity *i, struct tls_pair *p)
{
        gnutls_x509_crt_t *chain = NULL;
        unsigned n = 0;
        int r = gnutls_certificate_get_x509_crt(p->credentials, 0, &chain, &n);

        if (r)
                return r;
        for (unsigned k = 1; k < n; k++)
                gnutls_x509_crt_deinit(chain[k]);
        p->leaf = chain[0];
        gnutls_free(chain);
        i->has_rsa = i->has_rsa || gnutls_x509_crt_get_pk_algorithm(p->leaf, NULL) == GNUTLS_PK_RSA;
        return 0;
}

static int load(struct sg_tls_identity *i, const struct sg_tls_identity_options *o, struct sg_error *err)
{
        for (; i->n_pairs < o->n_certificates; i->n_pairs++) {
                struct tls_pair *p = &i->pairs[i->n_pairs];
                const char *file = o->certificates[i->n_pairs];
                int r = gnutls_certificate_allocate_credentials(&p->credentials);

                if (r)
                        return sg_error_set(err, -ENOMEM, file, "out of memory");
                r = tls_load_pair(p->credentials, file, o->keys[i->n_pairs], err);
                if (!r && o->client_ca)
                        r = tls_load_authorities(p->credentials, o->client_ca, err);
                if (!r && look_at(i, p))
                        r = sg_error_set(err, -EINVAL, file, "the certificate cannot be read again");
                if (r) {
                        i->n_pairs++; /* to be freed */
                        return r;
                }
        }
        return 0;
}

gnutls_certificate_credentials_t tls_identity_choose(const struct sg_tls_identity *i, gnutls_session_t session)
{
        char name[TLS_NAME_BYTES_MAX + 1];
        size_t n = sizeof(name);
        unsigned type;

        if (gnutls_server_name_get(session, name, &n, &type, 0) == 0 && type == GNUTLS_NAME_DNS)
                for (size_t k = 0; k < i->n_pairs; k++)
                        if (gnutls_x509_crt_check_hostname2(i->pairs[k].leaf, name, 0))
                                return i->pairs[k].credentials;
        return i->pairs[0].credentials;
}

static int set_ticket_key(struct sg_tls_identity *i, const struct sg_tls_identity *previous)
{
        if (!previous)
                return gnutls_session_ticket_key_generate(&i->ticket_key);
        i->ticket_key.data = gnutls_malloc(previous->ticket_key.size);
        if (!i->ticket_key.data)
                return GNUTLS_E_MEMORY_ERROR;
        memcpy(i->ticket_key.data, previous->ticket_key.data, previous->ticket_key.size);
        i->ticket_key.size = previous->ticket_key.size;
        return 0;
}

int sg_tls_identity_new(struct sg_tls_identity **ret, const struct sg_tls_identity_options *options,
                        struct sg_error *err)
{
        static const gnutls_certificate_request_t requests[SG_TLS_CLIENT_CERTIFICATE_N] = {
                [SG_TLS_CLIENT_CERTIFICATE_NONE] = GNUTLS_CERT_IGNORE,
                [SG_TLS_CLIENT_CERTIFICATE_OPTIONAL] = GNUTLS_CERT_REQUEST,
                [SG_TLS_CLIENT_CERTIFICATE_REQUIRED] = GNUTLS_CERT_REQUIRE,
        };
        SG_AUTO(sg_tls_identity_unref) struct sg_tls_identity *i = calloc(1, sizeof(*i));
        int r;

        if (!i)
                return sg_error_set(err, -ENOMEM, NULL, "out of memory");
        atomic_init(&i->n_refs, 1);
        i->request = requests[options->client_certificate];
        i->pairs = calloc(options->n_certificates, sizeof(*i->pairs));
        if (!i->pairs)
                return sg_error_set(err, -ENOMEM, NULL, "out of memory");
        r = gnutls_priority_init(&i->priorities, PRIORITIES, NULL);
        if (!r)
                r = set_ticket_key(i, options->previous);
        if (r)
                return sg_error_set(err, -ENOMEM, "GnuTLS", "cannot be set up: %s", gnutls_strerror(r));
        r = load(i, options, err);
        if (r) {
                sg_error_needs_mending(err, SG_MESSAGE_CERTIFICATE);
                return r;
        }
        *ret = SG_GIVE(i);
        return 0;
}

struct sg_tls_identity *sg_tls_identity_ref(struct sg_tls_identity *i)
{
        atomic_fetch_add_explicit(&i->n_refs, 1, memory_order_relaxed);
        return i;
}

struct sg_tls_identity *sg_tls_identity_unref(struct sg_tls_identity *i)
{
        if (!i || atomic_fetch_sub_explicit(&i->n_refs, 1, memory_order_acq_rel) > 1)
                return NULL;
        for (size_t k = 0; k < i->n_pairs; k++) {
                if (i->pairs[k].credentials)
                        gnutls_certificate_free_credentials(i->pairs[k].credentials);
                if (i->pairs[k].leaf)
                        gnutls_x509_crt_deinit(i->pairs[k].leaf);
        }
        free(i->pairs);
        if (i->priorities)
                gnutls_priority_deinit(i->priorities);
        if (i->ticket_key.data) {
                sg_wipe(i->ticket_key.data, i->ticket_key.size);
                gnutls_free(i->ticket_key.data);
        }
        free(i);
        return NULL;
}

bool sg_tls_identity_has_rsa(const struct sg_tls_identity *i)
{
        return i->has_rsa;
}
