#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common.h"

#include "../skip.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"

#define THREADS        4
#define SAFE_LINES     1000  /* of one thread: fit into its ring even if the log thread never runs */
#define MANY_LINES     20000 /* go round the ring several times */
#define CONTENTS_BYTES (64u << 20)

static char dir[256], file_path[300], stderr_path[300];
static int saved_stderr;

static int setup(void **state)
{
        const char *tmp = getenv("TMPDIR");
        int fd;

        snprintf(dir, sizeof(dir), "%s/sg-test-log-XXXXXX", tmp ? tmp : "/tmp");
        if (!mkdtemp(dir))
                return -1;
        snprintf(file_path, sizeof(file_path), "%s/log", dir);
        snprintf(stderr_path, sizeof(stderr_path), "%s/stderr", dir);
        saved_stderr = dup(STDERR_FILENO);
        fd = open(stderr_path, O_RDWR | O_CREAT | O_APPEND, 0600);
        if (saved_stderr < 0 || fd < 0 || dup2(fd, STDERR_FILENO) < 0)
                return -1;
        close(fd);
        return 0;
}

static int teardown(void **state)
{
        char old[310];

        sg_log_stop();
        dup2(saved_stderr, STDERR_FILENO);
        close(saved_stderr);
        snprintf(old, sizeof(old), "%s.1", file_path);
        unlink(old);
        unlink(file_path);
        unlink(stderr_path);
        return rmdir(dir);
}

static void start(enum sg_log_sink sink)
{
        struct sg_error err;

        assert_int_equal(sg_log_start(sink, sink == SG_LOG_TO_FILE ? file_path : NULL, &err), 0);
}

static void read_contents(struct sg_buf *b, const char *path)
{
        sg_buf_init(b, CONTENTS_BYTES);
        assert_int_equal(sg_buf_add_file(b, path), 0);
}

/* What was found in lines "line THREAD NUMBER" and in reports of loss; each thread's numbers must rise. */
struct found {
        uint64_t n_lines, n_lost;
        uint64_t next[THREADS];
};

static uint64_t take_number(struct sg_str *s)
{
        struct sg_str digits;
        size_t n = 0;
        uint64_t v;

        while (n < s->n && s->p[n] >= '0' && s->p[n] <= '9')
                n++;
        digits = sg_str_head(*s, n);
        assert_int_equal(sg_str_to_u64(digits, &v), 0);
        *s = sg_str_skip(*s, n);
        return v;
}

static void look_at_line(struct found *f, struct sg_str line, struct sg_str before, struct sg_str after)
{
        static const struct sg_str lost = {" log lines were lost", 20};
        uint64_t thread, number;
        size_t at;

        at = sg_str_find(line, before);
        assert_true(at < line.n);
        if (sg_str_find(line, lost) < line.n) {
                line = sg_str_skip(line, at + before.n);
                f->n_lost += take_number(&line);
                return;
        }
        line = sg_str_skip(line, at + before.n);
        assert_true(sg_str_starts(line, SG_STR("line ")));
        line = sg_str_skip(line, 5);
        thread = take_number(&line);
        line = sg_str_skip(line, 1);
        number = take_number(&line);
        assert_str(line, after.p); /* nothing of another line in this one */
        assert_true(thread < THREADS && number >= f->next[thread]);
        f->next[thread] = number + 1;
        f->n_lines++;
}

static void look_at_all(struct found *f, struct sg_str all, bool is_json)
{
        struct sg_str line;

        while (sg_str_cut(&all, '\n', &line)) {
                if (is_json)
                        look_at_line(f, line, SG_STR("\"message\":\""),
                                     sg_str_starts(line, SG_STR("{\"time\":\""))
                                             ? SG_STR("\",\"SCRIBE_KEY\":\"alice\"}")
                                             : SG_STR("?"));
                else
                        look_at_line(f, line, SG_STR("scribe-gateway: "), SG_STR(" key=alice"));
        }
        assert_int_equal(line.n, 0); /* it ends in a line end */
}

static void look_at_file(struct found *f, const char *path, bool is_json)
{
        struct sg_buf b;

        read_contents(&b, path);
        look_at_all(f, sg_buf_view(&b), is_json);
        sg_buf_done(&b);
}

struct pace {
        _Atomic unsigned n_said, n_allowed;
};

