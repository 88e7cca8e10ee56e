/*
 * The reader's end. The file belongs to another process, which may be mad: nothing here is mapped (a file that shrinks
 * under a mapping is a SIGBUS), all is copied with pread() into memory of our own and checked there. What pread() does
 * not give, because the file was cut, counts as zero bytes, and zero is no frame.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal/format.h"

#define WINDOW_BYTES (128u * 1024u)
/* Places that looked like frames and were none, after which resync gives up: a file made of such places costs time. */
#define FALSE_FRAMES_MAX 10000u

struct sg_ring_reader {
        int fd;
        bool is_orphan; /* once true, the lock is ours and stays so */
        uint64_t size;
        uint8_t id[SG_RING_ID_CHARS / 2];
        char id_text[SG_RING_ID_CHARS + 1];
        uint64_t sequence, position; /* of the last record read; behind it */
        /* A copy of the bytes [window_position, + window_bytes) of the circle. */
        uint64_t window_position;
        size_t window_bytes;
        uint8_t window[WINDOW_BYTES];
};

_Static_assert(WINDOW_BYTES >= 2 * (SG_RECORD_BYTES_MAX + RING_FRAME_HEAD_BYTES), "a frame fits into the window");

/* ---- bytes */

/* Reads n bytes, with zeros for what the file does not have. 0 or -errno. */
static int read_at(int fd, void *out, size_t n, uint64_t at)
{
        size_t done = 0;

        while (done < n) {
                ssize_t got = pread(fd, (uint8_t *)out + done, n - done, (off_t)(at + done));

                if (got < 0 && errno == EINTR)
                        continue;
                if (got < 0)
                        return -errno;
                if (got == 0)
                        break;
                done += (size_t)got;
        }
        memset((uint8_t *)out + done, 0, n - done);
        return 0;
}

/* Fills the window anew from position on. */
static int window_load(struct sg_ring_reader *r, uint64_t position)
{
        uint64_t at = position % r->size;
        size_t n = (size_t)SG_MIN((uint64_t)WINDOW_BYTES, r->size), first = (size_t)SG_MIN((uint64_t)n, r->size - at);
        int e;

        r->window_bytes = 0;
        e = read_at(r->fd, r->window, first, RING_HEADER_BYTES + at);
        if (!e && n > first)
                e = read_at(r->fd, r->window + first, n - first, RING_HEADER_BYTES);
        if (e)
                return e;
        r->window_position = position;
        r->window_bytes = n;
        return 0;
}

static uint64_t load_hint(const struct sg_ring_reader *r)
{
        uint64_t word = 0;

        if (read_at(r->fd, &word, sizeof(word), RING_WRITTEN_AT) < 0)
                return 0;
        return le64toh(word);
}

/* The mark in the file, ours of earlier. False when there is none or it is damaged. */
static bool load_mark(const struct sg_ring_reader *r, uint64_t *ret_sequence, uint64_t *ret_position)
{
        struct ring_mark mark;

        if (read_at(r->fd, &mark, sizeof(mark), RING_MARK_AT) < 0)
                return false;
        mark.sequence = le64toh(mark.sequence);
        mark.position = le64toh(mark.position);
        if (le64toh(mark.check) != ring_mark_check(r->id, mark.sequence, mark.position) || mark.position % RING_ALIGN)
                return false;
        *ret_sequence = mark.sequence;
        *ret_position = mark.position;
        return true;
}

/* ---- opening */

static int check_fixed(struct sg_ring_reader *r, const struct ring_fixed *f, uint64_t file_bytes)
{
        uint64_t size = le64toh(f->data_bytes);
        uint32_t version = le32toh(f->version);

        if (memcmp(f->magic, RING_MAGIC, sizeof(f->magic)) != 0 || version < RING_VERSION_FIRST ||
            version > RING_VERSION || le32toh(f->header_bytes) != RING_HEADER_BYTES ||
            le32toh(f->fixed_crc) != ring_fixed_crc(f))
                return SG_RING_E_BAD;
        if (size < SG_RING_BYTES_MIN || size > RING_BYTES_MAX || size % RING_ALIGN ||
            file_bytes != RING_HEADER_BYTES + size)
                return SG_RING_E_BAD;
        r->size = size;
        memcpy(r->id, f->id, sizeof(r->id));
        sg_hex(r->id_text, r->id, sizeof(r->id));
        return 0;
}

