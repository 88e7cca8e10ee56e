#include "ledger/tar.h"

#include <errno.h>
#include <gnutls/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/digest.h"

#define BLOCK_BYTES  512u
#define PIECE_BYTES  (256u * 1024u)
#define OCTAL_MAX    UINT64_C(077777777777) /* what eleven digits say */
#define MTIME_MAX    OCTAL_MAX
#define SHA256_BYTES 32u

struct header { /* 512 bytes, all of them characters */
        char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100], magic[6],
                version[2], user[32], group[32], major[8], minor[8], prefix[155], rest[12];
};
_Static_assert(sizeof(struct header) == BLOCK_BYTES, "as tar has it");

/* ---- bytes */

static int write_all(int fd, const void *p, size_t n)
{
        const char *at = p;

        while (n) {
                ssize_t done = write(fd, at, n);

                if (done < 0 && errno == EINTR)
                        continue;
                if (done < 0)
                        return -errno;
                at += done;
                n -= (size_t)done;
        }
        return 0;
}

/* As much as there is, up to n. */
static int read_some(int fd, void *p, size_t n, size_t *ret)
{
        char *at = p;

        *ret = 0;
        while (*ret < n) {
                ssize_t got = read(fd, at + *ret, n - *ret);

                if (got < 0 && errno == EINTR)
                        continue;
                if (got < 0)
                        return -errno;
                if (got == 0)
                        return 0;
                *ret += (size_t)got;
        }
        return 0;
}

static int read_all(int fd, void *p, size_t n)
{
        size_t got;
        int r = read_some(fd, p, n, &got);

        return r ? r : got == n ? 0 : SG_TAR_E_BAD;
}

static size_t padding(uint64_t bytes)
{
        return (size_t)(-bytes % BLOCK_BYTES);
}

/* ---- headers */

static unsigned checksum(const struct header *h)
{
        struct header copy = *h;
        const unsigned char *p = (const unsigned char *)&copy;
        unsigned sum = 0;

        memset(copy.checksum, ' ', sizeof(copy.checksum));
        for (size_t i = 0; i < sizeof(copy); i++)
                sum += p[i];
        return sum;
}

static void put_octal(char *out, size_t out_bytes, uint64_t v)
{
        char digits[32];
        int n = snprintf(digits, sizeof(digits), "%0*llo", (int)out_bytes - 1, (unsigned long long)v);

        SG_ASSERT(n == (int)out_bytes - 1);
        memcpy(out, digits, out_bytes);
}

static void put_size(char out[12], uint64_t v)
{
        if (v <= OCTAL_MAX) {
                put_octal(out, 12, v);
                return;
        }
        memset(out, 0, 12);
        out[0] = (char)0x80;
        for (int i = 11; v; i--) {
                out[i] = (char)(v & 0xff);
                v >>= 8;
        }
}

static int write_header(int fd, const char *name, uint64_t bytes, uint64_t wall_usec)
{
        struct header h = {.type = '0', .magic = "ustar", .version = {'0', '0'}, .user = "root", .group = "root"};
        char sum[8];

        SG_ASSERT(strlen(name) < SG_TAR_NAME_BYTES);
        memcpy(h.name, name, strlen(name));
        put_octal(h.mode, sizeof(h.mode), 0600);
        put_octal(h.uid, sizeof(h.uid), 0);
        put_octal(h.gid, sizeof(h.gid), 0);
        put_size(h.size, bytes);
        put_octal(h.mtime, sizeof(h.mtime), SG_MIN(wall_usec / SG_USEC_PER_SEC, MTIME_MAX));
        put_octal(h.major, sizeof(h.major), 0);
        put_octal(h.minor, sizeof(h.minor), 0);
        (void)snprintf(sum, sizeof(sum), "%06o", checksum(&h));
        memcpy(h.checksum, sum, 7);
        h.checksum[7] = ' ';
        return write_all(fd, &h, sizeof(h));
}

static bool get_octal(const char *p, size_t n, uint64_t *ret)
{
        uint64_t v = 0;
        size_t i = 0;

        while (i < n && p[i] >= '0' && p[i] <= '7')
                v = v << 3 | (uint64_t)(p[i++] - '0');
        *ret = v;
        return i > 0 && (i == n || p[i] == '\0' || p[i] == ' ');
}

