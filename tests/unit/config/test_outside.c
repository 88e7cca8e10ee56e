/* What comes from outside the files: environment variables and secrets. */
#include "config_test.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../skip.h"
#include "base/limits.h"

#define ECHO   "[provider \"echo\"]\ndialect = echo\n"
#define OPENAI "[provider \"p\"]\ndialect = openai\nbase_url = http://h\n"

/* ---- variables */

static void test_listen_replaces_the_listener_called_http(void **state)
{
        TEST_ENV("SCRIBE_LISTEN=[::]:9000");
        {
                SG_AUTO(sg_config_unref) struct sg_config *c = test_config("");

                assert_int_equal(c->n_listeners, 1);
                assert_string_equal(c->listeners[0].name, "http");
                assert_string_equal(c->listeners[0].address, "[::]:9000");
                assert_string_equal(c->listeners[0].where, "environment variable SCRIBE_LISTEN");
        }
        {
                SG_AUTO(sg_config_unref)
                struct sg_config *c = test_config("[listener \"a\"]\naddress = 1\n[listener \"http\"]\naddress = 2\n");

                assert_int_equal(c->n_listeners, 2);
                assert_string_equal(c->listeners[0].address, "1");
                assert_string_equal(c->listeners[1].address, "[::]:9000");
        }
        TEST_ENV("SCRIBE_LISTEN=");
        {
                SG_AUTO(sg_config_unref) struct sg_config *c = test_config("");

                assert_string_equal(c->listeners[0].address, "127.0.0.1:8000");
        }
        TEST_ENV("SCRIBE_LISTEN=nowhere");
        test_wrong("",
                   "environment variable SCRIBE_LISTEN: address: 'nowhere': the port is not a number from 0 to 65535; "
                   "write 127.0.0.1:8000, [::]:8443, 8000 or unix:/path");
}

static enum sg_log_level level_with(const char *first, const char *second)
{
        SG_AUTO(sg_config_unref) struct sg_config *c = NULL;

        TEST_ENV(first, second);
        c = test_config("[log]\nlevel = notice\n");
        return c->log_level;
}

static void test_log_level_in_the_words_of_others(void **state)
{
        assert_int_equal(level_with("LOG_LEVEL=debug", NULL), SG_LOG_DEBUG);
        assert_int_equal(level_with("LOG_LEVEL=WARN", NULL), SG_LOG_WARNING);
        assert_int_equal(level_with("LOG_LEVEL=Error", NULL), SG_LOG_ERR);
        assert_int_equal(level_with("LOG_LEVEL=CRITICAL", NULL), SG_LOG_ERR);
        assert_int_equal(level_with("LOG_LEVEL=trace", NULL), SG_LOG_DEBUG);
        assert_int_equal(level_with("LOG_LEVEL=", NULL), SG_LOG_NOTICE);
        assert_int_equal(level_with("RUST_LOG=info,tower=warn", NULL), SG_LOG_INFO);
        assert_int_equal(level_with("RUST_LOG=tower=warn, debug", NULL), SG_LOG_DEBUG);
        assert_int_equal(level_with("RUST_LOG=tower=warn", NULL), SG_LOG_NOTICE);
        assert_int_equal(level_with("RUST_LOG=my_crate,,", NULL), SG_LOG_NOTICE);
        assert_int_equal(level_with("RUST_LOG=debug", "LOG_LEVEL=err"), SG_LOG_ERR);
        TEST_ENV("LOG_LEVEL=loud");
        test_wrong("", "environment variable LOG_LEVEL: level: 'loud' is not one of err, warning, notice, info, debug");
}

static void test_directories_of_the_unit_stand_in_for_the_default(void **state)
{
        TEST_ENV("STATE_DIRECTORY=/var/lib/x:/var/lib/y", "RUNTIME_DIRECTORY=/run/x");
        {
                SG_AUTO(sg_config_unref) struct sg_config *c = test_config("");

                assert_string_equal(c->state_directory, "/var/lib/x");
                assert_string_equal(c->runtime_directory, "/run/x");
                assert_string_equal(c->ledger_database, "sqlite:/var/lib/x/ledger.db");
        }
        {
                SG_AUTO(sg_config_unref) struct sg_config *c = test_config("[gateway]\nstate_directory = /srv\n");

                assert_string_equal(c->state_directory, "/srv");
        }
}

