/* What the ring tests share: a directory of their own, a record, a path. */
#pragma once

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "journal/ring.h"

/* The stages in memory, as in the runtime directory: only there they have a window. */
static char test_dir[256], stage_dir[] = "/dev/shm/sg-test-stage-XXXXXX";

static int test_setup(void **state)
{
        const char *tmp = getenv("TMPDIR");

        (void)snprintf(test_dir, sizeof(test_dir), "%s/sg-test-ring-XXXXXX", tmp ? tmp : "/tmp");
        return mkdtemp(test_dir) && mkdtemp(stage_dir) ? 0 : -1;
}

static int remove_directory(const char *path)
{
        DIR *d = opendir(path);
        struct dirent *e;

        while (d && (e = readdir(d)))
                if (e->d_name[0] != '.')
                        (void)unlinkat(dirfd(d), e->d_name, 0);
        if (d)
                (void)closedir(d);
        return rmdir(path);
}

static int test_teardown(void **state)
{
        return remove_directory(test_dir) | remove_directory(stage_dir);
}

__attribute__((__unused__)) static const char *ring_path(const char *id)
{
        static char path[400];

        (void)snprintf(path, sizeof(path), "%s/%s%s", test_dir, id, SG_RING_SUFFIX);
        return path;
}

__attribute__((__unused__)) static const char *stage_path(const char *id)
{
        static char path[400];

        (void)snprintf(path, sizeof(path), "%s/%s%s", stage_dir, id, SG_RING_STAGE);
        return path;
}

/* The only ring in the directory. */
__attribute__((__unused__)) static const char *only_path(void)
{
        static char path[600];
        DIR *d = opendir(test_dir);
        struct dirent *e;
        size_t n = 0;

        while ((e = readdir(d)))
                if (e->d_name[0] != '.') {
                        (void)snprintf(path, sizeof(path), "%s/%s", test_dir, e->d_name);
                        n++;
                }
        (void)closedir(d);
        assert_int_equal(n, 1);
        return path;
}

__attribute__((__unused__)) static struct sg_record sample(uint64_t n)
{
        static char model[200];

        if (!model[0])
                memset(model, 'm', sizeof(model));
        return (struct sg_record){
                .start_wall_usec = 1000 + n,
                .key_id = n,
                .request_id = SG_STR("request"),
                .key_name = SG_STR("alice"),
                .operation = SG_STR("chat"),
                .model = sg_str_make(model, (size_t)(n * 7 % sizeof(model))),
                .provider = SG_STR("echo"),
                .upstream_model = SG_STR("echo-1"),
                .prompt_bytes = n,
                .outcome = SG_OUTCOME_COMPLETE,
                .status = 200,
                .certainty = SG_RECORD_CERTAINTY_MEASURED,
                .input_tokens = n,
                .output_tokens = 2 * n,
                .raw_usage = SG_STR("{\"total_tokens\":3}"),
        };
}
