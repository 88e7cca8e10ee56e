/*
 * ledger/journal_tool.h - scribe-ledger --journal: looks at the rings of a directory, with or without a ledger that runs
 *
 * Shape    no loop, no database; nothing is changed
 * Owner    strings are borrowed
 * Thread   main
 * Errors   said on stderr; the exit status: 0, 1 when something is damaged or cannot be read
 */
#pragma once

#include <stdbool.h>

#include "base/macro.h"

enum sg_journal_ask {
        SG_JOURNAL_NONE,
        SG_JOURNAL_STATUS, /* what waits, for how long */
        SG_JOURNAL_VERIFY, /* the same, and only what is damaged makes it fail */
        SG_JOURNAL_EXPORT, /* waiting records as JSON lines */
        SG_JOURNAL_ASK_N,
};
/* SG_JOURNAL_NONE: there is no such word. */
enum sg_journal_ask sg_journal_ask_from(const char *word);

/* stage_directory: where stages are that are not beside their rings; or NULL. */
int sg_journal_tool(enum sg_journal_ask ask, const char *directory, const char *stage_directory, bool wants_json);
