/*
 * ledger/pg_link.h - one connection to PostgreSQL that never waits for ever; private to pg*.c
 *
 * Shape    made by the first call that needs it, dropped by whatever breaks it, made again by the next. Nothing of libpq
 *          that waits by itself is used: every wait is poll() with a deadline, here and nowhere else
 * Units    _usec, monotonic
 * Owner    the link owns the connection; a result is the caller's (PQclear), its values are lent until then
 * Thread   one
 * Errors   -errno with *err saying what to do (pg_error.c); SG_STORE_E_NONE at the end of rows
 * Limits   SG_PG_CONNECT_USEC for each host; SG_PG_ANSWER_USEC without a word from the server
 * Source   libpq: "Asynchronous Command Processing", "Database Connection Control Functions". A name is resolved by libpq and
 *          takes as long as resolv.conf(5) says
 */
#pragma once

#include <libpq-fe.h>

#include "base/buf.h"
#include "ledger/store.h"

#define SG_PG_SERVER_MIN    140000 /* client_connection_check_interval; older ones are out of support */
#define SG_PG_HOSTS_MAX     8u
#define SG_PG_CONNECT_USEC  (5 * SG_USEC_PER_SEC)
#define SG_PG_ANSWER_USEC   (20 * SG_USEC_PER_SEC)
#define SG_PG_ARGUMENTS_MAX 40

/* ---- where (pg_url.c) */

struct sg_pg_host {
        char *name, *port; /* name: a directory with a socket when it begins with a slash */
        char where[256];   /* for people: "host:port/database" */
};

struct sg_pg_url {
        char *user, *database, *tls; /* tls: libpq's sslmode */
        struct sg_pg_host hosts[SG_PG_HOSTS_MAX];
        size_t n_hosts;
};

/* Refuses a url with a password in it, with what is a setting of ours, and with what this program does not take. */
int sg_pg_url_parse(struct sg_pg_url *ret, const struct sg_store_options *options, struct sg_error *err) SG_MUST_CHECK;
void sg_pg_url_done(struct sg_pg_url *u);

/* ---- what went wrong (pg_error.c) */

/* The errno and the sentence for a SQLSTATE (empty: the connection broke) and what the server said of it. */
int sg_pg_error(const char *state, const char *said, const char *where, const char *user, const char *doing,
                struct sg_error *err);
/* The same for a connection that was not made: the SQLSTATE stands in the text (PQERRORS_VERBOSE). */
int sg_pg_connect_error(const char *said, const char *where, const char *user, struct sg_error *err);
/* The connection is no good after it: the server goes, or is not the one to ask. */
bool sg_pg_error_is_fatal(const char *state);

/* ---- the link (pg_link.c) */

struct sg_pg_link {
        struct sg_pg_url url;
        const struct sg_store_options *options; /* the owner's */
        bool is_reader;                         /* a standby will do; nothing is written */
        PGconn *conn;                           /* NULL: none */
        size_t host;                            /* of url.hosts, where it is or was */
        uint64_t answer_usec;                   /* SG_PG_ANSWER_USEC, but for migrations */
        struct sg_store_limit *limit;           /* the owner's, or NULL */
        uint64_t n_connects;                    /* which connection it is */
};

/* Makes a connection when there is none, or the one there is turns out to be gone. *ret_is_new: it has not been seen yet. */
int sg_pg_connect(struct sg_pg_link *k, bool *ret_is_new, struct sg_error *err) SG_MUST_CHECK;
void sg_pg_drop(struct sg_pg_link *k);
void sg_pg_link_done(struct sg_pg_link *k);
const char *sg_pg_where(const struct sg_pg_link *k);

/* Waits for the next result; *ret NULL: the statement is over. What waits to be sent is sent meanwhile. */
int sg_pg_result(struct sg_pg_link *k, PGresult **ret, const char *doing, struct sg_error *err) SG_MUST_CHECK;
/* Waits until all that was put is sent, or at least taken by the kernel. */
int sg_pg_sent(struct sg_pg_link *k, const char *doing, struct sg_error *err) SG_MUST_CHECK;
/* After a send or put function of libpq said no. */
int sg_pg_broken(struct sg_pg_link *k, const char *doing, struct sg_error *err);
/* The error of a result that is one; reads what is left of the statement, and drops the connection if it is over. */
int sg_pg_failed(struct sg_pg_link *k, PGresult *res, const char *doing, struct sg_error *err);

/* ---- statements (pg_ask.c): SQL is constant text, values are parameters in binary form */

struct sg_pg_arguments {
        int n;
        Oid types[SG_PG_ARGUMENTS_MAX];
        const char *values[SG_PG_ARGUMENTS_MAX];
        int lengths[SG_PG_ARGUMENTS_MAX], formats[SG_PG_ARGUMENTS_MAX];
        char numbers[SG_PG_ARGUMENTS_MAX][8];
};

void sg_pg_give_u64(struct sg_pg_arguments *a, uint64_t v); /* at most INT64_MAX */
void sg_pg_give_text(struct sg_pg_arguments *a, struct sg_str s);
void sg_pg_give_text_or_null(struct sg_pg_arguments *a, struct sg_str s); /* empty: NULL */
void sg_pg_give_bytes(struct sg_pg_arguments *a, const void *p, size_t n);
void sg_pg_give_bool(struct sg_pg_arguments *a, bool v);
/* An array made by sg_pg_array_*(). */
void sg_pg_give_array(struct sg_pg_arguments *a, const struct sg_buf *array);

/* One-dimensional arrays without NULLs, in PostgreSQL's binary form; n must be what is added then. */
int sg_pg_array_begin(struct sg_buf *b, bool is_text, size_t n) SG_MUST_CHECK;
int sg_pg_array_u64(struct sg_buf *b, uint64_t v) SG_MUST_CHECK;
int sg_pg_array_text(struct sg_buf *b, struct sg_str s) SG_MUST_CHECK;
void sg_pg_put16(char *at, uint16_t v);
void sg_pg_put32(char *at, uint32_t v);
void sg_pg_put64(char *at, uint64_t v);

/* Sends a question whose rows come one by one from sg_pg_next(), all of which must be fetched (or the link dropped). */
int sg_pg_ask(struct sg_pg_link *k, const char *sql, const struct sg_pg_arguments *a, const char *doing,
              struct sg_error *err) SG_MUST_CHECK;
/* *ret has one row. SG_STORE_E_NONE: there are no more. */
int sg_pg_next(struct sg_pg_link *k, PGresult **ret, const char *doing, struct sg_error *err) SG_MUST_CHECK;
/* A question with one row at most, or SG_STORE_E_NONE. */
int sg_pg_one(struct sg_pg_link *k, const char *sql, const struct sg_pg_arguments *a, PGresult **ret, const char *doing,
              struct sg_error *err) SG_MUST_CHECK;
/* A statement without rows; *ret_n (may be NULL): how many it touched. */
int sg_pg_run(struct sg_pg_link *k, const char *sql, const struct sg_pg_arguments *a, uint64_t *ret_n,
              const char *doing, struct sg_error *err) SG_MUST_CHECK;
/* Several statements in one string, without parameters and rows. */
int sg_pg_script(struct sg_pg_link *k, const char *sql, const char *doing, struct sg_error *err) SG_MUST_CHECK;

struct sg_str sg_pg_text(const PGresult *res, int column); /* of the only row; NULL is empty */
uint64_t sg_pg_u64(const PGresult *res, int column);       /* of any integer type or bool; NULL and negative are 0 */
