/*
 * The file is the whole truth up to its last good line: a line that is torn at the very end is what a crash leaves, and
 * what it said was not yet acknowledged to anybody. A bad line elsewhere is damage, and a line after it might have been
 * a revocation: such a file is not used at all.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/log.h"
#include "feed/picture.h"
#include "varlink/strict.h"

#define CRC_CHARS      8u
#define FORMAT         1u
#define WRITE_BYTES    (1024u * 1024u)
#define APPENDED_MIN   1024u /* lines that are appended before a small table is written anew */
#define LINE_DEPTH_MAX 8

struct sg_picture {
        char *path, *new_path, *broken_path;
        int fd;      /* for appending; -1: the file must be written anew first */
        off_t bytes; /* of the file up to the last commit */
        size_t n_appended, n_collected;
        struct sg_buf collected;
};

static char *with_suffix(const char *path, const char *suffix)
{
        char *out;

        return asprintf(&out, "%s%s", path, suffix) < 0 ? NULL : out;
}

int sg_picture_new(struct sg_picture **ret, const char *path)
{
        SG_AUTO(sg_picture_free) struct sg_picture *p = NULL;

        p = calloc(1, sizeof(*p));
        if (!p)
                return -ENOMEM;
        p->fd = -1;
        sg_buf_init(&p->collected, SG_PICTURE_BYTES_MAX);
        p->path = strdup(path);
        p->new_path = with_suffix(path, ".new");
        p->broken_path = with_suffix(path, ".broken");
        if (!p->path || !p->new_path || !p->broken_path)
                return -ENOMEM;
        *ret = SG_GIVE(p);
        return 0;
}

static void close_file(struct sg_picture *p)
{
        if (p->fd >= 0)
                close(p->fd);
        p->fd = -1;
}

struct sg_picture *sg_picture_free(struct sg_picture *p)
{
        if (!p)
                return NULL;
        close_file(p);
        sg_buf_done(&p->collected);
        free(p->path);
        free(p->new_path);
        free(p->broken_path);
        free(p);
        return NULL;
}

/* ---- reading */

/* The JSON behind a right checksum, or false. */
static bool check_line(struct sg_str line, struct sg_str *ret_json)
{
        uint64_t crc;

        if (line.n < CRC_CHARS + 1 || line.p[CRC_CHARS] != ' ' || sg_str_to_hex64(sg_str_head(line, CRC_CHARS), &crc))
                return false;
        *ret_json = sg_str_skip(line, CRC_CHARS + 1);
        return sg_crc32c(0, ret_json->p, ret_json->n) == crc;
}

/* The good lines at the start: *ret_bytes. False when what follows is more than one torn line. */
static bool find_end(struct sg_str text, size_t *ret_bytes)
{
        struct sg_str rest = text, line, json;

        while (rest.n) {
                struct sg_str before = rest;

                if (!sg_str_cut(&rest, '\n', &line) || !check_line(line, &json)) {
                        *ret_bytes = text.n - before.n;
                        return sg_str_find_byte(before, '\n') + 1 >= before.n;
                }
        }
        *ret_bytes = text.n;
        return true;
}

static struct json_object *parse_line(struct sg_str json)
{
        struct json_object *o = NULL;

        return sg_varlink_read_object(&o, json, LINE_DEPTH_MAX) ? NULL : o;
}

/* Line 1 says the format; each line after it is a version or a change. NULL, or what is wrong with it. */
static const char *apply_line(struct sg_keytable *t, struct json_object *o, size_t number, uint64_t *version)
{
        struct sg_feed_change change;
        uint64_t format;

        if (!json_object_is_type(o, json_type_object))
                return "not a JSON object";
        if (number == 1 && (!sg_feed_read_u64(o, "format", &format) || format != FORMAT))
                return "not a picture of this format";
        if (json_object_object_get_ex(o, "version", NULL))
                return sg_feed_read_u64(o, "version", version) ? NULL : "not a version";
        if (!sg_feed_change_read(&change, o))
                return "not a key";
        return sg_keytable_apply(t, &change.key) ? "out of memory" : NULL;
}

static int apply_lines(struct sg_picture *p, struct sg_keytable *t, struct sg_str text, uint64_t *ret_version,
                       struct sg_error *err)
{
        struct sg_str line, json;
        uint64_t version = 0;

