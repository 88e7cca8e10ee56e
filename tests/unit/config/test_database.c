/* Where the ledger keeps things, what a server's URL may hold, and who gets its password. */
#include "config_test.h"

#include <unistd.h>

#define URL "[ledger]\ndatabase = postgresql://ledger@db.example/scribe"

static int setup(void **state)
{
        TEST_ENV();
        return 0;
}

static void test_urls_that_are_taken(void **state)
{
        static const struct {
                const char *text, *url;
        } good[] = {
                {"sqlite:/srv/ledger.db", "sqlite:/srv/ledger.db"},
                {"postgresql://db/scribe", "postgresql://db/scribe"},
                {"postgres://me@db/scribe", "postgresql://me@db/scribe"},
                {"PostgreSQL://me@db:5433/scribe", "postgresql://me@db:5433/scribe"},
                {"postgresql://me%40corp@[::1]:5433/a%2Fb", "postgresql://me%40corp@[::1]:5433/a%2Fb"},
                {"postgresql://me@%2Frun%2Fpostgresql/scribe", "postgresql://me@%2Frun%2Fpostgresql/scribe"},
                {"postgresql://%2frun:5433/scribe", "postgresql://%2frun:5433/scribe"},
                {"postgresql://a,b:5433,[::1]/scribe?target_session_attrs=read-write",
                 "postgresql://a,b:5433,[::1]/scribe?target_session_attrs=read-write"},
                {"postgresql://db/scribe?sslmode=require&target_session_attrs=primary",
                 "postgresql://db/scribe?sslmode=require&target_session_attrs=primary"},
        };

        for (size_t i = 0; i < SG_N_ELEMENTS(good); i++) {
                SG_AUTO(sg_config_unref) struct sg_config *c = NULL;
                char text[256];

                snprintf(text, sizeof(text), "[ledger]\ndatabase = %s\n", good[i].text);
                c = test_config(text);
                assert_string_equal(c->ledger_database, good[i].url);
                assert_null(c->ledger_password);
        }
}

/* Nothing of them is repeated but what is ours. */
static void test_urls_that_are_refused(void **state)
{
        static const struct {
                const char *text, *why;
        } bad[] = {
                {"mysql://db/scribe",
                 "a database is written sqlite:/path/of/the/file or postgresql://user@host/database"},
                {"sqlite:ledger.db", "after sqlite: comes the absolute path of a file"},
                {"postgresql://me:hunter2@db/scribe",
                 "the URL holds a password, which may not stand in the configuration; leave it out and write password "
                 "= credential:NAME, file:/path or env:NAME"},
                {"postgresql://me:hun@ter2@db/scribe",
                 "the URL holds a password, which may not stand in the configuration; leave it out and write password "
                 "= credential:NAME, file:/path or env:NAME"},
                {"postgresql://db/scribe?password=hunter2",
                 "the URL holds a password, which may not stand in the configuration; leave it out and write password "
                 "= credential:NAME, file:/path or env:NAME"},
                {"postgresql://me:hun/ter2@db/scribe", "the URL has a port that is not a number from 1 to 65535"},
                {"postgresql://@db/scribe", "the URL has no user before the @"},
                {"postgresql://m%zze@db/scribe", "the URL has a byte in the user's name that must be written as %XX"},
                {"postgresql://m%00e@db/scribe", "the URL has a byte in the user's name that must be written as %XX"},
                {"postgresql:///scribe", "the URL has no host"},
                {"postgresql://a,,b/scribe", "the URL has no host"},
                {"postgresql://a,/scribe", "the URL has no host"},
                {"postgresql://db:0/scribe", "the URL has a port that is not a number from 1 to 65535"},
                {"postgresql://%2Frun:x/scribe", "the URL has a port that is not a number from 1 to 65535"},
                {"postgresql://%2Frun%2/scribe",
                 "the URL has a byte in the socket's directory that must be written as %XX"},
                {"postgresql://db", "the URL has no database; write postgresql://user@host/database"},
                {"postgresql://db/", "the URL has no database; write postgresql://user@host/database"},
                {"postgresql://db/?sslmode=require", "the URL has no database; write postgresql://user@host/database"},
                {"postgresql://db/a/b", "the URL has a byte in the database's name that must be written as %XX"},
                {"postgresql://db/a b", "the URL has a byte in the database's name that must be written as %XX"},
                {"postgresql://db/a#b", "the URL has a fragment (#); leave it out"},
                {"postgresql://db/a?sslmode=on",
                 "the URL has an sslmode that is not one of disable, allow, prefer, require, verify-ca and "
                 "verify-full"},
                {"postgresql://db/a?target_session_attrs=standby",
                 "the URL has target_session_attrs that are not one of any, read-write and primary"},
                {"postgresql://db/a?sslmode=require&sslmode=require", "the URL has a parameter twice"},
                {"postgresql://db/a?sslrootcert=/x", "the URL names a file of certificates; write ca_file = /path"},
                {"postgresql://db/a?options=-c",
                 "the URL has a parameter behind its ? that is neither sslmode nor target_session_attrs"},
                {"postgresql://db/a?&", "the URL has a parameter behind its ? that is neither sslmode nor "
                                        "target_session_attrs"},
        };

        for (size_t i = 0; i < SG_N_ELEMENTS(bad); i++) {
                char text[256], expected[512];

                snprintf(text, sizeof(text), "[ledger]\ndatabase = %s\n", bad[i].text);
                snprintf(expected, sizeof(expected), "a.conf:2: database: %s", bad[i].why);
                test_wrong(text, expected);
        }
}

