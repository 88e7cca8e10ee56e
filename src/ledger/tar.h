/*
 * ledger/tar.h - the one file of a backup: a tar archive, written and read member by member
 *
 * Shape    POSIX ustar, regular files only, names without a slash; what is read is hostile: anything else is refused
 * Units    bytes
 * Owner    descriptors are the caller's
 * Thread   any; blocks on the disk
 * Errors   0, -errno; SG_TAR_E_*
 * Limits   names of SG_TAR_NAME_BYTES; sizes of 8 GiB or more in the base-256 form that tar(1) of GNU and BSD write
 * Source   POSIX.1-2017, pax, "ustar Interchange Format"
 */
#pragma once

#include "base/macro.h"
#include "base/str.h"

#define SG_TAR_NAME_BYTES 64
#define SG_SHA256_HEX     (64 + 1)

enum sg_tar_error {
        SG_TAR_E_END = 1, /* of the archive */
        SG_TAR_E_BAD,     /* it is none of ours, or damaged */
};

/* All that can be read of from_fd. */
int sg_tar_add_file(int fd, const char *name, int from_fd, uint64_t wall_usec, uint64_t *ret_bytes,
                    char ret_sha256[SG_SHA256_HEX]) SG_MUST_CHECK;
int sg_tar_add_bytes(int fd, const char *name, struct sg_str bytes, uint64_t wall_usec) SG_MUST_CHECK;
int sg_tar_end(int fd) SG_MUST_CHECK;

struct sg_tar_member {
        char name[SG_TAR_NAME_BYTES];
        uint64_t bytes;
};
int sg_tar_next(int fd, struct sg_tar_member *ret) SG_MUST_CHECK;
/* The member that sg_tar_next() told of, to another file or to memory that holds it. */
int sg_tar_take_file(int fd, const struct sg_tar_member *m, int to_fd, char ret_sha256[SG_SHA256_HEX]) SG_MUST_CHECK;
int sg_tar_take_bytes(int fd, const struct sg_tar_member *m, char *out) SG_MUST_CHECK;
