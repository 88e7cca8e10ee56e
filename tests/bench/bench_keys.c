/*
 * What a great many keys cost: memory, lookups, the longest moment in which the main thread does nothing else, and the
 * picture on disk, written and read back. usage: bench_keys [KEYS [DIRECTORY]], a million if not said, in TMPDIR.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common.h"
#include "feed/picture.h"

static const struct sg_limit two_limits[] = {
        {.kind = SG_LIMIT_REQUESTS, .window = SG_WINDOW_MINUTE, .amount = 600},
        {.kind = SG_LIMIT_COST, .window = SG_WINDOW_MONTH, .amount = 20000000, .currency = "USD"}};
static size_t n_limits;

static void must(int r)
{
        if (r) {
                fprintf(stderr, "bench_keys: %s\n", strerror(r < 0 ? -r : r));
                exit(1);
        }
}

static double resident_mb(void)
{
        unsigned long pages = 0;
        FILE *f = fopen("/proc/self/statm", "r");

        if (!f || fscanf(f, "%*u %lu", &pages) != 1)
                die("/proc/self/statm");
        fclose(f);
        return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1e6;
}

static double seconds_since(uint64_t start)
{
        return (double)(cpu_nsec() - start) / 1e9;
}

static void digest_of(uint8_t out[SG_APIKEY_DIGEST_BYTES], uint64_t n)
{
        sg_apikey_digest(out, sg_str_make(&n, sizeof(n)));
}

/* Applies them all; *ret_worst: the longest that one took. */
static double apply_all(struct sg_keytable *t, uint64_t n, double *ret_worst)
{
        struct sg_str models[] = {SG_STR("gpt-4o*"), SG_STR("writer")};
        uint64_t start, worst = 0, sum = 0;

        for (uint64_t i = 1; i <= n; i++) {
                struct sg_key_change c = {.id = i, .models = models, .n_models = 2, .group_id = i % 1000};
                char name[32];

                c.name =
                        sg_str_make(name, (size_t)snprintf(name, sizeof(name), "customer-%llu", (unsigned long long)i));
                digest_of(c.digest, i);
                start = cpu_nsec();
                must(sg_limit_set_new(&c.limits, two_limits, n_limits, NULL));
                must(sg_keytable_apply(t, &c));
                sg_limit_set_unref(c.limits);
                start = cpu_nsec() - start;
                sum += start;
                if (start > worst)
                        worst = start;
                if (i % 1000 == 0)
                        sg_rcu_quiescent();
        }
        *ret_worst = (double)worst / 1e9;
        return (double)sum / 1e9;
}

static double lookup_nsec(struct sg_keytable *t, uint64_t n)
{
        const uint64_t n_rounds = 1000000;
        uint8_t(*digests)[SG_APIKEY_DIGEST_BYTES] = grab(n_rounds, sizeof(*digests));
        uint64_t start, at = 1, n_found = 0;

        for (uint64_t i = 0; i < n_rounds; i++) {
                at = at * UINT64_C(6364136223846793005) + 1442695040888963407u;
                digest_of(digests[i], 1 + (at >> 20) % n);
        }
        start = cpu_nsec();
        for (uint64_t i = 0; i < n_rounds; i++)
                n_found += sg_keytable_find(t, digests[i]) != NULL;
        start = cpu_nsec() - start;
        if (n_found != n_rounds)
                die("a key is missing");
        free(digests);
        return (double)start / (double)n_rounds;
}

static void measure(uint64_t n, const char *path)
{
        SG_AUTO(sg_picture_free) struct sg_picture *p = NULL;
        SG_AUTO(sg_keytable_free) struct sg_keytable *t = NULL, *back = NULL;
        double before = resident_mb(), seconds, worst;
        enum sg_picture_outcome outcome;
        uint64_t version, start, step;

        must(sg_keytable_new(&t));
        seconds = apply_all(t, n, &worst);
        printf("  made: %.2f s, the longest moment %.0f ms, %.0f bytes of memory a key\n", seconds, worst * 1e3,
               (resident_mb() - before) * 1e6 / (double)n);
        printf("  lookup, anywhere in the table: %.0f ns\n", lookup_nsec(t, n));
        sg_keytable_picture_begin(t);
        before = resident_mb();
        seconds = apply_all(t, n, &worst);
        sg_keytable_picture_end(t);
        printf("  told again, nothing new: %.2f s, %.0f MB more\n", seconds, resident_mb() - before);

        worst = 0;
        must(sg_picture_new(&p, path));
        start = cpu_nsec();
        must(sg_picture_begin(p, t, 1));
        for (bool is_done = false; !is_done;) {
                step = cpu_nsec();
                must(sg_picture_step(p, &is_done));
                if (seconds_since(step) > worst)
                        worst = seconds_since(step);
        }
        printf("  picture written: %.2f s, the longest step %.0f ms\n", seconds_since(start), worst * 1e3);
        t = sg_keytable_free(t);
        sg_rcu_quiescent();
        sg_rcu_barrier();
        must(sg_keytable_new(&back));
        start = cpu_nsec();
        must(sg_picture_load(p, back, &outcome, &version, NULL));
        printf("  picture read: %.2f s\n", seconds_since(start));
        if (outcome != SG_PICTURE_GOOD || sg_keytable_count(back) != n)
                die("the picture is not whole");
}

/* In a process of its own: what the one before gave back would not count. */
static void measure_apart(uint64_t n, const char *path)
{
        int status;
        pid_t pid;

        fflush(stdout);
        pid = fork();
        if (pid < 0)
                die("fork");
        if (pid == 0) {
                sg_rcu_register();
                measure(n, path);
                fflush(stdout);
                _exit(0);
        }
        if (waitpid(pid, &status, 0) != pid || status != 0)
                die("it did not work");
        unlink(path);
}

int main(int argc, char **argv)
{
        const char *directory = argc > 2 ? argv[2] : getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
        uint64_t n = 1000000;
        char path[4096];

        if (argc > 1 && (sg_str_to_u64(sg_str_from(argv[1]), &n) || n == 0))
                die("usage: bench_keys [KEYS [DIRECTORY]]");
        snprintf(path, sizeof(path), "%s/bench-keys.%d", directory, (int)getpid());
        printf("%llu keys of two models, in a thousand groups\n", (unsigned long long)n);
        measure_apart(n, path);
        n_limits = SG_N_ELEMENTS(two_limits);
        printf("the same with two limits each\n");
        measure_apart(n, path);
        return 0;
}
