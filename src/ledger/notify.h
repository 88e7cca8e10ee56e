/*
 * ledger/notify.h - the service manager, where there is one
 *
 * Shape    notify.c speaks to systemd; notify_none.c is its twin for builds without it
 * Thread   main
 * Errors   none: without a service manager nothing happens
 * Source   sd_notify(3), sd_listen_fds_with_names(3), sd_watchdog_enabled(3)
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/macro.h"

void sg_notify_ready(const char *status);
void sg_notify_stopping(void);
void sg_notify_alive(void);
/* How often it wants to hear sg_notify_alive(), or 0. */
uint64_t sg_notify_watchdog_usec(void);
/* The listening socket of that name that was handed over, or -1. */
int sg_notify_listen_fd(const char *name);
