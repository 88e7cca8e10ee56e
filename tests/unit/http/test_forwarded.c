/* Who the client is, by what proxies wrote: chains, lies, and what cannot be read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "http/forwarded.h"

#define TRUSTED_MAX 4

static struct sg_network items[TRUSTED_MAX];
static struct sg_networks trusted = {items, 0};

static int trust_inside(void **state)
{
        static const char *const texts[] = {"10.0.0.0/8", "192.0.2.1", "2001:db8:1::/48", "::1"};

        for (trusted.n = 0; trusted.n < SG_N_ELEMENTS(texts); trusted.n++)
                assert_int_equal(sg_network_parse(&items[trusted.n], sg_str_from(texts[trusted.n])), 0);
        return 0;
}

/* "name: value" lines; ends with NULL. "" for who cannot be told, else the address. */
static const char *find(const char *const *lines)
{
        static char out[SG_IP_TEXT_BYTES];
        struct sg_head head = {.n_headers = 0};
        enum sg_forwarded_result r;
        struct sg_ip ip;

        for (; *lines; lines++) {
                struct sg_str value = sg_str_from(*lines), name;

                assert_true(sg_str_cut(&value, ':', &name));
                head.headers[head.n_headers++] = (struct sg_header){name, sg_str_trim(value)};
        }
        r = sg_forwarded_find(&ip, &head, &trusted);
        if (r == SG_FORWARDED_CLIENT)
                return sg_ip_text(&ip, out);
        return r == SG_FORWARDED_NONE ? "none" : r == SG_FORWARDED_DISAGREE ? "disagree" : "unreadable";
}

#define FIND(...) find((const char *const[]){__VA_ARGS__, NULL})

struct one {
        const char *value, *client;
};

static void each(const char *name, const struct one *cases, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                char line[4096];
                const char *found;

                snprintf(line, sizeof(line), "%s: %s", name, cases[i].value);
                found = FIND(line);
                if (strcmp(found, cases[i].client) != 0)
                        fail_msg("%s\n    gave %s, not %s", line, found, cases[i].client);
        }
}

#define EACH(name, cases) each(name, cases, SG_N_ELEMENTS(cases))

static void test_without_fields_there_is_nobody(void **state)
{
        assert_string_equal(FIND("Host: x", "X-Real-IP: 203.0.113.9"), "none");
}

static void test_x_forwarded_for(void **state)
{
        static const struct one cases[] = {
                {"203.0.113.9", "203.0.113.9"},
                {" 203.0.113.9\t", "203.0.113.9"},
                {"203.0.113.9, 10.0.0.1", "203.0.113.9"},
                {"203.0.113.9 ,10.0.0.1,192.0.2.1", "203.0.113.9"},
                {"198.51.100.7, 203.0.113.9, 10.0.0.1", "203.0.113.9"}, /* the left one is the client's own word */
                {"10.9.9.9, 203.0.113.9", "203.0.113.9"},
                {"10.0.0.3, 10.0.0.2, 10.0.0.1", "10.0.0.3"}, /* somebody inside */
                {"203.0.113.9:4711, 10.0.0.1:80", "203.0.113.9"},
                {"2001:db8:2::9, 2001:db8:1::1", "2001:db8:2::9"},
                {"[2001:db8:2::9]", "2001:db8:2::9"},
                {"[2001:db8:2::9]:4711, ::1", "2001:db8:2::9"},
                {"::ffff:203.0.113.9, ::ffff:10.0.0.1", "203.0.113.9"},
                {"203.0.113.9,, 10.0.0.1, ,", "203.0.113.9"},
                {"", "none"},
                {" , ", "none"},
        };

        EACH("X-Forwarded-For", cases);
}

