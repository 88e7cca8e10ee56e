/*
 * Exactly once.
 *
 * A record's effect on the database (its row, or its open exchange) and the mark of its ring (how far the database has
 * come) are committed in one transaction, durably; the ring's own mark, which lets the writer use the room again, is
 * moved only afterwards. So at whatever instant this process, the machine or the database dies:
 *  - before the commit: neither row nor mark is there, the records still stand in the ring, and are read again;
 *  - after it: both are there, and reading goes on behind the mark of the database; that the ring's own mark lags only
 * costs room. After a power cut the ring may lack records that the database has: then it has no frame behind the mark,
 * and no writer. Nobody else drains: the database's lock file admits one ledger. A copy of a ring under another name is
 * refused, since the name must be the identity inside.
 *
 * A ring ends when no process holds its lock and its last frame is read. Its open exchanges become cut_off rows in the
 * transaction that says "finished"; then the file goes, its directory is synced, and only then the mark is dropped: a
 * file that came back after a power cut would otherwise be drained from the start again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/message_id.h"
#include "ledger/drain_files.h"
#include "ledger/node.h"

#define WAIT_USEC_MIN  (100 * SG_USEC_PER_MSEC)
#define WAIT_USEC_MAX  SG_USEC_PER_SEC
#define RETRY_USEC_MIN SG_USEC_PER_SEC
#define RETRY_USEC_MAX (30 * SG_USEC_PER_SEC)
#define RESCAN_USEC    (30 * SG_USEC_PER_SEC)
#define STORE_USEC_MAX (10 * SG_USEC_PER_SEC) /* of a round, for the database */

/* ---- a round */

static int have_store(struct sg_drain *d, struct sg_error *err)
{
        int r;

        if (!d->store) {
                r = sg_store_open(&d->store, &d->options, err);
                if (r)
                        return r;
                sg_store_set_limit(d->store, &d->limit);
                d->batch.store = d->store;
        }
        d->limit.until_usec = sg_clock_usec() + STORE_USEC_MAX;
        return 0;
}

static void undo_round(struct sg_drain *d, int error)
{
        if (d->store)
                sg_store_rollback(d->store);
        d->batch.is_begun = false;
        if (sg_store_is_lost(error))
                d->store = d->batch.store = sg_store_free(d->store);
        SG_LIST_EACH (&d->files, k) {
                ring_file_of(k)->has_mark = ring_file_of(k)->has_changed = false;
        }
}

static int read_rings(struct sg_drain *d, struct sg_error *err)
{
        int r = 0;

        SG_LIST_EACH (&d->files, k) {
                if (!r && ring_file_of(k)->reader && ring_file_of(k)->has_mark)
                        r = sg_drain_ring(&d->batch, ring_file_of(k), err);
        }
        if (!r && d->batch.is_begun) {
                d->batch.is_begun = false; /* over, whatever comes */
                r = sg_store_commit(d->store, err);
        }
        return r;
}

static int finish_round(struct sg_drain *d, bool *ret_has_more, bool *ret_has_worked, struct sg_error *err)
{
        struct sg_link *first;
        int r = 0;

        SG_LIST_EACH (&d->files, k) {
                struct ring_file *f = ring_file_of(k);

                *ret_has_more |= f->reader && f->has_more;
                if (f->has_changed) {
                        if (f->next.sequence != f->committed.sequence)
                                d->last_wall_usec = sg_clock_wall_usec();
                        d->n_drained += f->next.sequence - f->committed.sequence;
                        d->n_lost += f->next.n_lost - f->committed.n_lost;
                        f->committed = f->next;
                        f->has_changed = false;
                        *ret_has_worked = true;
                        sg_ring_reader_release(f->reader);
                }
                if (!r && f->reader && f->committed.is_finished)
                        r = sg_drain_retire(d, f, err);
        }
        /* Another ring is the first to be read next time. */
        first = sg_list_pop(&d->files);
        if (first)
                sg_list_push(&d->files, first);
        return r;
}

