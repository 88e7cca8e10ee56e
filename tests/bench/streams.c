/*
 * bench/streams.c - many open streams of events, and how late each event is
 *
 *   streams PORT STREAMS SECONDS [tls] <REQUEST
 *
 * Opens two streams a millisecond (over TLS one in four), says "open" on a line of its own when each has had its first event, and
 * after SECONDS "end N" with the events of the time between: in that time whoever started this measures the proxy.
 * Then it reads all streams to their end and prints one line of JSON, times in microseconds. An event says by itself when
 * it was sent (fake.c): "@" and sixteen digits. A stream is cut when it ends without [DONE] or message_stop, stalled when
 * it once was silent for more than a second. "first" is the time from a request to its first event.
 */
#include "common.h"

#include <gnutls/gnutls.h>

#define MARK     17u /* @ and sixteen digits */
#define END_MAX  11u /* of the longest end but its last byte: "message_stop" */
#define A_SECOND 1000000000u

struct conn {
        int fd;
        gnutls_session_t tls; /* NULL: plain */
        uint64_t asked_nsec, last_nsec;
        bool is_stalled, is_done;
        unsigned n_carry; /* the end of what was read, in which a mark or the end may have begun */
        char carry[MARK];
};

static char request[1 << 20];
static size_t n_request;
static size_t n_open, n_begun, n_done, n_cut, n_stalled, n_events, n_bad;
static struct histogram first, late;
static bool is_measured;
static int epoll;
static gnutls_certificate_credentials_t trust;

static void start_tls(struct conn *c)
{
        int r;

        gnutls_init(&c->tls, GNUTLS_CLIENT | GNUTLS_NO_SIGNAL);
        gnutls_priority_set_direct(c->tls, "NORMAL:-VERS-ALL:+VERS-TLS1.3", NULL);
        gnutls_credentials_set(c->tls, GNUTLS_CRD_CERTIFICATE, trust);
        gnutls_server_name_set(c->tls, GNUTLS_NAME_DNS, "localhost", 9);
        gnutls_transport_set_int(c->tls, c->fd);
        do {
                r = gnutls_handshake(c->tls);
        } while (r < 0 && !gnutls_error_is_fatal(r));
        if (r < 0) {
                fprintf(stderr, "streams: handshake: %s\n", gnutls_strerror(r));
                exit(1);
        }
}

static void open_stream(struct conn *c, const struct sockaddr_in *to, bool is_tls)
{
        ssize_t r;

        c->fd = connect_loopback(to);
        if (is_tls)
                start_tls(c);
        c->asked_nsec = c->last_nsec = now_nsec();
        r = is_tls ? gnutls_record_send(c->tls, request, n_request) : send(c->fd, request, n_request, MSG_NOSIGNAL);
        if (r != (ssize_t)n_request)
                die("streams: request");
        n_open++;
        watch(epoll, c->fd, c);
}

static void on_event(struct conn *c, const char *digits)
{
        uint64_t now = now_nsec(), sent = 0;

        for (int i = 0; i < 16; i++)
                sent = sent * 10 + (uint64_t)(digits[i] - '0');
        if (c->asked_nsec) {
                histogram_add(&first, now - c->asked_nsec);
                c->asked_nsec = 0;
                n_begun++;
        } else if (now - c->last_nsec > A_SECOND && !c->is_stalled) {
                c->is_stalled = true;
                n_stalled++;
        }
        c->last_nsec = now;
        n_events++;
        if (is_measured)
                histogram_add(&late, now - sent * 1000);
}

