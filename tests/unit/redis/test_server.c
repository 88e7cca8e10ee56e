/* The client against the redis-server of Debian's package: what the fake cannot know. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>

#include "../skip.h"
#include "../tls/certificates.h"
#include "redis_test.h"
#include "server.h"

static struct asked asked[4];

static bool first_is_answered(struct world *w)
{
        return asked[0].n_answers > 0;
}

static void ask_first(struct world *w, const char *line)
{
        memset(asked, 0, sizeof(asked));
        assert_int_equal(ask(w, &asked[0], line), 0);
        world_run_until(w, first_is_answered);
}

static uint16_t free_port(void)
{
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t n = sizeof(a);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
        close(fd);
        return ntohs(a.sin_port);
}

static void test_by_unix_socket_it_answers_and_comes_back(void **state)
{
        struct redis_server s;
        struct world w;

        if (!redis_server_start(&s, 0, NULL))
                TEST_SKIP("no redis-server");
        world_init(&w);
        world_connect(&w,
                      &(struct sg_redis_options){.socket_path = s.socket, .database = 5, .answer_usec = 300 * MSEC});
        world_run_until(&w, world_is_ready);
        assert_true(sg_redis_version(w.redis)[0] >= '5');
        ask_first(&w, "SET a 1");
        assert_string_equal(asked[0].text, "OK");
        ask_first(&w, "EVAL return{KEYS[1],redis.call('GET',KEYS[1]),3} 1 a");
        assert_int_equal(asked[0].kind, SG_REDIS_ARRAY);
        ask_first(&w, "EVALSHA 0123456789012345678901234567890123456789 0");
        assert_non_null(strstr(asked[0].text, "NOSCRIPT"));

        /* It hangs: half-open, until it goes on. */
        redis_server_signal(&s, SIGSTOP);
        ask_first(&w, "GET a");
        assert_true(asked[0].is_lost);
        redis_server_signal(&s, SIGCONT);
        world_run_until(&w, world_is_ready);
        ask_first(&w, "GET a");
        assert_string_equal(asked[0].text, "1");
        world_done(&w);
        redis_server_stop(&s);
}

static void test_users_passwords_and_what_they_may(void **state)
{
        static const char *const more[] = {"--requirepass", "geheim", NULL};
        struct sg_secret *right, *wrong;
        struct redis_server s;
        struct world w;

        if (!redis_server_start(&s, 0, more))
                TEST_SKIP("no redis-server");
        assert_int_equal(sg_secret_new(&right, SG_STR("geheim")), 0);
        assert_int_equal(sg_secret_new(&wrong, SG_STR("falsch")), 0);
        world_init(&w);
        world_connect(&w, &(struct sg_redis_options){.socket_path = s.socket});
        world_run_until(&w, world_was_out);
        assert_non_null(strstr(w.why, "set [redis] password"));
        world_done(&w);

        world_init(&w);
        world_connect(&w, &(struct sg_redis_options){.socket_path = s.socket, .password = wrong});
        world_run_until(&w, world_was_out);
        assert_non_null(strstr(w.why, "mend [redis] user and password"));
        world_done(&w);

        world_init(&w);
        world_connect(&w, &(struct sg_redis_options){.socket_path = s.socket, .password = right});
        world_run_until(&w, world_is_ready);
        ask_first(&w, "ACL SETUSER scribe on >geheim ~scribe:* +@fast");
        assert_string_equal(asked[0].text, "OK");
        world_done(&w);

        /* A user who may do too little: INFO is not missed, the script is. */
        world_init(&w);
        world_connect(&w, &(struct sg_redis_options){.socket_path = s.socket, .user = "scribe", .password = right});
        world_run_until(&w, world_is_ready);
        assert_string_equal(sg_redis_version(w.redis), "");
        ask_first(&w, "EVAL return1 0");
        assert_int_equal(asked[0].kind, SG_REDIS_ERROR);
        world_run_until(&w, world_was_out);
        assert_non_null(strstr(w.why, "ACL SETUSER"));
        world_done(&w);
        sg_secret_unref(right);
        sg_secret_unref(wrong);
        redis_server_stop(&s);
}

