/*
 * A count is one word:  day (16 bits)  tokens (40 bits)  check (8 bits)
 *
 * so that a day's end, a use and another process need no lock: each change is a compare-and-swap. What SIGKILL leaves is
 * whole, as a word is written at once; power loss may lose the last seconds, which is why the file is never synced. The
 * check tells a damaged word from a count; it is of the word and its name.
 *
 * A count of tomorrow is taken for today's: threads read the clock before they come here, and around midnight they come
 * in any order. A count of any other day is over, also one that a clock in the future has left.
 */
#include "upstream/quota.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"

#define CHECK_BITS  8u
#define CHECK_MASK  ((UINT64_C(1) << CHECK_BITS) - 1)
#define TOKEN_BITS  40u
#define TOKENS_MAX  ((UINT64_C(1) << TOKEN_BITS) - 1)
#define DAY_SHIFT   (CHECK_BITS + TOKEN_BITS)
#define DAY_MASK    UINT64_C(0xffff)

#define MAGIC       UINT64_C(0x3161746f75716773) /* "sgquota1"; of another byte order it is none of ours */
#define TEXT_BYTES  256
#define BYTES_TOTAL sizeof(struct file)

struct sg_quota_count {
        _Atomic uint64_t name; /* 0: free */
        _Atomic uint64_t word; /* 0: nothing yet */
};

struct file {
        uint64_t magic, reserved;
        struct sg_quota_count counts[SG_QUOTA_COUNTS_MAX];
};

struct sg_quota {
        _Atomic uint32_t n_refs;
        bool was_opened;
        struct file *file;
};

static uint64_t make(uint64_t name, uint64_t day, uint64_t n_tokens)
{
        const uint64_t bare = (day & DAY_MASK) << DAY_SHIFT | SG_MIN(n_tokens, TOKENS_MAX) << CHECK_BITS;
        const uint64_t checked[] = {name, bare};

        return bare | (sg_crc32c(0, checked, sizeof(checked)) & CHECK_MASK);
}

static uint64_t tokens_of(uint64_t word)
{
        return word >> CHECK_BITS & TOKENS_MAX;
}

static bool is_whole(uint64_t name, uint64_t word)
{
        return word == 0 || (name && word == make(name, word >> DAY_SHIFT, tokens_of(word)));
}

/* ---- the file */

static bool is_sound(const struct file *f)
{
        if (f->magic != MAGIC || f->reserved)
                return false;
        for (size_t i = 0; i < SG_N_ELEMENTS(f->counts); i++) {
                const uint64_t name = atomic_load_explicit(&f->counts[i].name, memory_order_relaxed);

                if (!is_whole(name, atomic_load_explicit(&f->counts[i].word, memory_order_relaxed)))
                        return false;
        }
        return true;
}

/* The file at fd, whole and mapped; NULL with errno. EBADMSG: it is none of ours, or damaged. */
static struct file *map_file(int fd)
{
        struct stat st;
        struct file *f;

        if (fstat(fd, &st) < 0)
                return NULL;
        if (!S_ISREG(st.st_mode) || st.st_size != (off_t)BYTES_TOTAL) {
                errno = EBADMSG;
                return NULL;
        }
        f = mmap(NULL, BYTES_TOTAL, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (f == MAP_FAILED)
                return NULL;
        if (is_sound(f))
                return f;
        (void)munmap(f, BYTES_TOTAL);
        errno = EBADMSG;
        return NULL;
}

static struct file *open_file(const char *path)
{
        const int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        struct file *f = fd < 0 ? NULL : map_file(fd);
        const int e = errno;

        if (fd >= 0)
                (void)close(fd);
        errno = e;
        return f;
}

/* All its blocks: a store into a mapped file of a full disk would end the process. */
static int fill_file(int fd)
{
        static const uint64_t magic = MAGIC;
        const int e = posix_fallocate(fd, 0, (off_t)BYTES_TOTAL);

        if (e)
                return -e;
        return pwrite(fd, &magic, sizeof(magic), 0) == sizeof(magic) ? 0 : -EIO;
}

/* It gets its name when it is whole; who has the old one mapped goes on there. */
static int make_file(const char *path)
{
        char made[4096];
        int fd, r;

        if (snprintf(made, sizeof(made), "%s.XXXXXX", path) >= (int)sizeof(made))
                return -ENAMETOOLONG;
        fd = mkostemp(made, O_CLOEXEC);
        if (fd < 0)
                return -errno;
        r = fill_file(fd);
        (void)close(fd);
        if (!r && rename(made, path) < 0)
                r = -errno;
        if (r)
                (void)unlink(made);
        return r;
}

static struct file *open_or_make(const char *path, char ret_text[TEXT_BYTES])
{
        struct file *f = open_file(path);
        const bool is_damaged = !f && (errno == EBADMSG || errno == ELOOP);
        int r;

