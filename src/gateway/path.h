/*
 * gateway/path.h - paths as the next server may read them
 *
 * Shape    pure functions. The gateway compares paths as they stand; what is passed on must mean the same to a server that
 *          decodes once or twice, cuts parameters (";x=1") off, takes '\\' for '/' or joins slashes
 * Owner    nothing is kept
 * Errors   false; or as sg_buf_add()
 * Source   RFC 3986 sections 3.3 and 5.2.4
 */
#pragma once

#include "base/buf.h"
#include "config/config.h"
#include "http/message.h"

/* No way of reading it leads out of a prefix of whole segments that it begins with. */
bool sg_path_is_plain(struct sg_str path);
/* What is asked of an endpoint: its own prefix, then the path of the target without the first n_stripped bytes (which end
 * on a segment's border), then the query as it stands. */
int sg_path_add_target(struct sg_buf *b, struct sg_str own_prefix, struct sg_str target, size_t n_stripped)
        SG_MUST_CHECK;
/* Servers that read "/%61dmin/" as "/admin/" must not be reached by way of a service for all the rest when there is one for
 * /admin/, which may ask for more: whether the service that was found for the path is found however it is read. The path is
 * plain. */
int sg_path_is_read_as_one(const struct sg_config *config, const struct sg_config_service *found,
                           const struct sg_head *head, struct sg_str path, bool *ret) SG_MUST_CHECK;
