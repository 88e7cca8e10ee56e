/*
 * Checks of endpoints: what is asked, what counts as up, who is told and when. The servers are on the same loop as the
 * probes, and do what the test says.
 */
#include "world.h"

#include <sys/un.h>

#include "../tls/certificates.h"
#include "net/listen.h"

#define N_ENDPOINTS_MAX 40u
#define OK_ANSWER       "HTTP/1.1 204 No Content\r\n\r\n"

/* What an endpoint is here: says `answer` to each request, and remembers the last. */
struct server {
        struct sg_loop *loop;
        int fd;
        uint16_t port;
        struct sg_acceptor *acceptor;
        struct sg_tls_identity *identity; /* NULL: without TLS */
        struct sg_stream *streams[16];    /* the latest; freed by the next that takes the place, or at the end */
        unsigned n_accepted;
        const char *answer; /* NULL: silence */
        char asked[1024];
};

struct told {
        unsigned n, n_changes; /* callbacks; and those that said something else than the one before */
        bool is_up;
        char text[SG_PROBE_TEXT_BYTES];
        char service[32];
};

struct checks {
        struct told told[N_ENDPOINTS_MAX];
        const struct server *server; /* of waiting for connections */
        unsigned n_wanted;
        struct services *made[16]; /* configurations hold them */
        size_t n_made;
};

/* ---- servers */

static size_t server_on_bytes(struct sg_stream *s, struct sg_str bytes, void *owner)
{
        struct server *v = owner;
        const size_t n = SG_MIN(bytes.n, sizeof(v->asked) - 1);

        if (sg_str_find(bytes, SG_STR("\r\n\r\n")) == bytes.n)
                return 0;
        memcpy(v->asked, bytes.p, n);
        v->asked[n] = '\0';
        if (v->answer) {
                const struct sg_str answer = sg_str_from(v->answer);

                assert_int_equal(sg_stream_write(s, &answer, 1), 0);
        }
        return bytes.n;
}

static void server_on_drained(struct sg_stream *s, void *owner)
{
}

static void server_on_end(struct sg_stream *s, enum sg_stream_end why, void *owner)
{
        struct server *v = owner;

        for (size_t i = 0; i < SG_N_ELEMENTS(v->streams); i++)
                if (v->streams[i] == s)
                        v->streams[i] = sg_stream_free(s);
}

static void server_on_connection(int fd, void *owner)
{
        static const struct sg_stream_listener listener = {
                .on_bytes = server_on_bytes, .on_drained = server_on_drained, .on_end = server_on_end};
        struct server *v = owner;
        struct sg_stream **place = &v->streams[v->n_accepted++ % SG_N_ELEMENTS(v->streams)];
        struct sg_layer *layer;

        *place = sg_stream_free(*place);
        assert_int_equal(sg_stream_new_fd(place, v->loop, fd, NULL, &listener, v), 0);
        if (v->identity) {
                assert_int_equal(sg_tls_server_layer(&layer, v->identity), 0);
                sg_tls_apply(*place, layer);
        }
        sg_stream_resume(*place);
}

static void server_take(struct server *v, struct world *w, const char *answer, const char *address)
{
        struct sg_error err = {0};
        struct sg_address at;

        *v = (struct server){.loop = w->loop, .answer = answer};
        assert_int_equal(sg_address_parse(&at, sg_str_from(address), &err), 0);
        assert_int_equal(sg_listen_bind(&v->fd, &at, &err), 0);
        assert_int_equal(sg_listen_address(&at, v->fd), 0);
        if (at.socket.ss_family == AF_INET)
                v->port = ntohs(((struct sockaddr_in *)(void *)&at.socket)->sin_port);
        assert_int_equal(sg_acceptor_new(&v->acceptor, w->loop, v->fd, server_on_connection, v), 0);
        sg_acceptor_start(v->acceptor);
}

static void server_init(struct server *v, struct world *w, const char *answer)
{
        server_take(v, w, answer, "127.0.0.1:0");
}

static void server_done(struct server *v)
{
        for (size_t i = 0; i < SG_N_ELEMENTS(v->streams); i++)
                v->streams[i] = sg_stream_free(v->streams[i]);
        v->acceptor = sg_acceptor_free(v->acceptor);
        v->identity = sg_tls_identity_unref(v->identity);
        close(v->fd);
}

/* ---- what is told */

