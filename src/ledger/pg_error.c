/*
 * What PostgreSQL says, as an errno and as a sentence that says what to do.
 *
 * A statement's error has its SQLSTATE in a field. That of a connection has only text, in the server's language; but told to
 * be verbose, libpq puts the SQLSTATE into it: "FATAL:  28P01: password authentication failed …".
 */
#include <ctype.h>
#include <errno.h>

#include "base/message_id.h"
#include "ledger/pg_link.h"

#define STATE_CHARS 5

struct meaning {
        const char *state; /* or the beginning of it */
        int code;
        bool says; /* the server's own words help, too */
        const char *what_to_do;
};

/* The first that fits. %s is the user in those of 28, 42501. */
static const struct meaning meanings[] = {
        {"28P01", -EACCES, false,
         "the password is wrong: correct [ledger] password, or the role's with \\password in psql"},
        {"28", -EACCES, true,
         "the server does not let this role in: create it (roles.sql), or let it in by a line of pg_hba.conf"},
        {"3D000", -ENOENT, false, "there is no such database: create it (roles.sql), or correct [ledger] database"},
        {"42501", -EACCES, true,
         "the role lacks a right: run scribe-ledger --migrate as the schema's owner, which grants what is needed"},
        {"25006", -EROFS, false,
         "the server takes no writes: it is a standby, or was made read-only. Name the primary, or all hosts with "
         "commas "
         "between, in [ledger] database"},
        {"53100", -ENOSPC, true, "the disk of the database server is full: make room there"},
        {"53200", -ENOMEM, true, "the database server is out of memory"},
        {"53300", -EBUSY, false,
         "the server has no connection left for this role: raise max_connections or the role's CONNECTION LIMIT; each "
         "ledger needs four"},
        {"57014", -ETIMEDOUT, false,
         "the database needs too long for it, and it was broken off: see what it is busy with"},
        {"57P03", -EHOSTDOWN, true, "the database server is starting up or going down; it is tried again"},
        {"57P", -EHOSTDOWN, true, "the database server ended the connection; it is tried again"},
        {"55P03", -EBUSY, false, "somebody holds a lock for too long: look for idle transactions in pg_stat_activity"},
        {"40", -EAGAIN, true, "another ledger was at the same rows; it is tried again"},
        {"42P01", -EUCLEAN, true, "the schema is not what its version says: restore it from a backup"},
        {"42703", -EUCLEAN, true, "the schema is not what its version says: restore it from a backup"},
        {"22021", -EILSEQ, true, "the text is not UTF-8"},
        {"XX001", -EUCLEAN, true, "the database is damaged: restore it from a backup"},
        {"XX002", -EUCLEAN, true, "an index is damaged: REINDEX the database"},
        {"58030", -EIO, true, "the disk of the database server does not answer"},
        {"08", -ECONNRESET, true, "the connection to the database broke; it is made again"},
};

static const struct meaning *meaning_of(const char *state)
{
        for (size_t i = 0; i < SG_N_ELEMENTS(meanings); i++)
                if (strncmp(state, meanings[i].state, strlen(meanings[i].state)) == 0)
                        return &meanings[i];
        return NULL;
}

bool sg_pg_error_is_fatal(const char *state)
{
        return strncmp(state, "57P", 3) == 0 || strncmp(state, "08", 2) == 0 || strcmp(state, "25006") == 0 ||
               strncmp(state, "28", 2) == 0;
}

/* The first line of what was said, without "FATAL:" and the like. */
static struct sg_str first_line(const char *said)
{
        struct sg_str line, rest = sg_str_from(said ? said : "");

        (void)sg_str_cut(&rest, '\n', &line);
        return sg_str_trim(line);
}

static void mark(struct sg_error *err)
{
        sg_error_notable(err, SG_MESSAGE_STORE_FAILING);
}

int sg_pg_error(const char *state, const char *said, const char *where, const char *user, const char *doing,
                struct sg_error *err)
{
        const struct meaning *m = state && *state ? meaning_of(state) : meaning_of("08");
        struct sg_str line = first_line(said);
        int r;

