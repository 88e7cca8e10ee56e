/*
 * The file is a page of header and up to SEGMENTS segments of slots, each twice as large as the one before. A word's
 * places are a sequence that its id alone decides: PROBES slots of the first segment, then of the second, and so on. It
 * stands in the first of them that was empty when it came, and nothing is ever removed; so whoever looks for it stops at
 * an empty slot, and two that make the same word at once meet at the same slot, where compare-and-swap of the id lets one
 * win. A slot of zeros with an id is a whole word. A segment is added by the main thread, in whole, before the number of
 * segments says so: what is seen was allocated by the file system, and no full tmpfs can end the process with SIGBUS. A word
 * that finds no place is on the heap, for this process alone, and counted.
 *
 * Whoever finds every place taken holds a lock while he looks for new segments, and makes the word on the heap if there
 * are none; a process looks into a new segment from a moment on at which that lock was held, too. So nobody makes a word
 * there that somebody else is putting on the heap. Nobody else needs the lock.
 *
 * The mapping is as long as the file may ever be: nothing moves when it grows.
 *
 * Processes. The header has a mark for each column, and its byte of the file is locked by the process (an open file
 * description's lock, which the kernel frees with the process, however it ends; a pid may be used again, and means
 * another process in another container). A column that is marked and can be locked belonged to a dead one: who has the
 * lock empties it, word by word, and takes the mark off at the end. Killed in between, it leaves the mark, and the next
 * one goes on: emptying is an exchange with zero, and happens once.
 *
 * A file of another boot counts a time that is over; one that is damaged counts nothing that can be believed. In either
 * case a new one takes its place by rename: whoever has the old one mapped keeps it.
 */
#include "limit/words.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "limit/count.h"

#define MAGIC              "SGLIMIT\n"
#define FILE_VERSION       1u
#define HEADER_BYTES       4096u
#define FIRST_SLOTS        16384u
#define SEGMENTS           8u
#define PROBES             32u
#define HEAP_LISTS         4096u
#define HEAP_AT            (UINT64_C(1) << 63) /* where a walk goes on when the slots are through */
#define BOOT_ID_BYTES      40
#define OPEN_ATTEMPTS      8
#define LOCK_OF_HEADER     0 /* then one byte for each column */

#define SLOTS_OF(segments) ((size_t)FIRST_SLOTS * ((1u << (segments)) - 1))
#define BYTES_OF(segments) (HEADER_BYTES + SLOTS_OF(segments) * sizeof(struct sg_limit_word))
_Static_assert(SLOTS_OF(SEGMENTS) <= SG_LIMIT_WORDS_MAX, "as the header promises");

struct header {
        char magic[8];
        uint32_t version, first_slots;
        char boot_id[BOOT_ID_BYTES];
        _Atomic uint32_t n_segments;
        _Atomic uint32_t is_used[SG_LIMIT_PROCESSES];
        _Atomic uint64_t n_words;
};
_Static_assert(sizeof(struct header) <= HEADER_BYTES, "a page");

struct heap_word {
        struct sg_limit_word word;
        struct heap_word *next; /* never changes once it is in a list */
};

struct sg_words {
        int fd;
        unsigned column;
        struct header *header;
        struct sg_limit_word *slots;
        _Atomic uint32_t n_seen; /* segments that this process looks into */
        pthread_mutex_t overflow;
        _Atomic size_t n_in_memory;
        _Atomic(struct heap_word *) heap[HEAP_LISTS];
};

/* ---- finding */

static size_t place(uint64_t id, unsigned segment, unsigned probe)
{
        const uint64_t first = (id ^ id >> 29) * UINT64_C(0xbf58476d1ce4e5b9), step = (id >> 5) | 1;

        return SLOTS_OF(segment) + ((size_t)((first >> 24) + probe * step) & (((size_t)FIRST_SLOTS << segment) - 1));
}

/* NULL: it is in none of the first n segments, and with is_to_be_made every place of it is taken by others. */
static struct sg_limit_word *find_slot(struct sg_words *ws, uint64_t id, unsigned n, bool is_to_be_made)
{
        for (unsigned segment = 0; segment < n; segment++)
                for (unsigned probe = 0; probe < PROBES; probe++) {
                        struct sg_limit_word *w = &ws->slots[place(id, segment, probe)];
                        uint64_t there = atomic_load_explicit(&w->id, memory_order_relaxed);

                        if (there == 0 && !is_to_be_made)
                                return NULL;
                        if (there == 0 && atomic_compare_exchange_strong(&w->id, &there, id)) {
                                atomic_fetch_add_explicit(&ws->header->n_words, 1, memory_order_relaxed);
                                return w;
                        }
                        if (there == id)
                                return w;
                }
        return NULL;
}

