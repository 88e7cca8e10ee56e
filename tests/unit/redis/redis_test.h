/*
 * What the tests of the client share: a loop with a time limit, a client, and what it has told.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "redis/redis.h"

#define MSEC      SG_USEC_PER_MSEC
#define LIMIT_SEC 20

struct world {
        struct sg_loop *loop;
        struct sg_resolver *resolver;
        struct sg_redis *redis;
        struct sg_timer limit;
        unsigned n_ready, n_out;
        char why[SG_REDIS_WORDS_BYTES]; /* of the last on_out */
        bool frees_when_out;
        bool (*until)(struct world *w);
};

static inline void world_check(struct world *w)
{
        if (w->until && w->until(w))
                sg_loop_stop(w->loop);
}

static inline void world_on_ready(struct sg_redis *r, void *owner)
{
        struct world *w = owner;

        w->n_ready++;
        world_check(w);
}

static inline void world_on_out(struct sg_redis *r, const char *why, void *owner)
{
        struct world *w = owner;

        w->n_out++;
        (void)snprintf(w->why, sizeof(w->why), "%s", why);
        if (w->frees_when_out)
                w->redis = sg_redis_free(w->redis);
        world_check(w);
}

static const struct sg_redis_listener world_listener = {world_on_ready, world_on_out};

static inline void world_on_limit(struct sg_timer *t, void *owner)
{
        fail_msg("nothing happened within the time limit; the last outage: %s", ((struct world *)owner)->why);
}

static inline void world_init(struct world *w)
{
        *w = (struct world){.loop = NULL};
        assert_int_equal(sg_loop_new(&w->loop), 0);
        assert_int_equal(sg_resolver_new(&w->resolver, w->loop), 0);
        assert_int_equal(sg_timer_init(&w->limit, w->loop, world_on_limit, w), 0);
}

static inline void world_done(struct world *w)
{
        w->redis = sg_redis_free(w->redis);
        sg_timer_done(&w->limit);
        sg_resolver_free(w->resolver);
        sg_loop_free(w->loop);
}

static inline void world_connect(struct world *w, const struct sg_redis_options *options)
{
        assert_int_equal(sg_redis_new(&w->redis, w->loop, w->resolver, options, &world_listener, w), 0);
}

static inline void world_run_until(struct world *w, bool (*until)(struct world *w))
{
        w->until = until;
        if (!until(w)) {
                sg_timer_start(&w->limit, LIMIT_SEC * SG_USEC_PER_SEC);
                sg_loop_run(w->loop, SG_USEC_NEVER, NULL, NULL);
                sg_timer_stop(&w->limit);
        }
        w->until = NULL;
}

static inline bool world_is_ready(struct world *w)
{
        return w->redis && sg_redis_is_ready(w->redis);
}

static inline bool world_was_out(struct world *w)
{
        return w->n_out > 0;
}

/* ---- one command and what came of it */

struct asked {
        struct sg_redis_command command;
        struct world *world;
        unsigned n_answers;
        bool is_lost;
        enum sg_redis_kind kind;
        int64_t integer;
        char text[256];
        unsigned place; /* among all answers of this world's test */
        bool frees, sends_again;
};

static unsigned n_answers_in_all;

static inline void asked_on_reply(struct sg_redis_command *c, const struct sg_redis_reply *reply, void *owner)
{
        struct asked *a = owner;

        a->n_answers++;
        a->place = ++n_answers_in_all;
        a->is_lost = !reply;
        if (reply) {
                a->kind = reply->kind;
                a->integer = reply->integer;
                (void)snprintf(a->text, sizeof(a->text), "%s", reply->text.p ? reply->text.p : "");
        }
        if (a->frees)
                a->world->redis = sg_redis_free(a->world->redis);
        world_check(a->world);
}

static inline int ask_words(struct world *w, struct asked *a, const struct sg_str *words, size_t n)
{
        a->world = w;
        a->command.on_reply = asked_on_reply;
        a->command.owner = a;
        return sg_redis_send(w->redis, &a->command, words, n);
}

/* Words with a blank between them. */
static inline int ask(struct world *w, struct asked *a, const char *line)
{
        struct sg_str words[16], rest = sg_str_from(line);
        size_t n = 0;

        while (rest.n) {
                assert_true(n < SG_N_ELEMENTS(words));
                (void)sg_str_cut(&rest, ' ', &words[n++]);
        }
        return ask_words(w, a, words, n);
}
