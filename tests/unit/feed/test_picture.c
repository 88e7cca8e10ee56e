#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
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

/* In as many steps as it takes. */
static int write_whole(struct place *p, uint64_t version)
{
        bool is_done = false;
        int r = sg_picture_begin(p->picture, p->table, version);

        while (!r && !is_done)
                r = sg_picture_step(p->picture, &is_done);
        return r;
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
        assert_int_equal(write_whole(p, 42), 0);
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

        assert_int_equal(write_whole(p, 3), 0);
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
        assert_int_equal(write_whole(p, 1), 0);
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
        assert_int_equal(write_whole(p, 1), 0);
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
        assert_int_equal(write_whole(p, 1), 0);
        apply(p, 2, false);
        signal(SIGXFSZ, SIG_IGN);
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
        limit = before;
        limit.rlim_cur = 100;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        assert_int_equal(write_whole(p, 2), -EFBIG);
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
        assert_int_equal(write_whole(p, 1), 0);
        while (!sg_picture_is_outgrown(p->picture, p->table)) {
                append(p, 1, n % 2, n);
                assert_true(++n < 2000);
        }
        assert_true(n > 100);
        assert_int_equal(write_whole(p, n), 0);
        assert_false(sg_picture_is_outgrown(p->picture, p->table));
}

/* ---- groups, limits, steps */

static struct sg_limit_set *limits_of(uint64_t amount)
{
        const struct sg_limit one = {.kind = SG_LIMIT_CONCURRENT, .amount = amount};
        struct sg_limit_set *set = NULL;

        assert_int_equal(sg_limit_set_new(&set, &one, 1, NULL), 0);
        return set;
}

static void test_groups_and_limits_are_kept(void **state)
{
        struct place *p = *state;
        struct sg_limit_set *limits = limits_of(9);
        struct sg_key_change key = change_of(1, false);
        struct sg_group_change org = {.id = 1, .name = SG_STR("org")};
        struct sg_group_change team = {.id = 2, .parent_id = 1, .name = SG_STR("te\"am"), .limits = limits};
        const struct sg_group_facts *facts;

        key.group_id = 2;
        key.limits = limits;
        assert_int_equal(sg_keytable_apply_group(p->table, &org), 0);
        assert_int_equal(sg_keytable_apply(p->table, &key), 0);
        assert_int_equal(write_whole(p, 1), 0);
        assert_int_equal(sg_picture_add_group(p->picture, &team), 0); /* told later */
        assert_int_equal(sg_picture_commit(p->picture, 2), 0);
        for (unsigned i = 0; i < 2; i++) {
                assert_int_equal(reload(p), 0);
                assert_int_equal(p->outcome, SG_PICTURE_GOOD);
                assert_int_equal(find(p, 1)->group->id, 2);
                assert_true(sg_limit_set_is_same(find(p, 1)->limits, limits));
                facts = atomic_load(&sg_keytable_find_group(p->table, 2)->facts);
                assert_string_equal(facts->name, "te\"am");
                assert_int_equal(facts->parent->id, 1);
                assert_true(sg_limit_set_is_same(facts->limits, limits));
                assert_null(atomic_load(&sg_keytable_find_group(p->table, 1)->facts)->limits);
                assert_int_equal(write_whole(p, 3), 0);
        }
        org.is_removed = true;
        assert_int_equal(sg_picture_add_group(p->picture, &org), 0);
        assert_int_equal(sg_picture_commit(p->picture, 4), 0);
        assert_int_equal(reload(p), 0);
        assert_null(sg_keytable_find_group(p->table, 1));
        assert_non_null(sg_keytable_find_group(p->table, 2));
        sg_limit_set_unref(limits);
}

static void put_many(struct place *p, uint64_t first, uint64_t n)
{
        for (uint64_t i = first; i < first + n; i++) {
                struct sg_key_change c = {.id = i, .name = SG_STR("some"), .all_models = true};

                memcpy(c.digest, &i, sizeof(i));
                assert_int_equal(sg_keytable_apply(p->table, &c), 0);
        }
}

static void change_one(struct place *p, uint64_t id, bool is_removed, uint64_t version)
{
        struct sg_key_change c = {.id = id, .name = SG_STR("some"), .is_revoked = true, .is_removed = is_removed};

        memcpy(c.digest, &id, sizeof(id));
        assert_int_equal(sg_picture_add(p->picture, &c), 0);
        assert_int_equal(sg_picture_commit(p->picture, version), 0);
        assert_int_equal(sg_keytable_apply(p->table, &c), 0);
        assert_int_equal(sg_picture_sync(p->picture), 0);
}

#define N_MANY 40000u

static void expect_many(struct place *p, uint64_t n)
{
        assert_int_equal(p->outcome, SG_PICTURE_GOOD);
        assert_int_equal(sg_keytable_count(p->table), n);
        assert_null(sg_keytable_find_id(p->table, 1));
        assert_null(sg_keytable_find_id(p->table, N_MANY));
        assert_true(sg_keytable_find_id(p->table, 2)->is_revoked);
        assert_true(sg_keytable_find_id(p->table, N_MANY - 1)->is_revoked);
        assert_false(sg_keytable_find_id(p->table, 3)->is_revoked);
        assert_int_equal(p->version, 5);
}

