/*
 * ledger/sqlite_lock.h - whose a database file is, and whose turn it is to write it; private to sqlite*.c
 *
 * Shape    one lock for each path that this process has open, counted by its connections. Beside it stands PATH.lock,
 *          which keeps other processes out
 * Units    _usec
 * Owner    each connection that may write has taken the lock once
 * Thread   any: the process's connections belong to several. A turn belongs to the thread that waited for it
 * Errors   -EBUSY with the other process's number; of the file what the system said
 * Limits   a turn is waited for as long as the caller says: who has it may stand before a disk that does not answer
 */
#pragma once

#include "base/error.h"
#include "base/macro.h"

struct sg_sqlite_lock;

int sg_sqlite_lock_take(struct sg_sqlite_lock **ret, const char *path, struct sg_error *err) SG_MUST_CHECK;
struct sg_sqlite_lock *sg_sqlite_lock_drop(struct sg_sqlite_lock *l);
/* Turns come in the order in which they were asked for, which SQLite's own waiting does not promise: a drain with much to
 * do would keep a key from being revoked. False: not in that time. */
bool sg_sqlite_lock_turn(struct sg_sqlite_lock *l, uint64_t usec) SG_MUST_CHECK;
void sg_sqlite_lock_turn_over(struct sg_sqlite_lock *l);
