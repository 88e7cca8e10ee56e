/*
 * The writer's end.
 *
 * The worker stores into the stage, a mapping of a file in memory (ring_sync.c says what becomes of it): no store of a
 * worker's waits for a disk.
 *
 * A frame is published by its sequence word, stored last and with release order: what SIGKILL leaves in the stage is
 * the stores of a prefix of the program, so either that word is there and all before it, or it is not. Before it is
 * stored, the sequence word of the frame after it is set to zero, so that the reader finds nothing where nothing was
 * appended yet.
 */
#include <string.h>

#include "journal/writer.h"

/* ---- the reader's mark */

static uint64_t load_word(const struct sg_ring *r, uint64_t at)
{
        return le64toh(__atomic_load_n((const uint64_t *)(const void *)(r->map + at), __ATOMIC_ACQUIRE));
}

/* Another process wrote it, perhaps just now: false when it is half written, or was never written. */
bool ring_mark_read(const struct sg_ring *r, uint64_t *ret_sequence, uint64_t *ret_position)
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

        if (!ring_mark_read(r, &sequence, &position) || sequence < r->drained_sequence ||
            position < r->drained_position || sequence > r->sequence || position > r->position)
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
        atomic_store_explicit(&r->written_position, next, memory_order_release);
        atomic_store_explicit(&r->written, sequence, memory_order_release);
}

/* Room in the stage behind a frame of that many bytes, for the (short) closes of n exchanges. */
static int stage_room(struct sg_ring *r, uint64_t frame_bytes, uint64_t n_open)
{
        uint64_t to = r->position + frame_bytes + n_open * RING_SHORT_CLOSE_FRAME_BYTES + RING_SPARE_BYTES;

        return ring_back(r, to, false);
}

static int note_short(struct sg_ring *r, int e)
{
        atomic_store_explicit(&r->is_short, true, memory_order_relaxed);
        return e;
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
                        return note_short(r, SG_RING_E_FULL);
        }
        e = stage_room(r, ring_frame_bytes(n), n_open + 1);
        if (e)
                return note_short(r, e);
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
        if (rec->raw_usage.n && stage_room(r, ring_frame_bytes(n), n_open - 1) != 0) {
                rec->raw_usage = SG_STR_NONE;
                e = sg_record_encode(rec, bytes, sizeof(bytes), &n);
                SG_ASSERT(e == 0);
        }

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

bool sg_ring_wants_sync(const struct sg_ring *r)
{
        return sg_ring_written(r) != sg_ring_synced(r) || atomic_load_explicit(&r->is_short, memory_order_relaxed);
}

void sg_ring_get_fill(const struct sg_ring *r, struct sg_ring_fill *ret)
{
        struct sg_ring_fill f = {.bytes = r->size};
        uint64_t sequence = 0, position = 0, written_position;

        /* It is half written for a moment only; a reader that died in that moment shows as "nothing drained". */
        for (int tries = 0; tries < 3 && !ring_mark_read(r, &sequence, &position); tries++)
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
