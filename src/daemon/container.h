/*
 * daemon/container.h - what an image of this project runs, chosen without a shell
 *
 * Shape    one table of services; the image's entry is `scribe-gateway --container [SERVICE_TYPE]`
 * Owner    strings are the caller's
 * Thread   main, before there are others
 * Errors   told on stderr, exit status 1
 */
#pragma once

#include <sys/types.h>

struct sg_options;

/* By the first argument, else by the environment variable SERVICE_TYPE: -1 to go on as the gateway, else the exit status.
 * As the ledger the process is replaced. */
int sg_container_enter(const struct sg_options *options);

/* What the container runs: "scribe-gateway" or "scribe-ledger". For a process beside it, such as the health check. */
const char *sg_container_program(const char *service_type);

/* Process 1 inherits every orphan of its container and is the only one that can let go of them. Leaves `keep` (0: none)
 * to whoever started it; does nothing in any other process. */
void sg_container_reap(pid_t keep);
