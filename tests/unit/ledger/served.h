/*
 * The server over a real socket: its loop turns in a thread, the calls come from the test. Shared by the tests of its verbs.
 */
#pragma once

#include <pthread.h>
#include <sqlite3.h>
#include <string.h>

#include "common.h"

#include "ledger/verbs.h"

#define ERROR_BYTES 128
#define UNUSED      __attribute__((__unused__))

struct bench {
        struct sg_loop *loop;
        struct sg_keeper *keeper;
        struct sg_drainer *drainer;
        struct sg_ledger_server *server;
        struct sg_varlink_caller *caller;
        char path[256];
        pthread_t thread;
};

UNUSED static void *turn(void *arg)
{
        sg_loop_run(((struct bench *)arg)->loop, SG_USEC_NEVER, NULL, NULL);
        return NULL;
}

UNUSED static struct sg_varlink_caller *connect_to(const struct bench *b)
{
        struct sg_varlink_caller *caller = NULL;
        struct sg_error err = {0};

        assert_int_equal(sg_varlink_caller_new(&caller, b->path, &err), 0);
        return caller;
}

static struct sg_config *prices_in_force; /* of the next bench; NULL: none */

UNUSED static void bench_start(struct bench *b, const struct sg_ledger_access *access)
{
        static const struct sg_ledger_access nobody = {0};
        struct sg_ledger_parts parts = {0};
        struct sg_error err = {0};

        *b = (struct bench){0};
        (void)snprintf(b->path, sizeof(b->path), "%s/ledger.socket", test_dir);
        assert_int_equal(sg_loop_new(&b->loop), 0);
        parts.store = &options_of_test;
        assert_int_equal(sg_keeper_new(&b->keeper, b->loop, &options_of_test, &err), 0);
        assert_int_equal(sg_drainer_new(&b->drainer, b->loop, &options_of_test, journal_dir, journal_dir, &err), 0);
        parts.keeper = b->keeper;
        parts.drainer = b->drainer;
        assert_int_equal(sg_ledger_server_new(&b->server, b->loop, &parts, access ? access : &nobody, &err), 0);
        assert_int_equal(sg_ledger_server_listen(b->server, b->path, &err), 0);
        if (prices_in_force)
                sg_ledger_server_set_prices(b->server, prices_in_force);
        assert_int_equal(pthread_create(&b->thread, NULL, turn, b), 0);
        b->caller = connect_to(b);
}

UNUSED static void bench_stop(struct bench *b)
{
        sg_varlink_caller_free(b->caller);
        sg_loop_stop_soon(b->loop);
        assert_int_equal(pthread_join(b->thread, NULL), 0);
        sg_keeper_free(b->keeper);
        sg_drainer_free(b->drainer);
        sg_ledger_server_free(b->server);
        sg_loop_free(b->loop);
}

UNUSED static struct json_object *receive(struct sg_varlink_caller *caller, char error[ERROR_BYTES],
                                          bool *ret_continues)
{
        struct json_object *reply = NULL;
        struct sg_error err = {0};

        assert_int_equal(sg_varlink_caller_receive(caller, &reply, error, ERROR_BYTES, ret_continues, &err), 0);
        return reply;
}

UNUSED static void send_to(struct sg_varlink_caller *caller, const char *method, const char *parameters, bool more)
{
        struct json_object *o = json_tokener_parse(parameters);
        struct sg_error err = {0};
        char name[64];

        assert_non_null(o);
        (void)snprintf(name, sizeof(name), "io.scribe.Ledger.%s", method);
        assert_int_equal(sg_varlink_caller_send(caller, name, o, more, &err), 0);
}

/* The answer, or its error's last word in error[]. */
UNUSED static struct json_object *call(struct bench *b, const char *method, const char *parameters,
                                       char error[ERROR_BYTES])
{
        struct json_object *reply;
        const char *dot;
        bool continues;

        send_to(b->caller, method, parameters, false);
        reply = receive(b->caller, error, &continues);
        assert_false(continues);
        dot = strrchr(error, '.');
        if (dot)
                memmove(error, dot + 1, strlen(dot));
        return reply;
}

UNUSED static void expect_error(struct bench *b, const char *method, const char *parameters, const char *expected,
                                const char *text)
{
        char error[ERROR_BYTES];
        struct json_object *o = call(b, method, parameters, error);

        assert_string_equal(error, expected);
        if (text && !strstr(json_object_get_string(o), text))
                fail_msg("%s %.200s is told: %s", method, parameters, json_object_get_string(o));
        json_object_put(o);
}

UNUSED static struct json_object *expect(struct bench *b, const char *method, const char *parameters)
{
        char error[ERROR_BYTES];
        struct json_object *o = call(b, method, parameters, error);

        if (error[0])
                print_error("%s: %s\n", error, json_object_get_string(o));
        assert_string_equal(error, "");
        return o;
}

/* "key.name" in o. */
UNUSED static struct json_object *get(struct json_object *o, const char *path)
{
        struct sg_str rest = sg_str_from(path), part;
        bool has_more = true;

        while (has_more) {
                char name[64];

                has_more = sg_str_cut(&rest, '.', &part);
                (void)snprintf(name, sizeof(name), SG_STR_FMT, SG_STR_ARG(part));
                assert_true(json_object_object_get_ex(o, name, &o));
        }
        return o;
}

UNUSED static const char *get_text(struct json_object *o, const char *path)
{
        return json_object_get_string(get(o, path));
}

UNUSED static int64_t get_int(struct json_object *o, const char *path)
{
        return json_object_get_int64(get(o, path));
}

UNUSED static struct json_object *at(struct json_object *array, size_t i)
{
        assert_true(i < json_object_array_length(array));
        return json_object_array_get_idx(array, i);
}

struct watch {
        struct sg_varlink_caller *caller;
        size_t n_keys;
        int64_t version;
};

UNUSED static struct json_object *next(struct watch *w)
{
        char error[ERROR_BYTES];
        bool continues = false;
        struct json_object *o = receive(w->caller, error, &continues);

        assert_string_equal(error, "");
        assert_true(continues);
        return o;
}

/* Reads the picture to its end. */
UNUSED static void watch_start(struct bench *b, struct watch *w)
{
        *w = (struct watch){.caller = connect_to(b)};
        send_to(w->caller, "WatchKeys", "{}", true);
        for (;;) {
                struct json_object *o = next(w), *changes;
                bool is_complete = json_object_object_get_ex(o, "complete", NULL);

                if (json_object_object_get_ex(o, "changes", &changes)) {
                        assert_true(json_object_array_length(changes) <= 1000);
                        w->n_keys += json_object_array_length(changes);
                }
                if (is_complete)
                        w->version = get_int(o, "version");
                json_object_put(o);
                if (is_complete)
                        return;
        }
}

UNUSED static void run_sql(const char *sql)
{
        sqlite3 *db;

        assert_int_equal(sqlite3_open(db_path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(db);
}

/* The next that has that member: totals come when they do. */
UNUSED static struct json_object *next_news(struct watch *w, const char *member)
{
        struct json_object *o = next(w);

        while (!json_object_object_get_ex(o, member, NULL)) {
                json_object_put(o);
                o = next(w);
        }
        return o;
}
