#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "ledger/pg_link.h"

#define LOOK_USEC       (50 * SG_USEC_PER_MSEC) /* how late a cancelled question is noticed */
#define SYSTEM_CA       "/etc/ssl/certs/ca-certificates.crt"
#define PASSWORD_BYTES  1024u
#define KEYWORDS_MAX    24
#define ALIVE_LOOKS_MAX 16
#define STATE_READ_ONLY "25006"
#define STATE_TOO_LONG  "57014"

const char *sg_pg_where(const struct sg_pg_link *k)
{
        return k->url.hosts[k->host].where;
}

void sg_pg_drop(struct sg_pg_link *k)
{
        /* Says goodbye if there is room for it in the kernel, and does not wait. What the server is doing it breaks off
         * within client_connection_check_interval. */
        PQfinish(k->conn);
        k->conn = NULL;
}

void sg_pg_link_done(struct sg_pg_link *k)
{
        sg_pg_drop(k);
        sg_pg_url_done(&k->url);
}

/* ---- waiting */

static bool is_over(const struct sg_pg_link *k)
{
        return k->limit && (atomic_load_explicit(&k->limit->is_cancelled, memory_order_relaxed) ||
                            sg_clock_usec() >= k->limit->until_usec);
}

static int tell_late(struct sg_pg_link *k, const char *doing, struct sg_error *err)
{
        int r = sg_error_set(
                err, -ETIMEDOUT, sg_pg_where(k),
                "%s: PostgreSQL does not answer: see whether it is paused, overloaded or cut off; the connection is "
                "given up and made again",
                doing);

        sg_pg_drop(k);
        return r;
}

/* Until the socket is ready for one of events. Afterwards the connection is there, or has been dropped. */
static int wait_for(struct sg_pg_link *k, short events, uint64_t until_usec, const char *doing, struct sg_error *err)
{
        for (;;) {
                struct pollfd p = {.fd = PQsocket(k->conn), .events = events};
                uint64_t now = sg_clock_usec(), left;
                int n;

                if (is_over(k)) {
                        sg_pg_drop(k);
                        return sg_error_set(err, -ETIME, sg_pg_where(k), "%s: it was broken off", doing);
                }
                if (now >= until_usec)
                        return tell_late(k, doing, err);
                left = until_usec - now;
                if (k->limit)
                        left = SG_MIN(left, LOOK_USEC);
                n = poll(&p, 1, (int)(left / SG_USEC_PER_MSEC) + 1);
                if (n > 0)
                        return 0;
                if (n < 0 && errno != EINTR)
                        return sg_error_set(err, -errno, sg_pg_where(k), "%s: cannot wait", doing);
        }
}

int sg_pg_broken(struct sg_pg_link *k, const char *doing, struct sg_error *err)
{
        int r = sg_pg_error("", PQerrorMessage(k->conn), sg_pg_where(k), k->url.user, doing, err);

        sg_pg_drop(k);
        return r;
}

/* One step of waiting for the server while there may be something left to send. */
static int turn(struct sg_pg_link *k, short events, uint64_t until_usec, const char *doing, struct sg_error *err)
{
        int left = PQflush(k->conn), r;

        if (left < 0)
                return sg_pg_broken(k, doing, err);
        r = wait_for(k, (short)(events | (left ? POLLOUT : 0)), until_usec, doing, err);
        if (r)
                return r;
        return PQconsumeInput(k->conn) ? 0 : sg_pg_broken(k, doing, err);
}

int sg_pg_result(struct sg_pg_link *k, PGresult **ret, const char *doing, struct sg_error *err)
{
        uint64_t until = sg_clock_usec() + k->answer_usec;

        while (PQisBusy(k->conn)) {
                int r = turn(k, POLLIN, until, doing, err);

                if (r)
                        return r;
        }
        *ret = PQgetResult(k->conn);
        return 0;
}

int sg_pg_sent(struct sg_pg_link *k, const char *doing, struct sg_error *err)
{
        uint64_t until = sg_clock_usec() + k->answer_usec;
        int left, r;

        while ((left = PQflush(k->conn)) > 0) {
                /* The server may have something to say before it reads on. */
                r = turn(k, POLLIN, until, doing, err);
                if (r)
                        return r;
        }
        return left == 0 ? 0 : sg_pg_broken(k, doing, err);
}

