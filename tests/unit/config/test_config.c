/* Questions to a configuration: models by name, what needs a restart, its text. */
#include "config_test.h"

#define ECHO "[provider \"echo\"]\ndialect = echo\n"

static const char *found(const struct sg_config *c, const char *name)
{
        const struct sg_config_model *m = sg_config_find_model(c, sg_str_from(name));

        return m ? m->name : "none";
}

static void test_exact_names_go_before_patterns_and_longer_ones_first(void **state)
{
        TEST_ENV();
        SG_AUTO(sg_config_unref)
        struct sg_config *c = test_config(ECHO "[model \"gpt-*\"]\ntarget = echo\n"
                                               "[model \"gpt-4o\"]\ntarget = echo/x\n"
                                               "[model \"gpt-4*\"]\ntarget = echo\n"
                                               "[model \"a\"]\ntarget = echo\n");

        assert_string_equal(found(c, "gpt-4o"), "gpt-4o");
        assert_string_equal(found(c, "gpt-4o-mini"), "gpt-4*");
        assert_string_equal(found(c, "gpt-3"), "gpt-*");
        assert_string_equal(found(c, "gpt-"), "gpt-*");
        assert_string_equal(found(c, "a"), "a");
        assert_string_equal(found(c, "A"), "none");
        assert_string_equal(found(c, ""), "none");
        assert_string_equal(found(c, "gpt"), "none");
        assert_null(sg_config_find_model(c, SG_STR("a\0b")));
        assert_true(sg_config_find_model(c, SG_STR("gpt-x"))->is_pattern);
        assert_false(sg_config_find_model(c, SG_STR("gpt-4o"))->is_pattern);
}

static void test_targets(void **state)
{
        TEST_ENV();
        SG_AUTO(sg_config_unref)
        struct sg_config *c = test_config(ECHO "[model \"m\"]\ntarget = echo\ntarget = echo/org/x:free  weight=3\n"
                                               "[model \"*\"]\ntarget = echo/fixed\tweight=1000 ; all\n");
        const struct sg_config_model *m = sg_config_find_model(c, SG_STR("m"));

        assert_int_equal(m->n_targets, 2);
        assert_int_equal(m->weight_sum, 4);
        assert_ptr_equal(m->targets[0].provider, &c->providers[0]);
        assert_null(m->targets[0].upstream_model);
        assert_int_equal(m->targets[0].weight, 1);
        assert_string_equal(m->targets[1].upstream_model, "org/x:free");
        assert_int_equal(m->targets[1].weight, 3);
        assert_string_equal(m->where, "a.conf:3");
        assert_string_equal(found(c, "whatever"), "*");
        assert_string_equal(sg_config_find_model(c, SG_STR("whatever"))->targets[0].upstream_model, "fixed");
}

static void test_aliases_are_names_as_well(void **state)
{
        TEST_ENV();
        SG_AUTO(sg_config_unref)
        struct sg_config *c = test_config(ECHO "[model \"m\"]\nalias = a b,c\nalias = d\ntarget = echo\n"
                                               "target = echo/x\nfallback = echo\n"
                                               "[model \"gpt-*\"]\nalias = o3\ntarget = echo\n"
                                               "[model \"n\"]\nalias = gone\nalias =\ntarget = echo\n");
        const struct sg_config_model *m = sg_config_find_model(c, SG_STR("c"));

        assert_string_equal(found(c, "a"), "m");
        assert_string_equal(found(c, "b"), "m");
        assert_string_equal(found(c, "d"), "m");
        assert_string_equal(found(c, "m"), "m");
        assert_string_equal(found(c, "a b,c"), "none");
        assert_string_equal(found(c, "o3"), "gpt-*");
        assert_string_equal(found(c, "gone"), "none");
        assert_int_equal(m->n_aliases, 4);
        assert_string_equal(m->aliases[2], "c");
        /* The provider hears the model's name, not the alias; behind a pattern the one that was asked for. */
        assert_string_equal(m->targets[0].upstream_model, "m");
        assert_string_equal(m->targets[1].upstream_model, "x");
        assert_string_equal(m->targets[2].upstream_model, "m");
        assert_null(sg_config_find_model(c, SG_STR("o3"))->targets[0].upstream_model);
        assert_null(sg_config_find_model(c, SG_STR("n"))->targets[0].upstream_model);
}

