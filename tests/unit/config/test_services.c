/* Services: what is written, what it becomes, and what is refused with place and advice. */
#include "config_test.h"

#include "base/limits.h"

#define SERVICE  "[service \"s\"]\n"
#define GIVEN    "prefix = /s/\nendpoint = http://h\n"
#define GIVENTLS "prefix = /s/\nendpoint = https://h\n"

static const struct sg_config_service *first_of(const struct sg_config *c)
{
        assert_int_equal(c->n_services, 1);
        return &c->services[0];
}

static void test_little_is_enough(void **state)
{
        TEST_ENV();
        SG_AUTO(sg_config_unref)
        struct sg_config *c =
                test_config("[service \"query\"]\nprefix = /api/query/\nendpoint = http://127.0.0.1:8082\n"
                            "health = /api/health\n");
        const struct sg_config_service *s = first_of(c);

        assert_int_equal(c->n_providers + c->n_models, 0);
        assert_string_equal(s->name, "query");
        assert_string_equal(s->where, "a.conf:1");
        assert_string_equal(s->prefix, "/api/query/");
        assert_int_equal(s->n_hosts + s->n_methods + s->n_client_subjects + s->n_cors_origins, 0);
        assert_int_equal(s->n_request_fields + s->n_response_fields + s->n_request_removed + s->n_response_removed, 0);
        assert_false(s->strip_prefix || s->cors_credentials);
        assert_true(s->may_upgrade);
        assert_int_equal(s->auth, SG_SERVICE_AUTH_KEY);
        assert_int_equal(s->body_bytes_max, 64 << 20);
        assert_int_equal(s->connect_timeout_usec, 5 * SG_USEC_PER_SEC);
        assert_int_equal(s->first_byte_timeout_usec, 60 * SG_USEC_PER_SEC);
        assert_int_equal(s->between_bytes_timeout_usec, 60 * SG_USEC_PER_SEC);
        assert_true(s->total_timeout_usec == SG_USEC_NEVER);
        assert_int_equal(s->idle_timeout_usec, 60 * SG_USEC_PER_SEC);
        assert_int_equal(s->pool_max, 64);
        assert_int_equal(s->warm_connections, 0);
        assert_int_equal(s->protocol, SG_PROTOCOL_HTTP1);
        assert_null(s->ca_file);
        assert_null(s->tls_server_name);
        assert_null(s->tls_certificate);
        assert_null(s->tls_key);
        assert_null(s->cors_methods);
        assert_null(s->cors_headers);
        assert_null(s->cors_expose);
        assert_int_equal(s->cors_max_age_usec, 600 * SG_USEC_PER_SEC);
        assert_int_equal(s->n_endpoints, 1);
        assert_int_equal(s->balance, SG_BALANCE_ROUND_ROBIN);
        assert_int_equal(s->hash_by, SG_HASH_BY_KEY);
        assert_int_equal(s->check, SG_CHECK_HTTP);
        assert_string_equal(s->health_path, "/api/health");
        assert_int_equal(s->health_interval_usec, 5 * SG_USEC_PER_SEC);
        assert_int_equal(s->health_timeout_usec, 2 * SG_USEC_PER_SEC);
        assert_int_equal(s->breaker_failures, 5);
        assert_int_equal(s->breaker_usec, 10 * SG_USEC_PER_SEC);
        assert_int_equal(s->retries, 1);
        assert_int_equal(s->retry_percent, 20);
}

