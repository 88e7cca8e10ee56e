/* What usage cost: by price and day, by currency, and what has no price. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ledger/cost.h"

#define DAY_USEC UINT64_C(86400000000)

static struct sg_prices *prices_of(const char *text)
{
        struct sg_prices *p = NULL;
        struct sg_error err = {0};

        assert_int_equal(sg_prices_read_bytes(&p, sg_str_from(text), "p.conf", &err), 0);
        return p;
}

#define PRICE(name, from, currency, rest) "[price \"" name "\"]\nfrom = " from "\ncurrency = " currency "\n" rest "\n"

static struct sg_store_usage_bill bill_of(const char *group, const char *model, uint64_t day, uint64_t input)
{
        return (struct sg_store_usage_bill){
                .group = sg_str_from(group),
                .provider = SG_STR("p"),
                .model = sg_str_from(model),
                .day = day,
                .n_counted = 2,
                .tokens = {.n_requests = 3, .input = input},
        };
}

static const char *text_of(struct json_object *o)
{
        return json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
}

static void bill_costs(struct sg_costing *c, struct sg_store_usage_bill bill, const char *expected)
{
        struct json_object *o = json_object_new_object();

        sg_costing_tell_bill(c, &bill, o);
        assert_string_equal(text_of(o), expected);
        json_object_put(o);
}

static void test_amounts_are_exact(void **state)
{
        struct sg_prices *p = prices_of(PRICE("p/m", "1970-01-01", "USD", "input = 0.000001\noutput = 2.5")
                                                PRICE("p/dear", "1970-01-01", "USD", "input = 999999\nrequest = 0.01"));
        struct sg_costing *c = sg_costing_new(p);

        assert_non_null(c);
#define USD(amount) "{\"costs\":[{\"currency\":\"USD\",\"amount\":\"" amount "\"}],\"unpriced_requests\":0}"
        bill_costs(c, bill_of("", "m", 0, 0), USD("0"));
        bill_costs(c, bill_of("", "m", 0, 1), USD("0.000000000001"));
        bill_costs(c, bill_of("", "m", 0, 1000000000000), USD("1"));
        bill_costs(c, bill_of("", "m", 0, 1230000000000), USD("1.23"));
        bill_costs(c, bill_of("", "m", 0, 100000000000001), USD("100.000000000001"));
        bill_costs(c, bill_of("", "dear", 0, 0), USD("0.03"));
        bill_costs(c, bill_of("", "dear", 0, 10000000), USD("9999990.03"));
        sg_costing_free(c);
        sg_prices_free(p);
}

static void test_each_day_has_its_price_and_each_currency_its_sum(void **state)
{
        struct sg_prices *p =
                prices_of(PRICE("p/m", "1970-01-02", "USD", "input = 1") PRICE("p/m", "1970-01-04", "EUR", "input = 2")
                                  PRICE("p/n", "1970-01-01", "USD", "input = 10")
                                          PRICE("p/o", "1970-01-01", "USD", "output = 1"));
        struct json_object *alice = json_object_new_object(), *bob = json_object_new_object(),
                           *carol = json_object_new_object(), *unpriced;
        struct sg_store_usage_bill bills[] = {
                bill_of("alice", "m", 1, 1000000), bill_of("alice", "m", 2, 2000000), bill_of("alice", "m", 3, 1000000),
                bill_of("alice", "n", 3, 500000),  bill_of("bob", "m", 0, 1),         bill_of("bob", "m", 1, 1000000),
                bill_of("bob", "o", 1, 7),         bill_of("bob", "x", 1, 7),         bill_of("bob", "x", 2, 7),
                bill_of("dave", "x", 2, 7), /* no row: over the limit */
        };
        struct sg_costing *c = sg_costing_new(p);

        sg_costing_add_row(c, SG_STR("bob"), bob);
        sg_costing_add_row(c, SG_STR("alice"), alice);
        sg_costing_add_row(c, SG_STR("carol"), carol);
        for (size_t i = 0; i < SG_N_ELEMENTS(bills); i++)
                sg_costing_add_bill(c, &bills[i]);
        unpriced = sg_costing_end(c);
        assert_string_equal(text_of(alice), "{\"costs\":[{\"currency\":\"EUR\",\"amount\":\"2\"},"
                                            "{\"currency\":\"USD\",\"amount\":\"8\"}],\"unpriced_requests\":0}");
        assert_string_equal(text_of(bob),
                            "{\"costs\":[{\"currency\":\"USD\",\"amount\":\"1\"}],\"unpriced_requests\":8}");
        assert_string_equal(text_of(carol), "{\"costs\":[],\"unpriced_requests\":0}");
        assert_string_equal(text_of(unpriced),
                            "[{\"provider\":\"p\",\"model\":\"m\",\"why\":\"no price of that day\",\"requests\":2},"
                            "{\"provider\":\"p\",\"model\":\"o\",\"why\":\"no price of input\",\"requests\":2},"
                            "{\"provider\":\"p\",\"model\":\"x\",\"why\":\"no price\",\"requests\":4}]");
        json_object_put(unpriced);
        json_object_put(alice);
        json_object_put(bob);
        json_object_put(carol);
        sg_costing_free(c);
        sg_prices_free(p);
}

