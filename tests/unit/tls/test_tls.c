#include "../net/net_test.h"

#include <netinet/tcp.h>
#include <pthread.h>

#include "certificates.h"
#include "tls/tls.h"

/* ---- a server of one thread: a blocking GnuTLS session per connection, which echoes */

struct server {
        struct test_server_certificate certificate;
        const char *priorities;
        bool closes_without_notify; /* after the first echo */
        bool closes_at_once;        /* before the handshake */
        bool speaks_plain;
        bool ends_after_echo; /* data and close_notify in one segment, without a FIN until the client's */
        int listener;
        struct sockaddr_in address;
        pthread_t thread;
        gnutls_certificate_credentials_t credentials;
        gnutls_datum_t ticket_key;
        /* read after the thread has ended */
        unsigned n_connections, n_resumed;
        char sni[64], alpn[32];
};

static struct test_ca ca;

static void serve_session(struct server *v, gnutls_session_t session, int fd)
{
        static char buffer[70000];
        gnutls_datum_t alpn;
        size_t n = sizeof(v->sni);
        unsigned type;
        ssize_t got;
        int r;

        do {
                r = gnutls_handshake(session);
        } while (r < 0 && !gnutls_error_is_fatal(r));
        if (r < 0)
                return;
        v->n_resumed += gnutls_session_is_resumed(session) != 0;
        if (gnutls_server_name_get(session, v->sni, &n, &type, 0))
                v->sni[0] = '\0';
        if (gnutls_alpn_get_selected_protocol(session, &alpn) == 0)
                (void)snprintf(v->alpn, sizeof(v->alpn), "%.*s", (int)alpn.size, (const char *)alpn.data);
        for (;;) {
                got = gnutls_record_recv(session, buffer, sizeof(buffer));
                if (got == GNUTLS_E_INTERRUPTED || got == GNUTLS_E_AGAIN)
                        continue;
                if (got <= 0)
                        break;
                if (v->ends_after_echo)
                        gnutls_record_cork(session);
                (void)gnutls_record_send(session, buffer, (size_t)got);
                if (v->ends_after_echo) {
                        const int cork = 1;

                        (void)setsockopt(fd, IPPROTO_TCP, TCP_CORK, &cork, sizeof(cork));
                        (void)gnutls_record_uncork(session, GNUTLS_RECORD_WAIT);
                        (void)gnutls_bye(session, GNUTLS_SHUT_WR);
                        (void)setsockopt(fd, IPPROTO_TCP, TCP_CORK, &(int){0}, sizeof(int));
                        (void)recv(fd, buffer, 1, 0);
                        return;
                }
                if (v->closes_without_notify)
                        return;
        }
        if (got == 0)
                (void)gnutls_bye(session, GNUTLS_SHUT_WR);
}

static void serve_connection(struct server *v, int fd)
{
        const gnutls_datum_t protocol = {(unsigned char *)(uintptr_t) "http/1.1", 8};
        gnutls_session_t session;

        if (v->closes_at_once)
                return;
        if (v->speaks_plain) {
                char hello[512];

                (void)!recv(fd, hello, sizeof(hello), 0);
                (void)!send(fd, "HTTP/1.1 400 Bad Request\r\n\r\n", 28, MSG_NOSIGNAL);
                return;
        }
        gnutls_init(&session, GNUTLS_SERVER | GNUTLS_NO_SIGNAL);
        gnutls_priority_set_direct(session, v->priorities ? v->priorities : "NORMAL", NULL);
        gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, v->credentials);
        gnutls_session_ticket_enable_server(session, &v->ticket_key);
        gnutls_alpn_set_protocols(session, &protocol, 1, 0);
        gnutls_transport_set_int(session, fd);
        serve_session(v, session, fd);
        gnutls_deinit(session);
}

static void *serve(void *arg)
{
        struct server *v = arg;

        for (;;) {
                int fd = accept4(v->listener, NULL, NULL, SOCK_CLOEXEC);

                if (fd < 0)
                        return NULL; /* shut down */
                v->n_connections++;
                serve_connection(v, fd);
                close(fd);
        }
}

static void server_start(struct server *v)
{
        if (!v->certificate.dns_name && !v->certificate.ip)
                v->certificate.dns_name = "api.example";
        if (!v->certificate.to_days)
                v->certificate.to_days = 10;
        if (!v->certificate.from_days)
                v->certificate.from_days = -10;
        v->credentials = test_ca_sign(&ca, &v->certificate);
        gnutls_session_ticket_key_generate(&v->ticket_key);
        v->listener = listen_on_loopback(&v->address);
        assert_int_equal(pthread_create(&v->thread, NULL, serve, v), 0);
}

