/*
 * A server that follows a script, in a thread of its own: one list of acts per connection, in the order accepted.
 */
#pragma once

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "../tls/certificates.h"

enum act_kind {
        ACT_END = 0,      /* closes */
        ACT_READ_REQUEST, /* head and body (Content-Length) */
        ACT_READ_HEAD,
        ACT_EXPECT,     /* these bytes, and no others */
        ACT_SEND,       /* text */
        ACT_SEND_MANY,  /* text, n times */
        ACT_WAIT_CLOSE, /* until the client closes, or ends its side; what it sends is counted */
        ACT_FIN,        /* ends this side */
        ACT_RESET,      /* closes with RST */
        ACT_TLS,        /* the handshake, here and not at the beginning */
};

struct act {
        enum act_kind kind;
        const char *text;
        size_t n;
};

#define SCRIPT_CONNECTIONS_MAX 8

struct script {
        const struct act *connections[SCRIPT_CONNECTIONS_MAX];
        gnutls_certificate_credentials_t credentials; /* NULL: plain */
        bool has_tls_later;                           /* by ACT_TLS */
        bool wants_certificate;                       /* of the client */
        const char *path;                             /* of a Unix socket, in place of a port */

        bool is_started;
        int listener;
        struct sockaddr_in address;
        pthread_t thread;
        /* read after script_stop(), but for the count */
        atomic_uint n_accepted, n_closed;
        size_t request_bytes[SCRIPT_CONNECTIONS_MAX];
        unsigned request_sum[SCRIPT_CONNECTIONS_MAX]; /* of all bytes of all requests */
        atomic_uint n_unexpected;                     /* ACT_EXPECT that got something else */
        char first_head[SCRIPT_CONNECTIONS_MAX][1024];
        char sni[SCRIPT_CONNECTIONS_MAX][64];
        bool saw_certificate[SCRIPT_CONNECTIONS_MAX];
};

void script_start(struct script *s);
void script_stop(struct script *s);
