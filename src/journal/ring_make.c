#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/random.h"
#include "journal/writer.h"

/* Of smaller rings all of the stage has memory: it is not worth a window. */
#define WINDOWED_BYTES_MIN (1024u * 1024u)

/* ---- files */

static int lock_new(int dir_fd, const char *name, int *ret_fd)
{
        int fd, r;

        fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
                r = -errno;
                (void)close(fd);
                (void)unlinkat(dir_fd, name, 0);
                return r;
        }
        *ret_fd = fd;
        return 0;
}

static int open_directory(const char *dir, int *ret_fd)
{
        *ret_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return *ret_fd < 0 ? -errno : 0;
}

/* ---- the stage */

static bool is_in_memory(const char *dir)
{
        struct statfs fs;

        return statfs(dir, &fs) == 0 &&
               ((unsigned long)fs.f_type == TMPFS_MAGIC || (unsigned long)fs.f_type == RAMFS_MAGIC);
}

/* What is not in memory gets all its blocks at once: there, asking for more is a disk's matter. */
static int stage_fill(struct sg_ring *r, const struct ring_fixed *fixed)
{
        int e;

        if (ftruncate(r->stage_fd, (off_t)r->map_bytes) < 0)
                return -errno;
        e = posix_fallocate(r->stage_fd, 0, r->is_windowed ? RING_HEADER_BYTES : (off_t)r->map_bytes);
        if (e)
                return -e;
        r->map = mmap(NULL, r->map_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, r->stage_fd, 0);
        if (r->map == MAP_FAILED) {
                r->map = NULL;
                return -errno;
        }
        memcpy(r->map, fixed, sizeof(*fixed));
        return ring_back(r, 1, true) ? -ENOSPC : 0;
}

static int stage_create(struct sg_ring *r, const char *dir, const struct ring_fixed *fixed)
{
        const char *name;
        int dir_fd, e;

        if (asprintf(&r->stage_path, "%s/%s" SG_RING_STAGE, dir, r->id_text) < 0) {
                r->stage_path = NULL;
                return -ENOMEM;
        }
        name = r->stage_path + strlen(dir) + 1;
        e = open_directory(dir, &dir_fd);
        if (e)
                return e;
        e = lock_new(dir_fd, name, &r->stage_fd);
        (void)close(dir_fd);
        return e ? e : stage_fill(r, fixed);
}

/* ---- the ring's file */

/* All blocks and a durable header, while the file still has its unfinished name. */
static int file_fill(struct sg_ring *r, const struct ring_fixed *fixed)
{
        int e = posix_fallocate(r->fd, 0, (off_t)r->map_bytes);

        if (e)
                return -e;
        if (pwrite(r->fd, fixed, sizeof(*fixed), 0) != (ssize_t)sizeof(*fixed))
                return errno ? -errno : -EIO;
        return fsync(r->fd) < 0 ? -errno : 0;
}

static int file_create(struct sg_ring *r, const char *dir, const struct ring_fixed *fixed)
{
        char made[SG_RING_ID_CHARS + sizeof(SG_RING_NEW)], final[SG_RING_ID_CHARS + sizeof(SG_RING_SUFFIX)];
        int dir_fd, e = open_directory(dir, &dir_fd);

        if (e)
                return e;
        (void)snprintf(made, sizeof(made), "%s%s", r->id_text, SG_RING_NEW);
        (void)snprintf(final, sizeof(final), "%s%s", r->id_text, SG_RING_SUFFIX);
        e = lock_new(dir_fd, made, &r->fd);
        if (!e) {
                e = file_fill(r, fixed);
                if (!e && renameat(dir_fd, made, dir_fd, final) < 0)
                        e = -errno;
                if (e)
                        (void)unlinkat(dir_fd, made, 0);
                else if (fsync(dir_fd) < 0)
                        e = -errno;
        }
        (void)close(dir_fd);
        return e;
}

/* ---- why not */

