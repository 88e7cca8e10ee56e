/*
 * GnuTLS reads a record with two calls of its pull function, five bytes and the rest. So pulling goes through a buffer
 * that is filled by one recv() as large as a record and lives only while something is in it: one system call per wake,
 * and none that only says EAGAIN, since a read that did not fill the buffer has emptied the socket.
 *
 * What GnuTLS has buffered the descriptor will never be ready for; pending() says so.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/x509.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tls/tls_internal.h"

#define RAW_BYTES (18u * 1024u) /* a record of TLS 1.2 with all its overhead: RFC 5246 section 6.2.3 */
/* Encrypted at once: what GnuTLS holds at most of what the socket does not take. */
#define PORTION_BYTES (64u * 1024u)

struct tls_layer {
        struct sg_layer layer;
        struct sg_tls_trust *trust;             /* of a client's end; else NULL */
        struct sg_tls_certificate *certificate; /* that a client's end shows, or NULL */
        struct sg_tls_identity *identity;       /* of a server's end; else NULL */
        gnutls_session_t session;
        gnutls_typed_vdata_st verify[2];
        int fd;
        char *raw; /* NULL when empty */
        size_t raw_start, raw_end;
        bool is_drained;        /* the socket is empty: until the next call from the stream */
        bool has_end;           /* `end` came behind bytes and is the result of the next read */
        int end;                /* of gnutls_record_recv(): 0 or an error */
        unsigned client_status; /* what was wrong with the certificate that the client sent */
        char text[TLS_TEXT_BYTES];
        char name[TLS_NAME_BYTES_MAX + 1];
};

static struct tls_layer *tls_of(const struct sg_layer *y)
{
        return SG_CONTAINER(y, struct tls_layer, layer);
}

/* ---- bytes between GnuTLS and the socket */

static ssize_t fill_raw(struct tls_layer *t)
{
        ssize_t n;

        if (!t->raw)
                t->raw = malloc(RAW_BYTES);
        if (!t->raw) {
                errno = ENOMEM;
                return -1;
        }
        do {
                n = recv(t->fd, t->raw, RAW_BYTES, 0);
        } while (n < 0 && errno == EINTR);
        t->is_drained = n < (ssize_t)RAW_BYTES && n != 0;
        t->raw_start = 0;
        t->raw_end = n > 0 ? (size_t)n : 0;
        return n;
}

static ssize_t pull(gnutls_transport_ptr_t ptr, void *out, size_t room)
{
        struct tls_layer *t = ptr;
        size_t n;

        if (t->raw_start == t->raw_end) {
                ssize_t filled;

                if (t->is_drained) {
                        gnutls_transport_set_errno(t->session, EAGAIN);
                        return -1;
                }
                filled = fill_raw(t);
                if (filled < 0)
                        gnutls_transport_set_errno(t->session, errno);
                if (filled <= 0)
                        return filled;
        }
        n = SG_MIN(room, t->raw_end - t->raw_start);
        memcpy(out, t->raw + t->raw_start, n);
        t->raw_start += n;
        return (ssize_t)n;
}

/* GnuTLS asks this only to wait, and nothing here may wait. */
static int pull_timeout(gnutls_transport_ptr_t ptr, unsigned ms)
{
        struct tls_layer *t = ptr;
        struct pollfd p = {.fd = t->fd, .events = POLLIN};

        return t->raw_start < t->raw_end ? 1 : poll(&p, 1, 0);
}

static ssize_t push(gnutls_transport_ptr_t ptr, const void *bytes, size_t n)
{
        struct tls_layer *t = ptr;
        ssize_t sent;

        do {
                sent = send(t->fd, bytes, n, MSG_NOSIGNAL);
        } while (sent < 0 && errno == EINTR);
        if (sent < 0)
                gnutls_transport_set_errno(t->session, errno);
        return sent;
}

static void begin_turn(struct tls_layer *t)
{
        t->is_drained = false;
}

static void release_raw(struct tls_layer *t)
{
        if (t->raw_start < t->raw_end)
                return;
        free(t->raw);
        t->raw = NULL;
        t->raw_start = t->raw_end = 0;
}

