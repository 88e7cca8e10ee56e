/* Several processes on one file: sums that hold, what killed ones held, restarts, reboots, files that cannot be used. */
#include "limit_test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char directory[] = "/tmp/scribe-limit-XXXXXX", path[64], saved[64];

static int set_up(void **state)
{
        strcpy(directory + strlen(directory) - 6, "XXXXXX");
        if (!mkdtemp(directory))
                return -1;
        snprintf(path, sizeof(path), "%s/limits", directory);
        snprintf(saved, sizeof(saved), "%s/limits.saved", directory);
        return 0;
}

static int tear_down(void **state)
{
        (void)unlink(path);
        (void)unlink(saved);
        return rmdir(directory); /* nothing else is left in it */
}

static struct sg_limits *open_table(void)
{
        char text[256];
        struct sg_limits *l = limits_new(path, NULL, NOW, WALL, text);

        assert_string_equal(text, "");
        return l;
}

/* ---- processes */

static pid_t start(void (*body)(int to_parent), int *ret_from_child)
{
        int ends[2];
        pid_t pid;

        assert_int_equal(pipe(ends), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                close(ends[0]);
                body(ends[1]);
                _exit(0);
        }
        close(ends[1]);
        *ret_from_child = ends[0];
        return pid;
}

static void kill_and_wait(pid_t pid)
{
        int status;

        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
}

static struct sg_limited shared(void)
{
        return LIMITED(SG_SUBJECT_KEY, 7, "100 requests/day", "1000 tokens/day", "50 concurrent", "1000 tokens/minute",
                       "100 requests/hour");
}

static int take_one(struct sg_limits *l, const struct sg_limited *who, struct sg_reservation *r)
{
        struct sg_limit_ask ask = ask_of(who, 1, SG_LIMIT_REQUESTS, 1, 0);
        struct sg_limit_refusal refusal;

        ask.n_of[SG_LIMIT_CONCURRENT] = 1;
        ask.n_of[SG_LIMIT_TOKENS] = 10;
        return sg_limits_reserve(l, &ask, r, &refusal);
}

static void take_three_and_stay(int to_parent)
{
        struct sg_limits *l = open_table();
        struct sg_limited who = shared();
        struct sg_reservation r[3] = {0};
        unsigned char n = 0;

        for (; n < 3; n++)
                if (take_one(l, &who, &r[n]))
                        break;
        if (write(to_parent, &n, 1) == 1)
                pause();
}

static void test_what_a_killed_process_held_is_given_back_once(void **state)
{
        struct sg_limits *l = open_table();
        struct sg_limited who = shared();
        struct sg_reservation r = {0};
        unsigned char n;
        int from_child;
        pid_t pid;

        assert_int_equal(take_one(l, &who, &r), 0);
        pid = start(take_three_and_stay, &from_child);
        assert_int_equal(read(from_child, &n, 1), 1);
        assert_int_equal(n, 3);
        assert_int_equal(view(l, &who, 0, 0).used, 4);
        assert_int_equal(view(l, &who, 1, 0).reserved, 40);
        assert_int_equal(view(l, &who, 2, 0).used, 4);
        sg_limits_tend(l, NOW, WALL); /* it lives: nothing is taken from it */
        assert_int_equal(view(l, &who, 2, 0).used, 4);
        kill_and_wait(pid);
        close(from_child);
        for (unsigned lap = 0; lap < 2; lap++) {
                sg_limits_tend(l, NOW, WALL);
                assert_int_equal(view(l, &who, 0, 0).used, 1);
                assert_int_equal(view(l, &who, 1, 0).used, 10);
                assert_int_equal(view(l, &who, 1, 0).reserved, 10);
                assert_int_equal(view(l, &who, 2, 0).used, 1);
                /* Buckets are left to time. */
                assert_int_equal(view(l, &who, 3, 0).reserved, 10);
                assert_int_equal(view(l, &who, 3, 0).used, 40);
                assert_int_equal(view(l, &who, 4, 0).reserved, 1);
        }
        settle(l, &r, 10, 0, 0);
        assert_nothing_is_held(l);
        sg_limit_set_unref(who.set);
        sg_limits_free(l);
}

