/* What the gateway tries and remembers: credentials of providers, and places that models lead to. */
#include "config_test.h"

#define P    "[provider \"p\"]\ndialect = openai\nbase_url = http://h\n"
#define ECHO "[provider \"echo\"]\ndialect = echo\n"

static void test_every_provider_has_a_credential(void **state)
{
        TEST_ENV("KEY=sk-x");
        SG_AUTO(sg_config_unref)
        struct sg_config *c = test_config(P "api_key = env:KEY\n[provider \"q\"]\ndialect = openai\n"
                                            "base_url = http://h\n" ECHO);
        const struct sg_config_provider *p = c->providers;

        assert_int_equal(p[0].n_credentials, 1);
        assert_string_equal(p[0].credentials[0].name, "api_key");
        assert_true(sg_secret_equals(p[0].credentials[0].api_key, SG_STR("sk-x")));
        assert_int_equal(p[0].credentials[0].priority, 1);
        assert_int_equal(p[0].credentials[0].daily_tokens, 0);
        assert_string_equal(p[0].credentials[0].where, "a.conf:4");
        for (size_t i = 1; i < 3; i++) {
                assert_int_equal(p[i].n_credentials, 1);
                assert_string_equal(p[i].credentials[0].name, "");
                assert_null(p[i].credentials[0].api_key);
                assert_int_equal(p[i].credentials[0].priority, 1);
        }
}

static void test_credentials_stand_by_priority(void **state)
{
        static const char *const names[] = {"api_key", "c", "e", "b", "d"};

        TEST_ENV("KEY=sk-x", "B=sk-b");
        SG_AUTO(sg_config_unref)
        struct sg_config *c = test_config(P "credential = b env:B priority=7 daily_tokens=1000000\n"
                                            "credential = gone env:UNSET\ncredential =\n"
                                            "credential = b env:B priority=7 daily_tokens=1000000\n"
                                            "credential = c env:KEY priority=1\napi_key = env:KEY\n"
                                            "credential = d env:KEY  daily_tokens=3\tpriority=7\n"
                                            "credential = e env:KEY\nquota_reset = 8h\n");
        const struct sg_config_provider *p = c->providers;

        assert_int_equal(p->n_credentials, SG_N_ELEMENTS(names));
        /* That of api_key stands first among its own priority. */
        for (size_t i = 0; i < SG_N_ELEMENTS(names); i++)
                assert_string_equal(p->credentials[i].name, names[i]);
        assert_int_equal(p->credentials[3].priority, 7);
        assert_int_equal(p->credentials[3].daily_tokens, 1000000);
        assert_true(sg_secret_equals(p->credentials[3].api_key, SG_STR("sk-b")));
        assert_string_equal(p->credentials[3].where, "a.conf:7");
        assert_int_equal(p->credentials[4].daily_tokens, 3);
        assert_int_equal(p->quota_reset_usec, 8 * 3600 * SG_USEC_PER_SEC);
}

/* Without api_key there is none of that name, and none that sends nothing. */
static void test_credentials_without_api_key(void **state)
{
        TEST_ENV("B=sk-b");
        SG_AUTO(sg_config_unref) struct sg_config *c = test_config(P "credential = b env:B priority=100\n");

        assert_null(c->providers[0].api_key);
        assert_int_equal(c->providers[0].n_credentials, 1);
        assert_string_equal(c->providers[0].credentials[0].name, "b");
        assert_int_equal(c->providers[0].credentials[0].priority, 100);
}

static const char *lane_of(const struct sg_config *c, const char *model, size_t target)
{
        const struct sg_config_target *t = &sg_config_find_model(c, sg_str_from(model))->targets[target];

        assert_true(t->lane < c->n_lanes);
        assert_ptr_equal(c->lanes[t->lane].provider, t->provider);
        return c->lanes[t->lane].name;
}

static void test_targets_that_are_the_same_place_share_a_lane(void **state)
{
        TEST_ENV();
        SG_AUTO(sg_config_unref)
        struct sg_config *c = test_config(P ECHO "[model \"a\"]\ntarget = p/x\ntarget = echo/x\n"
                                                 "[model \"b\"]\ntarget = p/x weight=2\ntarget = p/y\n"
                                                 "[model \"x\"]\ntarget = p\n"
                                                 "[model \"x-*\"]\ntarget = p\n");

        assert_string_equal(lane_of(c, "a", 0), "p/x");
        assert_string_equal(lane_of(c, "a", 1), "echo/x");
        assert_string_equal(lane_of(c, "b", 1), "p/y");
        assert_string_equal(lane_of(c, "x-1", 0), "p/x-*");
        /* The client's name is passed on: the same place as one that is called so. */
        assert_string_equal(lane_of(c, "x", 0), "p/x");
        assert_int_equal(c->n_lanes, 2 + 4);
        for (size_t i = 0; i < c->n_lanes; i++)
                for (size_t k = 0; k < i; k++)
                        assert_string_not_equal(c->lanes[i].name, c->lanes[k].name);
}

static void test_all_three_kinds_of_targets_have_lanes(void **state)
{
        TEST_ENV();
        SG_AUTO(sg_config_unref)
        struct sg_config *c = test_config(P ECHO "[model \"m\"]\nlarger = p/long context=131072\nfallback = echo\n"
                                                 "target = p/x weight=3 context=8192\ntarget = echo/y\n"
                                                 "larger = p/longer\nfallback = p/x\n");
        const struct sg_config_model *m = &c->models[0];

        assert_int_equal(m->n_targets, 2);
        assert_int_equal(m->n_fallbacks, 2);
        assert_int_equal(m->n_larger, 2);
        assert_int_equal(m->weight_sum, 4);
        assert_string_equal(lane_of(c, "m", 0), "p/x");
        assert_string_equal(lane_of(c, "m", 1), "echo/y");
        assert_string_equal(lane_of(c, "m", 2), "echo/m");
        assert_string_equal(lane_of(c, "m", 3), "p/x");
        assert_string_equal(lane_of(c, "m", 4), "p/long");
        assert_string_equal(lane_of(c, "m", 5), "p/longer");
        assert_int_equal(m->targets[0].context_tokens, 8192);
        assert_int_equal(m->targets[1].context_tokens, 0);
        assert_int_equal(m->targets[4].context_tokens, 131072);
        assert_int_equal(m->targets[4].weight, 1);
}

static void test_a_provider_has_a_lane_by_itself(void **state)
{
        TEST_ENV();
        SG_AUTO(sg_config_unref) struct sg_config *c = test_config(ECHO P);

        assert_int_equal(c->n_lanes, 2);
        for (size_t i = 0; i < c->n_providers; i++) {
                const struct sg_config_lane *lane = &c->lanes[sg_config_provider_lane(c, &c->providers[i])];

                assert_string_equal(lane->name, c->providers[i].name);
                assert_ptr_equal(lane->provider, &c->providers[i]);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_provider_has_a_credential),
                cmocka_unit_test(test_credentials_stand_by_priority),
                cmocka_unit_test(test_credentials_without_api_key),
                cmocka_unit_test(test_all_three_kinds_of_targets_have_lanes),
                cmocka_unit_test(test_targets_that_are_the_same_place_share_a_lane),
                cmocka_unit_test(test_a_provider_has_a_lane_by_itself),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
