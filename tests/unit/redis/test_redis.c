/* The client against a server that says what a test wants, on loopback and in the same loop. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "redis_test.h"

#define INFO_OK     "$45\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\n\r\n"
#define REPLIES_MAX 64

struct fake {
        struct world *world;
        int listener;
        struct sockaddr_in address;
        struct sg_io io;
        struct sg_stream *stream;
        const char *info;                 /* what INFO is answered; NULL: nothing */
        const char *replies[REPLIES_MAX]; /* to the other commands, in their order; NULL: nothing any more */
        bool closes_at_once, closes_after_greeting;
        unsigned n_accepted, n_commands, at;
        struct sg_buf got; /* the words of all commands, with '|' between commands */
};

/* One command from the front of bytes, or false. */
static bool cut_command(struct sg_str *bytes, struct sg_buf *words)
{
        struct sg_str rest = *bytes, line;
        uint64_t n, length;
        size_t end = sg_str_find(rest, SG_STR("\r\n"));

        if (end == rest.n)
                return false;
        line = sg_str_head(rest, end);
        assert_true(line.n > 1 && line.p[0] == '*');
        assert_int_equal(sg_str_to_u64(sg_str_skip(line, 1), &n), 0);
        rest = sg_str_skip(rest, end + 2);
        for (uint64_t i = 0; i < n; i++) {
                end = sg_str_find(rest, SG_STR("\r\n"));
                if (end == rest.n)
                        return false;
                assert_true(rest.p[0] == '$');
                assert_int_equal(sg_str_to_u64(sg_str_skip(sg_str_head(rest, end), 1), &length), 0);
                rest = sg_str_skip(rest, end + 2);
                if (rest.n < length + 2)
                        return false;
                if (i)
                        assert_int_equal(sg_buf_add(words, SG_STR(" ")), 0);
                assert_int_equal(sg_buf_add(words, sg_str_head(rest, length)), 0);
                rest = sg_str_skip(rest, length + 2);
        }
        assert_int_equal(sg_buf_add(words, SG_STR("|")), 0);
        *bytes = rest;
        return true;
}

static void fake_say(struct fake *f, const char *text)
{
        const struct sg_str piece = sg_str_from(text);

        assert_int_equal(sg_stream_write(f->stream, &piece, 1), 0);
}

static void fake_answer(struct fake *f, struct sg_str command)
{
        if (sg_str_eq(command, SG_STR("INFO server|"))) {
                if (f->info)
                        fake_say(f, f->info);
                if (f->closes_after_greeting)
                        f->stream = sg_stream_free(f->stream);
                return;
        }
        if (f->at < REPLIES_MAX && f->replies[f->at])
                fake_say(f, f->replies[f->at++]);
}

static size_t fake_on_bytes(struct sg_stream *s, struct sg_str bytes, void *owner)
{
        struct fake *f = owner;
        const size_t all = bytes.n;
        size_t before = sg_buf_length(&f->got);

        while (f->stream && cut_command(&bytes, &f->got)) {
                f->n_commands++;
                fake_answer(f, sg_str_skip(sg_buf_view(&f->got), before));
                before = sg_buf_length(&f->got);
        }
        world_check(f->world);
        return all - bytes.n;
}

static void fake_on_end(struct sg_stream *s, enum sg_stream_end why, void *owner)
{
        struct fake *f = owner;

        f->stream = sg_stream_free(f->stream);
        world_check(f->world);
}

static void fake_on_open(struct sg_stream *s, void *owner)
{
}

static const struct sg_stream_listener fake_listener = {fake_on_open, fake_on_bytes, fake_on_open, fake_on_end};

static void fake_on_ready(struct sg_io *io, unsigned ready, void *owner)
{
        struct fake *f = owner;
        int fd = accept4(f->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0)
                return;
        f->n_accepted++;
        f->stream = sg_stream_free(f->stream);
        if (f->closes_at_once) {
                close(fd);
                return;
        }
        assert_int_equal(sg_stream_new_fd(&f->stream, f->world->loop, fd, NULL, &fake_listener, f), 0);
        sg_stream_resume(f->stream);
}

static void fake_init(struct fake *f, struct world *w)
{
        socklen_t n = sizeof(f->address);

        *f = (struct fake){.world = w, .info = INFO_OK};
        f->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        f->address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        assert_int_equal(bind(f->listener, (struct sockaddr *)&f->address, sizeof(f->address)), 0);
        assert_int_equal(listen(f->listener, 16), 0);
        assert_int_equal(getsockname(f->listener, (struct sockaddr *)&f->address, &n), 0);
        assert_int_equal(sg_io_init(&f->io, w->loop, f->listener, fake_on_ready, f), 0);
        sg_io_set(&f->io, SG_IO_READ);
        sg_buf_init(&f->got, 1 << 20);
}

