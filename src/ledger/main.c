/*
 * scribe-ledger: the process that owns the database. This thread has the sockets and never waits for the database; the
 * keeper does what the verbs ask of it, the drain moves usage into it, the asker sums usage up, each with a store of its
 * own. So a database that is not there, at the start or later, is something to be told, and not an end.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/message_id.h"
#include "base/service.h"
#include "ledger/backup.h"
#include "ledger/options.h"
#include "sg_build.h"

/* Who starts us waits that long to hear whether the database is there; then it is told that it is not known. */
#define READY_USEC (3 * SG_USEC_PER_SEC)
/* After the parent's end of the pipe, its locks on the rings are let go of, too: then what it left open can be settled.
 */
#define ORPHAN_WAIT_USEC (200 * SG_USEC_PER_MSEC)

struct program {
        struct sg_ledger_options options;
        struct sg_loop *loop;
        struct sg_signals *signals;
        struct sg_keeper *keeper;
        struct sg_drainer *drainer;
        struct sg_ledger_server *server;
        struct sg_io parent;
        struct sg_timer watchdog, end, unsure;
        bool is_ready;
        int status;
};

/* ---- what happens while it runs */

static void reload(struct program *p)
{
        struct sg_error err = {0};
        char line[sizeof(err)];
        int r;

        sg_log_reopen();
        r = sg_ledger_options_read(&p->options, &err);
        if (!r)
                r = sg_ledger_server_set_access(p->server, &p->options.access, &err);
        if (r) {
                sg_err("the configuration was not taken: %s", sg_error_line(&err, line, sizeof(line)));
                return;
        }
        sg_log_set_level(p->options.config->log_level);
        sg_ledger_server_set_prices(p->server, p->options.config);
        sg_notice("admins, group, log level and %zu prices are read again", sg_prices_count(p->options.config->prices));
}

static void on_signal(int number, void *owner)
{
        struct program *p = owner;

        if (number == SIGHUP) {
                reload(p);
                return;
        }
        sg_info("stopping for %s", number == SIGTERM ? "SIGTERM" : "SIGINT");
        sg_loop_stop(p->loop);
}

static void on_end(struct sg_timer *t, void *owner)
{
        sg_loop_stop(((struct program *)owner)->loop);
}

static void on_parent(struct sg_io *io, unsigned ready, void *owner)
{
        struct program *p = owner;
        char byte;
        ssize_t n = read(io->fd, &byte, 1);

        if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
                return;
        sg_info("the gateway that started this ledger has ended: stopping");
        sg_io_set(io, 0);
        sg_timer_start(&p->end, ORPHAN_WAIT_USEC);
}

static void on_watchdog(struct sg_timer *t, void *owner)
{
        sg_service_watchdog();
        sg_timer_start(t, sg_service_watchdog_usec() / 2);
}

/* ---- the database */

/* To the log, to the service manager's STATUS= and to the exit status. */
static int say_failed(const struct sg_error *err)
{
        char line[sizeof(*err)];

        sg_log_error(SG_LOG_ERR, err);
        sg_service_failed(err->code, sg_error_line(err, line, sizeof(line)));
        return sg_error_exit_status(err);
}

/* At the start only: what somebody must mend (a wrong password, a database of a newer version, a directory of somebody
 * else) ends the program; what may pass by itself does not, nor anything that comes later. */
static bool may_pass(int code, bool is_shared)
{
        switch (code) {
        case -EBUSY:
                return is_shared; /* a file that another ledger has is another matter */
        case -EAGAIN:
        case -ECONNREFUSED:
        case -ECONNRESET:
        case -EHOSTDOWN:
        case -EHOSTUNREACH:
        case -ETIME:
        case -ETIMEDOUT:
        case -ENOSPC:
        case -EDQUOT:
        case -EROFS:
        case -EIO:
        case -ENOMEM:
                return true;
        default:
                return false;
        }
}

static void tell_status(const struct program *p, const struct sg_keeper_status *s)
{
        char text[sizeof(s->err) + 64];

        if (s->state == SG_KEEPER_UP)
                (void)snprintf(text, sizeof(text), "Draining the journal");
        else
                (void)snprintf(text, sizeof(text), "The database %s; usage waits in the journal%s%s",
                               s->state == SG_KEEPER_DOWN ? "does not serve" : "has not answered yet",
                               s->err.text[0] ? ": " : "", s->err.text);
        if (p->is_ready)
                sg_service_status(text);
        else
                sg_service_ready(text);
}

