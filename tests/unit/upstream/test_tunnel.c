/* Unix sockets, proxies with all that they may do, certificates that are shown to a server. */
#include "caller.h"

#include <unistd.h>

#define READ_HEAD                                                                                                      \
        {                                                                                                              \
                ACT_READ_HEAD, NULL, 0                                                                                 \
        }
#define TLS                                                                                                            \
        {                                                                                                              \
                ACT_TLS, NULL, 0                                                                                       \
        }
#define ESTABLISHED "HTTP/1.1 200 Connection established\r\n\r\n"

/* The script is the proxy, and whatever stands behind it. */
static void proxy_serve(struct world *x, const struct act *a, const struct act *b)
{
        world_serve(x, a, b);
        x->endpoint.proxy_host = x->endpoint.host;
        x->endpoint.proxy_port = x->endpoint.port;
        x->endpoint.host = SG_STR("api.example"); /* which no name server knows */
        x->endpoint.port = 8443;
}

static void serve_certificate(struct world *x)
{
        struct sg_error err;

        x->script.credentials = test_ca_sign(
                &ca, &(struct test_server_certificate){.dns_name = "api.example", .from_days = -10, .to_days = 10});
        x->script.has_tls_later = true;
        assert_int_equal(sg_tls_trust_new(&x->trust, ca.file, &err), 0);
}

static void trust(struct world *x)
{
        x->endpoint.is_tls = true;
        x->endpoint.trust = x->trust;
}

static void expect_answer(struct world *x, const char *body, bool was_reused)
{
        struct caller k = {.n_sent = 0};

        call_start(&k, x);
        call_wait(&k);
        assert_answer(&k, 200, body);
        assert_int_equal(k.was_reused, was_reused);
        call_done(&k);
}

static void expect_fault(struct world *x, enum sg_upstream_fault why, const char *words)
{
        struct caller k = {.n_sent = 0};

        call_start(&k, x);
        call_wait(&k);
        assert_fault(&k, why);
        if (!strstr(k.text, words))
                fail_msg("\"%s\" says nothing of \"%s\"", k.text, words);
        assert_int_equal(k.n_sent, 0); /* no byte of the request */
        call_done(&k);
        assert_int_equal(counts(x).n_idle + counts(x).n_busy + counts(x).n_connecting, 0);
}

/* ---- Unix sockets */

static void test_unix_socket_is_called_and_kept(void **state)
{
        static const struct act acts[] = {READ_REQUEST,       ANSWER("3", "one"), READ_REQUEST,
                                          ANSWER("3", "two"), WAIT_CLOSE,         END};
        struct world *x = *state;
        char path[64];

        (void)snprintf(path, sizeof(path), "/tmp/sg-upstream-%d.sock", (int)getpid());
        x->script.path = path;
        world_serve(x, acts, NULL);
        x->endpoint.host = SG_STR("localhost");
        x->endpoint.socket_path = sg_str_from(path);
        expect_answer(x, "one", false);
        expect_answer(x, "two", true);
        sg_upstream_close_idle(x->upstream);
        wait_until_closed(x, 1);
        script_stop(&x->script);
        expect_fault(x, SG_UPSTREAM_F_CONNECT, "sock: No such file or directory");
        x->endpoint.socket_path = SG_STR("/dev/null");
        x->endpoint.pool_key = SG_STR("other");
        expect_fault(x, SG_UPSTREAM_F_CONNECT, "cannot connect to unix:/dev/null: ");
}

static void test_too_long_a_path_is_an_error(void **state)
{
        struct world *x = *state;
        char path[200];

        memset(path, 'a', sizeof(path));
        x->endpoint = (struct sg_endpoint){.host = SG_STR("localhost"),
                                           .socket_path = sg_str_make(path, sizeof(path)),
                                           .pool_key = SG_STR("long"),
                                           .connect_timeout_usec = SG_USEC_PER_SEC,
                                           .pool_max = 1};
        expect_fault(x, SG_UPSTREAM_F_RESOURCES, "name too long");
}