static void server_stop(struct server *v)
{
        shutdown(v->listener, SHUT_RDWR);
        assert_int_equal(pthread_join(v->thread, NULL), 0);
        close(v->listener);
        gnutls_certificate_free_credentials(v->credentials);
        gnutls_free(v->ticket_key.data);
}

/* ---- the client: our stream with our layer */

struct client {
        struct seen w;
        struct sg_tls_trust *trust;
        struct sg_tls_certificate *certificate; /* shown, or NULL */
};

static void client_init(struct client *c, const char *ca_file)
{
        struct sg_error err = {.code = 0};

        seen_init(&c->w);
        c->trust = NULL;
        c->certificate = NULL;
        if (sg_tls_trust_new(&c->trust, ca_file, &err))
                fail_msg("%s: %s", err.where, err.text);
}

static void client_connect(struct client *c, struct server *v, const char *name)
{
        struct sg_layer *layer;

        c->w.n_open = c->w.n_ends = 0;
        assert_int_equal(sg_stream_new_connect(&c->w.stream, c->w.loop, (struct sockaddr *)&v->address,
                                               sizeof(v->address), NULL, &seen_listener, &c->w),
                         0);
        assert_int_equal(sg_tls_client_layer(&layer, c->trust, c->certificate, sg_str_from(name), "http/1.1"), 0);
        sg_tls_apply(c->w.stream, layer);
        sg_stream_resume(c->w.stream);
}

static void client_disconnect(struct client *c)
{
        c->w.stream = sg_stream_free(c->w.stream);
        run_few_turns(c->w.loop);
}

static void client_done(struct client *c)
{
        seen_done(&c->w);
        sg_tls_trust_unref(c->trust);
}

static void test_bytes_go_both_ways_under_a_verified_name(void **state)
{
        struct server v = {.listener = -1};
        struct client c;

        server_start(&v);
        client_init(&c, ca.file);
        client_connect(&c, &v, "api.example");
        run_until(&c.w, has_opened);
        assert_int_equal(c.w.n_open, 1);
        assert_int_equal(write_to(c.w.stream, "hello"), 0);
        run_until(&c.w, has_bytes);
        assert_bytes(&c.w, "hello");
        sg_stream_shutdown(c.w.stream);
        run_until(&c.w, has_ended);
        assert_int_equal(c.w.why, SG_STREAM_END_EOF); /* its close_notify */
        client_disconnect(&c);
        client_done(&c);
        server_stop(&v);
        assert_string_equal(v.sni, "api.example");
        assert_string_equal(v.alpn, "http/1.1");
}

static void test_address_is_verified_and_not_sent_as_name(void **state)
{
        struct server v = {.certificate.ip = "127.0.0.1"};
        struct client c;

        server_start(&v);
        client_init(&c, ca.file);
        client_connect(&c, &v, "127.0.0.1");
        run_until(&c.w, has_opened);
        assert_int_equal(c.w.n_open, 1);
        client_disconnect(&c);
        client_done(&c);
        server_stop(&v);
        assert_string_equal(v.sni, "");
}

static bool is_verification_refused(struct server *v, const char *name, const char *ca_file, const char *words)
{
        struct client c;
        bool refused;

        server_start(v);
        client_init(&c, ca_file);
        client_connect(&c, v, name);
        run_until(&c.w, has_opened);
        refused = c.w.n_open == 0 && c.w.why == SG_STREAM_END_TLS && strstr(c.w.text, words);
        if (!refused)
                print_message("end %s, \"%s\" instead of \"%s\"\n", sg_stream_end_name(c.w.why), c.w.text, words);
        client_disconnect(&c);
        client_done(&c);
        server_stop(v);
        return refused;
}

static void test_another_name_is_refused(void **state)
{
        struct server v = {.listener = -1};

        assert_true(is_verification_refused(&v, "other.example", ca.file, "for another name than \"other.example\""));
}

static void test_another_address_is_refused(void **state)
{
        struct server v = {.certificate.ip = "127.0.0.2"};

        assert_true(is_verification_refused(&v, "127.0.0.1", ca.file, "for another name"));
}

static void test_expired_certificate_is_refused(void **state)
{
        struct server v = {.certificate = {.from_days = -20, .to_days = -1}};

        assert_true(is_verification_refused(&v, "api.example", ca.file, "has expired"));
}

static void test_certificate_of_tomorrow_is_refused(void **state)
{
        struct server v = {.certificate = {.from_days = 2, .to_days = 20}};

        assert_true(is_verification_refused(&v, "api.example", ca.file, "not valid yet"));
}

