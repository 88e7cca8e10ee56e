#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/secret.h"

#define ROOM_MIN 256u

void sg_buf_init(struct sg_buf *b, size_t max)
{
        *b = (struct sg_buf){.max = max};
}

void sg_buf_done(struct sg_buf *b)
{
        sg_buf_release(b);
}

void sg_buf_release(struct sg_buf *b)
{
        if (b->secret && b->data)
                sg_wipe(b->data, b->room);
        free(b->data);
        b->data = NULL;
        b->start = b->end = b->room = 0;
}

void sg_buf_clear(struct sg_buf *b)
{
        if (b->secret && b->data)
                sg_wipe(b->data, b->room);
        b->start = b->end = 0;
}

void sg_buf_take(struct sg_buf *b, size_t n)
{
        SG_ASSERT(n <= sg_buf_length(b));
        b->start += n;
        if (b->start == b->end)
                b->start = b->end = 0;
}

static void move_to_front(struct sg_buf *b)
{
        size_t n = sg_buf_length(b);

        memmove(b->data, b->data + b->start, n);
        if (b->secret)
                sg_wipe(b->data + n, b->end - n);
        b->start = 0;
        b->end = n;
}

static int grow(struct sg_buf *b, size_t room)
{
        size_t n = sg_buf_length(b);
        char *data;

        /* realloc() may leave a copy behind, and would carry along what was taken. */
        if (b->start == 0 && !b->secret) {
                data = realloc(b->data, room);
                if (!data)
                        return -ENOMEM;
        } else {
                data = malloc(room);
                if (!data)
                        return -ENOMEM;
                if (n)
                        memcpy(data, b->data + b->start, n);
                if (b->secret && b->data)
                        sg_wipe(b->data, b->room);
                free(b->data);
        }
        b->data = data;
        b->room = room;
        b->start = 0;
        b->end = n;
        return 0;
}

/* n bytes at the back, whatever the maximum: callers have checked it. One byte above it is for printf's NUL. */
static int make_room(struct sg_buf *b, size_t n)
{
        size_t length = sg_buf_length(b);
        size_t top = b->max < SIZE_MAX ? b->max + 1 : b->max;
        size_t room;

        /* Moving costs `length`; it is worth it when that much was taken since, or when growing is not possible. */
        if (b->room - length >= n && (b->start >= length / 2 || b->room >= top)) {
                move_to_front(b);
                return 0;
        }
        room = b->room <= SIZE_MAX / 2 ? SG_MAX(b->room * 2, ROOM_MIN) : SIZE_MAX;
        room = SG_MIN(SG_MAX(room, length + n), top);
        return grow(b, room);
}

int sg_buf_reserve(struct sg_buf *b, size_t n, char **ret)
{
        int r;

        if (n > b->max - sg_buf_length(b))
                return SG_BUF_E_FULL;
        if (n > b->room - b->end) {
                r = make_room(b, n);
                if (r)
                        return r;
        }
        *ret = b->data ? b->data + b->end : NULL;
        return 0;
}

void sg_buf_added(struct sg_buf *b, size_t n)
{
        SG_ASSERT(n <= b->room - b->end && n <= b->max - sg_buf_length(b));
        b->end += n;
}

int sg_buf_add_grow_(struct sg_buf *b, struct sg_str s)
{
        char *at;
        int r;

        r = sg_buf_reserve(b, s.n, &at);
        if (r)
                return r;
        memcpy(at, s.p, s.n);
        b->end += s.n;
        return 0;
}

int sg_buf_add_u64(struct sg_buf *b, uint64_t v)
{
        char digits[SG_U64_DIGITS_MAX];

        return sg_buf_add(b, sg_str_u64(digits, v));
}

int sg_buf_vprintf(struct sg_buf *b, const char *format, va_list args)
{
        size_t spare = b->room - b->end;
        va_list again;
        size_t n;
        int r;

        va_copy(again, args);
        r = vsnprintf(spare ? b->data + b->end : NULL, spare, format, args);
        if (r < 0) {
                r = errno ? -errno : -EINVAL;
                goto out;
        }
        n = (size_t)r;
        if (n > b->max - sg_buf_length(b)) {
                r = SG_BUF_E_FULL;
                goto out;
        }
        r = 0;
        if (n >= spare) {
                r = make_room(b, n + 1);
                if (r)
                        goto out;
                (void)vsnprintf(b->data + b->end, n + 1, format, again);
        }
        b->end += n;
out:
        va_end(again);
        return r;
}