static void on_endpoint(const struct sg_config_service *service, unsigned endpoint, bool is_up, const char *text,
                        void *owner)
{
        struct checks *c = owner;
        struct told *t = &c->told[endpoint];

        assert_true(endpoint < N_ENDPOINTS_MAX);
        t->n_changes += t->n && t->is_up != is_up;
        t->n++;
        t->is_up = is_up;
        snprintf(t->text, sizeof(t->text), "%s", text);
        snprintf(t->service, sizeof(t->service), "%s", service->name);
}

static int set_up_checks(void **state)
{
        struct world *w;

        set_up(state);
        w = *state;
        w->more = calloc(1, sizeof(struct checks));
        assert_non_null(w->more);
        sg_probes_on_endpoint(w->probes, on_endpoint, w->more);
        return 0;
}

static int tear_down_checks(void **state)
{
        struct world *w = *state;
        struct checks *c = w->more;
        int r = tear_down(state);

        while (c->n_made)
                free(c->made[--c->n_made]);
        free(c);
        return r;
}

static const struct told *first(const struct world *w)
{
        return ((const struct checks *)w->more)->told;
}

static bool first_is_down(const struct world *w)
{
        return !first(w)->is_up;
}

static bool first_is_up(const struct world *w)
{
        return first(w)->is_up;
}

static bool is_asked_enough(const struct world *w)
{
        const struct checks *c = w->more;

        return c->server->n_accepted >= c->n_wanted;
}

static void wait_for_connections(struct world *w, const struct server *v, unsigned n_more)
{
        struct checks *c = w->more;

        c->server = v;
        c->n_wanted = v->n_accepted + n_more;
        wait_until(w, is_asked_enough);
}

/* ---- configurations by hand */

struct services {
        struct sg_config_service service;
        struct sg_config_endpoint endpoints[N_ENDPOINTS_MAX];
        char urls[N_ENDPOINTS_MAX][80];
};

static struct services *services_of(struct world *w, enum sg_endpoint_check check, const char *path,
                                    uint64_t interval_usec)
{
        struct checks *c = w->more;
        struct services *s = calloc(1, sizeof(*s));

        assert_non_null(s);
        assert_true(c->n_made < SG_N_ELEMENTS(c->made));
        c->made[c->n_made++] = s;
        s->service = (struct sg_config_service){
                .name = "query",
                .where = "gateway.conf:1",
                .check = check,
                .health_path = path,
                .health_interval_usec = interval_usec,
                .health_timeout_usec = 500 * SG_USEC_PER_MSEC,
                .endpoints = s->endpoints,
        };
        return s;
}

static struct sg_config_endpoint *add_endpoint(struct services *s, bool is_tls, uint16_t port)
{
        const size_t i = s->service.n_endpoints++;
        const char *scheme = is_tls ? "https" : "http";

        assert_true(i < N_ENDPOINTS_MAX);
        snprintf(s->urls[i], sizeof(s->urls[i]), "%s://127.0.0.1:%u", scheme, port);
        s->endpoints[i] = (struct sg_config_endpoint){
                .url = s->urls[i],
                .is_tls = is_tls,
                .host = "127.0.0.1",
                .port = port,
                .authority = s->urls[i] + strlen(scheme) + 3,
                .path_prefix = "",
                .weight = 1,
        };
        return &s->endpoints[i];
}

static int try_services(struct world *w, struct services *s, struct sg_error *err)
{
        SG_AUTO(sg_config_unref) struct sg_config *c = config_of(w, "");
        struct sg_probe_set *set;
        int r;

        c->services = &s->service;
        c->n_services = 1;
        r = sg_probes_prepare(&set, w->probes, c, NULL, err);
        if (!r)
                sg_probes_take(w->probes, set);
        return r;
}

static void take_services(struct world *w, struct services *s)
{
        struct sg_error err = {0};

        if (try_services(w, s, &err))
                fail_msg("%s: %s", err.where, err.text);
}

/* ---- the tests */

#define MSEC SG_USEC_PER_MSEC