static void be_ready(struct program *p, const struct sg_keeper_status *s)
{
        sg_timer_stop(&p->unsure);
        if (!p->is_ready)
                sg_log_notable(SG_LOG_NOTICE, SG_MESSAGE_LEDGER_READY, "scribe-ledger %s serves %s%s", SG_VERSION,
                               p->options.store.url,
                               s->state == SG_KEEPER_UP ? "" : ", which does not answer yet: keys cannot be changed");
        tell_status(p, s);
        p->is_ready = true;
}

static void database_is_up(struct program *p)
{
        sg_drainer_retry(p->drainer);
        sg_ledger_server_database_is_up(p->server);
}

static void on_database(const struct sg_keeper_status *s, void *owner)
{
        struct program *p = owner;

        if (!p->is_ready && s->state == SG_KEEPER_DOWN &&
            !may_pass(s->err.code, sg_store_is_shared(&p->options.store))) {
                p->status = say_failed(&s->err);
                sg_loop_stop(p->loop);
                return;
        }
        if (s->state == SG_KEEPER_UP)
                database_is_up(p);
        be_ready(p, s);
}

static void on_unsure(struct sg_timer *t, void *owner)
{
        struct program *p = owner;
        struct sg_keeper_status s;

        sg_keeper_get_status(p->keeper, &s);
        be_ready(p, &s);
}

/* ---- start and end */

static int start_log(const struct sg_config *c, struct sg_error *err)
{
        sg_log_set_level(c->log_level);
        return sg_log_start(c->log_sink_is_auto ? sg_log_sink_auto() : c->log_sink, c->log_path, err);
}

static int start_loop(struct program *p, struct sg_error *err)
{
        static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
        int r;

        r = sg_loop_new(&p->loop);
        if (!r)
                r = sg_signals_new(&p->signals, p->loop, signals, SG_N_ELEMENTS(signals), on_signal, p);
        if (!r)
                r = sg_timer_init(&p->watchdog, p->loop, on_watchdog, p);
        if (!r)
                r = sg_timer_init(&p->end, p->loop, on_end, p);
        if (!r)
                r = sg_timer_init(&p->unsure, p->loop, on_unsure, p);
        if (!r && p->options.parent_fd >= 0)
                r = sg_io_init(&p->parent, p->loop, p->options.parent_fd, on_parent, p);
        if (r)
                return sg_error_set(err, r, "", "cannot start the loop: %s", strerror(-r));
        if (p->parent.loop) {
                (void)fcntl(p->options.parent_fd, F_SETFD, FD_CLOEXEC);
                (void)fcntl(p->options.parent_fd, F_SETFL, O_NONBLOCK);
                sg_io_set(&p->parent, SG_IO_READ);
        }
        return 0;
}

/* The socket named "ledger" of those that systemd handed over, or -1; nobody here would accept on another. */
static int take_socket(void)
{
        struct sg_service_fd given[8];
        size_t n = sg_service_listen_fds(given, SG_N_ELEMENTS(given));
        int found = -1;

        for (size_t i = 0; i < n; i++) {
                if (found < 0 && strcmp(given[i].name, "ledger") == 0)
                        found = given[i].fd;
                else
                        (void)close(given[i].fd);
        }
        return found;
}

static int start_serving(struct program *p, struct sg_error *err)
{
        const struct sg_store_options *store = &p->options.store;
        struct sg_ledger_parts parts = {.store = store};
        int fd = take_socket(), r;

        r = sg_keeper_new(&p->keeper, p->loop, store, err);
        if (r)
                return r;
        sg_keeper_on_state(p->keeper, on_database, p);
        r = sg_drainer_new(&p->drainer, p->loop, store, p->options.journal_directory, p->options.stage_directory, err);
        if (r)
                return r;
        parts.keeper = p->keeper;
        parts.drainer = p->drainer;
        parts.configuration = p->options.config_directory;
        r = sg_ledger_server_new(&p->server, p->loop, &parts, &p->options.access, err);
        if (r)
                return r;
        sg_ledger_server_set_prices(p->server, p->options.config);
        if (fd < 0)
                return sg_ledger_server_listen(p->server, p->options.socket_path, err);
        r = sg_ledger_server_listen_fd(p->server, fd);
        return r ? sg_error_set(err, r, "", "cannot use the socket that was handed over: %s", strerror(-r)) : 0;
}

static int start(struct program *p, struct sg_error *err)
{
        int r;

        /* Signals are blocked before the log's thread starts. */
        r = start_loop(p, err);
        if (!r)
                r = start_log(p->options.config, err);
        if (!r)
                r = start_serving(p, err);
        if (r)
                return r;
        if (sg_service_watchdog_usec())
                sg_timer_start(&p->watchdog, 0);
        sg_timer_start(&p->unsure, READY_USEC);
        return 0;
}

