/*
 * The writer's end.
 *
 * A frame is published by its sequence word, stored last and with release order: what SIGKILL leaves in the page cache
 * is the stores of a prefix of the program, so either that word is there and all before it, or it is not. Before it is
 * stored, the sequence word of the frame after it is set to zero, so that the reader finds nothing where nothing was
 * appended yet. Power loss keeps pages in any mix; there the checksum decides, and what sg_ring_sync() has covered is
 * whole.
 *
 * sg_ring_sync() uses msync(MS_SYNC) on the pages between the last synced and the last written byte rather than
 * fdatasync(): on Linux both end in vfs_fsync_range() with datasync set, for the range or for all of the file. The
 * range leaves out the header page, which the writer's hint and the reader's mark dirty all the time. Measured on ext4
 * over virtio, 64 KiB dirty each time, second lap: msync 162 us, fdatasync 186 us; with a mark in between 179 and 211
 * us.
 *
 * A failed sync is remembered: Linux marks the pages clean when their writing failed, and the next call would report
 * success for bytes that never reached the disk. So that the next call writes them again, it dirties them first
 * (MADV_POPULATE_WRITE, which faults pages in as a store would without changing a byte).
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/random.h"
#include "journal/format.h"

struct sg_ring {
        int fd; /* holds the lock */
        uint8_t *map;
        uint64_t map_bytes, size;
        uint8_t id[SG_RING_ID_CHARS / 2];
        char id_text[SG_RING_ID_CHARS + 1];

        /* the writer's */
        uint64_t sequence, position; /* of the last frame; behind it */
        uint64_t drained_sequence, drained_position;

        /* stored by the writer, read by any thread: the position first, the sequence with release */
        _Atomic uint64_t written_position, written;
        _Atomic uint64_t n_open;

        /* the sync thread's */
        _Atomic uint64_t synced;
        uint64_t synced_position;
        bool sync_failed;
};

/* ---- making one */

static int ring_lock_new(int dir_fd, const char *name, int *ret_fd)
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

/* All blocks, the mapping and a durable header, while the file still has its unfinished name. */
static int ring_fill_new(struct sg_ring *r)
{
        struct ring_fixed fixed = {
                .version = htole32(RING_VERSION),
                .header_bytes = htole32(RING_HEADER_BYTES),
                .data_bytes = htole64(r->size),
                .writer_pid = htole64((uint64_t)getpid()),
                .created_wall_usec = htole64(sg_clock_wall_usec()),
        };
        int e;

        e = posix_fallocate(r->fd, 0, (off_t)r->map_bytes);
        if (e)
                return -e;
        r->map = mmap(NULL, r->map_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, 0);
        if (r->map == MAP_FAILED) {
                r->map = NULL;
                return -errno;
        }
        memcpy(fixed.magic, RING_MAGIC, sizeof(fixed.magic));
        memcpy(fixed.id, r->id, sizeof(fixed.id));
        fixed.fixed_crc = htole32(ring_fixed_crc(&fixed));
        memcpy(r->map, &fixed, sizeof(fixed));
        if (fsync(r->fd) < 0)
                return -errno;
        return 0;
}

static int ring_create_in(struct sg_ring *r, int dir_fd)
{
        char made[SG_RING_ID_CHARS + sizeof(SG_RING_NEW)], final[SG_RING_ID_CHARS + sizeof(SG_RING_SUFFIX)];
        int e;

        (void)snprintf(made, sizeof(made), "%s%s", r->id_text, SG_RING_NEW);
        (void)snprintf(final, sizeof(final), "%s%s", r->id_text, SG_RING_SUFFIX);
        e = ring_lock_new(dir_fd, made, &r->fd);
        if (e)
                return e;
        e = ring_fill_new(r);
        if (!e && renameat(dir_fd, made, dir_fd, final) < 0)
                e = -errno;
        if (e) {
                (void)unlinkat(dir_fd, made, 0);
                return e;
        }
        return fsync(dir_fd) < 0 ? -errno : 0;
}

static int ring_say_why(struct sg_error *err, int e, const char *dir, uint64_t bytes)
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

static int ring_explain(struct sg_error *err, int e, const char *dir, uint64_t bytes)
{
        int r = ring_say_why(err, e, dir, bytes);

        sg_error_about_files(err);
        return r;
}

