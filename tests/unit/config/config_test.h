/*
 * A configuration from a text, with an environment of the test's own. Nothing outside the process is read unless a test
 * says so in its surroundings.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "config/build.h"

#define ENV_MAX 16

/* "NAME=value", ends with NULL. */
static const char *test_env[ENV_MAX + 1];

static const char *test_get_env(const char *name)
{
        size_t n = strlen(name);

        for (size_t i = 0; test_env[i]; i++)
                if (strncmp(test_env[i], name, n) == 0 && test_env[i][n] == '=')
                        return test_env[i] + n + 1;
        return NULL;
}

/* Clears it first. */
#define TEST_ENV(...) test_env_set((const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})
static inline void test_env_set(const char *const *values)
{
        memset(test_env, 0, sizeof(test_env));
        for (size_t i = 0; values[i]; i++) {
                assert_true(i < ENV_MAX);
                test_env[i] = values[i];
        }
}

/* File after file; ends with NULL. The names are a.conf, b.conf… */
static inline int test_read_files(struct sg_config **ret, const char *const *texts, struct sg_error *err)
{
        static const char *const names[] = {"a.conf", "b.conf", "c.conf", "d.conf"};
        const struct sg_surroundings around = {.get_env = test_get_env, .reads_secrets = true, .knows_users = true};
        SG_AUTO(sg_whole_free) struct sg_whole *w = sg_whole_new();
        int r = 0;

        assert_non_null(w);
        *err = (struct sg_error){0};
        for (size_t i = 0; texts[i] && !r; i++)
                r = sg_raw_add_bytes(&w->raw, sg_str_from(texts[i]), names[i], err);
        if (!r)
                r = sg_environment_apply(&w->raw, &around);
        if (!r)
                r = sg_whole_build(w, &around, err);
        if (!r)
                *ret = &SG_GIVE(w)->config;
        return r;
}

static inline int test_read(struct sg_config **ret, const char *text, struct sg_error *err)
{
        const char *const texts[] = {text, NULL};

        return test_read_files(ret, texts, err);
}

/* Must be right. */
static inline struct sg_config *test_config(const char *text)
{
        struct sg_config *c = NULL;
        struct sg_error err;
        int r = test_read(&c, text, &err);

        if (r)
                print_error("%s: %s\n", err.where, err.text);
        assert_int_equal(r, 0);
        return c;
}

static inline struct sg_config *test_config_of(const char *first, const char *second)
{
        const char *const texts[] = {first, second, NULL};
        struct sg_config *c = NULL;
        struct sg_error err;
        int r = test_read_files(&c, texts, &err);

        if (r)
                print_error("%s: %s\n", err.where, err.text);
        assert_int_equal(r, 0);
        return c;
}

/* Must be wrong, with exactly this. */
static inline void test_wrong(const char *text, const char *expected)
{
        struct sg_config *c = NULL;
        struct sg_error err;
        char line[1200];
        int r = test_read(&c, text, &err);

        if (r >= 0)
                print_error("taken: %s\n", text);
        assert_true(r < 0);
        assert_int_equal(err.code, r);
        assert_string_equal(sg_error_line(&err, line, sizeof(line)), expected);
        assert_null(c);
}
