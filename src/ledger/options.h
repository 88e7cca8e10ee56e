/*
 * ledger/options.h - what the program was told: its arguments and its part of the configuration
 *
 * Owner    the caller; views into the configuration live as long as `config`
 * Thread   main
 * Errors   struct sg_error
 */
#pragma once

#include "config/config.h"
#include "ledger/journal_tool.h"
#include "ledger/server.h"

struct sg_ledger_options {
        /* arguments */
        const char *config_directory;
        bool wants_check;
        const char *migrate_url;                /* NULL: not wanted */
        const char *backup_path, *restore_path; /* NULL: not asked for */
        enum sg_journal_ask journal_ask;
        const char *journal_of; /* the directory that was named, or NULL */
        bool wants_json;
        int parent_fd; /* -1: none */
        /* configuration */
        struct sg_config *config;
        struct sg_store_options store;
        struct sg_ledger_access access;
        char *socket_path, *journal_directory, *stage_directory;
};

/* 0: go on. 1: all is said and done (--help, --version). -EINVAL: the arguments are wrong, which has been said. */
int sg_ledger_options_parse(struct sg_ledger_options *o, int argc, char **argv) SG_MUST_CHECK;
/* Reads the configuration, again when it was read before: on failure nothing changes. */
int sg_ledger_options_read(struct sg_ledger_options *o, struct sg_error *err) SG_MUST_CHECK;
void sg_ledger_options_done(struct sg_ledger_options *o);
