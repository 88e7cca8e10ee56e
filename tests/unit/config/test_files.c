/* A directory: gateway.conf, drop-ins, what is missing, what cannot be read; number, references. */
#include "config_test.h"

#include <errno.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../skip.h"
#include "base/limits.h"

static char directory[128];

static void write_file(const char *name, const char *text)
{
        char path[512];
        FILE *f;

        snprintf(path, sizeof(path), "%s/%s", directory, name);
        f = fopen(path, "w");
        assert_non_null(f);
        assert_true(fputs(text, f) >= 0);
        assert_int_equal(fclose(f), 0);
}

static void make_directory(const char *name)
{
        char path[512];

        snprintf(path, sizeof(path), "%s/%s", directory, name);
        assert_int_equal(mkdir(path, 0755), 0);
}

static int setup(void **state)
{
        static const char *const variables[] = {"SCRIBE_LISTEN",   "LOG_LEVEL",         "RUST_LOG",     "LLM_API_KEY",
                                                "STATE_DIRECTORY", "RUNTIME_DIRECTORY", "LLM_BASE_URL", "http_proxy",
                                                "https_proxy",     "HTTPS_PROXY",       "all_proxy",    "ALL_PROXY"};

        for (size_t i = 0; i < SG_N_ELEMENTS(variables); i++)
                unsetenv(variables[i]);
        snprintf(directory, sizeof(directory), "/tmp/scribe-config-XXXXXX");
        if (!mkdtemp(directory))
                return -1;
        return chmod(directory, 0755);
}

static int teardown(void **state)
{
        char command[160];

        snprintf(command, sizeof(command), "rm -rf '%s'", directory);
        return system(command);
}

static struct sg_config *read_good(void)
{
        struct sg_config *c = NULL;
        struct sg_error err = {0};
        int r = sg_config_read(&c, directory, &err);

        if (r)
                print_error("%s: %s\n", err.where, err.text);
        assert_int_equal(r, 0);
        return c;
}

/* name: of the file, before ": text". */
static void read_wrong(int code, const char *name, const char *text)
{
        struct sg_config *c = NULL;
        struct sg_error err = {0};
        char where[512];

        assert_int_equal(sg_config_read(&c, directory, &err), code);
        snprintf(where, sizeof(where), "%s/%s", directory, name);
        assert_string_equal(err.where, where);
        assert_string_equal(err.text, text);
        assert_null(c);
}

static void test_dropins_follow_by_name(void **state)
{
        write_file("gateway.conf", "[gateway]\nworkers = 1\nmax_connections = 11\n"
                                   "[control]\nadmins = root\n"
                                   "[provider \"echo\"]\ndialect = echo\npace = 1ms\n"
                                   "[model \"m\"]\ntarget = echo/a\n[model \"n\"]\ntarget = echo/a\n");
        make_directory("gateway.conf.d");
        write_file("gateway.conf.d/50-later.conf", "[gateway]\nworkers = 3\n[model \"m\"]\ntarget = echo/b weight=2\n");
        write_file("gateway.conf.d/10-first.conf", "[gateway]\nworkers = 2\n[model \"n\"]\ntarget =\ntarget = echo/c\n"
                                                   "[control]\nadmins = daemon\n[provider \"echo\"]\npace =\n");
        write_file("gateway.conf.d/99-not-one.conf~", "[nonsense\n");
        write_file("gateway.conf.d/.99-hidden.conf", "[nonsense\n");
        write_file("gateway.conf.d/.conf", "[nonsense\n");
        write_file("gateway.conf.d/README", "[nonsense\n");
        SG_AUTO(sg_config_unref) struct sg_config *c = read_good();

        assert_string_equal(c->directory, directory);
        assert_int_equal(c->workers, 3);
        assert_int_equal(c->connections_max, 11);
        assert_int_equal(c->n_admins, 2);
        assert_int_equal(c->providers[0].echo_pace_usec, 40000);
        assert_int_equal(c->n_models, 2);
        assert_int_equal(c->models[0].n_targets, 2);
        assert_string_equal(c->models[0].targets[1].upstream_model, "b");
        assert_int_equal(c->models[0].weight_sum, 3);
        assert_int_equal(c->models[1].n_targets, 1);
        assert_string_equal(c->models[1].targets[0].upstream_model, "c");
}

static void test_error_in_a_dropin_names_it(void **state)
{
        write_file("gateway.conf", "[gateway]\nworkers = 1\n");
        make_directory("gateway.conf.d");
        write_file("gateway.conf.d/90-wrong.conf", "[gateway]\nworkrs = 2\n");
        read_wrong(-EINVAL, "gateway.conf.d/90-wrong.conf:2",
                   "unknown setting 'workrs' in [gateway]; did you mean 'workers'?");
}