/* Every setting once, with another value than its default. */
static const char all[] = "[listener \"http\"]\naddress = 8443\ntls_certificate = file:/c\ntls_key = file:/k\n"
                          "client_ca = /ca\nclient_certificate = optional\n" SERVICE "prefix = /api/x\n"
                          "host = Api.Example, *.example.com [::1] api.example\n"
                          "method = GET POST\nmethod = PROPFIND\n"
                          "endpoint = https://A.example:8443/v2/ weight=3\nendpoint = http://unix:/run/x.sock:/b\n"
                          "strip_prefix = yes\nprotocol = auto\nauth = certificate\n"
                          "client_subject = CN=alice,O=Example\nclient_subject = CN=bob smith\n"
                          "request_header = Host: inner.example:81\nrequest_header = X-A:  b, c;d \n"
                          "request_header = X-Empty:\nresponse_header = X-Frame-Options: DENY\n"
                          "remove_request_header = Cookie, Authorization COOKIE\nremove_response_header = Server\n"
                          "max_body = 5G\nconnect_timeout = 1s\nfirst_byte_timeout = 2s\nbetween_bytes_timeout = 3s\n"
                          "total_timeout = 4s\nidle_timeout = 6s\npool_max = 7\nwarm_connections = 2\nupgrade = no\n"
                          "ca_file = /ca.pem\ntls_server_name = name.example\ntls_certificate = file:/cert\n"
                          "tls_key = file:/key\ncors_origin = HTTPS://App.Example:443 http://[::1]:3000\n"
                          "cors_methods = GET, POST\ncors_headers = X-A,X-B\ncors_expose = X-C\n"
                          "cors_credentials = yes\ncors_max_age = 1h\nbalance = hash\nhash_by = header:X-User\n"
                          "health = grpc:my.Service\nhealth_interval = 1s\nhealth_timeout = 500ms\n"
                          "breaker_failures = 0\nbreaker_time = 30s\nretries = 3\nretry_budget = 50\n";

static void expect_lists(const struct sg_config_service *s)
{
        assert_int_equal(s->n_hosts, 3);
        assert_string_equal(s->hosts[0], "api.example");
        assert_string_equal(s->hosts[1], "*.example.com");
        assert_string_equal(s->hosts[2], "[::1]");
        assert_int_equal(s->n_methods, 3);
        assert_string_equal(s->methods[2], "PROPFIND");
        assert_int_equal(s->n_client_subjects, 2);
        assert_string_equal(s->client_subjects[0], "CN=alice,O=Example");
        assert_string_equal(s->client_subjects[1], "CN=bob smith");
        assert_int_equal(s->n_request_fields, 3);
        assert_string_equal(s->request_fields[0].name, "Host");
        assert_string_equal(s->request_fields[0].value, "inner.example:81");
        assert_string_equal(s->request_fields[1].value, "b, c;d");
        assert_string_equal(s->request_fields[2].value, "");
        assert_int_equal(s->n_response_fields, 1);
        assert_string_equal(s->response_fields[0].name, "X-Frame-Options");
        assert_int_equal(s->n_request_removed, 2);
        assert_string_equal(s->request_removed[1], "Authorization");
        assert_int_equal(s->n_response_removed, 1);
        assert_int_equal(s->n_cors_origins, 2);
        assert_string_equal(s->cors_origins[0], "https://app.example");
        assert_string_equal(s->cors_origins[1], "http://[::1]:3000");
}

static void expect_endpoints(const struct sg_config_service *s)
{
        const struct sg_config_endpoint *e = s->endpoints;

        assert_int_equal(s->n_endpoints, 2);
        assert_string_equal(e->url, "https://A.example:8443/v2/");
        assert_true(e->is_tls);
        assert_string_equal(e->host, "a.example");
        assert_int_equal(e->port, 8443);
        assert_string_equal(e->authority, "a.example:8443");
        assert_string_equal(e->path_prefix, "/v2");
        assert_null(e->socket_path);
        assert_int_equal(e->weight, 3);
        e++;
        assert_string_equal(e->url, "http://unix:/run/x.sock:/b");
        assert_false(e->is_tls);
        assert_string_equal(e->host, "localhost");
        assert_string_equal(e->authority, "localhost");
        assert_int_equal(e->port, 0);
        assert_string_equal(e->path_prefix, "/b");
        assert_string_equal(e->socket_path, "/run/x.sock");
        assert_int_equal(e->weight, 1);
}

