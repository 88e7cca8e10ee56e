#include "daemon/daemon.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/thread.h"
#include "daemon/ledger_child.h"
#include "daemon/predecessor.h"
#include "daemon/successor.h"
#include "gateway/sync.h"
#include "gateway/totals.h"
#include "sg_build.h"

#define FILES_PER_CONNECTION 2 /* the client's and the provider's */
#define FILES_BESIDES        256
#define MAIN_TURN_USEC_MAX   (100 * SG_USEC_PER_MSEC)

/* Without /proc there is no upgrade in place: starting "" fails with a word. */
static void find_program(struct sg_daemon *d)
{
        ssize_t n = readlink("/proc/self/exe", d->program, sizeof(d->program) - 1);

        d->program[n > 0 ? n : 0] = '\0';
}

int sg_daemon_init(struct sg_daemon *d, const char *config_directory, struct sg_error *err)
{
        static const int handled[] = {SIGHUP, SIGTERM, SIGINT, SIGUSR1, SIGCHLD};
        int r;

        *d = (struct sg_daemon){.config_directory = config_directory, .control_fd = -1};
        find_program(d);
        d->shared.version = SG_VERSION;
        d->shared.started_wall_usec = sg_clock_wall_usec();
        signal(SIGPIPE, SIG_IGN);
        sg_rcu_register();
        r = sg_loop_new(&d->loop);
        if (!r)
                r = sg_signals_new(&d->signals, d->loop, handled, SG_N_ELEMENTS(handled), sg_daemon_on_signal, d);
        if (!r)
                r = sg_mailbox_new(&d->mailbox, d->loop, sg_daemon_on_letter, d);
        if (!r)
                r = sg_timer_init(&d->drain_timer, d->loop, sg_daemon_on_drain_time, d);
        if (!r)
                r = sg_timer_init(&d->watchdog_timer, d->loop, sg_daemon_on_watchdog_time, d);
        if (!r)
                r = sg_timer_init(&d->limits_timer, d->loop, sg_daemon_on_limits_time, d);
        return r ? sg_error_set(err, r, "", "the event loop could not be set up") : 0;
}

int sg_daemon_read_config(struct sg_daemon *d, struct sg_error *err)
{
        struct sg_snapshot *first;
        int r = sg_config_read(&d->first_config, d->config_directory, err);

        if (!r)
                r = sg_snapshot_new(&first, d->first_config, NULL, err);
        if (r)
                return r;
        atomic_store_explicit(&d->shared.snapshot, first, memory_order_release);
        return 0;
}

int sg_daemon_start_log(struct sg_daemon *d, struct sg_error *err)
{
        const struct sg_config *c = d->first_config;

        int r = sg_log_start(c->log_sink_is_auto ? sg_log_sink_auto() : c->log_sink, c->log_path, err);

        sg_log_set_level(c->log_level);
        d->has_log = r == 0;
        return r;
}

int sg_daemon_raise_limits(struct sg_daemon *d, struct sg_error *err)
{
        uint64_t needed = FILES_PER_CONNECTION * (uint64_t)d->first_config->connections_max + FILES_BESIDES;
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit))
                return sg_error_set(err, -errno, "", "the limit of open files cannot be read");
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit))
                return sg_error_set(err, -errno, "", "the limit of open files cannot be raised");
        if (limit.rlim_cur < needed)
                sg_warning("%llu open files are allowed, but max_connections = %zu may need %llu: raise LimitNOFILE= "
                           "in the "
                           "unit (or ulimit -n), or lower max_connections",
                           (unsigned long long)limit.rlim_cur, d->first_config->connections_max,
                           (unsigned long long)needed);
        return 0;
}

static int try_directory(const char *path, struct sg_error *err)
{
        struct stat st;

        if (mkdir(path, 0750) && errno != EEXIST)
                return sg_error_set(err, -errno, path, "the directory cannot be made: %s", strerror(errno));
        if (stat(path, &st) || !S_ISDIR(st.st_mode))
                return sg_error_set(err, -ENOTDIR, path, "is not a directory");
        if (access(path, W_OK | X_OK) && errno == EROFS)
                return sg_error_set(err, -EROFS, path,
                                    "the file system is read-only: mount it writable (\"findmnt -T\" shows which)");
        if (access(path, W_OK | X_OK))
                return sg_error_set(err, -errno, path,
                                    "the directory is of user %u and cannot be written by user %u, who runs this: %s",
                                    (unsigned)st.st_uid, (unsigned)geteuid(), strerror(errno));
        return 0;
}

static int make_directory(const char *path, struct sg_error *err)
{
        int r = try_directory(path, err);

        if (r)
                sg_error_about_files(err);
        return r;
}

static int journal_directory(const struct sg_daemon *d, char out[4096])
{
        return snprintf(out, 4096, "%s/journal", d->first_config->state_directory) < 4096 ? 0 : -ENAMETOOLONG;
}