static void turn_for_ever(int to_parent)
{
        struct sg_limits *l = open_table();
        struct sg_limited who = shared();
        struct sg_reservation r = {0};

        assert_int_equal(write(to_parent, "", 1), 1);
        for (;;)
                if (take_one(l, &who, &r) == 0)
                        sg_limits_release(l, &r, NOW);
}

/* Killed anywhere: concurrency and what is held are right at once, and a counter has too much by what was in flight. */
static void test_killed_at_any_instruction(void **state)
{
        enum {
                KILLS = 50
        };
        struct sg_limits *l = open_table();
        struct sg_limited who = shared();
        uint64_t seed = 5;
        char byte;

        for (unsigned i = 0; i < KILLS; i++) {
                int from_child;
                pid_t pid = start(turn_for_ever, &from_child);
                volatile uint64_t turns;

                assert_int_equal(read(from_child, &byte, 1), 1);
                seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
                for (turns = 0; turns < seed >> 44; turns++)
                        ;
                kill_and_wait(pid);
                close(from_child);
                sg_limits_tend(l, NOW, WALL);
                assert_int_equal(view(l, &who, 2, 0).used, 0);
                assert_int_equal(view(l, &who, 0, 0).reserved, 0);
                assert_int_equal(view(l, &who, 1, 0).reserved, 0);
                assert_int_equal(view(l, &who, 3, 0).reserved, 0);
                assert_true(view(l, &who, 0, 0).used <= i + 1);
                assert_true(view(l, &who, 1, 0).used <= 10 * (i + 1));
        }
        sg_limit_set_unref(who.set);
        sg_limits_free(l);
}

static void take_all_there_is(int to_parent)
{
        struct sg_limits *l = open_table();
        struct sg_limited who = shared();
        unsigned char n = 0;

        for (unsigned i = 0; i < 20000; i++) {
                struct sg_reservation r = {0};

                if (take_one(l, &who, &r) == 0) {
                        n++;
                        sg_limits_settle(l, &r, 10, 0, NOW, WALL);
                }
        }
        assert_int_equal(write(to_parent, &n, 1), 1);
}

static void test_the_sum_of_all_processes_holds(void **state)
{
        for (unsigned lap = 0; lap < 5; lap++) {
                int from_child[SG_LIMIT_PROCESSES];
                pid_t pids[SG_LIMIT_PROCESSES];
                unsigned sum = 0;

                for (unsigned i = 0; i < SG_LIMIT_PROCESSES; i++)
                        pids[i] = start(take_all_there_is, &from_child[i]);
                for (unsigned i = 0; i < SG_LIMIT_PROCESSES; i++) {
                        unsigned char n;
                        int status;

                        assert_int_equal(read(from_child[i], &n, 1), 1);
                        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
                        assert_int_equal(status, 0);
                        close(from_child[i]);
                        sum += n;
                }
                assert_int_equal(sum, 100);
                assert_int_equal(unlink(path), 0);
        }
        /* A table for tear_down() to find. */
        sg_limits_free(open_table());
}

/* ---- one after another */

static void test_a_restart_goes_on_counting(void **state)
{
        struct sg_limits *l = open_table(), *next;
        struct sg_limited who = shared(), again = shared();
        struct sg_reservation r[5] = {0};

        for (unsigned i = 0; i < 4; i++)
                assert_int_equal(take_one(l, &who, &r[i]), 0);
        settle(l, &r[0], 7, 0, 0);
        /* Side by side, as in an upgrade. */
        next = open_table();
        assert_int_equal(view(next, &again, 2, 0).used, 3);
        assert_int_equal(take_one(next, &again, &r[4]), 0);
        settle(l, &r[1], 10, 0, 0);
        assert_int_equal(view(next, &again, 2, 0).used, 3);
        /* The first one ends with two open. */
        sg_limits_free(l);
        free(r[2].far);
        free(r[3].far);
        sg_limits_tend(next, NOW, WALL);
        assert_int_equal(view(next, &again, 2, 0).used, 1);
        assert_int_equal(view(next, &again, 1, 0).used, 27);
        settle(next, &r[4], 10, 0, 0);
        assert_nothing_is_held(next);
        sg_limits_free(next);
        sg_limit_set_unref(who.set);
        sg_limit_set_unref(again.set);

        l = open_table();
        who = shared();
        assert_int_equal(view(l, &who, 0, 0).used, 3);
        assert_int_equal(view(l, &who, 1, 0).used, 27);
        sg_limit_set_unref(who.set);
        sg_limits_free(l);
}