static void test_every_setting_reaches_its_field(void **state)
{
        TEST_ENV();
        SG_AUTO(sg_config_unref) struct sg_config *c = test_config(all);
        const struct sg_config_service *s = first_of(c);

        expect_lists(s);
        expect_endpoints(s);
        assert_string_equal(s->prefix, "/api/x");
        assert_true(s->strip_prefix && s->cors_credentials && !s->may_upgrade);
        assert_int_equal(s->protocol, SG_PROTOCOL_AUTO);
        assert_int_equal(s->auth, SG_SERVICE_AUTH_CERTIFICATE);
        assert_true(s->body_bytes_max == UINT64_C(5) << 30);
        assert_int_equal(s->connect_timeout_usec, 1 * SG_USEC_PER_SEC);
        assert_int_equal(s->first_byte_timeout_usec, 2 * SG_USEC_PER_SEC);
        assert_int_equal(s->between_bytes_timeout_usec, 3 * SG_USEC_PER_SEC);
        assert_int_equal(s->total_timeout_usec, 4 * SG_USEC_PER_SEC);
        assert_int_equal(s->idle_timeout_usec, 6 * SG_USEC_PER_SEC);
        assert_int_equal(s->pool_max, 7);
        assert_int_equal(s->warm_connections, 2);
        assert_string_equal(s->ca_file, "/ca.pem");
        assert_string_equal(s->tls_server_name, "name.example");
        assert_string_equal(s->tls_certificate, "/cert");
        assert_string_equal(s->tls_key, "/key");
        assert_string_equal(s->cors_methods, "GET, POST");
        assert_string_equal(s->cors_headers, "X-A,X-B");
        assert_string_equal(s->cors_expose, "X-C");
        assert_int_equal(s->cors_max_age_usec, 3600 * SG_USEC_PER_SEC);
        assert_int_equal(s->balance, SG_BALANCE_HASH);
        assert_int_equal(s->hash_by, SG_HASH_BY_HEADER);
        assert_string_equal(s->hash_header, "X-User");
        assert_int_equal(s->check, SG_CHECK_GRPC);
        assert_string_equal(s->health_path, "my.Service");
        assert_int_equal(s->health_interval_usec, 1 * SG_USEC_PER_SEC);
        assert_int_equal(s->health_timeout_usec, 500 * SG_USEC_PER_MSEC);
        assert_int_equal(s->breaker_failures, 0);
        assert_int_equal(s->breaker_usec, 30 * SG_USEC_PER_SEC);
        assert_int_equal(s->retries, 3);
        assert_int_equal(s->retry_percent, 50);
}

static void test_every_setting_is_among_them(void **state)
{
        const char *from = strstr(all, SERVICE);

        for (const struct sg_setting *s = sg_settings; s < sg_settings_end; s++) {
                char line[80];

                snprintf(line, sizeof(line), "\n%s = ", s->name);
                if (s->section == SG_SECTION_SERVICE)
                        assert_non_null(strstr(from, line));
        }
}

static void test_forms_of_health_and_hash(void **state)
{
        static const struct {
                const char *line;
                enum sg_endpoint_check check;
                const char *path;
        } cases[] = {
                {"health = none", SG_CHECK_NONE, ""}, {"health = TCP", SG_CHECK_TCP, ""},
                {"health = grpc", SG_CHECK_GRPC, ""}, {"health = grpc:a.B", SG_CHECK_GRPC, "a.B"},
                {"health = /", SG_CHECK_HTTP, "/"},   {"health = /up?full=1&x=%20", SG_CHECK_HTTP, "/up?full=1&x=%20"},
        };

        TEST_ENV();
        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                SG_AUTO(sg_config_unref) struct sg_config *c = NULL;
                char text[200];

                snprintf(text, sizeof(text), SERVICE GIVEN "%s\nbalance = hash\nhash_by = address\n", cases[i].line);
                c = test_config(text);
                assert_int_equal(first_of(c)->check, cases[i].check);
                assert_string_equal(first_of(c)->health_path, cases[i].path);
                assert_int_equal(first_of(c)->hash_by, SG_HASH_BY_ADDRESS);
                assert_null(first_of(c)->hash_header);
        }
}

