#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "auth/keytable.h"
#include "base/thread.h"

static void digest_of(uint8_t out[SG_APIKEY_DIGEST_BYTES], uint64_t n)
{
        sg_apikey_digest(out, sg_str_make(&n, sizeof(n)));
}

/* The name tells which digest the entry was made with, so that a reader can check that it is whole. */
static int put(struct sg_keytable *t, uint64_t id, uint64_t secret, bool is_revoked)
{
        struct sg_str models[] = {SG_STR("gpt-*"), SG_STR("echo")};
        struct sg_key_change change = {.id = id, .is_revoked = is_revoked, .models = models, .n_models = 2};
        char name[64];

        change.name = sg_str_make(name, (size_t)snprintf(name, sizeof(name), "key-%llu", (unsigned long long)secret));
        digest_of(change.digest, secret);
        return sg_keytable_apply(t, &change);
}

static const struct sg_key *find(struct sg_keytable *t, uint64_t secret)
{
        uint8_t digest[SG_APIKEY_DIGEST_BYTES];

        digest_of(digest, secret);
        return sg_keytable_find(t, digest);
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

static void test_find_gives_what_was_applied(void **state)
{
        const struct sg_key *k;

        assert_null(find(*state, 7));
        assert_int_equal(put(*state, 1, 7, false), 0);
        k = find(*state, 7);
        assert_non_null(k);
        assert_int_equal(k->id, 1);
        assert_string_equal(k->name, "key-7");
        assert_int_equal(k->n_models, 2);
        assert_false(k->is_revoked);
        assert_null(find(*state, 8));
        assert_int_equal(sg_keytable_count(*state), 1);
}

static void test_same_id_replaces(void **state)
{
        assert_int_equal(put(*state, 1, 7, false), 0);
        assert_int_equal(put(*state, 1, 7, true), 0);
        assert_true(find(*state, 7)->is_revoked);
        assert_int_equal(sg_keytable_count(*state), 1);
}

static void test_rotation_forgets_the_old_digest(void **state)
{
        assert_int_equal(put(*state, 1, 7, false), 0);
        assert_int_equal(put(*state, 1, 8, false), 0);
        assert_null(find(*state, 7));
        assert_int_equal(find(*state, 8)->id, 1);
        assert_int_equal(sg_keytable_count(*state), 1);
}

static void test_last_word_counts_when_a_digest_changes_its_id(void **state)
{
        assert_int_equal(put(*state, 1, 7, false), 0);
        assert_int_equal(put(*state, 2, 8, false), 0);
        assert_int_equal(put(*state, 2, 7, false), 0);
        assert_int_equal(find(*state, 7)->id, 2);
        assert_null(find(*state, 8));
        assert_int_equal(sg_keytable_count(*state), 1);
}

static void test_removed_is_gone_and_unknown_removal_is_no_error(void **state)
{
        struct sg_key_change gone = {.id = 1, .is_removed = true};

        assert_int_equal(put(*state, 1, 7, false), 0);
        assert_int_equal(sg_keytable_apply(*state, &gone), 0);
        assert_int_equal(sg_keytable_apply(*state, &gone), 0);
        assert_null(find(*state, 7));
        assert_int_equal(sg_keytable_count(*state), 0);
}

static void test_picture_removes_what_it_does_not_name(void **state)
{
        for (uint64_t i = 1; i <= 10; i++)
                assert_int_equal(put(*state, i, i, false), 0);
        sg_keytable_picture_begin(*state);
        for (uint64_t i = 2; i <= 10; i += 2)
                assert_int_equal(put(*state, i, i, false), 0);
        assert_int_equal(put(*state, 11, 11, false), 0);
        assert_non_null(find(*state, 1)); /* until the end known keys go on working */
        sg_keytable_picture_end(*state);
        for (uint64_t i = 1; i <= 11; i++)
                assert_int_equal(find(*state, i) != NULL, i % 2 == 0 || i == 11);
        assert_int_equal(sg_keytable_count(*state), 6);
}

static void test_what_says_nothing_new_leaves_the_entry(void **state)
{
        struct sg_key_change change = {.id = 1, .digest = {1}, .name = SG_STR("a"), .all_models = true};
        const struct sg_key *k;

        assert_int_equal(sg_keytable_apply(*state, &change), 0);
        k = sg_keytable_find(*state, change.digest);
        assert_ptr_equal(sg_keytable_find_id(*state, 1), k);
        sg_keytable_picture_begin(*state);
        assert_int_equal(sg_keytable_apply(*state, &change), 0);
        sg_keytable_picture_end(*state);
        assert_ptr_equal(sg_keytable_find_id(*state, 1), k);
        assert_int_equal(put(*state, 2, 7, false), 0);
        k = sg_keytable_find_id(*state, 2);
        assert_int_equal(put(*state, 2, 7, false), 0);
        assert_ptr_equal(sg_keytable_find_id(*state, 2), k);

        change.is_revoked = true;
        assert_int_equal(sg_keytable_apply(*state, &change), 0);
        assert_true(sg_keytable_find_id(*state, 1)->is_revoked);
        change.name = SG_STR("b");
        assert_int_equal(sg_keytable_apply(*state, &change), 0);
        assert_string_equal(sg_keytable_find_id(*state, 1)->name, "b");
        change.expires_wall_usec = 5;
        assert_int_equal(sg_keytable_apply(*state, &change), 0);
        assert_int_equal(sg_keytable_find_id(*state, 1)->expires_wall_usec, 5);
        change.all_models = false;
        assert_int_equal(sg_keytable_apply(*state, &change), 0);
        assert_false(sg_keytable_find_id(*state, 1)->all_models);
        assert_null(sg_keytable_find_id(*state, 3));
}

/* Pictures that broke off leave their marks, and there are more of them than numbers. */
static void test_a_picture_removes_what_any_broken_one_named(void **state)
{
        assert_int_equal(put(*state, 1, 1, false), 0);
        for (unsigned i = 0; i < 1000; i++) {
                sg_keytable_picture_begin(*state);
                assert_int_equal(put(*state, 2 + i, 2 + i, false), 0);
        }
        assert_int_equal(sg_keytable_count(*state), 1001);
        sg_keytable_picture_begin(*state);
        assert_int_equal(put(*state, 5, 5, false), 0);
        sg_keytable_picture_end(*state);
        assert_int_equal(sg_keytable_count(*state), 1);
        assert_non_null(find(*state, 5));
}

static void count_key(const struct sg_key *k, void *owner)
{
        *(uint64_t *)owner += k->id;
}

static void test_many_keys_are_all_found_while_it_grows(void **state)
{
        const uint64_t n = 5000;
        uint64_t sum = 0;

        for (uint64_t i = 1; i <= n; i++)
                assert_int_equal(put(*state, i, i, false), 0);
        for (uint64_t i = 1; i <= n; i++)
                assert_int_equal(find(*state, i)->id, i);
        sg_keytable_each(*state, count_key, &sum);
        assert_int_equal(sum, n * (n + 1) / 2);
        assert_int_equal(sg_keytable_count(*state), n);
}

static void test_reference_outlives_removal_and_grace_period(void **state)
{
        struct sg_key_change gone = {.id = 1, .is_removed = true};
        const struct sg_key *k;

        assert_int_equal(put(*state, 1, 7, false), 0);
        k = sg_key_ref(find(*state, 7));
        assert_int_equal(sg_keytable_apply(*state, &gone), 0);
        sg_rcu_quiescent();
        sg_rcu_barrier();
        assert_string_equal(k->name, "key-7");
        sg_key_unref(k);
}

static void test_reference_may_be_taken_after_removal_in_the_same_turn(void **state)
{
        struct sg_key_change gone = {.id = 1, .is_removed = true};
        const struct sg_key *k;

        assert_int_equal(put(*state, 1, 7, false), 0);
        k = find(*state, 7);
        assert_int_equal(sg_keytable_apply(*state, &gone), 0);
        sg_key_ref(k);
        sg_rcu_quiescent();
        sg_rcu_barrier();
        assert_string_equal(k->name, "key-7");
        sg_key_unref(k);
}

static void test_models_decide_what_may_be_used(void **state)
{
        struct sg_key_change all = {.id = 2, .digest = {2}, .name = SG_STR("all"), .all_models = true};
        struct sg_key_change none = {.id = 3, .digest = {3}, .name = SG_STR("none")};
        const struct sg_key *k;

        assert_int_equal(put(*state, 1, 7, false), 0);
        k = find(*state, 7);
        assert_true(sg_key_may_use(k, SG_STR("gpt-4o")));
        assert_true(sg_key_may_use(k, SG_STR("echo")));
        assert_false(sg_key_may_use(k, SG_STR("echo-2")));
        assert_false(sg_key_may_use(k, SG_STR("gpt")));
        assert_int_equal(sg_keytable_apply(*state, &all), 0);
        assert_int_equal(sg_keytable_apply(*state, &none), 0);
        assert_true(sg_key_may_use(sg_keytable_find(*state, all.digest), SG_STR("anything")));
        assert_false(sg_key_may_use(sg_keytable_find(*state, none.digest), SG_STR("anything")));
}

static void test_too_many_models_are_refused(void **state)
{
        struct sg_str models[65];
        struct sg_key_change change = {.id = 1, .name = SG_STR("a"), .models = models, .n_models = 65};

        for (size_t i = 0; i < 65; i++)
                models[i] = SG_STR("m");
        assert_int_equal(sg_keytable_apply(*state, &change), -E2BIG);
        change.n_models = 64;
        assert_int_equal(sg_keytable_apply(*state, &change), 0);
}

/* ---- readers beside the writer */

#define N_STABLE  50u
#define N_READERS 3u

struct race {
        struct sg_keytable *t;
        _Atomic bool is_over;
        _Atomic uint64_t n_found;
        _Atomic unsigned n_wrong, n_ready;
};

/* Keys 1 to N_STABLE are replaced all the time but always there; the others come and go. */
static void *read_all(void *arg)
{
        struct race *race = arg;
        const struct sg_key *kept = NULL;

        sg_rcu_register();
        race->n_ready++;
        while (!race->is_over) {
                for (uint64_t i = 1; i <= 2 * N_STABLE; i++) {
                        const struct sg_key *k = find(race->t, i);
                        char name[64];

                        if (!k) {
                                race->n_wrong += i <= N_STABLE;
                                continue;
                        }
                        snprintf(name, sizeof(name), "key-%llu", (unsigned long long)i);
                        race->n_wrong += strcmp(name, k->name) != 0 || k->id != i || k->n_models != 2;
                        race->n_found++;
                        if (i % 7 == 0) { /* what a long stream does */
                                sg_key_unref(kept);
                                kept = sg_key_ref(k);
                        }
                }
                sg_rcu_quiescent();
                if (kept)
                        race->n_wrong += strncmp(kept->name, "key-", 4) != 0;
        }
        sg_key_unref(kept);
        sg_rcu_unregister();
        return NULL;
}

static void write_rounds(struct race *race, unsigned n_rounds)
{
        struct sg_key_change gone = {.is_removed = true};

        for (unsigned round = 0; round < n_rounds; round++) {
                for (uint64_t i = 1; i <= 2 * N_STABLE; i++)
                        assert_int_equal(put(race->t, i, i, round % 2), 0);
                for (uint64_t i = 1000; i < 1010; i++) /* makes it grow */
                        assert_int_equal(put(race->t, 10 * round + i, 10 * round + i, false), 0);
                for (gone.id = N_STABLE + 1; gone.id <= 2 * N_STABLE; gone.id++)
                        assert_int_equal(sg_keytable_apply(race->t, &gone), 0);
                sg_rcu_quiescent();
        }
}

static void test_readers_see_whole_entries_and_no_gap(void **state)
{
        struct race race = {.t = *state};
        pthread_t readers[N_READERS];

        write_rounds(&race, 1);
        for (unsigned i = 0; i < N_READERS; i++)
                assert_int_equal(sg_thread_start(&readers[i], "reader", read_all, &race), 0);
        while (race.n_ready < N_READERS)
                sg_rcu_quiescent();
        write_rounds(&race, 100);
        while (race.n_found < 1000)
                sg_rcu_quiescent();
        race.is_over = true;
        sg_rcu_offline();
        for (unsigned i = 0; i < N_READERS; i++)
                pthread_join(readers[i], NULL);
        sg_rcu_online();
        assert_int_equal(race.n_wrong, 0);
        assert_int_equal(sg_keytable_count(race.t), N_STABLE + 100 * 10);
}

#define keytable_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                keytable_test(test_find_gives_what_was_applied),
                keytable_test(test_same_id_replaces),
                keytable_test(test_rotation_forgets_the_old_digest),
                keytable_test(test_last_word_counts_when_a_digest_changes_its_id),
                keytable_test(test_removed_is_gone_and_unknown_removal_is_no_error),
                keytable_test(test_picture_removes_what_it_does_not_name),
                keytable_test(test_what_says_nothing_new_leaves_the_entry),
                keytable_test(test_a_picture_removes_what_any_broken_one_named),
                keytable_test(test_many_keys_are_all_found_while_it_grows),
                keytable_test(test_reference_outlives_removal_and_grace_period),
                keytable_test(test_reference_may_be_taken_after_removal_in_the_same_turn),
                keytable_test(test_models_decide_what_may_be_used),
                keytable_test(test_too_many_models_are_refused),
                keytable_test(test_readers_see_whole_entries_and_no_gap),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