static int run_round(struct sg_drain *d, uint64_t usec, bool *ret_has_more, bool *ret_has_worked, struct sg_error *err)
{
        int r = 0;

        d->batch.n_left = SG_DRAIN_RECORDS_MAX;
        d->batch.until_usec = sg_clock_usec() + usec;
        if (sg_clock_usec() - d->scanned_usec >= RESCAN_USEC)
                d->wants_scan = d->wants_prune = true;
        if (d->wants_scan)
                r = sg_drain_scan(d, err);
        if (!r)
                r = have_store(d, err);
        if (!r)
                r = sg_drain_read_marks(d, err);
        if (!r && d->wants_prune)
                r = sg_drain_prune(d, err);
        if (!r)
                r = read_rings(d, err);
        if (!r)
                r = finish_round(d, ret_has_more, ret_has_worked, err);
        if (r)
                undo_round(d, r);
        return r;
}

static void note_result(struct sg_drain *d, int r, const struct sg_error *err)
{
        /* A database that cannot be used at the start ends the program, which says why under a name of its own. */
        const bool ends_all = r && !d->last_wall_usec && sg_error_exit_status(err) != SG_EXIT_FAILURE;
        char line[sizeof(*err)];

        if (r) {
                if (!d->retry_usec)
                        sg_log_notable(
                                ends_all ? SG_LOG_WARNING : SG_LOG_ERR, SG_MESSAGE_STORE_FAILING,
                                "usage cannot be stored: %s. It waits in the journal; tried again every %d to %d s",
                                sg_error_line(err, line, sizeof(line)), (int)(RETRY_USEC_MIN / SG_USEC_PER_SEC),
                                (int)(RETRY_USEC_MAX / SG_USEC_PER_SEC));
                d->retry_usec = d->retry_usec ? SG_MIN(2 * d->retry_usec, RETRY_USEC_MAX) : RETRY_USEC_MIN;
                d->retry_at_usec = sg_clock_usec() + d->retry_usec;
                d->error = *err;
                return;
        }
        if (d->retry_usec)
                sg_log_notable(SG_LOG_NOTICE, SG_MESSAGE_STORE_AGAIN, "usage is stored again");
        d->retry_usec = 0;
}

/* 0 or -errno; *ret_has_more: a further round would find something at once. */
static int drain_round(struct sg_drain *d, uint64_t usec, bool *ret_has_more)
{
        struct sg_error err = {0};
        bool has_worked = false;
        int r;

        *ret_has_more = false;
        r = run_round(d, usec, ret_has_more, &has_worked, &err);
        note_result(d, r, &err);
        if (d->on_round)
                d->on_round(d->owner);
        d->wait_usec = has_worked ? WAIT_USEC_MIN : SG_MIN(2 * d->wait_usec, WAIT_USEC_MAX);
        return r;
}

static void on_time(struct sg_timer *t, void *owner)
{
        struct sg_drain *d = owner;
        bool has_more;
        int r = drain_round(d, SG_DRAIN_ROUND_USEC, &has_more);

        sg_timer_start(t, r ? d->retry_usec : has_more ? 0 : d->wait_usec);
}

static void on_inotify(struct sg_io *io, unsigned ready, void *owner)
{
        struct sg_drain *d = owner;
        struct sg_error err;
        char events[4096] __attribute__((__aligned__(__alignof__(struct inotify_event))));

        while (read(io->fd, events, sizeof(events)) > 0)
                continue;
        d->wants_scan = true;
        if (!d->retry_usec)
                sg_timer_start(&d->timer, 0);
        else if (sg_drain_scan(d, &err) != 0) /* what waits is counted meanwhile */
                d->wants_scan = true;
}

/* ---- the drain */

static int watch_directory(struct sg_drain *d)
{
        /* The ledger may be the first to start. */
        if (mkdir(d->path, 0700) < 0 && errno != EEXIST)
                return -errno;
        d->dir_fd = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (d->dir_fd < 0)
                return -errno;
        d->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
        if (d->inotify_fd < 0)
                return -errno;
        if (inotify_add_watch(d->inotify_fd, d->path, IN_MOVED_TO | IN_ONLYDIR) < 0)
                return -errno;
        return 0;
}

/* So that in a database of several nodes this one's rings are told from others'. */
static int name_node(struct sg_drain *d, struct sg_error *err)
{
        char node[SG_NODE_CHARS + 1];
        int r;

        if (!sg_store_is_shared(&d->options) || d->options.node)
                return 0;
        r = sg_node_read(node, d->path, err);
        if (r) {
                sg_error_about_files(err);
                return r;
        }
        d->options.node = sg_str_dup(sg_str_from(node));
        return d->options.node ? 0 : sg_error_set(err, -ENOMEM, d->path, "out of memory");
}

