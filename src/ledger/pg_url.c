/* What a URL of libpq's may say, and what is left to the settings. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/message_id.h"
#include "ledger/pg_link.h"

#define PORT "5432"

/* Where Debian keeps the authorities of the system. */
#define SYSTEM_CA "/etc/ssl/certs/ca-certificates.crt"

static int refuse(struct sg_error *err, const char *word, const char *text)
{
        int r = sg_error_set(err, -EINVAL, "", "[ledger] database: %s%s%s", word, *word ? " " : "", text);

        sg_error_needs_mending(err, SG_MESSAGE_CONFIGURATION);
        return r;
}

static int no_memory(struct sg_error *err)
{
        return sg_error_set(err, -ENOMEM, "", "out of memory");
}

static bool is_one_of(const char *word, const char *const *words)
{
        for (; *words; words++)
                if (strcmp(word, *words) == 0)
                        return true;
        return false;
}

/* 0, or what is wrong with that part. */
static int check_part(const PQconninfoOption *o, struct sg_error *err)
{
        static const char *const known[] = {"user", "host", "port", "dbname", "sslmode", "target_session_attrs", NULL};
        static const char *const ours[] = {"sslrootcert", "sslcert", "sslkey", NULL};
        static const char *const modes[] = {"disable", "allow", "prefer", "require", "verify-ca", "verify-full", NULL};
        static const char *const attributes[] = {"any", "read-write", "primary", NULL};

        if (strcmp(o->keyword, "password") == 0)
                return refuse(err, "",
                              "no password in the URL, where logs and status show it: put it into [ledger] password");
        if (is_one_of(o->keyword, ours))
                return refuse(
                        err, o->keyword,
                        "does not go into the URL: name the file in [ledger] ca_file, tls_certificate or tls_key");
        if (!is_one_of(o->keyword, known))
                return refuse(err, o->keyword, "is not known here: a URL has user, host, port, database and sslmode");
        if (strcmp(o->keyword, "sslmode") == 0 && !is_one_of(o->val, modes))
                return refuse(err, "sslmode", "must be disable, prefer, require, verify-ca or verify-full");
        if (strcmp(o->keyword, "target_session_attrs") == 0 && !is_one_of(o->val, attributes))
                return refuse(err, "target_session_attrs",
                              "must be read-write, which is what the ledger always seeks, or be left out");
        return 0;
}

static const char *value_of(const PQconninfoOption *options, const char *keyword)
{
        for (; options->keyword; options++)
                if (strcmp(options->keyword, keyword) == 0)
                        return options->val && *options->val ? options->val : NULL;
        return NULL;
}

/* The n-th of a list with commas; a list of one is for all. */
static struct sg_str part_of(const char *list, size_t n)
{
        struct sg_str rest = sg_str_from(list), part = SG_STR_NONE;

        for (size_t i = 0; i <= n; i++) {
                if (!sg_str_cut(&rest, ',', &part) && i < n)
                        return i == 0 ? part : SG_STR_NONE;
        }
        return part;
}

static size_t count_parts(const char *list)
{
        size_t n = 1;

        for (; list && *list; list++)
                n += *list == ',';
        return n;
}

static int add_hosts(struct sg_pg_url *u, const char *names, const char *ports, struct sg_error *err)
{
        u->n_hosts = count_parts(names);
        if (u->n_hosts > SG_PG_HOSTS_MAX)
                return refuse(err, "", "too many hosts: at most 8");
        if (count_parts(ports) != 1 && count_parts(ports) != u->n_hosts)
                return refuse(err, "", "as many ports as hosts, or one for all");
        for (size_t i = 0; i < u->n_hosts; i++) {
                struct sg_pg_host *h = &u->hosts[i];
                struct sg_str port = part_of(ports ? ports : PORT, i);

                h->name = sg_str_dup(names ? part_of(names, i) : SG_STR(""));
                h->port = sg_str_dup(port.n ? port : SG_STR(PORT));
                if (!h->name || !h->port)
                        return no_memory(err);
                if (!*h->name)
                        return refuse(err, "",
                                      "a host is missing, as in postgresql://scribe_ledger@db.example:5432/scribe");
                (void)snprintf(h->where, sizeof(h->where), "%s:%s/%s", h->name, h->port, u->database);
        }
        return 0;
}

/* With an authority at hand, whoever the server is must be vouched for: a mode that does not look would be a trap. */
static int choose_tls(struct sg_pg_url *u, const char *mode, const struct sg_store_options *o, struct sg_error *err)
{
        bool verifies = mode && strncmp(mode, "verify-", 7) == 0;

        /* require with an authority at hand is libpq's verify-ca. */
        if (o->ca_file && mode && !verifies && strcmp(mode, "require") != 0)
                return refuse(
                        err, "sslmode",
                        "does not look at the server's certificate, although [ledger] ca_file is set: use verify-full");
        if (verifies && !o->ca_file && access(SYSTEM_CA, R_OK) < 0)
                return refuse(err, "sslmode", "wants to know whom to believe: name the authority in [ledger] ca_file");
        if (o->tls_certificate_file && mode && (strcmp(mode, "disable") == 0 || strcmp(mode, "allow") == 0))
                return refuse(err, "sslmode",
                              "shows nobody the certificate of [ledger] tls_certificate: use verify-full");
        u->tls = sg_str_dup(sg_str_from(mode ? mode : o->ca_file ? "verify-full" : "prefer"));
        return u->tls ? 0 : no_memory(err);
}

static int take(struct sg_pg_url *u, const PQconninfoOption *parts, const struct sg_store_options *o,
                struct sg_error *err)
{
        const char *user = value_of(parts, "user"), *database = value_of(parts, "dbname");
        int r = 0;

        for (const PQconninfoOption *p = parts; p->keyword && !r; p++)
                if (p->val && *p->val)
                        r = check_part(p, err);
        if (r)
                return r;
        if (!user || !database)
                return refuse(
                        err, "",
                        "user and database must be named, as in postgresql://scribe_ledger@db.example:5432/scribe");
        u->user = sg_str_dup(sg_str_from(user));
        u->database = sg_str_dup(sg_str_from(database));
        if (!u->user || !u->database)
                return no_memory(err);
        r = add_hosts(u, value_of(parts, "host"), value_of(parts, "port"), err);
        return r ? r : choose_tls(u, value_of(parts, "sslmode"), o, err);
}

int sg_pg_url_parse(struct sg_pg_url *ret, const struct sg_store_options *options, struct sg_error *err)
{
        struct sg_pg_url u = {0};
        PQconninfoOption *parts;
        char *said = NULL;
        int r;

        parts = PQconninfoParse(options->url, &said);
        if (!parts) {
                /* What libpq says names the URL, and may name a password. */
                PQfreemem(said);
                return refuse(
                        err, "",
                        "this is no URL, as in postgresql://scribe_ledger@db.example:5432/scribe?sslmode=verify-full");
        }
        r = take(&u, parts, options, err);
        PQconninfoFree(parts);
        if (r)
                sg_pg_url_done(&u);
        else
                *ret = u;
        return r;
}

void sg_pg_url_done(struct sg_pg_url *u)
{
        for (size_t i = 0; i < SG_PG_HOSTS_MAX; i++) {
                free(u->hosts[i].name);
                free(u->hosts[i].port);
        }
        free(u->user);
        free(u->database);
        free(u->tls);
        *u = (struct sg_pg_url){0};
}
