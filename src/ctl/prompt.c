#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <termios.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/secret.h"
#include "ctl/ctl.h"

/* ---- a terminal shows nothing while it is typed, and is given back whatever happens */

struct terminal {
        struct termios before;
        struct sigaction actions[5];
        sigset_t mask; /* the signals below are let in only while we wait, so that none falls between test and wait */
};

static const int stops[5] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};
static volatile sig_atomic_t caught;

static void on_signal(int number)
{
        caught = number;
}

static int hide(int fd, struct terminal *t)
{
        struct sigaction action = {.sa_handler = on_signal};
        struct termios quiet = t->before;
        sigset_t set;

        caught = 0;
        (void)sigemptyset(&set);
        for (size_t i = 0; i < SG_N_ELEMENTS(stops); i++) {
                (void)sigaddset(&set, stops[i]);
                (void)sigaction(stops[i], &action, &t->actions[i]);
        }
        (void)sigprocmask(SIG_BLOCK, &set, &t->mask);
        quiet.c_lflag &= ~(tcflag_t)ECHO;
        return tcsetattr(fd, TCSAFLUSH, &quiet) ? -errno : 0;
}

static void show(int fd, const struct terminal *t)
{
        (void)tcsetattr(fd, TCSAFLUSH, &t->before);
        fputc('\n', stderr);
        for (size_t i = 0; i < SG_N_ELEMENTS(stops); i++)
                (void)sigaction(stops[i], &t->actions[i], NULL);
        (void)sigprocmask(SIG_SETMASK, &t->mask, NULL);
        if (caught)
                (void)raise(caught);
}

/* Until there is something to read, or -EINTR for one of the signals. */
static int await(int fd, const struct terminal *t)
{
        struct pollfd p = {.fd = fd, .events = POLLIN};

        for (;;) {
                if (ppoll(&p, 1, NULL, &t->mask) > 0)
                        return 0;
                if (errno != EINTR || caught)
                        return -errno;
        }
}

/* ---- reading */

/* To the end, or of a terminal (not NULL) to the end of the line. */
static int read_bytes(int fd, const struct terminal *t, struct sg_buf *b)
{
        for (;;) {
                struct sg_str have = sg_buf_view(b);
                char *at;
                ssize_t n;
                int r = 0;

                if (t && have.n && have.p[have.n - 1] == '\n')
                        return 0;
                if (t)
                        r = await(fd, t);
                if (!r)
                        r = sg_buf_reserve(b, 1024, &at);
                if (r)
                        return r > 0 ? -E2BIG : r;
                n = read(fd, at, 1024);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n ? -errno : 0;
                sg_buf_added(b, (size_t)n);
        }
}

static int read_input(const char *question, struct sg_buf *b)
{
        struct terminal t;
        int r;

        if (tcgetattr(STDIN_FILENO, &t.before))
                return read_bytes(STDIN_FILENO, NULL, b);
        fprintf(stderr, "%s (it is not shown): ", question);
        r = hide(STDIN_FILENO, &t);
        if (!r)
                r = read_bytes(STDIN_FILENO, &t, b);
        show(STDIN_FILENO, &t);
        return r;
}

static int from_input(const char *question, struct sg_secret **ret)
{
        struct sg_str bytes;
        struct sg_buf b;
        int r;

        sg_buf_init(&b, SG_SECRET_BYTES_MAX + 1024);
        b.secret = true;
        r = read_input(question, &b);
        bytes = sg_buf_view(&b);
        while (bytes.n && (bytes.p[bytes.n - 1] == '\n' || bytes.p[bytes.n - 1] == '\r'))
                bytes.n--;
        if (!r)
                r = sg_secret_new(ret, bytes);
        sg_buf_done(&b);
        return r;
}

bool sg_ctl_is_pem(const struct sg_secret *secret)
{
        return sg_str_starts(sg_secret_bytes(secret), SG_STR("-----BEGIN "));
}

/* The first byte that cannot be of the secret, or the length. A private key or certificate has lines, and blanks in its
 * headings; a key of a provider has neither. */
static size_t first_odd(const struct sg_secret *secret)
{
        struct sg_str bytes = sg_secret_bytes(secret);
        size_t i = 0;

        if (!sg_ctl_is_pem(secret))
                return sg_secret_first_odd(secret);
        while (i < bytes.n && ((bytes.p[i] >= ' ' && bytes.p[i] < 0x7f) || bytes.p[i] == '\n' || bytes.p[i] == '\r'))
                i++;
        return i;
}

int sg_ctl_read_secret(const char *path, const char *question, struct sg_secret **ret, struct sg_error *err)
{
        SG_AUTO(sg_secret_unref) struct sg_secret *secret = NULL;
        const char *where = path ? path : "standard input";
        size_t n, at;
        int r;

        r = path ? sg_secret_new_from_file(&secret, path) : from_input(question, &secret);
        if (r == -E2BIG)
                return sg_error_set(err, r, where, "more than %u bytes are no key", SG_SECRET_BYTES_MAX);
        if (r)
                return sg_error_set(err, r, where, "the secret cannot be read: %s", strerror(-r));
        n = sg_secret_bytes(secret).n;
        at = first_odd(secret);
        if (n == 0)
                return sg_error_set(err, -EINVAL, where, "there is no secret: it is empty");
        if (at < n)
                return sg_error_set(err, -EINVAL, where,
                                    "a blank, a line end or another byte that no key has (byte %zu of %zu); give the "
                                    "key alone",
                                    at + 1, n);
        *ret = SG_GIVE(secret);
        return 0;
}