struct speaker {
        pthread_t thread;
        unsigned id, n_lines;
        struct pace *pace; /* or NULL */
};

static void *speak(void *arg)
{
        static const struct sg_log_field fields[] = {{"SCRIBE_KEY", {"alice", 5}}};
        struct speaker *s = arg;

        for (unsigned i = 0; i < s->n_lines; i++) {
                while (s->pace && atomic_load(&s->pace->n_said) >= atomic_load(&s->pace->n_allowed))
                        sched_yield();
                sg_log_line(SG_LOG_INFO, NULL, fields, 1, "line %u %u", s->id, i);
                if (s->pace)
                        atomic_fetch_add(&s->pace->n_said, 1);
        }
        return NULL;
}

static void let_speak(struct speaker speakers[THREADS], unsigned n_lines, struct pace *pace)
{
        for (unsigned i = 0; i < THREADS; i++) {
                speakers[i] = (struct speaker){.id = i, .n_lines = n_lines, .pace = pace};
                assert_int_equal(pthread_create(&speakers[i].thread, NULL, speak, &speakers[i]), 0);
        }
}

static void wait_for_all(struct speaker speakers[THREADS])
{
        for (unsigned i = 0; i < THREADS; i++)
                pthread_join(speakers[i].thread, NULL);
}

static void test_threads_lose_double_and_tear_nothing(void **state)
{
        uint64_t n_lost_before = sg_log_n_lost();
        struct speaker speakers[THREADS];
        struct found f = {0};

        start(SG_LOG_TO_FILE);
        let_speak(speakers, SAFE_LINES, NULL);
        wait_for_all(speakers);
        sg_log_stop();
        look_at_file(&f, file_path, true);
        assert_int_equal(f.n_lines, THREADS * SAFE_LINES);
        assert_int_equal(f.n_lost, 0);
        assert_int_equal(sg_log_n_lost(), n_lost_before);
}

static void test_a_flood_is_written_or_counted(void **state)
{
        uint64_t n_lost_before = sg_log_n_lost();
        struct speaker speakers[THREADS];
        struct found f = {0};

        start(SG_LOG_TO_FILE);
        let_speak(speakers, MANY_LINES, NULL);
        wait_for_all(speakers);
        sg_log_stop();
        look_at_file(&f, file_path, true);
        assert_int_equal(f.n_lost, sg_log_n_lost() - n_lost_before);
        assert_int_equal(f.n_lines + f.n_lost, (uint64_t)THREADS * MANY_LINES);
}

static void *read_to_end(void *arg)
{
        struct sg_buf *b = arg;
        int fd = open(file_path, O_RDONLY);
        ssize_t n;
        char *at;

        do {
                assert_int_equal(sg_buf_reserve(b, 65536, &at), 0);
                n = read(fd, at, 65536);
                assert_true(n >= 0);
                sg_buf_added(b, (size_t)n);
        } while (n > 0);
        close(fd);
        return NULL;
}

/* The sink is a pipe that nobody reads, so the log thread stands still while one ring overflows. */
static void test_overflow_is_counted_and_reported(void **state)
{
        uint64_t n_lost_before = sg_log_n_lost();
        struct speaker speaker = {.id = 0, .n_lines = MANY_LINES};
        pthread_t reader;
        struct found f = {0};
        struct sg_buf b;
        int fd;

        sg_buf_init(&b, CONTENTS_BYTES);
        assert_int_equal(mkfifo(file_path, 0600), 0);
        fd = open(file_path, O_RDONLY | O_NONBLOCK);
        assert_true(fd >= 0);
        start(SG_LOG_TO_FILE);
        (void)speak(&speaker);
        assert_true(sg_log_n_lost() > n_lost_before);
        assert_int_equal(pthread_create(&reader, NULL, read_to_end, &b), 0);
        sg_log_stop();
        pthread_join(reader, NULL);
        close(fd);
        look_at_all(&f, sg_buf_view(&b), true);
        assert_int_equal(f.n_lost, sg_log_n_lost() - n_lost_before);
        assert_int_equal(f.n_lines + f.n_lost, MANY_LINES);
        assert_true(f.n_lines > SG_LOG_RING_BYTES / 200); /* what fits was kept */
        sg_buf_done(&b);
}