static void test_one_process_too_many_is_on_its_own(void **state)
{
        struct sg_limits *l[SG_LIMIT_PROCESSES], *more;
        struct sg_limited who = shared(), other = shared();
        struct sg_reservation r = {0};
        char text[256];

        for (size_t i = 0; i < SG_LIMIT_PROCESSES; i++)
                l[i] = open_table();
        assert_int_equal(take_one(l[0], &other, &r), 0);
        more = limits_new(path, NULL, NOW, WALL, text);
        assert_non_null(strstr(text, "in memory only"));
        assert_non_null(strstr(text, "too many processes"));
        assert_int_equal(view(more, &who, 0, 0).used, 0);
        sg_limits_free(more);
        settle(l[0], &r, 0, 0, 0);
        for (size_t i = 0; i < SG_LIMIT_PROCESSES; i++)
                sg_limits_free(l[i]);
        sg_limits_free(open_table());
        sg_limit_set_unref(who.set);
        sg_limit_set_unref(other.set);
}

static void test_a_table_that_grows_is_seen_by_all(void **state)
{
        struct sg_limits *a = open_table(), *b = open_table();
        const struct sg_limit limit = {.kind = SG_LIMIT_REQUESTS, .window = SG_WINDOW_DAY, .amount = 9};
        struct sg_limits_counts c;

        for (uint64_t id = 0; id < 100000; id++) {
                const struct sg_limited who = {.kind = SG_SUBJECT_KEY, .id = id};

                if (id % 1000 == 0)
                        sg_limits_tend(id % 2000 ? a : b, NOW, WALL);
                sg_limits_floor(id % 3 ? a : b, &who, &limit, sg_window_period(SG_WINDOW_DAY, WALL), 1 + id % 1000);
        }
        for (uint64_t id = 0; id < 100000; id++) {
                const struct sg_limited who = {.kind = SG_SUBJECT_KEY, .id = id};
                struct sg_limit_word *w = sg_words_find(id % 3 ? b->words : a->words, sg_word_id(&who, &limit), false);

                assert_non_null(w);
                assert_int_equal(sg_amount_of(atomic_load(&w->used)), 1 + id % 1000);
        }
        sg_limits_count(a, &c);
        assert_int_equal(c.n_words, 100000);
        assert_int_equal(c.n_in_memory, 0);
        sg_limits_free(a);
        sg_limits_free(b);
}

/* A file system that is full: no slot is used that it did not allocate, and the rest is kept in memory. */
static void test_a_full_file_system_ends_nothing(void **state)
{
        const struct sg_limit limit = {.kind = SG_LIMIT_REQUESTS, .window = SG_WINDOW_DAY, .amount = 9};
        const uint64_t today = sg_window_period(SG_WINDOW_DAY, WALL);
        struct sg_limits *l = open_table();
        struct rlimit before, full;
        struct stat st;

        assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
        full = before;
        full.rlim_cur = 1500000;
        (void)signal(SIGXFSZ, SIG_IGN);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &full), 0);
        for (uint64_t id = 0; id < 40000; id++) {
                if (id % 1000 == 0)
                        sg_limits_tend(l, NOW, WALL);
                sg_limits_floor(l, &(struct sg_limited){.kind = SG_SUBJECT_KEY, .id = id}, &limit, today, 1 + id);
        }
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_size, 4096 + 16384 * 64);
        assert_in_range(sg_words_in_memory(l->words), 40000 - 16384, 40000 - 16000);
        /* There is room again: what is in memory stays there, and is found there. */
        sg_limits_tend(l, NOW, WALL);
        for (uint64_t id = 0; id < 40000; id++) {
                const struct sg_limited who = {.kind = SG_SUBJECT_KEY, .id = id};
                struct sg_limit_word *w = sg_words_find(l->words, sg_word_id(&who, &limit), true);

                assert_int_equal(sg_amount_of(atomic_load(&w->used)), 1 + id);
        }
        assert_int_equal(sg_words_count(l->words), 40000);
        sg_limits_free(l);
}

