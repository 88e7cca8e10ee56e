/*
 * base/rcu.h - userspace RCU (liburcu, QSBR flavour) with what ThreadSanitizer must be told
 *
 * Shape    readers are worker loops: online while they turn, one quiescent state after each turn;
 *          writers publish through C11 atomics and free by sg_rcu_call()
 * Thread   sg_rcu_register() / _unregister() in the thread itself; a thread that blocks for long goes offline
 * Errors   none
 * Limits   a reader must announce a quiescent state at least every 100 ms, or memory waits for it
 * Source   liburcu doc/rcu-api.md; liburcu is not instrumented, so happens-before is annotated here
 */
#pragma once

#include "base/macro.h"

#if defined(__SANITIZE_THREAD__)
#define SG_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SG_TSAN 1
#endif
#endif

/* Inlined into us, liburcu's barriers would be seen by ThreadSanitizer as races of our own. */
#if !defined(_LGPL_SOURCE) && !defined(SG_TSAN)
#define _LGPL_SOURCE
#endif
#define URCU_API_MAP
#include <urcu/urcu-qsbr.h>

struct sg_rcu_head {
        struct rcu_head head;                 /* private */
        void (*free)(struct sg_rcu_head *at); /* private */
};

void sg_rcu_register(void);
void sg_rcu_unregister(void);
void sg_rcu_quiescent(void);
void sg_rcu_offline(void);
void sg_rcu_online(void);
/* Calls free(at) in liburcu's own thread once no reader can hold what `at` is embedded in. */
void sg_rcu_call(struct sg_rcu_head *at, void (*free)(struct sg_rcu_head *at));
/* Waits for a grace period, then for the calls queued before it. Not from a registered online reader's callback. */
void sg_rcu_barrier(void);
