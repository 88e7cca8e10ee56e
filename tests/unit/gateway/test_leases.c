/* Several nodes in one process, each with words of its own, that share limits through a real redis-server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../redis/server.h"
#include "../skip.h"
#include "gateway/leases.h"

#define N_NODES   3
#define LIMIT_SEC 30

struct world;

struct node {
        struct world *world;
        struct sg_limits *limits;
        struct sg_leases *leases;
        char directory[64], fleet[96], nodes[96];
        uint64_t n_moved, n_trips_wanted;
        bool has_left;
};

struct world {
        struct sg_loop *loop;
        struct sg_timer limit;
        struct redis_server server;
        struct node nodes[N_NODES];
        struct sg_limit_set *set;
        bool (*until)(struct world *w);
};

static void on_limit(struct sg_timer *t, void *owner)
{
        fail_msg("nothing happened within the time limit");
}

static void on_turn(void *owner)
{
        struct world *w = owner;

        if (w->until(w))
                sg_loop_stop(w->loop);
}

static void run_until(struct world *w, bool (*until)(struct world *w))
{
        w->until = until;
        if (until(w))
                return;
        sg_timer_start(&w->limit, LIMIT_SEC * SG_USEC_PER_SEC);
        sg_loop_run(w->loop, 2 * SG_USEC_PER_MSEC, on_turn, w);
        sg_timer_stop(&w->limit);
}

static void on_moved(void *owner)
{
        ((struct node *)owner)->n_moved++;
}

static void start_node(struct world *w, struct node *n, const char *url)
{
        const struct sg_config_redis c = {
                .url = url, .socket_path = url ? url + sizeof("unix:") - 1 : NULL, .prefix = "t:"};
        char text[256];

        n->world = w;
        if (!n->directory[0]) {
                (void)snprintf(n->directory, sizeof(n->directory), "/tmp/scribe-leases-XXXXXX");
                assert_non_null(mkdtemp(n->directory));
                (void)snprintf(n->fleet, sizeof(n->fleet), "%s/fleet", n->directory);
                (void)snprintf(n->nodes, sizeof(n->nodes), "%s/nodes", n->directory);
        }
        assert_int_equal(
                sg_limits_new(&n->limits, &(struct sg_limits_options){}, sg_clock_usec(), sg_clock_wall_usec(), text),
                0);
        assert_int_equal(sg_leases_new(&n->leases,
                                       &(struct sg_leases_options){.loop = w->loop,
                                                                   .limits = n->limits,
                                                                   .fleet_path = n->fleet,
                                                                   .nodes_path = n->nodes,
                                                                   .on_moved = on_moved,
                                                                   .owner = n},
                                       NULL),
                         0);
        assert_int_equal(sg_leases_configure(n->leases, &c, NULL), 0);
}

static void stop_node(struct node *n)
{
        n->leases = sg_leases_free(n->leases);
        n->limits = sg_limits_free(n->limits);
        (void)unlink(n->fleet);
        (void)unlink(n->nodes);
        (void)rmdir(n->directory);
}

static bool start(struct world *w, const char *limit)
{
        struct sg_limit l;
        char url[128];

        *w = (struct world){};
        if (!redis_server_start(&w->server, 0, NULL))
                return false;
        assert_int_equal(sg_loop_new(&w->loop), 0);
        assert_int_equal(sg_timer_init(&w->limit, w->loop, on_limit, w), 0);
        assert_int_equal(sg_limit_parse(&l, sg_str_from(limit), NULL), 0);
        assert_int_equal(sg_limit_set_new(&w->set, &l, 1, NULL), 0);
        (void)snprintf(url, sizeof(url), "unix:%s", w->server.socket);
        for (size_t i = 0; i < N_NODES; i++)
                start_node(w, &w->nodes[i], url);
        return true;
}

static void stop(struct world *w)
{
        for (size_t i = 0; i < N_NODES; i++)
                stop_node(&w->nodes[i]);
        sg_limit_set_unref(w->set);
        sg_timer_done(&w->limit);
        sg_loop_free(w->loop);
        redis_server_stop(&w->server);
}

static bool all_are_ready(struct world *w)
{
        for (size_t i = 0; i < N_NODES; i++) {
                struct sg_leases_state s;

                sg_leases_look(w->nodes[i].leases, &s);
                if (!s.is_connected || s.n_nodes != N_NODES || s.is_rebuilding || s.is_alone)
                        return false;
        }
        return true;
}

/* Each node has a set of its own: what a set remembers of words is one table's. */
static int take(struct world *w, struct node *n, uint64_t amount, struct sg_limit_refusal *refusal,
                struct sg_reservation *r)
{
        SG_AUTO(sg_limit_set_unref) struct sg_limit_set *set = NULL;
        struct sg_limit_ask ask = {.n_who = 1, .now_usec = sg_clock_usec(), .wall_usec = sg_clock_wall_usec()};
        struct sg_limited who = {SG_SUBJECT_KEY, 1, "alice", NULL};
        int e;

