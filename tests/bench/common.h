/*
 * bench/common.h - what the programs of the benchmark share: a clock, loopback connections, a histogram of times
 *
 * Shape    inline functions and one struct for each connection of a load program
 * Units    times in monotonic nanoseconds (_nsec)
 * Errors   a program of a benchmark that cannot go on says why and ends with status 1
 * Limits   a histogram tells times apart by 1.6 per cent, whatever their size
 */
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static inline _Noreturn void die(const char *what)
{
        fprintf(stderr, "%s: %s\n", what, strerror(errno));
        exit(1);
}

static inline void *grab(size_t n, size_t size)
{
        void *p = calloc(n, size);

        if (!p)
                die("memory");
        return p;
}

static inline uint64_t now_nsec(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t cpu_nsec(void)
{
        struct timespec t;

        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
        return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline struct sockaddr_in loopback(const char *port)
{
        return (struct sockaddr_in){
                .sin_family = AF_INET,
                .sin_port = htons((uint16_t)atoi(port)),
                .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        };
}

/* A connected socket that still blocks. */
static inline int connect_loopback(const struct sockaddr_in *to)
{
        int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0 || connect(fd, (const struct sockaddr *)to, sizeof(*to)) < 0)
                die("connect");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        return fd;
}

static inline void watch(int epoll, int fd, void *of)
{
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = of};

        if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) < 0)
                die("epoll_ctl");
}

static inline void raise_descriptors(void)
{
        struct rlimit l;

        if (getrlimit(RLIMIT_NOFILE, &l) == 0) {
                l.rlim_cur = l.rlim_max;
                setrlimit(RLIMIT_NOFILE, &l);
        }
}

static inline size_t read_all(int fd, char *to, size_t max)
{
        size_t n = 0;
        ssize_t r;

        while (n < max && (r = read(fd, to + n, max - n)) > 0)
                n += (size_t)r;
        return n;
}

/* Times by their seven leading bits. */
struct histogram {
        uint64_t n, max;
        uint64_t count[59 * 64];
};

static inline unsigned histogram_slot(uint64_t nsec)
{
        unsigned shift = nsec < 128 ? 0 : 57u - (unsigned)__builtin_clzll(nsec);

        return shift * 64u + (unsigned)(nsec >> shift);
}

static inline void histogram_add(struct histogram *h, uint64_t nsec)
{
        h->n++;
        h->count[histogram_slot(nsec)]++;
        if (nsec > h->max)
                h->max = nsec;
}

/* In microseconds: the middle of the slot in which the share lies. */
static inline double histogram_usec(const struct histogram *h, double share)
{
        uint64_t wanted = (uint64_t)((double)h->n * share), seen = 0;

        for (unsigned i = 0; i < 59 * 64; i++) {
                seen += h->count[i];
                if (h->count[i] && seen > wanted) {
                        unsigned shift = i < 128 ? 0 : i / 64 - 1;
                        uint64_t low = (uint64_t)(i - shift * 64) << shift;

                        return ((double)low + (double)(UINT64_C(1) << shift) / 2) / 1000;
                }
        }
        return (double)h->max / 1000;
}

/* "NAME":{"n":…,"p50":…,"p99":…,"max":…}, in microseconds */
static inline void histogram_print(const char *name, const struct histogram *h)
{
        printf("\"%s\":{\"n\":%llu,\"p50\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f}", name,
               (unsigned long long)h->n, histogram_usec(h, 0.5), histogram_usec(h, 0.99), histogram_usec(h, 0.999),
               (double)h->max / 1000);
}
