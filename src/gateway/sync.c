#include "gateway/sync.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/message_id.h"
#include "base/thread.h"
#include "gateway/high_water.h"

struct sg_sync {
        pthread_t thread;
        int wake_fd;
        _Atomic bool is_wanted; /* somebody waits for the disk */
        _Atomic bool is_ending;
        struct sg_worker **workers;
        size_t n_workers;
        bool is_failing;
        struct sg_high_water high_water;
};

/* Of all rings together: one that fails beside one that does not is a failure, said once. */
static void sync_tell(struct sg_sync *s, int failed)
{
        if (failed && !s->is_failing)
                sg_log_notable(SG_LOG_ERR, SG_MESSAGE_JOURNAL_SYNC_FAILING,
                               "the journal could not be written to disk: %s; events of a power loss would be lost; "
                               "check the disk of the state directory",
                               strerror(-failed));
        else if (!failed && s->is_failing)
                sg_log_notable(SG_LOG_NOTICE, SG_MESSAGE_JOURNAL_SYNC_AGAIN,
                               "the journal is being written to disk again");
        s->is_failing = failed != 0;
}

static void sync_all(struct sg_sync *s)
{
        bool has_tried = false;
        int failed = 0;

        for (size_t i = 0; i < s->n_workers; i++) {
                struct sg_worker *w = s->workers[i];

                if (sg_ring_wants_sync(w->ring)) {
                        int r = sg_ring_sync(w->ring);

                        has_tried = true;
                        failed = r ? r : failed;
                }
                if (atomic_exchange_explicit(&w->waits_for_sync, false, memory_order_acq_rel))
                        sg_worker_tell_synced(w);
        }
        if (has_tried)
                sync_tell(s, failed);
        sg_high_water_look(&s->high_water, s->workers, s->n_workers);
}

static void *sync_run(void *arg)
{
        struct sg_sync *s = arg;

        while (!atomic_load_explicit(&s->is_ending, memory_order_acquire)) {
                struct pollfd wake = {.fd = s->wake_fd, .events = POLLIN};
                uint64_t n;

                if (poll(&wake, 1, (int)(SG_SYNC_INTERVAL_USEC / SG_USEC_PER_MSEC)) > 0 &&
                    read(s->wake_fd, &n, sizeof(n)) < 0 && errno != EAGAIN)
                        break;
                atomic_store_explicit(&s->is_wanted, false, memory_order_seq_cst);
                sync_all(s);
        }
        sync_all(s);
        return NULL;
}

int sg_sync_new(struct sg_sync **ret, struct sg_worker **workers, size_t n_workers)
{
        struct sg_sync *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return -ENOMEM;
        s->workers = workers;
        s->n_workers = n_workers;
        s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (s->wake_fd < 0) {
                r = -errno;
                free(s);
                return r;
        }
        r = sg_thread_start(&s->thread, "sync", sync_run, s);
        if (r) {
                close(s->wake_fd);
                free(s);
                return r;
        }
        *ret = s;
        return 0;
}

static void sync_wake(struct sg_sync *s)
{
        uint64_t one = 1;

        if (write(s->wake_fd, &one, sizeof(one)) < 0)
                return; /* the counter is full: it is awake */
}

struct sg_sync *sg_sync_free(struct sg_sync *s)
{
        if (!s)
                return NULL;
        atomic_store_explicit(&s->is_ending, true, memory_order_release);
        sync_wake(s);
        pthread_join(s->thread, NULL);
        close(s->wake_fd);
        free(s);
        return NULL;
}

void sg_sync_wait(struct sg_exchange *x)
{
        struct sg_sync *s = x->worker->shared->sync;

        sg_list_push(&x->worker->waiting_sync, &x->sync_link);
        atomic_store_explicit(&x->worker->waits_for_sync, true, memory_order_release);
        if (!atomic_exchange_explicit(&s->is_wanted, true, memory_order_seq_cst))
                sync_wake(s);
}

void sg_sync_arrived(struct sg_worker *w)
{
        uint64_t synced = sg_ring_synced(w->ring);
        struct sg_link *k;

        while ((k = sg_list_first(&w->waiting_sync))) {
                struct sg_exchange *x = SG_CONTAINER(k, struct sg_exchange, sync_link);

                if (x->close_sequence > synced) {
                        atomic_store_explicit(&w->waits_for_sync, true, memory_order_release);
                        return; /* the next round, within 50 ms, tells */
                }
                sg_list_remove(&w->waiting_sync, k);
                x->is_synced = true;
                sg_exchange_run(x);
        }
}
