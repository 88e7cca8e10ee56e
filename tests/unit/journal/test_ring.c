#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/stat.h>

#include "common.h"

#include "journal/format.h"

static void open_both(struct sg_ring **ring, struct sg_ring_reader **reader, size_t bytes)
{
        struct sg_error err;

        assert_int_equal(sg_ring_create(ring, test_dir, stage_dir, bytes, &err), 0);
        assert_int_equal(sg_ring_reader_open(reader, ring_path(sg_ring_id(*ring)), stage_path(sg_ring_id(*ring))), 0);
        assert_string_equal(sg_ring_reader_id(*reader), sg_ring_id(*ring));
}

static void drop_both(struct sg_ring *ring, struct sg_ring_reader *reader)
{
        char path[400];

        (void)snprintf(path, sizeof(path), "%s", ring_path(sg_ring_reader_id(reader)));
        sg_ring_free(ring);
        assert_true(sg_ring_reader_is_orphan(reader));
        sg_ring_reader_free(reader);
        assert_int_equal(unlink(path), 0);
}

/* The disk has it, and the database. */
static void release(struct sg_ring *ring, struct sg_ring_reader *reader)
{
        assert_int_equal(sg_ring_sync(ring), 0);
        sg_ring_reader_release(reader);
}

static uint64_t exchange_once(struct sg_ring *ring, uint64_t n)
{
        struct sg_record rec = sample(n);
        uint64_t exchange, sequence;

        assert_int_equal(sg_ring_open(ring, &rec, &exchange), 0);
        rec = sample(n);
        sg_ring_close(ring, exchange, &rec, &sequence);
        assert_int_equal(sequence, sg_ring_written(ring));
        return exchange;
}

static void expect(struct sg_ring_reader *reader, enum sg_record_kind kind, uint64_t n, uint64_t sequence)
{
        struct sg_record rec;
        uint64_t got;

        assert_int_equal(sg_ring_reader_next(reader, &rec, &got), 0);
        assert_int_equal(got, sequence);
        assert_int_equal(rec.kind, kind);
        assert_int_equal(rec.key_id, n);
        assert_int_equal(rec.model.n, sample(n).model.n);
}

static int next_is(struct sg_ring_reader *reader)
{
        struct sg_record rec;
        uint64_t sequence;

        return sg_ring_reader_next(reader, &rec, &sequence);
}

static void test_records_come_out_in_order_over_many_laps(void **state)
{
        struct sg_ring *ring;
        struct sg_ring_reader *reader;
        uint64_t sequence = 0;

        open_both(&ring, &reader, SG_RING_BYTES_MIN);
        assert_int_equal(next_is(reader), SG_RING_E_END);
        for (uint64_t n = 0; n < 20000; n++) {
                uint64_t exchange = exchange_once(ring, n);

                assert_int_equal(exchange, sequence + 1);
                expect(reader, SG_RECORD_OPEN, n, ++sequence);
                expect(reader, SG_RECORD_CLOSE, n, ++sequence);
                if (n % 3 == 0)
                        assert_int_equal(next_is(reader), SG_RING_E_END);
                if (n % 40 == 0)
                        release(ring, reader);
        }
        assert_int_equal(sg_ring_reader_written(reader), sequence);
        drop_both(ring, reader);
}

