/*
 * What the tests of streams share: a loop, a time limit, and a listener that remembers everything.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/stream.h"

#define MSEC      SG_USEC_PER_MSEC
#define LIMIT_SEC 20

struct seen {
        struct sg_loop *loop;
        struct sg_stream *stream;
        struct sg_timer limit;
        struct sg_buf bytes;
        unsigned n_open, n_gives, n_drained, n_ends;
        enum sg_stream_end why;
        char text[128];
        bool (*until)(struct seen *w);
        size_t uses_max; /* of each give; 0: all */
        size_t largest_give;
        bool pauses; /* after each give */
        bool frees_on_bytes, frees_on_end, frees_on_open, frees_on_drained;
};

static inline void seen_check(struct seen *w)
{
        if (w->until && w->until(w))
                sg_loop_stop(w->loop);
}

static inline void seen_free(struct seen *w)
{
        w->stream = sg_stream_free(w->stream);
}

static inline void seen_on_open(struct sg_stream *s, void *owner)
{
        struct seen *w = owner;

        w->n_open++;
        if (w->frees_on_open)
                seen_free(w);
        seen_check(w);
}

static inline size_t seen_on_bytes(struct sg_stream *s, struct sg_str bytes, void *owner)
{
        struct seen *w = owner;
        size_t n = w->uses_max ? SG_MIN(w->uses_max, bytes.n) : bytes.n;

        w->n_gives++;
        w->largest_give = SG_MAX(w->largest_give, bytes.n);
        assert_int_equal(sg_buf_add(&w->bytes, sg_str_head(bytes, n)), 0);
        if (w->pauses)
                sg_stream_pause(s);
        if (w->frees_on_bytes)
                seen_free(w);
        seen_check(w);
        return n;
}

static inline void seen_on_drained(struct sg_stream *s, void *owner)
{
        struct seen *w = owner;

        w->n_drained++;
        if (w->frees_on_drained)
                seen_free(w);
        seen_check(w);
}

static inline void seen_on_end(struct sg_stream *s, enum sg_stream_end why, void *owner)
{
        struct seen *w = owner;

        w->n_ends++;
        w->why = why;
        (void)snprintf(w->text, sizeof(w->text), "%s", sg_stream_end_text(s));
        if (w->frees_on_end)
                seen_free(w);
        seen_check(w);
}

static const struct sg_stream_listener seen_listener = {
        .on_open = seen_on_open,
        .on_bytes = seen_on_bytes,
        .on_drained = seen_on_drained,
        .on_end = seen_on_end,
};

static inline void seen_on_limit(struct sg_timer *t, void *owner)
{
        fail_msg("nothing happened within the time limit");
}

static inline void seen_init(struct seen *w)
{
        *w = (struct seen){.loop = NULL};
        assert_int_equal(sg_loop_new(&w->loop), 0);
        assert_int_equal(sg_timer_init(&w->limit, w->loop, seen_on_limit, w), 0);
        sg_buf_init(&w->bytes, SIZE_MAX);
}

static inline void seen_done(struct seen *w)
{
        w->stream = sg_stream_free(w->stream);
        sg_timer_done(&w->limit);
        sg_buf_done(&w->bytes);
        sg_loop_free(w->loop);
}

static inline void run_until(struct seen *w, bool (*until)(struct seen *w))
{
        w->until = until;
        if (until(w))
                return;
        sg_timer_start(&w->limit, LIMIT_SEC * SG_USEC_PER_SEC);
        sg_loop_run(w->loop, SG_USEC_NEVER, NULL, NULL);
        sg_timer_stop(&w->limit);
        w->until = NULL;
}

struct few_turns {
        struct sg_loop *loop;
        unsigned left;
};

static inline void count_down(void *owner)
{
        struct few_turns *t = owner;

        if (--t->left == 0)
                sg_loop_stop(t->loop);
}

/* A few turns with a short wait each: time for what must not happen. */
static inline void run_few_turns(struct sg_loop *l)
{
        struct few_turns t = {l, 5};

        sg_loop_run(l, 4 * MSEC, count_down, &t);
}

static inline bool has_ended(struct seen *w)
{
        return w->n_ends > 0;
}

static inline bool has_opened(struct seen *w)
{
        return w->n_open > 0 || w->n_ends > 0;
}

static inline bool has_bytes(struct seen *w)
{
        return sg_buf_length(&w->bytes) > 0;
}

static inline void assert_bytes(struct seen *w, const char *expected)
{
        struct sg_str got = sg_buf_view(&w->bytes);

        if (!sg_str_eq(got, sg_str_from(expected)))
                fail_msg("got \"" SG_STR_FMT "\", not \"%s\"", SG_STR_ARG(got), expected);
        sg_buf_clear(&w->bytes);
}

/* A listening socket on a free port. */
static inline int listen_on_loopback(struct sockaddr_in *ret)
{
        socklen_t n = sizeof(*ret);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        *ret = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        assert_int_equal(bind(fd, (struct sockaddr *)ret, sizeof(*ret)), 0);
        assert_int_equal(listen(fd, 16), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)ret, &n), 0);
        return fd;
}

/* near: nonblocking, for the stream; far: blocking, for the test. */
static inline void tcp_pair(int *ret_near, int *ret_far)
{
        struct sockaddr_in a;
        int listener = listen_on_loopback(&a);

        *ret_far = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(*ret_far, (struct sockaddr *)&a, sizeof(a)), 0);
        *ret_near = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        assert_true(*ret_near >= 0);
        close(listener);
}

static inline void reset_and_close(int fd)
{
        const struct linger now = {.l_onoff = 1, .l_linger = 0};

        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
        close(fd);
}

static inline int write_to(struct sg_stream *s, const char *text)
{
        const struct sg_str piece = sg_str_from(text);

        return sg_stream_write(s, &piece, 1);
}