        assert_int_equal(sg_limit_set_new(&set, &w->set->at[0].limit, 1, NULL), 0);
        who.set = set;
        ask.who = &who;
        ask.n_of[w->set->at[0].limit.kind] = amount;
        e = sg_limits_reserve(n->limits, &ask, r, refusal);
        if (e == SG_LIMIT_E_WAIT)
                sg_leases_want(n->leases);
        return e;
}

/* ---- a thousand against a hundred */

static uint64_t n_taken, n_refused, n_tries_left;
static bool may_be_alone;

static bool all_are_served(struct world *w)
{
        for (size_t i = 0; i < N_NODES && n_tries_left; i++)
                for (unsigned k = 0; k < 4 && n_tries_left; k++) {
                        struct sg_reservation r = {};
                        struct sg_limit_refusal refusal;
                        const int e = take(w, &w->nodes[i], 1, &refusal, &r);

                        if (e == SG_LIMIT_E_WAIT)
                                break;
                        n_tries_left--;
                        n_taken += e == 0;
                        n_refused += e == SG_LIMIT_E_REFUSED;
                        if (e == SG_LIMIT_E_REFUSED)
                                assert_int_equal(refusal.is_alone, may_be_alone);
                        sg_limits_settle(w->nodes[i].limits, &r, 0, 0, sg_clock_usec(), sg_clock_wall_usec());
                }
        return !n_tries_left;
}

static void test_a_thousand_against_a_hundred(void **state)
{
        struct sg_leases_state s;
        uint64_t n_trips = 0;
        struct world w;

        if (!start(&w, "100 requests/day"))
                TEST_SKIP("no redis-server");
        run_until(&w, all_are_ready);
        n_taken = n_refused = 0;
        n_tries_left = 1000;
        run_until(&w, all_are_served);
        assert_int_equal(n_taken, 100);
        assert_int_equal(n_refused, 900);
        for (size_t i = 0; i < N_NODES; i++) {
                sg_leases_look(w.nodes[i].leases, &s);
                n_trips += s.n_round_trips;
        }
        print_message("# %" PRIu64 " round trips for 1000 requests that spend a limit\n", n_trips);
        stop(&w);
}

/* ---- round trips when there is enough */

static uint64_t begun_usec;

static bool three_seconds_at_full_speed(struct world *w)
{
        for (size_t i = 0; i < N_NODES; i++)
                for (unsigned k = 0; k < 20; k++) {
                        struct sg_reservation r = {};
                        struct sg_limit_refusal refusal;
                        const int e = take(w, &w->nodes[i], 1, &refusal, &r);

                        n_taken += e == 0;
                        n_refused += e == SG_LIMIT_E_REFUSED;
                        sg_limits_settle(w->nodes[i].limits, &r, 0, 0, sg_clock_usec(), sg_clock_wall_usec());
                        if (e)
                                break;
                }
        return sg_clock_usec() - begun_usec > 3 * SG_USEC_PER_SEC;
}

