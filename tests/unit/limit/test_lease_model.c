/*
 * The whole protocol with a turned clock: the real lease.c of several nodes, the real script in a real redis-server, and
 * between them a net that loses questions and answers, brings questions too late, cuts nodes off; nodes that crash, and
 * a Redis that forgets. Each run has its seed; what workers take is counted beside it, and compared with the limit.
 *
 * SCRIBE_LEASE_RUNS: how many runs; SCRIBE_LEASE_SEED: only that one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <hiredis.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../redis/server.h"
#include "../skip.h"
#include "limit/lease.h"

#define MSEC       SG_USEC_PER_MSEC
#define SEC        SG_USEC_PER_SEC
#define NODES_MAX  5
#define N_WORDS    3
#define LATE_MAX   4
#define RUNS       200
#define STEPS      150
#define ARGS_MAX   (3 + SG_LEASE_KEYS + N_WORDS + SG_LEASE_ARGS + N_WORDS * SG_LEASE_WORDS)
#define WORD_BYTES 64

struct purse {
        int64_t balance;
};

struct message {
        int n;
        char words[ARGS_MAX][WORD_BYTES];
};

struct node {
        char name[8];
        bool is_up;
        struct sg_fleet fleet;
        struct sg_lease leases[N_WORDS];
        struct purse purses[N_WORDS];          /* survive a crash of the process */
        int64_t open[N_WORDS];                 /* of concurrency */
        int64_t taken[N_WORDS], told[N_WORDS]; /* truly, and what Redis has heard of that */
        uint64_t heard_usec;                   /* by an earlier process, too */
        uint64_t cut_until_usec;               /* nothing comes through */
        uint64_t up_at_usec;
        bool was_alone[N_WORDS];
        struct message late; /* a question that arrives long after it was sent */
        uint64_t late_at_usec;
};

struct word {
        struct sg_limit limit;
        int64_t used; /* by all, truly */
        double level; /* of a bucket that sees every taking */
        uint64_t level_usec;
        int64_t slack;  /* what the stated bound allows beyond the limit */
        int64_t ledger; /* what the ledger knows of used */
};

struct model {
        uint64_t seed, state, now_usec, clock_usec;
        redisContext *redis;
        char script[48]; /* its SHA-1 */
        struct node nodes[NODES_MAX];
        size_t n_nodes;
        struct word words[N_WORDS];
        bool may_crash, may_forget, may_cut, may_lose_machines;
        unsigned step;
        uint64_t away_usec, forgotten_usec; /* a node was, and Redis has; the last time */
        uint64_t n_taken, n_asked, n_refused;
};

static uint64_t dice(struct model *m, uint64_t n)
{
        m->state ^= m->state << 13;
        m->state ^= m->state >> 7;
        m->state ^= m->state << 17;
        return m->state % n;
}

static int64_t purse_look(void *word, uint64_t period)
{
        return ((struct purse *)word)->balance;
}

static bool purse_take(void *word, uint64_t period, uint64_t n)
{
        struct purse *p = word;

        if (p->balance < (int64_t)n)
                return false;
        p->balance -= (int64_t)n;
        return true;
}

static void purse_add(void *word, uint64_t period, int64_t n)
{
        ((struct purse *)word)->balance += n;
}

static const struct sg_lease_purse purse_kind = {purse_look, purse_take, purse_add};

/* ---- Redis */

static redisReply *command(struct model *m, const char *text)
{
        redisReply *r = redisCommand(m->redis, text);

        assert_non_null(r);
        if (r->type == REDIS_REPLY_ERROR)
                fail_msg("\"%s\" is answered \"%s\"", text, r->str);
        return r;
}

static void set_clock(struct model *m)
{
        char text[96];

        (void)snprintf(text, sizeof(text), "HSET clock s %" PRIu64 " u %" PRIu64, m->clock_usec / SEC,
                       m->clock_usec % SEC);
        freeReplyObject(command(m, text));
}

