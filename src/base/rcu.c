/*
 * liburcu is not built with ThreadSanitizer, which therefore sees no order between a reader's last look at an object
 * and its free. Three edges are told to it, and only in such builds:
 *
 *     reader: quiescent, offline, unregister   --release(passed)-->  callback
 *     writer: sg_rcu_call()                    --release(at)----->   callback
 *     callback, when free() has returned       --release(freed)-->   sg_rcu_barrier()
 */
#include <signal.h>

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
static char passed, freed;
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
        TSAN_RELEASE(&freed);
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

void sg_rcu_barrier(void)
{
        /* rcu_barrier() takes an online caller offline while it waits: for that reader this is a quiescent state. */
        TSAN_RELEASE(&passed);
        rcu_barrier();
        TSAN_ACQUIRE(&freed);
}