static void test_round_trips_at_saturation(void **state)
{
        struct sg_leases_state s;
        uint64_t n_trips = 0;
        struct world w;

        if (!start(&w, "10M requests/hour"))
                TEST_SKIP("no redis-server");
        run_until(&w, all_are_ready);
        n_taken = n_refused = 0;
        begun_usec = sg_clock_usec();
        run_until(&w, three_seconds_at_full_speed);
        for (size_t i = 0; i < N_NODES; i++) {
                sg_leases_look(w.nodes[i].leases, &s);
                n_trips += s.n_round_trips;
        }
        print_message("# %" PRIu64 " requests, %" PRIu64 " round trips, %" PRIu64 " refused\n", n_taken, n_trips,
                      n_refused);
        assert_int_equal(n_refused, 0);
        assert_true(n_taken > 50 * n_trips);
        stop(&w);
}

/* ---- Redis goes, and comes back */

static bool all_are_alone(struct world *w)
{
        for (size_t i = 0; i < N_NODES; i++) {
                struct sg_leases_state s;

                sg_leases_look(w->nodes[i].leases, &s);
                if (!s.is_alone)
                        return false;
        }
        return true;
}

/* How much is left for all is heard once a second. */
static bool all_have_heard(struct world *w)
{
        for (size_t i = 0; i < N_NODES; i++) {
                struct sg_leases_state s;

                sg_leases_look(w->nodes[i].leases, &s);
                if (s.n_round_trips < w->nodes[i].n_trips_wanted)
                        return false;
        }
        return true;
}

static bool ninety_are_taken(struct world *w)
{
        n_tries_left = 12;
        (void)all_are_served(w);
        return n_taken >= 90;
}

static void let_all_hear(struct world *w)
{
        for (size_t i = 0; i < N_NODES; i++) {
                struct sg_leases_state s;

                sg_leases_look(w->nodes[i].leases, &s);
                w->nodes[i].n_trips_wanted = s.n_round_trips + 3;
        }
        run_until(w, all_have_heard);
}

static void test_without_redis_each_goes_on_with_its_share(void **state)
{
        struct sg_leases_state s;
        struct world w;

        if (!start(&w, "90 requests/day"))
                TEST_SKIP("no redis-server");
        run_until(&w, all_are_ready);
        n_taken = n_refused = 0;
        n_tries_left = 30;
        run_until(&w, all_are_served);
        assert_int_equal(n_taken, 30);
        let_all_hear(&w);
        redis_server_signal(&w.server, SIGSTOP);
        run_until(&w, all_are_alone);
        n_tries_left = 400;
        may_be_alone = true;
        run_until(&w, all_are_served);
        may_be_alone = false;
        sg_leases_look(w.nodes[0].leases, &s);
        assert_true(s.out_since_wall_usec > 0);
        assert_string_equal(s.last_error, "it gave no answer within 2000 ms");
        /* What was granted, and a third of the rest each: no more than all of it, and most of that. */
        print_message("# %" PRIu64 " of 90 were taken\n", n_taken);
        assert_true(n_taken <= 90 && n_taken >= 55);
        redis_server_signal(&w.server, SIGCONT);
        run_until(&w, all_are_ready);
        run_until(&w, ninety_are_taken);
        n_tries_left = 200;
        run_until(&w, all_are_served);
        assert_int_equal(n_taken, 90);
        stop(&w);
}

/* ---- a node leaves */

static void on_left(void *owner)
{
        ((struct node *)owner)->has_left = true;
}

static bool first_has_left(struct world *w)
{
        return w->nodes[0].has_left;
}

static void test_what_is_unused_goes_back_with_the_node(void **state)
{
        struct world w;

        if (!start(&w, "20 concurrent"))
                TEST_SKIP("no redis-server");
        run_until(&w, all_are_ready);
        n_taken = n_refused = 0;
        n_tries_left = 60;
        run_until(&w, all_are_served);
        assert_int_equal(n_taken, 60); /* each ends at once */
        sg_leases_leave(w.nodes[0].leases, on_left, &w.nodes[0]);
        run_until(&w, first_has_left);
        stop(&w);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_thousand_against_a_hundred),
                cmocka_unit_test(test_round_trips_at_saturation),
                cmocka_unit_test(test_without_redis_each_goes_on_with_its_share),
                cmocka_unit_test(test_what_is_unused_goes_back_with_the_node),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