static void test_full_ring_refuses_new_work_and_keeps_room_for_closes(void **state)
{
        static struct sg_record rec;
        static char raw[SG_RAW_USAGE_BYTES_MAX];
        uint64_t exchanges[200], exchange, sequence;
        struct sg_ring *ring;
        struct sg_ring_reader *reader;
        struct sg_ring_fill fill;
        size_t n = 0;
        int e;

        open_both(&ring, &reader, SG_RING_BYTES_MIN);
        memset(raw, 'u', sizeof(raw));
        for (;;) {
                rec = sample(n);
                e = sg_ring_open(ring, &rec, &exchange);
                if (e)
                        break;
                assert_true(n < SG_N_ELEMENTS(exchanges));
                exchanges[n++] = exchange;
        }
        assert_int_equal(e, SG_RING_E_FULL);
        assert_true(n > 10);
        sg_ring_get_fill(ring, &fill);
        assert_int_equal(fill.n_open, n);
        assert_true(fill.used_bytes + fill.kept_bytes <= fill.bytes);

        /* The longest close records there can be, and nothing is overwritten. */
        for (size_t i = 0; i < n; i++) {
                rec = sample(i);
                rec.request_id = rec.key_name = rec.operation = rec.model = rec.provider = rec.upstream_model =
                        rec.reason = rec.raw_usage = sg_str_make(raw, sizeof(raw));
                sg_ring_close(ring, exchanges[i], &rec, &sequence);
        }
        sg_ring_get_fill(ring, &fill);
        assert_int_equal(fill.n_open, 0);
        assert_int_equal(fill.kept_bytes, 0);
        assert_true(fill.used_bytes <= fill.bytes);
        for (size_t i = 0; i < n; i++)
                expect(reader, SG_RECORD_OPEN, i, i + 1);
        for (size_t i = 0; i < n; i++) {
                assert_int_equal(sg_ring_reader_next(reader, &rec, &sequence), 0);
                assert_int_equal(rec.exchange, exchanges[i]);
                assert_int_equal(rec.raw_usage.n, sizeof(raw));
        }

        /* Refused until the reader says that it is stored. */
        rec = sample(0);
        while ((e = sg_ring_open(ring, &rec, &exchange)) == 0)
                sg_ring_close(ring, exchange, &rec, &sequence);
        assert_int_equal(e, SG_RING_E_FULL);
        sg_ring_reader_release(reader);
        assert_int_equal(sg_ring_open(ring, &rec, &exchange), 0);
        sg_ring_close(ring, exchange, &rec, &sequence);
        sg_ring_get_fill(ring, &fill);
        assert_int_equal(fill.drained, 2 * n);
        drop_both(ring, reader);
}

static void write_mark(const char *id, const struct ring_mark *mark)
{
        const char *const paths[] = {ring_path(id), stage_path(id)};

        for (size_t i = 0; i < SG_N_ELEMENTS(paths); i++) {
                int fd = open(paths[i], O_RDWR);

                assert_true(fd >= 0);
                assert_int_equal(pwrite(fd, mark, sizeof(*mark), RING_MARK_AT), sizeof(*mark));
                close(fd);
        }
}

static void test_nonsense_marks_are_ignored(void **state)
{
        struct sg_ring *ring;
        struct sg_ring_reader *reader;
        struct sg_ring_fill fill;
        struct sg_record rec;
        uint8_t id[SG_RING_ID_CHARS / 2];
        uint64_t exchange, sequence, n = 0;
        struct ring_mark mark;
        int e = 0;

        open_both(&ring, &reader, SG_RING_BYTES_MIN);
        assert_int_equal(sg_unhex(id, sizeof(id), sg_ring_id(ring), SG_RING_ID_CHARS), 0);
        while (!e) {
                rec = sample(n++);
                e = sg_ring_open(ring, &rec, &exchange);
                if (!e)
                        sg_ring_close(ring, exchange, &rec, &sequence);
        }
        /* Beyond what was written, with a check that holds. */
        mark = (struct ring_mark){1u << 30, 1u << 30, ring_mark_check(id, 1u << 30, 1u << 30)};
        write_mark(sg_ring_id(ring), &mark);
        assert_int_equal(sg_ring_open(ring, &rec, &exchange), SG_RING_E_FULL);
        sg_ring_get_fill(ring, &fill);
        assert_true(fill.drained <= fill.written && fill.used_bytes <= fill.bytes);
        /* Half written. */
        mark = (struct ring_mark){8, 2048, 0};
        write_mark(sg_ring_id(ring), &mark);
        assert_int_equal(sg_ring_open(ring, &rec, &exchange), SG_RING_E_FULL);
        /* A true one, and then one that goes back. */
        expect(reader, SG_RECORD_OPEN, 0, 1);
        while (next_is(reader) == 0)
                continue;
        sg_ring_reader_release(reader);
        assert_int_equal(sg_ring_open(ring, &rec, &exchange), 0);
        sg_ring_close(ring, exchange, &rec, &sequence);
        mark = (struct ring_mark){1, 64, ring_mark_check(id, 1, 64)};
        write_mark(sg_ring_id(ring), &mark);
        assert_int_equal(sg_ring_open(ring, &rec, &exchange), 0);
        sg_ring_close(ring, exchange, &rec, &sequence);
        drop_both(ring, reader);
}

