/* Dependencies: URLs that say how to ask, and the variables of containers. */
#include "config_test.h"

static const struct sg_config_dependency *first_of(const struct sg_config *c)
{
        assert_int_equal(c->n_dependencies, 1);
        return &c->dependencies[0];
}

static void test_urls_say_how_to_ask(void **state)
{
        static const struct {
                const char *probe;
                enum sg_probe_kind kind;
                bool is_tls;
                const char *host;
                uint16_t port;
                const char *path, *authority;
        } cases[] = {
                {"tcp://10.0.0.1:99", SG_PROBE_TCP, false, "10.0.0.1", 99, "/", "10.0.0.1:99"},
                {"redis://Cache.Example", SG_PROBE_REDIS, false, "cache.example", 6379, "/", "cache.example"},
                {"rediss://cache:6380/", SG_PROBE_REDIS, true, "cache", 6380, "/", "cache:6380"},
                {"postgres://db", SG_PROBE_POSTGRES, false, "db", 5432, "/", "db"},
                {"postgresql://[::1]:5433", SG_PROBE_POSTGRES, false, "::1", 5433, "/", "[::1]:5433"},
                {"bolt://127.0.0.1:7687", SG_PROBE_BOLT, false, "127.0.0.1", 7687, "/", "127.0.0.1"},
                {"BOLT+S://graph", SG_PROBE_BOLT, true, "graph", 7687, "/", "graph"},
                {"http://h", SG_PROBE_HTTP, false, "h", 80, "/", "h"},
                {"https://h:8443/a/b?c=d%20e&f", SG_PROBE_HTTP, true, "h", 8443, "/a/b?c=d%20e&f", "h:8443"},
                {"https://[::1]/", SG_PROBE_HTTP, true, "::1", 443, "/", "[::1]"},
        };

        TEST_ENV();
        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                SG_AUTO(sg_config_unref) struct sg_config *c = NULL;
                const struct sg_config_dependency *d;
                char text[200];

                snprintf(text, sizeof(text), "[dependency \"d\"]\nprobe = %s\n", cases[i].probe);
                c = test_config(text);
                d = first_of(c);
                assert_string_equal(d->probe, cases[i].probe);
                assert_int_equal(d->kind, cases[i].kind);
                assert_int_equal(d->is_tls, cases[i].is_tls);
                assert_string_equal(d->host, cases[i].host);
                assert_int_equal(d->port, cases[i].port);
                assert_string_equal(d->path, cases[i].path);
                assert_string_equal(d->authority, cases[i].authority);
        }
}

static void test_defaults_and_what_is_written(void **state)
{
        TEST_ENV();
        {
                SG_AUTO(sg_config_unref) struct sg_config *c = test_config("[dependency \"d\"]\nprobe = bolt://h\n");
                const struct sg_config_dependency *d = first_of(c);

                assert_string_equal(d->name, "d");
                assert_int_equal(d->interval_usec, 10 * SG_USEC_PER_SEC);
                assert_int_equal(d->timeout_usec, 2 * SG_USEC_PER_SEC);
                assert_false(d->is_required);
                assert_null(d->ca_file);
                assert_string_equal(d->where, "a.conf:1");
        }
        {
                SG_AUTO(sg_config_unref)
                struct sg_config *c = test_config_of("[dependency \"d\"]\nprobe = bolt+s://h\ninterval = 1s\n",
                                                     "[dependency \"d\"]\ninterval = 5m\ntimeout = 100ms\nrequired = "
                                                     "yes\nca_file = /x.pem\n");
                const struct sg_config_dependency *d = first_of(c);

                assert_int_equal(d->interval_usec, 300 * SG_USEC_PER_SEC);
                assert_int_equal(d->timeout_usec, 100 * SG_USEC_PER_MSEC);
                assert_true(d->is_required);
                assert_string_equal(d->ca_file, "/x.pem");
        }
}

static void test_the_text_can_be_read_again(void **state)
{
        SG_AUTO(sg_config_unref) struct sg_config *c = NULL, *again = NULL;
        struct sg_buf b;
        char *text;

        TEST_ENV("REDIS_HOST=cache");
        c = test_config("[dependency \"d\"]\nprobe = https://h/x?y ; a comment\nrequired = yes\n");
        assert_int_equal(c->n_dependencies, 2);
        sg_buf_init(&b, 1 << 20);
        assert_int_equal(sg_config_add_text(c, &b), 0);
        text = sg_str_dup(sg_buf_view(&b));
        sg_buf_done(&b);
        assert_non_null(text);
        assert_non_null(
                strstr(text, "[dependency \"d\"]\nprobe = https://h/x?y  # a.conf:2\ninterval = 10s  # default\n"));
        assert_non_null(strstr(text, "probe = redis://cache:6379  # environment variable REDIS_HOST\n"));
        TEST_ENV();
        again = test_config(text);
        assert_int_equal(again->n_dependencies, 2);
        assert_string_equal(again->dependencies[1].probe, "redis://cache:6379");
        free(text);
}

