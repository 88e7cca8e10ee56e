/* Each allocation fails in turn: an error is told, nothing leaks, nothing is half made. */
#include "config_test.h"

#include <errno.h>
#include <sys/stat.h>

static long fail_at = -1; /* which of the coming allocations; negative: none */

static bool fails(void)
{
        return fail_at >= 0 && fail_at-- == 0;
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t bytes);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t bytes);
void *__wrap_realloc(void *p, size_t n);

void *__wrap_malloc(size_t n)
{
        return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t bytes)
{
        return fails() ? NULL : __real_calloc(n, bytes);
}

void *__wrap_realloc(void *p, size_t n)
{
        return fails() ? NULL : __real_realloc(p, n);
}

static void test_each_allocation_fails_once(void **state)
{
        char directory[] = "/tmp/scribe-memory-XXXXXX", path[64], command[64];
        struct sg_error err;
        long n = 0;
        FILE *f;
        int r;

        assert_non_null(mkdtemp(directory));
        snprintf(path, sizeof(path), "%s/gateway.conf", directory);
        f = fopen(path, "w");
        assert_non_null(f);
        fputs("[gateway]\nworkers = 2\nstate_directory = /s\n[log]\nto = file:/x\n"
              "[listener \"a\"]\naddress = 8000\n[provider \"p\"]\ndialect = openai\nbase_url = http://[::1]:80/v1\n"
              "proxy = http://h:1\nproxy_authorization = env:SCRIBE_TEST_USER\n"
              "[provider \"q\"]\ndialect = openai\nbase_url = https://q/v1\ntls_certificate = file:/c\n"
              "tls_key = file:/k\n[provider \"r\"]\ndialect = openai\nbase_url = http://unix:/r:/v1\n"
              "[provider \"p\"]\n"
              "api_key = env:SCRIBE_TEST_KEY\ncredential = b env:SCRIBE_TEST_KEY\n[service \"s\"]\nprefix = /s\nhost = "
              "a.b\nmethod = GET\n"
              "endpoint = https://h:1/v2\nendpoint = http://unix:/r:/\nrequest_header = A: b\n"
              "remove_response_header = Server\ncors_origin = https://a http://[::1]:1\ncors_methods = GET\n"
              "balance = hash\nhash_by = header:A\nhealth = /h\ntls_certificate = file:/c\ntls_key = file:/k\n"
              "[provider \"z\"]\ndialect = azure\nbase_url = https://z\n"
              "api_version = 1\n[model \"m\"]\ntarget = p/x weight=2\nalias = n o\nfallback = z/y\n[model "
              "\"*\"]\ntarget = p\n",
              f);
        assert_int_equal(fclose(f), 0);
        snprintf(path, sizeof(path), "%s/prices.d", directory);
        assert_int_equal(mkdir(path, 0700), 0);
        snprintf(path, sizeof(path), "%s/prices.d/a.conf", directory);
        f = fopen(path, "w");
        assert_non_null(f);
        fputs("[price \"p/*\"]\nfrom = 2026-01-01\ncurrency = USD\nsource = s\ninput = 1\n"
              "[price \"p/x\"]\nfrom = 2026-01-01\ncurrency = USD\ninput = 1\n",
              f);
        assert_int_equal(fclose(f), 0);
        assert_int_equal(setenv("SCRIBE_TEST_KEY", "sk-x", 1), 0);
        assert_int_equal(setenv("SCRIBE_TEST_USER", "u:p", 1), 0);
        assert_int_equal(setenv("https_proxy", "http://u:p@h:1", 1), 0);
        do {
                struct sg_config *c = NULL;

                err = (struct sg_error){0};
                fail_at = n++;
                r = sg_config_read(&c, directory, &err);
                fail_at = -1;
                if (r) {
                        assert_int_equal(r, -ENOMEM);
                        assert_int_equal(err.code, -ENOMEM);
                        assert_string_equal(err.text, "out of memory while reading the configuration");
                        assert_null(c);
                }
                sg_config_unref(c);
        } while (r);
        assert_true(n > 50); /* all of them, not only the first */
        snprintf(command, sizeof(command), "rm -rf %s", directory);
        assert_int_equal(system(command), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each_allocation_fails_once),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