int sg_ring_reader_open(struct sg_ring_reader **ret, const char *path)
{
        SG_AUTO(sg_ring_reader_free) struct sg_ring_reader *r = NULL;
        struct ring_fixed fixed;
        struct stat st;
        int e;

        r = calloc(1, sizeof(*r));
        if (!r)
                return -ENOMEM;
        /* Not blocking: the name may be a pipe's. */
        r->fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
        if (r->fd < 0)
                return errno == ELOOP || errno == EISDIR || errno == ENXIO ? SG_RING_E_BAD : -errno;
        if (fstat(r->fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) || st.st_size < (off_t)RING_HEADER_BYTES)
                return SG_RING_E_BAD;
        e = read_at(r->fd, &fixed, sizeof(fixed), 0);
        if (!e)
                e = check_fixed(r, &fixed, (uint64_t)st.st_size);
        if (e)
                return e;
        *ret = SG_GIVE(r);
        return 0;
}

struct sg_ring_reader *sg_ring_reader_free(struct sg_ring_reader *r)
{
        if (!r)
                return NULL;
        if (r->fd >= 0)
                (void)close(r->fd);
        free(r);
        return NULL;
}

const char *sg_ring_reader_id(const struct sg_ring_reader *r)
{
        return r->id_text;
}

bool sg_ring_reader_is_orphan(struct sg_ring_reader *r)
{
        if (!r->is_orphan && flock(r->fd, LOCK_EX | LOCK_NB) == 0)
                r->is_orphan = true;
        return r->is_orphan;
}

/* ---- frames */

/* A whole frame with this sequence (0: any from `least` on) in the window at position? *ret points to the record. */
static int frame_check(const struct sg_ring_reader *r, uint64_t position, uint64_t least, uint64_t most,
                       struct ring_frame *ret, const uint8_t **ret_record)
{
        uint64_t off = position - r->window_position;
        struct ring_frame f;
        uint32_t crc;

        if (off + sizeof(f) > r->window_bytes)
                return SG_RING_E_END;
        memcpy(&f, r->window + off, sizeof(f));
        f.sequence = le64toh(f.sequence);
        f.length = le32toh(f.length);
        f.crc = le32toh(f.crc);
        if (f.sequence < least || f.sequence > most)
                return SG_RING_E_END;
        if (f.length > SG_RECORD_BYTES_MAX || off + sizeof(f) + f.length > r->window_bytes)
                return SG_RING_E_TORN;
        crc = ring_frame_crc_start(r->id, position, f.sequence, f.length);
        if (sg_crc32c(crc, r->window + off + sizeof(f), f.length) != f.crc)
                return SG_RING_E_TORN;
        *ret = f;
        *ret_record = r->window + off + sizeof(f);
        return 0;
}

/* The frame after the last one, from the window or, when it is not whole there, from the file. */
static int frame_next(struct sg_ring_reader *r, struct ring_frame *ret, const uint8_t **ret_record)
{
        uint64_t expected = r->sequence + 1;
        int e;

        if (r->window_bytes && r->position >= r->window_position &&
            r->position - r->window_position < r->window_bytes &&
            frame_check(r, r->position, expected, expected, ret, ret_record) == 0)
                return 0;
        e = window_load(r, r->position);
        if (e)
                return e;
        return frame_check(r, r->position, expected, expected, ret, ret_record);
}

int sg_ring_reader_next(struct sg_ring_reader *r, struct sg_record *ret, uint64_t *ret_sequence)
{
        struct ring_frame f;
        const uint8_t *record;
        int e;

        e = frame_next(r, &f, &record);
        if (e)
                return e;
        r->sequence = f.sequence;
        r->position += ring_frame_bytes(f.length);
        if (sg_record_decode(ret, record, f.length) != 0)
                return SG_RING_E_BAD;
        *ret_sequence = f.sequence;
        return 0;
}

