/*
 * Each thread writes frames into a ring of its own; one log thread reads them all, the oldest line first.
 *
 * Waking: the log thread announces in `rest` that it sleeps, then looks at every ring once more. A producer publishes
 * its line, then looks at `rest`. All four are sequentially consistent, so at least one of the two sees the other, and
 * a producer makes the futex call only when the thread sleeps. After work the thread dozes first: it wakes by itself,
 * so that a busy gateway makes no wake call at all; only a ring that is half full cuts a doze short.
 *
 * Stopping: a producer marks its ring busy, then asks whether the queue is open. sg_log_stop() closes the queue, then
 * the log thread waits for each busy ring. So a line is either in a ring before the last drain or written by its own
 * thread.
 *
 * Rings outlive their threads until they are empty. Only the log thread walks the list and unlinks rings; others add
 * to its top.
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log_internal.h"
#include "base/message_id.h"
#include "base/thread.h"

#define DOZE_USEC      (10 * SG_USEC_PER_MSEC)
#define REPORT_USEC    SG_USEC_PER_SEC /* between two reports of lost lines */
#define HURRY_USEC     (2 * SG_USEC_PER_SEC)
#define PASS_LINES_MAX 4096u

enum queue_state {
        QUEUE_NONE, /* lines are written by their own threads */
        QUEUE_OPEN,
        QUEUE_MUTE, /* SG_LOG_TO_NONE: no thread */
};

enum rest {
        REST_AWAKE,
        REST_DOZING,
        REST_ASLEEP,
};

struct ring {
        struct ring *_Atomic next;
        _Atomic bool is_ended; /* its thread is gone */
        _Atomic bool is_busy;

        alignas(64) _Atomic size_t head; /* bytes ever written; by the owner */
        size_t seen_tail;

        alignas(64) _Atomic size_t tail; /* bytes ever read; by the log thread, as all below */
        uint64_t front_usec;             /* of the line at the tail, when n_front is not 0 */
        uint32_t n_front;

        alignas(64) char bytes[SG_LOG_RING_BYTES];
};

_Static_assert((SG_LOG_RING_BYTES & (SG_LOG_RING_BYTES - 1)) == 0, "positions are taken modulo the size");
_Static_assert(SG_LOG_RING_BYTES >= 4 * SG_LOG_LINE_BYTES_MAX, "a ring holds more than a line");

static _Atomic enum queue_state queue_state;
static struct ring *_Atomic rings;
static _Atomic uint32_t rest;
static _Atomic bool must_stop, must_reopen;
static pthread_t thread;
static struct {
        uint64_t n_reported;
        uint64_t at_usec; /* of the last report */
} loss;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static _Thread_local struct ring *mine;

static void futex_wait(uint32_t expected, uint64_t usec)
{
        struct timespec t = {.tv_sec = (time_t)(usec / SG_USEC_PER_SEC),
                             .tv_nsec = (long)(usec % SG_USEC_PER_SEC) * 1000};

        (void)syscall(SYS_futex, &rest, FUTEX_WAIT_PRIVATE, expected, usec == SG_USEC_NEVER ? NULL : &t, NULL, 0);
}

static void wake(void)
{
        if (atomic_exchange(&rest, REST_AWAKE) != REST_AWAKE)
                (void)syscall(SYS_futex, &rest, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* ---- producers ---- */

static void on_thread_end(void *at)
{
        struct ring *ring = at;

        mine = NULL;
        atomic_store_explicit(&ring->is_ended, true, memory_order_release);
        if (atomic_load(&queue_state) == QUEUE_OPEN)
                wake(); /* its memory is wanted back */
}

static void make_key(void)
{
        SG_ASSERT(pthread_key_create(&key, on_thread_end) == 0);
}

static struct ring *ring_new(void)
{
        struct ring *ring, *top;

        SG_ASSERT(pthread_once(&key_once, make_key) == 0);
        ring = aligned_alloc(alignof(struct ring), sizeof(*ring));
        if (!ring)
                return NULL;
        memset(ring, 0, offsetof(struct ring, bytes)); /* the bytes are left untouched: no page of them is used yet */
        if (pthread_setspecific(key, ring)) {
                free(ring);
                return NULL;
        }
        top = atomic_load(&rings);
        do
                atomic_store_explicit(&ring->next, top, memory_order_relaxed);
        while (!atomic_compare_exchange_weak(&rings, &top, ring));
        return mine = ring;
}

static void copy_in(struct ring *ring, size_t position, const char *from, size_t n)
{
        size_t at = position % SG_LOG_RING_BYTES;
        size_t n_first = SG_MIN(n, SG_LOG_RING_BYTES - at);

        memcpy(ring->bytes + at, from, n_first);
        memcpy(ring->bytes, from + n_first, n - n_first);
}

static void put(struct ring *ring, const char *frame, size_t n)
{
        size_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);

        if (n > SG_LOG_RING_BYTES - (head - ring->seen_tail))
                ring->seen_tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
        if (n > SG_LOG_RING_BYTES - (head - ring->seen_tail)) {
                sg_log_add_lost(1);
                return;
        }
        copy_in(ring, head, frame, n);
        atomic_store(&ring->head, head + n);
}

static void wake_if_wanted(const struct ring *ring)
{
        uint32_t now = atomic_load(&rest);

        if (SG_LIKELY(now == REST_AWAKE))
                return;
        if (now == REST_DOZING) {
                size_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);

                if (head - atomic_load_explicit(&ring->tail, memory_order_relaxed) < SG_LOG_RING_BYTES / 2)
                        return;
        }
        wake();
}

