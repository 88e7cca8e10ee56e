#include "dns.h"

#include "net_test.h"

static size_t put_u16(unsigned char *p, unsigned v)
{
        p[0] = (unsigned char)(v >> 8);
        p[1] = (unsigned char)v;
        return 2;
}

/* "\3two\4test\0" */
static bool is_name(const unsigned char *q, const char *wire, size_t n)
{
        return memcmp(q, wire, n) == 0;
}
#define IS(q, wire) is_name(q, wire, sizeof(wire))

static size_t answer_a(unsigned char *p, uint32_t address, unsigned ttl)
{
        size_t n = 0;

        n += put_u16(p + n, 0xc00c);
        n += put_u16(p + n, 1);
        n += put_u16(p + n, 1);
        n += put_u16(p + n, 0);
        n += put_u16(p + n, ttl);
        n += put_u16(p + n, 4);
        n += put_u16(p + n, address >> 16);
        n += put_u16(p + n, address & 0xffff);
        return n;
}

/* Returns the length of the reply in m, 0 for none. */
static size_t reply(struct dns *d, unsigned char *m, size_t n)
{
        const unsigned char *name = m + 12;
        size_t end = 12;
        unsigned type, rcode = 3, n_answers = 0;

        while (end < n && m[end])
                end += m[end] + 1u;
        type = m[end + 2];
        end += 5;
        if (IS(name, "\6silent\4test"))
                return 0;
        if (IS(name, "\6broken\4test"))
                rcode = 2;
        if (IS(name, "\3two\4test")) {
                rcode = 0;
                if (type == 1) {
                        atomic_fetch_add(&d->n_asked, 1);
                        end += answer_a(m + end, 0xc0000201, 60);
                        end += answer_a(m + end, 0xc0000202, 60);
                        n_answers = 2;
                }
        }
        if (IS(name, "\5moves\4test")) {
                rcode = 0;
                if (type == 1) {
                        end += answer_a(m + end, atomic_load(&d->where), 1);
                        n_answers = 1;
                }
        }
        m[2] = 0x81;
        m[3] = (unsigned char)(0x80 | rcode);
        put_u16(m + 6, n_answers);
        put_u16(m + 8, 0);
        put_u16(m + 10, 0);
        return end;
}

static void *serve(void *arg)
{
        struct dns *d = arg;
        unsigned char m[1024];
        struct sockaddr_in from;

        for (;;) {
                socklen_t k = sizeof(from);
                ssize_t n = recvfrom(d->fd, m, 512, 0, (struct sockaddr *)&from, &k);
                size_t out;

                if (n < 12) /* a single byte ends the thread */
                        return NULL;
                out = reply(d, m, (size_t)n);
                if (out)
                        (void)!sendto(d->fd, m, out, 0, (struct sockaddr *)&from, k);
        }
}

void dns_start(struct dns *d)
{
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t n = sizeof(a);

        d->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(d->fd, (struct sockaddr *)&a, sizeof(a)), 0);
        assert_int_equal(getsockname(d->fd, (struct sockaddr *)&a, &n), 0);
        d->port = ntohs(a.sin_port);
        atomic_init(&d->n_asked, 0);
        atomic_init(&d->where, INADDR_LOOPBACK);
        assert_int_equal(pthread_create(&d->thread, NULL, serve, d), 0);
}

void dns_stop(struct dns *d)
{
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        a.sin_port = htons(d->port);
        assert_int_equal(sendto(fd, "", 1, 0, (struct sockaddr *)&a, sizeof(a)), 1);
        assert_int_equal(pthread_join(d->thread, NULL), 0);
        close(fd);
        close(d->fd);
}