/* ---- the layer */

static bool is_try_again(int r)
{
        return r == GNUTLS_E_AGAIN || r == GNUTLS_E_INTERRUPTED;
}

static enum sg_layer_result wanted(const struct tls_layer *t)
{
        return gnutls_record_get_direction(t->session) ? SG_LAYER_WANT_WRITE : SG_LAYER_WANT_READ;
}

/* The connection broke below TLS, or ended without close_notify: no words, the stream has them. */
static bool is_broken_off(int r)
{
        return r == GNUTLS_E_PREMATURE_TERMINATION || r == GNUTLS_E_PULL_ERROR || r == GNUTLS_E_PUSH_ERROR;
}

static enum sg_layer_result failed(struct tls_layer *t, int r, const char **ret_text)
{
        if (is_broken_off(r))
                return SG_LAYER_FAILED;
        if (t->identity && t->client_status)
                *ret_text = tls_explain_certificate(t->text, t->client_status, NULL);
        else
                *ret_text = tls_explain_error(t->text, t->session, r, t->trust ? t->name : NULL);
        return SG_LAYER_FAILED;
}

#define SESSION_NAME_BYTES (TLS_NAME_BYTES_MAX + 24u)

/* A session that one certificate has begun is not for a connection that shows another one or none. */
static const char *session_name(const struct tls_layer *t, char out[SESSION_NAME_BYTES])
{
        snprintf(out, SESSION_NAME_BYTES, "%s %" PRIu64, t->name, t->certificate ? t->certificate->number : 0);
        return out;
}

static void keep_session(struct tls_layer *t)
{
        gnutls_datum_t data = {NULL, 0};
        char name[SESSION_NAME_BYTES];

        if (gnutls_session_get_data2(t->session, &data) == 0)
                tls_session_put(t->trust, session_name(t, name), data);
}

/* TLS 1.3 sends tickets after the handshake, whenever the server likes. */
static int on_ticket(gnutls_session_t session, unsigned type, unsigned when, unsigned incoming,
                     const gnutls_datum_t *message)
{
        if (incoming && gnutls_protocol_get_version(session) == GNUTLS_TLS1_3)
                keep_session(gnutls_session_get_ptr(session));
        return 0;
}

static enum sg_layer_result handshake(struct sg_layer *y, const char **ret_text)
{
        struct tls_layer *t = tls_of(y);
        int r;

        begin_turn(t);
        do {
                r = gnutls_handshake(t->session);
        } while (r < 0 && !is_try_again(r) && !gnutls_error_is_fatal(r));
        release_raw(t);
        if (is_try_again(r))
                return wanted(t);
        if (r)
                return failed(t, r, ret_text);
        if (t->trust && gnutls_protocol_get_version(t->session) == GNUTLS_TLS1_2)
                keep_session(t);
        return SG_LAYER_OK;
}

static size_t pending(const struct sg_layer *y)
{
        const struct tls_layer *t = tls_of(y);

        return gnutls_record_check_pending(t->session) + (t->raw_end - t->raw_start) + t->has_end;
}

/* After a ticket GnuTLS asks to be called again, though there is more in our buffer. */
static bool goes_on(const struct tls_layer *t, int r, size_t raw_before)
{
        if (is_try_again(r))
                return t->raw_start < t->raw_end && t->raw_start != raw_before;
        return r < 0 && !gnutls_error_is_fatal(r) && r != GNUTLS_E_REHANDSHAKE;
}

static int read_record(struct tls_layer *t, char *out, size_t room)
{
        size_t before;
        int r;

        if (t->has_end)
                return t->end;
        do {
                before = t->raw_start;
                r = (int)gnutls_record_recv(t->session, out, room);
        } while (goes_on(t, r, before));
        return r;
}