static void test_prefixes(void **state)
{
        static const char *const right[] = {"/",           "/a",           "/a/",         "/v1/things/",
                                            "/v1/chatter", "/api/health2", "/a.b/..c/~x/"};
        static const struct {
                const char *prefix, *told;
        } wrong[] = {
                {"a/", "'a/' does not begin with /"},
                {"/a?b", "'/a?b' has a ? or #; only the path counts"},
                {"/a#b", "'/a#b' has a ? or #; only the path counts"},
                {"/a%20b", "'/a%20b' has a %; a prefix is written without escapes"},
                {"/a b", "'/a b' has a byte that may not stand in a prefix"},
                {"/a;b", "'/a;b' has a byte that may not stand in a prefix"},
                {"/\xc3\xa4", "'/\xc3\xa4' has a byte that may not stand in a prefix"},
                {"//", "'//' has a segment that is empty, '.' or '..'"},
                {"/a//b", "'/a//b' has a segment that is empty, '.' or '..'"},
                {"/a/./b", "'/a/./b' has a segment that is empty, '.' or '..'"},
                {"/a/..", "'/a/..' has a segment that is empty, '.' or '..'"},
                {"/v1", "'/v1' is a path of the gateway's own; choose another"},
                {"/v1/", "'/v1/' is a path of the gateway's own; choose another"},
                {"/v1/chat", "'/v1/chat' is a path of the gateway's own; choose another"},
                {"/v1/models/x", "'/v1/models/x' is a path of the gateway's own; choose another"},
                {"/health", "'/health' is a path of the gateway's own; choose another"},
                {"/ready", "'/ready' is a path of the gateway's own; choose another"},
                {"/api/health/", "'/api/health/' is a path of the gateway's own; choose another"},
                {"/api/health/all", "'/api/health/all' is a path of the gateway's own; choose another"},
        };
        char text[300], told[300];

        TEST_ENV();
        for (size_t i = 0; i < SG_N_ELEMENTS(right); i++) {
                snprintf(text, sizeof(text), SERVICE "endpoint = http://h\nprefix = %s\n", right[i]);
                SG_AUTO(sg_config_unref) struct sg_config *c = test_config(text);
                assert_string_equal(first_of(c)->prefix, right[i]);
        }
        for (size_t i = 0; i < SG_N_ELEMENTS(wrong); i++) {
                snprintf(text, sizeof(text), SERVICE "endpoint = http://h\nprefix = %s\n", wrong[i].prefix);
                snprintf(told, sizeof(told), "a.conf:3: prefix: %s", wrong[i].told);
                test_wrong(text, told);
        }
}

