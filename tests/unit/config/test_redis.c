/* Where the Redis is through which gateways share limits, and what needs what. */
#include "config_test.h"

static int setup(void **state)
{
        TEST_ENV();
        return 0;
}

static void test_urls_that_are_taken(void **state)
{
        static const struct {
                const char *text, *host, *socket;
                unsigned port, database;
                bool is_tls;
        } good[] = {
                {"redis://cache.example", "cache.example", NULL, 6379, 0, false},
                {"redis://Cache.example:7000/3", "cache.example", NULL, 7000, 3, false},
                {"rediss://[::1]:6380/", "::1", NULL, 6380, 0, true},
                {"127.0.0.1:6379/15", "127.0.0.1", NULL, 6379, 15, false},
                {"cache", "cache", NULL, 6379, 0, false},
                {"unix:/run/redis/redis.sock", NULL, "/run/redis/redis.sock", 0, 0, false},
        };

        for (size_t i = 0; i < SG_N_ELEMENTS(good); i++) {
                SG_AUTO(sg_config_unref) struct sg_config *c = NULL;
                char text[256];

                snprintf(text, sizeof(text), "[redis]\nurl = %s\n", good[i].text);
                c = test_config(text);
                assert_string_equal(c->redis.url, good[i].text);
                if (good[i].host)
                        assert_string_equal(c->redis.host, good[i].host);
                else
                        assert_string_equal(c->redis.socket_path, good[i].socket);
                assert_int_equal(c->redis.port, good[i].port);
                assert_int_equal(c->redis.database, good[i].database);
                assert_int_equal(c->redis.is_tls, good[i].is_tls);
                assert_string_equal(c->redis.prefix, "scribe:");
        }
}

static void test_what_is_refused(void **state)
{
        test_wrong("[redis]\nurl = redis://:hunter2@cache\n",
                   "a.conf:2: url: the URL holds a user name or password; leave them out and write user = NAME and "
                   "password = credential:NAME, file:/path or env:NAME");
        test_wrong("[redis]\nurl = redis://cache/zero\n",
                   "a.conf:2: url: the URL has something other than the number of a database behind the last /");
        test_wrong("[redis]\nurl = redis://cache/4096\n",
                   "a.conf:2: url: the URL has something other than the number of a database behind the last /");
        test_wrong("[redis]\nurl = http://cache\n",
                   "a.conf:2: url: write redis://host:port/database, rediss:// for TLS, or unix:/path");
        test_wrong("[redis]\nurl = redis://\n", "a.conf:2: url: the URL has no host");
        test_wrong("[redis]\nurl = cache\nca_file = /ca.pem\n", "a.conf:3: ca_file is for url = rediss://…");
        test_wrong("[redis]\nurl = rediss://cache\ntls_key = file:/k\n", "a.conf:3: tls_key needs a tls_certificate");
        test_wrong("[redis]\nurl = cache\nuser = me\n", "a.conf:3: user needs a password");
        test_wrong("[redis]\nurl = cache\npassword = hunter2\n",
                   "a.conf:3: password: a secret may not stand in the configuration; write credential:NAME, "
                   "file:/path or env:NAME");
        test_wrong("[redis]\nprefix = a b\n",
                   "a.conf:2: prefix: it may have visible ASCII characters only, and no blanks");
}

static void test_variables_go_before_files(void **state)
{
        SG_AUTO(sg_config_unref) struct sg_config *c = NULL;

        TEST_ENV("REDIS_HOST=redis", "REDIS_PORT=tcp://10.0.0.1:7000", "REDIS_PASSWORD=hunter2");
        c = test_config("[redis]\nurl = rediss://other/3\n");
        assert_string_equal(c->redis.url, "redis://redis:7000");
        assert_int_equal(c->redis.port, 7000);
        assert_false(c->redis.is_tls);
        assert_int_equal(c->redis.database, 0);
        assert_true(sg_secret_equals(c->redis.password, SG_STR("hunter2")));
        c = sg_config_unref(c);

        TEST_ENV("REDIS_HOST=::1");
        c = test_config("");
        assert_string_equal(c->redis.host, "::1");
        c = sg_config_unref(c);

        /* A password for somebody else's Redis means nothing. */
        TEST_ENV("REDIS_PASSWORD=hunter2");
        c = test_config("");
        assert_null(c->redis.url);
        assert_null(c->redis.password);
}

static void test_a_reload_may_change_all_of_it(void **state)
{
        SG_AUTO(sg_config_unref) struct sg_config *a = NULL, *b = NULL;

        a = test_config("");
        b = test_config("[redis]\nurl = cache\nprefix = other:\n");
        assert_null(sg_config_needs_restart(a, b));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(test_urls_that_are_taken, setup),
                cmocka_unit_test_setup(test_what_is_refused, setup),
                cmocka_unit_test_setup(test_variables_go_before_files, setup),
                cmocka_unit_test_setup(test_a_reload_may_change_all_of_it, setup),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
