/*
 * Where the ledger keeps things: a file of SQLite, or a PostgreSQL server. Of a URL that is refused nothing is told but
 * its scheme: people paste connection strings, and those hold passwords.
 *
 * libpq reads the URL in the end. What is taken here is what it understands in one way only, and what this program wants
 * of it: who and where, and how much TLS.
 */
#include <errno.h>

#include "base/buf.h"
#include "base/limits.h"
#include "config/build.h"

#define SCHEME     "postgresql://"
#define PORT       5432u
#define FROM(name) "environment variable " name
#define WRITE_PASSWORD                                                                                                 \
        "holds a password, which may not stand in the configuration; leave it out and write password = "               \
        "credential:NAME, file:/path or env:NAME"

/* From the least to the most. */
static const char *const ssl_modes[] = {"disable", "allow", "prefer", "require", "verify-ca", "verify-full", NULL};
static const char *const session_words[] = {"any", "read-write", "primary", NULL};

/* ---- the URL: each of these tells NULL, or the rest of a sentence that begins with "the URL" */

static bool is_hex(char c)
{
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* Bytes that stand for themselves, and whole escapes of others; none of a NUL. */
static bool is_encoded(struct sg_str s)
{
        for (size_t i = 0; i < s.n; i++) {
                if (s.p[i] != '%')
                        continue;
                if (i + 2 >= s.n || !is_hex(s.p[i + 1]) || !is_hex(s.p[i + 2]) ||
                    (s.p[i + 1] == '0' && s.p[i + 2] == '0'))
                        return false;
                i += 2;
        }
        return sg_url_is_path(s);
}

/* A name: a slash or an @ in it is written as an escape. */
static bool is_name(struct sg_str s)
{
        return is_encoded(s) && sg_str_find_byte(s, '/') == s.n && sg_str_find_byte(s, '@') == s.n;
}

static const char *check_user(struct sg_str user)
{
        if (sg_str_find_byte(user, ':') < user.n)
                return WRITE_PASSWORD;
        if (user.n == 0)
                return "has no user before the @";
        return is_name(user) ? NULL : "has a byte in the user's name that must be written as %XX";
}

static const char *check_host(struct sg_str host)
{
        struct sg_url_authority at = {.port = PORT};
        struct sg_str port = host, directory;
        uint64_t number = PORT;

        if (!sg_str_istarts(host, SG_STR("%2F"))) /* the directory of a Unix socket: %2Frun%2Fpostgresql */
                return sg_url_read_authority(&at, host);
        if (sg_str_cut(&port, ':', &directory) && (sg_str_to_u64(port, &number) || number < 1 || number > UINT16_MAX))
                return "has a port that is not a number from 1 to 65535";
        return is_name(directory) ? NULL : "has a byte in the socket's directory that must be written as %XX";
}

static const char *check_hosts(struct sg_str hosts)
{
        struct sg_str host;

        for (;;) {
                const bool has_more = sg_str_cut(&hosts, ',', &host);
                const char *why = check_host(host);

                if (why || !has_more)
                        return why;
        }
}

static bool is_word(struct sg_str text, const char *const *words)
{
        for (size_t i = 0; words[i]; i++)
                if (sg_str_eq(text, sg_str_from(words[i])))
                        return true;
        return false;
}

static const char *check_parameter(struct sg_str name, struct sg_str value)
{
        static const struct {
                const char *name, *why;
        } others[] = {
                {"password", WRITE_PASSWORD},
                {"sslpassword", "holds a password; a key of TLS without one is needed"},
                {"passfile", "names a file of passwords; write password = file:/path, with the password alone in it"},
                {"sslrootcert", "names a file of certificates; write ca_file = /path"},
                {"sslcert", "names a certificate; write tls_certificate = file:/path"},
                {"sslkey", "names a key; write tls_key = file:/path"},
        };

        if (sg_str_eq(name, SG_STR("sslmode")))
                return is_word(value, ssl_modes) ? NULL
                                                 : "has an sslmode that is not one of disable, allow, prefer, require, "
                                                   "verify-ca and verify-full";
        if (sg_str_eq(name, SG_STR("target_session_attrs")))
                return is_word(value, session_words)
                               ? NULL
                               : "has target_session_attrs that are not one of any, read-write and primary";
        for (size_t i = 0; i < SG_N_ELEMENTS(others); i++)
                if (sg_str_ieq(name, sg_str_from(others[i].name)))
                        return others[i].why;
        return "has a parameter behind its ? that is neither sslmode nor target_session_attrs";
}

/* *ret_ssl_mode stays as it is where the URL names none. */
static const char *check_query(struct sg_str query, struct sg_str *ret_ssl_mode)
{
        struct sg_str session = SG_STR_NONE, name, value;

        while (query.n) {
                struct sg_str *which;
                const char *why;

                (void)sg_str_cut(&query, '&', &value);
                (void)sg_str_cut(&value, '=', &name);
                why = check_parameter(name, value);
                if (why)
                        return why;
                which = sg_str_eq(name, SG_STR("sslmode")) ? ret_ssl_mode : &session;
                if (which->n)
                        return "has a parameter twice";
                *which = value;
        }
        return NULL;
}

/* What stands behind "postgresql://". */
static const char *check_postgres(struct sg_str rest, struct sg_str *ret_ssl_mode)
{
        struct sg_str at, name, user;
        const char *why = NULL;
        size_t end = 0;

        while (end < rest.n && !strchr("/?#", rest.p[end]))
                end++;
        at = sg_str_head(rest, end);
        rest = sg_str_skip(rest, end);
        if (sg_str_find_byte(at, '@') < at.n) {
                (void)sg_str_cut(&at, '@', &user);
                /* A password may hold an @ that nobody has escaped. */
                why = sg_str_find_byte(at, '@') < at.n ? WRITE_PASSWORD : check_user(user);
        }
        if (!why)
                why = check_hosts(at);
        if (why)
                return why;
        if (sg_str_find_byte(rest, '#') < rest.n)
                return "has a fragment (#); leave it out";
        (void)sg_str_cut(&rest, '?', &name);
        name = sg_str_skip(name, SG_MIN(name.n, (size_t)1)); /* the slash */
        if (name.n == 0)
                return "has no database; write postgresql://user@host/database";
        if (!is_name(name))
                return "has a byte in the database's name that must be written as %XX";
        return check_query(rest, ret_ssl_mode);
}

static bool cut_scheme(struct sg_str *text)
{
        const bool is_long = sg_str_istarts(*text, SG_STR(SCHEME));

        if (!is_long && !sg_str_istarts(*text, SG_STR("postgres://")))
                return false;
        *text = sg_str_skip(*text, is_long ? sizeof(SCHEME) - 1 : 11);
        return true;
}

int sg_value_database(const struct sg_value *v, void *object)
{
        struct sg_str rest = v->text, ssl_mode = SG_STR_NONE;
        struct sg_config *c = object;
        const char *why;

        if (cut_scheme(&rest)) {
                why = check_postgres(rest, &ssl_mode);
                if (why)
                        return sg_value_refuse(v, "the URL %s", why);
                c->ledger_database = sg_pool_printf(v->pool, SCHEME SG_STR_FMT, SG_STR_ARG(rest));
                return c->ledger_database ? 0 : -ENOMEM;
        }
        if (!sg_str_starts(v->text, SG_STR("sqlite:")))
                return sg_value_refuse(
                        v, "a database is written sqlite:/path/of/the/file or postgresql://user@host/database");
        rest = sg_str_skip(v->text, 7);
        if (rest.n < 2 || rest.p[0] != '/' || rest.p[rest.n - 1] == '/')
                return sg_value_refuse(v, "after sqlite: comes the absolute path of a file");
        c->ledger_database = sg_pool_dup(v->pool, v->text);
        return c->ledger_database ? 0 : -ENOMEM;
}

/* ---- settings that need one another */

static unsigned place_of(struct sg_str ssl_mode)
{
        unsigned i = 0;

        while (ssl_modes[i] && !sg_str_eq(ssl_mode, sg_str_from(ssl_modes[i])))
                i++;
        return i;
}

/* Why these do not go together, and which of them to blame. */
static const char *check_tls(const struct sg_config *c, struct sg_str ssl_mode, const char **ret_key)
{
        const unsigned at = place_of(ssl_mode);

        *ret_key = c->ledger_tls_key ? "ledger.tls_key" : "ledger.tls_certificate";
        if (!c->ledger_tls_certificate != !c->ledger_tls_key)
                return "tls_certificate and tls_key need each other";
        if (c->ledger_tls_key && at == 0)
                return "tls_key is for connections with TLS, but the database's URL says sslmode=disable";
        *ret_key = c->ledger_ca_file ? "ledger.ca_file" : "ledger.database";
        if (c->ledger_ca_file && ssl_mode.n && at < 3)
                return "ca_file is for sslmode=verify-full, verify-ca or require; with less in the database's URL "
                       "nothing is checked";
        if (!c->ledger_ca_file && ssl_mode.n && at > 3)
                return "database: the URL says that the server's certificate must be checked; write ca_file = /path, "
                       "the certificates of the authorities that it must lead to";
        return NULL;
}

/* Without a word about TLS in the URL, a ca_file asks for all of it. */
static int ask_for_all(struct sg_whole *w)
{
        struct sg_config *c = &w->config;
        const struct sg_str url = sg_str_from(c->ledger_database);
        const char *with = sg_str_find_byte(url, '?') < url.n ? "&" : "?";

        c->ledger_database = sg_pool_printf(&w->pool, "%s%ssslmode=verify-full", c->ledger_database, with);
        return c->ledger_database ? 0 : -ENOMEM;
}

int sg_database_build(struct sg_whole *w, const struct sg_surroundings *around, struct sg_error *err)
{
        static const char *const of_server[] = {"ledger.password", "ledger.ca_file", "ledger.tls_certificate",
                                                "ledger.tls_key"};
        const struct sg_raw_section *section = sg_raw_find(&w->raw, SG_SECTION_LEDGER, SG_STR_NONE);
        struct sg_str rest = sg_str_from(w->config.ledger_database), ssl_mode = SG_STR_NONE;
        const char *why, *key;
        int r;

        for (size_t i = 0; i < SG_N_ELEMENTS(of_server) && !sg_str_starts(rest, SG_STR(SCHEME)); i++) {
                const struct sg_raw_line *line = sg_raw_last(section, sg_setting_get(of_server[i]));

                if (line)
                        return sg_error_set(err, -EINVAL, line->where, "%s is for database = postgresql://…",
                                            line->setting->name);
        }
        r = sg_section_places(w, SG_SECTION_LEDGER, section, &w->config, around, err);
        if (r || !cut_scheme(&rest))
                return r;
        why = check_postgres(rest, &ssl_mode);
        SG_ASSERT(!why);
        why = check_tls(&w->config, ssl_mode, &key);
        if (why)
                return sg_error_set(err, -EINVAL, sg_raw_last(section, sg_setting_get(key))->where, "%s", why);
        return w->config.ledger_ca_file && !ssl_mode.n ? ask_for_all(w) : 0;
}

/* ---- variables, in containers: a host and a database make the URL. A host alone is that of the services' own database,
 * which is only asked whether it is there; the other variables mean nothing without the two. */

static int add_encoded(struct sg_buf *b, const char *text)
{
        static const char plain[] = "-._~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
        int r = 0;

        for (const char *c = text; *c && !r; c++)
                r = strchr(plain, *c) ? sg_buf_add(b, sg_str_make(c, 1))
                                      : sg_buf_printf(b, "%%%02X", (unsigned char)*c);
        return r;
}

static int add_host(struct sg_buf *b, const char *host)
{
        const bool is_v6 = host[0] != '[' && sg_str_find_byte(sg_str_from(host), ':') < strlen(host);

        return host[0] == '/' ? add_encoded(b, host) : sg_buf_printf(b, is_v6 ? "[%s]" : "%s", host);
}

static int add_url(struct sg_buf *b, const struct sg_surroundings *around, const char *host, const char *name)
{
        const char *user = sg_surroundings_env(around, "POSTGRES_USER"),
                   *port = sg_surroundings_env(around, "POSTGRES_PORT");
        int r = sg_buf_add(b, SG_STR(SCHEME));

        if (!r && user)
                r = add_encoded(b, user);
        if (!r && user)
                r = sg_buf_add(b, SG_STR("@"));
        if (!r)
                r = add_host(b, host);
        if (!r && port)
                r = sg_buf_printf(b, ":" SG_STR_FMT, SG_STR_ARG(sg_environment_port(port)));
        if (!r)
                r = sg_buf_add(b, SG_STR("/"));
        return r ? r : add_encoded(b, name);
}

static int put(struct sg_raw *raw, const char *setting, struct sg_str value, const char *where)
{
        struct sg_str copy = sg_str_from(sg_pool_dup(raw->pool, value));

        return copy.p ? sg_raw_put(raw, SG_SECTION_LEDGER, NULL, setting, copy, where) : -ENOMEM;
}

int sg_database_from_environment(struct sg_raw *raw, const struct sg_surroundings *around)
{
        const char *host = sg_surroundings_env(around, "POSTGRES_HOST"),
                   *name = sg_surroundings_env(around, "POSTGRES_DB"), *where, *source;
        struct sg_buf url;
        int r;

        if (!host || !name)
                return 0;
        sg_buf_init(&url, SG_CONFIG_LINE_BYTES_MAX);
        r = add_url(&url, around, host, name);
        if (!r)
                r = put(raw, "database", sg_buf_view(&url), FROM("POSTGRES_HOST"));
        sg_buf_done(&url);
        if (r)
                return r < 0 ? r : -ENOMEM;
        source = sg_environment_secret(raw, around, "POSTGRES_PASSWORD", &where, &r);
        return source ? put(raw, "password", sg_str_from(source), where) : r;
}
