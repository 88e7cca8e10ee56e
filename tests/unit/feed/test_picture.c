#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "feed/picture.h"

#define KEY(id, revoked)                                                                                               \
        "{\"id\":" #id ",\"name\":\"k" #id "\",\"digest\":\"0000000000000000000000000000000000000000000000000000"      \
        "00000000000" #id "\",\"models\":null,\"expires_wall_usec\":0,\"revoked\":" #revoked "}"

struct place {
        char directory[64], path[96], broken[112];
        struct sg_keytable *table;
        struct sg_picture *picture;
        enum sg_picture_outcome outcome;
        uint64_t version;
        struct sg_error err;
};

static int setup(void **state)
{
        static struct place p;

        memset(&p, 0, sizeof(p));
        strcpy(p.directory, "/tmp/picture-test-XXXXXX");
        if (!mkdtemp(p.directory))
                return -1;
        snprintf(p.path, sizeof(p.path), "%s/keys", p.directory);
        snprintf(p.broken, sizeof(p.broken), "%s/keys.broken", p.directory);
        sg_rcu_register();
        *state = &p;
        return sg_keytable_new(&p.table) || sg_picture_new(&p.picture, p.path) ? -1 : 0;
}

static int teardown(void **state)
{
        struct place *p = *state;

        sg_picture_free(p->picture);
        sg_keytable_free(p->table);
        sg_rcu_unregister();
        sg_rcu_barrier();
        unlink(p->path);
        unlink(p->broken);
        return rmdir(p->directory);
}

/* As after a restart. */
static int reload(struct place *p)
{
        sg_picture_free(p->picture);
        sg_keytable_free(p->table);
        assert_int_equal(sg_keytable_new(&p->table), 0);
        assert_int_equal(sg_picture_new(&p->picture, p->path), 0);
        p->version = 0;
        return sg_picture_load(p->picture, p->table, &p->outcome, &p->version, &p->err);
}

static void write_file(struct place *p, const char *bytes, size_t n)
{
        FILE *f = fopen(p->path, "w");

        assert_non_null(f);
        assert_int_equal(fwrite(bytes, 1, n, f), n);
        assert_int_equal(fclose(f), 0);
}

/* The line with its right checksum at the end of text. */
static void add_line(char *text, const char *json)
{
        sprintf(text + strlen(text), "%08x %s\n", sg_crc32c(0, json, strlen(json)), json);
}

static struct sg_key_change change_of(uint64_t id, bool is_revoked)
{
        struct sg_key_change c = {.id = id, .name = SG_STR("some"), .is_revoked = is_revoked, .all_models = true};

        c.digest[0] = (uint8_t)id;
        return c;
}

static const struct sg_key *find(struct place *p, uint64_t id)
{
        struct sg_key_change c = change_of(id, false);

        return sg_keytable_find(p->table, c.digest);
}

static void apply(struct place *p, uint64_t id, bool is_revoked)
{
        struct sg_key_change c = change_of(id, is_revoked);

        assert_int_equal(sg_keytable_apply(p->table, &c), 0);
}

static void append(struct place *p, uint64_t id, bool is_revoked, uint64_t version)
{
        struct sg_key_change c = change_of(id, is_revoked);

        assert_int_equal(sg_keytable_apply(p->table, &c), 0);
        assert_int_equal(sg_picture_add(p->picture, &c), 0);
        assert_int_equal(sg_picture_commit(p->picture, version), 0);
}

static void test_no_file_is_no_picture(void **state)
{
        struct place *p = *state;

        assert_int_equal(reload(p), 0);
        assert_int_equal(p->outcome, SG_PICTURE_NONE);
        assert_true(sg_picture_is_outgrown(p->picture, p->table));
}

