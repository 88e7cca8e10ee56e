/*
 * base/service.h - the service manager: readiness, state, watchdog, sockets it hands over
 *
 * Shape    functions over the environment that systemd sets; without systemd (or in the twin file) they do nothing
 * Owner    descriptors handed over are given to the caller
 * Thread   main
 * Errors   none: what cannot be told is not told
 * Source   sd_notify(3), sd_listen_fds_with_names(3), sd_watchdog_enabled(3), systemd.service(5) Type=notify-reload
 */
#pragma once

#include <sys/types.h>

#include "base/macro.h"
#include "base/str.h"

void sg_service_ready(const char *status);
/* RELOADING=1 with the monotonic stamp; READY=1 follows by sg_service_ready() on every path. */
void sg_service_reloading(void);
/* The sentence alone: what systemctl status shows. */
void sg_service_status(const char *status);
void sg_service_stopping(const char *status);
void sg_service_failed(int error, const char *text);
void sg_service_watchdog(void);
/* 0 when no watchdog is asked for. */
uint64_t sg_service_watchdog_usec(void);

struct sg_service_fd {
        int fd;
        char name[64];
};
/* Stream sockets that listen, handed over, at most n_max; what else was handed over is closed. Once. */
size_t sg_service_listen_fds(struct sg_service_fd *out, size_t n_max);
/* Started by systemd as a unit's main process. */
bool sg_service_is_unit(void);

/* ---- one process after another in the same unit: only its main process may speak to systemd */

/* Nothing is told while silent. */
void sg_service_be_silent(bool is_silent);
/* MAINPID=: the unit is that process now. Waits until the service manager has taken it in, five seconds at most; then
 * this process is silent. */
void sg_service_hand_over(pid_t pid);

/* The environment of a successor: ours, with the sockets that it gets as descriptors from SG_SERVICE_FD_FIRST on, and
 * with its own process number wherever systemd had put ours. */
#define SG_SERVICE_FD_FIRST 3
struct sg_service_heir {
        char **environ; /* for execve() */
        size_t n;
        char *pids[4]; /* in environ: where the digits go */
        size_t n_pids;
};
/* more: NAME=value, to be added. -ENOMEM; -EOPNOTSUPP where sockets cannot be handed over. */
int sg_service_heir_init(struct sg_service_heir *h, const struct sg_service_fd *fds, size_t n_fds,
                         const char *const *more, size_t n_more) SG_MUST_CHECK;
/* In the new process, before execve(): async-signal-safe. */
void sg_service_heir_set_pid(struct sg_service_heir *h, pid_t pid);
void sg_service_heir_done(struct sg_service_heir *h);
