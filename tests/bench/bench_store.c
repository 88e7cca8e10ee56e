/* How many usage events a second a database takes, in the batches of the drain: rows, hourly sums and the ring's mark in one
 * transaction; then how long questions about them take.
 *
 *     build/tests/bench/bench_store sqlite:/tmp/bench.db [EVENTS]
 *     build/tests/bench/bench_store postgresql://scribe_owner@127.0.0.1/scribe [EVENTS]
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "ledger/store.h"

#define BATCH  2500u /* what SG_DRAIN_RECORDS_MAX records are as open and close */
#define RING   "0123456789abcdef0123456789abcdef"
#define KEYS   200u
#define MODELS 6u

static void fail(const struct sg_error *err)
{
        (void)fprintf(stderr, "%s: %s\n", err->where, err->text);
        exit(1);
}

static struct sg_record event(uint64_t n, uint64_t now, char name[16], char model[16], char request[40])
{
        (void)snprintf(name, 16, "key-%d", (int)(n % KEYS));
        (void)snprintf(model, 16, "model-%d", (int)(n % KEYS % MODELS)) /* a key has its model, mostly */;
        (void)snprintf(request, 40, "01992f4c5e%022" PRIx64, n);
        return (struct sg_record){
                .kind = SG_RECORD_CLOSE,
                .exchange = n,
                .start_wall_usec = now - (n * 37) % (7200 * SG_USEC_PER_SEC),
                .key_id = n % KEYS + 1,
                .request_id = sg_str_from(request),
                .key_name = sg_str_from(name),
                .operation = SG_STR("chat"),
                .model = sg_str_from(model),
                .provider = SG_STR("provider"),
                .upstream_model = SG_STR("upstream-model-large"),
                .credential = SG_STR("team"),
                .prompt_bytes = 1200,
                .flags = SG_RECORD_STREAM,
                .status = 200,
                .certainty = SG_RECORD_CERTAINTY_MEASURED,
                .n_attempts = 1,
                .input_tokens = 300,
                .output_tokens = n % 1000,
                .duration_usec = 1500000,
                .first_byte_usec = 300000,
                .answer_bytes = 4000,
                .raw_usage = SG_STR("{\"prompt_tokens\":300,\"completion_tokens\":500,\"total_tokens\":800}"),
        };
}

static void drain(struct sg_store *s, uint64_t first, uint64_t last, uint64_t now)
{
        struct sg_store_ring mark = {.id = RING, .sequence = last, .offset = last * 512};
        struct sg_error err = {0};
        int r = sg_store_begin(s, &err);

        for (uint64_t n = first; n <= last && !r; n++) {
                char name[16], model[16], request[40];
                struct sg_record rec = event(n, now, name, model, request);

                r = sg_store_usage_add(s, RING, &rec, &err);
        }
        if (!r)
                r = sg_store_ring_put(s, &mark, &err);
        if (!r)
                r = sg_store_commit(s, &err);
        if (r)
                fail(&err);
}

static void count_sum(const struct sg_store_usage_sum *sum, void *owner)
{
        *(uint64_t *)owner += sum->n_requests;
}

static void ask(struct sg_store *s, const char *what, uint64_t from, uint64_t to)
{
        struct sg_store_usage_filter f = {.from_wall_usec = from, .to_wall_usec = to, .limit = 1000};
        uint64_t began = sg_clock_usec(), n = 0;
        struct sg_error err = {0};

        if (sg_store_usage_sums(s, SG_STORE_BY_KEY, &f, count_sum, &n, &err) != 0)
                fail(&err);
        (void)printf("sums by key, %s: %" PRIu64 " events in %" PRIu64 " ms\n", what, n,
                     (sg_clock_usec() - began) / SG_USEC_PER_MSEC);
}

int main(int argc, char **argv)
{
        uint64_t total = 500000, began, usec, now = sg_clock_wall_usec(), hour = now / 3600000000 * 3600000000;
        struct sg_store_options options = {.url = argc > 1 ? argv[1] : "", .node = "bench"};
        struct sg_store *s = NULL, *reader = NULL;
        struct sg_store_ring mark;
        struct sg_error err = {0};

        if (argc > 2 && sg_str_to_u64(sg_str_from(argv[2]), &total) != 0)
                return 2;
        if (sg_store_open(&s, &options, &err) != 0 || sg_store_ring_get(s, RING, &mark, &err) < 0)
                fail(&err);
        began = sg_clock_usec();
        for (uint64_t n = 1; n <= total; n += BATCH)
                drain(s, n, SG_MIN(n + BATCH - 1, total), now);
        usec = sg_clock_usec() - began;
        (void)printf("%" PRIu64 " events in %.1f s: %.0f a second\n", total, (double)usec / 1e6,
                     (double)total * 1e6 / (double)usec);
        if (sg_store_open_reader(&reader, &options, &err) != 0)
                fail(&err);
        ask(reader, "whole hours", hour - UINT64_C(3600000000) * 4, hour + UINT64_C(3600000000));
        ask(reader, "by the events", hour + 1, hour + UINT64_C(3600000000) - 1);
        sg_store_free(reader);
        sg_store_free(s);
        return 0;
}
