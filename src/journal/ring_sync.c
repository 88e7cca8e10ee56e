/*
 * From the stage to the disk.
 *
 * Records were stored into a mapping of the ring's file once. Each msync() makes the pages read-only, so that the next
 * store of the worker faults into the file system, which takes its time: it changes the file's times, for which it may
 * wait for a commit of its log, and it may have to wait for the page while that is being written. Measured (docs/
 * benchmarks.md): 60 ms beside other work on a slow disk, 500 ms on one that hangs. So the worker stores into memory,
 * and this thread alone waits for the disk.
 *
 * Positions in [dropped_to, dropped_to + size) are the writer's: what this thread may still copy is never overwritten.
 * dropped_to follows what the disk has; when the disk fails, what the database has: that needs the disk no more, so the
 * ring goes on as long as the ledger drains it out of the stage. In a tmpfs only a window of the stage has memory:
 * this thread gives back what is behind dropped_to and asks for what comes next, ahead of the writer, who asks itself
 * when it is faster than that. Memory that was not granted is never stored to (it would be a SIGBUS).
 *
 * A failed fdatasync() leaves the pages clean though they did not reach the disk (Linux): they are written again from the
 * stage, which is dropped only after success.
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#include "journal/writer.h"

#define CHUNK_BYTES (64u * 1024u)
#define AHEAD_BYTES (256u * 1024u)

/* ---- memory */

/* The stretch of the circle at position, as long as it is in one piece. */
static uint64_t piece(const struct sg_ring *r, uint64_t position, uint64_t to, uint64_t *ret_at)
{
        *ret_at = position % r->size;
        return SG_MIN(to - position, r->size - *ret_at);
}

static int stage_allocate(struct sg_ring *r, uint64_t from, uint64_t to, bool is_ahead)
{
        uint64_t at, n;

        for (; from < to; from += n) {
                n = piece(r, from, to, &at);
                while (fallocate(r->stage_fd, 0, (off_t)(RING_HEADER_BYTES + at), (off_t)n) < 0) {
                        if (errno != EINTR)
                                return SG_RING_E_STAGE;
                }
#ifdef MADV_POPULATE_WRITE
                /* The page tables, too, so that not even a fault is left to the worker. Since Linux 5.14; else it has
                 * them. */
                if (is_ahead)
                        (void)madvise(r->map + RING_HEADER_BYTES + at, n, MADV_POPULATE_WRITE);
#endif
        }
        return 0;
}

int ring_back(struct sg_ring *r, uint64_t to, bool is_ahead)
{
        uint64_t backed = atomic_load_explicit(&r->backed_to, memory_order_acquire);
        uint64_t limit = atomic_load_explicit(&r->dropped_to, memory_order_acquire) + r->size;
        uint64_t end;

        if (to > limit)
                return SG_RING_E_STAGE;
        if (!r->is_windowed || to <= backed)
                return 0;
        end = SG_MIN(limit, (to + CHUNK_BYTES - 1) / CHUNK_BYTES * CHUNK_BYTES);
        if (stage_allocate(r, backed, end, is_ahead) != 0)
                return SG_RING_E_STAGE;
        while (backed < end && !atomic_compare_exchange_weak_explicit(&r->backed_to, &backed, end, memory_order_acq_rel,
                                                                      memory_order_acquire))
                continue;
        return 0;
}

/* In whole chunks, since it is a call each; and published only when it is done, so that none of it is asked for again
 * before. */
static void drop(struct sg_ring *r, uint64_t to)
{
        uint64_t from = atomic_load_explicit(&r->dropped_to, memory_order_relaxed), at, n;

        if (r->is_windowed) {
                to = to / CHUNK_BYTES * CHUNK_BYTES;
                for (uint64_t p = from; p < to; p += n) {
                        n = piece(r, p, to, &at);
                        if (fallocate(r->stage_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                      (off_t)(RING_HEADER_BYTES + at), (off_t)n) < 0)
                                break; /* it keeps its memory for a lap */
                }
        }
        if (to > from)
                atomic_store_explicit(&r->dropped_to, to, memory_order_release);
}

/* ---- the disk */

static int write_all(int fd, const void *data, uint64_t n, uint64_t at)
{
        for (uint64_t done = 0; done < n;) {
                ssize_t put = pwrite(fd, (const uint8_t *)data + done, n - done, (off_t)(at + done));

                if (put < 0 && errno == EINTR)
                        continue;
                if (put <= 0)
                        return put < 0 ? -errno : -EIO;
                done += (uint64_t)put;
        }
        return 0;
}

/* Frames, nothing behind them, and the hint of how many there are. */
static int copy(struct sg_ring *r, uint64_t from, uint64_t to, uint64_t sequence)
{
        uint64_t zero = 0, hint = htole64(sequence), at, n;
        int e = 0;

        for (uint64_t p = from; p < to && !e; p += n) {
                n = piece(r, p, to, &at);
                e = write_all(r->fd, r->map + RING_HEADER_BYTES + at, n, RING_HEADER_BYTES + at);
        }
        if (!e)
                e = write_all(r->fd, &zero, sizeof(zero), RING_HEADER_BYTES + to % r->size);
        if (!e)
                e = write_all(r->fd, &hint, sizeof(hint), RING_WRITTEN_AT);
        if (!e && fdatasync(r->fd) < 0)
                e = -errno;
        return e;
}

/* A ledger that does not see the stage (it is older, or somebody has removed the name) leaves its mark in the file
 * only. */
static void bring_mark(struct sg_ring *r)
{
        uint64_t words[3], sequence = 0, position = 0;

        if (pread(r->fd, words, sizeof(words), RING_MARK_AT) != (ssize_t)sizeof(words) ||
            le64toh(words[2]) != ring_mark_check(r->id, le64toh(words[0]), le64toh(words[1])))
                return;
        if (ring_mark_read(r, &sequence, &position) && sequence >= le64toh(words[0]))
                return;
        for (size_t i = 0; i < SG_N_ELEMENTS(words); i++)
                __atomic_store_n((uint64_t *)(void *)(r->map + RING_MARK_AT) + i, words[i], __ATOMIC_RELEASE);
}

/* What the database holds needs the disk no more. */
static void count_drained(struct sg_ring *r, uint64_t to)
{
        uint64_t sequence = 0, position = 0;

        if (!ring_mark_read(r, &sequence, &position) || position <= r->synced_position || position > to)
                return;
        r->synced_position = position;
        atomic_store_explicit(&r->synced, sequence, memory_order_release);
}

int sg_ring_sync(struct sg_ring *r)
{
        uint64_t sequence = atomic_load_explicit(&r->written, memory_order_acquire);
        uint64_t to = atomic_load_explicit(&r->written_position, memory_order_acquire);
        int e = 0;

        atomic_store_explicit(&r->is_short, false, memory_order_relaxed);
        bring_mark(r);
        if (to != r->synced_position) {
                e = copy(r, r->synced_position, to, sequence);
                if (e)
                        count_drained(r, to);
                else {
                        r->synced_position = to;
                        atomic_store_explicit(&r->synced, sequence, memory_order_release);
                }
                drop(r, r->synced_position);
        }
        if (ring_back(r, to + SG_MIN(AHEAD_BYTES, r->size / 4), true) != 0)
                return e; /* the writer will say so, should it come to that */
        return e;
}