bool sg_log_queue_push(const char *frame, size_t n)
{
        enum queue_state now = atomic_load_explicit(&queue_state, memory_order_relaxed);
        struct ring *ring = mine;

        if (now != QUEUE_OPEN)
                return now == QUEUE_MUTE;
        if (!ring)
                ring = ring_new();
        if (!ring) {
                sg_log_add_lost(1);
                return true;
        }
        atomic_store(&ring->is_busy, true);
        now = atomic_load(&queue_state);
        if (now == QUEUE_OPEN)
                put(ring, frame, n);
        atomic_store_explicit(&ring->is_busy, false, memory_order_release);
        if (now == QUEUE_OPEN)
                wake_if_wanted(ring);
        return now != QUEUE_NONE;
}

/* ---- the log thread ---- */

static void copy_out(const struct ring *ring, size_t position, char *to, size_t n)
{
        size_t at = position % SG_LOG_RING_BYTES;
        size_t n_first = SG_MIN(n, SG_LOG_RING_BYTES - at);

        memcpy(to, ring->bytes + at, n_first);
        memcpy(to + n_first, ring->bytes, n - n_first);
}

static bool ring_has_line(struct ring *ring)
{
        size_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
        struct sg_log_frame head;

        if (ring->n_front)
                return true;
        if (atomic_load(&ring->head) == tail)
                return false;
        copy_out(ring, tail, (char *)&head, sizeof(head));
        SG_ASSERT(head.n_bytes >= sizeof(head) && head.n_bytes <= SG_LOG_LINE_BYTES_MAX);
        ring->n_front = head.n_bytes;
        ring->front_usec = head.wall_usec;
        return true;
}

static struct ring *oldest(void)
{
        struct ring *found = NULL;

        for (struct ring *ring = atomic_load(&rings); ring;
             ring = atomic_load_explicit(&ring->next, memory_order_relaxed))
                if (ring_has_line(ring) && (!found || ring->front_usec < found->front_usec))
                        found = ring;
        return found;
}

static void write_front(struct ring *ring)
{
        size_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
        char frame[SG_LOG_LINE_BYTES_MAX];
        struct sg_log_record r;

        copy_out(ring, tail, frame, ring->n_front);
        atomic_store_explicit(&ring->tail, tail + ring->n_front, memory_order_release);
        ring->n_front = 0;
        sg_log_read_frame(frame, &r);
        sg_log_sink_write(&r);
}

/* Returns how many lines were written: PASS_LINES_MAX when there may be more. */
static unsigned drain(void)
{
        unsigned n = 0;
        struct ring *ring;

        while (n < PASS_LINES_MAX && (ring = oldest())) {
                write_front(ring);
                n++;
        }
        return n;
}

static void unlink_ring(struct ring *ring)
{
        struct ring *next = atomic_load_explicit(&ring->next, memory_order_relaxed);
        struct ring *at = ring;

        /* At the top, unless another was put before it meanwhile; below the top nobody else changes links. */
        if (atomic_compare_exchange_strong(&rings, &at, next))
                return;
        while (atomic_load_explicit(&at->next, memory_order_relaxed) != ring)
                at = atomic_load_explicit(&at->next, memory_order_relaxed);
        atomic_store_explicit(&at->next, next, memory_order_relaxed);
}

