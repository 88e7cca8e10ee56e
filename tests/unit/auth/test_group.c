/* Groups of keys: a tree that changes under readers, and limits whose words go on. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "auth/keytable.h"
#include "base/thread.h"

static struct sg_limit_set *limits_of(uint64_t requests_per_minute)
{
        const struct sg_limit one = {
                .kind = SG_LIMIT_REQUESTS, .window = SG_WINDOW_MINUTE, .amount = requests_per_minute};
        struct sg_limit_set *set = NULL;

        assert_int_equal(sg_limit_set_new(&set, &one, 1, NULL), 0);
        return set;
}

static void tell(struct sg_keytable *t, uint64_t id, uint64_t parent_id, uint64_t amount)
{
        char name[32];
        struct sg_limit_set *limits = amount ? limits_of(amount) : NULL;
        struct sg_group_change change = {.id = id, .parent_id = parent_id, .limits = limits};

        change.name = sg_str_make(name, (size_t)snprintf(name, sizeof(name), "group-%llu", (unsigned long long)id));
        assert_int_equal(sg_keytable_apply_group(t, &change), 0);
        sg_limit_set_unref(limits);
}

static void forget(struct sg_keytable *t, uint64_t id)
{
        assert_int_equal(sg_keytable_apply_group(t, &(struct sg_group_change){.id = id, .is_removed = true}), 0);
}

static void put(struct sg_keytable *t, uint64_t id, uint64_t group_id, uint64_t amount)
{
        struct sg_limit_set *limits = amount ? limits_of(amount) : NULL;
        struct sg_key_change change = {.id = id,
                                       .digest = {(uint8_t)id, (uint8_t)(id >> 8)},
                                       .name = SG_STR("key"),
                                       .all_models = true,
                                       .group_id = group_id,
                                       .limits = limits};

        assert_int_equal(sg_keytable_apply(t, &change), 0);
        sg_limit_set_unref(limits);
}

/* "3 2 1": ids from the key up. */
static const char *chain(struct sg_keytable *t, uint64_t key, char *out)
{
        const struct sg_group_facts *facts[SG_GROUP_DEPTH_MAX];
        uint64_t ids[SG_GROUP_DEPTH_MAX];
        size_t n, used = 0;

        out[0] = '\0';
        sg_group_chain(sg_keytable_find_id(t, key)->group, facts, ids, &n);
        for (size_t i = 0; i < n; i++) {
                char name[32];

                snprintf(name, sizeof(name), "group-%llu", (unsigned long long)ids[i]);
                assert_string_equal(facts[i]->name, name);
                used += (size_t)snprintf(out + used, 64 - used, "%s%llu", i ? " " : "", (unsigned long long)ids[i]);
        }
        return out;
}

static int setup(void **state)
{
        struct sg_keytable *t;

        sg_rcu_register();
        if (sg_keytable_new(&t))
                return -1;
        *state = t;
        return 0;
}

static int teardown(void **state)
{
        sg_keytable_free(*state);
        sg_rcu_unregister();
        sg_rcu_barrier();
        return 0;
}

static void test_a_chain_leads_from_the_key_to_the_root(void **state)
{
        char out[64];

        tell(*state, 1, 0, 100);
        tell(*state, 2, 1, 0);
        tell(*state, 3, 2, 10);
        put(*state, 1, 3, 0);
        put(*state, 2, 0, 0);
        assert_string_equal(chain(*state, 1, out), "3 2 1");
        assert_string_equal(chain(*state, 2, out), "");
        assert_null(sg_keytable_find_id(*state, 2)->group);
        assert_int_equal(sg_keytable_find_group(*state, 3)->id, 3);
        assert_null(sg_keytable_find_group(*state, 4));
}

static void test_a_group_may_be_named_before_it_is_told(void **state)
{
        const struct sg_group *g;
        char out[64];

        put(*state, 1, 7, 0);
        assert_null(sg_keytable_find_group(*state, 7));
        assert_string_equal(chain(*state, 1, out), "");
        g = sg_keytable_find_id(*state, 1)->group;
        tell(*state, 7, 8, 0);
        assert_ptr_equal(sg_keytable_find_group(*state, 7), g);
        assert_string_equal(chain(*state, 1, out), "7");
        tell(*state, 8, 0, 0);
        assert_string_equal(chain(*state, 1, out), "7 8");
}

