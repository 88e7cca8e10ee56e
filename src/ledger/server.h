/*
 * ledger/server.h - the verbs of the ledger's socket: keys, the key feed, usage, status
 *
 * Shape    one Varlink server of the interface io.scribe.Ledger (interface.c)
 * Owner    the program owns the server; the server borrows the loop, which outlives it, and keeper and drainer, which are
 *          freed before it: what they still have is answered then
 * Thread   main
 * Errors   start-up: struct sg_error; on the wire: io.scribe.Ledger.* with a message that says what to do
 */
#pragma once

#include "config/config.h"
#include "ledger/drainer.h"
#include "ledger/keeper.h"

struct sg_ledger_server;

/* Who may what: root, the own user and the admins anything; members of the group may look. */
struct sg_ledger_access {
        const char *group;   /* NULL: none */
        const char **admins; /* user names */
        size_t n_admins;
};

/* The threads that have the database, and where it is (copied). */
struct sg_ledger_parts {
        const struct sg_store_options *store;
        struct sg_keeper *keeper;
        struct sg_drainer *drainer;
        const char *configuration; /* the directory that it was read from; copied. NULL: none */
};

int sg_ledger_server_new(struct sg_ledger_server **ret, struct sg_loop *l, const struct sg_ledger_parts *parts,
                         const struct sg_ledger_access *access, struct sg_error *err) SG_MUST_CHECK;
/* Whose prices count from now on; takes a reference. */
void sg_ledger_server_set_prices(struct sg_ledger_server *s, struct sg_config *config);
/* The keeper has its store again: what others changed meanwhile is asked for at once. */
void sg_ledger_server_database_is_up(struct sg_ledger_server *s);
struct sg_ledger_server *sg_ledger_server_free(struct sg_ledger_server *s);
SG_DEFINE_AUTO(struct sg_ledger_server *, sg_ledger_server_free)

int sg_ledger_server_listen(struct sg_ledger_server *s, const char *path, struct sg_error *err) SG_MUST_CHECK;
int sg_ledger_server_listen_fd(struct sg_ledger_server *s, int fd) SG_MUST_CHECK;
/* Names are looked up now. An unknown admin is an error, and nothing changes then; an unknown group has no members. */
int sg_ledger_server_set_access(struct sg_ledger_server *s, const struct sg_ledger_access *access, struct sg_error *err)
        SG_MUST_CHECK;