static void test_certificate_for_another_purpose_is_refused(void **state)
{
        struct server v = {.certificate.purpose = GNUTLS_KP_EMAIL_PROTECTION};

        assert_true(is_verification_refused(&v, "api.example", ca.file, "not meant for a TLS server"));
}

static void test_unknown_authority_is_refused(void **state)
{
        struct server v = {.listener = -1};
        struct test_ca other;

        test_ca_init(&other, "Another CA");
        assert_true(is_verification_refused(&v, "api.example", other.file, "unknown authority"));
        test_ca_done(&other);
}

static void test_authority_of_the_same_name_is_refused(void **state)
{
        struct server v = {.listener = -1};
        struct test_ca other;

        test_ca_init(&other, "Test CA");
        assert_true(is_verification_refused(&v, "api.example", other.file, "not by the trusted authority"));
        test_ca_done(&other);
}

static void test_old_tls_is_refused(void **state)
{
        struct server v = {.priorities = "NORMAL:-VERS-ALL:+VERS-TLS1.1:%COMPAT"};

        assert_true(is_verification_refused(&v, "api.example", ca.file, ""));
}

static void test_plain_server_is_named_as_such(void **state)
{
        struct server v = {.speaks_plain = true};

        assert_true(is_verification_refused(&v, "api.example", ca.file, "does not speak TLS"));
}

static void test_close_before_the_handshake_is_told(void **state)
{
        struct server v = {.closes_at_once = true};

        assert_true(is_verification_refused(&v, "api.example", ca.file, "during the TLS handshake"));
}

static void test_end_without_close_notify_is_a_reset(void **state)
{
        struct server v = {.closes_without_notify = true};
        struct client c;

        server_start(&v);
        client_init(&c, ca.file);
        client_connect(&c, &v, "api.example");
        run_until(&c.w, has_opened);
        assert_int_equal(write_to(c.w.stream, "hello"), 0);
        run_until(&c.w, has_ended);
        assert_bytes(&c.w, "hello");
        assert_int_equal(c.w.why, SG_STREAM_END_RESET);
        client_disconnect(&c);
        client_done(&c);
        server_stop(&v);
}

static void test_close_notify_behind_bytes_is_seen_at_once(void **state)
{
        struct server v = {.ends_after_echo = true};
        struct client c;

        server_start(&v);
        client_init(&c, ca.file);
        client_connect(&c, &v, "api.example");
        run_until(&c.w, has_opened);
        assert_int_equal(write_to(c.w.stream, "hello"), 0);
        run_until(&c.w, has_ended); /* the server sends no FIN before ours */
        assert_bytes(&c.w, "hello");
        assert_int_equal(c.w.why, SG_STREAM_END_EOF);
        client_disconnect(&c);
        client_done(&c);
        server_stop(&v);
}

#define BULK_BYTES (3u * 1024u * 1024u)

static bool has_bulk(struct seen *w)
{
        return sg_buf_length(&w->bytes) >= BULK_BYTES || w->n_ends;
}

static void bulk_both_ways(const char *priorities)
{
        struct server v = {.priorities = priorities};
        struct client c;
        struct sg_str pieces[5];
        char *bulk = malloc(BULK_BYTES);
        size_t at = 0;

        for (size_t i = 0; i < BULK_BYTES; i++)
                bulk[i] = (char)(i * 2654435761u >> 11);
        server_start(&v);
        client_init(&c, ca.file);
        client_connect(&c, &v, "api.example");
        for (size_t i = 0; i < 5; i++) {
                const size_t n = i < 4 ? 100001 * i : BULK_BYTES - at;

                pieces[i] = sg_str_make(bulk + at, n);
                at += n;
        }
        run_until(&c.w, has_opened);
        assert_int_equal(sg_stream_write(c.w.stream, pieces, 5), 0);
        run_until(&c.w, has_bulk);
        assert_int_equal(sg_buf_length(&c.w.bytes), BULK_BYTES);
        assert_memory_equal(sg_buf_view(&c.w.bytes).p, bulk, BULK_BYTES);
        client_disconnect(&c);
        client_done(&c);
        server_stop(&v);
        free(bulk);
}

static void test_megabytes_go_both_ways_in_tls_13(void **state)
{
        bulk_both_ways("NORMAL:-VERS-ALL:+VERS-TLS1.3");
}

static void test_megabytes_go_both_ways_in_tls_12(void **state)
{
        bulk_both_ways("NORMAL:-VERS-ALL:+VERS-TLS1.2");
}