struct race {
        struct sg_ring *ring;
        uint64_t n;
        _Atomic bool end;
};

static void *run_writer(void *arg)
{
        struct race *race = arg;

        for (uint64_t n = 0; n < race->n;) {
                struct sg_record rec = sample(n);
                uint64_t exchange, sequence;

                if (sg_ring_open(race->ring, &rec, &exchange) != 0) {
                        sched_yield();
                        continue;
                }
                rec = sample(n++);
                sg_ring_close(race->ring, exchange, &rec, &sequence);
        }
        return NULL;
}

static void *run_sync(void *arg)
{
        struct race *race = arg;
        uint64_t before = 0;

        while (!race->end) {
                struct sg_ring_fill fill;

                if (sg_ring_sync(race->ring) != 0)
                        return race;
                sg_ring_get_fill(race->ring, &fill);
                if (fill.synced < before || fill.synced > fill.written || fill.drained > fill.written)
                        return race;
                before = fill.synced;
        }
        return NULL;
}

static void race_once(size_t bytes)
{
        struct race race = {.n = 30000};
        struct sg_ring_reader *reader;
        pthread_t writer, syncer;
        uint64_t sequence = 0;
        void *failed;

        open_both(&race.ring, &reader, bytes);
        assert_int_equal(pthread_create(&writer, NULL, run_writer, &race), 0);
        assert_int_equal(pthread_create(&syncer, NULL, run_sync, &race), 0);
        while (sequence < 2 * race.n) {
                struct sg_record rec;
                uint64_t got;
                int e = sg_ring_reader_next(reader, &rec, &got);

                /* On a machine with weak order a copy may show the frame's head before its bytes: that is TORN, for
                 * now. */
                if (e == SG_RING_E_END || e == SG_RING_E_TORN) {
                        sg_ring_reader_release(reader);
                        sched_yield();
                        continue;
                }
                assert_int_equal(e, 0);
                assert_int_equal(got, ++sequence);
                assert_int_equal(rec.key_id, (sequence - 1) / 2);
                assert_int_equal(rec.kind, sequence % 2 ? SG_RECORD_OPEN : SG_RECORD_CLOSE);
        }
        assert_int_equal(pthread_join(writer, NULL), 0);
        race.end = true;
        assert_int_equal(pthread_join(syncer, &failed), 0);
        assert_null(failed);
        assert_int_equal(sg_ring_sync(race.ring), 0);
        assert_int_equal(sg_ring_synced(race.ring), sg_ring_written(race.ring));
        drop_both(race.ring, reader);
}

static void test_writer_reader_and_sync_at_once(void **state)
{
        race_once(SG_RING_BYTES_MIN);
}

/* Many laps of a window of memory. */
static void test_writer_reader_and_sync_at_once_in_a_window(void **state)
{
        race_once(1u << 20);
}

static void test_seek_goes_on_where_the_database_ends(void **state)
{
        struct sg_ring *ring;
        struct sg_ring_reader *reader, *second;
        uint64_t sequence, offset;

        open_both(&ring, &reader, SG_RING_BYTES_MIN);
        for (uint64_t n = 0; n < 10; n++)
                (void)exchange_once(ring, n);
        for (uint64_t s = 1; s <= 8; s++)
                expect(reader, s % 2 ? SG_RECORD_OPEN : SG_RECORD_CLOSE, (s - 1) / 2, s);
        sg_ring_reader_position(reader, &sequence, &offset);
        assert_int_equal(sequence, 8);
        assert_int_equal(sg_ring_reader_open(&second, ring_path(sg_ring_id(ring)), stage_path(sg_ring_id(ring))), 0);
        assert_int_equal(sg_ring_reader_seek(second, sequence, offset), 0);
        expect(second, SG_RECORD_OPEN, 4, 9);
        assert_int_equal(sg_ring_reader_seek(second, sequence, offset + 4), SG_RING_E_BAD);
        assert_int_equal(sg_ring_reader_seek(second, 1000, 16), SG_RING_E_BAD);
        sg_ring_reader_free(second);
        drop_both(ring, reader);
}

