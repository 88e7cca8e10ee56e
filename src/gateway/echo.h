/*
 * gateway/echo.h - the practice provider: an HTTP server inside the worker that answers from the request's own content
 *
 * Shape    the other end of a socket pair per connection, so that everything before and after it is the real path:
 *          connect, codec, stream scanner, metering
 * Units    the pace comes in microseconds in SG_ECHO_PACE_FIELD
 * Owner    the worker
 * Thread   the worker's
 * Errors   -errno from sg_echo_open()
 */
#pragma once

#include "base/str.h"
#include "loop/loop.h"

#define SG_ECHO_PACE_FIELD SG_STR("x-scribe-echo-pace-usec")

struct sg_echo_server;

int sg_echo_server_new(struct sg_echo_server **ret, struct sg_loop *l) SG_MUST_CHECK;
struct sg_echo_server *sg_echo_server_free(struct sg_echo_server *s);
/* struct sg_endpoint.open_builtin; owner is the sg_echo_server. */
int sg_echo_open(void *owner, int *ret_fd);
