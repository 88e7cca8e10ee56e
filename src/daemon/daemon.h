/*
 * daemon/daemon.h - the process: what it owns, and the steps of its start, life and end
 *
 * Shape    one sg_daemon in main(); each step is a function that either works or fills a sg_error
 * Owner    the daemon owns everything; sg_daemon_done() takes it apart in reverse
 * Thread   main
 * Errors   struct sg_error, told to stderr or the journal, to the service manager's STATUS= and to the exit status
 */
#pragma once

#include "base/service.h"
#include "control/control.h"
#include "gateway/worker.h"

#define SG_DAEMON_CONTROL_NAME "control" /* FileDescriptorName= of the control socket */
#define SG_DAEMON_LINE_BYTES   1100      /* of an error as one line */

enum sg_daemon_state {
        SG_DAEMON_STARTING,
        SG_DAEMON_RUNNING,
        SG_DAEMON_UPGRADING, /* serves, and a successor starts */
        SG_DAEMON_SUCCEEDED, /* the successor serves: what is open here is finished, without hurry */
        SG_DAEMON_DRAINING,  /* SIGTERM: open exchanges are finished */
        SG_DAEMON_CUTTING,   /* the drain took too long, or a second SIGTERM */
        SG_DAEMON_ENDED,
        SG_DAEMON_STATE_N,
};

struct sg_ledger_child;
struct sg_predecessor;
struct sg_successor;

struct sg_daemon {
        const char *config_directory;
        char program[4096]; /* this one's file, also when another has taken its place: a successor is started from it */
        enum sg_daemon_state state;
        struct sg_loop *loop;
        struct sg_mailbox *mailbox;
        struct sg_signals *signals;
        struct sg_config *first_config; /* with which the process started: what a restart would be needed for */
        bool has_log;                   /* lines go where the configuration says */
        struct sg_shared shared;
        struct sg_worker **workers;
        pthread_t *threads;
        size_t n_workers, n_threads, n_drained;
        struct sg_control *control;
        int control_fd;                     /* from systemd or our predecessor, or -1 */
        struct sg_predecessor *predecessor; /* until it has given us the service; or NULL */
        struct sg_successor *successor;     /* until it has the service; or NULL */
        struct sg_ledger_child *ledger;
        struct sg_timer drain_timer, watchdog_timer, limits_timer;
        uint64_t limits_saved_usec;
        pthread_t limits_saver; /* while is_saving_limits */
        bool is_saving_limits;
        _Atomic bool limits_are_saved; /* the saver's last word */
        int limits_save_result;        /* its other one */
        bool limits_rest;              /* a successor looks after them */
        bool is_limits_save_failing;   /* said once */
        uint64_t watchdog_usec;
        bool is_watchdog_angry; /* a worker hangs; said once */
};

/* main()'s list, in order. */
int sg_daemon_init(struct sg_daemon *d, const char *config_directory, struct sg_error *err) SG_MUST_CHECK;
int sg_daemon_meet_predecessor(struct sg_daemon *d, struct sg_error *err) SG_MUST_CHECK;
int sg_daemon_read_config(struct sg_daemon *d, struct sg_error *err) SG_MUST_CHECK;
int sg_daemon_start_log(struct sg_daemon *d, struct sg_error *err) SG_MUST_CHECK;
int sg_daemon_raise_limits(struct sg_daemon *d, struct sg_error *err) SG_MUST_CHECK;
int sg_daemon_make_directories(struct sg_daemon *d, struct sg_error *err) SG_MUST_CHECK;
int sg_daemon_take_listeners(struct sg_daemon *d, struct sg_error *err) SG_MUST_CHECK;
/* limits.c: before anything is served. */
int sg_daemon_start_limits(struct sg_daemon *d, struct sg_error *err) SG_MUST_CHECK;
/* A successor has them: nothing is asked for, looked after or saved here any more. */
void sg_daemon_rest_limits(struct sg_daemon *d);
/* This process is the only one of its node that asks for grants: before it accepts. */
void sg_daemon_share_limits(struct sg_daemon *d);
/* No exchange is left. */
void sg_daemon_end_limits(struct sg_daemon *d);
void sg_daemon_on_limits_time(struct sg_timer *t, void *owner);
int sg_daemon_start_feed(struct sg_daemon *d, struct sg_error *err) SG_MUST_CHECK;
/* After the configuration; the dependencies are asked from now on. */
int sg_daemon_start_probes(struct sg_daemon *d, struct sg_error *err) SG_MUST_CHECK;
int sg_daemon_start_workers(struct sg_daemon *d, struct sg_error *err) SG_MUST_CHECK;
int sg_daemon_start_control(struct sg_daemon *d, struct sg_error *err) SG_MUST_CHECK;
void sg_daemon_run(struct sg_daemon *d);
/* Told to the service manager, or to the predecessor that waits for us. */
void sg_daemon_failed(struct sg_daemon *d, const struct sg_error *err);
void sg_daemon_done(struct sg_daemon *d);

/* --check: the steps that read and prepare, none that serves. */
int sg_daemon_check(struct sg_daemon *d, struct sg_error *err) SG_MUST_CHECK;

/* reload.c: a transaction. *ret_needs_restart: the first setting that this could not change, or NULL. */
int sg_daemon_reload(struct sg_daemon *d, const char **ret_needs_restart, struct sg_error *err) SG_MUST_CHECK;
int sg_daemon_check_directory(struct sg_daemon *d, const char *directory, struct sg_error *err) SG_MUST_CHECK;

/* upgrade.c: how it ends is told by sg_control_upgraded(). */
int sg_daemon_upgrade(struct sg_daemon *d, struct sg_error *err) SG_MUST_CHECK;
/* The keys are known: the predecessor is told. */
void sg_daemon_ready_to_succeed(struct sg_daemon *d);

/* life.c */
void sg_daemon_go(struct sg_daemon *d, enum sg_daemon_state to);
void sg_daemon_begin_to_serve(struct sg_daemon *d);
/* No exchange is begun any more; those that are open may take so long. */
void sg_daemon_drain(struct sg_daemon *d, uint64_t timeout_usec);
uint64_t sg_daemon_n_open(const struct sg_daemon *d);
void sg_daemon_on_signal(int signal, void *owner);
void sg_daemon_on_letter(struct sg_letter *letter, void *owner);
void sg_daemon_on_first_picture(void *owner);
void sg_daemon_on_outage(bool is_out, void *owner);
void sg_daemon_on_drain_time(struct sg_timer *t, void *owner);
void sg_daemon_on_watchdog_time(struct sg_timer *t, void *owner);
void sg_daemon_on_worker_drained(struct sg_worker *w, void *owner); /* in the worker's thread */
const char *sg_daemon_state_name(void *owner);

/* The snapshot in force; lent until the next reload. */
struct sg_snapshot *sg_daemon_snapshot(const struct sg_daemon *d);