/* Shorter than a socket's path: the settings see to that. */
static void stage_directory(const struct sg_daemon *d, char out[4096])
{
        (void)snprintf(out, 4096, "%s/journal", d->first_config->runtime_directory);
}

int sg_daemon_make_directories(struct sg_daemon *d, struct sg_error *err)
{
        char journal[4096], stage[4096];
        int r = make_directory(d->first_config->state_directory, err);

        if (!r)
                r = make_directory(d->first_config->runtime_directory, err);
        if (!r && journal_directory(d, journal))
                r = sg_error_set(err, -ENAMETOOLONG, d->first_config->state_directory, "the path is too long");
        stage_directory(d, stage);
        if (!r)
                r = make_directory(journal, err);
        return r ? r : make_directory(stage, err);
}

/* ---- keys and the ledger */

static bool starts_ledger(const struct sg_daemon *d)
{
        switch (d->first_config->ledger_start) {
        case SG_LEDGER_START_YES:
                return true;
        case SG_LEDGER_START_NO:
                return false;
        default:
                return !sg_service_is_unit(); /* units: scribe-ledger.service is its own */
        }
}

int sg_daemon_start_feed(struct sg_daemon *d, struct sg_error *err)
{
        const struct sg_config *c = d->first_config;
        char socket[4096], picture[4096];
        int r = sg_keytable_new(&d->shared.keys);

        if (r)
                return sg_error_set(err, r, "", "the key table could not be set up");
        snprintf(socket, sizeof(socket), "%s/ledger.socket", c->runtime_directory);
        snprintf(picture, sizeof(picture), "%s/keys.picture", c->state_directory);
        r = sg_feed_new(&d->shared.feed, d->loop, d->shared.keys, socket, picture, err);
        if (!r && starts_ledger(d))
                r = sg_ledger_child_new(&d->ledger, d->loop, d->config_directory, err);
        if (!r) {
                sg_feed_on_outage(d->shared.feed, sg_daemon_on_outage, d);
                sg_feed_on_totals(d->shared.feed, sg_totals_begin, sg_totals_take, &d->shared);
                sg_feed_on_first_picture(d->shared.feed, sg_daemon_on_first_picture, d);
        }
        return r;
}

/* ---- dependencies and endpoints */

/* The set of probes that is in force and the snapshot that is have the same configuration. */
static void on_endpoint(const struct sg_config_service *service, unsigned endpoint, bool is_up, const char *text,
                        void *owner)
{
        const struct sg_snapshot_service *s = sg_snapshot_service(sg_daemon_snapshot(owner), service);

        (void)sg_backends_set_health(s->backends, endpoint, is_up, text);
}

static int prepare_probes(struct sg_daemon *d, struct sg_probe_set **ret, struct sg_error *err)
{
        int r = sg_probes_new(&d->shared.probes, d->loop);

        if (r)
                return sg_error_set(err, r, "", "the probes could not be set up");
        sg_probes_on_endpoint(d->shared.probes, on_endpoint, d);
        return sg_probes_prepare(ret, d->shared.probes, d->first_config, sg_daemon_snapshot(d)->system_trust, err);
}

int sg_daemon_start_probes(struct sg_daemon *d, struct sg_error *err)
{
        struct sg_probe_set *first;
        int r = prepare_probes(d, &first, err);

        if (!r)
                sg_probes_take(d->shared.probes, first);
        return r;
}

/* ---- workers */

static void *worker_thread(void *arg)
{
        sg_worker_run(arg);
        return NULL;
}

static int make_workers(struct sg_daemon *d, struct sg_error *err)
{
        char journal[4096], stage[4096];
        int r = journal_directory(d, journal);

        stage_directory(d, stage);
        for (unsigned i = 0; !r && i < d->first_config->workers; i++) {
                struct sg_ring *ring;

                r = sg_ring_create(&ring, journal, stage, d->first_config->journal_bytes, err);
                if (!r)
                        r = sg_worker_new(&d->workers[i], i, &d->shared, ring, err);
                if (r)
                        break;
                d->workers[i]->on_drained = sg_daemon_on_worker_drained;
                d->workers[i]->on_drained_owner = d;
                d->n_workers++;
        }
        return r;
}

