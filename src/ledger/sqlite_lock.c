#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/str.h"
#include "ledger/sqlite_lock.h"

struct waiter {
        struct sg_link link;
        bool has_turn;
};

struct sg_sqlite_lock {
        struct sg_link link; /* of `locks` */
        char *path;
        int fd;
        unsigned n; /* connections */
        pthread_cond_t moved_on;
        struct sg_list waiters;
        bool is_taken;
};

/* Covers the list of locks and what is in them; held for moments only. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct sg_list locks = {.ends = {&locks.ends, &locks.ends}};

/* ---- other processes */

static int take_file(int *ret_fd, const char *path, struct sg_error *err)
{
        char name[4096], pid[32] = "";
        int n, r, fd;

        n = snprintf(name, sizeof(name), "%s.lock", path);
        if (n < 0 || (size_t)n >= sizeof(name))
                return sg_error_set(err, -ENAMETOOLONG, path, "the path is too long");
        fd = *ret_fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0) {
                r = -errno;
                return sg_error_set(
                        err, r, name,
                        "cannot make the lock file (%s): the directory must exist and be the service's user's",
                        strerror(-r));
        }
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
                ssize_t got = pread(fd, pid, sizeof(pid) - 1, 0);

                return sg_error_set(err, -EBUSY, path,
                                    "another scribe-ledger uses this database (process %.*s): stop it first",
                                    got > 0 ? (int)strcspn(pid, "\n") : 1, got > 0 ? pid : "?");
        }
        n = snprintf(pid, sizeof(pid), "%jd\n", (intmax_t)getpid());
        if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)n, 0) != n) {
                r = errno == ENOSPC || errno == EDQUOT ? -errno : -EIO;
                return sg_error_set(err, r, name, "cannot write the lock file: free some space");
        }
        return 0;
}

/* ---- connections of this one */

static struct sg_sqlite_lock *lock_free(struct sg_sqlite_lock *l)
{
        if (l->fd >= 0)
                (void)close(l->fd);
        (void)pthread_cond_destroy(&l->moved_on);
        free(l->path);
        free(l);
        return NULL;
}

static int lock_new(struct sg_sqlite_lock **ret, const char *path, struct sg_error *err)
{
        struct sg_sqlite_lock *l = calloc(1, sizeof(*l));
        pthread_condattr_t attributes;
        int r;

        if (!l)
                return sg_error_set(err, -ENOMEM, path, "out of memory");
        l->fd = -1;
        sg_list_init(&l->waiters);
        (void)pthread_condattr_init(&attributes);
        (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
        (void)pthread_cond_init(&l->moved_on, &attributes);
        (void)pthread_condattr_destroy(&attributes);
        l->path = sg_str_dup(sg_str_from(path));
        r = l->path ? take_file(&l->fd, path, err) : sg_error_set(err, -ENOMEM, path, "out of memory");
        if (r) {
                lock_free(l);
                return r;
        }
        sg_list_push(&locks, &l->link);
        *ret = l;
        return 0;
}

static struct sg_sqlite_lock *find(const char *path)
{
        SG_LIST_EACH (&locks, k) {
                struct sg_sqlite_lock *l = SG_CONTAINER(k, struct sg_sqlite_lock, link);

                if (strcmp(l->path, path) == 0)
                        return l;
        }
        return NULL;
}

int sg_sqlite_lock_take(struct sg_sqlite_lock **ret, const char *path, struct sg_error *err)
{
        struct sg_sqlite_lock *l;
        int r = 0;

        SG_ASSERT(pthread_mutex_lock(&mutex) == 0);
        l = find(path);
        if (!l)
                r = lock_new(&l, path, err);
        if (!r) {
                l->n++;
                *ret = l;
        }
        SG_ASSERT(pthread_mutex_unlock(&mutex) == 0);
        return r;
}

struct sg_sqlite_lock *sg_sqlite_lock_drop(struct sg_sqlite_lock *l)
{
        if (!l)
                return NULL;
        SG_ASSERT(pthread_mutex_lock(&mutex) == 0);
        SG_ASSERT(l->n > 0);
        if (--l->n == 0) {
                SG_ASSERT(!l->is_taken);
                sg_list_remove(&locks, &l->link);
                lock_free(l);
        }
        SG_ASSERT(pthread_mutex_unlock(&mutex) == 0);
        return NULL;
}

/* ---- turns */

static void wait_for_turn(struct sg_sqlite_lock *l, struct waiter *w, uint64_t usec)
{
        uint64_t until = sg_clock_usec() + usec;
        const struct timespec at = {.tv_sec = (time_t)(until / SG_USEC_PER_SEC),
                                    .tv_nsec = (long)(until % SG_USEC_PER_SEC) * 1000};
        int e = 0;

        sg_list_push(&l->waiters, &w->link);
        while (!w->has_turn && e == 0)
                e = pthread_cond_timedwait(&l->moved_on, &mutex, &at);
        if (!w->has_turn)
                sg_list_remove(&l->waiters, &w->link);
}

bool sg_sqlite_lock_turn(struct sg_sqlite_lock *l, uint64_t usec)
{
        struct waiter w = {.has_turn = false};

        SG_ASSERT(pthread_mutex_lock(&mutex) == 0);
        if (l->is_taken)
                wait_for_turn(l, &w, usec);
        else
                l->is_taken = w.has_turn = true;
        SG_ASSERT(pthread_mutex_unlock(&mutex) == 0);
        return w.has_turn;
}

void sg_sqlite_lock_turn_over(struct sg_sqlite_lock *l)
{
        struct sg_link *next;

        SG_ASSERT(pthread_mutex_lock(&mutex) == 0);
        SG_ASSERT(l->is_taken);
        next = sg_list_pop(&l->waiters);
        if (next) {
                SG_CONTAINER(next, struct waiter, link)->has_turn = true;
                SG_ASSERT(pthread_cond_broadcast(&l->moved_on) == 0);
        } else
                l->is_taken = false;
        SG_ASSERT(pthread_mutex_unlock(&mutex) == 0);
}
