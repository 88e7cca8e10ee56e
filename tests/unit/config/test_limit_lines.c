/* Limits of models, providers and addresses, and the models that serve in the place of others. */
#include "config_test.h"

#include <errno.h>

#include "config/prices.h"

#define ECHO_PROVIDER "[provider \"p\"]\ndialect = echo\n"
#define MODEL(name)   "[model \"" name "\"]\ntarget = p\n"

static int setup(void **state)
{
        TEST_ENV();
        return 0;
}

static void test_lines_add_up_and_an_empty_one_clears(void **state)
{
        SG_AUTO(sg_config_unref)
        struct sg_config *c = test_config_of("[gateway]\naddress_limit = 60 requests/minute\nlimited_addresses = 2048\n"
                                             "[provider \"p\"]\ndialect = echo\nlimit = 8 concurrent\n"
                                             "[model \"m\"]\ntarget = p\nlimit = 600 requests/minute\n"
                                             "limit = 20 usd/month warn=80%\n" MODEL("n") "limit = 1M tokens/day\n",
                                             "[gateway]\naddress_limit = 1K requests/hour\n"
                                             "[model \"m\"]\nlimit = 1M tokens/day soft\n"
                                             "[model \"n\"]\nlimit =\n"
                                             "[provider \"p\"]\nlimit =\nlimit = 9 concurrent\n");
        const struct sg_config_model *m = sg_config_find_model(c, SG_STR("m"));

        assert_int_equal(c->address_limits->n, 2);
        assert_int_equal(c->limited_addresses, 2048);
        assert_int_equal(c->providers[0].limits->n, 1);
        assert_int_equal(c->providers[0].limits->at[0].limit.amount, 9);
        assert_int_equal(m->limits->n, 3);
        assert_int_equal(m->limits->at[0].limit.amount, 600);
        assert_string_equal(m->limits->at[1].limit.currency, "USD");
        assert_true(m->limits->at[2].limit.is_soft);
        assert_null(sg_config_find_model(c, SG_STR("n"))->limits);
}

static void test_without_limits_there_are_none(void **state)
{
        SG_AUTO(sg_config_unref) struct sg_config *c = test_config(ECHO_PROVIDER MODEL("m"));

        assert_null(c->address_limits);
        assert_int_equal(c->limited_addresses, 65536);
        assert_null(c->providers[0].limits);
        assert_null(c->models[0].limits);
        assert_null(c->models[0].downgrade);
}

static void wrong_at(const char *text, const char *where)
{
        struct sg_config *c = NULL;
        struct sg_error err;

        assert_int_equal(test_read(&c, text, &err), -EINVAL);
        assert_string_equal(err.where, where);
        assert_non_null(strstr(err.text, "limit"));
}

static void test_the_line_is_blamed_that_does_not_fit(void **state)
{
        wrong_at(ECHO_PROVIDER "limit = -5 requests/minute\n", "a.conf:3");
        wrong_at(ECHO_PROVIDER "limit = 18446744073709551617 tokens/day\n", "a.conf:3");
        wrong_at(ECHO_PROVIDER "limit = 0 requests/minute\n", "a.conf:3");
        wrong_at(ECHO_PROVIDER "limit = 5 requests\n", "a.conf:3");
        wrong_at(ECHO_PROVIDER "limit = 5 requests/fortnight\n", "a.conf:3");
        wrong_at(ECHO_PROVIDER "limit = 5 requests/minute\nlimit = 7 concurrent\nlimit = 6 requests/minute\n",
                 "a.conf:5");
        wrong_at(ECHO_PROVIDER "limit = 600 requests/minute\nlimit = 100 requests/day\n", "a.conf:4");
}

static void test_more_limits_than_a_set_holds(void **state)
{
        test_wrong(ECHO_PROVIDER "limit = 1 concurrent\nlimit = 2 requests/minute\nlimit = 9 requests/hour\n"
                                 "limit = 99 requests/day\nlimit = 999 requests/month\nlimit = 20 tokens/minute\n"
                                 "limit = 90 tokens/hour\nlimit = 999 tokens/day\nlimit = 9999 tokens/month\n",
                   "a.conf:11: limit: there are more than 8");
}

