#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/log.h"
#include "ledger/drain_files.h"

#define LITTER_SEC   60   /* an unfinished ring.new without a lock is left this long */
#define STAGE_SEC    3600 /* a stage without a ring and a lock: the journal's directory may come back */
#define MISSING_USEC (3600 * SG_USEC_PER_SEC)

/* ---- files */

static void file_free(struct sg_drain *d, struct ring_file *f)
{
        sg_list_remove(&d->files, &f->link);
        sg_ring_reader_free(f->reader);
        free(f);
}

static struct ring_file *file_find(struct sg_drain *d, const char *id)
{
        SG_LIST_EACH (&d->files, k) {
                if (strcmp(ring_file_of(k)->id, id) == 0)
                        return ring_file_of(k);
        }
        return NULL;
}

/* <32 hex digits>.ring */
static bool name_is_ring(const char *name, const char *suffix, char ret_id[SG_RING_ID_CHARS + 1])
{
        uint8_t id[SG_RING_ID_CHARS / 2];

        if (strlen(name) < SG_RING_ID_CHARS || strcmp(name + SG_RING_ID_CHARS, suffix) != 0 ||
            sg_unhex(id, sizeof(id), name, SG_RING_ID_CHARS) != 0)
                return false;
        sg_hex(ret_id, id, sizeof(id));
        return strncmp(ret_id, name, SG_RING_ID_CHARS) == 0;
}

static void tell_once(struct ring_file *f, const char *text, const char *why)
{
        if (!f->is_told)
                sg_err("ring %s: %s%s%s", f->id, text, why ? ": " : "", why ? why : "");
        f->is_told = true;
}

/* Where the database ends is where reading begins. */
int sg_drain_seek(struct ring_file *f)
{
        uint64_t sequence, offset;
        int r = sg_ring_reader_seek(f->reader, f->committed.sequence, f->committed.offset);

        if (r == SG_RING_E_GONE) {
                sg_ring_reader_position(f->reader, &sequence, &offset);
                sg_err("the database is older than ring %s: it ends at record %" PRIu64
                       ", and what followed up to %" PRIu64 " was drained into the database that it replaced",
                       f->id, f->committed.sequence, sequence);
                r = 0;
        }
        f->next = f->committed;
        sg_ring_reader_position(f->reader, &f->next.sequence, &f->next.offset);
        f->has_changed = false;
        return r;
}

/* A commit that failed may have happened all the same, when it was the answer that was lost; and a database that comes back
 * may be another, which has not got as far. So the marks are read anew after each failure. */
static int read_mark(struct sg_drain *d, struct ring_file *f, struct sg_error *err)
{
        int r = sg_store_ring_get(d->store, f->id, &f->committed, err);

        if (r < 0)
                return r;
        if (r > 0) {
                f->committed = (struct sg_store_ring){0};
                memcpy(f->committed.id, f->id, sizeof(f->id));
        }
        f->has_mark = true;
        if (sg_drain_seek(f) == 0)
                return 0;
        f->is_stranger = true;
        tell_once(f, "the database's mark is not of this file; it is left alone", NULL);
        f->reader = sg_ring_reader_free(f->reader);
        return 0;
}

int sg_drain_read_marks(struct sg_drain *d, struct sg_error *err)
{
        int r = 0;

        SG_LIST_EACH (&d->files, k) {
                struct ring_file *f = ring_file_of(k);

                if (!r && f->reader && !f->has_mark)
                        r = read_mark(d, f, err);
        }
        return r;
}

/* Until the database is asked, the ring's own mark says what it holds: it lags at most. */
static void guess_mark(struct ring_file *f)
{
        f->has_mark = false;
        f->committed = (struct sg_store_ring){0};
        memcpy(f->committed.id, f->id, sizeof(f->id));
        f->committed.sequence = sg_ring_reader_released(f->reader);
}

/* In the runtime directory, or beside the ring, where that is no memory. */
static void stage_path(const struct sg_drain *d, const char *id, char *out, size_t out_bytes)
{
        (void)snprintf(out, out_bytes, "%s/%s" SG_RING_STAGE, d->stage_path, id);
        if (access(out, F_OK) < 0)
                (void)snprintf(out, out_bytes, "%s/%s" SG_RING_STAGE, d->path, id);
}

