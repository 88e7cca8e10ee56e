/*
 * tests/unit/ledger/fixture_pg.h - a PostgreSQL of the test program's own, by way of tests/daemon/postgres.py
 *
 * It is started by the first who asks, and ends with the program, however that ends: it reads our end of a pipe.
 */
#pragma once

/* A command of postgres.py's serve() and its answer, one line, which stands until the next call. Fails loudly. */
const char *pg_ask(const char *command, ...) __attribute__((__format__(__printf__, 1, 2)));
/* An empty database with its schema, made by its owner. */
void pg_fresh(void);
/* "postgresql://USER@…" */
const char *pg_url(const char *user);