static void test_seek_behind_the_mark_reads_what_is_left_or_says_gone(void **state)
{
        struct sg_ring *ring;
        struct sg_ring_reader *reader;
        uint64_t sequence, offset, n = 10;

        open_both(&ring, &reader, SG_RING_BYTES_MIN);
        for (uint64_t i = 0; i < n; i++)
                (void)exchange_once(ring, i);
        while (next_is(reader) == 0)
                continue;
        sg_ring_reader_release(reader);
        /* An older database: all is still there. */
        assert_int_equal(sg_ring_reader_seek(reader, 0, 0), 0);
        expect(reader, SG_RECORD_OPEN, 0, 1);
        /* After a lap it is not. */
        while (next_is(reader) == 0)
                continue;
        for (int lap = 0; lap < 100; lap++) {
                (void)exchange_once(ring, n++);
                (void)exchange_once(ring, n++);
                while (next_is(reader) == 0)
                        continue;
                release(ring, reader);
        }
        sg_ring_reader_position(reader, &sequence, &offset);
        assert_true(offset > SG_RING_BYTES_MIN);
        (void)exchange_once(ring, n);
        assert_int_equal(sg_ring_reader_seek(reader, 0, 0), SG_RING_E_GONE);
        expect(reader, SG_RECORD_OPEN, n, sequence + 1);
        drop_both(ring, reader);
}

/* ---- damage */

static void damage(const char *id, uint64_t at, uint8_t bits)
{
        const char *const paths[] = {ring_path(id), stage_path(id)};

        for (size_t i = 0; i < SG_N_ELEMENTS(paths); i++) {
                int fd = open(paths[i], O_RDWR);
                uint8_t byte;

                assert_true(fd >= 0);
                assert_int_equal(pread(fd, &byte, 1, (off_t)(RING_HEADER_BYTES + at)), 1);
                byte ^= bits;
                assert_int_equal(pwrite(fd, &byte, 1, (off_t)(RING_HEADER_BYTES + at)), 1);
                close(fd);
        }
}

static void test_damage_on_disk_is_none_while_the_stage_has_it(void **state)
{
        struct sg_ring *ring;
        struct sg_ring_reader *reader;
        int fd;

        open_both(&ring, &reader, SG_RING_BYTES_MIN);
        (void)exchange_once(ring, 0);
        assert_int_equal(sg_ring_sync(ring), 0);
        fd = open(ring_path(sg_ring_id(ring)), O_RDWR);
        assert_int_equal(pwrite(fd, "damage", 6, RING_HEADER_BYTES + 20), 6);
        close(fd);
        expect(reader, SG_RECORD_OPEN, 0, 1);
        expect(reader, SG_RECORD_CLOSE, 0, 2);
        drop_both(ring, reader);
}

/* What the sync thread did not come to: an orphan's last records are in the stage alone. */
static void test_what_the_disk_does_not_have_is_in_the_stage(void **state)
{
        struct sg_ring *ring;
        struct sg_ring_reader *reader, *disk;
        uint64_t lost;

        open_both(&ring, &reader, SG_RING_BYTES_MIN);
        assert_int_equal(sg_ring_reader_open(&disk, ring_path(sg_ring_id(ring)), NULL), 0);
        (void)exchange_once(ring, 0);
        assert_int_equal(sg_ring_sync(ring), 0);
        (void)exchange_once(ring, 1);
        assert_int_equal(sg_ring_written(ring), 4);
        assert_int_equal(sg_ring_synced(ring), 2);
        expect(disk, SG_RECORD_OPEN, 0, 1);
        expect(disk, SG_RECORD_CLOSE, 0, 2);
        assert_int_equal(next_is(disk), SG_RING_E_END);
        assert_int_equal(sg_ring_reader_written(disk), 2);
        for (uint64_t s = 1; s <= 4; s++)
                expect(reader, s % 2 ? SG_RECORD_OPEN : SG_RECORD_CLOSE, (s - 1) / 2, s);
        assert_int_equal(next_is(reader), SG_RING_E_END);
        assert_int_equal(sg_ring_reader_written(reader), 4);
        assert_int_equal(sg_ring_reader_resync(disk, &lost), SG_RING_E_END);
        sg_ring_reader_free(disk);
        drop_both(ring, reader);
}