static void finish(struct program *p)
{
        /* What they still have is answered to calls, which the server has. */
        sg_keeper_free(p->keeper);
        sg_drainer_free(p->drainer);
        sg_ledger_server_free(p->server);
        if (p->parent.loop)
                sg_io_done(&p->parent);
        if (p->watchdog.loop)
                sg_timer_done(&p->watchdog);
        if (p->end.loop)
                sg_timer_done(&p->end);
        if (p->unsure.loop)
                sg_timer_done(&p->unsure);
        sg_signals_free(p->signals);
        sg_loop_free(p->loop);
        sg_log_stop();
}

static int run(struct program *p)
{
        struct sg_error err = {0};
        int r;

        r = start(p, &err);
        if (r)
                p->status = say_failed(&err);
        else {
                sg_loop_run(p->loop, SG_USEC_NEVER, NULL, NULL);
                if (p->status == 0) /* else the reason stands there, and stays */
                        sg_service_stopping("Writing what is left");
        }
        finish(p);
        return p->status;
}

static int check(const struct program *p)
{
        struct sg_error err = {0};
        char line[sizeof(err)];

        if (sg_store_check(&p->options.store, &err) != 0) {
                (void)fprintf(stderr, "scribe-ledger: %s\n", sg_error_line(&err, line, sizeof(line)));
                return sg_error_exit_status(&err);
        }
        (void)printf("scribe-ledger: configuration and database are fine\n");
        return EXIT_SUCCESS;
}

/* As somebody who may change the schema: the service's own role may not (docs/postgresql.md). */
static int migrate(const struct program *p)
{
        SG_AUTO(sg_store_free) struct sg_store *s = NULL;
        struct sg_store_options options = p->options.store;
        struct sg_error err = {0};
        char line[sizeof(err)];

        options.url = p->options.migrate_url;
        options.password = NULL;
        if (sg_store_open(&s, &options, &err) != 0) {
                (void)fprintf(stderr, "scribe-ledger: %s\n", sg_error_line(&err, line, sizeof(line)));
                return sg_error_exit_status(&err);
        }
        (void)printf("scribe-ledger: the schema has version %d, and roles have what they need\n", SG_SCHEMA_VERSION);
        return EXIT_SUCCESS;
}

/* --backup, --restore: what became of it as JSON, for scribectl. */
static int copy(const struct program *p)
{
        const struct sg_ledger_options *o = &p->options;
        struct json_object *manifest = NULL;
        struct sg_error err = {0};
        char line[sizeof(err)];
        int r;

        r = o->backup_path ? sg_backup(&o->store, o->backup_path, &manifest, &err)
                           : sg_restore(&o->store, o->config->state_directory, o->restore_path, &manifest, &err);
        if (r) {
                (void)fprintf(stderr, "%s\n", sg_error_line(&err, line, sizeof(line)));
                return EXIT_FAILURE;
        }
        (void)printf("%s\n", json_object_to_json_string_ext(manifest, JSON_C_TO_STRING_PLAIN));
        json_object_put(manifest);
        return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
        struct program p = {0};
        struct sg_error err = {0};
        int r, status;

        r = sg_ledger_options_parse(&p.options, argc, argv);
        if (r)
                return r > 0 ? EXIT_SUCCESS : 2;
        if (p.options.journal_of)
                return sg_journal_tool(p.options.journal_ask, p.options.journal_of, NULL, p.options.wants_json);
        sg_log_set_identity("scribe-ledger");
        (void)umask(0077);
        (void)signal(SIGPIPE, SIG_IGN);
        /* A gateway's child is no service: what systemd gave the gateway is the gateway's. */
        if (p.options.parent_fd >= 0)
                (void)unsetenv("NOTIFY_SOCKET");
        if (sg_ledger_options_read(&p.options, &err) != 0) {
                status = say_failed(&err);
                sg_ledger_options_done(&p.options);
                return status;
        }
        if (p.options.migrate_url)
                status = migrate(&p);
        else if (p.options.backup_path || p.options.restore_path)
                status = copy(&p);
        else if (p.options.journal_ask != SG_JOURNAL_NONE)
                status = sg_journal_tool(p.options.journal_ask, p.options.journal_directory, p.options.stage_directory,
                                         p.options.wants_json);
        else
                status = p.options.wants_check ? check(&p) : run(&p);
        sg_ledger_options_done(&p.options);
        return status;
}
