/* Many threads on the same words: no limit is passed by one, nothing that was held stays behind. */
#include "limit_test.h"

#include <pthread.h>

#define N_THREADS 8

struct party {
        pthread_t thread;
        struct sg_limits *limits;
        const struct sg_limited *who;
        size_t n_who;
        unsigned number;
        uint64_t n_taken, tokens, cost; /* of all that was settled */
        uint64_t requests;
};

static pthread_barrier_t barrier;

static void run(struct party parties[N_THREADS], void *(*body)(void *), struct sg_limits *l,
                const struct sg_limited *who, size_t n_who)
{
        assert_int_equal(pthread_barrier_init(&barrier, NULL, N_THREADS), 0);
        for (unsigned i = 0; i < N_THREADS; i++) {
                parties[i] = (struct party){.limits = l, .who = who, .n_who = n_who, .number = i};
                assert_int_equal(pthread_create(&parties[i].thread, NULL, body, &parties[i]), 0);
        }
        for (unsigned i = 0; i < N_THREADS; i++)
                assert_int_equal(pthread_join(parties[i].thread, NULL), 0);
        pthread_barrier_destroy(&barrier);
}

static uint64_t n_taken(const struct party parties[N_THREADS])
{
        uint64_t n = 0;

        for (unsigned i = 0; i < N_THREADS; i++)
                n += parties[i].n_taken;
        return n;
}

/* As many as it can get, all at one moment; keeps them. */
static void *take_one_by_one(void *owner)
{
        struct party *p = owner;
        struct sg_limit_ask ask = ask_of(p->who, p->n_who, SG_LIMIT_REQUESTS, 1, 0);
        struct sg_limit_refusal refusal;

        ask.n_of[SG_LIMIT_TOKENS] = ask.n_of[SG_LIMIT_CONCURRENT] = ask.n_of[SG_LIMIT_COST] = 1;
        pthread_barrier_wait(&barrier);
        for (unsigned i = 0; i < 500; i++) {
                struct sg_reservation r = {0};

                if (sg_limits_reserve(p->limits, &ask, &r, &refusal) == 0)
                        p->n_taken++;
                /* Kept: the process may end with it. Only the memory goes. */
                free(r.far);
        }
        return NULL;
}

static void test_a_hundred_are_a_hundred(void **state)
{
        static const char *const texts[] = {"100 requests/minute", "100 requests/hour", "100 requests/day",
                                            "100 requests/month",  "100 tokens/minute", "100 tokens/day",
                                            "100 concurrent",      "0.000100 usd/month"};
        struct party parties[N_THREADS];

        for (unsigned lap = 0; lap < 20; lap++)
                for (size_t i = 0; i < SG_N_ELEMENTS(texts); i++) {
                        struct sg_limits *l = limits_in_memory();
                        struct sg_limited who = LIMITED(SG_SUBJECT_KEY, i, texts[i]);

                        run(parties, take_one_by_one, l, &who, 1);
                        assert_int_equal(n_taken(parties), 100);
                        assert_int_equal(view(l, &who, 0, 0).used, 100);
                        sg_limit_set_unref(who.set);
                        sg_limits_free(l);
                }
}

/* The tightest word decides, and what was taken of the others on the way is given back to the last unit. */
static void test_the_tightest_of_many_words_decides(void **state)
{
        struct party parties[N_THREADS];

        for (unsigned lap = 0; lap < 50; lap++) {
                struct sg_limits *l = limits_in_memory();
                struct sg_limited who[] = {
                        LIMITED(SG_SUBJECT_KEY, 1, "300 requests/minute", "300 requests/day", "300 concurrent"),
                        LIMITED(SG_SUBJECT_GROUP, 1, "200 tokens/hour", "0.0003 usd/day"),
                        LIMITED(SG_SUBJECT_MODEL, 1, "100 concurrent", "200 tokens/month"),
                };

                run(parties, take_one_by_one, l, who, 3);
                assert_int_equal(n_taken(parties), 100);
                for (size_t i = 0; i < 3; i++) {
                        for (size_t k = 0; k < who[i].set->n; k++)
                                assert_int_equal(view(l, &who[i], k, 0).used, 100);
                        sg_limit_set_unref(who[i].set);
                }
                sg_limits_free(l);
        }
}

