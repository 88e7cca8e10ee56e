/*
 * ledger/status.h - what the ledger says of itself, at once, whatever the database does; private to the server
 *
 * Shape    numbers that the keeper counts now and then, the drain's, and how fast it has been of late
 * Units    _usec, records per second
 * Owner    the server; keeper and drainer are borrowed
 * Thread   main
 * Limits   the database counts at most a twentieth of the time
 */
#pragma once

#include <json-c/json.h>

#include "ledger/server.h"

struct sg_ledger_status;

int sg_ledger_status_new(struct sg_ledger_status **ret, struct sg_loop *l, const struct sg_ledger_parts *parts,
                         struct sg_error *err) SG_MUST_CHECK;
struct sg_ledger_status *sg_ledger_status_free(struct sg_ledger_status *s);
/* Something was changed: what was counted is counted again soon. */
void sg_ledger_status_is_stale(struct sg_ledger_status *s);
/* The reply of GetStatus but for what the server adds; the caller's. */
struct json_object *sg_ledger_status_json(struct sg_ledger_status *s);
