/* Requests of addresses: each its own, a table that stays as large as it is, and threads. */
#include "limit_test.h"

#include <pthread.h>

#include "limit/address.h"

static struct sg_limit_addresses *addresses(size_t n, const char *first, const char *second)
{
        const char *const texts[] = {first, second, NULL};
        struct sg_limited who = limited_from(SG_SUBJECT_ADDRESS, 0, texts);
        struct sg_limit_addresses *a = NULL;

        assert_int_equal(sg_limit_addresses_new(&a, who.set, n), 0);
        sg_limit_set_unref(who.set);
        return a;
}

static struct sg_ip ip_of(const char *text)
{
        struct sg_ip ip;

        assert_true(sg_ip_parse(&ip, sg_str_from(text)));
        return ip;
}

static bool take(struct sg_limit_addresses *a, const char *ip, uint64_t passed, uint64_t *ret_wait)
{
        const struct sg_ip from = ip_of(ip);
        struct sg_limit limit;

        return sg_limit_addresses_take(a, &from, NOW + passed, &limit, ret_wait);
}

static void test_each_address_has_its_own(void **state)
{
        struct sg_limit_addresses *a = addresses(1000, "60 requests/minute", NULL);
        uint64_t wait = 0;

        for (unsigned i = 0; i < 60; i++)
                assert_true(take(a, "192.0.2.1", 0, &wait));
        assert_false(take(a, "192.0.2.1", 0, &wait));
        assert_in_range(wait, SEC - 1, SEC);
        assert_false(take(a, "192.0.2.1", wait - 1, &wait));
        assert_true(take(a, "192.0.2.1", SEC, &wait));
        assert_false(take(a, "192.0.2.1", SEC, &wait));
        assert_true(take(a, "192.0.2.2", 0, &wait));
        assert_true(take(a, "::1", 0, &wait));
        for (unsigned i = 0; i < 60; i++)
                assert_true(take(a, "192.0.2.1", 2 * MINUTE, &wait));
        assert_false(take(a, "192.0.2.1", 2 * MINUTE, &wait));
        sg_limit_addresses_free(a);
}

static void test_a_household_of_ipv6_is_one(void **state)
{
        struct sg_limit_addresses *a = addresses(1000, "2 requests/hour", NULL);
        uint64_t wait;

        assert_true(take(a, "2001:db8:1:2::1", 0, &wait));
        assert_true(take(a, "2001:db8:1:2:ffff::2", 0, &wait));
        assert_false(take(a, "2001:db8:1:2::3", 0, &wait));
        assert_in_range(wait, 1800 * SEC - 1, 1800 * SEC);
        assert_true(take(a, "2001:db8:1:3::1", 0, &wait));
        /* The IPv4 address with the same bytes is another. */
        assert_true(take(a, "32.1.13.184", 0, &wait));
        sg_limit_addresses_free(a);
}

static void test_the_longest_wait_is_told_and_refusals_cost_nothing(void **state)
{
        struct sg_limit_addresses *a = addresses(10, "2 requests/minute", "3 requests/hour");
        const struct sg_ip ip = ip_of("192.0.2.1");
        struct sg_limit limit = {0};
        uint64_t wait = 0;

        assert_true(sg_limit_addresses_take(a, &ip, NOW, &limit, &wait));
        assert_true(sg_limit_addresses_take(a, &ip, NOW, &limit, &wait));
        for (unsigned i = 0; i < 100; i++)
                assert_false(sg_limit_addresses_take(a, &ip, NOW, &limit, &wait));
        assert_int_equal(limit.window, SG_WINDOW_MINUTE);
        assert_true(sg_limit_addresses_take(a, &ip, NOW + 30 * SEC, &limit, &wait));
        assert_false(sg_limit_addresses_take(a, &ip, NOW + 30 * SEC, &limit, &wait));
        assert_int_equal(limit.window, SG_WINDOW_HOUR);
        assert_int_equal(limit.amount, 3);
        assert_in_range(wait, 1170 * SEC - 1, 1170 * SEC);
        sg_limit_addresses_free(a);
}

/* A flood of addresses: the table stays as it is, and who was refused all along is not forgotten for idle ones. */
static void test_idle_addresses_are_forgotten_first(void **state)
{
        struct sg_limit_addresses *a = addresses(1024, "10 requests/minute", NULL);
        struct sg_limit limit;
        uint64_t wait;
        unsigned n_forgotten = 0;

        for (unsigned i = 0; i < 10; i++)
                assert_true(take(a, "198.51.100.7", 0, &wait));
        for (uint32_t i = 0; i < 100000; i++) {
                struct sg_ip ip;

                sg_ip_from_bytes(&ip, &i, 4);
                assert_true(sg_limit_addresses_take(a, &ip, NOW, &limit, &wait));
                n_forgotten += i % 1000 == 0 && take(a, "198.51.100.7", 0, &wait);
        }
        assert_int_equal(n_forgotten, 0);
        sg_limit_addresses_free(a);
}

struct party {
        pthread_t thread;
        struct sg_limit_addresses *addresses;
        unsigned n_taken;
};

static void *take_many(void *owner)
{
        struct party *p = owner;
        const struct sg_ip ip = {.n_bytes = 4, .bytes = {10, 1, 2, 3}};
        struct sg_limit limit;
        uint64_t wait;

        for (unsigned i = 0; i < 2000; i++)
                p->n_taken += sg_limit_addresses_take(p->addresses, &ip, NOW, &limit, &wait);
        return NULL;
}

static void test_threads_share_an_address(void **state)
{
        struct sg_limit_addresses *a = addresses(16, "1000 requests/minute", "5000 requests/hour");
        struct party parties[8];
        unsigned n = 0;
        uint64_t wait;

        /* Its place is there: the moment in which one takes it over is the only one that is not exact. */
        assert_true(take(a, "10.1.2.3", 0, &wait));
        for (size_t i = 0; i < 8; i++) {
                parties[i] = (struct party){.addresses = a};
                assert_int_equal(pthread_create(&parties[i].thread, NULL, take_many, &parties[i]), 0);
        }
        for (size_t i = 0; i < 8; i++) {
                assert_int_equal(pthread_join(parties[i].thread, NULL), 0);
                n += parties[i].n_taken;
        }
        assert_int_equal(n, 999);
        sg_limit_addresses_free(a);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each_address_has_its_own),
                cmocka_unit_test(test_a_household_of_ipv6_is_one),
                cmocka_unit_test(test_the_longest_wait_is_told_and_refusals_cost_nothing),
                cmocka_unit_test(test_idle_addresses_are_forgotten_first),
                cmocka_unit_test(test_threads_share_an_address),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