static void test_a_group_that_is_gone_may_come_back(void **state)
{
        const struct sg_group *g;
        char out[64];

        tell(*state, 1, 0, 5);
        put(*state, 1, 1, 0);
        g = sg_keytable_find_group(*state, 1);
        forget(*state, 1);
        forget(*state, 1);
        forget(*state, 99);
        sg_rcu_quiescent();
        sg_rcu_barrier();
        assert_null(sg_keytable_find_group(*state, 1));
        assert_string_equal(chain(*state, 1, out), "");
        tell(*state, 1, 0, 6);
        assert_ptr_equal(sg_keytable_find_group(*state, 1), g);
        assert_string_equal(chain(*state, 1, out), "1");
}

static void test_circles_and_deep_trees_are_not_followed(void **state)
{
        char out[64];

        tell(*state, 1, 1, 0);
        put(*state, 1, 1, 0);
        assert_string_equal(chain(*state, 1, out), "1");
        tell(*state, 2, 3, 0);
        tell(*state, 3, 4, 0);
        tell(*state, 4, 3, 0);
        put(*state, 2, 2, 0);
        assert_string_equal(chain(*state, 2, out), "2 3 4");
        for (uint64_t i = 10; i < 30; i++)
                tell(*state, i, i + 1, 0);
        put(*state, 3, 10, 0);
        assert_string_equal(chain(*state, 3, out), "10 11 12 13 14 15 16 17");
}

static void test_limits_that_stay_the_same_are_the_same_object(void **state)
{
        const struct sg_limit_set *of_key, *of_group;
        const struct sg_group_facts *facts;

        tell(*state, 1, 0, 5);
        put(*state, 1, 1, 9);
        of_key = sg_keytable_find_id(*state, 1)->limits;
        facts = atomic_load(&sg_keytable_find_group(*state, 1)->facts);
        of_group = facts->limits;

        tell(*state, 1, 0, 5); /* nothing new */
        assert_ptr_equal(atomic_load(&sg_keytable_find_group(*state, 1)->facts), facts);
        tell(*state, 1, 2, 5);
        assert_ptr_not_equal(atomic_load(&sg_keytable_find_group(*state, 1)->facts), facts);
        assert_ptr_equal(atomic_load(&sg_keytable_find_group(*state, 1)->facts)->limits, of_group);
        put(*state, 1, 2, 9);
        assert_ptr_equal(sg_keytable_find_id(*state, 1)->limits, of_key);
        put(*state, 1, 2, 10);
        assert_ptr_not_equal(sg_keytable_find_id(*state, 1)->limits, of_key);
        put(*state, 1, 2, 0);
        assert_null(sg_keytable_find_id(*state, 1)->limits);
        tell(*state, 1, 2, 0);
        assert_null(atomic_load(&sg_keytable_find_group(*state, 1)->facts)->limits);
}

static void count_group(const struct sg_group *g, void *owner)
{
        *(uint64_t *)owner += g->id;
}

static void test_picture_removes_groups_that_it_does_not_name(void **state)
{
        uint64_t sum = 0;
        char out[64];

        for (uint64_t i = 1; i <= 200; i++)
                tell(*state, i, i > 1 ? 1 : 0, i);
        put(*state, 1, 7, 0);
        sg_keytable_each_group(*state, count_group, &sum);
        assert_int_equal(sum, 200 * 201 / 2);
        sg_keytable_picture_begin(*state);
        put(*state, 1, 7, 0);
        tell(*state, 1, 0, 1);
        tell(*state, 7, 1, 7);
        tell(*state, 201, 300, 7);
        assert_string_equal(chain(*state, 1, out), "7 1");
        assert_non_null(sg_keytable_find_group(*state, 2)); /* until the end */
        sg_keytable_picture_end(*state);
        sum = 0;
        sg_keytable_each_group(*state, count_group, &sum);
        assert_int_equal(sum, 1 + 7 + 201);
        assert_string_equal(chain(*state, 1, out), "7 1");
}