/* The script, but that its clock is the model's. */
static void load_script(struct model *m)
{
        static const char from[] = "redis.call('TIME')", to[] = "redis.call('HMGET','clock','s','u')";
        const char *at = strstr(sg_lease_script, from);
        char *text = NULL;
        redisReply *r;

        assert_non_null(at);
        assert_true(asprintf(&text, "%.*s%s%s", (int)(at - sg_lease_script), sg_lease_script, to,
                             at + sizeof(from) - 1) > 0);
        r = redisCommand(m->redis, "SCRIPT LOAD %s", text);
        assert_non_null(r);
        if (r->type != REDIS_REPLY_STRING)
                fail_msg("the script is refused: %s", r->str);
        (void)snprintf(m->script, sizeof(m->script), "%s", r->str);
        freeReplyObject(r);
        free(text);
}

static size_t run_script(struct model *m, const struct message *q, int64_t *numbers, size_t room)
{
        const char *argv[ARGS_MAX];
        redisReply *r;
        size_t n;

        set_clock(m);
        for (int i = 0; i < q->n; i++)
                argv[i] = q->words[i];
        r = redisCommandArgv(m->redis, q->n, argv, NULL);
        assert_non_null(r);
        if (r->type != REDIS_REPLY_ARRAY)
                fail_msg("seed %" PRIu64 ": the script fails: %s", m->seed, r->str);
        n = r->elements;
        assert_true(n <= room);
        for (size_t i = 0; i < n; i++) {
                assert_int_equal(r->element[i]->type, REDIS_REPLY_INTEGER);
                numbers[i] = r->element[i]->integer;
        }
        freeReplyObject(r);
        return n;
}

/* ---- a node's turn */

static void put_word(struct message *q, const char *format, ...) SG_PRINTF(2, 3);
static void put_word(struct message *q, const char *format, ...)
{
        va_list va;

        assert_true(q->n < ARGS_MAX);
        va_start(va, format);
        (void)vsnprintf(q->words[q->n++], WORD_BYTES, format, va);
        va_end(va);
}

static void write_question(struct model *m, const struct node *node, const struct sg_fleet_head *head,
                           const struct sg_lease_question *questions, const size_t *which, size_t n, struct message *q)
{
        q->n = 0;
        put_word(q, "EVALSHA");
        put_word(q, "%s", m->script);
        put_word(q, "%zu", SG_LEASE_KEYS + n);
        put_word(q, "fleet");
        put_word(q, "nodes");
        put_word(q, "seq");
        put_word(q, "back");
        for (size_t i = 0; i < n; i++)
                put_word(q, "w%zu", which[i]);
        put_word(q, "%s", node->name);
        put_word(q, "%" PRIu64, head->seq);
        put_word(q, "%" PRIu64, head->clock_msec);
        put_word(q, "%" PRIu64, head->n_nodes);
        put_word(q, "%d", head->is_full);
        put_word(q, "%d", head->is_leave);
        for (size_t i = 0; i < n; i++) {
                const struct sg_lease_question *a = &questions[i];

                put_word(q, "%c", a->kind);
                put_word(q, "%" PRIu64, m->words[which[i]].limit.amount);
                put_word(q, "%" PRId64, a->used);
                put_word(q, "%" PRId64, a->claim);
                put_word(q, "%" PRId64, a->need);
                put_word(q, "%" PRId64, a->want);
                put_word(q, "%" PRId64, a->floor);
                put_word(q, "%" PRIu64, a->window_usec);
                if (a->is_adopt)
                        put_word(q, "%" PRIu64 " %" PRId64, a->keep_msec, a->balance);
                else
                        put_word(q, "%" PRIu64, a->keep_msec);
        }
}

static void lost(struct node *node, const size_t *which, size_t n)
{
        sg_fleet_lost(&node->fleet);
        for (size_t i = 0; i < n; i++)
                sg_lease_lost(&node->leases[which[i]]);
}

