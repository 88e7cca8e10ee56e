/* What was used in a day or month, as the ledger tells it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>

#include "feed/total.h"

static bool reads(const char *text, struct sg_feed_total *ret)
{
        struct json_object *o = json_tokener_parse(text);
        bool is_good = sg_feed_total_read(ret, o);

        if (is_good && ret->name.n)
                ret->name = sg_str_eq(ret->name, SG_STR("gpt")) ? SG_STR("gpt") : SG_STR("?");
        json_object_put(o);
        return is_good;
}

#define REST ",\"window\":\"day\",\"period\":20000,\"requests\":1,\"tokens\":2"

static void test_each_kind_has_its_subject(void **state)
{
        struct sg_feed_total t;

        assert_true(reads("{\"of\":\"key\",\"id\":7" REST ",\"new\":[]}", &t));
        assert_int_equal(t.of, SG_FEED_TOTAL_KEY);
        assert_int_equal(t.id, 7);
        assert_int_equal(t.window, SG_WINDOW_DAY);
        assert_int_equal(t.n_costs, 0);
        assert_true(reads("{\"of\":\"group\",\"id\":8,\"name\":null" REST ",\"costs\":null}", &t));
        assert_int_equal(t.of, SG_FEED_TOTAL_GROUP);
        assert_int_equal(t.id, 8);
        assert_true(reads("{\"of\":\"model\",\"id\":null,\"name\":\"gpt\"" REST "}", &t));
        assert_int_equal(t.of, SG_FEED_TOTAL_MODEL);
        assert_true(sg_str_eq(t.name, SG_STR("gpt")));
        assert_true(reads("{\"of\":\"provider\",\"name\":\"gpt\"" REST "}", &t));
        assert_int_equal(t.of, SG_FEED_TOTAL_PROVIDER);
}

static uint64_t micro(const char *amount)
{
        struct sg_feed_total t;
        char text[512];

        snprintf(text, sizeof(text),
                 "{\"of\":\"key\",\"id\":7" REST ",\"costs\":[{\"currency\":\"EUR\",\"amount\":\"1\"},"
                 "{\"currency\":\"USD\",\"amount\":\"%s\"}]}",
                 amount);
        if (!reads(text, &t))
                return 404;
        assert_int_equal(t.n_costs, 2);
        assert_string_equal(t.costs[0].currency, "EUR");
        assert_int_equal(t.costs[0].micro, 1000000);
        assert_string_equal(t.costs[1].currency, "USD");
        return t.costs[1].micro;
}

static void test_amounts(void **state)
{
        assert_int_equal(micro("0"), 0);
        assert_int_equal(micro("12"), 12000000);
        assert_int_equal(micro("12.5"), 12500000);
        assert_int_equal(micro("0.000001"), 1);
        assert_int_equal(micro("0.000001999999"), 1); /* at least so much */
        assert_int_equal(micro("0.0000009"), 0);
        assert_int_equal(micro("18446744073708.9"), UINT64_C(18446744073708900000));
        assert_int_equal(micro("18446744073709551615"), UINT64_MAX);
        assert_int_equal(micro(""), 404);
        assert_int_equal(micro("."), 404);
        assert_int_equal(micro("1."), 404);
        assert_int_equal(micro(".5"), 404);
        assert_int_equal(micro("-1"), 404);
        assert_int_equal(micro("1e3"), 404);
        assert_int_equal(micro("1.5.5"), 404);
}

static void test_what_is_no_total_is_refused(void **state)
{
        static const char *const wrong[] = {
                "null",
                "[]",
                "{}",
                "{\"of\":\"user\",\"id\":7" REST "}",
                "{\"of\":\"key\"" REST "}",
                "{\"of\":\"key\",\"name\":\"gpt\"" REST "}",
                "{\"of\":\"model\",\"id\":7" REST "}",
                "{\"of\":\"model\",\"name\":\"\"" REST "}",
                "{\"of\":\"key\",\"id\":-7" REST "}",
                "{\"of\":\"key\",\"id\":7,\"window\":\"hour\",\"period\":1,\"requests\":1,\"tokens\":1}",
                "{\"of\":\"key\",\"id\":7,\"window\":\"day\",\"requests\":1,\"tokens\":1}",
                "{\"of\":\"key\",\"id\":7,\"window\":\"day\",\"period\":1,\"requests\":1.5,\"tokens\":1}",
                "{\"of\":\"key\",\"id\":7,\"window\":\"day\",\"period\":1,\"requests\":1}",
                "{\"of\":\"key\",\"id\":7" REST ",\"costs\":{}}",
                "{\"of\":\"key\",\"id\":7" REST ",\"costs\":[1]}",
                "{\"of\":\"key\",\"id\":7" REST ",\"costs\":[{\"currency\":\"DOLLAR\",\"amount\":\"1\"}]}",
                "{\"of\":\"key\",\"id\":7" REST ",\"costs\":[{\"currency\":\"USD\",\"amount\":1}]}",
                "{\"of\":\"key\",\"id\":7" REST ",\"costs\":[{\"currency\":\"USD\"}]}",
                "{\"of\":\"key\",\"id\":7" REST ",\"costs\":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]}",
        };
        struct sg_feed_total t;

        for (size_t i = 0; i < SG_N_ELEMENTS(wrong); i++)
                if (reads(wrong[i], &t))
                        fail_msg("taken: %s", wrong[i]);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each_kind_has_its_subject),
                cmocka_unit_test(test_amounts),
                cmocka_unit_test(test_what_is_no_total_is_refused),
        };

        return cmocka_run_group_tests_name("feed total", tests, NULL, NULL);
}
