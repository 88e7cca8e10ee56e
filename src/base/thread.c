#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/thread.h"

struct start {
        char name[16]; /* what the kernel keeps, with its NUL */
        void *(*run)(void *arg);
        void *arg;
};

static void *begin(void *at)
{
        struct start start = *(struct start *)at;

        free(at);
        (void)pthread_setname_np(pthread_self(), start.name);
        return start.run(start.arg);
}

/* All but those that a thread's own fault raises: blocked, they would kill without a word. */
static void fill_mask(sigset_t *set)
{
        static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT};

        sigfillset(set);
        for (size_t i = 0; i < SG_N_ELEMENTS(own); i++)
                sigdelset(set, own[i]);
}

int sg_thread_start(pthread_t *ret, const char *name, void *(*run)(void *arg), void *arg)
{
        struct start *start;
        sigset_t blocked, before;
        int r;

        start = malloc(sizeof(*start));
        if (!start)
                return -ENOMEM;
        *start = (struct start){.run = run, .arg = arg};
        (void)snprintf(start->name, sizeof(start->name), "%.15s", name);
        fill_mask(&blocked);
        /* Set here and inherited, so that no signal finds the new thread before it has blocked them. */
        SG_ASSERT(pthread_sigmask(SIG_SETMASK, &blocked, &before) == 0);
        r = pthread_create(ret, NULL, begin, start);
        SG_ASSERT(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
        if (r)
                free(start);
        return -r;
}
