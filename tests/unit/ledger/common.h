/* What the ledger's tests share: a directory of their own with a database and a journal. */
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "ledger/store.h"

static char test_dir[200], journal_dir[256], db_path[256], db_url[300];
__attribute__((__unused__)) static const struct sg_store_options options_of_test = {.url = db_url};

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *at)
{
        return remove(path);
}

__attribute__((__unused__)) static int test_teardown(void **state)
{
        return nftw(test_dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

__attribute__((__unused__)) static int test_setup(void **state)
{
        const char *tmp = getenv("TMPDIR");

        (void)snprintf(test_dir, sizeof(test_dir), "%s/sg-test-ledger-XXXXXX", tmp ? tmp : "/tmp");
        if (!mkdtemp(test_dir))
                return -1;
        (void)snprintf(journal_dir, sizeof(journal_dir), "%s/journal", test_dir);
        (void)snprintf(db_path, sizeof(db_path), "%s/ledger.db", test_dir);
        (void)snprintf(db_url, sizeof(db_url), "sqlite:%s", db_path);
        return mkdir(journal_dir, 0700);
}

__attribute__((__unused__)) static int open_url(struct sg_store **ret, const char *url, struct sg_error *err)
{
        return sg_store_open(ret, &(struct sg_store_options){.url = url}, err);
}

__attribute__((__unused__)) static int check_url(const char *url, struct sg_error *err)
{
        return sg_store_check(&(struct sg_store_options){.url = url}, err);
}

__attribute__((__unused__)) static struct sg_store *open_store(void)
{
        struct sg_store *s = NULL;
        struct sg_error err = {0};
        int r = open_url(&s, db_url, &err);

        if (r)
                print_error("%s: %s\n", err.where, err.text);
        assert_int_equal(r, 0);
        return s;
}

__attribute__((__unused__)) static struct sg_record sample(uint64_t n)
{
        return (struct sg_record){
                .kind = SG_RECORD_CLOSE,
                .exchange = n,
                .start_wall_usec = UINT64_C(1700000000000000) + n,
                .key_id = 1,
                .request_id = SG_STR("request"),
                .key_name = n % 2 ? SG_STR("alice") : SG_STR("bob"),
                .operation = SG_STR("chat"),
                .model = SG_STR("gpt"),
                .provider = SG_STR("echo"),
                .upstream_model = SG_STR("echo-1"),
                .credential = SG_STR("team-b"),
                .prompt_bytes = 100,
                .flags = SG_RECORD_STREAM,
                .outcome = SG_OUTCOME_COMPLETE,
                .status = 200,
                .certainty = SG_RECORD_CERTAINTY_MEASURED,
                .n_attempts = 2,
                .input_tokens = 10,
                .output_tokens = n,
                .cached_tokens = 3,
                .cache_write_tokens = 4,
                .cache_write_1h_tokens = 1,
                .reasoning_tokens = 5,
                .audio_input_tokens = 6,
                .audio_output_tokens = 7,
                .image_tokens = 8,
                .duration_usec = 1000,
                .first_byte_usec = 100,
                .answer_bytes = 200,
                .reason = SG_STR("none"),
                .raw_usage = SG_STR("{\"total_tokens\":3}"),
        };
}

#define ANY_TIME .to_wall_usec = UINT64_MAX, .limit = 100000

struct sums {
        size_t n;
        struct sg_store_usage_sum last, first;
        char groups[512];
};

__attribute__((__unused__)) static void on_sum(const struct sg_store_usage_sum *sum, void *owner)
{
        struct sums *s = owner;
        size_t at = strlen(s->groups);

        if (s->n++ == 0)
                s->first = *sum;
        s->last = *sum;
        (void)snprintf(s->groups + at, sizeof(s->groups) - at, SG_STR_FMT " ", SG_STR_ARG(sum->group));
}

/* Over everything. */
__attribute__((__unused__)) static struct sg_store_usage_sum total(struct sg_store *s)
{
        struct sg_store_usage_filter all = {ANY_TIME};
        struct sums sums = {0};

        assert_int_equal(sg_store_usage_sums(s, SG_STORE_BY_NONE, &all, on_sum, &sums, NULL), 0);
        assert_int_equal(sums.n, 1);
        return sums.first;
}