static enum sg_layer_result read_records(struct sg_layer *y, char *out, size_t room, size_t *ret_n,
                                         const char **ret_text)
{
        struct tls_layer *t = tls_of(y);
        size_t n = 0;
        int r;

        begin_turn(t);
        do {
                r = read_record(t, out + n, room - n);
                if (r > 0)
                        n += (size_t)r;
        } while (r > 0 && n < room && pending(y));
        release_raw(t);
        *ret_n = n;
        if (n) {
                t->has_end = r <= 0 && !is_try_again(r);
                t->end = r;
                return SG_LAYER_OK;
        }
        if (r == 0)
                return SG_LAYER_EOF;
        return is_try_again(r) ? wanted(t) : failed(t, r, ret_text);
}

/* GnuTLS copies what is sent while corked; uncorking encrypts and sends, and keeps what the socket does not take. */
static size_t cork(struct tls_layer *t, const struct sg_str *pieces, size_t n_pieces, size_t skip)
{
        size_t taken = 0;

        gnutls_record_cork(t->session);
        for (size_t i = 0; i < n_pieces && taken < PORTION_BYTES; i++) {
                const size_t k = SG_MIN(skip, pieces[i].n);
                const size_t n = SG_MIN(pieces[i].n - k, PORTION_BYTES - taken);

                skip -= k;
                if (n == 0)
                        continue;
                if (gnutls_record_send(t->session, pieces[i].p + k, n) != (ssize_t)n)
                        break; /* no memory: uncorking sends what was taken, and the next portion fails */
                taken += n;
        }
        return taken;
}

static enum sg_layer_result write_records(struct sg_layer *y, const struct sg_str *pieces, size_t n_pieces,
                                          size_t *ret_n, const char **ret_text)
{
        struct tls_layer *t = tls_of(y);
        size_t total = 0, taken;
        int r;

        for (size_t i = 0; i < n_pieces; i++)
                total += pieces[i].n;
        *ret_n = 0;
        do {
                taken = 0;
                if (gnutls_record_check_corked(t->session) == 0 && *ret_n < total) {
                        taken = cork(t, pieces, n_pieces, *ret_n);
                        if (taken == 0)
                                return failed(t, GNUTLS_E_MEMORY_ERROR, ret_text);
                        *ret_n += taken;
                }
                r = gnutls_record_uncork(t->session, 0);
                if (r < 0)
                        return is_try_again(r) ? wanted(t) : failed(t, r, ret_text);
        } while (*ret_n < total);
        return SG_LAYER_OK;
}

static enum sg_layer_result close_session(struct sg_layer *y)
{
        const int r = gnutls_bye(tls_of(y)->session, GNUTLS_SHUT_WR);

        if (r == 0)
                return SG_LAYER_OK;
        return is_try_again(r) ? SG_LAYER_WANT_WRITE : SG_LAYER_FAILED;
}

static void free_layer(struct sg_layer *y)
{
        struct tls_layer *t = tls_of(y);

        if (t->session)
                gnutls_deinit(t->session);
        sg_tls_trust_unref(t->trust);
        sg_tls_certificate_unref(t->certificate);
        sg_tls_identity_unref(t->identity);
        free(t->raw);
        free(t);
}

/* ---- creation */

int tls_show_certificate(gnutls_session_t session, const gnutls_datum_t *authorities, int n_authorities,
                         const gnutls_pk_algorithm_t *algorithms, int n_algorithms, gnutls_pcert_st **ret_chain,
                         unsigned *ret_n_chain, gnutls_privkey_t *ret_key)
{
        const struct sg_tls_certificate *c = ((struct tls_layer *)gnutls_session_get_ptr(session))->certificate;

        *ret_chain = c ? c->chain : NULL;
        *ret_n_chain = c ? c->n_chain : 0;
        *ret_key = c ? c->key : NULL;
        return 0;
}

static int set_name(struct tls_layer *t)
{
        struct in6_addr any;

        t->verify[0] = (gnutls_typed_vdata_st){.type = GNUTLS_DT_DNS_HOSTNAME, .data = (unsigned char *)t->name};
        t->verify[1] = (gnutls_typed_vdata_st){.type = GNUTLS_DT_KEY_PURPOSE_OID,
                                               .data = (unsigned char *)(uintptr_t)GNUTLS_KP_TLS_WWW_SERVER};
        gnutls_session_set_verify_cert2(t->session, t->verify, SG_N_ELEMENTS(t->verify), 0);
        /* RFC 6066 section 3: an address is not sent. */
        if (inet_pton(AF_INET, t->name, &any) == 1 || inet_pton(AF_INET6, t->name, &any) == 1)
                return 0;
        return gnutls_server_name_set(t->session, GNUTLS_NAME_DNS, t->name, strlen(t->name));
}