static void test_missing_file_tells_how_to_point_elsewhere(void **state)
{
        static const char text[] = "there is no such file; write one, or name the directory of the configuration with "
                                   "--config DIRECTORY";
        char place[32];

        read_wrong(-ENOENT, "gateway.conf", text);
        assert_true(snprintf(place, sizeof(place), "%s", directory) < (int)sizeof(place));
        snprintf(directory, sizeof(directory), "%s/nowhere", place);
        read_wrong(-ENOENT, "gateway.conf", text);
        snprintf(directory, sizeof(directory), "%s", place);
}

static void test_unreadable_file_tells_who_must_read_it(void **state)
{
        struct sg_config *c = NULL;
        struct sg_error err = {0};
        char path[256];
        int r;

        if (geteuid() != 0)
                TEST_SKIP("only root can become somebody who may not");
        write_file("gateway.conf", "[gateway]\n");
        snprintf(path, sizeof(path), "%s/gateway.conf", directory);
        assert_int_equal(chmod(path, 0600), 0);
        assert_int_equal(seteuid(65534), 0);
        r = sg_config_read(&c, directory, &err);
        assert_int_equal(seteuid(0), 0);
        assert_int_equal(r, -EACCES);
        assert_string_equal(err.where, path);
        assert_string_equal(err.text,
                            "cannot be read by user nobody (uid 65534), as whom this runs: Permission denied; "
                            "make it readable for that user (and the directories above it searchable)");
}

static void test_directory_in_place_of_a_file(void **state)
{
        write_file("gateway.conf", "[gateway]\n");
        make_directory("gateway.conf.d");
        make_directory("gateway.conf.d/10-x.conf");
        read_wrong(-EISDIR, "gateway.conf.d/10-x.conf", "cannot be read: Is a directory");
}

static void test_file_in_place_of_the_directory(void **state)
{
        write_file("gateway.conf", "[gateway]\n");
        write_file("gateway.conf.d", "");
        read_wrong(-ENOTDIR, "gateway.conf.d", "cannot be read: Not a directory");
}

static void test_file_beyond_the_limit(void **state)
{
        char *text = malloc(SG_CONFIG_FILE_BYTES_MAX + 2);

        assert_non_null(text);
        for (size_t i = 0; i < SG_CONFIG_FILE_BYTES_MAX + 1; i++)
                text[i] = i % 64 == 63 ? '\n' : '#';
        text[SG_CONFIG_FILE_BYTES_MAX + 1] = '\0';
        write_file("gateway.conf", text);
        read_wrong(-EFBIG, "gateway.conf", "the file has more than 4 MiB");
        text[SG_CONFIG_FILE_BYTES_MAX] = '\0';
        write_file("gateway.conf", text);
        sg_config_unref(read_good());
        free(text);
}

static void test_more_sections_than_anybody_needs(void **state)
{
        char *text = malloc(SG_RAW_SECTIONS_MAX * 32), *at = text;

        assert_non_null(text);
        for (unsigned i = 0; i <= SG_RAW_SECTIONS_MAX; i++)
                at += sprintf(at, "[model \"%u\"]\n", i);
        write_file("gateway.conf", text);
        free(text);
        read_wrong(-E2BIG, "gateway.conf:4097", "more than 4096 sections");
}

static void test_numbers_grow_and_failures_take_none(void **state)
{
        struct sg_config *ignored = NULL;
        uint64_t first;

        write_file("gateway.conf", "[gateway]\n");
        SG_AUTO(sg_config_unref) struct sg_config *a = read_good();
        first = a->number;
        write_file("gateway.conf", "[gateway\n");
        assert_true(sg_config_read(&ignored, directory, NULL) < 0);
        write_file("gateway.conf", "[gateway]\n");
        SG_AUTO(sg_config_unref) struct sg_config *b = read_good();
        assert_int_equal(b->number, first + 1);
        assert_true(b->read_wall_usec >= a->read_wall_usec && a->read_wall_usec > 1700000000 * SG_USEC_PER_SEC);
}

static void test_trailing_slashes_of_the_directory_do_not_matter(void **state)
{
        char with[160];
        struct sg_config *c = NULL;

        write_file("gateway.conf", "[model \"m\"]\n");
        snprintf(with, sizeof(with), "%s//", directory);
        struct sg_error err;
        char where[256];

        snprintf(where, sizeof(where), "%s/gateway.conf:1", directory);
        assert_int_equal(sg_config_read(&c, with, &err), -EINVAL);
        assert_string_equal(err.where, where);
}

#define TURNS 20000

static void *count(void *arg)
{
        for (int i = 0; i < TURNS; i++)
                sg_config_unref(sg_config_ref(arg));
        return sg_config_unref(arg);
}

