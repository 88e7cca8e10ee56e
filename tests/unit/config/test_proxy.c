/* Which way a provider is reached: Unix sockets, proxies of the file and of the environment, certificates. */
#include "config_test.h"

#include "base/limits.h"

#define P     "[provider \"p\"]\ndialect = openai\n"
#define HTTP  P "base_url = http://api.example/v1\n"
#define HTTPS P "base_url = https://api.example/v1\n"

static void test_unix_sockets(void **state)
{
        static const struct {
                const char *url, *path, *prefix;
                bool is_tls;
        } cases[] = {
                {"http://unix:/run/x.sock:/v1", "/run/x.sock", "/v1", false},
                {"http://unix:/run/x.sock", "/run/x.sock", "", false},
                {"HTTP://UNIX:/run/X.sock:/", "/run/X.sock", "", false},
                {"https://unix:/run/x.sock:/a:b/", "/run/x.sock", "/a:b", true},
        };
        char text[256];

        TEST_ENV("all_proxy=http://proxy:1");
        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                snprintf(text, sizeof(text), P "base_url = %s\n", cases[i].url);
                SG_AUTO(sg_config_unref) struct sg_config *c = test_config(text);
                const struct sg_config_provider *p = &c->providers[0];

                assert_string_equal(p->socket_path, cases[i].path);
                assert_string_equal(p->path_prefix, cases[i].prefix);
                assert_string_equal(p->authority, "localhost");
                assert_string_equal(p->host, "localhost");
                assert_int_equal(p->port, 0);
                assert_int_equal(p->is_tls, cases[i].is_tls);
                assert_null(p->proxy_host);
        }
        test_wrong(P "base_url = http://unix:run/x\n",
                   "a.conf:3: base_url: the URL has no absolute path of a socket after unix:; write "
                   "http://unix:/run/model.sock:/v1");
        test_wrong(P "base_url = http://unix:\n",
                   "a.conf:3: base_url: the URL has no absolute path of a socket after unix:; write "
                   "http://unix:/run/model.sock:/v1");
        test_wrong(P "base_url = http://unix:/run/x.sock:v1\n",
                   "a.conf:3: base_url: the URL has no / after the colon behind the socket; write "
                   "http://unix:/run/model.sock:/v1");
        test_wrong(P "base_url = http://unix:/run/a b\n",
                   "a.conf:3: base_url: the URL has a byte in the socket's path that may not stand in a URL");
        snprintf(text, sizeof(text), P "base_url = http://unix:/%0107d\n", 0);
        test_wrong(text, "a.conf:3: base_url: the URL has a socket whose path has more than 107 bytes");
        test_wrong(P "base_url = http://unix:/run/x\nproxy = http://h:1\n",
                   "a.conf:4: proxy: base_url is a Unix socket, which no proxy reaches");
}

static void assert_proxy(const char *text, const char *host, unsigned port, const char *where,
                         const char *authorization)
{
        SG_AUTO(sg_config_unref) struct sg_config *c = test_config(text);
        const struct sg_config_provider *p = &c->providers[0];

        if (!host) {
                assert_null(p->proxy_host);
                return;
        }
        assert_non_null(p->proxy_host);
        assert_string_equal(p->proxy_host, host);
        assert_int_equal(p->proxy_port, port);
        assert_string_equal(p->proxy_where, where);
        assert_int_equal(!p->proxy_authorization, !authorization);
        if (authorization)
                assert_true(sg_str_eq(sg_secret_bytes(p->proxy_authorization), sg_str_from(authorization)));
}

static void test_proxies_of_the_file(void **state)
{
        TEST_ENV("https_proxy=http://other:1", "no_proxy=*", "SECRET=u:p:q", "HALF=u");
        assert_proxy(HTTPS "proxy = http://Proxy.Example:3128\n", "proxy.example", 3128, "a.conf:4", NULL);
        assert_proxy(HTTP "proxy = http://[::1]:3128/\n", "::1", 3128, "a.conf:4", NULL);
        assert_proxy(HTTPS "proxy = none\n", NULL, 0, NULL, NULL);
        assert_proxy(HTTPS "proxy = http://h:1\nproxy_authorization = env:SECRET\n", "h", 1, "a.conf:4", "u:p:q");
        test_wrong(HTTPS "proxy = http://u:secret@h:1\n",
                   "a.conf:4: proxy: the URL holds a user name or password; leave them out and write "
                   "proxy_authorization = credential:, file: or env:");
        test_wrong(HTTPS "proxy = https://h:1\n", "a.conf:4: proxy: write http://host:port, environment or none");
        test_wrong(HTTPS "proxy = h:1\n", "a.conf:4: proxy: write http://host:port, environment or none");
        test_wrong(HTTPS "proxy = http://h\n", "a.conf:4: proxy: the URL has no port; write http://host:port");
        test_wrong(HTTPS "proxy = http://h:1/x\n", "a.conf:4: proxy: the URL has a path; write http://host:port");
        test_wrong(HTTPS "proxy = http://h:70000\n",
                   "a.conf:4: proxy: the URL has a port that is not a number from 1 to 65535");
        test_wrong(HTTPS "proxy = none\nproxy_authorization = env:SECRET\n",
                   "a.conf:5: proxy_authorization is set, but proxy = none");
        test_wrong(HTTPS "proxy_authorization = env:HALF\n",
                   "a.conf:4: proxy_authorization: what is there is not of the form user:password");
        test_wrong("[provider \"p\"]\ndialect = echo\nproxy = none\n",
                   "a.conf:3: proxy is not a setting of dialect echo");
}