static void test_x_forwarded_for_that_cannot_be_read(void **state)
{
        static const struct one cases[] = {
                {"unknown", "unreadable"},
                {"203.0.113.9, unknown", "unreadable"},         /* the nearest proxy does not know whom it serves */
                {"203.0.113.9, unknown, 10.0.0.1", "10.0.0.1"}, /* nor does the one before it: as far as is known */
                {"203.0.113.9, _hidden, 10.0.0.1", "10.0.0.1"},
                {"203.0.113.9 10.0.0.1", "unreadable"},
                {"203.0.113.9;10.0.0.1", "unreadable"},
                {"\"203.0.113.9\"", "unreadable"},
                {"203.0.113", "unreadable"},
                {"203.0.113.09", "unreadable"},
                {"203.0.113.9:", "unreadable"},
                {"203.0.113.9:x", "unreadable"},
                {"203.0.113.9:65536", "unreadable"},
                {"203.0.113.9:000080", "unreadable"},
                {"[2001:db8:2::9", "unreadable"},
                {"[203.0.113.9]", "unreadable"},
                {"fe80::1%eth0", "unreadable"},
                {"<script>, 10.0.0.1", "10.0.0.1"},
        };

        EACH("X-Forwarded-For", cases);
}

static void test_forwarded(void **state)
{
        static const struct one cases[] = {
                {"for=203.0.113.9", "203.0.113.9"},
                {"For=\"203.0.113.9\"", "203.0.113.9"},
                {"for=\"203.0.113.9:4711\"", "203.0.113.9"},
                {"for=\"203.0.113.9:_port\"", "203.0.113.9"},
                {"for=\"[2001:db8:2::9]\"", "2001:db8:2::9"},
                {"FOR=\"[2001:db8:2::9]:4711\"", "2001:db8:2::9"}, /* as in section 4 of the RFC */
                {"for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"},
                {"for=192.0.2.43, for=198.51.100.17", "198.51.100.17"},
                {"by=10.0.0.1;for=203.0.113.9 , for=10.0.0.1;host=\"a, b; for=198.51.100.7\"", "203.0.113.9"},
                {"for=198.51.100.7, for=203.0.113.9, for=10.0.0.1", "203.0.113.9"},
                {";for=203.0.113.9;;", "203.0.113.9"},
                {",, for=203.0.113.9 ,\t,", "203.0.113.9"},
                {"ext=\"a\\\"b\";for=203.0.113.9", "203.0.113.9"},
                {"ext=1;ext=2;for=203.0.113.9", "203.0.113.9"},
                {"", "none"},
                {" , ,", "none"},
        };

        EACH("Forwarded", cases);
}

static void test_forwarded_that_hides_or_cannot_be_read(void **state)
{
        static const struct one cases[] = {
                {"for=unknown", "unreadable"},
                {"for=_hidden, for=_SEVKISEK", "unreadable"},
                {"for=203.0.113.9, for=_hidden", "unreadable"}, /* who wrote the left one, nobody knows */
                {"for=203.0.113.9, for=_hidden, for=10.0.0.1", "10.0.0.1"},
                {"for=203.0.113.9, proto=https, for=10.0.0.1", "10.0.0.1"},
                {"proto=https", "unreadable"},
                {"for=203.0.113.9:80", "unreadable"}, /* a colon stands in quotes only */
                {"for=[2001:db8:2::9]", "unreadable"},
                {"for=\"2001:db8:2::9\"", "unreadable"}, /* without brackets */
                {"for=\"203.0.113.9", "unreadable"},
                {"for=\"203.0.113.9\\\"", "unreadable"},
                {"for=\"\\203.0.113.9\"", "unreadable"},
                {"for=\"203.0.113.9\"x", "unreadable"},
                {"for= 203.0.113.9", "unreadable"},
                {"for =203.0.113.9", "unreadable"},
                {"for=203.0.113.9; proto=http", "unreadable"},
                {"for=203.0.113.9 for=10.0.0.1", "unreadable"},
                {"for=203.0.113.9;for=198.51.100.7", "unreadable"}, /* twice */
                {"for=203.0.113.9;proto=a;Proto=b", "unreadable"},
                {"for=", "unreadable"},
                {"for", "unreadable"},
                {"=203.0.113.9", "unreadable"},
                {";", "unreadable"},
                {"203.0.113.9", "unreadable"},
                {"for=\"203.0.113.9:65536\"", "unreadable"},
                {"for=\"203.0.113.9:_\"", "unreadable"},
                {"for=\"203.0.113.9:_a b\"", "unreadable"},
                /* the client's quote swallows what the proxy wrote, and is found out */
                {"for=198.51.100.7;x=\", for=203.0.113.9", "unreadable"},
                {"for=198.51.100.7;x=\", for=\"[2001:db8:2::9]\"", "unreadable"},
        };

        EACH("Forwarded", cases);
}

