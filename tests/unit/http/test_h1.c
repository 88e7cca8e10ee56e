/* Limits, states, ends and the writers. */
#include "cases.h"

static struct sg_head head; /* large */
static struct sg_h1_event ev;

/* As much as the first call takes of it; the event is in `ev`. */
static int feed(struct sg_h1 *p, const char *bytes)
{
        return sg_h1_next(p, sg_str_from(bytes), &head, &ev);
}

/* "GET /" and n_target bytes more, then fields of name_bytes and value_bytes each. */
static void build(struct sg_buf *b, size_t n_target, size_t n_fields, size_t name_bytes, size_t value_bytes)
{
        sg_buf_init(b, SIZE_MAX);
        assert_int_equal(sg_buf_add(b, SG_STR("GET /")), 0);
        for (size_t i = 0; i < n_target; i++)
                assert_int_equal(sg_buf_add(b, SG_STR("a")), 0);
        assert_int_equal(sg_buf_add(b, SG_STR(" HTTP/1.1\r\nHost: x\r\n")), 0);
        for (size_t i = 0; i < n_fields; i++) {
                for (size_t j = 0; j < name_bytes; j++)
                        assert_int_equal(sg_buf_add(b, SG_STR("n")), 0);
                assert_int_equal(sg_buf_add(b, SG_STR(":")), 0);
                for (size_t j = 0; j < value_bytes; j++)
                        assert_int_equal(sg_buf_add(b, SG_STR("v")), 0);
                assert_int_equal(sg_buf_add(b, SG_STR("\r\n")), 0);
        }
        assert_int_equal(sg_buf_add(b, SG_STR("\r\n")), 0);
}

static const char ok[] = ""; /* no error */

/* In one piece and in pieces of 1, 7 and 1000 bytes. */
static void check_limit(const struct sg_buf *b, size_t head_bytes, const char *error)
{
        static const size_t pieces[] = {SIZE_MAX, 1, 7, 1000};

        for (size_t i = 0; i < SG_N_ELEMENTS(pieces); i++) {
                const size_t n = sg_buf_length(b);
                struct sg_h1 p;
                int r = 0;

                sg_h1_init(&p, SG_H1_SERVER, &(struct sg_h1_limits){.head_bytes = head_bytes});
                for (size_t have = 0; r == 0 && have < n;) {
                        have += SG_MIN(pieces[i], n - have);
                        r = sg_h1_next(&p, sg_str_head(sg_buf_view(b), have), &head, &ev);
                        assert_true(r || (ev.kind == SG_H1_HEAD) == (have == n));
                }
                assert_string_equal(r ? sg_h1_error_name((enum sg_h1_error)r) : ok, error);
        }
}

static void test_head_limit_is_exact(void **state)
{
        struct sg_buf b;

        build(&b, 0, 3, 1, 50);
        check_limit(&b, sg_buf_length(&b), ok);
        check_limit(&b, sg_buf_length(&b) - 1, "head_too_large");
        check_limit(&b, 100, "head_too_large");
        sg_buf_done(&b);
        build(&b, 0, 1, 1, SG_HEAD_BYTES_MAX);
        check_limit(&b, 0, "head_too_large");
        sg_buf_done(&b);
        build(&b, 200, 0, 0, 0);
        check_limit(&b, 100, "target_too_long"); /* it is the target that fills the head */
        sg_buf_done(&b);
}

static void test_target_limit_is_exact(void **state)
{
        struct sg_buf b;

        build(&b, SG_TARGET_BYTES_MAX - 1, 0, 0, 0);
        check_limit(&b, 0, ok);
        sg_buf_done(&b);
        build(&b, SG_TARGET_BYTES_MAX, 0, 0, 0);
        check_limit(&b, 0, "target_too_long");
        sg_buf_done(&b);
}

static void test_field_limits_are_exact(void **state)
{
        struct sg_buf b;

        build(&b, 0, SG_HEADERS_MAX - 1, 1, 1);
        check_limit(&b, 0, ok);
        assert_int_equal(head.n_headers, SG_HEADERS_MAX);
        sg_buf_done(&b);
        build(&b, 0, SG_HEADERS_MAX, 1, 1);
        check_limit(&b, 0, "head_too_large");
        sg_buf_done(&b);
        build(&b, 0, 1, SG_FIELD_NAME_BYTES_MAX, 1);
        check_limit(&b, 0, ok);
        sg_buf_done(&b);
        build(&b, 0, 1, SG_FIELD_NAME_BYTES_MAX + 1, 1);
        check_limit(&b, 0, "head_too_large");
        sg_buf_done(&b);
}