int sg_pg_failed(struct sg_pg_link *k, PGresult *res, const char *doing, struct sg_error *err)
{
        const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
        const char *said = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
        bool is_fatal = !state || sg_pg_error_is_fatal(state);
        PGresult *more = NULL;
        int r;

        r = sg_pg_error(state, said ? said : PQerrorMessage(k->conn), sg_pg_where(k), k->url.user, doing, err);
        if (state && strcmp(state, STATE_TOO_LONG) == 0 && k->is_reader)
                r = sg_error_set(err, -ETIME, sg_pg_where(k), "%s: it takes too long: ask for less", doing);
        PQclear(res);
        while (!is_fatal && k->conn && sg_pg_result(k, &more, doing, NULL) == 0 && more)
                PQclear(more);
        if (k->conn && (is_fatal || PQstatus(k->conn) != CONNECTION_OK))
                sg_pg_drop(k);
        return r;
}

/* ---- connecting */

static void hear_notice(void *owner, const PGresult *res)
{
        const char *said = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);

        sg_debug("PostgreSQL: %s", said ? said : "?");
}

struct keywords {
        const char *names[KEYWORDS_MAX + 1], *values[KEYWORDS_MAX + 1];
        int n;
};

static void say(struct keywords *w, const char *name, const char *value)
{
        SG_ASSERT(w->n < KEYWORDS_MAX);
        if (!value)
                return;
        w->names[w->n] = name;
        w->values[w->n++] = value;
}

static void say_tls(struct keywords *w, const struct sg_pg_link *k)
{
        const struct sg_store_options *o = k->options;
        bool verifies = strncmp(k->url.tls, "verify-", 7) == 0;

        say(w, "sslmode", k->url.tls);
        say(w, "sslrootcert", o->ca_file ? o->ca_file : verifies ? SYSTEM_CA : NULL);
        say(w, "sslcert", o->tls_certificate_file);
        say(w, "sslkey", o->tls_key_file);
        say(w, "gssencmode", "disable"); /* Kerberos' library waits without a deadline */
}

/* A peer that is gone without a word is noticed in about 25 s by an idle connection, in 10 s by one that has sent. */
static void say_timeouts(struct keywords *w)
{
        say(w, "keepalives_idle", "10");
        say(w, "keepalives_interval", "5");
        say(w, "keepalives_count", "3");
        say(w, "tcp_user_timeout", "10000");
}

static PGconn *start(const struct sg_pg_link *k, const struct sg_pg_host *host)
{
        struct sg_str secret = k->options->password ? sg_secret_bytes(k->options->password) : SG_STR_NONE;
        char password[PASSWORD_BYTES];
        struct keywords w = {0};
        PGconn *conn;

        say(&w, "host", host->name);
        say(&w, "port", host->port);
        say(&w, "dbname", k->url.database);
        say(&w, "user", k->url.user);
        (void)sg_str_copy(password, sizeof(password), secret);
        if (secret.n)
                say(&w, "password", password);
        say_tls(&w, k);
        say_timeouts(&w);
        say(&w, "client_encoding", "UTF8");
        say(&w, "application_name", "scribe-ledger");
        conn = PQconnectStartParams(w.names, w.values, 0);
        sg_wipe(password, sizeof(password));
        if (conn) {
                /* So that the SQLSTATE stands in the text, and nothing is written to stderr. */
                (void)PQsetErrorVerbosity(conn, PQERRORS_VERBOSE);
                (void)PQsetNoticeReceiver(conn, hear_notice, NULL);
        }
        return conn;
}

static int shake_hands(struct sg_pg_link *k, struct sg_error *err)
{
        static const char doing[] = "cannot connect";
        uint64_t until = sg_clock_usec() + SG_PG_CONNECT_USEC;
        PostgresPollingStatusType state = PGRES_POLLING_WRITING;
        int r;

        if (PQstatus(k->conn) == CONNECTION_BAD)
                state = PGRES_POLLING_FAILED;
        while (state == PGRES_POLLING_WRITING || state == PGRES_POLLING_READING) {
                r = wait_for(k, state == PGRES_POLLING_WRITING ? POLLOUT : POLLIN, until, doing, err);
                if (r)
                        return r;
                state = PQconnectPoll(k->conn);
        }
        if (state == PGRES_POLLING_OK && PQsetnonblocking(k->conn, 1) == 0)
                return 0;
        r = sg_pg_connect_error(PQerrorMessage(k->conn), sg_pg_where(k), k->url.user, err);
        sg_pg_drop(k);
        return r;
}

