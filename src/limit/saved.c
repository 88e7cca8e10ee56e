/*
 * The copy for the time after a reboot: what was used without what was held, so that exchanges that ended with the machine
 * cost nothing here (the ledger's sums know them). Buckets are saved as what they owe; on loading, the wall time that has
 * passed since pays for it. A clock that went back in between pays nothing.
 */
#include "limit/saved.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "limit/table.h"

#define MAGIC           "SGSAVED\n"
#define SAVED_VERSION   1u
#define BATCH           4096u /* entries in one write */
#define SAVED_BYTES_MAX (sizeof(struct sg_saved_head) + (size_t)SG_LIMIT_WORDS_MAX * sizeof(struct sg_saved_entry))
#define CRC_FROM        offsetof(struct sg_saved_head, wall_usec)

const char *sg_saved_check(struct sg_str bytes, struct sg_saved_head *ret, const struct sg_saved_entry **ret_entries)
{
        if (bytes.n < sizeof(*ret))
                return "it is cut off";
        memcpy(ret, bytes.p, sizeof(*ret));
        if (memcmp(ret->magic, MAGIC, sizeof(ret->magic)) != 0)
                return "it is something else";
        if (ret->version != SAVED_VERSION)
                return "it is of another version";
        if (ret->n > SG_LIMIT_WORDS_MAX || bytes.n != sizeof(*ret) + ret->n * sizeof(struct sg_saved_entry))
                return "it is cut off";
        if (sg_crc32c(0, bytes.p + CRC_FROM, bytes.n - CRC_FROM) != ret->crc)
                return "it is damaged";
        *ret_entries = (const struct sg_saved_entry *)(bytes.p + sizeof(*ret));
        return NULL;
}

/* ---- loading */

static int read_all(const char *path, char **ret, size_t *ret_n)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK), r = 0;
        struct stat st;
        size_t n = 0;
        char *bytes;

        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size < 0 || (uint64_t)st.st_size > SAVED_BYTES_MAX) {
                close(fd);
                return -EINVAL;
        }
        bytes = malloc((size_t)st.st_size + 1);
        while (bytes && n < (size_t)st.st_size) {
                ssize_t got = read(fd, bytes + n, (size_t)st.st_size - n);

                if (got < 0 && errno == EINTR)
                        continue;
                r = got < 0 ? -errno : 0;
                if (got <= 0)
                        break;
                n += (size_t)got;
        }
        close(fd);
        if (!bytes || r) {
                free(bytes);
                return bytes ? r : -ENOMEM;
        }
        *ret = bytes;
        *ret_n = n;
        return 0;
}

static void load(struct sg_limits *l, const struct sg_saved_head *head, const struct sg_saved_entry *entries,
                 uint64_t now_usec, uint64_t wall_usec)
{
        const uint64_t passed = wall_usec > head->wall_usec ? wall_usec - head->wall_usec : 0;

        for (uint64_t i = 0; i < head->n; i++) {
                const enum sg_limit_window window = sg_word_window(entries[i].id);
                struct sg_limit_word *w;

                if (!entries[i].id || !sg_word_id_is_good(entries[i].id) || window == SG_WINDOW_NONE ||
                    (sg_window_is_calendar(window) &&
                     sg_period_of(entries[i].value) < sg_window_period(window, wall_usec)) ||
                    (sg_window_is_bucket(window) && entries[i].value <= passed))
                        continue;
                sg_words_grow(l->words);
                w = sg_words_find(l->words, entries[i].id, true);
                if (w)
                        sg_count_from_saved(w, entries[i].value, now_usec, passed);
        }
}

void sg_limits_load(struct sg_limits *l, uint64_t now_usec, uint64_t wall_usec, char ret_text[256])
{
        const struct sg_saved_entry *entries;
        struct sg_saved_head head;
        const char *why = NULL;
        char *bytes = NULL;
        size_t n = 0;
        int r = read_all(l->saved_path, &bytes, &n);

        ret_text[0] = '\0';
        if (r == -ENOENT)
                return;
        why = r ? strerror(-r) : sg_saved_check(sg_str_make(bytes, n), &head, &entries);
        if (why)
                snprintf(ret_text, 256, "the saved copy of limits in %s is not used: %s", l->saved_path, why);
        else
                load(l, &head, entries, now_usec, wall_usec);
        free(bytes);
}

/* ---- saving */

static int write_all(int fd, const void *data, size_t n)
{
        const char *at = data;

        while (n) {
                ssize_t put = write(fd, at, n);

                if (put < 0 && errno == EINTR)
                        continue;
                if (put < 0)
                        return -errno;
                at += put;
                n -= (size_t)put;
        }
        return 0;
}

static int write_copy(const struct sg_limits *l, int fd, struct sg_saved_entry *batch, uint64_t now_usec,
                      uint64_t wall_usec)
{
        struct sg_saved_head head = {.magic = MAGIC, .version = SAVED_VERSION, .wall_usec = wall_usec};
        uint64_t at = 0;
        size_t n = 0;
        uint32_t crc = 0;
        int r = 0;

        /* The sum begins with the head's own end, whose number of entries is not known yet: counted first. */
        for (const struct sg_limit_word *w; (w = sg_words_next(l->words, &at)) && head.n < SG_LIMIT_WORDS_MAX;)
                head.n += sg_count_to_save(w, now_usec, wall_usec) != 0;
        crc = sg_crc32c(0, &head.wall_usec, sizeof(head) - CRC_FROM);
        r = write_all(fd, &head, sizeof(head));
        at = 0;
        for (uint64_t left = head.n; !r && left; left -= n) {
                const size_t want = SG_MIN(left, (uint64_t)BATCH);

                for (n = 0; n < want;) {
                        const struct sg_limit_word *w = sg_words_next(l->words, &at);

                        /* Fewer than a moment ago: the rest is filled with what counts nothing. */
                        batch[n] = w ? (struct sg_saved_entry){atomic_load(&w->id),
                                                               sg_count_to_save(w, now_usec, wall_usec)}
                                     : (struct sg_saved_entry){0};
                        n += !w || batch[n].value != 0;
                }
                crc = sg_crc32c(crc, batch, n * sizeof(*batch));
                r = write_all(fd, batch, n * sizeof(*batch));
        }
        head.crc = crc;
        if (!r && pwrite(fd, &head, sizeof(head), 0) != (ssize_t)sizeof(head))
                r = -EIO;
        return r ? r : fsync(fd) < 0 ? -errno : 0;
}

int sg_limits_save(struct sg_limits *l, uint64_t now_usec, uint64_t wall_usec)
{
        struct sg_saved_entry *batch;
        char temporary[4096];
        int fd, r;

        if (!l->saved_path)
                return 0;
        if (snprintf(temporary, sizeof(temporary), "%s.new", l->saved_path) >= (int)sizeof(temporary))
                return -ENAMETOOLONG;
        batch = calloc(BATCH, sizeof(*batch));
        if (!batch)
                return -ENOMEM;
        fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
        r = fd < 0 ? -errno : write_copy(l, fd, batch, now_usec, wall_usec);
        if (fd >= 0 && close(fd) < 0 && !r)
                r = -errno;
        if (!r && rename(temporary, l->saved_path) < 0)
                r = -errno;
        if (r && fd >= 0)
                (void)unlink(temporary);
        free(batch);
        return r;
}