static void turn(struct model *m, struct node *node)
{
        const bool is_full = node->fleet.rebuild && node->fleet.reported != node->fleet.rebuild;
        struct sg_lease_question questions[N_WORDS];
        int64_t numbers[SG_FLEET_HEAD_WORDS + SG_LEASE_ANSWER_WORDS * N_WORDS];
        enum sg_fleet_status status;
        struct sg_fleet_head head;
        size_t which[N_WORDS], n = 0, n_numbers;
        struct message q;

        for (size_t i = 0; i < N_WORDS; i++)
                if (sg_lease_ask(&node->leases[i], &node->fleet, (uint64_t)m->words[i].ledger, is_full, m->now_usec,
                                 &questions[n]))
                        which[n++] = i;
        if (!n && !is_full && m->now_usec - node->fleet.heard_usec < SG_LEASE_BEAT_USEC)
                return;
        sg_fleet_ask(&node->fleet, is_full, false, m->now_usec, &head);
        write_question(m, node, &head, questions, which, n, &q);
        m->n_asked++;
        if (node->cut_until_usec > m->now_usec || dice(m, 12) == 0) { /* the question is lost, or comes late */
                if (dice(m, 3) == 0) {
                        node->late = q;
                        node->late_at_usec = m->now_usec + dice(m, 8 * SEC);
                }
                lost(node, which, n);
                return;
        }
        n_numbers = run_script(m, &q, numbers, SG_N_ELEMENTS(numbers));
        if (numbers[0] == SG_FLEET_OK)
                for (size_t i = 0; i < n; i++)
                        node->told[which[i]] = node->taken[which[i]];
        if (dice(m, 12) == 0) { /* the answer is */
                lost(node, which, n);
                return;
        }
        /* Workers go on while it is on its way. */
        for (size_t i = 0; i < N_WORDS; i++)
                if (node->purses[i].balance > 0 && dice(m, 3) == 0) {
                        node->purses[i].balance--;
                        m->words[i].used++;
                        m->words[i].level--;
                        node->open[i]++;
                        node->taken[i]++;
                }
        assert_true(sg_fleet_answer(&node->fleet, numbers, n_numbers, &status));
        node->heard_usec = node->fleet.heard_usec;
        if (status != SG_FLEET_OK) {
                for (size_t i = 0; i < n; i++)
                        sg_lease_lost(&node->leases[which[i]]);
                return;
        }
        assert_int_equal(n_numbers, SG_FLEET_HEAD_WORDS + SG_LEASE_ANSWER_WORDS * n);
        for (size_t i = 0; i < n; i++) {
                sg_lease_answer(&node->leases[which[i]], &node->fleet,
                                numbers + SG_FLEET_HEAD_WORDS + SG_LEASE_ANSWER_WORDS * i);
                node->was_alone[which[i]] &= node->leases[which[i]].is_alone;
        }
}

/* ---- what else happens */

static void start_node(struct model *m, struct node *node)
{
        const bool is_stale = !node->heard_usec || m->now_usec - node->heard_usec > SG_LEASE_FRESH_USEC;

        node->is_up = true;
        sg_fleet_init(&node->fleet, node->fleet.n_nodes, m->now_usec, m->now_usec);
        for (size_t i = 0; i < N_WORDS; i++) {
                if (is_stale)
                        node->purses[i].balance = 0;
                sg_lease_init(&node->leases[i], &purse_kind, &node->purses[i], &m->words[i].limit, 0,
                              (uint64_t)node->open[i], m->now_usec);
                node->was_alone[i] = false;
        }
}

static void away_and_forgotten(struct model *m);

static bool is_gauge(const struct word *w)
{
        return w->limit.kind == SG_LIMIT_CONCURRENT;
}

/* The process dies; what it had open ends with it. With the machine goes the purse, too, and what was not told. */
static void crash(struct model *m, struct node *node, bool with_machine)
{
        node->is_up = false;
        m->away_usec = m->now_usec;
        away_and_forgotten(m);
        node->up_at_usec = m->now_usec + dice(m, 15 * SEC);
        for (size_t i = 0; i < N_WORDS; i++) {
                if (is_gauge(&m->words[i])) {
                        m->words[i].used -= node->open[i];
                        node->open[i] = 0;
                }
                if (with_machine || node->up_at_usec - m->now_usec > SG_LEASE_USEC - 2 * SEC)
                        m->words[i].slack += node->taken[i] - node->told[i];
                if (with_machine)
                        node->purses[i].balance = 0;
        }
}

static void take_some(struct model *m, struct node *node)
{
        const size_t i = dice(m, N_WORDS);
        struct word *w = &m->words[i];
        const int64_t n = dice(m, 8) ? 1 : 1 + (int64_t)dice(m, w->limit.amount / 4 + 1);

        if (!purse_take(&node->purses[i], 0, (uint64_t)n)) {
                m->n_refused++;
                sg_lease_wait(&node->leases[i], (uint64_t)n);
                return;
        }
        m->n_taken += (uint64_t)n;
        w->used += n;
        w->level -= (double)n;
        node->open[i] += n;
        node->taken[i] += n;
}