/* ---- the saved copy */

static void edit(const char *file, off_t at, const void *bytes, size_t n)
{
        int fd = open(file, O_RDWR | O_CLOEXEC);

        assert_true(fd >= 0);
        assert_int_equal(pwrite(fd, bytes, n, at), n);
        close(fd);
}

#define BOOT_ID_AT 16 /* of struct header in words.c */

static void test_after_a_reboot_the_saved_copy_counts(void **state)
{
        struct sg_limited who = shared(), again = shared();
        struct sg_reservation r = {0}, held = {0};
        char text[256];
        struct sg_limits *l = limits_new(path, saved, NOW, WALL, text);

        for (unsigned i = 0; i < 50; i++) {
                assert_int_equal(take_one(l, &who, &r), 0);
                settle(l, &r, 10, 0, 0);
        }
        assert_int_equal(take_one(l, &who, &held), 0);
        assert_int_equal(sg_limits_save(l, NOW, WALL), 0);
        /* What is used after that is lost with the machine. */
        assert_int_equal(take_one(l, &who, &r), 0);
        settle(l, &r, 10, 0, 0);
        sg_limits_release(l, &held, NOW);
        sg_limits_free(l);
        edit(path, BOOT_ID_AT, "another boot", 12);

        /* Monotonic time begins anew; 12 s of wall time have passed, in which a fifth of the bucket came back. */
        l = limits_new(path, saved, 5 * SEC, WALL + 12 * SEC, text);
        assert_string_equal(text, "");
        {
                struct sg_limit_state s;

                sg_limits_view(l, &again, 0, 5 * SEC, WALL + 12 * SEC, &s);
                assert_int_equal(s.used, 50);
                assert_int_equal(s.reserved, 0);
                sg_limits_view(l, &again, 1, 5 * SEC, WALL + 12 * SEC, &s);
                assert_int_equal(s.used, 500);
                sg_limits_view(l, &again, 2, 5 * SEC, WALL + 12 * SEC, &s);
                assert_int_equal(s.used, 0);
                /* 510 tokens of 1000, less 200. */
                sg_limits_view(l, &again, 3, 5 * SEC, WALL + 12 * SEC, &s);
                assert_in_range(s.used, 309, 311);
        }
        sg_limits_free(l);

        /* The next day there is nothing left of it, but for the hour's bucket. */
        assert_int_equal(unlink(path), 0);
        sg_limit_set_unref(again.set);
        again = shared();
        l = limits_new(path, saved, NOW, WALL + DAY, text);
        for (size_t i = 0; i < again.set->n; i++)
                assert_int_equal(view(l, &again, i, DAY).used, 0);
        sg_limits_free(l);
        sg_limit_set_unref(who.set);
        sg_limit_set_unref(again.set);
}

static void test_a_clock_that_went_back_over_the_reboot_pays_nothing(void **state)
{
        struct sg_limited who = shared(), again = shared();
        struct sg_reservation r = {0};
        char text[256];
        struct sg_limits *l = limits_new(NULL, saved, NOW, WALL, text);

        assert_int_equal(take_one(l, &who, &r), 0);
        settle(l, &r, 10, 0, 0);
        assert_int_equal(sg_limits_save(l, NOW, WALL), 0);
        sg_limits_free(l);
        l = limits_new(path, saved, NOW, 1000, text);
        assert_string_equal(text, "");
        assert_int_equal(view(l, &again, 3, 0).used, 10);
        assert_int_equal(view(l, &again, 0, 0).used, 1);
        sg_limits_free(l);
        sg_limit_set_unref(who.set);
        sg_limit_set_unref(again.set);
}