static int say_why(struct sg_error *err, int e, const char *dir, uint64_t bytes)
{
        if (e == -ENOSPC || e == -EDQUOT || e == -EFBIG)
                return sg_error_set(err, e, dir,
                                    "no room for a journal of %" PRIu64
                                    " MiB (%s): free some space, or lower size in [journal]",
                                    (bytes + (1u << 20) - 1) >> 20, strerror(-e));
        if (e == -ENOENT || e == -ENOTDIR)
                return sg_error_set(err, e, dir,
                                    "the journal's directory does not exist: create it, owned by the service's user");
        if (e == -EACCES || e == -EPERM || e == -EROFS)
                return sg_error_set(err, e, dir,
                                    "cannot write the journal (%s): the directory must be the service's user's",
                                    strerror(-e));
        return sg_error_set(err, e, dir, "cannot create a journal: %s", strerror(-e));
}

static int explain(struct sg_error *err, int e, const char *dir, uint64_t bytes)
{
        int r = say_why(err, e, dir, bytes);

        sg_error_about_files(err);
        return r;
}

static int explain_stage(struct sg_error *err, int e, const char *dir, uint64_t bytes)
{
        if (e != -ENOSPC && e != -EDQUOT)
                return explain(err, e, dir, bytes);
        sg_error_set(
                err, e, dir,
                "no room for the journal's newest records (%s): they take 1 MiB for each worker, and more while the "
                "disk of the state directory is slow: free some space here, or make it larger",
                strerror(-e));
        sg_error_about_files(err);
        return e;
}

/* ---- making and ending one */

static struct ring_fixed fixed_of(const struct sg_ring *r)
{
        struct ring_fixed fixed = {
                .version = htole32(RING_VERSION),
                .header_bytes = htole32(RING_HEADER_BYTES),
                .data_bytes = htole64(r->size),
                .writer_pid = htole64((uint64_t)getpid()),
                .created_wall_usec = htole64(sg_clock_wall_usec()),
        };

        memcpy(fixed.magic, RING_MAGIC, sizeof(fixed.magic));
        memcpy(fixed.id, r->id, sizeof(fixed.id));
        fixed.fixed_crc = htole32(ring_fixed_crc(&fixed));
        return fixed;
}

int sg_ring_create(struct sg_ring **ret, const char *dir, const char *stage_dir, size_t bytes, struct sg_error *err)
{
        SG_AUTO(sg_ring_free) struct sg_ring *r = NULL;
        uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
        struct ring_fixed fixed;
        int e;

        if (bytes < SG_RING_BYTES_MIN || bytes > RING_BYTES_MAX)
                return sg_error_set(err, -EINVAL, dir, "a journal has from %u KiB to 1 TiB, not %zu bytes",
                                    SG_RING_BYTES_MIN / 1024, bytes);
        r = calloc(1, sizeof(*r));
        if (!r)
                return sg_error_set(err, -ENOMEM, dir, "out of memory");
        r->fd = r->stage_fd = -1;
        r->size = (bytes + page - 1) / page * page;
        r->map_bytes = RING_HEADER_BYTES + r->size;
        sg_random_bytes(r->id, sizeof(r->id));
        sg_hex(r->id_text, r->id, sizeof(r->id));
        fixed = fixed_of(r);

        if (!is_in_memory(stage_dir))
                stage_dir = dir;
        else
                r->is_windowed = r->size >= WINDOWED_BYTES_MIN;
        /* The stage first: who finds the ring finds its stage, if there is one. */
        e = stage_create(r, stage_dir, &fixed);
        if (e)
                return stage_dir == dir ? explain(err, e, dir, 2 * r->map_bytes)
                                        : explain_stage(err, e, stage_dir, r->map_bytes);
        e = file_create(r, dir, &fixed);
        if (e)
                return explain(err, e, dir, r->map_bytes);
        *ret = SG_GIVE(r);
        return 0;
}

struct sg_ring *sg_ring_free(struct sg_ring *r)
{
        if (!r)
                return NULL;
        /* What did not reach the disk stays in the stage, for the ledger. */
        if (r->stage_fd >= 0 && (r->fd < 0 || (r->map && sg_ring_sync(r) == 0)))
                (void)unlink(r->stage_path);
        if (r->map)
                (void)munmap(r->map, r->map_bytes);
        if (r->stage_fd >= 0)
                (void)close(r->stage_fd);
        if (r->fd >= 0)
                (void)close(r->fd);
        free(r->stage_path);
        free(r);
        return NULL;
}

const char *sg_ring_id(const struct sg_ring *r)
{
        return r->id_text;
}
