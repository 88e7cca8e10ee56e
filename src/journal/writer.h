/*
 * journal/writer.h - a ring as its writer's files see it; private to this room
 *
 * Shape    ring.c appends, ring_make.c makes and ends one, ring_sync.c brings it to the disk
 * Units    positions count bytes ever appended; the place in ring and stage is the remainder by `size`
 * Thread   as said at each member
 */
#pragma once

#include "journal/format.h"

struct sg_ring {
        int fd;       /* the ring's file, on disk: holds the lock */
        int stage_fd; /* the stage's, in memory; locked, too */
        char *stage_path;
        uint8_t *map; /* of the stage */
        uint64_t map_bytes, size;
        uint8_t id[SG_RING_ID_CHARS / 2];
        char id_text[SG_RING_ID_CHARS + 1];
        bool is_windowed; /* only a window of the stage has memory; else all of it */

        /* the writer's */
        uint64_t sequence, position; /* of the last frame; behind it */
        uint64_t drained_sequence, drained_position;

        /* stored by the writer, read by any thread: the position first, both with release */
        _Atomic uint64_t written_position, written;
        _Atomic uint64_t n_open;
        _Atomic bool is_short; /* the writer found no room; the sync thread clears it */

        /* The window, when there is one: positions in [dropped_to, backed_to) have memory, and backed_to - dropped_to
         * <= size. dropped_to is the sync thread's; backed_to is moved on by it and by the writer. */
        _Atomic uint64_t dropped_to, backed_to;

        /* the sync thread's */
        _Atomic uint64_t synced;
        uint64_t synced_position;
        bool sync_failed;
};

/* Gives the stage memory up to a position, rounded up; 0 when it has it, else SG_RING_E_STAGE. Writer, sync thread. */
int ring_back(struct sg_ring *r, uint64_t to, bool is_ahead) SG_MUST_CHECK;
/* The reader's mark in the stage: false when it is half written, or was never written. Any thread. */
bool ring_mark_read(const struct sg_ring *r, uint64_t *ret_sequence, uint64_t *ret_position);