/* A long stream holds its key, and so the group, over everything. */
static void test_a_kept_key_keeps_its_group(void **state)
{
        const struct sg_group_facts *facts[SG_GROUP_DEPTH_MAX];
        uint64_t ids[SG_GROUP_DEPTH_MAX];
        const struct sg_key *k;
        size_t n;

        tell(*state, 1, 0, 5);
        put(*state, 1, 1, 0);
        k = sg_key_ref(sg_keytable_find_id(*state, 1));
        assert_int_equal(sg_keytable_apply(*state, &(struct sg_key_change){.id = 1, .is_removed = true}), 0);
        forget(*state, 1);
        sg_keytable_picture_begin(*state);
        sg_keytable_picture_end(*state);
        sg_rcu_quiescent();
        sg_rcu_barrier();
        sg_group_chain(k->group, facts, ids, &n);
        assert_int_equal(n, 0);
        tell(*state, 1, 0, 6);
        sg_group_chain(k->group, facts, ids, &n);
        assert_int_equal(n, 1);
        assert_int_equal(facts[0]->limits->at[0].limit.amount, 6);
        forget(*state, 1);
        sg_keytable_free(*state);
        assert_int_equal(sg_keytable_new((struct sg_keytable **)state), 0);
        sg_rcu_quiescent();
        sg_rcu_barrier();
        sg_key_unref(k);
}

/* ---- readers beside the writer */

#define N_READERS 3u
#define N_KEYS    20u

struct race {
        struct sg_keytable *t;
        _Atomic bool is_over;
        _Atomic uint64_t n_seen;
        _Atomic unsigned n_wrong, n_ready;
};

/* Key i is in group i, which is below 100 or below nothing; what is seen of a group is whole. */
static void *read_chains(void *arg)
{
        struct race *race = arg;

        sg_rcu_register();
        race->n_ready++;
        while (!race->is_over) {
                for (uint64_t i = 1; i <= N_KEYS; i++) {
                        const uint8_t digest[SG_APIKEY_DIGEST_BYTES] = {(uint8_t)i};
                        const struct sg_key *k = sg_keytable_find(race->t, digest);
                        const struct sg_group_facts *facts[SG_GROUP_DEPTH_MAX];
                        uint64_t ids[SG_GROUP_DEPTH_MAX];
                        size_t n;

                        if (!k) {
                                race->n_wrong++;
                                continue;
                        }
                        race->n_wrong += !k->limits || k->limits->at[0].limit.amount > 2;
                        sg_group_chain(k->group, facts, ids, &n);
                        for (size_t at = 0; at < n; at++) {
                                race->n_wrong += ids[at] != (at ? 100 : i);
                                race->n_wrong += facts[at]->limits && facts[at]->limits->at[0].limit.amount > 7;
                                race->n_seen++;
                        }
                }
                sg_rcu_quiescent();
        }
        sg_rcu_unregister();
        return NULL;
}

static void write_rounds(struct race *race, unsigned n_rounds)
{
        for (unsigned round = 0; round < n_rounds; round++) {
                for (uint64_t i = 1; i <= N_KEYS; i++) {
                        put(race->t, i, i, 1 + round % 2);
                        if ((round + i) % 3 == 0)
                                forget(race->t, i);
                        else
                                tell(race->t, i, round % 2 ? 100 : 0, round % 7);
                }
                if (round % 5 == 0)
                        forget(race->t, 100);
                else
                        tell(race->t, 100, 0, round % 7);
                sg_rcu_quiescent();
        }
}

static void test_readers_see_whole_groups(void **state)
{
        struct race race = {.t = *state};
        pthread_t readers[N_READERS];

        write_rounds(&race, 2);
        for (unsigned i = 0; i < N_READERS; i++)
                assert_int_equal(sg_thread_start(&readers[i], "reader", read_chains, &race), 0);
        while (race.n_ready < N_READERS)
                sg_rcu_quiescent();
        write_rounds(&race, 300);
        while (race.n_seen < 1000)
                sg_rcu_quiescent();
        race.is_over = true;
        sg_rcu_offline();
        for (unsigned i = 0; i < N_READERS; i++)
                pthread_join(readers[i], NULL);
        sg_rcu_online();
        assert_int_equal(race.n_wrong, 0);
}

#define group_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                group_test(test_a_chain_leads_from_the_key_to_the_root),
                group_test(test_a_group_may_be_named_before_it_is_told),
                group_test(test_a_group_that_is_gone_may_come_back),
                group_test(test_circles_and_deep_trees_are_not_followed),
                group_test(test_limits_that_stay_the_same_are_the_same_object),
                group_test(test_picture_removes_groups_that_it_does_not_name),
                group_test(test_a_kept_key_keeps_its_group),
                group_test(test_readers_see_whole_groups),
        };

        return cmocka_run_group_tests_name("auth group", tests, NULL, NULL);
}
