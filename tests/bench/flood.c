/*
 * bench/flood.c - requests that are to be refused, as many as go: what somebody does who tries keys
 *
 *   flood PORT CONNECTIONS SECONDS ADDRESS <REQUEST
 *
 * Closed loop: a connection asks again as soon as it is answered, and is opened anew when the proxy closes it (with
 * "Connection: close" in the request that is each time). They come from ADDRESS, of 127.0.0.0/8. A line says "open" when all
 * have been answered once. Prints one line of JSON: answers by status, connections that were opened.
 */
#include "common.h"

struct conn {
        int fd;
        size_t n;
        char answer[8192];
};

static char request[1 << 16];
static size_t n_request;
static struct sockaddr_in to, from;
static uint64_t n_answered, n_opened, n_cut, by_status[600];
static int epoll;

static void ask(struct conn *c)
{
        c->n = 0;
        if (send(c->fd, request, n_request, MSG_NOSIGNAL) != (ssize_t)n_request)
                n_cut++; /* that it is closed is read next */
}

static void open_and_ask(struct conn *c)
{
        const int one = 1;

        c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (c->fd < 0 || setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one)) < 0 ||
            bind(c->fd, (const struct sockaddr *)&from, sizeof(from)) < 0 ||
            connect(c->fd, (const struct sockaddr *)&to, sizeof(to)) < 0)
                die("flood: connect");
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        watch(epoll, c->fd, c);
        n_opened++;
        ask(c);
}

/* Its length with the body; 0 while the head is not whole. */
static size_t answer_length(struct conn *c)
{
        const char *end, *field;

        c->answer[c->n] = 0;
        end = strstr(c->answer, "\r\n\r\n");
        field = end ? strcasestr(c->answer, "\ncontent-length:") : NULL;
        return end ? (size_t)(end + 4 - c->answer) + (field && field < end ? strtoull(field + 16, NULL, 10) : 0) : 0;
}

/* True: it was answered, and the connection may stay. */
static bool is_answered(struct conn *c)
{
        const size_t length = answer_length(c);

        if (length == 0 || c->n < length)
                return false;
        by_status[(unsigned)atoi(c->answer + 9) % 600]++;
        n_answered++;
        c->n = 0;
        return !strcasestr(c->answer, "\nconnection: close");
}

static void on_readable(struct conn *c)
{
        const ssize_t r = recv(c->fd, c->answer + c->n, sizeof(c->answer) - 1 - c->n, 0);

        if (r > 0) {
                c->n += (size_t)r;
                if (is_answered(c))
                        ask(c);
        } else if (r == 0 || errno != EAGAIN) {
                n_cut += c->n != 0;
                close(c->fd);
                open_and_ask(c);
        }
}

int main(int argc, char **argv)
{
        struct epoll_event events[256];
        struct conn *conns;
        uint64_t start = 0, until = UINT64_MAX;
        size_t n_conns;

        if (argc != 5) {
                errno = EINVAL;
                die("usage: flood PORT CONNECTIONS SECONDS ADDRESS <REQUEST");
        }
        n_conns = (size_t)atol(argv[2]);
        to = loopback(argv[1]);
        from.sin_family = AF_INET;
        if (inet_pton(AF_INET, argv[4], &from.sin_addr) != 1)
                die("flood: address");
        epoll = epoll_create1(EPOLL_CLOEXEC);
        n_request = read_all(0, request, sizeof(request));
        conns = grab(n_conns, sizeof(*conns));
        for (size_t i = 0; i < n_conns; i++)
                open_and_ask(&conns[i]);
        while (now_nsec() < until) {
                const int n = epoll_wait(epoll, events, 256, 100);

                for (int i = 0; i < n; i++)
                        on_readable(events[i].data.ptr);
                if (!start && n_answered >= n_conns) {
                        printf("open\n");
                        fflush(stdout);
                        memset(by_status, 0, sizeof(by_status));
                        n_answered = n_opened = 0;
                        start = now_nsec();
                        until = start + (uint64_t)(atof(argv[3]) * 1e9);
                }
        }
        printf("{\"seconds\":%.6f,\"answered\":%llu,\"opened\":%llu,\"cut\":%llu", (double)(now_nsec() - start) / 1e9,
               (unsigned long long)n_answered, (unsigned long long)n_opened, (unsigned long long)n_cut);
        for (unsigned i = 0; i < 600; i++)
                if (by_status[i])
                        printf(",\"%u\":%llu", i, (unsigned long long)by_status[i]);
        printf("}\n");
        return 0;
}