static void test_http_goes_down_by_two_failures_and_up_by_one_success(void **state)
{
        struct world *w = *state;
        struct services *s = services_of(w, SG_CHECK_HTTP, "/api/health?deep=1", 100 * MSEC);
        struct server v;
        unsigned n_accepted;

        server_init(&v, w, "HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\n\r\n");
        add_endpoint(s, false, v.port)->path_prefix = "/v2";
        take_services(w, s);
        assert_int_equal(first(w)->n, 1); /* before it was asked */
        assert_true(first(w)->is_up);
        assert_string_equal(first(w)->service, "query");

        wait_until(w, first_is_down);
        assert_string_equal(first(w)->text, "status 503");
        assert_int_equal(v.n_accepted, SG_PROBE_FAILURES_MAX);
        assert_non_null(strstr(v.asked, "GET /v2/api/health?deep=1 HTTP/1.1\r\nhost: 127.0.0.1:"));
        assert_non_null(strstr(v.asked, "\r\nconnection: close\r\n"));

        v.answer = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 302 Found\r\nlocation: /\r\n\r\n";
        n_accepted = v.n_accepted;
        wait_until(w, first_is_up);
        assert_int_equal(v.n_accepted, n_accepted + 1);
        assert_string_equal(first(w)->text, "");
        assert_int_equal(first(w)->n_changes, 2);
        assert_int_equal(first(w)->n, 3);
        assert_int_equal(sg_probes_health(w->probes)->n_items, 0);
        server_done(&v);
        wait_until(w, first_is_down);
        assert_string_equal(first(w)->text, "Connection refused");
}

static void test_what_is_down(void **state)
{
        static const struct {
                const char *answer, *text;
        } cases[] = {
                {"HTTP/1.1 404 Not Found\r\n\r\n", "status 404"},
                {"HTTP/1.1 199 Odd\r\n\r\n", "no answer within 500 ms"},
                {"HTTP/1.1 101 Switching Protocols\r\n\r\n", "it switches to a protocol that nobody asked for"},
                {"SSH-2.0-OpenSSH_9.6\r\n\r\n", "the answer is not HTTP/1.1's (bad)"},
                {NULL, "no answer within 500 ms"},
        };
        struct world *w = *state;

        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                struct services *s = services_of(w, SG_CHECK_HTTP, "/", 50 * MSEC);
                struct server v;

                server_init(&v, w, cases[i].answer);
                add_endpoint(s, false, v.port);
                take_services(w, s);
                assert_true(first(w)->is_up); /* another port is another endpoint */
                wait_until(w, first_is_down);
                assert_string_equal(first(w)->text, cases[i].text);
                server_done(&v);
        }
}