static void file_open(struct sg_drain *d, struct ring_file *f)
{
        SG_AUTO(sg_ring_reader_free) struct sg_ring_reader *reader = NULL;
        char path[4096], stage[4096];
        int r;

        (void)snprintf(path, sizeof(path), "%s/%s" SG_RING_SUFFIX, d->path, f->id);
        stage_path(d, f->id, stage, sizeof(stage));
        r = sg_ring_reader_open(&reader, path, stage);
        if (r == 0 && strcmp(sg_ring_reader_id(reader), f->id) != 0)
                r = SG_RING_E_BAD;
        if (r > 0) {
                f->is_stranger = true;
                tell_once(f,
                          "the file is no ring that this version can read; it is left alone. Move it away, or install "
                          "the "
                          "version that wrote it",
                          NULL);
                return;
        }
        if (r < 0) {
                if (r != -ENOENT)
                        tell_once(f, "cannot be opened, and is tried again", strerror(-r));
                return;
        }
        f->reader = SG_GIVE(reader);
        guess_mark(f);
}

/* ---- the directory */

static void remove_litter(int dir_fd, const char *name, time_t sec)
{
        struct stat st;
        int fd;

        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) ||
            time(NULL) - st.st_mtime < sec)
                return;
        fd = openat(dir_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd < 0)
                return;
        if (flock(fd, LOCK_EX | LOCK_NB) == 0 && unlinkat(dir_fd, name, 0) == 0)
                sg_info("removed %s, which a gateway left behind while making it", name);
        (void)close(fd);
}

static int scan_name(struct sg_drain *d, const char *name, struct sg_error *err)
{
        char id[SG_RING_ID_CHARS + 1];
        struct ring_file *f;

        if (name_is_ring(name, SG_RING_NEW, id))
                remove_litter(d->dir_fd, name, LITTER_SEC);
        if (!name_is_ring(name, SG_RING_SUFFIX, id))
                return 0;
        f = file_find(d, id);
        if (!f) {
                f = calloc(1, sizeof(*f));
                if (!f)
                        return sg_error_set(err, -ENOMEM, d->path, "out of memory");
                memcpy(f->id, id, sizeof(f->id));
                sg_list_push(&d->files, &f->link);
        }
        f->is_seen = true;
        if (!f->reader && !f->is_stranger)
                file_open(d, f);
        return 0;
}

/* A gateway that was killed between making the stage and making its ring, or a ring that was taken away. */
static void scan_stages(struct sg_drain *d, const char *path)
{
        DIR *dir = opendir(path);
        char id[SG_RING_ID_CHARS + 1];
        struct dirent *e;

        while (dir && (e = readdir(dir))) {
                if (name_is_ring(e->d_name, SG_RING_STAGE, id) && !file_find(d, id))
                        remove_litter(dirfd(dir), e->d_name, STAGE_SEC);
        }
        if (dir)
                (void)closedir(dir);
}

