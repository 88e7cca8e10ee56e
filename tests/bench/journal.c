/*
 * What a worker waits for its journal: exchanges at a steady rate, each two records, with a thread that syncs every 50 ms
 * and one that drains, as in the gateway. Times are of one append (open or close).
 *
 *      bench-journal DIRECTORY STAGE_DIRECTORY EXCHANGES_PER_SEC SECONDS [MIB]
 *
 * On a machine with other work, run it as root: the appending thread then has a real-time priority, and what is left in
 * the figures is the disk's.
 */
#include <pthread.h>
#include <sched.h>

#include "common.h"
#include "journal/ring.h"

static struct sg_ring *ring;
static _Atomic bool is_over;
static struct histogram appends, syncs;

static struct sg_record sample(uint64_t n)
{
        return (struct sg_record){
                .start_wall_usec = 1000 + n,
                .key_id = n,
                .request_id = SG_STR("0123456789abcdef0123456789abcdef"),
                .key_name = SG_STR("alice"),
                .operation = SG_STR("chat"),
                .model = SG_STR("moonshot-v1-8k"),
                .provider = SG_STR("moonshot"),
                .upstream_model = SG_STR("moonshot-v1-8k"),
                .prompt_bytes = n,
                .outcome = SG_OUTCOME_COMPLETE,
                .status = 200,
                .certainty = SG_RECORD_CERTAINTY_MEASURED,
                .input_tokens = n,
                .output_tokens = 2 * n,
                .raw_usage = SG_STR("{\"prompt_tokens\":12,\"completion_tokens\":34,\"total_tokens\":46}"),
        };
}

static void *sync_run(void *arg)
{
        (void)arg;
        while (!is_over) {
                uint64_t begin;

                usleep(50000);
                begin = now_nsec();
                if (sg_ring_sync(ring) != 0)
                        die("sync");
                histogram_add(&syncs, now_nsec() - begin);
        }
        return NULL;
}

static char path[4096], stage[4096];

static void *drain_run(void *arg)
{
        struct sg_ring_reader *reader;
        struct sg_record rec;
        uint64_t sequence;

        (void)arg;
        if (sg_ring_reader_open(&reader, path, stage) != 0)
                die(path);
        while (!is_over) {
                usleep(100000);
                while (sg_ring_reader_next(reader, &rec, &sequence) == 0)
                        continue;
                sg_ring_reader_release(reader);
        }
        sg_ring_reader_free(reader);
        return NULL;
}

static uint64_t exchange_once(uint64_t n)
{
        struct sg_record rec = sample(n);
        uint64_t exchange, sequence, begin = now_nsec(), end;

        if (sg_ring_open(ring, &rec, &exchange) != 0)
                return 1;
        end = now_nsec();
        histogram_add(&appends, end - begin);
        rec = sample(n);
        begin = now_nsec();
        sg_ring_close(ring, exchange, &rec, &sequence);
        end = now_nsec();
        histogram_add(&appends, end - begin);
        return 0;
}

int main(int argc, char **argv)
{
        struct sched_param high = {.sched_priority = 10};
        uint64_t step, next, until, n_full = 0;
        struct sg_error err = {0};
        pthread_t sync, drain;

        if (argc < 5) {
                fprintf(stderr, "%s DIRECTORY STAGE_DIRECTORY EXCHANGES_PER_SEC SECONDS [MIB]\n", argv[0]);
                return 2;
        }
        if (sg_ring_create(&ring, argv[1], argv[2], (argc > 5 ? strtoul(argv[5], NULL, 10) : 64) << 20, &err) != 0) {
                fprintf(stderr, "%s\n", err.text);
                return 1;
        }
        (void)snprintf(path, sizeof(path), "%s/%s" SG_RING_SUFFIX, argv[1], sg_ring_id(ring));
        (void)snprintf(stage, sizeof(stage), "%s/%s" SG_RING_STAGE, argv[2], sg_ring_id(ring));
        step = 1000000000u / strtoul(argv[3], NULL, 10);
        if (pthread_create(&sync, NULL, sync_run, NULL) || pthread_create(&drain, NULL, drain_run, NULL))
                die("threads");
        (void)pthread_setschedparam(pthread_self(), SCHED_FIFO, &high);
        next = now_nsec();
        until = next + strtoul(argv[4], NULL, 10) * 1000000000u;
        for (uint64_t n = 1; next < until; n++, next += step) {
                struct timespec t = {.tv_sec = (time_t)(next / 1000000000u), .tv_nsec = (long)(next % 1000000000u)};

                clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
                n_full += exchange_once(n);
        }
        is_over = true;
        pthread_join(sync, NULL);
        pthread_join(drain, NULL);
        printf("{");
        histogram_print("append", &appends);
        printf(",");
        histogram_print("sync", &syncs);
        printf(",\"full\":%llu}\n", (unsigned long long)n_full);
        sg_ring_free(ring);
        (void)unlink(path);
        return 0;
}