static void test_wrong_values_are_told(void **state)
{
        static const struct {
                const char *line, *told;
        } cases[] = {
                {"host = *", "host: '*' is every host: leave host out"},
                {"host = a:80", "host: 'a:80' has a port; leave it out"},
                {"host = a.*.b", "host: 'a.*.b' is not a host; write api.example.com, *.example.com or [::1]"},
                {"host = b ::1", "host: '::1' is not a host; write api.example.com, *.example.com or [::1]"},
                {"method = G(T", "method: 'G(T' is not a method"},
                {"method = POST get", "method: 'get': methods are written in capitals; did you mean 'GET'?"},
                {"endpoint = ftp://h", "endpoint: ftp:// cannot be called; write https:// or http://"},
                {"endpoint = http://u:secret@h", "endpoint: the URL holds a user name or password; leave them out"},
                {"endpoint = http://h?x", "endpoint: the URL has a query (?); leave it out"},
                {"endpoint = http://unix:x", "endpoint: the URL has no absolute path of a socket after unix:; write "
                                             "http://unix:/run/model.sock:/v1"},
                {"endpoint = http://i weight=0", "endpoint: '0' is not a number from 1 to 1000"},
                {"endpoint = http://i weight=1 weight=2", "endpoint: weight= stands twice"},
                {"endpoint = http://i wieght=1", "endpoint: 'wieght=1' is not an option of an endpoint; there is "
                                                 "weight=N"},
                {"endpoint = http://h weight=2", "endpoint: the URL stands twice; weight=N gives it a larger share"},
                {"protocol = http3", "protocol: 'http3' is not one of http1, http2, auto; did you mean 'http1'?"},
                {"auth = certifcate", "auth: 'certifcate' is not one of key, certificate, none; did you mean "
                                      "'certificate'?"},
                {"request_header = X-A b", "request_header: a field is written Name: value"},
                {"request_header = X A: b", "request_header: 'X A' is not the name of a field"},
                {"request_header = X-A : b", "request_header: 'X-A ' is not the name of a field"},
                {"request_header = content-length: 1",
                 "request_header: 'content-length' is what the gateway decides itself"},
                {"request_header = Authorization: Bearer secret",
                 "request_header: 'Authorization' holds secrets, and none may stand in the configuration"},
                {"request_header = Host: a b", "request_header: 'Host' has a value that is not a host"},
                {"request_header = X-A: a\tb\nrequest_header = x-a: c",
                 "a.conf:5: request_header: the field is set already; one value a name"},
                {"response_header = TE: x", "response_header: 'TE' is what the gateway decides itself"},
                {"response_header = Host: x", "response_header: 'Host' is a field of requests"},
                {"remove_request_header = Host",
                 "remove_request_header: 'Host' must stand in every request; request_header = Host: NAME replaces it"},
                {"remove_request_header = Connection",
                 "remove_request_header: 'Connection' is what the gateway decides itself"},
                {"remove_response_header = a:b", "remove_response_header: 'a:b' is not the name of a field"},
                {"request_header = X-A: b\nremove_request_header = Cookie x-a",
                 "a.conf:5: remove_request_header: X-A is set as well, which replaces it"},
                {"cors_origin = *", "cors_origin: * would let any page in: origins are explicit; write each, as "
                                    "https://app.example"},
                {"cors_origin = app.example", "cors_origin: an origin begins with https:// or http://"},
                {"cors_origin = https://app.example/",
                 "cors_origin: an origin has no path, not even a /; write https://app.example"},
                {"cors_origin = https://app.example:x",
                 "cors_origin: the origin has a port that is not a number from 1 to 65535"},
                {"cors_methods = GET,,POST", "cors_methods: '' is not a word; words have commas between them"},
                {"cors_headers = X-A X-B", "cors_headers: 'X-A X-B' is not a word; words have commas between them"},
                {"balance = roundrobin", "balance: 'roundrobin' is not one of round_robin, least_outstanding, hash; "
                                         "did you mean 'round_robin'?"},
                {"hash_by = adress", "hash_by: 'adress' is not one of address, key, header:NAME; did you mean "
                                     "'address'?"},
                {"hash_by = header:", "hash_by: '' is not the name of a field"},
                {"health = http://h/x", "health: write the path only; where to ask is what the endpoints say"},
                {"health = tpc", "health: 'tpc' is not one of none, tcp, grpc, grpc:SERVICE.NAME, /path; did you mean "
                                 "'tcp'?"},
                {"health = grpc:a b", "health: 'a b' is not the name of a gRPC service"},
                {"health = /a b", "health: the path has a byte that must be written as %XX"},
                {"retries = 6", "retries: '6' is out of range: 0 to 5"},
                {"retry_budget = 101", "retry_budget: '101' is out of range: 0 to 100"},
                {"total_timeout = never", "total_timeout: 'never' is not a duration such as 250ms, 90s or 5m"},
                {"tls_key = /k", "tls_key: write file:/path or credential:NAME"},
                {"enpoint = http://h", "unknown setting 'enpoint' in [service \"s\"]; did you mean 'endpoint'?"},
                {"auth = certificate", "auth = certificate, but no [listener] asks clients for one; write "
                                       "client_certificate = optional there"},
                {"client_subject = CN=a", "client_subject is for auth = certificate"},
                {"client_subject = alice", "client_subject: a subject is written CN=alice,O=Example"},
                {"ca_file = /x", "ca_file is for https, but no endpoint is https"},
                {"tls_server_name = x", "tls_server_name is for https, but no endpoint is https"},
                {"hash_by = key", "hash_by is for balance = hash"},
                {"cors_credentials = yes", "cors_credentials is for services with a cors_origin; write cors_origin = "
                                           "https://app.example"},
                {"cors_methods = GET", "cors_methods is for services with a cors_origin; write cors_origin = "
                                       "https://app.example"},
                {"health_interval = 1s", "health_interval is for services whose health is asked for; write health = "
                                         "/path, tcp or grpc"},
                {"warm_connections = 65", "warm_connections (65) is more than pool_max (64)"},
        };
        char text[600], told[600];

        TEST_ENV();
        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                snprintf(text, sizeof(text), SERVICE GIVEN "%s\n", cases[i].line);
                snprintf(told, sizeof(told), "%s%s", strncmp(cases[i].told, "a.conf", 6) ? "a.conf:4: " : "",
                         cases[i].told);
                test_wrong(text, told);
        }
        test_wrong(SERVICE GIVENTLS "tls_key = file:/k\n", "a.conf:4: tls_certificate and tls_key need each other");
        test_wrong(SERVICE "endpoint = http://h\n", "a.conf:1: [service \"s\"] has no prefix; write prefix = /api/s/");
        test_wrong(SERVICE "prefix = /s\nendpoint = http://h\nendpoint =\n",
                   "a.conf:1: [service \"s\"] has no endpoint; write endpoint = http://127.0.0.1:8082");
        test_wrong("[service \"a b\"]\n" GIVEN,
                   "a.conf:1: [service \"a b\"]: the name may have letters, digits, . _ - only");
}

