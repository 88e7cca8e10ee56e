/* Addresses and networks: what is one, what is not, and what is in which. */
#include "common.h"

#include "base/ip.h"

static struct sg_ip ip(const char *text)
{
        struct sg_ip found;

        if (!sg_ip_parse(&found, sg_str_from(text)))
                fail_msg("%s is no address", text);
        return found;
}

static void test_addresses_are_read_and_written(void **state)
{
        static const struct {
                const char *text, *written;
        } good[] = {
                {"192.0.2.1", "192.0.2.1"},
                {"0.0.0.0", "0.0.0.0"},
                {"255.255.255.255", "255.255.255.255"},
                {"::", "::"},
                {"2001:DB8:0:0::1", "2001:db8::1"},
                {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
                {"::ffff:192.0.2.1", "192.0.2.1"}, /* the one in the form of the other */
                {"::ffff:c000:201", "192.0.2.1"},
        };
        char out[SG_IP_TEXT_BYTES];

        for (size_t i = 0; i < SG_N_ELEMENTS(good); i++) {
                struct sg_ip found = ip(good[i].text);

                assert_string_equal(sg_ip_text(&found, out), good[i].written);
        }
}

static void test_what_is_no_address(void **state)
{
        static const char *const bad[] = {"",
                                          "1",
                                          "1.2.3",
                                          "1.2.3.4.5",
                                          "256.1.1.1",
                                          "01.2.3.4",
                                          "1.2.3.4 ",
                                          " ::1",
                                          "[::1]",
                                          "::1%lo",
                                          "1:2:3",
                                          ":::",
                                          "::1::",
                                          "g::",
                                          "12345::",
                                          "a.b.c.d",
                                          "localhost",
                                          "1.2.3.4:80",
                                          "0x7f.1",
                                          "1.2.3.",
                                          "1:2:3:4:5:6:7:8:9",
                                          "::ffff:1.2.3.256"};
        struct sg_ip found;

        for (size_t i = 0; i < SG_N_ELEMENTS(bad); i++)
                if (sg_ip_parse(&found, sg_str_from(bad[i])))
                        fail_msg("\"%s\" was taken", bad[i]);
        assert_false(sg_ip_parse(&found, sg_str_make("1.2.3.4\0", 8)));
        assert_false(sg_ip_parse(&found, SG_STR_NONE));
}

static void test_nodes_with_and_without_port(void **state)
{
        static const struct {
                const char *text, *address, *port;
        } good[] = {
                {"192.0.2.1", "192.0.2.1", ""},       {"192.0.2.1:80", "192.0.2.1", "80"},
                {"[2001:db8::1]", "2001:db8::1", ""}, {"[2001:db8::1]:65535", "2001:db8::1", "65535"},
                {"192.0.2.1:_x", "192.0.2.1", "_x"}, /* whether that is a port, the caller says */
        };
        static const char *const bad[] = {
                "",      "192.0.2.1:", "[::1]:", "[::1",   "::1",  "2001:db8::1", "[192.0.2.1]",
                "[]:80", "[::1]80",    ":80",    "[::1]]", "unix", "unix:/run/x", "x:80"};
        struct sg_str port;
        struct sg_ip found;

        for (size_t i = 0; i < SG_N_ELEMENTS(good); i++) {
                struct sg_ip wanted = ip(good[i].address);

                assert_true(sg_ip_parse_node(&found, sg_str_from(good[i].text), &port));
                assert_true(sg_ip_is_same(&found, &wanted));
                assert_true(sg_str_eq(port, sg_str_from(good[i].port)));
        }
        for (size_t i = 0; i < SG_N_ELEMENTS(bad); i++)
                if (sg_ip_parse_node(&found, sg_str_from(bad[i]), &port))
                        fail_msg("\"%s\" was taken", bad[i]);
}

static void test_networks_hold_what_they_say(void **state)
{
        static const struct {
                const char *network, *ip;
                bool is_in;
        } cases[] = {
                {"10.0.0.0/8", "10.255.255.255", true},
                {"10.0.0.0/8", "11.0.0.0", false},
                {"10.0.0.0/8", "::ffff:10.1.2.3", true},
                {"192.0.2.1", "192.0.2.1", true},
                {"192.0.2.1", "192.0.2.2", false},
                {"192.0.2.128/25", "192.0.2.127", false},
                {"192.0.2.128/25", "192.0.2.255", true},
                {"192.0.2.4/31", "192.0.2.5", true},
                {"192.0.2.4/31", "192.0.2.6", false},
                {"0.0.0.0/0", "203.0.113.9", true},
                {"0.0.0.0/0", "2001:db8::1", false},
                {"::/0", "2001:db8::1", true},
                {"::/0", "192.0.2.1", false}, /* either kind speaks for itself */
                {"2001:db8::/32", "2001:db8:ffff::", true},
                {"2001:db8::/32", "2001:db9::", false},
                {"2001:db8:8000::/33", "2001:db8:7fff::", false},
                {"fe80::1/128", "fe80::1", true},
                {"::ffff:10.0.0.0/104", "10.9.9.9", true},
                {"::ffff:10.0.0.0/104", "11.0.0.0", false},
        };

        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                struct sg_ip address = ip(cases[i].ip);
                struct sg_network n;

                assert_int_equal(sg_network_parse(&n, sg_str_from(cases[i].network)), 0);
                if (sg_network_has(&n, &address) != cases[i].is_in)
                        fail_msg("%s in %s", cases[i].ip, cases[i].network);
        }
}

