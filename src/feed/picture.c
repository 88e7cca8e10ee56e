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
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/log.h"
#include "feed/picture.h"
#include "feed/picture_read.h"

#define STEP_BYTES   (1024u * 1024u)
#define STEP_KEYS    2000u /* at least, so that the buffer is not looked at too often */
#define STEPS_BEHIND 8     /* that the disk may be */
#define APPENDED_MIN 1024u /* lines that are appended before a small table is written anew */

/* A file that is being written, in steps, while changes go on. */
struct writing {
        struct sg_keytable *table; /* NULL: none is */
        size_t at;                 /* how far in the table */
        int fd;
        off_t bytes, synced_bytes; /* handed to the system; and known to be on the disk */
        size_t n_appended;
        struct sg_buf b;
        int r;
};

struct sg_picture {
        char *path, *new_path, *broken_path;
        int fd;      /* for appending; -1: the file must be written anew first */
        off_t bytes; /* of the file up to the last commit */
        size_t n_appended, n_collected;
        struct sg_buf collected;
        struct writing next;
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
        sg_buf_init(&p->collected, SG_PICTURE_BUFFER_BYTES_MAX);
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
        sg_picture_abort(p);
        close_file(p);
        sg_buf_done(&p->collected);
        free(p->path);
        free(p->new_path);
        free(p->broken_path);
        free(p);
        return NULL;
}

/* ---- reading */

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

static int load(struct sg_picture *p, struct sg_keytable *t, int fd, enum sg_picture_outcome *ret_outcome,
                uint64_t *ret_version, struct sg_error *err)
{
        size_t good_bytes, bytes;
        int r = sg_picture_read(t, fd, p->path, ret_version, &good_bytes, &bytes, err);

        if (r == -EBADMSG) {
                *ret_outcome = SG_PICTURE_BROKEN;
                r = set_aside(p, t);
                return r ? sg_error_set(err, r, p->path, "cannot be renamed: %s", strerror(-r)) : 0;
        }
        if (r)
                return r;
        if (good_bytes < bytes)
                sg_debug("%s: a torn line of %zu bytes is cut", p->path, bytes - good_bytes);
        r = open_for_append(p, good_bytes);
        if (r)
                return sg_error_set(err, r, p->path, "cannot be written: %s", strerror(-r));
        *ret_outcome = SG_PICTURE_GOOD;
        return 0;
}

int sg_picture_load(struct sg_picture *p, struct sg_keytable *t, enum sg_picture_outcome *ret_outcome,
                    uint64_t *ret_version, struct sg_error *err)
{
        int fd = open(p->path, O_RDONLY | O_CLOEXEC), r = fd < 0 ? -errno : 0;

        if (r == -ENOENT) {
                *ret_outcome = SG_PICTURE_NONE;
                return 0;
        }
        if (r) {
                sg_error_set(err, r, p->path, "cannot be read: %s", strerror(-r));
        } else {
                r = load(p, t, fd, ret_outcome, ret_version, err);
                close(fd);
        }
        if (r)
                sg_error_about_files(err);
        return r;
}

/* ---- writing */