static void expect_both(const char *first, const char *second, bool is_right)
{
        char text[400];

        snprintf(text, sizeof(text), "[service \"a\"]\nendpoint = http://a\n%s[service \"b\"]\nendpoint = http://b\n%s",
                 first, second);
        if (is_right)
                sg_config_unref(test_config(text));
        else
                test_wrong(text,
                           "a.conf:8: prefix: [service \"a\"] (a.conf:1) takes /x too, for hosts and methods that "
                           "are among these; give each its own host or method");
}

static void test_no_request_belongs_to_two(void **state)
{
        TEST_ENV();
        expect_both("prefix = /x\n\n\n", "prefix = /x\n", false);
        expect_both("prefix = /x\n\n\n", "prefix = /x/\n", false);
        expect_both("prefix = /x\n\n\n", "prefix = /x/y\n", true);
        expect_both("prefix = /x\nhost = a.b\n\n", "prefix = /x\nhost = c.b\n", true);
        expect_both("prefix = /x\nhost = a.b\n\n", "prefix = /x\nhost = c.b A.B\n", false);
        expect_both("prefix = /x\nhost = a.b\n\n", "prefix = /x\nhost = *.b\n", true);
        expect_both("prefix = /x\nhost = *.b\n\n", "prefix = /x\nhost = a.b\n", true);
        expect_both("prefix = /x\nhost = *.b\n\n", "prefix = /x\nhost = *.b\n", false);
        expect_both("prefix = /x\nhost = *.b\n\n", "prefix = /x\nhost = c.a.b\n", true);
        expect_both("prefix = /x\nhost = *.b\n\n", "prefix = /x\nhost = b\n", true);
        expect_both("prefix = /x\nhost = a.b\n\n", "prefix = /x\n", true);
        expect_both("prefix = /x\nmethod = GET\n\n", "prefix = /x\nmethod = POST\n", true);
        expect_both("prefix = /x\nmethod = GET\n\n", "prefix = /x\nmethod = POST GET\n", false);
        expect_both("prefix = /x\nmethod = GET\n\n", "prefix = /x\n", true);
        expect_both("prefix = /x\nmethod = GET\nhost = a\n", "prefix = /x\nmethod = GET\nhost = b\n", true);
        expect_both("prefix = /x\nmethod = GET\nhost = a\n", "prefix = /x\nmethod = GET\nhost = a\n", false);
}