#define ALPN_MAX 4u

static int set_alpn(struct tls_layer *t, struct sg_str names)
{
        gnutls_datum_t protocols[ALPN_MAX];
        unsigned n = 0;
        struct sg_str name;

        while (names.n && n < ALPN_MAX) {
                (void)sg_str_cut(&names, ',', &name);
                protocols[n++] = (gnutls_datum_t){(unsigned char *)(uintptr_t)name.p, (unsigned)name.n};
        }
        return gnutls_alpn_set_protocols(t->session, protocols, n, 0);
}

static void set_resumption(struct tls_layer *t)
{
        char name[SESSION_NAME_BYTES];
        gnutls_datum_t session = tls_session_take(t->trust, session_name(t, name));

        if (session.data)
                (void)gnutls_session_set_data(t->session, session.data, session.size); /* else a full handshake */
        gnutls_free(session.data);
        gnutls_handshake_set_hook_function(t->session, GNUTLS_HANDSHAKE_NEW_SESSION_TICKET, GNUTLS_HOOK_POST,
                                           on_ticket);
}

static int set_up(struct tls_layer *t, unsigned end, gnutls_priority_t priorities,
                  gnutls_certificate_credentials_t credentials)
{
        int r;

        r = gnutls_init(&t->session, end | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL);
        if (!r)
                r = gnutls_priority_set(t->session, priorities);
        if (!r)
                r = gnutls_credentials_set(t->session, GNUTLS_CRD_CERTIFICATE, credentials);
        if (r)
                return r;
        gnutls_session_set_ptr(t->session, t);
        gnutls_transport_set_ptr(t->session, t);
        gnutls_transport_set_pull_function(t->session, pull);
        gnutls_transport_set_pull_timeout_function(t->session, pull_timeout);
        gnutls_transport_set_push_function(t->session, push);
        gnutls_handshake_set_timeout(t->session, GNUTLS_INDEFINITE_TIMEOUT); /* the caller has a timer */
        return 0;
}

static int set_up_client(struct tls_layer *t, const char *alpn)
{
        int r = set_up(t, GNUTLS_CLIENT, t->trust->priorities, t->trust->credentials);

        if (!r)
                r = set_name(t);
        if (!r && alpn)
                r = set_alpn(t, sg_str_from(alpn));
        if (!r)
                set_resumption(t);
        return r;
}

/* One that a client sends is verified; that it sends one is enforced by GnuTLS itself. */
static int verify_client(gnutls_session_t session)
{
        gnutls_typed_vdata_st purpose = {.type = GNUTLS_DT_KEY_PURPOSE_OID,
                                         .data = (unsigned char *)(uintptr_t)GNUTLS_KP_TLS_WWW_CLIENT};
        struct tls_layer *t = gnutls_session_get_ptr(session);
        unsigned n = 0;

        if (!gnutls_certificate_get_peers(session, &n) || n == 0)
                return 0;
        if (gnutls_certificate_verify_peers(session, &purpose, 1, &t->client_status))
                return GNUTLS_E_CERTIFICATE_ERROR;
        return t->client_status ? GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR : 0;
}

/* GnuTLS itself knows names, but not those with a star. */
static int on_client_hello(gnutls_session_t session)
{
        struct tls_layer *t = gnutls_session_get_ptr(session);

        return gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, tls_identity_choose(t->identity, session));
}

/* The client chooses; one that knows none of them goes on without. */
static int offer_protocols(struct tls_layer *t)
{
        static const gnutls_datum_t protocols[] = {{(unsigned char *)"h2", 2}, {(unsigned char *)"http/1.1", 8}};

        return gnutls_alpn_set_protocols(t->session, protocols, SG_N_ELEMENTS(protocols), 0);
}