/* An exact alias goes before a pattern that matches it. */
static void test_aliases_go_before_patterns(void **state)
{
        TEST_ENV();
        SG_AUTO(sg_config_unref)
        struct sg_config *c = test_config(ECHO "[model \"*\"]\ntarget = echo\n[model \"m\"]\ntarget = echo\n"
                                               "alias = zz\n");

        assert_string_equal(found(c, "zz"), "m");
        assert_string_equal(found(c, "zzz"), "*");
}

static void test_many_models_are_found(void **state)
{
        struct sg_buf b;
        char name[32];

        TEST_ENV();
        sg_buf_init(&b, 1 << 20);
        assert_int_equal(sg_buf_add(&b, SG_STR(ECHO)), 0);
        for (int i = 0; i < 3000; i++)
                assert_int_equal(sg_buf_printf(&b, "[model \"m%d\"]\ntarget = echo\n", i * 7919 % 3000), 0);
        assert_int_equal(sg_buf_add(&b, sg_str_make("", 1)), 0);
        SG_AUTO(sg_config_unref) struct sg_config *c = test_config(sg_buf_view(&b).p);

        sg_buf_done(&b);
        assert_int_equal(c->n_models, 3000);
        for (int i = 0; i < 3000; i++) {
                snprintf(name, sizeof(name), "m%d", i);
                assert_string_equal(found(c, name), name);
        }
        assert_string_equal(found(c, "m3000"), "none");
}

static void test_restart_is_asked_for_what_a_reload_cannot_change(void **state)
{
        static const struct {
                const char *from, *to, *needs; /* NULL: nothing */
        } cases[] = {
                {"", "", NULL},
                {"[gateway]\nworkers = 1\n", "[gateway]\nworkers = 2\n", "gateway.workers"},
                {"", "[gateway]\nstate_directory = /x\n", "gateway.state_directory"},
                {"[gateway]\nstate_directory = /x\n", "[gateway]\nstate_directory = /x/\n", NULL},
                {"", "[gateway]\nruntime_directory = /x\n", "gateway.runtime_directory"},
                {"", "[gateway]\ngroup = adm\n", "gateway.group"},
                {"", "[gateway]\ndrain_timeout = 1s\nmax_body = 1K\nidle_timeout = 1s\n", NULL},
                {"", "[journal]\nsize = 1M\n", "journal.size"},
                {"", "[journal]\nsync = always\nwhen_full = count\n", NULL},
                {"", "[ledger]\ndatabase = sqlite:/x\n", "ledger.database"},
                {"", "[ledger]\nstart = no\n", "ledger.start"},
                {"", "[log]\nlevel = debug\naccess = no\n", NULL},
                {"", "[log]\nto = none\n", "log.to"},
                {"[log]\nto = file:/a\n", "[log]\nto = file:/b\n", "log.to"},
                {"[log]\nto = file:/a\n", "[log]\nto = file:/a\n", NULL},
                {"", "[control]\nadmins = root\n", NULL},
                {"", "[listener \"http\"]\naddress = 127.0.0.1:8000\n", NULL},
                {"", "[listener \"http\"]\naddress = 127.0.0.1:8001\n", "listener.address"},
                {"", "[listener \"other\"]\naddress = 127.0.0.1:8000\n", "listener.address"},
                {"", "[listener \"http\"]\n", "listener.address"},
                {"[listener \"a\"]\naddress=1\n", "[listener \"a\"]\naddress=1\n[listener \"b\"]\naddress=2\n",
                 "listener.address"},
                {"[listener \"a\"]\naddress=1\n[listener \"b\"]\naddress=2\n",
                 "[listener \"b\"]\naddress=2\n[listener \"a\"]\naddress=1\n", NULL},
                {"", ECHO "[model \"m\"]\ntarget = echo\n", NULL},
        };

        TEST_ENV();
        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++) {
                SG_AUTO(sg_config_unref) struct sg_config *from = test_config(cases[i].from);
                SG_AUTO(sg_config_unref) struct sg_config *to = test_config(cases[i].to);

                if (cases[i].needs)
                        assert_string_equal(sg_config_needs_restart(from, to), cases[i].needs);
                else
                        assert_null(sg_config_needs_restart(from, to));
        }
}

