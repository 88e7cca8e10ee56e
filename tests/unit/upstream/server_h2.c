#include "server_h2.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/macro.h"

#define BIG_BYTES (2u * 1024u * 1024u)

struct visitor {
        struct server_h2 *server;
        unsigned number;
        int fd;
        gnutls_session_t tls;
        nghttp2_session *session;
        struct request *requests;
        bool wants_end;
};

struct request {
        struct request *next; /* of the visitor's, freed with it */
        char path[64], scheme[16], authority[64], length[24];
        char *bytes; /* of the answer; NULL: BIG_BYTES of anything */
        size_t n, room, sent;
        uint64_t n_body;
        bool is_whole, has_trailers;
};

static bool is_path(const struct request *q, const char *path)
{
        return strcmp(q->path, path) == 0;
}

static ssize_t send_bytes(nghttp2_session *session, const uint8_t *bytes, size_t n, int flags, void *owner)
{
        struct visitor *v = owner;
        size_t sent = 0;

        while (sent < n) {
                ssize_t r = v->tls ? gnutls_record_send(v->tls, bytes + sent, n - sent)
                                   : send(v->fd, bytes + sent, n - sent, MSG_NOSIGNAL);

                if (r <= 0)
                        return NGHTTP2_ERR_CALLBACK_FAILURE;
                sent += (size_t)r;
        }
        return (ssize_t)n;
}

/* ---- answers */

static ssize_t read_answer(nghttp2_session *session, int32_t id, uint8_t *out, size_t room, uint32_t *flags,
                           nghttp2_data_source *source, void *owner)
{
        nghttp2_nv trailers[] = {{(uint8_t *)"grpc-status", (uint8_t *)"0", 11, 1, 0},
                                 {(uint8_t *)"x", (uint8_t *)"y", 1, 1, 0}};
        struct request *q = source->ptr;
        size_t n = SG_MIN(room, q->n - q->sent);

        if (n == 0 && is_path(q, "/echo") && !q->is_whole)
                return NGHTTP2_ERR_DEFERRED;
        if (q->bytes)
                memcpy(out, q->bytes + q->sent, n);
        else
                memset(out, 'b', n);
        q->sent += n;
        if (is_path(q, "/reset")) {
                nghttp2_submit_rst_stream(session, 0, id, NGHTTP2_INTERNAL_ERROR);
                return n ? (ssize_t)n : NGHTTP2_ERR_DEFERRED;
        }
        if (q->sent == q->n && (!is_path(q, "/echo") || q->is_whole)) {
                *flags = NGHTTP2_DATA_FLAG_EOF;
                if (q->has_trailers) {
                        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
                        nghttp2_submit_trailer(session, id, trailers, SG_N_ELEMENTS(trailers));
                }
        }
        return (ssize_t)n;
}

static void add_bytes(struct request *q, const void *bytes, size_t n)
{
        if (q->n + n > q->room) {
                q->room = 2 * (q->n + n);
                q->bytes = realloc(q->bytes, q->room);
        }
        memcpy(q->bytes + q->n, bytes, n);
        q->n += n;
}

static void answer(struct visitor *v, int32_t id, struct request *q, const char *status)
{
        nghttp2_nv head[] = {{(uint8_t *)":status", (uint8_t *)(uintptr_t)status, 7, 3, 0},
                             {(uint8_t *)"x-server", (uint8_t *)"fake", 8, 4, 0}};
        nghttp2_data_provider body = {.source.ptr = q, .read_callback = read_answer};

        nghttp2_submit_response(v->session, id, head, SG_N_ELEMENTS(head), is_path(q, "/only") ? NULL : &body);
}

static void answer_text(struct visitor *v, int32_t id, struct request *q, const char *status, const char *text)
{
        add_bytes(q, text, strlen(text));
        answer(v, id, q, status);
}

/* At the head. */
static void begin(struct visitor *v, int32_t id, struct request *q)
{
        if (is_path(q, "/echo")) {
                answer(v, id, q, "200");
        } else if (is_path(q, "/early")) {
                answer_text(v, id, q, "413", "no");
        } else if (is_path(q, "/refuse") && v->number < v->server->n_refusing + 1) {
                nghttp2_submit_rst_stream(v->session, 0, id, NGHTTP2_REFUSED_STREAM);
        } else if (is_path(q, "/goaway") && v->number == 0) {
                nghttp2_submit_goaway(v->session, 0, SG_MAX(id - 2, 0), NGHTTP2_NO_ERROR, NULL, 0);
        } else if (is_path(q, "/close") && v->number == 0) {
                v->wants_end = true;
        }
}

