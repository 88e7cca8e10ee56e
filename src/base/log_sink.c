#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log_internal.h"

#define BATCH_BYTES    (32u * 1024u)  /* written when this much has come together */
#define BATCH_MAX      (128u * 1024u) /* a line of nothing but escapes is six times what the queue lets through */
#define POLL_MSEC      100
#define JOURNAL_SOCKET "/run/systemd/journal/socket"

static struct {
        enum sg_log_sink kind;
        int fd;
        char *path;
        bool is_regular; /* writes never wait for a reader */
        bool is_torn;    /* what was written last ends inside a line */
        struct sg_log_text_style style;
        struct sg_buf batch;
        uint64_t n_batch; /* lines in it */
        bool has_failed;  /* since the last flush */
} sink = {.kind = SG_LOG_TO_NONE, .fd = -1};

static _Atomic uint64_t hurry_until_usec;

void sg_log_sink_hurry(uint64_t until_usec)
{
        atomic_store(&hurry_until_usec, until_usec);
}

/* sd-daemon(3), systemd.exec(5): $JOURNAL_STREAM is device:inode of the stream that a service was started with. */
static bool stderr_is_journal(void)
{
        const char *env = getenv("JOURNAL_STREAM");
        struct sg_str inode = sg_str_from(env), device;
        uint64_t dev, ino;
        struct stat st;

        if (!env || !sg_str_cut(&inode, ':', &device) || sg_str_to_u64(device, &dev) || sg_str_to_u64(inode, &ino))
                return false;
        return fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

enum sg_log_sink sg_log_sink_auto(void)
{
        return sg_log_journal_is_built() && stderr_is_journal() ? SG_LOG_TO_JOURNAL : SG_LOG_TO_STDERR;
}

static struct sg_log_text_style style_of_stderr(void)
{
        bool is_journal = stderr_is_journal();

        return (struct sg_log_text_style){.has_level = is_journal, .has_clock = !is_journal && isatty(STDERR_FILENO)};
}

static int open_file(const char *path)
{
        return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
}

static void use_fd(int fd)
{
        struct stat st;

        sink.fd = fd;
        sink.is_torn = false;
        sink.is_regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

int sg_log_sink_open(enum sg_log_sink kind, const char *path, struct sg_error *err)
{
        SG_ASSERT(sink.kind == SG_LOG_TO_NONE && sink.fd < 0);
        sg_log_sink_hurry(0);
        if (kind == SG_LOG_TO_JOURNAL) {
                if (!sg_log_journal_is_built())
                        return sg_error_set(err, -EOPNOTSUPP, NULL,
                                            "built without libsystemd, cannot log to the journal");
                if (access(JOURNAL_SOCKET, W_OK) < 0)
                        return sg_error_set(err, -errno, JOURNAL_SOCKET, "cannot log to the journal: %m");
        } else if (kind == SG_LOG_TO_STDERR) {
                use_fd(STDERR_FILENO);
                sink.style = style_of_stderr();
        } else if (kind == SG_LOG_TO_FILE) {
                int fd = open_file(path);

                if (fd < 0)
                        return sg_error_set(err, -errno, path, "cannot open the log file: %m");
                sink.path = sg_str_dup(sg_str_from(path));
                if (!sink.path) {
                        close(fd);
                        return sg_error_set(err, -ENOMEM, path, "cannot open the log file: out of memory");
                }
                use_fd(fd);
        }
        sg_buf_init(&sink.batch, BATCH_MAX);
        sink.kind = kind;
        return 0;
}

void sg_log_sink_close(void)
{
        (void)sg_log_sink_flush();
        if (sink.kind == SG_LOG_TO_FILE)
                close(sink.fd);
        sg_buf_done(&sink.batch);
        free(sink.path);
        sink.path = NULL;
        sink.fd = -1;
        sink.kind = SG_LOG_TO_NONE;
}

static void report(enum sg_log_level level, const char *text, struct sg_str value)
{
        struct sg_log_record r = {
                .level = level,
                .is_report = true,
                .wall_usec = sg_clock_wall_usec(),
                .message = sg_str_from(text),
                .n_fields = 1,
                .fields = {{"SCRIBE_ERROR", value}},
        };

        sg_log_sink_write(&r);
}

void sg_log_sink_reopen(void)
{
        int fd;

        if (sink.kind != SG_LOG_TO_FILE)
                return;
        (void)sg_log_sink_flush();
        fd = open_file(sink.path);
        if (fd < 0) {
                report(SG_LOG_ERR, "cannot open the log file again, the old one is kept",
                       sg_str_from(strerrordesc_np(errno)));
                return;
        }
        close(sink.fd);
        use_fd(fd);
}

/* Waits until fd takes bytes; false when it does not and the log is being stopped. */
static bool wait_writable(int fd)
{
        for (;;) {
                struct pollfd p = {.fd = fd, .events = POLLOUT};
                uint64_t until_usec;

                if (poll(&p, 1, POLL_MSEC) > 0)
                        return true; /* an error, too: write() will say which */
                until_usec = atomic_load(&hurry_until_usec);
                if (until_usec && sg_clock_usec() >= until_usec)
                        return false;
        }
}

/* Pipes take up to PIPE_BUF bytes whole and, once writable, without blocking: whole lines, as many as fit into that.
 * Two processes on one stderr then do not cut into each other's lines. */
static size_t piece(struct sg_str s, bool is_regular)
{
        size_t n = SG_MIN(s.n, (size_t)PIPE_BUF);
        const char *end;

        if (is_regular || n == s.n)
                return s.n;
        end = memrchr(s.p, '\n', n);
        return end ? (size_t)(end - s.p) + 1 : n;
}

/* Returns how many bytes were written: all, unless fd is broken. */
static size_t write_pieces(int fd, struct sg_str s, bool is_regular)
{
        size_t n_before = s.n;

        while (s.n) {
                ssize_t n;

                if (!wait_writable(fd))
                        break;
                n = write(fd, s.p, piece(s, is_regular));
                if (n < 0 && (errno == EINTR || errno == EAGAIN))
                        continue;
                if (n <= 0)
                        break;
                s = sg_str_skip(s, (size_t)n);
        }
        return n_before - s.n;
}

static uint64_t count_lines(struct sg_str s)
{
        uint64_t n = 0;
        struct sg_str line;

        while (sg_str_cut(&s, '\n', &line))
                n++;
        return n;
}

static void flush_batch(void)
{
        struct sg_str all = sg_buf_view(&sink.batch);
        size_t n;

        if (all.n == 0)
                return;
        if (sink.is_torn && write_pieces(sink.fd, SG_STR("\n"), sink.is_regular) == 1)
                sink.is_torn = false;
        n = sink.is_torn ? 0 : write_pieces(sink.fd, all, sink.is_regular);
        if (n < all.n) {
                /* The line that was cut is lost, too. */
                sg_log_add_lost(SG_MIN(sink.n_batch, count_lines(sg_str_skip(all, n))));
                sink.has_failed = true;
                if (n > 0)
                        sink.is_torn = all.p[n - 1] != '\n';
        }
        sg_buf_clear(&sink.batch);
        sink.n_batch = 0;
}

bool sg_log_sink_flush(void)
{
        bool ok;

        flush_batch();
        ok = !sink.has_failed;
        sink.has_failed = false;
        return ok;
}

void sg_log_sink_write(const struct sg_log_record *r)
{
        size_t before = sg_buf_length(&sink.batch);
        int e = 0;

        if (sink.kind == SG_LOG_TO_JOURNAL)
                e = sg_log_journal_write(r);
        else if (sink.kind == SG_LOG_TO_FILE)
                e = sg_log_format_json(&sink.batch, r);
        else if (sink.kind == SG_LOG_TO_STDERR)
                e = sg_log_format_text(&sink.batch, r, sink.style);
        if (e) {
                sink.batch.end = sink.batch.start + before; /* the half that is there */
                sink.has_failed = true;
                if (!r->is_report)
                        sg_log_add_lost(1);
                return;
        }
        sink.n_batch += !r->is_report;
        if (sg_buf_length(&sink.batch) >= BATCH_BYTES)
                flush_batch();
}

void sg_log_write_direct(const struct sg_log_record *r)
{
        struct sg_buf b;

        /* As a datagram of its own, or the line would lose its fields. */
        if (sg_log_sink_auto() == SG_LOG_TO_JOURNAL && sg_log_journal_write(r) == 0)
                return;
        sg_buf_init(&b, BATCH_MAX);
        if (sg_log_format_text(&b, r, style_of_stderr()) ||
            write(STDERR_FILENO, b.data + b.start, sg_buf_length(&b)) != (ssize_t)sg_buf_length(&b))
                sg_log_add_lost(1);
        sg_buf_done(&b);
}
