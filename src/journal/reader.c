/*
 * The reader's end. The file belongs to another process, which may be mad: nothing here is mapped (a file that shrinks
 * under a mapping is a SIGBUS), all is copied with pread() into memory of our own and checked there. What pread() does
 * not give, because the file was cut, counts as zero bytes, and zero is no frame.
 *
 * A frame may stand in the ring's file, in the stage, or in both: the file has what was copied, the stage what was not,
 * and what the writer copies and drops between two looks is found at the next. So each place is looked up in the file
 * first and then in the stage; a frame that is whole is the frame, wherever it stands, since its checksum knows its
 * identity and place.
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
        int stage_fd;   /* -1: none */
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

/* Fills the window anew from position on, out of the ring's file or its stage. */
static int window_load(struct sg_ring_reader *r, int fd, uint64_t position)
{
        uint64_t at = position % r->size;
        size_t n = (size_t)SG_MIN((uint64_t)WINDOW_BYTES, r->size), first = (size_t)SG_MIN((uint64_t)n, r->size - at);
        int e;

        r->window_bytes = 0;
        e = read_at(fd, r->window, first, RING_HEADER_BYTES + at);
        if (!e && n > first)
                e = read_at(fd, r->window + first, n - first, RING_HEADER_BYTES);
        if (e)
                return e;
        r->window_position = position;
        r->window_bytes = n;
        return 0;
}

static uint64_t load_hint(int fd)
{
        uint64_t word = 0;

        if (fd < 0 || read_at(fd, &word, sizeof(word), RING_WRITTEN_AT) < 0)
                return 0;
        return le64toh(word);
}

