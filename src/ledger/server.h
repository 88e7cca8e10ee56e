/*
 * ledger/server.h - the verbs of the ledger's socket: keys, the key feed, usage, status
 *
 * Shape    one Varlink server of the interface io.scribe.Ledger
 * Owner    the program owns the server; the server borrows loop, store and drain
 * Thread   main
 * Errors   start-up: struct sg_error; on the wire: io.scribe.Ledger.* with a message that says what to do
 */
#pragma once

#include "base/error.h"
#include "loop/loop.h"

extern const char sg_ledger_interface[];
