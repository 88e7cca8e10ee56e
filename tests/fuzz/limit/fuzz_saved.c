/*
 * The saved copy of limits, from hostile bytes: once as they are, and once with a head that fits, so that the entries are
 * reached. What is taken leaves a table in which every word can be looked at, and which is saved and read again the same.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/digest.h"
#include "limit/saved.h"
#include "limit/table.h"

#define WALL UINT64_C(1795305600000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char path[64];

static void write_file(const void *head, size_t n_head, const void *data, size_t n)
{
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        SG_ASSERT(fd >= 0 && write(fd, head, n_head) == (ssize_t)n_head && write(fd, data, n) == (ssize_t)n);
        close(fd);
}

static size_t read_and_save(bool must_be_taken, uint64_t now_usec)
{
        const struct sg_limits_options options = {.saved_path = path};
        SG_AUTO(sg_limits_free) struct sg_limits *l = NULL;
        const struct sg_limit_word *w;
        struct sg_limits_counts counts;
        char text[256];
        uint64_t at = 0;
        int r = sg_limits_new(&l, &options, now_usec, WALL, text);

        SG_ASSERT(r == 0 && (!must_be_taken || !text[0]));
        while ((w = sg_words_next(l->words, &at)))
                SG_ASSERT(sg_word_id_is_good(atomic_load(&w->id)));
        sg_limits_count(l, &counts);
        for (int k = 0; k < SG_LIMIT_KIND_N; k++)
                SG_ASSERT(counts.reserved[k] == 0);
        r = sg_limits_save(l, now_usec, WALL);
        SG_ASSERT(r == 0);
        return counts.n_words;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const size_t n = size / sizeof(struct sg_saved_entry) * sizeof(struct sg_saved_entry);
        struct sg_saved_head head = {.magic = "SGSAVED\n", .version = 1, .wall_usec = WALL};
        size_t n_words;

        snprintf(path, sizeof(path), "/tmp/scribe-fuzz-limit-%d", (int)getpid());
        write_file("", 0, data, size);
        (void)read_and_save(false, 1000);
        head.n = n / sizeof(struct sg_saved_entry);
        head.crc = sg_crc32c(0, &head.wall_usec, sizeof(head) - offsetof(struct sg_saved_head, wall_usec));
        head.crc = sg_crc32c(head.crc, data, n);
        write_file(&head, sizeof(head), data, n);
        n_words = read_and_save(true, 1000);
        SG_ASSERT(n_words <= head.n);
        SG_ASSERT(read_and_save(true, 5000) <= n_words);
        unlink(path);
        return 0;
}