static void test_without_prices_all_that_has_tokens_is_unpriced(void **state)
{
        struct sg_costing *c = sg_costing_new(NULL);
        struct sg_store_usage_bill none = bill_of("", "m", 0, 0);
        struct json_object *unpriced;

        none.n_counted = 0;
        bill_costs(c, none, "{\"costs\":[],\"unpriced_requests\":0}");
        bill_costs(c, bill_of("", "m", 0, 1), "{\"costs\":[],\"unpriced_requests\":2}");
        unpriced = sg_costing_end(c);
        assert_int_equal(json_object_array_length(unpriced), 1);
        json_object_put(unpriced);
        sg_costing_free(c);
}

static void test_an_event_costs_what_its_bill_would(void **state)
{
        struct sg_prices *p =
                prices_of(PRICE("p/up", "1970-01-02", "USD",
                                "input = 1\ncached_input = 0.1\ncache_write = 1.25\ncache_write_1h = 2\noutput = 10\n"
                                "audio_input = 3\naudio_output = 20\nimage = 4\nrequest = 0.5"));
        struct sg_costing *c = sg_costing_new(p);
        struct sg_store_usage_event e = {
                .outcome = SG_STR("complete"),
                .rec = {.start_wall_usec = DAY_USEC,
                        .provider = SG_STR("p"),
                        .model = SG_STR("m"),
                        .upstream_model = SG_STR("up"),
                        .input_tokens = 100,
                        .cached_tokens = 10,
                        .cache_write_tokens = 20,
                        .cache_write_1h_tokens = 8,
                        .audio_input_tokens = 5,
                        .image_tokens = 6,
                        .output_tokens = 50,
                        .reasoning_tokens = 30,
                        .audio_output_tokens = 7},
        };
        struct json_object *o = json_object_new_object();

        /* 59 + 10 x 0.1 + 12 x 1.25 + 8 x 2 + 5 x 3 + 6 x 4 + 43 x 10 + 7 x 20 millionths, and a half */
        sg_costing_tell_event(c, &e, o);
        assert_string_equal(text_of(o), USD("0.5007"));
        e.rec.start_wall_usec--;
        sg_costing_tell_event(c, &e, o);
        assert_string_equal(text_of(o), "{\"costs\":[],\"unpriced_requests\":1}");
        /* A failure without tokens is nobody's bill. */
        e.rec = (struct sg_record){.start_wall_usec = DAY_USEC, .provider = SG_STR("p"), .model = SG_STR("up")};
        e.outcome = SG_STR("failed");
        sg_costing_tell_event(c, &e, o);
        assert_string_equal(text_of(o), USD("0"));
        json_object_put(o);
        sg_costing_free(c);
        sg_prices_free(p);
}

static void test_names_and_currencies_have_limits_that_hide_nothing(void **state)
{
        char text[64 * 40] = "", model[16];
        struct sg_prices *p;
        struct sg_costing *c;
        struct json_object *row = json_object_new_object(), *unpriced;

        for (int i = 0; i < 20; i++) {
                size_t at = strlen(text);

                (void)snprintf(text + at, sizeof(text) - at,
                               "[price \"p/m%d\"]\nfrom = 1970-01-01\ncurrency = AA%c\ninput = 1\n", i, 'A' + i);
        }
        p = prices_of(text);
        c = sg_costing_new(p);
        sg_costing_add_row(c, SG_STR("g"), row);
        for (int i = 0; i < 200; i++) {
                struct sg_store_usage_bill bill;

                (void)snprintf(model, sizeof(model), "m%d", i);
                bill = bill_of("g", model, 0, 1000000);
                sg_costing_add_bill(c, &bill);
        }
        unpriced = sg_costing_end(c);
        assert_int_equal(json_object_array_length(json_object_object_get(row, "costs")), SG_COST_CURRENCIES_MAX);
        assert_int_equal(json_object_get_int64(json_object_object_get(row, "unpriced_requests")), 2 * 184);
        assert_int_equal(json_object_array_length(unpriced), SG_COST_UNPRICED_MAX);
        json_object_put(unpriced);
        json_object_put(row);
        sg_costing_free(c);
        sg_prices_free(p);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_amounts_are_exact),
                cmocka_unit_test(test_each_day_has_its_price_and_each_currency_its_sum),
                cmocka_unit_test(test_without_prices_all_that_has_tokens_is_unpriced),
                cmocka_unit_test(test_an_event_costs_what_its_bill_would),
                cmocka_unit_test(test_names_and_currencies_have_limits_that_hide_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
