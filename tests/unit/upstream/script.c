#include "script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/macro.h"

struct peer {
        struct script *script;
        unsigned number;
        int fd;
        gnutls_session_t tls;
        char head[65536];
        size_t n_head;
};

static ssize_t peer_read(struct peer *p, void *out, size_t n)
{
        ssize_t r;

        if (!p->tls)
                return recv(p->fd, out, n, 0);
        do {
                r = gnutls_record_recv(p->tls, out, n);
        } while (r == GNUTLS_E_AGAIN || r == GNUTLS_E_INTERRUPTED);
        return r;
}

static int peer_send(struct peer *p, const char *text, size_t n)
{
        ssize_t r = p->tls ? gnutls_record_send(p->tls, text, n) : send(p->fd, text, n, MSG_NOSIGNAL);

        return r == (ssize_t)n ? 0 : -1;
}

static void count(struct peer *p, const char *bytes, size_t n)
{
        p->script->request_bytes[p->number] += n;
        for (size_t i = 0; i < n; i++)
                p->script->request_sum[p->number] = p->script->request_sum[p->number] * 31 + (unsigned char)bytes[i];
}

static int read_head(struct peer *p)
{
        p->n_head = 0;
        while (p->n_head + 1 < sizeof(p->head) && peer_read(p, p->head + p->n_head, 1) == 1) {
                p->head[++p->n_head] = '\0';
                if (p->n_head >= 4 && strcmp(p->head + p->n_head - 4, "\r\n\r\n") == 0) {
                        count(p, p->head, p->n_head);
                        if (!p->script->first_head[p->number][0])
                                memcpy(p->script->first_head[p->number], p->head,
                                       SG_MIN(p->n_head, sizeof(p->script->first_head[0]) - 1));
                        return 0;
                }
        }
        return -1;
}

static int read_request(struct peer *p)
{
        static const char field[] = "content-length: ";
        char chunk[16384];
        const char *at;
        size_t left = 0;

        if (read_head(p))
                return -1;
        at = strstr(p->head, field);
        if (at)
                left = strtoul(at + sizeof(field) - 1, NULL, 10);
        while (left) {
                ssize_t n = peer_read(p, chunk, left < sizeof(chunk) ? left : sizeof(chunk));

                if (n <= 0)
                        return -1;
                count(p, chunk, (size_t)n);
                left -= (size_t)n;
        }
        return 0;
}

static int expect(struct peer *p, const char *text)
{
        char got[2048];
        size_t n = 0;

        while (n < strlen(text)) {
                ssize_t r = peer_read(p, got + n, SG_MIN(strlen(text) - n, sizeof(got) - n));

                if (r <= 0)
                        break;
                n += (size_t)r;
        }
        if (n == strlen(text) && memcmp(got, text, n) == 0)
                return 0;
        fprintf(stderr, "expected \"%s\", not \"%.*s\"\n", text, (int)n, got);
        atomic_fetch_add(&p->script->n_unexpected, 1);
        return -1;
}

static void read_to_end(struct peer *p)
{
        char chunk[16384];
        ssize_t n;

        while ((n = peer_read(p, chunk, sizeof(chunk))) > 0)
                count(p, chunk, (size_t)n);
}

static int shake_hands(struct peer *p)
{
        size_t n = sizeof(p->script->sni[0]);
        unsigned type;
        int r;

        gnutls_init(&p->tls, GNUTLS_SERVER | GNUTLS_NO_SIGNAL);
        gnutls_set_default_priority(p->tls);
        gnutls_credentials_set(p->tls, GNUTLS_CRD_CERTIFICATE, p->script->credentials);
        if (p->script->wants_certificate)
                gnutls_certificate_server_set_request(p->tls, GNUTLS_CERT_REQUIRE);
        gnutls_transport_set_int(p->tls, p->fd);
        do {
                r = gnutls_handshake(p->tls);
        } while (r < 0 && !gnutls_error_is_fatal(r));
        if (r < 0)
                (void)gnutls_alert_send_appropriate(p->tls, r); /* then close, over unread bytes: a reset */
        if (gnutls_server_name_get(p->tls, p->script->sni[p->number], &n, &type, 0))
                p->script->sni[p->number][0] = '\0';
        p->script->saw_certificate[p->number] = r == 0 && gnutls_certificate_get_peers(p->tls, &type) != NULL;
        return r;
}

static int act(struct peer *p, const struct act *a)
{
        const struct linger now = {.l_onoff = 1, .l_linger = 0};

        switch (a->kind) {
        case ACT_READ_REQUEST:
                return read_request(p);
        case ACT_READ_HEAD:
                return read_head(p);
        case ACT_SEND:
                return peer_send(p, a->text, strlen(a->text));
        case ACT_SEND_MANY:
                for (size_t i = 0; i < a->n; i++)
                        if (peer_send(p, a->text, strlen(a->text)))
                                return -1;
                return 0;
        case ACT_WAIT_CLOSE:
                read_to_end(p);
                return 0;
        case ACT_EXPECT:
                return expect(p, a->text);
        case ACT_FIN:
                return shutdown(p->fd, SHUT_WR);
        case ACT_RESET:
                (void)setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
                return -1;
        case ACT_TLS:
                return shake_hands(p);
        case ACT_END:
                break;
        }
        return -1;
}

static void *serve(void *arg)
{
        struct script *s = arg;
        struct peer *p = calloc(1, sizeof(*p));

        for (unsigned i = 0; p && i < SCRIPT_CONNECTIONS_MAX && s->connections[i]; i++) {
                *p = (struct peer){.script = s, .number = i};
                p->fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
                if (p->fd < 0)
                        break; /* stopped */
                atomic_fetch_add(&s->n_accepted, 1);
                if (!s->credentials || s->has_tls_later || shake_hands(p) == 0)
                        for (const struct act *a = s->connections[i]; act(p, a) == 0; a++)
                                continue;
                if (p->tls)
                        gnutls_deinit(p->tls);
                close(p->fd);
                atomic_fetch_add(&s->n_closed, 1);
        }
        free(p);
        return NULL;
}

static void listen_on_path(struct script *s)
{
        struct sockaddr_un un = {.sun_family = AF_UNIX};

        (void)snprintf(un.sun_path, sizeof(un.sun_path), "%s", s->path);
        s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (bind(s->listener, (struct sockaddr *)&un, sizeof(un)) || listen(s->listener, 8))
                abort();
}

static void listen_on_port(struct script *s)
{
        socklen_t n = sizeof(s->address);

        s->address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (bind(s->listener, (struct sockaddr *)&s->address, n) || listen(s->listener, 8) ||
            getsockname(s->listener, (struct sockaddr *)&s->address, &n))
                abort();
}

void script_start(struct script *s)
{
        if (s->path)
                listen_on_path(s);
        else
                listen_on_port(s);
        if (pthread_create(&s->thread, NULL, serve, s))
                abort();
        s->is_started = true;
}

void script_stop(struct script *s)
{
        if (!s->is_started)
                return;
        s->is_started = false;
        shutdown(s->listener, SHUT_RDWR);
        (void)pthread_join(s->thread, NULL);
        close(s->listener);
        if (s->path)
                unlink(s->path);
}