static const char *target_of(const struct sg_config *c, const char *model, char *out)
{
        const struct sg_config_model *m = sg_config_find_model(c, sg_str_from(model));

        assert_non_null(m);
        assert_int_equal(m->n_targets, 1);
        snprintf(out, 256, "%s:%s/%s", m->name, m->targets[0].provider->name,
                 m->targets[0].upstream_model ? m->targets[0].upstream_model : "");
        return out;
}

static void test_llm_variables_make_a_provider_and_its_models(void **state)
{
        char out[256];

        TEST_ENV("LLM_API_KEY=sk-from-env");
        SG_AUTO(sg_config_unref) struct sg_config *c = test_config("");
        const struct sg_config_provider *p = sg_config_find_provider(c, SG_STR("llm"));

        assert_non_null(p);
        assert_string_equal(p->base_url, "https://api.openai.com/v1");
        assert_true(sg_secret_equals(p->api_key, SG_STR("sk-from-env")));
        assert_string_equal(target_of(c, "default", out), "default:llm/gpt-4o-mini");
        assert_string_equal(target_of(c, "high_precision", out), "high_precision:llm/gpt-4o");
        assert_string_equal(target_of(c, "anything", out), "*:llm/");
}

static void test_llm_variables_name_url_and_models(void **state)
{
        char out[256];

        TEST_ENV("LLM_API_KEY=sk-x", "LLM_BASE_URL=https://api.moonshot.cn/v1", "LLM_DEFAULT_MODEL=moonshot-v1-8k",
                 "LLM_HIGH_PRECISION_MODEL=org/big");
        SG_AUTO(sg_config_unref) struct sg_config *c = test_config("");

        assert_string_equal(c->providers[0].host, "api.moonshot.cn");
        assert_string_equal(target_of(c, "default", out), "default:llm/moonshot-v1-8k");
        assert_string_equal(target_of(c, "high_precision", out), "high_precision:llm/org/big");
}

static void test_llm_variables_leave_what_the_operator_wrote(void **state)
{
        char out[256];

        TEST_ENV("LLM_API_KEY=sk-x", "LLM_BASE_URL=http://other/v1");
        SG_AUTO(sg_config_unref)
        struct sg_config *c = test_config(OPENAI "[model \"default\"]\ntarget = p/m\n[model \"*\"]\ntarget = p\n"
                                                 "[provider \"llm\"]\ndialect = openai\nbase_url = http://own/v1\n"
                                                 "pool_max = 3\n");
        const struct sg_config_provider *p = sg_config_find_provider(c, SG_STR("llm"));

        assert_string_equal(target_of(c, "default", out), "default:p/m");
        assert_string_equal(target_of(c, "anything", out), "*:p/");
        assert_string_equal(target_of(c, "high_precision", out), "high_precision:llm/gpt-4o");
        assert_string_equal(p->base_url, "http://other/v1");
        assert_int_equal(p->pool_max, 3);
        assert_non_null(p->api_key);
}

/* A role that has a name already keeps it, also as an alias. */
static void test_llm_variables_leave_aliases(void **state)
{
        char out[256];

        TEST_ENV("LLM_API_KEY=sk-x");
        SG_AUTO(sg_config_unref)
        struct sg_config *c =
                test_config(OPENAI "[model \"m\"]\ntarget = p/m\nalias = x, high_precision\n"
                                   "[model \"n\"]\ntarget = p/n\nalias = gone\nalias =\nalias = default\n");

        assert_string_equal(target_of(c, "high_precision", out), "m:p/m");
        assert_string_equal(target_of(c, "default", out), "n:p/n");
        assert_string_equal(target_of(c, "gone", out), "*:llm/");
}