        if (!m)
                r = sg_error_set(err, -EIO, where, "%s: " SG_STR_FMT " (SQLSTATE %s)", doing, SG_STR_ARG(line), state);
        else if (m->says && line.n)
                r = sg_error_set(err, m->code, where, "%s as %s: %s (" SG_STR_FMT ")", doing, user, m->what_to_do,
                                 SG_STR_ARG(line));
        else
                r = sg_error_set(err, m->code, where, "%s as %s: %s", doing, user, m->what_to_do);
        mark(err);
        return r;
}

/* ":  28P01: text" -> "28P01" and the text; or false. */
static bool find_state(const char *said, char state[STATE_CHARS + 1], const char **ret_text)
{
        for (const char *at = strstr(said, ":  "); at; at = strstr(at + 1, ":  ")) {
                const char *code = at + 3;
                size_t n = 0;

                while (n < STATE_CHARS && (isupper((unsigned char)code[n]) || isdigit((unsigned char)code[n])))
                        n++;
                if (n != STATE_CHARS || strncmp(code + n, ": ", 2) != 0)
                        continue;
                memcpy(state, code, STATE_CHARS);
                state[STATE_CHARS] = '\0';
                *ret_text = code + n + 2;
                return true;
        }
        return false;
}

/* What libpq itself finds, by its words: it has no others, and they are in English as long as nobody calls setlocale(). */
static const struct {
        const char *word;
        int code;
        const char *what_to_do;
} troubles[] = {
        {"no password supplied", -EACCES, "the server asks for a password: put it into [ledger] password"},
        {"Connection refused", -ECONNREFUSED, "nothing listens there: start PostgreSQL, or correct [ledger] database"},
        {"No such file or directory", -ECONNREFUSED,
         "there is no socket of PostgreSQL's: start it, or correct [ledger] database"},
        {"could not translate host name", -EHOSTUNREACH,
         "the name of the host is not known: correct [ledger] database, or let the unit use the network "
         "(docs/postgresql.md)"},
        {"Network is unreachable", -EHOSTUNREACH,
         "there is no way to the network: let the unit use it (docs/postgresql.md)"},
        {"Address family not supported", -EHOSTUNREACH,
         "the network is forbidden here: let the unit use it (docs/postgresql.md)"},
        {"does not support SSL", -EPROTO, "the server has no TLS: set ssl = on there, or another sslmode"},
        {"certificate verify failed", -EPROTO,
         "the server's certificate is not vouched for by [ledger] ca_file: give the authority that signed it"},
        {"does not match host name", -EPROTO,
         "the server's certificate has another name: use that name in [ledger] database, or sslmode=verify-ca"},
        {"root certificate file", -EPROTO, "[ledger] ca_file cannot be read as PEM certificates"},
        {"certificate file", -EPROTO, "[ledger] tls_certificate cannot be read"},
        {"private key file", -EPROTO, "[ledger] tls_key cannot be read, or others can read it (mode 0600 is right)"},
        {"alert", -EPROTO, "the server does not take the certificate of [ledger] tls_certificate, or wants one"},
        {"SSL", -EPROTO, "TLS with the server failed"},
};

int sg_pg_connect_error(const char *said, const char *where, const char *user, struct sg_error *err)
{
        char state[STATE_CHARS + 1];
        struct sg_str line;
        const char *text;
        int r;

        if (find_state(said, state, &text))
                return sg_pg_error(state, text, where, user, "cannot log in to PostgreSQL", err);
        line = first_line(said);
        for (size_t i = 0; i < SG_N_ELEMENTS(troubles); i++)
                if (strstr(said, troubles[i].word)) {
                        r = sg_error_set(err, troubles[i].code, where,
                                         "cannot connect to PostgreSQL: %s (" SG_STR_FMT ")", troubles[i].what_to_do,
                                         SG_STR_ARG(line));
                        mark(err);
                        return r;
                }
        r = sg_error_set(err, -EHOSTUNREACH, where, "cannot connect to PostgreSQL: " SG_STR_FMT, SG_STR_ARG(line));
        mark(err);
        return r;
}
