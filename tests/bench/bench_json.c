/*
 * What it costs to look at a request body once: proved to be JSON and sliced into the members that the gateway reads.
 * CPU time of this thread, the best of several rounds, since a busy machine only ever adds to it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/buf.h"
#include "json/slice.h"

#define ROUNDS      40
#define ROUND_BYTES (4u << 20) /* scanned in one round, whatever the body's size */

static const struct shape {
        const char *name;
        struct sg_str turn; /* one message's content */
        size_t content_bytes;
} shapes[] = {
        {"one long string", SG_STR("The quick brown fox jumps over the lazy dog. "), SIZE_MAX},
        {"one long string, a line end every 45 bytes", SG_STR("The quick brown fox jumps over the lazy dog.\\n"), SIZE_MAX},
        {"one long string, three bytes a character", SG_STR("\xe6\x95\x8f\xe6\x8d\xb7\xe7\x9a\x84"), SIZE_MAX},
        {"a talk of turns of 30 bytes", SG_STR("What is the capital of France?"), 30},
};

static void must(int r)
{
        if (r)
                abort();
}

static void make_body(struct sg_buf *b, const struct shape *shape, size_t n_bytes)
{
        must(sg_buf_add(b, SG_STR("{\"model\":\"bench\",\"messages\":[")));
        do {
                size_t content = 0;

                must(sg_buf_add(b, SG_STR("{\"role\":\"user\",\"content\":\"")));
                while (content < shape->content_bytes && sg_buf_length(b) < n_bytes) {
                        must(sg_buf_add(b, shape->turn));
                        content += shape->turn.n;
                }
                must(sg_buf_add(b, SG_STR("\"},")));
        } while (sg_buf_length(b) < n_bytes);
        b->end--; /* the last comma */
        must(sg_buf_add(b, SG_STR("],\"stream\":true,\"temperature\":0.7}")));
}

static double cpu_usec(void)
{
        struct timespec now;

        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
        return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static double measure(struct sg_str body)
{
        struct sg_json_want wants[] = {{.name = SG_STR("model")},
                                       {.name = SG_STR("stream")},
                                       {.name = SG_STR("stream_options")},
                                       {.name = SG_STR("max_tokens")},
                                       {.name = SG_STR("messages")}};
        unsigned n = (unsigned)(ROUND_BYTES / body.n) + 1;
        double best = 1e12;

        for (unsigned round = 0; round < ROUNDS; round++) {
                double start = cpu_usec(), took;

                for (unsigned i = 0; i < n; i++)
                        must(sg_json_slice(body, wants, SG_N_ELEMENTS(wants), NULL));
                took = (cpu_usec() - start) / n;
                best = SG_MIN(best, took);
        }
        return best;
}

int main(void)
{
        static const size_t sizes[] = {1u << 10, 32u << 10, 1u << 20};

        printf("| body | 1 KiB | 32 KiB | 1 MiB | GB/s |\n| --- | --- | --- | --- | --- |\n");
        for (size_t i = 0; i < SG_N_ELEMENTS(shapes); i++) {
                double took = 0;
                struct sg_buf b;

                printf("| %s |", shapes[i].name);
                for (size_t k = 0; k < SG_N_ELEMENTS(sizes); k++) {
                        sg_buf_init(&b, 2u << 20);
                        make_body(&b, &shapes[i], sizes[k]);
                        took = measure(sg_buf_view(&b));
                        sg_buf_done(&b);
                        printf(" %.2f us |", took);
                }
                printf(" %.1f |\n", (double)sizes[2] / took / 1e3);
        }
        return 0;
}
