#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop/loop.h"

/* A connected TCP pair, since resets cannot be made on Unix sockets. */
struct pair {
        struct sg_loop *loop;
        int near, far;
        struct sg_io io;
        struct sg_timer end;
        unsigned n_read, n_write, n_closed;
        unsigned n_turns;
        bool stays; /* on when told */
};

static void on_ready(struct sg_io *io, unsigned ready, void *owner)
{
        struct pair *p = owner;

        p->n_read += (ready & SG_IO_READ) != 0;
        p->n_write += (ready & SG_IO_WRITE) != 0;
        p->n_closed += (ready & SG_IO_CLOSED) != 0;
        if (!p->stays) {
                sg_io_set(io, 0);
                sg_loop_stop(p->loop);
        }
}

static void on_end(struct sg_timer *t, void *owner)
{
        sg_loop_stop(((struct pair *)owner)->loop);
}

static void connect_pair(struct pair *p)
{
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t n = sizeof(a);
        int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_int_equal(bind(listener, (struct sockaddr *)&a, sizeof(a)), 0);
        assert_int_equal(listen(listener, 1), 0);
        assert_int_equal(getsockname(listener, (struct sockaddr *)&a, &n), 0);
        p->far = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(p->far, (struct sockaddr *)&a, sizeof(a)), 0);
        p->near = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        assert_true(p->near >= 0);
        close(listener);
}

static int setup(void **state)
{
        static struct pair p;

        p = (struct pair){.loop = NULL};
        assert_int_equal(sg_loop_new(&p.loop), 0);
        connect_pair(&p);
        assert_int_equal(sg_io_init(&p.io, p.loop, p.near, on_ready, &p), 0);
        assert_int_equal(sg_timer_init(&p.end, p.loop, on_end, &p), 0);
        *state = &p;
        return 0;
}

static int teardown(void **state)
{
        struct pair *p = *state;

        sg_io_done(&p->io);
        sg_timer_done(&p->end);
        close(p->near);
        if (p->far >= 0)
                close(p->far);
        sg_loop_free(p->loop);
        return 0;
}

static void count_turn(void *owner)
{
        ((struct pair *)owner)->n_turns++;
}

static void run(struct pair *p)
{
        sg_timer_start(&p->end, 60 * SG_USEC_PER_MSEC);
        p->n_turns = 0;
        sg_loop_run(p->loop, SG_USEC_NEVER, count_turn, p);
}

static void reset(struct pair *p)
{
        assert_int_equal(
                setsockopt(p->far, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger)), 0);
        close(p->far);
        p->far = -1;
}

static void test_readable_is_told_with_bytes(void **state)
{
        struct pair *p = *state;

        sg_io_set(&p->io, SG_IO_READ);
        assert_int_equal(write(p->far, "x", 1), 1);
        run(p);
        assert_int_equal(p->n_read, 1);
        assert_int_equal(p->n_write + p->n_closed, 0);
}

static void test_writable_is_told_only_when_asked(void **state)
{
        struct pair *p = *state;

        sg_io_set(&p->io, SG_IO_READ);
        run(p);
        assert_int_equal(p->n_write, 0);
        sg_io_set(&p->io, SG_IO_READ | SG_IO_WRITE);
        run(p);
        assert_int_equal(p->n_write, 1);
}

static void test_hang_up_is_told_with_read(void **state)
{
        struct pair *p = *state;

        sg_io_set(&p->io, SG_IO_READ | SG_IO_CLOSED);
        assert_int_equal(shutdown(p->far, SHUT_WR), 0);
        run(p);
        assert_int_equal(p->n_read, 1);
        assert_int_equal(p->n_closed, 1);
}

static void test_closed_alone_ignores_bytes(void **state)
{
        struct pair *p = *state;

        sg_io_set(&p->io, SG_IO_CLOSED);
        assert_int_equal(write(p->far, "x", 1), 1);
        run(p);
        assert_int_equal(p->n_closed + p->n_read, 0);
        assert_in_range(p->n_turns, 1, 8); /* bytes that nobody reads do not keep the loop turning */
        assert_int_equal(shutdown(p->far, SHUT_WR), 0);
        run(p);
        assert_int_equal(p->n_closed, 1);
        assert_int_equal(p->n_read, 0);
}

static void test_closed_alone_tells_a_reset_once(void **state)
{
        struct pair *p = *state;

        p->stays = true;
        sg_io_set(&p->io, SG_IO_CLOSED);
        reset(p);
        run(p);
        assert_int_equal(p->n_closed, 1);
        assert_in_range(p->n_turns, 1, 8);
}

static void test_hang_up_before_asking_is_told(void **state)
{
        struct pair *p = *state;

        assert_int_equal(shutdown(p->far, SHUT_WR), 0);
        sg_io_set(&p->io, SG_IO_CLOSED);
        run(p);
        assert_int_equal(p->n_closed, 1);
}

static void test_closed_with_write_tells_both(void **state)
{
        struct pair *p = *state;

        p->stays = true;
        sg_io_set(&p->io, SG_IO_READ | SG_IO_WRITE);
        sg_io_set(&p->io, SG_IO_CLOSED | SG_IO_WRITE);
        assert_int_equal(write(p->far, "x", 1), 1);
        assert_int_equal(shutdown(p->far, SHUT_WR), 0);
        run(p);
        assert_int_equal(p->n_closed, 1);
        assert_true(p->n_write >= 1);
        assert_int_equal(p->n_read, 0);
        /* back to reading: the byte is still there */
        p->stays = false;
        sg_io_set(&p->io, SG_IO_READ);
        run(p);
        assert_int_equal(p->n_read, 1);
}

static void test_nothing_is_told_without_interest(void **state)
{
        struct pair *p = *state;

        sg_io_set(&p->io, SG_IO_READ | SG_IO_WRITE | SG_IO_CLOSED);
        sg_io_set(&p->io, 0);
        reset(p);
        run(p);
        assert_int_equal(p->n_read + p->n_write + p->n_closed, 0);
        assert_in_range(p->n_turns, 1, 8);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_readable_is_told_with_bytes),     TEST(test_writable_is_told_only_when_asked),
                TEST(test_hang_up_is_told_with_read),       TEST(test_closed_alone_ignores_bytes),
                TEST(test_closed_alone_tells_a_reset_once), TEST(test_hang_up_before_asking_is_told),
                TEST(test_closed_with_write_tells_both),    TEST(test_nothing_is_told_without_interest),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