static void test_a_cluster_and_a_replica_are_refused_with_words(void **state)
{
        static const char *const cluster[] = {"--cluster-enabled", "yes", NULL};
        static const char *const replica[] = {"--replicaof", "127.0.0.1", "1", NULL};
        struct redis_server s;
        struct world w;

        if (!redis_server_start(&s, 0, cluster))
                TEST_SKIP("no redis-server");
        world_init(&w);
        world_connect(&w, &(struct sg_redis_options){.socket_path = s.socket});
        world_run_until(&w, world_was_out);
        assert_non_null(strstr(w.why, "belongs to a Redis Cluster"));
        world_done(&w);
        redis_server_stop(&s);

        assert_true(redis_server_start(&s, 0, replica));
        world_init(&w);
        world_connect(&w, &(struct sg_redis_options){.socket_path = s.socket});
        world_run_until(&w, world_is_ready);
        ask_first(&w, "SET a 1");
        world_run_until(&w, world_was_out);
        assert_non_null(strstr(w.why, "name the primary in [redis] url"));
        world_done(&w);
        redis_server_stop(&s);
}

static void try_tls(const struct sg_redis_options *options, const char *says)
{
        struct world w;

        world_init(&w);
        world_connect(&w, options);
        if (says) {
                world_run_until(&w, world_was_out);
                if (!strstr(w.why, says))
                        fail_msg("refused with \"%s\", not \"%s\"", w.why, says);
        } else {
                world_run_until(&w, world_is_ready);
                ask_first(&w, "PING");
                assert_string_equal(asked[0].text, "PONG");
        }
        world_done(&w);
}

static void test_tls_with_names_and_client_certificates(void **state)
{
        struct sg_tls_certificate *shown;
        struct sg_tls_trust *trust, *other_trust;
        struct sg_redis_options o;
        struct test_pem pem, client_pem;
        struct test_ca ca, other_ca;
        struct redis_server s;
        const uint16_t port = free_port();
        char port_text[8];

        test_ca_init(&ca, "Redis CA");
        test_ca_init(&other_ca, "Other CA");
        test_ca_write(&ca,
                      &(struct test_server_certificate){
                              .dns_name = "redis.test", .ip = "127.0.0.1", .from_days = -1, .to_days = 1},
                      &pem);
        test_ca_write(&ca,
                      &(struct test_server_certificate){
                              .dns_name = "node", .purpose = GNUTLS_KP_TLS_WWW_CLIENT, .from_days = -1, .to_days = 1},
                      &client_pem);
        (void)snprintf(port_text, sizeof(port_text), "%u", port);
        const char *const more[] = {"--tls-port",
                                    port_text,
                                    "--bind",
                                    "127.0.0.1",
                                    "--tls-cert-file",
                                    pem.certificate,
                                    "--tls-key-file",
                                    pem.key,
                                    "--tls-ca-cert-file",
                                    ca.file,
                                    NULL};

        if (!redis_server_start(&s, port, more))
                TEST_SKIP("no redis-server");
        assert_int_equal(sg_tls_trust_new(&trust, ca.file, NULL), 0);
        assert_int_equal(sg_tls_trust_new(&other_trust, other_ca.file, NULL), 0);
        assert_int_equal(sg_tls_certificate_new(&shown, client_pem.certificate, client_pem.key, NULL), 0);
        o = (struct sg_redis_options){.host = "127.0.0.1", .port = port, .trust = trust, .certificate = shown};
        try_tls(&o, NULL);
        o.tls_server_name = "redis.test";
        try_tls(&o, NULL);
        o.tls_server_name = "other.test";
        try_tls(&o, "TLS: ");
        o.tls_server_name = NULL;
        o.trust = other_trust;
        try_tls(&o, "TLS: ");
        o.trust = trust;
        o.certificate = NULL;
        try_tls(&o, ""); /* an alert or a close, as the server likes */
        o.trust = NULL;
        o.connect_usec = 500 * MSEC;
        try_tls(&o, ""); /* plain where TLS is spoken */

        sg_tls_trust_unref(trust);
        sg_tls_trust_unref(other_trust);
        sg_tls_certificate_unref(shown);
        redis_server_stop(&s);
        test_pem_remove(&pem);
        test_pem_remove(&client_pem);
        test_ca_done(&ca);
        test_ca_done(&other_ca);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_by_unix_socket_it_answers_and_comes_back),
                cmocka_unit_test(test_users_passwords_and_what_they_may),
                cmocka_unit_test(test_a_cluster_and_a_replica_are_refused_with_words),
                cmocka_unit_test(test_tls_with_names_and_client_certificates),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