/* Is there a whole frame at position? Its sequence lies in [least, most]. */
static int frame_probe(struct sg_ring_reader *r, uint64_t position, uint64_t least, uint64_t most,
                       uint64_t *ret_sequence)
{
        struct ring_frame f;
        const uint8_t *record;
        int e = frame_check(r, position, least, most, &f, &record);

        /* What looks like a frame at the window's end needs the rest of it. */
        if (e == SG_RING_E_TORN && position > r->window_position &&
            position - r->window_position + ring_frame_bytes(SG_RECORD_BYTES_MAX) > r->window_bytes) {
                e = window_load(r, position);
                if (!e)
                        e = frame_check(r, position, least, most, &f, &record);
        }
        if (!e)
                *ret_sequence = f.sequence;
        return e;
}

int sg_ring_reader_resync(struct sg_ring_reader *r, uint64_t *ret_lost)
{
        uint64_t least = r->sequence + 2, most = r->sequence + 1 + r->size / RING_FRAME_HEAD_BYTES;
        uint64_t found = 0;
        unsigned n_false = 0;
        int e;

        for (uint64_t skip = RING_ALIGN; skip < r->size; skip += RING_ALIGN) {
                uint64_t position = r->position + skip;

                if (position < r->window_position ||
                    position - r->window_position + sizeof(struct ring_frame) > r->window_bytes) {
                        e = window_load(r, position);
                        if (e)
                                return e;
                }
                e = frame_probe(r, position, least, most, &found);
                if (e < 0)
                        return e;
                if (e == SG_RING_E_TORN && ++n_false > FALSE_FRAMES_MAX)
                        break;
                if (e)
                        continue;
                *ret_lost = found - r->sequence - 1;
                r->sequence = found - 1;
                r->position = position;
                return 0;
        }
        r->window_bytes = 0;
        return SG_RING_E_END;
}

/* ---- positions */

int sg_ring_reader_seek(struct sg_ring_reader *r, uint64_t sequence, uint64_t offset)
{
        uint64_t mark_sequence = 0, mark_position = 0;
        struct ring_frame f;
        const uint8_t *record;

        if (offset % RING_ALIGN || offset / RING_FRAME_HEAD_BYTES < sequence)
                return SG_RING_E_BAD;
        r->sequence = sequence;
        r->position = offset;
        r->window_bytes = 0;
        if (!load_mark(r, &mark_sequence, &mark_position) || mark_sequence <= sequence || mark_position <= offset)
                return 0;
        /* Released before, yet the database does not know: an older database was put in its place. What is not
         * overwritten is there in order. */
        if (frame_next(r, &f, &record) == 0)
                return 0;
        r->sequence = mark_sequence;
        r->position = mark_position;
        return SG_RING_E_GONE;
}

uint64_t sg_ring_reader_written(struct sg_ring_reader *r)
{
        return load_hint(r);
}

uint64_t sg_ring_reader_released(struct sg_ring_reader *r)
{
        uint64_t sequence = 0, position = 0;

        return load_mark(r, &sequence, &position) ? sequence : 0;
}

void sg_ring_reader_position(const struct sg_ring_reader *r, uint64_t *ret_sequence, uint64_t *ret_offset)
{
        *ret_sequence = r->sequence;
        *ret_offset = r->position;
}

void sg_ring_reader_release(struct sg_ring_reader *r)
{
        struct ring_mark mark = {
                .sequence = htole64(r->sequence),
                .position = htole64(r->position),
                .check = htole64(ring_mark_check(r->id, r->sequence, r->position)),
        };

        /* The kernel's page is the writer's page: on Linux a shared mapping and pwrite() see one another at once. A
         * failure (the file was cut, the disk is gone) costs room in the ring only, and the next release tries again.
         */
        if (pwrite(r->fd, &mark, sizeof(mark), RING_MARK_AT) != (ssize_t)sizeof(mark))
                return;
}