static void test_addresses_have_requests_only(void **state)
{
        static const char not_for[] = "is not for addresses, of which requests per minute or hour are counted; write "
                                      "600 requests/minute";
        static const char *const texts[] = {"5 concurrent", "100 tokens/minute", "100 requests/day", "5 usd/month"};
        char text[128], expected[256];

        for (size_t i = 0; i < SG_N_ELEMENTS(texts); i++) {
                snprintf(text, sizeof(text), "[gateway]\naddress_limit = %s\n", texts[i]);
                snprintf(expected, sizeof(expected), "a.conf:2: limit '%s' %s", texts[i], not_for);
                test_wrong(text, expected);
        }
        test_wrong("[gateway]\naddress_limit = 5 requests/minute soft\n",
                   "a.conf:2: limit '5 requests/minute soft' has warn= or soft, but nobody is warned of an address");
        test_wrong("[gateway]\nlimited_addresses = 12\n",
                   "a.conf:2: limited_addresses: '12' is out of range: 1024 to 10000000");
}

/* Only where prices were read; a directory that is not there has none. */
static void test_a_budget_needs_prices_in_its_currency(void **state)
{
        static const char text[] = ECHO_PROVIDER "limit = 5 eur/day\n";
        static const char *const prices[] = {"[price \"p/*\"]\nfrom = 2026-01-01\ncurrency = USD\ninput = 1\n",
                                             "[price \"p/m\"]\nfrom = 2026-01-01\ncurrency = EUR\ninput = 1\n",
                                             "[price \"p/*\"]\nfrom = 2026-01-01\ncurrency = EUR\ninput = 1\n"};
        const struct sg_surroundings around = {.get_env = test_get_env};

        for (size_t i = 0; i < SG_N_ELEMENTS(prices); i++) {
                SG_AUTO(sg_whole_free) struct sg_whole *w = sg_whole_new();
                struct sg_error err = {0};

                assert_int_equal(sg_prices_read_bytes(&w->config.prices, sg_str_from(prices[i]), "p", &err), 0);
                assert_int_equal(sg_raw_add_bytes(&w->raw, sg_str_from(text), "a.conf", &err), 0);
                assert_int_equal(sg_whole_build(w, &around, &err), i == 0 ? -EINVAL : 0);
                if (i == 0)
                        assert_string_equal(err.text, "limit '5 eur/day' is a budget in a currency that no price in "
                                                      "prices.d has; without prices no budget is counted");
        }
}

static void test_the_same_limits_are_kept_over_a_reload(void **state)
{
        static const char text[] = "[gateway]\naddress_limit = 60 requests/minute\n"
                                   "[provider \"p\"]\ndialect = echo\nlimit = 8 concurrent\n" MODEL(
                                           "m") "limit = 5 requests/minute\n" MODEL("n") "limit = 9 requests/minute\n";
        SG_AUTO(sg_config_unref) struct sg_config *a = test_config(text);
        SG_AUTO(sg_config_unref) struct sg_config *b = test_config(text);
        SG_AUTO(sg_config_unref)
        struct sg_config *c = test_config_of(text, "[model \"m\"]\nlimit = 1 concurrent\n[provider \"p\"]\nlimit =\n"
                                                   "[provider \"q\"]\ndialect = echo\nlimit = 8 concurrent\n");

        sg_config_keep_limits(a, b);
        assert_ptr_equal(a->address_limits, b->address_limits);
        assert_ptr_equal(a->providers[0].limits, b->providers[0].limits);
        assert_ptr_equal(a->models[0].limits, b->models[0].limits);
        assert_ptr_equal(a->models[1].limits, b->models[1].limits);
        sg_config_keep_limits(b, c);
        assert_ptr_equal(a->address_limits, c->address_limits);
        assert_null(c->providers[0].limits);
        assert_ptr_not_equal(a->providers[0].limits, c->providers[1].limits);
        assert_ptr_not_equal(a->models[0].limits, c->models[0].limits);
        assert_ptr_equal(a->models[1].limits, c->models[1].limits);
        sg_config_keep_limits(a, a);
        assert_int_equal(a->models[0].limits->n, 1);
}

