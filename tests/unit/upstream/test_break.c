#include "caller.h"

#include <unistd.h>

/* ---- connections that break */

static void test_stale_connection_is_replaced_and_the_body_sent_again(void **state)
{
        static const struct act stale[] = {READ_REQUEST, ANSWER("2", "ok"), READ_REQUEST, END};
        static const struct act fresh[] = {READ_REQUEST, ANSWER("5", "again"), WAIT_CLOSE, END};
        struct world *x = *state;
        struct caller k = {.request = POST_SMALL}, again = {.request = POST_SMALL};

        world_serve(x, stale, fresh);
        call_start(&k, x);
        call_wait(&k);
        call_start(&again, x);
        call_wait(&again);
        assert_answer(&again, 200, "again");
        assert_false(again.was_reused);
        assert_int_equal(counts(x).n_opened, 2);
        call_done(&k);
        call_done(&again);
        sg_upstream_close_idle(x->upstream);
        script_stop(&x->script);
        x->script.address.sin_port = 0;
        assert_int_equal(x->script.request_sum[1] != 0, 1);
        assert_int_equal(x->script.request_bytes[0], 2 * x->script.request_bytes[1]);
}

static void test_without_leave_a_stale_connection_is_a_fault(void **state)
{
        static const struct act stale[] = {READ_REQUEST, ANSWER("2", "ok"), READ_REQUEST, END};
        struct world *x = *state;
        struct caller k = {.n_sent = 0}, again = {.request = POST_SMALL};

        world_serve(x, stale, NULL);
        call_start(&k, x);
        call_wait(&k);
        again.request.may_resend = false;
        call_start(&again, x);
        call_wait(&again);
        assert_fault(&again, SG_UPSTREAM_F_RESET);
        call_done(&k);
        call_done(&again);
}

static void test_fresh_connection_that_breaks_is_not_tried_again(void **state)
{
        static const struct act acts[] = {READ_REQUEST, END};
        struct world *x = *state;
        struct caller k = {.n_sent = 0};

        world_serve(x, acts, acts);
        call_start(&k, x);
        call_wait(&k);
        assert_fault(&k, SG_UPSTREAM_F_RESET);
        assert_int_equal(counts(x).n_opened, 1);
        call_done(&k);
}

static void test_answer_begun_on_a_reused_connection_is_not_asked_again(void **state)
{
        static const struct act stale[] = {READ_REQUEST, ANSWER("2", "ok"), READ_REQUEST, SEND("HTTP/1.1 20"), END};
        struct world *x = *state;
        struct caller k = {.n_sent = 0}, again = {.n_sent = 0};

        world_serve(x, stale, stale);
        call_start(&k, x);
        call_wait(&k);
        call_start(&again, x);
        call_wait(&again);
        assert_fault(&again, SG_UPSTREAM_F_TRUNCATED);
        assert_int_equal(counts(x).n_opened, 1);
        call_done(&k);
        call_done(&again);
}

static void expect_fault(struct world *x, const struct act *acts, enum sg_upstream_fault why, unsigned n_heads)
{
        struct caller k = {.n_sent = 0};

        world_serve(x, acts, NULL);
        call_start(&k, x);
        call_wait(&k);
        assert_fault(&k, why);
        assert_int_equal(k.n_heads, n_heads);
        assert_int_equal(counts(x).n_idle + counts(x).n_busy, 0);
        call_done(&k);
}

static void test_fewer_bytes_than_declared_are_truncated(void **state)
{
        static const struct act acts[] = {READ_REQUEST, ANSWER("10", "short"), END};

        expect_fault(*state, acts, SG_UPSTREAM_F_TRUNCATED, 1);
}

static void test_chunked_without_its_end_is_truncated(void **state)
{
        static const struct act acts[] = {
                READ_REQUEST, SEND("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"), END};

        expect_fault(*state, acts, SG_UPSTREAM_F_TRUNCATED, 1);
}

