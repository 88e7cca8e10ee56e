/* Each allocation fails in turn: birth says so or does without, a reservation says so, nothing leaks, nothing is held. */
#include "limit_test.h"

#include <errno.h>
#include <unistd.h>

#include "limit/address.h"

static long fail_at = -1; /* which of the coming allocations; negative: none */
static bool fails_for_ever;

static bool fails(void)
{
        if (fail_at > 0)
                fail_at--;
        else if (fail_at == 0) {
                fail_at = fails_for_ever ? 0 : -1;
                return true;
        }
        return false;
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t bytes);
void *__real_realloc(void *p, size_t n);
void *__real_aligned_alloc(size_t alignment, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t bytes);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_aligned_alloc(size_t alignment, size_t n);

void *__wrap_malloc(size_t n)
{
        return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t bytes)
{
        return fails() ? NULL : __real_calloc(n, bytes);
}

void *__wrap_realloc(void *p, size_t n)
{
        return fails() ? NULL : __real_realloc(p, n);
}

void *__wrap_aligned_alloc(size_t alignment, size_t n)
{
        return fails() ? NULL : __real_aligned_alloc(alignment, n);
}

static void test_birth_fails_or_does_without(void **state)
{
        char directory[] = "/tmp/scribe-limit-XXXXXX", path[64], saved[64], text[256];
        const struct sg_limits_options options = {.path = path, .saved_path = saved};
        struct sg_limits *l = NULL;
        unsigned n_refused = 0;
        int r;

        assert_non_null(mkdtemp(directory));
        snprintf(path, sizeof(path), "%s/limits", directory);
        snprintf(saved, sizeof(saved), "%s/saved", directory);
        assert_int_equal(sg_limits_new(&l, &options, NOW, WALL, text), 0);
        fail_at = 0;
        assert_int_equal(sg_limits_save(l, NOW, WALL), -ENOMEM);
        assert_int_equal(sg_limits_save(l, NOW, WALL), 0);
        l = sg_limits_free(l);
        for (long n = 0;; n++) {
                (void)unlink(path);
                fail_at = n;
                r = sg_limits_new(&l, &options, NOW, WALL, text);
                if (fail_at >= 0)
                        break;
                if (r) {
                        assert_int_equal(r, -ENOMEM);
                        n_refused++;
                } else {
                        /* The copy could not be read. */
                        assert_non_null(strstr(text, "Cannot allocate memory"));
                        l = sg_limits_free(l);
                }
        }
        fail_at = -1;
        assert_int_equal(r, 0);
        assert_string_equal(text, "");
        assert_int_equal(n_refused, 3);
        sg_limits_free(l);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(unlink(saved), 0);
        assert_int_equal(rmdir(directory), 0);
}

static void test_a_reservation_that_finds_no_memory_takes_nothing(void **state)
{
        struct sg_limits *l = limits_in_memory();
        struct sg_limited who[] = {LIMITED(SG_SUBJECT_KEY, 1, "9 requests/minute", "9 requests/hour", "9 requests/day",
                                           "9 requests/month", "9 concurrent"),
                                   LIMITED(SG_SUBJECT_GROUP, 1, "9 requests/minute", "9 requests/hour",
                                           "9 requests/day", "9 requests/month", "9 concurrent")};
        struct sg_limit_ask ask = ask_of(who, 2, SG_LIMIT_REQUESTS, 1, 0);
        struct sg_limit_refusal refusal;
        struct sg_reservation r = {0};

        ask.n_of[SG_LIMIT_CONCURRENT] = 1;
        fail_at = 0;
        assert_int_equal(sg_limits_reserve(l, &ask, &r, &refusal), -ENOMEM);
        assert_int_equal(r.n, 0);
        assert_nothing_is_held(l);
        for (size_t i = 0; i < 2; i++)
                for (size_t k = 0; k < who[i].set->n; k++)
                        assert_int_equal(view(l, &who[i], k, 0).used, 0);
        assert_int_equal(sg_limits_reserve(l, &ask, &r, &refusal), 0);
        assert_int_equal(r.n, 10);
        settle(l, &r, 0, 0, 0);
        sg_limit_set_unref(who[0].set);
        sg_limit_set_unref(who[1].set);
        sg_limits_free(l);
}

static void test_a_word_that_finds_no_memory_refuses(void **state)
{
        const struct sg_limit limit = {.kind = SG_LIMIT_REQUESTS, .window = SG_WINDOW_DAY, .amount = 9};
        struct sg_limits *l = limits_in_memory();
        struct sg_limited who;
        struct sg_reservation r = {0};
        uint64_t id = 0;

        /* No slot is left. */
        while (sg_words_in_memory(l->words) < 1000) {
                const struct sg_limited other = {.kind = SG_SUBJECT_KEY, .id = id++};

                assert_non_null(sg_words_find(l->words, sg_word_id(&other, &limit), true));
        }
        fails_for_ever = true;
        for (unsigned n_failed = 0; n_failed < 20; id++) {
                who = LIMITED(SG_SUBJECT_KEY, id, "9 requests/day");
                fail_at = 0;
                n_failed += reserve(l, &who, SG_LIMIT_REQUESTS, 1, 0, &r, NULL) == -ENOMEM;
                fail_at = -1;
                if (r.n)
                        settle(l, &r, 0, 0, 0);
                assert_int_equal(reserve(l, &who, SG_LIMIT_REQUESTS, 1, 0, &r, NULL), 0);
                settle(l, &r, 0, 0, 0);
                sg_limit_set_unref(who.set);
        }
        fails_for_ever = false;
        assert_nothing_is_held(l);
        sg_limits_free(l);
}

static void test_a_table_of_addresses_that_finds_no_memory(void **state)
{
        struct sg_limited who = LIMITED(SG_SUBJECT_ADDRESS, 0, "9 requests/minute");
        struct sg_limit_addresses *a = NULL;

        fail_at = 0;
        assert_int_equal(sg_limit_addresses_new(&a, who.set, 1000), -ENOMEM);
        assert_null(a);
        sg_limit_set_unref(who.set);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_birth_fails_or_does_without),
                cmocka_unit_test(test_a_reservation_that_finds_no_memory_takes_nothing),
                cmocka_unit_test(test_a_word_that_finds_no_memory_refuses),
                cmocka_unit_test(test_a_table_of_addresses_that_finds_no_memory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