/* A ledger of before knows no stage: its mark counts all the same. */
static void test_a_mark_on_disk_reaches_the_writer(void **state)
{
        struct sg_ring *ring;
        struct sg_ring_reader *reader, *disk;
        struct sg_ring_fill fill;

        open_both(&ring, &reader, SG_RING_BYTES_MIN);
        assert_int_equal(sg_ring_reader_open(&disk, ring_path(sg_ring_id(ring)), NULL), 0);
        (void)exchange_once(ring, 0);
        assert_int_equal(sg_ring_sync(ring), 0);
        while (next_is(disk) == 0)
                continue;
        sg_ring_reader_release(disk);
        sg_ring_get_fill(ring, &fill);
        assert_int_equal(fill.drained, 0);
        assert_int_equal(sg_ring_sync(ring), 0);
        sg_ring_get_fill(ring, &fill);
        assert_int_equal(fill.drained, 2);
        sg_ring_reader_free(disk);
        drop_both(ring, reader);
}

static void test_another_ring_s_stage_is_not_read(void **state)
{
        struct sg_ring *ring, *other;
        struct sg_ring_reader *reader, *other_reader, *mixed;

        open_both(&ring, &reader, SG_RING_BYTES_MIN);
        open_both(&other, &other_reader, SG_RING_BYTES_MIN);
        (void)exchange_once(other, 0);
        assert_int_equal(sg_ring_reader_open(&mixed, ring_path(sg_ring_id(ring)), stage_path(sg_ring_id(other))), 0);
        assert_int_equal(sg_ring_reader_written(mixed), 0);
        assert_int_equal(next_is(mixed), SG_RING_E_END);
        sg_ring_reader_free(mixed);
        drop_both(ring, reader);
        drop_both(other, other_reader);
}

static void test_a_window_of_memory_follows_the_records(void **state)
{
        const uint64_t bytes = 16u << 20;
        struct sg_ring *ring;
        struct sg_ring_reader *reader;
        struct stat st;

        open_both(&ring, &reader, bytes);
        for (uint64_t n = 0; n < 40000; n++) { /* more than a lap */
                (void)exchange_once(ring, n);
                expect(reader, SG_RECORD_OPEN, n, 2 * n + 1);
                expect(reader, SG_RECORD_CLOSE, n, 2 * n + 2);
                if (n % 100 == 0) {
                        release(ring, reader);
                        assert_int_equal(stat(stage_path(sg_ring_id(ring)), &st), 0);
                        assert_true((uint64_t)st.st_blocks * 512 <= 512u * 1024u);
                }
        }
        drop_both(ring, reader);
}

static void test_any_damaged_byte_of_the_last_frame_hides_it(void **state)
{
        struct sg_ring *ring;
        struct sg_ring_reader *reader;
        struct sg_record rec = sample(5);
        uint64_t exchange, start, end, sequence, lost;

        open_both(&ring, &reader, SG_RING_BYTES_MIN);
        (void)exchange_once(ring, 0);
        expect(reader, SG_RECORD_OPEN, 0, 1);
        expect(reader, SG_RECORD_CLOSE, 0, 2);
        sg_ring_reader_position(reader, &sequence, &start);
        assert_int_equal(sg_ring_open(ring, &rec, &exchange), 0);
        expect(reader, SG_RECORD_OPEN, 5, 3);
        sg_ring_reader_position(reader, &sequence, &end);
        for (uint64_t at = start; at < end; at++) {
                size_t n;
                uint8_t bytes[SG_RECORD_BYTES_MAX];
                int e;

                assert_int_equal(sg_record_encode(&rec, bytes, sizeof(bytes), &n), 0);
                if (at >= start + RING_FRAME_HEAD_BYTES + n)
                        break; /* what fills up to the next eight bytes belongs to nobody */
                damage(sg_ring_id(ring), at, 0x11);
                assert_int_equal(sg_ring_reader_seek(reader, 2, start), 0);
                e = next_is(reader);
                assert_int_equal(e, at < start + 8 ? SG_RING_E_END : SG_RING_E_TORN);
                assert_int_equal(sg_ring_reader_resync(reader, &lost), SG_RING_E_END);
                damage(sg_ring_id(ring), at, 0x11);
                assert_int_equal(next_is(reader), 0);
        }
        drop_both(ring, reader);
}

