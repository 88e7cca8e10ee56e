/* Requests, with the one right outcome of each. "GOOD" behind a broken one must never be read. */
#include "cases.h"

#define GOOD          "GET /good HTTP/1.1\r\nHost: x\r\n\r\n"
#define GET(fields)   "GET / HTTP/1.1\r\nHost: x\r\n" fields "\r\n"
#define HEAD(line)    line "\r\nHost: x\r\n\r\n"
#define HOST(value)   "GET / HTTP/1.1\r\nHost: " value "\r\n\r\n"
#define POST(rest)    "POST / HTTP/1.1\r\nHost: x\r\n" rest
#define CHUNKED(rest) POST("Transfer-Encoding: chunked\r\n\r\n" rest)
#define ACCEPT(cases) check_cases(cases, SG_N_ELEMENTS(cases), SG_H1_SERVER, SG_METHOD_OTHER, false)

static void test_request_lines(void **state)
{
        static const struct http_case cases[] = {
                CASE(HEAD("GET / HTTP/1.1"), "GET / @x k ||."),
                CASE(HEAD("HEAD /a/b?c=d&e HTTP/1.1"), "HEAD /a/b?c=d&e @x k ||."),
                CASE(HEAD("M-SEARCH / HTTP/1.1"), "M-SEARCH / @x k ||."),
                CASE(HEAD("get / HTTP/1.1"), "get / @x k ||."), /* another method than GET */
                CASE(HEAD("!#$%&'*+-.^_`|~09azAZ / HTTP/1.1"), "!#$%&'*+-.^_`|~09azAZ / @x k ||."),
                CASE(HEAD("GET /%7e/{x}|\"<>^` HTTP/1.1"), "GET /%7e/{x}|\"<>^` @x k ||."),
                CASE(HEAD("GET // HTTP/1.1"), "GET // @x k ||."),
                CASE(HEAD("GET /?http://y/ HTTP/1.1"), "GET /?http://y/ @x k ||."),
                CASE(HEAD("GET / HTTP/1.0"), "GET / @x 0 ||."),
                CASE("GET / HTTP/1.0\r\n\r\n", "GET / @ 0 ||."),
                CASE("\r\n" HEAD("GET / HTTP/1.1"), "GET / @x k ||."),
                CASE("\r\n\r\n\r\n\r\n" HEAD("GET / HTTP/1.1"), "GET / @x k ||."),
                CASE("\r\n\r\n\r\n\r\n\r\n" HEAD("GET / HTTP/1.1"), "bad"),
                CASE("\r\n", ""),
                CASE("\r", "…"),
                CASE("\n" GOOD, "bad"),
                CASE("\rGET / HTTP/1.1\r\n" GOOD, "bad"),
                CASE("\r\r\n" GOOD, "bad"),
                CASE("", ""),
                CASE("GET", "…"),
                CASE("GET / HTTP/1.1\r\nHost: x\r\nX-Test: value", "…"),
                CASE(HEAD("GET  / HTTP/1.1") GOOD, "bad"),
                CASE(HEAD("GET /  HTTP/1.1") GOOD, "bad"),
                CASE(HEAD("GET / HTTP/1.1 ") GOOD, "bad"),
                CASE(HEAD("GET\t/ HTTP/1.1") GOOD, "bad"),
                CASE(HEAD("GET /\tHTTP/1.1") GOOD, "bad"),
                CASE(HEAD(" GET / HTTP/1.1") GOOD, "bad"),
                CASE(HEAD("GET /a b HTTP/1.1") GOOD, "bad"),
                CASE(HEAD("GET HTTP/1.1") GOOD, "bad"),
                CASE(HEAD("GET /") GOOD, "bad"),
                CASE("GET /\r\n", "bad"),
                CASE(HEAD("GET") GOOD, "bad"),
                CASE(HEAD("G@T / HTTP/1.1") GOOD, "bad"),
                CASE(HEAD("G\xc3\x89T / HTTP/1.1") GOOD, "bad"),
                CASE(HEAD("G\0T / HTTP/1.1") GOOD, "bad"),
                CASE(HEAD("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF / HTTP/1.1"),
                     "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF / @x k ||."),
                CASE(HEAD("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1"), "bad"),
                CASE("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "bad"), /* TLS */
                CASE("   \r\n\r\n", "bad"),
                CASE("GET / HTTP/1.1\nHost: x\r\n\r\n", "bad"),
                CASE("GET / HTTP/1.1\rHost: x\r\n\r\n", "bad"),
                CASE("GET / HTTP/1.1\r\r\nHost: x\r\n\r\n", "bad"),
                CASE("GET / HTTP/1.1\n\n", "bad"),
        };

        ACCEPT(cases);
}

static void test_versions(void **state)
{
        static const struct http_case cases[] = {
                CASE(HEAD("GET / HTTP/1.2") GOOD, "version"),
                CASE(HEAD("GET / HTTP/2.0") GOOD, "version"),
                CASE(HEAD("GET / HTTP/0.9") GOOD, "version"),
                CASE(HEAD("GET / HTTP/9.9") GOOD, "version"),
                CASE("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "version"),
                CASE(HEAD("GET / http/1.1") GOOD, "bad"),
                CASE(HEAD("GET / HTTP/1") GOOD, "bad"),
                CASE(HEAD("GET / HTTP/1.") GOOD, "bad"),
                CASE(HEAD("GET / HTTP/01.01") GOOD, "bad"),
                CASE(HEAD("GET / HTTP/ 1.1") GOOD, "bad"),
                CASE(HEAD("GET / HTTP/1.10") GOOD, "bad"),
                CASE(HEAD("GET / HTTP/1,1") GOOD, "bad"),
                CASE(HEAD("GET / HTTPS/1.1") GOOD, "bad"),
                CASE(HEAD("GET / HTTP1.1") GOOD, "bad"),
                CASE(HEAD("GET / XTTP/1.1") GOOD, "bad"),
                CASE(HEAD("GET / HTTP/2") GOOD, "bad"),
                CASE(HEAD("GET / HTTP/A.B") GOOD, "bad"),
                CASE(HEAD("GET / HTTP/-1.1") GOOD, "bad"),
                CASE(HEAD("GET / HTTP/1.1\0") GOOD, "bad"),
        };

        ACCEPT(cases);
}

static void test_targets(void **state)
{
        static const struct http_case cases[] = {
                CASE(HEAD("OPTIONS * HTTP/1.1"), "OPTIONS * @x k ||."),
                CASE(HEAD("GET * HTTP/1.1") GOOD, "bad"),
                CASE(HEAD("OPTIONS ** HTTP/1.1") GOOD, "bad"),
                CASE(HEAD("GET index.html HTTP/1.1") GOOD, "bad"),
                CASE(HEAD("GET ?a HTTP/1.1") GOOD, "bad"),
                CASE(HEAD("GET x HTTP/1.1") GOOD, "bad"), /* authority form is CONNECT's */
                CASE(HEAD("GET /a#b HTTP/1.1") GOOD, "bad"),
                CASE(HEAD("GET /a\\b HTTP/1.1") GOOD, "bad"),
                CASE(HEAD("GET /a/long/path/of/some/length\\b HTTP/1.1") GOOD, "bad"),
                CASE(HEAD("GET /\0a HTTP/1.1") GOOD, "bad"),
                CASE(HEAD("GET /\x7f HTTP/1.1") GOOD, "bad"),
                CASE(HEAD("GET /0123456789abcdef\x7f HTTP/1.1") GOOD, "bad"),
                CASE(HEAD("GET /\xc3\xa4 HTTP/1.1") GOOD, "bad"),
                CASE(HEAD("GET /0123456789abcdef\xc0\xaf HTTP/1.1") GOOD, "bad"),
                CASE(HEAD("GET http://x/a HTTP/1.1"), "GET http://x/a @x k ||."),
                CASE(HEAD("GET HTTP://X/a HTTP/1.1"), "GET HTTP://X/a @X k ||."),
                CASE(HEAD("GET https://x?q HTTP/1.1"), "GET https://x?q @x k ||."),
                CASE(HEAD("GET http://x HTTP/1.1"), "GET http://x @x k ||."),
                CASE("GET http://y/a HTTP/1.0\r\n\r\n", "GET http://y/a @y 0 ||."),
                CASE(HEAD("GET http://y/a HTTP/1.1") GOOD, "bad"),
                CASE(HEAD("GET http://x:80/a HTTP/1.1") GOOD, "bad"),
                CASE(HEAD("GET http://u@x/a HTTP/1.1") GOOD, "bad"),
                CASE(HEAD("GET http://u:p@x/a HTTP/1.1") GOOD, "bad"),
                CASE("GET http:///a HTTP/1.1\r\nHost:\r\n\r\n" GOOD, "bad"),
                CASE("GET http://x/a HTTP/1.1\r\nHost:\r\n\r\n" GOOD, "bad"),
                CASE("GET http://x/a HTTP/1.1\r\n\r\n" GOOD, "bad"),
                CASE(HEAD("GET http:/x/a HTTP/1.1") GOOD, "bad"),
                CASE(HEAD("GET ftp://x/a HTTP/1.1") GOOD, "bad"),
                CASE(HEAD("GET http://x\\y/ HTTP/1.1") GOOD, "bad"),
                CASE("CONNECT y:443 HTTP/1.1\r\nHost: y:443\r\n\r\n", "CONNECT y:443 @y:443  ||."),
                CASE("CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n\r\n", "CONNECT [::1]:443 @[::1]:443  ||."),
                CASE("CONNECT y HTTP/1.1\r\nHost: y\r\n\r\n" GOOD, "bad"),
                CASE("CONNECT y: HTTP/1.1\r\nHost: y:\r\n\r\n" GOOD, "bad"),
                CASE("CONNECT :443 HTTP/1.1\r\nHost: :443\r\n\r\n" GOOD, "bad"),
                CASE("CONNECT y:65536 HTTP/1.1\r\nHost: y:65536\r\n\r\n" GOOD, "bad"),
                CASE(HEAD("CONNECT y:443 HTTP/1.1") GOOD, "bad"),
                CASE(HEAD("CONNECT / HTTP/1.1") GOOD, "bad"),
                CASE(HEAD("CONNECT http://x:80/ HTTP/1.1") GOOD, "bad"),
        };

        ACCEPT(cases);
}

static void test_hosts(void **state)
{
        static const struct http_case cases[] = {
                CASE(HOST("example.com"), "GET / @example.com k ||."),
                CASE(HOST("  example.com:8080\t"), "GET / @example.com:8080 k ||."),
                CASE(HOST("my_host-1~.%41"), "GET / @my_host-1~.%41 k ||."),
                CASE(HOST("127.0.0.1:65535"), "GET / @127.0.0.1:65535 k ||."),
                CASE(HOST("[::1]"), "GET / @[::1] k ||."),
                CASE(HOST("[2001:db8::a.b.c.d]") GOOD, "bad"),
                CASE(HOST("[2001:db8::192.0.2.1]:1"), "GET / @[2001:db8::192.0.2.1]:1 k ||."),
                CASE(HOST(""), "GET / @ k ||."),
                CASE("GET / HTTP/1.1\r\nHOST:x\r\n\r\n", "GET / @x k ||."),
                CASE("GET / HTTP/1.1\r\n\r\n" GOOD, "bad"),
                CASE("GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n" GOOD, "bad"),
                CASE("GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n" GOOD, "bad"),
                CASE("GET / HTTP/1.0\r\nHost: x\r\nHost: x\r\n\r\n" GOOD, "bad"),
                CASE(HOST("a,b") GOOD, "bad"),
                CASE(HOST("a, b") GOOD, "bad"),
                CASE(HOST("a b") GOOD, "bad"),
                CASE(HOST("user@a") GOOD, "bad"),
                CASE(HOST("a/path") GOOD, "bad"),
                CASE(HOST("a?b") GOOD, "bad"),
                CASE(HOST("a#b") GOOD, "bad"),
                CASE(HOST("http://a") GOOD, "bad"),
                CASE(HOST("a:b") GOOD, "bad"),
                CASE(HOST("a:1:2") GOOD, "bad"),
                CASE(HOST("a:70000") GOOD, "bad"),
                CASE(HOST("a:-1") GOOD, "bad"),
                CASE(HOST(":80") GOOD, "bad"),
                CASE(HOST("::1") GOOD, "bad"),
                CASE(HOST("[::1") GOOD, "bad"),
                CASE(HOST("[::1]x") GOOD, "bad"),
                CASE(HOST("[fe80::1%25eth0]") GOOD, "bad"),
                CASE(HOST("[]") GOOD, "bad"),
                CASE(HOST("[0000:0000:0000:0000:0000:0000:0000:0000:0000:0]") GOOD, "bad"),
                CASE(HOST("[0000:0000:0000:0000:0000:0000:255.255.255.2555]") GOOD, "bad"),
                CASE(HOST("[0000:0000:0000:0000:0000:0000:255.255.255.255]"),
                     "GET / @[0000:0000:0000:0000:0000:0000:255.255.255.255] k ||."),
                CASE(HOST("%zz") GOOD, "bad"),
                CASE(HOST("%4z") GOOD, "bad"),
                CASE(HOST("%z4") GOOD, "bad"),
                CASE(HOST("a%") GOOD, "bad"),
                CASE(HOST("%41%42:1"), "GET / @%41%42:1 k ||."),
                CASE(HOST("a%4") GOOD, "bad"),
                CASE(HOST("\xc3\xa4") GOOD, "bad"),
                CASE(HOST("a\\b") GOOD, "bad"),
        };

        ACCEPT(cases);
}

static void test_fields(void **state)
{
        static const struct http_case cases[] = {
                CASE(GET("A:\r\nB: \t \r\nC:d e\t\r\n"), "GET / @x k ||."),
                CASE(GET("X: caf\xc3\xa9 \xff\t\"quoted\", and a value of more than sixteen bytes\r\n"),
                     "GET / @x k ||."),
                CASE(GET("!#$%&'*+-.^_`|~0aZ: x\r\n"), "GET / @x k ||."),
                /* as long as those that mean something */
                CASE(GET("Hose: y\r\nAccept: y\r\nUpgrades: y\r\nUpgrads: y\r\nUser-Agent: close\r\n"
                         "Content-Lengtx: y\r\nTransfer-Encodinx: y\r\n"),
                     "GET / @x k ||."),
                CASE("GET / HTTP/1.1\r\n Host: x\r\n\r\n" GOOD, "bad"),
                CASE("GET / HTTP/1.1\r\n \r\nHost: x\r\n\r\n" GOOD, "bad"),
                CASE(GET("A: b\r\n c\r\n") GOOD, "bad"),
                CASE(GET("A: b\r\n\tc\r\n") GOOD, "bad"),
                CASE(GET("A:\r\n b\r\n") GOOD, "bad"),
                CASE(GET("A : b\r\n") GOOD, "bad"),
                CASE(GET("A\t: b\r\n") GOOD, "bad"),
                CASE(GET("A b: c\r\n") GOOD, "bad"),
                CASE(GET(": b\r\n") GOOD, "bad"),
                CASE(GET("A\r\n") GOOD, "bad"),
                CASE(GET("A[b: c\r\n") GOOD, "bad"),
                CASE(GET("A\xc3\xa9: c\r\n") GOOD, "bad"),
                CASE(GET("A\0: c\r\n") GOOD, "bad"),
                CASE(GET("\"A\": c\r\n") GOOD, "bad"),
                CASE(GET("A: b\0c\r\n") GOOD, "bad"),
                CASE(GET("A: b\x01"
                         "c\r\n") GOOD,
                     "bad"),
                CASE(GET("A: a value of more than sixteen bytes\x0b with a control\r\n") GOOD, "bad"),
                CASE(GET("A: a value of more than sixteen bytes\x7f with a control\r\n") GOOD, "bad"),
                CASE(GET("A: b\x7f\r\n") GOOD, "bad"),
                CASE(GET("A: b\rc\r\n") GOOD, "bad"),
                CASE(GET("A: b\r\r\n") GOOD, "bad"),
                CASE(GET("A: b\nC: d\r\n") GOOD, "bad"),
                CASE("GET / HTTP/1.1\r\nHost: x\r\n\n" GOOD, "bad"),
                CASE("GET / HTTP/1.1\r\nHost: x\n\r\n" GOOD, "bad"),
                CASE("GET / HTTP/1.1\r\nHost: x\r\n\rX" GOOD, "bad"),
                CASE("GET / HTTP/1.1\r\nHost: x\r\n\r\r\n" GOOD, "bad"),
                CASE(GET("A: b\r\n") GET("A: b\r\n") "\r\n" GOOD, "GET / @x k ||.GET / @x k ||.GET /good @x k ||."),
        };

        ACCEPT(cases);
}

static void test_lengths(void **state)
{
        static const struct http_case cases[] = {
                CASE(POST("Content-Length: 5\r\n\r\nhello") GOOD, "POST / @x kl5 |hello|.GET /good @x k ||."),
                CASE(POST("content-LENGTH:\t5 \r\n\r\nhello"), "POST / @x kl5 |hello|."),
                CASE(POST("Content-Length: 0\r\n\r\n") GOOD, "POST / @x kl0 ||.GET /good @x k ||."),
                CASE(POST("\r\n") GOOD, "POST / @x k ||.GET /good @x k ||."),
                CASE(GET("Content-Length: 3\r\n") "abc" GOOD, "GET / @x kl3 |abc|.GET /good @x k ||."),
                CASE("HEAD / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", "HEAD / @x kl3 |abc|."),
                CASE(POST("Content-Length: 10\r\n\r\nhello"), "POST / @x kl10 |hello…"),
                CASE(POST("Content-Length: 9223372036854775807\r\n\r\nx"), "POST / @x kl9223372036854775807 |x…"),
                CASE(POST("Content-Length: 9223372036854775808\r\n\r\n") GOOD, "bad"),
                CASE(POST("Content-Length: 99999999999999999999\r\n\r\n") GOOD, "bad"),
                CASE(POST("Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello") GOOD, "bad"),
                CASE(POST("Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello") GOOD, "bad"),
                CASE(POST("Content-Length: 5, 5\r\n\r\nhello") GOOD, "bad"),
                CASE(POST("Content-Length: 5, 10\r\n\r\nhello") GOOD, "bad"),
                CASE(POST("Content-Length: 5,\r\n\r\nhello") GOOD, "bad"),
                CASE(POST("Content-Length: +5\r\n\r\nhello") GOOD, "bad"),
                CASE(POST("Content-Length: -1\r\n\r\n") GOOD, "bad"),
                CASE(POST("Content-Length: -0\r\n\r\n") GOOD, "bad"),
                CASE(POST("Content-Length: 005\r\n\r\nhello") GOOD, "bad"),
                CASE(POST("Content-Length: 00\r\n\r\n") GOOD, "bad"),
                CASE(POST("Content-Length: 0x5\r\n\r\nhello") GOOD, "bad"),
                CASE(POST("Content-Length: 0o5\r\n\r\nhello") GOOD, "bad"),
                CASE(POST("Content-Length: 5e0\r\n\r\nhello") GOOD, "bad"),
                CASE(POST("Content-Length: 5.0\r\n\r\nhello") GOOD, "bad"),
                CASE(POST("Content-Length: 1 0\r\n\r\nhelloworld") GOOD, "bad"),
                CASE(POST("Content-Length: 1_0\r\n\r\nhelloworld") GOOD, "bad"),
                CASE(POST("Content-Length: \"5\"\r\n\r\nhello") GOOD, "bad"),
                CASE(POST("Content-Length:\r\n\r\n") GOOD, "bad"),
                CASE(POST("Content-Length: abc\r\n\r\n") GOOD, "bad"),
                CASE(POST("Content-Length: 5\0\r\n\r\nhello") GOOD, "bad"),
                CASE(POST("Content-Length: \xd9\xa5\r\n\r\nhello") GOOD, "bad"), /* an Arabic five */
                CASE(POST("Content_Length: 5\r\n\r\nhello") GOOD, "bad"),
                CASE(POST("Content-Length : 5\r\n\r\nhello") GOOD, "bad"),
                CASE(POST("Content-Lengths: 5\r\n\r\n") GOOD, "POST / @x k ||.GET /good @x k ||."),
        };

        ACCEPT(cases);
}

static void test_transfer_codings(void **state)
{
        static const struct http_case cases[] = {
                CASE(POST("Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n") GOOD, "POST / @x kc ||.GET /good @x k ||."),
                CASE(POST("transfer-encoding:\tCHUNKED \r\n\r\n0\r\n\r\n"), "POST / @x kc ||."),
                CASE(POST("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n") GOOD, "bad"),
                CASE(POST("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n") GOOD, "bad"),
                CASE(POST("Content-Length: 0\r\nTransfer-Encoding: gzip\r\n\r\n") GOOD, "bad"),
                CASE(POST("Transfer-Encoding: gzip\r\n\r\n") GOOD, "coding"),
                CASE(POST("Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n") GOOD, "coding"),
                CASE(POST("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n") GOOD, "coding"),
                CASE(POST("Transfer-Encoding: identity\r\n\r\n") GOOD, "coding"),
                CASE(POST("Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n") GOOD, "coding"),
                CASE(POST("Transfer-Encoding: gzip;q=1\r\n\r\n") GOOD, "coding"),
                CASE(POST("Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n") GOOD, "bad"),
                CASE(POST("Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n") GOOD, "bad"),
                CASE(POST("Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n") GOOD, "bad"),
                CASE(POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n") GOOD, "bad"),
                CASE(POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n") GOOD, "bad"),
                CASE(POST("Transfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n") GOOD, "bad"),
                CASE(POST("Transfer-Encoding: chunked;\r\n\r\n0\r\n\r\n") GOOD, "bad"),
                CASE(POST("Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n") GOOD, "bad"),
                CASE(POST("Transfer-Encoding: , chunked\r\n\r\n0\r\n\r\n") GOOD, "bad"),
                CASE(POST("Transfer-Encoding:\r\n\r\n0\r\n\r\n") GOOD, "bad"),
                CASE(POST("Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n") GOOD, "bad"),
                CASE(POST("Transfer-Encoding: chunked gzip\r\n\r\n0\r\n\r\n") GOOD, "bad"),
                CASE(POST("Transfer-Encoding: \x0b"
                          "chunked\r\n\r\n0\r\n\r\n") GOOD,
                     "bad"),
                CASE(POST("Transfer-Encoding: \x0c"
                          "chunked\r\n\r\n0\r\n\r\n") GOOD,
                     "bad"),
                CASE(POST("Transfer-Encoding: chunked\0\r\n\r\n0\r\n\r\n") GOOD, "bad"),
                CASE(POST("Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n") GOOD, "bad"),
                CASE(POST("Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n") GOOD, "bad"),
                CASE(POST("Transfer_Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello") GOOD, "bad"),
                CASE("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" GOOD, "bad"),
                CASE("POST / HTTP/1.0\r\nTransfer-Encoding: gzip\r\n\r\n" GOOD, "bad"),
        };

        ACCEPT(cases);
}

static void test_chunks(void **state)
{
        static const struct http_case cases[] = {
                CASE(CHUNKED("5\r\nhello\r\n0\r\n\r\n") GOOD, "POST / @x kc |hello|.GET /good @x k ||."),
                CASE(CHUNKED("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"), "POST / @x kc |hello world|."),
                CASE(CHUNKED("a\r\n\r\n\r\n\r\n\r\n\r\n\r\n00\r\n\r\n"), "POST / @x kc |\r\n\r\n\r\n\r\n\r\n|."),
                CASE(CHUNKED("A\r\nhelloworld\r\n0\r\n\r\n"), "POST / @x kc |helloworld|."),
                CASE(CHUNKED("0000000000000005\r\nhello\r\n0\r\n\r\n"), "POST / @x kc |hello|."),
                CASE(CHUNKED("00000000000000005\r\nhello\r\n0\r\n\r\n") GOOD, "POST / @x kc |bad"),
                CASE(CHUNKED("5;a\r\nhello\r\n0;b=c;d=\"e;\\\"\\\\\xc3\xa9 f\";g\r\n\r\n"), "POST / @x kc |hello|."),
                CASE(CHUNKED("5;a=b;c=d\r\nhello\r\n0\r\n\r\n"), "POST / @x kc |hello|."),
                CASE(CHUNKED("5\r\nhello\r\n"), "POST / @x kc |hello…"),
                CASE(CHUNKED("7fffffffffffffff\r\nx"), "POST / @x kc |x…"),
                CASE(CHUNKED("8000000000000000\r\nx"), "POST / @x kc |bad"),
                CASE(CHUNKED("ffffffffffffffff\r\nx"), "POST / @x kc |bad"),
                CASE(CHUNKED("fffffffffffffffff\r\nx"), "POST / @x kc |bad"),
                CASE(CHUNKED("\r\nhello\r\n"), "POST / @x kc |bad"),
                CASE(CHUNKED("5\nhello\r\n0\r\n\r\n"), "POST / @x kc |bad"),
                CASE(CHUNKED("5\rhello\r\n0\r\n\r\n"), "POST / @x kc |bad"),
                CASE(CHUNKED("5\r\nhello0\r\n\r\n"), "POST / @x kc |hellobad"),
                CASE(CHUNKED("5\r\nhello!!\r\n0\r\n\r\n"), "POST / @x kc |hellobad"),
                CASE(CHUNKED("5\r\nhello\n0\r\n\r\n"), "POST / @x kc |hellobad"),
                CASE(CHUNKED("5\r\nhello\r0\r\n\r\n"), "POST / @x kc |hellobad"),
                CASE(CHUNKED("5\r\nhello\rX0\r\n\r\n"), "POST / @x kc |hellobad"),
                CASE(CHUNKED("5\r\nhelloX\n0\r\n\r\n"), "POST / @x kc |hellobad"),
                CASE(CHUNKED("5\r\nhell\r\n0\r\n\r\n"), "POST / @x kc |hell\rbad"),
                CASE(CHUNKED("-1\r\nhello\r\n0\r\n\r\n"), "POST / @x kc |bad"),
                CASE(CHUNKED("+5\r\nhello\r\n0\r\n\r\n"), "POST / @x kc |bad"),
                CASE(CHUNKED("0x5\r\nhello\r\n0\r\n\r\n"), "POST / @x kc |bad"),
                CASE(CHUNKED("1_0\r\nhello\r\n0\r\n\r\n"), "POST / @x kc |bad"),
                CASE(CHUNKED("5g\r\nhello\r\n0\r\n\r\n"), "POST / @x kc |bad"),
                CASE(CHUNKED(" 5\r\nhello\r\n0\r\n\r\n"), "POST / @x kc |bad"),
                CASE(CHUNKED("5 \r\nhello\r\n0\r\n\r\n"), "POST / @x kc |bad"),
                CASE(CHUNKED("5\t;a\r\nhello\r\n0\r\n\r\n"), "POST / @x kc |bad"),
                CASE(CHUNKED("5; a\r\nhello\r\n0\r\n\r\n"), "POST / @x kc |bad"),
                CASE(CHUNKED("5;a =b\r\nhello\r\n0\r\n\r\n"), "POST / @x kc |bad"),
                CASE(CHUNKED("5;\r\nhello\r\n0\r\n\r\n"), "POST / @x kc |bad"),
                CASE(CHUNKED("5;a=\r\nhello\r\n0\r\n\r\n"), "POST / @x kc |bad"),
                CASE(CHUNKED("5;=b\r\nhello\r\n0\r\n\r\n"), "POST / @x kc |bad"),
                CASE(CHUNKED("5;bad[=x\r\nhello\r\n0\r\n\r\n"), "POST / @x kc |bad"),
                CASE(CHUNKED("5;a=\"b\r\nhello\r\n0\r\n\r\n"), "POST / @x kc |bad"),
                CASE(CHUNKED("5;a=\"b\\\r\nhello\r\n0\r\n\r\n"), "POST / @x kc |bad"),
                CASE(CHUNKED("5;a=\"b\"c\r\nhello\r\n0\r\n\r\n"), "POST / @x kc |bad"),
                CASE(CHUNKED("5;a\nX\r\nhello\r\n0\r\n\r\n"), "POST / @x kc |bad"),
                CASE(CHUNKED("5;a\rX\r\nhello\r\n0\r\n\r\n"), "POST / @x kc |bad"),
                CASE(CHUNKED("5;\0a\r\nhello\r\n0\r\n\r\n"), "POST / @x kc |bad"),
                CASE(CHUNKED("0\r\n\n"), "POST / @x kc |bad"),
                CASE(CHUNKED("0\r\n\rX"), "POST / @x kc |bad"),
                CASE(CHUNKED("0\n\r\n"), "POST / @x kc |bad"),
                CASE(CHUNKED("0\r\n" GOOD), "POST / @x kc |bad"), /* the trailer without its end */
        };

        ACCEPT(cases);
}

static void test_trailers(void **state)
{
        static const struct http_case cases[] = {
                CASE(CHUNKED("0\r\nA: b\r\nC:\r\n\r\n") GOOD, "POST / @x kc ||+A=b,+C=,.GET /good @x k ||."),
                CASE(CHUNKED("1\r\nx\r\n0\r\nAuthorization: Bearer y\r\n\r\n"),
                     "POST / @x kc |x|+Authorization=Bearer y,."),
                CASE(CHUNKED("0\r\nContent-Length: 5\r\n\r\n") GOOD, "POST / @x kc |bad"),
                CASE(CHUNKED("0\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n") GOOD, "POST / @x kc |bad"),
                CASE(CHUNKED("0\r\nContent_Length: 5\r\n\r\n") GOOD, "POST / @x kc |bad"),
                CASE(CHUNKED("0\r\nHost: y\r\n\r\n") GOOD, "POST / @x kc |bad"),
                CASE(CHUNKED("0\r\nA : b\r\n\r\n") GOOD, "POST / @x kc |bad"),
                CASE(CHUNKED("0\r\nA: b\r\n c\r\n\r\n") GOOD, "POST / @x kc |bad"),
                CASE(CHUNKED("0\r\nA: b\n\r\n") GOOD, "POST / @x kc |bad"),
                CASE(CHUNKED("0\r\nA\r\n\r\n") GOOD, "POST / @x kc |bad"),
                CASE(CHUNKED("0\r\nA: b\r\n"), "POST / @x kc |…"),
        };

        ACCEPT(cases);
}

static void test_connection_options(void **state)
{
        static const struct http_case cases[] = {
                CASE(GET("Connection: close\r\n"), "GET / @x  ||."),
                CASE(GET("Connection: Keep-Alive\r\n"), "GET / @x k ||."),
                CASE(GET("Connection: keep-alive, CLOSE\r\n"), "GET / @x  ||."),
                CASE(GET("Connection: x\r\nconnection: y ,\tclose\r\n"), "GET / @x  ||."),
                CASE(GET("Connection: closed\r\n"), "GET / @x k ||."),
                CASE("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "GET / @ 0k ||."),
                CASE("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", "GET / @ 0 ||."),
                CASE(GET("Connection: Upgrade\r\nUpgrade: websocket\r\n"), "GET / @x ku ||."),
                CASE(GET("Connection: keep-alive, upgrade\r\nUpgrade: websocket\r\n"), "GET / @x ku ||."),
                CASE(GET("Upgrade: websocket\r\n"), "GET / @x k ||."),
                CASE(GET("Connection: Upgrade\r\n"), "GET / @x k ||."),
                CASE("GET / HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "GET / @ 0 ||."),
                CASE(POST("Expect: 100-continue\r\nContent-Length: 1\r\n\r\nx"), "POST / @x kel1 |x|."),
                CASE(POST("Expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), "POST / @x kce ||."),
                CASE(GET("Expect: 100-continue\r\n"), "GET / @x k ||."),
                CASE(GET("Expect: 200-ok\r\n") GOOD, "bad"),
                CASE(GET("Expect: 100-continue, x\r\n") GOOD, "bad"),
                CASE(GET("Expect:\r\n") GOOD, "bad"),
                CASE("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx", "POST / @ 0l1 |x|."),
        };

        ACCEPT(cases);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_request_lines),    cmocka_unit_test(test_versions),
                cmocka_unit_test(test_targets),          cmocka_unit_test(test_hosts),
                cmocka_unit_test(test_fields),           cmocka_unit_test(test_lengths),
                cmocka_unit_test(test_transfer_codings), cmocka_unit_test(test_chunks),
                cmocka_unit_test(test_trailers),         cmocka_unit_test(test_connection_options),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