static void test_reset_inside_the_answer_is_truncated(void **state)
{
        static const struct act acts[] = {READ_REQUEST, ANSWER("1000", "some"), RESET, END};
        struct world *x = *state;
        struct caller k = {.n_sent = 0};

        world_serve(x, acts, NULL);
        call_start(&k, x);
        call_wait(&k);
        /* The reset may overtake the bytes. */
        assert_int_equal(k.n_failed, 1);
        assert_true(k.fault == (k.n_heads ? SG_UPSTREAM_F_TRUNCATED : SG_UPSTREAM_F_RESET));
        call_done(&k);
}

static void test_garbage_is_named(void **state)
{
        static const struct act acts[] = {READ_REQUEST, SEND("220 mail.example ESMTP\r\n\r\n"), WAIT_CLOSE, END};

        expect_fault(*state, acts, SG_UPSTREAM_F_GARBAGE, 0);
}

static void test_two_lengths_are_garbage(void **state)
{
        static const struct act acts[] = {READ_REQUEST,
                                          SEND("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc"),
                                          WAIT_CLOSE, END};

        expect_fault(*state, acts, SG_UPSTREAM_F_GARBAGE, 0);
}

static void test_more_bytes_than_declared_cost_the_connection(void **state)
{
        static const struct act acts[] = {READ_REQUEST, ANSWER("2", "okHTTP/1.1 200 OK\r\n"), WAIT_CLOSE, END};
        struct world *x = *state;
        struct caller k = {.n_sent = 0};

        world_serve(x, acts, NULL);
        call_start(&k, x);
        call_wait(&k);
        assert_answer(&k, 200, "ok");
        assert_int_equal(counts(x).n_idle, 0);
        call_done(&k);
}

static void test_idle_connection_that_closes_is_dropped(void **state)
{
        static const struct act acts[] = {READ_REQUEST, ANSWER("2", "ok"), END};
        struct world *x = *state;
        struct caller k = {.n_sent = 0};

        world_serve(x, acts, NULL);
        call_start(&k, x);
        call_wait(&k);
        wait_until_closed(x, 1);
        assert_int_equal(counts(x).n_idle, 0);
        call_done(&k);
}

static void test_idle_connection_that_speaks_is_dropped(void **state)
{
        static const struct act acts[] = {READ_REQUEST,
                                          ANSWER("2", "ok"),
                                          READ_REQUEST,
                                          ANSWER("2", "ok"),
                                          SEND("HTTP/1.1 408 Request Timeout\r\n\r\n"),
                                          WAIT_CLOSE,
                                          END};
        struct world *x = *state;
        struct caller k = {.n_sent = 0}, again = {.n_sent = 0};

        world_serve(x, acts, NULL);
        call_start(&k, x);
        call_wait(&k);
        call_start(&again, x);
        call_wait(&again);
        wait_until_closed(x, 1); /* it closes because we do */
        assert_int_equal(counts(x).n_idle, 0);
        call_done(&k);
        call_done(&again);
}

/* ---- connecting */

static void test_refused_connection_is_a_fault(void **state)
{
        static const struct act none[] = {END};
        struct world *x = *state;
        struct caller k = {.n_sent = 0};

        world_serve(x, none, NULL);
        script_stop(&x->script);
        x->script.address.sin_port = 0;
        call_start(&k, x);
        call_wait(&k);
        assert_fault(&k, SG_UPSTREAM_F_CONNECT);
        assert_non_null(strstr(k.text, "Connection refused"));
        assert_non_null(strstr(k.text, "127.0.0.1"));
        call_done(&k);
}

static void test_second_address_is_tried_when_the_first_refuses(void **state)
{
        static const struct act acts[] = {READ_REQUEST, ANSWER("2", "ok"), WAIT_CLOSE, END};
        struct world *x = *state;
        struct caller k = {.n_sent = 0};

        world_serve(x, acts, NULL); /* listens on 127.0.0.1 only; localhost may be ::1 first */
        x->endpoint.host = SG_STR("localhost");
        call_start(&k, x);
        call_wait(&k);
        assert_answer(&k, 200, "ok");
        call_done(&k);
}

