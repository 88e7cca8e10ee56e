/*
 * ledger/verbs.h - what the files of the server share; private to this room
 *
 * Shape    each verb is a function of the method table in server.c; key.c, watch.c, usage.c and status.c hold them by
 *          subject. None of them touches the database: they post jobs to the keeper, and answer when those are done
 * Owner    json-c objects returned are the caller's
 * Thread   main; run() of jobs: the keeper's
 */
#pragma once

#include "base/buf.h"
#include "ledger/asker.h"
#include "ledger/others.h"
#include "ledger/server.h"
#include "ledger/status.h"
#include "ledger/totals.h"
#include "varlink/members.h"
#include "varlink/varlink.h"

#define SG_LEDGER_NAME(name) "io.scribe.Ledger." name

extern const char sg_ledger_interface[];

struct sg_ledger_server {
        struct sg_loop *loop;
        struct sg_keeper *keeper;
        struct sg_drainer *drainer;
        struct sg_asker *asker;
        struct sg_ledger_status *status;
        struct sg_totals *totals;
        char *configuration; /* the directory */
        struct sg_others *others;
        struct sg_config *config; /* for its prices; NULL: none were given */
        struct sg_varlink_server *varlink;
        uid_t *admins;
        size_t n_admins;
        gid_t group;             /* -1: none */
        char needed_view[160];   /* "root or group scribe" */
        struct sg_list watchers; /* and who lists keys */
};

/* Busy or DatabaseFailed, with err's sentence. */
void sg_verb_fail_database(struct sg_varlink_call *call, const struct sg_error *err);

/* ---- verb.c: a call that is answered when a job is done. The first member of what a verb posts */

struct sg_verb_job {
        struct sg_job job; /* run and done are the verb's */
        struct sg_ledger_server *server;
        struct sg_varlink_call *call; /* for done(): NULL when its client is gone */
        _Atomic bool is_gone;         /* for run(), which may spare itself the work */
        bool has_run;                 /* set by run(): from here on it may have changed something */
};

/* done() comes in every case, later or at once. */
void sg_verb_post(struct sg_verb_job *j, struct sg_ledger_server *s, struct sg_varlink_call *call);
/* Fails the call, if there still is one; of a change it says what is known of its outcome. */
void sg_verb_failed(struct sg_verb_job *j, const struct sg_error *err);
void sg_verb_failed_change(struct sg_verb_job *j, const struct sg_error *err);

/* What is asked cannot be, and why: kept by run() for done(), which answers with it. */
struct sg_refusal {
        const char *name; /* the last word of the error: "NoSuchGroup" */
        struct sg_error why;
};
enum sg_verb_error {
        SG_VERB_E_REFUSED = 64, /* beside those of the store */
};
/* SG_VERB_E_REFUSED */
int sg_refuse(struct sg_refusal *refusal, const char *name, const char *format, ...) SG_PRINTF(3, 4);
void sg_verb_refused(struct sg_verb_job *j, const struct sg_refusal *refusal);
/* In a transaction: after its changes. */
int sg_verb_key_version(struct sg_store *s, uint64_t *ret, struct sg_error *err) SG_MUST_CHECK;

/* ---- key.c */

void sg_verb_create_key(struct sg_varlink_call *call, struct json_object *parameters, void *owner);
void sg_verb_change_key(struct sg_varlink_call *call, struct json_object *parameters, void *owner);
void sg_verb_show_key(struct sg_varlink_call *call, struct json_object *parameters, void *owner);
void sg_verb_revoke_key(struct sg_varlink_call *call, struct json_object *parameters, void *owner);
void sg_verb_rotate_key(struct sg_varlink_call *call, struct json_object *parameters, void *owner);
/* type Key, type KeyChange. */
struct json_object *sg_json_key(const struct sg_store_key *key);
struct json_object *sg_json_key_change(const struct sg_store_key *key);

/* ---- group.c */

struct sg_tree;
struct sg_tree_group;
void sg_verb_create_group(struct sg_varlink_call *call, struct json_object *parameters, void *owner);
void sg_verb_change_group(struct sg_varlink_call *call, struct json_object *parameters, void *owner);
void sg_verb_remove_group(struct sg_varlink_call *call, struct json_object *parameters, void *owner);
void sg_verb_show_group(struct sg_varlink_call *call, struct json_object *parameters, void *owner);
/* type Group, type GroupChange; the groups from that one up to its root */
struct json_object *sg_json_group(const struct sg_tree *tree, const struct sg_tree_group *group);
struct json_object *sg_json_group_change(const struct sg_store_group *group);
struct json_object *sg_json_group_chain(const struct sg_tree *tree, uint64_t id);
/* There is none of that name: says which one may be meant. */
int sg_refuse_group(struct sg_refusal *refusal, const struct sg_tree *tree, const char *name);

/* ---- import.c */

void sg_verb_import_keys(struct sg_varlink_call *call, struct json_object *parameters, void *owner);
/* type KeyRecord */
struct json_object *sg_json_key_record(const struct sg_store_key *key);

/* ---- audit.c */

void sg_verb_query_audit(struct sg_varlink_call *call, struct json_object *parameters, void *owner);

/* ---- maintain.c */

void sg_verb_prune_usage(struct sg_varlink_call *call, struct json_object *parameters, void *owner);
void sg_verb_backup(struct sg_varlink_call *call, struct json_object *parameters, void *owner);

/* ---- watch.c */

void sg_verb_list_keys(struct sg_varlink_call *call, struct json_object *parameters, void *owner);
void sg_verb_export_keys(struct sg_varlink_call *call, struct json_object *parameters, void *owner);
void sg_verb_list_groups(struct sg_varlink_call *call, struct json_object *parameters, void *owner);
void sg_verb_watch_keys(struct sg_varlink_call *call, struct json_object *parameters, void *owner);
size_t sg_watch_count(const struct sg_ledger_server *s);
/* Tells the watchers of a committed change: arrays of GroupChange and KeyChange, given away; NULL: none of these. Both
 * NULL: it is not known what changed, they must start again. */
void sg_watch_tell(struct sg_ledger_server *s, struct json_object *groups, struct json_object *keys, uint64_t version);
/* The same with a whole reply of WatchKeys. */
void sg_watch_tell_news(struct sg_ledger_server *s, struct json_object *news, uint64_t version);
/* What was used of limits (given away), to those who have the picture. owner: the server. */
void sg_watch_tell_totals(struct json_object *totals, void *owner);
void sg_watch_tell_stale(struct sg_ledger_server *s, bool is_stale);

/* ---- status.c */

void sg_verb_get_status(struct sg_varlink_call *call, struct json_object *parameters, void *owner);

/* ---- usage.c */

void sg_verb_query_usage(struct sg_varlink_call *call, struct json_object *parameters, void *owner);
void sg_verb_query_bills(struct sg_varlink_call *call, struct json_object *parameters, void *owner);
