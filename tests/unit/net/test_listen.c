#include "net_test.h"

#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "net/listen.h"

static struct sg_address parse(const char *text)
{
        struct sg_address a;
        struct sg_error err = {.code = 0};

        if (sg_address_parse(&a, sg_str_from(text), &err))
                fail_msg("%s: %s", text, err.text);
        return a;
}

static void test_addresses_are_parsed_and_named(void **state)
{
        static const char *const same[] = {"127.0.0.1:8000", "[::]:8443", "[::1]:1", "0.0.0.0:65535",
                                           "unix:/run/x.sock"};

        for (size_t i = 0; i < SG_N_ELEMENTS(same); i++)
                assert_string_equal(parse(same[i]).text, same[i]);
        assert_string_equal(parse("8000").text, "[::]:8000");
        assert_string_equal(parse("*:8000").text, "[::]:8000");
        assert_string_equal(parse("[::ffff:10.0.0.1]:80").text, "10.0.0.1:80");
}

static void test_bad_addresses_are_refused_with_words(void **state)
{
        static const char *const bad[] = {"",        "localhost:80",  "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536",
                                          "[::1]80", "[::1]",         "::1:80",    "1.2.3:80",   "unix:relative",
                                          "unix:",   "127.0.0.1:8x0", ":80",       "[]:80",      "127.0.0.1:-1"};
        struct sg_address a;

        for (size_t i = 0; i < SG_N_ELEMENTS(bad); i++) {
                struct sg_error err = {.code = 0};

                if (sg_address_parse(&a, sg_str_from(bad[i]), &err) == 0)
                        fail_msg("\"%s\" was accepted", bad[i]);
                assert_int_equal(err.code, -EINVAL);
                assert_non_null(strstr(err.text, "127.0.0.1:8000")); /* what to write */
        }
}

static void test_long_unix_path_is_refused(void **state)
{
        struct sg_error err = {.code = 0};
        struct sg_address a;
        char text[140] = "unix:/";

        memset(text + 6, 'x', 120);
        assert_int_equal(sg_address_parse(&a, sg_str_from(text), &err), -EINVAL);
        assert_non_null(strstr(err.text, "107"));
}

static void test_taken_address_is_explained(void **state)
{
        struct sockaddr_in in;
        struct sg_error err = {.code = 0};
        struct sg_address a;
        char text[32];
        int taken = listen_on_loopback(&in), fd;

        (void)snprintf(text, sizeof(text), "127.0.0.1:%u", ntohs(in.sin_port));
        a = parse(text);
        assert_int_equal(sg_listen_bind(&fd, &a, &err), -EADDRINUSE);
        assert_non_null(strstr(err.text, "already in use"));
        assert_string_equal(err.where, text);
        close(taken);
}

static void test_foreign_address_is_explained(void **state)
{
        struct sg_address a = parse("192.0.2.1:0");
        struct sg_error err = {.code = 0};
        int fd;

        assert_int_equal(sg_listen_bind(&fd, &a, &err), -EADDRNOTAVAIL);
        assert_non_null(strstr(err.text, "no interface"));
}

