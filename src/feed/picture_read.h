/*
 * feed/picture_read.h - the lines of a picture's file into a key table (private to the room)
 *
 * Shape    one pass in blocks, whatever the size of the file
 * Thread   main; blocks on the disk
 * Errors   -errno; -EBADMSG: it is damaged, err says where, and what the table holds of it must go
 * Limits   SG_PICTURE_LINE_BYTES_MAX a line
 */
#pragma once

#include "auth/keytable.h"
#include "base/error.h"

#define SG_PICTURE_FORMAT         1u
#define SG_PICTURE_CRC_CHARS      8u
#define SG_PICTURE_LINE_BYTES_MAX (1024u * 1024u)

/* *ret_good_bytes: without a line that is torn at the end; *ret_bytes: with it. */
int sg_picture_read(struct sg_keytable *t, int fd, const char *path, uint64_t *ret_version, size_t *ret_good_bytes,
                    size_t *ret_bytes, struct sg_error *err) SG_MUST_CHECK;