static void test_stop_does_not_wait_for_a_reader_that_is_stuck(void **state)
{
        uint64_t n_lost_before = sg_log_n_lost(), before_usec;
        struct speaker speaker = {.id = 0, .n_lines = MANY_LINES};
        int fd;

        assert_int_equal(mkfifo(file_path, 0600), 0);
        fd = open(file_path, O_RDONLY | O_NONBLOCK);
        start(SG_LOG_TO_FILE);
        (void)speak(&speaker);
        before_usec = sg_clock_usec();
        sg_log_stop();
        assert_true(sg_clock_usec() - before_usec < 30 * SG_USEC_PER_SEC);
        assert_true(sg_log_n_lost() - n_lost_before > MANY_LINES / 2);
        close(fd);
}

static void allow(struct pace *pace, unsigned percent)
{
        atomic_store(&pace->n_allowed, THREADS * SAFE_LINES * percent / 100);
}

static void wait_until_said(struct pace *pace)
{
        while (atomic_load(&pace->n_said) < atomic_load(&pace->n_allowed))
                sched_yield();
}

/* Lines of threads that know nothing of it go either to the file or to stderr, while the log starts and stops. */
static void test_starting_and_stopping_under_load_loses_nothing(void **state)
{
        uint64_t n_lost_before = sg_log_n_lost();
        struct pace pace = {0};
        struct speaker speakers[THREADS];
        struct found in_file = {0}, on_stderr = {0};

        let_speak(speakers, SAFE_LINES, &pace);
        allow(&pace, 5);
        wait_until_said(&pace);
        for (unsigned percent = 10; percent < 100; percent += 10) {
                start(SG_LOG_TO_FILE);
                allow(&pace, percent);
                wait_until_said(&pace);
                allow(&pace, percent + 5); /* said while the log stops, before or after it */
                sg_log_stop();
        }
        allow(&pace, 200);
        wait_for_all(speakers);
        look_at_file(&in_file, file_path, true);
        look_at_file(&on_stderr, stderr_path, false);
        assert_int_equal(in_file.n_lines + on_stderr.n_lines, THREADS * SAFE_LINES);
        assert_true(in_file.n_lines > 0 && on_stderr.n_lines > 0);
        assert_int_equal(sg_log_n_lost(), n_lost_before);
}

static size_t used_bytes(void)
{
        struct mallinfo2 m = mallinfo2();

        return m.uordblks + m.hblkhd;
}

static void test_rings_of_ended_threads_are_given_back(void **state)
{
        struct found f = {0};
        size_t before;

        start(SG_LOG_TO_FILE);
        before = used_bytes();
        for (unsigned i = 0; i < 100; i++) {
                struct speaker s = {.id = 0, .n_lines = 1};

                assert_int_equal(pthread_create(&s.thread, NULL, speak, &s), 0);
                pthread_join(s.thread, NULL);
        }
        sg_log_stop();
        assert_true(used_bytes() < before + 4 * SG_LOG_RING_BYTES);
        {
                struct sg_buf b;
                struct sg_str all, line;

                read_contents(&b, file_path);
                for (all = sg_buf_view(&b); sg_str_cut(&all, '\n', &line); f.n_lines++)
                        assert_true(sg_str_find(line, SG_STR("line 0 0")) < line.n);
                sg_buf_done(&b);
        }
        assert_int_equal(f.n_lines, 100);
}

static void wait_for_creation(int inotify)
{
        char event[sizeof(struct inotify_event) + 256];

        assert_true(read(inotify, event, sizeof(event)) > 0);
}

static void test_reopen_goes_on_in_a_new_file(void **state)
{
        struct sg_buf old, new;
        char old_path[310];
        int inotify;
        size_t n_first;

        snprintf(old_path, sizeof(old_path), "%s.1", file_path);
        start(SG_LOG_TO_FILE);
        sg_info("first");
        assert_int_equal(rename(file_path, old_path), 0);
        inotify = inotify_init1(IN_CLOEXEC);
        assert_true(inotify_add_watch(inotify, dir, IN_CREATE) >= 0);
        sg_log_reopen();
        wait_for_creation(inotify);
        close(inotify);
        sg_info("second");
        sg_log_stop();
        read_contents(&old, old_path);
        read_contents(&new, file_path);
        assert_true(sg_str_find(sg_buf_view(&new), SG_STR("\"second\"")) < sg_buf_length(&new));
        assert_int_equal(sg_str_find(sg_buf_view(&old), SG_STR("\"second\"")), sg_buf_length(&old));
        n_first = (sg_str_find(sg_buf_view(&old), SG_STR("\"first\"")) < sg_buf_length(&old)) +
                  (sg_str_find(sg_buf_view(&new), SG_STR("\"first\"")) < sg_buf_length(&new));
        assert_int_equal(n_first, 1);
        sg_buf_done(&old);
        sg_buf_done(&new);
}

