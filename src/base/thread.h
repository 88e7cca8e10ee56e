/*
 * base/thread.h - names and the owner check of debug builds
 *
 * Thread   any
 */
#pragma once

#include <pthread.h>

#include "base/macro.h"

/* Starts a named thread with all signals blocked (signals belong to the main thread). 0 or -errno. */
int sg_thread_start(pthread_t *ret, const char *name, void *(*run)(void *arg), void *arg) SG_MUST_CHECK;
