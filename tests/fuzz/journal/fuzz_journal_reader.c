#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "journal/format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Frames only pass with their checksums, which no fuzzer guesses: a 'F' as the first byte has them put right (header
 * and the frames from the start of the circle on), so that what lies behind is reached. */
static void put_right(uint8_t *file, size_t n)
{
        struct ring_fixed *fixed = (struct ring_fixed *)(void *)file;
        uint64_t position = 0, size = n - RING_HEADER_BYTES;

        fixed->data_bytes = htole64(size);
        fixed->fixed_crc = htole32(ring_fixed_crc(fixed));
        for (uint64_t sequence = 1; position + sizeof(struct ring_frame) <= size; sequence++) {
                struct ring_frame *f = (struct ring_frame *)(void *)(file + RING_HEADER_BYTES + position);
                uint32_t length = le32toh(f->length);

                if (le64toh(f->sequence) != sequence || length > size - position - sizeof(*f))
                        break;
                f->crc = htole32(sg_crc32c(ring_frame_crc_start(fixed->id, position, sequence, length), f + 1, length));
                position += ring_frame_bytes(length);
        }
}

static void read_path(const char *name)
{
        SG_AUTO(sg_ring_reader_free) struct sg_ring_reader *r = NULL;
        uint64_t sequence = 0, offset = 0, lost;
        struct sg_record rec;
        int e = 0;

        if (sg_ring_reader_open(&r, name, NULL) != 0)
                return;
        if (sg_ring_reader_seek(r, 0, 0) == SG_RING_E_BAD)
                abort();
        for (unsigned i = 0; i < 1000; i++) {
                e = sg_ring_reader_next(r, &rec, &sequence);
                if (e == 0 || e == SG_RING_E_BAD)
                        continue;
                if (sg_ring_reader_resync(r, &lost) != 0)
                        break;
        }
        sg_ring_reader_position(r, &sequence, &offset);
        sg_ring_reader_release(r);
        if (sg_ring_reader_seek(r, sequence, offset) < 0)
                abort();
}

static char path[64];

static void remove_path(void)
{
        (void)unlink(path);
}

/* A file with a name: the reader follows no link, and memfd's only name is one. */
static int open_path(void)
{
        static int fd = -1;

        if (fd >= 0)
                return fd;
        (void)snprintf(path, sizeof(path), "/dev/shm/sg-fuzz-XXXXXX");
        fd = mkstemp(path);
        if (fd < 0) {
                (void)snprintf(path, sizeof(path), "/tmp/sg-fuzz-XXXXXX");
                fd = mkstemp(path);
        }
        if (fd < 0)
                abort();
        (void)atexit(remove_path);
        return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static uint8_t file[RING_HEADER_BYTES + SG_RING_BYTES_MIN];
        size_t n = sizeof(file);
        int fd = open_path();

        if (size < 1)
                return 0;
        memset(file, 0, sizeof(file));
        memcpy(file, data + 1, SG_MIN(size - 1, sizeof(file)));
        if (data[0] == 'F')
                put_right(file, sizeof(file));
        else if (data[0] == 'S')
                n = SG_MIN(size - 1, sizeof(file));
        if (ftruncate(fd, 0) < 0 || pwrite(fd, file, n, 0) != (ssize_t)n)
                abort();
        read_path(path);
        return 0;
}