int sg_daemon_start_workers(struct sg_daemon *d, struct sg_error *err)
{
        unsigned n = d->first_config->workers;
        int r;

        d->workers = calloc(n, sizeof(*d->workers));
        d->threads = calloc(n, sizeof(*d->threads));
        if (!d->workers || !d->threads)
                return sg_error_set(err, -ENOMEM, "", "out of memory");
        atomic_store_explicit(&d->shared.n_listening, n, memory_order_relaxed);
        r = make_workers(d, err);
        if (r)
                return r;
        r = sg_sync_new(&d->shared.sync, d->workers, d->n_workers);
        for (unsigned i = 0; !r && i < n; i++) {
                char name[32];

                snprintf(name, sizeof(name), "worker%u", i);
                atomic_store_explicit(&d->workers[i]->counters.turned_usec, sg_clock_usec(), memory_order_relaxed);
                r = sg_thread_start(&d->threads[i], name, worker_thread, d->workers[i]);
                if (!r)
                        d->n_threads++;
        }
        if (r)
                return sg_error_set(err, r, "",
                                    "threads could not be started: %s; raise TasksMax= in the unit (or ulimit -u), or "
                                    "lower workers in [gateway]",
                                    strerror(-r));
        d->watchdog_usec = sg_service_watchdog_usec();
        if (d->watchdog_usec)
                sg_timer_start(&d->watchdog_timer, d->watchdog_usec / 4);
        return 0;
}

/* ---- control */

static int action_reload(void *owner, uint64_t *ret_number, const char **ret_needs_restart, struct sg_error *err)
{
        struct sg_daemon *d = owner;
        int r;

        /* The service manager is told READY after a reload: that would be a lie now. */
        if (d->state != SG_DAEMON_RUNNING)
                return sg_error_set(err, -EBUSY, "", "the gateway is %s; its configuration is not changed",
                                    sg_daemon_state_name(d));
        r = sg_daemon_reload(d, ret_needs_restart, err);
        if (!r)
                *ret_number = sg_daemon_snapshot(d)->config->number;
        return r;
}

static int action_upgrade(void *owner, struct sg_error *err)
{
        return sg_daemon_upgrade(owner, err);
}

static int action_check(void *owner, const char *directory, struct sg_error *err)
{
        return sg_daemon_check_directory(owner, directory, err);
}

int sg_daemon_start_control(struct sg_daemon *d, struct sg_error *err)
{
        struct sg_control_options options = {
                .shared = &d->shared,
                .workers = d->workers,
                .n_workers = d->n_workers,
                .actions = {action_reload, action_check, action_upgrade, sg_daemon_state_name, d},
                .fd = d->control_fd,
        };
        char path[4096];

        snprintf(path, sizeof(path), "%s/control.socket", d->first_config->runtime_directory);
        options.path = path;
        return sg_control_new(&d->control, d->loop, &options, err);
}

/* ---- life and end */

static void daemon_after_turn(void *owner)
{
        sg_rcu_quiescent();
}

void sg_daemon_run(struct sg_daemon *d)
{
        sg_loop_run(d->loop, MAIN_TURN_USEC_MAX, daemon_after_turn, d);
}

void sg_daemon_failed(struct sg_daemon *d, const struct sg_error *err)
{
        char line[SG_DAEMON_LINE_BYTES];

        sg_service_failed(err->code, sg_error_line(err, line, sizeof(line)));
        if (d->predecessor)
                sg_predecessor_tell_failed(d->predecessor, err);
}

void sg_daemon_done(struct sg_daemon *d)
{
        sg_successor_free(d->successor);
        sg_predecessor_free(d->predecessor);
        sg_control_free(d->control);
        for (size_t i = 0; i < d->n_threads; i++)
                sg_worker_stop(d->workers[i]);
        sg_rcu_offline(); /* the workers' last grace periods do not wait for us */
        for (size_t i = 0; i < d->n_threads; i++)
                pthread_join(d->threads[i], NULL);
        sg_rcu_online();
        d->shared.sync = sg_sync_free(d->shared.sync);
        for (size_t i = 0; i < d->n_workers; i++)
                sg_worker_free(d->workers[i]);
        free(d->workers);
        free(d->threads);
        sg_probes_free(d->shared.probes);
        sg_feed_free(d->shared.feed);
        sg_ledger_child_free(d->ledger); /* after the rings: it stores what they hold */
        sg_snapshot_unref(atomic_exchange(&d->shared.snapshot, NULL));
        sg_rcu_barrier();
        sg_keytable_free(d->shared.keys);
        sg_daemon_end_limits(d);
        sg_config_unref(d->first_config);
        sg_timer_done(&d->drain_timer);
        sg_timer_done(&d->watchdog_timer);
        sg_timer_done(&d->limits_timer);
        sg_mailbox_free(d->mailbox);
        sg_signals_free(d->signals);
        sg_loop_free(d->loop);
        sg_rcu_unregister();
}

int sg_daemon_check(struct sg_daemon *d, struct sg_error *err)
{
        SG_AUTO(sg_probe_set_free) struct sg_probe_set *probes = NULL;
        struct sg_address address;
        int r = sg_daemon_read_config(d, err);

        if (!r)
                r = prepare_probes(d, &probes, err);
        if (!r)
                r = sg_daemon_make_directories(d, err);
        for (size_t i = 0; !r && i < d->first_config->n_listeners; i++)
                if (d->first_config->listeners[i].address)
                        r = sg_address_parse(&address, sg_str_from(d->first_config->listeners[i].address), err);
        return r;
}