static const char *found(const struct sg_config *c, const char *host, const char *method, const char *path)
{
        const struct sg_config_service *s;
        bool has_other_method;

        s = sg_config_find_service(c, sg_str_from(host), sg_str_from(method), sg_str_from(path), &has_other_method);
        return s ? s->name : has_other_method ? "other method" : "none";
}

static void test_the_best_match(void **state)
{
        struct sg_config *c;

        TEST_ENV();
        c = test_config("[service \"root\"]\nendpoint = http://h\nprefix = /\nhost = only.example\n"
                        "[service \"api\"]\nendpoint = http://h\nprefix = /api/\n"
                        "[service \"deep\"]\nendpoint = http://h\nprefix = /api/deep\n"
                        "[service \"exact\"]\nendpoint = http://h\nprefix = /api\nhost = a.example\n"
                        "[service \"star\"]\nendpoint = http://h\nprefix = /api\nhost = *.example\n"
                        "[service \"get\"]\nendpoint = http://h\nprefix = /api\nmethod = GET\n"
                        "[service \"post\"]\nendpoint = http://h\nprefix = /post\nmethod = POST PUT\n");
        assert_string_equal(found(c, "x", "POST", "/api/x"), "api");
        assert_string_equal(found(c, "x", "POST", "/api"), "api");
        assert_string_equal(found(c, "x", "POST", "/apix"), "none");
        assert_string_equal(found(c, "x", "GET", "/api/x"), "get");
        assert_string_equal(found(c, "x", "GET", "/api/deep/x"), "deep");
        assert_string_equal(found(c, "x", "GET", "/api/deeper"), "get");
        assert_string_equal(found(c, "A.Example:8000", "GET", "/api/x"), "exact");
        assert_string_equal(found(c, "b.example", "GET", "/api/x"), "star");
        assert_string_equal(found(c, "b.a.example", "POST", "/api/x"), "api");
        assert_string_equal(found(c, ".example", "POST", "/api/x"), "api");
        assert_string_equal(found(c, "only.example", "GET", "/anything"), "root");
        assert_string_equal(found(c, "", "GET", "/anything"), "none");
        assert_string_equal(found(c, "x", "GET", "/post"), "other method");
        assert_string_equal(found(c, "x", "PUT", "/post/1"), "post");
        sg_config_unref(c);
}

static void test_too_many(void **state)
{
        struct sg_buf b;

        TEST_ENV();
        sg_buf_init(&b, 1 << 20);
        assert_int_equal(sg_buf_printf(&b, SERVICE "prefix = /s\n"), 0);
        for (unsigned i = 0; i <= SG_ENDPOINTS_MAX; i++)
                assert_int_equal(sg_buf_printf(&b, "endpoint = http://h:%u\n", i + 1), 0);
        assert_int_equal(sg_buf_add(&b, sg_str_make("", 1)), 0);
        test_wrong(sg_buf_view(&b).p, "a.conf:67: endpoint: there are more than 64");
        sg_buf_clear(&b);
        for (unsigned i = 0; i <= 1024; i++)
                assert_int_equal(sg_buf_printf(&b, "[service \"%u\"]\nprefix = /%u\nendpoint = http://h\n", i, i), 0);
        assert_int_equal(sg_buf_add(&b, sg_str_make("", 1)), 0);
        test_wrong(sg_buf_view(&b).p, "a.conf:3073: there are more than 1024 services");
        sg_buf_done(&b);
}

/* NUL-terminated, on the heap. */
static char *text_of(const struct sg_config *c)
{
        struct sg_buf b;
        char *text;

        sg_buf_init(&b, 1 << 20);
        assert_int_equal(sg_config_add_text(c, &b), 0);
        text = sg_str_dup(sg_buf_view(&b));
        sg_buf_done(&b);
        assert_non_null(text);
        return text;
}