/* ---- a tunnel */

static void test_plain_http_through_a_tunnel(void **state)
{
        static const struct act acts[] = {READ_HEAD,    SEND(ESTABLISHED),  READ_REQUEST, ANSWER("3", "one"),
                                          READ_REQUEST, ANSWER("3", "two"), WAIT_CLOSE,   END};
        struct world *x = *state;

        proxy_serve(x, acts, NULL);
        assert_int_equal(sg_proxy_authorization_new(&x->endpoint.proxy_authorization, SG_STR("user:pass")), 0);
        expect_answer(x, "one", false);
        expect_answer(x, "two", true);
        sg_upstream_close_idle(x->upstream);
        wait_until_closed(x, 1);
        assert_string_equal(x->script.first_head[0], "CONNECT api.example:8443 HTTP/1.1\r\nhost: api.example:8443\r\n"
                                                     "proxy-authorization: Basic dXNlcjpwYXNz\r\n\r\n");
}

static void test_tls_through_a_tunnel_is_verified_for_the_server(void **state)
{
        static const struct act acts[] = {
                READ_HEAD,    SEND(ESTABLISHED),  TLS,        READ_REQUEST, ANSWER("6", "secret"),
                READ_REQUEST, ANSWER("3", "two"), WAIT_CLOSE, END};
        static const struct act other[] = {READ_HEAD, SEND(ESTABLISHED), TLS, WAIT_CLOSE, END};
        struct world *x = *state;

        serve_certificate(x);
        proxy_serve(x, acts, other);
        trust(x);
        expect_answer(x, "secret", false);
        expect_answer(x, "two", true);
        sg_upstream_close_idle(x->upstream);
        wait_until_closed(x, 1);
        x->endpoint.host = SG_STR("other.example");
        x->endpoint.pool_key = SG_STR("other");
        expect_fault(x, SG_UPSTREAM_F_TLS, "TLS with other.example:8443 through the proxy 127.0.0.1:");
        wait_until_closed(x, 2);
        script_stop(&x->script);
        assert_string_equal(x->script.first_head[0],
                            "CONNECT api.example:8443 HTTP/1.1\r\nhost: api.example:8443\r\n\r\n");
        assert_string_equal(x->script.sni[0], "api.example");
        assert_string_equal(x->script.sni[1], "other.example");
}

static void test_address_in_brackets_and_answer_in_pieces(void **state)
{
        static const struct act acts[] = {READ_HEAD,
                                          SEND("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTT"),
                                          SEND("P/1.1 299 Fine\r\nContent-Length: 5\r\nVia: x\r\n"),
                                          SEND("\r\n"),
                                          READ_REQUEST,
                                          ANSWER("3", "one"),
                                          WAIT_CLOSE,
                                          END};
        struct world *x = *state;

        proxy_serve(x, acts, NULL);
        x->endpoint.host = SG_STR("2001:db8::1");
        expect_answer(x, "one", false);
        sg_upstream_close_idle(x->upstream);
        wait_until_closed(x, 1);
        assert_string_equal(x->script.first_head[0],
                            "CONNECT [2001:db8::1]:8443 HTTP/1.1\r\nhost: [2001:db8::1]:8443\r\n\r\n");
}

/* ---- what proxies do wrong */

static void refused_with(void **state, const char *answer, enum act_kind then, const char *words)
{
        const struct act acts[] = {READ_HEAD, SEND(answer), {then, NULL, 0}, END};
        struct world *x = *state;

        proxy_serve(x, acts, NULL);
        expect_fault(x, SG_UPSTREAM_F_CONNECT, words);
        wait_until_closed(x, 1);
}

#define REFUSED(name, answer, then, words)                                                                             \
        static void test_##name(void **state)                                                                          \
        {                                                                                                              \
                refused_with(state, answer, then, words);                                                              \
        }