static void test_hostile_values_make_one_line(void **state)
{
        const struct sg_log_field fields[] = {
                {"SCRIBE_MODEL", SG_STR("x\"}\n{\"time\":\"forged\",\"level\":\"err\"}\r\n\x1b]0;t\x07\xff\xc2\x9b")},
                {"SCRIBE_STATUS", SG_STR("404")},
        };
        struct sg_buf b;
        struct sg_str all, line;
        int n = 0;

        start(SG_LOG_TO_FILE);
        sg_log_line(SG_LOG_NOTICE, NULL, fields, 2, "unknown model");
        sg_log_stop();
        start(SG_LOG_TO_STDERR);
        sg_log_line(SG_LOG_NOTICE, NULL, fields, 2, "unknown model\n%s", "second");
        sg_log_stop();
        for (int i = 0; i < 2; i++) {
                read_contents(&b, i ? stderr_path : file_path);
                for (all = sg_buf_view(&b); sg_str_cut(&all, '\n', &line); n++) {
                        assert_true(sg_str_is_utf8(line));
                        for (size_t at = 0; at < line.n; at++)
                                assert_true((unsigned char)line.p[at] >= 0x20);
                        assert_true(
                                sg_str_ends(line, i ? SG_STR(" status=404") : SG_STR("\"SCRIBE_STATUS\":\"404\"}")));
                }
                sg_buf_done(&b);
        }
        assert_int_equal(n, 2);
}

static void test_an_error_is_logged_with_its_event_place_and_number(void **state)
{
        struct sg_error err;
        struct sg_buf b;

        (void)sg_error_set(&err, -EADDRINUSE, "127.0.0.1:80", "address already in use");
        sg_error_notable(&err, "0123456789abcdef0123456789abcdef");
        start(SG_LOG_TO_FILE);
        sg_log_error(SG_LOG_ERR, &err);
        sg_log_stop();
        read_contents(&b, file_path);
        assert_true(sg_str_ends(sg_buf_view(&b),
                                SG_STR("\"level\":\"err\",\"message\":\"127.0.0.1:80: address already in use\","
                                       "\"message_id\":\"0123456789abcdef0123456789abcdef\",\"ERRNO\":\"98\","
                                       "\"SCRIBE_WHERE\":\"127.0.0.1:80\"}\n")));
        sg_buf_done(&b);
}

static void test_long_values_are_cut_and_short_ones_kept(void **state)
{
        static char big[10000];
        const struct sg_log_field fields[] = {
                {"SCRIBE_LONG", sg_str_make(big, sizeof(big))},
                {"SCRIBE_STATUS", SG_STR("200")},
        };
        struct sg_buf b;
        struct sg_str s;

        for (size_t i = 0; i + 1 < sizeof(big); i += 2)
                memcpy(big + i, "\xc3\xa4", 2); /* cut between characters, not inside one */
        for (int is_ready = 0; is_ready < 2; is_ready++) {
                (void)truncate(file_path, 0);
                start(SG_LOG_TO_FILE);
                if (is_ready)
                        sg_log_text(SG_LOG_INFO, NULL, fields, 2, sg_str_make(big, sizeof(big)));
                else
                        sg_log_line(SG_LOG_INFO, NULL, fields, 2, "x%.*s", (int)sizeof(big), big);
                sg_log_stop();
                read_contents(&b, file_path);
                s = sg_buf_view(&b);
                assert_true(s.n < SG_LOG_LINE_BYTES_MAX + 200);
                assert_true(s.n > SG_LOG_LINE_BYTES_MAX - 200);
                assert_true(sg_str_ends(s, SG_STR("\",\"SCRIBE_STATUS\":\"200\"}\n")));
                assert_int_equal(sg_str_find(s, SG_STR("\xef\xbf\xbd")), s.n);
                sg_buf_done(&b);
        }
}

