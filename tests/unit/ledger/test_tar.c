/* The archive of a backup: what tar(1) reads, and what is refused. */
#include <fcntl.h>

#include "common.h"

#include "ledger/tar.h"

#define TEXT        "the database\n"
#define TEXT_SHA256 "9d63610206212eab0ed75c03d91048861b01c58c88f88528697baa5d3f20883e"

static int open_file(const char *name, int flags)
{
        char path[300];
        int fd;

        (void)snprintf(path, sizeof(path), "%s/%s", test_dir, name);
        fd = open(path, flags | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        return fd;
}

static void write_archive(void)
{
        int from = open_file("from", O_RDWR | O_CREAT), out = open_file("a.tar", O_WRONLY | O_CREAT | O_TRUNC);
        char sha256[SG_SHA256_HEX];
        uint64_t n = 0;

        assert_int_equal(write(from, TEXT, strlen(TEXT)), strlen(TEXT));
        assert_int_equal(lseek(from, 0, SEEK_SET), 0);
        assert_int_equal(sg_tar_add_file(out, "ledger.db", from, SG_USEC_PER_SEC, &n, sha256), 0);
        assert_int_equal(n, strlen(TEXT));
        assert_string_equal(sha256, TEXT_SHA256);
        assert_int_equal(sg_tar_add_bytes(out, "manifest.json", SG_STR("{}"), SG_USEC_PER_SEC), 0);
        assert_int_equal(sg_tar_end(out), 0);
        assert_int_equal(close(from), 0);
        assert_int_equal(close(out), 0);
}

static void test_what_is_written_is_read(void **state)
{
        struct sg_tar_member m;
        char sha256[SG_SHA256_HEX], text[2];
        int in, to;

        write_archive();
        in = open_file("a.tar", O_RDONLY);
        to = open_file("to", O_RDWR | O_CREAT);
        assert_int_equal(sg_tar_next(in, &m), 0);
        assert_string_equal(m.name, "ledger.db");
        assert_int_equal(m.bytes, strlen(TEXT));
        assert_int_equal(sg_tar_take_file(in, &m, to, sha256), 0);
        assert_string_equal(sha256, TEXT_SHA256);
        assert_int_equal(lseek(to, 0, SEEK_END), strlen(TEXT));
        assert_int_equal(sg_tar_next(in, &m), 0);
        assert_string_equal(m.name, "manifest.json");
        assert_int_equal(m.bytes, 2);
        assert_int_equal(sg_tar_take_bytes(in, &m, text), 0);
        assert_memory_equal(text, "{}", 2);
        assert_int_equal(sg_tar_next(in, &m), SG_TAR_E_END);
        assert_int_equal(close(in), 0);
        assert_int_equal(close(to), 0);
}

static void test_tar_reads_it(void **state)
{
        char command[400], line[64] = "";
        FILE *f;

        write_archive();
        (void)snprintf(command, sizeof(command), "tar -xOf %s/a.tar ledger.db", test_dir);
        f = popen(command, "r");
        assert_non_null(f);
        assert_non_null(fgets(line, sizeof(line), f));
        assert_int_equal(pclose(f), 0);
        assert_string_equal(line, TEXT);
}

/* A header of somebody else's, with its checksum made right again. */
static int read_changed(size_t at, const char *bytes, size_t n, struct sg_tar_member *ret)
{
        unsigned char header[512];
        unsigned sum = 0;
        int fd, r;

        write_archive();
        fd = open_file("a.tar", O_RDWR);
        assert_int_equal(pread(fd, header, sizeof(header), 0), sizeof(header));
        memcpy(header + at, bytes, n);
        memset(header + 148, ' ', 8);
        for (size_t i = 0; i < sizeof(header); i++)
                sum += header[i];
        (void)snprintf((char *)header + 148, 8, "%06o", sum);
        assert_int_equal(pwrite(fd, header, sizeof(header), 0), sizeof(header));
        r = sg_tar_next(fd, ret);
        assert_int_equal(close(fd), 0);
        return r;
}

static void test_sizes_beyond_eight_gibibytes(void **state)
{
        struct sg_tar_member m;

        assert_int_equal(read_changed(124, "\x80\0\0\0\0\0\0\x05\0\0\0\x07", 12, &m), 0);
        assert_true(m.bytes == (UINT64_C(5) << 32) + 7);
        assert_int_equal(read_changed(124, "\x80\0\x01\0\0\0\0\x05\0\0\0\x07", 12, &m), SG_TAR_E_BAD);
        assert_int_equal(read_changed(124, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12, &m), SG_TAR_E_BAD);
}

static void test_other_members_are_refused(void **state)
{
        struct sg_tar_member m;

        assert_int_equal(read_changed(0, "../ledger.db", 12, &m), SG_TAR_E_BAD);
        assert_int_equal(read_changed(0, "\0", 1, &m), SG_TAR_E_BAD);
        assert_int_equal(read_changed(156, "2", 1, &m), SG_TAR_E_BAD);    /* a link */
        assert_int_equal(read_changed(156, "5", 1, &m), SG_TAR_E_BAD);    /* a directory */
        assert_int_equal(read_changed(345, "/etc", 5, &m), SG_TAR_E_BAD); /* the beginning of a long name */
        assert_int_equal(read_changed(124, "99999999999", 11, &m), SG_TAR_E_BAD);
        assert_int_equal(read_changed(257, "other", 5, &m), SG_TAR_E_BAD);
        assert_int_equal(read_changed(0, "x", 1, &m), 0); /* only the name is another */
}

static void test_what_ends_early_is_refused(void **state)
{
        char sha256[SG_SHA256_HEX], path[300];
        struct sg_tar_member m;
        int fd, to;

        write_archive();
        (void)snprintf(path, sizeof(path), "%s/a.tar", test_dir);
        assert_int_equal(truncate(path, 512 + 5), 0);
        fd = open_file("a.tar", O_RDONLY);
        to = open_file("to", O_RDWR | O_CREAT);
        assert_int_equal(sg_tar_next(fd, &m), 0);
        assert_int_equal(sg_tar_take_file(fd, &m, to, sha256), SG_TAR_E_BAD);
        assert_int_equal(close(fd), 0);
        assert_int_equal(truncate(path, 100), 0);
        fd = open_file("a.tar", O_RDONLY);
        assert_int_equal(sg_tar_next(fd, &m), SG_TAR_E_BAD);
        assert_int_equal(close(fd), 0);
        assert_int_equal(close(to), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, test_setup, test_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_what_is_written_is_read),      TEST(test_tar_reads_it),
                TEST(test_sizes_beyond_eight_gibibytes), TEST(test_other_members_are_refused),
                TEST(test_what_ends_early_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