REFUSED(refusal_is_told_with_its_status, "HTTP/1.1 403 Nope\r\nContent-Length: 3\r\n\r\nno!", ACT_WAIT_CLOSE,
        "cannot connect to api.example:8443 through the proxy 127.0.0.1:")
REFUSED(bad_gateway_of_the_proxy, "HTTP/1.1 502 Bad Gateway\r\n\r\n", ACT_WAIT_CLOSE,
        "the proxy refused with status 502 Bad Gateway")
REFUSED(credentials_are_asked_for, "HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic\r\n\r\n", ACT_WAIT_CLOSE,
        "set proxy_authorization (407)")
REFUSED(switching_protocols_is_no_tunnel, "HTTP/1.1 101 Go\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        ACT_WAIT_CLOSE, "status 101")
REFUSED(redirect_is_not_followed, "HTTP/1.1 302 Found\r\nLocation: http://x/\r\n\r\n", ACT_WAIT_CLOSE, "status 302")
REFUSED(garbage_is_no_answer, "SSH-2.0-OpenSSH_9.2\r\n", ACT_WAIT_CLOSE, "the proxy's answer is not valid HTTP/1")
REFUSED(bytes_behind_the_answer_are_not_the_servers, ESTABLISHED "HTTP/1.1 200 OK\r\n\r\n", ACT_WAIT_CLOSE,
        "the proxy sent more than its answer")
REFUSED(close_without_an_answer, "", ACT_END, "the proxy closed the connection without an answer")
REFUSED(close_inside_the_answer, "HTTP/1.1 200", ACT_END, "the proxy closed the connection without an answer")

static void test_refused_credentials_are_told_otherwise(void **state)
{
        static const struct act acts[] = {READ_HEAD, SEND("HTTP/1.1 407 Who\r\n\r\n"), WAIT_CLOSE, END};
        struct world *x = *state;

        proxy_serve(x, acts, NULL);
        assert_int_equal(sg_proxy_authorization_new(&x->endpoint.proxy_authorization, SG_STR("user:pass")), 0);
        expect_fault(x, SG_UPSTREAM_F_CONNECT, "the proxy does not accept the user and password (407)");
        wait_until_closed(x, 1);
}

static void test_reset_of_the_proxy(void **state)
{
        static const struct act acts[] = {READ_HEAD, RESET};
        struct world *x = *state;

        proxy_serve(x, acts, NULL);
        expect_fault(x, SG_UPSTREAM_F_CONNECT, "no answer from the proxy: ");
}

static void test_endless_answers_are_cut_off(void **state)
{
        static const struct act field[] = {
                READ_HEAD, SEND("HTTP/1.1 200 OK\r\n"), {ACT_SEND_MANY, "x: 0123456789\r\n", 100000}, END};
        static const struct act interim[] = {
                READ_HEAD, {ACT_SEND_MANY, "HTTP/1.1 103 Early\r\nx: y\r\n\r\n", 100000}, END};
        struct world *x = *state;

        proxy_serve(x, field, interim);
        expect_fault(x, SG_UPSTREAM_F_CONNECT, "the proxy's answer has more than 16384 bytes");
        expect_fault(x, SG_UPSTREAM_F_CONNECT, "the proxy's answer has more than 16384 bytes");
}

static void test_silent_proxy_is_given_up_in_time(void **state)
{
        static const struct act acts[] = {READ_HEAD, WAIT_CLOSE, END};
        struct world *x = *state;

        proxy_serve(x, acts, NULL);
        x->endpoint.connect_timeout_usec = 50 * MSEC;
        expect_fault(x, SG_UPSTREAM_F_TIMEOUT, "no answer from the proxy within 50 ms");
        wait_until_closed(x, 1);
}

static void test_silence_behind_the_tunnel_is_given_up_in_time(void **state)
{
        static const struct act acts[] = {READ_HEAD, SEND(ESTABLISHED), WAIT_CLOSE, END};
        struct world *x = *state;

        serve_certificate(x);
        proxy_serve(x, acts, NULL);
        trust(x);
        x->endpoint.connect_timeout_usec = 50 * MSEC;
        expect_fault(x, SG_UPSTREAM_F_TIMEOUT, "not secured within 50 ms");
        wait_until_closed(x, 1);
}

static void test_tunnel_that_ends_at_once(void **state)
{
        static const struct act acts[] = {READ_HEAD, SEND(ESTABLISHED), END};
        struct world *x = *state;
        struct caller k = {.n_sent = 0};

        serve_certificate(x);
        proxy_serve(x, acts, NULL);
        trust(x);
        call_start(&k, x);
        call_wait(&k);
        assert_int_equal(k.n_failed, 1);
        assert_int_equal(k.n_sent, 0);
        assert_true(k.fault == SG_UPSTREAM_F_TLS || k.fault == SG_UPSTREAM_F_CONNECT);
        call_done(&k);
}

static void test_proxy_that_is_not_there(void **state)
{
        struct world *x = *state;

        x->endpoint = (struct sg_endpoint){.host = SG_STR("127.0.0.1"),
                                           .port = 80,
                                           .proxy_host = SG_STR("127.0.0.1"),
                                           .proxy_port = 1,
                                           .pool_key = SG_STR("gone"),
                                           .connect_timeout_usec = 5 * SG_USEC_PER_SEC,
                                           .pool_max = 1};
        expect_fault(x, SG_UPSTREAM_F_CONNECT,
                     "cannot connect to 127.0.0.1:80 through the proxy 127.0.0.1:1 (127.0.0.1:1): Connection refused");
        x->endpoint.proxy_host = SG_STR("no-such-name.invalid");
        x->endpoint.pool_key = SG_STR("unknown");
        expect_fault(x, SG_UPSTREAM_F_RESOLVE, "cannot resolve the proxy on the way to 127.0.0.1:80");
}

static void test_call_that_is_freed_inside_a_tunnel_leaves_nothing(void **state)
{
        static const struct act acts[] = {READ_HEAD, WAIT_CLOSE, END};
        struct world *x = *state;
        struct caller k = {.n_sent = 0};

        proxy_serve(x, acts, NULL);
        call_start(&k, x);
        while (!atomic_load(&x->script.n_accepted))
                run_few_turns(x->loop);
        call_done(&k);
        wait_until_closed(x, 1);
        assert_int_equal(counts(x).n_connecting, 0);
}

static void test_authorization_of_every_length(void **state)
{
        static const char *const cases[][2] = {
                {"a:", "YTo="}, {"a:b", "YTpi"}, {"a:bc", "YTpiYw=="}, {"\xff\xfe:", "//46"}};
        char expected[64], big[4000];
        struct sg_secret *s = NULL;

        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                assert_int_equal(sg_proxy_authorization_new(&s, sg_str_from(cases[i][0])), 0);
                (void)snprintf(expected, sizeof(expected), "proxy-authorization: Basic %s\r\n", cases[i][1]);
                assert_true(sg_str_eq(sg_secret_bytes(s), sg_str_from(expected)));
                s = sg_secret_unref(s);
        }
        memset(big, 'a', sizeof(big));
        assert_int_equal(sg_proxy_authorization_new(&s, sg_str_make(big, 3072)), 0);
        s = sg_secret_unref(s);
        assert_int_equal(sg_proxy_authorization_new(&s, sg_str_make(big, 3073)), -E2BIG);
}