static struct sg_limit_word *find_on_heap(const struct sg_words *ws, uint64_t id)
{
        struct heap_word *h = atomic_load_explicit(&ws->heap[(id >> 5) % HEAP_LISTS], memory_order_acquire);

        while (h && atomic_load_explicit(&h->word.id, memory_order_relaxed) != id)
                h = h->next;
        return h ? &h->word : NULL;
}

static struct sg_limit_word *make_on_heap(struct sg_words *ws, uint64_t id)
{
        _Atomic(struct heap_word *) *list = &ws->heap[(id >> 5) % HEAP_LISTS];
        struct heap_word *h = aligned_alloc(sizeof(h->word), 2 * sizeof(h->word));

        if (!h)
                return NULL;
        memset(h, 0, sizeof(*h));
        atomic_store_explicit(&h->word.id, id, memory_order_relaxed);
        h->next = atomic_load_explicit(list, memory_order_relaxed);
        atomic_store_explicit(list, h, memory_order_release);
        atomic_fetch_add_explicit(&ws->n_in_memory, 1, memory_order_relaxed);
        return &h->word;
}

static unsigned see_segments(struct sg_words *ws)
{
        const unsigned n = atomic_load_explicit(&ws->header->n_segments, memory_order_acquire);

        atomic_store_explicit(&ws->n_seen, n, memory_order_release);
        return n;
}

/* The one lock of the room, for what found no place: see the head. */
static struct sg_limit_word *make_where_all_is_full(struct sg_words *ws, uint64_t id)
{
        struct sg_limit_word *w;

        pthread_mutex_lock(&ws->overflow);
        w = find_on_heap(ws, id);
        if (!w)
                w = find_slot(ws, id, see_segments(ws), true);
        if (!w)
                w = make_on_heap(ws, id);
        pthread_mutex_unlock(&ws->overflow);
        return w;
}

struct sg_limit_word *sg_words_find(struct sg_words *ws, uint64_t id, bool is_to_be_made)
{
        /* Segments first: what was put on the heap before the last one came is there to be seen then. */
        const unsigned n = atomic_load_explicit(&ws->n_seen, memory_order_acquire);
        struct sg_limit_word *w = find_on_heap(ws, id);

        if (!w)
                w = find_slot(ws, id, n, is_to_be_made);
        return w || !is_to_be_made ? w : make_where_all_is_full(ws, id);
}

/* On the heap *at is the list and what of it was shown. */
static struct sg_limit_word *next_on_heap(const struct sg_words *ws, uint64_t *at)
{
        for (; (*at & ~HEAP_AT) >> 32 < HEAP_LISTS; *at = (*at | UINT32_MAX) + 1) {
                uint32_t behind = (uint32_t)*at;

                for (struct heap_word *h =
                             atomic_load_explicit(&ws->heap[(*at & ~HEAP_AT) >> 32], memory_order_acquire);
                     h; h = h->next)
                        if (behind-- == 0) {
                                (*at)++;
                                return &h->word;
                        }
        }
        return NULL;
}

struct sg_limit_word *sg_words_next(const struct sg_words *ws, uint64_t *at)
{
        const size_t n = SLOTS_OF(atomic_load_explicit(&ws->header->n_segments, memory_order_acquire));

        while (*at < n) {
                struct sg_limit_word *w = &ws->slots[(*at)++];

                if (atomic_load_explicit(&w->id, memory_order_relaxed))
                        return w;
        }
        if (!(*at & HEAP_AT))
                *at = HEAP_AT;
        return next_on_heap(ws, at);
}

unsigned sg_words_column(const struct sg_words *ws)
{
        return ws->column;
}

size_t sg_words_count(const struct sg_words *ws)
{
        return (size_t)atomic_load_explicit(&ws->header->n_words, memory_order_relaxed) + sg_words_in_memory(ws);
}

size_t sg_words_in_memory(const struct sg_words *ws)
{
        return atomic_load_explicit(&ws->n_in_memory, memory_order_relaxed);
}

/* ---- locks and columns */