static void test_what_is_for_a_server_needs_one(void **state)
{
        test_wrong("[ledger]\npassword = env:X\n", "a.conf:2: password is for database = postgresql://…");
        test_wrong("[ledger]\ndatabase = sqlite:/a\nca_file = /ca.pem\n",
                   "a.conf:3: ca_file is for database = postgresql://…");
        test_wrong("[ledger]\ntls_key = file:/k\n", "a.conf:2: tls_key is for database = postgresql://…");
        test_wrong(URL "\ntls_key = file:/k\n", "a.conf:3: tls_certificate and tls_key need each other");
        test_wrong(URL "\ntls_certificate = file:/k\n", "a.conf:3: tls_certificate and tls_key need each other");
        test_wrong(URL "?sslmode=disable\ntls_certificate = file:/k\ntls_key = file:/k\n",
                   "a.conf:4: tls_key is for connections with TLS, but the database's URL says sslmode=disable");
        test_wrong(URL "?sslmode=prefer\nca_file = /ca.pem\n",
                   "a.conf:3: ca_file is for sslmode=verify-full, verify-ca or require; with less in the database's "
                   "URL nothing is checked");
        test_wrong(URL "?sslmode=verify-full\n",
                   "a.conf:2: database: the URL says that the server's certificate must be checked; write ca_file = "
                   "/path, the certificates of the authorities that it must lead to");
        test_wrong(URL "\npassword = hunter2\n",
                   "a.conf:3: password: a secret may not stand in the configuration; write credential:NAME, "
                   "file:/path or env:NAME");
}

static void test_a_ca_file_asks_for_all_of_tls(void **state)
{
        static const char base[] = "postgresql://ledger@db.example/scribe";
        static const struct {
                const char *query, *becomes;
        } cases[] = {{"", "?sslmode=verify-full"},
                     {"?sslmode=verify-ca", "?sslmode=verify-ca"},
                     {"?target_session_attrs=any", "?target_session_attrs=any&sslmode=verify-full"}};

        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                SG_AUTO(sg_config_unref) struct sg_config *c = NULL;
                char text[256];

                snprintf(text, sizeof(text),
                         URL "%s\nca_file = /ca.pem\ntls_certificate = file:/c.pem\ntls_key = file:/k.pem\n",
                         cases[i].query);
                c = test_config(text);
                assert_string_equal(c->ledger_database + sizeof(base) - 1, cases[i].becomes);
                assert_string_equal(c->ledger_ca_file, "/ca.pem");
                assert_string_equal(c->ledger_tls_certificate, "/c.pem");
                assert_string_equal(c->ledger_tls_key, "/k.pem");
        }
}