static void test_what_is_no_network(void **state)
{
        static const struct {
                const char *text;
                int e;
        } bad[] = {
                {"", SG_NETWORK_E_ADDRESS},
                {"/8", SG_NETWORK_E_ADDRESS},
                {"10/8", SG_NETWORK_E_ADDRESS},
                {"proxy.example", SG_NETWORK_E_ADDRESS},
                {"[::1]", SG_NETWORK_E_ADDRESS},
                {"10.0.0.0/", SG_NETWORK_E_BITS},
                {"10.0.0.0/33", SG_NETWORK_E_BITS},
                {"::/129", SG_NETWORK_E_BITS},
                {"10.0.0.0/-1", SG_NETWORK_E_BITS},
                {"10.0.0.0/8/8", SG_NETWORK_E_BITS},
                {"10.0.0.0/0008", SG_NETWORK_E_BITS},
                {"10.0.0.0/255.0.0.0", SG_NETWORK_E_BITS},
                {"10.0.0.1/8", SG_NETWORK_E_HOST},
                {"2001:db8::1/64", SG_NETWORK_E_HOST},
                {"::ffff:0.0.0.0/95", SG_NETWORK_E_BITS},
        };
        struct sg_network n;

        for (size_t i = 0; i < SG_N_ELEMENTS(bad); i++)
                if (sg_network_parse(&n, sg_str_from(bad[i].text)) != bad[i].e)
                        fail_msg("\"%s\"", bad[i].text);
}

static void test_one_of_several_networks_is_enough(void **state)
{
        struct sg_network items[2];
        const struct sg_networks none = {NULL, 0}, both = {items, 2};
        struct sg_ip a = ip("192.0.2.1"), b = ip("2001:db8::1"), c = ip("192.0.2.2");

        assert_int_equal(sg_network_parse(&items[0], SG_STR("192.0.2.1")), 0);
        assert_int_equal(sg_network_parse(&items[1], SG_STR("2001:db8::/32")), 0);
        assert_true(sg_networks_have(&both, &a) && sg_networks_have(&both, &b));
        assert_false(sg_networks_have(&both, &c) || sg_networks_have(&none, &a));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_addresses_are_read_and_written),
                cmocka_unit_test(test_what_is_no_address),
                cmocka_unit_test(test_nodes_with_and_without_port),
                cmocka_unit_test(test_networks_hold_what_they_say),
                cmocka_unit_test(test_what_is_no_network),
                cmocka_unit_test(test_one_of_several_networks_is_enough),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