/* ---- mixed outcomes */

static uint64_t next(uint64_t *seed)
{
        *seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        return *seed >> 33;
}

#define N_OPEN 8

static void end_one(struct party *p, struct sg_reservation *r, uint64_t *seed)
{
        const uint64_t tokens = next(seed) % 200, cost = next(seed) % 3000; /* often more than was reserved */

        if (next(seed) % 3 == 0) {
                sg_limits_release(p->limits, r, NOW);
                return;
        }
        sg_limits_settle(p->limits, r, tokens, cost, NOW, WALL);
        p->requests++;
        p->tokens += tokens;
        p->cost += cost;
}

static void *mix(void *owner)
{
        struct party *p = owner;
        uint64_t seed = p->number + 1;
        struct sg_reservation open[N_OPEN] = {0};
        struct sg_limit_refusal refusal;

        pthread_barrier_wait(&barrier);
        for (unsigned i = 0; i < 100000 / N_THREADS; i++) {
                struct sg_reservation *r = &open[next(&seed) % N_OPEN];
                struct sg_limit_ask ask = ask_of(p->who, p->n_who, SG_LIMIT_REQUESTS, 1, 0);

                if (r->n)
                        end_one(p, r, &seed);
                ask.n_of[SG_LIMIT_CONCURRENT] = 1;
                if (sg_limits_reserve(p->limits, &ask, r, &refusal))
                        continue;
                p->n_taken++;
                /* The body is known: tokens and cost, which may be refused. */
                ask = ask_of(p->who, p->n_who, SG_LIMIT_TOKENS, 1 + next(&seed) % 100, 0);
                ask.n_of[SG_LIMIT_COST] = 1 + next(&seed) % 1000;
                if (sg_limits_reserve(p->limits, &ask, r, &refusal))
                        sg_limits_release(p->limits, r, NOW);
        }
        for (unsigned i = 0; i < N_OPEN; i++)
                if (open[i].n)
                        end_one(p, &open[i], &seed);
        return NULL;
}

static void test_nothing_is_left_of_mixed_outcomes(void **state)
{
        struct sg_limits *l = limits_in_memory();
        struct sg_limited who[] = {
                LIMITED(SG_SUBJECT_KEY, 1, "40 concurrent", "10M requests/day", "2M tokens/day", "30 usd/day",
                        "10M tokens/month", "100M requests/month"),
                LIMITED(SG_SUBJECT_PROVIDER, 1, "50 concurrent", "10M tokens/minute", "100M requests/hour"),
        };
        struct party parties[N_THREADS];
        uint64_t tokens = 0, cost = 0, requests = 0;

        run(parties, mix, l, who, 2);
        for (unsigned i = 0; i < N_THREADS; i++) {
                tokens += parties[i].tokens;
                cost += parties[i].cost;
                requests += parties[i].requests;
        }
        assert_true(n_taken(parties) > 10000);
        assert_nothing_is_held(l);
        assert_int_equal(view(l, &who[0], 0, 0).used, 0);
        assert_int_equal(view(l, &who[1], 0, 0).used, 0);
        assert_int_equal(view(l, &who[0], 1, 0).used, requests);
        assert_int_equal(view(l, &who[0], 2, 0).used, tokens);
        assert_int_equal(view(l, &who[0], 3, 0).used, cost);
        assert_int_equal(view(l, &who[0], 4, 0).used, tokens);
        assert_int_equal(view(l, &who[0], 5, 0).used, requests);
        /* Buckets, in the same instant: what they did not give back is less than was open at once (40 of 100) when they
         * were nearly full. Never too much. */
        assert_in_range(view(l, &who[1], 1, 0).used, tokens, tokens + 4000);
        assert_in_range(view(l, &who[1], 2, 0).used, requests, requests + 40);
        sg_limit_set_unref(who[0].set);
        sg_limit_set_unref(who[1].set);
        sg_limits_free(l);
}

/* ---- grants */

