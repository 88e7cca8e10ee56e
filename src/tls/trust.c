#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/message_id.h"
#include "tls/tls_internal.h"

struct session {
        struct sg_link link;
        gnutls_datum_t data;
        char name[];
};

/* ---- sessions to resume */

static void session_free(struct session *s)
{
        gnutls_free(s->data.data);
        free(s);
}

/* Takes it off the list. */
static struct session *find(struct sg_tls_trust *t, const char *name)
{
        SG_LIST_EACH (&t->sessions, k) {
                struct session *s = SG_CONTAINER(k, struct session, link);

                if (strcmp(s->name, name) == 0) {
                        sg_list_remove(&t->sessions, k);
                        return s;
                }
        }
        return NULL;
}

gnutls_datum_t tls_session_take(struct sg_tls_trust *t, const char *name)
{
        gnutls_datum_t data = {NULL, 0};
        struct session *s;

        pthread_mutex_lock(&t->lock);
        s = find(t, name);
        pthread_mutex_unlock(&t->lock);
        if (s) {
                data = s->data;
                free(s);
        }
        return data;
}

void tls_session_put(struct sg_tls_trust *t, const char *name, gnutls_datum_t data)
{
        const size_t n = strlen(name) + 1;
        struct session *s, *before, *oldest = NULL;

        s = calloc(1, sizeof(*s) + n);
        if (!s) {
                gnutls_free(data.data);
                return;
        }
        s->data = data;
        memcpy(s->name, name, n);
        pthread_mutex_lock(&t->lock);
        before = find(t, name);
        sg_list_push_first(&t->sessions, &s->link);
        if (t->sessions.n > TLS_SESSIONS_MAX) {
                oldest = SG_CONTAINER(sg_list_last(&t->sessions), struct session, link);
                sg_list_remove(&t->sessions, &oldest->link);
        }
        pthread_mutex_unlock(&t->lock);
        if (before)
                session_free(before);
        if (oldest)
                session_free(oldest);
}

/* ---- certificates */

int tls_check_readable(const char *path, const char *what, struct sg_error *err)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC);

        if (fd < 0)
                return sg_error_set(err, errno, path, "cannot read %s: %s", what, strerrordesc_np(errno));
        close(fd);
        return 0;
}

int tls_load_authorities(gnutls_certificate_credentials_t credentials, const char *path, struct sg_error *err)
{
        int n, r = tls_check_readable(path, "the CA certificates", err);

        if (r)
                return r;
        n = gnutls_certificate_set_x509_trust_file(credentials, path, GNUTLS_X509_FMT_PEM);
        if (n < 0)
                return sg_error_set(err, EINVAL, path, "not a file of PEM certificates: %s", gnutls_strerror(n));
        if (n == 0)
                return sg_error_set(err, EINVAL, path, "there is no certificate in this file");
        return 0;
}

static int load_system(struct sg_tls_trust *t, struct sg_error *err)
{
        int n;

        n = gnutls_certificate_set_x509_system_trust(t->credentials);
        if (n < 0)
                return sg_error_set(err, EIO, "system trust store", "cannot be read: %s", gnutls_strerror(n));
        if (n == 0)
                return sg_error_set(err, ENOENT, "system trust store",
                                    "it is empty: install the package ca-certificates or set ca_file");
        return 0;
}

int sg_tls_trust_new(struct sg_tls_trust **ret, const char *ca_file, struct sg_error *err)
{
        SG_AUTO(sg_tls_trust_unref) struct sg_tls_trust *t = NULL;
        int r;

        t = calloc(1, sizeof(*t));
        if (!t)
                return sg_error_set(err, ENOMEM, NULL, "out of memory");
        atomic_init(&t->n_refs, 1);
        sg_list_init(&t->sessions);
        pthread_mutex_init(&t->lock, NULL);
        r = gnutls_certificate_allocate_credentials(&t->credentials);
        if (!r)
                r = gnutls_priority_init(&t->priorities, "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2", NULL);
        if (r)
                return sg_error_set(err, ENOMEM, "GnuTLS", "cannot be set up: %s", gnutls_strerror(r));
        gnutls_certificate_set_retrieve_function2(t->credentials, tls_show_certificate);
        r = ca_file ? tls_load_authorities(t->credentials, ca_file, err) : load_system(t, err);
        if (r) {
                sg_error_needs_mending(err, SG_MESSAGE_CERTIFICATE);
                return r;
        }
        *ret = SG_GIVE(t);
        return 0;
}

struct sg_tls_trust *sg_tls_trust_ref(struct sg_tls_trust *t)
{
        atomic_fetch_add_explicit(&t->n_refs, 1, memory_order_relaxed);
        return t;
}

struct sg_tls_trust *sg_tls_trust_unref(struct sg_tls_trust *t)
{
        struct sg_link *k;

        if (!t || atomic_fetch_sub_explicit(&t->n_refs, 1, memory_order_acq_rel) > 1)
                return NULL;
        while ((k = sg_list_pop(&t->sessions)))
                session_free(SG_CONTAINER(k, struct session, link));
        if (t->credentials)
                gnutls_certificate_free_credentials(t->credentials);
        if (t->priorities)
                gnutls_priority_deinit(t->priorities);
        pthread_mutex_destroy(&t->lock);
        free(t);
        return NULL;
}