static void test_black_hole_times_out(void **state)
{
        struct world *x = *state;
        struct caller k = {.n_sent = 0};
        struct sockaddr_in a;
        int hole = listen_on_loopback(&a), fill[32];
        uint64_t before = sg_clock_usec();

        /* A full backlog drops the SYN of whoever comes next. */
        assert_int_equal(listen(hole, 0), 0);
        for (size_t i = 0; i < SG_N_ELEMENTS(fill); i++) {
                fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
                (void)!connect(fill[i], (struct sockaddr *)&a, sizeof(a));
        }
        x->endpoint = (struct sg_endpoint){.host = SG_STR("127.0.0.1"),
                                           .port = ntohs(a.sin_port),
                                           .pool_key = SG_STR("hole"),
                                           .connect_timeout_usec = 150 * MSEC};
        call_start(&k, x);
        call_wait(&k);
        assert_fault(&k, SG_UPSTREAM_F_TIMEOUT);
        assert_in_range(sg_clock_usec() - before, 140 * MSEC, 5000 * MSEC);
        call_done(&k);
        for (size_t i = 0; i < SG_N_ELEMENTS(fill); i++)
                close(fill[i]);
        close(hole);
}

static void test_unknown_name_is_a_fault(void **state)
{
        struct world *x = *state;
        struct caller k = {.n_sent = 0};

        x->endpoint = (struct sg_endpoint){.host = SG_STR("no-such-name.invalid"),
                                           .port = 80,
                                           .pool_key = SG_STR("name"),
                                           .connect_timeout_usec = 5 * SG_USEC_PER_SEC};
        call_start(&k, x);
        call_wait(&k);
        assert_fault(&k, SG_UPSTREAM_F_RESOLVE);
        assert_non_null(strstr(k.text, "no-such-name.invalid"));
        call_done(&k);
}

/* ---- the pool */

static void test_pool_keeps_no_more_than_its_maximum(void **state)
{
        static const struct act acts[] = {READ_REQUEST, ANSWER("2", "ok"), WAIT_CLOSE, END};
        struct world *x = *state;
        struct caller k[2] = {{.n_sent = 0}, {.n_sent = 0}};

        world_serve(x, acts, acts);
        x->endpoint.pool_max = 0;
        call_start(&k[0], x);
        call_wait(&k[0]);
        assert_int_equal(counts(x).n_idle, 0);
        x->endpoint.pool_max = 1;
        call_start(&k[1], x);
        call_wait(&k[1]);
        assert_int_equal(counts(x).n_idle, 1);
        sg_upstream_close_idle(x->upstream);
        assert_int_equal(counts(x).n_idle, 0);
        call_done(&k[0]);
        call_done(&k[1]);
}

static void test_idle_connection_ends_by_its_timeout(void **state)
{
        static const struct act acts[] = {READ_REQUEST, ANSWER("2", "ok"), WAIT_CLOSE, END};
        struct world *x = *state;
        struct caller k = {.n_sent = 0};

        world_serve(x, acts, NULL);
        x->endpoint.idle_timeout_usec = 20 * MSEC;
        call_start(&k, x);
        call_wait(&k);
        assert_int_equal(counts(x).n_idle, 1);
        wait_until_closed(x, 1);
        assert_int_equal(counts(x).n_idle, 0);
        call_done(&k);
}

static void test_other_key_does_not_share_connections(void **state)
{
        static const struct act acts[] = {READ_REQUEST, ANSWER("2", "ok"), END};
        struct world *x = *state;
        struct caller k = {.n_sent = 0}, other = {.n_sent = 0};

        world_serve(x, acts, acts);
        call_start(&k, x);
        call_wait(&k);
        x->endpoint.pool_key = SG_STR("other");
        call_start(&other, x);
        call_wait(&other);
        assert_answer(&other, 200, "ok");
        assert_false(other.was_reused);
        call_done(&k);
        call_done(&other);
}

/* ---- what comes in the very turn in which a connection is used again */

struct talker {
        struct world *x;
        struct caller first, second;
        struct sg_timer timer;
        int fds[2]; /* the far ends of the first and second connection */
        unsigned n_fds;
        const char *extra; /* what the first says uninvited; NULL: it closes */
};