static void test_views_are_trimmed_and_in_order(void **state)
{
        struct sg_h1 p;

        sg_h1_init(&p, SG_H1_SERVER, NULL);
        assert_int_equal(feed(&p, "PUT /p?q HTTP/1.1\r\nHost:  h \r\nX-A: b c\t\r\nX-Empty:\r\n\r\nrest"), 0);
        assert_int_equal(ev.kind, SG_H1_HEAD);
        assert_int_equal(ev.used, 53);
        assert_int_equal(head.method, SG_METHOD_PUT);
        assert_true(sg_str_eq(head.method_text, SG_STR("PUT")));
        assert_true(sg_str_eq(head.target, SG_STR("/p?q")));
        assert_int_equal(head.minor, 1);
        assert_int_equal(head.n_headers, 3);
        assert_true(sg_str_eq(head.headers[0].name, SG_STR("Host")));
        assert_true(sg_str_eq(head.headers[1].value, SG_STR("b c")));
        assert_true(sg_str_eq(head.headers[2].name, SG_STR("X-Empty")));
        assert_int_equal(head.headers[2].value.n, 0);
}

static void test_body_limit_on_the_declared_length(void **state)
{
        struct sg_h1 p;

        sg_h1_init(&p, SG_H1_SERVER, &(struct sg_h1_limits){.body_bytes = 4});
        assert_int_equal(feed(&p, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"), SG_H1_E_BODY_TOO_LARGE);
        sg_h1_init(&p, SG_H1_SERVER, &(struct sg_h1_limits){.body_bytes = 5});
        assert_int_equal(feed(&p, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"), 0);
        assert_int_equal(ev.kind, SG_H1_HEAD);
}

static void test_body_limit_on_the_sum_of_chunks(void **state)
{
        struct sg_h1 p;

        sg_h1_init(&p, SG_H1_SERVER, &(struct sg_h1_limits){.body_bytes = 5});
        assert_int_equal(feed(&p, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"), 0);
        assert_int_equal(feed(&p, "2\r\nab"), 0);
        assert_int_equal(feed(&p, "\r\n3\r\ncde"), 0);
        assert_int_equal(feed(&p, "\r\n1\r\n"), SG_H1_E_BODY_TOO_LARGE);
}

static void test_body_limit_up_to_the_close(void **state)
{
        struct sg_h1 p;

        sg_h1_init(&p, SG_H1_CLIENT, &(struct sg_h1_limits){.body_bytes = 5});
        assert_int_equal(feed(&p, "HTTP/1.1 200 OK\r\n\r\n"), 0);
        assert_int_equal(feed(&p, "abcdef"), 0);
        assert_int_equal(ev.bytes.n, 5);
        assert_int_equal(feed(&p, "f"), SG_H1_E_BODY_TOO_LARGE);
}

static void test_body_limit_of_one_message(void **state)
{
        struct sg_h1 p;

        sg_h1_init(&p, SG_H1_SERVER, &(struct sg_h1_limits){.body_bytes = 9});
        for (unsigned i = 0; i < 2; i++) { /* the second message has the connection's limit again */
                assert_int_equal(feed(&p, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"), 0);
                if (i == 0)
                        assert_int_equal(sg_h1_limit_body(&p, &head, 5), 0);
                assert_int_equal(feed(&p, "hello"), 0);
                assert_int_equal(feed(&p, ""), 0);
                assert_int_equal(ev.kind, SG_H1_END);
        }
        assert_int_equal(feed(&p, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"), 0);
        assert_int_equal(sg_h1_limit_body(&p, &head, 4), SG_H1_E_BODY_TOO_LARGE);
        sg_h1_init(&p, SG_H1_SERVER, NULL);
        assert_int_equal(feed(&p, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"), 0);
        assert_int_equal(sg_h1_limit_body(&p, &head, 4), 0);
        assert_int_equal(feed(&p, "5\r\n"), SG_H1_E_BODY_TOO_LARGE);
}

static void test_chunk_line_limit(void **state)
{
        char line[SG_CHUNK_LINE_BYTES_MAX + 8];
        struct sg_h1 p;

        for (size_t n = SG_CHUNK_LINE_BYTES_MAX - 1; n <= SG_CHUNK_LINE_BYTES_MAX + 1; n++) {
                sg_h1_init(&p, SG_H1_SERVER, NULL);
                assert_int_equal(feed(&p, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"), 0);
                memset(line, 'x', sizeof(line));
                memcpy(line, "1;", 2);
                memcpy(line + n - 2, "\r\ny", 4);
                assert_int_equal(feed(&p, line), n <= SG_CHUNK_LINE_BYTES_MAX ? 0 : SG_H1_E_BAD);
        }
}

static void test_more_gives_back_what_is_done(void **state)
{
        struct sg_h1 p;

        sg_h1_init(&p, SG_H1_SERVER, NULL);
        assert_int_equal(feed(&p, "\r\nGET"), 0);
        assert_int_equal(ev.kind, SG_H1_MORE);
        assert_int_equal(ev.used, 2);
        assert_false(sg_h1_is_idle(&p));
        assert_int_equal(feed(&p, "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1"), 0);
        assert_int_equal(ev.kind, SG_H1_HEAD);
        assert_int_equal(feed(&p, "1"), 0);
        assert_int_equal(ev.used, 0);
        assert_int_equal(feed(&p, "1\r\n"), 0);
        assert_int_equal(ev.kind, SG_H1_MORE);
        assert_int_equal(ev.used, 3);
        assert_int_equal(feed(&p, "x\r\n0\r\nA: b"), 0);
        assert_int_equal(ev.kind, SG_H1_BODY);
        assert_int_equal(ev.used, 1);
        assert_int_equal(feed(&p, "\r\n0\r\nA: b"), 0);
        assert_int_equal(ev.kind, SG_H1_MORE);
        assert_int_equal(ev.used, 5);
        assert_int_equal(feed(&p, "A: b\r\n\r\nnext"), 0);
        assert_int_equal(ev.kind, SG_H1_TRAILERS);
        assert_int_equal(ev.used, 8);
        assert_int_equal(feed(&p, "next"), 0);
        assert_int_equal(ev.kind, SG_H1_END);
        assert_int_equal(ev.used, 0);
        assert_true(sg_h1_is_idle(&p));
}

static void test_end_needs_no_bytes_and_is_told_ahead(void **state)
{
        struct sg_h1 p;

        sg_h1_init(&p, SG_H1_SERVER, NULL);
        assert_false(sg_h1_awaits_end(&p));
        assert_int_equal(feed(&p, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n"), 0);
        assert_false(sg_h1_awaits_end(&p));
        assert_int_equal(feed(&p, "a"), 0);
        assert_false(sg_h1_awaits_end(&p));
        assert_int_equal(feed(&p, "b"), 0);
        assert_int_equal(ev.kind, SG_H1_BODY);
        assert_true(sg_h1_awaits_end(&p));
        assert_int_equal(feed(&p, ""), 0);
        assert_int_equal(ev.kind, SG_H1_END);
        assert_false(sg_h1_awaits_end(&p));
}

static void test_close_between_requests_is_no_error(void **state)
{
        struct sg_h1 p;

        sg_h1_init(&p, SG_H1_SERVER, NULL);
        assert_int_equal(sg_h1_eof(&p, &ev), 0);
        assert_int_equal(ev.kind, SG_H1_MORE);
        assert_int_equal(feed(&p, "GET / HTTP/1.1\r\n"), 0);
        assert_int_equal(sg_h1_eof(&p, &ev), SG_H1_E_TRUNCATED);
        assert_int_equal(feed(&p, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"), SG_H1_E_TRUNCATED);
        assert_int_equal(sg_h1_eof(&p, &ev), SG_H1_E_TRUNCATED);
}

static void test_errors_have_names_and_statuses(void **state)
{
        static const unsigned statuses[SG_H1_E_N] = {0, 400, 431, 414, 413, 505, 501, 400};

        for (enum sg_h1_error e = 1; e < SG_H1_E_N; e++) {
                assert_string_not_equal(sg_h1_error_name(e), "unknown");
                assert_int_equal(sg_h1_error_status(e), statuses[e]);
        }
}

static void test_what_is_written_reads_back(void **state)
{
        struct sg_buf b;
        struct sg_h1 p;

        sg_buf_init(&b, 4096);
        assert_int_equal(sg_h1_add_request_line(&b, SG_STR("POST"), SG_STR("/v1/chat?x=y")), 0);
        assert_int_equal(sg_h1_add_header(&b, SG_STR("host"), SG_STR("h")), 0);
        assert_int_equal(sg_h1_add_header(&b, SG_STR("x-empty"), SG_STR_NONE), 0);
        assert_int_equal(sg_h1_add_header_u64(&b, SG_STR("content-length"), INT64_MAX), 0);
        assert_int_equal(sg_h1_add_head_end(&b), 0);
        assert_true(sg_str_eq(sg_buf_view(&b), SG_STR("POST /v1/chat?x=y HTTP/1.1\r\nhost: h\r\nx-empty: \r\n"
                                                      "content-length: 9223372036854775807\r\n\r\n")));
        sg_h1_init(&p, SG_H1_SERVER, NULL);
        assert_int_equal(sg_h1_next(&p, sg_buf_view(&b), &head, &ev), 0);
        assert_int_equal(ev.used, sg_buf_length(&b));
        assert_true(head.has_length && head.length == INT64_MAX);
        sg_buf_clear(&b);
        assert_int_equal(sg_h1_add_status_line(&b, 200), 0);
        assert_int_equal(sg_h1_add_status_line(&b, 599), 0);
        assert_true(sg_str_eq(sg_buf_view(&b), SG_STR("HTTP/1.1 200 OK\r\nHTTP/1.1 599 \r\n")));
        sg_buf_done(&b);
}

static void test_a_full_buffer_gets_nothing(void **state)
{
        struct sg_buf b;

        sg_buf_init(&b, 10);
        assert_int_equal(sg_h1_add_header(&b, SG_STR("name"), SG_STR("value")), SG_BUF_E_FULL);
        assert_int_equal(sg_h1_add_status_line(&b, 200), SG_BUF_E_FULL);
        assert_int_equal(sg_buf_length(&b), 0);
        assert_int_equal(sg_h1_add_header(&b, SG_STR("name"), SG_STR("vv")), 0);
        assert_int_equal(sg_buf_length(&b), 10);
        sg_buf_done(&b);
}

static void test_chunk_heads(void **state)
{
        static const struct {
                size_t n;
                const char *text;
        } cases[] = {
                {0, "0\r\n"},   {1, "1\r\n"},       {15, "f\r\n"},
                {16, "10\r\n"}, {8000, "1f40\r\n"}, {SIZE_MAX, "ffffffffffffffff\r\n"},
        };

        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                char out[SG_H1_CHUNK_HEAD_BYTES];

                assert_int_equal(sg_h1_chunk_head(out, cases[i].n), strlen(cases[i].text));
                assert_memory_equal(out, cases[i].text, strlen(cases[i].text));
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_head_limit_is_exact),
                cmocka_unit_test(test_target_limit_is_exact),
                cmocka_unit_test(test_field_limits_are_exact),
                cmocka_unit_test(test_views_are_trimmed_and_in_order),
                cmocka_unit_test(test_body_limit_on_the_declared_length),
                cmocka_unit_test(test_body_limit_on_the_sum_of_chunks),
                cmocka_unit_test(test_body_limit_up_to_the_close),
                cmocka_unit_test(test_body_limit_of_one_message),
                cmocka_unit_test(test_chunk_line_limit),
                cmocka_unit_test(test_more_gives_back_what_is_done),
                cmocka_unit_test(test_end_needs_no_bytes_and_is_told_ahead),
                cmocka_unit_test(test_close_between_requests_is_no_error),
                cmocka_unit_test(test_errors_have_names_and_statuses),
                cmocka_unit_test(test_what_is_written_reads_back),
                cmocka_unit_test(test_a_full_buffer_gets_nothing),
                cmocka_unit_test(test_chunk_heads),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
