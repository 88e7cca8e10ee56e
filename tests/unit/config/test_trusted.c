/* trusted_proxies, and the listeners that need them. */
#include "config_test.h"

#include <errno.h>

#define PROXIES(value) "[gateway]\ntrusted_proxies = " value "\n"

static bool trusts(const struct sg_config *c, const char *text)
{
        struct sg_ip ip;

        assert_true(sg_ip_parse(&ip, sg_str_from(text)));
        return sg_networks_have(&c->trusted_proxies, &ip);
}

static void test_nobody_is_trusted_by_default(void **state)
{
        SG_AUTO(sg_config_unref) struct sg_config *c = test_config("");

        assert_int_equal(c->trusted_proxies.n, 0);
        assert_false(c->trusts_unix || trusts(c, "127.0.0.1") || c->listeners[0].proxy_protocol);
}

static void test_addresses_and_networks_add_up(void **state)
{
        SG_AUTO(sg_config_unref)
        struct sg_config *c = test_config(PROXIES("192.0.2.1, 10.0.0.0/8 ,2001:db8::/32") PROXIES("unix\t::1"));

        assert_int_equal(c->trusted_proxies.n, 4);
        assert_true(c->trusts_unix);
        assert_true(trusts(c, "192.0.2.1") && trusts(c, "10.1.2.3") && trusts(c, "2001:db8::9") && trusts(c, "::1"));
        assert_false(trusts(c, "192.0.2.2") || trusts(c, "2001:db9::1") || trusts(c, "127.0.0.1"));
}

static void test_many_short_words_have_room(void **state)
{
        SG_AUTO(sg_config_unref) struct sg_config *c = test_config(PROXIES("::,::,::,::,::,::,::,::"));

        assert_int_equal(c->trusted_proxies.n, 8);
}

static void test_empty_line_clears(void **state)
{
        SG_AUTO(sg_config_unref)
        struct sg_config *c =
                test_config_of(PROXIES("192.0.2.1 unix"), "[gateway]\ntrusted_proxies =\ntrusted_proxies = ::1\n");

        assert_int_equal(c->trusted_proxies.n, 1);
        assert_false(c->trusts_unix || trusts(c, "192.0.2.1"));
}

static void test_what_is_no_network_is_explained(void **state)
{
        static const struct {
                const char *text, *error;
        } cases[] = {
                {PROXIES("10.0.0.1 proxy.example"), "a.conf:2: trusted_proxies: 'proxy.example' is neither a numeric "
                                                    "address nor a network; write 192.0.2.1, "
                                                    "10.0.0.0/8, 2001:db8::/32 or unix"},
                {PROXIES("unix:/run/x"), "a.conf:2: trusted_proxies: 'unix:/run/x' is neither a numeric address nor a "
                                         "network; write 192.0.2.1, 10.0.0.0/8, 2001:db8::/32 or unix"},
                {PROXIES("10.0.0.0/33"),
                 "a.conf:2: trusted_proxies: '10.0.0.0/33' has no length of such a network after the slash"},
                {PROXIES("10.0.0.1/8"), "a.conf:2: trusted_proxies: '10.0.0.1/8' has bits behind the length of the "
                                        "network: write the network's own address"},
                {"[listener \"edge\"]\naddress = 9000\nproxy_protocol = yes\n",
                 "a.conf:1: [listener \"edge\"] has proxy_protocol = yes, but [gateway] has no trusted_proxies that "
                 "may "
                 "speak it"},
        };

        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                const char *const texts[] = {cases[i].text, NULL};
                struct sg_config *c = NULL;
                struct sg_error err;
                char told[1100];

                assert_int_equal(test_read_files(&c, texts, &err), -EINVAL);
                snprintf(told, sizeof(told), "%s: %s", err.where, err.text);
                assert_string_equal(told, cases[i].error);
        }
}

static void test_listener_that_expects_the_header(void **state)
{
        SG_AUTO(sg_config_unref)
        struct sg_config *c = test_config(PROXIES("unix") "[listener \"edge\"]\nproxy_protocol = yes\n");

        assert_true(c->listeners[0].proxy_protocol);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_nobody_is_trusted_by_default),
                cmocka_unit_test(test_addresses_and_networks_add_up),
                cmocka_unit_test(test_many_short_words_have_room),
                cmocka_unit_test(test_empty_line_clears),
                cmocka_unit_test(test_what_is_no_network_is_explained),
                cmocka_unit_test(test_listener_that_expects_the_header),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