static void test_resync_finds_the_frames_behind_damage(void **state)
{
        struct sg_ring *ring;
        struct sg_ring_reader *reader;
        uint64_t lost = 0, sequence, offset;

        /* Near the end of the circle, so that the search goes round. */
        open_both(&ring, &reader, SG_RING_BYTES_MIN);
        for (uint64_t n = 0;; n++) {
                (void)exchange_once(ring, n);
                while (next_is(reader) == 0)
                        continue;
                release(ring, reader);
                sg_ring_reader_position(reader, &sequence, &offset);
                if (offset % SG_RING_BYTES_MIN > SG_RING_BYTES_MIN - 600)
                        break;
        }
        for (uint64_t n = 0; n < 3; n++)
                (void)exchange_once(ring, n);
        damage(sg_ring_id(ring), offset % SG_RING_BYTES_MIN + 20, 1);
        assert_int_equal(next_is(reader), SG_RING_E_TORN);
        assert_int_equal(sg_ring_reader_resync(reader, &lost), 0);
        assert_int_equal(lost, 1);
        expect(reader, SG_RECORD_CLOSE, 0, sequence + 2);
        expect(reader, SG_RECORD_OPEN, 1, sequence + 3);
        sg_ring_reader_position(reader, &sequence, &offset);
        /* A sequence word: not torn but "nothing", though the writer says that it has gone on. */
        damage(sg_ring_id(ring), offset % SG_RING_BYTES_MIN + 1, 0x40);
        assert_int_equal(sg_ring_reader_seek(reader, sequence, offset), 0);
        assert_int_equal(next_is(reader), SG_RING_E_END);
        assert_true(sg_ring_reader_written(reader) > sequence);
        assert_int_equal(sg_ring_reader_resync(reader, &lost), 0);
        assert_int_equal(lost, 1);
        expect(reader, SG_RECORD_OPEN, 2, sequence + 2);
        drop_both(ring, reader);
}

static void test_a_frame_in_a_model_name_is_no_frame(void **state)
{
        struct ring_frame forged = {.sequence = htole64(4)};
        uint8_t bytes[SG_RECORD_BYTES_MAX], name[SG_RECORD_MODEL_BYTES_MAX];
        struct sg_ring *ring;
        struct sg_ring_reader *reader;
        struct sg_record rec = {.kind = SG_RECORD_CLOSE}, out;
        uint64_t exchange, sequence, lost, before, offset;
        size_t n;

        /* The record that the attacker wants to see in the database, with a right checksum but for the unknown
         * identity. */
        rec.exchange = 1;
        assert_int_equal(sg_record_encode(&rec, bytes, sizeof(bytes), &n), 0);
        assert_true(sizeof(forged) + n <= sizeof(name));
        open_both(&ring, &reader, SG_RING_BYTES_MIN);
        for (size_t shift = 0; shift < 8; shift++) {
                sg_ring_reader_position(reader, &before, &offset);
                memset(name, 'x', sizeof(name));
                forged.sequence = htole64(before + 3);
                forged.length = htole32((uint32_t)n);
                forged.crc = htole32(sg_crc32c(0, bytes, n));
                memcpy(name + shift, &forged, sizeof(forged));
                memcpy(name + shift + sizeof(forged), bytes, SG_MIN(n, sizeof(name) - shift - sizeof(forged)));
                rec = sample(0);
                rec.model = sg_str_make(name, sizeof(name));
                assert_int_equal(sg_ring_open(ring, &rec, &exchange), 0);
                damage(sg_ring_id(ring), offset % SG_RING_BYTES_MIN + 8, 1);
                assert_int_equal(sg_ring_reader_next(reader, &out, &sequence), SG_RING_E_TORN);
                assert_int_equal(sg_ring_reader_resync(reader, &lost), SG_RING_E_END);
                damage(sg_ring_id(ring), offset % SG_RING_BYTES_MIN + 8, 1);
                assert_int_equal(sg_ring_reader_next(reader, &out, &sequence), 0);
                sg_ring_close(ring, exchange, &rec, &sequence);
                assert_int_equal(sg_ring_reader_next(reader, &out, &sequence), 0);
        }
        drop_both(ring, reader);
}

