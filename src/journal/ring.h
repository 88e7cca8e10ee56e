/*
 * journal/ring.h - a crash-safe ring of records: a preallocated file on disk, and its stage in memory
 *
 * Shape    one writer (a worker of the gateway, which holds the files' locks as long as it lives) and one reader (the
 *          ledger). Each record has a frame: sequence, length, checksum. The writer appends to the stage, a shared
 *          mapping of a file in the runtime directory; sg_ring_sync() copies what is new into the ring's file. The
 *          reader takes a frame from where it is whole. Its mark of what the database holds stands in the headers of
 *          both, so that the writer can use that room again
 * Units    sequence: number of the record from 1, never reused; bytes
 * Owner    the process that created a ring locks it; its name has a random identity; the ledger removes it when it is
 *          drained and nobody holds the lock
 * Thread   the writer's functions: the worker; sg_ring_sync(): the sync thread; both may run at once
 *          An offset counts all bytes ever appended, so that it only grows; the place in the file is its remainder
 * Errors   SG_RING_E_*, -errno
 * Limits   the size given at creation; room for the close record of each open exchange is kept back. In memory: what is
 *          not yet on disk, 256 KiB ahead of it, and 1.4 KiB for each open exchange; all of the size, on disk, where
 *          the stage's directory is no tmpfs
 * Source   SIGKILL keeps what was stored into a shared mapping; power loss keeps what was synced
 */
#pragma once

#include "base/error.h"
#include "base/macro.h"
#include "base/str.h"
#include "journal/record.h"

enum sg_ring_error {
        SG_RING_E_FULL = 1, /* no room for this exchange's records until the ledger has drained */
        SG_RING_E_BAD,      /* the file is no ring of this version */
        SG_RING_E_BUSY,     /* another process holds it */
        SG_RING_E_END,      /* reader: nothing more at the moment */
        SG_RING_E_TORN,     /* reader: the next frame is not whole; final when no writer lives */
        SG_RING_E_STAGE,    /* no memory for this exchange's records until the disk has taken what stands there */
        SG_RING_E_GONE,     /* reader: what was sought is overwritten; the reader stands at the ring's own mark */
};

#define SG_RING_ID_CHARS  32 /* hex */
#define SG_RING_SUFFIX    ".ring"
#define SG_RING_STAGE     ".stage" /* in the stage directory: the newest records; without a lock and a ring, litter */
#define SG_RING_NEW       ".ring.new" /* a ring that is being made; without a lock it is litter */
#define SG_RING_BYTES_MIN (64u * 1024u)

/* ---- the writer's end */

struct sg_ring;

/* Creates and locks DIR/<id>.ring with all its blocks allocated (a full disk shows here, not later), and its stage
 * STAGE_DIR/<id>.stage; where that is no tmpfs, DIR/<id>.stage: it would not be faster, and could be lost sooner. */
int sg_ring_create(struct sg_ring **ret, const char *dir, const char *stage_dir, size_t bytes, struct sg_error *err)
        SG_MUST_CHECK;
/* Syncs and unlocks; the file stays for the ledger. So does the stage when the disk fails. */
struct sg_ring *sg_ring_free(struct sg_ring *r);
SG_DEFINE_AUTO(struct sg_ring *, sg_ring_free)
const char *sg_ring_id(const struct sg_ring *r);

/* Appends the open record and keeps room for its close. *ret_exchange names it. SG_RING_E_FULL, SG_RING_E_STAGE. */
int sg_ring_open(struct sg_ring *r, struct sg_record *rec, uint64_t *ret_exchange) SG_MUST_CHECK;
/* Appends the close record: room was kept, so it cannot fail (raw_usage is dropped when oversized, or memory is short).
 * *ret_sequence is what sg_ring_synced() must reach for it to be durable. */
void sg_ring_close(struct sg_ring *r, uint64_t exchange, struct sg_record *rec, uint64_t *ret_sequence);

uint64_t sg_ring_written(const struct sg_ring *r); /* last sequence appended; any thread */
uint64_t sg_ring_synced(const struct sg_ring *r);  /* last sequence known to be on disk; any thread */
/* Makes all that is written durable, and room in the stage. Blocking; the sync thread's. 0 or -errno: the stage keeps
 * what the disk did not take and the reader has not released, and the next call tries again. */