static void test_the_text_can_be_read_again(void **state)
{
        static const char little[] = SERVICE GIVEN;
        SG_AUTO(sg_config_unref) struct sg_config *c = NULL, *again = NULL;
        char *text;

        TEST_ENV();
        c = test_config(all);
        text = text_of(c);
        assert_non_null(strstr(text, "endpoint = https://A.example:8443/v2/ weight=3  # a.conf:12\n"));
        assert_non_null(strstr(text, "total_timeout = 4s  # a.conf:29\n"));
        assert_non_null(strstr(text, "hash_by = header:X-User  # a.conf:45\n"));
        again = test_config(text);
        free(text);
        expect_lists(first_of(again));
        expect_endpoints(first_of(again));
        assert_string_equal(first_of(again)->hash_header, "X-User");
        assert_string_equal(first_of(again)->health_path, "my.Service");
        assert_null(sg_config_needs_restart(c, again));

        /* What has no meaning is not told: it would not be taken. */
        c = sg_config_unref(c);
        again = sg_config_unref(again);
        c = test_config(little);
        text = text_of(c);
        assert_non_null(strstr(text, "total_timeout = none  # default\n"));
        assert_non_null(strstr(text, "health = none  # default\n"));
        assert_null(strstr(text, "hash_by"));
        assert_null(strstr(text, "cors_max_age"));
        assert_null(strstr(text, "health_interval"));
        again = test_config(text);
        free(text);
        assert_true(first_of(again)->total_timeout_usec == SG_USEC_NEVER);
}

static void test_a_later_file_adds_and_clears(void **state)
{
        TEST_ENV();
        SG_AUTO(sg_config_unref)
        struct sg_config *c =
                test_config_of(SERVICE GIVEN "method = GET\nrequest_header = X-A: b\ntotal_timeout = 1s\n",
                               SERVICE "endpoint = http://i\nmethod =\nmethod = POST\n"
                                       "request_header =\ntotal_timeout = none\n");
        const struct sg_config_service *s = first_of(c);

        assert_int_equal(s->n_endpoints, 2);
        assert_int_equal(s->n_methods, 1);
        assert_string_equal(s->methods[0], "POST");
        assert_int_equal(s->n_request_fields, 0);
        assert_true(s->total_timeout_usec == SG_USEC_NEVER);
}

static void test_services_need_no_restart(void **state)
{
        TEST_ENV();
        SG_AUTO(sg_config_unref) struct sg_config *from = test_config(""), *to = test_config(SERVICE GIVEN);

        assert_null(sg_config_needs_restart(from, to));
        assert_null(sg_config_needs_restart(to, from));
}

static void test_providers_have_a_protocol(void **state)
{
        TEST_ENV();
        SG_AUTO(sg_config_unref)
        struct sg_config *c =
                test_config("[provider \"a\"]\ndialect = openai\nbase_url = http://h\n"
                            "[provider \"b\"]\ndialect = openai\nbase_url = https://h\nprotocol = HTTP2\n"
                            "[provider \"c\"]\ndialect = openai\nbase_url = https://h\nprotocol = auto\n");

        assert_int_equal(c->providers[0].protocol, SG_PROTOCOL_HTTP1);
        assert_int_equal(c->providers[1].protocol, SG_PROTOCOL_HTTP2);
        assert_int_equal(c->providers[2].protocol, SG_PROTOCOL_AUTO);
        test_wrong("[provider \"e\"]\ndialect = echo\nprotocol = auto\n",
                   "a.conf:3: protocol is not a setting of dialect echo");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_little_is_enough),
                cmocka_unit_test(test_every_setting_reaches_its_field),
                cmocka_unit_test(test_every_setting_is_among_them),
                cmocka_unit_test(test_forms_of_health_and_hash),
                cmocka_unit_test(test_prefixes),
                cmocka_unit_test(test_wrong_values_are_told),
                cmocka_unit_test(test_no_request_belongs_to_two),
                cmocka_unit_test(test_the_best_match),
                cmocka_unit_test(test_too_many),
                cmocka_unit_test(test_the_text_can_be_read_again),
                cmocka_unit_test(test_a_later_file_adds_and_clears),
                cmocka_unit_test(test_services_need_no_restart),
                cmocka_unit_test(test_providers_have_a_protocol),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