static void test_variables_in_the_order_of_curl(void **state)
{
        TEST_ENV("https_proxy=http://lower:1", "HTTPS_PROXY=http://upper:2", "all_proxy=http://all:3");
        assert_proxy(HTTPS, "lower", 1, "environment variable https_proxy", NULL);
        assert_proxy(HTTPS "proxy = environment\n", "lower", 1, "environment variable https_proxy", NULL);
        assert_proxy(HTTP, "all", 3, "environment variable all_proxy", NULL);
        TEST_ENV("https_proxy=", "HTTPS_PROXY=upper:2", "HTTP_PROXY=http://never:4", "ALL_PROXY=http://[::2]:3/");
        assert_proxy(HTTPS, "upper", 2, "environment variable HTTPS_PROXY", NULL);
        assert_proxy(HTTP, "::2", 3, "environment variable ALL_PROXY", NULL);
        TEST_ENV("HTTP_PROXY=http://never:4");
        assert_proxy(HTTP, NULL, 0, NULL, NULL);
        TEST_ENV("http_proxy=http://h:4");
        assert_proxy(HTTP, "h", 4, "environment variable http_proxy", NULL);
        assert_proxy(HTTPS, NULL, 0, NULL, NULL);
}

static void test_variables_may_hold_a_password_that_nobody_is_told(void **state)
{
        TEST_ENV("https_proxy=http://u%40x:p%3A%25%zz@h:1", "FILE=f:g");
        assert_proxy(HTTPS, "h", 1, "environment variable https_proxy", "u@x:p:%%zz");
        assert_proxy(HTTPS "proxy_authorization = env:FILE\n", "h", 1, "environment variable https_proxy", "f:g");
        TEST_ENV("https_proxy=http://user@h:1");
        assert_proxy(HTTPS, "h", 1, "environment variable https_proxy", "user:");
        TEST_ENV("https_proxy=http://u:a@b@h:1");
        assert_proxy(HTTPS, "h", 1, "environment variable https_proxy", "u:a@b");
        TEST_ENV("https_proxy=socks5://u:secret@h:1");
        test_wrong(HTTPS, "environment variable https_proxy: proxy: the URL is not one of an HTTP proxy; write "
                          "http://host:port");
        TEST_ENV("https_proxy=http://u:secret@h:x");
        test_wrong(HTTPS, "environment variable https_proxy: proxy: the URL has a port that is not a number from 1 to "
                          "65535");
        TEST_ENV("https_proxy=http://u:secret%0d%0a@h:1");
        test_wrong(HTTPS,
                   "environment variable https_proxy: proxy: the URL has a control byte in its user or password");
        {
                static char variable[4096];

                snprintf(variable, sizeof(variable), "https_proxy=http://%01024d@h:1", 0);
                TEST_ENV(variable);
                SG_AUTO(sg_config_unref) struct sg_config *c = test_config(HTTPS);

                assert_int_equal(sg_secret_bytes(c->providers[0].proxy_authorization).n, 1025);
                snprintf(variable, sizeof(variable), "https_proxy=http://%01025d@h:1", 0);
                test_wrong(HTTPS, "environment variable https_proxy: proxy: the URL has a user and password of more "
                                  "than 1024 bytes");
        }
}

static bool is_direct(const char *host_and_port, const char *list)
{
        char text[160], no_proxy[160];

        snprintf(text, sizeof(text), P "base_url = https://%s/v1\n", host_and_port);
        snprintf(no_proxy, sizeof(no_proxy), "no_proxy=%s", list);
        TEST_ENV("https_proxy=http://proxy:1", no_proxy);
        SG_AUTO(sg_config_unref) struct sg_config *c = test_config(text);

        return !c->providers[0].proxy_host;
}

