/*
 * A slow disk: a FUSE file system with one file, `disk`, for a loop device to stand on. Each write to it takes as long as
 * a disk of that speed would, one after another; with `hang` every now and then one takes long, as disks that share a
 * controller do. Run as root:
 *
 *      bench-slowdisk MOUNTPOINT BYTES USEC_PER_WRITE BYTES_PER_SEC [HANG_EVERY_SEC HANG_MSEC] &
 *      losetup --find --show MOUNTPOINT/disk; mkfs.ext4 ...; mount ...
 */
#define FUSE_USE_VERSION 31
#include <fuse.h>
#include <pthread.h>
#include <sys/mman.h>

#include "common.h"

static uint8_t *disk;
static uint64_t disk_bytes, write_nsec, bytes_per_sec, hang_every_nsec, hang_nsec, hang_at;
static pthread_mutex_t head = PTHREAD_MUTEX_INITIALIZER; /* a disk has one */

static void sleep_nsec(uint64_t nsec)
{
        struct timespec t = {.tv_sec = (time_t)(nsec / 1000000000u), .tv_nsec = (long)(nsec % 1000000000u)};

        nanosleep(&t, NULL);
}

static void spend(size_t n)
{
        uint64_t nsec = write_nsec + (bytes_per_sec ? n * 1000000000u / bytes_per_sec : 0), now;

        pthread_mutex_lock(&head);
        now = now_nsec();
        if (hang_every_nsec && now >= hang_at) {
                nsec += hang_nsec;
                hang_at = now + hang_every_nsec;
        }
        if (nsec)
                sleep_nsec(nsec);
        pthread_mutex_unlock(&head);
}

static int disk_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
        (void)fi;
        memset(st, 0, sizeof(*st));
        if (strcmp(path, "/") == 0) {
                st->st_mode = S_IFDIR | 0700;
                st->st_nlink = 2;
                return 0;
        }
        if (strcmp(path, "/disk") != 0)
                return -ENOENT;
        st->st_mode = S_IFREG | 0600;
        st->st_nlink = 1;
        st->st_size = (off_t)disk_bytes;
        return 0;
}

static int disk_open(const char *path, struct fuse_file_info *fi)
{
        if (strcmp(path, "/disk") != 0)
                return -ENOENT;
        fi->direct_io = 1;
        return 0;
}

static int disk_read(const char *path, char *out, size_t n, off_t at, struct fuse_file_info *fi)
{
        (void)path;
        (void)fi;
        if (at < 0 || (uint64_t)at >= disk_bytes)
                return 0;
        n = n < disk_bytes - (uint64_t)at ? n : disk_bytes - (uint64_t)at;
        memcpy(out, disk + at, n);
        return (int)n;
}

static int disk_write(const char *path, const char *data, size_t n, off_t at, struct fuse_file_info *fi)
{
        (void)path;
        (void)fi;
        if (at < 0 || (uint64_t)at + n > disk_bytes)
                return -ENOSPC;
        spend(n);
        memcpy(disk + at, data, n);
        return (int)n;
}

static int disk_fsync(const char *path, int is_datasync, struct fuse_file_info *fi)
{
        (void)path;
        (void)is_datasync;
        (void)fi;
        spend(0);
        return 0;
}

static const struct fuse_operations operations = {
        .getattr = disk_getattr, .open = disk_open, .read = disk_read, .write = disk_write, .fsync = disk_fsync};

int main(int argc, char **argv)
{
        char *args[] = {argv[0], (char *)"-f", argc > 1 ? argv[1] : NULL, NULL};

        if (argc != 5 && argc != 7) {
                fprintf(stderr, "%s MOUNTPOINT BYTES USEC_PER_WRITE BYTES_PER_SEC [HANG_EVERY_SEC HANG_MSEC]\n",
                        argv[0]);
                return 2;
        }
        disk_bytes = strtoull(argv[2], NULL, 10);
        write_nsec = strtoull(argv[3], NULL, 10) * 1000;
        bytes_per_sec = strtoull(argv[4], NULL, 10);
        if (argc == 7) {
                hang_every_nsec = strtoull(argv[5], NULL, 10) * 1000000000u;
                hang_nsec = strtoull(argv[6], NULL, 10) * 1000000u;
                hang_at = now_nsec() + hang_every_nsec;
        }
        disk = mmap(NULL, disk_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (disk == MAP_FAILED)
                die("memory");
        return fuse_main(3, args, &operations, NULL);
}
