/*
 * bench/handshakes.c - TLS 1.3 handshakes without a request, full ones or resumed ones
 *
 *   handshakes PORT SECONDS THREADS full|resumed
 *
 * X25519, and what signature the server's certificate has. Each connection ends when the server has closed it, so that
 * it has done all of its part, tickets too. A resumed one shows the ticket that its thread got first.
 * Prints one line of JSON: how many, in how many seconds, how many of them were resumed.
 */
#include "common.h"

#include <gnutls/gnutls.h>
#include <pthread.h>
#include <sys/time.h>

static struct sockaddr_in to;
static uint64_t until;
static bool is_resuming;
static gnutls_certificate_credentials_t trust;
static gnutls_priority_t priorities;

struct worker {
        pthread_t thread;
        gnutls_datum_t ticket;
        size_t n, n_resumed, n_failed;
};

/* Reads until the server's ticket has come; that is no data, for which the read would go on. */
static void await_ticket(gnutls_session_t s)
{
        char nothing[256];

        for (int i = 0; i < 8 && !(gnutls_session_get_flags(s) & GNUTLS_SFLAGS_SESSION_TICKET); i++)
                if (gnutls_record_recv(s, nothing, sizeof(nothing)) != GNUTLS_E_AGAIN)
                        return;
}

/* Says that it has no more, and waits until the server, having done all that it had to do, closes too: with a word, with
 * a FIN or with a reset, as servers do. */
static bool end_well(gnutls_session_t s, int fd)
{
        char nothing[4096];
        ssize_t r;

        gnutls_bye(s, GNUTLS_SHUT_WR);
        shutdown(fd, SHUT_WR);
        do {
                r = recv(fd, nothing, sizeof(nothing), 0);
        } while (r > 0);
        return r == 0 || errno == ECONNRESET;
}

static void shake(struct worker *w)
{
        gnutls_session_t s;
        struct timeval patience = {.tv_sec = 5};
        int fd = connect_loopback(&to), r;

        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
        gnutls_init(&s, GNUTLS_CLIENT | GNUTLS_NO_SIGNAL);
        gnutls_priority_set(s, priorities);
        gnutls_credentials_set(s, GNUTLS_CRD_CERTIFICATE, trust);
        gnutls_server_name_set(s, GNUTLS_NAME_DNS, "localhost", 9);
        gnutls_transport_set_int(s, fd);
        if (is_resuming && w->ticket.data)
                gnutls_session_set_data(s, w->ticket.data, w->ticket.size);
        do {
                r = gnutls_handshake(s);
        } while (r < 0 && !gnutls_error_is_fatal(r));
        bool is_first = r == 0 && is_resuming && !w->ticket.data; /* the one that brings the ticket does not count */
        if (is_first) {
                await_ticket(s);
                gnutls_session_get_data2(s, &w->ticket);
        }
        if (r == 0 && end_well(s, fd)) {
                w->n += !is_first;
                w->n_resumed += gnutls_session_is_resumed(s) != 0;
        } else {
                w->n_failed++;
        }
        gnutls_deinit(s);
        close(fd);
}

static void *work(void *of)
{
        struct worker *w = of;

        while (now_nsec() < until && w->n_failed < 10)
                shake(w);
        return NULL;
}

int main(int argc, char **argv)
{
        size_t n_threads, n = 0, n_resumed = 0, n_failed = 0;
        struct worker *workers;
        uint64_t start = now_nsec();
        uint64_t cpu = cpu_nsec();

        if (argc != 5) {
                errno = EINVAL;
                die("usage: handshakes PORT SECONDS THREADS full|resumed");
        }
        to = loopback(argv[1]);
        until = start + (uint64_t)(atof(argv[2]) * 1e9);
        n_threads = (size_t)atoi(argv[3]);
        is_resuming = strcmp(argv[4], "resumed") == 0;
        gnutls_certificate_allocate_credentials(&trust);
        if (gnutls_priority_init(&priorities, "NORMAL:-VERS-ALL:+VERS-TLS1.3:-GROUP-ALL:+GROUP-X25519", NULL) < 0)
                die("priorities");
        workers = grab(n_threads, sizeof(*workers));
        for (size_t i = 0; i < n_threads; i++)
                if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
                        die("thread");
        for (size_t i = 0; i < n_threads; i++) {
                pthread_join(workers[i].thread, NULL);
                n += workers[i].n;
                n_resumed += workers[i].n_resumed;
                n_failed += workers[i].n_failed;
        }
        double seconds = (double)(now_nsec() - start) / 1e9;
        printf("{\"requests\":%zu,\"resumed\":%zu,\"errors\":%zu,\"seconds\":%.3f,\"cpu\":%.3f}\n", n, n_resumed,
               n_failed, seconds, (double)(cpu_nsec() - cpu) / 1e9 / seconds);
        return 0;
}