int sg_ring_sync(struct sg_ring *r) SG_MUST_CHECK;

/* Whether sg_ring_sync() has something to do: records, or room to look for, since the writer found none. Any thread. */
bool sg_ring_wants_sync(const struct sg_ring *r);

struct sg_ring_fill {
        uint64_t bytes, used_bytes, kept_bytes; /* size of the data area; not yet drained; kept back for closes */
        uint64_t n_open;                        /* exchanges without close */
        uint64_t written, synced, drained;      /* sequences */
};
void sg_ring_get_fill(const struct sg_ring *r, struct sg_ring_fill *ret); /* any thread */

/* ---- the reader's end; the bytes are treated as hostile */

struct sg_ring_reader;

/* Opens a ring file for draining, with its stage, unless that is NULL or not there (after a boot, after a clean end) or
 * another's. SG_RING_E_BAD for files that are not rings. */
int sg_ring_reader_open(struct sg_ring_reader **ret, const char *path, const char *stage_path) SG_MUST_CHECK;
struct sg_ring_reader *sg_ring_reader_free(struct sg_ring_reader *r);
SG_DEFINE_AUTO(struct sg_ring_reader *, sg_ring_reader_free)
const char *sg_ring_reader_id(const struct sg_ring_reader *r);

struct sg_ring_info {
        uint64_t bytes; /* of the data area */
        uint32_t version;
        uint64_t writer_pid, created_wall_usec;
        bool has_stage;
        bool is_owned; /* its writer lives */
};
/* What the header says, and whether somebody holds the writer's lock at this moment. */
int sg_ring_reader_get_info(struct sg_ring_reader *r, struct sg_ring_info *ret) SG_MUST_CHECK;
/* Stands at the ring's own mark: what was released is behind it. */
void sg_ring_reader_seek_released(struct sg_ring_reader *r);

/* Where to go on: the sequence after which the database knows nothing (0: from the start), as committed there. What the
 * writer has overwritten (it saw a later mark of ours, then the database was replaced by an older one) gives
 * SG_RING_E_GONE; a position that no ring can have SG_RING_E_BAD. */
int sg_ring_reader_seek(struct sg_ring_reader *r, uint64_t sequence, uint64_t offset) SG_MUST_CHECK;
/* The last sequence that the writer says it has appended (hostile: a hint, for the lag). */
uint64_t sg_ring_reader_written(struct sg_ring_reader *r);
/* The last sequence whose room was given back by sg_ring_reader_release(), now or by an earlier process: the database holds
 * at least as much. 0: none, or the mark is damaged. */
uint64_t sg_ring_reader_released(struct sg_ring_reader *r);
/* The next record. Views in *ret are lent until the next call. SG_RING_E_END, SG_RING_E_TORN, SG_RING_E_BAD (a frame
 * whose checksum holds but whose content is no record: skipped, counted by the caller). */
int sg_ring_reader_next(struct sg_ring_reader *r, struct sg_record *ret, uint64_t *ret_sequence) SG_MUST_CHECK;
/* After SG_RING_E_TORN, or SG_RING_E_END before sg_ring_reader_written(): looks for a whole frame behind the damage and
 * stands before it. *ret_lost: how many records were passed over. SG_RING_E_END: there is none, so that nothing is
 * known to be lost; the reader has not moved. Reads the whole file: once per place. */
int sg_ring_reader_resync(struct sg_ring_reader *r, uint64_t *ret_lost) SG_MUST_CHECK;
/* Position after the last record read, to be committed with the rows. */
void sg_ring_reader_position(const struct sg_ring_reader *r, uint64_t *ret_sequence, uint64_t *ret_offset);
/* Tells the writer that all up to here is committed. Only after the commit. */
void sg_ring_reader_release(struct sg_ring_reader *r);
/* True when no process holds the writer's lock: what is torn stays torn, what is open was cut off. */
bool sg_ring_reader_is_orphan(struct sg_ring_reader *r);