static void test_without_the_thread_lines_go_to_stderr(void **state)
{
        struct sg_buf b;

        sg_warning("before %d", 1);
        start(SG_LOG_TO_NONE);
        sg_warning("mute");
        sg_log_stop();
        sg_debug("below the level");
        sg_err("after");
        read_contents(&b, stderr_path);
        assert_str(sg_buf_view(&b), "scribe-gateway: before 1\nscribe-gateway: after\n");
        sg_buf_done(&b);
}

static void test_level_is_asked_first(void **state)
{
        assert_int_equal(sg_log_get_level(), SG_LOG_INFO);
        assert_false(sg_log_wants(SG_LOG_DEBUG));
        sg_log_set_level(SG_LOG_DEBUG);
        assert_true(sg_log_wants(SG_LOG_DEBUG));
        sg_log_set_level(SG_LOG_ERR);
        assert_false(sg_log_wants(SG_LOG_WARNING));
        sg_log_set_level(SG_LOG_INFO);
}

static void test_stderr_of_the_journal_has_levels(void **state)
{
        struct sg_buf b;
        struct stat st;
        char value[64];
        enum sg_log_sink sink;

        unsetenv("JOURNAL_STREAM");
        assert_int_equal(sg_log_sink_auto(), SG_LOG_TO_STDERR);
        setenv("JOURNAL_STREAM", "1:1", 1);
        assert_int_equal(sg_log_sink_auto(), SG_LOG_TO_STDERR);
        assert_int_equal(fstat(STDERR_FILENO, &st), 0);
        snprintf(value, sizeof(value), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
        setenv("JOURNAL_STREAM", value, 1);
        sink = sg_log_sink_auto();
        assert_true(sink == SG_LOG_TO_JOURNAL || sink == SG_LOG_TO_STDERR); /* as it was built */
        start(SG_LOG_TO_STDERR);
        sg_notice("hello");
        sg_log_stop();
        unsetenv("JOURNAL_STREAM");
        read_contents(&b, stderr_path);
        assert_str(sg_buf_view(&b), "<5>scribe-gateway: hello\n");
        sg_buf_done(&b);
}

static void test_a_file_that_cannot_be_opened_is_told(void **state)
{
        struct sg_error err;
        char path[310];

        snprintf(path, sizeof(path), "%s/x", file_path);
        assert_int_equal(sg_log_start(SG_LOG_TO_FILE, path, &err), -ENOENT);
        assert_string_equal(err.where, path);
        start(SG_LOG_TO_FILE); /* and nothing is left behind that would hinder the next try */
        sg_log_stop();
}

static void test_disk_full_is_counted(void **state)
{
        uint64_t n_lost_before = sg_log_n_lost();
        struct sg_error err;

        if (access("/dev/full", W_OK) < 0)
                TEST_SKIP("there is no /dev/full");
        assert_int_equal(sg_log_start(SG_LOG_TO_FILE, "/dev/full", &err), 0);
        for (int i = 0; i < 10; i++)
                sg_info("line");
        sg_log_stop();
        assert_int_equal(sg_log_n_lost() - n_lost_before, 10);
}

#define test_in_dir(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                test_in_dir(test_threads_lose_double_and_tear_nothing),
                test_in_dir(test_a_flood_is_written_or_counted),
                test_in_dir(test_overflow_is_counted_and_reported),
                test_in_dir(test_stop_does_not_wait_for_a_reader_that_is_stuck),
                test_in_dir(test_starting_and_stopping_under_load_loses_nothing),
                test_in_dir(test_rings_of_ended_threads_are_given_back),
                test_in_dir(test_reopen_goes_on_in_a_new_file),
                test_in_dir(test_hostile_values_make_one_line),
                test_in_dir(test_an_error_is_logged_with_its_event_place_and_number),
                test_in_dir(test_long_values_are_cut_and_short_ones_kept),
                test_in_dir(test_without_the_thread_lines_go_to_stderr),
                test_in_dir(test_level_is_asked_first),
                test_in_dir(test_stderr_of_the_journal_has_levels),
                test_in_dir(test_a_file_that_cannot_be_opened_is_told),
                test_in_dir(test_disk_full_is_counted),
        };

        return cmocka_run_group_tests_name("base log", tests, NULL, NULL);
}