int sg_drain_scan(struct sg_drain *d, struct sg_error *err)
{
        int fd = openat(d->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
        DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        struct dirent *e;

        if (!dir) {
                r = -errno;
                if (fd >= 0)
                        (void)close(fd);
                return sg_error_set(err, r, d->path, "cannot read the journal's directory: %s", strerror(-r));
        }
        SG_LIST_EACH (&d->files, k) {
                ring_file_of(k)->is_seen = false;
        }
        while (!r && (e = readdir(dir)))
                r = scan_name(d, e->d_name, err);
        (void)closedir(dir);
        if (r)
                return r;
        SG_LIST_EACH (&d->files, k) {
                struct ring_file *f = ring_file_of(k);

                if (f->is_seen)
                        continue;
                if (f->reader)
                        sg_warning(
                                "ring %s was removed by somebody else; its open exchanges count as cut off in an hour",
                                f->id);
                file_free(d, f);
                d->wants_prune = true;
        }
        scan_stages(d, d->path);
        scan_stages(d, d->stage_path);
        d->wants_scan = false;
        d->scanned_usec = sg_clock_usec();
        return 0;
}

/* ---- marks without a file */

static void note_missing(const struct sg_store_ring *ring, void *owner)
{
        struct sg_drain *d = owner;
        struct missing *m;

        if (file_find(d, ring->id))
                return;
        SG_LIST_EACH (&d->missing, k) {
                m = SG_CONTAINER(k, struct missing, link);
                if (strcmp(m->id, ring->id) == 0) {
                        m->is_seen = true;
                        return;
                }
        }
        m = calloc(1, sizeof(*m));
        if (!m)
                return; /* the next time will do */
        memcpy(m->id, ring->id, sizeof(m->id));
        m->is_seen = true;
        m->since_usec = sg_clock_usec() - (ring->is_finished ? MISSING_USEC : 0);
        sg_list_push(&d->missing, &m->link);
}

static int drop_missing(struct sg_drain *d, struct missing *m, struct sg_error *err)
{
        int r = sg_store_begin(d->store, err);

        if (r)
                return r;
        d->batch.is_begun = true;
        r = sg_drain_settle(&d->batch, m->id, err);
        if (!r)
                r = sg_store_ring_drop(d->store, m->id, err);
        d->batch.is_begun = false;
        if (!r)
                return sg_store_commit(d->store, err);
        sg_store_rollback(d->store);
        return r;
}

/* A finished ring's mark goes with its file; another's waits: the directory may come back (a mount, a restored backup).
 */
int sg_drain_prune(struct sg_drain *d, struct sg_error *err)
{
        int r;

        SG_LIST_EACH (&d->missing, k) {
                SG_CONTAINER(k, struct missing, link)->is_seen = false;
        }
        r = sg_store_ring_list(d->store, note_missing, d, err);
        SG_LIST_EACH (&d->missing, k) {
                struct missing *m = SG_CONTAINER(k, struct missing, link);
                bool is_due = m->is_seen && !file_find(d, m->id) && sg_clock_usec() - m->since_usec >= MISSING_USEC;

                if (r)
                        return r;
                if (is_due)
                        r = drop_missing(d, m, err);
                if (!r && (is_due || !m->is_seen || file_find(d, m->id))) {
                        sg_list_remove(&d->missing, k);
                        free(m);
                }
        }
        if (!r)
                d->wants_prune = false;
        return r;
}

/* ---- the end of a ring */

static int set_aside(struct sg_drain *d, struct ring_file *f, const char *name)
{
        char bad[SG_RING_ID_CHARS + 32];

        (void)snprintf(bad, sizeof(bad), "%s.bad", name);
        if (renameat2(d->dir_fd, name, d->dir_fd, bad, RENAME_NOREPLACE) < 0)
                return -errno;
        sg_warning("kept the damaged ring as %s/%s: %" PRIu64 " of its records could not be read", d->path, bad,
                   f->committed.n_lost);
        return 0;
}

int sg_drain_retire(struct sg_drain *d, struct ring_file *f, struct sg_error *err)
{
        char name[SG_RING_ID_CHARS + 16], stage[4096];
        int r;

        /* First: as long as the ring is there, it is found again. */
        stage_path(d, f->id, stage, sizeof(stage));
        if (unlink(stage) < 0 && errno != ENOENT)
                sg_debug("%s: %s", stage, strerror(errno));
        (void)snprintf(name, sizeof(name), "%s" SG_RING_SUFFIX, f->id);
        if (f->committed.n_lost)
                r = set_aside(d, f, name);
        else
                r = unlinkat(d->dir_fd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
        if (!r && fsync(d->dir_fd) < 0)
                r = -errno;
        if (r) {
                tell_once(f, "is drained, but its file cannot be removed; it is tried again", strerror(-r));
                return 0;
        }
        r = sg_store_ring_drop(d->store, f->id, err);
        file_free(d, f);
        if (r < 0)
                d->wants_prune = true;
        return r;
}

void sg_drain_forget_all(struct sg_drain *d)
{
        SG_LIST_EACH (&d->files, k) {
                file_free(d, ring_file_of(k));
        }
        SG_LIST_EACH (&d->missing, k) {
                sg_list_remove(&d->missing, k);
                free(SG_CONTAINER(k, struct missing, link));
        }
}
