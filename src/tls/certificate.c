/*
 * What a client shows of itself. GnuTLS keeps a certificate in the same credentials as the authorities that are
 * believed, and those of the system are 3.7 MiB: so the credentials of a trust are shared, and ask the connection at
 * hand, by tls_show_certificate(), for its certificate when the server wants one.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/message_id.h"
#include "tls/tls_internal.h"

static int import_chain(struct sg_tls_certificate *c, gnutls_x509_crt_t *chain, unsigned n)
{
        int r = 0;

        c->chain = calloc(n, sizeof(*c->chain));
        if (!c->chain)
                return GNUTLS_E_MEMORY_ERROR;
        for (unsigned i = 0; i < n && !r; i++) {
                r = gnutls_pcert_import_x509(&c->chain[i], chain[i], 0);
                if (!r)
                        c->n_chain++;
        }
        return r;
}

static int import_key(struct sg_tls_certificate *c, gnutls_certificate_credentials_t credentials)
{
        gnutls_x509_privkey_t key;
        int r = gnutls_certificate_get_x509_key(credentials, 0, &key);

        if (r)
                return r;
        r = gnutls_privkey_init(&c->key);
        if (!r)
                r = gnutls_privkey_import_x509(c->key, key, GNUTLS_PRIVKEY_IMPORT_AUTO_RELEASE);
        if (r)
                gnutls_x509_privkey_deinit(key);
        return r;
}

/* From credentials, whose loading checks that the two belong together. */
static int import(struct sg_tls_certificate *c, gnutls_certificate_credentials_t credentials)
{
        gnutls_x509_crt_t *chain = NULL;
        unsigned n = 0;
        int r = gnutls_certificate_get_x509_crt(credentials, 0, &chain, &n);

        if (r)
                return r;
        r = import_chain(c, chain, n);
        for (unsigned i = 0; i < n; i++)
                gnutls_x509_crt_deinit(chain[i]);
        gnutls_free(chain);
        return r ? r : import_key(c, credentials);
}

static int load(struct sg_tls_certificate *c, const char *certificate, const char *key, struct sg_error *err)
{
        gnutls_certificate_credentials_t credentials;
        int r = gnutls_certificate_allocate_credentials(&credentials);

        if (r)
                return sg_error_set(err, -ENOMEM, certificate, "out of memory");
        r = tls_load_pair(credentials, certificate, key, err);
        if (!r) {
                r = import(c, credentials);
                if (r)
                        r = sg_error_set(err, r == GNUTLS_E_MEMORY_ERROR ? -ENOMEM : -EINVAL, certificate,
                                         "cannot be used: %s", gnutls_strerror(r));
        }
        gnutls_certificate_free_credentials(credentials);
        return r;
}

int sg_tls_certificate_new(struct sg_tls_certificate **ret, const char *certificate, const char *key,
                           struct sg_error *err)
{
        static _Atomic uint64_t last_number;
        SG_AUTO(sg_tls_certificate_unref) struct sg_tls_certificate *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return sg_error_set(err, -ENOMEM, NULL, "out of memory");
        atomic_init(&c->n_refs, 1);
        c->number = atomic_fetch_add_explicit(&last_number, 1, memory_order_relaxed) + 1;
        r = load(c, certificate, key, err);
        if (r) {
                sg_error_needs_mending(err, SG_MESSAGE_CERTIFICATE);
                return r;
        }
        *ret = SG_GIVE(c);
        return 0;
}

struct sg_tls_certificate *sg_tls_certificate_ref(struct sg_tls_certificate *c)
{
        atomic_fetch_add_explicit(&c->n_refs, 1, memory_order_relaxed);
        return c;
}

struct sg_tls_certificate *sg_tls_certificate_unref(struct sg_tls_certificate *c)
{
        if (!c || atomic_fetch_sub_explicit(&c->n_refs, 1, memory_order_acq_rel) > 1)
                return NULL;
        for (unsigned i = 0; i < c->n_chain; i++)
                gnutls_pcert_deinit(&c->chain[i]);
        free(c->chain);
        if (c->key)
                gnutls_privkey_deinit(c->key);
        free(c);
        return NULL;
}