/* A mark that is further than *ret, ours of earlier. False when there is none or it is damaged. */
static bool load_mark(const struct sg_ring_reader *r, int fd, struct ring_mark *ret)
{
        struct ring_mark mark;

        if (fd < 0 || read_at(fd, &mark, sizeof(mark), RING_MARK_AT) < 0)
                return false;
        mark.sequence = le64toh(mark.sequence);
        mark.position = le64toh(mark.position);
        if (le64toh(mark.check) != ring_mark_check(r->id, mark.sequence, mark.position) || mark.position % RING_ALIGN ||
            mark.sequence < ret->sequence)
                return false;
        *ret = mark;
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

/* Not blocking: the name may be a pipe's. *ret_fixed is zero where the file has no more. */
static int open_file(const char *path, int *ret_fd, struct ring_fixed *ret_fixed, uint64_t *ret_bytes)
{
        struct stat st;

        *ret_fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
        if (*ret_fd < 0)
                return errno == ELOOP || errno == EISDIR || errno == ENXIO ? SG_RING_E_BAD : -errno;
        if (fstat(*ret_fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) || st.st_size < (off_t)RING_HEADER_BYTES)
                return SG_RING_E_BAD;
        *ret_bytes = (uint64_t)st.st_size;
        return read_at(*ret_fd, ret_fixed, sizeof(*ret_fixed), 0);
}

/* 0 also when there is none: after a boot the disk has all there is. */
static int open_stage(struct sg_ring_reader *r, const char *path, const struct ring_fixed *fixed)
{
        struct ring_fixed of_stage;
        uint64_t bytes;
        int e = open_file(path, &r->stage_fd, &of_stage, &bytes);

        if (!e && bytes == RING_HEADER_BYTES + r->size && memcmp(&of_stage, fixed, sizeof(of_stage)) == 0)
                return 0;
        if (r->stage_fd >= 0)
                (void)close(r->stage_fd);
        r->stage_fd = -1;
        return e == -ENOENT || e >= 0 ? 0 : e;
}

int sg_ring_reader_open(struct sg_ring_reader **ret, const char *path, const char *stage_path)
{
        SG_AUTO(sg_ring_reader_free) struct sg_ring_reader *r = NULL;
        struct ring_fixed fixed;
        uint64_t bytes;
        int e;

        r = calloc(1, sizeof(*r));
        if (!r)
                return -ENOMEM;
        r->stage_fd = -1;
        e = open_file(path, &r->fd, &fixed, &bytes);
        if (!e)
                e = check_fixed(r, &fixed, bytes);
        if (!e && stage_path)
                e = open_stage(r, stage_path, &fixed);
        if (e)
                return e;
        *ret = SG_GIVE(r);
        return 0;
}

struct sg_ring_reader *sg_ring_reader_free(struct sg_ring_reader *r)
{
        if (!r)
                return NULL;
        if (r->stage_fd >= 0)
                (void)close(r->stage_fd);
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

static int frame_load(struct sg_ring_reader *r, int fd, struct ring_frame *ret, const uint8_t **ret_record)
{
        int e = window_load(r, fd, r->position);

        return e ? e : frame_check(r, r->position, r->sequence + 1, r->sequence + 1, ret, ret_record);
}

/* The frame after the last one, from the window or, when it is not whole there, from the file, else the stage. */
static int frame_next(struct sg_ring_reader *r, struct ring_frame *ret, const uint8_t **ret_record)
{
        uint64_t expected = r->sequence + 1;
        int e, e_stage;

        if (r->window_bytes && r->position >= r->window_position &&
            r->position - r->window_position < r->window_bytes &&
            frame_check(r, r->position, expected, expected, ret, ret_record) == 0)
                return 0;
        e = frame_load(r, r->fd, ret, ret_record);
        if (e == 0 || r->stage_fd < 0)
                return e;
        e_stage = frame_load(r, r->stage_fd, ret, ret_record);
        return e_stage == 0 || e_stage == SG_RING_E_TORN ? e_stage : e;
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

struct search {
        int fd;
        uint64_t least, most; /* the sequences that may follow */
        uint64_t end;         /* positions before this */
        uint64_t position, sequence;
};

/* Is there a whole frame at position? */
static int frame_probe(struct sg_ring_reader *r, struct search *s, uint64_t position)
{
        struct ring_frame f;
        const uint8_t *record;
        int e = frame_check(r, position, s->least, s->most, &f, &record);

        /* What looks like a frame at the window's end needs the rest of it. */
        if (e == SG_RING_E_TORN && position > r->window_position &&
            position - r->window_position + ring_frame_bytes(SG_RECORD_BYTES_MAX) > r->window_bytes) {
                e = window_load(r, s->fd, position);
                if (!e)
                        e = frame_check(r, position, s->least, s->most, &f, &record);
        }
        if (!e)
                s->sequence = f.sequence;
        return e;
}

/* 0, SG_RING_E_END, -errno. */
static int search_on(struct sg_ring_reader *r, struct search *s)
{
        unsigned n_false = 0;
        int e;

        r->window_bytes = 0;
        for (s->position = r->position + RING_ALIGN; s->position < s->end; s->position += RING_ALIGN) {
                if (s->position < r->window_position ||
                    s->position - r->window_position + sizeof(struct ring_frame) > r->window_bytes) {
                        e = window_load(r, s->fd, s->position);
                        if (e)
                                return e;
                }
                e = frame_probe(r, s, s->position);
                if (e <= 0)
                        return e;
                if (e == SG_RING_E_TORN && ++n_false > FALSE_FRAMES_MAX)
                        break;
        }
        return SG_RING_E_END;
}

int sg_ring_reader_resync(struct sg_ring_reader *r, uint64_t *ret_lost)
{
        struct search s = {.fd = r->fd,
                           .least = r->sequence + 2,
                           .most = r->sequence + 1 + r->size / RING_FRAME_HEAD_BYTES,
                           .end = r->position + r->size};
        struct search found = s;
        int e = search_on(r, &found), e_stage = SG_RING_E_END;

        if (e >= 0 && r->stage_fd >= 0) {
                s.fd = r->stage_fd;
                if (e == 0)
                        s.end = found.position; /* the earlier of the two */
                e_stage = search_on(r, &s);
        }
        r->window_bytes = 0;
        if (e_stage == 0)
                found = s;
        if (e < 0 || (e && e_stage))
                return e < 0 ? e : e_stage;
        *ret_lost = found.sequence - r->sequence - 1;
        r->sequence = found.sequence - 1;
        r->position = found.position;
        return 0;
}

/* ---- positions */

int sg_ring_reader_seek(struct sg_ring_reader *r, uint64_t sequence, uint64_t offset)
{
        struct ring_mark mark = {0};
        struct ring_frame f;
        bool has_mark;
        const uint8_t *record;

        if (offset % RING_ALIGN || offset / RING_FRAME_HEAD_BYTES < sequence)
                return SG_RING_E_BAD;
        r->sequence = sequence;
        r->position = offset;
        r->window_bytes = 0;
        has_mark = load_mark(r, r->fd, &mark);
        has_mark |= load_mark(r, r->stage_fd, &mark);
        if (!has_mark || mark.sequence <= sequence || mark.position <= offset)
                return 0;
        /* Released before, yet the database does not know: an older database was put in its place. What is not
         * overwritten is there in order. */
        if (frame_next(r, &f, &record) == 0)
                return 0;
        r->sequence = mark.sequence;
        r->position = mark.position;
        return SG_RING_E_GONE;
}

int sg_ring_reader_get_info(struct sg_ring_reader *r, struct sg_ring_info *ret)
{
        /* The stage's lock is the writer's alone; the ring's is also taken by who drains an orphan. */
        int fd = r->stage_fd >= 0 ? r->stage_fd : r->fd;
        struct ring_fixed fixed;
        int e = read_at(r->fd, &fixed, sizeof(fixed), 0);

        if (e)
                return e;
        *ret = (struct sg_ring_info){.bytes = r->size,
                                     .version = le32toh(fixed.version),
                                     .writer_pid = le64toh(fixed.writer_pid),
                                     .created_wall_usec = le64toh(fixed.created_wall_usec),
                                     .has_stage = r->stage_fd >= 0};
        if (flock(fd, LOCK_SH | LOCK_NB) < 0)
                ret->is_owned = true;
        else
                (void)flock(fd, LOCK_UN);
        return 0;
}

void sg_ring_reader_seek_released(struct sg_ring_reader *r)
{
        struct ring_mark mark = {0};

        (void)load_mark(r, r->fd, &mark);
        (void)load_mark(r, r->stage_fd, &mark);
        r->sequence = mark.sequence;
        r->position = mark.position;
        r->window_bytes = 0;
}

uint64_t sg_ring_reader_written(struct sg_ring_reader *r)
{
        uint64_t of_file = load_hint(r->fd), of_stage = load_hint(r->stage_fd);

        return SG_MAX(of_file, of_stage);
}

uint64_t sg_ring_reader_released(struct sg_ring_reader *r)
{
        struct ring_mark mark = {0};

        (void)load_mark(r, r->fd, &mark);
        (void)load_mark(r, r->stage_fd, &mark);
        return mark.sequence;
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

        /* The stage's page is the writer's page: on Linux a shared mapping and pwrite() see one another at once. The file
         * first, since the sync thread brings the stage what only the file has. A failure (the file was cut, the disk
         * is gone) costs room in the ring only, and the next release tries again. */
        if (pwrite(r->fd, &mark, sizeof(mark), RING_MARK_AT) < 0 && r->stage_fd < 0)
                return;
        if (r->stage_fd >= 0 && pwrite(r->stage_fd, &mark, sizeof(mark), RING_MARK_AT) < 0)
                return;
}
