/*
 * daemon/ledger_child.h - the ledger as a child process, where there is no service manager to run it
 *
 * Shape    started from beside this program; started again when it ends (100 ms, doubling to 5 s). The child holds the
 *          read end of a pipe and ends in order when this process is gone
 * Owner    the daemon
 * Thread   main; SIGCHLD is told by sg_ledger_child_reap()
 * Errors   sg_error when the program cannot be found; what happens later is logged
 */
#pragma once

#include <sys/types.h>

#include "base/error.h"
#include "loop/loop.h"

struct sg_ledger_child;

#define SG_LEDGER_PROGRAM_BYTES 4096

/* The path of scribe-ledger: beside this program, else where it is installed. */
int sg_ledger_find_program(char ret[SG_LEDGER_PROGRAM_BYTES], struct sg_error *err) SG_MUST_CHECK;

int sg_ledger_child_new(struct sg_ledger_child **ret, struct sg_loop *l, const char *config_directory,
                        struct sg_error *err) SG_MUST_CHECK;
/* Of the child that runs now; 0: none. */
pid_t sg_ledger_child_pid(const struct sg_ledger_child *c);
/* Passes a reload on. */
void sg_ledger_child_reload(struct sg_ledger_child *c);
void sg_ledger_child_reap(struct sg_ledger_child *c);
/* Lets the child see that we are gone, waits up to 10 s for it to have stored what the rings hold, then kills it. */
struct sg_ledger_child *sg_ledger_child_free(struct sg_ledger_child *c);