int sg_buf_printf(struct sg_buf *b, const char *format, ...)
{
        va_list args;
        int r;

        va_start(args, format);
        r = sg_buf_vprintf(b, format, args);
        va_end(args);
        return r;
}

/* What may stand in a JSON string as it is. DEL and C1 may, but a terminal would obey them (0x9b begins a sequence). */
static size_t plain_bytes(struct sg_str s)
{
        size_t at = 0;

        for (;;) {
                size_t n;

                at += sg_str_plain(sg_str_skip(s, at));
                if (at == s.n || (unsigned char)s.p[at] < 0x80)
                        return at;
                n = sg_str_utf8_first(sg_str_skip(s, at));
                if (n == 0 || ((unsigned char)s.p[at] == 0xc2 && (unsigned char)s.p[at + 1] < 0xa0))
                        return at;
                at += n;
        }
}

/* Adds the escape for the first character of s, which is not plain; *ret_n is how many bytes of s it stands for. */
static int add_json_escape(struct sg_buf *b, struct sg_str s, size_t *ret_n)
{
        static const char letters[] = {
                ['"'] = '"', ['\\'] = '\\', ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'};
        unsigned char c = (unsigned char)s.p[0];

        *ret_n = 1;
        if (c < sizeof(letters) && letters[c])
                return sg_buf_add(b, sg_str_make((const char[]){'\\', letters[c]}, 2));
        if (c < 0x80)
                return sg_buf_printf(b, "\\u%04x", c);
        *ret_n = sg_str_utf8_first(s);
        if (*ret_n == 2)
                return sg_buf_printf(b, "\\u%04x", (unsigned char)s.p[1]);
        *ret_n = 1;
        return sg_buf_add(b, SG_STR("\xef\xbf\xbd"));
}

static int add_json_content(struct sg_buf *b, struct sg_str s)
{
        while (s.n) {
                size_t n = plain_bytes(s);
                int r;

                if (n)
                        r = sg_buf_add(b, sg_str_head(s, n));
                else
                        r = add_json_escape(b, s, &n);
                if (r)
                        return r;
                s = sg_str_skip(s, n);
        }
        return 0;
}

int sg_buf_add_json_string(struct sg_buf *b, struct sg_str s)
{
        size_t before = sg_buf_length(b), n = plain_bytes(s);
        char *at;
        int r;

        if (n == s.n) { /* nearly always */
                r = sg_buf_reserve(b, n + 2, &at);
                if (r)
                        return r;
                at[0] = '"';
                if (n)
                        memcpy(at + 1, s.p, n);
                at[n + 1] = '"';
                b->end += n + 2;
                return 0;
        }
        r = sg_buf_add(b, SG_STR("\""));
        if (!r)
                r = add_json_content(b, s);
        if (!r)
                r = sg_buf_add(b, SG_STR("\""));
        if (r)
                b->end = b->start + before;
        return r;
}

static int add_all(struct sg_buf *b, int fd, size_t hint_bytes)
{
        for (;;) {
                size_t left = b->max - sg_buf_length(b);
                char *at, over;
                ssize_t n;
                int r;

                if (left == 0) {
                        n = read(fd, &over, 1);
                } else {
                        size_t want = SG_MIN(SG_MAX(hint_bytes, (size_t)4096), left);

                        r = sg_buf_reserve(b, want, &at);
                        if (r)
                                return r;
                        n = read(fd, at, want);
                }
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        return 0;
                if (left == 0)
                        return SG_BUF_E_FULL;
                sg_buf_added(b, (size_t)n);
                hint_bytes -= SG_MIN(hint_bytes, (size_t)n);
        }
}

int sg_buf_add_file(struct sg_buf *b, const char *path)
{
        size_t before = sg_buf_length(b);
        struct stat st;
        int fd, r;

        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                r = -errno;
        else /* one byte more than the file has, so that its end is seen without growing */
                r = add_all(b, fd, S_ISREG(st.st_mode) && st.st_size > 0 ? (size_t)st.st_size + 1 : 0);
        close(fd);
        if (r)
                b->end = b->start + before;
        return r;
}
