/*
 * An image without a shell and without curl asks its own service how it is. SCRIBE_LISTEN, which images set, names the
 * address without a look into the configuration: a file that was broken meanwhile does not make a gateway unhealthy
 * that runs well with what it read before.
 */
#include "daemon/healthcheck.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "daemon/container.h"
#include "daemon/options.h"
#include "net/listen.h"

#define PATIENCE_USEC    (5 * SG_USEC_PER_SEC)
#define ANSWER_BYTES_MAX 4096u

struct question {
        struct sg_address to;
        uint64_t until_usec;
        char answer[ANSWER_BYTES_MAX + 1];
        size_t n_answer;
};

/* ---- where to */

/* What listens on every address is asked on the loopback; [::] takes IPv4 as well. */
static void turn_to_loopback(struct sg_address *a)
{
        struct sockaddr_in6 *in6 = (void *)&a->socket;
        struct sockaddr_in *in = (void *)&a->socket;

        if (a->socket.ss_family == AF_INET && in->sin_addr.s_addr == htonl(INADDR_ANY)) {
                in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        } else if (a->socket.ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr)) {
                in_port_t port = in6->sin6_port;

                *in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port};
                in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
                a->length = sizeof(*in);
        }
        sg_address_format(a->text, sizeof(a->text), (const struct sockaddr *)&a->socket, a->length);
}

static const struct sg_config_listener *http_listener(const struct sg_config *c)
{
        for (size_t i = 0; i < c->n_listeners; i++)
                if (strcmp(c->listeners[i].name, "http") == 0)
                        return &c->listeners[i];
        return NULL;
}

static int find_gateway(struct sg_address *ret, const char *directory, struct sg_error *err)
{
        const char *listen = getenv("SCRIBE_LISTEN");
        SG_AUTO(sg_config_unref) struct sg_config *c = NULL;
        const struct sg_config_listener *l;
        int r;

        if (listen && listen[0]) {
                r = sg_address_parse(ret, sg_str_from(listen), err);
        } else {
                r = sg_config_read_without_secrets(&c, directory, err);
                if (r)
                        return r;
                l = http_listener(c);
                if (!l || !l->address)
                        return sg_error_set(err, -EDESTADDRREQ, l ? l->where : directory,
                                            "there is no address of a [listener \"http\"] that could be asked");
                r = sg_address_parse(ret, sg_str_from(l->address), err);
        }
        if (!r)
                turn_to_loopback(ret);
        return r;
}

static int find_ledger(struct sg_address *ret, const char *directory, struct sg_error *err)
{
        SG_AUTO(sg_config_unref) struct sg_config *c = NULL;
        char path[4096];
        int r = sg_config_read_without_secrets(&c, directory, err);

        if (r)
                return r;
        snprintf(path, sizeof(path), "unix:%s/ledger.socket", c->runtime_directory);
        return sg_address_parse(ret, sg_str_from(path), err);
}

/* ---- asking */

static int trouble(struct question *q, const char *what, struct sg_error *err)
{
        if (errno == EAGAIN || errno == EINPROGRESS)
                errno = ETIMEDOUT;
        return sg_error_set(err, -errno, q->to.text, "%s: %s", what, strerror(errno));
}

/* Each call may take what is left of the five seconds. */
static int set_patience(struct question *q, int fd, struct sg_error *err)
{
        uint64_t now_usec = sg_clock_usec(), left_usec = q->until_usec > now_usec ? q->until_usec - now_usec : 0;
        const struct timeval left = {.tv_sec = (time_t)(left_usec / SG_USEC_PER_SEC),
                                     .tv_usec = (suseconds_t)(left_usec % SG_USEC_PER_SEC)};

        if (left_usec == 0)
                return sg_error_set(err, -ETIMEDOUT, q->to.text, "no whole answer within %u s",
                                    (unsigned)(PATIENCE_USEC / SG_USEC_PER_SEC));
        if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &left, sizeof(left)) ||
            setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &left, sizeof(left)))
                return trouble(q, "the socket cannot be set up", err);
        return 0;
}

