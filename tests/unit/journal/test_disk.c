/* A disk that fails: calls of the writer's fail by the names that the journal calls, in place of the C library's. */
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>

#include "common.h"

#include "journal/format.h"

static int pwrite_error, fdatasync_error;

ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at);
ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at)
{
        if (pwrite_error && at >= (off64_t)RING_HEADER_BYTES) {
                errno = pwrite_error;
                return -1;
        }
        return syscall(SYS_pwrite64, fd, data, n, at);
}

int fdatasync(int fd)
{
        if (fdatasync_error) {
                errno = fdatasync_error;
                return -1;
        }
        return (int)syscall(SYS_fdatasync, fd);
}

struct both {
        struct sg_ring *ring;
        struct sg_ring_reader *reader, *disk; /* disk: without the stage */
        char path[400], stage[400];
        uint64_t n_read, n_written;
};

static void begin(struct both *b, size_t bytes)
{
        struct sg_error err;

        *b = (struct both){0};
        pwrite_error = fdatasync_error = 0;
        assert_int_equal(sg_ring_create(&b->ring, test_dir, stage_dir, bytes, &err), 0);
        (void)snprintf(b->path, sizeof(b->path), "%s", ring_path(sg_ring_id(b->ring)));
        (void)snprintf(b->stage, sizeof(b->stage), "%s", stage_path(sg_ring_id(b->ring)));
        assert_int_equal(sg_ring_reader_open(&b->reader, b->path, b->stage), 0);
        assert_int_equal(sg_ring_reader_open(&b->disk, b->path, NULL), 0);
}

static void end(struct both *b)
{
        sg_ring_free(b->ring);
        sg_ring_reader_free(b->reader);
        sg_ring_reader_free(b->disk);
        assert_int_equal(unlink(b->path), 0);
        assert_int_equal(access(b->stage, F_OK), -1);
}

static int add(struct both *b)
{
        struct sg_record rec = sample(b->n_written);
        uint64_t exchange, sequence;
        int e = sg_ring_open(b->ring, &rec, &exchange);

        if (e)
                return e;
        rec = sample(b->n_written++);
        sg_ring_close(b->ring, exchange, &rec, &sequence);
        return 0;
}

static void read_all(struct both *b)
{
        struct sg_record rec;
        uint64_t sequence;

        while (sg_ring_reader_next(b->reader, &rec, &sequence) == 0) {
                assert_int_equal(sequence, ++b->n_read);
                assert_int_equal(rec.key_id, (sequence - 1) / 2);
        }
        assert_int_equal(b->n_read, 2 * b->n_written);
}

static uint64_t count_on_disk(struct both *b)
{
        struct sg_record rec;
        uint64_t sequence, n = 0;

        assert_int_equal(sg_ring_reader_seek(b->disk, 0, 0), 0);
        while (sg_ring_reader_next(b->disk, &rec, &sequence) == 0)
                n++;
        return n;
}

static void test_what_a_full_disk_does_not_take_waits_in_memory(void **state)
{
        struct both b;

        begin(&b, SG_RING_BYTES_MIN);
        assert_int_equal(add(&b), 0);
        pwrite_error = ENOSPC;
        assert_int_equal(sg_ring_sync(b.ring), -ENOSPC);
        assert_int_equal(sg_ring_synced(b.ring), 0);
        assert_true(sg_ring_wants_sync(b.ring));
        assert_int_equal(add(&b), 0);
        assert_int_equal(count_on_disk(&b), 0);
        read_all(&b); /* the ledger sees it all the same */
        pwrite_error = 0;
        assert_int_equal(sg_ring_sync(b.ring), 0);
        assert_int_equal(sg_ring_synced(b.ring), 4);
        assert_int_equal(count_on_disk(&b), 4);
        end(&b);
}

/* After a failed fdatasync() the kernel takes its pages for clean, though the disk does not have them. */
static void test_what_a_failed_sync_wrote_is_written_again(void **state)
{
        struct both b;
        static const char lost[600];
        int fd;

        begin(&b, SG_RING_BYTES_MIN);
        assert_int_equal(add(&b), 0);
        fdatasync_error = EIO;
        assert_int_equal(sg_ring_sync(b.ring), -EIO);
        fd = open(b.path, O_RDWR);
        assert_int_equal(pwrite(fd, lost, sizeof(lost), RING_HEADER_BYTES), sizeof(lost));
        close(fd);
        fdatasync_error = 0;
        assert_int_equal(sg_ring_sync(b.ring), 0);
        assert_int_equal(count_on_disk(&b), 2);
        end(&b);
}

/* As long as the ledger drains, a disk that takes nothing stops nobody; else the ring fills, and says so. */
static void goes_on_without_a_disk(size_t bytes, unsigned laps)
{
        struct both b;
        struct sg_ring_fill fill;

        begin(&b, bytes);
        pwrite_error = EROFS;
        while (b.n_written * 300 < laps * bytes) {
                if (add(&b) == 0)
                        continue;
                assert_true(sg_ring_wants_sync(b.ring));
                read_all(&b);
                sg_ring_reader_release(b.reader);
                assert_int_equal(sg_ring_sync(b.ring), -EROFS);
                assert_int_equal(add(&b), 0);
        }
        while (add(&b) == 0)
                continue;
        sg_ring_get_fill(b.ring, &fill);
        assert_true(fill.used_bytes <= fill.bytes);
        pwrite_error = 0;
        assert_int_equal(sg_ring_sync(b.ring), 0);
        assert_int_equal(sg_ring_synced(b.ring), sg_ring_written(b.ring));
        read_all(&b);
        sg_ring_reader_release(b.reader);
        assert_int_equal(add(&b), 0);
        end(&b);
}

static void test_a_ring_that_is_drained_goes_on_without_a_disk(void **state)
{
        goes_on_without_a_disk(SG_RING_BYTES_MIN, 4);
}

static void test_so_does_one_with_a_window_of_memory(void **state)
{
        goes_on_without_a_disk(1u << 20, 3);
}

static void test_what_never_reached_the_disk_stays_in_the_stage(void **state)
{
        struct both b;

        begin(&b, SG_RING_BYTES_MIN);
        assert_int_equal(add(&b), 0);
        pwrite_error = EIO;
        b.ring = sg_ring_free(b.ring);
        assert_int_equal(access(b.stage, F_OK), 0);
        assert_true(sg_ring_reader_is_orphan(b.reader));
        read_all(&b);
        assert_int_equal(unlink(b.stage), 0);
        end(&b);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_a_full_disk_does_not_take_waits_in_memory),
                cmocka_unit_test(test_what_a_failed_sync_wrote_is_written_again),
                cmocka_unit_test(test_a_ring_that_is_drained_goes_on_without_a_disk),
                cmocka_unit_test(test_so_does_one_with_a_window_of_memory),
                cmocka_unit_test(test_what_never_reached_the_disk_stays_in_the_stage),
        };

        return cmocka_run_group_tests(tests, test_setup, test_teardown);
}
