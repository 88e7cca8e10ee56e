/*
 * ledger/verbs.h - what the files of the server share; private to this room
 *
 * Shape    each verb is a function of the method table in server.c; key.c, watch.c and usage.c hold them by subject
 * Owner    json-c objects returned are the caller's
 * Thread   main
 */
#pragma once

#include "base/buf.h"
#include "ledger/asker.h"
#include "ledger/server.h"
#include "varlink/members.h"
#include "varlink/varlink.h"

#define SG_LEDGER_NAME(name) "io.scribe.Ledger." name

extern const char sg_ledger_interface[];

struct sg_ledger_server {
        struct sg_loop *loop;
        struct sg_store *store;
        struct sg_drain *drain;
        struct sg_asker *asker;
        struct sg_config *config; /* for its prices; NULL: none were given */
        struct sg_varlink_server *varlink;
        uid_t *admins;
        size_t n_admins;
        gid_t group;           /* -1: none */
        char needed_view[160]; /* "root or group scribe" */
        struct sg_list watchers;
        uint64_t start_wall_usec;
};

/* Busy or DatabaseFailed, with err's sentence. */
void sg_verb_fail_database(struct sg_varlink_call *call, const struct sg_error *err);

/* ---- key.c */

void sg_verb_create_key(struct sg_varlink_call *call, struct json_object *parameters, void *owner);
void sg_verb_show_key(struct sg_varlink_call *call, struct json_object *parameters, void *owner);
void sg_verb_revoke_key(struct sg_varlink_call *call, struct json_object *parameters, void *owner);
void sg_verb_rotate_key(struct sg_varlink_call *call, struct json_object *parameters, void *owner);
/* type Key, type KeyChange */
struct json_object *sg_json_key(const struct sg_store_key *key);
struct json_object *sg_json_key_change(const struct sg_store_key *key);

/* ---- watch.c */

void sg_verb_list_keys(struct sg_varlink_call *call, struct json_object *parameters, void *owner);
void sg_verb_watch_keys(struct sg_varlink_call *call, struct json_object *parameters, void *owner);
/* Tells the watchers of a committed change (given away). NULL: it is not known what changed, they must start again. */
void sg_watch_tell(struct sg_ledger_server *s, struct json_object *change, uint64_t version);

/* ---- usage.c */

void sg_verb_query_usage(struct sg_varlink_call *call, struct json_object *parameters, void *owner);
void sg_verb_query_bills(struct sg_varlink_call *call, struct json_object *parameters, void *owner);