/* ---- certificates of ours, names of theirs */

static void load_certificate(struct world *x, const char *purpose)
{
        struct test_pem pem;
        struct sg_error err;

        test_ca_write(&ca,
                      &(struct test_server_certificate){
                              .dns_name = "gateway", .purpose = purpose, .from_days = -10, .to_days = 10},
                      &pem);
        assert_int_equal(sg_tls_certificate_new(&x->endpoint.certificate, pem.certificate, pem.key, &err), 0);
        test_pem_remove(&pem);
}

static void test_certificate_is_shown_to_a_server_that_wants_one(void **state)
{
        static const struct act acts[] = {TLS, READ_REQUEST, ANSWER("2", "ok"), WAIT_CLOSE, END};
        struct world *x = *state;

        serve_certificate(x);
        x->script.wants_certificate = true;
        world_serve(x, acts, acts);
        trust(x);
        x->endpoint.server_name = SG_STR("api.example");
        load_certificate(x, GNUTLS_KP_TLS_WWW_CLIENT);
        expect_answer(x, "ok", false);
        sg_upstream_close_idle(x->upstream);
        wait_until_closed(x, 1);
        script_stop(&x->script);
        assert_true(x->script.saw_certificate[0]);
        assert_string_equal(x->script.sni[0], "api.example"); /* the host is 127.0.0.1 */
}