/* The provider that they complete may speak another dialect. */
static void test_llm_variables_of_another_dialect(void **state)
{
        char out[256];

        TEST_ENV("LLM_API_KEY=sk-x", "LLM_DEFAULT_MODEL=claude-sonnet-4-5", "LLM_HIGH_PRECISION_MODEL=claude-opus-4-1");
        SG_AUTO(sg_config_unref)
        struct sg_config *c = test_config("[provider \"llm\"]\ndialect = anthropic\nbase_url = https://h/v1\n");

        assert_int_equal(c->providers[0].dialect, SG_DIALECT_ANTHROPIC);
        assert_string_equal(c->providers[0].host, "h");
        assert_string_equal(c->providers[0].credentials[0].name, "api_key");
        assert_true(sg_secret_equals(c->providers[0].credentials[0].api_key, SG_STR("sk-x")));
        assert_string_equal(target_of(c, "default", out), "default:llm/claude-sonnet-4-5");
        assert_string_equal(target_of(c, "high_precision", out), "high_precision:llm/claude-opus-4-1");
}

static void test_llm_key_takes_default_from_the_practice_provider(void **state)
{
        char out[256];

        TEST_ENV("LLM_API_KEY=sk-x");
        {
                SG_AUTO(sg_config_unref)
                struct sg_config *c =
                        test_config(ECHO "[model \"default\"]\ntarget = echo\n[model \"echo\"]\ntarget = echo\n");

                assert_string_equal(target_of(c, "default", out), "default:llm/gpt-4o-mini");
                assert_string_equal(target_of(c, "echo", out), "echo:echo/");
        }
        {
                SG_AUTO(sg_config_unref)
                struct sg_config *c = test_config(ECHO OPENAI "[model \"default\"]\ntarget = echo\ntarget = p\n");

                assert_int_equal(sg_config_find_model(c, SG_STR("default"))->n_targets, 2);
        }
}

static void test_llm_url_without_a_key_changes_only_what_is_there(void **state)
{
        TEST_ENV("LLM_BASE_URL=http://other/v1", "LLM_API_KEY=");
        {
                SG_AUTO(sg_config_unref) struct sg_config *c = test_config(ECHO);

                assert_int_equal(c->n_providers, 1);
                assert_int_equal(c->n_models, 0);
        }
        {
                SG_AUTO(sg_config_unref)
                struct sg_config *c = test_config("[provider \"llm\"]\ndialect = openai\nbase_url = http://own\n");

                assert_string_equal(c->providers[0].host, "other");
                assert_null(c->providers[0].api_key);
        }
        TEST_ENV("LLM_BASE_URL=http://u:secret@other/v1", "LLM_API_KEY=sk-x");
        test_wrong("",
                   "environment variable LLM_BASE_URL: base_url: the URL holds a user name or password; leave them out "
                   "and write api_key = credential:, file: or env:");
        TEST_ENV("LLM_DEFAULT_MODEL=two words", "LLM_API_KEY=sk-x");
        test_wrong("", "environment variable LLM_DEFAULT_MODEL: target: 'words' is not an option of a target; there "
                       "are weight=N and context=N");
        TEST_ENV("LLM_DEFAULT_MODEL=\xff", "LLM_API_KEY=sk-x");
        test_wrong("", "environment variable LLM_DEFAULT_MODEL: target: the name of a model is not UTF-8");
}

/* ---- secrets */

static char directory[64];

static int setup(void **state)
{
        TEST_ENV();
        snprintf(directory, sizeof(directory), "/tmp/scribe-secret-XXXXXX");
        return mkdtemp(directory) ? 0 : -1;
}

static int teardown(void **state)
{
        char command[128];

        snprintf(command, sizeof(command), "rm -rf '%s'", directory);
        return system(command);
}

static void write_secret(const char *name, struct sg_str bytes)
{
        char path[128];
        FILE *f;

        snprintf(path, sizeof(path), "%s/%s", directory, name);
        f = fopen(path, "w");
        assert_non_null(f);
        assert_int_equal(fwrite(bytes.p, 1, bytes.n, f), bytes.n);
        assert_int_equal(fclose(f), 0);
}

/* form and value as in "file:" and "/path". */
static const char *with_key(const char *form, const char *value, const char *rest)
{
        static char text[512];

        snprintf(text, sizeof(text), OPENAI "api_key = %s%s%s\n", form, value, rest);
        return text;
}

static void test_secret_from_a_file(void **state)
{
        write_secret("key", SG_STR("sk-in-file\r\n"));
        SG_AUTO(sg_config_unref) struct sg_config *c = test_config(with_key("file:", directory, "/key"));

        assert_true(sg_secret_equals(c->providers[0].api_key, SG_STR("sk-in-file")));
}