static void test_stale_socket_file_is_replaced_and_a_live_one_kept(void **state)
{
        char directory[] = "/tmp/sg-test-XXXXXX", text[64];
        struct sg_error err = {.code = 0};
        struct sg_address a;
        int fd, second;

        assert_non_null(mkdtemp(directory));
        (void)snprintf(text, sizeof(text), "unix:%s/s", directory);
        a = parse(text);
        assert_int_equal(sg_listen_bind(&fd, &a, &err), 0);
        assert_int_equal(sg_listen_bind(&second, &a, &err), -EADDRINUSE);
        close(fd);
        assert_int_equal(sg_listen_bind(&second, &a, &err), 0);
        close(second);
        unlink(text + 5);
        /* a file that is no socket is not touched */
        fd = open(text + 5, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        close(fd);
        assert_int_equal(sg_listen_bind(&second, &a, &err), -EADDRINUSE);
        assert_int_equal(unlink(text + 5), 0);
        rmdir(directory);
}

/* ---- accepting */

struct door {
        struct sg_loop *loop;
        struct sg_acceptor *acceptor;
        struct sg_timer limit;
        int fds[64];
        unsigned n, n_wanted;
        bool frees;
};

static void on_connection(int fd, void *owner)
{
        struct door *d = owner;

        d->fds[d->n++] = fd;
        if (d->frees)
                d->acceptor = sg_acceptor_free(d->acceptor);
        if (d->n == d->n_wanted)
                sg_loop_stop(d->loop);
}

static void on_limit(struct sg_timer *t, void *owner)
{
        fail_msg("no connection came");
}

static void door_open(struct door *d, struct sockaddr_in *in, int *ret_fd)
{
        struct sg_address a = parse("127.0.0.1:0");
        struct sg_error err = {.code = 0};
        socklen_t n = sizeof(*in);

        *d = (struct door){.loop = NULL};
        assert_int_equal(sg_loop_new(&d->loop), 0);
        assert_int_equal(sg_timer_init(&d->limit, d->loop, on_limit, d), 0);
        assert_int_equal(sg_listen_bind(ret_fd, &a, &err), 0);
        assert_int_equal(getsockname(*ret_fd, (struct sockaddr *)in, &n), 0);
        assert_int_equal(sg_acceptor_new(&d->acceptor, d->loop, *ret_fd, on_connection, d), 0);
        sg_acceptor_start(d->acceptor);
}

static void door_run(struct door *d, unsigned n)
{
        d->n_wanted = n;
        sg_timer_start(&d->limit, LIMIT_SEC * SG_USEC_PER_SEC);
        sg_loop_run(d->loop, SG_USEC_NEVER, NULL, NULL);
        sg_timer_stop(&d->limit);
}

static void door_close(struct door *d, int fd)
{
        for (unsigned i = 0; i < d->n; i++)
                close(d->fds[i]);
        sg_acceptor_free(d->acceptor);
        sg_timer_done(&d->limit);
        sg_loop_free(d->loop);
        close(fd);
}

static int dial(const struct sockaddr_in *in)
{
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_true(fd >= 0);
        assert_int_equal(connect(fd, (const struct sockaddr *)in, sizeof(*in)), 0);
        return fd;
}

static void test_connections_are_accepted_ready_for_use(void **state)
{
        struct sockaddr_in in;
        struct door d;
        int listener, far[40], on = 0;
        socklen_t n = sizeof(on);

        door_open(&d, &in, &listener);
        for (int i = 0; i < 40; i++)
                far[i] = dial(&in);
        door_run(&d, 40);
        assert_true(fcntl(d.fds[0], F_GETFL) & O_NONBLOCK);
        assert_true(fcntl(d.fds[0], F_GETFD) & FD_CLOEXEC);
        assert_int_equal(getsockopt(d.fds[0], IPPROTO_TCP, TCP_NODELAY, &on, &n), 0);
        assert_true(on);
        for (int i = 0; i < 40; i++)
                close(far[i]);
        door_close(&d, listener);
}

static void test_acceptor_freed_inside_its_callback(void **state)
{
        struct sockaddr_in in;
        struct door d;
        int listener, far[2];

        door_open(&d, &in, &listener);
        d.frees = true;
        far[0] = dial(&in);
        far[1] = dial(&in);
        door_run(&d, 1);
        assert_int_equal(d.n, 1);
        close(far[0]);
        close(far[1]);
        door_close(&d, listener);
}

static void test_without_descriptors_it_waits_and_goes_on(void **state)
{
        struct rlimit before, tight;
        struct sockaddr_in in;
        struct door d;
        int listener, far, top;

        door_open(&d, &in, &listener);
        far = dial(&in);
        top = dup(far);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
        tight = before;
        tight.rlim_cur = (rlim_t)top; /* `top` itself is above it; below it all are taken */
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
        run_few_turns(d.loop);
        assert_int_equal(d.n, 0);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        door_run(&d, 1);
        assert_int_equal(d.n, 1);
        close(top);
        close(far);
        door_close(&d, listener);
}

static bool is_same(const char *a, const char *b)
{
        const struct sg_address left = parse(a), right = parse(b);

        assert_int_equal(sg_address_is_same(&left, &right), sg_address_is_same(&right, &left));
        return sg_address_is_same(&left, &right);
}

static void test_addresses_are_compared_by_what_they_take(void **state)
{
        assert_true(is_same("127.0.0.1:8000", "127.0.0.1:8000"));
        assert_true(is_same("8000", "[::]:8000"));
        assert_true(is_same("0.0.0.0:8000", "[::]:8000"));
        assert_true(is_same("127.0.0.1:0", "127.0.0.1:41234"));
        assert_true(is_same("unix:/run/a", "unix:/run/a"));
        assert_false(is_same("127.0.0.1:8000", "127.0.0.1:8001"));
        assert_false(is_same("127.0.0.1:8000", "127.0.0.2:8000"));
        assert_false(is_same("127.0.0.1:8000", "0.0.0.0:8000"));
        assert_false(is_same("[::1]:8000", "127.0.0.1:8000"));
        assert_false(is_same("[::1]:8000", "[::2]:8000"));
        assert_false(is_same("unix:/run/a", "unix:/run/b"));
        assert_false(is_same("unix:/run/a", "127.0.0.1:8000"));
}

static void test_nothing_is_accepted_before_the_start(void **state)
{
        struct sockaddr_in in;
        struct sg_acceptor *idle;
        struct door d;
        int listener, second, far;

        door_open(&d, &in, &listener);
        d.acceptor = sg_acceptor_free(d.acceptor);
        run_few_turns(d.loop);
        second = dup(listener);
        assert_int_equal(sg_acceptor_new(&idle, d.loop, second, on_connection, &d), 0);
        far = dial(&in);
        run_few_turns(d.loop);
        assert_int_equal(d.n, 0);
        sg_acceptor_start(idle);
        d.acceptor = idle;
        door_run(&d, 1);
        assert_int_equal(d.n, 1);
        close(far);
        door_close(&d, listener);
        close(second);
}

#define N_SHARERS 3
#define N_SHARED  300

struct sharer {
        struct sg_loop *loop;
        struct sg_acceptor *acceptor;
        pthread_t thread;
        _Atomic pid_t tid; /* 0: not there yet */
        unsigned n;
};

static void on_shared(int fd, void *owner)
{
        ((struct sharer *)owner)->n++;
        close(fd);
}

static void *share(void *arg)
{
        struct sharer *s = arg;

        s->tid = gettid();
        sg_loop_run(s->loop, SG_USEC_NEVER, NULL, NULL);
        return NULL;
}

/* A loop that the machine has not let run yet takes no turn: each is seen asleep before the next connection comes. */
static void wait_until_idle(struct sharer *s)
{
        char path[64], text[256], *state = NULL;

        do {
                ssize_t n;
                int fd;

                sched_yield();
                if (s->tid == 0)
                        continue;
                snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)s->tid);
                fd = open(path, O_RDONLY | O_CLOEXEC);
                assert_true(fd >= 0);
                n = read(fd, text, sizeof(text) - 1);
                assert_true(n > 0);
                close(fd);
                text[n] = '\0';
                state = strrchr(text, ')');
                assert_non_null(state);
        } while (!state || state[2] != 'S');
}