bool sg_tls_chose_h2(const struct sg_layer *y)
{
        gnutls_datum_t chosen;

        return gnutls_alpn_get_selected_protocol(tls_of(y)->session, &chosen) == 0 && chosen.size == 2 &&
               memcmp(chosen.data, "h2", 2) == 0;
}

int sg_tls_client_subject(const struct sg_layer *y, char out[SG_TLS_SUBJECT_BYTES])
{
        const gnutls_datum_t *peers;
        gnutls_x509_crt_t crt;
        size_t room = SG_TLS_SUBJECT_BYTES;
        unsigned n = 0;
        int r;

        peers = gnutls_certificate_get_peers(tls_of(y)->session, &n);
        if (!peers || n == 0)
                return -ENOENT;
        if (gnutls_x509_crt_init(&crt))
                return -ENOMEM;
        r = gnutls_x509_crt_import(crt, &peers[0], GNUTLS_X509_FMT_DER);
        if (!r)
                r = gnutls_x509_crt_get_dn(crt, out, &room);
        gnutls_x509_crt_deinit(crt);
        return r == GNUTLS_E_SHORT_MEMORY_BUFFER ? -ENAMETOOLONG : r ? -ENOENT : 0;
}

static int set_up_server(struct tls_layer *t)
{
        int r = set_up(t, GNUTLS_SERVER, t->identity->priorities, t->identity->pairs[0].credentials);

        if (!r)
                r = gnutls_session_ticket_enable_server(t->session, &t->identity->ticket_key);
        if (!r)
                r = offer_protocols(t);
        if (!r)
                gnutls_certificate_server_set_request(t->session, t->identity->request);
        if (!r)
                gnutls_session_set_verify_function(t->session, verify_client);
        if (!r && t->identity->n_pairs > 1)
                gnutls_handshake_set_post_client_hello_function(t->session, on_client_hello);
        return r;
}

static struct tls_layer *layer_new(void)
{
        struct tls_layer *t = calloc(1, sizeof(*t));

        if (!t)
                return NULL;
        t->layer = (struct sg_layer){.handshake = handshake,
                                     .read = read_records,
                                     .write = write_records,
                                     .close = close_session,
                                     .pending = pending,
                                     .free = free_layer};
        t->fd = -1;
        return t;
}

static int layer_give(struct sg_layer **ret, struct tls_layer *t, int r)
{
        if (r) {
                free_layer(&t->layer);
                return r == GNUTLS_E_MEMORY_ERROR ? -ENOMEM : -EINVAL;
        }
        *ret = &t->layer;
        return 0;
}

int sg_tls_client_layer(struct sg_layer **ret, struct sg_tls_trust *trust, struct sg_tls_certificate *certificate,
                        struct sg_str name, const char *alpn)
{
        struct tls_layer *t;

        if (name.n && name.p[name.n - 1] == '.')
                name.n--; /* absolute in DNS; certificates and SNI know no dot at the end */
        if (name.n == 0 || name.n > TLS_NAME_BYTES_MAX || sg_str_find_byte(name, '\0') < name.n)
                return -EINVAL;
        t = layer_new();
        if (!t)
                return -ENOMEM;
        t->trust = sg_tls_trust_ref(trust);
        t->certificate = certificate ? sg_tls_certificate_ref(certificate) : NULL;
        memcpy(t->name, name.p, name.n);
        return layer_give(ret, t, set_up_client(t, alpn));
}

int sg_tls_server_layer(struct sg_layer **ret, struct sg_tls_identity *identity)
{
        struct tls_layer *t = layer_new();

        if (!t)
                return -ENOMEM;
        t->identity = sg_tls_identity_ref(identity);
        return layer_give(ret, t, set_up_server(t));
}

static void attach(struct sg_layer *y, int fd)
{
        tls_of(y)->fd = fd;
}

void sg_tls_apply(struct sg_stream *s, struct sg_layer *y)
{
        sg_stream_set_layer(s, y, attach);
}