static bool lock_byte(int fd, int type, bool may_wait, unsigned byte)
{
        struct flock l = {.l_type = (short)type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
        int r;

        do {
                r = fcntl(fd, may_wait ? F_OFD_SETLKW : F_OFD_SETLK, &l);
        } while (r < 0 && errno == EINTR);
        return r == 0;
}

static void empty_column(struct sg_words *ws, unsigned column)
{
        const size_t n = SLOTS_OF(atomic_load_explicit(&ws->header->n_segments, memory_order_acquire));

        for (size_t i = 0; i < n; i++)
                if (atomic_load_explicit(&ws->slots[i].id, memory_order_relaxed))
                        sg_count_reclaim(&ws->slots[i], column);
        atomic_store(&ws->header->is_used[column], 0);
}

unsigned sg_words_reclaim(struct sg_words *ws)
{
        unsigned n = 0;

        for (unsigned i = 0; i < SG_LIMIT_PROCESSES; i++) {
                if (i == ws->column || !atomic_load(&ws->header->is_used[i]) ||
                    !lock_byte(ws->fd, F_WRLCK, false, LOCK_OF_HEADER + 1 + i))
                        continue;
                /* Somebody else may have emptied it meanwhile. */
                if (atomic_load(&ws->header->is_used[i])) {
                        empty_column(ws, i);
                        n++;
                }
                (void)lock_byte(ws->fd, F_UNLCK, false, LOCK_OF_HEADER + 1 + i);
        }
        return n;
}

static bool take_column(struct sg_words *ws)
{
        for (unsigned i = 0; i < SG_LIMIT_PROCESSES; i++) {
                if (!lock_byte(ws->fd, F_WRLCK, false, LOCK_OF_HEADER + 1 + i))
                        continue;
                if (atomic_load(&ws->header->is_used[i]))
                        empty_column(ws, i);
                atomic_store(&ws->header->is_used[i], 1);
                ws->column = i;
                return true;
        }
        return false;
}

/* ---- room */

static bool needs_room(const struct sg_words *ws, unsigned n)
{
        return n < SEGMENTS && atomic_load(&ws->header->n_words) > SLOTS_OF(n) / 8 * 5;
}

void sg_words_grow(struct sg_words *ws)
{
        unsigned n = atomic_load(&ws->header->n_segments);

        if (needs_room(ws, n) && lock_byte(ws->fd, F_WRLCK, false, LOCK_OF_HEADER)) {
                n = atomic_load(&ws->header->n_segments);
                if (needs_room(ws, n) &&
                    posix_fallocate(ws->fd, (off_t)BYTES_OF(n), (off_t)(BYTES_OF(n + 1) - BYTES_OF(n))) == 0)
                        atomic_store_explicit(&ws->header->n_segments, n + 1, memory_order_release);
                (void)lock_byte(ws->fd, F_UNLCK, false, LOCK_OF_HEADER);
        }
        if (atomic_load(&ws->header->n_segments) != atomic_load(&ws->n_seen)) {
                pthread_mutex_lock(&ws->overflow);
                (void)see_segments(ws);
                pthread_mutex_unlock(&ws->overflow);
        }
}

/* ---- the file */

static void read_boot_id(char out[BOOT_ID_BYTES])
{
        int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? 0 : read(fd, out, BOOT_ID_BYTES - 1);

        memset(out + (n > 0 ? n : 0), 0, BOOT_ID_BYTES - (size_t)(n > 0 ? n : 0));
        if (fd >= 0)
                close(fd);
}

static int map(struct sg_words *ws)
{
        void *p = mmap(NULL, BYTES_OF(SEGMENTS), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, ws->fd, 0);

        if (p == MAP_FAILED)
                return -errno;
        ws->header = p;
        ws->slots = (struct sg_limit_word *)((char *)p + HEADER_BYTES);
        return 0;
}

static void unmap(struct sg_words *ws)
{
        if (ws->header)
                munmap(ws->header, BYTES_OF(SEGMENTS));
        if (ws->fd >= 0)
                close(ws->fd);
        ws->header = NULL;
        ws->fd = -1;
}

/* An empty file becomes a table. */
static int begin(struct sg_words *ws)
{
        int e = posix_fallocate(ws->fd, 0, (off_t)BYTES_OF(1)), r = e ? -e : map(ws);

        if (r)
                return r;
        memcpy(ws->header->magic, MAGIC, sizeof(ws->header->magic));
        ws->header->version = FILE_VERSION;
        ws->header->first_slots = FIRST_SLOTS;
        read_boot_id(ws->header->boot_id);
        atomic_store_explicit(&ws->header->n_segments, 1, memory_order_release);
        return 0;
}

/* NULL: it can be continued. ret_is_old: it is in order, but of another boot. Maps it. */
static const char *check(struct sg_words *ws, uint64_t file_bytes, bool *ret_is_old)
{
        char boot_id[BOOT_ID_BYTES];
        uint32_t n;

        *ret_is_old = false;
        if (file_bytes < BYTES_OF(1))
                return "it is cut off";
        if (map(ws))
                return "it cannot be mapped";
        n = atomic_load(&ws->header->n_segments);
        if (memcmp(ws->header->magic, MAGIC, sizeof(ws->header->magic)) != 0)
                return "it is something else";
        if (ws->header->version != FILE_VERSION || ws->header->first_slots != FIRST_SLOTS)
                return "it is of another version";
        if (n < 1 || n > SEGMENTS || file_bytes < BYTES_OF(n))
                return "it is damaged";
        /* A copy that somebody made may have holes; a file system that cannot fill them has said so at birth. */
        if (fallocate(ws->fd, 0, 0, (off_t)BYTES_OF(n)) < 0 && errno != EOPNOTSUPP)
                return "there is no room for it";
        read_boot_id(boot_id);
        *ret_is_old = memcmp(boot_id, ws->header->boot_id, BOOT_ID_BYTES) != 0;
        for (size_t i = 0; i < SLOTS_OF(n); i++)
                if (!sg_word_id_is_good(atomic_load_explicit(&ws->slots[i].id, memory_order_relaxed)))
                        return "it is damaged";
        return *ret_is_old ? "the machine was started anew" : NULL;
}

/* The header's lock is held by the one that the path leads to. *ret_bytes of it. */
static int open_locked(const char *path, uint64_t *ret_bytes)
{
        struct stat mine, there;

        for (unsigned i = 0; i < OPEN_ATTEMPTS; i++) {
                int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600), e;

                if (fd < 0)
                        return -errno;
                if (fstat(fd, &mine) == 0 && S_ISREG(mine.st_mode) && mine.st_uid == geteuid() &&
                    lock_byte(fd, F_WRLCK, true, LOCK_OF_HEADER) && fstat(fd, &mine) == 0 && stat(path, &there) == 0 &&
                    mine.st_ino == there.st_ino && mine.st_dev == there.st_dev) {
                        *ret_bytes = (uint64_t)mine.st_size;
                        return fd;
                }
                e = S_ISREG(mine.st_mode) && mine.st_uid == geteuid() ? EAGAIN : EPERM;
                close(fd);
                if (e != EAGAIN)
                        return -e;
        }
        return -EAGAIN;
}

