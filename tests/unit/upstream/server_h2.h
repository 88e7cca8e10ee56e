/*
 * A server of HTTP/2 (and, where ALPN says so, of a single answer of HTTP/1.1), made of nghttp2: a thread per
 * connection. What it does with a request, its path says.
 */
#pragma once

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "../tls/certificates.h"

/* /ok       200 "ok", when the request is whole
 * /echo     the body comes back as it arrives
 * /sum      200 and the number of bytes of the body, when it is whole
 * /big      2 MiB
 * /hold     nothing
 * /trailers 200 "ok" and the trailers grpc-status: 0, x: y
 * /only     200 and nothing but its end
 * /early    413 "no" at the head, and RST_STREAM (NO_ERROR)
 * /reset    200, some bytes, RST_STREAM (INTERNAL_ERROR)
 * /refuse   on the first connection RST_STREAM (REFUSED_STREAM); else as /ok
 * /goaway   on the first connection GOAWAY that leaves this one out; else as /ok
 * /last     as /ok, and GOAWAY behind it
 * /close    on the first connection the end of it; else as /ok
 * /garbage  bytes that are no frames */

#define SERVER_CONNECTIONS_MAX 32

struct server_h2 {
        gnutls_certificate_credentials_t credentials; /* NULL: in the clear */
        const char *alpn;                             /* chosen, "h2" or "http/1.1"; NULL: none */
        unsigned n_streams_max;                       /* SETTINGS; 0: 100 */
        unsigned n_refusing;                          /* connections after the first that refuse, too */

        bool is_started;
        int listener;
        struct sockaddr_in address;
        pthread_t thread;
        pthread_t connections[SERVER_CONNECTIONS_MAX];
        atomic_int fds[SERVER_CONNECTIONS_MAX];
        atomic_uint n_accepted, n_closed;
        atomic_uint n_requests, n_resets, n_goaways;
        atomic_uint n_wrong;  /* heads that are not as they should be */
        atomic_ulong n_bytes; /* of bodies */
};

void server_h2_start(struct server_h2 *s);
void server_h2_stop(struct server_h2 *s);