static void *take_of_a_grant(void *owner)
{
        struct party *p = owner;
        const struct sg_limit_ask ask = ask_of(p->who, p->n_who, SG_LIMIT_TOKENS, 3, 0);
        struct sg_limit_word *w = sg_limits_word(p->limits, p->who, 0, true);
        const uint64_t today = sg_window_period(SG_WINDOW_DAY, WALL);
        struct sg_limit_refusal refusal;
        struct sg_reservation r = {0};
        uint64_t seed = p->number;

        pthread_barrier_wait(&barrier);
        for (unsigned i = 0; i < 20000; i++) {
                if (p->number == 0 && i % 10 == 0)
                        sg_grant_add(w, today, 20);
                if (sg_limits_reserve(p->limits, &ask, &r, &refusal))
                        continue;
                end_one(p, &r, &seed);
        }
        return NULL;
}

static void test_units_of_grants_are_conserved(void **state)
{
        struct sg_limits *l = limits_in_memory();
        struct sg_limited who = LIMITED(SG_SUBJECT_KEY, 1, "100M tokens/day");
        struct party parties[N_THREADS];
        uint64_t tokens = 0;

        atomic_store(&l->needs_grants, true);
        run(parties, take_of_a_grant, l, &who, 1);
        for (unsigned i = 0; i < N_THREADS; i++)
                tokens += parties[i].tokens;
        assert_int_equal(sg_grant_units(atomic_load(&sg_limits_word(l, &who, 0, false)->granted)),
                         (int64_t)(20 * 2000) - (int64_t)tokens);
        assert_int_equal(view(l, &who, 0, 0).used, tokens);
        sg_limit_set_unref(who.set);
        sg_limits_free(l);
}

/* ---- words */

#define N_WORDS 30000u

static _Atomic(struct sg_limit_word *) seen[N_WORDS];

/* All of them, in an order of its own; everybody must find the same. */
static void *make_words(void *owner)
{
        struct party *p = owner;

        pthread_barrier_wait(&barrier);
        for (unsigned i = 0; i < N_WORDS; i++) {
                const unsigned at = (p->number % 2 ? i : N_WORDS - 1 - i) * 7919u % N_WORDS;
                const struct sg_limited who = {.kind = SG_SUBJECT_KEY, .id = at};
                const struct sg_limit limit = {.kind = SG_LIMIT_REQUESTS, .window = SG_WINDOW_DAY, .amount = 1};
                struct sg_limit_word *w = sg_words_find(p->limits->words, sg_word_id(&who, &limit), true), *was = NULL;

                if (!w || (!atomic_compare_exchange_strong(&seen[at], &was, w) && was != w))
                        p->n_taken++;
                if (p->number == 0 && i % 1000 == 0 && p->n_who)
                        sg_words_grow(p->limits->words);
        }
        return NULL;
}

static void test_everybody_finds_the_same_words_also_while_the_table_grows(void **state)
{
        struct party parties[N_THREADS];

        for (unsigned grows = 0; grows < 2; grows++) {
                struct sg_limits *l = limits_in_memory();
                struct sg_limits_counts c;
                uint64_t at = 0;
                size_t n = 0;

                memset(seen, 0, sizeof(seen));
                run(parties, make_words, l, NULL, grows);
                assert_int_equal(n_taken(parties), 0);
                sg_limits_count(l, &c);
                assert_int_equal(c.n_words, N_WORDS);
                /* 16,384 slots are there at first; without room for more the rest is on the heap. */
                if (!grows)
                        assert_in_range(c.n_in_memory, N_WORDS - 16384, N_WORDS - 13000);
                while (sg_words_next(l->words, &at))
                        n++;
                assert_int_equal(n, N_WORDS);
                sg_limits_free(l);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_hundred_are_a_hundred),
                cmocka_unit_test(test_the_tightest_of_many_words_decides),
                cmocka_unit_test(test_nothing_is_left_of_mixed_outcomes),
                cmocka_unit_test(test_units_of_grants_are_conserved),
                cmocka_unit_test(test_everybody_finds_the_same_words_also_while_the_table_grows),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