/* ---- who reads the secrets */

static struct sg_config *read_as(bool is_ledger, const char *text, struct sg_error *err)
{
        const struct sg_surroundings around = {
                .get_env = test_get_env, .reads_secrets = !is_ledger, .reads_database_secrets = is_ledger};
        SG_AUTO(sg_whole_free) struct sg_whole *w = sg_whole_new();
        int r;

        assert_non_null(w);
        r = sg_raw_add_bytes(&w->raw, sg_str_from(text), "a.conf", err);
        if (!r)
                r = sg_environment_apply(&w->raw, &around);
        if (!r)
                r = sg_whole_build(w, &around, err);
        return r ? NULL : &SG_GIVE(w)->config;
}

static void test_each_process_reads_its_own_secrets(void **state)
{
        static const char text[] = URL "\npassword = env:DB_PASSWORD\n"
                                       "[provider \"p\"]\ndialect = openai\nbase_url = http://h\napi_key = env:KEY\n";
        struct sg_config *c;
        struct sg_error err = {0};

        TEST_ENV("KEY=sk-gateways-own");
        c = read_as(false, text, &err);
        assert_non_null(c);
        assert_null(c->ledger_password);
        assert_non_null(c->providers[0].api_key);
        sg_config_unref(c);
        assert_null(read_as(true, text, &err));
        assert_string_equal(err.text, "password: the environment variable DB_PASSWORD is not set; set it where the "
                                      "gateway is started");

        TEST_ENV("DB_PASSWORD=hunter2");
        c = read_as(true, text, &err);
        assert_non_null(c);
        assert_true(sg_str_eq(sg_secret_bytes(c->ledger_password), SG_STR("hunter2")));
        assert_null(c->providers[0].api_key);
        sg_config_unref(c);
        assert_null(read_as(false, text, &err));
}

static void test_text_tells_where_the_password_is_and_never_what(void **state)
{
        struct sg_error err = {0};
        struct sg_config *c;
        struct sg_buf b;
        char *text;

        TEST_ENV("DB_PASSWORD=hunter2");
        c = read_as(true, URL "\npassword = env:DB_PASSWORD\n", &err);
        assert_non_null(c);
        sg_buf_init(&b, 1u << 20);
        assert_int_equal(sg_config_add_text(c, &b), 0);
        text = sg_str_dup(sg_buf_view(&b));
        assert_non_null(strstr(text, "database = postgresql://ledger@db.example/scribe  # a.conf:2\n"));
        assert_non_null(strstr(text, "password = env:DB_PASSWORD  # a.conf:3\n"));
        assert_null(strstr(text, "hunter2"));
        free(text);
        sg_buf_done(&b);
        sg_config_unref(c);
}

static void test_another_place_of_the_password_needs_a_restart(void **state)
{
        SG_AUTO(sg_config_unref) struct sg_config *a = test_config_of(URL "\n", "");
        struct sg_error err = {0};
        SG_AUTO(sg_config_unref) struct sg_config *b = read_as(false, URL "\npassword = env:A\n", &err);
        SG_AUTO(sg_config_unref) struct sg_config *c = read_as(false, URL "\npassword = env:B\n", &err);
        SG_AUTO(sg_config_unref) struct sg_config *d = read_as(false, URL "\nca_file = /ca.pem\n", &err);

        assert_string_equal(sg_config_needs_restart(a, b), "ledger.password");
        assert_string_equal(sg_config_needs_restart(b, c), "ledger.password");
        assert_string_equal(sg_config_needs_restart(c, d), "ledger.database");
        assert_null(sg_config_needs_restart(b, b));
}

/* ---- variables */