static void free_ended(void)
{
        struct ring *next;

        for (struct ring *ring = atomic_load(&rings); ring; ring = next) {
                next = atomic_load_explicit(&ring->next, memory_order_relaxed);
                /* In this order: what was written before the end is then seen. */
                if (atomic_load_explicit(&ring->is_ended, memory_order_acquire) && !ring_has_line(ring)) {
                        unlink_ring(ring);
                        free(ring);
                }
        }
}

/* One line for all that was lost since the last that could be written. False when there is one left to write later. */
static bool report_lost(bool is_last)
{
        uint64_t n = sg_log_n_lost(), now = sg_clock_usec();
        struct sg_log_record r = {.level = SG_LOG_WARNING, .is_report = true, .message_id = SG_MESSAGE_LINES_LOST};
        char text[96], count[24];

        if (n == loss.n_reported)
                return true;
        if (!is_last && loss.at_usec && now - loss.at_usec < REPORT_USEC)
                return false;
        (void)snprintf(count, sizeof(count), "%" PRIu64, n - loss.n_reported);
        (void)snprintf(text, sizeof(text), "%" PRIu64 " log lines were lost: the log did not take them in time",
                       n - loss.n_reported);
        r.message = sg_str_from(text);
        r.fields[0] = (struct sg_log_field){"SCRIBE_COUNT", sg_str_from(count)};
        r.n_fields = 1;
        r.wall_usec = sg_clock_wall_usec();
        loss.at_usec = now;
        sg_log_sink_write(&r);
        if (!sg_log_sink_flush())
                return false;
        loss.n_reported = n;
        return true;
}

static void take_rest(bool has_worked, bool is_all_reported)
{
        atomic_store(&rest, has_worked || !is_all_reported ? REST_DOZING : REST_ASLEEP);
        if (!atomic_load(&must_stop) && !atomic_load(&must_reopen)) {
                if (has_worked)
                        futex_wait(REST_DOZING, DOZE_USEC);
                else if (oldest())
                        (void)0; /* came while the announcement was made */
                else if (!is_all_reported)
                        futex_wait(REST_DOZING, REPORT_USEC);
                else
                        futex_wait(REST_ASLEEP, SG_USEC_NEVER);
        }
        atomic_store(&rest, REST_AWAKE);
}

/* The queue is closed: once none is busy, no line can come any more. */
static void wait_for_busy(void)
{
        for (struct ring *ring = atomic_load(&rings); ring;
             ring = atomic_load_explicit(&ring->next, memory_order_relaxed))
                while (atomic_load_explicit(&ring->is_busy, memory_order_acquire))
                        sched_yield();
}

static void *run(void *arg)
{
        for (;;) {
                bool is_last = atomic_load(&must_stop);
                bool is_all_reported;
                unsigned n;

                if (is_last)
                        wait_for_busy();
                n = drain();
                (void)sg_log_sink_flush();
                if (atomic_exchange(&must_reopen, false))
                        sg_log_sink_reopen();
                is_all_reported = report_lost(is_last && n < PASS_LINES_MAX);
                free_ended();
                if (n == PASS_LINES_MAX)
                        continue;
                if (is_last)
                        return NULL;
                take_rest(n > 0, is_all_reported);
        }
}

/* ---- the main thread ---- */

int sg_log_start(enum sg_log_sink sink, const char *path, struct sg_error *err)
{
        int r;

        SG_ASSERT(atomic_load(&queue_state) == QUEUE_NONE);
        if (sink == SG_LOG_TO_NONE) {
                atomic_store(&queue_state, QUEUE_MUTE);
                return 0;
        }
        r = sg_log_sink_open(sink, path, err);
        if (r) {
                sg_error_about_files(err);
                return r;
        }
        atomic_store(&must_stop, false);
        atomic_store(&must_reopen, false);
        loss.n_reported = sg_log_n_lost();
        loss.at_usec = 0;
        r = sg_thread_start(&thread, "log", run, NULL);
        if (r) {
                sg_log_sink_close();
                return sg_error_set(err, r, NULL, "cannot start the log thread: %s", strerrordesc_np(-r));
        }
        atomic_store(&queue_state, QUEUE_OPEN);
        return 0;
}

void sg_log_reopen(void)
{
        atomic_store(&must_reopen, true);
        wake();
}

void sg_log_stop(void)
{
        if (atomic_exchange(&queue_state, QUEUE_NONE) != QUEUE_OPEN)
                return;
        sg_log_sink_hurry(sg_clock_usec() + HURRY_USEC);
        atomic_store(&must_stop, true);
        wake();
        SG_ASSERT(pthread_join(thread, NULL) == 0);
        sg_log_sink_close();
}
