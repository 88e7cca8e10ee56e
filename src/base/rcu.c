/*
 * liburcu is not built with ThreadSanitizer, which therefore sees no order between a reader's last look at an object
 * and its free. Two edges are told to it, and only in such builds:
 *
 *     reader: quiescent, offline, unregister   --release(passed)-->  callback
 *     writer: sg_rcu_call()                    --release(at)----->   callback
 *
 * sg_rcu_barrier() is ours, not rcu_barrier(), whose own counter is a race to ThreadSanitizer. All calls go through
 * one queue (no per-CPU or per-thread call_rcu data is ever made), so a call of the barrier's comes after those before
 * it.
 */
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

#include "base/rcu.h"

enum reader_state {
        READER_NONE,
        READER_ONLINE,
        READER_OFFLINE,
};

static _Thread_local enum reader_state reader;

#ifdef SG_TSAN
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
static char passed;
#define TSAN_ACQUIRE(p) __tsan_acquire(p)
#define TSAN_RELEASE(p) __tsan_release(p)
#else
#define TSAN_ACQUIRE(p) ((void)0)
#define TSAN_RELEASE(p) ((void)0)
#endif

void sg_rcu_register(void)
{
        SG_ASSERT(reader == READER_NONE);
        rcu_register_thread();
        reader = READER_ONLINE;
}

void sg_rcu_unregister(void)
{
        SG_ASSERT(reader != READER_NONE);
        TSAN_RELEASE(&passed);
        rcu_unregister_thread();
        reader = READER_NONE;
}

void sg_rcu_quiescent(void)
{
        SG_ASSERT(reader == READER_ONLINE);
        TSAN_RELEASE(&passed);
        rcu_quiescent_state();
}

void sg_rcu_offline(void)
{
        SG_ASSERT(reader == READER_ONLINE);
        TSAN_RELEASE(&passed);
        rcu_thread_offline();
        reader = READER_OFFLINE;
}

void sg_rcu_online(void)
{
        SG_ASSERT(reader == READER_OFFLINE);
        rcu_thread_online();
        reader = READER_ONLINE;
}

static void on_call(struct rcu_head *head)
{
        struct sg_rcu_head *at = SG_CONTAINER(head, struct sg_rcu_head, head);

        TSAN_ACQUIRE(&passed);
        TSAN_ACQUIRE(at);
        at->free(at);
}

/* liburcu's thread inherits the mask of whoever calls first; signals belong to the main thread. */
static void start_call_thread(void)
{
        sigset_t all, before;

        sigfillset(&all);
        SG_ASSERT(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
        (void)get_default_call_rcu_data();
        SG_ASSERT(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
}

void sg_rcu_call(struct sg_rcu_head *at, void (*free)(struct sg_rcu_head *at))
{
        static pthread_once_t once = PTHREAD_ONCE_INIT;

        SG_ASSERT(pthread_once(&once, start_call_thread) == 0);
        at->free = free;
        TSAN_RELEASE(at);
        call_rcu(&at->head, on_call);
}

struct barrier {
        struct sg_rcu_head call;
        pthread_mutex_t mutex;
        pthread_cond_t cond;
        bool is_reached;
};

static void on_barrier(struct sg_rcu_head *at)
{
        struct barrier *b = SG_CONTAINER(at, struct barrier, call);

        SG_ASSERT(pthread_mutex_lock(&b->mutex) == 0);
        b->is_reached = true;
        SG_ASSERT(pthread_cond_signal(&b->cond) == 0);
        SG_ASSERT(pthread_mutex_unlock(&b->mutex) == 0); /* from here on *b is gone */
}

void sg_rcu_barrier(void)
{
        struct barrier b = {.mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
        bool was_online = reader == READER_ONLINE;

        /* An online caller would wait for itself: for that reader this is a quiescent state. */
        if (was_online)
                sg_rcu_offline();
        sg_rcu_call(&b.call, on_barrier);
        SG_ASSERT(pthread_mutex_lock(&b.mutex) == 0);
        while (!b.is_reached)
                SG_ASSERT(pthread_cond_wait(&b.cond, &b.mutex) == 0);
        SG_ASSERT(pthread_mutex_unlock(&b.mutex) == 0);
        if (was_online)
                sg_rcu_online();
}