/* What begins in the last bytes is found with the next ones. */
static void scan(struct conn *c, char *data, size_t n)
{
        char *at = data, *end = data + n;

        if (c->asked_nsec && strncmp(data, "HTTP/1.1 2", n < 10 ? n : 10) != 0 && c->n_carry == 0)
                n_bad++;
        while ((at = memchr(at, '@', (size_t)(end - at))) && end - at >= MARK) {
                on_event(c, at + 1);
                at += MARK;
        }
        if (!at && (memmem(data, n, "[DONE]", 6) || memmem(data, n, "message_stop", END_MAX + 1)))
                c->is_done = true;
        c->n_carry = at ? (unsigned)(end - at) : n < END_MAX ? (unsigned)n : END_MAX;
        memcpy(c->carry, end - c->n_carry, c->n_carry);
}

static void close_stream(struct conn *c)
{
        if (c->is_done)
                n_done++;
        else
                n_cut++;
        if (c->tls)
                gnutls_deinit(c->tls);
        close(c->fd);
        c->fd = -1;
        n_open--;
}

static void on_readable(struct conn *c)
{
        static char data[MARK + 65536];
        ssize_t r;

        do {
                memcpy(data, c->carry, c->n_carry);
                r = c->tls ? gnutls_record_recv(c->tls, data + c->n_carry, 65536)
                           : recv(c->fd, data + c->n_carry, 65536, 0);
                if (r == GNUTLS_E_AGAIN || r == GNUTLS_E_INTERRUPTED || (r == -1 && !c->tls && errno == EAGAIN))
                        return;
                if (r > 0)
                        scan(c, data, c->n_carry + (size_t)r);
        } while (r > 0 && !c->is_done && c->tls && gnutls_record_check_pending(c->tls));
        if (r <= 0 || c->is_done)
                close_stream(c);
}

static void look(int msec)
{
        struct epoll_event events[512];
        int n = epoll_wait(epoll, events, 512, msec);

        for (int i = 0; i < n; i++)
                on_readable(events[i].data.ptr);
}

int main(int argc, char **argv)
{
        uint64_t start, cpu, until;
        size_t wanted, before;
        struct sockaddr_in to;
        struct conn *conns;
        bool is_tls = argc > 4;

        if (argc < 4) {
                errno = EINVAL;
                die("usage: streams PORT STREAMS SECONDS [tls] <REQUEST");
        }
        wanted = (size_t)atol(argv[2]);
        to = loopback(argv[1]);
        conns = grab(wanted, sizeof(*conns));
        epoll = epoll_create1(EPOLL_CLOEXEC);
        raise_descriptors();
        gnutls_certificate_allocate_credentials(&trust);
        n_request = read_all(0, request, sizeof(request));

        start = now_nsec();
        until = start + 60ull * A_SECOND;
        for (size_t i = 0; i < wanted;) {
                look(1);
                while (i < wanted && now_nsec() >= start + i * (is_tls ? 4000000u : 500000u))
                        open_stream(&conns[i++], &to, is_tls);
        }
        while (n_begun < wanted && n_cut + n_done == 0 && now_nsec() < until)
                look(10);
        printf("open\n");
        fflush(stdout);

        is_measured = true;
        before = n_events;
        start = now_nsec();
        cpu = cpu_nsec();
        until = start + (uint64_t)(atof(argv[3]) * A_SECOND);
        while (now_nsec() < until && n_open)
                look(10);
        is_measured = false;
        printf("end %zu\n", n_events - before);
        fflush(stdout);
        double share = (double)(cpu_nsec() - cpu) / (double)(now_nsec() - start);
        size_t ended_early = wanted - n_open;

        until = now_nsec() + 60ull * A_SECOND;
        while (n_open && now_nsec() < until)
                look(100);
        printf("{\"streams\":%zu,\"events\":%zu,\"done\":%zu,\"cut\":%zu,\"stalled\":%zu,\"bad\":%zu,\"early\":%zu,"
               "\"cpu\":%.3f,",
               wanted, n_events, n_done, n_cut + n_open, n_stalled, n_bad, ended_early, share);
        histogram_print("first", &first);
        printf(",");
        histogram_print("late", &late);
        printf("}\n");
        return 0;
}