/* The setting credential reads its sources as api_key does. */
static void test_secrets_of_further_credentials(void **state)
{
        char variable[128], text[512];

        write_secret("one", SG_STR("sk-one\n"));
        write_secret("odd", SG_STR("sk odd"));
        snprintf(variable, sizeof(variable), "CREDENTIALS_DIRECTORY=%s", directory);
        TEST_ENV(variable);
        snprintf(text, sizeof(text), OPENAI "credential = a credential:one\ncredential = b file:%s/one\n", directory);
        SG_AUTO(sg_config_unref) struct sg_config *c = test_config(text);

        for (size_t i = 0; i < 2; i++)
                assert_true(sg_secret_equals(c->providers[0].credentials[i].api_key, SG_STR("sk-one")));
        test_wrong(
                OPENAI "credential = a credential:odd\n",
                "a.conf:4: credential: the credential 'odd' holds a blank, a line end or another byte that no key has "
                "(byte 3 of 6); it must be the key alone");
}

static void test_secret_from_a_credential(void **state)
{
        char variable[128];

        write_secret("moonshot", SG_STR("sk-credential"));
        snprintf(variable, sizeof(variable), "CREDENTIALS_DIRECTORY=%s", directory);
        TEST_ENV(variable);
        SG_AUTO(sg_config_unref) struct sg_config *c = test_config(with_key("credential:", "moonshot", ""));

        assert_true(sg_secret_equals(c->providers[0].api_key, SG_STR("sk-credential")));
        test_wrong(with_key("credential:", "other", ""), "a.conf:4: api_key: the unit has no credential 'other': give "
                                                         "it one by 'scribectl credential set other' "
                                                         "or LoadCredential=other:/path, and restart it");
        test_wrong(with_key("credential:", "../moonshot", ""),
                   "a.conf:4: api_key: credential: is followed by a name of letters, digits, . _ -");
        TEST_ENV();
        test_wrong(with_key("credential:", "moonshot", ""),
                   "a.conf:4: api_key: there is no credential 'moonshot', because CREDENTIALS_DIRECTORY is not set: "
                   "'scribectl credential set moonshot' or LoadCredential=moonshot:/path gives the unit one; elsewhere "
                   "use "
                   "file:/path or env:NAME");
}

static void test_llm_key_from_a_file(void **state)
{
        char variable[128], out[256], expected[256];

        snprintf(variable, sizeof(variable), "LLM_API_KEY_FILE=%s/llm", directory);
        TEST_ENV(variable);
        snprintf(expected, sizeof(expected),
                 "environment variable LLM_API_KEY_FILE: api_key: the file %s/llm cannot be read: No such file or "
                 "directory",
                 directory);
        test_wrong("", expected);
        write_secret("llm", SG_STR(""));
        {
                SG_AUTO(sg_config_unref) struct sg_config *c = test_config(ECHO);

                assert_null(sg_config_find_provider(c, SG_STR("llm"))); /* empty: as if not set */
        }
        write_secret("llm", SG_STR("sk-mounted\n"));
        {
                SG_AUTO(sg_config_unref) struct sg_config *c = test_config(ECHO "[model \"default\"]\ntarget = echo\n");

                assert_true(sg_secret_equals(sg_config_find_provider(c, SG_STR("llm"))->api_key, SG_STR("sk-mounted")));
                assert_string_equal(target_of(c, "default", out), "default:llm/gpt-4o-mini");
        }
        TEST_ENV(variable, "LLM_API_KEY=sk-direct");
        {
                SG_AUTO(sg_config_unref) struct sg_config *c = test_config("");

                assert_true(sg_secret_equals(sg_config_find_provider(c, SG_STR("llm"))->api_key, SG_STR("sk-direct")));
        }
}

static void test_secret_from_a_variable(void **state)
{
        TEST_ENV("MY_KEY=sk-variable");
        SG_AUTO(sg_config_unref) struct sg_config *c = test_config(with_key("env:", "MY_KEY", ""));

        assert_true(sg_secret_equals(c->providers[0].api_key, SG_STR("sk-variable")));
        test_wrong(with_key("env:", "OTHER", ""),
                   "a.conf:4: api_key: the environment variable OTHER is not set; set it where the gateway is started");
        test_wrong(with_key("env:", "", ""),
                   "a.conf:4: api_key: env: is followed by the name of an environment variable");
        test_wrong(with_key("env:", "A B", ""),
                   "a.conf:4: api_key: env: is followed by the name of an environment variable");
}

