#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/bytes.h"
#include "http/message.h"

static struct sg_head head_of(const char *const *pairs)
{
        struct sg_head head;

        for (head.n_headers = 0; *pairs; pairs += 2, head.n_headers++)
                head.headers[head.n_headers] = (struct sg_header){sg_str_from(pairs[0]), sg_str_from(pairs[1])};
        return head;
}

static void test_methods_and_statuses_have_names(void **state)
{
        for (enum sg_method m = 0; m < SG_METHOD_N; m++)
                assert_true(strlen(sg_method_name(m)) >= 3);
        assert_string_equal(sg_method_name(SG_METHOD_POST), "POST");
        assert_string_equal(sg_status_phrase(101), "Switching Protocols");
        assert_string_equal(sg_status_phrase(200), "OK");
        assert_string_equal(sg_status_phrase(308), "Permanent Redirect");
        assert_string_equal(sg_status_phrase(413), "Content Too Large");
        assert_string_equal(sg_status_phrase(429), "Too Many Requests");
        assert_string_equal(sg_status_phrase(431), "Request Header Fields Too Large");
        assert_string_equal(sg_status_phrase(505), "HTTP Version Not Supported");
        for (unsigned status = 0; status < 1200; status += status == 99 ? 500 : 1) /* 0-99, 599 and above: none */
                assert_string_equal(sg_status_phrase(status), "");
        for (unsigned status = 506; status < 600; status++)
                assert_string_equal(sg_status_phrase(status), "");
}

static void test_find_ignores_case_and_gives_the_first(void **state)
{
        struct sg_head head = head_of((const char *const[]){"A", "1", "b-C", "2", "B-c", "3", NULL});

        assert_ptr_equal(sg_head_find(&head, SG_STR("B-C")), &head.headers[1]);
        assert_null(sg_head_find(&head, SG_STR("b")));
        assert_true(sg_str_eq(sg_head_value(&head, SG_STR("a")), SG_STR("1")));
        assert_int_equal(sg_head_value(&head, SG_STR("x")).n, 0);
}

static void test_hop_fields(void **state)
{
        struct sg_head head = head_of((const char *const[]){"Connection",
                                                            "keep-alive, x-own",
                                                            "TE",
                                                            "trailers",
                                                            "Transfer-Encoding",
                                                            "chunked",
                                                            "X-Own",
                                                            "1",
                                                            "upgrade",
                                                            "h2c",
                                                            "X-Owner",
                                                            "2",
                                                            "Keep-Alive",
                                                            "timeout=5",
                                                            "Proxy-Authorization",
                                                            "y",
                                                            "connection",
                                                            "X-Other",
                                                            "X-OTHER",
                                                            "3",
                                                            "Content-Type",
                                                            "text/plain",
                                                            "Trailer",
                                                            "a",
                                                            NULL});
        const char *const stay[] = {"X-Owner", "Content-Type"};
        size_t n_stay = 0;

        for (size_t i = 0; i < head.n_headers; i++) {
                if (sg_header_is_hop(&head, &head.headers[i]))
                        continue;
                assert_true(n_stay < SG_N_ELEMENTS(stay));
                assert_true(sg_str_eq(head.headers[i].name, sg_str_from(stay[n_stay++])));
        }
        assert_int_equal(n_stay, SG_N_ELEMENTS(stay));
}

static void test_who_may_trail(void **state)
{
        static const char *const may[] = {"grpc-status",   "grpc-message", "etag", "digest",
                                          "server-timing", "x-a",          "hos"};
        static const char *const may_not[] = {"Content-Length", "transfer-encoding", "HOST",         "set-cookie",
                                              "authorization",  "connection",        "te",           "vary",
                                              "trailer",        "if-range",          "content-type", "proxy-connection",
                                              "expires"};

        for (size_t i = 0; i < SG_N_ELEMENTS(may); i++)
                assert_true(sg_name_may_trail(sg_str_from(may[i])));
        for (size_t i = 0; i < SG_N_ELEMENTS(may_not); i++)
                assert_false(sg_name_may_trail(sg_str_from(may_not[i])));
}

static void test_list_tokens(void **state)
{
        assert_true(sg_list_has_token(SG_STR("close"), SG_STR("close")));
        assert_true(sg_list_has_token(SG_STR(" a ,\tClose\t,b"), SG_STR("close")));
        assert_true(sg_list_has_token(SG_STR(",,close"), SG_STR("close")));
        assert_false(sg_list_has_token(SG_STR("closed, un-close, close d"), SG_STR("close")));
        assert_false(sg_list_has_token(SG_STR(""), SG_STR("close")));
}

static bool is_token_char(unsigned c)
{
        return c < 0x80 && c != 0 &&
               strchr("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", (int)c);
}

/* Each byte at each place of a string that is longer than a vector. */
static void test_every_byte_at_every_place(void **state)
{
        for (unsigned c = 0; c < 256; c++) {
                const bool is_control = (c < 0x20 && c != '\t') || c == 0x7f;
                const bool is_target = c > 0x20 && c < 0x7f && c != '#' && c != '\\';

                for (size_t at = 0; at < 40; at++) {
                        char bytes[40];
                        struct sg_str s = sg_str_make(bytes, sizeof(bytes));

                        memset(bytes, 'x', sizeof(bytes));
                        bytes[at] = (char)c;
                        assert_int_equal(sg_header_value_is_valid(s), !is_control);
                        assert_int_equal(sg_token_is_valid(s), is_token_char(c));
                        assert_int_equal(http_token_end(s, 0), is_token_char(c) ? s.n : at);
                        assert_int_equal(http_value_end(s, 0), is_control ? at : s.n);
                        assert_int_equal(http_target_end(s, 0), is_target ? s.n : at);
                        assert_int_equal(http_line_end(s, 0), c == '\r' || c == '\n' ? at : s.n);
                }
        }
        assert_false(sg_token_is_valid(SG_STR("")));
        assert_true(sg_header_value_is_valid(SG_STR("")));
}

static void check_path(const char *target, const char *path, const char *query)
{
        struct sg_str got_query, got = sg_target_path(sg_str_from(target), &got_query);

        assert_true(sg_str_eq(got, sg_str_from(path)));
        assert_true(sg_str_eq(got_query, sg_str_from(query)));
        assert_true(sg_str_eq(sg_target_path(sg_str_from(target), NULL), got));
}

static void test_path_of_a_target(void **state)
{
        check_path("/", "/", "");
        check_path("/a/b?c=d?e", "/a/b", "c=d?e");
        check_path("/a?", "/a", "");
        check_path("/?http://x/y", "/", "http://x/y");
        check_path("//x/y", "//x/y", "");
        check_path("http://x/a?b", "/a", "b");
        check_path("HTTPS://x:1?b", "/", "b");
        check_path("http://x", "/", "");
        check_path("*", "*", "");
        check_path("x:443", "x:443", "");
        check_path("", "", "");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_methods_and_statuses_have_names),
                cmocka_unit_test(test_find_ignores_case_and_gives_the_first),
                cmocka_unit_test(test_hop_fields),
                cmocka_unit_test(test_who_may_trail),
                cmocka_unit_test(test_list_tokens),
                cmocka_unit_test(test_every_byte_at_every_place),
                cmocka_unit_test(test_path_of_a_target),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
