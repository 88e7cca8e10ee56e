/*
 * The database as one file, by the programs that PostgreSQL has for it: pg_dump and pg_restore know what a later version of
 * it changes. Of a snapshot that this program exported, so that the counts are those of the copy.
 *
 * What is put back does not overwrite: the schema that was there is renamed. Until pg_restore has committed, in one
 * transaction, the way back is to rename it again.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/secret.h"
#include "ledger/pg.h"

#define WORDS_MAX     16u
#define WORD_BYTES    1024u
#define SAID_BYTES    4096u
#define PASSWORD_NAME "PGPASSWORD="

extern char **environ;

/* ---- a program of PostgreSQL's */

/* Where the database is, for libpq in another process: by variables, since arguments are for everybody to see. */
struct surroundings {
        char words[WORDS_MAX][WORD_BYTES];
        size_t n;
        char **list; /* these, then ours */
};

static void add(struct surroundings *s, const char *name, const char *value)
{
        SG_ASSERT(s->n < WORDS_MAX);
        if (value)
                (void)snprintf(s->words[s->n++], WORD_BYTES, "%s=%s", name, value);
}

/* The very host that the link has found: a snapshot is of one server. */
static int surround(struct surroundings *s, const struct sg_store_options *o, const struct sg_pg_link *k)
{
        const struct sg_pg_url *u = &k->url;
        struct sg_str password = o->password ? sg_secret_bytes(o->password) : SG_STR_NONE;
        size_t n_ours = 0;

        add(s, "PGHOST", u->hosts[k->host].name);
        add(s, "PGPORT", u->hosts[k->host].port);
        add(s, "PGUSER", u->user);
        add(s, "PGDATABASE", u->database);
        add(s, "PGSSLMODE", u->tls);
        add(s, "PGSSLROOTCERT", o->ca_file);
        add(s, "PGSSLCERT", o->tls_certificate_file);
        add(s, "PGSSLKEY", o->tls_key_file);
        add(s, "PGCONNECT_TIMEOUT", "10");
        add(s, "PGTARGETSESSIONATTRS", "any");
        if (password.n && password.n + sizeof(PASSWORD_NAME) <= WORD_BYTES)
                (void)snprintf(s->words[s->n++], WORD_BYTES, PASSWORD_NAME SG_STR_FMT, SG_STR_ARG(password));
        while (environ[n_ours])
                n_ours++;
        s->list = calloc(s->n + n_ours + 1, sizeof(*s->list));
        if (!s->list)
                return -ENOMEM;
        for (size_t i = 0; i < s->n; i++)
                s->list[i] = s->words[i];
        for (size_t i = 0, n = s->n; i < n_ours; i++)
                if (strncmp(environ[i], "PG", 2) != 0)
                        s->list[n++] = environ[i];
        return 0;
}

static void surroundings_free(struct surroundings *s)
{
        if (s) {
                free(s->list);
                sg_wipe(s, sizeof(*s));
        }
        free(s);
}

static int spawn(const char *const argv[], char **env, int out, pid_t *ret)
{
        posix_spawn_file_actions_t actions;
        int r;

        r = -posix_spawn_file_actions_init(&actions);
        if (r)
                return r;
        r = -posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
        if (!r)
                r = -posix_spawn_file_actions_adddup2(&actions, out, STDERR_FILENO);
        if (!r)
                r = -posix_spawnp(ret, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv, env);
        posix_spawn_file_actions_destroy(&actions);
        return r;
}

/* The first line that a program says when it fails tells why, what follows is what it gave up then. */
static void hear(int fd, char said[SAID_BYTES])
{
        size_t n = 0;
        ssize_t got;
        char rest[512];

        while ((got = read(fd, rest, sizeof(rest))) > 0 || (got < 0 && errno == EINTR)) {
                size_t take = SG_MIN((size_t)SG_MAX(got, (ssize_t)0), SAID_BYTES - 1 - n);

                memcpy(said + n, rest, take);
                n += take;
        }
        said[n] = '\0';
        said[strcspn(said, "\n")] = '\0';
}

static int run(const char *const argv[], char **env, const char *where, struct sg_error *err)
{
        char said[SAID_BYTES] = "";
        int fds[2], status = 0, r;
        pid_t pid;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return sg_error_set(err, -errno, where, "cannot start %s: %s", argv[0], strerror(errno));
        r = spawn(argv, env, fds[1], &pid);
        (void)close(fds[1]);
        if (!r) {
                hear(fds[0], said);
                while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                        continue;
        }
        (void)close(fds[0]);
        if (r == -ENOENT)
                return sg_error_set(err, r, where, "there is no program %s: install postgresql-client", argv[0]);
        if (r)
                return sg_error_set(err, r, where, "cannot start %s: %s", argv[0], strerror(-r));
        if (status != 0)
                return sg_error_set(err, -EIO, where, "%s", said[0] ? said : "pg_dump or pg_restore was killed");
        return 0;
}

static int run_with(const char *const argv[], const struct sg_store_options *o, const struct sg_pg_link *k,
                    struct sg_error *err)
{
        struct surroundings *s = calloc(1, sizeof(*s));
        int r = s ? surround(s, o, k) : -ENOMEM;

