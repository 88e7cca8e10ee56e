/*
 * bench/sequence.c - one request after another on one connection, and how long each took by how many attempts it was
 *
 *   sequence PORT SECONDS <REQUEST
 *
 * Answers fall into three kinds: "refused" (no 2xx), "again" (x-scribe-attempts says more than one) and "once". The first
 * WARM_UP requests are not counted: connections are made by them. Prints one line of JSON, times in microseconds.
 */
#include "common.h"

#define WARM_UP 20

enum kind {
        ONCE,
        AGAIN,
        REFUSED,
        KINDS
};

static char request[1 << 20], answer[1 << 20];
static struct histogram times[KINDS];

/* Reads up to the end of the head; returns how many bytes there are, with those of the body that came along. */
static size_t read_head(int fd, size_t *ret_head)
{
        size_t n = 0;
        char *end = NULL;

        while (!end) {
                ssize_t r = recv(fd, answer + n, sizeof(answer) - 1 - n, 0);

                if (r <= 0)
                        die("sequence: no answer");
                n += (size_t)r;
                end = memmem(answer, n, "\r\n\r\n", 4);
        }
        *ret_head = (size_t)(end + 4 - answer);
        return n;
}

static enum kind ask(int fd, size_t n_request)
{
        const char *length, *attempts;
        size_t n_head, n, whole;

        if (send(fd, request, n_request, MSG_NOSIGNAL) != (ssize_t)n_request)
                die("sequence: request");
        n = read_head(fd, &n_head);
        answer[n_head - 1] = 0;
        length = strcasestr(answer, "\ncontent-length:");
        attempts = strcasestr(answer, "\nx-scribe-attempts:");
        whole = n_head + (length ? strtoull(length + 16, NULL, 10) : 0);
        if (!length || whole > sizeof(answer)) {
                errno = EBADMSG;
                die("sequence: an answer of another length");
        }
        while (n < whole) {
                ssize_t r = recv(fd, answer + n, whole - n, 0);

                if (r <= 0)
                        die("sequence: half an answer");
                n += (size_t)r;
        }
        if (strncmp(answer, "HTTP/1.1 2", 10) != 0)
                return REFUSED;
        return attempts && strtoull(attempts + 19, NULL, 10) > 1 ? AGAIN : ONCE;
}

int main(int argc, char **argv)
{
        struct sockaddr_in to;
        uint64_t until, cpu, start;
        size_t n_request;
        int fd;

        if (argc != 3) {
                errno = EINVAL;
                die("usage: sequence PORT SECONDS <REQUEST");
        }
        n_request = read_all(0, request, sizeof(request));
        to = loopback(argv[1]);
        fd = connect_loopback(&to);
        for (int i = 0; i < WARM_UP; i++)
                (void)ask(fd, n_request);
        printf("open\n");
        fflush(stdout);

        start = now_nsec();
        cpu = cpu_nsec();
        until = start + (uint64_t)(atof(argv[2]) * 1e9);
        for (uint64_t now = start; now < until;) {
                const uint64_t before = now;
                const enum kind kind = ask(fd, n_request);

                now = now_nsec();
                histogram_add(&times[kind], now - before);
        }
        printf("{\"cpu\":%.3f,", (double)(cpu_nsec() - cpu) / (double)(now_nsec() - start));
        histogram_print("once", &times[ONCE]);
        printf(",");
        histogram_print("again", &times[AGAIN]);
        printf(",");
        histogram_print("refused", &times[REFUSED]);
        printf("}\n");
        return 0;
}