static void test_every_restart_setting_is_asked_for(void **state)
{
        /* The list of the manual; a setting that becomes one must come here and into the daemon. */
        static const char *const keys[] = {"gateway.workers",
                                           "gateway.state_directory",
                                           "gateway.runtime_directory",
                                           "gateway.group",
                                           "journal.size",
                                           "ledger.database",
                                           "ledger.password",
                                           "ledger.ca_file",
                                           "ledger.tls_certificate",
                                           "ledger.tls_key",
                                           "ledger.start",
                                           "log.to",
                                           "listener.address"};
        size_t n = 0;

        for (const struct sg_setting *s = sg_settings; s < sg_settings_end; s++)
                if (s->needs_restart)
                        assert_string_equal(s->key, keys[n++]);
        assert_int_equal(n, SG_N_ELEMENTS(keys));
}

static void expect_text(const struct sg_config *c, const char *expected)
{
        struct sg_buf b;

        sg_buf_init(&b, 1 << 20);
        assert_int_equal(sg_config_add_text(c, &b), 0);
        assert_int_equal(sg_buf_add(&b, sg_str_make("", 1)), 0);
        assert_string_equal(sg_buf_view(&b).p, expected);
        sg_buf_done(&b);
}

#define REMOTE                                                                                                         \
        "proxy = environment  # default\n"                                                                             \
        "connect_timeout = 10s  # default\n"                                                                           \
        "first_byte_timeout = 10m  # default\n"                                                                        \
        "between_bytes_timeout = 2m  # default\n"                                                                      \
        "idle_timeout = 1m  # default\n"                                                                               \
        "pool_max = 64  # default\n"                                                                                   \
        "warm_connections = 0  # default\n"                                                                            \
        "protocol = http1  # default\n"                                                                                \
        "breaker_failures = 5  # default\n"                                                                            \
        "breaker_time = 10s  # default\n"

static void test_text_tells_values_and_places(void **state)
{
        TEST_ENV("LOG_LEVEL=warn", "KEY=sk-value");
        SG_AUTO(sg_config_unref)
        struct sg_config *c =
                test_config_of("[gateway]\nworkers = 2\ndrain_timeout = 5000ms\n"
                               "[control]\nadmins = daemon\nadmins =\nadmins = root\n"
                               "[log]\nto = file:/x.log\n"
                               "[provider \"p\"]\ndialect = openai\nbase_url = http://h/v1\napi_key = env:KEY\n"
                               "credential = b env:KEY priority=2\n"
                               "[provider \"a\"]\ndialect = anthropic\nbase_url = http://h/v1\n"
                               "[model \"q\\\"\\\\\"]\ntarget = p weight=2\n",
                               "[gateway]\nworkers = 3 ; more\n[model \"q\\\"\\\\\"]\ntarget = p/m\nalias = x y\n"
                               "fallback = a\non_disconnect = drain\n");

        expect_text(c, "[gateway]\n"
                       "workers = 3  # b.conf:2\n"
                       "drain_timeout = 5s  # a.conf:3\n"
                       "upgrade_drain_timeout = 1h  # default\n"
                       "state_directory = /var/lib/scribe-gateway  # default\n"
                       "runtime_directory = /run/scribe-gateway  # default\n"
                       "group = scribe-gateway  # default\n"
                       "max_connections = 10000  # default\n"
                       "max_head = 64K  # default\n"
                       "max_body = 64M  # default\n"
                       "max_bodies = 512M  # default\n"
                       "head_timeout = 15s  # default\n"
                       "body_timeout = 1m  # default\n"
                       "idle_timeout = 75s  # default\n"
                       "write_timeout = 1m  # default\n"
                       "limited_addresses = 65536  # default\n"
                       "server_timing = no  # default\n"
                       "\n[journal]\n"
                       "size = 64M  # default\n"
                       "sync = interval  # default\n"
                       "when_full = refuse  # default\n"
                       "\n[ledger]\n"
                       "database = sqlite:/var/lib/scribe-gateway/ledger.db  # default\n"
                       "start = auto  # default\n"
                       "\n[redis]\n"
                       "prefix = scribe:  # default\n"
                       "\n[control]\n"
                       "admins = root  # a.conf:7\n"
                       "\n[log]\n"
                       "level = warning  # environment variable LOG_LEVEL\n"
                       "to = file:/x.log  # a.conf:9\n"
                       "access = yes  # default\n"
                       "\n[listener \"http\"]\n"
                       "address = 127.0.0.1:8000  # default\n"
                       "client_certificate = none  # default\n"
                       "proxy_protocol = no  # default\n"
                       "\n[provider \"p\"]\n"
                       "dialect = openai  # a.conf:11\n"
                       "base_url = http://h/v1  # a.conf:12\n"
                       "api_key = env:KEY  # a.conf:13\n"
                       "credential = b env:KEY priority=2  # a.conf:14\n"
                       "quota_reset = 0s  # default\n"
                       "responses = no  # default\n" REMOTE "\n[provider \"a\"]\n"
                       "dialect = anthropic  # a.conf:16\n"
                       "base_url = http://h/v1  # a.conf:17\n"
                       "quota_reset = 0s  # default\n"
                       "api_version = 2023-06-01  # default\n"
                       "max_tokens = 4096  # default\n" REMOTE "\n[model \"q\\\"\\\\\"]\n"
                       "alias = x y  # b.conf:5\n"
                       "target = p weight=2  # a.conf:19\n"
                       "target = p/m  # b.conf:4\n"
                       "fallback = a  # b.conf:6\n"
                       "strategy = weighted  # default\n"
                       "affinity = none  # default\n"
                       "retries = 2  # default\n"
                       "on_disconnect = drain  # b.conf:7\n"
                       "drain_time = 1m  # default\n"
                       "drain_tokens = 8192  # default\n");
}