/* When the request is whole. */
static void finish(struct visitor *v, int32_t id, struct request *q)
{
        char text[24];

        q->is_whole = true;
        if (q->length[0] && strtoull(q->length, NULL, 10) != q->n_body)
                atomic_fetch_add(&v->server->n_wrong, 1);
        if (is_path(q, "/echo")) {
                nghttp2_session_resume_data(v->session, id);
        } else if (is_path(q, "/sum")) {
                (void)snprintf(text, sizeof(text), "%lu", (unsigned long)q->n_body);
                answer_text(v, id, q, "200", text);
        } else if (is_path(q, "/big")) {
                q->n = BIG_BYTES;
                answer(v, id, q, "200");
        } else if (is_path(q, "/garbage")) {
                (void)send_bytes(v->session, (const uint8_t *)"\xff\xff\xff\x00\x00\x00\x00\x00\x01!", 10, 0, v);
        } else if (is_path(q, "/only")) {
                answer(v, id, q, "204");
        } else if (!is_path(q, "/hold") && !is_path(q, "/early") &&
                   (v->number > 0 || (!is_path(q, "/refuse") && !is_path(q, "/goaway") && !is_path(q, "/close")))) {
                q->has_trailers = is_path(q, "/trailers");
                answer_text(v, id, q, "200", "ok");
                if (is_path(q, "/last"))
                        nghttp2_submit_goaway(v->session, 0, id, NGHTTP2_NO_ERROR, NULL, 0);
        }
}

/* ---- events */

static int on_begin(nghttp2_session *session, const nghttp2_frame *frame, void *owner)
{
        struct visitor *v = owner;
        struct request *q;

        if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
                return 0;
        q = calloc(1, sizeof(*q));
        q->next = v->requests;
        v->requests = q;
        nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, q);
        return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t n_name,
                     const uint8_t *value, size_t n_value, uint8_t flags, void *owner)
{
        struct request *q = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
        const struct {
                const char *name;
                char *to;
                size_t n;
        } known[] = {{":path", q->path, sizeof(q->path)},
                     {":scheme", q->scheme, sizeof(q->scheme)},
                     {":authority", q->authority, sizeof(q->authority)},
                     {"content-length", q->length, sizeof(q->length)}};

        for (size_t i = 0; i < SG_N_ELEMENTS(known); i++)
                if (strcmp(known[i].name, (const char *)name) == 0)
                        (void)snprintf(known[i].to, known[i].n, "%s", (const char *)value);
        return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *owner)
{
        struct visitor *v = owner;
        const int32_t id = frame->hd.stream_id;
        struct request *q = id ? nghttp2_session_get_stream_user_data(session, id) : NULL;

        if (frame->hd.type == NGHTTP2_RST_STREAM)
                atomic_fetch_add(&v->server->n_resets, 1);
        if (frame->hd.type == NGHTTP2_GOAWAY)
                atomic_fetch_add(&v->server->n_goaways, 1);
        if (!q)
                return 0;
        if (frame->hd.type == NGHTTP2_HEADERS) {
                atomic_fetch_add(&v->server->n_requests, 1);
                if (strcmp(q->authority, "test") != 0 || strcmp(q->scheme, v->tls ? "https" : "http") != 0)
                        atomic_fetch_add(&v->server->n_wrong, 1);
                begin(v, id, q);
        }
        if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) &&
            (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA))
                finish(v, id, q);
        return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes, size_t n, void *owner)
{
        struct request *q = nghttp2_session_get_stream_user_data(session, id);
        struct visitor *v = owner;

        if (!q)
                return 0;
        q->n_body += n;
        atomic_fetch_add(&v->server->n_bytes, n);
        if (is_path(q, "/echo")) {
                add_bytes(q, bytes, n);
                nghttp2_session_resume_data(session, id);
        }
        return 0;
}

/* RST_STREAM (NO_ERROR) behind an answer that did not wait for the request: RFC 9113 section 8.1. */
static int on_sent(nghttp2_session *session, const nghttp2_frame *frame, void *owner)
{
        struct request *q =
                frame->hd.stream_id ? nghttp2_session_get_stream_user_data(session, frame->hd.stream_id) : NULL;

        if (q && is_path(q, "/early") && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) && !q->is_whole)
                nghttp2_submit_rst_stream(session, 0, frame->hd.stream_id, NGHTTP2_NO_ERROR);
        return 0;
}

/* ---- connections */

static int shake_hands(struct visitor *v)
{
        const gnutls_datum_t name = {(unsigned char *)(uintptr_t)v->server->alpn,
                                     v->server->alpn ? (unsigned)strlen(v->server->alpn) : 0};
        int r;

        gnutls_init(&v->tls, GNUTLS_SERVER | GNUTLS_NO_SIGNAL);
        gnutls_set_default_priority(v->tls);
        gnutls_credentials_set(v->tls, GNUTLS_CRD_CERTIFICATE, v->server->credentials);
        if (v->server->alpn)
                gnutls_alpn_set_protocols(v->tls, &name, 1, 0);
        gnutls_transport_set_int(v->tls, v->fd);
        do {
                r = gnutls_handshake(v->tls);
        } while (r < 0 && !gnutls_error_is_fatal(r));
        return r;
}

