/*
 * ledger/backup.h - one file that holds all that the ledger keeps, and the way back from it
 *
 * Shape    a tar archive of the database, as its driver dumps it, and then manifest.json, with versions and checksum.
 *          For a process of its own: `scribe-ledger --backup`, `--restore`
 * Owner    options are borrowed
 * Thread   one; blocks on the disk
 * Errors   struct sg_error. What failed leaves neither half a file nor half a database
 * Limits   a dump needs its room twice beside the file while it is made
 */
#pragma once

#include <json-c/json.h>

#include "ledger/store.h"

/* While a ledger serves the database, or none does. The file must not be there. *ret: the manifest, the caller's. */
int sg_backup(const struct sg_store_options *store, const char *path, struct json_object **ret, struct sg_error *err)
        SG_MUST_CHECK;
/* Refused with -EBUSY while a ledger has the database. What was there before stays beside it as *.before-restore. */
int sg_restore(const struct sg_store_options *store, const char *state_directory, const char *path,
               struct json_object **ret, struct sg_error *err) SG_MUST_CHECK;
