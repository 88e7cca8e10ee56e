/*
 * control/control.h - the gateway's control socket: io.scribe.Gateway by Varlink
 *
 * Shape    verbs over what the data plane shows (counters, rings, feed) and over actions that the daemon hands down
 * Owner    the daemon; what the options point to outlives the control
 * Thread   main
 * Errors   sg_error at start; afterwards Varlink errors to the caller
 * Source   src/varlink/io_scribe_gateway.h, which scribectl shares
 */
#pragma once

#include "gateway/worker.h"
#include "varlink/varlink.h"

struct sg_control_actions {
        /* A whole new snapshot in force, or none. needs_restart: a setting that the reload could not change, or NULL.
         */
        int (*reload)(void *owner, uint64_t *ret_number, const char **ret_needs_restart, struct sg_error *err);
        /* Reads and checks without using. directory NULL: the one in use. */
        int (*check)(void *owner, const char *directory, struct sg_error *err);
        /* Begins; how it ends is told by sg_control_upgraded(). */
        int (*upgrade)(void *owner, struct sg_error *err);
        const char *(*state)(void *owner); /* "starting", "running", "draining" */
        void *owner;
};

struct sg_control_options {
        struct sg_shared *shared;
        struct sg_worker **workers;
        size_t n_workers;
        struct sg_control_actions actions;
        const char *path; /* of the socket, unless fd >= 0 */
        int fd;
};

struct sg_control;

int sg_control_new(struct sg_control **ret, struct sg_loop *l, const struct sg_control_options *options,
                   struct sg_error *err) SG_MUST_CHECK;
struct sg_control *sg_control_free(struct sg_control *c);

/* To be handed to a successor; -1: none. After that nothing more is accepted here; calls that came go on. */
int sg_control_fd(const struct sg_control *c);
void sg_control_stop_listening(struct sg_control *c);

struct sg_control_upgrade {
        pid_t old_pid, new_pid;
        const char *version; /* the new one's */
        uint64_t n_open;     /* exchanges that the old process finishes */
};
/* Answers the call of Upgrade, if its caller still waits: with done, or with err. */
void sg_control_upgraded(struct sg_control *c, const struct sg_control_upgrade *done, const struct sg_error *err);