static void test_references_are_counted_from_any_thread(void **state)
{
        pthread_t threads[4];
        struct sg_config *c;

        write_file("gateway.conf", "[gateway]\n");
        c = read_good();
        for (size_t i = 0; i < SG_N_ELEMENTS(threads); i++)
                assert_int_equal(pthread_create(&threads[i], NULL, count, sg_config_ref(c)), 0);
        for (size_t i = 0; i < SG_N_ELEMENTS(threads); i++)
                assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(sg_whole_of(c)->n_refs, 1);
        assert_null(sg_config_unref(c));
        assert_null(sg_config_unref(NULL));
}

static void test_the_ledger_needs_no_secrets(void **state)
{
        struct sg_config *c = NULL;
        struct sg_error err;

        write_file("gateway.conf",
                   "[provider \"p\"]\ndialect = openai\nbase_url = http://h\napi_key = file:/no/such/file\n");
        assert_true(sg_config_read(&c, directory, &err) < 0);
        assert_int_equal(sg_config_read_without_secrets(&c, directory, &err), 0);
        assert_null(c->providers[0].api_key);
        sg_config_unref(c);
        write_file("gateway.conf", "[provider \"p\"]\ndialect = openai\nbase_url = http://h\napi_key = sk-clear\n");
        assert_int_equal(sg_config_read_without_secrets(&c, directory, &err), -EINVAL);
        write_file("gateway.conf",
                   "[provider \"p\"]\ndialect = openai\nbase_url = http://h\ncredential = b file:/not/there\n");
        assert_int_equal(sg_config_read(&c, directory, &err), -EINVAL);
        assert_int_equal(sg_config_read_without_secrets(&c, directory, &err), 0);
        assert_int_equal(c->providers[0].n_credentials, 1);
        assert_null(c->providers[0].credentials[0].api_key);
        sg_config_unref(c);
        write_file("gateway.conf",
                   "[provider \"p\"]\ndialect = openai\nbase_url = http://h\ncredential = b sk-clear\n");
        assert_int_equal(sg_config_read_without_secrets(&c, directory, &err), -EINVAL);
}

/* The example that is installed: complete, and it serves. */
static void test_installed_example_is_valid(void **state)
{
        SG_AUTO(sg_config_unref) struct sg_config *c = NULL;
        const char *etc = getenv("SCRIBE_TEST_ETC");
        const struct sg_config_model *m;
        struct sg_error err = {0};

        assert_non_null(etc);
        assert_int_equal(sg_config_read(&c, etc, &err), 0);
        assert_int_equal(c->n_listeners, 1);
        assert_string_equal(c->listeners[0].address, "127.0.0.1:8000");
        m = sg_config_find_model(c, SG_STR("default"));
        assert_non_null(m);
        assert_int_equal(m->targets[0].provider->dialect, SG_DIALECT_ECHO);
}

/* etc/examples/failover.conf, beside the installed file; its keys are not there. */
static void test_example_of_failover_is_valid(void **state)
{
        SG_AUTO(sg_config_unref) struct sg_config *c = NULL;
        const struct sg_config_model *m;
        struct sg_error err = {0};
        char command[512];

        make_directory("gateway.conf.d");
        snprintf(command, sizeof(command),
                 "cp '%s/gateway.conf' '%s' && cp '%s/examples/failover.conf' '%s/gateway.conf.d'",
                 getenv("SCRIBE_TEST_ETC"), directory, getenv("SCRIBE_TEST_ETC"), directory);
        assert_int_equal(system(command), 0);
        if (sg_config_read_without_secrets(&c, directory, &err))
                print_error("%s: %s\n", err.where, err.text);
        assert_non_null(c);
        m = sg_config_find_model(c, SG_STR("writer-latest"));
        assert_string_equal(m->name, "writer");
        assert_int_equal(m->n_targets + m->n_fallbacks + m->n_larger, 4);
        assert_int_equal(sg_config_find_provider(c, SG_STR("openai"))->n_credentials, 2);
        assert_int_equal(sg_config_find_model(c, SG_STR("high_precision"))->on_disconnect, SG_DISCONNECT_DRAIN);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_dropins_follow_by_name),
                TEST(test_error_in_a_dropin_names_it),
                TEST(test_missing_file_tells_how_to_point_elsewhere),
                TEST(test_unreadable_file_tells_who_must_read_it),
                TEST(test_directory_in_place_of_a_file),
                TEST(test_file_in_place_of_the_directory),
                TEST(test_file_beyond_the_limit),
                TEST(test_more_sections_than_anybody_needs),
                TEST(test_numbers_grow_and_failures_take_none),
                TEST(test_trailing_slashes_of_the_directory_do_not_matter),
                TEST(test_references_are_counted_from_any_thread),
                TEST(test_the_ledger_needs_no_secrets),
                TEST(test_installed_example_is_valid),
                TEST(test_example_of_failover_is_valid),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