static void fake_done(struct fake *f)
{
        f->stream = sg_stream_free(f->stream);
        sg_io_done(&f->io);
        close(f->listener);
        sg_buf_done(&f->got);
}

static struct sg_redis_options options_for(const struct fake *f)
{
        return (struct sg_redis_options){.host = "127.0.0.1", .port = ntohs(f->address.sin_port)};
}

static void assert_got(struct fake *f, const char *words)
{
        const struct sg_str got = sg_buf_view(&f->got);

        if (!sg_str_eq(got, sg_str_from(words)))
                fail_msg("the server got \"" SG_STR_FMT "\"", SG_STR_ARG(got));
}

static void start(struct world *w, struct fake *f)
{
        struct sg_redis_options o;

        world_init(w);
        fake_init(f, w);
        o = options_for(f);
        world_connect(w, &o);
}

static void stop(struct world *w, struct fake *f)
{
        fake_done(f);
        world_done(w);
}

/* ---- */

static struct asked asked[8];
static struct fake *the_fake;

static void forget_asked(void)
{
        memset(asked, 0, sizeof(asked));
        n_answers_in_all = 0;
}

static bool three_are_answered(struct world *w)
{
        return asked[0].n_answers && asked[1].n_answers && asked[2].n_answers;
}

static bool first_is_answered(struct world *w)
{
        return asked[0].n_answers > 0;
}

static void test_commands_are_answered_in_their_order(void **state)
{
        struct world w;
        struct fake f;

        forget_asked();
        start(&w, &f);
        f.replies[0] = "+one\r\n";
        f.replies[1] = ":2\r\n";
        f.replies[2] = "-ERR three\r\n";
        assert_int_equal(ask(&w, &asked[0], "A"), SG_REDIS_E_OUT);
        world_run_until(&w, world_is_ready);
        assert_string_equal(sg_redis_version(w.redis), "7.0.15");
        assert_int_equal(ask(&w, &asked[0], "A 1 2"), 0);
        assert_int_equal(ask(&w, &asked[1], "B"), 0);
        assert_int_equal(ask(&w, &asked[2], "C x"), 0);
        world_run_until(&w, three_are_answered);
        assert_got(&f, "INFO server|A 1 2|B|C x|");
        assert_string_equal(asked[0].text, "one");
        assert_int_equal(asked[1].integer, 2);
        assert_int_equal(asked[2].kind, SG_REDIS_ERROR);
        assert_true(asked[0].place == 1 && asked[1].place == 2 && asked[2].place == 3);
        assert_int_equal(w.n_out, 0);
        stop(&w, &f);
}

static void test_greeting_authenticates_and_selects(void **state)
{
        struct sg_redis_options o;
        struct sg_secret *password;
        struct world w;
        struct fake f;

        world_init(&w);
        fake_init(&f, &w);
        f.replies[0] = f.replies[1] = "+OK\r\n";
        o = options_for(&f);
        assert_int_equal(sg_secret_new(&password, SG_STR("hunter2")), 0);
        o.user = "scribe";
        o.password = password;
        o.database = 3;
        world_connect(&w, &o);
        sg_secret_unref(password);
        world_run_until(&w, world_is_ready);
        assert_got(&f, "AUTH scribe hunter2|SELECT 3|INFO server|");
        stop(&w, &f);
}

/* Each ends the connection with words, and is tried again. */
static void refuse(const char *info, const char *reply, const char *says)
{
        struct sg_redis_options o;
        struct world w;
        struct fake f;

        forget_asked();
        world_init(&w);
        fake_init(&f, &w);
        f.info = info;
        f.replies[0] = reply;
        o = options_for(&f);
        o.database = reply ? 1 : 0;
        o.connect_usec = 200 * MSEC;
        world_connect(&w, &o);
        world_run_until(&w, world_was_out);
        if (!strstr(w.why, says))
                fail_msg("refused with \"%s\", not \"%s\"", w.why, says);
        assert_false(sg_redis_is_ready(w.redis));
        f.info = INFO_OK;
        f.replies[f.at] = "+OK\r\n";
        world_run_until(&w, world_is_ready);
        stop(&w, &f);
}