int sg_ring_create(struct sg_ring **ret, const char *dir, size_t bytes, struct sg_error *err)
{
        SG_AUTO(sg_ring_free) struct sg_ring *r = NULL;
        uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
        int dir_fd, e;

        if (bytes < SG_RING_BYTES_MIN || bytes > RING_BYTES_MAX)
                return sg_error_set(err, -EINVAL, dir, "a journal has from %u KiB to 1 TiB, not %zu bytes",
                                    SG_RING_BYTES_MIN / 1024, bytes);
        r = calloc(1, sizeof(*r));
        if (!r)
                return sg_error_set(err, -ENOMEM, dir, "out of memory");
        r->fd = -1;
        r->size = (bytes + page - 1) / page * page;
        r->map_bytes = RING_HEADER_BYTES + r->size;
        sg_random_bytes(r->id, sizeof(r->id));
        sg_hex(r->id_text, r->id, sizeof(r->id));

        dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir_fd < 0)
                return ring_explain(err, -errno, dir, r->map_bytes);
        e = ring_create_in(r, dir_fd);
        (void)close(dir_fd);
        if (e)
                return ring_explain(err, e, dir, r->map_bytes);
        *ret = SG_GIVE(r);
        return 0;
}

struct sg_ring *sg_ring_free(struct sg_ring *r)
{
        if (!r)
                return NULL;
        if (r->map) {
                /* Nobody is left to tell; the pages are the kernel's in any case. */
                if (sg_ring_sync(r) < 0)
                        r->sync_failed = true;
                (void)munmap(r->map, r->map_bytes);
        }
        if (r->fd >= 0)
                (void)close(r->fd);
        free(r);
        return NULL;
}

const char *sg_ring_id(const struct sg_ring *r)
{
        return r->id_text;
}

/* ---- the reader's mark */

static uint64_t load_word(const struct sg_ring *r, uint64_t at)
{
        return le64toh(__atomic_load_n((const uint64_t *)(const void *)(r->map + at), __ATOMIC_ACQUIRE));
}

/* Another process wrote it, perhaps just now: false when it is half written, or was never written. */
static bool mark_read(const struct sg_ring *r, uint64_t *ret_sequence, uint64_t *ret_position)
{
        uint64_t check = load_word(r, RING_MARK_AT + offsetof(struct ring_mark, check));
        uint64_t sequence = load_word(r, RING_MARK_AT + offsetof(struct ring_mark, sequence));
        uint64_t position = load_word(r, RING_MARK_AT + offsetof(struct ring_mark, position));

        if (check != ring_mark_check(r->id, sequence, position))
                return false;
        *ret_sequence = sequence;
        *ret_position = position;
        return true;
}

/* A mark that goes back, or beyond what was written, is ignored. */
static void mark_refresh(struct sg_ring *r)
{
        uint64_t sequence, position;

        if (!mark_read(r, &sequence, &position) || sequence < r->drained_sequence || position < r->drained_position ||
            sequence > r->sequence || position > r->position)
                return;
        r->drained_sequence = sequence;
        r->drained_position = position;
}

/* ---- appending */

static void put_bytes(struct sg_ring *r, uint64_t position, const void *data, size_t n)
{
        uint64_t at = position % r->size;
        size_t first = (size_t)SG_MIN((uint64_t)n, r->size - at);

        memcpy(r->map + RING_HEADER_BYTES + at, data, first);
        memcpy(r->map + RING_HEADER_BYTES, (const uint8_t *)data + first, n - first);
}

static void put_word(struct sg_ring *r, uint64_t position, uint64_t word, int order)
{
        uint64_t *at = (uint64_t *)(void *)(r->map + RING_HEADER_BYTES + position % r->size);

        if (order == __ATOMIC_RELEASE)
                __atomic_store_n(at, htole64(word), __ATOMIC_RELEASE);
        else
                __atomic_store_n(at, htole64(word), __ATOMIC_RELAXED);
}

static void append(struct sg_ring *r, const void *record, size_t n)
{
        uint64_t sequence = r->sequence + 1, next = r->position + ring_frame_bytes(n);
        uint32_t crc = ring_frame_crc_start(r->id, r->position, sequence, (uint32_t)n);

        crc = sg_crc32c(crc, record, n);
        put_word(r, next, 0, __ATOMIC_RELAXED);
        put_bytes(r, r->position + RING_FRAME_HEAD_BYTES, record, n);
        put_word(r, r->position + 8, (uint64_t)crc << 32 | n, __ATOMIC_RELAXED);
        put_word(r, r->position, sequence, __ATOMIC_RELEASE);
        /* The hint must not be seen before the frame: another release. */
        __atomic_store_n((uint64_t *)(void *)(r->map + RING_WRITTEN_AT), htole64(sequence), __ATOMIC_RELEASE);

        r->sequence = sequence;
        r->position = next;
        atomic_store_explicit(&r->written_position, next, memory_order_relaxed);
        atomic_store_explicit(&r->written, sequence, memory_order_release);
}