static void test_secret_files_that_hold_none(void **state)
{
        char expected[512], big[SG_SECRET_BYTES_MAX + 16];
        static const struct {
                struct sg_str bytes;
                const char *why;
        } cases[] = {
                {SG_STR(""), "is empty"},
                {SG_STR("\n\n"), "is empty"},
                {SG_STR("sk-a\nsk-b\n"),
                 "holds a blank, a line end or another byte that no key has (byte 5 of 9); it must be "
                 "the key alone"},
                {SG_STR("sk a"),
                 "holds a blank, a line end or another byte that no key has (byte 3 of 4); it must be the key "
                 "alone"},
                {SG_STR("sk\0a"),
                 "holds a blank, a line end or another byte that no key has (byte 3 of 4); it must be the "
                 "key alone"},
                {SG_STR("sk\xc3\xa4"),
                 "holds a blank, a line end or another byte that no key has (byte 3 of 4); it must be "
                 "the key alone"},
        };

        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                write_secret("key", cases[i].bytes);
                snprintf(expected, sizeof(expected), "a.conf:4: api_key: the file %s/key %s", directory, cases[i].why);
                test_wrong(with_key("file:", directory, "/key"), expected);
        }
        memset(big, 'k', sizeof(big));
        write_secret("key", sg_str_make(big, sizeof(big)));
        snprintf(expected, sizeof(expected), "a.conf:4: api_key: the file %s/key has more than 65536 bytes", directory);
        test_wrong(with_key("file:", directory, "/key"), expected);
        snprintf(expected, sizeof(expected),
                 "a.conf:4: api_key: the file %s/none cannot be read: No such file or directory", directory);
        test_wrong(with_key("file:", directory, "/none"), expected);
        test_wrong(with_key("file:", "key", ""), "a.conf:4: api_key: the path after file: must be absolute");
}

static void test_secret_that_may_not_be_read(void **state)
{
        SG_AUTO(sg_config_unref) struct sg_config *c = NULL;
        char path[128], expected[256];
        struct sg_error err;
        int r;

        if (geteuid() != 0)
                TEST_SKIP("only root can become somebody who may not");
        write_secret("key", SG_STR("sk-x"));
        snprintf(path, sizeof(path), "%s/key", directory);
        assert_int_equal(chmod(path, 0600), 0);
        assert_int_equal(chmod(directory, 0755), 0);
        assert_int_equal(seteuid(65534), 0);
        r = test_read(&c, with_key("file:", directory, "/key"), &err);
        assert_int_equal(seteuid(0), 0);
        assert_int_equal(r, -EINVAL);
        snprintf(expected, sizeof(expected),
                 "api_key: the file %s cannot be read: Permission denied; the user of the service must be able to",
                 path);
        assert_string_equal(err.text, expected);
}

#define WITH_FILES(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_listen_replaces_the_listener_called_http),
                cmocka_unit_test(test_log_level_in_the_words_of_others),
                cmocka_unit_test(test_directories_of_the_unit_stand_in_for_the_default),
                cmocka_unit_test(test_llm_variables_make_a_provider_and_its_models),
                cmocka_unit_test(test_llm_variables_name_url_and_models),
                cmocka_unit_test(test_llm_variables_leave_what_the_operator_wrote),
                cmocka_unit_test(test_llm_variables_leave_aliases),
                cmocka_unit_test(test_llm_variables_of_another_dialect),
                cmocka_unit_test(test_llm_key_takes_default_from_the_practice_provider),
                cmocka_unit_test(test_llm_url_without_a_key_changes_only_what_is_there),
                WITH_FILES(test_secret_from_a_file),
                WITH_FILES(test_secrets_of_further_credentials),
                WITH_FILES(test_secret_from_a_credential),
                WITH_FILES(test_secret_from_a_variable),
                WITH_FILES(test_llm_key_from_a_file),
                WITH_FILES(test_secret_files_that_hold_none),
                WITH_FILES(test_secret_that_may_not_be_read),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