        if (text.n == 0)
                return sg_error_set(err, -EBADMSG, p->path, "the file has no whole line");
        for (size_t number = 1; sg_str_cut(&text, '\n', &line); number++) {
                struct json_object *o;
                const char *wrong;

                SG_ASSERT(check_line(line, &json));
                o = parse_line(json);
                wrong = apply_line(t, o, number, &version);
                json_object_put(o);
                if (wrong)
                        return sg_error_set(err, -EBADMSG, p->path, "line %zu is %s", number, wrong);
        }
        *ret_version = version;
        return 0;
}

/* Nothing of a broken picture may stay. */
static int set_aside(struct sg_picture *p, struct sg_keytable *t)
{
        sg_keytable_picture_begin(t);
        sg_keytable_picture_end(t);
        return rename(p->path, p->broken_path) ? -errno : 0;
}

static int open_for_append(struct sg_picture *p, size_t bytes)
{
        p->fd = open(p->path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
        if (p->fd < 0)
                return -errno;
        p->bytes = (off_t)bytes;
        return ftruncate(p->fd, p->bytes) ? -errno : 0;
}

static int load_text(struct sg_picture *p, struct sg_keytable *t, struct sg_str text,
                     enum sg_picture_outcome *ret_outcome, uint64_t *ret_version, struct sg_error *err)
{
        size_t good_bytes;
        int r;

        if (!find_end(text, &good_bytes))
                r = sg_error_set(err, -EBADMSG, p->path, "the line at byte %zu is damaged", good_bytes);
        else
                r = apply_lines(p, t, sg_str_head(text, good_bytes), ret_version, err);
        if (r == -EBADMSG) {
                *ret_outcome = SG_PICTURE_BROKEN;
                r = set_aside(p, t);
                return r ? sg_error_set(err, r, p->path, "cannot be renamed: %s", strerror(-r)) : 0;
        }
        if (good_bytes < text.n)
                sg_debug("%s: a torn line of %zu bytes is cut", p->path, text.n - good_bytes);
        r = open_for_append(p, good_bytes);
        if (r)
                return sg_error_set(err, r, p->path, "cannot be written: %s", strerror(-r));
        *ret_outcome = SG_PICTURE_GOOD;
        return 0;
}

int sg_picture_load(struct sg_picture *p, struct sg_keytable *t, enum sg_picture_outcome *ret_outcome,
                    uint64_t *ret_version, struct sg_error *err)
{
        struct sg_buf b;
        int r;

        sg_buf_init(&b, SG_PICTURE_BYTES_MAX);
        r = sg_buf_add_file(&b, p->path);
        if (r == -ENOENT) {
                *ret_outcome = SG_PICTURE_NONE;
                r = 0;
        } else if (r) {
                r = sg_error_set(err, r > 0 ? -EFBIG : r, p->path, "cannot be read: %s", strerror(r > 0 ? EFBIG : -r));
        } else {
                r = load_text(p, t, sg_buf_view(&b), ret_outcome, ret_version, err);
        }
        sg_buf_done(&b);
        if (r)
                sg_error_about_files(err);
        return r;
}

/* ---- writing */

/* Closes the line whose JSON begins at `at` in the buffer; room for the checksum was left before it. */
static int end_line(struct sg_buf *b, size_t at)
{
        char crc[CRC_CHARS + 1];
        struct sg_str json = sg_str_skip(sg_buf_view(b), at + CRC_CHARS + 1);

        (void)snprintf(crc, sizeof(crc), "%08x", sg_crc32c(0, json.p, json.n));
        memcpy(b->data + b->start + at, crc, CRC_CHARS);
        return sg_buf_add(b, SG_STR("\n"));
}

static int begin_line(struct sg_buf *b, size_t *ret_at)
{
        *ret_at = sg_buf_length(b);
        return sg_buf_add(b, SG_STR("00000000 "));
}

static int add_change_line(struct sg_buf *b, const struct sg_key_change *c)
{
        size_t at;
        int r;

        r = begin_line(b, &at);
        if (!r)
                r = sg_feed_change_write(b, c);
        return r ? r : end_line(b, at);
}

static int add_key_line(struct sg_buf *b, const struct sg_key *k)
{
        size_t at;
        int r;

        r = begin_line(b, &at);
        if (!r)
                r = sg_feed_key_write(b, k);
        return r ? r : end_line(b, at);
}

static int add_version_line(struct sg_buf *b, uint64_t version, bool is_first)
{
        size_t at;
        int r;

        r = begin_line(b, &at);
        if (!r && is_first)
                r = sg_buf_printf(b, "{\"format\":%u,\"version\":%llu}", FORMAT, (unsigned long long)version);
        else if (!r)
                r = sg_buf_printf(b, "{\"version\":%llu}", (unsigned long long)version);
        return r ? r : end_line(b, at);
}

static int write_all(int fd, struct sg_buf *b)
{
        while (sg_buf_length(b)) {
                struct sg_str view = sg_buf_view(b);
                ssize_t n = write(fd, view.p, view.n);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                sg_buf_take(b, (size_t)n);
        }
        return 0;
}

int sg_picture_add(struct sg_picture *p, const struct sg_key_change *c)
{
        int r = add_change_line(&p->collected, c);

        if (r) {
                /* A part of a line must not stay: the file is written anew. */
                sg_buf_clear(&p->collected);
                close_file(p);
                return r > 0 ? -EFBIG : r;
        }
        p->n_collected++;
        return 0;
}

static int append_collected(struct sg_picture *p, uint64_t version)
{
        off_t bytes;
        int r;

        if (p->fd < 0)
                return -EBADF;
        r = add_version_line(&p->collected, version, false);
        if (r)
                return r > 0 ? -EFBIG : r;
        bytes = p->bytes + (off_t)sg_buf_length(&p->collected);
        r = write_all(p->fd, &p->collected);
        if (r) {
                /* What was written of it would stand before the lines that follow. */
                (void)!ftruncate(p->fd, p->bytes);
                return r;
        }
        p->bytes = bytes;
        return 0;
}

int sg_picture_commit(struct sg_picture *p, uint64_t version)
{
        int r = append_collected(p, version);

        p->n_appended += p->n_collected + 1;
        p->n_collected = 0;
        sg_buf_release(&p->collected);
        if (r)
                close_file(p);
        return r;
}

int sg_picture_sync(struct sg_picture *p)
{
        int r = p->fd < 0 ? -EBADF : fdatasync(p->fd) ? -errno : 0;

        if (r)
                close_file(p); /* what the disk has of it is not known: the file is written anew */
        return r;
}

bool sg_picture_is_outgrown(const struct sg_picture *p, const struct sg_keytable *t)
{
        return p->fd < 0 || p->n_appended > sg_keytable_count(t) + APPENDED_MIN;
}

struct writing {
        struct sg_buf b;
        int fd;
        off_t bytes;
        int r;
};

static void write_out(struct writing *w)
{
        w->bytes += (off_t)sg_buf_length(&w->b);
        w->r = write_all(w->fd, &w->b);
        sg_buf_clear(&w->b);
}

static void write_key(const struct sg_key *k, void *owner)
{
        struct writing *w = owner;

        if (w->r)
                return;
        w->r = add_key_line(&w->b, k);
        if (!w->r && sg_buf_length(&w->b) >= WRITE_BYTES)
                write_out(w);
}

static int write_table(struct writing *w, struct sg_keytable *t, uint64_t version)
{
        sg_buf_init(&w->b, SG_PICTURE_BYTES_MAX);
        w->r = add_version_line(&w->b, version, true);
        sg_keytable_each(t, write_key, w);
        if (!w->r)
                write_out(w);
        if (!w->r && fsync(w->fd))
                w->r = -errno;
        sg_buf_done(&w->b);
        return w->r > 0 ? -EFBIG : w->r;
}

static int sync_directory(const char *path)
{
        char *copy = strdup(path);
        int fd, r = 0;

        if (!copy)
                return -ENOMEM;
        fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || fsync(fd))
                r = -errno;
        if (fd >= 0)
                close(fd);
        free(copy);
        return r;
}

int sg_picture_write(struct sg_picture *p, struct sg_keytable *t, uint64_t version)
{
        struct writing w = {};
        int r;

        (void)unlink(p->new_path);
        w.fd = open(p->new_path, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (w.fd < 0)
                return -errno;
        r = write_table(&w, t, version);
        if (!r && rename(p->new_path, p->path))
                r = -errno;
        if (r) {
                close(w.fd);
                (void)unlink(p->new_path);
                return r;
        }
        close_file(p);
        p->fd = w.fd;
        p->bytes = w.bytes;
        p->n_appended = p->n_collected = 0;
        sg_buf_release(&p->collected);
        return sync_directory(p->path);
}
