/* Answers as a client reads them: strict about lengths, tolerant where there is one reading only. */
#include "cases.h"

#define OK(fields)           "HTTP/1.1 200 OK\r\n" fields "\r\n"
#define CHUNKED(rest)        OK("Transfer-Encoding: chunked\r\n") rest
#define NEXT                 "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
#define READ(cases)          check_cases(cases, SG_N_ELEMENTS(cases), SG_H1_CLIENT, SG_METHOD_GET, false)
#define READ_TO_CLOSE(cases) check_cases(cases, SG_N_ELEMENTS(cases), SG_H1_CLIENT, SG_METHOD_GET, true)

static void test_status_lines(void **state)
{
        static const struct http_case cases[] = {
                CASE(OK("Content-Length: 2\r\n") "ab" NEXT, "200 kl2 |ab|.201 kl0 ||."),
                CASE("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "200 kl0 ||."),
                CASE("HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", "200 kl0 ||."),
                CASE("HTTP/1.1 999 a \xc3\xa4\tb  \r\nContent-Length: 0\r\n\r\n", "999 kl0 ||."),
                CASE("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", "200 0l1 |x|."),
                CASE("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx", "200 0kl1 |x|."),
                CASE("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nx", "200 0z |x…"),
                CASE("HTTP/1.1 099 x\r\n\r\n", "bad"),
                CASE("HTTP/1.1 20 OK\r\n\r\n", "bad"),
                CASE("HTTP/1.1 2000 OK\r\n\r\n", "bad"),
                CASE("HTTP/1.1 2x0 OK\r\n\r\n", "bad"),
                CASE("HTTP/1.1  200 OK\r\n\r\n", "bad"),
                CASE("HTTP/1.1\t200 OK\r\n\r\n", "bad"),
                CASE("HTTP/1.1 200\tOK\r\n\r\n", "bad"),
                CASE("HTTP/1.1 200 O\0K\r\n\r\n", "bad"),
                CASE("HTTP/1.1 200 OK\nContent-Length: 0\n\n", "bad"),
                CASE("HTTP/1.1 200 OK\rX\r\n\r\n", "bad"),
                CASE("HTTP/1.2 200 OK\r\n\r\n", "version"),
                CASE("HTTP/2.0 200 OK\r\n\r\n", "bad"),
                CASE("HTTP/11 200 OK\r\n\r\n", "bad"),
                CASE("http/1.1 200 OK\r\n\r\n", "bad"),
                CASE("ICY 200 OK\r\n\r\n", "bad"),
                CASE("\r\n" OK("Content-Length: 0\r\n"), "bad"),
                CASE("<", "bad"), /* one byte is enough */
                CASE("HTTP/1.", "…"),
                CASE("", ""),
        };

        READ(cases);
}

static void test_answers_without_body(void **state)
{
        static const struct http_case cases[] = {
                CASE("HTTP/1.1 204 No Content\r\n\r\n" NEXT, "204 k ||.201 kl0 ||."),
                CASE("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n" NEXT, "204 k ||.201 kl0 ||."),
                CASE("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n" NEXT, "204 k ||.201 kl0 ||."),
                CASE("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n" NEXT, "304 kl5 ||.201 kl0 ||."),
                CASE("HTTP/1.1 304 Not Modified\r\n\r\n" NEXT, "304 k ||.201 kl0 ||."),
                CASE("HTTP/1.1 100 Continue\r\n\r\n", "100 k ||.…"), /* the answer is still to come */
                CASE("HTTP/1.1 103 x\r\nLink: y\r\n\r\nHTTP/1.1 100 x\r\nContent-Length: 9\r\n\r\n" NEXT,
                     "103 k ||.100 k ||.201 kl0 ||."),
                CASE("HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: y\r\n\r\n", "101 ku ||."),
        };
        static const struct http_case to_head[] = {
                CASE(OK("Content-Length: 5\r\n"), "200 kl5 ||."),
                CASE(OK("Transfer-Encoding: chunked\r\n"), "200 kc ||."),
                CASE(OK(""), "200 k ||."),
                CASE("HTTP/1.1 100 Continue\r\n\r\n" OK("Content-Length: 5\r\n"), "100 k ||.200 kl5 ||."),
                /* asked once: the second is the answer to something else */
                CASE(OK("Content-Length: 5\r\n") OK("Content-Length: 1\r\n") "x", "200 kl5 ||.200 kl1 |x|."),
        };
        static const struct http_case to_connect[] = {
                CASE(OK("Content-Length: 5\r\n"), "200 k ||."),
                CASE(OK(""), "200 k ||."),
                CASE("HTTP/1.1 403 x\r\nContent-Length: 1\r\n\r\nx", "403 kl1 |x|."),
        };

        READ(cases);
        check_cases(to_head, SG_N_ELEMENTS(to_head), SG_H1_CLIENT, SG_METHOD_HEAD, false);
        check_cases(to_connect, SG_N_ELEMENTS(to_connect), SG_H1_CLIENT, SG_METHOD_CONNECT, false);
}

static void test_lengths(void **state)
{
        static const struct http_case cases[] = {
                CASE(OK("Content-Length: 1\r\nContent-Length: 1\r\n") "x", "200 kl1 |x|."),
                CASE(OK("Content-Length: 1, 1 ,1\r\n") "x", "200 kl1 |x|."),
                CASE(OK("Content-Length: 1\r\nContent-Length: 01\r\n") "x", "200 kl1 |x|."),
                CASE(OK("Content-Length: 1\r\nContent-Length: 2\r\n") "xy", "bad"),
                CASE(OK("Content-Length: 1, 2\r\n") "xy", "bad"),
                CASE(OK("Content-Length: 1,\r\n") "x", "bad"),
                CASE(OK("Content-Length: -1\r\n") "x", "bad"),
                CASE(OK("Content-Length:\r\n") "x", "bad"),
                CASE(OK("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n") "0\r\n\r\n", "bad"),
                CASE(OK("Content_Length: 9\r\nContent-Length: 1\r\n") "x", "200 kl1 |x|."),
                CASE(OK("Content-Length : 1\r\n") "x", "200 kl1 |x|."),
                CASE(OK("A\t : b\r\nContent-Length: 1\r\n") "x", "200 kl1 |x|."),
                CASE(OK("A b: c\r\n") "x", "bad"),
                CASE(OK("A: b\r\n c\r\n") "x", "bad"),
                CASE(OK(" A: b\r\n") "x", "bad"),
        };

        READ(cases);
}

static void test_chunked_answers(void **state)
{
        static const struct http_case cases[] = {
                CASE(CHUNKED("5\r\nhello\r\n0\r\n\r\n") NEXT, "200 kc |hello|.201 kl0 ||."),
                CASE(CHUNKED("5  \r\nhello\r\n0\t\r\n\r\n"), "200 kc |hello|."),
                CASE(CHUNKED("5 ; a = b ;c=\"d\" \r\nhello\r\n0\r\nA: b\r\n\r\n"), "200 kc |hello|+A=b,."),
                CASE(CHUNKED("5 5\r\nhello\r\n0\r\n\r\n"), "200 kc |bad"),
                CASE(CHUNKED("5\nhello\r\n0\r\n\r\n"), "200 kc |bad"),
                CASE(CHUNKED("5\r\nhello\n0\r\n\r\n"), "200 kc |hellobad"),
                CASE(CHUNKED("0\r\nContent-Length: 1\r\n\r\n"), "200 kc |bad"),
                CASE(OK("Transfer-Encoding: gzip, chunked\r\n") "0\r\n\r\n", "coding"),
                CASE(OK("Transfer-Encoding: chunked, gzip\r\n") "0\r\n\r\n", "bad"),
                CASE("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "bad"),
        };

        READ(cases);
}

/* "…" is what the bytes alone leave open; what follows it comes of the close. */
static void test_closing_ends_what_may_end_so(void **state)
{
        static const struct http_case cases[] = {
                CASE("", ""),
                CASE(OK(""), "200 z |…|."),
                CASE(OK("Connection: keep-alive\r\n") "hello", "200 z |hello…|."),
                CASE(OK("Content-Length: 5\r\nConnection: close\r\n") "hello", "200 l5 |hello|."),
                CASE("HTTP/1.1 200", "…truncated"),
                CASE(OK("Content-Length: 5\r\n") "hell", "200 kl5 |hell…truncated"),
                CASE(CHUNKED("5\r\nhello\r\n"), "200 kc |hello…truncated"),
                CASE(CHUNKED("0\r\n"), "200 kc |…truncated"),
                CASE("HTTP/1.1 100 Continue\r\n\r\n", "100 k ||.…truncated"),
                CASE("junk", "bad"),
        };

        READ_TO_CLOSE(cases);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_status_lines),
                cmocka_unit_test(test_answers_without_body),
                cmocka_unit_test(test_lengths),
                cmocka_unit_test(test_chunked_answers),
                cmocka_unit_test(test_closing_ends_what_may_end_so),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