static void test_a_file_cut_under_the_reader_is_no_crash(void **state)
{
        struct sg_ring *ring;
        struct sg_ring_reader *reader;
        uint64_t lost;
        char path[400];

        open_both(&ring, &reader, SG_RING_BYTES_MIN);
        (void)snprintf(path, sizeof(path), "%s", ring_path(sg_ring_id(ring)));
        for (uint64_t n = 0; n < 100; n++)
                (void)exchange_once(ring, n);
        expect(reader, SG_RECORD_OPEN, 0, 1);
        ring = sg_ring_free(ring);
        sg_ring_reader_free(reader);
        assert_int_equal(sg_ring_reader_open(&reader, path, NULL), 0);
        assert_int_equal(truncate(path, RING_HEADER_BYTES + 50), 0);
        assert_int_equal(sg_ring_reader_seek(reader, 0, 0), 0);
        assert_int_not_equal(next_is(reader), 0);
        assert_int_equal(sg_ring_reader_resync(reader, &lost), SG_RING_E_END);
        assert_int_equal(truncate(path, 0), 0);
        assert_int_equal(next_is(reader), SG_RING_E_END);
        sg_ring_reader_release(reader);
        sg_ring_reader_free(reader);
        assert_int_equal(sg_ring_reader_open(&reader, path, NULL), SG_RING_E_BAD);
        assert_int_equal(unlink(path), 0);
}

static int open_as_version(const char *path, uint32_t version)
{
        SG_AUTO(sg_ring_reader_free) struct sg_ring_reader *reader = NULL;
        struct ring_fixed fixed;
        int fd = open(path, O_RDWR);

        assert_int_equal(pread(fd, &fixed, sizeof(fixed), 0), sizeof(fixed));
        fixed.version = htole32(version);
        fixed.fixed_crc = htole32(ring_fixed_crc(&fixed));
        assert_int_equal(pwrite(fd, &fixed, sizeof(fixed), 0), sizeof(fixed));
        close(fd);
        return sg_ring_reader_open(&reader, path, NULL);
}

/* An upgrade finds rings of the version before; rings of a later one are left alone and not taken for damaged. */
static void test_rings_of_the_version_before_are_opened_and_those_of_a_later_one_not(void **state)
{
        struct sg_ring *ring;
        struct sg_error err;
        char path[400];

        assert_int_equal(sg_ring_create(&ring, test_dir, stage_dir, SG_RING_BYTES_MIN, &err), 0);
        (void)snprintf(path, sizeof(path), "%s", ring_path(sg_ring_id(ring)));
        sg_ring_free(ring);
        assert_int_equal(open_as_version(path, 0), SG_RING_E_BAD);
        assert_int_equal(open_as_version(path, 1), 0);
        assert_int_equal(open_as_version(path, RING_VERSION), 0);
        assert_int_equal(open_as_version(path, RING_VERSION + 1), SG_RING_E_BAD);
        assert_int_equal(unlink(path), 0);
}