static void test_missing_certificate_is_a_fault_of_tls(void **state)
{
        static const struct act acts[] = {TLS, READ_REQUEST, ANSWER("2", "ok"), END};
        struct world *x = *state;
        struct caller k = {.n_sent = 0};

        serve_certificate(x);
        x->script.wants_certificate = true;
        world_serve(x, acts, NULL);
        trust(x);
        x->endpoint.server_name = SG_STR("api.example");
        call_start(&k, x);
        call_wait(&k);
        assert_fault(&k, SG_UPSTREAM_F_TLS);
        assert_non_null(strstr(k.text, "ertificate"));
        call_done(&k);
}

static void test_server_that_wants_none_sees_none(void **state)
{
        static const struct act acts[] = {TLS, READ_REQUEST, ANSWER("2", "ok"), WAIT_CLOSE, END};
        struct world *x = *state;

        serve_certificate(x);
        world_serve(x, acts, NULL);
        trust(x);
        x->endpoint.server_name = SG_STR("api.example");
        load_certificate(x, GNUTLS_KP_TLS_WWW_CLIENT);
        expect_answer(x, "ok", false);
        sg_upstream_close_idle(x->upstream);
        wait_until_closed(x, 1);
        assert_false(x->script.saw_certificate[0]);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_unix_socket_is_called_and_kept),
                TEST(test_too_long_a_path_is_an_error),
                TEST(test_plain_http_through_a_tunnel),
                TEST(test_tls_through_a_tunnel_is_verified_for_the_server),
                TEST(test_address_in_brackets_and_answer_in_pieces),
                TEST(test_refusal_is_told_with_its_status),
                TEST(test_bad_gateway_of_the_proxy),
                TEST(test_credentials_are_asked_for),
                TEST(test_switching_protocols_is_no_tunnel),
                TEST(test_redirect_is_not_followed),
                TEST(test_garbage_is_no_answer),
                TEST(test_bytes_behind_the_answer_are_not_the_servers),
                TEST(test_close_without_an_answer),
                TEST(test_close_inside_the_answer),
                TEST(test_refused_credentials_are_told_otherwise),
                TEST(test_reset_of_the_proxy),
                TEST(test_endless_answers_are_cut_off),
                TEST(test_silent_proxy_is_given_up_in_time),
                TEST(test_silence_behind_the_tunnel_is_given_up_in_time),
                TEST(test_tunnel_that_ends_at_once),
                TEST(test_proxy_that_is_not_there),
                TEST(test_call_that_is_freed_inside_a_tunnel_leaves_nothing),
                TEST(test_authorization_of_every_length),
                TEST(test_certificate_is_shown_to_a_server_that_wants_one),
                TEST(test_missing_certificate_is_a_fault_of_tls),
                TEST(test_server_that_wants_none_sees_none),
        };

        return cmocka_run_group_tests(tests, make_ca, drop_ca);
}