static void test_fields_of_one_name_are_one_list(void **state)
{
        assert_string_equal(FIND("X-Forwarded-For: 198.51.100.7", "Host: x", "x-forwarded-for: 203.0.113.9, 10.0.0.2",
                                 "X-FORWARDED-FOR: 10.0.0.1"),
                            "203.0.113.9");
        assert_string_equal(
                FIND("Forwarded: for=198.51.100.7", "forwarded: for=203.0.113.9", "Forwarded: for=10.0.0.1"),
                "203.0.113.9");
        /* what the client broke does not spoil the field that the proxy added */
        assert_string_equal(FIND("Forwarded: for=\"", "Forwarded: for=203.0.113.9"), "203.0.113.9");
        assert_string_equal(FIND("Forwarded: for=\"", "Forwarded: for=10.0.0.1"), "10.0.0.1");
        assert_string_equal(FIND("X-Forwarded-For: 203.0.113.9", "X-Forwarded-For: ,"), "203.0.113.9");
}

static void test_both_names_must_agree(void **state)
{
        assert_string_equal(FIND("X-Forwarded-For: 203.0.113.9", "Forwarded: for=203.0.113.9;proto=http"),
                            "203.0.113.9");
        assert_string_equal(FIND("X-Forwarded-For: 203.0.113.9, 10.0.0.1", "Forwarded: for=203.0.113.9"),
                            "203.0.113.9");
        /* a proxy writes the one, and the client has sent the other */
        assert_string_equal(FIND("X-Forwarded-For: 203.0.113.9", "Forwarded: for=198.51.100.7"), "disagree");
        assert_string_equal(FIND("X-Forwarded-For: 203.0.113.9", "Forwarded: for=\""), "disagree");
        assert_string_equal(FIND("X-Forwarded-For: unknown", "Forwarded: for=198.51.100.7"), "disagree");
        assert_string_equal(FIND("X-Forwarded-For: ,", "Forwarded: for=203.0.113.9"), "203.0.113.9");
}

static void test_walk_has_an_end(void **state)
{
        char list[2048] = "203.0.113.9", elements[2048] = "for=203.0.113.9";
        size_t at_list = strlen(list), at_elements = strlen(elements);

        for (unsigned i = 0; i < SG_FORWARDED_HOPS_MAX - 1; i++) {
                at_list += (size_t)snprintf(list + at_list, sizeof(list) - at_list, ", 10.0.0.%u", i);
                at_elements +=
                        (size_t)snprintf(elements + at_elements, sizeof(elements) - at_elements, ", for=10.0.0.%u", i);
        }
        each("X-Forwarded-For", &(struct one){list, "203.0.113.9"}, 1);
        each("Forwarded", &(struct one){elements, "203.0.113.9"}, 1);
        (void)snprintf(list + at_list, sizeof(list) - at_list, ", 10.0.0.99");
        (void)snprintf(elements + at_elements, sizeof(elements) - at_elements, ", for=10.0.0.99");
        each("X-Forwarded-For", &(struct one){list, "10.0.0.0"}, 1);
        each("Forwarded", &(struct one){elements, "10.0.0.0"}, 1);
}

static void test_results_have_words(void **state)
{
        for (enum sg_forwarded_result r = 0; r < SG_FORWARDED_N; r++)
                assert_true(sg_forwarded_result_text(r)[0]);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_without_fields_there_is_nobody),
                cmocka_unit_test(test_x_forwarded_for),
                cmocka_unit_test(test_x_forwarded_for_that_cannot_be_read),
                cmocka_unit_test(test_forwarded),
                cmocka_unit_test(test_forwarded_that_hides_or_cannot_be_read),
                cmocka_unit_test(test_fields_of_one_name_are_one_list),
                cmocka_unit_test(test_both_names_must_agree),
                cmocka_unit_test(test_walk_has_an_end),
                cmocka_unit_test(test_results_have_words),
        };

        return cmocka_run_group_tests(tests, trust_inside, NULL);
}