        ret_text[0] = '\0';
        if (f || (!is_damaged && errno != ENOENT))
                return f;
        r = make_file(path);
        errno = -r;
        f = r ? NULL : open_file(path);
        if (f && is_damaged)
                (void)snprintf(ret_text, TEXT_BYTES,
                               "%s is damaged or of another program: the daily quotas of credentials begin anew", path);
        return f;
}

/* ---- birth and death */

static struct file *in_memory(void)
{
        struct file *f = mmap(NULL, BYTES_TOTAL, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        return f == MAP_FAILED ? NULL : f;
}

int sg_quota_new(struct sg_quota **ret, const char *path, char ret_text[TEXT_BYTES])
{
        SG_AUTO(sg_quota_unref) struct sg_quota *q = calloc(1, sizeof(*q));

        if (!q)
                return -ENOMEM;
        atomic_store_explicit(&q->n_refs, 1, memory_order_relaxed);
        q->was_opened = path != NULL;
        ret_text[0] = '\0';
        if (path) {
                q->file = open_or_make(path, ret_text);
                if (!q->file)
                        (void)snprintf(ret_text, TEXT_BYTES,
                                       "%s: %s: the daily quotas of credentials are kept in memory and begin anew at "
                                       "each start",
                                       path, strerror(errno));
        }
        if (!q->file)
                q->file = in_memory();
        if (!q->file)
                return -ENOMEM;
        *ret = SG_GIVE(q);
        return 0;
}

struct sg_quota *sg_quota_ref(struct sg_quota *q)
{
        const uint32_t before = atomic_fetch_add_explicit(&q->n_refs, 1, memory_order_relaxed);

        SG_ASSERT(before > 0);
        return q;
}

struct sg_quota *sg_quota_unref(struct sg_quota *q)
{
        if (!q || atomic_fetch_sub_explicit(&q->n_refs, 1, memory_order_acq_rel) != 1)
                return NULL;
        if (q->file)
                (void)munmap(q->file, BYTES_TOTAL);
        free(q);
        return NULL;
}

bool sg_quota_was_opened(const struct sg_quota *q)
{
        return q->was_opened;
}

/* ---- counts */

struct sg_quota_count *sg_quota_find(struct sg_quota *q, uint64_t name)
{
        name = name ? name : 1;
        for (size_t i = 0; i < SG_QUOTA_COUNTS_MAX; i++) {
                struct sg_quota_count *c = &q->file->counts[i];
                uint64_t taken = 0;

                if (atomic_compare_exchange_strong_explicit(&c->name, &taken, name, memory_order_relaxed,
                                                            memory_order_relaxed) ||
                    taken == name)
                        return c;
        }
        return NULL;
}

static uint64_t tokens_at(uint64_t word, uint64_t day)
{
        const uint64_t of = word >> DAY_SHIFT;

        return of == (day & DAY_MASK) || of == ((day + 1) & DAY_MASK) ? tokens_of(word) : 0;
}

uint64_t sg_quota_used(const struct sg_quota_count *c, uint64_t day)
{
        return tokens_at(atomic_load_explicit(&c->word, memory_order_relaxed), day);
}

void sg_quota_add(struct sg_quota_count *c, uint64_t day, uint64_t n_tokens)
{
        const uint64_t name = atomic_load_explicit(&c->name, memory_order_relaxed);
        uint64_t word = atomic_load_explicit(&c->word, memory_order_relaxed), next;

        n_tokens = SG_MIN(n_tokens, TOKENS_MAX);
        do {
                const uint64_t of = word >> DAY_SHIFT == ((day + 1) & DAY_MASK) ? day + 1 : day;

                next = make(name, of, tokens_at(word, day) + n_tokens);
        } while (!atomic_compare_exchange_weak_explicit(&c->word, &word, next, memory_order_relaxed,
                                                        memory_order_relaxed));
}