static void test_text_read_again_is_the_same_configuration(void **state)
{
        struct sg_buf b;

        TEST_ENV("LLM_API_KEY=sk-x", "SCRIBE_LISTEN=9999", "B=sk-x-2");
        SG_AUTO(sg_config_unref)
        struct sg_config *a = test_config(
                ECHO "[model \"default\"]\ntarget = echo\n"
                     "[provider \"az\"]\ndialect = azure\nbase_url = https://x.openai.azure.com\n"
                     "api_version = 2024-10-21\ncredential = b env:B priority=3 daily_tokens=9\nresponses = yes\n"
                     "[model \"m\"]\nalias = n, o\ntarget = az/x weight=2 context=8192\nfallback = echo\n"
                     "larger = az/y context=131072\naffinity = key\nretries = 0\n");

        sg_buf_init(&b, 1 << 20);
        assert_int_equal(sg_config_add_text(a, &b), 0);
        assert_true(sg_str_find(sg_buf_view(&b), SG_STR("sk-x")) == sg_buf_length(&b));
        assert_int_equal(sg_buf_add(&b, sg_str_make("", 1)), 0);
        SG_AUTO(sg_config_unref) struct sg_config *c = test_config(sg_buf_view(&b).p);
        sg_buf_done(&b);
        assert_null(sg_config_needs_restart(a, c));
        assert_int_equal(a->n_models, c->n_models);
        assert_int_equal(a->n_providers, c->n_providers);
        for (size_t i = 0; i < a->n_models; i++) {
                assert_string_equal(a->models[i].name, c->models[i].name);
                assert_int_equal(a->models[i].n_targets, c->models[i].n_targets);
                assert_int_equal(a->models[i].n_larger, c->models[i].n_larger);
                assert_int_equal(a->models[i].affinity, c->models[i].affinity);
                assert_int_equal(a->models[i].n_aliases, c->models[i].n_aliases);
        }
}

static void test_text_that_does_not_fit_is_an_error(void **state)
{
        struct sg_buf b;

        TEST_ENV();
        SG_AUTO(sg_config_unref) struct sg_config *c = test_config("");
        for (size_t max = 0; max < 600; max += 13) {
                sg_buf_init(&b, max);
                assert_int_equal(sg_config_add_text(c, &b), SG_BUF_E_FULL);
                sg_buf_done(&b);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_exact_names_go_before_patterns_and_longer_ones_first),
                cmocka_unit_test(test_targets),
                cmocka_unit_test(test_aliases_are_names_as_well),
                cmocka_unit_test(test_aliases_go_before_patterns),
                cmocka_unit_test(test_many_models_are_found),
                cmocka_unit_test(test_restart_is_asked_for_what_a_reload_cannot_change),
                cmocka_unit_test(test_every_restart_setting_is_asked_for),
                cmocka_unit_test(test_text_tells_values_and_places),
                cmocka_unit_test(test_text_read_again_is_the_same_configuration),
                cmocka_unit_test(test_text_that_does_not_fit_is_an_error),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