static void test_what_was_written_is_loaded(void **state)
{
        struct place *p = *state;
        struct stat st;

        for (uint64_t i = 1; i <= 200; i++)
                apply(p, i, i % 3 == 0);
        assert_int_equal(sg_picture_write(p->picture, p->table, 42), 0);
        assert_int_equal(stat(p->path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_int_equal(reload(p), 0);
        assert_int_equal(p->outcome, SG_PICTURE_GOOD);
        assert_int_equal(p->version, 42);
        assert_int_equal(sg_keytable_count(p->table), 200);
        for (uint64_t i = 1; i <= 200; i++)
                assert_int_equal(find(p, i)->is_revoked, i % 3 == 0);
}

static void test_an_empty_table_is_a_picture_too(void **state)
{
        struct place *p = *state;

        assert_int_equal(sg_picture_write(p->picture, p->table, 3), 0);
        assert_int_equal(reload(p), 0);
        assert_int_equal(p->outcome, SG_PICTURE_GOOD);
        assert_int_equal(p->version, 3);
}

static void test_appended_changes_are_loaded(void **state)
{
        struct place *p = *state;
        struct sg_key_change gone = {.id = 2, .is_removed = true};

        apply(p, 1, false);
        apply(p, 2, false);
        assert_int_equal(sg_picture_write(p->picture, p->table, 1), 0);
        append(p, 1, true, 2);
        append(p, 3, false, 3);
        assert_int_equal(sg_picture_add(p->picture, &gone), 0);
        assert_int_equal(sg_picture_commit(p->picture, 4), 0);
        assert_int_equal(reload(p), 0);
        assert_int_equal(p->version, 4);
        assert_true(find(p, 1)->is_revoked);
        assert_null(find(p, 2));
        assert_non_null(find(p, 3));
        append(p, 4, false, 5); /* and it goes on after a load */
        assert_int_equal(reload(p), 0);
        assert_int_equal(p->version, 5);
        assert_non_null(find(p, 4));
}

static void test_a_file_cut_anywhere_keeps_its_whole_lines(void **state)
{
        struct place *p = *state;
        char text[2048] = "";
        size_t n_first, n_second, n_all;

        add_line(text, "{\"format\":1,\"version\":1}");
        n_first = strlen(text);
        add_line(text, KEY(1, false));
        n_second = strlen(text);
        add_line(text, KEY(1, true));
        n_all = strlen(text);
        for (size_t n = n_first; n <= n_all; n++) {
                struct stat st;

                write_file(p, text, n);
                assert_int_equal(reload(p), 0);
                assert_int_equal(p->outcome, SG_PICTURE_GOOD);
                assert_int_equal(sg_keytable_count(p->table), n >= n_second);
                assert_int_equal(stat(p->path, &st), 0);
                assert_int_equal(st.st_size, n == n_all ? n_all : n >= n_second ? n_second : n_first);
                /* What is appended then stands on a line of its own. */
                append(p, 9, false, 7);
                assert_int_equal(reload(p), 0);
                assert_int_equal(p->version, 7);
                assert_non_null(find(p, 9));
        }
}

static void test_a_last_line_with_a_bad_checksum_is_cut(void **state)
{
        struct place *p = *state;
        char text[2048] = "";

        add_line(text, "{\"format\":1,\"version\":1}");
        add_line(text, KEY(1, false));
        strcat(text, "12345678 " KEY(2, false) "\n");
        write_file(p, text, strlen(text));
        assert_int_equal(reload(p), 0);
        assert_int_equal(p->outcome, SG_PICTURE_GOOD);
        assert_int_equal(sg_keytable_count(p->table), 1);
}

static void test_any_damaged_byte_before_the_last_line_sets_the_file_aside(void **state)
{
        struct place *p = *state;
        char text[2048] = "";
        size_t n_before;

        add_line(text, "{\"format\":1,\"version\":1}");
        add_line(text, KEY(1, false));
        n_before = strlen(text);
        add_line(text, KEY(1, true));
        add_line(text, "{\"version\":2}");
        for (size_t i = 0; i < n_before - 1; i++) {
                text[i] ^= 4;
                write_file(p, text, strlen(text));
                text[i] ^= 4;
                assert_int_equal(reload(p), 0);
                assert_int_equal(p->outcome, SG_PICTURE_BROKEN);
                assert_int_equal(sg_keytable_count(p->table), 0);
                assert_int_equal(access(p->path, F_OK), -1);
                assert_int_equal(access(p->broken, F_OK), 0);
                assert_string_equal(p->err.where, p->path);
        }
}

static void test_hostile_files_are_set_aside(void **state)
{
        static const char *const lines[][2] = {
                {"{\"version\":1}", KEY(1, false)},              /* no format */
                {"{\"format\":2,\"version\":1}", KEY(1, false)}, /* of a later release */
                {"{\"format\":1,\"version\":-1}", KEY(1, false)},
                {"{\"format\":1,\"version\":1}", "{\"id\":1}"},
                {"{\"format\":1,\"version\":1}", "[]"},
                {"{\"format\":1,\"version\":1}", "nonsense"},
                {"{\"format\":1,\"version\":1}", ""},
                {"{\"format\":1,\"version\":1}", "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]"},
                {"{\"format\":1,\"version\":1}", "{\"id\":1,\"name\":\"\",\"digest\":\"00\",\"models\":null}"},
        };
        struct place *p = *state;

        for (size_t i = 0; i < SG_N_ELEMENTS(lines); i++) {
                char text[2048] = "";

                add_line(text, lines[i][0]);
                add_line(text, KEY(5, false));
                add_line(text, lines[i][1]);
                add_line(text, KEY(6, false));
                write_file(p, text, strlen(text));
                assert_int_equal(reload(p), 0);
                assert_int_equal(p->outcome, SG_PICTURE_BROKEN);
                assert_int_equal(sg_keytable_count(p->table), 0);
        }
        write_file(p, "\0\0\0\0\n\n\0\n", 8);
        assert_int_equal(reload(p), 0);
        assert_int_equal(p->outcome, SG_PICTURE_BROKEN);
        write_file(p, "", 0);
        assert_int_equal(reload(p), 0);
        assert_int_equal(p->outcome, SG_PICTURE_BROKEN);
}

static void test_what_is_no_readable_file_is_an_error(void **state)
{
        struct place *p = *state;

        assert_int_equal(mkdir(p->path, 0700), 0);
        assert_int_equal(reload(p), -EISDIR);
        assert_int_equal(rmdir(p->path), 0);
}

static void test_a_failed_append_leaves_the_file_as_it_was(void **state)
{
        struct place *p = *state;
        struct sg_key_change c = change_of(2, false);
        struct rlimit limit, before;
        struct stat st;

        apply(p, 1, false);
        assert_int_equal(sg_picture_write(p->picture, p->table, 1), 0);
        assert_int_equal(stat(p->path, &st), 0);
        signal(SIGXFSZ, SIG_IGN);
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
        limit = before;
        limit.rlim_cur = (rlim_t)st.st_size + 20; /* in the middle of the line */
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        assert_int_equal(sg_picture_add(p->picture, &c), 0);
        assert_int_equal(sg_picture_commit(p->picture, 2), -EFBIG);
        assert_true(sg_picture_is_outgrown(p->picture, p->table));
        assert_int_equal(sg_picture_add(p->picture, &c), 0);
        assert_int_equal(sg_picture_commit(p->picture, 2), -EBADF); /* until it has been written anew */
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        assert_int_equal(reload(p), 0);
        assert_int_equal(p->outcome, SG_PICTURE_GOOD);
        assert_int_equal(p->version, 1);
        assert_int_equal(sg_keytable_count(p->table), 1);
}

static void test_a_failed_write_keeps_the_old_file(void **state)
{
        struct place *p = *state;
        struct rlimit limit, before;

        apply(p, 1, false);
        assert_int_equal(sg_picture_write(p->picture, p->table, 1), 0);
        apply(p, 2, false);
        signal(SIGXFSZ, SIG_IGN);
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
        limit = before;
        limit.rlim_cur = 100;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        assert_int_equal(sg_picture_write(p->picture, p->table, 2), -EFBIG);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        append(p, 3, false, 3); /* the old file is still appended to */
        assert_int_equal(reload(p), 0);
        assert_int_equal(p->version, 3);
        assert_int_equal(sg_keytable_count(p->table), 2);
}

static void test_many_appends_outgrow_the_file(void **state)
{
        struct place *p = *state;
        unsigned n = 0;

        apply(p, 1, false);
        assert_int_equal(sg_picture_write(p->picture, p->table, 1), 0);
        while (!sg_picture_is_outgrown(p->picture, p->table)) {
                append(p, 1, n % 2, n);
                assert_true(++n < 2000);
        }
        assert_true(n > 100);
        assert_int_equal(sg_picture_write(p->picture, p->table, n), 0);
        assert_false(sg_picture_is_outgrown(p->picture, p->table));
}

#define picture_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                picture_test(test_no_file_is_no_picture),
                picture_test(test_what_was_written_is_loaded),
                picture_test(test_an_empty_table_is_a_picture_too),
                picture_test(test_appended_changes_are_loaded),
                picture_test(test_a_file_cut_anywhere_keeps_its_whole_lines),
                picture_test(test_a_last_line_with_a_bad_checksum_is_cut),
                picture_test(test_any_damaged_byte_before_the_last_line_sets_the_file_aside),
                picture_test(test_hostile_files_are_set_aside),
                picture_test(test_what_is_no_readable_file_is_an_error),
                picture_test(test_a_failed_append_leaves_the_file_as_it_was),
                picture_test(test_a_failed_write_keeps_the_old_file),
                picture_test(test_many_appends_outgrow_the_file),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
