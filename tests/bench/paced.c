/*
 * bench/paced.c - requests at a fixed rate over many connections, whatever the answers do
 *
 *   paced PORT CONNECTIONS RATE SECONDS <REQUEST
 *
 * Open loop: request number i is due at start + i / RATE and goes to the connection that has rested longest; where none
 * rests it waits, and its time runs. So a time is what a caller sees who does not slow down because others wait
 * ("coordinated omission"). Before the clock starts, each connection has been answered once; a line says "open" then.
 * Prints one line of JSON, times in microseconds; "cpu" is this program's share of a processor meanwhile.
 */
#include "common.h"

#include <sys/prctl.h>

struct conn {
        int fd;
        bool has_head, is_asked;
        size_t n;    /* bytes of a head so far */
        size_t left; /* bytes of the body to come */
        uint64_t due_nsec;
        char head[2048];
};

static char request[4 << 20];
static size_t n_request;
static struct conn *conns, **rest;
static size_t n_conns, rest_first, n_rest;
static struct histogram times;
static uint64_t n_answered, n_bad, n_broken;
static bool is_measured;
static int epoll;

static void ask(struct conn *c, uint64_t due_nsec)
{
        c->due_nsec = due_nsec;
        c->is_asked = true;
        if (send(c->fd, request, n_request, MSG_NOSIGNAL) != (ssize_t)n_request)
                n_broken++;
}

static void ask_next(uint64_t due_nsec)
{
        struct conn *c = rest[rest_first];

        rest_first = (rest_first + 1) % n_conns;
        n_rest--;
        ask(c, due_nsec);
}

static void is_answered(struct conn *c)
{
        if (!c->is_asked) {
                n_broken++; /* told without having been asked: that it is one too many */
                return;
        }
        c->is_asked = false;
        if (is_measured)
                histogram_add(&times, now_nsec() - c->due_nsec);
        n_answered++;
        c->n = 0;
        c->has_head = false;
        rest[(rest_first + n_rest++) % n_conns] = c;
}

static void on_head(struct conn *c, const char *end)
{
        const char *field;
        size_t n_head = (size_t)(end + 4 - c->head), length;

        c->head[n_head - 1] = 0;
        field = strcasestr(c->head, "\ncontent-length:");
        if (!field) {
                errno = EBADMSG;
                die("paced: an answer without a length");
        }
        n_bad += strncmp(c->head, "HTTP/1.1 2", 10) != 0;
        length = strtoull(field + 16, NULL, 10);
        c->has_head = true;
        c->left = length - (c->n - n_head);
}

static void on_readable(struct conn *c)
{
        static char scratch[65536];
        ssize_t r;

        if (c->has_head) {
                r = recv(c->fd, scratch, sizeof(scratch), 0);
                c->left -= r > 0 ? (size_t)r : 0;
        } else {
                r = recv(c->fd, c->head + c->n, sizeof(c->head) - 1 - c->n, 0);
                c->n += r > 0 ? (size_t)r : 0;
                const char *end = memmem(c->head, c->n, "\r\n\r\n", 4);
                if (end)
                        on_head(c, end);
        }
        if (r == 0 || (r < 0 && errno != EAGAIN)) {
                n_broken++;
                epoll_ctl(epoll, EPOLL_CTL_DEL, c->fd, NULL);
        } else if (c->has_head && c->left == 0) {
                is_answered(c);
        }
}

static void wait_until(uint64_t nsec)
{
        struct epoll_event events[256];
        uint64_t now = now_nsec(), left = nsec > now ? nsec - now : 0;
        struct timespec t = {.tv_sec = (time_t)(left / 1000000000u), .tv_nsec = (long)(left % 1000000000u)};
        int n = epoll_pwait2(epoll, events, 256, &t, NULL);

        for (int i = 0; i < n; i++)
                on_readable(events[i].data.ptr);
}

/* Opens all connections and asks each at once, so that none is taken for one that has nothing to say; at most 32 wait. */
static void open_all(const char *port)
{
        struct sockaddr_in to = loopback(port);
        uint64_t until = now_nsec() + 100000000000u;
        size_t n_open = 0;

        conns = grab(n_conns, sizeof(*conns));
        rest = grab(n_conns, sizeof(struct conn *));
        while (n_answered < n_conns && n_broken == 0 && now_nsec() < until) {
                while (n_open < n_conns && n_open - n_answered < 32) {
                        struct conn *c = &conns[n_open++];

                        c->fd = connect_loopback(&to);
                        watch(epoll, c->fd, c);
                        ask(c, 0);
                }
                wait_until(now_nsec() + 1000000);
        }
        n_broken += n_answered < n_conns;
}

int main(int argc, char **argv)
{
        uint64_t rate, wanted, sent = 0, start, cpu, waited;

        if (argc != 5) {
                errno = EINVAL;
                die("usage: paced PORT CONNECTIONS RATE SECONDS <REQUEST");
        }
        n_conns = (size_t)atol(argv[2]);
        rate = (uint64_t)atol(argv[3]);
        wanted = (uint64_t)((double)rate * atof(argv[4]));
        epoll = epoll_create1(EPOLL_CLOEXEC);
        prctl(PR_SET_TIMERSLACK, 1);
        raise_descriptors();
        n_request = read_all(0, request, sizeof(request));
        open_all(argv[1]);
        printf("open\n");
        fflush(stdout);

        is_measured = true;
        n_answered = 0;
        start = now_nsec();
        cpu = cpu_nsec();
        while (n_answered < wanted && n_broken == 0) {
                uint64_t now = now_nsec(), due = start + sent * 1000000000u / rate;

                while (sent < wanted && due <= now && n_rest) {
                        ask_next(due);
                        due = start + ++sent * 1000000000u / rate;
                }
                waited = sent == wanted || !n_rest ? now + 10000000u : due;
                if (now > start + wanted * 1000000000u / rate + 10000000000u)
                        break;
                wait_until(waited);
        }
        printf("{\"connections\":%zu,\"sent\":%llu,\"answered\":%llu,\"bad\":%llu,\"broken\":%llu,\"cpu\":%.3f,",
               n_conns, (unsigned long long)sent, (unsigned long long)n_answered, (unsigned long long)n_bad,
               (unsigned long long)n_broken, (double)(cpu_nsec() - cpu) / (double)(now_nsec() - start));
        histogram_print("time", &times);
        printf("}\n");
        return 0;
}