int sg_drain_new(struct sg_drain **ret, struct sg_loop *l, const struct sg_store_options *options,
                 const char *directory, const char *stage_directory, struct sg_error *err)
{
        SG_AUTO(sg_drain_free) struct sg_drain *d = calloc(1, sizeof(*d));
        int r;

        if (!d)
                return sg_error_set(err, -ENOMEM, directory, "out of memory");
        d->loop = l;
        d->dir_fd = d->inotify_fd = -1;
        d->wants_scan = d->wants_prune = true;
        d->wait_usec = WAIT_USEC_MIN;
        sg_list_init(&d->files);
        sg_list_init(&d->missing);
        sg_batch_init(&d->batch);
        d->path = sg_str_dup(sg_str_from(directory));
        d->stage_path = sg_str_dup(sg_str_from(stage_directory));
        if (!d->path || !d->stage_path || sg_store_options_copy(&d->options, options) != 0)
                return sg_error_set(err, -ENOMEM, directory, "out of memory");
        r = watch_directory(d);
        if (r) {
                sg_error_set(err, r, directory, "cannot watch the journal's directory: %s", strerror(-r));
                sg_error_about_files(err);
                return r;
        }
        r = name_node(d, err);
        if (r)
                return r;
        r = sg_io_init(&d->inotify, l, d->inotify_fd, on_inotify, d);
        if (!r)
                r = sg_timer_init(&d->timer, l, on_time, d);
        if (r)
                return sg_error_set(err, r, directory, "cannot watch the journal's directory: %s", strerror(-r));
        sg_io_set(&d->inotify, SG_IO_READ);
        sg_timer_start(&d->timer, 0);
        *ret = SG_GIVE(d);
        return 0;
}

struct sg_drain *sg_drain_free(struct sg_drain *d)
{
        if (!d)
                return NULL;
        if (d->timer.loop)
                sg_timer_done(&d->timer);
        if (d->inotify.loop)
                sg_io_done(&d->inotify);
        if (d->inotify_fd >= 0)
                (void)close(d->inotify_fd);
        if (d->dir_fd >= 0)
                (void)close(d->dir_fd);
        sg_drain_forget_all(d);
        sg_batch_done(&d->batch);
        sg_store_free(d->store);
        sg_store_options_done(&d->options);
        free(d->path);
        free(d->stage_path);
        free(d);
        return NULL;
}

bool sg_drain_now(struct sg_drain *d, uint64_t budget_usec)
{
        uint64_t now = sg_clock_usec(), until = now + budget_usec;
        bool has_more = true;

        if (d->retry_usec && now < d->retry_at_usec)
                return false;
        d->wants_scan = true;
        while (has_more && now < until) {
                if (drain_round(d, SG_MIN(until - now, SG_DRAIN_ROUND_USEC), &has_more) != 0)
                        return false;
                now = sg_clock_usec();
        }
        return !has_more;
}

void sg_drain_retry(struct sg_drain *d)
{
        if (!d->retry_usec)
                return;
        d->retry_at_usec = 0;
        sg_timer_start(&d->timer, 0);
}

void sg_drain_cancel(struct sg_drain *d)
{
        atomic_store_explicit(&d->limit.is_cancelled, true, memory_order_relaxed);
}

void sg_drain_on_round(struct sg_drain *d, void (*on_round)(void *owner), void *owner)
{
        d->on_round = on_round;
        d->owner = owner;
}

void sg_drain_get_status(struct sg_drain *d, struct sg_drain_status *ret)
{
        struct sg_drain_status s = {
                .n_lost = d->n_lost, .n_drained = d->n_drained, .last_wall_usec = d->last_wall_usec};

        SG_LIST_EACH (&d->files, k) {
                struct ring_file *f = ring_file_of(k);
                uint64_t written;

                if (!f->reader)
                        continue; /* a stranger */
                s.n_rings++;
                written = sg_ring_reader_written(f->reader);
                s.n_waiting += written - SG_MIN(written, f->committed.sequence);
        }
        s.error = d->retry_usec ? d->error.text : NULL;
        *ret = s;
}
