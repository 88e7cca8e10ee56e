/*
 * What the tests of probes share: a loop of their own with a time limit, a configuration from text, and waiting for what
 * shall be.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/build.h"
#include "probe/probe.h"

struct world {
        char directory[64];
        struct sg_loop *loop;
        struct sg_probes *probes;
        struct sg_timer deadline;
        bool (*is_there)(const struct world *w); /* what is waited for */
        bool is_late;
        void *more; /* of the test */
};

static inline int listening_socket(uint16_t *ret_port)
{
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t n = sizeof(at);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_true(fd >= 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
        assert_int_equal(listen(fd, 64), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &n), 0);
        *ret_port = ntohs(at.sin_port);
        return fd;
}

static inline void on_late(struct sg_timer *t, void *owner)
{
        struct world *w = owner;

        w->is_late = true;
        sg_loop_stop(w->loop);
}

static inline void after_turn(void *owner)
{
        struct world *w = owner;

        sg_rcu_quiescent();
        if (w->is_there(w))
                sg_loop_stop(w->loop);
}

static inline void wait_until(struct world *w, bool (*is_there)(const struct world *w))
{
        w->is_there = is_there;
        sg_timer_start(&w->deadline, 20 * SG_USEC_PER_SEC);
        sg_loop_run(w->loop, SG_USEC_NEVER, after_turn, w);
        sg_timer_stop(&w->deadline);
        assert_false(w->is_late);
}

static inline int set_up(void **state)
{
        struct world *w = calloc(1, sizeof(*w));

        assert_non_null(w);
        snprintf(w->directory, sizeof(w->directory), "/tmp/sg-probe-XXXXXX");
        assert_non_null(mkdtemp(w->directory));
        sg_rcu_register();
        assert_int_equal(sg_loop_new(&w->loop), 0);
        assert_int_equal(sg_probes_new(&w->probes, w->loop), 0);
        assert_int_equal(sg_timer_init(&w->deadline, w->loop, on_late, w), 0);
        *state = w;
        return 0;
}

static inline int tear_down(void **state)
{
        struct world *w = *state;
        char path[128];

        w->probes = sg_probes_free(w->probes);
        sg_timer_done(&w->deadline);
        sg_loop_free(w->loop);
        sg_rcu_barrier();
        sg_rcu_unregister();
        snprintf(path, sizeof(path), "%s/gateway.conf", w->directory);
        unlink(path);
        rmdir(w->directory);
        free(w);
        return 0;
}

static inline struct sg_config *config_of(struct world *w, const char *text)
{
        struct sg_config *c = NULL;
        struct sg_error err = {0};
        char path[128];
        FILE *f;

        snprintf(path, sizeof(path), "%s/gateway.conf", w->directory);
        f = fopen(path, "w");
        assert_non_null(f);
        assert_true(fputs(text, f) >= 0);
        assert_int_equal(fclose(f), 0);
        if (sg_config_read(&c, w->directory, &err))
                fail_msg("%s: %s", err.where, err.text);
        return c;
}

static inline int try_to_take(struct world *w, const char *text, struct sg_error *err)
{
        SG_AUTO(sg_config_unref) struct sg_config *c = config_of(w, text);
        struct sg_probe_set *s;
        int r = sg_probes_prepare(&s, w->probes, c, NULL, err);

        if (!r)
                sg_probes_take(w->probes, s);
        return r;
}

static inline void take(struct world *w, const char *text)
{
        struct sg_error err = {0};

        assert_int_equal(try_to_take(w, text, &err), 0);
}