static void test_a_greeting_that_is_refused(void **state)
{
        refuse("$42\r\nredis_version:7.0.15\r\nredis_mode:cluster\r\n\r\n", NULL, "belongs to a Redis Cluster");
        refuse("$43\r\nredis_version:7.0.15\r\nredis_mode:sentinel\r\n\r\n", NULL, "Sentinel");
        refuse("$22\r\nredis_version:4.0.14\r\n\r\n", NULL, "Redis 4.0.14; version 5");
        refuse("-LOADING Redis is loading the dataset in memory\r\n", NULL, "loading its data");
        refuse("-NOAUTH Authentication required.\r\n", NULL, "set [redis] password");
        refuse(INFO_OK, "-ERR DB index is out of range\r\n", "mend the number");
        refuse(INFO_OK, "$2\r\nOK\r\n", "not an answer of Redis");
        refuse(":1\r\n", NULL, "not an answer of Redis");
        refuse("HTTP/1.1 400 Bad Request\r\n\r\n", NULL, "not an answer of Redis");
        refuse("*2147483647\r\n", NULL, "too long");
        refuse(NULL, NULL, "gave no answer within 200 ms");
        refuse(INFO_OK INFO_OK, NULL, "answered what was not asked");
}

static void test_who_may_not_ask_for_info_is_served(void **state)
{
        struct world w;
        struct fake f;

        start(&w, &f);
        f.info = "-NOPERM this user has no permissions to run the 'info' command\r\n";
        world_run_until(&w, world_is_ready);
        assert_string_equal(sg_redis_version(w.redis), "");
        f.replies[0] = "+PONG\r\n";
        forget_asked();
        assert_int_equal(ask(&w, &asked[0], "PING"), 0);
        world_run_until(&w, first_is_answered);
        assert_int_equal(w.n_out, 0);
        stop(&w, &f);
}

static void test_a_lost_connection_answers_with_nothing(void **state)
{
        struct world w;
        struct fake f;

        forget_asked();
        start(&w, &f);
        world_run_until(&w, world_is_ready);
        assert_int_equal(ask(&w, &asked[0], "A"), 0);
        assert_int_equal(ask(&w, &asked[1], "B"), 0);
        assert_int_equal(ask(&w, &asked[2], "C"), 0);
        f.stream = sg_stream_free(f.stream);
        world_run_until(&w, three_are_answered);
        assert_true(asked[0].is_lost && asked[1].is_lost && asked[2].is_lost);
        assert_int_equal(w.n_out, 1);
        world_run_until(&w, world_is_ready);
        assert_int_equal(f.n_accepted, 2);
        stop(&w, &f);
}

static void test_no_answer_is_a_half_open_connection(void **state)
{
        struct sg_redis_options o;
        struct world w;
        struct fake f;

        forget_asked();
        world_init(&w);
        fake_init(&f, &w);
        o = options_for(&f);
        o.answer_usec = 60 * MSEC;
        world_connect(&w, &o);
        world_run_until(&w, world_is_ready);
        assert_int_equal(ask(&w, &asked[0], "A"), 0);
        world_run_until(&w, first_is_answered);
        assert_true(asked[0].is_lost);
        world_run_until(&w, world_was_out);
        assert_string_equal(w.why, "it gave no answer within 60 ms");
        world_run_until(&w, world_is_ready);
        stop(&w, &f);
}

static void test_errors_of_the_whole_end_the_connection(void **state)
{
        static const char *const errors[] = {"-READONLY You can't write\r\n", "-OOM command not allowed\r\n",
                                             "-CLUSTERDOWN Hash slot not served\r\n", "-MOVED 1 127.0.0.1:1\r\n"};

        for (size_t i = 0; i < SG_N_ELEMENTS(errors); i++) {
                struct world w;
                struct fake f;

                forget_asked();
                start(&w, &f);
                f.replies[0] = errors[i];
                world_run_until(&w, world_is_ready);
                assert_int_equal(ask(&w, &asked[0], "A"), 0);
                assert_int_equal(ask(&w, &asked[1], "B"), 0);
                world_run_until(&w, world_was_out);
                assert_int_equal(asked[0].kind, SG_REDIS_ERROR);
                assert_true(asked[1].is_lost);
                world_run_until(&w, world_is_ready);
                stop(&w, &f);
        }
}

static void test_noscript_is_the_askers_own(void **state)
{
        struct world w;
        struct fake f;

        forget_asked();
        start(&w, &f);
        f.replies[0] = "-NOSCRIPT No matching script\r\n";
        f.replies[1] = "+OK\r\n";
        f.replies[2] = "+OK\r\n";
        world_run_until(&w, world_is_ready);
        assert_int_equal(ask(&w, &asked[0], "A"), 0);
        assert_int_equal(ask(&w, &asked[1], "B"), 0);
        assert_int_equal(ask(&w, &asked[2], "C"), 0);
        world_run_until(&w, three_are_answered);
        assert_int_equal(w.n_out, 0);
        stop(&w, &f);
}

