/*
 * A small service for the tests, on a socket in a directory of its own, served by a thread of its own.
 *
 * test.Echo(text, number, flag, list)  what came
 * test.Keep()                          answered by the next test.Release()
 * test.Count(n)         streams        n answers and a last one
 * test.Flood()          streams        until the queue is full
 * test.Long(n, bytes)   streams        n answers of that size, each when the one before is sent
 * test.Change()         right CHANGE   refused while may_change is false
 * test.Missing()                       declared but not there
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/thread.h"
#include "varlink/varlink.h"

struct service {
        char directory[64], path[96];
        struct sg_loop *loop;
        struct sg_varlink_server *server;
        pthread_t thread;
        struct sg_varlink_call *kept;
        struct sg_varlink_call *longs; /* of test.Long */
        unsigned n_left;
        size_t bytes;
        _Atomic unsigned n_calls, n_gone, n_most_queued;
        atomic_bool may_change;
        struct sg_varlink_peer peer; /* of the last test.Change */
        int gone_fd, kept_fd;        /* eventfds: one per event */
};

static inline void signal_event(int fd)
{
        uint64_t one = 1;

        assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
}

static inline void await_event(int fd)
{
        struct pollfd p = {.fd = fd, .events = POLLIN};
        uint64_t n;

        assert_int_equal(poll(&p, 1, 20000), 1);
        assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
}

static inline struct json_object *object_of(const char *text)
{
        struct json_object *o = json_tokener_parse(text);

        assert_non_null(o);
        return o;
}

static inline void run_echo(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        struct service *s = owner;
        struct json_object *text, *number, *flag, *list, *out;
        const struct sg_varlink_parameter expected[] = {
                {"text", SG_VARLINK_STRING, true, &text},
                {"number", SG_VARLINK_INT, false, &number},
                {"flag", SG_VARLINK_BOOL, false, &flag},
                {"list", SG_VARLINK_STRINGS, false, &list},
        };

        s->n_calls++;
        if (!sg_varlink_read(call, parameters, expected, SG_N_ELEMENTS(expected)))
                return;
        out = json_object_new_object();
        for (size_t i = 0; i < SG_N_ELEMENTS(expected); i++)
                if (*expected[i].ret)
                        json_object_object_add(out, expected[i].name, json_object_get(*expected[i].ret));
        sg_varlink_reply(call, out);
}

static inline void on_kept_gone(struct sg_varlink_call *call, void *owner)
{
        struct service *s = owner;

        if (s->kept == call)
                s->kept = NULL;
        if (s->longs == call)
                s->longs = NULL;
        s->n_gone++;
        signal_event(s->gone_fd);
}

static inline void run_keep(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        struct service *s = owner;

        s->kept = call;
        sg_varlink_call_watch(call, on_kept_gone, s);
        signal_event(s->kept_fd);
}

static inline void run_release(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        struct service *s = owner;

        if (s->kept)
                sg_varlink_reply(s->kept, object_of("{\"kept\":true}"));
        s->kept = NULL;
        sg_varlink_reply(call, NULL);
}

static inline void run_count(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        struct json_object *n;
        const struct sg_varlink_parameter expected[] = {{"n", SG_VARLINK_INT, true, &n}};

        if (!sg_varlink_expect_more(call) || !sg_varlink_read(call, parameters, expected, 1))
                return;
        for (int64_t i = 0; i < json_object_get_int64(n); i++) {
                struct json_object *o = json_object_new_object();

                json_object_object_add(o, "i", json_object_new_int64(i));
                assert_true(sg_varlink_reply_more(call, o));
        }
        sg_varlink_reply(call, object_of("{\"last\":true}"));
}

static inline struct json_object *of_bytes(size_t n)
{
        struct json_object *o = json_object_new_object();
        char *text = malloc(n);

        memset(text, 'x', n);
        json_object_object_add(o, "x", json_object_new_string_len(text, (int)n));
        free(text);
        return o;
}

static inline void run_flood(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        struct service *s = owner;

        sg_varlink_call_watch(call, on_kept_gone, s);
        for (unsigned i = 0; i < 100; i++)
                if (!sg_varlink_reply_more(call, of_bytes(1u << 20)))
                        return;
        fail_msg("100 MiB were queued");
}

static inline void long_next(struct sg_varlink_call *call, void *owner)
{
        struct service *s = owner;

        s->n_most_queued = SG_MAX(s->n_most_queued, (unsigned)sg_varlink_call_queued(call));
        if (s->n_left-- == 0) {
                s->longs = NULL;
                sg_varlink_reply(call, NULL);
                return;
        }
        if (!sg_varlink_reply_more(call, of_bytes(s->bytes)))
                return; /* gone, of which on_kept_gone is told */
        s->n_most_queued = SG_MAX(s->n_most_queued, (unsigned)sg_varlink_call_queued(call));
        sg_varlink_call_when_drained(call, long_next, s);
}