static bool get_size(const char p[12], uint64_t *ret)
{
        const unsigned char *u = (const unsigned char *)p;

        if (u[0] != 0x80)
                return get_octal(p, 12, ret);
        *ret = 0;
        for (int i = 1; i < 12; i++) {
                if (*ret >> 48)
                        return false;
                *ret = *ret << 8 | u[i];
        }
        return true;
}

static bool is_zero(const struct header *h)
{
        static const struct header zero;

        return memcmp(h, &zero, sizeof(zero)) == 0;
}

int sg_tar_next(int fd, struct sg_tar_member *ret)
{
        struct header h;
        uint64_t sum;
        size_t n;
        int r;

        r = read_all(fd, &h, sizeof(h));
        if (r)
                return r;
        if (is_zero(&h))
                return SG_TAR_E_END;
        n = strnlen(h.name, sizeof(h.name));
        if (memcmp(h.magic, "ustar", 5) != 0 || !get_octal(h.checksum, sizeof(h.checksum), &sum) ||
            sum != checksum(&h) || (h.type != '0' && h.type != '\0') || h.prefix[0] || n == 0 ||
            n >= SG_TAR_NAME_BYTES || memchr(h.name, '/', n) || !get_size(h.size, &ret->bytes))
                return SG_TAR_E_BAD;
        memcpy(ret->name, h.name, n);
        ret->name[n] = '\0';
        return 0;
}

/* ---- members */

static int write_padding(int fd, uint64_t bytes)
{
        static const char zeros[BLOCK_BYTES];

        return write_all(fd, zeros, padding(bytes));
}

static int read_padding(int fd, uint64_t bytes)
{
        char rest[BLOCK_BYTES];

        return read_all(fd, rest, padding(bytes));
}

/* Exactly so many bytes, and their checksum. */
static int copy(int to_fd, int from_fd, uint64_t bytes, char ret_sha256[SG_SHA256_HEX])
{
        unsigned char digest[SHA256_BYTES];
        char *piece = malloc(PIECE_BYTES);
        gnutls_hash_hd_t hash;
        int r = 0;

        if (!piece || gnutls_hash_init(&hash, GNUTLS_DIG_SHA256) != 0) {
                free(piece);
                return -ENOMEM;
        }
        while (bytes && !r) {
                size_t n = (size_t)SG_MIN(bytes, (uint64_t)PIECE_BYTES);

                r = read_all(from_fd, piece, n);
                if (!r && gnutls_hash(hash, piece, n) != 0)
                        r = -EIO;
                if (!r)
                        r = write_all(to_fd, piece, n);
                bytes -= n;
        }
        gnutls_hash_deinit(hash, digest);
        sg_hex(ret_sha256, digest, sizeof(digest));
        free(piece);
        return r;
}

int sg_tar_add_file(int fd, const char *name, int from_fd, uint64_t wall_usec, uint64_t *ret_bytes,
                    char ret_sha256[SG_SHA256_HEX])
{
        struct stat st;
        int r;

        if (fstat(from_fd, &st) < 0)
                return -errno;
        r = write_header(fd, name, (uint64_t)st.st_size, wall_usec);
        if (!r)
                r = copy(fd, from_fd, (uint64_t)st.st_size, ret_sha256);
        if (!r)
                r = write_padding(fd, (uint64_t)st.st_size);
        if (!r)
                *ret_bytes = (uint64_t)st.st_size;
        return r;
}

int sg_tar_add_bytes(int fd, const char *name, struct sg_str bytes, uint64_t wall_usec)
{
        int r = write_header(fd, name, bytes.n, wall_usec);

        if (!r)
                r = write_all(fd, bytes.p, bytes.n);
        return r ? r : write_padding(fd, bytes.n);
}

int sg_tar_end(int fd)
{
        static const char zeros[2 * BLOCK_BYTES];

        return write_all(fd, zeros, sizeof(zeros));
}

int sg_tar_take_file(int fd, const struct sg_tar_member *m, int to_fd, char ret_sha256[SG_SHA256_HEX])
{
        int r = copy(to_fd, fd, m->bytes, ret_sha256);

        return r ? r : read_padding(fd, m->bytes);
}

int sg_tar_take_bytes(int fd, const struct sg_tar_member *m, char *out)
{
        int r = read_all(fd, out, (size_t)m->bytes);

        return r ? r : read_padding(fd, m->bytes);
}