/* ---- downgrades */

static void test_a_downgrade_names_another_model(void **state)
{
        SG_AUTO(sg_config_unref)
        struct sg_config *c = test_config(ECHO_PROVIDER MODEL("big") "downgrade = quick\n" MODEL(
                "small") "alias = quick\ndowngrade = tiny\n" MODEL("tiny") MODEL("big-*") "downgrade = small\n");

        assert_string_equal(sg_config_find_model(c, SG_STR("big"))->downgrade->name, "small");
        assert_string_equal(sg_config_find_model(c, SG_STR("quick"))->downgrade->name, "tiny");
        assert_null(sg_config_find_model(c, SG_STR("tiny"))->downgrade);
        assert_string_equal(sg_config_find_model(c, SG_STR("big-one"))->downgrade->name, "small");
}

static void test_downgrades_that_lead_nowhere(void **state)
{
        test_wrong(ECHO_PROVIDER MODEL("small") MODEL("m") "downgrade = smal\n",
                   "a.conf:7: downgrade: there is no [model \"smal\"]; did you mean 'small'?");
        test_wrong(ECHO_PROVIDER MODEL("s-*") MODEL("m") "downgrade = s-*\n",
                   "a.conf:7: downgrade: 's-*' is a pattern; name one model");
        test_wrong(ECHO_PROVIDER MODEL("s-*") MODEL("m") "downgrade = s-mall\n",
                   "a.conf:7: downgrade: there is no [model \"s-mall\"]");
}

static void test_downgrades_that_go_in_circles(void **state)
{
        static const char end[] = "a chain must end with a model that has no downgrade";
        char expected[256];

        snprintf(expected, sizeof(expected), "a.conf:5: downgrade: from 'm' it leads back to 'm'; %s", end);
        test_wrong(ECHO_PROVIDER MODEL("m") "downgrade = m\n", expected);
        /* 'a' leads into the circle and is not part of it. */
        snprintf(expected, sizeof(expected), "a.conf:8: downgrade: from 'c' it leads back to 'b'; %s", end);
        test_wrong(ECHO_PROVIDER MODEL("a") "downgrade = b\n" MODEL("b") "downgrade = c\n" MODEL(
                           "c") "downgrade = d\n" MODEL("d") "downgrade = b\n",
                   expected);
}

static void test_a_mark_needs_something_to_serve_instead(void **state)
{
        SG_AUTO(sg_config_unref)
        struct sg_config *c = test_config(ECHO_PROVIDER MODEL("s") MODEL("m") "downgrade = s\n"
                                                                              "limit = 5 usd/day downgrade=90%\n");

        assert_int_equal(sg_config_find_model(c, SG_STR("m"))->limits->at[0].limit.downgrade_percent, 90);
        test_wrong(ECHO_PROVIDER MODEL("m") "limit = 5 usd/day downgrade=90%\n",
                   "a.conf:5: limit '5 usd/day downgrade=90%' has downgrade=, but the model has no other one in its "
                   "place; write downgrade = MODEL, or leave it out");
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_lines_add_up_and_an_empty_one_clears),
                TEST(test_without_limits_there_are_none),
                TEST(test_the_line_is_blamed_that_does_not_fit),
                TEST(test_more_limits_than_a_set_holds),
                TEST(test_addresses_have_requests_only),
                TEST(test_a_budget_needs_prices_in_its_currency),
                TEST(test_the_same_limits_are_kept_over_a_reload),
                TEST(test_a_downgrade_names_another_model),
                TEST(test_downgrades_that_lead_nowhere),
                TEST(test_downgrades_that_go_in_circles),
                TEST(test_a_mark_needs_something_to_serve_instead),
        };

        return cmocka_run_group_tests_name("config limit lines", tests, NULL, NULL);
}
