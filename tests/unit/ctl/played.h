/*
 * What the tests of verbs share: scribectl as a process, against a gateway and a ledger that the test plays. Their methods
 * run in a thread of their own; the last call's parameters are kept, so that a test says what was asked.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/thread.h"
#include "ctl/ctl.h"
#include "varlink/varlink.h"

static const char *program;

struct world {
        char directory[64], control[96], ledger[96];
        struct sg_loop *loop;
        struct sg_varlink_server *gateway_server, *ledger_server;
        pthread_t thread;
        pthread_mutex_t lock; /* tells the order that the process between the two threads makes */
        bool may_change, upgrade_fails, has_no_service;
        unsigned n_events; /* that the ledger holds */
        char asked[4096];  /* the last call's parameters */
        char out[65536], err[4096];
};

static void meet(struct world *w)
{
        pthread_mutex_lock(&w->lock);
        pthread_mutex_unlock(&w->lock);
}

static void answer(struct sg_varlink_call *call, struct json_object *parameters, void *owner, const char *text)
{
        struct world *w = owner;

        snprintf(w->asked, sizeof(w->asked), "%s",
                 parameters ? json_object_to_json_string_ext(parameters, JSON_C_TO_STRING_PLAIN) : "");
        meet(w);
        sg_varlink_reply(call, text ? json_tokener_parse(text) : NULL);
}

static bool may(const struct sg_varlink_peer *peer, enum sg_varlink_right right, const char **ret_needed, void *owner)
{
        struct world *w = owner;

        meet(w);
        *ret_needed = "root, or a user named in [control] admins";
        return right == SG_VARLINK_VIEW || w->may_change;
}

static void *serve(void *arg)
{
        sg_loop_run(arg, SG_USEC_NEVER, NULL, NULL);
        return NULL;
}

static int start_server(struct world *w, struct sg_varlink_server **ret, const char *name, const char *path,
                        const struct sg_varlink_method *methods, size_t n_methods)
{
        const struct sg_varlink_interface interface = {name, ""};
        const struct sg_varlink_server_options options = {.interfaces = &interface,
                                                          .n_interfaces = 1,
                                                          .methods = methods,
                                                          .n_methods = n_methods,
                                                          .owner = w,
                                                          .may = may};
        struct sg_error err;

        return sg_varlink_server_new(ret, w->loop, &options) || sg_varlink_server_listen(*ret, path, (gid_t)-1, &err)
                       ? -1
                       : 0;
}

static int played_setup(void **state, const struct sg_varlink_method *gateway, size_t n_gateway,
                        const struct sg_varlink_method *ledger, size_t n_ledger)
{
        static struct world w;

        memset(&w, 0, sizeof(w));
        w.may_change = true;
        pthread_mutex_init(&w.lock, NULL);
        strcpy(w.directory, "/tmp/ctl-test-XXXXXX");
        if (!mkdtemp(w.directory))
                return -1;
        snprintf(w.control, sizeof(w.control), "%s/control.socket", w.directory);
        snprintf(w.ledger, sizeof(w.ledger), "%s/ledger.socket", w.directory);
        setenv("SCRIBE_CONTROL", w.control, 1);
        setenv("TZ", "UTC", 1);
        setenv("LC_ALL", "C.UTF-8", 1);
        *state = &w;
        if (sg_loop_new(&w.loop) ||
            start_server(&w, &w.gateway_server, "io.scribe.Gateway", w.control, gateway, n_gateway) ||
            start_server(&w, &w.ledger_server, "io.scribe.Ledger", w.ledger, ledger, n_ledger))
                return -1;
        return sg_thread_start(&w.thread, "served", serve, w.loop);
}

static int played_teardown(void **state)
{
        struct world *w = *state;

        sg_loop_stop_soon(w->loop);
        pthread_join(w->thread, NULL);
        sg_varlink_server_free(w->gateway_server);
        sg_varlink_server_free(w->ledger_server);
        sg_loop_free(w->loop);
        return rmdir(w->directory);
}

static void slurp(const char *path, char *out, size_t bytes)
{
        FILE *f = fopen(path, "r");
        size_t n;

        assert_non_null(f);
        n = fread(out, 1, bytes - 1, f);
        out[n] = '\0';
        fclose(f);
        unlink(path);
}

/* The exit status; what it printed is in w->out and w->err. */
static int ctl(struct world *w, const char *arguments)
{
        char command[1024], out[128], err[128];
        int status;

        snprintf(out, sizeof(out), "%s/out", w->directory);
        snprintf(err, sizeof(err), "%s/err", w->directory);
        snprintf(command, sizeof(command), "</dev/null '%s' %s >%s 2>%s", program, arguments, out, err);
        meet(w);
        status = system(command);
        meet(w);
        slurp(out, w->out, sizeof(w->out));
        slurp(err, w->err, sizeof(w->err));
        assert_true(WIFEXITED(status));
        assert_null(strchr(w->out, '\033'));
        assert_null(strchr(w->err, '\033'));
        return WEXITSTATUS(status);
}

static struct json_object *json(struct world *w)
{
        struct json_object *o = json_tokener_parse(w->out);

        assert_non_null(o);
        return o;
}

static void assert_has(const char *text, const char *part)
{
        if (!strstr(text, part))
                fail_msg("'%s' is missing in: %s", part, text);
}