static void test_grpc_of_who_does_not_speak_it(void **state)
{
        struct world *w = *state;
        struct services *s = services_of(w, SG_CHECK_GRPC, "", 50 * MSEC);
        struct server v;

        server_init(&v, w, "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
        add_endpoint(s, false, v.port);
        take_services(w, s);
        wait_until(w, first_is_down);
        assert_string_equal(first(w)->text, "the answer is not HTTP/2's (broken)");
        assert_non_null(strstr(v.asked, "PRI * HTTP/2.0\r\n"));
        server_done(&v);
}

static void test_one_failure_is_none(void **state)
{
        struct world *w = *state;
        struct services *s = services_of(w, SG_CHECK_HTTP, "/", 50 * MSEC);
        struct server v;

        server_init(&v, w, "HTTP/1.1 500 Oops\r\n\r\n");
        add_endpoint(s, false, v.port);
        take_services(w, s);
        wait_for_connections(w, &v, 1);
        v.answer = OK_ANSWER; /* before the question is read */
        wait_for_connections(w, &v, 3);
        assert_int_equal(first(w)->n, 1);
        server_done(&v);
}

static void test_tcp_asks_nothing(void **state)
{
        struct world *w = *state;
        struct services *s = services_of(w, SG_CHECK_TCP, NULL, 50 * MSEC);
        struct server v;

        server_init(&v, w, NULL);
        add_endpoint(s, false, v.port);
        take_services(w, s);
        wait_for_connections(w, &v, 3);
        assert_int_equal(first(w)->n, 1);
        assert_true(first(w)->is_up);
        assert_string_equal(v.asked, "");
        server_done(&v);
        wait_until(w, first_is_down);
        assert_string_equal(first(w)->text, "Connection refused");
}

static void test_a_unix_socket(void **state)
{
        struct world *w = *state;
        struct services *s = services_of(w, SG_CHECK_HTTP, "/", 50 * MSEC);
        struct sg_config_endpoint *e = add_endpoint(s, false, 0);
        char address[128];
        struct server v;

        snprintf(address, sizeof(address), "unix:%s/s.sock", w->directory);
        *e = (struct sg_config_endpoint){.url = address,
                                         .host = "localhost",
                                         .authority = "localhost",
                                         .path_prefix = "",
                                         .socket_path = address + strlen("unix:"),
                                         .weight = 1};
        server_take(&v, w, OK_ANSWER, address);
        take_services(w, s);
        wait_for_connections(w, &v, 3);
        assert_int_equal(first(w)->n, 1);
        assert_non_null(strstr(v.asked, "\r\nhost: localhost\r\n"));
        server_done(&v);
        assert_int_equal(unlink(e->socket_path), 0);
        wait_until(w, first_is_down);
        assert_string_equal(first(w)->text, "No such file or directory");
        server_take(&v, w, OK_ANSWER, address);
        wait_until(w, first_is_up);
        server_done(&v);
        assert_int_equal(unlink(e->socket_path), 0);
}

/* Nobody accepts: as many as may wait do, and a check that finds no room says something of the endpoint. */
static void test_a_unix_socket_whose_queue_is_full_is_down(void **state)
{
        struct world *w = *state;
        struct services *s = services_of(w, SG_CHECK_TCP, NULL, 50 * MSEC);
        struct sg_config_endpoint *e = add_endpoint(s, false, 0);
        struct sockaddr_un at = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), waiting[2];

        snprintf(at.sun_path, sizeof(at.sun_path), "%s/full.sock", w->directory);
        assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
        assert_int_equal(listen(fd, 0), 0);
        for (size_t i = 0; i < SG_N_ELEMENTS(waiting); i++) {
                waiting[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
                (void)connect(waiting[i], (struct sockaddr *)&at, sizeof(at));
        }
        e->host = "localhost";
        e->socket_path = at.sun_path;
        take_services(w, s);
        wait_until(w, first_is_down);
        assert_string_equal(first(w)->text, "Resource temporarily unavailable");
        for (size_t i = 0; i < SG_N_ELEMENTS(waiting); i++)
                close(waiting[i]);
        close(fd);
        unlink(at.sun_path);
}

/* Three at one port: by its name, by another name, and by its name with a client's certificate where one is wanted. */
static void test_tls(void **state)
{
        struct world *w = *state;
        struct services *s = services_of(w, SG_CHECK_HTTP, "/", 50 * MSEC);
        struct test_server_certificate want = {.dns_name = "query.internal", .from_days = -1, .to_days = 1};
        struct sg_tls_identity_options options = {.n_certificates = 1};
        struct sg_error err = {0};
        struct test_pem server, client;
        const char *certificate = server.certificate, *key = server.key;
        struct test_ca ca;
        struct server v;

        test_ca_init(&ca, "Test CA");
        test_ca_write(&ca, &want, &server);
        want.purpose = GNUTLS_KP_TLS_WWW_CLIENT;
        test_ca_write(&ca, &want, &client);
        options.certificates = &certificate;
        options.keys = &key;
        options.client_ca = ca.file;
        options.client_certificate = SG_TLS_CLIENT_CERTIFICATE_REQUIRED;
        server_init(&v, w, OK_ANSWER);
        assert_int_equal(sg_tls_identity_new(&v.identity, &options, &err), 0);
        add_endpoint(s, true, v.port);
        s->service.ca_file = ca.file;
        take_services(w, s);
        wait_until(w, first_is_down);
        assert_non_null(strstr(first(w)->text, "certificate")); /* it is another's: 127.0.0.1 */
        assert_string_equal(v.asked, "");

        s = services_of(w, SG_CHECK_HTTP, "/", 50 * MSEC);
        add_endpoint(s, true, v.port);
        s->service.ca_file = ca.file;
        s->service.tls_server_name = "query.internal";
        take_services(w, s);
        assert_true(first(w)->is_up); /* something else is asked */
        wait_until(w, first_is_down);
        assert_non_null(strstr(first(w)->text, "closed before an answer")); /* without the certificate that is wanted */
        assert_string_equal(v.asked, "");

        s = services_of(w, SG_CHECK_HTTP, "/", 50 * MSEC);
        add_endpoint(s, true, v.port);
        s->service.ca_file = ca.file;
        s->service.tls_server_name = "query.internal";
        s->service.tls_certificate = client.certificate;
        s->service.tls_key = client.key;
        take_services(w, s);
        wait_for_connections(w, &v, 4);
        assert_true(first(w)->is_up);
        assert_non_null(strstr(v.asked, "GET / HTTP/1.1\r\n"));
        server_done(&v);
        test_pem_remove(&server);
        test_pem_remove(&client);
        test_ca_done(&ca);
}

static void test_a_set_that_cannot_be_prepared_changes_nothing(void **state)
{
        struct world *w = *state;
        struct services *s = services_of(w, SG_CHECK_TCP, NULL, 50 * MSEC);
        struct services *other = services_of(w, SG_CHECK_TCP, NULL, 50 * MSEC);
        struct sg_error err = {0};
        struct server v;

        server_init(&v, w, NULL);
        add_endpoint(s, false, v.port);
        take_services(w, s);
        add_endpoint(other, true, v.port);
        other->service.ca_file = "/nowhere.pem";
        assert_true(try_services(w, other, &err) < 0);
        assert_string_equal(err.where, "/nowhere.pem");
        assert_non_null(strstr(err.text, "gateway.conf:1"));
        wait_for_connections(w, &v, 2);
        assert_int_equal(first(w)->n, 1);
        server_done(&v);
}

static void test_a_new_set_keeps_what_stays_the_same(void **state)
{
        struct world *w = *state;
        struct checks *c = w->more;
        struct services *s = services_of(w, SG_CHECK_HTTP, "/", 50 * MSEC), *next;
        struct server v;

        server_init(&v, w, "HTTP/1.1 500 Oops\r\n\r\n");
        add_endpoint(s, false, v.port);
        take_services(w, s);
        wait_until(w, first_is_down);

        /* At another place of the list, and asked at other times. */
        next = services_of(w, SG_CHECK_HTTP, "/", SG_USEC_PER_SEC);
        add_endpoint(next, false, 1);
        add_endpoint(next, false, v.port);
        take_services(w, next);
        assert_true(c->told[0].is_up);
        assert_false(c->told[1].is_up);
        assert_string_equal(c->told[1].text, "status 500");

        /* Another path is another question. */
        next = services_of(w, SG_CHECK_HTTP, "/other", SG_USEC_PER_SEC);
        add_endpoint(next, false, v.port);
        take_services(w, next);
        assert_true(c->told[0].is_up);
        wait_until(w, first_is_down);

        /* And who is not asked any more is not down. */
        next = services_of(w, SG_CHECK_NONE, NULL, SG_USEC_PER_SEC);
        add_endpoint(next, false, v.port);
        take_services(w, next);
        assert_true(first(w)->is_up);
        server_done(&v);
}

static bool never(const struct world *w)
{
        return false;
}

static void run_for(struct world *w, uint64_t usec)
{
        w->is_there = never;
        sg_timer_start(&w->deadline, usec);
        sg_loop_run(w->loop, SG_USEC_NEVER, after_turn, w);
        assert_true(w->is_late);
        w->is_late = false;
}

static void test_endpoints_are_not_asked_in_the_same_instant(void **state)
{
        struct world *w = *state;
        struct services *s = services_of(w, SG_CHECK_HTTP, "/", SG_USEC_PER_SEC);
        unsigned n_early;
        struct server v;

        server_init(&v, w, OK_ANSWER);
        for (unsigned i = 0; i < N_ENDPOINTS_MAX; i++)
                add_endpoint(s, false, v.port);
        take_services(w, s);
        run_for(w, 500 * MSEC);
        n_early = v.n_accepted;
        wait_for_connections(w, &v, 2 * N_ENDPOINTS_MAX);
        /* Of 40 at random within a second: that fewer than 4 or all fall into one half happens once in 10 million runs. */
        assert_in_range(n_early, 4, N_ENDPOINTS_MAX - 1);
        server_done(&v);
}

static void test_stopping_while_all_are_asked(void **state)
{
        struct world *w = *state;
        struct services *s = services_of(w, SG_CHECK_HTTP, "/", 50 * MSEC);
        unsigned n_accepted;
        struct server v;

        server_init(&v, w, NULL); /* it says nothing: they are under way */
        for (unsigned i = 0; i < 16; i++)
                add_endpoint(s, false, v.port);
        take_services(w, s);
        wait_for_connections(w, &v, 8);
        sg_probes_stop(w->probes);
        run_for(w, 50 * MSEC); /* those that the kernel has connected are accepted */
        n_accepted = v.n_accepted;
        run_for(w, 700 * MSEC);
        assert_int_equal(v.n_accepted, n_accepted);
        assert_int_equal(first(w)->n, 1);
        server_done(&v);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up_checks, tear_down_checks)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_http_goes_down_by_two_failures_and_up_by_one_success),
                TEST(test_what_is_down),
                TEST(test_grpc_of_who_does_not_speak_it),
                TEST(test_one_failure_is_none),
                TEST(test_tcp_asks_nothing),
                TEST(test_a_unix_socket),
                TEST(test_a_unix_socket_whose_queue_is_full_is_down),
                TEST(test_tls),
                TEST(test_a_set_that_cannot_be_prepared_changes_nothing),
                TEST(test_a_new_set_keeps_what_stays_the_same),
                TEST(test_endpoints_are_not_asked_in_the_same_instant),
                TEST(test_stopping_while_all_are_asked),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