static void test_a_large_copy_comes_back_whole(void **state)
{
        const struct sg_limit limit = {
                .kind = SG_LIMIT_COST, .window = SG_WINDOW_MONTH, .currency = "USD", .amount = 9};
        const uint64_t month = sg_window_period(SG_WINDOW_MONTH, WALL);
        char text[256];
        struct sg_limits *l = limits_new(NULL, saved, NOW, WALL, text);
        struct stat st;

        /* Some of them on the heap. */
        for (uint64_t id = 0; id < 50000; id++)
                sg_limits_floor(l, &(struct sg_limited){.kind = SG_SUBJECT_KEY, .id = id}, &limit, month, id + 1);
        assert_int_equal(sg_limits_save(l, NOW, WALL), 0);
        assert_int_equal(sg_limits_save(l, NOW, WALL), 0);
        sg_limits_free(l);
        assert_int_equal(stat(saved, &st), 0);
        assert_int_equal(st.st_size, 32 + 50000 * 16);
        assert_int_equal(st.st_mode & 0777, 0600);
        l = limits_new(path, saved, NOW, WALL, text);
        assert_string_equal(text, "");
        for (uint64_t id = 0; id < 50000; id++) {
                const struct sg_limited who = {.kind = SG_SUBJECT_KEY, .id = id};
                const struct sg_limit_word *w = sg_words_find(l->words, sg_word_id(&who, &limit), false);

                assert_non_null(w);
                assert_int_equal(sg_amount_of(atomic_load(&w->used)), id + 1);
        }
        assert_int_equal(sg_words_in_memory(l->words), 0);
        sg_limits_free(l);
}

static void test_a_copy_that_cannot_be_used_is_told(void **state)
{
        static const struct {
                off_t at;
                const char *bytes, *words;
        } bad[] = {{0, "SGSAVEX\n", "something else"},
                   {8, "\2\0\0\0", "another version"},
                   {12, "....", "damaged"},
                   {24, "\1\1\1\1", "cut off"},
                   {40, "........", "damaged"}};
        struct sg_limited who = shared();
        struct sg_reservation r = {0};
        char text[256];
        struct sg_limits *l = limits_new(NULL, saved, NOW, WALL, text);

        assert_string_equal(text, "");
        assert_int_equal(take_one(l, &who, &r), 0);
        settle(l, &r, 10, 0, 0);
        for (size_t i = 0; i < SG_N_ELEMENTS(bad); i++) {
                struct sg_limits *next;

                assert_int_equal(sg_limits_save(l, NOW, WALL), 0);
                edit(saved, bad[i].at, bad[i].bytes, i == 1 ? 4 : strlen(bad[i].bytes));
                next = limits_new(NULL, saved, NOW, WALL, text);
                assert_non_null(strstr(text, "saved copy"));
                assert_non_null(strstr(text, bad[i].words));
                assert_int_equal(sg_words_count(next->words), 0);
                sg_limits_free(next);
        }
        assert_int_equal(truncate(saved, 10), 0);
        sg_limits_free(limits_new(path, saved, NOW, WALL, text));
        assert_non_null(strstr(text, "cut off"));
        sg_limits_free(l);
        sg_limit_set_unref(who.set);
}

static void test_a_copy_that_cannot_be_written_leaves_the_one_before(void **state)
{
        char text[256], temporary[80];
        struct sg_limits *l = limits_new(NULL, saved, NOW, WALL, text);

        assert_int_equal(sg_limits_save(l, NOW, WALL), 0);
        snprintf(temporary, sizeof(temporary), "%s.new", saved);
        assert_int_equal(mkdir(temporary, 0700), 0);
        assert_int_equal(sg_limits_save(l, NOW, WALL), -EISDIR);
        assert_int_equal(rmdir(temporary), 0);
        assert_int_equal(access(saved, R_OK), 0);
        sg_limits_free(l);
}

/* ---- files that cannot be used */