static void test_no_proxy_as_in_curl(void **state)
{
        static const struct {
                const char *host, *list;
                bool is_direct;
        } cases[] = {
                {"api.example", "", false},
                {"api.example", "*", true},
                {"api.example", "a, *", true},
                {"api.example", "*.example", false}, /* a star stands alone */
                {"api.example", "api.example", true},
                {"API.example", "x,api.EXAMPLE,y", true},
                {"api.example", "example", true},
                {"api.example", ".example", true},
                {"api.example", "example.", true},
                {"api.example.", "example", true},
                {"api.example", ".", false},
                {"api.example", ",, ,", false},
                {"api.example", "pi.example", false},
                {"example", "api.example", false},
                {"api.example", "x y\texample", true},
                {"api.example", "example:443", true},
                {"api.example", "example:80", false},
                {"api.example:8443", "example:8443", true},
                {"api.example", "example:", false},
                {"10.1.2.3", "10.1.2.3", true},
                {"10.1.2.3", "10.1.2.4", false},
                {"10.1.2.3", "2.3", false}, /* an address has no suffixes */
                {"10.1.2.3", "10.0.0.0/8", true},
                {"10.1.2.3", "10.1.2.0/31", false},
                {"10.1.2.3", "10.1.2.2/31", true},
                {"10.1.2.3", "11.0.0.0/7", true},
                {"10.1.2.3", "0.0.0.0/0", true},
                {"10.1.2.3", "10.0.0.0/33", false},
                {"10.1.2.3", "10.0.0.0/x", false},
                {"10.1.2.3", "10.0.0.0/", false},
                {"10.1.2.3:99", "10.1.2.3:99", true},
                {"10.1.2.3:99", "10.1.2.3:98", false},
                {"[2001:db8::1]", "2001:db8::1", true},
                {"[2001:db8::1]", "2001:DB8:0::1", true},
                {"[2001:db8::1]", "[2001:db8::1]", true},
                {"[2001:db8::1]", "[2001:db8::1]:443", true},
                {"[2001:db8::1]", "[2001:db8::1]:80", false},
                {"[2001:db8::1]", "2001:db8::/32", true},
                {"[2001:db8::1]", "2001:db9::/32", false},
                {"[2001:db8::1]", "[", false},
                {"[2001:db8::1]", "::/0", true},
                {"10.1.2.3", "::/0", false},
                /* never by a proxy */
                {"localhost", "", true},
                {"model.localhost", "", true},
                {"127.1.2.3", "", true},
                {"[::1]", "", true},
                {"128.0.0.1", "", false},
        };

        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++)
                if (is_direct(cases[i].host, cases[i].list) != cases[i].is_direct)
                        fail_msg("%s with no_proxy=%s", cases[i].host, cases[i].list);
        TEST_ENV("https_proxy=http://proxy:1", "NO_PROXY=example", "no_proxy=");
        assert_proxy(HTTPS, NULL, 0, NULL, NULL);
        TEST_ENV("https_proxy=http://proxy:1", "NO_PROXY=example", "no_proxy=other");
        assert_proxy(HTTPS, "proxy", 1, "environment variable https_proxy", NULL);
}

static void test_certificates_of_providers(void **state)
{
        TEST_ENV("CREDENTIALS_DIRECTORY=/run/c");
        {
                SG_AUTO(sg_config_unref)
                struct sg_config *c = test_config(HTTPS "tls_certificate = file:/a.crt\ntls_key = credential:k\n"
                                                        "tls_server_name = inner.example\nwarm_connections = 4\n");
                const struct sg_config_provider *p = &c->providers[0];
                struct sg_buf b;

                assert_string_equal(p->tls_certificate, "/a.crt");
                assert_string_equal(p->tls_key, "/run/c/k");
                assert_string_equal(p->tls_server_name, "inner.example");
                assert_int_equal(p->warm_connections, 4);
                sg_buf_init(&b, 1 << 20);
                assert_int_equal(sg_config_add_text(c, &b), 0);
                assert_true(sg_str_find(sg_buf_view(&b), SG_STR("tls_key = credential:k  # a.conf:5\n")) <
                            sg_buf_length(&b));
                sg_buf_done(&b);
        }
        test_wrong(HTTPS "tls_key = file:/k\n", "a.conf:4: tls_certificate and tls_key need each other");
        test_wrong(HTTPS "tls_certificate = file:/k\n", "a.conf:4: tls_certificate and tls_key need each other");
        test_wrong(HTTPS "tls_certificate = k\n", "a.conf:4: tls_certificate: write file:/path or credential:NAME");
        test_wrong(HTTPS "tls_key = env:K\n", "a.conf:4: tls_key: write file:/path or credential:NAME");
        test_wrong(HTTP "tls_server_name = a\n", "a.conf:4: tls_server_name is for https, but base_url is http");
        test_wrong(HTTPS "tls_server_name = a b\n",
                   "a.conf:4: tls_server_name: 'a b' is neither a host name nor an address");
        test_wrong(HTTPS "warm_connections = 5\npool_max = 4\n",
                   "a.conf:4: warm_connections (5) is more than pool_max (4)");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_unix_sockets),
                cmocka_unit_test(test_proxies_of_the_file),
                cmocka_unit_test(test_variables_in_the_order_of_curl),
                cmocka_unit_test(test_variables_may_hold_a_password_that_nobody_is_told),
                cmocka_unit_test(test_no_proxy_as_in_curl),
                cmocka_unit_test(test_certificates_of_providers),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