/* Of what was written already and of what comes later; and the index doubles in between. */
static void test_changes_between_steps_are_in_the_old_file_and_in_the_new(void **state)
{
        struct place *p = *state;
        unsigned n_steps = 1;
        bool is_done = false;

        put_many(p, 1, N_MANY);
        assert_int_equal(write_whole(p, 1), 0);
        assert_int_equal(sg_picture_begin(p->picture, p->table, 1), 0);
        assert_int_equal(sg_picture_step(p->picture, &is_done), 0);
        assert_false(is_done);
        change_one(p, 1, true, 2);
        change_one(p, 2, false, 3);
        change_one(p, N_MANY, true, 4);
        change_one(p, N_MANY - 1, false, 5);
        assert_int_equal(reload(p), 0); /* killed here */
        expect_many(p, N_MANY - 2);

        put_many(p, 1, 2);
        put_many(p, N_MANY - 1, 2);
        assert_int_equal(sg_picture_begin(p->picture, p->table, 1), 0);
        for (is_done = false; !is_done; n_steps++) {
                assert_int_equal(sg_picture_step(p->picture, &is_done), 0);
                if (n_steps == 1) {
                        change_one(p, 1, true, 2);
                        change_one(p, 2, false, 3);
                        change_one(p, N_MANY, true, 4);
                        change_one(p, N_MANY - 1, false, 5);
                        put_many(p, N_MANY + 1, 40000);
                }
        }
        assert_true(n_steps > 3);
        assert_int_equal(reload(p), 0);
        expect_many(p, N_MANY - 2 + 40000);
}

/* The first picture there ever is: what changes meanwhile is kept with its end. */
static void test_changes_before_the_first_file_is_whole(void **state)
{
        struct place *p = *state;
        bool is_done = false;

        put_many(p, 1, N_MANY);
        assert_int_equal(sg_picture_begin(p->picture, p->table, 1), 0);
        assert_int_equal(sg_picture_step(p->picture, &is_done), 0);
        assert_false(is_done);
        assert_true(sg_picture_is_writing(p->picture));
        assert_false(sg_picture_is_outgrown(p->picture, p->table));
        change_one(p, 1, true, 2);
        change_one(p, 2, false, 3);
        change_one(p, N_MANY, true, 4);
        change_one(p, N_MANY - 1, false, 5);
        while (!is_done)
                assert_int_equal(sg_picture_step(p->picture, &is_done), 0);
        assert_false(sg_picture_is_writing(p->picture));
        assert_int_equal(reload(p), 0);
        expect_many(p, N_MANY - 2);
}

static void test_what_is_given_up_leaves_the_old_file(void **state)
{
        struct place *p = *state;
        bool is_done = false;
        char path[128];

        snprintf(path, sizeof(path), "%s.new", p->path);
        apply(p, 1, false);
        assert_int_equal(write_whole(p, 7), 0);
        put_many(p, 100, N_MANY);
        assert_int_equal(sg_picture_begin(p->picture, p->table, 8), 0);
        assert_int_equal(sg_picture_step(p->picture, &is_done), 0);
        assert_int_equal(access(path, F_OK), 0);
        sg_picture_abort(p->picture);
        sg_picture_abort(p->picture);
        assert_int_equal(access(path, F_OK), -1);

        /* Nor does one that another process has begun become ours. */
        assert_int_equal(sg_picture_begin(p->picture, p->table, 8), 0);
        assert_int_equal(sg_picture_step(p->picture, &is_done), 0);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(close(open(path, O_CREAT | O_WRONLY, 0600)), 0);
        while (!is_done && sg_picture_is_writing(p->picture))
                (void)!sg_picture_step(p->picture, &is_done);
        assert_false(is_done);
        assert_int_equal(reload(p), 0);
        assert_int_equal(p->version, 7);
        assert_int_equal(sg_keytable_count(p->table), 1);
        unlink(path);
}

static void test_a_line_without_end_is_damage(void **state)
{
        struct place *p = *state;
        char *text = calloc(1, 3u << 20);

        assert_non_null(text);
        add_line(text, "{\"format\":1,\"version\":1}");
        memset(text + strlen(text), 'x', 2u << 20);
        write_file(p, text, strlen(text));
        assert_int_equal(reload(p), 0);
        assert_int_equal(p->outcome, SG_PICTURE_BROKEN);
        assert_string_equal(p->err.text, "line 2 is too long");
        free(text);
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
                picture_test(test_groups_and_limits_are_kept),
                picture_test(test_changes_between_steps_are_in_the_old_file_and_in_the_new),
                picture_test(test_changes_before_the_first_file_is_whole),
                picture_test(test_what_is_given_up_leaves_the_old_file),
                picture_test(test_a_line_without_end_is_damage),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