static int send_all(struct question *q, int fd, struct sg_str bytes, struct sg_error *err)
{
        while (bytes.n) {
                int r = set_patience(q, fd, err);
                ssize_t n;

                if (r)
                        return r;
                n = send(fd, bytes.p, bytes.n, MSG_NOSIGNAL);
                if (n < 0)
                        return trouble(q, "cannot be asked", err);
                bytes = sg_str_skip(bytes, (size_t)n);
        }
        return 0;
}

/* Up to the byte that ends an answer, or what fits. */
static int receive_until(struct question *q, int fd, char end, struct sg_error *err)
{
        while (q->n_answer < ANSWER_BYTES_MAX) {
                int r = set_patience(q, fd, err);
                ssize_t n;

                if (r)
                        return r;
                n = recv(fd, q->answer + q->n_answer, ANSWER_BYTES_MAX - q->n_answer, 0);
                if (n < 0)
                        return trouble(q, "does not answer", err);
                if (n == 0)
                        break;
                q->n_answer += (size_t)n;
                if (memchr(q->answer, end, q->n_answer))
                        return 0;
        }
        return sg_error_set(err, -EPROTO, q->to.text, "the answer breaks off or is none");
}

static int ask(struct question *q, struct sg_str bytes, char end, struct sg_error *err)
{
        int fd = socket(q->to.socket.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

        if (fd < 0)
                return trouble(q, "no socket can be made", err);
        q->until_usec = sg_clock_usec() + PATIENCE_USEC;
        r = set_patience(q, fd, err);
        if (!r && connect(fd, (const struct sockaddr *)&q->to.socket, q->to.length))
                r = trouble(q, "nobody can be reached", err);
        if (!r)
                r = send_all(q, fd, bytes, err);
        if (!r)
                r = receive_until(q, fd, end, err);
        close(fd);
        return r;
}

/* ---- the two services */

static int check_gateway(struct question *q, const char *directory, struct sg_error *err)
{
        static const struct sg_str request = SG_STR(
                "GET /health HTTP/1.1\r\nHost: localhost\r\nUser-Agent: healthcheck\r\nConnection: close\r\n\r\n");
        struct sg_str line, answer;
        int r = find_gateway(&q->to, directory, err);

        if (!r)
                r = ask(q, request, '\n', err);
        if (r)
                return r;
        answer = sg_str_make(q->answer, q->n_answer);
        (void)sg_str_cut(&answer, '\n', &line);
        if (sg_str_starts(line, SG_STR("HTTP/1.1 200 ")))
                return 0;
        if (line.n && line.p[line.n - 1] == '\r')
                line.n--;
        return sg_error_set(err, -EPROTO, q->to.text, "GET /health is answered with \"" SG_STR_FMT "\"",
                            SG_STR_ARG(sg_str_head(line, SG_MIN(line.n, (size_t)80))));
}

static int check_ledger(struct question *q, const char *directory, struct sg_error *err)
{
        static const char call[] = "{\"method\":\"org.varlink.service.GetInfo\"}"; /* sent with its NUL */
        struct sg_str answer;
        int r = find_ledger(&q->to, directory, err);

        if (!r)
                r = ask(q, sg_str_make(call, sizeof(call)), '\0', err);
        if (r)
                return r;
        answer = sg_str_from(q->answer);
        if (sg_str_find(answer, SG_STR("\"product\"")) == answer.n)
                return sg_error_set(err, -EPROTO, q->to.text, "GetInfo is answered with \"" SG_STR_FMT "\"",
                                    SG_STR_ARG(sg_str_head(answer, SG_MIN(answer.n, (size_t)80))));
        return 0;
}

int sg_healthcheck_run(const struct sg_options *options)
{
        bool is_ledger = strcmp(sg_container_program(options->service_type), "scribe-ledger") == 0;
        struct question q = {.n_answer = 0};
        struct sg_error err = {0};
        char line[1100];
        int r;

        sg_log_set_level(SG_LOG_ERR); /* what the configuration has to say was said by the service */
        r = is_ledger ? check_ledger(&q, options->config_directory, &err)
                      : check_gateway(&q, options->config_directory, &err);
        if (r)
                fprintf(stderr, "%s is not healthy: %s\n", is_ledger ? "scribe-ledger" : "scribe-gateway",
                        sg_error_line(&err, line, sizeof(line)));
        return r ? 1 : 0;
}