static void end_some(struct model *m, struct node *node)
{
        for (size_t i = 0; i < N_WORDS; i++) {
                const int64_t n =
                        is_gauge(&m->words[i]) && node->open[i] ? (int64_t)dice(m, (uint64_t)node->open[i] + 1) : 0;

                m->words[i].used -= n;
                node->open[i] -= n;
                node->purses[i].balance += n;
        }
}

/* What the stated bound counts: what a node had that goes on alone, and its share. */
static void go_alone(struct model *m, struct node *node)
{
        if (!sg_fleet_is_alone(&node->fleet, m->now_usec))
                return;
        for (size_t i = 0; i < N_WORDS; i++) {
                struct sg_lease *l = &node->leases[i];
                const int64_t before = l->is_alone ? l->alone_put : 0, balance = node->purses[i].balance;

                sg_lease_alone(l, &node->fleet, (uint64_t)m->words[i].ledger, m->now_usec);
                m->words[i].slack += l->is_alone ? l->alone_put - before : 0;
                if (!node->was_alone[i] && l->is_alone) {
                        m->words[i].slack += SG_MAX(balance, 0) +
                                             (is_gauge(&m->words[i]) ? node->open[i] : node->taken[i] - node->told[i]);
                        node->was_alone[i] = true;
                }
        }
}

static void pass_time(struct model *m, uint64_t usec)
{
        m->now_usec += usec;
        m->clock_usec += usec;
        for (size_t i = 0; i < N_WORDS; i++) {
                struct word *w = &m->words[i];
                const double window = w->limit.window == SG_WINDOW_MINUTE ? 60e6 : 3600e6;

                if (w->limit.window == SG_WINDOW_MINUTE || w->limit.window == SG_WINDOW_HOUR)
                        w->level = SG_MIN(w->level + (double)usec * (double)w->limit.amount / window,
                                          (double)w->limit.amount);
                if (dice(m, 10) == 0)
                        w->ledger = is_gauge(w)
                                            ? 0
                                            : SG_MAX(w->ledger, w->used - (int64_t)dice(m, (uint64_t)w->used + 1) / 4);
        }
}

static void check(const struct model *m)
{
        for (size_t i = 0; i < N_WORDS; i++) {
                const struct word *w = &m->words[i];
                const bool is_bucket = w->limit.window == SG_WINDOW_MINUTE || w->limit.window == SG_WINDOW_HOUR;
                const double over = is_bucket ? -w->level - 1 : (double)(w->used - (int64_t)w->limit.amount);

                if (over > (double)w->slack)
                        fail_msg("seed %" PRIu64 ", step %u: limit %zu of %" PRIu64 " is passed by %.2f, and %" PRId64
                                 " were allowed",
                                 m->seed, m->step, i, w->limit.amount, over, w->slack);
        }
}

/* Buckets are filled by the clock: one that is set ahead fills them. */
static void set_redis_ahead(struct model *m, uint64_t usec)
{
        m->clock_usec += usec;
        for (size_t i = 0; i < N_WORDS; i++)
                if (m->words[i].limit.window == SG_WINDOW_MINUTE)
                        m->words[i].slack += (int64_t)(usec * m->words[i].limit.amount / (60 * SEC)) + 1;
}

/* Two misfortunes together, a node away and Redis without its memory: what that node has taken nobody knows but the
 * ledger, which stands beside this model. */
static void away_and_forgotten(struct model *m)
{
        if (!m->away_usec || !m->forgotten_usec ||
            (m->away_usec > m->forgotten_usec && m->away_usec - m->forgotten_usec > 2 * SG_LEASE_USEC) ||
            (m->forgotten_usec > m->away_usec && m->forgotten_usec - m->away_usec > 120 * SEC))
                return;
        for (size_t i = 0; i < N_WORDS; i++)
                m->words[i].slack += (int64_t)m->words[i].limit.amount;
}

static void cut(struct model *m, struct node *node, uint64_t usec)
{
        node->cut_until_usec = m->now_usec + usec;
        m->away_usec = m->now_usec + usec;
        away_and_forgotten(m);
}

