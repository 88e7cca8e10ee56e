/*
 * ledger/audit.h - who changed what: an entry in the change's own transaction, and a line in the log behind it
 *
 * Shape    the verb keeps a struct sg_audit_who from the call to the end of its job
 * Owner    objects passed in are the caller's; json-c objects returned, too
 * Thread   sg_audit_who_asks() and _log(): the loop's; all else: the keeper's
 * Errors   of the store
 * Source   peer credentials: unix(7) SO_PEERCRED, of the moment in which the client connected
 */
#pragma once

#include <json-c/json.h>

#include "ledger/store.h"
#include "ledger/tree.h"
#include "varlink/varlink.h"

struct sg_audit_who {
        uint64_t uid, pid;
        char user[64]; /* "": the system has no name for it, or none was looked for */
};

/* user is not looked up: that may block. */
struct sg_audit_who sg_audit_who_asks(const struct sg_varlink_call *call);

/* verb: "CreateKey"; kind: "key" or "group". before, after: NULL for none. Looks the user up. */
int sg_audit_add(struct sg_store *s, struct sg_audit_who *who, const char *verb, const char *kind, struct sg_str name,
                 struct json_object *before, struct json_object *after, struct sg_error *err) SG_MUST_CHECK;
/* Once the change is committed. subject: "key alice", "3 keys". */
void sg_audit_log(const struct sg_audit_who *who, const char *verb, const char *subject);

/* What an entry says of a key or of a group: no secret, no digest, nothing that is never. */
struct json_object *sg_audit_key(const struct sg_store_key *key);
struct json_object *sg_audit_group(const struct sg_tree *tree, const struct sg_tree_group *group);