/* Answers before it is asked: both ends are in this thread. */
static int talker_open(void *owner, int *ret_fd)
{
        static const char *const answers[] = {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none",
                                              "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo"};
        struct talker *t = owner;
        int fds[2];

        assert_true(t->n_fds < SG_N_ELEMENTS(t->fds));
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
        assert_true(write(fds[0], answers[t->n_fds], strlen(answers[t->n_fds])) > 0);
        t->fds[t->n_fds++] = fds[0];
        *ret_fd = fds[1];
        return 0;
}

/* The events of this turn are known already: what is written here is not among them. */
static void speak_and_call(struct sg_timer *timer, void *owner)
{
        struct talker *t = owner;

        assert_int_equal(counts(t->x).n_idle, 1);
        if (t->extra)
                assert_true(write(t->fds[0], t->extra, strlen(t->extra)) > 0);
        else
                assert_int_equal(shutdown(t->fds[0], SHUT_WR), 0);
        call_start(&t->second, t->x);
}

static void nothing_from_before_is_the_answer(struct world *x, const char *extra)
{
        struct talker t = {.x = x, .extra = extra};

        x->endpoint = (struct sg_endpoint){.host = SG_STR("talker"),
                                           .pool_key = SG_STR("talker"),
                                           .connect_timeout_usec = SG_USEC_PER_SEC,
                                           .idle_timeout_usec = 60 * SG_USEC_PER_SEC,
                                           .pool_max = 4,
                                           .open_builtin = talker_open,
                                           .builtin_owner = &t};
        t.second.request = (struct sg_upcall_request)GET_X;
        t.second.request.may_resend = false;
        call_start(&t.first, x);
        call_wait(&t.first);
        assert_answer(&t.first, 200, "one");
        assert_int_equal(sg_timer_init(&t.timer, x->loop, speak_and_call, &t), 0);
        sg_timer_start(&t.timer, 0);
        call_wait(&t.first); /* one more is over */
        assert_answer(&t.second, 200, "two");
        assert_false(t.second.was_reused);
        sg_timer_done(&t.timer);
        call_done(&t.first);
        call_done(&t.second);
        for (unsigned i = 0; i < t.n_fds; i++)
                close(t.fds[i]);
}

static void test_uninvited_bytes_of_this_turn_are_no_answer(void **state)
{
        nothing_from_before_is_the_answer(*state, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
}

static void test_close_in_this_turn_costs_no_second_attempt(void **state)
{
        nothing_from_before_is_the_answer(*state, NULL); /* the request may not be sent twice */
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_stale_connection_is_replaced_and_the_body_sent_again),
                TEST(test_without_leave_a_stale_connection_is_a_fault),
                TEST(test_fresh_connection_that_breaks_is_not_tried_again),
                TEST(test_answer_begun_on_a_reused_connection_is_not_asked_again),
                TEST(test_fewer_bytes_than_declared_are_truncated),
                TEST(test_chunked_without_its_end_is_truncated),
                TEST(test_reset_inside_the_answer_is_truncated),
                TEST(test_garbage_is_named),
                TEST(test_two_lengths_are_garbage),
                TEST(test_more_bytes_than_declared_cost_the_connection),
                TEST(test_idle_connection_that_closes_is_dropped),
                TEST(test_idle_connection_that_speaks_is_dropped),
                TEST(test_refused_connection_is_a_fault),
                TEST(test_second_address_is_tried_when_the_first_refuses),
                TEST(test_black_hole_times_out),
                TEST(test_unknown_name_is_a_fault),
                TEST(test_pool_keeps_no_more_than_its_maximum),
                TEST(test_idle_connection_ends_by_its_timeout),
                TEST(test_other_key_does_not_share_connections),
                TEST(test_uninvited_bytes_of_this_turn_are_no_answer),
                TEST(test_close_in_this_turn_costs_no_second_attempt),
        };

        return cmocka_run_group_tests(tests, make_ca, drop_ca);
}