static void expect(const char *url, const char *where)
{
        SG_AUTO(sg_config_unref) struct sg_config *c = test_config("");
        struct sg_buf b;
        char line[256], *text;

        assert_string_equal(c->ledger_database, url);
        assert_null(c->ledger_password);
        if (!where)
                return;
        sg_buf_init(&b, 1u << 20);
        assert_int_equal(sg_config_add_text(c, &b), 0);
        text = sg_str_dup(sg_buf_view(&b));
        snprintf(line, sizeof(line), "%s\n", where);
        assert_non_null(strstr(text, line));
        free(text);
        sg_buf_done(&b);
}

static void test_variables_make_the_url(void **state)
{
        TEST_ENV("POSTGRES_HOST=db", "POSTGRES_DB=scribe");
        expect("postgresql://db/scribe", "database = postgresql://db/scribe  # environment variable POSTGRES_HOST");
        TEST_ENV("POSTGRES_HOST=db", "POSTGRES_DB=scribe", "POSTGRES_USER=me@corp:x", "POSTGRES_PORT=5433",
                 "POSTGRES_PASSWORD=hunter2");
        expect("postgresql://me%40corp%3Ax@db:5433/scribe",
               "password = env:POSTGRES_PASSWORD  # environment variable POSTGRES_PASSWORD");
        TEST_ENV("POSTGRES_HOST=::1", "POSTGRES_DB=a/b", "POSTGRES_PORT=tcp://10.0.0.7:5434");
        expect("postgresql://[::1]:5434/a%2Fb", NULL);
        TEST_ENV("POSTGRES_HOST=/run/postgresql", "POSTGRES_DB=scribe", "POSTGRES_PASSWORD_FILE=/run/secrets/db");
        expect("postgresql://%2Frun%2Fpostgresql/scribe",
               "password = file:/run/secrets/db  # environment variable POSTGRES_PASSWORD_FILE");
        TEST_ENV("POSTGRES_HOST=db", "POSTGRES_DB=scribe", "POSTGRES_PASSWORD_FILE=/dev/null");
        expect("postgresql://db/scribe", NULL);
}

/* A host alone is the database of the services, which many compose files name. */
static void test_variables_without_host_or_database_mean_nothing(void **state)
{
        static const char sqlite[] = "sqlite:/var/lib/scribe-gateway/ledger.db";

        TEST_ENV("POSTGRES_HOST=db", "POSTGRES_PORT=5433", "POSTGRES_USER=me", "POSTGRES_PASSWORD=hunter2");
        expect(sqlite, "probe = postgres://db:5433  # environment variable POSTGRES_HOST");
        TEST_ENV("POSTGRES_DB=scribe", "POSTGRES_USER=me", "POSTGRES_PASSWORD=hunter2");
        expect(sqlite, NULL);
}

static void test_variables_are_checked_as_if_they_were_written(void **state)
{
        TEST_ENV("POSTGRES_HOST=me:hunter2@db", "POSTGRES_DB=scribe");
        test_wrong("", "environment variable POSTGRES_HOST: database: the URL holds a password, which may not stand in "
                       "the configuration; leave it out and write password = credential:NAME, file:/path or env:NAME");
        TEST_ENV("POSTGRES_HOST=db", "POSTGRES_DB=scribe", "POSTGRES_PORT=many");
        test_wrong("", "environment variable POSTGRES_HOST: database: the URL has a port that is not a number from 1 "
                       "to 65535");
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_urls_that_are_taken),
                TEST(test_urls_that_are_refused),
                TEST(test_what_is_for_a_server_needs_one),
                TEST(test_a_ca_file_asks_for_all_of_tls),
                TEST(test_each_process_reads_its_own_secrets),
                TEST(test_text_tells_where_the_password_is_and_never_what),
                TEST(test_another_place_of_the_password_needs_a_restart),
                TEST(test_variables_make_the_url),
                TEST(test_variables_without_host_or_database_mean_nothing),
                TEST(test_variables_are_checked_as_if_they_were_written),
        };

        return cmocka_run_group_tests_name("config database", tests, NULL, NULL);
}