static void resume(const char *priorities)
{
        struct server v = {.priorities = priorities};
        struct client c;

        server_start(&v);
        client_init(&c, ca.file);
        for (int i = 0; i < 3; i++) {
                client_connect(&c, &v, "api.example");
                run_until(&c.w, has_opened);
                assert_int_equal(c.w.n_open, 1);
                assert_int_equal(write_to(c.w.stream, "hello"), 0);
                run_until(&c.w, has_bytes);
                assert_bytes(&c.w, "hello");
                client_disconnect(&c);
        }
        client_done(&c);
        server_stop(&v);
        assert_int_equal(v.n_connections, 3);
        assert_int_equal(v.n_resumed, 2);
}

static void test_session_is_resumed_in_tls_13(void **state)
{
        resume("NORMAL:-VERS-ALL:+VERS-TLS1.3");
}

static void test_session_is_resumed_in_tls_12(void **state)
{
        resume("NORMAL:-VERS-ALL:+VERS-TLS1.2");
}

static void test_session_of_one_name_is_not_used_for_another(void **state)
{
        struct server v = {.listener = -1};
        struct client c;

        server_start(&v);
        client_init(&c, ca.file);
        client_connect(&c, &v, "api.example");
        run_until(&c.w, has_opened);
        assert_int_equal(write_to(c.w.stream, "hello"), 0);
        run_until(&c.w, has_bytes);
        client_disconnect(&c);
        client_connect(&c, &v, "other.example");
        run_until(&c.w, has_opened);
        assert_int_equal(c.w.n_open, 0);
        assert_int_equal(c.w.why, SG_STREAM_END_TLS);
        client_disconnect(&c);
        client_done(&c);
        server_stop(&v);
        assert_int_equal(v.n_resumed, 0);
}

static void test_trust_file_errors_are_explained(void **state)
{
        struct sg_tls_trust *t = NULL;
        struct sg_error err = {.code = 0};

        assert_int_equal(sg_tls_trust_new(&t, "/nonexistent/ca.pem", &err), -ENOENT);
        assert_string_equal(err.where, "/nonexistent/ca.pem");
        assert_int_equal(sg_tls_trust_new(&t, "/dev/null", &err), -EINVAL);
        assert_true(strlen(err.text) > 0);
        assert_null(t);
}

static void test_bad_names_are_refused(void **state)
{
        struct sg_tls_trust *t = NULL;
        struct sg_layer *y;
        struct sg_error err;
        char name[300];

        memset(name, 'a', sizeof(name));
        assert_int_equal(sg_tls_trust_new(&t, ca.file, &err), 0);
        assert_int_equal(sg_tls_client_layer(&y, t, NULL, SG_STR(""), NULL), -EINVAL);
        assert_int_equal(sg_tls_client_layer(&y, t, NULL, SG_STR("."), NULL), -EINVAL);
        assert_int_equal(sg_tls_client_layer(&y, t, NULL, SG_STR("a\0b"), NULL), -EINVAL);
        assert_int_equal(sg_tls_client_layer(&y, t, NULL, sg_str_make(name, sizeof(name)), NULL), -EINVAL);
        sg_tls_trust_unref(t);
}

static int make_ca(void **state)
{
        test_ca_init(&ca, "Test CA");
        return 0;
}

static int drop_ca(void **state)
{
        test_ca_done(&ca);
        return 0;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_bytes_go_both_ways_under_a_verified_name),
                cmocka_unit_test(test_address_is_verified_and_not_sent_as_name),
                cmocka_unit_test(test_another_name_is_refused),
                cmocka_unit_test(test_another_address_is_refused),
                cmocka_unit_test(test_expired_certificate_is_refused),
                cmocka_unit_test(test_certificate_of_tomorrow_is_refused),
                cmocka_unit_test(test_certificate_for_another_purpose_is_refused),
                cmocka_unit_test(test_unknown_authority_is_refused),
                cmocka_unit_test(test_authority_of_the_same_name_is_refused),
                cmocka_unit_test(test_old_tls_is_refused),
                cmocka_unit_test(test_plain_server_is_named_as_such),
                cmocka_unit_test(test_close_before_the_handshake_is_told),
                cmocka_unit_test(test_end_without_close_notify_is_a_reset),
                cmocka_unit_test(test_close_notify_behind_bytes_is_seen_at_once),
                cmocka_unit_test(test_megabytes_go_both_ways_in_tls_13),
                cmocka_unit_test(test_megabytes_go_both_ways_in_tls_12),
                cmocka_unit_test(test_session_is_resumed_in_tls_13),
                cmocka_unit_test(test_session_is_resumed_in_tls_12),
                cmocka_unit_test(test_session_of_one_name_is_not_used_for_another),
                cmocka_unit_test(test_trust_file_errors_are_explained),
                cmocka_unit_test(test_bad_names_are_refused),
        };

        return cmocka_run_group_tests(tests, make_ca, drop_ca);
}