/* One socket, several loops that are all idle: each has its share, whatever the others do. */
static void test_loops_that_share_a_socket_take_turns(void **state)
{
        struct sharer sharers[N_SHARERS] = {{0}};
        struct sockaddr_in in;
        int listener = listen_on_loopback(&in);
        char byte;

        assert_int_equal(fcntl(listener, F_SETFL, O_NONBLOCK), 0);
        for (size_t i = 0; i < N_SHARERS; i++) {
                assert_int_equal(sg_loop_new(&sharers[i].loop), 0);
                assert_int_equal(
                        sg_acceptor_new(&sharers[i].acceptor, sharers[i].loop, listener, on_shared, &sharers[i]), 0);
                sg_acceptor_start(sharers[i].acceptor);
                assert_int_equal(pthread_create(&sharers[i].thread, NULL, share, &sharers[i]), 0);
        }
        for (unsigned i = 0; i < N_SHARED; i++) {
                int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

                for (size_t k = 0; k < N_SHARERS; k++)
                        wait_until_idle(&sharers[k]);
                assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
                assert_int_equal(read(fd, &byte, 1), 0); /* it was taken, and closed */
                close(fd);
        }
        for (size_t i = 0; i < N_SHARERS; i++) {
                sg_loop_stop_soon(sharers[i].loop);
                assert_int_equal(pthread_join(sharers[i].thread, NULL), 0);
                sg_acceptor_free(sharers[i].acceptor);
                sg_loop_free(sharers[i].loop);
                if (sharers[i].n < N_SHARED / N_SHARERS / 2) /* a loop may sleep for another reason than epoll */
                        fail_msg("loop %zu took %u of %u", i, sharers[i].n, N_SHARED);
        }
        close(listener);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_addresses_are_parsed_and_named),
                cmocka_unit_test(test_bad_addresses_are_refused_with_words),
                cmocka_unit_test(test_long_unix_path_is_refused),
                cmocka_unit_test(test_taken_address_is_explained),
                cmocka_unit_test(test_foreign_address_is_explained),
                cmocka_unit_test(test_stale_socket_file_is_replaced_and_a_live_one_kept),
                cmocka_unit_test(test_connections_are_accepted_ready_for_use),
                cmocka_unit_test(test_acceptor_freed_inside_its_callback),
                cmocka_unit_test(test_without_descriptors_it_waits_and_goes_on),
                cmocka_unit_test(test_addresses_are_compared_by_what_they_take),
                cmocka_unit_test(test_nothing_is_accepted_before_the_start),
                cmocka_unit_test(test_loops_that_share_a_socket_take_turns),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
