#!/bin/sh
#
# Makes the sources that it is called in those of a later version, as a developer would: one more step of the schema, a
# changed service and socket, a changed configuration. For build_package.sh; tests of upgrade and downgrade get a real migration from it.
set -eu

version=$(sed -n 's/^#define SG_SCHEMA_VERSION *//p' src/ledger/store.h)
next=$((version + 1))
sed -i "s/^\(#define SG_SCHEMA_VERSION *\).*/\1$next/" src/ledger/store.h
# The end of the table of steps.
sed -i "0,/^};/s//        {$next, \"CREATE TABLE later (x INTEGER)\"},\n};/" src/ledger/sqlite_migrate.c
sed -i 's/^TimeoutStopSec=.*/TimeoutStopSec=121/' units/scribe-gateway.service.in
sed -i 's/^Backlog=.*/Backlog=4095/' units/scribe-gateway-http.socket
echo "# That is all." >>etc/gateway.conf
grep -q "^        {$next, " src/ledger/sqlite_migrate.c
grep -q '^TimeoutStopSec=121' units/scribe-gateway.service.in
grep -q '^Backlog=4095' units/scribe-gateway-http.socket
