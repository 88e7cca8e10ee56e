/*
 * daemon/successor.h - the next process of this service, started from the installed program while this one serves
 *
 * Shape    started, then ready (it has read the configuration, made its workers, knows the keys), then given the service.
 *          It has our sockets from its birth and accepts nothing before it is given the service. What is said goes over
 *          a socket pair: "started PID", "ready VERSION" or "failed WHERE<tab>TEXT" from it, "yours" to it
 * Owner    the daemon; a successor that was not given the service is killed by _free
 * Thread   main
 * Errors   sg_error when it cannot be started; what goes wrong with it later comes by on_failed, once
 * Limits   60 seconds until it must be ready
 */
#pragma once

#include <sys/types.h>

#include "base/error.h"
#include "base/service.h"
#include "loop/loop.h"

struct sg_successor;

struct sg_successor_options {
        const char *program; /* as it is installed now */
        const char *config_directory;
        const struct sg_service_fd *fds; /* lent; stay open here */
        size_t n_fds;
        const char *own_names; /* of those that nobody else has, separated by commas */
        /* Either may free the successor. */
        void (*on_ready)(pid_t pid, const char *version, void *owner);
        void (*on_failed)(const struct sg_error *err, void *owner);
        void *owner;
};

int sg_successor_new(struct sg_successor **ret, struct sg_loop *l, const struct sg_successor_options *options,
                     struct sg_error *err) SG_MUST_CHECK;
/* After on_ready: it serves from now on, and outlives us. */
void sg_successor_give(struct sg_successor *s);
struct sg_successor *sg_successor_free(struct sg_successor *s);
SG_DEFINE_AUTO(struct sg_successor *, sg_successor_free)