/* A session's settings: nothing is looked for outside of the system's schema, no statement outlives its asker by much, and
 * what is said to be committed is on the disk. */
static const char set_up_sql[] =
        "SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool,"
        " set_config('search_path', 'pg_catalog', false), set_config('lock_timeout', '10s', false),"
        " set_config('statement_timeout', $1, false), set_config('idle_in_transaction_session_timeout', $1, false),"
        " CASE WHEN version() LIKE '%linux%' THEN set_config('client_connection_check_interval', '1s', false) END,"
        " CASE current_setting('synchronous_commit') WHEN 'off' THEN set_config('synchronous_commit', 'on', false) END";

static int set_up(struct sg_pg_link *k, struct sg_error *err)
{
        struct sg_pg_arguments a = {0};
        PGresult *res = NULL;
        bool is_read_only;
        char timeout[32];
        int r;

        if (PQserverVersion(k->conn) < SG_PG_SERVER_MIN)
                return sg_error_set(err, -EPROTONOSUPPORT, sg_pg_where(k),
                                    "PostgreSQL %d is too old: the ledger needs version 14 or a newer one",
                                    PQserverVersion(k->conn) / 10000);
        (void)snprintf(timeout, sizeof(timeout), "%" PRIu64 "ms",
                       (k->is_reader ? 6 : 1) * k->answer_usec / SG_USEC_PER_MSEC);
        sg_pg_give_text(&a, sg_str_from(timeout));
        r = sg_pg_one(k, set_up_sql, &a, &res, "cannot set up the session", err);
        if (r)
                return r > 0 ? -EIO : r;
        is_read_only = sg_pg_u64(res, 0) != 0;
        PQclear(res);
        if (is_read_only && !k->is_reader)
                return sg_pg_error(STATE_READ_ONLY, NULL, sg_pg_where(k), k->url.user, "cannot write", err);
        return 0;
}

static int connect_to(struct sg_pg_link *k, size_t host, struct sg_error *err)
{
        int r;

        k->host = host;
        k->conn = start(k, &k->url.hosts[host]);
        if (!k->conn)
                return sg_error_set(err, -ENOMEM, sg_pg_where(k), "out of memory");
        r = shake_hands(k, err);
        if (!r)
                r = set_up(k, err);
        if (r)
                sg_pg_drop(k);
        return r;
}

/* What the server said to an idle connection, mostly that it goes. */
static bool is_alive(struct sg_pg_link *k)
{
        struct pollfd p = {.fd = PQsocket(k->conn), .events = POLLIN};

        for (int i = 0; i < ALIVE_LOOKS_MAX && PQstatus(k->conn) == CONNECTION_OK; i++) {
                if (poll(&p, 1, 0) <= 0)
                        return true;
                if (!PQconsumeInput(k->conn))
                        return false;
        }
        return PQstatus(k->conn) == CONNECTION_OK;
}

int sg_pg_connect(struct sg_pg_link *k, bool *ret_is_new, struct sg_error *err)
{
        struct sg_error each = {0};
        size_t first = k->host;
        int r = 0, told = 0;

        if (k->conn && !is_alive(k))
                sg_pg_drop(k);
        *ret_is_new = !k->conn;
        if (k->conn)
                return 0;
        for (size_t i = 0; i < k->url.n_hosts; i++) {
                r = connect_to(k, (first + i) % k->url.n_hosts, &each);
                if (!r) {
                        k->n_connects++;
                        return 0;
                }
                /* Of a primary that is gone and a standby that is none yet, the first is what is amiss. */
                if (!told || (told == -EROFS && r != -EROFS)) {
                        told = r;
                        if (err)
                                *err = each;
                }
        }
        k->host = first;
        return told;
}
