/*
 * Subjects with limits from texts, tables in a directory of the test's own, and a clock that the test turns.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/ip.h"
#include "limit/limit.h"
#include "limit/table.h"

#define SEC    SG_USEC_PER_SEC
#define MINUTE (60 * SEC)
#define HOUR   (3600 * SEC)
#define DAY    (86400 * SEC)
#define NOW    (1000000 * SEC)
#define WALL   (UINT64_C(1795305600) * SEC) /* 2026-11-22 00:00:00 UTC */

#define LIMITED(who_kind, who_id, ...)                                                                                 \
        limited_from(who_kind, who_id, (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static inline struct sg_limited limited_from(enum sg_limit_subject kind, uint64_t id, const char *const *texts)
{
        struct sg_limited who = {.kind = kind, .id = id, .name = "subject"};
        struct sg_limit limits[SG_LIMITS_MAX];
        struct sg_error err = {0};
        size_t n = 0;

        for (; texts[n]; n++)
                if (sg_limit_parse(&limits[n], sg_str_from(texts[n]), &err))
                        fail_msg("%s", err.text);
        if (sg_limit_set_new(&who.set, limits, n, &err))
                fail_msg("%s", err.text);
        return who;
}

static inline struct sg_limits *limits_new(const char *path, const char *saved_path, uint64_t now_usec,
                                           uint64_t wall_usec, char text[256])
{
        const struct sg_limits_options options = {.path = path, .saved_path = saved_path};
        struct sg_limits *l = NULL;

        assert_int_equal(sg_limits_new(&l, &options, now_usec, wall_usec, text), 0);
        return l;
}

static inline struct sg_limits *limits_in_memory(void)
{
        char text[256];
        struct sg_limits *l = limits_new(NULL, NULL, NOW, WALL, text);

        assert_string_equal(text, "");
        return l;
}

static inline struct sg_limit_ask ask_of(const struct sg_limited *who, size_t n_who, enum sg_limit_kind kind,
                                         uint64_t n, uint64_t passed_usec)
{
        struct sg_limit_ask a = {.who = who,
                                 .n_who = n_who,
                                 .now_usec = NOW + passed_usec,
                                 .wall_usec = WALL + passed_usec,
                                 .currency = "USD"};

        a.n_of[kind] = n;
        return a;
}

/* n of one kind, passed_usec after NOW. What sg_limits_reserve() says. */
static inline int reserve(struct sg_limits *l, const struct sg_limited *who, enum sg_limit_kind kind, uint64_t n,
                          uint64_t passed_usec, struct sg_reservation *r, struct sg_limit_refusal *ret)
{
        const struct sg_limit_ask ask = ask_of(who, 1, kind, n, passed_usec);
        struct sg_limit_refusal mine;

        return sg_limits_reserve(l, &ask, r, ret ? ret : &mine);
}

static inline void settle(struct sg_limits *l, struct sg_reservation *r, uint64_t n_tokens, uint64_t cost,
                          uint64_t passed_usec)
{
        sg_limits_settle(l, r, n_tokens, cost, NOW + passed_usec, WALL + passed_usec);
        assert_int_equal(r->n, 0);
}

static inline struct sg_limit_state view(struct sg_limits *l, const struct sg_limited *who, size_t at,
                                         uint64_t passed_usec)
{
        struct sg_limit_state s;

        sg_limits_view(l, who, at, NOW + passed_usec, WALL + passed_usec, &s);
        return s;
}

static inline void assert_nothing_is_held(const struct sg_limits *l)
{
        struct sg_limits_counts c;

        sg_limits_count(l, &c);
        for (int k = 0; k < SG_LIMIT_KIND_N; k++)
                assert_int_equal(c.reserved[k], 0);
}