static void test_a_damaged_table_is_begun_anew(void **state)
{
        static const struct {
                off_t at;
                const char *bytes;
                size_t n;
                const char *words;
        } bad[] = {{0, "XXXXXXX\n", 8, "something else"},
                   {8, "\2\0\0\0", 4, "another version"},
                   {56, "\0\0\0\0", 4, "damaged"},
                   {56, "\x63\0\0\0", 4, "damaged"},
                   {56, "\3\0\0\0", 4, "damaged"},
                   {4096 + 640, "\xff\xff\xff\xff", 4, "damaged"},
                   {4096 + 64 * 9, "\x08\0\0\0", 4, "damaged"}};
        char text[256];

        for (size_t i = 0; i < SG_N_ELEMENTS(bad); i++) {
                struct sg_limits *l = open_table();
                struct sg_limited who = shared(), again = shared();
                struct sg_reservation r = {0};

                assert_int_equal(take_one(l, &who, &r), 0);
                settle(l, &r, 10, 0, 0);
                sg_limits_free(l);
                edit(path, bad[i].at, bad[i].bytes, bad[i].n);
                l = limits_new(path, saved, NOW, WALL, text);
                assert_non_null(strstr(text, "begin anew"));
                if (!strstr(text, bad[i].words))
                        print_error("%s\n", text);
                assert_non_null(strstr(text, bad[i].words));
                assert_int_equal(view(l, &again, 0, 0).used, 0);
                assert_int_equal(take_one(l, &again, &r), 0);
                settle(l, &r, 10, 0, 0);
                sg_limits_free(l);
                sg_limit_set_unref(who.set);
                sg_limit_set_unref(again.set);
                /* And is in order again. */
                sg_limits_free(open_table());
        }
        assert_int_equal(truncate(path, 5000), 0);
        sg_limits_free(limits_new(path, NULL, NOW, WALL, text));
        assert_non_null(strstr(text, "cut off"));
        sg_limits_free(open_table());
}

/* Whoever has the old one mapped goes on with it. */
static void test_a_table_in_use_is_not_pulled_away(void **state)
{
        struct sg_limits *l = open_table(), *next;
        struct sg_limited who = shared();
        struct sg_reservation r = {0};
        char text[256];

        assert_int_equal(take_one(l, &who, &r), 0);
        edit(path, 0, "X", 1);
        next = limits_new(path, NULL, NOW, WALL, text);
        assert_non_null(strstr(text, "begin anew"));
        settle(l, &r, 10, 0, 0);
        assert_int_equal(view(l, &who, 0, 0).used, 1);
        sg_limits_free(next);
        sg_limits_free(l);
        sg_limit_set_unref(who.set);
}

static void test_what_is_no_file_of_ours_is_left_alone(void **state)
{
        char other[80], text[256];
        struct sg_limits *l;

        assert_int_equal(mkdir(path, 0700), 0);
        sg_limits_free(limits_new(path, NULL, NOW, WALL, text));
        assert_non_null(strstr(text, "in memory only"));
        assert_int_equal(rmdir(path), 0);
        snprintf(other, sizeof(other), "%s/other", directory);
        assert_int_equal(symlink(other, path), 0);
        sg_limits_free(limits_new(path, NULL, NOW, WALL, text));
        assert_non_null(strstr(text, "in memory only"));
        assert_int_equal(access(other, F_OK), -1);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(mkfifo(path, 0600), 0);
        sg_limits_free(limits_new(path, NULL, NOW, WALL, text));
        assert_non_null(strstr(text, "in memory only"));
        assert_int_equal(unlink(path), 0);
        l = limits_new("/nowhere/limits", "/nowhere/saved", NOW, WALL, text);
        assert_non_null(strstr(text, "No such file or directory"));
        assert_int_equal(sg_limits_save(l, NOW, WALL), -ENOENT);
        sg_limits_free(l);
        sg_limits_free(open_table());
}

#define WITH_FILES(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                WITH_FILES(test_what_a_killed_process_held_is_given_back_once),
                WITH_FILES(test_killed_at_any_instruction),
                WITH_FILES(test_the_sum_of_all_processes_holds),
                WITH_FILES(test_a_restart_goes_on_counting),
                WITH_FILES(test_one_process_too_many_is_on_its_own),
                WITH_FILES(test_a_table_that_grows_is_seen_by_all),
                WITH_FILES(test_a_full_file_system_ends_nothing),
                WITH_FILES(test_after_a_reboot_the_saved_copy_counts),
                WITH_FILES(test_a_clock_that_went_back_over_the_reboot_pays_nothing),
                WITH_FILES(test_a_large_copy_comes_back_whole),
                WITH_FILES(test_a_copy_that_cannot_be_used_is_told),
                WITH_FILES(test_a_copy_that_cannot_be_written_leaves_the_one_before),
                WITH_FILES(test_a_damaged_table_is_begun_anew),
                WITH_FILES(test_a_table_in_use_is_not_pulled_away),
                WITH_FILES(test_what_is_no_file_of_ours_is_left_alone),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
