/*
 * Runs a fuzz target over its corpus without a fuzzer, as an ordinary test: the empty input; each file whole; each
 * prefix of a small one (truncation); and changed copies of it, from a fixed seed, until the time is up.
 * The target fails by a crash, an assertion or a sanitizer's report.
 */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define PREFIXES_BYTES_MAX 4096u
#define FILE_BYTES_MAX     (8u * 1024u * 1024u)
#define TIME_MSEC          2000u
#define ROUNDS_MAX         2000u /* changed copies of one file */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
        char *path;
        uint8_t *data;
        size_t n;
};

static uint64_t now_msec(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t next_random(uint64_t *state)
{
        *state ^= *state << 13; /* xorshift64: the same numbers on every machine */
        *state ^= *state >> 7;
        *state ^= *state << 17;
        return *state;
}

/* In a block of exactly n bytes, so that AddressSanitizer sees the first byte read past the end. */
static void run_copy(const uint8_t *data, size_t n)
{
        uint8_t *copy = malloc(n ? n : 1);

        if (!copy)
                abort();
        if (n)
                memcpy(copy, data, n);
        (void)LLVMFuzzerTestOneInput(copy, n);
        free(copy);
}

static bool read_input(struct input *in)
{
        FILE *file = fopen(in->path, "rb");
        struct stat st;
        bool ok;

        if (!file)
                return false;
        ok = fstat(fileno(file), &st) == 0 && st.st_size >= 0 && (uint64_t)st.st_size <= FILE_BYTES_MAX;
        if (ok) {
                in->n = (size_t)st.st_size;
                in->data = malloc(in->n ? in->n : 1);
                ok = in->data && fread(in->data, 1, in->n, file) == in->n;
        }
        fclose(file);
        return ok;
}

static void run_prefixes(const struct input *in, uint64_t until_msec)
{
        /* The longest first: when the time is up, what is left out are the short ones, which resemble one another. */
        for (size_t n = in->n; n-- > 0 && now_msec() < until_msec;)
                run_copy(in->data, n);
}

static void run_changed(const struct input *in, uint64_t *state, uint64_t until_msec)
{
        uint8_t *changed = malloc(in->n);

        if (!changed)
                abort();
        memcpy(changed, in->data, in->n);
        for (unsigned round = 0; round < ROUNDS_MAX && now_msec() < until_msec; round++) {
                size_t at = next_random(state) % in->n;

                changed[at] = (uint8_t)next_random(state);
                run_copy(changed, in->n);
                changed[at] = in->data[at];
        }
        free(changed);
}

static int is_file(const struct dirent *entry)
{
        return entry->d_name[0] != '.';
}

int main(int argc, char **argv)
{
        struct dirent **entries;
        uint64_t state = UINT64_C(0x9e3779b97f4a7c15), start = now_msec();
        int n, n_failed = 0;

        if (argc != 2) {
                fprintf(stderr, "usage: %s CORPUS-DIRECTORY\n", argv[0]);
                return 2;
        }
        n = scandir(argv[1], &entries, is_file, alphasort);
        if (n <= 0) {
                printf("Bail out! corpus %s: %s\n", argv[1], n < 0 ? strerror(errno) : "no files");
                return 1;
        }
        printf("1..%d\n", n);
        run_copy(NULL, 0);
        for (int i = 0; i < n; i++) {
                /* Each file has its share, so that the last is tried as much as the first. */
                uint64_t share = TIME_MSEC / (uint64_t)n;
                uint64_t until_msec = start + share * (uint64_t)(i + 1);
                struct input in = {0};
                bool ok;

                if (asprintf(&in.path, "%s/%s", argv[1], entries[i]->d_name) < 0)
                        abort();
                ok = read_input(&in);
                if (ok) {
                        run_copy(in.data, in.n);
                        if (in.n <= PREFIXES_BYTES_MAX)
                                run_prefixes(&in, until_msec - share / 2);
                        if (in.n > 0)
                                run_changed(&in, &state, until_msec);
                }
                printf("%s %d - %s\n", ok ? "ok" : "not ok", i + 1, entries[i]->d_name);
                fflush(stdout);
                n_failed += !ok;
                free(in.data);
                free(in.path);
                free(entries[i]);
        }
        free(entries);
        return n_failed ? 1 : 0;
}