        r = r ? sg_error_set(err, r, "", "out of memory") : run(argv, s->list, sg_pg_where(k), err);
        surroundings_free(s);
        return r;
}

/* ---- dump */

static int export_snapshot(struct sg_pg *q, char out[64], struct sg_error *err)
{
        PGresult *res = NULL;
        int r = sg_pg_enter(q, err);

        if (!r)
                r = sg_pg_one(&q->link, "SELECT pg_export_snapshot()", NULL, &res, "cannot make the backup", err);
        if (r)
                return r > 0 ? -EIO : r;
        (void)sg_str_copy(out, 64, sg_pg_text(res, 0));
        PQclear(res);
        return 0;
}

int sg_pg_dump(const struct sg_store_options *options, const char *where, const char *path, struct sg_store_counts *ret,
               struct sg_error *err)
{
        SG_AUTO(sg_store_free) struct sg_store *s = NULL;
        char snapshot[64], word[96];
        const char *const argv[] = {
                "pg_dump", "--format=custom", "--schema=scribe", "--no-password", word, "--file", path, NULL};
        int r;

        r = sg_pg_driver.open_reader(&s, options, where, err);
        if (!r)
                r = sg_pg_begin(s, err);
        if (!r)
                r = sg_pg_driver.count(s, 0, ret, err);
        if (!r)
                r = export_snapshot((struct sg_pg *)s, snapshot, err);
        if (r)
                return r;
        (void)snprintf(word, sizeof(word), "--snapshot=%s", snapshot);
        r = run_with(argv, options, &((struct sg_pg *)s)->link, err);
        sg_pg_rollback(s);
        return r;
}

/* ---- load */

static int ask_number(struct sg_pg_link *k, const char *sql, uint64_t *ret, struct sg_error *err)
{
        PGresult *res = NULL;
        int r = sg_pg_one(k, sql, NULL, &res, "cannot restore", err);

        if (r)
                return r > 0 ? -EIO : r;
        *ret = sg_pg_u64(res, 0);
        PQclear(res);
        return 0;
}

/* Not a lock, but what can be known: a ledger that starts a moment later finds no schema, or the one put back. */
static int refuse_while_used(struct sg_pg_link *k, struct sg_error *err)
{
        uint64_t n = 0;
        int r = ask_number(k,
                           "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'scribe-ledger'"
                           " AND datname = current_database() AND pid <> pg_backend_pid()",
                           &n, err);

        if (!r && n > 0)
                r = sg_error_set(err, -EBUSY, sg_pg_where(k),
                                 "scribe-ledger uses this database (%d connections): stop it on every node first",
                                 (int)n);
        return r;
}

static int keep_old(struct sg_pg_link *k, bool *ret_is_kept, struct sg_error *err)
{
        uint64_t n_old = 0, n_kept = 0;
        int r;

        r = ask_number(k, "SELECT count(*) FROM pg_namespace WHERE nspname = 'scribe_before_restore'", &n_kept, err);
        if (!r)
                r = ask_number(k, "SELECT count(*) FROM pg_namespace WHERE nspname = 'scribe'", &n_old, err);
        if (!r && n_kept)
                r = sg_error_set(err, -EEXIST, sg_pg_where(k),
                                 "the schema scribe_before_restore is left of an earlier restore: drop it first");
        if (!r && n_old)
                r = sg_pg_script(k, "ALTER SCHEMA scribe RENAME TO scribe_before_restore",
                                 "cannot move the old schema away", err);
        *ret_is_kept = !r && n_old;
        return r;
}

static int put_back(struct sg_pg_link *k)
{
        return sg_pg_script(k,
                            "DROP SCHEMA IF EXISTS scribe CASCADE;"
                            " ALTER SCHEMA scribe_before_restore RENAME TO scribe",
                            "cannot undo", NULL);
}

static int replace(struct sg_pg_link *k, const struct sg_store_options *options, const char *where, const char *from,
                   struct sg_error *err)
{
        const char *const argv[] = {"pg_restore",
                                    "--single-transaction",
                                    "--exit-on-error",
                                    "--no-owner",
                                    "--no-password",
                                    "--dbname",
                                    k->url.database,
                                    from,
                                    NULL};
        bool is_kept = false;
        int r;

        r = refuse_while_used(k, err);
        if (!r)
                r = keep_old(k, &is_kept, err);
        if (r)
                return r;
        r = run_with(argv, options, k, err);
        if (!r)
                r = sg_pg_driver.check(options, where, err);
        if (r && is_kept && put_back(k) != 0) {
                struct sg_error first = *err;

                r = sg_error_set(err, r, sg_pg_where(k), "%s; the old schema is called scribe_before_restore now",
                                 first.text);
        }
        return r;
}

int sg_pg_load(const struct sg_store_options *options, const char *where, const char *from, struct sg_error *err)
{
        struct sg_pg_link k = {.options = options, .answer_usec = SG_PG_ANSWER_USEC};
        bool is_new;
        int r;

        r = sg_pg_url_parse(&k.url, options, err);
        if (!r)
                r = sg_pg_connect(&k, &is_new, err);
        if (!r)
                r = replace(&k, options, where, from, err);
        sg_pg_link_done(&k);
        return r;
}