/* A new one in the place of the one at the path, which is locked. */
static int replace(struct sg_words *ws, const char *path)
{
        char temporary[4096];
        int r;

        if (snprintf(temporary, sizeof(temporary), "%s.new", path) >= (int)sizeof(temporary))
                return -ENAMETOOLONG;
        (void)unlink(temporary);
        ws->fd = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (ws->fd < 0)
                return -errno;
        r = lock_byte(ws->fd, F_WRLCK, true, LOCK_OF_HEADER) ? begin(ws) : -errno;
        if (!r && rename(temporary, path) < 0)
                r = -errno;
        if (r) {
                (void)unlink(temporary);
                unmap(ws);
        }
        return r;
}

static int open_file(struct sg_words *ws, const char *path, bool *ret_is_new, char text[256])
{
        uint64_t bytes = 0;
        const char *why;
        bool is_old;
        int r, locked;

        r = open_locked(path, &bytes);
        if (r < 0)
                return r;
        ws->fd = r;
        *ret_is_new = bytes == 0;
        if (bytes == 0)
                return begin(ws);
        why = check(ws, bytes, &is_old);
        if (!why)
                return 0;
        /* The lock on the old one is kept until the new one is there. */
        locked = ws->fd;
        ws->fd = -1;
        unmap(ws);
        r = replace(ws, path);
        close(locked);
        *ret_is_new = true;
        if (!r && !is_old)
                snprintf(text, 256, "limits in %s begin anew: %s", path, why);
        return r;
}

static int open_memory(struct sg_words *ws)
{
        int r;

        unmap(ws);
        ws->fd = memfd_create("limits", MFD_CLOEXEC);
        r = ws->fd < 0 ? -errno : begin(ws);
        if (!r && !take_column(ws))
                r = -EAGAIN;
        return r;
}

int sg_words_open(struct sg_words **ret, const char *path, bool *ret_is_new, char ret_text[256])
{
        SG_AUTO(sg_words_close) struct sg_words *ws = calloc(1, sizeof(*ws));
        int r;

        if (!ws)
                return -ENOMEM;
        ws->fd = -1;
        pthread_mutex_init(&ws->overflow, NULL);
        ret_text[0] = '\0';
        r = path ? open_file(ws, path, ret_is_new, ret_text) : -ENOENT;
        if (!r && !take_column(ws))
                r = -EUSERS;
        if (!r)
                (void)lock_byte(ws->fd, F_UNLCK, false, LOCK_OF_HEADER);
        if (r && path)
                snprintf(ret_text, 256, "limits are kept in memory only, %s cannot be used: %s", path,
                         r == -EUSERS ? "too many processes use it" : strerror(-r));
        if (r) {
                *ret_is_new = true;
                r = open_memory(ws);
        }
        if (r)
                return r;
        (void)see_segments(ws);
        *ret = SG_GIVE(ws);
        return 0;
}

struct sg_words *sg_words_close(struct sg_words *ws)
{
        if (!ws)
                return NULL;
        for (size_t i = 0; i < HEAP_LISTS; i++)
                for (struct heap_word *h = atomic_load(&ws->heap[i]), *next; h; h = next) {
                        next = h->next;
                        free(h);
                }
        unmap(ws);
        pthread_mutex_destroy(&ws->overflow);
        free(ws);
        return NULL;
}
