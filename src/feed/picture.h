/*
 * feed/picture.h - the keys on disk (private to the room; the form is told in feed.h)
 *
 * Shape    loaded once at start, then appended to and written anew, in steps
 * Owner    the feed; the table is borrowed for each call, and from _begin() to the last step
 * Thread   main; loading, appending and each step block on the disk
 * Errors   -errno; loading: enum sg_picture_outcome
 * Limits   SG_PICTURE_BUFFER_BYTES_MAX for what waits to be written
 */
#pragma once

#include "base/error.h"
#include "feed/change.h"

#define SG_PICTURE_BUFFER_BYTES_MAX (512u * 1024u * 1024u)

struct sg_picture;

enum sg_picture_outcome {
        SG_PICTURE_NONE,   /* no file */
        SG_PICTURE_GOOD,   /* applied to the table */
        SG_PICTURE_BROKEN, /* set aside as PATH.broken; the table is as it was: empty */
        SG_PICTURE_N,
};

int sg_picture_new(struct sg_picture **ret, const char *path) SG_MUST_CHECK;
struct sg_picture *sg_picture_free(struct sg_picture *p);
SG_DEFINE_AUTO(struct sg_picture *, sg_picture_free)

/* Into an empty table. A torn last line is cut; why a file is broken is told in err. -errno when it cannot be read. */
int sg_picture_load(struct sg_picture *p, struct sg_keytable *t, enum sg_picture_outcome *ret_outcome,
                    uint64_t *ret_version, struct sg_error *err) SG_MUST_CHECK;
/* Collects a line; sg_picture_commit() writes what was collected, with the version: it survives SIGKILL then, and a loss of
 * power after sg_picture_sync(). After a failure of either only a file that is begun anew is up to date. While one is
 * being written, they go into that, too; where it is the only one, they are kept when it is done. */
int sg_picture_add(struct sg_picture *p, const struct sg_key_change *c) SG_MUST_CHECK;
int sg_picture_add_group(struct sg_picture *p, const struct sg_group_change *c) SG_MUST_CHECK;
int sg_picture_commit(struct sg_picture *p, uint64_t version) SG_MUST_CHECK;
int sg_picture_sync(struct sg_picture *p) SG_MUST_CHECK;
/* True when there is no file to append to, or more was appended than the table holds, and no other is being written. */
bool sg_picture_is_outgrown(const struct sg_picture *p, const struct sg_keytable *t);
/* The whole table, to a new file that takes the old one's place with the last step; each writes about a megabyte. One that
 * was begun before is given up. */
int sg_picture_begin(struct sg_picture *p, struct sg_keytable *t, uint64_t version) SG_MUST_CHECK;
int sg_picture_step(struct sg_picture *p, bool *ret_is_done) SG_MUST_CHECK;
bool sg_picture_is_writing(const struct sg_picture *p);
void sg_picture_abort(struct sg_picture *p);
