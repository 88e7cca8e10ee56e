/* Reading a PROXY header from a socket: it goes, what follows stays. */
#include "net_test.h"

#include "net/preface.h"

struct reader {
        struct sg_loop *loop;
        struct sg_timer limit;
        struct sg_preface preface;
        int near, far;
        unsigned n_ends;
        enum sg_preface_end end;
        char text[64];
};

static void on_end(struct sg_preface *p, enum sg_preface_end end, void *owner)
{
        struct reader *r = owner;

        r->n_ends++;
        r->end = end;
        (void)snprintf(r->text, sizeof(r->text), "%s", p->text);
        sg_loop_stop(r->loop);
}

static void on_limit(struct sg_timer *t, void *owner)
{
        fail_msg("nothing happened within the time limit");
}

static void reader_init(struct reader *r)
{
        *r = (struct reader){.loop = NULL};
        assert_int_equal(sg_loop_new(&r->loop), 0);
        assert_int_equal(sg_timer_init(&r->limit, r->loop, on_limit, r), 0);
        tcp_pair(&r->near, &r->far);
        assert_int_equal(sg_preface_init(&r->preface, r->loop, r->near, on_end, r), 0);
}

static void reader_done(struct reader *r)
{
        sg_preface_done(&r->preface);
        close(r->near);
        if (r->far >= 0)
                close(r->far);
        sg_timer_done(&r->limit);
        sg_loop_free(r->loop);
}

static void reader_run(struct reader *r)
{
        sg_timer_start(&r->limit, LIMIT_SEC * SG_USEC_PER_SEC);
        sg_loop_run(r->loop, SG_USEC_NEVER, NULL, NULL);
        sg_timer_stop(&r->limit);
        assert_int_equal(r->n_ends, 1);
}

static void send_all(struct reader *r, const char *bytes, size_t n)
{
        assert_int_equal(send(r->far, bytes, n, MSG_NOSIGNAL), n);
}

static void assert_left(struct reader *r, const char *expected)
{
        char left[64];
        ssize_t n = recv(r->near, left, sizeof(left), 0);

        assert_int_equal(n, strlen(expected));
        assert_memory_equal(left, expected, (size_t)n);
}

static void test_what_follows_the_header_stays_in_the_socket(void **state)
{
        static const char line[] = "PROXY TCP4 192.0.2.1 192.0.2.2 4711 80\r\nGET / HTTP/1.1\r\n";
        char out[SG_IP_TEXT_BYTES];
        struct reader r;

        reader_init(&r);
        send_all(&r, line, sizeof(line) - 1);
        reader_run(&r);
        assert_int_equal(r.end, SG_PREFACE_END_HEADER);
        assert_string_equal(sg_ip_text(&r.preface.header.source, out), "192.0.2.1");
        assert_left(&r, "GET / HTTP/1.1\r\n");
        reader_done(&r);
}

static void test_header_byte_by_byte(void **state)
{
        static const char header[] =
                "\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\x0a\x00\x00\x01\x12\x67\x01\xbb";
        struct reader r;

        reader_init(&r);
        for (size_t i = 0; i < sizeof(header) - 2; i++) {
                send_all(&r, &header[i], 1);
                run_few_turns(r.loop);
                assert_int_equal(r.n_ends, 0);
                assert_int_equal(sg_buf_length(&r.preface.taken), i + 1); /* taken: it does not wake us again */
        }
        send_all(&r, "\xbbrest", 5);
        reader_run(&r);
        assert_int_equal(r.end, SG_PREFACE_END_HEADER);
        assert_int_equal(r.preface.header.source_port, 4711);
        assert_left(&r, "rest");
        reader_done(&r);
}

static void test_what_is_no_header_is_told_in_words(void **state)
{
        struct reader r;

        reader_init(&r);
        send_all(&r, "GET / HTTP/1.1\r\n\r\n", 18);
        reader_run(&r);
        assert_int_equal(r.end, SG_PREFACE_END_BROKEN);
        assert_string_equal(r.text, "what came is none");
        reader_done(&r);
}

static void test_ends_before_and_within_the_header(void **state)
{
        struct reader r;

        reader_init(&r);
        assert_int_equal(shutdown(r.far, SHUT_WR), 0);
        reader_run(&r);
        assert_int_equal(r.end, SG_PREFACE_END_EMPTY);
        reader_done(&r);

        reader_init(&r);
        send_all(&r, "PROXY TCP4 1.2", 14);
        assert_int_equal(shutdown(r.far, SHUT_WR), 0);
        reader_run(&r);
        assert_int_equal(r.end, SG_PREFACE_END_CLOSED);
        reader_done(&r);

        reader_init(&r);
        reset_and_close(r.far);
        r.far = -1;
        reader_run(&r);
        assert_int_equal(r.end, SG_PREFACE_END_EMPTY);
        reader_done(&r);

        reader_init(&r);
        send_all(&r, "PROXY", 5);
        run_few_turns(r.loop);
        assert_int_equal(sg_buf_length(&r.preface.taken), 5);
        reset_and_close(r.far);
        r.far = -1;
        reader_run(&r);
        assert_int_equal(r.end, SG_PREFACE_END_CLOSED);
        assert_string_equal(r.text, "Connection reset by peer");
        reader_done(&r);
}

static void test_stream_takes_over_behind_the_header_with_another_peer(void **state)
{
        static const char line[] = "PROXY TCP4 192.0.2.1 192.0.2.2 4711 80\r\nhello";
        struct reader r;
        struct seen w;

        reader_init(&r);
        send_all(&r, line, sizeof(line) - 1);
        reader_run(&r);
        assert_int_equal(r.end, SG_PREFACE_END_HEADER);
        seen_init(&w);
        assert_int_equal(sg_stream_new_fd(&w.stream, w.loop, dup(r.near), NULL, &seen_listener, &w), 0);
        assert_non_null(strstr(sg_stream_peer(w.stream), "127.0.0.1:"));
        sg_stream_set_peer(w.stream, "192.0.2.1:4711");
        assert_string_equal(sg_stream_peer(w.stream), "192.0.2.1:4711");
        sg_stream_resume(w.stream);
        run_until(&w, has_bytes);
        assert_bytes(&w, "hello");
        seen_done(&w);
        reader_done(&r);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_follows_the_header_stays_in_the_socket),
                cmocka_unit_test(test_header_byte_by_byte),
                cmocka_unit_test(test_what_is_no_header_is_told_in_words),
                cmocka_unit_test(test_ends_before_and_within_the_header),
                cmocka_unit_test(test_stream_takes_over_behind_the_header_with_another_peer),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