static void test_what_is_no_ring_is_refused(void **state)
{
        struct sg_ring *ring;
        struct sg_ring_reader *reader = NULL;
        struct sg_error err;
        char path[400], other[400];
        int fd;

        assert_int_equal(sg_ring_create(&ring, test_dir, stage_dir, SG_RING_BYTES_MIN, &err), 0);
        (void)snprintf(path, sizeof(path), "%s", ring_path(sg_ring_id(ring)));
        sg_ring_free(ring);
        for (off_t at = 0; at < (off_t)offsetof(struct ring_fixed, fixed_crc) + 4; at++) {
                uint8_t was, is;

                fd = open(path, O_RDWR);
                assert_int_equal(pread(fd, &was, 1, at), 1);
                is = was ^ 0x20;
                assert_int_equal(pwrite(fd, &is, 1, at), 1);
                assert_int_equal(sg_ring_reader_open(&reader, path, NULL), SG_RING_E_BAD);
                assert_int_equal(pwrite(fd, &was, 1, at), 1);
                close(fd);
        }
        assert_int_equal(sg_ring_reader_open(&reader, path, NULL), 0);
        reader = sg_ring_reader_free(reader);
        assert_int_equal(truncate(path, RING_HEADER_BYTES + SG_RING_BYTES_MIN + 8), 0);
        assert_int_equal(sg_ring_reader_open(&reader, path, NULL), SG_RING_E_BAD);
        assert_int_equal(sg_ring_reader_open(&reader, test_dir, NULL), SG_RING_E_BAD);
        (void)snprintf(other, sizeof(other), "%s/link%s", test_dir, SG_RING_SUFFIX);
        assert_int_equal(symlink(path, other), 0);
        assert_int_equal(sg_ring_reader_open(&reader, other, NULL), SG_RING_E_BAD);
        assert_int_equal(unlink(other), 0);
        assert_int_equal(mkfifo(other, 0600), 0);
        assert_int_equal(sg_ring_reader_open(&reader, other, NULL), SG_RING_E_BAD);
        assert_int_equal(unlink(other), 0);
        assert_int_equal(sg_ring_reader_open(&reader, other, NULL), -ENOENT);
        assert_int_equal(unlink(path), 0);
}

static void test_creating_says_what_to_do(void **state)
{
        struct sg_ring *ring = NULL;
        struct sg_error err = {0};
        char path[400];

        (void)snprintf(path, sizeof(path), "%s/none", test_dir);
        assert_int_equal(sg_ring_create(&ring, path, path, SG_RING_BYTES_MIN, &err), -ENOENT);
        assert_non_null(strstr(err.text, "create it"));
        assert_int_equal(sg_ring_create(&ring, test_dir, stage_dir, 100, &err), -EINVAL);
        assert_null(ring);
}

static void test_locked_while_the_writer_lives(void **state)
{
        struct sg_ring *ring;
        struct sg_ring_reader *reader;

        open_both(&ring, &reader, SG_RING_BYTES_MIN);
        assert_false(sg_ring_reader_is_orphan(reader));
        sg_ring_free(ring);
        assert_true(sg_ring_reader_is_orphan(reader));
        assert_int_equal(unlink(only_path()), 0);
        sg_ring_reader_free(reader);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_records_come_out_in_order_over_many_laps),
                cmocka_unit_test(test_full_ring_refuses_new_work_and_keeps_room_for_closes),
                cmocka_unit_test(test_nonsense_marks_are_ignored),
                cmocka_unit_test(test_writer_reader_and_sync_at_once),
                cmocka_unit_test(test_writer_reader_and_sync_at_once_in_a_window),
                cmocka_unit_test(test_seek_goes_on_where_the_database_ends),
                cmocka_unit_test(test_seek_behind_the_mark_reads_what_is_left_or_says_gone),
                cmocka_unit_test(test_damage_on_disk_is_none_while_the_stage_has_it),
                cmocka_unit_test(test_what_the_disk_does_not_have_is_in_the_stage),
                cmocka_unit_test(test_a_mark_on_disk_reaches_the_writer),
                cmocka_unit_test(test_another_ring_s_stage_is_not_read),
                cmocka_unit_test(test_a_window_of_memory_follows_the_records),
                cmocka_unit_test(test_any_damaged_byte_of_the_last_frame_hides_it),
                cmocka_unit_test(test_resync_finds_the_frames_behind_damage),
                cmocka_unit_test(test_a_frame_in_a_model_name_is_no_frame),
                cmocka_unit_test(test_a_file_cut_under_the_reader_is_no_crash),
                cmocka_unit_test(test_rings_of_the_version_before_are_opened_and_those_of_a_later_one_not),
                cmocka_unit_test(test_what_is_no_ring_is_refused),
                cmocka_unit_test(test_creating_says_what_to_do),
                cmocka_unit_test(test_locked_while_the_writer_lives),
        };

        return cmocka_run_group_tests(tests, test_setup, test_teardown);
}