static inline void run_long(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        struct service *s = owner;
        struct json_object *n, *bytes;
        const struct sg_varlink_parameter expected[] = {{"n", SG_VARLINK_INT, true, &n},
                                                        {"bytes", SG_VARLINK_INT, true, &bytes}};

        if (!sg_varlink_expect_more(call) || !sg_varlink_read(call, parameters, expected, 2))
                return;
        s->n_left = (unsigned)json_object_get_int64(n);
        s->bytes = (size_t)json_object_get_int64(bytes);
        s->longs = call;
        sg_varlink_call_watch(call, on_kept_gone, s);
        long_next(call, s);
}

static inline void run_change(struct sg_varlink_call *call, struct json_object *parameters, void *owner)
{
        struct service *s = owner;

        s->peer = *sg_varlink_call_peer(call);
        sg_varlink_reply(call, NULL);
}

static inline bool may(const struct sg_varlink_peer *peer, enum sg_varlink_right right, const char **ret_needed,
                       void *owner)
{
        struct service *s = owner;

        if (right == SG_VARLINK_VIEW || s->may_change)
                return true;
        *ret_needed = "group scribe-gateway";
        return false;
}

static inline void *serve(void *arg)
{
        struct service *s = arg;

        sg_loop_run(s->loop, SG_USEC_NEVER, NULL, NULL);
        return NULL;
}

static inline int service_new(struct service *s)
{
        static const struct sg_varlink_interface interfaces[] = {{"test", "interface test\nmethod Echo() -> ()\n"}};
        static const struct sg_varlink_method methods[] = {
                {"test.Echo", SG_VARLINK_VIEW, run_echo},       {"test.Keep", SG_VARLINK_VIEW, run_keep},
                {"test.Release", SG_VARLINK_VIEW, run_release}, {"test.Count", SG_VARLINK_VIEW, run_count},
                {"test.Flood", SG_VARLINK_VIEW, run_flood},     {"test.Long", SG_VARLINK_VIEW, run_long},
                {"test.Change", SG_VARLINK_CHANGE, run_change}, {"test.Missing", SG_VARLINK_VIEW, NULL},
        };
        const struct sg_varlink_server_options options = {
                .vendor = "Scribe",
                .product = "test",
                .version = "1",
                .url = "https://example.org/",
                .interfaces = interfaces,
                .n_interfaces = 1,
                .methods = methods,
                .n_methods = SG_N_ELEMENTS(methods),
                .owner = s,
                .may = may,
        };

        memset(s, 0, sizeof(*s));
        strcpy(s->directory, "/tmp/varlink-test-XXXXXX");
        if (!mkdtemp(s->directory))
                return -1;
        snprintf(s->path, sizeof(s->path), "%s/socket", s->directory);
        s->gone_fd = eventfd(0, EFD_SEMAPHORE);
        s->kept_fd = eventfd(0, EFD_SEMAPHORE);
        return sg_loop_new(&s->loop) || sg_varlink_server_new(&s->server, s->loop, &options) ? -1 : 0;
}

static inline void service_start(struct service *s)
{
        assert_int_equal(sg_thread_start(&s->thread, "service", serve, s), 0);
}

static inline void service_stop(struct service *s)
{
        if (!s->thread)
                return;
        sg_loop_stop_soon(s->loop);
        pthread_join(s->thread, NULL);
        s->thread = 0;
}

static inline void service_free(struct service *s)
{
        service_stop(s);
        s->server = sg_varlink_server_free(s->server);
        s->loop = sg_loop_free(s->loop);
        close(s->gone_fd);
        close(s->kept_fd);
        unlink(s->path);
        assert_int_equal(rmdir(s->directory), 0);
}

/* ---- the raw client's end */

static inline int raw_connect(const char *path)
{
        struct sockaddr_un a = {.sun_family = AF_UNIX};
        struct timeval limit = {.tv_sec = 20};
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
        assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
        return fd;
}

static inline void raw_send(int fd, const void *data, size_t n)
{
        assert_int_equal(send(fd, data, n, MSG_NOSIGNAL), n);
}

/* With the NUL at the end. */
#define RAW_SEND(fd, literal) raw_send(fd, "" literal, sizeof(literal))

/* One message, or "" at the end of the connection. */
static inline const char *raw_receive(int fd)
{
        static char text[4096];
        size_t n = 0;

        for (;;) {
                ssize_t got = recv(fd, text + n, 1, 0);

                if (got < 0 && errno == ECONNRESET)
                        got = 0;
                assert_true(got >= 0);
                if (got == 0 || text[n] == '\0') {
                        text[n] = '\0';
                        return text;
                }
                assert_true(++n < sizeof(text));
        }
}