static void test_wrong_ones_are_told_without_their_secrets(void **state)
{
        static const struct {
                const char *lines, *told;
        } cases[] = {
                {"", "a.conf:1: [dependency \"d\"] has no probe; write probe = tcp://host:port"},
                {"probe = postgres://me:secret@db/x", "a.conf:2: probe: the URL holds a user name or password; leave "
                                                      "them out, a probe needs none"},
                {"probe = postgres://db/secret",
                 "a.conf:2: probe: the URL has something after the port; a path is for http:// and https:// only"},
                {"probe = redis://h?password=secret",
                 "a.conf:2: probe: the URL has something after the port; a path is for http:// and https:// only"},
                {"probe = tcp://h", "a.conf:2: probe: the URL has no port"},
                {"probe = tcp://h:0", "a.conf:2: probe: the URL has a port that is not a number from 1 to 65535"},
                {"probe = bolt://", "a.conf:2: probe: the URL has no host"},
                {"probe = http://h?x", "a.conf:2: probe: the URL has no / before its query"},
                {"probe = http://h/a b", "a.conf:2: probe: the URL has a byte in its path that must be written as %XX"},
                {"probe = mysql://secret", "a.conf:2: probe: the URL does not begin with tcp://, http://, https://, "
                                           "redis://, rediss://, postgres://, bolt:// or bolt+s://"},
                {"probe = bolt://h\nca_file = /x", "a.conf:3: ca_file is for probes that speak TLS: https://, "
                                                   "rediss:// and bolt+s://"},
                {"probe = bolt://h\ninterval = 1ms", "a.conf:3: interval: '1ms' is out of range: 100ms to 1h"},
                {"probe = bolt://h\ntimeout = 2h", "a.conf:3: timeout: '2h' is out of range: 10ms to 1m"},
                {"probe = bolt://h\nrequired = maybe", "a.conf:3: required: 'maybe' is neither yes nor no"},
        };

        TEST_ENV();
        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                char text[300];

                snprintf(text, sizeof(text), "[dependency \"d\"]\n%s\n", cases[i].lines);
                test_wrong(text, cases[i].told);
        }
        test_wrong("[dependency \"a b\"]\nprobe = bolt://h\n",
                   "a.conf:1: [dependency \"a b\"]: the name may have letters, digits, . _ - only");
}

/* ---- variables */

static void expect(const char *variable, const char *other, const char *name, const char *probe)
{
        SG_AUTO(sg_config_unref) struct sg_config *c = NULL;

        TEST_ENV(variable, other);
        c = test_config("");
        if (!probe) {
                assert_int_equal(c->n_dependencies, 0);
                return;
        }
        assert_string_equal(first_of(c)->name, name);
        assert_string_equal(first_of(c)->probe, probe);
        assert_false(first_of(c)->is_required);
}

static void test_variables_of_containers(void **state)
{
        expect("POSTGRES_HOST=db", NULL, "postgres", "postgres://db:5432");
        expect("POSTGRES_HOST=db", "POSTGRES_PORT=5433", "postgres", "postgres://db:5433");
        expect("POSTGRES_HOST=/run/postgresql", NULL, NULL, NULL);
        expect("POSTGRES_PORT=5433", NULL, NULL, NULL);
        expect("REDIS_HOST=::1", "REDIS_PORT=", "redis", "redis://[::1]:6379");
        expect("REDIS_HOST=[::1]", NULL, "redis", "redis://[::1]:6379");
        expect("REDIS_HOST=cache", "REDIS_PORT=tcp://10.0.0.7:6380", "redis", "redis://cache:6380");
        expect("NEO4J_URI=neo4j://graph", NULL, "neo4j", "bolt://graph");
        expect("NEO4J_URI=bolt://neo4j:pass@w@graph:7688/db?policy=x", NULL, "neo4j", "bolt://graph:7688");
        expect("NEO4J_URI=neo4j+s://x.databases.neo4j.io", NULL, "neo4j", "bolt+s://x.databases.neo4j.io");
        expect("NEO4J_URI=bolt+ssc://graph", NULL, "neo4j", "tcp://graph:7687");
        expect("NEO4J_URI=neo4j+ssc://[::1]", NULL, "neo4j", "tcp://[::1]:7687");
        expect("NEO4J_URI=neo4j+ssc://graph:7688", NULL, "neo4j", "tcp://graph:7688");
        expect("NEO4J_URI=http://graph:7474/db", NULL, "neo4j", "http://graph:7474");
        expect("NEO4J_URI=", NULL, NULL, NULL);
}

static void test_variables_go_before_the_files(void **state)
{
        SG_AUTO(sg_config_unref) struct sg_config *c = NULL;

        TEST_ENV("REDIS_HOST=cache");
        c = test_config("[dependency \"redis\"]\nprobe = redis://other\nrequired = yes\n");
        assert_string_equal(first_of(c)->probe, "redis://cache:6379");
        assert_true(first_of(c)->is_required);
}

static void test_wrong_variables_are_named(void **state)
{
        TEST_ENV("NEO4J_URI=secret");
        test_wrong("", "environment variable NEO4J_URI: probe: the URL does not begin with tcp://, http://, https://, "
                       "redis://, rediss://, postgres://, bolt:// or bolt+s://");
        TEST_ENV("REDIS_HOST=cache", "REDIS_PORT=many");
        test_wrong("", "environment variable REDIS_HOST: url: the URL has a port that is not a number from 1 to "
                       "65535");
        TEST_ENV("POSTGRES_HOST=me:secret@db");
        test_wrong("", "environment variable POSTGRES_HOST: probe: the URL holds a user name or password; leave them "
                       "out, a probe needs none");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_urls_say_how_to_ask),
                cmocka_unit_test(test_defaults_and_what_is_written),
                cmocka_unit_test(test_the_text_can_be_read_again),
                cmocka_unit_test(test_wrong_ones_are_told_without_their_secrets),
                cmocka_unit_test(test_variables_of_containers),
                cmocka_unit_test(test_variables_go_before_the_files),
                cmocka_unit_test(test_wrong_variables_are_named),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