/* Closes the line whose JSON begins at `at` in the buffer; room for the checksum was left before it. */
static int end_line(struct sg_buf *b, size_t at)
{
        char crc[SG_PICTURE_CRC_CHARS + 1];
        struct sg_str json = sg_str_skip(sg_buf_view(b), at + SG_PICTURE_CRC_CHARS + 1);

        (void)snprintf(crc, sizeof(crc), "%08x", sg_crc32c(0, json.p, json.n));
        memcpy(b->data + b->start + at, crc, SG_PICTURE_CRC_CHARS);
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

static int add_group_line(struct sg_buf *b, const struct sg_group_change *c)
{
        size_t at;
        int r;

        r = begin_line(b, &at);
        if (!r)
                r = sg_buf_add(b, SG_STR("{\"group\":"));
        if (!r)
                r = sg_feed_group_write(b, c);
        if (!r)
                r = sg_buf_add(b, SG_STR("}"));
        return r ? r : end_line(b, at);
}

static int add_version_line(struct sg_buf *b, uint64_t version, bool is_first)
{
        size_t at;
        int r;

        r = begin_line(b, &at);
        if (!r && is_first)
                r = sg_buf_printf(b, "{\"format\":%u,\"version\":%llu}", SG_PICTURE_FORMAT,
                                  (unsigned long long)version);
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

/* A part of a line must not stay: the file is written anew. */
static int collected_one(struct sg_picture *p, int r)
{
        if (r) {
                sg_buf_clear(&p->collected);
                close_file(p);
                return r > 0 ? -EFBIG : r;
        }
        p->n_collected++;
        return 0;
}

int sg_picture_add(struct sg_picture *p, const struct sg_key_change *c)
{
        return collected_one(p, add_change_line(&p->collected, c));
}

int sg_picture_add_group(struct sg_picture *p, const struct sg_group_change *c)
{
        return collected_one(p, add_group_line(&p->collected, c));
}

static int append_collected(struct sg_picture *p)
{
        const off_t bytes = p->bytes + (off_t)sg_buf_length(&p->collected);
        int r = write_all(p->fd, &p->collected);

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
        struct writing *w = &p->next;
        int r = add_version_line(&p->collected, version, false);

        /* What the next file has of these keys may be older: this comes after it. */
        if (!r && w->table)
                r = w->r = sg_buf_add(&w->b, sg_buf_view(&p->collected));
        if (!r && p->fd >= 0)
                r = append_collected(p);
        else if (!r && !w->table)
                r = -EBADF;
        p->n_appended += p->n_collected + 1;
        w->n_appended += p->n_collected + 1;
        p->n_collected = 0;
        sg_buf_release(&p->collected);
        if (r)
                close_file(p);
        return r > 0 ? -EFBIG : r;
}

int sg_picture_sync(struct sg_picture *p)
{
        int r;

        if (p->fd < 0)
                return p->next.table ? 0 : -EBADF; /* at the end of its writing */
        r = fdatasync(p->fd) ? -errno : 0;
        if (r)
                close_file(p); /* what the disk has of it is not known: the file is written anew */
        return r;
}

bool sg_picture_is_outgrown(const struct sg_picture *p, const struct sg_keytable *t)
{
        return !p->next.table && (p->fd < 0 || p->n_appended > sg_keytable_count(t) + APPENDED_MIN);
}

/* ---- the whole, anew */

static void write_key(const struct sg_key *k, void *owner)
{
        struct writing *w = owner;

        if (!w->r)
                w->r = add_key_line(&w->b, k);
}

static void write_group(const struct sg_group *g, void *owner)
{
        const struct sg_group_facts *f = atomic_load_explicit(&g->facts, memory_order_relaxed);
        struct writing *w = owner;
        const struct sg_group_change c = {.id = g->id,
                                          .parent_id = f->parent ? f->parent->id : 0,
                                          .name = sg_str_from(f->name),
                                          .limits = f->limits};

        if (!w->r)
                w->r = add_group_line(&w->b, &c);
}

void sg_picture_abort(struct sg_picture *p)
{
        struct writing *w = &p->next;

        if (!w->table)
                return;
        close(w->fd);
        (void)unlink(p->new_path);
        sg_buf_done(&w->b);
        *w = (struct writing){.fd = -1};
}

bool sg_picture_is_writing(const struct sg_picture *p)
{
        return p->next.table != NULL;
}

int sg_picture_begin(struct sg_picture *p, struct sg_keytable *t, uint64_t version)
{
        struct writing *w = &p->next;

        sg_picture_abort(p);
        (void)unlink(p->new_path);
        *w = (struct writing){.fd = open(p->new_path, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0600)};
        if (w->fd < 0)
                return -errno;
        w->table = t;
        sg_buf_init(&w->b, SG_PICTURE_BUFFER_BYTES_MAX);
        w->r = add_version_line(&w->b, version, true);
        sg_keytable_each_group(t, write_group, w);
        return 0;
}

/* What is written goes on its way to the disk at once, and the disk is waited for when it is far behind: so no step waits
 * for long, and little is left for the end. */
static int flush(struct writing *w)
{
        const off_t from = w->bytes, n = (off_t)sg_buf_length(&w->b);
        int r = write_all(w->fd, &w->b);

        sg_buf_clear(&w->b);
        if (r)
                return r;
        w->bytes += n;
        (void)sync_file_range(w->fd, from, n, SYNC_FILE_RANGE_WRITE);
        if (w->bytes - w->synced_bytes > STEPS_BEHIND * (off_t)STEP_BYTES) {
                (void)sync_file_range(w->fd, w->synced_bytes, STEP_BYTES,
                                      SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
                w->synced_bytes += STEP_BYTES;
        }
        return 0;
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

/* Another process of ours may have begun a file of that name: then that one is right. */
static int put_in_place(struct sg_picture *p)
{
        struct stat ours, there;

        if (fsync(p->next.fd) || fstat(p->next.fd, &ours) || stat(p->new_path, &there))
                return -errno;
        if (ours.st_dev != there.st_dev || ours.st_ino != there.st_ino)
                return -ESTALE;
        return rename(p->new_path, p->path) ? -errno : 0;
}

static int finish(struct sg_picture *p)
{
        struct writing *w = &p->next;
        int r = put_in_place(p);

        if (r)
                return r;
        close_file(p);
        p->fd = w->fd;
        p->bytes = w->bytes;
        p->n_appended = w->n_appended;
        p->n_collected = 0;
        sg_buf_release(&p->collected);
        sg_buf_done(&w->b);
        *w = (struct writing){.fd = -1};
        return sync_directory(p->path);
}

int sg_picture_step(struct sg_picture *p, bool *ret_is_done)
{
        struct writing *w = &p->next;
        bool is_whole = false;

        SG_ASSERT(w->table);
        while (!w->r && !is_whole && sg_buf_length(&w->b) < STEP_BYTES)
                is_whole = sg_keytable_each_from(w->table, &w->at, STEP_KEYS, write_key, w);
        if (!w->r)
                w->r = flush(w);
        if (!w->r && is_whole)
                w->r = finish(p);
        if (w->r) {
                const int r = w->r > 0 ? -EFBIG : w->r;

                sg_picture_abort(p);
                return r;
        }
        *ret_is_done = is_whole;
        return 0;
}