static void step(struct model *m)
{
        struct node *node = &m->nodes[dice(m, m->n_nodes)];

        pass_time(m, dice(m, 4) ? dice(m, 60 * MSEC) : dice(m, 900 * MSEC));
        for (size_t i = 0; i < m->n_nodes; i++) {
                struct node *n = &m->nodes[i];

                if (!n->is_up && m->now_usec >= n->up_at_usec)
                        start_node(m, n);
                if (n->late_at_usec && m->now_usec >= n->late_at_usec) {
                        int64_t numbers[SG_FLEET_HEAD_WORDS + SG_LEASE_ANSWER_WORDS * N_WORDS];

                        n->late_at_usec = 0;
                        (void)run_script(m, &n->late, numbers, SG_N_ELEMENTS(numbers));
                }
                if (n->is_up) {
                        for (uint64_t k = dice(m, 6); k; k--)
                                take_some(m, n);
                        go_alone(m, n);
                        if (dice(m, 5))
                                turn(m, n);
                }
        }
        end_some(m, node);
        if (m->may_forget && m->step > 20 && dice(m, 60) == 0) {
                freeReplyObject(command(m, "FLUSHALL"));
                m->forgotten_usec = m->now_usec;
                away_and_forgotten(m);
        }
        if (m->may_crash && node->is_up && dice(m, 80) == 0)
                crash(m, node, m->may_lose_machines && dice(m, 2));
        if (m->may_cut && dice(m, 60) == 0)
                cut(m, node, dice(m, 20 * SEC));
        if (m->may_cut && dice(m, 150) == 0) /* all of them */
                for (size_t i = 0; i < m->n_nodes; i++)
                        cut(m, &m->nodes[i], 3 * SEC + dice(m, 20 * SEC));
        if (m->may_cut && dice(m, 200) == 0)
                set_redis_ahead(m, dice(m, 60 * SEC));
}

static void run(struct model *m, uint64_t seed)
{
        static const uint64_t amounts[] = {1, 2, 7, 20, 100, 1000, 100000};

        m->seed = seed;
        m->state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
        m->now_usec = m->clock_usec = UINT64_C(1700000000) * SEC;
        m->away_usec = m->forgotten_usec = 0;
        m->n_nodes = 1 + dice(m, NODES_MAX);
        m->may_cut = dice(m, 2);
        m->may_crash = dice(m, 2);
        m->may_forget = dice(m, 2);
        m->may_lose_machines = m->may_cut && dice(m, 2);
        freeReplyObject(command(m, "FLUSHALL"));
        for (size_t i = 0; i < N_WORDS; i++) {
                struct word *w = &m->words[i];

                *w = (struct word){.limit.amount = amounts[dice(m, SG_N_ELEMENTS(amounts))]};
                w->limit.kind = i == 2 ? SG_LIMIT_CONCURRENT : SG_LIMIT_TOKENS;
                w->limit.window = i == 0 ? SG_WINDOW_DAY : i == 1 ? SG_WINDOW_MINUTE : SG_WINDOW_NONE;
                w->level = (double)w->limit.amount;
        }
        for (size_t i = 0; i < m->n_nodes; i++) {
                m->nodes[i] = (struct node){};
                (void)snprintf(m->nodes[i].name, sizeof(m->nodes[i].name), "n%zu", i);
                start_node(m, &m->nodes[i]);
        }
        for (m->step = 0; m->step < STEPS; m->step++) {
                step(m);
                check(m);
        }
}

static void test_the_sum_holds(void **state)
{
        const char *runs = getenv("SCRIBE_LEASE_RUNS"), *only = getenv("SCRIBE_LEASE_SEED");
        const uint64_t n_runs = runs ? strtoull(runs, NULL, 10) : RUNS;
        static struct model model;
        struct model *m = &model;
        struct redis_server s;

        if (!redis_server_start(&s, 0, NULL))
                TEST_SKIP("no redis-server");
        m->redis = redisConnectUnix(s.socket);
        assert_true(m->redis && !m->redis->err);
        load_script(m);
        if (only)
                run(m, strtoull(only, NULL, 10));
        for (uint64_t i = 0; !only && i < n_runs; i++)
                run(m, i + 1);
        print_message("# seeds 1 to %" PRIu64 ": %" PRIu64 " units taken, %" PRIu64 " questions, %" PRIu64
                      " times there was too little\n",
                      n_runs, m->n_taken, m->n_asked, m->n_refused);
        redisFree(m->redis);
        redis_server_stop(&s);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_sum_holds),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