static bool is_freed(struct world *w)
{
        return !w->redis;
}

static void test_it_may_be_freed_in_any_callback(void **state)
{
        struct world w;
        struct fake f;

        forget_asked();
        start(&w, &f);
        f.replies[0] = "+OK\r\n+OK\r\n";
        world_run_until(&w, world_is_ready);
        asked[0].frees = true;
        assert_int_equal(ask(&w, &asked[0], "A"), 0);
        assert_int_equal(ask(&w, &asked[1], "B"), 0);
        world_run_until(&w, is_freed);
        assert_int_equal(asked[1].n_answers, 0);
        stop(&w, &f);

        forget_asked();
        start(&w, &f);
        world_run_until(&w, world_is_ready);
        asked[0].frees = true;
        assert_int_equal(ask(&w, &asked[0], "A"), 0);
        assert_int_equal(ask(&w, &asked[1], "B"), 0);
        f.stream = sg_stream_free(f.stream);
        world_run_until(&w, is_freed);
        assert_int_equal(asked[1].n_answers, 0);
        stop(&w, &f);

        start(&w, &f);
        w.frees_when_out = true;
        f.closes_at_once = true;
        world_run_until(&w, is_freed);
        stop(&w, &f);
}

static bool five_attempts(struct world *w)
{
        return w->n_out >= 5;
}

static void test_attempts_become_rarer(void **state)
{
        uint64_t begun;
        struct world w;
        struct fake f;

        start(&w, &f);
        f.closes_at_once = true;
        begun = sg_clock_usec();
        world_run_until(&w, five_attempts);
        /* 50, 100, 200 and 400 ms, each at least half of it. */
        assert_true(sg_clock_usec() - begun >= 375 * MSEC);
        stop(&w, &f);
}

static void test_a_server_that_greets_and_closes_is_not_hammered(void **state)
{
        uint64_t begun;
        struct world w;
        struct fake f;

        start(&w, &f);
        f.closes_after_greeting = true;
        begun = sg_clock_usec();
        world_run_until(&w, five_attempts);
        assert_true(sg_clock_usec() - begun >= 375 * MSEC);
        stop(&w, &f);
}

static void test_nobody_is_there(void **state)
{
        struct sg_redis_options o;
        struct world w;
        struct fake f;

        world_init(&w);
        fake_init(&f, &w);
        o = options_for(&f);
        fake_done(&f);
        world_connect(&w, &o);
        world_run_until(&w, world_was_out);
        assert_string_equal(w.why, "Connection refused");
        world_done(&w);

        w = (struct world){};
        world_init(&w);
        o = (struct sg_redis_options){.socket_path = "/nonexistent/redis.sock"};
        world_connect(&w, &o);
        world_run_until(&w, world_was_out);
        assert_string_equal(w.why, "No such file or directory");
        world_done(&w);
}

static bool fake_has_many(struct world *w)
{
        return the_fake->n_commands > SG_REDIS_COMMANDS_MAX;
}

static void test_what_is_unanswered_is_bounded(void **state)
{
        struct asked *many = calloc(SG_REDIS_COMMANDS_MAX, sizeof(*many));
        struct asked one_more = {};
        struct world w;
        struct fake f;

        start(&w, &f);
        the_fake = &f;
        world_run_until(&w, world_is_ready);
        for (size_t i = 0; i < SG_REDIS_COMMANDS_MAX; i++)
                assert_int_equal(ask(&w, &many[i], "A"), 0);
        assert_int_equal(ask(&w, &one_more, "A"), SG_REDIS_E_FULL);
        world_run_until(&w, fake_has_many);
        stop(&w, &f);
        free(many);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_commands_are_answered_in_their_order),
                cmocka_unit_test(test_greeting_authenticates_and_selects),
                cmocka_unit_test(test_a_greeting_that_is_refused),
                cmocka_unit_test(test_who_may_not_ask_for_info_is_served),
                cmocka_unit_test(test_a_lost_connection_answers_with_nothing),
                cmocka_unit_test(test_no_answer_is_a_half_open_connection),
                cmocka_unit_test(test_errors_of_the_whole_end_the_connection),
                cmocka_unit_test(test_noscript_is_the_askers_own),
                cmocka_unit_test(test_it_may_be_freed_in_any_callback),
                cmocka_unit_test(test_attempts_become_rarer),
                cmocka_unit_test(test_a_server_that_greets_and_closes_is_not_hammered),
                cmocka_unit_test(test_nobody_is_there),
                cmocka_unit_test(test_what_is_unanswered_is_bounded),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
