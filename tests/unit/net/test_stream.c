#include "net_test.h"

#include <pthread.h>

struct world {
        struct seen w; /* first: the callbacks' owner */
        int far;
};

static int setup_with(void **state, const struct sg_stream_options *options)
{
        static struct world x;
        int near;

        seen_init(&x.w);
        tcp_pair(&near, &x.far);
        assert_int_equal(sg_stream_new_fd(&x.w.stream, x.w.loop, near, options, &seen_listener, &x.w), 0);
        *state = &x;
        return 0;
}

static int setup(void **state)
{
        return setup_with(state, NULL);
}

static int setup_small(void **state)
{
        return setup_with(state, &(struct sg_stream_options){.in_bytes_max = 8, .out_bytes_max = 1000});
}

static int teardown(void **state)
{
        struct world *x = *state;

        seen_done(&x->w);
        if (x->far >= 0)
                close(x->far);
        return 0;
}

static void far_write(struct world *x, const char *text)
{
        assert_int_equal(send(x->far, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static void test_bytes_arrive_after_resume_only(void **state)
{
        struct world *x = *state;

        far_write(x, "hello");
        run_few_turns(x->w.loop);
        assert_int_equal(x->w.n_gives, 0);
        sg_stream_resume(x->w.stream);
        run_until(&x->w, has_bytes);
        assert_bytes(&x->w, "hello");
}

static bool has_two_gives(struct seen *w)
{
        return w->n_gives == 2;
}

static void test_unused_bytes_come_again_with_more(void **state)
{
        struct world *x = *state;

        x->w.uses_max = 2;
        sg_stream_resume(x->w.stream);
        far_write(x, "abcde");
        run_until(&x->w, has_bytes);
        assert_bytes(&x->w, "ab");
        run_few_turns(x->w.loop);
        assert_int_equal(x->w.n_gives, 1);
        far_write(x, "fg");
        run_until(&x->w, has_two_gives);
        assert_int_equal(x->w.largest_give, 5); /* cde and fg in one view */
        assert_bytes(&x->w, "cd");
}

static void test_paused_inside_bytes_keeps_the_rest(void **state)
{
        struct world *x = *state;

        x->w.uses_max = 3;
        x->w.pauses = true;
        sg_stream_resume(x->w.stream);
        far_write(x, "abcdef");
        run_until(&x->w, has_bytes);
        run_few_turns(x->w.loop);
        assert_bytes(&x->w, "abc");
        sg_stream_resume(x->w.stream);
        assert_int_equal(x->w.n_gives, 1); /* not from inside the call */
        run_until(&x->w, has_two_gives);
        assert_bytes(&x->w, "def");
}

static void test_reading_stops_at_the_limit(void **state)
{
        struct world *x = *state;

        x->w.uses_max = 1;
        x->w.pauses = true;
        sg_stream_resume(x->w.stream);
        far_write(x, "0123456789abcdef");
        run_until(&x->w, has_bytes);
        assert_int_equal(x->w.largest_give, 8);
        for (int i = 0; i < 15; i++) {
                unsigned before = x->w.n_gives;

                sg_stream_resume(x->w.stream);
                for (int t = 0; t < 50 && x->w.n_gives == before; t++)
                        run_few_turns(x->w.loop);
        }
        assert_true(x->w.largest_give <= 8);
        assert_bytes(&x->w, "0123456789abcdef");
}

static void test_eof_is_told_after_the_bytes(void **state)
{
        struct world *x = *state;

        sg_stream_resume(x->w.stream);
        far_write(x, "last");
        shutdown(x->far, SHUT_WR);
        run_until(&x->w, has_ended);
        assert_bytes(&x->w, "last");
        assert_int_equal(x->w.why, SG_STREAM_END_EOF);
        assert_false(sg_stream_is_open(x->w.stream));
}

static void test_writing_goes_on_after_eof(void **state)
{
        struct world *x = *state;
        char got[8] = "";

        sg_stream_resume(x->w.stream);
        shutdown(x->far, SHUT_WR);
        run_until(&x->w, has_ended);
        assert_int_equal(write_to(x->w.stream, "answer"), 0);
        assert_int_equal(recv(x->far, got, 6, MSG_WAITALL), 6);
        assert_string_equal(got, "answer");
        run_few_turns(x->w.loop);
        assert_int_equal(x->w.n_ends, 1);
}

static void test_hang_up_is_told_while_paused(void **state)
{
        struct world *x = *state;

        far_write(x, "unread");
        run_few_turns(x->w.loop);
        shutdown(x->far, SHUT_WR);
        run_until(&x->w, has_ended);
        assert_int_equal(x->w.why, SG_STREAM_END_EOF);
        sg_stream_resume(x->w.stream);
        run_few_turns(x->w.loop);
        assert_int_equal(x->w.n_gives, 0); /* nothing after the end */
        assert_int_equal(x->w.n_ends, 1);
}

static void test_reset_is_told_while_paused(void **state)
{
        struct world *x = *state;

        far_write(x, "unread");
        run_few_turns(x->w.loop);
        reset_and_close(x->far);
        x->far = -1;
        run_until(&x->w, has_ended);
        assert_int_equal(x->w.n_ends, 1);
}

static void test_unwatched_eof_waits_and_loses_nothing(void **state)
{
        struct world *x = *state;

        sg_stream_watch_eof(x->w.stream, false);
        far_write(x, "all of it");
        shutdown(x->far, SHUT_WR);
        run_few_turns(x->w.loop);
        assert_int_equal(x->w.n_ends, 0);
        sg_stream_watch_eof(x->w.stream, true);
        sg_stream_resume(x->w.stream);
        run_until(&x->w, has_ended);
        assert_bytes(&x->w, "all of it");
        assert_int_equal(x->w.why, SG_STREAM_END_EOF);
}

static void test_unwatched_eof_is_not_told_to_a_reader(void **state)
{
        struct world *x = *state;

        sg_stream_watch_eof(x->w.stream, false);
        sg_stream_resume(x->w.stream);
        far_write(x, "x");
        shutdown(x->far, SHUT_WR);
        run_few_turns(x->w.loop);
        assert_bytes(&x->w, "x");
        assert_int_equal(x->w.n_ends, 0);
        sg_stream_watch_eof(x->w.stream, true);
        run_until(&x->w, has_ended);
        assert_int_equal(x->w.why, SG_STREAM_END_EOF);
}

static void test_reset_is_told_once(void **state)
{
        struct world *x = *state;

        sg_stream_resume(x->w.stream);
        reset_and_close(x->far);
        x->far = -1;
        run_until(&x->w, has_ended);
        assert_int_equal(x->w.why, SG_STREAM_END_RESET);
        assert_true(strlen(x->w.text) > 0);
        assert_int_equal(write_to(x->w.stream, "x"), SG_STREAM_E_CLOSED);
        sg_stream_resume(x->w.stream);
        run_few_turns(x->w.loop);
        assert_int_equal(x->w.n_ends, 1);
}

static void test_write_error_is_told_after_the_call(void **state)
{
        struct world *x = *state;
        int r = 0;

        reset_and_close(x->far);
        x->far = -1;
        for (int i = 0; i < 10 && r == 0; i++)
                r = write_to(x->w.stream, "into the void");
        assert_int_equal(r, SG_STREAM_E_CLOSED);
        assert_int_equal(x->w.n_ends, 0); /* not from inside */
        run_until(&x->w, has_ended);
        assert_int_equal(x->w.why, SG_STREAM_END_RESET);
        assert_int_equal(x->w.n_ends, 1);
}

static void test_last_words_are_given_before_a_write_error(void **state)
{
        struct world *x = *state;
        int r = 0;

        /* A server that refuses a body: it answers, and resets because it leaves bytes unread. */
        assert_int_equal(write_to(x->w.stream, "a long body"), 0);
        far_write(x, "413 Too Large");
        close(x->far);
        x->far = -1;
        for (int i = 0; i < 10 && r == 0; i++)
                r = write_to(x->w.stream, "more of it");
        assert_int_equal(r, SG_STREAM_E_CLOSED);
        sg_stream_resume(x->w.stream);
        run_until(&x->w, has_ended);
        assert_bytes(&x->w, "413 Too Large");
        assert_int_equal(x->w.why, SG_STREAM_END_RESET);
        assert_int_equal(x->w.n_ends, 1);
}

static void test_pieces_are_sent_in_order(void **state)
{
        struct world *x = *state;
        struct sg_str pieces[200];
        char got[200], expected[200];

        for (size_t i = 0; i < 200; i++) {
                expected[i] = (char)('a' + i % 26);
                pieces[i] = sg_str_make(&expected[i], i % 7 ? 1 : 0); /* some are empty */
        }
        assert_int_equal(sg_stream_write(x->w.stream, pieces, 200), 0);
        assert_int_equal(sg_stream_queued(x->w.stream), 0);
        assert_int_equal(recv(x->far, got, 171, MSG_WAITALL), 171);
        for (size_t i = 0, k = 0; i < 200; i++)
                if (i % 7)
                        assert_int_equal(got[k++], expected[i]);
}

static void test_shutdown_sends_fin_after_the_queue(void **state)
{
        struct world *x = *state;
        static char big[4 * 1024 * 1024], got[65536];
        const struct sg_str piece = sg_str_make(big, sizeof(big));
        size_t n = 0;
        ssize_t k;

        assert_int_equal(sg_stream_write(x->w.stream, &piece, 1), 0);
        assert_true(sg_stream_queued(x->w.stream) > 0);
        assert_true(sg_stream_is_full(x->w.stream));
        sg_stream_shutdown(x->w.stream);
        assert_int_equal(write_to(x->w.stream, "late"), SG_STREAM_E_CLOSED);
        fcntl(x->far, F_SETFL, O_NONBLOCK);
        for (;;) {
                k = recv(x->far, got, sizeof(got), 0);
                if (k == 0)
                        break;
                if (k > 0)
                        n += (size_t)k;
                else
                        run_few_turns(x->w.loop);
        }
        assert_int_equal(n, sizeof(big));
        assert_true(x->w.n_drained >= 1);
}

/* ---- ten megabytes through a reader of one kilobyte */

#define BULK_BYTES (10u * 1024u * 1024u)

static char pattern(size_t at)
{
        return (char)(at * 2654435761u >> 13);
}

static void *read_slowly(void *arg)
{
        const int fd = *(int *)arg;
        size_t at = 0, n_wrong = 0;
        char got[1024];
        ssize_t n;

        while ((n = recv(fd, got, sizeof(got), 0)) > 0)
                for (ssize_t i = 0; i < n; i++)
                        n_wrong += got[i] != pattern(at++);
        return (void *)(at == BULK_BYTES && n == 0 ? n_wrong : SIZE_MAX);
}

struct source {
        struct seen w;
        size_t at;
};

static void pour(struct source *o)
{
        char chunk[7777];

        while (o->at < BULK_BYTES && !sg_stream_is_full(o->w.stream)) {
                struct sg_str pieces[2];
                size_t n = SG_MIN(sizeof(chunk), (size_t)BULK_BYTES - o->at);

                for (size_t i = 0; i < n; i++)
                        chunk[i] = pattern(o->at + i);
                pieces[0] = sg_str_make(chunk, n / 3);
                pieces[1] = sg_str_make(chunk + n / 3, n - n / 3);
                assert_int_equal(sg_stream_write(o->w.stream, pieces, 2), 0);
                o->at += n;
        }
        if (o->at == BULK_BYTES)
                sg_stream_shutdown(o->w.stream);
}

static void on_room(struct sg_stream *s, void *owner)
{
        struct source *o = owner;

        o->w.n_drained++;
        if (o->at < BULK_BYTES)
                pour(o);
        seen_check(&o->w);
}

static bool has_poured(struct seen *w)
{
        struct source *o = (struct source *)w;

        return o->at == BULK_BYTES && sg_stream_queued(w->stream) == 0;
}

static void test_slow_reader_gets_every_byte(void **state)
{
        static const struct sg_stream_listener listener = {
                .on_bytes = seen_on_bytes, .on_drained = on_room, .on_end = seen_on_end};
        const int small = 4096;
        struct source o;
        pthread_t thread;
        void *n_wrong;
        int near, far;

        seen_init(&o.w);
        o.at = 0;
        tcp_pair(&near, &far);
        assert_int_equal(setsockopt(near, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
        assert_int_equal(sg_stream_new_fd(&o.w.stream, o.w.loop, near, NULL, &listener, &o), 0);
        assert_int_equal(pthread_create(&thread, NULL, read_slowly, &far), 0);
        pour(&o);
        run_until(&o.w, has_poured);
        assert_int_equal(pthread_join(thread, &n_wrong), 0);
        assert_int_equal((size_t)n_wrong, 0);
        assert_true(o.w.n_drained > 1);
        close(far);
        seen_done(&o.w);
}

static bool has_bulk(struct seen *w)
{
        return sg_buf_length(&w->bytes) >= BULK_BYTES || w->n_ends;
}

static void *write_torn(void *arg)
{
        const int fd = *(int *)arg;
        char chunk[3001];

        for (size_t at = 0; at < BULK_BYTES;) {
                size_t n = SG_MIN(1 + at % sizeof(chunk), (size_t)BULK_BYTES - at);

                for (size_t i = 0; i < n; i++)
                        chunk[i] = pattern(at + i);
                if (send(fd, chunk, n, MSG_NOSIGNAL) != (ssize_t)n)
                        return arg;
                at += n;
        }
        return NULL;
}

static void test_torn_writes_arrive_whole_at_a_stubborn_listener(void **state)
{
        struct world *x = *state;
        pthread_t thread;
        void *failed;

        x->w.uses_max = 1024; /* the rest is kept, and given again with the next read or the next resume */
        sg_stream_resume(x->w.stream);
        assert_int_equal(pthread_create(&thread, NULL, write_torn, &x->far), 0);
        while (sg_buf_length(&x->w.bytes) < BULK_BYTES) {
                sg_stream_resume(x->w.stream);
                run_until(&x->w, has_bytes);
                sg_loop_run(x->w.loop, MSEC, count_down, &(struct few_turns){x->w.loop, 1});
        }
        assert_true(has_bulk(&x->w));
        assert_int_equal(pthread_join(thread, &failed), 0);
        assert_null(failed);
        for (size_t i = 0; i < BULK_BYTES; i++)
                if (sg_buf_view(&x->w.bytes).p[i] != pattern(i))
                        fail_msg("byte %zu is wrong", i);
}

/* ---- freeing inside callbacks */

static void test_free_inside_bytes(void **state)
{
        struct world *x = *state;

        x->w.frees_on_bytes = true;
        x->w.uses_max = 1;
        sg_stream_resume(x->w.stream);
        far_write(x, "abc");
        shutdown(x->far, SHUT_WR);
        run_until(&x->w, has_bytes);
        run_few_turns(x->w.loop);
        assert_null(x->w.stream);
        assert_int_equal(x->w.n_ends, 0);
        assert_int_equal(x->w.n_gives, 1);
}

static void test_free_inside_end(void **state)
{
        struct world *x = *state;

        x->w.frees_on_end = true;
        sg_stream_resume(x->w.stream);
        reset_and_close(x->far);
        x->far = -1;
        run_until(&x->w, has_ended);
        run_few_turns(x->w.loop);
        assert_null(x->w.stream);
        assert_int_equal(x->w.n_ends, 1);
}

static bool is_gone(struct seen *w)
{
        return !w->stream;
}

static void test_free_inside_drained(void **state)
{
        struct world *x = *state;
        static char big[4 * 1024 * 1024], got[65536];
        const struct sg_str piece = sg_str_make(big, sizeof(big));

        x->w.frees_on_drained = true;
        assert_int_equal(sg_stream_write(x->w.stream, &piece, 1), 0);
        fcntl(x->far, F_SETFL, O_NONBLOCK);
        while (!is_gone(&x->w)) {
                while (recv(x->far, got, sizeof(got), 0) > 0)
                        ;
                run_few_turns(x->w.loop);
        }
        assert_int_equal(x->w.n_drained, 1);
}

static void test_free_with_a_told_end_pending(void **state)
{
        struct world *x = *state;
        int r = 0;

        reset_and_close(x->far);
        x->far = -1;
        for (int i = 0; i < 10 && r == 0; i++)
                r = write_to(x->w.stream, "x");
        x->w.stream = sg_stream_free(x->w.stream);
        run_few_turns(x->w.loop);
        assert_int_equal(x->w.n_ends, 0);
}

static void test_another_listener_takes_over_with_kept_bytes(void **state)
{
        struct world *x = *state;
        struct seen other = {.loop = x->w.loop};

        sg_buf_init(&other.bytes, SIZE_MAX);
        x->w.uses_max = 1;
        x->w.pauses = true;
        sg_stream_resume(x->w.stream);
        far_write(x, "abc");
        run_until(&x->w, has_bytes);
        sg_stream_set_listener(x->w.stream, &seen_listener, &other);
        sg_stream_resume(x->w.stream);
        run_few_turns(x->w.loop);
        assert_bytes(&other, "bc");
        assert_bytes(&x->w, "a");
        sg_buf_done(&other.bytes);
}

static void test_peer_is_named(void **state)
{
        struct world *x = *state;
        struct sockaddr_in a;
        socklen_t n = sizeof(a);
        char expected[64];

        assert_int_equal(getsockname(x->far, (struct sockaddr *)&a, &n), 0);
        (void)snprintf(expected, sizeof(expected), "127.0.0.1:%u", ntohs(a.sin_port));
        assert_string_equal(sg_stream_peer(x->w.stream), expected);
}

#define TEST(name)       cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_SMALL(name) cmocka_unit_test_setup_teardown(name, setup_small, teardown)

#define N_LOUD           8
#define GIVES_MAX        (N_LOUD * 40u) /* before a byte of another must have been given: a few turns */
#define LOUD_GIVES_MAX   20000u

struct crowd {
        struct sg_loop *loop;
        struct loud {
                struct crowd *all;
                struct sg_stream *stream;
                int far;
        } loud[N_LOUD + 1]; /* the last is the quiet one */
        unsigned n_gives, gives_at_byte;
};

static char noise[64 * 1024];

/* There are always more bytes: as many as the socket takes follow what was read. */
static size_t on_noise(struct sg_stream *s, struct sg_str bytes, void *owner)
{
        struct loud *l = owner;
        struct crowd *c = l->all;

        if (l == &c->loud[N_LOUD]) {
                sg_loop_stop(c->loop);
                return bytes.n;
        }
        if (c->n_gives++ == N_LOUD * 10) {
                assert_int_equal(send(c->loud[N_LOUD].far, "x", 1, MSG_NOSIGNAL), 1);
                c->gives_at_byte = c->n_gives;
        }
        if (c->n_gives < LOUD_GIVES_MAX)
                (void)send(l->far, noise, sizeof(noise), MSG_NOSIGNAL | MSG_DONTWAIT);
        else
                sg_loop_stop(c->loop);
        return bytes.n;
}

static void test_who_always_has_bytes_starves_nobody(void **state)
{
        static const struct sg_stream_listener listener = {.on_bytes = on_noise};
        static struct crowd c;

        c = (struct crowd){.loop = NULL};
        assert_int_equal(sg_loop_new(&c.loop), 0);
        for (size_t i = 0; i <= N_LOUD; i++) {
                int near;

                tcp_pair(&near, &c.loud[i].far);
                c.loud[i].all = &c;
                assert_int_equal(sg_stream_new_fd(&c.loud[i].stream, c.loop, near, NULL, &listener, &c.loud[i]), 0);
                sg_stream_resume(c.loud[i].stream);
                if (i < N_LOUD)
                        (void)send(c.loud[i].far, noise, sizeof(noise), MSG_NOSIGNAL | MSG_DONTWAIT);
        }
        sg_loop_run(c.loop, SG_USEC_NEVER, NULL, NULL);
        assert_true(c.gives_at_byte > 0);
        assert_in_range(c.n_gives - c.gives_at_byte, 0, GIVES_MAX);
        for (size_t i = 0; i <= N_LOUD; i++) {
                sg_stream_free(c.loud[i].stream);
                close(c.loud[i].far);
        }
        sg_loop_free(c.loop);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_bytes_arrive_after_resume_only),
                TEST(test_unused_bytes_come_again_with_more),
                TEST(test_paused_inside_bytes_keeps_the_rest),
                TEST_SMALL(test_reading_stops_at_the_limit),
                TEST(test_eof_is_told_after_the_bytes),
                TEST(test_writing_goes_on_after_eof),
                TEST(test_hang_up_is_told_while_paused),
                TEST(test_reset_is_told_while_paused),
                TEST(test_unwatched_eof_waits_and_loses_nothing),
                TEST(test_unwatched_eof_is_not_told_to_a_reader),
                TEST(test_reset_is_told_once),
                TEST(test_write_error_is_told_after_the_call),
                TEST(test_last_words_are_given_before_a_write_error),
                TEST(test_pieces_are_sent_in_order),
                TEST_SMALL(test_shutdown_sends_fin_after_the_queue),
                cmocka_unit_test(test_slow_reader_gets_every_byte),
                TEST(test_torn_writes_arrive_whole_at_a_stubborn_listener),
                TEST(test_free_inside_bytes),
                TEST(test_free_inside_end),
                TEST(test_free_inside_drained),
                TEST(test_free_with_a_told_end_pending),
                TEST(test_another_listener_takes_over_with_kept_bytes),
                TEST(test_peer_is_named),
                cmocka_unit_test(test_who_always_has_bytes_starves_nobody),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