int sg_ring_open(struct sg_ring *r, struct sg_record *rec, uint64_t *ret_exchange)
{
        uint64_t n_open = atomic_load_explicit(&r->n_open, memory_order_relaxed), need;
        uint8_t bytes[SG_RECORD_BYTES_MAX];
        size_t n = 0;
        int e;

        rec->kind = SG_RECORD_OPEN;
        rec->exchange = r->sequence + 1;
        sg_record_fit(rec);
        e = sg_record_encode(rec, bytes, sizeof(bytes), &n);
        SG_ASSERT(e == 0);

        need = ring_frame_bytes(n) + (n_open + 1) * RING_CLOSE_FRAME_BYTES + RING_SPARE_BYTES;
        if (r->position - r->drained_position + need > r->size) {
                mark_refresh(r);
                if (r->position - r->drained_position + need > r->size)
                        return SG_RING_E_FULL;
        }
        append(r, bytes, n);
        atomic_store_explicit(&r->n_open, n_open + 1, memory_order_relaxed);
        *ret_exchange = rec->exchange;
        return 0;
}

void sg_ring_close(struct sg_ring *r, uint64_t exchange, struct sg_record *rec, uint64_t *ret_sequence)
{
        uint64_t n_open = atomic_load_explicit(&r->n_open, memory_order_relaxed);
        uint8_t bytes[SG_RECORD_CLOSE_BYTES_MAX];
        size_t n = 0;
        int e;

        SG_ASSERT(n_open > 0 && exchange > 0 && exchange <= r->sequence);
        rec->kind = SG_RECORD_CLOSE;
        rec->exchange = exchange;
        sg_record_fit(rec);
        e = sg_record_encode(rec, bytes, sizeof(bytes), &n);
        SG_ASSERT(e == 0);

        append(r, bytes, n);
        atomic_store_explicit(&r->n_open, n_open - 1, memory_order_relaxed);
        *ret_sequence = r->sequence;
}

/* ---- what other threads ask */

uint64_t sg_ring_written(const struct sg_ring *r)
{
        return atomic_load_explicit(&r->written, memory_order_acquire);
}

uint64_t sg_ring_synced(const struct sg_ring *r)
{
        return atomic_load_explicit(&r->synced, memory_order_acquire);
}

/* Places [from, to) of the circle, widened to whole pages. */
static int sync_range(struct sg_ring *r, uint64_t from, uint64_t to)
{
        uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
        uint64_t first = (RING_HEADER_BYTES + from) / page * page;
        uint64_t end = SG_MIN((RING_HEADER_BYTES + to + page - 1) / page * page, r->map_bytes);

        if (from >= to)
                return 0;
#ifdef MADV_POPULATE_WRITE
        if (r->sync_failed)
                (void)madvise(r->map + first, end - first,
                              MADV_POPULATE_WRITE); /* before Linux 5.14: unknown, no harm */
#endif
        if (msync(r->map + first, end - first, MS_SYNC) < 0)
                return -errno;
        /* What is on disk need not count as this process's memory: without this its resident size grows to the whole
         * ring within one lap. The last page is still being written; the file keeps all of it. */
        if (end - first > page)
                (void)madvise(r->map + first, end - first - page, MADV_DONTNEED);
        return 0;
}

int sg_ring_sync(struct sg_ring *r)
{
        uint64_t sequence = atomic_load_explicit(&r->written, memory_order_acquire);
        uint64_t to = atomic_load_explicit(&r->written_position, memory_order_relaxed);
        uint64_t from = r->synced_position;
        int e;

        if (to == from)
                return 0;
        if (to - from >= r->size)
                e = sync_range(r, 0, r->size);
        else if (from % r->size < to % r->size)
                e = sync_range(r, from % r->size, to % r->size);
        else {
                e = sync_range(r, from % r->size, r->size);
                if (!e)
                        e = sync_range(r, 0, to % r->size);
        }
        r->sync_failed = e != 0;
        if (e)
                return e;
        r->synced_position = to;
        atomic_store_explicit(&r->synced, sequence, memory_order_release);
        return 0;
}

void sg_ring_get_fill(const struct sg_ring *r, struct sg_ring_fill *ret)
{
        struct sg_ring_fill f = {.bytes = r->size};
        uint64_t sequence = 0, position = 0, written_position;

        /* It is half written for a moment only; a reader that died in that moment shows as "nothing drained". */
        for (int tries = 0; tries < 3 && !mark_read(r, &sequence, &position); tries++)
                continue;
        f.written = sg_ring_written(r);
        written_position = atomic_load_explicit(&r->written_position, memory_order_relaxed);
        /* The reader may have seen a frame of which this thread has not been told yet. */
        sequence = SG_MIN(sequence, f.written);
        f.used_bytes = written_position - SG_MIN(position, written_position);
        f.n_open = atomic_load_explicit(&r->n_open, memory_order_relaxed);
        f.kept_bytes = f.n_open * RING_CLOSE_FRAME_BYTES;
        f.synced = sg_ring_synced(r);
        f.drained = sequence;
        *ret = f;
}