static ssize_t read_bytes(struct visitor *v, void *out, size_t n)
{
        ssize_t r;

        if (!v->tls)
                return recv(v->fd, out, n, 0);
        do {
                r = gnutls_record_recv(v->tls, out, n);
        } while (r == GNUTLS_E_AGAIN || r == GNUTLS_E_INTERRUPTED);
        return r;
}

static void serve_h1(struct visitor *v)
{
        static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold";
        char byte, last[4] = "";

        while (read_bytes(v, &byte, 1) == 1) {
                memmove(last, last + 1, 3);
                last[3] = byte;
                if (memcmp(last, "\r\n\r\n", 4) != 0)
                        continue;
                atomic_fetch_add(&v->server->n_requests, 1);
                (void)send_bytes(NULL, (const uint8_t *)text, sizeof(text) - 1, 0, v);
        }
}

static void serve_h2(struct visitor *v)
{
        const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, v->server->n_streams_max}};
        nghttp2_session_callbacks *calls;
        uint8_t bytes[16384];
        ssize_t n;

        nghttp2_session_callbacks_new(&calls);
        nghttp2_session_callbacks_set_send_callback(calls, send_bytes);
        nghttp2_session_callbacks_set_on_begin_headers_callback(calls, on_begin);
        nghttp2_session_callbacks_set_on_header_callback(calls, on_header);
        nghttp2_session_callbacks_set_on_frame_recv_callback(calls, on_frame);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(calls, on_data);
        nghttp2_session_callbacks_set_on_frame_send_callback(calls, on_sent);
        nghttp2_session_server_new(&v->session, calls, v);
        nghttp2_session_callbacks_del(calls);
        nghttp2_submit_settings(v->session, 0, settings, v->server->n_streams_max ? 1 : 0);
        while (!v->wants_end && nghttp2_session_send(v->session) == 0) {
                n = read_bytes(v, bytes, sizeof(bytes));
                if (n <= 0 || nghttp2_session_mem_recv(v->session, bytes, (size_t)n) < 0)
                        break;
        }
        nghttp2_session_del(v->session);
        while (v->requests) {
                struct request *q = v->requests;

                v->requests = q->next;
                free(q->bytes);
                free(q);
        }
}

static void *serve(void *arg)
{
        struct visitor *v = arg;
        struct server_h2 *s = v->server;

        if (s->credentials && shake_hands(v))
                v->wants_end = true;
        else if (s->credentials && (!s->alpn || strcmp(s->alpn, "h2") != 0))
                serve_h1(v);
        else
                serve_h2(v);
        if (v->tls)
                gnutls_deinit(v->tls);
        atomic_store(&s->fds[v->number], -1);
        close(v->fd);
        atomic_fetch_add(&s->n_closed, 1);
        free(v);
        return NULL;
}

static void *accept_all(void *arg)
{
        struct server_h2 *s = arg;

        for (unsigned i = 0; i < SERVER_CONNECTIONS_MAX; i++) {
                struct visitor *v = calloc(1, sizeof(*v));

                *v = (struct visitor){.server = s, .number = i, .fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC)};
                if (v->fd < 0) {
                        free(v);
                        break; /* stopped */
                }
                atomic_store(&s->fds[i], v->fd);
                if (pthread_create(&s->connections[i], NULL, serve, v))
                        abort();
                atomic_fetch_add(&s->n_accepted, 1);
        }
        return NULL;
}

void server_h2_start(struct server_h2 *s)
{
        socklen_t n = sizeof(s->address);

        s->address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (bind(s->listener, (struct sockaddr *)&s->address, n) || listen(s->listener, 32) ||
            getsockname(s->listener, (struct sockaddr *)&s->address, &n))
                abort();
        if (pthread_create(&s->thread, NULL, accept_all, s))
                abort();
        s->is_started = true;
}

void server_h2_stop(struct server_h2 *s)
{
        if (!s->is_started)
                return;
        s->is_started = false;
        shutdown(s->listener, SHUT_RDWR);
        (void)pthread_join(s->thread, NULL);
        close(s->listener);
        for (unsigned i = 0; i < atomic_load(&s->n_accepted); i++) {
                const int fd = atomic_load(&s->fds[i]);

                if (fd >= 0)
                        shutdown(fd, SHUT_RDWR);
                (void)pthread_join(s->connections[i], NULL);
        }
}
