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
