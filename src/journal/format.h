/*
 * journal/format.h - the bytes of a ring file, for the two ends of it; private to this room
 *
 * Shape    a page of header, then the data area, a circle of frames. A frame is 8-byte aligned: sequence, length and
 *          checksum (16 bytes), then the record; it may go on at the start of the circle. A position counts all bytes
 *          ever appended; its remainder by the size of the circle is the place
 * Units    bytes; positions and sequences are u64, little endian
 * Source   a frame is there when its sequence is the expected one and its checksum holds. The checksum covers the
 *          ring's random identity, the position, the sequence, the length and the record: a frame of an earlier lap,
 *          of another ring, or one forged inside a client's model name does not pass. (A wrap marker would do the same
 *          job as going on at the start, and waste the end of the circle.)
 *          A stage is a file of the same bytes at the same places, in memory: the writer appends there, and the sync
 *          thread copies. A frame counts wherever it is found whole
 */
#pragma once

#include <endian.h>
#include <stdatomic.h>

#include "base/digest.h"
#include "journal/ring.h"

#define RING_MAGIC "SGRING\r\n"
/* Raised with each new form of a record, so that an older ledger leaves such a ring alone and says so, and does not take
 * its records for damage; and for 3, whose newest records stand in the stage, which it would not look at. The form of
 * the ring itself is still the first. */
#define RING_VERSION       3u
#define RING_VERSION_FIRST 1u
#define RING_HEADER_BYTES  4096u
#define RING_BYTES_MAX     (UINT64_C(1) << 40)
#define RING_ALIGN         8u

/* Written once, before the file has its name; fixed_crc covers what stands above it. */
struct ring_fixed {
        char magic[8];
        uint32_t version, header_bytes;
        uint8_t id[SG_RING_ID_CHARS / 2];
        uint64_t data_bytes;
        uint64_t writer_pid;
        uint64_t created_wall_usec;
        uint32_t fixed_crc;
        uint32_t zero;
};

/* The reader's: all up to here is committed. Three words that may be seen half written: the check tells. */
struct ring_mark {
        uint64_t sequence, position, check;
};

#define RING_WRITTEN_AT 1024u /* u64: the last sequence appended; the writer's hint */
#define RING_MARK_AT    2048u

struct ring_frame {
        uint64_t sequence;
        uint32_t length; /* of the record */
        uint32_t crc;
};

#define RING_FRAME_HEAD_BYTES sizeof(struct ring_frame)

_Static_assert(sizeof(struct ring_frame) == 16, "two words");
_Static_assert(sizeof(struct ring_fixed) <= RING_WRITTEN_AT, "the header's parts");

static inline uint64_t ring_frame_bytes(uint64_t record_bytes)
{
        return (RING_FRAME_HEAD_BYTES + record_bytes + RING_ALIGN - 1) & ~(uint64_t)(RING_ALIGN - 1);
}

#define RING_CLOSE_FRAME_BYTES                                                                                         \
        ((RING_FRAME_HEAD_BYTES + SG_RECORD_CLOSE_BYTES_MAX + RING_ALIGN - 1) & ~(RING_ALIGN - 1))
/* Without raw_usage, which may be dropped. */
#define RING_SHORT_CLOSE_FRAME_BYTES                                                                                   \
        ((RING_FRAME_HEAD_BYTES + SG_RECORD_CLOSE_BYTES_MAX - SG_RAW_USAGE_BYTES_MAX + RING_ALIGN - 1) &               \
         ~(RING_ALIGN - 1))
/* Behind the last frame the sequence word of the next stays writable, so that it can be set to zero. */
#define RING_SPARE_BYTES RING_FRAME_HEAD_BYTES

static inline uint32_t ring_fixed_crc(const struct ring_fixed *f)
{
        return sg_crc32c(0, f, offsetof(struct ring_fixed, fixed_crc));
}

/* The checksum before the record's bytes. */
static inline uint32_t ring_frame_crc_start(const uint8_t *id, uint64_t position, uint64_t sequence, uint32_t length)
{
        uint64_t words[3] = {htole64(position), htole64(sequence), htole64(length)};

        return sg_crc32c(sg_crc32c(0, id, SG_RING_ID_CHARS / 2), words, sizeof(words));
}

static inline uint64_t ring_mark_check(const uint8_t *id, uint64_t sequence, uint64_t position)
{
        return (uint64_t)ring_frame_crc_start(id, position, sequence, UINT32_MAX) | UINT64_C(1) << 32;
}
